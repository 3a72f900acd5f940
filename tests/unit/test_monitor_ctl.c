/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control thread's side of monitors, with clients played by hand and engines that are only mailboxes (fake_core.h).
 */
#define _GNU_SOURCE
#include <check.h>
#include <dirent.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "shm/mon_read.h"
#include "stackd/monitor.h"
#include "tests/unit/fake_core.h"

static void fake_wrong(const char *what)
{
	ck_abort_msg("%s", what);
}

/* --- A client ----------------------------------------------------------------------------------------------------- */

static struct ctl_msg got;

/* The next message, of this type; its descriptors stay open. */
static void expect_open(int s, uint32_t type)
{
	ck_assert_int_eq(ctl_recv(s, &got, CTL_FDS_MAX, MSG_DONTWAIT), 1);
	ck_assert_uint_eq(got.head.type, type);
	ck_assert_int_eq(ctl_body_size(type), (int)got.body_size);
}

static void expect(int s, uint32_t type)
{
	expect_open(s, type);
	ctl_close_fds(&got);
}

static void expect_nothing(int s)
{
	ck_assert_int_eq(ctl_recv(s, &got, CTL_FDS_MAX, MSG_DONTWAIT), -EAGAIN);
}

/* Detached: the last message says why. */
static void expect_detached(int s, const char *why)
{
	char text[SHM_TEXT_MAX] = "";
	int n;

	while ((n = ctl_recv(s, &got, CTL_FDS_MAX, MSG_DONTWAIT)) == 1) {
		ctl_close_fds(&got);
		if (got.head.type == CTL_DETACHED)
			memcpy(text, got.refused.text, sizeof(text));
	}
	ck_assert_int_eq(n, 0);
	ck_assert_msg(strstr(text, why) != NULL, "%s: %s", why, text);
}

static void say_only(int s, uint32_t type, uint32_t id, const void *body, size_t size)
{
	ck_assert_int_eq(ctl_send(s, type, id, body, size, NULL, 0), 0);
}

static void say(int s, uint32_t type, const void *body, size_t size)
{
	say_only(s, type, 5, body, size);
	world_turn();
}

static void expect_reply(int s, uint32_t id, int err)
{
	expect(s, CTL_REPLY);
	ck_assert_uint_eq(got.head.id, id);
	ck_assert_int_eq(got.reply.err, err);
}

static void ask(int s, uint32_t type, const void *body, size_t size, int err)
{
	say(s, type, body, size);
	expect_reply(s, 5, err);
}

static int attached_at(int cpu)
{
	struct ctl_hello h = world_hello();
	int s = world_connect();

	h.cpu = cpu;
	say(s, CTL_HELLO, &h, sizeof(h));
	expect(s, CTL_WELCOME);
	for (unsigned i = 0; i < FAKE_CORES; i++)
		expect(s, CTL_LANE);
	for (unsigned i = 0; i < 2 * FAKE_CORES; i++)
		expect(s, CTL_SEGMENT);
	expect(s, CTL_READY);
	expect_nothing(s);
	return s;
}

static int attached(void)
{
	return attached_at(0);
}

/* The client that attached last. */
static struct client *newest(void)
{
	return w.ctl.clients;
}

static void ask_open(int s, int err)
{
	struct ctl_mon_open o = { 0 };

	say(s, CTL_MON_OPEN, &o, sizeof(o));
	if (err == 0) {
		for (unsigned e = 0; e < FAKE_CORES; e++)
			expect(s, CTL_MON_LANE);
	}
	expect_reply(s, 5, err);
}

static int monitor_at(int cpu)
{
	int s = attached_at(cpu);

	ask_open(s, 0);
	return s;
}

static void ask_sock(int s, uint16_t sock, uint16_t kind, int err)
{
	struct ctl_mon_sock b = { .sock = sock, .kind = kind, .events = { MON_NEW_DATA, MON_PKT_IN, MON_PKT_IN } };

	ask(s, CTL_MON_SOCK, &b, sizeof(b), err);
}

static void ask_close(int s, uint32_t sock, int err)
{
	struct ctl_sock b = { .cookie = sock };

	ask(s, CTL_MON_CLOSE, &b, sizeof(b), err);
}

static void nobody_is_left(void)
{
	world_turn();
	ck_assert_ptr_null(w.ctl.clients);
	ck_assert_uint_eq(w.ctl.client_count, 0);
	ck_assert_uint_eq(w.ctl.mon_slots, 0);
	for (unsigned i = 0; i < FAKE_CORES; i++) {
		ck_assert_uint_eq(w.core[i].lanes, 0);
		ck_assert_uint_eq(w.core[i].mon_lanes, 0);
	}
	for (unsigned i = 0; i < w.ctl.mon_groups; i++) {
		ck_assert_uint_eq(w.ctl.mon_group[i].members, 0);
		ck_assert_ptr_null(w.ctl.mon_group[i].engine);
	}
}

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* The scopes of these rules, the first being everybody's. */
static void rules(unsigned n, const char *const scope[])
{
	for (unsigned i = 0; i < n; i++) {
		w.conf.client[i] = w.conf.client[0];
		snprintf(w.conf.client[i].scope, sizeof(w.conf.client[i].scope), "%s", scope[i]);
	}
	w.conf.clients = n;
	world_scopes();
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

START_TEST(test_open)
{
	static const enum mon_right right[] = { MON_RIGHT_PASSIVE, MON_RIGHT_INLINE };
	unsigned files = open_files();
	struct ctl_mon_open o = { .flags = MON_OPEN_LOSSLESS };
	struct region down, up, arena;
	struct mon_reader reader;
	int s;

	w.conf.client[0].monitor = right[_i];
	s = attached();
	say(s, CTL_MON_OPEN, &o, sizeof(o));
	for (unsigned e = 0; e < FAKE_CORES; e++) {
		const struct ctl_mon_lane *l = &got.mon_lane;

		expect_open(s, CTL_MON_LANE);
		ck_assert_uint_eq(got.fds, 4);
		ck_assert_uint_eq(l->engine, e);
		ck_assert_uint_eq(l->ring_slots, FAKE_SLOTS);
		ck_assert_uint_eq(l->edit_size != 0, right[_i] == MON_RIGHT_INLINE);
		ck_assert_uint_ge(l->up_size, sizeof(struct mon_up) + l->cmd_slots * SHM_LINE + l->edit_size);
		ck_assert_int_eq(region_attach(&down, REGION_A, l->down_size, got.fd[0]), 0);
		ck_assert_int_eq(region_attach(&up, REGION_B, l->up_size, got.fd[1]), 0);
		ck_assert_int_eq(region_attach(&arena, REGION_A, l->arena_size, got.fd[3]), 0);
		ck_assert_int_eq(mon_reader_init(&reader, arena.base, arena.size), 0);
		ck_assert(w.core[e].mon_lane[0]->lossless);
		ck_assert_int_eq(w.core[e].mon_lane[0]->policy.inline_ok, right[_i] == MON_RIGHT_INLINE);
		/* its memory is ours */
		ck_assert_int_eq(ring_put(&w.core[e].mon_lane[0]->events, "hello", 6), 0);
		ck_assert_str_eq((const char *)((struct mon_down *)down.base)->event[0].body, "hello");
		close(got.fd[2]);
		region_destroy(&down);
		region_destroy(&up);
		region_destroy(&arena);
	}
	expect_open(s, CTL_REPLY);
	ck_assert_int_eq(got.reply.err, 0);
	ck_assert_uint_eq(got.reply.value, right[_i]);
	ck_assert_uint_eq(got.fds, 1);
	ck_assert_int_eq(send(w.core[0].mon_lane[0]->wake_fd, "", 1, MSG_DONTWAIT), 1);
	ck_assert_int_eq(recv(got.fd[0], &o, 1, MSG_DONTWAIT), 1);
	ctl_close_fds(&got);
	close(s);
	nobody_is_left();
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

START_TEST(test_without_the_right)
{
	int s;

	w.conf.client[0].monitor = MON_RIGHT_NONE;
	s = attached();
	ask_open(s, EPERM);
	ask_sock(s, 0, MON_STREAM, EBADF);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_open_twice)
{
	struct ctl_mon_open o = { .flags = 2 };
	int s = attached();

	ask(s, CTL_MON_OPEN, &o, sizeof(o), EINVAL);
	w.core[1].mute = true;
	o.flags = 0;
	say(s, CTL_MON_OPEN, &o, sizeof(o));
	expect_nothing(s); /* not all engines know it */
	ask_open(s, EEXIST);
	ask_sock(s, 0, MON_STREAM, EBADF);
	w.core[1].mute = false;
	world_turn();
	for (unsigned e = 0; e < FAKE_CORES; e++)
		expect(s, CTL_MON_LANE);
	expect_reply(s, 5, 0);
	ask_open(s, EEXIST);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_an_engine_refuses)
{
	static const enum mon_order_kind kind[] = { MON_ORDER_LANE, MON_ORDER_SOCK };
	struct ctl_mon_sock b = { .sock = 1, .kind = MON_RAW };
	struct ctl_mon_open o = { 0 };
	int s = attached();

	w.core[1].refuse = kind[_i];
	w.core[1].refuse_err = -ENFILE;
	say_only(s, CTL_MON_OPEN, 5, &o, sizeof(o));
	world_turn();
	if (_i == 1) {
		expect(s, CTL_MON_LANE);
		say(s, CTL_MON_SOCK, &b, sizeof(b));
	}
	expect_detached(s, "an engine has no room");
	close(s);
	nobody_is_left();
}
END_TEST

/* Mail that cannot be sent, at any moment: the client may go, nothing may stay. */
START_TEST(test_no_memory_for_mail)
{
	struct ctl_mon_sock b = { .sock = 1, .kind = MON_RAW };
	struct ctl_sock c = { .cookie = 1 };
	struct ctl_mon_open o = { 0 };
	int s = attached();

	w.fail_after = (unsigned)_i;
	w.fails = 2;
	(void)ctl_send(s, CTL_MON_OPEN, 1, &o, sizeof(o), NULL, 0);
	world_turn();
	(void)ctl_send(s, CTL_MON_SOCK, 2, &b, sizeof(b), NULL, 0);
	(void)ctl_send(s, CTL_MON_CLOSE, 3, &c, sizeof(c), NULL, 0);
	world_turn();
	close(s);
	nobody_is_left();
}
END_TEST

/* --- Monitor sockets ---------------------------------------------------------------------------------------------- */

START_TEST(test_sockets)
{
	int s = attached();

	ask_sock(s, 0, MON_STREAM, EBADF); /* not open */
	ask_open(s, 0);
	ask_sock(s, MON_SOCKS_MAX, MON_STREAM, EBADF);
	ask_sock(s, 3, 0, EINVAL);
	ask_sock(s, 3, 3, EINVAL);
	ask_sock(s, 3, MON_STREAM, 0);
	ask_sock(s, 3, MON_RAW, EINVAL);
	ask_sock(s, 3, MON_STREAM, 0);
	for (unsigned e = 0; e < FAKE_CORES; e++) {
		struct fake_sock *f = engine_sock(&w.core[e], w.core[e].mon_lane[0], 3);

		ck_assert_ptr_nonnull(f);
		ck_assert_uint_eq(f->conf.events[0], MON_NEW_DATA);
	}
	ask_close(s, 4, EBADF);
	ask_close(s, UINT32_MAX, EBADF);
	ask_close(s, 3, 0);
	ask_close(s, 3, EBADF);
	ask_sock(s, 3, MON_RAW, 0);
	close(s);
	nobody_is_left();
}
END_TEST

/* The answer comes when every engine has forgotten it; its name may be used before, its place may not. */
START_TEST(test_close_waits_for_the_engines)
{
	struct ctl_sock b = { .cookie = 3 };
	int s = monitor_at(0);

	ask_sock(s, 3, MON_STREAM, 0);
	w.core[1].mute = true;
	say(s, CTL_MON_CLOSE, &b, sizeof(b));
	expect_nothing(s);
	ck_assert_uint_eq(w.ctl.mon_slots, 1);
	ask_close(s, 3, EBADF);
	for (uint16_t i = 0; i < MON_SOCKS_MAX - 1; i++) {
		struct ctl_mon_sock m = { .sock = i, .kind = MON_STREAM };

		say_only(s, CTL_MON_SOCK, 9, &m, sizeof(m));
	}
	world_turn();
	ask_sock(s, MON_SOCKS_MAX - 1, MON_STREAM, ENFILE);
	w.core[1].mute = false;
	world_turn();
	expect_reply(s, 5, 0);
	for (unsigned i = 0; i < MON_SOCKS_MAX - 1; i++)
		expect_reply(s, 9, 0);
	ask_sock(s, MON_SOCKS_MAX - 1, MON_STREAM, 0);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_places_of_all_programs)
{
	int s[5];

	for (unsigned i = 0; i < 5; i++)
		s[i] = monitor_at(0);
	for (uint16_t k = 0; k < MON_SLOTS_MAX; k++)
		ask_sock(s[k / MON_SOCKS_MAX], k % MON_SOCKS_MAX, MON_RAW, 0);
	ask_sock(s[4], 0, MON_RAW, ENFILE);
	close(s[2]);
	world_turn();
	ask_sock(s[4], 0, MON_RAW, 0);
	for (unsigned i = 0; i < 5; i++) {
		if (i != 2)
			close(s[i]);
	}
	nobody_is_left();
}
END_TEST

/* max_monitor_sockets counts all contexts of a user, and what is being closed; others have their own. */
START_TEST(test_places_of_one_user)
{
	struct ctl_sock b = { .cookie = 0 };
	int s[3];

	w.conf.client[0].max_monitor_sockets = 3;
	for (unsigned i = 0; i < 3; i++)
		s[i] = monitor_at(0);
	newest()->cred.uid++;
	ask_sock(s[0], 0, MON_RAW, 0);
	ask_sock(s[0], 1, MON_STREAM, 0);
	ask_sock(s[1], 0, MON_RAW, 0);
	ask_sock(s[1], 1, MON_RAW, EMFILE);
	ask_sock(s[0], 2, MON_RAW, EMFILE);
	ask_sock(s[0], 1, MON_STREAM, 0); /* that one it has */
	for (uint16_t i = 0; i < 3; i++)
		ask_sock(s[2], i, MON_RAW, 0);
	ask_sock(s[2], 3, MON_RAW, EMFILE);
	w.core[1].mute = true;
	say(s[0], CTL_MON_CLOSE, &b, sizeof(b));
	ask_sock(s[1], 1, MON_RAW, EMFILE);
	w.core[1].mute = false;
	world_turn();
	expect_reply(s[0], 5, 0);
	ask_sock(s[1], 1, MON_RAW, 0);
	close(s[1]);
	world_turn();
	ask_sock(s[0], 0, MON_RAW, 0);
	ask_sock(s[0], 2, MON_RAW, 0);
	ask_sock(s[0], 3, MON_RAW, EMFILE);
	close(s[0]);
	close(s[2]);
	nobody_is_left();
}
END_TEST

START_TEST(test_too_many_requests_under_way)
{
	struct ctl_mon_sock b = { .sock = 1, .kind = MON_RAW };
	int s = monitor_at(0);

	w.core[0].mute = true;
	for (uint32_t i = 0; i < MONITOR_REQUESTS_MAX; i++) {
		say_only(s, CTL_MON_SOCK, i, &b, sizeof(b));
		world_turn();
	}
	expect_nothing(s);
	ck_assert_int_eq(newest()->state, CLIENT_LIVE);
	say(s, CTL_MON_SOCK, &b, sizeof(b));
	expect_detached(s, "too many requests");
	ck_assert_ptr_nonnull(w.ctl.clients); /* the engine has still its lane */
	w.core[0].mute = false;
	close(s);
	nobody_is_left();
}
END_TEST

/* --- Filters ------------------------------------------------------------------------------------------------------ */

static struct mon_insn program[MON_FILTER_MAX + 96];

/* Loads, and a RET: the frame's first byte is what matches. */
static void program_make(unsigned n)
{
	for (unsigned i = 0; i + 1 < n; i++)
		program[i] = (struct mon_insn){ BPF_LD | BPF_B | BPF_ABS, 0, 0, 0 };
	program[n > 0 ? n - 1 : 0] = (struct mon_insn){ BPF_RET | BPF_A, 0, 0, 0 };
}

static struct ctl_mon_filter piece_of(unsigned first, unsigned count, unsigned total)
{
	struct ctl_mon_filter f = { .sock = 1, .which = MON_FILTER_SYN, .first = (uint16_t)first, .count = (uint16_t)count,
				    .total = (uint16_t)total };

	if (first <= MON_FILTER_MAX)
		memcpy(f.insn, &program[first], (count < 96 ? count : 96) * sizeof(program[0]));
	return f;
}

static void ask_piece(int s, unsigned first, unsigned count, unsigned total, int err)
{
	struct ctl_mon_filter f = piece_of(first, count, total);

	ask(s, CTL_MON_FILTER, &f, sizeof(f), err);
}

static struct mon_filter *filter_of(unsigned engine, unsigned which)
{
	struct fake_sock *f = engine_sock(&w.core[engine], w.core[engine].mon_lane[0], 1);

	return f->filter[which];
}

static int with_socket(void)
{
	int s = monitor_at(0);

	ask_sock(s, 1, MON_STREAM, 0);
	return s;
}

START_TEST(test_filter_in_pieces)
{
	static const unsigned sizes[] = { 1, 95, 96, 97, 192, 500, MON_FILTER_MAX };
	unsigned total = sizes[_i];
	int s = with_socket();

	program_make(total);
	for (unsigned at = 0; at < total; at += 96) {
		ck_assert_ptr_null(filter_of(0, MON_FILTER_SYN));
		ask_piece(s, at, total - at < 96 ? total - at : 96, total, 0);
	}
	for (unsigned e = 0; e < FAKE_CORES; e++) {
		ck_assert_ptr_nonnull(filter_of(e, MON_FILTER_SYN));
		ck_assert_ptr_null(filter_of(e, MON_FILTER_ORPHAN));
		ck_assert(total == 1 || mon_filter_match_bytes(filter_of(e, MON_FILTER_SYN), (const uint8_t *)"\1", 1));
		ck_assert(!mon_filter_match_bytes(filter_of(e, MON_FILTER_SYN), (const uint8_t *)"\0", 1));
	}
	ck_assert_uint_eq(newest()->monitor->filters, 1);
	program_make(2);
	ask_piece(s, 0, 2, 2, 0); /* another one: the first is freed */
	ck_assert_uint_eq(newest()->monitor->filters, 1);
	ask_piece(s, 0, 0, 0, 0); /* and none */
	ck_assert_ptr_null(filter_of(0, MON_FILTER_SYN));
	ck_assert_uint_eq(newest()->monitor->filters, 0);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_filter_pieces_that_do_not_fit)
{
	static const unsigned wrong[][3] = { /* first, count, total: after 0, 96, 200 */
		{ 96, 96, 201 }, { 95, 96, 200 }, { 97, 96, 200 }, { 96, 0, 200 }, { 96, 97, 200 }, { 96, 105, 200 }, { 192, 8, 200 },
		{ 0, 96, MON_FILTER_MAX + 1 }, { 0, 97, 200 }, { 0, 2, 1 }, { 65535, 65535, 65535 }, { 96, 65535, 200 },
	};
	int s = with_socket();

	program_make(200);
	ask_piece(s, 0, 96, 200, 0);
	ask_piece(s, wrong[_i][0], wrong[_i][1], wrong[_i][2], EINVAL);
	if (wrong[_i][2] <= MON_FILTER_MAX) /* that was the end of the draft */
		ask_piece(s, 96, 96, 200, EINVAL);
	for (unsigned at = 0; at < 200; at += 50)
		ask_piece(s, at, 50, 200, 0);
	ck_assert_ptr_nonnull(filter_of(1, MON_FILTER_SYN));
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_filter_of_nothing)
{
	struct ctl_mon_filter f;
	int s = with_socket();

	program_make(4);
	f = piece_of(0, 4, 4);
	f.sock = 2;
	ask(s, CTL_MON_FILTER, &f, sizeof(f), EBADF);
	f.sock = UINT16_MAX;
	ask(s, CTL_MON_FILTER, &f, sizeof(f), EBADF);
	f.sock = 1;
	f.which = 3;
	ask(s, CTL_MON_FILTER, &f, sizeof(f), EINVAL);
	f.which = MON_FILTER_RAW;
	f.insn[3] = f.insn[0]; /* no end */
	ask(s, CTL_MON_FILTER, &f, sizeof(f), EINVAL);
	f.insn[3] = (struct mon_insn){ BPF_JMP | BPF_JA, 0, 0, UINT32_MAX };
	ask(s, CTL_MON_FILTER, &f, sizeof(f), EINVAL);
	memset(f.insn, 0xff, sizeof(f.insn));
	ask(s, CTL_MON_FILTER, &f, sizeof(f), EINVAL);
	ck_assert_uint_eq(newest()->monitor->filters, 0);
	ask_piece(s, 0, 4, 4, 0);
	close(s);
	nobody_is_left();
}
END_TEST

static int ask_whole(int s, uint16_t which, unsigned total)
{
	int err = 0;

	for (unsigned at = 0; at < total && err == 0; at += 96) {
		struct ctl_mon_filter f = piece_of(at, total - at < 96 ? total - at : 96, total);

		f.which = which;
		say(s, CTL_MON_FILTER, &f, sizeof(f));
		expect(s, CTL_REPLY);
		err = got.reply.err;
	}
	return err;
}

static int ask_steps(int s, uint16_t which, unsigned total)
{
	program_make(total);
	return ask_whole(s, which, total);
}

/* max_filter_steps: of one process the slowest context counts, of one user all processes, of what is replaced or closed nothing. */
START_TEST(test_filters_longer_than_a_user_may_have)
{
	int s[4];

	w.conf.client[0].max_filter_steps = 300;
	for (unsigned i = 0; i < 4; i++) {
		s[i] = with_socket();
		newest()->cred.pid = i < 2 ? 1000 : 1000 + (pid_t)i;
		newest()->cred.uid = i < 3 ? 1000 : 1001;
	}
	ck_assert_int_eq(ask_steps(s[0], MON_FILTER_RAW, 301), E2BIG);
	ck_assert_int_eq(ask_steps(s[0], MON_FILTER_RAW, 200), 0);
	ck_assert_int_eq(ask_steps(s[0], MON_FILTER_RAW, 300), 0); /* in its place */
	ck_assert_int_eq(ask_steps(s[0], MON_FILTER_SYN, 2), E2BIG);
	ck_assert_int_eq(ask_steps(s[1], MON_FILTER_RAW, 300), 0); /* the same process */
	ck_assert_int_eq(ask_steps(s[2], MON_FILTER_RAW, 2), E2BIG);
	ck_assert_int_eq(ask_steps(s[3], MON_FILTER_RAW, 300), 0); /* another user */
	ask_piece(s[0], 0, 0, 0, 0);
	ck_assert_int_eq(ask_steps(s[2], MON_FILTER_RAW, 2), E2BIG);
	ask_close(s[1], 1, 0);
	ck_assert_int_eq(ask_steps(s[0], MON_FILTER_RAW, 200), 0);
	ck_assert_int_eq(ask_steps(s[2], MON_FILTER_RAW, 101), E2BIG);
	ck_assert_int_eq(ask_steps(s[2], MON_FILTER_RAW, 100), 0);
	for (unsigned i = 0; i < 4; i++)
		close(s[i]);
	nobody_is_left();
}
END_TEST

/* Every packet may have to pass all filters of a context, so all of them together are bounded. */
START_TEST(test_filters_longer_than_packets_wait)
{
	int s = with_socket();

	program_make(MON_FILTER_MAX);
	ck_assert_int_eq(ask_whole(s, MON_FILTER_RAW, MON_FILTER_MAX), 0);
	ck_assert_int_eq(ask_whole(s, MON_FILTER_RAW, MON_FILTER_MAX), 0); /* in its place */
	ck_assert_int_eq(ask_whole(s, MON_FILTER_SYN, MON_FILTER_MAX), 0);
	program_make(2);
	ck_assert_int_eq(ask_whole(s, MON_FILTER_ORPHAN, 2), ENOMEM);
	ck_assert_uint_eq(newest()->monitor->filters, 2);
	ck_assert_ptr_null(filter_of(0, MON_FILTER_ORPHAN));
	ask_piece(s, 0, 0, 0, 0);
	ck_assert_int_eq(ask_whole(s, MON_FILTER_ORPHAN, 2), 0);
	close(s);
	nobody_is_left();
}
END_TEST

/* Pieces of two filters in turns are no filter; one that never ends is forgotten with its socket, or its client. */
START_TEST(test_filter_never_finished)
{
	struct ctl_mon_filter other;
	int s = with_socket();

	program_make(200);
	ask_piece(s, 0, 96, 200, 0);
	other = piece_of(96, 96, 200);
	other.which = MON_FILTER_ORPHAN;
	ask(s, CTL_MON_FILTER, &other, sizeof(other), EINVAL);
	ask_piece(s, 0, 96, 200, 0);
	ask_close(s, 1, 0);
	ask_piece(s, 96, 96, 200, EBADF);
	ask_sock(s, 1, MON_STREAM, 0);
	ask_piece(s, 96, 96, 200, EINVAL);
	ask_piece(s, 0, 96, 200, 0);
	close(s);
	nobody_is_left();
}
END_TEST

/* Several changes under way, and engines of different speed: what one engine may still use is not freed (the sanitizer looks). */
START_TEST(test_filters_under_way)
{
	struct ctl_mon_filter f;
	struct ctl_sock b = { .cookie = 1 };
	int s = with_socket();

	program_make(2);
	f = piece_of(0, 2, 2);
	w.core[1].mute = true;
	for (unsigned i = 0; i < 10; i++) {
		f.which = (uint16_t)(i % 2);
		say_only(s, CTL_MON_FILTER, i, &f, sizeof(f));
		world_turn();
	}
	expect_nothing(s);
	ck_assert_uint_eq(newest()->monitor->filters, 10);
	if (_i == 1)
		say(s, CTL_MON_CLOSE, &b, sizeof(b));
	if (_i == 2)
		shutdown(s, SHUT_RDWR);
	world_turn();
	(void)mon_filter_match_bytes(filter_of(1, 0), (const uint8_t *)"x", 1);
	w.core[1].mute = false;
	world_turn();
	for (uint32_t i = 0; i < 10 && _i != 2; i++)
		expect_reply(s, i, 0);
	if (_i < 2)
		ck_assert_uint_eq(newest()->monitor->filters, _i == 0 ? 2 : 0);
	close(s);
	nobody_is_left();
}
END_TEST

/* --- Groups ------------------------------------------------------------------------------------------------------- */

/* The arena of engine 1, by its inode. */
static ino_t arena_of(int s)
{
	struct ctl_mon_open o = { 0 };
	struct stat st = { 0 };

	say(s, CTL_MON_OPEN, &o, sizeof(o));
	for (unsigned e = 0; e < FAKE_CORES; e++) {
		expect_open(s, CTL_MON_LANE);
		ck_assert_int_eq(fstat(got.fd[3], &st), 0);
		ctl_close_fds(&got);
	}
	expect_reply(s, 5, 0);
	return st.st_ino;
}

START_TEST(test_equal_scopes_share)
{
	static const char *const scope[] = { "", "tcp port 80", "tcp port 80", "tcp" };
	ino_t arena[4];
	int s[4];

	rules(4, scope);
	ck_assert_uint_eq(w.ctl.mon_groups, 3);
	for (unsigned i = 0; i < 4; i++) {
		s[i] = attached();
		newest()->rule = &w.conf.client[i];
		arena[i] = arena_of(s[i]);
	}
	ck_assert_uint_eq(arena[1], arena[2]);
	ck_assert_uint_ne(arena[0], arena[1]);
	ck_assert_uint_ne(arena[0], arena[3]);
	ck_assert_uint_ne(arena[1], arena[3]);
	ck_assert_uint_eq(w.ctl.mon_group[1].members, 2);
	ck_assert_ptr_null(w.core[0].mon_lane[0]->group->scope);
	ck_assert_ptr_nonnull(w.core[0].mon_lane[1]->group->scope);
	ck_assert_uint_ne(w.core[0].mon_lane[0]->group->id, w.core[0].mon_lane[1]->group->id);
	close(s[1]);
	world_turn();
	ck_assert_uint_eq(w.ctl.mon_group[1].members, 1);
	ck_assert_ptr_nonnull(w.ctl.mon_group[1].engine);
	for (unsigned i = 0; i < 4; i++) {
		if (i != 1)
			close(s[i]);
	}
	nobody_is_left();
}
END_TEST

/* The last one is leaving, engines have not let go, and another one comes: the arena stays. */
START_TEST(test_a_group_that_is_being_left)
{
	int s = attached(), late = attached();
	ino_t arena = arena_of(s);

	w.core[1].mute = true;
	close(s);
	world_turn();
	ck_assert_uint_eq(w.ctl.mon_group[0].members, 1);
	w.core[1].mute = false;
	ck_assert_uint_eq(arena_of(late), arena);
	world_turn();
	ck_assert_uint_eq(w.ctl.mon_group[0].members, 1);
	close(late);
	nobody_is_left();
}
END_TEST

START_TEST(test_more_scopes_than_groups)
{
	int s[MON_GROUPS_MAX + 1];
	char text[MON_GROUPS_MAX + 1][32];
	const char *scope[MON_GROUPS_MAX + 1];

	for (unsigned i = 0; i <= MON_GROUPS_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "tcp port %u", i);
		scope[i] = text[i];
	}
	rules(MON_GROUPS_MAX + 1, scope);
	w.conf.max_clients = MON_GROUPS_MAX + 1;
	w.conf.client[0].max_contexts = MON_GROUPS_MAX + 1;
	for (unsigned i = 0; i <= MON_GROUPS_MAX; i++) {
		s[i] = attached();
		newest()->rule = &w.conf.client[i];
		ask_open(s[i], i < MON_GROUPS_MAX ? 0 : ENOSPC);
	}
	close(s[3]);
	world_turn();
	ask_open(s[MON_GROUPS_MAX], 0);
	for (unsigned i = 0; i <= MON_GROUPS_MAX; i++) {
		if (i != 3)
			close(s[i]);
	}
	nobody_is_left();
}
END_TEST

START_TEST(test_an_arena_that_cannot_be)
{
	int s = attached();

	w.conf.monitor.memory = 4096;
	ask_open(s, EINVAL);
	w.conf.monitor.memory = 1 << 20;
	ask_open(s, 0);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_a_scope_that_is_none)
{
	snprintf(w.conf.client[0].scope, sizeof(w.conf.client[0].scope), "tcp prot 80");
	monitor_groups_free(&w.ctl);
	ck_assert_int_eq(monitor_groups_make(&w.ctl), -EINVAL);
}
END_TEST

/* --- Sharing ------------------------------------------------------------------------------------------------------ */

/* How many contexts are older. */
static unsigned rank(const struct core *core, const struct mon_lane *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < core->mon_lanes; i++)
		n += core->mon_lane[i]->client->id < l->client->id;
	return n;
}

/* Of every engine's flows, each has exactly one context that sees it; a context at home there sees its part. */
static void check_shares(void)
{
	for (unsigned e = 0; e < FAKE_CORES; e++) {
		const struct core *core = &w.core[e];
		unsigned seen[64] = { 0 }, count = 0, at_home = 0;

		for (unsigned i = 0; i < core->mon_lanes; i++) {
			const struct mon_lane *l = core->mon_lane[i];

			at_home += l->client->home == e;
			if (l->share_count == 0)
				continue;
			ck_assert(count == 0 || count == l->share_count);
			count = l->share_count;
			ck_assert_uint_lt(l->share_index, count);
			ck_assert_uint_eq(seen[l->share_index]++, 0);
			if (l->client->home != e) /* it stands in: not always the same one for all engines */
				ck_assert_uint_eq(rank(core, l), e % core->mon_lanes);
		}
		for (unsigned i = 0; i < count; i++)
			ck_assert_uint_eq(seen[i], 1);
		if (core->mon_lanes > 0)
			ck_assert_uint_eq(count, at_home > 0 ? at_home : 1);
		for (unsigned i = 0; i < core->mon_lanes && at_home > 0; i++)
			ck_assert_int_eq(core->mon_lane[i]->share_count != 0, core->mon_lane[i]->client->home == e);
	}
}

START_TEST(test_shares_of_a_process)
{
	int s[5];

	for (int k = 0; k < 5; k++) {
		/* one after the other, all at engine 0, all at engine 1 */
		s[k] = monitor_at(_i == 0 ? k : _i - 1);
		check_shares();
	}
	for (int k = 0; k < 5; k++) {
		close(s[(k + 2) % 5]);
		world_turn();
		check_shares();
	}
	nobody_is_left();
}
END_TEST

/* Contexts that only attach, or only leave, have no flows; a change finds no memory, and is told later. */
START_TEST(test_shares_late)
{
	int s[3] = { monitor_at(0), monitor_at(1), attached_at(0) };

	check_shares();
	ck_assert_uint_eq(w.core[0].mon_lanes, 2);
	w.fail_after = 0; /* LEAVE goes out without fail, the other's new share does not */
	w.fails = 1;
	ck_assert_int_eq(shutdown(s[1], SHUT_RDWR), 0);
	world_turn();
	ck_assert(w.ctl.share_late);
	monitor_share_late(&w.ctl);
	world_turn();
	ck_assert(!w.ctl.share_late);
	check_shares();
	for (unsigned i = 0; i < 3; i++)
		close(s[i]);
	nobody_is_left();
}
END_TEST

/* --- Leaving ------------------------------------------------------------------------------------------------------ */

START_TEST(test_gone_with_orders_under_way)
{
	struct ctl_mon_open o = { 0 };
	struct ctl_mon_sock b = { .sock = 2, .kind = MON_STREAM };
	struct ctl_sock c = { .cookie = 1 };
	int s = _i == 0 ? attached() : with_socket();

	w.core[0].mute = w.core[1].mute = true;
	if (_i == 0) {
		say(s, CTL_MON_OPEN, &o, sizeof(o));
	} else {
		program_make(3);
		say_only(s, CTL_MON_SOCK, 1, &b, sizeof(b));
		say_only(s, CTL_MON_CLOSE, 2, &c, sizeof(c));
		say_only(s, CTL_MON_SOCK, 3, &b, sizeof(b));
		world_turn();
	}
	close(s);
	world_turn();
	ck_assert_ptr_nonnull(w.ctl.clients);
	w.core[0].mute = false;
	world_turn();
	ck_assert_ptr_nonnull(w.ctl.clients);
	ck_assert_uint_eq(w.ctl.mon_group[0].members, 1); /* engine 1 may use the arena */
	w.core[1].mute = false;
	nobody_is_left();
}
END_TEST

START_TEST(test_the_end_with_everything_open)
{
	struct ctl_mon_fault f = { .app = 1 };
	struct ctl_hello h = world_hello();
	int s = with_socket(), op = world_connect();

	monitor_at(1);
	h.flags = HELLO_OPERATOR;
	say(op, CTL_HELLO, &h, sizeof(h));
	program_make(3);
	ask_piece(s, 0, 3, 3, 0);
	ask_piece(s, 0, 2, 3, 0);
	w.core[0].mute = true;
	say(s, CTL_MON_CLOSE, &(struct ctl_sock){ 1 }, sizeof(struct ctl_sock));
	say(op, CTL_MON_FAULT, &f, sizeof(f));
	if (_i == 1)
		shutdown(s, SHUT_RDWR);
	world_turn();
	/* teardown does the rest; the sanitizer looks */
}
END_TEST

START_TEST(test_an_engine_complains)
{
	int s = monitor_at(0);
	struct mon_lane *l = w.core[1].mon_lane[0];

	l->bad = "it wrote nonsense";
	engine_tell(&w.core[1], (struct mail){ .kind = MAIL_MON_BAD, .mon_lane = l });
	engine_tell(&w.core[1], (struct mail){ .kind = MAIL_MON_BAD, .mon_lane = l });
	world_turn();
	expect_detached(s, "it wrote nonsense");
	close(s);
	nobody_is_left();
}
END_TEST

/* --- What operators see ------------------------------------------------------------------------------------------- */

START_TEST(test_shown)
{
	static const char *const scope[] = { "tcp port 80" };
	struct stat_monitor *m = stat_seg_monitor(&w.stat, 0);
	struct stat_group *g = stat_seg_group(&w.stat, 0);
	struct stat_app *a;
	int s;

	rules(1, scope);
	s = with_socket();
	a = newest()->shown;
	m = stat_seg_monitor(&w.stat, (unsigned)(a - stat_seg_app(&w.stat, 0)));
	for (unsigned e = 0; e < FAKE_CORES; e++) {
		struct mon_lane *l = w.core[e].mon_lane[0];

		l->offered = 100;
		l->delivered = 50 + e;
		l->lost = 1;
		l->verdict[MON_DROP] = 3;
		l->decided[MON_BY_BREAKER] = 2;
		for (unsigned i = 0; i < 3 + e; i++)
			ck_assert_int_eq(ring_put(&l->events, "x", 1), 0);
	}
	shown_refresh(&w.ctl);
	ck_assert_uint_eq(m->right, MON_RIGHT_INLINE);
	ck_assert_uint_eq(m->sockets, 1);
	ck_assert_uint_eq(m->offered, 200);
	ck_assert_uint_eq(m->delivered, 101);
	ck_assert_uint_eq(m->lost, 2);
	ck_assert_uint_eq(m->lag, 4);
	ck_assert_uint_eq(m->verdict[MON_DROP], 6);
	ck_assert_uint_eq(m->decided[MON_BY_BREAKER], 4);
	ck_assert_uint_eq(m->version % 2, 0);
	ck_assert_uint_eq(g->members, 1);
	ck_assert_str_eq(g->scope, "tcp port 80");
	ck_assert_uint_eq(g->memory, FAKE_CORES * (1u << 20));
	ck_assert_uint_gt(g->chunks, 0);
	w.core[0].mon_lane[0]->offered++; /* the last figures are told, too */
	close(s);
	nobody_is_left();
	ck_assert_uint_eq(g->members, 0);
	ck_assert_uint_eq(m->offered, 201);
	ck_assert_uint_eq(m->sockets, 0);
	ck_assert_uint_eq(m->lag, 0);
	ck_assert_uint_eq(a->state, STAT_APP_GONE);
}
END_TEST

/* The record of a monitor is not inherited by the program that gets its place. */
START_TEST(test_shown_anew)
{
	int s = with_socket();
	struct stat_app *a = newest()->shown;
	struct stat_monitor *m = stat_seg_monitor(&w.stat, (unsigned)(a - stat_seg_app(&w.stat, 0)));

	shown_refresh(&w.ctl);
	close(s);
	nobody_is_left();
	for (unsigned i = 0; i < STAT_APPS_MAX; i++) {
		if (stat_seg_app(&w.stat, i) != a)
			stat_seg_app(&w.stat, i)->state = STAT_APP_LIVE;
	}
	ck_assert_uint_eq(m->right, MON_RIGHT_INLINE);
	s = attached();
	ck_assert_ptr_eq(newest()->shown, a);
	ck_assert_uint_eq(m->right, MON_RIGHT_NONE);
	close(s);
	nobody_is_left();
}
END_TEST

/* --- Rights ------------------------------------------------------------------------------------------------------- */

START_TEST(test_a_monitor_is_no_endpoint)
{
	struct ctl_bind b = { .cookie = 1, .port = 80 };
	struct ctl_listen l = { .cookie = 1, .backlog = 1 };
	int s;

	w.conf.client[0].endpoint = false;
	s = monitor_at(0);
	ask(s, CTL_BIND, &b, sizeof(b), EACCES);
	b.port = 0;
	ask(s, CTL_BIND, &b, sizeof(b), EACCES);
	ask(s, CTL_LISTEN, &l, sizeof(l), EACCES);
	for (unsigned e = 0; e < FAKE_CORES; e++)
		ck_assert(!w.core[e].lane[0]->may_connect);
	close(s);
	nobody_is_left();
	w.conf.client[0].endpoint = true;
	s = attached();
	ck_assert(w.core[0].lane[0]->may_connect);
	close(s);
	nobody_is_left();
}
END_TEST

static int operator(void)
{
	struct ctl_hello h = world_hello();
	int op = world_connect();

	h.flags = HELLO_OPERATOR;
	w.conf.client[0].operator_ = true;
	say(op, CTL_HELLO, &h, sizeof(h));
	expect(op, CTL_WELCOME);
	return op;
}

START_TEST(test_faults)
{
	struct ctl_mon_fault f = { .app = 1, .cause = MON_BY_RING, .times = 3 };
	int s = with_socket(), op, other;

	newest()->cred.uid = 1;
	ask(s, CTL_MON_FAULT, &f, sizeof(f), EPERM);
	op = operator();
	ask(op, CTL_MON_FAULT, &f, sizeof(f), 0);
	ck_assert_uint_eq(w.core[0].faults + w.core[1].faults, FAKE_CORES);
	f.cause = MON_CAUSES;
	ask(op, CTL_MON_FAULT, &f, sizeof(f), EINVAL);
	f.cause = MON_BY_BREAKER;
	f.app = 7;
	ask(op, CTL_MON_FAULT, &f, sizeof(f), ESRCH);
	other = attached(); /* does not monitor */
	f.app = newest()->id;
	ask(op, CTL_MON_FAULT, &f, sizeof(f), ESRCH);
	close(op);
	close(other);
	close(s);
	nobody_is_left();
}
END_TEST

/* The asker has gone before the answer, or the one who was asked about. */
START_TEST(test_faults_under_way)
{
	struct ctl_mon_fault f = { .app = 1, .cause = MON_BY_DEADLINE, .times = 1 };
	int s = with_socket(), op = operator();

	w.core[1].mute = true;
	say(op, CTL_MON_FAULT, &f, sizeof(f));
	expect_nothing(op);
	close(_i == 0 ? op : s);
	world_turn();
	w.core[1].mute = false;
	world_turn();
	if (_i == 0) {
		ask_sock(s, 2, MON_RAW, 0);
		close(s);
	} else {
		expect_reply(op, 5, 0);
		close(op);
	}
	nobody_is_left();
}
END_TEST

static void teardown(void)
{
	world_close();
}

int main(void)
{
	Suite *s = suite_create("monitor_ctl");
	TCase *t = tcase_create("monitor_ctl");
	SRunner *r = srunner_create(s);
	int failed;

	log_open(LOG_LEVEL_ERR);
	tcase_add_checked_fixture(t, world_open, teardown);
	tcase_add_loop_test(t, test_open, 0, 2);
	tcase_add_test(t, test_without_the_right);
	tcase_add_test(t, test_open_twice);
	tcase_add_loop_test(t, test_an_engine_refuses, 0, 2);
	tcase_add_loop_test(t, test_no_memory_for_mail, 0, 12);
	tcase_add_test(t, test_sockets);
	tcase_add_test(t, test_close_waits_for_the_engines);
	tcase_add_test(t, test_places_of_all_programs);
	tcase_add_test(t, test_places_of_one_user);
	tcase_add_test(t, test_too_many_requests_under_way);
	tcase_add_loop_test(t, test_filter_in_pieces, 0, 7);
	tcase_add_loop_test(t, test_filter_pieces_that_do_not_fit, 0, 12);
	tcase_add_test(t, test_filter_of_nothing);
	tcase_add_test(t, test_filters_longer_than_packets_wait);
	tcase_add_test(t, test_filters_longer_than_a_user_may_have);
	tcase_add_test(t, test_filter_never_finished);
	tcase_add_loop_test(t, test_filters_under_way, 0, 3);
	tcase_add_test(t, test_equal_scopes_share);
	tcase_add_test(t, test_a_group_that_is_being_left);
	tcase_add_test(t, test_more_scopes_than_groups);
	tcase_add_test(t, test_an_arena_that_cannot_be);
	tcase_add_test(t, test_a_scope_that_is_none);
	tcase_add_loop_test(t, test_shares_of_a_process, 0, 3);
	tcase_add_test(t, test_shares_late);
	tcase_add_loop_test(t, test_gone_with_orders_under_way, 0, 2);
	tcase_add_loop_test(t, test_the_end_with_everything_open, 0, 2);
	tcase_add_test(t, test_an_engine_complains);
	tcase_add_test(t, test_shown);
	tcase_add_test(t, test_shown_anew);
	tcase_add_test(t, test_a_monitor_is_no_endpoint);
	tcase_add_test(t, test_faults);
	tcase_add_loop_test(t, test_faults_under_way, 0, 2);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
