/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Packets of a monitor's own: any frame, a segment made from a pkt_info, a reset.  stackd sends them, for inline monitors.
 */
#include <errno.h>
#include <string.h>

#include "libshim/mon.h"

enum {
	ETH_MAX = 22, /* with two VLAN tags */
	IP4_HDR = 20,
	IP6_HDR = 40,
	TCP_HDR = 20,
	TTL = 64,
	OPT_EOL = 0,
	OPT_NOP = 1,
	OPT_TS = 8,
	OPT_TS_LEN = 10,
	FLAG_PSH = 8,
	FLAG_ACK = 16,
};

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

/* --- Reset ----------------------------------------------------------------------------------------------------------------- */

int mon_reset(struct shim_ctx *c, struct shim_sock *s)
{
	struct mon_act *a = act_of((struct mon_base *)s);
	struct mon_cmd cmd = { .op = MCMD_RESET, .sock = a->watch->no, .flow = a->flow, .gen = a->gen };

	if (c->down)
		return -ESHUTDOWN;
	return c->mon->right != MON_RIGHT_INLINE ? mon_passive() : mon_post(c->mon, a->lane, &cmd, NULL, 0);
}

/* --- Frames ---------------------------------------------------------------------------------------------------------------- */

/* Of any monitor socket: its flow's lane if it has one, else that of the round at hand, else the home engine's. */
static int send_frame(struct shim_ctx *c, struct mon_base *b, const void *frame, uint32_t len)
{
	struct shim_mon *mon = c->mon;
	bool of_flow = b->s.kind == KIND_ACT;
	struct mon_cmd cmd = { .op = MCMD_SEND, .flow = MON_NONE };
	struct shim_mlane *l = &mon->lane[c->home];

	if (mon->right != MON_RIGHT_INLINE)
		return mon_passive();
	if (of_flow) {
		l = act_of(b)->lane;
		cmd.sock = act_of(b)->watch->no;
		cmd.flow = act_of(b)->flow;
		cmd.gen = act_of(b)->gen;
	} else {
		cmd.sock = watch_of(b)->no;
		if (mon_is_here(mon) && mon->in_round && mon->r.lane != NULL)
			l = mon->r.lane;
	}
	cmd.send.port = MON_NONE;
	return mon_post(mon, l, &cmd, frame, len);
}

int mtcp_sendpkt_raw(mctx_t mctx, int sock, const uint8_t *frame, int len)
{
	struct shim_ctx *c = shim_enter(mctx);
	struct mon_base *b;
	int err = 0;

	if (c == NULL)
		return -1;
	b = mon_get(c, sock, &err);
	if (b != NULL && (frame == NULL || len < ETH_HLEN || len > MON_FRAME_MAX))
		err = -EINVAL;
	if (err == 0 && c->down)
		err = -ESHUTDOWN;
	return (int)shim_leave(c, err != 0 ? err : send_frame(c, b, frame, (uint32_t)len));
}

/* --- Segments ---------------------------------------------------------------------------------------------------------------- */

/* Bytes of the link header in front of an IP header. */
static uint32_t link_len(const struct pkt_info *p)
{
	ptrdiff_t n = (const uint8_t *)p->iph - (const uint8_t *)p->ethh;

	return n >= ETH_HLEN && n <= ETH_MAX ? (uint32_t)n : ETH_HLEN;
}

static uint32_t put_ip(uint8_t *to, const struct pkt_info *p, uint32_t len)
{
	const uint8_t *from = (const uint8_t *)p->iph;

	if (from[0] >> 4 == 6) {
		memset(to, 0, IP6_HDR);
		to[0] = 0x60;
		put16(to + 4, len);
		to[6] = IPPROTO_TCP;
		to[7] = TTL;
		memcpy(to + 8, from + 8, 32);
		return IP6_HDR;
	}
	memset(to, 0, IP4_HDR);
	to[0] = 0x45;
	put16(to + 2, IP4_HDR + len);
	put16(to + 6, 0x4000);
	to[8] = TTL;
	to[9] = IPPROTO_TCP;
	memcpy(to + 12, from + 12, 8);
	pkt_sum_ip(to);
	return IP4_HDR;
}

/* The timestamps option of the template, which a host may insist on (RFC 7323, 3.2); no other. */
static uint32_t put_timestamps(uint8_t *to, const uint8_t *tcp)
{
	uint32_t end = (tcp[12] >> 4) * 4u;

	for (uint32_t i = TCP_HDR; i < end && tcp[i] != OPT_EOL;) {
		uint32_t n = tcp[i] == OPT_NOP ? 1 : i + 1 < end ? tcp[i + 1] : 0;

		if (n == 0 || i + n > end || (tcp[i] != OPT_NOP && n < 2))
			return 0;
		if (tcp[i] == OPT_TS && n == OPT_TS_LEN) {
			to[0] = to[1] = OPT_NOP;
			memcpy(to + 2, tcp + i, OPT_TS_LEN);
			return 2 + OPT_TS_LEN;
		}
		i += n;
	}
	return 0;
}

/* A segment as pkt says, in a link header and an IP header like its own.  Its length. */
static uint32_t build(uint8_t *to, const struct pkt_info *p)
{
	const uint8_t *from = (const uint8_t *)p->tcph;
	uint32_t link = link_len(p), text = p->payload != NULL ? p->payloadlen : 0, opts, ip;
	uint8_t tcp[TCP_HDR + 2 + OPT_TS_LEN] = { 0 }, *l4;

	memcpy(tcp, from, 4);
	put32(tcp + 4, p->seq);
	put32(tcp + 8, p->ack_seq);
	opts = put_timestamps(tcp + TCP_HDR, from);
	tcp[12] = (uint8_t)((TCP_HDR + opts) / 4 << 4);
	tcp[13] = FLAG_ACK | (from[13] & FLAG_PSH);
	put16(tcp + 14, p->window);
	memcpy(to, p->ethh, link);
	ip = put_ip(to + link, p, TCP_HDR + opts + text);
	l4 = to + link + ip;
	memcpy(l4, tcp, TCP_HDR + opts);
	if (text > 0)
		memcpy(l4 + TCP_HDR + opts, p->payload, text);
	pkt_sum_tcp(to + link, l4, TCP_HDR + opts + text);
	return link + ip + TCP_HDR + opts + text;
}

/* What pkt does not bring along is taken from the packet at hand. */
static int complete(struct shim_mon *mon, int sock, struct pkt_info *p)
{
	struct pkt_info at_hand;

	if (p->ethh != NULL && p->iph != NULL && p->tcph != NULL)
		return 0;
	if (mtcp_getlastpkt((mctx_t)mon->c, sock, 0, &at_hand) != 0 || at_hand.tcph == NULL)
		return -ENODATA;
	if (p->ethh == NULL || p->iph == NULL) {
		p->ethh = at_hand.ethh;
		p->iph = at_hand.iph;
	}
	if (p->tcph == NULL)
		p->tcph = at_hand.tcph;
	return 0;
}

int mtcp_sendpkt(mctx_t mctx, int sock, const struct pkt_info *pkt)
{
	struct shim_mon *mon = mon_enter(mctx);
	struct pkt_info p;
	struct mon_act *a;
	static _Thread_local uint8_t frame[MON_FRAME_MAX];
	uint32_t room;
	int err = 0;

	if (mon == NULL)
		return -1;
	a = mon_named_act(mon, sock, &err);
	if (a == NULL || pkt == NULL)
		return (int)shim_ret(a == NULL ? (err == -EBADF ? err : -EPERM) : -EINVAL);
	p = *pkt;
	err = complete(mon, sock, &p);
	room = UINT16_MAX - IP4_HDR - TCP_HDR - 2 - OPT_TS_LEN;
	if (err == 0 && p.payload != NULL && p.payloadlen > room)
		err = -EINVAL;
	if (err == 0)
		err = send_frame(mon->c, &a->b, frame, build(frame, &p));
	return (int)shim_ret(err);
}
