/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The engine: one turn of the loop after the other, in one direction (design.md section 4), and sleep when turns find no
 * work.  Below it are nic/, net/, tcp/ and app/; above it nothing but mail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-qsbr.h>

#include "stackd/clock.h"
#include "stackd/core.h"
#include "stackd/flows.h"
#include "stackd/idle.h"
#include "stackd/log.h"
#include "stackd/steer.h"
#include "stackd/tsan.h"

enum {
	SETTLE_BUDGET = 512,    /* connections acted on per turn */
	RESET_BUDGET = 1024,    /* connections reset per turn when stackd ends */
	STOP_US = 700000,       /* and this long at most */
	DRAIN_US = 500000,      /* what a dead client had closed before may take this long */
	SPIN_CREDIT = 8,         /* spins that may fail in a row after as many that paid */
	SPIN_PROBE = 32,         /* and then one in so many is tried */
	IDLE_SEGMENT_US = 1000000,
	SEGMENT_RETRY_US = 100000, /* after a client's quota was found used up */
	RECLAIM_SLEEP_US = 1000, /* between looks at a lane that drains */
	FULL_SLEEP_US = 2000,    /* between looks at a lane whose event ring was full */
	REPLAY_SLEEP_US = 100,   /* between looks whether a replay may go on */
	REPLAY_WAIT_US = 10000,  /* and whether it may begin */
};

struct core {
	struct core_conf conf;
	unsigned index, engines;
	pthread_t thread;
	bool started;
	uint64_t now_us;

	struct net *net;
	struct tcp *tcp;
	struct mon *mon;
	bool replays, replaying, replayed; /* it has captures to read; has begun; has told that they ended */
	bool only_replays; /* no port has other traffic */
	struct nic *nic[NET_PORTS_MAX];
	bool passing[NET_PORTS_MAX]; /* frames of this port are others': a bridge, a tap, a replay */
	unsigned nics;
	struct steer *steer; /* NULL: one engine */

	struct app_env env;
	struct lane **lane; /* conf.max_clients of them */
	unsigned lanes;
	unsigned first; /* whose turn comes first */

	struct mailbox inbox;
	struct idle idle;
	_Atomic bool asleep;
	uint64_t last_work_us, tick_us, segments_us;
	unsigned spin_credit, spin_tries; /* whether looking again before sleeping has paid lately */
	bool spinning;
	bool stopping;
	uint64_t stop_us;

	struct flows flows;
	struct stat_engine *shown;
	struct stats *stats;
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

/* May come at once, or turns after the order. */
static void on_order_done(void *arg, struct mon_order *o)
{
	struct core *core = arg;

	if (o->kind == MON_ORDER_LEAVE)
		idle_del(&core->idle, o->lane->doorbell_fd);
	answer(core, o->letter, MAIL_MON_DONE);
}

static void on_lane_bad(void *arg, struct mon_lane *l)
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

static unsigned mail_in(struct core *core)
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

static bool late_segments(void *arg)
{
	return mail_in(arg) > 0;
}

/* --- Steering -------------------------------------------------------------------------------------------------------------- */

static void peer_wake(struct core *peer)
{
	uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst); /* pairs with the one in core_sleep */
	if (atomic_load_explicit(&peer->asleep, memory_order_relaxed) &&
	    write(peer->inbox.bell_fd, &one, sizeof(one)) < 0)
		return; /* rings already */
}

static void steer_one(struct core *core, unsigned to, struct pkt *p)
{
	if (steer_put(core->steer, core->index, to, &p, 1) == 1) {
		COUNT(core->stats, CORE_STEERED);
		peer_wake(core->conf.peers[to]);
	} else {
		COUNT(core->stats, CORE_STEER_DROP);
		nic_free(p);
	}
}

static void steer_copies(struct core *core, const struct pkt *p)
{
	for (unsigned e = 0; e < core->engines; e++) {
		struct pkt *copy = e == core->index ? NULL : nic_alloc(p->nic);

		if (copy == NULL || copy->room < p->len) {
			if (copy != NULL)
				nic_free(copy);
			continue;
		}
		memcpy(copy->data, p->data, p->len);
		copy->len = p->len;
		copy->port = p->port;
		steer_one(core, e, copy);
	}
}

static void feed(struct core *core, struct pkt **pkts, unsigned n);

/* A fragment of others' has no ports, or only the first has.  Where all of them come to one engine, that one joins them, and hands on
 * the whole; a fragment is looked at in its turn, so that the whole has its place among the frames of its flow. */
static bool joins_here(const struct core *core, const struct pkt *p)
{
	return core->passing[p->port] && core->nic[p->port]->rx_queues == 1 && net_is_fragment(p);
}

/* Keep what belongs here, hand on the rest. */
static unsigned steer_out(struct core *core, struct pkt **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		bool all = false, passing = core->passing[pkts[i]->port];
		struct pkt *p = pkts[i];
		uint32_t hash;
		unsigned to;

		if (joins_here(core, p)) {
			feed(core, pkts, kept);
			feed(core, &p, 1);
			kept = 0;
			continue;
		}
		hash = net_steer_hash(core->net, p, &all);
		to = all ? core->index : core->conf.reta[hash % SHM_RETA_SIZE];
		if (all && !passing)
			steer_copies(core, pkts[i]);
		if (to == core->index)
			pkts[kept++] = pkts[i];
		else
			steer_one(core, to, pkts[i]);
	}
	return kept;
}

/* A datagram put together from fragments may belong elsewhere, since fragments are steered by address alone. */
static unsigned steer_again(struct core *core, struct pkt **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned to = core->conf.reta[pkts[i]->hash % SHM_RETA_SIZE];

		if (to == core->index)
			pkts[kept++] = pkts[i];
		else
			steer_one(core, to, pkts[i]);
	}
	return kept;
}

/* The same for one of others. */
static bool on_joined(void *arg, struct pkt *whole)
{
	struct core *core = arg;
	bool all;
	unsigned to = core->conf.reta[net_steer_hash(core->net, whole, &all) % SHM_RETA_SIZE];

	if (to == core->index)
		return false;
	steer_one(core, to, whole);
	return true;
}

/* --- One turn -------------------------------------------------------------------------------------------------------------- */

/* Frames that only pass go to the monitor; returns how many are left. */
static unsigned feed_passing(struct core *core, struct pkt **pkts, unsigned n)
{
	struct pkt *passing[NET_BURST];
	unsigned passes = 0, kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (core->passing[pkts[i]->port])
			passing[passes++] = pkts[i];
		else
			pkts[kept++] = pkts[i];
	}
	if (passes > 0) {
		net_pass(core->net, passing, passes);
		mon_in(core->mon, passing, passes, core->now_us);
	}
	return kept;
}

static void feed(struct core *core, struct pkt **pkts, unsigned n)
{
	n = feed_passing(core, pkts, n);
	n = net_in(core->net, pkts, n, core->now_us);
	if (core->steer != NULL)
		n = steer_again(core, pkts, n);
	for (unsigned i = 0; i < n && mon_wanted(core->mon); i++)
		mon_watch(core->mon, pkts[i], core->now_us);
	tcp_flow_lookup(core->tcp, pkts, n);
	tcp_in(core->tcp, pkts, n, core->now_us);
}

/* How many frames of captures this engine may take now: lossless monitors shall follow. */
static uint16_t replay_room(struct core *core)
{
	unsigned n = mon_can_take(core->mon);

	return (uint16_t)(n < NET_BURST ? n : NET_BURST);
}

/* Captures are read by the first engine.  Others leave what they cannot take yet in their rings, so these hold it up, too. */
static bool replay_may_go_on(struct core *core)
{
	const struct conf *conf = core->conf.conf;

	for (unsigned e = 1; e < core->engines; e++) {
		if (steer_room(core->steer, core->index, e) < 2 * NET_BURST)
			return false;
	}
	for (unsigned i = 0; i < conf->ports && !core->replaying; i++) {
		if (conf->port[i].mode == CONF_REPLAY && conf->port[i].replay_wait > mon_socks_ready(core->mon, core->now_us))
			return false;
	}
	core->replaying = true;
	return true;
}

/* The end is told when every engine has taken what was read: mail overtakes frames. */
static void replay_look(struct core *core)
{
	struct mail m = { .kind = MAIL_REPLAYED, .engine = core->index };

	if (!core->replays || core->replayed)
		return;
	for (unsigned i = 0; i < core->nics; i++) {
		if (core->conf.conf->port[i].mode == CONF_REPLAY && !nic_pcap_ended(core->nic[i]))
			return;
	}
	if (core->steer != NULL && !steer_taken(core->steer, core->index))
		return;
	core->replayed = mail_send(core->conf.to_control, &m) == 0;
}

/* How many frames may come by a port now. */
static uint16_t port_room(struct core *core, unsigned port)
{
	if (core->index >= core->nic[port]->rx_queues)
		return 0;
	if (core->conf.conf->port[port].mode != CONF_REPLAY)
		return NET_BURST;
	return !core->replayed && replay_may_go_on(core) ? replay_room(core) : 0;
}

/* And from other engines.  Live traffic waits for no monitor. */
static uint16_t steer_may(struct core *core)
{
	return core->only_replays ? replay_room(core) : NET_BURST;
}

static unsigned receive_steered(struct core *core, unsigned most)
{
	struct pkt *pkts[NET_BURST];
	unsigned n = steer_get(core->steer, core->index, pkts, most < NET_BURST ? most : NET_BURST);

	for (unsigned k = 0; k < n; k++)
		pkts[k]->flags |= PKT_STEERED;
	feed(core, pkts, n);
	return n;
}

/* What a frame answers may have been handed on to us by another engine, which sent it out after that: so what has been handed on by now
 * goes first. */
static unsigned receive_asked(struct core *core)
{
	unsigned left = steer_count(core->steer, core->index), n = 1, work = 0;

	for (; left > 0 && n > 0; left -= n, work += n)
		n = receive_steered(core, left);
	return work;
}

static unsigned receive_port(struct core *core, unsigned port)
{
	struct pkt *pkts[NET_BURST];
	uint16_t room = port_room(core, port);
	unsigned n, work;

	if (room == 0)
		return 0;
	work = n = nic_rx(core->nic[port], core->index, pkts, room, core->now_us);
	for (unsigned k = 0; k < n; k++) {
		COUNT_ADD(core->stats, NIC_RX_BYTES, pkts[k]->len);
		pkts[k]->port = (uint8_t)port;
	}
	COUNT_ADD(core->stats, NIC_RX, n);
	if (n > 0 && core->steer != NULL && !core->only_replays)
		work += receive_asked(core);
	if (core->steer != NULL)
		n = steer_out(core, pkts, n);
	feed(core, pkts, n);
	return work;
}

static unsigned receive(struct core *core)
{
	unsigned work = 0;

	for (unsigned i = 0; i < core->nics; i++)
		work += receive_port(core, i);
	return core->steer == NULL ? work : work + receive_steered(core, steer_may(core));
}

static unsigned commands(struct core *core)
{
	unsigned work = 0, first = core->first++;

	if (core->stopping)
		return 0; /* the connections that they name are being ended */
	for (unsigned i = 0; i < core->lanes; i++)
		work += app_commands(&core->env, core->lane[(first + i) % core->lanes]);
	return work + mon_commands(core->mon, core->now_us);
}

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

static void lanes_settle(struct core *core)
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

/* Memory that a burst needed and nothing needs now. */
static void segments_return(struct core *core)
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

static unsigned core_turn(struct core *core)
{
	unsigned work;

	core->now_us = clock_us();
	core->env.now_us = core->now_us;
	work = mail_in(core);
	work += receive(core);
	replay_look(core);
	work += commands(core);
	tcp_expire(core->tcp, core->now_us);
	mon_expire(core->mon, core->now_us);
	tcp_settle(core->tcp, SETTLE_BUDGET, core->now_us);
	lanes_settle(core);
	if (core->now_us >= core->tick_us)
		core->tick_us = net_tick(core->net, core->now_us);
	if (core->now_us >= core->segments_us) {
		core->segments_us = core->now_us + IDLE_SEGMENT_US;
		segments_return(core);
	}
	net_flush(core->net, core->now_us);
	mon_settle(core->mon, core->now_us);
	mon_flush(core->mon, core->now_us);
	COUNT(core->stats, CORE_LOOPS);
	return work;
}

/* --- Sleep ----------------------------------------------------------------------------------------------------------------- */

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
	if (core->steer != NULL && steer_may(core) > 0 && steer_waiting(core->steer, core->index))
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

static void core_rest(struct core *core, unsigned work)
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

static bool core_stopped(struct core *core)
{
	if (!core->stopping)
		return false;
	return tcp_reset_all(core->tcp, RESET_BUDGET) < RESET_BUDGET || core->now_us >= core->stop_us;
}

static void *core_run(void *arg)
{
	struct core *core = arg;
	char name[16];
	unsigned work;

	snprintf(name, sizeof(name), "engine-%u", core->index);
	pthread_setname_np(pthread_self(), name);
	nic_thread_register();
	urcu_qsbr_register_thread();
	core->last_work_us = clock_us();
	core->spin_credit = SPIN_CREDIT;
	while (!core_stopped(core)) {
		work = core_turn(core);
		tsan_release(core->conf.listeners);
		urcu_qsbr_quiescent_state();
		core_rest(core, work);
	}
	tcp_settle(core->tcp, RESET_BUDGET, core->now_us); /* the last resets */
	net_flush(core->net, core->now_us);
	mon_flush(core->mon, core->now_us);
	urcu_qsbr_unregister_thread();
	return NULL;
}

/* --- Making one -------------------------------------------------------------------------------------------------------------- */

static void on_note(void *arg, struct tcp_conn *c)
{
	struct core *core = arg;

	flows_note(&core->flows, c);
	app_note(&core->env, c);
}

static void on_state(void *arg, struct tcp_conn *c, enum tcp_state from, enum tcp_state to)
{
	struct core *core = arg;

	flows_state(&core->flows, c, from, to);
}

static void on_let_go(void *arg, struct tcp_conn *c)
{
	struct core *core = arg;

	app_let_go(&core->env, c);
}

static bool tuple_is_mine(void *arg, uint32_t hash)
{
	struct core *core = arg;

	return core->conf.reta[hash % SHM_RETA_SIZE] == core->index;
}

static bool port_reserved(void *arg, const struct ipaddr *addr, uint16_t port)
{
	struct core *core = arg;

	return listen_reserved(core->conf.listeners, addr, port);
}

/* Our own frames, right before they are sent. */
static void on_send(void *arg, struct pkt *p)
{
	struct core *core = arg;

	if (mon_wanted(core->mon))
		mon_watch(core->mon, p, core->now_us);
}

static enum mon_port_mode port_mode(enum conf_mode mode)
{
	static const enum mon_port_mode of[] = {
		[CONF_ENDPOINT] = MON_PORT_ENDPOINT,
		[CONF_BRIDGE] = MON_PORT_BRIDGE,
		[CONF_TAP] = MON_PORT_TAP,
		[CONF_REPLAY] = MON_PORT_REPLAY,
	};

	return of[mode];
}

static int port_named(const struct conf *conf, const char *name)
{
	for (unsigned i = 0; i < conf->ports; i++) {
		if (strcmp(conf->port[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static int core_monitor(struct core *core)
{
	const struct conf *conf = core->conf.conf;
	struct timespec ts;
	struct mon_conf mc = {
		.engine = core->index,
		.max_flows = conf->monitor.max_flows,
		.memory = conf->monitor.memory,
		.buffer_max = conf->monitor.buffer_max,
		.log_bytes = conf->monitor.log_bytes,
		.idle_us = conf->monitor.idle_timeout_s * 1000000ull,
		.time_wait_us = conf->monitor.time_wait_ms * 1000ull,
		.pickup = conf->monitor.pickup,
		.frag_entries = conf->frag_entries,
		.frag_timeout_us = conf->frag_timeout_ms * 1000ull,
		.ports = conf->ports,
		.seed = core->conf.seed,
		.elsewhere = core->steer != NULL ? on_joined : NULL,
		.order_done = on_order_done,
		.lane_bad = on_lane_bad,
		.arg = core,
	};

	clock_gettime(CLOCK_REALTIME, &ts);
	mc.realtime_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 - clock_us();
	core->only_replays = true;
	for (unsigned i = 0; i < conf->ports; i++) {
		mc.port[i].mode = port_mode(conf->port[i].mode);
		mc.port[i].peer = conf->port[i].mode == CONF_BRIDGE ? port_named(conf, conf->port[i].peer) : -1;
		mc.port[i].nic = core->nic[i];
		core->passing[i] = conf->port[i].mode != CONF_ENDPOINT;
		core->replays |= core->index == 0 && conf->port[i].mode == CONF_REPLAY;
		core->only_replays &= conf->port[i].mode == CONF_REPLAY;
	}
	core->mon = mon_create(&mc, core->stats);
	if (core->mon == NULL)
		return -errno;
	net_on_send(core->net, on_send, core);
	return 0;
}

static int core_stack(struct core *core)
{
	const struct conf *conf = core->conf.conf;
	struct tcp_hooks hooks = {
		.arg = core,
		.note = on_note,
		.state = on_state,
		.let_go = on_let_go,
		.tuple_is_mine = core->engines > 1 ? tuple_is_mine : NULL,
		.port_reserved = port_reserved,
	};

	core->net = net_create(core->conf.net, core->stats, core->index, core->conf.seed);
	if (core->net == NULL)
		return -errno;
	core->tcp = tcp_create(&conf->tcp, core->net, core->stats, core->conf.listeners, core->index, &hooks, clock_us());
	if (core->tcp == NULL)
		return -errno;
	net_on_icmp_error(core->net, tcp_icmp_error, core->tcp);
	return core_monitor(core);
}

/* A port's queue of this engine, if it has one, joins what the engine waits for. */
static int port_watch(struct core *core, const struct nic *n)
{
	if (core->index >= n->rx_queues)
		return 0;
	if (core->index >= n->wait_fds || n->wait_fd[core->index] < 0) {
		core->idle.blind = true;
		return 0;
	}
	if (idle_add(&core->idle, n->wait_fd[core->index]) == 0)
		return 0;
	log_err("core", "port %s: its descriptor cannot be waited for: %s", n->name, strerror(errno));
	return -errno;
}

static int core_ports(struct core *core)
{
	int err = idle_add(&core->idle, core->inbox.bell_fd);

	for (unsigned i = 0; i < core->conf.net->ports && err == 0; i++) {
		core->nic[core->nics++] = core->conf.net->port[i].nic;
		err = port_watch(core, core->nic[i]);
	}
	return err;
}

struct core *core_create(const struct core_conf *conf)
{
	struct core *core = calloc(1, sizeof(*core));
	int err;

	if (core == NULL)
		return NULL;
	core->conf = *conf;
	core->index = conf->index;
	core->engines = conf->conf->cores;
	core->steer = conf->steer;
	core->shown = stat_seg_engine(conf->stat, conf->index);
	core->shown->core = conf->cpu;
	core->stats = stat_seg_stats(conf->stat, conf->index);
	flows_init(&core->flows, conf->stat, conf->index);
	core->lane = calloc(conf->conf->max_clients, sizeof(*core->lane));
	err = mailbox_init(&core->inbox);
	if (err == 0)
		err = idle_init(&core->idle);
	if (err == 0 && core->lane == NULL)
		err = -ENOMEM;
	if (err == 0)
		err = core_ports(core);
	if (err == 0)
		err = core_stack(core);
	if (err != 0) {
		log_err("core", "engine %u cannot be made: %s", core->index, strerror(-err));
		core_destroy(core);
		errno = -err;
		return NULL;
	}
	core->env = (struct app_env){
		.tcp = core->tcp,
		.stats = core->stats,
		.listeners = conf->listeners,
		.engine = core->index,
		.late_segments = late_segments,
		.arg = core,
	};
	return core;
}

int core_start(struct core *core)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	CPU_ZERO(&set);
	CPU_SET(core->conf.cpu, &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	err = pthread_create(&core->thread, &attr, core_run, core);
	pthread_attr_destroy(&attr);
	core->started = err == 0;
	return -err;
}

int core_send(struct core *core, const struct mail *m)
{
	return mail_send(&core->inbox, m);
}

void core_post(struct core *core, struct mail *m)
{
	mail_post(&core->inbox, m);
}

void core_join(struct core *core)
{
	if (core == NULL || !core->started)
		return;
	pthread_join(core->thread, NULL);
	core->started = false;
}

void core_destroy(struct core *core)
{
	if (core == NULL)
		return;
	if (core->tcp != NULL)
		tcp_destroy(core->tcp);
	mon_destroy(core->mon);
	if (core->net != NULL)
		net_destroy(core->net);
	idle_fini(&core->idle);
	mailbox_fini(&core->inbox);
	free(core->lane);
	free(core);
}
