/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where packets go: the subnets of our addresses, static routes, default gateways; longest prefix first.
 *
 * A handful of routes is searched in order of prefix length, which is faster than a table of 64 MiB and needs no EAL.  From
 * ROUTE_LINEAR_MAX on, and when EAL runs, rte_lpm and rte_lpm6 hold them.  The table never changes, so that engines with equal
 * routes could share it; each has its own all the same, so that they share nothing.
 *
 * Both families are in one list, IPv4 mapped, so that its prefixes are longer by 96 bits and neither finds the other's.
 */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>

#include <rte_errno.h>
#include <rte_lpm.h>
#include <rte_lpm6.h>

#include "stackd/log.h"
#include "stackd/net/priv.h"

enum { ROUTE_LINEAR_MAX = 16, MAPPED = 96, TBL8S_PER_ROUTE6 = 13, TBL8S_MAX6 = 16384 };

struct route_entry {
	struct ipaddr dst, mask;
	struct route_hop hop;
	bool ip4;
	uint8_t prefix;
	unsigned order; /* the first of equal ones wins */
};

struct route {
	unsigned count;
	struct rte_lpm *lpm;
	struct rte_lpm6 *lpm6;
	struct route_entry *fallback, *fallback6; /* of prefix 0, which neither table can hold */
	struct route_entry entry[];
};

static int by_prefix(const void *a, const void *b)
{
	const struct route_entry *x = a, *y = b;

	if (x->prefix != y->prefix)
		return y->prefix - x->prefix;
	return x->order < y->order ? -1 : 1;
}

static struct ipaddr mask_of(unsigned prefix)
{
	struct ipaddr m = {.w = {0}};

	for (unsigned bit = 0; bit < prefix; bit++)
		m.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return m;
}

static int entry_add(struct route *r, const struct ipaddr *dst, unsigned prefix, const struct ipaddr *via, unsigned port)
{
	struct route_entry *e = &r->entry[r->count];
	bool direct = is_unspecified(via);

	e->ip4 = is_ip4(dst);
	if (prefix > (e->ip4 ? 32 : 128) || (!direct && is_ip4(via) != e->ip4))
		return -EINVAL;
	e->dst = *dst;
	e->prefix = (uint8_t)(prefix + (e->ip4 ? MAPPED : 0));
	e->mask = mask_of(e->prefix);
	for (unsigned i = 0; i < 4; i++)
		e->dst.w[i] &= e->mask.w[i];
	e->hop.via = direct ? (struct ipaddr){.w = {0}} : *via;
	e->hop.port = (uint8_t)port;
	e->order = r->count++;
	return 0;
}

static int entries_collect(struct route *r, const struct net_conf *c)
{
	const struct ipaddr none = {.w = {0}}, none4 = from_ip4(0);
	int ret = 0;

	for (unsigned i = 0; i < c->ports && !ret; i++)
		for (unsigned k = 0; k < c->port[i].addrs && !ret; k++)
			ret = entry_add(r, &c->port[i].addr[k].addr, c->port[i].addr[k].prefix, &none, i);
	for (unsigned i = 0; i < c->routes && !ret; i++)
		ret = c->route[i].port < c->ports ? entry_add(r, &c->route[i].dst, c->route[i].prefix, &c->route[i].via,
		                                              c->route[i].port) : -EINVAL;
	for (unsigned i = 0; i < c->ports && !ret; i++) {
		if (!is_unspecified(&c->port[i].gateway))
			ret = entry_add(r, &none4, 0, &c->port[i].gateway, i);
		if (!ret && !is_unspecified(&c->port[i].gateway6))
			ret = entry_add(r, &none, 0, &c->port[i].gateway6, i);
	}
	return ret;
}

/* Inserted from the end, so that of equal destinations the first stays. */
static int lpm_fill(struct route *r, const char *name, unsigned count)
{
	struct rte_lpm_config conf = {.max_rules = count, .number_tbl8s = count};

	r->lpm = rte_lpm_create(name, SOCKET_ID_ANY, &conf);
	if (!r->lpm)
		return -rte_errno;
	for (unsigned i = r->count; i-- > 0;) {
		const struct route_entry *e = &r->entry[i];

		if (!e->ip4)
			continue;
		if (e->prefix == MAPPED)
			r->fallback = &r->entry[i];
		else if (rte_lpm_add(r->lpm, to_ip4(&e->dst), (uint8_t)(e->prefix - MAPPED), i))
			return -ENOMEM;
	}
	return 0;
}

static int lpm6_fill(struct route *r, const char *name, unsigned count)
{
	uint32_t tbl8s = count * TBL8S_PER_ROUTE6;
	struct rte_lpm6_config conf = {.max_rules = count, .number_tbl8s = tbl8s < TBL8S_MAX6 ? tbl8s : TBL8S_MAX6};

	r->lpm6 = rte_lpm6_create(name, SOCKET_ID_ANY, &conf);
	if (!r->lpm6)
		return -rte_errno;
	for (unsigned i = r->count; i-- > 0;) {
		const struct route_entry *e = &r->entry[i];

		if (e->ip4)
			continue;
		if (e->prefix == 0)
			r->fallback6 = &r->entry[i];
		else if (rte_lpm6_add(r->lpm6, e->dst.b, e->prefix, i))
			return -ENOMEM;
	}
	return 0;
}

static void lpm_free(struct route *r)
{
	if (r->lpm)
		rte_lpm_free(r->lpm);
	if (r->lpm6)
		rte_lpm6_free(r->lpm6);
	r->lpm = NULL;
	r->lpm6 = NULL;
}

static void lpm_try(struct route *r)
{
	static _Atomic unsigned serial;
	unsigned ip4 = 0;
	char name[RTE_LPM_NAMESIZE];
	int ret = 0;

	for (unsigned i = 0; i < r->count; i++)
		ip4 += r->entry[i].ip4;
	if (!nic_eal_ready())
		return;
	snprintf(name, sizeof(name), "routes%u", serial++);
	if (ip4 > ROUTE_LINEAR_MAX)
		ret = lpm_fill(r, name, ip4);
	if (!ret && r->count - ip4 > ROUTE_LINEAR_MAX)
		ret = lpm6_fill(r, name, r->count - ip4);
	if (!ret)
		return;
	log_warn("net", "no memory for a routing table (%s): %u routes are searched one by one", strerror(-ret), r->count);
	lpm_free(r);
}

struct route *route_create(struct net *net)
{
	const struct net_conf *c = &net->conf;
	unsigned max = c->ports * (NET_ADDRS_MAX + 3) + c->routes;
	struct route *r = calloc(1, sizeof(*r) + max * sizeof(r->entry[0]));

	if (!r)
		return NULL;
	if (entries_collect(r, c)) {
		free(r);
		errno = EINVAL;
		return NULL;
	}
	qsort(r->entry, r->count, sizeof(r->entry[0]), by_prefix);
	lpm_try(r);
	return r;
}

void route_destroy(struct route *r)
{
	if (!r)
		return;
	lpm_free(r);
	free(r);
}

static bool covers(const struct route_entry *e, const struct ipaddr *dst)
{
	uint32_t differ = 0;

	for (unsigned i = 0; i < 4; i++)
		differ |= (dst->w[i] & e->mask.w[i]) ^ e->dst.w[i];
	return differ == 0;
}

static const struct route_entry *lookup(const struct route *r, const struct ipaddr *dst)
{
	bool ip4 = is_ip4(dst);
	uint32_t i;

	if (ip4 && r->lpm)
		return rte_lpm_lookup(r->lpm, to_ip4(dst), &i) == 0 ? &r->entry[i] : r->fallback;
	if (!ip4 && r->lpm6)
		return rte_lpm6_lookup(r->lpm6, dst->b, &i) == 0 ? &r->entry[i] : r->fallback6;
	for (i = 0; i < r->count; i++)
		if (r->entry[i].ip4 == ip4 && covers(&r->entry[i], dst))
			return &r->entry[i];
	return NULL;
}

/* A link-local address names its port. */
static bool link_local_find(const struct net *net, const struct ipaddr *dst, struct route_hop *hop)
{
	unsigned port = dst->b[3] - 1u;

	if (dst->b[2] != 0 || port >= net->ports || net->port[port].owns6 == 0 || ip6_is_any_own(net, dst))
		return false;
	*hop = (struct route_hop){.port = (uint8_t)port};
	return true;
}

bool route_find(const struct net *net, const struct ipaddr *dst, struct route_hop *hop)
{
	const struct route_entry *e;

	if (is_link_local(dst))
		return link_local_find(net, dst, hop);
	e = lookup(net->route, dst);
	if (!e)
		return false;
	if (is_ip4(dst) ? !ip4_is_unicast(net, e->hop.port, to_ip4(dst)) || ip4_is_any_own(net, to_ip4(dst))
	                : !ip6_is_unicast(dst) || ip6_is_any_own(net, dst))
		return false;
	*hop = e->hop;
	return true;
}
