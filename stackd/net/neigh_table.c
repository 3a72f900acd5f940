/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Entries of the neighbour table and the packets that wait in them; see neigh.h.
 */
#include <stdlib.h>

#include "stackd/net/neigh.h"

struct neigh *neigh_create(const struct net *net, const struct neigh_proto *proto, uint32_t age_s)
{
	uint32_t n = net->conf.arp_entries ? net->conf.arp_entries : 1024, buckets = 16;
	struct neigh *a = calloc(1, sizeof(*a) + n * sizeof(a->entry[0]));

	while (buckets < n)
		buckets *= 2;
	if (a)
		a->bucket = calloc(buckets, sizeof(struct neigh_entry *));
	if (!a || !a->bucket) {
		free(a);
		return NULL;
	}
	a->proto = proto;
	a->bucket_mask = buckets - 1;
	a->age_us = age_s * 1000000ull;
	a->busy_max = n / 2 < 1 ? 1 : n / 2 > NEIGH_BUSY_MAX ? NEIGH_BUSY_MAX : n / 2;
	for (unsigned s = 0; s < NEIGH_STATES; s++)
		TAILQ_INIT(&a->list[s]);
	for (uint32_t i = 0; i < n; i++)
		TAILQ_INSERT_TAIL(&a->list[NEIGH_FREE], &a->entry[i], list);
	a->count[NEIGH_FREE] = n;
	return a;
}

void neigh_destroy(struct net *net, struct neigh *a)
{
	if (!a)
		return;
	for (unsigned s = NEIGH_ASKING; s < NEIGH_STATES; s++)
		while (!TAILQ_EMPTY(&a->list[s]))
			neigh_entry_free(net, a, TAILQ_FIRST(&a->list[s]));
	free(a->bucket);
	free(a);
}

static uint64_t hash_of(const struct net *net, unsigned port, const struct ipaddr *addr)
{
	uint64_t a, b;

	memcpy(&a, addr->b, 8);
	memcpy(&b, addr->b + 8, 8);
	if (a != 0) /* not of IPv4 */
		b ^= net_keyed_hash(net->seed, a, 2);
	return net_keyed_hash(net->seed, b, port);
}

struct neigh_entry **neigh_find(const struct net *net, struct neigh *a, unsigned port, const struct ipaddr *addr)
{
	struct neigh_entry **e = &a->bucket[hash_of(net, port, addr) & a->bucket_mask];

	while (*e && ((*e)->port != port || !ipaddr_equal(&(*e)->addr, addr)))
		e = &(*e)->chain;
	return e;
}

static struct neigh_entry *entry_take(struct net *net, struct neigh *a, bool evict)
{
	struct neigh_entry *e = TAILQ_FIRST(&a->list[NEIGH_FREE]);

	if (e || !evict)
		return e;
	e = TAILQ_FIRST(&a->list[NEIGH_FAILED]);
	if (!e)
		e = TAILQ_FIRST(&a->list[NEIGH_KNOWN]);
	if (e)
		neigh_entry_free(net, a, e);
	return e;
}

struct neigh_entry *neigh_entry_new(struct net *net, struct neigh *a, unsigned port, const struct ipaddr *addr, bool evict)
{
	struct neigh_entry *e, **at;

	if (evict && a->count[NEIGH_ASKING] + a->count[NEIGH_FAILED] >= a->busy_max) {
		if (TAILQ_EMPTY(&a->list[NEIGH_FAILED]))
			return NULL;
		neigh_entry_free(net, a, TAILQ_FIRST(&a->list[NEIGH_FAILED]));
	}
	e = entry_take(net, a, evict);
	if (!e)
		return NULL;
	e->addr = *addr;
	e->port = (uint8_t)port;
	e->tries = 0;
	e->queued = 0;
	e->head = NULL;
	e->tail = &e->head;
	e->chain = NULL;
	at = neigh_find(net, a, port, addr);
	*at = e;
	return e;
}

void neigh_entry_move(struct neigh *a, struct neigh_entry *e, enum neigh_state state)
{
	TAILQ_REMOVE(&a->list[e->state], e, list);
	a->count[e->state]--;
	e->state = (uint8_t)state;
	TAILQ_INSERT_TAIL(&a->list[state], e, list);
	a->count[state]++;
}

void neigh_entry_free(struct net *net, struct neigh *a, struct neigh_entry *e)
{
	struct neigh_entry **at = neigh_find(net, a, e->port, &e->addr);
	struct pkt *p;

	*at = e->chain;
	while ((p = neigh_queue_get(a, e))) {
		net->stats->n[a->proto->queue_drop]++;
		nic_free(p);
	}
	neigh_entry_move(a, e, NEIGH_FREE);
}

/* RFC 1122, 2.3.2.2: keep at least the latest. */
void neigh_queue_put(struct net *net, struct neigh *a, struct neigh_entry *e, struct pkt *p)
{
	if (a->queued >= NEIGH_QUEUED_MAX && e->queued == 0) {
		net->stats->n[a->proto->queue_drop]++;
		nic_free(p);
		return;
	}
	if (e->queued == NEIGH_QUEUE_MAX || a->queued >= NEIGH_QUEUED_MAX) {
		net->stats->n[a->proto->queue_drop]++;
		nic_free(neigh_queue_get(a, e));
	}
	p->next = NULL;
	*e->tail = p;
	e->tail = &p->next;
	e->queued++;
	a->queued++;
}

struct pkt *neigh_queue_get(struct neigh *a, struct neigh_entry *e)
{
	struct pkt *p = e->head;

	if (!p)
		return NULL;
	e->head = p->next;
	if (!e->head)
		e->tail = &e->head;
	p->next = NULL;
	e->queued--;
	a->queued--;
	return p;
}
