/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The examples are written for the mTCP API.  Compiled with -DKERNEL_SOCKETS they run on the kernel's TCP instead: the same
 * program, so that a comparison compares only what lies below.  A program of your own does not need this file: it includes
 * <mtcp_api.h> and <mtcp_epoll.h>.
 */
#ifndef EXAMPLES_SOCK_H
#define EXAMPLES_SOCK_H

#ifndef KERNEL_SOCKETS

#include <mtcp_api.h>
#include <mtcp_epoll.h>

/* How many sockets a context may have. */
static inline int sock_limit(int max)
{
	struct mtcp_conf conf;

	if (mtcp_getconf(&conf) != 0)
		return -1;
	conf.max_concurrency = max;
	return mtcp_setconf(&conf);
}

#else

#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct mtcp_context {
	int cpu;
} *mctx_t;

#define mtcp_epoll_event epoll_event
#define MTCP_EPOLLIN EPOLLIN
#define MTCP_EPOLLOUT EPOLLOUT
#define MTCP_EPOLLERR EPOLLERR
#define MTCP_EPOLLHUP EPOLLHUP
#define MTCP_EPOLL_CTL_ADD EPOLL_CTL_ADD
#define MTCP_EPOLL_CTL_MOD EPOLL_CTL_MOD
#define MTCP_EPOLL_CTL_DEL EPOLL_CTL_DEL

#define mtcp_socket(m, domain, type, protocol) ((void)(m), socket(domain, (type) | SOCK_NONBLOCK, protocol))
#define mtcp_bind(m, fd, addr, len) ((void)(m), bind(fd, addr, len))
#define mtcp_listen(m, fd, backlog) ((void)(m), listen(fd, backlog))
#define mtcp_accept(m, fd, addr, len) ((void)(m), accept4(fd, addr, len, SOCK_NONBLOCK))
#define mtcp_setsockopt(m, fd, level, name, val, len) ((void)(m), setsockopt(fd, level, name, val, len))
#define mtcp_read(m, fd, buf, len) ((void)(m), read(fd, buf, len))
#define mtcp_write(m, fd, buf, len) ((void)(m), write(fd, buf, len))
#define mtcp_writev(m, fd, iov, n) ((void)(m), writev(fd, iov, n))
#define mtcp_close(m, fd) ((void)(m), close(fd))
#define mtcp_pipe(m, fd) ((void)(m), pipe(fd))
#define mtcp_epoll_create(m, size) ((void)(m), epoll_create(size))
#define mtcp_epoll_ctl(m, ep, op, fd, ev) ((void)(m), epoll_ctl(ep, op, fd, ev))
#define mtcp_epoll_wait(m, ep, ev, max, ms) ((void)(m), epoll_wait(ep, ev, max, ms))

static inline int sock_limit(int max)
{
	struct rlimit r;

	(void)max;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return -1;
	r.rlim_cur = r.rlim_max; /* as many as we may */
	return setrlimit(RLIMIT_NOFILE, &r);
}

static inline const char *mtcp_error_text(void)
{
	return "";
}

static inline mctx_t mtcp_create_context(int cpu)
{
	mctx_t m = malloc(sizeof(*m));

	if (m != NULL)
		m->cpu = cpu;
	return m;
}

static inline int mtcp_destroy_context(mctx_t m)
{
	free(m);
	return 0;
}

static inline int mtcp_core_affinitize(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

#endif
#endif
