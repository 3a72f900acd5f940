/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Timers of one engine: a hierarchical wheel, one tick a millisecond, four levels of 256 slots (49 days).
 *
 * Starting, stopping and moving a timer is O(1); expiring costs the timers that expire plus, now and then, a slot's
 * cascade.  Timers live in their users' structs.  One thread.
 */
#ifndef STACKD_WHEEL_H
#define STACKD_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

struct timer {
	struct timer *next, **prev; /* prev NULL: not running */
	uint32_t at_ms;             /* when, modulo 2^32 */
	uint32_t kind;              /* the user's */
};

enum { WHEEL_LEVELS = 4, WHEEL_SLOTS = 256 };

struct wheel {
	uint64_t now_ms; /* the next tick to expire */
	uint32_t count;  /* timers running */
	struct timer *slot[WHEEL_LEVELS][WHEEL_SLOTS];
	uint64_t busy[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* which slots are not empty */
};

typedef void (*wheel_fn)(void *arg, struct timer *t);

void wheel_init(struct wheel *w, uint64_t now_us);

/* Run t at at_us (rounded up to the tick, never earlier); moves it when it runs already. */
void wheel_start(struct wheel *w, struct timer *t, uint64_t at_us);
void wheel_stop(struct wheel *w, struct timer *t); /* harmless when it does not run */

static inline bool wheel_runs(const struct timer *t)
{
	return t->prev != 0;
}

/* Call fn for every timer due at now_us, each stopped first (fn may start it again, or stop others). At most `budget`; what is
 * left comes with the next call. */
unsigned wheel_expire(struct wheel *w, uint64_t now_us, unsigned budget, wheel_fn fn, void *arg);

/* A time before which no timer is due; UINT64_MAX without timers. */
uint64_t wheel_next_us(const struct wheel *w);

#endif
