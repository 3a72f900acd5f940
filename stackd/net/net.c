/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The room's front: making a struct net, the way in and out for an engine, and small tools that its files share.
 */
#include "stackd/net/net.h"

#include <errno.h>
#include <stdlib.h>

#include "stackd/log.h"
#include "stackd/net/priv.h"

enum { NET_TICK_US = 500000 };

static int own_add(struct net_port *port, const struct net_addr *a)
{
	struct net_own *own = &port->own[port->owns];

	if (a->prefix > (is_ip4(&a->addr) ? 32 : 128))
		return -EINVAL;
	if (!is_ip4(&a->addr)) {
		port->own6[port->owns6++] = (struct net_own6){.addr = a->addr, .prefix = a->prefix};
		return 0;
	}
	own->addr = to_ip4(&a->addr);
	own->mask = prefix_mask(a->prefix);
	own->broadcast = a->prefix <= 30 ? own->addr | ~own->mask : 0;
	port->owns++;
	return 0;
}

static int port_add(struct net *net, const struct net_port_conf *conf)
{
	struct net_port *port = &net->port[net->ports];

	if (!conf->nic || conf->addrs > NET_ADDRS_MAX + 1 || conf->nic->mtu < IP4_MTU_MIN)
		return -EINVAL;
	if (conf->nic->index != net->ports)
		conf->nic->index = (uint8_t)net->ports;
	port->nic = conf->nic;
	port->vlan = conf->vlan;
	port->mtu = conf->nic->mtu;
	port->l2_len = conf->vlan ? ETH_HDR + VLAN_HDR : ETH_HDR;
	for (unsigned i = 0; i < conf->addrs; i++)
		if (own_add(port, &conf->addr[i]))
			return -EINVAL;
	if (port->owns > NET_ADDRS_MAX || (port->owns6 > 0 && port->mtu < IP6_MTU_MIN))
		return -EINVAL;
	net->ports++;
	return 0;
}

static int net_init(struct net *net)
{
	if (net->conf.ports > NET_PORTS_MAX || net->conf.routes > NET_ROUTES_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < net->conf.ports; i++)
		if (port_add(net, &net->conf.port[i]))
			return -EINVAL;
	net->icmp_bucket.rate = net->icmp_bucket.burst = net->conf.icmp_rate;
	net->icmp_bucket.tokens_us = net->conf.icmp_rate * 1000000ull;
	net->rng = net_keyed_hash(net->seed, net->queue, 0);
	net->ip_id = (uint16_t)net_random(net);
	steer_init(net);
	net->route = route_create(net);
	if (!net->route)
		return errno == EINVAL ? -EINVAL : -ENOMEM;
	net->arp = arp_create(net);
	net->nd = nd_create(net);
	net->frag = frag_create(net);
	return net->arp && net->nd && net->frag ? 0 : -ENOMEM;
}

struct net *net_create(const struct net_conf *conf, struct stats *stats, unsigned queue, uint64_t seed)
{
	struct net *net = calloc(1, sizeof(*net));
	int ret;

	if (!net) {
		errno = ENOMEM;
		return NULL;
	}
	net->conf = *conf;
	net->stats = stats;
	net->queue = queue;
	net->seed = seed;
	ret = net_init(net);
	if (ret) {
		net_destroy(net);
		errno = -ret;
		return NULL;
	}
	return net;
}

void net_destroy(struct net *net)
{
	if (!net)
		return;
	for (unsigned i = 0; i < net->ports; i++)
		for (unsigned k = 0; k < net->port[i].outs; k++)
			nic_free(net->port[i].out[k]);
	neigh_destroy(net, net->arp);
	neigh_destroy(net, net->nd);
	frag_destroy(net);
	route_destroy(net->route);
	free(net);
}

void net_on_icmp_error(struct net *net, net_icmp_error_fn fn, void *arg)
{
	net->icmp_error = fn;
	net->icmp_error_arg = arg;
}

unsigned net_in(struct net *net, struct pkt **pkts, unsigned n, uint64_t now_us)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		struct pkt *p;

		if (i + 2 < n)
			__builtin_prefetch(pkts[i + 2]->data);
		p = eth_in(net, pkts[i], now_us);
		if (p)
			pkts[kept++] = p;
	}
	return kept;
}

bool net_is_ours(const struct net *net, const struct ipaddr *a)
{
	return is_ip4(a) ? ip4_is_any_own(net, to_ip4(a)) : ip6_is_any_own(net, a);
}

/* The address in the next hop's subnet, else the port's first. */
static bool source4(const struct net_port *port, const struct ipaddr *hop, struct ipaddr *src)
{
	if (port->owns == 0)
		return false;
	*src = from_ip4(port->own[0].addr);
	for (unsigned i = port->owns; i-- > 0;)
		if (((port->own[i].addr ^ to_ip4(hop)) & port->own[i].mask) == 0)
			*src = from_ip4(port->own[i].addr);
	return true;
}

/* May it be a source for dst?  Of IPv6 only an address that nobody else has (RFC 4862, 5.4). */
static bool source_is_good(const struct net *net, const struct ipaddr *src, const struct ipaddr *dst, unsigned port)
{
	if (is_ip4(dst))
		return is_ip4(src) && ip4_is_any_own(net, to_ip4(src));
	if (is_link_local(src)) /* means nothing on another link */
		return ip6_is_own(net, port, src);
	for (unsigned i = 0; i < net->ports; i++)
		if (ip6_is_own(net, i, src))
			return true;
	return false;
}

int net_source(struct net *net, const struct ipaddr *dst, struct ipaddr *src, uint16_t *mtu)
{
	struct route_hop hop;
	bool found;

	if (!route_find(net, dst, &hop))
		return -ENETUNREACH;
	*mtu = net->port[hop.port].mtu;
	if (!is_unspecified(src))
		return source_is_good(net, src, dst, hop.port) ? 0 : -EADDRNOTAVAIL;
	if (is_ip4(dst))
		found = source4(&net->port[hop.port], is_unspecified(&hop.via) ? dst : &hop.via, src);
	else
		found = ip6_source(net, hop.port, dst, src);
	return found ? 0 : -ENETUNREACH;
}

struct pkt *net_alloc(struct net *net, const struct ipaddr *dst, uint16_t l3_len, uint8_t **l3)
{
	struct route_hop hop;
	struct pkt *p;

	if (!route_find(net, dst, &hop)) {
		COUNT(net->stats, IP_NO_ROUTE);
		return NULL;
	}
	p = eth_alloc(net, &net->port[hop.port], l3_len);
	if (!p)
		return NULL;
	p->dst = is_unspecified(&hop.via) ? *dst : hop.via;
	p->l4_off = (uint16_t)(p->l3_off + net_ip_len(dst));
	*l3 = p->data + p->l3_off;
	return p;
}

void net_suspect(struct net *net, const struct ipaddr *dst, uint64_t now_us)
{
	struct route_hop hop;
	const struct ipaddr *next;

	if (!route_find(net, dst, &hop))
		return;
	next = is_unspecified(&hop.via) ? dst : &hop.via;
	neigh_suspect(net, is_ip4(next) ? net->arp : net->nd, hop.port, next, now_us);
}

void net_send(struct net *net, struct pkt *p, uint64_t now_us)
{
	if (!is_ip4(&p->dst)) {
		ip6_label(net, p->data + p->l3_off);
		neigh_send(net, net->nd, p, now_us);
		return;
	}
	p->flags |= PKT_TX_IP_CSUM;
	neigh_send(net, net->arp, p, now_us);
}

/* A delaying port is called even with nothing to send, for what has become due. */
static void port_flush(struct net *net, struct net_port *port, uint64_t now_us)
{
	unsigned n = port->outs, sent;
	uint32_t len[NET_BURST];

	if (n == 0 && !port->nic->ops->next_us)
		return;
	for (unsigned i = 0; i < n; i++) {
		len[i] = port->out[i]->len;
		if (net->look != NULL)
			net->look(net->look_arg, port->out[i]);
	}
	port->outs = 0;
	sent = nic_tx(port->nic, net->queue, port->out, (uint16_t)n, now_us);
	COUNT_ADD(net->stats, NIC_TX, sent);
	for (unsigned i = 0; i < sent; i++)
		COUNT_ADD(net->stats, NIC_TX_BYTES, len[i]);
	COUNT_ADD(net->stats, NIC_TX_DROP, n - sent);
}

void net_on_send(struct net *net, net_look_fn fn, void *arg)
{
	net->look = fn;
	net->look_arg = arg;
}

void net_flush(struct net *net, uint64_t now_us)
{
	for (unsigned i = 0; i < net->ports; i++)
		port_flush(net, &net->port[i], now_us);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Asking for a neighbour may begin after this has returned, so it is never content with a long pause. */
uint64_t net_tick(struct net *net, uint64_t now_us)
{
	uint64_t next = now_us + NET_TICK_US;

	next = sooner(next, arp_tick(net, now_us));
	next = sooner(next, neigh_tick(net, net->arp, now_us));
	next = sooner(next, nd_tick(net, now_us));
	next = sooner(next, neigh_tick(net, net->nd, now_us));
	return sooner(next, frag_tick(net, now_us));
}

void net_tell_giant(struct net_port *port)
{
	if (port->told_giant)
		return;
	port->told_giant = true;
	log_warn("net", "%s: the other end sends packets longer than the MTU of %u, dropped; turn its segmentation offload off: "
	         "ethtool -K INTERFACE tx off (there, not here)", port->nic->name, port->mtu);
}

enum stats_counter net_too_long(struct net *net, const struct pkt *p, uint32_t total, uint8_t proto, enum stats_counter otherwise)
{
	struct net_port *port = &net->port[p->port];

	if (total <= port->mtu)
		return otherwise;
	if (proto == PROTO_TCP)
		net_tell_giant(port);
	return CNT_IP_GIANT;
}

bool net_bucket_take(struct net_bucket *b, uint64_t now_us)
{
	uint64_t full = b->burst * 1000000ull;

	if (now_us > b->at_us) {
		uint64_t passed = now_us - b->at_us;

		b->tokens_us = passed > 1000000 ? full : b->tokens_us + passed * b->rate;
		if (b->tokens_us > full)
			b->tokens_us = full;
		b->at_us = now_us;
	}
	if (b->tokens_us < 1000000)
		return false;
	b->tokens_us -= 1000000;
	return true;
}

static uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

#define SIP_ROUND(a, b, c, d)                                                                                          \
	do {                                                                                                           \
		a += b, b = rotl(b, 13) ^ a, a = rotl(a, 32);                                                          \
		c += d, d = rotl(d, 16) ^ c;                                                                           \
		a += d, d = rotl(d, 21) ^ a;                                                                           \
		c += b, b = rotl(b, 17) ^ c, c = rotl(c, 32);                                                          \
	} while (0)

/* SipHash-1-3 (Aumasson, Bernstein) of two words: nobody outside can aim at a bucket. */
uint64_t net_keyed_hash(uint64_t seed, uint64_t a, uint64_t b)
{
	const uint64_t in[3] = {a, b, 16ull << 56};
	uint64_t v0 = 0x736f6d6570736575 ^ seed, v1 = 0x646f72616e646f6d ^ rotl(seed, 32);
	uint64_t v2 = 0x6c7967656e657261 ^ seed, v3 = 0x7465646279746573 ^ rotl(seed, 32);

	for (unsigned i = 0; i < 3; i++) {
		v3 ^= in[i];
		SIP_ROUND(v0, v1, v2, v3);
		v0 ^= in[i];
	}
	v2 ^= 0xff;
	SIP_ROUND(v0, v1, v2, v3);
	SIP_ROUND(v0, v1, v2, v3);
	SIP_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

uint64_t net_random(struct net *net)
{
	net->rng = net_keyed_hash(net->seed, net->rng, 1);
	return net->rng;
}
