/* SPDX-License-Identifier: BSD-3-Clause
 *
 * An engine's letters, and its lanes: what the control thread asks and is asked for.
 */
#include <unistd.h>

#include "stackd/core_priv.h"
#include "stackd/log.h"

enum {
	STOP_US = 700000,          /* when stackd ends: this long at most */
	DRAIN_US = 500000,         /* what a dead client had closed before may take this long */
	SEGMENT_RETRY_US = 100000, /* after a client's quota was found used up */
};

/* --- Mail ---------------------------------------------------------------------------------------------------------------- */

/* A letter of the control thread's goes back to it. */
static void answer(struct core *core, struct mail *letter, enum mail_kind kind)
{
	letter->kind = kind;
	letter->engine = core->index;
	mail_post(core->conf.to_control, letter);
}

/* There is room: the control thread bounds contexts by max_clients, and counts one until its lanes are gone. */
static void lane_add(struct core *core, struct lane *l)
{
	core->lane[core->lanes++] = l;
	if (idle_add_doorbell(&core->idle, l->doorbell_fd) != 0)
		l->bad = "its doorbell cannot be watched";
}

static void segment_add(struct core *core, const struct mail *m)
{
	struct lane *l = m->lane;

	if (m->class == SEG_TX) {
		l->owner.tx.base[m->index] = m->base;
		return;
	}
	if (l->seg_asked > 0)
		l->seg_asked--;
	if (bytes_pool_add(&l->owner.rx, m->index, m->base) != 0)
		log_warn("core", "engine %u: a payload segment could not be added", core->index);
}

static void listener_out(struct core *core, const struct mail *m)
{
	while (tcp_listener_gone(core->tcp, m->listener, RESET_BUDGET) == RESET_BUDGET)
		;
	answer(core, m->back, MAIL_LISTENER_DONE);
}

static void monitor_order(struct core *core, struct mon_order *o)
{
	if (o->kind == MON_ORDER_LANE && idle_add_doorbell(&core->idle, o->lane->doorbell_fd) != 0)
		o->lane->bad = "its doorbell cannot be watched";
	mon_order(core->mon, o, core->now_us);
}

void core_order_done(void *arg, struct mon_order *o)
{
	struct core *core = arg;

	if (o->kind == MON_ORDER_LEAVE)
		idle_del(&core->idle, o->lane->doorbell_fd);
	answer(core, o->letter, MAIL_MON_DONE);
}

void core_lane_bad(void *arg, struct mon_lane *l)
{
	answer(arg, l->letter, MAIL_MON_BAD);
}

static void mail_one(struct core *core, const struct mail *m)
{
	switch (m->kind) {
	case MAIL_LANE_ADD:
		lane_add(core, m->lane);
		break;
	case MAIL_LANE_DROP:
		m->lane->letter = m->back;
		lane_leave(m->lane);
		break;
	case MAIL_SEGMENT:
		segment_add(core, m);
		break;
	case MAIL_NO_SEGMENT:
		m->lane->seg_asked = 0;
		m->lane->seg_retry_us = core->now_us + SEGMENT_RETRY_US;
		break;
	case MAIL_LISTENER_OUT:
		listener_out(core, m);
		break;
	case MAIL_MON_ORDER:
		monitor_order(core, m->order);
		break;
	case MAIL_STOP:
		core->stopping = true;
		core->stop_us = core->now_us + STOP_US;
		break;
	default:
		break;
	}
}

unsigned core_mail_in(struct core *core)
{
	struct mail m;
	uint64_t bells;
	unsigned n = 0;

	if (cds_wfcq_empty(&core->inbox.head, &core->inbox.tail))
		return 0;
	if (read(core->inbox.bell_fd, &bells, sizeof(bells)) < 0)
		bells = 0; /* rung and read before */
	for (; mail_next(&core->inbox, &m); n++)
		mail_one(core, &m);
	return n;
}

/* --- Lanes --------------------------------------------------------------------------------------------------------------- */

static void lane_ask(struct core *core, struct lane *l)
{
	struct mail m = { .kind = MAIL_WANT, .engine = core->index, .lane = l };

	m.index = app_segments_wanted(l, core->now_us);
	if (m.index != 0 && mail_send(core->conf.to_control, &m) == 0)
		l->seg_asked = m.index;
}

static void lane_remove(struct core *core, unsigned i)
{
	struct lane *l = core->lane[i];

	idle_del(&core->idle, l->doorbell_fd);
	core->lane[i] = core->lane[--core->lanes];
	answer(core, l->letter, MAIL_LANE_GONE);
}

static void lane_is_bad(struct core *core, struct lane *l)
{
	struct mail m = { .kind = MAIL_LANE_BAD, .engine = core->index, .lane = l };

	if (mail_send(core->conf.to_control, &m) != 0)
		return; /* in the next turn */
	l->bad_told = true;
	COUNT(core->stats, APP_DETACHED);
}

void core_lanes_settle(struct core *core)
{
	if (core->stopping)
		return;
	for (unsigned i = core->lanes; i-- > 0;) {
		struct lane *l = core->lane[i];

		if (l->state != LANE_LIVE) {
			if (lane_reclaim(&core->env, l, DRAIN_US))
				lane_remove(core, i);
			continue;
		}
		app_settle(&core->env, l);
		lane_ask(core, l);
		if (l->bad != NULL && !l->bad_told)
			lane_is_bad(core, l);
	}
}

void core_segments_return(struct core *core)
{
	for (unsigned i = 0; i < core->lanes; i++) {
		struct lane *l = core->lane[i];
		struct mail m = { .kind = MAIL_IDLE, .engine = core->index, .lane = l, .class = SEG_RX };
		int seg;

		if (l->state != LANE_LIVE || l->owner.rx.free_count < 2 * BYTES_SEG_CHUNKS)
			continue;
		seg = bytes_pool_take_idle(&l->owner.rx, 0, &m.base);
		if (seg < 0)
			continue;
		m.index = (uint32_t)seg;
		if (mail_send(core->conf.to_control, &m) != 0)
			(void)bytes_pool_add(&l->owner.rx, m.index, m.base); /* later, then; there is room for what was there */
	}
}
