/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Bytes through libshim, with both ends of the rings in view: where they lie, what credit is given when, what a full ring or
 * missing memory does, and how connections end.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
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
static int listener, fd;
static char big[4 << 20], back[4 << 20];

#define FAILS(call, err) \
	do { \
		errno = 0; \
		ck_assert_int_eq(call, -1); \
		ck_assert_int_eq(errno, err); \
	} while (0)

static void up(const struct sd_conf *conf)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + i / 4096);
	sd_start(&d, conf);
	m = mtcp_create_context(0);
	ck_assert_msg(m != NULL, "%s", mtcp_error_text());
	lane = &sd_client(&d, 0)->lane[0];
	listener = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(mtcp_bind(m, listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(mtcp_listen(m, listener, 10), 0);
}

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

static void up_with_one(const struct sd_conf *conf)
{
	up(conf);
	fd = accepted(&c, 0);
	FAILS((int)mtcp_read(m, fd, back, 1), EAGAIN); /* takes the EV_STATE */
}

/* stackd first: nobody plays it any more, and the context does not wait for answers */
static void down(void)
{
	sd_conn_fini(&c);
	sd_stop(&d);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
}

static struct cmd apply(unsigned op)
{
	struct cmd cmd = sd_expect(lane, op);

	sd_apply(&c, &cmd);
	return cmd;
}

static void receive(const void *p, size_t n)
{
	sd_receive(&c, p, n);
	sd_tell(&c);
}

/* A call that has nothing to do but look at the rings. */
static void look(void)
{
	int n;

	ck_assert_int_eq(mtcp_ioctl(m, fd, FIONREAD, &n), 0);
}

/* --- Receiving -------------------------------------------------------------------------------------------------------------- */

START_TEST(read_and_peek)
{
	int n;

	up_with_one(NULL);
	receive("hello world", 11);
	ck_assert_int_eq(mtcp_ioctl(m, fd, FIONREAD, &n), 0);
	ck_assert_int_eq(n, 11);
	ck_assert_int_eq(mtcp_recv(m, fd, back, 100, MSG_PEEK), 11);
	ck_assert_int_eq(mtcp_recv(m, fd, back, 5, MSG_PEEK), 5);
	FAILS((int)mtcp_recv(m, fd, back, 5, MSG_OOB), EINVAL);
	FAILS((int)mtcp_read(m, fd, NULL, 5), EFAULT);
	ck_assert_int_eq(mtcp_read(m, fd, back, 0), 0);
	ck_assert_int_eq(mtcp_read(m, fd, back, 5), 5);
	ck_assert_mem_eq(back, "hello", 5);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 6);
	ck_assert_mem_eq(back, " world", 6);
	FAILS((int)mtcp_read(m, fd, back, 100), EAGAIN);
	apply(CMD_CREDIT);
	ck_assert_uint_eq(c.rx_done, 11);
	ck_assert_uint_eq(lane->rx.used_count, 0);
	ck_assert(sd_idle(lane));
	down();
}
END_TEST

START_TEST(read_vectors)
{
	struct iovec v[3] = { { back, 3 }, { back + 100, 0 }, { back + 200, 100 } };

	up_with_one(NULL);
	FAILS((int)mtcp_readv(m, fd, v, 3), EAGAIN);
	FAILS((int)mtcp_readv(m, fd, v, -1), EINVAL);
	receive("abcdefgh", 8);
	ck_assert_int_eq(mtcp_readv(m, fd, v, 3), 8);
	ck_assert_mem_eq(back, "abc", 3);
	ck_assert_mem_eq(back + 200, "defgh", 5);
	v[0].iov_base = "123";
	v[2] = (struct iovec){ "4567", 4 };
	ck_assert_int_eq(mtcp_writev(m, fd, v, 3), 7);
	apply(CMD_SEND); /* one: the engine never sees a part alone */
	ck_assert_uint_eq(c.tx_end, 7);
	sd_sent(&c, 0, back, 7);
	ck_assert_mem_eq(back, "1234567", 7);
	down();
}
END_TEST

/* Any split of the same bytes into receives and reads, with credit seen at once or late, gives the same bytes. */
START_TEST(read_in_all_sizes)
{
	static const size_t sizes[] = { 1, 100, 1460, 4095, 4096, 4097, 8192, 20000, 100000 };
	size_t total = 300000, got = 0, put = 0;
	unsigned seed = (unsigned)_i;

	up_with_one(NULL);
	while (got < total) {
		size_t in = sizes[(seed = seed * 1103515245 + 12345) / 65536 % 9];
		size_t out = sizes[(seed = seed * 1103515245 + 12345) / 65536 % 9];
		bool late = (seed = seed * 1103515245 + 12345) / 65536 % 2;

		in = in < total - put ? in : total - put;
		if (in > 0 && c.rx_end - c.rx_done < 400000) {
			sd_receive(&c, big + put, in);
			sd_tell(&c);
			put += in;
		}
		for (ssize_t n; (n = mtcp_read(m, fd, back + got, out)) > 0;)
			got += (size_t)n;
		look();
		while (!late && !sd_idle(lane)) {
			struct cmd cmd = sd_take(lane);

			sd_apply(&c, &cmd);
		}
	}
	ck_assert_mem_eq(big, back, total);
	while (!sd_idle(lane)) {
		struct cmd cmd = sd_take(lane);

		sd_apply(&c, &cmd);
	}
	ck_assert_uint_eq(c.rx_done, total);
	ck_assert_uint_eq(lane->rx.used_count, 0);
	down();
}
END_TEST

/* Drained exactly at a chunk's end; what comes next lies in the following chunk, and the event about it was made before the
 * engine saw the credit. */
START_TEST(drained_at_a_chunks_end)
{
	struct cmd cmd;

	up_with_one(NULL);
	receive(big, 4096);
	ck_assert_int_eq(mtcp_read(m, fd, back, 8192), 4096);
	sd_receive(&c, big + 4096, 100); /* into the next chunk */
	sd_tell(&c);                     /* names the first chunk still */
	cmd = sd_state(&c).state.rx_chunk_no == 0 ? (struct cmd){ .op = CMD_NONE } : (struct cmd){ .op = CMD_MAX };
	ck_assert_uint_eq(cmd.op, CMD_NONE);
	look();
	apply(CMD_CREDIT); /* frees nothing: the link is needed */
	ck_assert_uint_eq(lane->rx.used_count, 2);
	ck_assert_int_eq(mtcp_read(m, fd, back + 4096, 8192), 100);
	ck_assert_mem_eq(back, big, 4196);
	look();
	apply(CMD_CREDIT);
	ck_assert_uint_eq(lane->rx.used_count, 0);
	down();
}
END_TEST

/* The engine has taken all chunks back and begun with a new one in the middle of the same number. */
START_TEST(drained_and_replaced)
{
	struct sd_conn other;

	up_with_one(NULL);
	receive(big, 5000);
	ck_assert_int_eq(mtcp_read(m, fd, back, 8192), 5000);
	look();
	apply(CMD_CREDIT);
	sd_conn_init(&other, lane, 9, 1);
	sd_receive(&other, big, 9000); /* somebody else gets the chunks we had */
	receive(big + 5000, 5000);
	ck_assert_int_eq(mtcp_read(m, fd, back + 5000, 8192), 5000);
	ck_assert_mem_eq(back, big, 10000);
	sd_conn_fini(&other);
	down();
}
END_TEST

START_TEST(credit_of_large_reads)
{
	struct cmd cmd;

	up_with_one(NULL);
	receive(big, 100000);
	ck_assert_int_eq(mtcp_read(m, fd, back, 10000), 10000);
	ck_assert(sd_idle(lane)); /* not worth a command */
	ck_assert_int_eq(mtcp_read(m, fd, back, 10000), 10000);
	cmd = apply(CMD_CREDIT);
	ck_assert_uint_eq(cmd.send.rx_done, 20000);
	/* an answer carries the credit */
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 100);
	ck_assert_int_eq(mtcp_write(m, fd, "x", 1), 1);
	cmd = apply(CMD_SEND);
	ck_assert_uint_eq(cmd.send.rx_done, 20100);
	down();
}
END_TEST

START_TEST(end_of_stream)
{
	up_with_one(NULL);
	c.flags |= EVF_FIN;
	receive("last", 4);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 4);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 0);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 0);
	ck_assert_int_eq(mtcp_write(m, fd, "still", 5), 5); /* half-closed */
	down();
}
END_TEST

START_TEST(reset_by_peer)
{
	up_with_one(NULL);
	c.flags |= EVF_ERROR;
	c.err = ECONNRESET;
	receive("before", 6);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 6); /* what was told can still be read */
	FAILS((int)mtcp_read(m, fd, back, 100), ECONNRESET);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 0);
	FAILS((int)mtcp_write(m, fd, "x", 1), EPIPE);
	ck_assert_uint_eq(mtcp_get_connection_cnt(m), 0);
	down();
}
END_TEST

/* As with Linux: who reads has had everything; the error is the writer's. */
START_TEST(reset_after_the_end)
{
	up_with_one(NULL);
	c.flags |= EVF_FIN;
	receive("last", 4);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 4);
	c.flags |= EVF_ERROR;
	c.err = EPIPE;
	sd_tell(&c);
	look();
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 0);
	FAILS((int)mtcp_write(m, fd, "x", 1), EPIPE);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 0);
	down();
}
END_TEST

struct later {
	const char *text;
	bool ack;
};

static void *when_asleep(void *arg)
{
	struct later *l = arg;

	while (bell_look(&lane->up->client_asleep) == 0)
		sched_yield();
	if (l->ack) {
		while (!sd_idle(lane)) {
			struct cmd cmd = sd_take(lane);

			sd_apply(&c, &cmd);
		}
		sd_ack(&c);
	} else {
		receive(l->text, strlen(l->text));
	}
	return NULL;
}

START_TEST(blocking_read)
{
	struct later l = { .text = "good morning" };
	int off = 0;
	pthread_t t;

	up_with_one(NULL);
	mtcp_ioctl(m, fd, FIONBIO, &off);
	FAILS((int)mtcp_recv(m, fd, back, 100, MSG_DONTWAIT), EAGAIN);
	pthread_create(&t, NULL, when_asleep, &l);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 12);
	pthread_join(t, NULL);
	down();
}
END_TEST

/* --- Sending ---------------------------------------------------------------------------------------------------------------- */

START_TEST(write_names_the_chunks)
{
	struct cmd cmd;

	up_with_one(NULL);
	c.tx_limit = 200000;
	sd_tell(&c);
	look();
	ck_assert_int_eq(mtcp_write(m, fd, big, 100), 100);
	cmd = apply(CMD_SEND);
	ck_assert_uint_eq(cmd.send.tx_end, 100);
	/* seven chunks a command, the first being that of the old end */
	ck_assert_int_eq(mtcp_write(m, fd, big + 100, 60000), 60000);
	cmd = apply(CMD_SEND);
	ck_assert_uint_eq(cmd.send.tx_end, 7 * 4096);
	cmd = apply(CMD_SEND);
	ck_assert_uint_eq(cmd.send.tx_end, 14 * 4096);
	cmd = apply(CMD_SEND);
	ck_assert_uint_eq(cmd.send.tx_end, 60100);
	sd_sent(&c, 0, back, 60100);
	ck_assert_mem_eq(big, back, 60100);
	/* all acknowledged: no chunk is held, also not the one that the next byte falls into */
	sd_ack(&c);
	ck_assert_int_eq(mtcp_write(m, fd, big + 60100, 10), 10);
	cmd = apply(CMD_SEND);
	sd_sent(&c, 60100, back, 10);
	ck_assert_mem_eq(back, big + 60100, 10);
	down();
}
END_TEST

START_TEST(write_up_to_the_limit)
{
	up_with_one(NULL);
	c.tx_limit = 10000;
	sd_tell(&c);
	look();
	ck_assert_int_eq(mtcp_write(m, fd, big, 20000), 10000);
	FAILS((int)mtcp_write(m, fd, big, 1), EAGAIN);
	apply(CMD_SEND);
	c.tx_acked = 4096;
	sd_tell(&c);
	ck_assert_int_eq(mtcp_write(m, fd, big, 20000), 4096);
	/* lies about acknowledgements change nothing */
	c.tx_acked = 1 << 30;
	sd_tell(&c);
	c.tx_acked = 100;
	sd_tell(&c);
	FAILS((int)mtcp_write(m, fd, big, 1), EAGAIN);
	down();
}
END_TEST

/* What ICMP says of a connection that goes on is told by SO_ERROR, once, and by nothing else. */
START_TEST(soft_errors)
{
	socklen_t len = sizeof(int);
	int v;

	up_with_one(NULL);
	c.flags |= EVF_SOFT;
	c.err = EHOSTUNREACH;
	sd_tell(&c);
	ck_assert_int_eq(mtcp_write(m, fd, big, 10), 10);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	ck_assert_int_eq(v, EHOSTUNREACH);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	ck_assert_int_eq(v, 0);
	sd_tell(&c);
	c.flags &= (uint16_t)~EVF_SOFT; /* the peer was heard */
	c.err = 0;
	sd_tell(&c);
	ck_assert_int_eq(mtcp_getsockopt(m, fd, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	ck_assert_int_eq(v, 0);
	ck_assert_int_eq(mtcp_write(m, fd, big, 10), 10);
	down();
}
END_TEST

/* As much as stackd said when the program attached. */
START_TEST(write_before_the_first_state)
{
	struct event e = { .op = EV_ACCEPT, .handle = { 0, 1 } };

	up(NULL);
	sd_conn_init(&c, lane, 0, 1);
	e.open.cookie = d.bind.cookie;
	sd_put(lane, &e);
	fd = mtcp_accept(m, listener, NULL, NULL);
	ck_assert_int_eq(mtcp_write(m, fd, big, 100000), 64 << 10);
	down();
}
END_TEST

START_TEST(blocking_write)
{
	struct later l = { .ack = true };
	int off = 0;
	pthread_t t;

	up_with_one(NULL);
	mtcp_ioctl(m, fd, FIONBIO, &off);
	pthread_create(&t, NULL, when_asleep, &l);
	ck_assert_int_eq(mtcp_write(m, fd, big, 100000), 100000); /* the limit is 65536 */
	pthread_join(t, NULL);
	down();
}
END_TEST

/* The command ring has room for 4: nothing is lost, nothing waits, and the order stays. */
START_TEST(full_command_ring)
{
	struct sd_conn more[6];
	struct cmd cmd;
	int s[6];

	up(&(struct sd_conf){ .slots = 4 });
	for (uint32_t i = 0; i < 6; i++) {
		s[i] = accepted(&more[i], i);
		FAILS((int)mtcp_read(m, s[i], back, 1), EAGAIN);
	}
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(mtcp_write(m, s[i], big + i, 10 + i), 10 + i);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(mtcp_write(m, s[i], big + 1000 + i, 5), 5);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(mtcp_close(m, s[i]), 0);
	for (int closed = 0; closed < 6;) {
		struct sd_conn *p;

		if (sd_idle(lane))
			FAILS(mtcp_accept(m, listener, NULL, NULL), EAGAIN); /* any call settles */
		cmd = sd_take(lane);
		ck_assert_uint_lt(cmd.handle.index, 6);
		p = &more[cmd.handle.index];
		sd_apply(p, &cmd);
		if (cmd.op != CMD_CLOSE)
			continue;
		ck_assert_uint_eq(p->tx_end, 15 + cmd.handle.index); /* all that was written came before */
		sd_sent(p, p->tx_end - 5, back, 5);
		ck_assert_mem_eq(back, big + 1000 + cmd.handle.index, 5);
		closed++;
	}
	for (int i = 0; i < 6; i++) {
		sd_last(&more[i]);
		FAILS(mtcp_accept(m, listener, NULL, NULL), EAGAIN);
	}
	sd_conn_init(&c, lane, 0, 1);
	down();
}
END_TEST

/* Memory is asked for, never waited for. */
START_TEST(segments_on_demand)
{
	size_t put = 0, checked = 0;

	up_with_one(&(struct sd_conf){ .tx_segs = 2 });
	c.tx_limit = 8 << 20;
	sd_tell(&c);
	look();
	while (put < 3 << 20) {
		ssize_t n = mtcp_write(m, fd, big + put, (3 << 20) - put);

		if (n > 0) {
			put += (size_t)n;
			continue;
		}
		ck_assert_int_eq(errno, EAGAIN);
		sd_until(&d, &d.asks, 1);
	}
	while (c.tx_end < put)
		apply(CMD_SEND);
	sd_sent(&c, 0, back, put);
	ck_assert_mem_eq(big, back, put);
	ck_assert_uint_eq(lane->tx_segs, 2);
	checked = put;

	/* the quota is used up: short writes, until something is acknowledged */
	for (ssize_t n; (n = mtcp_write(m, fd, big, 1 << 20)) > 0;)
		put += (size_t)n;
	ck_assert_uint_eq(put, 2 * 511 * 4096u);
	sd_until(&d, &d.noes, 1);
	while (c.tx_end < put)
		apply(CMD_SEND);
	sd_sent(&c, checked, back, put - checked);
	ck_assert_mem_eq(big, back, put - checked);
	sd_ack(&c);
	ck_assert_int_eq(mtcp_write(m, fd, big, 1 << 20), 1 << 20);
	down();
}
END_TEST

/* Without memory nobody can write; when some comes, those who wait are told. */
START_TEST(starved_writers_are_told)
{
	struct mtcp_epoll_event e[4], ev = { .events = MTCP_EPOLLOUT };
	struct sd_conn two;
	int ep, second;

	up_with_one(&(struct sd_conf){ .tx_segs = 1 });
	second = accepted(&two, 1);
	c.tx_limit = 8 << 20;
	sd_tell(&c);
	look();
	while (mtcp_write(m, fd, big, sizeof(big)) > 0)
		;
	FAILS((int)mtcp_write(m, second, "x", 1), EAGAIN);
	ep = mtcp_epoll_create(m, 4);
	ck_assert_int_eq(mtcp_epoll_ctl(m, ep, MTCP_EPOLL_CTL_ADD, second, &ev), 0);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 4, 0), 0);
	while (!sd_idle(lane)) {
		struct cmd cmd = sd_take(lane);

		sd_apply(cmd.handle.index == 0 ? &c : &two, &cmd);
	}
	sd_ack(&c);
	ck_assert_int_eq(mtcp_epoll_wait(m, ep, e, 4, 5000), 1);
	ck_assert_int_eq(mtcp_write(m, second, "x", 1), 1);
	sd_conn_fini(&two);
	down();
}
END_TEST

/* --- Ends ------------------------------------------------------------------------------------------------------------------- */

START_TEST(shutdown_both_ways)
{
	struct cmd cmd;

	up_with_one(NULL);
	FAILS(mtcp_shutdown(m, fd, 17), EINVAL);
	ck_assert_int_eq(mtcp_write(m, fd, "bye", 3), 3);
	ck_assert_int_eq(mtcp_shutdown(m, fd, SHUT_WR), 0);
	apply(CMD_SEND);
	cmd = apply(CMD_SHUTDOWN);
	ck_assert_uint_eq(cmd.close.how, SHUT_WR);
	FAILS((int)mtcp_write(m, fd, "x", 1), EPIPE);
	receive("answer", 6);
	ck_assert_int_eq(mtcp_read(m, fd, back, 10), 6);
	ck_assert_int_eq(mtcp_shutdown(m, fd, SHUT_RD), 0);
	cmd = apply(CMD_SHUTDOWN);
	ck_assert_uint_eq(cmd.close.rx_done, 6);
	ck_assert_int_eq(mtcp_read(m, fd, back, 10), 0);
	down();
}
END_TEST

/* The chunks of a closed connection are its own until the engine has said the last word. */
START_TEST(closed_with_bytes_in_flight)
{
	struct sd_conn two;
	struct cmd cmd;
	int second;

	up_with_one(NULL);
	ck_assert_int_eq(mtcp_write(m, fd, "in flight", 9), 9);
	ck_assert_int_eq(mtcp_close(m, fd), 0);
	apply(CMD_SEND);
	cmd = apply(CMD_CLOSE);
	ck_assert_int_eq(cmd.close.linger_s, -1);
	ck_assert_uint_eq(mtcp_get_connection_cnt(m), 0);
	second = accepted(&two, 1);
	ck_assert_int_eq(mtcp_write(m, second, "overwritten?", 12), 12);
	sd_expect(lane, CMD_SEND);
	sd_sent(&c, 0, back, 9);
	ck_assert_mem_eq(back, "in flight", 9);
	sd_last(&c);
	FAILS((int)mtcp_read(m, second, back, 1), EAGAIN);
	/* the name may come again, with another generation */
	sd_conn_init(&c, lane, 0, 2);
	sd_accept(&c, d.bind.cookie, 5);
	ck_assert_int_eq(mtcp_accept(m, listener, NULL, NULL), 2);
	sd_conn_fini(&two);
	down();
}
END_TEST

START_TEST(abort_and_reset)
{
	struct cmd cmd;

	up_with_one(NULL);
	ck_assert_int_eq(mtcp_write(m, fd, "x", 1), 1);
	apply(CMD_SEND);
	if (_i == 0) {
		ck_assert_int_eq(mtcp_abort(m, fd), 0);
		FAILS(mtcp_close(m, fd), EBADF);
	} else {
		ck_assert_int_eq(mtcp_reset_conn(m, fd), 0);
		FAILS((int)mtcp_read(m, fd, back, 1), ECONNRESET);
		FAILS(mtcp_reset_conn(m, fd), ENOTCONN);
		ck_assert_int_eq(mtcp_close(m, fd), 0);
	}
	cmd = apply(CMD_CLOSE);
	ck_assert_int_eq(cmd.close.linger_s, 0);
	FAILS(mtcp_abort(m, listener), ENOTCONN);
	sd_last(&c);
	FAILS(mtcp_accept(m, listener, NULL, NULL), EAGAIN);
	ck_assert(sd_idle(lane));
	down();
}
END_TEST

static void *answer_the_close(void *arg)
{
	struct cmd cmd;

	apply(CMD_SEND);
	do
		cmd = sd_take(lane); /* the listener's connections, too */
	while (cmd.op != CMD_CLOSE);
	while (bell_look(&lane->up->client_asleep) == 0)
		sched_yield();
	*(_Atomic bool *)arg = true;
	sd_last(&c);
	return NULL;
}

/* With the context goes the memory that unsent bytes lie in: it stays until they have arrived. */
START_TEST(destroy_waits_for_the_bytes)
{
	_Atomic bool answered = false;
	pthread_t t;

	up_with_one(NULL);
	ck_assert_int_eq(mtcp_write(m, fd, "the last words", 14), 14);
	pthread_create(&t, NULL, answer_the_close, &answered);
	ck_assert_int_eq(mtcp_destroy_context(m), 0);
	ck_assert(answered);
	pthread_join(t, NULL);
	sd_stop(&d);
}
END_TEST

/* stackd is trusted, and yet: numbers that cannot be do not become addresses. */
START_TEST(nonsense)
{
	static const uint32_t ids[] = { 0, 512, 5000, UINT32_MAX - 1, BYTES_NONE };
	struct event e = { .op = 99 };

	up_with_one(NULL);
	sd_put(lane, &e);
	e = (struct event){ .op = EV_STATE, .handle = { 4000000000u, 1 } };
	sd_put(lane, &e);
	e.op = EV_OPEN;
	sd_put(lane, &e);
	e.op = EV_ACCEPT;
	sd_put(lane, &e);
	e.handle.index = 999999;
	sd_put(lane, &e);
	e = (struct event){ .op = EV_ACCEPT, .handle = { 0, 1 } }; /* it exists */
	sd_put(lane, &e);
	e = sd_state(&c);
	e.state.rx_end = UINT64_MAX;
	sd_put(lane, &e);
	look();
	ck_assert_int_eq(mtcp_write(m, fd, "fine", 4), 4);
	/* bytes that lie nowhere */
	e = sd_state(&c);
	e.state.rx_end = 100;
	e.state.rx_chunk = ids[_i];
	e.state.rx_chunk_no = 0;
	sd_put(lane, &e);
	FAILS((int)mtcp_read(m, fd, back, 100), EIO);
	ck_assert_int_eq(mtcp_read(m, fd, back, 100), 0);
	ck_assert_int_eq(mtcp_close(m, fd), 0);
	down();
}
END_TEST

/* A cursor that stackd cannot have written, and a lane marked dead by CTL_DETACHED. */
START_TEST(lying_cursor)
{
	up_with_one(NULL);
	lane->down->cmd_done = 100000;
	for (int i = 0; i < 300 && mtcp_write(m, fd, "x", 1) == 1; i++)
		;
	FAILS(mtcp_socket(m, AF_INET, SOCK_STREAM, 0), ESHUTDOWN);
	down();
}
END_TEST

/* The engine is woken once, not at every call. */
START_TEST(one_ring_of_the_doorbell)
{
	uint64_t n;

	up_with_one(NULL);
	(void)eventfd_read(lane->bell, &n);
	bell_sleep(&lane->down->engine_asleep, 1);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(mtcp_write(m, fd, "x", 1), 1);
	ck_assert_int_eq(eventfd_read(lane->bell, &n), 0);
	ck_assert_uint_eq(n, 1);
	/* awake: no ring */
	bell_wake(&lane->down->engine_asleep);
	while (!sd_idle(lane)) {
		struct cmd cmd;

		ring_get(&lane->cmds, &cmd);
		ring_done(&lane->cmds);
		sd_apply(&c, &cmd);
	}
	ck_assert_int_eq(mtcp_write(m, fd, "x", 1), 1);
	ck_assert_int_eq(eventfd_read(lane->bell, &n), -1);
	/* asleep again: one more */
	apply(CMD_SEND);
	bell_sleep(&lane->down->engine_asleep, 1);
	ck_assert_int_eq(mtcp_write(m, fd, "x", 1), 1);
	ck_assert_int_eq(eventfd_read(lane->bell, &n), 0);
	down();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shim_stream");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, read_and_peek);
	tcase_add_test(t, read_vectors);
	tcase_add_loop_test(t, read_in_all_sizes, 0, 20);
	tcase_add_test(t, drained_at_a_chunks_end);
	tcase_add_test(t, drained_and_replaced);
	tcase_add_test(t, credit_of_large_reads);
	tcase_add_test(t, end_of_stream);
	tcase_add_test(t, reset_by_peer);
	tcase_add_test(t, reset_after_the_end);
	tcase_add_test(t, blocking_read);
	tcase_add_test(t, write_names_the_chunks);
	tcase_add_test(t, write_up_to_the_limit);
	tcase_add_test(t, soft_errors);
	tcase_add_test(t, write_before_the_first_state);
	tcase_add_test(t, blocking_write);
	tcase_add_test(t, full_command_ring);
	tcase_add_test(t, segments_on_demand);
	tcase_add_test(t, starved_writers_are_told);
	tcase_add_test(t, shutdown_both_ways);
	tcase_add_test(t, closed_with_bytes_in_flight);
	tcase_add_loop_test(t, abort_and_reset, 0, 2);
	tcase_add_test(t, destroy_waits_for_the_bytes);
	tcase_add_loop_test(t, nonsense, 0, 5);
	tcase_add_test(t, lying_cursor);
	tcase_add_test(t, one_ring_of_the_doorbell);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
