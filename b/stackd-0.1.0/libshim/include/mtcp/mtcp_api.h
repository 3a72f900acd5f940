/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The API of mTCP 3.0, on stackd.  Link with `pkg-config --libs libshim`.
 */
#ifndef MTCP_API_H
#define MTCP_API_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum socket_type {
	MTCP_SOCK_UNUSED,
	MTCP_SOCK_STREAM,
	MTCP_SOCK_PROXY,
	MTCP_SOCK_LISTENER,
	MTCP_SOCK_EPOLL,
	MTCP_SOCK_PIPE
};

struct mtcp_conf {
	int num_cores;
	int max_concurrency; /* sockets, epolls and pipes of one context */
	int max_num_buffers; /* kept, not used: stackd's configuration bounds memory */
	int rcvbuf_size;
	int sndbuf_size;
	int tcp_timewait; /* ms; kept, not used: stackd's configuration decides */
	int tcp_timeout;  /* ms; as above */
};

struct mtcp_context {
	int cpu;
};
typedef struct mtcp_context *mctx_t;

#ifdef __cplusplus
}
#endif

#include "../mtcp_calls.h"

#ifdef __cplusplus
extern "C" {
#endif

/* May be called before and after mtcp_init; contexts made later follow. */
int mtcp_getconf(struct mtcp_conf *conf);
/* Takes over the fields that are above 0. */
int mtcp_setconf(const struct mtcp_conf *conf);

/* type: SOCK_STREAM (may carry SOCK_NONBLOCK, SOCK_CLOEXEC).  The socket is non-blocking. */
int mtcp_socket(mctx_t mctx, int domain, int type, int protocol);

int mtcp_getpeername(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen);

#ifdef __cplusplus
}
#endif
#endif
