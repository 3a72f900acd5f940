/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Readiness: level, edge, one shot, several instances, nested ones, kernel descriptors, poll, waiting and being woken, threads
 * that share a context; pipes.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libshim/include/mtcp/mtcp_epoll.h"
#include "tests/unit/shim_daemon.h"

static struct sd_daemon d;
static mctx_t m;
static struct sd_lane *lane;
static struct sd_conn c;
static int listener, fd, ep;
static struct mtcp_epoll_event e[64];
static char buf[100000];

#define FAILS(call, err) \
	do { \
		errno = 0; \
		ck_assert_int_eq(call, -1); \
		ck_assert_int_eq(errno, err); \
	} while (0)

#define READY(n, bits) \
	do { \
		ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 64, 0), n); \
		if ((n) > 0) \
			ck_assert_str_eq(EventToString(e[0].events), bits); \
	} while (0)

static int accepted(struct sd_conn *conn, uint32_t index)
{
	int s;

	sd_conn_init(conn, lane, index, 1);
	sd_accept(conn, d.bind.cookie, (uint16_t)(1000 + index));
	s = mtcp_accept(m, listener, NULL, NULL);
	ck_assert_int_ge(s, 0);
	sd_expect(lane, CMD_ACCEPTED);
	return s;
}

static void up(const struct sd_conf *conf)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };

	sd_start(&d, conf);
	m = mtcp_create_context(0);
	ck_assert_msg(m != NULL, "%s", mtcp_error_text());
	lane = &sd_client(&d, 0)->lane[0];
	listener = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(mtcp_bind(m, listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(mtcp_listen(m, listener, 10), 0);
	fd = accepted(&c, 0);
	ep = mtcp_epoll_create(m, 64);
	ck_assert_int_ge(ep, 0);
}

/* stackd first: nobody plays it any more, and the context does not wait for answers */
static void down(void)
{
	sd_conn_fini(&c);
	sd_stop(&d);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
}

static int ctl(int op, int s, uint32_t events)
{
	struct mtcp_epoll_event ev = { .events = events };

	ev.data.u64 = 0;
	ev.data.sockid = s;
	return mtcp_epoll_ctl(m, ep, op, s, &ev);
}

static void receive(size_t n)
{
	sd_receive(&c, buf, n);
	sd_tell(&c);
}

static void drain_commands(void)
{
	while (!sd_idle(lane)) {
		struct cmd cmd = sd_take(lane);

		if (cmd.handle.index == c.handle.index)
			sd_apply(&c, &cmd);
	}
}

/* --- What is ready ---------------------------------------------------------------------------------------------------------- */

START_TEST(control_errors)
{
	struct mtcp_epoll_event ev = { .events = MTCP_EPOLLIN };

	up(NULL);
	FAILS(mtcp_epoll_create(m, 0), EINVAL);
	FAILS(mtcp_epoll_create1(m, 1), EINVAL);
	ck_assert_int_ge(mtcp_epoll_create1(m, O_CLOEXEC), 0);
	FAILS(mtcp_epoll_ctl(m, fd, MTCP_EPOLL_CTL_ADD, fd, &ev), EINVAL);
	FAILS(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD, ep, &ev), EINVAL);
	FAILS(mtcp_epoll_ctl(m, ep, 0, fd, &ev), EINVAL);
	FAILS(mtcp_epoll_ctl(m, ep, 4, fd, &ev), EINVAL);
	FAILS(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD, fd, NULL), EINVAL);
	FAILS(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_MOD, fd, &ev), ENOENT);
	FAILS(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_DEL, fd, NULL), ENOENT);
	ck_assert_int_eq(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD, fd, &ev), 0);
	FAILS(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD, fd, &ev), EEXIST);
	ck_assert_int_eq(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_DEL, fd, NULL), 0);
	FAILS(mtcp_epoll_wait(m, ep, e, 0, 0), EINVAL);
	FAILS(mtcp_epoll_wait(m, ep, NULL, 1, 0), EFAULT);
	FAILS(mtcp_epoll_wait(m, fd, e, 1, 0), EINVAL);
	FAILS(mtcp_epoll_wait(m, 99, e, 1, 0), EBADF);
	down();
}
END_TEST

START_TEST(level)
{
	up(NULL);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	READY(0, "");
	receive(10);
	READY(1, "IN");
	READY(1, "IN"); /* as long as it lasts */
	ck_assert_int_eq(e[0].data.sockid, fd);
	ck_assert_int_eq(mtcp_read(m, fd, buf, 4), 4);
	READY(1, "IN");
	ck_assert_int_eq(mtcp_read(m, fd, buf, 10), 6);
	READY(0, "");
	/* one entry carries all bits */
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_MOD, fd, MTCP_EPOLLIN | MTCP_EPOLLOUT | MTCP_EPOLLRDHUP), 0);
	READY(1, "OUT");
	c.flags |= EVF_FIN;
	receive(1);
	READY(1, "IN|OUT|RDHUP");
	/* ready before it was added */
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_DEL, fd, 0), 0);
	READY(0, "");
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	READY(1, "IN");
	ck_assert_int_eq(mtcp_shutdown(m, fd, SHUT_WR), 0);
	READY(1, "IN|HUP");
	down();
}
END_TEST

START_TEST(edge)
{
	up(NULL);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN | MTCP_EPOLLET), 0);
	receive(10);
	READY(1, "IN");
	READY(0, ""); /* once */
	receive(10);
	READY(1, "IN");
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_MOD, fd, MTCP_EPOLLIN | MTCP_EPOLLET), 0);
	READY(1, "IN"); /* MOD looks anew */
	sd_tell(&c);    /* nothing new in it */
	READY(0, "");
	down();
}
END_TEST

START_TEST(edge_of_writing)
{
	up(NULL);
	c.tx_limit = 10000;
	sd_tell(&c);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLOUT | MTCP_EPOLLET), 0);
	READY(1, "OUT");
	READY(0, "");
	ck_assert_int_eq(mtcp_write(m, fd, buf, 20000), 10000);
	READY(0, "");
	drain_commands();
	c.tx_acked = 100; /* crumbs */
	sd_tell(&c);
	READY(0, "");
	c.tx_acked = 5000;
	sd_tell(&c);
	READY(1, "OUT");
	c.tx_acked = 6000; /* nobody waits */
	sd_tell(&c);
	READY(0, "");
	down();
}
END_TEST

/* tcp(7), TCP_NOTSENT_LOWAT: writable while less than that is unsent. */
START_TEST(edge_of_what_is_unsent)
{
	int lowat = 1000, got;
	socklen_t len = sizeof(got);

	up(NULL);
	ck_assert_int_eq(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)), 0);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &got, &len), 0);
	ck_assert_int_eq(got, 1000);
	c.tx_limit = 10000;
	sd_tell(&c);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLOUT | MTCP_EPOLLET), 0);
	READY(1, "OUT");
	ck_assert_int_eq(mtcp_write(m, fd, buf, 5000), 1000);
	ck_assert_int_eq(mtcp_write(m, fd, buf, 5000), -1);
	ck_assert_int_eq(errno, EAGAIN);
	READY(0, "");
	drain_commands();
	c.tx_sent = 0;
	sd_tell(&c);
	READY(0, "");
	c.tx_sent = 400; /* and nothing is acknowledged */
	sd_tell(&c);
	READY(1, "OUT");
	ck_assert_int_eq(mtcp_write(m, fd, buf, 5000), 400);
	lowat = 0; /* any amount */
	ck_assert_int_eq(mtcp_setsockopt(m, fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)), 0);
	ck_assert_int_eq(mtcp_write(m, fd, buf, 5000), 5000);
	down();
}
END_TEST

START_TEST(one_shot)
{
	up(NULL);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN | MTCP_EPOLLONESHOT), 0);
	receive(10);
	READY(1, "IN");
	READY(0, "");
	receive(10);
	READY(0, "");
	c.flags |= EVF_ERROR;
	c.err = ECONNRESET;
	sd_tell(&c);
	READY(0, ""); /* off means off */
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_MOD, fd, MTCP_EPOLLIN | MTCP_EPOLLONESHOT), 0);
	READY(1, "IN|ERR|HUP");
	down();
}
END_TEST

START_TEST(errors_come_unasked)
{
	socklen_t len = sizeof(int);
	int v;

	up(NULL);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, 0), 0);
	receive(10);
	READY(0, "");
	c.flags |= EVF_ERROR;
	c.err = ETIMEDOUT;
	sd_tell(&c);
	READY(1, "ERR|HUP");
	ck_assert_int_eq(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	ck_assert_int_eq(v, ETIMEDOUT);
	READY(1, "HUP");
	ck_assert_int_eq(mtcp_close(m, fd), 0);
	READY(0, ""); /* leaves by closing */
	down();
}
END_TEST

START_TEST(urgent_and_closed)
{
	up(NULL);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLPRI | MTCP_EPOLLIN), 0);
	c.flags |= EVF_URGENT;
	receive(1);
	READY(1, "IN|PRI");
	ck_assert_int_eq(mtcp_read(m, fd, buf, 1), 1);
	READY(0, "");
	c.flags = EVF_CONNECTED | EVF_FIN | EVF_CLOSED;
	sd_tell(&c);
	READY(1, "IN|HUP");
	FAILS((int)mtcp_write(m, fd, "x", 1), EPIPE);
	down();
}
END_TEST

START_TEST(listeners_and_connects)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x0a000002) };
	struct sd_conn two, three;
	struct cmd cmd;
	int s;

	up(NULL);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, listener, MTCP_EPOLLIN), 0);
	READY(0, "");
	sd_conn_init(&two, lane, 1, 1);
	sd_accept(&two, d.bind.cookie, 1);
	READY(1, "IN");
	ck_assert_int_ge(mtcp_accept(m, listener, NULL, NULL), 0);
	sd_expect(lane, CMD_ACCEPTED);
	READY(0, "");

	s = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, s, MTCP_EPOLLIN | MTCP_EPOLLOUT), 0);
	READY(0, "");
	FAILS(mtcp_connect(m, s, (struct sockaddr *)&a, sizeof(a)), EINPROGRESS);
	READY(0, "");
	cmd = sd_expect(lane, CMD_CONNECT);
	sd_open(&three, lane, &cmd);
	READY(1, "OUT");
	ck_assert_int_eq(e[0].data.sockid, s);
	sd_conn_fini(&two);
	sd_conn_fini(&three);
	down();
}
END_TEST

START_TEST(several_instances)
{
	int first = 0, second;

	up(NULL);
	first = ep;
	second = mtcp_epoll_create(m, 1);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	ep = second;
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	receive(3);
	READY(1, "IN");
	ep = first;
	READY(1, "IN");
	ck_assert_int_eq(mtcp_close(m, second), 0);
	READY(1, "IN");
	down();
}
END_TEST

START_TEST(nested)
{
	int inner, chain[6];

	up(NULL);
	inner = mtcp_epoll_create(m, 1);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, inner, MTCP_EPOLLIN), 0);
	ep = inner + 0 * ep;
	FAILS(ctl(MTCP_EPOLL_CTL_ADD, inner - 1, MTCP_EPOLLIN), ELOOP);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	ep = inner - 1;
	READY(0, "");
	receive(1);
	READY(1, "IN");
	ck_assert_int_eq(e[0].data.sockid, inner);
	ck_assert_int_eq(mtcp_read(m, fd, buf, 1), 1);
	READY(0, "");
	chain[0] = mtcp_epoll_create(m, 1);
	for (int i = 1; i < 6; i++) {
		chain[i] = mtcp_epoll_create(m, 1);
		ep = chain[i];
		ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, chain[i - 1], MTCP_EPOLLIN), i < 6 ? 0 : -1);
	}
	ep = inner;
	FAILS(ctl(MTCP_EPOLL_CTL_ADD, chain[5], MTCP_EPOLLIN), ELOOP); /* too deep */
	down();
}
END_TEST

/* More are ready than fit: all get their turn, none is lost, none twice in a round. */
START_TEST(many_ready)
{
	enum { N = 500 };
	static struct sd_conn more[N];
	int seen[N + 64] = { 0 };

	up(&(struct sd_conf){ .slots = 4096 });
	for (uint32_t i = 0; i < N; i++) {
		int s = accepted(&more[i], i + 1);

		ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, s, MTCP_EPOLLIN), 0);
		sd_receive(&more[i], "x", 1);
		sd_tell(&more[i]);
	}
	for (int round = 1; round <= 3; round++) {
		for (int got = 0; got < N;) {
			int n = mtcp_epoll_wait(m, ep, e, 50, 0);

			ck_assert_int_eq(n, 50);
			for (int i = 0; i < n; i++)
				seen[e[i].data.sockid]++;
			got += n;
		}
		for (int s = 0, ready = 0; s < N + 64; s++) {
			ck_assert(seen[s] == 0 || seen[s] == round);
			ready += seen[s] == round;
			ck_assert(s < N + 63 || ready == N);
		}
	}
	for (int i = 0; i < N; i++)
		sd_conn_fini(&more[i]);
	down();
}
END_TEST

/* --- Waiting ------------------------------------------------------------------------------------------------------------------ */

static void *receive_when_asleep(void *arg)
{
	(void)arg;
	while (bell_look(&lane->up->client_asleep) == 0)
		sched_yield();
	receive(5);
	return NULL;
}

START_TEST(woken_from_sleep)
{
	pthread_t t;

	up(&(struct sd_conf){ .spin_us = _i == 0 ? 0 : 200 });
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	for (int i = 0; i < 50; i++) {
		pthread_create(&t, NULL, receive_when_asleep, NULL);
		ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 64, -1), 1);
		pthread_join(t, NULL);
		ck_assert_uint_eq(lane->up->client_asleep, 0);
		while (mtcp_read(m, fd, buf, 100) > 0)
			;
		drain_commands();
	}
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 64, 20), 0); /* and there is an end to waiting */
	down();
}
END_TEST

static void on_signal(int sig)
{
	(void)sig;
}

static void *signal_when_asleep(void *arg)
{
	while (bell_look(&lane->up->client_asleep) == 0)
		sched_yield();
	/* again and again: the first may come before the system call */
	while (bell_look(&lane->up->client_asleep) != 0) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

START_TEST(signals_interrupt)
{
	pthread_t t, self = pthread_self();

	up(NULL);
	ck_assert(mtcp_register_signal(SIGUSR1, on_signal) == SIG_DFL);
	ck_assert(mtcp_register_signal(SIGUSR1, on_signal) == on_signal);
	ck_assert(mtcp_register_signal(99999, on_signal) == SIG_ERR);
	pthread_create(&t, NULL, signal_when_asleep, &self);
	FAILS(mtcp_epoll_wait(m, ep, e, 64, -1), EINTR);
	pthread_join(t, NULL);
	down();
}
END_TEST

START_TEST(kernel_descriptors)
{
	struct mtcp_epoll_event ev = { .events = MTCP_EPOLLIN };
	int ev_fd = eventfd(0, 0);
	uint64_t n;

	up(NULL);
	ev.data.u32 = 1234;
	FAILS(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD | MTCP_EPOLL_KERNEL, 9999, &ev), EBADF);
	ck_assert_int_eq(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD | MTCP_EPOLL_KERNEL, ev_fd, &ev), 0);
	FAILS(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD | MTCP_EPOLL_KERNEL, ev_fd, &ev), EEXIST);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	READY(0, "");
	eventfd_write(ev_fd, 1);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 64, -1), 1);
	ck_assert_uint_eq(e[0].data.u32, 1234);
	receive(1);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 64, -1), 2);
	/* with room for one, each has its turn */
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 1, -1), 1);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e + 1, 1, -1), 1);
	ck_assert_uint_ne(e[0].data.u32, e[1].data.u32);
	(void)eventfd_read(ev_fd, &n);
	ck_assert_int_eq(mtcp_read(m, fd, buf, 1), 1);
	READY(0, "");
	ck_assert_int_eq(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_DEL | MTCP_EPOLL_KERNEL, ev_fd, NULL), 0);
	eventfd_write(ev_fd, 1);
	READY(0, "");
	close(ev_fd);
	down();
}
END_TEST

START_TEST(a_descriptor_for_other_loops)
{
	struct pollfd p = { .events = POLLIN };

	up(NULL);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	p.fd = mtcp_context_fd(m);
	for (int i = 0; i < 20; i++) {
		while (mtcp_epoll_wait(m, ep, e, 64, 0) > 0) {
			while (mtcp_read(m, fd, buf, 100) > 0)
				;
		}
		drain_commands();
		ck_assert_int_eq(poll(&p, 1, 0), 0);
		receive(5);
		ck_assert_int_eq(poll(&p, 1, 5000), 1);
	}
	down();
}
END_TEST

START_TEST(polling)
{
	struct pollfd p[4];

	up(NULL);
	p[0] = (struct pollfd){ .fd = fd, .events = POLLIN | POLLOUT };
	p[1] = (struct pollfd){ .fd = listener, .events = POLLIN };
	p[2] = (struct pollfd){ .fd = 99, .events = POLLIN };
	p[3] = (struct pollfd){ .fd = -1, .events = POLLIN, .revents = 7 };
	ck_assert_int_eq(mtcp_poll(m, p, 4, -1), 2);
	ck_assert_int_eq(p[0].revents, POLLOUT);
	ck_assert_int_eq(p[1].revents, 0);
	ck_assert_int_eq(p[2].revents, POLLNVAL);
	ck_assert_int_eq(p[3].revents, 0);
	p[0].events = POLLIN;
	ck_assert_int_eq(mtcp_poll(m, p, 2, 1), 0);
	receive(1);
	ck_assert_int_eq(mtcp_poll(m, p, 2, -1), 1);
	FAILS(mtcp_poll(m, NULL, 2, 0), EFAULT);
	down();
}
END_TEST

/* --- Threads and pipes ------------------------------------------------------------------------------------------------------- */

START_TEST(pipes)
{
	int id[2], on = 1, n;

	up(NULL);
	FAILS(mtcp_pipe(m, NULL), EINVAL);
	ck_assert_int_eq(mtcp_pipe(m, id), 0);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, id[0], MTCP_EPOLLIN), 0);
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, id[1], MTCP_EPOLLOUT), 0);
	READY(1, "OUT");
	FAILS((int)mtcp_write(m, id[0], "x", 1), EBADF);
	FAILS((int)mtcp_read(m, id[1], buf, 1), EBADF);
	FAILS(mtcp_listen(m, id[0], 1), ENOTSOCK);
	ck_assert_int_eq(mtcp_ioctl(m, id[0], FIONBIO, &on), 0);
	ck_assert_int_eq(mtcp_setsock_nonblock(m, id[1]), 0);
	FAILS((int)mtcp_read(m, id[0], buf, 1), EAGAIN);
	ck_assert_int_eq(mtcp_write(m, id[1], "hello", 5), 5);
	ck_assert_int_eq(mtcp_ioctl(m, id[0], FIONREAD, &n), 0);
	ck_assert_int_eq(n, 5);
	READY(2, "OUT");
	ck_assert_int_eq(mtcp_read(m, id[0], buf, 100), 5);
	ck_assert_mem_eq(buf, "hello", 5);
	for (size_t put = 0, got = 0; got < 300000;) { /* around the ring */
		ssize_t w = mtcp_write(m, id[1], buf, 40001);

		put += w > 0 ? (size_t)w : 0;
		got += (size_t)mtcp_read(m, id[0], buf, 30011);
		ck_assert_uint_le(got, put);
	}
	while (mtcp_write(m, id[1], buf, sizeof(buf)) > 0)
		;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(mtcp_close(m, id[1]), 0);
	READY(1, "IN|HUP");
	while (mtcp_read(m, id[0], buf, sizeof(buf)) > 0)
		;
	READY(1, "HUP");
	ck_assert_int_eq(mtcp_close(m, id[0]), 0);
	ck_assert_int_eq(mtcp_pipe(m, id), 0);
	ck_assert_int_eq(mtcp_close(m, id[0]), 0);
	FAILS((int)mtcp_write(m, id[1], "x", 1), EPIPE);
	down();
}
END_TEST

struct pass {
	int in, out;
};

/* Sends back what it gets, and one byte more at the end. */
static void *passer(void *arg)
{
	struct pass *p = arg;
	char b[64];
	ssize_t n;

	while ((n = mtcp_read(m, p->in, b, sizeof(b))) > 0)
		ck_assert_int_eq(mtcp_write(m, p->out, b, (size_t)n), n);
	mtcp_close(m, p->out);
	return NULL;
}

START_TEST(threads_share_a_context)
{
	int to[2], from[2], there[2], back[2];
	struct pass one, two;
	pthread_t t1, t2, t3;

	up(NULL);
	/* two threads wait in blocking reads, we in epoll: whoever leads, everybody is served */
	ck_assert_int_eq(mtcp_pipe(m, to), 0);
	ck_assert_int_eq(mtcp_pipe(m, from), 0);
	ck_assert_int_eq(mtcp_pipe(m, there), 0);
	ck_assert_int_eq(mtcp_pipe(m, back), 0);
	one = (struct pass){ to[0], from[1] };
	two = (struct pass){ there[0], back[1] };
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, from[0], MTCP_EPOLLIN), 0);
	pthread_create(&t1, NULL, passer, &one);
	pthread_create(&t2, NULL, passer, &two);
	for (int i = 0; i < 300; i++) {
		char b = (char)i, r;

		ck_assert_int_eq(mtcp_write(m, to[1], &b, 1), 1);
		ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 64, -1), 1);
		ck_assert_int_eq(mtcp_read(m, from[0], &r, 1), 1);
		ck_assert_int_eq(r, b);
		ck_assert_int_eq(mtcp_write(m, there[1], &b, 1), 1);
		ck_assert_int_eq(mtcp_read(m, back[0], &r, 1), 1);
		ck_assert_int_eq(r, b);
	}
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, fd, MTCP_EPOLLIN), 0);
	pthread_create(&t3, NULL, receive_when_asleep, NULL);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 64, -1), 1);
	ck_assert_int_eq(e[0].data.sockid, fd);
	pthread_join(t3, NULL);
	mtcp_close(m, to[1]);
	mtcp_close(m, there[1]);
	pthread_join(t1, NULL);
	pthread_join(t2, NULL);
	down();
}
END_TEST

static void *waiter(void *arg)
{
	int n;

	(void)arg;
	n = mtcp_epoll_wait(m, ep, e, 64, -1);
	return (void *)(intptr_t)(n == -1 ? errno : n);
}

/* A server that waits for nobody but new connections: its loop ends with stackd, and does not turn for ever. */
START_TEST(listener_alone_ends_with_stackd)
{
	struct pollfd p = { .events = POLLIN };

	up(NULL);
	p.fd = listener;
	ck_assert_int_eq(ctl(MTCP_EPOLL_CTL_ADD, listener, MTCP_EPOLLIN), 0);
	READY(0, "");
	sd_detach(lane->client, EPROTO, "it lies");
	FAILS(mtcp_epoll_wait(m, ep, e, 64, -1), ESHUTDOWN);
	ck_assert_str_eq(mtcp_error_text(), "it lies");
	FAILS(mtcp_epoll_wait(m, ep, e, 64, 0), ESHUTDOWN);
	FAILS(mtcp_poll(m, &p, 1, -1), ESHUTDOWN);
	FAILS(mtcp_accept(m, listener, NULL, NULL), ESHUTDOWN);
	down();
}
END_TEST

/* Destroying a context, or closing the epoll, under a waiting thread. */
START_TEST(gone_while_waiting)
{
	void *result;
	pthread_t t;

	up(NULL);
	pthread_create(&t, NULL, waiter, NULL);
	while (bell_look(&lane->up->client_asleep) == 0)
		sched_yield();
	if (_i == 0) {
		ck_assert_int_eq(mtcp_close(m, ep), 0);
		receive(1);
		pthread_join(t, &result);
		ck_assert_int_eq((intptr_t)result, EBADF);
		down();
		return;
	}
	sd_conn_fini(&c);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
	pthread_join(t, &result);
	ck_assert((intptr_t)result == EBADF || (intptr_t)result == EACCES);
	sd_stop(&d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shim_epoll");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, control_errors);
	tcase_add_test(t, level);
	tcase_add_test(t, edge);
	tcase_add_test(t, edge_of_writing);
	tcase_add_test(t, edge_of_what_is_unsent);
	tcase_add_test(t, one_shot);
	tcase_add_test(t, errors_come_unasked);
	tcase_add_test(t, urgent_and_closed);
	tcase_add_test(t, listeners_and_connects);
	tcase_add_test(t, several_instances);
	tcase_add_test(t, nested);
	tcase_add_test(t, many_ready);
	tcase_add_loop_test(t, woken_from_sleep, 0, 2);
	tcase_add_test(t, signals_interrupt);
	tcase_add_test(t, kernel_descriptors);
	tcase_add_test(t, a_descriptor_for_other_loops);
	tcase_add_test(t, polling);
	tcase_add_test(t, pipes);
	tcase_add_test(t, threads_share_a_context);
	tcase_add_test(t, listener_alone_ends_with_stackd);
	tcase_add_loop_test(t, gone_while_waiting, 0, 2);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
