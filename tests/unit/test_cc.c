/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Congestion control by numbers: RFC 5681, RFC 9438, RFC 9406.
 */
#include <string.h>

#include "stackd/tcp/cc.h"
#include "tests/unit/tcp_trace.h"

enum { MSS = 1000 };

static uint64_t now_us;
static uint32_t una;

/* One round trip in which a whole window is acknowledged, segment by segment. */
static void round_trip(struct cc *cc, uint32_t rtt_us, bool limited)
{
	uint32_t segs = cc->cwnd / MSS, nxt = una + cc->cwnd;

	for (uint32_t i = 0; i < segs; i++) {
		struct cc_ack a = { .bytes = MSS, .most = 2 * MSS, .rtt_us = rtt_us, .srtt_us = rtt_us, .mss = MSS, .limited = limited };

		una += MSS;
		now_us += rtt_us / segs;
		a.now_us = now_us;
		a.una = una;
		a.nxt = nxt + i * MSS;
		cc_ops(cc->name)->acked(cc, &a);
	}
}

START_TEST(test_slow_start_doubles)
{
	struct cc cc;

	cc_init(&cc, (uint8_t)_i, 10 * MSS);
	round_trip(&cc, 10000, true);
	ck_assert_uint_eq(cc.cwnd, 20 * MSS);
	round_trip(&cc, 10000, true);
	ck_assert_uint_eq(cc.cwnd, 40 * MSS);
}
END_TEST

/* RFC 7661: what is not used does not grow. */
START_TEST(test_idle_window_does_not_grow)
{
	struct cc cc;

	cc_init(&cc, (uint8_t)_i, 10 * MSS);
	round_trip(&cc, 10000, false);
	ck_assert_uint_eq(cc.cwnd, 10 * MSS);
	cc.ssthresh = 5 * MSS;
	round_trip(&cc, 10000, false);
	ck_assert_uint_eq(cc.cwnd, 10 * MSS);
}
END_TEST

START_TEST(test_reno_additive_increase)
{
	struct cc cc;

	cc_init(&cc, CC_RENO, 20 * MSS);
	cc.ssthresh = 10 * MSS;
	round_trip(&cc, 10000, true);
	ck_assert_uint_eq(cc.cwnd, 21 * MSS);
}
END_TEST

START_TEST(test_reno_halves)
{
	struct cc cc;

	cc_init(&cc, CC_RENO, 20 * MSS);
	cc_ops(CC_RENO)->lost(&cc, 20 * MSS, MSS);
	ck_assert_uint_eq(cc.ssthresh, 10 * MSS);
	cc_ops(CC_RENO)->timeout(&cc, MSS, MSS);
	ck_assert_uint_eq(cc.ssthresh, 2 * MSS); /* (4): at least two segments */
}
END_TEST

/* RFC 9438 4.6: beta is 0.7; 4.7: fast convergence. */
START_TEST(test_cubic_decrease)
{
	struct cc cc;

	cc_init(&cc, CC_CUBIC, 100 * MSS);
	cc_ops(CC_CUBIC)->lost(&cc, 100 * MSS, MSS);
	ck_assert_uint_eq(cc.ssthresh, 70 * MSS);
	ck_assert_uint_eq(cc.w_max, 100 * MSS);
	cc.cwnd = 70 * MSS;
	cc_ops(CC_CUBIC)->lost(&cc, 70 * MSS, MSS);
	ck_assert_uint_eq(cc.w_max, (uint32_t)(70 * MSS * 0.85));
}
END_TEST

/* RFC 9438 4.2: K = cbrt((100 - 70) / 0.4) = 4.217 s until w_max is reached again; flat there, steep after. */
START_TEST(test_cubic_curve)
{
	struct cc cc;
	uint32_t at_k, before, after;

	now_us = 1000000;
	cc_init(&cc, CC_CUBIC, 100 * MSS);
	cc_ops(CC_CUBIC)->lost(&cc, 100 * MSS, MSS);
	cc.cwnd = cc.ssthresh;
	round_trip(&cc, 100000, true);
	ck_assert_uint_ge(cc.k_ms, 4210);
	ck_assert_uint_le(cc.k_ms, 4225);
	while (now_us < 1000000 + 3000000)
		round_trip(&cc, 100000, true);
	before = cc.cwnd;
	ck_assert_uint_gt(before, 95 * MSS);
	ck_assert_uint_lt(before, 101 * MSS);
	while (now_us < 1000000 + 4300000)
		round_trip(&cc, 100000, true);
	at_k = cc.cwnd;
	ck_assert_uint_gt(at_k, 98 * MSS);
	ck_assert_uint_lt(at_k, 104 * MSS);
	while (now_us < 1000000 + 9000000)
		round_trip(&cc, 100000, true);
	after = cc.cwnd;
	ck_assert_uint_gt(after, 130 * MSS); /* 0.4 * 4.8^3 = 44 segments above */
	ck_assert_uint_lt(after, 160 * MSS);
}
END_TEST

/* RFC 9438 4.3: on short paths it is as fast as Reno. */
START_TEST(test_cubic_reno_friendly)
{
	struct cc cc;

	now_us = 1000000;
	cc_init(&cc, CC_CUBIC, 20 * MSS);
	cc_ops(CC_CUBIC)->lost(&cc, 20 * MSS, MSS);
	cc.cwnd = cc.ssthresh;
	for (unsigned i = 0; i < 40; i++)
		round_trip(&cc, 1000, true);
	ck_assert_uint_ge(cc.cwnd, 14 * MSS + 15 * MSS);
}
END_TEST

/* RFC 9406: when round trips grow, slow start ends before anything is lost; and goes on when it was jitter. */
START_TEST(test_hystart)
{
	struct cc cc;
	uint32_t rounds = 0;

	cc_init(&cc, CC_CUBIC, 10 * MSS);
	round_trip(&cc, 50000, true);
	round_trip(&cc, 50000, true);
	ck_assert_uint_eq(cc.css_rounds, 0);
	round_trip(&cc, 90000, true);
	ck_assert_uint_ge(cc.css_rounds, 1);
	ck_assert_uint_eq(cc.ssthresh, UINT32_MAX);
	for (; cc_slow_start(&cc) && rounds < 20; rounds++)
		round_trip(&cc, 90000, true);
	ck_assert_uint_le(rounds, 6);

	cc_init(&cc, CC_CUBIC, 10 * MSS);
	round_trip(&cc, 50000, true);
	round_trip(&cc, 50000, true);
	round_trip(&cc, 90000, true);
	round_trip(&cc, 50000, true);
	ck_assert_uint_eq(cc.css_rounds, 0);
	ck_assert(cc_slow_start(&cc));
}
END_TEST

START_TEST(test_extremes_do_not_overflow)
{
	struct cc cc;

	now_us = UINT64_C(1) << 50;
	cc_init(&cc, CC_CUBIC, 1u << 29);
	cc_ops(CC_CUBIC)->lost(&cc, 1u << 29, 8);
	cc.cwnd = 16;
	cc.ssthresh = 8;
	for (unsigned i = 0; i < 1000; i++) {
		struct cc_ack a = { .now_us = now_us += 100000000, .bytes = 65535, .rtt_us = 120000000, .srtt_us = 120000000,
			            .mss = 8, .limited = true };

		cc_ops(CC_CUBIC)->acked(&cc, &a);
		must(cc.cwnd >= 16);
		if (cc.cwnd > 1u << 30)
			cc.cwnd = 1u << 30; /* as ack.c bounds it */
	}
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_loop_test(tc, test_slow_start_doubles, 0, CC_MAX);
	tcase_add_loop_test(tc, test_idle_window_does_not_grow, 0, CC_MAX);
	tcase_add_test(tc, test_reno_additive_increase);
	tcase_add_test(tc, test_reno_halves);
	tcase_add_test(tc, test_cubic_decrease);
	tcase_add_test(tc, test_cubic_curve);
	tcase_add_test(tc, test_cubic_reno_friendly);
	tcase_add_test(tc, test_hystart);
	tcase_add_test(tc, test_extremes_do_not_overflow);
}

int main(void)
{
	return trace_main("cc", (void (*const[])(TCase *)){ add }, 1);
}
