/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How connections begin: RFC 9293 3.5 and 3.10.7.2-4, negotiation, the queues of a listener, cookies, source ports.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/tcp_trace.h"

static void all_options(struct tcp_conf *c)
{
	c->timestamps = c->sack = c->window_scaling = true;
}

static void listening(host_tweak tweak, uint32_t backlog)
{
	trace_begin(tweak);
	host_listen(&T.h, SERVER_PORT, backlog);
}

/* RFC 9293 3.5, figure 6 */
START_TEST(test_passive_open)
{
	listening(NULL, 10);
	send(S, .seq = 0, .mss = 1460);
	expect(S | A, .seq = 0, .ack = 1, .mss = 1460);
	ck_assert_uint_eq(T.h.listener->lane[0].syns, 1);
	ck_assert_uint_eq(T.h.owner.conns, 1);
	send(A, .seq = 1, .ack = 1);
	expect_none();
	ck_assert_ptr_nonnull(T.c);
	expect_state(TCP_ESTABLISHED);
	ck_assert(T.c->accepted);
	ck_assert(view().connected);
	ck_assert_uint_eq(T.h.listener->lane[0].syns, 0);
	ck_assert_uint_eq(counted(TCP_PASSIVE), 1);
	trace_end();
}
END_TEST

START_TEST(test_active_open)
{
	connecting();
	ck_assert(!view().connected);
	send(S | A, .seq = 0, .ack = 1, .mss = 1000);
	expect(A, .seq = 1, .ack = 1);
	expect_state(TCP_ESTABLISHED);
	ck_assert(T.c->open);
	ck_assert_uint_eq(view().mss, 1000);
	ck_assert_uint_eq(counted(TCP_ACTIVE), 1);
	trace_end();
}
END_TEST

/* RFC 9293 3.5, figure 7 */
START_TEST(test_simultaneous_open)
{
	connecting();
	send(S, .seq = 0, .mss = 1460);
	expect(S | A, .seq = 0, .ack = 1);
	expect_state(TCP_SYN_RCVD);
	send(S | A, .seq = 0, .ack = 1, .mss = 1460);
	expect_state(TCP_ESTABLISHED);
	ck_assert(T.c->open);
	expect_none();
	put(10);
	expect(A | P, .seq = 1, .ack = 1, .len = 10);
	trace_end();
}
END_TEST

/* The same, where the peer answers with a plain ACK. */
START_TEST(test_simultaneous_open_ack)
{
	connecting();
	send(S, .seq = 0);
	expect(S | A, .seq = 0, .ack = 1);
	send(A, .seq = 1, .ack = 1);
	expect_state(TCP_ESTABLISHED);
	trace_end();
}
END_TEST

/* RFC 9293 3.7.1: without the option, 536. */
START_TEST(test_mss_default)
{
	established_with((struct seg){ .mss = 0 });
	put(2000);
	expect(A, .seq = 1, .len = 536);
	expect(A, .seq = 537, .len = 536);
	expect(A, .seq = 1073, .len = 536);
	expect(A | P, .seq = 1609, .len = 392);
	trace_end();
}
END_TEST

/* A peer's MSS of one byte must not make us send a segment a byte, nor one for every few. */
START_TEST(test_mss_tiny)
{
	established_with((struct seg){ .mss = 1 });
	put(96);
	expect(A, .len = 48);
	expect(A | P, .len = 48);
	trace_end();
}
END_TEST

/* RFC 6691: options come off the payload. */
START_TEST(test_mss_less_timestamps)
{
	trace_begin(all_options);
	host_listen(&T.h, SERVER_PORT, 10);
	T.peer_ts = 1000;
	send(S, .mss = 1460, .ts = 1, .ts_val = 1000, .ws = 7, .sack_ok = 1);
	expect(S | A, .ack = 1);
	ck_assert_uint_eq(T.opts.has, SEG_HAS_MSS | SEG_HAS_TS | SEG_HAS_WS | SEG_HAS_SACK_OK);
	ck_assert_uint_eq(T.opts.ts_ecr, 1000);
	ck_assert_uint_eq(T.opts.shift, 7); /* 4 MiB */
	send(A, .seq = 1, .ack = 1);
	put(3000);
	expect(A, .seq = 1, .len = 1448);
	ck_assert_uint_eq(T.opts.has, SEG_HAS_TS);
	expect(A, .seq = 1449, .len = 1448);
	expect(A | P, .len = 104);
	trace_end();
}
END_TEST

/* RFC 7323 1.3, RFC 2018 2: only what both offer is used. */
START_TEST(test_nothing_offered_nothing_answered)
{
	listening(all_options, 10);
	send(S, .mss = 1460);
	expect(S | A, .ack = 1);
	ck_assert_uint_eq(T.opts.has, SEG_HAS_MSS);
	send(A, .seq = 1, .ack = 1);
	put(1460);
	expect(A | P, .len = 1460);
	ck_assert_uint_eq(T.opts.has, 0);
	trace_end();
}
END_TEST

START_TEST(test_active_negotiation)
{
	struct ipaddr peer = ip4(2);

	trace_begin(all_options);
	T.c = host_connect(&T.h, &peer, SERVER_PORT);
	T.conn = T.c->conn;
	settle();
	expect(S);
	ck_assert_uint_eq(T.opts.has, SEG_HAS_MSS | SEG_HAS_TS | SEG_HAS_WS | SEG_HAS_SACK_OK);
	send(S | A, .ack = 1, .ws = 3, .mss = 1400); /* it speaks window scaling alone */
	expect(A, .seq = 1, .ack = 1);
	ck_assert_uint_eq(T.opts.has, 0);
	ck_assert_uint_eq(T.conn->snd_shift, 3);
	send(A, .seq = 1, .ack = 1, .wnd = 1000);
	ck_assert_uint_eq(T.conn->snd_wnd, 8000);
	trace_end();
}
END_TEST

/* RFC 7323 2.2: the window in a SYN is never scaled. */
START_TEST(test_syn_window_is_not_scaled)
{
	listening(all_options, 10);
	send(S, .mss = 1460, .ws = 10, .wnd = 2000);
	expect(S | A, .wnd = 65535);
	send(A, .seq = 1, .ack = 1, .wnd = 3);
	put(5000);
	expect(A, .len = 1460);
	expect(A, .len = 1460); /* 3 << 10; the rest is less than half of that and waits */
	expect_none();
	trace_end();
}
END_TEST

/* RFC 9293 3.8.1, RFC 6298: SYN and SYN-ACK are sent again, doubling; then the program is told. */
START_TEST(test_syn_retransmission)
{
	uint32_t wait = 1000;

	connecting();
	for (unsigned i = 0; i < 7; i++, wait *= 2) {
		tick(wait - 1);
		expect_none();
		tick(1);
		expect(S, .seq = 0);
	}
	tick(120000); /* never longer between two */
	expect_none();
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ETIMEDOUT);
	ck_assert_uint_eq(counted(TCP_ATTEMPT_FAILS), 1);
	trace_end();
}
END_TEST

START_TEST(test_syn_ack_retransmission)
{
	listening(NULL, 10);
	send(S, .mss = 1460);
	expect(S | A, .seq = 0, .ack = 1);
	tick(1000);
	expect(S | A, .seq = 0, .ack = 1);
	tick(2000);
	expect(S | A, .seq = 0, .ack = 1);
	send(S, .seq = 0, .mss = 1460); /* the SYN again: the answer again */
	expect(S | A, .seq = 0, .ack = 1);
	tick(200000);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	ck_assert_uint_eq(T.h.owner.conns, 0);
	while (T.h.net.queued > 0)
		expect(S | A);
	trace_end();
}
END_TEST

/* RFC 9293 3.10.7.3 */
START_TEST(test_syn_sent_rst)
{
	connecting();
	send(R, .seq = 0); /* no ACK: not for us */
	expect_state(TCP_SYN_SENT);
	send(R | A, .seq = 0, .ack = 7);
	expect_state(TCP_SYN_SENT);
	send(R | A, .seq = 0, .ack = 1);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ECONNREFUSED);
	expect_none();
	trace_end();
}
END_TEST

START_TEST(test_syn_sent_bad_ack)
{
	connecting();
	send(A, .seq = 500, .ack = 99); /* an old half-open connection, figure 9 */
	expect(R, .seq = 99);
	send(S | A, .seq = 500, .ack = 0);
	expect(R, .seq = 0);
	expect_state(TCP_SYN_SENT);
	send(A, .seq = 5, .ack = 1); /* a good ACK without SYN: dropped */
	expect_none();
	expect_state(TCP_SYN_SENT);
	trace_end();
}
END_TEST

/* RFC 9293 3.10.7.4, SYN-RECEIVED: an ACK of something else is answered with RST. */
START_TEST(test_syn_received_bad_ack)
{
	listening(NULL, 10);
	send(S, .mss = 1460);
	expect(S | A, .seq = 0);
	send(A, .seq = 1, .ack = 55);
	expect(R, .seq = 55);
	send(A, .seq = 1, .ack = 0);
	expect(R, .seq = 0);
	send(A, .seq = 1, .ack = 1);
	expect_none();
	expect_state(TCP_ESTABLISHED);
	trace_end();
}
END_TEST

START_TEST(test_syn_received_rst)
{
	listening(NULL, 10);
	send(S, .mss = 1460);
	expect(S | A);
	send(R, .seq = 2); /* RFC 5961 3.2: in the window, but not exact */
	expect(A, .ack = 1);
	send(R, .seq = 1);
	expect_none();
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	trace_end();
}
END_TEST

/* 3.10.7.1: nobody listens. */
START_TEST(test_closed_port)
{
	trace_begin(NULL);
	send(S, .seq = 5, .mss = 1460);
	expect(R | A, .ack = 6);
	send(A, .seq = 5, .ack = 77);
	expect(R, .seq = 77);
	send(F, .seq = 5, .len = 10);
	expect(R | A, .ack = 16);
	send(0, .seq = 5);
	expect(R | A, .ack = 5);
	send(R, .seq = 5);
	send(R | A, .seq = 5, .ack = 5);
	expect_none();
	ck_assert_uint_eq(counted(TCP_NO_LISTENER), 4);
	trace_end();
}
END_TEST

/* 3.10.7.2: at a listener. */
START_TEST(test_listen_stray_segments)
{
	listening(NULL, 10);
	send(R, .seq = 5);
	expect_none();
	send(A, .seq = 5, .ack = 9);
	expect(R, .seq = 9);
	send(S | A, .seq = 5, .ack = 9);
	expect(R, .seq = 9);
	send(F, .seq = 5);
	send(0, .seq = 5);
	send(F | P | U, .seq = 5); /* Xmas */
	expect_none();
	send(S | F, .seq = 5);
	expect_none();
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	trace_end();
}
END_TEST

/* 3.9.2.3: what was sent to all is not answered. */
START_TEST(test_multicast_is_not_answered)
{
	listening(NULL, 10);
	send(S, .seq = 5, .pkt_flags = PKT_MCAST);
	send(A, .seq = 5, .ack = 5, .pkt_flags = PKT_MCAST);
	expect_none();
	trace_end();
}
END_TEST

/* A SYN and its ACK in one burst: the second was looked up before the connection was there. */
START_TEST(test_syn_and_ack_in_one_burst)
{
	listening(NULL, 10);
	send(S, .mss = 1460, .later = true);
	T.iss = secret_isn(&T.h.tcp->secret, &(struct tuple){ ip4(1), ip4(2), 80, PEER_PORT }, T.h.now_us);
	tcp_settle(T.h.tcp, 10, T.h.now_us);
	send(A, .seq = 1, .ack = 1, .later = true);
	send(A | P, .seq = 1, .ack = 1, .len = 10);
	expect(S | A);
	ck_assert_ptr_nonnull(T.c);
	ck_assert_uint_eq(take(100), 10);
	trace_end();
}
END_TEST

/* Data with the handshake's last ACK, before the program has accepted. */
START_TEST(test_data_before_accept)
{
	listening(NULL, 10);
	T.h.auto_accept = false;
	send(S, .mss = 1460);
	expect(S | A);
	send(A | P, .seq = 1, .ack = 1, .len = 100);
	send(A | P, .seq = 101, .ack = 1, .len = 100);
	ck_assert_ptr_null(T.c);
	ck_assert_uint_eq(T.h.listener->lane[0].waiting, 1);
	T.h.auto_accept = true;
	tcp_mark(T.h.tcp, TAILQ_FIRST(&T.h.tcp->young));
	settle();
	ck_assert_ptr_nonnull(T.c);
	ck_assert_uint_eq(T.h.listener->lane[0].waiting, 0);
	ck_assert_uint_eq(take(1000), 200);
	trace_end();
}
END_TEST

/* With the backlog full, the last ACK is held back, not lost: the SYN-ACK brings it again. New SYNs are dropped. */
START_TEST(test_backlog_full)
{
	listening(NULL, 1);
	T.h.auto_accept = false;
	send(S, .sport = 1001, .mss = 1460);
	expect(S | A);
	send(S, .sport = 1002, .mss = 1460);
	T.iss = T.h.net.head != NULL ? T.iss : 0;
	expect(S | A);
	{
		uint32_t iss2 = T.iss;
		struct tcp_conn *first = TAILQ_FIRST(&T.h.tcp->young);

		T.iss = first->iss;
		send(A, .sport = 1001, .seq = 1, .ack = 1);
		ck_assert_uint_eq(T.h.listener->lane[0].waiting, 1);
		T.iss = iss2;
		send(A, .sport = 1002, .seq = 1, .ack = 1);
		ck_assert_uint_eq(T.h.listener->lane[0].waiting, 1);
		ck_assert_uint_eq(counted(TCP_ACCEPT_FULL), 1);
		send(S, .sport = 1003, .mss = 1460);
		expect_none();
		ck_assert_uint_eq(counted(TCP_SYN_DROP), 1);
		T.h.auto_accept = true;
		tcp_mark(T.h.tcp, first);
		settle();
		tick(1000);
		expect(S | A, .seq = 0, .ack = 1);
		send(A, .sport = 1002, .seq = 1, .ack = 1);
		ck_assert_uint_eq(T.h.accepts, 2);
	}
	trace_end();
}
END_TEST

START_TEST(test_owner_limit)
{
	struct tcp_open o = { .dst = ip4(2), .dport = 80 };
	struct tcp_conn *c;

	listening(NULL, 10);
	T.h.owner.conns_max = 1;
	send(S, .sport = 1001, .mss = 1460);
	expect(S | A);
	send(S, .sport = 1002, .mss = 1460);
	expect_none();
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c), -EMFILE);
	trace_end();
}
END_TEST

/* --- SYN cookies, RFC 4987 3.6 */
static void small_queue(struct tcp_conf *c)
{
	all_options(c);
	c->syn_queue = 2;
}

static void flood(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		send(S, .sport = (uint16_t)(2000 + i), .mss = 1460);
	while (T.h.net.queued > 0)
		expect(S | A);
}

START_TEST(test_cookie_with_timestamps)
{
	listening(small_queue, 10);
	flood(100);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 2); /* the flood costs no more */
	ck_assert_uint_eq(counted(TCP_SYN_COOKIE_OUT), 98);
	T.peer_ts = 4000;
	send(S, .mss = 1400, .ws = 5, .sack_ok = 1, .ts = 1, .ts_val = 4000);
	expect(S | A, .ack = 1);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 2);
	tick(100);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	send(A | P, .seq = 1, .ack = 1, .len = 50, .wnd = 1000);
	ck_assert_ptr_nonnull(T.c);
	expect_state(TCP_ESTABLISHED);
	ck_assert_uint_eq(T.conn->flags & (CONN_TS | CONN_WS | CONN_SACK), CONN_TS | CONN_WS | CONN_SACK);
	ck_assert_uint_eq(T.conn->snd_shift, 5);
	ck_assert_uint_eq(T.conn->snd_wnd, 32000);
	ck_assert_uint_le(view().mss, 1400 - 12);
	ck_assert_uint_ge(view().mss, 1220 - 12);
	ck_assert_uint_eq(take(100), 50);
	ck_assert_uint_eq(counted(TCP_SYN_COOKIE_IN), 1);
	put(100);
	expect(A | P, .seq = 1, .ack = 51, .len = 100);
	trace_end();
}
END_TEST

/* ECN that was asked for is granted, and remembered by the timestamp like the rest. */
START_TEST(test_cookie_with_ecn)
{
	uint8_t ask = _i == 0 ? SEG_ECE | SEG_CWR : 0;

	listening(small_queue, 10);
	flood(3);
	send(S | ask, .mss = 1460, .ts = 1, .ts_val = 4000);
	expect(S | A | (ask & SEG_ECE), .ack = 1);
	T.peer_ts = 4000;
	tick(1);
	send(A, .seq = 1, .ack = 1);
	ck_assert_ptr_nonnull(T.c);
	ck_assert_uint_eq(T.conn->ecn & ECN_OK, _i == 0 ? ECN_OK : 0);
	trace_end();
}
END_TEST

START_TEST(test_cookie_without_options)
{
	listening(small_queue, 10);
	flood(10);
	send(S);
	expect(S | A, .ack = 1);
	ck_assert_uint_eq(T.opts.has, SEG_HAS_MSS);
	send(A, .seq = 1, .ack = 1);
	ck_assert_ptr_nonnull(T.c);
	ck_assert_uint_eq(view().mss, 536);
	trace_end();
}
END_TEST

START_TEST(test_cookie_forged_or_late)
{
	listening(small_queue, 10);
	flood(10);
	send(S, .mss = 1460);
	expect(S | A);
	send(A, .seq = 1, .ack = 2);
	expect(R, .seq = 2);
	send(A, .seq = 2, .ack = 1); /* for another ISN of the peer */
	expect(R, .seq = 1);
	send(A, .seq = 1, .ack = 1, .sport = 9);
	expect(R, .seq = 1);
	ck_assert_uint_eq(counted(TCP_SYN_COOKIE_BAD), 3);
	tick(200000);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	send(A, .seq = 1, .ack = 1);
	expect(R, .seq = 1);
	ck_assert_ptr_null(T.c);
	trace_end();
}
END_TEST

/* No cookie was sent lately: an ACK out of nowhere is answered at once. */
START_TEST(test_no_cookie_without_flood)
{
	listening(small_queue, 10);
	send(A, .seq = 1, .ack = 1);
	expect(R, .seq = 1);
	ck_assert_uint_eq(counted(TCP_SYN_COOKIE_BAD), 0);
	trace_end();
}
END_TEST

static void no_cookies(struct tcp_conf *c)
{
	c->syn_queue = 2;
	c->syn_cookies = false;
}

START_TEST(test_syn_queue_without_cookies)
{
	listening(no_cookies, 10);
	flood(5);
	ck_assert_uint_eq(counted(TCP_SYN_DROP), 3);
	trace_end();
}
END_TEST

/* --- Listeners that go */
START_TEST(test_listener_gone)
{
	listening(NULL, 10);
	T.h.auto_accept = false;
	send(S, .sport = 1001, .mss = 1460);
	expect(S | A);
	send(S, .sport = 1002, .mss = 1460);
	expect(S | A);
	send(A, .sport = 1002, .seq = 1, .ack = 1); /* established, not taken */
	ck_assert_uint_eq(tcp_listener_gone(T.h.tcp, T.h.listener, 1), 1);
	ck_assert_uint_eq(tcp_listener_gone(T.h.tcp, T.h.listener, 10), 1);
	ck_assert_uint_eq(tcp_listener_gone(T.h.tcp, T.h.listener, 10), 0);
	ck_assert_uint_eq(T.h.owner.conns, 0);
	settle();
	expect(R | A);
	expect(R | A);
	trace_end();
}
END_TEST

/* One whose program has taken its connection keeps it. */
START_TEST(test_listener_gone_keeps_accepted)
{
	established();
	ck_assert_uint_eq(tcp_listener_gone(T.h.tcp, T.h.listener, 10), 0);
	listen_remove(T.h.listeners, T.h.listener);
	listen_free(T.h.listener);
	T.h.listener = NULL;
	put(10);
	expect(A | P, .len = 10);
	trace_end();
}
END_TEST

/* --- Source ports, RFC 6056 */
static bool odd_hash(void *arg, uint32_t hash)
{
	(void)arg;
	return hash % 2 == 1;
}

static bool reserve_low(void *arg, const struct ipaddr *addr, uint16_t port)
{
	(void)arg;
	(void)addr;
	return port < 33000;
}

static void few_ports(struct tcp_conf *c)
{
	c->port_min = 32990;
	c->port_max = 33009;
}

START_TEST(test_source_ports)
{
	struct tcp_open o = { .dst = ip4(2), .dport = 80 };
	struct tcp_conn *c, *other;
	unsigned n = 0;
	int err;

	trace_begin(few_ports);
	T.h.tcp->hooks.tuple_is_mine = odd_hash;
	T.h.tcp->hooks.port_reserved = reserve_low;
	while ((err = tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c)) == 0) {
		ck_assert(c->lport >= 33000 && c->lport <= 33009 && c->hash % 2 == 1);
		n++;
	}
	ck_assert_int_eq(err, -EADDRNOTAVAIL);
	ck_assert_uint_eq(n, 5);
	o.dport = 82; /* another peer: the ports are free again */
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &other), 0);
	o.sport = other->lport;
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c), -EADDRINUSE);
	o.sport ^= 1;
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c), -EADDRNOTAVAIL); /* another engine's */
	o.dport = 0;
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c), -EINVAL);
	o.dport = 80;
	T.h.net.no_route = true;
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c), -ENETUNREACH);
	T.h.net.no_route = false;
	o.src = ip4(99);
	ck_assert_int_eq(tcp_open(T.h.tcp, &T.h.owner, &o, T.h.now_us, &c), -EADDRNOTAVAIL);
	trace_end();
}
END_TEST

/* No frame for the SYN: the timer tries again. */
START_TEST(test_syn_without_buffer)
{
	struct ipaddr peer = ip4(2);

	trace_begin(NULL);
	T.h.net.no_buffer = true;
	T.c = host_connect(&T.h, &peer, SERVER_PORT);
	T.conn = T.c->conn;
	settle();
	T.h.net.no_buffer = false;
	expect_none();
	tick(1000);
	expect(S, .seq = 0);
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_passive_open);
	tcase_add_test(tc, test_active_open);
	tcase_add_test(tc, test_simultaneous_open);
	tcase_add_test(tc, test_simultaneous_open_ack);
	tcase_add_test(tc, test_mss_default);
	tcase_add_test(tc, test_mss_tiny);
	tcase_add_test(tc, test_mss_less_timestamps);
	tcase_add_test(tc, test_nothing_offered_nothing_answered);
	tcase_add_test(tc, test_active_negotiation);
	tcase_add_test(tc, test_syn_window_is_not_scaled);
	tcase_add_test(tc, test_syn_retransmission);
	tcase_add_test(tc, test_syn_ack_retransmission);
	tcase_add_test(tc, test_syn_sent_rst);
	tcase_add_test(tc, test_syn_sent_bad_ack);
	tcase_add_test(tc, test_syn_received_bad_ack);
	tcase_add_test(tc, test_syn_received_rst);
	tcase_add_test(tc, test_closed_port);
	tcase_add_test(tc, test_listen_stray_segments);
	tcase_add_test(tc, test_multicast_is_not_answered);
	tcase_add_test(tc, test_syn_and_ack_in_one_burst);
	tcase_add_test(tc, test_data_before_accept);
	tcase_add_test(tc, test_backlog_full);
	tcase_add_test(tc, test_owner_limit);
	tcase_add_test(tc, test_cookie_with_timestamps);
	tcase_add_loop_test(tc, test_cookie_with_ecn, 0, 2);
	tcase_add_test(tc, test_cookie_without_options);
	tcase_add_test(tc, test_cookie_forged_or_late);
	tcase_add_test(tc, test_no_cookie_without_flood);
	tcase_add_test(tc, test_syn_queue_without_cookies);
	tcase_add_test(tc, test_listener_gone);
	tcase_add_test(tc, test_listener_gone_keeps_accepted);
	tcase_add_test(tc, test_source_ports);
	tcase_add_test(tc, test_syn_without_buffer);
}

int main(void)
{
	return trace_main("tcp_open", (void (*const[])(TCase *)){ add }, 1);
}
