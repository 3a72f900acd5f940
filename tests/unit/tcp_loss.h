/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the traces about losses share: a connection with full segments in flight and a round trip of 20 ms.
 */
#ifndef TESTS_UNIT_TCP_LOSS_H
#define TESTS_UNIT_TCP_LOSS_H

#include "tests/unit/tcp_trace.h"

enum { MSS = 1460 };
#define SEGNO(n) ((n) * MSS + 1)
#define ACK_OF(n) send(A, .seq = 1, .ack = SEGNO(n))
#define SACK_OF(n, a, b) send(A, .seq = 1, .ack = SEGNO(n), .sacks = 1, .sack = { { SEGNO(a), SEGNO(b) } })

static inline void drain(void)
{
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
}

static inline unsigned sack_ranges(void)
{
	return T.conn->flight != NULL ? T.conn->flight->ranges.count : 0;
}

/* The peer's SYN has these options; ours are allowed. */
static inline void handshake(struct seg syn)
{
	trace_begin(NULL);
	T.h.tcp->conf.sack = T.h.tcp->conf.timestamps = true;
	host_listen(&T.h, SERVER_PORT, 10);
	T.peer_ts = syn.ts_val;
	syn.flags = S;
	syn.wnd = -1;
	trace_send(syn);
	expect(S | A);
	tick(20);
	send(A, .seq = 1, .ack = 1);
}

/* Segments 0 to n - 1 are in flight, sent 20 ms ago; `more` others wait. */
static inline void in_flight(struct seg syn, unsigned n, unsigned more)
{
	handshake(syn);
	T.h.tcp->conf.initial_cwnd = 10;
	T.conn->cc.cwnd = n * MSS;
	put((n + more) * MSS);
	for (unsigned i = 0; i < n; i++)
		expect(A, .seq = SEGNO(i), .len = MSS);
	expect_none();
	tick(20);
}

#define WITH_SACK ((struct seg){ .mss = MSS, .sack_ok = 1 })
#define WITHOUT_SACK ((struct seg){ .mss = MSS })

#endif
