/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Packets of monitors: a frame of their own, and the reset of a flow (RST to both ends).  Only inline monitors may, and only
 * within their scope.  And acknowledgements of what they have removed.
 */
#include <string.h>

#include "stackd/mon/priv.h"
#include "stackd/tcp/seg.h"

enum { IP4_HDR = 20, IP6_HDR = 40, TCP_HDR = 20, TS_OPT = 12, TTL = 64 };

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

/* Where packets that `side` sends leave. */
static int port_out(const struct mon *m, const struct mon_flow *f, unsigned side)
{
	if (f->l2_len[side] != 0)
		return m->conf.port[f->ports[side]].peer;
	return f->l2_len[1 - side] != 0 ? f->ports[1 - side] : -1;
}

/* --- Segments as from the other end --------------------------------------------------------------------------------------------------------------- */

static void link_header(const struct mon_flow *f, unsigned side, uint8_t *to)
{
	const uint8_t *other = f->l2[1 - side];

	if (f->l2_len[side] != 0) {
		memcpy(to, f->l2[side], f->l2_len[side]);
		return;
	}
	memcpy(to, other, f->l2_len[1 - side]);
	memcpy(to, other + 6, 6);
	memcpy(to + 6, other, 6);
}

static uint32_t ip_header(uint8_t *ip, const struct mon_half *to, unsigned version, uint32_t len)
{
	/* as the receiver knows them: its peer sends to it */
	if (version == 4) {
		memset(ip, 0, IP4_HDR);
		ip[0] = 0x45;
		put16(ip + 2, IP4_HDR + len);
		put16(ip + 6, 0x4000);
		ip[8] = TTL;
		ip[9] = 6;
		memcpy(ip + 12, to->peer.b + 12, 4);
		memcpy(ip + 16, to->own.b + 12, 4);
		return IP4_HDR;
	}
	memset(ip, 0, IP6_HDR);
	ip[0] = 0x60;
	put16(ip + 4, len);
	ip[6] = 6;
	ip[7] = TTL;
	memcpy(ip + 8, to->peer.b, 16);
	memcpy(ip + 24, to->own.b, 16);
	return IP6_HDR;
}

struct own {
	uint8_t flags;
	uint16_t wnd;
	uint32_t ack;
	bool ts;
	uint32_t ts_val, ts_ecr;
};

static uint32_t tcp_header(uint8_t *tcp, const struct mon_half *to, const struct own *o)
{
	uint32_t len = TCP_HDR + (o->ts ? TS_OPT : 0);

	memset(tcp, 0, TCP_HDR);
	put16(tcp, to->peer_port);
	put16(tcp + 2, to->own_port);
	put32(tcp + 4, (to->flags & HALF_SEQ) != 0 ? to->rcv_isn + 1 + (uint32_t)to->next + ((to->flags & HALF_RCV_FIN) != 0) : 0);
	put32(tcp + 8, o->ack);
	tcp[12] = (uint8_t)(len / 4 << 4);
	tcp[13] = o->flags;
	put16(tcp + 14, o->wnd);
	if (o->ts) {
		put32(tcp + 20, 0x0101080a); /* RFC 7323, appendix A */
		put32(tcp + 24, o->ts_val);
		put32(tcp + 28, o->ts_ecr);
	}
	return len;
}

/* To one end, as from the other: RFC 9293 3.10.7, exactly at what it expects next. */
static bool send_to(struct mon *m, struct mon_flow *f, unsigned side, const struct own *o)
{
	const struct mon_half *to = &f->half[side];
	unsigned l2 = f->l2_len[1 - side] != 0 ? f->l2_len[1 - side] : f->l2_len[side];
	int port = port_out(m, f, 1 - side);
	struct mon_seg s;
	struct pkt *p;
	uint8_t *tcp;

	if ((to->flags & HALF_ATTACHED) == 0 || port < 0 || l2 == 0)
		return false;
	p = nic_alloc(m->conf.port[port].nic);
	if (p == NULL)
		return false;
	link_header(f, 1 - side, p->data);
	tcp = p->data + l2;
	tcp += ip_header(tcp, to, f->ip_version, TCP_HDR + (o->ts ? TS_OPT : 0));
	p->len = (uint32_t)(tcp - p->data) + tcp_header(tcp, to, o);
	p->flags = 0;
	mon_seg_parse(p, m->conf.seed, &s);
	s.l3_off = (uint16_t)l2;
	s.l4_off = (uint16_t)(tcp - p->data);
	s.version = f->ip_version;
	s.proto = 6;
	s.text_off = (uint16_t)p->len;
	s.text_len = 0;
	s.seq = (uint32_t)tcp[4] << 24 | (uint32_t)tcp[5] << 16 | (uint32_t)tcp[6] << 8 | tcp[7];
	s.ack = o->ack;
	s.flags = o->flags;
	if (f->xlate != NULL)
		(void)mon_edit_pass(f, 1 - side, MON_LAYER_RCV, side == MON_CLI ? UINT32_MAX : 0, side == MON_CLI ? 0 : UINT32_MAX,
				    &p, &s);
	mon_edit_csum(p, &s, true, true);
	mon_send_to(m, p, (unsigned)port);
	return true;
}

static bool reset_to(struct mon *m, struct mon_flow *f, unsigned side)
{
	return send_to(m, f, side, &(struct own){ .flags = SEG_RST | SEG_ACK, .ack = f->half[side].snd_nxt });
}

bool mon_reset(struct mon *m, struct mon_lane *l, struct mon_flow *f)
{
	bool one = reset_to(m, f, MON_CLI), other = reset_to(m, f, MON_SVR);

	if (!one && !other)
		return false;
	l->resets++;
	COUNT_ADD(m->stats, MON_INJECTED, (unsigned)one + other);
	(void)mon_half_end(f);
	mon_publish(f);
	mon_flow_over(m, f);
	return true;
}

/* Its timestamps are the packet's own, the other way round: the latest of the other end that its sender has got. */
void mon_answer(struct mon *m, const struct mon_pass *ps)
{
	const struct mon_half *from = mon_other(ps->snd);
	struct own o = { .flags = SEG_ACK, .wnd = from->wnd_in, .ts = ps->seg.has_ts, .ts_val = ps->seg.ts_ecr,
			 .ts_ecr = ps->seg.ts_val };

	if (!from->ack_known || (ps->snd->flags & HALF_SEQ) == 0)
		return;
	o.ack = ps->flow->xlate != NULL ? mon_edit_acked(ps->flow, from->side, from->ack_in) : from->ack_in;
	if (seq_ge(o.ack, ps->end_in) && send_to(m, ps->flow, ps->snd->side, &o))
		COUNT(m->stats, MON_ANSWERED);
}

/* --- Stations ------------------------------------------------------------------------------------------------------------ */

static struct mon_station *station_at(struct mon *m, const uint8_t *mac)
{
	return &m->station[(mac[5] ^ mac[4] * 31u ^ mac[3] * 7u) % STATIONS];
}

void mon_station_note(struct mon *m, const struct pkt *p)
{
	const uint8_t *mac = p->data + 6;
	struct mon_station *s;

	if (p->len < 14 || (mac[0] & 1) != 0)
		return;
	s = station_at(m, mac);
	memcpy(s->mac, mac, 6);
	s->port = p->port;
	s->known = true;
}

/* The port behind which a hardware address is; -1: unknown, or many. */
static int station_port(struct mon *m, const uint8_t *mac)
{
	const struct mon_station *s = station_at(m, mac);

	return s->known && memcmp(s->mac, mac, 6) == 0 ? s->port : -1;
}

/* As a bridge would: towards its receiver, else away from its sender. */
static int station_way(struct mon *m, const uint8_t *frame)
{
	int to = station_port(m, frame), from = station_port(m, frame + 6);

	return to >= 0 || from < 0 ? to : m->conf.port[from].peer;
}

/* --- Frames -------------------------------------------------------------------------------------------------------------- */

static int frame_port(struct mon *m, struct mon_lane *l, const struct mon_cmd *c, const uint8_t *frame, uint32_t len)
{
	struct pkt look = { .data = (uint8_t *)(uintptr_t)frame, .len = len, .room = len };
	struct mon_flow *f = mon_flow_named(m, l, c->flow, c->gen);
	struct mon_half *snd;
	struct mon_seg s;

	if (c->send.port != MON_NONE)
		return c->send.port < m->conf.ports && m->conf.port[c->send.port].mode == MON_PORT_BRIDGE ? (int)c->send.port : -1;
	mon_seg_parse(&look, m->conf.seed, &s);
	snd = mon_half_find(&m->table, &s);
	if (snd == NULL && f != NULL) { /* to one end of the flow, whatever it is */
		for (unsigned i = 0; i < 2 && snd == NULL; i++) {
			struct mon_half *h = &f->half[i];

			if ((h->flags & HALF_ATTACHED) != 0 && s.version == f->ip_version && memcmp(&h->own, &s.dst, sizeof(s.dst)) == 0)
				snd = mon_other(h);
		}
	}
	return snd == NULL ? station_way(m, frame) : port_out(m, snd->flow, snd->side);
}

bool mon_inject(struct mon *m, struct mon_lane *l, const struct mon_cmd *c)
{
	uint32_t off = c->send.off, len = c->send.len;
	struct pkt *p;
	int port;

	if (off > l->edit_size || len > l->edit_size - off || len < 14 || len > sizeof(m->script))
		return false;
	memcpy(m->script, l->edit + off, len); /* the client may change it meanwhile */
	if (!mon_filter_match_bytes(l->group->scope, m->script, len))
		return false;
	port = frame_port(m, l, c, m->script, len);
	if (port < 0)
		return false;
	p = nic_alloc(m->conf.port[port].nic);
	if (p == NULL || p->room < len || len > (uint32_t)m->conf.port[port].nic->mtu + 22) {
		if (p != NULL)
			nic_free(p);
		return false;
	}
	memcpy(p->data, m->script, len);
	p->len = len;
	p->flags = 0;
	mon_send_to(m, p, (unsigned)port);
	l->injected++;
	COUNT(m->stats, MON_INJECTED);
	return true;
}
