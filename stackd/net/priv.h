/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of net/ share.  IPv4's files have addresses as plain numbers in host order (10.0.0.1 is 0x0a000001); those of
 * IPv6, and of both, have struct ipaddr.
 *
 * A frame goes eth_in -> arp_in | ip4_in | ip6_in -> frag_in, icmp_in, icmp6_in, or back to the caller as a TCP segment.  Each of
 * these takes the frame over; ip4_in and ip6_in alone hand one back.
 *
 * Link-local addresses of IPv6 (fe80::/10) mean something else on each port.  So that one comparison serves all, the number of
 * the port, counted from 1, stands in their fourth byte; on the wire it is zero (net_zone, net_wire).
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
	IP6_MTU_MIN = 1280,
	IP6_FRAG_HDR = 8,
	IP6_OFFSET = 0xfff8, /* in bytes */
	IP6_MORE = 1,
	IP6_OFFSET_MORE = IP6_OFFSET | IP6_MORE,
	IP4_DF = 0x4000,
	IP4_MF = 0x2000,
	IP4_OFFSET = 0x1fff, /* in units of 8 bytes */
	PROTO_HOP_BY_HOP = 0,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_ICMP6 = 58,
	PROTO_NONE = 59,
	PROTO_DEST = 60,
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER = 12,
	ICMP_FRAG_NEEDED_CODE = 4,
	ICMP_HDR = 8,
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER = 4,
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_MLD_QUERY = 130,
	ICMP6_MLD_REPORT = 131,
	ICMP6_MLD_DONE = 132,
	ICMP6_ROUTER_SOLICIT = 133,
	ICMP6_ROUTER_ADVERT = 134,
	ICMP6_SOLICIT = 135,
	ICMP6_ADVERT = 136,
	ICMP6_REDIRECT = 137,
	ICMP6_MLD2_REPORT = 143,
};

/* One of our addresses. */
struct net_own {
	uint32_t addr, mask;
	uint32_t broadcast; /* 0: the subnet has none (RFC 3021) */
};

enum net_own6_state {
	OWN6_TENTATIVE, /* not used until we know that nobody else has it (RFC 4862, 5.4) */
	OWN6_GOOD,
	OWN6_DUPLICATE, /* never used */
};

struct net_own6 {
	struct ipaddr addr;
	uint8_t prefix;
	uint8_t state; /* enum net_own6_state */
	uint8_t asked; /* solicitations sent */
	uint64_t when_us; /* tentative: when to go on */
};

/* What is to be told to routers and switches about our groups (mld.c). */
struct net_mld {
	uint64_t due_us; /* 0: nothing */
	uint8_t left;    /* unsolicited reports still to be sent */
	bool old;        /* a querier that knows only MLDv1 has asked */
};

struct net_port {
	struct nic *nic;
	uint16_t vlan, mtu;
	uint8_t l2_len;
	struct net_own own[NET_ADDRS_MAX];
	unsigned owns;
	struct net_own6 own6[NET_ADDRS_MAX + 1];
	unsigned owns6; /* 0: IPv6 is not spoken here */
	uint64_t defended6_us;
	struct net_mld mld;
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
	struct ipaddr via; /* unspecified: on link */
	uint8_t port;
};

struct neigh;
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
	struct neigh *arp, *nd; /* neighbours of IPv4 and of IPv6 */
	struct {
		unsigned announced;
		uint64_t announce_us, defended_us;
	} announce;
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

/* neigh.c: send an IP packet to the neighbour p->dst; it waits while the link address is being asked for. */
void neigh_send(struct net *net, struct neigh *n, struct pkt *p, uint64_t now_us);

/* Whoever is behind it does not answer: is it there?  One that has just answered is. */
void neigh_suspect(struct net *net, struct neigh *a, unsigned port, const struct ipaddr *addr, uint64_t now_us);
uint64_t neigh_tick(struct net *net, struct neigh *n, uint64_t now_us);
void neigh_destroy(struct net *net, struct neigh *n);

/* arp.c */
struct neigh *arp_create(struct net *net);
void arp_in(struct net *net, struct pkt *p, uint64_t now_us);
uint64_t arp_tick(struct net *net, uint64_t now_us); /* announces our addresses */

/* nd.c: messages of neighbour discovery, checked by icmp6_in() but for what follows the ICMP header */
struct neigh *nd_create(struct net *net);
void nd_in(struct net *net, const struct pkt *p, const uint8_t *icmp, uint32_t len, uint64_t now_us);
uint64_t nd_tick(struct net *net, uint64_t now_us); /* duplicate address detection, multicast reports */
void nd_solicit(struct net *net, unsigned port, const struct ipaddr *src, const struct ipaddr *target, const uint8_t *mac,
                uint64_t now_us); /* src unspecified: to detect a duplicate; mac NULL: to everybody who could be meant */
void nd_claim(struct net *net, unsigned port, const struct ipaddr *addr, uint64_t now_us); /* tell everybody that it is ours */

/* dad.c: somebody at mac has, or asks for, an address of ours */
void dad_start(struct net *net, struct net_port *port, uint64_t now_us);
void dad_conflict(struct net *net, unsigned port, const struct ipaddr *addr, const uint8_t mac[6], uint64_t now_us);
uint64_t dad_tick(struct net *net, uint64_t now_us);

/* mld.c */
void mld_in(struct net *net, const struct pkt *p, const uint8_t *icmp, uint32_t len, uint64_t now_us);
uint64_t mld_tick(struct net *net, uint64_t now_us);

/* ip4.c */
struct pkt *ip4_in(struct net *net, struct pkt *p, uint64_t now_us);
bool ip4_is_own(const struct net *net, unsigned port, uint32_t addr);
bool ip4_is_any_own(const struct net *net, uint32_t addr);
bool ip4_is_unicast(const struct net *net, unsigned port, uint32_t addr); /* may be somebody's address on that port */
/* Send len bytes from src to dst, in fragments when the MTU asks for it.  For ICMP, which TCP's fast path does not share. */
void ip4_send(struct net *net, uint32_t src, uint32_t dst, uint8_t proto, const uint8_t *data, uint32_t len, uint64_t now_us);

/* ip6.c */
struct pkt *ip6_in(struct net *net, struct pkt *p, uint64_t now_us);
void ip6_header_put(uint8_t *l3, const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto, uint16_t l3_len, uint8_t ttl,
                uint8_t tos);
void ip6_label(const struct net *net, uint8_t *ip); /* the flow label of a TCP segment that is ready to be sent (RFC 6437) */
/* Send an ICMPv6 message of len bytes, whose checksum is made here, in fragments when it is longer than any path must carry. */
void ip6_send(struct net *net, const struct ipaddr *src, const struct ipaddr *dst, uint8_t *icmp, uint32_t len, uint64_t now_us);
/* The same to a link-local group, or to a known link address, out of a given port and with hop limit `ttl`; ext: extension headers that
 * come first, of which the first has the type next. */
struct ip6_local {
	unsigned port;
	const struct ipaddr *src, *dst;
	const uint8_t *mac; /* NULL: the group's */
	uint8_t ttl;
	const uint8_t *ext;
	uint8_t ext_len; /* 0: none */
};
void ip6_send_local(struct net *net, const struct ip6_local *to, uint8_t *icmp, uint32_t len, uint64_t now_us);

/* ip6_addr.c */
struct net_own6 *ip6_own(struct net *net, unsigned port, const struct ipaddr *addr); /* in whatever state; NULL: not ours */
bool ip6_is_own(const struct net *net, unsigned port, const struct ipaddr *addr);    /* ours, and good */
bool ip6_is_any_own(const struct net *net, const struct ipaddr *addr);               /* in whatever state, of any port */
bool ip6_is_group(const struct net *net, unsigned port, const struct ipaddr *addr);  /* a group that we are in */
bool ip6_is_unicast(const struct ipaddr *addr); /* may be somebody's address */
bool ip6_on_link(const struct net *net, unsigned port, const struct ipaddr *addr);
struct ipaddr ip6_group_of(const struct ipaddr *addr); /* its solicited-node group */
/* RFC 6724, section 5.  false: none fits. */
bool ip6_source(const struct net *net, unsigned port, const struct ipaddr *dst, struct ipaddr *src);

/* ext6.c */
struct ext6 {
	uint8_t next;      /* what follows the headers that were walked over */
	uint16_t off;      /* where it begins, from the IPv6 header */
	uint16_t named_at; /* where the field is that says `next` */
	bool fragment;     /* it is a fragment header */
	/* when the walk failed: */
	enum stats_counter why;
	uint8_t code;      /* of the parameter problem; EXT6_SILENT: none */
	bool even_group;   /* told even about packets sent to a group */
	uint32_t pointer;
};
enum { EXT6_BYTES_MAX = 256, EXT6_SILENT = 255 };
/* From where e stands (off 40 at first).  ip: l3_len bytes.  false: see e->why. */
bool ext6_walk(const uint8_t *ip, uint32_t l3_len, struct ext6 *e);
/* What follows the headers, whatever they say, and where; of a piece but the first: l3_len, since it is not there. */
uint8_t ext6_skip(const uint8_t *ip, uint32_t l3_len, uint32_t *off);

/* l4.c: fills p->tcp and p->hash; false: counted */
bool l4_tcp_parse(struct net *net, struct pkt *p);

/* frag.c: takes a fragment; returns the whole datagram when it was the last piece missing. */
struct frag *frag_create(struct net *net);
void frag_destroy(struct net *net);
struct pkt *frag_in(struct net *net, struct pkt *p, uint64_t now_us);
struct pkt *frag_in6(struct net *net, struct pkt *p, const struct ext6 *e, uint64_t now_us);
uint64_t frag_tick(struct net *net, uint64_t now_us);

/* icmp.c */
void icmp_in(struct net *net, struct pkt *p, uint64_t now_us);
/* An error about the packet whose IP header and first bytes are quoted. */
void icmp_send_error(struct net *net, uint32_t from, uint32_t to, uint8_t type, uint8_t code, const uint8_t *quoted,
                     uint32_t quoted_len, uint64_t now_us);
void icmp_udp_in(struct net *net, struct pkt *p, uint64_t now_us); /* nobody speaks UDP here */

/* icmp6.c */
void icmp6_in(struct net *net, struct pkt *p, uint64_t now_us);
/* An error about p, or about len bytes of it that were kept, if one may be sent; even_group: to a group, too. */
struct icmp6_error {
	uint8_t type, code;
	uint32_t value; /* MTU, pointer */
	bool even_group;
};
void icmp6_error(struct net *net, const struct pkt *p, const struct icmp6_error *e, uint64_t now_us);

/* route.c */
struct route *route_create(struct net *net);
void route_destroy(struct route *r);
bool route_find(const struct net *net, const struct ipaddr *dst, struct route_hop *hop);

/* steer.c */
void steer_init(struct net *net);
uint32_t steer_hash4(const struct net *net, uint32_t src, uint32_t dst);

/* net.c */
void net_tell_giant(struct net_port *port); /* in the log, once */
/* Why a packet is dropped that says to be longer than its frame: a peer that leaves segmentation to its port hands over more than the
 * MTU, and our port's buffer cuts it short. */
enum stats_counter net_too_long(struct net *net, const struct pkt *p, uint32_t total, uint8_t proto, enum stats_counter otherwise);
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

static inline bool is_link_local(const struct ipaddr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static inline bool is_group6(const struct ipaddr *a)
{
	return a->b[0] == 0xff;
}

/* An address of a packet that came in, or goes out, by that port. */
static inline struct ipaddr net_zone(const uint8_t from[16], unsigned port)
{
	struct ipaddr a;

	memcpy(a.b, from, 16);
	if (is_link_local(&a))
		a.b[3] = (uint8_t)(port + 1);
	return a;
}

static inline bool ipaddr_equal(const struct ipaddr *a, const struct ipaddr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool is_ip4(const struct ipaddr *a)
{
	return net_is_ip4(a);
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
