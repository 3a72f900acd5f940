/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sequence translation: segments forward through a map, acknowledgements back.
 */
#include "stackd/mon/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/tcp/seg.h"

enum { BYTES_MAX = 1 << 20, EDITS_MAX = 4096 }; /* remembered per flow, unacknowledged */

struct edit {
	struct edit *next; /* by `at`; tails first */
	uint32_t at, cut, put;
	bool tail, fresh; /* fresh: of the script that runs */
	uint8_t bytes[];
};

struct map {
	struct map *next; /* by reg */
	uint32_t reg;
	uint8_t side, layer;
	bool passing;     /* `passed` is known */
	uint32_t passed;  /* beyond the highest sequence number that went through */
	uint32_t delta;   /* of edits that are acknowledged and forgotten */
	struct edit *first;
};

struct xlate {
	struct map *maps;
	uint32_t bytes, edits;
};

static struct xlate *xlate_of(struct mon_flow *f)
{
	return f->xlate;
}

/* --- Noting ---------------------------------------------------------------------------------------------------------------- */

static struct map *map_get(struct mon_flow *f, unsigned side, unsigned layer, uint32_t reg)
{
	struct xlate *x = xlate_of(f);
	struct map **at, *m;

	if (x == NULL) {
		f->xlate = x = calloc(1, sizeof(*x));
		if (x == NULL)
			return NULL;
	}
	for (at = &x->maps; (m = *at) != NULL && m->reg <= reg; at = &m->next) {
		if (m->reg == reg && m->side == side && m->layer == layer)
			return m;
	}
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	*m = (struct map){ .next = *at, .reg = reg, .side = (uint8_t)side, .layer = (uint8_t)layer };
	*at = m;
	return m;
}

/* Up to here bytes have gone out, unedited or edited, and must not be edited when they come again.  Not below `at`. */
static uint32_t gone(const struct mon_flow *f, const struct map *m, unsigned side, uint32_t at)
{
	uint32_t edge = at;

	if (m->passing)
		edge = m->passed;
	else if ((f->half[side].gone_known >> m->layer & 1) != 0)
		edge = f->half[side].gone[m->layer] + (f->seq_now - f->seq_in);
	return seq_lt(edge, at) ? at : edge;
}

static bool clashes(const struct map *m, uint32_t at, uint32_t cut, bool tail)
{
	for (const struct edit *e = m->first; e != NULL; e = e->next) {
		if (e->tail && e->at == at && !tail)
			continue; /* that belongs to the byte before */
		if (!e->fresh && (e->at == at || (seq_lt(at, e->at + e->cut) && seq_lt(e->at, at + cut))))
			return true;
	}
	return false;
}

int map_note(struct mon_flow *f, unsigned side, unsigned layer, uint32_t reg, uint32_t at, uint32_t cut, const uint8_t *bytes,
	     uint32_t put, bool tail)
{
	struct map *m = map_get(f, side, layer, reg);
	struct xlate *x = xlate_of(f);
	struct edit *e, **where;
	uint32_t first;

	if (m == NULL)
		return -ENOMEM;
	first = gone(f, m, side, tail ? at - 1 : at);
	if (seq_lt(at, first) && seq_lt(first, at + cut)) { /* a longer segment than before: what is new of it can still be cut */
		cut -= first - at;
		at = first;
		put = 0;
	}
	if ((tail ? first != at - 1 : first != at) || clashes(m, at, cut, tail))
		return 0;
	if (x->edits >= EDITS_MAX || x->bytes + put > BYTES_MAX)
		return -ENOSPC;
	e = malloc(sizeof(*e) + put);
	if (e == NULL)
		return -ENOMEM;
	*e = (struct edit){ .at = at, .cut = cut, .put = put, .tail = tail, .fresh = true };
	if (put > 0)
		memcpy(e->bytes, bytes, put);
	for (where = &m->first; *where != NULL && (seq_lt((*where)->at, at) || ((*where)->at == at && (!tail || (*where)->tail)));
	     where = &(*where)->next)
		;
	e->next = *where;
	*where = e;
	x->edits++;
	x->bytes += put;
	return 0;
}

static void edit_free(struct xlate *x, struct edit **at)
{
	struct edit *e = *at;

	*at = e->next;
	x->edits--;
	x->bytes -= e->put;
	free(e);
}

void map_begin(struct mon_flow *f)
{
	map_commit(f, true);
}

void map_commit(struct mon_flow *f, bool keep)
{
	struct xlate *x = f != NULL ? xlate_of(f) : NULL;

	for (struct map *m = x != NULL ? x->maps : NULL; m != NULL; m = m->next) {
		for (struct edit **at = &m->first; *at != NULL;) {
			if ((*at)->fresh && !keep) {
				edit_free(x, at);
				continue;
			}
			(*at)->fresh = false;
			at = &(*at)->next;
		}
	}
}

void mon_edit_free(struct mon_flow *f)
{
	struct xlate *x = xlate_of(f);
	struct map *m;

	if (x == NULL)
		return;
	while ((m = x->maps) != NULL) {
		x->maps = m->next;
		while (m->first != NULL)
			edit_free(x, &m->first);
		free(m);
	}
	free(x);
	f->xlate = NULL;
}

/* --- Numbers ------------------------------------------------------------------------------------------------------------------ */

/* Where the byte with number x, as the first of a segment, comes out. */
static uint32_t forward(const struct map *m, uint32_t x)
{
	uint32_t out = x + m->delta;

	for (const struct edit *e = m->first; e != NULL; e = e->next) {
		if (e->tail ? seq_lt(x, e->at) : seq_le(x, e->at))
			break;
		if (seq_lt(x, e->at + e->cut))
			out += e->put - (x - e->at);
		else
			out += e->put - e->cut;
	}
	return out;
}

/* What an acknowledgement of y, by one who sees the edited stream, is for the one who sent it.  Bytes that were put in are acknowledged with the
 * byte that brings them again: the one behind them, or, at a tail, before. */
static uint32_t back(const struct map *m, uint32_t y)
{
	const struct edit *e = m->first, *next;
	uint32_t d = m->delta;

	for (; e != NULL; e = next) {
		uint32_t out = e->at + d, put = 0, cut = 0, tail = 0;

		for (next = e; next != NULL && next->at == e->at; next = next->next) {
			put += next->put;
			tail += next->tail ? next->put : 0;
			cut += next->cut;
		}
		if (seq_lt(y, out))
			break;
		if (seq_lt(y, out + tail))
			return e->at - 1;
		if (seq_lt(y, out + put))
			return e->at;
		d += put - cut;
	}
	return y - d;
}

/* --- Segments ------------------------------------------------------------------------------------------------------------------ */

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct text {
	uint8_t *buf;
	uint32_t len, room;
	bool cut_short;
};

static void text_put(struct text *t, const uint8_t *from, uint32_t len)
{
	if (len > t->room - t->len) {
		len = t->room - t->len;
		t->cut_short = true;
	}
	memcpy(t->buf + t->len, from, len);
	t->len += len;
}

/* The payload [x, x + len) with the edits that belong to it. */
static void text_edit(const struct map *m, const uint8_t *from, uint32_t x, uint32_t len, struct text *t)
{
	uint32_t pos = 0;

	for (const struct edit *e = m->first; e != NULL; e = e->next) {
		int32_t lo = (int32_t)(e->at - x), hi = lo + (int32_t)e->cut;

		if (e->tail ? lo <= 0 || lo > (int32_t)len : e->cut == 0 ? lo < 0 || lo >= (int32_t)len : hi <= 0 || lo >= (int32_t)len)
			continue;
		if (lo > (int32_t)pos)
			text_put(t, from + pos, (uint32_t)lo - pos);
		if (lo >= 0)
			text_put(t, e->bytes, e->put);
		pos = hi > (int32_t)len ? len : hi > (int32_t)pos ? (uint32_t)hi : pos;
		if (lo > (int32_t)pos)
			pos = (uint32_t)lo;
	}
	text_put(t, from + pos, len - pos);
}

/* Room for a text of len bytes, as far as IP can say its length; what that leaves. */
static uint32_t make_room(struct pkt **p, const struct mon_seg *s, uint32_t len)
{
	uint32_t most = 65535u - (s->text_off - s->l3_off);

	if (len > most)
		len = most;
	if (s->text_off + len > (*p)->room && !mon_pkt_grow(p, s->text_off + len))
		len = (*p)->room - s->text_off;
	return len;
}

/* Where a segment comes out.  One without text in front of what has passed is a probe (RFC 9293, 3.8.4; RFC 1122, 4.2.2.17): it must come out one below
 * what it asks about, also where the byte of its number has been removed. */
static uint32_t comes_out(const struct map *m, const struct mon_seg *s, uint32_t x)
{
	if (s->text_len == 0 && (s->flags & (SEG_SYN | SEG_FIN | SEG_RST)) == 0 && m->passing && seq_lt(x, m->passed))
		return forward(m, x + 1) - 1;
	return forward(m, x);
}

/* True: it had text, and nothing is left; it goes on as an acknowledgement. */
static bool segment(struct map *m, struct pkt **p, struct mon_seg *s)
{
	static _Thread_local uint8_t buf[MON_FRAME_MAX];
	bool syn = (s->flags & SEG_SYN) != 0;
	uint32_t x = s->seq + syn, end = x + s->text_len + ((s->flags & SEG_FIN) != 0), seq = syn ? forward(m, s->seq) : comes_out(m, s, x);
	struct text t = { .buf = buf, .room = sizeof(buf) };
	bool had = s->text_len > 0, emptied;
	uint32_t len;

	if (had) {
		text_edit(m, (*p)->data + s->text_off, x, s->text_len, &t);
		len = make_room(p, s, t.len);
		t.cut_short |= len < t.len;
		t.len = len;
		memcpy((*p)->data + s->text_off, buf, t.len);
		(*p)->len = s->text_off + t.len;
	}
	if (t.cut_short) { /* the sender sends the rest again */
		s->flags &= (uint8_t)~(SEG_FIN | SEG_PSH);
		(*p)->data[s->l4_off + 13] = s->flags;
	}
	emptied = had && t.len == 0 && (s->flags & (SEG_SYN | SEG_FIN | SEG_RST)) == 0;
	if (emptied) {
		s->flags &= (uint8_t)~(SEG_PSH | SEG_URG);
		(*p)->data[s->l4_off + 13] = s->flags;
	}
	put32((*p)->data + s->l4_off + 4, seq);
	s->seq = seq;
	s->text_len = (uint16_t)t.len;
	s->wire_text = t.len;
	if (end == x && !syn) /* an acknowledgement alone has the number of what is to come, and something may be missing before that */
		return false;
	if (!m->passing || seq_gt(end, m->passed))
		m->passed = end;
	m->passing = true;
	return emptied;
}

bool mon_edit_pass(struct mon_flow *f, unsigned side, unsigned layer, uint32_t from, uint32_t to, struct pkt **p,
		   struct mon_seg *s)
{
	struct map *list[MON_SLOTS_MAX * 4];
	unsigned n = 0;
	uint32_t lo = from < to ? from + 1 : to, hi = from < to ? to : from - 1;
	bool emptied = false;

	for (struct map *m = xlate_of(f)->maps; m != NULL && n < sizeof(list) / sizeof(*list); m = m->next) {
		if (m->side == side && m->layer == layer && m->reg >= lo && m->reg <= hi)
			list[n++] = m;
	}
	for (unsigned i = 0; i < n; i++)
		emptied |= segment(from < to ? list[i] : list[n - 1 - i], p, s);
	if (n > 0)
		mon_edit_lengths(*p, s);
	return emptied;
}

/* --- Acknowledgements ------------------------------------------------------------------------------------------------------------- */

/* RFC 2018, 3: the edges of each block. */
static void sacks_back(const struct map *m, struct pkt *p, const struct mon_seg *s)
{
	uint8_t *opt = p->data + s->l4_off + 20, *end = p->data + s->text_off;

	while (opt < end && opt[0] != 0) {
		if (opt[0] == 1) {
			opt++;
			continue;
		}
		if (end - opt < 2 || opt[1] < 2 || opt[1] > end - opt)
			return;
		if (opt[0] == 5) {
			for (uint8_t *e = opt + 2; e + 4 <= opt + opt[1]; e += 4)
				put32(e, back(m, get32(e)));
		}
		opt += opt[1];
	}
}

/* What is acknowledged comes no more: its edits are only a difference from here on. */
static void forget(struct xlate *x, struct map *m, uint32_t ack)
{
	while (m->first != NULL && seq_gt(ack, m->first->at + m->first->cut)) {
		m->delta += m->first->put - m->first->cut;
		edit_free(x, &m->first);
	}
}

/* The maps of the other direction, as an acknowledgement from `side` passes them: that has passed them upwards (client) or downwards (server),
 * so it is the other way round. */
static unsigned maps_back(struct mon_flow *f, unsigned side, unsigned layer, struct map *list[MON_SLOTS_MAX * 4])
{
	unsigned n = 0;

	for (struct map *m = xlate_of(f)->maps; m != NULL && n < MON_SLOTS_MAX * 4; m = m->next) {
		if (m->side != side && m->layer == layer)
			list[n++] = m;
	}
	for (unsigned i = 0; side == MON_SVR && i < n / 2; i++) {
		struct map *m = list[i];

		list[i] = list[n - 1 - i];
		list[n - 1 - i] = m;
	}
	return n;
}

static void ack_back(struct mon_flow *f, unsigned side, unsigned layer, struct pkt *p, struct mon_seg *s)
{
	struct map *list[MON_SLOTS_MAX * 4];
	unsigned n;

	if ((s->flags & SEG_ACK) == 0)
		return;
	n = maps_back(f, side, layer, list);
	for (unsigned i = 0; i < n; i++) {
		s->ack = back(list[i], s->ack);
		sacks_back(list[i], p, s);
		forget(xlate_of(f), list[i], s->ack);
	}
	if (n == 0)
		return;
	put32(p->data + s->l4_off + 8, s->ack);
	mon_edit_csum(p, s, false, true);
}

uint32_t mon_edit_acked(struct mon_flow *f, unsigned side, uint32_t ack)
{
	struct map *list[MON_SLOTS_MAX * 4];

	for (unsigned layer = MON_LAYERS; layer-- > 0;) {
		unsigned n = maps_back(f, side, layer, list);

		for (unsigned i = 0; i < n; i++)
			ack = back(list[i], ack);
	}
	return ack;
}

void mon_edit_in(struct mon_flow *f, unsigned side, struct pkt *p, struct mon_seg *s)
{
	ack_back(f, side, MON_LAYER_RCV, p, s);
}

bool mon_edit_at_rcv(const struct mon_flow *f)
{
	const struct xlate *x = f->xlate;
	const struct map *m = x != NULL ? x->maps : NULL;

	while (m != NULL && m->layer != MON_LAYER_RCV)
		m = m->next;
	return m != NULL;
}

void mon_edit_middle(struct mon_flow *f, unsigned side, struct pkt *p, struct mon_seg *s)
{
	ack_back(f, side, MON_LAYER_SND, p, s);
}
