/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Streams: peeking in order and by offset, holes, loss, overlaps, what is told about buffers, and switching them off.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

static char buf[262144];

static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at ^ at >> 8); /* rows.py: numbered() */
}

static void at_data(callback_t cb)
{
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, cb);
}

static struct tcp_buf_info info_of(mctx_t m, int sock, int side)
{
	struct tcp_buf_info info = { 0 };
	socklen_t len = sizeof(info);

	EXPECT_IS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, side == MOS_SIDE_CLI ? MOS_INFO_CLIBUF : MOS_INFO_SVRBUF, &info, &len), 0);
	EXPECT_IS(len, sizeof(info));
	return info;
}

/* --- Offsets ------------------------------------------------------------------------------------------------------------------ */

static void first_bytes(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	if (p.payloadlen == 0)
		return;
	EXPECT_IS(p.offset, 0);
	EXPECT_IS(p.seq, info_of(m, sock, side).tcpbi_init_seq + 1);
	EXPECT_IS(mtcp_ppeek(m, sock, side, buf, sizeof(buf), p.offset), p.payloadlen);
	EXPECT(memcmp(buf, p.payload, p.payloadlen) == 0);
	tell("%s %.*s", side_name(side), (int)p.payloadlen, buf);
}

static void offsets(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_RCV, first_bytes);
}

/* At HK_SND the receiver has not got the payload. */
static void not_yet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	int to = side == MOS_SIDE_CLI ? MOS_SIDE_SVR : MOS_SIDE_CLI;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	if (p.payloadlen == 0)
		return;
	FAILS(mtcp_ppeek(m, sock, to, buf, sizeof(buf), p.offset), ENODATA);
	EXPECT_IS(mtcp_peek(m, sock, to, buf, sizeof(buf)), 0);
	tell("%s", side_name(side));
}

static void before_arrival(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, not_yet);
}

/* --- Cursors ------------------------------------------------------------------------------------------------------------------- */

static void in_threes(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	ssize_t n;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_peek(m, sock, side, buf, 0), 0);
	while ((n = mtcp_peek(m, sock, side, buf, 3)) > 0)
		tell("first %s %.*s", side_name(side), (int)n, buf);
	EXPECT_IS(n, 0);
}

static void at_once(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	ssize_t n = mtcp_peek(m, sock, side, buf, sizeof(buf));

	(void)event;
	(void)arg;
	if (n > 0)
		tell("second %s %.*s", side_name(side), (int)n, buf);
	EXPECT_IS(mtcp_peek(m, sock, side, buf, sizeof(buf)), 0);
}

static void cursors(void)
{
	int second = another();

	at_data(in_threes);
	EXPECT_IS(mtcp_register_callback(run.m, second, MOS_ON_CONN_NEW_DATA, MOS_NULL, at_once), 0);
}

/* --- Holes --------------------------------------------------------------------------------------------------------------------- */

static void around_hole(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_buf_info info;

	(void)event;
	(void)arg;
	if (side != MOS_SIDE_SVR)
		return;
	tell("ppeek 300 at 0: %zd", mtcp_ppeek(m, sock, side, buf, 300, 0));
	tell("ppeek 300 at 50: %zd", mtcp_ppeek(m, sock, side, buf, 300, 50));
	tell("ppeek 300 at 200: %zd", mtcp_ppeek(m, sock, side, buf, 300, 200));
	EXPECT_IS((uint8_t)buf[0], 200);
	tell("ppeek 100 at 100: %zd", mtcp_ppeek(m, sock, side, buf, 100, 100));
	tell("peek: %zd", mtcp_peek(m, sock, side, buf, sizeof(buf)));
	tell("peek: %zd", mtcp_peek(m, sock, side, buf, sizeof(buf)));
	info = info_of(m, sock, side);
	tell("read %d, expected %d", (int)(info.tcpbi_last_byte_read - info.tcpbi_init_seq),
	     (int)(info.tcpbi_next_byte_expected - info.tcpbi_init_seq));
}

static void holes(void)
{
	at_data(around_hole);
}

static void after_loss(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	ssize_t n;

	(void)event;
	(void)arg;
	if (side != MOS_SIDE_SVR)
		return;
	for (;;) {
		errno = 0;
		n = mtcp_peek(m, sock, side, buf, sizeof(buf));
		tell("peek: %zd %s", n, n < 0 ? strerrorname_np(errno) : n > 0 ? (char[2]){ buf[0], '\0' } : "");
		if (n == 0)
			return;
	}
}

static void losses(void)
{
	at_data(after_loss);
}

/* --- Overlaps ------------------------------------------------------------------------------------------------------------------ */

static void told_whole(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	ssize_t n;

	(void)event;
	(void)arg;
	if (side != MOS_SIDE_SVR)
		return;
	n = mtcp_ppeek(m, sock, side, buf, sizeof(buf), 0);
	tell("%s %.*s", (const char *)(void *)arg, (int)n, buf);
}

static void whole_first(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)arg;
	told_whole(m, sock, side, event, (filter_arg_t *)(uintptr_t)"first");
}

static void whole_last(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)arg;
	told_whole(m, sock, side, event, (filter_arg_t *)(uintptr_t)"last");
}

static void policies(void)
{
	int last = MOS_OVERLAP_POLICY_LAST, bad = MOS_OVERLAP_CNT, second = another();

	EXPECT_IS(mtcp_setsockopt(run.m, second, SOL_MONSOCKET, MOS_SVROVERLAP, &last, sizeof(last)), 0);
	FAILS(mtcp_setsockopt(run.m, second, SOL_MONSOCKET, MOS_SVROVERLAP, &bad, sizeof(bad)), EINVAL);
	on(MOS_ON_CONN_END, MOS_HK_RCV, whole_first);
	EXPECT_IS(mtcp_register_callback(run.m, second, MOS_ON_CONN_END, MOS_HK_RCV, whole_last), 0);
}

/* The policy of the client's stream does not touch the server's. */
static void policy_other(void)
{
	int last = MOS_OVERLAP_POLICY_LAST;

	EXPECT_IS(mtcp_setsockopt(run.m, run.sock, SOL_MONSOCKET, MOS_CLIOVERLAP, &last, sizeof(last)), 0);
	on(MOS_ON_CONN_END, MOS_HK_RCV, whole_first);
}

/* --- Much ------------------------------------------------------------------------------------------------------------------------ */

static void expect_bytes(uint64_t at, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((uint8_t)p[i] != byte_at(at + i)) {
			wrong(__FILE__, __LINE__, "byte %llu is wrong", (unsigned long long)at + i);
			return;
		}
	}
}

static void long_peeks(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_ppeek(m, sock, side, buf, 8192, 0), 8192);
	expect_bytes(0, buf, 8192);
	EXPECT_IS(mtcp_ppeek(m, sock, side, buf, 4096, 4096), 4096);
	expect_bytes(4096, buf, 4096);
	EXPECT_IS(mtcp_ppeek(m, sock, side, buf, sizeof(buf), 9999), 1);
	EXPECT_IS(mtcp_peek(m, sock, side, buf, 8192), 8192);
	expect_bytes(0, buf, 8192);
	EXPECT_IS(mtcp_peek(m, sock, side, buf, sizeof(buf)), 10000 - 8192);
	expect_bytes(8192, buf, 10000 - 8192);
	tell("%s", side_name(side));
}

static void much(void)
{
	on(MOS_ON_CONN_END, MOS_HK_RCV, long_peeks);
}

static void in_place(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	const char *p = buf;
	ssize_t n;
	uint64_t at = 0;

	(void)event;
	(void)arg;
	FAILS(mtcp_peek_ptr(m, sock, side, NULL), EINVAL);
	while ((n = mtcp_peek_ptr(m, sock, side, &p)) > 0) {
		EXPECT(n <= 4096);
		expect_bytes(at, p, (size_t)n);
		EXPECT_IS(mtcp_peek_advance(m, sock, side, 0), 0);
		EXPECT_IS(mtcp_peek_advance(m, sock, side, (size_t)n / 2), n / 2);
		EXPECT_IS(mtcp_peek_ptr(m, sock, side, &p), n - n / 2);
		EXPECT_IS(mtcp_peek_advance(m, sock, side, (size_t)(n - n / 2)), n - n / 2);
		at += (uint64_t)n;
	}
	EXPECT_IS(n, 0);
	EXPECT(p == NULL);
	FAILS(mtcp_peek_advance(m, sock, side, 1), EINVAL);
	EXPECT_IS(mtcp_peek(m, sock, side, buf, sizeof(buf)), 0);
	tell("%s %llu", side_name(side), (unsigned long long)at);
}

static void pointers(void)
{
	on(MOS_ON_CONN_END, MOS_HK_RCV, in_place);
}

/* --- Switched off ---------------------------------------------------------------------------------------------------------------- */

static void without(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	socklen_t count;
	const char *p;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_peek(m, sock, MOS_SIDE_SVR, buf, sizeof(buf)), 0);
	EXPECT_IS(mtcp_peek_ptr(m, sock, MOS_SIDE_SVR, &p), 0);
	FAILS(mtcp_ppeek(m, sock, MOS_SIDE_SVR, buf, sizeof(buf), 0), ENODATA);
	EXPECT(strcmp(pieces(m, sock, 32 * sizeof(struct tcp_ring_fragment), &count), "") == 0);
	EXPECT_IS(mtcp_ppeek(m, sock, MOS_SIDE_CLI, buf, sizeof(buf), 0), 6);
	tell("%s", side_name(side));
}

static void off(void)
{
	int none = 0;

	EXPECT_IS(mtcp_setsockopt(run.m, run.sock, SOL_MONSOCKET, MOS_SVRBUF, &none, sizeof(none)), 0);
	on(MOS_ON_CONN_END, MOS_HK_RCV, without);
}

static void off_in_flow(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	int none = 0;

	(void)side;
	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SVRBUF, &none, sizeof(none)), 0);
}

static void off_later(void)
{
	on(MOS_ON_CONN_START, MOS_HK_SND, off_in_flow);
	on(MOS_ON_CONN_END, MOS_HK_RCV, without);
}

static void with(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	tell("%zd %zd", mtcp_peek(m, sock, MOS_SIDE_SVR, buf, sizeof(buf)), mtcp_peek(m, sock, MOS_SIDE_CLI, buf, sizeof(buf)));
}

static void resized(void)
{
	int size = 4096, less = -1;

	EXPECT_IS(mtcp_setsockopt(run.m, run.sock, SOL_MONSOCKET, MOS_SVRBUF, &size, sizeof(size)), 0);
	EXPECT_IS(mtcp_setsockopt(run.m, run.sock, SOL_MONSOCKET, MOS_CLIBUF, &size, sizeof(size)), 0);
	FAILS(mtcp_setsockopt(run.m, run.sock, SOL_MONSOCKET, MOS_CLIBUF, &less, sizeof(less)), EINVAL);
	FAILS(mtcp_setsockopt(run.m, run.sock, SOL_MONSOCKET, MOS_CLIBUF, &size, 2), EINVAL);
	FAILS(mtcp_setsockopt(run.m, run.sock, SOL_MONSOCKET, MOS_CLIBUF, NULL, sizeof(size)), EFAULT);
	on(MOS_ON_CONN_END, MOS_HK_SND, with);
}

/* --- What cannot be ---------------------------------------------------------------------------------------------------------------- */

static int raw_sock;

static void mistakes(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_buf_info info;
	socklen_t len = sizeof(info) - 1;

	(void)event;
	(void)arg;
	FAILS(mtcp_peek(m, sock, MOS_SIDE_BOTH, buf, 1), EINVAL);
	FAILS(mtcp_ppeek(m, sock, 7, buf, 1, 0), EINVAL);
	FAILS(mtcp_peek(m, sock, side, NULL, 1), EINVAL);
	FAILS(mtcp_ppeek(m, sock, side, NULL, 1, 0), EINVAL);
	FAILS(mtcp_peek(m, run.sock, side, buf, 1), ENOTCONN);
	FAILS(mtcp_ppeek(m, run.sock, side, buf, 1, 0), ENOTCONN);
	FAILS(mtcp_peek(m, raw_sock, side, buf, 1), ENOTSOCK);
	FAILS(mtcp_ppeek(m, raw_sock, side, buf, 1, 0), ESOCKTNOSUPPORT);
	FAILS(mtcp_peek(m, 9999, side, buf, 1), EBADF);
	FAILS(mtcp_peek(NULL, sock, side, buf, 1), EACCES);
	FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &info, &len), EINVAL);
	FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, NULL, &len), EFAULT);
	FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, 99, &info, &len), ENOSYS);
	FAILS(mtcp_getsockopt(m, run.sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &info, &len), ENOTSOCK);
	FAILS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SEQ_REMAP, &info, sizeof(info)), ENOSYS);
	tell("told");
}

static void refused(void)
{
	raw_sock = raw(run.only);
	FAILS(mtcp_peek(run.m, run.sock, MOS_SIDE_SVR, buf, 1), EPERM);
	FAILS(mtcp_ppeek(run.m, run.sock, MOS_SIDE_SVR, buf, 1, 0), EPERM);
	on(MOS_ON_CONN_START, MOS_HK_SND, mistakes);
}

/* --- More than the buffer (monitor.buffer_max is 16384) -------------------------------------------------------------------------- */

static void what_is_left(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	uint64_t at = 0, got = 0;
	ssize_t n;

	(void)event;
	(void)arg;
	if (side != MOS_SIDE_SVR)
		return;
	n = mtcp_peek(m, sock, side, buf, sizeof(buf));
	EXPECT(n < -1 && errno == ENODATA);
	at = (uint64_t)-n;
	while ((n = mtcp_peek(m, sock, side, buf, 5000)) > 0) {
		expect_bytes(at + got, buf, (size_t)n);
		got += (uint64_t)n;
	}
	EXPECT_IS(n, 0);
	EXPECT_IS(at + got, 200000);
	EXPECT(got > 16384 - 4096);
	EXPECT(got <= 16384 + 4096);
	tell("the rest");
}

static void overrun(void)
{
	on(MOS_ON_CONN_END, MOS_HK_RCV, what_is_left);
}

static void old_again(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	tell("%s %llu", side_name(side), (unsigned long long)p.offset);
	FAILS(mtcp_ppeek(m, sock, side, buf, p.payloadlen, p.offset), ENODATA);
}

static void horizon(void)
{
	on(MOS_ON_REXMIT, MOS_HK_RCV, old_again);
}

ROWS(stream,
	{ .name = "offset 0 is the byte after the SYN; pkt_info.offset is what ppeek takes", .scene = "exchange", .begin = offsets,
	  .told =
		  "svr question\n"
		  "cli answer\n" },
	{ .name = "at HK_SND the payload has not arrived", .scene = "exchange", .begin = before_arrival, .told =
		  "cli\n"
		  "svr\n" },
	{ .name = "peek: a cursor per socket and side; 0 when there is nothing new", .scene = "exchange", .begin = cursors, .socks = 1,
	  .told =
		  "first cli ans\n"
		  "first cli wer\n"
		  "second cli answer\n"
		  "first svr que\n"
		  "first svr sti\n"
		  "first svr on\n"
		  "second svr question\n" },
	{ .name = "a hole: peek stops there, ppeek looks behind it", .scene = "hole", .begin = holes, .told =
		  "ppeek 300 at 0: 100\n"
		  "ppeek 300 at 50: 50\n"
		  "ppeek 300 at 200: 100\n"
		  "ppeek 100 at 100: -1\n"
		  "peek: 100\n"
		  "peek: 0\n"
		  "read 100, expected 101\n"
		  "ppeek 300 at 0: 300\n"
		  "ppeek 300 at 50: 250\n"
		  "ppeek 300 at 200: 100\n"
		  "ppeek 100 at 100: 100\n"
		  "peek: 200\n"
		  "peek: 0\n"
		  "read 300, expected 301\n" },
	{ .name = "a hole that was acknowledged: minus its size, ENODATA; then on", .scene = "lost", .begin = losses, .told =
		  "peek: 100 a\n"
		  "peek: 0 \n"
		  "peek: -100 ENODATA\n"
		  "peek: 100 c\n"
		  "peek: 0 \n" },
	{ .name = "overlaps: each socket by its policy", .scene = "overlaps", .begin = policies, .socks = 1, .told =
		  "first bbbbbbbbbbAAAAAAAAAAbbbbbbbbbbCCCCC\n"
		  "last bbbbbbbbbbbbbbbbbbbbbbbbbCCCCCCCCCC\n" },
	{ .name = "overlaps: each side by its policy", .scene = "overlaps", .begin = policy_other, .told =
		  "first bbbbbbbbbbAAAAAAAAAAbbbbbbbbbbCCCCC\n" },
	{ .name = "peek of many bytes at once", .scene = "long", .begin = much, .told =
		  "cli\n"
		  "svr\n" },
	{ .name = "peek_ptr, peek_advance", .scene = "long", .begin = pointers, .told =
		  "cli 10000\n"
		  "svr 10000\n" },
	{ .name = "SVRBUF 0: nothing is kept of that side, for this program", .scene = "exchange", .begin = off, .told =
		  "cli\n"
		  "svr\n" },
	{ .name = "SVRBUF 0 of one flow", .scene = "exchange", .begin = off_later, .told =
		  "cli\n"
		  "svr\n" },
	{ .name = "SVRBUF, CLIBUF of a size: the streams are there", .scene = "exchange", .begin = resized, .told =
		  "8 6\n"
		  "0 0\n" },
	{ .name = "peek, ppeek, options: errors", .scene = "exchange", .begin = refused, .socks = 1, .told =
		  "told\n" });

const struct row_group rows_small = { "small", (const struct row[]){
	{ .name = "overrun: minus the bytes lost, ENODATA; then on", .scene = "flood", .begin = overrun, .told =
		  "the rest\n" },
	{ .name = "REXMIT is known where the old bytes have gone", .scene = "flood", .begin = horizon, .told =
		  "svr 0\n" },
	}, 2 };
