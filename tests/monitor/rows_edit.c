/* SPDX-License-Identifier: BSD-3-Clause
 *
 * mtcp_setlastpkt: what is overwritten, removed, inserted; what the library, the stream and the lengths say of it; what it refuses.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

/* --- Edits ------------------------------------------------------------------------------------------------------------------------ */

static int op, hook;

/* "question": "<" before "est", or in its place, or without it. */
static void edits(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	if (!carries(m, sock, "question"))
		return;
	EXPECT_IS(change(m, sock, 2, op == MOS_CHOMP ? NULL : "EST", 3, op | MOS_TCP_PAYLOAD | MOS_UPDATE_TCP_CHKSUM), 0);
	tell_packet(m, sock, "edited");
}

static void edited(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	if (hook == MOS_HK_RCV)
		edits(m, sock, side, event, arg);
	arrives(m, sock, side, event, arg);
}

static void edit(int how, int where)
{
	op = how;
	hook = where;
	if (where == MOS_HK_SND)
		on(MOS_ON_PKT_IN, MOS_HK_SND, edits);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, edited);
	on(MOS_ON_CONN_END, MOS_HK_SND, note_snd);
}

static void overwrite_snd(void)
{
	edit(MOS_OVERWRITE, MOS_HK_SND);
}

static void overwrite_rcv(void)
{
	edit(MOS_OVERWRITE, MOS_HK_RCV);
}

static void chomp_snd(void)
{
	edit(MOS_CHOMP, MOS_HK_SND);
}

static void insert_snd(void)
{
	edit(MOS_INSERT, MOS_HK_SND);
}

static void insert_rcv(void)
{
	edit(MOS_INSERT, MOS_HK_RCV);
}

/* Options of TCP: two words of no-operations come, one goes. */
static void header(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static const char nops[] = "\1\1\1\1\1\1\1\1";
	struct pkt_info p;

	(void)side;
	(void)event;
	(void)arg;
	if (!carries(m, sock, "question"))
		return;
	EXPECT_IS(change(m, sock, 20, nops, 8, MOS_TCP_HDR | MOS_INSERT), 0);
	tell_packet(m, sock, "longer");
	EXPECT_IS(change(m, sock, 20, NULL, 4, MOS_TCP_HDR | MOS_CHOMP), 0);
	EXPECT_IS(change(m, sock, 20, nops, 4, MOS_IP_HDR | MOS_INSERT), 0);
	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, &p), 0);
	tell("TCP header %d, IP header %d, payload %u, frame %u", p.tcph->doff * 4, p.iph->ihl * 4, p.payloadlen, p.eth_len);
}

static void headers(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, header);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, arrives);
}

static void options(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)event;
	(void)arg;
	if (!carries(m, sock, "question"))
		return;
	FAILS(change(m, sock, 0, "x", 1, MOS_TCP_PAYLOAD), EINVAL);                              /* no action */
	FAILS(change(m, sock, 0, "x", 1, 0), EINVAL);
	FAILS(change(m, sock, 0, "x", 1, MOS_TCP_PAYLOAD | MOS_OVERWRITE | MOS_INSERT), EINVAL); /* two */
	FAILS(change(m, sock, 0, "x", 1, MOS_DROP | MOS_CHOMP), EINVAL);
	FAILS(change(m, sock, 0, "x", 1, MOS_OVERWRITE), EINVAL);                                /* no region */
	FAILS(change(m, sock, 0, "x", 1, MOS_OVERWRITE | MOS_TCP_HDR | MOS_TCP_PAYLOAD), EINVAL); /* two */
	FAILS(change(m, sock, -1, "x", 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(change(m, sock, -1, NULL, 0, MOS_DROP), EINVAL);
	FAILS(change(m, sock, 8, "x", 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(change(m, sock, 0, "123456789", 9, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(change(m, sock, 6, NULL, 3, MOS_CHOMP | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(change(m, sock, 9, "x", 1, MOS_INSERT | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(change(m, sock, 0, NULL, 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(change(m, sock, 0, "x", 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD | 0x8000), EINVAL);
	FAILS(change(m, sock, 14, "x", 1, MOS_OVERWRITE | MOS_ETH_HDR), EINVAL);
	FAILS(change(m, sock, 0, "x", 1, MOS_INSERT | MOS_ETH_HDR), EACCES);
	FAILS(change(m, sock, 0, NULL, 1, MOS_CHOMP | MOS_ETH_HDR), EACCES);
	FAILS(change(m, sock, 20, "x", 1, MOS_INSERT | MOS_TCP_HDR), EINVAL);     /* whole words */
	FAILS(change(m, sock, 16, "xxxx", 4, MOS_INSERT | MOS_TCP_HDR), EINVAL);  /* in the fixed part */
	FAILS(change(m, sock, 16, NULL, 4, MOS_CHOMP | MOS_IP_HDR), EINVAL);
	EXPECT_IS(change(m, sock, 0, NULL, 0, MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM), 0); /* alone */
	EXPECT_IS(change(m, sock, 8, "!", 1, MOS_INSERT | MOS_TCP_PAYLOAD), 0);                 /* at the end */
	EXPECT_IS(change(m, sock, 0, "\2\0\0\0\0\1", 6, MOS_OVERWRITE | MOS_ETH_HDR), 0);
}

static void mistakes(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, options);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, arrives);
	FAILS(change(run.m, run.sock, 0, NULL, 0, MOS_DROP), EPERM);
}

/* Relative to the initial numbers of the capture. */
static void tell_numbers(mctx_t m, int sock, const char *where, int from)
{
	struct pkt_info p;

	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, &p), 0);
	if (p.tcph->syn)
		return;
	tell("%s of %s: %s from %d, %u bytes, ack %d", where, side_name(from), packet_flags(m, sock),
	     (int)(p.seq - (from == MOS_SIDE_CLI ? 1001 : 5000001)), p.payloadlen, (int)(p.ack_seq - (from == MOS_SIDE_CLI ? 5000001 : 1001)));
}

static void numbers_snd(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	tell_numbers(m, sock, "sent", side);
	if (carries(m, sock, "question"))
		EXPECT_IS(change(m, sock, 2, "EST", 3, op | MOS_TCP_PAYLOAD), 0);
}

static void numbers_rcv(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	tell_numbers(m, sock, "arrived", 1 - side);
}

static void numbers(int how)
{
	op = how;
	on(MOS_ON_PKT_IN, MOS_HK_SND, numbers_snd);
	on(MOS_ON_PKT_IN, MOS_HK_RCV, numbers_rcv);
}

static void numbers_insert(void)
{
	numbers(MOS_INSERT);
}

static void numbers_chomp(void)
{
	numbers(MOS_CHOMP);
}

ROWS(edit,
	{ .name = "MOS_OVERWRITE at HK_SND changes what arrives", .scene = "exchange4", .begin = overwrite_snd, .told =
		  "edited packet \"quESTion\" at 0\n"
		  "arriving packet \"quESTion\" at 0\n"
		  "svr stream \"quESTion\"\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "MOS_OVERWRITE at HK_RCV changes what is sent on", .scene = "exchange5", .begin = overwrite_rcv, .told =
		  "edited packet \"quESTion\" at 0\n"
		  "arriving packet \"quESTion\" at 0\n"
		  "svr stream \"question\"\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "MOS_CHOMP: lengths are right, the stream is shorter", .scene = "exchange6", .begin = chomp_snd, .told =
		  "edited packet \"quion\" at 0\n"
		  "arriving packet \"quion\" at 0\n"
		  "svr stream \"quion\"\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "MOS_INSERT: lengths are right, the stream is longer", .scene = "exchange7", .begin = insert_snd, .told =
		  "edited packet \"quESTestion\" at 0\n"
		  "arriving packet \"quESTestion\" at 0\n"
		  "svr stream \"quESTestion\"\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "MOS_INSERT at HK_RCV: the stream is as it was", .scene = "exchange8", .begin = insert_rcv, .told =
		  "edited packet \"quESTestion\" at 0\n"
		  "arriving packet \"quESTestion\" at 0\n"
		  "svr stream \"question\"\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n"
		  "snd cli CONN_END - CLOSED/CLOSED\n"
		  "snd svr CONN_END - CLOSED/CLOSED\n" },
	{ .name = "MOS_CHOMP and MOS_INSERT of options", .scene = "exchange9", .begin = headers, .told =
		  "longer packet \"question\" at 0\n"
		  "TCP header 24, IP header 24, payload 8, frame 70\n"
		  "arriving packet \"question\" at 0\n"
		  "svr stream \"question\"\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n" },
	{ .name = "setlastpkt: one action, one region, within it", .scene = "exchange10", .begin = mistakes, .told =
		  "arriving packet \"question!\" at 0\n"
		  "svr stream \"question!\"\n"
		  "arriving packet \"answer\" at 0\n"
		  "cli stream \"answer\"\n" },
	{ .name = "MOS_INSERT: later numbers and acknowledgements are translated, each way", .scene = "exchange18",
	  .begin = numbers_insert, .told =
		  "sent of cli: A from 0, 0 bytes, ack 0\n"
		  "arrived of cli: A from 0, 0 bytes, ack 0\n"
		  "sent of cli: PA from 0, 8 bytes, ack 0\n"
		  "arrived of cli: PA from 0, 11 bytes, ack 0\n"
		  "sent of svr: A from 0, 0 bytes, ack 8\n"
		  "arrived of svr: A from 0, 0 bytes, ack 5\n"
		  "sent of svr: PA from 0, 6 bytes, ack 8\n"
		  "arrived of svr: PA from 0, 6 bytes, ack 5\n"
		  "sent of cli: A from 8, 0 bytes, ack 6\n"
		  "arrived of cli: A from 11, 0 bytes, ack 6\n"
		  "sent of cli: FA from 8, 0 bytes, ack 6\n"
		  "arrived of cli: FA from 11, 0 bytes, ack 6\n"
		  "sent of svr: FA from 6, 0 bytes, ack 9\n"
		  "arrived of svr: FA from 6, 0 bytes, ack 6\n"
		  "sent of cli: A from 9, 0 bytes, ack 7\n"
		  "arrived of cli: A from 12, 0 bytes, ack 7\n" },
	{ .name = "MOS_CHOMP: later numbers and acknowledgements are translated, each way", .scene = "exchange19",
	  .begin = numbers_chomp, .told =
		  "sent of cli: A from 0, 0 bytes, ack 0\n"
		  "arrived of cli: A from 0, 0 bytes, ack 0\n"
		  "sent of cli: PA from 0, 8 bytes, ack 0\n"
		  "arrived of cli: PA from 0, 5 bytes, ack 0\n"
		  "sent of svr: A from 0, 0 bytes, ack 8\n"
		  "arrived of svr: A from 0, 0 bytes, ack 11\n"
		  "sent of svr: PA from 0, 6 bytes, ack 8\n"
		  "arrived of svr: PA from 0, 6 bytes, ack 11\n"
		  "sent of cli: A from 8, 0 bytes, ack 6\n"
		  "arrived of cli: A from 5, 0 bytes, ack 6\n"
		  "sent of cli: FA from 8, 0 bytes, ack 6\n"
		  "arrived of cli: FA from 5, 0 bytes, ack 6\n"
		  "sent of svr: FA from 6, 0 bytes, ack 9\n"
		  "arrived of svr: FA from 6, 0 bytes, ack 12\n"
		  "sent of cli: A from 9, 0 bytes, ack 7\n"
		  "arrived of cli: A from 6, 0 bytes, ack 7\n" });
