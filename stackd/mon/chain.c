/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Inline monitors: a packet is held while one of them decides, and decided by policy when it cannot, does not, or must not.
 *
 * Packets of a queue (a flow's, or one of those for packets without a flow) go one by one, in order.  But while the first is being decided, the
 * same monitor may be asked about those behind it, ahead of their turn, where that shows it nothing else than afterwards.  A claim
 * names a packet towards the client: index and generation, good for that one decision of that one lane.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/priv.h"

enum { CLAIM_BITS = 20 };

static_assert(CNT_MON_BY_BREAKER - CNT_MON_BY_RING == MON_BY_BREAKER - MON_BY_RING && MON_BY_RING == 0, "in the order of causes");

static bool decided(struct mon *m, struct mon_pass *ps, struct mon_slot *s, enum mon_cause cause);
static void ahead(struct mon *m, struct mon_queue *q);

/* --- Claims ----------------------------------------------------------------------------------------------------------- */

static bool claims_grow(struct mon *m)
{
	uint32_t more = m->claims == 0 ? 1024 : m->claims * 2;
	struct mon_held **claim = realloc(m->claim, more * sizeof(*claim));
	uint32_t *gen, *left;

	if (claim != NULL)
		m->claim = claim;
	gen = realloc(m->claim_gen, more * sizeof(*gen));
	if (gen != NULL)
		m->claim_gen = gen;
	left = realloc(m->claim_free, more * sizeof(*left));
	if (left != NULL)
		m->claim_free = left;
	if (claim == NULL || gen == NULL || left == NULL || more > 1u << CLAIM_BITS)
		return false;
	for (uint32_t i = m->claims; i < more; i++) {
		claim[i] = NULL;
		gen[i] = 0;
		left[m->claim_frees++] = i;
	}
	m->claims = more;
	return true;
}

static bool claim_take(struct mon *m, struct mon_held *h)
{
	uint32_t i;

	if (m->claim_frees == 0 && !claims_grow(m))
		return false;
	i = m->claim_free[--m->claim_frees];
	m->claim[i] = h;
	h->claim = ++m->claim_gen[i] << CLAIM_BITS | i;
	return true;
}

static void claim_give(struct mon *m, struct mon_held *h)
{
	uint32_t i = h->claim & ((1u << CLAIM_BITS) - 1);

	m->claim[i] = NULL;
	m->claim_free[m->claim_frees++] = i;
}

static struct mon_held *claim_find(const struct mon *m, const struct mon_lane *l, uint32_t claim)
{
	uint32_t i = claim & ((1u << CLAIM_BITS) - 1);
	struct mon_held *h = i < m->claims ? m->claim[i] : NULL;

	return h != NULL && h->claim == claim && m->slot[h->slot].lane == l ? h : NULL;
}

/* --- Queues ----------------------------------------------------------------------------------------------------------- */

static struct mon_queue *queue_of(struct mon *m, const struct mon_pass *ps)
{
	return ps->flow != NULL ? &ps->flow->queue : &m->loose[ps->seg.hash % LOOSE_QUEUES];
}

static void charge(struct mon_held *h, struct mon_lane *l)
{
	if (h->charged != NULL) {
		h->charged->held--;
		h->charged->held_bytes -= h->bytes;
	}
	h->charged = l;
	if (l != NULL) {
		l->held++;
		l->held_bytes += h->bytes;
	}
}

/* A packet that somebody only lets us look at is gone when it has its turn: a copy waits. */
static bool keep(struct mon_pass *ps)
{
	struct pkt *copy;

	if (ps->owned)
		return true;
	copy = mon_pkt_joined(ps->pkt, ps->pkt->data, ps->pkt->len);
	if (copy == NULL)
		return false;
	copy->cut = ps->pkt->cut;
	copy->flags |= ps->pkt->flags;
	ps->pkt = copy;
	ps->owned = true;
	return true;
}

static struct mon_held *held_make(struct mon *m, const struct mon_pass *ps, struct mon_queue *q)
{
	struct mon_held *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->pass = *ps;
	if (!keep(&h->pass)) {
		free(h);
		return NULL;
	}
	h->queue = q;
	h->bytes = ps->pkt->len;
	m->held++;
	TAILQ_INSERT_TAIL(&m->all_held, h, all);
	COUNT(m->stats, MON_HELD);
	return h;
}

static void held_free(struct mon *m, struct mon_held *h)
{
	charge(h, NULL);
	TAILQ_REMOVE(&m->all_held, h, all);
	m->held--;
	free(h);
}

static void queue_append(struct mon_queue *q, struct mon_held *h)
{
	if (q->first == NULL) {
		q->tail = &q->first;
		q->fresh = NULL;
	}
	*q->tail = h;
	q->tail = &h->next;
}

/* own: it counts already, if it is charged to this lane */
static bool over_budget(const struct mon_lane *l, uint32_t bytes, const struct mon_held *own)
{
	bool counts = own != NULL && own->charged == l;

	return l->held - counts >= l->policy.hold_packets || l->held_bytes - (counts ? own->bytes : 0) + bytes > l->policy.hold_bytes;
}

/* A waiting one waits no more. */
static void wait_end(struct mon *m, struct mon_held *h)
{
	TAILQ_REMOVE(&mon_room_of(m, m->slot[h->slot].lane)->dues, h, due);
	claim_give(m, h);
	h->waiting = false;
}

/* Decide for the monitor that has not. */
static void wait_cut(struct mon *m, struct mon_held *h, enum mon_cause cause)
{
	struct mon_slot *s = &m->slot[h->slot];

	wait_end(m, h);
	(void)decided(m, &h->pass, s, cause);
}

static struct mon_queue *flow_again(struct mon *m, struct mon_pass *ps)
{
	if (ps->flow == NULL)
		return queue_of(m, ps);
	ps->snd = mon_half_find(&m->table, &ps->seg);
	ps->flow = ps->snd != NULL ? ps->snd->flow : NULL;
	if (ps->flow == NULL)
		ps->stage = STAGE_OUT;
	return queue_of(m, ps);
}

void mon_queue_put(struct mon *m, struct mon_queue *q, struct mon_pass *ps)
{
	struct mon_held *first, *h;

	while ((first = q->first) != NULL && first->waiting && over_budget(m->slot[first->slot].lane, ps->pkt->len, NULL)) {
		wait_cut(m, first, MON_BY_BUDGET);
		mon_queue_run(m, q);
		q = flow_again(m, ps); /* what ran may have ended the flow, and begun another */
	}
	if (q->first == NULL) {
		(void)mon_run(m, ps, NULL);
		return;
	}
	h = held_make(m, ps, q);
	if (h == NULL) {
		COUNT(m->stats, MON_DROPPED);
		mon_pass_free(ps);
		return;
	}
	charge(h, m->slot[q->first->slot].lane);
	queue_append(q, h);
	if (q->fresh == NULL)
		q->fresh = h;
	ahead(m, q);
}

void mon_queue_run(struct mon *m, struct mon_queue *q)
{
	struct mon_held *h;

	while ((h = q->first) != NULL && !h->waiting) {
		if (q->fresh == h)
			q->fresh = h->next;
		if (!mon_run(m, &h->pass, h))
			break;
		q = h->queue; /* a flow that began anew took its queue along */
		q->first = h->next;
		if (q->first == NULL)
			q->tail = &q->first;
		held_free(m, h);
	}
	if (h != NULL)
		ahead(m, h->queue);
}

/* --- Ahead of its turn ------------------------------------------------------------------------------------------------------ */

static bool is_one(uint64_t bits)
{
	return bits != 0 && (bits & (bits - 1)) == 0;
}

/* RAW sockets are told before the flow's: nobody has both. */
static bool raw_apart(const struct mon *m, const struct mon_flow *f)
{
	if ((m->raw_slots & m->inline_slots) != 0)
		return false;
	for (uint64_t left = m->raw_slots; left != 0; left &= left - 1) {
		if ((m->slot[__builtin_ctzll(left)].lane->slots & f->slots) != 0)
			return false;
	}
	return true;
}

/* May the flow's monitor be asked at HK_SND about a packet while it has not decided on those before?  They have begun.  Nothing more of them may
 * then be told to it, and this one must not change what it, or anybody, is told of them. */
static bool may_go_ahead(struct mon *m, const struct mon_pass *ps)
{
	uint16_t flags = 0;
	unsigned slot, side;

	if (ps->passive || !ps->owned)
		return false;
	if (ps->flow == NULL)
		return ps->stage <= STAGE_ORPHAN && is_one(m->inline_slots);
	if (ps->first || ps->silent || ps->snd == NULL || ps->seg.kind != MON_SEG_TCP || !is_one(ps->flow->slots & m->inline_slots))
		return false;
	slot = (unsigned)__builtin_ctzll(ps->flow->slots & m->inline_slots);
	for (side = MON_CLI; side < MON_BOTH; side++) {
		if ((mon_would_want(m, ps->flow, slot, MON_HK_RCV, side, MON_PKT_IN | MON_STATE_CHANGE | MON_REXMIT | MON_CONN_START, &flags) |
		     mon_would_want(m, ps->flow, slot, MON_HK_NULL, side, MON_ERROR, &flags)) != 0)
			return false;
	}
	return mon_half_plain(ps->snd, &ps->seg) && !mon_edit_at_rcv(ps->flow) && raw_apart(m, ps->flow);
}

/* Those that may begin before the first is through. */
static void ahead(struct mon *m, struct mon_queue *q)
{
	struct mon_held *h;

	while ((h = q->fresh) != NULL && may_go_ahead(m, &h->pass)) {
		q->fresh = h->next;
		(void)mon_run(m, &h->pass, h);
	}
}

bool mon_queue_stops(const struct mon_held *h)
{
	const struct mon_pass *ps = &h->pass;

	if (h->queue->first == h)
		return false;
	if (ps->flow != NULL)
		return ps->stage == STAGE_SND;
	return ps->stage != STAGE_RAW || ps->events != 0 || !ps->orphan || ps->silent;
}

/* A script changes what comes after it, too: those before it must have been decided. */
static bool is_in_turn(const struct mon_held *h)
{
	const struct mon_held *before = h->queue->first;

	while (before != h && !before->waiting)
		before = before->next;
	return before == h;
}

/* --- Asking --------------------------------------------------------------------------------------------------------------- */

static bool forced(struct mon_slot *s, enum mon_cause cause)
{
	if (s->fault[cause] == 0)
		return false;
	s->fault[cause]--;
	return true;
}

static bool breaker_open(struct mon *m, struct mon_slot *s)
{
	if (s->open_until_us == 0)
		return false;
	if (m->now_us < s->open_until_us)
		return true;
	s->open_until_us = 0;
	s->strikes = BREAKER_OPENS - 1; /* one more deadline opens it again */
	return false;
}

/* The policy speaks.  True: the packet goes on. */
static bool decided(struct mon *m, struct mon_pass *ps, struct mon_slot *s, enum mon_cause cause)
{
	struct mon_lane *l = s->lane;

	l->decided[cause]++;
	m->stats->n[CNT_MON_BY_RING + (unsigned)cause]++;
	if (l->policy.fail_drop)
		ps->dropped = true;
	return !ps->dropped;
}

/* A deadline was missed.  Those asked about before the latest one were missed with that. */
static void strike(struct mon *m, struct mon_slot *s, uint64_t asked_us)
{
	if (asked_us < s->struck_us)
		return;
	s->struck_us = m->now_us;
	if (++s->strikes < BREAKER_OPENS)
		return;
	s->open_until_us = m->now_us + BREAKER_US;
	s->lane->breaker_opened++;
	COUNT(m->stats, MON_BREAKER);
}

static bool untold(struct mon *m, struct mon_pass *ps, struct mon_slot *s, enum mon_cause cause)
{
	s->lane->lost++;
	s->lane->gap++;
	return decided(m, ps, s, cause);
}

static void wait_begin(struct mon *m, struct mon_held *h, unsigned slot)
{
	struct mon_lane *l = m->slot[slot].lane;
	struct mon_dues *dues = &mon_room_of(m, l)->dues;

	h->waiting = true;
	h->slot = slot;
	h->asked_us = m->now_us;
	h->deadline_us = m->now_us + l->policy.deadline_us;
	charge(h, l);
	if (forced(&m->slot[slot], MON_BY_DEADLINE)) {
		h->deadline_us = m->now_us;
		TAILQ_INSERT_HEAD(dues, h, due);
	} else {
		TAILQ_INSERT_TAIL(dues, h, due);
	}
}

/* 1: goes on, -1: dropped, 0: waits. */
static int ask(struct mon *m, struct mon_pass *ps, struct mon_held **held, unsigned slot)
{
	struct mon_slot *s = &m->slot[slot];
	struct mon_queue *q = queue_of(m, ps);
	struct mon_held *h = *held;
	uint16_t flags = ps->flags, want;
	unsigned hook = ps->hook;

	want = mon_wants(m, ps->flow, slot, hook, ps->side, ps->events, &flags);
	if (want == 0)
		return 1;
	if (breaker_open(m, s) || forced(s, MON_BY_BREAKER))
		return untold(m, ps, s, MON_BY_BREAKER) ? 1 : -1;
	if (forced(s, MON_BY_DEATH))
		return untold(m, ps, s, MON_BY_DEATH) ? 1 : -1;
	if (forced(s, MON_BY_RING))
		return untold(m, ps, s, MON_BY_RING) ? 1 : -1;
	if (over_budget(s->lane, ps->pkt->len, h) || forced(s, MON_BY_BUDGET))
		return untold(m, ps, s, MON_BY_BUDGET) ? 1 : -1;
	if (h == NULL) {
		h = held_make(m, ps, q);
		if (h == NULL || !claim_take(m, h)) {
			if (h != NULL)
				held_free(m, h);
			return untold(m, ps, s, MON_BY_BUDGET) ? 1 : -1;
		}
	} else if (!claim_take(m, h)) {
		return untold(m, ps, s, MON_BY_BUDGET) ? 1 : -1;
	}
	if (*held != NULL && h->queue->first != h && ps->flow != NULL)
		flags |= MEVF_AHEAD;
	if (mon_emit(m, &h->pass, ps->flow, slot, want, (uint8_t)hook, ps->side, flags | MEVF_HELD, h->claim) != 0) {
		claim_give(m, h);
		if (*held == NULL)
			held_free(m, h);
		return decided(m, ps, s, MON_BY_RING) ? 1 : -1;
	}
	wait_begin(m, h, slot);
	if (*held == NULL)
		queue_append(q, h);
	*held = h;
	return 0;
}

/* Monitors have numbers from 1 up; packets of the server pass them downwards. */
void mon_map_upto(struct mon_pass *ps, uint32_t reg, bool before)
{
	unsigned layer = ps->stage == STAGE_SND ? MON_LAYER_SND : MON_LAYER_RCV;
	bool down;

	if (ps->flow == NULL || ps->flow->xlate == NULL || !ps->owned || ps->silent ||
	    (ps->stage != STAGE_SND && ps->stage != STAGE_RCV))
		return;
	down = ps->snd->side == MON_SVR;
	if (reg == 0)
		reg = down ? 0 : UINT32_MAX;
	else if (before)
		reg = down ? reg + 1 : reg - 1;
	if (ps->mapped == 0 && down)
		ps->mapped = UINT32_MAX;
	if (ps->mapped == reg)
		return;
	ps->emptied |= mon_edit_pass(ps->flow, ps->snd->side, layer, ps->mapped, reg, &ps->pkt, &ps->seg);
	memset(ps->log_at, 0, sizeof(ps->log_at));
	ps->mapped = reg;
}

int mon_chain(struct mon *m, struct mon_pass *ps, struct mon_held **held)
{
	uint64_t slots = ps->slots & m->inline_slots;
	bool reverse = ps->snd != NULL && ps->snd->side == MON_SVR;

	if (ps->passive || slots == 0)
		return 1;
	for (unsigned at = 0; at < m->chained; at++) {
		unsigned slot = m->chain[reverse ? m->chained - 1 - at : at];
		int r;

		if (((slots & ~ps->asked) >> slot & 1) == 0)
			continue;
		if (ps->stage >= STAGE_SND && (ps->flow->slots >> slot & 1) == 0)
			continue; /* it has let go of the flow meanwhile */
		mon_map_upto(ps, m->slot[slot].reg, true);
		ps->asked |= (uint64_t)1 << slot;
		r = ask(m, ps, held, slot);
		if (r <= 0)
			return r;
	}
	return 1;
}

/* --- Answers --------------------------------------------------------------------------------------------------------------- */

static int edit(struct mon *m, struct mon_lane *l, uint32_t reg, struct mon_held *h, const struct mon_cmd *cmd)
{
	struct mon_pass *ps = &h->pass;
	uint32_t off = cmd->verdict.off, len = cmd->verdict.len;
	unsigned layer = ps->stage == STAGE_SND || ps->stage == STAGE_RAW ? MON_LAYER_SND : MON_LAYER_RCV;
	unsigned side = ps->snd != NULL ? ps->snd->side : MON_CLI;
	int err;

	if (!ps->owned || ps->silent || off > l->edit_size || len > l->edit_size - off || len > sizeof(m->script) || !is_in_turn(h))
		return -EINVAL;
	memcpy(m->script, l->edit + off, len);
	if (ps->pkt->room - ps->pkt->len < len && !mon_pkt_grow(&ps->pkt, ps->pkt->len + len))
		return -ENOMEM;
	if (ps->flow != NULL) {
		ps->flow->seq_in = ps->seq_in;
		ps->flow->seq_now = ps->seg.seq;
	}
	err = mon_edit_script(ps->flow, side, layer, reg, ps->pkt, &ps->seg, m->script, len, cmd->verdict.count);
	if (err == 0) {
		memset(ps->log_at, 0, sizeof(ps->log_at));
		COUNT(m->stats, MON_EDITED);
	}
	return err;
}

void mon_verdict(struct mon *m, struct mon_lane *l, const struct mon_cmd *cmd)
{
	struct mon_held *h = claim_find(m, l, cmd->verdict.claim);
	struct mon_slot *s;
	uint32_t verdict = cmd->verdict.verdict;
	int err = 0;

	if (h == NULL) { /* too late, or never its own */
		l->stale++;
		COUNT(m->stats, MON_REFUSED);
		return;
	}
	s = &m->slot[h->slot];
	wait_end(m, h);
	s->strikes = 0;
	if (verdict > MON_EDIT || forced(s, MON_BY_NONSENSE))
		err = -EINVAL;
	else if (verdict == MON_EDIT)
		err = edit(m, l, s->reg, h, cmd);
	if (err != 0) {
		(void)decided(m, &h->pass, s, err == -ENOSPC || err == -ENOMEM ? MON_BY_BUDGET : MON_BY_NONSENSE);
	} else {
		l->verdict[verdict]++;
		h->pass.dropped = verdict == MON_DROP;
	}
	mon_queue_run(m, h->queue);
}

void mon_release(struct mon *m, struct mon_room *r, uint64_t slots, enum mon_cause cause)
{
	struct mon_held *h, *next;

	for (h = TAILQ_FIRST(&r->dues); h != NULL; h = next) {
		struct mon_queue *q = h->queue;

		next = TAILQ_NEXT(h, due);
		if ((slots >> h->slot & 1) == 0)
			continue;
		wait_cut(m, h, cause);
		mon_queue_run(m, q);
		next = TAILQ_FIRST(&r->dues); /* whatever that has done to the list */
	}
}

void mon_uncharge(struct mon *m, const struct mon_lane *l)
{
	struct mon_held *h;

	TAILQ_FOREACH(h, &m->all_held, all) {
		if (h->charged == l)
			charge(h, NULL);
	}
}

uint64_t mon_chain_expire(struct mon *m)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < m->rooms; i++) {
		struct mon_held *h;

		while ((h = TAILQ_FIRST(&m->room[i].dues)) != NULL && h->deadline_us <= m->now_us) {
			struct mon_queue *q = h->queue;

			strike(m, &m->slot[h->slot], h->asked_us);
			wait_cut(m, h, MON_BY_DEADLINE);
			mon_queue_run(m, q);
		}
		if (h != NULL && h->deadline_us < next)
			next = h->deadline_us;
	}
	return next;
}
