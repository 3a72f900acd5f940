/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Neighbours: ARP (RFC 826, 5227) and what waits for it.
 *
 *   none -> ASKING -> KNOWN <-> PROBING      a broadcast request, an answer, a unicast poll of what has aged
 *             |         ^         |
 *             v         +---------+-> none
 *           FAILED -> none                    after a moment in which nobody is asked again; what waited then is dropped
 *
 * Only we make entries: by sending to somebody, or by answering a request to us while there is room.  What arrives for a known
 * one with another link address changes nothing: the host that we know is polled, and forgotten if it is silent.  So nobody
 * can take the place of one that answers; a neighbour that moves is found again after two seconds.  arp_table.c keeps them.
 */
#include "stackd/log.h"
#include "stackd/net/arp.h"

enum {
	ARP_LEN = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ARP_TRIES = 3,
	ARP_PROBES = 2,
	ARP_NEGATIVE_US = 2000000,
	ARP_PROBE_WAIT_US = 1000000,
	ARP_ANNOUNCE_NUM = 2,      /* RFC 5227, 1.1 */
	ARP_ANNOUNCE_US = 2000000,
	ARP_DEFEND_US = 10000000,
	ARP_TICK_US = 20000,       /* not more often than this */
};

/* Before the next request: once a second at most (RFC 1122, 2.3.2.1). */
static const uint32_t ask_wait_us[ARP_TRIES] = {1000000, 2000000, 1000000};

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
static void ask(struct net *net, struct arp_entry *e, uint64_t now_us);
static void entry_confirm(struct net *net, struct arp_entry *e, const uint8_t *mac, uint64_t now_us);
static void entry_doubt(struct net *net, struct arp_entry *e, uint64_t now_us);

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

/* Known for too long: ask the host itself, and go on using what we have. */
static void maybe_probe(struct net *net, struct arp_entry *e, uint64_t now_us)
{
	struct arp *a = net->arp;

	if (now_us - e->when_us < a->age_us || a->count[ARP_PROBING] >= ARP_BUSY_MAX)
		return;
	arp_entry_move(a, e, ARP_PROBING);
	e->tries = 0;
	ask(net, e, now_us);
}

void arp_send(struct net *net, struct pkt *p, uint32_t hop, uint64_t now_us)
{
	struct arp_entry *e = *arp_find(net, p->port, hop);

	if (!e) {
		e = arp_entry_new(net, p->port, hop, true);
		if (!e) {
			COUNT(net->stats, ARP_FULL);
			nic_free(p);
			return;
		}
		arp_entry_move(net->arp, e, ARP_ASKING);
		ask(net, e, now_us);
	}
	if (e->state == ARP_KNOWN || e->state == ARP_PROBING) {
		if (e->state == ARP_KNOWN) {
			arp_entry_move(net->arp, e, ARP_KNOWN); /* the most recently used */
			maybe_probe(net, e, now_us);
		}
		eth_out(net, p, e->mac, ETH_TYPE_IP4, now_us);
	} else {
		arp_queue_put(net, e, p);
	}
}

/* RFC 5227, 2.3: tell everybody on every port.  One engine does it for all. */
static void announce(struct net *net, uint64_t now_us)
{
	for (unsigned i = 0; i < net->ports; i++)
		for (unsigned k = 0; k < net->port[i].owns; k++)
			msg_send(net, i, ARP_REQUEST, net->port[i].own[k].addr, net->port[i].own[k].addr, NULL, broadcast, now_us);
}

/* Tell the connection whose packet waited here, as a router's host-unreachable would. */
static void report_failed(struct net *net, const struct pkt *p)
{
	const uint8_t *ip = p->data + p->l3_off, *l4 = p->data + p->l4_off;
	struct net_icmp_error e;

	if (!net->icmp_error || ip[9] != PROTO_TCP || p->len < p->l4_off + 8u)
		return;
	e = (struct net_icmp_error){
		.src = from_ip4(get32(ip + 12)),
		.dst = from_ip4(get32(ip + 16)),
		.sport = get16(l4),
		.dport = get16(l4 + 2),
		.seq = get32(l4 + 4),
		.type = ICMP_UNREACHABLE,
		.code = 1,
		.own = true,
	};
	net->icmp_error(net->icmp_error_arg, &e);
}

static void drop_waiting(struct net *net, struct arp_entry *e)
{
	struct pkt *p, *waiting = NULL, **tail = &waiting;

	while ((p = arp_queue_get(net->arp, e))) { /* first: who is told may send */
		*tail = p;
		tail = &p->next;
	}
	while ((p = waiting)) {
		waiting = p->next;
		COUNT(net->stats, ARP_QUEUE_DROP);
		report_failed(net, p);
		nic_free(p);
	}
}

static void fail(struct net *net, struct arp_entry *e, uint64_t now_us)
{
	COUNT(net->stats, ARP_FAILED);
	arp_entry_move(net->arp, e, ARP_FAILED);
	e->when_us = now_us + ARP_NEGATIVE_US;
	drop_waiting(net, e);
}

static void entry_due(struct net *net, struct arp_entry *e, uint64_t now_us)
{
	if (e->state == ARP_ASKING && e->tries < ARP_TRIES)
		ask(net, e, now_us);
	else if (e->state == ARP_ASKING)
		fail(net, e, now_us);
	else if (e->state == ARP_PROBING && e->tries < ARP_PROBES)
		ask(net, e, now_us);
	else
		arp_entry_free(net, e);
}

static void list_due(struct net *net, enum arp_state state, uint64_t now_us)
{
	struct arp *a = net->arp;
	struct arp_entry *e, *next;

	for (e = TAILQ_FIRST(&a->list[state]); e; e = next) {
		next = TAILQ_NEXT(e, list);
		if (e->when_us <= now_us)
			entry_due(net, e, now_us);
	}
	TAILQ_FOREACH(e, &a->list[state], list)
		if (e->when_us < a->next_us)
			a->next_us = e->when_us;
}

static void failed_due(struct net *net, uint64_t now_us)
{
	struct arp_list *l = &net->arp->list[ARP_FAILED];

	while (!TAILQ_EMPTY(l) && TAILQ_FIRST(l)->when_us <= now_us) {
		struct arp_entry *e = TAILQ_FIRST(l);

		drop_waiting(net, e);
		arp_entry_free(net, e);
	}
	if (!TAILQ_EMPTY(l) && TAILQ_FIRST(l)->when_us < net->arp->next_us)
		net->arp->next_us = TAILQ_FIRST(l)->when_us;
}

uint64_t arp_tick(struct net *net, uint64_t now_us)
{
	struct arp *a = net->arp;

	if (now_us < a->next_us)
		return a->next_us;
	a->next_us = UINT64_MAX;
	if (net->queue == 0 && a->announced < ARP_ANNOUNCE_NUM) {
		if (now_us >= a->announce_us) {
			announce(net, now_us);
			a->announced++;
			a->announce_us = now_us + ARP_ANNOUNCE_US;
		}
		if (a->announced < ARP_ANNOUNCE_NUM)
			a->next_us = a->announce_us;
	}
	list_due(net, ARP_ASKING, now_us);
	list_due(net, ARP_PROBING, now_us);
	failed_due(net, now_us);
	if (a->next_us < now_us + ARP_TICK_US)
		a->next_us = now_us + ARP_TICK_US;
	return a->next_us;
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
	struct arp_entry *e;

	if (!ip4_is_unicast(net, p->port, m->spa))
		return;
	e = *arp_find(net, p->port, m->spa);
	if (!e && m->op == ARP_REQUEST && ip4_is_own(net, p->port, m->tpa) && is_on_link(net, p->port, m->spa))
		e = arp_entry_new(net, p->port, m->spa, false);
	if (!e)
		return;
	if ((e->state == ARP_KNOWN || e->state == ARP_PROBING) && memcmp(e->mac, m->sha, sizeof(e->mac)) != 0)
		entry_doubt(net, e, now_us);
	else
		entry_confirm(net, e, m->sha, now_us);
}

/* RFC 5227, 2.4 (b): keep the address, say so once in a while. */
static void msg_conflict(struct net *net, unsigned port, const struct arp_msg *m, uint64_t now_us)
{
	struct arp *a = net->arp;
	struct net_port *np = &net->port[port];

	if (memcmp(m->sha, np->nic->mac, 6) == 0)
		return;
	COUNT(net->stats, ARP_CONFLICT);
	if (a->defended_us && now_us - a->defended_us < ARP_DEFEND_US)
		return;
	a->defended_us = now_us ? now_us : 1;
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

static void ask(struct net *net, struct arp_entry *e, uint64_t now_us)
{
	bool probe = e->state == ARP_PROBING;

	e->when_us = now_us + (probe ? (uint32_t)ARP_PROBE_WAIT_US : ask_wait_us[e->tries]);
	e->tries++;
	if (e->when_us < net->arp->next_us)
		net->arp->next_us = e->when_us;
	msg_send(net, e->port, ARP_REQUEST, ask_as(&net->port[e->port], e->addr), e->addr, NULL, probe ? e->mac : broadcast,
	         now_us);
}

static void entry_confirm(struct net *net, struct arp_entry *e, const uint8_t *mac, uint64_t now_us)
{
	struct pkt *p;

	memcpy(e->mac, mac, sizeof(e->mac));
	e->when_us = now_us;
	arp_entry_move(net->arp, e, ARP_KNOWN);
	while ((p = arp_queue_get(net->arp, e)))
		eth_out(net, p, e->mac, ETH_TYPE_IP4, now_us);
}

/* Another claims its address: ask the one that we know, once a second at most (RFC 1122, 2.3.2.1). */
static void entry_doubt(struct net *net, struct arp_entry *e, uint64_t now_us)
{
	struct arp *a = net->arp;
	uint64_t at_us = e->when_us + ARP_PROBE_WAIT_US;

	COUNT(net->stats, ARP_MOVED);
	if (e->state == ARP_PROBING || a->count[ARP_PROBING] >= ARP_BUSY_MAX)
		return;
	arp_entry_move(a, e, ARP_PROBING);
	e->tries = 0;
	if (at_us <= now_us) {
		ask(net, e, now_us);
		return;
	}
	e->when_us = at_us;
	if (at_us < a->next_us)
		a->next_us = at_us;
}
