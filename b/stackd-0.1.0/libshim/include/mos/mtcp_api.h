/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The API of mOS 0.3 (sockets), on stackd.  Link with `pkg-config --libs libshim-mos`.
 *
 * Where a name means something else than in mTCP 3.0 it is bound to a symbol of its own, so that one library serves both.
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
	MOS_SOCK_UNUSED,
	MOS_SOCK_STREAM_LISTEN,
	MOS_SOCK_PROXY_LISTEN,
	MOS_SOCK_MONITOR_STREAM,
	MOS_SOCK_STREAM,
	MOS_SOCK_PROXY,
	MOS_SOCK_MONITOR_STREAM_ACTIVE,
	MOS_SOCK_MONITOR_RAW,
	MOS_SOCK_EPOLL,
	MOS_SOCK_PIPE
};

#define APP_NAME_LEN 40
#define MOS_APP 20
#define MOS_APP_ARGC 20

struct mtcp_conf {
	int num_cores;
	int max_concurrency; /* sockets, epolls and pipes of one context */
	uint64_t cpu_mask;
	int max_num_buffers; /* kept, not used: stackd's configuration bounds memory */
	int rcvbuf_size;
	int sndbuf_size;
	int tcp_timewait; /* ms; kept, not used: stackd's configuration decides */
	int tcp_timeout;  /* ms; as above */
	/* the application blocks of mos.conf; strings stay valid until the next mtcp_init */
	uint64_t app_cpu_mask[MOS_APP];
	char *app_argv[MOS_APP][MOS_APP_ARGC];
	int app_argc[MOS_APP];
	int num_app;
};

struct mtcp_context {
	int cpu;
};
typedef struct mtcp_context *mctx_t;

#ifndef SHIM_MOS_BYTE
#define SHIM_MOS_BYTE
typedef unsigned char byte;
#endif

#ifdef __cplusplus
}
#endif

#include "../mtcp_calls.h"

#ifdef __cplusplus
extern "C" {
#endif

/* May be called before and after mtcp_init; contexts made later follow. */
int mtcp_getconf(struct mtcp_conf *conf) __asm__("mtcp_getconf__mos");
/* Takes over num_cores, max_concurrency, rcvbuf_size, sndbuf_size, tcp_timewait, tcp_timeout as they are: call mtcp_getconf first. */
int mtcp_setconf(const struct mtcp_conf *conf) __asm__("mtcp_setconf__mos");

/* type: SOCK_STREAM, MOS_SOCK_STREAM (non-blocking sockets), MOS_SOCK_MONITOR_STREAM, MOS_SOCK_MONITOR_RAW. */
int mtcp_socket(mctx_t mctx, int domain, int type, int protocol) __asm__("mtcp_socket__mos");

#ifdef __cplusplus
}
#endif
#endif
