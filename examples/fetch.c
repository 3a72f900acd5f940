/* SPDX-License-Identifier: BSD-3-Clause
 *
 * fetch: downloads one URL many times, several at once, with the mTCP API.
 *
 *	fetch [-n TOTAL] [-c CONCURRENT] [-o DIR] [-q] http://ADDRESS[:PORT]/PATH
 *
 * ADDRESS is a numeric IPv4 address.  -o DIR keeps each body as DIR/NAME.NUMBER, -o - writes it to standard output (then one at
 * a time); otherwise bodies are counted and thrown away.  Progress goes to standard error once a second unless -q.  The exit
 * status is 0 only if every download was complete.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "examples/addr.h"
#include <mtcp_api.h>
#include <mtcp_epoll.h>

enum {
	HEAD_MAX = 8192,
	BLOCK = 65536,
	EVENTS = 256,
	CONCURRENT_MAX = 9000,
};

struct job {
	int fd, out; /* -1: none */
	unsigned number;
	bool asked;     /* the request is on its way */
	bool in_body;
	size_t head_len;
	long long want; /* bytes of the body, -1: until the end */
	long long got;
	char head[HEAD_MAX];
};

static union addr server;
static char request[1024];
static const char *name, *dir;
static unsigned total = 1, started, done, failed;
static unsigned long long bytes;
static mctx_t mctx;
static int ep;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- One download ----------------------------------------------------------------------------------------------------------- */

static void job_end(struct job *j, const char *why)
{
	if (j->out >= 0 && j->out != STDOUT_FILENO && close(j->out) != 0 && why == NULL)
		why = strerror(errno);
	if (j->fd >= 0)
		mtcp_close(mctx, j->fd);
	j->fd = j->out = -1;
	done++;
	if (why == NULL)
		return;
	if (failed++ < 10)
		fprintf(stderr, "fetch: number %u: %s\n", j->number, why);
}

static bool out_open(struct job *j)
{
	char path[4096];

	j->out = -1;
	if (dir == NULL)
		return true;
	if (strcmp(dir, "-") == 0) {
		j->out = STDOUT_FILENO;
		return true;
	}
	snprintf(path, sizeof(path), "%s/%s.%u", dir, name, j->number);
	j->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return j->out >= 0;
}

static void job_start(struct job *j)
{
	struct mtcp_epoll_event e = { .events = MTCP_EPOLLOUT, .data.ptr = j };

	j->number = started++;
	j->asked = j->in_body = false;
	j->head_len = 0;
	j->want = -1;
	j->got = 0;
	j->fd = mtcp_socket(mctx, server.any.sa_family, SOCK_STREAM, 0);
	if (!out_open(j) || j->fd < 0 || mtcp_epoll_ctl(mctx, ep, MTCP_EPOLL_CTL_ADD, j->fd, &e) != 0 ||
	    (mtcp_connect(mctx, j->fd, &server.any, addr_len(&server)) != 0 && errno != EINPROGRESS))
		job_end(j, strerror(errno));
}

/* Connected: ask.  A request this short always fits the empty send buffer. */
static const char *job_ask(struct job *j)
{
	struct mtcp_epoll_event e = { .events = MTCP_EPOLLIN, .data.ptr = j };
	size_t len = strlen(request);

	if (mtcp_write(mctx, j->fd, request, len) != (ssize_t)len)
		return "the request could not be sent";
	j->asked = true;
	return mtcp_epoll_ctl(mctx, ep, MTCP_EPOLL_CTL_MOD, j->fd, &e) == 0 ? NULL : strerror(errno);
}

static const char *body(struct job *j, const char *p, size_t n)
{
	j->got += (long long)n;
	bytes += n;
	while (j->out >= 0 && n > 0) {
		ssize_t w = write(j->out, p, n);

		if (w < 0 && errno != EINTR)
			return strerror(errno);
		if (w > 0) {
			p += w;
			n -= (size_t)w;
		}
	}
	return NULL;
}

/* Take bytes of the answer's head; what is beyond it is body. */
static const char *head(struct job *j, const char *p, size_t n)
{
	size_t room = HEAD_MAX - 1 - j->head_len, take = n < room ? n : room;
	char *end, *field;
	size_t rest;

	memcpy(j->head + j->head_len, p, take);
	j->head_len += take;
	j->head[j->head_len] = '\0';
	end = strstr(j->head, "\r\n\r\n");
	if (end == NULL)
		return room == take ? "the answer's head is too long" : NULL;
	end[2] = '\0';
	rest = j->head_len - (size_t)(end + 4 - j->head) + (n - take);
	if (strncmp(j->head, "HTTP/1.", 7) != 0 || strncmp(j->head + 8, " 200", 4) != 0)
		return "the answer is not 200";
	if (strcasestr(j->head, "\r\nTransfer-Encoding:") != NULL)
		return "the answer has a transfer encoding";
	field = strcasestr(j->head, "\r\nContent-Length:");
	if (field != NULL)
		j->want = strtoll(field + 17, NULL, 10);
	j->in_body = true;
	return body(j, p + n - rest, rest);
}

/* Something happened.  True when the download is over; then *why is NULL if it is complete. */
static bool job_run(struct job *j, const char **why)
{
	static char block[BLOCK];
	socklen_t size = sizeof(int);
	int err = 0;

	if (!j->asked) {
		mtcp_getsockopt(mctx, j->fd, SOL_SOCKET, SO_ERROR, &err, &size);
		*why = err != 0 ? strerror(err) : job_ask(j);
		return *why != NULL;
	}
	for (;;) {
		ssize_t n = mtcp_read(mctx, j->fd, block, sizeof(block));

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0)
			*why = strerror(errno);
		else if (n == 0)
			*why = j->in_body && j->want < 0 ? NULL : "the connection ended early";
		else
			*why = j->in_body ? body(j, block, (size_t)n) : head(j, block, (size_t)n);
		if (n <= 0 || *why != NULL)
			return true;
		if (j->in_body && j->want >= 0 && j->got >= j->want) {
			*why = j->got > j->want ? "more bytes than promised" : NULL;
			return true;
		}
	}
}

/* --- All of them ------------------------------------------------------------------------------------------------------------- */

static void progress(double t)
{
	fprintf(stderr, "%u of %u, %.1f MB, %.1f MB/s, %u failed\n", done, total, (double)bytes / 1e6, (double)bytes / 1e6 / t,
		failed);
}

static bool fetch_all(struct job *job, unsigned jobs, bool quiet)
{
	struct mtcp_epoll_event e[EVENTS];
	double begin = now(), next = begin + 1;

	for (unsigned i = 0; i < jobs; i++)
		job_start(&job[i]);
	while (done < total) {
		int n = mtcp_epoll_wait(mctx, ep, e, EVENTS, 1000);

		if (n < 0 && errno != EINTR) {
			fprintf(stderr, "fetch: %s. %s\n", strerror(errno), mtcp_error_text());
			return false;
		}
		for (int i = 0; i < n; i++) {
			struct job *j = e[i].data.ptr;
			const char *why = NULL;

			if (j->fd >= 0 && job_run(j, &why))
				job_end(j, why);
		}
		/* as many again as have ended */
		for (unsigned i = 0; i < jobs && started < total; i++) {
			if (job[i].fd < 0)
				job_start(&job[i]);
		}
		if (!quiet && now() >= next) {
			progress(now() - begin);
			next = now() + 1;
		}
	}
	fprintf(dir != NULL && strcmp(dir, "-") == 0 ? stderr : stdout, "%u downloads, %llu bytes, %.3f s, %.1f MB/s, %u failed\n",
		total, bytes, now() - begin, (double)bytes / 1e6 / (now() - begin), failed);
	return failed == 0;
}

/* A number from 1 to max; 0 if text is none. */
static unsigned number(const char *text, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && *end == '\0' && n <= max ? (unsigned)n : 0;
}

/* http://ADDRESS[:PORT]/PATH becomes the server's address, the request and the file's name. */
static bool url_parse(char *url)
{
	char host[96], *path, *port;
	unsigned port_number;
	size_t n;

	if (strncmp(url, "http://", 7) != 0)
		return false;
	url += 7;
	path = strchrnul(url, '/');
	n = (size_t)(path - url);
	if (n >= sizeof(host))
		return false;
	memcpy(host, url, n);
	host[n] = '\0';
	if ((size_t)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
			     *path != '\0' ? path : "/", host) >= sizeof(request))
		return false;
	port = strrchr(host, ':');
	if (port != NULL && strchr(port, ']') != NULL) /* a colon of the address */
		port = NULL;
	port_number = port != NULL ? number(port + 1, 65535) : 80;
	if (port != NULL)
		*port = '\0';
	path[strcspn(path, "?#")] = '\0';
	name = *path != '\0' && strrchr(path, '/')[1] != '\0' ? strrchr(path, '/') + 1 : "index.html";
	if (port_number == 0 || !addr_parse(&server, host))
		return false;
	addr_port(&server, port_number);
	return true;
}

static int usage(void)
{
	fprintf(stderr, "usage: fetch [-n TOTAL] [-c CONCURRENT] [-o DIR] [-q] http://ADDRESS[:PORT]/PATH\n"
			"ADDRESS is numeric; one of IPv6 stands in brackets.  -o DIR keeps the bodies, -o - prints them; otherwise they are only counted.\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned concurrent = 1;
	bool quiet = false, ok;
	struct job *job;
	int o;

	while ((o = getopt(argc, argv, "n:c:o:q")) != -1) {
		if (o == 'n')
			total = number(optarg, UINT_MAX);
		else if (o == 'c')
			concurrent = number(optarg, UINT_MAX);
		else if (o == 'o')
			dir = optarg;
		else if (o == 'q')
			quiet = true;
		else
			return usage();
	}
	if (dir != NULL && strcmp(dir, "-") == 0)
		concurrent = 1;
	if (concurrent > total)
		concurrent = total;
	if (optind != argc - 1 || total == 0 || concurrent == 0 || concurrent > CONCURRENT_MAX || !url_parse(argv[optind]))
		return usage();
	job = calloc(concurrent, sizeof(*job));
	if (job == NULL) {
		perror("fetch");
		return 1;
	}
	mctx = mtcp_create_context(0);
	if (mctx == NULL) {
		fprintf(stderr, "fetch: no context: %s. %s\n", strerror(errno), mtcp_error_text());
		return 1;
	}
	/* INADDR_ANY: stackd's own address.  With several addresses, name the first and how many there are. */
	if (server.any.sa_family == AF_INET)
		mtcp_init_rss(mctx, INADDR_ANY, 1, server.v4.sin_addr.s_addr, server.v4.sin_port);
	ep = mtcp_epoll_create(mctx, EVENTS);
	for (unsigned i = 0; i < concurrent; i++)
		job[i].fd = job[i].out = -1;
	ok = ep >= 0 && fetch_all(job, concurrent, quiet);
	mtcp_destroy_context(mctx);
	free(job);
	return ok ? 0 : 1;
}
