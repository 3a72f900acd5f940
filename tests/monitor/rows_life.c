/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Timers, pointers of the program, sockets of flows and how they end, contexts.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

#include <mtcp_util.h>
#include <time.h>

/* --- Timers ------------------------------------------------------------------------------------------------------------------- */

static void timer(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	struct timeval at_once = { 0, 0 };
	struct pkt_info p;

	tell("timer %d", id);
	EXPECT_IS(side, 0);
	EXPECT_IS(event, MOS_NULL_EVENT);
	EXPECT(arg == NULL);
	FAILS(mtcp_getlastpkt(m, run.sock, 0, &p), ENODATA);
	FAILS(mtcp_setlastpkt(m, run.sock, 0, 0, NULL, 0, MOS_DROP), ENODATA);
	FAILS(mtcp_cb_dropcurpkt(m), ENODATA);
	EXPECT(mtcp_cb_get_ts(m) - (uint32_t)((uint64_t)time(NULL) * 1000000) + 60000000 < 120000000); /* of now */
	if (id == 3)
		EXPECT_IS(mtcp_settimer(m, 4, &at_once, timer), 0);
}

static void four(mctx_t m, int id, int side, event_t event)
{
	timer(m, id, side, event, NULL);
}

/* By the time they are due; set in another order. */
static void timers(void)
{
	struct timeval soon = { 0, 60000 }, sooner = { 0, 30000 }, none = { 0, 0 }, bad = { -1, 0 };

	EXPECT_IS(mtcp_settimer(run.m, 3, &soon, timer), 0);
	EXPECT_IS(mtcp_settimer(run.m, 2, &sooner, four), 0);
	EXPECT_IS(mtcp_settimer(run.m, 1, &none, timer), 0);
	FAILS(mtcp_settimer(run.m, 5, NULL, timer), EINVAL);
	FAILS(mtcp_settimer(run.m, 5, &bad, timer), EINVAL);
	FAILS(mtcp_settimer(run.m, 5, &none, (callback_t)NULL), EINVAL);
	EXPECT_IS(mtcp_cb_get_ts(run.m), 0);
	EXPECT_IS(errno, EPERM);
}

/* --- Pointers ----------------------------------------------------------------------------------------------------------------- */

struct mine {
	int port;
	unsigned packets;
};

static void keep(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct mine *f = mtcp_get_uctx(m, sock);
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	(void)side;
	(void)arg;
	EXPECT_IS(mtcp_getpeername(m, sock, (struct sockaddr *)&a, &len, MOS_SIDE_CLI), 0);
	if (f == NULL) { /* with the first packet */
		EXPECT(event == MOS_ON_PKT_IN && strcmp(packet_flags(m, sock), "S") == 0);
		f = calloc(1, sizeof(*f));
		f->port = ntohs(a.sin_port);
		mtcp_set_uctx(m, sock, f);
		EXPECT(mtcp_get_uctx(m, sock) == f);
		EXPECT(mtcp_get_uctx(m, run.sock) == &run); /* the monitor socket has its own */
	}
	EXPECT(f->port == ntohs(a.sin_port));
	f->packets += event == MOS_ON_PKT_IN;
	if (event == MOS_ON_CONN_END && side == MOS_SIDE_SVR) {
		tell("%d: %u packets", f->port, f->packets);
		free(f);
	}
}

static void foreign(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	EXPECT(mtcp_get_uctx(m, sock) == NULL);
}

static void set_own(mctx_t m, int id, int side, event_t event, filter_arg_t *arg)
{
	(void)id;
	(void)side;
	(void)event;
	(void)arg;
	mtcp_set_uctx(m, run.sock, &run);
	errno = 0;
	mtcp_set_uctx(m, 9999, &run);
	EXPECT_IS(errno, EBADF);
	EXPECT(mtcp_get_uctx(m, 9999) == NULL && errno == EBADF);
}

static void pointers(void)
{
	struct timeval none = { 0, 0 };
	int more = another();

	EXPECT(mtcp_get_uctx(run.m, run.sock) == NULL && errno == EPERM);
	EXPECT_IS(mtcp_settimer(run.m, 0, &none, set_own), 0);
	on(MOS_ON_PKT_IN, MOS_HK_SND, keep);
	on(MOS_ON_CONN_END, MOS_HK_SND, keep);
	EXPECT_IS(mtcp_register_callback(run.m, more, MOS_ON_PKT_IN, MOS_HK_SND, foreign), 0);
}

/* --- Sockets of flows ------------------------------------------------------------------------------------------------------------ */

static int used = -1;

static void id_again(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	EXPECT(sock >= 0 && sock != run.sock);
	EXPECT(mtcp_get_uctx(m, sock) == NULL);
	mtcp_set_uctx(m, sock, &used);
	tell("%s", used < 0 ? "first" : sock == used ? "the same" : "another");
	used = sock;
}

static void ids(void)
{
	on(MOS_ON_CONN_START, MOS_HK_SND, id_again);
}

static void begins_and_ends(void)
{
	on(MOS_ON_CONN_START, MOS_HK_SND, note_snd);
	on(MOS_ON_CONN_END, MOS_HK_SND, note_snd);
	on(MOS_ON_REXMIT, MOS_HK_SND, note_snd);
	on(MOS_ON_ORPHAN, MOS_NULL, note_null);
}

static int stop;

static void stops(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	int bad = 3;

	note_snd(m, sock, side, event, arg);
	EXPECT_IS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_STOP_MON, &stop, sizeof(stop)), 0);
	FAILS(mtcp_setsockopt(m, sock, SOL_MONSOCKET, MOS_STOP_MON, &bad, sizeof(bad)), EINVAL);
	FAILS(mtcp_setsockopt(m, run.sock, SOL_MONSOCKET, MOS_STOP_MON, &stop, sizeof(stop)), EPERM);
	FAILS(mtcp_cb_stop(m, run.sock, stop), EPERM);
	FAILS(mtcp_cb_stop(m, sock, 3), EINVAL);
}

static void stopping(int side)
{
	stop = side;
	note_all();
	on(MOS_ON_CONN_START, MOS_HK_SND, stops);
	FAILS(mtcp_cb_stop(run.m, run.sock, side), EPERM);
}

static void stop_client(void)
{
	stopping(MOS_SIDE_CLI);
}

static void stop_server(void)
{
	stopping(MOS_SIDE_SVR);
}

static void stop_both(void)
{
	stopping(MOS_SIDE_BOTH);
}

static void stop_buffers(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	char b[16];

	(void)event;
	(void)arg;
	EXPECT_IS(side, MOS_SIDE_SVR);
	tell("%zd %zd", mtcp_peek(m, sock, MOS_SIDE_CLI, b, sizeof(b)), mtcp_peek(m, sock, MOS_SIDE_SVR, b, sizeof(b)));
}

static void stop_buffer(void)
{
	stop = MOS_SIDE_CLI;
	on(MOS_ON_CONN_START, MOS_HK_SND, stops);
	on(MOS_ON_CONN_END, MOS_HK_SND, stop_buffers);
}

static void cb_stops(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	note_snd(m, sock, side, event, arg);
	EXPECT_IS(mtcp_cb_stop(m, sock, MOS_SIDE_BOTH), 0);
	EXPECT_IS(mtcp_cb_stop(m, sock, MOS_SIDE_BOTH), 0);
}

static void cb_stop(void)
{
	note_all();
	on(MOS_ON_CONN_START, MOS_HK_SND, cb_stops);
}

static void closes_flow(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	note_snd(m, sock, side, event, arg);
	EXPECT_IS(mtcp_close(m, sock), 0);
	FAILS(mtcp_close(m, sock), EBADF);
}

static void close_flow(void)
{
	note_all();
	on(MOS_ON_CONN_START, MOS_HK_SND, closes_flow);
}

static void closes_monitor(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	note_rcv(m, sock, side, event, arg);
	EXPECT_IS(mtcp_close(m, run.sock), 0);
	FAILS(mtcp_close(m, run.sock), EBADF);
	FAILS(mtcp_register_callback(m, run.sock, MOS_ON_PKT_IN, MOS_HK_SND, note_snd), EINVAL);
}

static void still_there(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)arg;
	tell("the other one: %s %s %s", side_name(side), event_name(event), packet_flags(m, sock));
}

static void close_monitor(void)
{
	int more = another();

	note_all();
	on(MOS_ON_CONN_START, MOS_HK_RCV, closes_monitor);
	EXPECT_IS(mtcp_register_callback(run.m, more, MOS_ON_CONN_END, MOS_HK_SND, still_there), 0);
}

/* --- Contexts ----------------------------------------------------------------------------------------------------------------------- */

static mctx_t twin;
static unsigned seen[20][2];

static void seen_by(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	(void)side;
	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getpeername(m, sock, (struct sockaddr *)&a, &len, MOS_SIDE_CLI), 0);
	__atomic_add_fetch(&seen[(ntohs(a.sin_port) - 30000) % 20][m == twin], 1, __ATOMIC_RELAXED);
}

static void twin_of(int cpu, callback_t cb)
{
	mctx_t m = run.m;
	int sock;

	twin = mtcp_create_context(cpu);
	EXPECT(twin != NULL);
	EXPECT_IS(mtcp_monitor_lossless(twin), 0);
	run.m = twin;
	sock = another();
	run.m = m;
	on(MOS_ON_PKT_IN, MOS_HK_SND, cb);
	EXPECT_IS(mtcp_register_callback(twin, sock, MOS_ON_PKT_IN, MOS_HK_SND, cb), 0);
}

static void twins(void)
{
	twin_of(0, seen_by);
}

static void twins_end(void)
{
	unsigned by[2] = { 0, 0 };

	mtcp_app_join(twin);
	mtcp_destroy_context(twin);
	for (unsigned i = 0; i < 20; i++) {
		EXPECT((seen[i][0] == 6 && seen[i][1] == 0) || (seen[i][0] == 0 && seen[i][1] == 6));
		by[0] += seen[i][0] > 0;
		by[1] += seen[i][1] > 0;
	}
	EXPECT(by[0] > 0 && by[1] > 0);
}

/* Both ways. */
static void steered(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	seen_by(m, sock, side, event, arg);
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	EXPECT_IS(GetRSSCPUCore(p.iph->saddr, p.iph->daddr, p.tcph->source, p.tcph->dest, 2), m->cpu);
}

static void steering(void)
{
	twin_of(1, steered);
}

static void destroys(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	note_snd(m, sock, side, event, arg);
	mtcp_destroy_context(m);
}

static void destroyed(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, destroys);
}

/* --- More flows than may be (monitor.max_flows is 64) ------------------------------------------------------------------------------ */

static unsigned starts, ends, early_ends;

static void counts(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)sock;
	(void)side;
	(void)arg;
	starts += event == MOS_ON_CONN_START;
	ends += event == MOS_ON_CONN_END;
	early_ends += event == MOS_ON_CONN_END && starts < 80;
}

static void eviction(void)
{
	on(MOS_ON_CONN_START, MOS_HK_SND, counts);
	on(MOS_ON_CONN_END, MOS_HK_SND, counts);
}

static void eviction_end(void)
{
	EXPECT_IS(starts, 80);
	EXPECT_IS(ends, 160);
	EXPECT(early_ends >= 2 * (80 - 64 - 1)); /* before the last one has begun */
}

ROWS(life,
	{ .name = "timers: once, in the order they are due, with their id and nothing else", .scene = "exchange", .begin = timers,
	  .told =
		  "timer 1\n"
		  "timer 2\n"
		  "timer 3\n"
		  "timer 4\n" },
	{ .name = "uctx: a pointer per flow and per socket, from the first packet to the second CONN_END", .scene = "two_flows",
	  .begin = pointers, .socks = 1, .told =
		  "30000: 10 packets\n"
		  "30001: 10 packets\n" },
	{ .name = "ids of flows are used again when the flow has ended", .scene = "in_turn", .begin = ids, .told =
		  "first\n"
		  "the same\n" },
	{ .name = "the same ends again: CONN_END, then CONN_START", .scene = "same_ends", .begin = begins_and_ends, .told =
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "a closed flow is kept for stragglers, for time_wait_ms", .scene = "straggler", .begin = begins_and_ends, .told =
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd svr REXMIT FA TIME_WAIT/CLOSED\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n"
		  "null both ORPHAN RA -/-\n" },
	{ .name = "STOP_MON CLI: no more events of that side", .scene = "exchange", .begin = stop_client, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "rcv svr CONN_START S SYN_SENT/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv svr STATE_CHANGE FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "snd svr PKT_IN FA FIN_WAIT_1/LAST_ACK\n"
		  "snd svr STATE_CHANGE FA FIN_WAIT_1/LAST_ACK\n"
		  "rcv svr PKT_IN A TIME_WAIT/CLOSED\n"
		  "rcv svr STATE_CHANGE A TIME_WAIT/CLOSED\n"
		  "null svr NEW_DATA - TIME_WAIT/CLOSED\n"
		  "rcv svr CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "STOP_MON SVR: no more events of that side", .scene = "exchange", .begin = stop_server, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv cli PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN FA FIN_WAIT_1/ESTABLISHED\n"
		  "snd cli STATE_CHANGE FA FIN_WAIT_1/ESTABLISHED\n"
		  "rcv cli PKT_IN FA TIME_WAIT/LAST_ACK\n"
		  "rcv cli STATE_CHANGE FA TIME_WAIT/LAST_ACK\n"
		  "snd cli PKT_IN A TIME_WAIT/LAST_ACK\n"
		  "null cli NEW_DATA - TIME_WAIT/CLOSED\n"
		  "rcv cli STATE_CHANGE - CLOSED/CLOSED\n"
		  "rcv cli CONN_END - CLOSED/CLOSED\n"
		  "snd cli STATE_CHANGE - CLOSED/CLOSED\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n" },
	{ .name = "STOP_MON BOTH: nothing more, no CONN_END", .scene = "exchange", .begin = stop_both, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n" },
	{ .name = "STOP_MON CLI: no buffer of that side", .scene = "exchange", .begin = stop_buffer, .told =
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "0 8\n" },
	{ .name = "mtcp_cb_stop is STOP_MON", .scene = "exchange", .begin = cb_stop, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n" },
	{ .name = "mtcp_close of a flow's socket is STOP_MON BOTH", .scene = "exchange", .begin = close_flow, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n" },
	{ .name = "mtcp_close of a monitor socket: nothing more, for its flows, too", .scene = "exchange", .begin = close_monitor,
	  .socks = 1, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "rcv svr CONN_START S SYN_SENT/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "the other one: cli CONN_END -\n"
		  "the other one: svr CONN_END -\n" },
	{ .name = "two contexts: each flow is seen by one", .scene = "many", .begin = twins, .socks = 1, .end = twins_end },
	{ .name = "a context destroyed in a callback", .scene = "exchange", .begin = destroyed, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n" });

const struct row_group rows_few = { "few", (const struct row[]){
	{ .name = "CONN_END: a flow that makes room for another", .scene = "crowd", .begin = eviction, .end = eviction_end },
	}, 1 };

const struct row_group rows_engines = { "engines", (const struct row[]){
	{ .name = "a context per engine: flows are where GetRSSCPUCore says", .scene = "many", .begin = steering, .socks = 1,
	  .end = twins_end },
	}, 1 };
