/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Steering: the hash is the cards' (rte_softrss, and the published example), symmetric, and safe for any frame.
 */
#include <rte_thash.h>

#include "shm/rss.h"
#include "tests/unit/net_fixture.h"

/* The key and the first example of Microsoft's RSS verification suite. */
static const uint8_t published_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
	0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static uint32_t number(uint64_t *state)
{
	*state = net_keyed_hash(5, *state, 0);
	return (uint32_t)*state;
}

START_TEST(published_example)
{
	struct ipaddr src = from_ip4(0x420995bb), dst = from_ip4(0xa18e6450); /* 66.9.149.187:2794 -> 161.142.100.80:1766 */

	ck_assert_uint_eq(rss_hash_tcp4(published_key, &src, &dst, 2794, 1766), 0x51ccc178);
	ck_assert_uint_eq(rss_hash(published_key, (const uint8_t *)"\x42\x09\x95\xbb\xa1\x8e\x64\x50", 8), 0x323e8fc2);
}
END_TEST

START_TEST(equals_softrss)
{
	uint64_t state = 1;

	for (unsigned i = 0; i < 2000; i++) {
		uint32_t tuple[3] = {number(&state), number(&state), number(&state)};
		struct ipaddr a = from_ip4(tuple[0]), b = from_ip4(tuple[1]);
		uint16_t p = (uint16_t)(tuple[2] >> 16), q = (uint16_t)tuple[2];
		uint32_t want = rte_softrss(tuple, 3, net->conf.rss_key);

		ck_assert_uint_eq(net_tuple_hash(net, &a, &b, p, q), want);
		ck_assert_uint_eq(net_tuple_hash(net, &b, &a, q, p), want);
		ck_assert_uint_eq(rss_hash_tcp4(net->conf.rss_key, &a, &b, p, q), want);
		ck_assert_uint_eq(steer_hash4(net, tuple[0], tuple[1]), rte_softrss(tuple, 2, net->conf.rss_key));
	}
}
END_TEST

START_TEST(configured_key_is_used)
{
	struct ipaddr src = from_ip4(0x420995bb), dst = from_ip4(0xa18e6450);

	teardown();
	conf_plain();
	memcpy(conf.rss_key, published_key, sizeof(published_key));
	net_open();
	ck_assert_uint_eq(net_tuple_hash(net, &src, &dst, 2794, 1766), 0x51ccc178);
}
END_TEST

static uint32_t steer(const uint8_t *f, unsigned len, bool *all)
{
	struct pkt p = {.data = (uint8_t *)(uintptr_t)f, .len = len};

	return net_steer_hash(net, &p, all);
}

START_TEST(frame_equals_tuple)
{
	struct ipaddr a = from_ip4(PEER), b = from_ip4(OURS);
	uint8_t f[256], seg[64];
	unsigned len = ip_put(f, PEER, OURS, PROTO_TCP, 1, 0, seg, tcp_put(seg, PEER, OURS, 4000, 80, 0));
	uint32_t want = net_tuple_hash(net, &a, &b, 4000, 80);
	bool all;

	ck_assert_uint_eq(steer(f, len, &all), want);
	ck_assert(!all);
	memmove(f + 18, f + 14, len - 14);
	put16(f + 12, ETH_TYPE_VLAN);
	put16(f + 14, 5);
	put16(f + 16, ETH_TYPE_IP4);
	ck_assert_uint_eq(steer(f, len + 4, &all), want);
}
END_TEST

START_TEST(fragments_stay_together)
{
	uint8_t f[256], data[64] = {0};
	uint32_t want = steer_hash4(net, PEER, OURS);
	bool all;

	ck_assert_uint_eq(steer(f, ip_put(f, PEER, OURS, PROTO_TCP, 1, IP4_MF, data, 64), &all), want);
	ck_assert_uint_eq(steer(f, ip_put(f, PEER, OURS, PROTO_TCP, 1, 8, data, 64), &all), want);
	ck_assert_uint_eq(steer(f, ip_put(f, PEER, OURS, PROTO_UDP, 1, 0, data, 64), &all), want);
	ck_assert(!all);
}
END_TEST

START_TEST(icmp_error_goes_to_the_connection)
{
	struct ipaddr a = from_ip4(PEER), b = from_ip4(OURS);
	uint8_t f[256], quoted[128], seg[64], m[64] = {3, 4};
	bool all;

	ip_put(quoted, OURS, PEER, PROTO_TCP, 1, IP4_DF, seg, tcp_put(seg, OURS, PEER, 80, 4000, 0));
	memcpy(m + 8, quoted + 14, 28);
	ck_assert_uint_eq(steer(f, ip_put(f, ROUTER, OURS, PROTO_ICMP, 1, 0, m, 36), &all), net_tuple_hash(net, &a, &b, 4000, 80));
	ck_assert(!all);
	m[0] = 8;
	ck_assert_uint_eq(steer(f, ip_put(f, ROUTER, OURS, PROTO_ICMP, 1, 0, m, 36), &all), steer_hash4(net, ROUTER, OURS));
}
END_TEST

static unsigned ip6_put(uint8_t *f, bool back, uint8_t next, const void *data, unsigned len)
{
	uint8_t *ip = f + eth_put(f, our_mac, ETH_TYPE_IP6);

	memset(ip, 0, 40);
	ip[0] = 0x60;
	put16(ip + 4, (uint16_t)len);
	ip[6] = next;
	for (unsigned i = 0; i < 16; i++) {
		ip[8 + (back ? 16 : 0) + i] = (uint8_t)(i * 5 + 1);
		ip[8 + (back ? 0 : 16) + i] = (uint8_t)(i * 9 + 7);
	}
	memcpy(ip + 40, data, len);
	return 54 + len;
}

/* TCP of both directions, behind option headers, too, goes to one engine; other ports may go elsewhere, fragments go by address. */
START_TEST(ip6)
{
	uint8_t f[256], there[24] = {0x0f, 0xa0, 0, 80}, back[24] = {0, 80, 0x0f, 0xa0}, other[24] = {0x0f, 0xa1, 0, 80};
	uint8_t chain[40] = {60, 0, [8] = PROTO_TCP, 0}, fragment[32] = {PROTO_TCP, 0};
	uint32_t want;
	bool all;

	want = steer(f, ip6_put(f, false, PROTO_TCP, there, sizeof(there)), &all);
	ck_assert(!all);
	ck_assert_uint_eq(steer(f, ip6_put(f, true, PROTO_TCP, back, sizeof(back)), &all), want);
	ck_assert_uint_ne(steer(f, ip6_put(f, false, PROTO_TCP, other, sizeof(other)), &all), want);
	memcpy(chain + 16, there, sizeof(there));
	ck_assert_uint_eq(steer(f, ip6_put(f, false, 0, chain, sizeof(chain)), &all), want);
	memcpy(fragment + 8, there, sizeof(there));
	ck_assert_uint_eq(steer(f, ip6_put(f, false, 44, fragment, sizeof(fragment)), &all), want); /* all there is, RFC 6946 */
	fragment[3] = 1;
	want = steer(f, ip6_put(f, false, 44, fragment, sizeof(fragment)), &all);
	ck_assert_uint_eq(steer(f, ip6_put(f, true, PROTO_UDP, back, sizeof(back)), &all), want);
	ck_assert(!all);
}
END_TEST

static struct ipaddr random_ip6(uint64_t *state)
{
	struct ipaddr a;

	for (unsigned i = 0; i < 4; i++)
		a.w[i] = number(state);
	a.b[0] |= 1; /* never mapped */
	return a;
}

/* By folded addresses, by all of them, and by what hardware does: the same. */
START_TEST(ip6_equals_softrss)
{
	uint64_t state = 3;

	for (unsigned i = 0; i < 2000; i++) {
		struct ipaddr a = random_ip6(&state), b = random_ip6(&state);
		uint32_t ports = number(&state), tuple[9];
		uint16_t p = (uint16_t)(ports >> 16), q = (uint16_t)ports;

		for (unsigned k = 0; k < 4; k++) {
			tuple[k] = get32(a.b + 4 * k);
			tuple[4 + k] = get32(b.b + 4 * k);
		}
		tuple[8] = ports;
		ck_assert_uint_eq(net_tuple_hash(net, &a, &b, p, q), rte_softrss(tuple, 9, net->conf.rss_key));
		ck_assert_uint_eq(net_tuple_hash(net, &b, &a, q, p), rss_hash_tcp6(net->conf.rss_key, &a, &b, p, q));
	}
}
END_TEST

/* The number of the port in a link-local address is not on the wire. */
START_TEST(link_local_equals_the_wire)
{
	struct ipaddr a = {.b = {0xfe, 0x80, [15] = 1}}, b = {.b = {0xfe, 0x80, [15] = 2}}, za = net_zone(a.b, 4), zb = net_zone(b.b, 4);

	ck_assert_uint_eq(net_tuple_hash(net, &za, &zb, 1, 2), net_tuple_hash(net, &a, &b, 1, 2));
	ck_assert_uint_eq(rss_hash_tcp6(net->conf.rss_key, &za, &zb, 1, 2), net_tuple_hash(net, &a, &b, 1, 2));
}
END_TEST

START_TEST(neighbour_discovery_goes_to_all)
{
	uint8_t f[256], m[64] = {0}, quoted[24] = {0x0f, 0xa0, 0, 80};
	uint32_t want = 0;
	bool all;

	for (unsigned type = 128; type < 140; type++) {
		m[0] = (uint8_t)type;
		(void)steer(f, ip6_put(f, false, PROTO_ICMP6, m, 24), &all);
		ck_assert_int_eq(all, type >= 130 && type <= 137);
	}
	/* an error goes to the connection */
	want = steer(f, ip6_put(f, false, PROTO_TCP, quoted, 24), &all);
	m[0] = 2;
	ip6_put(f, true, PROTO_TCP, quoted, 8);
	memcpy(m + 8, f + 14, 48);
	ck_assert_uint_eq(steer(f, ip6_put(f, false, PROTO_ICMP6, m, 56), &all), want);
	ck_assert(!all);
}
END_TEST

static bool is_fragment(const uint8_t *f, unsigned len)
{
	struct pkt p = {.data = (uint8_t *)(uintptr_t)f, .len = len};

	return net_is_fragment(&p);
}

START_TEST(what_is_a_fragment)
{
	uint8_t f[256], data[64] = {0}, there[24] = {0x0f, 0xa0, 0, 80}, fragment[32] = {PROTO_TCP, 0};
	unsigned len;

	ck_assert(!is_fragment(f, ip_put(f, PEER, OURS, PROTO_TCP, 1, 0, data, 64)));
	ck_assert(!is_fragment(f, ip_put(f, PEER, OURS, PROTO_TCP, 1, IP4_DF, data, 64)));
	ck_assert(is_fragment(f, ip_put(f, PEER, OURS, PROTO_TCP, 1, IP4_MF, data, 64)));
	ck_assert(is_fragment(f, ip_put(f, PEER, OURS, PROTO_UDP, 1, 8, data, 64)));
	ck_assert(!is_fragment(f, ip6_put(f, false, PROTO_TCP, there, sizeof(there))));
	ck_assert(!is_fragment(f, ip6_put(f, false, 44, fragment, sizeof(fragment))));
	fragment[2] = 1;
	len = ip6_put(f, false, 44, fragment, sizeof(fragment));
	ck_assert(is_fragment(f, len));
	for (unsigned i = 0; i < 14 + 40 + 8; i++)
		ck_assert(!is_fragment(f, i));
	arp_put(f, our_mac, 2, peer_mac, PEER, OURS);
	ck_assert(!is_fragment(f, 42));
}
END_TEST

START_TEST(two_tags)
{
	uint8_t f[256], seg[64];
	unsigned len = ip_put(f, PEER, OURS, PROTO_TCP, 1, 0, seg, tcp_put(seg, PEER, OURS, 4000, 80, 0));
	uint32_t want;
	bool all;

	want = steer(f, len, &all);
	memmove(f + 22, f + 14, len - 14);
	memcpy(f + 12, "\x88\xa8\0\5\x81\0\0\7\x08", 10);
	ck_assert_uint_eq(steer(f, len + 8, &all), want);
	ck_assert(!all);
}
END_TEST

START_TEST(others_go_to_all)
{
	uint8_t f[64] = {0};
	bool all = false;

	arp_put(f, our_mac, 2, peer_mac, PEER, OURS);
	steer(f, 42, &all);
	ck_assert(all);
}
END_TEST

/* Under a sanitizer a byte too far would be seen: each frame has its own allocation. */
START_TEST(any_frame_is_safe)
{
	uint64_t state = 3;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned len = number(&state) % 120;
		uint8_t *f = malloc(len ? len : 1);
		bool all;

		for (unsigned k = 0; k < len; k++)
			f[k] = (uint8_t)number(&state);
		if (len >= 14)
			put16(f + 12, i % 3 ? i % 5 ? ETH_TYPE_IP4 : ETH_TYPE_IP6 : ETH_TYPE_VLAN);
		if (len >= 18 && i % 3 == 0)
			put16(f + 16, ETH_TYPE_IP4);
		if (len >= 42 && i % 2) {
			f[23] = i % 4 == 1 ? PROTO_ICMP : PROTO_TCP;
			put16(f + 20, 0);
		}
		steer(f, len, &all);
		is_fragment(f, len);
		free(f);
	}
}
END_TEST

START_TEST(spreads_evenly)
{
	unsigned count[4] = {0};
	struct ipaddr a = from_ip4(PEER), b = from_ip4(OURS);

	for (unsigned port = 1024; port < 1024 + 4096; port++)
		count[net_tuple_hash(net, &a, &b, (uint16_t)port, 80) % SHM_RETA_SIZE % 4]++;
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(count[i], 1024);
}
END_TEST

SUITE_BEGIN("steer")
	TEST(published_example)
	TEST(equals_softrss)
	TEST(configured_key_is_used)
	TEST(frame_equals_tuple)
	TEST(fragments_stay_together)
	TEST(icmp_error_goes_to_the_connection)
	TEST(ip6)
	TEST(ip6_equals_softrss)
	TEST(link_local_equals_the_wire)
	TEST(neighbour_discovery_goes_to_all)
	TEST(what_is_a_fragment)
	TEST(two_tags)
	TEST(others_go_to_all)
	TEST(any_frame_is_safe)
	TEST(spreads_evenly)
SUITE_END
