/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connection table and pool: everything is found while the table grows, and no insertion moves more than a few chains.
 */
#include <stdlib.h>
#include <string.h>

#include "stackd/tcp/flow.h"
#include "tests/unit/tcp_trace.h"

enum { N = 50000 };

static struct tuple name(unsigned i)
{
	struct tuple t = { ip4(1), ip4((uint8_t)(i >> 16)), 80, (uint16_t)i };

	return t;
}

static struct tcp_conn *make(struct conn_pool *pool, unsigned i)
{
	struct tcp_conn *c = pool_get(pool);
	struct tuple t = name(i);

	must(c != NULL);
	c->local = t.local;
	c->peer = t.peer;
	c->lport = t.lport;
	c->pport = t.pport;
	c->flow.hash = i * 2654435761u >> (i % 3 == 0 ? 8 : 0); /* uneven on purpose */
	return c;
}

START_TEST(test_finds_all_while_growing_and_shrinking)
{
	static struct tcp_conn *all[N];
	struct conn_pool pool;
	struct chains table;

	ck_assert_int_eq(pool_init(&pool, N), 0);
	ck_assert_int_eq(chains_init(&table), 0);
	for (unsigned i = 0; i < N; i++) {
		uint32_t moved = table.moved;
		bool moving = table.old != NULL;
		unsigned probe = i > 0 ? (unsigned)rand() % i : 0;
		struct tuple t = name(probe);

		all[i] = make(&pool, i);
		chains_insert(&table, &all[i]->flow);
		if (moving && table.old != NULL)
			must(table.moved - moved <= 8);
		if (i > 0)
			must(flow_find(&table, all[probe]->flow.hash, &t) == all[probe]);
	}
	must(table.count == N);
	for (unsigned i = 0; i < N; i += 2) {
		chains_remove(&table, &all[i]->flow);
		pool_put(&pool, all[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		struct tuple t = name(i);

		must(flow_find(&table, all[i]->flow.hash, &t) == (i % 2 != 0 ? all[i] : NULL));
	}
	chains_fini(&table);
	pool_fini(&pool);
}
END_TEST

START_TEST(test_pool_bound_and_slots)
{
	struct conn_pool pool;
	struct tcp_conn *c[300];
	bool seen[2 * POOL_SLAB + 300] = { false };

	ck_assert_int_eq(pool_init(&pool, 300), 0);
	ck_assert_uint_eq(pool.slabs, 0); /* nothing is taken before it is needed */
	for (unsigned i = 0; i < 300; i++) {
		c[i] = pool_get(&pool);
		must(c[i] != NULL && !seen[c[i]->slot] && pool_at(&pool, c[i]->slot) == c[i]);
		seen[c[i]->slot] = true;
		must(c[i]->slot < 3 * POOL_SLAB);
	}
	ck_assert_ptr_null(pool_get(&pool));
	pool_put(&pool, c[17]);
	ck_assert_ptr_eq(pool_get(&pool), c[17]);
	pool_fini(&pool);
}
END_TEST

START_TEST(test_same_hash_other_tuple)
{
	struct conn_pool pool;
	struct chains table;
	struct tcp_conn *a, *b;
	struct tuple t = name(1), u = name(2), v = name(3);

	ck_assert_int_eq(pool_init(&pool, 10), 0);
	ck_assert_int_eq(chains_init(&table), 0);
	a = make(&pool, 1);
	b = make(&pool, 2);
	a->flow.hash = b->flow.hash = 99;
	chains_insert(&table, &a->flow);
	chains_insert(&table, &b->flow);
	ck_assert_ptr_eq(flow_find(&table, 99, &t), a);
	ck_assert_ptr_eq(flow_find(&table, 99, &u), b);
	ck_assert_ptr_null(flow_find(&table, 99, &v));
	chains_fini(&table);
	pool_fini(&pool);
}
END_TEST

/* design.md, 3: a million idle connections in 1.5 GiB. */
START_TEST(test_size)
{
	ck_assert_uint_le(sizeof(struct tcp_conn), 704);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_finds_all_while_growing_and_shrinking);
	tcase_add_test(tc, test_pool_bound_and_slots);
	tcase_add_test(tc, test_same_hash_other_tuple);
	tcase_add_test(tc, test_size);
}

int main(void)
{
	return trace_main("flow", (void (*const[])(TCase *)){ add }, 1);
}
