/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A connection's life: made, moved from state to state, ended, let go by its owner, freed.
 *
 * It ends in two steps.  conn_end() makes it CLOSED: out of the table, no timers, no memory of the owner's but received
 * bytes not read yet.  It is freed when the owner has let go too, by the next tcp_settle().
 */
#include <errno.h>
#include <netinet/in.h>

#include "stackd/tcp/priv.h"

#define TO(s) (1u << TCP_##s)

/* RFC 9293, figure 5, with ABORT and timeouts leading to CLOSED from everywhere. */
static const uint16_t moves[TCP_STATES] = {
	[TCP_CLOSED] = TO(SYN_SENT) | TO(SYN_RCVD),
	[TCP_SYN_SENT] = TO(SYN_RCVD) | TO(ESTABLISHED) | TO(CLOSED),
	[TCP_SYN_RCVD] = TO(ESTABLISHED) | TO(CLOSED),
	[TCP_ESTABLISHED] = TO(FIN_WAIT_1) | TO(CLOSE_WAIT) | TO(CLOSED),
	[TCP_FIN_WAIT_1] = TO(FIN_WAIT_2) | TO(CLOSING) | TO(TIME_WAIT) | TO(CLOSED),
	[TCP_FIN_WAIT_2] = TO(TIME_WAIT) | TO(CLOSED),
	[TCP_CLOSE_WAIT] = TO(LAST_ACK) | TO(CLOSED),
	[TCP_CLOSING] = TO(TIME_WAIT) | TO(CLOSED),
	[TCP_LAST_ACK] = TO(CLOSED),
	[TCP_TIME_WAIT] = TO(CLOSED),
};

static void count_move(struct tcp *tcp, const struct tcp_conn *c, enum tcp_state to);
static void syn_done(struct tcp *tcp, struct tcp_conn *c);
static bool wants_rst(const struct tcp_conn *c);
static void list_put(struct tcp_conn *c, unsigned which);
static void list_take(struct tcp_conn *c);

struct tcp_conn *conn_new(struct tcp *tcp, const struct tuple *t, struct tcp_owner *owner)
{
	struct tcp_conn *c;

	if (tcp->flows.count >= tcp->conf.max_conns && !conn_evict(tcp)) {
		COUNT(tcp->stats, TCP_NO_CONN);
		return NULL;
	}
	c = pool_get(&tcp->pool);
	if (c == NULL) {
		COUNT(tcp->stats, TCP_NO_CONN);
		return NULL;
	}
	c->local = t->local;
	c->peer = t->peer;
	c->lport = t->lport;
	c->pport = t->pport;
	c->hash = net_tuple_hash(tcp->net, &t->local, &t->peer, t->lport, t->pport);
	c->flow.hash = secret_flow(&tcp->secret, t);
	c->born_us = tcp->now_us | 1; /* never 0: it is in use */
	c->ts_offset = secret_ts_offset(&tcp->secret, t);
	c->rcvbuf = tcp->conf.rcvbuf_initial;
	c->sndbuf = tcp->conf.sndbuf_initial;
	c->rto_us = tcp->conf.rto_initial_ms * 1000;
	c->keepidle_s = tcp->conf.keepidle_s;
	c->keepintvl_s = tcp->conf.keepintvl_s;
	c->keepcnt = (uint8_t)tcp->conf.keepcnt;
	c->mss_max = tcp->conf.max_mss;
	c->mtu_discover = IP_PMTUDISC_WANT;
	c->heard_us = c->progress_us = c->tune_us = tcp->now_us;
	bytes_init(&c->rx);
	bytes_init(&c->tx);
	c->owner = owner;
	owner->conns++;
	list_put(c, 0);
	chains_insert(&tcp->flows, &c->flow);
	return c;
}

bool conn_evict(struct tcp *tcp)
{
	struct tcp_conn *c = TAILQ_FIRST(&tcp->waits);

	if (c == NULL)
		return false;
	conn_end(tcp, c, 0);
	return true;
}

void tcp_set_state(struct tcp *tcp, struct tcp_conn *c, enum tcp_state to)
{
	enum tcp_state from = c->state;

	assert((moves[from] >> to & 1) != 0);
	count_move(tcp, c, to);
	if (from == TCP_SYN_RCVD)
		syn_done(tcp, c);
	if (from == TCP_TIME_WAIT)
		TAILQ_REMOVE(&tcp->waits, c, life);
	c->state = (uint8_t)to;
	if ((c->flags & CONN_ORPHAN) != 0 && (to == TCP_TIME_WAIT || to == TCP_CLOSED)) {
		c->flags &= ~(uint32_t)CONN_ORPHAN;
		tcp->orphans--;
	}
	if (to == TCP_TIME_WAIT) {
		conn_not_young(tcp, c);
		TAILQ_INSERT_TAIL(&tcp->waits, c, life);
	}
	if (tcp->hooks.state != NULL)
		tcp->hooks.state(tcp->hooks.arg, c, from, to);
}

void conn_established(struct tcp *tcp, struct tcp_conn *c)
{
	tcp_set_state(tcp, c, TCP_ESTABLISHED);
	c->flags |= CONN_CONNECTED;
	if (c->listener != NULL) {
		c->listener->lane[tcp->engine].waiting++;
		c->flags |= CONN_HELD;
		c->note |= TCP_NOTE_ACCEPT;
	} else {
		c->note |= TCP_NOTE_OPEN;
	}
	conn_mark(tcp, c, TODO_NOTE);
	c->heard_us = c->progress_us = c->tune_us = tcp->now_us;
	path_open(tcp, c);
	c->rcv_mss = c->mss < RCV_MSS_FIRST ? c->mss : RCV_MSS_FIRST;
	c->tune_space = tcp->conf.initial_cwnd * c->mss;
	/* RFC 6928; one segment when the handshake had to be repeated (RFC 5681, 3.1) */
	cc_init(&c->cc, c->cc.name, (c->rexmits > 1 ? 1 : tcp->conf.initial_cwnd) * (uint32_t)c->mss);
	if (c->rexmits > 0 && c->srtt_us == 0)
		c->rto_us = RTO_AFTER_SYN_US;
	c->rexmits = 0;
	c->recover = c->iss;
	timer_clear(c, T_REXMIT);
	window_tune_tx(tcp, c);
	if ((c->flags & CONN_KEEPALIVE) != 0)
		timer_keepalive(tcp, c);
	if ((c->flags & CONN_FIN_QUEUED) != 0)
		tcp_set_state(tcp, c, TCP_FIN_WAIT_1);
	conn_mark(tcp, c, TODO_SEND);
}

/* RFC 9293 3.10.4: no more after what is queued. */
void conn_queue_fin(struct tcp *tcp, struct tcp_conn *c)
{
	if ((c->flags & CONN_FIN_QUEUED) != 0)
		return;
	c->flags |= CONN_FIN_QUEUED;
	if (c->state == TCP_ESTABLISHED)
		tcp_set_state(tcp, c, TCP_FIN_WAIT_1);
	else if (c->state == TCP_CLOSE_WAIT)
		tcp_set_state(tcp, c, TCP_LAST_ACK);
	conn_mark(tcp, c, TODO_SEND);
}

void conn_end(struct tcp *tcp, struct tcp_conn *c, int err)
{
	if (c->state == TCP_CLOSED)
		return;
	if (err != 0 && c->err == 0)
		c->err = (int16_t)err;
	for (unsigned i = 0; i < T_KINDS; i++)
		c->due_us[i] = 0;
	wheel_stop(&tcp->wheel, &c->timer);
	chains_remove(&tcp->flows, &c->flow);
	tcp_set_state(tcp, c, TCP_CLOSED);
	c->todo = 0;
	c->dup_acks = 0;
	bytes_clear(&c->tx, NULL);
	flight_free(c->flight);
	c->flight = NULL;
	sack_forget(c);
	reasm_clear(&c->ooo);
	if ((c->flags & CONN_HELD) != 0) {
		if (c->rx_done == c->rx_end)
			bytes_clear(&c->rx, &c->owner->rx); /* what came before its turn is worth nothing now */
		c->note |= TCP_NOTE_STATE;
		conn_mark(tcp, c, TODO_NOTE);
		return;
	}
	conn_let_go(tcp, c);
	conn_mark(tcp, c, 0);
}

void conn_reset(struct tcp *tcp, struct tcp_conn *c, int err)
{
	bool rst = wants_rst(c);

	if (c->state == TCP_CLOSED)
		return;
	conn_end(tcp, c, err);
	if (rst)
		conn_mark(tcp, c, TODO_RST);
}

/* RFC 9293 3.10.5; with data unsent in LAST-ACK or CLOSING the peer must hear of it too. */
static bool wants_rst(const struct tcp_conn *c)
{
	switch (c->state) {
	case TCP_SYN_RCVD:
	case TCP_ESTABLISHED:
	case TCP_FIN_WAIT_1:
	case TCP_FIN_WAIT_2:
	case TCP_CLOSE_WAIT:
		return true;
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		return c->tx_acked < c->tx_end;
	default:
		return false;
	}
}

void conn_hold(struct tcp *tcp, struct tcp_conn *c, bool held)
{
	(void)tcp;
	c->flags = held ? c->flags | CONN_HELD : (c->flags & ~(uint32_t)CONN_HELD) | CONN_RELEASED;
	if (c->owner == NULL)
		return;
	list_take(c);
	list_put(c, held ? 0 : 1);
}

void conn_let_go(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->owner != NULL && (c->flags & CONN_RELEASED) != 0 && tcp->hooks.let_go != NULL)
		tcp->hooks.let_go(tcp->hooks.arg, c);
	conn_disown(tcp, c);
}

void conn_disown(struct tcp *tcp, struct tcp_conn *c)
{
	conn_not_young(tcp, c);
	c->user = NULL;
	if (c->owner == NULL)
		return;
	bytes_clear(&c->rx, &c->owner->rx);
	bytes_clear(&c->tx, NULL);
	reasm_clear(&c->ooo);
	list_take(c);
	c->owner->conns--;
	c->owner = NULL;
}

void conn_release_tx(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->tx_acked == c->tx_end) {
		bytes_clear(&c->tx, NULL);
		if ((c->flags & CONN_RELEASED) != 0)
			conn_let_go(tcp, c);
		return;
	}
	bytes_drop(&c->tx, NULL, bytes_number(c->tx_acked));
}

/* It leaves the list of those its listener's owner does not know for good; the listener counts it no more. */
void conn_not_young(struct tcp *tcp, struct tcp_conn *c)
{
	if ((c->flags & CONN_YOUNG) == 0)
		return;
	syn_done(tcp, c);
	c->flags &= ~(uint32_t)CONN_YOUNG;
	TAILQ_REMOVE(&tcp->young, c, life);
	if (c->listener != NULL && (c->flags & CONN_CONNECTED) != 0 && c->listener->lane[tcp->engine].waiting > 0)
		c->listener->lane[tcp->engine].waiting--;
	c->listener = NULL;
}

bool conn_free_if_done(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->state != TCP_CLOSED || (c->flags & (CONN_HELD | CONN_MARKED)) != 0)
		return false;
	conn_disown(tcp, c);
	pool_put(&tcp->pool, c);
	return true;
}

void conn_tuple(const struct tcp_conn *c, struct tuple *t)
{
	t->local = c->local;
	t->peer = c->peer;
	t->lport = c->lport;
	t->pport = c->pport;
}

/* The payload of our segments: the least of what the peer, the path and the owner allow, less our options (RFC 6691). */
void conn_set_mss(struct tcp_conn *c)
{
	c->mss = conn_mss_of(c, c->mtu);
}

uint16_t conn_mss_of(const struct tcp_conn *c, uint16_t mtu)
{
	uint16_t mss = (uint16_t)(mtu - net_ip_len(&c->peer) - SEG_HDR), opts = (c->flags & CONN_TS) != 0 ? SEG_TS_LEN : 0;

	if (c->mss_peer < mss)
		mss = c->mss_peer;
	if (c->mss_max != 0 && c->mss_max < mss)
		mss = c->mss_max;
	return (uint16_t)((mss > MSS_MIN ? mss : MSS_MIN) - opts);
}

/* Headers of a segment with text. */
uint16_t conn_overhead(const struct tcp_conn *c)
{
	return (uint16_t)(net_ip_len(&c->peer) + SEG_HDR + ((c->flags & CONN_TS) != 0 ? SEG_TS_LEN : 0));
}

/* RFC 9293 3.9.1.8: the owner may ask for it.  0: the peer was heard. */
void conn_soft_error(struct tcp *tcp, struct tcp_conn *c, int err)
{
	if (c->soft_err == err)
		return;
	c->soft_err = (int16_t)err;
	c->note |= TCP_NOTE_STATE;
	conn_mark(tcp, c, TODO_NOTE);
}

static void count_move(struct tcp *tcp, const struct tcp_conn *c, enum tcp_state to)
{
	if (to == TCP_SYN_SENT)
		COUNT(tcp->stats, TCP_ACTIVE);
	if (to == TCP_TIME_WAIT)
		COUNT(tcp->stats, TCP_TIME_WAIT);
	if (to == TCP_ESTABLISHED && (c->flags & CONN_ACTIVE) == 0)
		COUNT(tcp->stats, TCP_PASSIVE);
	if (to != TCP_CLOSED)
		return;
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD)
		COUNT(tcp->stats, TCP_ATTEMPT_FAILS);
	if (c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT)
		COUNT(tcp->stats, TCP_ESTAB_RESETS);
}

static void syn_done(struct tcp *tcp, struct tcp_conn *c)
{
	if ((c->flags & CONN_COUNTED) == 0)
		return;
	c->flags &= ~(uint32_t)CONN_COUNTED;
	c->listener->lane[tcp->engine].syns--;
}

static void list_put(struct tcp_conn *c, unsigned which)
{
	struct tcp_conn **head = &c->owner->list[which];

	c->owner_next = *head;
	c->owner_prev = head;
	if (c->owner_next != NULL)
		c->owner_next->owner_prev = &c->owner_next;
	*head = c;
}

static void list_take(struct tcp_conn *c)
{
	*c->owner_prev = c->owner_next;
	if (c->owner_next != NULL)
		c->owner_next->owner_prev = c->owner_prev;
}
