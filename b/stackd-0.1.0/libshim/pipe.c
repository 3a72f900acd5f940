/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pipes between threads that share a context.  No engine has a part in them.  Both ends block unless made non-blocking.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"

enum { PIPE_SIZE = 65536 };

struct pipe_buf {
	struct shim_pipe *end[2]; /* reader, writer; NULL: closed */
	size_t head, count;
	char data[PIPE_SIZE];
};

static int create(struct shim_ctx *c, int id[2]);
static struct shim_pipe *end_of(const struct shim_ctx *c, int fd, int which, int *err);
static size_t take(struct pipe_buf *b, char *dst, size_t len, bool peek);
static size_t put(struct pipe_buf *b, const char *src, size_t len);
static bool waits(const struct shim_pipe *p, int flags);

int mtcp_pipe(mctx_t mctx, int pipeid[2])
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, pipeid == NULL ? -EINVAL : create(c, pipeid));
}

static int create(struct shim_ctx *c, int id[2])
{
	struct pipe_buf *b = calloc(1, sizeof(*b));
	struct shim_pipe *end[2] = { calloc(1, sizeof(*end[0])), calloc(1, sizeof(*end[1])) };
	int fd[2] = { -1, -1 }, err = -ENOMEM;

	if (b == NULL || end[0] == NULL || end[1] == NULL)
		goto fail;
	for (int i = 0; i < 2; i++) {
		end[i]->s.kind = KIND_PIPE;
		end[i]->buf = b;
		b->end[i] = end[i];
		fd[i] = err = fds_add(c, &end[i]->s);
		if (err < 0)
			goto fail;
	}
	id[0] = fd[0];
	id[1] = fd[1];
	return 0;
fail:
	if (fd[0] >= 0)
		fds_remove(c, &end[0]->s);
	free(end[0]);
	free(end[1]);
	free(b);
	return err;
}

void pipe_close(struct shim_ctx *c, struct shim_pipe *p)
{
	struct pipe_buf *b = p->buf;
	int which = b->end[0] == p ? 0 : 1;

	b->end[which] = NULL;
	if (b->end[!which] != NULL)
		ep_notify(c, &b->end[!which]->s, which == 1 ? EPOLLHUP | EPOLLIN | EPOLLRDNORM : EPOLLERR | EPOLLOUT);
	else
		free(b);
	free(p);
}

ssize_t pipe_read(struct shim_ctx *c, int fd, void *buf, size_t len, int flags)
{
	uint32_t cookie = 0;

	for (;;) {
		int err = 0;
		struct shim_pipe *p = end_of(c, fd, 0, &err);

		if (p == NULL || (cookie != 0 && p->s.cookie != cookie))
			return err != 0 ? err : -EBADF;
		cookie = p->s.cookie;
		if (len == 0)
			return 0;
		if (p->buf->count > 0) {
			size_t n = take(p->buf, buf, len, (flags & MSG_PEEK) != 0);

			if (p->buf->end[1] != NULL)
				ep_notify(c, &p->buf->end[1]->s, EPOLLOUT | EPOLLWRNORM);
			return (ssize_t)n;
		}
		if (p->buf->end[1] == NULL)
			return 0;
		if (!waits(p, flags))
			return -EAGAIN;
		err = shim_wait_local(c, UINT64_MAX);
		if (err != 0)
			return err;
		(void)lane_pump(c);
	}
}

/* Up to PIPE_BUF bytes are written whole or not at all, as pipe(7) promises. */
ssize_t pipe_write(struct shim_ctx *c, int fd, const void *buf, size_t len, int flags)
{
	uint32_t cookie = 0;
	size_t done = 0;

	for (;;) {
		int err = 0;
		struct shim_pipe *p = end_of(c, fd, 1, &err);
		size_t room;

		if (p == NULL || (cookie != 0 && p->s.cookie != cookie))
			return done > 0 ? (ssize_t)done : err != 0 ? err : -EBADF;
		cookie = p->s.cookie;
		if (p->buf->end[0] == NULL)
			return done > 0 ? (ssize_t)done : -EPIPE;
		room = PIPE_SIZE - p->buf->count;
		if (room > 0 && (len > PIPE_BUF || room >= len)) {
			done += put(p->buf, (const char *)buf + done, len - done);
			ep_notify(c, &p->buf->end[0]->s, EPOLLIN | EPOLLRDNORM);
		}
		if (done == len)
			return (ssize_t)done;
		if (!waits(p, flags))
			return done > 0 ? (ssize_t)done : -EAGAIN;
		err = shim_wait_local(c, UINT64_MAX);
		if (err != 0)
			return done > 0 ? (ssize_t)done : err;
		(void)lane_pump(c);
	}
}

uint32_t pipe_ready(const struct shim_pipe *p)
{
	const struct pipe_buf *b = p->buf;

	if (b->end[0] == p)
		return (b->count > 0 ? EPOLLIN | EPOLLRDNORM : 0) | (b->end[1] == NULL ? EPOLLHUP : 0);
	if (b->end[0] == NULL)
		return EPOLLERR | EPOLLOUT | EPOLLWRNORM;
	return PIPE_SIZE - b->count >= PIPE_BUF ? EPOLLOUT | EPOLLWRNORM : 0;
}

size_t pipe_unread(const struct shim_pipe *p)
{
	return p->buf->count;
}

static struct shim_pipe *end_of(const struct shim_ctx *c, int fd, int which, int *err)
{
	struct shim_sock *s = fds_get(c, fd);
	struct shim_pipe *p = (struct shim_pipe *)s;

	*err = s == NULL || s->kind != KIND_PIPE || p->buf->end[which] != p ? -EBADF : 0;
	return *err == 0 ? p : NULL;
}

static bool waits(const struct shim_pipe *p, int flags)
{
	return (p->s.flags & F_NONBLOCK) == 0 && (flags & MSG_DONTWAIT) == 0;
}

static size_t take(struct pipe_buf *b, char *dst, size_t len, bool peek)
{
	size_t n = len < b->count ? len : b->count;
	size_t first = n < PIPE_SIZE - b->head ? n : PIPE_SIZE - b->head;

	memcpy(dst, b->data + b->head, first);
	memcpy(dst + first, b->data, n - first);
	if (!peek) {
		b->head = (b->head + n) % PIPE_SIZE;
		b->count -= n;
	}
	return n;
}

static size_t put(struct pipe_buf *b, const char *src, size_t len)
{
	size_t tail = (b->head + b->count) % PIPE_SIZE;
	size_t n = len < PIPE_SIZE - b->count ? len : PIPE_SIZE - b->count;
	size_t first = n < PIPE_SIZE - tail ? n : PIPE_SIZE - tail;

	memcpy(b->data + tail, src, first);
	memcpy(b->data, src + first, n - first);
	b->count += n;
	return n;
}
