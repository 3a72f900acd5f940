/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The Internet checksum (RFC 1071).  Sums are kept unfolded in 64 bits, in the byte order of memory, so that a result is
 * stored into a header with memcpy and no swap.
 *
 * Thread-safety: pure functions.
 */
#ifndef STACKD_NIC_CSUM_H
#define STACKD_NIC_CSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t csum_plus(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v);
}

/* Add len bytes that begin at an even offset of what is summed. */
static inline uint64_t csum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		sum = csum_plus(sum, v);
	}
	if (len == 0)
		return sum;
	v = 0;
	memcpy(&v, p, len);
	return csum_plus(sum, v);
}

/* Sixteen bits, not complemented. */
static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* What goes into a header's checksum field. */
static inline uint16_t csum_finish(uint64_t sum)
{
	return (uint16_t)~csum_fold(sum);
}

/* The pseudo-header of RFC 9293, 3.1: addresses as they stand in the IPv4 header at ip, l4_len in host order. */
static inline uint64_t csum_pseudo4(const uint8_t *ip, uint8_t proto, uint16_t l4_len)
{
	const uint8_t tail[4] = {0, proto, (uint8_t)(l4_len >> 8), (uint8_t)l4_len};

	return csum_add(csum_add(0, ip + 12, 8), tail, sizeof(tail));
}

/* The pseudo-header of RFC 8200, 8.1: addresses as they stand in the IPv6 header at ip. */
static inline uint64_t csum_pseudo6(const uint8_t *ip, uint8_t proto, uint32_t l4_len)
{
	const uint8_t tail[8] = {(uint8_t)(l4_len >> 24), (uint8_t)(l4_len >> 16), (uint8_t)(l4_len >> 8), (uint8_t)l4_len, 0, 0, 0,
	                         proto};

	return csum_add(csum_add(0, ip + 8, 32), tail, sizeof(tail));
}

#endif
