/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The wire of net_fixture.h with IPv6 on it: ours are fd00::1/64 and fe80::ff:fe00:1 (made of the link address), the test plays
 * fd00::2, fe80::2 and everybody else.  The first engine, which asks and answers; no address is looked for unless a test wants it.
 */
#ifndef TESTS_UNIT_IP6_FIXTURE_H
#define TESTS_UNIT_IP6_FIXTURE_H

#include "tests/unit/net_fixture.h"

#define A6(...) ((struct ipaddr){.b = {__VA_ARGS__}})
#define OURS6 A6(0xfd, [15] = 1)
#define OURS6B A6(0xfd, [15] = 7)
#define PEER6 A6(0xfd, [15] = 2)
#define ROUTER6 A6(0xfd, [15] = 0xfe)
#define FAR6 A6(0x20, 1, 0x0d, 0xb8, [15] = 9)
#define OURS6_LOCAL A6(0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 1) /* as on the wire; inside, 1 stands in the fourth byte */
#define PEER6_LOCAL A6(0xfe, 0x80, [15] = 2)
#define ALL_NODES A6(0xff, 2, [15] = 1)
#define NONE6 A6(0)

static inline struct ipaddr zoned(struct ipaddr a)
{
	return net_zone(a.b, 0);
}

static inline void conf6(unsigned dad)
{
	conf_plain();
	conf.port[0].addr[1] = (struct net_addr){OURS6, 64};
	conf.port[0].gateway6 = ROUTER6;
	conf.nd_age_s = 30;
	conf.dad = dad;
}

static inline void net_open6(void)
{
	ck_assert_int_eq(nic_mem_pair(wire, WIRE_BUFFERS, 1500), 0);
	memset(&stats, 0, sizeof(stats));
	conf.port[0].nic = wire[0];
	net_conf_complete(&conf);
	net = net_create(&conf, &stats, 0, 4711);
	ck_assert_ptr_nonnull(net);
	now = T0;
	net->announce.announced = 2; /* ARP is silent */
	net->port[0].mld.due_us = 0;
}

static inline void setup6(void)
{
	conf6(0);
	net_open6();
}

/* --- In ----------------------------------------------------------------------------------------------------------- */

static const uint8_t group_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

/* An IPv6 packet in a frame; returns the frame's length. */
static inline unsigned ip6_put(uint8_t *f, struct ipaddr src, struct ipaddr dst, uint8_t next, uint8_t hops, const void *data,
                               unsigned len)
{
	uint8_t *ip = f + eth_put(f, dst.b[0] == 0xff ? group_mac : our_mac, ETH_TYPE_IP6);

	memset(ip, 0, 40);
	ip[0] = 0x60;
	put16(ip + 4, (uint16_t)len);
	ip[6] = next;
	ip[7] = hops;
	memcpy(ip + 8, src.b, 16);
	memcpy(ip + 24, dst.b, 16);
	memcpy(ip + 40, data, len);
	return 54 + len;
}

static inline void in_ip6(struct ipaddr src, struct ipaddr dst, uint8_t next, const void *data, unsigned len)
{
	uint8_t f[1700];

	in_frame(f, ip6_put(f, src, dst, next, 64, data, len));
}

/* The checksum at `at` of an upper-layer packet. */
static inline void seal6(struct ipaddr src, struct ipaddr dst, uint8_t proto, uint8_t *l4, unsigned len, unsigned at)
{
	uint8_t ip[40] = {0};
	uint16_t sum;

	memcpy(ip + 8, src.b, 16);
	memcpy(ip + 24, dst.b, 16);
	put16(l4 + at, 0);
	sum = csum_finish(csum_add(csum_pseudo6(ip, proto, len), l4, len));
	memcpy(l4 + at, &sum, 2);
}

static inline void in_icmp6_hops(struct ipaddr src, struct ipaddr dst, uint8_t *icmp, unsigned len, uint8_t hops)
{
	uint8_t f[1700];

	seal6(src, dst, PROTO_ICMP6, icmp, len, 2);
	in_frame(f, ip6_put(f, src, dst, PROTO_ICMP6, hops, icmp, len));
}

static inline void in_icmp6(struct ipaddr src, struct ipaddr dst, uint8_t *icmp, unsigned len)
{
	in_icmp6_hops(src, dst, icmp, len, 64);
}

/* A segment from PEER6 with len bytes of text. */
static inline unsigned tcp6_put(uint8_t *l4, struct ipaddr src, struct ipaddr dst, unsigned len)
{
	unsigned n = tcp_put(l4, 0, 0, 4000, 80, len);

	seal6(src, dst, PROTO_TCP, l4, n, 16);
	return n;
}

/* Neighbour discovery: a solicitation or an advertisement with an option of type opt, or without one (0). */
static inline void in_nd(uint8_t type, struct ipaddr src, struct ipaddr dst, uint8_t flags, struct ipaddr target, uint8_t opt,
                         const uint8_t mac[6])
{
	uint8_t m[32] = {type, [4] = flags};

	memcpy(m + 8, target.b, 16);
	m[24] = opt;
	m[25] = 1;
	if (opt)
		memcpy(m + 26, mac, 6);
	in_icmp6_hops(src, dst, m, opt ? 32 : 24, 255);
}

static inline void in_advert(struct ipaddr target, const uint8_t mac[6])
{
	in_nd(ICMP6_ADVERT, target, OURS6, 0x60, target, 2, mac);
}

/* --- Out ---------------------------------------------------------------------------------------------------------- */

/* The next frame must be IPv6; the packet is copied, its length returned. */
static inline unsigned out_ip6(uint8_t *ip, unsigned size)
{
	uint8_t f[2048];
	unsigned len = out_frame(f, sizeof(f));

	ck_assert_uint_ge(len, 54);
	ck_assert_uint_eq(get16(f + 12), ETH_TYPE_IP6);
	ck_assert_uint_eq(f[14] >> 4, 6);
	ck_assert_uint_eq(get16(f + 18), len - 54);
	len -= 14;
	ck_assert_uint_le(len, size);
	memcpy(ip, f + 14, len);
	return len;
}

/* The next frame must be an ICMPv6 message with a right checksum; the packet is copied, the message's length returned. */
static inline unsigned out_icmp6(uint8_t *ip, unsigned size, struct ipaddr src, struct ipaddr dst, uint8_t type, uint8_t code)
{
	unsigned len = out_ip6(ip, size) - 40;

	ck_assert_uint_eq(ip[6], PROTO_ICMP6);
	ck_assert_mem_eq(ip + 8, src.b, 16);
	ck_assert_mem_eq(ip + 24, dst.b, 16);
	ck_assert_uint_eq(ip[40], type);
	ck_assert_uint_eq(ip[41], code);
	ck_assert_uint_eq(csum_finish(csum_add(csum_pseudo6(ip, PROTO_ICMP6, len), ip + 40, len)), 0);
	return len;
}

/* The next frame must be a solicitation for target: to everybody, or (mac) to a host. */
static inline void out_solicit(struct ipaddr src, struct ipaddr target, const uint8_t *mac)
{
	const uint8_t group[6] = {0x33, 0x33, 0xff, target.b[13], target.b[14], target.b[15]};
	uint8_t f[2048];
	unsigned len = out_frame(f, sizeof(f)), want = ipaddr_equal(&src, &NONE6) ? 24 : 32;

	ck_assert_uint_eq(len, 54 + want);
	ck_assert_mem_eq(f, mac ? mac : group, 6);
	ck_assert_uint_eq(f[14 + 7], 255);
	ck_assert_uint_eq(f[54], ICMP6_SOLICIT);
	ck_assert_mem_eq(f + 22, src.b, 16);
	if (mac)
		ck_assert_mem_eq(f + 38, target.b, 16);
	else
		ck_assert_mem_eq(f + 38, ip6_group_of(&target).b, 16);
	ck_assert_mem_eq(f + 62, target.b, 16);
	if (want == 32)
		ck_assert_mem_eq(f + 80, our_mac, 6);
}

/* Let net know PEER6: it has asked us. */
static inline void know6(struct ipaddr addr, const uint8_t mac[6])
{
	uint8_t f[2048];

	in_nd(ICMP6_SOLICIT, addr, ip6_group_of(&OURS6), 0, OURS6, 1, mac);
	ck_assert_uint_eq(out_frame(f, sizeof(f)), 54 + 32);
}

/* Queue a packet of ours, of 20 bytes of protocol 99 that begin with mark. */
static inline void send_mark6(struct ipaddr dst, uint8_t mark)
{
	struct ipaddr from = OURS6;
	uint8_t *ip;
	struct pkt *p = net_alloc(net, &dst, 60, &ip);

	ck_assert_ptr_nonnull(p);
	net_ip_header(net, ip, &from, &dst, 99, 60, 0, 0);
	memset(ip + 40, mark, 20);
	net_send(net, p, now);
}

/* The next frame must be such a packet, to that link address. */
static inline void out_mark6(const uint8_t mac[6], uint8_t mark)
{
	uint8_t f[2048];

	ck_assert_uint_eq(out_frame(f, sizeof(f)), 74);
	ck_assert_mem_eq(f, mac, 6);
	ck_assert_uint_eq(f[54], mark);
}

/* What TCP would be told. */
static struct net_icmp_error told;
static unsigned tells;

static inline void on_error(void *arg, const struct net_icmp_error *e)
{
	(void)arg;
	told = *e;
	tells++;
}

static inline void tells_start(void)
{
	tells = 0;
	net_on_icmp_error(net, on_error, NULL);
}

#define SUITE6_BEGIN(name)                                                                                             \
	int main(void)                                                                                                 \
	{                                                                                                              \
		Suite *s = suite_create(name);                                                                         \
		TCase *c = tcase_create(name);                                                                         \
		tcase_set_timeout(c, 60);                                                                              \
		tcase_add_checked_fixture(c, setup6, teardown);                                                        \
		suite_add_tcase(s, c);

#endif
