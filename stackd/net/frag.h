/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Datagrams in pieces: frag.c keeps them, frag_part.c judges a piece, frag_whole.c makes a frame of all.
 */
#ifndef STACKD_NET_FRAG_H
#define STACKD_NET_FRAG_H

#include <sys/queue.h>

#include "stackd/net/priv.h"

enum {
	FRAG_L2_MAX = ETH_HDR + VLAN_HDR,
	FRAG_IP_MAX = IP6_HDR + EXT6_BYTES_MAX,
	FRAG_QUOTE = IP6_FRAG_HDR + 8,
	FRAG_HEAD_MAX = FRAG_L2_MAX + FRAG_IP_MAX + FRAG_QUOTE, /* link header, IP headers, and what an ICMP error quotes besides */
	FRAG_ECN = 3, /* of a type of service */
};

struct frag_piece {
	struct frag_piece *next;
	uint32_t off, len;
	uint8_t data[];
};

struct frag_key {
	struct ipaddr src, dst;
	uint32_t id;
	uint8_t proto, port; /* proto: of IPv4 */
};

struct frag_entry {
	TAILQ_ENTRY(frag_entry) list;
	struct frag_entry *chain;
	struct frag_key key;
	bool condemned;
	uint8_t ecn_seen;      /* bit per codepoint */
	uint8_t l2_len, next;  /* next: of IPv6, what the pieces are */
	uint16_t ip_len;       /* of the headers before them */
	uint16_t named_at;     /* where in these the field is that shall say `next` */
	uint8_t head[FRAG_HEAD_MAX];
	uint32_t head_len;     /* 0: the first fragment has not come */
	uint16_t flags;        /* of the first fragment's frame */
	uint32_t total;        /* bytes of payload; 0: not known */
	uint32_t have;
	unsigned pieces;
	struct frag_piece *first, *last; /* by offset */
	uint64_t until_us;
};

/* One fragment, checked. */
struct frag_part {
	const uint8_t *data;
	uint32_t off, len;
	bool more;
	uint16_t ip_len, named_at;
	uint8_t next;
};

/* frag_part.c: false: it is wrong, and of IPv6 *err says what is told (EXT6_SILENT: nothing) */
bool frag_part_parse(const struct pkt *p, struct frag_part *f);
bool frag_part_parse6(const struct pkt *p, const struct ext6 *e, struct frag_part *f, struct icmp6_error *err);

/* frag_whole.c: a frame of its own, valid from its link header on; NULL: too long, no memory, or too many are out. */
struct pkt *frag_whole(const struct frag_entry *e);

#endif
