/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Monitor sockets, and the sockets of flows: ids, addresses, pointers of the program, and how both end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libshim/mon.h"

enum { TUPLE_MIN = 1024, STOP_BOTH = 4 };

static int number_take(struct shim_mon *mon);
static int watch_register(struct shim_mon *mon, struct mon_watch *w);
static void act_unhash(struct shim_mon *mon, struct mon_act *a);
static int act_hash(struct shim_mon *mon, struct mon_act *a);
static void act_name(struct mon_act *a);
static int act_number(struct shim_mon *mon, struct mon_act *a);
static void sync_watch(struct shim_mon *mon, struct mon_watch *w);
static void sync_act(struct shim_mon *mon, struct mon_act *a);
static void put_posts(struct shim_mon *mon);

/* --- Finding ------------------------------------------------------------------------------------------------------------- */

struct mon_base *mon_get(struct shim_ctx *c, int sock, int *err)
{
	struct shim_sock *s = fds_get(c, sock);

	*err = s == NULL ? -EBADF : s->kind != KIND_WATCH && s->kind != KIND_ACT ? -ENOTSOCK : 0;
	return *err == 0 ? (struct mon_base *)s : NULL;
}

/* The round's own needs no lock.  Another cannot go meanwhile: it is this thread that frees. */
struct mon_base *mon_named(struct shim_mon *mon, int sock, int *err)
{
	struct mon_base *b;

	*err = 0;
	if (mon->r.watch != NULL && sock == mon->r.fd)
		return mon->r.act != NULL ? &mon->r.act->b : &mon->r.watch->b;
	pthread_mutex_lock(&mon->c->lock);
	b = mon_get(mon->c, sock, err);
	pthread_mutex_unlock(&mon->c->lock);
	return b;
}

struct mon_act *mon_named_act(struct shim_mon *mon, int sock, int *err)
{
	struct mon_base *b = mon_named(mon, sock, err);

	if (b == NULL || b->s.kind == KIND_ACT)
		return b != NULL ? act_of(b) : NULL;
	*err = watch_of(b)->raw ? -ESOCKTNOSUPPORT : -ENOTCONN;
	return NULL;
}

/* --- Monitor sockets ------------------------------------------------------------------------------------------------------- */

static void base_init(struct shim_mon *mon, struct mon_base *b, unsigned kind)
{
	b->s.kind = (uint8_t)kind;
	b->s.fd = -1;
	b->mon = mon;
	b->buf[0] = b->buf[1] = -1;
}

int mon_socket(struct shim_ctx *c, int domain, bool raw)
{
	struct shim_mon *mon;
	struct mon_watch *w;
	int err = 0, no;

	if (domain != AF_INET && domain != AF_INET6)
		return -EAFNOSUPPORT;
	if (c->down)
		return -ESHUTDOWN;
	mon = mon_open(c, &err);
	if (mon == NULL)
		return err;
	no = number_take(mon);
	w = no < 0 ? NULL : calloc(1, sizeof(*w));
	if (w == NULL)
		return no < 0 ? no : -ENOMEM;
	base_init(mon, &w->b, KIND_WATCH);
	w->no = (uint16_t)no;
	w->raw = raw;
	w->b.live = table_new();
	err = w->b.live == NULL ? -ENOMEM : table_freeze(w->b.live);
	if (err == 0)
		err = watch_register(mon, w);
	if (err == 0)
		return w->fd;
	table_put(&mon->tables, w->b.live);
	free(w);
	return err;
}

/* Numbers in turn, so that one rests before it is used again. */
static int number_take(struct shim_mon *mon)
{
	for (unsigned i = 0; i < MON_SOCKS_MAX; i++) {
		unsigned no = mon->watch_turn++ % MON_SOCKS_MAX;

		if (atomic_load(&mon->watch[no]) == NULL)
			return (int)no;
	}
	return shim_why(-ENFILE, "a context has %d monitor sockets at most", MON_SOCKS_MAX);
}

static int watch_register(struct shim_mon *mon, struct mon_watch *w)
{
	int fd = fds_add(mon->c, &w->b.s), err;

	if (fd < 0)
		return fd;
	w->fd = fd;
	atomic_store(&mon->watch[w->no], w);
	err = watch_tell(w, NULL);
	if (err == 0)
		return 0;
	atomic_store(&mon->watch[w->no], NULL);
	fds_remove(mon->c, &w->b.s);
	return err;
}

void mon_ready(struct shim_mon *mon)
{
	if (mon->ready)
		return;
	mon->ready = true;
	for (unsigned i = 0; i < MON_SOCKS_MAX; i++) {
		struct mon_watch *w = atomic_load(&mon->watch[i]);

		if (w != NULL && !w->b.closing)
			(void)watch_tell(w, (w->next != NULL ? w->next : w->b.live)->uses);
	}
}

/* The id is gone already. */
void mon_close(struct shim_ctx *c, struct shim_sock *s)
{
	struct mon_base *b = (struct mon_base *)s;
	struct ctl_sock m;

	b->closing = true;
	if (s->kind == KIND_WATCH) {
		m.cookie = watch_of(b)->no;
		if (!c->down && c->mon != NULL)
			(void)ctl_call(c, CTL_MON_CLOSE, &m, sizeof(m), NULL);
	} else {
		act_of(b)->stop |= STOP_BOTH;
	}
	mon_changed(b);
}

void watch_free(struct shim_mon *mon, struct mon_watch *w)
{
	if (w == NULL)
		return;
	while (w->acts != NULL)
		act_free(mon, w->acts);
	if (w->b.s.fd >= 0)
		fds_remove(mon->c, &w->b.s);
	atomic_store(&mon->watch[w->no], NULL);
	table_put(&mon->tables, w->next);
	table_put(&mon->tables, w->b.live);
	free(w);
}

/* --- Sockets of flows -------------------------------------------------------------------------------------------------------- */

struct mon_act *act_create(struct shim_mon *mon, struct mon_watch *w, struct shim_mlane *l, const struct mon_event *ev)
{
	struct mon_act *a = calloc(1, sizeof(*a));
	int err;

	if (a == NULL)
		return NULL;
	base_init(mon, &a->b, KIND_ACT);
	a->watch = w;
	a->lane = l;
	a->flow = ev->flow;
	a->gen = ev->gen;
	act_name(a);
	pthread_mutex_lock(&mon->c->lock);
	err = act_number(mon, a);
	pthread_mutex_unlock(&mon->c->lock);
	if (err != 0) {
		free(a);
		return NULL;
	}
	a->flow_next = l->flow[a->flow].acts;
	l->flow[a->flow].acts = a;
	a->next = w->acts;
	a->at = &w->acts;
	if (a->next != NULL)
		a->next->at = &a->next;
	w->acts = a;
	return a;
}

/* What the watch says about buffers and overlaps holds for its flows. */
static int act_number(struct shim_mon *mon, struct mon_act *a)
{
	int err = act_hash(mon, a);

	if (err != 0)
		return err;
	a->fd = fds_add(mon->c, &a->b.s);
	if (a->fd < 0) {
		act_unhash(mon, a);
		return a->fd;
	}
	for (unsigned i = 0; i < 2; i++) {
		a->b.policy[i] = a->watch->b.policy[i];
		a->b.buf[i] = a->watch->b.buf[i];
		if (a->b.buf[i] >= 0)
			mon_changed(&a->b);
		a->from[i] = a->b.buf[i] == 0 ? UINT64_MAX : 0;
	}
	return 0;
}

/* Its addresses, while the record is surely there. */
static void act_name(struct mon_act *a)
{
	struct mon_rec rec;

	if (act_rec(a, &rec) != 0)
		return;
	for (unsigned i = 0; i < 2; i++) {
		a->addr[i] = rec.side[i].addr;
		a->port[i] = rec.side[i].port;
	}
	a->flags |= ACT_NAMED;
}

void act_free(struct shim_mon *mon, struct mon_act *a)
{
	struct mon_act **at = &a->lane->flow[a->flow].acts;

	while (*at != NULL && *at != a)
		at = &(*at)->flow_next;
	if (*at == a)
		*at = a->flow_next;
	*a->at = a->next;
	if (a->next != NULL)
		a->next->at = a->at;
	if (a->b.changed) {
		struct mon_base **c = &mon->changed;

		while (*c != &a->b)
			c = &(*c)->changed_next;
		*c = a->b.changed_next;
	}
	act_unhash(mon, a);
	if (a->b.s.fd >= 0) {
		ep_forget(mon->c, &a->b.s);
		fds_remove(mon->c, &a->b.s);
	}
	table_put(&mon->tables, a->b.live);
	free(a->edits);
	free(a);
}

/* --- By addresses -------------------------------------------------------------------------------------------------------------- */

static uint32_t tuple_hash(const struct ipaddr *addr, const uint16_t *port)
{
	/* the same for both orders */
	return (XXH32(&addr[0], sizeof(*addr), port[0]) + XXH32(&addr[1], sizeof(*addr), port[1]));
}

static int tuple_grow(struct shim_mon *mon)
{
	uint32_t n = mon->tuple == NULL ? TUPLE_MIN : (mon->tuple_mask + 1) * 2;
	struct mon_act **p = calloc(n, sizeof(*p));

	if (p == NULL)
		return mon->tuple == NULL ? -ENOMEM : 0;
	for (uint32_t i = 0; mon->tuple != NULL && i <= mon->tuple_mask; i++) {
		for (struct mon_act *a = mon->tuple[i], *next; a != NULL; a = next) {
			uint32_t h = tuple_hash(a->addr, a->port) & (n - 1);

			next = a->tuple_next;
			a->tuple_next = p[h];
			p[h] = a;
		}
	}
	free(mon->tuple);
	mon->tuple = p;
	mon->tuple_mask = n - 1;
	return 0;
}

static int act_hash(struct shim_mon *mon, struct mon_act *a)
{
	uint32_t h;

	if ((a->flags & ACT_NAMED) == 0)
		return 0;
	if ((mon->tuple == NULL || mon->tuples > mon->tuple_mask) && tuple_grow(mon) != 0)
		return -ENOMEM;
	h = tuple_hash(a->addr, a->port) & mon->tuple_mask;
	a->tuple_next = mon->tuple[h];
	mon->tuple[h] = a;
	mon->tuples++;
	return 0;
}

static void act_unhash(struct shim_mon *mon, struct mon_act *a)
{
	struct mon_act **at;

	if ((a->flags & ACT_NAMED) == 0)
		return;
	at = &mon->tuple[tuple_hash(a->addr, a->port) & mon->tuple_mask];
	while (*at != a)
		at = &(*at)->tuple_next;
	*at = a->tuple_next;
	mon->tuples--;
}

static bool end_is(const struct mon_act *a, unsigned side, const struct ipaddr *addr, uint16_t port)
{
	return a->port[side] == port && memcmp(&a->addr[side], addr, sizeof(*addr)) == 0;
}

static int find_tuple(struct shim_ctx *c, int sock, const struct ipaddr *addr, const uint16_t *port)
{
	struct shim_mon *mon = c->mon;
	int err = 0;
	struct mon_base *w = mon_get(c, sock, &err);

	if (w == NULL)
		return err;
	if (w->s.kind != KIND_WATCH || watch_of(w)->raw)
		return -ESOCKTNOSUPPORT;
	if (mon->tuple == NULL)
		return -ENOENT;
	for (struct mon_act *a = mon->tuple[tuple_hash(addr, port) & mon->tuple_mask]; a != NULL; a = a->tuple_next) {
		if (&a->watch->b != w || a->b.closing)
			continue;
		if ((end_is(a, 0, &addr[0], port[0]) && end_is(a, 1, &addr[1], port[1])) ||
		    (end_is(a, 1, &addr[0], port[0]) && end_is(a, 0, &addr[1], port[1])))
			return a->fd;
	}
	return -ENOENT;
}

int mtcp_getsockid_bytuple(mctx_t mctx, int sock, const struct sockaddr *one, const struct sockaddr *other, socklen_t addrlen)
{
	struct shim_ctx *c = shim_enter(mctx);
	struct ipaddr addr[2];
	uint16_t port[2];
	int err;

	if (c == NULL)
		return -1;
	if (one == NULL || other == NULL)
		return (int)shim_leave(c, -EINVAL);
	err = addr_in(one, addrlen, &addr[0], &port[0]);
	if (err == 0)
		err = addr_in(other, addrlen, &addr[1], &port[1]);
	return (int)shim_leave(c, err != 0 ? err : find_tuple(c, sock, addr, port));
}

/* One address, where there is room for so many bytes; what it does not need stays as it is. */
static int name_out(const struct mon_act *a, unsigned side, uint8_t *to, socklen_t room)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port[side]) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port[side]) };

	if (addr_is_v4(&a->addr[side])) {
		in.sin_addr.s_addr = a->addr[side].w[3];
		memcpy(to, &in, sizeof(in));
		return 0;
	}
	if (room < sizeof(in6))
		return -EINVAL;
	memcpy(&in6.sin6_addr, &a->addr[side], sizeof(in6.sin6_addr));
	memcpy(to, &in6, sizeof(in6));
	return 0;
}

static int peer_name(const struct mon_act *a, int side, uint8_t *to, socklen_t len)
{
	socklen_t room = side == MOS_SIDE_BOTH ? len / 2 : len;
	int err;

	if (side != MOS_SIDE_CLI && side != MOS_SIDE_SVR && side != MOS_SIDE_BOTH)
		return -EINVAL;
	if ((side == MOS_SIDE_BOTH && len % 2 != 0) || (room != sizeof(struct sockaddr_in) && room < sizeof(struct sockaddr_in6)))
		return -EINVAL;
	if ((a->flags & ACT_NAMED) == 0)
		return -ENOTCONN;
	if (len == 4 * sizeof(struct sockaddr_in) && addr_is_v4(&a->addr[MON_CLI])) /* programs have an array of two, and give twice its size */
		room = sizeof(struct sockaddr_in);
	else if (side != MOS_SIDE_BOTH)
		return name_out(a, (unsigned)side, to, room);
	err = name_out(a, MON_CLI, to, room);
	return err != 0 ? err : name_out(a, MON_SVR, to + room, room);
}

/* Not from a callback.  End sockets have no two sides: EPERM for them, too. */
static int refuse(mctx_t mctx, int sock)
{
	struct shim_ctx *c = shim_enter(mctx);
	struct shim_sock *s;

	if (c == NULL)
		return -1;
	s = fds_get(c, sock);
	return (int)shim_leave(c, s == NULL ? -EBADF : s->kind == KIND_STREAM ? -EPERM : s->kind == KIND_ACT ? mon_outside() :
				  s->kind == KIND_WATCH ? -ENOTCONN : -ENOTSOCK);
}

int mtcp_getpeername(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen, int side)
{
	struct shim_mon *mon = mon_inside(mctx);
	struct mon_act *a;
	int err;

	if (mon == NULL)
		return refuse(mctx, sock);
	a = mon_named_act(mon, sock, &err);
	if (a == NULL)
		return err == -ENOTSOCK ? refuse(mctx, sock) : (int)shim_ret(err == -ESOCKTNOSUPPORT ? -ENOTCONN : err);
	return (int)shim_ret(addr == NULL || addrlen == NULL ? -EINVAL : peer_name(a, side, (uint8_t *)addr, *addrlen));
}

/* --- Pointers of the program ------------------------------------------------------------------------------------------------------ */

void mtcp_set_uctx(mctx_t mctx, int sock, void *uctx)
{
	struct shim_mon *mon = mon_enter(mctx);
	struct mon_base *b;
	int err;

	if (mon == NULL)
		return;
	b = mon_named(mon, sock, &err);
	if (b != NULL)
		b->uctx = uctx;
	else
		(void)shim_ret(-EBADF);
}

void *mtcp_get_uctx(mctx_t mctx, int sock)
{
	struct shim_mon *mon = mon_enter(mctx);
	struct mon_base *b;
	int err;

	if (mon == NULL)
		return NULL;
	b = mon_named(mon, sock, &err);
	if (b == NULL)
		(void)shim_ret(-EBADF);
	return b != NULL ? b->uctx : NULL;
}

/* --- Stopping --------------------------------------------------------------------------------------------------------------------- */

int mon_stop_side(struct mon_base *b, int side)
{
	if (side != MOS_SIDE_CLI && side != MOS_SIDE_SVR && side != MOS_SIDE_BOTH)
		return -EINVAL;
	if (b->s.kind != KIND_ACT)
		return -EPERM;
	act_of(b)->stop |= (uint8_t)(side == MOS_SIDE_BOTH ? STOP_BOTH : 1 << side);
	mon_changed(b);
	return 0;
}

int mtcp_cb_stop(mctx_t mctx, int sock, int side)
{
	struct shim_mon *mon = mon_enter(mctx);
	struct mon_base *b;
	int err;

	if (mon == NULL)
		return -1;
	b = mon_named(mon, sock, &err);
	if (b == NULL)
		return (int)shim_ret(err);
	pthread_mutex_lock(&mon->c->lock);
	err = mon_stop_side(b, side);
	pthread_mutex_unlock(&mon->c->lock);
	return (int)shim_ret(err);
}

/* --- Carrying out ------------------------------------------------------------------------------------------------------------------ */

void mon_changed(struct mon_base *b)
{
	struct shim_mon *mon = b->mon;

	if (!b->changed) {
		b->changed = true;
		b->changed_next = mon->changed;
		mon->changed = b;
	}
	atomic_store_explicit(&mon->dirty, true, memory_order_release);
	if (!mon_is_here(mon))
		mon_kick(mon);
}

void mon_sync(struct shim_mon *mon)
{
	struct mon_base *b;

	/* pairs with the release in mon_changed; the lock orders the rest */
	if (!atomic_load_explicit(&mon->dirty, memory_order_acquire))
		return;
	pthread_mutex_lock(&mon->c->lock);
	atomic_store_explicit(&mon->dirty, false, memory_order_relaxed);
	while ((b = mon->changed) != NULL) {
		mon->changed = b->changed_next;
		b->changed = false;
		if (b->s.kind == KIND_WATCH)
			sync_watch(mon, watch_of(b));
		else
			sync_act(mon, act_of(b));
	}
	put_posts(mon);
	pthread_mutex_unlock(&mon->c->lock);
}

static void sync_watch(struct shim_mon *mon, struct mon_watch *w)
{
	if (w->b.closing && !w->dead) {
		while (w->acts != NULL)
			act_free(mon, w->acts);
		w->dead = true;
		mon->deads++;
	}
	if (w->next == NULL || table_freeze(w->next) != 0)
		return; /* no memory: the old one stays in force, until the next change */
	table_put(&mon->tables, w->b.live);
	w->b.live = w->next;
	w->next = NULL;
}

static void tell(struct mon_act *a, unsigned op, uint32_t value, uint32_t size)
{
	struct mon_cmd c = { .op = (uint16_t)op, .sock = a->watch->no, .flow = a->flow, .gen = a->gen };

	c.one.value = value;
	c.one.size = size;
	mon_put(a->b.mon, a->lane, &c, NULL, 0);
}

/* The flow's own registrations, in force from now on. */
static void sync_table(struct shim_mon *mon, struct mon_act *a)
{
	struct mon_table *t = a->b.live != NULL ? a->b.live : a->watch->b.live;
	struct mon_cmd c = { .op = MCMD_MASK, .sock = a->watch->no, .flow = a->flow, .gen = a->gen };

	t = table_with(&mon->tables, t, a->edits, a->edit_count);
	if (t == NULL)
		return;
	a->edit_count = 0;
	table_put(&mon->tables, a->b.live);
	a->b.live = t;
	table_mask(t, c.mask.events);
	if ((a->flags & ACT_TOLD_MASK) != 0 && memcmp(a->mask, c.mask.events, sizeof(a->mask)) == 0)
		return;
	a->flags |= ACT_TOLD_MASK;
	memcpy(a->mask, c.mask.events, sizeof(a->mask));
	mon_put(mon, a->lane, &c, NULL, 0);
}

static void sync_stop(struct mon_act *a, unsigned side)
{
	tell(a, MCMD_STOP, side, 0);
	a->from[side] = UINT64_MAX;
}

static void sync_buf(struct mon_act *a, unsigned side, uint64_t size)
{
	tell(a, MCMD_BUF, side, (uint32_t)size);
	if (size == 0)
		a->from[side] = UINT64_MAX;
	else if (a->from[side] == UINT64_MAX)
		a->from[side] = a->next_off[side];
}

static void sync_act(struct shim_mon *mon, struct mon_act *a)
{
	if ((a->stop & STOP_BOTH) != 0 || a->stop == 3) {
		tell(a, MCMD_STOP, MON_BOTH, 0);
		a->lane->flow[a->flow].stopped |= (uint16_t)(1u << a->watch->no);
		act_free(mon, a);
		return;
	}
	for (unsigned side = 0; side < 2; side++) {
		if ((a->stop & ~a->stopped & 1u << side) != 0)
			sync_stop(a, side);
		if (a->b.buf[side] >= 0)
			sync_buf(a, side, (uint64_t)a->b.buf[side]);
		a->b.buf[side] = -1;
	}
	a->stopped = a->stop;
	if (a->edit_count > 0)
		sync_table(mon, a);
}

static void put_posts(struct shim_mon *mon)
{
	struct mon_post *p;

	while ((p = mon->posts) != NULL) {
		mon->posts = p->next;
		mon_put(mon, p->lane, &p->cmd, p->data, p->len);
		free(p);
	}
	mon->posts_tail = &mon->posts;
}
