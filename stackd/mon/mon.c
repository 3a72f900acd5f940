/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The way of a packet through the monitor: RAW sockets first, then, where it belongs to a flow, its sender's side, the receiver's
 * side, and out.
 */
#include "stackd/mon/mon.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/priv.h"
#include "stackd/tcp/seg.h"

enum { EVICT_TRIES = 8, ETH_HDR = 14, L2_MAX = 22, FILTER_SEES = 256, ASIDE_MAX = 1024, ASIDE_SAME = 64, ASIDE_ALL = 16 << 20 };

static void stage_enter(struct mon *m, struct mon_pass *ps);
static void stage_leave(struct mon *m, struct mon_pass *ps);

/* --- Views -------------------------------------------------------------------------------------------------------------- */

static void side_publish(struct mon_side *out, const struct mon_half *h, bool off)
{
	out->state = h->state;
	out->isn = h->rcv_isn;
	out->next = h->next;
	out->top = h->top;
	out->missed = h->missed;
	out->flags = (uint8_t)((out->flags & MON_SIDE_TWO) | (off ? MON_SIDE_OFF : 0) |
			       ((h->flags & HALF_RCV_FIN) != 0 ? MON_SIDE_FIN : 0) |
			       ((mon_other((struct mon_half *)h)->flags & HALF_ISN) != 0 ? MON_SIDE_ISN : 0));
}

void mon_publish(struct mon_flow *f)
{
	for (struct mon_view *v = f->views; v != NULL; v = v->next) {
		struct mon_rec *r = arena_change(v->group->arena, v->rec);

		r->pkts = f->half[0].pkts + f->half[1].pkts;
		for (unsigned i = 0; i < 2; i++)
			side_publish(&r->side[i], &f->half[i], (v->buf_off >> i & 1) != 0);
		arena_changed(v->group->arena, v->rec);
	}
}

void mon_view_free(struct mon *m, struct mon_flow *f, struct mon_view *v)
{
	struct mon_view **at = &f->views;

	m->rec_flow[v->group->id][v->rec] = NULL;
	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	arena_close(v->group->arena, v->rec);
	free(v);
}

/* The addresses that a record tells are those of the flow's first packet. */
static void view_name(const struct mon_flow *f, const struct mon_view *v)
{
	struct mon_rec *r = arena_change(v->group->arena, v->rec);
	const struct mon_half *h = &f->half[(f->half[MON_CLI].flags & HALF_ATTACHED) != 0 ? MON_CLI : MON_SVR];
	unsigned other = 1 - h->side;

	r->side[h->side].addr = h->own;
	r->side[h->side].port = h->own_port;
	r->side[other].addr = h->peer;
	r->side[other].port = h->peer_port;
	arena_changed(v->group->arena, v->rec);
}

/* Which flow a record is of, for commands that name it. */
static bool rec_note(struct mon *m, const struct mon_group *g, uint32_t rec, struct mon_flow *f)
{
	if (m->rec_flow[g->id] == NULL)
		m->rec_flow[g->id] = calloc(m->conf.max_flows, sizeof(struct mon_flow *));
	if (m->rec_flow[g->id] == NULL || rec >= m->conf.max_flows)
		return false;
	m->rec_flow[g->id][rec] = f;
	return true;
}

static void view_add(struct mon *m, struct mon_flow *f, unsigned slot)
{
	struct mon_group *g = m->slot[slot].lane->group;
	struct mon_view *v = f->views;

	while (v != NULL && v->group != g)
		v = v->next;
	if (v == NULL) {
		v = calloc(1, sizeof(*v));
		if (v == NULL)
			return;
		v->group = g;
		v->rec = arena_open(g->arena, f->serial, f->born_us);
		if (v->rec == MON_NONE || !rec_note(m, g, v->rec, f)) {
			if (v->rec != MON_NONE)
				arena_close(g->arena, v->rec);
			free(v);
			return;
		}
		v->buf_off = 3;
		v->next = f->views;
		f->views = v;
		view_name(f, v);
	}
	if ((m->slot[slot].flags & MON_SOCK_NO_BUF) == 0)
		v->buf_off = 0;
	v->slots |= (uint64_t)1 << slot;
	f->slots |= (uint64_t)1 << slot;
	if (m->slot[slot].inline_)
		f->inline_slots |= (uint64_t)1 << slot;
}

struct mon_flow *mon_flow_named(struct mon *m, struct mon_lane *l, uint32_t rec, uint32_t gen)
{
	struct mon_flow **of = m->rec_flow[l->group->id];

	return of != NULL && rec < m->conf.max_flows && of[rec] != NULL && (uint32_t)of[rec]->serial == gen ? of[rec] : NULL;
}

/* --- Flows ---------------------------------------------------------------------------------------------------------------- */

static void aside_free(struct mon_half *h);

static void flow_remove(struct mon *m, struct mon_flow *f)
{
	while (f->views != NULL)
		mon_view_free(m, f, f->views);
	mon_over_free(f, UINT64_MAX);
	mon_edit_free(f);
	aside_free(&f->half[0]);
	aside_free(&f->half[1]);
	if (f->dirty)
		TAILQ_REMOVE(&m->news, f, news);
	if (f->ending) { /* the table expects it in its own list */
		TAILQ_REMOVE(&m->closing, f, age);
		m->closings--;
		TAILQ_INSERT_HEAD(&m->table.age, f, age);
	}
	mon_flow_free(&m->table, f);
	COUNT(m->stats, MON_ENDED);
}

void mon_flow_end(struct mon *m, struct mon_flow *f)
{
	unsigned changed;

	if (f->dirty)
		mon_emit_news(m, f);
	changed = mon_half_end(f);
	mon_publish(f);
	mon_emit_end(m, f, changed);
	flow_remove(m, f);
}

void mon_flow_over(struct mon *m, struct mon_flow *f)
{
	if (f->ending)
		return;
	f->ending = true;
	TAILQ_REMOVE(&m->table.age, f, age);
	TAILQ_INSERT_TAIL(&m->closing, f, age);
	m->closings++;
}

static bool evict_from(struct mon *m, struct mon_flows *list)
{
	struct mon_flow *f = TAILQ_FIRST(list);

	for (unsigned n = 0; f != NULL && n < EVICT_TRIES; n++, f = TAILQ_NEXT(f, age)) {
		if (f->queue.first != NULL)
			continue;
		mon_flow_end(m, f);
		COUNT(m->stats, MON_EVICTED);
		return true;
	}
	return false;
}

static struct mon_flow *flow_new(struct mon *m)
{
	struct mon_flow *f = mon_flow_new(&m->table);

	if (f == NULL && (evict_from(m, &m->closing) || evict_from(m, &m->table.age)))
		f = mon_flow_new(&m->table);
	if (f == NULL)
		COUNT(m->stats, MON_NO_FLOW);
	return f;
}

/* Both directions of a tuple give the same. */
static uint32_t share_hash(const struct mon *m, const struct mon_seg *s)
{
	uint64_t x = m->conf.seed ^ s->sport * 0x9e3779b97f4a7c15ull ^ s->dport * 0x9e3779b97f4a7c15ull;

	for (unsigned i = 0; i < 4; i++)
		x = (x ^ (s->src.w[i] + (uint64_t)s->dst.w[i])) * 0xff51afd7ed558ccdull;
	return (uint32_t)(x >> 32);
}

static bool slot_shares(const struct mon_slot *s, uint32_t hash)
{
	return s->share_count != 0 && hash % s->share_count == s->share_index;
}

/* Filters of stream sockets have no word for VLAN tags: they see the frame without. */
static bool stream_match(const struct mon_filter *f, const struct pkt *p, const struct mon_seg *s)
{
	uint32_t tags = s->l3_off > ETH_HDR && s->l3_off <= L2_MAX ? s->l3_off - ETH_HDR : 0;
	uint32_t len = p->len - tags < FILTER_SEES ? p->len - tags : FILTER_SEES;
	uint8_t bare[FILTER_SEES];

	if (f == NULL || tags == 0)
		return mon_filter_match(f, p);
	memcpy(bare, p->data, 12);
	memcpy(bare + 12, p->data + 12 + tags, len - 12);
	return mon_filter_match_bytes(f, bare, len);
}

/* Stream sockets that watch a flow beginning with this packet. */
static uint64_t slots_for(struct mon *m, const struct pkt *p, const struct mon_seg *s)
{
	uint32_t hash = share_hash(m, s);
	uint64_t found = 0;

	for (unsigned i = 0; i < m->chained; i++) {
		const struct mon_slot *k = &m->slot[m->chain[i]];

		if (k->kind == MON_STREAM && slot_shares(k, hash) && mon_filter_match(k->lane->group->scope, p) &&
		    stream_match(k->filter[MON_FILTER_SYN], p, s))
			found |= (uint64_t)1 << m->chain[i];
	}
	return found;
}

static bool may_begin(const struct mon *m, const struct mon_seg *s)
{
	bool syn = (s->flags & (SEG_SYN | SEG_ACK | SEG_RST)) == SEG_SYN;

	return syn || (m->conf.pickup && (s->flags & SEG_RST) == 0);
}

/* A flow for its first packet, or NULL: nobody watches it. */
static struct mon_half *flow_begin(struct mon *m, struct mon_pass *ps)
{
	struct mon_seg *s = &ps->seg;
	uint64_t slots = may_begin(m, s) ? slots_for(m, ps->pkt, s) : 0;
	bool syn = (s->flags & (SEG_SYN | SEG_ACK)) == SEG_SYN;
	struct mon_flow *f = slots != 0 ? flow_new(m) : NULL;
	unsigned side = MON_CLI;

	if (f == NULL)
		return NULL;
	f->born_us = f->last_us = ps->ts_us;
	f->ip_version = s->version;
	f->queue.tail = &f->queue.first;
	if (!syn) {
		f->midstream = true;
		side = mon_half_pickup(f, s);
		COUNT(m->stats, MON_PICKUPS);
	}
	if (mon_half_attach(&m->table, &f->half[side], s, true, m->conf.seed) != 0) {
		mon_flow_free(&m->table, f);
		return NULL;
	}
	for (unsigned i = 0; i < m->chained; i++) {
		if ((slots >> m->chain[i] & 1) != 0)
			view_add(m, f, m->chain[i]);
	}
	COUNT(m->stats, MON_FLOWS);
	ps->first = true;
	return &f->half[side];
}

static bool seg_from(const struct mon_half *h, const struct mon_seg *s)
{
	return h->own_port == s->sport && memcmp(&h->own, &s->src, sizeof(s->src)) == 0;
}

static void queue_move(struct mon_queue *to, const struct mon_queue *from, const struct mon_pass *running)
{
	*to->tail = from->first;
	to->fresh = from->fresh;
	for (struct mon_held *h = from->first; h != NULL; h = h->next) {
		h->queue = to;
		to->tail = &h->next;
		if (&h->pass == running)
			continue;
		h->pass.flow = running->flow;
		h->pass.snd = &running->flow->half[seg_from(&running->flow->half[0], &h->pass.seg) ? 0 : 1];
	}
}

/* Nobody watches the new connection: what waited behind its first packet goes behind it, too. */
static void queue_forward(struct mon *m, const struct mon_queue *from, const struct mon_pass *running)
{
	m->last.first = NULL;
	m->last.tail = &m->last.first;
	*m->last.tail = from->first;
	m->last.fresh = from->fresh;
	for (struct mon_held *h = from->first; h != NULL; h = h->next) {
		h->queue = &m->last;
		m->last.tail = &h->next;
		if (&h->pass == running)
			continue;
		h->pass.flow = NULL;
		h->pass.snd = NULL;
		h->pass.stage = STAGE_OUT;
	}
}

/* The packet begins another connection between the same ends: what waited behind it goes there, too. */
static void flow_renew(struct mon *m, struct mon_pass *ps)
{
	struct mon_flow *old = ps->flow;
	struct mon_queue queue = old->queue;

	old->queue.first = NULL;
	mon_flow_end(m, old);
	ps->flow = NULL;
	ps->snd = flow_begin(m, ps);
	if (ps->snd == NULL)
		ps->stage = STAGE_OUT;
	else
		ps->flow = ps->snd->flow;
	if (ps->flow == NULL)
		queue_forward(m, &queue, ps);
	else
		queue_move(&ps->flow->queue, &queue, ps);
}

/* --- Stages ------------------------------------------------------------------------------------------------------------------ */

static uint64_t raw_slots(struct mon *m, const struct mon_pass *ps)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < m->chained; i++) {
		const struct mon_slot *k = &m->slot[m->chain[i]];

		if (k->kind == MON_RAW && slot_shares(k, share_hash(m, &ps->seg)) &&
		    mon_filter_match(k->lane->group->scope, ps->pkt) &&
		    mon_filter_match(k->filter[MON_FILTER_RAW], ps->pkt))
			found |= (uint64_t)1 << m->chain[i];
	}
	return found;
}

static uint64_t orphan_slots(struct mon *m, const struct mon_pass *ps)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < m->chained; i++) {
		const struct mon_slot *k = &m->slot[m->chain[i]];

		if (k->kind == MON_STREAM && (k->mask[MON_HK_NULL] & MON_ORPHAN) != 0 &&
		    slot_shares(k, share_hash(m, &ps->seg)) && mon_filter_match(k->lane->group->scope, ps->pkt) &&
		    stream_match(k->filter[MON_FILTER_ORPHAN], ps->pkt, &ps->seg))
			found |= (uint64_t)1 << m->chain[i];
	}
	return found;
}

static void round_set(struct mon_pass *ps, uint16_t events, unsigned hook, unsigned side, uint16_t flags)
{
	ps->events = events;
	ps->hook = (uint8_t)hook;
	ps->side = (uint8_t)side;
	ps->flags = (uint8_t)flags;
	ps->slots = ps->flow != NULL ? ps->flow->slots : 0;
}

static void link_note(struct mon_pass *ps)
{
	struct mon_flow *f = ps->flow;
	unsigned side = ps->snd->side;

	f->ports[side] = ps->pkt->port;
	f->l2_len[side] = ps->seg.l3_off <= L2_MAX ? (uint8_t)ps->seg.l3_off : 0;
	memcpy(f->l2[side], ps->pkt->data, f->l2_len[side]);
}

/* --- Payload beyond the window ---------------------------------------------------------------------------------------------- */

struct mon_aside {
	struct mon_aside *next;
	uint64_t at;
	uint32_t size; /* of all this */
	uint32_t len;
	bool fin;
	uint8_t bytes[];
};

static void aside_free(struct mon_half *h)
{
	struct mon_aside *a;

	while ((a = h->aside) != NULL) {
		h->aside = a->next;
		h->flow->table->aside -= a->size;
		free(a);
	}
	h->aside_last = NULL;
	h->asides = 0;
}

static void aside_put(struct mon_pass *ps, struct mon_half *rcv)
{
	int64_t at = (int64_t)ps->rcv.at, edge = (int64_t)rcv->edge > at ? (int64_t)rcv->edge : at; /* at: perhaps before the start */
	uint32_t skip = edge - at < ps->seg.text_len ? (uint32_t)(edge - at) : ps->seg.text_len, len = ps->seg.text_len - skip;
	struct mon_aside *a = rcv->aside;
	uint32_t size = sizeof(*a) + len;
	bool fin = (ps->seg.flags & SEG_FIN) != 0;

	if ((len == 0 && !fin) || rcv->asides >= ASIDE_MAX || rcv->flow->table->aside + size > ASIDE_ALL)
		return;
	for (unsigned n = 0; a != NULL && n < ASIDE_SAME; a = a->next, n++) { /* a window probe comes again and again */
		if (a->at == (uint64_t)edge && a->len == len && a->fin == fin)
			return;
	}
	a = malloc(size);
	if (a == NULL)
		return;
	*a = (struct mon_aside){ .at = (uint64_t)edge, .size = size, .len = len, .fin = fin };
	memcpy(a->bytes, ps->pkt->data + ps->seg.text_off + skip, len);
	rcv->flow->table->aside += size;
	rcv->asides++;
	if (rcv->aside == NULL)
		rcv->aside = a;
	else
		rcv->aside_last->next = a;
	rcv->aside_last = a;
}

/* What it acknowledges it has taken. */
static void aside_take(struct mon *m, struct mon_half *h, struct mon_did *out)
{
	struct mon_aside **at = &h->aside, *a, *last = NULL;
	struct mon_did did = { 0 };

	while ((a = *at) != NULL) {
		uint32_t len = h->acked <= a->at ? 0 : h->acked - a->at < a->len ? (uint32_t)(h->acked - a->at) : a->len;
		bool fin = a->fin && h->acked > a->at + a->len;

		if (len == 0 && !fin) {
			last = a;
			at = &a->next;
			continue;
		}
		did = (struct mon_did){ .events = did.events };
		if (mon_half_taken(h, a->at, len, fin, &did)) {
			for (struct mon_view *v = h->flow->views; v != NULL; v = v->next) {
				if ((v->buf_off >> h->side & 1) == 0)
					(void)arena_write(v->group->arena, v->rec, h->side, did.off, a->bytes + did.skip, did.len);
			}
			COUNT_ADD(m->stats, MON_BYTES, did.len);
		}
		if (len < a->len || fin != a->fin) {
			a->at += len;
			a->len -= len;
			memmove(a->bytes, a->bytes + len, a->len);
			last = a;
			at = &a->next;
			continue;
		}
		*at = a->next;
		h->flow->table->aside -= a->size;
		h->asides--;
		free(a);
	}
	h->aside_last = last;
	mon_half_skip(h, &did);
	out->events |= did.events;
}

/* Another ISN was the right one. */
static void stream_void(struct mon_flow *f, unsigned side)
{
	aside_free(&f->half[side]);
	mon_publish(f); /* its in-order end is 0 again: the arena keeps nothing below that */
	for (struct mon_view *v = f->views; v != NULL; v = v->next)
		arena_drop(v->group->arena, v->rec, side);
}

/* --- Stages, one by one --------------------------------------------------------------------------------------------------------- */

/* To a program that does not watch this flow its packets are of no flow, whoever else does.  They are shown, not held. */
static void show_strangers(struct mon *m, struct mon_pass *ps)
{
	const struct mon_flow *f = ps->flow;
	uint64_t left = (ps->seg.flags & (SEG_SYN | SEG_ACK | SEG_RST)) != SEG_SYN ? orphan_slots(m, ps) : 0, slots = 0;

	for (; left != 0; left &= left - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(left);

		if (((f->slots | f->let_go) & m->slot[slot].lane->slots) == 0)
			slots |= (uint64_t)1 << slot;
	}
	mon_emit_all(m, ps, NULL, slots, MON_ORPHAN, MON_HK_NULL, MON_BOTH, 0, false);
}

static void enter_snd(struct mon *m, struct mon_pass *ps)
{
	struct mon_did did = { 0 };

	if (m->want[MON_HK_NULL][__builtin_ctz(MON_ORPHAN)] != 0)
		show_strangers(m, ps);
	if (ps->flow->xlate != NULL)
		mon_edit_in(ps->flow, ps->snd->side, ps->pkt, &ps->seg);
	ps->seq_in = ps->seg.seq;
	ps->end_in = ps->seg.seq + ps->seg.text_len + ((ps->seg.flags & SEG_SYN) != 0) + ((ps->seg.flags & SEG_FIN) != 0);
	mon_half_snd(ps->snd, &ps->seg, &did);
	if (did.reset && !ps->first) {
		flow_renew(m, ps);
		if (ps->flow == NULL)
			return;
		did = (struct mon_did){ 0 };
		mon_half_snd(ps->snd, &ps->seg, &did);
	}
	for (unsigned i = 0; i < 2; i++) {
		if ((did.anew >> i & 1) != 0)
			stream_void(ps->flow, i);
	}
	if (ps->snd->aside != NULL)
		aside_take(m, ps->snd, &did);
	ps->flow->last_us = ps->ts_us;
	link_note(ps);
	if (!ps->flow->ending)
		mon_flow_touch(&m->table, ps->flow);
	ps->end |= did.end;
	if (ps->first && ps->flow->midstream)
		did.events |= MON_CONN_START;
	if (ps->first)
		mon_publish(ps->flow);
	round_set(ps, (uint16_t)(MON_PKT_IN | (did.events & ~(MON_ERROR | MON_NEW_DATA))), MON_HK_SND, ps->snd->side, 0);
}

/* Monitors at one hook have let it pass: what of it they have not edited stays so. */
static void gone_note(struct mon_pass *ps, unsigned layer)
{
	struct mon_half *h = ps->snd;

	if (ps->end_in == ps->seq_in || ((h->gone_known >> layer & 1) != 0 && seq_le(ps->end_in, h->gone[layer])))
		return;
	h->gone[layer] = ps->end_in;
	h->gone_known |= (uint8_t)(1u << layer);
}

/* The sender's monitors are through with it: what is left of it arrives. */
static void arrive(struct mon *m, struct mon_pass *ps)
{
	struct mon_half *rcv = mon_other(ps->snd);

	gone_note(ps, MON_LAYER_SND);
	if (ps->flow->xlate != NULL)
		mon_edit_middle(ps->flow, ps->snd->side, ps->pkt, &ps->seg);
	if ((rcv->flags & HALF_ATTACHED) == 0)
		(void)mon_half_attach(&m->table, rcv, &ps->seg, false, m->conf.seed);
	ps->rcv = (struct mon_did){ .at = UINT64_MAX };
	ps->next_was = rcv->next;
	mon_half_rcv(rcv, &ps->seg, &ps->rcv);
	ps->end |= ps->rcv.end;
	ps->left = ps->rcv.events;
	if (ps->first && ps->flow->midstream)
		ps->left |= MON_CONN_START;
	if (ps->rcv.rexmit_text)
		COUNT(m->stats, MON_REXMITS);
	if (ps->rcv.outside) {
		COUNT(m->stats, MON_OUTSIDE);
		aside_put(ps, rcv);
	}
}

/* Both versions of a stream are written from the same call, so bytes seen before go along where there are any. */
static void store(struct mon *m, struct mon_pass *ps, const struct mon_half *rcv)
{
	const struct mon_did *d = &ps->rcv;
	const uint8_t *text = ps->pkt->data + ps->seg.text_off;
	uint64_t off = d->off;
	uint32_t skip = d->skip, len = d->len;

	if (d->rexmit_text && !d->outside && d->at != UINT64_MAX && ps->seg.text_len > 0 && rcv->missed == 0) {
		uint64_t before = (int64_t)d->at < 0 ? -d->at : 0;

		skip = before < ps->seg.text_len ? (uint32_t)before : ps->seg.text_len;
		off = d->at + skip;
		len = ps->seg.text_len - skip;
		if (off + len > rcv->top)
			len = off < rcv->top ? (uint32_t)(rcv->top - off) : 0; /* behind the FIN */
	}
	if (len == 0)
		return;
	COUNT_ADD(m->stats, MON_BYTES, d->len);
	for (struct mon_view *v = ps->flow->views; v != NULL; v = v->next) {
		if ((v->buf_off >> rcv->side & 1) == 0)
			(void)arena_write(v->group->arena, v->rec, rcv->side, off, text + skip, len);
	}
}

static void enter_rcv(struct mon *m, struct mon_pass *ps)
{
	struct mon_half *rcv = mon_other(ps->snd);
	struct mon_flow *f = ps->flow;

	store(m, ps, rcv);
	mon_publish(f);
	for (unsigned i = 0; i < 2; i++) {
		if (f->half[i].next != f->half[i].told)
			f->half[i].flags |= HALF_DIRTY;
	}
	if ((ps->left & MON_NEW_DATA) != 0)
		rcv->flags |= HALF_DIRTY;
	if (((f->half[0].flags | f->half[1].flags) & HALF_DIRTY) != 0 && !f->dirty) {
		f->dirty = true;
		TAILQ_INSERT_TAIL(&m->news, f, news);
	}
	round_set(ps, (uint16_t)(MON_PKT_IN | (ps->left & ~(MON_ERROR | MON_NEW_DATA))), MON_HK_RCV, rcv->side, 0);
}

static void stage_enter(struct mon *m, struct mon_pass *ps)
{
	ps->events = 0;
	switch (ps->stage) {
	case STAGE_RAW:
		if (m->raw_slots == 0)
			break;
		round_set(ps, MON_PKT_IN | (ps->orphan ? MON_ORPHAN : 0), MON_HK_NULL, MON_BOTH, 0);
		ps->slots = raw_slots(m, ps);
		break;
	case STAGE_ORPHAN:
		round_set(ps, MON_ORPHAN, MON_HK_NULL, MON_BOTH, 0);
		ps->slots = orphan_slots(m, ps);
		break;
	case STAGE_SND:
		enter_snd(m, ps);
		break;
	case STAGE_REXMIT:
		round_set(ps, MON_REXMIT, MON_HK_RCV, mon_other(ps->snd)->side, MEVF_REXMIT);
		break;
	case STAGE_ERROR:
		round_set(ps, MON_ERROR, MON_HK_NULL, mon_other(ps->snd)->side, 0);
		break;
	case STAGE_RCV:
		enter_rcv(m, ps);
		break;
	case STAGE_OUT:
		break;
	}
}

static enum mon_stage after_arrival(const struct mon_pass *ps)
{
	if (ps->stage < STAGE_REXMIT && ps->rcv.rexmit_text)
		return STAGE_REXMIT;
	if (ps->stage < STAGE_ERROR && (ps->left & MON_ERROR) != 0)
		return STAGE_ERROR;
	return STAGE_RCV;
}

static void stage_leave(struct mon *m, struct mon_pass *ps)
{
	if (ps->stage == STAGE_OUT)
		return;
	if (ps->stage == STAGE_RCV || (ps->dropped && ps->stage <= STAGE_SND)) {
		ps->stage = STAGE_OUT;
		return;
	}
	switch (ps->stage) {
	case STAGE_RAW:
		ps->stage = ps->flow != NULL ? STAGE_SND : ps->orphan && !ps->silent ? STAGE_ORPHAN : STAGE_OUT;
		break;
	case STAGE_SND:
		arrive(m, ps);
		ps->stage = after_arrival(ps);
		break;
	case STAGE_REXMIT:
	case STAGE_ERROR:
		ps->stage = after_arrival(ps);
		break;
	default:
		ps->stage = STAGE_OUT;
		break;
	}
}

void mon_pass_free(struct mon_pass *ps)
{
	if (ps->owned)
		nic_free(ps->pkt);
}

static void pass_out(struct mon *m, struct mon_pass *ps)
{
	struct mon_flow *f = ps->flow;

	if (ps->dropped)
		COUNT(m->stats, MON_DROPPED);
	else if (f != NULL && ps->snd != NULL)
		gone_note(ps, MON_LAYER_RCV);
	if (ps->owned && (ps->dropped || ps->passive || m->conf.port[ps->pkt->port].peer < 0))
		mon_pass_free(ps);
	else if (ps->owned)
		mon_send(m, ps);
	if (f != NULL) {
		if (ps->dropped)
			mon_publish(f);
		if (ps->end)
			mon_flow_over(m, f);
	}
}

bool mon_run(struct mon *m, struct mon_pass *ps, struct mon_held *held)
{
	while (ps->stage != STAGE_OUT) {
		uint64_t ask = 0;

		if (!ps->entered) {
			ps->asked = 0;
			ps->mapped = 0;
			stage_enter(m, ps);
			ps->entered = true;
		}
		if (ps->stage == STAGE_OUT)
			break;
		if (ps->events != 0 && ps->slots == 0) {
			mon_map_upto(ps, 0, false);
		} else if (ps->events != 0) {
			if (!ps->dropped && mon_chain(m, ps, &held) == 0)
				return false;
			if (held != NULL && mon_queue_stops(held))
				return false;
			if (!ps->dropped)
				mon_map_upto(ps, 0, false);
			ask = ps->passive ? 0 : m->inline_slots;
			if (ps->stage >= STAGE_SND) /* some may have let go of the flow meanwhile */
				ps->slots &= ps->flow->slots;
			mon_emit_all(m, ps, ps->flow, ps->slots & ~ask, ps->events, ps->hook, ps->side, ps->flags,
				     ps->snd != NULL && ps->snd->side == MON_SVR);
		}
		if (held != NULL && mon_queue_stops(held))
			return false;
		ps->entered = false;
		stage_leave(m, ps);
	}
	pass_out(m, ps);
	return true;
}

/* --- Frames in ------------------------------------------------------------------------------------------------------------------ */

static bool anybody(const struct mon *m)
{
	return m->slots != 0 || m->table.used != 0;
}

static void time_is(struct mon *m, const struct pkt *p)
{
	if (m->conf.port[p->port].mode == MON_PORT_REPLAY) {
		if (p->when_us > m->time_us)
			m->time_us = p->when_us;
	} else if (!m->replay) {
		m->time_us = m->now_us + m->conf.realtime_us;
	}
}

/* Where in the engine's queues a pass belongs, and on with it. */
static void pass_begin(struct mon *m, struct mon_pass *ps)
{
	struct mon_queue *q = ps->flow != NULL ? &ps->flow->queue : &m->loose[ps->seg.hash % LOOSE_QUEUES];

	if (q->first != NULL)
		mon_queue_put(m, q, ps);
	else
		(void)mon_run(m, ps, NULL);
}

static void tcp_segment(struct mon *m, struct mon_pass *ps)
{
	ps->snd = mon_half_find(&m->table, &ps->seg);
	if (ps->snd == NULL)
		ps->snd = flow_begin(m, ps);
	if (ps->snd != NULL)
		ps->flow = ps->snd->flow;
	else
		ps->orphan = (ps->seg.flags & (SEG_SYN | SEG_ACK | SEG_RST)) != SEG_SYN;
	COUNT(m->stats, MON_PKTS);
	pass_begin(m, ps);
}

/* A datagram put together from fragments, here or by the engine that has those between its addresses. */
static void joined_in(struct mon *m, struct mon_pass *ps)
{
	bool seen = (ps->pkt->flags & PKT_LOOK) != 0 || m->conf.port[ps->pkt->port].peer < 0; /* RAW sockets have had the pieces */

	ps->passive = (ps->pkt->flags & PKT_LOOK) != 0;
	mon_seg_parse(ps->pkt, m->conf.seed, &ps->seg);
	if (ps->seg.kind != MON_SEG_TCP) {
		ps->orphan = true;
		ps->stage = seen ? STAGE_ORPHAN : STAGE_RAW;
		pass_begin(m, ps);
	} else if (!seen) {
		tcp_segment(m, ps);
	} else {
		ps->stage = STAGE_SND;
		mon_pass_tcp(m, ps);
	}
}

/* What may be changed is judged, and sent, as a whole; else fragments go on as they are, and the whole is looked at. */
static void fragment(struct mon *m, struct mon_pass *ps)
{
	bool look = ps->passive || !m->judges;
	struct mon_pass whole = { .owned = true, .ts_us = ps->ts_us };
	const uint8_t *frame;
	uint32_t len;

	COUNT(m->stats, MON_FRAGS);
	if (mon_frag_in(m->frags, ps->pkt, &ps->seg, m->now_us, &frame, &len)) {
		whole.pkt = mon_pkt_joined(ps->pkt, frame, len);
		if (whole.pkt == NULL)
			COUNT(m->stats, NIC_NOBUF);
	}
	if (whole.pkt != NULL && look)
		whole.pkt->flags |= PKT_LOOK;
	/* before the last piece leaves, and is answered */
	if (whole.pkt != NULL && m->conf.elsewhere != NULL && m->conf.elsewhere(m->conf.arg, whole.pkt))
		whole.pkt = NULL;
	ps->silent = true;
	if (look || m->conf.port[ps->pkt->port].peer < 0)
		pass_begin(m, ps);
	else
		mon_pass_free(ps);
	if (whole.pkt != NULL)
		joined_in(m, &whole);
}

static void frame_in(struct mon *m, struct mon_pass *ps)
{
	if (m->inline_slots != 0 && m->conf.port[ps->pkt->port].peer >= 0)
		mon_station_note(m, ps->pkt);
	mon_seg_parse(ps->pkt, m->conf.seed, &ps->seg);
	switch (ps->seg.kind) {
	case MON_SEG_TCP:
		tcp_segment(m, ps);
		return;
	case MON_SEG_FRAG:
		fragment(m, ps);
		return;
	case MON_SEG_BAD_IP:
	case MON_SEG_BAD_TCP:
		COUNT(m->stats, MON_BAD);
		ps->silent = true;
		break;
	case MON_SEG_IP:
		ps->orphan = true;
		COUNT(m->stats, MON_ORPHANS);
		break;
	case MON_SEG_OTHER:
		ps->silent = true;
		break;
	}
	pass_begin(m, ps);
}

void mon_pass_tcp(struct mon *m, struct mon_pass *ps)
{
	ps->snd = mon_half_find(&m->table, &ps->seg);
	if (ps->snd == NULL)
		ps->snd = flow_begin(m, ps);
	if (ps->snd != NULL) {
		ps->flow = ps->snd->flow;
	} else {
		ps->stage = STAGE_ORPHAN;
		ps->orphan = true;
	}
	pass_begin(m, ps);
}

void mon_in(struct mon *m, struct pkt **pkts, unsigned n, uint64_t now_us)
{
	m->now_us = now_us;
	for (unsigned i = 0; i < n; i++) {
		/* who looks at a mirror holds nothing up */
		struct mon_pass ps = { .pkt = pkts[i], .owned = true, .passive = m->conf.port[pkts[i]->port].mode == MON_PORT_TAP };

		time_is(m, pkts[i]);
		ps.ts_us = m->time_us;
		if (m->replay && pkts[i]->when_us != 0)
			ps.ts_us = pkts[i]->when_us;
		if ((pkts[i]->flags & PKT_JOINED) != 0)
			joined_in(m, &ps);
		else if (anybody(m))
			frame_in(m, &ps);
		else
			pass_out(m, &ps);
	}
}

void mon_watch(struct mon *m, struct pkt *p, uint64_t now_us)
{
	struct mon_pass ps = { .pkt = p, .passive = true };

	m->now_us = now_us;
	time_is(m, p);
	ps.ts_us = m->time_us;
	frame_in(m, &ps);
}

bool mon_wanted(const struct mon *m)
{
	return anybody(m);
}

/* --- Once a turn ------------------------------------------------------------------------------------------------------------------ */

unsigned mon_commands(struct mon *m, uint64_t now_us)
{
	unsigned work = 0;

	m->now_us = now_us;
	for (unsigned i = 0; i < m->rooms; i++) {
		struct mon_lane *l = m->room[i].lane;
		struct mon_cmd cmd;
		unsigned n = 0;

		while (n < COMMANDS && l->bad == NULL && !l->leaving && ring_get(&l->cmds, &cmd)) {
			mon_command(m, l, &cmd);
			n++;
		}
		if (n > 0)
			ring_done(&l->cmds);
		work += n;
	}
	return work;
}

static bool expire_from(struct mon *m, struct mon_flows *list, uint64_t after_us)
{
	for (unsigned n = 0; n < EXPIRE; n++) {
		struct mon_flow *f = TAILQ_FIRST(list);

		if (f == NULL || f->last_us + after_us > m->time_us || f->queue.first != NULL || (m->replay && mon_can_take(m) == 0))
			return false;
		mon_flow_end(m, f);
	}
	return true;
}

void mon_expire(struct mon *m, uint64_t now_us)
{
	m->now_us = now_us;
	if (!m->replay)
		m->time_us = now_us + m->conf.realtime_us;
	(void)mon_chain_expire(m);
	(void)expire_from(m, &m->closing, m->conf.time_wait_us);
	(void)expire_from(m, &m->table.age, m->conf.idle_us);
}

void mon_settle(struct mon *m, uint64_t now_us)
{
	struct mon_flow *f;

	m->now_us = now_us;
	while ((f = TAILQ_FIRST(&m->news)) != NULL) {
		TAILQ_REMOVE(&m->news, f, news);
		f->dirty = false;
		mon_emit_news(m, f);
	}
	mon_count_skipped(m);
	(void)mon_order_step(m);
	for (unsigned i = 0; i < m->rooms; i++) {
		struct mon_lane *l = m->room[i].lane;

		if (l->has_news)
			mon_wake(m, l);
		if (l->bad != NULL && !l->bad_told) {
			l->bad_told = true;
			m->conf.lane_bad(m->conf.arg, l);
		}
	}
}

uint64_t mon_next_us(const struct mon *m, uint64_t now_us)
{
	const struct mon_flow *f = TAILQ_FIRST(&m->closing), *old = TAILQ_FIRST(&m->table.age);
	uint64_t next = UINT64_MAX, t;

	if (m->orders != NULL)
		return now_us;
	for (unsigned i = 0; i < m->rooms; i++) {
		const struct mon_held *h = TAILQ_FIRST(&m->room[i].dues);

		if (h != NULL && h->deadline_us < next)
			next = h->deadline_us;
	}
	if (m->replay)
		return next;
	if (f != NULL) {
		t = f->last_us + m->conf.time_wait_us;
		t = t > m->time_us ? now_us + (t - m->time_us) : now_us;
		next = t < next ? t : next;
	}
	if (old != NULL) {
		t = old->last_us + m->conf.idle_us;
		t = t > m->time_us ? now_us + (t - m->time_us) : now_us;
		next = t < next ? t : next;
	}
	return next;
}

bool mon_ready(const struct mon *m)
{
	for (unsigned i = 0; i < m->rooms; i++) {
		if (ring_ready(&m->room[i].lane->cmds))
			return true;
	}
	return false;
}

void mon_asleep(struct mon *m, uint32_t asleep)
{
	for (unsigned i = 0; i < m->rooms; i++)
		atomic_store_explicit((_Atomic uint32_t *)&m->room[i].lane->dn->engine_asleep, asleep,
				      memory_order_relaxed);
}

void mon_lane_mark(const struct mon *m, struct mon_lane *l)
{
	l->mark.stored = arena_stored(l->group->arena);
	l->mark.logged = arena_logged(l->group->arena);
	l->mark.bytes = m->stats->n[CNT_MON_BYTES];
}

/* Is what it has not looked at yet in danger of being pushed out of the arena, of a stream, of the log? */
static bool lane_is_behind(const struct mon *m, const struct mon_lane *l)
{
	const struct arena *a = l->group->arena;

	return arena_stored(a) - l->mark.stored >= arena_chunks(a) / 4 ||
	       arena_logged(a) - l->mark.logged >= m->conf.log_bytes / 2 ||
	       m->stats->n[CNT_MON_BYTES] - l->mark.bytes >= m->conf.buffer_max / 2;
}

/* A packet needs room for all the records that it may cause. */
static unsigned lane_has_room(const struct mon *m, struct mon_lane *l)
{
	unsigned socks = (unsigned)__builtin_popcountll(l->slots), each = PKT_RECORDS * (socks > 0 ? socks : 1);
	unsigned enough = l->events.slots / 2 < NET_BURST * each ? l->events.slots / 2 : NET_BURST * each;
	int room = ring_room(&l->events);

	if (room < 0)
		return UINT_MAX;
	if ((unsigned)room == l->events.slots) {
		mon_lane_mark(m, l);
		return (unsigned)room > each ? (unsigned)room / each : 1;
	}
	return (unsigned)room < enough || lane_is_behind(m, l) ? 0 : (unsigned)room / each;
}

/* On a wire nobody answers a packet that is held; so the next of a capture may come when this one has been decided. */
static unsigned lane_can_take(const struct mon *m, struct mon_lane *l)
{
	unsigned room;

	if (l->bad != NULL || l->leaving)
		return UINT_MAX;
	if (l->policy.inline_ok && l->held > 0)
		return 0;
	room = l->lossless ? lane_has_room(m, l) : UINT_MAX;
	return l->policy.inline_ok && room > 1 ? 1 : room;
}

unsigned mon_can_take(const struct mon *m)
{
	unsigned least = UINT_MAX;

	for (unsigned i = 0; i < m->rooms && least > 0; i++) {
		unsigned n = lane_can_take(m, m->room[i].lane);

		least = n < least ? n : least;
	}
	return least;
}

unsigned mon_socks_ready(const struct mon *m, uint64_t now_us)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->chained; i++) {
		const struct mon_slot *s = &m->slot[m->chain[i]];

		n += (s->flags & MON_SOCK_READY) != 0 || now_us - s->changed_us >= QUIET_US;
	}
	return n;
}

struct mon_room *mon_room_of(struct mon *m, const struct mon_lane *l)
{
	for (unsigned i = 0; i < m->rooms; i++) {
		if (m->room[i].lane == l)
			return &m->room[i];
	}
	return NULL;
}

void mon_figures(const struct mon *m, struct mon_figures *f)
{
	*f = (struct mon_figures){
		.flows = m->table.used,
		.lanes = m->rooms,
		.socks = (uint32_t)__builtin_popcountll(m->slots),
		.held = m->held,
	};
}

/* --- Making one --------------------------------------------------------------------------------------------------------------------- */

struct mon *mon_create(const struct mon_conf *conf, struct stats *stats)
{
	struct mon *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->conf = *conf;
	m->stats = stats;
	TAILQ_INIT(&m->closing);
	TAILQ_INIT(&m->news);
	TAILQ_INIT(&m->all_held);
	m->orders_tail = &m->orders;
	for (unsigned i = 0; i < conf->ports; i++)
		m->replay |= conf->port[i].mode == MON_PORT_REPLAY;
	for (unsigned i = 0; i < LOOSE_QUEUES; i++)
		m->loose[i].tail = &m->loose[i].first;
	m->room = calloc(LANES_MAX, sizeof(*m->room));
	m->frags = mon_frags_create(conf->frag_entries, conf->frag_timeout_us, conf->seed);
	if (m->room == NULL || m->frags == NULL || mon_table_init(&m->table, conf->max_flows) != 0) {
		mon_destroy(m);
		errno = ENOMEM;
		return NULL;
	}
	return m;
}

static void queue_free(struct mon_queue *q)
{
	struct mon_held *h;

	while ((h = q->first) != NULL) {
		q->first = h->next;
		mon_pass_free(&h->pass);
		free(h);
	}
}

void mon_destroy(struct mon *m)
{
	struct mon_flow *f;

	if (m == NULL)
		return;
	for (unsigned i = 0; i < LOOSE_QUEUES; i++)
		queue_free(&m->loose[i]);
	while ((f = TAILQ_FIRST(&m->closing)) != NULL || (f = TAILQ_FIRST(&m->table.age)) != NULL) {
		queue_free(&f->queue);
		flow_remove(m, f);
	}
	for (unsigned i = 0; i < NET_PORTS_MAX; i++) {
		while (m->outs[i] > 0)
			nic_free(m->out[i][--m->outs[i]]);
	}
	mon_table_fini(&m->table);
	mon_frags_destroy(m->frags);
	for (unsigned i = 0; i < MON_GROUPS_MAX; i++)
		free(m->rec_flow[i]);
	free(m->claim);
	free(m->claim_gen);
	free(m->claim_free);
	free(m->room);
	free(m);
}
