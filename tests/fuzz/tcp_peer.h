/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What peers send to the engine that fuzz_tcp tortures.
 */
#ifndef TESTS_FUZZ_TCP_PEER_H
#define TESTS_FUZZ_TCP_PEER_H

#include "tests/unit/tcp_trace.h"

extern struct host H;      /* the engine */
uint32_t rnd(uint32_t n);  /* below n, of the input */

void peer_begin(void);     /* a new engine */
void peer_segment(void);   /* to a connection, or to none */
void peer_cookie(void);    /* the last cookie comes back */
void peer_icmp(void);      /* an error about a segment of ours */
void peer_hears(const struct pkt *p); /* of each segment that was sent */

#endif
