/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Attacks by commands: well-formed slots that say impossible things.
 */
#include <stdio.h>

#include "tests/hostile/foe.h"

enum { FLOOD = 2000 };

static struct cmd of(uint16_t op)
{
	struct cmd c = { .op = op, .handle = { HANDLE_ACTIVE, 1 } };

	if (op == CMD_SEND)
		memset(c.send.chunk, 0xff, sizeof(c.send.chunk));
	if (op == CMD_CLOSE)
		c.close.linger_s = -1;
	return c;
}

/* One command on an open connection, and what becomes of the client. */
static void once(const char *mode, const char *what, const struct cmd *c, unsigned n)
{
	struct foe f;
	bool open;

	foe_attach(&f);
	open = foe_open(&f, 0);
	for (unsigned i = 0; i < n; i++) {
		if (!foe_put(&f, 0, &c[i]))
			break;
	}
	foe_end(&f, mode, what);
	(void)open;
}

static void opcodes(void)
{
	static const uint16_t op[] = { CMD_NONE, CMD_MAX, 0x100, 0x8001, UINT16_MAX };

	for (unsigned i = 0; i < sizeof(op) / sizeof(op[0]); i++) {
		struct cmd c = of(op[i]);
		char what[32];

		snprintf(what, sizeof(what), "opcode %u", op[i]);
		once("opcodes", what, &c, 1);
	}
}

/* Names that are not ours, every command: ignored, not fatal. */
static void handles(void)
{
	static const struct handle wrong[] = { { HANDLE_ACTIVE, 0 }, { HANDLE_ACTIVE, 2 }, { HANDLE_ACTIVE, UINT32_MAX },
					       { HANDLE_ACTIVE | 1, 1 }, { 0, 1 }, { 0, 0 }, { 1, 1 }, { 0x7fffffff, 1 },
					       { UINT32_MAX, UINT32_MAX } };
	struct foe f;

	foe_attach(&f);
	(void)foe_open(&f, 0);
	for (uint16_t op = CMD_SEND; op < CMD_MAX; op++) {
		for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			struct cmd c = of(op);

			c.handle = wrong[i];
			(void)foe_put(&f, 0, &c);
		}
	}
	for (unsigned i = 0; i < FLOOD; i++) {
		struct cmd c = of((uint16_t)(CMD_SEND + below(CMD_MAX - CMD_SEND)));

		c.handle = (struct handle){ (uint32_t)rnd(), (uint32_t)rnd() };
		(void)foe_put(&f, below(f.lanes), &c);
	}
	foe_settle(&f);
	if (f.dead)
		fail("a stale handle detached a client: %s", f.why);
	foe_end(&f, "handles", "stale, foreign and huge ones");
}

/* Neighbours and strangers over IPv6, by ports that there are and that there are not. */
static void connect6(struct cmd *c)
{
	memset(&c->connect, 0, sizeof(c->connect));
	memcpy(c->connect.dst.b, below(2) != 0 ? "\xfd\x00\x00\x09" : "\xfe\x80\x00\x01", 4);
	if (below(4) == 0)
		c->connect.dst.b[3] = (uint8_t)rnd();
	c->connect.dst.b[15] = (uint8_t)rnd();
	c->connect.dport = (uint16_t)rnd();
}

static void connects(void)
{
	static const struct {
		const char *what;
		uint32_t index;
	} name[] = { { "an index in use", HANDLE_ACTIVE }, { "the engine's index", 0 }, { "the largest index", UINT32_MAX },
		     { "half of it", HANDLE_ACTIVE | 0x40000000 } };
	struct foe f;

	for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		struct cmd c = of(CMD_CONNECT);

		c.handle.index = name[i].index;
		c.connect.dst = aim.addr;
		c.connect.dport = aim.port;
		once("connects", name[i].what, &c, 1);
	}
	foe_attach(&f);
	for (unsigned i = 0; i < FLOOD; i++) {
		struct cmd c = of(CMD_CONNECT);

		c.handle = (struct handle){ HANDLE_ACTIVE | i, (uint32_t)rnd() };
		rnd_fill(&c.connect, sizeof(c.connect));
		if (below(2) != 0) {
			memset(&c.connect.src, 0, sizeof(c.connect.src));
			c.connect.dst = aim.addr;
			c.connect.dst.b[15] = (uint8_t)rnd();
			c.connect.sport = 0;
		} else if (below(2) != 0) {
			connect6(&c);
		}
		if (!foe_put(&f, below(f.lanes), &c))
			break;
	}
	foe_end(&f, "connects", "anywhere, from anywhere");
}

static void sends(void)
{
	static const struct {
		const char *what;
		uint32_t chunk[3];
		uint64_t first, end;
	} say[] = {
		{ "a chunk that is not mapped", { 1000 * BYTES_SEG_CHUNKS + 1, BYTES_NONE, BYTES_NONE }, 0, 100 },
		{ "a segment's header", { 0, BYTES_NONE, BYTES_NONE }, 0, 100 },
		{ "another segment's header", { BYTES_SEG_CHUNKS, BYTES_NONE, BYTES_NONE }, 0, 100 },
		{ "chunk 2^32-2", { UINT32_MAX - 1, BYTES_NONE, BYTES_NONE }, 0, 100 },
		{ "no chunk", { BYTES_NONE, BYTES_NONE, BYTES_NONE }, 0, 100 },
		{ "a hole", { 1, BYTES_NONE, 3 }, 0, 3 * BYTES_CHUNK },
		{ "the same chunk twice", { 1, 1, BYTES_NONE }, 0, 2 * BYTES_CHUNK },
		{ "too few chunks", { 1, BYTES_NONE, BYTES_NONE }, 0, BYTES_CHUNK + 1 },
		{ "too many chunks", { 1, 2, 3 }, 0, 1 },
		{ "an end that goes back", { 1, BYTES_NONE, BYTES_NONE }, 100, 99 },
		{ "an end 2^32 on", { 1, BYTES_NONE, BYTES_NONE }, 100, 100 + (1ull << 32) },
		{ "an end 2^63 on", { 1, BYTES_NONE, BYTES_NONE }, 100, 1ull << 63 },
		{ "the last end", { 1, 2, 3 }, 0, UINT64_MAX },
	};

	for (unsigned i = 0; i < sizeof(say) / sizeof(say[0]); i++) {
		struct cmd c[2] = { of(CMD_SEND), of(CMD_SEND) };

		c[0].send.chunk[0] = 1;
		c[0].send.tx_end = say[i].first;
		memcpy(c[1].send.chunk, say[i].chunk, sizeof(say[i].chunk));
		c[1].send.tx_end = say[i].end;
		once("sends", say[i].what, say[i].first == 0 ? &c[1] : c, say[i].first == 0 ? 1 : 2);
	}
}

/* More than may be queued: correct, but for the limit. */
static void hoards(void)
{
	struct foe f;
	uint64_t end = 0;

	foe_attach(&f);
	(void)foe_open(&f, 0);
	for (unsigned i = 0; i < FLOOD; i++) {
		struct cmd c = of(CMD_SEND);

		for (unsigned k = 0; k < CMD_SEND_CHUNKS; k++)
			c.send.chunk[k] = 1 + below(BYTES_SEG_CHUNKS - 1);
		c.send.tx_end = end += CMD_SEND_CHUNKS * BYTES_CHUNK;
		if (!foe_put(&f, 0, &c))
			break;
	}
	foe_end(&f, "hoards", "far more than the send buffer");
}

static void credits(void)
{
	static const uint64_t done[] = { 1u << 20, 1ull << 32, 1ull << 63, UINT64_MAX };
	static const uint16_t op[] = { CMD_CREDIT, CMD_SEND, CMD_SHUTDOWN, CMD_CLOSE };

	for (unsigned i = 0; i < 4; i++) {
		struct cmd c = of(op[i]);
		char what[64];

		c.send.rx_done = done[i];
		snprintf(what, sizeof(what), "command %u consumes %ju bytes", op[i], (uintmax_t)done[i]);
		once("credits", what, &c, 1);
	}
}

static void closes(void)
{
	struct cmd c[4] = { of(CMD_CLOSE), of(CMD_CLOSE), of(CMD_SEND), of(CMD_CLOSE) };
	struct cmd how = of(CMD_SHUTDOWN);

	once("closes", "close, close, send, close", c, 4);
	c[0].close.tx_end = UINT64_MAX;
	c[0].close.linger_s = INT32_MIN;
	once("closes", "close with a lie about the end", c, 1);
	c[0].close.linger_s = INT32_MAX;
	once("closes", "linger for 68 years", c, 1);
	c[0] = how;
	c[1] = of(CMD_CONNECT);
	once("closes", "shutdown, then open the same", c, 2);
	how.close.how = 3;
	once("closes", "shutdown of a third direction", &how, 1);
	how.close.how = UINT32_MAX;
	once("closes", "shutdown of the last direction", &how, 1);
}

static void options(void)
{
	struct foe f;

	foe_attach(&f);
	(void)foe_open(&f, 0);
	for (unsigned i = 0; i < FLOOD; i++) {
		struct cmd c = of(CMD_SETOPT);

		c.opt.name = below(8) == 0 ? (uint32_t)rnd() : below(OPT_MAX + 2);
		c.opt.value = rnd() >> below(64);
		if (!foe_put(&f, 0, &c))
			break;
	}
	foe_settle(&f);
	if (f.dead)
		fail("an option detached a client: %s", f.why);
	foe_end(&f, "options", "any name, any value");
}

static void accepts(void)
{
	struct ctl_bind b = { .cookie = 1 };
	struct ctl_listen on = { .cookie = 1, .backlog = UINT32_MAX };
	struct foe f;

	foe_attach(&f);
	(void)foe_ask(&f, CTL_BIND, &b, sizeof(b));
	(void)foe_ask(&f, CTL_LISTEN, &on, sizeof(on));
	(void)foe_open(&f, 0);
	for (unsigned i = 0; i < FLOOD; i++) {
		struct cmd c = of(CMD_ACCEPTED);

		if (below(2) != 0)
			c.handle = (struct handle){ below(4), below(4) };
		c.accepted.cookie = below(3);
		if (!foe_put(&f, 0, &c))
			break;
	}
	foe_end(&f, "accepts", "a flood for connections that nobody offered");
}

/* Commands as fast as they go, nothing read: all the engine may lose is this lane's share. */
static void floods(void)
{
	struct foe f;

	foe_attach(&f);
	for (unsigned i = 0; i < 50 * FLOOD; i++) {
		struct cmd c = of(CMD_CREDIT);

		if (!foe_put(&f, below(f.lanes), &c))
			break;
	}
	foe_end(&f, "floods", "a hundred thousand commands");
}

/* Open and reset as fast as it goes, and never look at an event. */
static void churns(void)
{
	struct foe f;

	foe_attach(&f);
	for (uint32_t i = 0; i < FLOOD; i++) {
		struct cmd open = of(CMD_CONNECT), reset = of(CMD_CLOSE);

		open.connect.dst = aim.addr;
		open.connect.dport = aim.port;
		open.handle = reset.handle = (struct handle){ HANDLE_ACTIVE | i, i };
		reset.close.linger_s = (int32_t)below(3) - 1;
		if (!foe_put(&f, 0, &open) || !foe_put(&f, 0, &reset))
			break;
	}
	foe_end(&f, "churns", "opened and closed at once");
}

const struct attack command_attacks[] = {
	{ "opcodes", opcodes }, { "handles", handles }, { "connects", connects }, { "sends", sends },
	{ "hoards", hoards },   { "credits", credits }, { "closes", closes },     { "options", options },
	{ "accepts", accepts }, { "floods", floods },   { "churns", churns },     { NULL, NULL },
};
