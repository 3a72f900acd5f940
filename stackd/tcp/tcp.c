/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TCP of one engine as a whole: made, looked up, marked, settled.  What a connection does is in the files beside.
 */
#include "stackd/tcp/tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/tcp/priv.h"

static bool conf_fits(const struct tcp_conf *c);
static void pkt_tuple(const struct pkt *p, struct tuple *t);
static void settle_one(struct tcp *tcp, struct tcp_conn *c);

void tcp_conf_default(struct tcp_conf *c)
{
	*c = (struct tcp_conf){
		.max_conns = 1000000,
		.syn_queue = 1024,
		.time_wait_ms = 60000,
		.rto_min_ms = 200,
		.rto_max_ms = 120000,
		.rto_initial_ms = 1000,
		.delack_ms = 40,
		.quick_acks = 16,
		.syn_retries = 7, /* 247 s; RFC 9293 3.8.3: at least three minutes */
		.syn_ack_retries = 5,
		.data_retries = 15,
		.orphan_retries = 8,
		.fin_wait2_ms = 60000,
		.max_orphans = 16384,
		.challenge_limit = 1000,
		.keepidle_s = 7200,
		.keepintvl_s = 75,
		.keepcnt = 9,
		.rcvbuf_max = 4 << 20,
		.rcvbuf_initial = 64 << 10,
		.sndbuf_max = 4 << 20,
		.sndbuf_initial = 64 << 10,
		.initial_cwnd = 10,
		.congestion = CC_CUBIC,
		.ecn = ECN_MODE_PASSIVE,
		.mtu_probing = PATH_BLACK_HOLE,
		.mtu_raise_s = 600,
		.timestamps = true,
		.sack = true,
		.window_scaling = true,
		.syn_cookies = true,
		.port_min = 32768,
		.port_max = 60999,
	};
}

struct tcp *tcp_create(const struct tcp_conf *conf, struct net *net, struct stats *stats, struct listen_table *listeners,
                       unsigned engine, const struct tcp_hooks *hooks, uint64_t now_us)
{
	struct tcp *tcp;

	if (!conf_fits(conf)) {
		errno = EINVAL;
		return NULL;
	}
	tcp = calloc(1, sizeof(*tcp));
	if (tcp == NULL)
		return NULL;
	tcp->conf = *conf;
	tcp->net = net;
	tcp->stats = stats;
	tcp->listeners = listeners;
	tcp->engine = engine;
	tcp->hooks = *hooks;
	tcp->now_us = now_us;
	tcp->challenge_s = UINT64_MAX;
	secret_init(&tcp->secret, conf->secret);
	wheel_init(&tcp->wheel, now_us);
	TAILQ_INIT(&tcp->marked);
	TAILQ_INIT(&tcp->young);
	TAILQ_INIT(&tcp->waits);
	if (chains_init(&tcp->flows) != 0 || pool_init(&tcp->pool, conf->max_conns + EVICT_SLACK) != 0) {
		tcp_destroy(tcp);
		errno = ENOMEM;
		return NULL;
	}
	return tcp;
}

/* Sequence numbers hold windows below 2^30 (RFC 7323, 2.3). */
static bool conf_fits(const struct tcp_conf *c)
{
	return c->max_conns > 0 && c->rcvbuf_max < 1u << 30 && c->sndbuf_max < 1u << 30 && c->initial_cwnd > 0 &&
	       c->rcvbuf_initial <= c->rcvbuf_max && c->sndbuf_initial <= c->sndbuf_max && c->rcvbuf_initial >= 2048 &&
	       c->sndbuf_initial >= 2048 && c->rto_min_ms > 0 && c->rto_min_ms <= c->rto_max_ms &&
	       c->rto_max_ms <= 3600000 && c->rto_initial_ms > 0 && c->rto_initial_ms <= c->rto_max_ms &&
	       c->port_min > 0 && c->port_min <= c->port_max && c->keepcnt <= UINT8_MAX;
}

void tcp_destroy(struct tcp *tcp)
{
	if (tcp == NULL)
		return;
	for (uint32_t i = 0; i < tcp->pool.slabs * POOL_SLAB; i++) {
		struct tcp_conn *c = pool_at(&tcp->pool, i);

		if (!pool_used(c))
			continue;
		c->listener = NULL; /* its table may be gone */
		c->flags &= ~(uint32_t)CONN_COUNTED;
		conn_disown(tcp, c);
		flight_free(c->flight);
		sack_forget(c);
	}
	pool_fini(&tcp->pool);
	chains_fini(&tcp->flows);
	free(tcp);
}

void tcp_flow_lookup(struct tcp *tcp, struct pkt **pkts, unsigned n)
{
	struct tuple t[NET_BURST];
	uint32_t hash[NET_BURST];

	for (unsigned done = 0; done < n; done += NET_BURST) {
		unsigned part = n - done < NET_BURST ? n - done : NET_BURST;

		for (unsigned i = 0; i < part; i++) {
			pkt_tuple(pkts[done + i], &t[i]);
			hash[i] = secret_flow(&tcp->secret, &t[i]);
			__builtin_prefetch(chains_head(&tcp->flows, hash[i]));
		}
		for (unsigned i = 0; i < part; i++) {
			struct tcp_conn *c = flow_find(&tcp->flows, hash[i], &t[i]);

			pkts[done + i]->conn = c;
			if (c != NULL)
				__builtin_prefetch(&c->iss);
		}
	}
}

static void pkt_tuple(const struct pkt *p, struct tuple *t)
{
	t->local = p->dst;
	t->peer = p->src;
	t->lport = p->tcp.dport;
	t->pport = p->tcp.sport;
}

struct tcp_conn *tcp_find(struct tcp *tcp, const struct tuple *t)
{
	return flow_find(&tcp->flows, secret_flow(&tcp->secret, t), t);
}

void conn_mark(struct tcp *tcp, struct tcp_conn *c, unsigned todo)
{
	c->todo |= (uint16_t)todo;
	if ((c->flags & CONN_MARKED) != 0)
		return;
	c->flags |= CONN_MARKED;
	TAILQ_INSERT_TAIL(&tcp->marked, c, marked);
	tcp->marks++;
}

void tcp_mark(struct tcp *tcp, struct tcp_conn *c)
{
	conn_mark(tcp, c, TODO_NOTE);
}

void tcp_settle(struct tcp *tcp, unsigned budget, uint64_t now_us)
{
	unsigned n = tcp->marks < budget ? tcp->marks : budget; /* what is marked meanwhile has its turn next time */

	tcp->now_us = now_us;
	while (n-- > 0 && !TAILQ_EMPTY(&tcp->marked))
		settle_one(tcp, TAILQ_FIRST(&tcp->marked));
	reply_flush(tcp);
}

static void settle_one(struct tcp *tcp, struct tcp_conn *c)
{
	TAILQ_REMOVE(&tcp->marked, c, marked);
	tcp->marks--;
	c->flags &= ~(uint32_t)CONN_MARKED;
	out_conn(tcp, c);
	if ((c->flags & CONN_YOUNG) != 0 && c->listener == NULL)
		conn_not_young(tcp, c);
	if ((c->todo & TODO_NOTE) != 0) {
		c->todo &= (uint16_t)~TODO_NOTE;
		if (c->note != 0 && (c->flags & CONN_HELD) != 0 && tcp->hooks.note != NULL)
			tcp->hooks.note(tcp->hooks.arg, c);
	}
	conn_free_if_done(tcp, c);
}

void tcp_expire(struct tcp *tcp, uint64_t now_us)
{
	tcp->now_us = now_us;
	wheel_expire(&tcp->wheel, now_us, EXPIRE_BUDGET, timer_fire, tcp);
}

uint64_t tcp_next_us(const struct tcp *tcp, uint64_t now_us)
{
	if (tcp->marks > 0 || tcp->replies > 0)
		return now_us;
	return wheel_next_us(&tcp->wheel);
}

void tcp_walk(struct tcp *tcp, tcp_walk_fn fn, void *arg)
{
	for (uint32_t i = 0; i < tcp->pool.slabs * POOL_SLAB; i++) {
		struct tcp_conn *c = pool_at(&tcp->pool, i);

		if (pool_used(c) && !fn(arg, c))
			return;
	}
}

unsigned tcp_conns(const struct tcp *tcp)
{
	return tcp->pool.used;
}

const char *tcp_state_name(enum tcp_state s)
{
	static const char *const name[TCP_STATES] = {
		"CLOSED",     "LISTEN",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
		"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",    "LAST-ACK",     "TIME-WAIT",
	};

	return (unsigned)s < TCP_STATES ? name[s] : "?";
}
