/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Lanes: making them, handles, and taking everything back when their client is gone.  Commands are in cmd.c, events in
 * event.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stackd/app/handle.h"

enum {
	RECLAIM_BUDGET = 256, /* connections ended per turn */
	FORGET_BUDGET = 4096, /* names freed per turn */
	SEG_LOW = BYTES_SEG_CHUNKS / 2,
	SEG_ASK_MAX = 16,
};

static int lane_regions(struct lane *l, uint32_t slots)
{
	int err;

	err = region_create(&l->down, REGION_A, sizeof(struct lane_down) + (size_t)slots * SHM_LINE, "stackd-down");
	if (err != 0)
		return err;
	err = region_create(&l->up, REGION_B, sizeof(struct lane_up) + (size_t)slots * SHM_LINE, "stackd-up");
	if (err != 0)
		return err;
	l->dn = l->down.base;
	l->upp = l->up.base;
	ring_prod_init(&l->events, l->dn->event, &l->upp->event_done, slots);
	ring_cons_init(&l->cmds, l->upp->cmd, &l->dn->cmd_done, slots);
	return 0;
}

int lane_create(const struct lane_conf *conf, struct lane **out)
{
	struct lane *l = calloc(1, sizeof(*l));
	int err;

	if (l == NULL)
		return -ENOMEM;
	l->engine = conf->engine;
	l->app = conf->app;
	l->wake_fd = conf->wake_fd;
	l->may_connect = conf->may_connect;
	l->down.fd = l->up.fd = -1;
	TAILQ_INIT(&l->dirty);
	l->owner.app = conf->app;
	l->owner.conns_max = conf->max_sockets;
	l->passive.max = l->active.max = conf->max_sockets;
	l->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = l->doorbell_fd < 0 ? -errno : bytes_pool_init(&l->owner.rx);
	if (err == 0)
		err = lane_regions(l, conf->ring_slots);
	if (err != 0) {
		lane_destroy(l);
		return err;
	}
	*out = l;
	return 0;
}

static void handles_fini(struct handles *h)
{
	for (uint32_t i = 0; i < h->size; i++)
		free(h->conn[i]);
	free(h->conn);
	free(h->gen);
	free(h->free);
}

void lane_destroy(struct lane *l)
{
	if (l == NULL)
		return;
	handles_fini(&l->passive);
	handles_fini(&l->active);
	bytes_pool_fini(&l->owner.rx);
	region_destroy(&l->down);
	region_destroy(&l->up);
	if (l->doorbell_fd >= 0)
		close(l->doorbell_fd);
	free(l);
}

/* --- Handles --------------------------------------------------------------------------------------------------------- */

static int handles_grow(struct handles *h, uint32_t need)
{
	uint32_t size = h->size == 0 ? 64 : h->size;
	void *p;

	while (size < need)
		size *= 2;
	if (size > h->max)
		size = h->max;
	if (size < need)
		return -EMFILE;
	p = realloc(h->conn, size * sizeof(*h->conn));
	if (p == NULL)
		return -ENOMEM;
	h->conn = p;
	p = realloc(h->gen, size * sizeof(*h->gen));
	if (p == NULL)
		return -ENOMEM;
	h->gen = p;
	p = realloc(h->free, size * sizeof(*h->free));
	if (p == NULL)
		return -ENOMEM;
	h->free = p;
	for (uint32_t i = h->size; i < size; i++) {
		h->conn[i] = NULL;
		h->gen[i] = 0;
	}
	for (uint32_t i = size; i > h->size; i--)
		h->free[h->frees++] = i - 1;
	h->size = size;
	return 0;
}

static struct handles *handles_of(struct lane *l, uint32_t index)
{
	return (index & HANDLE_ACTIVE) != 0 ? &l->active : &l->passive;
}

struct app_conn *handle_find(struct lane *l, struct handle handle)
{
	struct handles *h = handles_of(l, handle.index);
	uint32_t i = handle.index & ~HANDLE_ACTIVE;

	if (i >= h->size || h->conn[i] == NULL || h->conn[i]->gen != handle.gen)
		return NULL;
	return h->conn[i];
}

static struct app_conn *handle_fill(struct lane *l, struct handles *h, uint32_t i, uint32_t bit, uint32_t gen,
				    struct tcp_conn *c)
{
	struct app_conn *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->lane = l;
	a->conn = c;
	a->index = i | bit;
	a->gen = gen;
	h->conn[i] = a;
	h->gen[i] = gen;
	return a;
}

struct app_conn *handle_give(struct lane *l, struct tcp_conn *c)
{
	struct handles *h = &l->passive;
	struct app_conn *a;
	uint32_t i;

	if (h->frees == 0 && handles_grow(h, h->size + 1) != 0)
		return NULL;
	i = h->free[h->frees - 1];
	a = handle_fill(l, h, i, 0, h->gen[i] + 1, c);
	if (a != NULL)
		h->frees--;
	return a;
}

int handle_take(struct lane *l, struct handle handle, struct app_conn **a)
{
	struct handles *h = &l->active;
	uint32_t i = handle.index & ~HANDLE_ACTIVE;

	if ((handle.index & HANDLE_ACTIVE) == 0 || i >= h->max)
		return -EINVAL;
	if (i >= h->size && handles_grow(h, i + 1) != 0)
		return -ENOMEM;
	if (h->conn[i] != NULL)
		return -EEXIST;
	*a = handle_fill(l, h, i, HANDLE_ACTIVE, handle.gen, NULL);
	return *a == NULL ? -ENOMEM : 0;
}

void handle_drop(struct app_conn *a)
{
	struct handles *h = handles_of(a->lane, a->index);
	uint32_t i = a->index & ~HANDLE_ACTIVE;

	app_clean(a);
	h->conn[i] = NULL;
	if (h == &a->lane->passive)
		h->free[h->frees++] = i;
	free(a);
}

/* --- The dirty list ---------------------------------------------------------------------------------------------------- */

void app_dirty(struct app_conn *a)
{
	if (a->waiting)
		return;
	a->waiting = true;
	TAILQ_INSERT_TAIL(&a->lane->dirty, a, news);
}

void app_clean(struct app_conn *a)
{
	if (!a->waiting)
		return;
	a->waiting = false;
	TAILQ_REMOVE(&a->lane->dirty, a, news);
}

bool app_waits(const struct lane *l)
{
	return l->state == LANE_LIVE && l->bad == NULL && !TAILQ_EMPTY(&l->dirty);
}

/* --- Memory ---------------------------------------------------------------------------------------------------------------- */

unsigned app_segments_wanted(const struct lane *l, uint64_t now_us)
{
	uint32_t segs;

	if (l->state != LANE_LIVE || l->seg_asked != 0 || now_us < l->seg_retry_us)
		return 0;
	if (l->owner.rx.free_count >= SEG_LOW + l->owner.rx.used_count / 8)
		return 0;
	segs = 1 + l->owner.rx.used_count / (4 * BYTES_SEG_CHUNKS);
	return segs < SEG_ASK_MAX ? segs : SEG_ASK_MAX;
}

/* --- The end --------------------------------------------------------------------------------------------------------------- */

void lane_leave(struct lane *l)
{
	if (l->state != LANE_LIVE)
		return;
	l->state = LANE_RESETTING;
	l->owner.dead = true;
}

/* Names that the client held: the connections behind them are reset by now, but for those it had closed before.  True when
 * all are forgotten. */
static bool lane_forget(struct handles *h)
{
	for (unsigned n = 0; h->size > 0 && n < FORGET_BUDGET; n++) {
		struct app_conn *a = h->conn[--h->size];

		if (a == NULL)
			continue;
		if (a->closed && a->conn != NULL)
			a->conn->user = NULL;
		app_clean(a);
		free(a);
	}
	return h->size == 0;
}

bool lane_reclaim(struct app_env *env, struct lane *l, uint64_t drain_us)
{
	unsigned n;

	switch (l->state) {
	case LANE_LIVE:
		return false;
	case LANE_RESETTING:
		n = tcp_owner_gone(env->tcp, &l->owner, false, RECLAIM_BUDGET);
		COUNT_ADD(env->stats, APP_RECLAIMED, n);
		if (n >= RECLAIM_BUDGET)
			return false;
		l->state = LANE_FORGETTING;
		return false;
	case LANE_FORGETTING:
		if (!lane_forget(&l->passive) || !lane_forget(&l->active))
			return false;
		l->drain_until_us = env->now_us + drain_us;
		l->state = LANE_DRAINING;
		return false;
	case LANE_DRAINING:
		if (l->owner.conns != 0 && env->now_us < l->drain_until_us)
			return false;
		l->state = LANE_SWEEPING;
		return false;
	case LANE_SWEEPING:
		n = tcp_owner_gone(env->tcp, &l->owner, true, RECLAIM_BUDGET);
		COUNT_ADD(env->stats, APP_RECLAIMED, n);
		if (n >= RECLAIM_BUDGET)
			return false;
		l->state = LANE_GONE;
		return true;
	case LANE_GONE:
		break;
	}
	return true;
}
