/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What one greedy stream carries over a path of 100 Mbit/s, by loss, round trip and the queue in front of it, in virtual time.
 *
 * tests/tcp/goodput.table is what this code did when the table was written; a path that now carries less than MARGIN percent of that
 * fails.  Each figure is the total of several seeds, since with random loss a single run says little.  The same code gives the same
 * figures everywhere.
 *
 *	goodput            compares with the table, prints those that fell
 *	goodput -w         prints a new table
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tcp_sim.h"

enum { MARGIN = 80, SEEDS = 3, RATE = 12500000, NAME = 32 };

static void reno(struct tcp_conf *c)
{
	sim_all_options(c);
	c->congestion = CC_RENO;
}

static const struct {
	const char *name;
	host_tweak tweak;
} kinds[] = { { "cubic", sim_all_options }, { "cubic-nosack", sim_no_sack }, { "reno", reno } };

static const struct {
	const char *name;
	double loss;
} losses[] = { { "0", 0 }, { "0.1", 0.001 }, { "1", 0.01 }, { "3", 0.03 } };

static const uint32_t rtts_ms[] = { 2, 20, 100 };
static const uint32_t queues_kb[] = { 32, 256 };

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* kB/s */
static unsigned measure(unsigned kind, unsigned loss, unsigned rtt, unsigned queue)
{
	struct path p = { .loss = losses[loss].loss, .delay_us = rtts_ms[rtt] * 500, .rate = RATE, .queue = queues_kb[queue] << 10,
		          .greedy = true };
	uint64_t bytes = losses[loss].loss > 0.005 ? 600000 : 3000000, us = 0;
	unsigned seeds = losses[loss].loss > 0 ? SEEDS : 1;

	for (unsigned seed = 0; seed < seeds; seed++)
		us += sim_run(1000 * seed + 7, p, 0, bytes, kinds[kind].tweak, 3600);
	return (unsigned)(seeds * bytes * 1000 / us);
}

/* What the table says; 0: nothing. */
static unsigned expected(const char *name)
{
	const char *dir = getenv("srcdir");
	char path[512], line[128], key[NAME];
	unsigned value = 0, found;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/tcp/goodput.table", dir != NULL ? dir : ".");
	f = fopen(path, "r");
	if (f == NULL) {
		perror(path);
		exit(99);
	}
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%31s %u", key, &found) == 2 && strcmp(key, name) == 0)
			value = found;
	fclose(f);
	return value;
}

int main(int argc, char **argv)
{
	bool write = argc > 1 && strcmp(argv[1], "-w") == 0;
	unsigned bad = 0;

	if (write)
		printf("# kind/loss in percent/round trip in ms/queue in KiB, kB/s; tests/tcp/goodput -w\n");
	for (unsigned i = 0; i < COUNT_OF(kinds) * COUNT_OF(losses) * COUNT_OF(rtts_ms) * COUNT_OF(queues_kb); i++) {
		unsigned queue = i % 2, rtt = i / 2 % 3, loss = i / 6 % 4, kind = i / 24, now, then;
		char name[NAME];

		if (kind > 0 && queue == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s/%u/%u", kinds[kind].name, losses[loss].name, rtts_ms[rtt], queues_kb[queue]);
		now = measure(kind, loss, rtt, queue);
		if (write) {
			printf("%s %u\n", name, now);
			continue;
		}
		then = expected(name);
		if (then != 0 && now * 100 >= then * (uint64_t)MARGIN)
			continue;
		printf("%s: %u kB/s, the table says %u\n", name, now, then);
		bad++;
	}
	return bad != 0;
}
