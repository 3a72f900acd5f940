/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is bounded, and what becomes of those beyond the bound: challenge ACKs (RFC 5961), orphans, the accept queue, the time that
 * a closed window may last (RFC 5482).
 */
#include <errno.h>

#include "tests/unit/tcp_trace.h"

static void drain(void)
{
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
}

/* --- Challenge ACKs of the engine: the number of a second is not to be known (CVE-2016-5696). */
enum { LIMIT = 4, SECONDS = 24 };

static void few_challenges(struct tcp_conf *c)
{
	c->challenge_limit = LIMIT;
}

static unsigned challenges_in_a_second(void)
{
	uint64_t before = counted(TCP_CHALLENGE);

	for (unsigned i = 0; i < 10; i++) /* the connection's own limit is ten in five seconds */
		send(R, .seq = 2);
	drain();
	tick(6000);
	return (unsigned)(counted(TCP_CHALLENGE) - before);
}

static unsigned long long numbers_of_many_seconds(uint8_t secret)
{
	unsigned long long all = 0;
	unsigned least = 99, most = 0;

	trace_begin(few_challenges);
	T.h.tcp->secret.key[3] ^= secret;
	host_listen(&T.h, SERVER_PORT, 10);
	send(S, .mss = 1460);
	expect(S | A);
	send(A, .seq = 1, .ack = 1);
	for (unsigned i = 0; i < SECONDS; i++) {
		unsigned n = challenges_in_a_second();

		least = n < least ? n : least;
		most = n > most ? n : most;
		all = all * (LIMIT + 1) + n - LIMIT / 2;
	}
	ck_assert_uint_ge(least, LIMIT / 2);
	ck_assert_uint_le(most, LIMIT / 2 + LIMIT);
	ck_assert_uint_lt(least, most);
	ck_assert_uint_gt(counted(TCP_CHALLENGE_LIMIT), 0);
	trace_end();
	return all;
}

START_TEST(test_challenges_cannot_be_counted)
{
	ck_assert_uint_ne(numbers_of_many_seconds(0), numbers_of_many_seconds(1));
}
END_TEST

/* --- Orphans */
static void one_orphan(struct tcp_conf *c)
{
	c->max_orphans = 1;
}

static void two_established(host_tweak tweak, struct prog *p[2])
{
	trace_begin(tweak);
	host_listen(&T.h, SERVER_PORT, 10);
	for (unsigned i = 0; i < 2; i++) {
		send(S, .sport = (uint16_t)(1001 + i), .mss = 1460);
		expect(S | A);
		send(A, .sport = (uint16_t)(1001 + i), .seq = 1, .ack = 1);
		p[i] = T.h.accepted[i];
		ck_assert_ptr_nonnull(p[i]);
	}
}

static void let_go(struct prog *p, int linger_s)
{
	T.c = p;
	T.conn = p->conn;
	T.iss = p->conn->iss;
	close_(linger_s);
}

START_TEST(test_orphans_are_bounded)
{
	struct prog *p[2];

	two_established(one_orphan, p);
	let_go(p[0], -1);
	expect(F | A);
	ck_assert_uint_eq(T.h.tcp->orphans, 1);
	let_go(p[1], -1);
	expect(R | A);
	ck_assert_uint_eq(counted(TCP_ORPHANS), 1);
	ck_assert_uint_eq(counted(TCP_ORPHAN_RESET), 1);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 1);
	tick(3600 * 1000); /* nobody answers: it ends, and its place is free */
	drain();
	ck_assert_uint_eq(T.h.tcp->orphans, 0);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	T.conn = NULL;
	trace_end();
}
END_TEST

/* TIME-WAIT is not an orphan: it has nothing to send, and evicting it is free. */
START_TEST(test_time_wait_is_no_orphan)
{
	struct prog *p[2];

	two_established(one_orphan, p);
	let_go(p[1], -1);
	expect(F | A, .seq = 1, .ack = 1);
	send(F | A, .seq = 1, .ack = 2);
	expect(A, .ack = 2);
	ck_assert_uint_eq(T.h.tcp->orphans, 0);
	let_go(p[0], -1);
	expect(F | A);
	ck_assert_uint_eq(counted(TCP_ORPHAN_RESET), 0);
	drain();
	T.conn = NULL;
	trace_end();
}
END_TEST

/* --- A full accept queue: who was held back to the end is told, since its handshake is complete for it. */
START_TEST(test_held_back_hears_of_the_end)
{
	trace_begin(NULL);
	host_listen(&T.h, SERVER_PORT, 1);
	T.h.auto_accept = false;
	send(S, .sport = 1001, .mss = 1460);
	expect(S | A);
	send(S, .sport = 1002, .mss = 1460, .later = true);
	send(A, .sport = 1001, .seq = 1, .ack = 1);
	expect(S | A);
	send(A, .sport = 1002, .seq = 1, .ack = 1);
	ck_assert_uint_eq(counted(TCP_ACCEPT_FULL), 1);
	tick(62000);
	for (unsigned i = 0; i < T.h.conf.syn_ack_retries; i++)
		expect(S | A);
	expect_none();
	tick(2000);
	expect(R | A, .seq = 1, .ack = 1);
	T.h.auto_accept = true;
	tcp_mark(T.h.tcp, TAILQ_FIRST(&T.h.tcp->young));
	settle();
	trace_end();
}
END_TEST

/* Who never answered the SYN-ACK is not: perhaps it never asked. */
START_TEST(test_half_open_ends_silently)
{
	trace_begin(NULL);
	host_listen(&T.h, SERVER_PORT, 1);
	send(S, .sport = 1001, .mss = 1460);
	tick(70000);
	for (unsigned i = 0; i < 1 + T.h.conf.syn_ack_retries; i++)
		expect(S | A);
	expect_none();
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	trace_end();
}
END_TEST

/* --- A closed window: RFC 1122 4.2.2.17 for ever, RFC 5482 as long as the program said. */
static void closed_window(unsigned seconds)
{
	send(A, .seq = 1, .ack = 1, .wnd = 0);
	put(10);
	for (unsigned i = 0; i < seconds && T.conn->state == TCP_ESTABLISHED; i++) {
		bool probed;

		tick(1000);
		probed = T.h.net.queued > 0;
		drain();
		if (probed && T.conn->state == TCP_ESTABLISHED)
			send(A, .seq = 1, .ack = 1, .wnd = 0);
	}
}

START_TEST(test_closed_window_lasts)
{
	established();
	closed_window(7 * 24 * 3600);
	expect_state(TCP_ESTABLISHED);
	trace_end();
}
END_TEST

START_TEST(test_closed_window_user_timeout)
{
	uint64_t begin;

	established();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_USER_TIMEOUT, 10000), 0);
	begin = T.h.now_us;
	closed_window(60);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ETIMEDOUT);
	ck_assert_uint_ge(T.h.now_us - begin, 10000000);
	ck_assert_uint_le(T.h.now_us - begin, 11000000); /* the next probe would have been at 12.6 s */
	drain();
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_challenges_cannot_be_counted);
	tcase_add_test(tc, test_orphans_are_bounded);
	tcase_add_test(tc, test_time_wait_is_no_orphan);
	tcase_add_test(tc, test_held_back_hears_of_the_end);
	tcase_add_test(tc, test_half_open_ends_silently);
	tcase_add_test(tc, test_closed_window_lasts);
	tcase_add_test(tc, test_closed_window_user_timeout);
}

int main(void)
{
	return trace_main("tcp_limits", (void (*const[])(TCase *)){ add }, 1);
}
