/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments as bytes: options parsed and written, a segment built.  RFC 9293 3.1 and 3.2, 7323, 2018.
 */
#ifndef STACKD_TCP_SEG_H
#define STACKD_TCP_SEG_H

#include <stdbool.h>
#include <stdint.h>

#include "stackd/net/net.h"

enum seg_flags { SEG_FIN = 1, SEG_SYN = 2, SEG_RST = 4, SEG_PSH = 8, SEG_ACK = 16, SEG_URG = 32,
                 SEG_ECE = 64, SEG_CWR = 128 };

enum seg_has { SEG_HAS_MSS = 1, SEG_HAS_WS = 2, SEG_HAS_TS = 4, SEG_HAS_SACK_OK = 8 };

enum {
	SEG_HDR = 20,
	SEG_OPT_MAX = 40,
	SEG_SACKS = 4,
	SEG_TS_LEN = 12, /* timestamps with their padding */
	SEG_MSS_DEFAULT = 536,   /* RFC 9293, 3.7.1 */
	SEG_MSS_DEFAULT6 = 1220, /* the same for IPv6 */
	SEG_SHIFT_MAX = 14,    /* RFC 7323, 2.3 */
};

struct seg_sack {
	uint32_t from, to;
};

struct seg_opts {
	uint8_t has;   /* enum seg_has */
	uint8_t shift; /* at most SEG_SHIFT_MAX */
	uint8_t sacks;
	uint16_t mss;
	uint32_t ts_val, ts_ecr;
	struct seg_sack sack[SEG_SACKS];
};

/* What a peer takes whose SYN does not say. */
static inline uint16_t seg_mss_default(const struct ipaddr *peer)
{
	return net_is_ip4(peer) ? SEG_MSS_DEFAULT : SEG_MSS_DEFAULT6;
}

/* Sequence number comparison, RFC 9293 3.4. */
static inline bool seq_lt(uint32_t a, uint32_t b) { return (int32_t)(a - b) < 0; }
static inline bool seq_le(uint32_t a, uint32_t b) { return (int32_t)(a - b) <= 0; }
static inline bool seq_gt(uint32_t a, uint32_t b) { return (int32_t)(a - b) > 0; }
static inline bool seq_ge(uint32_t a, uint32_t b) { return (int32_t)(a - b) >= 0; }

/* false: something is malformed, and what can be read counts: an option of the wrong length for its kind is passed over, and behind a
 * length of 0 or 1, or one that runs over the end, nothing is read (RFC 9293 3.1, MUST-7). */
bool seg_parse(const uint8_t *opt, unsigned len, struct seg_opts *o);

/* Bytes that o takes, a multiple of four; written to p where that is not NULL (room for SEG_OPT_MAX). */
unsigned seg_options(const struct seg_opts *o, uint8_t *p);

/* A segment to be sent. */
struct seg_out {
	struct ipaddr src, dst;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint16_t wnd;
	uint8_t flags;
	uint8_t ttl, tos;
	bool may_fragment; /* IPv4: without DF */
	struct seg_opts opts;
};

/* A frame with all headers and `text_len` bytes of room at *text.  NULL: no route or no buffer (counted by net/).  The caller
 * fills the text and calls net_send(). */
struct pkt *seg_build(struct net *net, const struct seg_out *s, uint16_t text_len, uint8_t **text);

#endif
