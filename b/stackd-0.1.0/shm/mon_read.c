/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The reader of an arena (mon_read.h).  Which chunk holds a part of a stream is found by hints: an index chunk's, or
 * the record's own.  Whether it does is for the chunk's table entry to say, and its turn tells after a copy whether
 * somebody else had it meanwhile.
 */
#include "shm/mon_read.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "shm/mon_copy.h"

enum { TRIES = 64 };

static bool args_ok(const struct mon_rec *rec, unsigned side, unsigned policy);
static bool scan_range(const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t *from, uint64_t end,
		       uint64_t *last);
static bool part_find(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t number,
		      uint32_t *id, struct mon_chunk *e);
static bool part_next(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy,
		      uint64_t *number, uint64_t last, struct mon_chunk *e);
static bool part_is(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, uint64_t number, uint32_t id,
		    struct mon_chunk *e);
static const uint32_t *index_at(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy,
				uint64_t number);
static const uint32_t *index_next(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy,
				  uint64_t from, uint64_t *block);
static const uint32_t *index_in(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy,
				uint64_t i, uint64_t from, uint64_t *block);
static bool entry_get(const struct mon_reader *r, uint32_t id, struct mon_chunk *e);
static bool entry_still(const struct mon_reader *r, uint32_t id, const struct mon_chunk *e);
static uint32_t run_at(const struct mon_chunk *e, uint32_t at);
static uint32_t run_next(const struct mon_chunk *e, uint32_t at);
static bool fits(const struct mon_arena *m, uint64_t off, uint64_t count, uint64_t size);
static int pkt_gone(const struct mon_reader *r, uint64_t pos);
static void pkt_trim(struct mon_pkt *hdr);

/* --- Words that the writer changes meanwhile -------------------------------------------------------------------- */

static uint16_t get16(const uint16_t *p, memory_order order)
{
	return atomic_load_explicit((const _Atomic uint16_t *)p, order);
}

static uint32_t get32(const uint32_t *p, memory_order order)
{
	return atomic_load_explicit((const _Atomic uint32_t *)p, order);
}

static uint64_t get64(const uint64_t *p, memory_order order)
{
	return atomic_load_explicit((const _Atomic uint64_t *)p, order);
}

/* Between a copy and the look that tells whether it is one; pairs with the release fence after "changing"
 * (arena_priv.h). */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan" /* it does not model fences; all words concerned are atomic */
#endif
static void copied(void)
{
	atomic_thread_fence(memory_order_acquire);
}
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

static void get_words(uint64_t *to, const void *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] = get64((const uint64_t *)from + i, memory_order_relaxed);
}

/* --- The arena and its records ---------------------------------------------------------------------------------- */

int mon_reader_init(struct mon_reader *r, const void *base, uint64_t size)
{
	uint64_t word[sizeof(struct mon_arena) / 8];
	struct mon_arena m;

	if (base == NULL || (uintptr_t)base % SHM_LINE != 0 || size < sizeof(m))
		return -EPROTO;
	get_words(word, base, sizeof(word) / 8);
	memcpy(&m, word, sizeof(m));
	if (m.magic != MON_MAGIC || m.abi != SHM_ABI || m.size > size ||
	    !fits(&m, m.flow_off, m.flows, sizeof(struct mon_rec)) ||
	    !fits(&m, m.chunk_off, m.chunks, sizeof(struct mon_chunk)) || !fits(&m, m.data_off, m.chunks, MON_CHUNK) ||
	    !fits(&m, m.log_off, m.log_size, 1) || m.log_size < sizeof(struct mon_pkt) || (m.log_size & (m.log_size - 1)) != 0)
		return -EPROTO;
	*r = (struct mon_reader){ .base = base, .size = m.size, .head = m };
	return 0;
}

static bool fits(const struct mon_arena *m, uint64_t off, uint64_t count, uint64_t size)
{
	return off % 8 == 0 && off <= m->size && count <= (m->size - off) / size;
}

int mon_read_rec(const struct mon_reader *r, uint32_t index, uint32_t gen, struct mon_rec *out)
{
	uint64_t word[sizeof(*out) / 8];
	const struct mon_rec *rec;

	if (index >= r->head.flows)
		return -ERANGE;
	rec = (const struct mon_rec *)(r->base + r->head.flow_off) + index;
	for (int i = 0; i < TRIES; i++) {
		/* pairs with the release in rec_end (arena.c) */
		uint32_t version = get32(&rec->version, memory_order_acquire);

		if (version % 2 != 0)
			continue;
		get_words(word, rec, sizeof(word) / 8);
		copied();
		if (get32(&rec->version, memory_order_relaxed) != version)
			continue;
		memcpy(out, word, sizeof(*out));
		return out->serial != 0 && (uint32_t)out->serial == gen ? 0 : -ESTALE;
	}
	return -EAGAIN;
}

/* --- Streams ---------------------------------------------------------------------------------------------------- */

size_t mon_read_stream(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t off,
		       void *buf, size_t len)
{
	size_t done = 0, part;
	struct mon_chunk e;
	uint32_t id;

	if (!args_ok(rec, side, policy) || off < rec->side[side].head)
		return 0;
	while (done < len && off + done >= off && part_find(r, rec, side, policy, (off + done) / MON_CHUNK, &id, &e)) {
		uint32_t at = (off + done) % MON_CHUNK, end = run_at(&e, at);

		part = end - at < len - done ? end - at : len - done;
		mon_copy((uint8_t *)buf + done, r->base + r->head.data_off + (uint64_t)id * MON_CHUNK + at, part);
		if (part == 0 || !entry_still(r, id, &e))
			break;
		done += part;
		if (end < MON_CHUNK)
			break;
	}
	return done;
}

uint64_t mon_find(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t off,
		  uint64_t end)
{
	uint64_t number, last;
	struct mon_chunk e;

	if (!scan_range(rec, side, policy, &off, end, &last))
		return UINT64_MAX;
	for (number = off / MON_CHUNK; part_next(r, rec, side, policy, &number, last, &e); number++) {
		uint64_t base = number * MON_CHUNK;
		uint32_t at = run_next(&e, base < off ? (uint32_t)(off - base) : 0);

		if (at < MON_CHUNK)
			return base + at < end ? base + at : UINT64_MAX;
	}
	return UINT64_MAX;
}

size_t mon_pieces(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t from,
		  uint64_t end, struct mon_piece *piece, size_t max)
{
	struct mon_piece now = { 0, 0 };
	uint64_t number, last;
	struct mon_chunk e;
	size_t n = 0;

	if (!scan_range(rec, side, policy, &from, end, &last))
		return 0;
	for (number = from / MON_CHUNK; part_next(r, rec, side, policy, &number, last, &e); number++) {
		uint64_t base = number * MON_CHUNK;
		uint32_t at = base < from ? (uint32_t)(from - base) : 0;

		for (at = run_next(&e, at); at < MON_CHUNK && base + at < end; at = run_next(&e, run_at(&e, at))) {
			uint64_t to = base + run_at(&e, at);

			if (n == 0 || now.to != base + at) {
				now.from = base + at;
				n++;
			}
			now.to = to < end ? to : end;
			if (n <= max)
				piece[n - 1] = now;
		}
	}
	return n;
}

const uint8_t *mon_at(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t off,
		      size_t *len)
{
	uint32_t id, at = off % MON_CHUNK;
	struct mon_chunk e;

	*len = 0;
	if (!args_ok(rec, side, policy) || off < rec->side[side].head ||
	    !part_find(r, rec, side, policy, off / MON_CHUNK, &id, &e) || e.turn > rec->turn)
		return NULL;
	*len = run_at(&e, at) - at;
	return *len == 0 ? NULL : r->base + r->head.data_off + (uint64_t)id * MON_CHUNK + at;
}

bool mon_still(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t off)
{
	size_t len;

	copied(); /* what the caller has read through the pointer */
	return mon_at(r, rec, side, policy, off, &len) != NULL;
}

static bool args_ok(const struct mon_rec *rec, unsigned side, unsigned policy)
{
	return side < 2 && policy < MON_POLICIES && rec->serial != 0;
}

/* Where to look for [*from, end): from the head on, as far as parts may be apart.  False: nowhere. */
static bool scan_range(const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t *from, uint64_t end,
		       uint64_t *last)
{
	uint64_t head;

	if (!args_ok(rec, side, policy))
		return false;
	head = rec->side[side].head;
	if (*from < head)
		*from = head;
	*last = head / MON_CHUNK + MON_APART_MAX;
	if (*from >= end)
		return false;
	if ((end - 1) / MON_CHUNK < *last)
		*last = (end - 1) / MON_CHUNK;
	return *from / MON_CHUNK <= *last;
}

/* --- Parts: what one chunk holds of a stream -------------------------------------------------------------------- */

/* The chunk that holds part `number`, and its entry. */
static bool part_find(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t number,
		      uint32_t *id, struct mon_chunk *e)
{
	const uint32_t *index = index_at(r, rec, side, policy, number);

	if (index != NULL) {
		*id = get32(&index[number % MON_INDEX_IDS], memory_order_relaxed);
		if (part_is(r, rec, side, number, *id, e))
			return true;
	}
	*id = rec->side[side].where[policy].few[number % MON_FEW];
	return part_is(r, rec, side, number, *id, e) && e->turn <= rec->turn;
}

/* The first part from *number to last that a chunk holds: its number and entry. */
static bool part_next(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy,
		      uint64_t *number, uint64_t last, struct mon_chunk *e)
{
	const struct mon_where *where = &rec->side[side].where[policy];
	uint64_t best = UINT64_MAX, n = *number;
	struct mon_chunk try;

	for (unsigned i = 0; i < MON_FEW; i++) {
		uint64_t at;

		if (!entry_get(r, where->few[i], &try))
			continue;
		at = n + (uint32_t)(try.number - (uint32_t)n);
		if (at <= last && at < best && at % MON_FEW == i && part_is(r, rec, side, at, where->few[i], &try)) {
			best = at;
			*e = try;
		}
	}
	while (n <= last && n < best) {
		uint64_t block, block_end;
		const uint32_t *index = index_next(r, rec, side, policy, n / MON_INDEX_IDS, &block);

		if (index == NULL)
			break;
		n = n < block * MON_INDEX_IDS ? block * MON_INDEX_IDS : n;
		block_end = (block + 1) * MON_INDEX_IDS;
		for (; n <= last && n < best && n < block_end; n++)
			if (part_is(r, rec, side, n, get32(&index[n % MON_INDEX_IDS], memory_order_relaxed), &try)) {
				best = n;
				*e = try;
			}
	}
	*number = best;
	return best != UINT64_MAX;
}

/* Does this chunk hold part `number` of this very stream? */
static bool part_is(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, uint64_t number, uint32_t id,
		    struct mon_chunk *e)
{
	return id != MON_NONE && entry_get(r, id, e) && e->owner == (rec->serial << 1 | side) && e->number == (uint32_t)number;
}

/* The index chunk that may name part `number`.  It may go at any time: what it says is a hint. */
static const uint32_t *index_at(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy,
				uint64_t number)
{
	uint64_t block = number / MON_INDEX_IDS, at;
	const uint32_t *index;

	for (unsigned i = 0; i < MON_INDEX; i++) { /* mostly the first one */
		index = index_in(r, rec, side, policy, (block + i) % MON_INDEX, block, &at);
		if (index != NULL && at == block)
			return index;
	}
	return NULL;
}

/* The index chunk with the lowest number of `from` or more. */
static const uint32_t *index_next(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy,
				  uint64_t from, uint64_t *block)
{
	const uint32_t *best = NULL, *index;
	uint64_t at;

	*block = UINT64_MAX;
	for (unsigned i = 0; i < MON_INDEX; i++) {
		index = index_in(r, rec, side, policy, i, from, &at);
		if (index != NULL && at < *block) {
			best = index;
			*block = at;
		}
	}
	return best;
}

/* The i-th index chunk, and its number, taken for one of `from` or more. */
static const uint32_t *index_in(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy,
				uint64_t i, uint64_t from, uint64_t *block)
{
	uint32_t id = rec->side[side].where[policy].index[i];
	struct mon_chunk e;

	if (id == MON_NONE || !entry_get(r, id, &e) || e.owner != (rec->serial << 1 | side) ||
	    (e.number & MON_INDEX_MARK) == 0)
		return NULL;
	*block = from + ((e.number - (uint32_t)from) & (MON_INDEX_MARK - 1));
	return (const uint32_t *)(r->base + r->head.data_off + (uint64_t)id * MON_CHUNK);
}

/* --- Table entries ---------------------------------------------------------------------------------------------- */

/* Copy an entry.  Its ranges are of one moment unless the writer is stopped amid a change of them: then they are
 * those from before, some of them twice or already joined, in any order.  False: no such chunk. */
static bool entry_get(const struct mon_reader *r, uint32_t id, struct mon_chunk *e)
{
	const struct mon_chunk *t = (const struct mon_chunk *)(r->base + r->head.chunk_off) + id;

	if (id >= r->head.chunks)
		return false;
	for (int i = 0; i < TRIES; i++) {
		uint32_t word[MON_RANGES];

		/* these pair with the releases in chunk_add, chunk_take and chunk_show (arena_chunk.c), in this order */
		e->version = get16(&t->version, memory_order_acquire);
		e->turn = get64(&t->turn, memory_order_acquire);
		e->owner = get64(&t->owner, memory_order_acquire);
		e->number = get32(&t->number, memory_order_relaxed);
		e->ranges = get16(&t->ranges, memory_order_acquire);
		e->ranges = e->ranges < MON_RANGES ? e->ranges : MON_RANGES;
		for (unsigned k = 0; k < e->ranges; k++)
			word[k] = get32((const uint32_t *)&t->range[k], memory_order_acquire);
		memcpy(e->range, word, e->ranges * sizeof(word[0]));
		if (!entry_still(r, id, e))
			continue;
		if (e->version % 2 == 0 && get16(&t->version, memory_order_relaxed) == e->version)
			return true;
	}
	return entry_still(r, id, e);
}

/* Has the chunk been the same owner's since the entry was copied? */
static bool entry_still(const struct mon_reader *r, uint32_t id, const struct mon_chunk *e)
{
	const struct mon_chunk *t = (const struct mon_chunk *)(r->base + r->head.chunk_off) + id;

	copied();
	return get64(&t->turn, memory_order_relaxed) == e->turn;
}

/* The end of what is there from `at` on in a row; `at` itself: nothing is. */
static uint32_t run_at(const struct mon_chunk *e, uint32_t at)
{
	uint32_t end = at;

	for (unsigned i = 0; i < e->ranges; i++)
		if (e->range[i].from <= at && e->range[i].to > end && e->range[i].to <= MON_CHUNK)
			end = e->range[i].to;
	return end;
}

/* The first byte from `at` on that is there; MON_CHUNK: none. */
static uint32_t run_next(const struct mon_chunk *e, uint32_t at)
{
	uint32_t next = MON_CHUNK;

	for (unsigned i = 0; i < e->ranges; i++) {
		uint32_t from = e->range[i].from > at ? e->range[i].from : at;

		if (from < e->range[i].to && e->range[i].to <= MON_CHUNK && from < next)
			next = from;
	}
	return next;
}

/* --- The packet log --------------------------------------------------------------------------------------------- */

int mon_read_pkt(const struct mon_reader *r, uint64_t pos, struct mon_pkt *hdr, void *frame, size_t room)
{
	const struct mon_arena *m = (const struct mon_arena *)r->base;
	uint64_t size = r->head.log_size, at = pos & (size - 1), word[sizeof(*hdr) / 8];
	const uint8_t *log = r->base + r->head.log_off;

	/* pairs with the release in arena_log */
	if (pos % 8 != 0 || pos >= get64(&m->log_head, memory_order_acquire) || at + sizeof(*hdr) > size)
		return -EPROTO;
	get_words(word, log + at, sizeof(word) / 8);
	memcpy(hdr, word, sizeof(*hdr));
	if (hdr->pos != pos || hdr->len > MON_FRAME_MAX || hdr->len > size - at - sizeof(*hdr))
		return pkt_gone(r, pos) != 0 ? -ENODATA : -EPROTO;
	mon_copy(frame, log + at + sizeof(*hdr), hdr->len < room ? hdr->len : room);
	pkt_trim(hdr);
	return pkt_gone(r, pos);
}

/* After a copy: was it still there? */
static int pkt_gone(const struct mon_reader *r, uint64_t pos)
{
	const struct mon_arena *m = (const struct mon_arena *)r->base;

	copied();
	return pos < get64(&m->log_tail, memory_order_relaxed) ? -ENODATA : 0;
}

/* No offset points beyond the frame. */
static void pkt_trim(struct mon_pkt *hdr)
{
	if (hdr->l3_off > hdr->len)
		hdr->l3_off = 0;
	if (hdr->l4_off > hdr->len)
		hdr->l4_off = 0;
	if (hdr->text_off > hdr->len)
		hdr->text_off = (uint16_t)hdr->len;
	if (hdr->text_len > hdr->len - hdr->text_off)
		hdr->text_len = (uint16_t)(hdr->len - hdr->text_off);
}
