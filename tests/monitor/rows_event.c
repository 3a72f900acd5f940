/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Each event: when it occurs, at which hooks, on which side, with a packet or without, and what is there to be seen.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

/* --- PKT_IN ----------------------------------------------------------------------------------------------------------------- */

static void packets_snd(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, note_snd);
}

/* What is new in the stream that this side receives, as text. */
static const char *news_of(mctx_t m, int sock, int side)
{
	static char text[256];
	ssize_t n = mtcp_peek(m, sock, side, text, sizeof(text) - 1);

	EXPECT(n >= 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void packet_arrives(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	const char *news = news_of(m, sock, side);

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	EXPECT(strlen(news) == p.payloadlen && memcmp(news, p.payload, p.payloadlen) == 0);
	tell("rcv %s %s %s \"%s\"", side_name(side), packet_flags(m, sock), states(m, sock), news);
}

static void packets_rcv(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_RCV, packet_arrives);
}

static void packets_null(void)
{
	on(MOS_ON_PKT_IN, MOS_NULL, note_null);
}

static void packets_raw(void)
{
	run.sock = raw(run.only);
	on(MOS_ON_PKT_IN, MOS_NULL, note_null);
}

/* --- CONN_START ------------------------------------------------------------------------------------------------------------- */

static void begins_snd(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	int state = 0;
	socklen_t len = sizeof(state);

	FAILS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TCP_STATE_SVR, &state, &len), ENOTCONN);
	note_snd(m, sock, side, event, arg);
}

static void begin(void)
{
	on(MOS_ON_CONN_START, MOS_HK_SND, begins_snd);
	on(MOS_ON_CONN_START, MOS_HK_RCV, note_rcv);
}

static void begin_middle(void)
{
	on(MOS_ON_CONN_START, MOS_HK_SND, note_snd);
	on(MOS_ON_CONN_START, MOS_HK_RCV, note_rcv);
}

/* --- CONN_NEW_DATA ---------------------------------------------------------------------------------------------------------- */

static void data_comes(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	tell("%s %s \"%s\"", side_name(side), packet_flags(m, sock), news_of(m, sock, side));
	EXPECT_IS(mtcp_peek(m, sock, side, (char[1]){ 0 }, 1), 0);
}

static void data(void)
{
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, data_comes);
}

/* --- ERROR ------------------------------------------------------------------------------------------------------------------ */

static void outside(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;
	char byte;

	note_null(m, sock, side, event, arg);
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	tell("payload at %llu, %u bytes", (unsigned long long)p.offset, p.payloadlen);
	FAILS(mtcp_ppeek(m, sock, side, &byte, 1, p.offset + p.payloadlen - 1), ENODATA);
}

static void outside_then(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_buf_info info;
	socklen_t len = sizeof(info);
	char byte;

	(void)event;
	(void)arg;
	if (side == MOS_SIDE_CLI)
		return;
	EXPECT_IS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &info, &len), 0);
	tell("rcv %s: %u bytes in order", packet_flags(m, sock), info.tcpbi_next_byte_expected - info.tcpbi_init_seq - 1);
	FAILS(mtcp_ppeek(m, sock, side, &byte, 1, 3000), ENODATA);
}

static void error(void)
{
	on(MOS_ON_ERROR, MOS_NULL, outside);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, outside_then);
}

/* --- TCP_STATE_CHANGE ------------------------------------------------------------------------------------------------------- */

static void changes(void)
{
	on(MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, note_snd);
	on(MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, note_rcv);
}

/* --- ORPHAN ----------------------------------------------------------------------------------------------------------------- */

static void orphans(void)
{
	on(MOS_ON_ORPHAN, MOS_NULL, note_null);
}

/* Of flows that nobody watches. */
static void orphans_unwatched(void)
{
	char none[] = "port 9";
	union monitor_filter ft = { .stream_syn_filter = none, .stream_orphan_filter = run.only };

	EXPECT_IS(mtcp_bind_monitor_filter(run.m, run.sock, &ft), 0);
	on(MOS_ON_ORPHAN, MOS_NULL, note_null);
}

static void orphans_raw(void)
{
	run.sock = raw(run.only);
	on(MOS_ON_ORPHAN, MOS_NULL, note_null);
}

/* --- REXMIT ------------------------------------------------------------------------------------------------------------------- */

static void again(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	char old[16] = "", *packet;
	struct pkt_info p;
	ssize_t n;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	n = mtcp_ppeek(m, sock, side, old, sizeof(old) - 1, p.offset);
	packet = strndup((const char *)p.payload, p.payloadlen);
	tell("rcv %s at %llu: %zd bytes were \"%s\", now \"%s\"", side_name(side), (unsigned long long)p.offset, n, old, packet);
	free(packet);
}

static void after_again(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	char now[16] = "";
	struct pkt_info p;

	(void)event;
	(void)arg;
	if (mtcp_getlastpkt(m, sock, side, &p) == 0 && p.payloadlen == 10) { /* it has come again, and more */
		EXPECT(mtcp_ppeek(m, sock, side, now, sizeof(now) - 1, 0) > 0);
		tell("then they are \"%s\"", now);
	}
}

static void rexmit(void)
{
	on(MOS_ON_REXMIT, MOS_HK_RCV, again);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, after_again);
}

static void rexmit_last(void)
{
	int last = MOS_OVERLAP_POLICY_LAST;

	EXPECT_IS(mtcp_setsockopt(run.m, run.sock, SOL_MONSOCKET, MOS_SVROVERLAP, &last, sizeof(last)), 0);
	rexmit();
}

static void rexmit_snd(void)
{
	on(MOS_ON_REXMIT, MOS_HK_SND, note_snd);
}

/* --- CONN_END ------------------------------------------------------------------------------------------------------------------ */

static void ends(mctx_t m, int sock, int side, const char *hook)
{
	char text[2][16] = { "", "" };

	for (int i = 0; i < 2; i++)
		EXPECT(mtcp_ppeek(m, sock, i, text[i], sizeof(text[i]) - 1, 0) > 0);
	tell("%s %s %s %s \"%s\" \"%s\"", hook, side_name(side), packet_flags(m, sock), states(m, sock), text[0], text[1]);
}

static void ends_snd(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	ends(m, sock, side, "snd");
}

static void ends_rcv(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	ends(m, sock, side, "rcv");
}

static void end(void)
{
	on(MOS_ON_CONN_END, MOS_HK_SND, ends_snd);
	on(MOS_ON_CONN_END, MOS_HK_RCV, ends_rcv);
}

static void end_one(void)
{
	on(MOS_ON_CONN_END, MOS_HK_SND, ends_snd);
}

/* --- What never occurs --------------------------------------------------------------------------------------------------------- */

static void never(void)
{
	static const event_t events[] = { MOS_ON_PKT_OUT, MOS_ON_CONN_SETUP, MOS_ON_TIMEOUT, MOS_ON_DEBUG_MESSAGE };

	for (unsigned i = 0; i < 4; i++) {
		on(events[i], MOS_NULL, note_null);
		on(events[i], MOS_HK_SND, note_snd);
		on(events[i], MOS_HK_RCV, note_rcv);
	}
}

ROWS(event,
	{ .name = "PKT_IN at HK_SND: the sender's state has advanced, the receiver's has not", .scene = "exchange", .begin = packets_snd,
	  .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN FA FIN_WAIT_1/ESTABLISHED\n"
		  "snd svr PKT_IN FA FIN_WAIT_1/LAST_ACK\n"
		  "snd cli PKT_IN A TIME_WAIT/LAST_ACK\n" },
	{ .name = "PKT_IN at HK_RCV: the receiver's state has advanced, the payload can be peeked", .scene = "exchange",
	  .begin = packets_rcv, .told =
		  "rcv svr S SYN_SENT/SYN_RCVD \"\"\n"
		  "rcv cli SA ESTABLISHED/SYN_RCVD \"\"\n"
		  "rcv svr A ESTABLISHED/ESTABLISHED \"\"\n"
		  "rcv svr PA ESTABLISHED/ESTABLISHED \"question\"\n"
		  "rcv cli A ESTABLISHED/ESTABLISHED \"\"\n"
		  "rcv cli PA ESTABLISHED/ESTABLISHED \"answer\"\n"
		  "rcv svr A ESTABLISHED/ESTABLISHED \"\"\n"
		  "rcv svr FA FIN_WAIT_1/CLOSE_WAIT \"\"\n"
		  "rcv cli FA TIME_WAIT/LAST_ACK \"\"\n"
		  "rcv svr A TIME_WAIT/CLOSED \"\"\n" },
	{ .name = "PKT_IN at MOS_NULL: may be registered, and does not occur for flows", .scene = "exchange", .begin = packets_null,
	  .told = "" },
	{ .name = "PKT_IN of a raw socket: what its filter matches", .scene = "exchange", .begin = packets_raw, .socks = 1, .told =
		  "null null PKT_IN S -/-\n"
		  "null null PKT_IN SA -/-\n"
		  "null null PKT_IN A -/-\n"
		  "null null PKT_IN PA -/-\n"
		  "null null PKT_IN A -/-\n"
		  "null null PKT_IN PA -/-\n"
		  "null null PKT_IN A -/-\n"
		  "null null PKT_IN FA -/-\n"
		  "null null PKT_IN FA -/-\n"
		  "null null PKT_IN A -/-\n" },
	{ .name = "CONN_START: the first SYN leaves, the first SYN arrives; not again with others", .scene = "opening", .begin = begin,
	  .told =
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "rcv svr CONN_START S SYN_SENT/SYN_RCVD\n" },
	{ .name = "CONN_START in the middle of a connection", .scene = "middle", .begin = begin_middle, .told =
		  "snd cli CONN_START PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr CONN_START PA ESTABLISHED/ESTABLISHED\n" },
	{ .name = "CONN_NEW_DATA: once per flow, side and burst, without a packet", .scene = "bursts", .begin = data, .told =
		  "svr - \"one \"\n"
		  "cli - \"ONE \"\n"
		  "svr - \"two three \"\n"
		  "svr - \"\"\n"
		  "cli - \"TWO \"\n"
		  "cli - \"\"\n" },
	{ .name = "ERROR: payload beyond the window is told and not stored", .scene = "beyond", .begin = error, .told =
		  "rcv S: 0 bytes in order\n"
		  "rcv A: 0 bytes in order\n"
		  "rcv PA: 5 bytes in order\n"
		  "null svr ERROR PA ESTABLISHED/ESTABLISHED\n"
		  "payload at 3000, 6 bytes\n"
		  "rcv PA: 5 bytes in order\n"
		  "rcv PA: 1000 bytes in order\n"
		  "rcv RA: 1000 bytes in order\n" },
	{ .name = "TCP_STATE_CHANGE: a connection", .scene = "exchange", .begin = changes, .told =
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
		  "snd cli STATE_CHANGE FA FIN_WAIT_1/ESTABLISHED\n"
		  "rcv svr STATE_CHANGE FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "snd svr STATE_CHANGE FA FIN_WAIT_1/LAST_ACK\n"
		  "rcv cli STATE_CHANGE FA TIME_WAIT/LAST_ACK\n"
		  "rcv svr STATE_CHANGE A TIME_WAIT/CLOSED\n"
		  "rcv cli STATE_CHANGE - CLOSED/CLOSED\n"
		  "snd cli STATE_CHANGE - CLOSED/CLOSED\n" },
	{ .name = "TCP_STATE_CHANGE: both close", .scene = "both_close", .begin = changes, .told =
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
		  "snd cli STATE_CHANGE FA FIN_WAIT_1/ESTABLISHED\n"
		  "rcv svr STATE_CHANGE FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "snd svr STATE_CHANGE FA FIN_WAIT_1/LAST_ACK\n"
		  "rcv cli STATE_CHANGE FA CLOSING/LAST_ACK\n"
		  "rcv svr STATE_CHANGE A CLOSING/CLOSED\n"
		  "rcv cli STATE_CHANGE A TIME_WAIT/CLOSED\n"
		  "rcv cli STATE_CHANGE - CLOSED/CLOSED\n"
		  "snd cli STATE_CHANGE - CLOSED/CLOSED\n" },
	{ .name = "TCP_STATE_CHANGE: one side closes, the other goes on", .scene = "bursts", .begin = changes, .told =
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
		  "snd cli STATE_CHANGE FA FIN_WAIT_1/ESTABLISHED\n"
		  "rcv svr STATE_CHANGE FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv cli STATE_CHANGE A FIN_WAIT_2/CLOSE_WAIT\n"
		  "snd svr STATE_CHANGE FA FIN_WAIT_2/LAST_ACK\n"
		  "rcv cli STATE_CHANGE FA TIME_WAIT/LAST_ACK\n"
		  "rcv svr STATE_CHANGE A TIME_WAIT/CLOSED\n"
		  "rcv cli STATE_CHANGE - CLOSED/CLOSED\n"
		  "snd cli STATE_CHANGE - CLOSED/CLOSED\n" },
	{ .name = "TCP_STATE_CHANGE: a reset", .scene = "reset", .begin = changes, .told =
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
		  "snd svr STATE_CHANGE RA ESTABLISHED/CLOSED\n"
		  "rcv cli STATE_CHANGE RA CLOSED/CLOSED\n" },
	{ .name = "ORPHAN: TCP of no flow, and what is not TCP", .scene = "orphans", .begin = orphans, .told =
		  "null both ORPHAN RA -/-\n"
		  "null both ORPHAN IP -/-\n" },
	{ .name = "ORPHAN: of a connection that nobody watches, the SYN excepted", .scene = "opening", .begin = orphans_unwatched,
	  .told =
		  "null both ORPHAN SA -/-\n"
		  "null both ORPHAN SA -/-\n"
		  "null both ORPHAN A -/-\n"
		  "null both ORPHAN A -/-\n"
		  "null both ORPHAN RA -/-\n" },
	{ .name = "ORPHAN of a raw socket: side is MOS_NULL", .scene = "orphans", .begin = orphans_raw, .socks = 1, .told =
		  "null null ORPHAN RA -/-\n"
		  "null null ORPHAN IP -/-\n" },
	{ .name = "REXMIT at HK_RCV: before the payload is written", .scene = "again", .begin = rexmit, .told =
		  "rcv svr at 0: 8 bytes were \"ABCDEFGH\", now \"abcdefghIJ\"\n"
		  "then they are \"ABCDEFGHIJ\"\n"
		  "rcv svr at 10: -1 bytes were \"\", now \"\"\n" },
	{ .name = "REXMIT at HK_RCV: the old bytes, also where the last ones count", .scene = "again", .begin = rexmit_last, .told =
		  "rcv svr at 0: 8 bytes were \"ABCDEFGH\", now \"abcdefghIJ\"\n"
		  "then they are \"abcdefghIJ\"\n"
		  "rcv svr at 10: -1 bytes were \"\", now \"\"\n" },
	{ .name = "REXMIT at HK_SND: payload and FIN", .scene = "again", .begin = rexmit_snd, .told =
		  "snd cli REXMIT PA ESTABLISHED/ESTABLISHED\n"
		  "snd cli REXMIT FA FIN_WAIT_1/CLOSE_WAIT\n" },
	{ .name = "REXMIT at HK_SND: SYN and SYN-ACK", .scene = "opening", .begin = rexmit_snd, .told =
		  "snd cli REXMIT S SYN_SENT/SYN_RCVD\n"
		  "snd svr REXMIT SA ESTABLISHED/SYN_RCVD\n" },
	{ .name = "CONN_END: closed", .scene = "exchange", .begin = end, .told =
		  "rcv cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "rcv svr - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd svr - CLOSED/CLOSED \"answer\" \"question\"\n" },
	{ .name = "CONN_END: at one hook, once per side", .scene = "exchange", .begin = end_one, .told =
		  "snd cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd svr - CLOSED/CLOSED \"answer\" \"question\"\n" },
	{ .name = "CONN_END: reset", .scene = "reset", .begin = end, .told =
		  "rcv cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "rcv svr - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd svr - CLOSED/CLOSED \"answer\" \"question\"\n" },
	{ .name = "CONN_END: idle", .scene = "idle", .begin = end, .told =
		  "rcv cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "rcv svr - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd svr - CLOSED/CLOSED \"answer\" \"question\"\n" },
	{ .name = "CONN_END: the capture ends", .scene = "stays", .begin = end, .told =
		  "rcv cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd cli - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "rcv svr - CLOSED/CLOSED \"answer\" \"question\"\n"
		  "snd svr - CLOSED/CLOSED \"answer\" \"question\"\n" },
	{ .name = "PKT_OUT, CONN_SETUP, TIMEOUT, DEBUG_MESSAGE: may be registered, do not occur", .scene = "exchange", .begin = never,
	  .told = "" });
