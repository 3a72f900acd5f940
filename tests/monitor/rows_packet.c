/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is told of a packet and of a flow: headers and lengths, addresses, time; and what a passive monitor may not do.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

/* --- mtcp_getlastpkt ------------------------------------------------------------------------------------------------------- */

static bool question(mctx_t m, int sock, struct pkt_info *p)
{
	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, p), 0);
	return p->payloadlen == 8;
}

static void fields(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p, again;

	(void)side;
	(void)event;
	(void)arg;
	if (!question(m, sock, &p)) {
		EXPECT_IS(p.eth_len, p.payloadlen > 0 ? 60 : p.tcph->syn ? 62 : 60); /* padded */
		EXPECT_IS(p.ip_len, 40 + p.payloadlen + (p.tcph->syn ? 8 : 0));
		return;
	}
	tell("frame %u, packet %u, payload %u at %llu, seq %u, ack %u, window %u, port %d", p.eth_len, p.ip_len, p.payloadlen,
	     (unsigned long long)p.offset, p.seq, p.ack_seq, p.window, p.in_ifidx);
	EXPECT_IS(ntohs(p.ethh->h_proto), 0x0800);
	EXPECT((uint8_t *)p.iph == (uint8_t *)p.ethh + 14);
	EXPECT_IS(ntohl(p.iph->saddr), 0x0a000101);
	EXPECT_IS(ntohl(p.iph->daddr), 0x0a000102);
	EXPECT_IS(ntohs(p.iph->tot_len), p.ip_len);
	EXPECT((uint8_t *)p.tcph == (uint8_t *)p.iph + 20);
	EXPECT_IS(ntohs(p.tcph->dest), run.port);
	EXPECT_IS(ntohl(p.tcph->seq), p.seq);
	EXPECT_IS(ntohl(p.tcph->ack_seq), p.ack_seq);
	EXPECT(p.tcph->psh && p.tcph->ack && !p.tcph->syn && !p.tcph->fin);
	EXPECT(p.payload == (uint8_t *)p.tcph + 20 && memcmp(p.payload, "question", 8) == 0);
	EXPECT_IS(mtcp_getlastpkt(m, sock, MOS_SIDE_BOTH, &again), 0); /* whatever the side */
	EXPECT(memcmp(&p, &again, sizeof(p)) == 0);
	EXPECT_IS(mtcp_getlastpkt(m, run.sock, 0, &again), 0); /* whichever of our sockets */
	FAILS(mtcp_getlastpkt(m, 9999, 0, &again), EBADF);
	FAILS(mtcp_getlastpkt(m, sock, 0, NULL), EINVAL);
}

static void packet(void)
{
	struct pkt_info p;

	FAILS(mtcp_getlastpkt(run.m, run.sock, 0, &p), EPERM);
	on(MOS_ON_PKT_IN, MOS_HK_SND, fields);
}

static void none(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)arg;
	FAILS(mtcp_getlastpkt(m, sock, side, &p), ENODATA);
	FAILS(mtcp_setlastpkt(m, sock, side, 0, NULL, 0, MOS_DROP), ENODATA);
	FAILS(mtcp_cb_dropcurpkt(m), ENODATA);
	tell("%s", event_name(event));
}

static void no_packet(void)
{
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, none);
	on(MOS_ON_CONN_END, MOS_HK_SND, none);
}

static void tags(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)side;
	(void)event;
	(void)arg;
	if (!question(m, sock, &p))
		return;
	EXPECT_IS((uint8_t *)p.iph - (uint8_t *)p.ethh, 22);
	EXPECT_IS(ntohs(p.ethh->h_proto), 0x88a8);
	tell("%u %u %.*s", p.eth_len, p.ip_len, p.payloadlen, (char *)p.payload);
}

static void tagged(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_RCV, tags);
}

static void six(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in6 both[2], want;
	struct sockaddr_storage room[2];
	struct sockaddr_in in;
	struct pkt_info p;
	socklen_t len = sizeof(in);
	char name[INET6_ADDRSTRLEN];

	(void)side;
	(void)event;
	(void)arg;
	if (!question(m, sock, &p))
		return;
	EXPECT_IS(p.iph->version, 6);
	EXPECT_IS(p.ip_len, 40 + 20 + 8);
	EXPECT_IS((uint8_t *)p.tcph - (uint8_t *)p.iph, 40);
	FAILS(mtcp_getpeername(m, sock, (struct sockaddr *)&in, &len, MOS_SIDE_CLI), EINVAL);
	for (int i = 0; i < 2; i++) {
		len = sizeof(want);
		EXPECT_IS(mtcp_getpeername(m, sock, (struct sockaddr *)&want, &len, i), 0);
		EXPECT_IS(want.sin6_family, AF_INET6);
		tell("%s port %d", inet_ntop(AF_INET6, &want.sin6_addr, name, sizeof(name)),
		     ntohs(want.sin6_port) == run.port ? 0 : ntohs(want.sin6_port));
	}
	len = sizeof(both);
	EXPECT_IS(mtcp_getpeername(m, sock, (struct sockaddr *)both, &len, MOS_SIDE_BOTH), 0);
	EXPECT(memcmp(&both[1], &want, sizeof(want)) == 0);
	len = sizeof(room);
	EXPECT_IS(mtcp_getpeername(m, sock, (struct sockaddr *)room, &len, MOS_SIDE_BOTH), 0);
	EXPECT(memcmp(&room[1], &want, sizeof(want)) == 0);
	EXPECT_IS(mtcp_getsockid_bytuple(m, run.sock, (struct sockaddr *)&both[1], (struct sockaddr *)&both[0], sizeof(both[0])), sock);
}

static void version6(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, six);
}

static void joined(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static char text[4096];
	struct pkt_info p;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	if (p.payloadlen == 0)
		return;
	tell("%u bytes in a packet of %u", p.payloadlen, p.ip_len);
	EXPECT_IS(mtcp_peek(m, sock, side, text, sizeof(text)), 3000);
	EXPECT(memcmp(text, p.payload, 3000) == 0);
}

static void fragments(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_RCV, joined);
}

static void fragments_raw(void)
{
	run.sock = raw("ip host 10.0.1.1 and ip[4:2] = 7"); /* their identification */
	on(MOS_ON_PKT_IN, MOS_NULL, note_null);
}

static void short_text(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static char text[128];
	struct pkt_info p;
	ssize_t n;

	(void)arg;
	if (event == MOS_ON_PKT_IN) {
		EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
		EXPECT_IS(p.payloadlen, 0);
		return;
	}
	do {
		n = mtcp_peek(m, sock, MOS_SIDE_SVR, text, sizeof(text));
		tell("peek: %zd", n);
	} while (n != 0);
}

static void cut_off(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_RCV, short_text);
	on(MOS_ON_CONN_END, MOS_HK_RCV, short_text);
}

/* --- Time ------------------------------------------------------------------------------------------------------------------- */

static void times(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	static uint64_t before;
	uint64_t us = 0;
	uint32_t low = 0;
	socklen_t len = sizeof(us);
	struct pkt_info p;

	(void)arg;
	EXPECT_IS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TIMESTAMP, &us, &len), 0);
	len = sizeof(low);
	EXPECT_IS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_TIMESTAMP, &low, &len), 0);
	EXPECT_IS(low, (uint32_t)us);
	EXPECT_IS(mtcp_cb_get_ts(m), (uint32_t)us);
	EXPECT(us / 1000000 - 1700000000 < 100000); /* the capture's */
	EXPECT(us >= before);
	if (event != MOS_ON_PKT_IN)
		return;
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	EXPECT_IS(p.cur_ts, (uint32_t)us);
	tell("%d", before == 0 ? 0 : (int)(us - before));
	before = us;
}

static void timestamps(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, times);
	on(MOS_ON_CONN_NEW_DATA, MOS_NULL, times);
	on(MOS_ON_CONN_END, MOS_HK_SND, times);
}

/* --- Addresses ------------------------------------------------------------------------------------------------------------------ */

static int raw_sock;

static void peer(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in one, both[2];
	socklen_t len = sizeof(one);
	struct sockaddr *sa = (struct sockaddr *)&one, *as = (struct sockaddr *)both;

	(void)side;
	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getpeername(m, sock, sa, &len, MOS_SIDE_CLI), 0);
	EXPECT(one.sin_family == AF_INET && ntohl(one.sin_addr.s_addr) == 0x0a000101 && ntohs(one.sin_port) == 30000);
	EXPECT_IS(mtcp_getpeername(m, sock, sa, &len, MOS_SIDE_SVR), 0);
	EXPECT(ntohl(one.sin_addr.s_addr) == 0x0a000102 && ntohs(one.sin_port) == run.port);
	FAILS(mtcp_getpeername(m, sock, as, &len, MOS_SIDE_BOTH), EINVAL);
	len = sizeof(both);
	EXPECT_IS(mtcp_getpeername(m, sock, as, &len, MOS_SIDE_BOTH), 0);
	EXPECT_IS(ntohs(both[0].sin_port), 30000); /* the client first */
	EXPECT_IS(ntohs(both[1].sin_port), run.port);
	len = 15;
	FAILS(mtcp_getpeername(m, sock, sa, &len, MOS_SIDE_CLI), EINVAL);
	len = sizeof(one);
	FAILS(mtcp_getpeername(m, sock, sa, &len, 3), EINVAL);
	FAILS(mtcp_getpeername(m, sock, NULL, &len, MOS_SIDE_CLI), EINVAL);
	FAILS(mtcp_getpeername(m, sock, sa, NULL, MOS_SIDE_CLI), EINVAL);
	FAILS(mtcp_getpeername(m, run.sock, sa, &len, MOS_SIDE_CLI), ENOTCONN);
	FAILS(mtcp_getpeername(m, 9999, sa, &len, MOS_SIDE_CLI), EBADF);
	EXPECT_IS(mtcp_getsockid_bytuple(m, run.sock, (struct sockaddr *)&both[0], (struct sockaddr *)&both[1], sizeof(one)), sock);
	EXPECT_IS(mtcp_getsockid_bytuple(m, run.sock, (struct sockaddr *)&both[1], (struct sockaddr *)&both[0], sizeof(one)), sock);
	FAILS(mtcp_getsockid_bytuple(m, raw_sock, as, as, sizeof(one)), ESOCKTNOSUPPORT);
	both[1].sin_port = 1;
	FAILS(mtcp_getsockid_bytuple(m, run.sock, (struct sockaddr *)&both[0], (struct sockaddr *)&both[1], sizeof(one)), ENOENT);
	tell("told");
}

static void addresses(void)
{
	char text[64];
	union monitor_filter ft = { .stream_syn_filter = text };
	struct sockaddr_in one;
	socklen_t len = sizeof(one);

	snprintf(text, sizeof(text), "src port 30000 and dst port %d", run.port);
	EXPECT_IS(mtcp_bind_monitor_filter(run.m, run.sock, &ft), 0);
	raw_sock = raw(run.only);
	FAILS(mtcp_getpeername(run.m, run.sock, (struct sockaddr *)&one, &len, MOS_SIDE_CLI), ENOTCONN);
	on(MOS_ON_CONN_START, MOS_HK_SND, peer);
}

/* --- Raw sockets ---------------------------------------------------------------------------------------------------------------- */

static unsigned arps, segments, datagrams;

static void any(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event;
	(void)arg;
	EXPECT_IS(side, MOS_NULL);
	EXPECT_IS(sock, run.sock);
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	EXPECT(p.ethh != NULL);
	if (p.iph == NULL)
		arps += p.ethh->h_proto == htons(0x0806);
	else if (p.tcph == NULL)
		datagrams++;
	else if (ntohs(p.tcph->dest) == run.port || ntohs(p.tcph->source) == run.port)
		segments++;
}

static void everything(void)
{
	run.sock = raw(NULL);
	on(MOS_ON_PKT_IN, MOS_NULL, any);
}

static void everything_end(void)
{
	EXPECT_IS(segments, 10);
	EXPECT(arps > 10);
	EXPECT(datagrams > 0);
}

/* --- What a passive monitor may not do ------------------------------------------------------------------------------------------- */

static void tries(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	uint8_t frame[60] = { 0 };
	struct pkt_info p;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, side, &p), 0);
	FAILS(mtcp_setlastpkt(m, sock, side, 0, NULL, 0, MOS_DROP), EPERM);
	FAILS(mtcp_setlastpkt(m, sock, side, 0, frame, 1, MOS_TCP_HDR | MOS_OVERWRITE), EPERM);
	FAILS(mtcp_cb_dropcurpkt(m), EPERM);
	FAILS(mtcp_sendpkt(m, sock, &p), EPERM);
	FAILS(mtcp_sendpkt_raw(m, sock, frame, sizeof(frame)), EPERM);
	FAILS(mtcp_reset_conn(m, sock), EPERM);
	tell("%s", packet_flags(m, sock));
}

static void passive(void)
{
	on(MOS_ON_CONN_START, MOS_HK_SND, tries);
	on(MOS_ON_CONN_START, MOS_HK_RCV, tries);
	FAILS(mtcp_setlastpkt(run.m, run.sock, 0, 0, NULL, 0, MOS_DROP), EPERM);
	FAILS(mtcp_cb_dropcurpkt(run.m), EPERM);
}

/* --- Filters ------------------------------------------------------------------------------------------------------------------------ */

static void bind_filters(void)
{
	static const char *const good[] = { "tcp", "port 80", "tcp dst port 80", "src host 10.0.0.1 and not dst port 22",
					    "net 10.0.0.0/8 or portrange 1-100", "tcp and src net 10.0.0.0 mask 255.0.0.0" };
	static const char *const bad[] = { "not tcp", "( port 80 )", "port 80 && port 81", "ip", "udp port 53", "port", "port x",
					   "!tcp", "port 80 | port 81", "and" };
	static const char *const raws[] = { "ip proto 17", "ip[1] == 0xff and ip[9] == 0x11", "udp port 53 or arp", "not tcp" };
	int more = raw(run.only);

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		union monitor_filter ft = { .stream_syn_filter = (char *)(uintptr_t)good[i] };

		if (mtcp_bind_monitor_filter(run.m, run.sock, &ft) != 0)
			wrong(__FILE__, __LINE__, "\"%s\": %s", good[i], mtcp_error_text());
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		union monitor_filter syn = { .stream_syn_filter = (char *)(uintptr_t)bad[i] };
		union monitor_filter orphan = { .stream_orphan_filter = (char *)(uintptr_t)bad[i] };

		FAILS(mtcp_bind_monitor_filter(run.m, run.sock, &syn), EINVAL);
		FAILS(mtcp_bind_monitor_filter(run.m, run.sock, &orphan), EINVAL);
	}
	for (unsigned i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
		union monitor_filter ft = { .raw_pkt_filter = (char *)(uintptr_t)raws[i] };

		EXPECT_IS(mtcp_bind_monitor_filter(run.m, more, &ft), 0);
	}
	FAILS(mtcp_bind_monitor_filter(run.m, more, &(union monitor_filter){ .raw_pkt_filter = (char[]){ "ip protocol" } }), EINVAL);
	EXPECT_IS(mtcp_bind_monitor_filter(run.m, run.sock, NULL), 0);
	FAILS(mtcp_bind_monitor_filter(run.m, 9999, NULL), EBADF);
	FAILS(mtcp_bind_monitor_filter(run.m, mtcp_epoll_create(run.m, 8), NULL), ENOPROTOOPT);
}

ROWS(packet,
	{ .name = "getlastpkt: each field", .scene = "exchange", .begin = packet, .told =
		  "frame 62, packet 48, payload 8 at 0, seq 1001, ack 5000001, window 65535, port 0\n" },
	{ .name = "getlastpkt: ENODATA where there is none", .scene = "exchange", .begin = no_packet, .told =
		  "NEW_DATA\n"
		  "NEW_DATA\n"
		  "CONN_END\n"
		  "CONN_END\n" },
	{ .name = "getlastpkt: VLAN tags", .scene = "tagged", .begin = tagged, .told =
		  "70 48 question\n" },
	{ .name = "IPv6: packet, getpeername, getsockid_bytuple", .scene = "version6", .begin = version6, .told =
		  "2001:db8:1::1 port 30000\n"
		  "2001:db8:1::2 port 0\n" },
	{ .name = "IP fragments are one packet", .scene = "pieces", .begin = fragments, .told =
		  "3000 bytes in a packet of 3040\n" },
	{ .name = "IP fragments are three to a raw socket", .scene = "pieces", .begin = fragments_raw, .socks = 1, .told =
		  "null null PKT_IN IP -/-\n"
		  "null null PKT_IN IP -/-\n"
		  "null null PKT_IN IP -/-\n" },
	{ .name = "a packet of which the capture has a part is none", .scene = "cut", .begin = cut_off, .told =
		  "peek: -100\n"
		  "peek: 0\n"
		  "peek: 0\n" },
	{ .name = "cur_ts, cb_get_ts, MOS_TIMESTAMP: the packet's time", .scene = "exchange", .begin = timestamps, .told =
		  "0\n"
		  "1000\n"
		  "1000\n"
		  "1000\n"
		  "1000\n"
		  "1000\n"
		  "1000\n"
		  "1000\n"
		  "1000\n"
		  "1000\n" },
	{ .name = "getpeername, getsockid_bytuple", .scene = "two_flows", .begin = addresses, .socks = 1, .told =
		  "told\n" },
	{ .name = "a raw socket without a filter sees every frame", .scene = "exchange", .begin = everything, .socks = 1,
	  .end = everything_end },
	{ .name = "passive: what would change or send packets is EPERM", .scene = "exchange", .begin = passive, .told =
		  "S\n"
		  "S\n" },
	{ .name = "filters: what may be bound", .scene = "exchange", .begin = bind_filters, .socks = 1 });
