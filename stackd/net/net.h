/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Below TCP: Ethernet, VLAN, ARP, IPv4 and IPv6 with fragments, ICMP, neighbour discovery, routes.  One struct net per engine;
 * nothing shared but the configuration, which does not change while engines run.
 *
 * Called by the engine's thread only, except net_create and net_destroy.
 */
#ifndef STACKD_NET_NET_H
#define STACKD_NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "stackd/nic/nic.h"
#include "stackd/stats.h"

enum {
	NET_PORTS_MAX = 16,
	NET_ADDRS_MAX = 16, /* per port */
	NET_ROUTES_MAX = 1024,
	NET_BURST = 64,
};

/* IPv4-mapped? */
static inline bool net_is_ip4(const struct ipaddr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return __builtin_memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

/* Bytes of the IP header of packets from and to such addresses: we send no options. */
static inline uint16_t net_ip_len(const struct ipaddr *a)
{
	return net_is_ip4(a) ? 20 : 40;
}

/* The least MTU that a path of the family must have: none that is told is below. */
static inline uint16_t net_mtu_min(const struct ipaddr *a)
{
	return net_is_ip4(a) ? 68 : 1280;
}

/* As an address stands in a packet: see net_conf_complete(). */
static inline void net_wire(uint8_t to[16], const struct ipaddr *a)
{
	__builtin_memcpy(to, a->b, 16);
	if (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80)
		to[3] = 0;
}

/* Does a / prefix bits hold b?  Both of one family; prefix counts that family's bits. */
static inline bool net_prefix_holds(const struct ipaddr *a, unsigned prefix, const struct ipaddr *b)
{
	if (net_is_ip4(a))
		prefix += 96;
	for (unsigned bit = 0; bit < prefix && bit < 128; bit++) {
		if (((a->b[bit / 8] ^ b->b[bit / 8]) >> (7 - bit % 8) & 1) != 0)
			return false;
	}
	return true;
}

struct net_addr {
	struct ipaddr addr;
	uint8_t prefix; /* bits, IPv4: 0..32, IPv6: 0..128 */
};

struct net_route {
	struct ipaddr dst;
	uint8_t prefix;
	struct ipaddr via; /* unspecified: on link */
	uint8_t port;
};

struct net_port_conf {
	struct nic *nic;
	uint16_t vlan; /* 0: untagged; else frames are sent with this tag and only such are received */
	struct net_addr addr[NET_ADDRS_MAX + 1];
	unsigned addrs; /* without one of IPv6, nothing of IPv6 is answered here */
	struct ipaddr gateway, gateway6; /* unspecified: none */
};

struct net_conf {
	struct net_port_conf port[NET_PORTS_MAX];
	unsigned ports;
	struct net_route route[NET_ROUTES_MAX];
	unsigned routes;
	uint32_t arp_entries;  /* bound of the neighbour cache of each family */
	uint32_t arp_age_s;    /* confirmed neighbours of IPv4 are asked again after this */
	uint32_t nd_age_s;     /* and those of IPv6 */
	uint32_t dad;          /* solicitations before an address of IPv6 is used (RFC 4862, 5.1); 0: it is used at once */
	uint32_t frag_entries; /* datagrams in reassembly at once */
	uint32_t frag_timeout_ms;
	uint32_t icmp_rate;    /* messages of ours a second */
	uint8_t rss_key[SHM_RSS_KEY_SIZE];
};

struct net;

/* Complete a configuration whose ports are open: a port with addresses of IPv6 has a link-local one (RFC 4862, 5.3; made of the
 * port's link address where none is written), and the number of its port, counted from 1, in the fourth byte of each link-local
 * address. */
void net_conf_complete(struct net_conf *c);

/* What TCP is told about a sent segment that came back in an ICMP error (RFC 1122 4.2.3.9, 1191, 5927), or that could not be
 * sent because its next hop does not answer. */
struct net_icmp_error {
	struct ipaddr src, dst; /* of the packet we sent */
	uint16_t sport, dport;
	uint32_t seq;
	uint8_t type, code; /* of ICMP; what ICMPv6 says is put into these numbers */
	uint16_t mtu; /* for fragmentation needed; 0 when the router did not say */
	bool own;     /* we found out ourselves: true, while a message may be forged */
};
typedef void (*net_icmp_error_fn)(void *arg, const struct net_icmp_error *e);

/* queue: which rx/tx queue of each port this engine uses.  seed keys the hashes.  NULL and errno. */
struct net *net_create(const struct net_conf *conf, struct stats *stats, unsigned queue, uint64_t seed);
void net_destroy(struct net *net);
void net_on_icmp_error(struct net *net, net_icmp_error_fn fn, void *arg);

/* Parse and dispose of n frames: answers ARP, ICMP and neighbours, reassembles fragments, drops (and counts) what is wrong.  What
 * remains are TCP segments to one of our addresses, parsed, in pkts[0..returned).  The TCP checksum has been verified and
 * pkt->hash set. */
unsigned net_in(struct net *net, struct pkt **pkts, unsigned n, uint64_t now_us);

/* Before frames of others are looked at or forwarded: a checksum that their sender left open is completed. */
void net_pass(struct net *net, struct pkt **pkts, unsigned n);

/* Before net_in, when there are several engines: the symmetric Toeplitz hash that decides the engine, computed straight from the frame
 * (TCP: addresses and ports; fragments and all else of IPv4 and IPv6: addresses; ARP, neighbour discovery and others: *all = true,
 * every engine wants it).  Up to two VLAN tags are skipped.  Safe for any frame. */
uint32_t net_steer_hash(const struct net *net, const struct pkt *p, bool *all);

/* A piece of an IP datagram (an IPv6 fragment header around the whole is none).  Safe for any frame. */
bool net_is_fragment(const struct pkt *p);

/* The same hash from a tuple; both addresses of one family.  hash(a,b,p,q) == hash(b,a,q,p). */
uint32_t net_tuple_hash(const struct net *net, const struct ipaddr *a, const struct ipaddr *b, uint16_t aport, uint16_t bport);

/* The best of our addresses to talk to dst from, and the path's MTU.  0, -ENETUNREACH; -EADDRNOTAVAIL when *src is given (not
 * unspecified) and is not ours. */
int net_source(struct net *net, const struct ipaddr *dst, struct ipaddr *src, uint16_t *mtu);

bool net_is_ours(const struct net *net, const struct ipaddr *a);

/* A frame to send to dst, with room for the link header and `l3_len` bytes from *l3 on (which the caller fills: IP header
 * from net_ip_header, then the rest).  NULL when there is no route (counted) or no buffer (counted). p->len is set. */
struct pkt *net_alloc(struct net *net, const struct ipaddr *dst, uint16_t l3_len, uint8_t **l3);

/* Write the net_ip_len() bytes of IP header; the checksum of IPv4 is left to offload or nic_tx, and DF is set.  ttl 0: default 64. */
void net_ip_header(struct net *net, uint8_t *l3, const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto,
                   uint16_t l3_len, uint8_t ttl, uint8_t tos);

/* The same header, without DF and with an id: who forwards it may fragment it.  IPv6 has no such thing. */
void net_may_fragment(struct net *net, uint8_t *l3);

/* Resolve and queue for sending; takes p over.  p->flags may carry PKT_TX_L4_CSUM. */
void net_send(struct net *net, struct pkt *p, uint64_t now_us);

/* Negative advice (RFC 9293 3.8.3, RFC 1122 3.3.1.4): a peer does not answer; perhaps it is the way.  The next hop is asked whether it
 * is there, once a second at most. */
void net_suspect(struct net *net, const struct ipaddr *dst, uint64_t now_us);

/* Send what is queued, all ports. */
void net_flush(struct net *net, uint64_t now_us);

/* Somebody looks at every frame right before it is sent; NULL: nobody. */
typedef void (*net_look_fn)(void *arg, struct pkt *p);
void net_on_send(struct net *net, net_look_fn fn, void *arg);

/* Neighbour retries, ageing, fragment timeouts, announcing our addresses at start (gratuitous ARP, RFC 5227; duplicate address
 * detection, RFC 4862).  Returns when it
 * wants to be called next. */
uint64_t net_tick(struct net *net, uint64_t now_us);

/* Answer an IPv4 packet that no rule allows with ICMP (used for UDP and unknown protocols inside net_in). */
void net_unreachable(struct net *net, const struct pkt *p, uint8_t code, uint64_t now_us);

#endif
