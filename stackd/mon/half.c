/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TCP as two end hosts run it, as far as their packets tell (RFC 9293).  A segment is sent by one half (mon_half_snd) and arrives
 * at the other (mon_half_rcv); what the sender acknowledges in it is about the stream that the sender receives.
 *
 * A wire may show one direction only, begin in the middle, or miss packets; so most things may be unknown, and what is known is
 * flagged.  tests/truth/model.py states the same rules in other words, with numbers; F2, H3 ... below are its rules.
 */
#include "stackd/mon/flow.h"

#include <string.h>

#include "stackd/tcp/seg.h"

enum { RANGES_MAX = 4096, RANGES_UNSEEN = 256, RANGES_FEW = 16, RANGES_ALL = 1 << 20, FAR = 1 << 30, EARLY = 1 << 24, LATE_SYN = 65536, NO_SHIFT = UINT8_MAX };

static const char *const names[] = { "CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2",
				     "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT" };

const char *mon_state_name(unsigned state)
{
	return state < MON_STATES ? names[state] : "-";
}

static void set_state(struct mon_half *h, enum mon_state state, struct mon_did *did)
{
	if (h->state == state)
		return;
	h->state = (uint8_t)state;
	did->events |= MON_STATE_CHANGE;
}

/* --- Offsets ------------------------------------------------------------------------------------------------------------- */

/* Where a sequence number lies in the stream that h receives: near what comes next, perhaps below 0. */
static int64_t offset(const struct mon_half *h, uint32_t seq)
{
	return (int64_t)h->next + (int32_t)(seq - (h->rcv_isn + 1 + (uint32_t)h->next));
}

/* Behind everything seen, a FIN included. */
static int64_t end_of(const struct mon_half *h)
{
	return (int64_t)((h->flags & HALF_PEER_FIN) != 0 ? h->fin_off + 1 : h->top);
}

static bool is_far(const struct mon_half *h, uint32_t seq)
{
	int64_t d = (h->flags & HALF_SEQ) != 0 ? offset(h, seq) - (int64_t)h->next : 0;

	return d >= FAR || d <= -FAR;
}

static void anchor(struct mon_half *h, uint32_t isn)
{
	h->rcv_isn = isn;
	h->flags |= HALF_SEQ;
}

/* Another ISN was the right one: nothing of the stream counts that was there. */
static void anchor_again(struct mon_half *h, uint32_t isn, struct mon_did *did)
{
	did->anew |= (uint8_t)(1u << h->side);
	mon_half_forget(h);
	h->next = h->top = h->told = h->missed = 0;
	h->flags &= (uint16_t)~(HALF_ACKED | HALF_EDGE | HALF_PEER_FIN | HALF_RCV_FIN);
	h->syn_came = false;
	anchor(h, isn);
}

/* --- What has been seen ---------------------------------------------------------------------------------------------------- */

/* Pieces are bounded for each stream, and for all of them together. */
static bool range_add(struct mon_half *h, struct reasm *r, uint64_t from, uint64_t to, unsigned max)
{
	struct mon_table *t = h->flow->table;
	unsigned before = r->count;
	int err = reasm_add(r, from, to, t->ranges < RANGES_ALL ? max : RANGES_FEW);

	t->ranges += r->count - before;
	return err == 0;
}

static uint64_t range_take(struct mon_half *h, struct reasm *r, uint64_t end)
{
	unsigned before = r->count;

	end = reasm_take(r, end);
	h->flow->table->ranges -= before - r->count;
	return end;
}

void mon_half_forget(struct mon_half *h)
{
	h->flow->table->ranges -= h->seen.count + h->unseen.count + h->beyond.count;
	reasm_clear(&h->seen);
	reasm_clear(&h->unseen);
	reasm_clear(&h->beyond);
}

/* Is some of [at, stop) there?  at < stop */
static bool overlaps(const struct reasm *r, int64_t at, int64_t stop)
{
	uint64_t from = at > 0 ? (uint64_t)at : 0, to;

	return reasm_hole(r, from, &to) != from || to < (uint64_t)stop;
}

/* What lies below `next` has been seen, but for what is noted here. */
static void unseen_add(struct mon_half *h, int64_t from, int64_t to)
{
	(void)range_add(h, &h->unseen, (uint64_t)(from + FAR), (uint64_t)(to + FAR), RANGES_UNSEEN);
}

static void unseen_comes(struct mon_half *h, int64_t from, int64_t to)
{
	unsigned before = h->unseen.count;

	if (before == 0 || from + FAR < 0 || from >= to)
		return;
	reasm_forget(&h->unseen, (uint64_t)(from + FAR), (uint64_t)(to + FAR), RANGES_UNSEEN);
	h->flow->table->ranges += h->unseen.count - before;
}

static bool is_unseen(const struct mon_half *h, int64_t from, int64_t to)
{
	return from + FAR >= 0 && reasm_has(&h->unseen, (uint64_t)(from + FAR), (uint64_t)(to + FAR));
}

/* --- The receiver's stream ----------------------------------------------------------------------------------------------- */

/* The FIN counts once everything before it is there: RFC 9293 3.10.7.4, eighth. */
static void reach_fin(struct mon_half *h, struct mon_did *did)
{
	if ((h->flags & (HALF_PEER_FIN | HALF_RCV_FIN)) != HALF_PEER_FIN || h->next != h->fin_off)
		return;
	h->flags |= HALF_RCV_FIN;
	did->events |= MON_NEW_DATA;
	switch (h->state) {
	case MON_SYN_RCVD:
	case MON_ESTABLISHED:
		set_state(h, MON_CLOSE_WAIT, did);
		break;
	case MON_FIN_WAIT_1:
		set_state(h, (h->flags & HALF_FIN_ACKED) != 0 ? MON_TIME_WAIT : MON_CLOSING, did);
		break;
	case MON_FIN_WAIT_2:
		set_state(h, MON_TIME_WAIT, did);
		break;
	default:
		break;
	}
}

static void advance(struct mon_half *h, struct mon_did *did)
{
	h->next = range_take(h, &h->seen, h->next);
	while (h->beyond.count > 0 && h->beyond.range[0].to <= h->next)
		(void)range_take(h, &h->beyond, h->beyond.range[0].to);
	reach_fin(h, did);
}

/* T5: a hole is skipped with an acknowledgement of it and of some of what is behind it, if that is there; at the end in any case.  What
 * fills it may have been overtaken by what is behind, and by an acknowledgement. */
static void skip(struct mon_half *h, bool at_end, struct mon_did *did)
{
	while ((int64_t)h->next < end_of(h) && (h->flags & HALF_RCV_FIN) == 0) {
		uint64_t to = UINT64_MAX;

		(void)reasm_hole(&h->seen, h->next, &to);
		if (to == UINT64_MAX)
			to = h->fin_off; /* nothing but the FIN is behind it */
		if (!at_end && ((h->flags & HALF_ACKED) == 0 || h->acked <= to))
			return;
		h->missed += to - h->next;
		unseen_add(h, (int64_t)h->next, (int64_t)to);
		h->next = to;
		advance(h, did);
	}
}

/* A3: the shift of h's windows; -1: unknown. */
static int scale(const struct mon_half *h, const struct mon_half *other)
{
	if ((h->flags & (HALF_SYN | HALF_WS)) == HALF_SYN || (other->flags & (HALF_SYN | HALF_WS)) == HALF_SYN)
		return 0;
	return (h->flags & other->flags & HALF_SYN) != 0 ? h->shift : -1;
}

/* h says what it has received, and how much more it would take. */
static void acknowledge(struct mon_half *h, const struct mon_half *other, const struct mon_seg *s, struct mon_did *did)
{
	int shift = scale(h, other);
	int64_t at;

	if ((h->flags & HALF_SEQ) == 0) {
		if ((h->flags & HALF_ACKED) == 0 || seq_gt(s->ack, h->ack_raw))
			h->ack_raw = s->ack;
		h->flags |= HALF_ACKED;
		return;
	}
	at = offset(h, s->ack);
	if (is_far(h, s->ack) || at < 0 || ((h->flags & HALF_ACKED) != 0 && at < (int64_t)h->acked))
		return;
	h->acked = (uint64_t)at;
	h->flags |= HALF_ACKED;
	h->flags &= (uint16_t)~HALF_EDGE;
	if (shift >= 0) {
		h->edge = h->acked + ((uint64_t)s->wnd << ((s->flags & SEG_SYN) != 0 ? 0 : shift));
		h->flags |= HALF_EDGE;
	}
	if (h->aside == NULL) /* else the caller has something to put into the hole first */
		skip(h, false, did);
}

void mon_half_skip(struct mon_half *h, struct mon_did *did)
{
	skip(h, false, did);
}

/* --- Reset ------------------------------------------------------------------------------------------------------------------ */

/* R1, R2: would h take this RST? */
static bool reset_valid(const struct mon_half *h, const struct mon_seg *s)
{
	int64_t at, low, high, end;

	if (h->flow->xlate != NULL)
		return true; /* numbers of the two sides differ */
	if ((h->flags & HALF_SEQ) == 0) {
		if ((h->flags & HALF_ACKED) != 0)
			return seq_ge(s->seq, h->ack_raw) && seq_lt(s->seq, h->ack_raw + FAR);
		if ((h->flags & HALF_SYN) != 0)
			return (s->flags & SEG_ACK) != 0 && seq_gt(s->ack, h->isn) && seq_le(s->ack, h->snd_nxt);
		return true;
	}
	at = offset(h, s->seq);
	end = end_of(h);
	low = (h->flags & HALF_ACKED) != 0 ? (int64_t)h->acked < end ? (int64_t)h->acked : end : 0;
	high = (h->flags & HALF_EDGE) != 0 ? (int64_t)h->edge : (int64_t)h->next + FAR;
	return (at >= low && at < high) || at == end || at == (int64_t)h->next + ((h->flags & HALF_RCV_FIN) != 0);
}

static bool both_finished(const struct mon_flow *f)
{
	return (f->half[0].flags & f->half[1].flags & HALF_PEER_FIN) != 0;
}

/* F2: a reset, or every direction that was seen has its FIN. */
static bool closed(const struct mon_flow *f)
{
	bool seen = false;

	if (f->ending)
		return true;
	for (unsigned i = 0; i < 2; i++) {
		if ((f->half[i].flags & HALF_SENT) == 0)
			continue;
		seen = true;
		if ((f->half[1 - i].flags & HALF_PEER_FIN) == 0)
			return false;
	}
	return seen;
}

/* --- Sent ------------------------------------------------------------------------------------------------------------------- */

static bool begins_anew(const struct mon_half *snd, const struct mon_half *rcv, const struct mon_seg *s)
{
	if ((s->flags & SEG_SYN) == 0)
		return false;
	if ((s->flags & SEG_ACK) == 0)
		return closed(snd->flow) && ((snd->flags & HALF_ISN) == 0 || s->seq != snd->isn);
	if ((snd->flags & HALF_ISN) != 0 && s->seq == snd->isn)
		return false;
	if (closed(snd->flow))
		return (rcv->flags & HALF_ISN) == 0 || s->ack != rcv->isn + 1;
	/* F3: the other end had tried again, and this is the answer to that */
	return (rcv->flags & HALF_OTHER) != 0 && s->ack == rcv->isn2 + 1 &&
	       ((rcv->flags & HALF_STANDS) != 0 || ((rcv->flags & HALF_ISN) == 0 && (snd->flags & HALF_SEQ) != 0));
}

/* H6: a SYN that was overtaken by what followed it.  It says how windows are scaled; the stream's start stays. */
static bool is_late(const struct mon_half *snd, const struct mon_half *rcv, const struct mon_seg *s)
{
	return (snd->flags & (HALF_ISN | HALF_SYN)) == 0 && (rcv->flags & HALF_SEQ) != 0 && rcv->rcv_isn - s->seq < LATE_SYN;
}

static bool sent_before(const struct mon_half *snd, const struct mon_half *rcv, const struct mon_seg *s);

/* The window scaling that a SYN offers; shifts above 14 mean 14 (RFC 7323 2.3). */
static uint8_t offered(const struct mon_seg *s)
{
	if (!s->has_ws)
		return NO_SHIFT;
	return s->shift > SEG_SHIFT_MAX ? SEG_SHIFT_MAX : s->shift;
}

static void offer(struct mon_half *h, uint8_t shift)
{
	h->shift = shift;
	h->flags |= shift != NO_SHIFT ? HALF_WS : 0;
}

static void choose_other(struct mon_half *h, struct mon_half *receiver, struct mon_did *did)
{
	h->isn = h->isn2;
	h->flags = (uint16_t)((h->flags & ~(HALF_OTHER | HALF_WS)) | HALF_STANDS | HALF_ISN | HALF_SYN);
	offer(h, h->shift2);
	anchor_again(receiver, h->isn, did);
}

/* H1, H3: is it this end's SYN? */
static void send_syn(struct mon_half *snd, const struct mon_seg *s, struct mon_did *did)
{
	const struct mon_half *rcv = mon_other(snd);

	if ((snd->flags & HALF_ISN) != 0 && s->seq == snd->isn) {
		if ((snd->flags & HALF_SYN) != 0)
			did->events |= MON_REXMIT;
	} else if (((snd->flags & HALF_ISN) != 0 || (rcv->flags & HALF_SEQ) != 0) && !is_late(snd, rcv, s)) {
		snd->isn2 = s->seq;
		snd->shift2 = offered(s);
		snd->flags |= HALF_OTHER;
		return;
	}
	snd->isn = s->seq;
	snd->flags |= HALF_ISN;
	if (sent_before(snd, rcv, s))
		did->events |= MON_REXMIT;
	if ((s->flags & SEG_ACK) != 0 && (snd->state == MON_STATE_NONE || snd->state == MON_SYN_SENT))
		set_state(snd, MON_SYN_RCVD, did);
	if ((snd->flags & HALF_SYN) != 0)
		return;
	snd->flags |= HALF_SYN;
	offer(snd, offered(s));
	if (snd->snd_nxt == 0 || seq_gt(s->seq + 1, snd->snd_nxt))
		snd->snd_nxt = s->seq + 1;
	if ((s->flags & SEG_ACK) != 0)
		return;
	snd->flags |= HALF_OPENER;
	if (snd->state != MON_STATE_NONE)
		return;
	did->events |= MON_CONN_START;
	set_state(snd, MON_SYN_SENT, did);
}

/* What an acknowledgement says about the other end's ISN: H2, H3, H4.  False: a SYN-ACK for something else. */
static bool tells_isn(struct mon_half *snd, struct mon_half *rcv, const struct mon_seg *s,
		      struct mon_did *did)
{
	bool syn = (s->flags & SEG_SYN) != 0;

	if ((snd->flags & HALF_SEQ) == 0 && (syn || (snd->flags & HALF_OPENER) != 0)) {
		rcv->isn = s->ack - 1;
		rcv->flags |= HALF_ISN | HALF_STANDS;
		anchor(snd, rcv->isn);
	} else if ((rcv->flags & (HALF_STANDS | HALF_OTHER)) == HALF_OTHER && s->ack == rcv->isn2 + 1 &&
		   (syn || (rcv->flags & HALF_ISN) != 0)) {
		choose_other(rcv, snd, did); /* without an ISN before, any ACK may happen to fit a forged SYN */
	} else if (syn && (snd->flags & HALF_SEQ) != 0 &&
		   (offset(snd, s->ack) < 0 || offset(snd, s->ack) > end_of(snd))) {
		return false;
	}
	if ((rcv->flags & HALF_ISN) != 0 && (snd->flags & HALF_SEQ) != 0 && offset(snd, s->ack) >= 0 && !is_far(snd, s->ack))
		rcv->flags |= HALF_STANDS;
	return true;
}

/* Some of this has been sent before (T8).  The receiver's stream knows, as long as both sides use the same numbers. */
static bool sent_before(const struct mon_half *snd, const struct mon_half *rcv, const struct mon_seg *s)
{
	uint32_t len = s->text_len;
	int64_t at, stop, next = (int64_t)rcv->next;

	if (len == 0)
		return false;
	if (snd->flow->xlate != NULL)
		return seq_lt(s->seq, snd->snd_nxt);
	if ((rcv->flags & HALF_SEQ) == 0)
		return false;
	at = offset(rcv, s->seq + ((s->flags & SEG_SYN) != 0));
	stop = at + len;
	if (len == 1 && (s->flags & SEG_FIN) == 0 && at == end_of(rcv) - 1 && (rcv->flags & HALF_ACKED) != 0 &&
	    (int64_t)rcv->acked >= end_of(rcv))
		return false; /* a keep-alive: RFC 9293 3.8.4 */
	if ((rcv->flags & HALF_PEER_FIN) != 0 && stop > (int64_t)rcv->fin_off)
		stop = (int64_t)rcv->fin_off;
	if (at >= stop)
		return false;
	if (at < next && !is_unseen(rcv, at, stop < next ? stop : next))
		return true;
	return stop > next && (overlaps(&rcv->seen, at > next ? at : next, stop) || overlaps(&rcv->beyond, at > next ? at : next, stop));
}

static void fin_is_sent(struct mon_half *snd, uint32_t seq, struct mon_did *did)
{
	snd->flags |= HALF_FIN;
	snd->fin_seq = seq;
	if (snd->state == MON_CLOSE_WAIT)
		set_state(snd, MON_LAST_ACK, did);
	else if (snd->state == MON_ESTABLISHED || snd->state == MON_SYN_RCVD)
		set_state(snd, MON_FIN_WAIT_1, did);
}

static void fin_is_acked(struct mon_half *snd, struct mon_did *did)
{
	snd->flags |= HALF_FIN_ACKED;
	if (snd->state == MON_FIN_WAIT_1)
		set_state(snd, MON_FIN_WAIT_2, did);
	else if (snd->state == MON_CLOSING)
		set_state(snd, MON_TIME_WAIT, did);
	else if (snd->state == MON_LAST_ACK)
		set_state(snd, MON_CLOSED, did);
}

static void send_fin(struct mon_half *snd, const struct mon_half *rcv, const struct mon_seg *s, struct mon_did *did)
{
	uint32_t seq = s->seq + s->text_len;

	if ((snd->flags & HALF_FIN) != 0) {
		did->events |= seq == snd->fin_seq ? MON_REXMIT : 0;
		return;
	}
	/* T4, T3: nothing lies behind it, and the window reaches it */
	if (snd->flow->xlate == NULL && (rcv->flags & HALF_SEQ) != 0) {
		int64_t at = offset(rcv, seq);

		if (at < end_of(rcv) || ((rcv->flags & HALF_EDGE) != 0 && at > (int64_t)rcv->edge))
			return;
	}
	fin_is_sent(snd, seq, did);
	if (snd->flow->xlate == NULL && (rcv->flags & HALF_SEQ) != 0 && (rcv->flags & HALF_ACKED) != 0 &&
	    (int64_t)rcv->acked > offset(rcv, seq))
		fin_is_acked(snd, did); /* on this wire the answer came first */
}

static void send_plain(struct mon_half *snd, struct mon_half *rcv, const struct mon_seg *s, struct mon_did *did)
{
	uint32_t end = s->seq + s->text_len + ((s->flags & SEG_FIN) != 0);

	if ((snd->flags & (HALF_ISN | HALF_STANDS)) == HALF_ISN) {
		if ((snd->flags & HALF_OTHER) != 0 && s->seq == snd->isn2 + 1)
			choose_other(snd, rcv, did);
		else if (s->seq == snd->isn + 1)
			snd->flags |= HALF_STANDS;
	}
	if (is_far(rcv, s->seq))
		return;
	(void)tells_isn(snd, rcv, s, did);
	acknowledge(snd, rcv, s, did);
	if (snd->state == MON_SYN_SENT || snd->state == MON_SYN_RCVD) /* it has got an answer that nobody saw */
		set_state(snd, MON_ESTABLISHED, did);
	if (sent_before(snd, rcv, s))
		did->events |= MON_REXMIT;
	if ((s->flags & SEG_FIN) != 0)
		send_fin(snd, rcv, s, did);
	if (snd->snd_nxt == 0 || seq_gt(end, snd->snd_nxt))
		snd->snd_nxt = end;
}

void mon_half_snd(struct mon_half *snd, const struct mon_seg *s, struct mon_did *did)
{
	struct mon_half *rcv = mon_other(snd);

	if (begins_anew(snd, rcv, s)) {
		did->reset = true;
		return;
	}
	snd->pkts++;
	snd->flags |= HALF_SENT;
	if ((s->flags & SEG_RST) != 0) {
		if (!both_finished(snd->flow) && reset_valid(rcv, s))
			set_state(snd, MON_CLOSED, did);
	} else if ((s->flags & SEG_SYN) != 0) {
		if ((s->flags & SEG_ACK) != 0 && !tells_isn(snd, rcv, s, did))
			return;
		send_syn(snd, s, did);
		if ((s->flags & SEG_ACK) != 0)
			acknowledge(snd, rcv, s, did);
	} else if ((s->flags & SEG_ACK) != 0) {
		send_plain(snd, rcv, s, did);
	}
}

/* Open both ways, as far as this end is concerned, or one way, and that is agreed on. */
static bool is_settled(const struct mon_half *h)
{
	const unsigned need = HALF_ATTACHED | HALF_SEQ | HALF_SENT;

	return (h->flags & need) == need && (h->flags & HALF_OTHER) == 0 && (h->flags & (HALF_FIN | HALF_FIN_ACKED)) != HALF_FIN &&
	       h->aside == NULL && (h->state == MON_ESTABLISHED || h->state == MON_CLOSE_WAIT || h->state == MON_FIN_WAIT_2);
}

bool mon_half_plain(const struct mon_half *snd, const struct mon_seg *s)
{
	const struct mon_half *rcv = mon_other((struct mon_half *)snd);

	return (s->flags & (SEG_SYN | SEG_FIN | SEG_RST | SEG_ACK)) == SEG_ACK && !snd->flow->ending && is_settled(snd) &&
	       is_settled(rcv) && !is_far(rcv, s->seq) && seq_ge(s->seq, snd->snd_nxt) && !is_far(snd, s->ack) &&
	       offset(snd, s->ack) <= (int64_t)snd->next + ((snd->flags & HALF_RCV_FIN) != 0);
}

/* --- Arrives ------------------------------------------------------------------------------------------------------------------ */

static void arrive_syn(struct mon_half *rcv, const struct mon_half *snd, const struct mon_seg *s, struct mon_did *did)
{
	if ((snd->flags & HALF_ISN) == 0 || s->seq != snd->isn)
		return; /* one that this end never believed */
	if ((rcv->flags & HALF_SEQ) == 0)
		anchor(rcv, s->seq);
	if (rcv->syn_came)
		did->events |= MON_REXMIT;
	rcv->syn_came = true;
	if ((s->flags & SEG_ACK) != 0) {
		if (rcv->state == MON_SYN_SENT || rcv->state == MON_SYN_RCVD || rcv->state == MON_STATE_NONE)
			set_state(rcv, MON_ESTABLISHED, did);
		return;
	}
	if (rcv->state == MON_STATE_NONE) {
		did->events |= MON_CONN_START;
		set_state(rcv, MON_SYN_RCVD, did);
	} else if (rcv->state == MON_SYN_SENT) {
		set_state(rcv, MON_SYN_RCVD, did); /* simultaneous open */
	}
}

static void arrive_ack(struct mon_half *rcv, const struct mon_seg *s, struct mon_did *did)
{
	if (rcv->state == MON_SYN_SENT && (s->text_len > 0 || (s->flags & SEG_FIN) != 0) && s->ack - rcv->isn - 1 < FAR)
		set_state(rcv, MON_ESTABLISHED, did); /* the SYN-ACK was missed */
	if (rcv->state == MON_SYN_RCVD && ((rcv->flags & HALF_SYN) == 0 || seq_gt(s->ack, rcv->isn)))
		set_state(rcv, MON_ESTABLISHED, did);
	if ((rcv->flags & (HALF_FIN | HALF_FIN_ACKED)) != HALF_FIN || !seq_gt(s->ack, rcv->fin_seq))
		return;
	fin_is_acked(rcv, did);
}

/* Bytes [at, stop) come; what is new of them is noted.  False: too many pieces. */
static bool note(struct mon_half *h, int64_t at, int64_t stop, struct mon_did *did)
{
	uint64_t from = at < (int64_t)h->next ? h->next : (uint64_t)at;

	if (stop <= (int64_t)from)
		return true;
	if (from == h->next) {
		h->next = (uint64_t)stop;
		did->events |= MON_NEW_DATA;
	} else if (!range_add(h, &h->seen, from, (uint64_t)stop, RANGES_MAX)) {
		return false;
	}
	if ((uint64_t)stop > h->top)
		h->top = (uint64_t)stop;
	return true;
}

static void arrive_text(struct mon_half *rcv, const struct mon_seg *s, struct mon_did *did)
{
	bool fin = (s->flags & SEG_FIN) != 0 && (s->flags & SEG_SYN) == 0;
	uint32_t seq = s->seq + ((s->flags & SEG_SYN) != 0);
	int64_t at, stop, fin_at, next = (int64_t)rcv->next;

	if (s->text_len == 0 && !fin)
		return;
	if ((rcv->flags & HALF_SEQ) == 0) {
		anchor(rcv, seq - 1); /* H6 */
		unseen_add(rcv, -EARLY, 0);
		if ((rcv->flags & HALF_ACKED) != 0) /* was about a stream that had no beginning */
			rcv->flags &= (uint16_t)~HALF_ACKED;
	}
	at = offset(rcv, seq);
	next = (int64_t)rcv->next;
	fin_at = stop = at + s->text_len;
	did->at = (uint64_t)at;
	did->rexmit_text = sent_before(mon_other(rcv), rcv, s);
	if (s->text_len == 1 && !fin && at == end_of(rcv) - 1 && (rcv->flags & HALF_ACKED) != 0 &&
	    (int64_t)rcv->acked >= end_of(rcv))
		return; /* a keep-alive */
	if ((rcv->flags & HALF_PEER_FIN) != 0 && stop > (int64_t)rcv->fin_off)
		stop = (int64_t)rcv->fin_off;
	if ((rcv->flags & HALF_EDGE) != 0 && stop > (int64_t)rcv->edge) {
		if (s->text_len > 1) /* else a window probe */
			(void)range_add(rcv, &rcv->beyond, at > (int64_t)rcv->edge ? (uint64_t)at : rcv->edge, (uint64_t)stop, RANGES_MAX);
		stop = (int64_t)rcv->edge;
		did->outside = true;
		if (stop <= at)
			did->events |= MON_ERROR; /* nothing of it is taken */
	}
	unseen_comes(rcv, at, stop < next ? stop : next);
	if (stop > at && note(rcv, at, stop, did)) {
		int64_t from = at < next ? next : at;

		did->skip = (uint32_t)(from - at);
		did->off = (uint64_t)from;
		did->len = stop > from ? (uint32_t)(stop - from) : 0;
	}
	if (fin && (rcv->flags & HALF_PEER_FIN) != 0 && (int64_t)rcv->fin_off == fin_at)
		did->events |= MON_REXMIT;
	if (fin && (rcv->flags & HALF_PEER_FIN) == 0 && fin_at >= (int64_t)rcv->top && fin_at >= (int64_t)rcv->next &&
	    ((rcv->flags & HALF_EDGE) == 0 || fin_at <= (int64_t)rcv->edge)) {
		rcv->flags |= HALF_PEER_FIN;
		rcv->fin_off = (uint64_t)fin_at;
	}
	advance(rcv, did);
}

bool mon_half_taken(struct mon_half *h, uint64_t at, uint32_t len, bool fin, struct mon_did *did)
{
	uint64_t next = h->next, stop = at + len;

	if ((h->flags & HALF_PEER_FIN) != 0 && stop > h->fin_off)
		stop = h->fin_off;
	if (stop > at && note(h, (int64_t)at, (int64_t)stop, did)) {
		did->off = at < next ? next : at;
		did->skip = (uint32_t)(did->off - at);
		did->len = stop > did->off ? (uint32_t)(stop - did->off) : 0;
	}
	if (fin && (h->flags & HALF_PEER_FIN) == 0 && (int64_t)stop >= end_of(h)) {
		struct mon_did sent = { 0 }; /* told when the acknowledgement of it arrives there */

		h->flags |= HALF_PEER_FIN;
		h->fin_off = stop;
		if ((mon_other(h)->flags & HALF_FIN) == 0)
			fin_is_sent(mon_other(h), h->rcv_isn + 1 + (uint32_t)stop, &sent);
	}
	advance(h, did);
	return did->len > 0;
}

static bool over(const struct mon_flow *f)
{
	for (unsigned i = 0; i < 2; i++) {
		if (f->half[i].state != MON_CLOSED && f->half[i].state != MON_TIME_WAIT)
			return false;
	}
	return true;
}

void mon_half_rcv(struct mon_half *rcv, const struct mon_seg *s, struct mon_did *did)
{
	struct mon_half *snd = mon_other(rcv);

	if ((s->flags & SEG_RST) != 0) {
		/* the sender's side has judged it */
		if (snd->state == MON_CLOSED && !both_finished(rcv->flow)) {
			set_state(rcv, MON_CLOSED, did);
			did->end = true;
		}
		return;
	}
	if ((s->flags & (SEG_SYN | SEG_ACK)) == 0)
		return; /* every receiver drops it */
	if ((s->flags & SEG_SYN) != 0)
		arrive_syn(rcv, snd, s, did);
	else if (is_far(rcv, s->seq))
		return;
	else
		arrive_ack(rcv, s, did);
	if ((s->flags & SEG_SYN) == 0 || ((snd->flags & HALF_ISN) != 0 && s->seq == snd->isn))
		arrive_text(rcv, s, did);
	did->end = over(rcv->flow);
}

/* --- Beginning in the middle, and the end ---------------------------------------------------------------------------------------- */

unsigned mon_half_pickup(struct mon_flow *f, const struct mon_seg *s)
{
	if ((s->flags & (SEG_SYN | SEG_ACK)) == (SEG_SYN | SEG_ACK)) {
		f->half[MON_CLI].state = MON_SYN_SENT;
		return MON_SVR;
	}
	f->half[MON_CLI].state = f->half[MON_SVR].state = MON_ESTABLISHED;
	return MON_CLI;
}

/* T6: acknowledged, behind the last byte seen. */
static void miss_tail(struct mon_half *h)
{
	if ((mon_other(h)->flags & HALF_SENT) == 0 || (h->flags & (HALF_SEQ | HALF_ACKED)) != (HALF_SEQ | HALF_ACKED) ||
	    (h->flags & HALF_PEER_FIN) != 0 || h->acked <= h->next + 1)
		return;
	h->missed += h->acked - h->next - 1;
	h->next = h->acked - 1;
}

unsigned mon_half_end(struct mon_flow *f)
{
	unsigned changed = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct mon_did did = { 0 };

		skip(&f->half[i], true, &did);
		miss_tail(&f->half[i]);
		if (f->half[i].state != MON_CLOSED)
			changed |= 1u << i;
		f->half[i].state = MON_CLOSED;
	}
	return changed;
}
