/* SPDX-License-Identifier: BSD-3-Clause
 *
 * IPv6: what is believed, extension headers by the chain, fragments, ICMPv6 both ways, and which of our addresses speaks.
 */
#include <errno.h>

#include "tests/unit/ip6_fixture.h"

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa};

/* --- Headers ------------------------------------------------------------------------------------------------------ */

START_TEST(a_segment_is_parsed)
{
	uint8_t l4[256], f[512];
	unsigned len = tcp6_put(l4, PEER6, OURS6, 50);

	in_frame(f, ip6_put(f, PEER6, OURS6, PROTO_TCP, 64, l4, len));
	ck_assert_uint_eq(tcp_count, 1);
	ck_assert_mem_eq(&tcp_got[0]->src, &PEER6, 16);
	ck_assert_mem_eq(&tcp_got[0]->dst, &OURS6, 16);
	ck_assert_uint_eq(tcp_got[0]->tcp.text_len, 50);
	ck_assert_uint_eq(tcp_got[0]->tcp.text_off, 14 + 40 + 20);
	ck_assert_uint_eq(tcp_got[0]->hash, net_tuple_hash(net, &OURS6, &PEER6, 80, 4000));
	l4[30] ^= 1;
	in_ip6(PEER6, OURS6, PROTO_TCP, l4, len);
	ck_assert_uint_eq(tcp_count, 0);
	ck_assert_uint_eq(stats.n[CNT_TCP_CSUM], 1);
}
END_TEST

START_TEST(link_local_segments_name_their_port)
{
	uint8_t l4[64];
	struct ipaddr want = zoned(PEER6_LOCAL);

	in_ip6(PEER6_LOCAL, OURS6_LOCAL, PROTO_TCP, l4, tcp6_put(l4, PEER6_LOCAL, OURS6_LOCAL, 0));
	ck_assert_uint_eq(tcp_count, 1);
	ck_assert_mem_eq(&tcp_got[0]->src, &want, 16);
	ck_assert_uint_eq(want.b[3], 1);
}
END_TEST

START_TEST(bad_headers)
{
	uint8_t f[128], l4[64];
	unsigned len = ip6_put(f, PEER6, OURS6, PROTO_TCP, 64, l4, tcp6_put(l4, PEER6, OURS6, 0));

	for (unsigned cut = 14; cut < len; cut++) /* truncated anywhere */
		in_frame(f, cut);
	ck_assert_uint_eq(stats.n[CNT_ETH_SHORT], 40);
	ck_assert_uint_eq(stats.n[CNT_IP6_BAD], 20);
	f[14] = 0x40;
	in_frame(f, len);
	ck_assert_uint_eq(stats.n[CNT_IP6_BAD], 21);
	ck_assert_uint_eq(tcp_count, 0);
	out_nothing();
}
END_TEST

START_TEST(impossible_addresses)
{
	static const struct {
		struct ipaddr src, dst;
		enum stats_counter why;
	} t[] = {
		{{.b = {0xff, 2, [15] = 1}}, {.b = {0xfd, [15] = 1}}, CNT_IP6_MARTIAN},
		{{.b = {0}}, {.b = {0xfd, [15] = 1}}, CNT_IP6_MARTIAN},
		{{.b = {[15] = 1}}, {.b = {0xfd, [15] = 1}}, CNT_IP6_MARTIAN},
		{{.b = {[10] = 0xff, 0xff, 10, 0, 0, 2}}, {.b = {0xfd, [15] = 1}}, CNT_IP6_MARTIAN},
		{{.b = {0xfd, [15] = 1}}, {.b = {0xfd, [15] = 1}}, CNT_IP6_MARTIAN},
		{{.b = {0xfe, 0x80, 0, 1, [15] = 2}}, {.b = {0xfd, [15] = 1}}, CNT_IP6_MARTIAN},
		{{.b = {0xfd, [15] = 2}}, {.b = {[15] = 1}}, CNT_IP6_MARTIAN},
		{{.b = {0xfd, [15] = 2}}, {.b = {0xff, 2, [15] = 1}}, CNT_IP6_MARTIAN}, /* TCP to a group */
		{{.b = {0xfd, [15] = 2}}, {.b = {0xfd, [15] = 9}}, CNT_IP6_NOT_OURS},
		{{.b = {0xfd, [15] = 2}}, {.b = {0xff, 2, [15] = 2}}, CNT_IP6_NOT_OURS}, /* all routers */
	};
	uint8_t l4[64];

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t before = stats.n[t[i].why];

		in_ip6(t[i].src, t[i].dst, PROTO_TCP, l4, tcp6_put(l4, t[i].src, t[i].dst, 0));
		ck_assert_uint_eq(tcp_count, 0);
		ck_assert_uint_eq(stats.n[t[i].why], before + 1);
	}
	out_nothing();
}
END_TEST

START_TEST(without_an_address_nothing_answers)
{
	uint8_t m[16] = {ICMP6_ECHO_REQUEST};

	teardown();
	conf_plain();
	net_open6();
	in_icmp6(PEER6, OURS6, m, 16);
	in_nd(ICMP6_SOLICIT, PEER6, ip6_group_of(&OURS6), 0, OURS6, 1, mac_a);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ETH_UNKNOWN], 2);
	ck_assert_uint_eq(stats.n[CNT_IP6_IN], 0);
}
END_TEST

START_TEST(configurations_that_cannot_be)
{
	ck_assert_ptr_nonnull(net);
	conf.port[0].addr[1].prefix = 129;
	ck_assert_ptr_null(net_create(&conf, &stats, 0, 1));
	conf.port[0].addr[1].prefix = 64;
	wire[0]->mtu = 1279;
	ck_assert_ptr_null(net_create(&conf, &stats, 0, 1));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* --- Extension headers -------------------------------------------------------------------------------------------- */

/* A chain: n bytes of headers, of which the first has the type `first`, then a segment. */
static void in_chain(uint8_t first, const uint8_t *ext, unsigned n)
{
	uint8_t data[1500];

	memcpy(data, ext, n);
	in_ip6(PEER6, OURS6, first, data, n + tcp6_put(data + n, PEER6, OURS6, 5));
}

/* The answer must be this parameter problem. */
static void out_problem(uint8_t code, uint32_t pointer)
{
	uint8_t ip[1500];

	out_icmp6(ip, sizeof(ip), OURS6, PEER6, ICMP6_PARAMETER, code);
	ck_assert_uint_eq(get32(ip + 44), pointer);
	out_nothing();
}

START_TEST(headers_that_mean_nothing_are_skipped)
{
	const uint8_t ext[40] = {[0] = PROTO_DEST, 0, 5, 2, 0, 0, 1, 0, /* hop by hop, a router's alert */
		[8] = PROTO_ROUTING, 1, 0x3e, 1, 7, 0, 0, 1, 7, /* an option that may be skipped */
		[24] = PROTO_TCP, 1, 4, 0}; /* a routing header that is done */

	in_chain(PROTO_HOP_BY_HOP, ext, 40);
	ck_assert_uint_eq(tcp_count, 1);
	ck_assert_uint_eq(tcp_got[0]->tcp.text_len, 5);
	ck_assert_uint_eq(tcp_got[0]->hash, net_tuple_hash(net, &PEER6, &OURS6, 4000, 80));
	out_nothing();
}
END_TEST

START_TEST(a_chain_of_a_hundred)
{
	uint8_t ext[800] = {0};

	know6(PEER6, mac_a);
	for (unsigned i = 0; i < 100; i++)
		memcpy(ext + i * 8, i == 99 ? (const uint8_t[]){PROTO_TCP, 0, 1, 4, 0, 0, 0, 0} : (const uint8_t[]){PROTO_DEST, 0, 1, 4, 0, 0, 0, 0}, 8);
	in_chain(PROTO_DEST, ext, 800);
	ck_assert_uint_eq(tcp_count, 0);
	out_problem(8, 40 + 7 * 8);
	ck_assert_uint_eq(stats.n[CNT_IP6_EXT_LIMIT], 1);
}
END_TEST

START_TEST(headers_that_are_long)
{
	uint8_t ext[1024] = {PROTO_TCP, 127};

	know6(PEER6, mac_a);
	in_chain(PROTO_DEST, ext, 1024);
	out_problem(7, 40);
	memset(ext, 0, 264);
	ext[0] = PROTO_TCP;
	ext[1] = 31;
	in_chain(PROTO_DEST, ext, 256); /* 254 of Pad1 */
	out_problem(9, 40 + 2 + 32);
	ck_assert_uint_eq(stats.n[CNT_IP6_EXT_LIMIT], 2);
	ck_assert_uint_eq(tcp_count, 0);
}
END_TEST

/* RFC 8200, 4.2: what the two highest bits say. */
START_TEST(options_that_may_not_be_skipped)
{
	uint8_t ext[8] = {PROTO_TCP, 0, 0x5e, 4};

	know6(PEER6, mac_a);
	in_chain(PROTO_DEST, ext, 8);
	out_nothing();
	ext[2] = 0x9e;
	in_chain(PROTO_DEST, ext, 8);
	out_problem(2, 42);
	ext[2] = 0xde;
	in_chain(PROTO_DEST, ext, 8);
	out_problem(2, 42);
	/* to a group: only the first kind is told */
	in_ip6(PEER6, ALL_NODES, PROTO_DEST, ext, 8);
	out_nothing();
	ext[2] = 0x9e;
	in_ip6(PEER6, ALL_NODES, PROTO_DEST, ext, 8);
	out_problem(2, 42);
	ck_assert_uint_eq(stats.n[CNT_IP6_EXT_BAD], 5);
	ck_assert_uint_eq(stats.n[CNT_ICMP6_PROBLEM_OUT], 3);
}
END_TEST

START_TEST(malformed_headers)
{
	uint8_t hop[16] = {PROTO_HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0, PROTO_TCP, 0, 1, 4};
	uint8_t option[8] = {PROTO_TCP, 0, 1, 9};
	uint8_t routing[24] = {PROTO_TCP, 2, 0, 1}; /* RFC 5095 */
	uint8_t longer[8] = {PROTO_TCP, 3, 1, 4};

	know6(PEER6, mac_a);
	in_chain(PROTO_DEST, hop, 16); /* hop by hop not at first */
	out_problem(1, 40);
	in_chain(PROTO_DEST, option, 8); /* beyond its header */
	out_problem(0, 42);
	in_chain(PROTO_ROUTING, routing, 24);
	out_problem(0, 42);
	in_ip6(PEER6, OURS6, PROTO_DEST, longer, 8); /* beyond the packet */
	out_problem(0, 41);
	in_ip6(PEER6, OURS6, PROTO_DEST, longer, 7);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_IP6_EXT_BAD], 5);
}
END_TEST

START_TEST(protocols_that_are_not_spoken)
{
	uint8_t data[16] = {0}, udp[12] = {0, 53, 0, 53, 0, 12}, ip[1500];

	know6(PEER6, mac_a);
	in_ip6(PEER6, OURS6, 132, data, 16);
	out_problem(1, 6);
	in_ip6(PEER6, OURS6, PROTO_NONE, data, 16);
	out_nothing();
	seal6(PEER6, OURS6, PROTO_UDP, udp, 12, 6);
	in_ip6(PEER6, OURS6, PROTO_UDP, udp, 12);
	out_icmp6(ip, sizeof(ip), OURS6, PEER6, ICMP6_UNREACHABLE, 4);
	ck_assert_mem_eq(ip + 48 + 40, udp, 12); /* quoted */
	udp[6] = udp[7] = 0; /* IPv6 wants a checksum */
	in_ip6(PEER6, OURS6, PROTO_UDP, udp, 12);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_IP6_PROTO], 4);
}
END_TEST

/* --- Fragments ---------------------------------------------------------------------------------------------------- */

static void in_frag_next(uint8_t next, uint32_t id, unsigned off, bool more, const uint8_t *data, unsigned len)
{
	uint8_t part[1600] = {next};

	put16(part + 2, (uint16_t)(off | more));
	put32(part + 4, id);
	memcpy(part + 8, data + off, len);
	in_ip6(PEER6, OURS6, PROTO_FRAGMENT, part, 8 + len);
}

static void in_frag(uint32_t id, unsigned off, bool more, const uint8_t *data, unsigned len)
{
	in_frag_next(PROTO_TCP, id, off, more, data, len);
}

START_TEST(fragments_in_any_order)
{
	static const uint8_t order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	uint8_t l4[2048];
	unsigned len = tcp6_put(l4, PEER6, OURS6, 1500);

	for (unsigned o = 0; o < 6; o++) {
		for (unsigned i = 0; i < 3; i++) {
			unsigned k = order[o][i];

			ck_assert_uint_eq(tcp_count, 0);
			in_frag(o, k * 512, k < 2, l4, k < 2 ? 512 : len - 1024);
		}
		ck_assert_uint_eq(tcp_count, 1);
		ck_assert_uint_eq(tcp_got[0]->tcp.text_len, 1500);
		ck_assert_mem_eq(tcp_got[0]->data + tcp_got[0]->tcp.text_off, l4 + 20, 1500);
		tcp_drop();
	}
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_OK], 6);
}
END_TEST

/* Headers before the fragment header come from the first fragment, those behind it are part of what is put together. */
START_TEST(fragments_with_headers_around)
{
	uint8_t inner[600] = {PROTO_TCP, 0, 1, 4}, part[700];
	unsigned len = 8 + tcp6_put(inner + 8, PEER6, OURS6, 500);

	for (unsigned i = 0; i < 2; i++) { /* the last one first, and with more before it */
		unsigned off = i ? 0 : 256, n = i ? 256 : len - 256, hdr = i ? 8 : 16;

		memset(part, 0, sizeof(part));
		memcpy(part, (const uint8_t[]){PROTO_FRAGMENT, (uint8_t)(hdr / 8 - 1), 1, (uint8_t)(hdr - 4)}, 4);
		part[hdr] = PROTO_DEST;
		put16(part + hdr + 2, (uint16_t)(off | i));
		memcpy(part + hdr + 8, inner + off, n);
		in_ip6(PEER6, OURS6, PROTO_DEST, part, hdr + 8 + n);
	}
	ck_assert_uint_eq(tcp_count, 1);
	ck_assert_uint_eq(tcp_got[0]->tcp.text_len, 500);
	ck_assert_uint_eq(tcp_got[0]->l4_off, 14 + 40 + 8 + 8);
}
END_TEST

/* RFC 5722 */
START_TEST(overlapping_fragments)
{
	uint8_t l4[2048];
	unsigned len = tcp6_put(l4, PEER6, OURS6, 1000);

	in_frag(1, 0, true, l4, 512);
	in_frag(1, 504, true, l4, 16);
	in_frag(1, 512, false, l4, len - 512); /* too late: it is condemned */
	ck_assert_uint_eq(tcp_count, 0);
	in_frag(2, 0, true, l4, 512);
	in_frag(2, 0, true, l4, 512); /* the very same again */
	in_frag(2, 512, false, l4, len - 512);
	ck_assert_uint_eq(tcp_count, 1);
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_OK], 1);
}
END_TEST

/* RFC 6946: others of the same name have nothing to do with it. */
START_TEST(atomic_fragments)
{
	uint8_t l4[1024];
	unsigned len = tcp6_put(l4, PEER6, OURS6, 500);

	in_frag(1, 0, true, l4, 256);
	in_frag(1, 0, false, l4, len);
	ck_assert_uint_eq(tcp_count, 1);
	ck_assert_uint_eq(tcp_got[0]->tcp.text_len, 500);
	ck_assert_uint_eq(tcp_got[0]->l4_off, 54); /* its header is gone: whoever parses it again sees none */
	in_frag(1, 256, false, l4, len - 256);
	ck_assert_uint_eq(tcp_count, 1);
	ck_assert_uint_eq(stats.n[CNT_IP6_ATOMIC], 1);
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_OK], 1);
}
END_TEST

START_TEST(fragments_that_are_wrong)
{
	uint8_t l4[1024], inner[64] = {PROTO_TCP, 0, 1, 4};

	tcp6_put(l4, PEER6, OURS6, 500);
	know6(PEER6, mac_a);
	in_frag(1, 0, true, l4, 100); /* not of eights */
	out_problem(0, 4);
	in_frag(2, 0, true, l4, 16); /* a piece of TCP's header */
	out_problem(3, 0);
	in_frag_next(PROTO_DEST, 3, 0, true, inner, 8); /* RFC 7112 */
	out_problem(3, 0);
	in_frag(4, 0, true, l4, 0);
	out_problem(3, 0);
	in_frag_next(PROTO_FRAGMENT, 5, 0, false, inner, 64); /* a fragment header in a fragment */
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 4);
	ck_assert_uint_eq(tcp_count, 0);
}
END_TEST

START_TEST(a_datagram_beyond_64_kib)
{
	uint8_t part[108] = {PROTO_TCP};

	know6(PEER6, mac_a);
	put16(part + 2, 0xfff8);
	in_ip6(PEER6, OURS6, PROTO_FRAGMENT, part, 108);
	out_problem(0, 42);
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 1);
}
END_TEST

START_TEST(fragments_that_miss_the_rest)
{
	uint8_t l4[1024], ip[1500];

	tcp6_put(l4, PEER6, OURS6, 500);
	know6(PEER6, mac_a);
	in_frag(1, 0, true, l4, 256);
	in_frag(2, 256, true, l4, 256); /* nobody knows what it began with */
	now += 6000000;
	net_tick(net, now);
	out_icmp6(ip, sizeof(ip), OURS6, PEER6, ICMP6_TIME_EXCEEDED, 1);
	ck_assert_uint_eq(ip[48 + 6], PROTO_FRAGMENT);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 2);
}
END_TEST

START_TEST(a_flood_of_fragments)
{
	uint8_t l4[1024];
	unsigned len = tcp6_put(l4, PEER6, OURS6, 500);

	for (uint32_t i = 0; i < 1000; i++)
		in_frag(100 + i, 0, true, l4, 256);
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 1000 - 16);
	in_frag(7, 0, true, l4, 256);
	in_frag(7, 256, false, l4, len - 256);
	ck_assert_uint_eq(tcp_count, 1);
}
END_TEST

/* --- ICMPv6 ------------------------------------------------------------------------------------------------------- */

START_TEST(echo)
{
	uint8_t m[1448] = {ICMP6_ECHO_REQUEST, 0, 0, 0, 1, 2, 3, 4}, ip[1500], whole[1448];

	know6(PEER6, mac_a);
	in_icmp6(PEER6, OURS6, m, 100);
	ck_assert_uint_eq(out_icmp6(ip, sizeof(ip), OURS6, PEER6, ICMP6_ECHO_REPLY, 0), 100);
	ck_assert_mem_eq(ip + 44, m + 4, 96);
	in_icmp6(PEER6, ALL_NODES, m, 100);
	out_icmp6(ip, sizeof(ip), OURS6, PEER6, ICMP6_ECHO_REPLY, 0);
	m[5] ^= 1;
	in_ip6(PEER6, OURS6, PROTO_ICMP6, m, 100);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_ICMP_BAD], 1);
	/* longer than any path must carry: in fragments, whatever our own wire could */
	in_icmp6(PEER6, OURS6, m, 1448);
	ck_assert_uint_eq(out_ip6(ip, sizeof(ip)), 40 + 8 + 1232);
	ck_assert_uint_eq(ip[6], PROTO_FRAGMENT);
	ck_assert_uint_eq(get16(ip + 42), 1);
	memcpy(whole, ip + 48, 1232);
	ck_assert_uint_eq(out_ip6(ip, sizeof(ip)), 40 + 8 + 216);
	ck_assert_uint_eq(get16(ip + 42), 1232);
	memcpy(whole + 1232, ip + 48, 216);
	ck_assert_uint_eq(csum_finish(csum_add(csum_pseudo6(ip, PROTO_ICMP6, 1448), whole, 1448)), 0);
	out_nothing();
}
END_TEST

START_TEST(errors_are_rationed_and_never_answer_errors)
{
	uint8_t m[64] = {ICMP6_UNREACHABLE}, ext[72] = {PROTO_ICMP6, 0, 0x9e, 4}, data[16] = {0};

	know6(PEER6, mac_a);
	seal6(PEER6, OURS6, PROTO_ICMP6, m, 64, 2);
	memcpy(ext + 8, m, 64);
	in_ip6(PEER6, OURS6, PROTO_DEST, ext, 72); /* an option that cannot be, in front of an error */
	ck_assert_uint_eq(stats.n[CNT_IP6_EXT_BAD], 1);
	for (unsigned i = 0; i < 1100; i++)
		in_ip6(PEER6, OURS6, 132, data, 16);
	ck_assert_uint_eq(stats.n[CNT_ICMP_LIMITED], 100);
	ck_assert_uint_eq(stats.n[CNT_ICMP6_PROBLEM_OUT], 1000);
	for (uint8_t ip[1500]; stats.n[CNT_NIC_TX] > 0; stats.n[CNT_NIC_TX]--)
		(void)out_frame(ip, sizeof(ip));
}
END_TEST

/* An error about a segment from src to PEER6. */
static void in_error(uint8_t type, uint8_t code, uint32_t value, struct ipaddr src)
{
	uint8_t m[8 + 40 + 20] = {type, code};

	put32(m + 4, value);
	m[8] = 0x60;
	m[14] = PROTO_TCP;
	memcpy(m + 16, src.b, 16);
	memcpy(m + 32, PEER6.b, 16);
	put16(m + 48, 80);
	put16(m + 50, 4000);
	put32(m + 52, 1234);
	in_icmp6(ROUTER6, OURS6, m, sizeof(m));
}

START_TEST(errors_are_told_in_icmps_numbers)
{
	static const uint8_t t[][4] = {{1, 0, 3, 0}, {1, 1, 3, 13}, {1, 3, 3, 1}, {1, 4, 3, 3}, {1, 9, 3, 1}, {3, 0, 11, 0}, {4, 1, 12, 1}};

	tells_start();
	for (unsigned i = 0; i < sizeof(t) / 4; i++) {
		in_error(t[i][0], t[i][1], 0, OURS6);
		ck_assert_uint_eq(tells, i + 1);
		ck_assert_uint_eq(told.type, t[i][2]);
		ck_assert_uint_eq(told.code, t[i][3]);
		ck_assert(!told.own && told.sport == 80 && told.dport == 4000 && told.seq == 1234);
	}
	in_error(1, 4, 0, PEER6); /* not about what we sent */
	ck_assert_uint_eq(tells, sizeof(t) / 4);
	ck_assert_uint_eq(stats.n[CNT_ICMP_BAD], 1);
	out_nothing();
}
END_TEST

/* RFC 8201, 4 */
START_TEST(packet_too_big)
{
	tells_start();
	in_error(ICMP6_TOO_BIG, 0, 1400, OURS6);
	ck_assert_uint_eq(tells, 1);
	ck_assert_uint_eq(told.type, ICMP_UNREACHABLE);
	ck_assert_uint_eq(told.code, ICMP_FRAG_NEEDED_CODE);
	ck_assert_uint_eq(told.mtu, 1400);
	in_error(ICMP6_TOO_BIG, 0, 1279, OURS6);
	in_error(ICMP6_TOO_BIG, 0, 0, OURS6);
	ck_assert_uint_eq(tells, 1);
	ck_assert_uint_eq(stats.n[CNT_ICMP6_PTB_SMALL], 2);
	in_error(ICMP6_TOO_BIG, 0, 0x10000 + 100, OURS6); /* not cut to 16 bits */
	ck_assert_uint_eq(told.mtu, 0xffff);
}
END_TEST

START_TEST(truncated_messages)
{
	uint8_t m[68] = {ICMP6_TOO_BIG};

	tells_start();
	for (unsigned len = 0; len < 8 + 48; len++)
		in_icmp6(ROUTER6, OURS6, m, len < 4 ? 4 : len);
	ck_assert_uint_eq(tells, 0);
	ck_assert_uint_eq(stats.n[CNT_ICMP_BAD], 56);
}
END_TEST

/* --- Out ---------------------------------------------------------------------------------------------------------- */

/* RFC 6437: one label for all segments of a connection, another for another. */
START_TEST(flow_labels)
{
	uint32_t label[3];
	uint8_t out[256];

	know6(PEER6, mac_a);
	for (unsigned i = 0; i < 3; i++) {
		struct ipaddr from = OURS6, to = PEER6;
		uint8_t *ip;
		struct pkt *p = net_alloc(net, &to, 60, &ip);

		net_ip_header(net, ip, &from, &to, PROTO_TCP, 60, 9, 0xb8);
		memset(ip + 40, 0, 20);
		put16(ip + 40, (uint16_t)(4000 + i / 2));
		ip[47] = (uint8_t)i;
		net_send(net, p, now);
		ck_assert_uint_eq(out_ip6(out, sizeof(out)), 60);
		ck_assert_uint_eq(get32(out) >> 20, 0x600 | 0xb8);
		ck_assert_uint_eq(out[7], 9);
		label[i] = get32(out) & 0xfffff;
	}
	ck_assert_uint_eq(label[0], label[1]);
	ck_assert_uint_ne(label[0], label[2]);
	ck_assert_uint_ne(label[0], 0);
}
END_TEST

static struct ipaddr source_for(struct ipaddr dst)
{
	struct ipaddr src = NONE6;
	uint16_t mtu;

	if (net_source(net, &dst, &src, &mtu) != 0)
		return NONE6;
	ck_assert_uint_eq(mtu, 1500);
	return src;
}

/* RFC 6724, 5 */
START_TEST(which_address_speaks)
{
	struct ipaddr global = A6(0x20, 1, 0x0d, 0xb8, 0, 7, [15] = 1), other = A6(0x20, 1, 0x0d, 0xb8, 0, 8, [15] = 1), src, dst;
	uint16_t mtu;

	src = source_for(FAR6);
	ck_assert(ipaddr_equal(&src, &OURS6)); /* better than a link-local one */
	teardown();
	conf6(0);
	conf.port[0].addr[2] = (struct net_addr){global, 64};
	conf.port[0].addr[3] = (struct net_addr){other, 64};
	conf.port[0].addrs = 4;
	net_open6();
	src = source_for(PEER6);
	ck_assert(ipaddr_equal(&src, &OURS6));
	src = source_for(FAR6);
	ck_assert(ipaddr_equal(&src, &global));
	src = source_for(A6(0xe0, [15] = 9)); /* although fd00:: has more bits in common */
	ck_assert(ipaddr_equal(&src, &global));
	src = source_for(A6(0x20, 1, 0x0d, 0xb8, 0, 8, [15] = 9));
	ck_assert(ipaddr_equal(&src, &other));
	src = source_for(zoned(PEER6_LOCAL));
	dst = zoned(OURS6_LOCAL);
	ck_assert(ipaddr_equal(&src, &dst));
	dst = PEER6;
	src = zoned(OURS6_LOCAL);
	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), 0);
	src.b[3] = 2; /* of another port */
	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), -EADDRNOTAVAIL);
	src = FAR6;
	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), -EADDRNOTAVAIL);
	src = from_ip4(OURS);
	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), -EADDRNOTAVAIL);
	src = OURS6;
	dst = from_ip4(PEER);
	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), -EADDRNOTAVAIL);
}
END_TEST

SUITE6_BEGIN("ip6")
	TEST(a_segment_is_parsed)
	TEST(link_local_segments_name_their_port)
	TEST(bad_headers)
	TEST(impossible_addresses)
	TEST(without_an_address_nothing_answers)
	TEST(configurations_that_cannot_be)
	TEST(headers_that_mean_nothing_are_skipped)
	TEST(a_chain_of_a_hundred)
	TEST(headers_that_are_long)
	TEST(options_that_may_not_be_skipped)
	TEST(malformed_headers)
	TEST(protocols_that_are_not_spoken)
	TEST(fragments_in_any_order)
	TEST(fragments_with_headers_around)
	TEST(overlapping_fragments)
	TEST(atomic_fragments)
	TEST(fragments_that_are_wrong)
	TEST(a_datagram_beyond_64_kib)
	TEST(fragments_that_miss_the_rest)
	TEST(a_flood_of_fragments)
	TEST(echo)
	TEST(errors_are_rationed_and_never_answer_errors)
	TEST(errors_are_told_in_icmps_numbers)
	TEST(packet_too_big)
	TEST(truncated_messages)
	TEST(flow_labels)
	TEST(which_address_speaks)
SUITE_END
