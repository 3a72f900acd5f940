/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Does somebody else have our addresses?  Duplicate address detection (RFC 4862, 5.4), and what a claim means afterwards.
 *
 *   TENTATIVE -> GOOD         nobody has answered our solicitations
 *             -> DUPLICATE    somebody has, or asks for the same; told in the log, never used until stackd starts again
 *
 * A duplicate of the link-local address that is made from the link address means that this is not unique either: the port then
 * speaks no IPv6 at all (5.4.5).  A claim of a GOOD address is answered with an advertisement of ours, once in a while.
 *
 * Each engine goes through this by itself, with the same messages; the first one alone asks and speaks.
 */
#include <arpa/inet.h>

#include "stackd/log.h"
#include "stackd/net/priv.h"

enum {
	RETRANS_US = 1000000,
	DEFEND_US = 10000000,
	MLD_REPORTS = 2, /* RFC 3810, 9.1: robustness */
};

static const struct ipaddr nobody;

static void report_groups(struct net_port *port, uint64_t at_us)
{
	port->mld.left = MLD_REPORTS;
	port->mld.due_us = port->owns6 > 0 ? at_us : 0;
}

void dad_start(struct net *net, struct net_port *port, uint64_t now_us)
{
	for (unsigned i = 0; i < port->owns6; i++) {
		port->own6[i].state = net->conf.dad > 0 ? OWN6_TENTATIVE : OWN6_GOOD;
		port->own6[i].when_us = now_us;
	}
	report_groups(port, 1);
}

static void tell(const struct net *net, unsigned port, const struct ipaddr *addr, const uint8_t mac[6], const char *what)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t wire[16];

	net_wire(wire, addr);
	inet_ntop(AF_INET6, wire, text, sizeof(text));
	if (net->queue == 0)
		log_warn("net", "%s: %02x:%02x:%02x:%02x:%02x:%02x %s %s", net->port[port].nic->name, mac[0], mac[1], mac[2], mac[3],
		         mac[4], mac[5], what, text);
}

static bool made_from(const struct ipaddr *addr, const uint8_t mac[6])
{
	const uint8_t id[8] = {mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};

	return is_link_local(addr) && memcmp(addr->b + 8, id, sizeof(id)) == 0;
}

static void defend(struct net *net, unsigned port, const struct ipaddr *addr, const uint8_t mac[6], uint64_t now_us)
{
	struct net_port *np = &net->port[port];

	if (np->defended6_us && now_us - np->defended6_us < DEFEND_US)
		return;
	np->defended6_us = now_us ? now_us : 1;
	tell(net, port, addr, mac, "claims our address");
	if (net->queue == 0)
		nd_claim(net, port, addr, now_us);
}

void dad_conflict(struct net *net, unsigned port, const struct ipaddr *addr, const uint8_t mac[6], uint64_t now_us)
{
	struct net_port *np = &net->port[port];
	struct net_own6 *own = ip6_own(net, port, addr);

	if (!own || memcmp(mac, np->nic->mac, 6) == 0) /* an echo of our own */
		return;
	COUNT(net->stats, ND_CONFLICT);
	if (own->state == OWN6_GOOD) {
		defend(net, port, addr, mac, now_us);
		return;
	}
	if (own->state == OWN6_TENTATIVE)
		tell(net, port, addr, mac, "has our address, which is not used until stackd starts again:");
	own->state = OWN6_DUPLICATE;
	if (!made_from(addr, np->nic->mac))
		return;
	for (unsigned i = 0; i < np->owns6; i++)
		np->own6[i].state = OWN6_DUPLICATE;
}

static void go_on(struct net *net, unsigned port, struct net_own6 *own, uint64_t now_us)
{
	if (own->asked == net->conf.dad) {
		own->state = OWN6_GOOD;
		if (is_link_local(&own->addr)) /* routers want reports that come from it (RFC 3810, 5.2.13) */
			report_groups(&net->port[port], now_us);
		return;
	}
	own->asked++;
	own->when_us = now_us + RETRANS_US;
	if (net->queue == 0)
		nd_solicit(net, port, &nobody, &own->addr, NULL, now_us);
}

uint64_t dad_tick(struct net *net, uint64_t now_us)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < net->ports; i++) {
		for (unsigned k = 0; k < net->port[i].owns6; k++) {
			struct net_own6 *own = &net->port[i].own6[k];

			if (own->state == OWN6_TENTATIVE && own->when_us <= now_us)
				go_on(net, i, own, now_us);
			if (own->state == OWN6_TENTATIVE && own->when_us < next)
				next = own->when_us;
		}
	}
	return next;
}
