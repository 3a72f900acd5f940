/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackctl: options, then one command.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "stackctl/stackctl.h"

static const char usage[] =
	"usage: stackctl [-s SOCKET] [--json] COMMAND [OPTION...]\n"
	"  apps [--all]              programs; --all: those that have gone, too (--json: always)\n"
	"  flows [--app ID] [--state STATE] [--engine N] [--limit N]\n"
	"                            connections\n"
	"  listeners [--app ID] [--all]\n"
	"                            ports on which programs wait; --all: those bound only, too\n"
	"  monitors [--all]          programs that monitor, and what those of equal scope share; --all: those\n"
	"                            that have gone, too, and what is for inline monitors only\n"
	"  ports [--all]             network ports; --all: with counters that are zero\n"
	"  stats [--all] [--engine N] [--watch SECONDS [--count N]]\n"
	"                            counters; --all: those that are zero, too; --watch: differences\n"
	"  detach ID                 detach a program and reset its connections\n"
	"  fault ID CAUSE TIMES      decide the next TIMES packets that would be held for a monitor as if CAUSE had\n"
	"                            come: ring, deadline, death, budget, nonsense, breaker; 0: no more\n"
	"  -s, --socket SOCKET       stackd's control socket [/run/stackd/stackd.sock, or $STACKD_SOCKET]\n"
	"  -j, --json                for programs\n"
	"  -V, --version             print the version, and exit\n"
	"  -h, --help                print this\n";

void complain(const char *fmt, ...)
{
	va_list ap;

	fputs("stackctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* A whole number in [0, max]; ends stackctl when it is none. */
static unsigned long number(const char *option, const char *text, unsigned long max)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v > max) {
		complain("%s: \"%s\" is not a number from 0 to %lu", option, text, max);
		exit(EXIT_USAGE);
	}
	return v;
}

static double seconds(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v >= 0.01 && v <= 86400)) {
		complain("--watch: \"%s\" is not a number of seconds from 0.01 to 86400", text);
		exit(EXIT_USAGE);
	}
	return v;
}

static int state(const char *text)
{
	int v = state_number(text);

	if (v < 0) {
		complain("--state: \"%s\" is no state of TCP, like established or time-wait", text);
		exit(EXIT_USAGE);
	}
	return v;
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
		{ "all", no_argument, NULL, 'a' },          { "app", required_argument, NULL, 'p' },
		{ "engine", required_argument, NULL, 'e' }, { "state", required_argument, NULL, 't' },
		{ "limit", required_argument, NULL, 'l' },  { "watch", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'n' },  { "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "s:jaVh", longs, NULL)) != -1) {
		switch (c) {
		case 's': o->socket = optarg; break;
		case 'j': o->json = true; break;
		case 'a': o->all = true; break;
		case 'p': o->app = (int)number("--app", optarg, 0x7fffffff); break;
		case 'e': o->engine = (int)number("--engine", optarg, SHM_ENGINES_MAX - 1); break;
		case 't': o->state = state(optarg); break;
		case 'l': o->limit = number("--limit", optarg, 1000000000); break;
		case 'w': o->watch_s = seconds(optarg); break;
		case 'n': o->count = number("--count", optarg, 1000000000); break;
		case 'V': printf("stackctl %s\n", STACKD_VERSION); exit(EXIT_SUCCESS);
		case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
		default: fputs(usage, stderr); exit(EXIT_USAGE);
		}
	}
}

static int run(struct attached *a, const struct options *o, char **argv)
{
	static const struct {
		const char *name;
		int (*show)(const struct segment *s, const struct options *o, FILE *f);
	} cmd[] = {
		{ "apps", cmd_apps }, { "flows", cmd_flows }, { "listeners", cmd_listeners },
		{ "monitors", cmd_monitors }, { "ports", cmd_ports },
	};
	int rc;

	if (strcmp(argv[0], "detach") == 0)
		return attach_detach(a, (unsigned)number("detach", argv[1], 0xffffffff));
	if (strcmp(argv[0], "fault") == 0)
		return attach_fault(a, (unsigned)number("fault", argv[1], 0xffffffff), (unsigned)cause_number(argv[2]),
				    (unsigned)number("fault", argv[3], 0xffffffff));
	rc = attach_refresh(a);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < sizeof(cmd) / sizeof(cmd[0]); i++)
		if (strcmp(argv[0], cmd[i].name) == 0)
			return cmd[i].show(&a->seg, o, stdout);
	return cmd_stats(a, o, stdout);
}

static bool is_fault(int argc, char **argv)
{
	if (argc != 4)
		complain("fault wants an ID, as stackctl monitors shows it, a cause, and a number of packets");
	else if (cause_number(argv[2]) < 0)
		complain("fault: \"%s\" is none of ring, deadline, death, budget, nonsense, breaker", argv[2]);
	return argc == 4 && cause_number(argv[2]) >= 0;
}

/* Is it a command, with as many arguments as it takes?  Complains if not. */
static bool is_command(int argc, char **argv)
{
	static const char *const name[] = { "apps", "flows", "listeners", "monitors", "ports", "stats" };

	if (argc == 0) {
		fputs(usage, stderr);
		return false;
	}
	if (strcmp(argv[0], "detach") == 0) {
		if (argc != 2)
			complain("detach wants one ID, as stackctl apps shows it");
		return argc == 2;
	}
	if (strcmp(argv[0], "fault") == 0)
		return is_fault(argc, argv);
	for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		if (strcmp(argv[0], name[i]) != 0)
			continue;
		if (argc != 1)
			complain("%s: what is \"%s\"? it takes options only", argv[0], argv[1]);
		return argc == 1;
	}
	complain("there is no command \"%s\"; stackctl --help shows them", argv[0]);
	return false;
}

/* Are all options for this command?  One that is passed over in silence would mislead.  Complains if not. */
static bool options_fit(const char *command, const struct options *o)
{
	const struct {
		const char *name, *commands;
		bool given;
	} option[] = {
		{ "--app", "flows and listeners", o->app >= 0 },    { "--engine", "flows and stats", o->engine >= 0 },
		{ "--state", "flows", o->state >= 0 },              { "--limit", "flows", o->limit > 0 },
		{ "--watch", "stats", o->watch_s > 0 },             { "--count", "stats --watch", o->count > 0 },
	};

	for (unsigned i = 0; i < sizeof(option) / sizeof(option[0]); i++) {
		if (option[i].given && strstr(option[i].commands, command) == NULL) {
			complain("%s: is for %s, not for %s", option[i].name, option[i].commands, command);
			return false;
		}
	}
	if (o->count > 0 && o->watch_s <= 0)
		complain("--count: wants --watch");
	return o->count == 0 || o->watch_s > 0;
}

int main(int argc, char **argv)
{
	const char *socket = getenv("STACKD_SOCKET");
	struct options o = {
		.socket = socket != NULL ? socket : "/run/stackd/stackd.sock",
		.app = -1,
		.engine = -1,
		.state = -1,
	};
	struct attached a;
	int rc;

	signal(SIGPIPE, SIG_IGN); /* stackd's end and stdout's: both are told by errno */
	read_options(&o, argc, argv);
	argv += optind;
	if (!is_command(argc - optind, argv) || !options_fit(argv[0], &o))
		return EXIT_USAGE;
	rc = attach_open(&a, o.socket);
	if (rc != 0)
		return rc;
	rc = run(&a, &o, argv);
	attach_close(&a);
	return rc;
}
