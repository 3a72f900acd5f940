/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Two engines back to back over a path that loses, reorders, duplicates, delays and queues by a seeded generator, in virtual time, and
 * programs that write, read, pause and close at random.  Each byte that arrives is compared.  The same seed gives the same run.
 */
#ifndef TESTS_UNIT_TCP_SIM_H
#define TESTS_UNIT_TCP_SIM_H

#include "tests/unit/tcp_trace.h"

struct path {
	double loss, dup, reorder;
	uint32_t delay_us, jitter_us; /* one way */
	uint32_t rate, queue;         /* bytes a second, and bytes that wait for it in front of it; 0: no limit */
	bool greedy;                  /* the programs never pause */
};

/* Side 1 opens and sends bytes1, side 0 sends bytes0; both close.  Returns the virtual time it took, in us; more than limit_s aborts. */
uint64_t sim_run(uint64_t seed, struct path path, uint64_t bytes0, uint64_t bytes1, host_tweak tweak, uint64_t limit_s);

void sim_all_options(struct tcp_conf *c);
void sim_no_sack(struct tcp_conf *c);

#endif
