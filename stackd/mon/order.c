/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the control thread orders and what monitors command.
 *
 * A monitor socket that goes leaves the chain at once, so that no event and no packet goes to it any more; that no flow names it
 * any more takes a walk over all flows, some each turn, and only then is its slot free again and the order comes back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/priv.h"

enum { EVENTS_ALL = MON_PKT_IN | MON_CONN_START | MON_NEW_DATA | MON_ERROR | MON_STATE_CHANGE | MON_ORPHAN | MON_REXMIT | MON_CONN_END };

/* --- Slots ------------------------------------------------------------------------------------------------------------ */

static int slot_of(const struct mon *m, const struct mon_lane *l, uint16_t sock)
{
	for (unsigned i = 0; i < m->chained; i++) {
		const struct mon_slot *s = &m->slot[m->chain[i]];

		if (s->lane == l && s->sock == sock)
			return m->chain[i];
	}
	return -1;
}

static int slot_new(struct mon *m, const struct mon_order *o)
{
	unsigned i = 0;

	while (i < MON_SLOTS_MAX && (m->slots >> i & 1) != 0)
		i++;
	if (i == MON_SLOTS_MAX)
		return -ENFILE;
	m->slot[i] = (struct mon_slot){
		.lane = o->lane,
		.sock = o->conf.sock,
		.kind = o->conf.kind,
		.inline_ = o->lane->policy.inline_ok,
		.reg = ++m->regs,
		.share_index = o->lane->share_index,
		.share_count = o->lane->share_count,
	};
	m->slots |= (uint64_t)1 << i;
	m->chain[m->chained++] = (uint8_t)i;
	o->lane->slots |= (uint64_t)1 << i;
	if (o->conf.kind == MON_RAW)
		m->raw_slots |= (uint64_t)1 << i;
	else
		m->stream_slots |= (uint64_t)1 << i;
	if (o->lane->policy.inline_ok)
		m->inline_slots |= (uint64_t)1 << i;
	m->judges |= o->lane->policy.inline_ok;
	return (int)i;
}

static void order_sock(struct mon *m, struct mon_order *o)
{
	int i = slot_of(m, o->lane, o->conf.sock);

	if (i < 0)
		i = slot_new(m, o);
	if (i < 0) {
		o->err = i;
		return;
	}
	for (unsigned h = 0; h < MON_HOOKS; h++)
		m->slot[i].mask[h] = o->conf.events[h] & EVENTS_ALL;
	m->slot[i].flags = o->conf.flags;
	mon_want_again(m);
	m->slot[i].changed_us = m->now_us;
}

static void order_filter(struct mon *m, struct mon_order *o)
{
	int i = slot_of(m, o->lane, o->sock);
	struct mon_filter *old;

	if (i < 0 || o->which >= 3) {
		o->err = -EBADF;
		return;
	}
	m->slot[i].changed_us = m->now_us;
	old = m->slot[i].filter[o->which];
	m->slot[i].filter[o->which] = o->filter;
	o->filter = old;
}

/* No more events to these, no packets, no new flows. */
static void slots_mute(struct mon *m, uint64_t slots)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < m->chained; i++) {
		if ((slots >> m->chain[i] & 1) == 0)
			m->chain[kept++] = m->chain[i];
	}
	m->chained = kept;
	mon_want_again(m);
	m->stream_slots &= ~slots;
	m->raw_slots &= ~slots;
	m->inline_slots &= ~slots;
}

static void slots_free(struct mon *m, struct mon_lane *l, uint64_t slots)
{
	mon_count_skipped(m);
	for (unsigned i = 0; i < MON_SLOTS_MAX; i++) {
		if ((slots >> i & 1) != 0)
			m->slot[i] = (struct mon_slot){ 0 };
	}
	m->slots &= ~slots;
	l->slots &= ~slots;
}

/* --- Orders that take their time ------------------------------------------------------------------------------------------ */

/* What takes its own time (the end waits for monitors) lets those pass that do not. */
static void later(struct mon *m, struct mon_order *o)
{
	if (m->orders != NULL && m->orders->kind == MON_ORDER_FINISH && o->kind != MON_ORDER_FINISH) {
		o->next = m->orders;
		m->orders = o;
		m->order_at = 0;
		return;
	}
	o->next = NULL;
	if (m->orders == NULL) {
		m->orders_tail = &m->orders;
		m->order_at = 0;
	}
	*m->orders_tail = o;
	m->orders_tail = &o->next;
}

static uint64_t slots_going(const struct mon_order *o)
{
	return o->kind == MON_ORDER_LEAVE ? o->lane->slots : (uint64_t)1 << o->which;
}

static void order_close(struct mon *m, struct mon_order *o)
{
	int i = slot_of(m, o->lane, o->sock);

	if (i < 0) {
		o->err = -EBADF;
		m->conf.order_done(m->conf.arg, o);
		return;
	}
	memcpy(o->old, m->slot[i].filter, sizeof(o->old));
	memset(m->slot[i].filter, 0, sizeof(m->slot[i].filter));
	o->which = (uint16_t)i; /* the slot, from here on */
	slots_mute(m, (uint64_t)1 << i);
	mon_release(m, mon_room_of(m, o->lane), (uint64_t)1 << i, MON_BY_DEATH);
	later(m, o);
}

static void order_leave(struct mon *m, struct mon_order *o)
{
	struct mon_room *r = mon_room_of(m, o->lane);

	if (r == NULL) {
		m->conf.order_done(m->conf.arg, o);
		return;
	}
	o->lane->leaving = true;
	slots_mute(m, o->lane->slots);
	mon_release(m, r, o->lane->slots, MON_BY_DEATH);
	mon_uncharge(m, o->lane);
	later(m, o);
}

static void room_free(struct mon *m, struct mon_lane *l)
{
	struct mon_room *r = mon_room_of(m, l), *last = &m->room[m->rooms - 1];

	l->group->lanes--;
	m->rooms--;
	if (r == last)
		return;
	r->lane = last->lane;
	TAILQ_INIT(&r->dues);
	TAILQ_CONCAT(&r->dues, &last->dues, due);
}

static void order_finish(struct mon *m, struct mon_order *o)
{
	if (o->kind != MON_ORDER_FINISH) {
		slots_free(m, o->lane, slots_going(o));
		if (o->kind == MON_ORDER_LEAVE)
			room_free(m, o->lane);
	}
	m->conf.order_done(m->conf.arg, o);
}

void mon_slots_forget(struct mon *m, struct mon_flow *f, uint64_t slots)
{
	struct mon_view *v = f->views, *next;

	f->slots &= ~slots;
	f->inline_slots &= ~slots;
	f->told &= ~slots;
	f->let_go &= ~slots;
	mon_over_free(f, slots);
	for (; v != NULL; v = next) {
		next = v->next;
		v->slots &= ~slots;
		if (v->slots == 0)
			mon_view_free(m, f, v);
	}
}

/* Every flow of the traffic ends, when nothing of it is held any more; as fast as lossless monitors take it. */
static bool finish_some(struct mon *m)
{
	struct mon_flow *f;

	for (unsigned n = 0; n < NET_BURST && mon_can_take(m) > 0; n++) {
		f = TAILQ_FIRST(&m->closing);
		if (f == NULL)
			f = TAILQ_FIRST(&m->table.age);
		if (f == NULL)
			return true;
		if (f->queue.first != NULL)
			return false;
		mon_flow_end(m, f);
	}
	return false;
}

/* Lossless monitors get all the time they need, the others some. */
static bool drained(const struct mon *m, uint64_t until_us)
{
	for (unsigned i = 0; i < m->rooms; i++) {
		struct mon_lane *l = m->room[i].lane;

		if (!l->leaving && l->bad == NULL && (l->lossless || m->now_us < until_us) &&
		    ring_room(&l->events) != (int)l->events.slots)
			return false;
	}
	return true;
}

static bool finish_step(struct mon *m, struct mon_order *o)
{
	if (!finish_some(m))
		return false;
	if (o->until_us == 0) {
		o->until_us = m->now_us + DRAIN_US;
		for (unsigned i = 0; i < m->rooms && o->times != 0; i++)
			mon_emit_done(m, m->room[i].lane);
	}
	return drained(m, o->until_us);
}

static bool walk_some(struct mon *m, struct mon_order *o)
{
	uint64_t slots = slots_going(o);
	struct mon_flow *f;

	for (unsigned n = 0; n < CLEAR; n++) {
		if (!mon_table_at(&m->table, m->order_at, &f))
			return true;
		m->order_at++;
		if (f != NULL && ((f->slots | f->let_go) & slots) != 0)
			mon_slots_forget(m, f, slots);
	}
	return false;
}

bool mon_order_step(struct mon *m)
{
	struct mon_order *o = m->orders;

	if (o == NULL)
		return false;
	if (o->kind == MON_ORDER_FINISH ? finish_step(m, o) : walk_some(m, o)) {
		m->orders = o->next;
		m->order_at = 0;
		order_finish(m, o);
	}
	return m->orders != NULL;
}

static void order_lane(struct mon *m, struct mon_order *o)
{
	struct mon_room *r = &m->room[m->rooms];

	if (m->rooms == LANES_MAX) {
		o->err = -ENFILE;
		return;
	}
	r->lane = o->lane;
	TAILQ_INIT(&r->dues);
	m->rooms++;
	o->lane->group->lanes++;
	mon_lane_mark(m, o->lane);
}

static void order_share(struct mon *m, struct mon_order *o)
{
	o->lane->share_index = o->share_index;
	o->lane->share_count = o->share_count;
	for (unsigned i = 0; i < MON_SLOTS_MAX; i++) {
		if ((o->lane->slots >> i & 1) == 0)
			continue;
		m->slot[i].share_index = o->share_index;
		m->slot[i].share_count = o->share_count;
	}
}

static void order_fault(struct mon *m, struct mon_order *o)
{
	if (o->cause >= MON_CAUSES) {
		o->err = -EINVAL;
		return;
	}
	for (unsigned i = 0; i < MON_SLOTS_MAX; i++) {
		if ((o->lane->slots >> i & 1) != 0)
			m->slot[i].fault[o->cause] = o->times;
	}
}

void mon_order(struct mon *m, struct mon_order *o, uint64_t now_us)
{
	m->now_us = now_us;
	o->err = 0;
	switch (o->kind) {
	case MON_ORDER_LEAVE:
		order_leave(m, o);
		return;
	case MON_ORDER_CLOSE:
		order_close(m, o);
		return;
	case MON_ORDER_FINISH:
		o->until_us = 0;
		later(m, o);
		return;
	case MON_ORDER_LANE:
		order_lane(m, o);
		break;
	case MON_ORDER_SOCK:
		order_sock(m, o);
		break;
	case MON_ORDER_FILTER:
		order_filter(m, o);
		break;
	case MON_ORDER_SHARE:
		order_share(m, o);
		break;
	case MON_ORDER_FAULT:
		order_fault(m, o);
		break;
	}
	m->conf.order_done(m->conf.arg, o);
}

/* --- Commands -------------------------------------------------------------------------------------------------------------- */

static void views_buffers(struct mon_flow *f)
{
	for (struct mon_view *v = f->views; v != NULL; v = v->next) {
		for (unsigned side = 0; side < 2; side++) {
			bool wanted = false;

			for (unsigned i = 0; i < MON_SLOTS_MAX && !wanted; i++) {
				struct mon_over *o;

				if ((v->slots >> i & 1) == 0)
					continue;
				o = mon_over_get(f, i, false);
				wanted = o == NULL || ((o->no_buf | o->stopped) >> side & 1) == 0;
			}
			if (wanted) {
				v->buf_off &= (uint8_t)~(1u << side);
				continue;
			}
			if ((v->buf_off >> side & 1) == 0)
				arena_drop(v->group->arena, v->rec, side);
			v->buf_off |= (uint8_t)(1u << side);
		}
	}
}

static void cmd_mask(struct mon_flow *f, unsigned slot, const struct mon_cmd *c)
{
	struct mon_over *o = mon_over_get(f, slot, true);

	if (o == NULL)
		return;
	o->masked = true;
	for (unsigned h = 0; h < MON_HOOKS; h++)
		o->mask[h] = c->mask.events[h] & EVENTS_ALL;
}

static void cmd_stop(struct mon *m, struct mon_flow *f, unsigned slot, uint32_t side)
{
	struct mon_over *o;

	if (side >= MON_BOTH) {
		mon_slots_forget(m, f, (uint64_t)1 << slot);
		f->let_go |= (uint64_t)1 << slot;
		views_buffers(f);
		return;
	}
	o = mon_over_get(f, slot, true);
	if (o == NULL)
		return;
	o->stopped |= (uint8_t)(1u << side);
	views_buffers(f);
}

static void cmd_buf(struct mon_flow *f, unsigned slot, const struct mon_cmd *c)
{
	struct mon_over *o = c->one.value < MON_BOTH ? mon_over_get(f, slot, true) : NULL;

	if (o == NULL)
		return;
	if (c->one.size == 0)
		o->no_buf |= (uint8_t)(1u << c->one.value);
	else
		o->no_buf &= (uint8_t)~(1u << c->one.value);
	views_buffers(f);
}

static bool about_a_flow(struct mon *m, struct mon_lane *l, int slot, const struct mon_cmd *c)
{
	struct mon_flow *f = mon_flow_named(m, l, c->flow, c->gen);

	if (f == NULL || (f->slots >> slot & 1) == 0)
		return false;
	if (c->op == MCMD_MASK)
		cmd_mask(f, (unsigned)slot, c);
	else if (c->op == MCMD_STOP)
		cmd_stop(m, f, (unsigned)slot, c->one.value);
	else if (c->op == MCMD_BUF)
		cmd_buf(f, (unsigned)slot, c);
	else
		return l->policy.inline_ok && mon_reset(m, l, f);
	return true;
}

void mon_command(struct mon *m, struct mon_lane *l, const struct mon_cmd *c)
{
	int slot;
	bool good;

	l->commands++;
	if (c->op == MCMD_VERDICT) {
		mon_verdict(m, l, c);
		return;
	}
	slot = slot_of(m, l, c->sock);
	if (c->op == MCMD_NONE || c->op >= MCMD_MAX) {
		l->bad = "it sent a monitor command that does not exist";
		return;
	}
	if (c->op == MCMD_SEND)
		good = slot >= 0 && l->policy.inline_ok && mon_inject(m, l, c);
	else
		good = slot >= 0 && about_a_flow(m, l, slot, c);
	if (good)
		return;
	l->stale++;
	COUNT(m->stats, MON_REFUSED);
}
