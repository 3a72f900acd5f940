/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Two engines back to back over a path that loses, reorders, duplicates and delays by a seeded generator, and programs that
 * write, read, pause and close at random: every byte arrives, once, in order, and nothing is left behind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/tcp_trace.h"

enum { FLIGHT_MAX = 4096 };

struct path {
	double loss, dup, reorder;
	uint32_t delay_us, jitter_us;
	bool greedy; /* the programs never pause */
};

struct sim {
	struct host h[2];
	struct prog *p[2];
	uint64_t rng;
	struct path path;
	struct {
		struct pkt *pkt;
		unsigned to;
		uint64_t at_us;
	} air[FLIGHT_MAX];
	unsigned airs;
	uint64_t want[2], wrote[2], read[2];
	bool fin[2];
	uint64_t now_us;
};

static struct sim S_;

static uint32_t rnd(void)
{
	S_.rng ^= S_.rng << 13;
	S_.rng ^= S_.rng >> 7;
	S_.rng ^= S_.rng << 17;
	return (uint32_t)(S_.rng >> 32);
}

static bool chance(double p)
{
	return rnd() < p * 4294967296.0;
}

static uint8_t byte_at(unsigned dir, uint64_t off)
{
	return (uint8_t)(off * 131 + off / 251 + dir * 17);
}

static void fly(unsigned to, struct pkt *p)
{
	uint64_t at = S_.now_us + S_.path.delay_us + (S_.path.jitter_us != 0 ? rnd() % S_.path.jitter_us : 0);

	if (chance(S_.path.reorder))
		at += S_.path.delay_us / 2 + 3000;
	if (S_.airs == FLIGHT_MAX) {
		nic_free(p);
		return;
	}
	S_.air[S_.airs].pkt = p;
	S_.air[S_.airs].to = to;
	S_.air[S_.airs++].at_us = at;
}

static void collect(unsigned from)
{
	struct pkt *p;

	while ((p = host_sent(&S_.h[from])) != NULL) {
		if (chance(S_.path.dup))
			fly(!from, pkt_copy(&S_.h[!from], p));
		if (!chance(S_.path.loss))
			fly(!from, pkt_copy(&S_.h[!from], p));
		nic_free(p);
	}
}

static void deliver(void)
{
	for (unsigned i = 0; i < S_.airs;) {
		struct pkt *p = S_.air[i].pkt;
		unsigned to = S_.air[i].to;

		if (S_.air[i].at_us > S_.now_us) {
			i++;
			continue;
		}
		memmove(&S_.air[i], &S_.air[i + 1], (S_.airs - i - 1) * sizeof(S_.air[0]));
		S_.airs--;
		host_in(&S_.h[to], &p, 1);
		if (chance(0.5))
			tcp_settle(S_.h[to].tcp, 100, S_.now_us);
	}
}

static void program(unsigned i)
{
	static uint8_t buf[30000];
	struct host *h = &S_.h[i];
	struct prog *p = S_.p[i];
	uint32_t n;

	if (p == NULL && h->accepts > 0)
		p = S_.p[i] = h->accepted[0];
	if (p == NULL || (p->conn->flags & CONN_CONNECTED) == 0 || (!S_.path.greedy && chance(0.3)))
		return;
	if (S_.wrote[i] < S_.want[i]) {
		n = S_.path.greedy ? sizeof(buf) : 1 + rnd() % (chance(0.3) ? 20 : sizeof(buf));
		n = n < S_.want[i] - S_.wrote[i] ? n : (uint32_t)(S_.want[i] - S_.wrote[i]);
		for (uint32_t k = 0; k < n; k++)
			buf[k] = byte_at(i, S_.wrote[i] + k);
		S_.wrote[i] += host_write(h, p, buf, n);
	} else if (!S_.fin[i]) {
		S_.fin[i] = true;
		tcp_shutdown(h->tcp, p->conn, SHUT_WR);
	}
	if (S_.path.greedy || chance(0.6)) {
		n = host_read(h, p, buf, S_.path.greedy ? sizeof(buf) : 1 + rnd() % sizeof(buf));
		for (uint32_t k = 0; k < n; k++)
			if (buf[k] != byte_at(!i, S_.read[i] + k))
				ck_abort_msg("side %u byte %llu", i, (unsigned long long)(S_.read[i] + k));
		S_.read[i] += n;
	}
}

static void check_conn(const struct tcp_conn *c)
{
	must(seq_le(c->snd_una, c->snd_nxt) && seq_le(c->snd_nxt, c->snd_max));
	must(c->rx_done <= c->rx_end);
	must(c->tx_acked <= c->tx_end);
	must(c->ooo.count <= OOO_RANGES);
	if (c->state >= TCP_ESTABLISHED)
		must(c->cc.cwnd >= c->mss);
}

static bool done(unsigned i)
{
	struct prog *p = S_.p[i];
	struct tcp_view v;

	if (p == NULL)
		return false;
	tcp_view(S_.h[i].tcp, p->conn, &v);
	return S_.read[i] == S_.want[!i] && v.fin && v.tx_acked == S_.want[i] && S_.fin[i] && v.closed;
}

static uint64_t next_time(void)
{
	uint64_t at = S_.now_us + 2000; /* the programs' own pace */

	for (unsigned i = 0; i < 2; i++)
		if (host_next(&S_.h[i]) < at)
			at = host_next(&S_.h[i]);
	for (unsigned i = 0; i < S_.airs; i++)
		if (S_.air[i].at_us < at)
			at = S_.air[i].at_us;
	return at > S_.now_us ? at : S_.now_us + 1;
}

/* Returns the time it took. */
static uint64_t run(uint64_t seed, struct path path, uint64_t bytes0, uint64_t bytes1, host_tweak tweak, uint64_t limit_s)
{
	uint64_t start;

	memset(&S_, 0, sizeof(S_));
	S_.rng = seed * 0x9e3779b97f4a7c15ull + 1;
	S_.path = path;
	S_.want[0] = bytes0;
	S_.want[1] = bytes1;
	host_start(&S_.h[0], 1, tweak);
	host_start(&S_.h[1], 2, tweak);
	S_.now_us = start = S_.h[0].now_us;
	host_listen(&S_.h[0], SERVER_PORT, 10);
	S_.p[1] = host_connect(&S_.h[1], &S_.h[0].net.addr, SERVER_PORT);
	while (!done(0) || !done(1)) {
		if (S_.now_us - start >= limit_s * 1000000)
			ck_abort_msg("seed %llu: too slow: %llu/%llu and %llu/%llu bytes", (unsigned long long)seed,
			             (unsigned long long)S_.read[0], (unsigned long long)bytes1,
			             (unsigned long long)S_.read[1], (unsigned long long)bytes0);
		deliver();
		for (unsigned i = 0; i < 2; i++) {
			program(i);
			S_.h[i].now_us = S_.now_us;
			tcp_expire(S_.h[i].tcp, S_.now_us);
			tcp_settle(S_.h[i].tcp, 1 + rnd() % 8, S_.now_us);
			collect(i);
			if (S_.p[i] != NULL)
				check_conn(S_.p[i]->conn);
		}
		S_.now_us = next_time();
		S_.h[0].now_us = S_.h[1].now_us = S_.now_us;
	}
	if (getenv("SIM_VERBOSE") != NULL)
		printf("seed %llu: %llu bytes in %.3f s, %llu+%llu rexmits, %llu+%llu RTO\n", (unsigned long long)seed,
		       (unsigned long long)(bytes0 + bytes1), (double)(S_.now_us - start) / 1e6,
		       (unsigned long long)S_.h[0].stats.n[CNT_TCP_REXMIT], (unsigned long long)S_.h[1].stats.n[CNT_TCP_REXMIT],
		       (unsigned long long)S_.h[0].stats.n[CNT_TCP_RTO], (unsigned long long)S_.h[1].stats.n[CNT_TCP_RTO]);
	for (unsigned i = 0; i < S_.airs; i++)
		nic_free(S_.air[i].pkt);
	for (unsigned i = 0; i < 2; i++) {
		host_close(&S_.h[i], S_.p[i], -1);
		host_stop(&S_.h[i]);
	}
	return S_.now_us - start;
}

static void all_options(struct tcp_conf *c)
{
	c->timestamps = c->sack = c->window_scaling = true;
}

static void no_sack(struct tcp_conf *c)
{
	c->timestamps = c->window_scaling = true;
}

static void reno(struct tcp_conf *c)
{
	c->congestion = CC_RENO;
}

static void small_buffers(struct tcp_conf *c)
{
	all_options(c);
	c->rcvbuf_initial = c->rcvbuf_max = 5000;
	c->sndbuf_initial = c->sndbuf_max = 7000;
}

static const struct {
	struct path path;
	host_tweak tweak;
	uint32_t bytes0, bytes1;
} cases[] = {
	{ { .delay_us = 100 }, NULL, 300000, 300000 },
	{ { .delay_us = 20000 }, all_options, 3000000, 1000 },
	{ { .loss = 0.01, .reorder = 0.05, .dup = 0.01, .delay_us = 10000, .jitter_us = 2000 }, all_options, 400000, 400000 },
	{ { .loss = 0.01, .reorder = 0.05, .dup = 0.01, .delay_us = 10000, .jitter_us = 2000 }, NULL, 300000, 300000 },
	{ { .loss = 0.05, .reorder = 0.1, .dup = 0.05, .delay_us = 3000, .jitter_us = 3000 }, no_sack, 150000, 150000 },
	{ { .loss = 0.2, .reorder = 0.2, .dup = 0.1, .delay_us = 1000, .jitter_us = 5000 }, all_options, 30000, 40000 },
	{ { .loss = 0.03, .delay_us = 5000 }, reno, 200000, 50000 },
	{ { .loss = 0.02, .reorder = 0.05, .dup = 0.02, .delay_us = 2000 }, small_buffers, 100000, 100000 },
};

START_TEST(test_bytes_survive)
{
	unsigned n = (unsigned)(sizeof(cases) / sizeof(cases[0]));
	unsigned seeds = getenv("SIM_SEEDS") != NULL ? (unsigned)atoi(getenv("SIM_SEEDS")) : 4;

	for (uint64_t seed = getenv("SIM_FROM") != NULL ? (uint64_t)atoi(getenv("SIM_FROM")) : 0; seed < seeds; seed++)
		run(seed * n + (unsigned)_i, cases[_i].path, cases[_i].bytes0, cases[_i].bytes1, cases[_i].tweak, 3600);
}
END_TEST

/* In virtual time: what one stream carries over 20 ms of round trip, in kB/s.  The floors are a little below what this code does;
 * an algorithm that loses its way falls far below. */
static const struct {
	double loss;
	host_tweak tweak;
	uint32_t floor;
} goodput[] = {
	{ 0, all_options, 10000 },
	{ 0.001, all_options, 1500 },
	{ 0.01, all_options, 500 },
	{ 0.01, no_sack, 400 },
	{ 0.05, all_options, 150 },
};

START_TEST(test_goodput)
{
	enum { BYTES = 10000000 };
	struct path path = { .loss = goodput[_i].loss, .delay_us = 10000, .greedy = true };
	uint32_t bytes = path.loss > 0.02 ? BYTES / 10 : BYTES;
	uint64_t us = run(99, path, 0, bytes, goodput[_i].tweak, 3600), rate = bytes * UINT64_C(1000) / us;

	if (getenv("SIM_VERBOSE") != NULL)
		printf("loss %.1f %%: %llu kB/s\n", 100 * path.loss, (unsigned long long)rate);
	ck_assert_uint_ge(rate, goodput[_i].floor);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_loop_test(tc, test_goodput, 0, (int)(sizeof(goodput) / sizeof(goodput[0])));
	tcase_add_loop_test(tc, test_bytes_survive, 0, (int)(sizeof(cases) / sizeof(cases[0])));
}

int main(void)
{
	return trace_main("tcp_sim", (void (*const[])(TCase *)){ add }, 1);
}
