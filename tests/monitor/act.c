/* SPDX-License-Identifier: BSD-3-Clause
 *
 * act: does what the payload of a client says, for tests/system/rewrite.sh and failure.sh.
 *
 *	act [-r FILTER]
 *
 *	RESET   mtcp_reset_conn
 *	SAY     the segment is dropped, one of the same length that says SED goes instead: mtcp_sendpkt
 *	RAW     a UDP datagram to port 9999 of the server, "raw": mtcp_sendpkt_raw
 *	FLOOD   as RAW, 20,000 times, as fast as that is taken; once
 *	DROP    the segment is dropped, once
 *
 * -r: a RAW socket, too; of what it sees, UDP datagrams that begin with DROP are dropped, and those with RAW lead to another as above.
 */
#define _GNU_SOURCE
#include <netinet/udp.h>

#include "examples/mon.h"

static uint16_t sum16(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static int send_raw(mctx_t mctx, int sock, const struct pkt_info *p)
{
	static const char text[] = "raw";
	uint8_t frame[14 + 20 + 8 + 3];
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .saddr = p->iph->saddr,
			    .daddr = p->iph->daddr, .tot_len = htons(sizeof(frame) - 14) };
	struct udphdr udp = { .source = htons(7), .dest = htons(9999), .len = htons(8 + 3) }; /* no checksum */

	ip.check = htons(sum16((const uint8_t *)&ip, sizeof(ip)));
	memcpy(frame, p->ethh, 14);
	memcpy(frame + 14, &ip, sizeof(ip));
	memcpy(frame + 34, &udp, sizeof(udp));
	memcpy(frame + 42, text, 3);
	return mtcp_sendpkt_raw(mctx, sock, frame, sizeof(frame));
}

static void say(const char *what, int r)
{
	printf("%s %s\n", what, r == 0 ? "done" : strerror(errno));
	fflush(stdout);
}

static void flood(mctx_t mctx, int sock, const struct pkt_info *p)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < 20000; i++)
		sent += send_raw(mctx, sock, p) == 0;
	printf("flood: %u taken\n", sent);
	fflush(stdout);
}

static void on_packet(mctx_t mctx, int sock, int side, event_t event)
{
	static char said[65536];
	struct pkt_info p;

	(void)event;
	if (side != MOS_SIDE_CLI || mtcp_getlastpkt(mctx, sock, side, &p) != 0 || p.payloadlen < 4)
		return;
	if (memcmp(p.payload, "RESE", 4) == 0) {
		say("reset", mtcp_reset_conn(mctx, sock));
		mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP);
	} else if (memcmp(p.payload, "RAW", 3) == 0) {
		say("raw", send_raw(mctx, sock, &p));
	} else if (p.payloadlen > 5 && memcmp(p.payload, "FLOOD", 5) == 0) {
		if (mtcp_get_uctx(mctx, sock) != NULL)
			return; /* it comes again, since this has taken its time */
		mtcp_set_uctx(mctx, sock, said);
		flood(mctx, sock, &p);
	} else if (memcmp(p.payload, "SAY", 3) == 0) {
		memcpy(said, p.payload, p.payloadlen);
		memcpy(said, "SED", 3);
		p.payload = (u_char *)said;
		say("say", mtcp_sendpkt(mctx, sock, &p));
		mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP);
	} else if (memcmp(p.payload, "DROP", 4) == 0 && mtcp_get_uctx(mctx, sock) == NULL) {
		mtcp_set_uctx(mctx, sock, said);
		say("drop", mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP));
	}
}

static void on_frame(mctx_t mctx, int sock, int side, event_t event)
{
	struct pkt_info p;
	const uint8_t *text;
	uint32_t off;

	(void)event;
	if (mtcp_getlastpkt(mctx, sock, side, &p) != 0 || p.iph == NULL || p.iph->version != 4 || p.iph->protocol != IPPROTO_UDP)
		return;
	off = p.iph->ihl * 4u + 8;
	text = (const uint8_t *)p.iph + off;
	if (p.ip_len < off + 4)
		return;
	if (memcmp(text, "DROP", 4) == 0)
		mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP);
	else if (memcmp(text, "RAW", 3) == 0)
		say("raw", send_raw(mctx, sock, &p));
}

static int watch_raw(mctx_t mctx, char *filter)
{
	union monitor_filter f = { .raw_pkt_filter = filter };
	int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);

	if (sock < 0 || mtcp_bind_monitor_filter(mctx, sock, &f) != 0)
		return -1;
	return mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_NULL, on_frame);
}

int main(int argc, char **argv)
{
	mctx_t mctx = mtcp_create_context(0);
	int sock;

	if (mctx == NULL)
		return complain("act", "no context");
	sock = watch_streams(mctx, NULL);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) != 0)
		return complain("act", "cannot watch");
	if (argc == 3 && strcmp(argv[1], "-r") == 0 && watch_raw(mctx, argv[2]) != 0)
		return complain("act", "cannot watch frames");
	mtcp_app_join(mctx);
	mtcp_destroy_context(mctx);
	return 0;
}
