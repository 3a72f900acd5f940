/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Data both ways: acknowledgements and when they are sent, order, windows on both sides, small segments, what the owner is
 * told and what it may say.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/tcp_trace.h"

/* RFC 1122 4.2.3.2: a single segment waits, but not for long. */
START_TEST(test_delayed_ack)
{
	established();
	send(A | P, .seq = 1, .ack = 1, .len = 100);
	expect_none();
	tick(39);
	expect_none();
	tick(2);
	expect(A, .seq = 1, .ack = 101);
	ck_assert_uint_eq(take(1000), 100);
	trace_end();
}
END_TEST

/* ... every second full one does not. */
START_TEST(test_every_second_segment)
{
	established();
	send(A, .seq = 1, .ack = 1, .len = 1460);
	expect_none();
	send(A, .seq = 1461, .ack = 1, .len = 1460);
	expect(A, .ack = 2921);
	send(A, .seq = 2921, .ack = 1, .len = 1460);
	expect_none();
	tick(50);
	expect(A, .ack = 4381);
	trace_end();
}
END_TEST

START_TEST(test_quickack)
{
	established();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_QUICKACK, 1), 0);
	send(A, .seq = 1, .ack = 1, .len = 10);
	expect(A, .ack = 11);
	trace_end();
}
END_TEST

/* The answer carries the acknowledgement. */
START_TEST(test_ack_rides_on_data)
{
	established();
	send(A | P, .seq = 1, .ack = 1, .len = 100);
	put(50);
	expect(A | P, .seq = 1, .ack = 101, .len = 50);
	tick(100);
	expect_none();
	trace_end();
}
END_TEST

/* RFC 5681 4.2, RFC 9293 3.10.7.4: one duplicate ACK for each segment out of order, at once; and the gap's filling too. */
START_TEST(test_out_of_order)
{
	established();
	send(A, .seq = 101, .ack = 1, .len = 100);
	expect(A, .ack = 1);
	send(A, .seq = 301, .ack = 1, .len = 100);
	expect(A, .ack = 1);
	ck_assert_uint_eq(view().rx_end, 0);
	send(A, .seq = 1, .ack = 1, .len = 100);
	expect(A, .ack = 201);
	ck_assert_uint_eq(take(1000), 200);
	send(A, .seq = 201, .ack = 1, .len = 100);
	expect(A, .ack = 401);
	expect_none();
	ck_assert_uint_eq(take(1000), 200);
	ck_assert_uint_eq(T.h.owner.rx.used_count, 0);
	trace_end();
}
END_TEST

START_TEST(test_duplicate_acks_do_not_coalesce)
{
	established();
	for (unsigned i = 0; i < 3; i++)
		send(A, .seq = 101 + 100 * i, .ack = 1, .len = 100, .later = true);
	settle();
	expect(A, .ack = 1);
	expect(A, .ack = 1);
	expect(A, .ack = 1);
	expect_none();
	trace_end();
}
END_TEST

/* Overlaps: what is new counts, what is old is cut off. */
START_TEST(test_overlaps)
{
	established();
	send(A, .seq = 1, .ack = 1, .len = 100);
	send(A, .seq = 51, .ack = 1, .len = 100);
	expect(A, .ack = 151);
	send(A, .seq = 1, .ack = 1, .len = 150); /* nothing new */
	expect(A, .ack = 151);
	send(A, .seq = 201, .ack = 1, .len = 100);
	expect(A, .ack = 151);
	send(A, .seq = 101, .ack = 1, .len = 300); /* over both ends of what was early */
	expect(A, .ack = 401);
	ck_assert_uint_eq(take(1000), 400);
	ck_assert_uint_eq(counted(TCP_DUP), 1);
	trace_end();
}
END_TEST

/* RFC 9293 3.10.7.4, first. */
START_TEST(test_outside_the_window)
{
	established();
	send(A, .seq = 70001, .ack = 1, .len = 10);
	expect(A, .seq = 1, .ack = 1);
	send(A, .seq = -5, .ack = 1, .len = 3);
	expect(A, .ack = 1);
	ck_assert_uint_eq(counted(TCP_OUT_OF_WINDOW), 1);
	send(A, .seq = 65531, .ack = 1, .len = 100); /* beyond the right edge it is cut */
	expect(A, .ack = 1);
	expect_none();
	ck_assert_uint_eq(T.conn->ooo.range[0].to, 65535);
	trace_end();
}
END_TEST

/* 3.10.7.4, fifth: without ACK a segment is dropped. */
START_TEST(test_no_ack_flag)
{
	established();
	send(0, .seq = 1, .len = 10);
	send(P, .seq = 1, .len = 10);
	expect_none();
	ck_assert_uint_eq(view().rx_end, 0);
	trace_end();
}
END_TEST

/* 3.8.6: what is advertised shrinks as data waits, and its right edge never goes back. */
START_TEST(test_window_closes_and_opens)
{
	int64_t edge = 0;

	established();
	for (unsigned i = 0; i < 46; i++) {
		int64_t len = 65535 - i * 1460 < 1460 ? 65535 - i * 1460 : 1460;

		if (len <= 0)
			break;
		send(A, .seq = 1 + i * 1460, .ack = 1, .len = len);
		while (T.h.net.queued > 0) {
			expect(A);
			must(T.got.ack + T.got.wnd >= edge);
			edge = T.got.ack + T.got.wnd;
		}
	}
	tick(100);
	while (T.h.net.queued > 0)
		expect(A);
	ck_assert_int_eq(T.got.ack, 65536);
	ck_assert_int_eq(T.got.wnd, 0);
	send(A, .seq = 65536, .ack = 1, .len = 1); /* a probe */
	expect(A, .ack = 65536, .wnd = 0);
	take(100); /* RFC 9293 3.8.6.2.2: no silly window */
	expect_none();
	ck_assert_uint_eq(take(1 << 20), 65435);
	expect(A, .ack = 65536);
	ck_assert_int_ge(T.got.wnd, 32768);
	send(A, .seq = 65536, .ack = 1, .len = 1);
	ck_assert_uint_eq(take(10), 1);
	trace_end();
}
END_TEST

/* The sender's side: no more than the peer's window, and less after it has shrunk. */
START_TEST(test_peer_window)
{
	established();
	send(A, .seq = 1, .ack = 1, .wnd = 3000);
	put(10000);
	expect(A, .seq = 1, .len = 1460);
	expect(A, .seq = 1461, .len = 1460);
	expect_none(); /* 80 bytes would be a silly window */
	send(A, .seq = 1, .ack = 1461, .wnd = 1460); /* it took some back: the edge stays where the data is */
	expect_none();
	send(A, .seq = 1, .ack = 2921, .wnd = 65535);
	expect(A, .seq = 2921, .len = 1460);
	trace_end();
}
END_TEST

/* An old segment must not bring back an old window (SND.WL1, SND.WL2). */
START_TEST(test_window_from_old_segment)
{
	established();
	send(A, .seq = 1, .ack = 1, .len = 10, .wnd = 5000);
	send(A, .seq = 11, .ack = 1, .len = 10, .wnd = 6000);
	ck_assert_uint_eq(T.conn->snd_wnd, 6000);
	send(A, .seq = 5, .ack = 1, .len = 8, .wnd = 100);
	ck_assert_uint_eq(T.conn->snd_wnd, 6000);
	trace_end();
}
END_TEST

/* RFC 9293 3.8.6.1: a closed window is probed with growing pauses, and never given up while it answers. */
START_TEST(test_zero_window)
{
	uint32_t wait = 1000;

	established();
	send(A, .seq = 1, .ack = 1, .wnd = 0);
	put(3000);
	expect_none();
	T.conn->rto_us = 1000000;
	timer_clear(T.conn, T_REXMIT);
	conn_mark(T.h.tcp, T.conn, TODO_SEND);
	settle();
	for (unsigned i = 0; i < 40; i++) {
		tick(wait);
		expect(A, .seq = 1, .len = 1);
		send(A, .seq = 1, .ack = 1, .wnd = 0);
		expect_none();
		wait = wait * 2 > 120000 ? 120000 : wait * 2;
	}
	expect_state(TCP_ESTABLISHED);
	ck_assert_uint_eq(counted(TCP_PERSIST), 40);
	send(A, .seq = 1, .ack = 1, .wnd = 65535);
	expect(A, .seq = 1, .len = 1460);
	expect(A, .seq = 1461, .len = 1460);
	expect(A | P, .seq = 2921, .len = 80);
	send(A, .seq = 1, .ack = 3001);
	ck_assert_uint_eq(view().tx_acked, 3000);
	trace_end();
}
END_TEST

/* A probe's byte may be taken although the window stays shut. */
START_TEST(test_zero_window_takes_the_probe)
{
	established();
	send(A, .seq = 1, .ack = 1, .wnd = 0);
	put(10);
	tick(400);
	expect(A, .seq = 1, .len = 1);
	send(A, .seq = 1, .ack = 2, .wnd = 0);
	expect_none();
	tick(300);
	expect(A, .seq = 2, .len = 1);
	send(A, .seq = 1, .ack = 2, .wnd = 100);
	expect(A | P, .seq = 2, .len = 9);
	trace_end();
}
END_TEST

/* A peer that does not answer probes is given up. */
START_TEST(test_zero_window_unanswered)
{
	established();
	send(A, .seq = 1, .ack = 1, .wnd = 0);
	put(10);
	tick(15 * 121000);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ETIMEDOUT);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	trace_end();
}
END_TEST

/* A lost window update: both ends wait, the probe ends it.  The peer's edge was above half its window but below MSS. */
START_TEST(test_silly_window_override)
{
	established();
	send(A, .seq = 1, .ack = 1, .wnd = 100);
	put(1000);
	expect_none(); /* 100 of 65535 is silly */
	tick(400);
	expect(A, .seq = 1, .len = 100);
	trace_end();
}
END_TEST

/* --- Nagle, RFC 9293 3.7.4 */
START_TEST(test_nagle)
{
	established();
	put(10);
	expect(A | P, .seq = 1, .len = 10);
	put(10);
	put(10);
	expect_none();
	send(A, .seq = 1, .ack = 11);
	expect(A | P, .seq = 11, .len = 20);
	put(2000); /* a full one goes, its tail waits behind the small one in flight */
	expect(A, .seq = 31, .len = 1460);
	expect_none();
	send(A, .seq = 1, .ack = 31);
	expect(A | P, .len = 540);
	trace_end();
}
END_TEST

START_TEST(test_nodelay)
{
	established();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_NODELAY, 1), 0);
	for (unsigned i = 0; i < 5; i++) {
		put(10);
		expect(A | P, .seq = 1 + 10 * i, .len = 10);
	}
	trace_end();
}
END_TEST

START_TEST(test_cork)
{
	established();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_CORK, 1), 0);
	put(10);
	put(10);
	expect_none();
	put(1500);
	expect(A, .seq = 1, .len = 1460);
	expect_none();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_CORK, 0), 0);
	settle();
	expect(A | P, .len = 60);
	trace_end();
}
END_TEST

/* tcp(7): corked output waits 200 ms at most. */
START_TEST(test_cork_ends_by_itself)
{
	established();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_CORK, 1), 0);
	put(10);
	tick(199);
	expect_none();
	tick(2);
	expect(A | P, .seq = 1, .len = 10);
	trace_end();
}
END_TEST

/* --- RFC 7323, timestamps */
static void stamped(void)
{
	established_with((struct seg){ .mss = 0 });
	trace_end();
	trace_begin(NULL);
	T.h.tcp->conf.timestamps = true;
	host_listen(&T.h, SERVER_PORT, 10);
	T.peer_ts = 5000;
	send(S, .mss = 1460, .ts = 1, .ts_val = 5000);
	expect(S | A);
	send(A, .seq = 1, .ack = 1);
	ck_assert_ptr_nonnull(T.c);
}

/* 5.3: PAWS. */
START_TEST(test_paws)
{
	stamped();
	T.peer_ts = 6000;
	send(A, .seq = 1, .ack = 1, .len = 1460);
	send(A, .seq = 1461, .ack = 1, .len = 1460);
	expect(A, .ack = 2921);
	ck_assert_uint_eq(T.opts.ts_ecr, 6000);
	T.peer_ts = 5999;
	send(A, .seq = 2921, .ack = 1, .len = 10);
	expect(A, .ack = 2921);
	ck_assert_uint_eq(counted(TCP_PAWS), 1);
	ck_assert_uint_eq(view().rx_end, 2920);
	trace_end();
}
END_TEST

/* 5.5: after 24 days without a segment the stored timestamp means nothing. */
START_TEST(test_paws_ages)
{
	stamped();
	T.h.now_us += UINT64_C(25) * 24 * 3600 * 1000000;
	tick(1);
	T.peer_ts = 4000;
	send(A, .seq = 1, .ack = 1, .len = 10);
	ck_assert_uint_eq(view().rx_end, 10);
	trace_end();
}
END_TEST

/* 3.2: a segment without the option is dropped once it was negotiated, but a RST is not. */
START_TEST(test_missing_timestamp)
{
	stamped();
	send(A, .seq = 1, .ack = 1, .len = 10, .ts = -1);
	expect_none();
	ck_assert_uint_eq(view().rx_end, 0);
	send(R, .seq = 1, .ts = -1);
	expect_state(TCP_CLOSED);
	trace_end();
}
END_TEST

/* 4.3: the echo is of the segment that the ACK moved past, not of one out of order. */
START_TEST(test_ts_recent_rule)
{
	stamped();
	T.peer_ts = 6000;
	send(A, .seq = 101, .ack = 1, .len = 100); /* early */
	expect(A, .ack = 1);
	ck_assert_uint_eq(T.opts.ts_ecr, 5000);
	T.peer_ts = 6001;
	send(A, .seq = 1, .ack = 1, .len = 100);
	expect(A, .ack = 201);
	ck_assert_uint_eq(T.opts.ts_ecr, 6001);
	trace_end();
}
END_TEST

/* Nor of one that acknowledges what was never sent: its guess would shut out all that follows (PAWS). */
START_TEST(test_ts_of_an_overlap)
{
	stamped();
	send(A, .seq = 1, .ack = 1, .len = 100);
	expect_none(); /* the ACK is delayed: Last.ACK.sent is 1 */
	T.peer_ts = 6000;
	send(A, .seq = 1, .ack = 1, .len = 150); /* begins where that ACK was, although only its end is new */
	expect(A, .ack = 151);
	ck_assert_uint_eq(T.opts.ts_ecr, 6000);
	trace_end();
}
END_TEST

START_TEST(test_ts_of_a_bad_ack)
{
	stamped();
	T.peer_ts = 2000000000;
	send(A, .seq = 1, .ack = 5000, .len = 10);
	expect(A, .ack = 1);
	ck_assert_uint_eq(T.opts.ts_ecr, 5000);
	T.peer_ts = 5001;
	send(A, .seq = 1, .ack = 1, .len = 10);
	ck_assert_uint_eq(view().rx_end, 10);
	trace_end();
}
END_TEST

/* --- The owner's side */
START_TEST(test_memory_follows_the_flow)
{
	established();
	ck_assert_uint_eq(T.h.owner.rx.used_count, 0);
	for (unsigned i = 0; i < 10; i++)
		send(A, .seq = 1 + i * 1460, .ack = 1, .len = 1460);
	ck_assert_uint_eq(T.h.owner.rx.used_count, 4);
	take(5000);
	ck_assert_uint_eq(T.h.owner.rx.used_count, 3);
	take(100000);
	ck_assert_uint_eq(T.h.owner.rx.used_count, 0);
	while (T.h.net.queued > 0)
		expect(A);
	put(20000);
	while (T.h.net.queued > 0)
		expect(A, .len = 1460);
	trace_end();
}
END_TEST

START_TEST(test_tx_chunks_are_let_go)
{
	established();
	put(10000);
	for (unsigned i = 0; i < 6; i++)
		expect(A, .len = 1460);
	send(A, .seq = 1, .ack = 5001);
	ck_assert_uint_eq(T.c->tx_acked, 5000);
	ck_assert_uint_eq(T.h.tx_pool.used_count, 2);
	expect(A | P, .len = 1240);
	send(A, .seq = 1, .ack = 10001);
	ck_assert_uint_eq(T.h.tx_pool.used_count, 0);
	ck_assert_uint_eq(T.conn->tx.count, 0);
	trace_end();
}
END_TEST

/* The client's pool is empty: what does not fit is not acknowledged, and comes again. */
START_TEST(test_no_memory)
{
	uint32_t hoard[HOST_SEGS * BYTES_SEG_CHUNKS], n = 0;

	established();
	while ((hoard[n] = bytes_alloc(&T.h.owner.rx)) != BYTES_NONE)
		n++;
	send(A, .seq = 1, .ack = 1, .len = 100);
	expect_none();
	ck_assert_uint_eq(view().rx_end, 0);
	ck_assert_uint_eq(counted(TCP_NO_MEMORY), 1);
	bytes_free(&T.h.owner.rx, hoard[--n]);
	for (unsigned i = 0; i < 3; i++)
		send(A, .seq = 1 + i * 1460, .ack = 1, .len = 1460); /* one chunk of 4096 */
	tick(100);
	while (T.h.net.queued > 0)
		expect(A);
	ck_assert_uint_eq(view().rx_end, 4096);
	ck_assert_uint_eq(take(10000), 4096);
	while (n > 0)
		bytes_free(&T.h.owner.rx, hoard[--n]);
	send(A, .seq = 4097, .ack = 1, .len = 100);
	ck_assert_uint_eq(take(1000), 100);
	trace_end();
}
END_TEST

START_TEST(test_notes_coalesce)
{
	unsigned before;

	established();
	before = T.c->notes;
	for (unsigned i = 0; i < 10; i++)
		send(A, .seq = 1 + i * 100, .ack = 1, .len = 100, .later = true);
	settle();
	ck_assert_uint_eq(T.c->notes, before + 1);
	trace_end();
}
END_TEST

/* A full event ring: nothing is lost, the owner asks again. */
START_TEST(test_deaf_owner)
{
	established();
	T.h.deaf = true;
	send(A, .seq = 1, .ack = 1, .len = 100);
	T.h.deaf = false;
	ck_assert_uint_ne(T.conn->note, 0);
	tick(500);
	ck_assert_uint_ne(T.conn->note, 0);
	tcp_mark(T.h.tcp, T.conn);
	settle();
	ck_assert_uint_eq(T.conn->note, 0);
	trace_end();
}
END_TEST

START_TEST(test_lies_of_the_owner)
{
	uint32_t good[16], bad[1] = { 5 * BYTES_SEG_CHUNKS };

	established();
	for (unsigned i = 0; i < 16; i++)
		good[i] = bytes_alloc(&T.h.tx_pool);
	ck_assert_int_eq(tcp_rx_done(T.h.tcp, T.conn, 1), -EINVAL);
	ck_assert_int_eq(tcp_rx_done(T.h.tcp, T.conn, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 10, bad, 1), -EINVAL);
	bad[0] = BYTES_NONE;
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 10, bad, 1), -EINVAL);
	bad[0] = HOST_SEGS * BYTES_SEG_CHUNKS + 1;
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 10, bad, 1), -EINVAL);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 10, good, 0), -EINVAL);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 4097, good, 1), -EINVAL);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, UINT64_MAX, good, 16), -EINVAL);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, UINT64_C(1) << 32, good, 16), -EINVAL);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 10, good, 1), 0);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 9, good, 1), -EINVAL);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 20, good + 1, 1), -EINVAL); /* the first 10 lie elsewhere */
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 20, good, 1), 0);
	T.c->tx_end = 20;
	send(A, .seq = 1, .ack = 1);
	nic_free(host_sent(&T.h));
	tcp_shutdown(T.h.tcp, T.conn, SHUT_WR);
	ck_assert_int_eq(tcp_sent_more(T.h.tcp, T.conn, 30, good, 1), -EPIPE);
	tcp_shutdown(T.h.tcp, T.conn, 12345);
	for (unsigned i = 0; i < 16; i++)
		bytes_free(&T.h.tx_pool, good[i]);
	trace_end();
}
END_TEST

/* The client unmaps what it has announced: its own connection suffers. */
START_TEST(test_owner_takes_memory_back)
{
	established();
	put(100000);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	T.h.owner.tx.base[0] = NULL;
	send(A, .seq = 1, .ack = 1461);
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, EFAULT);
	expect(R | A);
	T.h.owner.tx.base[0] = T.h.seg[HOST_SEGS];
	trace_end();
}
END_TEST

START_TEST(test_setopt_values)
{
	static const struct {
		uint32_t name;
		uint64_t value;
		int err;
	} t[] = {
		{ OPT_NONE, 0, -ENOPROTOOPT },       { OPT_MAX, 0, -ENOPROTOOPT },       { UINT32_MAX, 0, -ENOPROTOOPT },
		{ OPT_KEEPIDLE, 0, -EINVAL },        { OPT_KEEPIDLE, 32768, -EINVAL },   { OPT_KEEPIDLE, 10, 0 },
		{ OPT_KEEPCNT, 128, -EINVAL },       { OPT_KEEPCNT, 5, 0 },              { OPT_MAXSEG, 10, -EINVAL },
		{ OPT_MAXSEG, 500, 0 },              { OPT_CONGESTION, CC_MAX, -EINVAL }, { OPT_CONGESTION, CC_RENO, 0 },
		{ OPT_RCVBUF, UINT64_MAX, 0 },       { OPT_SNDBUF, 0, 0 },               { OPT_USER_TIMEOUT, UINT64_MAX, -EINVAL },
		{ OPT_TOS, 256, -EINVAL },           { OPT_TOS, 0xff, 0 },               { OPT_TTL, 0, -EINVAL },
		{ OPT_TTL, 255, 0 },                 { OPT_KEEPINTVL, UINT64_MAX, -EINVAL },
	};

	established();
	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, t[i].name, t[i].value), t[i].err);
	ck_assert_uint_eq(T.conn->rcvbuf, T.h.conf.rcvbuf_max);
	ck_assert_uint_eq(T.conn->mss, 500);
	ck_assert_uint_eq(T.conn->tos, 0xfc);
	trace_end();
}
END_TEST

/* The send limit follows cwnd up, and the owner is told. */
START_TEST(test_send_limit_grows)
{
	uint64_t acked = 0;
	uint32_t first;

	established();
	first = view().tx_limit;
	for (unsigned round = 0; round < 8; round++) {
		put(1 << 20);
		while (T.h.net.queued > 0) {
			struct pkt *p = host_sent(&T.h);

			acked = acked + p->tcp.text_len;
			nic_free(p);
		}
		tick(10);
		send(A, .seq = 1, .ack = (int64_t)(1 + acked));
	}
	ck_assert_uint_gt(view().tx_limit, first);
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
	trace_end();
}
END_TEST

/* RFC 6093: urgent data is read in line. */
/* The receive buffer follows what the program takes in a round trip; one that the program has sized stays. */
START_TEST(test_receive_buffer_grows)
{
	uint32_t before, at = 1;

	established();
	if (_i == 1)
		ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_RCVBUF, 65536), 0);
	before = T.conn->rcvbuf;
	for (unsigned turn = 0; turn < 4; turn++) {
		for (unsigned i = 0; i < 40; i++, at += 1460)
			send(A, .seq = at, .ack = 1, .len = 1460);
		ck_assert_uint_eq(take(100000), 40 * 1460);
		tick(20);
		while (T.h.net.queued > 0)
			nic_free(host_sent(&T.h));
	}
	if (_i == 0)
		ck_assert_uint_ge(T.conn->rcvbuf, 2 * 40 * 1460);
	else
		ck_assert_uint_eq(T.conn->rcvbuf, before);
	ck_assert_uint_le(T.conn->rcvbuf, T.h.conf.rcvbuf_max);
	trace_end();
}
END_TEST

START_TEST(test_urgent)
{
	established();
	send(A | U | P, .seq = 1, .ack = 1, .len = 10);
	ck_assert_uint_eq(take(100), 10);
	ck_assert(view().urgent);
	ck_assert_uint_eq(counted(TCP_URGENT), 1);
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_delayed_ack);
	tcase_add_test(tc, test_every_second_segment);
	tcase_add_test(tc, test_quickack);
	tcase_add_test(tc, test_ack_rides_on_data);
	tcase_add_test(tc, test_out_of_order);
	tcase_add_test(tc, test_duplicate_acks_do_not_coalesce);
	tcase_add_test(tc, test_overlaps);
	tcase_add_test(tc, test_outside_the_window);
	tcase_add_test(tc, test_no_ack_flag);
	tcase_add_test(tc, test_window_closes_and_opens);
	tcase_add_test(tc, test_peer_window);
	tcase_add_test(tc, test_window_from_old_segment);
	tcase_add_test(tc, test_zero_window);
	tcase_add_test(tc, test_zero_window_takes_the_probe);
	tcase_add_test(tc, test_zero_window_unanswered);
	tcase_add_test(tc, test_silly_window_override);
	tcase_add_test(tc, test_nagle);
	tcase_add_test(tc, test_nodelay);
	tcase_add_test(tc, test_cork);
	tcase_add_test(tc, test_cork_ends_by_itself);
	tcase_add_test(tc, test_paws);
	tcase_add_test(tc, test_paws_ages);
	tcase_add_test(tc, test_missing_timestamp);
	tcase_add_test(tc, test_ts_recent_rule);
	tcase_add_test(tc, test_ts_of_an_overlap);
	tcase_add_test(tc, test_ts_of_a_bad_ack);
	tcase_add_test(tc, test_memory_follows_the_flow);
	tcase_add_test(tc, test_tx_chunks_are_let_go);
	tcase_add_test(tc, test_no_memory);
	tcase_add_test(tc, test_notes_coalesce);
	tcase_add_test(tc, test_deaf_owner);
	tcase_add_test(tc, test_lies_of_the_owner);
	tcase_add_test(tc, test_owner_takes_memory_back);
	tcase_add_test(tc, test_setopt_values);
	tcase_add_test(tc, test_send_limit_grows);
	tcase_add_loop_test(tc, test_receive_buffer_grows, 0, 2);
	tcase_add_test(tc, test_urgent);
}

int main(void)
{
	return trace_main("tcp_data", (void (*const[])(TCase *)){ add }, 1);
}
