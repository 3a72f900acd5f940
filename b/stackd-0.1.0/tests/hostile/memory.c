/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Attacks on what is mapped: writing over all of it at any time, taking it away, and getting at what is only to be read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/hostile/foe.h"

enum { SCRIBBLES = 300, RACES = 3000 };

/* --- Writing ------------------------------------------------------------------------------------------------------------------ */

/* A slot that the engine will take, with a body that is somewhat like a command. */
static void slot_fill(struct ring_slot *s, uint32_t lap)
{
	struct cmd c;

	rnd_fill(&c, sizeof(c));
	c.op = (uint16_t)below(CMD_MAX + (below(50) == 0));
	if (below(4) != 0)
		c.handle = (struct handle){ HANDLE_ACTIVE | below(4), below(4) };
	memcpy(s->body, &c, sizeof(c));
	atomic_store_explicit((_Atomic uint32_t *)&s->lap, lap, memory_order_release);
}

static void scribble_once(struct foe_lane *l)
{
	size_t off = below((uint32_t)l->up.size), n = 1 + below(256);
	uint8_t *p = (uint8_t *)l->up.base + off;

	if (n > l->up.size - off)
		n = l->up.size - off;
	switch (below(5)) {
	case 0:
		memset(p, below(2) != 0 ? 0xff : 0, n);
		break;
	case 1:
		l->upp->client_asleep = (uint32_t)rnd();
		break;
	case 2:
		slot_fill(&l->upp->cmd[below(l->slots)], 1 + below(2));
		break;
	case 3:
		slot_fill(&l->upp->cmd[l->cmds.head & (l->slots - 1)], l->cmds.head / l->slots + 1);
		l->cmds.head++;
		break;
	default:
		rnd_fill(p, n);
	}
	if (l->tx.base[0] != NULL)
		rnd_fill(l->tx.base[0] + below(BYTES_SEG_SIZE - 256), 256);
	foe_ring(l);
}

static void scribble(void)
{
	for (unsigned round = 0; round < 10; round++) {
		struct foe f;

		foe_attach(&f);
		(void)foe_open(&f, below(f.lanes));
		for (unsigned i = 0; i < SCRIBBLES && !f.dead; i++) {
			scribble_once(&f.lane[below(f.lanes)]);
			if (i % 64 == 0)
				(void)foe_pump(&f, 1);
		}
		foe_end(&f, "scribble", "random writes over all that is writable");
	}
}

static void cursors(void)
{
	static const struct {
		const char *what;
		uint32_t lie;
	} say[] = { { "one ahead", 1 }, { "a ring ahead", 1024 }, { "behind", UINT32_MAX }, { "half the world away", 1u << 31 },
		    { "forth and back", 2 } };

	for (unsigned i = 0; i < sizeof(say) / sizeof(say[0]); i++) {
		struct foe f;

		foe_attach(&f);
		for (uint32_t k = 0; k < 2 * f.lane[0].slots; k++) { /* each fails at once and is an event */
			struct cmd c = { .op = CMD_CONNECT, .handle = { HANDLE_ACTIVE | k, 1 } };

			f.lane[0].upp->event_done = f.lane[0].events.tail + say[i].lie * (i < 4 || k % 2 == 0);
			if (ring_put(&f.lane[0].cmds, &c, sizeof(c)) != 0 && !foe_put(&f, 0, &c))
				break;
			foe_ring(&f.lane[0]);
		}
		foe_end(&f, "cursors", say[i].what);
	}
}

/* --- Changing what is being read ---------------------------------------------------------------------------------------------- */

struct race {
	struct foe_lane *lane;
	_Atomic bool stop;
	uint64_t seed;
};

static void *racer(void *arg)
{
	struct race *r = arg;
	uint32_t *word = (uint32_t *)(void *)r->lane->upp->cmd;
	size_t words = (size_t)r->lane->slots * SHM_LINE / sizeof(*word);
	uint64_t x = r->seed | 1;

	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		for (unsigned i = 0; i < 4096; i++) {
			size_t at;

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			at = x % words;
			if (at % 16 != 15) /* the lap words stay: the engine is to read what changes */
				atomic_store_explicit((_Atomic uint32_t *)&word[at], (uint32_t)(x >> (x & 31)),
						      memory_order_relaxed);
		}
		usleep(200); /* others want the core too */
	}
	return NULL;
}

static void races(void)
{
	for (unsigned round = 0; round < 5; round++) {
		struct foe f;
		struct race r = { .seed = rnd() };
		pthread_t thread;

		foe_attach(&f);
		(void)foe_open(&f, 0);
		r.lane = &f.lane[0];
		if (pthread_create(&thread, NULL, racer, &r) != 0)
			return;
		for (unsigned i = 0; i < RACES; i++) {
			struct cmd c = { .op = CMD_SEND, .handle = { HANDLE_ACTIVE, 1 } };

			memset(c.send.chunk, 0xff, sizeof(c.send.chunk));
			if (!foe_put(&f, 0, &c))
				break;
		}
		atomic_store(&r.stop, true);
		pthread_join(thread, NULL);
		foe_end(&f, "races", "slots that change while they are read");
	}
}

/* --- What is only to be read --------------------------------------------------------------------------------------------------- */

static void must_fail(bool failed, const char *memory, const char *what)
{
	if (!failed)
		fail("%s: %s was possible", memory, what);
}

static bool cannot_write_through(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p != MAP_FAILED)
		munmap(p, size);
	return p == MAP_FAILED && pwrite(fd, "x", 1, 0) < 0;
}

void foe_read_only(const char *name, int fd, void *base, size_t size)
{
	char path[32];
	int again;

	must_fail(cannot_write_through(fd, size), name, "writing");
	must_fail(mprotect(base, size, PROT_READ | PROT_WRITE) != 0, name, "mprotect");
	must_fail(ftruncate(fd, 0) != 0, name, "shrinking");
	must_fail(ftruncate(fd, (off_t)size * 2) != 0, name, "growing");
	must_fail(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size) != 0, name, "a hole");
	must_fail(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, (off_t)size) != 0, name, "zeroing");
	must_fail(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) != 0, name, "sealing");
	must_fail(madvise(base, size, MADV_REMOVE) != 0, name, "MADV_REMOVE");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again >= 0) {
		must_fail(cannot_write_through(again, size), name, "writing after opening it again");
		must_fail(fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size) != 0, name,
			  "a hole after opening it again");
		close(again);
	}
	must_fail(open(path, O_RDWR | O_TRUNC | O_CLOEXEC) < 0, name, "truncation by opening it");
}

/* Not to be resized; holes are allowed, since it is ours, and harm nobody. */
void foe_ours(const char *name, int fd, void *base, size_t size)
{
	must_fail(ftruncate(fd, 0) != 0, name, "shrinking");
	must_fail(ftruncate(fd, (off_t)size * 2) != 0, name, "growing");
	must_fail(fallocate(fd, 0, (off_t)size, 4096) != 0, name, "growing by fallocate");
	must_fail(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) != 0, name, "sealing");
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size) != 0)
		fail("%s: a hole should be possible: %s", name, strerror(errno));
	(void)madvise(base, size, MADV_REMOVE);
}

static void seals(void)
{
	struct foe f;

	foe_attach(&f);
	for (unsigned i = 0; i < f.lanes; i++) {
		struct foe_lane *l = &f.lane[i];

		while (l->rx_fd < 0 || l->tx_fd < 0) {
			if (!foe_pump(&f, 1000))
				break;
		}
		foe_read_only("events", l->down_fd, l->down.base, l->down.size);
		foe_ours("commands", l->up_fd, l->up.base, l->up.size);
		if (l->rx_fd >= 0)
			foe_read_only("received payload", l->rx_fd, l->rx.base[0], BYTES_SEG_SIZE);
		else
			fail("no receive segment came");
		if (l->tx_fd >= 0)
			foe_ours("payload to send", l->tx_fd, l->tx.base[0], BYTES_SEG_SIZE);
	}
	foe_settle(&f);
	if (f.dead)
		fail("holes in its own memory detached a client: %s", f.why);
	foe_end(&f, "seals", "memory classes");
}

/* Holes while it is in use: payload that was queued, rings that are being read. */
static void holes(void)
{
	struct foe f;
	uint64_t end = 0;

	foe_attach(&f);
	(void)foe_open(&f, 0);
	for (unsigned i = 0; i < 200; i++) {
		struct foe_lane *l = &f.lane[0];
		struct cmd c = { .op = CMD_SEND, .handle = { HANDLE_ACTIVE, 1 } };

		memset(c.send.chunk, 0xff, sizeof(c.send.chunk));
		c.send.chunk[0] = 1 + i;
		c.send.tx_end = end += BYTES_CHUNK;
		if (!foe_put(&f, 0, &c))
			break;
		if (l->tx_fd >= 0)
			(void)fallocate(l->tx_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BYTES_SEG_SIZE);
		if (i % 8 == 7)
			(void)fallocate(l->up_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)l->up.size);
	}
	foe_end(&f, "holes", "punched while in use");
}

/* --- Bells ----------------------------------------------------------------------------------------------------------------------- */

static void some_news(struct foe *f)
{
	for (uint32_t k = 0; k < 200; k++) {
		struct cmd c = { .op = CMD_CONNECT, .handle = { HANDLE_ACTIVE | k, 1 } };

		f->lane[0].upp->client_asleep = k + 1;
		if (!foe_put(f, 0, &c))
			break;
	}
}

static void doorbell(void)
{
	struct foe f;
	uint64_t full = UINT64_MAX - 1, bells;

	foe_attach(&f);
	for (unsigned i = 0; i < f.lanes; i++)
		(void)fcntl(f.lane[i].bell_fd, F_SETFL, 0);
	for (unsigned i = 0; i < 20000; i++)
		foe_ring(&f.lane[below(f.lanes)]);
	for (unsigned i = 0; i < f.lanes; i++) {
		if (read(f.lane[i].bell_fd, &bells, sizeof(bells)) < 0 ||
		    write(f.lane[i].bell_fd, &full, sizeof(full)) < 0)
			fail("a bell cannot be filled: %s", strerror(errno));
		(void)fcntl(f.lane[i].bell_fd, F_SETFL, O_NONBLOCK);
	}
	some_news(&f);
	for (unsigned i = 0; i < f.lanes; i++) {
		if (read(f.lane[i].bell_fd, &bells, sizeof(bells)) < 0)
			fail("a bell cannot be drained: %s", strerror(errno));
	}
	foe_end(&f, "doorbell", "blocking, filled, drained");
}

static void wake(void)
{
	for (unsigned way = 0; way < 4; way++) {
		static const char *const what[] = { "never read", "filled from our side", "shut down", "closed" };
		struct foe f;

		foe_attach(&f);
		if (way == 1) {
			while (send(f.wake_fd, what, sizeof(what), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
				;
		} else if (way == 2) {
			shutdown(f.wake_fd, SHUT_RDWR);
		} else if (way == 3) {
			close(f.wake_fd);
			f.wake_fd = -1;
		}
		some_news(&f);
		foe_end(&f, "wake", what[way]);
	}
}

const struct attack memory_attacks[] = {
	{ "seals", seals }, { "holes", holes },       { "scribble", scribble }, { "cursors", cursors },
	{ "races", races }, { "doorbell", doorbell }, { "wake", wake },         { NULL, NULL },
};
