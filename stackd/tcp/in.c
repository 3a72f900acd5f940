/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments to connections.  The common ones take a short path; all others walk through RFC 9293 3.10.7.4 step by step.
 */
#include <errno.h>
#include <string.h>

#include "stackd/tcp/priv.h"

#define PAWS_EXPIRED_US (UINT64_C(24) * 24 * 3600 * 1000000) /* RFC 7323, 5.5 */

enum verdict { GO_ON, DROP };

static void in_one(struct tcp *tcp, struct pkt *p);
static struct tcp_conn *conn_of(struct tcp *tcp, const struct pkt *p);
static void in_time_wait(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static bool time_wait_reuse(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static bool plain(const struct tcp_conn *c, const struct seg_in *s);
static void in_established(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static void in_steps(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s);
static enum verdict check_syn_again(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s);
static enum verdict check_paws(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static enum verdict check_seq(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s);
static enum verdict check_rst(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static enum verdict check_syn(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static enum verdict check_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static void note_timestamp(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, uint32_t seq);
static void note_urgent(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static void answer(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static uint32_t challenges_of(const struct tcp *tcp);

void tcp_in(struct tcp *tcp, struct pkt **pkts, unsigned n, uint64_t now_us)
{
	tcp->now_us = now_us;
	for (unsigned i = 0; i < n; i++) {
		COUNT(tcp->stats, TCP_IN);
		in_one(tcp, pkts[i]);
		nic_free(pkts[i]);
	}
}

static void in_one(struct tcp *tcp, struct pkt *p)
{
	struct seg_in s = {
		.seq = p->tcp.seq,
		.ack = p->tcp.ack,
		.wnd = p->tcp.wnd,
		.flags = p->tcp.flags,
		.text = p->data + p->tcp.text_off,
		.len = p->tcp.text_len,
		.pkt = p,
	};
	struct tcp_conn *c;

	if ((p->flags & PKT_MCAST) != 0) {
		COUNT(tcp->stats, TCP_BAD);
		return;
	}
	if (!seg_parse(p->data + p->tcp.opt_off, p->tcp.opt_len, &s.opts))
		COUNT(tcp->stats, TCP_BAD_OPTION);
	c = conn_of(tcp, p);
	if (c == NULL) {
		open_listen(tcp, &s);
		return;
	}
	if ((s.flags & SEG_SYN) == 0)
		s.wnd <<= c->snd_shift;
	c->segs_in++;
	if (c->state == TCP_SYN_SENT)
		open_syn_sent(tcp, c, &s);
	else if (c->state == TCP_TIME_WAIT)
		in_time_wait(tcp, c, &s);
	else
		in_segment(tcp, c, &s);
}

/* What the lookup found may have ended since, or begun. */
static struct tcp_conn *conn_of(struct tcp *tcp, const struct pkt *p)
{
	struct tcp_conn *c = p->conn;
	struct tuple t = { p->dst, p->src, p->tcp.dport, p->tcp.sport };

	if (c != NULL && c->state != TCP_CLOSED && c->pport == t.pport && c->lport == t.lport &&
	    memcmp(&c->peer, &t.peer, sizeof(t.peer)) == 0 && memcmp(&c->local, &t.local, sizeof(t.local)) == 0)
		return c;
	return tcp_find(tcp, &t);
}

void in_segment(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s)
{
	if (plain(c, s))
		in_established(tcp, c, s);
	else
		in_steps(tcp, c, s);
}

/* Established, no flag but ACK and PSH, next in order and within what we offered, nothing out of order here, acknowledging
 * something we sent, a timestamp where there must be one and not an old one? */
static bool plain(const struct tcp_conn *c, const struct seg_in *s)
{
	bool established = c->state == TCP_ESTABLISHED;
	bool plain_flags = (s->flags & ~SEG_PSH) == SEG_ACK;
	bool next = s->seq == c->rcv_nxt && c->ooo.count == 0;
	bool fits = s->len <= c->rcv_adv - c->rcv_nxt && (c->flags & CONN_FIN_SEEN) == 0;
	bool ack_good = seq_ge(s->ack, c->snd_una) && seq_le(s->ack, c->snd_max);
	bool stamp_good = (c->flags & CONN_TS) == 0
	                          ? true
	                          : (s->opts.has & SEG_HAS_TS) != 0 && seq_ge(s->opts.ts_val, c->ts_recent);

	return established && plain_flags && next && fits && ack_good && stamp_good;
}

static void in_established(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	c->heard_us = tcp->now_us;
	note_timestamp(tcp, c, s, s->seq);
	if (ack_take(tcp, c, s) && s->len > 0)
		text_take(tcp, c, s);
}

/* RFC 9293 3.10.7.4 */
static __attribute__((noinline)) void in_steps(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s)
{
	const uint32_t seq = s->seq; /* before what lies outside the window is cut off */

	if (c->state == TCP_SYN_RCVD && check_syn_again(tcp, c, s) == DROP)
		return;
	if (check_paws(tcp, c, s) == DROP)
		return;
	if (check_seq(tcp, c, s) == DROP) /* first */
		return;
	if (check_rst(tcp, c, s) == DROP) /* second */
		return;
	if (check_syn(tcp, c, s) == DROP) /* fourth */
		return;
	if ((s->flags & SEG_ACK) == 0)
		return;
	if (check_ack(tcp, c, s) == DROP) /* fifth */
		return;
	if (s->cut) {
		sack_duplicate(tcp, c, s->seq - s->old, s->seq);
		conn_mark(tcp, c, TODO_ACK);
	}
	note_timestamp(tcp, c, s, seq); /* not from one whose ACK was a guess */
	c->heard_us = tcp->now_us;
	note_urgent(tcp, c, s);  /* sixth */
	text_take(tcp, c, s);    /* seventh and eighth */
}

/* The SYN that brought us here, again: our answer was lost (send it again), or it crossed ours (RFC 9293, figure 7). */
static enum verdict check_syn_again(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s)
{
	if ((s->flags & (SEG_SYN | SEG_RST)) != SEG_SYN || s->seq != c->irs)
		return GO_ON;
	if ((s->flags & SEG_ACK) == 0) {
		COUNT(tcp->stats, TCP_DUP);
		c->flags &= ~(uint32_t)CONN_TIMED;
		conn_mark(tcp, c, TODO_SYN);
		return DROP;
	}
	if ((c->flags & CONN_ACTIVE) == 0)
		return GO_ON; /* nothing of ours has crossed it */
	s->flags &= (uint8_t)~SEG_SYN;
	s->seq++;
	return GO_ON;
}

/* RFC 7323 5.3, R1; a RST is not subject to it. */
static enum verdict check_paws(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if ((c->flags & CONN_TS) == 0 || (s->flags & SEG_RST) != 0)
		return GO_ON;
	if ((s->opts.has & SEG_HAS_TS) == 0) {
		if ((s->flags & SEG_SYN) != 0)
			return GO_ON; /* goes to its challenge ACK */
		COUNT(tcp->stats, TCP_PAWS); /* RFC 7323, 3.2: SHOULD silently drop */
		return DROP;
	}
	if (seq_ge(s->opts.ts_val, c->ts_recent))
		return GO_ON;
	if (tcp->now_us - c->ts_recent_us > PAWS_EXPIRED_US)
		return GO_ON;
	COUNT(tcp->stats, TCP_PAWS);
	answer(tcp, c, s);
	return DROP;
}

/* 3.10.7.4, first; what lies outside the window is cut off. */
static enum verdict check_seq(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s)
{
	uint32_t syn = (s->flags & SEG_SYN) != 0, fin = (s->flags & SEG_FIN) != 0;
	uint32_t end = s->seq + s->len + syn + fin, wnd = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
	bool good, rst = (s->flags & SEG_RST) != 0;

	if (end == s->seq) /* seq == right edge: what a peer sends that has filled our window; but no RST (RFC 5961, 3.2) */
		good = seq_ge(s->seq, c->rcv_nxt) && s->seq - c->rcv_nxt < wnd + (!rst || wnd == 0);
	else if (wnd == 0) /* "special allowance ... valid ACKs, URGs, and RSTs" */
		good = s->seq == c->rcv_nxt && (s->flags & (SEG_ACK | SEG_RST)) != 0;
	else
		good = seq_gt(end, c->rcv_nxt) && seq_lt(s->seq, c->rcv_adv);
	if (!good) {
		if (s->len + fin > 0 && seq_le(end, c->rcv_nxt)) {
			COUNT(tcp->stats, TCP_DUP);
			sack_duplicate(tcp, c, s->seq, end);
			c->flags &= ~(uint32_t)CONN_INTERACTIVE; /* perhaps our ACKs are too slow for it */
			text_quick_acks(tcp, c);
		} else {
			COUNT(tcp->stats, TCP_OUT_OF_WINDOW);
		}
		if (!rst)
			answer(tcp, c, s);
		return DROP;
	}
	if (syn != 0 || rst)
		return GO_ON;
	if (s->len + fin > 0 && seq_gt(end, c->rcv_nxt + wnd)) {
		s->flags &= (uint8_t)~SEG_FIN;
		s->len = s->len <= c->rcv_nxt + wnd - s->seq ? s->len : c->rcv_nxt + wnd - s->seq;
		s->cut = true;
		COUNT(tcp->stats, TCP_OUT_OF_WINDOW);
	}
	if (seq_lt(s->seq, c->rcv_nxt)) {
		uint32_t old = c->rcv_nxt - s->seq;

		old = old < s->len ? old : s->len;
		s->old = old;
		s->seq += old;
		s->text += old;
		s->len -= old;
		s->cut = true;
	}
	return GO_ON;
}

/* 3.10.7.4, second, with RFC 5961 3.2 */
static enum verdict check_rst(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if ((s->flags & SEG_RST) == 0)
		return GO_ON;
	if (s->seq != c->rcv_nxt) {
		in_challenge(tcp, c);
		return DROP;
	}
	COUNT(tcp->stats, TCP_RST_IN);
	switch (c->state) {
	case TCP_SYN_RCVD:
		conn_end(tcp, c, ECONNREFUSED);
		break;
	case TCP_CLOSE_WAIT:
		conn_end(tcp, c, EPIPE);
		break;
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		conn_end(tcp, c, c->tx_acked < c->tx_end ? ECONNRESET : 0);
		break;
	default:
		conn_end(tcp, c, ECONNRESET);
		break;
	}
	return DROP;
}

/* 3.10.7.4, fourth, with RFC 5961 4.2 */
static enum verdict check_syn(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if ((s->flags & SEG_SYN) == 0)
		return GO_ON;
	if (c->state == TCP_SYN_RCVD && (c->flags & CONN_ACTIVE) == 0)
		conn_end(tcp, c, 0); /* back to LISTEN: the peer has begun anew */
	else
		in_challenge(tcp, c);
	return DROP;
}

/* 3.10.7.4, fifth */
static enum verdict check_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if (c->state == TCP_SYN_RCVD)
		return open_ack(tcp, c, s) ? GO_ON : DROP;
	return ack_take(tcp, c, s) ? GO_ON : DROP;
}

/* RFC 7323 4.3 (2), (3); seq: where the segment began when it came */
static void note_timestamp(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, uint32_t seq)
{
	if ((c->flags & CONN_TS) == 0 || (s->opts.has & SEG_HAS_TS) == 0 || seq_gt(seq, c->last_ack_sent))
		return;
	c->ts_recent = s->opts.ts_val;
	c->ts_recent_us = tcp->now_us;
}

/* Urgent data is delivered in line (RFC 6093). */
static void note_urgent(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if ((s->flags & SEG_URG) == 0)
		return;
	COUNT(tcp->stats, TCP_URGENT);
	if ((c->flags & CONN_URGENT) == 0) {
		c->flags |= CONN_URGENT;
		c->note |= TCP_NOTE_STATE;
		conn_mark(tcp, c, TODO_NOTE);
	}
}

/* RFC 9293 3.10.7.4 in TIME-WAIT; RFC 1337: a RST does not end it. */
static void in_time_wait(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	bool next = seq_ge(s->seq, c->rcv_nxt) && (s->seq == c->rcv_nxt || seq_lt(s->seq, c->rcv_adv));

	if ((s->flags & SEG_RST) != 0)
		return;
	if ((s->flags & SEG_SYN) != 0) {
		if (!time_wait_reuse(tcp, c, s))
			in_challenge(tcp, c);
		return;
	}
	if (check_paws(tcp, c, s) == DROP)
		return;
	if ((s->flags & SEG_FIN) != 0 && s->seq + s->len + 1 == c->rcv_nxt) {
		timer_time_wait(tcp, c); /* the FIN again: our last ACK was lost */
		conn_mark(tcp, c, TODO_ACK);
		return;
	}
	if ((s->flags & SEG_ACK) == 0 && next)
		return;
	if (s->seq != c->rcv_nxt || s->len > 0 || (s->flags & SEG_FIN) != 0 || !ack_in_range(c, s->ack))
		answer(tcp, c, s);
}

/* RFC 6191, section 2, and RFC 1122 4.2.2.13: a new SYN may take its place.  The last number seen is that of the FIN. */
static bool time_wait_reuse(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	struct tuple t = { c->local, c->peer, c->lport, c->pport };
	bool stamped = (s->opts.has & SEG_HAS_TS) != 0 && tcp->conf.timestamps, stamps = stamped && (c->flags & CONN_TS) != 0;
	bool newer = (stamps ? seq_gt(s->opts.ts_val, c->ts_recent) : stamped) || seq_ge(s->seq, c->rcv_nxt);
	struct listener *l = open_listener(tcp, &t);
	uint32_t iss = c->snd_max + 65537; /* above all that the last incarnation used */

	if ((s->flags & (SEG_ACK | SEG_FIN)) != 0 || l == NULL || !newer || (stamps && seq_lt(s->opts.ts_val, c->ts_recent)))
		return false;
	if (l->lane[tcp->engine].waiting >= l->backlog ||
	    l->lane[tcp->engine].owner->conns >= l->lane[tcp->engine].owner->conns_max)
		return false;
	COUNT(tcp->stats, TCP_TW_REUSED);
	conn_end(tcp, c, 0);
	open_passive(tcp, l, s, &t, iss + (iss == 0));
	return true;
}

/* An acknowledgement for a segment that was not acceptable.  Those without text are limited, so that two confused ends do not
 * answer each other for ever. */
static void answer(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if (s->len > 0 || (s->flags & SEG_FIN) != 0)
		conn_mark(tcp, c, TODO_ACK);
	else
		in_challenge(tcp, c);
}

/* RFC 5961, section 10: limited for the connection, and for the engine as a whole. */
void in_challenge(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t now_ms = tcp_clock_ms(tcp);
	uint64_t now_s = tcp->now_us / 1000000;

	if (now_ms - c->challenge_ms >= CHALLENGE_MS) {
		c->challenge_ms = now_ms;
		c->challenges = 0;
	}
	if (now_s != tcp->challenge_s) {
		tcp->challenge_s = now_s;
		tcp->challenges = challenges_of(tcp);
	}
	if (c->challenges >= CHALLENGES || tcp->challenges == 0) {
		COUNT(tcp->stats, TCP_CHALLENGE_LIMIT);
		return;
	}
	c->challenges++;
	tcp->challenges--;
	COUNT(tcp->stats, TCP_CHALLENGE);
	conn_mark(tcp, c, TODO_ACK);
}

/* How many in this second.  Nobody can know it: were it constant, who uses it up with segments of his own could see from the number of
 * answers whether he had guessed another's port or sequence number. */
static uint32_t challenges_of(const struct tcp *tcp)
{
	uint32_t limit = tcp->conf.challenge_limit;

	return limit / 2 + secret_number(&tcp->secret, tcp->challenge_s) % (limit + 1);
}
