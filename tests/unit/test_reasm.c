/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ranges of out-of-order data, against a bitmap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tcp_trace.h"

START_TEST(test_merges)
{
	struct reasm r = { 0 };
	uint64_t to;

	ck_assert_int_eq(reasm_add(&r, 20, 30, 8), 0);
	ck_assert_int_eq(reasm_add(&r, 40, 50, 8), 0);
	ck_assert_int_eq(reasm_add(&r, 10, 10, 8), 0);
	ck_assert_uint_eq(r.count, 2);
	ck_assert_ptr_eq(reasm_grown_before(&r, NULL), &r.range[1]);
	ck_assert_uint_eq(reasm_hole(&r, 25, &to), 30);
	ck_assert_uint_eq(to, 40);
	ck_assert_int_eq(reasm_add(&r, 30, 40, 8), 0); /* exactly between */
	ck_assert_uint_eq(r.count, 1);
	ck_assert(reasm_has(&r, 20, 50));
	ck_assert(!reasm_has(&r, 19, 50));
	ck_assert_uint_eq(reasm_take(&r, 19), 19);
	ck_assert_uint_eq(reasm_take(&r, 20), 50);
	ck_assert_uint_eq(r.count, 0);
	ck_assert_ptr_null(r.range); /* nothing on the heap any more */
}
END_TEST

START_TEST(test_bound)
{
	struct reasm r = { 0 };

	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(reasm_add(&r, i * 10 + 1, i * 10 + 2, 20), 0);
	ck_assert_int_eq(reasm_add(&r, 1000, 1001, 20), -ENOSPC);
	ck_assert_int_eq(reasm_add(&r, 1, 200, 20), 0); /* joining needs no room */
	ck_assert_uint_eq(r.count, 1);
	reasm_clear(&r);
}
END_TEST

START_TEST(test_forget)
{
	struct reasm r = { 0 };

	ck_assert_int_eq(reasm_add(&r, 10, 20, 1), 0);
	reasm_forget(&r, 20, 30, 1);
	reasm_forget(&r, 0, 10, 1);
	ck_assert(reasm_has(&r, 10, 20));
	reasm_forget(&r, 12, 14, 1); /* no room for two */
	ck_assert(reasm_has(&r, 10, 12));
	ck_assert_uint_eq(r.count, 1);
	reasm_forget(&r, 0, 100, 1);
	ck_assert_ptr_null(r.range);
}
END_TEST

START_TEST(test_against_bitmap)
{
	enum { N = 400 };
	struct reasm r = { 0 };
	bool have[N] = { false };
	uint64_t base = UINT64_C(1) << 40;

	srand((unsigned)_i);
	for (unsigned step = 0; step < 400; step++) {
		unsigned a = (unsigned)rand() % N, b = a + (unsigned)rand() % 12, ranges = 0, got = 0;

		b = b < N ? b : N;
		if (step % 3 == 2) {
			reasm_forget(&r, base + a, base + b, N);
			memset(have + a, 0, b - a);
		} else if (reasm_add(&r, base + a, base + b, N) == 0) {
			memset(have + a, 1, b - a);
		}
		for (unsigned i = 0; i < N; i++)
			ranges += have[i] && (i == 0 || !have[i - 1]);
		must(r.count == ranges);
		a = (unsigned)rand() % N;
		b = a + (unsigned)rand() % (N - a + 1);
		for (unsigned i = a; i < b; i++)
			got += have[i];
		must(reasm_bytes(&r, base + a, base + b) == got);
		if (b > a)
			must(reasm_has(&r, base + a, base + b) == (got == b - a));
		for (b = a; b < N && have[b];)
			b++;
		{
			uint64_t to, off = reasm_hole(&r, base + a, &to);

			must(off == base + b);
			while (b < N && !have[b])
				b++;
			must(b < N ? to == base + b : to == UINT64_MAX);
		}
	}
	{
		unsigned end = 7, want = 7;

		while (want < N && have[want])
			want++;
		must(reasm_take(&r, base + end) == base + want);
		must(r.count == 0 || r.range[0].from > base + want);
	}
	reasm_clear(&r);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_merges);
	tcase_add_test(tc, test_bound);
	tcase_add_test(tc, test_forget);
	tcase_add_loop_test(tc, test_against_bitmap, 0, 20);
}

int main(void)
{
	return trace_main("reasm", (void (*const[])(TCase *)){ add }, 1);
}
