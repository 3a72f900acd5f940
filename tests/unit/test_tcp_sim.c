/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Over a bad path every byte arrives, once, in order, and nothing is left behind.
 */
#include <stdlib.h>

#include "tests/unit/tcp_sim.h"

static void reno(struct tcp_conf *c)
{
	c->congestion = CC_RENO;
}

static void small_buffers(struct tcp_conf *c)
{
	sim_all_options(c);
	c->rcvbuf_initial = c->rcvbuf_max = 5000;
	c->sndbuf_initial = c->sndbuf_max = 7000;
}

static const struct {
	struct path path;
	host_tweak tweak;
	uint32_t bytes0, bytes1;
} cases[] = {
	{ { .delay_us = 100 }, NULL, 300000, 300000 },
	{ { .delay_us = 20000 }, sim_all_options, 3000000, 1000 },
	{ { .loss = 0.01, .reorder = 0.05, .dup = 0.01, .delay_us = 10000, .jitter_us = 2000 }, sim_all_options, 400000, 400000 },
	{ { .loss = 0.01, .reorder = 0.05, .dup = 0.01, .delay_us = 10000, .jitter_us = 2000 }, NULL, 300000, 300000 },
	{ { .loss = 0.05, .reorder = 0.1, .dup = 0.05, .delay_us = 3000, .jitter_us = 3000 }, sim_no_sack, 150000, 150000 },
	{ { .loss = 0.2, .reorder = 0.2, .dup = 0.1, .delay_us = 1000, .jitter_us = 5000 }, sim_all_options, 30000, 40000 },
	{ { .loss = 0.03, .delay_us = 5000 }, reno, 200000, 50000 },
	{ { .loss = 0.02, .reorder = 0.05, .dup = 0.02, .delay_us = 2000 }, small_buffers, 100000, 100000 },
};

START_TEST(test_bytes_survive)
{
	unsigned n = (unsigned)(sizeof(cases) / sizeof(cases[0]));
	unsigned seeds = getenv("SIM_SEEDS") != NULL ? (unsigned)atoi(getenv("SIM_SEEDS")) : 4;

	for (uint64_t seed = getenv("SIM_FROM") != NULL ? (uint64_t)atoi(getenv("SIM_FROM")) : 0; seed < seeds; seed++)
		sim_run(seed * n + (unsigned)_i, cases[_i].path, cases[_i].bytes0, cases[_i].bytes1, cases[_i].tweak, 3600);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_loop_test(tc, test_bytes_survive, 0, (int)(sizeof(cases) / sizeof(cases[0])));
}

int main(void)
{
	return trace_main("tcp_sim", (void (*const[])(TCase *)){ add }, 1);
}
