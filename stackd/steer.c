/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rings between engines; see steer.h.  Used by core.c, made by main.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_errno.h>
#include <rte_ring.h>

#include "stackd/nic/nic.h"
#include "stackd/steer.h"
#include "stackd/tsan.h"

enum { STEER_SLOTS = 4096 };

struct steer {
	unsigned n;
	unsigned turn[64];      /* which sender each receiver looks at first */
	struct rte_ring *ring[]; /* from * n + to */
};

struct steer *steer_create(unsigned n)
{
	struct steer *s;

	errno = 0;
	if (n == 1)
		return NULL;
	s = calloc(1, sizeof(*s) + n * n * sizeof(s->ring[0]));
	if (s == NULL)
		return NULL;
	s->n = n;
	for (unsigned i = 0; i < n * n; i++) {
		char name[RTE_RING_NAMESIZE];

		if (i / n == i % n)
			continue;
		snprintf(name, sizeof(name), "steer-%u-%u", i / n, i % n);
		s->ring[i] = rte_ring_create(name, STEER_SLOTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (s->ring[i] == NULL) {
			steer_destroy(s);
			errno = rte_errno;
			return NULL;
		}
	}
	return s;
}

void steer_destroy(struct steer *s)
{
	struct pkt *p;

	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->n * s->n; i++) {
		while (s->ring[i] != NULL && rte_ring_sc_dequeue(s->ring[i], (void **)&p) == 0)
			nic_free(p);
		rte_ring_free(s->ring[i]);
	}
	free(s);
}

unsigned steer_put(struct steer *s, unsigned from, unsigned to, struct pkt **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		tsan_release(pkts[i]);
	return rte_ring_sp_enqueue_burst(s->ring[from * s->n + to], (void **)pkts, n, NULL);
}

bool steer_waiting(const struct steer *s, unsigned to)
{
	for (unsigned from = 0; from < s->n; from++) {
		if (from != to && !rte_ring_empty(s->ring[from * s->n + to]))
			return true;
	}
	return false;
}

unsigned steer_count(const struct steer *s, unsigned to)
{
	unsigned count = 0;

	for (unsigned from = 0; from < s->n; from++)
		count += from != to ? rte_ring_count(s->ring[from * s->n + to]) : 0;
	return count;
}

bool steer_taken(const struct steer *s, unsigned from)
{
	for (unsigned to = 0; to < s->n; to++) {
		if (to != from && !rte_ring_empty(s->ring[from * s->n + to]))
			return false;
	}
	return true;
}

unsigned steer_get(struct steer *s, unsigned to, struct pkt **pkts, unsigned max)
{
	unsigned got = 0, first = s->turn[to]++;

	for (unsigned i = 0; i < s->n && got < max; i++) {
		unsigned from = (first + i) % s->n;

		if (from != to)
			got += rte_ring_sc_dequeue_burst(s->ring[from * s->n + to], (void **)&pkts[got], max - got, NULL);
	}
	for (unsigned i = 0; i < got; i++)
		tsan_acquire(pkts[i]);
	return got;
}

unsigned steer_room(const struct steer *s, unsigned from, unsigned to)
{
	return rte_ring_free_count(s->ring[from * s->n + to]);
}
