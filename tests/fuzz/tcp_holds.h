/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What must hold of TCP whatever peers, programs and the clock do.  fuzz_tcp calls these; what does not hold ends the process.
 */
#ifndef TESTS_FUZZ_TCP_HOLDS_H
#define TESTS_FUZZ_TCP_HOLDS_H

#include "tests/unit/tcp_trace.h"

void holds_begin(struct host *h); /* a new engine */
void holds_new(const struct tcp_conn *c); /* its state has changed for the first time, or its window is known now */
void holds_offer(const struct tcp_conn *c, uint32_t ack, uint32_t wnd); /* the window that the handshake has brought */
void holds_taken(const struct pkt *p); /* before a segment of a peer is taken */
void holds_sent(const struct pkt *p);   /* of each segment that was sent */
void holds_conns(void);                 /* of all connections, after a turn */

/* Nobody says anything for hours: what waits for a peer ends, and nothing spins. */
void holds_in_silence(void);

/* The byte that belongs at a place of either stream. */
static inline uint8_t byte_of(uint32_t seq)
{
	return (uint8_t)(seq * 2654435761u >> 24);
}

#endif
