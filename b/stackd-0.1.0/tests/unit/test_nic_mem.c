/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The wire in memory, and the checksums that nic_tx() completes for it.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/nic/csum.h"
#include "stackd/nic/nic.h"

enum { PACKETS = 8 };

static struct nic *end[2];

static void setup(void)
{
	ck_assert_int_eq(nic_mem_pair(end, PACKETS, 1500), 0);
}

static void teardown(void)
{
	nic_close(end[0]);
	nic_close(end[1]);
}

static struct pkt *frame(struct nic *n, uint8_t mark, uint32_t len)
{
	struct pkt *p = nic_alloc(n);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_ge(p->room, len);
	memset(p->data, mark, len);
	p->len = len;
	return p;
}

START_TEST(arrives_in_order)
{
	struct pkt *p[4], *got[4];

	for (unsigned i = 0; i < 4; i++)
		p[i] = frame(end[0], (uint8_t)i, 60 + i);
	ck_assert_uint_eq(nic_tx(end[0], 0, p, 4, 5), 4);
	ck_assert_uint_eq(nic_rx(end[0], 0, got, 4, 5), 0);
	ck_assert_uint_eq(nic_rx(end[1], 0, got, 3, 5), 3);
	ck_assert_uint_eq(nic_rx(end[1], 0, got + 3, 4, 5), 1);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(got[i]->len, 60 + i);
		ck_assert_uint_eq(got[i]->data[59], i);
		ck_assert_ptr_eq(got[i]->nic, end[1]);
		nic_free(got[i]);
	}
	ck_assert_uint_eq(nic_mem_out(end[0]), 0);
}
END_TEST

START_TEST(buffers_are_bounded)
{
	struct pkt *p[PACKETS];

	for (unsigned i = 0; i < PACKETS; i++)
		p[i] = frame(end[0], 0, 60);
	ck_assert_ptr_null(nic_alloc(end[0]));
	ck_assert_uint_eq(nic_mem_out(end[0]), PACKETS);
	nic_free(p[0]);
	p[0] = nic_alloc(end[0]);
	ck_assert_ptr_nonnull(p[0]);
	for (unsigned i = 0; i < PACKETS; i++)
		nic_free(p[i]);
	ck_assert_uint_eq(nic_mem_out(end[0]), 0);
}
END_TEST

START_TEST(headroom_is_there)
{
	struct pkt *p = nic_alloc(end[0]);

	memset(p->data - PKT_HEADROOM, 1, PKT_HEADROOM);
	memset(p->data, 2, p->room);
	nic_free(p);
}
END_TEST

START_TEST(closed_end_takes_no_frames)
{
	struct pkt *p[2] = {frame(end[0], 1, 60), frame(end[0], 2, 60)}, *q;

	nic_tx(end[0], 0, p, 1, 0); /* never received */
	nic_close(end[1]);
	ck_assert_uint_eq(nic_tx(end[0], 0, p + 1, 1, 0), 0);
	ck_assert_uint_eq(nic_mem_out(end[0]), 0);
	q = frame(end[0], 3, 60);
	nic_close(end[0]);
	nic_free(q); /* later than its port */
	setup();
}
END_TEST

START_TEST(foreign_frames_are_copied)
{
	struct nic *other[2];
	struct pkt *p, *got;

	nic_mem_pair(other, 4, 1500);
	p = frame(other[0], 7, 100);
	ck_assert_uint_eq(nic_tx(end[0], 0, &p, 1, 0), 1);
	ck_assert_uint_eq(nic_rx(end[1], 0, &got, 1, 0), 1);
	ck_assert_uint_eq(got->data[99], 7);
	nic_free(got);
	nic_close(other[0]);
	nic_close(other[1]);
}
END_TEST

START_TEST(counts)
{
	struct pkt *p = frame(end[0], 0, 100), *got;
	uint64_t c[NIC_CNT_MAX];

	nic_tx(end[0], 0, &p, 1, 0);
	nic_rx(end[1], 0, &got, 1, 0);
	nic_free(got);
	nic_counters(end[0], c);
	ck_assert_uint_eq(c[NIC_CNT_TX_FRAMES], 1);
	ck_assert_uint_eq(c[NIC_CNT_TX_BYTES], 100);
	nic_counters(end[1], c);
	ck_assert_uint_eq(c[NIC_CNT_RX_FRAMES], 1);
	for (unsigned i = 0; i < NIC_CNT_MAX; i++)
		ck_assert_ptr_nonnull(nic_counter_name(i));
}
END_TEST

/* The plain definition of RFC 1071. */
static uint16_t slow_csum(const uint8_t *p, unsigned len)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

START_TEST(checksum_equals_the_definition)
{
	uint8_t data[300], out[2];
	uint16_t sum;

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(255 - i * i);
	for (unsigned off = 0; off < 3; off++) {
		for (unsigned len = 0; len < 290; len++) {
			sum = csum_finish(csum_add(0, data + off, len));
			memcpy(out, &sum, 2);
			ck_assert_uint_eq(out[0] << 8 | out[1], slow_csum(data + off, len));
		}
	}
}
END_TEST

START_TEST(long_sums_do_not_overflow)
{
	static uint8_t data[65536];
	uint64_t sum = 0;

	memset(data, 0xff, sizeof(data)); /* all ones add up to all ones, whatever their number */
	for (unsigned i = 0; i < 1000; i++)
		sum = csum_add(sum, data, sizeof(data));
	ck_assert_uint_eq(csum_finish(sum), 0);
	sum = csum_add(sum, "\0\1", 2);
	ck_assert_uint_eq(csum_finish(sum), csum_finish(csum_add(0, "\0\1", 2)));
}
END_TEST

START_TEST(flags_are_completed)
{
	struct pkt *p = frame(end[0], 0, 54 + 7), *got;
	uint8_t *ip = p->data + 14;
	uint16_t sum;

	p->l3_off = 14;
	p->l4_off = 34;
	ip[0] = 0x45;
	ip[3] = 47;
	ip[9] = 6;
	memcpy(ip + 12, "\x0a\0\0\1\x0a\0\0\2", 8);
	memset(ip + 20, 0x5a, 27);
	sum = csum_fold(csum_pseudo4(ip, 6, 27));
	memcpy(ip + 36, &sum, 2);
	p->flags = PKT_TX_IP_CSUM | PKT_TX_L4_CSUM;
	nic_tx(end[0], 0, &p, 1, 0);
	nic_rx(end[1], 0, &got, 1, 0);
	ck_assert_uint_eq(slow_csum(got->data + 14, 20), 0);
	ck_assert_uint_eq(csum_finish(csum_add(csum_pseudo4(got->data + 14, 6, 27), got->data + 34, 27)), 0);
	ck_assert_uint_eq(got->flags, 0);
	nic_free(got);
}
END_TEST

START_TEST(nonsense_flags_are_survived)
{
	struct pkt *p = frame(end[0], 0xff, 40), *got;

	p->l3_off = 14;
	p->l4_off = 34;
	p->flags = PKT_TX_IP_CSUM | PKT_TX_L4_CSUM;
	nic_tx(end[0], 0, &p, 1, 0);
	nic_rx(end[1], 0, &got, 1, 0);
	nic_free(got);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nic_mem");
	TCase *c = tcase_create("nic_mem");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, arrives_in_order);
	tcase_add_test(c, buffers_are_bounded);
	tcase_add_test(c, headroom_is_there);
	tcase_add_test(c, closed_end_takes_no_frames);
	tcase_add_test(c, foreign_frames_are_copied);
	tcase_add_test(c, counts);
	tcase_add_test(c, checksum_equals_the_definition);
	tcase_add_test(c, long_sums_do_not_overflow);
	tcase_add_test(c, flags_are_completed);
	tcase_add_test(c, nonsense_flags_are_survived);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
