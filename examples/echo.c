/* SPDX-License-Identifier: BSD-3-Clause
 *
 * echo: sends back what it gets, or asks somebody who does; with the mTCP API.
 *
 *	echo -l [-a ADDRESS] PORT      serve
 *	echo ADDRESS PORT              send standard input, print what comes back
 *
 * The server shows level-triggered epoll with many connections and half-closed ones; the client shows a descriptor of the
 * kernel (standard input) beside a socket of stackd in one epoll.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "examples/addr.h"
#include <mtcp_api.h>
#include <mtcp_epoll.h>

enum {
	BLOCK = 16384,
	EVENTS = 64,
};

/* Bytes on their way from one side to the other. */
struct buffer {
	char data[BLOCK];
	size_t off, len;
};

struct conn {
	int fd;
	struct buffer buf;
};

static mctx_t mctx;
static int ep;
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int watch(int op, int fd, uint32_t events, void *ptr)
{
	struct mtcp_epoll_event e = { .events = events, .data.ptr = ptr };

	return mtcp_epoll_ctl(mctx, ep, op, fd, &e);
}

/* --- Server --------------------------------------------------------------------------------------------------------------- */

static void conn_close(struct conn *c)
{
	mtcp_close(mctx, c->fd);
	free(c);
}

/* Read only when all is written: so a peer that does not read stops us from reading, and nothing else. */
static bool conn_run(struct conn *c)
{
	struct buffer *b = &c->buf;

	for (;;) {
		ssize_t n;

		if (b->len > 0) {
			n = mtcp_write(mctx, c->fd, b->data + b->off, b->len);
			if (n < 0)
				return errno == EAGAIN && watch(MTCP_EPOLL_CTL_MOD, c->fd, MTCP_EPOLLOUT, c) == 0;
			b->off += (size_t)n;
			b->len -= (size_t)n;
			continue;
		}
		n = mtcp_read(mctx, c->fd, b->data, BLOCK);
		if (n <= 0)
			return n < 0 && errno == EAGAIN && watch(MTCP_EPOLL_CTL_MOD, c->fd, MTCP_EPOLLIN, c) == 0;
		b->off = 0;
		b->len = (size_t)n;
	}
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = mtcp_accept(mctx, listener, NULL, NULL)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		if (c == NULL || watch(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN, c) != 0) {
			mtcp_close(mctx, fd);
			free(c);
			continue;
		}
		c->fd = fd;
	}
}

static int serve(const union addr *addr)
{
	struct mtcp_epoll_event e[EVENTS];
	int listener = mtcp_socket(mctx, addr->any.sa_family, SOCK_STREAM, 0);

	if (listener < 0 || mtcp_bind(mctx, listener, &addr->any, addr_len(addr)) != 0 ||
	    mtcp_listen(mctx, listener, 128) != 0 || watch(MTCP_EPOLL_CTL_ADD, listener, MTCP_EPOLLIN, NULL) != 0) {
		perror("echo: listen");
		return 1;
	}
	while (!stop) {
		int n = mtcp_epoll_wait(mctx, ep, e, EVENTS, -1);

		if (n < 0 && errno != EINTR) {
			perror("echo: epoll_wait");
			return 1;
		}
		for (int i = 0; i < n; i++) {
			if (e[i].data.ptr == NULL)
				accept_all(listener);
			else if (!conn_run(e[i].data.ptr))
				conn_close(e[i].data.ptr);
		}
	}
	return 0;
}

/* --- Client --------------------------------------------------------------------------------------------------------------- */

static bool write_all(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(STDOUT_FILENO, p, n);

		if (w < 0 && errno != EINTR)
			return false;
		if (w > 0) {
			p += w;
			n -= (size_t)w;
		}
	}
	return true;
}

static bool input = true; /* standard input has not ended */
static bool is_file;      /* it is a file: always ready, so epoll does not take it */

/* Send what waits.  When all is sent, look at standard input again; while not, wait for room, and read nothing more. */
static bool flush(int fd, struct buffer *b)
{
	while (b->len > 0) {
		ssize_t n = mtcp_write(mctx, fd, b->data + b->off, b->len);

		if (n < 0)
			return errno == EAGAIN && watch(MTCP_EPOLL_CTL_MOD, fd, MTCP_EPOLLIN | MTCP_EPOLLOUT, &input) == 0;
		b->off += (size_t)n;
		b->len -= (size_t)n;
	}
	return watch(MTCP_EPOLL_CTL_MOD, fd, MTCP_EPOLLIN, &input) == 0 &&
	       (is_file || watch(MTCP_EPOLL_CTL_MOD | MTCP_EPOLL_KERNEL, STDIN_FILENO, MTCP_EPOLLIN | MTCP_EPOLLONESHOT,
				 NULL) == 0);
}

/* From standard input to the peer.  At its end we say so, and go on reading what is still on its way back. */
static bool forward(int fd, struct buffer *b)
{
	ssize_t n = read(STDIN_FILENO, b->data, BLOCK);

	if (n <= 0) {
		input = false;
		return n == 0 && mtcp_shutdown(mctx, fd, SHUT_WR) == 0;
	}
	b->off = 0;
	b->len = (size_t)n;
	return flush(fd, b);
}

/* From the peer to standard output.  1: it has ended, 0: no more now, -1: an error. */
static int print(int fd)
{
	char data[BLOCK];
	ssize_t n;

	while ((n = mtcp_read(mctx, fd, data, sizeof(data))) > 0) {
		if (!write_all(data, (size_t)n))
			return -1;
	}
	return n == 0 ? 1 : errno == EAGAIN ? 0 : -1;
}

static int ask(const union addr *addr)
{
	static struct buffer b;
	struct mtcp_epoll_event e[2];
	int fd = mtcp_socket(mctx, addr->any.sa_family, SOCK_STREAM, 0), off = 0;

	mtcp_ioctl(mctx, fd, FIONBIO, &off); /* connect shall wait */
	if (fd < 0 || mtcp_connect(mctx, fd, &addr->any, addr_len(addr)) != 0 ||
	    mtcp_setsock_nonblock(mctx, fd) != 0 || watch(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN, &input) != 0) {
		perror("echo: connect");
		return 1;
	}
	if (watch(MTCP_EPOLL_CTL_ADD | MTCP_EPOLL_KERNEL, STDIN_FILENO, MTCP_EPOLLIN | MTCP_EPOLLONESHOT, NULL) != 0) {
		if (errno != EPERM) {
			perror("echo: standard input");
			return 1;
		}
		is_file = true;
	}
	while (!stop) {
		bool more = is_file && input && b.len == 0;
		int n = mtcp_epoll_wait(mctx, ep, e, 2, more ? 0 : -1), end = 0;
		bool ok = (n >= 0 || errno == EINTR) && (!more || forward(fd, &b));

		for (int i = 0; i < n && ok; i++) {
			if (e[i].data.ptr == NULL) {
				ok = forward(fd, &b);
				continue;
			}
			if ((e[i].events & MTCP_EPOLLOUT) != 0)
				ok = flush(fd, &b);
			end = ok ? print(fd) : -1;
		}
		if (!ok || end < 0) {
			perror("echo");
			return 1;
		}
		if (end > 0)
			return 0;
	}
	return 0;
}

/* A number from 1 to max; 0 if text is none. */
static unsigned number(const char *text, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && *end == '\0' && n <= max ? (unsigned)n : 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: echo -l [-a ADDRESS] PORT\n       echo ADDRESS PORT\n");
	return 2;
}

int main(int argc, char **argv)
{
	union addr addr = addr_all();
	unsigned port;
	bool server = false;
	int o, rc;

	while ((o = getopt(argc, argv, "la:")) != -1) {
		if (o == 'l')
			server = true;
		else if (o != 'a' || !addr_parse(&addr, optarg))
			return usage();
	}
	if (argc - optind != (server ? 1 : 2) || (!server && !addr_parse(&addr, argv[optind])))
		return usage();
	port = number(argv[argc - 1], 65535);
	if (port == 0)
		return usage();
	addr_port(&addr, port);
	mctx = mtcp_create_context(0);
	if (mctx == NULL) {
		fprintf(stderr, "echo: no context: %s. %s\n", strerror(errno), mtcp_error_text());
		return 1;
	}
	mtcp_register_signal(SIGTERM, on_signal);
	mtcp_register_signal(SIGINT, on_signal);
	ep = mtcp_epoll_create(mctx, EVENTS);
	rc = server ? serve(&addr) : ask(&addr);
	mtcp_destroy_context(mctx);
	return rc;
}
