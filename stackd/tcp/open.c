/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How connections begin: LISTEN and SYN-SENT of RFC 9293 3.10.7, the end of SYN-RECEIVED, and what SYNs negotiate.
 */
#include <errno.h>

#include "stackd/tcp/priv.h"

static void listen_syn(struct tcp *tcp, struct listener *l, const struct seg_in *s, const struct tuple *t);
static bool deferred(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static void syn_sent_ack(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s);
static void syn_sent_both(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);

/* 3.10.7.1 and 3.10.7.2: a segment for no connection. */
void open_listen(struct tcp *tcp, const struct seg_in *s)
{
	struct tuple t = { s->pkt->dst, s->pkt->src, s->pkt->tcp.dport, s->pkt->tcp.sport };
	struct listener *l;
	struct tcp_conn *c;

	if ((s->flags & SEG_RST) != 0)
		return;
	l = open_listener(tcp, &t);
	if (l == NULL) {
		COUNT(tcp->stats, TCP_NO_LISTENER);
		reply_rst(tcp, s);
		return;
	}
	if ((s->flags & SEG_ACK) != 0) {
		struct seg_in again = *s;

		if ((s->flags & SEG_SYN) != 0 || !cookie_recent(tcp)) {
			reply_rst(tcp, s);
			return;
		}
		c = cookie_take(tcp, s, &t, l);
		if (c == NULL)
			return;
		again.wnd <<= c->snd_shift;
		in_segment(tcp, c, &again);
		return;
	}
	if ((s->flags & (SEG_SYN | SEG_FIN)) == (SEG_SYN | SEG_FIN))
		COUNT(tcp->stats, TCP_BAD); /* nobody who means well begins like that */
	else if ((s->flags & SEG_SYN) != 0)
		listen_syn(tcp, l, s, &t);
}

struct listener *open_listener(struct tcp *tcp, const struct tuple *t)
{
	uint32_t hash = secret_flow(&tcp->secret, t);

	return listen_find(tcp->listeners, &t->local, t->lport, tcp->engine, hash);
}

static void listen_syn(struct tcp *tcp, struct listener *l, const struct seg_in *s, const struct tuple *t)
{
	struct listen_lane *lane = &l->lane[tcp->engine];

	if (lane->waiting >= l->backlog) {
		COUNT(tcp->stats, TCP_ACCEPT_FULL);
		COUNT(tcp->stats, TCP_SYN_DROP);
		return;
	}
	if (lane->owner == NULL || lane->owner->dead || lane->owner->conns >= lane->owner->conns_max) {
		COUNT(tcp->stats, TCP_SYN_DROP);
		return;
	}
	if (lane->syns >= tcp->conf.syn_queue || lane->syns > lane->owner->conns_max / 4) { /* a flood must leave room */
		if (tcp->conf.syn_cookies)
			cookie_send(tcp, s, t, l);
		else
			COUNT(tcp->stats, TCP_SYN_DROP);
		return;
	}
	open_passive(tcp, l, s, t, 0);
}

/* A connection in SYN-RECEIVED for a SYN that was let in.  iss: 0: chosen. */
void open_passive(struct tcp *tcp, struct listener *l, const struct seg_in *s, const struct tuple *t, uint32_t iss)
{
	struct listen_lane *lane = &l->lane[tcp->engine];
	struct ipaddr local = t->local;
	struct tcp_conn *c;
	uint16_t mtu;

	if (net_source(tcp->net, &t->peer, &local, &mtu) != 0) {
		COUNT(tcp->stats, TCP_SYN_DROP);
		return;
	}
	c = conn_new(tcp, t, lane->owner);
	if (c == NULL) {
		COUNT(tcp->stats, TCP_SYN_DROP);
		return;
	}
	c->listener = l;
	c->flags |= CONN_YOUNG | CONN_COUNTED;
	lane->syns++;
	TAILQ_INSERT_TAIL(&tcp->young, c, life);
	c->mtu = mtu < MTU_MIN ? MTU_MIN : mtu;
	c->cc.name = tcp->conf.congestion;
	option_inherit(tcp, c, l);
	c->segs_in = 1;
	c->irs = s->seq;
	c->rcv_nxt = s->seq + 1;
	c->rcv_adv = c->rcv_nxt;
	c->iss = iss != 0 ? iss : secret_isn(&tcp->secret, t, tcp->now_us);
	c->snd_una = c->snd_nxt = c->snd_max = c->snd_sml = c->iss;
	c->snd_wnd = c->snd_wnd_max = s->pkt->tcp.wnd;
	c->snd_wl1 = s->seq;
	tcp_set_state(tcp, c, TCP_SYN_RCVD);
	open_take_options(tcp, c, &s->opts);
	ecn_take_syn(tcp, c, s);
	timer_set(tcp, c, T_REXMIT, tcp->now_us + c->rto_us);
	conn_mark(tcp, c, TODO_SYN);
}

/* 3.10.7.3 */
void open_syn_sent(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s)
{
	bool ack = (s->flags & SEG_ACK) != 0;

	if (ack && (seq_le(s->ack, c->iss) || seq_gt(s->ack, c->snd_max))) {
		COUNT(tcp->stats, TCP_BAD_ACK);
		reply_rst(tcp, s);
		return;
	}
	if ((s->flags & SEG_RST) != 0) {
		if (ack) {
			COUNT(tcp->stats, TCP_RST_IN);
			conn_end(tcp, c, ECONNREFUSED);
		}
		return;
	}
	if ((s->flags & SEG_SYN) == 0)
		return;
	c->irs = s->seq;
	c->rcv_nxt = s->seq + 1;
	c->rcv_adv = c->rcv_nxt + (c->rcvbuf < UINT16_MAX ? c->rcvbuf : UINT16_MAX); /* as our SYN said */
	c->snd_wnd = c->snd_wnd_max = s->pkt->tcp.wnd;
	c->snd_wl1 = s->seq;
	c->snd_wl2 = s->ack;
	conn_soft_error(tcp, c, 0);
	open_take_options(tcp, c, &s->opts);
	ecn_take_syn(tcp, c, s);
	if (ack)
		syn_sent_ack(tcp, c, s);
	else
		syn_sent_both(tcp, c, s);
}

static void syn_sent_ack(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s)
{
	c->snd_una = s->ack;
	if ((c->flags & CONN_TIMED) != 0) {
		c->flags &= ~(uint32_t)CONN_TIMED;
		ack_rtt(tcp, c, (uint32_t)(tcp->now_us - c->rtt_us));
	}
	conn_established(tcp, c);
	conn_mark(tcp, c, TODO_ACK);
	s->seq++;
	s->flags &= (uint8_t)~SEG_SYN;
	text_take(tcp, c, s);
}

/* Simultaneous open, figure 7. */
static void syn_sent_both(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	(void)s;
	tcp_set_state(tcp, c, TCP_SYN_RCVD);
	timer_set(tcp, c, T_REXMIT, tcp->now_us + c->rto_us);
	conn_mark(tcp, c, TODO_SYN);
}

/* 3.10.7.4, fifth, SYN-RECEIVED. */
bool open_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	struct listen_lane *lane;

	if (seq_le(s->ack, c->snd_una) || seq_gt(s->ack, c->snd_max)) {
		COUNT(tcp->stats, TCP_BAD_ACK);
		reply_rst(tcp, s);
		return false;
	}
	if (deferred(tcp, c, s))
		return false;
	if (c->listener != NULL) {
		lane = &c->listener->lane[tcp->engine];
		if (lane->waiting >= c->listener->backlog) { /* our SYN-ACK will bring the ACK again */
			c->flags |= CONN_HELD_BACK;
			COUNT(tcp->stats, TCP_ACCEPT_FULL);
			return false;
		}
	}
	if ((c->flags & CONN_TIMED) != 0) {
		c->flags &= ~(uint32_t)CONN_TIMED;
		ack_rtt(tcp, c, (uint32_t)(tcp->now_us - c->rtt_us));
	}
	c->snd_una = s->ack;
	c->snd_nxt = c->snd_max = s->ack;
	c->snd_wnd = s->wnd;
	c->snd_wnd_max = s->wnd > c->snd_wnd_max ? s->wnd : c->snd_wnd_max;
	c->snd_wl1 = s->seq;
	c->snd_wl2 = s->ack;
	conn_established(tcp, c);
	return true;
}

/* TCP_DEFER_ACCEPT: the program wants to hear of it when there is something to read, or when it has taken too long. */
static bool deferred(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if (c->defer_s == 0 || c->listener == NULL || s->len > 0 || (s->flags & SEG_FIN) != 0 ||
	    tcp->now_us >= conn_defer_us(c))
		return false;
	if ((c->flags & CONN_DEFERRED) == 0)
		COUNT(tcp->stats, TCP_DEFERRED);
	c->flags |= CONN_DEFERRED;
	timer_set(tcp, c, T_REXMIT, conn_defer_us(c)); /* then the SYN-ACK brings the ACK again */
	return true;
}

/* What the peer's SYN offers and our configuration wants.  RFC 7323 2.2 and 3.2, RFC 2018 2, RFC 9293 3.7.1. */
void open_take_options(struct tcp *tcp, struct tcp_conn *c, const struct seg_opts *o)
{
	c->mss_peer = (o->has & SEG_HAS_MSS) != 0 ? o->mss : seg_mss_default(&c->peer);
	if ((o->has & SEG_HAS_TS) != 0 && tcp->conf.timestamps) {
		c->flags |= CONN_TS;
		c->ts_recent = o->ts_val;
		c->ts_recent_us = tcp->now_us;
	}
	if ((o->has & SEG_HAS_WS) != 0 && tcp->conf.window_scaling) {
		c->flags |= CONN_WS;
		c->snd_shift = o->shift;
		while (c->rcv_shift < SEG_SHIFT_MAX && (uint32_t)UINT16_MAX << c->rcv_shift < tcp->conf.rcvbuf_max)
			c->rcv_shift++;
	}
	if ((o->has & SEG_HAS_SACK_OK) != 0 && tcp->conf.sack)
		c->flags |= CONN_SACK;
	c->last_ack_sent = c->rcv_nxt;
	conn_set_mss(c);
	c->rcv_mss = c->mss < RCV_MSS_FIRST ? c->mss : RCV_MSS_FIRST;
}

/* The options of our SYN; of our SYN-ACK only what the peer offered too. */
void open_syn_options(struct tcp *tcp, const struct tcp_conn *c, struct seg_opts *o)
{
	const struct tcp_conf *conf = &tcp->conf;
	bool reply = c->state == TCP_SYN_RCVD;

	o->has = SEG_HAS_MSS;
	o->mss = (uint16_t)(c->mtu - net_ip_len(&c->peer) - SEG_HDR);
	if (c->mss_max != 0 && c->mss_max < o->mss)
		o->mss = c->mss_max;
	if (reply ? (c->flags & CONN_TS) != 0 : conf->timestamps) {
		o->has |= SEG_HAS_TS;
		o->ts_val = tcp_clock_ms(tcp) + c->ts_offset;
		o->ts_ecr = reply ? c->ts_recent : 0;
	}
	if (reply ? (c->flags & CONN_WS) != 0 : conf->window_scaling) {
		o->has |= SEG_HAS_WS;
		for (o->shift = 0; o->shift < SEG_SHIFT_MAX && (uint32_t)UINT16_MAX << o->shift < conf->rcvbuf_max;)
			o->shift++;
	}
	if (reply ? (c->flags & CONN_SACK) != 0 : conf->sack)
		o->has |= SEG_HAS_SACK_OK;
}
