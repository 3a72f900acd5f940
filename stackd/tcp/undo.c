/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recoveries that were none: found by DSACK (RFC 3708), by timestamps (Eifel, RFC 3522), or after a timeout by what arrives next
 * (F-RTO, RFC 5682).  Then cwnd and ssthresh are what they were (RFC 9438 4.9), and what was taken for lost is out again.
 */
#include "stackd/tcp/priv.h"

static void undo(struct tcp *tcp, struct tcp_conn *c);
static bool dsack_all(struct tcp_conn *c, const struct flight_news *n);
static bool original_came(const struct tcp_conn *c, const struct flight_news *n);
static bool can_send_new(const struct tcp_conn *c);

/* Before cc_ops.lost or timeout changes anything. */
void undo_begin(struct tcp_conn *c)
{
	struct flight *f = c->flight;

	f->undo_ready = true;
	f->undo = c->cc;
	f->undo_from = conn_tx_off(c, c->snd_una);
	f->undo_again = f->tlp_end != 0 && f->tlp_again;
	f->undo_sent_us = f->undo_end_us = 0;
}

void undo_sent(struct tcp *tcp, struct tcp_conn *c)
{
	struct flight *f = c->flight;

	if (!f->undo_ready)
		return;
	if (f->undo_again < UINT16_MAX)
		f->undo_again++;
	if (f->undo_sent_us == 0)
		f->undo_sent_us = tcp->now_us;
}

/* The recovery is over; a DSACK that is on its way still counts. */
void undo_end(struct tcp *tcp, struct tcp_conn *c)
{
	c->flight->undo_end_us = tcp->now_us + c->rto_us;
}

void undo_take(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n)
{
	if (c->flight->undo_ready && c->flight->undo_end_us != 0 && n->now_us > c->flight->undo_end_us)
		c->flight->undo_ready = false; /* too long ago to mean this one */
	if (!c->flight->undo_ready)
		return;
	if (n->dsack && dsack_all(c, n)) {
		COUNT(tcp->stats, TCP_UNDO_DSACK);
		undo(tcp, c);
	} else if (n->acked && original_came(c, n)) {
		COUNT(tcp->stats, TCP_UNDO_STAMP);
		undo(tcp, c);
	} else if (n->acked && (c->flags & (CONN_RECOVERY | CONN_LOSS)) != 0) {
		c->flight->undo_sent_us = UINT64_MAX; /* only the first acknowledgement of something new can tell (RFC 3522, 3.2) */
	}
}

/* Has each retransmission been received twice? */
static bool dsack_all(struct tcp_conn *c, const struct flight_news *n)
{
	struct flight *f = c->flight;
	uint64_t now = c->tx_acked, from = now - (uint32_t)(c->iss + 1 + (uint32_t)now - n->dsack_from);

	if (seq_gt(n->dsack_from, c->iss + 1 + (uint32_t)now))
		from = conn_tx_off(c, n->dsack_from);
	if (from < f->undo_from || f->undo_again == 0)
		return false;
	return --f->undo_again == 0;
}

/* The echoed time is before our first retransmission, so it was the original that brought this about. */
static bool original_came(const struct tcp_conn *c, const struct flight_news *n)
{
	uint64_t sent_us = c->flight->undo_sent_us;

	return n->echoed && sent_us != 0 && sent_us != UINT64_MAX && (int32_t)(n->echo_ms - (uint32_t)(sent_us / 1000)) < 0;
}

static void undo(struct tcp *tcp, struct tcp_conn *c)
{
	struct flight *f = c->flight;
	uint32_t cwnd = c->cc.cwnd, ssthresh = c->cc.ssthresh;

	if (f->undo.name == c->cc.name)
		c->cc = f->undo;
	c->cc.cwnd = cwnd > f->undo.cwnd ? cwnd : f->undo.cwnd;
	c->cc.ssthresh = ssthresh > f->undo.ssthresh ? ssthresh : f->undo.ssthresh;
	f->undo_ready = false;
	f->frto = FRTO_OFF;
	f->rack_sent_us = 0; /* it may have taken an original for what was sent again */
	if ((c->flags & (CONN_RECOVERY | CONN_LOSS)) != 0) {
		c->flags &= ~(uint32_t)(CONN_RECOVERY | CONN_LOSS);
		flight_found(f);
	}
	conn_mark(tcp, c, TODO_SEND);
}

/* RFC 5682, 2.1 and 3.1, from step 2 on. */
void undo_frto(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n)
{
	struct flight *f = c->flight;
	bool sack = (c->flags & CONN_SACK) != 0;

	if (f->frto == FRTO_OFF || (!n->acked && !n->dup))
		return;
	if (f->frto == FRTO_FIRST) {
		f->frto = n->acked && seq_lt(c->snd_una, c->recover) && can_send_new(c) ? FRTO_SECOND : FRTO_OFF;
		return;
	}
	f->frto = FRTO_OFF;
	if (sack ? n->original : n->acked) { /* (3b) */
		COUNT(tcp->stats, TCP_UNDO_FRTO);
		undo(tcp, c);
	} else { /* (3a) */
		c->cc.cwnd = 3u * c->mss;
	}
}

static bool can_send_new(const struct tcp_conn *c)
{
	return seq_lt(c->snd_nxt, conn_data_end(c)) && c->snd_wnd > c->snd_nxt - c->snd_una;
}
