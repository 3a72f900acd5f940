/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackctl: the operator's tool.  main.c reads the options and attaches; one .c per command family does the rest.
 */
#ifndef STACKCTL_STACKCTL_H
#define STACKCTL_STACKCTL_H

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "stackctl/segment.h"

enum {
	EXIT_FAILED = 1,      /* it could not be done, stderr says why */
	EXIT_USAGE = 2,       /* stackctl was called wrongly */
	EXIT_NOT_RUNNING = 3, /* no stackd answers */
	EXIT_REFUSED = 4,     /* stackd answers that this user may not */
};

struct options {
	const char *socket;
	bool json, all;
	int app;    /* flows: of this program only; -1: all */
	int engine; /* flows, stats: of this engine only; -1: all */
	int state;  /* flows: in this state only; -1: all */
	unsigned long limit;   /* flows: no more than this; 0: all */
	double watch_s;        /* stats: 0: once */
	unsigned long count;   /* stats: end after so many differences; 0: never */
};

/* An attached operator. */
struct attached {
	int sock;
	struct segment seg;
};

/* Say what went wrong on stderr, after the program's name. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Attach to stackd.  0 or an exit status, after a complaint. */
int attach_open(struct attached *a, const char *socket);

/* Have stackd bring its statistics up to date, and map them if they are not yet.  0 or an exit status. */
int attach_refresh(struct attached *a);

/* Have stackd detach a program.  0 or an exit status. */
int attach_detach(struct attached *a, unsigned app);

/* Have the next packets that are held for a monitor decided as if `cause` had come.  0 or an exit status. */
int attach_fault(struct attached *a, unsigned app, unsigned cause, unsigned times);

void attach_close(struct attached *a);

/* The commands print to f.  0 or an exit status. */
int cmd_apps(const struct segment *s, const struct options *o, FILE *f);
int cmd_listeners(const struct segment *s, const struct options *o, FILE *f);
int cmd_flows(const struct segment *s, const struct options *o, FILE *f);
int cmd_monitors(const struct segment *s, const struct options *o, FILE *f);
int cmd_ports(const struct segment *s, const struct options *o, FILE *f);
int cmd_stats(struct attached *a, const struct options *o, FILE *f);

/* Microseconds of CLOCK_MONOTONIC, the clock of the segment. */
static inline uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Number of a state's RFC 9293 name ("established", "FIN-WAIT-1"), or -1. */
int state_number(const char *name);

/* Number of a cause (enum mon_cause), or -1. */
int cause_number(const char *name);

/* A user's name, or its number. */
const char *user_name(uint32_t uid, char *text, size_t size);
const char *app_state_name(uint32_t state);

/* An address as people write it, "10.9.0.1", "[fd00::1]", "[fe80::1%1]", "*" for ::; JSON has no brackets.  text has room for ADDRESS_TEXT bytes. */
enum { ADDRESS_TEXT = 64 };
const char *address_text(const struct ipaddr *a, bool json, char *text);

/* One view of all counters, for stats. */
struct counters {
	unsigned engines, counters;
	uint64_t *n; /* [engine * counters + counter] */
	uint64_t when_us;
};
int counters_take(struct counters *c, const struct segment *s);
void counters_free(struct counters *c);

/* Print c; since is an earlier view, whose numbers are subtracted, or NULL. */
int counters_print(const struct segment *s, const struct options *o, const struct counters *c, const struct counters *since,
                   FILE *f);

#endif
