/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The engine: how it is made, and one turn of its loop after the other, in one direction (design.md section 4).  Below it are nic/,
 * net/, tcp/, mon/ and app/; above it nothing but mail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <urcu/urcu-qsbr.h>

#include "stackd/clock.h"
#include "stackd/core_priv.h"
#include "stackd/log.h"
#include "stackd/tsan.h"

enum {
	SETTLE_BUDGET = 512, /* connections acted on per turn */
	IDLE_SEGMENT_US = 1000000,
};

/* --- One turn -------------------------------------------------------------------------------------------------------------- */

static unsigned commands(struct core *core)
{
	unsigned work = 0, first = core->first++;

	if (core->stopping)
		return 0; /* the connections that they name are being ended */
	for (unsigned i = 0; i < core->lanes; i++)
		work += app_commands(&core->env, core->lane[(first + i) % core->lanes]);
	return work + mon_commands(core->mon, core->now_us);
}

static unsigned core_turn(struct core *core)
{
	unsigned work;

	core->now_us = clock_us();
	core->env.now_us = core->now_us;
	work = core_mail_in(core);
	work += core_receive(core);
	core_replay_look(core);
	work += commands(core);
	tcp_expire(core->tcp, core->now_us);
	mon_expire(core->mon, core->now_us);
	tcp_settle(core->tcp, SETTLE_BUDGET, core->now_us);
	core_lanes_settle(core);
	if (core->now_us >= core->tick_us)
		core->tick_us = net_tick(core->net, core->now_us);
	if (core->now_us >= core->segments_us) {
		core->segments_us = core->now_us + IDLE_SEGMENT_US;
		core_segments_return(core);
	}
	net_flush(core->net, core->now_us);
	mon_settle(core->mon, core->now_us);
	mon_flush(core->mon, core->now_us);
	COUNT(core->stats, CORE_LOOPS);
	return work;
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

static bool late_segments(void *arg)
{
	return core_mail_in(arg) > 0;
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
		.elsewhere = core->steer != NULL ? core_joined : NULL,
		.order_done = core_order_done,
		.lane_bad = core_lane_bad,
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
