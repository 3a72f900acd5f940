/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The invariants of tcp_holds.h.
 */
#include "tests/fuzz/tcp_holds.h"

#include <string.h>

enum { LATE_US = 2000, KEEP_MAX_S = 32767, SILENCE_MS = 2 * 3600 * 1000 };

static struct host *host;

/* What is remembered of a connection, by its slot. */
static struct {
	uint64_t rx_end;
	uint32_t edge;          /* right edge of our window, as we keep it */
	bool told, stamped;     /* the next three, and the last, are known */
	uint32_t ack, told_edge; /* of the last segment sent: they never go back */
	uint32_t offered;       /* right edge of the peer's largest window */
	uint32_t ts_val;
} was[HOST_CONNS + EVICT_SLACK];

void holds_begin(struct host *h)
{
	host = h;
	memset(was, 0, sizeof(was));
}

void holds_new(const struct tcp_conn *c)
{
	memset(&was[c->slot], 0, sizeof(was[c->slot]));
	was[c->slot].edge = c->rcv_adv;
	was[c->slot].offered = c->snd_una;
}

void holds_taken(const struct pkt *p)
{
	struct tuple t = { p->dst, p->src, p->tcp.dport, p->tcp.sport };
	const struct tcp_conn *c = tcp_find(host->tcp, &t);
	unsigned shift;

	if (c == NULL || (p->tcp.flags & A) == 0)
		return;
	shift = (p->tcp.flags & S) != 0 ? 0 : c->snd_shift;
	if (seq_ge(p->tcp.ack, c->snd_una) && seq_le(p->tcp.ack, c->snd_max))
		holds_offer(c, p->tcp.ack, (uint32_t)p->tcp.wnd << shift);
}

void holds_offer(const struct tcp_conn *c, uint32_t ack, uint32_t wnd)
{
	if (seq_gt(ack + wnd, was[c->slot].offered))
		was[c->slot].offered = ack + wnd;
}

/* --- Segments --------------------------------------------------------------------------------------------------------- */

static void sack_blocks_hold(const struct tcp_conn *c, const struct seg_opts *o)
{
	for (unsigned i = 0; i < o->sacks; i++) {
		must(seq_lt(o->sack[i].from, o->sack[i].to));
		must(i == 0 || seq_gt(o->sack[i].from, c->rcv_nxt)); /* the first may be a D-SACK */
		must(i == 0 || seq_le(o->sack[i].to, c->rcv_adv));
	}
	must(o->sacks == 0 || (c->flags & CONN_SACK) != 0);
}

static void window_holds(const struct tcp_conn *c, const struct pkt *p)
{
	unsigned shift = (p->tcp.flags & S) == 0 && (c->flags & CONN_WS) != 0 ? c->rcv_shift : 0;
	uint32_t edge = p->tcp.ack + ((uint32_t)p->tcp.wnd << shift);

	if (was[c->slot].told) {
		must(seq_ge(p->tcp.ack, was[c->slot].ack));
		must(seq_ge(edge, was[c->slot].told_edge) || (p->tcp.flags & S) != 0); /* RFC 9293 3.8.6: never shrunk */
	}
	if (!was[c->slot].told || seq_gt(edge, was[c->slot].told_edge)) /* a SYN cannot say more than 64 KiB */
		was[c->slot].told_edge = edge;
	was[c->slot].told = true;
	was[c->slot].ack = p->tcp.ack;
}

void holds_sent(const struct pkt *p)
{
	struct tuple t = { p->src, p->dst, p->tcp.sport, p->tcp.dport };
	struct tcp_conn *c = tcp_find(host->tcp, &t);
	uint32_t end = p->tcp.seq + p->tcp.text_len;
	struct seg_opts o;

	must(seg_parse(p->data + p->tcp.opt_off, p->tcp.opt_len, &o));
	must(p->tcp.text_len == 0 || (p->tcp.flags & (S | R)) == 0);
	must((p->tcp.flags & (S | F)) != (S | F) && (p->tcp.flags & (S | R)) != (S | R));
	if (c == NULL || (p->tcp.flags & R) != 0 || ((p->tcp.flags & S) != 0 && p->tcp.seq != c->iss))
		return; /* none of this connection's: a reset, a cookie */
	for (unsigned i = 0; i < p->tcp.text_len; i++)
		must(p->data[p->tcp.text_off + i] == byte_of(p->tcp.seq + i));
	must(seq_le(end, c->snd_max));
	if (p->tcp.text_len > 1) /* one byte may ask; SND.WND counts from SND.UNA, also when a stale segment has moved that */
		must(seq_le(end, was[c->slot].offered) || seq_le(end, c->snd_una + c->snd_wnd));
	if ((p->tcp.flags & A) != 0 && c->state != TCP_SYN_SENT)
		window_holds(c, p);
	sack_blocks_hold(c, &o);
	if ((o.has & SEG_HAS_TS) != 0) {
		must(!was[c->slot].stamped || seq_ge(o.ts_val, was[c->slot].ts_val));
		was[c->slot].stamped = true;
		was[c->slot].ts_val = o.ts_val;
	}
}

/* --- Connections ------------------------------------------------------------------------------------------------------ */

/* The list of what is in flight: contiguous from snd_una to snd_nxt, its sums right, and each in one of its three states. */
static void flight_holds(const struct tcp_conn *c)
{
	const struct flight *f = c->flight;
	uint64_t at, last_us = 0;
	uint32_t bytes = 0, sacked = 0, lost = 0, out = 0, timed = 0;

	if (f == NULL) {
		must(c->snd_una == c->snd_nxt || !conn_sends_text(c));
		return;
	}
	at = conn_tx_off(c, c->snd_una);
	for (uint32_t no = f->head; no != f->tail; no++) {
		const struct flight_seg *s = flight_at(f, no);

		must(s->from == at && s->len > 0);
		at += s->len;
		bytes += s->len;
		sacked += (s->marks & FLIGHT_SACKED) != 0 ? s->len : 0;
		lost += (s->marks & FLIGHT_LOST) != 0 ? s->len : 0;
		out += (s->marks & (FLIGHT_SACKED | FLIGHT_LOST)) == 0;
		must((s->marks & FLIGHT_LOST) == 0 || (int32_t)(no - f->lost_from) >= 0);
	}
	must(at == conn_tx_off(c, c->snd_nxt));
	must(bytes == f->bytes && sacked == f->sacked_bytes && lost == f->lost_bytes);
	for (uint32_t no = f->oldest; no != FLIGHT_NONE; no = flight_at(f, no)->newer, timed++) {
		must((flight_at(f, no)->marks & (FLIGHT_SACKED | FLIGHT_LOST)) == 0 && flight_at(f, no)->sent_us >= last_us);
		last_us = flight_at(f, no)->sent_us;
	}
	must(timed == out && f->ranges.count <= SACK_RANGES);
	must(f->head != f->tail || (f->idle_us != 0 && c->due_us[T_RACK] != 0));
}

/* RFC 9293, 3.3.1 and 3.4: numbers in their order. */
static void numbers_hold(const struct tcp_conn *c)
{
	must(seq_le(c->snd_una, c->snd_nxt) && seq_le(c->snd_nxt, c->snd_max));
	must(c->tx_acked <= c->tx_end && c->rx_done <= c->rx_end && c->rx_end >= was[c->slot].rx_end);
	must(c->ooo.count <= OOO_RANGES && (c->ooo.count == 0 || c->ooo.range[0].from > c->rx_end));
	if (c->state < TCP_ESTABLISHED)
		return;
	must(c->cc.cwnd >= 1 && c->mss >= 8 && c->cc.cwnd <= 1u << 30);
	must((uint32_t)(c->snd_max - c->snd_una) <= (uint32_t)(c->tx_end - c->tx_acked) + 1);
	must(c->rcv_nxt == c->irs + 1 + (uint32_t)c->rx_end + ((c->flags & CONN_RX_FIN) != 0));
	must(seq_ge(c->rcv_adv, was[c->slot].edge) || c->state == TCP_CLOSED);
}

/* Every time that is set is soon enough, and none was forgotten. */
static void timers_hold(const struct tcp_conn *c)
{
	uint64_t now = host->now_us, second = 1000000;
	bool next_tick = (int32_t)(c->timer.at_ms - (uint32_t)(now / 1000 + 1)) <= 0;

	must(c->rto_us <= host->conf.rto_max_ms * 1000 || c->rto_us == RTO_AFTER_SYN_US);
	if (c->state == TCP_CLOSED)
		must(!wheel_runs(&c->timer));
	for (unsigned i = 0; i < T_KINDS; i++) {
		must(c->due_us[i] == 0 || wheel_runs(&c->timer));
		must(c->due_us[i] == 0 || c->due_us[i] + LATE_US > now || next_tick); /* a program may set one in the past */
		must(c->due_us[i] <= now + KEEP_MAX_S * second + second);
	}
	must(c->due_us[T_REXMIT] <= now + host->conf.rto_max_ms * UINT64_C(1000) + second);
	must(c->due_us[T_DELACK] <= now + host->conf.delack_ms * UINT64_C(1000));
	/* something in flight, or to be sent with nothing in flight, has a timer */
	if (c->state >= TCP_ESTABLISHED && c->snd_una != c->snd_max && conn_sends_text(c) && c->todo == 0)
		must(c->due_us[T_REXMIT] != 0);
}

static bool conn_holds(void *arg, struct tcp_conn *c)
{
	(void)arg;
	numbers_hold(c);
	flight_holds(c);
	timers_hold(c);
	was[c->slot].rx_end = c->rx_end;
	was[c->slot].edge = c->rcv_adv;
	return true;
}

void holds_conns(void)
{
	tcp_walk(host->tcp, conn_holds, NULL);
	must(host->owner.conns <= host->owner.conns_max);
	must(host->tcp->flows.count <= host->conf.max_conns);
}

/* --- Silence ---------------------------------------------------------------------------------------------------------- */

static bool conn_waits_well(void *arg, struct tcp_conn *c)
{
	bool waits = c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_2 || c->state == TCP_CLOSE_WAIT;

	(void)arg;
	if (c->state == TCP_CLOSED || c->user_timeout_ms > SILENCE_MS) /* the program's wish */
		return true;
	must(waits && (c->flags & CONN_HELD) != 0);
	must(c->snd_una == c->snd_max && c->tx_acked == c->tx_end); /* what nobody acknowledged was given up */
	return true;
}

void holds_in_silence(void)
{
	uint64_t end = host->now_us + 2 * SILENCE_MS * UINT64_C(1000), next;
	unsigned turns = 0;
	struct pkt *p;

	while ((next = tcp_next_us(host->tcp, host->now_us)) <= end) {
		host->now_us = next > host->now_us ? next : host->now_us;
		tcp_expire(host->tcp, host->now_us);
		tcp_settle(host->tcp, 1000, host->now_us);
		while ((p = host_sent(host)) != NULL) {
			holds_sent(p);
			nic_free(p);
		}
		must(++turns < 100 * (host->conf.max_conns + 10)); /* it does not spin */
	}
	host->now_us = end;
	holds_conns();
	tcp_walk(host->tcp, conn_waits_well, NULL);
}
