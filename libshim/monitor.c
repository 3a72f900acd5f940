/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The monitor calls of mos_api.h.  This version has no monitors: a call checks its context and says EOPNOTSUPP.
 */
#include <errno.h>

#include "libshim/api_mos.h"
#include "libshim/shim.h"

/* the definitions below are of the five-parameter forms */
#undef mtcp_register_callback
#undef mtcp_settimer

static int unsupported(mctx_t mctx)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, -EOPNOTSUPP);
}

int mtcp_bind_monitor_filter(mctx_t mctx, int sock, monitor_filter_t ft)
{
	(void)sock;
	(void)ft;
	return unsupported(mctx);
}

int mtcp_register_callback(mctx_t mctx, int sock, event_t event, int hook, callback_t callback)
{
	(void)sock;
	(void)event;
	(void)hook;
	(void)callback;
	return unsupported(mctx);
}

int shim_register_callback4(mctx_t mctx, int sock, event_t event, int hook, shim_callback4_t callback)
{
	(void)sock;
	(void)event;
	(void)hook;
	(void)callback;
	return unsupported(mctx);
}

int mtcp_unregister_callback(mctx_t mctx, int sock, event_t event, int hook)
{
	(void)sock;
	(void)event;
	(void)hook;
	return unsupported(mctx);
}

int mtcp_settimer(mctx_t mctx, int id, struct timeval *timeout, callback_t callback)
{
	(void)id;
	(void)timeout;
	(void)callback;
	return unsupported(mctx);
}

int shim_settimer4(mctx_t mctx, int id, struct timeval *timeout, shim_callback4_t callback)
{
	(void)id;
	(void)timeout;
	(void)callback;
	return unsupported(mctx);
}

event_t mtcp_define_event(event_t parent, filter_t filter, filter_arg_t *arg)
{
	(void)parent;
	(void)filter;
	(void)arg;
	errno = EOPNOTSUPP;
	return MOS_NULL_EVENT;
}

event_t mtcp_alloc_event(event_t parent)
{
	(void)parent;
	errno = EOPNOTSUPP;
	return MOS_NULL_EVENT;
}

int mtcp_raise_event(mctx_t mctx, event_t event)
{
	(void)event;
	return unsupported(mctx);
}

void mtcp_set_uctx(mctx_t mctx, int sock, void *uctx)
{
	(void)sock;
	(void)uctx;
	(void)unsupported(mctx);
}

void *mtcp_get_uctx(mctx_t mctx, int sock)
{
	(void)sock;
	(void)unsupported(mctx);
	return NULL;
}

void mtcp_app_join(mctx_t mctx)
{
	struct shim_ctx *c = shim_enter(mctx);
	int err = 0;

	if (c == NULL)
		return;
	while (err == 0 || err == -EINTR) {
		(void)lane_pump(c);
		err = shim_wait(c, UINT64_MAX);
	}
	shim_leave(c, 0);
}

uint32_t mtcp_cb_get_ts(mctx_t mctx)
{
	(void)unsupported(mctx);
	return 0;
}

ssize_t mtcp_peek(mctx_t mctx, int sock, int side, char *buf, size_t len)
{
	(void)sock;
	(void)side;
	(void)buf;
	(void)len;
	return unsupported(mctx);
}

ssize_t mtcp_ppeek(mctx_t mctx, int sock, int side, char *buf, size_t count, uint64_t off)
{
	(void)sock;
	(void)side;
	(void)buf;
	(void)count;
	(void)off;
	return unsupported(mctx);
}

/* End sockets have no two sides. */
int mtcp_getpeername(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen, int side)
{
	struct shim_ctx *c = shim_enter(mctx);
	struct shim_sock *s;

	(void)addr;
	(void)addrlen;
	(void)side;
	if (c == NULL)
		return -1;
	s = fds_get(c, sock);
	return (int)shim_leave(c, s == NULL ? -EBADF : s->kind == KIND_STREAM ? -EPERM : -ENOTSOCK);
}

int mtcp_getlastpkt(mctx_t mctx, int sock, int side, struct pkt_info *pkt)
{
	(void)sock;
	(void)side;
	(void)pkt;
	return unsupported(mctx);
}

int mtcp_setlastpkt(mctx_t mctx, int sock, int side, off_t offset, byte *data, uint16_t datalen, int option)
{
	(void)sock;
	(void)side;
	(void)offset;
	(void)data;
	(void)datalen;
	(void)option;
	return unsupported(mctx);
}

int mtcp_sendpkt(mctx_t mctx, int sock, const struct pkt_info *pkt)
{
	(void)sock;
	(void)pkt;
	return unsupported(mctx);
}

int mtcp_cb_stop(mctx_t mctx, int sock, int side)
{
	(void)sock;
	(void)side;
	return unsupported(mctx);
}

int mtcp_cb_dropcurpkt(mctx_t mctx)
{
	return unsupported(mctx);
}
