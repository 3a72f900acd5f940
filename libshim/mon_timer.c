/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Timers: one-shot, on the callback thread, in the order they are due; of those due at once the one set first.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "libshim/mon.h"

static bool before(const struct mon_timer *a, const struct mon_timer *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->no < b->no;
}

static void swap(struct shim_mon *mon, uint32_t a, uint32_t b)
{
	struct mon_timer t = mon->timer[a];

	mon->timer[a] = mon->timer[b];
	mon->timer[b] = t;
}

static void publish_due(struct shim_mon *mon)
{
	atomic_store(&mon->timer_due, mon->timers > 0 ? mon->timer[0].due_us : UINT64_MAX);
}

static int heap_put(struct shim_mon *mon, const struct mon_timer *t)
{
	uint32_t i;

	if (mon->timers == mon->timer_cap) {
		uint32_t cap = mon->timer_cap == 0 ? 16 : mon->timer_cap * 2;
		struct mon_timer *p = realloc(mon->timer, cap * sizeof(*p));

		if (p == NULL)
			return -ENOMEM;
		mon->timer = p;
		mon->timer_cap = cap;
	}
	i = mon->timers++;
	mon->timer[i] = *t;
	for (; i > 0 && before(&mon->timer[i], &mon->timer[(i - 1) / 2]); i = (i - 1) / 2)
		swap(mon, i, (i - 1) / 2);
	publish_due(mon);
	return 0;
}

static void heap_take(struct shim_mon *mon, struct mon_timer *t)
{
	uint32_t i = 0, least = 0;

	*t = mon->timer[0];
	mon->timer[0] = mon->timer[--mon->timers];
	do {
		swap(mon, i, least);
		i = least;
		for (uint32_t k = 2 * i + 1; k <= 2 * i + 2 && k < mon->timers; k++) {
			if (before(&mon->timer[k], &mon->timer[least]))
				least = k;
		}
	} while (least != i);
	publish_due(mon);
}

static int set(struct shim_ctx *c, int id, const struct timeval *in, union mon_cb cb, bool is_four)
{
	struct mon_timer t = { .id = id, .is_four = is_four, .cb = cb };
	struct shim_mon *mon;
	int err = 0;

	if (in == NULL || cb.five == NULL || in->tv_sec < 0 || in->tv_usec < 0)
		return -EINVAL;
	if (c->down)
		return -ESHUTDOWN;
	mon = mon_start(c, &err);
	if (mon == NULL)
		return err;
	t.due_us = shim_now_us();
	if ((uint64_t)in->tv_sec > UINT64_MAX / 4000000 - t.due_us / 1000000)
		t.due_us = UINT64_MAX - 1;
	else
		t.due_us += (uint64_t)in->tv_sec * 1000000 + (uint64_t)in->tv_usec;
	t.no = mon->timer_no++;
	err = heap_put(mon, &t);
	if (err == 0 && !mon_is_here(mon))
		mon_kick(mon);
	return err;
}

int mtcp_settimer(mctx_t mctx, int id, struct timeval *timeout, callback_t callback)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, set(c, id, timeout, (union mon_cb){ .five = callback }, false));
}

int shim_settimer4(mctx_t mctx, int id, struct timeval *timeout, shim_callback4_t callback)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, set(c, id, timeout, (union mon_cb){ .four = callback }, callback != NULL));
}

static bool next_due(struct shim_mon *mon, uint64_t now, struct mon_timer *t)
{
	bool due;

	pthread_mutex_lock(&mon->c->lock);
	due = mon->timers > 0 && mon->timer[0].due_us <= now;
	if (due)
		heap_take(mon, t);
	pthread_mutex_unlock(&mon->c->lock);
	return due;
}

static uint64_t real_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Those due when it begins: one that sets itself anew with no delay does not keep the others waiting. */
void timers_run(struct shim_mon *mon)
{
	uint64_t now;
	struct mon_timer t;

	if (atomic_load_explicit(&mon->timer_due, memory_order_relaxed) == UINT64_MAX)
		return;
	now = shim_now_us();
	while (atomic_load(&mon->timer_due) <= now && !atomic_load(&mon->stop) && next_due(mon, now, &t)) {
		mon_round_begin(mon, &mon->r);
		mon->r.fd = t.id;
		mon->r.ev.ts_us = real_us();
		mon->in_round = true;
		mon_call(mon, &t.cb, t.is_four, MOS_NULL_EVENT, NULL);
		mon->in_round = false;
		mon_round_over(mon);
	}
}

uint32_t mtcp_cb_get_ts(mctx_t mctx)
{
	struct shim_mon *mon = mon_enter(mctx);

	return mon != NULL ? (uint32_t)mon->r.ev.ts_us : 0;
}

/* Waits for the callback thread: until stackd goes, or its traffic is over, or the context is destroyed. */
void mtcp_app_join(mctx_t mctx)
{
	struct shim_ctx *c = shim_enter(mctx);
	int err = 0;

	if (c == NULL)
		return;
	if (c->mon != NULL && !mon_is_here(c->mon))
		mon_ready(c->mon);
	while ((err == 0 || err == -EINTR) && (c->mon == NULL || !mon_is_here(c->mon)) && (c->mon == NULL || (!c->mon->ended && !c->mon->finished))) {
		(void)lane_pump(c);
		err = c->mon != NULL ? shim_wait_local(c, UINT64_MAX) : shim_wait(c, UINT64_MAX);
	}
	errno = 0;
	shim_leave(c, c->down && (c->mon == NULL || !c->mon->finished) && shim_alive(c) ? -ESHUTDOWN : 0);
}
