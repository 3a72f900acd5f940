/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connection table and pool of flow.h.
 */
#include "stackd/tcp/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/tcp/conn.h"

enum { FIRST_CHAINS = 1024, MOVE_CHAINS = 4 };

static struct tcp_conn **head_of(const struct flow_table *t, uint32_t hash);
static void grow(struct flow_table *t);
static void move_some(struct flow_table *t);
static bool add_slab(struct conn_pool *p);

int flow_init(struct flow_table *t)
{
	memset(t, 0, sizeof(*t));
	t->chain = calloc(FIRST_CHAINS, sizeof(struct tcp_conn *));
	t->mask = FIRST_CHAINS - 1;
	return t->chain != NULL ? 0 : -ENOMEM;
}

void flow_fini(struct flow_table *t)
{
	free(t->chain);
	free(t->old);
	memset(t, 0, sizeof(*t));
}

void flow_prefetch(const struct flow_table *t, uint32_t hash)
{
	__builtin_prefetch(head_of(t, hash));
}

struct tcp_conn *flow_find(const struct flow_table *t, uint32_t hash, const struct tuple *tuple)
{
	struct tcp_conn *c = *head_of(t, hash);

	for (; c != NULL; c = c->flow_next)
		if (c->flow_hash == hash && c->pport == tuple->pport && c->lport == tuple->lport &&
		    memcmp(&c->peer, &tuple->peer, sizeof(c->peer)) == 0 &&
		    memcmp(&c->local, &tuple->local, sizeof(c->local)) == 0)
			break;
	return c;
}

void flow_insert(struct flow_table *t, struct tcp_conn *c)
{
	struct tcp_conn **head;

	move_some(t);
	if (t->old == NULL && t->count > t->mask)
		grow(t);
	head = head_of(t, c->flow_hash);
	c->flow_next = *head;
	*head = c;
	t->count++;
}

void flow_remove(struct flow_table *t, struct tcp_conn *c)
{
	struct tcp_conn **at = head_of(t, c->flow_hash);

	while (*at != c)
		at = &(*at)->flow_next;
	*at = c->flow_next;
	c->flow_next = NULL;
	t->count--;
	move_some(t);
}

static struct tcp_conn **head_of(const struct flow_table *t, uint32_t hash)
{
	if (t->old != NULL && (hash & t->old_mask) >= t->moved)
		return &t->old[hash & t->old_mask];
	return &t->chain[hash & t->mask];
}

/* calloc of so much takes fresh pages, which cost nothing until they are touched.  Without memory the chains get longer. */
static void grow(struct flow_table *t)
{
	struct tcp_conn **chain;

	if (t->mask >= UINT32_MAX / 2)
		return;
	chain = calloc((size_t)t->mask * 2 + 2, sizeof(*chain));
	if (chain == NULL)
		return;
	t->old = t->chain;
	t->old_mask = t->mask;
	t->chain = chain;
	t->mask = t->mask * 2 + 1;
	t->moved = 0;
}

static void move_some(struct flow_table *t)
{
	for (unsigned n = 0; t->old != NULL && n < MOVE_CHAINS; n++) {
		struct tcp_conn *c = t->old[t->moved], *next;

		t->moved++;
		for (; c != NULL; c = next) {
			struct tcp_conn **head = &t->chain[c->flow_hash & t->mask];

			next = c->flow_next;
			c->flow_next = *head;
			*head = c;
		}
		if (t->moved > t->old_mask) {
			free(t->old);
			t->old = NULL;
		}
	}
}

/* --- Pool ------------------------------------------------------------------------------------------------------------- */

int pool_init(struct conn_pool *p, uint32_t max)
{
	memset(p, 0, sizeof(*p));
	p->max = max;
	p->slabs_max = max / POOL_SLAB + 1;
	p->slab = calloc(p->slabs_max, sizeof(struct tcp_conn *));
	return p->slab != NULL ? 0 : -ENOMEM;
}

void pool_fini(struct conn_pool *p)
{
	for (uint32_t i = 0; i < p->slabs; i++)
		free(p->slab[i]);
	free(p->slab);
	memset(p, 0, sizeof(*p));
}

struct tcp_conn *pool_get(struct conn_pool *p)
{
	struct tcp_conn *c;
	uint32_t slot;

	if (p->used >= p->max || (p->free == NULL && !add_slab(p)))
		return NULL;
	c = p->free;
	p->free = c->flow_next;
	p->used++;
	slot = c->slot;
	memset(c, 0, sizeof(*c));
	c->slot = slot;
	c->born_us = 1; /* in use */
	return c;
}

void pool_put(struct conn_pool *p, struct tcp_conn *c)
{
	c->born_us = 0;
	c->state = TCP_CLOSED;
	c->flow_next = p->free;
	p->free = c;
	p->used--;
}

struct tcp_conn *pool_at(const struct conn_pool *p, uint32_t slot)
{
	return &p->slab[slot / POOL_SLAB][slot % POOL_SLAB];
}

bool pool_used(const struct tcp_conn *c)
{
	return c->born_us != 0;
}

static bool add_slab(struct conn_pool *p)
{
	struct tcp_conn *slab;

	if (p->slabs == p->slabs_max)
		return false;
	slab = aligned_alloc(64, (POOL_SLAB * sizeof(*slab) + 63) / 64 * 64);
	if (slab == NULL)
		return false;
	memset(slab, 0, POOL_SLAB * sizeof(*slab));
	p->slab[p->slabs] = slab;
	for (uint32_t i = POOL_SLAB; i-- > 0;) {
		slab[i].slot = p->slabs * POOL_SLAB + i;
		slab[i].flow_next = p->free;
		p->free = &slab[i];
	}
	p->slabs++;
	return true;
}
