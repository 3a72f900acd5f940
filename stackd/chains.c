/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hash table of chains.h.
 */
#include "stackd/chains.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CHAINS = 1024, MOVE_CHAINS = 4 };

static void grow(struct chains *c);
static void move_some(struct chains *c);
static void put(struct chain_link **head, struct chain_link *l);

int chains_init(struct chains *c)
{
	memset(c, 0, sizeof(*c));
	c->chain = calloc(FIRST_CHAINS, sizeof(*c->chain));
	c->mask = FIRST_CHAINS - 1;
	return c->chain != NULL ? 0 : -ENOMEM;
}

void chains_fini(struct chains *c)
{
	free(c->chain);
	free(c->old);
	memset(c, 0, sizeof(*c));
}

void chains_insert(struct chains *c, struct chain_link *l)
{
	move_some(c);
	if (c->old == NULL && c->count > c->mask)
		grow(c);
	put(chains_head(c, l->hash), l);
	c->count++;
}

void chains_remove(struct chains *c, struct chain_link *l)
{
	struct chain_link **at = chains_head(c, l->hash);

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	l->next = NULL;
	c->count--;
	move_some(c);
}

/* calloc of so much takes fresh pages, which cost nothing until they are touched. */
static void grow(struct chains *c)
{
	struct chain_link **chain = c->mask < UINT32_MAX / 2 ? calloc((size_t)c->mask * 2 + 2, sizeof(*chain)) : NULL;

	if (chain == NULL)
		return;
	c->old = c->chain;
	c->old_mask = c->mask;
	c->chain = chain;
	c->mask = c->mask * 2 + 1;
	c->moved = 0;
}

static void move_some(struct chains *c)
{
	for (unsigned n = 0; c->old != NULL && n < MOVE_CHAINS; n++) {
		struct chain_link *l = c->old[c->moved], *next;

		for (c->moved++; l != NULL; l = next) {
			next = l->next;
			put(&c->chain[l->hash & c->mask], l);
		}
		if (c->moved > c->old_mask) {
			free(c->old);
			c->old = NULL;
		}
	}
}

static void put(struct chain_link **head, struct chain_link *l)
{
	l->next = *head;
	*head = l;
}
