/* SPDX-License-Identifier: BSD-3-Clause
 *
 * User-defined events: a forest under the built-in ones, of the process; and a dispatch through it.
 *
 * When a parent occurs, each child's filter runs once, in the order of definition; a true one leads to the child's callback and then to
 * its own children.  An event made by mtcp_alloc_event has no filter: it occurs when a filter or callback above it raises it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libshim/mon.h"

enum {
	PAGE = 1024,
	PAGES = 1024, /* a million events */
	HASH = 4096,
	BUILTIN = MOS_ON_PKT_IN | MOS_ON_PKT_OUT | MOS_ON_CONN_START | MOS_ON_CONN_SETUP | MOS_ON_CONN_NEW_DATA | MOS_ON_ERROR |
		  MOS_ON_TIMEOUT | MOS_ON_TCP_STATE_CHANGE | MOS_ON_ORPHAN | MOS_ON_REXMIT | MOS_ON_CONN_END | MOS_ON_DEBUG_MESSAGE,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mon_def **page[PAGES];
static _Atomic uint32_t defs;
static struct mon_def *chain[HASH];

static void run(struct shim_mon *mon, uint32_t node);

/* --- Definitions --------------------------------------------------------------------------------------------------------- */

const struct mon_def *mon_def_of(event_t id)
{
	/* pairs with the release in make() */
	uint32_t n = atomic_load_explicit(&defs, memory_order_acquire);

	if (id < MON_UDE_FIRST || id - MON_UDE_FIRST >= n)
		return NULL;
	id -= MON_UDE_FIRST;
	return page[id / PAGE][id % PAGE];
}

uint32_t mon_root(event_t id)
{
	const struct mon_def *def = mon_def_of(id);

	if (def != NULL)
		return def->root;
	return id != 0 && (id & ~(event_t)BUILTIN) == 0 && (id & (id - 1)) == 0 ? (uint32_t)id : 0;
}

static uint32_t hash_of(event_t parent, filter_t filter, const filter_arg_t *arg)
{
	uint64_t key[2] = { parent, 0 };

	memcpy(&key[1], &filter, sizeof(filter));
	return XXH32(arg->arg, arg->len, XXH32(key, sizeof(key), 0)) % HASH;
}

static bool same(const struct mon_def *d, event_t parent, filter_t filter, const filter_arg_t *arg)
{
	return d->parent == parent && d->filter == filter && d->arg.len == arg->len &&
	       (arg->len == 0 || memcmp(d->arg.arg, arg->arg, arg->len) == 0);
}

/* Under the lock. NULL and errno. */
static struct mon_def *make(event_t parent, filter_t filter, const filter_arg_t *arg)
{
	const struct mon_def *up = mon_def_of(parent);
	uint32_t n = atomic_load_explicit(&defs, memory_order_relaxed);
	struct mon_def *d;

	(void)shim_ret(up != NULL && up->depth == MON_DEPTH_MAX ? shim_why(-EINVAL, "a tree of events has %d levels", MON_DEPTH_MAX) :
								  -ENOMEM);
	if (n == PAGE * PAGES || errno == EINVAL)
		return NULL;
	if (page[n / PAGE] == NULL)
		page[n / PAGE] = calloc(PAGE, sizeof(struct mon_def *));
	d = calloc(1, sizeof(*d) + arg->len);
	if (d == NULL || page[n / PAGE] == NULL) {
		free(d);
		return NULL;
	}
	d->id = MON_UDE_FIRST + n;
	d->parent = parent;
	d->root = mon_root(parent);
	d->depth = up != NULL ? up->depth + 1 : 1;
	d->filter = filter;
	d->arg.len = arg->len;
	if (arg->len > 0)
		d->arg.arg = memcpy(d + 1, arg->arg, arg->len);
	page[n / PAGE][n % PAGE] = d;
	atomic_store_explicit(&defs, n + 1, memory_order_release);
	return d;
}

event_t mtcp_define_event(event_t parent, filter_t filter, filter_arg_t *arg)
{
	filter_arg_t none = { NULL, 0 };
	struct mon_def *d;
	uint32_t h;

	if (arg == NULL)
		arg = &none;
	if (mon_root(parent) == 0 || filter == NULL || (arg->arg == NULL && arg->len > 0)) {
		(void)shim_ret(shim_why(-EINVAL, "the parent is no event, or several; or there is no filter"));
		return MOS_NULL_EVENT;
	}
	h = hash_of(parent, filter, arg);
	pthread_mutex_lock(&lock);
	for (d = chain[h]; d != NULL && !same(d, parent, filter, arg); d = d->next)
		;
	if (d == NULL && (d = make(parent, filter, arg)) != NULL) {
		d->next = chain[h];
		chain[h] = d;
	}
	pthread_mutex_unlock(&lock);
	return d != NULL ? d->id : MOS_NULL_EVENT;
}

event_t mtcp_alloc_event(event_t parent)
{
	filter_arg_t none = { NULL, 0 };
	struct mon_def *d;

	if (mon_root(parent) == 0) {
		(void)shim_ret(shim_why(-EINVAL, "the parent is no event, or several; or there is no filter"));
		return MOS_NULL_EVENT;
	}
	pthread_mutex_lock(&lock);
	d = make(parent, NULL, &none);
	pthread_mutex_unlock(&lock);
	return d != NULL ? d->id : MOS_NULL_EVENT;
}

void mon_defs_lock(void)
{
	pthread_mutex_lock(&lock);
}

void mon_defs_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* --- Registering ---------------------------------------------------------------------------------------------------------- */

static int reg(mctx_t mctx, int sock, event_t event, int hook, union mon_cb cb, bool is_four)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, mon_register(c, sock, event, hook, cb, is_four));
}

int mtcp_register_callback(mctx_t mctx, int sock, event_t event, int hook, callback_t callback)
{
	return reg(mctx, sock, event, hook, (union mon_cb){ .five = callback }, false);
}

int shim_register_callback4(mctx_t mctx, int sock, event_t event, int hook, shim_callback4_t callback)
{
	return reg(mctx, sock, event, hook, (union mon_cb){ .four = callback }, callback != NULL);
}

int mtcp_unregister_callback(mctx_t mctx, int sock, event_t event, int hook)
{
	return mtcp_register_callback(mctx, sock, event, hook, NULL);
}

/* --- A dispatch ----------------------------------------------------------------------------------------------------------- */

void mon_call(struct shim_mon *mon, const union mon_cb *cb, bool is_four, event_t event, const filter_arg_t *arg)
{
	mctx_t m = (mctx_t)mon->c;

	if (is_four)
		cb->four(m, mon->r.fd, mon->r.side, event);
	else
		cb->five(m, mon->r.fd, mon->r.side, event, (filter_arg_t *)(uintptr_t)arg);
}

void mon_dispatch(struct shim_mon *mon, unsigned hook, uint32_t event)
{
	uint32_t node = table_node(mon->r.table, hook, event);

	if (node != MON_NONE)
		run(mon, node);
}

/* The next child: those with filters are linked, raised ones are sorted; both by number, which is the order of definition. */
static uint32_t child_next(const struct mon_table *t, struct mon_frame *f, uint32_t *linked)
{
	uint32_t raised = f->at < f->count ? f->raised[f->at] : MON_NONE, node;

	if (raised < *linked) { /* nodes are sorted by number; MON_NONE is above all */
		f->at++;
		return raised;
	}
	node = *linked;
	if (node != MON_NONE)
		*linked = t->node[node].next;
	return node;
}

static void run(struct shim_mon *mon, uint32_t node)
{
	struct mon_round *r = &mon->r;
	const struct mon_table *t = r->table;
	const struct mon_node *n = &t->node[node];
	struct mon_frame *f = &r->frame[r->depth++];
	const filter_arg_t *arg = n->def != NULL ? &n->def->arg : NULL;
	uint32_t linked = n->first, child;

	f->node = node;
	f->count = f->at = 0;
	if (n->def == NULL || n->def->filter == NULL ||
	    n->def->filter((mctx_t)mon->c, r->fd, r->side, n->id, (filter_arg_t *)(uintptr_t)arg)) {
		if (n->reg != NULL)
			mon_call(mon, &n->reg->cb, n->reg->is_four, n->id, arg);
		while ((child = child_next(t, f, &linked)) != MON_NONE)
			run(mon, child);
	}
	r->depth--;
}

static int raise_in(struct shim_mon *mon, struct mon_frame *f, uint32_t node)
{
	struct mon_node *n = &mon->r.table->node[node];
	uint32_t i;

	if (n->stamp == mon->round_no) /* once per dispatch */
		return 0;
	if (f->count == f->cap) {
		uint32_t cap = f->cap == 0 ? 16 : f->cap * 2;
		uint32_t *p = realloc(f->raised, cap * sizeof(*p));

		if (p == NULL)
			return -ENOMEM;
		f->raised = p;
		f->cap = cap;
	}
	n->stamp = mon->round_no;
	for (i = f->count++; i > f->at && f->raised[i - 1] > node; i--)
		f->raised[i] = f->raised[i - 1];
	f->raised[i] = node;
	return 0;
}

/* The event must be a child of one that is being dispatched. */
int mtcp_raise_event(mctx_t mctx, event_t event)
{
	struct shim_mon *mon = mon_enter(mctx);
	const struct mon_def *def = mon_def_of(event);
	struct mon_round *r;

	if (mon == NULL)
		return -1;
	r = &mon->r;
	for (uint32_t i = r->depth; def != NULL && def->filter == NULL && i-- > 0;) {
		const struct mon_node *up = &r->table->node[r->frame[i].node];
		unsigned hook = r->ev.hook;
		uint32_t node;

		if (up->id != def->parent)
			continue;
		node = table_node(r->table, hook, event);
		return (int)shim_ret(node == MON_NONE ? 0 : raise_in(mon, &r->frame[i], node));
	}
	return (int)shim_ret(shim_why(-EINVAL, "the event is not of mtcp_alloc_event(), or its parent is not being told"));
}
