/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The arena's writer and its reader, one step at a time: whatever the one does is done between any two steps of the
 * other.  A step is an access to an atomic word, or 16 bytes of payload.  What the memory model adds to that,
 * test_mon_read tries with threads.
 */
#define _GNU_SOURCE 1
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

static void step(void);

#undef atomic_load_explicit
#undef atomic_store_explicit
#define atomic_load_explicit(p, order) (step(), (void)(order), *(p))
#define atomic_store_explicit(p, v, order) (step(), (void)(order), *(p) = (v))

#define SHM_MON_COPY_H /* in place of mon_copy.h */
static inline void mon_copy(uint8_t *to, const uint8_t *from, size_t len)
{
	for (size_t i = 0; i < len; i += 16) {
		step();
		memcpy(to + i, from + i, len - i < 16 ? len - i : 16);
	}
}

#include "shm/mon_read.c"
#include "stackd/mon/arena.c"
#include "stackd/mon/arena_chunk.c"
#include "stackd/mon/arena_index.c"
#include "stackd/mon/arena_stream.c"
#include "tests/unit/arena_fixture.h"

enum { SERIAL = 7, OTHERS = 24, C = MON_CHUNK, FROM = C - 300, TO = C + 300 };

static void (*between)(void); /* happens after so many steps */
static unsigned countdown;
static bool inside;
static unsigned budget; /* steps that the inside one may make before it has to wait; 0: all */
static ucontext_t outer, inner;

static void step(void)
{
	if (inside && budget > 0 && --budget == 0)
		swapcontext(&inner, &outer);
	if (between == NULL || inside || countdown == 0 || --countdown > 0)
		return;
	inside = true;
	between();
	inside = false;
}

/* --- The scene: flow 0 has bytes in two chunks and two pieces ahead; there are other flows ---------------------- */

static struct mon_rec old;
static uint64_t pkt;
static bool keeps; /* what flow 0 had at first, it has throughout */

static uint64_t log_put(uint64_t ts)
{
	struct mon_pkt hdr = { .ts_us = ts, .len = 200, .wire_len = 200 };
	uint8_t frame[200];

	memset(frame, (int)ts, sizeof(frame));
	return arena_log(arena, &hdr, frame);
}

static void publish(uint64_t next)
{
	struct mon_rec *w = arena_change(arena, 0);

	w->pkts = w->side[0].next = w->side[0].top = w->side[1].missed = next;
	arena_changed(arena, 0);
}

static void scene(void)
{
	make(OTHERS, 12, 64);
	for (uint32_t i = 0; i < OTHERS; i++)
		arena_open(arena, SERIAL + i, 1);
	put(0, SERIAL, 0, FROM, TO - FROM);
	put(0, SERIAL, 0, C + 600, 10);
	put(0, SERIAL, 0, C + 700, 10);
	publish(TO);
	pkt = log_put(1);
	old = rec_of(0, SERIAL);
}

/* --- What the writer may do ------------------------------------------------------------------------------------- */

static void w_append(void)
{
	put(0, SERIAL, 0, TO, 50);
}

static void w_join(void)
{
	put(0, SERIAL, 0, TO, 420);
}

static void w_insert(void)
{
	put(0, SERIAL, 0, C + 650, 10);
}

static void w_differ(void)
{
	put_variant(0, SERIAL, 0, C - 100, 200, 1);
}

static void w_index(void)
{
	put(0, SERIAL, 0, 6 * C, 10);
}

static void w_differ_and_index(void)
{
	w_differ();
	w_index();
	put_variant(0, SERIAL, 0, 6 * C, 10, 2);
}

static void w_publish(void)
{
	publish(TO + 1);
}

static void w_log(void)
{
	for (unsigned i = 0; i < 40; i++)
		log_put(2 + i);
}

static void w_evict(void)
{
	for (uint32_t i = 1; i < OTHERS; i++)
		put(i, SERIAL + i, 0, FROM, 300);
}

/* The flow goes on, in the chunks that it had or others. */
static void w_evict_and_go_on(void)
{
	w_evict();
	put_variant(0, SERIAL, 0, TO, C, 1);
}

static void w_reuse(void)
{
	arena_close(arena, 0);
	arena_open(arena, SERIAL + 1000, 1);
	put(0, SERIAL + 1000, 0, FROM, TO - FROM);
}

static void w_drop(void)
{
	arena_drop(arena, 0, 0);
	put_variant(0, SERIAL, 0, TO, C, 1);
}

static void w_trim(void)
{
	arena_trim(arena, 0, 0, C + 10);
	put(1, SERIAL + 1, 0, FROM, 300);
}

static const struct {
	const char *name;
	void (*act)(void);
	bool keeps;
} writer[] = {
	{ "append", w_append, true },
	{ "join", w_join, true },
	{ "insert", w_insert, true },
	{ "differ", w_differ, true },
	{ "index", w_index, true },
	{ "differ and index", w_differ_and_index, true },
	{ "publish", w_publish, true },
	{ "log", w_log, true },
	{ "evict", w_evict, false },
	{ "evict and go on", w_evict_and_go_on, false },
	{ "reuse", w_reuse, false },
	{ "drop", w_drop, false },
	{ "trim", w_trim, false },
};

/* --- What the reader must see ----------------------------------------------------------------------------------- */

/* The record as it is now, or as it was. */
static struct mon_rec now(void)
{
	struct mon_rec r;

	return mon_read_rec(&reader, 0, SERIAL, &r) == 0 ? r : old;
}

static void r_rec(void)
{
	struct mon_rec r;
	int err = mon_read_rec(&reader, 0, SERIAL, &r);

	ck_assert(err == 0 || err == -EAGAIN || (err == -ESTALE && !keeps));
	if (err == 0) {
		ck_assert_uint_eq(r.serial, SERIAL);
		ck_assert(r.pkts == r.side[0].next && r.pkts == r.side[0].top && r.pkts == r.side[1].missed);
	}
}

static void bytes_right(const uint8_t *buf, size_t n, uint64_t off, unsigned policy)
{
	for (size_t i = 0; i < n; i++)
		if ((buf[i] & 0xfc) != byte_at(SERIAL, 0, off + i) || (policy == MON_FIRST && off + i < TO && (buf[i] & 3) != 0))
			ck_abort_msg("byte %zu of %zu, version %u", i, n, policy);
}

static void stream_of_rec(const struct mon_rec *r)
{
	uint8_t buf[1000];

	for (unsigned p = 0; p < MON_POLICIES; p++) {
		size_t n = mon_read_stream(&reader, r, 0, p, FROM + 200, buf, sizeof(buf));

		bytes_right(buf, n, FROM + 200, p);
		if (keeps)
			ck_assert_uint_ge(n, 400);
	}
}

static void r_stream(void)
{
	stream_of_rec(&old);
}

static void r_stream_now(void)
{
	struct mon_rec r = now();

	stream_of_rec(&r);
}

static void r_pieces(void)
{
	uint8_t buf[1000];
	struct mon_piece piece[8];
	struct mon_rec r = now();
	bool whole = false;
	size_t n;

	for (unsigned p = 0; p < MON_POLICIES; p++) {
		n = mon_pieces(&reader, &r, 0, p, 0, 7 * C, piece, 8);
		ck_assert_uint_le(n, 8);
		for (size_t i = 0; i < n; i++) {
			ck_assert(piece[i].from < piece[i].to && piece[i].to <= 7 * C);
			ck_assert(i == 0 || piece[i - 1].to < piece[i].from);
			bytes_right(buf, mon_read_stream(&reader, &r, 0, p, piece[i].from, buf, sizeof(buf)), piece[i].from, p);
			whole = whole || (piece[i].from == FROM && piece[i].to >= TO);
		}
		if (keeps) {
			ck_assert(whole);
			ck_assert_uint_eq(mon_find(&reader, &r, 0, p, 0, UINT64_MAX), FROM);
			ck_assert_uint_eq(mon_find(&reader, &r, 0, p, C + 605, UINT64_MAX), C + 605);
			ck_assert_uint_eq(mon_find(&reader, &r, 0, p, C + 705, UINT64_MAX), C + 705);
		}
	}
}

static void r_in_place(void)
{
	struct mon_rec r = now();
	uint8_t buf[64];
	size_t len;

	for (unsigned p = 0; p < MON_POLICIES; p++) {
		const uint8_t *at = mon_at(&reader, &r, 0, p, C - 80, &len);

		if (keeps)
			ck_assert_ptr_nonnull(at);
		if (at == NULL)
			continue;
		ck_assert_uint_eq(len, 80);
		mon_copy(buf, at, sizeof(buf));
		if (mon_still(&reader, &r, 0, p, C - 80))
			bytes_right(buf, sizeof(buf), C - 80, p);
		else
			ck_assert(!keeps);
	}
}

/* As a program asks: with a record that is newer than the pointer. */
static void r_in_place_later(void)
{
	struct mon_rec r = now(), later;
	uint8_t buf[64];
	size_t len;
	const uint8_t *at = mon_at(&reader, &r, 0, MON_FIRST, C - 80, &len);

	if (at == NULL)
		return;
	mon_copy(buf, at, sizeof(buf));
	if (mon_read_rec(&reader, 0, SERIAL, &later) == 0 && mon_still(&reader, &later, 0, MON_FIRST, C - 80))
		bytes_right(buf, sizeof(buf), C - 80, MON_FIRST);
}

static bool log_lasts;

static void r_pkt(void)
{
	struct mon_pkt hdr;
	uint8_t frame[200];
	int err = mon_read_pkt(&reader, pkt, &hdr, frame, sizeof(frame));

	ck_assert(err == 0 || (err == -ENODATA && !log_lasts));
	if (err != 0)
		return;
	ck_assert(hdr.ts_us == 1 && hdr.len == 200);
	for (unsigned i = 0; i < 200; i++)
		ck_assert_uint_eq(frame[i], 1);
}

static void (*const readers[])(void) = {
	r_rec, r_stream, r_stream_now, r_pieces, r_in_place, r_in_place_later, r_pkt,
};
enum { READERS = sizeof(readers) / sizeof(readers[0]), WRITERS = sizeof(writer) / sizeof(writer[0]) };

/* --- All of the one between any two steps of the other ---------------------------------------------------------- */

/* Returns the steps that `acts` takes. */
static unsigned at_every_step(void (*acts)(void), void (*disturbs)(void))
{
	unsigned at;

	for (at = 1;; at++) {
		scene();
		countdown = at;
		between = disturbs;
		acts();
		between = NULL;
		unmake();
		if (countdown > 0)
			return at - 1;
	}
}

static void all_readers(void)
{
	for (unsigned i = 0; i < READERS; i++)
		readers[i]();
}

static void chosen(int i)
{
	keeps = writer[i].keeps;
	log_lasts = writer[i].act != w_log;
}

static void (*halting)(void);
static bool halted;

static void halting_run(void)
{
	halting();
	halted = false;
}

/* Do some steps of `halting`, then let the other go on. */
static void begin_halting(void)
{
	static uint8_t stack[256 * 1024];

	getcontext(&inner);
	inner.uc_stack.ss_sp = stack;
	inner.uc_stack.ss_size = sizeof(stack);
	inner.uc_link = &outer;
	makecontext(&inner, halting_run, 0);
	halted = true;
	swapcontext(&outer, &inner);
}

/* The writer starts at any step of the reader and halts after any number of its own until the reader is through. */
static unsigned at_every_pair_of_steps(void (*reads)(void), void (*writes)(void))
{
	unsigned pairs = 0, steps = 0;
	bool was_halted, begun;

	for (unsigned at = 1;; at++) {
		for (steps = 1, was_halted = true; was_halted; steps++, pairs++) {
			scene();
			halting = writes;
			countdown = at;
			budget = steps;
			between = begin_halting;
			reads();
			between = NULL;
			begun = countdown == 0;
			was_halted = begun && halted;
			if (was_halted) {
				inside = true;
				budget = 0;
				swapcontext(&outer, &inner);
				inside = false;
			}
			budget = 0;
			unmake();
			if (!begun)
				return pairs;
		}
	}
}

START_TEST(a_writer_acts_amid_reading)
{
	chosen(_i);
	for (unsigned r = 0; r < READERS; r++)
		ck_assert_uint_gt(at_every_step(readers[r], writer[_i].act), 5);
}
END_TEST

START_TEST(a_reader_reads_amid_writing)
{
	chosen(_i);
	ck_assert_msg(at_every_step(writer[_i].act, all_readers) > 2, "%s", writer[_i].name);
}
END_TEST

START_TEST(a_writer_halts_amid_reading)
{
	static void (*const reads[])(void) = { r_rec, r_stream, r_pieces };
	static const unsigned writes[] = { 0, 1, 2, 6 }; /* few steps, and nothing lost */

	chosen((int)writes[_i]);
	for (unsigned r = 0; r < 3; r++)
		ck_assert_uint_gt(at_every_pair_of_steps(reads[r], writer[writes[_i]].act), 50);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("arena_steps");
	TCase *t = tcase_create("steps");

	tcase_add_loop_test(t, a_writer_acts_amid_reading, 0, WRITERS);
	tcase_add_loop_test(t, a_reader_reads_amid_writing, 0, WRITERS);
	tcase_add_loop_test(t, a_writer_halts_amid_reading, 0, 4);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
