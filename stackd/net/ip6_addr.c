/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Addresses of IPv6: which are ours, which groups we are in, and which of ours speaks to whom (RFC 4291, RFC 6724).
 */
#include "stackd/net/priv.h"

enum { LINK_LOCAL_PREFIX = 64 };

/* RFC 6724, 2.1: what shall be talked to from alike.  Longest prefix first. */
struct policy {
	struct ipaddr prefix;
	uint8_t bits, label;
};

static const struct policy policy[] = {
	{{.b = {0x20, 0x01}}, 32, 5},
	{{.b = {0x20, 0x02}}, 16, 2},
	{{.b = {0x3f, 0xfe}}, 16, 12},
	{{.b = {0xfe, 0xc0}}, 10, 11},
	{{.b = {0xfc}}, 7, 13},
};
enum { LABEL_OTHERS = 1 };

struct net_own6 *ip6_own(struct net *net, unsigned port, const struct ipaddr *addr)
{
	struct net_port *p = &net->port[port];

	for (unsigned i = 0; i < p->owns6; i++)
		if (ipaddr_equal(&p->own6[i].addr, addr))
			return &p->own6[i];
	return NULL;
}

bool ip6_is_own(const struct net *net, unsigned port, const struct ipaddr *addr)
{
	const struct net_port *p = &net->port[port];

	for (unsigned i = 0; i < p->owns6; i++)
		if (p->own6[i].state == OWN6_GOOD && ipaddr_equal(&p->own6[i].addr, addr))
			return true;
	return false;
}

bool ip6_is_any_own(const struct net *net, const struct ipaddr *addr)
{
	for (unsigned i = 0; i < net->ports; i++)
		for (unsigned k = 0; k < net->port[i].owns6; k++)
			if (ipaddr_equal(&net->port[i].own6[k].addr, addr))
				return true;
	return false;
}

struct ipaddr ip6_group_of(const struct ipaddr *addr)
{
	struct ipaddr g = {.b = {0xff, 2, [11] = 1, [12] = 0xff}};

	memcpy(g.b + 13, addr->b + 13, 3);
	return g;
}

bool ip6_is_group(const struct net *net, unsigned port, const struct ipaddr *addr)
{
	static const struct ipaddr all_nodes = {.b = {0xff, 2, [15] = 1}};
	const struct net_port *p = &net->port[port];

	if (ipaddr_equal(addr, &all_nodes))
		return p->owns6 > 0;
	for (unsigned i = 0; i < p->owns6; i++) {
		struct ipaddr group = ip6_group_of(&p->own6[i].addr);

		if (ipaddr_equal(&group, addr))
			return true;
	}
	return false;
}

bool ip6_is_unicast(const struct ipaddr *a)
{
	bool reserved = a->w[0] == 0 && a->w[1] == 0; /* ::, ::1, mapped and the like: never on a wire (RFC 4291, 2.5) */

	return !reserved && !is_group6(a);
}

bool ip6_on_link(const struct net *net, unsigned port, const struct ipaddr *addr)
{
	const struct net_port *p = &net->port[port];

	if (is_link_local(addr))
		return addr->b[3] == port + 1;
	for (unsigned i = 0; i < p->owns6; i++)
		if (net_prefix_holds(&p->own6[i].addr, p->own6[i].prefix, addr))
			return true;
	return false;
}

static unsigned common_bits(const struct ipaddr *a, const struct ipaddr *b)
{
	unsigned bit = 0;

	while (bit < 128 && ((a->b[bit / 8] ^ b->b[bit / 8]) >> (7 - bit % 8) & 1) == 0)
		bit++;
	return bit;
}

static unsigned label_of(const struct ipaddr *a)
{
	for (unsigned i = 0; i < sizeof(policy) / sizeof(policy[0]); i++)
		if (common_bits(a, &policy[i].prefix) >= policy[i].bits)
			return policy[i].label;
	return LABEL_OTHERS;
}

/* Rules 2, 6 and 8 as one number, the larger the better; rules 3 to 5 and 7 tell nothing about written addresses of one port. */
static unsigned fitness(const struct net_own6 *own, const struct ipaddr *dst)
{
	bool local = is_link_local(dst) || is_group6(dst);
	unsigned common = common_bits(&own->addr, dst);

	if (common > own->prefix)
		common = own->prefix;
	/* A link-local address is of no use beyond its link, while a global one may be used on it. */
	return (is_link_local(&own->addr) == local) << 10 | !is_link_local(&own->addr) << 9 |
	       (label_of(&own->addr) == label_of(dst)) << 8 | common;
}

bool ip6_source(const struct net *net, unsigned port, const struct ipaddr *dst, struct ipaddr *src)
{
	const struct net_port *p = &net->port[port];
	const struct net_own6 *best = NULL;

	for (unsigned i = 0; i < p->owns6; i++) {
		const struct net_own6 *own = &p->own6[i];

		if (own->state == OWN6_GOOD && (!best || fitness(own, dst) > fitness(best, dst)))
			best = own;
	}
	if (!best || (is_link_local(&best->addr) && !is_link_local(dst) && !is_group6(dst)))
		return false;
	*src = best->addr;
	return true;
}

/* --- The configuration -------------------------------------------------------------------------------------------- */

/* RFC 4291, appendix A: the interface identifier of a link address. */
static struct ipaddr link_local_of(const uint8_t mac[6])
{
	return (struct ipaddr){.b = {0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}};
}

static void complete_port(struct net_port_conf *p, unsigned port)
{
	bool six = false, local = false;

	for (unsigned i = 0; i < p->addrs; i++) {
		six |= !is_ip4(&p->addr[i].addr);
		local |= is_link_local(&p->addr[i].addr);
	}
	if (six && !local) {
		p->addr[p->addrs].addr = link_local_of(p->nic->mac);
		p->addr[p->addrs++].prefix = LINK_LOCAL_PREFIX;
	}
	for (unsigned i = 0; i < p->addrs; i++)
		p->addr[i].addr = net_zone(p->addr[i].addr.b, port);
	p->gateway6 = net_zone(p->gateway6.b, port);
}

void net_conf_complete(struct net_conf *c)
{
	for (unsigned i = 0; i < c->ports; i++)
		complete_port(&c->port[i], i);
	for (unsigned i = 0; i < c->routes; i++)
		c->route[i].via = net_zone(c->route[i].via.b, c->route[i].port);
}
