/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A payload in pieces, against one that is really moved about.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/payload.h"

enum { LEN = 200, MOST = LEN + MON_EDITS_MAX * 16 };

static unsigned rnd_state;

static unsigned rnd(unsigned n)
{
	rnd_state = rnd_state * 1103515245u + 12345u;
	return (rnd_state >> 8) % n;
}

struct model {
	uint8_t bytes[MOST];
	uint32_t len;
};

static void model_step(struct model *m, uint32_t off, uint32_t cut, const uint8_t *put, uint32_t len)
{
	memmove(m->bytes + off + len, m->bytes + off + cut, m->len - off - cut);
	memcpy(m->bytes + off, put, len);
	m->len += len - cut;
}

static void same(const struct payload *pl, const uint8_t *own, const struct model *m)
{
	uint8_t all[MOST], put[MOST], gaps[MOST];
	struct payload_gap g = { .at = 0 };
	uint32_t len = 0, at = 0;

	ck_assert_uint_eq(pl->len, m->len);
	payload_copy(pl, own, all);
	ck_assert_int_eq(memcmp(all, m->bytes, m->len), 0);
	while (payload_next(pl, &g, put)) {
		ck_assert_uint_ge(g.at, at);
		memcpy(gaps + len, own + at, g.at - at);
		len += g.at - at;
		memcpy(gaps + len, put, g.put);
		len += g.put;
		at = g.at + g.cut;
		ck_assert_uint_le(at, LEN);
	}
	memcpy(gaps + len, own + at, LEN - at);
	ck_assert_uint_eq(len + LEN - at, m->len);
	ck_assert_int_eq(memcmp(gaps, m->bytes, m->len), 0);
}

START_TEST(steps_come_to_what_they_would_one_by_one)
{
	static uint8_t bytes[MON_EDITS_MAX][16];
	struct payload pl;
	struct model m = { .len = LEN };
	uint8_t own[LEN];

	rnd_state = (unsigned)_i;
	for (unsigned i = 0; i < LEN; i++)
		own[i] = m.bytes[i] = (uint8_t)rnd(256);
	payload_begin(&pl, LEN);
	for (unsigned i = 0; i < MON_EDITS_MAX; i++) {
		uint32_t off = rnd(m.len + 1), len = rnd(16), what = rnd(3);

		if (what != 0 && len > m.len - off)
			len = m.len - off;
		for (unsigned k = 0; k < len; k++)
			bytes[i][k] = (uint8_t)rnd(256);
		if (what == 0) {
			ck_assert_int_eq(payload_insert(&pl, off, bytes[i], len), 0);
			model_step(&m, off, 0, bytes[i], len);
		} else if (what == 1) {
			ck_assert_int_eq(payload_remove(&pl, off, len), 0);
			model_step(&m, off, len, bytes[i], 0);
		} else {
			ck_assert_int_eq(payload_overwrite(&pl, own, off, bytes[i], len), 0);
			model_step(&m, off, len, bytes[i], len);
		}
		same(&pl, own, &m);
	}
}
END_TEST

START_TEST(there_is_nothing_beyond_the_end)
{
	struct payload pl;
	uint8_t own[4] = "abc";

	payload_begin(&pl, 3);
	ck_assert_int_eq(payload_insert(&pl, 4, own, 1), -EINVAL);
	ck_assert_int_eq(payload_remove(&pl, 0, 4), -EINVAL);
	ck_assert_int_eq(payload_remove(&pl, 4, 0), -EINVAL);
	ck_assert_int_eq(payload_remove(&pl, 2, UINT32_MAX), -EINVAL);
	ck_assert_int_eq(payload_overwrite(&pl, own, 3, own, 1), -EINVAL);
	ck_assert(!pl.moved);
	ck_assert_int_eq(payload_remove(&pl, 0, 3), 0);
	ck_assert_int_eq(payload_remove(&pl, 0, 1), -EINVAL);
	payload_begin(&pl, 0);
	ck_assert_int_eq(payload_insert(&pl, 0, own, 3), 0);
	ck_assert_uint_eq(pl.len, 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mon/payload");
	TCase *t = tcase_create("pieces");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, steps_come_to_what_they_would_one_by_one, 0, 50);
	tcase_add_test(t, there_is_nothing_beyond_the_end);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
