/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control socket: messages whole, descriptors never lost, peers that send anything at all.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/ctl.h"

enum { FLOOD = 200 };

static int a, b; /* the two ends of a control socket; b is the one that is tested */
static struct ctl_msg m;
static int fds_before;
static char dir[32], path[64];

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void setup(void)
{
	int s[2];

	fds_before = open_fds();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	a = s[0];
	b = s[1];
	strcpy(dir, "/tmp/test_ctl.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
}

static void teardown(void)
{
	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
	unlink(path);
	rmdir(dir);
	ck_assert_int_eq(open_fds(), fds_before); /* holds for every test here */
}

static void close_a(void)
{
	close(a);
	a = -1;
}

/* What ctl_send would not send. */
static void send_raw(int sock, const void *data, size_t size, const int *fd, unsigned n)
{
	static union {
		struct cmsghdr head;
		char room[CMSG_SPACE(FLOOD * sizeof(int))];
	} c;
	struct iovec iov = { (void *)data, size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n > 0) {
		h.msg_control = &c;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c.head.cmsg_level = SOL_SOCKET;
		c.head.cmsg_type = SCM_RIGHTS;
		c.head.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&c.head), fd, n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL), (ssize_t)size);
}

static bool same_file(int x, int y)
{
	struct stat s, t;

	return fstat(x, &s) == 0 && fstat(y, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

/* --- Messages --------------------------------------------------------------------------------------------------------- */
START_TEST(message_arrives_whole)
{
	struct ctl_bind bind = { .cookie = 7, .port = 80, .flags = BIND_REUSEPORT };

	ck_assert_int_eq(ctl_send(a, CTL_BIND, 42, &bind, sizeof(bind), NULL, 0), 0);
	memset(&m, 0xff, sizeof(m)); /* nothing of an earlier message shows */
	ck_assert_int_eq(ctl_recv(b, &m, 0, 0), 1);
	ck_assert_uint_eq(m.head.type, CTL_BIND);
	ck_assert_uint_eq(m.head.id, 42);
	ck_assert_uint_eq(m.body_size, sizeof(bind));
	ck_assert_int_eq(memcmp(&m.bind, &bind, sizeof(bind)), 0);
	for (size_t i = sizeof(bind); i < sizeof(m.body); i++)
		if (m.body[i] != 0)
			ck_abort_msg("body byte %zu", i);
	ck_assert_uint_eq(m.fds, 0);
}
END_TEST

START_TEST(sizes_from_none_to_the_largest)
{
	uint8_t body[CTL_BODY_MAX + 1];

	memset(body, 0x11, sizeof(body));
	ck_assert_int_eq(ctl_send(a, CTL_READY, 0, NULL, 0, NULL, 0), 0);
	ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), 1);
	ck_assert_uint_eq(m.body_size, 0);
	ck_assert_int_eq(ctl_send(a, CTL_READY, 0, body, CTL_BODY_MAX, NULL, 0), 0);
	ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), 1);
	ck_assert_uint_eq(m.body_size, CTL_BODY_MAX);
	ck_assert_int_eq(memcmp(m.body, body, CTL_BODY_MAX), 0);
	ck_assert_int_eq(ctl_send(a, CTL_READY, 0, body, CTL_BODY_MAX + 1, NULL, 0), -EMSGSIZE);
	ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), -EAGAIN);
}
END_TEST

START_TEST(every_type_has_a_size_that_fits)
{
	int known = 0;

	for (uint32_t t = 0; t < 300; t++) {
		int size = ctl_body_size(t);

		ck_assert_int_le(size, CTL_BODY_MAX);
		known += size >= 0;
		if (t > CTL_NONE && t < CTL_CLIENT_MAX)
			ck_assert_int_ge(size, 0);
		if (t >= CTL_WELCOME && t <= CTL_MON_LANE)
			ck_assert_int_ge(size, 0);
	}
	ck_assert_int_eq(known, CTL_CLIENT_MAX - 1 + CTL_MON_LANE - CTL_WELCOME + 1);
	ck_assert_int_eq(ctl_body_size(CTL_NONE), -1);
	ck_assert_int_eq(ctl_body_size(UINT32_MAX), -1);
	ck_assert_int_eq(ctl_body_size(CTL_HELLO), sizeof(struct ctl_hello));
	ck_assert_int_eq(ctl_body_size(CTL_WELCOME), sizeof(struct ctl_welcome));
	ck_assert_int_eq(ctl_body_size(CTL_READY), 0);
}
END_TEST

START_TEST(send_never_blocks)
{
	uint8_t body[CTL_BODY_MAX] = { 0 };
	int rc, n = 0, fd[1] = { 0 };

	while ((rc = ctl_send(a, CTL_READY, (uint32_t)n, body, sizeof(body), fd, 1)) == 0)
		n++;
	ck_assert(rc == -EAGAIN || rc == -ETOOMANYREFS);
	ck_assert_int_gt(n, 0);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), 1);
		ck_assert_uint_eq(m.head.id, (uint32_t)i);
	}
}
END_TEST

/* --- Descriptors ------------------------------------------------------------------------------------------------------ */
START_TEST(descriptors_arrive_in_order_and_close_on_exec)
{
	int p[2], fd[CTL_FDS_MAX] = { 0 };

	ck_assert_int_eq(pipe(p), 0);
	fd[0] = p[0];
	fd[1] = p[1];
	fd[2] = a;
	fd[3] = b;
	ck_assert_int_eq(ctl_send(a, CTL_LANE, 0, "x", 1, fd, 4), 0);
	ck_assert_int_eq(ctl_recv(b, &m, 4, 0), 1);
	ck_assert_uint_eq(m.fds, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert(same_file(m.fd[i], fd[i]));
		ck_assert_int_eq(fcntl(m.fd[i], F_GETFD), FD_CLOEXEC);
	}
	close(m.fd[1]);
	m.fd[1] = -1; /* taken */
	ctl_close_fds(&m);
	ctl_close_fds(&m);
	ck_assert_uint_eq(m.fds, 0);
	close(p[0]);
	close(p[1]);
	ck_assert_int_eq(ctl_send(a, CTL_LANE, 0, "x", 1, fd, CTL_FDS_MAX + 1), -EMSGSIZE);
}
END_TEST

START_TEST(surplus_descriptors_are_closed)
{
	int fd[CTL_FDS_MAX] = { 0, 0, 0, 0 };

	for (unsigned max = 0; max <= CTL_FDS_MAX; max++) {
		int before = open_fds();

		ck_assert_int_eq(ctl_send(a, CTL_HELLO, 1, "x", 1, fd, CTL_FDS_MAX), 0);
		ck_assert_int_eq(ctl_recv(b, &m, max, 0), 1);
		ck_assert_uint_eq(m.fds, max);
		ck_assert(m.cut == (max < CTL_FDS_MAX));
		ck_assert_int_eq(open_fds(), before + (int)max);
		ctl_close_fds(&m);
	}
	ck_assert_int_eq(ctl_send(a, CTL_HELLO, 1, "x", 1, fd, CTL_FDS_MAX), 0);
	ck_assert_int_eq(ctl_recv(b, &m, 1000, 0), 1); /* more than there is room for */
	ck_assert_uint_eq(m.fds, CTL_FDS_MAX);
	ctl_close_fds(&m);
}
END_TEST

START_TEST(flood_of_descriptors_leaks_none)
{
	struct ctl_head head = { .type = CTL_HELLO };
	int fd[FLOOD] = { 0 }, before = open_fds();

	for (int i = 0; i < 20; i++) {
		send_raw(a, &head, sizeof(head), fd, FLOOD);
		ck_assert_int_eq(ctl_recv(b, &m, (unsigned)i % 5, MSG_DONTWAIT), 1);
		ck_assert_uint_eq(m.fds, (unsigned)i % 5);
		ck_assert_int_eq(open_fds(), before + i % 5);
		ctl_close_fds(&m);
	}
}
END_TEST

/* A flood must not even for a moment fill the table of the process that receives it. */
START_TEST(flood_needs_no_free_descriptors)
{
	struct ctl_head head = { .type = CTL_HELLO };
	struct rlimit old, tight;
	int fd[FLOOD] = { 0 };

	send_raw(a, &head, sizeof(head), fd, FLOOD);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = 3; /* all numbers below are taken */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
	ck_assert_int_eq(ctl_recv(b, &m, 1, MSG_DONTWAIT), 1);
	ck_assert_uint_eq(m.fds, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}
END_TEST

START_TEST(descriptors_of_broken_messages_are_closed)
{
	uint8_t big[sizeof(struct ctl_head) + CTL_BODY_MAX + 1] = { 0 };
	int fd[FLOOD] = { 0 }, before = open_fds();

	static const size_t size[] = { 0, 1, sizeof(struct ctl_head) - 1, sizeof(big) };

	for (unsigned i = 0; i < sizeof(size) / sizeof(*size); i++) {
		send_raw(a, big, size[i], fd, i % 2 ? 3 : FLOOD);
		ck_assert_int_eq(ctl_recv(b, &m, 4, MSG_DONTWAIT), -EPROTO);
		ck_assert_uint_eq(m.fds, 0);
		ck_assert_int_eq(m.fd[0], -1);
		ck_assert_int_eq(open_fds(), before);
		send_raw(a, big, size[i], fd, 1);
		ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), -EPROTO);
	}
}
END_TEST

/* Datagrams that sit unread hold references; they go with the socket. */
START_TEST(unread_descriptors_go_with_the_socket)
{
	struct ctl_head head = { .type = CTL_HELLO };
	struct pollfd p = { .events = POLLHUP };
	int fd[FLOOD], pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	for (int i = 0; i < FLOOD; i++)
		fd[i] = pipes[1];
	send_raw(a, &head, sizeof(head), fd, FLOOD);
	close(pipes[1]);
	close(b);
	b = -1;
	p.fd = pipes[0];
	ck_assert_int_eq(poll(&p, 1, -1), 1); /* the last writer has gone */
	ck_assert(p.revents & POLLHUP);
	close(pipes[0]);
}
END_TEST

/* --- Broken datagrams, and ends --------------------------------------------------------------------------------------- */
START_TEST(short_and_long_datagrams_are_no_messages)
{
	uint8_t big[sizeof(struct ctl_head) + CTL_BODY_MAX + 1] = { 0 }, huge[60000] = { 0 };

	for (size_t n = 0; n < sizeof(struct ctl_head); n++) {
		send_raw(a, big, n, NULL, 0);
		ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), -EPROTO);
	}
	send_raw(a, big, sizeof(big), NULL, 0);
	ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), -EPROTO);
	send_raw(a, huge, sizeof(huge), NULL, 0);
	ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), -EPROTO);
	send_raw(a, big, sizeof(big) - 1, NULL, 0); /* and the next one is read as if nothing had been */
	ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), 1);
}
END_TEST

START_TEST(end_is_told_after_the_last_message)
{
	ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), -EAGAIN);
	ck_assert_int_eq(ctl_send(a, CTL_READY, 0, NULL, 0, NULL, 0), 0);
	close_a();
	ck_assert_int_eq(ctl_recv(b, &m, 0, 0), 1);
	ck_assert_int_eq(ctl_recv(b, &m, 0, 0), 0);
	ck_assert_int_eq(ctl_recv(b, &m, 0, MSG_DONTWAIT), 0);
	ck_assert_int_eq(ctl_send(b, CTL_READY, 0, NULL, 0, NULL, 0), -EPIPE); /* and no signal */
}
END_TEST

/* stackd refuses a client whose request it has not read: the sentence must still arrive. */
START_TEST(last_words_survive_unread_requests)
{
	struct ctl_refused no = { .err = EPERM, .text = "no" };

	ck_assert_int_eq(ctl_send(b, CTL_HELLO, 0, "x", 1, NULL, 0), 0);
	ck_assert_int_eq(ctl_send(a, CTL_REFUSED, 0, &no, sizeof(no), NULL, 0), 0);
	close_a();
	ck_assert_int_eq(ctl_recv(b, &m, 0, 0), 1);
	ck_assert_uint_eq(m.head.type, CTL_REFUSED);
	ck_assert_str_eq(m.refused.text, "no");
	ck_assert_int_eq(ctl_recv(b, &m, 0, 0), 0);
}
END_TEST

START_TEST(random_datagrams_do_no_harm)
{
	static uint8_t data[2048];
	int fd[FLOOD] = { 0 }, before = open_fds();

	srand(1);
	for (int i = 0; i < 5000; i++) {
		size_t n = (size_t)rand() % sizeof(data);

		for (size_t j = 0; j < sizeof(struct ctl_head); j++)
			data[j] = (uint8_t)rand();
		send_raw(a, data, n, fd, rand() % 4 == 0 ? (unsigned)rand() % FLOOD : 0);
		ck_assert_int_ne(ctl_recv(b, &m, (unsigned)rand() % 6, MSG_DONTWAIT), 0);
		ctl_close_fds(&m);
	}
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

/* --- Listening -------------------------------------------------------------------------------------------------------- */
START_TEST(listen_and_connect)
{
	struct ctl_cred who;
	struct stat st;
	int l = ctl_listen_at(path, 0660), c, s;

	ck_assert_int_ge(l, 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	c = ctl_connect_to(path);
	ck_assert_int_ge(c, 0);
	s = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(s, 0);
	ck_assert_int_eq(ctl_peer(s, &who), 0);
	ck_assert_int_eq(who.pid, getpid());
	ck_assert_uint_eq(who.uid, getuid());
	ck_assert_uint_eq(who.gid, getgid());
	ck_assert_int_eq(ctl_peer(0, &who), -ENOTSOCK);
	ck_assert_int_eq(fcntl(l, F_GETFD) & fcntl(c, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(ctl_send(c, CTL_STATS, 9, NULL, 0, NULL, 0), 0);
	ck_assert_int_eq(ctl_recv(s, &m, 0, 0), 1);
	ck_assert_uint_eq(m.head.id, 9);
	close(l);
	close(c);
	close(s);
}
END_TEST

START_TEST(stale_socket_is_replaced_a_live_one_is_not)
{
	int l = ctl_listen_at(path, 0600), c, s;

	ck_assert_int_ge(l, 0);
	ck_assert_int_eq(ctl_listen_at(path, 0600), -EADDRINUSE);
	s = accept4(l, NULL, NULL, SOCK_CLOEXEC); /* the question that was asked */
	ck_assert_int_eq(ctl_recv(s, &m, 0, 0), 0);
	close(s);
	close(l); /* as after a crash: the file stays */
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(ctl_connect_to(path), -ECONNREFUSED);
	l = ctl_listen_at(path, 0600);
	ck_assert_int_ge(l, 0);
	c = ctl_connect_to(path);
	ck_assert_int_ge(c, 0);
	close(c);
	close(l);
}
END_TEST

/* A daemon that is stopped, with its backlog full, lives. */
START_TEST(full_backlog_is_live)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int l = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), c;

	memcpy(sa.sun_path, path, strlen(path));
	ck_assert_int_eq(bind(l, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(l, 0), 0);
	c = ctl_connect_to(path);
	ck_assert_int_ge(c, 0);
	ck_assert_int_eq(ctl_listen_at(path, 0600), -EADDRINUSE);
	ck_assert_int_eq(access(path, F_OK), 0);
	close(c);
	close(l);
}
END_TEST

START_TEST(other_files_are_not_removed)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int f = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600), s;

	close(f);
	ck_assert_int_eq(ctl_listen_at(path, 0600), -EADDRINUSE);
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink(path);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* somebody else's live socket */
	memcpy(sa.sun_path, path, strlen(path));
	ck_assert_int_eq(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(s, 1), 0);
	ck_assert_int_eq(ctl_listen_at(path, 0600), -EADDRINUSE);
	ck_assert_int_eq(access(path, F_OK), 0);
	close(s);
}
END_TEST

START_TEST(impossible_paths_are_refused)
{
	char longer[200];

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	ck_assert_int_eq(ctl_listen_at(longer, 0600), -ENAMETOOLONG);
	ck_assert_int_eq(ctl_connect_to(longer), -ENAMETOOLONG);
	ck_assert_int_eq(ctl_listen_at("", 0600), -EINVAL);
	ck_assert_int_eq(ctl_connect_to(""), -EINVAL);
	ck_assert_int_eq(ctl_connect_to(path), -ENOENT);
	ck_assert_int_eq(ctl_listen_at("/nonexistent/dir/sock", 0600), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ctl");
	TCase *t = tcase_create("ctl");
	SRunner *r;
	int failed;

	if (freopen("/dev/null", "r", stdin) == NULL) /* the descriptor that is sent about */
		return EXIT_FAILURE;
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, message_arrives_whole);
	tcase_add_test(t, sizes_from_none_to_the_largest);
	tcase_add_test(t, every_type_has_a_size_that_fits);
	tcase_add_test(t, send_never_blocks);
	tcase_add_test(t, descriptors_arrive_in_order_and_close_on_exec);
	tcase_add_test(t, surplus_descriptors_are_closed);
	tcase_add_test(t, flood_of_descriptors_leaks_none);
	tcase_add_test(t, flood_needs_no_free_descriptors);
	tcase_add_test(t, descriptors_of_broken_messages_are_closed);
	tcase_add_test(t, unread_descriptors_go_with_the_socket);
	tcase_add_test(t, short_and_long_datagrams_are_no_messages);
	tcase_add_test(t, end_is_told_after_the_last_message);
	tcase_add_test(t, last_words_survive_unread_requests);
	tcase_add_test(t, random_datagrams_do_no_harm);
	tcase_add_test(t, listen_and_connect);
	tcase_add_test(t, stale_socket_is_replaced_a_live_one_is_not);
	tcase_add_test(t, full_backlog_is_live);
	tcase_add_test(t, other_files_are_not_removed);
	tcase_add_test(t, impossible_paths_are_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
