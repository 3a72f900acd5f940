/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Two wires in memory, and a monitor between them that nobody watches by: a bridge passes everything on, a tap and a capture nothing.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/log.h"
#include "stackd/mon/mon.h"

enum { BUFFERS = 512, MTU = 1500, SMALL_MTU = 600, HUGE_MTU = 3000, LINK = 14, TAGS = 8 };

static struct nic *left[2], *right[2]; /* ours, the far end */
static struct mon *mon;
static struct stats stats;

static void order_done(void *arg, struct mon_order *o)
{
	(void)arg;
	(void)o;
}

static void lane_bad(void *arg, struct mon_lane *l)
{
	(void)arg;
	(void)l;
}

static void made(enum mon_port_mode mode, uint16_t left_mtu, uint16_t right_mtu)
{
	bool bridge = mode == MON_PORT_BRIDGE;
	struct mon_conf conf = {
		.max_flows = 64,
		.memory = 4 << 20,
		.buffer_max = 1 << 16,
		.log_bytes = 1 << 20,
		.frag_entries = 16,
		.frag_timeout_us = 1000000,
		.ports = 2,
		.order_done = order_done,
		.lane_bad = lane_bad,
	};

	log_open(LOG_LEVEL_ERR);
	memset(&stats, 0, sizeof(stats));
	ck_assert_int_eq(nic_mem_pair(left, BUFFERS, HUGE_MTU), 0);
	ck_assert_int_eq(nic_mem_pair(right, BUFFERS, HUGE_MTU), 0);
	left[0]->mtu = left_mtu;
	right[0]->mtu = right_mtu;
	conf.port[0].mode = conf.port[1].mode = mode;
	conf.port[0].peer = bridge ? 1 : -1;
	conf.port[1].peer = bridge ? 0 : -1;
	conf.port[0].nic = left[0];
	conf.port[1].nic = right[0];
	mon = mon_create(&conf, &stats);
	ck_assert_ptr_nonnull(mon);
}

/* Nothing is lost or kept. */
static void teardown(void)
{
	struct nic *end[] = { left[0], left[1], right[0], right[1] };
	struct pkt *p;

	mon_destroy(mon);
	for (unsigned i = 0; i < 4; i++) {
		while (end[i] != NULL && nic_rx(end[i], 0, &p, 1, 0) == 1)
			nic_free(p);
	}
	for (unsigned i = 0; i < 4; i++) {
		ck_assert(end[i] == NULL || nic_mem_out(end[i]) == 0);
		nic_close(end[i]);
	}
}

static void in(struct nic **wire, const uint8_t *data, uint32_t len)
{
	struct pkt *p = nic_alloc(wire[1]);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_le(len, p->room);
	memcpy(p->data, data, len);
	p->len = len;
	ck_assert_uint_eq(nic_tx(wire[1], 0, &p, 1, 0), 1);
}

/* One turn of an engine. */
static void turn(void)
{
	struct pkt *pkts[NET_BURST];
	unsigned n;

	for (unsigned port = 0; port < 2; port++) {
		n = nic_rx(port == 0 ? left[0] : right[0], 0, pkts, NET_BURST, 0);
		for (unsigned i = 0; i < n; i++)
			pkts[i]->port = (uint8_t)port;
		mon_in(mon, pkts, n, 1);
	}
	mon_settle(mon, 1);
	mon_flush(mon, 1);
}

/* The far end gets just this. */
static void expect(struct nic **wire, const uint8_t *data, uint32_t len)
{
	struct pkt *p = NULL;

	ck_assert_uint_eq(nic_rx(wire[1], 0, &p, 1, 0), 1);
	ck_assert_uint_eq(p->len, len);
	ck_assert_mem_eq(p->data, data, len);
	nic_free(p);
}

static void expect_nothing(void)
{
	struct pkt *p = NULL;

	ck_assert_uint_eq(nic_rx(left[1], 0, &p, 1, 0), 0);
	ck_assert_uint_eq(nic_rx(right[1], 0, &p, 1, 0), 0);
}

static uint8_t frame[HUGE_MTU];

static void fill(uint32_t mark)
{
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(mark * 31 + i * 7);
}

START_TEST(all_lengths_pass_unchanged)
{
	made(MON_PORT_BRIDGE, MTU, MTU);
	for (uint32_t len = 1; len <= MTU + LINK + TAGS; len += len < 80 ? 1 : 13) {
		fill(len);
		in(left, frame, len);
		turn();
		expect(right, frame, len);
		in(right, frame, len);
		turn();
		expect(left, frame, len);
	}
	expect_nothing();
}
END_TEST

/* More than a burst at once, both ways. */
START_TEST(order_is_kept)
{
	made(MON_PORT_BRIDGE, MTU, MTU);
	for (uint32_t i = 0; i < 3 * NET_BURST; i++) {
		fill(i);
		in(left, frame, 60 + i);
		in(right, frame, 61 + i);
	}
	for (unsigned i = 0; i < 3; i++)
		turn();
	for (uint32_t i = 0; i < 3 * NET_BURST; i++) {
		fill(i);
		expect(right, frame, 60 + i);
		expect(left, frame, 61 + i);
	}
	expect_nothing();
	ck_assert_uint_eq(stats.n[CNT_MON_FORWARDED], 6 * NET_BURST);
}
END_TEST

START_TEST(too_long_for_the_other_side)
{
	made(MON_PORT_BRIDGE, HUGE_MTU, SMALL_MTU);
	fill(1);
	in(left, frame, SMALL_MTU + LINK + TAGS + 1);
	in(left, frame, SMALL_MTU + LINK + TAGS);
	in(right, frame, SMALL_MTU + LINK + TAGS + 1); /* for the side where it has room */
	turn();
	expect(right, frame, SMALL_MTU + LINK + TAGS);
	expect(left, frame, SMALL_MTU + LINK + TAGS + 1);
	expect_nothing();
	ck_assert_uint_eq(stats.n[CNT_MON_TOO_LONG], 1);
	ck_assert_uint_eq(stats.n[CNT_MON_FORWARDED], 2);
}
END_TEST

/* The other side's port has gone deaf: frames are not kept. */
START_TEST(a_port_that_takes_nothing)
{
	made(MON_PORT_BRIDGE, MTU, MTU);
	nic_close(right[1]);
	right[1] = NULL;
	fill(1);
	in(left, frame, 60);
	turn();
	ck_assert_uint_eq(nic_mem_out(left[1]), 0);
	ck_assert_uint_eq(stats.n[CNT_MON_FORWARDED], 0);
}
END_TEST

static void goes_nowhere(enum mon_port_mode mode)
{
	made(mode, MTU, MTU);
	for (uint32_t i = 0; i < 2 * NET_BURST; i++) {
		fill(i);
		in(i % 2 == 0 ? left : right, frame, 60 + i);
	}
	turn();
	turn();
	expect_nothing();
	ck_assert_uint_eq(nic_mem_out(left[1]), 0);
	ck_assert_uint_eq(nic_mem_out(right[1]), 0);
	ck_assert_uint_eq(stats.n[CNT_MON_FORWARDED], 0);
}

START_TEST(a_tap_is_silent)
{
	goes_nowhere(MON_PORT_TAP);
}
END_TEST

START_TEST(a_replay_is_silent)
{
	goes_nowhere(MON_PORT_REPLAY);
}
END_TEST

/* What has not been sent yet goes with the monitor. */
START_TEST(the_end_with_frames_queued)
{
	struct pkt *p;

	made(MON_PORT_BRIDGE, MTU, MTU);
	fill(1);
	in(left, frame, 60);
	ck_assert_uint_eq(nic_rx(left[0], 0, &p, 1, 0), 1);
	p->port = 0;
	mon_in(mon, &p, 1, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bridge");
	TCase *c = tcase_create("bridge");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, all_lengths_pass_unchanged);
	tcase_add_test(c, order_is_kept);
	tcase_add_test(c, too_long_for_the_other_side);
	tcase_add_test(c, a_port_that_takes_nothing);
	tcase_add_test(c, a_tap_is_silent);
	tcase_add_test(c, a_replay_is_silent);
	tcase_add_test(c, the_end_with_frames_queued);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
