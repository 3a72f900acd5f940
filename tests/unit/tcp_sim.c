/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The simulation of tcp_sim.h.
 */
#include "tests/unit/tcp_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { FLIGHT_MAX = 4096 };

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
	uint64_t busy_ns[2]; /* the path towards this side is busy until then */
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

/* When a frame has left the queue in front of the path; 0: it finds that full. */
static uint64_t queued(unsigned to, uint32_t len)
{
	uint64_t now_ns = S_.now_us * 1000, *busy_ns = &S_.busy_ns[to];

	if (S_.path.rate == 0)
		return S_.now_us;
	if (*busy_ns < now_ns)
		*busy_ns = now_ns;
	if ((*busy_ns - now_ns) * S_.path.rate / 1000000000 + len > S_.path.queue)
		return 0;
	*busy_ns += len * UINT64_C(1000000000) / S_.path.rate;
	return *busy_ns / 1000;
}

static void fly(unsigned to, struct pkt *p)
{
	uint64_t at = queued(to, p->len);

	if (at == 0) {
		nic_free(p);
		return;
	}
	at += S_.path.delay_us + (S_.path.jitter_us != 0 ? rnd() % S_.path.jitter_us : 0);

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

uint64_t sim_run(uint64_t seed, struct path path, uint64_t bytes0, uint64_t bytes1, host_tweak tweak, uint64_t limit_s)
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

void sim_all_options(struct tcp_conf *c)
{
	c->timestamps = c->sack = c->window_scaling = true;
}

void sim_no_sack(struct tcp_conf *c)
{
	c->timestamps = c->window_scaling = true;
}
