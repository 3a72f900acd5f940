/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One engine, inside: core.c makes it and turns, core_in.c receives and steers, core_mail.c reads letters and keeps lanes,
 * core_sleep.c rests.  All of it is the engine's own thread's, but for the inbox and `asleep`.
 */
#ifndef STACKD_CORE_PRIV_H
#define STACKD_CORE_PRIV_H

#include "stackd/core.h"
#include "stackd/flows.h"
#include "stackd/idle.h"

enum {
	RESET_BUDGET = 1024, /* connections reset at a time */
	SPIN_CREDIT = 8,     /* spins that may fail in a row after as many that paid */
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

/* core_mail.c: take all letters; how many there were. */
unsigned core_mail_in(struct core *core);
/* Hooks of the monitor: an order is done, at once or turns later; a lane has been found bad. */
void core_order_done(void *arg, struct mon_order *o);
void core_lane_bad(void *arg, struct mon_lane *l);
/* Events and memory for every program; dead ones are reclaimed. */
void core_lanes_settle(struct core *core);
/* Memory that a burst needed and nothing needs now goes back. */
void core_segments_return(struct core *core);

/* core_in.c: a burst from each port and from other engines, taken through net/, mon/ and tcp/; how many frames. */
unsigned core_receive(struct core *core);
/* How many frames of other engines' may be taken now.  Live traffic waits for no monitor. */
uint16_t core_steer_may(struct core *core);
/* Tell the control thread of the end of all captures, when every engine has taken what was read: mail overtakes frames. */
void core_replay_look(struct core *core);
/* Hook of the monitor: a datagram joined from fragments of others'; true: it is another engine's, and was handed on. */
bool core_joined(void *arg, struct pkt *whole);

/* core_sleep.c: after a turn that found so much work. */
void core_rest(struct core *core, unsigned work);

#endif
