/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ICMP: echo, errors of others about our segments, errors of ours, and the limit of what we send.
 */
#include "tests/unit/net_fixture.h"

static unsigned errors;
static struct net_icmp_error last;

static void note_error(void *arg, const struct net_icmp_error *e)
{
	*(int *)arg += 1;
	errors++;
	last = *e;
}

static void icmp_seal(uint8_t *m, unsigned len)
{
	uint16_t sum;

	put16(m + 2, 0);
	sum = csum_finish(csum_add(0, m, len));
	memcpy(m + 2, &sum, 2);
}

static unsigned echo_put(uint8_t *m, unsigned len)
{
	memset(m, 0, 8);
	m[0] = 8;
	put16(m + 4, 77);
	put16(m + 6, 3);
	for (unsigned i = 0; i < len; i++)
		m[8 + i] = (uint8_t)(i * 3);
	icmp_seal(m, 8 + len);
	return 8 + len;
}

static unsigned error_put(uint8_t *m, uint8_t type, uint8_t code, uint32_t src, uint16_t mtu)
{
	uint8_t tcp[64], f[128];

	tcp_put(tcp, src, PEER, 80, 4000, 0);
	ip_put(f, src, PEER, PROTO_TCP, 1, IP4_DF, tcp, 20);
	memset(m, 0, 8);
	m[0] = type;
	m[1] = code;
	put16(m + 6, mtu);
	memcpy(m + 8, f + 14, 28);
	icmp_seal(m, 36);
	return 36;
}

START_TEST(echo_is_answered)
{
	uint8_t m[1500], ip[2048];

	know(PEER, peer_mac);
	for (unsigned len = 0; len <= 1472; len += 23) {
		unsigned n = echo_put(m, len);

		in_ip(PEER, OURS2, PROTO_ICMP, m, n);
		ck_assert_uint_eq(out_ip(ip, sizeof(ip)), 20 + n);
		ck_assert_uint_eq(get32(ip + 12), OURS2);
		ck_assert_uint_eq(get32(ip + 16), PEER);
		ck_assert_uint_eq(ip[20], 0);
		ck_assert_uint_eq(csum_finish(csum_add(0, ip + 20, n)), 0);
		ck_assert_mem_eq(ip + 24, m + 4, n - 4);
	}
	ck_assert_uint_eq(stats.n[CNT_ICMP_ECHO], 65);
}
END_TEST

START_TEST(long_echo_is_answered_in_pieces)
{
	static uint8_t m[6000], got[6000];
	uint8_t f[1600], ip[2048];
	unsigned n = echo_put(m, 5000), len;

	know(PEER, peer_mac);
	for (unsigned off = 0; off < n; off += 1480) {
		len = n - off < 1480 ? n - off : 1480;
		in_frame(f, ip_put(f, PEER, OURS, PROTO_ICMP, 1, (uint16_t)(off / 8 | (off + len < n ? IP4_MF : 0)), m + off, len));
	}
	for (unsigned off = 0; off < n; off += len) {
		len = out_ip(ip, sizeof(ip)) - 20;
		ck_assert_uint_eq((get16(ip + 6) & IP4_OFFSET) * 8u, off);
		ck_assert_uint_eq(!!(get16(ip + 6) & IP4_MF), off + len < n);
		memcpy(got + off, ip + 20, len);
	}
	out_nothing();
	ck_assert_uint_eq(csum_finish(csum_add(0, got, n)), 0);
	ck_assert_mem_eq(got + 8, m + 8, n - 8);
}
END_TEST

START_TEST(echo_to_many_is_not)
{
	uint8_t m[64], f[128];
	unsigned n = echo_put(m, 8), len;

	know(PEER, peer_mac);
	in_ip(PEER, 0x0a0000ff, PROTO_ICMP, m, n);
	in_ip(PEER, 0xffffffff, PROTO_ICMP, m, n);
	len = ip_put(f, PEER, OURS, PROTO_ICMP, 1, 0, m, n);
	memset(f, 0xff, 6);
	in_frame(f, len);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ICMP_ECHO], 0);
}
END_TEST

START_TEST(malformed)
{
	uint8_t m[64];
	unsigned n = echo_put(m, 8);

	know(PEER, peer_mac);
	for (unsigned len = 1; len < 8; len++)
		in_ip(PEER, OURS, PROTO_ICMP, m, len);
	m[9] ^= 1;
	in_ip(PEER, OURS, PROTO_ICMP, m, n);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ICMP_BAD], 8);
}
END_TEST

START_TEST(replies_are_limited)
{
	uint8_t m[64], f[2048];
	unsigned n = echo_put(m, 8), got = 0;

	know(PEER, peer_mac);
	for (unsigned i = 0; i < 1500; i++) {
		in_ip(PEER, OURS, PROTO_ICMP, m, n);
		got += out_frame(f, sizeof(f)) > 0;
	}
	ck_assert_uint_eq(got, 1000);
	ck_assert_uint_eq(stats.n[CNT_ICMP_LIMITED], 500);
	now += 10000; /* ten more */
	for (unsigned i = 0; i < 20; i++) {
		in_ip(PEER, OURS, PROTO_ICMP, m, n);
		got += out_frame(f, sizeof(f)) > 0;
	}
	ck_assert_uint_eq(got, 1010);
}
END_TEST

START_TEST(limit_of_zero_is_silence)
{
	uint8_t m[64];

	teardown();
	conf_plain();
	conf.icmp_rate = 0;
	net_open();
	know(PEER, peer_mac);
	in_ip(PEER, OURS, PROTO_ICMP, m, echo_put(m, 8));
	now += 100000000;
	in_ip(PEER, OURS, PROTO_ICMP, m, echo_put(m, 8));
	out_nothing();
}
END_TEST

START_TEST(errors_reach_tcp)
{
	uint8_t m[64];
	int calls = 0;

	net_on_icmp_error(net, note_error, &calls);
	in_ip(ROUTER, OURS, PROTO_ICMP, m, error_put(m, 3, 4, OURS, 1400));
	ck_assert_int_eq(calls, 1);
	ck_assert_uint_eq(last.type, 3);
	ck_assert_uint_eq(last.code, 4);
	ck_assert_uint_eq(last.mtu, 1400);
	ck_assert_uint_eq(last.sport, 80);
	ck_assert_uint_eq(last.dport, 4000);
	ck_assert_uint_eq(last.seq, 1000);
	ck_assert_uint_eq(to_ip4(&last.src), OURS);
	ck_assert_uint_eq(to_ip4(&last.dst), PEER);
	in_ip(ROUTER, OURS, PROTO_ICMP, m, error_put(m, 3, 1, OURS, 1400));
	ck_assert_uint_eq(last.code, 1);
	ck_assert_uint_eq(last.mtu, 0);
	in_ip(ROUTER, OURS, PROTO_ICMP, m, error_put(m, 11, 0, OURS, 0));
	ck_assert_uint_eq(last.type, 11);
	ck_assert_int_eq(calls, 3);
	ck_assert_uint_eq(stats.n[CNT_ICMP_UNREACH_IN], 2);
	ck_assert_uint_eq(stats.n[CNT_ICMP_FRAG_NEEDED], 1);
	out_nothing();
}
END_TEST

START_TEST(senseless_errors_do_not)
{
	uint8_t m[64];
	int calls = 0;

	net_on_icmp_error(net, note_error, &calls);
	in_ip(ROUTER, OURS, PROTO_ICMP, m, error_put(m, 3, 4, FAR, 1400)); /* not our packet */
	in_ip(ROUTER, OURS, PROTO_ICMP, m, error_put(m, 3, 4, OURS, 67));
	for (unsigned len = 8; len < 36; len++) {
		error_put(m, 3, 4, OURS, 1400);
		icmp_seal(m, len);
		in_ip(ROUTER, OURS, PROTO_ICMP, m, len);
	}
	error_put(m, 3, 4, OURS, 1400);
	m[8] = 0x4f; /* a quoted header longer than the quotation */
	icmp_seal(m, 36);
	in_ip(ROUTER, OURS, PROTO_ICMP, m, 36);
	m[8] = 0x41;
	icmp_seal(m, 36);
	in_ip(ROUTER, OURS, PROTO_ICMP, m, 36);
	error_put(m, 3, 4, OURS, 1400);
	m[8 + 7] = 1; /* a later fragment: no ports in it */
	icmp_seal(m, 36);
	in_ip(ROUTER, OURS, PROTO_ICMP, m, 36);
	ck_assert_int_eq(calls, 0);
	ck_assert_uint_eq(stats.n[CNT_ICMP_BAD], 1 + 1 + 28 + 3);
	in_ip(ROUTER, OURS, PROTO_ICMP, m, error_put(m, 5, 1, OURS, 0)); /* redirects are not followed */
	in_ip(ROUTER, OURS, PROTO_ICMP, m, error_put(m, 4, 0, OURS, 0)); /* RFC 6633 */
	ck_assert_int_eq(calls, 0);
}
END_TEST

START_TEST(closed_udp_port)
{
	uint8_t udp[600] = {0x12, 0x34, 0, 53, 2, 0x58}, ip[2048];

	know(PEER, peer_mac);
	l4_seal(PEER, OURS, PROTO_UDP, udp, 600, 6);
	in_ip(PEER, OURS, PROTO_UDP, udp, 600);
	ck_assert_uint_eq(out_ip(ip, sizeof(ip)), 576);
	ck_assert_uint_eq(ip[20], 3);
	ck_assert_uint_eq(ip[21], 3);
	ck_assert_uint_eq(csum_finish(csum_add(0, ip + 20, 556)), 0);
	ck_assert_uint_eq(get32(ip + 28 + 12), PEER);
	ck_assert_mem_eq(ip + 48, udp, 528);
	ck_assert_uint_eq(stats.n[CNT_ICMP_UNREACH_OUT], 1);
	udp[20] ^= 1; /* bad checksum, bad lengths: no answer */
	in_ip(PEER, OURS, PROTO_UDP, udp, 600);
	put16(udp + 4, 601);
	in_ip(PEER, OURS, PROTO_UDP, udp, 600);
	put16(udp + 4, 7);
	in_ip(PEER, OURS, PROTO_UDP, udp, 600);
	in_ip(PEER, OURS, PROTO_UDP, udp, 7);
	out_nothing();
}
END_TEST

START_TEST(no_error_about_errors)
{
	uint8_t m[64], udp[16] = {0, 9, 0, 9, 0, 16}, f[128];
	unsigned len;

	know(PEER, peer_mac);
	in_ip(PEER, OURS, PROTO_ICMP, m, error_put(m, 3, 3, OURS, 0));
	in_ip(PEER, 0x0a0000ff, PROTO_UDP, udp, 16);
	in_ip(PEER, 0xe00000fb, PROTO_UDP, udp, 16);
	len = ip_put(f, PEER, OURS, PROTO_UDP, 1, 0, udp, 16);
	memset(f, 0xff, 6);
	in_frame(f, len);
	out_nothing();
}
END_TEST

SUITE_BEGIN("icmp")
	TEST(echo_is_answered)
	TEST(long_echo_is_answered_in_pieces)
	TEST(echo_to_many_is_not)
	TEST(malformed)
	TEST(replies_are_limited)
	TEST(limit_of_zero_is_silence)
	TEST(errors_reach_tcp)
	TEST(senseless_errors_do_not)
	TEST(closed_udp_port)
	TEST(no_error_about_errors)
SUITE_END
