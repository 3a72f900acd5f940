/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Neighbours: who has which link address, and what waits until that is known.  ARP and neighbour discovery each have one such
 * table; arp.c and nd.c speak the protocols, neigh.c decides, neigh_table.c keeps the entries.
 *
 * Each state has a list in order of use, so that the least used goes when the table is full.  All is bounded: entries, those
 * being asked for, packets per neighbour, packets altogether.
 */
#ifndef STACKD_NET_NEIGH_H
#define STACKD_NET_NEIGH_H

#include <sys/queue.h>

#include "stackd/net/priv.h"

enum {
	NEIGH_TRIES = 3,
	NEIGH_QUEUE_MAX = 16,    /* packets waiting for one neighbour */
	NEIGH_QUEUED_MAX = 1024, /* and for all */
	NEIGH_BUSY_MAX = 1024,   /* entries ASKING or FAILED; the same for PROBING */
};

/* In the words of RFC 4861: INCOMPLETE; REACHABLE, or STALE once it is old; DELAY and PROBE. */
enum neigh_state { NEIGH_FREE, NEIGH_ASKING, NEIGH_KNOWN, NEIGH_PROBING, NEIGH_FAILED, NEIGH_STATES };

struct neigh_entry {
	TAILQ_ENTRY(neigh_entry) list;
	struct neigh_entry *chain;
	struct ipaddr addr;
	uint8_t port;
	uint8_t state; /* enum neigh_state */
	uint8_t tries;
	uint8_t mac[6];
	unsigned queued;
	struct pkt *head, **tail; /* waiting, oldest first */
	uint64_t when_us;         /* KNOWN: confirmed; else: when to do something */
};

TAILQ_HEAD(neigh_list, neigh_entry);

/* What the two protocols do differently. */
struct neigh_proto {
	uint16_t type; /* of the frames that are sent to neighbours */
	uint8_t probes;
	uint32_t delay_us; /* between the use of what is old and the first probe */
	uint32_t ask_wait_us[NEIGH_TRIES]; /* before the next request */
	/* Ask everybody for e, or, if it is PROBING, the host itself. */
	void (*ask)(struct net *net, const struct neigh_entry *e, uint64_t now_us);
	enum stats_counter full, queue_drop, failed, moved;
};

struct neigh {
	const struct neigh_proto *proto;
	struct neigh_list list[NEIGH_STATES];
	unsigned count[NEIGH_STATES];
	unsigned queued;
	uint64_t next_us;
	uint64_t age_us;
	uint32_t busy_max;
	uint32_t bucket_mask;
	struct neigh_entry **bucket;
	struct neigh_entry entry[];
};

/* --- What the protocols report ------------------------------------------------------------------------------------ */

/* The neighbour itself has said so.  If it is known by another link address, that one is asked first. */
void neigh_confirm(struct net *net, struct neigh *a, struct neigh_entry *e, const uint8_t mac[6], uint64_t now_us);

/* Somebody has said so, perhaps long ago: it is used, and asked soon.  Makes an entry while there is room. */
void neigh_hint(struct net *net, struct neigh *a, unsigned port, const struct ipaddr *addr, const uint8_t mac[6], uint64_t now_us);

/* --- The table ---------------------------------------------------------------------------------------------------- */

struct neigh *neigh_create(const struct net *net, const struct neigh_proto *proto, uint32_t age_s); /* NULL: no memory */

/* Where the pointer to the entry is, or to NULL. */
struct neigh_entry **neigh_find(const struct net *net, struct neigh *a, unsigned port, const struct ipaddr *addr);

/* An entry in its bucket, on the free list still: the caller moves it on at once.  evict: another may go for it; then nobody can
 * fill the table with what nobody answers for.  NULL: no room. */
struct neigh_entry *neigh_entry_new(struct net *net, struct neigh *a, unsigned port, const struct ipaddr *addr, bool evict);

/* To the end of a state's list. */
void neigh_entry_move(struct neigh *a, struct neigh_entry *e, enum neigh_state state);

/* Forget it, and drop what waits for it. */
void neigh_entry_free(struct net *net, struct neigh *a, struct neigh_entry *e);

/* Let a packet wait; takes it over. */
void neigh_queue_put(struct net *net, struct neigh *a, struct neigh_entry *e, struct pkt *p);

/* The oldest that waits, or NULL. */
struct pkt *neigh_queue_get(struct neigh *a, struct neigh_entry *e);

#endif
