/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Event records: who wants a round, what it says, and the rings they go to.
 *
 * A ring may overrun; what was lost is told with the next record that fits, and counted.  For each lane:
 * offered = delivered + filtered + lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "stackd/mon/priv.h"

enum { PREFETCH = 4 }; /* slots ahead */

/* --- Who wants it ----------------------------------------------------------------------------------------------------- */

struct mon_over *mon_over_get(struct mon_flow *f, unsigned slot, bool make)
{
	struct mon_over *o = f->overs;

	while (o != NULL && o->slot != slot)
		o = o->next;
	if (o != NULL || !make)
		return o;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return NULL;
	o->slot = (uint8_t)slot;
	o->next = f->overs;
	f->overs = o;
	return o;
}

void mon_over_free(struct mon_flow *f, uint64_t slots)
{
	struct mon_over **at = &f->overs, *o;

	while ((o = *at) != NULL) {
		if ((slots >> o->slot & 1) == 0) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		free(o);
	}
}

/* The program has not yet seen that the flow exists: a callback of its may still register for anything. */
static bool is_early(struct mon_lane *l, struct mon_over *o)
{
	if (!o->early)
		return false;
	if (ring_room(&l->events) >= 0 && (int32_t)(l->events.seen - o->first) < 0)
		return true;
	o->early = false;
	return false;
}

uint16_t mon_would_want(struct mon *m, const struct mon_flow *f, unsigned slot, unsigned hook, unsigned side, uint16_t events,
			uint16_t *flags)
{
	struct mon_slot *s = &m->slot[slot];
	struct mon_over *o = f != NULL && f->overs != NULL ? mon_over_get((struct mon_flow *)f, slot, false) : NULL;
	uint16_t mask = o != NULL && o->masked ? o->mask[hook] : s->mask[hook];
	uint16_t got = events & mask;

	if (o != NULL && got != events && is_early(s->lane, o)) {
		got = events;
		*flags |= MEVF_EARLY;
	}
	if (o != NULL && side < 2 && (o->stopped >> side & 1) != 0)
		got = 0;
	return got;
}

uint16_t mon_wants(struct mon *m, const struct mon_flow *f, unsigned slot, unsigned hook, unsigned side, uint16_t events,
		   uint16_t *flags)
{
	uint16_t got = mon_would_want(m, f, slot, hook, side, events, flags);

	m->slot[slot].lane->offered++;
	if (got == 0)
		m->slot[slot].lane->filtered++;
	return got;
}

/* --- The record ------------------------------------------------------------------------------------------------------------ */

static struct mon_view *view_of(const struct mon_flow *f, const struct mon_group *g)
{
	struct mon_view *v = f->views;

	while (v != NULL && v->group != g)
		v = v->next;
	return v;
}

/* Where the payload begins in the stream of the one who receives it. */
static uint64_t text_offset(const struct mon_pass *ps)
{
	const struct mon_half *rcv;
	uint32_t seq;

	if (ps->snd == NULL)
		return UINT64_MAX;
	rcv = mon_other(ps->snd);
	if ((rcv->flags & HALF_SEQ) == 0)
		return 0;
	seq = ps->seg.seq + ((ps->seg.flags & 2) != 0);
	return rcv->next + (uint64_t)(int64_t)(int32_t)(seq - (rcv->rcv_isn + 1 + (uint32_t)rcv->next));
}

static uint64_t packet_log(struct mon *m, struct mon_pass *ps, struct mon_group *g)
{
	const struct mon_seg *s = &ps->seg;
	struct mon_pkt hdr = {
		.ts_us = ps->ts_us,
		.offset = text_offset(ps),
		.len = ps->pkt->len,
		.wire_len = ps->pkt->len + (s->kind == MON_SEG_TCP ? s->wire_text - s->text_len : 0),
		.l3_off = s->l3_off,
		.in_port = ps->pkt->port,
		.ip_version = s->version,
	};

	(void)m;
	if (s->kind == MON_SEG_TCP) {
		hdr.l4_off = s->l4_off;
		hdr.text_off = s->text_off;
		hdr.text_len = s->text_len;
	}
	if (ps->log_at[g->id] == 0)
		ps->log_at[g->id] = arena_log(g->arena, &hdr, ps->pkt->data) + 1;
	return ps->log_at[g->id] - 1;
}

static int lane_put(struct mon_lane *l, const struct mon_event *e)
{
	struct mon_event gap = { .op = MEV_GAP, .flow = MON_NONE, .sock = e->sock, .ts_us = e->ts_us, .lost = l->gap };
	int err = 0;

	if (l->gap > 0) {
		err = ring_put(&l->events, &gap, sizeof(gap));
		if (err == 0)
			l->gap = 0;
	}
	if (err == 0)
		err = ring_put(&l->events, e, sizeof(*e));
	if (err == -EPROTO)
		l->bad = "it moved its event cursor where nothing has been";
	if (err != 0) {
		l->gap++;
		l->lost++;
		l->dn->lost++;
		return -ENOBUFS;
	}
	/* the client has read that line: fetching it back takes as long as a packet */
	__builtin_prefetch(&l->events.slot[(l->events.head + PREFETCH) & (l->events.slots - 1)], 1);
	l->has_news = true;
	return 0;
}

int mon_emit(struct mon *m, struct mon_pass *ps, struct mon_flow *f, unsigned slot, uint16_t events, uint8_t hook, uint8_t side,
	     uint16_t flags, uint32_t claim)
{
	struct mon_slot *s = &m->slot[slot];
	struct mon_lane *l = s->lane;
	struct mon_event e = {
		.op = MEV_DISPATCH,
		.events = events,
		.hook = hook,
		.side = side,
		.flow = MON_NONE,
		.sock = s->sock,
		.flags = flags,
		.claim = claim,
		.ts_us = ps != NULL ? ps->ts_us : m->time_us,
	};
	const struct mon_view *v = f != NULL ? view_of(f, l->group) : NULL;
	struct mon_over *o;

	if (v != NULL) {
		e.flow = v->rec;
		e.gen = (uint32_t)f->serial;
		for (unsigned i = 0; i < 2; i++) {
			e.state[i] = f->half[i].state;
			e.next[i] = f->half[i].next;
		}
		if (ps != NULL && (ps->stage == STAGE_REXMIT || ps->stage == STAGE_ERROR))
			e.next[mon_other(ps->snd)->side] = ps->next_was;
		e.flags |= f->midstream ? MEVF_OFF : 0;
	}
	if (ps != NULL && ps->pkt != NULL) {
		e.pkt = packet_log(m, ps, l->group);
		e.flags |= MEVF_PKT;
	}
	if (lane_put(l, &e) != 0)
		return -ENOBUFS;
	l->delivered++;
	COUNT(m->stats, MON_EVENTS);
	if (f == NULL || (f->told >> slot & 1) != 0)
		return 0;
	f->told |= (uint64_t)1 << slot;
	if ((s->flags & MON_SOCK_EARLY) == 0)
		return 0;
	o = mon_over_get(f, slot, true);
	if (o != NULL) {
		o->early = true;
		o->first = l->events.head;
	}
	return 0;
}

void mon_want_again(struct mon *m)
{
	memset(m->want, 0, sizeof(m->want));
	for (unsigned i = 0; i < m->chained; i++) {
		const struct mon_slot *s = &m->slot[m->chain[i]];

		for (unsigned h = 0; h < MON_HOOKS; h++) {
			for (unsigned bits = s->mask[h]; bits != 0; bits &= bits - 1)
				m->want[h][__builtin_ctz(bits)] |= (uint64_t)1 << m->chain[i];
		}
	}
}

void mon_count_skipped(struct mon *m)
{
	for (uint64_t left = m->slots; left != 0; left &= left - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(left);

		m->slot[slot].lane->offered += m->skipped[slot];
		m->slot[slot].lane->filtered += m->skipped[slot];
		m->skipped[slot] = 0;
	}
}

/* Most rounds interest few sockets: the others cost a count each.  Returns those that want it. */
static uint64_t wanting(struct mon *m, uint64_t slots, uint16_t events, uint8_t hook)
{
	uint64_t want = 0;

	for (unsigned bits = events; bits != 0; bits &= bits - 1)
		want |= m->want[hook][__builtin_ctz(bits)];
	for (uint64_t skip = slots & ~want; skip != 0; skip &= skip - 1)
		m->skipped[__builtin_ctzll(skip)]++;
	return slots & want;
}

void mon_emit_all(struct mon *m, struct mon_pass *ps, struct mon_flow *f, uint64_t slots, uint16_t events, uint8_t hook,
		  uint8_t side, uint16_t flags, bool reverse)
{
	if (f == NULL || f->overs == NULL)
		slots = wanting(m, slots, events, hook);
	for (unsigned i = 0; i < m->chained && slots != 0; i++) {
		unsigned slot = m->chain[reverse ? m->chained - 1 - i : i];
		uint16_t more = flags, want;

		if ((slots >> slot & 1) == 0)
			continue;
		slots &= ~((uint64_t)1 << slot);
		want = mon_wants(m, f, slot, hook, side, events, &more);
		if (want != 0)
			(void)mon_emit(m, ps, f, slot, want, hook, side, more, 0);
	}
}

/* --- Rounds without a packet ----------------------------------------------------------------------------------------------- */

void mon_emit_news(struct mon *m, struct mon_flow *f)
{
	for (unsigned side = 0; side < 2; side++) {
		struct mon_half *h = &f->half[side];

		if ((h->flags & HALF_DIRTY) == 0)
			continue;
		h->flags &= (uint16_t)~HALF_DIRTY;
		h->told = h->next;
		mon_emit_all(m, NULL, f, f->slots, MON_NEW_DATA, MON_HK_NULL, (uint8_t)side, 0, false);
	}
}

/* Per side, HK_RCV and then HK_SND; the last record says that it is the last, and comes even where nothing else is wanted, if
 * the socket knows the flow. */
static void end_of_slot(struct mon *m, struct mon_flow *f, unsigned slot, unsigned changed)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned side = i / 2, hook = i % 2 == 0 ? MON_HK_RCV : MON_HK_SND;
		uint16_t events = MON_CONN_END | ((changed >> side & 1) != 0 ? MON_STATE_CHANGE : 0), flags = 0;
		uint16_t want = mon_wants(m, f, slot, hook, side, events, &flags);

		if (i == 3 && want == 0 && (f->told >> slot & 1) != 0) {
			m->slot[slot].lane->filtered--;
		} else if (want == 0) {
			continue;
		}
		(void)mon_emit(m, NULL, f, slot, want, (uint8_t)hook, (uint8_t)side, flags | (i == 3 ? MEVF_LAST : 0), 0);
	}
}

void mon_emit_end(struct mon *m, struct mon_flow *f, unsigned changed)
{
	for (unsigned i = 0; i < m->chained; i++) {
		if ((f->slots >> m->chain[i] & 1) != 0)
			end_of_slot(m, f, m->chain[i], changed);
	}
}

void mon_emit_done(struct mon *m, struct mon_lane *l)
{
	struct mon_event e = { .op = MEV_DONE, .flow = MON_NONE, .ts_us = m->time_us };

	(void)lane_put(l, &e);
}

/* --- Wake-ups ----------------------------------------------------------------------------------------------------------------- */

void mon_wake(struct mon *m, struct mon_lane *l)
{
	uint32_t asleep;

	l->has_news = false;
	asleep = bell_look(&l->upp->client_asleep);
	if (asleep == 0 || asleep == l->woken)
		return;
	l->woken = asleep;
	l->wakes++;
	COUNT(m->stats, MON_WAKES);
	(void)!send(l->wake_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}
