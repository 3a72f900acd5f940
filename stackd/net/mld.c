/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which groups we are in, told to switches that deliver only to those who ask (RFC 3810, and RFC 2710 for old queriers): the
 * solicited-node groups of our addresses, at start and when somebody asks.
 */
#include "stackd/net/priv.h"

enum {
	MLD_UNSOLICITED_US = 1000000, /* RFC 3810, 9.11 */
	MLD_OLD_LEN = 24,
	MLD_QUERY_LEN = 28,
	MLD_RECORD = 20,
	MLD_IS_EXCLUDE = 2,
	MLD_DELAY_US = 10000000, /* whatever the querier allows, not later than this */
};

/* A router's alert (RFC 2711) in a hop-by-hop header. */
static const uint8_t alert[8] = {PROTO_ICMP6, 0, 5, 2, 0, 0, 1, 0};
static const struct ipaddr all_routers2 = {.b = {0xff, 2, [15] = 0x16}};

/* The groups of a port without repetitions; returns how many. */
static unsigned groups_of(const struct net_port *port, struct ipaddr group[NET_ADDRS_MAX + 1])
{
	unsigned n = 0;

	for (unsigned i = 0; i < port->owns6; i++) {
		struct ipaddr g = ip6_group_of(&port->own6[i].addr);
		unsigned k = 0;

		while (k < n && !ipaddr_equal(&group[k], &g))
			k++;
		if (k == n)
			group[n++] = g;
	}
	return n;
}

/* RFC 3810, 5.1.3 */
static uint32_t delay_us(const uint8_t *icmp, uint32_t len)
{
	uint32_t code = get16(icmp + 4), ms = code;

	if (len >= MLD_QUERY_LEN && code >= 0x8000)
		ms = ((code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3);
	return ms > MLD_DELAY_US / 1000 ? MLD_DELAY_US : ms * 1000;
}

/* All our groups are told at once, whichever is asked for: there are few.  The first engine does it. */
void mld_in(struct net *net, const struct pkt *p, const uint8_t *icmp, uint32_t len, uint64_t now_us)
{
	struct net_mld *mld = &net->port[p->port].mld;
	uint64_t at_us;

	COUNT(net->stats, MLD_IN);
	if (icmp[0] != ICMP6_MLD_QUERY || net->queue != 0)
		return;
	if (len < MLD_OLD_LEN || (len > MLD_OLD_LEN && len < MLD_QUERY_LEN)) {
		COUNT(net->stats, ND_BAD);
		return;
	}
	mld->old = len == MLD_OLD_LEN;
	at_us = now_us + net_random(net) % (delay_us(icmp, len) + 1);
	if (mld->due_us == 0 || at_us < mld->due_us)
		mld->due_us = at_us;
}

static void report_old(struct net *net, unsigned port, const struct ipaddr *src, const struct ipaddr *group, uint64_t now_us)
{
	uint8_t msg[MLD_OLD_LEN] = {ICMP6_MLD_REPORT};
	struct ip6_local to = {port, src, group, NULL, 1, alert, sizeof(alert)};

	memcpy(msg + 8, group->b, 16);
	COUNT(net->stats, MLD_OUT);
	ip6_send_local(net, &to, msg, sizeof(msg), now_us);
}

static void report(struct net *net, unsigned port, const struct ipaddr *src, const struct ipaddr *group, unsigned n, uint64_t now_us)
{
	uint8_t msg[ICMP_HDR + (NET_ADDRS_MAX + 1) * MLD_RECORD] = {ICMP6_MLD2_REPORT};
	struct ip6_local to = {port, src, &all_routers2, NULL, 1, alert, sizeof(alert)};

	put16(msg + 6, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		msg[ICMP_HDR + i * MLD_RECORD] = MLD_IS_EXCLUDE;
		memcpy(msg + ICMP_HDR + i * MLD_RECORD + 4, group[i].b, 16);
	}
	COUNT(net->stats, MLD_OUT);
	ip6_send_local(net, &to, msg, ICMP_HDR + n * MLD_RECORD, now_us);
}

/* The link-local address, or, while it may be another's, none (RFC 3810, 5.2.13). */
static struct ipaddr source_of(const struct net_port *port)
{
	for (unsigned i = 0; i < port->owns6; i++)
		if (is_link_local(&port->own6[i].addr) && port->own6[i].state == OWN6_GOOD)
			return port->own6[i].addr;
	return (struct ipaddr){.w = {0}};
}

static void port_report(struct net *net, unsigned i, uint64_t now_us)
{
	struct net_port *port = &net->port[i];
	struct ipaddr group[NET_ADDRS_MAX + 1], src = source_of(port);
	unsigned n = groups_of(port, group);

	if (!port->mld.old)
		report(net, i, &src, group, n, now_us);
	for (unsigned k = 0; port->mld.old && k < n; k++)
		report_old(net, i, &src, &group[k], now_us);
	port->mld.left -= port->mld.left > 0;
	port->mld.due_us = port->mld.left > 0 ? now_us + MLD_UNSOLICITED_US : 0;
}

uint64_t mld_tick(struct net *net, uint64_t now_us)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < net->ports && net->queue == 0; i++) {
		struct net_mld *mld = &net->port[i].mld;

		if (mld->due_us != 0 && mld->due_us <= now_us)
			port_report(net, i, now_us);
		if (mld->due_us != 0 && mld->due_us < next)
			next = mld->due_us;
	}
	return next;
}
