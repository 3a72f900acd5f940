/* SPDX-License-Identifier: BSD-3-Clause
 *
 * flows_pcap: a capture of many TCP flows at once, for the monitor's benchmarks.
 *
 *	flows_pcap FILE FLOWS CONCURRENT [BYTES]
 *
 * FLOWS connections in all, CONCURRENT of them open at any time; each has a handshake, BYTES (200) of payload from the client, as many from
 * the server, and an orderly close: 10 packets.  Packets come in waves over all open flows, 1 us apart.
 */
#include <arpa/inet.h>
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ETH = 14, IP = 20, TCP = 20, HDRS = ETH + IP + TCP, STEPS = 10, FIN = 1, SYN = 2, PSH = 8, ACK = 16 };

static uint8_t frame[HDRS + 1460];
static pcap_dumper_t *out;
static uint64_t now_us = 1700000000000000ull;

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint16_t sum(const uint8_t *p, uint32_t len, uint32_t start)
{
	for (uint32_t i = 0; i + 1 < len; i += 2)
		start += (uint32_t)p[i] << 8 | p[i + 1];
	if (len % 2 != 0)
		start += (uint32_t)p[len - 1] << 8;
	while (start >> 16 != 0)
		start = (start & 0xffff) + (start >> 16);
	return (uint16_t)~start;
}

static void segment(uint32_t flow, int from_client, uint32_t seq, uint32_t ack, unsigned flags, uint32_t len)
{
	uint32_t client = 0x0a000000 + flow / 50000, server = 0x0b000001;
	uint16_t port = (uint16_t)(10000 + flow % 50000);
	uint8_t *ip = frame + ETH, *tcp = ip + IP;
	struct pcap_pkthdr h = { .caplen = HDRS + len, .len = HDRS + len };

	memset(frame, 0, HDRS);
	frame[12] = 8;
	ip[0] = 0x45;
	put16(ip + 2, IP + TCP + len);
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, from_client ? client : server);
	put32(ip + 16, from_client ? server : client);
	put16(ip + 10, sum(ip, IP, 0));
	put16(tcp, from_client ? port : 80);
	put16(tcp + 2, from_client ? 80 : port);
	put32(tcp + 4, seq);
	put32(tcp + 8, ack);
	tcp[12] = 5 << 4;
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 65535);
	memset(tcp + TCP, 'a' + (int)(flow % 26), len);
	put16(tcp + 16, sum(tcp, TCP + len, (client >> 16) + (client & 0xffff) + (server >> 16) + (server & 0xffff) + 6 + TCP + len));
	h.ts.tv_sec = (time_t)(now_us / 1000000);
	h.ts.tv_usec = (suseconds_t)(now_us % 1000000);
	now_us++;
	pcap_dump((u_char *)out, &h, frame);
}

static void step(uint32_t flow, unsigned n, uint32_t len)
{
	uint32_t c = flow * 977u, s = flow * 1013u + 7;

	switch (n) {
	case 0: segment(flow, 1, c, 0, SYN, 0); break;
	case 1: segment(flow, 0, s, c + 1, SYN | ACK, 0); break;
	case 2: segment(flow, 1, c + 1, s + 1, ACK, 0); break;
	case 3: segment(flow, 1, c + 1, s + 1, ACK | PSH, len); break;
	case 4: segment(flow, 0, s + 1, c + 1 + len, ACK, 0); break;
	case 5: segment(flow, 0, s + 1, c + 1 + len, ACK | PSH, len); break;
	case 6: segment(flow, 1, c + 1 + len, s + 1 + len, ACK, 0); break;
	case 7: segment(flow, 1, c + 1 + len, s + 1 + len, ACK | FIN, 0); break;
	case 8: segment(flow, 0, s + 1 + len, c + 2 + len, ACK | FIN, 0); break;
	default: segment(flow, 1, c + 2 + len, s + 2 + len, ACK, 0); break;
	}
}

int main(int argc, char **argv)
{
	uint32_t flows, open, len, at = 0;
	pcap_t *p = pcap_open_dead(DLT_EN10MB, 65535);

	if (argc < 4 || argc > 5) {
		fprintf(stderr, "usage: flows_pcap FILE FLOWS CONCURRENT [BYTES]\n");
		return 2;
	}
	flows = (uint32_t)strtoul(argv[2], NULL, 10);
	open = (uint32_t)strtoul(argv[3], NULL, 10);
	len = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 200;
	out = p != NULL && len <= 1460 ? pcap_dump_open(p, argv[1]) : NULL;
	if (out == NULL || open == 0) {
		fprintf(stderr, "flows_pcap: %s: %s\n", argv[1], p != NULL ? pcap_geterr(p) : "no memory");
		return 1;
	}
	for (; at < flows; at += open) {
		for (unsigned n = 0; n < STEPS; n++) {
			for (uint32_t i = at; i < at + open && i < flows; i++)
				step(i, n, len);
		}
	}
	pcap_dump_close(out);
	pcap_close(p);
	return 0;
}
