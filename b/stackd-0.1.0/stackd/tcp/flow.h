/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The connections of one engine: a pool that gives them out, and the table that finds them by tuple.
 *
 * The table is chained and keyed by a secret.  It grows by doubling, a few chains at each insertion, so that no segment
 * waits for the whole of it.  The pool takes memory in slabs when it needs more and numbers connections densely.
 */
#ifndef STACKD_TCP_FLOW_H
#define STACKD_TCP_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "stackd/tcp/secret.h"

struct tcp_conn;

struct flow_table {
	struct tcp_conn **chain, **old; /* old: being emptied into chain; NULL: nothing to move */
	uint32_t mask, old_mask;
	uint32_t moved; /* chains of old below this are empty */
	uint32_t count;
};

int flow_init(struct flow_table *t); /* 0 or -ENOMEM */
void flow_fini(struct flow_table *t);
void flow_prefetch(const struct flow_table *t, uint32_t hash);
struct tcp_conn *flow_find(const struct flow_table *t, uint32_t hash, const struct tuple *tuple);
void flow_insert(struct flow_table *t, struct tcp_conn *c); /* c->flow_hash is set */
void flow_remove(struct flow_table *t, struct tcp_conn *c); /* it must be in */

enum { POOL_SLAB = 128 };

struct conn_pool {
	struct tcp_conn **slab;
	struct tcp_conn *free; /* by flow_next */
	uint32_t slabs, slabs_max;
	uint32_t used; /* connections out */
	uint32_t max;
};

int pool_init(struct conn_pool *p, uint32_t max); /* 0 or -ENOMEM */
void pool_fini(struct conn_pool *p);

/* All zero but its slot number.  NULL: max are out, or no memory. */
struct tcp_conn *pool_get(struct conn_pool *p);
void pool_put(struct conn_pool *p, struct tcp_conn *c);

/* The connection in a slot, in use or not; slots count to slabs * POOL_SLAB. */
struct tcp_conn *pool_at(const struct conn_pool *p, uint32_t slot);
bool pool_used(const struct tcp_conn *c);

#endif
