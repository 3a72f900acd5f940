/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The timing wheel of wheel.h.
 *
 * A timer less than 256 ticks away lies in level 0, in the slot of its tick.  One further away lies in the level whose
 * slot width first covers the distance and moves down when the wheel reaches the start of its slot.
 */
#include "stackd/wheel.h"

#include <string.h>

enum { SLOT_BITS = 8, SLOT_MASK = WHEEL_SLOTS - 1 };
#define DELTA_MAX 0xfe000000u /* no timer is further away: keeps the top level unambiguous */

static void place(struct wheel *w, struct timer *t);
static void unlink_timer(struct timer *t);
static void cascade(struct wheel *w);
static unsigned run_slot(struct wheel *w, unsigned budget, wheel_fn fn, void *arg);
static int next_busy(const struct wheel *w, unsigned level, unsigned from);
static uint64_t level_next(const struct wheel *w, unsigned level);

void wheel_init(struct wheel *w, uint64_t now_us)
{
	memset(w, 0, sizeof(*w));
	w->now_ms = now_us / 1000;
}

void wheel_start(struct wheel *w, struct timer *t, uint64_t at_us)
{
	uint64_t at = at_us / 1000 + (at_us % 1000 != 0);

	if (wheel_runs(t))
		unlink_timer(t);
	else
		w->count++;
	if (at < w->now_ms)
		at = w->now_ms;
	if (at - w->now_ms > DELTA_MAX)
		at = w->now_ms + DELTA_MAX;
	t->at_ms = (uint32_t)at;
	place(w, t);
}

void wheel_stop(struct wheel *w, struct timer *t)
{
	if (!wheel_runs(t))
		return;
	unlink_timer(t);
	w->count--;
}

unsigned wheel_expire(struct wheel *w, uint64_t now_us, unsigned budget, wheel_fn fn, void *arg)
{
	uint64_t upto = now_us / 1000;
	unsigned done = 0;

	while (w->now_ms <= upto) {
		int busy;

		if (w->count == 0) {
			w->now_ms = upto + 1;
			break;
		}
		if ((w->now_ms & SLOT_MASK) == 0)
			cascade(w);
		busy = next_busy(w, 0, w->now_ms & SLOT_MASK);
		if (busy < (int)(w->now_ms & SLOT_MASK)) { /* none before the next cascade */
			uint64_t edge = (w->now_ms | SLOT_MASK) + 1;

			w->now_ms = edge <= upto ? edge : upto + 1;
			continue;
		}
		w->now_ms += (unsigned)busy - (w->now_ms & SLOT_MASK);
		if (w->now_ms > upto) {
			w->now_ms = upto + 1;
			break;
		}
		if (done == budget)
			break;
		done += run_slot(w, budget - done, fn, arg);
	}
	return done;
}

uint64_t wheel_next_us(const struct wheel *w)
{
	uint64_t at = UINT64_MAX;

	for (unsigned level = 0; level < WHEEL_LEVELS && w->count > 0; level++) {
		uint64_t ms = level_next(w, level);

		at = ms < at ? ms : at;
	}
	return at == UINT64_MAX ? at : at * 1000;
}

/* Run the timers of tick now_ms, at most budget; leaves now_ms at the tick when some are left, else behind it.  What fn
 * starts for this very tick comes with the next one. */
static unsigned run_slot(struct wheel *w, unsigned budget, wheel_fn fn, void *arg)
{
	unsigned i = w->now_ms & SLOT_MASK, done = 0;
	uint32_t tick = (uint32_t)w->now_ms;
	struct timer *list = w->slot[0][i];

	list->prev = &list;
	w->slot[0][i] = NULL;
	w->busy[0][i / 64] &= ~(1ull << i % 64);
	w->now_ms++;
	while (list != NULL && done < budget) {
		struct timer *t = list;

		unlink_timer(t);
		if (t->at_ms != tick) { /* started while a budget held this tick back: a turn of the wheel later */
			place(w, t);
			continue;
		}
		w->count--;
		done++;
		fn(arg, t);
	}
	if (list == NULL)
		return done;
	w->now_ms--;
	while (list != NULL) {
		struct timer *t = list;

		unlink_timer(t);
		place(w, t);
	}
	return done;
}

static void place(struct wheel *w, struct timer *t)
{
	uint32_t delta = t->at_ms - (uint32_t)w->now_ms;
	unsigned level = 0, i;

	if (delta >= WHEEL_SLOTS)
		for (level = 1; level < WHEEL_LEVELS - 1 && delta >> (SLOT_BITS * (level + 1)) != 0;)
			level++;
	i = t->at_ms >> (SLOT_BITS * level) & SLOT_MASK;
	t->next = w->slot[level][i];
	t->prev = &w->slot[level][i];
	if (t->next != NULL)
		t->next->prev = &t->next;
	w->slot[level][i] = t;
	w->busy[level][i / 64] |= 1ull << i % 64;
}

static void unlink_timer(struct timer *t)
{
	*t->prev = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	t->next = NULL;
	t->prev = NULL;
}

/* now_ms is at the start of a level-1 slot, perhaps of higher ones too: their timers move down. */
static void cascade(struct wheel *w)
{
	for (unsigned level = 1; level < WHEEL_LEVELS; level++) {
		unsigned i = w->now_ms >> (SLOT_BITS * level) & SLOT_MASK;
		struct timer *list = w->slot[level][i];

		w->slot[level][i] = NULL;
		w->busy[level][i / 64] &= ~(1ull << i % 64);
		if (list != NULL)
			list->prev = &list;
		while (list != NULL) {
			struct timer *t = list;

			unlink_timer(t);
			place(w, t);
		}
		if (i != 0)
			break;
	}
}

/* The first slot not empty from `from` on, circularly; -1: none.  A stopped timer may leave its slot's bit set. */
static int next_busy(const struct wheel *w, unsigned level, unsigned from)
{
	for (unsigned n = 0; n < WHEEL_SLOTS; n++) {
		unsigned i = (from + n) & SLOT_MASK;
		uint64_t bits = w->busy[level][i / 64] >> i % 64;

		if (bits == 0) {
			n += 63 - i % 64;
			continue;
		}
		n += (unsigned)__builtin_ctzll(bits);
		i = (from + n) & SLOT_MASK;
		if (n < WHEEL_SLOTS && w->slot[level][i] != NULL)
			return (int)i;
	}
	return -1;
}

/* The start of the first slot of a level that holds a timer, in ticks. */
static uint64_t level_next(const struct wheel *w, unsigned level)
{
	unsigned shift = SLOT_BITS * level;
	uint64_t turn = w->now_ms >> shift;
	unsigned from = turn & SLOT_MASK;
	int busy;

	if (level > 0 && (w->now_ms & ((1ull << shift) - 1)) != 0)
		from = ++turn & SLOT_MASK; /* the slot we are in has been emptied; what is in it is a whole turn away */
	busy = next_busy(w, level, from);
	if (busy < 0)
		return UINT64_MAX;
	return (turn + (((unsigned)busy - from) & SLOT_MASK)) << shift;
}
