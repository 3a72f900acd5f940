/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The list of what is in flight, alone.
 */
#include <errno.h>

#include "tests/unit/tcp_trace.h"

enum { LEN = 100 };

static struct flight *F_;
static struct flight_news N;

static void make(unsigned n)
{
	F_ = flight_new(0);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_int_eq(flight_room(F_, 1000), 0);
		flight_push(F_, i * LEN, LEN, false, 1000 + i);
	}
	N = (struct flight_news){ .now_us = 5000 };
}

/* The numbers of those that are out, in the order of time. */
static const char *out(void)
{
	static char text[256];
	char *p = text;

	*p = '\0';
	for (uint32_t no = F_->oldest; no != FLIGHT_NONE; no = flight_at(F_, no)->newer)
		p += sprintf(p, "%s%u", p == text ? "" : " ", (unsigned)(flight_at(F_, no)->from / LEN));
	return text;
}

START_TEST(test_acked)
{
	make(5);
	flight_acked(F_, 250, &N); /* and a half */
	ck_assert_str_eq(out(), "2 3 4");
	ck_assert_uint_eq(N.delivered, 250);
	ck_assert_uint_eq(flight_at(F_, F_->head)->len, 50);
	ck_assert_uint_eq(flight_pipe(F_), 250);
	flight_acked(F_, 500, &N);
	ck_assert_uint_eq(N.delivered, 500);
	ck_assert_uint_eq(F_->head, F_->tail);
	flight_free(F_);
}
END_TEST

/* The first one in pieces: the others keep their order in time, and their marks. */
START_TEST(test_split)
{
	make(7);
	flight_again(F_, F_->head + 2, 3000);
	ck_assert(flight_sack(F_, 300, 400, 9, &N));
	ck_assert_int_eq(flight_split(F_, F_->head, 30), 0); /* beyond FLIGHT_FIRST */
	ck_assert_uint_eq(F_->tail - F_->head, 10);
	ck_assert_str_eq(out(), "1 4 5 6 2");
	ck_assert_uint_eq(F_->lost_bytes, LEN);
	ck_assert_uint_eq(flight_pipe(F_), 5 * LEN);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t no = flight_lost(F_);

		ck_assert_uint_eq(flight_at(F_, no)->from, i * 30);
		ck_assert_uint_eq(flight_at(F_, no)->len, i < 3 ? 30 : 10);
		flight_again(F_, no, 4000);
	}
	ck_assert_uint_eq(F_->lost_bytes, 0);
	ck_assert_int_eq(flight_split(F_, F_->tail - 2, 60), 0); /* and one that was out */
	ck_assert_str_eq(out(), "1 4 6 2 0 0 0 0");
	ck_assert_uint_eq(F_->lost_bytes, LEN);
	ck_assert_uint_eq(flight_at(F_, flight_lost(F_) + 1)->from, 560);
	flight_acked(F_, 700, &N);
	ck_assert_uint_eq(F_->bytes, 0);
	ck_assert_uint_eq(F_->oldest, FLIGHT_NONE);
	flight_free(F_);
}
END_TEST

/* Whole segments only; what was told before costs and counts nothing. */
START_TEST(test_sack)
{
	make(6);
	ck_assert(!flight_sack(F_, 110, 190, 9, &N));
	ck_assert(flight_sack(F_, 110, 390, 9, &N)); /* 2 */
	ck_assert_uint_eq(N.newly_sacked, LEN);
	ck_assert(flight_sack(F_, 100, 600, 9, &N));
	ck_assert_uint_eq(N.newly_sacked, 5 * LEN);
	ck_assert(!flight_sack(F_, 100, 600, 9, &N));
	ck_assert_uint_eq(F_->sacked, 5);
	ck_assert_str_eq(out(), "0");
	ck_assert_uint_eq(flight_pipe(F_), LEN);
	flight_acked(F_, 600, &N);
	ck_assert_uint_eq(N.delivered, 6 * LEN); /* nothing twice */
	ck_assert_uint_eq(F_->ranges.count, 0);
	flight_free(F_);
}
END_TEST

START_TEST(test_sack_ranges_are_bounded)
{
	make(40);
	for (unsigned i = 1; i < 40; i += 2)
		flight_sack(F_, i * LEN, (i + 1) * LEN, 4, &N);
	ck_assert_uint_eq(F_->ranges.count, 4);
	ck_assert_uint_eq(F_->sacked, 4);
	flight_free(F_);
}
END_TEST

START_TEST(test_lost_and_again)
{
	make(5);
	flight_lose(F_, 3);
	flight_lose(F_, 1);
	flight_lose(F_, 1);
	ck_assert_str_eq(out(), "0 2 4");
	ck_assert_uint_eq(flight_pipe(F_), 300);
	ck_assert_uint_eq(flight_lost(F_), 1);
	flight_again(F_, 1, 2000);
	ck_assert_uint_eq(flight_lost(F_), 3);
	flight_again(F_, 3, 2001);
	ck_assert_uint_eq(flight_lost(F_), FLIGHT_NONE);
	ck_assert_str_eq(out(), "0 2 4 1 3");
	flight_lose_all(F_);
	ck_assert_uint_eq(flight_lost(F_), 0);
	flight_found(F_);
	ck_assert_str_eq(out(), "0 2 4 1 3");
	flight_free(F_);
}
END_TEST

START_TEST(test_renege)
{
	make(4);
	flight_sack(F_, 100, 300, 9, &N);
	flight_renege(F_);
	ck_assert_uint_eq(flight_lost(F_), 1);
	ck_assert_uint_eq(F_->lost_bytes, 200);
	ck_assert_uint_eq(F_->sacked_bytes, 0);
	ck_assert(flight_sack(F_, 100, 300, 9, &N)); /* it may say so again */
	flight_free(F_);
}
END_TEST

/* RFC 8985 6.2, step 2: the one sent last among those delivered; a retransmission only when it cannot have been the original. */
START_TEST(test_rack_segment)
{
	make(4);
	flight_sack(F_, 200, 300, 9, &N);
	ck_assert_uint_eq(F_->rack_sent_us, 1002);
	ck_assert_uint_eq(F_->rack_rtt_us, 5000 - 1002);
	flight_lose(F_, 0);
	flight_again(F_, 0, 4990);
	N.min_rtt_us = 3000;
	flight_acked(F_, 100, &N); /* 10 us after it was sent again: the original */
	ck_assert_uint_eq(F_->rack_sent_us, 1002);
	flight_lose(F_, 1);
	flight_again(F_, 1, 5100);
	N.now_us = 9000;
	N.echoed = true;
	N.echo_ms = 4;
	flight_acked(F_, 200, &N); /* says that it is older */
	ck_assert_uint_eq(F_->rack_sent_us, 1002);
	flight_lose(F_, 3);
	flight_again(F_, 3, 5200);
	N.echo_ms = 5;
	flight_acked(F_, 400, &N);
	ck_assert_uint_eq(F_->rack_sent_us, 5200);
	flight_free(F_);
}
END_TEST

START_TEST(test_reordering)
{
	make(4);
	flight_sack(F_, 200, 300, 9, &N);
	ck_assert(!N.reordered);
	flight_lose(F_, 0);
	flight_again(F_, 0, 2000);
	flight_acked(F_, 100, &N);
	ck_assert(!N.reordered); /* sent again: that is no news */
	flight_acked(F_, 200, &N);
	ck_assert(N.reordered);
	flight_free(F_);
}
END_TEST

/* What is not SACKed is put together and cut anew. */
START_TEST(test_cut)
{
	make(6);
	flight_sack(F_, 300, 400, 9, &N);
	ck_assert_int_eq(flight_cut(F_, 70), 0);
	ck_assert_uint_eq(F_->tail - F_->head, 5 + 2 + 3); /* 300, 100, 200 */
	ck_assert_uint_eq(F_->sacked, 2);
	ck_assert_uint_eq(F_->lost_bytes, 500);
	ck_assert_uint_eq(flight_at(F_, 4)->len, 20);
	ck_assert_uint_eq(flight_at(F_, 5)->from, 300);
	ck_assert_str_eq(out(), "");
	flight_free(F_);
}
END_TEST

START_TEST(test_room)
{
	make(0);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_int_eq(flight_room(F_, 64), i < 64 ? 0 : -ENOSPC);
		if (i < 64)
			flight_push(F_, i * LEN, LEN, false, i);
	}
	ck_assert_uint_eq(F_->cap, 64);
	flight_free(F_);
}
END_TEST

/* A stream that never pauses uses its numbers up. */
START_TEST(test_numbers_begin_again)
{
	uint64_t off = 0;

	make(0);
	F_->head = F_->tail = F_->lost_from = 0xc0000000u - 20;
	for (unsigned i = 0; i < 100; i++, off += LEN) {
		ck_assert_int_eq(flight_room(F_, 64), 0);
		flight_push(F_, off, LEN, false, i);
		if (i >= 5)
			flight_acked(F_, off - 4 * LEN, &N);
		if (i % 3 == 0)
			flight_again(F_, F_->head, i);
	}
	ck_assert_uint_lt(F_->tail, 200);
	ck_assert_uint_eq(F_->bytes, 5 * LEN);
	flight_lose_all(F_);
	ck_assert_uint_eq(F_->lost_bytes, 5 * LEN);
	ck_assert_uint_eq(flight_lost(F_), F_->head);
	flight_free(F_);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_acked);
	tcase_add_test(tc, test_split);
	tcase_add_test(tc, test_sack);
	tcase_add_test(tc, test_sack_ranges_are_bounded);
	tcase_add_test(tc, test_lost_and_again);
	tcase_add_test(tc, test_renege);
	tcase_add_test(tc, test_rack_segment);
	tcase_add_test(tc, test_reordering);
	tcase_add_test(tc, test_cut);
	tcase_add_test(tc, test_room);
	tcase_add_test(tc, test_numbers_begin_again);
}

int main(void)
{
	return trace_main("flight", (void (*const[])(TCase *)){ add }, 1);
}
