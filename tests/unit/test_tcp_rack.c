/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Losses found by time, and tail loss probes: RFC 8985; their repair: RFC 6937.
 */
#include "tests/unit/tcp_loss.h"

/* --- RACK */

/* 6.2: one SACK is enough, once the reordering window (a quarter of the round trip) has passed. */
START_TEST(test_rack_waits_for_reordering)
{
	in_flight(WITH_SACK, 10, 0);
	SACK_OF(0, 1, 2);
	tick(4);
	expect_none();
	tick(1);
	expect(A, .seq = SEGNO(0), .len = MSS);
	expect_none();
	ck_assert_uint_eq(counted(TCP_FAST_REXMIT), 1);
	trace_end();
}
END_TEST

/* 6.2, step 4: three SACKed segments, no reordering seen: no window at all. */
START_TEST(test_rack_three_sacked)
{
	in_flight(WITH_SACK, 10, 0);
	SACK_OF(0, 1, 3);
	expect_none();
	SACK_OF(0, 1, 4);
	expect(A, .seq = SEGNO(0), .len = MSS);
	trace_end();
}
END_TEST

/* 6.2, step 3: where the path reorders, three are not enough, and what only came late is not sent again. */
START_TEST(test_rack_learns_of_reordering)
{
	in_flight(WITH_SACK, 10, 0);
	SACK_OF(0, 1, 2);
	tick(3);
	SACK_OF(2, 3, 4); /* 0 came after 1, without having been sent again */
	ck_assert(T.conn->reordering);
	ck_assert_uint_eq(counted(TCP_REORDERING), 1);
	SACK_OF(2, 3, 9);
	expect_none();
	tick(2);
	ACK_OF(10);
	drain();
	ck_assert_uint_eq(counted(TCP_REXMIT), 0);
	trace_end();
}
END_TEST

/* 6.2, step 4: each round trip with a DSACK widens the window by a quarter of the round trip; sixteen recoveries without narrow it. */
START_TEST(test_rack_dsack_widens)
{
	in_flight(WITH_SACK, 10, 30);
	T.conn->reordering = true;
	send(A, .seq = 1, .ack = SEGNO(1), .sacks = 1, .sack = { { SEGNO(0), SEGNO(1) } });
	send(A, .seq = 1, .ack = SEGNO(2), .sacks = 1, .sack = { { SEGNO(1), SEGNO(2) } }); /* the same round trip */
	drain();
	ck_assert_uint_eq(T.conn->reo_mult, 1);
	ck_assert_uint_eq(counted(TCP_DSACK_IN), 2);
	SACK_OF(2, 3, 4);
	drain();
	tick(7);
	ck_assert_uint_eq(counted(TCP_REXMIT), 0);
	tick(3);
	ck_assert_uint_eq(counted(TCP_REXMIT), 1);
	drain();
	for (unsigned i = 0; i < 16; i++)
		rack_recovered(T.conn);
	ck_assert_uint_eq(T.conn->reo_mult, 0);
	trace_end();
}
END_TEST

/* 6.2: a retransmission that is lost too is found by what was sent after it. */
START_TEST(test_rack_lost_retransmission)
{
	in_flight(WITH_SACK, 10, 20);
	SACK_OF(0, 1, 4);
	expect(A, .seq = SEGNO(0), .len = MSS);
	drain();
	SACK_OF(0, 1, 8);
	drain(); /* new segments: 10 and others */
	tick(20);
	SACK_OF(0, 1, 10);
	drain();
	tick(20);
	ck_assert_uint_eq(counted(TCP_REXMIT), 1);
	SACK_OF(0, 1, 12);
	expect(A, .seq = SEGNO(0), .len = MSS);
	drain();
	ck_assert_uint_eq(counted(TCP_REXMIT), 2);
	ck_assert_uint_eq(counted(TCP_RTO), 0);
	trace_end();
}
END_TEST

/* 6.3: a timeout does not take what was sent just now for lost. */
START_TEST(test_rack_timeout_spares_the_young)
{
	in_flight(WITH_SACK, 4, 0);
	SACK_OF(0, 1, 4);
	expect(A, .seq = SEGNO(0), .len = MSS);
	ACK_OF(4);
	tick(5);
	T.conn->cc.cwnd = 10 * MSS;
	put(2 * MSS);
	expect(A, .seq = SEGNO(4), .len = MSS);
	expect(A, .seq = SEGNO(5), .len = MSS);
	tick(40); /* the probe */
	expect(A, .seq = SEGNO(5), .len = MSS);
	tick(210);
	put(MSS);
	expect(A, .seq = SEGNO(6), .len = MSS);
	tick(10);
	expect(A, .seq = SEGNO(4), .len = MSS); /* the timeout */
	ck_assert_uint_eq(counted(TCP_RTO), 1);
	ck_assert_uint_eq(flight_at(T.conn->flight, T.conn->flight->tail - 1)->marks & FLIGHT_LOST, 0);
	trace_end();
}
END_TEST

/* --- TLP */

/* 7.2, 7.3: two round trips of silence; the last segment again. */
START_TEST(test_tlp_last_segment)
{
	in_flight(WITH_SACK, 10, 0);
	tick(19);
	expect_none();
	tick(1);
	expect(A, .seq = SEGNO(9), .len = MSS);
	expect_none();
	ck_assert_uint_eq(counted(TCP_TLP), 1);
	tick(219);
	expect_none(); /* one only; then the timeout, begun anew (7.3) */
	tick(1);
	expect(A, .seq = SEGNO(0), .len = MSS);
	ck_assert_uint_eq(counted(TCP_RTO), 1);
	trace_end();
}
END_TEST

/* 7.3: what was never sent is the better probe, even beyond cwnd. */
START_TEST(test_tlp_new_segment)
{
	in_flight(WITH_SACK, 10, 1);
	tick(20);
	expect(A | P, .seq = SEGNO(10), .len = MSS);
	expect_none();
	ACK_OF(11);
	expect_none();
	ck_assert_uint_eq(counted(TCP_TLP_RECOVERED), 0);
	ck_assert_uint_eq(T.conn->cc.cwnd > 10 * MSS, true);
	trace_end();
}
END_TEST

/* 7.2: with one segment in flight, the peer may delay its acknowledgement. */
START_TEST(test_tlp_one_segment)
{
	in_flight(WITH_SACK, 1, 0);
	tick(199);
	expect_none();
	tick(1); /* the timeout would come first: the probe takes its place */
	expect(A | P, .seq = SEGNO(0), .len = MSS);
	ck_assert_uint_eq(counted(TCP_TLP), 1);
	ck_assert_uint_eq(counted(TCP_RTO), 0);
	trace_end();
}
END_TEST

/* The probe's SACK lets RACK find what was lost: a whole tail is repaired without a timeout. */
START_TEST(test_tlp_tail)
{
	in_flight(WITH_SACK, 10, 0);
	ACK_OF(7);
	tick(40);
	expect(A | P, .seq = SEGNO(9), .len = MSS);
	tick(20);
	SACK_OF(7, 9, 10);
	expect(A, .seq = SEGNO(7), .len = MSS);
	ACK_OF(8);
	expect(A, .seq = SEGNO(8), .len = MSS);
	ACK_OF(10);
	ck_assert_uint_eq(counted(TCP_RTO), 0);
	ck_assert_uint_eq(counted(TCP_FAST_REXMIT), 1);
	trace_end();
}
END_TEST

/* 7.4.2: the probe repaired the only loss: congestion control must hear of it. */
START_TEST(test_tlp_repaired)
{
	in_flight(WITH_SACK, 10, 0);
	tick(20);
	expect(A | P, .seq = SEGNO(9), .len = MSS);
	tick(20);
	T.conn->cc.cwnd = 10 * MSS;
	ACK_OF(10);
	ck_assert_uint_eq(T.conn->cc.cwnd > 10 * MSS, true); /* not beyond the probe: both may be one */
	put(MSS);
	expect(A | P, .seq = SEGNO(10), .len = MSS);
	T.conn->cc.cwnd = 10 * MSS;
	ACK_OF(11);
	ck_assert_uint_eq(counted(TCP_TLP_RECOVERED), 1);
	ck_assert_uint_lt(T.conn->cc.ssthresh, 10 * MSS);
	trace_end();
}
END_TEST

/* 7.4.2: a DSACK says that it was not needed. */
START_TEST(test_tlp_needless)
{
	in_flight(WITH_SACK, 10, 0);
	tick(20);
	expect(A | P, .seq = SEGNO(9), .len = MSS);
	ACK_OF(10);
	put(MSS);
	expect(A | P, .seq = SEGNO(10), .len = MSS);
	send(A, .seq = 1, .ack = SEGNO(10), .sacks = 1, .sack = { { SEGNO(9), SEGNO(10) } });
	ACK_OF(11);
	ck_assert_uint_eq(counted(TCP_TLP_RECOVERED), 0);
	ck_assert_uint_gt(T.conn->cc.cwnd, 10 * MSS);
	trace_end();
}
END_TEST

/* 7.2: not without SACK, not into a closed window, not in recovery. */
START_TEST(test_tlp_not_here)
{
	in_flight(WITHOUT_SACK, 10, 0);
	tick(100);
	expect_none();
	trace_end();

	in_flight(WITH_SACK, 10, 5);
	send(A, .seq = 1, .ack = SEGNO(10), .wnd = 0);
	tick(190);
	expect_none();
	tick(30); /* the first probe of the window */
	expect(A, .seq = SEGNO(10), .len = 1);
	ck_assert_uint_eq(counted(TCP_TLP), 0);
	ck_assert_uint_eq(counted(TCP_PERSIST), 1);
	trace_end();

	in_flight(WITH_SACK, 10, 0);
	SACK_OF(0, 1, 4);
	expect(A, .seq = SEGNO(0), .len = MSS);
	tick(150);
	ck_assert_uint_eq(counted(TCP_TLP), 0);
	trace_end();
}
END_TEST

/* A FIN is an item like any other. */
START_TEST(test_tlp_fin)
{
	in_flight(WITH_SACK, 2, 0);
	T.conn->cc.cwnd = 10 * MSS;
	shut(SHUT_WR);
	expect(F | A, .seq = SEGNO(2));
	ACK_OF(2);
	tick(240);
	expect(F | A, .seq = SEGNO(2));
	ck_assert_uint_eq(counted(TCP_TLP), 1);
	send(A, .seq = 1, .ack = SEGNO(2) + 1);
	expect_state(TCP_FIN_WAIT_2);
	tick(1000);
	ck_assert_ptr_null(T.conn->flight);
	trace_end();
}
END_TEST

START_TEST(test_rack_fin)
{
	in_flight(WITH_SACK, 4, 0);
	T.conn->cc.cwnd = 10 * MSS;
	shut(SHUT_WR);
	expect(F | A, .seq = SEGNO(4));
	tick(20);
	send(A, .seq = 1, .ack = SEGNO(3), .sacks = 1, .sack = { { SEGNO(4), SEGNO(4) + 1 } }); /* the FIN came, 3 did not */
	tick(10);
	expect(A, .seq = SEGNO(3), .len = MSS);
	expect_none();
	send(A, .seq = 1, .ack = SEGNO(4) + 1);
	expect_state(TCP_FIN_WAIT_2);
	trace_end();
}
END_TEST

/* --- PRR, RFC 6937 */

/* Three lost of twenty: for ten acknowledgements about seven segments leave (CUBIC: 0.7), never a pause of half a round trip. */
START_TEST(test_prr_is_proportional)
{
	unsigned sent = 0, longest = 0, pause = 0;

	in_flight(WITH_SACK, 20, 40);
	ck_assert_uint_eq(T.conn->cc.cwnd, 20 * MSS);
	for (unsigned i = 4; i <= 20; i++) {
		SACK_OF(0, 3, i);
		pause = T.h.net.queued > 0 ? 0 : pause + 1;
		longest = pause > longest ? pause : longest;
		sent += T.h.net.queued;
		drain();
	}
	ck_assert_uint_ge(sent, 11);
	ck_assert_uint_le(sent, 15);
	ck_assert_uint_le(longest, 3);
	ck_assert_uint_eq(counted(TCP_REXMIT), 3);
	ck_assert_uint_le(flight_pipe(T.conn->flight), T.conn->cc.ssthresh);
	trace_end();
}
END_TEST

/* When all but a little was lost, the reduction bound sends no burst: one more than was delivered at most. */
START_TEST(test_prr_bound)
{
	in_flight(WITH_SACK, 30, 40);
	SACK_OF(0, 29, 30);
	tick(5);
	ck_assert_uint_le(T.h.net.queued, 2);
	drain();
	for (unsigned i = 1; i < 10; i++) {
		tick(1);
		SACK_OF(i, 29, 30);
		ck_assert_uint_le(T.h.net.queued, 3);
		drain();
	}
	trace_end();
}
END_TEST

/* At its end cwnd is ssthresh. */
START_TEST(test_prr_ends)
{
	in_flight(WITH_SACK, 10, 0);
	SACK_OF(0, 1, 10);
	expect(A, .seq = SEGNO(0), .len = MSS);
	ACK_OF(10);
	ck_assert_uint_eq(T.conn->flags & CONN_RECOVERY, 0);
	ck_assert_uint_eq(T.conn->cc.cwnd, 7 * MSS);
	ck_assert_uint_eq(T.conn->cc.ssthresh, 7 * MSS);
	trace_end();
}
END_TEST

/* --- Lies */

/* RFC 2018 8: the peer's cumulative acknowledgement stops where it said it had more. */
START_TEST(test_reneging)
{
	in_flight(WITH_SACK, 10, 0);
	SACK_OF(0, 1, 10);
	expect(A, .seq = SEGNO(0), .len = MSS);
	ACK_OF(1);
	ck_assert_uint_eq(counted(TCP_SACK_RENEG), 1);
	expect(A, .seq = SEGNO(1), .len = MSS);
	for (unsigned i = 2; i < 10; i++)
		ACK_OF(i);
	drain();
	ACK_OF(10);
	ck_assert_uint_eq(view().tx_acked, 10 * MSS);
	trace_end();
}
END_TEST

START_TEST(test_impossible_blocks)
{
	in_flight(WITH_SACK, 10, 0);
	send(A, .seq = 1, .ack = 1, .sacks = 2, .sack = { { SEGNO(9), SEGNO(11) }, { SEGNO(5), SEGNO(4) } });
	ck_assert_uint_eq(counted(TCP_SACK_BAD), 2);
	ck_assert_uint_eq(sack_ranges(), 0);
	SACK_OF(0, 0, 5); /* begins at snd_una: then why was it not acknowledged? */
	ck_assert_uint_eq(sack_ranges(), 0);
	expect_none();
	trace_end();
}
END_TEST

/* RFC 5681 3.2 (4), Savage: without SACK anyone can say "duplicate"; cwnd grows by what can have left the network, no more. */
START_TEST(test_duplicate_ack_flood)
{
	in_flight(WITHOUT_SACK, 10, 100);
	for (unsigned i = 0; i < 500; i++) {
		send(A, .seq = 1, .ack = 1);
		drain();
	}
	ck_assert_uint_le(T.conn->cc.cwnd, T.conn->cc.ssthresh + 3 * MSS + 45 * MSS);
	ck_assert_uint_le(T.conn->snd_max - T.conn->snd_una, 65535);
	trace_end();
}
END_TEST

/* RFC 3465: acknowledging each byte alone gains nothing; acknowledging much at once gains L segments. */
START_TEST(test_ack_splitting)
{
	uint32_t cwnd;

	in_flight(WITHOUT_SACK, 10, 0);
	cwnd = T.conn->cc.cwnd;
	for (unsigned i = 1; i <= MSS; i++)
		send(A, .seq = 1, .ack = 1 + i);
	ck_assert_uint_eq(T.conn->cc.cwnd, cwnd + MSS);
	trace_end();

	in_flight(WITHOUT_SACK, 10, 0);
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_CONGESTION, CC_RENO), 0);
	cwnd = T.conn->cc.cwnd;
	ACK_OF(10);
	ck_assert_uint_eq(T.conn->cc.cwnd, cwnd + 2 * MSS);
	trace_end();
}
END_TEST

/* After a timeout L is one (RFC 3465, 2.3). */
START_TEST(test_slow_start_after_timeout)
{
	in_flight(WITHOUT_SACK, 10, 0);
	tick(200);
	expect(A, .seq = SEGNO(0), .len = MSS);
	ACK_OF(4);
	ck_assert_uint_eq(T.conn->cc.cwnd, 2 * MSS);
	drain();
	trace_end();
}
END_TEST

/* An acknowledgement of what was never sent is no gain (RFC 5961, 5). */
START_TEST(test_optimistic_ack)
{
	uint32_t cwnd;

	in_flight(WITH_SACK, 10, 0);
	cwnd = T.conn->cc.cwnd;
	ACK_OF(11);
	expect(A, .ack = 1);
	ck_assert_uint_eq(T.conn->cc.cwnd, cwnd);
	ck_assert_uint_eq(counted(TCP_BAD_ACK), 1);
	ck_assert_uint_eq(view().tx_acked, 0);
	trace_end();
}
END_TEST

/* Tiny segments: the list of what is in flight is bounded. */
START_TEST(test_flight_is_bounded)
{
	handshake((struct seg){ .mss = MSS, .sack_ok = 1, .ws = 10 });
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_NODELAY, 1), 0);
	T.h.tcp->conf.sndbuf_max = 65536;
	T.conn->cc.cwnd = T.conn->snd_wnd = 1 << 20;
	for (unsigned i = 0; i < 5000; i++) {
		put(1);
		drain();
	}
	ck_assert_uint_le(T.conn->flight->tail - T.conn->flight->head, FLIGHT_MIN + 65536 / FLIGHT_SHARE);
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_rack_waits_for_reordering);
	tcase_add_test(tc, test_rack_three_sacked);
	tcase_add_test(tc, test_rack_learns_of_reordering);
	tcase_add_test(tc, test_rack_dsack_widens);
	tcase_add_test(tc, test_rack_lost_retransmission);
	tcase_add_test(tc, test_rack_timeout_spares_the_young);
	tcase_add_test(tc, test_rack_fin);
	tcase_add_test(tc, test_tlp_last_segment);
	tcase_add_test(tc, test_tlp_new_segment);
	tcase_add_test(tc, test_tlp_one_segment);
	tcase_add_test(tc, test_tlp_tail);
	tcase_add_test(tc, test_tlp_repaired);
	tcase_add_test(tc, test_tlp_needless);
	tcase_add_test(tc, test_tlp_not_here);
	tcase_add_test(tc, test_tlp_fin);
	tcase_add_test(tc, test_prr_is_proportional);
	tcase_add_test(tc, test_prr_bound);
	tcase_add_test(tc, test_prr_ends);
	tcase_add_test(tc, test_reneging);
	tcase_add_test(tc, test_impossible_blocks);
	tcase_add_test(tc, test_duplicate_ack_flood);
	tcase_add_test(tc, test_ack_splitting);
	tcase_add_test(tc, test_slow_start_after_timeout);
	tcase_add_test(tc, test_optimistic_ack);
	tcase_add_test(tc, test_flight_is_bounded);
}

int main(void)
{
	return trace_main("tcp_rack", (void (*const[])(TCase *)){ add }, 1);
}
