/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connections of flow.h: how one is found, and the pool.
 */
#include "stackd/tcp/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <urcu/compiler.h>

#include "stackd/tcp/conn.h"

static struct tcp_conn *conn_of(struct chain_link *l);
static bool add_slab(struct conn_pool *p);

struct tcp_conn *flow_find(const struct chains *flows, uint32_t hash, const struct tuple *tuple)
{
	for (struct chain_link *l = *chains_head(flows, hash); l != NULL; l = l->next) {
		struct tcp_conn *c = conn_of(l);

		if (l->hash == hash && c->pport == tuple->pport && c->lport == tuple->lport &&
		    memcmp(&c->peer, &tuple->peer, sizeof(c->peer)) == 0 &&
		    memcmp(&c->local, &tuple->local, sizeof(c->local)) == 0)
			return c;
	}
	return NULL;
}

static struct tcp_conn *conn_of(struct chain_link *l)
{
	return caa_container_of(l, struct tcp_conn, flow);
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
	c = conn_of(p->free);
	p->free = c->flow.next;
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
	c->flow.next = p->free;
	p->free = &c->flow;
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
		slab[i].flow.next = p->free;
		p->free = &slab[i].flow;
	}
	p->slabs++;
	return true;
}
