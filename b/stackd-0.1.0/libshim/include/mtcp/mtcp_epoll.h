/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Readiness, as mTCP 3.0 names it.  The bits have the values of Linux.
 *
 * Any number of instances per context.  Level-triggered unless MTCP_EPOLLET; MTCP_EPOLLONESHOT disarms after one report until
 * MTCP_EPOLL_CTL_MOD.  One entry per ready socket carries all its bits; ERR, HUP are reported unasked.  An epoll id may be
 * added to another one.
 */
#ifndef MTCP_EPOLL_H
#define MTCP_EPOLL_H

#include "mtcp_api.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mtcp_epoll_op {
	MTCP_EPOLL_CTL_ADD = 1,
	MTCP_EPOLL_CTL_DEL = 2,
	MTCP_EPOLL_CTL_MOD = 3,
	/* or'ed to one of these: sockid is a file descriptor of the kernel */
	MTCP_EPOLL_KERNEL = 0x100
};

enum mtcp_event_type {
	MTCP_EPOLLNONE = 0,
	MTCP_EPOLLIN = 0x001,
	MTCP_EPOLLPRI = 0x002,
	MTCP_EPOLLOUT = 0x004,
	MTCP_EPOLLRDNORM = 0x040,
	MTCP_EPOLLRDBAND = 0x080,
	MTCP_EPOLLWRNORM = 0x100,
	MTCP_EPOLLWRBAND = 0x200,
	MTCP_EPOLLMSG = 0x400,
	MTCP_EPOLLERR = 0x008,
	MTCP_EPOLLHUP = 0x010,
	MTCP_EPOLLRDHUP = 0x2000,
	MTCP_EPOLLONESHOT = (1 << 30),
	MTCP_EPOLLET = (1u << 31)
};

typedef union mtcp_epoll_data {
	void *ptr;
	int sockid;
	int sock;
	uint32_t u32;
	uint64_t u64;
} mtcp_epoll_data_t;

struct mtcp_epoll_event {
	uint32_t events;
	mtcp_epoll_data_t data;
};

/* size must be above 0 and means nothing else. */
int mtcp_epoll_create(mctx_t mctx, int size);
/* flags: 0 or O_CLOEXEC */
int mtcp_epoll_create1(mctx_t mctx, int flags);
int mtcp_epoll_ctl(mctx_t mctx, int epid, int op, int sockid, struct mtcp_epoll_event *event);
/* timeout in ms; -1: no end */
int mtcp_epoll_wait(mctx_t mctx, int epid, struct mtcp_epoll_event *events, int maxevents, int timeout);

/* The names of the bits, "IN|OUT"; valid until the thread's next call. */
char *EventToString(uint32_t event);

#ifdef __cplusplus
}
#endif
#endif
