/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control thread's side of monitors: monitor.c takes a context's messages, monitor_filter.c those about filters,
 * monitor_order.c has the orders that are under way, and monitor_group.c the groups of equal scope; it also says which context
 * watches which engine's flows.
 *
 * Every request becomes one order per engine, and is answered when all of them have come back.  Engines take orders in the
 * order in which they were sent, so what is known here about a context is what they all will know.  A context that leaves is
 * freed after MON_ORDER_LEAVE, the last of its orders, has come back from all.
 */
#ifndef STACKD_MONITOR_H
#define STACKD_MONITOR_H

#include "stackd/ctl.h"

enum {
	MONITOR_REQUESTS_MAX = 64, /* of one client, under way */
	MONITOR_FILTERS_MAX = MON_SOCKS_MAX * 3 + MONITOR_REQUESTS_MAX,
	MONITOR_INSNS_MAX = 2 * MON_FILTER_MAX, /* of all filters of a context: every packet may have to pass all of them */
};

/* Monitors of equal scope.  There is one for each scope that the configuration names, made when the first context joins. */
struct monitor_group {
	const char *scope; /* as configured; empty: everything */
	struct mon_filter *filter;
	unsigned members;  /* contexts, those included that are leaving */
	struct mon_group *engine; /* one per engine; NULL: not made */
};

struct monitor_request;

struct monitor_errand {
	struct mon_order order;
	struct monitor_request *request;
	struct mail letter; /* the order's way there, when it must not fail, and back */
};

/* Orders of one kind to some or all engines. */
struct monitor_request {
	struct monitor *monitor;
	struct client *asker; /* who is answered; NULL: nobody */
	uint32_t id;          /* of its message */
	enum mon_order_kind kind;
	unsigned waiting;     /* engines that have not answered */
	int err;              /* the first that went wrong, -errno */
	struct monitor_request *next, **prev;
	struct monitor_errand errand[]; /* by engine */
};

enum monitor_state {
	MONITOR_OPENING, /* engines are being told of its lanes */
	MONITOR_OPEN,
	MONITOR_LEAVING,
};

struct monitor_sock {
	bool used;
	uint16_t kind;
	unsigned steps[3]; /* of its filters, by what they are for (enum mon_filter_which) */
};

/* The pieces of a filter that have come so far. */
struct monitor_draft {
	uint16_t sock, which, total, have;
	struct mon_insn *insn;
};

/* Of the contexts of one process that watch an engine, which one this is. */
struct monitor_share {
	unsigned index, count;
};

struct monitor_filter {
	struct mon_filter *filter;
	unsigned insns;
};

/* What a context that monitors has besides. */
struct monitor {
	struct client *client;
	struct monitor_group *group;
	enum monitor_state state;
	struct mon_lane *lane[SHM_ENGINES_MAX];
	uint32_t ring_slots, cmd_slots, edit_size;
	int wake_fd[2]; /* ours, the client's until it is sent */
	struct monitor_share share[SHM_ENGINES_MAX]; /* as the engines were told */
	struct monitor_sock sock[MON_SOCKS_MAX];
	unsigned slots; /* monitor sockets that engines have of it, closing ones included */
	bool told_user, told_all; /* the log has that its user, or everybody, has all that it may have */
	bool told_steps;          /* and that its filters are too long */
	struct monitor_draft draft;
	struct monitor_filter filter[MONITOR_FILTERS_MAX]; /* those that an engine may have */
	unsigned filters;
	struct monitor_request *requests; /* under way */
	struct monitor_request *leave;    /* made beforehand: leaving must not fail */
	struct mail bad[SHM_ENGINES_MAX]; /* the letters in which engines complain of it */
};

/* --- monitor.c --- */

/* All engines have answered MON_ORDER_LANE. */
void monitor_opened(struct monitor_request *r);

/* No engine has anything of it (any more). */
void monitor_free(struct monitor *m);

bool monitor_has_sock(const struct client *c, uint32_t sock);

/* --- monitor_order.c --- */

/* In the list of m->requests, its orders filled in but for what the kind needs.  asker NULL: nobody waits for it.  NULL: no memory. */
struct monitor_request *monitor_request_new(struct monitor *m, struct client *asker, uint32_t id, enum mon_order_kind kind);
void monitor_request_free(struct monitor_request *r);

/* To all engines. */
void monitor_request_send(struct monitor_request *r);

/* To one.  0 or -ENOMEM. */
int monitor_errand_send(struct monitor_request *r, unsigned engine);

/* The same, without fail. */
void monitor_errand_post(struct monitor_request *r, unsigned engine);

/* All those that were sent have come back: draw the consequences, answer, and free it. */
void monitor_request_end(struct monitor_request *r);

/* --- monitor_filter.c --- */
void monitor_filter(struct client *c, const struct ctl_msg *msg);
void monitor_filter_drop(struct monitor *m, const struct mon_filter *f); /* accepts NULL */
void monitor_draft_drop(struct monitor_draft *d);

/* --- monitor_group.c --- */

/* The group of a rule, with one more member.  0 or -errno. */
int monitor_group_join(struct ctl *ctl, const struct conf_client *rule, struct monitor_group **out);
void monitor_group_part(struct ctl *ctl, struct monitor_group *g); /* accepts NULL */

/* The monitors among the contexts of this one's process have changed: tell the engines which of them watches what. */
void monitor_share_out(const struct client *of);

#endif
