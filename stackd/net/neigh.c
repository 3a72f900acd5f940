/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What becomes of neighbours, whichever protocol asks for them (RFC 826 and 1122, RFC 4861, 7.3):
 *
 *   none -> ASKING -> KNOWN <-> PROBING      a request to all, an answer, a poll of the host itself when what we know is old
 *             |         ^         |
 *             v         +---------+-> none
 *           FAILED -> none                    after a moment in which nobody is asked again; what waited then is dropped
 *
 * Only we make entries: by sending to somebody, or by answering a request to us while there is room.  What arrives for a known
 * one with another link address changes nothing: the host that we know is polled, and forgotten if it is silent.  So nobody
 * can take the place of one that answers; a neighbour that moves is found again after two seconds (three with IPv6, where RFC
 * 4861, 7.2.5 would believe an advertisement at once that wants to override).  neigh_table.c keeps them.
 */
#include "stackd/net/neigh.h"

enum {
	NEGATIVE_US = 2000000,
	PROBE_WAIT_US = 1000000,
	TICK_US = 20000, /* not more often than this */
};

static void ask(struct net *net, struct neigh *a, struct neigh_entry *e, uint64_t now_us);
static void doubt(struct net *net, struct neigh *a, struct neigh_entry *e, uint64_t now_us);
static void due_at(struct neigh *a, struct neigh_entry *e, uint64_t at_us);

/* Known for too long: ask the host itself, and go on using what we have. */
static void maybe_probe(struct net *net, struct neigh *a, struct neigh_entry *e, uint64_t now_us)
{
	if (now_us - e->when_us < a->age_us || a->count[NEIGH_PROBING] >= NEIGH_BUSY_MAX)
		return;
	neigh_entry_move(a, e, NEIGH_PROBING);
	e->tries = 0;
	if (a->proto->delay_us == 0)
		ask(net, a, e, now_us);
	else
		due_at(a, e, now_us + a->proto->delay_us);
}

void neigh_send(struct net *net, struct neigh *a, struct pkt *p, uint64_t now_us)
{
	struct neigh_entry *e = *neigh_find(net, a, p->port, &p->dst);

	if (!e) {
		e = neigh_entry_new(net, a, p->port, &p->dst, true);
		if (!e) {
			net->stats->n[a->proto->full]++;
			nic_free(p);
			return;
		}
		neigh_entry_move(a, e, NEIGH_ASKING);
		ask(net, a, e, now_us);
	}
	if (e->state == NEIGH_KNOWN || e->state == NEIGH_PROBING) {
		if (e->state == NEIGH_KNOWN) {
			neigh_entry_move(a, e, NEIGH_KNOWN); /* the most recently used */
			maybe_probe(net, a, e, now_us);
		}
		eth_out(net, p, e->mac, a->proto->type, now_us);
	} else {
		neigh_queue_put(net, a, e, p);
	}
}

void neigh_suspect(struct net *net, struct neigh *a, unsigned port, const struct ipaddr *addr, uint64_t now_us)
{
	struct neigh_entry *e = *neigh_find(net, a, port, addr);

	if (!e || e->state != NEIGH_KNOWN || now_us - e->when_us < PROBE_WAIT_US || a->count[NEIGH_PROBING] >= NEIGH_BUSY_MAX)
		return;
	COUNT(net->stats, NEIGH_SUSPECT);
	neigh_entry_move(a, e, NEIGH_PROBING);
	e->tries = 0;
	ask(net, a, e, now_us);
}

/* A packet of ours that waited: the segment in it.  We send TCP without extension headers. */
static bool segment_of(const struct pkt *p, struct net_icmp_error *e)
{
	const uint8_t *ip = p->data + p->l3_off, *l4 = p->data + p->l4_off;
	bool six = ip[0] >> 4 == 6;

	if (ip[six ? 6 : 9] != PROTO_TCP || p->len < p->l4_off + 8u)
		return false;
	*e = (struct net_icmp_error){
		.src = six ? net_zone(ip + 8, p->port) : from_ip4(get32(ip + 12)),
		.dst = six ? net_zone(ip + 24, p->port) : from_ip4(get32(ip + 16)),
		.sport = get16(l4),
		.dport = get16(l4 + 2),
		.seq = get32(l4 + 4),
		.type = ICMP_UNREACHABLE,
		.code = 1,
		.own = true,
	};
	return true;
}

/* The connections whose packets waited are told, as by a router's host-unreachable. */
static void drop_waiting(struct net *net, struct neigh *a, struct neigh_entry *entry)
{
	struct pkt *p, *waiting = NULL, **tail = &waiting;

	while ((p = neigh_queue_get(a, entry))) { /* first: who is told may send */
		*tail = p;
		tail = &p->next;
	}
	while ((p = waiting)) {
		struct net_icmp_error e;

		waiting = p->next;
		net->stats->n[a->proto->queue_drop]++;
		if (net->icmp_error && segment_of(p, &e))
			net->icmp_error(net->icmp_error_arg, &e);
		nic_free(p);
	}
}

static void fail(struct net *net, struct neigh *a, struct neigh_entry *e, uint64_t now_us)
{
	net->stats->n[a->proto->failed]++;
	neigh_entry_move(a, e, NEIGH_FAILED);
	e->when_us = now_us + NEGATIVE_US;
	drop_waiting(net, a, e);
}

static void entry_due(struct net *net, struct neigh *a, struct neigh_entry *e, uint64_t now_us)
{
	if (e->state == NEIGH_ASKING && e->tries < NEIGH_TRIES)
		ask(net, a, e, now_us);
	else if (e->state == NEIGH_ASKING)
		fail(net, a, e, now_us);
	else if (e->state == NEIGH_PROBING && e->tries < a->proto->probes)
		ask(net, a, e, now_us);
	else
		neigh_entry_free(net, a, e);
}

static void list_due(struct net *net, struct neigh *a, enum neigh_state state, uint64_t now_us)
{
	struct neigh_entry *e, *next;

	for (e = TAILQ_FIRST(&a->list[state]); e; e = next) {
		next = TAILQ_NEXT(e, list);
		if (e->when_us <= now_us)
			entry_due(net, a, e, now_us);
	}
	TAILQ_FOREACH(e, &a->list[state], list)
		if (e->when_us < a->next_us)
			a->next_us = e->when_us;
}

static void failed_due(struct net *net, struct neigh *a, uint64_t now_us)
{
	struct neigh_list *l = &a->list[NEIGH_FAILED];

	while (!TAILQ_EMPTY(l) && TAILQ_FIRST(l)->when_us <= now_us) {
		struct neigh_entry *e = TAILQ_FIRST(l);

		drop_waiting(net, a, e);
		neigh_entry_free(net, a, e);
	}
	if (!TAILQ_EMPTY(l) && TAILQ_FIRST(l)->when_us < a->next_us)
		a->next_us = TAILQ_FIRST(l)->when_us;
}

uint64_t neigh_tick(struct net *net, struct neigh *a, uint64_t now_us)
{
	if (now_us < a->next_us)
		return a->next_us;
	a->next_us = UINT64_MAX;
	list_due(net, a, NEIGH_ASKING, now_us);
	list_due(net, a, NEIGH_PROBING, now_us);
	failed_due(net, a, now_us);
	if (a->next_us < now_us + TICK_US)
		a->next_us = now_us + TICK_US;
	return a->next_us;
}

static void due_at(struct neigh *a, struct neigh_entry *e, uint64_t at_us)
{
	e->when_us = at_us;
	if (at_us < a->next_us)
		a->next_us = at_us;
}

static void ask(struct net *net, struct neigh *a, struct neigh_entry *e, uint64_t now_us)
{
	due_at(a, e, now_us + (e->state == NEIGH_PROBING ? (uint32_t)PROBE_WAIT_US : a->proto->ask_wait_us[e->tries]));
	e->tries++;
	a->proto->ask(net, e, now_us);
}

static bool knows_another(const struct neigh_entry *e, const uint8_t mac[6])
{
	return (e->state == NEIGH_KNOWN || e->state == NEIGH_PROBING) && memcmp(e->mac, mac, sizeof(e->mac)) != 0;
}

static void learn(struct net *net, struct neigh *a, struct neigh_entry *e, const uint8_t mac[6], uint64_t confirmed_us,
                  uint64_t now_us)
{
	struct pkt *p;

	memcpy(e->mac, mac, sizeof(e->mac));
	e->when_us = confirmed_us;
	neigh_entry_move(a, e, NEIGH_KNOWN);
	if (e->head)
		maybe_probe(net, a, e, now_us);
	while ((p = neigh_queue_get(a, e)))
		eth_out(net, p, e->mac, a->proto->type, now_us);
}

void neigh_confirm(struct net *net, struct neigh *a, struct neigh_entry *e, const uint8_t mac[6], uint64_t now_us)
{
	if (knows_another(e, mac))
		doubt(net, a, e, now_us);
	else
		learn(net, a, e, mac, now_us, now_us);
}

void neigh_hint(struct net *net, struct neigh *a, unsigned port, const struct ipaddr *addr, const uint8_t mac[6], uint64_t now_us)
{
	struct neigh_entry *e = *neigh_find(net, a, port, addr);

	if (!e)
		e = neigh_entry_new(net, a, port, addr, false);
	if (!e)
		return;
	if (knows_another(e, mac))
		doubt(net, a, e, now_us);
	else if (e->state != NEIGH_KNOWN && e->state != NEIGH_PROBING)
		learn(net, a, e, mac, now_us - a->age_us, now_us);
}

/* Another claims its address: ask the one that we know, once a second at most (RFC 1122, 2.3.2.1). */
static void doubt(struct net *net, struct neigh *a, struct neigh_entry *e, uint64_t now_us)
{
	uint64_t at_us = e->when_us + PROBE_WAIT_US;

	net->stats->n[a->proto->moved]++;
	if (e->state == NEIGH_PROBING || a->count[NEIGH_PROBING] >= NEIGH_BUSY_MAX)
		return;
	neigh_entry_move(a, e, NEIGH_PROBING);
	e->tries = 0;
	if (at_us <= now_us)
		ask(net, a, e, now_us);
	else
		due_at(a, e, at_us);
}
