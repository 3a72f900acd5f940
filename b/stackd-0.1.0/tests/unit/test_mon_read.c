/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The reader of an arena: against a writer that takes things away, by hand and on another thread, and against an
 * arena full of nonsense.
 */
#include "tests/unit/arena_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "shm/mon_copy.h"

enum { SERIAL = 7, C = MON_CHUNK };

/* --- Nobody else is there --------------------------------------------------------------------------------------- */

START_TEST(no_arena)
{
	struct mon_reader r;
	struct mon_arena *m, good;

	make(4, 16, 16);
	m = mem.base;
	good = *m;
	ck_assert_int_eq(mon_reader_init(&r, NULL, mem.size), -EPROTO);
	ck_assert_int_eq(mon_reader_init(&r, (uint8_t *)mem.base + 8, mem.size - 8), -EPROTO);
	ck_assert_int_eq(mon_reader_init(&r, mem.base, sizeof(*m) - 1), -EPROTO);
	ck_assert_int_eq(mon_reader_init(&r, mem.base, mem.size - 1), -EPROTO);
#define BAD(field, value) do { \
		m->field = (value); \
		ck_assert_msg(mon_reader_init(&r, mem.base, mem.size) == -EPROTO, #field); \
		*m = good; \
	} while (0)
	BAD(magic, 0);
	BAD(abi, SHM_ABI + 1);
	BAD(size, good.size + 1);
	BAD(flows, UINT32_MAX);
	BAD(chunks, UINT32_MAX);
	BAD(flow_off, good.size);
	BAD(flow_off, good.flow_off + 4);
	BAD(chunk_off, UINT64_MAX - 7);
	BAD(data_off, good.data_off + 4096 * 16);
	BAD(log_off, good.size - 8);
	BAD(log_size, good.log_size - 64);
	BAD(log_size, (uint64_t)1 << 63);
	BAD(log_size, 0);
	BAD(log_size, 32);
#undef BAD
	ck_assert_int_eq(mon_reader_init(&r, mem.base, mem.size), 0);
	unmake();
}
END_TEST

START_TEST(bad_questions_have_no_answer)
{
	struct mon_piece piece;
	struct mon_rec r;
	uint8_t buf[16];
	size_t len;

	make(4, 16, 16);
	arena_open(arena, SERIAL, 1);
	put(0, SERIAL, 0, 0, 100);
	r = rec_of(0, SERIAL);
	ck_assert_uint_eq(mon_read_stream(&reader, &r, 2, 0, 0, buf, 16), 0);
	ck_assert_uint_eq(mon_read_stream(&reader, &r, 0, MON_POLICIES, 0, buf, 16), 0);
	ck_assert_uint_eq(mon_read_stream(&reader, &r, 0, 0, 0, buf, 0), 0);
	ck_assert_uint_eq(mon_read_stream(&reader, &r, 0, 0, UINT64_MAX, buf, 16), 0);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 7, 0, 0, UINT64_MAX, &piece, 1), 0);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, 0, 0, UINT64_MAX, NULL, 0), 1);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, 0, 50, 50, &piece, 1), 0);
	ck_assert_uint_eq(mon_find(&reader, &r, 0, 9, 0, UINT64_MAX), UINT64_MAX);
	ck_assert_ptr_null(mon_at(&reader, &r, 0, 0, 100, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(mon_read_rec(&reader, 4, SERIAL, &r), -ERANGE);
	ck_assert_int_eq(mon_read_rec(&reader, UINT32_MAX, SERIAL, &r), -ERANGE);
	ck_assert_int_eq(mon_read_rec(&reader, 1, 0, &r), -ESTALE);
	ck_assert_int_eq(mon_read_rec(&reader, 0, SERIAL + 1, &r), -ESTALE);
	unmake();
}
END_TEST

START_TEST(a_writer_that_stopped_midway)
{
	struct mon_chunk *table;
	struct mon_rec r, *shared;
	uint8_t b;

	make(4, 16, 16);
	arena_open(arena, SERIAL, 1);
	put(0, SERIAL, 0, 0, 100);
	r = rec_of(0, SERIAL);
	shared = (struct mon_rec *)((uint8_t *)mem.base + reader.head.flow_off);
	shared->version++;
	ck_assert_int_eq(mon_read_rec(&reader, 0, SERIAL, &r), -EAGAIN);
	/* ranges: what is there is told all the same */
	table = (struct mon_chunk *)((uint8_t *)mem.base + reader.head.chunk_off);
	table->version++;
	ck_assert_uint_eq(mon_read_stream(&reader, &r, 0, 0, 99, &b, 1), 1);
	table->owner = 0;
	ck_assert_uint_eq(mon_read_stream(&reader, &r, 0, 0, 99, &b, 1), 0);
	unmake();
}
END_TEST

START_TEST(in_place)
{
	struct mon_rec old, r;
	const uint8_t *p;
	size_t len;

	make(64, 8, 64);
	arena_open(arena, SERIAL, 1);
	put(0, SERIAL, 1, 10, 5000);
	old = rec_of(0, SERIAL);
	ck_assert_ptr_null(mon_at(&reader, &old, 1, 0, 9, &len));
	p = mon_at(&reader, &old, 1, 0, 11, &len);
	ck_assert_uint_eq(len, C - 11); /* up to the end of the chunk */
	ck_assert_uint_eq(*p, byte_at(SERIAL, 1, 11));
	p = mon_at(&reader, &old, 1, 0, C, &len);
	ck_assert_uint_eq(len, 5010 - C);
	ck_assert_uint_eq(*p, byte_at(SERIAL, 1, C));
	in_order(0, 1, 5010);
	ck_assert(mon_still(&reader, &old, 1, 0, C));
	/* growth does no harm */
	put(0, SERIAL, 1, 5010, 10);
	ck_assert(mon_still(&reader, &old, 1, 0, C));
	arena_trim(arena, 0, 1, 20);
	r = rec_of(0, SERIAL);
	ck_assert_ptr_null(mon_at(&reader, &r, 1, 0, 19, &len));
	ck_assert_ptr_nonnull(mon_at(&reader, &r, 1, 0, 20, &len));
	/* all chunks go to others, and this stream asks for its old parts again */
	for (uint32_t i = 1; i <= 8; i++) {
		arena_open(arena, 100 + i, 1);
		put(i, 100 + i, 0, 0, 1);
	}
	ck_assert(!mon_still(&reader, &old, 1, 0, C));
	ck_assert_uint_eq(put(0, SERIAL, 1, 10, 5000), 0); /* never a second time what was in order */
	ck_assert_uint_eq(put(0, SERIAL, 1, 5000, 100), 90);
	r = rec_of(0, SERIAL);
	ck_assert(!mon_still(&reader, &r, 1, 0, C));
	ck_assert_ptr_nonnull(mon_at(&reader, &r, 1, 0, 5010, &len));
	ck_assert_uint_eq(len, 90);
	ck_assert_ptr_null(mon_at(&reader, &old, 1, 0, 5010, &len)); /* given out after that copy of the record */
	ck_assert(!mon_still(&reader, &old, 1, 0, 5010));
	unmake();
}
END_TEST

/* Out of order, a part may come back, even into the same chunk: that is not what the pointer was for. */
START_TEST(in_place_and_back_again)
{
	unsigned same = 0;

	for (uint32_t others = 0; others < 24; others++) {
		const uint8_t *p;
		struct mon_rec old, r;
		size_t len;

		make(64, 8, 64);
		arena_open(arena, SERIAL, 1);
		put(0, SERIAL, 1, 3 * C, 100);
		old = rec_of(0, SERIAL);
		p = mon_at(&reader, &old, 1, 0, 3 * C, &len);
		ck_assert_ptr_nonnull(p);
		for (uint32_t i = 1; i <= others; i++) {
			arena_open(arena, 100 + i, 1);
			put(i, 100 + i, 0, 0, 1);
		}
		ck_assert_int_eq(mon_still(&reader, &old, 1, 0, 3 * C), others < arena_chunks(arena));
		put_variant(0, SERIAL, 1, 3 * C, 100, 1);
		ck_assert_int_eq(mon_still(&reader, &old, 1, 0, 3 * C), others < arena_chunks(arena));
		r = rec_of(0, SERIAL);
		same += others >= arena_chunks(arena) && mon_at(&reader, &r, 1, 0, 3 * C, &len) == p;
		unmake();
	}
	ck_assert_uint_gt(same, 0);
}
END_TEST

/* A record's copy outlives the record: its chunks can be read until they are somebody else's, and no longer. */
START_TEST(an_old_copy_of_a_record)
{
	struct mon_rec old, r;
	uint8_t buf[200];

	make(2, 16, 64);
	arena_open(arena, SERIAL, 1);
	put(0, SERIAL, 0, 0, 100);
	old = rec_of(0, SERIAL);
	arena_close(arena, 0);
	arena_open(arena, SERIAL + 1, 1);
	arena_open(arena, SERIAL + 2, 1);
	ck_assert_int_eq(mon_read_rec(&reader, 0, SERIAL, &r), -ESTALE);
	ck_assert_uint_eq(mon_read_stream(&reader, &old, 0, 0, 0, buf, 200), 100);
	put(0, SERIAL + 2, 0, 0, 100);
	ck_assert_uint_eq(mon_read_stream(&reader, &old, 0, 0, 0, buf, 200), 0);
	ck_assert_uint_eq(mon_find(&reader, &old, 0, 0, 0, UINT64_MAX), UINT64_MAX);
	unmake();
}
END_TEST

/* --- The packet log --------------------------------------------------------------------------------------------- */

static uint8_t frame_byte(uint64_t ts, uint32_t i)
{
	return (uint8_t)(ts * 31 + i);
}

static uint64_t log_put(uint64_t ts, uint32_t len)
{
	struct mon_pkt hdr = { .ts_us = ts, .len = len, .wire_len = len, .l3_off = 14, .l4_off = 34, .text_off = 54 };
	static _Thread_local uint8_t frame[70000];

	hdr.text_len = (uint16_t)(len - 54);
	for (uint32_t i = 0; i < len; i++)
		frame[i] = frame_byte(ts, i);
	return arena_log(arena, &hdr, frame);
}

static bool log_is(const struct mon_pkt *hdr, const uint8_t *frame, uint64_t ts, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (frame[i] != frame_byte(ts, i))
			return false;
	return hdr->ts_us == ts && hdr->len == len;
}

START_TEST(log_keeps_what_fits)
{
	enum { COUNT = 500 };
	static uint8_t frame[70000];
	uint64_t pos[COUNT], seed = 99;
	uint32_t len[COUNT];
	struct mon_pkt hdr;

	make_log(4, 16, 16, 65536);
	for (unsigned i = 0; i < COUNT; i++) {
		uint64_t bytes = 0;

		len[i] = 60 + rnd(&seed, 1500);
		pos[i] = log_put(i, len[i]);
		ck_assert_uint_eq(pos[i] % 8, 0);
		for (unsigned k = i + 1; k-- > 0;) {
			int rc = mon_read_pkt(&reader, pos[k], &hdr, frame, sizeof(frame));

			bytes += len[k] + sizeof(hdr) + 8;
			/* a log of 64 KiB holds at least 60 KiB, at most 64 */
			ck_assert_int_eq(rc, bytes < 60000 ? 0 : pos[i] - pos[k] > 65536 ? -ENODATA : rc);
			ck_assert(rc == 0 || rc == -ENODATA);
			if (rc == 0)
				ck_assert(log_is(&hdr, frame, k, len[k]));
			if (bytes > 80000)
				break;
		}
	}
	ck_assert_int_eq(mon_read_pkt(&reader, pos[0], &hdr, frame, sizeof(frame)), -ENODATA);
	ck_assert_int_eq(mon_read_pkt(&reader, pos[COUNT - 1] + 8, &hdr, frame, sizeof(frame)), -EPROTO);
	ck_assert_int_eq(mon_read_pkt(&reader, pos[COUNT - 1] + 1, &hdr, frame, sizeof(frame)), -EPROTO);
	ck_assert_int_eq(mon_read_pkt(&reader, pos[COUNT - 1] + 65536, &hdr, frame, sizeof(frame)), -EPROTO);
	/* a part of a frame */
	memset(frame, 0xee, sizeof(frame));
	ck_assert_int_eq(mon_read_pkt(&reader, pos[COUNT - 1], &hdr, frame, 10), 0);
	ck_assert_uint_eq(frame[9], frame_byte(COUNT - 1, 9));
	ck_assert_uint_eq(frame[10], 0xee);
	ck_assert_int_eq(mon_read_pkt(&reader, pos[COUNT - 1], &hdr, NULL, 0), 0);
	unmake();
}
END_TEST

START_TEST(log_is_used_to_its_end)
{
	static uint8_t frame[4096];
	struct mon_pkt hdr, *shared;
	uint64_t pos[4];

	make_log(4, 16, 16, 4096);
	for (unsigned i = 0; i < 4; i++)
		pos[i] = log_put(i, 1024 - sizeof(hdr));
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(mon_read_pkt(&reader, pos[i], &hdr, frame, sizeof(frame)), 0);
		ck_assert(log_is(&hdr, frame, i, 1024 - sizeof(hdr)));
	}
	/* a length that would lead out of it */
	shared = (struct mon_pkt *)((uint8_t *)mem.base + reader.head.log_off + 3 * 1024);
	shared->len++;
	ck_assert_int_eq(mon_read_pkt(&reader, pos[3], &hdr, frame, sizeof(frame)), -EPROTO);
	unmake();
}
END_TEST

START_TEST(giant_frames_are_cut)
{
	static uint8_t frame[70000];
	struct mon_pkt hdr;
	uint64_t pos;

	make_log(4, 16, 16, 4096);
	pos = log_put(5, 9000);
	ck_assert_int_eq(mon_read_pkt(&reader, pos, &hdr, frame, sizeof(frame)), 0);
	ck_assert(log_is(&hdr, frame, 5, 4096 - sizeof(hdr)));
	ck_assert_uint_eq(hdr.wire_len, 9000);
	ck_assert_uint_eq(hdr.text_off + hdr.text_len, hdr.len); /* points at nothing that is not there */
	log_put(6, 60);
	ck_assert_int_eq(mon_read_pkt(&reader, pos, &hdr, frame, sizeof(frame)), -ENODATA);
	unmake();
	make_log(4, 100, 16, 131072);
	pos = log_put(5, 69000);
	ck_assert_int_eq(mon_read_pkt(&reader, pos, &hdr, frame, sizeof(frame)), 0);
	ck_assert_uint_eq(hdr.len, MON_FRAME_MAX);
	unmake();
}
END_TEST

/* --- Nonsense --------------------------------------------------------------------------------------------------- */

static void ask_everything(const struct mon_reader *r, const struct mon_rec *rec, uint64_t *seed)
{
	static uint8_t buf[70000];
	struct mon_piece piece[5];
	struct mon_pkt hdr;
	size_t len;

	for (unsigned i = 0; i < 8; i++) {
		unsigned side = rnd(seed, 2), policy = rnd(seed, 2);
		uint64_t off = rec->side[side].head + rnd(seed, 40 * C), end = rnd(seed, 2) ? UINT64_MAX : off + rnd(seed, 40 * C);
		size_t want = rnd(seed, sizeof(buf)), n, got = mon_read_stream(r, rec, side, policy, off, buf, want);
		const uint8_t *p = mon_at(r, rec, side, policy, off, &len);

		ck_assert_uint_le(got, want);
		ck_assert(p == NULL ? len == 0 : len <= C && p >= r->base && p + len <= r->base + r->size);
		(void)mon_still(r, rec, side, policy, off);
		n = mon_pieces(r, rec, side, policy, off, end, piece, 5);
		ck_assert_uint_le(n, (MON_INDEX * MON_INDEX_IDS + MON_FEW) * MON_RANGES);
		off = mon_find(r, rec, side, policy, off, end);
		ck_assert(off == UINT64_MAX || off < end);
		(void)mon_read_pkt(r, (uint64_t)rnd(seed, 2000) * 8, &hdr, buf, sizeof(buf));
	}
}

/* A copy that ends where the arena ends, so that a sanitizer sees every byte beyond. */
START_TEST(nonsense_is_read_safely)
{
	enum { ROUNDS = 300 };
	uint64_t seed = 0x5eed + (unsigned)_i * 31337;
	struct mon_reader r;
	struct mon_rec rec;
	uint8_t *good, *copy;
	size_t size;

	make_log(8, 30, MON_SPAN_MAX, 16384);
	for (unsigned i = 0; i < 8; i++) {
		arena_open(arena, i + 1, 1);
		for (unsigned k = 0; k < 12; k++)
			put_variant(i, i + 1, k % 2, rnd(&seed, (i % 2 ? 2 : 10) * C), 1 + rnd(&seed, 3000), k % 4);
		log_put(i, 60 + rnd(&seed, 1000));
	}
	size = mem.size;
	good = mem.base;
	copy = aligned_alloc(4096, size);
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct mon_arena *m = &reader.head;
		struct { uint64_t off, len; } room[] = {
			{ m->flow_off, m->flows * sizeof(rec) }, { m->chunk_off, m->chunks * sizeof(struct mon_chunk) },
			{ m->data_off, (uint64_t)m->chunks * C }, { m->log_off, m->log_size }, { 0, sizeof(*m) }, { 0, size },
		};
		unsigned damage = 1 + rnd(&seed, round % 3 == 0 ? 3000 : 30);

		memcpy(copy, good, size);
		r = reader;
		r.base = copy;
		if (round % 4 == 0)
			ck_assert_int_eq(mon_reader_init(&r, copy, size), 0);
		for (unsigned i = 0; i < damage; i++) {
			unsigned k = rnd(&seed, 6);
			uint64_t at = room[k].off + rnd(&seed, (uint32_t)room[k].len);

			copy[at] = (uint8_t)(rnd(&seed, 3) ? rnd(&seed, 256) : rnd(&seed, 2) * 255);
		}
		for (unsigned i = 0; i < 8; i++) {
			if (mon_read_rec(&r, i, i + 1, &rec) == 0)
				ask_everything(&r, &rec, &seed);
		}
		for (size_t i = 0; i < sizeof(rec); i++)
			((uint8_t *)&rec)[i] = (uint8_t)rnd(&seed, round % 2 ? 256 : 8);
		ask_everything(&r, &rec, &seed);
		/* a header that was believed before it was damaged, and one that was not */
		if (mon_reader_init(&r, copy, size) == 0 && mon_read_rec(&r, 0, 1, &rec) == 0)
			ask_everything(&r, &rec, &seed);
	}
	free(copy);
	unmake();
}
END_TEST

/* --- A writer at the same time ---------------------------------------------------------------------------------- */

enum { FLOWS = 5, WRITES = 60000 };

static struct {
	_Atomic uint64_t serial[FLOWS];
	_Atomic uint64_t pos; /* of a packet; its timestamp is its number */
	_Atomic bool done;
} race;

static void *write_on(void *arg)
{
	uint64_t seed = 4711, serial[FLOWS], next[FLOWS] = { 0 }, serials = 0;

	(void)arg;
	for (unsigned i = 0; i < FLOWS; i++) {
		serial[arena_open(arena, i + 1, 1)] = ++serials;
		atomic_store(&race.serial[i], serials);
	}
	for (unsigned n = 0; n < WRITES; n++) {
		uint32_t f = rnd(&seed, FLOWS), what = rnd(&seed, 1000), len = 1 + rnd(&seed, 1460);
		uint64_t back = rnd(&seed, 8000);

		if (what == 0) {
			arena_close(arena, f);
			f = arena_open(arena, ++serials, 1);
			serial[f] = serials;
			next[f] = 0;
			atomic_store(&race.serial[f], serials);
		} else if (what == 1) {
			arena_trim(arena, f, 0, next[f] - (back < next[f] ? back : next[f]));
		} else if (what < 150) { /* something else than what is there, or ahead */
			uint64_t off = next[f] + (what % 2) * 8000;

			put_variant(f, serial[f], 0, off - (back < off ? back : off), len, 1 + what % 3);
		} else {
			put(f, serial[f], 0, next[f], len);
			next[f] += len;
			in_order(f, 0, next[f]);
		}
		if (what % 4 == 0)
			atomic_store(&race.pos, log_put(n, 60 + len));
	}
	atomic_store(&race.done, true);
	return NULL;
}

/* Through the pointer, believed only when it still holds. */
static bool look_in_place(const struct mon_rec *rec, unsigned policy, uint64_t off, uint8_t *seen)
{
	size_t len;
	const uint8_t *p = mon_at(&reader, rec, 0, policy, off, &len);

	if (p == NULL)
		return false;
	mon_copy(seen, p, 1);
	return mon_still(&reader, rec, 0, policy, off);
}

struct tally {
	unsigned recs, bytes, placed, pkts;
};

static void read_once(uint64_t *seed, struct tally *t)
{
	uint32_t f = rnd(seed, FLOWS), policy = rnd(seed, 2);
	uint64_t serial = atomic_load(&race.serial[f]), pos = atomic_load(&race.pos), off;
	static uint8_t buf[20000];
	struct mon_pkt hdr;
	struct mon_rec rec;
	uint8_t seen;
	size_t n;
	int err = mon_read_rec(&reader, f, (uint32_t)serial, &rec);

	ck_assert(err == 0 || err == -ESTALE || err == -EAGAIN);
	if (err == 0) {
		struct mon_side *s = &rec.side[0];

		t->recs++;
		ck_assert_uint_eq(rec.serial, serial);
		off = s->head + (s->next > s->head ? rnd(seed, (uint32_t)(s->next - s->head)) : 0);
		n = mon_read_stream(&reader, &rec, 0, policy, off, buf, sizeof(buf));
		for (size_t i = 0; i < n; i++)
			if ((buf[i] & 0xfc) != byte_at(serial, 0, off + i))
				ck_abort_msg("byte %zu of %zu at %lu of flow %lu", i, n, (unsigned long)off, (unsigned long)serial);
		t->bytes += n > 0;
		if (look_in_place(&rec, policy, off, &seen)) {
			t->placed++;
			ck_assert_uint_eq(seen & 0xfc, byte_at(serial, 0, off));
		}
	}
	err = mon_read_pkt(&reader, pos, &hdr, buf, sizeof(buf));
	ck_assert(err == 0 || err == -ENODATA || (err == -EPROTO && pos == 0));
	if (err == 0) {
		t->pkts++;
		ck_assert(log_is(&hdr, buf, hdr.ts_us, hdr.len));
	}
}

START_TEST(a_racing_writer_never_shows_wrong_bytes)
{
	struct tally t = { 0 };
	uint64_t seed = 1234;
	pthread_t writer;

	make_log(FLOWS, 40, 64, 4096);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_on, NULL), 0);
	while (!atomic_load(&race.done))
		read_once(&seed, &t);
	pthread_join(writer, NULL);
	for (unsigned i = 0; i < 100; i++) /* also where the reader had no turn before */
		read_once(&seed, &t);
	ck_assert_uint_ge(t.recs, 100);
	ck_assert_uint_gt(t.bytes, 0);
	ck_assert_uint_gt(t.placed, 0);
	ck_assert_uint_gt(t.pkts, 0);
	unmake();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mon_read");
	TCase *alone = tcase_create("alone"), *bad = tcase_create("nonsense"), *racing = tcase_create("racing");

	tcase_add_test(alone, no_arena);
	tcase_add_test(alone, bad_questions_have_no_answer);
	tcase_add_test(alone, a_writer_that_stopped_midway);
	tcase_add_test(alone, in_place);
	tcase_add_test(alone, in_place_and_back_again);
	tcase_add_test(alone, an_old_copy_of_a_record);
	tcase_add_test(alone, log_keeps_what_fits);
	tcase_add_test(alone, log_is_used_to_its_end);
	tcase_add_test(alone, giant_frames_are_cut);
	suite_add_tcase(s, alone);
	tcase_add_loop_test(bad, nonsense_is_read_safely, 0, 3);
	tcase_set_timeout(bad, 60);
	suite_add_tcase(s, bad);
	tcase_add_test(racing, a_racing_writer_never_shows_wrong_bytes);
	tcase_set_timeout(racing, 60);
	suite_add_tcase(s, racing);
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
