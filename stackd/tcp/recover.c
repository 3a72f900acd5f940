/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Losses: what an acknowledgement, or its absence, changes.  With SACK, RACK (rack.c) says what is lost and PRR (prr.c) how fast it is
 * sent again; without, NewReno (RFC 6582).  Timeouts are RFC 5681 3.1 and RFC 6298; undo.c finds out that it was all for nothing.
 * What is sent again, and when, is out.c's.
 */
#include "stackd/tcp/priv.h"

enum { DUP_THRESH = 3, LIMIT_RENO = 2, LIMIT_HYSTART = 8 };

static void leave(struct tcp *tcp, struct tcp_conn *c);
static void enter(struct tcp *tcp, struct tcp_conn *c);
static void repair(struct tcp *tcp, struct tcp_conn *c);
static void with_sack(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n);
static void without_sack(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n);
static void head_again(struct tcp *tcp, struct tcp_conn *c);
static void reduce(struct tcp_conn *c);
static void grow(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n);

void recover_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, const struct flight_news *n)
{
	bool left = false;

	undo_take(tcp, c, n);
	undo_frto(tcp, c, n);
	tlp_take(tcp, c, s, n);
	if ((c->flags & (CONN_RECOVERY | CONN_LOSS)) != 0 && seq_ge(c->snd_una, c->recover)) {
		left = (c->flags & CONN_RECOVERY) != 0;
		leave(tcp, c);
	}
	if ((c->flags & CONN_SACK) != 0)
		with_sack(tcp, c, n);
	else
		without_sack(tcp, c, n);
	if (n->acked && !left && !n->marked && (c->flags & CONN_RECOVERY) == 0)
		grow(tcp, c, n);
	if (n->acked || n->newly_sacked > 0)
		conn_mark(tcp, c, TODO_SEND);
	if (n->acked || c->flight->reo_us != 0 || c->flight->sacked > 0)
		rack_arm(tcp, c);
	recover_idle(tcp, c);
}

/* Nothing is in flight: the memory goes back, at once or when no DSACK can tell any more what was needless. */
void recover_idle(struct tcp *tcp, struct tcp_conn *c)
{
	struct flight *f = c->flight;
	bool wait;

	if (f == NULL || f->head != f->tail)
		return;
	wait = (c->flags & CONN_SACK) != 0 && ((f->undo_ready && f->undo_again > 0) || (f->tlp_end != 0 && f->tlp_again));
	if (wait && f->idle_us == 0) {
		f->idle_us = tcp->now_us + c->rto_us;
		timer_set(tcp, c, T_RACK, f->idle_us);
	}
	if (wait && tcp->now_us < f->idle_us)
		return;
	timer_clear(c, T_RACK);
	flight_free(f);
	c->flight = NULL;
}

static void with_sack(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n)
{
	struct flight *f = c->flight;
	bool more = rack_take(tcp, c, n);

	if (f->head != f->tail && (flight_at(f, f->head)->marks & FLIGHT_SACKED) != 0) {
		COUNT(tcp->stats, TCP_SACK_RENEG); /* it took back what it had said (RFC 2018, section 8) */
		flight_renege(f);
		more = true;
	}
	if (more)
		conn_mark(tcp, c, TODO_SEND);
	if (more && (c->flags & (CONN_RECOVERY | CONN_LOSS)) == 0)
		enter(tcp, c);
	if ((c->flags & CONN_RECOVERY) != 0)
		prr_ack(c, n->delivered, more || !n->acked);
}

/* RFC 6582, section 3.2 */
static void without_sack(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n)
{
	if (!n->dup) {
		if (!n->acked || (c->flags & CONN_RECOVERY) == 0)
			return;
		c->cc.cwnd -= n->bytes < c->cc.cwnd ? n->bytes : c->cc.cwnd; /* partial */
		if (n->bytes >= c->mss || c->cc.cwnd < c->mss)
			c->cc.cwnd += c->mss;
		c->flight->partial = true;
		head_again(tcp, c);
		return;
	}
	conn_mark(tcp, c, TODO_SEND);
	if (c->dup_acks_in < UINT8_MAX)
		c->dup_acks_in++;
	if ((c->flags & CONN_RECOVERY) != 0) {
		/* RFC 5681 3.2 (4): one segment has left the network; no more of them can than are in flight */
		if (c->cc.cwnd < tcp->conf.sndbuf_max && c->dup_acks_in <= c->flight->tail - c->flight->head)
			c->cc.cwnd += c->mss;
		return;
	}
	if (c->dup_acks_in >= DUP_THRESH && seq_gt(c->snd_una, c->recover)) /* (2): not for what a timeout sends again */
		enter(tcp, c);
}

static void enter(struct tcp *tcp, struct tcp_conn *c)
{
	if ((c->flags & CONN_SACK) == 0)
		flight_lose(c->flight, c->flight->head);
	if (path_probe_lost(tcp, c) && flight_split(c->flight, c->flight->head, c->mss) == 0) {
		repair(tcp, c);
		conn_mark(tcp, c, TODO_REXMIT);
		return;
	}
	COUNT(tcp->stats, TCP_FAST_REXMIT);
	undo_begin(c);
	c->recover = c->snd_max;
	c->flags |= CONN_RECOVERY;
	c->flight->tlp_end = 0;
	c->flight->partial = false;
	reduce(c);
	if ((c->flags & CONN_SACK) != 0)
		prr_begin(c);
	else
		c->cc.cwnd += DUP_THRESH * c->mss;
	conn_mark(tcp, c, TODO_REXMIT);
}

/* One congestion event.  What is in flight counts, not more than cwnd.  CUBIC takes cwnd, as RFC 9438, 4.6 allows where an unused
 * window does not grow, and as Linux does: else a loss when little was in flight would cost nearly all of it. */
static void reduce(struct tcp_conn *c)
{
	uint32_t flight = c->snd_max - c->snd_una;
	bool cwnd = flight == 0 || flight > c->cc.cwnd || c->cc.name == CC_CUBIC;

	cc_ops(c->cc.name)->lost(&c->cc, cwnd ? c->cc.cwnd : flight, c->mss);
	c->cc.cwnd = c->cc.ssthresh;
	ecn_reduced(c);
}

static void leave(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t flight = c->snd_max - c->snd_una;

	if ((c->flags & CONN_RECOVERY) != 0) {
		flight = flight > c->mss ? flight : c->mss;
		c->cc.cwnd = c->cc.ssthresh;
		if ((c->flags & CONN_SACK) == 0 && flight + c->mss < c->cc.ssthresh)
			c->cc.cwnd = flight + c->mss; /* RFC 6582 3.2 (3), full: no burst of what has gathered */
	}
	c->flags &= ~(uint32_t)(CONN_RECOVERY | CONN_LOSS);
	c->flight->frto = FRTO_OFF;
	rack_recovered(c);
	undo_end(tcp, c);
}

static void head_again(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->flight->head == c->flight->tail)
		return;
	flight_lose(c->flight, c->flight->head);
	conn_mark(tcp, c, TODO_REXMIT);
}

/* RACK's timer: what might have been reordered was not. */
void recover_reordered(struct tcp *tcp, struct tcp_conn *c)
{
	if ((c->flags & (CONN_RECOVERY | CONN_LOSS)) == 0)
		enter(tcp, c);
	if ((c->flags & CONN_RECOVERY) != 0)
		prr_ack(c, c->mss, true);
	conn_mark(tcp, c, TODO_SEND);
}

/* A congestion event without a recovery: a loss that a probe has repaired, or a mark of ECN. */
void recover_reduce(struct tcp *tcp, struct tcp_conn *c)
{
	(void)tcp;
	if ((c->flags & (CONN_RECOVERY | CONN_LOSS)) == 0)
		reduce(c);
}

/* RFC 5681 3.1 (4), RFC 6298 (5.4). */
void recover_timeout(struct tcp *tcp, struct tcp_conn *c)
{
	struct flight *f = c->flight;
	bool first = (c->flags & (CONN_LOSS | CONN_RECOVERY)) == 0;
	uint32_t flight = c->snd_max - c->snd_una;

	if (f != NULL) {
		f->undo_ready = false;
		f->tlp_end = 0;
		if (first)
			undo_begin(c);
		f->frto = first && c->rexmits == 1 && seq_gt(c->snd_una, c->recover) ? FRTO_FIRST : FRTO_OFF;
		if (c->rexmits > 1)
			flight_renege(f); /* RFC 2018, section 8: the peer may have forgotten */
		rack_timeout(tcp, c);
		f->reo_us = 0;
	}
	if (c->rexmits <= 1 && !(c->cc.name == CC_CUBIC && (c->flags & CONN_RECOVERY) != 0)) /* once for what is in flight */
		cc_ops(c->cc.name)->timeout(&c->cc, first && c->cc.name == CC_CUBIC ? c->cc.cwnd : flight, c->mss);
	ecn_reduced(c);
	c->cc.cwnd = c->mss;
	c->recover = c->snd_max;
	c->dup_acks_in = 0;
	c->flags &= ~(uint32_t)(CONN_RECOVERY | CONN_TIMED);
	c->flags |= CONN_LOSS;
	timer_clear(c, T_RACK);
	conn_mark(tcp, c, TODO_REXMIT);
}

/* The path takes smaller segments only: those in flight again, cut up. */
int recover_cut(struct tcp *tcp, struct tcp_conn *c)
{
	int err = 0;

	if (c->flight != NULL)
		err = flight_cut(c->flight, c->mss);
	if (err == 0 && c->flight != NULL)
		repair(tcp, c);
	return err;
}

/* What is lost was too large.  Nothing was lost to congestion: cwnd stays. */
static void repair(struct tcp *tcp, struct tcp_conn *c)
{
	c->flight->frto = FRTO_OFF;
	c->flight->undo_ready = false;
	c->recover = c->snd_max;
	c->flags &= ~(uint32_t)(CONN_TIMED | CONN_RECOVERY);
	c->flags |= CONN_LOSS;
	conn_mark(tcp, c, TODO_SEND);
}

/* Is cwnd what holds the sender back?  Asked after sending; remembered for a window, so that acknowledgements which come in one burst
 * all count. */
void recover_limited(struct tcp_conn *c)
{
	struct flight *f = c->flight;
	uint32_t out = c->snd_nxt - c->snd_una;
	bool limited;

	if (f == NULL)
		return;
	limited = flight_pipe(f) + c->mss > c->cc.cwnd;
	if (!limited && conn_tx_off(c, c->snd_una) < f->limited_end && (f->limited || out <= f->out_max))
		return;
	f->limited = limited;
	f->out_max = out;
	f->limited_end = conn_tx_off(c, c->snd_nxt);
}

/* RFC 3465: what one ACK may add in slow start.  L = 2, 1 after a timeout; with HyStart++ RFC 9406's 8, and none where SACK repairs what too
 * much was: an ACK for the whole initial window doubles it, as in Linux. */
static uint32_t most_at_once(const struct tcp_conn *c)
{
	if ((c->flags & CONN_LOSS) != 0)
		return c->mss;
	if (c->cc.name == CC_RENO)
		return LIMIT_RENO * (uint32_t)c->mss;
	return (c->flags & CONN_SACK) != 0 ? UINT32_MAX : LIMIT_HYSTART * (uint32_t)c->mss;
}

/* RFC 5681 3.1 */
static void grow(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n)
{
	const struct flight *f = c->flight;
	struct cc_ack a = {
		.now_us = n->now_us,
		.bytes = n->bytes,
		.most = most_at_once(c),
		.rtt_us = n->rtt_us,
		.srtt_us = c->srtt_us,
		.mss = c->mss,
		.una = c->snd_una,
		.nxt = c->snd_nxt,
		/* a window that is not used does not grow (RFC 7661, in Linux's way) */
		.limited = cc_slow_start(&c->cc) ? c->cc.cwnd < 2 * (uint64_t)f->out_max : f->limited,
	};
	uint32_t most = tcp->conf.sndbuf_max > 2u * c->mss ? tcp->conf.sndbuf_max : 2u * c->mss;

	cc_ops(c->cc.name)->acked(&c->cc, &a);
	if (c->cc.cwnd > most)
		c->cc.cwnd = most;
	window_tune_tx(tcp, c);
}
