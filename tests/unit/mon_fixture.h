/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A monitor's engine over a bridge in memory: hosts at both ends, monitors that a test plays by hand, a clock that is a number.
 */
#ifndef TESTS_MON_FIXTURE_H
#define TESTS_MON_FIXTURE_H

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shm/mon_read.h"
#include "stackd/mon/arena.h"
#include "stackd/mon/edit.h"
#include "stackd/mon/mon.h"
#include "stackd/tcp/seg.h"

enum { ETH = 14, IP = 20, TCP = 20, HDRS = ETH + IP + TCP, LANES = 8, SLOTS = 256 };

/* --- The bridge ---------------------------------------------------------------------------------------------------------- */

static struct nic *left[2], *right[2]; /* [0]: stackd's end, [1]: the host's */
static struct mon *mon;
static struct stats stats;
static struct mon_group group[2];
static struct mon_lane *lane[LANES];
static struct ring_cons events[LANES];
static uint32_t puts[LANES];
static unsigned lanes;
static uint64_t now = 1000000;
static unsigned orders_back;
static struct mon_order *last_order;

static inline void on_order(void *arg, struct mon_order *o)
{
	(void)arg;
	orders_back++;
	last_order = o;
}

static inline void on_bad(void *arg, struct mon_lane *l)
{
	(void)arg;
	(void)l;
}

static inline void discard(struct nic *host[2]);

static inline void setup_mode(enum mon_port_mode mode, bool (*elsewhere)(void *arg, struct pkt *whole))
{
	struct mon_conf c = { .max_flows = 64, .idle_us = 300000000, .time_wait_us = 1000000, .pickup = true, .elsewhere = elsewhere };
	struct arena_conf a = { .size = 16 << 20, .log_bytes = 1 << 20, .flows = c.max_flows + 8, .span_max = 64 };

	ck_assert_int_eq(nic_mem_pair(left, 4096, 1500), 0);
	ck_assert_int_eq(nic_mem_pair(right, 4096, 1500), 0);
	c.ports = 2;
	c.port[0].mode = c.port[1].mode = mode;
	c.port[0].nic = left[0];
	c.port[1].nic = right[0];
	c.port[0].peer = mode == MON_PORT_BRIDGE ? 1 : -1;
	c.port[1].peer = mode == MON_PORT_BRIDGE ? 0 : -1;
	c.order_done = on_order;
	c.lane_bad = on_bad;
	c.frag_entries = 16;
	c.frag_timeout_us = 1000000;
	c.seed = 42;
	memset(&stats, 0, sizeof(stats));
	mon = mon_create(&c, &stats);
	ck_assert_ptr_nonnull(mon);
	for (unsigned i = 0; i < 2; i++) {
		memset(&group[i], 0, sizeof(group[i]));
		group[i].id = i;
		ck_assert_int_eq(arena_create(&a, &group[i].mem, &group[i].arena), 0);
	}
	lanes = 0;
}

static inline void setup(void)
{
	setup_mode(MON_PORT_BRIDGE, NULL);
}

static inline void setup_replay(void)
{
	setup_mode(MON_PORT_REPLAY, NULL);
}

static inline void setup_tap(void)
{
	setup_mode(MON_PORT_TAP, NULL);
}

static inline void teardown(void)
{
	discard(left);
	discard(right);
	mon_destroy(mon);
	for (unsigned i = 0; i < lanes; i++)
		mon_lane_destroy(lane[i]);
	for (unsigned i = 0; i < 2; i++) {
		arena_destroy(group[i].arena);
		region_destroy(&group[i].mem);
	}
	ck_assert_uint_eq(nic_mem_out(left[0]) + nic_mem_out(left[1]) + nic_mem_out(right[0]) + nic_mem_out(right[1]), 0);
	for (unsigned i = 0; i < 2; i++) {
		nic_close(left[i]);
		nic_close(right[i]);
	}
}

/* --- Monitors ------------------------------------------------------------------------------------------------------------- */

enum { PASSIVE, PASS, DROP };

static inline void order(struct mon_order *o)
{
	unsigned before = orders_back;

	mon_order(mon, o, now);
	for (unsigned i = 0; i < 100 && orders_back == before; i++)
		mon_settle(mon, now);
	ck_assert_uint_eq(orders_back, before + 1);
}

static inline unsigned watcher_with(unsigned g, unsigned mode, unsigned ring_slots, bool lossless)
{
	struct mon_lane_conf c = {
		.lossless = lossless,
		.app = lanes + 1, .ring_slots = ring_slots, .cmd_slots = SLOTS, .edit_size = 65536, .wake_fd = -1, .group = &group[g],
		.policy = { .inline_ok = mode != PASSIVE, .fail_drop = mode == DROP, .deadline_us = 5000, .hold_packets = 8,
			    .hold_bytes = 1 << 20 },
	};
	struct mon_order add = { .kind = MON_ORDER_LANE }, share = { .kind = MON_ORDER_SHARE, .share_count = 1 };
	unsigned i = lanes++;

	ck_assert_int_eq(mon_lane_create(&c, &lane[i]), 0);
	ring_cons_init(&events[i], lane[i]->dn->event, &((struct mon_up *)lane[i]->up.base)->event_done, ring_slots);
	puts[i] = 0;
	add.lane = share.lane = lane[i];
	order(&add);
	order(&share);
	return i;
}

static inline unsigned watcher_in(unsigned g, unsigned mode, unsigned ring_slots)
{
	return watcher_with(g, mode, ring_slots, false);
}

static inline unsigned watcher(unsigned mode)
{
	return watcher_in(0, mode, SLOTS);
}

static inline void sock(unsigned i, unsigned name, unsigned kind, unsigned null, unsigned snd, unsigned rcv, unsigned flags)
{
	struct mon_order o = { .kind = MON_ORDER_SOCK, .lane = lane[i], .sock = (uint16_t)name };

	o.conf = (struct ctl_mon_sock){ .sock = (uint16_t)name, .kind = (uint16_t)kind, .flags = (uint16_t)flags };
	o.conf.events[MON_HK_NULL] = (uint16_t)null;
	o.conf.events[MON_HK_SND] = (uint16_t)snd;
	o.conf.events[MON_HK_RCV] = (uint16_t)rcv;
	order(&o);
	ck_assert_int_eq(o.err, 0);
}

enum { ALL_NULL = MON_NEW_DATA | MON_ERROR | MON_ORPHAN,
       ALL_PKT = MON_PKT_IN | MON_CONN_START | MON_STATE_CHANGE | MON_REXMIT | MON_CONN_END };

static inline bool take(unsigned i, struct mon_event *e)
{
	bool got = ring_get(&events[i], e);

	ring_done(&events[i]);
	return got;
}

/* The next record, or fail. */
static inline struct mon_event want(unsigned i, unsigned hook, unsigned side, unsigned bits)
{
	struct mon_event e = { .op = MEV_NONE };

	ck_assert_msg(take(i, &e), "no record; wanted hook %u side %u events 0x%x", hook, side, bits);
	ck_assert_msg(e.op == MEV_DISPATCH && e.hook == hook && e.side == side && e.events == bits,
		      "record: op %u hook %u side %u events 0x%x flags 0x%x; wanted hook %u side %u events 0x%x", e.op, e.hook, e.side,
		      e.events, e.flags, hook, side, bits);
	return e;
}

static inline void nothing(unsigned i)
{
	struct mon_event e;

	if (take(i, &e))
		ck_abort_msg("a record that nobody wanted: op %u hook %u side %u events 0x%x", e.op, e.hook, e.side, e.events);
}

static inline void command(unsigned i, const struct mon_cmd *c)
{
	struct mon_up *up = lane[i]->up.base;
	struct ring_slot *s = &up->cmd[puts[i] % SLOTS];

	memcpy(s->body, c, sizeof(*c));
	s->lap = puts[i] / SLOTS + 1;
	puts[i]++;
	mon_commands(mon, now);
}

static inline void verdict(unsigned i, uint32_t claim, unsigned what)
{
	struct mon_cmd c = { .op = MCMD_VERDICT };

	c.verdict.claim = claim;
	c.verdict.verdict = what;
	command(i, &c);
	mon_flush(mon, now);
}

static inline void edit(unsigned i, uint32_t claim, unsigned op, unsigned region, unsigned off, const void *bytes, unsigned len)
{
	struct mon_up *up = lane[i]->up.base;
	uint8_t *area = (uint8_t *)&up->cmd[SLOTS];
	struct mon_edit e = { .op = (uint8_t)op, .region = (uint8_t)region, .off = (uint16_t)off, .len = (uint16_t)len, .csum = 3 };
	struct mon_cmd c = { .op = MCMD_VERDICT };

	memcpy(area, &e, sizeof(e));
	if (bytes != NULL)
		memcpy(area + sizeof(e), bytes, len);
	c.verdict.claim = claim;
	c.verdict.verdict = MON_EDIT;
	c.verdict.len = sizeof(e) + ((len + 7u) & ~7u);
	c.verdict.count = 1;
	command(i, &c);
	mon_flush(mon, now);
}

/* --- Packets --------------------------------------------------------------------------------------------------------------- */

struct tuple {
	uint32_t src, dst;
	uint16_t sport, dport;
};

static const struct tuple client = { 0x0a000001, 0x0a000002, 1000, 80 };

static inline struct tuple reversed(struct tuple t)
{
	return (struct tuple){ t.dst, t.src, t.dport, t.sport };
}

static inline void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static inline uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	v = htons(v);
	memcpy(p, &v, 2);
}

static inline void engine(struct nic *in)
{
	struct pkt *p[64];
	uint16_t n = nic_rx(in, 0, p, 64, now);

	for (unsigned i = 0; i < n; i++)
		p[i]->port = in == left[0] ? 0 : 1;
	mon_in(mon, p, n, now);
}

static inline void turn(void)
{
	mon_settle(mon, now);
	mon_flush(mon, now);
}

static inline struct pkt *segment(struct nic *host[2], struct tuple t, uint32_t seq, uint32_t ack, unsigned flags, const char *text)
{
	struct pkt *p = nic_alloc(host[1]);
	uint32_t len = text != NULL ? (uint32_t)strlen(text) : 0;
	struct mon_seg s = { .kind = MON_SEG_TCP, .version = 4, .proto = 6, .l3_off = ETH, .l4_off = ETH + IP };
	uint8_t *ip = p->data + ETH, *tcp = ip + IP;

	memset(p->data, 0, HDRS);
	p->data[12] = 8;
	ip[0] = 0x45;
	ip[8] = 64;
	ip[9] = 6;
	put16(ip + 2, (uint16_t)(IP + TCP + len));
	put32(ip + 12, t.src);
	put32(ip + 16, t.dst);
	put16(tcp, t.sport);
	put16(tcp + 2, t.dport);
	put32(tcp + 4, seq);
	put32(tcp + 8, ack);
	tcp[12] = 5 << 4;
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 65535);
	if (len > 0)
		memcpy(tcp + TCP, text, len);
	p->len = HDRS + len;
	s.l3_len = (uint16_t)(IP + TCP + len);
	mon_edit_csum(p, &s, true, true);
	return p;
}

static inline void onto_wire(struct nic *host[2], struct pkt *p)
{
	ck_assert_uint_eq(nic_tx(host[1], 0, &p, 1, now), 1);
	engine(host[0]);
}

/* A segment onto the wire of its sender, and into the engine; the turn is not ended. */
static inline void send_at(struct nic *host[2], struct tuple t, uint32_t seq, uint32_t ack, unsigned flags, const char *text)
{
	onto_wire(host, segment(host, t, seq, ack, flags, text));
}

static inline void from_client(uint32_t seq, uint32_t ack, unsigned flags, const char *text)
{
	send_at(left, client, seq, ack, flags, text);
}

static inline void from_server(uint32_t seq, uint32_t ack, unsigned flags, const char *text)
{
	send_at(right, reversed(client), seq, ack, flags, text);
}

/* What comes out at a host: the payload of the next frame, or fail. */
static inline struct pkt *arrives(struct nic *host[2])
{
	struct pkt *p;

	mon_flush(mon, now);
	ck_assert_msg(nic_rx(host[1], 0, &p, 1, now) == 1, "nothing has arrived");
	return p;
}

static inline void arrives_text(struct nic *host[2], const char *text)
{
	struct pkt *p = arrives(host);

	ck_assert_uint_eq(p->len, HDRS + strlen(text));
	ck_assert_int_eq(memcmp(p->data + HDRS, text, strlen(text)), 0);
	nic_free(p);
}

static inline void silence(struct nic *host[2])
{
	struct pkt *p;

	mon_flush(mon, now);
	if (nic_rx(host[1], 0, &p, 1, now) != 0)
		ck_abort_msg("a frame has arrived that should not");
}

static inline void discard(struct nic *host[2])
{
	struct pkt *p;

	mon_flush(mon, now);
	while (nic_rx(host[1], 0, &p, 1, now) == 1)
		nic_free(p);
}

static inline void handshake(void)
{
	from_client(100, 0, SEG_SYN, NULL);
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	from_client(101, 501, SEG_ACK, NULL);
	turn();
	discard(left);
	discard(right);
}

static inline void forget(unsigned i)
{
	struct mon_event e;

	while (take(i, &e))
		;
}

static inline void conservation(void)
{
	mon_settle(mon, now);
	for (unsigned i = 0; i < lanes; i++)
		ck_assert_uint_eq(lane[i]->offered, lane[i]->delivered + lane[i]->filtered + lane[i]->lost);
}

static inline void arrives_part(uint32_t seq, unsigned flags, const char *text, uint32_t len)
{
	struct pkt *p = arrives(right);
	struct mon_seg s;

	mon_seg_parse(p, 0, &s); /* which checks the checksums */
	ck_assert_uint_eq(s.kind, MON_SEG_TCP);
	ck_assert_uint_eq(s.seq, seq);
	ck_assert_uint_eq(s.flags, flags);
	ck_assert_uint_eq(s.text_len, len);
	ck_assert_uint_eq(p->len, HDRS + len);
	ck_assert_int_eq(memcmp(p->data + HDRS, text, len), 0);
	nic_free(p);
}

#endif
