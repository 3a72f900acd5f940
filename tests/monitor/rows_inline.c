/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Inline monitors: what is dropped, changed, translated, sent; and what both sides of the flow make of it.  The engine waits for each
 * verdict, so that the streams are those of the moment, holes included.
 *
 * That bytes and numbers are right behind a bridge is for tests/system/inline.sh to show.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

static char buf[1024];

/* --- The moment --------------------------------------------------------------------------------------------------------------- */

static void around_hole(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct tcp_buf_info i;
	socklen_t len = sizeof(i), count;
	struct pkt_info p;
	const char *text;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, &p), 0);
	if (p.payloadlen == 0)
		return;
	text = pieces(m, sock, 32 * sizeof(struct tcp_ring_fragment), &count);
	tell("%d pieces: %s", (int)count, text);
	text = pieces(m, sock, 1, &count); /* elements */
	tell("room for one, %d: %s", (int)count, text);
	text = pieces(m, sock, sizeof(struct tcp_ring_fragment), &count); /* bytes */
	tell("room for one, %d: %s", (int)count, text);
	tell("ppeek at 0: %zd, at 150: %zd, at 200: %zd", mtcp_ppeek(m, sock, side, buf, 300, 0), mtcp_ppeek(m, sock, side, buf, 300, 150),
	     mtcp_ppeek(m, sock, side, buf, 300, 200));
	tell("peek: %zd", mtcp_peek(m, sock, side, buf, 300));
	EXPECT_IS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_INFO_SVRBUF, &i, &len), 0);
	tell("read %u, expected %u, received %u", i.tcpbi_last_byte_read - i.tcpbi_init_seq,
	     i.tcpbi_next_byte_expected - i.tcpbi_init_seq, i.tcpbi_last_byte_received - i.tcpbi_init_seq);
}

static void holes(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_RCV, around_hole);
}

/* At REXMIT nothing of the packet has been written: the new bytes at its end are not there, and not lost. */
static void before_writing(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	tell_packet(m, sock, "again");
	tell("ppeek: %zd", mtcp_ppeek(m, sock, side, buf, sizeof(buf), 0));
	tell_stream(m, sock, side, "then");
	EXPECT_IS(mtcp_peek(m, sock, side, buf, sizeof(buf)), 0);
}

static void written(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	if (carries(m, sock, "abc"))
		tell_stream(m, sock, side, "and");
}

static void rexmit(void)
{
	on(MOS_ON_REXMIT, MOS_HK_RCV, before_writing);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, written);
}

/* --- Drop ------------------------------------------------------------------------------------------------------------------------ */

static void drops(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	if (carries(m, sock, "question"))
		EXPECT_IS(change(m, sock, 0, NULL, 0, MOS_DROP), 0);
}

static void drops_short(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	if (carries(m, sock, "question"))
		EXPECT_IS(mtcp_cb_dropcurpkt(m), 0);
}

static void drop_snd(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, drops);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, arrives);
}

static void drop_current(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, drops_short);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, arrives);
}

static void drops_late(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	drops(m, sock, side, event, arg);
	arrives(m, sock, side, event, arg);
}

static void drop_rcv(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_RCV, drops_late);
}

static void drops_syn(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static int syns;

	note_snd(m, sock, side, event, arg);
	if (strcmp(packet_flags(m, sock), "S") == 0 && syns++ == 0)
		EXPECT_IS(change(m, sock, 0, NULL, 0, MOS_DROP), 0);
}

static void drop_syn(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, drops_syn);
	on(MOS_ON_CONN_START, MOS_HK_RCV, note_rcv);
	on(MOS_ON_REXMIT, MOS_HK_RCV, note_rcv);
}

/* --- Two sockets --------------------------------------------------------------------------------------------------------------- */

/* Each appends its number to what it sees. */
static void append(mctx_t m, int sock, const char *number)
{
	struct pkt_info p;

	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, &p), 0);
	if (p.payloadlen == 0)
		return;
	EXPECT_IS(change(m, sock, p.payloadlen, number, 1, MOS_INSERT | MOS_TCP_PAYLOAD), 0);
	tell_packet(m, sock, number);
}

static void append_one(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	append(m, sock, "1");
}

static void append_two(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	append(m, sock, "2");
}

static void chain(void)
{
	int second = another();

	on(MOS_ON_PKT_IN, MOS_HK_SND, append_one);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, arrives);
	EXPECT_IS(mtcp_register_callback(run.m, second, MOS_ON_PKT_IN, MOS_HK_SND, append_two), 0);
}

/* --- Translation ------------------------------------------------------------------------------------------------------------------ */

/* 10.0.1.2 is 10.0.1.99, port 99, as rows.py has it. */
static void translates(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in ends[2];
	socklen_t len = sizeof(ends);
	char name[2][INET_ADDRSTRLEN];

	note_snd(m, sock, side, event, arg);
	EXPECT_IS(mtcp_getpeername(m, sock, (struct sockaddr *)ends, &len, MOS_SIDE_BOTH), 0);
	EXPECT_IS(ntohl(ends[1].sin_addr.s_addr), 0x0a000102);
	EXPECT_IS(ntohs(ends[1].sin_port), run.port);
	if (side != MOS_SIDE_CLI)
		return;
	EXPECT_IS(change(m, sock, 16, "\x0a\0\1\x63", 4, MOS_IP_HDR | MOS_OVERWRITE | MOS_UPDATE_IP_CHKSUM), 0);
	EXPECT_IS(change(m, sock, 2, "\0\x63", 2, MOS_TCP_HDR | MOS_OVERWRITE | MOS_UPDATE_TCP_CHKSUM), 0);
	(void)name;
}

static void translated(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, translates);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, arrives);
	on(MOS_ON_ORPHAN, MOS_NULL, note_null);
	on(MOS_ON_CONN_END, MOS_HK_SND, note_snd);
}

/* --- Sending ------------------------------------------------------------------------------------------------------------------------ */

static void sends(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	uint8_t frame[60] = { 0 };
	struct pkt_info p, bare = { 0 };

	(void)side;
	(void)event;
	(void)arg;
	if (!carries(m, sock, "question"))
		return;
	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, &p), 0);
	EXPECT_IS(mtcp_sendpkt(m, sock, &p), 0);
	EXPECT_IS(mtcp_sendpkt(m, sock, &bare), 0); /* headers are those of the packet at hand */
	FAILS(mtcp_sendpkt(m, sock, NULL), EINVAL);
	FAILS(mtcp_sendpkt(m, run.sock, &p), EPERM);
	FAILS(mtcp_sendpkt(m, 9999, &p), EBADF);
	EXPECT_IS(mtcp_sendpkt_raw(m, sock, frame, sizeof(frame)), 0);
	EXPECT_IS(mtcp_sendpkt_raw(m, run.sock, frame, sizeof(frame)), 0);
	FAILS(mtcp_sendpkt_raw(m, sock, frame, 13), EINVAL);
	FAILS(mtcp_sendpkt_raw(m, sock, NULL, 60), EINVAL);
	FAILS(mtcp_sendpkt_raw(m, 9999, frame, 60), EBADF);
	tell("sent");
}

static void sending(void)
{
	struct pkt_info p = { 0 };

	on(MOS_ON_PKT_IN, MOS_HK_SND, sends);
	FAILS(mtcp_sendpkt(run.m, run.sock, &p), EPERM);
}

static void resets(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	if (carries(m, sock, "question"))
		EXPECT_IS(mtcp_reset_conn(m, sock), 0);
}

static void resetting(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, resets);
	on(MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, note_snd);
	on(MOS_ON_CONN_END, MOS_HK_SND, note_snd);
}

/* --- Letting go ------------------------------------------------------------------------------------------------------------------- */

static void lets_go(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	note_snd(m, sock, side, event, arg);
	if (carries(m, sock, "question")) {
		EXPECT_IS(mtcp_cb_stop(m, sock, MOS_SIDE_BOTH), 0);
		EXPECT_IS(change(m, sock, 0, "Q", 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD), 0); /* this packet is still its own */
	}
}

static void let_go(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, lets_go);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, note_rcv);
	on(MOS_ON_CONN_END, MOS_HK_SND, note_snd);
	on(MOS_ON_ORPHAN, MOS_NULL, note_null);
}

static void registers(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	note_snd(m, sock, side, event, arg);
	if (carries(m, sock, "question"))
		EXPECT_IS(mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_HK_RCV, note_rcv), 0);
	else if (carries(m, sock, "answer"))
		EXPECT_IS(mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_HK_SND, NULL), 0);
}

static void registering(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, registers);
}

/* --- Without a packet; other events -------------------------------------------------------------------------------------------------- */

static void no_packet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static event_t told;

	(void)side;
	(void)arg;
	FAILS(change(m, sock, 0, NULL, 0, MOS_DROP), ENODATA);
	FAILS(mtcp_cb_dropcurpkt(m), ENODATA);
	if ((told & event) == 0) /* how often is up to the bursts */
		tell("%s", event_name(event));
	told |= event;
}

static void without(void)
{
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, no_packet);
	on(MOS_ON_CONN_END, MOS_HK_RCV, no_packet);
}

static void drops_error(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	note_null(m, sock, side, event, arg);
	EXPECT_IS(change(m, sock, 0, NULL, 0, MOS_DROP), 0);
}

static void drop_error(void)
{
	on(MOS_ON_ERROR, MOS_NULL, drops_error);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, note_rcv);
}

/* A raw socket may hold packets, too. */
static void drops_raw(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	note_null(m, sock, side, event, arg);
	drops(m, sock, side, event, arg);
}

static void drop_raw(void)
{
	int stream = run.sock;

	run.sock = raw(run.only);
	on(MOS_ON_PKT_IN, MOS_NULL, drops_raw);
	run.sock = stream;
	on(MOS_ON_PKT_IN, MOS_HK_SND, note_snd);
}

ROWS(inline,
	{ .name = "each round is of its moment: FRAGINFO, INFO, ppeek around a hole", .scene = "hole1", .begin = holes, .told =
		  "1 pieces: [0,100)\n"
		  "room for one, 1: [0,100)\n"
		  "room for one, 1: [0,100)\n"
		  "ppeek at 0: 100, at 150: -1, at 200: -1\n"
		  "peek: 100\n"
		  "read 100, expected 101, received 100\n"
		  "2 pieces: [0,100) [200,300)\n"
		  "room for one, 1: [0,100)\n"
		  "room for one, 1: [0,100)\n"
		  "ppeek at 0: 100, at 150: -1, at 200: 100\n"
		  "peek: 0\n"
		  "read 100, expected 101, received 300\n"
		  "1 pieces: [0,300)\n"
		  "room for one, 1: [0,300)\n"
		  "room for one, 1: [0,300)\n"
		  "ppeek at 0: 300, at 150: 150, at 200: 100\n"
		  "peek: 200\n"
		  "read 300, expected 301, received 300\n" },
	{ .name = "REXMIT: the payload is not written, and not lost", .scene = "again1", .begin = rexmit, .told =
		  "again packet \"abcdefghIJ\" at 0\n"
		  "ppeek: 8\n"
		  "then stream \"ABCDEFGH\"\n"
		  "and stream \"IJ\"\n"
		  "ppeek: 10\n"
		  "then stream \"\"\n" },
	{ .name = "MOS_DROP at HK_SND: it never reaches the receiver's side", .scene = "exchange1", .begin = drop_snd, .told =
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n" },
	{ .name = "mtcp_cb_dropcurpkt is MOS_DROP", .scene = "exchange2", .begin = drop_current, .told =
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n" },
	{ .name = "MOS_DROP at HK_RCV: both sides have it", .scene = "exchange3", .begin = drop_rcv, .told =
		  "arriving packet \"question\" at 0\n"
		  "svr stream \"question\"\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n" },
	{ .name = "MOS_DROP of the first SYN: the server's side begins with the second", .scene = "opening1", .begin = drop_syn,
	  .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "rcv svr CONN_START S SYN_SENT/SYN_RCVD\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "snd svr PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "rcv cli REXMIT SA ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN RA CLOSED/ESTABLISHED\n" },
	{ .name = "a chain: each sees the packet as the one before has left it", .scene = "exchange11", .begin = chain, .socks = 1,
	  .told =
		  "1 packet \"question1\" at 0\n"
		  "2 packet \"question12\" at 0\n"
		  "arriving packet \"question12\" at 0\n"
		  "svr stream \"question12\"\n"
		  "2 packet \"answer2\" at 0\n"
		  "1 packet \"answer21\" at 0\n"
		  "arriving packet \"answer21\" at 0\n"
		  "cli stream \"answer21\"\n" },
	{ .name = "translation: the server's side is keyed by the SYN as it was left", .scene = "translated", .begin = translated,
	  .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "arriving packet \"question\" at 0\n"
		  "svr stream \"question\"\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n"
		  "snd cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN FA FIN_WAIT_1/ESTABLISHED\n"
		  "snd svr PKT_IN FA FIN_WAIT_1/LAST_ACK\n"
		  "snd cli PKT_IN A TIME_WAIT/LAST_ACK\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "sendpkt, sendpkt_raw", .scene = "exchange12", .begin = sending, .told =
		  "sent\n" },
	{ .name = "reset_conn: of a capture nobody can be reset, the flow goes on", .scene = "exchange13", .begin = resetting, .told =
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE FA FIN_WAIT_1/ESTABLISHED\n"
		  "snd svr STATE_CHANGE FA FIN_WAIT_1/LAST_ACK\n"
		  "snd cli STATE_CHANGE - CLOSED/CLOSED\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "STOP_MON BOTH: let go, no orphans of it", .scene = "exchange14", .begin = let_go, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "rcv cli PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n" },
	{ .name = "registering in a callback: from the next round on", .scene = "exchange15", .begin = registering, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv cli PKT_IN FA TIME_WAIT/LAST_ACK\n"
		  "rcv svr PKT_IN A TIME_WAIT/CLOSED\n" },
	{ .name = "NEW_DATA, CONN_END: no packet to be changed", .scene = "exchange16", .begin = without, .told =
		  "NEW_DATA\n"
		  "CONN_END\n" },
	{ .name = "ERROR: the packet can be dropped", .scene = "beyond1", .begin = drop_error, .told =
		  "rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "rcv cli PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "null svr ERROR PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN RA CLOSED/CLOSED\n" },
	{ .name = "MOS_DROP in a raw socket: no flow has seen it", .scene = "exchange17", .begin = drop_raw, .socks = 1, .told =
		  "null null PKT_IN S -/-\n"
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "null null PKT_IN SA -/-\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "null null PKT_IN A -/-\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "null null PKT_IN PA -/-\n"
		  "null null PKT_IN A -/-\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN PA -/-\n"
		  "snd svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN A -/-\n"
		  "snd cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN FA -/-\n"
		  "snd cli PKT_IN FA FIN_WAIT_1/ESTABLISHED\n"
		  "null null PKT_IN FA -/-\n"
		  "snd svr PKT_IN FA FIN_WAIT_1/LAST_ACK\n"
		  "null null PKT_IN A -/-\n"
		  "snd cli PKT_IN A TIME_WAIT/LAST_ACK\n" });
