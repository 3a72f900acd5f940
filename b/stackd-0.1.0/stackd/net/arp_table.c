/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Entries of the neighbour table and the packets that wait in them; see arp.h.
 */
#include <stdlib.h>

#include "stackd/net/arp.h"

struct arp *arp_create(struct net *net)
{
	uint32_t n = net->conf.arp_entries ? net->conf.arp_entries : 1024, buckets = 16;
	struct arp *a = calloc(1, sizeof(*a) + n * sizeof(a->entry[0]));

	while (buckets < n)
		buckets *= 2;
	if (a)
		a->bucket = calloc(buckets, sizeof(struct arp_entry *));
	if (!a || !a->bucket) {
		free(a);
		return NULL;
	}
	a->bucket_mask = buckets - 1;
	a->age_us = (net->conf.arp_age_s ? net->conf.arp_age_s : 300) * 1000000ull;
	a->busy_max = n / 2 < 1 ? 1 : n / 2 > ARP_BUSY_MAX ? ARP_BUSY_MAX : n / 2;
	for (unsigned s = 0; s < ARP_STATES; s++)
		TAILQ_INIT(&a->list[s]);
	for (uint32_t i = 0; i < n; i++)
		TAILQ_INSERT_TAIL(&a->list[ARP_FREE], &a->entry[i], list);
	a->count[ARP_FREE] = n;
	return a;
}

void arp_destroy(struct net *net)
{
	struct arp *a = net->arp;

	if (!a)
		return;
	for (unsigned s = ARP_ASKING; s < ARP_STATES; s++)
		while (!TAILQ_EMPTY(&a->list[s]))
			arp_entry_free(net, TAILQ_FIRST(&a->list[s]));
	free(a->bucket);
	free(a);
	net->arp = NULL;
}

struct arp_entry **arp_find(const struct net *net, unsigned port, uint32_t addr)
{
	struct arp *a = net->arp;
	struct arp_entry **e = &a->bucket[net_keyed_hash(net->seed, addr, port) & a->bucket_mask];

	while (*e && ((*e)->addr != addr || (*e)->port != port))
		e = &(*e)->chain;
	return e;
}

static struct arp_entry *entry_take(struct net *net, bool evict)
{
	struct arp *a = net->arp;
	struct arp_entry *e = TAILQ_FIRST(&a->list[ARP_FREE]);

	if (e || !evict)
		return e;
	e = TAILQ_FIRST(&a->list[ARP_FAILED]);
	if (!e)
		e = TAILQ_FIRST(&a->list[ARP_KNOWN]);
	if (e)
		arp_entry_free(net, e);
	return e;
}

struct arp_entry *arp_entry_new(struct net *net, unsigned port, uint32_t addr, bool evict)
{
	struct arp *a = net->arp;
	struct arp_entry *e, **at;

	if (evict && a->count[ARP_ASKING] + a->count[ARP_FAILED] >= a->busy_max) {
		if (TAILQ_EMPTY(&a->list[ARP_FAILED]))
			return NULL;
		arp_entry_free(net, TAILQ_FIRST(&a->list[ARP_FAILED]));
	}
	e = entry_take(net, evict);
	if (!e)
		return NULL;
	e->addr = addr;
	e->port = (uint8_t)port;
	e->tries = 0;
	e->queued = 0;
	e->head = NULL;
	e->tail = &e->head;
	e->chain = NULL;
	at = arp_find(net, port, addr);
	*at = e;
	return e;
}

void arp_entry_move(struct arp *a, struct arp_entry *e, enum arp_state state)
{
	TAILQ_REMOVE(&a->list[e->state], e, list);
	a->count[e->state]--;
	e->state = (uint8_t)state;
	TAILQ_INSERT_TAIL(&a->list[state], e, list);
	a->count[state]++;
}

void arp_entry_free(struct net *net, struct arp_entry *e)
{
	struct arp_entry **at = arp_find(net, e->port, e->addr);
	struct pkt *p;

	*at = e->chain;
	while ((p = arp_queue_get(net->arp, e))) {
		COUNT(net->stats, ARP_QUEUE_DROP);
		nic_free(p);
	}
	arp_entry_move(net->arp, e, ARP_FREE);
}

/* RFC 1122, 2.3.2.2: keep at least the latest. */
void arp_queue_put(struct net *net, struct arp_entry *e, struct pkt *p)
{
	struct arp *a = net->arp;

	if (a->queued >= ARP_QUEUED_MAX && e->queued == 0) {
		COUNT(net->stats, ARP_QUEUE_DROP);
		nic_free(p);
		return;
	}
	if (e->queued == ARP_QUEUE_MAX || a->queued >= ARP_QUEUED_MAX) {
		COUNT(net->stats, ARP_QUEUE_DROP);
		nic_free(arp_queue_get(a, e));
	}
	p->next = NULL;
	*e->tail = p;
	e->tail = &p->next;
	e->queued++;
	a->queued++;
}

struct pkt *arp_queue_get(struct arp *a, struct arp_entry *e)
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
