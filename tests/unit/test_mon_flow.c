/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of halves and the pool of flows: found by what the sender's packets carry, bounded, oldest first.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/flow.h"
#include "stackd/net/priv.h"

enum { SEED = 77 };

static struct mon_table table;

static struct mon_seg segment(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	struct mon_seg s = { .kind = MON_SEG_TCP, .version = 4, .src = from_ip4(src), .dst = from_ip4(dst), .sport = sport,
			     .dport = dport };

	s.hash = mon_tuple_hash(SEED, &s.src, s.sport, &s.dst, s.dport);
	return s;
}

static struct mon_seg reversed(const struct mon_seg *s)
{
	struct mon_seg r = *s;

	r.src = s->dst, r.dst = s->src;
	r.sport = s->dport, r.dport = s->sport;
	r.hash = mon_tuple_hash(SEED, &r.src, r.sport, &r.dst, r.dport);
	return r;
}

static struct mon_flow *flow_with(const struct mon_seg *s)
{
	struct mon_flow *f = mon_flow_new(&table);

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(mon_half_attach(&table, &f->half[MON_CLI], s, true, SEED), 0);
	ck_assert_int_eq(mon_half_attach(&table, &f->half[MON_SVR], s, false, SEED), 0);
	return f;
}

START_TEST(both_halves_are_found_by_their_own_packets)
{
	struct mon_seg s = segment(0x0a000001, 1000, 0x0a000002, 80), r = reversed(&s), other = segment(0x0a000001, 1000, 0x0a000002, 81);
	struct mon_flow *f;

	ck_assert_int_eq(mon_table_init(&table, 10), 0);
	ck_assert_ptr_null(mon_half_find(&table, &s));
	f = flow_with(&s);
	ck_assert_ptr_eq(mon_half_find(&table, &s), &f->half[MON_CLI]);
	ck_assert_ptr_eq(mon_half_find(&table, &r), &f->half[MON_SVR]);
	ck_assert_ptr_null(mon_half_find(&table, &other));
	ck_assert_ptr_eq(mon_other(&f->half[MON_CLI]), &f->half[MON_SVR]);
	ck_assert_ptr_eq(mon_other(&f->half[MON_SVR]), &f->half[MON_CLI]);
	ck_assert_uint_eq(f->half[MON_CLI].state, MON_STATE_NONE);
	mon_flow_free(&table, f);
	ck_assert_ptr_null(mon_half_find(&table, &s));
	ck_assert_ptr_null(mon_half_find(&table, &r));
	ck_assert_uint_eq(table.halves.count, 0);
	mon_table_fini(&table);
}
END_TEST

/* A translating monitor makes the server's half know the client by another address: api.md, A.14. */
START_TEST(halves_with_different_addresses)
{
	struct mon_seg in = segment(0x0a000001, 1000, 0x0a000002, 80), out = segment(0xc0a80001, 6000, 0x0a000002, 80), back = reversed(&out);
	struct mon_seg never = reversed(&in);
	struct mon_flow *f;

	ck_assert_int_eq(mon_table_init(&table, 10), 0);
	f = mon_flow_new(&table);
	ck_assert_int_eq(mon_half_attach(&table, &f->half[MON_CLI], &in, true, SEED), 0);
	ck_assert_int_eq(mon_half_attach(&table, &f->half[MON_SVR], &out, false, SEED), 0);
	ck_assert_ptr_eq(mon_half_find(&table, &in), &f->half[MON_CLI]);
	ck_assert_ptr_eq(mon_half_find(&table, &back), &f->half[MON_SVR]);
	ck_assert_ptr_null(mon_half_find(&table, &never));
	mon_flow_free(&table, f);
	mon_table_fini(&table);
}
END_TEST

START_TEST(addresses_belong_to_one_half)
{
	struct mon_seg s = segment(0x0a000001, 1000, 0x0a000002, 80), land = segment(0x0a000001, 9, 0x0a000001, 9);
	struct mon_flow *f, *g;

	ck_assert_int_eq(mon_table_init(&table, 10), 0);
	f = flow_with(&s);
	g = mon_flow_new(&table);
	ck_assert_int_eq(mon_half_attach(&table, &g->half[MON_CLI], &s, true, SEED), -EEXIST);
	ck_assert_int_eq(g->half[MON_CLI].flags & HALF_ATTACHED, 0);
	ck_assert_ptr_eq(mon_half_find(&table, &s), &f->half[MON_CLI]);
	mon_flow_free(&table, g);
	ck_assert_ptr_eq(mon_half_find(&table, &s), &f->half[MON_CLI]);
	mon_flow_free(&table, f);
	g = mon_flow_new(&table); /* a host that talks to itself by one port */
	ck_assert_int_eq(mon_half_attach(&table, &g->half[MON_CLI], &land, true, SEED), 0);
	ck_assert_int_eq(mon_half_attach(&table, &g->half[MON_SVR], &land, false, SEED), -EEXIST);
	mon_flow_free(&table, g);
	ck_assert_uint_eq(table.halves.count, 0);
	mon_table_fini(&table);
}
END_TEST

START_TEST(flows_are_bounded_and_oldest_first)
{
	struct mon_flow *f[4];

	ck_assert_int_eq(mon_table_init(&table, 3), 0);
	for (unsigned i = 0; i < 3; i++)
		f[i] = mon_flow_new(&table);
	ck_assert_ptr_null(mon_flow_new(&table));
	ck_assert_ptr_eq(TAILQ_FIRST(&table.age), f[0]);
	mon_flow_touch(&table, f[0]);
	ck_assert_ptr_eq(TAILQ_FIRST(&table.age), f[1]);
	mon_flow_touch(&table, f[0]); /* it is already the newest */
	mon_flow_free(&table, f[1]);
	ck_assert_ptr_eq(TAILQ_FIRST(&table.age), f[2]);
	f[3] = mon_flow_new(&table);
	ck_assert_ptr_nonnull(f[3]);
	ck_assert_uint_eq(table.used, 3);
	for (unsigned i = 0; i < 4; i++) {
		if (i != 1)
			mon_flow_free(&table, f[i]);
	}
	ck_assert_uint_eq(table.used, 0);
	mon_table_fini(&table);
}
END_TEST

/* The low half of a serial names a flow in records: 0 names none. */
START_TEST(serials_never_end_in_zero)
{
	struct mon_flow *f;
	uint64_t last = 0;

	ck_assert_int_eq(mon_table_init(&table, 3), 0);
	table.next_serial = UINT32_MAX - 2;
	for (unsigned i = 0; i < 5; i++) {
		f = mon_flow_new(&table);
		ck_assert_uint_ne((uint32_t)f->serial, 0);
		ck_assert_uint_gt(f->serial, last);
		last = f->serial;
		mon_flow_free(&table, f);
	}
	ck_assert_uint_gt(last, UINT32_MAX);
	mon_table_fini(&table);
}
END_TEST

START_TEST(what_a_flow_kept_goes_with_it)
{
	struct mon_flow *f;

	ck_assert_int_eq(mon_table_init(&table, 3), 0);
	f = mon_flow_new(&table);
	ck_assert_int_eq(reasm_add(&f->half[MON_SVR].seen, 10, 20, 8), 0);
	table.ranges = 1;
	mon_flow_free(&table, f);
	ck_assert_uint_eq(table.ranges, 0);
	f = mon_flow_new(&table);
	ck_assert_uint_eq(f->half[MON_SVR].seen.count, 0);
	ck_assert_uint_eq(f->half[MON_SVR].flags, 0);
	mon_flow_free(&table, f);
	mon_table_fini(&table);
}
END_TEST

START_TEST(walk_meets_every_flow_once)
{
	enum { N = 2500 };
	struct mon_flow *f, **all = calloc(N, sizeof(struct mon_flow *));
	unsigned met = 0, places = 0;

	ck_assert_int_eq(mon_table_init(&table, N), 0);
	ck_assert(!mon_table_at(&table, 0, &f));
	for (unsigned i = 0; i < N; i++)
		all[i] = mon_flow_new(&table);
	for (unsigned i = 0; i < N; i += 3)
		mon_flow_free(&table, all[i]);
	for (uint32_t i = 0; mon_table_at(&table, i, &f); i++, places++)
		met += f != NULL;
	ck_assert_uint_eq(met, table.used);
	ck_assert_uint_ge(places, N);
	for (unsigned i = 0; i < N; i++) {
		if (i % 3 != 0)
			mon_flow_free(&table, all[i]);
	}
	free(all);
	mon_table_fini(&table);
}
END_TEST

/* Flows come and go while the table doubles, and doubles again; each is found all the time. */
START_TEST(table_grows_while_it_is_used)
{
	enum { N = 200000, EACH = 1009 };
	struct mon_flow **all = calloc(N, sizeof(struct mon_flow *));

	ck_assert_int_eq(mon_table_init(&table, N), 0);
	for (uint32_t i = 0; i < N; i++) {
		struct mon_seg s = segment(0x0a000000 + i / 60000, (uint16_t)(i % 60000 + 1), 0xc0a80001, 80);

		all[i] = flow_with(&s);
		if (i % 7 == 0) {
			mon_flow_free(&table, all[i]);
			all[i] = NULL;
		}
		if (i % EACH != 0)
			continue;
		for (uint32_t k = i % 101; k <= i; k += EACH * 3) {
			struct mon_seg t = segment(0x0a000000 + k / 60000, (uint16_t)(k % 60000 + 1), 0xc0a80001, 80), r = reversed(&t);

			ck_assert_ptr_eq(mon_half_find(&table, &t), all[k] != NULL ? &all[k]->half[MON_CLI] : NULL);
			ck_assert_ptr_eq(mon_half_find(&table, &r), all[k] != NULL ? &all[k]->half[MON_SVR] : NULL);
		}
	}
	ck_assert_uint_eq(table.halves.count, table.used * 2);
	ck_assert_uint_ge(table.halves.mask, table.halves.count / 2); /* so that chains stay short */
	for (uint32_t i = 0; i < N; i++) {
		if (all[i] != NULL)
			mon_flow_free(&table, all[i]);
	}
	ck_assert_uint_eq(table.halves.count, 0);
	free(all);
	mon_table_fini(&table);
}
END_TEST

START_TEST(hash_needs_its_seed)
{
	struct mon_seg s = segment(0x0a000001, 1000, 0x0a000002, 80);
	struct ipaddr six = s.src;
	unsigned same = 0;

	six.w[0] = 1;
	for (uint64_t seed = 0; seed < 64; seed++) {
		same += mon_tuple_hash(seed, &s.src, 1, &s.dst, 2) == mon_tuple_hash(seed + 1, &s.src, 1, &s.dst, 2);
		same += mon_tuple_hash(seed, &six, 1, &s.dst, 2) == mon_tuple_hash(seed + 1, &six, 1, &s.dst, 2);
		same += mon_tuple_hash(seed, &six, 1, &s.dst, 2) == mon_tuple_hash(seed, &s.src, 1, &s.dst, 2);
		same += mon_tuple_hash(seed, &six, 1, &s.dst, 2) == mon_tuple_hash(seed, &s.dst, 2, &six, 1);
	}
	ck_assert_uint_le(same, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mon_flow");
	TCase *tc = tcase_create("flow");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, both_halves_are_found_by_their_own_packets);
	tcase_add_test(tc, halves_with_different_addresses);
	tcase_add_test(tc, addresses_belong_to_one_half);
	tcase_add_test(tc, flows_are_bounded_and_oldest_first);
	tcase_add_test(tc, serials_never_end_in_zero);
	tcase_add_test(tc, what_a_flow_kept_goes_with_it);
	tcase_add_test(tc, walk_meets_every_flow_once);
	tcase_add_test(tc, table_grows_while_it_is_used);
	tcase_add_test(tc, hash_needs_its_seed);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
