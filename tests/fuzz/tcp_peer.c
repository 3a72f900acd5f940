/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The peers of fuzz_tcp: some lie, some do not.
 */
#include "tests/fuzz/tcp_peer.h"

#include <string.h>

#include "tests/fuzz/tcp_holds.h"

enum { PEERS = 6 };

static struct {
	uint16_t sport, dport;
	uint32_t seq, ack, ts_val;
	bool stamped;
	struct ipaddr peer;
} last_cookie;

void peer_begin(void)
{
	memset(&last_cookie, 0, sizeof(last_cookie));
}

void peer_hears(const struct pkt *p)
{
	struct tuple t = { p->src, p->dst, p->tcp.sport, p->tcp.dport };
	struct seg_opts o;

	if ((p->tcp.flags & (S | A)) != (S | A) || tcp_find(H.tcp, &t) != NULL)
		return;
	must(seg_parse(p->data + p->tcp.opt_off, p->tcp.opt_len, &o));
	last_cookie.sport = p->tcp.sport;
	last_cookie.dport = p->tcp.dport;
	last_cookie.seq = p->tcp.seq;
	last_cookie.ack = p->tcp.ack;
	last_cookie.ts_val = o.ts_val;
	last_cookie.stamped = (o.has & SEG_HAS_TS) != 0;
	last_cookie.peer = p->dst;
}

/* A number near something that matters. */
static uint32_t near(uint32_t base)
{
	static const int32_t off[] = { 0, 0, 0, 0, 0, 1, -1, 2, 100, -100, 1460, 2920, 65535, -65536, 0x40000000 };

	return rnd(24) == 0 ? rnd(UINT32_MAX) : base + (uint32_t)off[rnd(15)] + (rnd(6) == 0 ? rnd(3000) : 0);
}

/* The beginning of a segment in flight, or the end of all. */
static uint32_t boundary(const struct tcp_conn *c)
{
	const struct flight *f = c->flight;

	if (f == NULL || f->head == f->tail || rnd(4) == 0)
		return c->snd_nxt;
	return c->iss + 1 + (uint32_t)flight_at(f, f->head + rnd(f->tail - f->head))->from;
}

/* What a peer that means well would say of what is in flight. */
static unsigned honest_options(uint8_t *opt, const struct tcp_conn *c, uint32_t ack)
{
	struct seg_opts o = { .has = (c->flags & CONN_TS) != 0 ? SEG_HAS_TS : 0, .ts_val = c->ts_recent + rnd(2) };

	o.ts_ecr = tcp_clock_ms(H.tcp) + c->ts_offset - rnd(300);
	for (unsigned n = (c->flags & CONN_SACK) != 0 ? rnd(4) : 0; o.sacks < n; o.sacks++) {
		uint32_t from = boundary(c), to = boundary(c);

		if (rnd(8) != 0 && (seq_le(from, ack) || seq_ge(from, to)))
			break;
		o.sack[o.sacks] = (struct seg_sack){ from, to };
	}
	return seg_options(&o, opt);
}

/* An acknowledgement, perhaps with text: next in order, or the same again. */
static void honest(struct tcp_conn *c)
{
	struct pkt_tcp t = { .dport = c->lport, .sport = c->pport, .flags = A, .seq = c->rcv_nxt, .wnd = (uint16_t)(c->snd_wnd >> c->snd_shift) };
	uint16_t len = (uint16_t)(rnd(3) == 0 ? rnd(1461) : 0);
	uint8_t opt[64], *text;
	unsigned opt_len;
	struct pkt *p;

	t.ack = rnd(3) != 0 ? c->snd_una : boundary(c);
	t.flags |= rnd(8) == 0 ? SEG_ECE : rnd(8) == 0 ? SEG_CWR : 0;
	if (rnd(8) == 0)
		t.wnd = 65535;
	if (rnd(8) == 0)
		t.seq += 1460 * rnd(4);
	if (c->state >= TCP_FIN_WAIT_1 && rnd(2) == 0) {
		t.ack = c->snd_max;
		t.flags = rnd(2) != 0 ? A : F | A;
		len = 0;
	}
	opt_len = honest_options(opt, c, t.ack);
	p = host_frame(&H, &t, &c->peer, opt, opt_len, len, &text);
	for (unsigned i = 0; i < len; i++)
		text[i] = byte_of(t.seq + i);
	holds_taken(p);
	host_in(&H, &p, 1);
}

static unsigned random_options(uint8_t *opt, const struct tcp_conn *c)
{
	struct seg_opts o = { .has = 0 };
	unsigned n;

	if (rnd(10) == 0) { /* noise */
		n = rnd(41);
		for (unsigned i = 0; i < n; i++)
			opt[i] = (uint8_t)(rnd(3) != 0 ? rnd(12) : rnd(256));
		return n;
	}
	if (c != NULL ? (c->flags & CONN_TS) != 0 : rnd(2) != 0) {
		o.has |= SEG_HAS_TS;
		o.ts_val = c != NULL ? near(c->ts_recent) : rnd(1000);
		o.ts_ecr = c != NULL ? near(tcp_clock_ms(H.tcp) + c->ts_offset) : rnd(1000);
	}
	if (rnd(3) == 0 && c != NULL) {
		o.sacks = (uint8_t)(1 + rnd(3));
		for (unsigned i = 0; i < o.sacks; i++) {
			o.sack[i].from = near(c->snd_una) + rnd(5000);
			o.sack[i].to = o.sack[i].from + rnd(3000);
		}
		return seg_options(&o, opt);
	}
	if (c == NULL || rnd(10) == 0)
		o.has |= (uint8_t)rnd(16);
	o.mss = (uint16_t)(rnd(2) != 0 ? 1460 : rnd(65536));
	o.shift = (uint8_t)rnd(16);
	return seg_options(&o, opt);
}

void peer_segment(void)
{
	static const uint8_t flags[] = { A, A, A, A | P, A, A, F | A, F | A, S, S, S | A, R, R | A, 0, A | U, S | F, F };
	struct pkt_tcp t = { .dport = 80, .sport = (uint16_t)(1000 + rnd(PEERS)) };
	struct ipaddr src = ip4((uint8_t)(2 + rnd(2)));
	struct tcp_conn *c = NULL;
	uint8_t opt[64], *text;
	uint16_t len = 0;
	struct pkt *p;

	for (unsigned tries = 0; tries < 6 && c == NULL && H.tcp->pool.slabs > 0; tries++) {
		c = pool_at(&H.tcp->pool, rnd(40));
		c = pool_used(c) ? c : NULL;
	}
	if (rnd(8) == 0)
		c = NULL;
	if (c != NULL && c->state >= TCP_ESTABLISHED && rnd(c->state > TCP_ESTABLISHED ? 2 : 3) == 0) { /* else much is seldom reached */
		honest(c);
		return;
	}
	t.flags = rnd(16) == 0 ? (uint8_t)rnd(256) : flags[rnd(sizeof(flags))];
	if ((t.flags & S) != 0)
		t.flags |= rnd(2) != 0 ? SEG_ECE | SEG_CWR : rnd(2) != 0 ? SEG_ECE : 0;
	t.wnd = (uint16_t)(rnd(6) == 0 ? rnd(3) * 500 : rnd(65536));
	if (rnd(3) != 0)
		len = (uint16_t)(rnd(4) == 0 ? rnd(5) : rnd(1461));
	if (c != NULL) {
		src = c->peer;
		t.sport = c->pport;
		t.dport = c->lport;
		t.seq = c->state == TCP_SYN_SENT ? rnd(1000000) : near(rnd(4) == 0 ? c->rcv_adv : c->rcv_nxt);
		t.ack = near(rnd(2) != 0 ? c->snd_max : c->snd_una);
		if (c->state == TCP_SYN_SENT && rnd(2) != 0)
			t.flags = S | A;
	} else {
		t.seq = rnd(1000000);
		t.ack = rnd(1000000);
		t.flags = rnd(3) != 0 ? S : t.flags;
		len = 0;
	}
	p = host_frame(&H, &t, &src, opt, random_options(opt, c), len, &text);
	for (unsigned i = 0; i < len; i++)
		text[i] = byte_of(t.seq + ((t.flags & S) != 0) + i);
	p->flags = rnd(100) == 0 ? PKT_MCAST : 0;
	p->tos = (uint8_t)rnd(4);
	holds_taken(p);
	host_in(&H, &p, 1);
}

/* The last cookie comes back. */
void peer_cookie(void)
{
	struct pkt_tcp t = { .dport = last_cookie.sport, .sport = last_cookie.dport, .flags = A, .seq = last_cookie.ack,
			     .ack = last_cookie.seq + 1, .wnd = 5000 };
	struct seg_opts o = { .has = last_cookie.stamped ? SEG_HAS_TS : 0, .ts_val = 1000, .ts_ecr = last_cookie.ts_val };
	uint8_t opt[64], *text;
	struct pkt *p;

	if (last_cookie.sport == 0)
		return;
	p = host_frame(&H, &t, &last_cookie.peer, opt, seg_options(&o, opt), 0, &text);
	holds_taken(p);
	host_in(&H, &p, 1);
}

void peer_icmp(void)
{
	struct tcp_conn *c = H.tcp->pool.slabs > 0 ? pool_at(&H.tcp->pool, rnd(20)) : NULL;
	struct net_icmp_error e = { .type = (uint8_t)(rnd(4) != 0 ? 3 : 11 + rnd(2)), .code = (uint8_t)rnd(16), .mtu = (uint16_t)rnd(2000) };

	if (c == NULL || !pool_used(c))
		return;
	e.src = c->local;
	e.dst = c->peer;
	e.sport = c->lport;
	e.dport = c->pport;
	e.seq = near(c->snd_una);
	tcp_icmp_error(H.tcp, &e);
}
