/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Below TCP: Ethernet, VLAN, ARP, IPv4 with fragments, ICMP, routes.  One struct net per engine; nothing shared but the
 * configuration, which does not change while engines run.
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

/* Does a / prefix bits hold b?  IPv4-mapped; prefix counts IPv4's bits. */
static inline bool net_prefix_holds(const struct ipaddr *a, unsigned prefix, const struct ipaddr *b)
{
	for (unsigned bit = 0; bit < 96 + prefix && bit < 128; bit++) {
		if (((a->b[bit / 8] ^ b->b[bit / 8]) >> (7 - bit % 8) & 1) != 0)
			return false;
	}
	return true;
}

struct net_addr {
	struct ipaddr addr;
	uint8_t prefix; /* bits, IPv4: 0..32 */
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
	struct net_addr addr[NET_ADDRS_MAX];
	unsigned addrs;
	struct ipaddr gateway; /* unspecified: none */
};

struct net_conf {
	struct net_port_conf port[NET_PORTS_MAX];
	unsigned ports;
	struct net_route route[NET_ROUTES_MAX];
	unsigned routes;
	uint32_t arp_entries;  /* bound of the neighbour cache */
	uint32_t arp_age_s;    /* confirmed neighbours are asked again after this */
	uint32_t frag_entries; /* datagrams in reassembly at once */
	uint32_t frag_timeout_ms;
	uint32_t icmp_rate;    /* messages of ours a second */
	uint8_t rss_key[SHM_RSS_KEY_SIZE];
};

struct net;

/* What TCP is told about a sent segment that came back in an ICMP error (RFC 1122 4.2.3.9, 1191, 5927), or that could not be
 * sent because its next hop does not answer. */
struct net_icmp_error {
	struct ipaddr src, dst; /* of the packet we sent */
	uint16_t sport, dport;
	uint32_t seq;
	uint8_t type, code;
	uint16_t mtu; /* for fragmentation needed; 0 when the router did not say */
	bool own;     /* we found out ourselves: true, while a message may be forged */
};
typedef void (*net_icmp_error_fn)(void *arg, const struct net_icmp_error *e);

/* queue: which rx/tx queue of each port this engine uses.  seed keys the hashes.  NULL and errno. */
struct net *net_create(const struct net_conf *conf, struct stats *stats, unsigned queue, uint64_t seed);
void net_destroy(struct net *net);
void net_on_icmp_error(struct net *net, net_icmp_error_fn fn, void *arg);

/* Parse and dispose of n frames: answers ARP and ICMP, reassembles fragments, drops (and counts) what is wrong.  What
 * remains are TCP segments to one of our addresses, parsed, in pkts[0..returned).  The TCP checksum has been verified.
 * IPv4 packets' pkt->hash is set (also used by net_steer). */
unsigned net_in(struct net *net, struct pkt **pkts, unsigned n, uint64_t now_us);

/* Before frames of others are looked at or forwarded: a checksum that their sender left open is completed. */
void net_pass(struct net *net, struct pkt **pkts, unsigned n);

/* Before net_in, when there are several engines: the symmetric Toeplitz hash that decides the engine, computed straight from the frame
 * (TCP: addresses and ports; fragments and all else of IPv4 and IPv6: addresses; ARP and others: *all = true, every engine wants
 * it).  Up to two VLAN tags are skipped.  Safe for any frame. */
uint32_t net_steer_hash(const struct net *net, const struct pkt *p, bool *all);

/* A piece of an IP datagram (an IPv6 fragment header around the whole is none).  Safe for any frame. */
bool net_is_fragment(const struct pkt *p);

/* The same hash from a tuple; IPv4-mapped addresses.  hash(a,b,p,q) == hash(b,a,q,p). */
uint32_t net_tuple_hash(const struct net *net, const struct ipaddr *a, const struct ipaddr *b, uint16_t aport, uint16_t bport);

/* The best of our addresses to talk to dst from, and the path's MTU.  0, -ENETUNREACH; -EADDRNOTAVAIL when *src is given (not
 * unspecified) and is not ours. */
int net_source(struct net *net, const struct ipaddr *dst, struct ipaddr *src, uint16_t *mtu);

bool net_is_ours(const struct net *net, const struct ipaddr *a);

/* A frame to send to dst, with room for the link header and `l3_len` bytes from *l3 on (which the caller fills: IP header
 * from net_ip_header, then the rest).  NULL when there is no route (counted) or no buffer (counted). p->len is set. */
struct pkt *net_alloc(struct net *net, const struct ipaddr *dst, uint16_t l3_len, uint8_t **l3);

/* Write the 20 bytes of IPv4 header; the checksum is left to offload or nic_tx. DF is set.  ttl 0: default 64. */
void net_ip_header(struct net *net, uint8_t *l3, const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto,
                   uint16_t l3_len, uint8_t ttl, uint8_t tos);

/* Resolve and queue for sending; takes p over.  p->flags may carry PKT_TX_L4_CSUM. */
void net_send(struct net *net, struct pkt *p, uint64_t now_us);

/* Send what is queued, all ports. */
void net_flush(struct net *net, uint64_t now_us);

/* Somebody looks at every frame right before it is sent; NULL: nobody. */
typedef void (*net_look_fn)(void *arg, struct pkt *p);
void net_on_send(struct net *net, net_look_fn fn, void *arg);

/* Neighbour retries, ageing, fragment timeouts, announcing our addresses at start (gratuitous ARP, RFC 5227).  Returns when it
 * wants to be called next. */
uint64_t net_tick(struct net *net, uint64_t now_us);

/* Answer a TCP segment that no rule allows with ICMP (used for UDP and unknown protocols inside net_in). */
void net_unreachable(struct net *net, const struct pkt *p, uint8_t code, uint64_t now_us);

#endif
