/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recoveries that were none: DSACK (RFC 2883, 3708), Eifel (RFC 3522), F-RTO (RFC 5682).
 */
#include "tests/unit/tcp_loss.h"

static uint32_t block(unsigned i, bool to)
{
	return (to ? T.opts.sack[i].to : T.opts.sack[i].from) - T.peer_iss;
}

/* RFC 2883 4.1.1: received before; the whole block, once. */
START_TEST(test_dsack_is_sent)
{
	handshake(WITH_SACK);
	send(A, .seq = 1, .ack = 1, .len = 100);
	take(100);
	drain();
	send(A, .seq = 1, .ack = 1, .len = 100);
	expect(A, .ack = 101);
	ck_assert_uint_eq(T.opts.sacks, 1);
	ck_assert_uint_eq(block(0, false), 1);
	ck_assert_uint_eq(block(0, true), 101);
	ck_assert_uint_eq(counted(TCP_DSACK_OUT), 1);
	put(10);
	expect(A | P);
	ck_assert_uint_eq(T.opts.sacks, 0);
	trace_end();
}
END_TEST

/* 4.1.2, 4.2: a duplicate beyond a hole; the block that holds it follows. */
START_TEST(test_dsack_beyond_a_hole)
{
	handshake(WITH_SACK);
	send(A, .seq = 201, .ack = 1, .len = 300);
	send(A, .seq = 601, .ack = 1, .len = 100);
	drain();
	send(A, .seq = 301, .ack = 1, .len = 100);
	expect(A, .ack = 1);
	ck_assert_uint_eq(T.opts.sacks, 3);
	ck_assert_uint_eq(block(0, false), 301);
	ck_assert_uint_eq(block(0, true), 401);
	ck_assert_uint_eq(block(1, false), 201);
	ck_assert_uint_eq(block(1, true), 501);
	trace_end();
}
END_TEST

/* 4.2.1: a part of it was there. */
START_TEST(test_dsack_partial)
{
	handshake(WITH_SACK);
	send(A, .seq = 1, .ack = 1, .len = 100);
	drain();
	send(A, .seq = 51, .ack = 1, .len = 100);
	expect(A, .ack = 151);
	ck_assert_uint_eq(T.opts.sacks, 1);
	ck_assert_uint_eq(block(0, false), 51);
	ck_assert_uint_eq(block(0, true), 101);
	trace_end();
}
END_TEST

/* Without SACK nobody is told. */
START_TEST(test_no_dsack_without_sack)
{
	handshake(WITHOUT_SACK);
	send(A, .seq = 1, .ack = 1, .len = 100);
	drain();
	send(A, .seq = 1, .ack = 1, .len = 100);
	expect(A, .ack = 101);
	ck_assert_uint_eq(T.opts.sacks, 0);
	ck_assert_uint_eq(counted(TCP_DSACK_OUT), 0);
	trace_end();
}
END_TEST

/* RFC 3708: all that was sent again had arrived: cwnd and ssthresh come back, also after the recovery. */
START_TEST(test_undo_by_dsack)
{
	in_flight(WITH_SACK, 10, 0);
	SACK_OF(0, 2, 5); /* 0 and 1 come late */
	expect(A, .seq = SEGNO(0), .len = MSS);
	SACK_OF(0, 2, 6);
	expect(A, .seq = SEGNO(1), .len = MSS);
	ACK_OF(10);
	ck_assert_uint_eq(T.conn->cc.cwnd, 7 * MSS);
	send(A, .seq = 1, .ack = SEGNO(10), .sacks = 1, .sack = { { SEGNO(0), SEGNO(1) } });
	ck_assert_uint_eq(T.conn->cc.cwnd, 7 * MSS); /* one of two */
	send(A, .seq = 1, .ack = SEGNO(10), .sacks = 1, .sack = { { SEGNO(1), SEGNO(2) } });
	ck_assert_uint_eq(T.conn->cc.cwnd, 10 * MSS);
	ck_assert_uint_eq(T.conn->cc.ssthresh, UINT32_MAX);
	ck_assert_uint_eq(counted(TCP_UNDO_DSACK), 1);
	tick(1000);
	ck_assert_ptr_null(T.conn->flight);
	trace_end();
}
END_TEST

/* What is kept for a DSACK that may come is given back soon. */
START_TEST(test_undo_is_forgotten)
{
	in_flight(WITH_SACK, 10, 0);
	SACK_OF(0, 1, 5);
	expect(A, .seq = SEGNO(0), .len = MSS);
	ACK_OF(10);
	ck_assert_ptr_nonnull(T.conn->flight);
	tick(300);
	ck_assert_ptr_null(T.conn->flight);
	ck_assert_uint_eq(host_next(&T.h), UINT64_MAX);
	send(A, .seq = 1, .ack = SEGNO(10), .sacks = 1, .sack = { { SEGNO(0), SEGNO(1) } });
	ck_assert_uint_eq(counted(TCP_UNDO_DSACK), 0);
	trace_end();
}
END_TEST

/* RFC 3522: the first acknowledgement of something new echoes a time before the retransmission. */
START_TEST(test_undo_by_timestamp)
{
	uint32_t first;

	in_flight((struct seg){ .mss = MSS + 12, .sack_ok = 1, .ts = 1, .ts_val = 5 }, 0, 0);
	T.conn->cc.cwnd = 10 * MSS;
	put(10 * 1448);
	drain();
	first = T.last_ts;
	tick(20);
	send(A, .seq = 1, .ack = 1, .sacks = 1, .sack = { { 1449, 1449 + 3 * 1448 } }, .ts_ecr = first);
	expect(A, .seq = 1, .len = 1448);
	ck_assert_uint_ne(T.conn->flags & CONN_RECOVERY, 0);
	ck_assert_uint_lt(T.conn->cc.ssthresh, 10 * 1448);
	tick(2);
	send(A, .seq = 1, .ack = 1 + 4 * 1448, .ts_ecr = _i == 0 ? first : T.last_ts);
	ck_assert_uint_eq(counted(TCP_UNDO_STAMP), _i == 0);
	ck_assert_uint_eq(T.conn->cc.ssthresh == UINT32_MAX, _i == 0);
	trace_end();
}
END_TEST

/* --- F-RTO */

/* RFC 5682 2.1: two acknowledgements that go on although nothing more was sent again: the timeout was spurious. */
START_TEST(test_frto_spurious)
{
	in_flight(_i != 0 ? WITH_SACK : WITHOUT_SACK, 10, 5);
	if (_i != 0) {
		tick(20);
		drain(); /* the probe, a new segment */
		tick(20);
	}
	tick(_i != 0 ? 220 : 200);
	expect(A, .seq = SEGNO(0), .len = MSS);
	expect_none();
	ck_assert_uint_eq(counted(TCP_RTO), 1);
	ACK_OF(1); /* (2b): two new ones, not those taken for lost */
	expect(A, .seq = SEGNO(10 + _i), .len = MSS);
	expect(A, .seq = SEGNO(11 + _i), .len = MSS);
	expect_none();
	ACK_OF(2); /* (3b) */
	ck_assert_uint_eq(counted(TCP_UNDO_FRTO), 1);
	ck_assert_uint_eq(T.conn->flags & CONN_LOSS, 0);
	ck_assert_uint_ge(T.conn->cc.cwnd, 10 * MSS);
	ck_assert_uint_ge(T.conn->cc.cwnd, 10 * MSS);
	ck_assert_uint_eq(T.conn->cc.ssthresh, UINT32_MAX);
	drain();
	ACK_OF(12);
	drain();
	ck_assert_uint_le(counted(TCP_REXMIT), 1);
	trace_end();
}
END_TEST

/* (2a), (3a): a duplicate says that it was not. */
START_TEST(test_frto_real)
{
	in_flight(WITHOUT_SACK, 10, 5);
	tick(200);
	expect(A, .seq = SEGNO(0), .len = MSS);
	if (_i == 1) {
		ACK_OF(1);
		expect(A, .seq = SEGNO(10), .len = MSS);
		expect(A, .seq = SEGNO(11), .len = MSS);
		send(A, .seq = 1, .ack = SEGNO(1));
	} else {
		send(A, .seq = 1, .ack = 1);
		expect_none();
		ACK_OF(1);
	}
	expect(A, .seq = SEGNO(1), .len = MSS);
	ck_assert_uint_eq(counted(TCP_UNDO_FRTO), 0);
	ck_assert_uint_le(T.conn->cc.cwnd, 3 * MSS);
	drain();
	trace_end();
}
END_TEST

/* (2b) without anything new to send: as after any timeout. */
START_TEST(test_frto_nothing_new)
{
	in_flight(WITHOUT_SACK, 10, 0);
	tick(200);
	expect(A, .seq = SEGNO(0), .len = MSS);
	ACK_OF(1);
	expect(A, .seq = SEGNO(1), .len = MSS);
	drain();
	trace_end();
}
END_TEST

/* With SACK a hole that stays tells that it was real, whatever the new segments bring. */
START_TEST(test_frto_sack_real)
{
	in_flight(WITH_SACK, 4, 8);
	tick(20);
	drain();
	tick(220);
	expect(A, .seq = SEGNO(0), .len = MSS);
	ACK_OF(1);
	drain();
	SACK_OF(1, 5, 6); /* something new */
	ck_assert_uint_eq(counted(TCP_UNDO_FRTO), 0);
	expect(A, .seq = SEGNO(1), .len = MSS);
	drain();
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_dsack_is_sent);
	tcase_add_test(tc, test_dsack_beyond_a_hole);
	tcase_add_test(tc, test_dsack_partial);
	tcase_add_test(tc, test_no_dsack_without_sack);
	tcase_add_test(tc, test_undo_by_dsack);
	tcase_add_test(tc, test_undo_is_forgotten);
	tcase_add_loop_test(tc, test_undo_by_timestamp, 0, 2);
	tcase_add_loop_test(tc, test_frto_spurious, 0, 2);
	tcase_add_loop_test(tc, test_frto_real, 0, 2);
	tcase_add_test(tc, test_frto_nothing_new);
	tcase_add_test(tc, test_frto_sack_real);
}

int main(void)
{
	return trace_main("tcp_undo", (void (*const[])(TCase *)){ add }, 1);
}
