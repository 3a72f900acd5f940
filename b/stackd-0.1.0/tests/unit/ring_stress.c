/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A lane between two processes, as stackd and a client have it: regions made, sealed, passed over a control socket and
 * attached; both rings full at once, with doorbells; every record verified.  Then the client turns hostile and scribbles
 * over all it may write, while the engine's side goes on reading.  Ends after a number of records.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/ctl.h"
#include "shm/region.h"
#include "shm/ring.h"

enum { BATCH = 16, HOSTILE_LOOKS = 300000 };

/* One process's view of the lane. */
struct side {
	struct ring_prod out;
	struct ring_cons in;
	uint32_t *asleep;            /* ours */
	const uint32_t *peer_asleep; /* theirs */
	uint32_t sleeps, rung;
	int bell, peer_bell;
	int sock; /* tells that the other process has died */
	uint32_t salt, peer_salt;
};

struct record {
	uint32_t word[15];
};

static void die(const char *what)
{
	fprintf(stderr, "ring_stress: %s (process %d)\n", what, (int)getpid());
	exit(1);
}

static void must(bool ok, const char *what)
{
	if (!ok)
		die(what);
}

static struct record record_of(uint32_t seq, uint32_t salt)
{
	struct record r;

	for (uint32_t i = 0; i < 15; i++)
		r.word[i] = (seq ^ salt) * 2654435761u + i * 40503u;
	return r;
}

static uint32_t send_some(struct side *s, uint32_t from, uint32_t end)
{
	uint32_t n;

	for (n = 0; n < BATCH && from + n < end; n++) {
		struct record r = record_of(from + n, s->salt);
		int rc = ring_put(&s->out, &r, sizeof(r));

		must(rc == 0 || rc == -ENOBUFS, "ring_put");
		if (rc != 0)
			break;
	}
	return n;
}

static uint32_t take_some(struct side *s, uint32_t from)
{
	struct record r, want;
	uint32_t n;

	for (n = 0; n < BATCH && ring_get(&s->in, &r); n++) {
		want = record_of(from + n, s->peer_salt);
		must(memcmp(&r, &want, sizeof(r)) == 0, "wrong record");
	}
	if (n > 0)
		ring_done(&s->in);
	return n;
}

static void wake_peer(struct side *s)
{
	uint32_t n = bell_look(s->peer_asleep);

	if (n == 0 || n == s->rung)
		return;
	s->rung = n; /* once per number */
	must(eventfd_write(s->peer_bell, 1) == 0, "eventfd_write");
}

static void sleep_unless_work(struct side *s, bool sending)
{
	struct pollfd p[2] = { { .fd = s->bell, .events = POLLIN }, { .fd = s->sock, .events = POLLIN } };
	eventfd_t n;

	bell_sleep(s->asleep, ++s->sleeps);
	if (!ring_ready(&s->in) && !(sending && ring_room(&s->out) != 0)) {
		must(poll(p, 2, -1) > 0, "poll");
		must(p[0].revents & POLLIN, "the other process has gone");
		must(eventfd_read(s->bell, &n) == 0, "eventfd_read");
	}
	bell_wake(s->asleep);
}

static void exchange(struct side *s, uint32_t records)
{
	uint32_t sent = 0, got = 0;

	while (sent < records || got < records) {
		uint32_t out = send_some(s, sent, records), in = take_some(s, got);

		sent += out;
		got += in;
		if (out + in > 0)
			wake_peer(s);
		else
			sleep_unless_work(s, sent < records);
	}
}

/* Neither goes on before the other has verified all that was honest. */
static void both_ready(int sock)
{
	struct ctl_msg m;

	must(ctl_send(sock, CTL_READY, 0, NULL, 0, NULL, 0) == 0, "ctl_send");
	must(ctl_recv(sock, &m, 0, 0) == 1 && m.head.type == CTL_READY, "CTL_READY");
}

/* --- The client ------------------------------------------------------------------------------------------------------- */

/* Anything anywhere, holes, and, since a blind hand seldom hits, the very words that the engine believes. */
static void scribble(struct side *s, struct region *up)
{
	uint32_t seed = 1, *word = up->base, slots = s->in.slots;
	struct lane_up *u = up->base;

	for (;;) {
		uint32_t tail = *(const volatile uint32_t *)s->out.done;

		seed = seed * 1664525u + 1013904223u;
		word[(seed >> 8) % (up->size / 4)] = seed;
		*(volatile uint32_t *)&u->cmd[tail & (slots - 1)].lap = tail / slots + 1;
		*(volatile uint32_t *)&u->event_done = s->in.tail + (seed >> 8) % (2 * slots);
		if ((seed >> 8) % 1024 == 0)
			fallocate(up->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)up->size);
	}
}

static void client(int sock, uint32_t slots, uint32_t records, bool hostile)
{
	struct region down, up;
	struct lane_down *d;
	struct lane_up *u;
	struct ctl_msg m;
	struct side s;

	must(ctl_recv(sock, &m, 4, 0) == 1 && m.head.type == CTL_LANE && m.fds == 4, "CTL_LANE");
	must(m.body_size == (size_t)ctl_body_size(CTL_LANE) && m.lane.ring_slots == slots, "ctl_lane");
	must(region_attach(&down, REGION_A, m.lane.down_size, m.fd[0]) == 0, "attach class A");
	must(region_attach(&up, REGION_B, m.lane.up_size, m.fd[1]) == 0, "attach class B");
	d = down.base;
	u = up.base;
	s = (struct side){ .asleep = &u->client_asleep, .peer_asleep = &d->engine_asleep, .bell = m.fd[3],
			   .peer_bell = m.fd[2], .sock = sock, .salt = 2, .peer_salt = 1 };
	ring_prod_init(&s.out, u->cmd, &d->cmd_done, slots);
	ring_cons_init(&s.in, d->event, &u->event_done, slots);
	exchange(&s, records);
	must(!ring_ready(&s.in), "one event too many");
	if (hostile) {
		both_ready(sock);
		scribble(&s, &up);
	}
	region_destroy(&down);
	region_destroy(&up);
	_exit(0);
}

/* --- The engine ------------------------------------------------------------------------------------------------------- */

/* Nothing here waits for the client, and nothing that it writes leads outside of the rings. */
static void endure(struct side *s)
{
	struct pollfd client = { .fd = s->sock, .events = POLLIN };
	uint32_t lies = 0, taken = 0, put = 0;
	struct record r = { { 0 } };

	/* at least so often, and until every kind of attack has come through */
	for (uint64_t i = 0; i < HOSTILE_LOOKS || lies < 100 || taken < 100 || put <= s->out.slots; i++) {
		int room = ring_room(&s->out);

		must(room == -EPROTO || (room >= 0 && room <= (int)s->out.slots), "room out of range");
		must(s->out.head - s->out.seen <= s->out.slots, "more unread than the ring holds");
		lies += room < 0;
		put += room > 0 && ring_put(&s->out, &r, sizeof(r)) == 0;
		for (int n = 0; n < BATCH && ring_get(&s->in, &r); n++)
			taken++;
		ring_done(&s->in);
		bell_look(s->peer_asleep);
		if (i % 1024 == 0) {
			must(poll(&client, 1, 0) == 0, "the client has gone");
			sched_yield(); /* one core may be all there is */
		}
	}
	printf("hostile client: %u lying cursors, %u forged records, %u events put\n", lies, taken, put);
}

static void reap(pid_t pid, bool hostile)
{
	int status;

	if (hostile)
		kill(pid, SIGKILL);
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	must(hostile ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : status == 0, "the client failed");
}

static void run(uint32_t slots, uint32_t records, bool hostile)
{
	size_t size = SHM_LINE + slots * sizeof(struct ring_slot);
	int sv[2], bell = eventfd(0, EFD_CLOEXEC), wake = eventfd(0, EFD_CLOEXEC);
	struct region down, up;
	struct ctl_lane lane;
	pid_t parent = getpid(), pid;
	struct side s;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0, "socketpair");
	fflush(stdout);
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent, "prctl");
		close(sv[0]);
		client(sv[1], slots, records, hostile);
	}
	close(sv[1]);
	must(region_create(&down, REGION_A, size, "down") == 0 && region_create(&up, REGION_B, size, "up") == 0, "create");
	lane = (struct ctl_lane){ .ring_slots = slots, .down_size = (uint32_t)down.size, .up_size = (uint32_t)up.size };
	must(ctl_send(sv[0], CTL_LANE, 0, &lane, sizeof(lane), (int[]){ down.fd, up.fd, bell, wake }, 4) == 0, "ctl_send");
	s = (struct side){ .asleep = &((struct lane_down *)down.base)->engine_asleep,
			   .peer_asleep = &((struct lane_up *)up.base)->client_asleep,
			   .bell = bell, .peer_bell = wake, .sock = sv[0], .salt = 1, .peer_salt = 2 };
	ring_prod_init(&s.out, ((struct lane_down *)down.base)->event, &((struct lane_up *)up.base)->event_done, slots);
	ring_cons_init(&s.in, ((struct lane_up *)up.base)->cmd, &((struct lane_down *)down.base)->cmd_done, slots);
	exchange(&s, records);
	must(!ring_ready(&s.in), "one command too many");
	printf("%u slots: %u records each way, %u sleeps\n", slots, records, s.sleeps);
	if (hostile) {
		both_ready(sv[0]);
		endure(&s);
	}
	reap(pid, hostile);
	region_destroy(&down);
	region_destroy(&up);
	close(sv[0]);
	close(bell);
	close(wake);
}

int main(void)
{
	alarm(300); /* a lost wake-up shows as a hang */
	run(1, 5000, false);
	run(2, 20000, false);
	run(64, 400000, false);
	run(1024, 400000, false);
	run(64, 1000, true);
	return 0;
}
