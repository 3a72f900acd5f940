/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A stateful fuzzer: segments that are almost right, to connections in all states, from peers and programs that lie, with frames
 * and memory running out and the clock jumping.
 *
 * What must hold after each step: sequence numbers in order, windows never taken back, what the program reads and what the wire
 * carries are the bytes that belong there, bounds kept, timers finite; and at the end of each round nothing is left.
 *
 *   fuzz_tcp                          its corpus and a short run; STACKD_FUZZ_S, FUZZ_SEED, FUZZ_ONE: see drive.h
 *   clang -DFUZZ_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. ... tests/fuzz/fuzz_tcp.c tests/fuzz/tcp_holds.c tests/fuzz/tcp_peer.c
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/drive.h"
#include "tests/fuzz/tcp_holds.h"
#include "tests/fuzz/tcp_peer.h"

enum {
	STEPS = 600,
	PROGS = 12,
	RUNS = 1500,         /* in make check */
	INPUT_MAX = 1 << 14, /* bytes */
	MOVES = 21,          /* of state: RFC 9293, figure 5, and to CLOSED */
};

struct host H;
static struct feed in;

/* What the fuzzer keeps of a connection that its program holds. */
static struct {
	struct tcp_conn *conn;
	uint64_t tx_end, rx_pos;
	struct bytes tx;
} prog[PROGS];

static struct stats sum;
static unsigned moves[TCP_STATES][TCP_STATES];

uint32_t rnd(uint32_t n)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4 && n >> (8 * i) != 0; i++)
		v = v << 8 | (in.at < in.end ? *in.at++ : 0);
	return n != 0 ? v % n : 0;
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
	moves[from][to]++;
	if (from == TCP_CLOSED || from == TCP_SYN_SENT)
		holds_new(c);
	if (to == TCP_ESTABLISHED)
		holds_offer(c, c->snd_una, c->snd_wnd);
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

/* --- A round ----------------------------------------------------------------------------------------------------------- */

static void drain(void)
{
	struct pkt *p;

	while ((p = host_sent(&H)) != NULL) {
		peer_hears(p);
		holds_sent(p);
		nic_free(p);
	}
}

static void settle_(void)
{
	tcp_expire(H.tcp, H.now_us);
	tcp_settle(H.tcp, 1 + rnd(20), H.now_us);
	drain();
	holds_conns();
}

static void tweak(struct tcp_conf *c)
{
	c->timestamps = rnd(2) != 0;
	c->sack = rnd(2) != 0;
	c->window_scaling = rnd(2) != 0;
	c->congestion = (uint8_t)rnd(2);
	c->ecn = (uint8_t)rnd(3);
	c->mtu_probing = (uint8_t)rnd(3);
	c->max_orphans = rnd(4) != 0 ? 1000 : rnd(4);
	c->syn_queue = 1 + rnd(8);
	c->max_conns = 8 + rnd(40);
	if (rnd(2) != 0)
		c->rcvbuf_initial = c->rcvbuf_max = 2048 + rnd(100000);
	if (rnd(2) != 0)
		c->sndbuf_initial = c->sndbuf_max = 2048 + rnd(100000);
}

static void round_(void)
{
	static uint32_t hoard[HOST_SEGS * BYTES_SEG_CHUNKS];
	uint32_t hoards = 0, most;

	host_start(&H, 1, tweak);
	holds_begin(&H);
	peer_begin();
	H.tcp->hooks.note = on_note;
	H.tcp->hooks.state = on_state;
	H.tcp->hooks.let_go = on_let_go;
	if (rnd(2) != 0)
		H.tcp->hooks.tuple_is_mine = mine;
	H.owner.conns_max = 5 + rnd(40);
	host_listen(&H, 80, 1 + rnd(5));
	for (unsigned i = 0; i < PROGS; i++)
		forget(i);
	for (unsigned step = 0; step < STEPS && feed_left(&in); step++) {
		switch (rnd(16)) {
		case 0:
			H.now_us += rnd(8) == 0 ? rnd(400000000) : rnd(300000);
			break;
		case 1:
			if (rnd(4) == 0)
				peer_icmp();
			else
				peer_cookie();
			break;
		case 2:
			H.net.no_buffer = rnd(6) == 0;
			H.net.no_route = rnd(30) == 0;
			break;
		case 3:
			most = rnd(2) != 0 ? 600 : HOST_SEGS * BYTES_SEG_CHUNKS;
			if (rnd(10) == 0)
				while (hoards < most && (hoard[hoards] = bytes_alloc(&H.owner.rx)) != BYTES_NONE)
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
			peer_segment();
			break;
		}
		if (rnd(3) != 0)
			settle_();
	}
	while (hoards > 0)
		bytes_free(&H.owner.rx, hoard[--hoards]);
	H.net.no_buffer = H.net.no_route = false;
	if (rnd(4) == 0)
		holds_in_silence();
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in = (struct feed){ data, data + size };
	round_();
	return 0;
}

#ifndef FUZZ_LIBFUZZER
/* What was reached: else the fuzzer has become useless. */
static void tell(void)
{
#define X(id, name, text) name,
	static const char *const names[CNT_MAX] = { STATS_COUNTERS(X) };
#undef X
	unsigned reached = 0;

	printf("fuzz_tcp: %llu segments in, %llu out, %llu bytes read in order; moves of state:\n",
	       (unsigned long long)sum.n[CNT_TCP_IN], (unsigned long long)sum.n[CNT_TCP_OUT],
	       (unsigned long long)sum.n[CNT_TCP_RX_BYTES]);
	for (unsigned from = 0; from < TCP_STATES; from++)
		for (unsigned to = 0; to < TCP_STATES; to++)
			if (moves[from][to] > 0 && ++reached > 0)
				printf("%10u %s to %s\n", moves[from][to], tcp_state_name(from), tcp_state_name(to));
	printf("never counted:");
	for (unsigned i = CNT_TCP_IN; i <= CNT_TCP_TX_BYTES; i++)
		if (sum.n[i] == 0)
			printf(" %s", names[i]);
	printf("\n%u of %u moves\n", reached, (unsigned)MOVES);
	fflush(stdout);
	must(reached == MOVES && sum.n[CNT_TCP_RX_BYTES] > 100000);
}

int main(int argc, char **argv)
{
	int rc = drive("tcp", RUNS, INPUT_MAX, argc, argv);

	if (rc == EXIT_SUCCESS && argc == 1 && getenv("FUZZ_ONE") == NULL)
		tell();
	return rc;
}
#endif
