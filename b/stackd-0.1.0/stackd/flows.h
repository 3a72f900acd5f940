/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One engine's connections as operators see them: the flow records of the statistics segment.
 */
#ifndef STACKD_FLOWS_H
#define STACKD_FLOWS_H

#include "stackd/stat_seg.h"
#include "stackd/tcp/conn.h"

struct flows {
	struct stat_seg *seg;
	struct stat_engine *shown;
	unsigned engine;
};

void flows_init(struct flows *f, struct stat_seg *seg, unsigned engine);

/* A connection changed its state, appeared, or went (a tcp_state_fn body). */
void flows_state(struct flows *f, struct tcp_conn *c, enum tcp_state from, enum tcp_state to);

/* It has news for its program: bring the numbers up to date, at no more cost than a cache line. */
void flows_note(struct flows *f, struct tcp_conn *c);

#endif
