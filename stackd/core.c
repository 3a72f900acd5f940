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
#include <unistd.h>
#include <urcu/urcu-qsbr.h>

#include "stackd/clock.h"
#include "stackd/core.h"
#include "stackd/flows.h"
#include "stackd/idle.h"
#include "stackd/log.h"
#include "stackd/steer.h"

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
};

struct core {
	struct core_conf conf;
	unsigned index, engines;
	pthread_t thread;
	bool started;
	uint64_t now_us;

	struct net *net;
	struct tcp *tcp;
	struct nic *nic[NET_PORTS_MAX];
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

static void tell_control(struct core *core, enum mail_kind kind, struct lane *l, struct listener *listener)
{
	struct mail m = { .kind = kind, .engine = core->index, .lane = l, .listener = listener };

	while (mail_send(core->conf.to_control, &m) != 0)
		sched_yield(); /* a few dozen bytes: nothing else can go on without them either */
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

static void listener_out(struct core *core, struct listener *l)
{
	while (tcp_listener_gone(core->tcp, l, RESET_BUDGET) == RESET_BUDGET)
		;
	tell_control(core, MAIL_LISTENER_DONE, NULL, l);
}

static void mail_one(struct core *core, const struct mail *m)
{
	switch (m->kind) {
	case MAIL_LANE_ADD:
		lane_add(core, m->lane);
		break;
	case MAIL_LANE_DROP:
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
		listener_out(core, m->listener);
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
	struct mail *m;
	uint64_t bells;
	unsigned n = 0;

	if (cds_wfcq_empty(&core->inbox.head, &core->inbox.tail))
		return 0;
	if (read(core->inbox.bell_fd, &bells, sizeof(bells)) < 0)
		bells = 0; /* rung and read before */
	while ((m = mail_next(&core->inbox)) != NULL) {
		mail_one(core, m);
		free(m);
		n++;
	}
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

/* Keep what belongs here, hand on the rest. */
static unsigned steer_out(struct core *core, struct pkt **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		bool all = false;
		uint32_t hash = net_steer_hash(core->net, pkts[i], &all);
		unsigned to = all ? core->index : core->conf.reta[hash % SHM_RETA_SIZE];

		if (all)
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

/* --- One turn -------------------------------------------------------------------------------------------------------------- */

static void feed(struct core *core, struct pkt **pkts, unsigned n)
{
	n = net_in(core->net, pkts, n, core->now_us);
	if (core->steer != NULL)
		n = steer_again(core, pkts, n);
	tcp_flow_lookup(core->tcp, pkts, n);
	tcp_in(core->tcp, pkts, n, core->now_us);
}

static unsigned receive(struct core *core)
{
	struct pkt *pkts[NET_BURST];
	unsigned work = 0, n;

	for (unsigned i = 0; i < core->nics; i++) {
		if (core->index >= core->nic[i]->rx_queues)
			continue;
		n = nic_rx(core->nic[i], core->index, pkts, NET_BURST, core->now_us);
		work += n;
		for (unsigned k = 0; k < n; k++) {
			COUNT_ADD(core->stats, NIC_RX_BYTES, pkts[k]->len);
			pkts[k]->port = (uint8_t)i;
		}
		COUNT_ADD(core->stats, NIC_RX, n);
		if (core->steer != NULL)
			n = steer_out(core, pkts, n);
		feed(core, pkts, n);
	}
	if (core->steer == NULL)
		return work;
	n = steer_get(core->steer, core->index, pkts, NET_BURST);
	for (unsigned k = 0; k < n; k++)
		pkts[k]->flags |= PKT_STEERED;
	feed(core, pkts, n);
	return work + n;
}

static unsigned commands(struct core *core)
{
	unsigned work = 0, first = core->first++;

	if (core->stopping)
		return 0; /* the connections that they name are being ended */
	for (unsigned i = 0; i < core->lanes; i++)
		work += app_commands(&core->env, core->lane[(first + i) % core->lanes]);
	return work;
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
	tell_control(core, MAIL_LANE_GONE, l, NULL);
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
		if (l->bad != NULL && !l->bad_told) {
			l->bad_told = true;
			COUNT(core->stats, APP_DETACHED);
			tell_control(core, MAIL_LANE_BAD, l, NULL);
		}
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
		while (mail_send(core->conf.to_control, &m) != 0)
			sched_yield();
	}
}

static unsigned core_turn(struct core *core)
{
	unsigned work;

	core->now_us = clock_us();
	core->env.now_us = core->now_us;
	work = mail_in(core);
	work += receive(core);
	work += commands(core);
	tcp_expire(core->tcp, core->now_us);
	tcp_settle(core->tcp, SETTLE_BUDGET, core->now_us);
	lanes_settle(core);
	if (core->now_us >= core->tick_us)
		core->tick_us = net_tick(core->net, core->now_us);
	if (core->now_us >= core->segments_us) {
		core->segments_us = core->now_us + IDLE_SEGMENT_US;
		segments_return(core);
	}
	net_flush(core->net, core->now_us);
	COUNT(core->stats, CORE_LOOPS);
	return work;
}

/* --- Sleep ----------------------------------------------------------------------------------------------------------------- */

static uint64_t next_us(struct core *core)
{
	uint64_t next = tcp_next_us(core->tcp, core->now_us);

	if (core->tick_us < next)
		next = core->tick_us;
	for (unsigned i = 0; i < core->nics; i++) {
		uint64_t t = nic_next_us(core->nic[i], core->index, core->now_us);

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
}

static bool nothing_came(struct core *core)
{
	if (!cds_wfcq_empty(&core->inbox.head, &core->inbox.tail))
		return false;
	if (core->steer != NULL && steer_waiting(core->steer, core->index))
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
		urcu_qsbr_quiescent_state();
		core_rest(core, work);
	}
	tcp_settle(core->tcp, RESET_BUDGET, core->now_us); /* the last resets */
	net_flush(core->net, core->now_us);
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
	return 0;
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
	if (core->net != NULL)
		net_destroy(core->net);
	idle_fini(&core->idle);
	mailbox_fini(&core->inbox);
	free(core->lane);
	free(core);
}
