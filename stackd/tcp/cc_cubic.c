/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406).  Names and section numbers are theirs.
 *
 * Integer arithmetic: windows in bytes, time in milliseconds.  C = 0.4 segments/s^3, beta = 0.7.
 */
#include "stackd/tcp/cc.h"

enum {
	MIN_RTT_THRESH_US = 4000, /* RFC 9406, 4.3 */
	MAX_RTT_THRESH_US = 16000,
	MIN_RTT_DIVISOR = 8,
	N_RTT_SAMPLE = 8,
	CSS_GROWTH_DIVISOR = 4,
	CSS_ROUNDS = 5,
	T_MAX_MS = 1000000, /* no epoch matters longer: keeps the cube in 64 bits */
};

static void cubic_init(struct cc *cc);
static void cubic_acked(struct cc *cc, const struct cc_ack *a);
static void cubic_lost(struct cc *cc, uint32_t flight, uint32_t mss);
static void hystart(struct cc *cc, const struct cc_ack *a);
static void start_epoch(struct cc *cc, const struct cc_ack *a);
static uint64_t w_cubic(const struct cc *cc, uint64_t t_ms, uint32_t mss);
static uint32_t cube_root(uint64_t x);

const struct cc_ops cc_cubic = { "cubic", cubic_init, cubic_acked, cubic_lost, cubic_lost };

static void cubic_init(struct cc *cc)
{
	cc->epoch_us = 0;
	cc->w_max = 0;
	cc->acked = 0;
	cc->css_rounds = cc->samples = 0;
	cc->round_rtt_us = cc->last_rtt_us = UINT32_MAX;
	cc->round_end = 0;
}

static void cubic_acked(struct cc *cc, const struct cc_ack *a)
{
	uint32_t rtt_us = a->srtt_us, target;
	uint64_t t_ms, want;

	if (cc_slow_start(cc)) {
		uint32_t grow = a->bytes < a->most ? a->bytes : a->most;

		hystart(cc, a);
		if (cc->css_rounds > 0)
			grow /= CSS_GROWTH_DIVISOR;
		if (a->limited)
			cc_grow(cc, grow);
		return;
	}
	if (!a->limited) {
		cc->epoch_us = 0; /* 5.8: time spent idle must not count */
		return;
	}
	if (cc->epoch_us == 0)
		start_epoch(cc, a);
	t_ms = (a->now_us - cc->epoch_us) / 1000;

	/* 4.3: alpha is 3*(1-beta)/(1+beta) = 9/17 until w_est has reached the window before the loss */
	cc->acked += a->bytes;
	cc->w_est_rest += (uint64_t)a->bytes * a->mss * (cc->w_est < cc->w_max ? 9 : 17);
	cc->w_est += (uint32_t)(cc->w_est_rest / (17 * (uint64_t)cc->cwnd));
	cc->w_est_rest %= 17 * (uint64_t)cc->cwnd;

	want = w_cubic(cc, t_ms + rtt_us / 1000, a->mss);
	if (w_cubic(cc, t_ms, a->mss) < cc->w_est) {
		if (cc->cwnd < cc->w_est)
			cc->cwnd = cc->w_est;
		return;
	}
	target = want < cc->cwnd ? cc->cwnd :                               /* 4.2 */
	         want > cc->cwnd + cc->cwnd / 2u ? cc->cwnd + cc->cwnd / 2u : (uint32_t)want;
	/* (target - cwnd) / cwnd for each byte acknowledged; the remainder stays in acked */
	if (cc->acked > cc->cwnd)
		cc->acked = cc->cwnd; /* gathered on the plateau: no leap beyond the target */
	want = (uint64_t)(target - cc->cwnd) * cc->acked / cc->cwnd;
	if (want > 0) {
		cc->acked -= (uint32_t)(want * cc->cwnd / (target - cc->cwnd));
		cc->cwnd += (uint32_t)want;
	}
}

/* 4.6, 4.7 */
static void cubic_lost(struct cc *cc, uint32_t flight, uint32_t mss)
{
	uint32_t base = flight < cc->cwnd ? flight : cc->cwnd;
	uint32_t ssthresh = (uint32_t)((uint64_t)base * 7 / 10);

	cc->w_max = cc->cwnd < cc->w_max ? (uint32_t)((uint64_t)cc->cwnd * 17 / 20) : cc->cwnd;
	cc->ssthresh = ssthresh > 2 * mss ? ssthresh : 2 * mss;
	cc->epoch_us = 0;
	cc->acked = 0;
	cc->css_rounds = 0;
}

/* RFC 9406, 4.2: leave slow start when the round trip grows, by way of a slower one that can be taken back. */
static void hystart(struct cc *cc, const struct cc_ack *a)
{
	uint32_t thresh;

	if ((int32_t)(a->una - cc->round_end) >= 0 || cc->round_end == 0) { /* a new round */
		cc->last_rtt_us = cc->round_rtt_us;
		cc->round_rtt_us = UINT32_MAX;
		cc->samples = 0;
		cc->round_end = a->nxt;
		if (cc->css_rounds > 0 && ++cc->css_rounds > CSS_ROUNDS)
			cc->ssthresh = cc->cwnd;
	}
	if (a->rtt_us == 0)
		return;
	if (a->rtt_us < cc->round_rtt_us)
		cc->round_rtt_us = a->rtt_us;
	if (cc->samples < N_RTT_SAMPLE)
		cc->samples++;
	if (cc->samples < N_RTT_SAMPLE || cc->last_rtt_us == UINT32_MAX)
		return;
	if (cc->css_rounds > 0) {
		if (cc->round_rtt_us < cc->css_base_us)
			cc->css_rounds = 0; /* it was jitter */
		return;
	}
	thresh = cc->last_rtt_us / MIN_RTT_DIVISOR;
	thresh = thresh < MIN_RTT_THRESH_US ? MIN_RTT_THRESH_US : thresh > MAX_RTT_THRESH_US ? MAX_RTT_THRESH_US : thresh;
	if (cc->round_rtt_us >= cc->last_rtt_us + thresh) {
		cc->css_base_us = cc->round_rtt_us;
		cc->css_rounds = 1;
	}
}

/* 4.2: K = cbrt((W_max - cwnd_epoch) / C), in ms: cbrt(segments * 2.5 * 10^9) */
static void start_epoch(struct cc *cc, const struct cc_ack *a)
{
	cc->epoch_us = a->now_us;
	cc->epoch_cwnd = cc->cwnd;
	cc->w_est = cc->cwnd;
	cc->w_est_rest = 0;
	cc->acked = 0;
	if (cc->w_max <= cc->cwnd) {
		cc->w_max = cc->cwnd;
		cc->k_ms = 0;
		return;
	}
	cc->k_ms = cube_root((uint64_t)(cc->w_max - cc->cwnd) * 2500000000ull / a->mss);
}

/* Figure 1: C * (t - K)^3 + W_max, bytes */
static uint64_t w_cubic(const struct cc *cc, uint64_t t_ms, uint32_t mss)
{
	uint64_t d, grow;
	bool below = t_ms < cc->k_ms;

	t_ms = t_ms > T_MAX_MS ? T_MAX_MS : t_ms;
	d = below ? cc->k_ms - t_ms : t_ms - cc->k_ms;
	d = d > T_MAX_MS ? T_MAX_MS : d;
	grow = d * d * d / 2500000; /* thousandths of a segment, at most 4*10^11 */
	grow = grow * mss / 1000;
	if (below)
		return grow < cc->w_max ? cc->w_max - grow : 0;
	return cc->w_max + grow;
}

static uint32_t cube_root(uint64_t x)
{
	uint64_t root = 0;

	for (int bit = 20; bit >= 0; bit--) {
		uint64_t r = root | 1ull << bit;

		if (r * r * r <= x)
			root = r;
	}
	return (uint32_t)root;
}
