/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Passing frames: a checksum that its sender left open is completed, and nothing else is touched.
 */
#include "stackd/log.h"
#include "tests/unit/net_fixture.h"

enum { TEXT = 101, FRAME_MAX = 256 };

static uint8_t frame[FRAME_MAX], before[FRAME_MAX];
static unsigned frame_len;
static uint32_t cut;

static void pass(void)
{
	struct pkt p = { .data = frame, .len = frame_len, .room = sizeof(frame), .cut = cut, .port = 0 }, *pkts[1] = { &p };

	memcpy(before, frame, sizeof(before));
	net_pass(net, pkts, 1);
}

/* The field at `at` and nothing else has become what it was when the packet was made. */
static void expect_completed(unsigned at, uint16_t right)
{
	uint16_t have;

	pass();
	memcpy(&have, frame + at, 2);
	ck_assert_uint_eq(have, right);
	memcpy(before + at, &right, 2);
	ck_assert_mem_eq(frame, before, sizeof(frame));
	ck_assert_uint_eq(stats.n[CNT_MON_PARTIAL], 1);
}

static void expect_untouched(void)
{
	pass();
	ck_assert_mem_eq(frame, before, sizeof(frame));
	ck_assert_uint_eq(stats.n[CNT_MON_PARTIAL], 0);
}

/* As kernels do: the pseudo-header's sum, not complemented.  Returns what was there. */
static uint16_t leave_open(unsigned at, uint64_t pseudo)
{
	uint16_t right, sum = csum_fold(pseudo);

	memcpy(&right, frame + at, 2);
	memcpy(frame + at, &sum, 2);
	return right;
}

static void tcp4(void)
{
	uint8_t seg[160];

	frame_len = ip_put(frame, PEER, OURS, PROTO_TCP, 1, 0, seg, tcp_put(seg, PEER, OURS, 4000, 80, TEXT));
}

static void tags(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		memmove(frame + 16, frame + 12, frame_len - 12);
		put16(frame + 12, i == 1 ? ETH_TYPE_QINQ : ETH_TYPE_VLAN);
		put16(frame + 14, 5);
		frame_len += 4;
	}
}

START_TEST(tcp_over_ip4)
{
	tcp4();
	expect_completed(50, leave_open(50, csum_pseudo4(frame + 14, PROTO_TCP, 20 + TEXT)));
}
END_TEST

/* Padding behind a short packet is no part of it. */
START_TEST(padding)
{
	uint8_t seg[32];
	uint16_t right;

	frame_len = ip_put(frame, PEER, OURS, PROTO_TCP, 1, 0, seg, tcp_put(seg, PEER, OURS, 4000, 80, 1));
	memset(frame + frame_len, 0xee, 60 - frame_len);
	frame_len = 60;
	right = leave_open(50, csum_pseudo4(frame + 14, PROTO_TCP, 21));
	expect_completed(50, right);
}
END_TEST

START_TEST(behind_tags)
{
	uint16_t right;

	tcp4();
	right = leave_open(50, csum_pseudo4(frame + 14, PROTO_TCP, 20 + TEXT));
	tags(2);
	expect_completed(58, right);
}
END_TEST

START_TEST(behind_three_tags)
{
	tcp4();
	leave_open(50, csum_pseudo4(frame + 14, PROTO_TCP, 20 + TEXT));
	tags(3);
	expect_untouched();
}
END_TEST

static void udp4(uint16_t word)
{
	uint8_t d[10] = { 0, 53, 0, 99, 0, 10 };

	put16(d + 8, word);
	l4_seal(PEER, OURS, PROTO_UDP, d, sizeof(d), 6);
	frame_len = ip_put(frame, PEER, OURS, PROTO_UDP, 1, 0, d, sizeof(d));
}

START_TEST(udp_over_ip4)
{
	udp4(0x1234);
	expect_completed(40, leave_open(40, csum_pseudo4(frame + 14, PROTO_UDP, 10)));
}
END_TEST

/* A sum of zero is sent as all ones (RFC 768). */
START_TEST(udp_sum_of_zero)
{
	uint16_t zero = 0, sum, ones = 0xffff;

	udp4(0);
	memcpy(&sum, frame + 40, 2);
	udp4(get16((const uint8_t *)&sum)); /* the word takes what the sum lacks */
	memcpy(&sum, frame + 40, 2);
	ck_assert_uint_eq(sum, zero);
	leave_open(40, csum_pseudo4(frame + 14, PROTO_UDP, 10));
	expect_completed(40, ones);
}
END_TEST

START_TEST(udp_without_a_sum)
{
	udp4(0x1234);
	put16(frame + 40, 0);
	expect_untouched();
}
END_TEST

/* By the RFC's definition, word by word. */
static uint16_t sum6(const uint8_t *ip, uint8_t proto, const uint8_t *l4, unsigned len)
{
	uint32_t sum = len + proto;
	uint16_t out;

	for (unsigned i = 8; i < 40; i += 2)
		sum += get16(ip + i);
	for (unsigned i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)l4[i] << 8 : l4[i];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	put16((uint8_t *)&out, (uint16_t)~sum);
	return out;
}

static uint16_t l4_over_ip6(uint8_t proto, unsigned at)
{
	uint8_t *ip = frame + eth_put(frame, our_mac, ETH_TYPE_IP6), *l4 = ip + 40;
	unsigned len = 20 + TEXT;
	uint16_t right;

	memset(ip, 0, 40);
	ip[0] = 0x60;
	put16(ip + 4, (uint16_t)len);
	ip[6] = proto;
	for (unsigned i = 8; i < 40; i++)
		ip[i] = (uint8_t)(i * 37);
	for (unsigned i = 0; i < len; i++)
		l4[i] = (uint8_t)(i * 11 + 1);
	memset(l4 + at, 0, 2);
	right = sum6(ip, proto, l4, len);
	memcpy(l4 + at, &right, 2);
	frame_len = 14 + 40 + len;
	leave_open(54 + at, csum_pseudo6(ip, proto, len));
	return right;
}

START_TEST(tcp_over_ip6)
{
	expect_completed(54 + 16, l4_over_ip6(PROTO_TCP, 16));
}
END_TEST

START_TEST(udp_over_ip6)
{
	expect_completed(54 + 6, l4_over_ip6(PROTO_UDP, 6));
}
END_TEST

START_TEST(right_sums_stay)
{
	tcp4();
	expect_untouched();
}
END_TEST

/* What is wrong stays wrong: somebody may look for just that. */
START_TEST(wrong_sums_stay)
{
	tcp4();
	frame[50] ^= 0x5a;
	expect_untouched();
}
END_TEST

/* A right sum may have the pseudo-header's value by chance. */
START_TEST(right_by_chance)
{
	uint64_t pseudo;
	uint16_t word, sum, want;

	tcp4();
	pseudo = csum_pseudo4(frame + 14, PROTO_TCP, 20 + TEXT);
	want = csum_fold(pseudo);
	memset(frame + 50, 0, 2);
	memset(frame + 54, 0, 2); /* an even place in the text */
	word = csum_finish(csum_add(csum_plus(pseudo, want), frame + 34, 20 + TEXT));
	memcpy(frame + 54, &word, 2);
	memcpy(frame + 50, &want, 2);
	ck_assert_uint_eq(csum_finish(csum_add(pseudo, frame + 34, 20 + TEXT)), 0);
	pass();
	memcpy(&sum, frame + 50, 2);
	ck_assert_uint_eq(sum, want);
	ck_assert_mem_eq(frame, before, sizeof(frame));
}
END_TEST

START_TEST(fragments_stay)
{
	uint8_t seg[160];

	frame_len = ip_put(frame, PEER, OURS, PROTO_TCP, 1, IP4_MF, seg, tcp_put(seg, PEER, OURS, 4000, 80, TEXT - 5));
	leave_open(50, csum_pseudo4(frame + 14, PROTO_TCP, 20 + TEXT - 5));
	expect_untouched();
}
END_TEST

START_TEST(cut_frames_stay)
{
	tcp4();
	leave_open(50, csum_pseudo4(frame + 14, PROTO_TCP, 20 + TEXT));
	cut = 1;
	expect_untouched();
	cut = 0;
	frame_len--;
	expect_untouched();
}
END_TEST

/* Under a sanitizer a byte too far would be seen: each frame has its own allocation. */
START_TEST(any_frame_is_safe)
{
	static const uint16_t types[] = { ETH_TYPE_IP4, ETH_TYPE_IP6, ETH_TYPE_VLAN, ETH_TYPE_QINQ };
	uint64_t state = 3;

	log_open(LOG_LEVEL_ERR);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned len = (unsigned)((state = net_keyed_hash(5, state, 0)) % 120);
		struct pkt p = { .data = malloc(len ? len : 1), .len = len, .room = len }, *pkts[1] = { &p };

		for (unsigned k = 0; k < len; k++)
			p.data[k] = (uint8_t)((state = net_keyed_hash(5, state, 0)) >> 8);
		if (len >= 14)
			put16(p.data + 12, types[i % 4]);
		if (len >= 24 && i % 4 == 0) {
			p.data[14] = 0x45;
			put16(p.data + 16, (uint16_t)(len - 14));
			put16(p.data + 20, 0);
			p.data[23] = i % 8 == 0 ? PROTO_TCP : PROTO_UDP;
		}
		net_pass(net, pkts, 1);
		free(p.data);
	}
}
END_TEST

SUITE_BEGIN("pass")
	TEST(tcp_over_ip4)
	TEST(padding)
	TEST(behind_tags)
	TEST(behind_three_tags)
	TEST(udp_over_ip4)
	TEST(udp_sum_of_zero)
	TEST(udp_without_a_sum)
	TEST(tcp_over_ip6)
	TEST(udp_over_ip6)
	TEST(right_sums_stay)
	TEST(wrong_sums_stay)
	TEST(right_by_chance)
	TEST(fragments_stay)
	TEST(cut_frames_stay)
	TEST(any_frame_is_safe)
SUITE_END
