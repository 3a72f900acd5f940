/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The owner's calls: RFC 9293 3.10.1 to 3.10.6.  They only decide and mark.  Every number may be a lie.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "stackd/tcp/priv.h"

static int open_tuple(struct tcp *tcp, const struct tcp_open *o, struct tuple *t, uint16_t *mtu, uint32_t *iss_min);
static bool chunks_mapped(const struct tcp_owner *owner, const uint32_t *chunk, unsigned n);
static void close_now(struct tcp *tcp, struct tcp_conn *c, int32_t linger_s);
static bool orphan(struct tcp *tcp, struct tcp_conn *c);

int tcp_open(struct tcp *tcp, struct tcp_owner *owner, const struct tcp_open *o, uint64_t now_us, struct tcp_conn **conn)
{
	struct tcp_conn *c;
	struct tuple t;
	uint32_t iss_min = 0;
	uint16_t mtu = 0;
	int err;

	tcp->now_us = now_us;
	if (o->dport == 0 || owner->dead)
		return -EINVAL;
	if (owner->conns >= owner->conns_max)
		return -EMFILE;
	err = open_tuple(tcp, o, &t, &mtu, &iss_min);
	if (err != 0)
		return err;
	c = conn_new(tcp, &t, owner);
	if (c == NULL)
		return -ENOBUFS;
	c->user = o->user;
	c->flags |= CONN_HELD | CONN_ACTIVE;
	c->mtu = mtu;
	c->mss_peer = seg_mss_default(&c->peer);
	c->cc.name = tcp->conf.congestion;
	c->iss = iss_min != 0 ? iss_min : secret_isn(&tcp->secret, &t, now_us);
	c->snd_una = c->snd_nxt = c->snd_max = c->snd_sml = c->recover = c->iss;
	conn_set_mss(c);
	tcp_set_state(tcp, c, TCP_SYN_SENT);
	conn_mark(tcp, c, TODO_SYN);
	*conn = c;
	return 0;
}

/* *iss_min: not 0 when a connection in TIME-WAIT makes room (RFC 6191): a number above all it has used. */
static int open_tuple(struct tcp *tcp, const struct tcp_open *o, struct tuple *t, uint16_t *mtu, uint32_t *iss_min)
{
	struct tcp_conn *old;
	int err;

	t->local = o->src;
	t->peer = o->dst;
	t->lport = o->sport;
	t->pport = o->dport;
	err = net_source(tcp->net, &t->peer, &t->local, mtu);
	if (err != 0)
		return err;
	if (*mtu < MTU_MIN)
		*mtu = MTU_MIN;
	if (t->lport == 0) {
		t->lport = port_choose(tcp, t, &old);
		if (t->lport == 0)
			return -EADDRNOTAVAIL;
	} else {
		uint32_t hash = net_tuple_hash(tcp->net, &t->local, &t->peer, t->lport, t->pport);

		if (tcp->hooks.tuple_is_mine != NULL && !tcp->hooks.tuple_is_mine(tcp->hooks.arg, hash))
			return -EADDRNOTAVAIL;
		old = tcp_find(tcp, t);
		if (old != NULL && !port_reusable(tcp, old))
			return -EADDRINUSE;
	}
	if (old != NULL) {
		*iss_min = old->snd_max + 65537;
		*iss_min += *iss_min == 0;
		COUNT(tcp->stats, TCP_TW_REUSED);
		conn_end(tcp, old, 0);
	}
	return 0;
}

int tcp_sent_more(struct tcp *tcp, struct tcp_conn *c, uint64_t tx_end, const uint32_t *chunk, unsigned n)
{
	uint32_t first = bytes_number(c->tx_end), need;

	if (tx_end < c->tx_end || tx_end - c->tx_acked > tcp->conf.sndbuf_max)
		return -EINVAL;
	if (tx_end == c->tx_end || c->state == TCP_CLOSED)
		return 0;
	if ((c->flags & CONN_FIN_QUEUED) != 0)
		return -EPIPE;
	need = bytes_number(tx_end - 1) - first + 1;
	if (c->owner == NULL || need > n || !chunks_mapped(c->owner, chunk, need))
		return -EINVAL;
	/* bytes not acknowledged yet must stay where they are */
	if (c->tx_end % BYTES_CHUNK != 0 && bytes_get(&c->tx, first) != BYTES_NONE && bytes_get(&c->tx, first) != chunk[0])
		return -EINVAL;
	for (unsigned i = 0; i < need; i++) {
		if (bytes_set(&c->tx, first + i, chunk[i], window_chunks(tcp)) != 0) {
			conn_reset(tcp, c, ENOMEM);
			return 0;
		}
	}
	if (c->tx_acked == c->tx_end)
		c->progress_us = tcp->now_us;
	c->tx_end = tx_end;
	conn_mark(tcp, c, TODO_SEND);
	return 0;
}

static bool chunks_mapped(const struct tcp_owner *owner, const uint32_t *chunk, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (bytes_at(&owner->tx, chunk[i]) == NULL)
			return false;
	return true;
}

int tcp_rx_done(struct tcp *tcp, struct tcp_conn *c, uint64_t done)
{
	if (done < c->rx_done || done > c->rx_end)
		return -EINVAL;
	if (done == c->rx_done || c->owner == NULL)
		return 0;
	c->rx_done = done;
	if (done == c->rx_end && c->ooo.count == 0)
		bytes_clear(&c->rx, &c->owner->rx);
	else
		bytes_drop(&c->rx, &c->owner->rx, bytes_number(done - 1));
	window_tune_rx(tcp, c);
	if (conn_takes_text(c) && window_update_due(c))
		conn_mark(tcp, c, TODO_ACK);
	return 0;
}

void tcp_shutdown(struct tcp *tcp, struct tcp_conn *c, int how)
{
	if (how == SHUT_RD || how == SHUT_RDWR)
		c->flags |= CONN_RX_SHUT;
	if ((how == SHUT_WR || how == SHUT_RDWR) && c->state != TCP_CLOSED)
		conn_queue_fin(tcp, c);
}

void tcp_release(struct tcp *tcp, struct tcp_conn *c, int32_t linger_s)
{
	c->note = 0;
	conn_not_young(tcp, c);
	conn_hold(tcp, c, false);
	if (c->state == TCP_CLOSED || c->state == TCP_SYN_SENT) {
		conn_end(tcp, c, 0);
		conn_let_go(tcp, c);
		conn_mark(tcp, c, 0);
		return;
	}
	close_now(tcp, c, linger_s);
}

static void close_now(struct tcp *tcp, struct tcp_conn *c, int32_t linger_s)
{
	if (linger_s == 0 || c->rx_done < c->rx_end) { /* RFC 2525, 2.17: say that data was lost */
		conn_reset(tcp, c, 0);
		return;
	}
	if (!orphan(tcp, c)) {
		conn_reset(tcp, c, 0);
		return;
	}
	reasm_clear(&c->ooo);
	bytes_clear(&c->rx, &c->owner->rx);
	c->rcvbuf = c->rcvbuf < tcp->conf.rcvbuf_initial ? c->rcvbuf : tcp->conf.rcvbuf_initial;
	if (linger_s > 0)
		timer_set(tcp, c, T_LINGER, tcp->now_us + (uint64_t)linger_s * 1000000 + 1);
	conn_queue_fin(tcp, c);
	if (c->state == TCP_FIN_WAIT_2)
		timer_fin_wait_2(tcp, c);
	if (c->tx_acked == c->tx_end)
		conn_let_go(tcp, c);
}

/* Nobody waits for it any more, but what was queued shall arrive.  false: there are too many like that. */
static bool orphan(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->state == TCP_TIME_WAIT)
		return true;
	if (tcp->orphans >= tcp->conf.max_orphans) {
		COUNT(tcp->stats, TCP_ORPHAN_RESET);
		return false;
	}
	COUNT(tcp->stats, TCP_ORPHANS);
	c->flags |= CONN_ORPHAN;
	tcp->orphans++;
	return true;
}

unsigned tcp_owner_gone(struct tcp *tcp, struct tcp_owner *owner, bool released, unsigned budget)
{
	unsigned done = 0;

	for (unsigned which = 0; which < (released ? 2u : 1u); which++) {
		while (done < budget && owner->list[which] != NULL) {
			struct tcp_conn *c = owner->list[which];

			c->flags &= ~(uint32_t)(CONN_HELD | CONN_RELEASED); /* nobody wants to hear of it */
			c->note = 0;
			conn_reset(tcp, c, 0);
			conn_disown(tcp, c);
			conn_mark(tcp, c, 0);
			done++;
		}
	}
	return done;
}

unsigned tcp_reset_all(struct tcp *tcp, unsigned budget)
{
	unsigned done = 0;

	for (; done < budget && tcp->reset_slot < tcp->pool.slabs * POOL_SLAB; tcp->reset_slot++) {
		struct tcp_conn *c = pool_at(&tcp->pool, tcp->reset_slot);

		if (!pool_used(c) || c->state == TCP_CLOSED)
			continue;
		conn_reset(tcp, c, ECONNABORTED);
		done++;
	}
	if (done < budget)
		tcp->reset_slot = 0;
	return done;
}

unsigned tcp_listener_gone(struct tcp *tcp, struct listener *l, unsigned budget)
{
	struct tcp_conn *c, *next;
	unsigned done = 0;

	for (c = TAILQ_FIRST(&tcp->young); c != NULL && done < budget; c = next) {
		next = TAILQ_NEXT(c, life);
		if (c->listener != l) {
			if (c->listener == NULL)
				conn_not_young(tcp, c);
			continue;
		}
		done++;
		if (c->user != NULL || (c->state != TCP_SYN_RCVD && (c->note & TCP_NOTE_ACCEPT) == 0)) {
			conn_not_young(tcp, c); /* its program knows it already and keeps it, or app/ ends it */
			continue;
		}
		c->flags &= ~(uint32_t)CONN_HELD;
		c->note = 0;
		conn_not_young(tcp, c);
		conn_reset(tcp, c, 0);
		conn_disown(tcp, c);
		conn_mark(tcp, c, 0);
	}
	return done;
}

void tcp_view(struct tcp *tcp, struct tcp_conn *c, struct tcp_view *v)
{
	bool fin = (c->flags & CONN_RX_FIN) != 0;

	(void)tcp;
	c->snd_told = c->snd_nxt;
	*v = (struct tcp_view){
		.state = c->state,
		.rx_end = c->rx_end,
		.tx_acked = c->tx_acked,
		.tx_sent = c->tx_end - conn_unsent(c),
		.rx_chunk = BYTES_NONE,
		.tx_limit = c->sndbuf,
		.mss = c->mss,
		.srtt_us = c->srtt_us,
		.err = c->err,
		.soft_err = c->soft_err,
		.connected = (c->flags & CONN_CONNECTED) != 0,
		.fin = fin,
		.closed = c->err == 0 && fin && (c->state == TCP_TIME_WAIT || c->state == TCP_CLOSED),
		.urgent = (c->flags & CONN_URGENT) != 0,
	};
	if (c->rx_done < c->rx_end && c->rx.count > 0) {
		v->rx_chunk_no = c->rx.first;
		v->rx_chunk = bytes_get(&c->rx, c->rx.first);
	}
}
