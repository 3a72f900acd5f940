/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames of IPv6 for fuzz_frames.c, which includes this behind its rnd() and ours6: made good, then spoilt by its mutations; and checksums put right behind whatever headers.
 */
#ifndef TESTS_FUZZ_FRAMES6_H
#define TESTS_FUZZ_FRAMES6_H

#include <string.h>

#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

static const struct ipaddr peer6 = {.b = {0xfd, [15] = 2}};

static unsigned ip6_head(uint8_t *f, uint8_t next, unsigned len)
{
	static const struct ipaddr all_nodes = {.b = {0xff, 2, [15] = 1}}, none, local = {.b = {0xfe, 0x80, [15] = 2}};
	const struct ipaddr *src = rnd(8) ? &peer6 : rnd(2) ? &local : rnd(2) ? &none : &ours6;
	struct ipaddr group = ip6_group_of(&ours6);
	const struct ipaddr *dst = rnd(8) ? &ours6 : rnd(2) ? &all_nodes : &group;

	memcpy(f, is_group6(dst) ? "\x33\x33\0\0\0\1\2\0\0\0\0\2\x86\xdd" : "\2\0\0\0\0\1\2\0\0\0\0\2\x86\xdd", 14);
	memset(f + 14, 0, 40);
	f[14] = 0x60;
	put16(f + 18, (uint16_t)len);
	f[20] = next;
	f[21] = rnd(2) ? 255 : 64;
	memcpy(f + 22, src, 16);
	memcpy(f + 38, dst, 16);
	return 54 + len;
}

static unsigned make6_tcp(uint8_t *f)
{
	unsigned opt = rnd(11) * 4, text = rnd(100);

	for (unsigned i = 0; i < 20 + opt + text; i++)
		f[54 + i] = (uint8_t)rnd(256);
	f[54 + 12] = (uint8_t)((20 + opt) / 4 << 4);
	return ip6_head(f, PROTO_TCP, 20 + opt + text);
}

/* Up to twelve headers, and a segment behind them. */
static unsigned make6_chain(uint8_t *f)
{
	static const uint8_t kind[] = {PROTO_DEST, PROTO_DEST, PROTO_ROUTING, PROTO_HOP_BY_HOP, PROTO_FRAGMENT, 51};
	uint8_t first = rnd(2) ? PROTO_HOP_BY_HOP : PROTO_DEST, *at = f + 54;

	for (unsigned n = rnd(12) + 1; n > 0; n--) {
		unsigned len = 8 * (1 + rnd(3));

		memset(at, 0, len);
		at[0] = n > 1 ? kind[rnd(sizeof(kind))] : PROTO_TCP;
		at[1] = (uint8_t)(len / 8 - 1);
		at[2] = rnd(3) ? 1 : (uint8_t)rnd(256);
		at[3] = rnd(4) ? (uint8_t)(len - 4) : (uint8_t)rnd(len);
		if (rnd(4) == 0)
			at[3] = 0; /* a routing header that is done */
		at += len;
	}
	memset(at, 0, 20);
	put16(at, 4000);
	put16(at + 2, 80);
	at[12] = 5 << 4;
	return ip6_head(f, first, (unsigned)(at + 20 - (f + 54)));
}

static unsigned make6_fragment(uint8_t *f)
{
	unsigned len = 8 + rnd(10) * 8;

	memset(f + 54, 0, 8);
	f[54] = rnd(2) ? PROTO_TCP : rnd(2) ? PROTO_ICMP6 : PROTO_DEST;
	put16(f + 56, (uint16_t)(rnd(40) * 8 | (rnd(4) != 0)));
	f[61] = (uint8_t)rnd(4);
	memset(f + 62, 0x55, len);
	if (f[54] == PROTO_DEST)
		memcpy(f + 62, "\6\0\1\4\0\0\0\0", 8);
	return ip6_head(f, PROTO_FRAGMENT, 8 + len);
}

static unsigned make6_icmp(uint8_t *f)
{
	static const uint8_t type[] = {1, 2, 3, 4, 128, 129, 130, 131, 132, 133, 134, 137, 143};
	uint8_t *m = f + 54;
	unsigned len = 8 + rnd(80);

	memset(m, 0, len);
	m[0] = rnd(8) ? type[rnd(sizeof(type))] : (uint8_t)rnd(256);
	m[1] = rnd(2) ? 0 : (uint8_t)rnd(16);
	put32(m + 4, rnd(2) ? rnd(3000) : rnd(0xffffffff));
	if (len >= 56 && m[0] < 128) {
		m[8] = 0x60;
		m[14] = PROTO_TCP;
		memcpy(m + 16, &ours6, 16);
		memcpy(m + 32, &peer6, 16);
	}
	return ip6_head(f, PROTO_ICMP6, len);
}

static unsigned make6_nd(uint8_t *f)
{
	uint8_t *m = f + 54;
	unsigned options = rnd(4);

	memset(m, 0, 24 + 8 * options);
	m[0] = rnd(2) ? ICMP6_SOLICIT : ICMP6_ADVERT;
	m[4] = (uint8_t)rnd(256);
	memcpy(m + 8, rnd(2) ? &ours6 : &peer6, 16);
	if (rnd(4) == 0)
		m[23] = (uint8_t)rnd(256);
	for (unsigned i = 0; i < options; i++) {
		m[24 + 8 * i] = (uint8_t)(1 + rnd(3));
		m[25 + 8 * i] = (uint8_t)(rnd(8) ? 1 : rnd(256));
		m[26 + 8 * i] = 2;
		m[31 + 8 * i] = (uint8_t)rnd(20);
	}
	return ip6_head(f, PROTO_ICMP6, 24 + 8 * options);
}

/* The checksum of what follows the extension headers, fragments excepted. */
static void put_right6(uint8_t *f, unsigned len)
{
	uint8_t *ip = f + 14, next;
	uint32_t off, total, at;
	uint16_t sum;

	if (len < 54 || get16(f + 12) != ETH_TYPE_IP6)
		return;
	total = 40u + get16(ip + 4);
	if (14 + total > len)
		return;
	next = ext6_skip(ip, total, &off);
	at = next == PROTO_TCP ? 16 : next == PROTO_ICMP6 ? 2 : 0;
	if (at == 0 || off + at + 2 > total)
		return;
	put16(ip + off + at, 0);
	sum = csum_finish(csum_add(csum_pseudo6(ip, next, total - off), ip + off, total - off));
	memcpy(ip + off + at, &sum, 2);
}

#endif
