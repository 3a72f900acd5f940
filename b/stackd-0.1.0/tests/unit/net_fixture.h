/* SPDX-License-Identifier: BSD-3-Clause
 *
 * For the tests of net/: a struct net on one end of a wire in memory, the test on the other; frames built by hand; a clock
 * that is a number.  Ours is 10.0.0.1/24 (and 10.0.0.7), the test plays 10.0.0.2 and everybody else.
 */
#ifndef TESTS_UNIT_NET_FIXTURE_H
#define TESTS_UNIT_NET_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

#define OURS 0x0a000001u
#define OURS2 0x0a000007u
#define PEER 0x0a000002u
#define ROUTER 0x0a0000feu
#define FAR 0x08080808u

enum { WIRE_BUFFERS = 4096, T0 = 1000000 };

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1};

static struct nic *wire[2]; /* ours, the test's */
static struct net *net;
static struct stats stats;
static struct net_conf conf;
static uint64_t now;
static struct pkt *tcp_got[NET_BURST];
static unsigned tcp_count;

static inline void conf_plain(void)
{
	memset(&conf, 0, sizeof(conf));
	conf.ports = 1;
	conf.port[0].addrs = 2;
	conf.port[0].addr[0] = (struct net_addr){from_ip4(OURS), 24};
	conf.port[0].addr[1] = (struct net_addr){from_ip4(OURS2), 24};
	conf.port[0].gateway = from_ip4(ROUTER);
	conf.arp_entries = 64;
	conf.arp_age_s = 60;
	conf.frag_entries = 16;
	conf.frag_timeout_ms = 5000;
	conf.icmp_rate = 1000;
}

static inline void net_open(void)
{
	ck_assert_int_eq(nic_mem_pair(wire, WIRE_BUFFERS, 1500), 0);
	memset(&stats, 0, sizeof(stats));
	conf.port[0].nic = wire[0];
	net = net_create(&conf, &stats, 1, 4711); /* queue 1: announces nothing */
	ck_assert_ptr_nonnull(net);
	now = T0;
}

static inline void setup(void)
{
	conf_plain();
	net_open();
}

static inline void tcp_drop(void)
{
	while (tcp_count > 0)
		nic_free(tcp_got[--tcp_count]);
}

static inline void drain(void)
{
	struct pkt *p;

	if (net)
		net_flush(net, now);
	for (unsigned i = 0; i < 2; i++)
		while (nic_rx(wire[i], 0, &p, 1, now) == 1)
			nic_free(p);
}

/* After every test: nothing has been lost or kept. */
static inline void teardown(void)
{
	tcp_drop();
	net_destroy(net);
	net = NULL;
	drain();
	ck_assert_uint_eq(nic_mem_out(wire[0]), 0);
	ck_assert_uint_eq(nic_mem_out(wire[1]), 0);
	nic_close(wire[0]);
	nic_close(wire[1]);
}

/* --- Frames in ---------------------------------------------------------------------------------------------------- */

static inline void feed(struct pkt *p)
{
	struct pkt *in[1];

	nic_tx(wire[1], 0, &p, 1, now);
	if (nic_rx(wire[0], 0, in, 1, now) == 0)
		return;
	tcp_drop();
	tcp_count = net_in(net, in, 1, now);
	if (tcp_count)
		tcp_got[0] = in[0];
	net_flush(net, now);
}

static inline void in_frame(const void *data, unsigned len)
{
	struct pkt *p = nic_alloc(wire[1]);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_le(len, p->room);
	memcpy(p->data, data, len);
	p->len = len;
	feed(p);
}

static inline unsigned eth_put(uint8_t *f, const uint8_t dst[6], uint16_t type)
{
	memcpy(f, dst, 6);
	memcpy(f + 6, peer_mac, 6);
	put16(f + 12, type);
	return 14;
}

static inline void ip_seal(uint8_t *ip)
{
	uint16_t sum;

	put16(ip + 10, 0);
	sum = csum_finish(csum_add(0, ip, (ip[0] & 15u) * 4));
	memcpy(ip + 10, &sum, 2);
}

/* An IP packet in a frame; frag is the word of flags and offset.  Returns the frame's length. */
static inline unsigned ip_put(uint8_t *f, uint32_t src, uint32_t dst, uint8_t proto, uint16_t id, uint16_t frag,
                              const void *data, unsigned len)
{
	uint8_t *ip = f + eth_put(f, our_mac, ETH_TYPE_IP4);

	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(20 + len));
	put16(ip + 4, id);
	put16(ip + 6, frag);
	ip[8] = 64;
	ip[9] = proto;
	put32(ip + 12, src);
	put32(ip + 16, dst);
	ip_seal(ip);
	memcpy(ip + 20, data, len);
	return 34 + len;
}

static inline void in_ip(uint32_t src, uint32_t dst, uint8_t proto, const void *data, unsigned len)
{
	uint8_t f[1600];

	in_frame(f, ip_put(f, src, dst, proto, 1, 0, data, len));
}

static inline void l4_seal(uint32_t src, uint32_t dst, uint8_t proto, uint8_t *l4, unsigned len, unsigned at)
{
	uint8_t ip[20] = {0};
	uint16_t sum;

	put32(ip + 12, src);
	put32(ip + 16, dst);
	put16(l4 + at, 0);
	sum = csum_finish(csum_add(csum_pseudo4(ip, proto, (uint16_t)len), l4, len));
	memcpy(l4 + at, &sum, 2);
}

/* A TCP segment with len bytes of text that count up; returns its length. */
static inline unsigned tcp_put(uint8_t *l4, uint32_t src, uint32_t dst, uint16_t sport, uint16_t dport, unsigned len)
{
	memset(l4, 0, 20);
	put16(l4, sport);
	put16(l4 + 2, dport);
	put32(l4 + 4, 1000);
	put32(l4 + 8, 2000);
	l4[12] = 5 << 4;
	l4[13] = 0x18;
	put16(l4 + 14, 8192);
	for (unsigned i = 0; i < len; i++)
		l4[20 + i] = (uint8_t)(i * 7 + i / 256);
	l4_seal(src, dst, PROTO_TCP, l4, 20 + len, 16);
	return 20 + len;
}

static inline void arp_put(uint8_t *f, const uint8_t dst[6], uint16_t op, const uint8_t sha[6], uint32_t spa, uint32_t tpa)
{
	uint8_t *d = f + eth_put(f, dst, ETH_TYPE_ARP);

	memcpy(d, "\0\1\x08\0\6\4", 6);
	put16(d + 6, op);
	memcpy(d + 8, sha, 6);
	put32(d + 14, spa);
	memset(d + 18, 0, 6);
	put32(d + 24, tpa);
}

static inline void in_arp(uint16_t op, const uint8_t sha[6], uint32_t spa, uint32_t tpa)
{
	uint8_t f[42];

	arp_put(f, op == 1 ? (const uint8_t *)"\xff\xff\xff\xff\xff\xff" : our_mac, op, sha, spa, tpa);
	in_frame(f, sizeof(f));
}

/* --- Frames out --------------------------------------------------------------------------------------------------- */

/* The next frame that net sent, copied; 0: none. */
static inline unsigned out_frame(uint8_t *f, unsigned size)
{
	struct pkt *p;
	unsigned len;

	net_flush(net, now);
	if (nic_rx(wire[1], 0, &p, 1, now) == 0)
		return 0;
	len = p->len;
	ck_assert_uint_le(len, size);
	memcpy(f, p->data, len);
	nic_free(p);
	return len;
}

static inline void out_nothing(void)
{
	uint8_t f[2048];

	ck_assert_uint_eq(out_frame(f, sizeof(f)), 0);
}

/* The next frame must be this ARP message. */
static inline void out_arp(uint16_t op, const uint8_t to[6], uint32_t spa, uint32_t tpa)
{
	uint8_t f[2048];

	ck_assert_uint_eq(out_frame(f, sizeof(f)), 42);
	ck_assert_uint_eq(get16(f + 12), ETH_TYPE_ARP);
	ck_assert_mem_eq(f, to, 6);
	ck_assert_mem_eq(f + 6, our_mac, 6);
	ck_assert_uint_eq(get16(f + 20), op);
	ck_assert_mem_eq(f + 22, our_mac, 6);
	ck_assert_uint_eq(get32(f + 28), spa);
	ck_assert_uint_eq(get32(f + 38), tpa);
}

/* The next frame must be IPv4 with a good header; the IP packet is copied, its length returned. */
static inline unsigned out_ip(uint8_t *ip, unsigned size)
{
	uint8_t f[2048];
	unsigned len = out_frame(f, sizeof(f));

	ck_assert_uint_ge(len, 34);
	ck_assert_uint_eq(get16(f + 12), ETH_TYPE_IP4);
	len -= 14;
	ck_assert_uint_le(len, size);
	memcpy(ip, f + 14, len);
	ck_assert_uint_eq(get16(ip + 2), len);
	ck_assert_uint_eq(csum_finish(csum_add(0, ip, 20)), 0);
	return len;
}

/* Let net know a neighbour: it has asked us. */
static inline void know(uint32_t addr, const uint8_t mac[6])
{
	uint8_t f[2048];

	in_arp(1, mac, addr, OURS);
	ck_assert_uint_eq(out_frame(f, sizeof(f)), 42);
}

/* Queue a packet of ours, of 20 bytes of protocol 99 that begin with mark. */
static inline void send_mark(uint32_t dst, uint8_t mark)
{
	struct ipaddr to = from_ip4(dst), from = from_ip4(OURS);
	uint8_t *ip;
	struct pkt *p = net_alloc(net, &to, 40, &ip);

	ck_assert_ptr_nonnull(p);
	net_ip_header(net, ip, &from, &to, 99, 40, 0, 0);
	memset(ip + 20, mark, 20);
	net_send(net, p, now);
}

static inline int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define SUITE_BEGIN(name)                                                                                              \
	int main(void)                                                                                                 \
	{                                                                                                              \
		Suite *s = suite_create(name);                                                                         \
		TCase *c = tcase_create(name);                                                                         \
		tcase_set_timeout(c, 60);                                                                              \
		tcase_add_checked_fixture(c, setup, teardown);                                                         \
		suite_add_tcase(s, c);
#define TEST(fn) tcase_add_test(c, fn);
#define SUITE_END                                                                                                      \
	return run_suite(s);                                                                                           \
	}

#endif
