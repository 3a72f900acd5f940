/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options as bytes, both ways (RFC 9293 3.2), and the keyed hashes.
 */
#include <stdlib.h>
#include <string.h>

#include "stackd/tcp/secret.h"
#include "tests/unit/tcp_trace.h"

static bool parse(struct seg_opts *o, const void *bytes, unsigned len)
{
	uint8_t *exact = calloc(1, len > 0 ? len : 1); /* so that a read beyond is seen by the sanitizer */
	bool good;

	memcpy(exact, bytes, len);
	good = seg_parse(exact, len, o);
	free(exact);
	return good;
}
#define PARSE(o, ...) parse(o, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

START_TEST(test_good_options)
{
	struct seg_opts o;

	ck_assert(parse(&o, "", 0));
	ck_assert_uint_eq(o.has, 0);
	ck_assert(PARSE(&o, 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7));
	ck_assert_uint_eq(o.has, SEG_HAS_MSS | SEG_HAS_SACK_OK | SEG_HAS_TS | SEG_HAS_WS);
	ck_assert_uint_eq(o.mss, 1460);
	ck_assert_uint_eq(o.ts_val, 0x01020304);
	ck_assert_uint_eq(o.ts_ecr, 0x05060708);
	ck_assert_uint_eq(o.shift, 7);
	ck_assert(PARSE(&o, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2));
	ck_assert_uint_eq(o.sacks, 1);
	ck_assert_uint_eq(o.sack[0].to, 2);
	ck_assert(PARSE(&o, 0, 2, 0)); /* after the end of the list anything may stand */
	ck_assert(PARSE(&o, 254, 4, 9, 9, 3, 3, 1)); /* RFC 9293 3.2: unknown ones are skipped */
	ck_assert_uint_eq(o.has, SEG_HAS_WS);
}
END_TEST

/* RFC 7323 2.3: a shift above 14 is taken as 14. */
START_TEST(test_shift_cap)
{
	struct seg_opts o;

	ck_assert(PARSE(&o, 3, 3, 200));
	ck_assert_uint_eq(o.shift, 14);
}
END_TEST

START_TEST(test_bad_options)
{
	struct seg_opts o;

	ck_assert(!PARSE(&o, 2));                   /* no length */
	ck_assert(!PARSE(&o, 2, 0));                /* would never end */
	ck_assert(!PARSE(&o, 9, 1));
	ck_assert(!PARSE(&o, 2, 4, 5));             /* runs over the end */
	ck_assert(!PARSE(&o, 2, 3, 5));             /* wrong length of a known one */
	ck_assert(!PARSE(&o, 3, 4, 1, 1));
	ck_assert(!PARSE(&o, 4, 3, 1));
	ck_assert(!PARSE(&o, 8, 9, 1, 1, 1, 1, 1, 1, 1));
	ck_assert(!PARSE(&o, 5, 2));
	ck_assert(!PARSE(&o, 5, 9, 0, 0, 0, 1, 0, 0, 0));
	ck_assert(!PARSE(&o, 253, 255, 1));
}
END_TEST

/* RFC 9293 3.1, MUST-7: what can be read counts. */
START_TEST(test_what_stands_beside_bad_options)
{
	struct seg_opts o;

	ck_assert(!PARSE(&o, 2, 4, 5, 0xb4, 9, 0, 4, 2)); /* where does the next one begin? */
	ck_assert_uint_eq(o.has, SEG_HAS_MSS);
	ck_assert_uint_eq(o.mss, 1460);
	ck_assert(!PARSE(&o, 4, 2, 3, 4)); /* beyond the end */
	ck_assert_uint_eq(o.has, SEG_HAS_SACK_OK);
	ck_assert(!PARSE(&o, 2, 3, 5, 4, 2, 5, 9, 0, 0, 0, 1, 0, 0, 0, 3, 3, 7)); /* wrong lengths: passed over */
	ck_assert_uint_eq(o.has, SEG_HAS_SACK_OK | SEG_HAS_WS);
	ck_assert_uint_eq(o.shift, 7);
	ck_assert_uint_eq(o.sacks, 0);
}
END_TEST

START_TEST(test_every_combination_survives_the_wire)
{
	uint8_t buf[SEG_OPT_MAX + 8];
	struct seg_opts in = { .has = (uint8_t)_i, .mss = 1234, .shift = 9, .ts_val = 77, .ts_ecr = 88 }, out;
	unsigned len;

	if ((_i & SEG_HAS_MSS) == 0) {
		in.sacks = (_i & SEG_HAS_TS) != 0 ? 3 : 4;
		if ((_i & (SEG_HAS_WS | SEG_HAS_SACK_OK)) != 0)
			in.sacks = 2;
		for (unsigned i = 0; i < in.sacks; i++)
			in.sack[i] = (struct seg_sack){ i * 10, i * 10 + 5 };
	}
	len = seg_options(&in, buf);
	ck_assert_uint_eq(len % 4, 0);
	ck_assert_uint_le(len, SEG_OPT_MAX);
	ck_assert_uint_eq(seg_options(&in, NULL), len);
	ck_assert(parse(&out, buf, len));
	ck_assert_uint_eq(out.has, in.has);
	ck_assert_uint_eq(out.sacks, in.sacks);
	if ((_i & SEG_HAS_MSS) != 0)
		ck_assert_uint_eq(out.mss, 1234);
	if ((_i & SEG_HAS_TS) != 0)
		ck_assert_uint_eq(out.ts_ecr, 88);
	for (unsigned i = 0; i < in.sacks; i++)
		ck_assert_uint_eq(out.sack[i].to, in.sack[i].to);
}
END_TEST

/* Sequence numbers compare over the wrap (RFC 9293 3.4). */
START_TEST(test_seq_compare)
{
	ck_assert(seq_lt(0xfffffff0u, 5));
	ck_assert(seq_gt(5, 0xfffffff0u));
	ck_assert(seq_le(7, 7) && seq_ge(7, 7));
	ck_assert(!seq_lt(7, 7));
}
END_TEST

/* The pseudo-header sum left for the checksum: completed, it makes the whole add up. */
START_TEST(test_checksum_seed)
{
	struct pkt *p;
	const uint8_t *t;
	uint32_t sum = 0;
	uint16_t l4;

	established();
	put(7);
	p = host_sent(&T.h);
	ck_assert_uint_ne(p->flags & PKT_TX_L4_CSUM, 0);
	ck_assert_uint_eq(p->l4_off, p->l3_off + 20);
	t = p->data + p->l4_off;
	l4 = (uint16_t)(p->l3_len - 20);
	for (unsigned i = 12; i < 20; i += 2)
		sum += (uint32_t)p->data[p->l3_off + i] << 8 | p->data[p->l3_off + i + 1];
	sum += 6u + l4;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	ck_assert_uint_eq((unsigned)(t[16] << 8 | t[17]), sum);
	nic_free(p);
	trace_end();
}
END_TEST

START_TEST(test_secrets_differ)
{
	struct secret s, other;
	uint8_t key[32] = { 1 }, key2[32] = { 2 };
	struct tuple t = { ip4(1), ip4(2), 80, 5555 }, u = { ip4(1), ip4(2), 80, 5556 };

	secret_init(&s, key);
	secret_init(&other, key2);
	ck_assert_uint_ne(secret_flow(&s, &t), secret_flow(&other, &t));
	ck_assert_uint_ne(secret_isn(&s, &t, 0), secret_isn(&s, &u, 0));
	/* RFC 6528: the same tuple's numbers rise by one every four microseconds */
	ck_assert_uint_eq(secret_isn(&s, &t, 4000) - secret_isn(&s, &t, 0), 1000);
	ck_assert_uint_ne(secret_cookie(&s, &t, 1, 2, 3), secret_cookie(&s, &t, 1, 3, 3));
	ck_assert_uint_ne(secret_cookie(&s, &t, 1, 2, 3), secret_cookie(&s, &t, 1, 2, 4));
	ck_assert_uint_eq(secret_port(&s, &t, 0), secret_port(&s, &(struct tuple){ ip4(1), ip4(2), 99, 5555 }, 0));
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_good_options);
	tcase_add_test(tc, test_shift_cap);
	tcase_add_test(tc, test_bad_options);
	tcase_add_test(tc, test_what_stands_beside_bad_options);
	tcase_add_loop_test(tc, test_every_combination_survives_the_wire, 0, 16);
	tcase_add_test(tc, test_seq_compare);
	tcase_add_test(tc, test_checksum_seed);
	tcase_add_test(tc, test_secrets_differ);
}

int main(void)
{
	return trace_main("seg", (void (*const[])(TCase *)){ add }, 1);
}
