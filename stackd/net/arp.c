/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ARP (RFC 826, 5227): requests, replies and announcements.  Who is a neighbour of ours is decided in neigh.c.
 */
#include "stackd/log.h"
#include "stackd/net/neigh.h"

enum {
	ARP_LEN = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ARP_PROBES = 2,
	ARP_AGE_S = 300,           /* when not configured */
	ARP_ANNOUNCE_NUM = 2,      /* RFC 5227, 1.1 */
	ARP_ANNOUNCE_US = 2000000,
	ARP_DEFEND_US = 10000000,
};

struct arp_msg {
	uint16_t op;
	uint32_t spa, tpa;
	const uint8_t *sha;
};

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool msg_parse(const struct pkt *p, struct arp_msg *m);
static void msg_learn(struct net *net, const struct pkt *p, const struct arp_msg *m, uint64_t now_us);
static void msg_conflict(struct net *net, unsigned port, const struct arp_msg *m, uint64_t now_us);
static void msg_send(struct net *net, unsigned port, uint16_t op, uint32_t spa, uint32_t tpa, const uint8_t *tha,
                     const uint8_t *to, uint64_t now_us);
static void ask(struct net *net, const struct neigh_entry *e, uint64_t now_us);

/* Once a second at most (RFC 1122, 2.3.2.1). */
static const struct neigh_proto arp_proto = {
	.type = ETH_TYPE_IP4,
	.probes = ARP_PROBES,
	.ask_wait_us = {1000000, 2000000, 1000000},
	.ask = ask,
	.full = CNT_ARP_FULL,
	.queue_drop = CNT_ARP_QUEUE_DROP,
	.failed = CNT_ARP_FAILED,
	.moved = CNT_ARP_MOVED,
};

struct neigh *arp_create(struct net *net)
{
	return neigh_create(net, &arp_proto, net->conf.arp_age_s ? net->conf.arp_age_s : ARP_AGE_S);
}

void arp_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	struct arp_msg m;
	bool to_us;

	COUNT(net->stats, ARP_IN);
	if (!msg_parse(p, &m)) {
		COUNT(net->stats, ARP_BAD);
	} else if (m.spa != 0 && ip4_is_own(net, p->port, m.spa)) {
		if (!(p->flags & PKT_STEERED))
			msg_conflict(net, p->port, &m, now_us);
	} else {
		msg_learn(net, p, &m, now_us);
		to_us = m.op == ARP_REQUEST && ip4_is_own(net, p->port, m.tpa);
		if (to_us && !(p->flags & PKT_STEERED)) {
			COUNT(net->stats, ARP_REPLY);
			msg_send(net, p->port, ARP_REPLY, m.tpa, m.spa, m.sha, m.sha, now_us);
		}
	}
	nic_free(p);
}

/* RFC 5227, 2.3: tell everybody on every port.  One engine does it for all. */
static void announce(struct net *net, uint64_t now_us)
{
	for (unsigned i = 0; i < net->ports; i++)
		for (unsigned k = 0; k < net->port[i].owns; k++)
			msg_send(net, i, ARP_REQUEST, net->port[i].own[k].addr, net->port[i].own[k].addr, NULL, broadcast, now_us);
}

uint64_t arp_tick(struct net *net, uint64_t now_us)
{
	if (net->queue != 0 || net->announce.announced >= ARP_ANNOUNCE_NUM)
		return UINT64_MAX;
	if (now_us >= net->announce.announce_us) {
		announce(net, now_us);
		net->announce.announced++;
		net->announce.announce_us = now_us + ARP_ANNOUNCE_US;
	}
	return net->announce.announced < ARP_ANNOUNCE_NUM ? net->announce.announce_us : UINT64_MAX;
}

static bool msg_parse(const struct pkt *p, struct arp_msg *m)
{
	static const uint8_t ether_ip4[6] = {0, 1, 0x08, 0, 6, 4};
	static const uint8_t none[6];
	const uint8_t *d = p->data + p->l3_off;

	if (p->len < p->l3_off + (uint32_t)ARP_LEN || memcmp(d, ether_ip4, sizeof(ether_ip4)) != 0)
		return false;
	m->op = get16(d + 6);
	m->sha = d + 8;
	m->spa = get32(d + 14);
	m->tpa = get32(d + 24);
	return (m->op == ARP_REQUEST || m->op == ARP_REPLY) && !(m->sha[0] & 1) && memcmp(m->sha, none, 6) != 0;
}

static bool is_on_link(const struct net *net, unsigned port, uint32_t addr)
{
	const struct net_port *p = &net->port[port];

	for (unsigned i = 0; i < p->owns; i++)
		if (((p->own[i].addr ^ addr) & p->own[i].mask) == 0)
			return true;
	return false;
}

static void msg_learn(struct net *net, const struct pkt *p, const struct arp_msg *m, uint64_t now_us)
{
	struct ipaddr spa = from_ip4(m->spa);
	struct neigh_entry *e;

	if (!ip4_is_unicast(net, p->port, m->spa))
		return;
	e = *neigh_find(net, net->arp, p->port, &spa);
	if (!e && m->op == ARP_REQUEST && ip4_is_own(net, p->port, m->tpa) && is_on_link(net, p->port, m->spa))
		e = neigh_entry_new(net, net->arp, p->port, &spa, false);
	if (e)
		neigh_confirm(net, net->arp, e, m->sha, now_us);
}

/* RFC 5227, 2.4 (b): keep the address, say so once in a while. */
static void msg_conflict(struct net *net, unsigned port, const struct arp_msg *m, uint64_t now_us)
{
	struct net_port *np = &net->port[port];

	if (memcmp(m->sha, np->nic->mac, 6) == 0)
		return;
	COUNT(net->stats, ARP_CONFLICT);
	if (net->announce.defended_us && now_us - net->announce.defended_us < ARP_DEFEND_US)
		return;
	net->announce.defended_us = now_us ? now_us : 1;
	log_warn("net", "%s: %02x:%02x:%02x:%02x:%02x:%02x claims our address %u.%u.%u.%u", np->nic->name, m->sha[0], m->sha[1],
	         m->sha[2], m->sha[3], m->sha[4], m->sha[5], m->spa >> 24, m->spa >> 16 & 255, m->spa >> 8 & 255, m->spa & 255);
	msg_send(net, port, ARP_REQUEST, m->spa, m->spa, NULL, broadcast, now_us);
}

static void msg_send(struct net *net, unsigned port, uint16_t op, uint32_t spa, uint32_t tpa, const uint8_t *tha,
                     const uint8_t *to, uint64_t now_us)
{
	struct net_port *np = &net->port[port];
	struct pkt *p = eth_alloc(net, np, ARP_LEN);
	uint8_t *d;

	if (!p)
		return;
	d = p->data + p->l3_off;
	memcpy(d, "\0\1\x08\0\6\4", 6);
	put16(d + 6, op);
	memcpy(d + 8, np->nic->mac, 6);
	put32(d + 14, spa);
	memset(d + 18, 0, 6);
	if (tha)
		memcpy(d + 18, tha, 6);
	put32(d + 24, tpa);
	if (op == ARP_REQUEST)
		COUNT(net->stats, ARP_REQUEST);
	eth_out(net, p, to, ETH_TYPE_ARP, now_us);
}

/* The address to ask with: one of the neighbour's subnet. */
static uint32_t ask_as(const struct net_port *port, uint32_t addr)
{
	for (unsigned i = 0; i < port->owns; i++)
		if (((port->own[i].addr ^ addr) & port->own[i].mask) == 0)
			return port->own[i].addr;
	return port->owns ? port->own[0].addr : 0;
}

static void ask(struct net *net, const struct neigh_entry *e, uint64_t now_us)
{
	uint32_t addr = to_ip4(&e->addr);

	msg_send(net, e->port, ARP_REQUEST, ask_as(&net->port[e->port], addr), addr, NULL,
	         e->state == NEIGH_PROBING ? e->mac : broadcast, now_us);
}
