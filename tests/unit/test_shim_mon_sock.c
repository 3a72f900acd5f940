/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Monitor sockets and flows' sockets: kinds, filters, addresses, states, how they come and go; timers; how contexts end.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/shim_monitor.h"

static struct sm s;
static mctx_t m;
static struct sm_lane *lane;
static int mon;
static struct sm_flow f, g;
static void (*body)(int sock, int side, event_t event);
static unsigned rounds;
static int last_sock, last_side;
static event_t last_event;

#define FAILS(call, err) \
	do { \
		errno = 0; \
		ck_assert_int_eq((int)(call), -1); \
		ck_assert_int_eq(errno, err); \
	} while (0)

static void callback(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx;
	(void)arg;
	sm_point();
	rounds++;
	last_sock = sock;
	last_side = side;
	last_event = event;
	if (body != NULL)
		body(sock, side, event);
	sm_point();
}

static void start(const struct sm_conf *conf)
{
	m = sm_start(&s, conf);
	lane = &s.lane[0];
	mon = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_msg(mon >= 0, "%s", mtcp_error_text());
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, callback), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_CONN_END, MOS_HK_SND, callback), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_ORPHAN, MOS_NULL, callback), 0);
	sm_open(&f, lane, 0);
	sm_open(&g, lane, 0);
	body = NULL;
	rounds = 0;
}

static void up(void)
{
	start(NULL);
}

static void down(void)
{
	sm_stop(&s, m);
}

static int packet(struct sm_flow *flow)
{
	sm_tell(flow, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
	return last_sock;
}

static unsigned threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;
}

/* --- Monitor sockets ---------------------------------------------------------------------------------------------------- */

START_TEST(kinds)
{
	unsigned before;
	int end, r, v = 0;
	socklen_t len = sizeof(v);
	struct mtcp_epoll_event ev = { .events = MOS_EPOLLIN };

	m = sm_start(&s, NULL);
	before = threads();
	end = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	ck_assert_uint_eq(s.opens, 0); /* who does not monitor pays nothing */
	ck_assert_uint_eq(threads(), before);
	r = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	ck_assert_int_eq(r, 1);
	ck_assert_uint_eq(s.opens, 1);
	ck_assert_uint_eq(threads(), before + 1);
	ck_assert_uint_eq(sm_told(&s, 0).kind, MON_RAW);
	mon = mtcp_socket(m, AF_INET6, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_int_eq(mon, 2);
	ck_assert_uint_eq(s.opens, 1);
	ck_assert_uint_eq(sm_told(&s, 1).kind, MON_STREAM);
	ck_assert_uint_eq(s.open_flags, 0);
	FAILS(mtcp_socket(m, AF_UNIX, MOS_SOCK_MONITOR_RAW, 0), EAFNOSUPPORT);
	FAILS(mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM_ACTIVE, 0), EINVAL);
	FAILS(mtcp_socket(NULL, AF_INET, MOS_SOCK_MONITOR_RAW, 0), EACCES);
	/* they are no end sockets */
	FAILS(mtcp_read(m, mon, (char *)&v, 4), ENOTSOCK);
	FAILS(mtcp_write(m, mon, (char *)&v, 4), ENOTSOCK);
	FAILS(mtcp_listen(m, mon, 4), ENOTSOCK);
	FAILS(mtcp_abort(m, mon), ENOTSOCK);
	FAILS(mtcp_setsock_nonblock(m, mon), ENOTSOCK);
	FAILS(mtcp_epoll_ctl(m, mtcp_epoll_create(m, 4), MOS_EPOLL_CTL_ADD, mon, &ev), EPERM);
	FAILS(mtcp_getsockopt(m, end, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &v, &len), ENOTSOCK);
	FAILS(mtcp_getsockopt(m, mon, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &v, &len), EPERM);
	FAILS(mtcp_setsockopt(m, end, SOL_MONSOCKET, MOS_STOP_MON, &v, sizeof(v)), ENOTSOCK);
	FAILS(mtcp_setsockopt(m, mon, SOL_MONSOCKET, MOS_STOP_MON, &v, sizeof(v)), EPERM);
	FAILS(mtcp_setsockopt(m, 99, SOL_MONSOCKET, MOS_STOP_MON, &v, sizeof(v)), EBADF);
	for (unsigned i = 2; i < MON_SOCKS_MAX; i++)
		ck_assert_int_ge(mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), 0);
	FAILS(mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), ENFILE);
	down();
}
END_TEST

START_TEST(not_allowed)
{
	static const struct sm_conf conf = { .open_err = EACCES };

	m = sm_start(&s, &conf);
	FAILS(mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), EACCES);
	SAYS("does not let this user monitor");
	s.conf.open_err = 0; /* the operator has thought again */
	ck_assert_int_ge(mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), 0);
	s.sock_err = ENFILE;
	FAILS(mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), ENFILE);
	down();
}
END_TEST

START_TEST(lossless)
{
	m = sm_start(&s, NULL);
	ck_assert_int_eq(mtcp_monitor_lossless(m), 0);
	(void)mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_uint_eq(s.open_flags, MON_OPEN_LOSSLESS);
	ck_assert_int_eq(mtcp_monitor_lossless(m), 0);
	down();
	setenv("STACKD_LOSSLESS", "1", 1);
	m = sm_start(&s, NULL);
	(void)mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_uint_eq(s.open_flags, MON_OPEN_LOSSLESS);
	down();
	unsetenv("STACKD_LOSSLESS");
	m = sm_start(&s, NULL);
	(void)mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_uint_eq(s.open_flags, 0);
	FAILS(mtcp_monitor_lossless(m), EALREADY);
	down();
}
END_TEST

/* --- Filters ---------------------------------------------------------------------------------------------------------------- */

static int stream_filter(const char *syn, const char *orphan)
{
	union monitor_filter ft = { 0 };

	ft.stream_syn_filter = (char *)(uintptr_t)syn;
	ft.stream_orphan_filter = (char *)(uintptr_t)orphan;
	return mtcp_bind_monitor_filter(m, mon, &ft);
}

START_TEST(stream_filters)
{
	static const char *const good[] = { "tcp", "dst net 216.58 and dst port 80", "  src host 10.0.0.1\tor port 443 ",
					    "tcp and not port 22", "net 10.0.0.0 mask 255.0.0.0", "portrange 1000-2000",
					    "net 10.0.0.0/8" };
	static const char *const bad[] = { "ip", "not tcp", "(port 80)", "port 80 && port 81", "!port 80", "port 80 | port 81", "udp",
					   "port", "host", "not tcp and port 80", "tcp[13] == 2", "port 80 or", "and", "port http;", "src" };

	up();
	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
		ck_assert_msg(stream_filter(good[i], NULL) == 0, "%s: %s", good[i], mtcp_error_text());
		ck_assert_uint_gt(s.total[MON_FILTER_SYN], 0);
		ck_assert_uint_eq(s.total[MON_FILTER_ORPHAN], 0);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		FAILS(stream_filter(bad[i], NULL), EINVAL);
		ck_assert_str_ne(mtcp_error_text(), "");
		FAILS(stream_filter(NULL, bad[i]), EINVAL);
	}
	FAILS(stream_filter("port 80 or", NULL), EINVAL);
	SAYS("syntax error"); /* libpcap's own words */
	ck_assert_int_eq(stream_filter("port 80", "port 81"), 0);
	ck_assert_uint_gt(s.total[MON_FILTER_ORPHAN], 0);
	ck_assert_int_eq(mtcp_bind_monitor_filter(m, mon, NULL), 0); /* all match again */
	ck_assert_uint_eq(s.total[MON_FILTER_SYN], 0);
	ck_assert_uint_eq(s.total[MON_FILTER_ORPHAN], 0);
	ck_assert_int_eq(stream_filter("", " "), 0);
	s.filter_err = EINVAL;
	FAILS(stream_filter("port 80", NULL), EINVAL);
	SAYS("stackd refuses");
	down();
}
END_TEST

START_TEST(raw_filters)
{
	union monitor_filter ft = { .raw_pkt_filter = (char *)(uintptr_t)"ip[1] == 0xff and ip[9] == 0x11" };
	char *p;
	unsigned before;
	int raw;

	up();
	raw = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	ck_assert_int_eq(mtcp_bind_monitor_filter(m, raw, &ft), 0);
	ck_assert_uint_eq(s.piece.which, MON_FILTER_RAW);
	ck_assert_uint_eq(s.piece.sock, 1);
	ck_assert_uint_eq(s.piece.count, s.piece.total);
	ck_assert_uint_eq(s.insn[0].code, 0x28); /* ldh: the type of the frame */
	ck_assert_uint_eq(s.insn[0].k, 12);
	ft.raw_pkt_filter = (char *)(uintptr_t)"no such thing";
	FAILS(mtcp_bind_monitor_filter(m, raw, &ft), EINVAL);
	ck_assert_str_ne(mtcp_error_text(), "");
	/* in several pieces */
	p = ft.raw_pkt_filter = malloc(4000);
	p += sprintf(p, "host 10.0.0.1");
	for (unsigned i = 2; i < 120; i++)
		p += sprintf(p, " or host 10.0.%u.%u", i, i * 2);
	before = s.filters;
	ck_assert_msg(mtcp_bind_monitor_filter(m, raw, &ft) == 0, "%s", mtcp_error_text());
	ck_assert_uint_gt(s.filters, before + 1);
	ck_assert_uint_eq(s.piece.first + s.piece.count, s.piece.total);
	ck_assert_uint_gt(s.piece.total, 96);
	free(ft.raw_pkt_filter);
	FAILS(mtcp_bind_monitor_filter(m, 99, NULL), EBADF);
	FAILS(mtcp_bind_monitor_filter(m, mtcp_socket(m, AF_INET, SOCK_STREAM, 0), NULL), ENOPROTOOPT);
	FAILS(mtcp_bind_monitor_filter(NULL, raw, NULL), EACCES);
	down();
}
END_TEST

/* --- Flows' sockets -------------------------------------------------------------------------------------------------------------- */

START_TEST(they_come_and_go)
{
	int a, b;

	up();
	a = packet(&f);
	ck_assert_int_eq(a, mon + 1); /* small and dense */
	ck_assert_int_eq(packet(&f), a);
	b = packet(&g);
	ck_assert_int_eq(b, mon + 2);
	sm_tell(&f, MON_CONN_END, MON_HK_SND, MON_SVR, MEVF_LAST);
	ck_assert_int_eq(last_sock, a);
	ck_assert_uint_eq(last_event, MOS_ON_CONN_END);
	rounds = 0;
	packet(&f); /* nothing comes after the last */
	ck_assert_uint_eq(rounds, 0);
	sm_reuse(&f);
	sm_open(&f, lane, 0);
	ck_assert_int_eq(packet(&f), a); /* the id is used again */
	sm_tell(&g, 0, MON_HK_SND, MON_SVR, MEVF_LAST); /* last, and nothing to tell */
	FAILS(mtcp_close(m, b), EBADF);
	down();
}
END_TEST

START_TEST(one_per_monitor_socket)
{
	int second, a, b;

	up();
	second = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_int_eq(mtcp_register_callback(m, second, MOS_ON_PKT_IN, MOS_HK_SND, callback), 0);
	a = packet(&f);
	f.sock = 1;
	b = packet(&f);
	ck_assert_int_ne(a, b);
	sm_tell(&f, 0, MON_HK_SND, MON_SVR, MEVF_LAST);
	FAILS(mtcp_close(m, b), EBADF);
	f.sock = 0;
	ck_assert_int_eq(packet(&f), a);
	down();
}
END_TEST

static struct sockaddr_in v4(const char *ip, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, ip, &in.sin_addr);
	return in;
}

static void asks_names(int sock, int side, event_t event)
{
	struct sockaddr_in a[2], many[4], cli = v4("10.0.0.2", 1000), svr = v4("10.0.0.1", 80);
	struct sockaddr_storage big[2];
	socklen_t len = sizeof(a[0]);

	(void)side;
	(void)event;
	ck_assert_int_eq(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, MOS_SIDE_CLI), 0);
	ck_assert_mem_eq(a, &cli, sizeof(cli));
	ck_assert_int_eq(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, MOS_SIDE_SVR), 0);
	ck_assert_mem_eq(a, &svr, sizeof(svr));
	len = sizeof(a);
	ck_assert_int_eq(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, MOS_SIDE_BOTH), 0);
	ck_assert_mem_eq(&a[0], &cli, sizeof(cli));
	ck_assert_mem_eq(&a[1], &svr, sizeof(svr));
	ck_assert_uint_eq(len, sizeof(a));
	len = sizeof(big);
	ck_assert_int_eq(mtcp_getpeername(m, sock, (struct sockaddr *)big, &len, MOS_SIDE_BOTH), 0);
	ck_assert_mem_eq(&big[1], &svr, sizeof(svr));
	memset(many, 0xaa, sizeof(many)); /* twice the size of an array of two: no more than the two is written */
	len = 2 * sizeof(a);
	ck_assert_int_eq(mtcp_getpeername(m, sock, (struct sockaddr *)many, &len, MOS_SIDE_CLI), 0);
	ck_assert_mem_eq(&many[0], &cli, sizeof(cli));
	ck_assert_mem_eq(&many[1], &svr, sizeof(svr));
	ck_assert_mem_eq(&many[2], &many[3], sizeof(many[2]));
	len = 15;
	FAILS(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, MOS_SIDE_CLI), EINVAL);
	len = 20;
	FAILS(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, MOS_SIDE_CLI), EINVAL);
	len = 16;
	FAILS(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, MOS_SIDE_BOTH), EINVAL);
	FAILS(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, 3), EINVAL);
	FAILS(mtcp_getpeername(m, sock, NULL, &len, MOS_SIDE_CLI), EINVAL);
	FAILS(mtcp_getpeername(m, mon, (struct sockaddr *)a, &len, MOS_SIDE_CLI), ENOTCONN);
	FAILS(mtcp_getpeername(m, 99, (struct sockaddr *)a, &len, MOS_SIDE_CLI), EBADF);
	FAILS(mtcp_getpeername(NULL, sock, (struct sockaddr *)a, &len, MOS_SIDE_CLI), EACCES);
}

static void asks_names6(int sock, int side, event_t event)
{
	struct sockaddr_in6 a[2];
	socklen_t len = sizeof(a);
	char ip[64];

	(void)side;
	(void)event;
	ck_assert_int_eq(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, MOS_SIDE_BOTH), 0);
	ck_assert_int_eq(a[1].sin6_family, AF_INET6);
	ck_assert_str_eq(inet_ntop(AF_INET6, &a[1].sin6_addr, ip, sizeof(ip)), "2001:db8::1");
	ck_assert_uint_eq(ntohs(a[0].sin6_port), 1234);
	len = 16; /* does not fit */
	FAILS(mtcp_getpeername(m, sock, (struct sockaddr *)a, &len, MOS_SIDE_CLI), EINVAL);
}

START_TEST(names_of_ends)
{
	struct sockaddr_in a, b;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(443) }, peer = six;
	socklen_t len = sizeof(a);
	int fd, fd6;

	up();
	body = asks_names;
	fd = packet(&f);
	sm_name(&g, "2001:db8::2", 1234, "2001:db8::1", 443);
	body = asks_names6;
	fd6 = packet(&g);
	ck_assert_uint_eq(rounds, 2);
	FAILS(mtcp_getpeername(m, fd, (struct sockaddr *)&a, &len, MOS_SIDE_CLI), EPERM);
	/* and back */
	a = v4("10.0.0.2", 1000);
	b = v4("10.0.0.1", 80);
	ck_assert_int_eq(mtcp_getsockid_bytuple(m, mon, (struct sockaddr *)&a, (struct sockaddr *)&b, sizeof(a)), fd);
	ck_assert_int_eq(mtcp_getsockid_bytuple(m, mon, (struct sockaddr *)&b, (struct sockaddr *)&a, sizeof(a)), fd);
	b.sin_port = htons(81);
	FAILS(mtcp_getsockid_bytuple(m, mon, (struct sockaddr *)&a, (struct sockaddr *)&b, sizeof(a)), ENOENT);
	inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr);
	inet_pton(AF_INET6, "2001:db8::2", &peer.sin6_addr);
	peer.sin6_port = htons(1234);
	ck_assert_int_eq(mtcp_getsockid_bytuple(m, mon, (struct sockaddr *)&peer, (struct sockaddr *)&six, sizeof(six)), fd6);
	FAILS(mtcp_getsockid_bytuple(m, 99, (struct sockaddr *)&peer, (struct sockaddr *)&six, sizeof(six)), EBADF);
	FAILS(mtcp_getsockid_bytuple(m, fd, (struct sockaddr *)&peer, (struct sockaddr *)&six, sizeof(six)), ESOCKTNOSUPPORT);
	FAILS(mtcp_getsockid_bytuple(m, mon, (struct sockaddr *)&peer, (struct sockaddr *)&six, 4), EINVAL);
	FAILS(mtcp_getsockid_bytuple(m, mon, NULL, (struct sockaddr *)&six, sizeof(six)), EINVAL);
	down();
}
END_TEST

static int want_cli, want_svr; /* -1: not there yet */

static void asks_states(int sock, int side, event_t event)
{
	int v = 99;
	socklen_t len = sizeof(v);
	uint32_t us;
	uint64_t us64;

	(void)side;
	(void)event;
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &v, &len), 0);
	ck_assert_int_eq(v, want_cli);
	if (want_svr < 0) {
		FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TCP_STATE_SVR, &v, &len), ENOTCONN);
	} else {
		ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TCP_STATE_SVR, &v, &len), 0);
		ck_assert_int_eq(v, want_svr);
	}
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TIMESTAMP, &us, &len), 0);
	ck_assert_uint_eq(us, (uint32_t)f.ts_us);
	len = sizeof(us64);
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TIMESTAMP, &us64, &len), 0);
	ck_assert_uint_eq(us64, f.ts_us);
	FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &v, &len), EINVAL);
	FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, 99, &v, &len), ENOSYS);
	FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TIMESTAMP, NULL, &len), EFAULT);
	FAILS(mtcp_getsockopt(m, mon, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &v, &len), ENOTSOCK);
	FAILS(mtcp_getsockopt(m, 99, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &v, &len), EBADF);
}

START_TEST(states)
{
	up();
	f.ts_us = 0x123456789abull;
	f.state[0] = MON_SYN_SENT;
	f.state[1] = MON_STATE_NONE;
	want_cli = MOS_TCP_SYN_SENT;
	want_svr = -1;
	body = asks_states;
	packet(&f);
	f.state[1] = MON_TIME_WAIT;
	want_svr = MOS_TCP_TIME_WAIT;
	packet(&f);
	ck_assert_uint_eq(rounds, 2);
	down();
}
END_TEST

static int keep_value, *kept;

static void keeps(int sock, int side, event_t event)
{
	(void)side;
	(void)event;
	kept = mtcp_get_uctx(m, sock);
	mtcp_set_uctx(m, sock, &keep_value);
	mtcp_set_uctx(m, mon, &rounds);
	ck_assert_ptr_eq(mtcp_get_uctx(m, mon), &rounds);
	errno = 0;
	ck_assert_ptr_null(mtcp_get_uctx(m, 99));
	ck_assert_int_eq(errno, EBADF);
}

START_TEST(pointers)
{
	up();
	body = keeps;
	packet(&f);
	ck_assert_ptr_null(kept);
	packet(&f);
	ck_assert_ptr_eq(kept, &keep_value);
	packet(&g);
	ck_assert_ptr_null(kept);
	errno = 0;
	ck_assert_ptr_null(mtcp_get_uctx(m, mon));
	ck_assert_int_eq(errno, EPERM);
	ck_assert_ptr_null(mtcp_get_uctx(NULL, mon));
	ck_assert_int_eq(errno, EACCES);
	down();
}
END_TEST

/* Packets without a flow, for stream and raw monitors. */
START_TEST(sides_without_a_flow)
{
	struct sm_flow none;
	int raw;

	up();
	raw = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
	ck_assert_int_eq(mtcp_register_callback(m, raw, MOS_ON_PKT_IN, MOS_NULL, callback), 0);
	none = f;
	none.rec = MON_NONE;
	sm_tell(&none, MON_ORPHAN, MON_HK_NULL, MON_BOTH, 0);
	ck_assert_int_eq(last_sock, mon);
	ck_assert_int_eq(last_side, MOS_SIDE_BOTH);
	none.sock = 1;
	sm_tell(&none, MON_PKT_IN, MON_HK_NULL, MON_BOTH, 0);
	ck_assert_int_eq(last_sock, raw);
	ck_assert_int_eq(last_side, MOS_NULL);
	f.sock = 1; /* a packet of a flow: a raw monitor has no flows */
	sm_tell(&f, MON_PKT_IN, MON_HK_NULL, MON_BOTH, 0);
	ck_assert_int_eq(last_sock, raw);
	ck_assert_uint_eq(rounds, 3);
	down();
}
END_TEST

/* --- Stopping, closing -------------------------------------------------------------------------------------------------------------- */

static int stop_side;

static void stops(int sock, int side, event_t event)
{
	(void)side;
	(void)event;
	body = NULL;
	ck_assert_int_eq(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_STOP_MON, &stop_side, sizeof(stop_side)), 0);
}

static void stops_by_call(int sock, int side, event_t event)
{
	(void)side;
	(void)event;
	body = NULL;
	FAILS(mtcp_cb_stop(m, sock, 7), EINVAL);
	FAILS(mtcp_cb_stop(m, mon, MOS_SIDE_BOTH), EPERM);
	FAILS(mtcp_cb_stop(m, 99, MOS_SIDE_BOTH), EBADF);
	ck_assert_int_eq(mtcp_cb_stop(m, sock, MOS_SIDE_BOTH), 0);
}

static void closes_itself(int sock, int side, event_t event)
{
	int v;
	socklen_t len = sizeof(v);

	(void)side;
	(void)event;
	body = NULL;
	mtcp_set_uctx(m, sock, &rounds);
	ck_assert_int_eq(mtcp_close(m, sock), 0);
	FAILS(mtcp_close(m, sock), EBADF);
	/* the round goes on: it is still about this flow */
	ck_assert_ptr_eq(mtcp_get_uctx(m, sock), &rounds);
	ck_assert_int_eq(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &v, &len), 0);
}

/* The flow costs nothing from now on; what still comes of it is passed over; the verdict comes before the stop. */
START_TEST(stopping_a_flow)
{
	static void (*const ways[])(int, int, event_t) = { stops, stops_by_call, closes_itself };
	struct mon_cmd c;

	up();
	stop_side = MOS_SIDE_BOTH;
	for (unsigned i = 0; i < 3; i++) {
		int fd;

		sm_open(&f, lane, 0);
		body = ways[i];
		f.claim = 5;
		sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, MEVF_HELD);
		fd = last_sock;
		(void)sm_expect(lane, MCMD_VERDICT);
		c = sm_expect(lane, MCMD_STOP);
		ck_assert_uint_eq(c.flow, f.rec);
		ck_assert_uint_eq(c.gen, (uint32_t)f.serial);
		ck_assert_uint_eq(c.one.value, MON_BOTH);
		FAILS(mtcp_close(m, fd), EBADF);
		rounds = 0;
		sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, MEVF_HELD);
		ck_assert_uint_eq(rounds, 0);
		ck_assert_uint_eq(sm_expect(lane, MCMD_VERDICT).verdict.verdict, MON_PASS);
		ck_assert(sm_idle(lane));
	}
	down();
}
END_TEST

START_TEST(stopping_a_side)
{
	up();
	stop_side = MOS_SIDE_CLI;
	body = stops;
	packet(&f);
	ck_assert_uint_eq(sm_expect(lane, MCMD_STOP).one.value, MON_CLI);
	rounds = 0;
	packet(&f);
	ck_assert_uint_eq(rounds, 0);
	sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_SVR, 0);
	ck_assert_uint_eq(rounds, 1);
	stop_side = MOS_SIDE_SVR; /* and the other: that is both */
	body = stops;
	sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_SVR, 0);
	ck_assert_uint_eq(sm_expect(lane, MCMD_STOP).one.value, MON_BOTH);
	FAILS(mtcp_close(m, last_sock), EBADF);
	down();
}
END_TEST

/* From another thread than the callbacks'. */
START_TEST(stopping_from_elsewhere)
{
	int fd;

	up();
	fd = packet(&f);
	ck_assert_int_eq(mtcp_close(m, fd), 0);
	ck_assert_uint_eq(sm_expect(lane, MCMD_STOP).one.value, MON_BOTH);
	rounds = 0;
	packet(&f);
	ck_assert_uint_eq(rounds, 0);
	down();
}
END_TEST

static void closes_monitor(int sock, int side, event_t event)
{
	(void)sock;
	(void)side;
	(void)event;
	body = NULL;
	ck_assert_int_eq(mtcp_close(m, mon), 0);
}

START_TEST(closing_a_monitor_socket)
{
	int fd, again;

	up();
	fd = packet(&f);
	packet(&g);
	ck_assert_int_eq(mtcp_close(m, mon), 0);
	ck_assert_uint_eq(s.closes, 1);
	ck_assert_uint_eq(s.closed, 0);
	rounds = 0;
	packet(&f); /* still under way when it was closed */
	ck_assert_uint_eq(rounds, 0);
	FAILS(mtcp_close(m, mon), EBADF);
	FAILS(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, callback), EINVAL);
	FAILS(mtcp_close(m, fd), EBADF); /* its flows go with it */
	/* a new one has nothing of the old one, and its number is another */
	again = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_int_eq(again, mon);
	ck_assert_int_eq(mtcp_register_callback(m, again, MOS_ON_PKT_IN, MOS_HK_SND, callback), 0);
	ck_assert_uint_eq(sm_told(&s, 1).events[MON_HK_SND], MON_PKT_IN);
	rounds = 0;
	packet(&f);
	ck_assert_uint_eq(rounds, 0);
	f.sock = 1;
	packet(&f);
	ck_assert_uint_eq(rounds, 1);
	mon = again;
	body = closes_monitor;
	packet(&f);
	ck_assert_uint_eq(s.closes, 2);
	rounds = 0;
	packet(&f);
	ck_assert_uint_eq(rounds, 0);
	/* numbers come back */
	for (unsigned i = 0; i < 3 * MON_SOCKS_MAX; i++) {
		int one;

		while ((one = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0)) < 0) {
			ck_assert_int_eq(errno, ENFILE);
			sched_yield();
		}
		ck_assert_int_eq(mtcp_close(m, one), 0);
	}
	down();
}
END_TEST

static _Atomic unsigned ends[4096];
static struct sm_flow many[40];

static void counts_ends(int sock, int side, event_t event)
{
	struct pkt_info p;
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	(void)side;
	if (event != MOS_ON_CONN_END)
		return;
	ends[sock]++;
	FAILS(mtcp_getlastpkt(m, sock, side, &p), ENODATA);
	ck_assert_int_eq(mtcp_getpeername(m, sock, (struct sockaddr *)&a, &len, MOS_SIDE_CLI), 0); /* still */
}

/* The records of their ends were lost: they end all the same, once per side. */
START_TEST(ends_in_a_gap)
{
	struct mon_event gap = { .op = MEV_GAP, .flow = MON_NONE, .lost = 7 };
	int fd[4];

	up();
	body = counts_ends;
	for (unsigned i = 0; i < 4; i++) {
		sm_open(&many[i], lane, 0);
		fd[i] = packet(&many[i]);
	}
	sm_reuse(&many[1]); /* another flow has its record */
	many[2].state[0] = many[2].state[1] = MON_CLOSED; /* over, the record not yet used again */
	sm_publish(&many[2]);
	sm_put(lane, &gap);
	sm_settle(lane);
	while (ends[fd[2]] < 2 || ends[fd[1]] < 2)
		sched_yield();
	packet(&many[0]);
	ck_assert_uint_eq(ends[fd[0]], 0);
	ck_assert_uint_eq(ends[fd[1]], 2);
	ck_assert_uint_eq(ends[fd[2]], 2);
	ck_assert_uint_eq(ends[fd[3]], 0);
	rounds = 0;
	packet(&many[2]); /* no second life */
	sm_tell(&many[2], MON_CONN_END, MON_HK_SND, MON_SVR, MEVF_LAST);
	ck_assert_uint_eq(rounds, 0);
	down();
}
END_TEST

/* No gap was told, but the record has another flow. */
START_TEST(a_flow_after_another)
{
	struct sm_flow old;
	int fd;

	up();
	body = counts_ends;
	fd = packet(&f);
	old = f;
	f.serial += 1000000; /* as sm_reuse makes it */
	sm_reuse(&old);
	sm_name(&f, "10.0.0.9", 9, "10.0.0.8", 8);
	packet(&f);
	ck_assert_uint_eq(ends[fd], 2);
	ck_assert_int_eq(last_sock, fd); /* the new one has the id */
	down();
}
END_TEST

static void configure(const char *text)
{
	char path[] = "/tmp/shim-mon-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	ck_assert_msg(mtcp_init(path) == 0, "%s", mtcp_error_text());
	unlink(path);
}

START_TEST(packets_alone)
{
	configure("mos {\n no_ring_buffers = 1\n}\n");
	up();
	ck_assert_uint_eq(sm_told(&s, 0).flags, MON_SOCK_NO_BUF);
	down();
}
END_TEST

/* No ids left: flows are let go, what is held of them passes, and later ones have their turn. */
START_TEST(no_ids)
{
	configure("max_concurrency = 3\n");
	up();
	packet(&f);
	packet(&g);
	sm_open(&many[0], lane, 0);
	rounds = 0;
	many[0].claim = 9;
	sm_tell(&many[0], MON_PKT_IN, MON_HK_SND, MON_CLI, MEVF_HELD);
	ck_assert_uint_eq(rounds, 0);
	ck_assert_uint_eq(sm_expect(lane, MCMD_STOP).flow, many[0].rec);
	ck_assert_uint_eq(sm_expect(lane, MCMD_VERDICT).verdict.verdict, MON_PASS);
	packet(&many[0]);
	ck_assert_uint_eq(rounds, 0);
	ck_assert(sm_idle(lane));
	sm_tell(&f, 0, MON_HK_SND, MON_SVR, MEVF_LAST);
	sm_open(&many[1], lane, 0);
	packet(&many[1]);
	ck_assert_uint_eq(rounds, 1);
	down();
}
END_TEST

/* Nobody has said how many ids there are: every flow has one. */
START_TEST(many_ids)
{
	static const struct sm_conf conf = { .flows = 20000, .slots = 4096, .arena_size = 64 << 20 };
	int end[70];

	m = sm_start(&s, &conf);
	for (unsigned i = 0; i < 70; i++)
		end[i] = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	lane = &s.lane[0];
	mon = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_int_eq(mon, 70);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, callback), 0);
	for (unsigned i = 0; i < 15000; i++) {
		struct mon_event e;

		sm_open(&f, lane, 0);
		e = sm_event(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
		sm_put(lane, &e);
	}
	sm_settle(lane);
	ck_assert_uint_eq(rounds, 15000);
	ck_assert_int_eq(last_sock, 15070);
	ck_assert_int_eq(mtcp_close(m, end[69]), 0);
	ck_assert_int_eq(mtcp_socket(m, AF_INET, SOCK_STREAM, 0), end[69]);
	down();
}
END_TEST

/* --- Several engines ---------------------------------------------------------------------------------------------------------------------- */

START_TEST(several_engines)
{
	static const struct sm_conf conf = { .engines = 3, .spin_us = 20 };
	struct sm_flow e[3];
	int fd[3];

	start(&conf);
	for (unsigned i = 0; i < 3; i++) {
		sm_open(&e[i], &s.lane[i], 0);
		fd[i] = packet(&e[i]);
	}
	ck_assert_int_ne(fd[0], fd[1]);
	ck_assert_int_ne(fd[1], fd[2]);
	for (unsigned n = 0; n < 2000; n++) {
		struct mon_event ev = sm_event(&e[n % 3], MON_PKT_IN, MON_HK_SND, MON_CLI, 0);

		sm_put(e[n % 3].lane, &ev);
	}
	for (unsigned i = 0; i < 3; i++)
		sm_settle(&s.lane[i]);
	ck_assert_uint_eq(rounds, 2003);
	down();
}
END_TEST

/* --- Timers --------------------------------------------------------------------------------------------------------------------------------- */

static int fired[64];
static _Atomic unsigned fires;

static void timer(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	char b[4];

	ck_assert_ptr_eq(mctx, m);
	ck_assert_int_eq(side, 0);
	ck_assert_uint_eq(event, 0);
	ck_assert_ptr_null(arg);
	FAILS(mtcp_getlastpkt(m, mon, 0, &p), ENODATA);
	FAILS(mtcp_peek(m, mon, 0, b, 4), ENOTCONN);
	FAILS(mtcp_cb_dropcurpkt(m), ENODATA);
	fired[fires] = sock;
	fires++;
}

static void timer4(mctx_t mctx, int sock, int side, event_t event)
{
	timer(mctx, sock, side, event, NULL);
}

static void wait_fires(unsigned n)
{
	time_t end = time(NULL) + 5;

	while (fires < n) {
		sched_yield();
		ck_assert_msg(time(NULL) < end, "%u of %u timers", fires, n);
	}
}

START_TEST(timers)
{
	struct timeval t[3] = { { 0, 30000 }, { 0, 10000 }, { 0, 20000 } }, none = { 0, 0 }, bad = { -1, 0 };

	up();
	ck_assert_int_eq(mtcp_settimer(m, 30, &t[0], timer), 0);
	ck_assert_int_eq(mtcp_settimer(m, 10, &t[1], timer4), 0);
	ck_assert_int_eq(mtcp_settimer(m, 20, &t[2], timer), 0);
	wait_fires(3);
	ck_assert_int_eq(fired[0], 10);
	ck_assert_int_eq(fired[1], 20);
	ck_assert_int_eq(fired[2], 30);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(mtcp_settimer(m, i, &none, timer), 0);
	wait_fires(23);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(fired[3 + i], i);
	FAILS(mtcp_settimer(m, 1, NULL, timer), EINVAL);
	FAILS(mtcp_settimer(m, 1, &bad, timer), EINVAL);
	FAILS(mtcp_settimer(m, 1, &none, NULL), EINVAL);
	FAILS(mtcp_settimer(NULL, 1, &none, timer), EACCES);
	down();
}
END_TEST

static void again(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct timeval none = { 0, 0 };

	(void)side;
	(void)event;
	(void)arg;
	fires++;
	if (fires < 50)
		ck_assert_int_eq(mtcp_settimer(mctx, sock, &none, again), 0);
}

/* Set from a timer; and without any monitor socket. */
START_TEST(timers_that_set_timers)
{
	struct timeval none = { 0, 0 };

	m = sm_start(&s, NULL);
	ck_assert_int_eq(mtcp_settimer(m, 1, &none, again), 0);
	wait_fires(50);
	ck_assert_uint_eq(s.opens, 0);
	down();
}
END_TEST

/* --- Ends ---------------------------------------------------------------------------------------------------------------------------------------- */

static int joined; /* errno then */

static void *joins(void *arg)
{
	(void)arg;
	mtcp_app_join(m);
	joined = errno;
	return NULL;
}

/* One who waits tells stackd that he has said all; the end of the traffic, of all engines, ends the wait. */
START_TEST(joining_until_done)
{
	static const struct sm_conf conf = { .engines = 2 };
	struct mon_event done = { .op = MEV_DONE, .flow = MON_NONE };
	pthread_t t;

	start(&conf);
	ck_assert_uint_eq(sm_told(&s, 0).flags & MON_SOCK_READY, 0);
	pthread_create(&t, NULL, joins, NULL);
	while ((sm_told(&s, 0).flags & MON_SOCK_READY) == 0)
		sched_yield();
	sm_put(&s.lane[0], &done);
	sm_settle(&s.lane[0]);
	packet(&f);
	ck_assert_uint_eq(rounds, 1);
	sm_put(&s.lane[1], &done);
	pthread_join(t, NULL);
	ck_assert_int_eq(joined, 0);
	mtcp_app_join(m); /* at once */
	down();
}
END_TEST

START_TEST(joining_until_stackd_dies)
{
	pthread_t t;
	int fd;

	up();
	fd = packet(&f);
	pthread_create(&t, NULL, joins, NULL);
	while ((sm_told(&s, 0).flags & MON_SOCK_READY) == 0)
		sched_yield();
	sm_stop(&s, NULL);
	pthread_join(t, NULL);
	ck_assert_int_eq(joined, ESHUTDOWN);
	FAILS(mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), ESHUTDOWN);
	FAILS(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, callback), ESHUTDOWN);
	FAILS(mtcp_bind_monitor_filter(m, mon, NULL), ESHUTDOWN);
	FAILS(mtcp_reset_conn(m, fd), ESHUTDOWN);
	ck_assert_int_eq(mtcp_close(m, fd), 0);
	ck_assert_int_eq(mtcp_close(m, mon), 0);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
}
END_TEST

/* Nobody calls anything: the callback thread learns by its wake socket, after it has emptied its rings. */
START_TEST(detached)
{
	struct mon_event e;

	up();
	e = sm_event(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
	for (unsigned i = 0; i < 100; i++)
		sm_put(lane, &e);
	sd_detach(sd_client(&s.d, 0), ESHUTDOWN, "the end");
	close(s.wake);
	s.wake = -1;
	mtcp_app_join(m);
	ck_assert_int_eq(errno, ESHUTDOWN);
	ck_assert_str_eq(mtcp_error_text(), "the end");
	ck_assert_uint_eq(rounds, 100);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
	sm_stop(&s, NULL);
}
END_TEST

static void destroys(int sock, int side, event_t event)
{
	mctx_t mine = m; /* the test makes the next one as soon as this is destroyed */

	body = NULL;
	(void)side;
	(void)event;
	ck_assert_int_eq(mtcp_destroy_context(mine), 0);
	FAILS(mtcp_close(mine, sock), EACCES);
	FAILS(mtcp_destroy_context(mine), EACCES);
}

START_TEST(destroying_in_a_callback)
{
	struct mon_event e;
	pthread_t t;

	for (unsigned i = 0; i < 3; i++) {
		up();
		pthread_create(&t, NULL, joins, NULL);
		while ((sm_told(&s, 0).flags & MON_SOCK_READY) == 0)
			sched_yield();
		body = destroys;
		e = sm_event(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
		sm_put(lane, &e);
		pthread_join(t, NULL); /* the one who waits comes back */
		FAILS(mtcp_settimer(m, 1, &(struct timeval){ 0 }, timer), EACCES);
		sm_stop(&s, NULL);
	}
}
END_TEST

static _Atomic bool inside, go;

static void dawdles(int sock, int side, event_t event)
{
	(void)side;
	(void)event;
	inside = true;
	while (!go)
		sched_yield();
	FAILS(mtcp_close(m, sock), EACCES); /* the context is going */
}

static void *destroys_it(void *arg)
{
	(void)arg;
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
	return NULL;
}

/* Whoever destroys waits for the callback that runs. */
START_TEST(destroying_from_elsewhere)
{
	struct mon_event e;
	pthread_t t;

	up();
	body = dawdles;
	e = sm_event(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
	sm_put(lane, &e);
	while (!inside)
		sched_yield();
	pthread_create(&t, NULL, destroys_it, NULL);
	for (errno = 0; errno != EACCES;) /* until it has begun */
		(void)mtcp_get_uctx(m, 0);
	go = true;
	pthread_join(t, NULL);
	ck_assert_uint_eq(rounds, 1);
	sm_stop(&s, NULL);
}
END_TEST

static void on_signal(int signum)
{
	(void)signum;
	mtcp_destroy_context(m);
}

static void *signals(void *arg)
{
	pthread_t *main_thread = arg;

	while ((sm_told(&s, 0).flags & MON_SOCK_READY) == 0)
		sched_yield();
	/* asleep in its wait */
	while (bell_look(&sd_client(&s.d, 0)->lane[0].up->client_asleep) == 0)
		sched_yield();
	for (unsigned i = 0; i < 1000; i++)
		sched_yield();
	pthread_kill(*main_thread, SIGUSR1);
	return NULL;
}

/* Of a context that a handler has destroyed, when the call that it interrupted has returned: a new one takes its place. */
static void nothing_is_left(void)
{
	mctx_t old = m;

	FAILS(mtcp_destroy_context(m), EACCES);
	FAILS(mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0), EACCES);
	m = mtcp_create_context(0);
	ck_assert_ptr_eq(m, old);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
}

/* As mOS programs end: the handler of SIGINT destroys the context that main waits for. */
START_TEST(destroying_in_a_signal_handler)
{
	pthread_t t, self = pthread_self();

	up();
	mtcp_register_signal(SIGUSR1, on_signal);
	pthread_create(&t, NULL, signals, &self);
	mtcp_app_join(m);
	ck_assert_int_eq(errno, 0);
	pthread_join(t, NULL);
	nothing_is_left();
	sm_stop(&s, NULL);
}
END_TEST

static int *page;

static void on_fault(int signum)
{
	on_signal(signum);
	(void)mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

/* The call holds the context's lock when the handler runs: it comes to its end, and then the context does. */
START_TEST(destroying_in_the_middle_of_a_call)
{
	up();
	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
	mtcp_register_signal(SIGSEGV, on_fault);
	ck_assert_int_eq(mtcp_pipe(m, page), 0);
	mtcp_register_signal(SIGSEGV, SIG_DFL);
	ck_assert_int_gt(page[0], mon);
	nothing_is_left();
	munmap(page, 4096);
	sm_stop(&s, NULL);
}
END_TEST

static int child_status = -1;

static void forks(int sock, int side, event_t event)
{
	pid_t pid = fork();
	char b[4];

	(void)event;
	if (pid == 0) {
		bool ok = mtcp_peek(m, sock, side, b, 4) == -1 && errno == EACCES;

		ok = ok && mtcp_close(m, sock) == -1 && errno == EACCES;
		ok = ok && mtcp_define_event(MOS_ON_PKT_IN, NULL, NULL) == 0;
		_exit(ok ? 0 : 1);
	}
	waitpid(pid, &child_status, 0);
	body = NULL;
}

static void forks_and_returns(int sock, int side, event_t event)
{
	pid_t pid = fork();

	(void)sock;
	(void)side;
	(void)event;
	if (pid != 0) {
		waitpid(pid, &child_status, 0);
		body = NULL;
	}
}

/* The child has no context; one that comes back from the callback ends there. */
START_TEST(forking_in_a_callback)
{
	up();
	body = forks;
	packet(&f);
	ck_assert_int_eq(child_status, 0);
	child_status = -1;
	body = forks_and_returns;
	packet(&f);
	ck_assert(WIFEXITED(child_status));
	packet(&f);
	ck_assert_uint_eq(rounds, 3);
	down();
}
END_TEST

static void flips(int sock, int side, event_t event)
{
	(void)side;
	(void)event;
	(void)mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_CLIOVERLAP, &(int){ MOS_OVERLAP_POLICY_LAST }, sizeof(int));
}

static void *meddles(void *arg)
{
	int fd = *(int *)arg;

	for (unsigned i = 0; i < 300; i++) {
		ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_REXMIT, MOS_HK_RCV, i % 2 ? callback : NULL), 0);
		ck_assert_int_eq(mtcp_register_callback(m, fd, MOS_ON_REXMIT, MOS_HK_SND, i % 2 ? NULL : callback), 0);
		(void)mtcp_setsockopt(m, fd, SOL_MONSOCKET, MOS_SVRBUF, &(int){ 1000 }, sizeof(int));
		(void)mtcp_getsockid_bytuple(m, mon, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET },
					     (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET },
					     sizeof(struct sockaddr_in));
	}
	return NULL;
}

/* Other threads change things while callbacks run (the thread sanitizer's business). */
START_TEST(at_the_same_time)
{
	pthread_t t;
	uint8_t cmd[60];
	int fd;

	up();
	body = flips;
	fd = packet(&f);
	pthread_create(&t, NULL, meddles, &fd);
	for (unsigned i = 0; i < 3000; i++) {
		struct mon_event e = sm_event(i % 3 ? &f : &g, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);

		sm_put(lane, &e);
		if (ring_get(&lane->cmds, cmd))
			ring_done(&lane->cmds);
	}
	pthread_join(t, NULL);
	for (unsigned i = 0; i < 200; i++) {
		while (ring_get(&lane->cmds, cmd))
			;
		ring_done(&lane->cmds);
		sched_yield();
	}
	sm_settle(lane);
	ck_assert_uint_eq(rounds, 3001);
	down();
}
END_TEST

int main(void)
{
	Suite *su = suite_create("shim_mon_sock");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(su);
	int failed;

	suite_add_tcase(su, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, kinds);
	tcase_add_test(t, not_allowed);
	tcase_add_test(t, lossless);
	tcase_add_test(t, stream_filters);
	tcase_add_test(t, raw_filters);
	tcase_add_test(t, they_come_and_go);
	tcase_add_test(t, one_per_monitor_socket);
	tcase_add_test(t, names_of_ends);
	tcase_add_test(t, states);
	tcase_add_test(t, pointers);
	tcase_add_test(t, sides_without_a_flow);
	tcase_add_test(t, stopping_a_flow);
	tcase_add_test(t, stopping_a_side);
	tcase_add_test(t, stopping_from_elsewhere);
	tcase_add_test(t, closing_a_monitor_socket);
	tcase_add_test(t, ends_in_a_gap);
	tcase_add_test(t, a_flow_after_another);
	tcase_add_test(t, packets_alone);
	tcase_add_test(t, no_ids);
	tcase_add_test(t, many_ids);
	tcase_add_test(t, several_engines);
	tcase_add_test(t, timers);
	tcase_add_test(t, timers_that_set_timers);
	tcase_add_test(t, joining_until_done);
	tcase_add_test(t, joining_until_stackd_dies);
	tcase_add_test(t, detached);
	tcase_add_test(t, destroying_in_a_callback);
	tcase_add_test(t, destroying_from_elsewhere);
	tcase_add_test(t, destroying_in_a_signal_handler);
	tcase_add_test(t, destroying_in_the_middle_of_a_call);
	tcase_add_test(t, forking_in_a_callback);
	tcase_add_test(t, at_the_same_time);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
