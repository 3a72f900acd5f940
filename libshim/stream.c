/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Bytes of one connection: reading them where the engine put them, laying them out for the engine to send, and the end.
 *
 * Received bytes lie in chunks of class A.  rx_no and rx_id name the chunk of byte rx_done, or the one before it when rx_done
 * is its end: the engine keeps that one as long as there is more to read, for its link.  Bytes to send lie in chunks of class B
 * from tx_acked to tx_end; the engine knows of them up to tx_told.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"

static ssize_t read_now(struct shim_ctx *c, struct shim_stream *st, char *buf, size_t len, bool peek);
static ssize_t copy_out(struct shim_ctx *c, struct shim_stream *st, char *buf, size_t len, bool peek);
static bool step_to(struct shim_lane *l, uint32_t *no, uint32_t *id, uint32_t want);
static void give_credit(struct shim_ctx *c, struct shim_stream *st);
static ssize_t write_now(struct shim_ctx *c, struct shim_stream *st, const char *buf, size_t len);
static uint32_t room(const struct shim_ctx *c, const struct shim_stream *st, uint32_t *limit);
static uint32_t unsent_room(const struct shim_stream *st);
/* TCP_NOTSENT_LOWAT: what may be added to that which is not sent. */
static uint32_t unsent_room(const struct shim_stream *st)
{
	uint32_t most = st->opts != NULL && (st->opts->set & 1u << OPT_NOTSENT_LOWAT) != 0 ? st->opts->value[OPT_NOTSENT_LOWAT] : 0;
	uint32_t unsent = (uint32_t)st->tx_end - st->tx_sent;

	return most == 0 ? UINT32_MAX : unsent >= most ? 0 : most - unsent;
}

static bool has_chunk(const struct shim_ctx *c, const struct shim_stream *st);
static int close_fd(struct shim_ctx *c, int fd, bool abort);
static int do_shutdown(struct shim_ctx *c, int fd, int how);
static int do_reset(struct shim_ctx *c, int fd);
static void close_listener(struct shim_ctx *c, struct shim_stream *st);
static ssize_t gather(struct shim_ctx *c, int fd, const struct iovec *iov, int n);
static ssize_t each(struct shim_ctx *c, int fd, const struct iovec *iov, int n, bool in);

/* --- Public calls ------------------------------------------------------------------------------------------------------- */

static ssize_t any_read(struct shim_ctx *c, int fd, void *buf, size_t len, int flags)
{
	struct shim_sock *s = fds_get(c, fd);

	if ((flags & ~(MSG_PEEK | MSG_DONTWAIT)) != 0)
		return -EINVAL;
	if (buf == NULL && len > 0)
		return -EFAULT;
	if (s != NULL && s->kind == KIND_PIPE)
		return pipe_read(c, fd, buf, len, flags);
	return stream_read(c, fd, buf, len, flags);
}

static ssize_t any_write(struct shim_ctx *c, int fd, const void *buf, size_t len, int flags)
{
	struct shim_sock *s = fds_get(c, fd);

	if ((flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE)) != 0)
		return -EINVAL;
	if (buf == NULL && len > 0)
		return -EFAULT;
	if (s != NULL && s->kind == KIND_PIPE)
		return pipe_write(c, fd, buf, len, flags);
	return stream_write(c, fd, buf, len, flags);
}

ssize_t mtcp_recv(mctx_t mctx, int sockid, char *buf, size_t len, int flags)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : shim_leave(c, any_read(c, sockid, buf, len, flags));
}

ssize_t mtcp_read(mctx_t mctx, int sockid, char *buf, size_t len)
{
	return mtcp_recv(mctx, sockid, buf, len, 0);
}

ssize_t mtcp_readv(mctx_t mctx, int sockid, const struct iovec *iov, int numIOV)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : shim_leave(c, each(c, sockid, iov, numIOV, true));
}

ssize_t mtcp_send(mctx_t mctx, int sockid, const char *buf, size_t len, int flags)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : shim_leave(c, any_write(c, sockid, buf, len, flags));
}

ssize_t mtcp_write(mctx_t mctx, int sockid, const char *buf, size_t len)
{
	return mtcp_send(mctx, sockid, buf, len, 0);
}

ssize_t mtcp_writev(mctx_t mctx, int sockid, const struct iovec *iov, int numIOV)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : shim_leave(c, gather(c, sockid, iov, numIOV));
}

int mtcp_close(mctx_t mctx, int sockid)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, close_fd(c, sockid, false));
}

int mtcp_abort(mctx_t mctx, int sockid)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, close_fd(c, sockid, true));
}

int mtcp_reset_conn(mctx_t mctx, int sockid)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, do_reset(c, sockid));
}

int mtcp_shutdown(mctx_t mctx, int sockid, int how)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, do_shutdown(c, sockid, how));
}

/* Told part by part, the engine might send the first alone, and the second would wait for its acknowledgement (Nagle). */
static ssize_t gather(struct shim_ctx *c, int fd, const struct iovec *iov, int n)
{
	int err = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);
	uint32_t cookie = st != NULL ? st->s.cookie : 0;
	ssize_t r;

	if (st != NULL)
		st->s.flags |= F_GATHER;
	r = each(c, fd, iov, n, false);
	st = fds_stream(c, fd, &err); /* a write that waited may have seen it closed */
	if (st != NULL && st->s.cookie == cookie) {
		st->s.flags &= ~F_GATHER;
		lane_settle(c, st);
	}
	return r;
}

static ssize_t each(struct shim_ctx *c, int fd, const struct iovec *iov, int n, bool in)
{
	ssize_t total = 0;

	if (n < 0 || n > IOV_MAX || (iov == NULL && n > 0))
		return -EINVAL;
	for (int i = 0; i < n; i++) {
		/* only the first part may wait for data to come */
		int flags = in && total > 0 ? MSG_DONTWAIT : 0;
		ssize_t r;

		if (iov[i].iov_len == 0)
			continue;
		if (iov[i].iov_len > (size_t)(SSIZE_MAX - total))
			return total > 0 ? total : -EINVAL;
		r = in ? any_read(c, fd, iov[i].iov_base, iov[i].iov_len, flags) :
			 any_write(c, fd, iov[i].iov_base, iov[i].iov_len, flags);
		if (r < 0)
			return total > 0 ? total : r;
		total += r;
		if ((size_t)r < iov[i].iov_len)
			return total;
	}
	if (total == 0) { /* nothing was asked: is the id at least good? */
		int err = 0;
		struct shim_sock *s = fds_get(c, fd);

		if (s == NULL || (s->kind != KIND_PIPE && fds_stream(c, fd, &err) == NULL))
			return err != 0 ? err : -EBADF;
	}
	return total;
}

/* --- Reading -------------------------------------------------------------------------------------------------------------- */

ssize_t stream_read(struct shim_ctx *c, int fd, void *buf, size_t len, int flags)
{
	uint32_t cookie = 0;

	for (;;) {
		int err = 0;
		struct shim_stream *st = fds_stream(c, fd, &err);
		ssize_t r;

		if (st == NULL || (cookie != 0 && st->s.cookie != cookie))
			return err != 0 ? err : -EBADF;
		cookie = st->s.cookie;
		r = read_now(c, st, buf, len, (flags & MSG_PEEK) != 0);
		if (r == -EAGAIN && lane_pump(c))
			r = read_now(c, st, buf, len, (flags & MSG_PEEK) != 0);
		if (r != -EAGAIN || (st->s.flags & F_NONBLOCK) != 0 || (flags & MSG_DONTWAIT) != 0)
			return r;
		err = shim_wait(c, UINT64_MAX);
		if (err != 0)
			return err;
	}
}

static ssize_t read_now(struct shim_ctx *c, struct shim_stream *st, char *buf, size_t len, bool peek)
{
	int err;

	if (st->s.state == ST_CONNECTING)
		return -EAGAIN;
	if (st->s.state == ST_FRESH || (st->s.flags & F_LISTENER) != 0)
		return -ENOTCONN;
	if (len == 0)
		return 0;
	if (st->rx_end > st->rx_done && (st->s.flags & F_SHUT_RD) == 0)
		return copy_out(c, st, buf, len, peek);
	if (st->s.state == ST_DEAD && (st->s.flags & F_FIN) == 0) { /* after the FIN whatever came is the writer's */
		err = stream_take_error(st);
		return -err;
	}
	return st->s.state == ST_DEAD || (st->s.flags & (F_FIN | F_SHUT_RD | F_CLOSED)) != 0 ? 0 : -EAGAIN;
}

static ssize_t copy_out(struct shim_ctx *c, struct shim_stream *st, char *buf, size_t len, bool peek)
{
	struct shim_lane *l = &c->lane[st->lane];
	uint32_t no = st->rx_no, id = st->rx_id;
	uint64_t off = st->rx_done;
	size_t done = 0;

	if (len > st->rx_end - off)
		len = (size_t)(st->rx_end - off);
	while (done < len) {
		size_t at = off % BYTES_CHUNK, n = BYTES_CHUNK - at;
		const uint8_t *p = step_to(l, &no, &id, bytes_number(off)) ? lane_chunk(c, l, id) : NULL;

		if (p == NULL)
			break;
		n = n < len - done ? n : len - done;
		memcpy(buf + done, p + at, n);
		done += n;
		off += n;
	}
	if (done == 0) { /* stackd says there are bytes, but not where */
		stream_fail(c, st, EIO);
		st->rx_end = st->rx_done;
		return -stream_take_error(st);
	}
	if (peek)
		return (ssize_t)done;
	if (off < st->rx_end) /* before the credit is given: the link may go with it */
		(void)step_to(l, &no, &id, bytes_number(off));
	st->rx_done = off;
	st->rx_no = no;
	st->rx_id = id;
	give_credit(c, st);
	return (ssize_t)done;
}

/* Follow the links to chunk number `want`. */
static bool step_to(struct shim_lane *l, uint32_t *no, uint32_t *id, uint32_t want)
{
	if (*id == BYTES_NONE || want - *no > BYTES_SEGS_MAX * BYTES_SEG_CHUNKS)
		return false;
	while (*no != want) {
		uint32_t next = bytes_next(&l->rx, *id);

		if (next == BYTES_NONE)
			return false;
		*id = next;
		++*no;
	}
	return true;
}

/* A drained stream may tell later, with the answer that the program is about to write. */
static void give_credit(struct shim_ctx *c, struct shim_stream *st)
{
	uint64_t taken = st->rx_done - st->rx_told, unread = st->rx_end - st->rx_done;

	if (st->rx_done == st->rx_end)
		st->s.flags &= ~F_URGENT;
	if (c->down || st->s.state != ST_OPEN)
		return;
	if (taken >= SHIM_CREDIT_MIN && taken >= unread / 4) {
		st->s.flags |= F_OWE_CREDIT;
		lane_settle(c, st);
	} else if (unread == 0) {
		st->s.flags |= F_OWE_CREDIT;
		lane_settle_later(c, st);
	}
}

/* --- Writing -------------------------------------------------------------------------------------------------------------- */

ssize_t stream_write(struct shim_ctx *c, int fd, const void *buf, size_t len, int flags)
{
	uint32_t cookie = 0;
	size_t done = 0;

	for (;;) {
		int err = 0;
		struct shim_stream *st = fds_stream(c, fd, &err);
		ssize_t r;

		if (st == NULL || (cookie != 0 && st->s.cookie != cookie))
			return done > 0 ? (ssize_t)done : err != 0 ? err : -EBADF;
		cookie = st->s.cookie;
		r = write_now(c, st, (const char *)buf + done, len - done);
		if (r == -EAGAIN && lane_pump(c))
			r = write_now(c, st, (const char *)buf + done, len - done);
		if (r > 0)
			done += (size_t)r;
		if (r < 0 && r != -EAGAIN)
			return done > 0 ? (ssize_t)done : r;
		if (done == len)
			return (ssize_t)done;
		stream_want_out(c, st);
		if ((st->s.flags & F_NONBLOCK) != 0 || (flags & MSG_DONTWAIT) != 0)
			return done > 0 ? (ssize_t)done : -EAGAIN;
		err = r > 0 ? 0 : shim_wait(c, UINT64_MAX);
		if (err != 0)
			return done > 0 ? (ssize_t)done : err;
	}
}

static ssize_t write_now(struct shim_ctx *c, struct shim_stream *st, const char *buf, size_t len)
{
	struct shim_lane *l = &c->lane[st->lane];
	uint32_t limit, n;
	int err;

	if (st->s.state == ST_CONNECTING)
		return -EAGAIN;
	if (st->s.state == ST_FRESH || (st->s.flags & F_LISTENER) != 0)
		return -ENOTCONN;
	if (st->s.state == ST_DEAD) {
		err = stream_take_error(st);
		return err != 0 ? -err : -EPIPE;
	}
	if ((st->s.flags & (F_SHUT_WR | F_CLOSED)) != 0)
		return -EPIPE;
	if (len == 0)
		return 0;
	n = room(c, st, &limit);
	if (n > unsent_room(st))
		n = unsent_room(st);
	if (n > len)
		n = (uint32_t)len;
	if (n > 0)
		n = (uint32_t)bytes_write(&st->tx, &l->tx, st->tx_end, buf, n, limit / BYTES_CHUNK + 2);
	if (l->tx.free_count < SHIM_LOW_CHUNKS)
		ctl_ask_segment(c, l);
	if (n == 0)
		return -EAGAIN;
	st->tx_end += n;
	if ((st->s.flags & F_GATHER) != 0)
		lane_settle_later(c, st);
	else
		lane_settle(c, st);
	return n;
}

static uint32_t room(const struct shim_ctx *c, const struct shim_stream *st, uint32_t *limit)
{
	uint64_t used = st->tx_end - st->tx_acked;
	uint32_t most = st->opts != NULL && (st->opts->set & 1u << OPT_SNDBUF) != 0 ? st->opts->value[OPT_SNDBUF] : c->sndbuf;

	*limit = most != 0 && most < st->tx_limit ? most : st->tx_limit;
	return used >= *limit ? 0 : *limit - (uint32_t)used;
}

static bool has_chunk(const struct shim_ctx *c, const struct shim_stream *st)
{
	return c->lane[st->lane].tx.free_count > 0 ||
	       (st->tx_end % BYTES_CHUNK != 0 && bytes_get(&st->tx, bytes_number(st->tx_end)) != BYTES_NONE);
}

/* A quarter of the buffer must be free, so that writers are not woken for crumbs. */
bool stream_writable(const struct shim_ctx *c, const struct shim_stream *st)
{
	uint32_t limit, free_bytes;

	if ((st->s.flags & (F_SHUT_WR | F_CLOSED)) != 0)
		return true; /* a write fails at once */
	free_bytes = room(c, st, &limit);
	return free_bytes > 0 && free_bytes >= limit / 4 && unsent_room(st) > 0 && has_chunk(c, st);
}

void stream_want_out(struct shim_ctx *c, struct shim_stream *st)
{
	if (st->s.state != ST_OPEN || (st->s.flags & (F_SHUT_WR | F_CLOSED)) != 0)
		return;
	st->s.flags |= F_WANT_OUT;
	if (!has_chunk(c, st))
		lane_starve(c, st);
}

uint32_t stream_out_edge(struct shim_ctx *c, struct shim_stream *st)
{
	if ((st->s.flags & F_WANT_OUT) == 0 || st->s.state != ST_OPEN || !stream_writable(c, st))
		return 0;
	st->s.flags &= ~F_WANT_OUT;
	return EPOLLOUT | EPOLLWRNORM;
}

uint32_t stream_ready(const struct shim_ctx *c, const struct shim_stream *st)
{
	uint32_t bits = 0;

	switch (st->s.state) {
	case ST_LISTENING:
		return st->first != NULL ? EPOLLIN | EPOLLRDNORM : 0;
	case ST_DEAD:
		if ((st->s.flags & F_LISTENER) != 0)
			return 0; /* stackd has ended: whoever waits only here is told ESHUTDOWN */
		return EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLRDHUP | EPOLLHUP | (st->err != 0 ? EPOLLERR : 0);
	case ST_OPEN:
		break;
	default:
		return 0;
	}
	if (st->rx_end > st->rx_done || (st->s.flags & (F_FIN | F_SHUT_RD | F_CLOSED)) != 0)
		bits |= EPOLLIN | EPOLLRDNORM;
	if ((st->s.flags & F_URGENT) != 0)
		bits |= EPOLLPRI;
	if ((st->s.flags & (F_FIN | F_SHUT_RD)) != 0)
		bits |= EPOLLRDHUP;
	if (stream_writable(c, st))
		bits |= EPOLLOUT | EPOLLWRNORM;
	if ((st->s.flags & F_CLOSED) != 0 || ((st->s.flags & (F_FIN | F_SHUT_RD)) != 0 && (st->s.flags & F_SHUT_WR) != 0))
		bits |= EPOLLHUP;
	return bits;
}

/* --- The end -------------------------------------------------------------------------------------------------------------- */

void stream_move(struct shim_ctx *c, struct shim_stream *st, enum stream_state state)
{
	c->conns -= st->s.state == ST_OPEN;
	c->conns += state == ST_OPEN;
	st->s.state = (uint8_t)state;
}

int stream_take_error(struct shim_stream *st)
{
	int err = st->err;

	st->err = 0;
	return err;
}

void stream_fail(struct shim_ctx *c, struct shim_stream *st, int err)
{
	stream_move(c, st, ST_DEAD);
	st->err = err;
	if ((st->s.flags & F_LISTENER) == 0) {
		bytes_clear(&st->tx, &c->lane[st->lane].tx); /* nobody will send them */
		st->tx_end = st->tx_told;
		if (st->rx_id == BYTES_NONE)
			st->rx_end = st->rx_done;
	}
	ep_notify(c, &st->s, EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
}

void stream_over(struct shim_ctx *c, struct shim_stream *st)
{
	lane_unname(c, st);
	if ((st->s.flags & F_ZOMBIE) != 0) {
		c->zombies--;
		stream_free(c, st);
	} else if (st->s.state != ST_DEAD) {
		stream_fail(c, st, ECONNABORTED);
	}
}

void stream_close(struct shim_ctx *c, struct shim_stream *st, int32_t linger_s)
{
	struct ctl_sock port = { .cookie = st->s.cookie };

	if ((st->s.flags & F_RESERVED) != 0)
		ctl_tell(c, (st->s.flags & F_LISTENER) != 0 ? CTL_UNLISTEN : CTL_UNBIND, &port, sizeof(port));
	if ((st->s.flags & F_LISTENER) != 0)
		close_listener(c, st);
	if ((st->s.flags & F_HANDLE) == 0 || c->down) {
		lane_unname(c, st);
		stream_free(c, st);
		return;
	}
	if (linger_s == 0)
		st->tx_end = st->tx_told;
	stream_move(c, st, ST_DEAD);
	st->err = linger_s;
	st->s.flags |= F_ZOMBIE | F_OWE_CLOSE;
	c->zombies++;
	lane_settle(c, st);
}

static void close_listener(struct shim_ctx *c, struct shim_stream *st)
{
	while (st->first != NULL) {
		struct shim_stream *waiting = st->first;

		st->first = waiting->next;
		waiting->next = NULL;
		waiting->s.flags &= ~F_ACCEPTABLE;
		stream_close(c, waiting, 0);
	}
}

int stream_split(struct shim_ctx *c, struct shim_stream *st, int32_t linger_s)
{
	struct shim_stream *z;
	struct shim_lane *l;
	struct shim_table *t;
	uint32_t i = st->handle.index & ~HANDLE_ACTIVE;

	if ((st->s.flags & F_HANDLE) == 0)
		return 0;
	z = stream_create(c);
	if (z == NULL)
		return -ENOMEM;
	l = &c->lane[st->lane];
	t = (st->handle.index & HANDLE_ACTIVE) != 0 ? &l->active : &l->passive;
	z->lane = st->lane;
	z->handle = st->handle;
	z->s.flags = st->s.flags & (F_HANDLE | F_OWE_CONNECT | F_OWE_ACCEPTED | F_OWE_SHUT);
	z->how = st->how;
	z->accept_cookie = st->accept_cookie;
	z->peer = st->peer;
	z->peer_port = st->peer_port;
	z->local = st->local;
	z->local_port = st->local_port;
	z->rx_done = st->rx_done;
	z->tx_end = st->tx_end;
	z->tx_told = st->tx_told;
	z->tx_acked = st->tx_acked;
	z->tx = st->tx;
	t->slot[i].st = z;
	st->s.flags &= ~(F_HANDLE | F_OWE_CONNECT | F_OWE_ACCEPTED | F_OWE_CREDIT | F_OWE_SHUT | F_FIN | F_CLOSED | F_URGENT |
			 F_SHUT_RD | F_SHUT_WR | F_WANT_OUT | F_STARVED);
	st->rx_done = st->rx_end = st->rx_told = st->tx_end = st->tx_told = st->tx_acked = 0;
	st->rx_id = BYTES_NONE;
	st->tx_limit = c->welcome.sndbuf_initial;
	bytes_init(&st->tx);
	stream_close(c, z, linger_s);
	return 0;
}

static int close_fd(struct shim_ctx *c, int fd, bool abort)
{
	struct shim_sock *s = fds_get(c, fd);

	if (s == NULL)
		return -EBADF;
	if (abort && s->kind != KIND_STREAM)
		return -ENOTSOCK;
	if (abort && (s->state == ST_FRESH || s->state == ST_LISTENING))
		return -ENOTCONN;
	sock_close(c, s, abort);
	return 0;
}

void sock_close(struct shim_ctx *c, struct shim_sock *s, bool abort)
{
	struct shim_stream *st = stream_of(s);

	ep_forget(c, s);
	fds_remove(c, s);
	if (s->kind == KIND_EPOLL)
		ep_close(c, (struct shim_epoll *)s);
	else if (s->kind == KIND_PIPE)
		pipe_close(c, (struct shim_pipe *)s);
	else if (s->kind == KIND_WATCH || s->kind == KIND_ACT)
		mon_close(c, s);
	else
		stream_close(c, st, abort ? 0 : st->opts != NULL ? st->opts->linger_s : -1);
}

static int do_reset(struct shim_ctx *c, int fd)
{
	int err = 0;
	struct shim_sock *s = fds_get(c, fd);
	struct shim_stream *st;

	if (s != NULL && s->kind == KIND_ACT)
		return mon_reset(c, s);
	st = fds_stream(c, fd, &err);
	if (st == NULL)
		return err;
	if (st->s.state != ST_OPEN && st->s.state != ST_CONNECTING)
		return -ENOTCONN;
	err = stream_split(c, st, 0);
	if (err == 0)
		stream_fail(c, st, ECONNRESET);
	return err;
}

static int do_shutdown(struct shim_ctx *c, int fd, int how)
{
	int err = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);

	if (st == NULL)
		return err;
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	if (st->s.state != ST_OPEN)
		return -ENOTCONN;
	if (how != SHUT_RD)
		st->s.flags |= F_SHUT_WR;
	if (how != SHUT_WR)
		st->s.flags |= F_SHUT_RD;
	st->how = (uint8_t)((st->s.flags & F_OWE_SHUT) != 0 && st->how != how ? SHUT_RDWR : how);
	st->s.flags |= F_OWE_SHUT;
	lane_settle(c, st);
	ep_notify(c, &st->s, EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLRDHUP | EPOLLHUP);
	return 0;
}
