/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of neighbours: shared by arp.c, which speaks the protocol, and arp_table.c, which keeps the entries.
 *
 * Each state has a list in order of use, so that the least used goes when the table is full.  All is bounded: entries, those
 * being asked for, packets per neighbour, packets altogether.
 */
#ifndef STACKD_NET_ARP_H
#define STACKD_NET_ARP_H

#include <sys/queue.h>

#include "stackd/net/priv.h"

enum {
	ARP_QUEUE_MAX = 16,    /* packets waiting for one neighbour */
	ARP_QUEUED_MAX = 1024, /* and for all */
	ARP_BUSY_MAX = 1024,   /* entries ASKING or FAILED; the same for PROBING */
};

enum arp_state { ARP_FREE, ARP_ASKING, ARP_KNOWN, ARP_PROBING, ARP_FAILED, ARP_STATES };

struct arp_entry {
	TAILQ_ENTRY(arp_entry) list;
	struct arp_entry *chain;
	uint32_t addr;
	uint8_t port;
	uint8_t state; /* enum arp_state */
	uint8_t tries;
	uint8_t mac[6];
	unsigned queued;
	struct pkt *head, **tail; /* waiting, oldest first */
	uint64_t when_us;         /* KNOWN: confirmed; else: when to do something */
};

TAILQ_HEAD(arp_list, arp_entry);

struct arp {
	struct arp_list list[ARP_STATES];
	unsigned count[ARP_STATES];
	unsigned queued;
	unsigned announced;
	uint64_t announce_us, defended_us, next_us;
	uint64_t age_us;
	uint32_t busy_max;
	uint32_t bucket_mask;
	struct arp_entry **bucket;
	struct arp_entry entry[];
};

/* Where the pointer to the entry is, or to NULL. */
struct arp_entry **arp_find(const struct net *net, unsigned port, uint32_t addr);

/* An entry in its bucket, on the free list still: the caller moves it on at once.  evict: another may go for it; then nobody can
 * fill the table with what nobody answers for.  NULL: no room. */
struct arp_entry *arp_entry_new(struct net *net, unsigned port, uint32_t addr, bool evict);

/* To the end of a state's list. */
void arp_entry_move(struct arp *a, struct arp_entry *e, enum arp_state state);

/* Forget it, and drop what waits for it. */
void arp_entry_free(struct net *net, struct arp_entry *e);

/* Let a packet wait; takes it over. */
void arp_queue_put(struct net *net, struct arp_entry *e, struct pkt *p);

/* The oldest that waits, or NULL. */
struct pkt *arp_queue_get(struct arp *a, struct arp_entry *e);

#endif
