/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One engine: a thread, its share of every port, its network layer, its TCP, its lanes.  core.c is the loop that design.md
 * section 4 draws, and how it sleeps.
 *
 * The control thread talks to an engine by mail (core_send) and hears from it by mail (core_hear); both ways are
 * wait-free queues of liburcu with an eventfd beside them.  Mail is rare: lanes, memory, listeners, the end.
 */
#ifndef STACKD_CORE_H
#define STACKD_CORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/wfcqueue.h>

#include "stackd/app/app.h"
#include "stackd/conf.h"
#include "stackd/mon/mon.h"
#include "stackd/stat_seg.h"
#include "stackd/steer.h"

enum mail_kind {
	/* to an engine */
	MAIL_LANE_ADD,     /* lane */
	MAIL_LANE_DROP,    /* lane; answered by MAIL_LANE_GONE */
	MAIL_SEGMENT,      /* lane, class, index, base: new payload memory */
	MAIL_NO_SEGMENT,   /* lane: the quota is used up; ask no more until one went back */
	MAIL_LISTENER_OUT, /* listener; answered by MAIL_LISTENER_DONE */
	MAIL_MON_ORDER,    /* order: for the monitor; answered by MAIL_MON_DONE */
	MAIL_STOP,         /* reset everything and end */
	/* from an engine */
	MAIL_LANE_GONE,    /* lane */
	MAIL_LANE_BAD,     /* lane; lane->bad says why */
	MAIL_WANT,         /* lane, index = how many receive segments */
	MAIL_IDLE,         /* lane, class, index, base: a drained receive segment comes back */
	MAIL_LISTENER_DONE,
	MAIL_MON_DONE,     /* order, carried out or not (order->err) */
	MAIL_MON_BAD,      /* mon_lane; mon_lane->bad says why */
	MAIL_REPLAYED,     /* every capture has ended */
};

struct mail {
	struct cds_wfcq_node node;
	enum mail_kind kind;
	unsigned engine; /* sender */
	uint32_t class, index;
	struct lane *lane;
	struct listener *listener;
	struct mon_order *order;
	struct mon_lane *mon_lane;
	void *base;
	struct mail *back; /* as read: the letter itself, when it was posted; NULL: a copy */
};

/* A queue of mail with its bell.  Many senders, one reader. */
struct mailbox {
	struct cds_wfcq_head head;
	struct cds_wfcq_tail tail;
	int bell_fd; /* eventfd */
};

int mailbox_init(struct mailbox *b);
void mailbox_fini(struct mailbox *b);

/* Send a copy of m.  0 or -ENOMEM. */
int mail_send(struct mailbox *b, const struct mail *m);

/* Send m itself, which cannot fail: for what must not.  It lies in something that lives until it has been read; the reader may
 * post it back as the answer. */
void mail_post(struct mailbox *b, struct mail *m);

/* The next one; false when there is none. */
bool mail_next(struct mailbox *b, struct mail *m);

struct core;

struct core_conf {
	unsigned index;
	int cpu;
	const struct conf *conf;
	const struct net_conf *net;
	struct stat_seg *stat;
	struct listen_table *listeners;
	struct mailbox *to_control;
	const uint8_t *reta; /* SHM_RETA_SIZE entries: hash -> engine */
	struct steer *steer; /* NULL: one engine */
	struct core **peers; /* all engines, filled before any of them starts */
	uint64_t seed;
};

/* Make an engine; it does not run yet.  NULL and errno with a log line. */
struct core *core_create(const struct core_conf *conf);

/* Start its thread.  0 or -errno. */
int core_start(struct core *core);

/* Send or post mail to it; wakes it. */
int core_send(struct core *core, const struct mail *m);
void core_post(struct core *core, struct mail *m);

/* Wait for its thread to end (after MAIL_STOP), and free it. Accepts NULL. */
void core_join(struct core *core);
void core_destroy(struct core *core);

#endif
