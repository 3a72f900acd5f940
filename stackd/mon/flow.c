/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of halves, and the pool of flows.
 */
#include "stackd/mon/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <urcu/compiler.h>

enum { SLAB = 1024 };

/* --- Halves ---------------------------------------------------------------------------------------------------------- */

static struct mon_half *find(const struct mon_table *t, uint32_t hash, const struct ipaddr *own, uint16_t own_port,
			     const struct ipaddr *peer, uint16_t peer_port)
{
	for (struct chain_link *l = *chains_head(&t->halves, hash); l != NULL; l = l->next) {
		struct mon_half *h = caa_container_of(l, struct mon_half, link);

		if (l->hash == hash && h->own_port == own_port && h->peer_port == peer_port &&
		    memcmp(&h->own, own, sizeof(*own)) == 0 && memcmp(&h->peer, peer, sizeof(*peer)) == 0)
			return h;
	}
	return NULL;
}

struct mon_half *mon_half_find(const struct mon_table *t, const struct mon_seg *s)
{
	return find(t, s->hash, &s->src, s->sport, &s->dst, s->dport);
}

int mon_half_attach(struct mon_table *t, struct mon_half *h, const struct mon_seg *s, bool from, uint64_t seed)
{
	h->own = from ? s->src : s->dst;
	h->peer = from ? s->dst : s->src;
	h->own_port = from ? s->sport : s->dport;
	h->peer_port = from ? s->dport : s->sport;
	h->link.hash = mon_tuple_hash(seed, &h->own, h->own_port, &h->peer, h->peer_port);
	if (find(t, h->link.hash, &h->own, h->own_port, &h->peer, h->peer_port) != NULL)
		return -EEXIST;
	chains_insert(&t->halves, &h->link);
	h->flags |= HALF_ATTACHED;
	return 0;
}

static void detach(struct mon_table *t, struct mon_half *h)
{
	if ((h->flags & HALF_ATTACHED) == 0)
		return;
	chains_remove(&t->halves, &h->link);
	h->flags &= (uint16_t)~HALF_ATTACHED;
}

/* --- Flows ------------------------------------------------------------------------------------------------------------- */

int mon_table_init(struct mon_table *t, uint32_t max_flows)
{
	memset(t, 0, sizeof(*t));
	TAILQ_INIT(&t->age);
	t->max = max_flows;
	t->slabs_max = max_flows / SLAB + 1;
	t->slab = calloc(t->slabs_max, sizeof(*t->slab));
	if (chains_init(&t->halves) == 0 && t->slab != NULL)
		return 0;
	mon_table_fini(t);
	return -ENOMEM;
}

void mon_table_fini(struct mon_table *t)
{
	for (uint32_t i = 0; i < t->slabs; i++)
		free(t->slab[i]);
	free(t->slab);
	chains_fini(&t->halves);
	memset(t, 0, sizeof(*t));
	TAILQ_INIT(&t->age);
}

static bool add_slab(struct mon_table *t)
{
	struct mon_flow *slab = t->slabs < t->slabs_max ? calloc(SLAB, sizeof(*slab)) : NULL;

	if (slab == NULL)
		return false;
	t->slab[t->slabs++] = slab;
	for (unsigned i = SLAB; i-- > 0;) {
		slab[i].half[0].flow = t->free; /* free ones are chained here */
		t->free = &slab[i];
	}
	return true;
}

struct mon_flow *mon_flow_new(struct mon_table *t)
{
	struct mon_flow *f;

	if (t->used >= t->max || (t->free == NULL && !add_slab(t)))
		return NULL;
	f = t->free;
	t->free = f->half[0].flow;
	memset(f, 0, sizeof(*f));
	do {
		f->serial = ++t->next_serial;
	} while ((uint32_t)f->serial == 0);
	f->table = t;
	for (unsigned side = 0; side < 2; side++) {
		f->half[side].flow = f;
		f->half[side].side = (uint8_t)side;
		f->half[side].state = MON_STATE_NONE;
	}
	TAILQ_INSERT_TAIL(&t->age, f, age);
	t->used++;
	return f;
}

void mon_flow_free(struct mon_table *t, struct mon_flow *f)
{
	for (unsigned side = 0; side < 2; side++) {
		detach(t, &f->half[side]);
		mon_half_forget(&f->half[side]);
	}
	TAILQ_REMOVE(&t->age, f, age);
	f->serial = 0;
	f->half[0].flow = t->free;
	t->free = f;
	t->used--;
}

void mon_flow_touch(struct mon_table *t, struct mon_flow *f)
{
	if (TAILQ_NEXT(f, age) == NULL)
		return;
	TAILQ_REMOVE(&t->age, f, age);
	TAILQ_INSERT_TAIL(&t->age, f, age);
}

bool mon_table_at(const struct mon_table *t, uint32_t index, struct mon_flow **f)
{
	if (index / SLAB >= t->slabs)
		return false;
	*f = &t->slab[index / SLAB][index % SLAB];
	if ((*f)->serial == 0)
		*f = NULL;
	return true;
}
