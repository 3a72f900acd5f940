/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a piece of a datagram says about itself, and whether it can be believed; see frag.h.
 */
#include "stackd/net/frag.h"

enum {
	TCP_MIN = 20,      /* RFC 3128, RFC 1858 */
	PROBLEM_FIELD = 0,
	PROBLEM_CHAIN = 3, /* RFC 7112, 5 */
};

/* The ping of death, fragments that move a TCP header about, and other nonsense. */
bool frag_part_parse(const struct pkt *p, struct frag_part *f)
{
	uint16_t word = get16(p->data + p->l3_off + 6);
	uint32_t ihl = (uint32_t)(p->l4_off - p->l3_off);

	f->data = p->data + p->l4_off;
	f->off = (word & (uint32_t)IP4_OFFSET) * 8;
	f->len = p->l3_len - ihl;
	f->more = word & IP4_MF;
	f->ip_len = (uint16_t)ihl;
	if (f->len == 0 || (f->more && f->len % 8) || ihl + f->off + f->len > UINT16_MAX)
		return false;
	if (p->proto == PROTO_TCP && (f->off == 8 || (f->off == 0 && f->len < TCP_MIN)))
		return false;
	return true;
}

/* RFC 7112: the first fragment holds all headers, or nobody could judge it. */
static bool chain_is_whole(const struct pkt *p, const struct ext6 *e)
{
	const uint8_t *ip = p->data + p->l3_off;
	struct ext6 rest = {.next = ip[e->off], .off = (uint16_t)(e->off + IP6_FRAG_HDR), .named_at = e->off};
	uint32_t need;

	if (!ext6_walk(ip, p->l3_len, &rest))
		return false;
	need = rest.next == PROTO_TCP ? TCP_MIN : rest.next == PROTO_ICMP6 || rest.next == PROTO_UDP ? 8 : 0;
	return p->l3_len >= rest.off + need;
}

bool frag_part_parse6(const struct pkt *p, const struct ext6 *e, struct frag_part *f, struct icmp6_error *err)
{
	const uint8_t *hdr = p->data + p->l3_off + e->off;
	uint16_t word = get16(hdr + 2);

	*f = (struct frag_part){
		.data = hdr + IP6_FRAG_HDR,
		.off = word & (uint32_t)IP6_OFFSET,
		.len = p->l3_len - e->off - (uint32_t)IP6_FRAG_HDR,
		.more = word & IP6_MORE,
		.ip_len = e->off,
		.named_at = e->named_at,
		.next = hdr[0],
	};
	if (f->more && f->len % 8) {
		*err = (struct icmp6_error){ICMP6_PARAMETER, PROBLEM_FIELD, 4, false}; /* the payload's length */
		return false;
	}
	if (e->off - (uint32_t)IP6_HDR + f->off + f->len > UINT16_MAX) {
		*err = (struct icmp6_error){ICMP6_PARAMETER, PROBLEM_FIELD, e->off + 2u, false};
		return false;
	}
	if (f->off == 0 && !chain_is_whole(p, e)) {
		*err = (struct icmp6_error){ICMP6_PARAMETER, PROBLEM_CHAIN, 0, false};
		return false;
	}
	return f->len > 0;
}
