/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Timers that are not about loss: keepalive, user timeout; and that an idle connection wakes nobody.
 */
#include <errno.h>

#include "tests/unit/tcp_trace.h"

static void opt(uint32_t name, uint64_t value)
{
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, name, value), 0);
	settle();
}

static void keepalive(void)
{
	established();
	opt(OPT_KEEPIDLE, 100);
	opt(OPT_KEEPINTVL, 10);
	opt(OPT_KEEPCNT, 3);
	opt(OPT_KEEPALIVE, 1);
}

/* RFC 1122 4.2.3.6: SEG.SEQ = SND.NXT - 1, no data; an answer starts it all again. */
START_TEST(test_keepalive_answered)
{
	keepalive();
	for (unsigned i = 0; i < 5; i++) {
		tick(99900);
		expect_none();
		tick(200);
		expect(A, .seq = 0, .ack = 1);
		send(A, .seq = 1, .ack = 1);
		expect_none();
	}
	expect_state(TCP_ESTABLISHED);
	ck_assert_uint_eq(counted(TCP_KEEPALIVE), 5);
	trace_end();
}
END_TEST

START_TEST(test_keepalive_unanswered)
{
	keepalive();
	tick(100000);
	expect(A, .seq = 0);
	tick(10000);
	expect(A, .seq = 0);
	tick(10000);
	expect(A, .seq = 0);
	tick(10000);
	expect(R | A, .seq = 1);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ETIMEDOUT);
	trace_end();
}
END_TEST

START_TEST(test_keepalive_waits_for_silence)
{
	keepalive();
	for (unsigned i = 0; i < 10; i++) {
		tick(60000);
		send(A | P, .seq = 1 + i, .ack = 1, .len = 1);
		tick(50);
		expect(A);
	}
	ck_assert_uint_eq(counted(TCP_KEEPALIVE), 0);
	trace_end();
}
END_TEST

/* The peer's keepalive is answered. */
START_TEST(test_keepalive_of_the_peer)
{
	established();
	send(A, .seq = 0, .ack = 1);
	expect(A, .seq = 1, .ack = 1);
	send(A, .seq = 0, .ack = 1, .len = 1); /* with a byte of garbage, as old ones do */
	expect(A, .seq = 1, .ack = 1);
	ck_assert_uint_eq(view().rx_end, 0);
	trace_end();
}
END_TEST

/* RFC 5482: data unacknowledged for so long ends it. */
START_TEST(test_user_timeout)
{
	established();
	opt(OPT_USER_TIMEOUT, 3000);
	tick(10000); /* silence alone does not count */
	put(10);
	expect(A | P);
	tick(2900);
	expect_state(TCP_ESTABLISHED);
	tick(200);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ETIMEDOUT);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	trace_end();
}
END_TEST

START_TEST(test_user_timeout_in_syn_sent)
{
	connecting();
	opt(OPT_USER_TIMEOUT, 2000);
	tick(4000);
	expect_state(TCP_CLOSED);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	trace_end();
}
END_TEST

/* A million idle connections must not cost the engine its sleep. */
START_TEST(test_idle_has_no_timer)
{
	established();
	put(10);
	expect(A | P);
	send(A, .seq = 1, .ack = 11, .len = 10);
	take(10);
	tick(2000);
	while (T.h.net.queued > 0)
		expect(A);
	ck_assert_uint_eq(host_next(&T.h), UINT64_MAX);
	ck_assert_uint_eq(T.h.owner.rx.used_count, 0);
	ck_assert_ptr_null(T.conn->rx.ring);
	ck_assert_ptr_null(T.conn->tx.ring);
	ck_assert_ptr_null(T.conn->ooo.range);
	ck_assert_ptr_null(T.conn->flight);
	trace_end();
}
END_TEST

START_TEST(test_next_us)
{
	established();
	put(10);
	expect(A | P);
	ck_assert_uint_gt(host_next(&T.h), T.h.now_us);
	ck_assert_uint_le(host_next(&T.h), T.h.now_us + 201000);
	tcp_mark(T.h.tcp, T.conn);
	ck_assert_uint_eq(host_next(&T.h), T.h.now_us);
	trace_end();
}
END_TEST

static void drain(void)
{
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
}

/* RFC 9293 3.8.3, MUST-20: IP hears of it when R1 is reached, for SYNs too (MUST-22). */
START_TEST(test_negative_advice)
{
	established();
	put(100);
	while (T.conn->rexmits < 2)
		tick(10);
	ck_assert_uint_eq(T.h.net.suspects, 0);
	while (T.conn->rexmits < 4)
		tick(10);
	ck_assert_uint_eq(T.h.net.suspects, 2);
	drain();
	trace_end();
}
END_TEST

START_TEST(test_negative_advice_syn)
{
	const struct ipaddr peer = ip4(2);

	trace_begin(NULL);
	T.c = host_connect(&T.h, &peer, SERVER_PORT);
	T.conn = T.c->conn;
	for (unsigned i = 0; i < 800; i++)
		tick(10);
	ck_assert_uint_eq(T.h.net.suspects, 1);
	drain();
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_negative_advice);
	tcase_add_test(tc, test_negative_advice_syn);
	tcase_add_test(tc, test_keepalive_answered);
	tcase_add_test(tc, test_keepalive_unanswered);
	tcase_add_test(tc, test_keepalive_waits_for_silence);
	tcase_add_test(tc, test_keepalive_of_the_peer);
	tcase_add_test(tc, test_user_timeout);
	tcase_add_test(tc, test_user_timeout_in_syn_sent);
	tcase_add_test(tc, test_idle_has_no_timer);
	tcase_add_test(tc, test_next_us);
}

int main(void)
{
	return trace_main("tcp_timer", (void (*const[])(TCase *)){ add }, 1);
}
