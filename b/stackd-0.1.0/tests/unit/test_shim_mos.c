/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the mOS headers bind otherwise: event bits, configuration, kinds of sockets, helpers.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libshim/include/mos/mos_api.h"
#include "libshim/include/mos/mtcp_util.h"
#include "tests/unit/shim_daemon.h"

static struct sd_daemon d;
static mctx_t m;

#define FAILS(call, err) \
	do { \
		errno = 0; \
		ck_assert_int_eq(call, -1); \
		ck_assert_int_eq(errno, err); \
	} while (0)

static void up(void)
{
	sd_start(&d, NULL);
	m = mtcp_create_context(1);
	ck_assert_msg(m != NULL, "%s", mtcp_error_text());
	ck_assert_int_eq(m->cpu, 1);
}

/* stackd first: nobody plays it any more, and the context does not wait for answers */
static void down(void)
{
	sd_stop(&d);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
}

START_TEST(sockets)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int fd, v;

	up();
	fd = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(fd, 0);
	ck_assert_int_eq(mtcp_socket(m, AF_INET, MOS_SOCK_STREAM, 0), 1);
	FAILS(mtcp_socket(m, AF_UNIX, MOS_SOCK_MONITOR_RAW, 0), EAFNOSUPPORT);
	FAILS(mtcp_socket(m, AF_INET, MOS_SOCK_EPOLL, 0), EINVAL);
	FAILS(mtcp_socket(NULL, AF_INET, SOCK_STREAM, 0), EACCES);
	FAILS(mtcp_getpeername(m, fd, (struct sockaddr *)&a, &len, MOS_SIDE_CLI), EPERM);
	FAILS(mtcp_getpeername(m, 9, (struct sockaddr *)&a, &len, MOS_SIDE_CLI), EBADF);
	len = sizeof(v);
	FAILS(mtcp_getsockopt(m, fd, SOL_MONSOCKET, MOS_TCP_STATE_CLI, &v, &len), ENOTSOCK);
	down();
}
END_TEST

START_TEST(readiness)
{
	struct mtcp_epoll_event ev = { .events = MOS_EPOLLIN | MOS_EPOLLRDHUP }, e[4];
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct sd_lane *lane;
	struct sd_conn c;
	int l, fd, ep;

	up();
	lane = &sd_client(&d, 0)->lane[0];
	l = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(mtcp_bind(m, l, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(mtcp_listen(m, l, 5), 0);
	sd_conn_init(&c, lane, 0, 1);
	sd_accept(&c, d.bind.cookie, 1);
	fd = mtcp_accept(m, l, NULL, NULL);
	ep = mtcp_epoll_create(m, 4);
	ev.data.sock = fd;
	ck_assert_int_eq(mtcp_epoll_ctl(m, ep, MOS_EPOLL_CTL_ADD, fd, &ev), 0);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 4, 0), 0);
	c.flags |= EVF_FIN;
	sd_receive(&c, "x", 1);
	sd_tell(&c);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 4, 0), 1);
	ck_assert_uint_eq(e[0].events, MOS_EPOLLIN | MOS_EPOLLRDHUP);
	ck_assert_int_eq(e[0].data.sock, fd);
	/* MOS_EPOLLET as a negative int, as old programs have it */
	ev.events = (uint64_t)(int)(MOS_EPOLLIN | MOS_EPOLLET);
	ck_assert_int_eq(mtcp_epoll_ctl(m, ep, MOS_EPOLL_CTL_MOD, fd, &ev), 0);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 4, 0), 1);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 4, 0), 0);
	c.flags |= EVF_ERROR;
	c.err = ECONNRESET;
	sd_tell(&c);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 4, 0), 1);
	ck_assert_uint_eq(e[0].events & (MOS_EPOLLERR | MOS_EPOLLHUP), MOS_EPOLLERR | MOS_EPOLLHUP);
	ck_assert_str_eq(EventToString(MOS_EPOLLIN | MOS_EPOLLOUT), "IN|OUT");
	sd_conn_fini(&c);
	down();
}
END_TEST

START_TEST(configuration)
{
	char path[] = "/tmp/shim-conf-XXXXXX";
	int fd = mkstemp(path);
	struct mtcp_conf c;
	static const char text[] = "application {\n type = monitor\n run = ./abacus -a \"two words\"\n cpu_mask = 0x3\n}\n"
				   "application {\n type = end\n run = second\n core_mask = 0x4\n}\nmos {\n max_concurrency = 77\n}\n";

	ck_assert_int_eq(mtcp_getconf(&c), 0); /* before mtcp_init */
	ck_assert_int_eq(c.max_concurrency, 1048576); /* that many flows have ids */
	ck_assert_int_eq(c.num_app, 0);
	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	ck_assert_msg(mtcp_init(path) == 0, "%s", mtcp_error_text());
	unlink(path);
	ck_assert_int_eq(mtcp_getconf(&c), 0);
	ck_assert_int_eq(c.max_concurrency, 77);
	ck_assert_int_eq(c.num_app, 2);
	ck_assert_int_eq(c.app_argc[0], 3);
	ck_assert_str_eq(c.app_argv[0][0], "./abacus");
	ck_assert_str_eq(c.app_argv[0][2], "two words");
	ck_assert_ptr_null(c.app_argv[0][3]);
	ck_assert_uint_eq(c.app_cpu_mask[1], 4);
	ck_assert_uint_eq(c.cpu_mask, 7);
	c.tcp_timewait = 0;
	c.num_cores = 2;
	ck_assert_int_eq(mtcp_setconf(&c), 0);
	ck_assert_int_eq(mtcp_getconf(&c), 0);
	ck_assert_int_eq(c.tcp_timewait, 0);
	ck_assert_int_eq(c.num_cores, 2);
	ck_assert_str_eq(c.app_argv[0][0], "./abacus");
	c.max_concurrency = 0; /* taken as it is, so it is wrong */
	FAILS(mtcp_setconf(&c), EINVAL);
	FAILS(mtcp_setconf(NULL), EINVAL);
	FAILS(mtcp_getconf(NULL), EINVAL);
}
END_TEST

static void *stop_stackd(void *arg)
{
	struct sd_lane *lane = arg;

	while (bell_look(&lane->up->client_asleep) == 0)
		sched_yield();
	sd_detach(lane->client, ESHUTDOWN, "the end");
	return NULL;
}

START_TEST(join_ends_with_stackd)
{
	pthread_t t;

	up();
	pthread_create(&t, NULL, stop_stackd, &sd_client(&d, 0)->lane[0]);
	mtcp_app_join(m);
	pthread_join(t, NULL);
	FAILS(mtcp_socket(m, AF_INET, SOCK_STREAM, 0), ESHUTDOWN);
	down();
}
END_TEST

/* Vectors of the published algorithm. */
START_TEST(hashes)
{
	char b[102];

	for (int i = 0; i < 101; i++)
		b[i] = (char)i;
	ck_assert_uint_eq(XXH32("", 0, 0), 0x02cc5d05u);
	ck_assert_uint_eq(XXH32("abc", 3, 0), 0x32d153ffu);
	ck_assert_uint_eq(XXH64("", 0, 0), 0xef46db3751d8e999ull);
	ck_assert_uint_eq(XXH64("abc", 3, 0), 0x44bc2cf5ad770999ull);
	/* longer than a block, at any alignment */
	ck_assert_uint_eq(XXH32(b, 101, 7), 0x1bdcb693u);
	ck_assert_uint_eq(XXH64(b, 101, 7), 0xe878e9791dbc64faull);
	memmove(b + 1, b, 101);
	ck_assert_uint_eq(XXH64(b + 1, 101, 7), 0xe878e9791dbc64faull);
}
END_TEST

START_TEST(words)
{
	char text[] = "  one \"two three\" fo\"u\"r five", *argv[8];
	int argc = 0;

	ck_assert_int_eq(StrToArgs(text, &argc, argv, 8), 4);
	ck_assert_int_eq(argc, 4);
	ck_assert_str_eq(argv[1], "two three");
	ck_assert_str_eq(argv[2], "four");
	ck_assert_str_eq(argv[3], "five");
	ck_assert_ptr_null(argv[4]);
	strcpy(text, "a b c d e f");
	ck_assert_int_eq(StrToArgs(text, NULL, argv, 4), 3);
	ck_assert_ptr_null(argv[3]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shim_mos");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, sockets);
	tcase_add_test(t, readiness);
	tcase_add_test(t, configuration);
	tcase_add_test(t, join_ends_with_stackd);
	tcase_add_test(t, hashes);
	tcase_add_test(t, words);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
