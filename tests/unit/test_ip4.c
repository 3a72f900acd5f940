/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ethernet, VLAN, IPv4 and the TCP header: what passes, what is dropped and under which name.
 */
#include "tests/unit/net_fixture.h"

static uint8_t seg[1500], frame[1600];
static unsigned frame_len;

/* A good frame with 10 bytes of text. */
static void make(void)
{
	unsigned len = tcp_put(seg, PEER, OURS, 4000, 80, 10);

	frame_len = ip_put(frame, PEER, OURS, PROTO_TCP, 1, 0, seg, len);
}

static void reseal(void)
{
	ip_seal(frame + 14);
}

static void dropped(enum stats_counter why, uint64_t count)
{
	in_frame(frame, frame_len);
	ck_assert_uint_eq(tcp_count, 0);
	ck_assert_uint_eq(stats.n[why], count);
	out_nothing();
}

static void passed(void)
{
	in_frame(frame, frame_len);
	ck_assert_uint_eq(tcp_count, 1);
}

START_TEST(segment_is_parsed)
{
	struct pkt *p;

	make();
	passed();
	p = tcp_got[0];
	ck_assert_uint_eq(p->tcp.sport, 4000);
	ck_assert_uint_eq(p->tcp.dport, 80);
	ck_assert_uint_eq(p->tcp.seq, 1000);
	ck_assert_uint_eq(p->tcp.ack, 2000);
	ck_assert_uint_eq(p->tcp.flags, 0x18);
	ck_assert_uint_eq(p->tcp.wnd, 8192);
	ck_assert_uint_eq(p->tcp.opt_len, 0);
	ck_assert_uint_eq(p->tcp.text_off, 54);
	ck_assert_uint_eq(p->tcp.text_len, 10);
	ck_assert_uint_eq(p->l3_off, 14);
	ck_assert_uint_eq(p->l4_off, 34);
	ck_assert_uint_eq(p->l3_len, 50);
	ck_assert_uint_eq(p->ttl, 64);
	ck_assert_uint_eq(to_ip4(&p->src), PEER);
	ck_assert_uint_eq(to_ip4(&p->dst), OURS);
	ck_assert_uint_eq(p->hash, net_tuple_hash(net, &p->dst, &p->src, 80, 4000));
	ck_assert(!(p->flags & PKT_MCAST));
}
END_TEST

START_TEST(padding_is_cut_off)
{
	make();
	memset(frame + frame_len, 0xaa, 20);
	frame_len += 20;
	passed();
	ck_assert_uint_eq(tcp_got[0]->tcp.text_len, 10);
	ck_assert_uint_eq(tcp_got[0]->len, 64);
}
END_TEST

START_TEST(every_truncation_is_survived)
{
	make();
	for (unsigned len = 0; len < frame_len; len++) {
		in_frame(frame, len);
		ck_assert_uint_eq(tcp_count, 0);
	}
	ck_assert_uint_eq(stats.n[CNT_ETH_SHORT], 34);
	ck_assert_uint_eq(stats.n[CNT_IP_BAD], frame_len - 34);
}
END_TEST

START_TEST(other_link_address)
{
	make();
	frame[5] ^= 1;
	dropped(CNT_ETH_NOT_OURS, 1);
}
END_TEST

START_TEST(link_broadcast_is_marked)
{
	make();
	memset(frame, 0xff, 6);
	passed();
	ck_assert(tcp_got[0]->flags & PKT_MCAST);
}
END_TEST

START_TEST(unknown_types)
{
	make();
	put16(frame + 12, 0x86dd);
	dropped(CNT_ETH_UNKNOWN, 1);
	put16(frame + 12, 0x0100); /* 802.3 length */
	dropped(CNT_ETH_UNKNOWN, 2);
}
END_TEST

static unsigned tag(uint16_t tci)
{
	memmove(frame + 16, frame + 12, frame_len - 12);
	put16(frame + 12, ETH_TYPE_VLAN);
	put16(frame + 14, tci);
	return frame_len += 4;
}

START_TEST(vlan_not_configured)
{
	make();
	tag(5);
	dropped(CNT_VLAN_DROP, 1);
	for (unsigned len = 14; len < 18; len++)
		in_frame(frame, len);
	ck_assert_uint_eq(stats.n[CNT_ETH_SHORT], 4);
}
END_TEST

START_TEST(priority_tag_is_no_vlan)
{
	make();
	tag(7 << 13);
	passed();
	ck_assert_uint_eq(tcp_got[0]->l3_off, 18);
	ck_assert_uint_eq(tcp_got[0]->tcp.text_len, 10);
}
END_TEST

START_TEST(vlan_configured)
{
	uint8_t f[2048], arp[46];

	teardown();
	conf_plain();
	conf.port[0].vlan = 5;
	net_open();
	make();
	dropped(CNT_VLAN_DROP, 1);
	tag(5 | 3 << 13);
	passed();
	ck_assert_uint_eq(tcp_got[0]->vlan, 5);
	tag(5); /* two tags */
	in_frame(frame, frame_len);
	ck_assert_uint_eq(stats.n[CNT_ETH_UNKNOWN], 1);
	arp_put(arp, our_mac, 1, peer_mac, PEER, OURS);
	memmove(arp + 16, arp + 12, 30);
	put16(arp + 12, ETH_TYPE_VLAN);
	put16(arp + 14, 5);
	in_frame(arp, 46);
	ck_assert_uint_eq(out_frame(f, sizeof(f)), 46);
	ck_assert_uint_eq(get16(f + 12), ETH_TYPE_VLAN);
	ck_assert_uint_eq(get16(f + 14), 5);
	ck_assert_uint_eq(get16(f + 16), ETH_TYPE_ARP);
	send_mark(PEER, 9);
	ck_assert_uint_eq(out_frame(f, sizeof(f)), 58);
	ck_assert_uint_eq(f[38], 9);
}
END_TEST

START_TEST(bad_headers)
{
	make();
	frame[14] = 0x65;
	dropped(CNT_IP_BAD, 1);
	make();
	frame[14] = 0x44;
	dropped(CNT_IP_BAD, 2);
	make();
	put16(frame + 16, 19);
	dropped(CNT_IP_BAD, 3);
	make();
	frame[14] = 0x4f; /* a header longer than the packet */
	put16(frame + 16, 59);
	reseal();
	dropped(CNT_IP_BAD, 4);
}
END_TEST

/* RFC 1122, 3.2.1.7: what has come to its host needs no time to live any more. */
START_TEST(a_ttl_of_nothing)
{
	make();
	frame[22] = 0;
	reseal();
	passed();
	ck_assert_uint_eq(tcp_got[0]->ttl, 0);
}
END_TEST

START_TEST(bad_ip_checksum)
{
	for (unsigned byte = 14; byte < 34; byte++) {
		make();
		if (byte == 14 || byte == 16 || byte == 17 || byte == 22)
			continue; /* these have other names */
		frame[byte] ^= 0x10;
		in_frame(frame, frame_len);
		ck_assert_uint_eq(tcp_count, 0);
	}
	ck_assert_uint_eq(stats.n[CNT_IP_CSUM], 16);
}
END_TEST

START_TEST(offloaded_checksums_are_believed)
{
	struct pkt *p = nic_alloc(wire[0]);

	make();
	memcpy(p->data, frame, frame_len);
	p->len = frame_len;
	p->data[24] ^= 1;
	p->data[50] ^= 1;
	p->flags = PKT_IP_GOOD | PKT_L4_GOOD;
	tcp_count = net_in(net, &p, 1, now);
	tcp_got[0] = p;
	ck_assert_uint_eq(tcp_count, 1);
}
END_TEST

static void martian(uint32_t src, uint32_t dst)
{
	uint64_t before = stats.n[CNT_IP_MARTIAN];

	frame_len = ip_put(frame, src, dst, PROTO_TCP, 1, 0, seg, tcp_put(seg, src, dst, 4000, 80, 0));
	dropped(CNT_IP_MARTIAN, before + 1);
}

START_TEST(martians)
{
	martian(0x7f000001, OURS);
	martian(0, OURS);
	martian(0x00000005, OURS);
	martian(0xe0000001, OURS);
	martian(0xf0000001, OURS);
	martian(0xffffffff, OURS);
	martian(0x0a0000ff, OURS); /* the subnet's broadcast */
	martian(0x0a000000, OURS);
	martian(OURS, OURS);       /* the LAND attack */
	martian(OURS2, OURS);
	martian(PEER, 0x7f000001);
	martian(PEER, 0);
}
END_TEST

START_TEST(not_for_us)
{
	static const uint32_t dst[] = {0x0a000003, 0x0a0000ff, 0xffffffff, 0xe0000001, FAR};

	for (unsigned i = 0; i < 5; i++) {
		frame_len = ip_put(frame, PEER, dst[i], PROTO_TCP, 1, 0, seg, tcp_put(seg, PEER, dst[i], 4000, 80, 0));
		dropped(CNT_IP_NOT_OURS, i + 1);
	}
}
END_TEST

/* Put len bytes of options into the frame. */
static void options(const char *opt, unsigned len)
{
	make();
	memmove(frame + 34 + len, frame + 34, frame_len - 34);
	memcpy(frame + 34, opt, len);
	frame_len += len;
	frame[14] = (uint8_t)(0x40 | (20 + len) / 4);
	put16(frame + 16, (uint16_t)(frame_len - 14));
	reseal();
}

START_TEST(good_options_are_skipped)
{
	options("\1\1\x44\x06\x05\x00\0\0", 8);
	passed();
	ck_assert_uint_eq(tcp_got[0]->l4_off, 42);
	ck_assert_uint_eq(tcp_got[0]->tcp.text_off, 62);
	options("\x94\4\0\0", 4);
	passed();
	options("\0\x83\0\0", 4); /* after the end nothing is an option */
	passed();
}
END_TEST

START_TEST(bad_options)
{
	options("\x83\7\4\x0a\0\0\3\0", 8); /* loose source route */
	dropped(CNT_IP_BAD, 1);
	options("\1\x89\7\4\x0a\0\0\3", 8); /* strict */
	dropped(CNT_IP_BAD, 2);
	options("\x44\0\1\1", 4);
	dropped(CNT_IP_BAD, 3);
	options("\x44\1\1\1", 4);
	dropped(CNT_IP_BAD, 4);
	options("\x44\5\1\1", 4);
	dropped(CNT_IP_BAD, 5);
	options("\1\1\1\x44", 4);
	dropped(CNT_IP_BAD, 6);
}
END_TEST

START_TEST(giant_is_named)
{
	make();
	put16(frame + 16, 3000);
	reseal();
	dropped(CNT_IP_GIANT, 1);
	dropped(CNT_IP_GIANT, 2);
	ck_assert(net->port[0].told_giant);
	ck_assert_uint_eq(stats.n[CNT_IP_BAD], 0);
}
END_TEST

START_TEST(partial_checksum_is_named)
{
	uint16_t sum;

	make();
	sum = csum_fold(csum_pseudo4(frame + 14, PROTO_TCP, 30));
	memcpy(frame + 50, &sum, 2);
	dropped(CNT_TCP_PARTIAL, 1);
	ck_assert(net->port[0].told_partial);
	ck_assert_uint_eq(stats.n[CNT_TCP_CSUM], 0);
}
END_TEST

START_TEST(bad_tcp)
{
	for (unsigned len = 0; len < 20; len++) {
		frame_len = ip_put(frame, PEER, OURS, PROTO_TCP, 1, 0, seg, len);
		dropped(CNT_TCP_BAD, len + 1);
	}
	stats.n[CNT_TCP_BAD] = 0;
	make();
	frame[46] = 4 << 4;
	dropped(CNT_TCP_BAD, 1);
	make();
	frame[46] = 8 << 4; /* options beyond the end */
	dropped(CNT_TCP_BAD, 2);
	make();
	put16(frame + 34, 0);
	dropped(CNT_TCP_BAD, 3);
	make();
	put16(frame + 36, 0);
	dropped(CNT_TCP_BAD, 4);
	make();
	frame[60] ^= 4;
	dropped(CNT_TCP_CSUM, 1);
	make();
	frame[46] = 7 << 4; /* text turned into options: covered by the checksum */
	dropped(CNT_TCP_CSUM, 2);
}
END_TEST

START_TEST(unknown_protocol_is_answered)
{
	uint8_t ip[2048], data[8] = {1, 2, 3};

	know(PEER, peer_mac);
	in_ip(PEER, OURS, 132, data, sizeof(data));
	ck_assert_uint_eq(out_ip(ip, sizeof(ip)), 20 + 8 + 28);
	ck_assert_uint_eq(ip[9], PROTO_ICMP);
	ck_assert_uint_eq(ip[20], 3);
	ck_assert_uint_eq(ip[21], 2);
	ck_assert_uint_eq(stats.n[CNT_IP_PROTO], 1);
}
END_TEST

START_TEST(header_of_ours)
{
	struct ipaddr a = from_ip4(OURS), b = from_ip4(PEER);
	uint8_t ip[20];
	uint16_t id;

	net_ip_header(net, ip, &a, &b, PROTO_TCP, 40, 0, 2);
	ck_assert_uint_eq(get16(ip + 4), 0);
	ck_assert_uint_eq(get16(ip + 6), IP4_DF);
	net_may_fragment(net, ip); /* an id each (RFC 6864) */
	id = get16(ip + 4);
	ck_assert_uint_eq(get16(ip + 6), 0);
	net_may_fragment(net, ip);
	ck_assert_uint_ne(get16(ip + 4), id);
	net_ip_header(net, ip, &a, &b, PROTO_TCP, 40, 0, 2);
	ck_assert_uint_eq(ip[0], 0x45);
	ck_assert_uint_eq(ip[1], 2);
	ck_assert_uint_eq(get16(ip + 2), 40);
	ck_assert_uint_eq(get16(ip + 6), IP4_DF);
	ck_assert_uint_eq(ip[8], 64);
	ck_assert_uint_eq(get32(ip + 12), OURS);
	ck_assert_uint_eq(get32(ip + 16), PEER);
}
END_TEST

/* What TCP does: the pseudo-header's sum in the field, the rest completed on the way out. */
START_TEST(tcp_checksum_is_completed)
{
	struct ipaddr a = from_ip4(OURS), b = from_ip4(PEER);
	uint8_t *l3, ip[2048], want[1500];
	struct pkt *p;
	uint16_t sum;

	know(PEER, peer_mac);
	for (unsigned len = 0; len < 40; len++) {
		p = net_alloc(net, &b, (uint16_t)(40 + len), &l3);
		net_ip_header(net, l3, &a, &b, PROTO_TCP, (uint16_t)(40 + len), 0, 0);
		tcp_put(l3 + 20, OURS, PEER, 80, 4000, len);
		memcpy(want, l3 + 20, 20 + len);
		sum = csum_fold(csum_pseudo4(l3, PROTO_TCP, (uint16_t)(20 + len)));
		memcpy(l3 + 36, &sum, 2);
		p->flags |= PKT_TX_L4_CSUM;
		net_send(net, p, now);
		ck_assert_uint_eq(out_ip(ip, sizeof(ip)), 40 + len);
		ck_assert_mem_eq(ip + 20, want, 20 + len);
	}
}
END_TEST

START_TEST(no_buffers)
{
	struct ipaddr to = from_ip4(PEER);
	struct pkt *p[WIRE_BUFFERS];
	uint8_t *ip;

	for (unsigned i = 0; i < WIRE_BUFFERS; i++)
		p[i] = net_alloc(net, &to, 40, &ip);
	ck_assert_ptr_nonnull(p[WIRE_BUFFERS - 1]);
	ck_assert_ptr_null(net_alloc(net, &to, 40, &ip));
	ck_assert_uint_eq(stats.n[CNT_NIC_NOBUF], 1);
	for (unsigned i = 0; i < WIRE_BUFFERS; i++)
		nic_free(p[i]);
	ck_assert_ptr_null(net_alloc(net, &to, 9000, &ip));
}
END_TEST

SUITE_BEGIN("ip4")
	TEST(segment_is_parsed)
	TEST(padding_is_cut_off)
	TEST(every_truncation_is_survived)
	TEST(other_link_address)
	TEST(link_broadcast_is_marked)
	TEST(unknown_types)
	TEST(vlan_not_configured)
	TEST(priority_tag_is_no_vlan)
	TEST(vlan_configured)
	TEST(bad_headers)
	TEST(a_ttl_of_nothing)
	TEST(bad_ip_checksum)
	TEST(offloaded_checksums_are_believed)
	TEST(martians)
	TEST(not_for_us)
	TEST(good_options_are_skipped)
	TEST(bad_options)
	TEST(giant_is_named)
	TEST(partial_checksum_is_named)
	TEST(bad_tcp)
	TEST(unknown_protocol_is_answered)
	TEST(header_of_ours)
	TEST(tcp_checksum_is_completed)
	TEST(no_buffers)
SUITE_END
