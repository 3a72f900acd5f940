/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How connections end: FIN in every order, half-close, TIME-WAIT and what may end it, RST, linger, owners that go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tcp_trace.h"

/* RFC 9293 3.6, figure 12: we close first. */
START_TEST(test_active_close)
{
	established();
	shut(SHUT_WR);
	expect(F | A, .seq = 1, .ack = 1);
	expect_state(TCP_FIN_WAIT_1);
	send(A, .seq = 1, .ack = 2);
	expect_state(TCP_FIN_WAIT_2);
	send(F | A, .seq = 1, .ack = 2);
	expect(A, .seq = 2, .ack = 2);
	expect_state(TCP_TIME_WAIT);
	ck_assert(view().fin && view().closed && view().err == 0);
	close_(-1);
	ck_assert_uint_eq(T.h.owner.conns, 0); /* TIME-WAIT is nobody's */
	ck_assert_uint_eq(T.h.let_go, 1);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 1);
	tick(59900);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 1);
	tick(200);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	T.conn = NULL;
	trace_end();
}
END_TEST

START_TEST(test_passive_close)
{
	established();
	send(F | A, .seq = 1, .ack = 1);
	expect(A, .seq = 1, .ack = 2);
	expect_state(TCP_CLOSE_WAIT);
	ck_assert(view().fin && !view().closed);
	put(100); /* half-close: we may go on */
	expect(A | P, .seq = 1, .ack = 2, .len = 100);
	send(A, .seq = 2, .ack = 101);
	close_(-1);
	expect(F | A, .seq = 101, .ack = 2);
	send(A, .seq = 2, .ack = 102);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	trace_end();
}
END_TEST

/* Figure 13: both at once. */
START_TEST(test_simultaneous_close)
{
	established();
	shut(SHUT_WR);
	expect(F | A, .seq = 1, .ack = 1);
	send(F | A, .seq = 1, .ack = 1);
	expect(A, .seq = 2, .ack = 2);
	expect_state(TCP_CLOSING);
	send(A, .seq = 2, .ack = 2);
	expect_state(TCP_TIME_WAIT);
	ck_assert(view().closed);
	trace_end();
}
END_TEST

/* The peer's FIN acknowledges ours: FIN-WAIT-1 straight to TIME-WAIT. */
START_TEST(test_fin_with_ack_of_fin)
{
	established();
	shut(SHUT_WR);
	expect(F | A, .seq = 1);
	send(F | A, .seq = 1, .ack = 2);
	expect(A, .seq = 2, .ack = 2);
	expect_state(TCP_TIME_WAIT);
	trace_end();
}
END_TEST

/* Data, then FIN with the last of it. */
START_TEST(test_fin_follows_data)
{
	established();
	put(2000);
	shut(SHUT_WR);
	expect(A, .seq = 1, .len = 1460);
	expect(P | A, .seq = 1461, .len = 540);
	expect(F | A, .seq = 2001);
	ck_assert_uint_eq(view().tx_acked, 0);
	send(A, .seq = 1, .ack = 2001);
	expect_state(TCP_FIN_WAIT_1);
	ck_assert_uint_eq(view().tx_acked, 2000);
	send(A, .seq = 1, .ack = 2002);
	expect_state(TCP_FIN_WAIT_2);
	trace_end();
}
END_TEST

/* In FIN-WAIT the other direction goes on. */
START_TEST(test_half_close_receives)
{
	in_state(TCP_FIN_WAIT_2);
	send(A | P, .seq = 1, .ack = 2, .len = 500);
	ck_assert_uint_eq(take(1000), 500);
	send(F | A | P, .seq = 501, .ack = 2, .len = 10);
	expect(A, .ack = 512);
	ck_assert_uint_eq(take(100), 10);
	expect_state(TCP_TIME_WAIT);
	trace_end();
}
END_TEST

/* A FIN that comes before its turn is remembered. */
START_TEST(test_early_fin)
{
	established();
	send(F | A, .seq = 101, .ack = 1, .len = 50);
	expect(A, .ack = 1);
	ck_assert(!view().fin);
	expect_state(TCP_ESTABLISHED);
	send(A, .seq = 1, .ack = 1, .len = 100);
	expect(A, .ack = 152);
	expect_state(TCP_CLOSE_WAIT);
	ck_assert_uint_eq(take(1000), 150);
	trace_end();
}
END_TEST

START_TEST(test_early_bare_fin)
{
	established();
	send(F | A, .seq = 101, .ack = 1);
	expect(A, .ack = 1);
	send(A, .seq = 1, .ack = 1, .len = 200); /* what lies beyond the FIN is not data */
	expect(A, .ack = 102);
	ck_assert_uint_eq(take(1000), 100);
	expect_state(TCP_CLOSE_WAIT);
	trace_end();
}
END_TEST

/* A FIN below what has been sent already is nonsense. */
START_TEST(test_fin_below_data)
{
	established();
	send(A, .seq = 201, .ack = 1, .len = 100);
	expect(A, .ack = 1);
	send(F | A, .seq = 101, .ack = 1, .len = 50);
	send(A, .seq = 1, .ack = 1, .len = 200);
	while (T.h.net.queued > 0)
		expect(A);
	ck_assert_uint_eq(view().rx_end, 300);
	expect_state(TCP_ESTABLISHED);
	trace_end();
}
END_TEST

/* 3.10.7.4, eighth: after the FIN nothing more is taken. */
START_TEST(test_data_after_fin)
{
	in_state(TCP_CLOSE_WAIT);
	send(A, .seq = 2, .ack = 1, .len = 50);
	ck_assert_uint_eq(view().rx_end, 0);
	while (T.h.net.queued > 0)
		expect(A, .ack = 2);
	trace_end();
}
END_TEST

/* The FIN is sent again like data (RFC 6298). */
START_TEST(test_fin_retransmission)
{
	in_state(TCP_FIN_WAIT_1);
	tick(1000);
	expect(F | A, .seq = 1, .ack = 1);
	send(A, .seq = 1, .ack = 2);
	expect_state(TCP_FIN_WAIT_2);
	trace_end();
}
END_TEST

START_TEST(test_last_ack_times_out)
{
	in_state(TCP_LAST_ACK);
	close_(-1);
	tick(2000000);
	while (T.h.net.queued > 0)
		expect(T.h.net.queued > 0 ? F | A : 0);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	ck_assert_uint_eq(counted(TCP_TIMEOUTS), 1);
	trace_end();
}
END_TEST

/* FIN-WAIT-2 of a connection whose program is gone does not last for ever; that of a half-closed one does. */
START_TEST(test_fin_wait_2_timeout)
{
	in_state(TCP_FIN_WAIT_2);
	tick(300000);
	expect_state(TCP_FIN_WAIT_2);
	close_(-1);
	ck_assert_uint_eq(T.h.owner.conns, 0);
	tick(59000);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 1);
	tick(2000);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	expect_none();
	trace_end();
}
END_TEST

/* --- RST */
START_TEST(test_rst_in_every_state)
{
	static const struct {
		enum tcp_state state;
		int err;
	} t[] = { { TCP_ESTABLISHED, ECONNRESET }, { TCP_FIN_WAIT_1, ECONNRESET }, { TCP_FIN_WAIT_2, ECONNRESET },
		  { TCP_CLOSE_WAIT, EPIPE },       { TCP_CLOSING, 0 },             { TCP_LAST_ACK, 0 } };
	enum tcp_state s = t[_i].state;

	in_state(s);
	send(R, .seq = s == TCP_ESTABLISHED || s == TCP_FIN_WAIT_1 || s == TCP_FIN_WAIT_2 ? 1 : 2);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, t[_i].err);
	expect_none();
	trace_end();
}
END_TEST

/* What was received in order before the RST may still be read. */
START_TEST(test_rst_keeps_what_came_before)
{
	established();
	send(A, .seq = 1, .ack = 1, .len = 100);
	send(R, .seq = 101);
	expect_state(TCP_CLOSED);
	ck_assert_uint_eq(take(1000), 100);
	ck_assert_uint_eq(T.h.owner.rx.used_count, 0);
	trace_end();
}
END_TEST

/* --- TIME-WAIT */
START_TEST(test_time_wait_fin_again)
{
	in_state(TCP_TIME_WAIT);
	tick(50000);
	send(F | A, .seq = 1, .ack = 2);
	expect(A, .seq = 2, .ack = 2);
	tick(50000); /* 2 MSL began anew */
	expect_state(TCP_TIME_WAIT);
	trace_end();
}
END_TEST

/* RFC 1337: neither RST nor old data ends it. */
START_TEST(test_time_wait_assassination)
{
	in_state(TCP_TIME_WAIT);
	send(R, .seq = 2);
	expect_none();
	expect_state(TCP_TIME_WAIT);
	send(A, .seq = 1, .ack = 1, .len = 0);
	expect(A, .seq = 2, .ack = 2);
	send(S, .seq = -100000);
	expect(A, .ack = 2);
	expect_state(TCP_TIME_WAIT);
	trace_end();
}
END_TEST

/* RFC 1122 4.2.2.13: a SYN with a higher number opens anew, with a higher number of ours. */
START_TEST(test_time_wait_reuse)
{
	uint32_t iss;

	in_state(TCP_TIME_WAIT);
	iss = T.iss;
	close_(-1);
	T.conn = NULL;
	T.c = NULL;
	send(S, .seq = 1000, .mss = 1460);
	expect(S | A, .ack = 1001);
	ck_assert_int_gt((int32_t)(T.iss - iss), 65536);
	ck_assert_uint_eq(counted(TCP_TW_REUSED), 1);
	trace_end();
}
END_TEST

/* RFC 6191: with timestamps, a newer one is enough, and an older one is too little. */
START_TEST(test_time_wait_reuse_by_timestamp)
{
	trace_begin(NULL);
	T.h.tcp->conf.timestamps = true;
	host_listen(&T.h, SERVER_PORT, 10);
	T.peer_ts = 5000;
	send(S, .mss = 1460, .ts = 1, .ts_val = 5000);
	expect(S | A);
	send(A, .seq = 1, .ack = 1);
	close_(-1);
	expect(F | A, .seq = 1);
	send(F | A, .seq = 1, .ack = 2);
	expect(A, .ack = 2);
	T.conn = NULL;
	T.c = NULL;
	send(S, .seq = 5000, .mss = 1460, .ts = 1, .ts_val = 4999);
	expect(A, .ack = 2);
	send(S, .seq = -5000, .mss = 1460, .ts = 1, .ts_val = 5001);
	expect(S | A, .ack = -4999);
	trace_end();
}
END_TEST

/* We open again from the same port (RFC 6191): only after a second, and above all numbers used. */
static void one_port(struct tcp_conf *c)
{
	c->timestamps = true;
	c->port_min = c->port_max = 40000;
}

START_TEST(test_time_wait_reuse_by_open)
{
	struct ipaddr peer = ip4(2);
	struct tcp_open o = { .dst = peer, .dport = SERVER_PORT };
	struct tcp_conn *c;
	uint32_t iss;

	trace_begin(one_port);
	T.peer_ts = 5000;
	T.c = host_connect(&T.h, &peer, SERVER_PORT);
	T.conn = T.c->conn;
	settle();
	expect(S);
	send(S | A, .ack = 1, .mss = 1460);
	expect(A);
	close_(-1);
	expect(F | A);
	send(F | A, .seq = 1, .ack = 2);
	expect(A);
	iss = T.iss;
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c), -EADDRNOTAVAIL);
	tick(1100);
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c), 0);
	settle();
	expect(S);
	ck_assert_int_gt((int32_t)(T.iss - iss), 65536);
	trace_end();
}
END_TEST

/* A full table: the oldest TIME-WAIT makes room. */
static void two_conns(struct tcp_conf *c)
{
	c->max_conns = 2;
}

START_TEST(test_time_wait_evicted)
{
	trace_begin(two_conns);
	host_listen(&T.h, SERVER_PORT, 10);
	for (unsigned i = 0; i < 2; i++) {
		send(S, .sport = (uint16_t)(1000 + i), .mss = 1460);
		expect(S | A);
		send(A, .sport = (uint16_t)(1000 + i), .seq = 1, .ack = 1);
		T.conn = NULL;
		if (i == 0) {
			T.c = T.h.accepted[0];
			close_(-1);
			T.conn = NULL;
			expect(F | A);
			send(F | A, .sport = 1000, .seq = 1, .ack = 2);
			expect(A);
			T.conn = NULL;
		}
	}
	send(S, .sport = 1002, .mss = 1460);
	expect(S | A);
	ck_assert_uint_eq(T.h.tcp->flows.count, 2);
	send(S, .sport = 1003, .mss = 1460);
	expect_none();
	ck_assert_uint_eq(counted(TCP_NO_CONN), 1);
	trace_end();
}
END_TEST

/* --- What the program does */

/* RFC 2525 2.17: unread data and close is RST. */
START_TEST(test_close_with_unread_data)
{
	established();
	send(A, .seq = 1, .ack = 1, .len = 100);
	close_(-1);
	expect(R | A, .seq = 1, .ack = 101);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	ck_assert_uint_eq(T.h.owner.rx.used_count, 0);
	trace_end();
}
END_TEST

/* RFC 9293 3.6.1: data for a program that is gone is answered with RST. */
START_TEST(test_data_after_close)
{
	established();
	close_(-1);
	expect(F | A, .seq = 1);
	send(A, .seq = 1, .ack = 2, .len = 10);
	expect(R, .seq = 2);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	trace_end();
}
END_TEST

/* The released connection finishes its bytes, and only then lets go of the owner's memory. */
START_TEST(test_close_finishes_queued_data)
{
	established();
	put(20000);
	close_(-1);
	ck_assert_uint_eq(T.h.owner.conns, 1);
	for (unsigned acked = 0; acked < 20000;) {
		ck_assert_uint_eq(T.h.let_go, 0);
		while (T.h.net.queued > 0) {
			struct pkt *p = host_sent(&T.h);

			acked += p->tcp.text_len;
			nic_free(p);
		}
		send(A, .seq = 1, .ack = 1 + acked);
	}
	ck_assert_uint_eq(T.h.let_go, 1);
	ck_assert_uint_eq(T.h.owner.conns, 0);
	trace_end();
}
END_TEST

START_TEST(test_linger_zero)
{
	established();
	put(100);
	expect(A | P);
	close_(0);
	expect(R | A, .seq = 101, .ack = 1);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	ck_assert_uint_eq(T.h.let_go, 1);
	trace_end();
}
END_TEST

START_TEST(test_linger_runs_out)
{
	established();
	put(100);
	expect(A | P);
	close_(2);
	expect(F | A, .seq = 101);
	tick(1900);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 1);
	tick(200);
	while (T.h.net.queued > 1)
		nic_free(host_sent(&T.h));
	expect(R | A);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	trace_end();
}
END_TEST

START_TEST(test_linger_was_enough)
{
	established();
	put(100);
	expect(A | P);
	close_(2);
	expect(F | A, .seq = 101);
	send(A, .seq = 1, .ack = 102);
	tick(5000);
	expect_none();
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 1); /* FIN-WAIT-2 */
	trace_end();
}
END_TEST

START_TEST(test_close_in_syn_sent)
{
	connecting();
	close_(-1);
	expect_none();
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	trace_end();
}
END_TEST

/* 3.10.4, SYN-RECEIVED: the FIN waits for ESTABLISHED. */
START_TEST(test_shutdown_in_syn_sent)
{
	connecting();
	shut(SHUT_WR);
	expect_none();
	send(S | A, .ack = 1, .mss = 1460);
	expect(F | A, .seq = 1, .ack = 1);
	expect_state(TCP_FIN_WAIT_1);
	trace_end();
}
END_TEST

START_TEST(test_release_after_reset)
{
	established();
	send(R, .seq = 1);
	expect_state(TCP_CLOSED);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 1);
	close_(-1);
	ck_assert_uint_eq(T.h.let_go, 1);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	expect_none();
	trace_end();
}
END_TEST

/* A dead owner: its connections are reset within the budget, those it had closed may finish. */
START_TEST(test_owner_gone)
{
	established();
	put(100);
	expect(A | P, .len = 100);
	send(S, .sport = 999, .mss = 1460, .seq = 0);
	T.c->released = true;
	T.h.accepted[0] = NULL;
	ck_assert_uint_eq(tcp_owner_gone(T.h.tcp, &T.h.owner, false, 1), 1);
	ck_assert_uint_eq(tcp_owner_gone(T.h.tcp, &T.h.owner, false, 10), 1);
	ck_assert_uint_eq(tcp_owner_gone(T.h.tcp, &T.h.owner, false, 10), 0);
	ck_assert_uint_eq(T.h.owner.conns, 0);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	settle();
	expect(R | A);
	expect(R | A);
	ck_assert_uint_eq(T.h.let_go, 0);
	bytes_clear(&T.c->tx, &T.h.tx_pool);
	free(T.c);
	T.c = NULL;
	trace_end();
}
END_TEST

START_TEST(test_owner_gone_spares_released)
{
	struct prog *p = established();

	put(100);
	expect(A | P);
	close_(-1);
	expect(F | A, .seq = 101);
	ck_assert_uint_eq(tcp_owner_gone(T.h.tcp, &T.h.owner, false, 10), 0);
	ck_assert_uint_eq(T.h.owner.conns, 1);
	ck_assert_uint_eq(tcp_owner_gone(T.h.tcp, &T.h.owner, true, 10), 1);
	settle();
	expect(R | A, .seq = 102);
	ck_assert_uint_eq(T.h.owner.conns, 0);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	bytes_clear(&p->tx, &T.h.tx_pool);
	free(p);
	trace_end();
}
END_TEST

START_TEST(test_reset_all)
{
	established();
	send(S, .sport = 999, .mss = 1460);
	nic_free(host_sent(&T.h));
	ck_assert_uint_eq(tcp_reset_all(T.h.tcp, 1), 1);
	ck_assert_uint_eq(tcp_reset_all(T.h.tcp, 5), 1);
	ck_assert_uint_eq(tcp_reset_all(T.h.tcp, 5), 0);
	settle();
	expect(R | A);
	expect(R | A);
	ck_assert_int_eq(T.c->err, ECONNABORTED);
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_active_close);
	tcase_add_test(tc, test_passive_close);
	tcase_add_test(tc, test_simultaneous_close);
	tcase_add_test(tc, test_fin_with_ack_of_fin);
	tcase_add_test(tc, test_fin_follows_data);
	tcase_add_test(tc, test_half_close_receives);
	tcase_add_test(tc, test_early_fin);
	tcase_add_test(tc, test_early_bare_fin);
	tcase_add_test(tc, test_fin_below_data);
	tcase_add_test(tc, test_data_after_fin);
	tcase_add_test(tc, test_fin_retransmission);
	tcase_add_test(tc, test_last_ack_times_out);
	tcase_add_test(tc, test_fin_wait_2_timeout);
	tcase_add_loop_test(tc, test_rst_in_every_state, 0, 6);
	tcase_add_test(tc, test_rst_keeps_what_came_before);
	tcase_add_test(tc, test_time_wait_fin_again);
	tcase_add_test(tc, test_time_wait_assassination);
	tcase_add_test(tc, test_time_wait_reuse);
	tcase_add_test(tc, test_time_wait_reuse_by_timestamp);
	tcase_add_test(tc, test_time_wait_reuse_by_open);
	tcase_add_test(tc, test_time_wait_evicted);
	tcase_add_test(tc, test_close_with_unread_data);
	tcase_add_test(tc, test_data_after_close);
	tcase_add_test(tc, test_close_finishes_queued_data);
	tcase_add_test(tc, test_linger_zero);
	tcase_add_test(tc, test_linger_runs_out);
	tcase_add_test(tc, test_linger_was_enough);
	tcase_add_test(tc, test_close_in_syn_sent);
	tcase_add_test(tc, test_shutdown_in_syn_sent);
	tcase_add_test(tc, test_release_after_reset);
	tcase_add_test(tc, test_owner_gone);
	tcase_add_test(tc, test_owner_gone_spares_released);
	tcase_add_test(tc, test_reset_all);
}

int main(void)
{
	return trace_main("tcp_close", (void (*const[])(TCase *)){ add }, 1);
}
