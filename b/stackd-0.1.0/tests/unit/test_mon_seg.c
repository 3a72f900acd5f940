/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames as the monitor reads them: link headers, IPv4 and IPv6, what is malformed, fragments put together.  Every frame lies in a heap
 * block of its own size, so that a read beyond its end is seen by the sanitizer.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/flow.h"
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"
#include "stackd/tcp/seg.h"

enum { SEED = 5, FRAME_MAX = 70000, SECOND_US = 1000000 };

static uint8_t frame[FRAME_MAX]; /* being made */
static uint32_t len, l3, l4;
static uint16_t pkt_flags;
static struct mon_seg seg;

/* --- Frames ----------------------------------------------------------------------------------------------------------------- */

static void add(const void *bytes, uint32_t n)
{
	memcpy(frame + len, bytes, n);
	len += n;
}
#define ADD(...) add((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void link_header(unsigned tags, uint16_t type)
{
	static const uint16_t tpid[] = { ETH_TYPE_QINQ, ETH_TYPE_VLAN, 0x9100 };

	len = 0;
	pkt_flags = 0;
	ADD(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2);
	for (unsigned i = 0; i < tags; i++)
		ADD((uint8_t)(tpid[i] >> 8), (uint8_t)tpid[i], 0, 7);
	ADD((uint8_t)(type >> 8), (uint8_t)type);
	l3 = len;
}

static void ip4_header(unsigned options)
{
	ADD((uint8_t)(0x45 + options), 0, 0, 0, 0x12, 0x34, 0, 0, 64, PROTO_TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2);
	for (unsigned i = 0; i < options; i++)
		ADD(1, 1, 1, 1);
	l4 = len;
}

static void ip6_header(uint8_t next)
{
	ADD(0x60, 0, 0, 0, 0, 0, next, 64);
	ADD(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
	ADD(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
	l4 = len;
}

static void tcp_header(unsigned options)
{
	ADD(0x03, 0xe8, 0, 80, 0, 0, 1, 0, 0, 0, 2, 0, (uint8_t)((5 + options) << 4), SEG_ACK | SEG_PSH, 0x10, 0x20, 0, 0, 0, 0);
}

static bool is_6(void)
{
	return frame[l3] >> 4 == 6;
}

static void ip4_sum(void)
{
	uint16_t sum;

	put16(frame + l3 + 10, 0);
	sum = csum_finish(csum_add(0, frame + l3, (frame[l3] & 15u) * 4));
	memcpy(frame + l3 + 10, &sum, 2);
}

static void lengths(void)
{
	if (is_6())
		put16(frame + l3 + 4, (uint16_t)(len - l3 - IP6_HDR));
	else
		put16(frame + l3 + 2, (uint16_t)(len - l3));
	if (!is_6())
		ip4_sum();
}

/* Lengths and checksums of what has been put together. */
static void finish(void)
{
	uint64_t pseudo;
	uint16_t sum;

	lengths();
	pseudo = is_6() ? csum_pseudo6(frame + l3, PROTO_TCP, len - l4) : csum_pseudo4(frame + l3, PROTO_TCP, (uint16_t)(len - l4));
	put16(frame + l4 + 16, 0);
	sum = csum_finish(csum_add(pseudo, frame + l4, len - l4));
	memcpy(frame + l4 + 16, &sum, 2);
}

static void good4(unsigned tags, const char *text)
{
	link_header(tags, ETH_TYPE_IP4);
	ip4_header(0);
	tcp_header(0);
	add(text, (uint32_t)strlen(text));
	finish();
}

static enum mon_seg_kind parse_bytes(const uint8_t *bytes, uint32_t n)
{
	uint8_t *exact = malloc(n > 0 ? n : 1);
	struct pkt p = { .data = exact, .len = n, .room = n, .flags = pkt_flags };

	memcpy(exact, bytes, n);
	memset(&seg, 0xee, sizeof(seg));
	mon_seg_parse(&p, SEED, &seg);
	free(exact);
	return seg.kind;
}

static enum mon_seg_kind parse(void)
{
	return parse_bytes(frame, len);
}

static void text_is(const uint8_t *bytes, const char *text)
{
	ck_assert_uint_eq(seg.text_len, strlen(text));
	ck_assert_uint_eq(seg.wire_text, strlen(text));
	ck_assert_int_eq(memcmp(bytes + seg.text_off, text, strlen(text)), 0);
}

/* --- Whole packets ------------------------------------------------------------------------------------------------------------ */

START_TEST(tcp_over_ip4)
{
	struct ipaddr a = from_ip4(0x0a000001), b = from_ip4(0x0a000002);

	good4((unsigned)_i, "hello");
	ck_assert_int_eq(parse(), _i <= 2 ? MON_SEG_TCP : MON_SEG_OTHER);
	if (_i > 2)
		return;
	ck_assert_uint_eq(seg.version, 4);
	ck_assert_uint_eq(seg.l3_off, 14 + 4 * (unsigned)_i);
	ck_assert_uint_eq(seg.l3_len, 45);
	ck_assert_int_eq(memcmp(&seg.src, &a, sizeof(a)), 0);
	ck_assert_int_eq(memcmp(&seg.dst, &b, sizeof(b)), 0);
	ck_assert_uint_eq(seg.sport, 1000);
	ck_assert_uint_eq(seg.dport, 80);
	ck_assert_uint_eq(seg.seq, 256);
	ck_assert_uint_eq(seg.ack, 512);
	ck_assert_uint_eq(seg.flags, SEG_ACK | SEG_PSH);
	ck_assert_uint_eq(seg.wnd, 0x1020);
	ck_assert(!seg.has_ws && !seg.has_ts);
	ck_assert_uint_eq(seg.hash, mon_tuple_hash(SEED, &a, 1000, &b, 80));
	text_is(frame, "hello");
}
END_TEST

START_TEST(link_padding_is_no_payload)
{
	good4(0, "abc");
	ADD(9, 9, 9, 9, 9, 9);
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	text_is(frame, "abc");
}
END_TEST

START_TEST(ip4_options_are_skipped)
{
	link_header(0, ETH_TYPE_IP4);
	ip4_header(10);
	tcp_header(0);
	ADD('x');
	finish();
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	ck_assert_uint_eq(seg.l4_off, 14 + 60);
	text_is(frame, "x");
}
END_TEST

START_TEST(tcp_over_ip6)
{
	struct ipaddr a = { .b = { 0xfd, [15] = 1 } }, b = { .b = { 0xfd, [15] = 2 } };

	link_header(1, ETH_TYPE_IP6);
	ip6_header(PROTO_TCP);
	tcp_header(0);
	ADD('h', 'i');
	finish();
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	ck_assert_uint_eq(seg.version, 6);
	ck_assert_int_eq(memcmp(&seg.src, &a, sizeof(a)), 0);
	ck_assert_int_eq(memcmp(&seg.dst, &b, sizeof(b)), 0);
	text_is(frame, "hi");
	frame[len - 1] ^= 1;
	ck_assert_int_eq(parse(), MON_SEG_BAD_TCP);
}
END_TEST

/* Each kind of extension header has its own idea of a length: RFC 8200 4, RFC 4302 2.2. */
START_TEST(ip6_extension_headers)
{
	link_header(0, ETH_TYPE_IP6);
	ip6_header(0);
	ADD(43, 0, 1, 4, 0, 0, 0, 0);                                   /* hop by hop, 8 */
	ADD(60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);           /* routing, 16 */
	ADD(51, 0, 1, 4, 0, 0, 0, 0);                                   /* destination, 8 */
	ADD(60, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12); /* authentication, 24 */
	ADD(PROTO_TCP, 0, 1, 4, 0, 0, 0, 0);                            /* destination, 8 */
	l4 = len;
	tcp_header(0);
	ADD('o', 'k');
	finish();
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	ck_assert_uint_eq(seg.l4_off, l4);
	text_is(frame, "ok");
	for (uint32_t n = 0; n < len; n++) /* and cut anywhere it is bad, but never read beyond */
		ck_assert_int_ne(parse_bytes(frame, n), MON_SEG_TCP);
}
END_TEST

START_TEST(ip6_extension_headers_are_bounded)
{
	link_header(0, ETH_TYPE_IP6);
	ip6_header(60);
	for (unsigned i = 0; i < 9; i++)
		ADD(i == 8 ? PROTO_TCP : 60, 0, 1, 4, 0, 0, 0, 0);
	l4 = len;
	tcp_header(0);
	finish();
	ck_assert_int_eq(parse(), MON_SEG_IP);
	frame[l3 + IP6_HDR + 1] = 255; /* runs over the end */
	ck_assert_int_eq(parse(), MON_SEG_BAD_IP);
}
END_TEST

START_TEST(other_protocols)
{
	good4(0, "");
	frame[l3 + 9] = PROTO_UDP;
	ip4_sum();
	ck_assert_int_eq(parse(), MON_SEG_IP);
	ck_assert_uint_eq(seg.proto, PROTO_UDP);
	link_header(0, ETH_TYPE_ARP);
	ADD(0, 1);
	ck_assert_int_eq(parse(), MON_SEG_OTHER);
}
END_TEST

/* What is no TCP is kept in order by its addresses: both directions alike. */
START_TEST(hash_of_both_directions_without_ports)
{
	uint32_t hash;
	uint8_t address[4];

	good4(0, "");
	frame[l3 + 9] = PROTO_UDP;
	ip4_sum();
	parse();
	hash = seg.hash;
	memcpy(address, frame + l3 + 12, 4);
	memcpy(frame + l3 + 12, frame + l3 + 16, 4);
	memcpy(frame + l3 + 16, address, 4);
	parse();
	ck_assert_uint_eq(seg.hash, hash);
}
END_TEST

/* --- Options -------------------------------------------------------------------------------------------------------------------- */

static void with_options(const uint8_t *opt, uint32_t n)
{
	link_header(0, ETH_TYPE_IP4);
	ip4_header(0);
	tcp_header((n + 3) / 4);
	add(opt, n);
	while ((len - l4) % 4 != 0)
		ADD(0);
	ADD('t');
	finish();
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	text_is(frame, "t");
}
#define WITH_OPTIONS(...) with_options((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

START_TEST(options_of_a_syn)
{
	WITH_OPTIONS(2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8, 1, 3, 3, 7);
	ck_assert(seg.has_ws && seg.has_ts);
	ck_assert_uint_eq(seg.shift, 7);
	ck_assert_uint_eq(seg.ts_val, 9);
	ck_assert_uint_eq(seg.ts_ecr, 8);
}
END_TEST

/* A receiver takes the segment, and the options before the one that makes no sense. */
START_TEST(options_that_make_no_sense)
{
	WITH_OPTIONS(3, 3, 5, 9, 0, 8, 10);
	ck_assert(seg.has_ws && !seg.has_ts);
	WITH_OPTIONS(3, 3, 5, 1, 1, 1, 8, 10); /* ends before its value */
	ck_assert(seg.has_ws && !seg.has_ts);
	WITH_OPTIONS(9, 1, 3, 3, 5);
	ck_assert(!seg.has_ws);
	WITH_OPTIONS(9, 40, 3, 3, 5);
	ck_assert(!seg.has_ws);
	WITH_OPTIONS(0, 3, 3, 5); /* behind the end of the list */
	ck_assert(!seg.has_ws);
	WITH_OPTIONS(3, 4, 5, 5); /* wrong length */
	ck_assert(!seg.has_ws);
	WITH_OPTIONS(1, 1, 1, 3); /* a kind without a length, at the very end */
	ck_assert(!seg.has_ws);
	WITH_OPTIONS(200, 5, 1, 2, 3, 3, 3, 2);
	ck_assert(seg.has_ws && seg.shift == 2);
}
END_TEST

/* --- Malformed -------------------------------------------------------------------------------------------------------------------- */

START_TEST(checksums)
{
	good4(0, "odd");
	frame[len - 1] ^= 1;
	ck_assert_int_eq(parse(), MON_SEG_BAD_TCP);
	pkt_flags = PKT_L4_GOOD;
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	pkt_flags = PKT_TX_L4_CSUM;
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	frame[l3 + 8]--;
	ck_assert_int_eq(parse(), MON_SEG_BAD_IP);
	pkt_flags = PKT_L4_GOOD | PKT_IP_GOOD;
	ck_assert_int_eq(parse(), MON_SEG_TCP);
}
END_TEST

/* A kernel on the other end of a veth, with its checksum offload on: the field has the pseudo-header's sum. */
START_TEST(partial_checksum_of_somebody_else_is_bad)
{
	uint16_t partial;

	good4(0, "text");
	partial = csum_fold(csum_pseudo4(frame + l3, PROTO_TCP, (uint16_t)(len - l4)));
	memcpy(frame + l4 + 16, &partial, 2);
	ck_assert_int_eq(parse(), MON_SEG_BAD_TCP);
}
END_TEST

START_TEST(cut_short_anywhere)
{
	good4(2, "hello");
	for (uint32_t n = 0; n < len; n++) {
		enum mon_seg_kind kind = parse_bytes(frame, n);

		ck_assert_int_eq(kind, n < l3 ? MON_SEG_OTHER : MON_SEG_BAD_IP);
	}
}
END_TEST

START_TEST(ip4_lengths_that_lie)
{
	good4(0, "hello");
	put16(frame + l3 + 2, 19);
	ip4_sum();
	ck_assert_int_eq(parse(), MON_SEG_BAD_IP);
	put16(frame + l3 + 2, 0); /* a giant frame of an offload */
	ip4_sum();
	ck_assert_int_eq(parse(), MON_SEG_BAD_IP);
	put16(frame + l3 + 2, 39); /* half a TCP header */
	ip4_sum();
	ck_assert_int_eq(parse(), MON_SEG_BAD_TCP);
	good4(0, "hello");
	frame[l3] = 0x44;
	ck_assert_int_eq(parse(), MON_SEG_BAD_IP);
	frame[l3] = 0x65;
	ck_assert_int_eq(parse(), MON_SEG_BAD_IP);
	frame[l3] = 0x4f; /* longer than what there is */
	put16(frame + l3 + 2, 60);
	ck_assert_int_eq(parse(), MON_SEG_BAD_IP);
}
END_TEST

START_TEST(tcp_offsets_that_lie)
{
	good4(0, "hello");
	frame[l4 + 12] = 4 << 4;
	finish();
	ck_assert_int_eq(parse(), MON_SEG_BAD_TCP);
	frame[l4 + 12] = 7 << 4; /* 28, and there are 25 */
	finish();
	ck_assert_int_eq(parse(), MON_SEG_BAD_TCP);
	frame[l4 + 12] = 6 << 4;
	finish();
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	text_is(frame, "o");
}
END_TEST

START_TEST(any_bytes_at_all)
{
	srand((unsigned)_i);
	for (unsigned n = 0; n < 2000; n++) {
		uint32_t size;

		if (rand() % 2 != 0) {
			good4((unsigned)rand() % 3, "some text");
		} else {
			link_header((unsigned)rand() % 3, ETH_TYPE_IP6);
			ip6_header((uint8_t[]){ 0, 43, 44, 51, 60, PROTO_TCP }[rand() % 6]);
			for (unsigned i = 0; i < 60; i++)
				ADD((uint8_t)((uint8_t[]){ 0, 1, 43, 44, 51, 60, 6, 80 }[rand() % 8]));
			put16(frame + l3 + 4, (uint16_t)(rand() % 70));
		}
		for (int i = rand() % 6; i > 0; i--)
			frame[(unsigned)rand() % len] = (uint8_t)rand();
		if (!is_6() && rand() % 2 != 0)
			ip4_sum();
		pkt_flags = rand() % 2 != 0 ? PKT_L4_GOOD | PKT_IP_GOOD : 0;
		size = rand() % 3 != 0 ? len : (uint32_t)rand() % (len + 1);
		if (parse_bytes(frame, size) == MON_SEG_TCP) {
			ck_assert_uint_le(seg.text_off + seg.text_len, size);
			ck_assert_uint_ge(seg.text_off, seg.l4_off + 20u);
		}
	}
}
END_TEST

/* --- Fragments ----------------------------------------------------------------------------------------------------------------------- */

static struct mon_frags *frags;
static uint8_t whole[FRAME_MAX];
static uint32_t whole_len, whole_l3, whole_l4; /* the packet that is sent in pieces */
static const uint8_t *joined;
static uint32_t joined_len;

static void frags_setup(void)
{
	frags = mon_frags_create(4, 30 * SECOND_US, SEED);
	ck_assert_ptr_nonnull(frags);
}

static void frags_teardown(void)
{
	mon_frags_destroy(frags);
}

static void keep_whole(void)
{
	memcpy(whole, frame, len);
	whole_len = len;
	whole_l3 = l3;
	whole_l4 = l4;
}

static void make4(unsigned tags, uint32_t text)
{
	link_header(tags, ETH_TYPE_IP4);
	ip4_header(1);
	tcp_header(0);
	for (uint32_t i = 0; i < text; i++)
		ADD((uint8_t)(i * 7 + i / 256));
	finish();
	keep_whole();
}

/* IPv6, behind `extension` bytes of headers that go with every piece. */
static void make6(bool hop_by_hop, uint32_t text)
{
	link_header(0, ETH_TYPE_IP6);
	ip6_header(hop_by_hop ? 0 : PROTO_TCP);
	if (hop_by_hop)
		ADD(PROTO_TCP, 0, 1, 4, 0, 0, 0, 0);
	l4 = len;
	tcp_header(0);
	for (uint32_t i = 0; i < text; i++)
		ADD((uint8_t)(i * 5 + i / 256));
	finish();
	keep_whole();
}

/* Bytes [from, to) of what lies behind the IP headers. */
static void piece_make(uint32_t from, uint32_t to, uint32_t id)
{
	uint32_t total = whole_len - whole_l4;

	len = 0;
	l3 = whole_l3;
	add(whole, whole_l4);
	if (is_6()) {
		frame[whole_l4 > l3 + IP6_HDR ? l3 + IP6_HDR : l3 + 6] = 44;
		ADD(PROTO_TCP, 0, (uint8_t)(from >> 8), (uint8_t)((from & 0xf8) | (to < total)), 0, 0, (uint8_t)(id >> 8), (uint8_t)id);
	} else {
		put16(frame + l3 + 4, (uint16_t)id);
		put16(frame + l3 + 6, (uint16_t)(from / 8 | (to < total ? IP4_MF : 0)));
	}
	add(whole + whole_l4 + from, to - from);
	lengths();
}

static bool frame_goes_in(uint64_t now_us)
{
	uint8_t *exact = malloc(len);
	struct pkt p = { .data = exact, .len = len, .room = len };
	bool last;

	memcpy(exact, frame, len);
	mon_seg_parse(&p, SEED, &seg);
	ck_assert_int_eq(seg.kind, MON_SEG_FRAG);
	last = mon_frag_in(frags, &p, &seg, now_us, &joined, &joined_len);
	free(exact);
	return last;
}

static bool piece(uint32_t from, uint32_t to, uint32_t id)
{
	piece_make(from, to, id);
	return frame_goes_in(SECOND_US);
}

/* What came out is what went in, but for IPv4's identification, and is good. */
static void is_whole(void)
{
	ck_assert_int_eq(parse_bytes(joined, joined_len), MON_SEG_TCP);
	ck_assert_uint_eq(joined_len, whole_len);
	ck_assert_uint_eq(seg.l4_off, whole_l4);
	ck_assert_int_eq(memcmp(joined + whole_l4, whole + whole_l4, whole_len - whole_l4), 0);
	ck_assert_int_eq(memcmp(joined, whole, whole_l3), 0);
	if (seg.version == 6)
		ck_assert_int_eq(memcmp(joined, whole, whole_len), 0);
}

START_TEST(pieces_in_any_order)
{
	static const uint8_t order[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	static const uint32_t cut[] = { 0, 800, 1608, 2020 };

	for (unsigned version = 0; version < 3; version++) {
		if (version == 0)
			make4((unsigned)_i % 3, 2000);
		else
			make6(version == 2, 2000);
		for (unsigned i = 0; i < 3; i++) {
			unsigned k = order[_i][i];

			ck_assert_int_eq(piece(cut[k], cut[k + 1], 9), i == 2);
		}
		is_whole();
	}
}
END_TEST

START_TEST(a_repeated_piece_is_ignored)
{
	make4(0, 2000);
	ck_assert(!piece(800, 1600, 9));
	ck_assert(!piece(800, 1600, 9));
	ck_assert(!piece(0, 800, 9));
	ck_assert(!piece(0, 800, 9));
	ck_assert(piece(1600, 2020, 9));
	is_whole();
}
END_TEST

/* RFC 5722 3. */
START_TEST(overlapping_pieces_condemn_the_datagram)
{
	make4(0, 2000);
	ck_assert(!piece(0, 800, 9));
	ck_assert(!piece(792, 1600, 9));
	ck_assert(!piece(800, 1600, 9));
	ck_assert(!piece(1600, 2020, 9));
	ck_assert(!piece(0, 800, 9));
	ck_assert(!piece(0, 800, 10)); /* of another one, with other bytes at the same place */
	piece_make(0, 800, 10);
	frame[len - 1] ^= 1;
	ck_assert(!frame_goes_in(SECOND_US));
	ck_assert(!piece(800, 2020, 10));
}
END_TEST

START_TEST(pieces_that_lie_about_the_end)
{
	make4(0, 2000);
	ck_assert(!piece(1600, 2020, 9));
	piece_make(1600, 1800, 9); /* another end */
	put16(frame + l3 + 6, 1600 / 8);
	ip4_sum();
	ck_assert(!frame_goes_in(SECOND_US));
	ck_assert(!piece(0, 1600, 9));
	ck_assert(!piece(0, 1600, 11));
	piece_make(800, 1600, 11); /* an end in the midst of what has come */
	put16(frame + l3 + 6, 800 / 8);
	ip4_sum();
	ck_assert(!frame_goes_in(SECOND_US));
	ck_assert(!piece(1600, 2020, 11));
}
END_TEST

START_TEST(pieces_beyond_any_datagram)
{
	make4(0, 2000);
	piece_make(0, 800, 9);
	put16(frame + l3 + 6, 0x1fff); /* 65528 and 800 more */
	ip4_sum();
	ck_assert(!frame_goes_in(SECOND_US));
	piece_make(0, 801, 9); /* not the last, and no multiple of 8 */
	ck_assert(!frame_goes_in(SECOND_US));
	piece_make(0, 0, 9);
	ck_assert(!frame_goes_in(SECOND_US));
	ck_assert(!piece(0, 800, 9)); /* none of these was kept */
	ck_assert(piece(800, 2020, 9));
	is_whole();
}
END_TEST

START_TEST(datagrams_do_not_mix)
{
	make4(0, 2000);
	ck_assert(!piece(0, 800, 9));
	ck_assert(!piece(800, 2020, 10));
	piece_make(800, 2020, 9);
	frame[l3 + 15] = 77; /* from somebody else */
	ip4_sum();
	ck_assert(!frame_goes_in(SECOND_US));
	piece_make(800, 2020, 9);
	frame[l3 + 9] = PROTO_UDP;
	ip4_sum();
	ck_assert(!frame_goes_in(SECOND_US));
	ck_assert(piece(800, 2020, 9));
	is_whole();
	ck_assert(piece(0, 800, 10));
	is_whole();
}
END_TEST

START_TEST(datagrams_are_bounded_and_oldest_first)
{
	make4(0, 2000);
	for (uint32_t id = 0; id < 5; id++)
		ck_assert(!piece(0, 800, id));
	for (uint32_t id = 4; id >= 1; id--)
		ck_assert(piece(800, 2020, id));
	ck_assert(!piece(800, 2020, 0));
}
END_TEST

START_TEST(pieces_wait_only_so_long)
{
	make4(0, 2000);
	piece_make(0, 800, 9);
	ck_assert(!frame_goes_in(SECOND_US));
	piece_make(800, 1600, 9);
	ck_assert(!frame_goes_in(20 * SECOND_US)); /* which does not prolong it */
	piece_make(1600, 2020, 9);
	ck_assert(!frame_goes_in(31 * SECOND_US));
}
END_TEST

START_TEST(pieces_of_one_datagram_are_bounded)
{
	make4(0, 4000);
	for (uint32_t i = 0; i < 257; i++)
		ck_assert(!piece(i * 8, i * 8 + 8, 9));
	ck_assert(!piece(257 * 8, 4020, 9));
	make4(0, 255 * 8 - 20 + 8);
	for (uint32_t i = 0; i < 256; i++)
		ck_assert_int_eq(piece(i * 8, i * 8 + 8, 10), i == 255);
	is_whole();
}
END_TEST

START_TEST(bytes_are_bounded)
{
	struct mon_frags *few = frags;
	uint32_t kept = 0;

	frags = mon_frags_create(1000, 30 * SECOND_US, SEED);
	make4(0, 60000);
	for (uint32_t id = 0; id < 100; id++)
		piece(0, 60000, id);
	for (uint32_t id = 0; id < 100; id++)
		kept += piece(60000, 60020, id);
	ck_assert_uint_eq(kept, (4 << 20) / 60000);
	ck_assert(!piece(0, 60000, 200)); /* room again */
	ck_assert(piece(60000, 60020, 200));
	mon_frags_destroy(frags);
	frags = few;
}
END_TEST

START_TEST(largest_datagram)
{
	make4(0, 65535 - 24 - 20);
	ck_assert(!piece(0, 40000, 9));
	ck_assert(piece(40000, 65535 - 24, 9));
	is_whole();
	make4(0, 65536); /* with its header it would be larger than IP can tell */
	whole_len = whole_l4 + 65528;
	ck_assert(!piece(0, 40000, 9));
	ck_assert(!piece(40000, 65528, 9));
}
END_TEST

/* RFC 6946: a piece that is the whole stands for itself. */
START_TEST(ip6_atomic_fragment)
{
	make6(false, 100);
	ck_assert(!piece(0, 64, 9));
	piece_make(0, 120, 9);
	ck_assert_int_eq(parse(), MON_SEG_TCP);
	ck_assert_uint_eq(seg.l4_off, whole_l4 + 8);
	ck_assert(piece(64, 120, 9));
	is_whole();
}
END_TEST

static TCase *wire_case(void)
{
	TCase *tc = tcase_create("wire");

	tcase_add_loop_test(tc, tcp_over_ip4, 0, 4);
	tcase_add_test(tc, link_padding_is_no_payload);
	tcase_add_test(tc, ip4_options_are_skipped);
	tcase_add_test(tc, tcp_over_ip6);
	tcase_add_test(tc, ip6_extension_headers);
	tcase_add_test(tc, ip6_extension_headers_are_bounded);
	tcase_add_test(tc, other_protocols);
	tcase_add_test(tc, hash_of_both_directions_without_ports);
	tcase_add_test(tc, options_of_a_syn);
	tcase_add_test(tc, options_that_make_no_sense);
	tcase_add_test(tc, checksums);
	tcase_add_test(tc, partial_checksum_of_somebody_else_is_bad);
	tcase_add_test(tc, cut_short_anywhere);
	tcase_add_test(tc, ip4_lengths_that_lie);
	tcase_add_test(tc, tcp_offsets_that_lie);
	tcase_add_loop_test(tc, any_bytes_at_all, 0, 10);
	return tc;
}

static TCase *frags_case(void)
{
	TCase *tc = tcase_create("frags");

	tcase_add_checked_fixture(tc, frags_setup, frags_teardown);
	tcase_add_loop_test(tc, pieces_in_any_order, 0, 6);
	tcase_add_test(tc, a_repeated_piece_is_ignored);
	tcase_add_test(tc, overlapping_pieces_condemn_the_datagram);
	tcase_add_test(tc, pieces_that_lie_about_the_end);
	tcase_add_test(tc, pieces_beyond_any_datagram);
	tcase_add_test(tc, datagrams_do_not_mix);
	tcase_add_test(tc, datagrams_are_bounded_and_oldest_first);
	tcase_add_test(tc, pieces_wait_only_so_long);
	tcase_add_test(tc, pieces_of_one_datagram_are_bounded);
	tcase_add_test(tc, bytes_are_bounded);
	tcase_add_test(tc, largest_datagram);
	tcase_add_test(tc, ip6_atomic_fragment);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("mon_seg");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, wire_case());
	suite_add_tcase(suite, frags_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
