/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What an acknowledgement changes: RFC 9293 3.10.7.4, fifth, from ESTABLISHED on; RFC 6298; RFC 5961, section 5.
 */
#include "stackd/tcp/priv.h"

enum { RTT_MAX_US = 120000000 };

static void take_new(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, struct flight_news *n);
static bool impatient(const struct tcp_conn *c);
static void echo(const struct tcp_conn *c, const struct seg_in *s, struct flight_news *n);
static void sample_rtt(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, uint32_t *sample_us);
static bool is_duplicate(const struct tcp_conn *c, const struct seg_in *s);
static void take_window(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static void keep_near(struct tcp_conn *c);
static void fin_acked(struct tcp *tcp, struct tcp_conn *c);

bool ack_take(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	struct flight_news n = { .now_us = tcp->now_us, .min_rtt_us = c->min_rtt_us };
	bool sack = (c->flags & CONN_SACK) != 0, dup, fin;

	if (!ack_in_range(c, s->ack)) {
		COUNT(tcp->stats, TCP_BAD_ACK);
		in_challenge(tcp, c);
		return false;
	}
	c->probes = 0;
	fin = (c->flags & CONN_FIN_QUEUED) != 0 && s->ack == conn_data_end(c) + 1 && s->ack != c->snd_una;
	dup = s->ack == c->snd_una && is_duplicate(c, s);
	if ((c->flags & (CONN_RECOVERY | CONN_LOSS)) != 0)
		n.recover = conn_tx_off(c, c->recover);
	n.marked = (c->ecn & ECN_OK) != 0 && (s->flags & SEG_ECE) != 0;
	echo(c, s, &n);
	if (seq_gt(s->ack, c->snd_una))
		take_new(tcp, c, s, &n);
	if (sack && s->opts.sacks > 0)
		sack_take(tcp, c, s, &n);
	n.dup = !n.acked && (sack ? n.newly_sacked > 0 : dup);
	if (c->flight != NULL && (n.acked || n.dup || n.dsack || c->flight->tlp_end != 0))
		recover_ack(tcp, c, s, &n);
	if (c->ecn != 0)
		ecn_take_ack(tcp, c, s);
	if (fin)
		fin_acked(tcp, c);
	if (c->state == TCP_CLOSED)
		return false;
	take_window(tcp, c, s);
	return true;
}

static void take_new(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, struct flight_news *n)
{
	bool fin = (c->flags & CONN_FIN_QUEUED) != 0 && s->ack == conn_data_end(c) + 1;
	uint64_t off = conn_tx_off(c, s->ack) - fin, before = c->tx_acked;
	uint32_t sample_us = 0;

	n->acked = true;
	n->bytes = s->ack - c->snd_una;
	if (c->flight != NULL)
		flight_acked(c->flight, off + fin, n);
	sample_rtt(tcp, c, s, &sample_us);
	n->rtt_us = n->rtt_us != 0 ? n->rtt_us : sample_us;
	c->snd_una = s->ack;
	if (seq_lt(c->snd_nxt, c->snd_una))
		c->snd_nxt = c->snd_una;
	c->tx_acked = off;
	c->rexmits = 0;
	conn_soft_error(tcp, c, 0);
	c->progress_us = tcp->now_us;
	c->dup_acks_in = 0;
	keep_near(c);
	path_acked(tcp, c, n->longest);
	if (!impatient(c))
		timer_rexmit(tcp, c);
	if (bytes_number(off) != bytes_number(before) || off == c->tx_end) {
		c->note |= TCP_NOTE_STATE;
		conn_mark(tcp, c, TODO_NOTE);
	}
	if (off != before)
		conn_release_tx(tcp, c);
	conn_mark(tcp, c, TODO_SEND);
}

/* RFC 6582 3.2 (3): of the partial acknowledgements only the first restarts the timer, so that when much was lost, slow start repairs it
 * and not one segment a round trip. */
static bool impatient(const struct tcp_conn *c)
{
	return (c->flags & (CONN_RECOVERY | CONN_SACK)) == CONN_RECOVERY && seq_lt(c->snd_una, c->recover) &&
	       c->flight != NULL && c->flight->partial;
}

/* Our clock when what brought this about was sent, if the peer says so and it can be. */
static void echo(const struct tcp_conn *c, const struct seg_in *s, struct flight_news *n)
{
	n->echo_ms = s->opts.ts_ecr - c->ts_offset;
	n->echoed = (c->flags & CONN_TS) != 0 && (s->opts.has & SEG_HAS_TS) != 0 && s->opts.ts_ecr != 0 &&
	            (uint32_t)(n->now_us / 1000) - n->echo_ms <= RTT_MAX_US / 1000;
}

/* Old marks follow snd_una, so that 2 GiB later they are not ahead of it. */
static void keep_near(struct tcp_conn *c)
{
	if (seq_lt(c->snd_sml, c->snd_una))
		c->snd_sml = c->snd_una;
	if ((c->flags & (CONN_RECOVERY | CONN_LOSS)) == 0 && seq_lt(c->recover, c->snd_una - 1))
		c->recover = c->snd_una - 1;
}

static void fin_acked(struct tcp *tcp, struct tcp_conn *c)
{
	switch (c->state) {
	case TCP_FIN_WAIT_1:
		tcp_set_state(tcp, c, TCP_FIN_WAIT_2);
		if ((c->flags & CONN_RELEASED) != 0)
			timer_fin_wait_2(tcp, c);
		break;
	case TCP_CLOSING:
		tcp_set_state(tcp, c, TCP_TIME_WAIT);
		timer_time_wait(tcp, c);
		c->note |= TCP_NOTE_STATE;
		conn_mark(tcp, c, TODO_NOTE);
		break;
	case TCP_LAST_ACK:
		conn_end(tcp, c, 0);
		break;
	default:
		break;
	}
}

/* One segment a round trip is timed by our own clock (RFC 6298, 3; never one sent twice: Karn).  When that is not to be had,
 * the timestamp that came back tells, in its own coarse unit (RFC 7323, 4.1). */
static void sample_rtt(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, uint32_t *sample_us)
{
	bool stamp = (c->flags & CONN_TS) != 0 && (s->opts.has & SEG_HAS_TS) != 0 && s->opts.ts_ecr != 0;
	uint64_t us;

	if ((c->flags & CONN_TIMED) != 0 && seq_ge(s->ack, c->rtt_seq)) {
		c->flags &= ~(uint32_t)CONN_TIMED;
		us = tcp->now_us - c->rtt_us;
		*sample_us = us < RTT_MAX_US ? (uint32_t)us : RTT_MAX_US;
		ack_rtt(tcp, c, *sample_us);
		return;
	}
	if (!stamp)
		return;
	us = (uint64_t)(uint32_t)(tcp_clock_ms(tcp) + c->ts_offset - s->opts.ts_ecr) * 1000;
	if (us > RTT_MAX_US) /* not of our making */
		return;
	*sample_us = us > 0 ? (uint32_t)us : 1000;
	if ((c->flags & CONN_TIMED) == 0)
		ack_rtt(tcp, c, *sample_us);
}

/* RFC 6298, (2.2) and (2.3) */
void ack_rtt(struct tcp *tcp, struct tcp_conn *c, uint32_t rtt_us)
{
	rtt_us = rtt_us > RTT_MAX_US ? RTT_MAX_US : rtt_us > 0 ? rtt_us : 1;
	rack_min_rtt(tcp, c, rtt_us);
	if (c->srtt_us == 0) {
		c->srtt_us = rtt_us;
		c->rttvar_us = rtt_us / 2;
	} else {
		uint32_t diff = rtt_us > c->srtt_us ? rtt_us - c->srtt_us : c->srtt_us - rtt_us;

		c->rttvar_us = c->rttvar_us - c->rttvar_us / 4 + diff / 4;
		c->srtt_us = c->srtt_us - c->srtt_us / 8 + rtt_us / 8;
		c->srtt_us += c->srtt_us == 0;
	}
	ack_rto(tcp, c);
}

/* RFC 6298, (2.3), (2.4), (2.5): what the estimates say, without back-off.  As in Linux the lower bound is that of the allowance above the
 * round trip: where this hardly varies, the peer's delayed ACK is still waited for. */
uint32_t ack_rto_of(const struct tcp *tcp, const struct tcp_conn *c)
{
	uint64_t var_us = 4 * (uint64_t)c->rttvar_us, min_us = tcp->conf.rto_min_ms * UINT64_C(1000);
	uint64_t rto_us, max_us = tcp->conf.rto_max_ms * UINT64_C(1000);

	if (c->srtt_us == 0)
		return tcp->conf.rto_initial_ms * 1000;
	rto_us = c->srtt_us + (var_us > min_us ? var_us : min_us);
	rto_us -= rto_us % 1000; /* what timers tell apart */
	return (uint32_t)(rto_us > max_us ? max_us : rto_us);
}

void ack_rto(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->srtt_us != 0)
		c->rto_us = ack_rto_of(tcp, c);
}

/* RFC 5681, section 2 */
static bool is_duplicate(const struct tcp_conn *c, const struct seg_in *s)
{
	return c->snd_max != c->snd_una && (c->flags & CONN_PERSIST) == 0 && s->len == 0 &&
	       (s->flags & (SEG_SYN | SEG_FIN)) == 0 && s->wnd == c->snd_wnd;
}

static void take_window(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if (seq_lt(s->ack, c->snd_una) || seq_lt(s->seq, c->snd_wl1) ||
	    (s->seq == c->snd_wl1 && seq_lt(s->ack, c->snd_wl2)))
		return;
	if (s->wnd > c->snd_wnd)
		conn_mark(tcp, c, TODO_SEND);
	c->snd_wnd = s->wnd;
	c->snd_wl1 = s->seq;
	c->snd_wl2 = s->ack;
	if (s->wnd > c->snd_wnd_max)
		c->snd_wnd_max = s->wnd;
	if ((c->flags & CONN_PERSIST) != 0 && s->wnd > 0) { /* open again */
		c->flags &= ~(uint32_t)CONN_PERSIST;
		c->rexmits = 0;
		ack_rto(tcp, c);
		timer_clear(c, T_REXMIT);
		timer_rexmit(tcp, c);
		conn_mark(tcp, c, TODO_SEND);
	}
}
