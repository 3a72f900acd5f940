/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commands, cursors and the engine's own doings in any order, over a TCP that watches how it is called (fake_tcp.h).  In
 * the end the lane is taken back, and nothing may be left.
 */
#define _GNU_SOURCE
#include <unistd.h>

#include "stackd/app/app.c"
#include "stackd/app/cmd.c"
#include "stackd/app/event.c"
#include "tests/fuzz/drive.h"
#include "tests/unit/fake_tcp.h"

enum { SLOTS = 8, SOCKETS = 24, PICKS = 16 };

static struct tcp tcp;
static struct stats stats;
static struct app_env env;
static struct lane *lane;
static struct listener *listener;
static struct ring_prod cmds;
static struct ring_cons events;
static uint8_t memory[BYTES_SEG_SIZE];

static void fake_wrong(const char *what)
{
	fprintf(stderr, "fuzz_cmd: %s (FUZZ_ONE=%ju)\n", what, (uintmax_t)DRIVE_SEED);
	abort();
}

static bool late_segments(void *arg)
{
	struct feed *f = arg;
	uint8_t b = feed_byte(f);

	if (b == 255)
		lane_leave(lane);
	lane->owner.tx.base[1] = memory;
	return b % 2 != 0;
}

static struct fake_conn *pick(struct feed *f, bool held)
{
	struct fake_conn *c, *found = NULL;
	unsigned n = feed_byte(f) % PICKS;

	TAILQ_FOREACH(c, &tcp.conns, all) {
		if (c->held != held)
			continue;
		found = c;
		if (n-- == 0)
			break;
	}
	return found;
}

/* What the wire does. */
static void wire(struct feed *f)
{
	struct fake_conn *c = pick(f, true);
	uint8_t b = feed_byte(f);

	if (b % 8 == 0 && lane->owner.conns < SOCKETS + 4 && !lane->owner.dead) {
		struct tcp_conn *n = fake_conn_new(&tcp, &lane->owner, NULL);

		n->listener = b % 16 != 0 ? listener : NULL;
		listener->lane[0].waiting++;
		n->note = TCP_NOTE_ACCEPT | (b & TCP_NOTE_STATE);
		app_note(&env, n);
		return;
	}
	if (c == NULL)
		return;
	c->c.state = TCP_ESTABLISHED;
	c->c.rx_end += b;
	c->c.tx_acked = c->c.tx_end;
	c->c.err = b % 32 == 1 ? ECONNRESET : c->c.err;
	c->c.note |= TCP_NOTE_STATE | (c->c.user != NULL && b % 4 == 0 ? TCP_NOTE_OPEN : 0);
	app_note(&env, &c->c);
}

static void let_go(struct feed *f)
{
	struct fake_conn *c = pick(f, false);

	if (c != NULL)
		fake_let_go(&tcp, &c->c);
}

static void command(struct feed *f, bool likely)
{
	struct cmd c;

	feed_bytes(f, &c, 12);
	memset(&c.raw, 0, sizeof(c.raw));
	if (likely) {
		c.op = 1 + c.op % (CMD_MAX - 1);
		c.handle.index = (c.handle.index % SOCKETS) | (c.handle.gen % 8 != 0 ? HANDLE_ACTIVE : 0);
		c.handle.gen = 1 + c.handle.gen / 8 % 2;
		if (c.op == CMD_SEND) {
			memset(c.send.chunk, 0xff, sizeof(c.send.chunk));
			c.send.chunk[0] = feed_byte(f);
			c.send.tx_end = feed_byte(f);
		} else if (c.op == CMD_CLOSE) {
			c.close.linger_s = (int8_t)feed_byte(f);
		}
	} else {
		feed_bytes(f, &c.raw, sizeof(c.raw));
	}
	(void)ring_put(&cmds, &c, sizeof(c));
}

static void hear(struct feed *f)
{
	struct event e;

	for (unsigned n = feed_byte(f) % 4; n > 0 && ring_get(&events, &e); n--) {
		if (e.op == EV_NONE || e.op >= EV_MAX)
			fake_wrong("an event that does not exist");
	}
	ring_done(&events);
}

static void turn(void)
{
	unsigned n = app_commands(&env, lane);

	if (n > QUANTUM)
		fake_wrong("more than its share");
	if (lane->state == LANE_LIVE)
		app_settle(&env, lane);
	else
		(void)lane_reclaim(&env, lane, 1000);
	env.now_us += 100;
}

static void step(struct feed *f)
{
	uint8_t b = feed_byte(f);

	switch (b % 12) {
	case 0 ... 4:
		command(f, true);
		break;
	case 5:
		command(f, b % 5 != 0);
		break;
	case 6 ... 7:
		wire(f);
		break;
	case 8:
		if (b < 128)
			let_go(f);
		else
			hear(f);
		break;
	case 9:
		tcp.open_err = b & 0x40 ? -EADDRNOTAVAIL : 0;
		tcp.lets_go = b & 0x80;
		lane->upp->client_asleep = b;
		break;
	case 10:
		if (b == 10)
			lane->upp->event_done = feed_u32(f);
		else if (b == 130)
			lane_leave(lane);
		break;
	default:
		turn();
	}
}

static void the_end(void)
{
	lane_leave(lane);
	for (unsigned i = 0; !lane_reclaim(&env, lane, 1000); i++) {
		env.now_us += 100;
		if (i > 1000)
			fake_wrong("a lane that is never given back");
	}
	if (lane->owner.conns != 0 || !TAILQ_EMPTY(&tcp.conns) || !TAILQ_EMPTY(&lane->dirty))
		fake_wrong("something is left");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct app_env fresh = { .tcp = &tcp, .stats = &stats, .listeners = (void *)&tcp,
					      .late_segments = late_segments };
	struct feed f = { data, data + size };
	struct lane_conf conf = { .app = 1, .ring_slots = SLOTS, .max_sockets = SOCKETS, .may_connect = true, .wake_fd = -1 };

	tcp = (struct tcp){ .env = &env };
	TAILQ_INIT(&tcp.conns);
	env = fresh;
	env.arg = &f;
	if (lane_create(&conf, &lane) != 0)
		return 0;
	listener = calloc(1, sizeof(*listener) + sizeof(listener->lane[0]));
	lane->owner.tx.base[0] = memory;
	ring_prod_init(&cmds, lane->upp->cmd, &lane->dn->cmd_done, SLOTS);
	ring_cons_init(&events, lane->dn->event, &lane->upp->event_done, SLOTS);
	while (feed_left(&f))
		step(&f);
	turn();
	the_end();
	lane_destroy(lane);
	free(listener);
	return 0;
}

DRIVE_MAIN("cmd", 20000, 2048)
