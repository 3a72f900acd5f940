/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The monitor between two hosts and three clients, none of which can be trusted: segments, fragments and rubbish from both sides of
 * a bridge; verdicts, edits and commands of any content; sockets that come and go; time.
 *
 * What must hold: nothing crashes or reads too far; offered = delivered + filtered + lost for every lane; no record of a flow after its
 * last; streams never shrink; every buffer comes back.
 */
#include <arpa/inet.h>
#include <string.h>

#include "stackd/mon/arena.h"
#include "stackd/mon/edit.h"
#include "stackd/mon/mon.h"
#include "stackd/nic/csum.h"
#include "stackd/tcp/seg.h"
#include "tests/fuzz/drive.h"

enum { ETH = 14, IP = 20, TCP = 20, HDRS = ETH + IP + TCP, LANES = 3, SLOTS = 64, EDIT = 4096, FLOWS = 16, OPS = 400 };

static struct nic *wire[2][2]; /* [port][0: stackd's end, 1: the host's] */
static struct mon *mon;
static struct stats stats;
static struct mon_group group;
static struct mon_lane *lane[LANES];
static struct ring_cons events[LANES];
static uint32_t put_at[LANES];
static uint32_t claim[LANES], some_flow[LANES], some_gen[LANES];
static uint64_t ended[LANES][FLOWS];  /* generations whose last record has come, by record */
static uint64_t seen_next[LANES][FLOWS][2], seen_gen[LANES][FLOWS];
static uint64_t now;
static uint32_t seqs[4][2]; /* per conversation and side: what comes next */
static unsigned orders;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_mon: %s; FUZZ_ONE=%llu\n", what, (unsigned long long)DRIVE_SEED);
	abort();
}

static void on_order(void *arg, struct mon_order *o)
{
	(void)arg;
	(void)o;
	orders--;
}

static void on_bad(void *arg, struct mon_lane *l)
{
	(void)arg;
	(void)l;
}

static void order(struct mon_order *o)
{
	orders++;
	mon_order(mon, o, now);
	for (unsigned i = 0; i < 1000 && orders > 0; i++)
		mon_settle(mon, now);
	must(orders == 0, "an order has not come back");
}

static void lane_open(unsigned i)
{
	struct mon_lane_conf c = {
		.app = i, .ring_slots = SLOTS, .cmd_slots = SLOTS, .edit_size = EDIT, .wake_fd = -1, .group = &group,
		.policy = { .inline_ok = i > 0, .fail_drop = i == 2, .deadline_us = 5000, .hold_packets = 16, .hold_bytes = 1 << 16 },
	};
	struct mon_order add = { .kind = MON_ORDER_LANE }, share = { .kind = MON_ORDER_SHARE, .share_count = 1 };

	must(mon_lane_create(&c, &lane[i]) == 0, "no lane");
	ring_cons_init(&events[i], lane[i]->dn->event, &((struct mon_up *)lane[i]->up.base)->event_done, SLOTS);
	put_at[i] = 0;
	memset(ended[i], 0, sizeof(ended[i]));
	memset(seen_gen[i], 0, sizeof(seen_gen[i]));
	add.lane = share.lane = lane[i];
	order(&add);
	order(&share);
}

static void lane_close(unsigned i)
{
	struct mon_order leave = { .kind = MON_ORDER_LEAVE, .lane = lane[i] };

	order(&leave);
	mon_lane_destroy(lane[i]);
}

static void open_all(void)
{
	struct mon_conf c = { .max_flows = FLOWS, .idle_us = 60000000, .time_wait_us = 1000000, .pickup = true, .frag_entries = 8,
			      .frag_timeout_us = 1000000, .seed = 1, .ports = 2, .order_done = on_order, .lane_bad = on_bad };
	struct arena_conf a = { .size = 4 << 20, .log_bytes = 1 << 18, .flows = FLOWS, .span_max = 16 };

	now = 1000000;
	memset(seqs, 0, sizeof(seqs));
	for (unsigned p = 0; p < 2; p++) {
		must(nic_mem_pair(wire[p], 4096, 1500) == 0, "no wire");
		c.port[p].mode = MON_PORT_BRIDGE;
		c.port[p].nic = wire[p][0];
		c.port[p].peer = 1 - (int)p;
	}
	mon = mon_create(&c, &stats);
	memset(&group, 0, sizeof(group));
	must(mon != NULL && arena_create(&a, &group.mem, &group.arena) == 0, "no monitor");
	for (unsigned i = 0; i < LANES; i++)
		lane_open(i);
}

static void hosts_read(void)
{
	struct pkt *p;

	mon_flush(mon, now);
	for (unsigned i = 0; i < 2; i++) {
		while (nic_rx(wire[i][1], 0, &p, 1, now) == 1)
			nic_free(p);
	}
}

static void close_all(void)
{
	for (unsigned i = 0; i < LANES; i++)
		lane_close(i);
	hosts_read();
	mon_destroy(mon);

	for (unsigned i = 0; i < 2; i++) {
		struct pkt *p;

		while (nic_rx(wire[i][1], 0, &p, 1, now) == 1)
			nic_free(p);
		must(nic_mem_out(wire[i][0]) + nic_mem_out(wire[i][1]) == 0, "buffers are missing");
		nic_close(wire[i][0]);
		nic_close(wire[i][1]);
	}
	arena_destroy(group.arena);
	region_destroy(&group.mem);
}

/* --- Hosts ------------------------------------------------------------------------------------------------------------------ */

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void enter(unsigned port, struct pkt *p)
{
	struct pkt *in[4];
	uint16_t n;

	if (nic_tx(wire[port][1], 0, &p, 1, now) != 1)
		return;
	n = nic_rx(wire[port][0], 0, in, 4, now);
	for (unsigned i = 0; i < n; i++)
		in[i]->port = (uint8_t)port;
	mon_in(mon, in, n, now);
}

static void segment(struct feed *f)
{
	static const uint8_t usual[] = { SEG_SYN, SEG_SYN | SEG_ACK, SEG_ACK, SEG_ACK | SEG_PSH, SEG_ACK | SEG_FIN, SEG_RST,
					 SEG_RST | SEG_ACK, SEG_ACK };
	unsigned talk = feed_byte(f) % 4, side = feed_byte(f) % 2, how = feed_byte(f), len = feed_byte(f) * (how % 3) * 2;
	uint8_t flags = usual[feed_byte(f) % sizeof(usual)], options = how & 16 ? 12 : 0;
	struct pkt *p = nic_alloc(wire[side][1]);
	int32_t away = (int8_t)feed_byte(f) * (how & 32 ? 4000 : 1);
	uint8_t *ip, *tcp;
	struct mon_seg s = { .kind = MON_SEG_TCP, .version = 4, .proto = 6, .l3_off = ETH, .l4_off = ETH + IP };

	if (p == NULL)
		return;
	if (how & 64)
		away = 0;
	if (len > 1400)
		len = 1400;
	memset(p->data, 0, HDRS + options);
	p->data[12] = 8;
	ip = p->data + ETH;
	tcp = ip + IP;
	ip[0] = 0x45;
	ip[8] = 64;
	ip[9] = 6;
	put16(ip + 2, IP + TCP + options + len);
	put32(ip + 12, side == 0 ? 0x0a000001 + talk : 0x0b000001);
	put32(ip + 16, side == 0 ? 0x0b000001 : 0x0a000001 + talk);
	put16(tcp, side == 0 ? 1000 : 80);
	put16(tcp + 2, side == 0 ? 80 : 1000);
	put32(tcp + 4, seqs[talk][side] + (uint32_t)away);
	put32(tcp + 8, seqs[talk][1 - side] + (uint32_t)(how & 8 ? (int8_t)feed_byte(f) : 0));
	tcp[12] = (uint8_t)((TCP + options) / 4 << 4);
	tcp[13] = flags;
	put16(tcp + 14, feed_byte(f) * 257u);
	for (unsigned i = 0; i < options; i++)
		tcp[TCP + i] = feed_byte(f) % 10;
	for (unsigned i = 0; i < len; i++)
		tcp[TCP + options + i] = (uint8_t)(i * 7 + talk);
	p->len = HDRS + options + len;
	s.l3_len = (uint16_t)(IP + TCP + options + len);
	mon_edit_csum(p, &s, true, true);
	if (away == 0)
		seqs[talk][side] += len + ((flags & SEG_SYN) != 0) + ((flags & SEG_FIN) != 0);
	enter(side, p);
}

/* Any bytes behind a type that is looked into; often with a good IP header. */
static void rubbish(struct feed *f)
{
	static const uint16_t type[] = { 0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x1234 };
	unsigned side = feed_byte(f) % 2, kind = feed_byte(f), len = 1 + feed_byte(f);
	struct pkt *p = nic_alloc(wire[side][1]);
	uint16_t sum;

	if (p == NULL)
		return;
	feed_bytes(f, p->data, len);
	p->len = len;
	if (len > ETH)
		put16(p->data + 12, type[kind % 6]);
	if (kind % 6 == 0 && len >= ETH + IP) {
		p->data[ETH] = 0x45;
		put16(p->data + ETH + 2, len - ETH);
		p->data[ETH + 6] &= 0x20; /* fragments near each other */
		p->data[ETH + 7] &= 7;
		p->data[ETH + 4] = 0;
		p->data[ETH + 5] &= 3;
		memset(p->data + ETH + 12, 10, 8);
		memset(p->data + ETH + 10, 0, 2);
		sum = csum_finish(csum_add(0, p->data + ETH, IP));
		memcpy(p->data + ETH + 10, &sum, 2);
	}
	enter(side, p);
}

/* --- Clients ----------------------------------------------------------------------------------------------------------------- */

static void record(unsigned i, const struct mon_event *e)
{
	must(e->op < MEV_MAX && e->op != MEV_NONE, "a record of no kind");
	if (e->op != MEV_DISPATCH)
		return;
	if ((e->flags & MEVF_HELD) != 0)
		claim[i] = e->claim;
	if (e->flow == MON_NONE)
		return;
	must(e->flow < FLOWS, "a record beyond the arena");
	some_flow[i] = e->flow;
	some_gen[i] = e->gen;
	if (e->sock != 0)
		return; /* one socket's view is enough */
	must(ended[i][e->flow] != e->gen, "a record after the last one");
	if (seen_gen[i][e->flow] != e->gen)
		memset(seen_next[i][e->flow], 0, sizeof(seen_next[i][e->flow]));
	seen_gen[i][e->flow] = e->gen;
	if ((e->flags & MEVF_LAST) != 0)
		ended[i][e->flow] = e->gen;
}

static void take(struct feed *f)
{
	unsigned i = feed_byte(f) % LANES, n = feed_byte(f);
	struct mon_event e;

	while (n-- > 0 && ring_get(&events[i], &e))
		record(i, &e);
	ring_done(&events[i]);
}

static void command(struct feed *f)
{
	unsigned i = feed_byte(f) % LANES, kind = feed_byte(f);
	struct mon_up *up = lane[i]->up.base;
	struct ring_slot *s = &up->cmd[put_at[i] % SLOTS];
	uint8_t *edit = (uint8_t *)&up->cmd[SLOTS];
	struct mon_cmd c;

	feed_bytes(f, &c, sizeof(c));
	c.op = (uint16_t)(1 + kind % (MCMD_MAX - 1));
	c.sock = kind / 16 % 3;
	if (kind & 64) {
		c.flow = some_flow[i];
		c.gen = some_gen[i];
	}
	if (c.op == MCMD_VERDICT && (kind & 128) != 0) {
		c.verdict.claim = claim[i];
		c.verdict.verdict %= 3;
		c.verdict.off %= EDIT / 2;
		c.verdict.len %= EDIT / 2;
		c.verdict.count %= 4;
		for (unsigned k = 0; k < 4; k++) {
			struct mon_edit e = { .op = feed_byte(f) % 4, .region = feed_byte(f) % 5, .csum = feed_byte(f) % 4,
					      .off = feed_byte(f) % 40, .len = feed_byte(f) % 30 };

			memcpy(edit + c.verdict.off + k * 40, &e, sizeof(e));
			feed_bytes(f, edit + c.verdict.off + k * 40 + 8, 32);
		}
	}
	memcpy(s->body, &c, sizeof(c));
	s->lap = put_at[i] / SLOTS + 1;
	put_at[i]++;
	mon_commands(mon, now);
}

static void change(struct feed *f)
{
	unsigned i = feed_byte(f) % LANES, kind = feed_byte(f);
	struct mon_order o = { .lane = lane[i], .sock = kind / 8 % 3 };

	if (kind % 8 == 0) {
		lane_close(i);
		lane_open(i);
	} else if (kind % 8 == 1) {
		o.kind = MON_ORDER_CLOSE;
		order(&o);
	} else if (kind % 8 == 2) {
		o.kind = MON_ORDER_FAULT;
		o.cause = feed_byte(f) % (MON_CAUSES + 1);
		o.times = feed_byte(f) % 4;
		order(&o);
	} else {
		o.kind = MON_ORDER_SOCK;
		o.conf.sock = o.sock;
		o.conf.kind = o.sock == 2 ? MON_RAW : MON_STREAM;
		o.conf.flags = feed_byte(f) % 4;
		for (unsigned h = 0; h < MON_HOOKS; h++)
			o.conf.events[h] = (uint16_t)(feed_byte(f) << 8 | feed_byte(f));
		order(&o);
	}
}

static void pass_time(struct feed *f)
{
	unsigned how = feed_byte(f);

	now += how < 200 ? how * 50 : (how - 199) * 100000;
	mon_expire(mon, now);
	mon_settle(mon, now);
	(void)mon_next_us(mon, now);
}

static void laws(void)
{
	mon_settle(mon, now);
	for (unsigned i = 0; i < LANES; i++)
		must(lane[i]->offered == lane[i]->delivered + lane[i]->filtered + lane[i]->lost, "records are not conserved");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, data + size };

	open_all();
	for (unsigned n = 0; n < OPS && feed_left(&f); n++) {
		unsigned op = feed_byte(&f) % 16;

		if (op < 7)
			segment(&f);
		else if (op < 8)
			rubbish(&f);
		else if (op < 10)
			take(&f);
		else if (op < 13)
			command(&f);
		else if (op < 14)
			change(&f);
		else
			pass_time(&f);
		hosts_read();
		laws();
	}
	close_all();
	return 0;
}

DRIVE_MAIN("mon", 1500, 6000)
