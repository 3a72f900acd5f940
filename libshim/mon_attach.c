/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The monitor half comes and goes: its thread, its lanes, and the commands that lanes carry.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libshim/mon.h"

enum { RING_SLOTS_MAX = 1 << 20, FRAME_SLACK = 64 };

static int thread_start(struct shim_mon *mon);
static void half_free(struct shim_mon *mon);
static void lane_close(struct shim_mlane *l);
static int lane_open(struct shim_mlane *l, struct ctl_msg *m);

/* --- Coming ------------------------------------------------------------------------------------------------------------- */

struct shim_mon *mon_start(struct shim_ctx *c, int *err)
{
	struct shim_conf *conf;
	struct shim_mon *mon;

	if (c->mon != NULL)
		return c->mon;
	conf = malloc(sizeof(*conf));
	mon = calloc(1, sizeof(*mon));
	*err = -ENOMEM;
	if (conf == NULL || mon == NULL) {
		free(conf);
		free(mon);
		return NULL;
	}
	conf_get(conf);
	mon->no_buf = conf->no_buffers != 0;
	free(conf);
	mon->c = c;
	mon->wake = -1;
	mon->posts_tail = &mon->posts;
	atomic_store(&mon->timer_due, UINT64_MAX);
	mon->pkt_buf = malloc(MON_FRAME_MAX + FRAME_SLACK);
	mon->script = malloc(MON_SCRIPT_MAX);
	mon->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mon->kick < 0)
		*err = -errno;
	if (mon->kick < 0 || mon->pkt_buf == NULL || mon->script == NULL || (*err = thread_start(mon)) != 0) {
		half_free(mon);
		return NULL;
	}
	c->mon = mon;
	return mon;
}

/* The program's signal handlers run on its own threads. */
static int thread_start(struct shim_mon *mon)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&mon->thread, NULL, mon_thread, mon);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

static int open_lanes(struct shim_ctx *c, struct shim_mon *mon)
{
	const char *lossless = secure_getenv("STACKD_LOSSLESS");
	struct ctl_mon_open m = { 0 };
	int fd = -1, err;

	if (mon->lossless || (lossless != NULL && strcmp(lossless, "1") == 0))
		m.flags |= MON_OPEN_LOSSLESS;
	mon->lane = calloc(c->lanes, sizeof(*mon->lane));
	if (mon->lane == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->lanes; i++)
		mon->lane[i].bell = -1;
	mon->opening = true;
	err = ctl_call_fd(c, CTL_MON_OPEN, &m, sizeof(m), &mon->right, &fd);
	mon->opening = false;
	mon->wake = fd;
	for (uint32_t i = 0; i < c->lanes && err == 0; i++) {
		if (mon->lane[i].bell < 0 || fd < 0)
			err = -EPROTO;
	}
	if (err == -EACCES || err == -EPERM)
		shim_text("stackd does not let this user monitor: see `monitor' under `clients' in its configuration");
	return err;
}

struct shim_mon *mon_open(struct shim_ctx *c, int *err)
{
	struct shim_mon *mon = mon_start(c, err);

	if (mon == NULL || atomic_load(&mon->lanes) != 0)
		return mon;
	*err = fds_grow(c); /* every flow has an id */
	if (*err == 0)
		*err = open_lanes(c, mon);
	if (*err != 0) {
		for (uint32_t i = 0; i < c->lanes && mon->lane != NULL; i++)
			lane_close(&mon->lane[i]);
		free(mon->lane);
		mon->lane = NULL;
		if (mon->wake >= 0)
			close(mon->wake);
		mon->wake = -1;
		return NULL;
	}
	/* pairs with the acquire in mon_thread() */
	atomic_store_explicit(&mon->lanes, c->lanes, memory_order_release);
	mon_kick(mon);
	return mon;
}

int mtcp_monitor_lossless(mctx_t mctx)
{
	struct shim_ctx *c = shim_enter(mctx);
	int err = 0;
	struct shim_mon *mon;

	if (c == NULL)
		return -1;
	mon = c->down ? NULL : mon_start(c, &err);
	if (mon == NULL)
		return (int)shim_leave(c, c->down ? -ESHUTDOWN : err);
	if (atomic_load(&mon->lanes) != 0)
		return (int)shim_leave(c, mon->lossless ? 0 : -EALREADY);
	mon->lossless = true;
	return (int)shim_leave(c, 0);
}

/* --- Lanes ---------------------------------------------------------------------------------------------------------------- */

static int take_fd(struct ctl_msg *m, unsigned i)
{
	int fd = m->fd[i];

	m->fd[i] = -1;
	return fd;
}

void mon_take_lane(struct shim_ctx *c, struct ctl_msg *m)
{
	const struct ctl_mon_lane *a = &m->mon_lane;
	struct shim_mlane *l;

	if (c->mon == NULL || !c->mon->opening || m->fds != 4 || a->engine >= c->lanes)
		return;
	l = &c->mon->lane[a->engine];
	if (l->bell >= 0)
		return;
	if (lane_open(l, m) != 0) {
		shim_notice("the monitor lane of engine %u cannot be used", a->engine);
		lane_close(l);
	}
}

static bool is_power(uint32_t n)
{
	return n >= 2 && n <= RING_SLOTS_MAX && (n & (n - 1)) == 0;
}

static int lane_map(struct shim_mlane *l, struct ctl_msg *m)
{
	const struct ctl_mon_lane *a = &m->mon_lane;
	int err;

	if (!is_power(a->ring_slots) || !is_power(a->cmd_slots) || a->edit_size > 1 << 30 ||
	    a->down_size < sizeof(struct mon_down) + (size_t)a->ring_slots * sizeof(struct ring_slot) ||
	    a->up_size < sizeof(struct mon_up) + (size_t)a->cmd_slots * sizeof(struct ring_slot) + a->edit_size)
		return -EPROTO;
	err = region_attach(&l->down_mem, REGION_A, a->down_size, take_fd(m, 0));
	if (err == 0)
		err = region_attach(&l->up_mem, REGION_B, a->up_size, take_fd(m, 1));
	if (err == 0)
		err = region_attach(&l->arena_mem, REGION_A, a->arena_size, take_fd(m, 3));
	if (err == 0)
		err = mon_reader_init(&l->reader, l->arena_mem.base, l->arena_mem.size);
	if (err != 0)
		return err;
	region_close_fd(&l->down_mem);
	region_close_fd(&l->up_mem);
	region_close_fd(&l->arena_mem);
	return 0;
}

/* A place per flow of the arena; its pages come when they are used. */
static int lane_tables(struct shim_mlane *l, uint32_t cmd_slots)
{
	void *p;

	l->flows = l->reader.head.flows;
	l->piece_mask = cmd_slots - 1;
	l->piece = calloc(cmd_slots, sizeof(*l->piece));
	p = mmap(NULL, (size_t)l->flows * sizeof(*l->flow) + 1, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p != MAP_FAILED)
		l->flow = p;
	return l->piece == NULL || l->flow == NULL ? -ENOMEM : 0;
}

static int lane_open(struct shim_mlane *l, struct ctl_msg *m)
{
	uint32_t ring_slots = m->mon_lane.ring_slots, cmd_slots = m->mon_lane.cmd_slots;
	int err = lane_map(l, m);

	if (err == 0)
		err = lane_tables(l, cmd_slots);
	if (err != 0)
		return err;
	l->down = l->down_mem.base;
	l->up = l->up_mem.base;
	ring_cons_init(&l->events, l->down->event, &l->up->event_done, ring_slots);
	ring_prod_init(&l->cmds, l->up->cmd, &l->down->cmd_done, cmd_slots);
	l->edit = (uint8_t *)&l->up->cmd[cmd_slots];
	l->edit_size = m->mon_lane.edit_size & ~7u;
	l->owed_tail = &l->owed;
	l->bell = take_fd(m, 2);
	return 0;
}

static void lane_close(struct shim_mlane *l)
{
	while (l->owed != NULL) {
		struct mon_owed *o = l->owed;

		l->owed = o->next;
		free(o);
	}
	if (l->flow != NULL)
		munmap(l->flow, (size_t)l->flows * sizeof(*l->flow) + 1);
	free(l->piece);
	region_destroy(&l->down_mem);
	region_destroy(&l->up_mem);
	region_destroy(&l->arena_mem);
	if (l->bell >= 0)
		close(l->bell);
	*l = (struct shim_mlane){ .bell = -1 };
}

/* --- Commands -------------------------------------------------------------------------------------------------------------- */

/* What the engine has copied is free again. */
static void pieces_reclaim(struct shim_mlane *l)
{
	while (l->piece_first != l->piece_last &&
	       (int32_t)(l->cmds.seen - l->piece[l->piece_first & l->piece_mask].pos) > 0)
		l->edit_tail = l->piece[l->piece_first++ & l->piece_mask].end;
	if (l->piece_first == l->piece_last)
		l->edit_tail = l->edit_head;
}

/* Room for len bytes in one piece of the edit area: its offset, or -1. */
static int64_t piece_take(struct shim_mlane *l, uint32_t len)
{
	uint32_t off;

	len = (len + 7) & ~7u;
	pieces_reclaim(l);
	if (l->edit_tail == l->edit_head)
		l->edit_tail = l->edit_head = 0;
	off = (uint32_t)(l->edit_head % l->edit_size);
	if (off + (uint64_t)len > l->edit_size) { /* not across the end */
		if (l->edit_head + (l->edit_size - off) + len - l->edit_tail > l->edit_size)
			return -1;
		l->edit_head += l->edit_size - off;
		off = 0;
	}
	if (l->edit_head + len - l->edit_tail > l->edit_size)
		return -1;
	l->edit_head += len;
	l->piece[l->piece_last & l->piece_mask].pos = l->cmds.head;
	l->piece[l->piece_last++ & l->piece_mask].end = l->edit_head;
	return off;
}

/* 0, or -ENOBUFS: later. */
static int put(struct shim_mon *mon, struct shim_mlane *l, struct mon_cmd cmd, const void *data, uint32_t len)
{
	int room = ring_room(&l->cmds);
	int64_t off;

	if (room < 0)
		atomic_store(&mon->lost, true); /* it claims to have read what was never put */
	if (room <= 0)
		return room < 0 ? 0 : -ENOBUFS;
	if (len > 0) {
		off = piece_take(l, len);
		if (off < 0)
			return -ENOBUFS;
		memcpy(l->edit + off, data, len);
		if (cmd.op == MCMD_VERDICT) {
			cmd.verdict.off = (uint32_t)off;
			cmd.verdict.len = len;
		} else {
			cmd.send.off = (uint32_t)off;
			cmd.send.len = len;
		}
	}
	(void)ring_put(&l->cmds, &cmd, sizeof(cmd));
	l->has_put = true;
	return 0;
}

/* Without memory for what waits a command is lost: a verdict is then stackd's, by its policy. */
void mon_put(struct shim_mon *mon, struct shim_mlane *l, const struct mon_cmd *cmd, const void *data, uint32_t len)
{
	struct mon_owed *o;

	if (l->owed == NULL && put(mon, l, *cmd, data, len) == 0)
		return;
	o = malloc(sizeof(*o) + len);
	if (o == NULL) {
		mon->unsaid++;
		return;
	}
	o->next = NULL;
	o->cmd = *cmd;
	o->len = len;
	if (len > 0)
		memcpy(o->data, data, len);
	*l->owed_tail = o;
	l->owed_tail = &o->next;
}

void mon_owed_put(struct shim_mon *mon, struct shim_mlane *l)
{
	struct mon_owed *o;

	while ((o = l->owed) != NULL && put(mon, l, o->cmd, o->data, o->len) == 0) {
		l->owed = o->next;
		free(o);
	}
	if (l->owed == NULL)
		l->owed_tail = &l->owed;
}

void mon_ring(struct shim_mlane *l)
{
	if (!l->has_put)
		return;
	l->has_put = false;
	if (bell_look(&l->down->engine_asleep) != 0)
		(void)eventfd_write(l->bell, 1);
}

int mon_post(struct shim_mon *mon, struct shim_mlane *l, const struct mon_cmd *cmd, const void *data, uint32_t len)
{
	struct mon_post *p;

	if (len > l->edit_size)
		return -EMSGSIZE;
	if (mon_is_here(mon)) {
		mon_put(mon, l, cmd, data, len);
		return 0;
	}
	p = malloc(sizeof(*p) + len);
	if (p == NULL)
		return -ENOMEM;
	p->next = NULL;
	p->lane = l;
	p->cmd = *cmd;
	p->len = len;
	if (len > 0)
		memcpy(p->data, data, len);
	*mon->posts_tail = p;
	mon->posts_tail = &p->next;
	atomic_store_explicit(&mon->dirty, true, memory_order_release);
	mon_kick(mon);
	return 0;
}

void mon_kick(struct shim_mon *mon)
{
	(void)eventfd_write(mon->kick, 1);
}

/* --- Going ------------------------------------------------------------------------------------------------------------------ */

void mon_lost(struct shim_ctx *c)
{
	if (c->mon == NULL)
		return;
	atomic_store(&c->mon->lost, true);
	if (!mon_is_here(c->mon))
		mon_kick(c->mon);
}

bool mon_leaves(struct shim_ctx *c)
{
	if (c->mon == NULL || !mon_is_here(c->mon))
		return false;
	pthread_detach(c->mon->thread);
	c->mon->destroy = true;
	atomic_store(&c->mon->stop, true);
	return true;
}

void mon_stop(struct shim_ctx *c)
{
	struct shim_mon *mon = c->mon;

	if (mon == NULL || mon->joined)
		return;
	atomic_store(&mon->stop, true);
	mon_kick(mon);
	pthread_join(mon->thread, NULL);
	mon->joined = true;
}

/* The thread has ended, or is the one that calls. */
void mon_free(struct shim_ctx *c)
{
	struct shim_mon *mon = c->mon;
	struct mon_post *p;

	if (mon == NULL)
		return;
	for (unsigned i = 0; i < MON_SOCKS_MAX; i++)
		watch_free(mon, atomic_load(&mon->watch[i]));
	while ((p = mon->posts) != NULL) {
		mon->posts = p->next;
		free(p);
	}
	for (uint32_t i = 0; i < atomic_load(&mon->lanes); i++)
		lane_close(&mon->lane[i]);
	half_free(mon);
	c->mon = NULL;
}

static void half_free(struct shim_mon *mon)
{
	for (unsigned i = 0; i < MON_DEPTH_MAX + 2; i++)
		free(mon->r.frame[i].raised);
	tables_free(&mon->tables);
	if (mon->wake >= 0)
		close(mon->wake);
	if (mon->kick >= 0)
		close(mon->kick);
	free(mon->lane);
	free(mon->tuple);
	free(mon->timer);
	free(mon->pkt_buf);
	free(mon->script);
	free(mon);
}

void mon_fork_child(struct shim_ctx *c)
{
	struct shim_mon *mon = c->mon;

	if (mon == NULL)
		return;
	for (uint32_t i = 0; i < atomic_load(&mon->lanes); i++)
		close(mon->lane[i].bell);
	if (mon->wake >= 0)
		close(mon->wake);
	close(mon->kick);
}
