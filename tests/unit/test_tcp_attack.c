/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What an attacker who does not see the connection can do (RFC 5961), what a hostile peer can do, and that it stays small.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/tcp_trace.h"

/* RFC 5961 3.2: only the exact number resets. */
START_TEST(test_blind_rst)
{
	established();
	send(R, .seq = 100000); /* outside: nothing at all */
	expect_none();
	send(R, .seq = 2);
	expect(A, .seq = 1, .ack = 1);
	send(R, .seq = 65535);
	expect(A, .seq = 1, .ack = 1);
	expect_state(TCP_ESTABLISHED);
	send(R, .seq = 1);
	expect_state(TCP_CLOSED);
	ck_assert_uint_eq(counted(TCP_CHALLENGE), 2);
	trace_end();
}
END_TEST

/* 4.2: a SYN, wherever its number lies, is answered with an ACK. */
START_TEST(test_blind_syn)
{
	established();
	send(S, .seq = 1);
	expect(A, .seq = 1, .ack = 1);
	send(S, .seq = 5000);
	expect(A, .ack = 1);
	send(S | A, .seq = 0, .ack = 1);
	expect(A, .ack = 1);
	expect_state(TCP_ESTABLISHED);
	trace_end();
}
END_TEST

/* 5.2: an ACK too old or for the future is challenged, its data dropped. */
START_TEST(test_blind_data)
{
	established();
	put(100);
	expect(A | P, .len = 100);
	send(A, .seq = 1, .ack = 102, .len = 10, .fill = 9);
	expect(A, .seq = 101, .ack = 1);
	send(A, .seq = 1, .ack = 1 - 65536 - 10, .len = 10, .fill = 9);
	expect(A, .seq = 101, .ack = 1);
	ck_assert_uint_eq(view().rx_end, 0);
	send(A, .seq = 1, .ack = 0, .len = 10); /* a little old is normal */
	ck_assert_uint_eq(view().rx_end, 10);
	ck_assert_uint_eq(counted(TCP_BAD_ACK), 2);
	trace_end();
}
END_TEST

/* Section 10: ten in five seconds. */
START_TEST(test_challenge_limit)
{
	unsigned n = 0;

	established();
	for (unsigned i = 0; i < 100; i++)
		send(R, .seq = 2);
	for (; T.h.net.queued > 0; n++)
		expect(A);
	ck_assert_uint_eq(n, 10);
	ck_assert_uint_eq(counted(TCP_CHALLENGE_LIMIT), 90);
	tick(5000);
	send(R, .seq = 2);
	expect(A);
	trace_end();
}
END_TEST

/* Two ends that find each other's ACKs unacceptable do not go on for ever. */
START_TEST(test_ack_war)
{
	unsigned n = 0;

	established();
	for (unsigned i = 0; i < 1000; i++)
		send(A, .seq = -100, .ack = 1);
	for (; T.h.net.queued > 0; n++)
		expect(A);
	ck_assert_uint_le(n, 10);
	trace_end();
}
END_TEST

/* Optimistic ACKs: nobody acknowledges what was not sent. */
START_TEST(test_optimistic_ack)
{
	established();
	put(1000);
	expect(A | P, .len = 1000);
	send(A, .seq = 1, .ack = 1002);
	ck_assert_uint_eq(view().tx_acked, 0);
	expect(A);
	trace_end();
}
END_TEST

/* ACK division: growth counts bytes, not ACKs (RFC 3465). */
START_TEST(test_ack_division)
{
	established();
	put(14600);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	for (unsigned i = 1; i <= 1460; i++)
		send(A, .seq = 1, .ack = 1 + i);
	ck_assert_uint_le(T.conn->cc.cwnd, 14600 + 1460);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	trace_end();
}
END_TEST

/* One byte here and there: chunks and ranges stay within the window's bounds, and all come back. */
START_TEST(test_scattered_bytes)
{
	established();
	for (unsigned i = 0; i < 5000; i++)
		send(A, .seq = 3 + (i * 12) % 60000, .ack = 1, .len = 1, .later = true);
	settle();
	ck_assert_uint_le(T.conn->ooo.count, OOO_RANGES);
	ck_assert_uint_le(T.h.owner.rx.used_count, 17);
	ck_assert_uint_gt(counted(TCP_OOO_DROP), 0);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	send(R, .seq = 1);
	ck_assert_uint_eq(T.h.owner.rx.used_count, 0);
	trace_end();
}
END_TEST

/* An option without an end is counted, and ends the list (RFC 9293 3.1, MUST-7). */
START_TEST(test_bad_options)
{
	static const uint8_t endless[] = { 8, 0, 1, 1 };

	established();
	send(A, .seq = 1, .ack = 1, .len = 10, .opt = endless, .opt_len = 4);
	ck_assert_uint_eq(view().rx_end, 10);
	ck_assert_uint_eq(counted(TCP_BAD_OPTION), 1);
	trace_end();
}
END_TEST

/* Resets for strangers are bounded in each turn. */
START_TEST(test_reply_bound)
{
	trace_begin(NULL);
	for (unsigned i = 0; i < 1000; i++)
		send(A, .seq = 1, .ack = 1, .sport = (uint16_t)(1000 + i), .later = true);
	settle();
	ck_assert_uint_eq(T.h.net.queued, REPLIES_MAX);
	ck_assert_uint_eq(counted(TCP_REPLY_DROP), 1000 - REPLIES_MAX);
	while (T.h.net.queued > 0)
		expect(R);
	trace_end();
}
END_TEST

/* A window shut for ever does not keep what nobody owns (sockstress). */
START_TEST(test_orphan_in_closed_window)
{
	established();
	put(1000);
	expect(A | P, .len = 1000);
	send(A, .seq = 1, .ack = 1, .wnd = 0);
	close_(-1);
	for (unsigned i = 0; i < 1000 && tcp_conns(T.h.tcp) > 0; i++) {
		tick(1000);
		while (T.h.net.queued > 0)
			nic_free(host_sent(&T.h));
		if (tcp_conns(T.h.tcp) > 0)
			send(A, .seq = 1, .ack = 1, .wnd = 0);
	}
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	ck_assert_uint_eq(T.h.owner.conns, 0);
	T.conn = NULL;
	trace_end();
}
END_TEST

/* The same segments in every state: nothing but what the state allows, no crash, and the connection can be ended. */
START_TEST(test_strays_in_every_state)
{
	static const enum tcp_state states[] = { TCP_SYN_SENT,   TCP_ESTABLISHED, TCP_FIN_WAIT_1, TCP_FIN_WAIT_2, TCP_CLOSE_WAIT,
		                                 TCP_CLOSING,    TCP_LAST_ACK,    TCP_TIME_WAIT };

	for (unsigned flags = 0; flags < 64; flags++) {
		in_state(states[_i]);
		send((uint8_t)flags, .seq = 1000000, .ack = 7);
		send((uint8_t)flags, .seq = -1000000, .ack = 0x40000000, .len = 100);
		if (states[_i] != TCP_SYN_SENT && (flags & S) == 0)
			expect_state(states[_i]);
		while (T.h.net.queued > 0)
			nic_free(host_sent(&T.h));
		trace_end();
	}
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_blind_rst);
	tcase_add_test(tc, test_blind_syn);
	tcase_add_test(tc, test_blind_data);
	tcase_add_test(tc, test_challenge_limit);
	tcase_add_test(tc, test_ack_war);
	tcase_add_test(tc, test_optimistic_ack);
	tcase_add_test(tc, test_ack_division);
	tcase_add_test(tc, test_scattered_bytes);
	tcase_add_test(tc, test_bad_options);
	tcase_add_test(tc, test_reply_bound);
	tcase_add_test(tc, test_orphan_in_closed_window);
	tcase_add_loop_test(tc, test_strays_in_every_state, 0, 8);
}

int main(void)
{
	return trace_main("tcp_attack", (void (*const[])(TCase *)){ add }, 1);
}
