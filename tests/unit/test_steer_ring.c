/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rings between engines: what is put comes out, in order, at the engine it was put for, and what nobody takes is freed at the end.
 */
#include <errno.h>
#include <stdlib.h>

#include "stackd/steer.h"
#include "tests/unit/eal_fixture.h"

enum { ENGINES = 3, BUFFERS = 8192, MEMORY_MIB = 64 };

static struct nic *wire[2];
static struct steer *steer;

static void setup(void)
{
	eal_open(MEMORY_MIB);
	ck_assert_int_eq(nic_mem_pair(wire, BUFFERS, 1500), 0);
	steer = steer_create(ENGINES);
	ck_assert_ptr_nonnull(steer);
}

static void teardown(void)
{
	steer_destroy(steer);
	ck_assert_uint_eq(nic_mem_out(wire[0]), 0);
	nic_close(wire[0]);
	nic_close(wire[1]);
}

/* 1: it was taken */
static unsigned put(unsigned from, unsigned to, uint32_t number)
{
	struct pkt *p = nic_alloc(wire[0]);
	unsigned taken;

	ck_assert_ptr_nonnull(p);
	p->len = number;
	taken = steer_put(steer, from, to, &p, 1);
	if (taken == 0)
		nic_free(p);
	return taken;
}

static uint32_t get(unsigned to)
{
	struct pkt *p;
	uint32_t number;

	ck_assert(steer_waiting(steer, to));
	ck_assert_uint_eq(steer_get(steer, to, &p, 1), 1);
	number = p->len;
	nic_free(p);
	return number;
}

static void gets_nothing(unsigned to)
{
	struct pkt *p;

	ck_assert(!steer_waiting(steer, to));
	ck_assert_uint_eq(steer_get(steer, to, &p, 1), 0);
}

START_TEST(one_engine_has_no_rings)
{
	errno = EIO;
	ck_assert_ptr_null(steer_create(1));
	ck_assert_int_eq(errno, 0);
}
END_TEST

START_TEST(in_order_to_the_one_it_is_for)
{
	for (uint32_t i = 1; i <= 10; i++)
		ck_assert_uint_eq(put(0, 2, i), 1);
	ck_assert(!steer_taken(steer, 0));
	ck_assert_uint_eq(steer_count(steer, 2), 10);
	ck_assert_uint_eq(steer_count(steer, 0), 0);
	ck_assert(steer_taken(steer, 1));
	gets_nothing(0);
	gets_nothing(1);
	for (uint32_t i = 1; i <= 10; i++)
		ck_assert_uint_eq(get(2), i);
	gets_nothing(2);
	ck_assert(steer_taken(steer, 0));
}
END_TEST

/* A sender that has much does not shut out one that has little. */
START_TEST(senders_take_turns)
{
	bool seen = false;

	for (uint32_t i = 1; i <= 10; i++)
		ck_assert_uint_eq(put(0, 2, i), 1);
	ck_assert_uint_eq(put(1, 2, 100), 1);
	for (unsigned i = 0; i < ENGINES; i++)
		seen |= get(2) == 100;
	ck_assert(seen);
}
END_TEST

START_TEST(a_full_ring_takes_no_more)
{
	unsigned room = steer_room(steer, 1, 0);

	ck_assert_uint_lt(room, BUFFERS - 2);
	for (uint32_t i = 0; i < room; i++)
		ck_assert_uint_eq(put(1, 0, i), 1);
	ck_assert_uint_eq(steer_room(steer, 1, 0), 0);
	ck_assert_uint_eq(put(1, 0, 0), 0);
	ck_assert_uint_eq(put(2, 0, 7), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("steer_ring");
	TCase *t = tcase_create("steer_ring");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, one_engine_has_no_rings);
	tcase_add_test(t, in_order_to_the_one_it_is_for);
	tcase_add_test(t, senders_take_turns);
	tcase_add_test(t, a_full_ring_takes_no_more);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
