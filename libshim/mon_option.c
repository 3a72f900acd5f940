/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SOL_MONSOCKET: what a flow's socket tells in a callback, and what may be asked of monitor sockets at any time.
 */
#include <errno.h>
#include <string.h>

#include "libshim/mon.h"

enum { FRAGS = 64 };

static int get(struct shim_mon *mon, struct mon_act *a, int name, void *val, socklen_t *len);

/* For programs that give bytes: as many as fit.  For those that give elements: no more than they have. */
static uint32_t frag_room(socklen_t len)
{
	return len % sizeof(struct tcp_ring_fragment) == 0 ? len / (uint32_t)sizeof(struct tcp_ring_fragment) : len;
}

static int get_frags(struct shim_mon *mon, struct mon_act *a, unsigned side, struct tcp_ring_fragment *out, socklen_t *len)
{
	struct mon_piece piece[FRAGS];
	uint32_t room = frag_room(*len), n = 0;
	struct mon_rec rec;
	int err = act_now(mon, a, &rec);
	uint64_t at;

	if (err != 0)
		return err == -ESTALE ? -ENOTCONN : err;
	at = rec.side[side].head > a->from[side] ? rec.side[side].head : a->from[side];
	while (n < room && at < rec.side[side].top) {
		size_t got = mon_pieces(&a->lane->reader, &rec, side, a->b.policy[side], at, rec.side[side].top, piece, FRAGS);

		got = got < FRAGS ? got : FRAGS;
		for (size_t i = 0; i < got && n < room; i++) {
			uint64_t bytes = piece[i].to - piece[i].from;

			out[n++] = (struct tcp_ring_fragment){ piece[i].from, bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes };
		}
		if (got < FRAGS)
			break;
		at = piece[got - 1].to;
	}
	*len = n;
	return 0;
}

/* Sequence numbers, all four. */
static int get_info(struct shim_mon *mon, struct mon_act *a, unsigned side, void *val, socklen_t *len)
{
	struct tcp_buf_info info;
	struct mon_rec rec;
	int err = act_now(mon, a, &rec);

	if (*len < sizeof(info))
		return -EINVAL;
	if (err != 0)
		return err == -ESTALE ? -ENOTCONN : err;
	info.tcpbi_init_seq = rec.side[side].isn;
	info.tcpbi_last_byte_read = rec.side[side].isn + (uint32_t)a->cursor[side];
	info.tcpbi_next_byte_expected = rec.side[side].isn + 1 + (uint32_t)a->next_off[side];
	info.tcpbi_last_byte_received = rec.side[side].isn + (uint32_t)rec.side[side].top;
	memcpy(val, &info, sizeof(info));
	*len = sizeof(info);
	return 0;
}

static int give_int(void *val, socklen_t *len, int v)
{
	if (*len != sizeof(v))
		return -EINVAL;
	memcpy(val, &v, sizeof(v));
	return 0;
}

static int get_time(const struct shim_mon *mon, void *val, socklen_t *len)
{
	uint64_t us = mon->r.ev.ts_us;

	if (*len == sizeof(us)) {
		memcpy(val, &us, sizeof(us));
		return 0;
	}
	return give_int(val, len, (int)(uint32_t)us);
}

static int get(struct shim_mon *mon, struct mon_act *a, int name, void *val, socklen_t *len)
{
	unsigned side;

	switch (name) {
	case MOS_FRAGINFO_CLIBUF:
	case MOS_FRAGINFO_SVRBUF:
		return get_frags(mon, a, name == MOS_FRAGINFO_CLIBUF ? MON_CLI : MON_SVR, val, len);
	case MOS_INFO_CLIBUF:
	case MOS_INFO_SVRBUF:
		return get_info(mon, a, name == MOS_INFO_CLIBUF ? MON_CLI : MON_SVR, val, len);
	case MOS_TCP_STATE_CLI:
	case MOS_TCP_STATE_SVR:
		side = name == MOS_TCP_STATE_CLI ? MON_CLI : MON_SVR;
		if (a->state[side] == MON_STATE_NONE)
			return -ENOTCONN;
		return give_int(val, len, a->state[side] < MON_STATES ? a->state[side] : MOS_TCP_CLOSED);
	case MOS_TIMESTAMP:
		return get_time(mon, val, len);
	default:
		return -ENOSYS;
	}
}

/* Not from a callback: what it is comes before who asks. */
static int refuse(struct mtcp_context *m, int sock)
{
	struct shim_ctx *c = shim_enter(m);
	int err = 0;

	if (c == NULL)
		return -1;
	(void)mon_get(c, sock, &err);
	return (int)shim_leave(c, err != 0 ? err : mon_outside());
}

int mon_getsockopt(struct mtcp_context *m, int sock, int name, void *val, socklen_t *len)
{
	struct shim_mon *mon = mon_inside(m);
	struct mon_act *a;
	int err = 0;

	if (mon == NULL)
		return refuse(m, sock);
	a = mon_named_act(mon, sock, &err);
	if (a == NULL)
		return (int)shim_ret(err == -EBADF ? err : -ENOTSOCK);
	return (int)shim_ret(val == NULL || len == NULL ? -EFAULT : get(mon, a, name, val, len));
}

/* --- Setting them ------------------------------------------------------------------------------------------------------------ */

static int set_buf(struct mon_base *b, unsigned side, int v)
{
	if (v < 0)
		return -EINVAL;
	b->buf[side] = v;
	if (b->s.kind == KIND_WATCH)
		return watch_tell(watch_of(b), (watch_of(b)->next != NULL ? watch_of(b)->next : b->live)->uses);
	mon_changed(b);
	return 0;
}

static int set(struct mon_base *b, int name, int v)
{
	switch (name) {
	case MOS_CLIBUF:
	case MOS_SVRBUF:
		return set_buf(b, name == MOS_CLIBUF ? MON_CLI : MON_SVR, v);
	case MOS_CLIOVERLAP:
	case MOS_SVROVERLAP:
		if (v != MOS_OVERLAP_POLICY_FIRST && v != MOS_OVERLAP_POLICY_LAST)
			return -EINVAL;
		b->policy[name == MOS_CLIOVERLAP ? MON_CLI : MON_SVR] = (uint8_t)(v == MOS_OVERLAP_POLICY_LAST ? MON_LAST : MON_FIRST);
		return 0;
	case MOS_STOP_MON:
		return mon_stop_side(b, v);
	default:
		return -ENOSYS;
	}
}

int mon_setsockopt(struct mtcp_context *m, int sock, int name, const void *val, socklen_t len)
{
	struct shim_ctx *c = shim_enter(m);
	struct mon_base *b;
	int err = 0, v;

	if (c == NULL)
		return -1;
	b = mon_get(c, sock, &err);
	if (b == NULL)
		return (int)shim_leave(c, err);
	if (b->s.kind == KIND_WATCH && watch_of(b)->raw)
		return (int)shim_leave(c, -ENOTSOCK);
	if (val == NULL || len < sizeof(v))
		return (int)shim_leave(c, val == NULL ? -EFAULT : -EINVAL);
	memcpy(&v, val, sizeof(v));
	return (int)shim_leave(c, set(b, name, v));
}
