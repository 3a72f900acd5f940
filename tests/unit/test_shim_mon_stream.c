/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Peeking: what a round may see, what it is told about what is lost, and what the buffers' options say.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/shim_monitor.h"

static struct sm s;
static mctx_t m;
static struct sm_lane *lane;
static int mon, raw;
static struct sm_flow f;
static void (*body)(int sock, int side);
static unsigned rounds;

#define FAILS(call, err) \
	do { \
		errno = 0; \
		ck_assert_int_eq((int)(call), -1); \
		ck_assert_int_eq(errno, err); \
	} while (0)
#define PEEKS(sock, side, what) \
	do { \
		char b_[256]; \
		ck_assert_int_eq(mtcp_peek(m, sock, side, b_, sizeof(b_)), (ssize_t)strlen(what)); \
		ck_assert_mem_eq(b_, what, strlen(what)); \
	} while (0)

static void callback(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx;
	(void)event;
	(void)arg;
	sm_point();
	rounds++;
	body(sock, side);
	sm_point();
}

static void start(const struct sm_conf *conf)
{
	m = sm_start(&s, conf);
	lane = &s.lane[0];
	mon = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_int_ge(mon, 0);
	raw = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	ck_assert_int_ge(raw, 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_CONN_NEW_DATA, MOS_NULL, callback), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_REXMIT, MOS_HK_RCV, callback), 0);
	sm_open(&f, lane, 0);
}

static void up(void)
{
	start(NULL);
}

static void down(void)
{
	sm_stop(&s, m);
}

/* A round of NEW_DATA in which `what` runs. */
static void in_round(void (*what)(int sock, int side), unsigned side)
{
	unsigned before = rounds;

	body = what;
	sm_tell(&f, MON_NEW_DATA, MON_HK_NULL, side, 0);
	ck_assert_uint_eq(rounds, before + 1);
}

static const char *want;

static void peeks_want(int sock, int side)
{
	PEEKS(sock, side, want);
	PEEKS(sock, side, ""); /* nothing new */
}

START_TEST(peeking)
{
	up();
	want = "hello";
	sm_text(&f, MON_SVR, 0, "hello", 5);
	in_round(peeks_want, MON_SVR);
	want = " world";
	sm_text(&f, MON_SVR, 5, " world", 6);
	in_round(peeks_want, MON_SVR);
	want = "HTTP"; /* the sides have a cursor each */
	sm_text(&f, MON_CLI, 0, "HTTP", 4);
	in_round(peeks_want, MON_CLI);
	want = "";
	in_round(peeks_want, MON_SVR);
	down();
}
END_TEST

static void peeks_little(int sock, int side)
{
	char b[4];

	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 0), 0);
	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 2), 2);
	ck_assert_mem_eq(b, "ab", 2);
	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 2), 2);
	ck_assert_mem_eq(b, "cd", 2);
	PEEKS(sock, side, "e");
}

START_TEST(peeking_in_pieces)
{
	up();
	sm_text(&f, MON_SVR, 0, "abcde", 5);
	in_round(peeks_little, MON_SVR);
	down();
}
END_TEST

static void peeks_the_moment(int sock, int side)
{
	char b[8];

	PEEKS(sock, side, "one");
	PEEKS(sock, side, "");
	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 8, 1), 2); /* nor by offset */
	ck_assert_mem_eq(b, "ne", 2);
	FAILS(mtcp_ppeek(m, sock, side, b, 8, 3), ENODATA);
}

/* The engine is further than the record. */
START_TEST(a_round_sees_its_moment)
{
	struct mon_event e;

	up();
	sm_text(&f, MON_SVR, 0, "one", 3);
	e = sm_event(&f, MON_NEW_DATA, MON_HK_NULL, MON_SVR, 0);
	sm_text(&f, MON_SVR, 3, "two", 3);
	body = peeks_the_moment;
	sm_put(lane, &e);
	sm_settle(lane);
	want = "two";
	in_round(peeks_want, MON_SVR);
	ck_assert_uint_eq(rounds, 2);
	down();
}
END_TEST

static void peeks_ahead(int sock, int side)
{
	struct tcp_buf_info info;
	socklen_t len = sizeof(info);

	if (rounds == 1)
		return;
	PEEKS(sock, side, "hello");
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &info, &len), 0);
	ck_assert_uint_eq(info.tcpbi_next_byte_expected - info.tcpbi_init_seq, 1 + 5);
}

/* Records of two packets that are held, the second written before the verdict on the first came.  Whoever looks at the stream waits until it
 * has come, so sees what the first packet brought. */
START_TEST(a_round_ahead_of_its_turn_sees_its_moment)
{
	struct mon_event e;

	up();
	rounds = 0;
	body = peeks_ahead;
	e = sm_event(&f, MON_REXMIT, MON_HK_RCV, MON_SVR, MEVF_HELD);
	sm_put(lane, &e);
	e.flags |= MEVF_AHEAD;
	e.claim++;
	sm_put(lane, &e);
	(void)sm_expect(lane, MCMD_VERDICT);
	sm_text(&f, MON_SVR, 0, "hello", 5);
	ring_done(&lane->cmds);
	ck_assert_uint_eq(sm_expect(lane, MCMD_VERDICT).verdict.claim, e.claim);
	ring_done(&lane->cmds);
	sm_settle(lane);
	ck_assert_uint_eq(rounds, 2);
	down();
}
END_TEST

static void peeks_over_hole(int sock, int side)
{
	char b[8];

	PEEKS(sock, side, "abc");
	errno = 0;
	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 8), -7);
	ck_assert_int_eq(errno, ENODATA);
	PEEKS(sock, side, "klm");
	PEEKS(sock, side, "");
}

/* Bytes the receiver had and we never saw. */
START_TEST(a_hole_is_told)
{
	up();
	sm_text(&f, MON_SVR, 0, "abc", 3);
	sm_text(&f, MON_SVR, 10, "klm", 3);
	f.next[MON_SVR] = 13;
	sm_publish(&f);
	in_round(peeks_over_hole, MON_SVR);
	down();
}
END_TEST

static void peeks_after_end(int sock, int side)
{
	char b[8];

	errno = 0;
	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 8), -5);
	ck_assert_int_eq(errno, ENODATA);
	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 8), 0);
}

/* A hole at the end, where nothing follows yet. */
START_TEST(a_hole_at_the_end)
{
	up();
	f.next[MON_SVR] = 5;
	f.top[MON_SVR] = 5;
	sm_publish(&f);
	in_round(peeks_after_end, MON_SVR);
	down();
}
END_TEST

static uint64_t lost, got;

static void peeks_all(int sock, int side)
{
	static uint8_t b[8192];
	ssize_t n;

	while ((n = mtcp_peek(m, sock, side, (char *)b, sizeof(b))) != 0) {
		if (n < 0) {
			ck_assert_int_eq(errno, ENODATA);
			lost += (uint64_t)-n;
			continue;
		}
		for (ssize_t i = 0; i < n; i++)
			ck_assert_uint_eq(b[i], (lost + got + (uint64_t)i) % 251);
		got += (uint64_t)n;
	}
}

/* More than the arena keeps of a stream: what is gone is counted, what is there is right. */
START_TEST(overrun)
{
	static uint8_t block[4096];

	up();
	for (uint64_t off = 0; off < 1 << 20; off += sizeof(block)) {
		for (unsigned i = 0; i < sizeof(block); i++)
			block[i] = (uint8_t)((off + i) % 251);
		sm_text(&f, MON_SVR, off, block, sizeof(block));
	}
	in_round(peeks_all, MON_SVR);
	ck_assert_uint_eq(lost + got, 1 << 20);
	ck_assert_uint_gt(lost, 1 << 19);
	ck_assert_uint_gt(got, 100000);
	down();
}
END_TEST

static pthread_t writer;
static _Atomic bool reading;

static struct mon_rec *shown_rec(void)
{
	uint8_t *base = (uint8_t *)lane->arena_mem.base;

	return (struct mon_rec *)(base + ((struct mon_arena *)base)->flow_off) + f.rec;
}

/* The engine that goes on with a record after other programs have had its core. */
static void *rec_end_later(void *arg)
{
	struct timespec slice = { 0, 20000000 };

	while (!reading)
		sched_yield();
	nanosleep(&slice, NULL);
	atomic_fetch_add((_Atomic uint32_t *)&((struct mon_rec *)arg)->version, 1);
	return NULL;
}

static void peeks_meanwhile(int sock, int side)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	atomic_fetch_add((_Atomic uint32_t *)&shown_rec()->version, 1);
	ck_assert_int_eq(pthread_create(&writer, NULL, rec_end_later, shown_rec()), 0);
	reading = true;
	PEEKS(sock, side, "abc");
	ck_assert_int_eq(mtcp_getpeername(m, sock, (struct sockaddr *)&sin, &len, MOS_SIDE_CLI), 0);
	pthread_join(writer, NULL);
}

START_TEST(a_record_that_takes_long)
{
	up();
	sm_text(&f, MON_SVR, 0, "abc", 3);
	in_round(peeks_meanwhile, MON_SVR);
	down();
}
END_TEST

static void peeks_gone(int sock, int side)
{
	char b[8];

	errno = 0;
	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 8), -3);
	ck_assert_int_eq(errno, ENODATA);
	FAILS(mtcp_ppeek(m, sock, side, b, 8, 0), ENODATA);
	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 8), 0);
}

START_TEST(the_record_is_gone)
{
	struct mon_event e;

	up();
	sm_text(&f, MON_SVR, 0, "abc", 3);
	want = "";
	in_round(peeks_want, MON_CLI); /* its socket is made while the record is there */
	e = sm_event(&f, MON_NEW_DATA, MON_HK_NULL, MON_SVR, 0);
	sm_reuse(&f);
	body = peeks_gone;
	sm_put(lane, &e);
	sm_settle(lane);
	ck_assert_uint_eq(rounds, 2);
	down();
}
END_TEST

static void ppeeks(int sock, int side)
{
	char b[16];

	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 4, 2), 1); /* to the end of its fragment */
	ck_assert_int_eq(b[0], 'c');
	FAILS(mtcp_ppeek(m, sock, side, b, 4, 3), ENODATA);
	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 16, 10), 3);
	ck_assert_mem_eq(b, "klm", 3);
	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 2, 11), 2);
	FAILS(mtcp_ppeek(m, sock, side, b, 4, 13), ENODATA);
	FAILS(mtcp_ppeek(m, sock, side, b, 4, UINT64_MAX), ENODATA);
	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 0, 0), 0);
	PEEKS(sock, side, "abc"); /* the cursor is where it was */
}

START_TEST(peeking_by_offset)
{
	up();
	sm_text(&f, MON_SVR, 0, "abc", 3);
	sm_text(&f, MON_SVR, 10, "klm", 3); /* out of order: not yet in sequence */
	in_round(ppeeks, MON_SVR);
	down();
}
END_TEST

static void refuses(int sock, int side)
{
	char b[4];
	const char *p;

	FAILS(mtcp_peek(m, sock, MOS_SIDE_BOTH, b, 4), EINVAL);
	FAILS(mtcp_peek(m, sock, -1, b, 4), EINVAL);
	FAILS(mtcp_peek(m, sock, side, NULL, 4), EINVAL);
	FAILS(mtcp_peek(m, 99, side, b, 4), EBADF);
	FAILS(mtcp_peek(m, mon, side, b, 4), ENOTCONN);
	FAILS(mtcp_peek(m, raw, side, b, 4), ENOTSOCK);
	FAILS(mtcp_ppeek(m, raw, side, b, 4, 0), ESOCKTNOSUPPORT);
	FAILS(mtcp_ppeek(m, sock, 7, b, 4, 0), EINVAL);
	FAILS(mtcp_peek(NULL, sock, side, b, 4), EACCES);
	FAILS(mtcp_peek_ptr(m, sock, side, NULL), EINVAL);
	FAILS(mtcp_peek_ptr(m, 99, side, &p), EBADF);
	FAILS(mtcp_peek_advance(m, sock, side, 1), EINVAL);
}

START_TEST(refusals)
{
	char b[4];

	up();
	in_round(refuses, MON_SVR);
	FAILS(mtcp_peek(m, 2, MOS_SIDE_SVR, b, 4), EPERM); /* not from here */
	FAILS(mtcp_ppeek(m, 2, MOS_SIDE_SVR, b, 4, 0), EPERM);
	down();
}
END_TEST

static void overlaps(int sock, int side)
{
	int last = MOS_OVERLAP_POLICY_LAST, bad = 2;
	char b[8];

	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 8, 0), 6);
	ck_assert_mem_eq(b, "abcdef", 6);
	ck_assert_int_eq(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SVROVERLAP, &last, sizeof(last)), 0);
	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 8, 0), 6);
	ck_assert_mem_eq(b, "abXYef", 6);
	FAILS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SVROVERLAP, &bad, sizeof(bad)), EINVAL);
}

static void overlaps_first(int sock, int side)
{
	char b[8];

	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 8, 0), 6);
	ck_assert_mem_eq(b, "abcdef", 6);
}

static void overlaps_last(int sock, int side)
{
	char b[8];

	ck_assert_int_eq(mtcp_ppeek(m, sock, side, b, 8, 0), 6);
	ck_assert_mem_eq(b, "abXYef", 6);
}

/* A policy per flow; while a retransmission is told the first bytes are seen; new flows begin as their monitor socket says. */
START_TEST(overlap_policies)
{
	int last = MOS_OVERLAP_POLICY_LAST;

	up();
	sm_text(&f, MON_SVR, 0, "abcdef", 6);
	sm_text(&f, MON_SVR, 2, "XY", 2);
	in_round(overlaps, MON_SVR);
	body = overlaps_first;
	sm_tell(&f, MON_REXMIT, MON_HK_RCV, MON_SVR, MEVF_REXMIT);
	in_round(overlaps_last, MON_SVR);
	ck_assert_int_eq(mtcp_setsockopt(m, mon, SOL_MONSOCKET, MOS_SVROVERLAP, &last, sizeof(last)), 0);
	sm_open(&f, lane, 0);
	sm_text(&f, MON_SVR, 0, "abcdef", 6);
	sm_text(&f, MON_SVR, 2, "XY", 2);
	in_round(overlaps_last, MON_SVR);
	ck_assert_uint_eq(rounds, 4);
	down();
}
END_TEST

static void looks_in_place(int sock, int side)
{
	const char *p = NULL;

	ck_assert_int_eq(mtcp_peek_ptr(m, sock, side, &p), 4096); /* a chunk at a time */
	ck_assert_int_eq(p[4095], 'a');
	FAILS(mtcp_peek_advance(m, sock, side, 4097), EINVAL);
	ck_assert_int_eq(mtcp_peek_advance(m, sock, side, 4000), 4000);
	ck_assert_int_eq(mtcp_peek_ptr(m, sock, side, &p), 96);
	ck_assert_int_eq(mtcp_peek_advance(m, sock, side, 96), 96);
	ck_assert_int_eq(mtcp_peek_ptr(m, sock, side, &p), 904);
	ck_assert_int_eq(p[0], 'b');
	ck_assert_int_eq(mtcp_peek_advance(m, sock, side, 0), 0);
	ck_assert_int_eq(mtcp_peek_advance(m, sock, side, 904), 904);
	ck_assert_int_eq(mtcp_peek_ptr(m, sock, side, &p), 0);
}

static void looks_too_long(int sock, int side)
{
	const char *p = NULL;

	ck_assert_int_eq(mtcp_peek_ptr(m, sock, side, &p), 3);
	arena_trim(lane->arena, f.rec, MON_SVR, f.next[MON_SVR]);
	arena_drop(lane->arena, f.rec, MON_SVR);
	FAILS(mtcp_peek_advance(m, sock, side, 3), ENODATA);
}

START_TEST(without_copies)
{
	char a[4096], b[904];

	up();
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	sm_text(&f, MON_SVR, 0, a, sizeof(a));
	sm_text(&f, MON_SVR, sizeof(a), b, sizeof(b));
	in_round(looks_in_place, MON_SVR);
	sm_text(&f, MON_SVR, 5000, "xyz", 3);
	in_round(looks_too_long, MON_SVR);
	down();
}
END_TEST

static void asks_fragments(int sock, int side)
{
	struct tcp_ring_fragment frag[8];
	socklen_t n = 7; /* elements */

	(void)side;
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, frag, &n), 0);
	ck_assert_uint_eq(n, 3);
	ck_assert_uint_eq(frag[0].offset, 0);
	ck_assert_uint_eq(frag[0].len, 3);
	ck_assert_uint_eq(frag[1].offset, 10);
	ck_assert_uint_eq(frag[1].len, 3);
	ck_assert_uint_eq(frag[2].offset, 9000);
	ck_assert_uint_eq(frag[2].len, 1);
	n = 2 * sizeof(*frag); /* bytes: no more than fit */
	frag[2].offset = 77;
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, frag, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(frag[2].offset, 77);
	n = 7;
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_FRAGINFO_CLIBUF, frag, &n), 0);
	ck_assert_uint_eq(n, 0);
}

START_TEST(fragments)
{
	up();
	sm_text(&f, MON_SVR, 0, "abc", 3);
	sm_text(&f, MON_SVR, 10, "klm", 3);
	sm_text(&f, MON_SVR, 9000, "z", 1);
	in_round(asks_fragments, MON_SVR);
	down();
}
END_TEST

static void asks_info(int sock, int side)
{
	struct tcp_buf_info i;
	socklen_t n = sizeof(i);
	char b[2];

	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 2), 2);
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &i, &n), 0);
	ck_assert_uint_eq(i.tcpbi_init_seq, 6000);
	ck_assert_uint_eq(i.tcpbi_last_byte_read, 6002);
	ck_assert_uint_eq(i.tcpbi_next_byte_expected, 6004);
	ck_assert_uint_eq(i.tcpbi_last_byte_received, 6013);
	n = 4;
	FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &i, &n), EINVAL);
}

START_TEST(buffer_info)
{
	up();
	sm_text(&f, MON_SVR, 0, "abc", 3);
	sm_text(&f, MON_SVR, 10, "klm", 3);
	in_round(asks_info, MON_SVR);
	down();
}
END_TEST

static void resizes(int sock, int side)
{
	int size = 100000, off = 0, bad = -1;

	(void)side;
	ck_assert_int_eq(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SVRBUF, &size, sizeof(size)), 0);
	ck_assert_int_eq(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_CLIBUF, &off, sizeof(off)), 0);
	FAILS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_CLIBUF, &bad, sizeof(bad)), EINVAL);
	FAILS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_CLIBUF, &off, 2), EINVAL);
	FAILS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_CLIBUF, NULL, 4), EFAULT);
	FAILS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SEQ_REMAP, &off, 4), ENOSYS);
}

static void nothing(int sock, int side)
{
	(void)sock;
	(void)side;
}

START_TEST(buffer_sizes)
{
	struct mon_cmd c;
	int off = 0;

	up();
	in_round(resizes, MON_SVR);
	c = sm_expect(lane, MCMD_BUF);
	ck_assert_uint_eq(c.flow, f.rec);
	ck_assert_uint_eq(c.one.value, MON_CLI);
	ck_assert_uint_eq(c.one.size, 0);
	c = sm_expect(lane, MCMD_BUF);
	ck_assert_uint_eq(c.one.value, MON_SVR);
	ck_assert_uint_eq(c.one.size, 100000);
	/* of the monitor socket: for its flows to come */
	ck_assert_int_eq(mtcp_setsockopt(m, mon, SOL_MONSOCKET, MOS_SVRBUF, &off, sizeof(off)), 0);
	ck_assert_uint_eq(sm_told(&s, 0).flags, 0);
	sm_open(&f, lane, 0);
	in_round(nothing, MON_SVR);
	c = sm_expect(lane, MCMD_BUF);
	ck_assert_uint_eq(c.flow, f.rec);
	ck_assert_uint_eq(c.one.value, MON_SVR);
	ck_assert_int_eq(mtcp_setsockopt(m, mon, SOL_MONSOCKET, MOS_CLIBUF, &off, sizeof(off)), 0);
	ck_assert_uint_eq(sm_told(&s, 0).flags, MON_SOCK_NO_BUF);
	FAILS(mtcp_setsockopt(m, raw, SOL_MONSOCKET, MOS_CLIBUF, &off, sizeof(off)), ENOTSOCK);
	down();
}
END_TEST

static void peeks_no_buffer(int sock, int side)
{
	char b[4];

	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 4), 0);
}

START_TEST(a_buffer_that_is_off)
{
	struct mon_rec *r;

	up();
	f.next[MON_SVR] = 100;
	f.top[MON_SVR] = 100;
	sm_publish(&f);
	r = arena_change(lane->arena, f.rec);
	r->side[MON_SVR].flags |= MON_SIDE_OFF;
	arena_changed(lane->arena, f.rec);
	in_round(peeks_no_buffer, MON_SVR);
	down();
}
END_TEST

static void switches(int sock, int side)
{
	char b[8];
	int off = 0;

	(void)side;
	ck_assert_int_eq(mtcp_peek(m, sock, MON_SVR, b, 1), 1);
	ck_assert_int_eq(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SVRBUF, &off, sizeof(off)), 0);
}

static void peeks_nothing(int sock, int side)
{
	struct tcp_ring_fragment frag[4];
	socklen_t n = sizeof(frag);
	const char *p;
	char b[8];
	int on = 4096;

	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 8), 0);
	ck_assert_int_eq(mtcp_peek_ptr(m, sock, side, &p), 0);
	FAILS(mtcp_peek_advance(m, sock, side, 1), EINVAL);
	FAILS(mtcp_ppeek(m, sock, side, b, 8, 0), ENODATA);
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, frag, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_SVRBUF, &on, sizeof(on)), 0);
}

static void peeks_from_there(int sock, int side)
{
	char b[8];

	errno = 0;
	ck_assert_int_eq(mtcp_peek(m, sock, side, b, 8), -5);
	ck_assert_int_eq(errno, ENODATA);
	FAILS(mtcp_ppeek(m, sock, side, b, 8, 5), ENODATA);
	PEEKS(sock, side, "new");
}

/* Whoever else wants it: what one program sees does not depend on others. */
START_TEST(a_buffer_that_is_off_for_this_program)
{
	up();
	sm_text(&f, MON_SVR, 0, "abc", 3);
	in_round(switches, MON_SVR);
	sm_text(&f, MON_SVR, 3, "def", 3);
	in_round(peeks_nothing, MON_SVR);
	sm_text(&f, MON_SVR, 6, "new", 3);
	in_round(peeks_from_there, MON_SVR);
	down();
}
END_TEST

int main(void)
{
	Suite *su = suite_create("shim_mon_stream");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(su);
	int failed;

	suite_add_tcase(su, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, peeking);
	tcase_add_test(t, peeking_in_pieces);
	tcase_add_test(t, a_round_sees_its_moment);
	tcase_add_test(t, a_round_ahead_of_its_turn_sees_its_moment);
	tcase_add_test(t, a_hole_is_told);
	tcase_add_test(t, a_hole_at_the_end);
	tcase_add_test(t, overrun);
	tcase_add_test(t, the_record_is_gone);
	tcase_add_test(t, a_record_that_takes_long);
	tcase_add_test(t, peeking_by_offset);
	tcase_add_test(t, refusals);
	tcase_add_test(t, overlap_policies);
	tcase_add_test(t, without_copies);
	tcase_add_test(t, fragments);
	tcase_add_test(t, buffer_info);
	tcase_add_test(t, buffer_sizes);
	tcase_add_test(t, a_buffer_that_is_off);
	tcase_add_test(t, a_buffer_that_is_off_for_this_program);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
