/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One flow as its packets show it: traces of segments, and after each the states, the events, and what is to be stored where.
 * The client's ISN is 100, the server's 500.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/flow.h"
#include "stackd/tcp/seg.h"

enum { C = MON_CLI, S = MON_SVR, NONE = MON_STATE_NONE, WINDOW = 65535, FAR = 1 << 30 };

static struct mon_table table;
static struct mon_flow *flow;
static struct mon_did sent, came; /* of the last segment */
static uint16_t window;           /* of the segments to come */
static int shift;                 /* of the SYNs to come; -1: no option */
static const char *at;

static void setup(void)
{
	ck_assert_int_eq(mon_table_init(&table, 4), 0);
	flow = mon_flow_new(&table);
	window = WINDOW;
	shift = -1;
}

static void teardown(void)
{
	mon_flow_free(&table, flow);
	ck_assert_uint_eq(table.ranges, 0);
	mon_table_fini(&table);
}

static uint8_t flags_of(const char *s)
{
	static const char names[] = "FSRPAU";
	unsigned flags = 0;

	for (; *s != '\0'; s++)
		flags |= 1u << (strchr(names, *s) - names);
	return (uint8_t)flags;
}

static struct mon_seg segment(const char *flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct mon_seg s = { .kind = MON_SEG_TCP, .flags = flags_of(flags), .seq = seq, .ack = ack, .wnd = window,
			     .text_len = (uint16_t)len, .wire_text = len };

	if (shift >= 0 && (s.flags & SEG_SYN) != 0) {
		s.has_ws = true;
		s.shift = (uint8_t)shift;
	}
	return s;
}

/* As sent; it may never arrive. */
static struct mon_seg sends(unsigned side, const char *flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct mon_seg s = segment(flags, seq, ack, len);

	at = flags;
	memset(&sent, 0, sizeof(sent));
	mon_half_snd(&flow->half[side], &s, &sent);
	return s;
}

static void arrives(unsigned side, const struct mon_seg *s)
{
	came = (struct mon_did){ .at = UINT64_MAX };
	mon_half_rcv(&flow->half[side], s, &came);
	if (sent.end || came.end)
		flow->ending = true;
}

static void seg(unsigned side, const char *flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct mon_seg s = sends(side, flags, seq, ack, len);

	arrives(1 - side, &s);
}

static void is(unsigned client, unsigned server)
{
	ck_assert_msg(flow->half[C].state == client && flow->half[S].state == server, "after %s: %s, %s; wanted %s, %s", at,
		      mon_state_name(flow->half[C].state), mon_state_name(flow->half[S].state), mon_state_name(client),
		      mon_state_name(server));
}

static void events(unsigned snd, unsigned rcv)
{
	ck_assert_msg(sent.events == snd && came.events == rcv, "after %s: events 0x%x, 0x%x; wanted 0x%x, 0x%x", at, sent.events,
		      came.events, snd, rcv);
}

/* What of the payload is to be stored: the bytes behind the first `skip`, at stream offset `off`. */
static void stores(uint64_t off, uint32_t skip, uint32_t len)
{
	ck_assert_msg(came.len == len && (len == 0 || (came.off == off && came.skip == skip)),
		      "after %s: stores %u at %lu, behind %u; wanted %u at %lu, behind %u", at, came.len, (unsigned long)came.off,
		      came.skip, len, (unsigned long)off, skip);
}

/* The stream that a side receives: its in-order end, and the bytes missed before that. */
static void stream(unsigned side, uint64_t next, uint64_t missed)
{
	const struct mon_half *h = &flow->half[side];

	ck_assert_msg(h->next == next && h->missed == missed, "after %s: next %lu, missed %lu; wanted %lu, %lu", at,
		      (unsigned long)h->next, (unsigned long)h->missed, (unsigned long)next, (unsigned long)missed);
}

static void established(void)
{
	seg(C, "S", 100, 0, 0);
	seg(S, "SA", 500, 101, 0);
	seg(C, "A", 101, 501, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
}

static void from_middle(unsigned side, const char *flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct mon_seg s = segment(flags, seq, ack, len);

	ck_assert_uint_eq(mon_half_pickup(flow, &s), side);
	seg(side, flags, seq, ack, len);
}

/* --- Opening --------------------------------------------------------------------------------------------------------------- */

START_TEST(open_client_first)
{
	struct mon_seg s = sends(C, "S", 100, 0, 0);

	is(MON_SYN_SENT, NONE); /* the server's side does not exist yet when the client's monitors look */
	arrives(S, &s);
	is(MON_SYN_SENT, MON_SYN_RCVD);
	events(MON_CONN_START | MON_STATE_CHANGE, MON_CONN_START | MON_STATE_CHANGE);
	s = sends(S, "SA", 500, 101, 0);
	is(MON_SYN_SENT, MON_SYN_RCVD);
	arrives(C, &s);
	is(MON_ESTABLISHED, MON_SYN_RCVD);
	events(0, MON_STATE_CHANGE);
	s = sends(C, "A", 101, 501, 0);
	is(MON_ESTABLISHED, MON_SYN_RCVD);
	arrives(S, &s);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	events(0, MON_STATE_CHANGE);
}
END_TEST

START_TEST(open_repeated_segments_start_nothing_again)
{
	seg(C, "S", 100, 0, 0);
	seg(C, "S", 100, 0, 0);
	events(MON_REXMIT, MON_REXMIT);
	is(MON_SYN_SENT, MON_SYN_RCVD);
	seg(S, "SA", 500, 101, 0);
	seg(S, "SA", 500, 101, 0);
	events(MON_REXMIT, MON_REXMIT);
	is(MON_ESTABLISHED, MON_SYN_RCVD);
	seg(C, "A", 101, 501, 0);
	seg(C, "S", 100, 0, 0);
	events(MON_REXMIT, MON_REXMIT);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
}
END_TEST

START_TEST(open_another_isn_before_the_answer)
{
	seg(C, "S", 100, 0, 7);
	stream(S, 7, 0);
	seg(C, "S", 9000, 0, 0);
	events(0, 0); /* no retransmission; and anybody can forge it */
	ck_assert(!sent.reset);
	seg(S, "SA", 500, 9001, 0); /* the server had it */
	ck_assert_uint_eq(sent.anew, 1u << S);
	stream(S, 0, 0);
	is(MON_ESTABLISHED, MON_SYN_RCVD);
	seg(C, "A", 9001, 501, 0);
	seg(C, "PA", 9001, 501, 5);
	stores(0, 0, 5);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(C, "S", 9000, 0, 0);
	events(MON_REXMIT, 0);
}
END_TEST

START_TEST(open_another_isn_that_nobody_answers)
{
	seg(C, "S", 100, 0, 0);
	seg(C, "S", 9000, 0, 0);
	seg(S, "SA", 500, 101, 0);
	ck_assert_uint_eq(sent.anew, 0);
	seg(C, "PA", 101, 501, 5);
	stores(0, 0, 5);
}
END_TEST

START_TEST(open_another_isn_offers_its_own_scaling)
{
	window = 10;
	seg(C, "S", 100, 0, 0);
	shift = 4;
	seg(C, "S", 9000, 0, 0);
	seg(S, "SA", 500, 9001, 0);
	seg(C, "A", 9001, 501, 0); /* 160 bytes */
	seg(S, "PA", 501, 9001, 100);
	stores(0, 0, 100);
	ck_assert(!came.outside);
}
END_TEST

START_TEST(open_forged_syn_on_a_flow_from_the_middle)
{
	from_middle(C, "PA", 1000, 2000, 20);
	seg(C, "S", 1009, 0, 0);       /* of somebody else's making */
	seg(S, "A", 2000, 1010, 0);    /* and this happens to fit */
	ck_assert_uint_eq(sent.anew, 0);
	seg(C, "PA", 1020, 2000, 5);
	stores(20, 0, 5);
	stream(S, 25, 0);
}
END_TEST

START_TEST(open_at_the_same_time)
{
	seg(C, "S", 100, 0, 0);
	seg(S, "S", 500, 0, 0);
	is(MON_SYN_RCVD, MON_SYN_RCVD);
	events(0, MON_STATE_CHANGE);
	seg(C, "SA", 100, 501, 0);
	is(MON_SYN_RCVD, MON_ESTABLISHED);
	seg(S, "SA", 500, 101, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(C, "PA", 101, 501, 3);
	stores(0, 0, 3);
	seg(S, "PA", 501, 104, 4);
	stores(0, 0, 4);
}
END_TEST

START_TEST(open_at_the_same_time_and_one_syn_is_missed)
{
	seg(C, "S", 100, 0, 0);
	seg(C, "SA", 100, 501, 0); /* so it has got one */
	is(MON_SYN_RCVD, MON_ESTABLISHED);
}
END_TEST

START_TEST(open_syn_ack_missed)
{
	seg(C, "S", 100, 0, 0);
	seg(C, "A", 101, 501, 0); /* tells the server's ISN */
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(S, "PA", 504, 101, 2);
	stores(3, 0, 2);
	stream(C, 0, 0);
	seg(S, "PA", 501, 101, 3);
	stream(C, 5, 0);
}
END_TEST

START_TEST(open_text_overtakes_the_syn_ack)
{
	seg(C, "S", 100, 0, 0);
	seg(S, "PA", 501, 101, 4);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	stores(0, 0, 4);
	shift = 3;
	seg(S, "SA", 500, 101, 0);
	events(0, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	ck_assert_int_ne(flow->half[S].flags & HALF_WS, 0);
	seg(S, "PA", 505, 101, 4);
	stores(4, 0, 4);
}
END_TEST

START_TEST(open_with_text)
{
	seg(C, "S", 100, 0, 10);
	ck_assert_uint_eq(came.at, 0);
	stores(0, 0, 10);
	seg(C, "S", 100, 0, 10);
	ck_assert(came.rexmit_text);
	stores(10, 10, 0);
	seg(S, "SA", 500, 111, 4);
	stores(0, 0, 4);
	seg(C, "PA", 111, 505, 5);
	stores(10, 0, 5);
}
END_TEST

START_TEST(open_syn_ack_for_something_else)
{
	seg(C, "S", 100, 0, 0);
	seg(S, "SA", 500, 777, 0);
	events(0, 0);
	is(MON_SYN_SENT, MON_SYN_RCVD);
}
END_TEST

START_TEST(open_again_after_the_end)
{
	established();
	seg(C, "FA", 101, 501, 0);
	seg(S, "FA", 501, 102, 0);
	seg(C, "A", 102, 502, 0);
	seg(C, "S", 100, 0, 0);
	ck_assert(!sent.reset); /* a straggler */
	seg(C, "S", 7000, 0, 0);
	ck_assert(sent.reset);
}
END_TEST

START_TEST(open_again_by_a_host_that_forgot)
{
	established();
	seg(C, "PA", 101, 501, 5);
	seg(C, "S", 7000, 0, 0); /* restarted */
	ck_assert(!sent.reset);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	sends(S, "SA", 900, 7001, 0); /* and so was the server */
	ck_assert(sent.reset);
}
END_TEST

/* --- Payload ---------------------------------------------------------------------------------------------------------------- */

START_TEST(text_in_order)
{
	established();
	seg(C, "PA", 101, 501, 10);
	ck_assert_uint_eq(came.at, 0);
	events(0, MON_NEW_DATA);
	stores(0, 0, 10);
	seg(C, "PA", 111, 501, 10);
	stores(10, 0, 10);
	stream(S, 20, 0);
	stream(C, 0, 0);
}
END_TEST

START_TEST(text_sent_does_not_come_before_it_arrives)
{
	established();
	sends(C, "PA", 101, 501, 10);
	stream(S, 0, 0);
	seg(C, "PA", 101, 501, 10); /* the first was dropped: this is not a repetition */
	events(0, MON_NEW_DATA);
	stores(0, 0, 10);
}
END_TEST

START_TEST(text_out_of_order)
{
	established();
	seg(C, "PA", 111, 501, 10);
	events(0, 0);
	stores(10, 0, 10);
	stream(S, 0, 0);
	ck_assert_uint_eq(table.ranges, 1);
	seg(C, "PA", 131, 501, 10);
	ck_assert_uint_eq(table.ranges, 2);
	seg(C, "PA", 101, 501, 10);
	events(0, MON_NEW_DATA);
	stores(0, 0, 10);
	stream(S, 20, 0);
	ck_assert_uint_eq(table.ranges, 1);
	seg(C, "PA", 121, 501, 10);
	stream(S, 40, 0);
	ck_assert_uint_eq(table.ranges, 0);
}
END_TEST

START_TEST(text_again)
{
	established();
	seg(C, "PA", 101, 501, 10);
	seg(C, "PA", 101, 501, 10);
	events(MON_REXMIT, 0);
	ck_assert(came.rexmit_text);
	stores(10, 10, 0);
	seg(C, "PA", 106, 501, 10); /* half of it new */
	events(MON_REXMIT, MON_NEW_DATA);
	stores(10, 5, 5);
	seg(C, "PA", 121, 501, 5); /* behind a hole */
	seg(C, "PA", 121, 501, 5);
	events(MON_REXMIT, 0);
	seg(C, "PA", 116, 501, 5); /* the hole itself was never seen */
	events(0, MON_NEW_DATA);
	stream(S, 25, 0);
}
END_TEST

START_TEST(text_again_long_after)
{
	established();
	seg(S, "A", 501, 101, 0);
	for (uint32_t i = 0; i < 100; i++) {
		seg(C, "PA", 101 + i * 60000, 501, 60000);
		seg(S, "A", 501, 101 + (i + 1) * 60000, 0);
	}
	seg(C, "PA", 101, 501, 100); /* however little is buffered */
	events(MON_REXMIT, 0);
	stores(0, 0, 0);
}
END_TEST

START_TEST(keep_alives_are_not_retransmissions)
{
	established();
	seg(C, "PA", 101, 501, 10);
	seg(S, "A", 501, 111, 0);
	seg(C, "A", 110, 501, 1);
	events(0, 0);
	ck_assert(!came.rexmit_text);
	stores(0, 0, 0);
	seg(C, "A", 110, 501, 0);
	events(0, 0);
	seg(C, "PA", 109, 501, 2);
	events(MON_REXMIT, 0);
}
END_TEST

START_TEST(window_s_edge)
{
	window = 15;
	established();
	seg(S, "A", 501, 101, 0);
	seg(C, "PA", 101, 501, 20);
	ck_assert(came.outside);
	events(0, MON_NEW_DATA);
	stores(0, 0, 15);
	seg(C, "PA", 116, 501, 5);
	ck_assert(came.outside);
	events(MON_REXMIT, MON_ERROR); /* it has been sent before, taken or not */
	stores(0, 0, 0);
	seg(S, "A", 501, 116, 0);
	seg(C, "PA", 116, 501, 5);
	ck_assert(!came.outside);
	events(MON_REXMIT, MON_NEW_DATA);
	stores(15, 0, 5);
	seg(C, "PA", 121, 501, 5);
	events(0, MON_NEW_DATA);
	ck_assert_uint_eq(table.ranges, 0);
}
END_TEST

START_TEST(window_probes_are_not_sent_again)
{
	established();
	window = 0;
	seg(S, "A", 501, 101, 0);
	for (unsigned i = 0; i < 2; i++) {
		seg(C, "A", 101, 501, 1);
		events(0, MON_ERROR);
	}
	window = 10;
	seg(S, "A", 501, 101, 0);
	seg(C, "PA", 101, 501, 5);
	events(0, MON_NEW_DATA);
}
END_TEST

START_TEST(text_from_before_an_unknown_start)
{
	from_middle(C, "PA", 1000, 2000, 20);
	seg(C, "PA", 990, 2000, 5);
	events(0, 0);
	stores(0, 0, 0);
	seg(C, "PA", 990, 2000, 5);
	events(MON_REXMIT, 0);
	seg(C, "PA", 995, 2000, 8);
	events(MON_REXMIT, 0);
	stream(S, 20, 0);
}
END_TEST

START_TEST(window_scaled_only_when_both_say_so)
{
	window = 10;
	shift = 5;
	seg(C, "S", 100, 0, 0);
	shift = _i == 0 ? 5 : -1;
	seg(S, "SA", 500, 101, 0); /* its own window is not scaled */
	seg(C, "PA", 101, 501, 20);
	ck_assert(came.outside);
	stores(0, 0, 10);
	seg(S, "A", 501, 111, 0);
	seg(C, "PA", 111, 501, 100);
	ck_assert_int_eq(came.outside, _i == 1);
	stores(10, 0, _i == 0 ? 100 : 10);
}
END_TEST

START_TEST(window_of_a_flow_from_the_middle_is_not_known)
{
	window = 10;
	from_middle(C, "PA", 1000, 2000, 20);
	stores(0, 0, 20);
	seg(S, "A", 2000, 1020, 0);
	seg(C, "PA", 1020, 2000, 500);
	ck_assert(!came.outside);
	stores(20, 0, 500);
}
END_TEST

START_TEST(window_probe_that_is_taken)
{
	struct mon_did did = { 0 };

	window = 10;
	established();
	seg(S, "A", 501, 101, 0);
	seg(C, "PA", 101, 501, 10);
	window = 0;
	seg(S, "A", 501, 111, 0);
	seg(C, "PA", 111, 501, 3);
	events(0, MON_ERROR);
	stores(0, 0, 0);
	seg(S, "A", 501, 114, 0); /* the receiver had room after all */
	stream(S, 10, 0);
	ck_assert(mon_half_taken(&flow->half[S], 10, 3, false, &did));
	ck_assert_uint_eq(did.off, 10);
	ck_assert_uint_eq(did.len, 3);
	stream(S, 13, 0);
}
END_TEST

START_TEST(window_beyond_which_lies_a_fin_that_is_taken)
{
	struct mon_did did = { 0 };
	struct mon_seg s;

	window = 10;
	established();
	seg(S, "A", 501, 101, 0);
	seg(C, "PA", 101, 501, 10);
	window = 0;
	seg(S, "A", 501, 111, 0);
	seg(C, "FA", 111, 501, 3);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	s = sends(S, "A", 501, 115, 0);
	ck_assert(mon_half_taken(&flow->half[S], 10, 3, true, &did));
	is(MON_FIN_WAIT_1, MON_CLOSE_WAIT);
	arrives(C, &s);
	is(MON_FIN_WAIT_2, MON_CLOSE_WAIT);
	ck_assert_uint_eq(came.events, MON_STATE_CHANGE);
	seg(S, "FA", 501, 115, 0);
	is(MON_TIME_WAIT, MON_LAST_ACK);
}
END_TEST

START_TEST(far_away_is_nothing)
{
	established();
	seg(C, "PA", 101u + FAR, 501, 10);
	events(0, 0);
	stores(0, 0, 0);
	seg(C, "FA", 101u - FAR, 501, 10);
	stores(0, 0, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(C, "PA", 101, 501u + FAR, 10); /* the text counts, what it acknowledges does not */
	stores(0, 0, 10);
	stream(C, 0, 0);
}
END_TEST

START_TEST(hole_skipped_when_the_receiver_has_it)
{
	established();
	seg(C, "PA", 101, 501, 10);
	seg(C, "PA", 121, 501, 10); /* [10, 20) we have never seen */
	stream(S, 10, 0);
	seg(S, "A", 501, 111, 0);
	stream(S, 10, 0);
	seg(S, "A", 501, 116, 0); /* a part of it */
	stream(S, 10, 0);
	seg(S, "A", 501, 131, 0);
	ck_assert_int_ne(sent.events & ~MON_NEW_DATA, MON_ERROR);
	stream(S, 30, 10);
	seg(C, "PA", 111, 501, 5); /* too late, but never seen before */
	events(0, 0);
	stores(0, 0, 0);
	seg(C, "PA", 114, 501, 3); /* now it has been */
	events(MON_REXMIT, 0);
	seg(C, "PA", 117, 501, 4);
	events(0, 0);
	seg(C, "PA", 111, 501, 10);
	events(MON_REXMIT, 0);
	stream(S, 30, 10);
	ck_assert_uint_eq(table.ranges, 0);
}
END_TEST

START_TEST(hole_acknowledged_before_we_see_what_is_behind)
{
	established();
	seg(S, "A", 501, 121, 0); /* [0, 20) */
	stream(S, 0, 0);
	seg(C, "PA", 121, 501, 5);
	stores(20, 0, 5);
	seg(S, "A", 501, 121, 0); /* of the hole alone: what fills it may still come */
	stream(S, 0, 0);
	seg(S, "A", 501, 126, 0);
	stream(S, 25, 20);
}
END_TEST

START_TEST(hole_and_reordering)
{
	established();
	seg(S, "A", 501, 121, 0); /* overtakes what it acknowledges */
	seg(C, "PA", 101, 501, 20);
	events(0, MON_NEW_DATA);
	stream(S, 20, 0);
}
END_TEST

START_TEST(hole_at_the_end_of_the_flow)
{
	established();
	seg(C, "PA", 111, 501, 10);
	seg(S, "PA", 501, 101, 5);
	seg(C, "A", 121, 520, 0); /* [5, 19), the last of which may have been a FIN */
	ck_assert_uint_eq(mon_half_end(flow), 3);
	is(MON_CLOSED, MON_CLOSED);
	stream(S, 20, 10);
	stream(C, 18, 13);
	ck_assert_uint_eq(mon_half_end(flow), 0);
	stream(S, 20, 10);
}
END_TEST

START_TEST(ranges_are_bounded)
{
	unsigned kept = 0;

	established();
	for (uint32_t i = 0; i < 5000; i++) {
		seg(C, "PA", 103 + 2 * i, 501, 1);
		kept += came.len;
	}
	ck_assert_uint_eq(kept, 4096);
	ck_assert_uint_eq(table.ranges, 4096);
	seg(C, "PA", 101, 501, 2); /* the stream goes on */
	stream(S, 3, 0);
	seg(S, "A", 501, 103 + 2 * 5000, 0);
	stream(S, 2 + 2 * 4095 + 1, 4095);
	ck_assert_uint_eq(table.ranges, 256); /* of the holes that were skipped */
}
END_TEST

START_TEST(ranges_of_all_streams_are_bounded)
{
	established();
	table.ranges = 1 << 20;
	for (uint32_t i = 0; i < 100; i++)
		seg(C, "PA", 103 + 2 * i, 501, 1);
	ck_assert_uint_eq(table.ranges, (1 << 20) + 16);
	table.ranges = 16;
}
END_TEST

START_TEST(sequence_numbers_wrap)
{
	uint32_t c = 0xfffffff0, s = 0xfffffffe;

	seg(C, "S", c, 0, 0);
	seg(S, "SA", s, c + 1, 0);
	seg(C, "A", c + 1, s + 1, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(C, "PA", c + 21, s + 1, 20);
	stores(20, 0, 20);
	seg(C, "PA", c + 1, s + 1, 20);
	stream(S, 40, 0);
	seg(C, "PA", c + 11, s + 1, 10);
	events(MON_REXMIT, 0);
	seg(S, "FA", s + 1, c + 41, 0);
	seg(C, "FA", c + 41, s + 2, 0);
	seg(S, "A", s + 2, c + 42, 0);
	is(MON_CLOSED, MON_TIME_WAIT);
}
END_TEST

START_TEST(offsets_beyond_32_bits)
{
	uint64_t off = 0;

	established();
	for (unsigned i = 0; i < 70000; i++, off += 65535) {
		seg(C, "PA", 101 + (uint32_t)off, 501, 65535);
		ck_assert_uint_eq(came.off, off);
		seg(S, "A", 501, 101 + (uint32_t)off + 65535, 0);
	}
	ck_assert_uint_gt(off, (uint64_t)1 << 32);
	stream(S, off, 0);
}
END_TEST

START_TEST(no_ack_no_text)
{
	established();
	seg(C, "P", 101, 0, 10);
	events(0, 0);
	stores(0, 0, 0);
	seg(C, "F", 101, 0, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	ck_assert_uint_eq(flow->half[C].pkts, 4);
}
END_TEST

/* --- Closing ----------------------------------------------------------------------------------------------------------------- */

START_TEST(close_client_first)
{
	struct mon_seg s;

	established();
	s = sends(C, "FA", 101, 501, 0);
	is(MON_FIN_WAIT_1, MON_ESTABLISHED);
	arrives(S, &s);
	is(MON_FIN_WAIT_1, MON_CLOSE_WAIT);
	events(MON_STATE_CHANGE, MON_STATE_CHANGE | MON_NEW_DATA);
	seg(S, "A", 501, 102, 0);
	is(MON_FIN_WAIT_2, MON_CLOSE_WAIT);
	events(0, MON_STATE_CHANGE);
	seg(S, "PA", 501, 102, 10); /* half-closed */
	stores(0, 0, 10);
	s = sends(S, "FA", 511, 102, 0);
	is(MON_FIN_WAIT_2, MON_LAST_ACK);
	arrives(C, &s);
	is(MON_TIME_WAIT, MON_LAST_ACK);
	ck_assert(!came.end);
	seg(C, "A", 102, 512, 0);
	is(MON_TIME_WAIT, MON_CLOSED);
	events(0, MON_STATE_CHANGE);
	ck_assert(came.end);
}
END_TEST

START_TEST(close_server_first_with_text)
{
	established();
	seg(S, "FPA", 501, 101, 7);
	stores(0, 0, 7);
	is(MON_CLOSE_WAIT, MON_FIN_WAIT_1);
	seg(C, "FA", 101, 509, 0); /* its acknowledgement and its FIN in one */
	is(MON_LAST_ACK, MON_TIME_WAIT);
	seg(S, "A", 509, 102, 0);
	is(MON_CLOSED, MON_TIME_WAIT);
	ck_assert(came.end);
}
END_TEST

START_TEST(close_at_the_same_time)
{
	struct mon_seg a, b;

	established();
	a = sends(C, "FA", 101, 501, 0);
	b = sends(S, "FA", 501, 101, 0);
	is(MON_FIN_WAIT_1, MON_FIN_WAIT_1);
	arrives(S, &a);
	is(MON_FIN_WAIT_1, MON_CLOSING);
	arrives(C, &b);
	is(MON_CLOSING, MON_CLOSING);
	seg(C, "A", 102, 502, 0);
	is(MON_CLOSING, MON_TIME_WAIT);
	seg(S, "A", 502, 102, 0);
	is(MON_TIME_WAIT, MON_TIME_WAIT);
	ck_assert(came.end);
}
END_TEST

START_TEST(close_fin_before_its_text)
{
	established();
	seg(C, "FA", 111, 501, 0);
	is(MON_FIN_WAIT_1, MON_ESTABLISHED);
	events(MON_STATE_CHANGE, 0);
	seg(C, "PA", 101, 501, 10);
	is(MON_FIN_WAIT_1, MON_CLOSE_WAIT);
	events(0, MON_STATE_CHANGE | MON_NEW_DATA);
	stream(S, 10, 0);
}
END_TEST

START_TEST(close_fin_behind_a_hole_that_is_acknowledged)
{
	established();
	seg(C, "FA", 111, 501, 0);
	seg(S, "A", 501, 112, 0);
	stream(S, 10, 10);
	is(MON_FIN_WAIT_2, MON_CLOSE_WAIT);
}
END_TEST

START_TEST(close_answer_seen_before_the_fin)
{
	established();
	seg(S, "A", 501, 102, 0);
	seg(C, "FA", 101, 501, 0);
	is(MON_FIN_WAIT_2, MON_CLOSE_WAIT);
}
END_TEST

START_TEST(close_before_the_handshake_is_complete)
{
	seg(C, "S", 100, 0, 0);
	seg(S, "SA", 500, 101, 0);
	seg(S, "FA", 501, 101, 0);
	is(MON_CLOSE_WAIT, MON_FIN_WAIT_1);
}
END_TEST

START_TEST(close_fin_again)
{
	established();
	seg(C, "FPA", 101, 501, 5);
	seg(C, "FPA", 101, 501, 5);
	events(MON_REXMIT, MON_REXMIT);
	stores(0, 0, 0);
	is(MON_FIN_WAIT_1, MON_CLOSE_WAIT);
	seg(C, "FA", 106, 501, 0);
	events(MON_REXMIT, MON_REXMIT);
	seg(C, "FA", 120, 501, 0); /* another one elsewhere is none */
	events(0, 0);
}
END_TEST

START_TEST(close_nothing_follows_a_fin)
{
	established();
	seg(C, "FA", 101, 501, 5);
	seg(C, "PA", 107, 501, 5);
	stores(0, 0, 0);
	events(0, 0);
	seg(C, "PA", 103, 501, 10); /* what is old of it is old */
	stores(0, 0, 0);
	stream(S, 5, 0);
}
END_TEST

START_TEST(close_fin_before_bytes_that_are_there)
{
	established();
	seg(C, "PA", 101, 501, 20);
	seg(C, "FA", 105, 501, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(C, "PA", 121, 501, 5);
	stores(20, 0, 5);
}
END_TEST

/* --- Reset ------------------------------------------------------------------------------------------------------------------- */

START_TEST(reset_both_ways)
{
	struct mon_seg s;

	established();
	s = sends(_i, "R", _i == C ? 101 : 501, 0, 0);
	ck_assert_uint_eq(flow->half[_i].state, MON_CLOSED);
	ck_assert_uint_eq(flow->half[1 - _i].state, MON_ESTABLISHED);
	arrives(1u - (unsigned)_i, &s);
	is(MON_CLOSED, MON_CLOSED);
	events(MON_STATE_CHANGE, MON_STATE_CHANGE);
	ck_assert(came.end);
}
END_TEST

START_TEST(reset_of_a_refused_syn)
{
	seg(C, "S", 100, 0, 0);
	seg(S, "RA", 0, 99, 0); /* for something else */
	is(MON_SYN_SENT, MON_SYN_RCVD);
	seg(S, "RA", 0, 101, 0);
	is(MON_CLOSED, MON_CLOSED);
	ck_assert(came.end);
	seg(C, "S", 100, 0, 0); /* tries once more */
	ck_assert(!sent.reset);
	events(MON_REXMIT, MON_REXMIT);
	is(MON_CLOSED, MON_CLOSED);
	seg(C, "S", 4000, 0, 0);
	ck_assert(sent.reset);
}
END_TEST

START_TEST(reset_must_be_in_the_window)
{
	established();
	seg(S, "A", 501, 101, 0);
	seg(C, "R", 100, 0, 0);
	seg(C, "R", 101 + WINDOW, 0, 0);
	seg(C, "R", 0x80000000, 0, 0);
	events(0, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(C, "R", 101 + WINDOW - 1, 0, 0);
	is(MON_CLOSED, MON_CLOSED);
}
END_TEST

START_TEST(reset_with_text)
{
	established();
	seg(C, "RA", 101, 501, 10);
	stores(0, 0, 0);
	is(MON_CLOSED, MON_CLOSED);
	stream(S, 0, 0);
}
END_TEST

START_TEST(reset_behind_what_was_seen)
{
	established();
	seg(C, "PA", 101, 501, 10);
	seg(C, "PA", 121, 501, 10);
	seg(C, "R", 131, 0, 0);
	is(MON_CLOSED, MON_CLOSED);
	ck_assert_uint_eq(mon_half_end(flow), 0);
	stream(S, 30, 10);
}
END_TEST

START_TEST(reset_in_time_wait_changes_nothing)
{
	established();
	seg(C, "FA", 101, 501, 0);
	seg(S, "FA", 501, 102, 0);
	is(MON_TIME_WAIT, MON_LAST_ACK);
	seg(S, "R", 502, 0, 0);
	is(MON_TIME_WAIT, MON_LAST_ACK); /* both ends have said all they had to say */
}
END_TEST

START_TEST(reset_of_a_flow_from_the_middle)
{
	from_middle(C, "A", 1000, 2000, 0);
	seg(S, "R", 1990, 0, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(S, "R", 2000, 0, 0);
	is(MON_CLOSED, MON_CLOSED);
}
END_TEST

/* --- From the middle ----------------------------------------------------------------------------------------------------------- */

START_TEST(pickup_by_text)
{
	from_middle(C, "PA", 1000, 2000, 10);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	stores(0, 0, 10);
	seg(S, "PA", 2000, 1010, 10);
	stores(0, 0, 10);
	seg(C, "PA", 995, 2010, 10); /* the first half lies before the start */
	ck_assert_int_eq((int64_t)came.at, -5);
	events(MON_REXMIT, 0);
	stores(0, 0, 0);
	stream(S, 10, 0);
}
END_TEST

START_TEST(pickup_by_an_acknowledgement)
{
	from_middle(C, "A", 1000, 2000, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(C, "PA", 1000, 2000, 5);
	stores(0, 0, 5);
}
END_TEST

START_TEST(pickup_by_a_fin)
{
	from_middle(C, "FA", 1000, 2000, 0);
	is(MON_FIN_WAIT_1, MON_CLOSE_WAIT);
}
END_TEST

START_TEST(pickup_by_a_syn_ack)
{
	from_middle(S, "SA", 500, 101, 0);
	is(MON_ESTABLISHED, MON_SYN_RCVD);
	seg(C, "A", 101, 501, 0);
	is(MON_ESTABLISHED, MON_ESTABLISHED);
	seg(C, "PA", 106, 501, 5); /* the client's ISN is known from the SYN-ACK */
	stores(5, 0, 5);
	stream(S, 0, 0);
}
END_TEST

START_TEST(one_direction_only)
{
	seg(C, "S", 100, 0, 0);
	seg(C, "A", 101, 501, 0);
	seg(C, "PA", 101, 501, 10);
	stores(0, 0, 10);
	seg(C, "FA", 111, 505, 0);
	ck_assert(!came.end);
	mon_half_end(flow);
	stream(S, 10, 0);
	stream(C, 0, 0); /* a direction of which nothing was seen missed nothing */
}
END_TEST

static TCase *tests_add(Suite *suite, const char *name, const TTest **tests, unsigned count)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	for (unsigned i = 0; i < count; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	return tc;
}
#define TESTS_ADD(suite, name, tests) tests_add(suite, name, tests, sizeof(tests) / sizeof((tests)[0]))

int main(void)
{
	const TTest *open_tests[] = {
		open_client_first, open_repeated_segments_start_nothing_again, open_another_isn_before_the_answer,
		open_another_isn_that_nobody_answers, open_another_isn_offers_its_own_scaling, open_forged_syn_on_a_flow_from_the_middle,
		open_at_the_same_time, open_at_the_same_time_and_one_syn_is_missed, open_syn_ack_missed, open_text_overtakes_the_syn_ack,
		open_with_text, open_syn_ack_for_something_else, open_again_after_the_end, open_again_by_a_host_that_forgot,
	};
	const TTest *text_tests[] = {
		text_in_order, text_sent_does_not_come_before_it_arrives, text_out_of_order, text_again, text_again_long_after,
		keep_alives_are_not_retransmissions, window_s_edge, window_of_a_flow_from_the_middle_is_not_known,
		window_probe_that_is_taken, window_beyond_which_lies_a_fin_that_is_taken, far_away_is_nothing,
		window_probes_are_not_sent_again, text_from_before_an_unknown_start, hole_skipped_when_the_receiver_has_it, hole_acknowledged_before_we_see_what_is_behind, hole_and_reordering,
		hole_at_the_end_of_the_flow, ranges_are_bounded, ranges_of_all_streams_are_bounded, sequence_numbers_wrap,
		offsets_beyond_32_bits, no_ack_no_text,
	};
	const TTest *close_tests[] = {
		close_client_first, close_server_first_with_text, close_at_the_same_time, close_fin_before_its_text,
		close_fin_behind_a_hole_that_is_acknowledged, close_answer_seen_before_the_fin, close_before_the_handshake_is_complete,
		close_fin_again, close_nothing_follows_a_fin, close_fin_before_bytes_that_are_there, reset_of_a_refused_syn,
		reset_must_be_in_the_window, reset_with_text, reset_behind_what_was_seen, reset_in_time_wait_changes_nothing,
		reset_of_a_flow_from_the_middle, pickup_by_text, pickup_by_an_acknowledgement, pickup_by_a_fin, pickup_by_a_syn_ack,
		one_direction_only,
	};
	Suite *suite = suite_create("mon_half");
	SRunner *runner;
	int failed;

	TESTS_ADD(suite, "open", open_tests);
	tcase_add_loop_test(TESTS_ADD(suite, "text", text_tests), window_scaled_only_when_both_say_so, 0, 2);
	tcase_add_loop_test(TESTS_ADD(suite, "close", close_tests), reset_both_ways, 0, 2);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
