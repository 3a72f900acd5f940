/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How much the peer may send us, and how much the owner may queue: silly window avoidance, and buffers that follow the flow.
 */
#include "stackd/tcp/priv.h"

enum { SLACK_CHUNKS = 8 }; /* partial chunks at both ends, and what rounding to the window scale may add */

static uint32_t room(const struct tcp_conn *c);
static uint32_t promised(const struct tcp_conn *c);

uint16_t window_offer(struct tcp *tcp, struct tcp_conn *c, bool syn)
{
	unsigned shift = (c->flags & CONN_WS) != 0 && !syn ? c->rcv_shift : 0; /* RFC 7323, 2.2 */
	uint32_t wnd = room(c), left = promised(c), step = c->rcvbuf / 2 < c->rcv_mss ? c->rcvbuf / 2 : c->rcv_mss, field;

	(void)tcp;
	if (wnd < left + step) /* RFC 9293 3.8.6.2.2: not in small steps, and never back */
		wnd = left;
	field = wnd >> shift;
	if (field << shift < left)
		field++;
	if (field > UINT16_MAX)
		field = UINT16_MAX;
	if (seq_gt(c->rcv_nxt + (field << shift), c->rcv_adv))
		c->rcv_adv = c->rcv_nxt + (field << shift);
	return (uint16_t)field;
}

/* Has the program made enough room to tell the peer at once? */
bool window_update_due(const struct tcp_conn *c)
{
	uint32_t wnd = room(c), left = promised(c), two = 2u * c->rcv_mss;

	if (wnd <= left)
		return false;
	if (wnd - left >= c->rcvbuf / 4 && wnd - left >= c->rcv_mss)
		return true;
	return left < two && wnd - left >= (two < c->rcvbuf / 2 ? two : c->rcvbuf / 2);
}

uint32_t window_chunks(const struct tcp *tcp)
{
	uint32_t most = tcp->conf.rcvbuf_max > tcp->conf.sndbuf_max ? tcp->conf.rcvbuf_max : tcp->conf.sndbuf_max;

	return most / BYTES_CHUNK + SLACK_CHUNKS + (1u << SEG_SHIFT_MAX) / BYTES_CHUNK;
}

/* Dynamic right-sizing: the window is to be twice what the program took in one round trip, and more while that grows, so that
 * it never holds back a sender in slow start. */
void window_tune_rx(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t rtt_us = c->tune_rtt_us != 0 ? c->tune_rtt_us : c->srtt_us;
	uint64_t took = c->rx_done - c->tune_done, want;

	if (tcp->now_us - c->tune_us < (rtt_us > 1000 ? rtt_us : 1000))
		return;
	c->tune_us = tcp->now_us;
	c->tune_done = c->rx_done;
	if ((c->flags & CONN_RCVBUF) != 0 || took <= c->tune_space)
		return;
	want = 2 * took + 16 * c->rcv_mss;
	want += took >= 2 * (uint64_t)c->tune_space ? want : want * (took - c->tune_space) / c->tune_space;
	c->tune_space = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
	if (want > tcp->conf.rcvbuf_max)
		want = tcp->conf.rcvbuf_max;
	if (want > c->rcvbuf)
		c->rcvbuf = (uint32_t)want;
}

void window_tune_tx(struct tcp *tcp, struct tcp_conn *c)
{
	uint64_t want = 2 * (uint64_t)c->cc.cwnd;

	if ((c->flags & CONN_SNDBUF) != 0)
		return;
	if (want > tcp->conf.sndbuf_max)
		want = tcp->conf.sndbuf_max;
	if (want <= c->sndbuf || (want < c->sndbuf + c->sndbuf / 4 && want < tcp->conf.sndbuf_max))
		return;
	c->sndbuf = (uint32_t)want;
	c->note |= TCP_NOTE_STATE;
	conn_mark(tcp, c, TODO_NOTE);
}

static uint32_t room(const struct tcp_conn *c)
{
	uint64_t unread = c->rx_end - c->rx_done;
	uint32_t most = c->wnd_clamp != 0 && c->wnd_clamp < c->rcvbuf ? c->wnd_clamp : c->rcvbuf;

	return unread < most ? most - (uint32_t)unread : 0;
}

static uint32_t promised(const struct tcp_conn *c)
{
	return seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
}
