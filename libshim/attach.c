/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control socket: the handshake, questions with answers, payload segments, and the end of stackd.
 *
 * stackd is trusted to be stackd, but what it says is checked before it becomes an index or a size: a mismatch of versions
 * shall be an error, not a crash.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libshim/shim.h"

enum {
	ATTACH_US = 5000000, /* for the whole handshake */
	ANSWER_US = 5000000, /* for one answer */
	RETRY_US = 50000,    /* between two questions for memory, after a refusal */
	SPIN_MAX_US = 1000,
	SLOTS_MAX = 1 << 20,
};

static void tell_unreachable(const char *path, int err);
static int wait_for(int sock, short what, uint64_t deadline_us);
static int no_descriptors(void);
static int receive(int sock, struct ctl_msg *m, uint64_t deadline_us);
static int send_patiently(struct shim_ctx *c, uint32_t type, uint32_t id, const void *body, size_t size);
static int say_hello(struct shim_ctx *c, int cpu);
static int take_attach(struct shim_ctx *c, struct ctl_msg *m, uint32_t *lanes_seen);
static int take_welcome(struct shim_ctx *c, struct ctl_msg *m);
static int take_lane(struct shim_ctx *c, struct ctl_msg *m);
static void take_unasked(struct shim_ctx *c, struct ctl_msg *m);
static void take_segment(struct shim_ctx *c, struct ctl_msg *m);
static void take_segment_gone(struct shim_ctx *c, const struct ctl_segment *s);
static int watch(struct shim_ctx *c, int fd, uint32_t tag);
static int take_fd(struct ctl_msg *m, unsigned i);

int ctl_attach(struct shim_ctx *c, const char *path, int cpu)
{
	uint64_t deadline = shim_now_us() + ATTACH_US;
	uint32_t lanes_seen = 0;
	struct ctl_msg m;
	int err;

	c->ctl = ctl_connect_to(path);
	if (c->ctl < 0) {
		tell_unreachable(path, -c->ctl);
		return c->ctl;
	}
	err = say_hello(c, cpu);
	for (bool ready = false; err == 0 && !ready;) {
		err = receive(c->ctl, &m, deadline);
		if (err == 0)
			shim_text("stackd at %s closed the connection", path);
		if (err == -ETIMEDOUT)
			shim_text("stackd at %s does not answer", path);
		if (err <= 0)
			return err == 0 ? -ECONNREFUSED : err;
		ready = m.head.type == CTL_READY;
		err = m.cut ? no_descriptors() : take_attach(c, &m, &lanes_seen);
		ctl_close_fds(&m);
	}
	if (err == 0 && (c->lanes == 0 || lanes_seen != c->lanes))
		err = -EPROTO;
	if (err == 0)
		err = watch(c, c->ctl, 1) | watch(c, c->wake, 2) ? -ENOMEM : 0;
	if (err == -EPROTO)
		shim_text("stackd at %s speaks another language than this libshim: install matching versions", path);
	for (uint32_t i = 0; err == 0 && i < c->lanes; i++)
		ctl_ask_segment(c, &c->lane[i]);
	return err;
}

/* Who may not connect wants to know what stands in the way; anybody else, whether stackd runs. */
static void tell_unreachable(const char *path, int err)
{
	struct stat st;

	if (err == EMFILE || err == ENFILE)
		shim_text("no descriptor is left to reach stackd at %s with", path);
	else if (err != EACCES && err != EPERM)
		shim_text("no stackd answers at %s: %s; is it running, and is this its control.socket?", path, strerror(err));
	else if (stat(path, &st) != 0)
		shim_text("%s cannot be reached: user %u may not look into a folder on the way there", path, (unsigned)geteuid());
	else
		shim_text("%s is there, but user %u may not open it: its mode is %04o, its group %u; join that group, or have control.mode "
			  "changed in stackd.conf", path, (unsigned)geteuid(), (unsigned)st.st_mode & 07777, (unsigned)st.st_gid);
}

void ctl_detach(struct shim_ctx *c)
{
	lane_destroy(c);
	if (c->wake >= 0)
		close(c->wake);
	if (c->ctl >= 0)
		close(c->ctl);
	c->wake = c->ctl = -1;
}

void ctl_lost(struct shim_ctx *c, const char *why)
{
	if (c->down)
		return;
	c->down = true;
	c->changed = true;
	snprintf(c->why, sizeof(c->why), "%s", why);
	shim_notice("context %d is detached: %s", c->cpu, why);
	epoll_ctl(c->epfd, EPOLL_CTL_DEL, c->ctl, NULL);
	mon_lost(c);
	for (uint32_t fd = 0; fd < c->max_fds; fd++) {
		struct shim_sock *s = c->fds[fd];

		if (s == NULL || s->kind != KIND_STREAM || s->state == ST_FRESH || s->state == ST_DEAD)
			continue;
		stream_fail(c, stream_of(s), ECONNABORTED);
	}
}

void ctl_poll(struct shim_ctx *c)
{
	struct ctl_msg m;

	while (!c->down) {
		int r = ctl_recv(c->ctl, &m, CTL_FDS_MAX, MSG_DONTWAIT);

		if (r == -EAGAIN || r == -EINTR)
			return;
		if (r <= 0) {
			ctl_lost(c, r == 0 ? "stackd has ended" : strerror(-r));
			return;
		}
		take_unasked(c, &m);
		ctl_close_fds(&m);
	}
}

int ctl_call(struct shim_ctx *c, uint32_t type, const void *body, size_t size, uint32_t *value)
{
	return ctl_call_fd(c, type, body, size, value, NULL);
}

/* What has come with descriptors has come without some of them. */
static int no_descriptors(void)
{
	return shim_why(-EMFILE, "this process has all the descriptors that it may have (ulimit -n): make a new context when some are closed");
}

int ctl_call_fd(struct shim_ctx *c, uint32_t type, const void *body, size_t size, uint32_t *value, int *fd)
{
	uint64_t deadline = shim_now_us() + ANSWER_US;
	uint32_t id = ++c->rpc_id;
	bool cut = false;
	struct ctl_msg m;
	int err;

	if (c->down)
		return -ESHUTDOWN;
	err = send_patiently(c, type, id, body, size);
	while (err == 0) {
		int r = receive(c->ctl, &m, deadline);

		if (r == -ETIMEDOUT)
			return -ETIMEDOUT;
		if (r <= 0) {
			ctl_lost(c, r == 0 ? "stackd has ended" : strerror(-r));
			return -ESHUTDOWN;
		}
		cut = cut || m.cut;
		if (m.head.type == CTL_REPLY && m.head.id == id && m.body_size == sizeof(m.reply)) {
			if (fd != NULL && m.fds == 1)
				*fd = take_fd(&m, 0);
			ctl_close_fds(&m);
			if (value != NULL)
				*value = m.reply.value;
			return m.reply.err > 0 ? -m.reply.err : cut && fd != NULL ? no_descriptors() : 0;
		}
		take_unasked(c, &m);
		ctl_close_fds(&m);
		if (c->down)
			return -ESHUTDOWN;
	}
	return err;
}

void ctl_tell(struct shim_ctx *c, uint32_t type, const void *body, size_t size)
{
	if (!c->down)
		(void)send_patiently(c, type, 0, body, size);
}

void ctl_ask_segment(struct shim_ctx *c, struct shim_lane *l)
{
	struct ctl_segment s = { .engine = (uint32_t)(l - c->lane), .class = SEG_TX, .size = BYTES_SEG_SIZE };

	if (c->down || l->asked || l->tx.free_count >= SHIM_LOW_CHUNKS)
		return;
	if (l->denied_us != 0 && shim_now_us() - l->denied_us < RETRY_US)
		return;
	l->denied_us = 0;
	if (ctl_send(c->ctl, CTL_SEGMENT_ASK, 0, &s, sizeof(s), NULL, 0) == 0)
		l->asked = true;
	else
		l->denied_us = shim_now_us(); /* try again later */
}

/* --- Handshake -------------------------------------------------------------------------------------------------------- */

static int say_hello(struct shim_ctx *c, int cpu)
{
	struct ctl_hello h = {
		.magic = SHM_MAGIC,
		.abi = SHM_ABI,
		.cmd_size = sizeof(struct cmd),
		.event_size = sizeof(struct event),
		.welcome_size = sizeof(struct ctl_welcome),
		.lane_size = sizeof(struct ctl_lane),
		.cpu = cpu,
	};

	snprintf(h.name, sizeof(h.name), "%s", program_invocation_short_name);
	return ctl_send(c->ctl, CTL_HELLO, ++c->rpc_id, &h, sizeof(h), NULL, 0);
}

static int take_attach(struct shim_ctx *c, struct ctl_msg *m, uint32_t *lanes_seen)
{
	int err;

	if (ctl_body_size(m->head.type) != (int)m->body_size)
		return -EPROTO;
	switch (m->head.type) {
	case CTL_REFUSED:
	case CTL_DETACHED:
		m->refused.text[SHM_TEXT_MAX - 1] = '\0';
		shim_text("%s", m->refused.text);
		return m->refused.err > 0 ? -m->refused.err : -ECONNREFUSED;
	case CTL_WELCOME:
		return take_welcome(c, m);
	case CTL_LANE:
		err = take_lane(c, m);
		*lanes_seen += err == 0;
		return err;
	default:
		take_unasked(c, m);
		return 0;
	}
}

static int take_welcome(struct shim_ctx *c, struct ctl_msg *m)
{
	struct ctl_welcome *w = &c->welcome;

	if (c->lanes != 0 || m->fds != 1)
		return -EPROTO;
	*w = m->welcome;
	if (w->abi != SHM_ABI || w->engines == 0 || w->engines > SHM_ENGINES_MAX || w->home >= w->engines ||
	    w->addrs > SHM_ADDRS_MAX || w->max_sockets >= HANDLE_ACTIVE)
		return -EPROTO;
	if (w->spin_us > SPIN_MAX_US)
		w->spin_us = SPIN_MAX_US;
	w->version[SHM_NAME_MAX - 1] = '\0';
	c->wake = take_fd(m, 0);
	c->lanes = w->engines;
	c->home = w->home;
	return lane_create(c);
}

static int take_lane(struct shim_ctx *c, struct ctl_msg *m)
{
	const struct ctl_lane *a = &m->lane;
	size_t rings = (size_t)a->ring_slots * sizeof(struct ring_slot);
	struct shim_lane *l;
	int err;

	if (a->engine >= c->lanes || m->fds != 3 || a->ring_slots < 2 || a->ring_slots > SLOTS_MAX ||
	    (a->ring_slots & (a->ring_slots - 1)) != 0 || a->down_size < sizeof(struct lane_down) + rings ||
	    a->up_size < sizeof(struct lane_up) + rings)
		return -EPROTO;
	l = &c->lane[a->engine];
	if (l->bell >= 0)
		return -EPROTO;
	err = region_attach(&l->down_mem, REGION_A, a->down_size, take_fd(m, 0));
	if (err == 0)
		err = region_attach(&l->up_mem, REGION_B, a->up_size, take_fd(m, 1));
	if (err != 0)
		return err;
	region_close_fd(&l->down_mem);
	region_close_fd(&l->up_mem);
	l->down = l->down_mem.base;
	l->up = l->up_mem.base;
	l->bell = take_fd(m, 2);
	ring_prod_init(&l->cmds, l->up->cmd, &l->down->cmd_done, a->ring_slots);
	ring_cons_init(&l->events, l->down->event, &l->up->event_done, a->ring_slots);
	return 0;
}

/* --- Messages that come unasked ------------------------------------------------------------------------------------------- */

static void take_unasked(struct shim_ctx *c, struct ctl_msg *m)
{
	if (ctl_body_size(m->head.type) != (int)m->body_size)
		return;
	switch (m->head.type) {
	case CTL_SEGMENT:
		take_segment(c, m);
		break;
	case CTL_SEGMENT_GONE:
		take_segment_gone(c, &m->segment);
		break;
	case CTL_SEGMENT_NO:
		if (m->segment.engine < c->lanes && m->segment.class == SEG_TX) {
			c->lane[m->segment.engine].asked = false;
			c->lane[m->segment.engine].denied_us = shim_now_us();
		}
		break;
	case CTL_MON_LANE:
		mon_take_lane(c, m);
		break;
	case CTL_DETACHED:
		m->refused.text[SHM_TEXT_MAX - 1] = '\0';
		ctl_lost(c, m->refused.text);
		break;
	default: /* an answer that nobody waits for */
		break;
	}
}

static void take_segment(struct shim_ctx *c, struct ctl_msg *m)
{
	const struct ctl_segment *s = &m->segment;
	struct shim_lane *l;
	struct region r;

	if (s->engine >= c->lanes || s->class > SEG_TX || s->index >= BYTES_SEGS_MAX || s->size != BYTES_SEG_SIZE ||
	    m->fds != 1)
		return;
	l = &c->lane[s->engine];
	if (s->class == SEG_TX)
		l->asked = false;
	if ((s->class == SEG_RX ? &l->rx : &l->tx.map)->base[s->index] != NULL)
		return;
	if (region_attach(&r, s->class == SEG_RX ? REGION_A : REGION_B, BYTES_SEG_SIZE, take_fd(m, 0)) != 0) {
		shim_notice("a payload segment cannot be mapped");
		return;
	}
	region_close_fd(&r);
	if (s->class == SEG_RX) {
		l->rx.base[s->index] = r.base;
	} else if (bytes_pool_add(&l->tx, s->index, r.base) == 0) {
		l->denied_us = 0;
		lane_feed(c, l);
	} else {
		region_destroy(&r);
	}
}

static void take_segment_gone(struct shim_ctx *c, const struct ctl_segment *s)
{
	struct shim_lane *l;

	if (s->engine >= c->lanes || s->class != SEG_RX || s->index >= BYTES_SEGS_MAX)
		return;
	l = &c->lane[s->engine];
	if (l->rx.base[s->index] != NULL)
		munmap(l->rx.base[s->index], BYTES_SEG_SIZE);
	l->rx.base[s->index] = NULL;
}

/* --- Small things --------------------------------------------------------------------------------------------------------- */

static int take_fd(struct ctl_msg *m, unsigned i)
{
	int fd = m->fd[i];

	m->fd[i] = -1;
	return fd;
}

static int watch(struct shim_ctx *c, int fd, uint32_t tag)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = tag };

	return epoll_ctl(c->epfd, EPOLL_CTL_ADD, fd, &e);
}

static int wait_for(int sock, short what, uint64_t deadline_us)
{
	for (;;) {
		struct pollfd p = { .fd = sock, .events = what };
		uint64_t now = shim_now_us();
		int n;

		if (now >= deadline_us)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((deadline_us - now) / 1000) + 1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* 1, 0 at the end, -errno. */
static int receive(int sock, struct ctl_msg *m, uint64_t deadline_us)
{
	for (;;) {
		int r = ctl_recv(sock, m, CTL_FDS_MAX, MSG_DONTWAIT);

		if (r != -EAGAIN && r != -EINTR)
			return r;
		r = wait_for(sock, POLLIN, deadline_us);
		if (r != 0)
			return r;
	}
}

static int send_patiently(struct shim_ctx *c, uint32_t type, uint32_t id, const void *body, size_t size)
{
	uint64_t deadline = shim_now_us() + ANSWER_US;

	for (;;) {
		int err = ctl_send(c->ctl, type, id, body, size, NULL, 0);

		if (err == -EAGAIN) {
			err = wait_for(c->ctl, POLLOUT, deadline);
			if (err == 0)
				continue;
			return err;
		}
		if (err == -EPIPE || err == -ECONNRESET) {
			ctl_poll(c); /* there may be a reason to read */
			ctl_lost(c, "stackd has ended");
			return -ESHUTDOWN;
		}
		return err;
	}
}
