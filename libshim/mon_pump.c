/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The callback thread: takes records of all lanes in turn, runs their rounds, sends what came of them, and sleeps.
 *
 * The order within a lane matters to the engine: what a round led to (a verdict, a mask, a stop) is in the command ring before
 * event_done passes its record.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "libshim/mon.h"

enum {
	SPIN_TRIES = 4,  /* spins in vain before spinning is given up ... */
	SPIN_REST = 16,  /* ... for so many sleeps */
	OWED_US = 1000,  /* how soon a full command ring is tried again */
	SWEEP_US = 1000000, /* between two looks for flows whose end was lost */
};

static _Thread_local struct shim_mon *here;

static unsigned pump(struct shim_mon *mon, uint32_t lanes);
static unsigned pump_lane(struct shim_mon *mon, struct shim_mlane *l);
static void take(struct shim_mon *mon, struct shim_mlane *l, const struct mon_event *ev);
static void take_dispatch(struct shim_mon *mon, struct shim_mlane *l, const struct mon_event *ev);
static struct mon_act *flow_act(struct shim_mon *mon, struct mon_watch *w, struct shim_mlane *l, const struct mon_event *ev);
static void run_round(struct shim_mon *mon);
static void put_verdict(struct shim_mon *mon, struct shim_mlane *l, const struct mon_event *ev);
static void act_over(struct shim_mon *mon, struct mon_act *a);
static void run_end(struct shim_mon *mon, struct mon_act *a);
static void take_gap(struct shim_mon *mon, struct shim_mlane *l, const struct mon_event *ev);
static void sweep(struct shim_mon *mon);
static void bury(struct shim_mon *mon, uint32_t lanes);
static void notify(struct shim_mon *mon);
static void rest(struct shim_mon *mon, uint32_t lanes);
static void leave(struct shim_mon *mon);

/* --- The thread --------------------------------------------------------------------------------------------------------- */

void *mon_thread(void *arg)
{
	struct shim_mon *mon = arg;
	bool over = false;

	here = mon;
	while (!atomic_load(&mon->stop) && !over) {
		/* pairs with the release in mon_open() */
		uint32_t lanes = atomic_load_explicit(&mon->lanes, memory_order_acquire);
		bool lost = atomic_load(&mon->lost);
		unsigned n;

		mon_sync(mon);
		n = pump(mon, lanes);
		timers_run(mon);
		mon_sync(mon);
		for (uint32_t i = 0; i < lanes; i++)
			mon_ring(&mon->lane[i]);
		/* what is still in the rings comes first, but not for ever */
		if (mon->gap_us != 0 && mon->gap_us + (n > 0 ? SWEEP_US : 0) <= shim_now_us())
			sweep(mon);
		if (mon->deads > 0)
			bury(mon, lanes);
		over = n == 0 && lost;
		if (n == 0 && !over)
			rest(mon, lanes);
	}
	leave(mon);
	return NULL;
}

bool mon_is_here(const struct shim_mon *mon)
{
	return here == mon;
}

struct shim_mon *mon_inside(mctx_t mctx)
{
	return here != NULL && (mctx_t)here->c == mctx && here->in_round && shim_alive(here->c) ? here : NULL;
}

int mon_core(uint32_t engine)
{
	return here != NULL && here->c->home == engine ? here->c->cpu : -1;
}

struct shim_mon *mon_enter(mctx_t mctx)
{
	struct shim_mon *mon = mon_inside(mctx);
	struct shim_ctx *c;

	if (mon != NULL)
		return mon;
	c = shim_enter(mctx);
	if (c != NULL)
		shim_leave(c, mon_outside());
	return NULL;
}

int mon_outside(void)
{
	return shim_why(-EPERM, "this call is for callbacks: elsewhere there is no flow and no packet at hand");
}

/* The end: whoever waits for it is told; a context that was destroyed by a callback goes. */
static void leave(struct shim_mon *mon)
{
	struct shim_ctx *c = mon->c;

	pthread_mutex_lock(&c->lock);
	mon->ended = true;
	here = NULL;
	c->changed = true;
	if (mon->destroy)
		shim_end(c);
	else
		shim_publish(c);
	pthread_mutex_unlock(&c->lock);
}

static void notify(struct shim_mon *mon)
{
	pthread_mutex_lock(&mon->c->lock);
	mon->finished = true;
	mon->c->changed = true;
	shim_publish(mon->c);
	pthread_mutex_unlock(&mon->c->lock);
}

/* --- Records -------------------------------------------------------------------------------------------------------------- */

static unsigned pump(struct shim_mon *mon, uint32_t lanes)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < lanes && !atomic_load(&mon->stop); i++)
		n += pump_lane(mon, &mon->lane[i]);
	return n;
}

static unsigned pump_lane(struct shim_mon *mon, struct shim_mlane *l)
{
	uint8_t body[sizeof(((struct ring_slot *)0)->body)];
	struct mon_event ev;
	unsigned n = 0;

	if (l->owed != NULL)
		mon_owed_put(mon, l);
	/* the engine takes no commands: then we take no records, or what is owed would grow without end */
	while (n < MON_BURST && l->owed == NULL && !atomic_load_explicit(&mon->stop, memory_order_relaxed) &&
	       ring_get(&l->events, body)) {
		memcpy(&ev, body, sizeof(ev));
		mon_sync(mon); /* what was registered before the record was put is in force for it */
		take(mon, l, &ev);
		n++;
	}
	if (n > 0)
		ring_done(&l->events);
	mon_ring(l);
	return n;
}

static void take(struct shim_mon *mon, struct shim_mlane *l, const struct mon_event *ev)
{
	switch (ev->op) {
	case MEV_DISPATCH:
		take_dispatch(mon, l, ev);
		break;
	case MEV_GAP:
		take_gap(mon, l, ev);
		break;
	case MEV_DONE:
		l->done = true;
		for (uint32_t i = 0; i < mon->lanes; i++) {
			if (!mon->lane[i].done)
				return;
		}
		notify(mon);
		break;
	default: /* of a later stackd that still speaks our ABI */
		break;
	}
}

static void take_dispatch(struct shim_mon *mon, struct shim_mlane *l, const struct mon_event *ev)
{
	struct mon_watch *w = ev->sock < MON_SOCKS_MAX ? atomic_load_explicit(&mon->watch[ev->sock], memory_order_acquire) : NULL;
	bool of_flow = ev->flow != MON_NONE && w != NULL && !w->raw;
	struct mon_round *r = &mon->r;
	struct mon_act *a = NULL;

	if (w == NULL || w->dead)
		return; /* stackd has decided what it held for it */
	mon->time_us = ev->ts_us;
	if (of_flow)
		a = flow_act(mon, w, l, ev);
	mon_round_begin(mon, r);
	if (ev->hook < MON_HOOKS && (a != NULL || !of_flow)) {
		r->lane = l;
		r->ev = *ev;
		r->watch = w;
		r->act = a;
		r->fd = a != NULL ? a->fd : w->fd;
		r->side = w->raw ? MOS_NULL : ev->side;
		r->table = a != NULL && a->b.live != NULL ? a->b.live : w->b.live;
		run_round(mon);
	}
	if ((ev->flags & MEVF_HELD) != 0)
		put_verdict(mon, l, ev);
	if (a != NULL && (ev->flags & MEVF_LAST) != 0)
		act_over(mon, a);
	mon_sync(mon);
}

/* The socket of the record's flow, made now if this is the first one.  NULL: stopped, or there is no id for it. */
static struct mon_act *flow_act(struct shim_mon *mon, struct mon_watch *w, struct shim_mlane *l, const struct mon_event *ev)
{
	struct mon_cmd stop = { .op = MCMD_STOP, .sock = w->no, .flow = ev->flow, .gen = ev->gen, .one = { .value = MON_BOTH } };
	struct mon_flow_ref *f;
	struct mon_act *a;

	if (ev->flow >= l->flows)
		return NULL;
	f = &l->flow[ev->flow];
	if (f->gen != ev->gen) {
		while (f->acts != NULL) /* the end of the one before was lost */
			run_end(mon, f->acts);
		f->gen = ev->gen;
		f->stopped = 0;
	}
	for (a = f->acts; a != NULL && a->watch != w; a = a->flow_next)
		;
	if (a == NULL && (ev->events == 0 || (f->stopped >> w->no & 1) != 0))
		return NULL;
	if (a == NULL)
		a = act_create(mon, w, l, ev);
	if (a == NULL) {
		f->stopped |= (uint16_t)(1u << w->no);
		if (mon->refused++ == 0)
			shim_notice("context %d has no id for another flow: it is not watched (max_concurrency)", mon->c->cpu);
		mon_put(mon, l, &stop, NULL, 0);
		return NULL;
	}
	for (unsigned i = 0; i < 2; i++) {
		a->state[i] = ev->state[i];
		a->next_off[i] = ev->next[i];
	}
	return a;
}

/* The last callback has run.  Records that may still come are passed over. */
static void act_over(struct shim_mon *mon, struct mon_act *a)
{
	a->lane->flow[a->flow].stopped |= (uint16_t)(1u << a->watch->no);
	pthread_mutex_lock(&mon->c->lock);
	act_free(mon, a);
	pthread_mutex_unlock(&mon->c->lock);
}

void mon_round_begin(struct shim_mon *mon, struct mon_round *r)
{
	mon->round_no++;
	r->lane = NULL;
	r->watch = NULL;
	r->act = NULL;
	r->table = NULL;
	r->fd = -1;
	r->side = 0;
	r->depth = 0;
	r->have = PKT_UNREAD;
	r->drop = false;
	r->script_len = r->script_count = 0;
	memset(&r->ev, 0, sizeof(r->ev));
}

/* Ascending, whatever the order of registration. */
static void run_round(struct shim_mon *mon)
{
	struct mon_round *r = &mon->r;
	uint32_t events = r->ev.events & ((1u << MON_BITS) - 1);

	if (r->act != NULL && r->side < MON_BOTH && (r->act->stopped >> r->side & 1) != 0)
		return;
	mon->in_round = true;
	for (; events != 0; events &= events - 1)
		mon_dispatch(mon, r->ev.hook, events & -events);
	mon->in_round = false;
	mon_round_over(mon);
}

/* A callback may have forked and come back in the child, where nothing of this is there any more. */
void mon_round_over(struct shim_mon *mon)
{
	if (shim_forked(mon->c))
		_exit(0); /* not exit(): what its handlers lock may be held for ever by a thread that did not come along */
}

static void put_verdict(struct shim_mon *mon, struct shim_mlane *l, const struct mon_event *ev)
{
	struct mon_round *r = &mon->r;
	struct mon_cmd c = { .op = MCMD_VERDICT, .sock = ev->sock, .flow = ev->flow, .gen = ev->gen };
	uint32_t len = r->drop ? 0 : r->script_len;

	c.verdict.claim = ev->claim;
	c.verdict.verdict = r->drop ? MON_DROP : len > 0 ? MON_EDIT : MON_PASS;
	c.verdict.count = len > 0 ? r->script_count : 0;
	mon_put(mon, l, &c, mon->script, len);
}

/* --- Ends that were lost ------------------------------------------------------------------------------------------------------ */

/* What stackd would have sent: CONN_END for both sides, HK_RCV and then HK_SND, without a packet. */
static void run_end(struct shim_mon *mon, struct mon_act *a)
{
	static const uint8_t hooks[2] = { MON_HK_RCV, MON_HK_SND };

	a->state[0] = a->state[1] = MON_CLOSED;
	for (unsigned i = 0; i < 4; i++) {
		struct mon_round *r = &mon->r;

		mon_round_begin(mon, r);
		r->lane = a->lane;
		r->watch = a->watch;
		r->act = a;
		r->fd = a->fd;
		r->side = (int)(i / 2);
		r->table = a->b.live != NULL ? a->b.live : a->watch->b.live;
		r->ev = (struct mon_event){ .op = MEV_DISPATCH, .hook = hooks[i % 2], .side = (uint8_t)(i / 2),
					    .events = MON_CONN_END, .flow = a->flow, .gen = a->gen, .ts_us = mon->time_us };
		run_round(mon);
	}
	act_over(mon, a);
}

static void take_gap(struct shim_mon *mon, struct shim_mlane *l, const struct mon_event *ev)
{
	l->lost += ev->lost;
	mon->gap_us = shim_now_us();
}

/* Its record is another flow's by now, or says that both ends are closed. */
static bool is_over(const struct mon_act *a)
{
	struct mon_rec rec;
	int err = act_rec(a, &rec);

	/* without a packet yet it is so new that it says nothing */
	return err == -ESTALE ||
	       (err == 0 && rec.pkts > 0 && rec.side[0].state == MON_CLOSED && rec.side[1].state == MON_CLOSED);
}

/* After a gap any flow's last record may be missing. */
static void sweep(struct shim_mon *mon)
{
	for (unsigned i = 0; i < MON_SOCKS_MAX; i++) {
		struct mon_watch *w = atomic_load(&mon->watch[i]);

		for (struct mon_act *a = w != NULL ? w->acts : NULL, *next; a != NULL; a = next) {
			next = a->next;
			if (is_over(a))
				run_end(mon, a);
		}
	}
	mon_sync(mon);
	mon->gap_us = shim_now_us() + SWEEP_US;
}

/* Sockets that were closed: free once no ring can hold a record for their numbers. */
static void bury(struct shim_mon *mon, uint32_t lanes)
{
	pthread_mutex_lock(&mon->c->lock);
	for (unsigned i = 0; i < MON_SOCKS_MAX; i++) {
		struct mon_watch *w = atomic_load(&mon->watch[i]);

		if (w == NULL || !w->dead)
			continue;
		for (uint32_t k = 0; k < lanes; k++) {
			if (!ring_ready(&mon->lane[k].events))
				w->lanes_empty |= (uint64_t)1 << k;
		}
		if (w->lanes_empty == (lanes == 64 ? UINT64_MAX : ((uint64_t)1 << lanes) - 1)) {
			watch_free(mon, w);
			mon->deads--;
		}
	}
	pthread_mutex_unlock(&mon->c->lock);
}

/* --- Sleep ------------------------------------------------------------------------------------------------------------------------ */

static bool news(struct shim_mon *mon, uint32_t lanes)
{
	for (uint32_t i = 0; i < lanes; i++) {
		if (ring_ready(&mon->lane[i].events) && mon->lane[i].owed == NULL)
			return true;
	}
	return atomic_load_explicit(&mon->dirty, memory_order_relaxed) || atomic_load_explicit(&mon->stop, memory_order_relaxed);
}

/* Look at the rings for spin_us before sleeping, as long as that pays. */
static bool spin(struct shim_mon *mon, uint32_t lanes)
{
	uint64_t end;

	if (mon->c->welcome.spin_us == 0 || lanes == 0 || news(mon, lanes))
		return news(mon, lanes);
	if (mon->spin_misses >= SPIN_TRIES && ++mon->spin_skipped < SPIN_REST)
		return false;
	mon->spin_skipped = 0;
	end = shim_now_us() + mon->c->welcome.spin_us;
	do {
		for (int i = 0; i < 32; i++) {
			if (news(mon, lanes)) {
				mon->spin_misses = 0;
				return true;
			}
#if defined(__x86_64__) || defined(__i386__)
			__builtin_ia32_pause();
#endif
		}
	} while (shim_now_us() < end);
	if (mon->spin_misses < SPIN_TRIES)
		mon->spin_misses++;
	return false;
}

static uint64_t wake_at(struct shim_mon *mon, uint32_t lanes)
{
	uint64_t at = atomic_load(&mon->timer_due);

	if (mon->gap_us != 0 && mon->gap_us < at)
		at = mon->gap_us;
	for (uint32_t i = 0; i < lanes; i++) {
		if (mon->lane[i].owed != NULL && shim_now_us() + OWED_US < at)
			at = shim_now_us() + OWED_US;
	}
	return at;
}

/* Datagrams of the wake socket are only wakes; its end is stackd's. */
static void drain(struct shim_mon *mon, const struct pollfd *p)
{
	char byte[64];
	uint64_t count;
	ssize_t n = -1;

	if (p[0].revents != 0)
		(void)eventfd_read(mon->kick, &count);
	if (p[1].revents == 0)
		return;
	for (int i = 0; i < 64 && (n = recv(p[1].fd, byte, sizeof(byte), MSG_DONTWAIT)) > 0; i++)
		;
	if (n == 0 || (p[1].revents & (POLLHUP | POLLERR)) != 0) {
		pthread_mutex_lock(&mon->c->lock);
		ctl_poll(mon->c); /* why */
		ctl_lost(mon->c, "stackd has ended");
		shim_publish(mon->c);
		pthread_mutex_unlock(&mon->c->lock);
	}
}

static void rest(struct shim_mon *mon, uint32_t lanes)
{
	struct pollfd p[2] = { { .fd = mon->kick, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	uint64_t at, now;
	struct timespec t;

	if (spin(mon, lanes))
		return;
	if (++mon->sleep_no == 0)
		mon->sleep_no = 1;
	if (lanes > 0 && !atomic_load(&mon->lost))
		p[1].fd = mon->wake;
	for (uint32_t i = 0; i < lanes; i++)
		bell_sleep(&mon->lane[i].up->client_asleep, mon->sleep_no);
	at = wake_at(mon, lanes);
	now = shim_now_us();
	if (!news(mon, lanes) && at > now) {
		t.tv_sec = (time_t)((at - now) / 1000000);
		t.tv_nsec = (long)((at - now) % 1000000) * 1000;
		if (ppoll(p, 2, at == UINT64_MAX ? NULL : &t, NULL) > 0)
			drain(mon, p);
	}
	for (uint32_t i = 0; i < lanes; i++)
		bell_wake(&mon->lane[i].up->client_asleep);
}
