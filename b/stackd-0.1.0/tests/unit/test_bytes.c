/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The pool and the streams of bytes.h, by cases and against a plain model of a byte stream.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <stdio.h>
#include <sys/mman.h>

#include "shm/bytes.h"

enum { PER_SEG = BYTES_SEG_CHUNKS - 1 };

static struct bytes_pool pool;
static struct bytes b;

static void *new_segment(void)
{
	void *p = mmap(NULL, BYTES_SEG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static void add_segment(uint32_t seg)
{
	ck_assert_int_eq(bytes_pool_add(&pool, seg, new_segment()), 0);
}

static void setup(void)
{
	ck_assert_int_eq(bytes_pool_init(&pool), 0);
	bytes_init(&b);
}

static void teardown(void)
{
	bytes_clear(&b, &pool);
	ck_assert_uint_eq(pool.used_count, 0);
	for (uint32_t i = 0; i < BYTES_SEGS_MAX; i++)
		if (pool.map.base[i] != NULL)
			munmap(pool.map.base[i], BYTES_SEG_SIZE);
	bytes_pool_fini(&pool);
}

/* xorshift: tests repeat exactly */
static uint64_t rnd_state;
static uint32_t rnd(uint32_t below)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (uint32_t)(rnd_state >> 20) % below;
}

/* The byte that belongs at a stream offset, for streams written once. */
static uint8_t byte_at(uint64_t off)
{
	return (uint8_t)((off * 0x9e3779b97f4a7c15u) >> 56);
}

static size_t write_true(uint64_t off, size_t len, uint32_t max)
{
	uint8_t *src = malloc(len + 1);
	size_t n;

	for (size_t i = 0; i < len; i++)
		src[i] = byte_at(off + i);
	n = bytes_write(&b, &pool, off, src, len, max);
	free(src);
	return n;
}

static void expect_true(uint64_t off, size_t len)
{
	uint8_t *dst = malloc(len + 1);

	dst[len] = 0xee;
	ck_assert_int_eq(bytes_read(&b, &pool.map, off, dst, len), 0);
	for (size_t i = 0; i < len; i++)
		if (dst[i] != byte_at(off + i)) /* an assertion per byte would take minutes */
			ck_abort_msg("byte %zu of %zu at %llu", i, len, (unsigned long long)off);
	ck_assert_uint_eq(dst[len], 0xee);
	free(dst);
}

/* --- Ids -------------------------------------------------------------------------------------------------------------- */
START_TEST(any_id_is_safe)
{
	struct bytes_map *m = &pool.map;

	add_segment(3);
	ck_assert_ptr_null(bytes_at(m, BYTES_NONE));
	ck_assert_ptr_null(bytes_at(m, BYTES_NONE - 1));
	ck_assert_ptr_null(bytes_at(m, 0));
	ck_assert_ptr_null(bytes_at(m, 1));
	ck_assert_ptr_null(bytes_at(m, 3 * BYTES_SEG_CHUNKS));
	ck_assert_ptr_eq(bytes_at(m, 3 * BYTES_SEG_CHUNKS + 1), m->base[3] + BYTES_CHUNK);
	ck_assert_ptr_eq(bytes_at(m, 4 * BYTES_SEG_CHUNKS - 1), m->base[3] + BYTES_SEG_SIZE - BYTES_CHUNK);
	ck_assert_ptr_null(bytes_at(m, 4 * BYTES_SEG_CHUNKS + 1));
	ck_assert_ptr_null(bytes_at(m, BYTES_SEGS_MAX * BYTES_SEG_CHUNKS + 1));
	ck_assert_uint_eq(bytes_next(m, 7), BYTES_NONE);
	ck_assert_uint_eq(bytes_next(m, BYTES_NONE), BYTES_NONE);
	for (uint32_t i = 0; i < 100000; i++) {
		uint32_t id = rnd(UINT32_MAX);
		uint8_t *at = bytes_at(m, id);

		if (at != NULL && (at < m->base[3] + BYTES_CHUNK || at > m->base[3] + BYTES_SEG_SIZE - BYTES_CHUNK))
			ck_abort_msg("id %u lies outside", id);
		bytes_free(&pool, id);
	}
	ck_assert_uint_eq(pool.free_count, PER_SEG);
}
END_TEST

/* --- Pool ------------------------------------------------------------------------------------------------------------- */
START_TEST(pool_refuses_bad_segments)
{
	uint8_t some;

	ck_assert_uint_eq(bytes_alloc(&pool), BYTES_NONE);
	ck_assert_int_eq(bytes_pool_add(&pool, BYTES_SEGS_MAX, &some), -ERANGE);
	ck_assert_int_eq(bytes_pool_add(&pool, UINT32_MAX, &some), -ERANGE);
	ck_assert_int_eq(bytes_pool_add(&pool, 0, NULL), -EINVAL);
	add_segment(BYTES_SEGS_MAX - 1);
	ck_assert_int_eq(bytes_pool_add(&pool, BYTES_SEGS_MAX - 1, &some), -EEXIST);
	ck_assert_uint_eq(pool.segs, BYTES_SEGS_MAX);
	ck_assert_uint_eq(bytes_alloc(&pool) / BYTES_SEG_CHUNKS, BYTES_SEGS_MAX - 1);
	pool.used_count = 0; /* teardown looks for leaks; this one is meant */
}
END_TEST

START_TEST(pool_gives_each_chunk_once)
{
	static bool seen[3 * BYTES_SEG_CHUNKS];
	uint32_t id;

	memset(seen, 0, sizeof(seen));
	add_segment(0);
	add_segment(2);
	for (int i = 0; i < 2 * PER_SEG; i++) {
		id = bytes_alloc(&pool);
		ck_assert_ptr_nonnull(bytes_at(&pool.map, id));
		ck_assert(!seen[id]);
		ck_assert_uint_eq(id / BYTES_SEG_CHUNKS, i < PER_SEG ? 0 : 2);
		seen[id] = true;
	}
	ck_assert_uint_eq(bytes_alloc(&pool), BYTES_NONE);
	ck_assert_uint_eq(pool.free_count, 0);
	for (id = 0; id < 3 * BYTES_SEG_CHUNKS; id++)
		bytes_free(&pool, id);
	ck_assert_uint_eq(pool.free_count, 2 * PER_SEG);
}
END_TEST

START_TEST(pool_ignores_double_free)
{
	uint32_t x, y;

	add_segment(0);
	x = bytes_alloc(&pool);
	y = bytes_alloc(&pool);
	bytes_free(&pool, x);
	bytes_free(&pool, x);
	ck_assert_uint_eq(pool.used_count, 1);
	ck_assert_uint_eq(bytes_alloc(&pool), x);
	ck_assert_uint_ne(bytes_alloc(&pool), x);
	ck_assert_uint_eq(pool.used_count, 3);
	for (uint32_t id = 0; id < BYTES_SEG_CHUNKS; id++)
		bytes_free(&pool, id);
	ck_assert_uint_ne(y, BYTES_NONE);
}
END_TEST

START_TEST(pool_prefers_low_segments_and_gives_back_high_ones)
{
	uint32_t id[3 * PER_SEG];
	void *base, *last;

	for (uint32_t i = 0; i < 3; i++)
		add_segment(i);
	last = pool.map.base[2];
	for (int i = 0; i < 3 * PER_SEG; i++)
		id[i] = bytes_alloc(&pool);
	ck_assert_int_eq(bytes_pool_take_idle(&pool, 0, &base), -ENOENT);
	bytes_free(&pool, id[2 * PER_SEG]);
	bytes_free(&pool, id[5]);
	ck_assert_uint_eq(bytes_alloc(&pool), id[5]);
	for (int i = PER_SEG; i < 3 * PER_SEG; i++)
		bytes_free(&pool, id[i]);
	ck_assert_int_eq(bytes_pool_take_idle(&pool, 2, &base), -ENOENT);
	ck_assert_int_eq(bytes_pool_take_idle(&pool, 0, &base), 2);
	ck_assert_ptr_eq(base, last);
	ck_assert_ptr_null(pool.map.base[2]);
	ck_assert_uint_eq(pool.segs, 2);
	munmap(base, BYTES_SEG_SIZE);
	ck_assert_int_eq(bytes_pool_take_idle(&pool, 0, &base), 1);
	munmap(base, BYTES_SEG_SIZE);
	ck_assert_int_eq(bytes_pool_take_idle(&pool, 0, &base), -ENOENT);
	ck_assert_uint_eq(pool.free_count, 0);
	ck_assert_uint_eq(pool.segs, 1);
	bytes_free(&pool, id[PER_SEG]); /* of a segment that went: nothing happens */
	ck_assert_uint_eq(bytes_alloc(&pool), BYTES_NONE);
	add_segment(2);
	ck_assert_uint_eq(bytes_alloc(&pool) / BYTES_SEG_CHUNKS, 2);
	for (uint32_t i = 0; i < 3 * BYTES_SEG_CHUNKS; i++)
		bytes_free(&pool, i);
}
END_TEST

/* --- Streams ---------------------------------------------------------------------------------------------------------- */
static const uint64_t bases[] = {
	0, 1, BYTES_CHUNK - 1, BYTES_CHUNK,
	(UINT64_C(1) << 32) - 5000, /* where 32-bit offsets wrap */
	(UINT64_C(1) << 43) - 5000, /* chunk numbers turn negative as int32_t */
	(UINT64_C(1) << 44) - 5000, /* chunk numbers wrap: 16 TiB */
	(UINT64_C(1) << 44) - 1,
	(UINT64_C(1) << 63) - 77,
	0 - UINT64_C(100000),       /* just below the last offset of all */
};
enum { BASES = sizeof(bases) / sizeof(*bases) };

START_TEST(stream_keeps_bytes_across_chunks)
{
	static const size_t len[] = { 1, 2, BYTES_CHUNK - 1, BYTES_CHUNK, BYTES_CHUNK + 1, 3 * BYTES_CHUNK, 50000 };

	add_segment(0);
	for (size_t i = 0; i < sizeof(len) / sizeof(*len); i++) {
		uint64_t off = bases[_i];
		uint32_t chunks = bytes_number(off + len[i] - 1) - bytes_number(off) + 1;

		ck_assert_uint_eq(write_true(off, len[i], 1024), len[i]);
		ck_assert_uint_eq(pool.used_count, chunks);
		ck_assert_uint_eq(b.count, chunks);
		expect_true(off, len[i]);
		if (chunks == 1)
			ck_assert_ptr_null(b.ring);
		bytes_drop(&b, &pool, bytes_number(off)); /* nothing lies below */
		ck_assert_uint_eq(pool.used_count, chunks);
		bytes_drop(&b, &pool, bytes_number(off + len[i] - 1));
		ck_assert_uint_eq(pool.used_count, 1);
		bytes_drop(&b, &pool, bytes_number(off + len[i] - 1) + 1);
		ck_assert_uint_eq(pool.used_count, 0);
		ck_assert_ptr_null(b.ring);
		ck_assert_uint_eq(b.count, 0);
	}
}
END_TEST

START_TEST(stream_takes_bytes_in_any_order)
{
	uint64_t off = bases[_i];

	add_segment(0);
	ck_assert_uint_eq(write_true(off + 30000, 100, 64), 100);
	ck_assert_uint_eq(write_true(off, 10, 64), 10);
	ck_assert_uint_le(pool.used_count, 3);
	ck_assert_int_eq(bytes_read(&b, &pool.map, off + 15000, &(uint8_t){ 0 }, 1), -EFAULT);
	ck_assert_uint_eq(write_true(off + 10, 29990, 64), 29990);
	expect_true(off, 30100);
}
END_TEST

START_TEST(stream_drop_skips_holes)
{
	add_segment(0);
	write_true(0, 1, 64);
	write_true(10 * BYTES_CHUNK, 1, 64);
	ck_assert_uint_eq(b.count, 11);
	bytes_drop(&b, &pool, 1);
	ck_assert_uint_eq(b.first, 10);
	ck_assert_uint_eq(b.count, 1);
	ck_assert_uint_eq(pool.used_count, 1);
	write_true(8 * BYTES_CHUNK, 1, 64); /* below the first */
	ck_assert_uint_eq(b.first, 8);
	expect_true(8 * BYTES_CHUNK, 1);
	expect_true(10 * BYTES_CHUNK, 1);
	bytes_drop(&b, &pool, 1000);
	ck_assert_uint_eq(pool.used_count, 0);
}
END_TEST

START_TEST(stream_span_is_bounded)
{
	uint64_t off = bases[_i] / BYTES_CHUNK * BYTES_CHUNK;

	add_segment(0);
	ck_assert_uint_eq(write_true(off, 5 * BYTES_CHUNK, 4), 4 * BYTES_CHUNK);
	ck_assert_uint_eq(pool.used_count, 4);
	ck_assert_uint_eq(write_true(off + 4 * BYTES_CHUNK, 1, 4), 0);
	ck_assert_uint_eq(write_true(off - 1, 1, 4), 0);
	ck_assert_uint_eq(write_true(off + (UINT64_C(1) << 43), 1, UINT32_MAX), 0);
	ck_assert_uint_eq(write_true(off + (UINT64_C(1) << 42), 1, UINT32_MAX), 0);
	ck_assert_uint_eq(write_true(off - (UINT64_C(1) << 42), 1, UINT32_MAX), 0);
	ck_assert_uint_eq(pool.used_count, 4);
	expect_true(off, 4 * BYTES_CHUNK);
	bytes_drop(&b, &pool, bytes_number(off) + 1);
	ck_assert_uint_eq(write_true(off + 4 * BYTES_CHUNK, 5000, 4), BYTES_CHUNK);
	bytes_clear(&b, &pool);
	ck_assert_uint_eq(write_true(off, 1, 0), 0);
	ck_assert_uint_eq(pool.used_count, 0);
}
END_TEST

START_TEST(stream_stops_when_the_pool_is_empty)
{
	size_t all = (size_t)PER_SEG * BYTES_CHUNK;

	add_segment(0);
	ck_assert_uint_eq(write_true(100, all, 1024), all - 100);
	expect_true(100, all - 100);
	ck_assert_uint_eq(write_true(all, 1, 1024), 0);
	add_segment(1);
	ck_assert_uint_eq(write_true(all, 100, 1024), 100);
	expect_true(100, all);
}
END_TEST

START_TEST(stream_set_replaces_and_refuses_none)
{
	ck_assert_int_eq(bytes_set(&b, 5, BYTES_NONE, 8), -EINVAL);
	ck_assert_int_eq(bytes_set(&b, 5, 111, 8), 0);
	ck_assert_int_eq(bytes_set(&b, 5, 112, 8), 0);
	ck_assert_uint_eq(bytes_get(&b, 5), 112);
	ck_assert_uint_eq(bytes_get(&b, 4), BYTES_NONE);
	ck_assert_uint_eq(bytes_get(&b, 6), BYTES_NONE);
	ck_assert_int_eq(bytes_set(&b, 13, 113, 8), -ERANGE);
	ck_assert_int_eq(bytes_set(&b, 12, 113, 8), 0);
	ck_assert_int_eq(bytes_set(&b, 4, 113, 8), -ERANGE);
	ck_assert_uint_eq(bytes_get(&b, 8), BYTES_NONE);
	bytes_drop(&b, NULL, 12);
	ck_assert_uint_eq(b.first, 12);
	bytes_clear(&b, NULL);
	ck_assert_uint_eq(bytes_get(&b, 12), BYTES_NONE);
}
END_TEST

/* What a client names in CMD_SEND need not exist: the reader gets zeros and an error, never a fault. */
START_TEST(stream_reads_of_foreign_ids_give_zeros)
{
	uint8_t dst[3 * BYTES_CHUNK];
	uint32_t good;

	add_segment(0);
	good = bytes_alloc(&pool);
	memset(bytes_at(&pool.map, good), 'g', BYTES_CHUNK);
	bytes_set(&b, 0, BYTES_NONE - 1, 8);
	bytes_set(&b, 1, good, 8);
	bytes_set(&b, 2, 5 * BYTES_SEG_CHUNKS + 5, 8);
	memset(dst, 'x', sizeof(dst));
	ck_assert_int_eq(bytes_read(&b, &pool.map, 0, dst, sizeof(dst)), -EFAULT);
	ck_assert_uint_eq(dst[0], 0);
	ck_assert_uint_eq(dst[BYTES_CHUNK - 1], 0);
	ck_assert_uint_eq(dst[BYTES_CHUNK], 'g');
	ck_assert_uint_eq(dst[2 * BYTES_CHUNK - 1], 'g');
	ck_assert_uint_eq(dst[2 * BYTES_CHUNK], 0);
	ck_assert_uint_eq(bytes_write(&b, &pool, 0, "a", 1, 8), 0); /* no writing there either */
	bytes_link(&b, &pool, 0, sizeof(dst));
	ck_assert_int_eq(bytes_read(&b, &pool.map, UINT64_MAX - 10, dst, 100), -EFAULT);
	for (int i = 0; i < 20000; i++) {
		bytes_set(&b, rnd(64), rnd(UINT32_MAX), 64);
		bytes_read(&b, &pool.map, ((uint64_t)rnd(UINT32_MAX) << 32) + rnd(UINT32_MAX), dst, rnd(sizeof(dst)));
		bytes_read(&b, &pool.map, rnd(64 * BYTES_CHUNK), dst, rnd(sizeof(dst)));
	}
	bytes_clear(&b, NULL);
	bytes_free(&pool, good);
}
END_TEST

/* Follow the links as a reader does, from the chunk that holds `off`. */
static void expect_chain(uint64_t off, size_t len)
{
	uint32_t id = bytes_get(&b, bytes_number(off));

	for (uint64_t at = off;;) {
		size_t in = at % BYTES_CHUNK, part = BYTES_CHUNK - in;
		const uint8_t *chunk = bytes_at(&pool.map, id);

		ck_assert_ptr_nonnull(chunk);
		if (part > off + len - at)
			part = off + len - at;
		for (size_t i = 0; i < part; i++)
			if (chunk[in + i] != byte_at(at + i))
				ck_abort_msg("byte at %llu", (unsigned long long)at + i);
		at += part;
		if (at == off + len)
			return;
		id = bytes_next(&pool.map, id);
	}
}

START_TEST(links_make_one_chain_over_adjoining_ranges)
{
	uint64_t off = bases[_i], end = off;

	if (off + 60000 < off) /* [from, to) does not wrap */
		off = end = 0;
	add_segment(0);
	write_true(off + 20000, 5000, 64); /* out of order: later chunks are held first */
	for (int i = 0; i < 12; i++) {
		size_t n = i % 3 == 0 ? BYTES_CHUNK - end % BYTES_CHUNK : 1 + rnd(5000);

		ck_assert_uint_eq(write_true(end, n, 64), n);
		bytes_link(&b, &pool, end, end + n);
		end += n;
		expect_chain(off, end - off);
	}
	bytes_link(&b, &pool, end, end);
	bytes_link(&b, &pool, end, off);
	bytes_link(&b, &pool, 0, UINT64_MAX);
	expect_chain(off, end - off);
}
END_TEST

START_TEST(last_link_is_none_not_stale)
{
	uint32_t id;

	add_segment(0);
	write_true(0, 3 * BYTES_CHUNK, 8);
	bytes_link(&b, &pool, 0, 3 * BYTES_CHUNK);
	id = bytes_get(&b, 1);
	ck_assert_uint_eq(bytes_next(&pool.map, id), bytes_get(&b, 2));
	bytes_drop(&b, &pool, 2);
	write_true(3 * BYTES_CHUNK, 2 * BYTES_CHUNK, 8); /* takes the freed ones again */
	ck_assert(bytes_get(&b, 4) == id || bytes_get(&b, 3) == id);
	bytes_link(&b, &pool, 3 * BYTES_CHUNK, 5 * BYTES_CHUNK);
	ck_assert_uint_eq(bytes_next(&pool.map, bytes_get(&b, 4)), BYTES_NONE);
	expect_chain(2 * BYTES_CHUNK, 3 * BYTES_CHUNK);
}
END_TEST

/* --- Against a model -------------------------------------------------------------------------------------------------- */
enum { WIN = 40 * BYTES_CHUNK, CHUNKS = WIN / BYTES_CHUNK };

static struct {
	uint64_t base; /* chunk aligned; everything below is dropped */
	uint8_t byte[WIN];
	bool held[CHUNKS];
} model;

static uint32_t model_held(void)
{
	uint32_t n = 0;

	for (int i = 0; i < CHUNKS; i++)
		n += model.held[i];
	return n;
}

static void model_write(uint32_t at, uint32_t len)
{
	uint8_t src[9000] = { 0 };
	size_t n;

	for (uint32_t i = 0; i < len; i++)
		src[i] = (uint8_t)rnd(256);
	n = bytes_write(&b, &pool, model.base + at, src, len, CHUNKS);
	for (uint32_t c = at / BYTES_CHUNK; n > 0 && c <= (at + n - 1) / BYTES_CHUNK; c++) {
		if (!model.held[c]) { /* what a fresh chunk has elsewhere is not promised: take it as it is */
			bytes_read(&b, &pool.map, model.base + c * BYTES_CHUNK, model.byte + c * BYTES_CHUNK, BYTES_CHUNK);
			model.held[c] = true;
		}
	}
	memcpy(model.byte + at, src, n);
	if (n < len)
		ck_assert_uint_eq(pool.free_count, 0);
}

static void model_read(uint32_t at, uint32_t len)
{
	uint8_t dst[9000];
	int rc = bytes_read(&b, &pool.map, model.base + at, dst, len), want = 0;

	for (uint32_t i = 0; i < len; i++) {
		bool held = model.held[(at + i) / BYTES_CHUNK];

		if (dst[i] != (held ? model.byte[at + i] : 0))
			ck_abort_msg("byte %u of %u at %u after base", i, len, at);
		if (!held)
			want = -EFAULT;
	}
	ck_assert_int_eq(rc, want);
}

static void model_drop(uint32_t chunks)
{
	bytes_drop(&b, &pool, bytes_number(model.base) + chunks);
	memmove(model.byte, model.byte + chunks * BYTES_CHUNK, WIN - chunks * BYTES_CHUNK);
	memmove(model.held, model.held + chunks, CHUNKS - chunks);
	memset(model.held + CHUNKS - chunks, 0, chunks);
	model.base += chunks * (uint64_t)BYTES_CHUNK;
}

static void model_step(void)
{
	uint32_t at = rnd(WIN), len = rnd(9000);

	if (len > WIN - at)
		len = WIN - at;
	switch (rnd(16)) {
	case 0:
		model_drop(rnd(4));
		break;
	case 1:
		if (rnd(8) == 0)
			model_drop(CHUNKS);
		break;
	case 2:
		if (rnd(50) == 0) {
			bytes_clear(&b, &pool);
			memset(model.held, 0, sizeof(model.held));
		}
		break;
	case 3: case 4: case 5: case 6: case 7:
		model_write(at, len);
		break;
	default:
		model_read(at, len);
	}
	ck_assert_uint_eq(pool.used_count, model_held());
	ck_assert_uint_eq(b.ring == NULL, b.cap == 1);
	ck_assert(b.count > 0 || b.ring == NULL);
	if (b.count > 0)
		ck_assert_uint_ne(bytes_get(&b, b.first), BYTES_NONE);
}

START_TEST(random_use_equals_the_model)
{
	add_segment(0);
	if (_i % 2) /* every second run is short of memory */
		for (int i = 0; i < PER_SEG - 20; i++)
			bytes_alloc(&pool);
	pool.used_count = 0;
	memset(&model, 0, sizeof(model));
	model.base = bases[_i] / BYTES_CHUNK * BYTES_CHUNK - 64 * BYTES_CHUNK;
	rnd_state = 88172645463325252u + (uint64_t)_i;
	for (int i = 0; i < 6000; i++)
		model_step();
	/* it has passed the offset that the base is about */
	ck_assert_uint_lt(model.base - bases[_i] - 2 * BYTES_CHUNK, UINT64_C(1) << 32);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bytes");
	TCase *t = tcase_create("bytes");
	SRunner *r;
	int failed;

	rnd_state = 88172645463325252u;
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, any_id_is_safe);
	tcase_add_test(t, pool_refuses_bad_segments);
	tcase_add_test(t, pool_gives_each_chunk_once);
	tcase_add_test(t, pool_ignores_double_free);
	tcase_add_test(t, pool_prefers_low_segments_and_gives_back_high_ones);
	tcase_add_loop_test(t, stream_keeps_bytes_across_chunks, 0, BASES);
	tcase_add_loop_test(t, stream_takes_bytes_in_any_order, 0, BASES);
	tcase_add_test(t, stream_drop_skips_holes);
	tcase_add_loop_test(t, stream_span_is_bounded, 0, BASES);
	tcase_add_test(t, stream_stops_when_the_pool_is_empty);
	tcase_add_test(t, stream_set_replaces_and_refuses_none);
	tcase_add_test(t, stream_reads_of_foreign_ids_give_zeros);
	tcase_add_loop_test(t, links_make_one_chain_over_adjoining_ranges, 0, BASES);
	tcase_add_test(t, last_link_is_none_not_stale);
	tcase_add_loop_test(t, random_use_equals_the_model, 0, BASES);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
