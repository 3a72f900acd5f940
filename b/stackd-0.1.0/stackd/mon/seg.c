/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A frame, parsed once: link header with up to two VLAN tags, IPv4 or IPv6, TCP with the options that matter to who watches.
 */
#include <string.h>

#include "stackd/mon/flow.h"
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"
#include "stackd/tcp/seg.h"

enum {
	ETH_TYPE_QINQ_OLD = 0x9100,
	VLANS_MAX = 2,
	IP6_EXTENSIONS_MAX = 8,
	IP6_HOP_BY_HOP = 0,
	IP6_ROUTING = 43,
	IP6_FRAGMENT = 44,
	IP6_AUTH = 51,
	IP6_DEST = 60,
	TCP_HDR = 20,
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_WS = 3,
	OPT_TS = 8,
};

/* --- Hash ---------------------------------------------------------------------------------------------------------------- */

uint32_t mon_tuple_hash(uint64_t seed, const struct ipaddr *own, uint16_t own_port, const struct ipaddr *peer,
			uint16_t peer_port)
{
	uint64_t a, b;

	if (is_ip4(own) && is_ip4(peer))
		return (uint32_t)net_keyed_hash(seed, (uint64_t)own->w[3] << 32 | peer->w[3],
						(uint64_t)own_port << 16 | peer_port);
	memcpy(&a, own->b, 8);
	memcpy(&b, own->b + 8, 8);
	seed ^= net_keyed_hash(seed, a, b);
	memcpy(&a, peer->b, 8);
	memcpy(&b, peer->b + 8, 8);
	return (uint32_t)net_keyed_hash(seed ^ net_keyed_hash(seed, a, b), own_port, peer_port);
}

/* --- TCP ------------------------------------------------------------------------------------------------------------------ */

/* Options end where one makes no sense: that is what receivers do, and the segment is good all the same. */
static void options(struct mon_seg *s, const uint8_t *opt, const uint8_t *end)
{
	while (opt < end && *opt != OPT_END) {
		if (*opt == OPT_NOP) {
			opt++;
			continue;
		}
		if (end - opt < 2 || opt[1] < 2 || opt[1] > end - opt)
			return;
		if (opt[0] == OPT_WS && opt[1] == 3) {
			s->has_ws = true;
			s->shift = opt[2];
		} else if (opt[0] == OPT_TS && opt[1] == 10) {
			s->has_ts = true;
			s->ts_val = get32(opt + 2);
			s->ts_ecr = get32(opt + 6);
		}
		opt += opt[1];
	}
}

static uint64_t pseudo(const struct mon_seg *s, const uint8_t *ip, uint32_t len)
{
	uint8_t tail[8] = { 0 };

	if (s->version == 4)
		return csum_pseudo4(ip, PROTO_TCP, (uint16_t)len);
	put32(tail, len);
	tail[7] = PROTO_TCP;
	return csum_add(csum_add(0, s->src.b, 32), tail, sizeof(tail));
}

static bool checksum_good(const struct pkt *p, const struct mon_seg *s, const uint8_t *tcp, uint32_t len)
{
	if ((p->flags & (PKT_L4_GOOD | PKT_TX_L4_CSUM)) != 0)
		return true;
	return csum_finish(csum_add(pseudo(s, p->data + s->l3_off, len), tcp, len)) == 0;
}

static enum mon_seg_kind tcp_parse(const struct pkt *p, struct mon_seg *s, uint64_t seed)
{
	const uint8_t *tcp = p->data + s->l4_off;
	uint32_t len = s->l3_off + s->l3_len - s->l4_off, have = p->len - s->l4_off, hdr;

	if (have > len)
		have = len;
	if (have < TCP_HDR)
		return MON_SEG_BAD_TCP;
	hdr = (uint32_t)(tcp[12] >> 4) * 4;
	if (hdr < TCP_HDR || hdr > have || !checksum_good(p, s, tcp, len))
		return MON_SEG_BAD_TCP;
	s->sport = get16(tcp);
	s->dport = get16(tcp + 2);
	s->seq = get32(tcp + 4);
	s->ack = get32(tcp + 8);
	s->flags = tcp[13];
	s->wnd = get16(tcp + 14);
	s->text_off = (uint16_t)(s->l4_off + hdr);
	s->text_len = (uint16_t)(have - hdr);
	s->wire_text = len - hdr;
	options(s, tcp + TCP_HDR, tcp + hdr);
	s->hash = mon_tuple_hash(seed, &s->src, s->sport, &s->dst, s->dport);
	return MON_SEG_TCP;
}

/* --- IP ------------------------------------------------------------------------------------------------------------------- */

static void hash_addresses(struct mon_seg *s, uint64_t seed)
{
	uint32_t a = mon_tuple_hash(seed, &s->src, 0, &s->dst, 0), b = mon_tuple_hash(seed, &s->dst, 0, &s->src, 0);

	s->hash = a ^ b; /* the same for both directions */
}

static enum mon_seg_kind ip4_parse(const struct pkt *p, struct mon_seg *s, uint64_t seed)
{
	const uint8_t *ip = p->data + s->l3_off;
	uint32_t have = p->len - s->l3_off, hdr, total;

	if (have < IP4_HDR || ip[0] >> 4 != 4)
		return MON_SEG_BAD_IP;
	hdr = (ip[0] & 15u) * 4;
	total = get16(ip + 2);
	if (hdr < IP4_HDR || hdr > have || total < hdr)
		return MON_SEG_BAD_IP;
	if ((p->flags & (PKT_IP_GOOD | PKT_TX_IP_CSUM)) == 0 && csum_finish(csum_add(0, ip, hdr)) != 0)
		return MON_SEG_BAD_IP;
	s->version = 4;
	s->proto = ip[9];
	s->l3_len = (uint16_t)total;
	if (total > have)
		return MON_SEG_BAD_IP; /* nobody can say whether the rest was right */
	s->src = from_ip4(get32(ip + 12));
	s->dst = from_ip4(get32(ip + 16));
	s->l4_off = (uint16_t)(s->l3_off + hdr);
	if ((get16(ip + 6) & (IP4_MF | IP4_OFFSET)) != 0)
		return MON_SEG_FRAG;
	return s->proto == PROTO_TCP ? tcp_parse(p, s, seed) : MON_SEG_IP;
}

static bool is_extension(uint8_t next)
{
	return next == IP6_HOP_BY_HOP || next == IP6_ROUTING || next == IP6_FRAGMENT || next == IP6_DEST || next == IP6_AUTH;
}

static enum mon_seg_kind ip6_parse(const struct pkt *p, struct mon_seg *s, uint64_t seed)
{
	const uint8_t *ip = p->data + s->l3_off;
	uint32_t have = p->len - s->l3_off, at = IP6_HDR, total;
	bool fragment = false;
	uint8_t next;

	if (have < IP6_HDR || ip[0] >> 4 != 6)
		return MON_SEG_BAD_IP;
	total = IP6_HDR + get16(ip + 4);
	if (total > have || total > UINT16_MAX)
		return MON_SEG_BAD_IP;
	s->version = 6;
	s->l3_len = (uint16_t)total;
	if (have > total)
		have = total;
	memcpy(s->src.b, ip + 8, 16);
	memcpy(s->dst.b, ip + 24, 16);
	next = ip[6];
	for (unsigned n = 0; n < IP6_EXTENSIONS_MAX && is_extension(next); n++) {
		const uint8_t *ext = ip + at;
		uint32_t len;

		if (have - at < 8)
			return MON_SEG_BAD_IP;
		if (next == IP6_FRAGMENT && (get16(ext + 2) & 0xfff9) != 0) {
			fragment = true;
			break;
		}
		/* RFC 6946: a fragment header around the whole is like any other */
		len = next == IP6_FRAGMENT ? 8 : next == IP6_AUTH ? (ext[1] + 2u) * 4 : (ext[1] + 1u) * 8;
		if (len > have - at)
			return MON_SEG_BAD_IP;
		next = ext[0];
		at += len;
	}
	s->proto = next;
	s->l4_off = (uint16_t)(s->l3_off + at);
	if (fragment)
		return MON_SEG_FRAG;
	return next == PROTO_TCP ? tcp_parse(p, s, seed) : MON_SEG_IP;
}

void mon_seg_parse(const struct pkt *p, uint64_t seed, struct mon_seg *s)
{
	uint32_t at = 12;
	uint16_t type = 0;

	memset(s, 0, sizeof(*s));
	s->kind = MON_SEG_OTHER;
	for (unsigned n = 0; n <= VLANS_MAX; n++) {
		if (p->len < at + 2)
			return;
		type = get16(p->data + at);
		if (type != ETH_TYPE_VLAN && type != ETH_TYPE_QINQ && type != ETH_TYPE_QINQ_OLD)
			break;
		at += VLAN_HDR;
	}
	s->l3_off = (uint16_t)(at + 2);
	if (type == ETH_TYPE_IP4)
		s->kind = ip4_parse(p, s, seed);
	else if (type == ETH_TYPE_IP6)
		s->kind = ip6_parse(p, s, seed);
	if (s->kind != MON_SEG_TCP)
		hash_addresses(s, seed);
}
