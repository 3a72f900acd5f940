/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The misbehaving port: what it does, that a seed decides it, and that every frame is accounted for.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/nic/nic.h"

enum { PACKETS = 4096, FRAME = 100, RUN = 3000 };

static struct nic *bad, *good, *inner;

static void open_with(struct nic_fault f)
{
	struct nic *end[2];

	ck_assert_int_eq(nic_mem_pair(end, PACKETS, 1500), 0);
	inner = end[0];
	good = end[1];
	f.on = true;
	bad = nic_fault_open(end[0], &f);
	ck_assert_ptr_nonnull(bad);
}

static void close_all(void)
{
	nic_close(bad);
	nic_close(good);
}

static struct pkt *numbered(struct nic *n, uint32_t number)
{
	struct pkt *p = nic_alloc(n);

	ck_assert_ptr_nonnull(p);
	memset(p->data, 0, FRAME);
	memcpy(p->data, &number, 4);
	p->len = FRAME;
	return p;
}

static uint32_t number_of(const struct pkt *p)
{
	uint32_t n;

	memcpy(&n, p->data, 4);
	return n;
}

static void send_one(struct nic *n, uint32_t number, uint64_t now)
{
	struct pkt *p = numbered(n, number);

	ck_assert_uint_eq(nic_tx(n, 0, &p, 1, now), 1);
}

/* The number of the next frame that n has, or -1. */
static int64_t recv_one(struct nic *n, uint64_t now)
{
	struct pkt *p;
	uint32_t number;

	if (nic_rx(n, 0, &p, 1, now) == 0)
		return -1;
	ck_assert_uint_eq(p->len, FRAME);
	number = number_of(p);
	nic_free(p);
	return number;
}

/* Let time pass for frames under way out of bad. */
static void poke(uint64_t now)
{
	nic_tx(bad, 0, NULL, 0, now);
}

START_TEST(no_fault_changes_nothing)
{
	open_with((struct nic_fault){.seed = 1});
	for (uint32_t i = 0; i < 1000; i++) {
		send_one(bad, i, i);
		ck_assert_int_eq(recv_one(good, i), i);
		send_one(good, i, i);
		ck_assert_int_eq(recv_one(bad, i), i);
	}
	ck_assert_uint_eq(nic_next_us(bad, 0, 5000), UINT64_MAX);
	ck_assert_mem_eq(bad->mac, inner->mac, 6);
	close_all();
}
END_TEST

/* Send RUN frames, one a millisecond, and hash what comes out and when. */
static uint64_t run_hash(struct nic_fault f, uint64_t *counts)
{
	uint64_t hash = 14695981039346656037u;
	int64_t got;

	open_with(f);
	for (uint32_t i = 0; i < RUN + 100; i++) {
		if (i < RUN)
			send_one(bad, i, i * 1000ull);
		else
			poke(i * 1000ull);
		while ((got = recv_one(good, i * 1000ull)) >= 0)
			hash = ((hash ^ (uint64_t)got) * 1099511628211u ^ i) * 1099511628211u;
	}
	nic_counters(bad, counts);
	ck_assert_uint_eq(nic_mem_out(inner), 0);
	close_all();
	return hash;
}

static const struct nic_fault everything = {
	.loss = 0.05, .reorder = 0.1, .duplicate = 0.05, .corrupt = 0.02, .delay_us = 20000, .jitter_us = 3000, .seed = 42,
};

START_TEST(a_seed_decides)
{
	struct nic_fault f = everything;
	uint64_t a[NIC_CNT_MAX], b[NIC_CNT_MAX], first = run_hash(f, a);

	ck_assert_uint_eq(run_hash(f, b), first);
	ck_assert_mem_eq(a, b, sizeof(a));
	f.seed = 43;
	ck_assert_uint_ne(run_hash(f, b), first);
}
END_TEST

/* With a fixed seed these are numbers, not chances; the bounds only say that they are the right ones. */
START_TEST(rates_are_as_asked)
{
	uint64_t c[NIC_CNT_MAX];

	run_hash(everything, c);
	ck_assert_uint_gt(c[NIC_CNT_FAULT_LOST], RUN * 4 / 100);
	ck_assert_uint_lt(c[NIC_CNT_FAULT_LOST], RUN * 6 / 100);
	ck_assert_uint_gt(c[NIC_CNT_FAULT_DUPLICATED], RUN * 4 / 100);
	ck_assert_uint_lt(c[NIC_CNT_FAULT_DUPLICATED], RUN * 6 / 100);
	ck_assert_uint_gt(c[NIC_CNT_FAULT_CORRUPTED], RUN * 1 / 100);
	ck_assert_uint_lt(c[NIC_CNT_FAULT_CORRUPTED], RUN * 3 / 100);
	ck_assert_uint_gt(c[NIC_CNT_FAULT_REORDERED], RUN * 8 / 100);
	ck_assert_uint_lt(c[NIC_CNT_FAULT_REORDERED], RUN * 12 / 100);
	/* every frame came out, or is counted as lost */
	ck_assert_uint_eq(c[NIC_CNT_TX_FRAMES], RUN - c[NIC_CNT_FAULT_LOST] + c[NIC_CNT_FAULT_DUPLICATED]);
}
END_TEST

START_TEST(everything_may_be_lost)
{
	open_with((struct nic_fault){.loss = 1, .seed = 1});
	for (uint32_t i = 0; i < 100; i++) {
		send_one(bad, i, i);
		send_one(good, i, i);
	}
	ck_assert_int_eq(recv_one(good, 1000), -1);
	ck_assert_int_eq(recv_one(bad, 1000), -1);
	ck_assert_uint_eq(nic_mem_out(inner), 0);
	ck_assert_uint_eq(nic_mem_out(good), 99); /* received one at a time */
	close_all();
}
END_TEST

START_TEST(delay_both_ways)
{
	open_with((struct nic_fault){.delay_us = 500, .seed = 1});
	send_one(bad, 1, 1000);
	send_one(bad, 2, 1100);
	send_one(good, 3, 1200);
	ck_assert_int_eq(recv_one(good, 1499), -1);
	ck_assert_int_eq(recv_one(bad, 1200), -1); /* now it has seen frame 3 */
	ck_assert_uint_eq(nic_next_us(bad, 0, 1200), 1500);
	poke(1500);
	ck_assert_int_eq(recv_one(good, 1500), 1);
	ck_assert_int_eq(recv_one(good, 1500), -1);
	ck_assert_uint_eq(nic_next_us(bad, 0, 1500), 1600);
	ck_assert_int_eq(recv_one(bad, 1650), -1); /* a receive turn also sends what is due */
	ck_assert_int_eq(recv_one(good, 1650), 2);
	ck_assert_int_eq(recv_one(bad, 1700), 3);
	ck_assert_uint_eq(nic_next_us(bad, 0, 1700), UINT64_MAX);
	close_all();
}
END_TEST

START_TEST(delay_keeps_the_order)
{
	open_with((struct nic_fault){.delay_us = 20000, .seed = 1});
	for (uint32_t i = 0; i < 2000; i++)
		send_one(bad, i, 1000 + i / 100);
	poke(50000);
	for (uint32_t i = 0; i < 2000; i++)
		ck_assert_int_eq(recv_one(good, 50000), i);
	close_all();
}
END_TEST

START_TEST(reordered_frames_come_later_but_come)
{
	unsigned late = 0;
	int64_t got, max = -1;
	unsigned n = 0;

	open_with((struct nic_fault){.reorder = 0.2, .seed = 9});
	for (uint32_t i = 0; i < 1000; i++)
		send_one(bad, i, 1000 + i);
	poke(1000 + 1000 + 10000);
	for (; (got = recv_one(good, 20000)) >= 0; n++) {
		late += got < max;
		ck_assert_int_gt(got, max - 32);
		if (got > max)
			max = got;
	}
	ck_assert_uint_eq(n, 1000);
	ck_assert_uint_gt(late, 100);
	ck_assert_uint_lt(late, 300);
	close_all();
}
END_TEST

START_TEST(the_last_frame_is_not_held_for_ever)
{
	open_with((struct nic_fault){.reorder = 1, .seed = 9});
	send_one(bad, 1, 1000);
	ck_assert_int_eq(recv_one(good, 1000), -1);
	ck_assert_uint_eq(nic_next_us(bad, 0, 1000), 11000);
	poke(11000);
	ck_assert_int_eq(recv_one(good, 11000), 1);
	close_all();
}
END_TEST

START_TEST(duplicates_are_whole)
{
	open_with((struct nic_fault){.duplicate = 1, .seed = 9});
	send_one(bad, 77, 1);
	ck_assert_int_eq(recv_one(good, 1), 77);
	ck_assert_int_eq(recv_one(good, 1), 77);
	ck_assert_int_eq(recv_one(good, 1), -1);
	send_one(good, 78, 1);
	ck_assert_int_eq(recv_one(bad, 1), 78);
	ck_assert_int_eq(recv_one(bad, 1), 78);
	ck_assert_uint_eq(nic_mem_out(inner), 0);
	close_all();
}
END_TEST

START_TEST(corruption_is_one_bit)
{
	struct pkt *p;

	open_with((struct nic_fault){.corrupt = 1, .seed = 9});
	for (unsigned i = 0; i < 200; i++) {
		unsigned bits = 0;

		p = numbered(bad, 0);
		p->flags = PKT_L4_GOOD;
		nic_tx(bad, 0, &p, 1, i);
		ck_assert_uint_eq(nic_rx(good, 0, &p, 1, i), 1);
		for (unsigned k = 0; k < FRAME; k++)
			bits += (unsigned)__builtin_popcount(p->data[k]);
		ck_assert_uint_eq(bits, 1);
		nic_free(p);
	}
	close_all();
}
END_TEST

START_TEST(rate_limit)
{
	/* 8 Mbit/s: a microsecond a byte, 100 us a frame; ten frames fit into the queue */
	open_with((struct nic_fault){.rate_mbit = 8, .limit_bytes = 1000, .seed = 1});
	for (uint32_t i = 0; i < 20; i++)
		send_one(bad, i, 1000);
	for (uint32_t i = 0; i < 10; i++) {
		uint64_t at = 1000 + (i + 1) * 100;

		poke(at - 1);
		ck_assert_int_eq(recv_one(good, at - 1), -1);
		ck_assert_uint_eq(nic_next_us(bad, 0, at - 1), at);
		poke(at);
		ck_assert_int_eq(recv_one(good, at), i);
	}
	poke(100000);
	ck_assert_int_eq(recv_one(good, 100000), -1);
	ck_assert_uint_eq(nic_mem_out(inner), 0);
	close_all();
}
END_TEST

START_TEST(closing_frees_what_is_under_way)
{
	open_with((struct nic_fault){.delay_us = 1000000, .reorder = 0.5, .seed = 1});
	for (uint32_t i = 0; i < 100; i++) {
		send_one(bad, i, i);
		send_one(good, i, i);
		recv_one(bad, i);
	}
	ck_assert_uint_eq(nic_mem_out(inner), 100);
	ck_assert_uint_eq(nic_mem_out(good), 100);
	nic_close(bad);
	ck_assert_uint_eq(nic_mem_out(good), 0);
	nic_close(good);
}
END_TEST

START_TEST(frames_of_its_own_are_freed)
{
	struct pkt *p;

	open_with((struct nic_fault){.delay_us = 1, .seed = 1});
	p = nic_alloc(bad);
	ck_assert_ptr_eq(p->nic, bad);
	ck_assert_uint_eq(nic_mem_out(inner), 1);
	nic_free(p);
	ck_assert_uint_eq(nic_mem_out(inner), 0);
	close_all();
}
END_TEST

/* What a bridge sends came in by another port, which may be closed first. */
START_TEST(frames_of_another_port_are_dropped_in_time)
{
	struct nic *other[2];
	struct pkt *p;

	open_with((struct nic_fault){ .delay_us = 1000 });
	ck_assert_int_eq(nic_mem_pair(other, PACKETS, 1500), 0);
	p = numbered(other[0], 1);
	ck_assert_uint_eq(nic_tx(bad, 0, &p, 1, 0), 1);
	ck_assert_uint_ne(nic_next_us(bad, 0, 0), UINT64_MAX);
	nic_drop(other[0]);
	nic_drop(bad);
	ck_assert_uint_eq(nic_next_us(bad, 0, 0), UINT64_MAX);
	nic_close(other[0]);
	nic_close(other[1]);
	close_all();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nic_fault");
	TCase *c = tcase_create("nic_fault");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_test(c, no_fault_changes_nothing);
	tcase_add_test(c, a_seed_decides);
	tcase_add_test(c, rates_are_as_asked);
	tcase_add_test(c, everything_may_be_lost);
	tcase_add_test(c, delay_both_ways);
	tcase_add_test(c, delay_keeps_the_order);
	tcase_add_test(c, reordered_frames_come_later_but_come);
	tcase_add_test(c, the_last_frame_is_not_held_for_ever);
	tcase_add_test(c, duplicates_are_whole);
	tcase_add_test(c, corruption_is_one_bit);
	tcase_add_test(c, rate_limit);
	tcase_add_test(c, closing_frees_what_is_under_way);
	tcase_add_test(c, frames_of_its_own_are_freed);
	tcase_add_test(c, frames_of_another_port_are_dropped_in_time);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
