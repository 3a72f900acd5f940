/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments of seg.h.
 */
#include "stackd/tcp/seg.h"

#include <string.h>

enum { OPT_END, OPT_NOP, OPT_MSS, OPT_WS, OPT_SACK_OK, OPT_SACK, OPT_TS = 8 };
enum { PROTO_TCP = 6 };

static bool parse_one(uint8_t kind, const uint8_t *body, unsigned len, struct seg_opts *o);
static void parse_sack(const uint8_t *body, unsigned len, struct seg_opts *o);
static uint16_t pseudo_sum(const struct ipaddr *src, const struct ipaddr *dst, uint16_t len);

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, (uint16_t)(v >> 16)), (uint16_t)v);
}

bool seg_parse(const uint8_t *opt, unsigned len, struct seg_opts *o)
{
	bool good = true;
	unsigned i = 0;

	o->has = o->sacks = o->shift = 0;
	while (i < len && opt[i] != OPT_END) {
		unsigned size;

		if (opt[i] == OPT_NOP) {
			i++;
			continue;
		}
		size = i + 1 < len ? opt[i + 1] : 0;
		if (size < 2 || size > len - i)
			return false; /* nobody knows where the next one begins */
		good = parse_one(opt[i], opt + i + 2, size - 2, o) && good;
		i += size;
	}
	return good;
}

static bool parse_one(uint8_t kind, const uint8_t *body, unsigned len, struct seg_opts *o)
{
	switch (kind) {
	case OPT_MSS:
		if (len != 2)
			return false;
		if (get16(body) != 0) { /* none says nothing: as other hosts have it */
			o->mss = get16(body);
			o->has |= SEG_HAS_MSS;
		}
		return true;
	case OPT_WS:
		if (len != 1)
			return false;
		o->shift = body[0] > SEG_SHIFT_MAX ? SEG_SHIFT_MAX : body[0];
		o->has |= SEG_HAS_WS;
		return true;
	case OPT_SACK_OK:
		if (len != 0)
			return false;
		o->has |= SEG_HAS_SACK_OK;
		return true;
	case OPT_TS:
		if (len != 8)
			return false;
		o->ts_val = get32(body);
		o->ts_ecr = get32(body + 4);
		o->has |= SEG_HAS_TS;
		return true;
	case OPT_SACK:
		if (len == 0 || len % 8 != 0)
			return false;
		parse_sack(body, len, o);
		return true;
	default:
		return true;
	}
}

static void parse_sack(const uint8_t *body, unsigned len, struct seg_opts *o)
{
	o->sacks = 0;
	for (unsigned i = 0; i + 8 <= len && o->sacks < SEG_SACKS; i += 8)
		o->sack[o->sacks++] = (struct seg_sack){ get32(body + i), get32(body + i + 4) };
}

unsigned seg_options(const struct seg_opts *o, uint8_t *p)
{
	uint8_t scratch[SEG_OPT_MAX + 8], *start = p != NULL ? p : scratch, *q = start;

	if ((o->has & SEG_HAS_MSS) != 0) {
		*q++ = OPT_MSS, *q++ = 4;
		q = put16(q, o->mss);
	}
	if ((o->has & SEG_HAS_SACK_OK) != 0) {
		if ((o->has & SEG_HAS_TS) == 0)
			*q++ = OPT_NOP, *q++ = OPT_NOP;
		*q++ = OPT_SACK_OK, *q++ = 2;
	}
	if ((o->has & SEG_HAS_TS) != 0) {
		if ((o->has & SEG_HAS_SACK_OK) == 0)
			*q++ = OPT_NOP, *q++ = OPT_NOP;
		*q++ = OPT_TS, *q++ = 10;
		q = put32(put32(q, o->ts_val), o->ts_ecr);
	}
	if ((o->has & SEG_HAS_WS) != 0) {
		*q++ = OPT_NOP, *q++ = OPT_WS, *q++ = 3;
		*q++ = o->shift;
	}
	if (o->sacks > 0) {
		*q++ = OPT_NOP, *q++ = OPT_NOP;
		*q++ = OPT_SACK, *q++ = (uint8_t)(2 + 8 * o->sacks);
		for (unsigned i = 0; i < o->sacks; i++)
			q = put32(put32(q, o->sack[i].from), o->sack[i].to);
	}
	return (unsigned)(q - start);
}

struct pkt *seg_build(struct net *net, const struct seg_out *s, uint16_t text_len, uint8_t **text)
{
	unsigned hdr = SEG_HDR + seg_options(&s->opts, NULL);
	uint16_t ip_len = net_ip_len(&s->dst);
	uint16_t l4_len = (uint16_t)(hdr + text_len);
	uint8_t *l3, *q;
	struct pkt *p = net_alloc(net, &s->dst, (uint16_t)(ip_len + l4_len), &l3);

	if (p == NULL)
		return NULL;
	net_ip_header(net, l3, &s->src, &s->dst, PROTO_TCP, (uint16_t)(ip_len + l4_len), s->ttl, s->tos);
	if (s->may_fragment)
		net_may_fragment(net, l3);
	p->l3_off = (uint16_t)(l3 - p->data);
	p->l4_off = (uint16_t)(p->l3_off + ip_len);
	p->flags |= PKT_TX_L4_CSUM;
	q = put16(put16(l3 + ip_len, s->sport), s->dport);
	q = put32(put32(q, s->seq), s->ack);
	*q++ = (uint8_t)(hdr / 4 << 4);
	*q++ = s->flags;
	q = put16(q, s->wnd);
	q = put16(q, pseudo_sum(&s->src, &s->dst, l4_len));
	q = put16(q, 0);
	*text = q + seg_options(&s->opts, q);
	return p;
}

/* The sum over the pseudo header, not complemented: what a port with checksum offload expects in the field. */
static uint16_t pseudo_sum(const struct ipaddr *src, const struct ipaddr *dst, uint16_t len)
{
	uint32_t sum = PROTO_TCP + (uint32_t)len;
	uint8_t from[16], to[16];

	net_wire(from, src);
	net_wire(to, dst);
	for (unsigned i = net_is_ip4(src) ? 12 : 0; i < 16; i += 2)
		sum += (uint32_t)get16(from + i) + get16(to + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}
