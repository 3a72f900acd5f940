/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Marked connections into segments.  All that a connection sends leaves from here, once a turn.
 */
#include <errno.h>

#include "stackd/tcp/priv.h"

static void send_rst(struct tcp *tcp, struct tcp_conn *c);
static void send_syn(struct tcp *tcp, struct tcp_conn *c);
static void send_acks(struct tcp *tcp, struct tcp_conn *c);
static void send_probe(struct tcp *tcp, struct tcp_conn *c);
static void send_text(struct tcp *tcp, struct tcp_conn *c);
static void send_head(struct tcp *tcp, struct tcp_conn *c);
static bool next_segment(struct tcp *tcp, struct tcp_conn *c, uint32_t *seq, uint32_t *len, bool *fin);
static bool new_segment(struct tcp_conn *c, bool force, uint32_t *seq, uint32_t *len, bool *fin);
static bool may_be_small(const struct tcp_conn *c, uint32_t len, bool last, bool force);
static bool send_seg(struct tcp *tcp, struct tcp_conn *c, uint32_t seq, uint32_t len, bool fin);
static void wait_for_room(struct tcp *tcp, struct tcp_conn *c, bool failed);
static void restart_after_idle(struct tcp *tcp, struct tcp_conn *c);
static bool emit(struct tcp *tcp, struct tcp_conn *c, uint8_t flags, uint32_t seq, uint32_t len);
static void options(struct tcp *tcp, const struct tcp_conn *c, struct seg_opts *o);
static void sack_blocks(const struct tcp_conn *c, struct seg_opts *o);
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
	for (; c->dup_acks > 0; c->dup_acks--)
		(void)emit(tcp, c, SEG_ACK, plain_seq(c), 0);
	if ((c->todo & TODO_KEEP) != 0 && emit(tcp, c, SEG_ACK, c->snd_una - 1, 0))
		COUNT(tcp->stats, TCP_KEEPALIVE);
	if ((c->todo & TODO_PROBE) != 0 && conn_sends_text(c))
		send_probe(tcp, c);
	if ((c->todo & (TODO_SEND | TODO_REXMIT)) != 0 && conn_sends_text(c))
		send_text(tcp, c);
	send_acks(tcp, c);
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

	if (emit(tcp, c, c->state == TCP_SYN_SENT ? SEG_SYN : SEG_SYN | SEG_ACK, c->iss, 0) && !first) {
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
	unsigned sent = 0;
	bool fin, failed = false;
	uint32_t seq, len;

	restart_after_idle(tcp, c);
	if ((c->todo & TODO_REXMIT) != 0)
		send_head(tcp, c);
	while (c->state != TCP_CLOSED && sent < SEND_BURST && next_segment(tcp, c, &seq, &len, &fin)) {
		failed = !send_seg(tcp, c, seq, len, fin);
		if (failed)
			break;
		sent++;
	}
	if (c->state == TCP_CLOSED)
		return;
	if (sent == SEND_BURST) {
		c->todo &= (uint16_t)~TODO_REXMIT;
		conn_mark(tcp, c, TODO_SEND);
		return;
	}
	wait_for_room(tcp, c, failed);
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

/* The first segment not acknowledged, again. */
static void send_head(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t left = conn_data_end(c) - c->snd_una, flight = c->snd_max - c->snd_una, len = full(c);
	bool fin = false;

	if (flight == 0)
		return;
	if (flight > left) { /* the FIN is in flight */
		fin = left <= len;
		flight = left;
	}
	len = flight < len ? flight : len;
	if (send_seg(tcp, c, c->snd_una, len, fin) && seq_lt(c->high_rxt, c->snd_una + len + fin))
		c->high_rxt = c->snd_una + len + fin;
}

static bool next_segment(struct tcp *tcp, struct tcp_conn *c, uint32_t *seq, uint32_t *len, bool *fin)
{
	bool force = (c->todo & TODO_FORCE) != 0;
	uint32_t end;

	(void)tcp;
	if ((c->flags & (CONN_RECOVERY | CONN_SACK)) != (CONN_RECOVERY | CONN_SACK))
		return new_segment(c, force, seq, len, fin);
	if (recover_pipe(c) + c->mss > c->cc.cwnd)
		return false;
	if (!recover_lost(c, seq, len)) {
		if (new_segment(c, force, seq, len, fin))
			return true;
		if (!recover_maybe(c, seq, len))
			return false;
	}
	end = *seq + *len;
	*fin = end == conn_data_end(c) + 1; /* the last number in flight is the FIN's */
	*len -= *fin;
	if (*len > full(c)) { /* SACK blocks of ours take room */
		*len = full(c);
		*fin = false;
		if (seq_gt(c->high_rxt, *seq + *len))
			c->high_rxt = *seq + *len;
	}
	return true;
}

/* What may be sent at snd_nxt by the peer's window, cwnd and the rules against small segments. */
static bool new_segment(struct tcp_conn *c, bool force, uint32_t *seq, uint32_t *len, bool *fin)
{
	uint32_t flight, left, most = full(c), cwnd = c->cc.cwnd, wnd;
	uint64_t to = UINT64_MAX, off;
	bool last;

	if (seq_lt(c->snd_nxt, c->snd_max) && c->sacked.count > 0) { /* after a timeout: not what the peer has */
		off = conn_tx_off(c, c->snd_nxt);
		c->snd_nxt += (uint32_t)(reasm_hole(&c->sacked, off, &to) - off);
	}
	flight = c->snd_nxt - c->snd_una;
	left = conn_data_end(c) - c->snd_nxt;
	if (left == UINT32_MAX || (left == 0 && (c->flags & CONN_FIN_QUEUED) == 0))
		return false; /* all is sent, the FIN too */
	if ((c->flags & (CONN_RECOVERY | CONN_SACK)) == (CONN_RECOVERY | CONN_SACK))
		cwnd = UINT32_MAX; /* recover_pipe() has decided */
	else if ((c->flags & CONN_RECOVERY) == 0 && c->dup_acks_in > 0 && c->dup_acks_in < 3)
		cwnd += c->dup_acks_in * (uint32_t)c->mss; /* limited transmit, RFC 3042 */
	wnd = c->snd_wnd < cwnd ? c->snd_wnd : cwnd;
	if (wnd <= flight)
		return false;
	*len = left < most ? left : most;
	if (*len > wnd - flight)
		*len = wnd - flight;
	if (to != UINT64_MAX && to - conn_tx_off(c, c->snd_nxt) < *len)
		*len = (uint32_t)(to - conn_tx_off(c, c->snd_nxt));
	last = *len == left;
	*fin = last && (c->flags & CONN_FIN_QUEUED) != 0 && c->snd_wnd - flight > *len;
	*seq = c->snd_nxt;
	if (*len == 0 && !*fin)
		return false;
	return *len >= most || *fin || seq_lt(*seq, c->snd_max) || may_be_small(c, *len, last, force);
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

static bool send_seg(struct tcp *tcp, struct tcp_conn *c, uint32_t seq, uint32_t len, bool fin)
{
	uint32_t end = seq + len + fin;
	uint8_t flags = SEG_ACK;

	if (len > 0 && seq + len == conn_data_end(c))
		flags |= SEG_PSH;
	if (fin)
		flags |= SEG_FIN;
	if (!emit(tcp, c, flags, seq, len))
		return false;
	if (seq_lt(seq, c->snd_max)) {
		COUNT(tcp->stats, TCP_REXMIT);
		c->retrans++;
		if (seq_lt(seq, c->rtt_seq))
			c->flags &= ~(uint32_t)CONN_TIMED; /* Karn: RFC 6298, 3 */
	} else {
		if ((c->flags & CONN_TIMED) == 0) {
			c->flags |= CONN_TIMED;
			c->rtt_seq = end;
			c->rtt_us = tcp->now_us;
		}
		if (len < full(c))
			c->snd_sml = end;
	}
	if (seq_gt(end, c->snd_max)) {
		uint32_t from = seq_gt(seq, c->snd_max) ? seq : c->snd_max;

		COUNT_ADD(tcp->stats, TCP_TX_BYTES, end - from - fin);
		c->snd_max = end;
	}
	if (seq_gt(end, c->snd_nxt))
		c->snd_nxt = end;
	c->sent_us = tcp->now_us;
	if (c->due_us[T_REXMIT] == 0 || (c->flags & CONN_PERSIST) != 0) {
		c->flags &= ~(uint32_t)CONN_PERSIST;
		timer_rexmit(tcp, c);
	}
	return true;
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
	};
	uint8_t *text;
	struct pkt *p;

	if ((flags & SEG_SYN) != 0)
		open_syn_options(tcp, c, &s.opts);
	else
		options(tcp, c, &s.opts);
	s.wnd = (flags & SEG_RST) != 0 ? 0 : window_offer(tcp, c);
	p = seg_build(tcp->net, &s, (uint16_t)len, &text);
	if (p == NULL)
		return false;
	if (len > 0 && bytes_read(&c->tx, &c->owner->tx, conn_tx_off(c, seq), text, len) != 0) {
		nic_free(p); /* the client took back what it had lent */
		conn_reset(tcp, c, EFAULT);
		return false;
	}
	COUNT(tcp->stats, TCP_OUT);
	net_send(tcp->net, p, tcp->now_us);
	if ((flags & SEG_ACK) != 0) {
		c->last_ack_sent = c->rcv_nxt;
		c->unacked_bytes = 0;
		c->todo &= (uint16_t)~TODO_ACK;
		timer_clear(c, T_DELACK);
	}
	return true;
}

static void options(struct tcp *tcp, const struct tcp_conn *c, struct seg_opts *o)
{
	if ((c->flags & CONN_TS) != 0) {
		o->has |= SEG_HAS_TS;
		o->ts_val = tcp_clock_ms(tcp) + c->ts_offset;
		o->ts_ecr = c->ts_recent;
	}
	if ((c->flags & CONN_SACK) != 0)
		sack_blocks(c, o);
}

/* RFC 2018, section 4: first the block that grew last, then others. */
static void sack_blocks(const struct tcp_conn *c, struct seg_opts *o)
{
	unsigned most = (c->flags & CONN_TS) != 0 ? SEG_SACKS - 1 : SEG_SACKS, i = c->ooo.last;

	for (unsigned n = 0; n < c->ooo.count && n < most; n++) {
		const struct reasm_range *r = &c->ooo.range[(i + n) % c->ooo.count];

		o->sack[o->sacks++] =
			(struct seg_sack){ c->irs + 1 + (uint32_t)r->from, c->irs + 1 + (uint32_t)r->to };
	}
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
	unsigned most = (c->flags & CONN_TS) != 0 ? SEG_SACKS - 1 : SEG_SACKS, n = c->ooo.count < most ? c->ooo.count : most;
	unsigned room = n > 0 && (c->flags & CONN_SACK) != 0 ? 4 + 8 * n : 0;

	return c->mss > room + 8 ? c->mss - room : 8;
}
