/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SYN cookies (RFC 4987, 3.6): when a listener's queue of half-open connections is full, what must be remembered of a SYN
 * travels in the SYN-ACK and comes back with the ACK.
 *
 * The initial sequence number: 24 bits of a keyed hash over the tuple, the peer's ISN, the time and the MSS; 5 bits of time in
 * units of 64 s; 3 bits that index a table of MSS.  With timestamps, the low 6 bits of our TSval say what else was offered.
 */
#include "stackd/tcp/priv.h"

enum {
	PERIOD_US = 64000000,
	TS_SHIFT_MASK = 15, /* the peer's window scale; 15: none was offered */
	TS_SACK = 16,
	TS_ECN = 32,
	TS_BITS = 63,
};

static const uint16_t mss_table[8] = { 64, 536, 1024, 1220, 1300, 1440, 1460, 8960 };

static uint32_t make(const struct tcp *tcp, const struct tuple *t, uint32_t irs, uint32_t period, unsigned mss);
static unsigned mss_index(uint16_t mss);
static bool check(const struct tcp *tcp, const struct seg_in *s, const struct tuple *t, uint16_t *mss);
static void recall_options(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, uint16_t mss);

void cookie_send(struct tcp *tcp, const struct seg_in *s, const struct tuple *t, const struct listener *l)
{
	struct tcp_conn c = { .peer = t->peer }; /* only to say what we would offer */
	struct seg_out *out = reply_to(tcp, s);
	struct ipaddr local = t->local;
	uint16_t mss = (s->opts.has & SEG_HAS_MSS) != 0 ? s->opts.mss : seg_mss_default(&t->peer);
	uint32_t ts;

	if (out == NULL || net_source(tcp->net, &t->peer, &local, &c.mtu) != 0) {
		tcp->replies -= out != NULL;
		return;
	}
	COUNT(tcp->stats, TCP_SYN_COOKIE_OUT);
	tcp->cookie_us = tcp->now_us | 1;
	out->seq = make(tcp, t, s->seq, (uint32_t)(tcp->now_us / PERIOD_US), mss_index(mss));
	out->ack = s->seq + 1;
	out->flags = SEG_SYN | SEG_ACK;
	out->wnd = tcp->conf.rcvbuf_initial > UINT16_MAX ? UINT16_MAX : (uint16_t)tcp->conf.rcvbuf_initial;
	option_inherit_headers(tcp, l, &c.mss_max, out);
	c.ts_recent = s->opts.ts_val;
	c.state = TCP_SYN_RCVD;
	open_take_options(tcp, &c, &s->opts);
	if ((c.flags & CONN_TS) == 0)
		c.flags &= ~(uint32_t)(CONN_WS | CONN_SACK); /* there is no room to remember them */
	open_syn_options(tcp, &c, &out->opts);
	ts = tcp_clock_ms(tcp) + secret_ts_offset(&tcp->secret, t);
	out->opts.ts_val = (ts & ~(uint32_t)TS_BITS) | ((c.flags & CONN_WS) != 0 ? c.snd_shift : TS_SHIFT_MASK) |
	                   ((c.flags & CONN_SACK) != 0 ? TS_SACK : 0);
	if ((c.flags & CONN_TS) != 0 && tcp->conf.ecn != ECN_MODE_OFF && ecn_asks(s)) {
		out->opts.ts_val |= TS_ECN;
		out->flags |= SEG_ECE;
	}
	if (seq_gt(out->opts.ts_val, ts))
		out->opts.ts_val -= TS_BITS + 1; /* never ahead of the clock that goes on afterwards */
}

bool cookie_recent(const struct tcp *tcp)
{
	return tcp->cookie_us != 0 && tcp->now_us < tcp->cookie_us + 2 * (uint64_t)PERIOD_US;
}

/* NULL: not a cookie of ours, or no room. */
struct tcp_conn *cookie_take(struct tcp *tcp, const struct seg_in *s, const struct tuple *t, struct listener *l)
{
	struct listen_lane *lane = &l->lane[tcp->engine];
	struct tcp_conn *c;
	uint16_t mss;

	if (!check(tcp, s, t, &mss)) {
		COUNT(tcp->stats, TCP_SYN_COOKIE_BAD);
		reply_rst(tcp, s);
		return NULL;
	}
	if (lane->waiting >= l->backlog) {
		COUNT(tcp->stats, TCP_ACCEPT_FULL); /* the peer's data will bring the cookie again */
		return NULL;
	}
	if (lane->owner->dead || lane->owner->conns >= lane->owner->conns_max) {
		COUNT(tcp->stats, TCP_SYN_DROP);
		return NULL;
	}
	open_passive(tcp, l, s, t, s->ack - 1);
	c = tcp_find(tcp, t);
	if (c == NULL)
		return NULL;
	COUNT(tcp->stats, TCP_SYN_COOKIE_IN);
	c->todo = 0; /* the SYN-ACK has been sent long ago */
	c->irs = s->seq - 1;
	c->rcv_nxt = s->seq;
	c->rcv_adv = s->seq + (tcp->conf.rcvbuf_initial > UINT16_MAX ? UINT16_MAX : tcp->conf.rcvbuf_initial);
	c->snd_nxt = c->snd_max = s->ack;
	recall_options(tcp, c, s, mss);
	return c;
}

static uint32_t make(const struct tcp *tcp, const struct tuple *t, uint32_t irs, uint32_t period, unsigned mss)
{
	return secret_cookie(&tcp->secret, t, irs, period, mss) << 8 | (period & 31) << 3 | mss;
}

static unsigned mss_index(uint16_t mss)
{
	unsigned i = 7;

	while (i > 0 && mss_table[i] > mss)
		i--;
	return i;
}

static bool check(const struct tcp *tcp, const struct seg_in *s, const struct tuple *t, uint16_t *mss)
{
	uint32_t cookie = s->ack - 1, period = (uint32_t)(tcp->now_us / PERIOD_US);

	if (!cookie_recent(tcp))
		return false;
	for (unsigned age = 0; age < 2; age++, period--) {
		if (cookie == make(tcp, t, s->seq - 1, period, cookie & 7)) {
			*mss = mss_table[cookie & 7];
			return true;
		}
	}
	return false;
}

/* What the timestamp that came back says about the SYN. */
static void recall_options(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, uint16_t mss)
{
	struct seg_opts o = { .has = SEG_HAS_MSS, .mss = mss };

	if ((s->opts.has & SEG_HAS_TS) != 0 && tcp->conf.timestamps) {
		o.has |= SEG_HAS_TS;
		o.ts_val = s->opts.ts_val;
		o.shift = s->opts.ts_ecr & TS_SHIFT_MASK;
		if (o.shift != TS_SHIFT_MASK)
			o.has |= SEG_HAS_WS;
		if ((s->opts.ts_ecr & TS_SACK) != 0)
			o.has |= SEG_HAS_SACK_OK;
		if ((s->opts.ts_ecr & TS_ECN) != 0 && tcp->conf.ecn != ECN_MODE_OFF) {
			c->ecn |= ECN_OK;
			COUNT(tcp->stats, TCP_ECN);
		}
	}
	c->flags &= ~(uint32_t)(CONN_TS | CONN_WS | CONN_SACK);
	open_take_options(tcp, c, &o);
}
