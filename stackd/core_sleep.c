/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When an engine finds no work: it looks again for a while, then sleeps until something comes or is due.
 */
#include <stdatomic.h>
#include <unistd.h>
#include <urcu/urcu-qsbr.h>

#include "stackd/clock.h"
#include "stackd/core_priv.h"
#include "stackd/tsan.h"

enum {
	SPIN_PROBE = 32,         /* where spinning has not paid lately, one in so many is tried */
	RECLAIM_SLEEP_US = 1000, /* between looks at a lane that drains */
	FULL_SLEEP_US = 2000,    /* between looks at a lane whose event ring was full */
	REPLAY_SLEEP_US = 100,   /* between looks whether a replay may go on */
	REPLAY_WAIT_US = 10000,  /* and whether it may begin */
};

static uint64_t next_us(struct core *core)
{
	uint64_t next = tcp_next_us(core->tcp, core->now_us);

	if (core->tick_us < next)
		next = core->tick_us;
	if (mon_next_us(core->mon, core->now_us) < next)
		next = mon_next_us(core->mon, core->now_us);
	if (core->only_replays && mon_can_take(core->mon) == 0 && core->now_us + REPLAY_SLEEP_US < next)
		next = core->now_us + REPLAY_SLEEP_US;
	if (core->replays && !core->replayed && core->steer != NULL && !steer_taken(core->steer, core->index) &&
	    core->now_us + REPLAY_SLEEP_US < next)
		next = core->now_us + REPLAY_SLEEP_US;
	for (unsigned i = 0; i < core->nics; i++) {
		uint64_t t = nic_next_us(core->nic[i], core->index, core->now_us);

		if (t <= core->now_us && core->conf.conf->port[i].mode == CONF_REPLAY)
			t = core->now_us + (core->replaying ? REPLAY_SLEEP_US : REPLAY_WAIT_US); /* ready, but it may not */
		if (t < next)
			next = t;
	}
	for (unsigned i = 0; i < core->lanes; i++) {
		if (core->lane[i]->state != LANE_LIVE && core->now_us + RECLAIM_SLEEP_US < next)
			next = core->now_us + RECLAIM_SLEEP_US;
		if (app_waits(core->lane[i]) && core->now_us + FULL_SLEEP_US < next)
			next = core->now_us + FULL_SLEEP_US;
	}
	return next;
}

static void lanes_asleep(struct core *core, uint32_t asleep)
{
	for (unsigned i = 0; i < core->lanes; i++)
		atomic_store_explicit((_Atomic uint32_t *)&core->lane[i]->dn->engine_asleep, asleep,
				      memory_order_relaxed);
	mon_asleep(core->mon, asleep);
}

static bool nothing_came(struct core *core)
{
	if (mon_ready(core->mon))
		return false;
	if (!cds_wfcq_empty(&core->inbox.head, &core->inbox.tail))
		return false;
	if (core->steer != NULL && core_steer_may(core) > 0 && steer_waiting(core->steer, core->index))
		return false;
	for (unsigned i = 0; i < core->lanes; i++) {
		if (app_ready(core->lane[i]))
			return false;
	}
	return true;
}

static void bell_quiet(struct core *core)
{
	uint64_t bells;

	if (read(core->inbox.bell_fd, &bells, sizeof(bells)) < 0)
		return; /* it was silent */
}

static void core_sleep(struct core *core)
{
	uint64_t until = next_us(core);

	if (until <= core->now_us)
		return;
	lanes_asleep(core, 1);
	atomic_store_explicit(&core->asleep, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); /* pairs with bell_look in clients, and with peer_wake */
	if (nothing_came(core)) {
		COUNT(core->stats, CORE_SLEEPS);
		tsan_release(core->conf.listeners);
		urcu_qsbr_thread_offline();
		idle_wait(&core->idle, core->now_us, until);
		urcu_qsbr_thread_online();
	}
	atomic_store_explicit(&core->asleep, false, memory_order_relaxed);
	lanes_asleep(core, 0);
	bell_quiet(core);
}

/* Look again for a while, or sleep at once?  Looking pays when work comes meanwhile; it cannot when the programs run on
 * this very core.  When it has not paid lately, it is tried now and then. */
static bool spin_more(struct core *core, uint64_t now_us)
{
	if (!core->spinning) {
		core->spinning = true;
		core->spin_tries++;
	}
	if (core->spin_credit == 0 && core->spin_tries % SPIN_PROBE != 0)
		return false;
	if (now_us - core->last_work_us < core->conf.conf->spin_us)
		return true;
	if (core->spin_credit > 0)
		core->spin_credit--;
	return false;
}

static void spin_paid(struct core *core)
{
	if (core->spinning && core->spin_credit < SPIN_CREDIT)
		core->spin_credit++;
	core->spinning = false;
}

void core_rest(struct core *core, unsigned work)
{
	uint64_t after = clock_us();

	core->shown->loop_us = after;
	core->shown->conns = tcp_conns(core->tcp);
	if (work > 0) {
		spin_paid(core);
		core->last_work_us = after;
		core->shown->busy_us += after - core->now_us;
		idle_worked(&core->idle);
		return;
	}
	if (core->conf.conf->idle == CONF_IDLE_ADAPTIVE && !spin_more(core, after)) {
		core_sleep(core);
		core->spinning = false;
	}
	core->shown->idle_us += clock_us() - core->now_us;
}
