/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Attaching by hand; see foe.h.
 */
#define _GNU_SOURCE
#include "tests/hostile/foe.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, SETTLE_MS = 2000, QUIET_MS = 30 };

unsigned failures;

void fail(const char *fmt, ...)
{
	va_list ap;

	failures++;
	printf("FAILED ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

/* splitmix64 */
uint64_t rnd(void)
{
	uint64_t z = aim.seed += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint32_t below(uint32_t n)
{
	return (uint32_t)(rnd() % n);
}

void rnd_fill(void *p, size_t size)
{
	for (uint8_t *b = p; size-- > 0;)
		*b++ = (uint8_t)rnd();
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- Coming and going ------------------------------------------------------------------------------------------------------ */

static void pause_ms(int ms)
{
	(void)poll(NULL, 0, ms);
}

int foe_connect(void)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	int sock;

	while ((sock = ctl_connect_to(aim.socket)) < 0) {
		if (now_ms() > end) {
			printf("FAILED %s: %s\n", aim.socket, strerror(-sock));
			exit(EXIT_FAILURE);
		}
		pause_ms(10);
	}
	return sock;
}

struct ctl_hello foe_hello(void)
{
	return (struct ctl_hello){
		.magic = SHM_MAGIC,
		.abi = SHM_ABI,
		.cmd_size = sizeof(struct cmd),
		.event_size = sizeof(struct event),
		.welcome_size = sizeof(struct ctl_welcome),
		.lane_size = sizeof(struct ctl_lane),
		.name = "hostile",
	};
}

void foe_greet(int sock)
{
	struct ctl_hello h = foe_hello();

	(void)ctl_send(sock, CTL_HELLO, 1, &h, sizeof(h), NULL, 0);
}

static void begin(struct foe *f)
{
	memset(f, 0, sizeof(*f));
	f->wake_fd = -1;
	f->sock = foe_connect();
	foe_greet(f->sock);
}

void foe_attach(struct foe *f)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	begin(f);
	while (!f->ready) {
		if (foe_pump(f, 1000))
			continue;
		if (now_ms() > end) {
			printf("FAILED to attach: %s\n", f->why);
			exit(EXIT_FAILURE);
		}
		if (f->dead) { /* others of ours may still be leaving */
			foe_close(f);
			pause_ms(20);
			begin(f);
		}
	}
}

static void shut_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void map_free(struct bytes_map *m)
{
	for (unsigned i = 0; i < BYTES_SEGS_MAX; i++) {
		if (m->base[i] != NULL)
			munmap(m->base[i], BYTES_SEG_SIZE);
	}
}

void foe_close(struct foe *f)
{
	for (unsigned i = 0; i < f->lanes; i++) {
		struct foe_lane *l = &f->lane[i];

		region_destroy(&l->down);
		region_destroy(&l->up);
		shut_fd(&l->down_fd);
		shut_fd(&l->up_fd);
		shut_fd(&l->bell_fd);
		shut_fd(&l->rx_fd);
		shut_fd(&l->tx_fd);
		map_free(&l->rx);
		map_free(&l->tx);
	}
	f->lanes = 0;
	for (unsigned i = 0; i < f->mons; i++) {
		struct foe_mon *l = &f->mon[i];

		region_destroy(&l->down);
		region_destroy(&l->up);
		region_destroy(&l->arena);
		shut_fd(&l->down_fd);
		shut_fd(&l->up_fd);
		shut_fd(&l->bell_fd);
		shut_fd(&l->arena_fd);
	}
	f->mons = 0;
	shut_fd(&f->wake_fd);
	shut_fd(&f->sock);
}

/* --- Hearing ----------------------------------------------------------------------------------------------------------------- */

static void take_lane(struct foe *f, struct ctl_msg *m)
{
	struct foe_lane *l = &f->lane[f->lanes];

	if (f->lanes == SHM_ENGINES_MAX || m->fds != 3)
		return;
	f->lanes++;
	l->rx_fd = l->tx_fd = -1;
	l->slots = m->lane.ring_slots;
	l->down_fd = dup(m->fd[0]);
	l->up_fd = dup(m->fd[1]);
	l->bell_fd = m->fd[2];
	if (region_attach(&l->down, REGION_A, m->lane.down_size, m->fd[0]) != 0 ||
	    region_attach(&l->up, REGION_B, m->lane.up_size, m->fd[1]) != 0) {
		fail("a lane cannot be mapped");
		exit(EXIT_FAILURE);
	}
	m->fds = 0;
	l->dn = l->down.base;
	l->upp = l->up.base;
	ring_prod_init(&l->cmds, l->upp->cmd, &l->dn->cmd_done, l->slots);
	ring_cons_init(&l->events, l->dn->event, &l->upp->event_done, l->slots);
}

static void take_mon_lane(struct foe *f, struct ctl_msg *m)
{
	struct foe_mon *l = &f->mon[f->mons];

	if (f->mons == SHM_ENGINES_MAX || m->fds != 4)
		return;
	f->mons++;
	l->slots = m->mon_lane.ring_slots;
	l->cmd_slots = m->mon_lane.cmd_slots;
	l->edit_size = m->mon_lane.edit_size;
	l->down_fd = dup(m->fd[0]);
	l->up_fd = dup(m->fd[1]);
	l->bell_fd = m->fd[2];
	l->arena_fd = dup(m->fd[3]);
	if (region_attach(&l->down, REGION_A, m->mon_lane.down_size, m->fd[0]) != 0 ||
	    region_attach(&l->up, REGION_B, m->mon_lane.up_size, m->fd[1]) != 0 ||
	    region_attach(&l->arena, REGION_A, m->mon_lane.arena_size, m->fd[3]) != 0) {
		fail("a monitor lane cannot be mapped");
		exit(EXIT_FAILURE);
	}
	m->fds = 0;
	l->dn = l->down.base;
	l->upp = l->up.base;
	ring_prod_init(&l->cmds, l->upp->cmd, &l->dn->cmd_done, l->cmd_slots);
	ring_cons_init(&l->events, l->dn->event, &l->upp->event_done, l->slots);
}

static void take_segment(struct foe *f, struct ctl_msg *m)
{
	bool tx = m->segment.class == SEG_TX;
	struct foe_lane *l = &f->lane[m->segment.engine % SHM_ENGINES_MAX];
	struct bytes_map *map = tx ? &l->tx : &l->rx;
	void *base;

	if (m->fds != 1 || m->segment.engine >= f->lanes || m->segment.index >= BYTES_SEGS_MAX)
		return;
	base = mmap(NULL, BYTES_SEG_SIZE, tx ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, m->fd[0], 0);
	if (base == MAP_FAILED)
		return;
	if (map->base[m->segment.index] != NULL)
		munmap(map->base[m->segment.index], BYTES_SEG_SIZE);
	map->base[m->segment.index] = base;
	f->tx_segments += tx;
	if (m->segment.index == 0) {
		int *keep = tx ? &l->tx_fd : &l->rx_fd;

		shut_fd(keep);
		*keep = m->fd[0];
		m->fds = 0;
	}
}

static void over(struct foe *f, const char *why)
{
	f->dead = true;
	if (f->why[0] == '\0')
		snprintf(f->why, sizeof(f->why), "%s", why);
}

static void take(struct foe *f, struct ctl_msg *m)
{
	switch (m->head.type) {
	case CTL_WELCOME:
		f->welcome = m->welcome;
		if (m->fds == 1)
			f->wake_fd = m->fd[0];
		m->fds = 0;
		break;
	case CTL_LANE:
		take_lane(f, m);
		break;
	case CTL_MON_LANE:
		take_mon_lane(f, m);
		break;
	case CTL_READY:
		f->ready = true;
		break;
	case CTL_REPLY:
		f->reply = m->reply;
		f->replied |= m->head.id == f->next_id;
		break;
	case CTL_SEGMENT:
		take_segment(f, m);
		break;
	case CTL_SEGMENT_NO:
		f->refused_segments++;
		break;
	case CTL_REFUSED:
	case CTL_DETACHED:
		m->refused.text[SHM_TEXT_MAX - 1] = '\0';
		if (f->why[0] == '\0')
			snprintf(f->why, sizeof(f->why), "%s", m->refused.text);
		break;
	}
	ctl_close_fds(m);
}

bool foe_pump(struct foe *f, int timeout_ms)
{
	struct pollfd p = { .fd = f->sock, .events = POLLIN };
	struct ctl_msg m;
	int n;

	if (f->dead || poll(&p, 1, timeout_ms) <= 0)
		return false;
	n = ctl_recv(f->sock, &m, CTL_FDS_MAX, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		over(f, n == 0 ? "it was closed" : strerror(-n));
		return false;
	}
	take(f, &m);
	return true;
}

int foe_ask(struct foe *f, uint32_t type, const void *body, size_t size)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	f->replied = false;
	f->next_id++;
	if (ctl_send(f->sock, type, f->next_id, body, size, NULL, 0) != 0) {
		while (foe_pump(f, 100))
			;
		return -1;
	}
	while (!f->replied && !f->dead) {
		if (!foe_pump(f, 100) && now_ms() > end) {
			fail("stackd does not answer request %u", type);
			exit(EXIT_FAILURE);
		}
	}
	return f->replied ? f->reply.err : -1;
}

static bool taken(const struct foe *f)
{
	for (unsigned i = 0; i < f->lanes; i++) {
		const struct foe_lane *l = &f->lane[i];

		if (bell_look(&l->dn->detached) == 0 && bell_look(&l->dn->cmd_done) != l->cmds.head)
			return false;
	}
	for (unsigned i = 0; i < f->mons; i++) {
		const struct foe_mon *l = &f->mon[i];

		if (bell_look(&l->dn->detached) == 0 && bell_look(&l->dn->cmd_done) != l->cmds.head)
			return false;
	}
	return true;
}

static void ring_bell(int fd)
{
	uint64_t one = 1;

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return; /* it is full: that is one of the attacks */
}

void foe_settle(struct foe *f)
{
	uint64_t end = now_ms() + SETTLE_MS;
	struct ctl_sock none = { .cookie = 0xfffffff0 };

	for (unsigned i = 0; i < f->lanes; i++)
		foe_ring(&f->lane[i]);
	for (unsigned i = 0; i < f->mons; i++)
		ring_bell(f->mon[i].bell_fd);
	while (!f->dead && !taken(f) && now_ms() < end)
		(void)foe_pump(f, 5);
	while (foe_pump(f, QUIET_MS))
		;
	if (!f->dead)
		(void)foe_ask(f, CTL_UNBIND, &none, sizeof(none));
}

void foe_end(struct foe *f, const char *mode, const char *what)
{
	foe_settle(f);
	if (f->dead)
		printf("%s: %s: detached: %s\n", mode, what, f->why);
	else
		printf("%s: %s: survived\n", mode, what);
	fflush(stdout);
	foe_close(f);
}

/* --- Commands ------------------------------------------------------------------------------------------------------------------ */

void foe_ring(struct foe_lane *l)
{
	ring_bell(l->bell_fd);
}

void foe_drain(struct foe_lane *l)
{
	struct event e;

	for (unsigned i = 0; i < l->slots && ring_get(&l->events, &e); i++)
		;
	ring_done(&l->events);
}

bool foe_put(struct foe *f, unsigned lane, const struct cmd *c)
{
	struct foe_lane *l = &f->lane[lane];
	uint64_t end = now_ms() + SETTLE_MS;
	int err;

	while ((err = ring_put(&l->cmds, c, sizeof(*c))) == -ENOBUFS) {
		foe_ring(l);
		foe_drain(l);
		(void)foe_pump(f, 1);
		if (f->dead || bell_look(&l->dn->detached) != 0 || now_ms() > end)
			return false;
	}
	if (bell_look(&l->dn->engine_asleep) != 0)
		foe_ring(l);
	return err == 0;
}

bool foe_open(struct foe *f, unsigned lane)
{
	struct foe_lane *l = &f->lane[lane];
	struct cmd c = { .op = CMD_CONNECT, .handle = { HANDLE_ACTIVE, 1 } };
	uint64_t end = now_ms() + SETTLE_MS;
	struct event e;

	c.connect.dst = aim.addr;
	c.connect.dport = aim.port;
	if (!foe_put(f, lane, &c))
		return false;
	while (!f->dead && now_ms() < end) {
		while (ring_get(&l->events, &e)) {
			ring_done(&l->events);
			if (e.op == EV_OPEN || (e.op == EV_STATE && (e.flags & (EVF_ERROR | EVF_CONNECTED)) != 0))
				return (e.flags & EVF_ERROR) == 0;
		}
		(void)foe_pump(f, 2);
	}
	return false;
}
