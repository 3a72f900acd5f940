/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The path's MTU: black holes (RFC 4821), routers that lie (RFC 5927), and the way up again.
 */
#include "tests/unit/tcp_trace.h"

enum { MTU = 1500, HDR = 40 };

static uint64_t sent_end; /* highest end of what was taken from the wire */
static uint32_t longest;

static void drain(void)
{
	struct pkt *p;

	for (longest = 0; (p = host_sent(&T.h)) != NULL; nic_free(p)) {
		uint32_t end = p->tcp.seq + p->tcp.text_len - T.iss;

		longest = p->tcp.text_len > longest ? p->tcp.text_len : longest;
		sent_end = end > sent_end ? end : sent_end;
	}
}

/* Everything that is sent arrives, for a while. */
static void transfer(uint32_t bytes)
{
	put(bytes);
	while (T.h.net.queued > 0) {
		uint32_t most = longest;

		drain();
		longest = longest > most ? longest : most;
		send(A, .seq = 1, .ack = (int64_t)sent_end);
	}
}

static void begin(host_tweak tweak)
{
	sent_end = 0;
	trace_begin(tweak);
	host_listen(&T.h, SERVER_PORT, 10);
	send(S, .mss = MTU - HDR);
	expect(S | A, .seq = 0, .ack = 1);
	send(A, .seq = 1, .ack = 1);
	ck_assert_ptr_nonnull(T.c);
}

static void next_timeout(void)
{
	uint64_t before = counted(TCP_RTO);

	drain();
	while (counted(TCP_RTO) == before && T.conn->state == TCP_ESTABLISHED)
		tick(10);
}

/* Full segments vanish: from the third timeout on, each makes them smaller. */
START_TEST(test_black_hole)
{
	static const uint16_t step[] = { 1280, 1024, 576, MTU_MIN, MTU_MIN };

	begin(NULL);
	put(4 * 1460);
	next_timeout();
	expect(A, .seq = 1, .len = 1460);
	next_timeout();
	expect(A, .seq = 1, .len = 1460);
	for (unsigned i = 0; i < 5; i++) {
		next_timeout();
		expect(A, .seq = 1, .len = step[i] - HDR);
	}
	ck_assert_uint_eq(counted(TCP_BLACK_HOLE), 4);
	ck_assert_uint_eq(counted(TCP_MTU_LOWERED), 4);
	drain();
	trace_end();
}
END_TEST

/* What is left after the step gets through, byte for byte. */
START_TEST(test_black_hole_goes_on)
{
	begin(NULL);
	put(4 * 1460);
	for (unsigned i = 0; i < 3; i++)
		next_timeout();
	expect(A, .seq = 1, .len = 1240);
	send(A, .seq = 1, .ack = 1241);
	expect(A, .seq = 1241, .len = 1240);
	expect(A, .seq = 2481, .len = 1240);
	send(A, .seq = 1, .ack = 3721);
	while (T.h.net.queued > 0) {
		drain();
		ck_assert_uint_le(longest, 1240);
		send(A, .seq = 1, .ack = (int64_t)sent_end);
	}
	ck_assert_uint_eq(view().tx_acked, 4 * 1460);
	trace_end();
}
END_TEST

/* A path that is dead for small segments too is no black hole; nor is one that nobody asked about. */
START_TEST(test_no_black_hole)
{
	begin(NULL);
	put(400);
	for (unsigned i = 0; i < 5; i++)
		next_timeout();
	ck_assert_uint_eq(counted(TCP_BLACK_HOLE), 0);
	drain();
	trace_end();
}
END_TEST

static void never(struct tcp_conf *c)
{
	c->mtu_probing = PATH_OFF;
}

START_TEST(test_probing_off)
{
	begin(never);
	put(4 * 1460);
	for (unsigned i = 0; i < 5; i++)
		next_timeout();
	expect(A, .seq = 1, .len = 1460);
	ck_assert_uint_eq(counted(TCP_BLACK_HOLE), 0);
	drain();
	trace_end();
}
END_TEST

static void into_black_hole(void)
{
	begin(NULL);
	put(2 * 1460);
	for (unsigned i = 0; i < 3; i++)
		next_timeout();
	ck_assert_uint_eq(T.conn->mtu, 1280);
	while (T.h.net.queued > 0) {
		drain();
		send(A, .seq = 1, .ack = (int64_t)sent_end);
	}
	ck_assert_uint_eq(view().tx_acked, 2 * 1460);
	transfer(1); /* beyond what the timeouts were about: RFC 6582 3.2 (1) */
}

/* Later one larger segment is risked, then the next step, up to the port's MTU; the others stay small until it has arrived. */
START_TEST(test_raised_again)
{
	into_black_hole();
	transfer(20000);
	ck_assert_uint_le(longest, 1240); /* not yet */
	ck_assert_uint_eq(counted(TCP_MTU_PROBE), 0);
	tick(T.h.conf.mtu_raise_s / 20 * 1000);
	put(20000);
	expect(A, .len = 1452);
	expect(A, .len = 1240);
	sent_end = (uint64_t)T.got.seq + 1240;
	transfer(60000);
	ck_assert_uint_eq(counted(TCP_MTU_PROBE), 2);
	ck_assert_uint_eq(counted(TCP_MTU_RAISED), 2);
	ck_assert_uint_eq(T.conn->mtu, MTU);
	ck_assert_uint_eq(view().mss, 1460);
	trace_end();
}
END_TEST

/* The black hole is still there: what was risked is sent again in pieces, the next try comes much later. */
START_TEST(test_raise_fails)
{
	uint32_t from, cwnd;

	into_black_hole();
	tick(T.h.conf.mtu_raise_s / 20 * 1000);
	put(10 * 1240);
	expect(A, .len = 1452);
	from = (uint32_t)T.got.seq;
	cwnd = T.conn->cc.cwnd;
	drain();
	send(A, .seq = 1, .ack = from);
	send(A, .seq = 1, .ack = from);
	drain(); /* limited transmit */
	send(A, .seq = 1, .ack = from);
	expect(A, .seq = from, .len = 1240);
	ck_assert_uint_eq(T.conn->cc.cwnd, cwnd); /* 7.6.2 */
	ck_assert_uint_eq(counted(TCP_MTU_PROBE_LOST), 1);
	while (view().tx_acked < T.c->tx_end) {
		drain();
		ck_assert_uint_le(longest, 1240);
		send(A, .seq = 1, .ack = (int64_t)sent_end);
	}
	ck_assert_uint_eq(T.conn->mtu, 1280);
	tick((T.h.conf.mtu_raise_s - 2) * 1000);
	transfer(20000);
	ck_assert_uint_eq(counted(TCP_MTU_PROBE), 1);
	tick(3000);
	transfer(20000);
	ck_assert_uint_ge(counted(TCP_MTU_PROBE), 2);
	trace_end();
}
END_TEST

/* RFC 5927 7.2: sizes that have come through are not given up for a message; one that speaks the truth is followed by a timeout. */
START_TEST(test_router_lies)
{
	begin(NULL);
	transfer(20000);
	put(2000);
	drain();
	icmp_too_big((uint32_t)sent_end - 1999, 600);
	ck_assert_uint_eq(view().mss, 1460);
	ck_assert_uint_eq(counted(TCP_ICMP_DEFERRED), 1);
	send(A, .seq = 1, .ack = (int64_t)sent_end); /* it had arrived */
	ck_assert_uint_eq(counted(TCP_ICMP_IGNORED), 1);
	put(2000);
	next_timeout();
	ck_assert_uint_eq(view().mss, 1460);
	drain();
	trace_end();
}
END_TEST

START_TEST(test_router_tells_the_truth)
{
	int64_t from;

	begin(NULL);
	transfer(20000);
	from = (int64_t)sent_end;
	put(2000);
	drain();
	icmp_too_big((uint32_t)from, 600);
	icmp_too_big((uint32_t)from, 1000); /* the smaller one counts */
	next_timeout();
	expect(A, .seq = from, .len = 560);
	ck_assert_uint_eq(counted(TCP_MTU_LOWERED), 1);
	ck_assert_uint_eq(counted(TCP_BLACK_HOLE), 0);
	drain();
	trace_end();
}
END_TEST

/* Before anything large has arrived there is nothing to lose: at once. */
START_TEST(test_router_at_the_beginning)
{
	begin(NULL);
	transfer(100);
	put(3000);
	drain();
	icmp_too_big(101, 1000);
	expect(A, .seq = 101, .len = 960);
	drain();
	trace_end();
}
END_TEST

static void always(struct tcp_conf *c)
{
	c->mtu_probing = PATH_ALWAYS;
}

START_TEST(test_begin_small)
{
	begin(always);
	put(10000);
	expect(A, .seq = 1, .len = 1280 - HDR);
	expect(A, .len = 1024);
	sent_end = (uint64_t)T.got.seq + 1024;
	transfer(60000);
	ck_assert_uint_eq(T.conn->mtu, MTU);
	trace_end();
}
END_TEST

static void clamped(struct tcp_conf *c)
{
	c->max_mss = 1000;
}

START_TEST(test_clamp)
{
	begin(clamped);
	ck_assert_int_eq(T.got.mss, 1000);
	put(1500);
	expect(A, .len = 1000);
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_MAXSEG, 1400), 0); /* a program may want less, not more */
	ck_assert_uint_eq(view().mss, 1000);
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_MAXSEG, 500), 0);
	ck_assert_uint_eq(view().mss, 500);
	drain();
	trace_end();
}
END_TEST

static struct ipaddr number(uint32_t i)
{
	return (struct ipaddr){ .w = { 1, 0, 0, i } };
}

/* The table of destinations is of a fixed size: more of them push out those that would be forgotten first. */
START_TEST(test_destinations_are_bounded)
{
	struct dest_table *d = calloc(1, sizeof(*d));
	const uint8_t key[32] = { 1 };
	unsigned known = 0, late = 0;
	struct secret s;

	secret_init(&s, key);
	for (uint32_t i = 0; i < 50000; i++) {
		const struct ipaddr to = number(i);

		dest_note(d, &s, &to, 1300, 100, 101 + i);
	}
	for (uint32_t i = 0; i < 50000; i++) {
		const struct ipaddr to = number(i);

		known += dest_find(d, &s, &to, 100) != NULL;
		late += i >= 49900 && dest_find(d, &s, &to, 100) != NULL;
	}
	ck_assert_uint_eq(known, DEST_SETS * DEST_WAYS);
	ck_assert_uint_eq(late, 100);
	free(d);
}
END_TEST

/* One destination has one place, and the last word counts; what has had its time is free. */
START_TEST(test_destinations_are_forgotten)
{
	struct dest_table *d = calloc(1, sizeof(*d));
	const struct ipaddr to = number(9), other = number(10);
	struct secret s;

	secret_init(&s, (const uint8_t[32]){ 2 });
	dest_note(d, &s, &to, 1400, UINT32_MAX - 10, 50); /* over the wrap of the clock */
	dest_note(d, &s, &to, 1200, UINT32_MAX - 9, 51);
	ck_assert_uint_eq(dest_find(d, &s, &to, 50)->mtu, 1200);
	ck_assert_ptr_null(dest_find(d, &s, &to, 51));
	ck_assert_ptr_null(dest_find(d, &s, &other, 50));
	free(d);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_destinations_are_bounded);
	tcase_add_test(tc, test_destinations_are_forgotten);
	tcase_add_test(tc, test_black_hole);
	tcase_add_test(tc, test_black_hole_goes_on);
	tcase_add_test(tc, test_no_black_hole);
	tcase_add_test(tc, test_probing_off);
	tcase_add_test(tc, test_raised_again);
	tcase_add_test(tc, test_raise_fails);
	tcase_add_test(tc, test_router_lies);
	tcase_add_test(tc, test_router_tells_the_truth);
	tcase_add_test(tc, test_router_at_the_beginning);
	tcase_add_test(tc, test_begin_small);
	tcase_add_test(tc, test_clamp);
}

int main(void)
{
	return trace_main("tcp_path", (void (*const[])(TCase *)){ add }, 1);
}
