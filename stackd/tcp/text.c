/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Payload and FIN: RFC 9293 3.10.7.4, seventh and eighth.  Bytes are written once, at their place in the stream in the owner's
 * memory, also those that come before their turn.
 */
#include <errno.h>

#include "stackd/tcp/priv.h"

static bool take_bytes(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
static void take_next(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, uint32_t len);
static void take_early(struct tcp *tcp, struct tcp_conn *c, uint64_t off, const uint8_t *text, uint32_t len);
static void note_duplicate(struct tcp *tcp, struct tcp_conn *c, uint64_t from, uint64_t to);
static void see_text(struct tcp *tcp, struct tcp_conn *c, uint32_t len);
static void schedule_ack(struct tcp *tcp, struct tcp_conn *c, uint32_t len, bool filled);
static void take_fin(struct tcp *tcp, struct tcp_conn *c);
static void measure_rtt(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);

void text_take(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	bool fin = (s->flags & SEG_FIN) != 0;

	if (!conn_takes_text(c) || (s->len == 0 && !fin))
		return;
	if (fin && (c->flags & CONN_FIN_SEEN) == 0) {
		uint64_t end = conn_rx_off(c, s->seq + s->len);

		if (c->ooo.count > 0 && c->ooo.range[c->ooo.count - 1].to > end)
			return; /* it has sent more than that already */
		c->flags |= CONN_FIN_SEEN;
		c->rx_fin = end;
	}
	if (s->len > 0 && !take_bytes(tcp, c, s))
		return;
	if ((c->flags & CONN_FIN_SEEN) != 0 && c->rx_end == c->rx_fin) {
		take_fin(tcp, c);
	} else if (fin && s->len == 0) { /* before its turn */
		COUNT(tcp->stats, TCP_OOO);
		c->dup_acks++;
		conn_mark(tcp, c, TODO_ACK);
	}
}

/* false: the connection has ended over it. */
static bool take_bytes(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	uint64_t off = conn_rx_off(c, s->seq);
	uint32_t len = s->len;

	if ((c->flags & CONN_FIN_SEEN) != 0 && off + len > c->rx_fin)
		len = off < c->rx_fin ? (uint32_t)(c->rx_fin - off) : 0;
	if (len == 0)
		return true;
	if ((c->flags & CONN_HELD) == 0 || ((c->flags & CONN_RX_SHUT) != 0 && c->state != TCP_ESTABLISHED)) {
		/* RFC 9293 3.6.1: data nobody will read.  At the number that the peer expects, or it would not believe it (RFC 5961, 3.2) */
		reply_rst(tcp, s);
		conn_end(tcp, c, ECONNRESET);
		return false;
	}
	see_text(tcp, c, len);
	ecn_take_text(tcp, c, s);
	if (off == c->rx_end) {
		measure_rtt(tcp, c, s);
		take_next(tcp, c, s, len);
	} else if (off > c->rx_end) {
		take_early(tcp, c, off, s->text, len);
	}
	return true;
}

static void take_next(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, uint32_t len)
{
	uint64_t from = c->rx_end;
	uint32_t done = (uint32_t)bytes_write(&c->rx, &c->owner->rx, from, s->text, len, window_chunks(tcp));
	bool filled = false;

	if (done < len)
		COUNT(tcp->stats, TCP_NO_MEMORY);
	if (done == 0)
		return;
	c->rx_end += done;
	if (c->ooo.count > 0) {
		if (s->old == 0) /* else what was cut off in front is told already */
			note_duplicate(tcp, c, from, from + done);
		c->rx_end = reasm_take(&c->ooo, c->rx_end);
		filled = true;
	}
	c->rcv_nxt = c->irs + 1 + (uint32_t)c->rx_end;
	bytes_link(&c->rx, &c->owner->rx, from, c->rx_end);
	COUNT_ADD(tcp->stats, TCP_RX_BYTES, c->rx_end - from);
	c->note |= TCP_NOTE_STATE;
	conn_mark(tcp, c, TODO_NOTE);
	schedule_ack(tcp, c, done, filled);
}

static void take_early(struct tcp *tcp, struct tcp_conn *c, uint64_t off, const uint8_t *text, uint32_t len)
{
	uint32_t done = (uint32_t)bytes_write(&c->rx, &c->owner->rx, off, text, len, window_chunks(tcp));

	if (done < len)
		COUNT(tcp->stats, TCP_NO_MEMORY);
	note_duplicate(tcp, c, off, off + done);
	if (reasm_add(&c->ooo, off, off + done, OOO_RANGES) != 0)
		COUNT(tcp->stats, TCP_OOO_DROP);
	else
		COUNT(tcp->stats, TCP_OOO);
	if (c->dup_acks < UINT16_MAX)
		c->dup_acks++; /* RFC 5681 4.2: at once, and one for each */
	conn_mark(tcp, c, TODO_ACK);
}

/* RFC 2883 4: of what was there before, the first piece. */
static void note_duplicate(struct tcp *tcp, struct tcp_conn *c, uint64_t from, uint64_t to)
{
	if (reasm_first(&c->ooo, &from, &to))
		sack_duplicate(tcp, c, c->irs + 1 + (uint32_t)from, c->irs + 1 + (uint32_t)to);
}

static void see_text(struct tcp *tcp, struct tcp_conn *c, uint32_t len)
{
	bool pause = c->text_us == 0 || tcp->now_us - c->text_us > c->rto_us;

	c->text_us = tcp->now_us;
	if (len > c->rcv_mss)
		c->rcv_mss = (uint16_t)len;
	if (pause)
		text_quick_acks(tcp, c);
}

/* Its window is small and each ACK opens it: so many as take half of ours are not delayed (RFC 5681, 4.2 leaves it to us, this is Linux's
 * rule), unless we answer with data, which takes them along. */
void text_quick_acks(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t n = c->rcvbuf / (2u * c->rcv_mss);

	n = n < 2 ? 2 : n;
	n = n < tcp->conf.quick_acks ? n : tcp->conf.quick_acks;
	if (n > c->quick_acks)
		c->quick_acks = (uint8_t)n;
}

/* RFC 1122 4.2.3.2 and RFC 5681 4.2: at once for what is more than a full segment, so for every second one, and when a gap
 * closes; else soon. */
static void schedule_ack(struct tcp *tcp, struct tcp_conn *c, uint32_t len, bool filled)
{
	bool quick = (c->flags & CONN_QUICKACK) != 0 || (c->quick_acks > 0 && (c->flags & CONN_INTERACTIVE) == 0);

	c->unacked_bytes += len;
	if (filled)
		c->dup_acks = 0; /* what they would have asked for is here */
	if (filled || c->unacked_bytes > c->rcv_mss || quick)
		conn_mark(tcp, c, TODO_ACK);
	else if (c->due_us[T_DELACK] == 0)
		timer_set(tcp, c, T_DELACK, tcp->now_us + tcp->conf.delack_ms * UINT64_C(1000));
}

static void take_fin(struct tcp *tcp, struct tcp_conn *c)
{
	c->flags |= CONN_RX_FIN;
	c->rcv_nxt++;
	c->dup_acks = 0;
	c->note |= TCP_NOTE_STATE;
	conn_mark(tcp, c, TODO_ACK | TODO_NOTE);
	switch (c->state) {
	case TCP_ESTABLISHED:
		tcp_set_state(tcp, c, TCP_CLOSE_WAIT);
		break;
	case TCP_FIN_WAIT_1: /* had our FIN been acknowledged, it would be FIN-WAIT-2 */
		tcp_set_state(tcp, c, TCP_CLOSING);
		break;
	case TCP_FIN_WAIT_2:
		tcp_set_state(tcp, c, TCP_TIME_WAIT);
		timer_time_wait(tcp, c);
		break;
	default:
		break;
	}
}

/* How long our acknowledgements take to bring data, for the tuning of the window. */
static void measure_rtt(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	uint32_t ms;

	if ((c->flags & CONN_TS) == 0 || (s->opts.has & SEG_HAS_TS) == 0 || s->opts.ts_ecr == 0 || s->len < c->rcv_mss)
		return;
	ms = tcp_clock_ms(tcp) + c->ts_offset - s->opts.ts_ecr;
	if (ms > 60000)
		return;
	ms += ms == 0;
	c->tune_rtt_us = c->tune_rtt_us == 0 ? ms * 1000 : c->tune_rtt_us - c->tune_rtt_us / 8 + ms * 1000 / 8;
}
