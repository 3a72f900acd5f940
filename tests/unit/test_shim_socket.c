/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libshim against a stackd played by hand: attaching, ids, listening, accepting, connecting, options, the end of stackd, fork.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libshim/include/mtcp/mtcp_epoll.h"
#include "libshim/include/mtcp/rss.h"
#include "tests/unit/shim_daemon.h"

static struct sd_daemon d;
static mctx_t m;
static struct sd_lane *lane;

#define FAILS(call, err) \
	do { \
		errno = 0; \
		ck_assert_int_eq(call, -1); \
		ck_assert_int_eq(errno, err); \
	} while (0)

static void up(const struct sd_conf *conf)
{
	sd_start(&d, conf);
	m = mtcp_create_context(0);
	ck_assert_msg(m != NULL, "%s", mtcp_error_text());
	lane = &sd_client(&d, 0)->lane[0];
}

/* stackd first: nobody plays it any more, and the context does not wait for answers */
static void down(void)
{
	sd_stop(&d);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
}

static struct sockaddr_in addr(const char *ip, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	ck_assert_int_eq(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	return a;
}

static int bind_to(int fd, const char *ip, uint16_t port)
{
	struct sockaddr_in a = addr(ip, port);

	return mtcp_bind(m, fd, (struct sockaddr *)&a, sizeof(a));
}

static int connect_to(int fd, const char *ip, uint16_t port)
{
	struct sockaddr_in a = addr(ip, port);

	return mtcp_connect(m, fd, (struct sockaddr *)&a, sizeof(a));
}

static int new_socket(void)
{
	int fd = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static int new_listener(uint16_t port)
{
	int fd = new_socket();

	ck_assert_int_eq(bind_to(fd, "0.0.0.0", port), 0);
	ck_assert_int_eq(mtcp_listen(m, fd, 10), 0);
	return fd;
}

/* --- Attaching ------------------------------------------------------------------------------------------------------------ */

START_TEST(nobody_answers)
{
	setenv("STACKD_SOCKET", "/tmp/shim-test-nobody.sock", 1);
	ck_assert_ptr_null(mtcp_create_context(0));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_nonnull(strstr(mtcp_error_text(), "/tmp/shim-test-nobody.sock"));
	ck_assert_ptr_null(mtcp_create_context(-1));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* The socket is there, or behind a folder, and closed to this user: in a process of its own, since root may open everything. */
START_TEST(socket_that_may_not_be_opened)
{
	char folder[] = "/tmp/shim-test-folder.XXXXXX", path[64];
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sock", folder);
	fd = ctl_listen_at(path, 0040);
	ck_assert_int_ge(fd, 0);
	setenv("STACKD_SOCKET", path, 1);
	ck_assert_int_eq(chmod(folder, _i == 0 ? 0755 : 0), 0);
	ck_assert(geteuid() != 0 || seteuid(65534) == 0);
	ck_assert_ptr_null(mtcp_create_context(0));
	ck_assert_int_eq(errno, EACCES);
	ck_assert_ptr_nonnull(strstr(mtcp_error_text(), path));
	ck_assert_ptr_nonnull(strstr(mtcp_error_text(), _i == 0 ? "its mode is 0040" : "may not look into a folder"));
	ck_assert(getuid() != 0 || seteuid(0) == 0);
	ck_assert_int_eq(chmod(folder, 0700), 0);
	unlink(path);
	rmdir(folder);
	close(fd);
}
END_TEST

START_TEST(refused_in_words)
{
	sd_start(&d, &(struct sd_conf){ .refuse = EACCES, .text = "no rule is for you" });
	ck_assert_ptr_null(mtcp_create_context(0));
	ck_assert_int_eq(errno, EACCES);
	ck_assert_str_eq(mtcp_error_text(), "no rule is for you");
	sd_stop(&d);
}
END_TEST

START_TEST(wrong_language)
{
	static const struct sd_conf conf[] = { { .abi = 99 }, { .no_lanes = true }, { .bad_slots = true } };

	sd_start(&d, &conf[_i]);
	ck_assert_ptr_null(mtcp_create_context(0));
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_ptr_nonnull(strstr(mtcp_error_text(), "matching versions"));
	sd_stop(&d);
}
END_TEST

START_TEST(greeting)
{
	up(&(struct sd_conf){ .engines = 3 });
	ck_assert_uint_eq(d.hello.magic, SHM_MAGIC);
	ck_assert_uint_eq(d.hello.cmd_size, sizeof(struct cmd));
	ck_assert_str_eq(d.hello.name, program_invocation_short_name);
	ck_assert_int_eq(m->cpu, 0);
	down();
}
END_TEST

START_TEST(dead_contexts)
{
	mctx_t gone;

	FAILS(mtcp_socket(NULL, AF_INET, SOCK_STREAM, 0), EACCES);
	up(NULL);
	gone = m;
	down();
	FAILS(mtcp_socket(gone, AF_INET, SOCK_STREAM, 0), EACCES);
	FAILS(mtcp_destroy_context(gone), EACCES);
	FAILS((int)mtcp_read(gone, 0, (char *)&gone, 1), EACCES);
}
END_TEST

/* Everything is given back: descriptors and mappings are as many as before. */
static int count_lines(const char *path)
{
	char line[4096];
	FILE *f = fopen(path, "r");
	int n = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, "memfd:") != NULL;
	if (f != NULL)
		fclose(f);
	return n;
}

START_TEST(nothing_stays)
{
	for (int i = 0; i < 3; i++) {
		struct sd_conn c;
		int l;

		up(&(struct sd_conf){ .engines = 2 });
		l = new_listener(80);
		sd_conn_init(&c, lane, 0, 1);
		sd_accept(&c, d.bind.cookie, 1000);
		ck_assert_int_ge(mtcp_accept(m, l, NULL, NULL), 0);
		ck_assert_int_ge(mtcp_epoll_create(m, 1), 0);
		sd_conn_fini(&c);
		down();
		ck_assert_int_eq(count_lines("/proc/self/maps"), 0);
	}
}
END_TEST

/* --- Ids -------------------------------------------------------------------------------------------------------------------- */

START_TEST(ids_are_dense)
{
	struct mtcp_conf conf;
	int fd;

	mtcp_getconf(&conf);
	conf.max_concurrency = 100;
	ck_assert_int_eq(mtcp_setconf(&conf), 0);
	up(NULL);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(i % 2 ? mtcp_epoll_create(m, 1) : new_socket(), i);
	FAILS(mtcp_socket(m, AF_INET, SOCK_STREAM, 0), ENFILE);
	FAILS(mtcp_epoll_create(m, 1), ENFILE);
	ck_assert_int_eq(mtcp_close(m, 70), 0);
	ck_assert_int_eq(mtcp_close(m, 5), 0);
	ck_assert_int_eq(new_socket(), 5);
	fd = new_socket();
	ck_assert_int_eq(fd, 70);
	down();
	conf.max_concurrency = 10000;
	mtcp_setconf(&conf);
}
END_TEST

START_TEST(bad_ids)
{
	struct sockaddr_in a = addr("10.0.0.2", 80);
	struct mtcp_epoll_event e = { .events = MTCP_EPOLLIN };
	socklen_t len = sizeof(a);
	int ep, v = 0;
	char b;

	up(NULL);
	ep = mtcp_epoll_create(m, 1);
	for (int k = 0; k < 2; k++) {
		int fd = k == 0 ? 77 : ep, err = k == 0 ? EBADF : ENOTSOCK;

		FAILS(bind_to(fd, "0.0.0.0", 80), err);
		FAILS(mtcp_listen(m, fd, 1), err);
		FAILS(mtcp_accept(m, fd, NULL, NULL), err);
		FAILS(connect_to(fd, "10.0.0.2", 80), err);
		FAILS((int)mtcp_read(m, fd, &b, 1), err);
		FAILS((int)mtcp_write(m, fd, &b, 1), err);
		FAILS((int)mtcp_readv(m, fd, NULL, 0), err);
		FAILS(mtcp_shutdown(m, fd, SHUT_WR), err);
		FAILS(mtcp_abort(m, fd), err);
		FAILS(mtcp_getsockname(m, fd, (struct sockaddr *)&a, &len), err);
		FAILS(mtcp_getpeername(m, fd, (struct sockaddr *)&a, &len), err);
		FAILS(mtcp_setsockopt(m, fd, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v)), err);
		FAILS(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_ERROR, &v, &len), err);
		FAILS(mtcp_ioctl(m, fd, FIONREAD, &v), k == 0 ? EBADF : EINVAL);
	}
	FAILS(mtcp_close(m, 77), EBADF);
	FAILS(mtcp_close(m, -1), EBADF);
	FAILS(mtcp_epoll_ctl(m, 77, MTCP_EPOLL_CTL_ADD, ep, &e), EBADF);
	FAILS(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD, 77, &e), EBADF);
	down();
}
END_TEST

START_TEST(kinds_of_sockets)
{
	up(NULL);
	FAILS(mtcp_socket(m, AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
	FAILS(mtcp_socket(m, AF_INET, SOCK_DGRAM, 0), EINVAL);
	FAILS(mtcp_socket(m, AF_INET, SOCK_RAW, 0), EINVAL);
	FAILS(mtcp_socket(m, AF_INET, SOCK_STREAM, IPPROTO_UDP), EINVAL);
	ck_assert_int_eq(mtcp_socket(m, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), 0);
	ck_assert_int_eq(mtcp_socket(m, AF_INET6, SOCK_STREAM, 0), 1);
	down();
}
END_TEST

/* --- Listening -------------------------------------------------------------------------------------------------------------- */

START_TEST(bind_and_listen)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int fd, on = 1;

	up(NULL);
	fd = new_socket();
	FAILS(mtcp_listen(m, fd, 1), EINVAL);
	FAILS(mtcp_bind(m, fd, NULL, 16), EINVAL);
	ck_assert_int_eq(mtcp_setsockopt(m, fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	d.bind_err = EADDRINUSE;
	FAILS(bind_to(fd, "10.0.0.1", 80), EADDRINUSE);
	d.bind_err = 0;
	ck_assert_int_eq(bind_to(fd, "10.0.0.1", 81), 0);
	ck_assert_uint_eq(d.bind.port, 81);
	ck_assert_uint_eq(d.bind.flags, BIND_REUSEPORT);
	ck_assert_mem_eq(d.bind.addr.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	FAILS(bind_to(fd, "10.0.0.1", 82), EINVAL);
	FAILS(mtcp_accept(m, fd, NULL, NULL), EINVAL);
	ck_assert_int_eq(mtcp_listen(m, fd, 77), 0);
	ck_assert_uint_eq(d.listen.backlog, 77);
	ck_assert_uint_eq(d.listen.cookie, d.bind.cookie);
	ck_assert_int_eq(mtcp_getsockname(m, fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_int_eq(ntohs(a.sin_port), 81);
	FAILS(mtcp_accept(m, fd, NULL, NULL), EAGAIN);
	FAILS(connect_to(fd, "10.0.0.2", 80), EINVAL);
	ck_assert_int_eq(mtcp_close(m, fd), 0);
	sd_until(&d, &d.unlistens, 1);

	/* some port: known as soon as somebody asks */
	fd = new_socket();
	ck_assert_int_eq(bind_to(fd, "0.0.0.0", 0), 0);
	ck_assert_uint_eq(d.binds, 2);
	ck_assert_int_eq(mtcp_getsockname(m, fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_int_eq(ntohs(a.sin_port), 40000);
	ck_assert_int_eq(mtcp_close(m, fd), 0);
	sd_until(&d, &d.unbinds, 1);
	down();
}
END_TEST

/* --- IPv6 ----------------------------------------------------------------------------------------------------------------- */

static struct sockaddr_in6 addr6(const char *ip, uint16_t port, uint32_t scope)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope };

	ck_assert_int_eq(inet_pton(AF_INET6, ip, &a.sin6_addr), 1);
	return a;
}

static int bind6(int fd, const char *ip, uint16_t port, uint32_t scope)
{
	struct sockaddr_in6 a = addr6(ip, port, scope);

	return mtcp_bind(m, fd, (struct sockaddr *)&a, sizeof(a));
}

static int connect6(int fd, const char *ip, uint16_t port, uint32_t scope)
{
	struct sockaddr_in6 a = addr6(ip, port, scope);

	return mtcp_connect(m, fd, (struct sockaddr *)&a, sizeof(a));
}

static int new_socket6(void)
{
	int fd = mtcp_socket(m, AF_INET6, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* ipv6(7) and bind(2) of Linux. */
START_TEST(bind_of_ipv6)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);
	int fd, on = 1, got = 7;

	up(NULL);
	fd = new_socket6();
	FAILS(bind_to(fd, "10.0.0.1", 80), EAFNOSUPPORT);
	FAILS(bind6(fd, "ff02::1", 80, 1), EINVAL);
	FAILS(bind6(fd, "fe80::1", 80, 0), EINVAL); /* of which port? */
	FAILS(bind6(fd, "fe80::1", 80, 256), EINVAL);
	ck_assert_int_eq(bind6(fd, "::", 80, 0), 0);
	ck_assert_uint_eq(d.bind.flags, 0);
	ck_assert_mem_eq(d.bind.addr.b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	FAILS(mtcp_setsockopt(m, fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), EINVAL); /* too late */

	fd = new_socket6();
	ck_assert_int_eq(bind6(fd, "fe80::1", 81, 2), 0);
	ck_assert_mem_eq(d.bind.addr.b, "\xfe\x80\0\2\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	ck_assert_int_eq(mtcp_getsockname(m, fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_uint_eq(len, sizeof(a));
	ck_assert_uint_eq(a.sin6_scope_id, 2);
	ck_assert_mem_eq(&a.sin6_addr, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);

	fd = new_socket6();
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_IPV6, IPV6_V6ONLY, &got, &(socklen_t){ sizeof(got) }), 0);
	ck_assert_int_eq(got, 0);
	ck_assert_int_eq(mtcp_setsockopt(m, fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_IPV6, IPV6_V6ONLY, &got, &(socklen_t){ sizeof(got) }), 0);
	ck_assert_int_eq(got, 1);
	FAILS(bind6(fd, "::ffff:10.0.0.1", 82, 0), EINVAL);
	FAILS(connect6(fd, "::ffff:10.0.0.2", 82, 0), ENETUNREACH);
	ck_assert_int_eq(bind6(fd, "::", 82, 0), 0);
	ck_assert_uint_eq(d.bind.flags, BIND_V6ONLY);

	fd = new_socket();
	FAILS(mtcp_setsockopt(m, fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), ENOPROTOOPT);
	FAILS(bind6(fd, "::", 83, 0), EAFNOSUPPORT);
	FAILS(connect6(fd, "fd00::2", 83, 0), EAFNOSUPPORT);
	ck_assert_int_eq(bind_to(fd, "0.0.0.0", 83), 0);
	ck_assert_mem_eq(d.bind.addr.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0\0", 16); /* any of IPv4 alone */
	down();
}
END_TEST

/* A socket of IPv6 shows an IPv4 peer mapped. */
START_TEST(accept_on_both_families)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);
	struct sd_conn c;
	char text[64];
	int l, fd;

	up(NULL);
	l = new_socket6();
	ck_assert_int_eq(bind6(l, "::", 80, 0), 0);
	ck_assert_int_eq(mtcp_listen(m, l, 10), 0);
	sd_conn_init(&c, lane, 3, 9);
	sd_accept(&c, d.bind.cookie, 4321);
	fd = mtcp_accept(m, l, (struct sockaddr *)&a, &len);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(len, sizeof(a));
	ck_assert_int_eq(a.sin6_family, AF_INET6);
	ck_assert_str_eq(inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof(text)), "::ffff:10.0.0.2");
	ck_assert_int_eq(mtcp_getsockname(m, fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_str_eq(inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof(text)), "::ffff:10.0.0.1");
	sd_conn_fini(&c);
	down();
}
END_TEST

START_TEST(connect_over_ipv6)
{
	struct cmd cmd;
	int fd;

	up(NULL);
	fd = new_socket6();
	FAILS(connect_to(fd, "10.0.0.2", 80), EAFNOSUPPORT);
	FAILS(connect6(fd, "fe80::2", 80, 0), EINVAL);
	FAILS(connect6(fd, "fd00::2", 80, 0), EINPROGRESS);
	cmd = sd_expect(lane, CMD_CONNECT);
	ck_assert_mem_eq(cmd.connect.dst.b, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
	ck_assert_mem_eq(cmd.connect.src.b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	fd = new_socket6();
	FAILS(connect6(fd, "::ffff:10.0.0.2", 80, 0), EINPROGRESS);
	cmd = sd_expect(lane, CMD_CONNECT);
	ck_assert_mem_eq(cmd.connect.dst.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\2", 16);
	down();
}
END_TEST

START_TEST(accept_one)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	struct sd_conn c;
	struct cmd cmd;
	int l, fd;

	up(NULL);
	l = new_listener(80);
	sd_conn_init(&c, lane, 3, 9);
	sd_accept(&c, d.bind.cookie, 4321);
	FAILS(mtcp_accept4(m, l, NULL, NULL, 1), EINVAL);
	fd = mtcp_accept(m, l, (struct sockaddr *)&a, &len);
	ck_assert_int_eq(fd, 1);
	ck_assert_uint_eq(len, sizeof(a));
	ck_assert_str_eq(inet_ntoa(a.sin_addr), "10.0.0.2");
	ck_assert_int_eq(ntohs(a.sin_port), 4321);
	cmd = sd_expect(lane, CMD_ACCEPTED);
	ck_assert_uint_eq(cmd.accepted.cookie, d.bind.cookie);
	ck_assert_uint_eq(cmd.handle.index, 3);
	ck_assert_int_eq(mtcp_getsockname(m, fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_str_eq(inet_ntoa(a.sin_addr), "10.0.0.1");
	ck_assert_int_eq(mtcp_getpeername(m, fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_str_eq(inet_ntoa(a.sin_addr), "10.0.0.2");
	FAILS(mtcp_getpeername(m, l, (struct sockaddr *)&a, &len), ENOTCONN);
	ck_assert_uint_eq(mtcp_get_connection_cnt(m), 1);
	sd_conn_fini(&c);
	down();
}
END_TEST

/* Several listeners, and connections for one that is not there (any more). */
START_TEST(accept_by_cookie)
{
	struct sd_conn a, b, c;
	uint32_t first, second;
	struct cmd cmd;
	int l1, l2;

	up(NULL);
	l1 = new_listener(80);
	first = d.bind.cookie;
	l2 = new_listener(81);
	second = d.bind.cookie;
	sd_conn_init(&a, lane, 0, 1);
	sd_conn_init(&b, lane, 1, 1);
	sd_conn_init(&c, lane, 2, 1);
	sd_accept(&a, first, 1);
	sd_accept(&b, second, 2);
	sd_accept(&c, second + 12345, 3);
	FAILS(mtcp_accept(m, 77, NULL, NULL), EBADF);
	ck_assert_int_eq(mtcp_accept(m, l2, NULL, NULL), 2);
	FAILS(mtcp_accept(m, l2, NULL, NULL), EAGAIN);
	cmd = sd_expect(lane, CMD_CLOSE);
	ck_assert_uint_eq(cmd.handle.index, 2);
	ck_assert_int_eq(cmd.close.linger_s, 0);
	sd_last(&c);
	sd_expect(lane, CMD_ACCEPTED);

	/* a listener that goes takes with it what nobody has accepted */
	ck_assert_int_eq(mtcp_close(m, l1), 0);
	cmd = sd_expect(lane, CMD_CLOSE);
	ck_assert_uint_eq(cmd.handle.index, 0);
	ck_assert_int_eq(cmd.close.linger_s, 0);
	sd_last(&a);
	ck_assert_int_eq(mtcp_accept(m, l2, NULL, NULL), -1);
	sd_conn_fini(&b);
	down();
}
END_TEST

START_TEST(no_id_for_an_accepted_one)
{
	struct mtcp_conf conf;
	struct sd_conn c;
	int l, spare;

	mtcp_getconf(&conf);
	conf.max_concurrency = 2;
	mtcp_setconf(&conf);
	up(NULL);
	l = new_listener(80);
	spare = new_socket();
	sd_conn_init(&c, lane, 0, 1);
	sd_accept(&c, d.bind.cookie, 1);
	FAILS(mtcp_accept(m, l, NULL, NULL), ENFILE);
	mtcp_close(m, spare);
	ck_assert_int_eq(mtcp_accept(m, l, NULL, NULL), spare); /* it was not lost */
	sd_conn_fini(&c);
	down();
	conf.max_concurrency = 10000;
	mtcp_setconf(&conf);
}
END_TEST

struct late {
	struct sd_conn c;
	uint32_t cookie;
};

static void *accept_later(void *arg)
{
	struct late *l = arg;

	/* wait until the client sleeps */
	while (bell_look(&lane->up->client_asleep) == 0)
		sched_yield();
	sd_accept(&l->c, l->cookie, 1);
	return NULL;
}

START_TEST(accept_blocks)
{
	struct late late;
	pthread_t t;
	int l, off = 0, fd, on;

	up(NULL);
	l = new_listener(80);
	ck_assert_int_eq(mtcp_ioctl(m, l, FIONBIO, &off), 0);
	sd_conn_init(&late.c, lane, 0, 1);
	late.cookie = d.bind.cookie;
	ck_assert_int_eq(pthread_create(&t, NULL, accept_later, &late), 0);
	fd = mtcp_accept4(m, l, NULL, NULL, _i == 0 ? SOCK_NONBLOCK : 0);
	ck_assert_int_eq(fd, 1);
	pthread_join(t, NULL);
	if (_i == 0)
		FAILS((int)mtcp_read(m, fd, (char *)&on, 1), EAGAIN);
	sd_conn_fini(&late.c);
	down();
}
END_TEST

/* --- Connecting ------------------------------------------------------------------------------------------------------------- */

START_TEST(connect_one)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	struct sd_conn c;
	struct cmd cmd;
	int fd;

	up(NULL);
	fd = new_socket();
	FAILS(mtcp_connect(m, fd, NULL, 16), EFAULT);
	FAILS(mtcp_connect(m, fd, (struct sockaddr *)&a, 2), EINVAL);
	FAILS(connect_to(fd, "10.0.0.2", 80), EINPROGRESS);
	cmd = sd_expect(lane, CMD_CONNECT);
	ck_assert_uint_eq(cmd.handle.index, HANDLE_ACTIVE);
	ck_assert_uint_eq(cmd.connect.dport, 80);
	ck_assert_uint_eq(cmd.connect.sport, 0);
	ck_assert_mem_eq(cmd.connect.dst.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\2", 16);
	ck_assert_mem_eq(cmd.connect.src.b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	FAILS(connect_to(fd, "10.0.0.2", 80), EALREADY);
	FAILS((int)mtcp_write(m, fd, "x", 1), EAGAIN);
	FAILS((int)mtcp_read(m, fd, (char *)&a, 1), EAGAIN);
	FAILS(mtcp_getpeername(m, fd, (struct sockaddr *)&a, &len), ENOTCONN);
	FAILS(mtcp_shutdown(m, fd, SHUT_WR), ENOTCONN);
	sd_open(&c, lane, &cmd);
	ck_assert_int_eq(connect_to(fd, "10.0.0.2", 80), 0);
	FAILS(connect_to(fd, "10.0.0.2", 80), EISCONN);
	ck_assert_int_eq(mtcp_getsockname(m, fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_int_eq(ntohs(a.sin_port), 50000);
	ck_assert_int_eq(mtcp_write(m, fd, "x", 1), 1);
	cmd = sd_expect(lane, CMD_SEND);
	sd_apply(&c, &cmd);
	sd_conn_fini(&c);
	down();
}
END_TEST

static void *answer_info(void *arg)
{
	struct cmd cmd = sd_expect(lane, CMD_INFO);
	struct sock_info i = { .state = 1, .rtt = 1234, .min_rtt = 99, .pmtu = 1400 };
	struct event e = { .op = EV_INFO, .handle = cmd.handle };

	(void)arg;
	for (int old = 1; old >= 0; old--) { /* an answer to another question is none */
		i.snd_cwnd = old ? 1 : 17;
		for (unsigned part = 0; part < SOCK_INFO_PARTS; part++) {
			e.info.token = cmd.info.token - (uint32_t)old;
			e.info.part = part;
			memcpy(e.info.data, (char *)&i + part * SOCK_INFO_PART, SOCK_INFO_PART);
			sd_put(lane, &e);
		}
		e.info.part = 4000000000u;
		sd_put(lane, &e);
	}
	return NULL;
}

/* TCP_INFO waits for the engine's answer; who has no connection knows it itself. */
START_TEST(info)
{
	struct event e = { .op = EV_STATE, .flags = EVF_ERROR };
	unsigned char all[512];
	struct tcp_info i;
	socklen_t len = sizeof(i);
	struct sd_conn c;
	pthread_t t;
	int fd, fresh, v;

	up(NULL);
	fd = new_socket();
	fresh = new_socket();
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_INFO, &i, &len), 0);
	ck_assert_uint_eq(i.tcpi_state, TCP_CLOSE);
	FAILS(connect_to(fd, "10.0.0.2", 80), EINPROGRESS);
	{
		struct cmd cmd = sd_expect(lane, CMD_CONNECT);

		sd_open(&c, lane, &cmd);
	}
	ck_assert_int_eq(pthread_create(&t, NULL, answer_info, NULL), 0);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_INFO, &i, &len), 0);
	pthread_join(t, NULL);
	ck_assert_uint_eq(len, sizeof(i) < SOCK_INFO_SIZE ? sizeof(i) : SOCK_INFO_SIZE);
	ck_assert_uint_eq(i.tcpi_state, TCP_ESTABLISHED);
	ck_assert_uint_eq(i.tcpi_rtt, 1234);
	ck_assert_uint_eq(i.tcpi_snd_cwnd, 17);
	ck_assert_int_eq(pthread_create(&t, NULL, answer_info, NULL), 0);
	len = sizeof(all);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_INFO, all, &len), 0);
	pthread_join(t, NULL);
	ck_assert_uint_eq(len, SOCK_INFO_SIZE);
	ck_assert_int_eq(pthread_create(&t, NULL, answer_info, NULL), 0);
	len = sizeof(v);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_IP, IP_MTU, &v, &len), 0);
	pthread_join(t, NULL);
	ck_assert_int_eq(v, 1400);
	FAILS(mtcp_getsockopt(m, fd, IPPROTO_IPV6, IPV6_MTU, &v, &len), ENOPROTOOPT);
	FAILS(mtcp_getsockopt(m, fresh, IPPROTO_IP, IP_MTU, &v, &len), ENOTCONN);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_IP, IP_MTU_DISCOVER, &v, &len), 0);
	ck_assert_int_eq(v, IP_PMTUDISC_WANT);
	v = IP_PMTUDISC_OMIT + 1;
	FAILS(mtcp_setsockopt(m, fd, IPPROTO_IP, IP_MTU_DISCOVER, &v, sizeof(v)), EINVAL);
	e.handle = c.handle;
	e.state.err = ECONNRESET;
	e.state.rx_chunk = BYTES_NONE;
	sd_put(lane, &e);
	mtcp_read(m, fd, (char *)all, 1);
	len = sizeof(i);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_INFO, &i, &len), 0);
	ck_assert_uint_eq(i.tcpi_state, TCP_CLOSE);
	sd_conn_fini(&c);
	down();
}
END_TEST

START_TEST(connect_fails_and_again)
{
	struct cmd cmd;
	struct event e = { .op = EV_STATE, .flags = EVF_ERROR };
	struct sd_conn c;
	socklen_t len = sizeof(int);
	uint32_t old;
	int fd, v;

	up(NULL);
	fd = new_socket();
	FAILS(connect_to(fd, "10.0.0.2", 80), EINPROGRESS);
	cmd = sd_expect(lane, CMD_CONNECT);
	e.handle = cmd.handle;
	e.state.err = ECONNREFUSED;
	e.state.rx_chunk = BYTES_NONE;
	sd_put(lane, &e);
	FAILS((int)mtcp_read(m, fd, (char *)&v, 1), ECONNREFUSED);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	ck_assert_int_eq(v, 0); /* told once */
	FAILS((int)mtcp_write(m, fd, "x", 1), EPIPE);

	/* the same socket may try again; the old name is given back, and not used anew before the engine says so */
	old = cmd.handle.index;
	FAILS(connect_to(fd, "10.0.0.3", 81), EINPROGRESS);
	cmd = sd_expect(lane, CMD_CLOSE);
	ck_assert_uint_eq(cmd.handle.index, old);
	cmd = sd_expect(lane, CMD_CONNECT);
	ck_assert_uint_ne(cmd.handle.index, old);
	sd_open(&c, lane, &cmd);
	ck_assert_int_eq(mtcp_write(m, fd, "x", 1), 1); /* it finds the news itself */
	sd_conn_fini(&c);
	down();
}
END_TEST

static void *open_later(void *arg)
{
	struct cmd cmd = sd_expect(lane, CMD_CONNECT);
	struct event e = { .op = EV_STATE, .flags = EVF_ERROR, .handle = cmd.handle };

	if (*(int *)arg == 0) {
		struct sd_conn c;

		sd_open(&c, lane, &cmd);
		return NULL;
	}
	e.state.err = (uint32_t)*(int *)arg;
	sd_put(lane, &e);
	return NULL;
}

START_TEST(connect_blocks)
{
	int fd, off = 0, how[] = { 0, ETIMEDOUT };
	pthread_t t;

	up(NULL);
	fd = new_socket();
	mtcp_ioctl(m, fd, FIONBIO, &off);
	ck_assert_int_eq(pthread_create(&t, NULL, open_later, &how[_i]), 0);
	if (_i == 0)
		ck_assert_int_eq(connect_to(fd, "10.0.0.2", 80), 0);
	else
		FAILS(connect_to(fd, "10.0.0.2", 80), ETIMEDOUT);
	pthread_join(t, NULL);
	down();
}
END_TEST

/* A port that the program chose decides the engine; one that nobody chose is the home engine's affair. */
START_TEST(connect_from_a_port)
{
	struct sockaddr_in local = addr("10.0.0.1", 0), peer = addr("10.0.0.2", 80);

	up(&(struct sd_conf){ .engines = 4 });
	for (uint16_t port = 2000; port < 2020; port++) {
		int engine = GetRSSCPUCore(peer.sin_addr.s_addr, local.sin_addr.s_addr, peer.sin_port, htons(port), 4);
		int fd = new_socket();
		struct cmd cmd;

		ck_assert_int_eq(bind_to(fd, "10.0.0.1", port), 0);
		FAILS(connect_to(fd, "10.0.0.2", 80), EINPROGRESS);
		cmd = sd_expect(&sd_client(&d, 0)->lane[engine], CMD_CONNECT);
		ck_assert_uint_eq(cmd.connect.sport, port);
	}
	down();
}
END_TEST

START_TEST(source_pool)
{
	in_addr_t base = htonl(0x0a000005);
	struct cmd cmd;

	up(NULL);
	FAILS(mtcp_init_rss(m, base, 0, 0, 0), EINVAL);
	ck_assert_int_eq(mtcp_init_rss(m, base, 3, inet_addr("10.0.0.2"), htons(80)), 0);
	for (int i = 0; i < 6; i++) {
		FAILS(connect_to(new_socket(), "10.0.0.2", 80), EINPROGRESS);
		cmd = sd_expect(lane, CMD_CONNECT);
		ck_assert_uint_eq(ntohl(cmd.connect.src.w[3]), 0x0a000005u + (unsigned)i % 3);
	}
	FAILS(connect_to(new_socket(), "10.0.0.3", 80), EINPROGRESS);
	cmd = sd_expect(lane, CMD_CONNECT);
	ck_assert_uint_eq(cmd.connect.src.w[3], 0);
	down();
}
END_TEST

START_TEST(names_run_out)
{
	struct cmd cmd[3];
	struct sd_conn c;
	int fd[3];

	up(&(struct sd_conf){ .max_sockets = 2 });
	for (int i = 0; i < 2; i++) {
		fd[i] = new_socket();
		FAILS(connect_to(fd[i], "10.0.0.2", 80), EINPROGRESS);
		cmd[i] = sd_expect(lane, CMD_CONNECT);
	}
	fd[2] = new_socket();
	FAILS(connect_to(fd[2], "10.0.0.2", 80), ENFILE);
	mtcp_close(m, fd[0]);
	sd_expect(lane, CMD_CLOSE);
	FAILS(connect_to(fd[2], "10.0.0.2", 80), ENFILE); /* the engine has not answered */
	sd_conn_init(&c, lane, cmd[0].handle.index, cmd[0].handle.gen);
	sd_last(&c);
	FAILS(connect_to(fd[1], "10.0.0.2", 80), EALREADY); /* looks at the ring */
	FAILS(connect_to(fd[2], "10.0.0.2", 80), EINPROGRESS);
	cmd[2] = sd_expect(lane, CMD_CONNECT);
	ck_assert_uint_eq(cmd[2].handle.index, cmd[0].handle.index);
	ck_assert_uint_eq(cmd[2].handle.gen, cmd[0].handle.gen + 1);
	down();
}
END_TEST

/* --- Options ---------------------------------------------------------------------------------------------------------------- */

START_TEST(options)
{
	struct linger lg = { 1, 5 };
	socklen_t len = sizeof(int);
	struct cmd cmd;
	char name[16];
	int fd, v = 1;

	up(NULL);
	fd = new_socket();
	ck_assert_int_eq(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v)), 0);
	ck_assert_int_eq(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
	FAILS(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_CONGESTION, "vegas", 5), ENOENT);
	FAILS(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ 0 }, sizeof(v)), EINVAL);
	FAILS(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_NODELAY, &v, 1), EINVAL);
	FAILS(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_NODELAY, NULL, 4), EFAULT);
	FAILS(mtcp_setsockopt(m, fd, SOL_SOCKET, SO_BROADCAST, &v, sizeof(v)), ENOSYS);
	FAILS(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_BROADCAST, &v, &len), ENOSYS);
	ck_assert_int_eq(mtcp_setsockopt(m, fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)), 0);
	ck_assert(sd_idle(lane)); /* there is nobody to tell yet */
	FAILS(connect_to(fd, "10.0.0.2", 80), EINPROGRESS);
	sd_expect(lane, CMD_CONNECT);
	cmd = sd_expect(lane, CMD_SETOPT);
	ck_assert_uint_eq(cmd.opt.name, OPT_NODELAY);
	cmd = sd_expect(lane, CMD_SETOPT);
	ck_assert_uint_eq(cmd.opt.name, OPT_CONGESTION);
	ck_assert_uint_eq(cmd.opt.value, CC_RENO);
	v = 30;
	ck_assert_int_eq(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_KEEPIDLE, &v, sizeof(v)), 0);
	cmd = sd_expect(lane, CMD_SETOPT);
	ck_assert_uint_eq(cmd.opt.name, OPT_KEEPIDLE);
	ck_assert_uint_eq(cmd.opt.value, 30);
	v = 0;
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_KEEPIDLE, &v, &len), 0);
	ck_assert_int_eq(v, 30);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_KEEPCNT, &v, &len), 0);
	ck_assert_int_eq(v, 9);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_RCVBUF, &v, &len), 0);
	ck_assert_int_eq(v, 4 << 20);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_TYPE, &v, &len), 0);
	ck_assert_int_eq(v, SOCK_STREAM);
	len = sizeof(name);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
	ck_assert_str_eq(name, "reno");
	len = sizeof(lg);
	memset(&lg, 0, sizeof(lg));
	ck_assert_int_eq(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_LINGER, &lg, &len), 0);
	ck_assert_int_eq(lg.l_onoff, 1);
	ck_assert_int_eq(lg.l_linger, 5);
	mtcp_close(m, fd);
	cmd = sd_expect(lane, CMD_CLOSE);
	ck_assert_int_eq(cmd.close.linger_s, 5);
	down();
}
END_TEST

START_TEST(listeners_options_are_inherited)
{
	struct sd_conn c;
	struct cmd cmd;
	socklen_t len = sizeof(int);
	int l, fd, v = 1;

	up(NULL);
	l = new_listener(80);
	mtcp_setsockopt(m, l, IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v));
	sd_conn_init(&c, lane, 0, 1);
	sd_accept(&c, d.bind.cookie, 1);
	fd = mtcp_accept(m, l, NULL, NULL);
	sd_expect(lane, CMD_ACCEPTED);
	cmd = sd_expect(lane, CMD_SETOPT);
	ck_assert_uint_eq(cmd.opt.name, OPT_NODELAY);
	v = 0;
	mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_NODELAY, &v, &len);
	ck_assert_int_eq(v, 1);
	mtcp_getsockopt(m, l, SOL_SOCKET, SO_ACCEPTCONN, &v, &len);
	ck_assert_int_eq(v, 1);
	sd_conn_fini(&c);
	down();
}
END_TEST

START_TEST(buffers_of_the_configuration)
{
	struct mtcp_conf conf, was;
	struct cmd cmd;

	mtcp_getconf(&was);
	conf = was;
	conf.rcvbuf_size = 8192;
	mtcp_setconf(&conf);
	up(NULL);
	FAILS(connect_to(new_socket(), "10.0.0.2", 80), EINPROGRESS);
	sd_expect(lane, CMD_CONNECT);
	cmd = sd_expect(lane, CMD_SETOPT);
	ck_assert_uint_eq(cmd.opt.name, OPT_RCVBUF);
	ck_assert_uint_eq(cmd.opt.value, 8192);
	down();
}
END_TEST

/* --- The end of stackd -------------------------------------------------------------------------------------------------------- */

START_TEST(stackd_dies)
{
	struct mtcp_epoll_event e[8], ev = { .events = MTCP_EPOLLIN };
	struct sd_conn c;
	int l, fd, ep, n;
	mctx_t second;
	struct sd_daemon d2;

	up(NULL);
	l = new_listener(80);
	sd_conn_init(&c, lane, 0, 1);
	sd_accept(&c, d.bind.cookie, 1);
	fd = mtcp_accept(m, l, NULL, NULL);
	ep = mtcp_epoll_create(m, 8);
	ev.data.sockid = fd;
	ck_assert_int_eq(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD, fd, &ev), 0);
	if (_i == 1) {
		sd_detach(&d.client[0], EPROTO, "it lies");
	} else {
		sd_conn_fini(&c);
		sd_stop(&d);
	}
	n = mtcp_epoll_wait(m, ep, e, 8, -1);
	ck_assert_int_eq(n, 1);
	ck_assert_uint_eq(e[0].events & (MTCP_EPOLLERR | MTCP_EPOLLHUP), MTCP_EPOLLERR | MTCP_EPOLLHUP);
	FAILS((int)mtcp_read(m, fd, (char *)&c, 1), ECONNABORTED);
	ck_assert_int_eq(mtcp_read(m, fd, (char *)&c, 1), 0);
	FAILS((int)mtcp_write(m, fd, "x", 1), EPIPE);
	FAILS(mtcp_accept(m, l, NULL, NULL), ESHUTDOWN);
	FAILS(mtcp_socket(m, AF_INET, SOCK_STREAM, 0), ESHUTDOWN);
	ck_assert_int_eq(mtcp_close(m, fd), 0);
	FAILS(mtcp_epoll_wait(m, ep, e, 8, -1), ESHUTDOWN);
	ck_assert_int_eq(mtcp_close(m, l), 0);
	if (_i == 1) {
		sd_conn_fini(&c);
		sd_stop(&d);
	}

	/* a new one serves beside it */
	sd_start(&d2, NULL);
	second = mtcp_create_context(0);
	ck_assert_ptr_nonnull(second);
	ck_assert_int_eq(mtcp_socket(second, AF_INET, SOCK_STREAM, 0), 0);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
	ck_assert_int_eq(mtcp_destroy_context(second), 0);
	sd_stop(&d2);
}
END_TEST

START_TEST(fork_keeps_apart)
{
	char b;
	pid_t pid;
	int fd, status;

	up(NULL);
	fd = new_socket();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		mctx_t mine;
		bool ok = mtcp_read(m, fd, &b, 1) == -1 && errno == EACCES && mtcp_destroy_context(m) == -1 && errno == EACCES;

		mine = mtcp_create_context(0);
		ok = ok && mine != NULL && mtcp_socket(mine, AF_INET, SOCK_STREAM, 0) == 0 && mtcp_destroy_context(mine) == 0;
		_exit(ok ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	FAILS((int)mtcp_read(m, fd, &b, 1), ENOTCONN); /* ours is as it was */
	down();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shim_socket");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, nobody_answers);
	tcase_add_loop_test(t, socket_that_may_not_be_opened, 0, 2);
	tcase_add_test(t, refused_in_words);
	tcase_add_loop_test(t, wrong_language, 0, 3);
	tcase_add_test(t, greeting);
	tcase_add_test(t, dead_contexts);
	tcase_add_test(t, nothing_stays);
	tcase_add_test(t, ids_are_dense);
	tcase_add_test(t, bad_ids);
	tcase_add_test(t, kinds_of_sockets);
	tcase_add_test(t, bind_and_listen);
	tcase_add_test(t, bind_of_ipv6);
	tcase_add_test(t, accept_on_both_families);
	tcase_add_test(t, connect_over_ipv6);
	tcase_add_test(t, accept_one);
	tcase_add_test(t, accept_by_cookie);
	tcase_add_test(t, no_id_for_an_accepted_one);
	tcase_add_loop_test(t, accept_blocks, 0, 2);
	tcase_add_test(t, connect_one);
	tcase_add_test(t, connect_fails_and_again);
	tcase_add_test(t, info);
	tcase_add_loop_test(t, connect_blocks, 0, 2);
	tcase_add_test(t, connect_from_a_port);
	tcase_add_test(t, source_pool);
	tcase_add_test(t, names_run_out);
	tcase_add_test(t, options);
	tcase_add_test(t, listeners_options_are_inherited);
	tcase_add_test(t, buffers_of_the_configuration);
	tcase_add_loop_test(t, stackd_dies, 0, 2);
	tcase_add_test(t, fork_keeps_apart);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
