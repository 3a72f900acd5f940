/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Neighbour discovery (RFC 4861): solicitations and advertisements.  Who is a neighbour of ours is decided in neigh.c, who has
 * one of our addresses in dad.c.
 *
 * Routers are configured: what they advertise is counted and not believed, redirects neither.
 */
#include "stackd/net/neigh.h"

enum {
	ND_AGE_S = 30,       /* when not configured: REACHABLE_TIME */
	ND_PROBES = 3,       /* MAX_UNICAST_SOLICIT */
	ND_DELAY_US = 5000000, /* DELAY_FIRST_PROBE_TIME */
	ND_LEN = 24,
	ND_HOPS = 255,
	ND_OPTIONS_MAX = 32,
	OPT_SOURCE_MAC = 1,
	OPT_TARGET_MAC = 2,
	OPT_MAC_LEN = 8,
	FLAG_SOLICITED = 0x40,
	FLAG_OVERRIDE = 0x20,
};

/* A solicitation or an advertisement, checked. */
struct nd_msg {
	struct ipaddr target;
	uint8_t flags;
	const uint8_t *mac; /* of the source or of the target; NULL: it is not told */
};

static const struct ipaddr nobody;
static const struct ipaddr all_nodes = {.b = {0xff, 2, [15] = 1}};

static void ask(struct net *net, const struct neigh_entry *e, uint64_t now_us);

static const struct neigh_proto nd_proto = {
	.type = ETH_TYPE_IP6,
	.probes = ND_PROBES,
	.delay_us = ND_DELAY_US,
	.ask_wait_us = {1000000, 1000000, 1000000}, /* RETRANS_TIMER */
	.ask = ask,
	.full = CNT_ND_FULL,
	.queue_drop = CNT_ND_QUEUE_DROP,
	.failed = CNT_ND_FAILED,
	.moved = CNT_ND_MOVED,
};

struct neigh *nd_create(struct net *net)
{
	for (unsigned i = 0; i < net->ports; i++)
		dad_start(net, &net->port[i], 0);
	return neigh_create(net, &nd_proto, net->conf.nd_age_s ? net->conf.nd_age_s : ND_AGE_S);
}

uint64_t nd_tick(struct net *net, uint64_t now_us)
{
	uint64_t mld_us = mld_tick(net, now_us), dad_us = dad_tick(net, now_us); /* groups are joined first (RFC 4862, 5.4.2) */

	return dad_us < mld_us ? dad_us : mld_us;
}

/* --- In ------------------------------------------------------------------------------------------------------------ */

/* A link address that can be one host's. */
static bool is_host(const uint8_t *mac)
{
	static const uint8_t none[6];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none)) != 0;
}

/* The link address that one of the options tells; false: they are malformed (4.6). */
static bool option_find(const uint8_t *opt, uint32_t len, uint8_t type, const uint8_t **mac)
{
	*mac = NULL;
	for (unsigned n = 0; len > 0; n++) {
		uint32_t size = len >= 2 ? opt[1] * 8u : 0;

		if (size == 0 || size > len || n == ND_OPTIONS_MAX)
			return false;
		if (opt[0] == type && size == OPT_MAC_LEN && is_host(opt + 2))
			*mac = opt + 2;
		opt += size;
		len -= size;
	}
	return true;
}

static bool msg_parse(const struct pkt *p, const uint8_t *icmp, uint32_t len, struct nd_msg *m)
{
	if (len < ND_LEN)
		return false;
	m->target = net_zone(icmp + 8, p->port);
	m->flags = icmp[4];
	return ip6_is_unicast(&m->target) &&
	       option_find(icmp + ND_LEN, len - ND_LEN, icmp[0] == ICMP6_SOLICIT ? OPT_SOURCE_MAC : OPT_TARGET_MAC, &m->mac);
}

static void advert_send(struct net *net, const struct ip6_local *to, uint8_t flags, uint64_t now_us)
{
	uint8_t msg[ND_LEN + OPT_MAC_LEN] = {ICMP6_ADVERT, [4] = flags};

	net_wire(msg + 8, to->src);
	msg[ND_LEN] = OPT_TARGET_MAC;
	msg[ND_LEN + 1] = 1;
	memcpy(msg + ND_LEN + 2, net->port[to->port].nic->mac, 6);
	COUNT(net->stats, ND_ADVERT_OUT);
	ip6_send_local(net, to, msg, sizeof(msg), now_us);
}

void nd_claim(struct net *net, unsigned port, const struct ipaddr *addr, uint64_t now_us)
{
	const struct ip6_local to = {port, addr, &all_nodes, NULL, ND_HOPS, NULL, 0};

	advert_send(net, &to, FLAG_OVERRIDE, now_us);
}

/* To where the question came from; to all when it had no address (7.2.4). */
static void answer(struct net *net, const struct pkt *p, const struct nd_msg *m, uint64_t now_us)
{
	const struct ip6_local to = {p->port, &m->target, &p->src, m->mac ? m->mac : p->data + 6, ND_HOPS, NULL, 0};

	if (ip6_is_unicast(&p->src))
		advert_send(net, &to, FLAG_SOLICITED | FLAG_OVERRIDE, now_us);
	else
		nd_claim(net, p->port, &m->target, now_us);
}

/* 7.1.1 and 7.2.3; RFC 4862, 5.4.3 */
static void solicited(struct net *net, const struct pkt *p, const struct nd_msg *m, uint64_t now_us)
{
	bool anonymous = !ip6_is_unicast(&p->src);
	struct ipaddr group = ip6_group_of(&m->target);

	if (anonymous && (m->mac || !ipaddr_equal(&p->dst, &group))) {
		COUNT(net->stats, ND_BAD);
		return;
	}
	if (!ip6_own(net, p->port, &m->target))
		return;
	if (!ip6_is_own(net, p->port, &m->target)) {
		if (anonymous)
			dad_conflict(net, p->port, &m->target, p->data + 6, now_us);
		return;
	}
	if (!anonymous && m->mac && ip6_on_link(net, p->port, &p->src))
		neigh_hint(net, net->nd, p->port, &p->src, m->mac, now_us);
	if (!(p->flags & PKT_STEERED))
		answer(net, p, m, now_us);
}

/* 7.1.2 and 7.2.5.  Nobody learns from an answer that was not asked for, but that another host claims what we know. */
static void advertised(struct net *net, const struct pkt *p, const struct nd_msg *m, uint64_t now_us)
{
	struct neigh_entry *e;
	bool asked = m->flags & FLAG_SOLICITED;

	if (asked && is_group6(&p->dst)) {
		COUNT(net->stats, ND_BAD);
		return;
	}
	if (ip6_own(net, p->port, &m->target)) {
		dad_conflict(net, p->port, &m->target, m->mac ? m->mac : p->data + 6, now_us);
		return;
	}
	e = *neigh_find(net, net->nd, p->port, &m->target);
	if (!e || e->state == NEIGH_FAILED || (e->state == NEIGH_ASKING && !m->mac)) {
		COUNT(net->stats, ND_UNKNOWN);
		return;
	}
	if (asked)
		neigh_confirm(net, net->nd, e, m->mac ? m->mac : e->mac, now_us);
	else if (m->mac)
		neigh_hint(net, net->nd, p->port, &m->target, m->mac, now_us);
}

void nd_in(struct net *net, const struct pkt *p, const uint8_t *icmp, uint32_t len, uint64_t now_us)
{
	struct nd_msg m;

	COUNT(net->stats, ND_IN);
	switch (icmp[0]) {
	case ICMP6_ROUTER_ADVERT:
		COUNT(net->stats, ND_ROUTER_ADVERT);
		return;
	case ICMP6_REDIRECT:
		COUNT(net->stats, ND_REDIRECT);
		return;
	case ICMP6_SOLICIT:
	case ICMP6_ADVERT:
		break;
	default: /* solicitations of routers, which we are not */
		return;
	}
	if (!msg_parse(p, icmp, len, &m))
		COUNT(net->stats, ND_BAD);
	else if (icmp[0] == ICMP6_SOLICIT)
		solicited(net, p, &m, now_us);
	else
		advertised(net, p, &m, now_us);
}

/* --- Out ----------------------------------------------------------------------------------------------------------- */

void nd_solicit(struct net *net, unsigned port, const struct ipaddr *src, const struct ipaddr *target, const uint8_t *mac,
                uint64_t now_us)
{
	uint8_t msg[ND_LEN + OPT_MAC_LEN] = {ICMP6_SOLICIT};
	struct ipaddr group = ip6_group_of(target);
	struct ip6_local to = {port, src, mac ? target : &group, mac, ND_HOPS, NULL, 0};
	bool anonymous = ipaddr_equal(src, &nobody);

	net_wire(msg + 8, target);
	msg[ND_LEN] = OPT_SOURCE_MAC;
	msg[ND_LEN + 1] = 1;
	memcpy(msg + ND_LEN + 2, net->port[port].nic->mac, 6);
	COUNT(net->stats, ND_SOLICIT_OUT);
	ip6_send_local(net, &to, msg, anonymous ? ND_LEN : (uint32_t)sizeof(msg), now_us);
}

/* Without an address that may speak, nothing can be asked: the entry fails in its time. */
static void ask(struct net *net, const struct neigh_entry *e, uint64_t now_us)
{
	struct ipaddr src;

	if (ip6_source(net, e->port, &e->addr, &src))
		nd_solicit(net, e->port, &src, &e->addr, e->state == NEIGH_PROBING ? e->mac : NULL, now_us);
}
