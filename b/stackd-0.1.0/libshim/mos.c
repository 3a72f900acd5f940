/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What mOS 0.3 names like mTCP 3.0 but means otherwise: these are the symbols that the headers of include/mos bind to.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "libshim/api_mos.h"
#include "libshim/shim.h"

static_assert(sizeof(struct mtcp_epoll_event) == sizeof(struct shim_event), "events are translated in place");
static_assert(MOS_APP == CONF_APPS && MOS_APP_ARGC == CONF_ARGS, "the tables of applications are equal");

static const struct {
	uint32_t mos, linux_bit;
} bits[] = {
	{ MOS_EPOLLIN, EPOLLIN },         { MOS_EPOLLPRI, EPOLLPRI },       { MOS_EPOLLOUT, EPOLLOUT },
	{ MOS_EPOLLRDNORM, EPOLLRDNORM }, { MOS_EPOLLRDBAND, EPOLLRDBAND }, { MOS_EPOLLWRNORM, EPOLLWRNORM },
	{ MOS_EPOLLWRBAND, EPOLLWRBAND }, { MOS_EPOLLMSG, EPOLLMSG },       { MOS_EPOLLERR, EPOLLERR },
	{ MOS_EPOLLHUP, EPOLLHUP },       { MOS_EPOLLRDHUP, EPOLLRDHUP },   { MOS_EPOLLONESHOT, EPOLLONESHOT },
	{ MOS_EPOLLET, (uint32_t)EPOLLET },
};

static uint32_t to_linux(uint64_t mos)
{
	uint32_t out = 0;

	for (size_t i = 0; i < sizeof(bits) / sizeof(*bits); i++)
		out |= (mos & bits[i].mos) != 0 ? bits[i].linux_bit : 0;
	return out;
}

static uint64_t to_mos(uint64_t linux_bits)
{
	uint64_t out = 0;

	for (size_t i = 0; i < sizeof(bits) / sizeof(*bits); i++)
		out |= (linux_bits & bits[i].linux_bit) != 0 ? bits[i].mos : 0;
	return out;
}

int mtcp_getconf(struct mtcp_conf *conf)
{
	struct shim_conf *c = malloc(sizeof(*c));
	const struct shim_conf *kept = conf_shared();

	if (conf == NULL || c == NULL) {
		free(c);
		return (int)shim_ret(conf == NULL ? -EINVAL : -ENOMEM);
	}
	conf_get(c);
	memset(conf, 0, sizeof(*conf));
	conf->num_cores = c->num_cores;
	conf->max_concurrency = c->max_concurrency != 0 ? c->max_concurrency : SHIM_FDS_MAX;
	conf->max_num_buffers = c->max_num_buffers;
	conf->rcvbuf_size = c->rcvbuf;
	conf->sndbuf_size = c->sndbuf;
	conf->tcp_timewait = c->timewait_ms;
	conf->tcp_timeout = c->timeout_ms;
	conf->num_app = c->apps;
	for (int i = 0; i < c->apps; i++) {
		conf->cpu_mask |= c->app[i].cpu_mask;
		conf->app_cpu_mask[i] = c->app[i].cpu_mask;
		conf->app_argc[i] = c->app[i].argc;
		for (int k = 0; k < c->app[i].argc; k++)
			conf->app_argv[i][k] = kept->app[i].argv[k];
	}
	free(c);
	return 0;
}

int mtcp_setconf(const struct mtcp_conf *conf)
{
	struct shim_conf *c = malloc(sizeof(*c));
	const char *why;

	if (conf == NULL || c == NULL) {
		free(c);
		return (int)shim_ret(conf == NULL ? -EINVAL : -ENOMEM);
	}
	conf_get(c);
	c->num_cores = conf->num_cores;
	c->max_concurrency = conf->max_concurrency;
	c->rcvbuf = conf->rcvbuf_size;
	c->sndbuf = conf->sndbuf_size;
	c->timewait_ms = conf->tcp_timewait;
	c->timeout_ms = conf->tcp_timeout;
	why = conf->max_concurrency < 1 ? "max_concurrency must be between 1 and 1048576" : conf_check(c);
	if (why == NULL)
		conf_set(c);
	else
		shim_text("%s", why);
	free(c);
	return (int)shim_ret(why == NULL ? 0 : -EINVAL);
}

int mtcp_socket(mctx_t mctx, int domain, int type, int protocol)
{
	struct shim_ctx *c = shim_enter(mctx);
	int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (c == NULL)
		return -1;
	switch (type & ~flags) {
	case SOCK_STREAM:
	case MOS_SOCK_STREAM:
		if (protocol != 0 && protocol != IPPROTO_TCP)
			return (int)shim_leave(c, -EINVAL);
		return (int)shim_leave(c, sock_create(c, domain, flags));
	case MOS_SOCK_MONITOR_STREAM:
	case MOS_SOCK_MONITOR_RAW:
		return (int)shim_leave(c, mon_socket(c, domain, (type & ~flags) == MOS_SOCK_MONITOR_RAW));
	default:
		return (int)shim_leave(c, -EINVAL);
	}
}

int mtcp_epoll_ctl(mctx_t mctx, int epid, int op, int sockid, struct mtcp_epoll_event *event)
{
	struct shim_ctx *c = shim_enter(mctx);
	struct shim_event e = { 0 };

	if (c == NULL)
		return -1;
	if (event != NULL)
		e = (struct shim_event){ to_linux(event->events), event->data.u64 };
	return (int)shim_leave(c, ep_ctl(c, epid, op, sockid, event != NULL ? &e : NULL));
}

int mtcp_epoll_wait(mctx_t mctx, int epid, struct mtcp_epoll_event *events, int maxevents, int timeout)
{
	struct shim_ctx *c = shim_enter(mctx);
	int n;

	if (c == NULL)
		return -1;
	n = (int)shim_leave(c, ep_wait(c, epid, (struct shim_event *)events, maxevents, timeout));
	for (int i = 0; i < n; i++)
		events[i].events = to_mos(events[i].events);
	return n;
}

char *EventToString(uint32_t event)
{
	return ep_names(to_linux(event));
}
