/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Readiness.  An epoll has a list of items that may be ready: events put them there, mtcp_epoll_wait asks each what it really is,
 * reports it, and keeps the level-triggered ones.  So a wait costs as much as there is ready, and nothing is ever lost: what is
 * not reported for want of room stays on the list.
 *
 * Kernel descriptors are members of an epoll of the kernel that our instance owns; that one is a member of the context's.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"

static_assert((int)MTCP_EPOLLIN == EPOLLIN && (int)MTCP_EPOLLPRI == EPOLLPRI && (int)MTCP_EPOLLOUT == EPOLLOUT &&
		      (int)MTCP_EPOLLERR == EPOLLERR && (int)MTCP_EPOLLHUP == EPOLLHUP &&
		      (int)MTCP_EPOLLRDHUP == EPOLLRDHUP && (int)MTCP_EPOLLRDNORM == EPOLLRDNORM &&
		      (int)MTCP_EPOLLRDBAND == EPOLLRDBAND && (int)MTCP_EPOLLWRNORM == EPOLLWRNORM &&
		      (int)MTCP_EPOLLWRBAND == EPOLLWRBAND && (int)MTCP_EPOLLMSG == EPOLLMSG &&
		      (int)MTCP_EPOLLONESHOT == EPOLLONESHOT && (uint32_t)MTCP_EPOLLET == (uint32_t)EPOLLET,
	      "the bits of mTCP are those of Linux");
static_assert(sizeof(struct mtcp_epoll_event) == sizeof(struct shim_event), "events are translated in place");

enum {
	UNASKED = EPOLLERR | EPOLLHUP,
	READABLE_BITS = EPOLLIN | EPOLLRDNORM,
	WRITABLE_BITS = EPOLLOUT | EPOLLWRNORM,
	NESTED_MAX = 5,
	KERNEL_BATCH = 64,
	TAG_KERNEL = 4, /* context.c */
};

static int create(struct shim_ctx *c);
static struct shim_epoll *ep_get(const struct shim_ctx *c, int epid, int *err);
static int ctl_kernel(struct shim_ctx *c, struct shim_epoll *ep, int op, int fd, const struct shim_event *e);
static int item_add(struct shim_ctx *c, struct shim_epoll *ep, struct shim_sock *s, const struct shim_event *e);
static void item_arm(struct shim_ctx *c, struct shim_item *i);
static void item_remove(struct shim_ctx *c, struct shim_item *i);
static struct shim_item *item_find(const struct shim_epoll *ep, const struct shim_sock *s);
static uint32_t item_bits(struct shim_ctx *c, struct shim_item *i);
static void queue(struct shim_ctx *c, struct shim_item *i);
static void unqueue(struct shim_item *i);
static bool reaches(const struct shim_ctx *c, const struct shim_epoll *from, const struct shim_sock *to, int depth);
static int collect(struct shim_ctx *c, struct shim_epoll *ep, struct shim_event *e, int max);
static int collect_own(struct shim_ctx *c, struct shim_epoll *ep, struct shim_event *e, int max);
static int collect_kernel(struct shim_epoll *ep, struct shim_event *e, int max);
static int do_poll(struct shim_ctx *c, struct pollfd *fds, nfds_t n, int timeout_ms);
static int poll_once(struct shim_ctx *c, struct pollfd *fds, nfds_t n);

/* --- Public calls ------------------------------------------------------------------------------------------------------- */

int mtcp_epoll_create(mctx_t mctx, int size)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, size <= 0 ? -EINVAL : create(c));
}

int mtcp_epoll_create1(mctx_t mctx, int flags)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, (flags & ~O_CLOEXEC) != 0 ? -EINVAL : create(c));
}

int mtcp_epoll_ctl(mctx_t mctx, int epid, int op, int sockid, struct mtcp_epoll_event *event)
{
	struct shim_ctx *c = shim_enter(mctx);
	struct shim_event e = { 0 };

	if (c == NULL)
		return -1;
	if (event != NULL)
		e = (struct shim_event){ event->events, event->data.u64 };
	return (int)shim_leave(c, ep_ctl(c, epid, op, sockid, event != NULL ? &e : NULL));
}

int mtcp_epoll_wait(mctx_t mctx, int epid, struct mtcp_epoll_event *events, int maxevents, int timeout)
{
	struct shim_ctx *c = shim_enter(mctx);
	int n;

	if (c == NULL)
		return -1;
	n = (int)shim_leave(c, ep_wait(c, epid, (struct shim_event *)events, maxevents, timeout));
	for (int i = 0; i < n; i++) {
		struct shim_event e;

		memcpy(&e, &events[i], sizeof(e));
		events[i].events = (uint32_t)e.bits;
		events[i].data.u64 = e.data;
	}
	return n;
}

int mtcp_poll(mctx_t mctx, struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	struct shim_ctx *c = shim_enter(mctx);

	if (c == NULL)
		return -1;
	if (fds == NULL && nfds > 0)
		return (int)shim_leave(c, -EFAULT);
	return (int)shim_leave(c, do_poll(c, fds, nfds, timeout_ms));
}

char *EventToString(uint32_t event)
{
	return ep_names(event);
}

/* --- Members ---------------------------------------------------------------------------------------------------------------- */

static int create(struct shim_ctx *c)
{
	struct shim_epoll *ep = calloc(1, sizeof(*ep));
	int fd;

	if (ep == NULL)
		return -ENOMEM;
	ep->s.kind = KIND_EPOLL;
	ep->kernel_fd = -1;
	fd = fds_add(c, &ep->s);
	if (fd < 0)
		free(ep);
	return fd;
}

static struct shim_epoll *ep_get(const struct shim_ctx *c, int epid, int *err)
{
	struct shim_sock *s = fds_get(c, epid);

	*err = s == NULL ? -EBADF : s->kind != KIND_EPOLL ? -EINVAL : 0;
	return *err == 0 ? (struct shim_epoll *)s : NULL;
}

int ep_ctl(struct shim_ctx *c, int epid, int op, int fd, const struct shim_event *e)
{
	int err = 0, what = op & ~MTCP_EPOLL_KERNEL;
	struct shim_epoll *ep = ep_get(c, epid, &err);
	struct shim_sock *s;
	struct shim_item *i;

	if (ep == NULL)
		return err;
	if (what < MTCP_EPOLL_CTL_ADD || what > MTCP_EPOLL_CTL_MOD || (e == NULL && what != MTCP_EPOLL_CTL_DEL))
		return -EINVAL;
	if ((op & MTCP_EPOLL_KERNEL) != 0)
		return ctl_kernel(c, ep, what, fd, e);
	s = fds_get(c, fd);
	if (s == NULL)
		return -EBADF;
	if (s == &ep->s)
		return -EINVAL;
	i = item_find(ep, s);
	switch (what) {
	case MTCP_EPOLL_CTL_ADD:
		return i != NULL ? -EEXIST : item_add(c, ep, s, e);
	case MTCP_EPOLL_CTL_MOD:
		if (i == NULL)
			return -ENOENT;
		i->events = (uint32_t)e->bits;
		i->data = e->data;
		item_arm(c, i);
		return 0;
	default:
		if (i == NULL)
			return -ENOENT;
		item_remove(c, i);
		return 0;
	}
}

static int item_add(struct shim_ctx *c, struct shim_epoll *ep, struct shim_sock *s, const struct shim_event *e)
{
	struct shim_item *i;

	if (s->kind == KIND_WATCH || s->kind == KIND_ACT)
		return -EPERM; /* they have callbacks instead; as epoll(7) says of regular files */
	if (s->kind == KIND_EPOLL && reaches(c, (struct shim_epoll *)s, &ep->s, 0))
		return -ELOOP;
	i = calloc(1, sizeof(*i));
	if (i == NULL)
		return -ENOMEM;
	i->sock = s;
	i->ep = ep;
	i->events = (uint32_t)e->bits;
	i->data = e->data;
	i->next_of_sock = s->items;
	s->items = i;
	item_arm(c, i);
	return 0;
}

static void item_arm(struct shim_ctx *c, struct shim_item *i)
{
	i->off = false;
	if (item_bits(c, i) != 0)
		queue(c, i);
}

static void item_remove(struct shim_ctx *c, struct shim_item *i)
{
	struct shim_item **p = &i->sock->items;

	(void)c;
	while (*p != i)
		p = &(*p)->next_of_sock;
	*p = i->next_of_sock;
	unqueue(i);
	free(i);
}

static struct shim_item *item_find(const struct shim_epoll *ep, const struct shim_sock *s)
{
	struct shim_item *i = s->items;

	while (i != NULL && i->ep != ep)
		i = i->next_of_sock;
	return i;
}

void ep_forget(struct shim_ctx *c, struct shim_sock *s)
{
	while (s->items != NULL)
		item_remove(c, s->items);
}

void ep_close(struct shim_ctx *c, struct shim_epoll *ep)
{
	for (uint32_t fd = 0; fd < c->max_fds; fd++) {
		struct shim_item *i = c->fds[fd] != NULL ? item_find(ep, c->fds[fd]) : NULL;

		if (i != NULL)
			item_remove(c, i);
	}
	if (ep->kernel_fd >= 0)
		close(ep->kernel_fd); /* leaves the context's epoll with that */
	free(ep);
}

void ep_close_kernel(const struct shim_ctx *c)
{
	for (uint32_t fd = 0; fd < c->max_fds; fd++) {
		struct shim_sock *s = c->fds[fd];

		if (s != NULL && s->kind == KIND_EPOLL && ((struct shim_epoll *)s)->kernel_fd >= 0)
			close(((struct shim_epoll *)s)->kernel_fd);
	}
}

/* Would `to` be reached from the members of `from`?  Or is the nest too deep? */
static bool reaches(const struct shim_ctx *c, const struct shim_epoll *from, const struct shim_sock *to, int depth)
{
	if (&from->s == to || depth >= NESTED_MAX)
		return true;
	for (uint32_t fd = 0; fd < c->max_fds; fd++) {
		const struct shim_sock *s = c->fds[fd];

		if (s != NULL && s->kind == KIND_EPOLL && item_find(from, s) != NULL &&
		    reaches(c, (const struct shim_epoll *)s, to, depth + 1))
			return true;
	}
	return false;
}

/* --- Becoming ready ----------------------------------------------------------------------------------------------------------- */

void ep_notify(struct shim_ctx *c, struct shim_sock *s, uint32_t bits)
{
	if (bits == 0)
		return;
	c->changed = true;
	for (struct shim_item *i = s->items; i != NULL; i = i->next_of_sock) {
		if (!i->off && (bits & (i->events | UNASKED)) != 0)
			queue(c, i);
	}
}

static void queue(struct shim_ctx *c, struct shim_item *i)
{
	struct shim_epoll *ep = i->ep;

	if (i->queued)
		return;
	i->queued = true;
	i->next = NULL;
	i->prev = ep->last;
	if (ep->last != NULL)
		ep->last->next = i;
	else
		ep->first = i;
	ep->last = i;
	ep->ready++;
	if (ep->s.items != NULL)
		ep_notify(c, &ep->s, READABLE_BITS);
}

static void unqueue(struct shim_item *i)
{
	struct shim_epoll *ep = i->ep;

	if (!i->queued)
		return;
	i->queued = false;
	*(i->prev != NULL ? &i->prev->next : &ep->first) = i->next;
	*(i->next != NULL ? &i->next->prev : &ep->last) = i->prev;
	ep->ready--;
}

uint32_t ep_ready(const struct shim_ctx *c, const struct shim_sock *s)
{
	const struct shim_epoll *ep;

	switch (s->kind) {
	case KIND_STREAM:
		return stream_ready(c, (const struct shim_stream *)s);
	case KIND_PIPE:
		return pipe_ready((const struct shim_pipe *)s);
	case KIND_WATCH:
	case KIND_ACT:
		return 0;
	default:
		ep = (const struct shim_epoll *)s;
		for (const struct shim_item *i = ep->first; i != NULL; i = i->next) {
			if (!i->off && (ep_ready(c, i->sock) & (i->events | UNASKED)) != 0)
				return READABLE_BITS;
		}
		if (ep->kernel_fd >= 0) {
			struct pollfd p = { .fd = ep->kernel_fd, .events = POLLIN };

			return poll(&p, 1, 0) > 0 ? READABLE_BITS : 0;
		}
		return 0;
	}
}

/* What i would report now.  Whoever waits for room to write is noted, so that the room is announced. */
static uint32_t item_bits(struct shim_ctx *c, struct shim_item *i)
{
	uint32_t bits = ep_ready(c, i->sock);

	if ((i->events & WRITABLE_BITS) != 0 && (bits & EPOLLOUT) == 0 && i->sock->kind == KIND_STREAM &&
	    (i->sock->flags & F_LISTENER) == 0)
		stream_want_out(c, stream_of(i->sock));
	return bits & (i->events | UNASKED);
}

/* --- Waiting ------------------------------------------------------------------------------------------------------------------ */

int ep_wait(struct shim_ctx *c, int epid, struct shim_event *e, int max, int timeout_ms)
{
	uint64_t deadline = shim_deadline(timeout_ms);
	uint32_t cookie = 0;

	if (max <= 0)
		return -EINVAL;
	if (e == NULL)
		return -EFAULT;
	for (;;) {
		int err = 0, n;
		struct shim_epoll *ep = ep_get(c, epid, &err);

		if (ep == NULL || (cookie != 0 && ep->s.cookie != cookie))
			return err != 0 ? err : -EBADF;
		cookie = ep->s.cookie;
		(void)lane_pump(c);
		n = collect(c, ep, e, max);
		if (n > 0)
			return n;
		err = shim_wait(c, deadline);
		if (err == -ETIMEDOUT && c->armed_always && !c->polling && !shim_rearm(c))
			continue;
		if (err != 0)
			return err == -ETIMEDOUT ? 0 : err;
	}
}

/* Both kinds of members; who comes first alternates, so that neither starves the other. */
static int collect(struct shim_ctx *c, struct shim_epoll *ep, struct shim_event *e, int max)
{
	int n = 0;

	if (ep->kernel_fd < 0)
		return collect_own(c, ep, e, max);
	ep->kernel_turn = !ep->kernel_turn;
	if (ep->kernel_turn)
		n = collect_kernel(ep, e, max);
	if (n < max)
		n += collect_own(c, ep, e + n, max - n);
	if (!ep->kernel_turn && n < max)
		n += collect_kernel(ep, e + n, max - n);
	return n;
}

static int collect_own(struct shim_ctx *c, struct shim_epoll *ep, struct shim_event *e, int max)
{
	int n = 0;

	for (uint32_t left = ep->ready; left > 0 && n < max; left--) {
		struct shim_item *i = ep->first;
		uint32_t bits = item_bits(c, i);

		unqueue(i);
		if (bits == 0)
			continue;
		e[n++] = (struct shim_event){ bits, i->data };
		if ((i->events & EPOLLONESHOT) != 0)
			i->off = true;
		else if ((i->events & (uint32_t)EPOLLET) == 0)
			queue(c, i); /* at the end: the others come first next time */
	}
	return n;
}

static int collect_kernel(struct shim_epoll *ep, struct shim_event *e, int max)
{
	struct epoll_event k[KERNEL_BATCH];
	int n = epoll_wait(ep->kernel_fd, k, max < KERNEL_BATCH ? max : KERNEL_BATCH, 0);

	for (int i = 0; i < n; i++)
		e[i] = (struct shim_event){ k[i].events, k[i].data.u64 };
	return n < 0 ? 0 : n;
}

static int ctl_kernel(struct shim_ctx *c, struct shim_epoll *ep, int op, int fd, const struct shim_event *e)
{
	struct epoll_event k = { 0 };

	if (ep->kernel_fd < 0) {
		/* edge-triggered in the context's epoll: a descriptor that its owner leaves ready does not keep others awake */
		struct epoll_event up = { .events = EPOLLIN | EPOLLET, .data.u32 = TAG_KERNEL };

		ep->kernel_fd = epoll_create1(EPOLL_CLOEXEC);
		if (ep->kernel_fd < 0)
			return -errno;
		if (epoll_ctl(c->epfd, EPOLL_CTL_ADD, ep->kernel_fd, &up) != 0) {
			int err = -errno;

			close(ep->kernel_fd);
			ep->kernel_fd = -1;
			return err;
		}
	}
	if (e != NULL) {
		k.events = (uint32_t)e->bits;
		k.data.u64 = e->data;
	}
	if (epoll_ctl(ep->kernel_fd, op, fd, &k) != 0)
		return -errno;
	c->changed = true;
	return 0;
}

/* --- poll --------------------------------------------------------------------------------------------------------------------- */

static int do_poll(struct shim_ctx *c, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	uint64_t deadline = shim_deadline(timeout_ms);

	for (;;) {
		int ready, err;

		(void)lane_pump(c);
		ready = poll_once(c, fds, n);
		if (ready > 0)
			return ready;
		err = shim_wait(c, deadline);
		if (err != 0)
			return err == -ETIMEDOUT ? 0 : err;
	}
}

static int poll_once(struct shim_ctx *c, struct pollfd *fds, nfds_t n)
{
	int ready = 0;

	for (nfds_t k = 0; k < n; k++) {
		struct shim_sock *s = fds_get(c, fds[k].fd);
		struct shim_item i = { .sock = s, .events = (uint16_t)fds[k].events };

		fds[k].revents = 0;
		if (fds[k].fd < 0)
			continue;
		fds[k].revents = s == NULL ? POLLNVAL : (short)item_bits(c, &i);
		ready += fds[k].revents != 0;
	}
	return ready;
}

/* --- Words -------------------------------------------------------------------------------------------------------------------- */

char *ep_names(uint32_t bits)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
		{ EPOLLIN, "IN" },         { EPOLLPRI, "PRI" },       { EPOLLOUT, "OUT" },       { EPOLLERR, "ERR" },
		{ EPOLLHUP, "HUP" },       { EPOLLRDNORM, "RDNORM" }, { EPOLLRDBAND, "RDBAND" }, { EPOLLWRNORM, "WRNORM" },
		{ EPOLLWRBAND, "WRBAND" }, { EPOLLMSG, "MSG" },       { EPOLLRDHUP, "RDHUP" },   { EPOLLONESHOT, "ONESHOT" },
		{ (uint32_t)EPOLLET, "ET" },
	};
	static _Thread_local char text[128];
	char *p = text;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if ((bits & names[i].bit) == 0)
			continue;
		if (p != text)
			*p++ = '|';
		p = stpcpy(p, names[i].name);
	}
	if (p == text)
		strcpy(text, "NONE");
	return text;
}
