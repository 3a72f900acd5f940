/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ids, addresses, and how connections come about: bind, listen, accept, connect.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"

static int do_bind(struct shim_ctx *c, int fd, const struct sockaddr *addr, socklen_t len);
static int do_listen(struct shim_ctx *c, int fd, int backlog);
static int do_accept(struct shim_ctx *c, int fd, struct sockaddr *addr, socklen_t *len, bool nonblock);
static int take_waiting(struct shim_ctx *c, struct shim_stream *l, bool nonblock);
static int do_connect(struct shim_ctx *c, int fd, const struct sockaddr *addr, socklen_t len);
static int start_connect(struct shim_ctx *c, struct shim_stream *st, const struct ipaddr *dst, uint16_t port);
static int connect_wait(struct shim_ctx *c, struct shim_stream *st);
static uint32_t choose_lane(const struct shim_ctx *c, const struct shim_stream *st);
static int do_getsockname(struct shim_ctx *c, int fd, struct sockaddr *addr, socklen_t *len);
static int do_getpeername(struct shim_ctx *c, int fd, struct sockaddr *addr, socklen_t *len);

/* --- Public calls ------------------------------------------------------------------------------------------------------- */

int mtcp_socket(mctx_t mctx, int domain, int type, int protocol)
{
	struct shim_ctx *c = shim_enter(mctx);
	int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (c == NULL)
		return -1;
	if ((type & ~flags) != MTCP_SOCK_STREAM || (protocol != 0 && protocol != IPPROTO_TCP))
		return (int)shim_leave(c, -EINVAL);
	return (int)shim_leave(c, sock_create(c, domain, flags));
}

int mtcp_bind(mctx_t mctx, int sockid, const struct sockaddr *addr, socklen_t addrlen)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, do_bind(c, sockid, addr, addrlen));
}

int mtcp_listen(mctx_t mctx, int sockid, int backlog)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, do_listen(c, sockid, backlog));
}

int mtcp_accept(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen)
{
	return mtcp_accept4(mctx, sockid, addr, addrlen, SOCK_NONBLOCK);
}

int mtcp_accept4(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen, int flags)
{
	struct shim_ctx *c = shim_enter(mctx);

	if (c == NULL)
		return -1;
	if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0 || (addr != NULL && addrlen == NULL))
		return (int)shim_leave(c, -EINVAL);
	return (int)shim_leave(c, do_accept(c, sockid, addr, addrlen, (flags & SOCK_NONBLOCK) != 0));
}

int mtcp_connect(mctx_t mctx, int sockid, const struct sockaddr *addr, socklen_t addrlen)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, do_connect(c, sockid, addr, addrlen));
}

int mtcp_getsockname(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, do_getsockname(c, sockid, addr, addrlen));
}

int mtcp_getpeername(mctx_t mctx, int sockid, struct sockaddr *addr, socklen_t *addrlen)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, do_getpeername(c, sockid, addr, addrlen));
}

/* --- Ids ------------------------------------------------------------------------------------------------------------------ */

int fds_create(struct shim_ctx *c, uint32_t max)
{
	uint32_t words = (max + 63) / 64;

	c->fds = calloc(max, sizeof(*c->fds));
	c->fd_used = calloc(words, sizeof(*c->fd_used));
	if (c->fds == NULL || c->fd_used == NULL)
		return -ENOMEM;
	if (max % 64 != 0) /* what lies beyond the end is in use */
		c->fd_used[words - 1] = ~(((uint64_t)1 << max % 64) - 1);
	c->max_fds = max;
	return 0;
}

int fds_grow(struct shim_ctx *c)
{
	struct shim_sock **fds = c->fds;
	uint64_t *used = c->fd_used;
	uint32_t had = c->max_fds;
	int err;

	if (!c->may_grow || had >= SHIM_FDS_MAX)
		return 0;
	err = fds_create(c, SHIM_FDS_MAX);
	if (err != 0) {
		free(c->fds);
		free(c->fd_used);
		c->fds = fds;
		c->fd_used = used;
		return err;
	}
	memcpy(c->fds, fds, had * sizeof(*fds));
	memcpy(c->fd_used, used, (had + 63) / 64 * sizeof(*used));
	if (had % 64 != 0) /* these were beyond the end */
		c->fd_used[had / 64] &= ((uint64_t)1 << had % 64) - 1;
	free(fds);
	free(used);
	return 0;
}

void fds_close(struct shim_ctx *c)
{
	for (uint32_t fd = 0; fd < c->max_fds; fd++) {
		if (c->fds[fd] != NULL)
			sock_close(c, c->fds[fd], false);
	}
}

/* After fds_close(): what is left has a name, and is in its lane's table. */
void fds_destroy(struct shim_ctx *c)
{
	free(c->fds);
	free(c->fd_used);
	c->fds = NULL;
	c->fd_used = NULL;
	c->max_fds = c->fd_low = 0;
}

int fds_add(struct shim_ctx *c, struct shim_sock *s)
{
	for (uint32_t w = c->fd_low; w < (c->max_fds + 63) / 64; w++) {
		uint32_t fd;

		if (c->fd_used[w] == UINT64_MAX)
			continue;
		c->fd_low = w;
		fd = w * 64 + (uint32_t)__builtin_ctzll(~c->fd_used[w]);
		c->fd_used[w] |= (uint64_t)1 << fd % 64;
		c->fds[fd] = s;
		s->fd = (int32_t)fd;
		c->fd_gen += SHIM_FDS_MAX;
		if (c->fd_gen == 0) /* so that no cookie is 0 */
			c->fd_gen = SHIM_FDS_MAX;
		s->cookie = c->fd_gen | fd;
		return (int)fd;
	}
	return -ENFILE;
}

void fds_remove(struct shim_ctx *c, struct shim_sock *s)
{
	c->fds[s->fd] = NULL;
	c->fd_used[s->fd / 64] &= ~((uint64_t)1 << s->fd % 64);
	if ((uint32_t)s->fd / 64 < c->fd_low)
		c->fd_low = (uint32_t)s->fd / 64;
	s->fd = -1;
}

struct shim_sock *fds_get(const struct shim_ctx *c, int fd)
{
	return fd < 0 || (uint32_t)fd >= c->max_fds ? NULL : c->fds[fd];
}

struct shim_stream *fds_stream(const struct shim_ctx *c, int fd, int *err)
{
	struct shim_sock *s = fds_get(c, fd);

	*err = s == NULL ? -EBADF : s->kind != KIND_STREAM ? -ENOTSOCK : 0;
	return *err == 0 ? stream_of(s) : NULL;
}

struct shim_stream *listener_of(const struct shim_ctx *c, uint32_t cookie)
{
	struct shim_sock *s = fds_get(c, (int)(cookie & (SHIM_FDS_MAX - 1)));

	return s != NULL && s->cookie == cookie && s->kind == KIND_STREAM && s->state == ST_LISTENING ? stream_of(s) : NULL;
}

int sock_create(struct shim_ctx *c, int domain, int flags)
{
	struct shim_stream *st;
	int fd;

	(void)flags; /* SOCK_NONBLOCK is the default, there is nothing to close on exec */
	if (domain != AF_INET && domain != AF_INET6)
		return -EAFNOSUPPORT;
	if (c->down)
		return -ESHUTDOWN;
	st = stream_create(c);
	if (st == NULL)
		return -ENOMEM;
	st->s.flags |= F_NONBLOCK | (domain == AF_INET6 ? F_INET6 : 0);
	fd = fds_add(c, &st->s);
	if (fd < 0)
		stream_free(c, st);
	return fd;
}

struct shim_stream *stream_create(struct shim_ctx *c)
{
	struct shim_stream *st = calloc(1, sizeof(*st));

	if (st == NULL)
		return NULL;
	st->s.kind = KIND_STREAM;
	st->s.fd = -1;
	st->rx_id = BYTES_NONE;
	st->tx_limit = c->welcome.sndbuf_initial;
	bytes_init(&st->tx);
	return st;
}

void stream_free(struct shim_ctx *c, struct shim_stream *st)
{
	if ((st->s.flags & F_LISTED) != 0) {
		st->s.flags |= F_GONE; /* lane.c does it when it comes by */
		return;
	}
	if ((st->s.flags & F_LISTENER) == 0 && c->lane != NULL)
		bytes_clear(&st->tx, &c->lane[st->lane].tx);
	free(st->opts);
	free(st);
}

/* --- Listening -------------------------------------------------------------------------------------------------------------- */

static int do_bind(struct shim_ctx *c, int fd, const struct sockaddr *addr, socklen_t len)
{
	int err = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);
	struct ipaddr ip;
	uint16_t port;

	if (st == NULL)
		return err;
	if (addr == NULL || st->s.state != ST_FRESH || (st->s.flags & F_BOUND) != 0)
		return -EINVAL;
	err = addr_for(st, addr, len, &ip, &port);
	if (err == 0 && (ip.b[0] == 0xff || ((st->s.flags & F_V6ONLY) != 0 && addr_is_v4(&ip))))
		err = -EINVAL;
	if (err != 0)
		return err;
	if (c->down)
		return -ESHUTDOWN;
	st->local = ip;
	st->local_port = port;
	/* without a port the choice is left to whoever needs one first: connect lets the engine choose */
	err = port != 0 ? sock_reserve(c, st) : 0;
	if (err == 0)
		st->s.flags |= F_BOUND;
	else
		memset(&st->local, 0, sizeof(st->local));
	if (err != 0)
		st->local_port = 0;
	return err;
}

/* Have stackd reserve the socket's port, or choose one. */
int sock_reserve(struct shim_ctx *c, struct shim_stream *st)
{
	struct ctl_bind b = {
		.cookie = st->s.cookie,
		.port = st->local_port,
		.flags = ((st->s.flags & F_REUSEPORT) != 0 ? BIND_REUSEPORT : 0) | ((st->s.flags & F_V6ONLY) != 0 ? BIND_V6ONLY : 0),
		.addr = st->local,
	};
	uint32_t port = 0;
	int err;

	if ((st->s.flags & F_RESERVED) != 0)
		return 0;
	err = ctl_call(c, CTL_BIND, &b, sizeof(b), &port);
	if (err != 0)
		return err;
	st->local_port = (uint16_t)port;
	st->s.flags |= F_RESERVED;
	return 0;
}

static int do_listen(struct shim_ctx *c, int fd, int backlog)
{
	int err = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);

	if (st == NULL)
		return err;
	backlog = backlog > 0 ? backlog : 1;
	if (st->s.state == ST_LISTENING)
		return sock_listen(c, st, (uint32_t)backlog);
	if (st->s.state != ST_FRESH || (st->s.flags & F_BOUND) == 0)
		return -EINVAL;
	err = sock_reserve(c, st);
	if (err != 0)
		return err;
	err = sock_listen(c, st, (uint32_t)backlog);
	if (err != 0)
		return err;
	st->s.flags |= F_LISTENER;
	st->first = st->last = NULL;
	st->waiting = 0;
	stream_move(c, st, ST_LISTENING);
	return 0;
}

int sock_listen(struct shim_ctx *c, struct shim_stream *st, uint32_t backlog)
{
	struct ctl_listen l = { .cookie = st->s.cookie, .backlog = backlog };
	int err;

	if (st->opts != NULL) {
		l.set = st->opts->set;
		memcpy(l.opt, st->opts->value, sizeof(st->opts->value));
	}
	err = ctl_call(c, CTL_LISTEN, &l, sizeof(l), NULL);
	if (err == 0)
		st->backlog = backlog;
	return err;
}

void listener_queue(struct shim_stream *l, struct shim_stream *st)
{
	st->s.flags |= F_ACCEPTABLE;
	st->next = NULL;
	if (l->first == NULL)
		l->first = st;
	else
		l->last->next = st;
	l->last = st;
	l->waiting++;
}

static int do_accept(struct shim_ctx *c, int fd, struct sockaddr *addr, socklen_t *len, bool nonblock)
{
	struct shim_stream *l, *st;
	uint32_t cookie = 0;
	int err = 0;

	for (;;) {
		l = fds_stream(c, fd, &err);
		if (l == NULL || (cookie != 0 && l->s.cookie != cookie))
			return err != 0 ? err : -EBADF;
		cookie = l->s.cookie;
		if ((l->s.flags & F_LISTENER) == 0)
			return -EINVAL;
		if (l->first != NULL || (lane_pump(c) && l->first != NULL))
			break;
		if (l->s.state == ST_DEAD)
			return -ESHUTDOWN;
		if ((l->s.flags & F_NONBLOCK) != 0)
			return -EAGAIN;
		err = shim_wait(c, UINT64_MAX);
		if (err != 0)
			return err;
	}
	fd = take_waiting(c, l, nonblock);
	if (fd >= 0 && addr != NULL) {
		st = stream_of(fds_get(c, fd));
		addr_out(st, &st->peer, st->peer_port, addr, len);
	}
	return fd;
}

static int take_waiting(struct shim_ctx *c, struct shim_stream *l, bool nonblock)
{
	struct shim_stream *st = l->first;
	int fd = fds_add(c, &st->s);

	if (fd < 0)
		return fd; /* it waits until there is an id */
	l->first = st->next;
	l->waiting--;
	st->next = NULL;
	st->s.flags &= ~(F_ACCEPTABLE | F_NONBLOCK);
	st->s.flags |= F_OWE_ACCEPTED | (nonblock ? F_NONBLOCK : 0);
	if (opts_inherit(c, st, NULL) != 0)
		shim_notice("no memory for the options of socket %d", fd);
	lane_settle(c, st);
	return fd;
}

/* --- Connecting ------------------------------------------------------------------------------------------------------------- */

static int do_connect(struct shim_ctx *c, int fd, const struct sockaddr *addr, socklen_t len)
{
	int err = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);
	struct ipaddr dst;
	uint16_t port;

	if (st == NULL)
		return err;
	if (addr == NULL)
		return -EFAULT;
	err = addr_for(st, addr, len, &dst, &port);
	if (err == 0 && (st->s.flags & F_V6ONLY) != 0 && addr_is_v4(&dst))
		err = -ENETUNREACH;
	if (err != 0)
		return err;
	switch (st->s.state) {
	case ST_CONNECTING:
		if (lane_pump(c) && st->s.state == ST_OPEN)
			return 0; /* as connect(2) tells, once */
		return -EALREADY;
	case ST_OPEN:
		return -EISCONN;
	case ST_LISTENING:
		return -EINVAL;
	case ST_DEAD: /* try again */
		if ((st->s.flags & F_LISTENER) != 0)
			return -EINVAL;
		err = c->down ? -ESHUTDOWN : stream_split(c, st, -1);
		st->err = 0;
		break;
	default:
		err = c->down ? -ESHUTDOWN : 0;
		break;
	}
	if (err == 0)
		err = start_connect(c, st, &dst, port);
	if (err == 0)
		err = (st->s.flags & F_NONBLOCK) != 0 ? -EINPROGRESS : connect_wait(c, st);
	return err;
}

static int start_connect(struct shim_ctx *c, struct shim_stream *st, const struct ipaddr *dst, uint16_t port)
{
	int err;

	stream_move(c, st, ST_FRESH);
	if ((st->s.flags & F_BOUND) == 0) {
		st->local = rss_source(c, dst, port);
		st->local_port = 0;
	} else if ((st->s.flags & F_RESERVED) == 0) {
		st->local_port = 0; /* the engine's choice of the time before */
	}
	st->peer = *dst;
	st->peer_port = port;
	err = opts_inherit(c, st, NULL);
	if (err == 0)
		err = lane_name(c, st, choose_lane(c, st));
	if (err != 0)
		return err;
	if (st->opts != NULL)
		st->opts->dirty = st->opts->set;
	stream_move(c, st, ST_CONNECTING);
	st->s.flags |= F_OWE_CONNECT;
	lane_settle(c, st);
	return 0;
}

static int connect_wait(struct shim_ctx *c, struct shim_stream *st)
{
	uint32_t cookie = st->s.cookie;
	int fd = st->s.fd, err = 0;

	while (st->s.state == ST_CONNECTING) {
		if (lane_pump(c))
			continue;
		err = shim_wait(c, UINT64_MAX);
		if (err != 0)
			return err;
		st = fds_stream(c, fd, &err);
		if (st == NULL || st->s.cookie != cookie)
			return -EBADF;
	}
	return st->s.state == ST_DEAD ? -stream_take_error(st) : 0;
}

/* Our only address of the destination's family, or NULL: then who knows which of them is chosen. */
static const struct ipaddr *only_source(const struct shim_ctx *c, const struct ipaddr *dst)
{
	const struct ipaddr *only = NULL;

	for (uint32_t i = 0; i < c->welcome.addrs; i++) {
		const struct ipaddr *a = &c->welcome.addr[i];

		if (addr_is_v4(a) != addr_is_v4(dst) || addr_is_link_local(a) != addr_is_link_local(dst))
			continue;
		if (only != NULL)
			return NULL;
		only = a;
	}
	return only;
}

/* The home engine chooses a port whose packets come back to it.  Where the program has chosen, the packets choose the engine. */
static uint32_t choose_lane(const struct shim_ctx *c, const struct shim_stream *st)
{
	const struct ipaddr *src = &st->local;

	if (st->local_port == 0)
		return c->home;
	if (addr_is_any(src))
		src = only_source(c, &st->peer);
	return src == NULL ? c->home : rss_engine(c, src, st->local_port, &st->peer, st->peer_port);
}

/* --- Addresses --------------------------------------------------------------------------------------------------------------- */

static int do_getsockname(struct shim_ctx *c, int fd, struct sockaddr *addr, socklen_t *len)
{
	int err = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);

	if (st == NULL)
		return err;
	if (addr == NULL || len == NULL)
		return -EINVAL;
	/* bound to "some port": now it has to be known */
	if (st->s.state == ST_FRESH && (st->s.flags & F_BOUND) != 0)
		err = sock_reserve(c, st);
	if (err == 0)
		addr_out(st, &st->local, st->local_port, addr, len);
	return err;
}

static int do_getpeername(struct shim_ctx *c, int fd, struct sockaddr *addr, socklen_t *len)
{
	int err = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);

	if (st == NULL)
		return err;
	if (addr == NULL || len == NULL)
		return -EINVAL;
	if (st->s.state == ST_CONNECTING)
		(void)lane_pump(c);
	if (st->s.state != ST_OPEN)
		return -ENOTCONN;
	addr_out(st, &st->peer, st->peer_port, addr, len);
	return 0;
}

struct ipaddr addr_v4(uint32_t net_order)
{
	struct ipaddr ip = { .b = { [10] = 0xff, [11] = 0xff } };

	ip.w[3] = net_order;
	return ip;
}

bool addr_is_any(const struct ipaddr *ip)
{
	struct ipaddr any = { .w = { 0 } }, any4 = addr_v4(0);

	return memcmp(ip, &any, sizeof(any)) == 0 || memcmp(ip, &any4, sizeof(any4)) == 0;
}

bool addr_is_v4(const struct ipaddr *ip)
{
	struct ipaddr any4 = addr_v4(0);

	return memcmp(ip, &any4, 12) == 0;
}

bool addr_is_link_local(const struct ipaddr *ip)
{
	return ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

/* A link-local address is of one port: its scope id says which, counted from 1 (proto.h). */
static int scope_in(struct ipaddr *ip, uint32_t scope)
{
	if (!addr_is_link_local(ip))
		return 0;
	if (scope == 0 || scope > UINT8_MAX || ip->b[2] != 0 || ip->b[3] != 0)
		return -EINVAL;
	ip->b[3] = (uint8_t)scope;
	return 0;
}

/* An address as the program gives it, for a socket of one family. */
int addr_for(const struct shim_stream *st, const struct sockaddr *sa, socklen_t len, struct ipaddr *ip, uint16_t *port)
{
	int family = (st->s.flags & F_INET6) != 0 ? AF_INET6 : AF_INET, err = addr_in(sa, len, ip, port);

	return err == 0 && sa->sa_family != family ? -EAFNOSUPPORT : err;
}

int addr_in(const struct sockaddr *sa, socklen_t len, struct ipaddr *ip, uint16_t *port)
{
	if (len < sizeof(sa->sa_family))
		return -EINVAL;
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		if (len < sizeof(in))
			return -EINVAL;
		memcpy(&in, sa, sizeof(in));
		*ip = addr_v4(in.sin_addr.s_addr);
		*port = ntohs(in.sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		if (len < sizeof(in6))
			return -EINVAL;
		memcpy(&in6, sa, sizeof(in6));
		memcpy(ip, &in6.sin6_addr, sizeof(*ip));
		*port = ntohs(in6.sin6_port);
		return scope_in(ip, in6.sin6_scope_id);
	}
	return -EAFNOSUPPORT;
}

void addr_out(const struct shim_stream *st, const struct ipaddr *ip, uint16_t port, struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = ip->w[3] };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	bool six = (st->s.flags & F_INET6) != 0;
	socklen_t size = six ? sizeof(in6) : sizeof(in);

	memcpy(&in6.sin6_addr, ip, sizeof(*ip));
	if (addr_is_link_local(ip)) {
		in6.sin6_scope_id = ip->b[3];
		in6.sin6_addr.s6_addr[3] = 0;
	}
	memcpy(sa, six ? (const void *)&in6 : (const void *)&in, *len < size ? *len : size);
	*len = size;
}
