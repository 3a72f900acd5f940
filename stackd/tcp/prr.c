/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Proportional rate reduction, RFC 6937: how much may be sent for each acknowledgement of a fast recovery, so that cwnd comes down
 * to ssthresh within a round trip, neither at once nor in a burst.  The names are the RFC's.
 */
#include "stackd/tcp/priv.h"

void prr_begin(struct tcp_conn *c)
{
	c->flight->prr_delivered = c->flight->prr_out = 0;
	c->flight->recover_fs = c->snd_nxt - c->snd_una;
}

/* careful: the reduction bound is the conservative one (PRR-CRB), since more was lost or nothing got through; else it is PRR-SSRB. */
void prr_ack(struct tcp_conn *c, uint32_t delivered, bool careful)
{
	struct flight *f = c->flight;
	uint32_t pipe = flight_pipe(f), ssthresh = c->cc.ssthresh, sndcnt, unused;

	f->prr_delivered += delivered;
	unused = f->prr_delivered > f->prr_out ? f->prr_delivered - f->prr_out : 0;
	if (pipe > ssthresh && f->recover_fs > 0) {
		uint64_t due = ((uint64_t)f->prr_delivered * ssthresh + f->recover_fs - 1) / f->recover_fs;

		sndcnt = due > f->prr_out ? (uint32_t)(due - f->prr_out) : 0;
	} else {
		uint32_t limit = careful ? unused : (unused > delivered ? unused : delivered) + c->mss;
		uint32_t gap = ssthresh > pipe ? ssthresh - pipe : 0;

		sndcnt = gap < limit ? gap : limit;
	}
	if ((f->prr_out == 0 || pipe == 0) && sndcnt < c->mss) /* the fast retransmission itself; and never a standstill */
		sndcnt = c->mss;
	c->cc.cwnd = pipe + sndcnt > c->mss ? pipe + sndcnt : c->mss;
}
