/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ARP: who is asked, who is believed, what waits, and that all of it is bounded.
 */
#include "tests/unit/net_fixture.h"

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa};
static const uint8_t mac_b[6] = {2, 0, 0, 0, 0, 0xb};
static const uint8_t all_ones[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static unsigned errors;
static struct net_icmp_error last_error;

static void note_error(void *arg, const struct net_icmp_error *e)
{
	(void)arg;
	errors++;
	last_error = *e;
}

static void expect_mark(uint8_t mark, const uint8_t mac[6])
{
	uint8_t f[2048];

	ck_assert_uint_eq(out_frame(f, sizeof(f)), 54);
	ck_assert_uint_eq(get16(f + 12), ETH_TYPE_IP4);
	ck_assert_mem_eq(f, mac, 6);
	ck_assert_uint_eq(f[34], mark);
}

/* As the engine does: call when it said it wants to be called. */
static void tick_to(uint64_t until)
{
	uint64_t next = net_tick(net, now);

	while (next <= until) {
		ck_assert_uint_gt(next, now);
		now = next;
		next = net_tick(net, now);
	}
	now = until;
}

START_TEST(answers_a_request)
{
	in_arp(1, mac_a, PEER, OURS);
	out_arp(2, mac_a, OURS, PEER);
	in_arp(1, mac_a, PEER, OURS2);
	out_arp(2, mac_a, OURS2, PEER);
	in_arp(1, mac_a, PEER, 0x0a000009);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ARP_REPLY], 2);
	ck_assert_uint_eq(stats.n[CNT_ARP_IN], 3);
}
END_TEST

START_TEST(answers_a_probe)
{
	in_arp(1, mac_a, 0, OURS); /* RFC 5227, 2.1.1: the sender has no address yet */
	out_arp(2, mac_a, OURS, 0);
	ck_assert_uint_eq(stats.n[CNT_ARP_CONFLICT], 0);
}
END_TEST

START_TEST(another_engine_has_answered)
{
	uint8_t f[42];
	struct pkt *p = nic_alloc(wire[0]);

	arp_put(f, all_ones, 1, mac_a, PEER, OURS);
	memcpy(p->data, f, sizeof(f));
	p->len = sizeof(f);
	p->flags = PKT_STEERED;
	ck_assert_uint_eq(net_in(net, &p, 1, now), 0);
	out_nothing();
	send_mark(PEER, 1); /* but it has learnt */
	expect_mark(1, mac_a);
}
END_TEST

START_TEST(resolves_and_sends_what_waited)
{
	send_mark(PEER, 1);
	send_mark(PEER, 2);
	out_arp(1, all_ones, OURS, PEER);
	out_nothing();
	in_arp(2, mac_a, PEER, OURS);
	expect_mark(1, mac_a);
	expect_mark(2, mac_a);
	send_mark(PEER, 3);
	expect_mark(3, mac_a);
	out_nothing();
}
END_TEST

START_TEST(goes_by_the_gateway)
{
	send_mark(FAR, 1);
	out_arp(1, all_ones, OURS, ROUTER);
	in_arp(2, mac_b, ROUTER, OURS);
	expect_mark(1, mac_b);
}
END_TEST

START_TEST(asks_again_then_gives_up)
{
	send_mark(PEER, 1);
	out_arp(1, all_ones, OURS, PEER);
	tick_to(T0 + 999999);
	out_nothing();
	tick_to(T0 + 1020000);
	out_arp(1, all_ones, OURS, PEER);
	tick_to(T0 + 2900000);
	out_nothing();
	tick_to(T0 + 3100000);
	out_arp(1, all_ones, OURS, PEER);
	tick_to(T0 + 5000000);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ARP_FAILED], 1);
	ck_assert_uint_eq(stats.n[CNT_ARP_QUEUE_DROP], 1);
	ck_assert_uint_eq(stats.n[CNT_ARP_REQUEST], 3);
}
END_TEST

START_TEST(remembers_a_failure_for_a_moment)
{
	send_mark(PEER, 1);
	out_arp(1, all_ones, OURS, PEER);
	tick_to(T0 + 4200000);
	drain();
	ck_assert_uint_eq(stats.n[CNT_ARP_FAILED], 1);
	send_mark(PEER, 2);
	out_nothing();
	tick_to(T0 + 8000000);
	ck_assert_uint_eq(stats.n[CNT_ARP_QUEUE_DROP], 2);
	send_mark(PEER, 3);
	out_arp(1, all_ones, OURS, PEER);
}
END_TEST

START_TEST(late_answer_ends_a_failure)
{
	send_mark(PEER, 1);
	tick_to(T0 + 4200000);
	drain();
	send_mark(PEER, 2); /* it waits all the same */
	in_arp(2, mac_a, PEER, OURS);
	expect_mark(2, mac_a);
	send_mark(PEER, 3);
	expect_mark(3, mac_a);
}
END_TEST

static void send_segment(uint16_t sport)
{
	struct ipaddr to = from_ip4(PEER), from = from_ip4(OURS);
	uint8_t *ip;
	struct pkt *p = net_alloc(net, &to, 40, &ip);

	net_ip_header(net, ip, &from, &to, PROTO_TCP, 40, 0, 0);
	tcp_put(ip + 20, OURS, PEER, sport, 80, 0);
	net_send(net, p, now);
}

START_TEST(tells_tcp_of_a_failure)
{
	struct ipaddr from = from_ip4(OURS);

	errors = 0;
	net_on_icmp_error(net, note_error, NULL);
	send_segment(5000);
	tick_to(T0 + 4200000);
	ck_assert_uint_eq(errors, 1);
	ck_assert(last_error.own);
	ck_assert_uint_eq(last_error.type, 3);
	ck_assert_uint_eq(last_error.code, 1);
	ck_assert_uint_eq(last_error.sport, 5000);
	ck_assert_uint_eq(last_error.dport, 80);
	ck_assert_uint_eq(last_error.seq, 1000);
	ck_assert(memcmp(&last_error.src, &from, sizeof(from)) == 0);
}
END_TEST

/* What is sent while nobody is asked again hears of it too, soon. */
START_TEST(tells_tcp_of_a_remembered_failure)
{
	errors = 0;
	net_on_icmp_error(net, note_error, NULL);
	send_segment(5000);
	tick_to(T0 + 4200000);
	send_segment(5001);
	ck_assert_uint_eq(errors, 1);
	tick_to(T0 + 6200000);
	ck_assert_uint_eq(errors, 2);
	ck_assert_uint_eq(last_error.sport, 5001);
}
END_TEST

START_TEST(queue_keeps_the_latest)
{
	for (unsigned i = 1; i <= 20; i++)
		send_mark(PEER, (uint8_t)i);
	out_arp(1, all_ones, OURS, PEER);
	ck_assert_uint_eq(stats.n[CNT_ARP_QUEUE_DROP], 4);
	in_arp(2, mac_a, PEER, OURS);
	for (unsigned i = 5; i <= 20; i++)
		expect_mark((uint8_t)i, mac_a);
	out_nothing();
}
END_TEST

START_TEST(unasked_replies_make_no_entry)
{
	in_arp(2, mac_a, PEER, OURS);
	in_arp(2, mac_a, PEER, PEER);
	in_arp(1, mac_a, PEER, PEER); /* gratuitous */
	send_mark(PEER, 1);
	out_arp(1, all_ones, OURS, PEER);
}
END_TEST

START_TEST(nobody_takes_the_place_of_one_that_answers)
{
	know(PEER, mac_a);
	tick_to(T0 + 2000000);
	for (unsigned i = 0; i < 3; i++) {
		in_arp(i % 2 + 1, mac_b, PEER, PEER); /* the second and third while the first is looked into */
		if (i == 0)
			out_arp(1, mac_a, OURS, PEER);
		send_mark(PEER, 1);
		expect_mark(1, mac_a);
	}
	in_arp(2, mac_a, PEER, OURS);
	in_arp(2, mac_b, PEER, OURS); /* not asked again at once */
	tick_to(now + 900000);
	out_nothing();
	send_mark(PEER, 2);
	expect_mark(2, mac_a);
	tick_to(now + 200000);
	out_arp(1, mac_a, OURS, PEER);
	in_arp(2, mac_a, PEER, OURS);
	tick_to(now + 5000000);
	send_mark(PEER, 3);
	expect_mark(3, mac_a);
	ck_assert_uint_eq(stats.n[CNT_ARP_MOVED], 4);
}
END_TEST

START_TEST(a_neighbour_that_has_moved_is_found_again)
{
	know(PEER, mac_a);
	tick_to(T0 + 2000000);
	in_arp(1, mac_b, PEER, PEER);
	out_arp(1, mac_a, OURS, PEER);
	tick_to(now + 1100000);
	out_arp(1, mac_a, OURS, PEER);
	tick_to(now + 1100000);
	send_mark(PEER, 1);
	out_arp(1, all_ones, OURS, PEER);
	in_arp(2, mac_b, PEER, OURS);
	expect_mark(1, mac_b);
}
END_TEST

START_TEST(request_for_us_makes_an_entry_on_link_only)
{
	know(PEER, mac_a);
	send_mark(PEER, 1);
	expect_mark(1, mac_a);
	in_arp(1, mac_b, FAR, OURS);
	out_arp(2, mac_b, OURS, FAR);
	send_mark(FAR, 2);
	out_arp(1, all_ones, OURS, ROUTER);
}
END_TEST

START_TEST(aged_neighbour_is_polled_and_used)
{
	know(PEER, mac_a);
	tick_to(T0 + 59000000);
	send_mark(PEER, 1);
	expect_mark(1, mac_a);
	out_nothing();
	tick_to(T0 + 61000000);
	send_mark(PEER, 2);
	out_arp(1, mac_a, OURS, PEER); /* unicast */
	expect_mark(2, mac_a);
	in_arp(2, mac_a, PEER, OURS);
	tick_to(T0 + 70000000);
	send_mark(PEER, 3);
	expect_mark(3, mac_a);
	out_nothing();
}
END_TEST

/* It is asked a second time, and is silent again: who sends to it asks everybody. */
static void silence_forgets(void)
{
	tick_to(now + 1100000);
	out_arp(1, mac_a, OURS, PEER);
	tick_to(now + 1100000);
	send_mark(PEER, 2);
	out_arp(1, all_ones, OURS, PEER);
	out_nothing();
}

START_TEST(silent_aged_neighbour_is_forgotten)
{
	know(PEER, mac_a);
	tick_to(T0 + 61000000);
	send_mark(PEER, 1);
	out_arp(1, mac_a, OURS, PEER);
	expect_mark(1, mac_a);
	silence_forgets();
}
END_TEST

/* RFC 9293 3.8.3: TCP doubts the way. One that has just answered is not asked; one that is silent is forgotten. */
START_TEST(suspected_neighbour_is_polled)
{
	const struct ipaddr peer = from_ip4(PEER), far = from_ip4(FAR);

	know(PEER, mac_a);
	net_suspect(net, &peer, now);
	out_nothing();
	net_suspect(net, &far, now); /* its gateway is not known: it will be asked for anyway */
	out_nothing();
	tick_to(T0 + 2000000);
	net_suspect(net, &peer, now);
	out_arp(1, mac_a, OURS, PEER);
	net_suspect(net, &peer, now);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_NEIGH_SUSPECT], 1);
	silence_forgets();
}
END_TEST

START_TEST(conflict_is_counted_and_defended_rarely)
{
	in_arp(2, mac_a, OURS, OURS);
	ck_assert_uint_eq(stats.n[CNT_ARP_CONFLICT], 1);
	out_arp(1, all_ones, OURS, OURS);
	in_arp(1, mac_a, OURS, PEER);
	ck_assert_uint_eq(stats.n[CNT_ARP_CONFLICT], 2);
	out_nothing();
	now += 11000000;
	in_arp(1, mac_a, OURS, OURS);
	out_arp(1, all_ones, OURS, OURS);
	in_arp(1, our_mac, OURS, OURS); /* our own, come back */
	ck_assert_uint_eq(stats.n[CNT_ARP_CONFLICT], 3);
}
END_TEST

START_TEST(malformed_is_counted)
{
	uint8_t good[42], f[42];

	arp_put(good, all_ones, 1, mac_a, PEER, OURS);
	for (unsigned i = 14; i < 22; i++) { /* each of hardware, protocol, lengths, operation */
		memcpy(f, good, sizeof(f));
		f[i] ^= 0x44;
		in_frame(f, sizeof(f));
	}
	for (unsigned len = 14; len < 42; len++)
		in_frame(good, len);
	memcpy(f, good, sizeof(f));
	f[22] |= 1; /* a multicast sender */
	in_frame(f, sizeof(f));
	memset(f + 22, 0, 6);
	in_frame(f, sizeof(f));
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ARP_BAD], 8 + 28 + 2);
}
END_TEST

START_TEST(scan_cannot_fill_the_table)
{
	know(PEER, mac_a);
	for (uint32_t i = 10; i < 200; i++)
		send_mark(0x0a000000 + i, 1);
	ck_assert_uint_eq(stats.n[CNT_ARP_FULL], 190 - 32); /* half of 64 entries may be unknown */
	drain();
	send_mark(PEER, 2);
	expect_mark(2, mac_a);
}
END_TEST

START_TEST(requests_do_not_push_out_known_ones)
{
	know(PEER, mac_a);
	for (uint32_t i = 10; i < 250; i++)
		in_arp(1, mac_b, 0x0a000000 + i, OURS);
	drain();
	send_mark(PEER, 1);
	expect_mark(1, mac_a);
}
END_TEST

START_TEST(least_used_goes_first)
{
	uint32_t host;

	for (host = 10; host < 10 + 64; host++)
		know(0x0a000000 + host, mac_b);
	send_mark(0x0a00000a, 1); /* used: stays */
	expect_mark(1, mac_b);
	send_mark(PEER, 2);       /* needs room */
	out_arp(1, all_ones, OURS, PEER);
	send_mark(0x0a00000a, 3);
	expect_mark(3, mac_b);
	send_mark(0x0a00000b, 4); /* this one went */
	out_arp(1, all_ones, OURS, 0x0a00000b);
}
END_TEST

START_TEST(waiting_packets_are_bounded)
{
	for (uint32_t i = 10; i < 42; i++)
		for (unsigned k = 0; k < 40; k++)
			send_mark(0x0a000000 + i, 1);
	ck_assert_uint_le(nic_mem_out(wire[0]), 32 * 16 + 32 + NET_BURST);
	ck_assert_uint_eq(stats.n[CNT_ARP_QUEUE_DROP], 32 * 24);
}
END_TEST

START_TEST(announces_at_start)
{
	teardown();
	conf_plain();
	nic_mem_pair(wire, WIRE_BUFFERS, 1500);
	conf.port[0].nic = wire[0];
	net = net_create(&conf, &stats, 0, 1); /* the first engine speaks for all */
	tick_to(now + 1);
	out_arp(1, all_ones, OURS, OURS);
	out_arp(1, all_ones, OURS2, OURS2);
	out_nothing();
	tick_to(now + 2100000);
	out_arp(1, all_ones, OURS, OURS);
	out_arp(1, all_ones, OURS2, OURS2);
	tick_to(now + 20000000);
	out_nothing();
}
END_TEST

SUITE_BEGIN("arp")
	TEST(answers_a_request)
	TEST(answers_a_probe)
	TEST(another_engine_has_answered)
	TEST(resolves_and_sends_what_waited)
	TEST(goes_by_the_gateway)
	TEST(asks_again_then_gives_up)
	TEST(remembers_a_failure_for_a_moment)
	TEST(late_answer_ends_a_failure)
	TEST(tells_tcp_of_a_failure)
	TEST(tells_tcp_of_a_remembered_failure)
	TEST(queue_keeps_the_latest)
	TEST(unasked_replies_make_no_entry)
	TEST(nobody_takes_the_place_of_one_that_answers)
	TEST(a_neighbour_that_has_moved_is_found_again)
	TEST(request_for_us_makes_an_entry_on_link_only)
	TEST(aged_neighbour_is_polled_and_used)
	TEST(silent_aged_neighbour_is_forgotten)
	TEST(suspected_neighbour_is_polled)
	TEST(conflict_is_counted_and_defended_rarely)
	TEST(malformed_is_counted)
	TEST(scan_cannot_fill_the_table)
	TEST(requests_do_not_push_out_known_ones)
	TEST(least_used_goes_first)
	TEST(waiting_packets_are_bounded)
	TEST(announces_at_start)
SUITE_END
