/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control thread and clients played by hand at the other end of its sockets; engines are played too (fake_core.h).
 */
#define _GNU_SOURCE
#include <check.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/fake_core.h"

static void fake_wrong(const char *what)
{
	ck_abort_msg("%s", what);
}

/* --- A client --------------------------------------------------------------------------------------------------------------------- */

static struct ctl_msg got;

/* The next message, of this type; its descriptors are closed. */
static void expect(int s, uint32_t type)
{
	ck_assert_int_eq(ctl_recv(s, &got, CTL_FDS_MAX, MSG_DONTWAIT), 1);
	ck_assert_uint_eq(got.head.type, type);
	ctl_close_fds(&got);
}

static void expect_nothing(int s)
{
	ck_assert_int_eq(ctl_recv(s, &got, CTL_FDS_MAX, MSG_DONTWAIT), -EAGAIN);
}

static void expect_end(int s)
{
	int n;

	do {
		n = ctl_recv(s, &got, CTL_FDS_MAX, MSG_DONTWAIT);
		ctl_close_fds(&got);
	} while (n == 1);
	ck_assert_int_eq(n, 0);
}

static void say(int s, uint32_t type, const void *body, size_t size)
{
	ck_assert_int_eq(ctl_send(s, type, 5, body, size, NULL, 0), 0);
	world_turn();
}

static int attached(void)
{
	struct ctl_hello h = world_hello();
	int s = world_connect();

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

static void ask(int s, uint32_t type, const void *body, size_t size, int err)
{
	say(s, type, body, size);
	expect(s, CTL_REPLY);
	ck_assert_uint_eq(got.head.id, 5);
	ck_assert_int_eq(got.reply.err, err);
}

static void ask_sock(int s, uint32_t type, uint32_t cookie, int err)
{
	struct ctl_sock b = { .cookie = cookie };

	ask(s, type, &b, sizeof(b), err);
}

static void ask_bind(int s, uint32_t cookie, uint16_t port, int err)
{
	struct ctl_bind b = { .cookie = cookie, .port = port };

	ask(s, CTL_BIND, &b, sizeof(b), err);
}

static void ask_listen(int s, uint32_t cookie, int err)
{
	struct ctl_listen b = { .cookie = cookie, .backlog = 1 };

	ask(s, CTL_LISTEN, &b, sizeof(b), err);
}

static void nobody_is_left(void)
{
	world_turn();
	ck_assert_ptr_null(w.ctl.clients);
	ck_assert_uint_eq(w.ctl.client_count, 0);
	ck_assert_uint_eq(w.ctl.hello_count, 0);
	for (unsigned i = 0; i < FAKE_CORES; i++)
		ck_assert_uint_eq(w.core[i].lanes, 0);
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

/* --- Attaching --------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_attach_and_go)
{
	unsigned files = open_files();
	int s = attached();

	ck_assert_uint_eq(w.ctl.client_count, 1);
	ck_assert_uint_eq(w.core[1].lanes, 1);
	close(s);
	nobody_is_left();
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

START_TEST(test_refused_with_a_sentence)
{
	struct ctl_hello h = world_hello();
	int s = world_connect();

	*(_i == 0 ? &h.magic : _i == 1 ? &h.abi : _i == 2 ? &h.cmd_size : &h.lane_size) += 1;
	say(s, CTL_HELLO, &h, sizeof(h));
	expect(s, CTL_REFUSED);
	ck_assert_int_eq(got.refused.err, EPROTO);
	ck_assert_uint_gt(strlen(got.refused.text), 20);
	expect_end(s);
	close(s);
	nobody_is_left();
}
END_TEST

static void refused_for(int err)
{
	struct ctl_hello h = world_hello();
	int s = world_connect();

	say(s, CTL_HELLO, &h, sizeof(h));
	expect(s, CTL_REFUSED);
	ck_assert_int_eq(got.refused.err, err);
	expect_end(s);
	close(s);
}

START_TEST(test_bounds_of_contexts)
{
	int s[3];

	w.conf.client[0].max_contexts = 3;
	for (unsigned i = 0; i < 3; i++)
		s[i] = attached();
	refused_for(EMFILE);
	w.conf.client[0].max_contexts = 100;
	w.conf.client[0].user_contexts = 3;
	refused_for(EAGAIN);
	w.conf.client[0].user_contexts = 4;
	w.conf.max_clients = 3;
	refused_for(EAGAIN);
	w.conf.max_clients = 4;
	w.conf.client[0].endpoint = false;
	w.conf.client[0].monitor = MON_RIGHT_NONE;
	refused_for(EACCES);
	for (unsigned i = 0; i < 3; i++)
		close(s[i]);
	nobody_is_left();
}
END_TEST

/* It has closed its socket when the lanes would be sent: no engine was told of them, and none is to hear of them again. */
START_TEST(test_gone_before_its_lanes_were_sent)
{
	struct ctl_hello h = world_hello();
	int s = world_connect();

	ck_assert_int_eq(ctl_send(s, CTL_HELLO, 5, &h, sizeof(h), NULL, 0), 0);
	close(s);
	(void)ctl_turn(&w.ctl, 0);
	nobody_is_left();
}
END_TEST

/* The lowest free descriptor is beyond the limit: accept4() would fail again and again. */
START_TEST(test_accepting_pauses_without_descriptors)
{
	struct rlimit had, low;
	char path[64];
	int fd, s;

	snprintf(path, sizeof(path), "/tmp/stackd-test-%d.sock", (int)getpid());
	fd = ctl_listen_at(path, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(watch_fd(&w.ctl, &w.ctl.listen, fd, on_listen), 0);
	s = ctl_connect_to(path);
	ck_assert_int_ge(s, 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &had), 0);
	low = had;
	low.rlim_cur = (rlim_t)dup(s);
	close((int)low.rlim_cur);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	ck_assert_int_gt(ctl_turn(&w.ctl, 0), 0);
	ck_assert(w.ctl.paused);
	ck_assert_int_eq(ctl_turn(&w.ctl, 0), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &had), 0);
	listen_resume(&w.ctl);
	ck_assert_int_gt(ctl_turn(&w.ctl, 0), 0);
	ck_assert_ptr_nonnull(w.ctl.clients);
	close(s);
	watch_close(&w.ctl.listen);
	unlink(path);
	nobody_is_left();
}
END_TEST

/* /run is empty after a boot, and not everybody has systemd-tmpfiles.  Only the last folder is made. */
START_TEST(test_the_sockets_folder_is_made)
{
	char folder[] = "/tmp/stackd-test-XXXXXX";
	mode_t mask = umask(077);
	struct stat st;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(w.conf.socket, sizeof(w.conf.socket), "%s/no/such/sock", folder);
	ck_assert_int_eq(watch_listen(&w.ctl), -ENOENT);
	snprintf(w.conf.socket, sizeof(w.conf.socket), "%s/run/sock", folder);
	ck_assert_int_eq(watch_listen(&w.ctl), 0);
	umask(mask);
	ck_assert_int_eq(unlink(w.conf.socket), 0);
	*strrchr(w.conf.socket, '/') = '\0';
	ck_assert_int_eq(stat(w.conf.socket, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
	ck_assert_int_eq(rmdir(w.conf.socket), 0);
	ck_assert_int_eq(rmdir(folder), 0);
	watch_close(&w.ctl.listen);
}
END_TEST

/* The first engine knows its lane, the second does not. */
START_TEST(test_memory_ends_while_lanes_are_given)
{
	struct ctl_hello h = world_hello();
	int s = world_connect();

	w.conf.client[0].memory = (uint64_t)_i * BYTES_SEG_SIZE;
	say(s, CTL_HELLO, &h, sizeof(h));
	expect_end(s);
	close(s);
	nobody_is_left();
}
END_TEST

static int sock_of(const char *what, size_t size)
{
	int s = world_connect();

	ck_assert_int_eq(send(s, what, size, MSG_NOSIGNAL), (ssize_t)size);
	world_turn();
	return s;
}

START_TEST(test_datagrams_that_are_no_messages)
{
	static const char zero[2048];
	static const size_t size[] = { 0, 1, 7, 8, 9, 1032, 1033, 2048 };
	int s = sock_of(zero, size[_i]);

	expect_end(s);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_requests_before_hello)
{
	static const uint8_t zero[CTL_BODY_MAX];
	int s = world_connect();

	say(s, (uint32_t)_i, zero, (size_t)ctl_body_size((uint32_t)_i));
	expect(s, CTL_DETACHED);
	expect_end(s);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_hello_twice)
{
	struct ctl_hello h = world_hello();
	int s = attached();

	say(s, CTL_HELLO, &h, sizeof(h));
	expect(s, CTL_DETACHED);
	expect_end(s);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_the_silent_make_place)
{
	int s[200], one;

	for (unsigned i = 0; i < 200; i++)
		s[i] = world_connect();
	ck_assert_uint_le(w.ctl.hello_count, 64);
	one = attached();
	expect_end(s[0]);
	for (unsigned i = 0; i < 200; i++)
		close(s[i]);
	close(one);
	nobody_is_left();
}
END_TEST

START_TEST(test_one_that_never_reads_is_let_go)
{
	struct ctl_sock b = { .cookie = 9 };
	int s = attached();

	for (unsigned i = 0; i < 100000 && ctl_send(s, CTL_UNBIND, i, &b, sizeof(b), NULL, 0) == 0; i++)
		world_turn();
	expect_end(s);
	close(s);
	nobody_is_left();
}
END_TEST

/* Descriptors that come along are nobody's. */
START_TEST(test_descriptors_are_not_kept)
{
	struct ctl_sock b = { .cookie = 9 };
	int s = attached(), fd[CTL_FDS_MAX] = { s, s, s, s };
	unsigned files = open_files();

	for (unsigned i = 0; i < 100; i++) {
		ck_assert_int_eq(ctl_send(s, CTL_UNBIND, 5, &b, sizeof(b), fd, CTL_FDS_MAX), 0);
		world_turn();
		expect(s, CTL_REPLY);
	}
	ck_assert_uint_eq(open_files(), files);
	close(s);
	nobody_is_left();
}
END_TEST

/* --- Ports ------------------------------------------------------------------------------------------------------------------------------ */

START_TEST(test_ports)
{
	int s = attached(), other = attached();

	ask_bind(s, 1, 80, 0);
	ck_assert_uint_eq(got.reply.value, 80);
	ask_bind(s, 1, 81, EINVAL); /* the cookie is in use */
	ask_listen(s, 2, EINVAL);
	ask_listen(s, 1, 0);
	ask_sock(s, CTL_UNBIND, 2, EINVAL);
	ask_sock(s, CTL_UNLISTEN, 1, 0);
	ask_sock(s, CTL_UNBIND, 1, EINVAL);
	ask_bind(other, 1, 80, 0);
	ask_bind(other, 2, 0, 0);
	ck_assert_uint_ne(got.reply.value, 0);
	close(s);
	close(other);
	nobody_is_left();
}
END_TEST

START_TEST(test_a_port_that_the_rule_does_not_allow)
{
	struct ctl_bind b = { .cookie = 1, .port = 90, .addr.b = { [10] = 0xff, [11] = 0xff, [12] = 8, [15] = 8 } };
	int s = attached();

	w.conf.client[0].port[0] = (struct conf_range){ 80, 80 };
	ask_bind(s, 1, 90, EACCES);
	b.port = 80;
	ask(s, CTL_BIND, &b, sizeof(b), EADDRNOTAVAIL);
	close(s);
	nobody_is_left();
}
END_TEST

/* The answer comes when every engine has let go; the cookie is free before. */
START_TEST(test_unbind_waits_for_the_engines)
{
	struct ctl_sock b = { .cookie = 1 };
	int s = attached();

	ask_bind(s, 1, 80, 0);
	w.core[1].mute = true;
	say(s, CTL_UNBIND, &b, sizeof(b));
	expect_nothing(s);
	ask_bind(s, 1, 80, 0);
	w.core[1].mute = false;
	world_turn();
	expect(s, CTL_REPLY);
	ck_assert_int_eq(got.reply.err, 0);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_gone_with_ports_in_every_state)
{
	struct ctl_sock b = { .cookie = 3 };
	int s = attached();

	ask_bind(s, 1, 80, 0);
	ask_bind(s, 2, 81, 0);
	ask_listen(s, 2, 0);
	ask_bind(s, 3, 82, 0);
	w.core[0].mute = true;
	say(s, CTL_UNBIND, &b, sizeof(b));
	close(s);
	world_turn();
	ck_assert_ptr_nonnull(w.ctl.clients);
	ck_assert_ptr_null(listen_find(w.ctl.listeners, &(struct ipaddr){ 0 }, 81, 0, 0));
	w.core[0].mute = false;
	nobody_is_left();
}
END_TEST

/* Memory for mail is never there: nobody waits for it. */
START_TEST(test_gone_without_memory)
{
	int s = attached();

	ask_bind(s, 1, 80, 0);
	ask_listen(s, 1, 0);
	ask_bind(s, 2, 81, 0);
	w.fails = UINT_MAX;
	ask_sock(s, CTL_UNBIND, 2, 0);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_the_end_with_everything_open)
{
	int s = attached();

	world_connect();
	ask_bind(s, 1, 80, 0);
	ask_bind(s, 2, 81, 0);
	ask_listen(s, 2, 0);
	w.core[0].mute = true;
	ask_bind(s, 3, 82, 0);
	say(s, CTL_UNBIND, &(struct ctl_sock){ 3 }, sizeof(struct ctl_sock));
	/* teardown does the rest; the sanitizer looks */
}
END_TEST

/* --- Memory ------------------------------------------------------------------------------------------------------------------------------ */

START_TEST(test_memory_quota)
{
	struct ctl_segment b = { .engine = 1, .class = SEG_TX };
	unsigned n = 0;
	int s = attached();

	for (;; n++) {
		say(s, CTL_SEGMENT_ASK, &b, sizeof(b));
		ck_assert_int_eq(ctl_recv(s, &got, CTL_FDS_MAX, MSG_DONTWAIT), 1);
		ctl_close_fds(&got);
		if (got.head.type == CTL_SEGMENT_NO)
			break;
		ck_assert_uint_lt(n, 100);
	}
	ck_assert_uint_eq(w.ctl.clients->memory[SEG_TX], 18u << 20); /* three quarters */
	ck_assert_uint_eq(w.ctl.clients->memory[SEG_RX], 4u << 20);
	close(s);
	nobody_is_left();
}
END_TEST

/* A number that has just gone back is not given again soon: the client may not have read yet that it is gone, and would take
 * the new segment's bytes for the old one's. */
START_TEST(test_segment_numbers_rest)
{
	int s = attached();
	struct lane *l = w.core[0].lane[0];
	struct mail want = { .kind = MAIL_WANT, .lane = l, .index = 1 };
	struct mail idle = { .kind = MAIL_IDLE, .lane = l, .class = SEG_RX };
	bool seen[BYTES_SEGS_MAX] = { false };

	for (unsigned round = 0; round < 300; round++) { /* more messages than its socket holds */
		engine_tell(&w.core[0], want);
		world_turn();
		expect(s, CTL_SEGMENT);
		idle.index = got.segment.index;
		ck_assert(!seen[idle.index]);
		seen[idle.index] = true;
		ck_assert_int_eq(bytes_pool_take_idle(&l->owner.rx, 0, &idle.base), (int)idle.index);
		engine_tell(&w.core[0], idle);
		world_turn();
		expect(s, CTL_SEGMENT_GONE);
	}
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_memory_that_does_not_exist)
{
	static const struct ctl_segment wrong[] = { { .engine = FAKE_CORES, .class = SEG_TX }, { .class = SEG_RX },
						    { .engine = UINT32_MAX, .class = SEG_TX }, { .class = 2 } };
	int s = attached();

	say(s, CTL_SEGMENT_ASK, &wrong[_i], sizeof(wrong[_i]));
	expect(s, CTL_DETACHED);
	close(s);
	nobody_is_left();
}
END_TEST

START_TEST(test_engines_mail_for_one_that_leaves)
{
	int s = attached();
	struct lane *l = w.core[0].lane[0];
	struct mail want = { .kind = MAIL_WANT, .lane = l, .index = 3 }, bad = { .kind = MAIL_LANE_BAD, .lane = l };
	struct mail idle = { .kind = MAIL_IDLE, .lane = l, .class = SEG_RX };

	w.core[0].mute = true;
	l->bad = "test";
	engine_tell(&w.core[0], want);
	engine_tell(&w.core[0], bad);
	engine_tell(&w.core[0], want);
	engine_tell(&w.core[0], bad);
	engine_tell(&w.core[0], idle);
	world_turn();
	ck_assert_uint_eq(w.ctl.clients->memory[SEG_RX], 8u << 20); /* 2 + 3 came, 1 went back */
	w.core[0].mute = false;
	expect_end(s);
	close(s);
	nobody_is_left();
}
END_TEST

/* --- Operators ------------------------------------------------------------------------------------------------------------------------------ */

START_TEST(test_operators)
{
	struct ctl_hello h = world_hello();
	int s = attached(), op;

	w.ctl.clients->cred.uid = 1;
	ask_sock(s, CTL_SHUT, 1, EPERM);
	ask(s, CTL_STATS, NULL, 0, EPERM);
	h.flags = HELLO_OPERATOR;
	w.conf.client[0].operator_ = true;
	op = world_connect();
	say(op, CTL_HELLO, &h, sizeof(h));
	expect(op, CTL_WELCOME);
	ask(op, CTL_STATS, NULL, 0, 0);
	ask_sock(op, CTL_SHUT, 77, ESRCH);
	ask_sock(op, CTL_SHUT, 1, 0);
	expect(s, CTL_DETACHED);
	expect_end(s);
	say(op, CTL_BIND, &(struct ctl_bind){ .cookie = 1 }, sizeof(struct ctl_bind));
	expect(op, CTL_DETACHED); /* it has no lanes */
	close(op);
	close(s);
	nobody_is_left();
}
END_TEST

static void teardown(void)
{
	world_close();
}

int main(void)
{
	Suite *s = suite_create("ctl_server");
	TCase *t = tcase_create("ctl_server");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, world_open, teardown);
	tcase_add_test(t, test_attach_and_go);
	tcase_add_loop_test(t, test_refused_with_a_sentence, 0, 4);
	tcase_add_test(t, test_bounds_of_contexts);
	tcase_add_test(t, test_accepting_pauses_without_descriptors);
	tcase_add_test(t, test_the_sockets_folder_is_made);
	tcase_add_test(t, test_gone_before_its_lanes_were_sent);
	tcase_add_loop_test(t, test_memory_ends_while_lanes_are_given, 0, 4);
	tcase_add_loop_test(t, test_datagrams_that_are_no_messages, 0, 8);
	tcase_add_loop_test(t, test_requests_before_hello, CTL_BIND, CTL_CLIENT_MAX);
	tcase_add_test(t, test_hello_twice);
	tcase_add_test(t, test_the_silent_make_place);
	tcase_add_test(t, test_one_that_never_reads_is_let_go);
	tcase_add_test(t, test_descriptors_are_not_kept);
	tcase_add_test(t, test_ports);
	tcase_add_test(t, test_a_port_that_the_rule_does_not_allow);
	tcase_add_test(t, test_unbind_waits_for_the_engines);
	tcase_add_test(t, test_gone_with_ports_in_every_state);
	tcase_add_test(t, test_gone_without_memory);
	tcase_add_test(t, test_the_end_with_everything_open);
	tcase_add_test(t, test_memory_quota);
	tcase_add_test(t, test_segment_numbers_rest);
	tcase_add_loop_test(t, test_memory_that_does_not_exist, 0, 4);
	tcase_add_test(t, test_engines_mail_for_one_that_leaves);
	tcase_add_test(t, test_operators);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
