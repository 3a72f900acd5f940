/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The life of a flow: who watches it, how it begins, how another takes its place, how it ends.
 */
#include <string.h>

#include "stackd/mon/priv.h"
#include "stackd/tcp/seg.h"

enum { EVICT_TRIES = 8, ETH_HDR = 14, FILTER_SEES = 256 };

/* --- Who watches ------------------------------------------------------------------------------------------------------- */

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

/* Sockets of a kind that this packet concerns, by their share, scope and filter; null: events that they must want of MON_HK_NULL. */
static uint64_t slots_that(const struct mon *m, const struct pkt *p, const struct mon_seg *s, unsigned kind, uint16_t null, unsigned which)
{
	uint32_t hash = share_hash(m, s);
	uint64_t found = 0;

	for (unsigned i = 0; i < m->chained; i++) {
		const struct mon_slot *k = &m->slot[m->chain[i]];

		if (k->kind == kind && (k->mask[MON_HK_NULL] & null) == null && slot_shares(k, hash) &&
		    mon_filter_match(k->lane->group->scope, p) &&
		    (kind == MON_RAW ? mon_filter_match(k->filter[which], p) : stream_match(k->filter[which], p, s)))
			found |= (uint64_t)1 << m->chain[i];
	}
	return found;
}

uint64_t mon_slots_stream(struct mon *m, const struct pkt *p, const struct mon_seg *s)
{
	return slots_that(m, p, s, MON_STREAM, 0, MON_FILTER_SYN);
}

uint64_t mon_slots_raw(struct mon *m, const struct mon_pass *ps)
{
	return slots_that(m, ps->pkt, &ps->seg, MON_RAW, 0, MON_FILTER_RAW);
}

uint64_t mon_slots_orphan(struct mon *m, const struct mon_pass *ps)
{
	return slots_that(m, ps->pkt, &ps->seg, MON_STREAM, MON_ORPHAN, MON_FILTER_ORPHAN);
}

/* --- The end --------------------------------------------------------------------------------------------------------- */

void mon_flow_remove(struct mon *m, struct mon_flow *f)
{
	while (f->views != NULL)
		mon_view_free(m, f, f->views);
	mon_over_free(f, UINT64_MAX);
	mon_edit_free(f);
	mon_aside_free(&f->half[0]);
	mon_aside_free(&f->half[1]);
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
	COUNT_ADD(m->stats, MON_MISSED, f->half[0].missed + f->half[1].missed);
	mon_publish(f);
	mon_emit_end(m, f, changed);
	mon_flow_remove(m, f);
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

/* --- The beginning ------------------------------------------------------------------------------------------------ */

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

static bool may_begin(const struct mon *m, const struct mon_seg *s)
{
	bool syn = (s->flags & (SEG_SYN | SEG_ACK | SEG_RST)) == SEG_SYN;

	return syn || (m->conf.pickup && (s->flags & SEG_RST) == 0);
}

/* For these sockets, if there are any.  known: who sends, if its flow was known before; else MON_BOTH. */
static struct mon_half *flow_begin(struct mon *m, struct mon_pass *ps, uint64_t slots, unsigned known)
{
	struct mon_seg *s = &ps->seg;
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
		if (known != MON_BOTH && (s->flags & SEG_SYN) == 0)
			side = known;
		COUNT(m->stats, MON_PICKUPS);
	}
	if (mon_half_attach(&m->table, &f->half[side], s, true, m->conf.seed) != 0) {
		mon_flow_free(&m->table, f);
		return NULL;
	}
	for (unsigned i = 0; i < m->chained; i++) {
		if ((slots >> m->chain[i] & 1) != 0)
			mon_view_add(m, f, m->chain[i]);
	}
	COUNT(m->stats, MON_FLOWS);
	ps->first = true;
	return &f->half[side];
}

static uint64_t slots_to_begin(struct mon *m, const struct mon_pass *ps)
{
	return may_begin(m, &ps->seg) ? mon_slots_stream(m, ps->pkt, &ps->seg) : 0;
}

/* Those who watched it have gone, and have left nothing that must go on. */
static bool is_abandoned(const struct mon_flow *f)
{
	return (f->slots | f->let_go) == 0 && f->xlate == NULL && f->queue.first == NULL && !f->ending;
}

struct mon_half *mon_flow_find(struct mon *m, struct mon_pass *ps)
{
	struct mon_half *snd = mon_half_find(&m->table, &ps->seg);
	uint64_t slots = snd == NULL || is_abandoned(snd->flow) ? slots_to_begin(m, ps) : 0;
	unsigned side = MON_BOTH;

	if (slots == 0)
		return snd;
	if (snd != NULL) {
		side = snd->side;
		mon_flow_end(m, snd->flow);
	}
	return flow_begin(m, ps, slots, side);
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

void mon_flow_renew(struct mon *m, struct mon_pass *ps)
{
	struct mon_flow *old = ps->flow;
	struct mon_queue queue = old->queue;

	old->queue.first = NULL;
	mon_flow_end(m, old);
	ps->flow = NULL;
	ps->snd = flow_begin(m, ps, slots_to_begin(m, ps), MON_BOTH);
	if (ps->snd == NULL)
		ps->stage = STAGE_OUT;
	else
		ps->flow = ps->snd->flow;
	if (ps->flow == NULL)
		queue_forward(m, &queue, ps);
	else
		queue_move(&ps->flow->queue, &queue, ps);
}
