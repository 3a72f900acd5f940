/* SPDX-License-Identifier: BSD-3-Clause
 *
 * httpd: a small web server for static files, with the mTCP API.
 *
 *	httpd [-p PORT] [-a ADDRESS] [-r ROOT] [-c CPU[,CPU...]]
 *
 * One thread, one context and one listener per CPU; epoll tells which connections have work.  A connection is either reading
 * a request (it waits for MTCP_EPOLLIN) or writing an answer (it waits for MTCP_EPOLLOUT once a write found no room).
 * Without -a it serves IPv4 and IPv6.  HTTP/1.0 and 1.1, GET and HEAD, keep-alive and pipelining.  /64 is an answer of 64 bytes from memory, for benchmarks, unless
 * ROOT has a file of that name.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "examples/addr.h"
#include "examples/sock.h"

enum {
	REQUEST_MAX = 4096, /* bytes of a request's head */
	HEAD_MAX = 256,     /* bytes of an answer's head */
	BLOCK = 65536,      /* bytes read from a file at a time */
	EVENTS = 256,
	CPUS_MAX = 64,
	BACKLOG = 4096,
	SOCKETS_MAX = 100000,
};

static const char body64[65] = "stackd httpd: sixty-four bytes, the same ones for each request.\n";

struct conn {
	int fd;
	bool waits_out;  /* registered for MTCP_EPOLLOUT */
	bool keep;       /* keep the connection after this answer */
	bool answering;
	size_t in_len;   /* bytes in `in` */
	char head[HEAD_MAX];
	size_t head_len, head_off;
	const char *body; /* from memory ... */
	int file;         /* ... or from here; -1: none */
	off_t body_len, body_off;
	char in[REQUEST_MAX];
};

struct worker {
	pthread_t thread;
	int cpu; /* -1: anywhere */
	mctx_t mctx;
	int ep, listener, pipe[2];
	char *block; /* BLOCK bytes */
};

static union addr address;
static unsigned port = 80;
static int root = -1; /* directory */
static bool has_file_64;

/* --- Answers -------------------------------------------------------------------------------------------------------------- */

static void answer(struct conn *c, int status, const char *reason, off_t len)
{
	c->answering = true;
	c->head_off = c->body_off = 0;
	c->body_len = len;
	c->head_len = (size_t)snprintf(c->head, sizeof(c->head),
				       "HTTP/1.1 %d %s\r\nServer: stackd-httpd\r\nContent-Length: %lld\r\nConnection: %s\r\n\r\n",
				       status, reason, (long long)len, c->keep ? "keep-alive" : "close");
}

static void answer_text(struct conn *c, int status, const char *reason, const char *text, bool with_body)
{
	c->body = text;
	answer(c, status, reason, (off_t)strlen(text));
	if (!with_body)
		c->body_len = 0;
}

/* %41 becomes A.  False for a bad escape, a NUL, or a path that could lead out of the root. */
static bool path_decode(char *path)
{
	char *to = path, *p = path;

	if (*p != '/')
		return false;
	for (; *p != '\0' && *p != '?' && *p != '#'; p++) {
		unsigned byte = (unsigned char)*p;
		int used = 0;

		if (byte == '%' && (sscanf(p, "%%%2x%n", &byte, &used) != 1 || used != 3 || byte == 0))
			return false;
		*to++ = (char)byte;
		p += used > 0 ? 2 : 0;
	}
	*to = '\0';
	for (p = path; (p = strstr(p, "/..")) != NULL; p += 3) {
		if (p[3] == '/' || p[3] == '\0')
			return false;
	}
	return true;
}

/* A regular file below the root, or -1.  O_NONBLOCK, so that a fifo does not stop us. */
static int file_open(const char *path, off_t *size)
{
	int fd = openat(root, *path != '\0' ? path : ".", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		int index = openat(fd, "index.html", O_RDONLY | O_CLOEXEC | O_NONBLOCK);

		close(fd);
		fd = index;
	}
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*size = st.st_size;
	return fd;
}

static void answer_path(struct conn *c, char *path, bool with_body)
{
	off_t size;

	if (strcmp(path, "/64") == 0 && !has_file_64) {
		answer_text(c, 200, "OK", body64, with_body);
		return;
	}
	if (!path_decode(path)) {
		answer_text(c, 400, "Bad Request", "bad path\n", with_body);
		return;
	}
	c->file = file_open(path + strspn(path, "/"), &size);
	if (c->file < 0) {
		answer_text(c, 404, "Not Found", "not found\n", with_body);
		return;
	}
	answer(c, 200, "OK", size);
	if (!with_body)
		c->body_len = 0;
}

/* --- Requests ------------------------------------------------------------------------------------------------------------- */

/* The value of a header, or NULL.  `head` is the request's head, ending with an empty line, NUL-terminated. */
static const char *header(const char *head, const char *name)
{
	size_t n = strlen(name);

	while ((head = strstr(head, "\r\n")) != NULL) {
		head += 2;
		if (strncasecmp(head, name, n) == 0 && head[n] == ':')
			return head + n + 1 + strspn(head + n + 1, " \t");
	}
	return NULL;
}

static bool value_has(const char *value, const char *word)
{
	const char *end = value != NULL ? strstr(value, "\r\n") : NULL;
	const char *at = value != NULL ? strcasestr(value, word) : NULL;

	return at != NULL && at < end;
}

/* Look at the head of one request, `len` bytes, and decide the answer. */
static void request(struct conn *c, char *head, size_t len)
{
	const char *connection;
	char *target, *version, *line_end;
	bool is_head;

	head[len - 2] = '\0'; /* the empty line; the last header keeps its end */
	c->keep = false;
	line_end = strstr(head, "\r\n");
	target = strchr(head, ' ');
	version = target != NULL ? strchr(target + 1, ' ') : NULL;
	if (strlen(head) != len - 2 || version == NULL || version > line_end ||
	    (strncmp(version, " HTTP/1.1\r\n", 11) != 0 && strncmp(version, " HTTP/1.0\r\n", 11) != 0)) {
		answer_text(c, 400, "Bad Request", "bad request\n", true);
		return;
	}
	*target++ = *version = '\0';
	is_head = strcmp(head, "HEAD") == 0;
	if (!is_head && strcmp(head, "GET") != 0) {
		answer_text(c, 405, "Method Not Allowed", "only GET and HEAD\n", true);
		return;
	}
	connection = header(version + 1, "Connection");
	c->keep = version[8] == '1' ? !value_has(connection, "close") : value_has(connection, "keep-alive");
	if (header(version + 1, "Content-Length") != NULL || header(version + 1, "Transfer-Encoding") != NULL)
		c->keep = false; /* a body follows that nobody wants */
	answer_path(c, target, !is_head);
}

/* --- Connections ---------------------------------------------------------------------------------------------------------- */

static void conn_close(struct worker *w, struct conn *c)
{
	if (c->file >= 0)
		close(c->file);
	mtcp_close(w->mctx, c->fd); /* leaves the epoll by that */
	free(c);
}

static bool wait_for(struct worker *w, struct conn *c, bool out)
{
	struct mtcp_epoll_event e = { .events = out ? MTCP_EPOLLOUT : MTCP_EPOLLIN, .data.ptr = c };

	if (c->waits_out == out)
		return true;
	c->waits_out = out;
	return mtcp_epoll_ctl(w->mctx, w->ep, MTCP_EPOLL_CTL_MOD, c->fd, &e) == 0;
}

/* Write what is left of the head and some of the body.  1: all is written, 0: no room now, -1: the connection is broken. */
static int conn_write(struct worker *w, struct conn *c)
{
	while (c->head_off < c->head_len || c->body_off < c->body_len) {
		struct iovec part[2] = { { c->head + c->head_off, c->head_len - c->head_off } };
		size_t want = c->body_len - c->body_off < BLOCK ? (size_t)(c->body_len - c->body_off) : BLOCK;
		ssize_t n;

		if (c->file >= 0 && want > 0) {
			n = pread(c->file, w->block, want, c->body_off);
			if (n <= 0)
				return -1; /* the file has become shorter than we promised */
			part[1] = (struct iovec){ w->block, (size_t)n };
		} else if (want > 0) {
			part[1] = (struct iovec){ (void *)(c->body + c->body_off), want };
		}
		n = mtcp_writev(w->mctx, c->fd, part, 2);
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		want = (size_t)n < part[0].iov_len ? (size_t)n : part[0].iov_len;
		c->head_off += want;
		c->body_off += n - (ssize_t)want;
	}
	return 1;
}

static void answer_done(struct conn *c)
{
	if (c->file >= 0)
		close(c->file);
	c->file = -1;
	c->answering = false;
}

/* The next whole request in the buffer becomes an answer.  False when there is none. */
static bool conn_next(struct conn *c)
{
	char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
	size_t len;

	if (end == NULL && c->in_len < sizeof(c->in))
		return false;
	if (end == NULL) {
		c->keep = false;
		answer_text(c, 400, "Bad Request", "the request is too long\n", true);
		return true;
	}
	len = (size_t)(end - c->in) + 4;
	request(c, c->in, len);
	c->in_len -= len;
	memmove(c->in, c->in + len, c->in_len);
	return true;
}

/* Do all that can be done now.  False: the connection is to be closed. */
static bool conn_run(struct worker *w, struct conn *c)
{
	for (;;) {
		ssize_t n;

		if (c->answering || conn_next(c)) {
			int done = conn_write(w, c);

			if (done <= 0)
				return done == 0 && wait_for(w, c, true);
			answer_done(c);
			if (!c->keep)
				return false;
			continue;
		}
		n = mtcp_read(w->mctx, c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len);
		if (n <= 0)
			return n < 0 && errno == EAGAIN && wait_for(w, c, false);
		c->in_len += (size_t)n;
	}
}

static void accept_all(struct worker *w)
{
	for (;;) {
		struct mtcp_epoll_event e = { .events = MTCP_EPOLLIN };
		int fd = mtcp_accept(w->mctx, w->listener, NULL, NULL);
		struct conn *c;

		if (fd < 0)
			return;
		c = malloc(sizeof(*c));
		if (c == NULL) {
			mtcp_close(w->mctx, fd);
			continue;
		}
		memset(c, 0, offsetof(struct conn, in));
		c->fd = fd;
		c->file = -1;
		e.data.ptr = c;
		if (mtcp_epoll_ctl(w->mctx, w->ep, MTCP_EPOLL_CTL_ADD, fd, &e) != 0 || !conn_run(w, c))
			conn_close(w, c);
	}
}

/* --- Workers -------------------------------------------------------------------------------------------------------------- */

static bool add(struct worker *w, int fd, void *ptr)
{
	struct mtcp_epoll_event e = { .events = MTCP_EPOLLIN, .data.ptr = ptr };

	return mtcp_epoll_ctl(w->mctx, w->ep, MTCP_EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool worker_open(struct worker *w)
{
	int on = 1;

	w->block = malloc(BLOCK);
	w->mctx = w->block != NULL ? mtcp_create_context(w->cpu < 0 ? 0 : w->cpu) : NULL;
	if (w->mctx == NULL) {
		fprintf(stderr, "httpd: no context: %s. %s\n", strerror(errno), mtcp_error_text());
		return false;
	}
	w->ep = mtcp_epoll_create(w->mctx, EVENTS);
	w->listener = mtcp_socket(w->mctx, address.any.sa_family, SOCK_STREAM, 0);
	if (w->ep < 0 || w->listener < 0 || mtcp_pipe(w->mctx, w->pipe) != 0 ||
	    mtcp_setsockopt(w->mctx, w->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    mtcp_setsockopt(w->mctx, w->listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
	    mtcp_bind(w->mctx, w->listener, &address.any, addr_len(&address)) != 0 ||
	    mtcp_listen(w->mctx, w->listener, BACKLOG) != 0 || !add(w, w->listener, &w->listener) ||
	    !add(w, w->pipe[0], &w->pipe)) {
		fprintf(stderr, "httpd: cannot listen on port %u: %s\n", port, strerror(errno));
		return false;
	}
	return true;
}

static void *worker_run(void *arg)
{
	struct mtcp_epoll_event e[EVENTS];
	struct worker *w = arg;

	if (w->cpu >= 0 && mtcp_core_affinitize(w->cpu) != 0)
		fprintf(stderr, "httpd: CPU %d: %s\n", w->cpu, strerror(errno));
	for (;;) {
		int n = mtcp_epoll_wait(w->mctx, w->ep, e, EVENTS, -1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fprintf(stderr, "httpd: %s. %s\n", strerror(errno), mtcp_error_text());
			kill(getpid(), SIGTERM); /* main waits for it */
			return w;
		}
		for (int i = 0; i < n; i++) {
			if (e[i].data.ptr == &w->pipe)
				return NULL; /* main says: the end */
			if (e[i].data.ptr == &w->listener)
				accept_all(w);
			else if (!conn_run(w, e[i].data.ptr))
				conn_close(w, e[i].data.ptr);
		}
	}
}

/* --- Start ---------------------------------------------------------------------------------------------------------------- */

/* A number from 1 to max; 0 if text is none. */
static unsigned number(const char *text, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && *end == '\0' && n <= max ? (unsigned)n : 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: httpd [-p PORT] [-a ADDRESS] [-r ROOT] [-c CPU[,CPU...]]\n");
	return 2;
}

/* Their number, 0 if list is none. */
static unsigned cpus_parse(char *list, struct worker *w)
{
	unsigned n = 0;

	for (char *p = strtok(list, ","); p != NULL && n < CPUS_MAX; p = strtok(NULL, ",")) {
		w[n].cpu = (int)number(p, CPU_SETSIZE);
		if (w[n++].cpu == 0 && strcmp(p, "0") != 0)
			return 0;
	}
	return n;
}

int main(int argc, char **argv)
{
	static struct worker worker[CPUS_MAX] = { { .cpu = -1 } };
	unsigned workers = 1, started = 0;
	const char *dir = ".";
	bool failed = false;
	sigset_t ends;
	int o, sig;

	address = addr_all();
	while ((o = getopt(argc, argv, "p:a:r:c:")) != -1) {
		if (o == 'p')
			port = number(optarg, 65535);
		else if (o == 'a' && addr_parse(&address, optarg))
			continue;
		else if (o == 'r')
			dir = optarg;
		else if (o == 'c')
			workers = cpus_parse(optarg, worker);
		else
			return usage();
	}
	if (optind != argc || workers == 0 || port == 0)
		return usage();
	addr_port(&address, port);
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0) {
		perror(dir);
		return 1;
	}
	has_file_64 = faccessat(root, "64", F_OK, 0) == 0;

	/* SIGTERM and SIGINT are taken below, by nobody else; a peer that goes away is an error of write, no signal */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sock_limit(SOCKETS_MAX) != 0)
		perror("httpd: socket limit");
	for (; started < workers && !failed; started++)
		failed = !worker_open(&worker[started]) ||
			 pthread_create(&worker[started].thread, NULL, worker_run, &worker[started]) != 0;
	if (failed)
		started--;
	else
		sigwait(&ends, &sig);
	for (unsigned i = 0; i < started; i++) {
		void *result;

		(void)!mtcp_write(worker[i].mctx, worker[i].pipe[1], "", 1);
		pthread_join(worker[i].thread, &result);
		failed |= result != NULL;
		mtcp_destroy_context(worker[i].mctx);
		free(worker[i].block);
	}
	return failed;
}
