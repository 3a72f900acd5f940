/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Filters: programs that must be refused, and that the two machines which run the others agree with bpf_filter().
 */
#include <check.h>
#include <stdlib.h>

#include "tests/unit/eal_fixture.h"

#include "stackd/mon/filter.c"

enum { FRAMES = 64, PROGRAMS = 20000 };

/* --- Frames: each in memory of its own size, so that a sanitizer sees who reads beyond ---------------------------- */

static struct {
	uint8_t *bytes;
	uint32_t len;
} frame[FRAMES];
static unsigned frames;
static uint64_t state = 1;

static uint32_t rnd(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33);
}

static uint32_t below(uint32_t n)
{
	return rnd() % n;
}

static void frame_add(const uint8_t *bytes, uint32_t len)
{
	ck_assert_uint_lt(frames, FRAMES);
	frame[frames].bytes = malloc(len > 0 ? len : 1);
	memcpy(frame[frames].bytes, bytes, len);
	frame[frames++].len = len;
}

/* Ethernet, tags, IPv4 or IPv6, ports and flags at the right places. */
static uint32_t packet(uint8_t *b, unsigned tags, unsigned version, uint8_t proto, uint16_t sport, uint16_t dport, unsigned opt)
{
	uint32_t at = 12, ip;

	memset(b, 0, 128);
	for (unsigned i = 0; i < tags; i++, at += 4) {
		b[at] = 0x81;
		b[at + 3] = 7;
	}
	b[at] = version == 4 ? 0x08 : 0x86;
	b[at + 1] = version == 4 ? 0x00 : 0xdd;
	ip = at += 2;
	b[ip] = version == 4 ? (uint8_t)(0x45 + opt) : 0x60;
	b[ip + (version == 4 ? 9 : 6)] = proto;
	if (version == 4) {
		b[ip + 12] = 10;
		b[ip + 15] = 1;
		b[ip + 16] = 192;
		b[ip + 17] = 168;
		b[ip + 19] = 2;
	}
	at += version == 4 ? 20 + 4 * opt : 40;
	b[at] = (uint8_t)(sport >> 8);
	b[at + 1] = (uint8_t)sport;
	b[at + 2] = (uint8_t)(dport >> 8);
	b[at + 3] = (uint8_t)dport;
	b[at + 12] = 0x50;
	b[at + 13] = 0x18;
	memcpy(&b[at + 20], "GET / HTTP", 10);
	return at + 40;
}

static void frames_make(void)
{
	static const uint16_t port[] = { 80, 443, 53, 40000 };
	static uint8_t b[MON_FRAME_MAX];
	uint32_t len;

	for (unsigned i = 0; i < 24; i++) {
		len = packet(b, i % 3, i % 5 == 0 ? 6 : 4, i % 4 == 3 ? 17 : 6, port[i % 4], port[(i / 4) % 4], i % 7 == 6 ? 5 : 0);
		if (i % 6 == 5)
			b[20] = 0x20; /* a fragment, where it is IPv4 without tags */
		frame_add(b, len);
	}
	len = packet(b, 0, 4, 6, 80, 81, 10);
	for (uint32_t cut = 0; cut < 60; cut += 5)
		frame_add(b, cut);
	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)rnd();
	for (unsigned i = 0; i < 8; i++)
		frame_add(b + i, 60 + 13 * i);
	(void)packet(b, 0, 4, 6, 80, 81, 0);
	frame_add(b, 1514);
	frame_add(b, UINT16_MAX);
	frame_add(b, UINT16_MAX + 1);
	frame_add(b, MON_FRAME_MAX);
}

static void setup(void)
{
	eal_open(64);
	frames_make();
}

/* Both machines, where there are both, against the original. */
static void agree(struct mon_filter *f)
{
	for (unsigned i = 0; i < frames; i++) {
		bool want = bpf_filter(f->insn, frame[i].bytes, frame[i].len, frame[i].len) != 0;

		ck_assert_int_eq(mon_filter_match_bytes(f, frame[i].bytes, frame[i].len), want);
	}
}

/* --- Expressions -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *text;
	bool compiled;
} expression[] = {
	{ "", true }, { "tcp", true }, { "udp", true }, { "ip", true }, { "ip6", true }, { "arp", true }, { "vlan", true },
	{ "tcp port 80", true }, { "tcp dst port 443 or udp port 53", true }, { "not port 80", true },
	{ "host 10.0.0.1", true }, { "src net 10.0.0.0/8 and dst net 192.168.0.0/16", true },
	{ "tcp portrange 70-90", true }, { "tcp[13] & 0x81 != 0", true }, { "tcp[tcpflags] & (tcp-syn|tcp-ack) != 0", false },
	{ "tcp[1] = 80", true }, { "tcp[4:4] > 100 or tcp[14:2] < 7", true },
	{ "greater 100", true }, { "less 20", true }, { "ip[6:2] & 0x1fff = 0", true }, { "vlan and tcp port 80", true },
	{ "ip6 and tcp dst port 80", true }, { "ether host 00:00:00:00:00:00", true },
	{ "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420", false }, /* an offset from the frame */
	{ "ip[ip[2]] = 3", false }, { "len - 20 > 40", true },
	{ "ip[0] / ip[1] = 1", false }, { "ether[0x10000] = 1", false },
};

START_TEST(test_expressions)
{
	char why[256] = "";
	struct mon_filter *f = mon_filter_compile(expression[_i].text, why, sizeof(why));

	ck_assert_msg(f != NULL, "%s: %s", expression[_i].text, why);
	if (expression[_i].compiled)
		ck_assert_msg(f->run != NULL, "%s is not compiled", expression[_i].text);
	agree(f);
	mon_filter_free(f);
}
END_TEST

START_TEST(test_expressions_that_are_none)
{
	static const char *const text[] = { "tcp port", "prot 80", "ip protochain 6", "((", "port 99999" };
	char why[256] = "";

	ck_assert_ptr_null(mon_filter_compile(text[_i], why, sizeof(why)));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_uint_gt(strlen(why), 3);
}
END_TEST

START_TEST(test_none_is_all)
{
	struct pkt p = { .data = frame[0].bytes, .len = frame[0].len };

	ck_assert(mon_filter_match(NULL, &p));
	ck_assert(mon_filter_match_bytes(NULL, NULL, 0));
	mon_filter_free(NULL);
}
END_TEST

/* --- Programs that are refused ------------------------------------------------------------------------------------ */

#define RET { BPF_RET | BPF_K, 0, 0, 1 }

static const struct mon_insn bad[][4] = {
	{ { BPF_LD | BPF_H | BPF_IMM, 0, 0, 1 }, RET, RET, RET },       /* bpf_filter() aborts */
	{ { BPF_RET | BPF_X, 0, 0, 1 }, RET, RET, RET },
	{ { BPF_ALU | BPF_NEG | BPF_X, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_ALU | 0xb0, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_ALU | BPF_ADD | 0x100, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_MISC | 0x40, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_JMP | 0x50, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_LD | BPF_W | BPF_MSH, 0, 0, 0 }, RET, RET, RET },
	{ { 0xffff, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_JMP | BPF_JA, 0, 0, UINT32_MAX }, RET, RET, RET },      /* loops */
	{ RET, { BPF_JMP | BPF_JA, 0, 0, UINT32_MAX - 1 }, RET, RET },
	{ { BPF_JMP | BPF_JA, 0, 0, 3 }, RET, RET, RET },               /* out */
	{ { BPF_JMP | BPF_JEQ, 3, 0, 3 }, RET, RET, RET },
	{ { BPF_JMP | BPF_JEQ | BPF_X, 0, 255, 3 }, RET, RET, RET },
	{ RET, RET, RET, { BPF_LD | BPF_IMM, 0, 0, 0 } },               /* no end */
	{ { BPF_LD | BPF_MEM, 0, 0, 3 }, RET, RET, RET },               /* never written */
	{ { BPF_LDX | BPF_MEM, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_JMP | BPF_JEQ, 0, 1, 0 }, { BPF_ST, 0, 0, 2 }, { BPF_LD | BPF_MEM, 0, 0, 2 }, RET }, /* not on every way */
	{ { BPF_ST, 0, 0, 16 }, RET, RET, RET },
	{ { BPF_LD | BPF_MEM, 0, 0, UINT32_MAX }, RET, RET, RET },
	{ { BPF_ALU | BPF_DIV | BPF_K, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_ALU | BPF_MOD | BPF_K, 0, 0, 0 }, RET, RET, RET },
	{ { BPF_ALU | BPF_LSH | BPF_K, 0, 0, 32 }, RET, RET, RET },
	{ { BPF_ALU | BPF_RSH | BPF_K, 0, 0, UINT32_MAX }, RET, RET, RET },
};

START_TEST(test_bad_programs)
{
	ck_assert_ptr_null(mon_filter_make(bad[_i], 4));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(test_memory_written_on_every_way)
{
	static const struct mon_insn good[] = {
		{ BPF_LD | BPF_W | BPF_LEN, 0, 0, 0 },
		{ BPF_JMP | BPF_JGT, 0, 2, 60 },
		{ BPF_ST, 0, 0, 2 },
		{ BPF_JMP | BPF_JA, 0, 0, 1 },
		{ BPF_STX, 0, 0, 2 },
		{ BPF_LD | BPF_MEM, 0, 0, 2 },
		{ BPF_RET | BPF_A, 0, 0, 0 },
	};
	struct mon_filter *f = mon_filter_make(good, 7);

	ck_assert_ptr_nonnull(f);
	ck_assert(mon_filter_match_bytes(f, frame[0].bytes, 61));
	ck_assert(!mon_filter_match_bytes(f, frame[0].bytes, 60));
	mon_filter_free(f);
}
END_TEST

START_TEST(test_sizes)
{
	static struct mon_insn p[MON_FILTER_MAX + 1];
	struct mon_filter *f;

	for (unsigned i = 0; i <= MON_FILTER_MAX; i++)
		p[i] = (struct mon_insn)RET;
	ck_assert_ptr_null(mon_filter_make(p, 0));
	ck_assert_ptr_null(mon_filter_make(p, MON_FILTER_MAX + 1));
	f = mon_filter_make(p, MON_FILTER_MAX);
	ck_assert_ptr_nonnull(f);
	agree(f);
	mon_filter_free(f);
}
END_TEST

/* Not their number, but the longest way through. */
START_TEST(test_steps)
{
	static const struct {
		const char *text;
		unsigned steps;
	} known[] = { { "tcp port 80", 13 }, { "", 1 } };
	const struct mon_insn split[] = { { BPF_LD | BPF_B | BPF_ABS, 0, 0, 0 }, { BPF_JMP | BPF_JEQ, 3, 0, 1 },
					  { BPF_ALU | BPF_ADD, 0, 0, 1 }, { BPF_ALU | BPF_ADD, 0, 0, 1 }, RET, RET };
	const struct mon_insn over[] = { { BPF_JMP | BPF_JA, 0, 0, 2 }, RET, RET, RET };
	struct mon_filter *f;
	char why[256];

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		f = mon_filter_compile(known[i].text, why, sizeof(why));
		ck_assert_uint_eq(mon_filter_steps(f), known[i].steps);
		mon_filter_free(f);
	}
	f = mon_filter_make(split, 6);
	ck_assert_uint_eq(mon_filter_steps(f), 5);
	mon_filter_free(f);
	f = mon_filter_make(over, 4);
	ck_assert_uint_eq(mon_filter_steps(f), 2);
	mon_filter_free(f);
}
END_TEST

/* DPDK's verifier would take till the end of time. */
START_TEST(test_more_ways_than_can_be_walked)
{
	static struct mon_insn p[MON_FILTER_MAX];
	unsigned n = 0;
	struct mon_filter *f;

	p[n++] = (struct mon_insn){ BPF_LD | BPF_B | BPF_ABS, 0, 0, 0 };
	while (n + 3 <= MON_FILTER_MAX) {
		p[n] = (struct mon_insn){ BPF_JMP | BPF_JEQ, 0, 1, n % 256 };
		p[n + 1] = (struct mon_insn){ BPF_ALU | BPF_ADD, 0, 0, 1 };
		n += 2;
	}
	p[n++] = (struct mon_insn){ BPF_RET | BPF_A, 0, 0, 0 };
	f = mon_filter_make(p, n);
	ck_assert_ptr_nonnull(f);
	filter_compile(f);
	ck_assert_ptr_null(f->run);
	agree(f);
	mon_filter_free(f);
}
END_TEST

/* --- Random programs ---------------------------------------------------------------------------------------------- */

static struct mon_insn random_insn(unsigned left, bool wild)
{
	static const uint16_t code[] = {
		BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_H | BPF_ABS, BPF_LD | BPF_B | BPF_ABS, BPF_LD | BPF_W | BPF_IND,
		BPF_LD | BPF_H | BPF_IND, BPF_LD | BPF_B | BPF_IND, BPF_LD | BPF_W | BPF_LEN, BPF_LD | BPF_IMM, BPF_LD | BPF_MEM,
		BPF_LDX | BPF_B | BPF_MSH, BPF_LDX | BPF_IMM, BPF_LDX | BPF_MEM, BPF_ST, BPF_STX, BPF_ST, BPF_MISC | BPF_TAX,
		BPF_MISC | BPF_TXA, BPF_RET | BPF_K, BPF_RET | BPF_A, BPF_JMP | BPF_JA,
	};
	static const uint32_t k[] = { 0, 1, 12, 14, 23, 26, 59, 0x800, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffff000, UINT32_MAX };
	struct mon_insn i = { 0, 0, 0, 0 };

	i.k = below(3) == 0 ? k[below(sizeof(k) / sizeof(k[0]))] : below(70);
	switch (below(wild ? 12 : 10)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		i.code = code[below(sizeof(code) / sizeof(code[0]))];
		break;
	case 5:
	case 6:
	case 7:
		i.code = (uint16_t)(BPF_JMP | (BPF_JEQ + 0x10 * below(4)) | (below(3) == 0 ? BPF_X : 0));
		break;
	case 8:
	case 9:
		i.code = (uint16_t)(BPF_ALU | 0x10 * below(11) | (below(2) != 0 ? BPF_X : 0));
		break;
	default:
		i.code = (uint16_t)rnd();
		break;
	}
	if (BPF_CLASS(i.code) == BPF_JMP) {
		i.jt = (uint8_t)below(left + wild);
		i.jf = (uint8_t)below(left + wild);
		if (i.code == (BPF_JMP | BPF_JA) && below(8) != 0)
			i.k = below(left);
	}
	if (i.code == BPF_ST || i.code == BPF_STX || (i.code & 0xe6) == (BPF_LD | BPF_MEM))
		i.k %= 17;
	return i;
}

START_TEST(test_random_programs)
{
	struct mon_insn p[32];
	unsigned good = 0, compiled = 0;

	state = (uint64_t)_i + 1;
	for (unsigned n = 0; n < PROGRAMS; n++) {
		unsigned count = 2 + below(sizeof(p) / sizeof(p[0]) - 1);
		struct mon_filter *f;

		for (unsigned i = 0; i < count; i++)
			p[i] = random_insn(count - i < 12 ? count - i : 12, n % 4 == 0);
		p[count - 1].code = BPF_RET | BPF_A;
		f = mon_filter_make(p, count);
		if (f == NULL)
			continue;
		good++;
		agree(f);
		filter_compile(f);
		compiled += f->run != NULL;
		if (f->run != NULL)
			agree(f);
		mon_filter_free(f);
	}
	ck_assert_uint_gt(good, PROGRAMS / 50);
	ck_assert_uint_gt(compiled, good / 50);
}
END_TEST

/* No program at all: bytes. */
START_TEST(test_garbage)
{
	struct mon_insn p[8];

	for (unsigned n = 0; n < PROGRAMS; n++) {
		for (unsigned i = 0; i < 8; i++)
			p[i] = (struct mon_insn){ (uint16_t)rnd(), (uint8_t)rnd(), (uint8_t)rnd(), rnd() << 1 };
		mon_filter_free(mon_filter_make(p, 1 + below(8)));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mon_filter");
	TCase *t = tcase_create("mon_filter");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, setup, NULL);
	tcase_add_loop_test(t, test_expressions, 0, sizeof(expression) / sizeof(expression[0]));
	tcase_add_loop_test(t, test_expressions_that_are_none, 0, 5);
	tcase_add_test(t, test_none_is_all);
	tcase_add_loop_test(t, test_bad_programs, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, test_memory_written_on_every_way);
	tcase_add_test(t, test_sizes);
	tcase_add_test(t, test_steps);
	tcase_add_test(t, test_more_ways_than_can_be_walked);
	tcase_add_loop_test(t, test_random_programs, 0, 3);
	tcase_add_test(t, test_garbage);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
