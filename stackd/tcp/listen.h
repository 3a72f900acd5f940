/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Local ports: who has reserved which, and who listens on it.
 *
 * The control thread changes the table, engines read it under RCU (QSBR).  A port's record is replaced whole when its
 * members change.  Counters per engine inside a listener are written by that engine alone.
 *
 * The rule (api.md A, issue): members of one port are of one process (each context listens for itself, as in mTCP), or
 * all have SO_REUSEPORT and one uid; anything else is EADDRINUSE.  A reservation for an unspecified address conflicts
 * with every address of its family, and :: is of both unless it is of IPv6 alone (IPV6_V6ONLY).
 */
#ifndef STACKD_TCP_LISTEN_H
#define STACKD_TCP_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/proto.h"

struct tcp_owner;

/* What one engine knows about one listener. */
struct listen_lane {
	struct tcp_owner *owner; /* the listening context's lane on this engine */
	uint32_t syns;           /* SYN-RECEIVED connections */
	uint32_t waiting;        /* established, not yet accepted (CMD_ACCEPTED lowers it) */
};

/* One bound socket of one context; it listens when backlog > 0. Allocated by listen_bind. */
struct listener {
	struct ipaddr addr; /* ::ffff:0.0.0.0: any of IPv4; ::: any (see flags) */
	uint16_t port;
	uint16_t flags;   /* enum bind_flags */
	uint32_t cookie; /* the client's name for it */
	uint32_t app;    /* context id */
	pid_t pid;
	uid_t uid;
	unsigned home;    /* preferred engine */
	uint32_t backlog; /* 0: bound only */
	uint32_t opt_set; /* bits of enum sock_opt; with opt[] changed while engines read */
	uint32_t opt[SHM_OPTS_MAX];
	void *user;       /* the control thread's own */
	struct listen_lane lane[]; /* one per engine */
};

struct listen_table;

struct listen_table *listen_table_create(unsigned engines);
void listen_table_destroy(struct listen_table *t);

/* --- Control thread --- */

struct listen_who {
	uint32_t app, cookie;
	pid_t pid;
	uid_t uid;
	unsigned home;
	struct tcp_owner **owner; /* one per engine */
};

/* Reserve addr:port (port 0: a free one of the range).  flags: enum bind_flags.  NULL and errno: EADDRINUSE, ENOMEM. */
struct listener *listen_bind(struct listen_table *t, const struct listen_who *who, const struct ipaddr *addr, uint16_t port,
                             unsigned flags, uint16_t port_min, uint16_t port_max);

/* Start listening.  0, -EADDRINUSE (this context listens there already), -ENOMEM.  Backlog is at least 1. */
int listen_start(struct listen_table *t, struct listener *l, uint32_t backlog);

/* What connections to it begin with; bits beyond enum sock_opt are ignored.  Before or after listen_start. */
void listen_options(struct listener *l, uint32_t set, const uint32_t *value);

/* Remove it from the table.  Engines may hold it until a grace period has passed: the caller waits for one (and has the
 * engines drop its half-open connections, tcp_listener_gone), then calls listen_free. */
void listen_remove(struct listen_table *t, struct listener *l);
void listen_free(struct listener *l);

/* --- Engines, inside an RCU read side --- */

/* The listener for a SYN to addr:port: of those members that are at home on this engine, or else of all, one by hash; an exact
 * address wins over the unspecified one.  A member whose owner is dead is passed over.  NULL: nobody listens. */
struct listener *listen_find(struct listen_table *t, const struct ipaddr *addr, uint16_t port, unsigned engine, uint32_t hash);

/* May `app` use addr:port as its source (it has bound it)?  And is the port reserved by anybody? */
bool listen_owns(struct listen_table *t, uint32_t app, const struct ipaddr *addr, uint16_t port);
bool listen_reserved(struct listen_table *t, const struct ipaddr *addr, uint16_t port);

#endif
