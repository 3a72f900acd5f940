/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Explicit congestion notification, RFC 3168.
 */
#include "tests/unit/tcp_loss.h"

enum { E = SEG_ECE, C = SEG_CWR, ECT = 2, CE = 3 };

static void ecn_on(struct tcp_conf *conf)
{
	conf->ecn = ECN_MODE_ON;
}

static void ecn_off(struct tcp_conf *conf)
{
	conf->ecn = ECN_MODE_OFF;
}

/* The next frame: its codepoint. */
static unsigned codepoint(void)
{
	must(T.h.net.head != NULL);
	return T.h.net.head->data[14 + 1] & 3;
}

/* Passive open by a peer that asks for it. */
static void with_ecn(unsigned segs)
{
	trace_begin(NULL);
	T.h.tcp->conf.sack = true;
	host_listen(&T.h, SERVER_PORT, 10);
	send(S | E | C, .mss = MSS, .sack_ok = 1);
	expect(S | A | E);
	tick(20);
	send(A, .seq = 1, .ack = 1);
	put(segs * MSS);
	tick(20);
	ck_assert_uint_eq(counted(TCP_ECN), 1);
}

/* A segment that was marked on its way. */
static void send_marked(struct seg s, uint8_t tos)
{
	struct pkt_tcp t = { .sport = PEER_PORT, .dport = SERVER_PORT, .seq = T.peer_iss + (uint32_t)s.seq,
		             .ack = T.iss + (uint32_t)s.ack, .flags = s.flags, .wnd = 65535 };
	struct ipaddr peer = ip4(2);
	uint8_t *text;
	struct pkt *p = host_frame(&T.h, &t, &peer, NULL, 0, (uint16_t)s.len, &text);

	for (int64_t i = 0; i < s.len; i++)
		text[i] = 1;
	p->tos = tos;
	host_in(&T.h, &p, 1);
	settle();
}

/* 6.1.1: granted to who asks; nothing of the handshake may be marked. */
START_TEST(test_granted)
{
	trace_begin(_i == 0 ? NULL : ecn_off);
	host_listen(&T.h, SERVER_PORT, 10);
	send(S | E | C, .mss = MSS);
	ck_assert_uint_eq(codepoint(), 0);
	if (_i == 0)
		expect(S | A | E);
	else
		expect(S | A);
	ck_assert_uint_eq(counted(TCP_ECN), _i == 0);
	trace_end();
}
END_TEST

/* A SYN that carries one of the two flags asks for nothing. */
START_TEST(test_half_asked)
{
	trace_begin(NULL);
	host_listen(&T.h, SERVER_PORT, 10);
	send(_i == 0 ? S | E : S | C, .mss = MSS);
	expect(S | A);
	trace_end();
}
END_TEST

/* 6.1.1: asked for; granted by ECE alone, and not by who sends both back; 6.1.1.1: the second SYN does not ask. */
START_TEST(test_asked)
{
	static const uint8_t answer[] = { S | A | E, S | A, S | A | E | C };
	struct ipaddr peer = ip4(2);

	trace_begin(ecn_on);
	T.c = host_connect(&T.h, &peer, SERVER_PORT);
	T.conn = T.c->conn;
	settle();
	expect(S | E | C, .seq = 0);
	tick(1000);
	expect(S, .seq = 0);
	send(answer[_i], .seq = 0, .ack = 1, .mss = MSS);
	expect(A, .seq = 1);
	ck_assert_uint_eq((T.conn->ecn & ECN_OK) != 0, _i == 0);
	trace_end();
}
END_TEST

/* The default grants, and does not ask. */
START_TEST(test_passive_does_not_ask)
{
	connecting();
	ck_assert_uint_eq(T.conn->ecn, 0);
	trace_end();
}
END_TEST

/* 6.1.4 to 6.1.6: payload may be marked; acknowledgements, what is sent again and window probes not. */
START_TEST(test_who_may_be_marked)
{
	with_ecn(2);
	ck_assert_uint_eq(codepoint(), ECT);
	drain();
	send(A, .seq = 1, .ack = 1, .len = 100);
	tick(40); /* the probe of RFC 8985, then the delayed acknowledgement */
	while (T.h.net.queued > 0) {
		ck_assert_uint_eq(codepoint(), 0);
		nic_free(host_sent(&T.h));
	}
	ck_assert_uint_ge(counted(TCP_TLP), 1);
	send(A, .seq = 101, .ack = SEGNO(2), .wnd = 0);
	put(MSS);
	tick(1000);
	ck_assert_uint_ge(counted(TCP_PERSIST), 1);
	while (T.h.net.queued > 0) {
		ck_assert_uint_eq(codepoint(), 0);
		nic_free(host_sent(&T.h));
	}
	trace_end();
}
END_TEST

/* Without it nothing is. */
START_TEST(test_not_negotiated)
{
	established();
	put(MSS);
	ck_assert_uint_eq(codepoint(), 0);
	drain();
	send_marked((struct seg){ .flags = A, .seq = 1, .ack = 1, .len = 100 }, CE);
	tick(40);
	expect(A, .ack = 101);
	send(A | E, .seq = 101, .ack = 1);
	expect_none();
	ck_assert_uint_eq(counted(TCP_ECN_CE) + counted(TCP_ECN_REDUCED), 0);
	trace_end();
}
END_TEST

/* 6.1.3: ECE on each acknowledgement, at once, until CWR has come. */
START_TEST(test_echo)
{
	with_ecn(0);
	send_marked((struct seg){ .flags = A, .seq = 1, .ack = 1, .len = 100 }, CE);
	expect(A | E, .ack = 101);
	ck_assert_uint_eq(counted(TCP_ECN_CE), 1);
	send_marked((struct seg){ .flags = A, .seq = 101, .ack = 1, .len = 100 }, ECT);
	tick(40);
	expect(A | E, .ack = 201);
	send_marked((struct seg){ .flags = A | C, .seq = 201, .ack = 1, .len = 100 }, ECT);
	tick(40);
	expect(A, .ack = 301);
	send_marked((struct seg){ .flags = A | C, .seq = 301, .ack = 1, .len = 100 }, CE); /* heard, and marked again */
	expect(A | E, .ack = 401);
	trace_end();
}
END_TEST

/* 6.1.2: slower once in a window, CWR on the next new segment; nothing is sent again. */
START_TEST(test_reduces_once)
{
	with_ecn(30);
	drain();
	send(A | E, .seq = 1, .ack = SEGNO(1));
	ck_assert_uint_eq(T.conn->cc.cwnd, 7 * MSS);
	expect_none();
	for (unsigned i = 2; i < 5; i++)
		send(A | E, .seq = 1, .ack = SEGNO(i));
	expect(A | C, .seq = SEGNO(10), .len = MSS);
	for (unsigned i = 5; i < 10; i++) {
		send(A | E, .seq = 1, .ack = SEGNO(i));
		expect(A, .seq = SEGNO(6 + i), .len = MSS);
	}
	ck_assert_uint_eq(counted(TCP_ECN_REDUCED), 1);
	ck_assert_uint_eq(counted(TCP_REXMIT), 0);
	send(A | E, .seq = 1, .ack = SEGNO(11)); /* the next window */
	ck_assert_uint_eq(counted(TCP_ECN_REDUCED), 2);
	drain();
	trace_end();
}
END_TEST

/* In a recovery that reduction is enough; and no DSACK undoes it. */
START_TEST(test_mark_in_recovery)
{
	uint32_t ssthresh;

	with_ecn(10);
	drain();
	SACK_OF(0, 1, 5);
	drain();
	ssthresh = T.conn->cc.ssthresh;
	send(A | E, .seq = 1, .ack = SEGNO(10));
	ck_assert_uint_eq(T.conn->cc.ssthresh, ssthresh);
	send(A, .seq = 1, .ack = SEGNO(10), .sacks = 1, .sack = { { SEGNO(0), SEGNO(1) } });
	ck_assert_uint_eq(counted(TCP_UNDO_DSACK), _i);
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_loop_test(tc, test_granted, 0, 2);
	tcase_add_loop_test(tc, test_half_asked, 0, 2);
	tcase_add_loop_test(tc, test_asked, 0, 3);
	tcase_add_test(tc, test_passive_does_not_ask);
	tcase_add_test(tc, test_who_may_be_marked);
	tcase_add_test(tc, test_not_negotiated);
	tcase_add_test(tc, test_echo);
	tcase_add_test(tc, test_reduces_once);
	tcase_add_test(tc, test_mark_in_recovery);
}

int main(void)
{
	return trace_main("tcp_ecn", (void (*const[])(TCase *)){ add }, 1);
}
