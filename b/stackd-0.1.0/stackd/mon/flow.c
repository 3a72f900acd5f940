/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of halves, and the pool of flows.  The table doubles in steps, a few chains with each change, so that no packet pays
 * for all.
 */
#include "stackd/mon/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CHAINS = 1024, MOVE_CHAINS = 4, SLAB = 1024 };

/* --- Halves ---------------------------------------------------------------------------------------------------------- */

static struct mon_half **head_of(const struct mon_table *t, uint32_t hash)
{
	if (t->old != NULL && (hash & t->old_mask) >= t->moved)
		return &t->old[hash & t->old_mask];
	return &t->chain[hash & t->mask];
}

/* calloc of so much takes fresh pages, which cost nothing until they are touched.  Without memory the chains get longer. */
static void grow(struct mon_table *t)
{
	struct mon_half **chain = t->mask < UINT32_MAX / 2 ? calloc((size_t)t->mask * 2 + 2, sizeof(*chain)) : NULL;

	if (chain == NULL)
		return;
	t->old = t->chain;
	t->old_mask = t->mask;
	t->chain = chain;
	t->mask = t->mask * 2 + 1;
	t->moved = 0;
}

static void move_some(struct mon_table *t)
{
	for (unsigned n = 0; t->old != NULL && n < MOVE_CHAINS; n++) {
		struct mon_half *h = t->old[t->moved], *next;

		t->moved++;
		for (; h != NULL; h = next) {
			struct mon_half **head = &t->chain[h->hash & t->mask];

			next = h->chain;
			h->chain = *head;
			*head = h;
		}
		if (t->moved > t->old_mask) {
			free(t->old);
			t->old = NULL;
		}
	}
}

static struct mon_half *find(const struct mon_table *t, uint32_t hash, const struct ipaddr *own, uint16_t own_port,
			     const struct ipaddr *peer, uint16_t peer_port)
{
	struct mon_half *h = *head_of(t, hash);

	while (h != NULL && (h->hash != hash || h->own_port != own_port || h->peer_port != peer_port ||
			     memcmp(&h->own, own, sizeof(*own)) != 0 || memcmp(&h->peer, peer, sizeof(*peer)) != 0))
		h = h->chain;
	return h;
}

struct mon_half *mon_half_find(const struct mon_table *t, const struct mon_seg *s)
{
	return find(t, s->hash, &s->src, s->sport, &s->dst, s->dport);
}

int mon_half_attach(struct mon_table *t, struct mon_half *h, const struct mon_seg *s, bool from, uint64_t seed)
{
	struct mon_half **head;

	h->own = from ? s->src : s->dst;
	h->peer = from ? s->dst : s->src;
	h->own_port = from ? s->sport : s->dport;
	h->peer_port = from ? s->dport : s->sport;
	h->hash = mon_tuple_hash(seed, &h->own, h->own_port, &h->peer, h->peer_port);
	if (find(t, h->hash, &h->own, h->own_port, &h->peer, h->peer_port) != NULL)
		return -EEXIST;
	move_some(t);
	if (t->old == NULL && t->halves > t->mask)
		grow(t);
	head = head_of(t, h->hash);
	h->chain = *head;
	*head = h;
	h->flags |= HALF_ATTACHED;
	t->halves++;
	return 0;
}

static void detach(struct mon_table *t, struct mon_half *h)
{
	struct mon_half **at = head_of(t, h->hash);

	if ((h->flags & HALF_ATTACHED) == 0)
		return;
	while (*at != h)
		at = &(*at)->chain;
	*at = h->chain;
	h->flags &= (uint16_t)~HALF_ATTACHED;
	t->halves--;
	move_some(t);
}

/* --- Flows ------------------------------------------------------------------------------------------------------------- */

int mon_table_init(struct mon_table *t, uint32_t max_flows)
{
	memset(t, 0, sizeof(*t));
	TAILQ_INIT(&t->age);
	t->max = max_flows;
	t->slabs_max = max_flows / SLAB + 1;
	t->slab = calloc(t->slabs_max, sizeof(*t->slab));
	t->chain = calloc(FIRST_CHAINS, sizeof(*t->chain));
	t->mask = FIRST_CHAINS - 1;
	if (t->slab != NULL && t->chain != NULL)
		return 0;
	mon_table_fini(t);
	return -ENOMEM;
}

void mon_table_fini(struct mon_table *t)
{
	for (uint32_t i = 0; i < t->slabs; i++)
		free(t->slab[i]);
	free(t->slab);
	free(t->chain);
	free(t->old);
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
		t->ranges -= f->half[side].seen.count;
		reasm_clear(&f->half[side].seen);
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
