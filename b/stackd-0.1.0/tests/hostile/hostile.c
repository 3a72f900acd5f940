/* SPDX-License-Identifier: BSD-3-Clause
 *
 * hostile: a program that does all a client can do to harm stackd and its neighbours.  Being detached is what it expects;
 * it fails when stackd stalls, when a wrong is let pass that must not be, or when others cannot attach any more.  What it
 * did is said in one line each on stdout.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/hostile/foe.h"

struct foe_aim aim = { .addr = { .b = { [10] = 0xff, [11] = 0xff, [12] = 10, [13] = 9, [14] = 0, [15] = 2 } }, .port = 9 };

static const struct attack *const rooms[] = { memory_attacks, command_attacks, control_attacks, monitor_attacks };

static const char usage[] =
	"usage: hostile [--seed N] [--mode all|NAME] [--rounds N] [--target ADDR:PORT] [--list]\n"
	"Attacks the stackd behind $STACKD_SOCKET.  Exit status 0 when everything was carried out and stackd held.\n";

static unsigned run(const char *mode)
{
	unsigned n = 0;

	for (unsigned r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++) {
		for (const struct attack *a = rooms[r]; a->name != NULL; a++) {
			if (strcmp(mode, "all") != 0 && strcmp(mode, a->name) != 0)
				continue;
			a->run();
			fflush(stdout);
			n++;
		}
	}
	return n;
}

static void list(void)
{
	for (unsigned r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++) {
		for (const struct attack *a = rooms[r]; a->name != NULL; a++)
			puts(a->name);
	}
}

static int target(char *text)
{
	char *colon = strchr(text, ':');

	if (colon == NULL)
		return -1;
	*colon = '\0';
	aim.port = (uint16_t)atoi(colon + 1);
	return inet_pton(AF_INET, text, &aim.addr.b[12]) == 1 ? 0 : -1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "seed", 1, NULL, 's' },   { "mode", 1, NULL, 'm' }, { "rounds", 1, NULL, 'r' },
					       { "target", 1, NULL, 't' }, { "list", 0, NULL, 'l' }, { NULL, 0, NULL, 0 } };
	const char *mode = "all";
	unsigned rounds = 1;
	int o;

	aim.socket = getenv("STACKD_SOCKET");
	if (aim.socket == NULL)
		aim.socket = "/run/stackd/stackd.sock";
	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == 'l') {
			list();
			return EXIT_SUCCESS;
		} else if (o == 's') {
			aim.seed = strtoull(optarg, NULL, 0);
		} else if (o == 'm') {
			mode = optarg;
		} else if (o == 'r') {
			rounds = (unsigned)strtoul(optarg, NULL, 0);
		} else if (o != 't' || target(optarg) != 0) {
			fputs(usage, stderr);
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %ju\n", (uintmax_t)aim.seed);
	fflush(stdout);
	for (unsigned i = 0; i < rounds; i++) {
		if (run(mode) == 0) {
			fputs(usage, stderr);
			return 2;
		}
	}
	printf("%u failure%s\n", failures, failures == 1 ? "" : "s");
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
