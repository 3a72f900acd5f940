/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A monitor's engine over a bridge in memory: what each socket is told, in which order, what is held, what leaves.
 */
#include "tests/unit/mon_fixture.h"

/* --- Passive ---------------------------------------------------------------------------------------------------------------- */

START_TEST(a_bridge_without_monitors_forwards)
{
	from_client(100, 0, SEG_SYN, "x");
	turn();
	arrives_text(right, "x");
	from_server(5, 0, SEG_ACK, "yz");
	turn();
	arrives_text(left, "yz");
	silence(left);
	silence(right);
}
END_TEST

START_TEST(a_flow_s_life_in_order)
{
	unsigned w = watcher(PASSIVE);
	struct mon_event e;

	sock(w, 3, MON_STREAM, ALL_NULL, ALL_PKT, ALL_PKT, 0);
	from_client(100, 0, SEG_SYN, NULL);
	turn();
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN | MON_CONN_START | MON_STATE_CHANGE);
	ck_assert_uint_eq(e.sock, 3);
	ck_assert_uint_eq(e.state[MON_CLI], MON_SYN_SENT);
	ck_assert_uint_ne(e.flags & MEVF_PKT, 0);
	e = want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN | MON_CONN_START | MON_STATE_CHANGE);
	ck_assert_uint_eq(e.state[MON_SVR], MON_SYN_RCVD);
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	turn();
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	e = want(w, MON_HK_RCV, MON_CLI, MON_PKT_IN | MON_STATE_CHANGE);
	ck_assert_uint_eq(e.state[MON_CLI], MON_ESTABLISHED);
	from_client(101, 501, SEG_ACK, NULL);
	want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	e = want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN | MON_STATE_CHANGE);
	ck_assert_uint_eq(e.state[MON_SVR], MON_ESTABLISHED);
	from_client(101, 501, SEG_ACK | SEG_PSH, "hello");
	want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	e = want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN);
	ck_assert_uint_eq(e.next[MON_SVR], 5);
	nothing(w);
	turn();
	e = want(w, MON_HK_NULL, MON_SVR, MON_NEW_DATA);
	ck_assert_uint_eq(e.flags & MEVF_PKT, 0);
	from_client(106, 501, SEG_ACK | SEG_FIN, NULL);
	turn();
	want(w, MON_HK_SND, MON_CLI, MON_PKT_IN | MON_STATE_CHANGE);
	e = want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN | MON_STATE_CHANGE);
	ck_assert_uint_eq(e.state[MON_CLI], MON_FIN_WAIT_1);
	ck_assert_uint_eq(e.state[MON_SVR], MON_CLOSE_WAIT);
	want(w, MON_HK_NULL, MON_SVR, MON_NEW_DATA);
	from_server(501, 107, SEG_ACK | SEG_FIN, NULL);
	turn();
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN | MON_STATE_CHANGE);
	ck_assert_uint_eq(e.state[MON_SVR], MON_LAST_ACK);
	e = want(w, MON_HK_RCV, MON_CLI, MON_PKT_IN | MON_STATE_CHANGE);
	ck_assert_uint_eq(e.state[MON_CLI], MON_TIME_WAIT);
	want(w, MON_HK_NULL, MON_CLI, MON_NEW_DATA);
	from_client(107, 502, SEG_ACK, NULL);
	turn();
	want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	e = want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN | MON_STATE_CHANGE);
	ck_assert_uint_eq(e.state[MON_SVR], MON_CLOSED);
	nothing(w);
	now += 2000000;
	mon_expire(mon, now);
	want(w, MON_HK_RCV, MON_CLI, MON_CONN_END | MON_STATE_CHANGE);
	want(w, MON_HK_SND, MON_CLI, MON_CONN_END | MON_STATE_CHANGE);
	want(w, MON_HK_RCV, MON_SVR, MON_CONN_END);
	e = want(w, MON_HK_SND, MON_SVR, MON_CONN_END);
	ck_assert_uint_ne(e.flags & MEVF_LAST, 0);
	nothing(w);
	conservation();
}
END_TEST

START_TEST(the_arena_has_what_the_records_speak_of)
{
	unsigned w = watcher(PASSIVE);
	struct mon_reader r;
	struct mon_rec rec;
	struct mon_event e;
	struct mon_pkt hdr;
	uint8_t frame[2048], text[16];

	sock(w, 0, MON_STREAM, MON_NEW_DATA, MON_PKT_IN, 0, 0);
	handshake();
	forget(w);
	from_client(101, 501, SEG_ACK, "hello");
	turn();
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_int_eq(mon_reader_init(&r, group[0].mem.base, group[0].mem.size), 0);
	ck_assert_int_eq(mon_read_pkt(&r, e.pkt, &hdr, frame, sizeof(frame)), 0);
	ck_assert_uint_eq(hdr.len, HDRS + 5);
	ck_assert_uint_eq(hdr.offset, 0);
	ck_assert_int_eq(memcmp(frame + hdr.text_off, "hello", 5), 0);
	e = want(w, MON_HK_NULL, MON_SVR, MON_NEW_DATA);
	ck_assert_int_eq(mon_read_rec(&r, e.flow, e.gen, &rec), 0);
	ck_assert_uint_eq(rec.side[MON_CLI].port, client.sport);
	ck_assert_uint_eq(rec.side[MON_SVR].port, client.dport);
	ck_assert_uint_eq(mon_read_stream(&r, &rec, MON_SVR, MON_FIRST, 0, text, sizeof(text)), 5);
	ck_assert_int_eq(memcmp(text, "hello", 5), 0);
}
END_TEST

START_TEST(retransmitted_payload_is_told_before_it_is_written)
{
	unsigned w = watcher(PASSIVE);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, MON_REXMIT | MON_PKT_IN, 0);
	handshake();
	from_client(101, 501, SEG_ACK, "hello");
	forget(w);
	from_client(101, 501, SEG_ACK, "HELLO!!");
	want(w, MON_HK_SND, MON_CLI, MON_REXMIT);
	e = want(w, MON_HK_RCV, MON_SVR, MON_REXMIT);
	ck_assert_uint_ne(e.flags & MEVF_REXMIT, 0);
	ck_assert_uint_eq(e.next[MON_SVR], 5); /* what is new in it is not there yet */
	e = want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN);
	ck_assert_uint_eq(e.next[MON_SVR], 7);
	nothing(w);
}
END_TEST

START_TEST(orphans_and_raw_sockets)
{
	unsigned w = watcher(PASSIVE), raw = watcher(PASSIVE);

	sock(w, 0, MON_STREAM, MON_ORPHAN, 0, 0, 0);
	sock(raw, 0, MON_RAW, MON_PKT_IN | MON_ORPHAN, 0, 0, 0);
	from_client(100, 0, SEG_RST, NULL); /* nothing that it could reset */
	want(w, MON_HK_NULL, MON_BOTH, MON_ORPHAN);
	want(raw, MON_HK_NULL, MON_BOTH, MON_PKT_IN | MON_ORPHAN);
	from_client(100, 0, SEG_SYN, NULL);
	nothing(w);
	want(raw, MON_HK_NULL, MON_BOTH, MON_PKT_IN);
	nothing(raw);
	conservation();
}
END_TEST

/* Whoever else watches them. */
START_TEST(packets_of_flows_that_one_does_not_watch_are_orphans)
{
	unsigned w = watcher(PASSIVE), other = watcher(PASSIVE);
	struct mon_cmd stop = { .op = MCMD_STOP };
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(w, 1, MON_STREAM, MON_ORPHAN, 0, 0, 0); /* the same program's: it does watch the flow */
	from_client(100, 0, SEG_SYN, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	sock(other, 0, MON_STREAM, MON_ORPHAN, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL); /* no orphan */
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	want(other, MON_HK_NULL, MON_BOTH, MON_ORPHAN);
	stop.flow = e.flow;
	stop.gen = e.gen;
	stop.one.value = MON_BOTH;
	command(w, &stop);
	forget(w);
	from_client(101, 501, SEG_ACK, NULL);
	nothing(w); /* what it has let go of is none */
	want(other, MON_HK_NULL, MON_BOTH, MON_ORPHAN);
	nothing(other);
	conservation();
}
END_TEST

START_TEST(filters_of_stream_sockets_look_through_vlan_tags)
{
	unsigned w = watcher(PASSIVE), other = watcher(PASSIVE);
	struct mon_order o = { .kind = MON_ORDER_FILTER, .sock = 0, .which = MON_FILTER_SYN };
	struct pkt *p = segment(left, client, 100, 0, SEG_SYN, NULL);
	char why[256];

	for (unsigned i = 0; i < 2; i++) {
		sock(i == 0 ? w : other, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
		o.lane = lane[i == 0 ? w : other];
		o.filter = mon_filter_compile(i == 0 ? "tcp dst port 80" : "tcp dst port 81", why, sizeof(why));
		order(&o);
	}
	memmove(p->data + 16, p->data + 12, p->len - 12);
	put16(p->data + 12, 0x8100);
	put16(p->data + 14, 7);
	p->len += 4;
	onto_wire(left, p);
	want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	nothing(other);
	for (unsigned i = 0; i < 2; i++) {
		o.lane = lane[i == 0 ? w : other];
		o.filter = NULL;
		order(&o);
		mon_filter_free(o.filter);
	}
}
END_TEST

START_TEST(a_lagging_monitor_is_told_of_its_gap_and_harms_nobody)
{
	unsigned slow = watcher_in(0, PASSIVE, 64), quick = watcher(PASSIVE);
	struct mon_event e;
	unsigned told = 0, n = 0;

	sock(slow, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(quick, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	handshake();
	for (unsigned i = 0; i < 100; i++) {
		from_client(101 + i, 501, SEG_ACK, "x");
		discard(right);
		while (take(quick, &e))
			n++;
	}
	ck_assert_uint_eq(n, 100 + 3);
	for (n = 0; take(slow, &e); n++)
		;
	ck_assert_uint_eq(n, 64);
	from_client(201, 501, SEG_ACK, "x");
	while (take(slow, &e)) {
		if (e.op == MEV_GAP)
			told += e.lost;
	}
	ck_assert_uint_eq(told, 103 - 64);
	ck_assert_uint_eq(lane[slow]->lost, 103 - 64);
	conservation();
}
END_TEST

START_TEST(what_nobody_saw_is_counted_at_the_end)
{
	unsigned w = watcher(PASSIVE);

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	handshake();
	from_client(111, 501, SEG_ACK, "later"); /* ten bytes were lost before they came here */
	from_server(501, 116, SEG_ACK, NULL);
	from_client(116, 501, SEG_RST, NULL);
	mon_expire(mon, now += 2000000);
	ck_assert_uint_eq(stats.n[CNT_MON_ENDED], 1);
	ck_assert_uint_eq(stats.n[CNT_MON_MISSED], 10);
}
END_TEST

START_TEST(what_is_stopped_is_told_no_more)
{
	unsigned w = watcher(PASSIVE), other = watcher(PASSIVE);
	struct mon_cmd stop = { .op = MCMD_STOP };
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN | MON_CONN_END, 0, 0);
	sock(other, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	stop.flow = e.flow;
	stop.gen = e.gen;
	stop.one.value = MON_BOTH;
	command(w, &stop);
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	nothing(w);
	want(other, MON_HK_SND, MON_CLI, MON_PKT_IN);
	want(other, MON_HK_SND, MON_SVR, MON_PKT_IN);
	command(w, &stop); /* it has no such flow any more */
	ck_assert_uint_eq(lane[w]->stale, 1);
	conservation();
}
END_TEST

START_TEST(early_records_until_the_first_is_consumed)
{
	unsigned w = watcher(PASSIVE);
	struct mon_cmd mask = { .op = MCMD_MASK };
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_CONN_START, 0, MON_SOCK_EARLY);
	from_client(100, 0, SEG_SYN, NULL);
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_CONN_START);
	mask.flow = e.flow;
	mask.gen = e.gen;
	mask.mask.events[MON_HK_SND] = MON_PKT_IN;
	command(w, &mask);
	e = want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN | MON_CONN_START | MON_STATE_CHANGE);
	ck_assert_uint_ne(e.flags & MEVF_EARLY, 0);
	want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	want(w, MON_HK_RCV, MON_CLI, MON_PKT_IN | MON_STATE_CHANGE);
	from_client(101, 501, SEG_ACK, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_uint_eq(e.flags & MEVF_EARLY, 0);
	nothing(w);
	conservation();
}
END_TEST

START_TEST(a_full_table_ends_the_oldest_flow)
{
	unsigned w = watcher(PASSIVE), ends = 0;
	struct mon_event e;
	struct tuple t = client;

	sock(w, 0, MON_STREAM, 0, MON_CONN_END, 0, 0);
	for (unsigned i = 0; i < 70; i++) {
		t.sport = (uint16_t)(2000 + i);
		send_at(left, t, 1, 0, SEG_SYN, NULL);
		discard(right);
	}
	while (take(w, &e))
		ends += (e.flags & MEVF_LAST) != 0;
	ck_assert_uint_eq(ends, 6);
	ck_assert_uint_eq(stats.n[CNT_MON_EVICTED], 6);
	conservation();
}
END_TEST

/* Who hears of the end a little late still finds the record and the streams. */
START_TEST(a_flow_that_made_room_for_others_can_still_be_read)
{
	unsigned w = watcher(PASS);
	struct mon_reader reader;
	struct mon_event e = { .op = MEV_NONE };
	struct tuple t = client;
	struct mon_rec rec;
	char got[8];

	ck_assert_int_eq(mon_reader_init(&reader, group[0].mem.base, group[0].mem.size), 0);
	handshake();
	from_client(101, 501, SEG_ACK, "hello");
	sock(w, 0, MON_STREAM, 0, MON_CONN_END, 0, 0);
	t.sport = 999;
	send_at(left, t, 1, 0, SEG_ACK, "hello");
	for (unsigned i = 0; i < 70; i++) {
		t.sport = (uint16_t)(2000 + i);
		send_at(left, t, 1, 0, SEG_SYN, NULL);
		discard(right);
	}
	ck_assert(take(w, &e));
	ck_assert_uint_eq(e.events, MON_CONN_END);
	ck_assert_int_eq(mon_read_rec(&reader, e.flow, e.gen, &rec), 0);
	ck_assert_uint_eq(rec.side[MON_SVR].next, 5);
	ck_assert_uint_eq(mon_read_stream(&reader, &rec, MON_SVR, MON_FIRST, 0, got, sizeof(got)), 5);
	ck_assert_int_eq(memcmp(got, "hello", 5), 0);
	discard(right);
}
END_TEST

/* --- Inline ------------------------------------------------------------------------------------------------------------------ */

START_TEST(a_packet_is_held_until_its_verdict)
{
	unsigned w = watcher(PASS);
	struct mon_event e, second;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_uint_ne(e.flags & MEVF_HELD, 0);
	silence(right);
	from_client(101, 0, SEG_ACK, "behind");
	nothing(w); /* order within a flow: it waits behind the first */
	verdict(w, e.claim, MON_PASS);
	discard(right);
	second = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS); /* spent */
	ck_assert_uint_eq(lane[w]->stale, 1);
	silence(right);
	verdict(w, second.claim, MON_PASS);
	arrives_text(right, "behind");
	ck_assert_uint_eq(lane[w]->held, 0);
	ck_assert_uint_eq(lane[w]->held_bytes, 0);
	conservation();
}
END_TEST

/* The text of the packet that a record is about. */
static void told_text(const struct mon_event *e, const char *text)
{
	struct mon_reader r;
	struct mon_pkt hdr;
	uint8_t frame[2048];

	ck_assert_int_eq(mon_reader_init(&r, group[0].mem.base, group[0].mem.size), 0);
	ck_assert_int_eq(mon_read_pkt(&r, e->pkt, &hdr, frame, sizeof(frame)), 0);
	ck_assert_uint_eq(hdr.text_len, strlen(text));
	ck_assert_int_eq(memcmp(frame + hdr.text_off, text, strlen(text)), 0);
}

/* A packet of our own endpoint that is watched meanwhile is not the monitor's to keep. */
START_TEST(a_watched_packet_behind_a_held_one_is_copied)
{
	unsigned fw = watcher(PASS), eye = watcher(PASSIVE);
	struct pkt *p = segment(left, client, 101, 0, SEG_ACK, "watched"), look = *p;
	struct mon_event e;

	sock(fw, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(eye, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	e = want(fw, MON_HK_SND, MON_CLI, MON_PKT_IN);
	mon_watch(mon, &look, now);
	memset(p->data, 0, p->len);
	look = (struct pkt){ 0 };
	nic_free(p);
	verdict(fw, e.claim, MON_PASS);
	arrives_text(right, "");
	want(eye, MON_HK_SND, MON_CLI, MON_PKT_IN);
	e = want(eye, MON_HK_SND, MON_CLI, MON_PKT_IN);
	told_text(&e, "watched");
	silence(right); /* it leaves by the stack's own hands */
	conservation();
}
END_TEST

enum { PIECE = 24 };

/* The first or the rest of a datagram, cut behind its TCP header. */
static void piece(struct nic *host[2], const struct pkt *whole, bool first)
{
	struct pkt *p = nic_alloc(host[1]);
	struct mon_seg s = { .kind = MON_SEG_IP, .version = 4, .l3_off = ETH, .l4_off = ETH + IP };
	uint32_t len = first ? PIECE : whole->len - ETH - IP - PIECE;

	memcpy(p->data, whole->data, ETH + IP);
	memcpy(p->data + ETH + IP, whole->data + ETH + IP + (first ? 0 : PIECE), len);
	p->len = ETH + IP + len;
	put16(p->data + ETH + 2, (uint16_t)(IP + len));
	put16(p->data + ETH + 6, first ? 0x2000 : PIECE / 8);
	mon_edit_csum(p, &s, true, false);
	onto_wire(host, p);
}

/* On a port from which nothing goes on, too, an inline monitor is asked for whole datagrams. */
START_TEST(fragments_of_a_replay_are_held_as_a_whole)
{
	unsigned w = watcher(PASS);
	struct pkt *whole = segment(left, client, 101, 0, SEG_ACK, "in two pieces");
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	piece(left, whole, true);
	piece(left, whole, false);
	nic_free(whole);
	nothing(w);
	verdict(w, e.claim, MON_PASS);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_uint_ne(e.flags & MEVF_HELD, 0);
	told_text(&e, "in two pieces");
	verdict(w, e.claim, MON_PASS);
	silence(right);
	ck_assert_uint_eq(lane[w]->held, 0);
	conservation();
}
END_TEST

START_TEST(a_finished_replay_waits_for_verdicts)
{
	unsigned w = watcher(PASS), before;
	struct mon_order finish = { .kind = MON_ORDER_FINISH, .times = 1 };
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN | MON_CONN_END, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	from_client(101, 0, SEG_ACK, "behind");
	before = orders_back;
	mon_order(mon, &finish, now);
	mon_settle(mon, now);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(orders_back, before);
		e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
		nothing(w);
		verdict(w, e.claim, MON_PASS);
	}
	mon_settle(mon, now);
	want(w, MON_HK_SND, MON_CLI, MON_CONN_END);
	want(w, MON_HK_SND, MON_SVR, MON_CONN_END);
	ck_assert(take(w, &e));
	ck_assert_uint_eq(e.op, MEV_DONE);
	mon_settle(mon, now);
	ck_assert_uint_eq(orders_back, before + 1);
	conservation();
}
END_TEST

/* The answer to a SYN that is still held would begin another flow. */
START_TEST(a_replay_waits_for_each_verdict)
{
	unsigned w = watcher_with(0, PASS, SLOTS, _i != 0);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	ck_assert_uint_eq(mon_can_take(mon), 1);
	from_client(100, 0, SEG_SYN, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_uint_eq(mon_can_take(mon), 0);
	verdict(w, e.claim, MON_PASS);
	ck_assert_uint_eq(mon_can_take(mon), 1);
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	ck_assert_uint_eq(stats.n[CNT_MON_FLOWS], 1);
}
END_TEST

/* What a tap has seen has passed. */
START_TEST(a_tap_holds_nothing)
{
	unsigned w = watcher(PASS);

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	ck_assert_uint_eq(want(w, MON_HK_SND, MON_CLI, MON_PKT_IN).flags & MEVF_HELD, 0);
	ck_assert_uint_eq(want(w, MON_HK_SND, MON_SVR, MON_PKT_IN).flags & MEVF_HELD, 0);
	ck_assert_uint_eq(stats.n[CNT_MON_FLOWS], 1);
	ck_assert_uint_eq(lane[w]->held, 0);
	conservation();
}
END_TEST

START_TEST(a_drop_at_the_sender_never_reaches_the_receiver_s_side)
{
	unsigned fw = watcher(PASS), eye = watcher(PASSIVE);
	struct mon_event e;

	sock(fw, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(eye, 0, MON_STREAM, 0, MON_PKT_IN, MON_PKT_IN, 0);
	from_client(100, 0, SEG_SYN, NULL);
	nothing(eye);
	e = want(fw, MON_HK_SND, MON_CLI, MON_PKT_IN);
	verdict(fw, e.claim, MON_DROP);
	want(eye, MON_HK_SND, MON_CLI, MON_PKT_IN);
	nothing(eye);
	silence(right);
	ck_assert_uint_eq(stats.n[CNT_MON_DROPPED], 1);
	conservation();
}
END_TEST

static void decided(unsigned mode, enum mon_cause cause)
{
	ck_assert_uint_eq(lane[0]->decided[cause], 1);
	ck_assert_uint_eq(stats.n[CNT_MON_BY_RING + (unsigned)cause], 1);
	if (mode == DROP)
		silence(right);
	else
		arrives_text(right, "");
}

START_TEST(without_a_verdict_the_policy_decides)
{
	unsigned mode = _i % 2 == 0 ? PASS : DROP, w = watcher_in(0, mode, 64);
	struct mon_order leave = { .kind = MON_ORDER_LEAVE, .lane = lane[w] }, fault = { .kind = MON_ORDER_FAULT, .lane = lane[w] };
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	fault.cause = (uint32_t)_i / 2;
	fault.times = 1;
	switch (_i / 2) {
	case MON_BY_DEADLINE:
		from_client(100, 0, SEG_SYN, NULL);
		silence(right);
		now += 6000;
		mon_expire(mon, now);
		break;
	case MON_BY_DEATH:
		from_client(100, 0, SEG_SYN, NULL);
		silence(right);
		order(&leave);
		break;
	case MON_BY_NONSENSE:
		from_client(100, 0, SEG_SYN, NULL);
		e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
		verdict(w, e.claim, 99);
		break;
	default:
		order(&fault);
		from_client(100, 0, SEG_SYN, NULL);
		break;
	}
	decided(mode, (enum mon_cause)(_i / 2));
	conservation();
}
END_TEST

START_TEST(too_many_held_packets_are_decided_by_policy)
{
	unsigned w = watcher(PASS), out = 0;
	struct pkt *p;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	for (unsigned i = 0; i < 20; i++)
		from_client(100 + i, 0, SEG_ACK, "x");
	mon_flush(mon, now);
	for (; nic_rx(right[1], 0, &p, 1, now) == 1; out++)
		nic_free(p);
	ck_assert_uint_ge(out, 20 - 8);
	ck_assert_uint_le(lane[w]->held, 8);
	ck_assert_uint_ge(lane[w]->decided[MON_BY_BUDGET], 12);
	conservation();
}
END_TEST

START_TEST(the_breaker_passes_over_a_monitor_that_does_not_answer)
{
	unsigned w = watcher(PASS);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	for (unsigned i = 0; i < 8; i++) {
		from_client(100 + i, 0, SEG_ACK, "x");
		now += 6000;
		mon_expire(mon, now);
	}
	forget(w);
	discard(right);
	ck_assert_uint_eq(lane[w]->decided[MON_BY_DEADLINE], 8);
	ck_assert_uint_eq(lane[w]->breaker_opened, 1);
	from_client(200, 0, SEG_ACK, "y");
	arrives_text(right, "y"); /* at once */
	ck_assert_uint_eq(lane[w]->decided[MON_BY_BREAKER], 1);
	now += 1100000;
	from_client(201, 0, SEG_ACK, "z");
	do
		ck_assert(take(w, &e));
	while (e.op != MEV_DISPATCH);
	verdict(w, e.claim, MON_PASS);
	arrives_text(right, "z");
	conservation();
}
END_TEST

START_TEST(a_chain_asks_in_order_and_the_way_back_in_reverse)
{
	unsigned a = watcher(PASS), b = watcher(PASS), c = watcher(PASS);
	unsigned there[] = { a, b, c }, back[] = { c, b, a };
	struct mon_event e;

	for (unsigned i = 0; i < 3; i++)
		sock(there[i], 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned k = i + 1; k < 3; k++)
			nothing(there[k]);
		e = want(there[i], MON_HK_SND, MON_CLI, MON_PKT_IN);
		verdict(there[i], e.claim, MON_PASS);
	}
	arrives_text(right, "");
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	for (unsigned i = 0; i < 3; i++) {
		e = want(back[i], MON_HK_SND, MON_SVR, MON_PKT_IN);
		verdict(back[i], e.claim, MON_PASS);
	}
	arrives_text(left, "");
	conservation();
}
END_TEST

/* api.md A.14: the server's half is keyed from the SYN as the HK_SND callbacks left it. */
START_TEST(a_translated_flow_is_found_from_both_ends)
{
	unsigned nat = watcher(PASS), eye = watcher(PASSIVE);
	struct tuple outside = { 0x0a000063, client.dst, 7777, client.dport };
	uint32_t addr = htonl(outside.src);
	struct mon_event e, seen;
	struct pkt *p;

	sock(nat, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(eye, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	e = want(nat, MON_HK_SND, MON_CLI, MON_PKT_IN);
	{
		struct mon_up *up = lane[nat]->up.base;
		uint8_t *area = (uint8_t *)&up->cmd[SLOTS], port[2];
		struct mon_edit ip = { .op = MON_OVERWRITE, .region = MON_IP, .off = 12, .len = 4, .csum = 3 };
		struct mon_edit tcp = { .op = MON_OVERWRITE, .region = MON_TCP, .off = 0, .len = 2, .csum = 3 };
		struct mon_cmd c = { .op = MCMD_VERDICT };

		put16(port, outside.sport);
		memcpy(area, &ip, 8);
		memcpy(area + 8, &addr, 4);
		memcpy(area + 16, &tcp, 8);
		memcpy(area + 24, port, 2);
		c.verdict.claim = e.claim;
		c.verdict.verdict = MON_EDIT;
		c.verdict.len = 32;
		c.verdict.count = 2;
		command(nat, &c);
	}
	p = arrives(right);
	ck_assert_int_eq(memcmp(p->data + ETH + 12, &addr, 4), 0);
	nic_free(p);
	seen = want(eye, MON_HK_SND, MON_CLI, MON_PKT_IN);
	send_at(right, reversed(outside), 500, 101, SEG_SYN | SEG_ACK, NULL);
	e = want(nat, MON_HK_SND, MON_SVR, MON_PKT_IN);
	ck_assert_uint_eq(e.gen, seen.gen);
	edit(nat, e.claim, MON_OVERWRITE, MON_IP, 16, "\12\0\0\1", 4);
	e = want(eye, MON_HK_SND, MON_SVR, MON_PKT_IN);
	ck_assert_uint_eq(e.gen, seen.gen);
	discard(left);
	conservation();
}
END_TEST

START_TEST(inserted_bytes_move_the_rest_of_the_flow)
{
	unsigned w = watcher(PASS);
	struct mon_event e;
	struct pkt *p;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(101, 501, SEG_ACK, "ab");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 1, "XYZ", 3);
	arrives_text(right, "aXYZb");
	from_client(103, 501, SEG_ACK, "c");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	p = arrives(right);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 4), 106);
	nic_free(p);
	from_server(501, 107, SEG_ACK, NULL);
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	p = arrives(left);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 8), 104);
	nic_free(p);
}
END_TEST

START_TEST(a_segment_that_outgrows_the_mtu_leaves_as_two)
{
	unsigned w = watcher(PASS);
	struct mon_event e;
	char text[1460 + 10];

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	memset(text, 'a', sizeof(text));
	text[1460] = '\0';
	from_client(101, 501, SEG_ACK | SEG_PSH | SEG_FIN, text);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 1455, "0123456789", 10);
	memcpy(text + 1455, "0123456789aaaaa", 15);
	arrives_part(101, SEG_ACK, text, 1460);
	arrives_part(1561, SEG_ACK | SEG_PSH | SEG_FIN, text + 1460, 10);
	silence(right);
	ck_assert_uint_eq(stats.n[CNT_MON_SPLIT], 1);
}
END_TEST

/* All that comes at the right end: in order from `seq` on, in frames that fit.  Its length. */
static uint32_t arrives_in_parts(uint32_t seq, char *to)
{
	struct pkt *p;
	uint32_t len = 0;

	mon_flush(mon, now);
	while (nic_rx(right[1], 0, &p, 1, now) == 1) {
		ck_assert_uint_le(p->len, ETH + 1500);
		ck_assert_uint_eq(get32(p->data + ETH + IP + 4), seq + len);
		memcpy(to + len, p->data + HDRS, p->len - HDRS);
		len += p->len - HDRS;
		nic_free(p);
	}
	return len;
}

/* Far more than a frame can hold, and again when the segment comes again, longer. */
START_TEST(what_is_inserted_may_be_larger_than_any_frame)
{
	static char big[40000], got[70000];
	unsigned w = watcher(PASS);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (char)('a' + i % 26);
	from_client(101, 501, SEG_ACK, "12");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 1, big, sizeof(big));
	ck_assert_uint_eq(arrives_in_parts(101, got), sizeof(big) + 2);
	ck_assert(got[0] == '1' && got[sizeof(big) + 1] == '2' && memcmp(got + 1, big, sizeof(big)) == 0);
	from_client(103, 501, SEG_ACK, "34");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 1, big, sizeof(big));
	ck_assert_uint_eq(arrives_in_parts(103 + sizeof(big), got), sizeof(big) + 2);
	from_client(102, 501, SEG_ACK, "234"); /* too much for one packet: the rest is sent again, too, when this has been acknowledged */
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	ck_assert_uint_eq(arrives_in_parts(102, got), 65535 - IP - TCP);
	ck_assert(memcmp(got, big, sizeof(big)) == 0 && memcmp(got + sizeof(big), "23", 2) == 0);
	ck_assert(memcmp(got + sizeof(big) + 2, big, 65535 - IP - TCP - sizeof(big) - 2) == 0);
	from_server(501, 102 + 65535 - IP - TCP, SEG_ACK, NULL);
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	discard(left);
	from_client(104, 501, SEG_ACK, "4");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	ck_assert_uint_eq(arrives_in_parts(104 + sizeof(big), got), sizeof(big) + 1);
	ck_assert(memcmp(got, big, sizeof(big)) == 0 && got[sizeof(big)] == '4');
}
END_TEST

/* What the receiver never gets it cannot acknowledge: stackd does, unless something before is missing there, whose acknowledgement will do. */
START_TEST(what_is_removed_whole_is_acknowledged)
{
	unsigned w = watcher(PASS);
	struct mon_event e;
	struct pkt *p;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(101, 501, SEG_ACK | SEG_PSH, "gone");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_CHOMP, MON_PAYLOAD, 0, NULL, 4);
	arrives_part(101, SEG_ACK, "", 0);
	p = arrives(left);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 4), 501);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 8), 105);
	ck_assert_uint_eq(p->data[ETH + IP + 13], SEG_ACK);
	ck_assert_uint_eq(p->data[ETH + IP + 14] << 8 | p->data[ETH + IP + 15], 65535);
	nic_free(p);
	from_client(105, 501, SEG_ACK, "stays");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	arrives_part(101, SEG_ACK, "stays", 5);
	from_client(110, 501, SEG_ACK, "gone");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_CHOMP, MON_PAYLOAD, 0, NULL, 4);
	arrives_part(106, SEG_ACK, "", 0);
	silence(left);
	from_server(501, 106, SEG_ACK, NULL);
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	p = arrives(left);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 8), 114);
	nic_free(p);
	ck_assert_uint_eq(stats.n[CNT_MON_ANSWERED], 1);
}
END_TEST

/* Of a FIN's text nothing is left, a RST's grows: they are what they were, in their place. */
START_TEST(the_last_segments_can_be_edited)
{
	unsigned w = watcher(PASS);
	struct mon_event e;
	struct pkt *p;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(101, 501, SEG_ACK | SEG_FIN, "bye");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_CHOMP, MON_PAYLOAD, 0, NULL, 3);
	arrives_part(101, SEG_ACK | SEG_FIN, "", 0);
	silence(left);
	from_server(501, 102, SEG_ACK, "so long");
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 0, "well, ", 6);
	p = arrives(left);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 8), 105);
	ck_assert_uint_eq(p->len, HDRS + 13);
	nic_free(p);
	from_client(105, 514, SEG_ACK | SEG_RST, "no");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 2, "!", 1);
	arrives_part(102, SEG_ACK | SEG_RST, "no!", 3);
	silence(left);
}
END_TEST

/* More than IP can say: it does not fit, and the policy decides. */
START_TEST(what_is_inserted_must_fit_into_a_packet)
{
	static char big[65400];
	unsigned w = watcher(DROP);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(101, 501, SEG_ACK, "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 1, big, sizeof(big));
	silence(right);
	ck_assert_uint_eq(lane[w]->decided[MON_BY_NONSENSE], 1);
}
END_TEST

/* What is inserted is remembered until it is acknowledged, but not without bound. */
START_TEST(more_is_inserted_than_can_be_remembered)
{
	static char big[60000], got[65535];
	unsigned w = watcher(DROP), n = (1 << 20) / sizeof(big);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	for (unsigned i = 0; i <= n; i++) {
		from_client(101 + i, 501, SEG_ACK, "x");
		e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
		edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 0, big, sizeof(big));
		if (i < n)
			ck_assert_uint_eq(arrives_in_parts(101 + i * (sizeof(big) + 1), got), sizeof(big) + 1);
	}
	silence(right);
	ck_assert_uint_eq(lane[w]->decided[MON_BY_BUDGET], 1);
	from_server(501, 101 + n * (sizeof(big) + 1), SEG_ACK, NULL);
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	verdict(w, e.claim, MON_PASS);
	discard(left);
	from_client(101 + n, 501, SEG_ACK, "x"); /* again */
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 0, big, sizeof(big));
	ck_assert_uint_eq(arrives_in_parts(101 + n * (sizeof(big) + 1), got), sizeof(big) + 1);
}
END_TEST

/* Grown beyond a frame by one, and cut back by the next of the chain. */
START_TEST(a_segment_that_has_grown_may_shrink_again)
{
	static char big[9000];
	unsigned one = watcher(PASS), two = watcher(PASS);
	struct mon_event e;

	sock(one, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	sock(two, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(one, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(two, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(101, 501, SEG_ACK, "12");
	e = want(one, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(one, e.claim, MON_INSERT, MON_PAYLOAD, 1, big, sizeof(big));
	e = want(two, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(two, e.claim, MON_CHOMP, MON_PAYLOAD, 1, NULL, sizeof(big));
	arrives_text(right, "12");
}
END_TEST

/* One offset, two monitors of a chain: each puts its bytes before the byte that it sees there. */
START_TEST(the_later_of_a_chain_inserts_before_what_the_earlier_has_inserted)
{
	unsigned one = watcher(PASS), two = watcher(PASS);
	struct mon_event e;
	uint32_t seq = 101;

	sock(one, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	sock(two, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(one, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(two, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	for (unsigned again = 0; again < 2; again++) { /* the edits are remembered, in that order */
		from_client(seq, 501, SEG_ACK, "ab");
		e = want(one, MON_HK_SND, MON_CLI, MON_PKT_IN);
		if (again)
			verdict(one, e.claim, MON_PASS);
		else
			edit(one, e.claim, MON_INSERT, MON_PAYLOAD, 1, "<1>", 3);
		e = want(two, MON_HK_SND, MON_CLI, MON_PKT_IN);
		if (again)
			verdict(two, e.claim, MON_PASS);
		else
			edit(two, e.claim, MON_INSERT, MON_PAYLOAD, 1, "<2>", 3);
		arrives_text(right, "a<2><1>b");
	}
	from_server(501, 109, SEG_ACK, "cd"); /* towards the client the other is the later one */
	e = want(two, MON_HK_SND, MON_SVR, MON_PKT_IN);
	edit(two, e.claim, MON_INSERT, MON_PAYLOAD, 1, "<2>", 3);
	e = want(one, MON_HK_SND, MON_SVR, MON_PKT_IN);
	edit(one, e.claim, MON_INSERT, MON_PAYLOAD, 1, "<1>", 3);
	arrives_text(left, "c<1><2>d");
}
END_TEST

static void frame_of_its_own(unsigned w, const struct pkt *p)
{
	struct mon_cmd c = { .op = MCMD_SEND, .flow = MON_NONE };

	memcpy((uint8_t *)&((struct mon_up *)lane[w]->up.base)->cmd[SLOTS], p->data, p->len);
	c.send.len = p->len;
	c.send.port = MON_NONE;
	command(w, &c);
}

/* A frame without a flow leaves where its receiver was seen, or away from its sender; that of strangers does not leave. */
START_TEST(frames_of_a_monitor_s_own_find_their_way)
{
	static const uint8_t here[6] = { 2, 0, 0, 0, 0, 1 }, there[6] = { 2, 0, 0, 0, 0, 2 }, other[6] = { 2, 0, 0, 0, 0, 3 };
	unsigned w = watcher(PASS);
	struct pkt *p;

	sock(w, 0, MON_RAW, 0, 0, 0, 0);
	p = segment(left, client, 1, 0, SEG_ACK, "x");
	memcpy(p->data + 6, here, 6);
	onto_wire(left, p);
	p = segment(right, reversed(client), 1, 0, SEG_ACK, "x");
	memcpy(p->data + 6, there, 6);
	onto_wire(right, p);
	discard(left);
	discard(right);
	p = segment(left, (struct tuple){ 1, 2, 3, 4 }, 1, 0, SEG_ACK, "own");
	memcpy(p->data, there, 6);
	frame_of_its_own(w, p);
	arrives_text(right, "own");
	memcpy(p->data, here, 6);
	frame_of_its_own(w, p);
	arrives_text(left, "own");
	memset(p->data, 0xff, 6);
	memcpy(p->data + 6, here, 6);
	frame_of_its_own(w, p);
	arrives_text(right, "own");
	memcpy(p->data, other, 6);
	memcpy(p->data + 6, other, 6);
	frame_of_its_own(w, p);
	silence(left);
	silence(right);
	ck_assert_uint_eq(lane[w]->injected, 3);
	ck_assert_uint_eq(stats.n[CNT_MON_REFUSED], 1);
	nic_free(p);
}
END_TEST

START_TEST(a_reset_ends_both_sides)
{
	unsigned w = watcher(PASS);
	struct mon_cmd c = { .op = MCMD_RESET };
	struct mon_event e;
	struct pkt *p;

	sock(w, 0, MON_STREAM, MON_NEW_DATA, 0, 0, 0);
	handshake();
	from_client(101, 501, SEG_ACK, "hi");
	turn();
	discard(right);
	e = want(w, MON_HK_NULL, MON_SVR, MON_NEW_DATA);
	c.flow = e.flow;
	c.gen = e.gen;
	command(w, &c);
	p = arrives(right);
	ck_assert_uint_eq(p->data[ETH + IP + 13] & SEG_RST, SEG_RST);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 4), 103);
	nic_free(p);
	p = arrives(left);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 4), 501);
	nic_free(p);
}
END_TEST

/* --- Fragments --------------------------------------------------------------------------------------------------------------- */

static const char words[] = "more than one piece can hold";

static void in_pieces(uint32_t seq, const char *text)
{
	struct pkt *whole = segment(left, client, seq, 501, SEG_ACK, text);

	piece(left, whole, true);
	piece(left, whole, false);
	nic_free(whole);
}

/* As they came. */
static void pieces_arrive(void)
{
	struct pkt *p = arrives(right);

	ck_assert_uint_eq(p->len, ETH + IP + PIECE);
	nic_free(p);
	p = arrives(right);
	ck_assert_uint_eq(p->len, ETH + IP + TCP + sizeof(words) - 1 - PIECE);
	nic_free(p);
	silence(right);
}

static struct pkt *handed;

static bool on_elsewhere(void *arg, struct pkt *whole)
{
	(void)arg;
	ck_assert_ptr_null(handed);
	handed = whole;
	return true;
}

static void setup_of_two(void)
{
	handed = NULL;
	setup_mode(MON_PORT_BRIDGE, on_elsewhere);
}

START_TEST(what_came_in_pieces_is_looked_at_as_a_whole)
{
	unsigned w = watcher(PASSIVE), raw = watcher(PASSIVE);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	handshake();
	forget(w);
	sock(raw, 0, MON_RAW, MON_PKT_IN, 0, 0, 0);
	in_pieces(101, words);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_uint_eq(e.next[MON_SVR], 0);
	nothing(w);
	for (unsigned i = 0; i < 2; i++)
		want(raw, MON_HK_NULL, MON_BOTH, MON_PKT_IN);
	nothing(raw);
	pieces_arrive();
	from_client(101 + sizeof(words) - 1, 501, SEG_ACK, "on");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_uint_eq(e.next[MON_SVR], sizeof(words) - 1);
	conservation();
}
END_TEST

/* The flow is another engine's: here it leaves no trace, there it is in the flow. */
START_TEST(what_came_in_pieces_goes_to_the_engine_of_its_flow)
{
	unsigned w = watcher(PASSIVE);
	struct mon_figures f;

	sock(w, 0, MON_STREAM, MON_ORPHAN, MON_PKT_IN, 0, 0);
	in_pieces(101, words);
	ck_assert_ptr_nonnull(handed);
	nothing(w);
	mon_figures(mon, &f);
	ck_assert_uint_eq(f.flows, 0);
	pieces_arrive();
	handshake();
	forget(w);
	mon_in(mon, &handed, 1, now);
	want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	nothing(w);
	silence(right); /* its pieces have gone already */
	conservation();
}
END_TEST

START_TEST(what_came_in_pieces_is_judged_by_the_engine_of_its_flow)
{
	unsigned w = watcher(PASS), raw = watcher(PASSIVE);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(raw, 0, MON_RAW, MON_PKT_IN, 0, 0, 0);
	in_pieces(101, words);
	ck_assert_ptr_nonnull(handed);
	silence(right);
	mon_in(mon, &handed, 1, now);
	want(raw, MON_HK_NULL, MON_BOTH, MON_PKT_IN);
	nothing(raw);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_uint_ne(e.flags & MEVF_HELD, 0);
	silence(right);
	verdict(w, e.claim, MON_PASS);
	arrives_text(right, words);
	silence(right);
	conservation();
}
END_TEST

/* Nobody judges any more, but what a monitor has inserted moves the rest of its flow, also what comes in pieces. */
START_TEST(pieces_of_a_translated_flow_are_translated)
{
	unsigned w = watcher(PASS), eye = watcher(PASSIVE);
	struct mon_order leave = { .kind = MON_ORDER_LEAVE, .lane = lane[w] };
	struct mon_event e;
	struct pkt *p;

	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	sock(eye, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(101, 501, SEG_ACK, "ab");
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	edit(w, e.claim, MON_INSERT, MON_PAYLOAD, 1, "XYZ", 3);
	arrives_text(right, "aXYZb");
	order(&leave);
	in_pieces(103, words);
	p = arrives(right);
	ck_assert_uint_eq(p->len, HDRS + sizeof(words) - 1);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 4), 106);
	nic_free(p);
	silence(right);
}
END_TEST

/* --- Authority --------------------------------------------------------------------------------------------------------------- */

START_TEST(a_scope_hides_other_flows)
{
	unsigned w;
	struct mon_filter *f;
	char why[256];

	f = mon_filter_compile("tcp port 81", why, sizeof(why));
	ck_assert_ptr_nonnull(f);
	group[1].scope = f;
	w = watcher_in(1, PASS, SLOTS);
	sock(w, 0, MON_STREAM, ALL_NULL, ALL_PKT, ALL_PKT, 0);
	sock(w, 1, MON_RAW, MON_PKT_IN | MON_ORPHAN, 0, 0, 0);
	handshake();
	from_client(101, 501, SEG_ACK, "a secret of another group");
	turn();
	nothing(w);
	ck_assert_ptr_null(memmem(group[1].mem.base, group[1].mem.size, "a secret", 8));
	discard(right);
	group[1].scope = NULL;
	mon_filter_free(f);
}
END_TEST

START_TEST(hostile_commands_change_nothing)
{
	unsigned w = watcher(PASSIVE), inl = watcher(PASS);
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(inl, 0, MON_STREAM, MON_NEW_DATA, 0, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	discard(right);
	srand(7);
	for (unsigned i = 0; i < 20000; i++) {
		struct mon_cmd c;

		for (unsigned k = 0; k < sizeof(c); k++)
			((uint8_t *)&c)[k] = (uint8_t)rand();
		c.op = (uint16_t)(1 + rand() % (MCMD_MAX - 1));
		c.sock = (uint16_t)(rand() % 2);
		if (rand() % 2 == 0) {
			c.flow = e.flow;
			c.gen = e.gen;
		}
		command(rand() % 2 == 0 ? w : inl, &c);
		if (i % 100 == 0)
			discard(right);
		discard(left);
	}
	discard(right);
	ck_assert_uint_eq(lane[w]->injected + lane[w]->resets, 0); /* a passive one may not */
	ck_assert_ptr_null(lane[w]->bad);
	{
		struct mon_cmd none = { .op = MCMD_MAX };

		command(w, &none);
		ck_assert_ptr_nonnull(lane[w]->bad);
	}
}
END_TEST

START_TEST(leaving_takes_everything_back)
{
	unsigned w = watcher(PASS), stays = watcher(PASSIVE);
	struct mon_order leave = { .kind = MON_ORDER_LEAVE, .lane = lane[w] };
	struct mon_figures f;

	sock(w, 0, MON_STREAM, ALL_NULL, ALL_PKT, ALL_PKT, 0);
	sock(w, 1, MON_RAW, MON_PKT_IN, 0, 0, 0);
	sock(stays, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	order(&leave);
	arrives_text(right, "");
	ck_assert_uint_eq(lane[w]->slots, 0);
	mon_figures(mon, &f);
	ck_assert_uint_eq(f.lanes, 1);
	ck_assert_uint_eq(f.socks, 1);
	ck_assert_uint_eq(f.held, 0);
	ck_assert_uint_eq(group[0].lanes, 1);
	from_client(101, 0, SEG_ACK, "on");
	arrives_text(right, "on");
	conservation();
}
END_TEST

/* What somebody watches nobody else joins; what nobody watches any more is under way to those who come. */
START_TEST(who_comes_when_all_have_gone_finds_flows_under_way)
{
	unsigned before = watcher(PASSIVE), w = watcher(PASSIVE);
	struct mon_order bye = { .kind = MON_ORDER_LEAVE, .lane = lane[before] };
	struct mon_event e;

	sock(before, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, ALL_PKT, 0, 0);
	from_server(501, 101, SEG_ACK | SEG_PSH, "one");
	nothing(w);
	order(&bye);
	from_server(504, 101, SEG_ACK | SEG_PSH, "two");
	e = want(w, MON_HK_SND, MON_SVR, MON_PKT_IN | MON_CONN_START); /* it is known who the client is */
	ck_assert_uint_eq(e.state[MON_SVR], MON_ESTABLISHED);
	from_server(507, 101, SEG_ACK | SEG_PSH, "three");
	want(w, MON_HK_SND, MON_SVR, MON_PKT_IN);
	from_client(101, 512, SEG_ACK, NULL);
	e = want(w, MON_HK_SND, MON_CLI, MON_PKT_IN);
	ck_assert_uint_eq(e.next[MON_CLI], 8);
	turn();
	arrives_text(left, "one");
	arrives_text(left, "two");
	arrives_text(left, "three");
	arrives_text(right, "");
	conservation();
}
END_TEST

/* A monitor that has let go of a flow is not asked again because others have gone. */
START_TEST(who_has_let_go_is_not_asked_again)
{
	unsigned w = watcher(PASSIVE), other = watcher(PASSIVE);
	struct mon_cmd stop = { .op = MCMD_STOP, .one = { .value = MON_BOTH } };
	struct mon_order bye = { .kind = MON_ORDER_LEAVE, .lane = lane[other] };
	struct mon_event e;

	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	sock(other, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	handshake();
	ck_assert(take(w, &e));
	stop.flow = e.flow;
	stop.gen = e.gen;
	forget(w);
	command(w, &stop);
	order(&bye);
	from_client(101, 501, SEG_ACK | SEG_PSH, "on");
	nothing(w);
	arrives_text(right, "on");
	conservation();
}
END_TEST

START_TEST(the_end_of_the_traffic_ends_every_flow)
{
	unsigned w = watcher(PASSIVE), ends = 0;
	struct mon_order finish = { .kind = MON_ORDER_FINISH, .times = 1 };
	struct mon_event e = { .op = MEV_NONE };

	sock(w, 0, MON_STREAM, 0, MON_CONN_END, 0, 0);
	handshake();
	mon_order(mon, &finish, now);
	for (unsigned i = 0; i < 10; i++) {
		mon_settle(mon, now);
		while (take(w, &e))
			ends += (e.flags & MEVF_LAST) != 0;
	}
	ck_assert_uint_eq(ends, 1);
	ck_assert_uint_eq(e.op, MEV_DONE);
	ck_assert_ptr_eq(last_order, &finish);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mon");
	TCase *t = tcase_create("passive");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_bridge_without_monitors_forwards);
	tcase_add_test(t, a_flow_s_life_in_order);
	tcase_add_test(t, the_arena_has_what_the_records_speak_of);
	tcase_add_test(t, retransmitted_payload_is_told_before_it_is_written);
	tcase_add_test(t, orphans_and_raw_sockets);
	tcase_add_test(t, filters_of_stream_sockets_look_through_vlan_tags);
	tcase_add_test(t, packets_of_flows_that_one_does_not_watch_are_orphans);
	tcase_add_test(t, a_lagging_monitor_is_told_of_its_gap_and_harms_nobody);
	tcase_add_test(t, what_nobody_saw_is_counted_at_the_end);
	tcase_add_test(t, what_is_stopped_is_told_no_more);
	tcase_add_test(t, early_records_until_the_first_is_consumed);
	tcase_add_test(t, a_full_table_ends_the_oldest_flow);
	tcase_add_test(t, a_flow_that_made_room_for_others_can_still_be_read);
	suite_add_tcase(s, t);
	t = tcase_create("inline");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_packet_is_held_until_its_verdict);
	tcase_add_test(t, a_drop_at_the_sender_never_reaches_the_receiver_s_side);
	tcase_add_loop_test(t, without_a_verdict_the_policy_decides, 0, MON_CAUSES * 2);
	tcase_add_test(t, too_many_held_packets_are_decided_by_policy);
	tcase_add_test(t, the_breaker_passes_over_a_monitor_that_does_not_answer);
	tcase_add_test(t, a_chain_asks_in_order_and_the_way_back_in_reverse);
	tcase_add_test(t, a_translated_flow_is_found_from_both_ends);
	tcase_add_test(t, inserted_bytes_move_the_rest_of_the_flow);
	tcase_add_test(t, a_segment_that_outgrows_the_mtu_leaves_as_two);
	tcase_add_test(t, what_is_inserted_may_be_larger_than_any_frame);
	tcase_add_test(t, what_is_removed_whole_is_acknowledged);
	tcase_add_test(t, the_last_segments_can_be_edited);
	tcase_add_test(t, what_is_inserted_must_fit_into_a_packet);
	tcase_add_test(t, more_is_inserted_than_can_be_remembered);
	tcase_add_test(t, a_segment_that_has_grown_may_shrink_again);
	tcase_add_test(t, the_later_of_a_chain_inserts_before_what_the_earlier_has_inserted);
	tcase_add_test(t, a_reset_ends_both_sides);
	tcase_add_test(t, frames_of_a_monitor_s_own_find_their_way);
	tcase_add_test(t, a_watched_packet_behind_a_held_one_is_copied);
	suite_add_tcase(s, t);
	t = tcase_create("replay");
	tcase_add_checked_fixture(t, setup_replay, teardown);
	tcase_add_test(t, fragments_of_a_replay_are_held_as_a_whole);
	tcase_add_test(t, a_finished_replay_waits_for_verdicts);
	tcase_add_loop_test(t, a_replay_waits_for_each_verdict, 0, 2);
	suite_add_tcase(s, t);
	t = tcase_create("tap");
	tcase_add_checked_fixture(t, setup_tap, teardown);
	tcase_add_test(t, a_tap_holds_nothing);
	suite_add_tcase(s, t);
	t = tcase_create("fragments");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_came_in_pieces_is_looked_at_as_a_whole);
	tcase_add_test(t, pieces_of_a_translated_flow_are_translated);
	suite_add_tcase(s, t);
	t = tcase_create("fragments of another engine");
	tcase_add_checked_fixture(t, setup_of_two, teardown);
	tcase_add_test(t, what_came_in_pieces_goes_to_the_engine_of_its_flow);
	tcase_add_test(t, what_came_in_pieces_is_judged_by_the_engine_of_its_flow);
	suite_add_tcase(s, t);
	t = tcase_create("authority");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_scope_hides_other_flows);
	tcase_add_test(t, hostile_commands_change_nothing);
	tcase_add_test(t, leaving_takes_everything_back);
	tcase_add_test(t, who_comes_when_all_have_gone_finds_flows_under_way);
	tcase_add_test(t, who_has_let_go_is_not_asked_again);
	tcase_add_test(t, the_end_of_the_traffic_ends_every_flow);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
