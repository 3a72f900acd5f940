/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RACK-TLP, RFC 8985: what was sent long enough before something that has arrived is lost; and when nothing arrives, one segment is
 * sent to make the peer speak.  Only with SACK.  The names are the RFC's.
 */
#include "stackd/tcp/priv.h"

enum {
	DUP_THRESH = 3,
	PERSIST_ROUNDS = 16,         /* recoveries without DSACK before the reordering window is small again */
	MAX_ACK_DELAY_US = 200000,   /* TLP.max_ack_delay, 7.2 */
	PTO_INITIAL_US = 1000000,
	MIN_RTT_AGE_S = 300,
	REORDER_MAX = 300,           /* segments told by TCP_INFO */
};

static void note_degree(struct tcp_conn *c, uint32_t bytes);
static void adapt(struct tcp_conn *c, const struct flight_news *n);
static uint32_t reo_wnd_us(const struct tcp_conn *c);
static bool tlp_may(const struct tcp_conn *c);
static void tlp_due(struct tcp *tcp, struct tcp_conn *c);
static uint64_t tlp_at(const struct tcp *tcp, const struct tcp_conn *c);

/* Section 6.2, step 1 */
void rack_min_rtt(struct tcp *tcp, struct tcp_conn *c, uint32_t rtt_us)
{
	uint32_t now_s = (uint32_t)(tcp->now_us / 1000000);

	if (rtt_us == 0 || (c->min_rtt_us != 0 && rtt_us > c->min_rtt_us && now_s - c->min_rtt_s <= MIN_RTT_AGE_S))
		return;
	c->min_rtt_us = rtt_us;
	c->min_rtt_s = now_s;
}

/* Steps 3 to 5; 1 and 2 were done for each segment (flight.c).  true: something more is lost. */
bool rack_take(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n)
{
	rack_min_rtt(tcp, c, n->rtt_us);
	if (n->reordered != 0 && !c->reordering) {
		c->reordering = true;
		COUNT(tcp->stats, TCP_REORDERING);
	}
	note_degree(c, n->reordered);
	adapt(c, n);
	return rack_detect(tcp, c);
}

/* As Linux counts it: in segments, up to 300 of them. */
static void note_degree(struct tcp_conn *c, uint32_t bytes)
{
	uint32_t segs = (bytes + c->mss - 1) / c->mss;

	segs = segs < REORDER_MAX ? segs : REORDER_MAX;
	if (segs > DUP_THRESH && segs > c->reo_segs)
		c->reo_segs = (uint16_t)segs;
}

/* Step 4: each round trip that brings a DSACK widens the reordering window. */
static void adapt(struct tcp_conn *c, const struct flight_news *n)
{
	if (c->dsack_round && seq_ge(c->snd_una, c->dsack_end))
		c->dsack_round = false;
	if (!n->dsack || c->dsack_round)
		return;
	c->dsack_round = true;
	c->dsack_end = c->snd_nxt;
	c->reo_mult += c->reo_mult < UINT8_MAX;
	c->reo_persist = PERSIST_ROUNDS;
}

void rack_recovered(struct tcp_conn *c)
{
	if (c->reo_persist > 0 && --c->reo_persist == 0)
		c->reo_mult = 0;
}

static uint32_t reo_wnd_us(const struct tcp_conn *c)
{
	uint64_t us;

	if (!c->reordering && ((c->flags & (CONN_RECOVERY | CONN_LOSS)) != 0 || c->flight->sacked >= DUP_THRESH))
		return 0;
	us = c->min_rtt_us / 4 * (uint64_t)(c->reo_mult + 1);
	return us < c->srtt_us ? (uint32_t)us : c->srtt_us;
}

/* Step 5: lost is what was sent before the one delivered, longer ago than a round trip and the reordering window.  Notes when the
 * last of the others will be. */
bool rack_detect(struct tcp *tcp, struct tcp_conn *c)
{
	struct flight *f = c->flight;
	uint64_t wait_us = f->rack_rtt_us + (uint64_t)reo_wnd_us(c);
	bool lost = false;
	uint32_t newer;

	f->reo_us = 0;
	if (f->rack_sent_us == 0)
		return false;
	for (uint32_t no = f->oldest; no != FLIGHT_NONE; no = newer) {
		const struct flight_seg *s = flight_at(f, no);

		newer = s->newer;
		if (s->sent_us > f->rack_sent_us || (s->sent_us == f->rack_sent_us && s->from + s->len >= f->rack_end))
			break;
		if (s->sent_us + wait_us > tcp->now_us) {
			f->reo_us = s->sent_us + wait_us;
			continue;
		}
		flight_lose(f, no);
		lost = true;
	}
	return lost;
}

/* Section 6.3: after a timeout, the first one, and what was not sent just now. */
void rack_timeout(struct tcp *tcp, struct tcp_conn *c)
{
	struct flight *f = c->flight;
	uint64_t wait_us = f->rack_rtt_us + (uint64_t)reo_wnd_us(c);

	if (f->rack_sent_us == 0 || (c->flags & CONN_SACK) == 0) {
		flight_lose_all(f);
		return;
	}
	while (f->oldest != FLIGHT_NONE && flight_at(f, f->oldest)->sent_us + wait_us <= tcp->now_us)
		flight_lose(f, f->oldest);
	flight_lose(f, f->head);
}

/* One timer for both, T_RACK: reordering first (RFC 8985, section 8). */
void rack_arm(struct tcp *tcp, struct tcp_conn *c)
{
	struct flight *f = c->flight;

	if (f != NULL && f->reo_us != 0)
		timer_set(tcp, c, T_RACK, f->reo_us);
	else if (f != NULL && tlp_may(c))
		timer_set(tcp, c, T_RACK, tlp_at(tcp, c));
	else
		timer_clear(c, T_RACK);
}

void rack_due(struct tcp *tcp, struct tcp_conn *c)
{
	struct flight *f = c->flight;

	if (f == NULL)
		return;
	if (f->head == f->tail) { /* no DSACK came */
		recover_idle(tcp, c);
		return;
	}
	if (f->reo_us != 0) {
		if (rack_detect(tcp, c))
			recover_reordered(tcp, c);
		rack_arm(tcp, c);
	} else if (tlp_may(c)) {
		tlp_due(tcp, c);
	}
}

/* 7.2: with SACK, outside recovery, and nothing SACKed: there RACK is at work. */
static bool tlp_may(const struct tcp_conn *c)
{
	const struct flight *f = c->flight;
	uint32_t not = CONN_RECOVERY | CONN_LOSS | CONN_PERSIST;

	return (c->flags & (CONN_SACK | not)) == CONN_SACK && f->sacked == 0 && f->head != f->tail && f->tlp_end == 0;
}

static uint64_t tlp_at(const struct tcp *tcp, const struct tcp_conn *c)
{
	uint64_t at_us = tcp->now_us + (c->srtt_us != 0 ? 2 * (uint64_t)c->srtt_us : PTO_INITIAL_US);

	if (c->srtt_us != 0 && c->flight->tail - c->flight->head == 1)
		at_us += MAX_ACK_DELAY_US;
	return c->due_us[T_REXMIT] != 0 && c->due_us[T_REXMIT] < at_us ? c->due_us[T_REXMIT] : at_us;
}

/* 7.3: one probe for each round trip measured; out.c sends it. */
static void tlp_due(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->flight->tlp_wait || seq_gt(c->snd_max, c->snd_una + c->snd_wnd)) /* the peer would throw it away */
		return;
	timer_rexmit(tcp, c);
	conn_mark(tcp, c, TODO_TLP);
}

/* The probe is out: the timer for the case that it is lost too begins anew. */
void tlp_sent(struct tcp *tcp, struct tcp_conn *c, bool again)
{
	COUNT(tcp->stats, TCP_TLP);
	c->flight->tlp_end = conn_tx_off(c, c->snd_nxt);
	c->flight->tlp_again = again;
	c->flight->tlp_wait = true;
	timer_rexmit(tcp, c);
}

/* 7.4.2: was a loss repaired by the probe, so that nothing else tells of it? */
void tlp_take(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, const struct flight_news *n)
{
	struct flight *f = c->flight;
	uint32_t end;

	if (n->rtt_us != 0)
		f->tlp_wait = false;
	if (f->tlp_end == 0 || conn_tx_off(c, c->snd_una) < f->tlp_end)
		return;
	end = c->iss + 1 + (uint32_t)f->tlp_end;
	if (!f->tlp_again || (n->dsack && n->dsack_to == end)) {
		f->tlp_end = 0;
	} else if (seq_gt(s->ack, end)) {
		f->tlp_end = 0;
		COUNT(tcp->stats, TCP_TLP_RECOVERED);
		recover_reduce(tcp, c);
	} else if (!n->acked && s->opts.sacks == 0) { /* a duplicate without SACK: both have arrived */
		f->tlp_end = 0;
	}
}
