/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The timing wheel: nothing early, nothing lost, nothing more than a tick late, whatever is started, moved and stopped.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/wheel.h"

static struct wheel W;
static uint64_t now_us;
static unsigned fired;
static struct timer *last, *again;

static void fire(void *arg, struct timer *t)
{
	ck_assert_ptr_eq(arg, &W);
	ck_assert(!wheel_runs(t));
	fired++;
	last = t;
	if (again == t)
		wheel_start(&W, t, now_us);
}

static unsigned run_to(uint64_t us)
{
	now_us = us;
	return wheel_expire(&W, us, UINT32_MAX, fire, &W);
}

static void begin(uint64_t us)
{
	now_us = us;
	fired = 0;
	again = NULL;
	wheel_init(&W, us);
}

START_TEST(test_rounds_up_and_is_never_early)
{
	struct timer t = { 0 };

	begin(5000);
	wheel_start(&W, &t, 7001);
	ck_assert(wheel_runs(&t));
	ck_assert_uint_eq(wheel_next_us(&W), 8000);
	ck_assert_uint_eq(run_to(7999), 0);
	ck_assert_uint_eq(run_to(8000), 1);
	ck_assert(!wheel_runs(&t));
	ck_assert_uint_eq(wheel_next_us(&W), UINT64_MAX);
}
END_TEST

START_TEST(test_past_comes_at_once)
{
	struct timer t = { 0 };

	begin(5000000);
	run_to(5000000);
	wheel_start(&W, &t, 17);
	ck_assert_uint_eq(run_to(5001000), 1);
}
END_TEST

START_TEST(test_stop_and_move)
{
	struct timer a = { 0 }, b = { 0 };

	begin(0);
	wheel_start(&W, &a, 10000);
	wheel_start(&W, &b, 10000);
	wheel_stop(&W, &a);
	wheel_stop(&W, &a);
	wheel_start(&W, &b, 900000);
	ck_assert_uint_eq(W.count, 1);
	ck_assert_uint_eq(run_to(899999), 0);
	ck_assert_uint_eq(run_to(900000), 1);
	ck_assert_ptr_eq(last, &b);
}
END_TEST

START_TEST(test_budget_leaves_the_rest_for_the_next_call)
{
	struct timer t[10] = { 0 };

	begin(0);
	for (unsigned i = 0; i < 10; i++)
		wheel_start(&W, &t[i], 256000);
	ck_assert_uint_eq(wheel_expire(&W, 300000, 4, fire, &W), 4);
	ck_assert_uint_le(wheel_next_us(&W), 256000);
	ck_assert_uint_eq(wheel_expire(&W, 300000, 4, fire, &W), 4);
	ck_assert_uint_eq(wheel_expire(&W, 300000, 4, fire, &W), 2);
	ck_assert_uint_eq(fired, 10);
}
END_TEST

/* A callback that starts its timer for now does not keep the call from returning. */
START_TEST(test_restart_in_callback_waits_for_the_next_tick)
{
	struct timer t = { 0 };

	begin(0);
	again = &t;
	wheel_start(&W, &t, 5000);
	ck_assert_uint_eq(run_to(5000), 1);
	ck_assert_uint_eq(run_to(5000), 0);
	ck_assert_uint_eq(run_to(6000), 1);
}
END_TEST

START_TEST(test_far_timers)
{
	static const uint64_t at_ms[] = { 255, 256, 257, 65535, 65536, 65537, 16777215, 16777216, 100000000, 4000000000u };
	struct timer t[10] = { 0 };

	begin(123456789);
	for (unsigned i = 0; i < 10; i++)
		wheel_start(&W, &t[i], 123457000 + at_ms[i] * 1000);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t next;

		ck_assert_uint_eq(run_to(123457000 + at_ms[i] * 1000 - 1), 0);
		while ((next = wheel_next_us(&W)) < 123457000 + at_ms[i] * 1000)
			ck_assert_uint_eq(run_to(next), 0); /* only cascades */
		ck_assert_uint_eq(run_to(123457000 + at_ms[i] * 1000), 1);
		ck_assert_ptr_eq(last, &t[i]);
	}
}
END_TEST

/* Against a plain list, with steps of every size. */
START_TEST(test_random)
{
	enum { N = 500 };
	static struct timer t[N];
	static uint64_t due[N]; /* ms; 0: not running */

	memset(t, 0, sizeof(t));
	memset(due, 0, sizeof(due));
	srand((unsigned)_i);
	begin((uint64_t)rand() * 1000);
	for (unsigned step = 0; step < 3000; step++) {
		unsigned i = (unsigned)rand() % N, want = 0, got;
		uint64_t span = (uint64_t)1 << (rand() % 24);

		if (rand() % 4 == 0) {
			wheel_stop(&W, &t[i]);
			due[i] = 0;
		} else {
			due[i] = W.now_ms + (uint64_t)rand() % span;
			wheel_start(&W, &t[i], due[i] * 1000);
		}
		if (rand() % 3 != 0)
			continue;
		now_us += ((uint64_t)rand() % ((uint64_t)1 << (rand() % 22))) * 1000;
		if (wheel_next_us(&W) > now_us && rand() % 2 == 0)
			ck_assert(wheel_next_us(&W) == UINT64_MAX || W.count > 0);
		for (unsigned k = 0; k < N; k++) {
			if (due[k] != 0 && due[k] * 1000 <= now_us)
				want++;
			else if (due[k] != 0 && wheel_next_us(&W) > due[k] * 1000)
				ck_abort_msg("the wheel would sleep past a timer");
		}
		got = run_to(now_us);
		if (got != want)
			ck_abort_msg("step %u: %u fired, not %u", step, got, want);
		for (unsigned k = 0; k < N; k++) {
			if (due[k] != 0 && due[k] * 1000 <= now_us)
				due[k] = 0;
			if (wheel_runs(&t[k]) != (due[k] != 0))
				ck_abort_msg("timer %u", k);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wheel");
	TCase *tc = tcase_create("wheel");
	SRunner *r;
	int failed;

	tcase_add_test(tc, test_rounds_up_and_is_never_early);
	tcase_add_test(tc, test_past_comes_at_once);
	tcase_add_test(tc, test_stop_and_move);
	tcase_add_test(tc, test_budget_leaves_the_rest_for_the_next_call);
	tcase_add_test(tc, test_restart_in_callback_waits_for_the_next_tick);
	tcase_add_test(tc, test_far_timers);
	tcase_add_loop_test(tc, test_random, 0, 10);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
