/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which engine a flow belongs to: the Toeplitz hash that network cards use for receive-side scaling, in plain C, so that
 * stackd and libshim agree with the hardware (and with DPDK's rte_softrss) without linking DPDK.
 *
 * The default key repeats 0x6d5a: then the hash is symmetric, hash(a, b, p, q) == hash(b, a, q, p), and both directions
 * of a flow meet on one engine.  The engine is reta[hash % SHM_RETA_SIZE].
 *
 * Thread-safety: pure functions.
 */
#ifndef SHM_RSS_H
#define SHM_RSS_H

#include <string.h>

#include "shm/proto.h"

enum {
	RSS_TUPLE4_SIZE = 12, /* IPv4: source, destination, source port, destination port */
	RSS_TUPLE6_SIZE = 36,
};

static inline void rss_default_key(uint8_t key[SHM_RSS_KEY_SIZE])
{
	for (unsigned i = 0; i < SHM_RSS_KEY_SIZE; i++)
		key[i] = i % 2 ? 0x5a : 0x6d;
}

/* Toeplitz hash of len bytes as they stand in the packet.  len <= SHM_RSS_KEY_SIZE - 4. */
static inline uint32_t rss_hash(const uint8_t key[SHM_RSS_KEY_SIZE], const uint8_t *in, unsigned len)
{
	uint32_t window = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];
	uint32_t hash = 0;

	for (unsigned i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			if (in[i] & 0x80u >> bit)
				hash ^= window;
			window = window << 1 | (key[i + 4] >> (7 - bit) & 1);
		}
	}
	return hash;
}

/* The hash of an IPv4 TCP flow.  Addresses v4-mapped, ports in host order. */
static inline uint32_t rss_hash_tcp4(const uint8_t key[SHM_RSS_KEY_SIZE], const struct ipaddr *src,
                                     const struct ipaddr *dst, uint16_t sport, uint16_t dport)
{
	uint8_t in[RSS_TUPLE4_SIZE];

	memcpy(in, &src->w[3], 4);
	memcpy(in + 4, &dst->w[3], 4);
	in[8] = (uint8_t)(sport >> 8);
	in[9] = (uint8_t)sport;
	in[10] = (uint8_t)(dport >> 8);
	in[11] = (uint8_t)dport;
	return rss_hash(key, in, sizeof(in));
}

/* The same for IPv6. */
static inline uint32_t rss_hash_tcp6(const uint8_t key[SHM_RSS_KEY_SIZE], const struct ipaddr *src,
                                     const struct ipaddr *dst, uint16_t sport, uint16_t dport)
{
	uint8_t in[RSS_TUPLE6_SIZE] = {[32] = (uint8_t)(sport >> 8), (uint8_t)sport, (uint8_t)(dport >> 8), (uint8_t)dport};

	memcpy(in, src, 16);
	memcpy(in + 16, dst, 16);
	for (unsigned i = 0; i < 32; i += 16)
		if (in[i] == 0xfe && (in[i + 1] & 0xc0) == 0x80)
			in[i + 3] = 0; /* the port's number is not on the wire */
	return rss_hash(key, in, sizeof(in));
}

#endif
