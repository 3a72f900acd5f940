/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1
#include "tests/unit/shim_monitor.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_S = 5, WAIT_MS = WAIT_S * 1000, SPAN = 64 };

static void answer(struct sd_client *c, uint32_t id, int err, uint32_t value, int fd)
{
	struct ctl_reply r = { .err = err, .value = value };

	(void)ctl_send(c->sock, CTL_REPLY, id, &r, sizeof(r), &fd, fd >= 0);
}

static void give_lane(struct sm *s, struct sd_client *c, unsigned engine)
{
	struct sm_lane *l = &s->lane[engine];
	struct arena_conf conf = { .size = s->conf.arena_size, .log_bytes = 1 << 20, .flows = s->conf.flows, .span_max = SPAN };
	size_t down = sizeof(struct mon_down) + s->conf.slots * sizeof(struct ring_slot);
	size_t up = sizeof(struct mon_up) + s->conf.cmd_slots * sizeof(struct ring_slot) + s->conf.edit_size;
	struct ctl_mon_lane m = { .engine = engine, .ring_slots = s->conf.slots, .cmd_slots = s->conf.cmd_slots,
				  .edit_size = s->conf.edit_size };
	int fd[4];

	l->client = c;
	ck_assert_int_eq(region_create(&l->down_mem, REGION_A, down, "mdown"), 0);
	ck_assert_int_eq(region_create(&l->up_mem, REGION_B, up, "mup"), 0);
	ck_assert_int_eq(arena_create(&conf, &l->arena_mem, &l->arena), 0);
	l->down = l->down_mem.base;
	l->up = l->up_mem.base;
	l->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring_prod_init(&l->events, l->down->event, &l->up->event_done, s->conf.slots);
	ring_cons_init(&l->cmds, l->up->cmd, &l->down->cmd_done, s->conf.cmd_slots);
	m.down_size = (uint32_t)l->down_mem.size;
	m.up_size = (uint32_t)l->up_mem.size;
	m.arena_size = l->arena_mem.size;
	fd[0] = l->down_mem.fd;
	fd[1] = l->up_mem.fd;
	fd[2] = l->bell;
	fd[3] = l->arena_mem.fd;
	ck_assert_int_eq(ctl_send(c->sock, CTL_MON_LANE, 0, &m, sizeof(m), fd, 4), 0);
}

static void open_half(struct sm *s, struct sd_client *c, const struct ctl_msg *m)
{
	int pair[2];

	s->opens++;
	s->open_flags = m->mon_open.flags;
	if (s->conf.open_err != 0) {
		answer(c, m->head.id, s->conf.open_err, 0, -1);
		return;
	}
	for (unsigned e = 0; e < s->conf.engines; e++)
		give_lane(s, c, e);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	s->wake = pair[0];
	answer(c, m->head.id, 0, s->conf.right, pair[1]);
	close(pair[1]);
}

static void take_filter(struct sm *s, const struct ctl_mon_filter *f)
{
	ck_assert_uint_le(f->first + f->count, f->total);
	ck_assert_uint_le(f->total, MON_FILTER_MAX);
	ck_assert_uint_lt(f->which, 3);
	s->piece = *f;
	memcpy(s->insn + f->first, f->insn, f->count * sizeof(*f->insn));
	s->total[f->which] = f->total;
	s->filters++;
}

static bool message(struct sd_client *c, const struct ctl_msg *m, void *arg)
{
	struct sm *s = arg;

	switch (m->head.type) {
	case CTL_MON_OPEN:
		open_half(s, c, m);
		return true;
	case CTL_MON_SOCK:
		ck_assert_uint_lt(m->mon_sock.sock, MON_SOCKS_MAX);
		if (s->sock_err == 0)
			s->sock[m->mon_sock.sock] = m->mon_sock;
		s->told++;
		answer(c, m->head.id, s->sock_err, 0, -1);
		return true;
	case CTL_MON_FILTER:
		take_filter(s, &m->mon_filter);
		answer(c, m->head.id, s->filter_err, 0, -1);
		return true;
	case CTL_MON_CLOSE:
		s->closed = m->sock.cookie;
		s->closes++;
		answer(c, m->head.id, 0, 0, -1);
		return true;
	default:
		return false;
	}
}

mctx_t sm_start(struct sm *s, const struct sm_conf *conf)
{
	struct sd_conf d = { .monitor = message, .monitor_arg = s };
	mctx_t m;

	memset(s, 0, sizeof(*s));
	s->wake = -1;
	if (conf != NULL)
		s->conf = *conf;
	if (s->conf.engines == 0)
		s->conf.engines = 1;
	if (s->conf.slots == 0)
		s->conf.slots = 256;
	if (s->conf.cmd_slots == 0)
		s->conf.cmd_slots = 256;
	if (s->conf.edit_size == 0)
		s->conf.edit_size = 65536;
	if (s->conf.arena_size == 0)
		s->conf.arena_size = 8 << 20;
	if (s->conf.flows == 0)
		s->conf.flows = 64;
	if (s->conf.right == MON_RIGHT_NONE)
		s->conf.right = MON_RIGHT_INLINE;
	d.engines = s->conf.engines;
	d.spin_us = s->conf.spin_us;
	sd_start(&s->d, &d);
	m = mtcp_create_context(0);
	ck_assert_msg(m != NULL, "%s", mtcp_error_text());
	return m;
}

void sm_stop(struct sm *s, mctx_t m)
{
	if (m != NULL)
		ck_assert_int_eq(mtcp_destroy_context(m), 0);
	if (s->wake >= 0)
		close(s->wake);
	sd_stop(&s->d);
	for (unsigned e = 0; e < s->conf.engines; e++) {
		struct sm_lane *l = &s->lane[e];

		if (l->down == NULL)
			continue;
		arena_destroy(l->arena);
		region_destroy(&l->down_mem);
		region_destroy(&l->up_mem);
		region_destroy(&l->arena_mem);
		close(l->bell);
	}
}

struct ctl_mon_sock sm_told(struct sm *s, unsigned no)
{
	struct ctl_mon_sock m;

	pthread_mutex_lock(&s->d.lock);
	m = s->sock[no];
	pthread_mutex_unlock(&s->d.lock);
	return m;
}

/* --- Flows -------------------------------------------------------------------------------------------------------------- */

void sm_open(struct sm_flow *f, struct sm_lane *l, unsigned sock)
{
	static uint64_t serial = 100;

	*f = (struct sm_flow){ .lane = l, .serial = ++serial, .sock = (uint16_t)sock, .state = { MON_ESTABLISHED, MON_ESTABLISHED },
			       .ts_us = 1000000 };
	f->rec = arena_open(l->arena, f->serial, f->ts_us);
	ck_assert_uint_ne(f->rec, MON_NONE);
	sm_name(f, "10.0.0.2", 1000, "10.0.0.1", 80);
	sm_publish(f);
}

static struct ipaddr address(const char *text)
{
	struct ipaddr ip = { .b = { [10] = 0xff, [11] = 0xff } };

	if (strchr(text, ':') != NULL)
		ck_assert_int_eq(inet_pton(AF_INET6, text, ip.b), 1);
	else
		ck_assert_int_eq(inet_pton(AF_INET, text, &ip.b[12]), 1);
	return ip;
}

void sm_name(struct sm_flow *f, const char *cli, uint16_t cli_port, const char *svr, uint16_t svr_port)
{
	struct mon_rec *r = arena_change(f->lane->arena, f->rec);

	r->side[MON_CLI].addr = address(cli);
	r->side[MON_CLI].port = cli_port;
	r->side[MON_SVR].addr = address(svr);
	r->side[MON_SVR].port = svr_port;
	arena_changed(f->lane->arena, f->rec);
}

void sm_publish(struct sm_flow *f)
{
	struct mon_rec *r = arena_change(f->lane->arena, f->rec);

	r->pkts++;
	for (unsigned i = 0; i < 2; i++) {
		r->side[i].state = f->state[i];
		r->side[i].isn = 5000 + i * 1000;
		r->side[i].flags |= MON_SIDE_ISN;
		r->side[i].next = f->next[i];
		r->side[i].top = f->top[i];
	}
	arena_changed(f->lane->arena, f->rec);
}

void sm_text(struct sm_flow *f, unsigned side, uint64_t off, const void *bytes, uint32_t len)
{
	(void)arena_write(f->lane->arena, f->rec, side, off, bytes, len);
	if (off <= f->next[side] && off + len > f->next[side])
		f->next[side] = off + len;
	if (off + len > f->top[side])
		f->top[side] = off + len;
	sm_publish(f);
}

void sm_reuse(struct sm_flow *f)
{
	struct arena *a = f->lane->arena;
	uint32_t rec[256], n = 0;

	arena_close(a, f->rec);
	do {
		ck_assert_uint_lt(n, 256);
		rec[n] = arena_open(a, f->serial + 1000000, 1);
		ck_assert_uint_ne(rec[n], MON_NONE);
	} while (rec[n++] != f->rec);
	while (--n > 0) /* those that came first: longest unused */
		arena_close(a, rec[n - 1]);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void sm_packet(struct sm_flow *f, unsigned side, const char *text)
{
	uint8_t frame[2000] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45 };
	uint32_t len = (uint32_t)strlen(text);
	struct mon_pkt hdr = { .ts_us = f->ts_us, .offset = f->next[1 - side], .len = 66 + len, .wire_len = 66 + len, .l3_off = 14,
			       .l4_off = 34, .text_off = 66, .text_len = (uint16_t)len, .in_port = 1, .ip_version = 4 };
	static const uint8_t ends[2][4] = { { 10, 0, 0, 2 }, { 10, 0, 0, 1 } };
	static const uint16_t ports[2] = { 1000, 80 };
	static const uint8_t stamps[12] = { 1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9 };

	put16(frame + 16, 52 + len);
	frame[22] = 64;
	frame[23] = 6;
	memcpy(frame + 26, ends[side], 4);
	memcpy(frame + 30, ends[1 - side], 4);
	put16(frame + 34, ports[side]);
	put16(frame + 36, ports[1 - side]);
	put16(frame + 40, 5001 + 1000 * (1 - side) + (uint32_t)f->next[1 - side]);
	put16(frame + 44, 5001 + 1000 * side + (uint32_t)f->next[side]);
	frame[46] = 0x80;
	frame[47] = 0x18;
	put16(frame + 48, 8192);
	memcpy(frame + 54, stamps, sizeof(stamps));
	memcpy(frame + 66, text, len);
	f->pkt = arena_log(f->lane->arena, &hdr, frame) + 1;
}

/* --- Records -------------------------------------------------------------------------------------------------------------- */

static void wake(struct sm_lane *l)
{
	struct sm *s = l->client->d->conf.monitor_arg;
	uint32_t asleep = bell_look(&l->up->client_asleep);

	if (asleep == 0 || asleep == l->woken)
		return;
	l->woken = asleep;
	(void)send(s->wake, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void sm_point(void)
{
	static _Atomic unsigned point;

	atomic_fetch_add(&point, 1);
}

void sm_put(struct sm_lane *l, const struct mon_event *e)
{
	time_t end = time(NULL) + WAIT_S;
	int err;

	sm_point();
	while ((err = ring_put(&l->events, e, sizeof(*e))) == -ENOBUFS) {
		wake(l);
		sched_yield();
		ck_assert_msg(time(NULL) < end, "the ring stays full");
	}
	ck_assert_int_eq(err, 0);
	wake(l);
}

void sm_settle(struct sm_lane *l)
{
	time_t end = time(NULL) + WAIT_S;

	while (ring_room(&l->events) != (int)l->events.slots) {
		sched_yield();
		ck_assert_msg(time(NULL) < end, "records are not consumed");
	}
	sm_point();
}

struct mon_event sm_event(const struct sm_flow *f, uint16_t events, enum mon_hook hook, unsigned side, uint16_t flags)
{
	struct mon_event e = { .op = MEV_DISPATCH, .events = events, .hook = (uint8_t)hook, .side = (uint8_t)side, .flow = f->rec,
			       .gen = (uint32_t)f->serial, .sock = f->sock, .flags = flags, .claim = f->claim, .ts_us = f->ts_us };

	for (unsigned i = 0; i < 2; i++) {
		e.state[i] = f->state[i];
		e.next[i] = f->next[i];
	}
	if (f->pkt != 0) {
		e.pkt = f->pkt - 1;
		e.flags |= MEVF_PKT;
	}
	return e;
}

void sm_tell(struct sm_flow *f, uint16_t events, enum mon_hook hook, unsigned side, uint16_t flags)
{
	struct mon_event e = sm_event(f, events, hook, side, flags);

	sm_put(f->lane, &e);
	sm_settle(f->lane);
}

/* --- Commands -------------------------------------------------------------------------------------------------------------- */

struct mon_cmd sm_take(struct sm_lane *l)
{
	uint8_t body[60];
	struct mon_cmd c;
	eventfd_t n;

	ring_done(&l->cmds); /* of the one before: what it points at has been read by now */
	while (!ring_get(&l->cmds, body)) {
		struct pollfd p = { .fd = l->bell, .events = POLLIN };

		bell_sleep(&l->down->engine_asleep, 1);
		if (!ring_ready(&l->cmds))
			ck_assert_msg(poll(&p, 1, WAIT_MS) == 1, "no command came");
		bell_wake(&l->down->engine_asleep);
		(void)eventfd_read(l->bell, &n);
	}
	memcpy(&c, body, sizeof(c));
	sm_point();
	return c;
}

struct mon_cmd sm_expect(struct sm_lane *l, unsigned op)
{
	struct mon_cmd c = sm_take(l);

	ck_assert_uint_eq(c.op, op);
	return c;
}

bool sm_idle(struct sm_lane *l)
{
	return !ring_ready(&l->cmds);
}

const uint8_t *sm_bytes(struct sm_lane *l, uint32_t off, uint32_t len)
{
	struct sm *s = l->client->d->conf.monitor_arg;

	ck_assert_uint_le(off, s->conf.edit_size);
	ck_assert_uint_le(len, s->conf.edit_size - off);
	return (const uint8_t *)&l->up->cmd[s->conf.cmd_slots] + off;
}
