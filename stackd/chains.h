/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hash table of one thread: chained, its links live in their users' structs, the hash is the user's (keyed, where the wire
 * chooses what is hashed).
 *
 * It grows by doubling, a few chains with each change, so that no packet waits for the whole of it.  Without memory the chains
 * get longer.
 */
#ifndef STACKD_CHAINS_H
#define STACKD_CHAINS_H

#include <stddef.h>
#include <stdint.h>

struct chain_link {
	struct chain_link *next;
	uint32_t hash; /* set before the link is inserted */
};

struct chains {
	struct chain_link **chain, **old; /* old: being emptied into chain; NULL: nothing to move */
	uint32_t mask, old_mask;
	uint32_t moved; /* chains of old below this are empty */
	uint32_t count;
};

int chains_init(struct chains *c); /* 0 or -ENOMEM */
void chains_fini(struct chains *c);
void chains_insert(struct chains *c, struct chain_link *l);
void chains_remove(struct chains *c, struct chain_link *l); /* it must be in */

/* Where links with this hash begin, among others. */
static inline struct chain_link **chains_head(const struct chains *c, uint32_t hash)
{
	if (c->old != NULL && (hash & c->old_mask) >= c->moved)
		return &c->old[hash & c->old_mask];
	return &c->chain[hash & c->mask];
}

#endif
