/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A lane from both ends: app/ over a played TCP (fake_tcp.h), and a client that writes the lane's own memory by hand.
 */
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stackd/app/app.c"
#include "stackd/app/cmd.c"
#include "stackd/app/event.c"
#include "tests/unit/fake_tcp.h"

enum { SLOTS = 64, SOCKETS = 2000 };

static void fake_wrong(const char *what)
{
	ck_abort_msg("tcp/ was called wrongly: %s", what);
}

/* --- Both ends ------------------------------------------------------------------------------------------------------------- */

struct end {
	struct lane *l;
	struct ring_prod cmds;
	struct ring_cons events;
	int wake[2];
};

static struct tcp tcp;
static struct stats stats;
static struct app_env env;
static struct end e;
static unsigned late_calls;
static struct { uint32_t index; void *base; struct lane *leaves; } late;

static bool late_segments(void *arg)
{
	(void)arg;
	late_calls++;
	if (late.leaves != NULL)
		lane_leave(late.leaves);
	if (late.base == NULL)
		return false;
	e.l->owner.tx.base[late.index] = late.base;
	return true;
}

static void end_open(struct end *p, uint32_t slots, uint32_t sockets)
{
	struct lane_conf conf = { .app = 7, .ring_slots = slots, .max_sockets = sockets, .may_connect = true };

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, p->wake), 0);
	conf.wake_fd = p->wake[0];
	ck_assert_int_eq(lane_create(&conf, &p->l), 0);
	ring_prod_init(&p->cmds, p->l->upp->cmd, &p->l->dn->cmd_done, slots);
	ring_cons_init(&p->events, p->l->dn->event, &p->l->upp->event_done, slots);
}

static void end_close(struct end *p)
{
	lane_destroy(p->l);
	close(p->wake[0]);
	close(p->wake[1]);
}

static void setup(void)
{
	tcp = (struct tcp){ .env = &env };
	TAILQ_INIT(&tcp.conns);
	memset(&stats, 0, sizeof(stats));
	env = (struct app_env){ .tcp = &tcp, .stats = &stats, .listeners = (void *)&tcp, .late_segments = late_segments };
	late_calls = 0;
	memset(&late, 0, sizeof(late));
	end_open(&e, SLOTS, SOCKETS);
}

static void teardown(void)
{
	while (!TAILQ_EMPTY(&tcp.conns))
		fake_forget(&tcp, TAILQ_FIRST(&tcp.conns));
	end_close(&e);
}

static void put(struct end *p, const struct cmd *c)
{
	ck_assert_int_eq(ring_put(&p->cmds, c, sizeof(*c)), 0);
}

static struct cmd cmd_of(uint16_t op, uint32_t index, uint32_t gen)
{
	struct cmd c = { .op = op, .handle = { index, gen } };

	if (op == CMD_CLOSE)
		c.close.linger_s = -1;
	return c;
}

/* Put one command and let the engine take it. */
static void say(struct cmd c)
{
	put(&e, &c);
	ck_assert_uint_eq(app_commands(&env, e.l), 1);
}

static void say_op(uint16_t op, uint32_t index, uint32_t gen)
{
	say(cmd_of(op, index, gen));
}

static bool hear(struct end *p, struct event *ev)
{
	bool got = ring_get(&p->events, ev);

	ring_done(&p->events);
	return got;
}

static struct event heard(uint16_t op)
{
	struct event ev;

	ck_assert(hear(&e, &ev));
	ck_assert_uint_eq(ev.op, op);
	return ev;
}

static void silence(void)
{
	struct event ev;

	ck_assert(!hear(&e, &ev));
}

static void note(struct tcp_conn *c, uint8_t notes)
{
	c->note |= notes;
	app_note(&env, c);
}

static struct tcp_conn *connected(uint32_t i, uint32_t gen)
{
	struct tcp_conn *c;

	say_op(CMD_CONNECT, HANDLE_ACTIVE | i, gen);
	c = &TAILQ_LAST(&tcp.conns, fake_conns)->c;
	return c;
}

/* A listener with room for one engine's counters. */
static struct listener *listener_new(uint32_t cookie)
{
	struct listener *l = calloc(1, sizeof(*l) + sizeof(l->lane[0]));

	l->cookie = cookie;
	l->lane[0].waiting = 2;
	return l;
}

static struct tcp_conn *accepted(struct listener *l)
{
	struct tcp_conn *c = fake_conn_new(&tcp, &e.l->owner, NULL);

	c->listener = l;
	note(c, TCP_NOTE_ACCEPT);
	return c;
}

static void well(void)
{
	ck_assert_ptr_null(e.l->bad);
}

static void bad(void)
{
	ck_assert_ptr_nonnull(e.l->bad);
	ck_assert_uint_ge(stats.n[CNT_APP_BAD_CMD], 1);
	ck_assert(!app_ready(e.l));
}

/* --- Opening ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_connect)
{
	struct cmd c = cmd_of(CMD_CONNECT, HANDLE_ACTIVE | 3, 9);
	struct event ev;

	c.connect.dport = 80;
	c.connect.dst.b[15] = 5;
	say(c);
	ck_assert_uint_eq(tcp.opens, 1);
	ck_assert_uint_eq(tcp.last_open.dport, 80);
	ck_assert_uint_eq(tcp.last_open.dst.b[15], 5);
	silence();
	note(&TAILQ_FIRST(&tcp.conns)->c, TCP_NOTE_OPEN | TCP_NOTE_STATE);
	ev = heard(EV_OPEN);
	ck_assert_uint_eq(ev.handle.index, HANDLE_ACTIVE | 3);
	ck_assert_uint_eq(ev.handle.gen, 9);
	heard(EV_STATE);
	silence();
	TAILQ_FIRST(&tcp.conns)->c.soft_err = EHOSTUNREACH; /* that ends nothing */
	note(&TAILQ_FIRST(&tcp.conns)->c, TCP_NOTE_STATE);
	ev = heard(EV_STATE);
	ck_assert_uint_eq(ev.flags & (EVF_SOFT | EVF_ERROR), EVF_SOFT);
	ck_assert_uint_eq(ev.state.err, EHOSTUNREACH);
	silence();
	well();
}
END_TEST

START_TEST(test_connect_failure_is_told_and_the_name_stays_until_closed)
{
	struct cmd c = cmd_of(CMD_CLOSE, HANDLE_ACTIVE, 1);
	struct event ev;

	tcp.open_err = -ENETUNREACH;
	say_op(CMD_CONNECT, HANDLE_ACTIVE, 1);
	ev = heard(EV_STATE);
	ck_assert_uint_eq(ev.flags, EVF_ERROR);
	ck_assert_uint_eq(ev.state.err, ENETUNREACH);
	say_op(CMD_SEND, HANDLE_ACTIVE, 1); /* sent before it could know */
	ck_assert_uint_eq(stats.n[CNT_APP_STALE], 1);
	c.close.tx_end = 5000;
	say(c);
	ev = heard(EV_STATE);
	ck_assert_uint_eq(ev.flags, EVF_CLOSED);
	ck_assert_uint_eq(ev.state.tx_acked, 5000);
	tcp.open_err = 0;
	say_op(CMD_CONNECT, HANDLE_ACTIVE, 2);
	ck_assert_uint_eq(tcp.opens, 2);
	well();
}
END_TEST

static const struct handle not_to_be_opened[] = {
	{ 0, 1 },                            /* the engine's to give */
	{ HANDLE_ACTIVE | 5, 2 },            /* in use */
	{ HANDLE_ACTIVE | SOCKETS, 1 },      /* one too far */
	{ UINT32_MAX, 1 },
	{ HANDLE_ACTIVE | 0x40000000u, 1 },
};

START_TEST(test_connect_under_a_name_that_is_not_free)
{
	struct handle h = not_to_be_opened[_i];

	say_op(CMD_CONNECT, HANDLE_ACTIVE | 5, 1);
	well();
	say_op(CMD_CONNECT, h.index, h.gen);
	ck_assert_uint_eq(tcp.opens, 1);
	bad();
}
END_TEST

START_TEST(test_connect_from_a_port_of_others)
{
	struct cmd c = cmd_of(CMD_CONNECT, HANDLE_ACTIVE, 1);

	c.connect.sport = 80;
	say(c);
	ck_assert_uint_eq(tcp.opens, 0);
	ck_assert_uint_eq(heard(EV_STATE).state.err, EADDRINUSE);
	tcp.owns = true;
	c.handle.index++;
	say(c);
	ck_assert_uint_eq(tcp.opens, 1);
	well();
}
END_TEST

/* A program that may monitor and no more. */
START_TEST(test_connect_of_one_that_is_no_endpoint)
{
	e.l->may_connect = false;
	for (uint32_t i = 0; i < 2; i++) {
		struct cmd c = cmd_of(CMD_CONNECT, HANDLE_ACTIVE | i, 1);

		c.connect.sport = (uint16_t)(80 * i);
		say(c);
		ck_assert_uint_eq(heard(EV_STATE).state.err, EACCES);
		say_op(CMD_CLOSE, HANDLE_ACTIVE | i, 1);
		(void)heard(EV_STATE);
	}
	ck_assert_uint_eq(tcp.opens, 0);
	well();
}
END_TEST

START_TEST(test_accept)
{
	struct listener *l = listener_new(42);
	struct tcp_conn *c = accepted(l);
	struct event ev = heard(EV_ACCEPT);

	ck_assert_uint_eq(ev.open.cookie, 42);
	ck_assert_uint_eq(ev.handle.index & HANDLE_ACTIVE, 0);
	say_op(CMD_ACCEPTED, ev.handle.index, ev.handle.gen);
	ck_assert_uint_eq(l->lane[0].waiting, 1);
	ck_assert_ptr_null(c->listener);
	for (int i = 0; i < 20; i++)
		say_op(CMD_ACCEPTED, ev.handle.index, ev.handle.gen);
	ck_assert_uint_eq(l->lane[0].waiting, 1);
	free(l);
}
END_TEST

START_TEST(test_closing_what_was_not_accepted_makes_room_in_the_backlog)
{
	struct listener *l = listener_new(1);
	struct event ev;

	accepted(l);
	ev = heard(EV_ACCEPT);
	tcp.lets_go = true;
	say_op(CMD_CLOSE, ev.handle.index, ev.handle.gen);
	ck_assert_uint_eq(l->lane[0].waiting, 1);
	heard(EV_STATE);
	free(l);
}
END_TEST

START_TEST(test_accept_beyond_the_bound_is_reset)
{
	struct listener *l = listener_new(1);
	struct event ev;
	unsigned n = 0;

	for (unsigned i = 0; i < SOCKETS + 5; i++) {
		accepted(l);
		n += hear(&e, &ev);
	}
	ck_assert_uint_eq(n, SOCKETS);
	ck_assert_uint_eq(tcp.releases, 5);
	well();
	free(l);
}
END_TEST

START_TEST(test_a_name_is_given_again_with_another_generation)
{
	struct listener *l = listener_new(1);
	struct event a, b;

	tcp.lets_go = true;
	accepted(l);
	a = heard(EV_ACCEPT);
	say_op(CMD_CLOSE, a.handle.index, a.handle.gen);
	heard(EV_STATE);
	accepted(l);
	b = heard(EV_ACCEPT);
	ck_assert_uint_eq(a.handle.index, b.handle.index);
	ck_assert_uint_ne(a.handle.gen, b.handle.gen);
	say_op(CMD_CLOSE, a.handle.index, a.handle.gen);
	ck_assert_uint_eq(stats.n[CNT_APP_STALE], 1);
	ck_assert_uint_eq(tcp.releases, 1);
	free(l);
}
END_TEST

/* --- Commands ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_each_command_reaches_tcp)
{
	struct tcp_conn *c = connected(0, 1);
	struct fake_conn *f = (struct fake_conn *)c;
	struct cmd cmd = cmd_of(CMD_SEND, HANDLE_ACTIVE, 1);
	static uint8_t memory[BYTES_SEG_SIZE];

	e.l->owner.tx.base[0] = memory;
	c->rx_end = 100;
	memset(cmd.send.chunk, 0xff, sizeof(cmd.send.chunk));
	cmd.send.chunk[0] = 1;
	cmd.send.tx_end = 4096;
	cmd.send.rx_done = 10;
	say(cmd);
	ck_assert_uint_eq(f->sends, 1);
	ck_assert_uint_eq(c->rx_done, 10);
	cmd = cmd_of(CMD_CREDIT, HANDLE_ACTIVE, 1);
	cmd.send.rx_done = 100;
	say(cmd);
	ck_assert_uint_eq(c->rx_done, 100);
	cmd = cmd_of(CMD_SETOPT, HANDLE_ACTIVE, 1);
	cmd.opt.name = OPT_NODELAY;
	cmd.opt.value = 1;
	say(cmd);
	ck_assert_uint_eq(f->opt_name, OPT_NODELAY);
	cmd = cmd_of(CMD_SHUTDOWN, HANDLE_ACTIVE, 1);
	cmd.close.rx_done = 100;
	cmd.close.how = SHUT_WR;
	say(cmd);
	ck_assert_int_eq(f->how, SHUT_WR);
	cmd = cmd_of(CMD_CLOSE, HANDLE_ACTIVE, 1);
	cmd.close.rx_done = 100;
	cmd.close.tx_end = 4096;
	cmd.close.linger_s = INT32_MIN;
	say(cmd);
	ck_assert_int_eq(f->linger_s, -1);
	silence(); /* its bytes are on their way */
	fake_let_go(&tcp, c);
	ck_assert_uint_eq(heard(EV_STATE).state.tx_acked, 4096);
	well();
	ck_assert_uint_eq(stats.n[CNT_APP_STALE], 0);
}
END_TEST

START_TEST(test_stale_handles_are_counted_and_reach_nothing)
{
	static const struct handle wrong[] = { { HANDLE_ACTIVE, 2 }, { HANDLE_ACTIVE, 0 }, { HANDLE_ACTIVE | 1, 1 }, { 0, 1 },
					       { UINT32_MAX, 1 }, { 0x7fffffff, 1 } };
	struct tcp_conn *c = connected(0, 1);
	struct fake_conn *f = (struct fake_conn *)c;
	unsigned n = 0;

	for (uint16_t op = CMD_SEND; op < CMD_MAX; op++) {
		for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++, n++)
			say_op(op, wrong[i].index, wrong[i].gen);
	}
	ck_assert_uint_eq(stats.n[CNT_APP_STALE], n);
	ck_assert_uint_eq(f->sends + f->credits + f->shutdowns + f->setopts + tcp.releases, 0);
	well();
}
END_TEST

START_TEST(test_closed_twice)
{
	struct tcp_conn *c = connected(0, 1);

	say_op(CMD_CLOSE, HANDLE_ACTIVE, 1);
	for (uint16_t op = CMD_SEND; op < CMD_MAX; op++)
		say_op(op, HANDLE_ACTIVE, 1);
	ck_assert_uint_eq(tcp.releases, 1);
	ck_assert_uint_eq(stats.n[CNT_APP_STALE], CMD_MAX - CMD_SEND);
	fake_let_go(&tcp, c);
	heard(EV_STATE);
	say_op(CMD_CLOSE, HANDLE_ACTIVE, 1);
	silence();
	well();
}
END_TEST

static const uint16_t unknown_op[] = { CMD_NONE, CMD_MAX, CMD_MAX + 1, 0x8000, UINT16_MAX };

START_TEST(test_unknown_commands_detach)
{
	connected(0, 1);
	say_op(unknown_op[_i], HANDLE_ACTIVE, 1);
	bad();
	ck_assert_uint_eq(app_commands(&env, e.l), 0);
}
END_TEST

START_TEST(test_consuming_what_never_came_detaches)
{
	struct cmd cmd = cmd_of(_i == 0 ? CMD_CREDIT : _i == 1 ? CMD_CLOSE : CMD_SHUTDOWN, HANDLE_ACTIVE, 1);
	struct tcp_conn *c = connected(0, 1);

	c->rx_end = 10;
	cmd.send.rx_done = 11;
	say(cmd);
	bad();
}
END_TEST

START_TEST(test_shutting_down_a_direction_that_does_not_exist_detaches)
{
	struct cmd cmd = cmd_of(CMD_SHUTDOWN, HANDLE_ACTIVE, 1);

	connected(0, 1);
	cmd.close.how = 3;
	say(cmd);
	bad();
}
END_TEST

START_TEST(test_chunks_that_are_nowhere_detach)
{
	static const uint32_t wrong[] = { 0, BYTES_SEG_CHUNKS, 77, UINT32_MAX, UINT32_MAX - 1, 1u << 31 };
	struct cmd cmd = cmd_of(CMD_SEND, HANDLE_ACTIVE, 1);

	connected(0, 1);
	memset(cmd.send.chunk, 0xff, sizeof(cmd.send.chunk));
	cmd.send.chunk[0] = wrong[_i];
	cmd.send.tx_end = 100;
	say(cmd);
	ck_assert_uint_eq(late_calls, 1);
	bad();
}
END_TEST

START_TEST(test_a_segment_whose_message_is_late)
{
	static uint8_t memory[BYTES_SEG_SIZE];
	struct cmd cmd = cmd_of(CMD_SEND, HANDLE_ACTIVE, 1);
	struct tcp_conn *c = connected(0, 1);

	late.index = 3;
	late.base = memory;
	memset(cmd.send.chunk, 0xff, sizeof(cmd.send.chunk));
	cmd.send.chunk[0] = 3 * BYTES_SEG_CHUNKS + 1;
	cmd.send.tx_end = 100;
	say(cmd);
	ck_assert_uint_eq(c->tx_end, 100);
	well();
}
END_TEST

START_TEST(test_a_lane_that_mail_ends_takes_no_further_command)
{
	struct cmd cmd = cmd_of(CMD_SEND, HANDLE_ACTIVE, 1);
	struct cmd more = cmd_of(CMD_CONNECT, HANDLE_ACTIVE | 1, 1);
	static uint8_t memory[BYTES_SEG_SIZE];

	connected(0, 1);
	late.base = memory;
	late.leaves = e.l;
	memset(cmd.send.chunk, 0xff, sizeof(cmd.send.chunk));
	cmd.send.chunk[0] = 1;
	cmd.send.tx_end = 1;
	put(&e, &cmd);
	put(&e, &more);
	ck_assert_uint_eq(app_commands(&env, e.l), 1);
	ck_assert_uint_eq(tcp.opens, 1);
}
END_TEST

/* --- A full event ring ---------------------------------------------------------------------------------------------------------- */

START_TEST(test_full_ring_loses_nothing_and_keeps_the_order)
{
	enum { N = 3 * SLOTS };
	struct tcp_conn *c[N];
	struct event ev;
	unsigned n = 0;

	for (uint32_t i = 0; i < N; i++)
		c[i] = connected(i, 1);
	for (uint32_t i = 0; i < N; i++) {
		c[i]->rx_end = i;
		note(c[i], TCP_NOTE_STATE);
	}
	ck_assert(app_waits(e.l));
	ck_assert_uint_gt(stats.n[CNT_APP_EVENT_FULL], 0);
	while (n < N) {
		for (unsigned k = 0; k < 7 && hear(&e, &ev); k++, n++) {
			ck_assert_uint_eq(ev.handle.index, HANDLE_ACTIVE | n);
			ck_assert_uint_eq(ev.state.rx_end, n);
		}
		app_settle(&env, e.l);
	}
	ck_assert(!app_waits(e.l));
	silence();
	well();
}
END_TEST

static void ring_fill(struct tcp_conn *c)
{
	for (unsigned i = 0; i < SLOTS; i++)
		note(c, TCP_NOTE_STATE);
	ck_assert_uint_eq(c->note, 0);
}

static void ring_drain(void)
{
	struct event ev;

	while (hear(&e, &ev))
		;
}

/* TCP_INFO is answered whole, also by a ring that has room for a part of it only. */
START_TEST(test_full_ring_info)
{
	struct tcp_conn *c = connected(0, 1);
	struct sock_info i;
	struct event ev;

	for (unsigned n = 0; n < SLOTS - 2; n++)
		note(c, TCP_NOTE_STATE);
	{
		struct cmd cmd = cmd_of(CMD_INFO, HANDLE_ACTIVE, 1);

		cmd.info.token = 77;
		say(cmd);
	}
	app_settle(&env, e.l);
	for (unsigned n = 0; n < SLOTS - 2; n++)
		heard(EV_STATE);
	for (unsigned part = 0; part < SOCK_INFO_PARTS; part++) {
		if (part == 2)
			app_settle(&env, e.l);
		ev = heard(EV_INFO);
		ck_assert_uint_eq(ev.handle.index, HANDLE_ACTIVE);
		ck_assert_uint_eq(ev.info.token, 77);
		ck_assert_uint_eq(ev.info.part, part);
		memcpy((char *)&i + part * SOCK_INFO_PART, ev.info.data, SOCK_INFO_PART);
	}
	silence();
	ck_assert_uint_eq(i.snd_mss, 1234);
	ck_assert_uint_eq(i.min_rtt, 4321);
	say_op(CMD_INFO, HANDLE_ACTIVE, 2);
	ck_assert_uint_eq(stats.n[CNT_APP_STALE], 1);
	well();
}
END_TEST

START_TEST(test_full_ring_the_latest_state_is_told_once)
{
	struct tcp_conn *c = connected(0, 1);

	ring_fill(c);
	for (unsigned i = 1; i <= 10; i++) {
		c->rx_end = i;
		note(c, TCP_NOTE_STATE);
	}
	ring_drain();
	app_settle(&env, e.l);
	ck_assert_uint_eq(heard(EV_STATE).state.rx_end, 10);
	silence();
}
END_TEST

START_TEST(test_full_ring_failure_close_and_last_word)
{
	struct tcp_conn *c = connected(0, 1);
	struct event ev;

	ring_fill(c);
	tcp.open_err = -EADDRNOTAVAIL;
	say_op(CMD_CONNECT, HANDLE_ACTIVE | 1, 1);
	tcp.lets_go = true;
	note(c, TCP_NOTE_STATE);
	say_op(CMD_CLOSE, HANDLE_ACTIVE, 1);
	say_op(CMD_CLOSE, HANDLE_ACTIVE, 1); /* stale now, and the name is still there */
	ring_drain();
	app_settle(&env, e.l);
	ev = heard(EV_STATE);
	ck_assert_uint_eq(ev.handle.index, HANDLE_ACTIVE | 1);
	ck_assert_uint_eq(ev.state.err, EADDRNOTAVAIL);
	ev = heard(EV_STATE);
	ck_assert_uint_eq(ev.handle.index, HANDLE_ACTIVE);
	ck_assert_uint_eq(ev.flags, EVF_CLOSED);
	silence();
	ck_assert(!app_waits(e.l));
	ck_assert_uint_eq(stats.n[CNT_APP_STALE], 1);
}
END_TEST

START_TEST(test_full_ring_an_accept_whose_listener_is_closed_meanwhile)
{
	struct listener *l = listener_new(0);
	struct tcp_conn *c = connected(0, 1);
	struct event ev;

	ring_fill(c);
	c = accepted(l);
	ck_assert(app_waits(e.l));
	free(l);
	c->listener = NULL;
	ring_drain();
	app_settle(&env, e.l);
	silence();
	ck_assert_uint_eq(tcp.releases, 1);
	ck_assert(!app_waits(e.l));
	l = listener_new(5);
	accepted(l);
	ev = heard(EV_ACCEPT);
	ck_assert_uint_eq(ev.open.cookie, 5);
	ck_assert_uint_eq(ev.handle.index, 0);
	free(l);
}
END_TEST

START_TEST(test_a_failure_that_waits_and_is_closed_meanwhile)
{
	struct tcp_conn *c = connected(0, 1);

	ring_fill(c);
	tcp.open_err = -EADDRNOTAVAIL;
	say_op(CMD_CONNECT, HANDLE_ACTIVE | 1, 1);
	say_op(CMD_CLOSE, HANDLE_ACTIVE | 1, 1);
	ring_drain();
	app_settle(&env, e.l);
	ck_assert_uint_eq(heard(EV_STATE).flags, EVF_CLOSED);
	silence();
	tcp.open_err = 0;
	say_op(CMD_CONNECT, HANDLE_ACTIVE | 1, 2);
	well();
}
END_TEST

START_TEST(test_lying_event_cursors_detach)
{
	static const int32_t lie[] = { 1, SLOTS, -1, INT32_MIN, INT32_MAX };
	struct tcp_conn *c = connected(0, 1);

	for (unsigned i = 0; i < SLOTS; i++) {
		note(c, TCP_NOTE_STATE);
		if (i == SLOTS / 2)
			ring_drain();
	}
	e.l->upp->event_done = e.l->events.head + (uint32_t)lie[_i];
	if (lie[_i] == -1)
		e.l->upp->event_done = e.l->events.seen - 1;
	for (unsigned i = 0; i < 2 * SLOTS; i++) {
		note(c, TCP_NOTE_STATE);
		app_settle(&env, e.l);
	}
	ck_assert_ptr_nonnull(e.l->bad);
	ck_assert_uint_eq(stats.n[CNT_APP_BAD_CURSOR], 1);
}
END_TEST

/* --- Waking ------------------------------------------------------------------------------------------------------------------------ */

static unsigned wakes(struct end *p)
{
	unsigned n = 0;
	char b;

	while (recv(p->wake[1], &b, 1, MSG_DONTWAIT) == 1)
		n++;
	return n;
}

START_TEST(test_one_wake_for_one_sleep)
{
	struct tcp_conn *c = connected(0, 1);

	note(c, TCP_NOTE_STATE);
	app_settle(&env, e.l);
	ck_assert_uint_eq(wakes(&e), 0); /* it is awake */
	for (uint32_t sleep = 1; sleep < 4; sleep++) {
		bell_sleep(&e.l->upp->client_asleep, sleep);
		app_settle(&env, e.l);
		ck_assert_uint_eq(wakes(&e), 0); /* no news */
		for (unsigned i = 0; i < 5; i++) {
			note(c, TCP_NOTE_STATE);
			app_settle(&env, e.l);
		}
		ck_assert_uint_eq(wakes(&e), 1);
	}
	ck_assert_uint_eq(e.l->wakes, 3);
}
END_TEST

START_TEST(test_a_wake_socket_that_is_never_read_or_closed_costs_nothing)
{
	struct tcp_conn *c = connected(0, 1);
	uint32_t sleep = 0;

	if (_i == 1)
		shutdown(e.wake[1], SHUT_RDWR);
	for (unsigned i = 0; i < 5000; i++) {
		bell_sleep(&e.l->upp->client_asleep, ++sleep);
		note(c, TCP_NOTE_STATE);
		app_settle(&env, e.l);
		ring_drain();
	}
	ck_assert_uint_eq(e.l->wakes, 5000);
	well();
}
END_TEST

/* --- Shares ------------------------------------------------------------------------------------------------------------------------ */

START_TEST(test_a_flood_cannot_starve_another)
{
	struct end quiet;
	struct cmd flood = cmd_of(CMD_CREDIT, 9, 9), one = cmd_of(CMD_CREDIT, 8, 8);

	end_open(&quiet, SLOTS, SOCKETS);
	for (unsigned turn = 0; turn < 100; turn++) {
		while (ring_put(&e.cmds, &flood, sizeof(flood)) == 0)
			;
		put(&quiet, &one);
		ck_assert_uint_le(app_commands(&env, e.l), QUANTUM);
		ck_assert_uint_eq(app_commands(&env, quiet.l), 1);
	}
	end_close(&quiet);
}
END_TEST

START_TEST(test_unused_shares_are_not_saved_up)
{
	struct cmd c = cmd_of(CMD_CREDIT, 9, 9);
	struct end p;

	end_open(&p, 16 * QUANTUM, SOCKETS);
	for (unsigned turn = 0; turn < 1000; turn++) {
		put(&p, &c);
		ck_assert_uint_eq(app_commands(&env, p.l), 1);
	}
	while (ring_put(&p.cmds, &c, sizeof(c)) == 0)
		;
	ck_assert_uint_eq(app_commands(&env, p.l), QUANTUM);
	end_close(&p);
}
END_TEST

START_TEST(test_connecting_costs_more)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		struct cmd c = cmd_of(CMD_CONNECT, HANDLE_ACTIVE | i, 1);

		put(&e, &c);
	}
	ck_assert_uint_eq(app_commands(&env, e.l), QUANTUM / COST_MUCH);
}
END_TEST

/* --- The end ------------------------------------------------------------------------------------------------------------------------- */

/* Turns until nothing refers to it. */
static unsigned reclaim(uint64_t drain_us)
{
	unsigned turns = 1;

	while (!lane_reclaim(&env, e.l, drain_us)) {
		env.now_us += 1000;
		ck_assert_uint_lt(turns++, 1000);
	}
	return turns;
}

START_TEST(test_reclaim_is_bounded_and_complete)
{
	struct tcp_conn *closed;

	for (uint32_t i = 0; i < 1500; i++)
		connected(i, 1);
	closed = connected(1500, 1);
	say_op(CMD_CLOSE, HANDLE_ACTIVE | 1500, 1);
	ck_assert(!lane_reclaim(&env, e.l, 0)); /* it lives */
	lane_leave(e.l);
	ck_assert(e.l->owner.dead);
	ck_assert(!app_ready(e.l));
	ck_assert(!lane_reclaim(&env, e.l, 50000));
	ck_assert_uint_eq(stats.n[CNT_APP_RECLAIMED], RECLAIM_BUDGET);
	note(closed, TCP_NOTE_STATE); /* news of what is not reset yet go nowhere */
	ck_assert_uint_eq(closed->note, 0);
	ck_assert_uint_gt(reclaim(50000), 50); /* what was closed had its time */
	ck_assert_uint_eq(e.l->state, LANE_GONE);
	ck_assert_uint_eq(e.l->owner.conns, 0);
	ck_assert_uint_eq(stats.n[CNT_APP_RECLAIMED], 1501);
	ck_assert(lane_reclaim(&env, e.l, 0));
}
END_TEST

START_TEST(test_reclaim_what_was_closed_may_finish)
{
	struct tcp_conn *c = connected(0, 1);

	say_op(CMD_CLOSE, HANDLE_ACTIVE, 1);
	lane_leave(e.l);
	while (e.l->state != LANE_DRAINING)
		ck_assert(!lane_reclaim(&env, e.l, 1000000));
	ck_assert_ptr_null(c->user);
	fake_let_go(&tcp, c);
	reclaim(1000000);
	ck_assert_uint_lt(env.now_us, 1000000);
	ck_assert_uint_eq(stats.n[CNT_APP_RECLAIMED], 0);
}
END_TEST

START_TEST(test_reclaim_what_was_closed_lets_go_while_names_are_forgotten)
{
	struct tcp_conn *c;

	for (uint32_t i = 0; i < 300; i++)
		connected(i, 1);
	c = connected(300, 1);
	say_op(CMD_CLOSE, HANDLE_ACTIVE | 300, 1);
	lane_leave(e.l);
	ck_assert(!lane_reclaim(&env, e.l, 1000000));
	fake_let_go(&tcp, c);
	reclaim(1000000);
	ck_assert_uint_lt(env.now_us, 1000000);
}
END_TEST

START_TEST(test_reclaim_with_news_that_wait)
{
	struct tcp_conn *c = connected(0, 1);

	ring_fill(c);
	note(c, TCP_NOTE_STATE);
	tcp.open_err = -EMFILE;
	say_op(CMD_CONNECT, HANDLE_ACTIVE | 1, 1);
	say_op(CMD_CLOSE, HANDLE_ACTIVE | 1, 1);
	ck_assert(app_waits(e.l));
	lane_leave(e.l);
	ck_assert(!app_waits(e.l));
	reclaim(0);
	ck_assert(TAILQ_EMPTY(&e.l->dirty));
}
END_TEST

START_TEST(test_a_connection_for_a_dead_listener_is_reset)
{
	accepted(NULL);
	silence();
	ck_assert_uint_eq(tcp.releases, 1);
}
END_TEST

START_TEST(test_segments_are_asked_for_once)
{
	static uint8_t memory[BYTES_SEG_SIZE];

	ck_assert_uint_eq(app_segments_wanted(e.l, 0), 1);
	e.l->seg_asked = 1;
	ck_assert_uint_eq(app_segments_wanted(e.l, 0), 0);
	e.l->seg_asked = 0;
	e.l->seg_retry_us = 100;
	ck_assert_uint_eq(app_segments_wanted(e.l, 99), 0);
	ck_assert_uint_eq(app_segments_wanted(e.l, 100), 1);
	ck_assert_int_eq(bytes_pool_add(&e.l->owner.rx, 0, memory), 0);
	ck_assert_uint_eq(app_segments_wanted(e.l, 100), 0);
	lane_leave(e.l);
	ck_assert_uint_eq(app_segments_wanted(e.l, 100), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("app");
	TCase *t = tcase_create("lane");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_connect);
	tcase_add_test(t, test_connect_failure_is_told_and_the_name_stays_until_closed);
	tcase_add_loop_test(t, test_connect_under_a_name_that_is_not_free, 0, 5);
	tcase_add_test(t, test_connect_from_a_port_of_others);
	tcase_add_test(t, test_connect_of_one_that_is_no_endpoint);
	tcase_add_test(t, test_accept);
	tcase_add_test(t, test_closing_what_was_not_accepted_makes_room_in_the_backlog);
	tcase_add_test(t, test_accept_beyond_the_bound_is_reset);
	tcase_add_test(t, test_a_name_is_given_again_with_another_generation);
	tcase_add_test(t, test_each_command_reaches_tcp);
	tcase_add_test(t, test_stale_handles_are_counted_and_reach_nothing);
	tcase_add_test(t, test_closed_twice);
	tcase_add_loop_test(t, test_unknown_commands_detach, 0, 5);
	tcase_add_loop_test(t, test_consuming_what_never_came_detaches, 0, 3);
	tcase_add_test(t, test_shutting_down_a_direction_that_does_not_exist_detaches);
	tcase_add_loop_test(t, test_chunks_that_are_nowhere_detach, 0, 6);
	tcase_add_test(t, test_a_segment_whose_message_is_late);
	tcase_add_test(t, test_a_lane_that_mail_ends_takes_no_further_command);
	tcase_add_test(t, test_full_ring_loses_nothing_and_keeps_the_order);
	tcase_add_test(t, test_full_ring_info);
	tcase_add_test(t, test_full_ring_the_latest_state_is_told_once);
	tcase_add_test(t, test_full_ring_failure_close_and_last_word);
	tcase_add_test(t, test_full_ring_an_accept_whose_listener_is_closed_meanwhile);
	tcase_add_test(t, test_a_failure_that_waits_and_is_closed_meanwhile);
	tcase_add_loop_test(t, test_lying_event_cursors_detach, 0, 5);
	tcase_add_test(t, test_one_wake_for_one_sleep);
	tcase_add_loop_test(t, test_a_wake_socket_that_is_never_read_or_closed_costs_nothing, 0, 2);
	tcase_add_test(t, test_a_flood_cannot_starve_another);
	tcase_add_test(t, test_unused_shares_are_not_saved_up);
	tcase_add_test(t, test_connecting_costs_more);
	tcase_add_test(t, test_reclaim_is_bounded_and_complete);
	tcase_add_test(t, test_reclaim_what_was_closed_may_finish);
	tcase_add_test(t, test_reclaim_what_was_closed_lets_go_while_names_are_forgotten);
	tcase_add_test(t, test_reclaim_with_news_that_wait);
	tcase_add_test(t, test_a_connection_for_a_dead_listener_is_reset);
	tcase_add_test(t, test_segments_are_asked_for_once);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
