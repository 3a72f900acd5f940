/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Attacks of one that may monitor, inline even: requests, filters, commands, memory, coming and going.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/hostile/foe.h"

enum {
	FLOOD = 2000,
	EVENTS_ALL = MON_PKT_IN | MON_CONN_START | MON_NEW_DATA | MON_ERROR | MON_STATE_CHANGE | MON_ORPHAN | MON_REXMIT | MON_CONN_END,
};

/* --- One that watches --------------------------------------------------------------------------------------------- */

static void watch_open(struct foe *f)
{
	struct ctl_mon_open o = { 0 };
	int err;

	foe_attach(f);
	err = foe_ask(f, CTL_MON_OPEN, &o, sizeof(o));
	if (err != 0 || f->mons != f->lanes)
		fail("it may not monitor: error %d, %u lanes", err, f->mons);
}

static int sock_ask(struct foe *f, uint16_t sock, uint16_t kind)
{
	struct ctl_mon_sock s = { .sock = sock, .kind = kind, .events = { EVENTS_ALL, EVENTS_ALL, EVENTS_ALL } };

	return foe_ask(f, CTL_MON_SOCK, &s, sizeof(s));
}

/* Everything, of every flow and packet. */
static void watch_all(struct foe *f)
{
	watch_open(f);
	if (sock_ask(f, 0, MON_STREAM) != 0 || sock_ask(f, 1, MON_RAW) != 0)
		fail("it got no monitor sockets: %s", f->why);
}

static void mon_ring(struct foe_mon *l)
{
	uint64_t one = 1;

	if (write(l->bell_fd, &one, sizeof(one)) < 0)
		return;
}

static bool mon_put(struct foe *f, unsigned lane, const struct mon_cmd *c)
{
	struct foe_mon *l = &f->mon[lane];
	uint64_t end = now_ms() + 2000;
	int err;

	while ((err = ring_put(&l->cmds, c, sizeof(*c))) == -ENOBUFS) {
		mon_ring(l);
		(void)foe_pump(f, 1);
		if (f->dead || bell_look(&l->dn->detached) != 0 || now_ms() > end)
			return false;
	}
	if (bell_look(&l->dn->engine_asleep) != 0)
		mon_ring(l);
	return err == 0;
}

/* --- Requests ----------------------------------------------------------------------------------------------------- */

static void any_request(struct foe *f)
{
	struct ctl_mon_sock s = { .sock = (uint16_t)below(18), .kind = (uint16_t)below(4), .flags = (uint16_t)rnd() };
	struct ctl_mon_filter p = { .sock = s.sock, .which = (uint16_t)below(4), .first = (uint16_t)(96 * below(4)),
				    .count = (uint16_t)below(100), .total = (uint16_t)below(400) };
	struct ctl_mon_fault x = { .app = below(20), .cause = below(8), .times = (uint32_t)rnd() };
	struct ctl_mon_open o = { .flags = below(4) };
	struct ctl_sock c = { .cookie = below(18) };

	rnd_fill(s.events, sizeof(s.events));
	rnd_fill(p.insn, sizeof(p.insn));
	switch (below(8)) {
	case 0:
		(void)foe_ask(f, CTL_MON_OPEN, &o, sizeof(o));
		break;
	case 1:
	case 2:
	case 3:
		(void)foe_ask(f, CTL_MON_SOCK, &s, sizeof(s));
		break;
	case 4:
	case 5:
		(void)foe_ask(f, CTL_MON_FILTER, &p, sizeof(p));
		break;
	case 6:
		(void)foe_ask(f, CTL_MON_CLOSE, &c, sizeof(c));
		break;
	default:
		if (foe_ask(f, CTL_MON_FAULT, &x, sizeof(x)) == 0)
			fail("a fault was forced by one that is no operator");
	}
}

static void requests(void)
{
	struct foe f;

	foe_attach(&f);
	for (unsigned i = 0; i < FLOOD && !f.dead; i++)
		any_request(&f);
	if (f.dead)
		fail("a request that could not be granted detached a client: %s", f.why);
	foe_end(&f, "mon-requests", "names, kinds, masks, pieces, faults");
}

/* Far more under way than is allowed, and nothing read. */
static void unanswered(void)
{
	struct ctl_mon_sock s = { .sock = 3, .kind = MON_STREAM };
	struct ctl_sock c = { .cookie = 3 };
	struct foe f;

	watch_open(&f);
	for (unsigned i = 0; i < FLOOD; i++) {
		if (ctl_send(f.sock, CTL_MON_SOCK, i, &s, sizeof(s), NULL, 0) != 0 ||
		    ctl_send(f.sock, CTL_MON_CLOSE, i, &c, sizeof(c), NULL, 0) != 0)
			break;
	}
	foe_end(&f, "mon-unanswered", "sockets made and closed without waiting");
}

/* All the places that there are: others then have none, but they have when these go. */
static void places(void)
{
	static struct foe f[8];
	unsigned got = 0, open = 0;

	for (; open < 6; open++) {
		watch_open(&f[open]);
		for (uint16_t i = 0; i < MON_SOCKS_MAX; i++)
			got += sock_ask(&f[open], i, MON_RAW) == 0;
	}
	printf("mon-places: %u of %u\n", got, MON_SLOTS_MAX);
	if (got > MON_SLOTS_MAX)
		fail("more monitor sockets than there are");
	while (open > 0)
		foe_end(&f[--open], "mon-places", "as many sockets as there are");
}

/* --- Filters ------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *what;
	struct mon_insn insn[2]; /* and a RET */
} program[] = {
	{ "a loop", { { 0x05, 0, 0, UINT32_MAX }, { 0x06, 0, 0, 1 } } },
	{ "a longer loop", { { 0x00, 0, 0, 1 }, { 0x05, 0, 0, UINT32_MAX - 1 } } },
	{ "an opcode that aborts", { { 0x08, 0, 0, 1 }, { 0x06, 0, 0, 1 } } },
	{ "another one", { { 0x0e, 0, 0, 1 }, { 0x06, 0, 0, 1 } } },
	{ "opcode 0xffff", { { 0xffff, 0, 0, 1 }, { 0x06, 0, 0, 1 } } },
	{ "stackd's stack", { { 0x60, 0, 0, 3 }, { 0x16, 0, 0, 0 } } },
	{ "memory beyond", { { 0x02, 0, 0, 16 }, { 0x06, 0, 0, 1 } } },
	{ "a jump out", { { 0x15, 200, 0, 0 }, { 0x06, 0, 0, 1 } } },
	{ "a division by zero", { { 0x34, 0, 0, 0 }, { 0x06, 0, 0, 1 } } },
};

static int filter_ask(struct foe *f, const struct mon_insn *insn, unsigned total)
{
	struct ctl_mon_filter p = { .sock = 1, .which = MON_FILTER_RAW, .total = (uint16_t)total };
	int err = 0;

	for (unsigned at = 0; at < total && err == 0; at += p.count) {
		p.first = (uint16_t)at;
		p.count = (uint16_t)(total - at < 96 ? total - at : 96);
		memcpy(p.insn, &insn[at], p.count * sizeof(p.insn[0]));
		err = foe_ask(f, CTL_MON_FILTER, &p, sizeof(p));
	}
	return err;
}

/* So many ways through it that nobody may walk them; of a length. 0 or an errno. */
static int labyrinth(struct foe *f, unsigned len)
{
	static struct mon_insn p[MON_FILTER_MAX];
	unsigned n = 0;

	p[n++] = (struct mon_insn){ 0x30, 0, 0, 0 };
	for (; n + 3 <= len; n += 2) {
		p[n] = (struct mon_insn){ 0x15, 0, 1, n % 256 };
		p[n + 1] = (struct mon_insn){ 0x04, 0, 0, 1 };
	}
	p[n++] = (struct mon_insn){ 0x16, 0, 0, 0 };
	return filter_ask(f, p, n);
}

static void filters(void)
{
	struct foe f;

	watch_all(&f);
	for (unsigned i = 0; i < sizeof(program) / sizeof(program[0]); i++) {
		struct mon_insn p[3] = { program[i].insn[0], program[i].insn[1], { 0x06, 0, 0, 1 } };
		int err = filter_ask(&f, p, 3);

		if (err != EINVAL)
			fail("a filter with %s: %d", program[i].what, err);
	}
	if (labyrinth(&f, 900) != 0)
		fail("a long filter was refused: %s", f.why);
	if (labyrinth(&f, MON_FILTER_MAX) != E2BIG)
		fail("a filter was let pass that takes too long for each packet");
	for (unsigned i = 0; i < FLOOD && !f.dead; i++) {
		struct mon_insn p[6];

		rnd_fill(p, sizeof(p));
		for (unsigned k = 0; k < 6; k++) {
			p[k].code &= 0xff;
			p[k].jt &= 3;
			p[k].jf &= 3;
			p[k].k >>= below(32);
		}
		(void)filter_ask(&f, p, 1 + below(6));
	}
	if (f.dead)
		fail("a filter detached a client: %s", f.why);
	foe_end(&f, "mon-filters", "loops, aborts, labyrinths, garbage");
}

/* Pieces of every filter but the last. */
static void pieces(void)
{
	struct ctl_mon_filter p = { .sock = 1, .count = 96, .total = MON_FILTER_MAX };
	struct foe f;

	watch_all(&f);
	for (unsigned i = 0; i < FLOOD && !f.dead; i++) {
		p.which = (uint16_t)(i % 3);
		p.first = (uint16_t)(i % 5 * 96);
		(void)foe_ask(&f, CTL_MON_FILTER, &p, sizeof(p));
	}
	if (f.dead)
		fail("pieces detached a client: %s", f.why);
	foe_end(&f, "mon-pieces", "filters that never end");
}

/* --- Commands ----------------------------------------------------------------------------------------------------- */

static void unknown(void)
{
	static const uint16_t op[] = { MCMD_NONE, MCMD_MAX, 0x100, UINT16_MAX };

	for (unsigned i = 0; i < sizeof(op) / sizeof(op[0]); i++) {
		struct mon_cmd c = { .op = op[i] };
		struct foe f;

		watch_all(&f);
		(void)mon_put(&f, 0, &c);
		foe_settle(&f);
		if (!f.dead)
			fail("monitor command %u was let pass", op[i]);
		foe_end(&f, "mon-unknown", "a command that does not exist");
	}
}

static struct mon_cmd any_command(const struct foe_mon *l)
{
	static const uint32_t far[] = { 0, 1, 1u << 20, (1u << 20) - 1, 1u << 31, UINT32_MAX };
	struct mon_cmd c = { .op = (uint16_t)(1 + below(MCMD_MAX - 1)), .sock = (uint16_t)below(4), .flow = below(8), .gen = below(8) };

	rnd_fill(c.raw, sizeof(c.raw));
	if (c.op == MCMD_VERDICT) {
		c.verdict.verdict = below(4);
		c.verdict.claim = below(2) != 0 ? below(16) << 20 | below(16) : (uint32_t)rnd();
		c.verdict.off = far[below(6)];
		c.verdict.len = far[below(6)];
		c.verdict.count = below(4);
	} else if (c.op == MCMD_SEND) {
		c.send.off = below(2) != 0 ? below(l->edit_size + 1) : far[below(6)];
		c.send.len = below(2) != 0 ? below(2000) : far[below(6)];
		c.send.port = below(2) != 0 ? MON_NONE : below(5);
	} else if (c.op == MCMD_STOP || c.op == MCMD_BUF) {
		c.one.value = below(4);
	}
	return c;
}

static void commands(void)
{
	struct foe f;

	watch_all(&f);
	for (unsigned i = 0; i < 10 * FLOOD; i++) {
		unsigned lane = below(f.mons);
		struct mon_cmd c = any_command(&f.mon[lane]);

		if (f.mon[lane].edit_size > 256)
			rnd_fill((uint8_t *)&f.mon[lane].upp->cmd[f.mon[lane].cmd_slots] + below(f.mon[lane].edit_size - 256), 256);
		if (!mon_put(&f, lane, &c))
			break;
	}
	foe_end(&f, "mon-commands", "verdicts, masks, frames, about anything");
}

static void cursors(void)
{
	static const uint32_t lie[] = { 1, 1 << 20, UINT32_MAX, 1u << 31 };

	for (unsigned i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		struct foe f;

		watch_all(&f);
		for (unsigned k = 0; k < 50 && !f.dead; k++) {
			for (unsigned e = 0; e < f.mons; e++) {
				f.mon[e].upp->event_done = f.mon[e].events.tail + lie[i] * (k + 1);
				f.mon[e].upp->client_asleep = k;
			}
			(void)foe_pump(&f, 2);
		}
		foe_end(&f, "mon-cursors", "events read that never were");
	}
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

static void seals(void)
{
	struct foe f;

	watch_all(&f);
	for (unsigned i = 0; i < f.mons; i++) {
		struct foe_mon *l = &f.mon[i];

		foe_read_only("monitor events", l->down_fd, l->down.base, l->down.size);
		foe_read_only("the arena", l->arena_fd, l->arena.base, l->arena.size);
		foe_ours("monitor commands", l->up_fd, l->up.base, l->up.size);
	}
	foe_settle(&f);
	if (f.dead)
		fail("holes in its own memory detached a monitor: %s", f.why);
	foe_end(&f, "mon-seals", "memory classes");
}

static void scribble(void)
{
	for (unsigned round = 0; round < 5; round++) {
		struct foe f;

		watch_all(&f);
		for (unsigned i = 0; i < FLOOD && !f.dead; i++) {
			struct foe_mon *l = &f.mon[below(f.mons)];
			size_t n = 1 + below(256), off = below((uint32_t)(l->up.size - n));

			if (below(4) == 0)
				off = below(256);
			rnd_fill((uint8_t *)l->up.base + off, n);
			mon_ring(l);
			if (i % 64 == 0)
				(void)foe_pump(&f, 1);
		}
		foe_end(&f, "mon-scribble", "random writes over all that is writable");
	}
}

/* --- Coming and going --------------------------------------------------------------------------------------------- */

/* Gone at every step, without waiting for the answer to it. */
static void vanish(void)
{
	struct ctl_mon_sock s = { .kind = MON_STREAM, .events = { EVENTS_ALL, EVENTS_ALL, EVENTS_ALL } };
	struct ctl_mon_filter p = { .total = 1, .count = 1, .insn = { { 0x06, 0, 0, 1 } } };
	struct ctl_mon_open o = { 0 };
	struct ctl_sock c = { .cookie = 0 };
	struct foe f;

	for (unsigned i = 0; i < 40; i++) {
		foe_attach(&f);
		(void)ctl_send(f.sock, CTL_MON_OPEN, 1, &o, sizeof(o), NULL, 0);
		while (i % 5 > 0 && f.mons < f.lanes && foe_pump(&f, 1000))
			;
		if (i % 5 > 1)
			(void)ctl_send(f.sock, CTL_MON_SOCK, 2, &s, sizeof(s), NULL, 0);
		if (i % 5 > 2)
			(void)ctl_send(f.sock, CTL_MON_FILTER, 3, &p, sizeof(p), NULL, 0);
		if (i % 5 > 3)
			(void)ctl_send(f.sock, CTL_MON_CLOSE, 4, &c, sizeof(c), NULL, 0);
		foe_close(&f);
	}
	watch_all(&f);
	foe_end(&f, "mon-vanish", "opened and gone again and again");
}

/* Its ring full and no verdict given: what it holds must go on without it. */
static void sleeper(void)
{
	struct foe f;
	uint64_t end = now_ms() + 1000;

	watch_all(&f);
	while (!f.dead && now_ms() < end)
		(void)foe_pump(&f, 100);
	if (f.dead)
		fail("a monitor that does nothing was detached: %s", f.why);
	foe_end(&f, "mon-sleeper", "it watches everything and reads nothing");
}

/* --- Not an endpoint ---------------------------------------------------------------------------------------------- */

/* For a user who may monitor and no more; of one who may have ports nothing is tried. */
static void no_endpoint(void)
{
	struct ctl_bind b = { .cookie = 1 };
	struct ctl_listen l = { .cookie = 1, .backlog = 1 };
	struct cmd c = { .op = CMD_CONNECT, .handle = { HANDLE_ACTIVE, 1 } };
	uint64_t end = now_ms() + 5000;
	struct event e = { 0 };
	struct foe f;

	foe_attach(&f);
	if (foe_ask(&f, CTL_BIND, &b, sizeof(b)) == 0) {
		foe_end(&f, "no-endpoint", "this user is one");
		return;
	}
	if (f.reply.err != EACCES || foe_ask(&f, CTL_LISTEN, &l, sizeof(l)) != EACCES)
		fail("one that is no endpoint may have ports: error %d", f.reply.err);
	c.connect.dst = aim.addr;
	c.connect.dport = aim.port;
	(void)foe_put(&f, 0, &c);
	while (!ring_get(&f.lane[0].events, &e) && now_ms() < end)
		(void)foe_pump(&f, 5);
	if (e.op != EV_STATE || (e.flags & EVF_ERROR) == 0 || e.state.err != EACCES)
		fail("one that is no endpoint may connect: event %u, error %u", e.op, e.state.err);
	foe_end(&f, "no-endpoint", "ports and connections of one that may monitor only");
}

const struct attack monitor_attacks[] = {
	{ "mon-requests", requests }, { "mon-unanswered", unanswered }, { "mon-places", places }, { "mon-filters", filters },
	{ "mon-pieces", pieces },     { "mon-unknown", unknown },       { "mon-commands", commands }, { "mon-cursors", cursors },
	{ "mon-seals", seals },       { "mon-scribble", scribble },     { "mon-vanish", vanish },   { "mon-sleeper", sleeper },
	{ "no-endpoint", no_endpoint }, { NULL, NULL },
};
