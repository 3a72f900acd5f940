/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Neighbours of IPv6: asking, answering, ageing, impostors, floods; duplicates of our addresses; multicast reports.
 */
#include "stackd/net/neigh.h"
#include "tests/unit/ip6_fixture.h"

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa}, mac_b[6] = {2, 0, 0, 0, 0, 0xb};

static void later(uint64_t us)
{
	now += us;
	net_tick(net, now);
}

START_TEST(answers_for_its_addresses_alone)
{
	uint8_t ip[256];

	in_nd(ICMP6_SOLICIT, PEER6, ip6_group_of(&OURS6), 0, OURS6, 1, mac_a);
	ck_assert_uint_eq(out_icmp6(ip, sizeof(ip), OURS6, PEER6, ICMP6_ADVERT, 0), 32);
	ck_assert_uint_eq(ip[7], 255);
	ck_assert_uint_eq(ip[44], 0x60); /* solicited, override; no router */
	ck_assert_mem_eq(ip + 48, OURS6.b, 16);
	ck_assert_mem_eq(ip + 66, our_mac, 6);
	in_nd(ICMP6_SOLICIT, PEER6_LOCAL, ip6_group_of(&OURS6_LOCAL), 0, OURS6_LOCAL, 1, mac_a);
	out_icmp6(ip, sizeof(ip), OURS6_LOCAL, PEER6_LOCAL, ICMP6_ADVERT, 0);
	in_nd(ICMP6_SOLICIT, PEER6, OURS6, 0, PEER6_LOCAL, 1, mac_a);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ND_IN], 3);
	ck_assert_uint_eq(stats.n[CNT_ND_ADVERT_OUT], 2);
}
END_TEST

/* RFC 4861, 7.1 */
START_TEST(malformed_messages_are_counted)
{
	uint8_t m[48] = {ICMP6_SOLICIT};

	memcpy(m + 8, OURS6.b, 16);
	in_icmp6_hops(PEER6, OURS6, m, 24, 254); /* from beyond a router */
	in_icmp6_hops(PEER6, OURS6, m, 23, 255);
	m[1] = 1;
	in_icmp6_hops(PEER6, OURS6, m, 24, 255);
	m[1] = 0;
	m[24] = 1; /* an option of no length */
	in_icmp6_hops(PEER6, OURS6, m, 32, 255);
	m[25] = 2; /* one that ends beyond the message */
	in_icmp6_hops(PEER6, OURS6, m, 32, 255);
	in_nd(ICMP6_SOLICIT, PEER6, OURS6, 0, ALL_NODES, 1, mac_a);
	in_nd(ICMP6_SOLICIT, NONE6, ip6_group_of(&OURS6), 0, OURS6, 1, mac_a); /* nobody has no link address */
	in_nd(ICMP6_SOLICIT, NONE6, ALL_NODES, 0, OURS6, 0, NULL);
	in_nd(ICMP6_ADVERT, PEER6, ALL_NODES, 0x60, PEER6, 2, mac_a); /* an answer for all */
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ND_BAD], 9);
}
END_TEST

START_TEST(routers_and_redirects_are_not_believed)
{
	uint8_t m[64] = {ICMP6_ROUTER_ADVERT};
	struct ipaddr far = FAR6;
	struct route_hop before, after;

	ck_assert(route_find(net, &far, &before));
	in_icmp6_hops(PEER6_LOCAL, ALL_NODES, m, 16, 255);
	m[0] = ICMP6_REDIRECT;
	in_icmp6_hops(PEER6_LOCAL, OURS6, m, 40, 255);
	ck_assert(route_find(net, &far, &after));
	ck_assert_mem_eq(&before.via, &after.via, 16);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ND_ROUTER_ADVERT], 1);
	ck_assert_uint_eq(stats.n[CNT_ND_REDIRECT], 1);
}
END_TEST

START_TEST(asks_and_sends_what_waited)
{
	send_mark6(PEER6, 1);
	send_mark6(PEER6, 2);
	out_solicit(OURS6, PEER6, NULL);
	out_nothing();
	in_nd(ICMP6_ADVERT, PEER6, OURS6, 0x60, PEER6, 0, NULL); /* says nothing */
	out_nothing();
	in_advert(PEER6, mac_a);
	out_mark6(mac_a, 1);
	out_mark6(mac_a, 2);
	send_mark6(PEER6, 3);
	out_mark6(mac_a, 3);
	ck_assert_uint_eq(stats.n[CNT_ND_SOLICIT_OUT], 1);
}
END_TEST

START_TEST(far_ones_go_by_the_router)
{
	send_mark6(FAR6, 1);
	out_solicit(OURS6, ROUTER6, NULL);
	in_advert(ROUTER6, mac_b);
	out_mark6(mac_b, 1);
}
END_TEST

/* RFC 4861, 7.2.2 */
START_TEST(nobody_answers)
{
	send_mark6(PEER6, 1);
	for (unsigned i = 0; i < 3; i++) {
		out_solicit(OURS6, PEER6, NULL);
		later(1000000);
	}
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ND_FAILED], 1);
	ck_assert_uint_eq(stats.n[CNT_ND_QUEUE_DROP], 1);
	in_advert(PEER6, mac_a); /* nobody asks any more */
	ck_assert_uint_eq(stats.n[CNT_ND_UNKNOWN], 1);
	send_mark6(PEER6, 2); /* not asked again at once */
	out_nothing();
	later(2000000);
	send_mark6(PEER6, 3);
	out_solicit(OURS6, PEER6, NULL);
}
END_TEST

/* The connection is told: its SYN has nowhere to go. */
START_TEST(a_dead_neighbour_is_told)
{
	struct ipaddr from = OURS6, to = PEER6;
	uint8_t *ip;
	struct pkt *p = net_alloc(net, &to, 60, &ip);

	tells_start();
	net_ip_header(net, ip, &from, &to, PROTO_TCP, 60, 0, 0);
	memset(ip + 40, 0, 20);
	put16(ip + 40, 4000);
	put16(ip + 42, 80);
	put32(ip + 44, 77);
	net_send(net, p, now);
	for (unsigned i = 0; i < 3; i++)
		later(1000000);
	ck_assert_uint_eq(tells, 1);
	ck_assert(told.own && ipaddr_equal(&told.src, &from) && ipaddr_equal(&told.dst, &to));
	ck_assert_uint_eq(told.sport, 4000);
	ck_assert_uint_eq(told.seq, 77);
	ck_assert_uint_eq(told.type, ICMP_UNREACHABLE);
}
END_TEST

/* RFC 4861, 7.3: what is old is used, and the host itself is asked five seconds later. */
START_TEST(what_is_old_is_confirmed)
{
	send_mark6(PEER6, 1);
	out_solicit(OURS6, PEER6, NULL);
	in_advert(PEER6, mac_a);
	out_mark6(mac_a, 1);
	later(29000000);
	send_mark6(PEER6, 2);
	out_mark6(mac_a, 2);
	later(2000000);
	send_mark6(PEER6, 3);
	out_mark6(mac_a, 3);
	out_nothing();
	later(5000000);
	out_solicit(OURS6, PEER6, mac_a);
	in_advert(PEER6, mac_a);
	later(10000000);
	out_nothing();
}
END_TEST

START_TEST(who_has_died_is_forgotten)
{
	send_mark6(PEER6, 1);
	out_solicit(OURS6, PEER6, NULL);
	in_advert(PEER6, mac_a);
	out_mark6(mac_a, 1);
	later(31000000);
	send_mark6(PEER6, 2);
	out_mark6(mac_a, 2);
	later(5000000);
	for (unsigned i = 0; i < 3; i++) {
		out_solicit(OURS6, PEER6, mac_a);
		later(1000000);
	}
	send_mark6(PEER6, 3);
	out_solicit(OURS6, PEER6, NULL);
}
END_TEST

/* One who asks is known, but not for long without a question of ours. */
START_TEST(who_asks_is_stale)
{
	know6(PEER6, mac_a);
	send_mark6(PEER6, 1);
	out_mark6(mac_a, 1);
	later(5000000);
	out_solicit(OURS6, PEER6, mac_a);
}
END_TEST

START_TEST(advertisements_of_strangers_change_nothing)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct ipaddr a = A6(0xfd, [14] = (uint8_t)(i >> 8), (uint8_t)i);

		if (i > 10)
			in_nd(ICMP6_ADVERT, a, OURS6, 0x60, a, 2, mac_b);
	}
	ck_assert_uint_eq(stats.n[CNT_ND_UNKNOWN], 989);
	ck_assert_uint_eq(net->nd->count[NEIGH_FREE], 64);
	out_nothing();
}
END_TEST

START_TEST(an_impostor_does_not_replace_one_that_lives)
{
	send_mark6(PEER6, 1);
	out_solicit(OURS6, PEER6, NULL);
	in_advert(PEER6, mac_a);
	out_mark6(mac_a, 1);
	later(2000000);
	in_nd(ICMP6_ADVERT, PEER6, ALL_NODES, 0x20, PEER6, 2, mac_b);
	out_solicit(OURS6, PEER6, mac_a);
	send_mark6(PEER6, 2);
	out_mark6(mac_a, 2);
	in_advert(PEER6, mac_a);
	later(5000000);
	out_nothing();
	in_advert(PEER6, mac_b); /* and when it is gone, the other has it */
	out_solicit(OURS6, PEER6, mac_a);
	for (unsigned i = 0; i < 2; i++) {
		later(1000000);
		out_solicit(OURS6, PEER6, mac_a);
	}
	later(1000000);
	send_mark6(PEER6, 3);
	out_solicit(OURS6, PEER6, NULL);
	in_advert(PEER6, mac_b);
	out_mark6(mac_b, 3);
	ck_assert_uint_eq(stats.n[CNT_ND_MOVED], 2);
}
END_TEST

/* Solicitations from everywhere fill the table, and no more; asking for a thousand nobodies leaves room for somebody. */
START_TEST(floods_are_bounded)
{
	uint8_t f[2048];

	for (unsigned i = 0; i < 500; i++) {
		struct ipaddr a = A6(0xfd, [13] = 9, (uint8_t)(i >> 8), (uint8_t)i);

		in_nd(ICMP6_SOLICIT, a, ip6_group_of(&OURS6), 0, OURS6, 1, mac_b);
		ck_assert_uint_gt(out_frame(f, sizeof(f)), 0);
	}
	ck_assert_uint_eq(net->nd->count[NEIGH_KNOWN], 64);
	for (unsigned i = 0; i < 500; i++)
		send_mark6(A6(0xfd, [13] = 8, (uint8_t)(i >> 8), (uint8_t)i), 1);
	while (out_frame(f, sizeof(f)) > 0)
		;
	ck_assert_uint_eq(net->nd->count[NEIGH_ASKING], 32);
	ck_assert_uint_eq(stats.n[CNT_ND_FULL], 500 - 32);
	later(1000000);
	later(1000000);
	later(1000000);
	while (out_frame(f, sizeof(f)) > 0)
		;
	send_mark6(PEER6, 1);
	out_solicit(OURS6, PEER6, NULL);
	in_advert(PEER6, mac_a);
	out_mark6(mac_a, 1);
}
END_TEST

START_TEST(a_queue_is_bounded)
{
	for (unsigned i = 0; i < 40; i++)
		send_mark6(PEER6, (uint8_t)i);
	out_solicit(OURS6, PEER6, NULL);
	in_advert(PEER6, mac_a);
	for (unsigned i = 24; i < 40; i++)
		out_mark6(mac_a, (uint8_t)i);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ND_QUEUE_DROP], 24);
}
END_TEST

/* The next frame must be a report of the only group. */
static void out_report2(struct ipaddr src)
{
	struct ipaddr routers2 = A6(0xff, 2, [15] = 0x16);
	uint8_t ip[256];
	unsigned len = out_ip6(ip, sizeof(ip));

	ck_assert_mem_eq(ip + 8, src.b, 16);
	ck_assert_mem_eq(ip + 24, routers2.b, 16);
	ck_assert_uint_eq(ip[6], 0);
	ck_assert_uint_eq(ip[7], 1);
	ck_assert_mem_eq(ip + 40, ((const uint8_t[]){58, 0, 5, 2, 0, 0}), 6); /* the router's alert */
	ck_assert_uint_eq(ip[48], ICMP6_MLD2_REPORT);
	ck_assert_uint_eq(get16(ip + 54), 1); /* both addresses end in 00:0001: one group */
	ck_assert_uint_eq(len, 48 + 8 + 20);
	ck_assert_mem_eq(ip + 60, ip6_group_of(&OURS6).b, 16);
	len -= 48;
	ck_assert_uint_eq(csum_finish(csum_add(csum_pseudo6(ip, PROTO_ICMP6, len), ip + 48, len)), 0);
}

/* --- RFC 4862, 5.4 ------------------------------------------------------------------------------------------------ */

static void reopen_with_dad(unsigned dad)
{
	teardown();
	conf6(dad);
	net_open6();
}

static bool usable(struct ipaddr addr)
{
	struct ipaddr peer = is_link_local(&addr) ? zoned(PEER6_LOCAL) : PEER6;
	uint16_t mtu;

	return net_source(net, &peer, &addr, &mtu) == 0;
}

START_TEST(an_address_is_asked_for_before_it_is_used)
{
	uint8_t m[16] = {ICMP6_ECHO_REQUEST};

	reopen_with_dad(2);
	net->port[0].mld.due_us = 1;
	net_tick(net, now);
	out_report2(NONE6);
	net->port[0].mld.due_us = 0;
	out_solicit(NONE6, OURS6, NULL);
	out_solicit(NONE6, OURS6_LOCAL, NULL);
	out_nothing();
	ck_assert(!usable(OURS6));
	in_icmp6(PEER6, OURS6, m, 16); /* not ours yet */
	in_nd(ICMP6_SOLICIT, PEER6, ip6_group_of(&OURS6), 0, OURS6, 1, mac_a);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_IP6_NOT_OURS], 1);
	later(1000000);
	out_solicit(NONE6, OURS6, NULL);
	out_solicit(NONE6, OURS6_LOCAL, NULL);
	ck_assert(!usable(OURS6));
	later(1000000);
	out_nothing();
	ck_assert(usable(OURS6) && usable(zoned(OURS6_LOCAL)));
	later(1000);
	out_report2(OURS6_LOCAL); /* told again from an address that counts */
	out_nothing();
}
END_TEST

START_TEST(somebody_has_it)
{
	reopen_with_dad(1);
	net_tick(net, now);
	out_solicit(NONE6, OURS6, NULL);
	out_solicit(NONE6, OURS6_LOCAL, NULL);
	in_nd(ICMP6_ADVERT, OURS6, ALL_NODES, 0x20, OURS6, 2, our_mac); /* our own, come back */
	ck_assert_uint_eq(stats.n[CNT_ND_CONFLICT], 0);
	in_nd(ICMP6_ADVERT, OURS6, ALL_NODES, 0x20, OURS6, 2, mac_b);
	ck_assert_uint_eq(stats.n[CNT_ND_CONFLICT], 1);
	later(5000000);
	ck_assert(!usable(OURS6) && usable(zoned(OURS6_LOCAL)));
	in_nd(ICMP6_SOLICIT, PEER6, ip6_group_of(&OURS6), 0, OURS6, 1, mac_a);
	out_nothing();
}
END_TEST

START_TEST(somebody_asks_for_the_same)
{
	reopen_with_dad(1);
	net_tick(net, now);
	in_nd(ICMP6_SOLICIT, NONE6, ip6_group_of(&OURS6), 0, OURS6, 0, NULL);
	later(5000000);
	ck_assert(!usable(OURS6) && usable(zoned(OURS6_LOCAL)));
}
END_TEST

/* 5.4.5: then the link address is not unique either. */
START_TEST(a_duplicate_link_address_ends_ipv6)
{
	reopen_with_dad(1);
	net_tick(net, now);
	in_nd(ICMP6_ADVERT, OURS6_LOCAL, ALL_NODES, 0x20, OURS6_LOCAL, 2, mac_b);
	later(5000000);
	ck_assert(!usable(OURS6) && !usable(zoned(OURS6_LOCAL)));
}
END_TEST

START_TEST(a_claim_of_a_good_address_is_answered)
{
	uint8_t ip[256];

	in_nd(ICMP6_SOLICIT, NONE6, ip6_group_of(&OURS6), 0, OURS6, 0, NULL); /* who asks before it uses it */
	out_icmp6(ip, sizeof(ip), OURS6, ALL_NODES, ICMP6_ADVERT, 0);
	ck_assert_uint_eq(ip[44], 0x20);
	ck_assert_uint_eq(stats.n[CNT_ND_CONFLICT], 0);
	for (unsigned i = 0; i < 10; i++)
		in_nd(ICMP6_ADVERT, PEER6, ALL_NODES, 0x20, OURS6, 2, mac_b);
	out_icmp6(ip, sizeof(ip), OURS6, ALL_NODES, ICMP6_ADVERT, 0);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ND_CONFLICT], 10);
	ck_assert(usable(OURS6));
}
END_TEST

/* --- RFC 3810, RFC 2710 ------------------------------------------------------------------------------------------- */

START_TEST(groups_are_told_at_start)
{
	net->port[0].mld.due_us = 1;
	net_tick(net, now);
	out_report2(OURS6_LOCAL);
	out_nothing();
	later(1000000);
	out_report2(OURS6_LOCAL);
	later(10000000);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_MLD_OUT], 2);
}
END_TEST

START_TEST(groups_are_told_when_asked)
{
	uint8_t m[28] = {ICMP6_MLD_QUERY, [4] = 0x03, 0xe8}, ip[256]; /* within a second */
	unsigned len;

	net->port[0].mld.left = 0;
	in_icmp6_hops(PEER6, ALL_NODES, m, 28, 1); /* not from a link-local address */
	in_icmp6_hops(PEER6_LOCAL, ALL_NODES, m, 25, 1);
	ck_assert_uint_eq(stats.n[CNT_ND_BAD], 2);
	in_icmp6_hops(PEER6_LOCAL, ALL_NODES, m, 28, 1);
	later(1000000);
	out_report2(OURS6_LOCAL);
	out_nothing();
	in_icmp6_hops(PEER6_LOCAL, ALL_NODES, m, 24, 1);
	later(1000000);
	len = out_ip6(ip, sizeof(ip));
	ck_assert_uint_eq(len, 48 + 24);
	ck_assert_uint_eq(ip[48], ICMP6_MLD_REPORT);
	ck_assert_mem_eq(ip + 24, ip6_group_of(&OURS6).b, 16);
	out_nothing();
}
END_TEST

SUITE6_BEGIN("nd")
	TEST(answers_for_its_addresses_alone)
	TEST(malformed_messages_are_counted)
	TEST(routers_and_redirects_are_not_believed)
	TEST(asks_and_sends_what_waited)
	TEST(far_ones_go_by_the_router)
	TEST(nobody_answers)
	TEST(a_dead_neighbour_is_told)
	TEST(what_is_old_is_confirmed)
	TEST(who_has_died_is_forgotten)
	TEST(who_asks_is_stale)
	TEST(advertisements_of_strangers_change_nothing)
	TEST(an_impostor_does_not_replace_one_that_lives)
	TEST(floods_are_bounded)
	TEST(a_queue_is_bounded)
	TEST(an_address_is_asked_for_before_it_is_used)
	TEST(somebody_has_it)
	TEST(somebody_asks_for_the_same)
	TEST(a_duplicate_link_address_ends_ipv6)
	TEST(a_claim_of_a_good_address_is_answered)
	TEST(groups_are_told_at_start)
	TEST(groups_are_told_when_asked)
SUITE_END
