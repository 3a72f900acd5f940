/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1
#include "tests/unit/shim_daemon.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 5000 };

static void give_segment(struct sd_client *c, unsigned engine, enum seg_class class)
{
	struct sd_lane *l = &c->lane[engine];
	struct ctl_segment m = { .engine = engine, .class = class, .size = BYTES_SEG_SIZE };
	struct region *r = class == SEG_RX ? &l->rx_seg : &l->tx_seg[l->tx_segs];

	ck_assert_int_eq(region_create(r, class == SEG_RX ? REGION_A : REGION_B, BYTES_SEG_SIZE, "test"), 0);
	if (class == SEG_RX) {
		ck_assert_int_eq(bytes_pool_add(&l->rx, 0, r->base), 0);
	} else {
		m.index = l->tx_segs;
		l->tx.base[l->tx_segs] = r->base;
		l->tx_segs++;
	}
	ck_assert_int_eq(ctl_send(c->sock, CTL_SEGMENT, 0, &m, sizeof(m), &r->fd, 1), 0);
}

static void give_lane(struct sd_client *c, unsigned engine)
{
	unsigned slots = c->d->conf.slots;
	struct sd_lane *l = &c->lane[engine];
	size_t rings = slots * sizeof(struct ring_slot);
	struct ctl_lane m = { .engine = engine, .ring_slots = slots - c->d->conf.bad_slots };
	int fd[3];

	l->client = c;
	ck_assert_int_eq(region_create(&l->down_mem, REGION_A, sizeof(struct lane_down) + rings, "down"), 0);
	ck_assert_int_eq(region_create(&l->up_mem, REGION_B, sizeof(struct lane_up) + rings, "up"), 0);
	l->down = l->down_mem.base;
	l->up = l->up_mem.base;
	l->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring_prod_init(&l->events, l->down->event, &l->up->event_done, slots);
	ring_cons_init(&l->cmds, l->up->cmd, &l->down->cmd_done, slots);
	ck_assert_int_eq(bytes_pool_init(&l->rx), 0);
	m.down_size = (uint32_t)l->down_mem.size;
	m.up_size = (uint32_t)l->up_mem.size;
	fd[0] = l->down_mem.fd;
	fd[1] = l->up_mem.fd;
	fd[2] = l->bell;
	ck_assert_int_eq(ctl_send(c->sock, CTL_LANE, 0, &m, sizeof(m), fd, 3), 0);
}

static void welcome(struct sd_client *c, const struct ctl_hello *h)
{
	const struct sd_conf *conf = &c->d->conf;
	struct ctl_welcome w = {
		.abi = conf->abi != 0 ? conf->abi : SHM_ABI,
		.app = 7,
		.engines = conf->engines,
		.home = (uint32_t)h->cpu % conf->engines,
		.max_sockets = conf->max_sockets,
		.memory_mib = 64,
		.spin_us = conf->spin_us,
		.sndbuf_max = 4 << 20,
		.rcvbuf_max = 4 << 20,
		.sndbuf_initial = 64 << 10,
		.addrs = 1,
		.version = "test",
	};
	int pair[2];

	w.addr[0].b[10] = w.addr[0].b[11] = 0xff;
	memcpy(&w.addr[0].b[12], "\x0a\x00\x00\x01", 4);
	for (unsigned i = 0; i < SHM_RSS_KEY_SIZE; i++)
		w.rss_key[i] = i % 2 ? 0x5a : 0x6d;
	for (unsigned i = 0; i < SHM_RETA_SIZE; i++)
		w.reta[i] = (uint8_t)(i % conf->engines);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	c->wake = pair[0];
	ck_assert_int_eq(ctl_send(c->sock, CTL_WELCOME, 0, &w, sizeof(w), &pair[1], 1), 0);
	close(pair[1]);
	if (conf->abi != 0)
		return; /* the client has gone already, perhaps */
	for (unsigned e = 0; e < conf->engines && !conf->no_lanes; e++) {
		give_lane(c, e);
		if (conf->bad_slots)
			return; /* the client has gone already, perhaps */
		give_segment(c, e, SEG_RX);
		if (!conf->late_segs)
			give_segment(c, e, SEG_TX);
	}
	ck_assert_int_eq(ctl_send(c->sock, CTL_READY, 0, NULL, 0, NULL, 0), 0);
}

static void answer(struct sd_client *c, uint32_t id, int err, uint32_t value)
{
	struct ctl_reply r = { .err = err, .value = value };

	(void)ctl_send(c->sock, CTL_REPLY, id, &r, sizeof(r), NULL, 0);
}

/* Under the daemon's lock. */
static void message(struct sd_client *c, const struct ctl_msg *m)
{
	struct sd_daemon *d = c->d;

	switch (m->head.type) {
	case CTL_HELLO:
		d->hello = m->hello;
		if (d->conf.refuse != 0) {
			struct ctl_refused r = { .err = d->conf.refuse };

			snprintf(r.text, sizeof(r.text), "%s", d->conf.text);
			(void)ctl_send(c->sock, CTL_REFUSED, 0, &r, sizeof(r), NULL, 0);
			close(c->sock);
			c->sock = -1;
			break;
		}
		welcome(c, &m->hello);
		d->clients++;
		break;
	case CTL_BIND:
		d->bind = m->bind;
		d->binds++;
		answer(c, m->head.id, d->bind_err, m->bind.port != 0 ? m->bind.port : d->next_port++);
		break;
	case CTL_LISTEN:
		d->listen = m->listen;
		d->listens++;
		answer(c, m->head.id, d->listen_err, 0);
		break;
	case CTL_UNBIND:
		d->unbinds++;
		answer(c, m->head.id, 0, 0);
		break;
	case CTL_UNLISTEN:
		d->unlistens++;
		answer(c, m->head.id, 0, 0);
		break;
	case CTL_SEGMENT_ASK:
		d->asks++;
		c->lane[m->segment.engine].tx_asked++;
		if (c->lane[m->segment.engine].tx_segs < d->conf.tx_segs) {
			give_segment(c, m->segment.engine, SEG_TX);
		} else {
			d->noes++;
			(void)ctl_send(c->sock, CTL_SEGMENT_NO, 0, &m->segment, sizeof(m->segment), NULL, 0);
		}
		break;
	default:
		if (d->conf.monitor == NULL || !d->conf.monitor(c, m, d->conf.monitor_arg))
			ck_abort_msg("message %u", m->head.type);
	}
	pthread_cond_broadcast(&d->turn);
}

static void *run(void *arg)
{
	struct sd_daemon *d = arg;
	struct pollfd p[SD_CLIENTS + 2];
	unsigned n = 0;

	for (;;) {
		p[0] = (struct pollfd){ .fd = d->stop_fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = d->listen_fd, .events = POLLIN };
		for (unsigned i = 0; i < n; i++)
			p[i + 2] = (struct pollfd){ .fd = d->client[i].sock, .events = POLLIN };
		poll(p, n + 2, -1);
		if (p[0].revents != 0)
			return NULL;
		for (unsigned i = 0; i < n; i++) {
			struct ctl_msg m;
			int r;

			if (p[i + 2].revents == 0)
				continue;
			r = ctl_recv(d->client[i].sock, &m, 0, MSG_DONTWAIT);
			pthread_mutex_lock(&d->lock);
			if (r == 1) {
				message(&d->client[i], &m);
			} else if (r != -EAGAIN) {
				close(d->client[i].sock);
				d->client[i].sock = -1;
			}
			pthread_mutex_unlock(&d->lock);
		}
		if (p[1].revents != 0 && n < SD_CLIENTS) {
			d->client[n].d = d;
			d->client[n].wake = -1;
			d->client[n].sock = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC);
			n++;
		}
	}
}

void sd_start(struct sd_daemon *d, const struct sd_conf *conf)
{
	static unsigned serial;

	memset(d, 0, sizeof(*d));
	if (conf != NULL)
		d->conf = *conf;
	if (d->conf.engines == 0)
		d->conf.engines = 1;
	if (d->conf.slots == 0)
		d->conf.slots = 256;
	if (d->conf.max_sockets == 0)
		d->conf.max_sockets = 1000;
	if (d->conf.tx_segs == 0)
		d->conf.tx_segs = SD_SEGS;
	d->next_port = 40000;
	for (unsigned i = 0; i < SD_CLIENTS; i++)
		d->client[i].sock = d->client[i].wake = -1;
	snprintf(d->path, sizeof(d->path), "/tmp/shim-test-%d-%u.sock", (int)getpid(), serial++);
	setenv("STACKD_SOCKET", d->path, 1);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->turn, NULL);
	d->stop_fd = eventfd(0, EFD_CLOEXEC);
	d->listen_fd = ctl_listen_at(d->path, 0600);
	ck_assert_int_ge(d->listen_fd, 0);
	ck_assert_int_eq(pthread_create(&d->thread, NULL, run, d), 0);
}

void sd_stop(struct sd_daemon *d)
{
	eventfd_write(d->stop_fd, 1);
	pthread_join(d->thread, NULL);
	close(d->listen_fd);
	close(d->stop_fd);
	unlink(d->path);
	for (unsigned i = 0; i < SD_CLIENTS; i++) {
		struct sd_client *c = &d->client[i];

		if (c->sock >= 0)
			close(c->sock);
		if (c->wake >= 0)
			close(c->wake);
		for (unsigned e = 0; e < SD_ENGINES; e++) {
			struct sd_lane *l = &c->lane[e];

			if (l->down == NULL)
				continue;
			region_destroy(&l->down_mem);
			region_destroy(&l->up_mem);
			region_destroy(&l->rx_seg);
			for (unsigned s = 0; s < l->tx_segs; s++)
				region_destroy(&l->tx_seg[s]);
			bytes_pool_fini(&l->rx);
			close(l->bell);
		}
	}
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->turn);
}

struct sd_client *sd_client(struct sd_daemon *d, unsigned i)
{
	sd_until(d, &d->clients, i + 1);
	return &d->client[i];
}

void sd_until(struct sd_daemon *d, const unsigned *n, unsigned least)
{
	struct timespec t;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += WAIT_MS / 1000;
	pthread_mutex_lock(&d->lock);
	while (*n < least && err == 0)
		err = pthread_cond_timedwait(&d->turn, &d->lock, &t);
	pthread_mutex_unlock(&d->lock);
	ck_assert_msg(err == 0, "the control thread saw %u of %u", *n, least);
}

void sd_detach(struct sd_client *c, int err, const char *text)
{
	struct ctl_refused r = { .err = err };

	snprintf(r.text, sizeof(r.text), "%s", text);
	ck_assert_int_eq(ctl_send(c->sock, CTL_DETACHED, 0, &r, sizeof(r), NULL, 0), 0);
}

/* --- Rings ---------------------------------------------------------------------------------------------------------------- */

bool sd_put(struct sd_lane *l, const struct event *e)
{
	int err = ring_put(&l->events, e, sizeof(*e));
	uint32_t asleep = bell_look(&l->up->client_asleep);

	if (asleep != 0 && asleep != l->woken) {
		l->woken = asleep;
		(void)send(l->client->wake, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	ck_assert_int_ne(err, -EPROTO);
	return err == 0;
}

struct cmd sd_take(struct sd_lane *l)
{
	struct cmd c;
	eventfd_t n;

	while (!ring_get(&l->cmds, &c)) {
		struct pollfd p = { .fd = l->bell, .events = POLLIN };

		bell_sleep(&l->down->engine_asleep, 1);
		if (!ring_ready(&l->cmds))
			ck_assert_msg(poll(&p, 1, WAIT_MS) == 1, "no command came");
		bell_wake(&l->down->engine_asleep);
		(void)eventfd_read(l->bell, &n);
	}
	ring_done(&l->cmds);
	return c;
}

struct cmd sd_expect(struct sd_lane *l, unsigned op)
{
	struct cmd c = sd_take(l);

	ck_assert_uint_eq(c.op, op);
	return c;
}

bool sd_idle(struct sd_lane *l)
{
	return !ring_ready(&l->cmds);
}

/* --- Connections ------------------------------------------------------------------------------------------------------------ */

void sd_conn_init(struct sd_conn *c, struct sd_lane *l, uint32_t index, uint32_t gen)
{
	*c = (struct sd_conn){ .lane = l, .handle = { index, gen }, .tx_limit = 65536, .flags = EVF_CONNECTED };
	bytes_init(&c->rx);
	bytes_init(&c->tx);
}

void sd_conn_fini(struct sd_conn *c)
{
	bytes_clear(&c->rx, &c->lane->rx);
	bytes_clear(&c->tx, NULL);
}

void sd_accept(struct sd_conn *c, uint32_t cookie, uint16_t port)
{
	struct event e = { .op = EV_ACCEPT, .handle = c->handle };

	e.open.cookie = cookie;
	e.open.peer_port = port;
	e.open.local_port = 80;
	memcpy(e.open.peer.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\2", 16);
	memcpy(e.open.local.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	ck_assert(sd_put(c->lane, &e));
	sd_tell(c);
}

void sd_open(struct sd_conn *c, struct sd_lane *l, const struct cmd *cmd)
{
	struct event e = { .op = EV_OPEN, .handle = cmd->handle };

	ck_assert_uint_eq(cmd->op, CMD_CONNECT);
	sd_conn_init(c, l, cmd->handle.index, cmd->handle.gen);
	e.open.peer = cmd->connect.dst;
	e.open.peer_port = cmd->connect.dport;
	memcpy(e.open.local.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	e.open.local_port = cmd->connect.sport != 0 ? cmd->connect.sport : 50000;
	ck_assert(sd_put(l, &e));
	sd_tell(c);
}

struct event sd_state(struct sd_conn *c)
{
	struct event e = { .op = EV_STATE, .flags = c->flags, .handle = c->handle };

	e.state.rx_end = c->rx_end;
	e.state.tx_acked = c->tx_acked;
	e.state.rx_chunk_no = c->rx.first;
	e.state.rx_chunk = c->rx.count > 0 ? bytes_get(&c->rx, c->rx.first) : BYTES_NONE;
	e.state.tx_limit = c->tx_limit;
	e.state.tx_sent = c->tx_sent;
	e.state.err = c->err;
	e.state.mss = 1460;
	return e;
}

void sd_tell(struct sd_conn *c)
{
	struct event e = sd_state(c);

	ck_assert(sd_put(c->lane, &e));
}

void sd_receive(struct sd_conn *c, const void *buf, size_t len)
{
	ck_assert_uint_eq(bytes_write(&c->rx, &c->lane->rx, c->rx_end, buf, len, 1024), len);
	bytes_link(&c->rx, &c->lane->rx, c->rx_end, c->rx_end + len);
	c->rx_end += len;
}

static void credit(struct sd_conn *c, uint64_t done)
{
	ck_assert_uint_ge(done, c->rx_done);
	ck_assert_uint_le(done, c->rx_end);
	c->rx_done = done;
	if (done == c->rx_end)
		bytes_clear(&c->rx, &c->lane->rx);
	else if (done > 0)
		bytes_drop(&c->rx, &c->lane->rx, bytes_number(done - 1));
}

void sd_apply(struct sd_conn *c, const struct cmd *cmd)
{
	ck_assert_uint_eq(cmd->handle.index, c->handle.index);
	ck_assert_uint_eq(cmd->handle.gen, c->handle.gen);
	switch (cmd->op) {
	case CMD_CREDIT:
		credit(c, cmd->send.rx_done);
		break;
	case CMD_SEND:
		credit(c, cmd->send.rx_done);
		ck_assert_uint_gt(cmd->send.tx_end, c->tx_end);
		for (uint32_t n = bytes_number(c->tx_end), i = 0; n <= bytes_number(cmd->send.tx_end - 1); n++, i++) {
			ck_assert_uint_lt(i, CMD_SEND_CHUNKS);
			ck_assert_ptr_nonnull(bytes_at(&c->lane->tx, cmd->send.chunk[i]));
			ck_assert_int_eq(bytes_set(&c->tx, n, cmd->send.chunk[i], 4096), 0);
		}
		c->tx_end = cmd->send.tx_end;
		break;
	case CMD_SHUTDOWN:
	case CMD_CLOSE:
		credit(c, cmd->close.rx_done);
		ck_assert_uint_eq(cmd->close.tx_end, c->tx_end);
		break;
	default:
		break;
	}
}

void sd_sent(struct sd_conn *c, uint64_t off, void *buf, size_t len)
{
	ck_assert_int_eq(bytes_read(&c->tx, &c->lane->tx, off, buf, len), 0);
}

void sd_ack(struct sd_conn *c)
{
	c->tx_acked = c->tx_end;
	bytes_clear(&c->tx, NULL);
	sd_tell(c);
}

void sd_last(struct sd_conn *c)
{
	struct event e = { .op = EV_STATE, .flags = EVF_CLOSED, .handle = c->handle };

	e.state.tx_acked = c->tx_end;
	e.state.rx_chunk = BYTES_NONE;
	ck_assert(sd_put(c->lane, &e));
	sd_conn_fini(c);
}
