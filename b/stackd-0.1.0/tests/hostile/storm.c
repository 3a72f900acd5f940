/* SPDX-License-Identifier: BSD-3-Clause
 *
 * storm ADDRESS:PORT PATH SECONDS PROCESSES SEED: programs that come and go.
 *
 * So many processes at a time attach to stackd, listen, fetch PATH from ADDRESS:PORT by a few connections, and end.  Half of
 * them end in good order, half are killed by SIGKILL wherever they are: attaching, connecting, under load, leaving.  The last
 * line says how many there were.  An answer that is not a right one is an error; being refused is none.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mtcp_api.h>
#include <mtcp_epoll.h>

enum { PROCESSES_MAX = 64, CONNS = 4, LIFE_MS = 80, WAIT_MS = 2000, WRONG = 3 };

static struct sockaddr_in server = { .sin_family = AF_INET };
static char request[256];
static uint32_t rng;

static uint32_t rnd(uint32_t n)
{
	rng = rng * 1664525 + 1013904223;
	return (rng >> 8) % n;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- A child ---------------------------------------------------------------------------------------------------------- */

static int conn_open(mctx_t m, int ep)
{
	int fd = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	struct mtcp_epoll_event e = { .events = MTCP_EPOLLOUT, .data.sockid = fd };

	if (fd < 0)
		return -1;
	mtcp_setsock_nonblock(m, fd);
	mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD, fd, &e);
	if (mtcp_connect(m, fd, (struct sockaddr *)&server, sizeof(server)) != 0 && errno != EINPROGRESS) {
		mtcp_close(m, fd);
		return -1;
	}
	return fd;
}

static void listen_too(mctx_t m)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons((uint16_t)(20000 + rnd(2000))) };
	int fd = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);

	if (fd >= 0 && mtcp_bind(m, fd, (struct sockaddr *)&any, sizeof(any)) == 0)
		mtcp_listen(m, fd, 8);
}

/* false: the answer's head is wrong. */
static bool conn_run(mctx_t m, int ep, const struct mtcp_epoll_event *ev)
{
	struct mtcp_epoll_event in = { .events = MTCP_EPOLLIN, .data.sockid = ev->data.sockid };
	static char buf[65536];
	ssize_t n;

	if ((ev->events & MTCP_EPOLLOUT) != 0) {
		mtcp_write(m, ev->data.sockid, request, strlen(request));
		mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_MOD, ev->data.sockid, &in);
		return true;
	}
	n = mtcp_read(m, ev->data.sockid, buf, sizeof(buf));
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return true;
	mtcp_close(m, ev->data.sockid);
	conn_open(m, ep);
	return true;
}

static int child(void)
{
	struct mtcp_epoll_event ev[CONNS];
	uint64_t end = now_ms() + rnd(LIFE_MS);
	mctx_t m = mtcp_create_context((int)rnd(2));
	int ep;

	if (m == NULL)
		return 0; /* refused: there are too many */
	ep = mtcp_epoll_create(m, 64);
	if (rnd(2) == 0)
		listen_too(m);
	for (unsigned i = rnd(CONNS + 1); i > 0; i--)
		conn_open(m, ep);
	while (now_ms() < end) {
		int n = mtcp_epoll_wait(m, ep, ev, CONNS, 10);

		if (n < 0 && errno != EINTR)
			return WRONG;
		for (int i = 0; i < n; i++)
			conn_run(m, ep, &ev[i]);
	}
	if (rnd(2) == 0)
		mtcp_destroy_context(m);
	return 0;
}

/* --- The parent --------------------------------------------------------------------------------------------------------- */

struct one {
	pid_t pid;
	uint64_t kill_ms; /* 0: it may end by itself */
};

static void start(struct one *o)
{
	rng += 2654435761u;
	*o = (struct one){ .pid = fork(), .kill_ms = rnd(2) == 0 ? now_ms() + rnd(LIFE_MS) : 0 };
	if (o->pid == 0)
		_exit(child());
}

/* True when it is over. */
static bool look(struct one *o, unsigned *killed, unsigned *wrong)
{
	int status;

	if (o->kill_ms != 0 && now_ms() >= o->kill_ms) {
		kill(o->pid, SIGKILL);
		o->kill_ms = 0;
	}
	if (waitpid(o->pid, &status, WNOHANG) != o->pid)
		return false;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		++*killed;
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		++*wrong;
	return true;
}

static int storm(unsigned processes, uint64_t ms)
{
	struct one one[PROCESSES_MAX] = { { 0 } };
	unsigned started = 0, killed = 0, wrong = 0, alive = 0;
	uint64_t end = now_ms() + ms;

	do {
		bool more = now_ms() < end;

		alive = 0;
		for (unsigned i = 0; i < processes; i++) {
			if (one[i].pid != 0 && look(&one[i], &killed, &wrong))
				one[i].pid = 0;
			if (one[i].pid == 0 && more) {
				start(&one[i]);
				started++;
			}
			alive += one[i].pid != 0;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	} while (alive > 0);
	printf("%u programs, %u killed, %u ended badly\n", started, killed, wrong);
	return wrong > 0;
}

int main(int argc, char **argv)
{
	char *port = argc == 6 ? strchr(argv[1], ':') : NULL;
	unsigned processes;

	if (port == NULL) {
		fprintf(stderr, "usage: storm ADDRESS:PORT PATH SECONDS PROCESSES SEED\n");
		return 2;
	}
	*port = '\0';
	inet_pton(AF_INET, argv[1], &server.sin_addr);
	server.sin_port = htons((uint16_t)atoi(port + 1));
	snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", argv[2]);
	rng = (uint32_t)atoi(argv[5]);
	processes = (unsigned)atoi(argv[4]);
	return storm(processes < PROCESSES_MAX ? processes : PROCESSES_MAX, (uint64_t)(atof(argv[3]) * 1000));
}
