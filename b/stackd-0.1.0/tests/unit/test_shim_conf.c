/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Configuration files in both syntaxes, getconf and setconf as mTCP programs use them, notices, steering before there is one.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libshim/include/mtcp/mtcp_epoll.h"
#include "libshim/include/mtcp/cpu.h"
#include "libshim/include/mtcp/rss.h"

static char notices[8192];

static void listener(void *arg, const char *line)
{
	ck_assert_ptr_eq(arg, notices);
	strcat(notices, line);
	strcat(notices, "\n");
}

static int init_with(const char *text)
{
	char path[] = "/tmp/shim-conf-XXXXXX";
	int fd = mkstemp(path), r;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	notices[0] = '\0';
	mtcp_set_log(listener, notices);
	r = mtcp_init(path);
	mtcp_set_log(NULL, NULL);
	unlink(path);
	return r;
}

START_TEST(defaults)
{
	struct mtcp_conf c;

	ck_assert_int_eq(mtcp_init(NULL), 0);
	ck_assert_int_eq(mtcp_getconf(NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(mtcp_getconf(&c), 0);
	ck_assert_int_eq(c.num_cores, GetNumCPUs());
	ck_assert_int_eq(c.max_concurrency, 10000);
	ck_assert_int_eq(c.rcvbuf_size, 0);
	ck_assert_int_eq(c.tcp_timeout, 30000);
	ck_assert_int_eq(mtcp_init("/nonexistent/mtcp.conf"), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(flat_file)
{
	struct mtcp_conf c;

	ck_assert_int_eq(init_with("# a comment\n\nio = dpdk\nnum_cores = 4\n  max_concurrency=5000 # here too\n"
				   "max_num_buffers = 7000\nrcvbuf = 8192\nsndbuf = 16384\ntcp_timeout = -1\ntcp_timewait = 2\n"
				   "port = dpdk0 dpdk1\nstat_print = dpdk0\nnum_mem_ch = 4\n"), 0);
	ck_assert_ptr_nonnull(strstr(notices, ":3: `io' is ignored"));
	ck_assert_ptr_nonnull(strstr(notices, "`port' is ignored"));
	ck_assert_ptr_null(strstr(notices, "rcvbuf"));
	ck_assert_int_eq(mtcp_getconf(&c), 0);
	ck_assert_int_eq(c.num_cores, 4);
	ck_assert_int_eq(c.max_concurrency, 5000);
	ck_assert_int_eq(c.max_num_buffers, 7000);
	ck_assert_int_eq(c.rcvbuf_size, 8192);
	ck_assert_int_eq(c.sndbuf_size, 16384);
	ck_assert_int_eq(c.tcp_timeout, -1);
	ck_assert_int_eq(c.tcp_timewait, 2000);
}
END_TEST

/* What is wrong, where, and that nothing was taken over. */
START_TEST(errors_name_the_place)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "num_cores = 2\nmax_concurency = 5\n", ":2: unknown key `max_concurency'" },
		{ "num_cores = none\n", ":1: `num_cores' cannot be `none'" },
		{ "num_cores = 0\n", ":1: `num_cores' cannot be `0'" },
		{ "rcvbuf = 12\n", ":1: `rcvbuf' cannot be `12'" },
		{ "max_concurrency = 99999999999\n", ":1: `max_concurrency' cannot be" },
		{ "max_concurrency = 2000000\n", "max_concurrency must be between" },
		{ "nonsense\n", ":1: `nonsense' is no `key = value'" },
		{ "mos {\n bogus = 1\n}\n", ":2: unknown key `bogus'" },
		{ "mos {\n rmem_size = 8192\n", "a block is not closed" },
		{ "mos {\n}\n}\n", ":3: there is no block to close" },
		{ "other {\n}\n", ":1: unknown block `other'" },
		{ "application {\n cpu_mask = xyz\n}\n", ":2: `cpu_mask' cannot be `xyz'" },
		{ "key = 1\nmos {\n}\n", ":1: `key = 1' is no `key = value'" },
	};
	struct mtcp_conf before, after;

	mtcp_getconf(&before);
	ck_assert_int_eq(init_with(cases[_i].text), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_msg(strstr(mtcp_error_text(), cases[_i].error) != NULL, "%s", mtcp_error_text());
	mtcp_getconf(&after);
	ck_assert_mem_eq(&before, &after, sizeof(before));
}
END_TEST

START_TEST(block_file)
{
	struct mtcp_conf c;

	ck_assert_int_eq(init_with("application {\n  type = monitor\n  run = ./abacus -a \"two words\"\n  cpu_mask = 0x3\n"
				   "  ip_forward = 1\n}\n\nmos {\n  forward = 1\n  max_concurrency = 1234\n  rmem_size = 4096\n"
				   "  wmem_size = 2048\n  tcp_tw_interval = 1\n  tcp_timeout = 5\n"
				   "  netdev { dpdk0 0x000F\n }\n  arp_table {\n  10.0.0.1/32 00:00:00:00:00:01\n  }\n}\n"), 0);
	ck_assert_ptr_nonnull(strstr(notices, "`forward' is ignored"));
	ck_assert_ptr_nonnull(strstr(notices, "block `netdev' is ignored"));
	ck_assert_int_eq(mtcp_getconf(&c), 0);
	ck_assert_int_eq(c.max_concurrency, 1234);
	ck_assert_int_eq(c.rcvbuf_size, 4096);
	ck_assert_int_eq(c.sndbuf_size, 2048);
	ck_assert_int_eq(c.tcp_timewait, 1000);
	ck_assert_int_eq(c.tcp_timeout, 5000);
}
END_TEST

START_TEST(setconf)
{
	struct mtcp_conf c = { .num_cores = 3, .tcp_timewait = 0, .rcvbuf_size = -5 }, now;

	ck_assert_int_eq(mtcp_setconf(NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(mtcp_setconf(&c), 0); /* only what is above 0 */
	mtcp_getconf(&now);
	ck_assert_int_eq(now.num_cores, 3);
	ck_assert_int_eq(now.max_concurrency, 10000);
	ck_assert_int_eq(now.rcvbuf_size, 0);
	c.max_concurrency = 2000000;
	ck_assert_int_eq(mtcp_setconf(&c), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(names_of_events)
{
	ck_assert_str_eq(EventToString(0), "NONE");
	ck_assert_str_eq(EventToString(MTCP_EPOLLIN), "IN");
	ck_assert_str_eq(EventToString(MTCP_EPOLLOUT | MTCP_EPOLLRDHUP), "OUT|RDHUP");
	ck_assert_str_eq(EventToString(UINT32_MAX), "IN|PRI|OUT|ERR|HUP|RDNORM|RDBAND|WRNORM|WRBAND|MSG|RDHUP|ONESHOT|ET");
}
END_TEST

START_TEST(no_steering_yet)
{
	errno = 0;
	ck_assert_int_eq(GetRSSCPUCore(1, 2, 3, 4, 1), -1);
	ck_assert_int_eq(errno, ENOTCONN);
	ck_assert_uint_eq(GetRSSHash(1, 2, 3, 4), 0);
	ck_assert_int_eq(mtcp_core_affinitize(-1), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shim_conf");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, defaults);
	tcase_add_test(t, flat_file);
	tcase_add_loop_test(t, errors_name_the_place, 0, 13);
	tcase_add_test(t, block_file);
	tcase_add_test(t, setconf);
	tcase_add_test(t, names_of_events);
	tcase_add_test(t, no_steering_yet);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
