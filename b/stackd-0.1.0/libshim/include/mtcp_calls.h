/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The calls that mean the same in both APIs.  Not for direct inclusion: mtcp_api.h of either tree includes it after it has
 * defined mctx_t.
 *
 * Every call returns -1 (or NULL) and sets errno on failure.  EACCES: the context is not valid (never made, destroyed, or made
 * before fork() by the parent).  ESHUTDOWN: stackd is gone or has detached this context; make a new one.  EBADF, ENOTSOCK:
 * the id names nothing, or something of another kind.  A context belongs to the thread that made it; calls from several
 * threads are safe, each waits its turn.
 */
#ifndef SHIM_MTCP_CALLS_H
#define SHIM_MTCP_CALLS_H

#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef UNUSED
#define UNUSED(x) ((void)(x))
#endif
#ifndef INPORT_ANY
#define INPORT_ANY ((uint16_t)0)
#endif

typedef void (*mtcp_sighandler_t)(int);

/* Reads the program's configuration, in the syntax of mtcp.conf or of mos.conf; NULL: defaults.  ENOENT and the like; EINVAL with a
 * sentence in mtcp_error_text() when the file has an unknown key or a bad value. */
int mtcp_init(const char *config_file);

/* Destroys every context of this process. */
int mtcp_destroy(void);

int mtcp_core_affinitize(int cpu);

/* Attaches to stackd; `cpu` chooses the home engine, modulo their number.  NULL: mtcp_error_text() says why. */
mctx_t mtcp_create_context(int cpu);
int mtcp_destroy_context(mctx_t mctx);

/* The previous handler, or SIG_ERR.  Waiting calls return EINTR after it ran. */
mtcp_sighandler_t mtcp_register_signal(int signum, mtcp_sighandler_t handler);

/* A byte pipe between threads that share a context; id[0] reads, id[1] writes. */
int mtcp_pipe(mctx_t mctx, int pipeid[2]);

int mtcp_getsockopt(mctx_t mctx, int sockid, int level, int optname, void *optval, socklen_t *optlen);
int mtcp_setsockopt(mctx_t mctx, int sockid, int level, int optname, const void *optval, socklen_t optlen);
int mtcp_setsock_nonblock(mctx_t mctx, int sockid);

/* FIONREAD, FIONBIO (0 makes the socket blocking).  Two names for one call. */
int mtcp_ioctl(mctx_t mctx, int sockid, int request, void *argp);
int mtcp_socket_ioctl(mctx_t mctx, int sockid, int request, void *argp);

int mtcp_bind(mctx_t mctx, int sockid, const struct sockaddr *addr, socklen_t addrlen);
int mtcp_listen(mctx_t mctx, int sockid, int backlog);
/* The new socket is non-blocking. */
int mtcp_accept(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen);
/* The new socket is non-blocking if flags has SOCK_NONBLOCK, else blocking; SOCK_CLOEXEC is accepted and means nothing. */
int mtcp_accept4(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen, int flags);

/* Source addresses for connections to daddr:dport, used in turn: num_addr of them from saddr_base on (both network order).
 * INADDR_ANY: stackd chooses.  daddr INADDR_ANY or dport 0 match every destination that has no pool of its own. */
int mtcp_init_rss(mctx_t mctx, in_addr_t saddr_base, int num_addr, in_addr_t daddr, in_addr_t dport);
int mtcp_connect(mctx_t mctx, int sockid, const struct sockaddr *addr, socklen_t addrlen);

int mtcp_close(mctx_t mctx, int sockid);
int mtcp_abort(mctx_t mctx, int sockid);
/* The connection is reset, the descriptor stays until mtcp_close(). */
int mtcp_reset_conn(mctx_t mctx, int sockid);
int mtcp_shutdown(mctx_t mctx, int sockid, int how);

int mtcp_getsockname(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen);

ssize_t mtcp_read(mctx_t mctx, int sockid, char *buf, size_t len);
/* flags: MSG_PEEK, MSG_DONTWAIT */
ssize_t mtcp_recv(mctx_t mctx, int sockid, char *buf, size_t len, int flags);
ssize_t mtcp_readv(mctx_t mctx, int sockid, const struct iovec *iov, int numIOV);
ssize_t mtcp_write(mctx_t mctx, int sockid, const char *buf, size_t len);
/* flags: MSG_DONTWAIT; MSG_NOSIGNAL and MSG_MORE are accepted */
ssize_t mtcp_send(mctx_t mctx, int sockid, const char *buf, size_t len, int flags);
ssize_t mtcp_writev(mctx_t mctx, int sockid, const struct iovec *iov, int numIOV);

/* poll(2) for ids of this context; negative ids are passed over. */
int mtcp_poll(mctx_t mctx, struct pollfd *fds, nfds_t nfds, int timeout_ms);

/* A kernel descriptor for poll(2), epoll(7) and event loops: readable when mtcp_epoll_wait(..., 0) has something new to look at.
 * After it became readable call mtcp_epoll_wait with timeout 0 until it returns 0, then wait again.  It stays the context's. */
int mtcp_context_fd(mctx_t mctx);

uint32_t mtcp_get_connection_cnt(mctx_t mctx);

/* Why the last failing mtcp_init or mtcp_create_context of this thread failed, or, after ESHUTDOWN, why the context was
 * detached; "" when there is nothing to say.  Valid until the thread's next call. */
const char *mtcp_error_text(void);

/* Notices (an ignored key, a detached context), one line without newline.  NULL: nobody listens, which is the default
 * unless the environment has SHIM_LOG (then they go to standard error). */
typedef void (*mtcp_log_fn)(void *arg, const char *line);
void mtcp_set_log(mtcp_log_fn fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
