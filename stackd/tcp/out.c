/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Marked connections into segments.  All that a connection sends leaves from here, once a turn.
 */
#include <errno.h>

#include "stackd/tcp/priv.h"

static void send_rst(struct tcp *tcp, struct tcp_conn *c);
static void send_syn(struct tcp *tcp, struct tcp_conn *c);
static void send_duplicates(struct tcp *tcp, struct tcp_conn *c);
static void send_acks(struct tcp *tcp, struct tcp_conn *c);
static void send_probe(struct tcp *tcp, struct tcp_conn *c);
static void send_text(struct tcp *tcp, struct tcp_conn *c);
static bool send_next(struct tcp *tcp, struct tcp_conn *c, bool *failed);
static uint32_t next_lost(struct tcp_conn *c);
static bool new_segment(const struct tcp_conn *c, bool force, uint32_t *len, bool *fin);
static uint32_t windows(const struct tcp_conn *c);
static bool may_be_small(const struct tcp_conn *c, uint32_t len, bool last, bool force);
static bool send_new(struct tcp *tcp, struct tcp_conn *c, uint32_t len, bool fin);
static bool send_again(struct tcp *tcp, struct tcp_conn *c, uint32_t no);
static void send_loss_probe(struct tcp *tcp, struct tcp_conn *c);
static uint8_t text_flags(const struct tcp_conn *c, uint32_t seq, uint32_t len, bool fin);
static bool room_for_one(struct tcp *tcp, struct tcp_conn *c);
static void sent(struct tcp *tcp, struct tcp_conn *c, uint32_t len);
static void wait_for_room(struct tcp *tcp, struct tcp_conn *c, bool failed);
static void tell_unsent(struct tcp_conn *c);
static void restart_after_idle(struct tcp *tcp, struct tcp_conn *c);
static bool emit(struct tcp *tcp, struct tcp_conn *c, uint8_t flags, uint32_t seq, uint32_t len);
static void options(struct tcp *tcp, const struct tcp_conn *c, uint32_t len, struct seg_opts *o);
static uint32_t plain_seq(const struct tcp_conn *c);
static uint32_t full(const struct tcp_conn *c);

void out_conn(struct tcp *tcp, struct tcp_conn *c)
{
	if ((c->todo & TODO_RST) != 0)
		send_rst(tcp, c);
	if (c->state == TCP_CLOSED) {
		c->todo &= TODO_NOTE;
		return;
	}
	if ((c->todo & TODO_SYN) != 0)
		send_syn(tcp, c);
	if (c->state == TCP_SYN_SENT) {
		c->todo &= TODO_NOTE;
		return;
	}
	send_duplicates(tcp, c);
	if ((c->todo & TODO_KEEP) != 0 && emit(tcp, c, SEG_ACK, c->snd_una - 1, 0))
		COUNT(tcp->stats, TCP_KEEPALIVE);
	if ((c->todo & TODO_PROBE) != 0 && conn_sends_text(c))
		send_probe(tcp, c);
	if ((c->todo & (TODO_SEND | TODO_REXMIT | TODO_TLP)) != 0 && conn_sends_text(c))
		send_text(tcp, c);
	send_acks(tcp, c);
}

/* What must not coalesce: an ACK for each segment out of order (RFC 5681, 4.2), and for each that came twice (RFC 2883). */
static void send_duplicates(struct tcp *tcp, struct tcp_conn *c)
{
	for (; c->dup_acks > 0; c->dup_acks--)
		(void)emit(tcp, c, SEG_ACK, plain_seq(c), 0);
	while (sack_duplicates(c) > 1 && emit(tcp, c, SEG_ACK, plain_seq(c), 0))
		;
	if (sack_duplicates(c) > 0)
		c->todo |= TODO_ACK;
}

static void send_acks(struct tcp *tcp, struct tcp_conn *c)
{
	unsigned later = c->state == TCP_CLOSED ? TODO_RST | TODO_NOTE : TODO_NOTE;

	if ((c->flags & CONN_MARKED) != 0) /* its burst was cut: it goes on in the next turn */
		later |= TODO_SEND | TODO_REXMIT | TODO_FORCE;
	if ((c->todo & TODO_ACK) != 0 && c->state != TCP_CLOSED)
		(void)emit(tcp, c, SEG_ACK, plain_seq(c), 0);
	c->todo &= (uint16_t)later;
}

static void send_rst(struct tcp *tcp, struct tcp_conn *c)
{
	c->todo &= (uint16_t)~TODO_RST;
	if (emit(tcp, c, SEG_RST | SEG_ACK, plain_seq(c), 0))
		COUNT(tcp->stats, TCP_RST_OUT);
}

static void send_syn(struct tcp *tcp, struct tcp_conn *c)
{
	bool first = c->snd_max == c->iss;
	uint8_t flags = c->state == TCP_SYN_SENT ? SEG_SYN : SEG_SYN | SEG_ACK;

	if (emit(tcp, c, (uint8_t)(flags | ecn_syn_flags(tcp, c, first)), c->iss, 0) && !first) {
		COUNT(tcp->stats, TCP_REXMIT);
		c->retrans++;
	}
	if (first) {
		c->snd_nxt = c->snd_max = c->iss + 1;
		c->flags |= CONN_TIMED;
		c->rtt_seq = c->snd_max;
		c->rtt_us = tcp->now_us;
	} else {
		c->flags &= ~(uint32_t)CONN_TIMED;
	}
	if (c->due_us[T_REXMIT] == 0)
		timer_set(tcp, c, T_REXMIT, tcp->now_us + c->rto_us);
}

/* One byte, or the FIN, into a closed window: seen as sent, but snd_nxt stays before it (RFC 9293, 3.8.6.1). */
static void send_probe(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t left = conn_data_end(c) - c->snd_una;
	bool fin = left == 0;

	if (fin && (c->flags & CONN_FIN_QUEUED) == 0)
		return;
	if (!emit(tcp, c, fin ? SEG_ACK | SEG_FIN : SEG_ACK, c->snd_una, fin ? 0 : 1))
		return;
	COUNT(tcp->stats, TCP_PERSIST);
	if (seq_lt(c->snd_max, c->snd_una + 1))
		c->snd_max = c->snd_una + 1;
	c->flags &= ~(uint32_t)CONN_TIMED;
}

static void send_text(struct tcp *tcp, struct tcp_conn *c)
{
	unsigned n = 0;
	bool failed = false;

	restart_after_idle(tcp, c);
	if ((c->todo & TODO_TLP) != 0)
		send_loss_probe(tcp, c);
	while (c->state != TCP_CLOSED && n < SEND_BURST && send_next(tcp, c, &failed))
		n++;
	if (c->state == TCP_CLOSED)
		return;
	recover_limited(c);
	if (n > 0)
		rack_arm(tcp, c);
	tell_unsent(c);
	if (n == SEND_BURST) {
		c->todo &= (uint16_t)~TODO_REXMIT;
		conn_mark(tcp, c, TODO_SEND);
		return;
	}
	wait_for_room(tcp, c, failed);
}

/* TCP_NOTSENT_LOWAT: by what its program knows it may not write, but now it may. */
static void tell_unsent(struct tcp_conn *c)
{
	if (c->notsent_lowat == 0 || conn_data_end(c) - c->snd_told < c->notsent_lowat || conn_unsent(c) >= c->notsent_lowat)
		return;
	c->note |= TCP_NOTE_STATE;
	c->todo |= TODO_NOTE;
}

/* RFC 5681 4.1 */
static void restart_after_idle(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t restart = tcp->conf.initial_cwnd * c->mss;

	if (c->snd_una != c->snd_max || c->sent_us == 0 || tcp->now_us - c->sent_us <= c->rto_us)
		return;
	c->cc.epoch_us = 0;
	if (c->cc.cwnd > restart)
		c->cc.cwnd = restart;
}

/* What is lost first, then what is new.  false: nothing may be sent, or it failed. */
static bool send_next(struct tcp *tcp, struct tcp_conn *c, bool *failed)
{
	bool again = (c->todo & TODO_REXMIT) != 0, fin;
	uint32_t no = next_lost(c), len;

	if (no != FLIGHT_NONE) {
		if (!again && flight_pipe(c->flight) + flight_at(c->flight, no)->len > c->cc.cwnd)
			return false;
		c->todo &= (uint16_t)~TODO_REXMIT;
		return send_again(tcp, c, no);
	}
	if (!new_segment(c, (c->todo & TODO_FORCE) != 0, &len, &fin))
		return false;
	*failed = !send_new(tcp, c, path_probe(tcp, c, len, windows(c)), fin);
	return !*failed;
}

/* The first lost segment, if it is within the peer's window, and F-RTO does not want to see first what new ones bring. */
static uint32_t next_lost(struct tcp_conn *c)
{
	struct flight *f = c->flight;
	uint32_t no = f != NULL && f->frto != FRTO_SECOND ? flight_lost(f) : FLIGHT_NONE;

	if (c->snd_wnd == 0 && (c->flags & CONN_PERSIST) != 0)
		return FLIGHT_NONE; /* probes ask for room */
	if (no == FLIGHT_NONE || no == f->head)
		return no;
	return flight_at(f, no)->from + flight_at(f, no)->len <= conn_tx_off(c, c->snd_una) + c->snd_wnd ? no : FLIGHT_NONE;
}

/* What may be sent at snd_nxt by the peer's window, cwnd and the rules against small segments. */
static bool new_segment(const struct tcp_conn *c, bool force, uint32_t *len, bool *fin)
{
	uint32_t flight = c->snd_nxt - c->snd_una, left = conn_data_end(c) - c->snd_nxt, most = full(c), room = windows(c);
	bool last;

	if (left == UINT32_MAX || (left == 0 && (c->flags & CONN_FIN_QUEUED) == 0))
		return false; /* all is sent, the FIN too */
	if (room == 0)
		return false;
	*len = left < most ? left : most;
	*len = *len < room ? *len : room;
	last = *len == left;
	*fin = last && (c->flags & CONN_FIN_QUEUED) != 0 && c->snd_wnd - flight > *len;
	if (*len == 0 && !*fin)
		return false;
	return *len >= most || *fin || may_be_small(c, *len, last, force);
}

/* What the peer's window and cwnd leave. */
static uint32_t windows(const struct tcp_conn *c)
{
	uint32_t flight = c->snd_nxt - c->snd_una, pipe = flight_pipe(c->flight), cwnd = c->cc.cwnd;

	if ((c->flags & (CONN_RECOVERY | CONN_SACK)) == 0 && c->dup_acks_in < 3)
		cwnd += c->dup_acks_in * (uint32_t)c->mss; /* limited transmit, RFC 3042; with SACK, pipe does that */
	if (c->snd_wnd <= flight || cwnd <= pipe)
		return 0;
	return c->snd_wnd - flight < cwnd - pipe ? c->snd_wnd - flight : cwnd - pipe;
}

/* Sender's silly window avoidance (RFC 9293 3.8.6.2.1); Nagle in Minshall's variant: one small segment in flight. */
static bool may_be_small(const struct tcp_conn *c, uint32_t len, bool last, bool force)
{
	if (force)
		return true;
	if (!last)
		return c->snd_wnd - (c->snd_nxt - c->snd_una) == len && len >= c->snd_wnd_max / 2;
	if ((c->flags & CONN_FIN_QUEUED) != 0)
		return true;
	if ((c->flags & CONN_CORK) != 0)
		return false;
	return (c->flags & CONN_NODELAY) != 0 || seq_le(c->snd_sml, c->snd_una);
}

static bool send_new(struct tcp *tcp, struct tcp_conn *c, uint32_t len, bool fin)
{
	uint32_t seq = c->snd_nxt, end = seq + len + fin;
	bool probed = seq_lt(seq, c->snd_max); /* its first byte went out as a window probe */

	if (!room_for_one(tcp, c) || !emit(tcp, c, text_flags(c, seq, len, fin), seq, len)) {
		recover_idle(tcp, c);
		return false;
	}
	flight_push(c->flight, conn_tx_off(c, seq), len + fin, probed, tcp->now_us);
	if (probed) {
		COUNT(tcp->stats, TCP_REXMIT);
		c->retrans++;
		c->flags &= ~(uint32_t)CONN_TIMED;
	} else if ((c->flags & CONN_TIMED) == 0) {
		c->flags |= CONN_TIMED;
		c->rtt_seq = end;
		c->rtt_us = tcp->now_us;
	}
	if (len < full(c))
		c->snd_sml = end;
	if (len > c->mss)
		path_probing(tcp, c, end);
	if (seq_gt(end, c->snd_max)) {
		COUNT_ADD(tcp->stats, TCP_TX_BYTES, end - c->snd_max - fin);
		c->snd_max = end;
	}
	c->snd_nxt = end;
	if (len > 0 && c->text_us != 0 && tcp->now_us - c->text_us < tcp->conf.delack_ms * UINT64_C(1000))
		c->flags |= CONN_INTERACTIVE;
	sent(tcp, c, len + fin);
	return true;
}

/* There must be room to note what is sent. */
static bool room_for_one(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->flight == NULL)
		c->flight = flight_new(conn_tx_off(c, c->snd_una));
	return c->flight != NULL && flight_room(c->flight, FLIGHT_MIN + tcp->conf.sndbuf_max / FLIGHT_SHARE) == 0;
}

static bool send_again(struct tcp *tcp, struct tcp_conn *c, uint32_t no)
{
	struct flight_seg *s = flight_at(c->flight, no);
	uint32_t seq = c->iss + 1 + (uint32_t)s->from, len = s->len;
	bool fin = seq + len == conn_data_end(c) + 1;

	if (len - fin > c->mss) { /* it has become smaller since, or this was to try a larger one */
		if (path_cut(tcp, c) ? flight_split(c->flight, no, c->mss) != 0 : recover_cut(tcp, c) != 0)
			return false;
		no = flight_lost(c->flight);
		s = flight_at(c->flight, no);
		seq = c->iss + 1 + (uint32_t)s->from;
		len = s->len;
		fin = seq + len == conn_data_end(c) + 1;
	}
	if (!emit(tcp, c, text_flags(c, seq, len - fin, fin), seq, len - fin))
		return false;
	COUNT(tcp->stats, TCP_REXMIT);
	c->retrans++;
	if (seq_lt(seq, c->rtt_seq))
		c->flags &= ~(uint32_t)CONN_TIMED; /* Karn: RFC 6298, 3 */
	flight_again(c->flight, no, tcp->now_us);
	undo_sent(tcp, c);
	sent(tcp, c, len);
	if (no == c->flight->head && (c->flags & (CONN_RECOVERY | CONN_SACK)) == (CONN_RECOVERY | CONN_SACK))
		timer_rexmit(tcp, c); /* RFC 6675, section 6: the ACK of this one is waited for */
	return true;
}

static void sent(struct tcp *tcp, struct tcp_conn *c, uint32_t len)
{
	c->flight->prr_out += len;
	c->sent_us = tcp->now_us;
	if (c->due_us[T_REXMIT] == 0 || (c->flags & CONN_PERSIST) != 0) {
		c->flags &= ~(uint32_t)CONN_PERSIST;
		timer_rexmit(tcp, c);
	}
}

/* RFC 8985 7.3: a new segment, whatever cwnd says, or else the last one again. */
static void send_loss_probe(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t cwnd = c->cc.cwnd, len;
	bool fin, new;

	c->todo &= (uint16_t)~TODO_TLP;
	if (c->flight == NULL || c->flight->head == c->flight->tail ||
	    c->flight->lost_bytes + c->flight->sacked_bytes > 0)
		return;
	c->cc.cwnd = flight_pipe(c->flight) + c->mss;
	new = new_segment(c, true, &len, &fin) && send_new(tcp, c, len, fin);
	c->cc.cwnd = cwnd;
	if (c->state != TCP_CLOSED && (new || send_again(tcp, c, c->flight->tail - 1)))
		tlp_sent(tcp, c, !new);
}

static uint8_t text_flags(const struct tcp_conn *c, uint32_t seq, uint32_t len, bool fin)
{
	bool push = len > 0 && seq + len == conn_data_end(c);

	return (uint8_t)(SEG_ACK | (push ? SEG_PSH : 0) | (fin ? SEG_FIN : 0));
}

/* With nothing in flight no acknowledgement will come to set us going again: the timer must. */
static void wait_for_room(struct tcp *tcp, struct tcp_conn *c, bool failed)
{
	bool fin_left = (c->flags & CONN_FIN_QUEUED) != 0 && seq_le(c->snd_nxt, conn_data_end(c));

	if (c->snd_una != c->snd_max || c->due_us[T_REXMIT] != 0 || (c->snd_nxt == conn_data_end(c) && !fin_left))
		return;
	if (!seq_lt(c->snd_nxt, conn_data_end(c)) && !fin_left)
		return;
	if (!failed)
		c->flags |= CONN_PERSIST;
	timer_set(tcp, c, T_REXMIT,
	          tcp->now_us + ((c->flags & CONN_CORK) != 0 && c->snd_wnd > 0 ? (uint32_t)CORK_US : c->rto_us));
}

/* One segment, with all that every segment carries.  false: no frame could be had, or the owner's memory is gone. */
static bool emit(struct tcp *tcp, struct tcp_conn *c, uint8_t flags, uint32_t seq, uint32_t len)
{
	struct seg_out s = {
		.src = c->local,
		.dst = c->peer,
		.sport = c->lport,
		.dport = c->pport,
		.seq = seq,
		.ack = (flags & SEG_ACK) != 0 ? c->rcv_nxt : 0,
		.flags = flags,
		.ttl = c->ttl,
		.tos = c->tos,
		.may_fragment = option_may_fragment(c->mtu_discover),
	};
	uint8_t *text;
	struct pkt *p;

	if ((flags & SEG_SYN) != 0)
		open_syn_options(tcp, c, &s.opts);
	else
		options(tcp, c, len, &s.opts);
	ecn_mark(c, len > 0 && seq == c->snd_max && c->snd_wnd > 0, &s.flags, &s.tos);
	s.wnd = (flags & SEG_RST) != 0 ? 0 : window_offer(tcp, c, (flags & SEG_SYN) != 0);
	p = seg_build(tcp->net, &s, (uint16_t)len, &text);
	if (p == NULL)
		return false;
	if (len > 0 && bytes_read(&c->tx, &c->owner->tx, conn_tx_off(c, seq), text, len) != 0) {
		nic_free(p); /* the client took back what it had lent */
		conn_reset(tcp, c, EFAULT);
		return false;
	}
	COUNT(tcp->stats, TCP_OUT);
	c->segs_out++;
	net_send(tcp->net, p, tcp->now_us);
	if ((flags & SEG_ACK) != 0) {
		c->quick_acks -= c->unacked_bytes > 0 && c->quick_acks > 0;
		c->last_ack_sent = c->rcv_nxt;
		c->unacked_bytes = 0;
		sack_told(c);
		c->todo &= (uint16_t)~TODO_ACK;
		timer_clear(c, T_DELACK);
	}
	return true;
}

static void options(struct tcp *tcp, const struct tcp_conn *c, uint32_t len, struct seg_opts *o)
{
	if ((c->flags & CONN_TS) != 0) {
		o->has |= SEG_HAS_TS;
		o->ts_val = tcp_clock_ms(tcp) + c->ts_offset;
		o->ts_ecr = c->ts_recent;
	}
	sack_options(c, o, sack_most(c, c->mss > len ? c->mss - len : 0));
}

/* The number of a segment without text: what the peer expects next if it has received everything.  Not snd_nxt, which goes back
 * at a timeout, so that two ends which both wait for an ACK would find each other's unacceptable; and not beyond the window. */
static uint32_t plain_seq(const struct tcp_conn *c)
{
	bool shut = (c->flags & CONN_CONNECTED) != 0 && seq_gt(c->snd_max, c->snd_una + c->snd_wnd);

	return shut ? c->snd_una + c->snd_wnd : c->snd_max;
}

/* Payload of a full segment: SACK blocks take their room from it. */
static uint32_t full(const struct tcp_conn *c)
{
	unsigned most = sack_most(c, c->mss), n = c->ooo.count + (c->dups != NULL);
	unsigned room = n == 0 || most == 0 ? 0 : 4 + 8 * (n < most ? n : most);

	return c->mss > room + 8 ? c->mss - room : 8;
}
