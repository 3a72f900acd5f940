/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of net/ share.  Addresses are plain numbers in host order in here (10.0.0.1 is 0x0a000001); struct ipaddr
 * only at the outside.
 *
 * A frame goes eth_in -> arp_in | ip4_in -> frag_in, icmp_in, or back to the caller as a TCP segment.  Each of these takes
 * the frame over; ip4_in alone hands one back.
 */
#ifndef STACKD_NET_PRIV_H
#define STACKD_NET_PRIV_H

#include <string.h>

#include "stackd/net/net.h"

enum {
	ETH_HDR = 14,
	VLAN_HDR = 4,
	ETH_TYPE_IP4 = 0x0800,
	ETH_TYPE_ARP = 0x0806,
	ETH_TYPE_VLAN = 0x8100,
	ETH_TYPE_QINQ = 0x88a8,
	ETH_TYPE_IP6 = 0x86dd,
	IP4_HDR = 20,
	IP6_HDR = 40,
	IP4_MTU_MIN = 68,
	IP4_DF = 0x4000,
	IP4_MF = 0x2000,
	IP4_OFFSET = 0x1fff, /* in units of 8 bytes */
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER = 12,
	ICMP_FRAG_NEEDED_CODE = 4,
	ICMP_HDR = 8,
};

/* One of our addresses. */
struct net_own {
	uint32_t addr, mask;
	uint32_t broadcast; /* 0: the subnet has none (RFC 3021) */
};

struct net_port {
	struct nic *nic;
	uint16_t vlan, mtu;
	uint8_t l2_len;
	struct net_own own[NET_ADDRS_MAX];
	unsigned owns;
	struct pkt *out[NET_BURST]; /* resolved, to be sent by net_flush() */
	unsigned outs;
	bool told_giant, told_partial; /* named in the log */
};

/* Events that happen at most so often: tokens flow in at rate a second, at most burst are kept. */
struct net_bucket {
	uint32_t rate, burst;
	uint64_t tokens_us; /* tokens * 1000000 */
	uint64_t at_us;
};

struct route_hop {
	uint32_t via; /* 0: on link */
	uint8_t port;
};

struct arp;
struct frag;
struct route;

struct net {
	struct net_conf conf;
	struct stats *stats;
	unsigned queue;
	uint64_t seed;
	uint64_t rng;
	struct net_port port[NET_PORTS_MAX];
	unsigned ports;
	struct arp *arp;
	struct frag *frag;
	struct route *route;
	struct net_bucket icmp_bucket;
	uint16_t ip_id; /* of datagrams that may be fragmented */
	net_icmp_error_fn icmp_error;
	void *icmp_error_arg;
	net_look_fn look;
	void *look_arg;
	uint32_t steer[12][256]; /* Toeplitz by byte position and value */
};

/* eth.c */
struct pkt *eth_in(struct net *net, struct pkt *p, uint64_t now_us); /* a TCP segment, or NULL: disposed of */
void eth_out(struct net *net, struct pkt *p, const uint8_t dst[6], uint16_t type, uint64_t now_us);
struct pkt *eth_alloc(struct net *net, struct net_port *port, uint16_t l3_len);

/* arp.c */
struct arp *arp_create(struct net *net);
void arp_destroy(struct net *net);
void arp_in(struct net *net, struct pkt *p, uint64_t now_us);
/* Send an IP packet to a neighbour; it waits here while the link address is being asked for. */
void arp_send(struct net *net, struct pkt *p, uint32_t hop, uint64_t now_us);
uint64_t arp_tick(struct net *net, uint64_t now_us);

/* ip4.c */
struct pkt *ip4_in(struct net *net, struct pkt *p, uint64_t now_us);
bool ip4_is_own(const struct net *net, unsigned port, uint32_t addr);
bool ip4_is_any_own(const struct net *net, uint32_t addr);
bool ip4_is_unicast(const struct net *net, unsigned port, uint32_t addr); /* may be somebody's address on that port */
/* Send len bytes from src to dst, in fragments when the MTU asks for it.  For ICMP, which TCP's fast path does not share. */
void ip4_send(struct net *net, uint32_t src, uint32_t dst, uint8_t proto, const uint8_t *data, uint32_t len, uint64_t now_us);

/* l4.c: fills p->tcp and p->hash; false: counted */
bool l4_tcp_parse(struct net *net, struct pkt *p);

/* frag.c: takes a fragment; returns the whole datagram when it was the last piece missing. */
struct frag *frag_create(struct net *net);
void frag_destroy(struct net *net);
struct pkt *frag_in(struct net *net, struct pkt *p, uint64_t now_us);
uint64_t frag_tick(struct net *net, uint64_t now_us);

/* icmp.c */
void icmp_in(struct net *net, struct pkt *p, uint64_t now_us);
/* An error about the packet whose IP header and first bytes are quoted. */
void icmp_send_error(struct net *net, uint32_t from, uint32_t to, uint8_t type, uint8_t code, const uint8_t *quoted,
                     uint32_t quoted_len, uint64_t now_us);
void icmp_udp_in(struct net *net, struct pkt *p, uint64_t now_us); /* nobody speaks UDP here */

/* route.c */
struct route *route_create(struct net *net);
void route_destroy(struct route *r);
bool route_find(const struct net *net, uint32_t dst, struct route_hop *hop);

/* steer.c */
void steer_init(struct net *net);
uint32_t steer_hash4(const struct net *net, uint32_t src, uint32_t dst);

/* net.c */
bool net_bucket_take(struct net_bucket *b, uint64_t now_us);
uint64_t net_keyed_hash(uint64_t seed, uint64_t a, uint64_t b);
uint64_t net_random(struct net *net);

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Where the network header begins, behind up to two VLAN tags, and its type; 0: the frame is too short. */
static inline uint32_t net_l3_off(const uint8_t *data, uint32_t len, uint16_t *type)
{
	uint32_t off = 12;

	for (unsigned tags = 0; len >= off + 2; tags++, off += VLAN_HDR) {
		*type = get16(data + off);
		if (tags == 2 || (*type != ETH_TYPE_VLAN && *type != ETH_TYPE_QINQ))
			return off + 2;
	}
	return 0;
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static inline bool is_ip4(const struct ipaddr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

static inline uint32_t to_ip4(const struct ipaddr *a)
{
	return get32(a->b + 12);
}

static inline struct ipaddr from_ip4(uint32_t addr)
{
	struct ipaddr a = {.b = {[10] = 0xff, [11] = 0xff}};

	put32(a.b + 12, addr);
	return a;
}

/* All zeros, of either family. */
static inline bool is_unspecified(const struct ipaddr *a)
{
	return a->w[0] == 0 && a->w[1] == 0 && a->w[3] == 0 && (a->w[2] == 0 || is_ip4(a));
}

static inline uint32_t prefix_mask(unsigned bits)
{
	return bits == 0 ? 0 : ~0u << (32 - bits);
}

#endif
