/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A stateful fuzzer: segments that are almost right, to connections in all states, from peers and programs that lie, with frames
 * and memory running out and the clock jumping.
 *
 * What must hold after each step: sequence numbers in order, windows never taken back, what the program reads and what the wire
 * carries are the bytes that belong there, bounds kept, timers finite; and at the end of each round nothing is left.
 *
 *   fuzz_tcp                          a short run; FUZZ_RUNS (rounds) and FUZZ_SEED for others
 *   clang -DFUZZ_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. ... tests/fuzz/fuzz_tcp.c
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tcp_trace.h"

enum { STEPS = 600, PROGS = 12, PEERS = 6, CHUNKS = 64 };

static struct host H;
static struct {
	const uint8_t *at, *end;
	uint64_t rng;
} in;

/* What the fuzzer keeps of a connection that its program holds. */
static struct {
	struct tcp_conn *conn;
	uint64_t tx_end, rx_pos;
	struct bytes tx;
} prog[PROGS];

static uint32_t edge[HOST_CONNS + EVICT_SLACK];      /* right edge last seen, by slot */
static uint64_t rx_end[HOST_CONNS + EVICT_SLACK];

static struct stats sum;
static unsigned visits[TCP_STATES];

static uint32_t rnd(uint32_t n)
{
	uint32_t v = 0;

	if (in.at != NULL) {
		for (unsigned i = 0; i < 4 && n >> (8 * i) != 0; i++)
			v = v << 8 | (in.at < in.end ? *in.at++ : 0);
		return n != 0 ? v % n : 0;
	}
	in.rng ^= in.rng << 13;
	in.rng ^= in.rng >> 7;
	in.rng ^= in.rng << 17;
	return n != 0 ? (uint32_t)(in.rng >> 33) % n : 0;
}

static uint8_t byte_of(uint32_t seq)
{
	return (uint8_t)(seq * 2654435761u >> 24);
}

static void forget(unsigned i)
{
	bytes_clear(&prog[i].tx, &H.tx_pool);
	memset(&prog[i], 0, sizeof(prog[i]));
	bytes_init(&prog[i].tx);
}

/* --- The program ------------------------------------------------------------------------------------------------------- */

static int slot_for(struct tcp_conn *c)
{
	for (unsigned i = 0; i < PROGS; i++) {
		if (prog[i].conn != NULL)
			continue;
		prog[i].conn = c;
		return (int)i;
	}
	return -1;
}

static void on_note(void *arg, struct tcp_conn *c)
{
	struct tcp_view v;
	uintptr_t i;

	(void)arg;
	if (rnd(16) == 0)
		return; /* its ring is full */
	if ((c->note & TCP_NOTE_ACCEPT) != 0) {
		int got = slot_for(c);

		if (c->listener != NULL && c->listener->lane[0].waiting > 0)
			c->listener->lane[0].waiting--;
		c->listener = NULL;
		c->note = 0;
		if (got < 0) {
			tcp_release(H.tcp, c, rnd(2) != 0 ? 0 : -1);
			return;
		}
		c->user = (void *)(uintptr_t)(got + 1);
	}
	i = (uintptr_t)c->user - 1;
	must(i < PROGS && prog[i].conn == c);
	tcp_view(H.tcp, c, &v);
	must(v.tx_acked <= prog[i].tx_end);
	bytes_drop(&prog[i].tx, &H.tx_pool, bytes_number(v.tx_acked));
	if (v.tx_acked == prog[i].tx_end)
		bytes_clear(&prog[i].tx, &H.tx_pool);
	c->note = 0;
}

static void on_let_go(void *arg, struct tcp_conn *c)
{
	(void)arg;
	must(c->owner == &H.owner);
	if (c->user != NULL)
		forget((unsigned)(uintptr_t)c->user - 1);
}

static void on_state(void *arg, struct tcp_conn *c, enum tcp_state from, enum tcp_state to)
{
	(void)arg;
	visits[to]++;
	if (from != TCP_CLOSED && from != TCP_SYN_SENT)
		return;
	edge[c->slot] = c->rcv_adv;
	rx_end[c->slot] = 0;
}

static bool mine(void *arg, uint32_t hash)
{
	(void)arg;
	return hash % 3 != 0;
}

static void program_write(unsigned i)
{
	uint8_t buf[9000];
	uint32_t chunk[8], n = 0, len = 1 + rnd(sizeof(buf)), first = bytes_number(prog[i].tx_end), done;
	struct tcp_conn *c = prog[i].conn;

	if (prog[i].tx_end - c->tx_acked + len > H.conf.sndbuf_max)
		return;
	for (uint32_t k = 0; k < len; k++)
		buf[k] = byte_of(c->iss + 1 + (uint32_t)(prog[i].tx_end + k));
	done = (uint32_t)bytes_write(&prog[i].tx, &H.tx_pool, prog[i].tx_end, buf, len, 1000);
	for (; done > 0 && first + n <= bytes_number(prog[i].tx_end + done - 1); n++)
		chunk[n] = bytes_get(&prog[i].tx, first + n);
	if (done > 0 && tcp_sent_more(H.tcp, c, prog[i].tx_end + done, chunk, n) == 0)
		prog[i].tx_end += done;
}

static void program_read(unsigned i)
{
	struct tcp_conn *c = prog[i].conn;
	struct tcp_view v;
	uint32_t no, id, want = rnd(20000);

	tcp_view(H.tcp, c, &v);
	if (v.rx_end == prog[i].rx_pos)
		return;
	must(v.rx_chunk != BYTES_NONE);
	no = v.rx_chunk_no;
	id = v.rx_chunk;
	for (; want > 0 && prog[i].rx_pos < v.rx_end; want--, prog[i].rx_pos++) {
		for (; no != bytes_number(prog[i].rx_pos); no++)
			id = bytes_next(&H.owner.rx.map, id);
		must(bytes_at(&H.owner.rx.map, id) != NULL);
		must(bytes_at(&H.owner.rx.map, id)[prog[i].rx_pos % BYTES_CHUNK] ==
		     byte_of(c->irs + 1 + (uint32_t)prog[i].rx_pos));
	}
	must(tcp_rx_done(H.tcp, c, prog[i].rx_pos) == 0);
}

/* What no honest program says. */
static void program_lie(struct tcp_conn *c)
{
	static const uint64_t odd[] = { 0, 1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX, UINT64_MAX - 4096, 1u << 30 };
	uint32_t chunk[4] = { rnd(5000), rnd(UINT32_MAX), BYTES_NONE, 0 };
	uint64_t done = odd[rnd(7)] + (rnd(2) != 0 ? c->rx_end + 1 : UINT64_C(1) << 60);

	switch (rnd(3)) {
	case 0:
		if (done < c->rx_done || done > c->rx_end)
			must(tcp_rx_done(H.tcp, c, done) != 0);
		break;
	case 1:
		must(tcp_sent_more(H.tcp, c, c->tx_end + 5 * BYTES_CHUNK + odd[rnd(4)], chunk, rnd(5)) != 0 ||
		     c->state == TCP_CLOSED);
		break;
	default:
		(void)tcp_setopt(H.tcp, c, rnd(OPT_MAX + 2), rnd(2) != 0 ? odd[rnd(7)] : rnd(70000));
		break;
	}
}

static void program(void)
{
	static const int linger[] = { -1, -1, 0, 1, 30 };
	unsigned i = rnd(PROGS);
	struct tcp_conn *c = prog[i].conn;
	struct tcp_open o = { .dst = ip4((uint8_t)(2 + rnd(2))), .dport = 80 };

	if (c == NULL) {
		o.user = (void *)(uintptr_t)(i + 1);
		if (tcp_open(H.tcp, &H.owner, &o, H.now_us, &c) == 0)
			prog[i].conn = c;
		return;
	}
	if ((c->flags & CONN_RELEASED) != 0)
		return;
	switch (rnd(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		program_write(i);
		break;
	case 4:
	case 5:
	case 6:
		program_read(i);
		break;
	case 7:
		tcp_shutdown(H.tcp, c, (int)rnd(4));
		break;
	case 8:
		if (rnd(3) == 0)
			tcp_release(H.tcp, c, linger[rnd(5)]);
		break;
	case 9:
	case 10:
		program_lie(c);
		break;
	default:
		tcp_mark(H.tcp, c);
		break;
	}
}

/* --- The wire ---------------------------------------------------------------------------------------------------------- */

/* A number near something that matters. */
static uint32_t near(uint32_t base)
{
	static const int32_t off[] = { 0, 0, 0, 0, 0, 1, -1, 2, 100, -100, 1460, 2920, 65535, -65536, 0x40000000 };

	return rnd(24) == 0 ? rnd(UINT32_MAX) : base + (uint32_t)off[rnd(15)] + (rnd(6) == 0 ? rnd(3000) : 0);
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

static void segment(void)
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
	t.flags = rnd(16) == 0 ? (uint8_t)rnd(64) : flags[rnd(sizeof(flags))];
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
		if (c->state >= TCP_FIN_WAIT_1 && rnd(4) == 0) { /* an honest peer, or the end is seldom reached */
			t.seq = c->rcv_nxt;
			t.ack = c->snd_max;
			t.flags = rnd(2) != 0 ? A : F | A;
			len = 0;
		}
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
	host_in(&H, &p, 1);
}

static void icmp(void)
{
	struct tcp_conn *c = H.tcp->pool.slabs > 0 ? pool_at(&H.tcp->pool, rnd(20)) : NULL;
	struct net_icmp_error e = { .type = 3, .code = (uint8_t)rnd(16), .mtu = (uint16_t)rnd(2000) };

	if (c == NULL || !pool_used(c))
		return;
	e.src = c->local;
	e.dst = c->peer;
	e.sport = c->lport;
	e.dport = c->pport;
	e.seq = near(c->snd_una);
	tcp_icmp_error(H.tcp, &e);
}

/* --- What must hold ---------------------------------------------------------------------------------------------------- */

/* The list of what is in flight: contiguous from snd_una to snd_nxt, its sums right, and each in one of its three states. */
static void check_flight(const struct tcp_conn *c)
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

static bool check_conn(void *arg, struct tcp_conn *c)
{
	(void)arg;
	must(seq_le(c->snd_una, c->snd_nxt) && seq_le(c->snd_nxt, c->snd_max));
	must(c->tx_acked <= c->tx_end && c->rx_done <= c->rx_end && c->rx_end >= rx_end[c->slot]);
	must(c->ooo.count <= OOO_RANGES);
	check_flight(c);
	if (c->ooo.count > 0)
		must(c->ooo.range[0].from > c->rx_end);
	rx_end[c->slot] = c->rx_end;
	if (c->state >= TCP_ESTABLISHED) {
		must(c->cc.cwnd >= 1 && c->mss >= 8 && c->cc.cwnd <= 1u << 30);
		must((uint32_t)(c->snd_max - c->snd_una) <= (uint32_t)(c->tx_end - c->tx_acked) + 1);
		must(c->rcv_nxt == c->irs + 1 + (uint32_t)c->rx_end + ((c->flags & CONN_RX_FIN) != 0));
		must(seq_ge(c->rcv_adv, edge[c->slot]) || c->state == TCP_CLOSED);
		edge[c->slot] = c->rcv_adv;
		/* something in flight, or to be sent with nothing in flight, has a timer */
		if (c->snd_una != c->snd_max && conn_sends_text(c) && c->todo == 0)
			must(c->due_us[T_REXMIT] != 0 && wheel_runs(&c->timer));
	} else {
		edge[c->slot] = c->rcv_adv;
	}
	if (c->state == TCP_CLOSED)
		must(!wheel_runs(&c->timer));
	must(c->rto_us <= H.conf.rto_max_ms * 1000 || c->rto_us == RTO_AFTER_SYN_US);
	return true;
}

static void drain(void)
{
	struct pkt *p;

	while ((p = host_sent(&H)) != NULL) {
		struct tuple t = { p->src, p->dst, p->tcp.sport, p->tcp.dport };
		struct tcp_conn *c = tcp_find(H.tcp, &t);

		must(p->tcp.text_len == 0 || (p->tcp.flags & (S | R)) == 0);
		for (unsigned i = 0; c != NULL && i < p->tcp.text_len; i++)
			must(p->data[p->tcp.text_off + i] == byte_of(p->tcp.seq + i));
		nic_free(p);
	}
}

static void settle_(void)
{
	tcp_expire(H.tcp, H.now_us);
	tcp_settle(H.tcp, 1 + rnd(20), H.now_us);
	drain();
	tcp_walk(H.tcp, check_conn, NULL);
	must(H.owner.conns <= H.owner.conns_max);
	must(H.tcp->flows.count <= H.conf.max_conns);
}

static void tweak(struct tcp_conf *c)
{
	c->timestamps = rnd(2) != 0;
	c->sack = rnd(2) != 0;
	c->window_scaling = rnd(2) != 0;
	c->congestion = (uint8_t)rnd(2);
	c->syn_queue = 1 + rnd(8);
	c->max_conns = 8 + rnd(40);
	if (rnd(2) != 0)
		c->rcvbuf_initial = c->rcvbuf_max = 2048 + rnd(100000);
	if (rnd(2) != 0)
		c->sndbuf_initial = c->sndbuf_max = 2048 + rnd(100000);
}

static void round_(void)
{
	uint32_t hoard[600], hoards = 0;

	host_start(&H, 1, tweak);
	H.tcp->hooks.note = on_note;
	H.tcp->hooks.state = on_state;
	H.tcp->hooks.let_go = on_let_go;
	if (rnd(2) != 0)
		H.tcp->hooks.tuple_is_mine = mine;
	H.owner.conns_max = 5 + rnd(40);
	host_listen(&H, 80, 1 + rnd(5));
	for (unsigned i = 0; i < PROGS; i++)
		forget(i);
	for (unsigned step = 0; step < STEPS && (in.at == NULL || in.at < in.end); step++) {
		switch (rnd(16)) {
		case 0:
			H.now_us += rnd(8) == 0 ? rnd(400000000) : rnd(300000);
			break;
		case 1:
			if (rnd(8) == 0)
				icmp();
			break;
		case 2:
			H.net.no_buffer = rnd(6) == 0;
			H.net.no_route = rnd(30) == 0;
			break;
		case 3:
			if (rnd(10) == 0)
				while (hoards < 600 && (hoard[hoards] = bytes_alloc(&H.owner.rx)) != BYTES_NONE)
					hoards++;
			else
				while (hoards > 0)
					bytes_free(&H.owner.rx, hoard[--hoards]);
			break;
		case 4:
		case 5:
		case 6:
		case 7:
			program();
			break;
		default:
			segment();
			break;
		}
		if (rnd(3) != 0)
			settle_();
	}
	while (hoards > 0)
		bytes_free(&H.owner.rx, hoard[--hoards]);
	H.net.no_buffer = H.net.no_route = false;
	H.tcp->hooks.note = NULL;
	H.tcp->hooks.let_go = NULL;
	if (rnd(2) != 0) {
		while (tcp_listener_gone(H.tcp, H.listener, 3) == 3)
			;
		listen_remove(H.listeners, H.listener);
		listen_free(H.listener);
		H.listener = NULL;
	}
	while (tcp_owner_gone(H.tcp, &H.owner, rnd(2) != 0, 5) == 5)
		;
	for (unsigned i = 0; i < PROGS; i++)
		forget(i);
	for (unsigned i = 0; i < CNT_MAX; i++)
		sum.n[i] += H.stats.n[i];
	host_stop(&H);
}

#ifdef FUZZ_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in.at = data;
	in.end = data + size;
	round_();
	return 0;
}
#else
int main(void)
{
	unsigned runs = getenv("FUZZ_RUNS") != NULL ? (unsigned)atoi(getenv("FUZZ_RUNS")) : 60;
	uint64_t seed = getenv("FUZZ_SEED") != NULL ? strtoull(getenv("FUZZ_SEED"), NULL, 0) : 1;

	for (unsigned i = 0; i < runs; i++, seed++) {
		in.rng = seed * 0x9e3779b97f4a7c15ull + 1;
		if (getenv("FUZZ_VERBOSE") != NULL)
			fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
		round_();
	}
	printf("fuzz_tcp: %u rounds, %llu segments in, %llu out, %llu bytes read in order; states:", runs,
	       (unsigned long long)sum.n[CNT_TCP_IN], (unsigned long long)sum.n[CNT_TCP_OUT],
	       (unsigned long long)sum.n[CNT_TCP_RX_BYTES]);
	for (unsigned i = 0; i < TCP_STATES; i++) {
		if (visits[i] > 0)
			printf(" %s %u", tcp_state_name(i), visits[i]);
		must(runs < 50 || i == TCP_LISTEN || visits[i] > 0); /* else the fuzzer has become useless */
	}
	printf("\n");
	must(runs < 50 || sum.n[CNT_TCP_RX_BYTES] > 100000);
	return 0;
}
#endif
