/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where packets go: the subnets of our addresses, static routes, default gateways; longest prefix first.
 *
 * A handful of routes is searched in order of prefix length, which is faster than a table of 64 MiB and needs no EAL.  From
 * ROUTE_LINEAR_MAX on, and when EAL runs, rte_lpm holds them.  The table never changes, so that engines with equal routes
 * could share it; each has its own all the same, so that they share nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>

#include <rte_errno.h>
#include <rte_lpm.h>

#include "stackd/log.h"
#include "stackd/net/priv.h"

enum { ROUTE_LINEAR_MAX = 16 };

struct route_entry {
	uint32_t dst, mask;
	struct route_hop hop;
	uint8_t prefix;
	unsigned order; /* the first of equal ones wins */
};

struct route {
	unsigned count;
	struct rte_lpm *lpm;
	struct route_entry *fallback; /* of prefix 0, which rte_lpm cannot hold */
	struct route_entry entry[];
};

static int by_prefix(const void *a, const void *b)
{
	const struct route_entry *x = a, *y = b;

	if (x->prefix != y->prefix)
		return y->prefix - x->prefix;
	return x->order < y->order ? -1 : 1;
}

static int entry_add(struct route *r, const struct ipaddr *dst, unsigned prefix, const struct ipaddr *via, unsigned port)
{
	struct route_entry *e = &r->entry[r->count];

	if (prefix > 32 || !(is_ip4(dst) || is_unspecified(dst)) || !(is_unspecified(via) || is_ip4(via)))
		return -EINVAL;
	e->mask = prefix_mask(prefix);
	e->dst = is_ip4(dst) ? to_ip4(dst) & e->mask : 0;
	e->hop.via = is_unspecified(via) ? 0 : to_ip4(via);
	e->hop.port = (uint8_t)port;
	e->prefix = (uint8_t)prefix;
	e->order = r->count++;
	return 0;
}

static int entries_collect(struct route *r, const struct net_conf *c)
{
	const struct ipaddr none = {.w = {0}};
	int ret = 0;

	for (unsigned i = 0; i < c->ports && !ret; i++)
		for (unsigned k = 0; k < c->port[i].addrs && !ret; k++)
			ret = entry_add(r, &c->port[i].addr[k].addr, c->port[i].addr[k].prefix, &none, i);
	for (unsigned i = 0; i < c->routes && !ret; i++)
		ret = c->route[i].port < c->ports ? entry_add(r, &c->route[i].dst, c->route[i].prefix, &c->route[i].via,
		                                              c->route[i].port) : -EINVAL;
	for (unsigned i = 0; i < c->ports && !ret; i++)
		if (!is_unspecified(&c->port[i].gateway))
			ret = entry_add(r, &none, 0, &c->port[i].gateway, i);
	return ret;
}

/* Inserted from the end, so that of equal destinations the first stays. */
static int lpm_fill(struct route *r)
{
	static _Atomic unsigned serial;
	struct rte_lpm_config conf = {.max_rules = r->count, .number_tbl8s = r->count};
	char name[RTE_LPM_NAMESIZE];

	snprintf(name, sizeof(name), "routes%u", serial++);
	r->lpm = rte_lpm_create(name, SOCKET_ID_ANY, &conf);
	if (!r->lpm)
		return -rte_errno;
	for (unsigned i = r->count; i-- > 0;)
		if (r->entry[i].prefix > 0 && rte_lpm_add(r->lpm, r->entry[i].dst, r->entry[i].prefix, i))
			return -ENOMEM;
	return 0;
}

static void lpm_try(struct route *r)
{
	int ret;

	if (r->count <= ROUTE_LINEAR_MAX || !nic_eal_ready())
		return;
	if (r->entry[r->count - 1].prefix == 0)
		for (r->fallback = &r->entry[r->count - 1]; r->fallback > r->entry && r->fallback[-1].prefix == 0;)
			r->fallback--;
	ret = lpm_fill(r);
	if (!ret)
		return;
	log_warn("net", "no memory for a routing table (%s): %u routes are searched one by one", strerror(-ret), r->count);
	rte_lpm_free(r->lpm);
	r->lpm = NULL;
}

struct route *route_create(struct net *net)
{
	const struct net_conf *c = &net->conf;
	unsigned max = c->ports * (NET_ADDRS_MAX + 1) + c->routes;
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
	if (r->lpm)
		rte_lpm_free(r->lpm);
	free(r);
}

static const struct route_entry *lookup(const struct route *r, uint32_t dst)
{
	uint32_t i;

	if (r->lpm)
		return rte_lpm_lookup(r->lpm, dst, &i) == 0 ? &r->entry[i] : r->fallback;
	for (i = 0; i < r->count; i++)
		if ((dst & r->entry[i].mask) == r->entry[i].dst)
			return &r->entry[i];
	return NULL;
}

bool route_find(const struct net *net, uint32_t dst, struct route_hop *hop)
{
	const struct route_entry *e = lookup(net->route, dst);

	if (!e || !ip4_is_unicast(net, e->hop.port, dst) || ip4_is_any_own(net, dst))
		return false;
	*hop = e->hop;
	return true;
}
