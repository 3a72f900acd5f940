/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which engine a frame belongs to.  The Toeplitz hash of shm/rss.h, here by a table of one word per byte position and
 * value, since it is computed for every frame.
 *
 * TCP is spread by addresses and ports.  A fragment has no ports (or only the first has), so all fragments of a datagram
 * go by addresses to one engine, and the whole datagram is steered again after reassembly.  An ICMP error goes where
 * the packet that it quotes came from.
 *
 * Addresses of IPv6 are folded into 32 bits each: with a key of two bytes that repeat, as ours is, that gives the very hash that
 * hardware computes over all of them.
 */
#include "shm/rss.h"
#include "stackd/net/priv.h"

void steer_init(struct net *net)
{
	static const uint8_t none[SHM_RSS_KEY_SIZE];
	uint8_t in[RSS_TUPLE4_SIZE] = {0};

	if (memcmp(net->conf.rss_key, none, sizeof(none)) == 0)
		rss_default_key(net->conf.rss_key);
	for (unsigned i = 0; i < RSS_TUPLE4_SIZE; i++) {
		for (unsigned v = 0; v < 256; v++) {
			in[i] = (uint8_t)v;
			net->steer[i][v] = rss_hash(net->conf.rss_key, in, sizeof(in));
		}
		in[i] = 0;
	}
}

static uint32_t hash_bytes(const struct net *net, unsigned first, const uint8_t *in, unsigned len)
{
	uint32_t hash = 0;

	for (unsigned i = 0; i < len; i++)
		hash ^= net->steer[first + i][in[i]];
	return hash;
}

uint32_t steer_hash4(const struct net *net, uint32_t src, uint32_t dst)
{
	uint8_t in[8];

	put32(in, src);
	put32(in + 4, dst);
	return hash_bytes(net, 0, in, sizeof(in));
}

/* The fourth byte of a link-local address is not the wire's (net_zone). */
static void fold(uint8_t to[4], const uint8_t addr[16])
{
	for (unsigned i = 0; i < 16; i++)
		to[i % 4] ^= addr[i];
	if (addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80)
		to[3] ^= addr[3];
}

static uint32_t hash_folded(const struct net *net, const uint8_t src[16], const uint8_t dst[16])
{
	uint8_t folded[8] = {0};

	fold(folded, src);
	fold(folded + 4, dst);
	return hash_bytes(net, 0, folded, sizeof(folded));
}

uint32_t net_tuple_hash(const struct net *net, const struct ipaddr *a, const struct ipaddr *b, uint16_t aport, uint16_t bport)
{
	uint8_t ports[4];

	put16(ports, aport);
	put16(ports + 2, bport);
	if (!is_ip4(a))
		return hash_folded(net, a->b, b->b) ^ hash_bytes(net, 8, ports, 4);
	return hash_bytes(net, 0, a->b + 12, 4) ^ hash_bytes(net, 4, b->b + 12, 4) ^ hash_bytes(net, 8, ports, 4);
}

/* ip: len bytes that begin with an IPv4 header, perhaps a quoted one. */
static uint32_t hash_ip(const struct net *net, const uint8_t *ip, uint32_t len)
{
	uint32_t ihl = (ip[0] & 15u) * 4, hash;

	hash = hash_bytes(net, 0, ip + 12, 8);
	if (ip[9] == PROTO_TCP && ihl >= IP4_HDR && len >= ihl + 4 && (get16(ip + 6) & (IP4_MF | IP4_OFFSET)) == 0)
		hash ^= hash_bytes(net, 8, ip + ihl, 4);
	return hash;
}

static bool is_ip6_option(uint8_t type)
{
	return type == PROTO_HOP_BY_HOP || type == PROTO_ROUTING || type == PROTO_DEST; /* RFC 8200, 4 */
}

static bool is_whole(uint8_t type, const uint8_t *ext)
{
	return type == PROTO_FRAGMENT && (get16(ext + 2) & IP6_OFFSET_MORE) == 0;
}

/* Where the headers end that are looked through; next gets what comes there. */
static uint32_t ip6_chain(const uint8_t *ip, uint32_t len, uint8_t *next)
{
	uint32_t off = IP6_HDR;

	*next = ip[6];
	for (unsigned i = 0; i < 8 && len >= off + 8 && (is_ip6_option(*next) || is_whole(*next, ip + off)); i++) {
		uint32_t size = *next == PROTO_FRAGMENT ? IP6_FRAG_HDR : (ip[off + 1] + 1u) * 8;

		*next = ip[off];
		off += size;
	}
	return off;
}

/* ip: len bytes that begin with an IPv6 header, perhaps a quoted one.  A fragment has no ports, unless it is the whole (RFC 6946). */
static uint32_t hash_ip6(const struct net *net, const uint8_t *ip, uint32_t len)
{
	uint32_t off, hash = hash_folded(net, ip + 8, ip + 24);
	uint8_t next;

	off = ip6_chain(ip, len, &next);
	if (next == PROTO_TCP && len >= off + 4)
		hash ^= hash_bytes(net, 8, ip + off, 4);
	return hash;
}

/* Neighbour discovery and multicast listeners concern every engine; an error goes with the packet that it quotes. */
static uint32_t steer6(const struct net *net, const uint8_t *ip, uint32_t len, bool *all)
{
	uint8_t next;
	uint32_t off = ip6_chain(ip, len, &next);

	*all = false;
	if (next == PROTO_ICMP6 && len > off) {
		uint8_t type = ip[off];

		*all = type >= ICMP6_MLD_QUERY && type <= ICMP6_REDIRECT;
		if (type < ICMP6_ECHO_REQUEST && len >= off + ICMP_HDR + IP6_HDR)
			return hash_ip6(net, ip + off + ICMP_HDR, len - off - ICMP_HDR);
	}
	return hash_ip6(net, ip, len);
}

static bool is_icmp_error(const uint8_t *ip, uint32_t len, uint32_t ihl)
{
	uint8_t type;

	if (ip[9] != PROTO_ICMP || ihl < IP4_HDR || len < ihl + ICMP_HDR + IP4_HDR || get16(ip + 6) & (IP4_MF | IP4_OFFSET))
		return false;
	type = ip[ihl];
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER;
}

uint32_t net_steer_hash(const struct net *net, const struct pkt *p, bool *all)
{
	uint32_t off, len, ihl;
	const uint8_t *ip;
	uint16_t type;

	*all = true;
	off = net_l3_off(p->data, p->len, &type);
	if (off == 0)
		return 0;
	ip = p->data + off;
	len = p->len - off;
	if (type == ETH_TYPE_IP6 && len >= IP6_HDR)
		return steer6(net, ip, len, all);
	if (type != ETH_TYPE_IP4 || len < IP4_HDR)
		return 0;
	*all = false;
	ihl = (ip[0] & 15u) * 4;
	if (is_icmp_error(ip, len, ihl))
		return hash_ip(net, ip + ihl + ICMP_HDR, len - ihl - ICMP_HDR);
	return hash_ip(net, ip, len);
}

bool net_is_fragment(const struct pkt *p)
{
	uint16_t type;
	uint32_t off = net_l3_off(p->data, p->len, &type), at;
	const uint8_t *ip = p->data + off;
	uint8_t next;

	if (off == 0)
		return false;
	if (type == ETH_TYPE_IP4)
		return p->len - off >= IP4_HDR && (get16(ip + 6) & (IP4_MF | IP4_OFFSET)) != 0;
	if (type != ETH_TYPE_IP6 || p->len - off < IP6_HDR)
		return false;
	at = ip6_chain(ip, p->len - off, &next);
	return next == PROTO_FRAGMENT && p->len - off >= at + 8;
}
