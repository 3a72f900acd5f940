/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reassembly: in any order, up to 64 KiB, and what an attacker sends instead.
 */
#include "tests/unit/net_fixture.h"

static uint8_t datagram[65536 + 2048];
static unsigned datagram_len;

/* A TCP segment with len bytes of text, to be sent in pieces. */
static void make(unsigned len)
{
	datagram_len = tcp_put(datagram, PEER, OURS, 4000, 80, len);
}

static void piece_id(uint16_t id, unsigned off, unsigned len, bool more)
{
	uint8_t f[1600];

	in_frame(f, ip_put(f, PEER, OURS, PROTO_TCP, id, (uint16_t)(off / 8 | (more ? IP4_MF : 0)), datagram + off, len));
}

static void piece(unsigned off, unsigned len)
{
	piece_id(1, off, len, off + len < datagram_len);
}

static void expect_whole(void)
{
	const struct pkt *p = tcp_got[0];

	ck_assert_uint_eq(tcp_count, 1);
	ck_assert_uint_eq(p->l3_len, 20 + datagram_len);
	ck_assert_uint_eq(p->tcp.text_len, datagram_len - 20);
	ck_assert_uint_eq(p->tcp.dport, 80);
	ck_assert_mem_eq(p->data + p->tcp.text_off, datagram + 20, datagram_len - 20);
	ck_assert_uint_eq(csum_finish(csum_add(0, p->data + p->l3_off, 20)), 0);
}

static void expect_none(void)
{
	ck_assert_uint_eq(tcp_count, 0);
}

START_TEST(in_order)
{
	make(2000);
	piece(0, 1000);
	expect_none();
	piece(1000, 1000);
	expect_none();
	piece(2000, 20);
	expect_whole();
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_IN], 3);
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_OK], 1);
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 0);
}
END_TEST

START_TEST(backwards)
{
	make(3000);
	for (int off = 2400; off > 0; off -= 800)
		piece((unsigned)off, off == 2400 ? 620 : 800);
	expect_none();
	piece(0, 800);
	expect_whole();
}
END_TEST

START_TEST(every_order_of_five)
{
	static const unsigned len[5] = {24, 8, 800, 16, 72};
	unsigned off[5], order[5];

	make(900);
	for (unsigned i = 0, at = 0; i < 5; at += len[i++])
		off[i] = at;
	for (unsigned n = 0; n < 120; n++) {
		bool used[5] = {false};

		for (unsigned i = 0, left = n, k; i < 5; i++) { /* the n-th permutation */
			unsigned skip = left % (5 - i);

			left /= 5 - i;
			for (k = 0; used[k] || skip > 0; k++)
				skip -= !used[k];
			used[k] = true;
			order[i] = k;
		}
		for (unsigned i = 0; i < 5; i++) {
			piece_id((uint16_t)n, off[order[i]], len[order[i]], order[i] < 4);
			ck_assert_uint_eq(tcp_count, i == 4);
		}
		expect_whole();
	}
}
END_TEST

START_TEST(two_at_once)
{
	make(1000);
	piece_id(1, 0, 512, true);
	piece_id(2, 0, 256, true);
	piece_id(2, 256, datagram_len - 256, false);
	expect_whole();
	piece_id(1, 512, datagram_len - 512, false);
	expect_whole();
}
END_TEST

START_TEST(largest)
{
	unsigned off;

	make(65535 - 20 - 20);
	for (off = 0; off + 1480 < datagram_len; off += 1480)
		piece(off, 1480);
	expect_none();
	piece(off, datagram_len - off);
	expect_whole();
}
END_TEST

START_TEST(ping_of_death)
{
	make(65495);
	piece_id(1, 65528, 8, false);   /* 20 + 65536 */
	piece_id(1, 65512, 1000, false);
	piece_id(1, 65512, 8, true);
	expect_none();
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 3);
}
END_TEST

START_TEST(repetition_is_ignored)
{
	make(1000);
	piece(0, 512);
	piece(0, 512);
	piece(512, 508);
	expect_whole();
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 1);
}
END_TEST

START_TEST(overlap_condemns)
{
	static const struct { unsigned off, len; } bad[] = {{0, 504}, {0, 528}, {504, 16}, {8 * 8, 64}, {504, 516}};

	make(1000);
	for (uint16_t i = 0; i < 5; i++) {
		piece_id(i, 0, 512, true);
		piece_id(i, bad[i].off, bad[i].len, bad[i].off + bad[i].len != 1020);
		expect_none();
		piece_id(i, 0, 512, true); /* nothing helps it now */
		piece_id(i, 512, 508, false);
		expect_none();
	}
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_OK], 0);
}
END_TEST

START_TEST(teardrop)
{
	make(100);
	piece_id(1, 0, 40, true);
	piece_id(1, 24, 4, false);
	expect_none();
	piece_id(2, 24, 4, false);
	piece_id(2, 0, 40, true);
	expect_none();
}
END_TEST

START_TEST(two_ends)
{
	make(1000);
	piece_id(1, 512, 100, false);
	piece_id(1, 612 + 4, 8, false);
	piece_id(1, 0, 512, true);
	expect_none();
	piece_id(2, 512, 512, true);
	piece_id(2, 256, 100, false); /* ends before what we have */
	piece_id(2, 0, 256, true);
	expect_none();
	piece_id(3, 512, 100, false);
	piece_id(3, 616, 8, true); /* goes on after the end */
	piece_id(3, 0, 512, true);
	expect_none();
}
END_TEST

START_TEST(tiny_fragments)
{
	make(100);
	piece_id(1, 0, 16, true); /* RFC 3128: flags in the second fragment */
	piece_id(1, 16, 104, false);
	expect_none();
	piece_id(2, 0, 24, true);
	piece_id(2, 8, 16, true); /* RFC 1858: rewrites the first */
	piece_id(2, 24, 96, false);
	expect_whole();
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 2);
}
END_TEST

START_TEST(odd_lengths)
{
	make(100);
	piece_id(1, 0, 44, true);
	piece_id(1, 40, 0, true);
	piece_id(1, 40, 0, false);
	expect_none();
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 3);
}
END_TEST

START_TEST(time_passes)
{
	uint8_t ip[2048];

	know(PEER, peer_mac);
	make(1000);
	piece(0, 512);
	now = T0 + 4999999;
	net_tick(net, now);
	out_nothing();
	now = T0 + 5000000;
	net_tick(net, now);
	ck_assert_uint_eq(out_ip(ip, sizeof(ip)), 56); /* RFC 792: reassembly time exceeded */
	ck_assert_uint_eq(ip[20], 11);
	ck_assert_uint_eq(ip[21], 1);
	ck_assert_uint_eq(get16(ip + 20 + 28), 4000);
	ck_assert_uint_eq(csum_finish(csum_add(0, ip + 20, 36)), 0);
	piece(512, 508);
	expect_none();
}
END_TEST

START_TEST(time_passes_without_the_first)
{
	know(PEER, peer_mac);
	make(1000);
	piece(512, 508);
	now += 6000000;
	net_tick(net, now);
	out_nothing();
	ck_assert_uint_eq(stats.n[CNT_IP_FRAG_DROP], 1);
}
END_TEST

START_TEST(tick_tells_when)
{
	make(1000);
	piece(0, 512);
	now += 4900000;
	ck_assert_uint_eq(net_tick(net, now), T0 + 5000000);
}
END_TEST

START_TEST(flood_pushes_out_the_oldest)
{
	make(1000);
	for (uint16_t id = 1; id <= 17; id++)
		piece_id(id, 0, 512, true);
	piece_id(1, 512, 508, false);
	expect_none();
	piece_id(17, 512, 508, false);
	expect_whole();
	piece_id(16, 512, 508, false);
	expect_whole();
}
END_TEST

START_TEST(pieces_are_bounded)
{
	make(4000);
	for (unsigned off = 0; off + 24 < datagram_len; off += 24)
		piece(off, 24);
	piece(datagram_len / 24 * 24, datagram_len % 24);
	expect_none();
	ck_assert_uint_gt(stats.n[CNT_IP_FRAG_DROP], 0);
}
END_TEST

START_TEST(frames_are_not_held)
{
	make(4000);
	piece(0, 1480);
	piece(1480, 1480);
	ck_assert_uint_eq(nic_mem_out(wire[1]), 0);
}
END_TEST

START_TEST(wholes_out_are_bounded)
{
	struct pkt *kept[300];
	unsigned n = 0;

	make(100);
	for (uint16_t id = 0; id < 300; id++) {
		piece_id(id, 0, 40, true);
		piece_id(id, 40, 80, false);
		if (tcp_count == 1) {
			kept[n++] = tcp_got[0];
			tcp_count = 0;
		}
	}
	ck_assert_uint_eq(n, 256);
	while (n > 0)
		nic_free(kept[--n]);
	piece_id(1000, 0, 40, true);
	piece_id(1000, 40, 80, false);
	expect_whole();
}
END_TEST

START_TEST(whole_can_be_read_again)
{
	struct pkt *p;
	bool all;

	make(2000);
	piece(0, 1000);
	piece(1000, 1020);
	expect_whole();
	p = tcp_got[0];
	tcp_count = 0;
	ck_assert_uint_eq(net_steer_hash(net, p, &all), p->hash);
	ck_assert(!all);
	p->flags |= PKT_STEERED;
	tcp_count = net_in(net, &p, 1, now); /* as on another engine */
	tcp_got[0] = p;
	expect_whole();
}
END_TEST

static void ecn(uint8_t first, uint8_t second)
{
	static uint16_t id = 500;
	uint8_t f[1600];
	unsigned len;

	make(100);
	id++;
	len = ip_put(f, PEER, OURS, PROTO_TCP, id, IP4_MF, datagram, 40);
	f[15] = first;
	ip_seal(f + 14);
	in_frame(f, len);
	len = ip_put(f, PEER, OURS, PROTO_TCP, id, 5, datagram + 40, 80);
	f[15] = second;
	ip_seal(f + 14);
	in_frame(f, len);
}

START_TEST(congestion_mark_survives)
{
	ecn(2, 3);
	expect_whole();
	ck_assert_uint_eq(tcp_got[0]->tos, 3);
	ecn(2, 2);
	ck_assert_uint_eq(tcp_got[0]->tos, 2);
	ecn(0, 3); /* RFC 3168, 5.3 */
	expect_none();
}
END_TEST

START_TEST(udp_in_pieces_is_answered_once)
{
	uint8_t f[1600], ip[2048], data[1200] = {0, 9, 0, 9, 4, 0xb0, 0, 0}; /* 1200 bytes, no checksum */

	know(PEER, peer_mac);
	in_frame(f, ip_put(f, PEER, OURS, PROTO_UDP, 7, 600 / 8, data + 600, 600));
	in_frame(f, ip_put(f, PEER, OURS, PROTO_UDP, 7, IP4_MF, data, 600));
	ck_assert_uint_eq(out_ip(ip, sizeof(ip)), 576);
	ck_assert_uint_eq(ip[20], 3);
	ck_assert_uint_eq(ip[21], 3);
	out_nothing();
}
END_TEST

SUITE_BEGIN("frag")
	TEST(in_order)
	TEST(backwards)
	TEST(every_order_of_five)
	TEST(two_at_once)
	TEST(largest)
	TEST(ping_of_death)
	TEST(repetition_is_ignored)
	TEST(overlap_condemns)
	TEST(teardrop)
	TEST(two_ends)
	TEST(tiny_fragments)
	TEST(odd_lengths)
	TEST(time_passes)
	TEST(time_passes_without_the_first)
	TEST(tick_tells_when)
	TEST(flood_pushes_out_the_oldest)
	TEST(pieces_are_bounded)
	TEST(frames_are_not_held)
	TEST(wholes_out_are_bounded)
	TEST(whole_can_be_read_again)
	TEST(congestion_mark_survives)
	TEST(udp_in_pieces_is_answered_once)
SUITE_END
