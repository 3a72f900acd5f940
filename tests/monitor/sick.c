/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sick: a monitor that goes wrong as soon as it has seen a stream grow, for tests/system/monitors.sh.
 *
 *	sick fine      it does not
 *	sick spin      its callback never returns
 *	sick crash     its callback takes a SIGSEGV
 *	sick scribble  from then on random bytes, and zeros, go over all the shared memory that it may write
 *	sick poor      it may have so few descriptors that at first nothing works: whatever fails must say that it is that
 *
 * Says "watching", "data" when it has seen the first bytes, and "wrote" after the first thousand writes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "examples/mon.h"

enum { AREAS = 64, WRITES = 1000, STRETCH = 64, FEW = 64 };

struct area {
	uint8_t *base;
	size_t size;
};

static const char *kind;
static bool begun;

static uint64_t rnd(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* What stackd shares with it, and lets it write. */
static unsigned areas_find(struct area *area)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned n = 0;
	char line[512];

	while (maps != NULL && n < AREAS && fgets(line, sizeof(line), maps) != NULL) {
		uintptr_t from, to;
		char rights[5];

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, rights) == 3 && strcmp(rights, "rw-s") == 0)
			area[n++] = (struct area){ (uint8_t *)from, to - from };
	}
	if (maps != NULL)
		fclose(maps);
	return n;
}

/* The engine is not woken for it: it looks by itself, since the traffic goes on. */
static void *scribble(void *arg)
{
	const struct timespec nap = { 0, 20000 };
	static struct area area[AREAS];
	unsigned n = areas_find(area);

	(void)arg;
	if (n == 0)
		return NULL;
	for (unsigned long i = 1;; i++) {
		struct area *a = &area[rnd() % n];
		/* mostly where cursors and commands are */
		size_t at = rnd() % (rnd() % 2 != 0 && a->size > 4096 ? 4096 : a->size), len = 1 + rnd() % STRETCH;
		uint64_t what = rnd() % 3;

		for (size_t k = at; k < at + len && k < a->size; k++)
			((volatile uint8_t *)a->base)[k] = what == 0 ? 0 : what == 1 ? 0xff : (uint8_t)rnd();
		if (i == WRITES)
			printf("wrote %lu to %u areas\n", i, n);
		fflush(stdout);
		nanosleep(&nap, NULL);
	}
}

static void on_data(mctx_t mctx, int sock, int side, event_t event)
{
	static char buf[65536];
	pthread_t thread;
	sigset_t segv;

	(void)event;
	while (mtcp_peek(mctx, sock, side, buf, sizeof(buf)) > 0)
		;
	if (!begun)
		puts("data");
	fflush(stdout);
	if (strcmp(kind, "spin") == 0)
		for (;;)
			__asm__ volatile("");
	if (strcmp(kind, "crash") == 0) {
		signal(SIGSEGV, SIG_DFL);
		sigemptyset(&segv);
		sigaddset(&segv, SIGSEGV);
		pthread_sigmask(SIG_UNBLOCK, &segv, NULL); /* raised, it would wait behind the library's mask */
		raise(SIGSEGV); /* sanitizers would have a word on a pointer that is wrong */
	}
	if (strcmp(kind, "scribble") == 0 && !begun)
		pthread_create(&thread, NULL, scribble, NULL);
	begun = true;
}

static int poor(void)
{
	struct rlimit few = { FEW, FEW };
	int fd[FEW], n = 0, sock;

	setrlimit(RLIMIT_NOFILE, &few);
	while (n < FEW && (fd[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	for (unsigned failures = 0; n > 0; failures++) {
		mctx_t mctx = mtcp_create_context(0);

		sock = mctx != NULL ? mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0) : -1;
		if (sock < 0 && errno != EMFILE)
			return complain("sick", "poor");
		if (mctx != NULL)
			mtcp_destroy_context(mctx);
		if (sock >= 0)
			return printf("poor: %u failures\n", failures) < 0;
		close(fd[--n]);
	}
	return complain("sick", "nothing works");
}

int main(int argc, char **argv)
{
	mctx_t mctx;
	int sock;

	kind = argc > 1 ? argv[1] : "fine";
	if (strcmp(kind, "poor") == 0)
		return poor();
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("sick", "no context");
	sock = watch_streams(mctx, NULL);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) != 0)
		return complain("sick", "cannot watch");
	puts("watching");
	fflush(stdout);
	mtcp_app_join(mctx);
	pause(); /* whatever has become of the context: it stays, and writes */
	return 0;
}
