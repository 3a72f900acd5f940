/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Routes: longest prefix first, by hand for a few and by rte_lpm for many; and which of our addresses speaks.
 */
#include <errno.h>

#include "tests/unit/eal_fixture.h"
#include "tests/unit/net_fixture.h"

static void route_add(uint32_t dst, uint8_t prefix, uint32_t via)
{
	conf.route[conf.routes++] = (struct net_route){
		.dst = from_ip4(dst),
		.prefix = prefix,
		.via = via ? from_ip4(via) : (struct ipaddr){.w = {0}},
	};
}

static void reopen(void)
{
	teardown();
	net_open();
}

/* Where a packet goes: 0 nowhere, the address itself when on link. */
static uint32_t hop(uint32_t dst)
{
	struct ipaddr to = from_ip4(dst);
	struct route_hop h;

	if (!route_find(net, &to, &h))
		return 0;
	return is_unspecified(&h.via) ? dst : to_ip4(&h.via);
}

static uint32_t random_ip(uint64_t *state)
{
	*state = net_keyed_hash(99, *state, 0);
	return (uint32_t)*state;
}

START_TEST(connected_and_gateway)
{
	ck_assert_uint_eq(hop(PEER), PEER);
	ck_assert_uint_eq(hop(0x0a0000fd), 0x0a0000fd);
	ck_assert_uint_eq(hop(0x0a000102), ROUTER);
	ck_assert_uint_eq(hop(FAR), ROUTER);
}
END_TEST

START_TEST(nowhere)
{
	static const uint32_t dst[] = {0, 5, 0x7f000001, 0xe0000001, 0xffffffff, 0x0a0000ff, 0x0a000000, OURS, OURS2};
	struct ipaddr to, v6 = {.b = {0x20, 1, [15] = 1}}, src = {.w = {0}};
	uint16_t mtu;
	uint8_t *ip;

	for (unsigned i = 0; i < 9; i++) {
		to = from_ip4(dst[i]);
		ck_assert_ptr_null(net_alloc(net, &to, 40, &ip));
		ck_assert_int_eq(net_source(net, &to, &src, &mtu), -ENETUNREACH);
	}
	ck_assert_ptr_null(net_alloc(net, &v6, 40, &ip));
	ck_assert_uint_eq(stats.n[CNT_IP_NO_ROUTE], 10);
}
END_TEST

START_TEST(no_gateway)
{
	memset(&conf.port[0].gateway, 0, sizeof(conf.port[0].gateway));
	reopen();
	ck_assert_uint_eq(hop(PEER), PEER);
	ck_assert_uint_eq(hop(FAR), 0);
}
END_TEST

START_TEST(longest_prefix)
{
	route_add(0xc0a80000, 16, 0x0a000010);
	route_add(0xc0a80100, 24, 0x0a000011);
	route_add(0xc0a80180, 25, 0x0a000012);
	route_add(0xc0a80181, 32, 0x0a000013);
	route_add(0xc0a80100, 24, 0x0a000099); /* the first of equals holds */
	reopen();
	ck_assert_uint_eq(hop(0xc0a80201), 0x0a000010);
	ck_assert_uint_eq(hop(0xc0a80101), 0x0a000011);
	ck_assert_uint_eq(hop(0xc0a80182), 0x0a000012);
	ck_assert_uint_eq(hop(0xc0a80181), 0x0a000013);
	ck_assert_uint_eq(hop(0xc0a70101), ROUTER);
}
END_TEST

START_TEST(bad_configuration)
{
	struct net *n;

	conf.route[0] = (struct net_route){.dst = from_ip4(0xc0a80000), .prefix = 33, .via = from_ip4(PEER)};
	conf.routes = 1;
	n = net_create(&conf, &stats, 0, 1);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(errno, EINVAL);
	conf.route[0].prefix = 16;
	conf.route[0].port = 1;
	ck_assert_ptr_null(net_create(&conf, &stats, 0, 1));
	conf.routes = 0;
	conf.port[0].addr[0].prefix = 40;
	ck_assert_ptr_null(net_create(&conf, &stats, 0, 1));
}
END_TEST

START_TEST(source_addresses)
{
	struct ipaddr src = {.w = {0}}, dst = from_ip4(PEER);
	uint16_t mtu = 0;

	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), 0);
	ck_assert_uint_eq(to_ip4(&src), OURS);
	ck_assert_uint_eq(mtu, 1500);
	src = from_ip4(OURS2);
	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), 0);
	ck_assert_uint_eq(to_ip4(&src), OURS2);
	src = from_ip4(PEER);
	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), -EADDRNOTAVAIL);
	conf.port[0].addr[1] = (struct net_addr){from_ip4(0xac100001), 16};
	reopen();
	memset(&src, 0, sizeof(src));
	dst = from_ip4(0xac100505);
	ck_assert_int_eq(net_source(net, &dst, &src, &mtu), 0);
	ck_assert_uint_eq(to_ip4(&src), 0xac100001);
	ck_assert(net_is_ours(net, &src));
	ck_assert(!net_is_ours(net, &dst));
}
END_TEST

START_TEST(two_ports)
{
	struct nic *other[2];
	struct net *n;
	struct ipaddr dst = from_ip4(0xac100505), src = {.w = {0}};
	struct pkt *p;
	uint16_t mtu;
	uint8_t *ip;

	ck_assert_int_eq(nic_mem_pair(other, 16, 9000), 0);
	conf.ports = 2;
	conf.port[1].nic = other[0];
	conf.port[1].addrs = 1;
	conf.port[1].addr[0] = (struct net_addr){from_ip4(0xac100001), 16};
	n = net_create(&conf, &stats, 1, 1);
	ck_assert_int_eq(net_source(n, &dst, &src, &mtu), 0);
	ck_assert_uint_eq(to_ip4(&src), 0xac100001);
	ck_assert_uint_eq(mtu, 9000);
	p = net_alloc(n, &dst, 8000, &ip);
	ck_assert_uint_eq(p->port, 1);
	net_ip_header(n, ip, &src, &dst, 99, 8000, 0, 0);
	memset(ip + 20, 0, 8000 - 20);
	net_send(n, p, now);
	net_flush(n, now);
	ck_assert_uint_eq(nic_rx(other[1], 0, &p, 1, now), 1); /* asks there */
	nic_free(p);
	ck_assert_uint_eq(nic_rx(wire[1], 0, &p, 1, now), 0);
	net_destroy(n);
	nic_close(other[0]);
	nic_close(other[1]);
}
END_TEST

/* An address of 2000::/4 that shares its beginning with many others. */
static struct ipaddr random_ip6(uint64_t *state)
{
	struct ipaddr a = {.b = {0x20}};

	for (unsigned i = 1; i < 16; i++)
		a.b[i] = (uint8_t)(random_ip(state) & (i < 4 ? 1 : 0x81));
	return a;
}

static void route_add6(struct ipaddr dst, uint8_t prefix, uint8_t via)
{
	conf.route[conf.routes++] = (struct net_route){.dst = dst, .prefix = prefix, .via = {.b = {0xfd, [15] = via}}};
}

static bool agree(const struct net *few, const struct ipaddr *dst)
{
	struct route_hop a, b;
	bool found = route_find(few, dst, &a);

	return found == route_find(net, dst, &b) && (!found || ipaddr_equal(&a.via, &b.via));
}

/* rte_lpm and rte_lpm6 and the plain list must agree. */
START_TEST(many_routes_agree_with_few)
{
	uint64_t state = 7;
	struct net *few;

	conf.port[0].addr[conf.port[0].addrs++] = (struct net_addr){{.b = {0xfd, [15] = 1}}, 64};
	conf.port[0].gateway6 = (struct ipaddr){.b = {0xfd, [15] = 0xfe}};
	for (unsigned i = 0; i < 400; i++) {
		uint8_t prefix = (uint8_t)(8 + random_ip(&state) % 25);

		route_add((random_ip(&state) & 0x07ffffff) | 0xc0000000, prefix, 0x0a000010 + i % 64);
		route_add6(random_ip6(&state), (uint8_t)(4 + random_ip(&state) % 125), (uint8_t)(2 + i % 64));
	}
	teardown();
	net_open();
	few = net;
	eal_open(512);
	net = net_create(&conf, &stats, 1, 4711);
	ck_assert_ptr_nonnull(net);
	for (unsigned i = 0; i < 20000; i++) {
		struct ipaddr dst = from_ip4(i % 2 ? random_ip(&state) : (random_ip(&state) & 0x07ffffff) | 0xc0000000);
		struct ipaddr dst6 = i % 2 ? random_ip6(&state) : conf.route[2 * (i / 2 % 400) + 1].dst;

		ck_assert(agree(few, &dst));
		ck_assert(agree(few, &dst6));
	}
	net_destroy(few);
}
END_TEST

static uint8_t hop6(struct ipaddr dst)
{
	struct route_hop h;

	return route_find(net, &dst, &h) ? is_unspecified(&h.via) ? 1 : h.via.b[15] : 0;
}

#define IP6(first, second, last) ((struct ipaddr){.b = {first, second, [15] = last}})

START_TEST(routes_of_ipv6)
{
	conf.port[0].addr[conf.port[0].addrs++] = (struct net_addr){IP6(0xfd, 0, 1), 64};
	route_add6(IP6(0x20, 1, 0), 16, 16);
	route_add6(IP6(0x20, 1, 7), 128, 17);
	reopen();
	ck_assert_uint_eq(hop6(IP6(0xfd, 0, 9)), 1);
	ck_assert_uint_eq(hop6(IP6(0x20, 1, 9)), 16);
	ck_assert_uint_eq(hop6(IP6(0x20, 1, 7)), 17);
	ck_assert_uint_eq(hop6(IP6(0x20, 2, 7)), 0); /* IPv4's gateway is not its */
	ck_assert_uint_eq(hop(FAR), ROUTER);
	ck_assert_uint_eq(hop6(IP6(0xfd, 0, 1)), 0); /* our own */
	ck_assert_uint_eq(hop6(IP6(0xff, 2, 1)), 0);
	ck_assert_uint_eq(hop6(IP6(0, 0, 1)), 0);
	ck_assert_uint_eq(hop6((struct ipaddr){.b = {0xfe, 0x80, 0, 1, [15] = 9}}), 1);
	ck_assert_uint_eq(hop6((struct ipaddr){.b = {0xfe, 0x80, 0, 2, [15] = 9}}), 0); /* of a port that there is not */
	conf.port[0].gateway6 = IP6(0xfd, 0, 0xfe);
	reopen();
	ck_assert_uint_eq(hop6(IP6(0x20, 2, 7)), 0xfe);
}
END_TEST

SUITE_BEGIN("route")
	TEST(connected_and_gateway)
	TEST(nowhere)
	TEST(no_gateway)
	TEST(longest_prefix)
	TEST(bad_configuration)
	TEST(source_addresses)
	TEST(two_ports)
	TEST(routes_of_ipv6)
	TEST(many_routes_agree_with_few)
SUITE_END
