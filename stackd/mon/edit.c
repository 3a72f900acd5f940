/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Edit scripts carried out on one packet.  What they do to a flow's payload lengths goes into its maps (map.c).
 */
#include "stackd/mon/edit.h"

#include <errno.h>
#include <string.h>

#include "stackd/mon/map.h"
#include "stackd/mon/payload.h"
#include "stackd/nic/csum.h"
#include "stackd/tcp/seg.h"

enum { PROTO_TCP = 6, PROTO_UDP = 17, IP6_HDR = 40, HDR_MAX = 60, IP_MAX = 65535 };

/* A script that runs. */
struct run {
	struct mon_flow *flow;
	unsigned side, layer;
	uint32_t reg;
	struct pkt *p;
	struct mon_seg *s;
	struct payload text;
};

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t ip_hdr_len(const struct pkt *p, const struct mon_seg *s)
{
	if (s->version == 4)
		return (p->data[s->l3_off] & 15u) * 4;
	return s->l4_off != 0 ? (uint32_t)s->l4_off - s->l3_off : IP6_HDR;
}

/* --- Checksums ----------------------------------------------------------------------------------------------------------- */

static uint64_t pseudo(const uint8_t *ip, unsigned version, uint8_t proto, uint32_t len)
{
	uint8_t tail[8] = { 0 };

	if (version == 4)
		return csum_pseudo4(ip, proto, (uint16_t)len);
	put16(tail + 2, len);
	tail[7] = proto;
	return csum_add(csum_add(0, ip + 8, 32), tail, sizeof(tail));
}

static void csum_l4(struct pkt *p, const struct mon_seg *s)
{
	uint8_t *l4 = p->data + s->l4_off;
	uint32_t len = p->len - s->l4_off, at = s->proto == PROTO_TCP ? 16 : 6;
	uint16_t sum;

	if (s->l4_off == 0 || s->l4_off + at + 2 > p->len || (s->proto != PROTO_TCP && s->proto != PROTO_UDP))
		return;
	if (s->proto == PROTO_UDP && s->version == 4 && l4[6] == 0 && l4[7] == 0)
		return; /* RFC 768: none */
	if ((uint32_t)s->l3_off + s->l3_len < p->len && s->l3_off + s->l3_len > s->l4_off)
		len = (uint32_t)s->l3_off + s->l3_len - s->l4_off; /* without the frame's padding */
	memset(l4 + at, 0, 2);
	sum = csum_finish(csum_add(pseudo(p->data + s->l3_off, s->version, s->proto, len), l4, len));
	if (sum == 0 && s->proto == PROTO_UDP)
		sum = 0xffff;
	memcpy(l4 + at, &sum, 2);
}

void mon_edit_csum(struct pkt *p, const struct mon_seg *s, bool ip, bool l4)
{
	uint8_t *h = p->data + s->l3_off;
	uint16_t sum;

	if (l4) {
		csum_l4(p, s);
		p->flags &= (uint16_t)~PKT_TX_L4_CSUM;
	}
	if (!ip || s->version != 4)
		return;
	memset(h + 10, 0, 2);
	sum = csum_finish(csum_add(0, h, (h[0] & 15u) * 4));
	memcpy(h + 10, &sum, 2);
}

void mon_edit_lengths(struct pkt *p, struct mon_seg *s)
{
	uint8_t *ip = p->data + s->l3_off;

	s->l3_len = (uint16_t)(p->len - s->l3_off);
	if (s->version == 4)
		put16(ip + 2, s->l3_len);
	else
		put16(ip + 4, s->l3_len - IP6_HDR);
	if (s->proto == PROTO_UDP && s->l4_off != 0)
		put16(p->data + s->l4_off + 4, p->len - s->l4_off);
	mon_edit_csum(p, s, true, true);
}

/* --- Bytes of one packet --------------------------------------------------------------------------------------------------- */

/* Replace cut bytes at `at` by put ones. */
static int splice(struct pkt *p, uint32_t at, uint32_t cut, const uint8_t *bytes, uint32_t put)
{
	if (p->len - cut + put > p->room)
		return -EMSGSIZE;
	memmove(p->data + at + put, p->data + at + cut, p->len - at - cut);
	if (put > 0)
		memcpy(p->data + at, bytes, put);
	p->len = p->len - cut + put;
	return 0;
}

/* The header's new length has to be one that its length field can say. */
static int splice_header(struct pkt *p, struct mon_seg *s, const struct mon_edit *e, const uint8_t *bytes, uint32_t start,
			 uint32_t size, uint32_t min)
{
	uint32_t cut = e->op == MON_CHOMP ? e->len : 0, put = e->op == MON_INSERT ? e->len : 0;
	uint32_t now = size - cut + put;
	bool ip = e->region == MON_IP;
	int err;

	if ((ip && s->version != 4) || now % 4 != 0 || now < min || now > HDR_MAX || e->off + cut > size || e->off > size ||
	    (uint32_t)s->l3_len - cut + put > IP_MAX)
		return -EINVAL;
	err = splice(p, start + e->off, cut, bytes, put);
	if (err != 0)
		return err;
	if (ip)
		p->data[start] = (uint8_t)((p->data[start] & 0xf0) | now / 4);
	else
		p->data[start + 12] = (uint8_t)((p->data[start + 12] & 15) | now / 4 << 4);
	if (ip)
		s->l4_off = (uint16_t)(s->l4_off == 0 ? 0 : s->l4_off - cut + put);
	s->text_off = (uint16_t)(s->text_off - cut + put);
	mon_edit_lengths(p, s);
	return 0;
}

static void refresh(const struct pkt *p, struct mon_seg *s)
{
	const uint8_t *t = p->data + s->l4_off;

	if (s->kind != MON_SEG_TCP)
		return;
	s->sport = (uint16_t)(t[0] << 8 | t[1]);
	s->dport = (uint16_t)(t[2] << 8 | t[3]);
	s->seq = (uint32_t)t[4] << 24 | (uint32_t)t[5] << 16 | (uint32_t)t[6] << 8 | t[7];
	s->ack = (uint32_t)t[8] << 24 | (uint32_t)t[9] << 16 | (uint32_t)t[10] << 8 | t[11];
	s->flags = t[13];
	s->wnd = (uint16_t)(t[14] << 8 | t[15]);
	if (s->version == 4) {
		memcpy(s->src.b + 12, p->data + s->l3_off + 12, 4);
		memcpy(s->dst.b + 12, p->data + s->l3_off + 16, 4);
	} else {
		memcpy(s->src.b, p->data + s->l3_off + 8, 16);
		memcpy(s->dst.b, p->data + s->l3_off + 24, 16);
	}
}

static int overwrite(struct pkt *p, uint32_t start, uint32_t size, uint32_t off, const uint8_t *bytes, uint32_t len)
{
	if (off > size || len > size - off || start + off + len > p->len)
		return -EINVAL;
	memcpy(p->data + start + off, bytes, len);
	return 0;
}

/* --- Payload ------------------------------------------------------------------------------------------------------------------ */

static int payload(struct run *r, const struct mon_edit *e, const uint8_t *bytes)
{
	if (r->s->text_off == 0)
		return -EINVAL;
	if (e->op == MON_OVERWRITE)
		return payload_overwrite(&r->text, r->p->data + r->s->text_off, e->off, bytes, e->len);
	if (e->op == MON_CHOMP)
		return payload_remove(&r->text, e->off, e->len);
	if (r->text.came == 0 && r->flow != NULL && r->s->kind == MON_SEG_TCP)
		return -EINVAL; /* there is no byte to put it beside */
	return payload_insert(&r->text, e->off, bytes, e->len);
}

/* What a segment of a flow has lost and got is noted, for whenever it comes again. */
static int payload_note(struct run *r, uint8_t *buf)
{
	uint32_t from = r->s->seq + ((r->s->flags & SEG_SYN) != 0);
	struct payload_gap g = { .at = 0 };
	int err = 0;

	while (err == 0 && payload_next(&r->text, &g, buf))
		err = map_note(r->flow, r->side, r->layer, r->reg, from + g.at, g.cut, buf, g.put, g.cut == 0 && g.at == r->text.came);
	return err;
}

/* The steps have been taken: now what they come to. */
static int payload_end(struct run *r)
{
	static _Thread_local uint8_t buf[IP_MAX];
	struct mon_seg *s = r->s;

	if (!r->text.moved)
		return 0;
	if ((uint32_t)(s->text_off - s->l3_off) + r->text.len > IP_MAX || s->text_off + r->text.len > r->p->room)
		return -EMSGSIZE;
	if (r->flow != NULL && s->kind == MON_SEG_TCP)
		return payload_note(r, buf);
	payload_copy(&r->text, r->p->data + s->text_off, buf);
	memcpy(r->p->data + s->text_off, buf, r->text.len);
	s->text_len = (uint16_t)r->text.len;
	r->p->len = s->text_off + r->text.len;
	mon_edit_lengths(r->p, s);
	return 0;
}

/* --- Scripts ------------------------------------------------------------------------------------------------------------------- */

/* Is it still what it was parsed as? */
static bool sound(const struct pkt *p, const struct mon_seg *s)
{
	if (s->version == 4 && ((p->data[s->l3_off] >> 4) != 4 ||
				(s->l4_off != 0 && ip_hdr_len(p, s) != (uint32_t)s->l4_off - s->l3_off)))
		return false;
	return s->kind != MON_SEG_TCP ||
	       (p->data[s->l4_off + 12] >> 4) * 4u == (uint32_t)s->text_off - s->l4_off;
}

static int one(struct run *r, const struct mon_edit *e, const uint8_t *bytes)
{
	struct mon_seg *s = r->s;
	struct pkt *p = r->p;
	uint32_t ip = s->version != 0 ? ip_hdr_len(p, s) : 0;
	int err = 0;

	if (e->op > MON_INSERT)
		return -EINVAL;
	if (e->op == 0)
		goto sums;
	if (e->region == MON_ETH)
		err = e->op == MON_OVERWRITE ? overwrite(p, 0, s->version != 0 ? s->l3_off : 14, e->off, bytes, e->len) : -EINVAL;
	else if (s->version == 0)
		err = -EINVAL;
	else if (e->region == MON_IP)
		err = e->op == MON_OVERWRITE ? overwrite(p, s->l3_off, ip, e->off, bytes, e->len) :
					       splice_header(p, s, e, bytes, s->l3_off, ip, 20);
	else if (e->region == MON_TCP && s->kind == MON_SEG_TCP)
		err = e->op == MON_OVERWRITE ? overwrite(p, s->l4_off, s->text_off - s->l4_off, e->off, bytes, e->len) :
					       splice_header(p, s, e, bytes, s->l4_off, s->text_off - s->l4_off, 20);
	else if (e->region == MON_PAYLOAD)
		err = payload(r, e, bytes);
	else
		err = -EINVAL;
	if (err != 0)
		return err;
	if (!sound(p, s))
		return -EINVAL;
	refresh(p, s);
sums:
	if (s->version != 0)
		mon_edit_csum(p, s, (e->csum & 1) != 0, (e->csum & 2) != 0);
	return 0;
}

static int run(struct run *r, const uint8_t *script, uint32_t len, uint32_t count)
{
	uint32_t at = 0;

	payload_begin(&r->text, r->s->text_len);
	for (uint32_t i = 0; i < count; i++) {
		struct mon_edit e;
		uint32_t bytes;
		int err;

		if (len - at < sizeof(e))
			return -EINVAL;
		memcpy(&e, script + at, sizeof(e));
		at += sizeof(e);
		bytes = e.op == MON_OVERWRITE || e.op == MON_INSERT ? e.len : 0;
		if (len - at < bytes)
			return -EINVAL;
		err = one(r, &e, script + at);
		if (err != 0)
			return err;
		at += (bytes + 7u) & ~7u;
		if (at > len)
			at = len;
	}
	return payload_end(r);
}

int mon_edit_script(struct mon_flow *flow, unsigned side, unsigned layer, uint32_t reg, struct pkt *p, struct mon_seg *s,
		    const uint8_t *script, uint32_t len, uint32_t count)
{
	static _Thread_local uint8_t before[MON_FRAME_MAX];
	struct run r = { .flow = flow, .side = side, .layer = layer, .reg = reg, .p = p, .s = s };
	struct mon_seg seg = *s;
	uint32_t size = p->len;
	int err;

	if (size > sizeof(before) || count > MON_EDITS_MAX)
		return -EINVAL;
	memcpy(before, p->data, size);
	map_begin(flow);
	err = run(&r, script, len, count);
	map_commit(flow, err == 0);
	if (err == 0)
		return 0;
	memcpy(p->data, before, size);
	p->len = size;
	*s = seg;
	return err;
}
