/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The connections of one engine: a pool that gives them out, and how the table of them (chains.h, keyed by a secret) finds one.
 *
 * The pool takes memory in slabs when it needs more and numbers connections densely.
 */
#ifndef STACKD_TCP_FLOW_H
#define STACKD_TCP_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "stackd/chains.h"
#include "stackd/tcp/secret.h"

struct tcp_conn;

struct tcp_conn *flow_find(const struct chains *flows, uint32_t hash, const struct tuple *tuple); /* NULL: there is none */

enum { POOL_SLAB = 128 };

struct conn_pool {
	struct tcp_conn **slab;
	struct chain_link *free; /* links of connections */
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
