/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Messages of several clients to the control thread, engines that answer late, and ends at any moment (fake_core.h).  In
 * the end everybody goes, and nothing may be left.
 */
#define _GNU_SOURCE
#include "stackd/monitor.h"
#include "tests/unit/fake_core.h"

#include "tests/fuzz/drive.h"

enum { PEERS = 8 };

static int peer[PEERS];

static void fake_wrong(const char *what)
{
	fprintf(stderr, "fuzz_ctl: %s (FUZZ_ONE=%ju)\n", what, (uintmax_t)DRIVE_SEED);
	abort();
}

static void leave(int *s)
{
	if (*s >= 0)
		close(*s);
	*s = -1;
}

static void greet(struct feed *f, int s)
{
	struct ctl_hello h = world_hello();
	uint8_t b = feed_byte(f);

	if (b % 8 == 0)
		((uint8_t *)&h)[feed_byte(f) % sizeof(h)] ^= 1u << b / 32;
	h.cpu = (int8_t)feed_byte(f);
	(void)ctl_send(s, CTL_HELLO, b, &h, sizeof(h), NULL, 0);
}

/* A request of one that monitors, mostly about things that exist. */
static void request_monitor(struct feed *f, struct ctl_msg *m, uint32_t type)
{
	uint8_t b = feed_byte(f);

	switch (type) {
	case CTL_MON_OPEN:
		m->mon_open.flags = b / 64;
		break;
	case CTL_MON_SOCK:
		m->mon_sock = (struct ctl_mon_sock){ .sock = b % 4, .kind = (uint16_t)(1 + (b / 4) % 2), .events = { b } };
		break;
	case CTL_MON_FILTER:
		m->mon_filter = (struct ctl_mon_filter){ .sock = b % 4, .which = b / 4 % 4, .total = (uint16_t)(b / 16 % 3), .count = 1 };
		m->mon_filter.first = feed_byte(f) % 2;
		m->mon_filter.insn[0].code = feed_byte(f) < 200 ? 0x06 : feed_byte(f);
		break;
	case CTL_MON_FAULT:
		m->mon_fault = (struct ctl_mon_fault){ .app = b % 8, .cause = feed_byte(f) % 8, .times = b };
		break;
	}
}

/* A request of the right size, mostly about things that exist. */
static void request(struct feed *f, int s)
{
	struct ctl_msg m = { 0 };
	uint8_t b = feed_byte(f);
	uint32_t type = CTL_BIND + b % (CTL_CLIENT_MAX - CTL_BIND);

	if (b > 250) {
		feed_bytes(f, m.body, sizeof(m.bind));
	} else {
		m.bind.cookie = feed_byte(f) % 4;
		if (type == CTL_BIND)
			m.bind.port = feed_byte(f) % 6;
		m.bind.flags = b & 7;
	}
	if (type == CTL_SEGMENT_ASK && b <= 250)
		m.segment = (struct ctl_segment){ .class = SEG_TX, .engine = b & 1 };
	if (b <= 250)
		request_monitor(f, &m, type);
	(void)ctl_send(s, type, b, m.body, (size_t)ctl_body_size(type), NULL, 0);
}

static void garbage(struct feed *f, int s)
{
	uint8_t bytes[64];
	size_t n = feed_byte(f) % sizeof(bytes);

	feed_bytes(f, bytes, n);
	(void)send(s, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void hear(int s)
{
	struct ctl_msg m;

	while (ctl_recv(s, &m, CTL_FDS_MAX, MSG_DONTWAIT) == 1) {
		if (ctl_body_size(m.head.type) != (int)m.body_size || m.head.type < CTL_WELCOME)
			fake_wrong("an answer that is no message");
		ctl_close_fds(&m);
	}
}

/* What an engine says of its own accord. */
static void engine_says(struct feed *f, struct core *core)
{
	static const enum mail_kind kinds[] = { MAIL_WANT, MAIL_LANE_BAD, MAIL_IDLE };
	uint8_t b = feed_byte(f);
	struct mail m = { .kind = kinds[b % 3], .class = SEG_RX, .index = b / 16 };

	if (core->lanes == 0)
		return;
	m.lane = core->lane[b % core->lanes];
	if (m.kind == MAIL_LANE_BAD)
		m.lane->bad = "fuzz";
	if (m.kind == MAIL_IDLE) {
		int seg = bytes_pool_take_idle(&m.lane->owner.rx, 0, &m.base);

		if (seg < 0)
			return;
		m.index = (uint32_t)seg;
	}
	engine_tell(core, m);
}

static void step(struct feed *f)
{
	uint8_t b = feed_byte(f);
	int *s = &peer[b / 16 % PEERS];

	switch (b % 16) {
	case 0:
		leave(s);
		break;
	case 1:
		if (*s >= 0)
			shutdown(*s, feed_byte(f) % 3);
		break;
	case 2:
		if (*s >= 0)
			garbage(f, *s);
		break;
	case 3 ... 4:
		if (*s < 0)
			*s = world_connect();
		greet(f, *s);
		break;
	case 5 ... 9:
		if (*s >= 0)
			request(f, *s);
		break;
	case 10:
		if (*s >= 0)
			hear(*s);
		break;
	case 11 ... 12:
		(void)ctl_turn(&w.ctl, 0);
		break;
	case 13:
		engine_says(f, &w.core[b / 16 % FAKE_CORES]);
		break;
	case 14:
		shown_refresh(&w.ctl);
		break;
	default:
		(void)engine_step(&w.core[b / 16 % FAKE_CORES]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, data + size };
	bool early = size > 0 && data[0] % 4 == 0;

	log_open(LOG_LEVEL_ERR);
	world_open();
	for (unsigned i = 0; i < PEERS; i++)
		peer[i] = -1;
	while (feed_left(&f))
		step(&f);
	for (unsigned i = 0; i < PEERS; i++)
		leave(&peer[i]);
	if (!early) { /* else stackd ends in the middle of it */
		world_turn();
		if (w.ctl.clients != NULL || w.ctl.hello_count != 0 || w.core[0].lanes + w.core[1].lanes != 0 ||
		    w.core[0].mon_lanes + w.core[1].mon_lanes != 0 || w.ctl.mon_slots != 0 || w.ctl.mon_group[0].members != 0)
			fake_wrong("something is left");
		for (uint16_t port = 1; port < 6; port++) {
			if (listen_reserved(w.ctl.listeners, &(struct ipaddr){ 0 }, port))
				fake_wrong("a port is left");
		}
	}
	world_close();
	return 0;
}

DRIVE_MAIN("ctl", 100, 512)
