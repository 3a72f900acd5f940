/* SPDX-License-Identifier: BSD-3-Clause
 *
 * IPv4 (RFC 791, 1122): what of it is believed, whom it is for, and the header of what we send.
 */
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

enum {
	IP_OPT_END = 0,
	IP_OPT_NOP = 1,
	IP_OPT_LSRR = 131,
	IP_OPT_SSRR = 137,
	IP_TTL = 64,
};

static const enum stats_counter no_drop = CNT_MAX;

static enum stats_counter header_check(struct net *net, struct pkt *p);
static enum stats_counter addresses_check(const struct net *net, const struct pkt *p);
static struct pkt *deliver(struct net *net, struct pkt *p, uint64_t now_us);

struct pkt *ip4_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	enum stats_counter why;

	COUNT(net->stats, IP_IN);
	why = header_check(net, p);
	if (why == no_drop)
		why = addresses_check(net, p);
	if (why != no_drop) {
		net->stats->n[why]++;
		nic_free(p);
		return NULL;
	}
	if (get16(p->data + p->l3_off + 6) & (IP4_MF | IP4_OFFSET)) {
		p = frag_in(net, p, now_us);
		if (!p)
			return NULL;
	}
	return deliver(net, p, now_us);
}

bool ip4_is_own(const struct net *net, unsigned port, uint32_t addr)
{
	const struct net_port *p = &net->port[port];

	for (unsigned i = 0; i < p->owns; i++)
		if (p->own[i].addr == addr)
			return true;
	return false;
}

bool ip4_is_any_own(const struct net *net, uint32_t addr)
{
	for (unsigned i = 0; i < net->ports; i++)
		if (ip4_is_own(net, i, addr))
			return true;
	return false;
}

bool ip4_is_unicast(const struct net *net, unsigned port, uint32_t addr)
{
	const struct net_port *p = &net->port[port];
	uint32_t top = addr >> 24;

	if (top == 0 || top == 127 || top >= 224)
		return false;
	for (unsigned i = 0; i < p->owns; i++)
		if (p->own[i].broadcast && (p->own[i].broadcast == addr || (p->own[i].addr & p->own[i].mask) == addr))
			return false;
	return true;
}

void net_ip_header(struct net *net, uint8_t *l3, const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto,
                   uint16_t l3_len, uint8_t ttl, uint8_t tos)
{
	(void)net;
	if (!is_ip4(dst)) {
		ip6_header_put(l3, src, dst, proto, l3_len, ttl, tos);
		return;
	}
	l3[0] = 0x45;
	l3[1] = tos;
	put16(l3 + 2, l3_len);
	put16(l3 + 4, 0); /* an atomic datagram needs no id (RFC 6864) */
	put16(l3 + 6, IP4_DF);
	l3[8] = ttl ? ttl : IP_TTL;
	l3[9] = proto;
	put16(l3 + 10, 0);
	memcpy(l3 + 12, src->b + 12, 4);
	memcpy(l3 + 16, dst->b + 12, 4);
}

void net_may_fragment(struct net *net, uint8_t *l3)
{
	if (l3[0] >> 4 != 4)
		return;
	put16(l3 + 4, net->ip_id++); /* RFC 6864, 4.1 */
	put16(l3 + 6, 0);
}

void ip4_send(struct net *net, uint32_t src, uint32_t dst, uint8_t proto, const uint8_t *data, uint32_t len, uint64_t now_us)
{
	struct ipaddr from = from_ip4(src), to = from_ip4(dst);
	struct route_hop hop;
	uint32_t chunk, n;
	uint16_t id = net->ip_id++;

	if (!route_find(net, &to, &hop)) {
		COUNT(net->stats, IP_NO_ROUTE);
		return;
	}
	chunk = (net->port[hop.port].mtu - (uint32_t)IP4_HDR) & ~7u;
	if (len <= net->port[hop.port].mtu - (uint32_t)IP4_HDR)
		chunk = len;
	for (uint32_t off = 0; off < len; off += n) {
		struct pkt *p;
		uint8_t *ip;

		n = len - off < chunk ? len - off : chunk;
		p = net_alloc(net, &to, (uint16_t)(IP4_HDR + n), &ip);
		if (!p)
			return;
		net_ip_header(net, ip, &from, &to, proto, (uint16_t)(IP4_HDR + n), 0, 0);
		put16(ip + 4, id);
		put16(ip + 6, (uint16_t)(off / 8 | (off + n < len ? IP4_MF : 0)));
		memcpy(ip + IP4_HDR, data + off, n);
		net_send(net, p, now_us);
	}
}

/* Bounded; source routes are refused (RFC 7126, 4.3 and 4.4). */
static bool options_good(const uint8_t *opt, uint32_t len)
{
	uint32_t i = 0;

	while (i < len && opt[i] != IP_OPT_END) {
		if (opt[i] == IP_OPT_NOP) {
			i++;
			continue;
		}
		if (opt[i] == IP_OPT_LSRR || opt[i] == IP_OPT_SSRR || i + 1 >= len || opt[i + 1] < 2 || i + opt[i + 1] > len)
			return false;
		i += opt[i + 1];
	}
	return true;
}

static enum stats_counter header_check(struct net *net, struct pkt *p)
{
	const uint8_t *ip = p->data + p->l3_off;
	uint32_t room = p->len - p->l3_off, ihl, total;

	if (room < IP4_HDR)
		return CNT_ETH_SHORT;
	ihl = (ip[0] & 15u) * 4;
	total = get16(ip + 2);
	if (ip[0] >> 4 != 4 || ihl < IP4_HDR || total < ihl)
		return CNT_IP_BAD;
	if (total > room)
		return net_too_long(net, p, total, ip[9], CNT_IP_BAD);
	if (!(p->flags & PKT_IP_GOOD) && csum_finish(csum_add(0, ip, ihl)) != 0)
		return CNT_IP_CSUM;
	if (ihl > IP4_HDR && !options_good(ip + IP4_HDR, ihl - IP4_HDR))
		return CNT_IP_BAD;
	p->len = p->l3_off + total; /* without Ethernet's padding */
	p->l3_len = (uint16_t)total;
	p->l4_off = (uint16_t)(p->l3_off + ihl);
	p->tos = ip[1];
	p->ttl = ip[8];
	p->proto = ip[9];
	p->src = from_ip4(get32(ip + 12));
	p->dst = from_ip4(get32(ip + 16));
	return no_drop;
}

/* RFC 1122, 3.2.1.3.  Nothing that is sent to more than one host is served here. */
static enum stats_counter addresses_check(const struct net *net, const struct pkt *p)
{
	uint32_t src = to_ip4(&p->src), dst = to_ip4(&p->dst);

	if (!ip4_is_unicast(net, p->port, src) || ip4_is_any_own(net, src) || dst >> 24 == 127 || dst >> 24 == 0)
		return CNT_IP_MARTIAN;
	return ip4_is_own(net, p->port, dst) ? no_drop : CNT_IP_NOT_OURS;
}

static struct pkt *deliver(struct net *net, struct pkt *p, uint64_t now_us)
{
	switch (p->proto) {
	case PROTO_TCP:
		if (l4_tcp_parse(net, p))
			return p;
		nic_free(p);
		return NULL;
	case PROTO_ICMP:
		icmp_in(net, p, now_us);
		return NULL;
	case PROTO_UDP:
		icmp_udp_in(net, p, now_us);
		return NULL;
	default:
		COUNT(net->stats, IP_PROTO);
		net_unreachable(net, p, 2, now_us);
		nic_free(p);
		return NULL;
	}
}
