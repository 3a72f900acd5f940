/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which engine a frame belongs to.  The Toeplitz hash of shm/rss.h, here by a table of one word per byte position and
 * value, since it is computed for every frame.
 *
 * TCP is spread by addresses and ports.  A fragment has no ports (or only the first has), so all fragments of a datagram
 * go by addresses to one engine, and the whole datagram is steered again after reassembly.  An ICMP error goes where
 * the packet that it quotes came from.
 */
#include "shm/rss.h"
#include "stackd/net/priv.h"

enum { IP6_FRAGMENT = 44 };

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

uint32_t net_tuple_hash(const struct net *net, const struct ipaddr *a, const struct ipaddr *b, uint16_t aport, uint16_t bport)
{
	uint8_t ports[4];

	put16(ports, aport);
	put16(ports + 2, bport);
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
	return type == 0 || type == 43 || type == 60; /* hop by hop, routing, destination (RFC 8200, 4) */
}

static bool is_whole(uint8_t type, const uint8_t *ext)
{
	return type == IP6_FRAGMENT && (get16(ext + 2) & 0xfff9) == 0;
}

/* Where the headers end that are looked through; next gets what comes there. */
static uint32_t ip6_chain(const uint8_t *ip, uint32_t len, uint8_t *next)
{
	uint32_t off = IP6_HDR;

	*next = ip[6];
	for (unsigned i = 0; i < 8 && len >= off + 8 && (is_ip6_option(*next) || is_whole(*next, ip + off)); i++) {
		uint32_t size = *next == IP6_FRAGMENT ? 8 : (ip[off + 1] + 1u) * 8;

		*next = ip[off];
		off += size;
	}
	return off;
}

/* ip: len bytes that begin with an IPv6 header.  Addresses are folded; a fragment has no ports, unless it is the whole (RFC 6946). */
static uint32_t hash_ip6(const struct net *net, const uint8_t *ip, uint32_t len)
{
	uint8_t folded[8] = {0}, next;
	uint32_t off = ip6_chain(ip, len, &next), hash;

	for (unsigned i = 0; i < 32; i++)
		folded[i / 16 * 4 + i % 4] ^= ip[8 + i];
	hash = hash_bytes(net, 0, folded, sizeof(folded));
	if (next == PROTO_TCP && len >= off + 4)
		hash ^= hash_bytes(net, 8, ip + off, 4);
	return hash;
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
	if (type == ETH_TYPE_IP6 && len >= IP6_HDR) {
		*all = false;
		return hash_ip6(net, ip, len);
	}
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
	return next == IP6_FRAGMENT && p->len - off >= at + 8;
}
