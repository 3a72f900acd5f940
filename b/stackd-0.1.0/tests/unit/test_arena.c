/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The arena's writer, seen through its reader: by cases, against a plain model of a stream, and out of memory all the
 * time.
 */
#include "tests/unit/arena_fixture.h"

#include <errno.h>

#include "stackd/mon/arena_priv.h"

enum { SERIAL = 7, C = MON_CHUNK };

/* [from, to) is there, with the right bytes, in version policy. */
static void holds(uint32_t rec, uint64_t serial, unsigned side, unsigned policy, uint64_t from, uint64_t to, unsigned variant)
{
	struct mon_rec r = rec_of(rec, serial);
	uint8_t *buf = malloc(to - from);
	uint64_t i = from;

	ck_assert_uint_eq(mon_read_stream(&reader, &r, side, policy, from, buf, to - from), to - from);
	while (i < to && buf[i - from] == (byte_at(serial, side, i) | variant))
		i++;
	ck_assert_uint_eq(i, to);
	free(buf);
}

static bool there(uint32_t rec, uint64_t serial, unsigned side, unsigned policy, uint64_t off)
{
	struct mon_rec r = rec_of(rec, serial);
	uint8_t b;

	return mon_read_stream(&reader, &r, side, policy, off, &b, 1) == 1;
}

/* And the bytes before and after it are not. */
static void has(uint32_t rec, uint64_t serial, unsigned side, unsigned policy, uint64_t from, uint64_t to, unsigned variant)
{
	holds(rec, serial, side, policy, from, to, variant);
	ck_assert(from == 0 || !there(rec, serial, side, policy, from - 1));
	ck_assert(!there(rec, serial, side, policy, to));
}

static struct arena_figures figures(void)
{
	struct arena_figures f;

	arena_figures(arena, &f);
	return f;
}

static uint64_t part_of(const struct chunk *c)
{
	uint64_t lo = stream_of(arena, c->stream)->lo;

	return lo + (uint32_t)(c->number - (uint32_t)lo);
}

/* What must be true of the private part, always. */
static void sane(void)
{
	uint32_t held = 0, free_count = 0, data = 0, listed = 0;

	for (uint32_t id = arena->free.first; id != MON_NONE; id = arena->chunk[id].link[LINK_OWN].next)
		free_count++;
	for (uint32_t id = arena->age.first; id != MON_NONE; id = arena->chunk[id].link[LINK_AGE].next)
		ck_assert_uint_eq(arena->chunk[id].kind, CHUNK_DATA);
	ck_assert_uint_eq(free_count, arena->free_count);
	for (uint32_t id = 0; id < arena->chunks_touched; id++) {
		const struct chunk *c = &arena->chunk[id];

		if (!c->held || c->gen != stream_of(arena, c->stream)->gen)
			continue;
		held++;
		ck_assert_uint_ge(part_of(c), c->kind == CHUNK_DATA ? stream_of(arena, c->stream)->head / C : 0);
		data += c->kind == CHUNK_DATA;
		ck_assert_uint_ne(c->in, 0);
		if (c->kind == CHUNK_INDEX) {
			uint32_t used = 0;

			for (uint32_t i = 0; i < arena->chunks_touched; i++) {
				const struct chunk *d = &arena->chunk[i];

				used += d->held && d->kind == CHUNK_DATA && d->stream == c->stream && d->gen == c->gen &&
					(uint32_t)(part_of(d) / MON_INDEX_IDS) == c->number && (d->in & c->in) != 0;
			}
			ck_assert_uint_eq(used, c->used);
		}
	}
	for (uint32_t i = arena->queue[FULL].first; i != MON_NONE; i = arena->record[i].after[FULL]) {
		ck_assert(!arena->record[i].open);
		ck_assert_uint_gt(arena->record[i].side[0].count + arena->record[i].side[1].count, 0);
	}
	for (uint32_t s = 0; s < arena->records_touched * 2; s++) {
		listed += stream_of(arena, s)->count;
		ck_assert(stream_of(arena, s)->count > 0 || stream_of(arena, s)->index.first == MON_NONE);
	}
	ck_assert_uint_eq(listed, data);
	ck_assert_uint_eq(held + free_count, arena->chunks_touched);
}

/* --- One stream ------------------------------------------------------------------------------------------------- */

START_TEST(conf_is_checked)
{
	static const struct arena_conf bad[] = {
		{ 1 << 20, 65536, 0, 16 },               /* no flows */
		{ 1 << 20, 65536, 16, 0 },               /* no span */
		{ 1 << 20, 65536, 16, MON_SPAN_MAX + 1 },
		{ 1 << 20, 65537, 16, 16 },              /* no power of two */
		{ 1 << 20, 1 << 19, 16, 16 },            /* half of it is log */
		{ 1 << 20, 2048, 16, 16 },
		{ 32768, 4096, 16, 16 },                 /* no room for chunks */
		{ 1 << 20, 65536, 1 << 20, 16 },         /* nor for records */
		{ 1 << 20, 65536, 2500, 16 },            /* fewer than one chunk per 64 flows */
		{ UINT64_MAX, 65536, 16, 16 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(arena_create(&bad[i], &mem, &arena) == -EINVAL, "conf %zu", i);
	arena_destroy(NULL);
}
END_TEST

START_TEST(in_order_bytes_are_exact)
{
	static const uint32_t seg[] = { 1, 1460, 536, 4096, 9000, 65535, 3 };
	uint64_t off = 0;
	uint32_t rec;

	make(4, 200, 200);
	rec = arena_open(arena, SERIAL, 1);
	for (unsigned i = 0; off < 300000; i++) {
		uint32_t len = seg[i % 7];

		ck_assert_uint_eq(put(rec, SERIAL, 1, off, len), len);
		off += len;
	}
	has(rec, SERIAL, 1, MON_FIRST, 0, off, 0);
	has(rec, SERIAL, 1, MON_LAST, 0, off, 0);
	ck_assert(!there(rec, SERIAL, 0, MON_FIRST, 0));
	sane();
	unmake();
}
END_TEST

START_TEST(small_flows_need_no_index)
{
	uint32_t rec;

	make(4, 20, 16);
	rec = arena_open(arena, SERIAL, 1);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 0, 4 * C), 4 * C);
	ck_assert_uint_eq(figures().chunks_used, 4);
	ck_assert_uint_eq(rec_of(rec, SERIAL).side[0].where[0].index[0], MON_NONE);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 4 * C, 1), 1);
	ck_assert_uint_eq(figures().chunks_used, 6);
	has(rec, SERIAL, 0, MON_LAST, 0, 4 * C + 1, 0);
	arena_trim(arena, rec, 0, 4 * C + 1); /* the chunk stays: there is room in it */
	ck_assert_uint_eq(figures().chunks_used, 2);
	arena_trim(arena, rec, 0, 5 * C); /* with the last chunk the index goes */
	ck_assert_uint_eq(figures().chunks_used, 0);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 5 * C, 10), 10);
	ck_assert_uint_eq(figures().chunks_used, 1);
	has(rec, SERIAL, 0, MON_FIRST, 5 * C, 5 * C + 10, 0);
	sane();
	unmake();
}
END_TEST

START_TEST(out_of_order_bytes_are_exact)
{
	enum { PART = 1000, PARTS = 100 };
	struct mon_piece piece[PARTS];
	struct mon_rec r;
	uint32_t rec;

	make(4, 200, 200);
	rec = arena_open(arena, SERIAL, 1);
	for (unsigned i = PARTS; i-- > 0;)
		if (i % 2 == 0)
			ck_assert_uint_eq(put(rec, SERIAL, 0, i * PART, PART), PART);
	r = rec_of(rec, SERIAL);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, MON_FIRST, 0, UINT64_MAX, piece, PARTS), PARTS / 2);
	for (unsigned i = 0; i < PARTS / 2; i++) {
		ck_assert_uint_eq(piece[i].from, i * 2 * PART);
		ck_assert_uint_eq(piece[i].to, (i * 2 + 1) * PART);
		has(rec, SERIAL, 0, MON_LAST, piece[i].from, piece[i].to, 0);
		ck_assert_uint_eq(mon_find(&reader, &r, 0, MON_LAST, piece[i].from + 5, UINT64_MAX), piece[i].from + 5);
		ck_assert_uint_eq(mon_find(&reader, &r, 0, MON_LAST, piece[i].to, UINT64_MAX),
				  i + 1 < PARTS / 2 ? piece[i].to + PART : UINT64_MAX);
		ck_assert_uint_eq(mon_find(&reader, &r, 0, MON_LAST, piece[i].to, piece[i].to + PART), UINT64_MAX);
	}
	for (unsigned i = 1; i < PARTS; i += 2)
		ck_assert_uint_eq(put(rec, SERIAL, 0, i * PART - 10, PART + 20), PART + (i == PARTS - 1 ? 10 : 0));
	has(rec, SERIAL, 0, MON_FIRST, 0, PARTS * PART + 10, 0);
	r = rec_of(rec, SERIAL);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, MON_FIRST, 0, UINT64_MAX, piece, PARTS), 1);
	sane();
	unmake();
}
END_TEST

/* Two pieces are there; a third comes at every place relative to them, here and across the border of two chunks. */
START_TEST(overlaps_of_all_placements)
{
	uint64_t base = _i == 0 ? 0 : C - 25, serial = 1;

	make(2000, 4000, 16);
	for (unsigned from = 5; from < 45; from++) {
		for (unsigned to = from + 1; to <= 46; to++, serial++) {
			uint32_t rec = arena_open(arena, serial, 1), fresh = 0;
			bool two = false;
			struct mon_rec r;

			put(rec, serial, 0, base + 10, 10);
			put(rec, serial, 0, base + 30, 10);
			for (unsigned i = from; i < to; i++)
				fresh += !((i >= 10 && i < 20) || (i >= 30 && i < 40));
			two = fresh < to - from;
			ck_assert_uint_eq(put_variant(rec, serial, 0, base + from, to - from, 2), fresh);
			r = rec_of(rec, serial);
			ck_assert_int_eq((r.side[0].flags & MON_SIDE_TWO) != 0, two);
			for (unsigned i = 0; i < 50; i++) {
				bool old = (i >= 10 && i < 20) || (i >= 30 && i < 40), new = i >= from && i < to;
				uint8_t b, want = byte_at(serial, 0, base + i);

				for (unsigned p = 0; p < MON_POLICIES; p++) {
					size_t n = mon_read_stream(&reader, &r, 0, p, base + i, &b, 1);

					ck_assert_uint_eq(n, old || new);
					if (n == 1)
						ck_assert_uint_eq(b, want | (new && (p == MON_LAST || !old) ? 2 : 0));
				}
			}
		}
	}
	sane();
	unmake();
}
END_TEST

START_TEST(equal_overlaps_share_chunks)
{
	uint32_t rec;

	make(4, 20, 16);
	rec = arena_open(arena, SERIAL, 1);
	put(rec, SERIAL, 0, 0, 3000);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 1000, 2500), 500);
	ck_assert_uint_eq(figures().chunks_used, 1);
	ck_assert_uint_eq(rec_of(rec, SERIAL).side[0].flags & MON_SIDE_TWO, 0);
	ck_assert_uint_eq(put_variant(rec, SERIAL, 0, 3499, 2, 1), 1);
	ck_assert_uint_eq(figures().chunks_used, 2);
	/* appended bytes are in both from now on */
	ck_assert_uint_eq(put(rec, SERIAL, 0, 3501, 5000), 5000);
	ck_assert_uint_eq(figures().chunks_used, 4);
	holds(rec, SERIAL, 0, MON_LAST, 0, 3499, 0);
	holds(rec, SERIAL, 0, MON_LAST, 3499, 3501, 1);
	holds(rec, SERIAL, 0, MON_LAST, 3501, 8501, 0);
	holds(rec, SERIAL, 0, MON_FIRST, 0, 3500, 0);
	holds(rec, SERIAL, 0, MON_FIRST, 3501, 8501, 0);
	unmake();
}
END_TEST

START_TEST(pieces_beyond_the_table_are_dropped_and_counted)
{
	uint32_t rec;

	make(4, 20, 16);
	rec = arena_open(arena, SERIAL, 1);
	for (unsigned i = 0; i < MON_RANGES; i++)
		ck_assert_uint_eq(put(rec, SERIAL, 0, i * 100, 10), 10);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 2000, 10), 0);
	ck_assert_uint_eq(figures().pieces_dropped, 1);
	ck_assert(!there(rec, SERIAL, 0, MON_FIRST, 2000));
	/* what touches a piece needs no entry */
	ck_assert_uint_eq(put(rec, SERIAL, 0, 910, 10), 10);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 10, 90), 90);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 2000, 10), 10);
	ck_assert_uint_eq(figures().pieces_dropped, 1);
	has(rec, SERIAL, 0, MON_LAST, 0, 110, 0);
	has(rec, SERIAL, 0, MON_LAST, 900, 920, 0);
	unmake();
}
END_TEST

/* --- Against a model -------------------------------------------------------------------------------------------- */

enum { MODEL = 40 * C };
struct model {
	uint8_t byte[MON_POLICIES][MODEL];
	bool there[MODEL];
};

/* Would the table take [from, to), which lies in one chunk? */
static bool model_takes(const struct model *m, uint32_t from, uint32_t to)
{
	uint32_t base = from / C * C, runs = 0;

	for (uint32_t i = base; i < base + C; i++)
		runs += m->there[i] && (i == base || !m->there[i - 1]);
	for (uint32_t i = from; i < to; i++)
		if (m->there[i])
			return true;
	return runs < MON_RANGES || (from > base && m->there[from - 1]) || (to < base + C && m->there[to]);
}

static uint32_t model_put(struct model *m, uint32_t off, const uint8_t *bytes, uint32_t len)
{
	uint32_t fresh = 0, part;

	for (uint32_t at = 0; at < len; at += part) {
		part = C - (off + at) % C;
		part = part < len - at ? part : len - at;
		if (!model_takes(m, off + at, off + at + part))
			continue;
		for (uint32_t i = at; i < at + part; i++) {
			fresh += !m->there[off + i];
			if (!m->there[off + i])
				m->byte[MON_FIRST][off + i] = bytes[i];
			m->byte[MON_LAST][off + i] = bytes[i];
			m->there[off + i] = true;
		}
	}
	return fresh;
}

static void model_same(const struct model *m, uint32_t rec)
{
	struct mon_rec r = rec_of(rec, SERIAL);
	static uint8_t buf[MODEL + 1];

	for (unsigned p = 0; p < MON_POLICIES; p++) {
		for (uint32_t i = 0, end; i < MODEL; i = end) {
			for (end = i; end < MODEL && m->there[end] == m->there[i]; end++)
				;
			if (!m->there[i]) {
				ck_assert_uint_eq(mon_find(&reader, &r, 0, p, i, MODEL), end < MODEL ? end : UINT64_MAX);
				continue;
			}
			ck_assert_uint_eq(mon_read_stream(&reader, &r, 0, p, i, buf, MODEL - i), end - i);
			ck_assert_int_eq(memcmp(buf, &m->byte[p][i], end - i), 0);
		}
	}
}

START_TEST(random_writes_equal_the_model)
{
	static struct model m;
	uint64_t seed = 0x1234567 + (unsigned)_i * 99991;
	static uint8_t buf[20000];
	uint32_t rec;

	memset(&m, 0, sizeof(m));
	make(4, 200, 64);
	rec = arena_open(arena, SERIAL, 1);
	for (unsigned i = 0; i < 600; i++) {
		uint32_t len = 1 + rnd(&seed, i % 7 == 0 ? 20000 : 300);
		uint32_t off = rnd(&seed, (i < 300 ? MODEL / 8 : MODEL) - len % 4096), fresh;
		bool same = rnd(&seed, 3) != 0;

		len = off + len > MODEL ? MODEL - off : len;
		for (uint32_t k = 0; k < len; k++)
			buf[k] = same ? byte_at(SERIAL, 0, off + k) : (uint8_t)rnd(&seed, 256);
		fresh = model_put(&m, off, buf, len);
		ck_assert_uint_eq(arena_write(arena, rec, 0, off, buf, len), fresh);
		if (i % 20 == 0)
			model_same(&m, rec);
	}
	model_same(&m, rec);
	sane();
	arena_drop(arena, rec, 0);
	ck_assert_uint_eq(figures().chunks_used, 0);
	ck_assert_uint_eq(rec_of(rec, SERIAL).side[0].flags & MON_SIDE_TWO, 0);
	ck_assert(!there(rec, SERIAL, 0, MON_FIRST, 0));
	unmake();
}
END_TEST

/* --- Long streams ----------------------------------------------------------------------------------------------- */

START_TEST(span_pushes_the_head)
{
	enum { SPAN = 16 };
	uint32_t rec;

	make(4, 64, SPAN);
	rec = arena_open(arena, SERIAL, 1);
	for (unsigned i = 0; i < 40; i++) {
		put(rec, SERIAL, 0, i * C, C);
		ck_assert_uint_eq(rec_of(rec, SERIAL).side[0].head, i < SPAN ? 0 : (i - SPAN + 1) * C);
	}
	ck_assert_uint_eq(figures().chunks_used, SPAN + 1);
	ck_assert_uint_eq(figures().evicted, 0);
	has(rec, SERIAL, 0, MON_FIRST, 24 * C, 40 * C, 0);
	/* below the head nothing is taken, a piece across it in part */
	ck_assert_uint_eq(put(rec, SERIAL, 0, 0, 100), 0);
	arena_trim(arena, rec, 0, 40 * C + 50);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 40 * C, 100), 50);
	has(rec, SERIAL, 0, MON_FIRST, 40 * C + 50, 40 * C + 100, 0);
	arena_trim(arena, rec, 0, 40 * C + 70); /* what is below it is not told, though the chunk stays */
	has(rec, SERIAL, 0, MON_FIRST, 40 * C + 70, 40 * C + 100, 0);
	arena_trim(arena, rec, 0, 40 * C); /* never back */
	ck_assert_uint_eq(rec_of(rec, SERIAL).side[0].head, 40 * C + 70);
	/* one piece longer than the span, and jumps */
	ck_assert_uint_eq(put(rec, SERIAL, 0, 50 * C, 65535), 65535);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 1000000 * (uint64_t)C, 1), 1);
	ck_assert_uint_eq(figures().chunks_used, 1);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 1000001 * (uint64_t)C - 3, 65535), 65535);
	ck_assert_uint_eq(put(rec, SERIAL, 0, UINT64_MAX - 70000, 65535), 65535);
	ck_assert_uint_eq(put(rec, SERIAL, 0, UINT64_MAX - 10, 100), 0);
	sane();
	unmake();
}
END_TEST

/* Bytes far ahead take no room from those before them, until there are as many as a stream may span, or too many places. */
START_TEST(parts_far_apart)
{
	uint64_t far = (uint64_t)65535 << 14, step = (uint64_t)MON_INDEX_IDS * C;
	struct mon_piece piece[20];
	uint8_t last[10];
	struct mon_rec r;
	uint32_t rec;

	make(4, 100, 16);
	rec = arena_open(arena, SERIAL, 1);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 0, 5), 5);
	ck_assert_uint_eq(put(rec, SERIAL, 0, far - 4, 4), 4);
	ck_assert_uint_eq(put(rec, SERIAL, 0, far - 9, 9), 5);
	r = rec_of(rec, SERIAL);
	ck_assert_uint_eq(r.side[0].head, 0);
	has(rec, SERIAL, 0, MON_FIRST, 0, 5, 0);
	has(rec, SERIAL, 0, MON_FIRST, far - 9, far, 0);
	ck_assert_uint_eq(mon_find(&reader, &r, 0, MON_FIRST, 5, UINT64_MAX), far - 9);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, MON_LAST, 0, UINT64_MAX, piece, 20), 2);
	sane();
	/* two versions there, and one of them alone in between; index chunks that would have the same place */
	ck_assert_uint_eq(put_variant(rec, SERIAL, 0, far - 4, 4, 1), 0);
	for (unsigned i = 1; i < MON_INDEX - 1; i++)
		ck_assert_uint_eq(put(rec, SERIAL, 0, i * MON_INDEX * step + i, 1), 1);
	r = rec_of(rec, SERIAL);
	ck_assert_uint_eq(r.side[0].head, 0);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, MON_FIRST, 0, UINT64_MAX, piece, 20), MON_INDEX);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, MON_LAST, 0, UINT64_MAX, piece, 20), MON_INDEX);
	for (unsigned i = 1; i < MON_INDEX - 1; i++)
		ck_assert(there(rec, SERIAL, 0, MON_LAST, i * MON_INDEX * step + i));
	has(rec, SERIAL, 0, MON_FIRST, far - 9, far, 0);
	ck_assert_uint_eq(mon_read_stream(&reader, &r, 0, MON_LAST, far - 4, last, 10), 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(last[i], byte_at(SERIAL, 0, far - 4 + i) | 1);
	sane();
	/* a place too many */
	ck_assert_uint_eq(put(rec, SERIAL, 0, 200 * step, 1), 1);
	r = rec_of(rec, SERIAL);
	ck_assert_uint_eq(r.side[0].head, 200 * step - 15 * C);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, MON_FIRST, 0, UINT64_MAX, piece, 20), 2);
	sane();
	/* chunks too many */
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(put(rec, SERIAL, 0, 200 * step + i * C + 100, 1), 1);
	ck_assert_uint_eq(put(rec, SERIAL, 0, 300 * step, 1), 1);
	ck_assert_uint_eq(rec_of(rec, SERIAL).side[0].head, 300 * step - 15 * C);
	/* too far */
	ck_assert_uint_eq(put(rec, SERIAL, 0, 300 * step + MON_APART_MAX * (uint64_t)C, 1), 1);
	ck_assert_uint_eq(figures().chunks_used, 1);
	sane();
	unmake();
}
END_TEST

/* Parts are numbered by 32 bits in the table; a stream may be longer. */
START_TEST(beyond_16_TiB)
{
	uint64_t edge = (uint64_t)C << 32, start = edge - 8 * C;
	uint32_t rec;

	make(4, 64, 32);
	rec = arena_open(arena, SERIAL, 1);
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(put(rec, SERIAL, 0, start + i * C, C), C);
	has(rec, SERIAL, 0, MON_FIRST, start, start + 16 * C, 0);
	ck_assert_uint_eq(put_variant(rec, SERIAL, 0, edge - C, 2 * C, 1), 0);
	has(rec, SERIAL, 0, MON_FIRST, start, start + 16 * C, 0);
	ck_assert(there(rec, SERIAL, 0, MON_LAST, edge));
	sane();
	unmake();
}
END_TEST

/* A byte per chunk, two pairs of which adjoin: 9000 chunks, more than the ring of index chunks holds. */
START_TEST(index_of_the_longest_stream_goes_round)
{
	enum { END = 9000 };
	struct mon_piece first;
	uint32_t rec;
	struct mon_rec r;

	make(4, MON_SPAN_MAX + 20, MON_SPAN_MAX);
	rec = arena_open(arena, SERIAL, 1);
	for (uint64_t i = 0; i < END; i++) {
		uint64_t at[] = { 0, 1023, 1024, 4097, 7167 };

		ck_assert_uint_eq(put(rec, SERIAL, 0, i * C + i % C, 1), 1);
		for (unsigned k = 0; k < 5 && i % 256 == 0; k++) {
			uint64_t n = i - at[k];

			if (i >= at[k])
				ck_assert_msg(there(rec, SERIAL, 0, MON_LAST, n * C + n % C), "%u of %u", (unsigned)n, (unsigned)i);
		}
	}
	r = rec_of(rec, SERIAL);
	ck_assert_uint_eq(r.side[0].head, (uint64_t)(END - MON_SPAN_MAX) * C);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, MON_FIRST, 0, UINT64_MAX, &first, 1), MON_SPAN_MAX - 2);
	ck_assert_uint_eq(first.from, (uint64_t)(END - MON_SPAN_MAX) * C + END - MON_SPAN_MAX);
	/* far out of order both ways, with holes of whole index chunks */
	arena_drop(arena, rec, 0);
	ck_assert_uint_eq(figures().chunks_used, 0);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(put(rec, SERIAL, 0, (uint64_t)(20000 - (i % 3) * 3000) * C + i, 1), 1);
	r = rec_of(rec, SERIAL);
	ck_assert_uint_eq(mon_pieces(&reader, &r, 0, MON_FIRST, 0, UINT64_MAX, &first, 1), 6);
	ck_assert_uint_eq(first.from, (uint64_t)14000 * C + 2);
	sane();
	unmake();
}
END_TEST

START_TEST(two_versions_of_an_indexed_stream)
{
	enum { CHUNKS = 1100 };
	uint32_t rec, one;

	make(4, CHUNKS * 2 + 20, 2048);
	rec = arena_open(arena, SERIAL, 1);
	put_variant(rec, SERIAL, 0, 2 * C, C, 1);
	put_variant(rec, SERIAL, 0, 2 * C, C, 2); /* apart before there is an index */
	for (unsigned i = 3; i < CHUNKS; i++)
		put_variant(rec, SERIAL, 0, i * C, C, 1);
	one = (uint32_t)figures().chunks_used;
	ck_assert_uint_eq(one, CHUNKS - 1 + 3); /* 1 data chunk more; 2 index chunks, the first twice */
	put_variant(rec, SERIAL, 0, 1050 * C + 1, 10, 2);
	ck_assert_uint_eq(figures().chunks_used, one + 2); /* the second index chunk, too */
	put_variant(rec, SERIAL, 0, 0, 2 * C, 1);
	has(rec, SERIAL, 0, MON_FIRST, 0, CHUNKS * C, 1);
	holds(rec, SERIAL, 0, MON_LAST, 0, 2 * C, 1);
	holds(rec, SERIAL, 0, MON_LAST, 2 * C, 3 * C, 2);
	holds(rec, SERIAL, 0, MON_LAST, 3 * C, 1050 * C + 1, 1);
	holds(rec, SERIAL, 0, MON_LAST, 1050 * C + 1, 1050 * C + 11, 2);
	put_variant(rec, SERIAL, 0, 0, 65535, 3);
	has(rec, SERIAL, 0, MON_FIRST, 0, CHUNKS * C, 1);
	holds(rec, SERIAL, 0, MON_LAST, 0, 65535, 3);
	holds(rec, SERIAL, 0, MON_LAST, 65535, 1050 * C + 1, 1);
	for (unsigned i = CHUNKS; i < CHUNKS + 5; i++)
		put_variant(rec, SERIAL, 0, i * C, C, 1);
	has(rec, SERIAL, 0, MON_FIRST, 0, (CHUNKS + 5) * C, 1);
	sane();
	arena_trim(arena, rec, 0, CHUNKS * C);
	sane();
	arena_trim(arena, rec, 0, (CHUNKS + 5) * C);
	ck_assert_uint_eq(figures().chunks_used, 0);
	unmake();
}
END_TEST

/* --- Many streams ----------------------------------------------------------------------------------------------- */

START_TEST(records_are_used_again_oldest_first)
{
	struct mon_rec r;

	make(4, 64, 16);
	for (uint64_t i = 1; i <= 4; i++)
		ck_assert_uint_eq(arena_open(arena, i, i * 10), i - 1);
	ck_assert_uint_eq(arena_open(arena, 5, 1), MON_NONE);
	ck_assert_uint_eq(figures().records_used, 4);
	put(2, 3, 0, 0, 100);
	arena_close(arena, 2);
	arena_close(arena, 0);
	arena_close(arena, 2); /* twice, out of range: nothing */
	arena_close(arena, 77);
	ck_assert_uint_eq(figures().records_used, 2);
	has(2, 3, 0, MON_FIRST, 0, 100, 0); /* readable after its end */
	ck_assert_uint_eq(put(2, 3, 0, 100, 100), 0);
	ck_assert_uint_eq(rec_of(2, 3).born_us, 30);
	ck_assert_uint_eq(arena_open(arena, 6, 60), 2);
	ck_assert_int_eq(mon_read_rec(&reader, 2, 3, &r), -ESTALE);
	ck_assert_int_eq(mon_read_rec(&reader, 2, 6, &r), 0);
	ck_assert_uint_eq(r.side[0].state, MON_STATE_NONE);
	ck_assert(!there(2, 6, 0, MON_FIRST, 0));
	ck_assert_uint_eq(figures().chunks_used, 0);
	ck_assert_uint_eq(arena_open(arena, 7, 70), 0);
	ck_assert_uint_eq(arena_open(arena, 8, 80), MON_NONE);
	ck_assert_int_eq(mon_read_rec(&reader, 4, 8, &r), -ERANGE);
	unmake();
}
END_TEST

START_TEST(what_a_caller_changes_is_published)
{
	struct mon_rec *w, before, after;

	make(4, 64, 16);
	arena_open(arena, SERIAL, 9);
	put(0, SERIAL, 1, 0, 10);
	before = rec_of(0, SERIAL);
	w = arena_change(arena, 0);
	w->pkts = 3;
	w->side[1].port = 80;
	w->side[1].next = 10;
	w->side[1].addr.b[15] = 1;
	arena_changed(arena, 0);
	after = rec_of(0, SERIAL);
	ck_assert_uint_eq(after.version, before.version + 2);
	ck_assert_uint_eq(after.pkts, 3);
	ck_assert_uint_eq(after.side[1].port, 80);
	ck_assert_uint_eq(after.side[1].next, 10);
	ck_assert_uint_eq(after.side[1].addr.b[15], 1);
	has(0, SERIAL, 1, MON_FIRST, 0, 10, 0);
	arena_change(arena, 0);
	arena_changed(arena, 0); /* nothing differs: nobody need read it again */
	ck_assert_uint_eq(rec_of(0, SERIAL).version, after.version);
	unmake();
}
END_TEST

/* Those of closed records, oldest first, then the oldest of the living. */
START_TEST(closed_first_then_oldest_living)
{
	enum { FLOWS = 64 };
	uint32_t n, k;

	make(FLOWS, 24, 64);
	n = arena_chunks(arena);
	ck_assert_uint_lt(n, FLOWS - 8);
	/* one chunk each: 0 is the oldest, 1 and 2 will be closed, 2 before 1 */
	for (k = 0; k < n; k++) {
		ck_assert_uint_eq(arena_open(arena, k + 1, 1), k);
		put(k, k + 1, 0, 0, 100);
		in_order(k, 0, 100);
	}
	ck_assert_uint_eq(figures().chunks_used, n);
	arena_close(arena, 2);
	arena_close(arena, 1);
	for (; k < n + 4; k++) {
		ck_assert_uint_eq(arena_open(arena, k + 1, 1), k);
		ck_assert_uint_eq(put(k, k + 1, 0, 0, 100), 100);
		ck_assert_uint_eq(figures().evicted, k < n + 2 ? 0 : k - n - 1);
		ck_assert_uint_eq(there(2, 3, 0, MON_FIRST, 0), false);
		ck_assert_uint_eq(there(1, 2, 0, MON_FIRST, 0), k < n + 1);
		ck_assert_uint_eq(there(0, 1, 0, MON_FIRST, 0), k < n + 2);
		ck_assert_uint_eq(there(3, 4, 0, MON_FIRST, 0), k < n + 3);
		sane();
	}
	has(4, 5, 0, MON_FIRST, 0, 100, 0);
	/* the head tells of what was in order */
	ck_assert_uint_eq(rec_of(0, 1).side[0].head, 100);
	ck_assert_uint_eq(put(0, 1, 0, 50, 100), 50);
	ck_assert_uint_eq(figures().evicted, 3);
	ck_assert_uint_eq(((struct mon_arena *)mem.base)->evicted, 3);
	/* given back by hand comes before all these */
	arena_trim(arena, 10, 0, C);
	put(10, 11, 0, C, 1);
	ck_assert_uint_eq(figures().evicted, 3);
	unmake();
}
END_TEST

/* A stream alone in a full arena eats its own tail. */
START_TEST(one_stream_larger_than_the_arena)
{
	enum { BYTES = 820000 };
	uint32_t rec, n;

	make(4, 16, 1000);
	n = arena_chunks(arena);
	rec = arena_open(arena, SERIAL, 1);
	for (uint64_t off = 0; off < BYTES; off += 1000) {
		ck_assert_uint_eq(put(rec, SERIAL, 0, off, 1000), 1000);
		in_order(rec, 0, off + 1000);
	}
	ck_assert_uint_eq(figures().chunks_used, n);
	ck_assert_uint_eq(rec_of(rec, SERIAL).side[0].head, (BYTES / C + 1 - (n - 1)) * (uint64_t)C);
	has(rec, SERIAL, 0, MON_FIRST, rec_of(rec, SERIAL).side[0].head, BYTES, 0);
	sane();
	unmake();
}
END_TEST

/* The chunk whose bytes come in two versions is the oldest in a full arena: the room for the second is made of
 * another. */
START_TEST(room_for_a_second_version)
{
	uint32_t n;

	make(128, 8, 64);
	n = arena_chunks(arena);
	for (uint32_t i = 0; i < n; i++) {
		arena_open(arena, i + 1, 1);
		put(i, i + 1, 0, 0, 100);
	}
	ck_assert_uint_eq(put_variant(0, 1, 0, 50, 100, 3), 50);
	ck_assert_uint_eq(figures().evicted, 1);
	ck_assert(!there(1, 2, 0, MON_FIRST, 0));
	holds(0, 1, 0, MON_FIRST, 0, 100, 0);
	holds(0, 1, 0, MON_FIRST, 100, 150, 3);
	holds(0, 1, 0, MON_LAST, 0, 50, 0);
	holds(0, 1, 0, MON_LAST, 50, 150, 3);
	sane();
	unmake();
}
END_TEST

/* Ahead of what is in order, one version of a part may go without the other. */
START_TEST(versions_go_one_by_one)
{
	uint32_t n;

	make(128, 8, 64);
	n = arena_chunks(arena);
	arena_open(arena, 1, 1);
	put(0, 1, 0, C, 100);
	put_variant(0, 1, 0, C, 100, 1);
	for (uint32_t i = 1; i < n; i++) { /* takes FIRST's chunk in the end */
		arena_open(arena, i + 1, 1);
		put(i, i + 1, 0, 0, 100);
	}
	ck_assert_uint_eq(figures().evicted, 1);
	ck_assert(!there(0, 1, 0, MON_FIRST, C));
	holds(0, 1, 0, MON_LAST, C, C + 100, 1);
	sane();
	/* room for FIRST is made of LAST's chunk, and then room for LAST of somebody's */
	ck_assert_uint_eq(put_variant(0, 1, 0, C + 50, 100, 2), 100);
	has(0, 1, 0, MON_FIRST, C + 50, C + 150, 2);
	holds(0, 1, 0, MON_LAST, C + 50, C + 150, 2);
	sane();
	unmake();
}
END_TEST

/* What a stream lacks comes late, when room for it can only be made of its own later parts. */
START_TEST(a_hole_is_filled_at_the_cost_of_what_follows)
{
	uint32_t n;

	make(4, 8, 64);
	n = arena_chunks(arena);
	arena_open(arena, SERIAL, 1);
	for (uint64_t i = 1; i < n; i++) /* one more is the index */
		put(0, SERIAL, 0, i * C, C);
	in_order(0, 0, n * C);
	ck_assert_uint_eq(put(0, SERIAL, 0, 0, 10), 0);
	ck_assert_uint_eq(rec_of(0, SERIAL).side[0].head, 2 * C);
	has(0, SERIAL, 0, MON_FIRST, 2 * C, n * C, 0);
	sane();
	unmake();
}
END_TEST

START_TEST(dropped_and_wanted_again)
{
	make(4, 16, 64);
	arena_open(arena, SERIAL, 1);
	put(0, SERIAL, 0, 0, 8 * C + 100);
	in_order(0, 0, 8 * C + 100);
	arena_drop(arena, 0, 0);
	ck_assert_uint_eq(figures().chunks_used, 0);
	ck_assert_uint_eq(rec_of(0, SERIAL).side[0].head, 8 * C + 100);
	ck_assert_uint_eq(put(0, SERIAL, 0, 0, 8 * C + 110), 10);
	has(0, SERIAL, 0, MON_LAST, 8 * C + 100, 8 * C + 110, 0);
	sane();
	unmake();
}
END_TEST

START_TEST(stored_counts_chunks)
{
	make(4, 16, 16);
	arena_open(arena, SERIAL, 1);
	ck_assert_uint_eq(arena_stored(arena), 0);
	put(0, SERIAL, 0, 0, C + 1);
	ck_assert_uint_eq(arena_stored(arena), 2);
	arena_drop(arena, 0, 0);
	put(0, SERIAL, 0, 2 * C, 1);
	ck_assert_uint_eq(arena_stored(arena), 3);
	unmake();
}
END_TEST

/* Always out of chunks, two versions, jumps, trims, drops, new flows: whatever is read belongs where it is read. */
START_TEST(torture)
{
	enum { FLOWS = 6, STEPS = 6000 };
	uint64_t seed = 0xabcdef + (unsigned)_i * 7919, serial[FLOWS] = { 0 }, next[FLOWS][2] = { { 0 } }, serials = 0;
	static uint8_t buf[65536];

	make(FLOWS, _i % 2 == 0 ? 8 : 40, _i % 3 == 0 ? 8 : 3000);
	for (unsigned step = 0; step < STEPS; step++) {
		uint32_t f = rnd(&seed, FLOWS), side = rnd(&seed, 2), what = rnd(&seed, 100);
		struct mon_rec r;
		uint64_t off;

		if (serial[f] == 0 || what < 2) {
			uint32_t rec;

			if (serial[f] != 0)
				arena_close(arena, f);
			rec = arena_open(arena, ++serials, 1);
			serial[rec] = serials;
			next[rec][0] = next[rec][1] = rnd(&seed, 3) * 1000 * C;
			f = rec;
		}
		if (what == 2)
			arena_drop(arena, f, side);
		else if (what == 3)
			arena_trim(arena, f, side, next[f][side] - rnd(&seed, 5000) % (next[f][side] + 1));
		else if (what < 40) {
			uint32_t len = 1 + rnd(&seed, what < 5 ? 65535 : 3000);

			next[f][side] += what % 4 == 0 ? rnd(&seed, 9000) : 0; /* never seen, or later */
			put_variant(f, serial[f], side, next[f][side], len, rnd(&seed, 4));
			next[f][side] += len;
			in_order(f, side, next[f][side]);
		} else {
			uint64_t back = rnd(&seed, what < 70 ? 6000 : 60000), ahead = rnd(&seed, what < 98 ? 30000 : 20000000);

			off = next[f][side] + (what % 2 ? ahead : 0);
			off -= back < off ? back : off;
			put_variant(f, serial[f], side, off, 1 + rnd(&seed, 2000), rnd(&seed, 4));
		}
		r = rec_of(f, serial[f]);
		for (unsigned p = 0; p < MON_POLICIES; p++) {
			struct mon_piece piece[8];
			size_t n = mon_pieces(&reader, &r, side, p, 0, UINT64_MAX, piece, 8);

			for (size_t i = 0; i < (n < 8 ? n : 8); i++) {
				size_t len = mon_read_stream(&reader, &r, side, p, piece[i].from, buf, sizeof(buf));

				ck_assert_uint_eq(len, piece[i].to - piece[i].from < 65536 ? piece[i].to - piece[i].from : 65536);
				for (size_t k = 0; k < len; k++)
					if ((buf[k] & 0xfc) != byte_at(serial[f], side, piece[i].from + k))
						ck_abort_msg("byte %zu of piece %zu", k, i);
			}
		}
		if (step % 16 == 0)
			sane();
	}
	ck_assert_uint_gt(figures().evicted, 100);
	unmake();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("arena");
	TCase *one = tcase_create("one stream"), *longs = tcase_create("long streams"), *many = tcase_create("many streams");

	tcase_add_test(one, conf_is_checked);
	tcase_add_test(one, in_order_bytes_are_exact);
	tcase_add_test(one, small_flows_need_no_index);
	tcase_add_test(one, out_of_order_bytes_are_exact);
	tcase_add_loop_test(one, overlaps_of_all_placements, 0, 2);
	tcase_add_test(one, equal_overlaps_share_chunks);
	tcase_add_test(one, pieces_beyond_the_table_are_dropped_and_counted);
	tcase_add_loop_test(one, random_writes_equal_the_model, 0, 4);
	suite_add_tcase(s, one);
	tcase_add_test(longs, span_pushes_the_head);
	tcase_add_test(longs, parts_far_apart);
	tcase_add_test(longs, beyond_16_TiB);
	tcase_add_test(longs, index_of_the_longest_stream_goes_round);
	tcase_add_test(longs, two_versions_of_an_indexed_stream);
	tcase_set_timeout(longs, 60);
	suite_add_tcase(s, longs);
	tcase_add_test(many, records_are_used_again_oldest_first);
	tcase_add_test(many, what_a_caller_changes_is_published);
	tcase_add_test(many, closed_first_then_oldest_living);
	tcase_add_test(many, one_stream_larger_than_the_arena);
	tcase_add_test(many, room_for_a_second_version);
	tcase_add_test(many, versions_go_one_by_one);
	tcase_add_test(many, a_hole_is_filled_at_the_cost_of_what_follows);
	tcase_add_test(many, dropped_and_wanted_again);
	tcase_add_test(many, stored_counts_chunks);
	tcase_add_loop_test(many, torture, 0, 6);
	tcase_set_timeout(many, 60);
	suite_add_tcase(s, many);
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
