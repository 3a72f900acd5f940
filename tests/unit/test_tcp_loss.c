/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Losses: RFC 6298 timers, RFC 5681 and 6582 without SACK, RFC 2018 and 6675 with it, round trip samples.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/tcp_loss.h"

/* Ten full segments in flight, the round trip known: 20 ms. */
static void ten_in_flight(void)
{
	established();
	put(10);
	expect(A | P, .len = 10);
	tick(20);
	send(A, .seq = 1, .ack = 11);
	put(14600);
	for (unsigned i = 0; i < 10; i++)
		expect(A, .seq = 11 + i * 1460, .len = 1460);
	expect_none();
}

static uint32_t rto_ms(void)
{
	return T.conn->rto_us / 1000;
}

/* RFC 6298 5.4-5.6: the first unacknowledged segment again, twice as long each time. */
START_TEST(test_rto_backs_off)
{
	uint32_t wait;

	ten_in_flight();
	wait = rto_ms();
	T.h.tcp->conf.mtu_probing = PATH_OFF; /* else they become smaller */
	for (unsigned i = 0; i < 5; i++, wait *= 2) {
		tick(wait - 1);
		expect_none();
		tick(1);
		expect(A, .seq = 11, .len = 1460);
		expect_none();
		ck_assert_uint_eq(T.conn->cc.cwnd, 1460);
	}
	ck_assert_uint_eq(counted(TCP_RTO), 5);
	trace_end();
}
END_TEST

/* After it slow start sends what followed again, and stops where the peer already has it. */
START_TEST(test_rto_go_back)
{
	ten_in_flight();
	tick(rto_ms());
	expect(A, .seq = 11, .len = 1460);
	send(A, .seq = 1, .ack = 1471);
	expect(A, .seq = 1471, .len = 1460);
	expect(A, .seq = 2931, .len = 1460);
	expect_none();
	send(A, .seq = 1, .ack = 14611); /* only two were lost */
	expect_none();
	ck_assert_uint_eq(T.conn->snd_nxt, T.conn->snd_max);
	put(1460);
	expect(A | P, .seq = 14611);
	trace_end();
}
END_TEST

/* RFC 5681 3.1 (4): half of what was in flight. */
START_TEST(test_rto_ssthresh)
{
	ten_in_flight();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_CONGESTION, CC_RENO), 0);
	tick(rto_ms());
	ck_assert_uint_eq(T.conn->cc.ssthresh, 7300);
	tick(rto_ms());
	ck_assert_uint_eq(T.conn->cc.ssthresh, 7300); /* once */
	drain();
	trace_end();
}
END_TEST

START_TEST(test_rto_gives_up)
{
	ten_in_flight();
	tick(30 * 60 * 1000);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ETIMEDOUT);
	ck_assert_uint_eq(counted(TCP_RTO), 15);
	drain();
	trace_end();
}
END_TEST

/* RFC 6298 5.3: an ACK of something new starts the timer anew. */
START_TEST(test_rto_restarts)
{
	ten_in_flight();
	tick(150);
	send(A, .seq = 1, .ack = 1471);
	drain();
	tick(150);
	expect_none();
	tick(rto_ms() - 150);
	expect(A, .seq = 1471, .len = 1460);
	trace_end();
}
END_TEST

/* RFC 6298 2 */
START_TEST(test_rtt_estimate)
{
	established();
	put(10);
	expect(A | P);
	tick(100);
	send(A, .seq = 1, .ack = 11);
	/* the handshake took no time: srtt 1 us, rttvar 0; then a sample of 100 ms */
	ck_assert_uint_ge(T.conn->srtt_us, 12500);
	ck_assert_uint_le(T.conn->srtt_us, 12502);
	ck_assert_uint_ge(T.conn->rttvar_us, 24990);
	ck_assert_uint_eq(T.conn->rto_us, 212000); /* the least above it */
	for (unsigned i = 0; i < 50; i++) {
		put(10);
		expect(A | P);
		tick(300);
		drain();
		send(A, .seq = 1, .ack = 21 + 10 * i);
	}
	trace_end();
}
END_TEST

/* Karn, RFC 6298 3: what was sent twice is not timed, and the longer timeout stays. */
START_TEST(test_karn)
{
	uint32_t srtt, rto;

	ten_in_flight();
	srtt = T.conn->srtt_us;
	rto = T.conn->rto_us;
	tick(rto_ms());
	expect(A, .seq = 11, .len = 1460);
	tick(10);
	send(A, .seq = 1, .ack = 14611);
	ck_assert_uint_eq(T.conn->srtt_us, srtt);
	ck_assert_uint_eq(T.conn->rto_us, 2 * rto);
	trace_end();
}
END_TEST

/* RFC 7323 4.1: with timestamps it is timed all the same. */
START_TEST(test_rtt_from_timestamp)
{
	uint32_t first_ts;

	trace_begin(NULL);
	T.h.tcp->conf.timestamps = true;
	host_listen(&T.h, SERVER_PORT, 10);
	T.peer_ts = 1;
	send(S, .mss = 1460, .ts = 1, .ts_val = 1);
	expect(S | A);
	send(A, .seq = 1, .ack = 1);
	put(10);
	expect(A | P);
	tick(200);
	expect(A | P, .seq = 1);
	first_ts = T.last_ts;
	tick(80);
	send(A, .seq = 1, .ack = 11, .ts = 1, .ts_val = 2, .ts_ecr = first_ts);
	ck_assert_uint_ge(T.conn->srtt_us, 9000); /* 80 ms, an eighth of it */
	ck_assert_uint_le(T.conn->srtt_us, 11000);
	trace_end();
}
END_TEST

/* RFC 5681 3.2: the third duplicate. */
START_TEST(test_fast_retransmit)
{
	ten_in_flight();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_CONGESTION, CC_RENO), 0);
	send(A, .seq = 1, .ack = 11);
	send(A, .seq = 1, .ack = 11);
	expect_none();
	send(A, .seq = 1, .ack = 11);
	expect(A, .seq = 11, .len = 1460);
	expect_none();
	ck_assert_uint_eq(T.conn->cc.ssthresh, 7300);
	ck_assert_uint_eq(T.conn->cc.cwnd, 7300 + 3 * 1460);
	send(A, .seq = 1, .ack = 14611);
	ck_assert_uint_eq(T.conn->flags & CONN_RECOVERY, 0);
	ck_assert_uint_le(T.conn->cc.cwnd, 7300);
	ck_assert_uint_eq(counted(TCP_FAST_REXMIT), 1);
	trace_end();
}
END_TEST

/* RFC 3042: the first two duplicates each bring a new segment. */
START_TEST(test_limited_transmit)
{
	ten_in_flight();
	put(14600);
	send(A, .seq = 1, .ack = 11);
	if (T.h.net.queued > 0) /* cwnd had grown by the small segment: fill it first */
		expect(A, .seq = 14611, .len = 1460);
	send(A, .seq = 1, .ack = 11);
	expect(A, .len = 1460);
	expect_none();
	send(A, .seq = 1, .ack = 11);
	expect(A, .seq = 11, .len = 1460);
	drain();
	trace_end();
}
END_TEST

/* RFC 6582 3.2: two losses in one window; a partial ACK sends the next one again and recovery goes on. */
START_TEST(test_newreno_partial_ack)
{
	ten_in_flight();
	for (unsigned i = 0; i < 3; i++)
		send(A, .seq = 1, .ack = 11);
	expect(A, .seq = 11, .len = 1460);
	drain();
	send(A, .seq = 1, .ack = 4391);
	expect(A, .seq = 4391, .len = 1460);
	ck_assert_uint_ne(T.conn->flags & CONN_RECOVERY, 0);
	drain();
	send(A, .seq = 1, .ack = 14611);
	ck_assert_uint_eq(T.conn->flags & CONN_RECOVERY, 0);
	trace_end();
}
END_TEST

/* RFC 6582 3.2 (2): duplicates caused by what a timeout sent again do not start another recovery. */
START_TEST(test_no_false_fast_retransmit)
{
	ten_in_flight();
	tick(rto_ms());
	expect(A, .seq = 11, .len = 1460);
	send(A, .seq = 1, .ack = 5851);
	drain();
	for (unsigned i = 0; i < 5; i++)
		send(A, .seq = 1, .ack = 5851);
	drain();
	ck_assert_uint_eq(counted(TCP_FAST_REXMIT), 0);
	trace_end();
}
END_TEST

/* What is no duplicate ACK (RFC 5681, 2): with data, with another window, with nothing in flight. */
START_TEST(test_not_duplicates)
{
	ten_in_flight();
	for (unsigned i = 0; i < 4; i++)
		send(A, .seq = 1 + i, .ack = 11, .len = 1);
	for (unsigned i = 0; i < 4; i++)
		send(A, .seq = 5, .ack = 11, .wnd = 60000 + i);
	drain();
	ck_assert_uint_eq(counted(TCP_FAST_REXMIT), 0);
	send(A, .seq = 5, .ack = 14611);
	for (unsigned i = 0; i < 4; i++)
		send(A, .seq = 5, .ack = 14611);
	ck_assert_uint_eq(counted(TCP_FAST_REXMIT), 0);
	trace_end();
}
END_TEST

/* --- SACK */
static void ten_with_sack(void)
{
	in_flight(WITH_SACK, 10, 0);
}

/* RFC 2018 4: the block that grew last comes first; every block is true. */
START_TEST(test_sack_is_sent)
{
	ten_with_sack();
	drain();
	send(A, .seq = 101, .ack = 1, .len = 100);
	expect(A, .ack = 1);
	ck_assert_uint_eq(T.opts.sacks, 1);
	ck_assert_uint_eq(T.opts.sack[0].from - T.peer_iss, 101);
	ck_assert_uint_eq(T.opts.sack[0].to - T.peer_iss, 201);
	send(A, .seq = 501, .ack = 1, .len = 100);
	expect(A, .ack = 1);
	ck_assert_uint_eq(T.opts.sacks, 2);
	ck_assert_uint_eq(T.opts.sack[0].from - T.peer_iss, 501);
	send(A, .seq = 201, .ack = 1, .len = 100);
	expect(A, .ack = 1);
	ck_assert_uint_eq(T.opts.sack[0].from - T.peer_iss, 101);
	ck_assert_uint_eq(T.opts.sack[0].to - T.peer_iss, 301);
	send(A, .seq = 1, .ack = 1, .len = 100);
	expect(A, .ack = 301);
	ck_assert_uint_eq(T.opts.sacks, 1);
	trace_end();
}
END_TEST

/* RFC 6675: two holes are filled in one round trip, nothing else is sent again. */
START_TEST(test_sack_recovery)
{
	ten_with_sack();
	/* segments 0 and 4 are lost */
	send(A, .seq = 1, .ack = 1, .sacks = 1, .sack = { { SEGNO(1), SEGNO(2) } });
	send(A, .seq = 1, .ack = 1, .sacks = 1, .sack = { { SEGNO(1), SEGNO(3) } });
	expect_none();
	send(A, .seq = 1, .ack = 1, .sacks = 1, .sack = { { SEGNO(1), SEGNO(4) } });
	expect(A, .seq = SEGNO(0), .len = 1460);
	expect_none();
	send(A, .seq = 1, .ack = 1, .sacks = 2, .sack = { { SEGNO(5), SEGNO(6) }, { SEGNO(1), SEGNO(4) } });
	expect(A, .seq = SEGNO(4), .len = 1460);
	expect_none();
	send(A, .seq = 1, .ack = 1, .sacks = 2, .sack = { { SEGNO(5), SEGNO(10) }, { SEGNO(1), SEGNO(4) } });
	expect_none();
	send(A, .seq = 1, .ack = SEGNO(4), .sacks = 1, .sack = { { SEGNO(5), SEGNO(10) } });
	expect_none();
	send(A, .seq = 1, .ack = SEGNO(10));
	ck_assert_uint_eq(T.conn->flags & CONN_RECOVERY, 0);
	ck_assert_uint_eq(sack_ranges(), 0);
	ck_assert_uint_eq(counted(TCP_REXMIT), 2);
	trace_end();
}
END_TEST

/* After a timeout, what the peer is known to have is not sent again. */
START_TEST(test_rto_skips_sacked)
{
	ten_with_sack();
	send(A, .seq = 1, .ack = 1, .sacks = 1, .sack = { { SEGNO(1), SEGNO(2) } });
	tick(5); /* RACK: a quarter of the round trip after it should have come */
	expect(A, .seq = SEGNO(0), .len = 1460);
	tick(rto_ms());
	expect(A, .seq = SEGNO(0), .len = 1460);
	ck_assert_uint_eq(counted(TCP_RTO), 1);
	send(A, .seq = 1, .ack = SEGNO(2));
	expect(A, .seq = SEGNO(2), .len = 1460);
	drain();
	trace_end();
}
END_TEST

/* Blocks that cannot be: outside what is in flight, upside down, below SND.UNA (a DSACK). */
START_TEST(test_sack_lies)
{
	ten_with_sack();
	send(A, .seq = 1, .ack = SEGNO(1));
	drain();
	for (unsigned i = 0; i < 5; i++)
		send(A, .seq = 1, .ack = SEGNO(1), .sacks = 4,
		     .sack = { { 1, 1461 }, { SEGNO(5), SEGNO(4) }, { SEGNO(9), SEGNO(500) }, { 0x70000000, 0x70000010 } });
	ck_assert_uint_eq(sack_ranges(), 0);
	ck_assert_uint_eq(counted(TCP_FAST_REXMIT), 0);
	drain();
	trace_end();
}
END_TEST

/* RFC 2018 8: the peer takes back what it had told. */
START_TEST(test_sack_reneging)
{
	ten_with_sack();
	send(A, .seq = 1, .ack = 1, .sacks = 1, .sack = { { SEGNO(1), SEGNO(10) } });
	drain();
	tick(200);
	drain();
	send(A, .seq = 1, .ack = SEGNO(1));
	drain();
	for (unsigned i = 0; i < 12 && view().tx_acked < 14600; i++) {
		tick(3000);
		drain();
		send(A, .seq = 1, .ack = SEGNO(2 + i < 10 ? 2 + i : 10));
		drain();
	}
	ck_assert_uint_eq(view().tx_acked, 14600);
	trace_end();
}
END_TEST

/* Many small holes cost a bounded list. */
START_TEST(test_sack_flood)
{
	ten_with_sack();
	for (unsigned i = 0; i < 2000; i++)
		send(A, .seq = 1, .ack = 1, .sacks = 1, .sack = { { 2 + i * 4, 4 + i * 4 } });
	ck_assert_uint_le(sack_ranges(), SACK_RANGES);
	drain();
	send(A, .seq = 1, .ack = SEGNO(10));
	ck_assert_uint_eq(sack_ranges(), 0);
	trace_end();
}
END_TEST

/* --- RFC 5681 4.1: after a pause the window is the initial one. */
START_TEST(test_restart_after_idle)
{
	established();
	for (unsigned i = 0, acked = 0; i < 5; i++) {
		put(60000);
		while (T.h.net.queued > 0) {
			struct pkt *p = host_sent(&T.h);

			acked += p->tcp.text_len;
			nic_free(p);
		}
		tick(5);
		send(A, .seq = 1, .ack = 1 + acked);
	}
	while (T.conn->snd_una != T.conn->snd_max) {
		drain();
		send(A, .seq = 1, .ack = (int64_t)(T.conn->snd_max - T.iss));
	}
	drain();
	ck_assert_uint_gt(T.conn->cc.cwnd, 14600);
	tick(1000);
	put(50000);
	ck_assert_uint_eq(T.h.net.queued, 10);
	drain();
	trace_end();
}
END_TEST

/* --- Path MTU, RFC 1191 with RFC 5927 */
static void icmp(uint32_t seq, uint8_t code, uint16_t mtu)
{
	struct net_icmp_error e = { .src = ip4(1), .dst = ip4(2), .sport = T.conn->lport, .dport = T.conn->pport,
		                    .seq = T.iss + seq, .type = 3, .code = code, .mtu = mtu };

	tcp_icmp_error(T.h.tcp, &e);
	settle();
}

START_TEST(test_frag_needed)
{
	ten_in_flight();
	icmp(5, 4, 1000); /* acknowledged already: forged or old */
	icmp(99999, 4, 1000);
	ck_assert_uint_eq(view().mss, 1460);
	ck_assert_uint_eq(counted(TCP_ICMP_IGNORED), 2);
	icmp(11, 4, 1000);
	ck_assert_uint_eq(view().mss, 960);
	for (unsigned i = 0; i < 10; i++)
		expect(A, .seq = 11 + i * 960, .len = 960);
	drain();
	icmp(11, 4, 1400); /* never larger */
	ck_assert_uint_eq(view().mss, 960);
	icmp(11, 4, 0); /* RFC 1191 7.1: a router that does not say */
	ck_assert_uint_eq(view().mss, 508 - 40);
	icmp(11, 4, 1);
	ck_assert_uint_eq(view().mss, MTU_MIN - 40);
	drain();
	trace_end();
}
END_TEST

/* RFC 5927 4, RFC 1122 4.2.3.9: an established connection survives any of them. */
START_TEST(test_icmp_established)
{
	ten_in_flight();
	for (uint8_t code = 0; code < 16; code++)
		if (code != 4)
			icmp(11, code, 0);
	expect_state(TCP_ESTABLISHED);
	tick(30 * 60 * 1000);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, EHOSTUNREACH); /* but it explains why */
	drain();
	trace_end();
}
END_TEST

START_TEST(test_icmp_syn_sent)
{
	connecting();
	icmp(0, 1, 0);
	expect_state(TCP_SYN_SENT);
	icmp(7, 3, 0);
	expect_state(TCP_SYN_SENT);
	icmp(0, 3, 0);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ECONNREFUSED);
	trace_end();
}
END_TEST

/* The next hop does not answer: nobody can have forged that, so the open need not wait for its last SYN. */
START_TEST(test_next_hop_silent)
{
	struct net_icmp_error e = { .src = ip4(1), .dst = ip4(2), .type = 3, .code = 1, .own = true };

	connecting();
	e.sport = T.conn->lport;
	e.dport = T.conn->pport;
	e.seq = T.iss;
	tcp_icmp_error(T.h.tcp, &e);
	settle();
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, EHOSTUNREACH);
	trace_end();
}
END_TEST

/* No frame could be had: the timer tries again, nothing is lost. */
START_TEST(test_no_buffer)
{
	established();
	T.h.net.no_buffer = true;
	put(100);
	expect_none();
	tick(1000);
	T.h.net.no_buffer = false;
	tick(200);
	expect(A | P, .seq = 1, .len = 100);
	ck_assert_uint_eq(counted(TCP_RTO), 0);
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_rto_backs_off);
	tcase_add_test(tc, test_rto_go_back);
	tcase_add_test(tc, test_rto_ssthresh);
	tcase_add_test(tc, test_rto_gives_up);
	tcase_add_test(tc, test_rto_restarts);
	tcase_add_test(tc, test_rtt_estimate);
	tcase_add_test(tc, test_karn);
	tcase_add_test(tc, test_rtt_from_timestamp);
	tcase_add_test(tc, test_fast_retransmit);
	tcase_add_test(tc, test_limited_transmit);
	tcase_add_test(tc, test_newreno_partial_ack);
	tcase_add_test(tc, test_no_false_fast_retransmit);
	tcase_add_test(tc, test_not_duplicates);
	tcase_add_test(tc, test_sack_is_sent);
	tcase_add_test(tc, test_sack_recovery);
	tcase_add_test(tc, test_rto_skips_sacked);
	tcase_add_test(tc, test_sack_lies);
	tcase_add_test(tc, test_sack_reneging);
	tcase_add_test(tc, test_sack_flood);
	tcase_add_test(tc, test_restart_after_idle);
	tcase_add_test(tc, test_frag_needed);
	tcase_add_test(tc, test_icmp_established);
	tcase_add_test(tc, test_icmp_syn_sent);
	tcase_add_test(tc, test_next_hop_silent);
	tcase_add_test(tc, test_no_buffer);
}

int main(void)
{
	return trace_main("tcp_loss", (void (*const[])(TCase *)){ add }, 1);
}
