/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reno (RFC 5681) with byte counting (RFC 3465), and what both algorithms share.
 */
#include "stackd/tcp/cc.h"

static void reno_init(struct cc *cc);
static void reno_acked(struct cc *cc, const struct cc_ack *a);
static void reno_lost(struct cc *cc, uint32_t flight, uint32_t mss);

const struct cc_ops cc_reno = { "reno", reno_init, reno_acked, reno_lost, reno_lost };

const struct cc_ops *cc_ops(uint8_t name)
{
	return name == CC_RENO ? &cc_reno : &cc_cubic;
}

void cc_init(struct cc *cc, uint8_t name, uint32_t cwnd)
{
	*cc = (struct cc){ .cwnd = cwnd, .ssthresh = UINT32_MAX };
	cc_select(cc, name);
}

void cc_select(struct cc *cc, uint8_t name)
{
	cc->name = name;
	cc_ops(name)->init(cc);
}

static void reno_init(struct cc *cc)
{
	cc->acked = 0;
}

static void reno_acked(struct cc *cc, const struct cc_ack *a)
{
	if (!a->limited)
		return;
	if (cc_slow_start(cc)) {
		cc_grow(cc, a->bytes < a->most ? a->bytes : a->most);
		return;
	}
	cc->acked += a->bytes;
	if (cc->acked >= cc->cwnd) { /* one segment a round trip */
		cc->acked -= cc->cwnd;
		cc->cwnd += a->mss;
	}
}

static void reno_lost(struct cc *cc, uint32_t flight, uint32_t mss)
{
	cc->ssthresh = flight / 2 > 2 * mss ? flight / 2 : 2 * mss;
	cc->acked = 0;
}
