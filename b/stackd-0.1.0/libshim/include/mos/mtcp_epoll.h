/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Readiness, as mOS 0.3 names and numbers it.  mtcp_epoll.h of the other tree has the rules; they are the same.
 */
#ifndef MTCP_EPOLL_H
#define MTCP_EPOLL_H

#include "mtcp_api.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mtcp_epoll_op {
	MOS_EPOLL_CTL_ADD = 1,
	MOS_EPOLL_CTL_DEL = 2,
	MOS_EPOLL_CTL_MOD = 3,
	/* or'ed to one of these: sockid is a file descriptor of the kernel */
	MOS_EPOLL_KERNEL = 0x100
};

enum mtcp_event_type {
	MOS_EPOLLNONE = 0x001,
	MOS_EPOLLIN = 0x002,
	MOS_EPOLLPRI = 0x004,
	MOS_EPOLLOUT = 0x008,
	MOS_EPOLLRDNORM = 0x010,
	MOS_EPOLLRDBAND = 0x020,
	MOS_EPOLLWRNORM = 0x040,
	MOS_EPOLLWRBAND = 0x080,
	MOS_EPOLLMSG = 0x100,
	MOS_EPOLLERR = 0x200,
	MOS_EPOLLHUP = 0x400,
	MOS_EPOLLRDHUP = 0x800,
	MOS_EPOLLONESHOT = (1 << 30),
	MOS_EPOLLET = (1u << 31)
};

typedef union mtcp_epoll_data {
	void *ptr;
	int sock;
	int sockid;
	uint32_t u32;
	uint64_t u64;
} mtcp_epoll_data_t;

struct mtcp_epoll_event {
	uint64_t events;
	mtcp_epoll_data_t data;
};

/* size must be above 0 and means nothing else. */
int mtcp_epoll_create(mctx_t mctx, int size);
int mtcp_epoll_create1(mctx_t mctx, int flags);
int mtcp_epoll_ctl(mctx_t mctx, int epid, int op, int sockid, struct mtcp_epoll_event *event) __asm__("mtcp_epoll_ctl__mos");
/* timeout in ms; -1: no end */
int mtcp_epoll_wait(mctx_t mctx, int epid, struct mtcp_epoll_event *events, int maxevents,
                    int timeout) __asm__("mtcp_epoll_wait__mos");

/* The names of the bits, "IN|OUT"; valid until the thread's next call. */
char *EventToString(uint32_t event) __asm__("EventToString__mos");

#ifdef __cplusplus
}
#endif
#endif
