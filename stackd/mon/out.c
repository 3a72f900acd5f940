/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What leaves by the other side of a bridge: bursts per port, datagrams that came in fragments and go out in fragments again, and TCP
 * segments that are too long there, which become several.
 */
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/priv.h"
#include "stackd/tcp/seg.h"

enum { IP4_MIN = 20, IP6_HDR = 40, IP6_FRAG = 8, FRAG_UNIT = 8, ETH_HDR = 14, VLAN_TAGS = 8, JOINED_SPARE = 4096, CWR = 128 };

static void port_flush(struct mon *m, unsigned port)
{
	struct nic *nic = m->conf.port[port].nic;
	unsigned queue = m->conf.engine < nic->tx_queues ? m->conf.engine : m->conf.engine % nic->tx_queues;
	uint16_t n = (uint16_t)m->outs[port];

	m->outs[port] = 0;
	COUNT_ADD(m->stats, MON_FORWARDED, nic_tx(nic, queue, m->out[port], n, m->now_us));
}

void mon_flush(struct mon *m, uint64_t now_us)
{
	m->now_us = now_us;
	for (unsigned i = 0; i < m->conf.ports; i++) {
		const struct nic *nic = m->conf.port[i].nic;

		/* a delaying port is called even with nothing to send, for what has become due */
		if (m->outs[i] > 0 || (m->conf.port[i].mode == MON_PORT_BRIDGE && nic->ops->next_us != NULL))
			port_flush(m, i);
	}
}

void mon_send_to(struct mon *m, struct pkt *p, unsigned port)
{
	if (port >= m->conf.ports || m->conf.port[port].nic == NULL) {
		nic_free(p);
		return;
	}
	p->port = (uint8_t)port;
	m->out[port][m->outs[port]++] = p;
	if (m->outs[port] == NET_BURST)
		port_flush(m, port);
}

/* --- Joined datagrams ------------------------------------------------------------------------------------------------------- */

static void joined_free(struct pkt *p)
{
	free(p);
}

/* The port of joined datagrams, so that whoever has one can free it: engines hand them to each other. */
static const struct nic_ops joined_ops = { .free = joined_free };
static struct nic joined = { .ops = &joined_ops, .name = "joined" };

static struct pkt *plain(const struct pkt *like, const uint8_t *frame, uint32_t len, uint32_t room)
{
	struct pkt *p = malloc(sizeof(*p) + room);

	if (p == NULL)
		return NULL;
	*p = (struct pkt){ .data = (uint8_t *)(p + 1), .len = len, .room = room, .nic = &joined, .port = like->port,
			   .when_us = like->when_us };
	memcpy(p->data, frame, len);
	return p;
}

struct pkt *mon_pkt_joined(const struct pkt *like, const uint8_t *frame, uint32_t len)
{
	struct pkt *p = plain(like, frame, len, len + JOINED_SPARE); /* monitors may insert */

	if (p != NULL)
		p->flags = PKT_JOINED;
	return p;
}

bool mon_pkt_grow(struct pkt **p, uint32_t room)
{
	struct pkt *more = plain(*p, (*p)->data, (*p)->len, room);

	if (more == NULL)
		return false;
	more->flags = (*p)->flags;
	more->cut = (*p)->cut;
	nic_free(*p);
	*p = more;
	return true;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t ip4_sum(const uint8_t *p, unsigned len)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* One piece: headers as in the whole, `len` bytes of its payload from `off` on. */
static void piece4(struct mon *m, const struct mon_pass *ps, unsigned port, uint32_t hdr, uint32_t off, uint32_t len, bool more)
{
	const struct pkt *whole = ps->pkt;
	struct pkt *p = nic_alloc(m->conf.port[port].nic);
	uint8_t *ip;

	if (p == NULL || p->room < ps->seg.l3_off + hdr + len) {
		if (p != NULL)
			nic_free(p);
		COUNT(m->stats, NIC_NOBUF);
		return;
	}
	memcpy(p->data, whole->data, ps->seg.l3_off + hdr);
	memcpy(p->data + ps->seg.l3_off + hdr, whole->data + ps->seg.l3_off + hdr + off, len);
	p->len = ps->seg.l3_off + hdr + len;
	ip = p->data + ps->seg.l3_off;
	put16(ip + 2, hdr + len);
	put16(ip + 6, off / FRAG_UNIT | (more ? 0x2000u : 0));
	put16(ip + 10, 0);
	put16(ip + 10, ip4_sum(ip, hdr));
	mon_send_to(m, p, port);
}

static void piece6(struct mon *m, const struct mon_pass *ps, unsigned port, uint32_t id, uint32_t off, uint32_t len, bool more)
{
	const struct pkt *whole = ps->pkt;
	uint32_t l3 = ps->seg.l3_off;
	struct pkt *p = nic_alloc(m->conf.port[port].nic);
	uint8_t *ip, *frag;

	if (p == NULL || p->room < l3 + IP6_HDR + IP6_FRAG + len) {
		if (p != NULL)
			nic_free(p);
		COUNT(m->stats, NIC_NOBUF);
		return;
	}
	memcpy(p->data, whole->data, l3 + IP6_HDR);
	ip = p->data + l3;
	frag = ip + IP6_HDR;
	frag[0] = ip[6];
	frag[1] = 0;
	put16(frag + 2, off | (more ? 1 : 0));
	put16(frag + 4, id >> 16);
	put16(frag + 6, id);
	ip[6] = 44;
	memcpy(frag + IP6_FRAG, whole->data + l3 + IP6_HDR + off, len);
	put16(ip + 4, IP6_FRAG + len);
	p->len = l3 + IP6_HDR + IP6_FRAG + len;
	mon_send_to(m, p, port);
}

/* RFC 791 3.2, RFC 8200 4.5. */
static void send_pieces(struct mon *m, struct mon_pass *ps, unsigned port)
{
	const uint8_t *ip = ps->pkt->data + ps->seg.l3_off;
	uint32_t hdr = ps->seg.version == 4 ? (uint32_t)(ip[0] & 15) * 4 : IP6_HDR;
	uint32_t extra = ps->seg.version == 4 ? 0 : IP6_FRAG;
	uint32_t end = ps->pkt->len - ps->seg.l3_off - hdr;
	uint32_t step = (m->conf.port[port].nic->mtu - hdr - extra) / FRAG_UNIT * FRAG_UNIT;
	uint32_t id = ps->seg.hash ^ (uint32_t)m->now_us;

	for (uint32_t off = 0; off < end; off += step) {
		uint32_t len = end - off < step ? end - off : step;

		if (ps->seg.version == 4)
			piece4(m, ps, port, hdr, off, len, off + len < end);
		else
			piece6(m, ps, port, id, off, len, off + len < end);
	}
}

/* --- Segments --------------------------------------------------------------------------------------------------------------- */

/* [off, off + len) of a segment's text as one of its own; last: with it the whole has been sent. */
static struct pkt *part(struct mon *m, const struct mon_pass *ps, unsigned port, uint32_t off, uint32_t len, bool last)
{
	struct mon_seg s = ps->seg;
	struct pkt *p = nic_alloc(m->conf.port[port].nic);
	uint32_t seq = s.seq + off + ((s.flags & SEG_SYN) != 0 && off > 0);
	uint8_t *ip, *tcp;

	if (p == NULL || p->room < s.text_off + len) {
		if (p != NULL)
			nic_free(p);
		COUNT(m->stats, NIC_NOBUF);
		return NULL;
	}
	memcpy(p->data, ps->pkt->data, s.text_off);
	memcpy(p->data + s.text_off, ps->pkt->data + s.text_off + off, len);
	p->len = s.text_off + len;
	p->flags = 0;
	ip = p->data + s.l3_off;
	tcp = p->data + s.l4_off;
	put16(tcp + 4, seq >> 16);
	put16(tcp + 6, seq);
	if (off > 0)
		tcp[13] &= (uint8_t)~(SEG_SYN | CWR); /* RFC 3168, 6.1.2: once */
	if (!last)
		tcp[13] &= (uint8_t)~(SEG_FIN | SEG_PSH | SEG_RST);
	if ((tcp[13] & SEG_URG) != 0 && off > 0) {
		uint32_t urg = (uint32_t)tcp[18] << 8 | tcp[19];

		if (urg > off)
			put16(tcp + 18, urg - off);
		else
			tcp[13] &= (uint8_t)~SEG_URG;
	}
	if (s.version == 4 && (ip[6] & 0x40) == 0) /* RFC 6864: may be fragmented, so it needs a number of its own */
		put16(ip + 4, ((uint32_t)ip[4] << 8 | ip[5]) + off);
	mon_edit_lengths(p, &s);
	return p;
}

/* A segment too long for this port leaves as several. */
static void send_parts(struct mon *m, struct mon_pass *ps, unsigned port)
{
	const struct mon_seg *s = &ps->seg;
	uint32_t step = m->conf.port[port].nic->mtu - (s->text_off - s->l3_off);

	for (uint32_t off = 0; off < s->text_len; off += step) {
		uint32_t len = s->text_len - off < step ? s->text_len - off : step;
		struct pkt *p = part(m, ps, port, off, len, off + len == s->text_len);

		if (p != NULL)
			mon_send_to(m, p, port);
	}
	COUNT(m->stats, MON_SPLIT);
	mon_pass_free(ps);
}

/* One that has grown, and shrunk again. */
static void send_copy(struct mon *m, struct mon_pass *ps, unsigned port)
{
	struct pkt *p = nic_alloc(m->conf.port[port].nic);

	if (p != NULL && p->room >= ps->pkt->len) {
		memcpy(p->data, ps->pkt->data, ps->pkt->len);
		p->len = ps->pkt->len;
		p->flags = ps->pkt->flags;
		mon_send_to(m, p, port);
	} else {
		if (p != NULL)
			nic_free(p);
		COUNT(m->stats, NIC_NOBUF);
	}
	mon_pass_free(ps);
}

static bool too_long(const struct nic *nic, const struct mon_pass *ps)
{
	return (ps->seg.version != 0 && ps->seg.l3_len > nic->mtu) || ps->pkt->len > (uint32_t)nic->mtu + ETH_HDR + VLAN_TAGS;
}

void mon_send(struct mon *m, struct mon_pass *ps)
{
	unsigned port = (unsigned)m->conf.port[ps->pkt->port].peer;
	const struct nic *nic = m->conf.port[port].nic;

	if ((ps->pkt->flags & PKT_JOINED) != 0) {
		send_pieces(m, ps, port);
		mon_pass_free(ps);
	} else if (!too_long(nic, ps)) {
		if (ps->pkt->nic == &joined)
			send_copy(m, ps, port);
		else
			mon_send_to(m, ps->pkt, port);
	} else if (ps->seg.kind == MON_SEG_TCP && ps->seg.text_len > 0 && ps->seg.text_off - ps->seg.l3_off < nic->mtu) {
		send_parts(m, ps, port);
	} else {
		COUNT(m->stats, MON_TOO_LONG);
		mon_pass_free(ps);
	}
}
