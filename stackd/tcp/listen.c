/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The port table of listen.h: one pointer per port, to a record that is replaced whole.
 */
#include "stackd/tcp/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <urcu/urcu-qsbr.h>

#include "stackd/tcp/tcp.h"
#include "stackd/tsan.h"

enum { PORTS = 65536 };

/* Whoever has one port.  Not changed once engines can see it, but for the members' own fields. */
struct port {
	unsigned count;
	struct listener *member[];
};

struct listen_table {
	unsigned engines;
	uint32_t next; /* where the search for a free port goes on */
	struct port *port[PORTS];
};

static bool any(const struct ipaddr *a);
static bool same(const struct ipaddr *a, const struct ipaddr *b);
static unsigned families(const struct ipaddr *a, unsigned flags);
static bool overlap(const struct listener *l, const struct ipaddr *addr, unsigned flags);
static bool may_share(const struct listen_who *who, unsigned flags, const struct listener *l);
static bool is_free(const struct listen_table *t, const struct listen_who *who, const struct ipaddr *addr, uint16_t port,
                    unsigned flags);
static uint16_t pick_port(struct listen_table *t, const struct ipaddr *addr, unsigned flags, uint16_t min, uint16_t max);
static bool reserved(const struct listen_table *t, const struct ipaddr *addr, unsigned flags, uint16_t port);
static struct listener *listener_new(const struct listen_table *t, const struct listen_who *who, const struct ipaddr *addr,
                                     uint16_t port, unsigned flags);
static const struct port *record(const struct listen_table *t, uint16_t port);
static void replace(struct listen_table *t, uint16_t port, struct port *next);
static bool fits(const struct listener *l, const struct ipaddr *addr, unsigned engine, bool exact, bool home);

struct listen_table *listen_table_create(unsigned engines)
{
	struct listen_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->engines = engines;
	(void)getrandom(&t->next, sizeof(t->next), GRND_NONBLOCK);
	return t;
}

void listen_table_destroy(struct listen_table *t)
{
	if (t == NULL)
		return;
	for (unsigned i = 0; i < PORTS; i++) {
		for (unsigned k = 0; t->port[i] != NULL && k < t->port[i]->count; k++)
			listen_free(t->port[i]->member[k]);
		free(t->port[i]);
	}
	free(t);
}

struct listener *listen_bind(struct listen_table *t, const struct listen_who *who, const struct ipaddr *addr, uint16_t port,
                             unsigned flags, uint16_t port_min, uint16_t port_max)
{
	struct port *old, *next;
	struct listener *l;
	unsigned count;

	if (port == 0)
		port = pick_port(t, addr, flags, port_min, port_max);
	if (port == 0 || !is_free(t, who, addr, port, flags)) {
		errno = EADDRINUSE;
		return NULL;
	}
	old = t->port[port];
	count = old != NULL ? old->count : 0;
	l = listener_new(t, who, addr, port, flags);
	next = malloc(sizeof(*next) + (count + 1) * sizeof(next->member[0]));
	if (l == NULL || next == NULL) {
		free(l);
		free(next);
		errno = ENOMEM;
		return NULL;
	}
	if (count > 0)
		memcpy(next->member, old->member, count * sizeof(next->member[0]));
	next->member[count] = l;
	next->count = count + 1;
	replace(t, port, next);
	return l;
}

int listen_start(struct listen_table *t, struct listener *l, uint32_t backlog)
{
	const struct port *p = t->port[l->port];

	for (unsigned i = 0; i < p->count; i++) {
		const struct listener *other = p->member[i];

		if (other != l && other->app == l->app && other->backlog > 0 && overlap(other, &l->addr, l->flags) &&
		    !(other->flags & l->flags & BIND_REUSEPORT))
			return -EADDRINUSE;
	}
	__atomic_store_n(&l->backlog, backlog > 0 ? backlog : 1, __ATOMIC_RELEASE); /* pairs with fits() */
	return 0;
}

void listen_options(struct listener *l, uint32_t set, const uint32_t *value)
{
	set &= (1u << OPT_MAX) - 2;
	for (unsigned i = 0; i < OPT_MAX; i++)
		if ((set >> i & 1) != 0)
			__atomic_store_n(&l->opt[i], value[i], __ATOMIC_RELAXED);
	__atomic_store_n(&l->opt_set, set, __ATOMIC_RELEASE); /* pairs with option_inherit() */
}

void listen_remove(struct listen_table *t, struct listener *l)
{
	struct port *old = t->port[l->port], *next = NULL;
	unsigned n = 0;

	if (old->count > 1) {
		next = malloc(sizeof(*next) + (old->count - 1) * sizeof(next->member[0]));
		if (next == NULL) { /* then it goes by taking its place: readers may see the last member twice */
			for (unsigned i = 0; i < old->count; i++)
				if (old->member[i] == l)
					__atomic_store_n(&old->member[i], old->member[old->count - 1], __ATOMIC_RELEASE);
			__atomic_store_n(&old->count, old->count - 1, __ATOMIC_RELEASE);
			return;
		}
		for (unsigned i = 0; i < old->count; i++)
			if (old->member[i] != l)
				next->member[n++] = old->member[i];
		next->count = n;
	}
	replace(t, l->port, next);
}

void listen_free(struct listener *l)
{
	free(l);
}

/* Exact addresses before unspecified ones, at home before elsewhere; among equals the hash decides. */
struct listener *listen_find(struct listen_table *t, const struct ipaddr *addr, uint16_t port, unsigned engine, uint32_t hash)
{
	const struct port *p = record(t, port);

	for (unsigned rank = 0; p != NULL && rank < 4; rank++) {
		unsigned count = __atomic_load_n(&p->count, __ATOMIC_ACQUIRE), n = 0, i;

		for (i = 0; i < count; i++)
			n += fits(p->member[i], addr, engine, rank < 2, rank % 2 == 0);
		if (n == 0)
			continue;
		n = hash % n + 1;
		for (i = 0; i < count; i++) {
			n -= fits(p->member[i], addr, engine, rank < 2, rank % 2 == 0);
			if (n == 0)
				return p->member[i];
		}
	}
	return NULL;
}

bool listen_owns(struct listen_table *t, uint32_t app, const struct ipaddr *addr, uint16_t port)
{
	const struct port *p = record(t, port);

	for (unsigned i = 0; p != NULL && i < p->count; i++)
		if (p->member[i]->app == app && overlap(p->member[i], addr, 0))
			return true;
	return false;
}

bool listen_reserved(struct listen_table *t, const struct ipaddr *addr, uint16_t port)
{
	return reserved(t, addr, 0, port);
}

static bool reserved(const struct listen_table *t, const struct ipaddr *addr, unsigned flags, uint16_t port)
{
	const struct port *p = record(t, port);

	for (unsigned i = 0; p != NULL && i < p->count; i++)
		if (overlap(p->member[i], addr, flags))
			return true;
	return false;
}

static bool is_free(const struct listen_table *t, const struct listen_who *who, const struct ipaddr *addr, uint16_t port,
                    unsigned flags)
{
	const struct port *p = t->port[port];

	for (unsigned i = 0; p != NULL && i < p->count; i++)
		if (overlap(p->member[i], addr, flags) && !may_share(who, flags, p->member[i]))
			return false;
	return true;
}

static bool may_share(const struct listen_who *who, unsigned flags, const struct listener *l)
{
	return l->pid == who->pid || ((l->flags & flags & BIND_REUSEPORT) != 0 && l->uid == who->uid);
}

static uint16_t pick_port(struct listen_table *t, const struct ipaddr *addr, unsigned flags, uint16_t min, uint16_t max)
{
	uint32_t range = max >= min ? (uint32_t)max - min + 1 : 0;

	for (uint32_t i = 0; i < range; i++) {
		uint16_t port = (uint16_t)(min + t->next++ % range);

		if (port != 0 && !reserved(t, addr, flags, port))
			return port;
	}
	return 0;
}

static struct listener *listener_new(const struct listen_table *t, const struct listen_who *who, const struct ipaddr *addr,
                                     uint16_t port, unsigned flags)
{
	struct listener *l = calloc(1, sizeof(*l) + t->engines * sizeof(l->lane[0]));

	if (l == NULL)
		return NULL;
	l->addr = *addr;
	l->port = port;
	l->flags = (uint16_t)flags;
	l->cookie = who->cookie;
	l->app = who->app;
	l->pid = who->pid;
	l->uid = who->uid;
	l->home = who->home;
	for (unsigned i = 0; i < t->engines; i++)
		l->lane[i].owner = who->owner[i];
	return l;
}

static const struct port *record(const struct listen_table *t, uint16_t port)
{
	return __atomic_load_n(&t->port[port], __ATOMIC_ACQUIRE); /* pairs with replace() */
}

/* Engines that read the old record are waited for. */
static void replace(struct listen_table *t, uint16_t port, struct port *next)
{
	struct port *old = t->port[port];

	__atomic_store_n(&t->port[port], next, __ATOMIC_RELEASE); /* pairs with record() */
	if (old == NULL)
		return;
	urcu_qsbr_synchronize_rcu();
	tsan_acquire(t);
	free(old);
}

static bool fits(const struct listener *l, const struct ipaddr *addr, unsigned engine, bool exact, bool home)
{
	const struct tcp_owner *owner = l->lane[engine].owner;

	if (__atomic_load_n(&l->backlog, __ATOMIC_ACQUIRE) == 0 || owner == NULL || owner->dead)
		return false;
	if (home && l->home != engine)
		return false;
	return exact ? same(&l->addr, addr) : any(&l->addr) && (families(&l->addr, l->flags) & families(addr, 0)) != 0;
}

/* 1: IPv4, 2: IPv6, 3: both */
static unsigned families(const struct ipaddr *a, unsigned flags)
{
	static const struct ipaddr none6;

	if (net_is_ip4(a))
		return 1;
	return same(a, &none6) && (flags & BIND_V6ONLY) == 0 ? 3 : 2;
}

static bool overlap(const struct listener *l, const struct ipaddr *addr, unsigned flags)
{
	if ((families(&l->addr, l->flags) & families(addr, flags)) == 0)
		return false;
	return any(&l->addr) || any(addr) || same(&l->addr, addr);
}

static bool same(const struct ipaddr *a, const struct ipaddr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* :: or ::ffff:0.0.0.0 */
static bool any(const struct ipaddr *a)
{
	static const struct ipaddr none6, none4 = { .b = { [10] = 0xff, [11] = 0xff } };

	return same(a, &none6) || same(a, &none4);
}
