/* SPDX-License-Identifier: BSD-3-Clause
 *
 * spy: looks for words in all the memory that stackd lets it read, for tests/system/monitors.sh.
 *
 *	spy WORD...
 *
 * Watches everything it may.  On SIGUSR1 it reads every mapping that is shared, and every one that it may only read, and
 * prints "found N WORD" for each; then it tries to make them writable, and to map them again so, and prints "writable N of M".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>

#include "examples/mon.h"

enum { AREAS = 64 };

struct area {
	uint8_t *base;
	size_t size;
	bool writable;
};

static struct area area[AREAS];
static unsigned areas;

static void areas_find(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	while (maps != NULL && areas < AREAS && fgets(line, sizeof(line), maps) != NULL) {
		uintptr_t from, to;
		char rights[5];

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, rights) != 3 || rights[0] != 'r' || rights[3] != 's')
			continue;
		area[areas++] = (struct area){ (uint8_t *)from, to - from, rights[1] == 'w' };
	}
	if (maps != NULL)
		fclose(maps);
}

/* Not those in its own arguments: they lie in no shared memory. */
static unsigned long count(const char *word)
{
	size_t len = strlen(word);
	unsigned long n = 0;

	for (unsigned i = 0; i < areas; i++) {
		const uint8_t *at = area[i].base, *end = at + area[i].size;

		while ((at = memmem(at, (size_t)(end - at), word, len)) != NULL) {
			n++;
			at += len;
		}
	}
	return n;
}

/* A descriptor of the memory, by which it may be mapped once more. */
static bool map_again(const struct area *a)
{
	char path[64];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/map_files/%" PRIxPTR "-%" PRIxPTR, (uintptr_t)a->base, (uintptr_t)a->base + a->size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	p = mmap(NULL, a->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p != MAP_FAILED;
}

static void try_to_write(void)
{
	unsigned only_read = 0, won = 0;

	for (unsigned i = 0; i < areas; i++) {
		if (area[i].writable)
			continue;
		only_read++;
		won += mprotect(area[i].base, area[i].size, PROT_READ | PROT_WRITE) == 0 || map_again(&area[i]);
	}
	printf("writable %u of %u\n", won, only_read);
}

static void on_anything(mctx_t mctx, int sock, int side, event_t event)
{
	(void)mctx;
	(void)sock;
	(void)side;
	(void)event;
}

int main(int argc, char **argv)
{
	sigset_t usr1;
	mctx_t mctx;
	int sock, signum;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("spy", "no context");
	sock = watch_streams(mctx, NULL);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_anything) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_anything) != 0)
		return complain("spy", "cannot watch");
	puts("watching");
	fflush(stdout);
	sigwait(&usr1, &signum);
	areas_find();
	for (int i = 1; i < argc; i++)
		printf("found %lu %s\n", count(argv[i]), argv[i]);
	try_to_write();
	mtcp_destroy_context(mctx);
	return 0;
}
