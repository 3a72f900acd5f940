/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Bytes of streams, part by part (a part is what one chunk holds).  Bytes are written before the range that tells of
 * them; version LAST alone is ever overwritten where readers may look, and a byte of it is then either the old or the
 * new one.
 */
#include <string.h>

#include "shm/mon_copy.h"
#include "stackd/mon/arena_priv.h"

static uint32_t write_part(struct arena *a, uint32_t s, uint64_t off, const uint8_t *bytes, uint32_t len);
static bool may_be_apart(struct arena *a, uint32_t s, uint64_t number);
static bool appends(struct arena *a, uint32_t s, uint64_t off);
static uint32_t write_new(struct arena *a, uint32_t s, uint64_t off, const uint8_t *bytes, uint32_t len, unsigned in);
static uint32_t fill(struct arena *a, uint32_t id, uint32_t from, const uint8_t *bytes, uint32_t len);
static bool cover(struct arena *a, uint32_t id, uint32_t from, const uint8_t *bytes, uint32_t len);
static void part_ways(struct arena *a, uint32_t id, uint32_t from, const uint8_t *bytes, uint32_t len);
static bool differs(struct arena *a, uint32_t id, uint32_t from, const uint8_t *bytes, uint32_t len);

uint32_t arena_write(struct arena *a, uint32_t rec, unsigned side, uint64_t off, const uint8_t *bytes, uint32_t len)
{
	uint32_t s = rec * 2 + side, fresh = 0, part;
	struct stream *st;

	if (rec >= a->flows || !a->record[rec].open || off > UINT64_MAX - len - MON_CHUNK)
		return 0;
	st = stream_of(a, s);
	for (; len > 0; off += part, bytes += part, len -= part) {
		part = MON_CHUNK - off % MON_CHUNK;
		part = len < part ? len : part;
		if (off < st->head) { /* moves on when this very call pushes or evicts, too */
			part = st->head - off < part ? (uint32_t)(st->head - off) : part;
			continue;
		}
		if (off / MON_CHUNK - st->head / MON_CHUNK >= a->span_max && !may_be_apart(a, s, off / MON_CHUNK))
			chunk_trim(a, s, (off / MON_CHUNK - a->span_max + 1) * MON_CHUNK);
		fresh += write_part(a, s, off, bytes, part);
	}
	return fresh;
}

void arena_trim(struct arena *a, uint32_t rec, unsigned side, uint64_t head)
{
	if (rec < a->flows && a->record[rec].open)
		chunk_trim(a, rec * 2 + side, head);
}

void arena_drop(struct arena *a, uint32_t rec, unsigned side)
{
	uint32_t s = rec * 2 + side;
	struct mon_side *shown;

	if (rec >= a->flows || !a->record[rec].open)
		return;
	shown = side_of(a, s);
	chunk_free_all(a, s);
	chunk_trim(a, s, stream_of(a, s)->next);
	rec_begin(a, rec);
	for (unsigned i = 0; i < sizeof(shown->where) / 4; i++)
		put32((uint32_t *)shown->where + i, MON_NONE);
	atomic_store_explicit((_Atomic uint8_t *)&shown->flags, shown->flags & ~MON_SIDE_TWO, memory_order_relaxed);
	rec_end(a, rec);
}

/* Beyond the span: may all that is below stay?  Parts that are missing cost nothing; but the index has few places. */
static bool may_be_apart(struct arena *a, uint32_t s, uint64_t number)
{
	const struct stream *st = stream_of(a, s);

	return st->count < a->span_max && number - st->head / MON_CHUNK < MON_APART_MAX && index_room(a, s, number);
}

/* Returns the bytes that are new to version FIRST. */
static uint32_t write_part(struct arena *a, uint32_t s, uint64_t off, const uint8_t *bytes, uint32_t len)
{
	uint32_t number = (uint32_t)(off / MON_CHUNK), from = off % MON_CHUNK, first, last, fresh;
	struct stream *st = stream_of(a, s);

	if (appends(a, s, off)) {
		mon_copy(data_of(a, st->at) + from, bytes, len);
		chunk_add(a, st->at, from, from + len);
		return len;
	}
	first = chunk_find(a, s, number, MON_FIRST);
	last = chunk_find(a, s, number, MON_LAST);
	if (first == MON_NONE && last == MON_NONE)
		return write_new(a, s, off, bytes, len, IN_BOTH);
	if (first == last) {
		if (differs(a, first, from, bytes, len))
			part_ways(a, first, from, bytes, len);
		/* making room for the difference may have taken it */
		return chunk_is(a, first, s, number) ? fill(a, first, from, bytes, len) : 0;
	}
	fresh = first == MON_NONE ? write_new(a, s, off, bytes, len, IN_FIRST) : fill(a, first, from, bytes, len);
	last = chunk_find(a, s, number, MON_LAST);
	if (last != MON_NONE)
		(void)cover(a, last, from, bytes, len);
	else
		(void)write_new(a, s, off, bytes, len, IN_LAST);
	return fresh;
}

/* The common case: right behind what was written last, and nobody has two versions there. */
static bool appends(struct arena *a, uint32_t s, uint64_t off)
{
	uint32_t id = stream_of(a, s)->at;
	const struct chunk *c = &a->chunk[id];

	return chunk_is(a, id, s, (uint32_t)(off / MON_CHUNK)) && c->in == IN_BOTH && c->ranges > 0 &&
	       c->range[c->ranges - 1].to == off % MON_CHUNK;
}

static uint32_t write_new(struct arena *a, uint32_t s, uint64_t off, const uint8_t *bytes, uint32_t len, unsigned in)
{
	uint32_t id = chunk_new(a, s, off / MON_CHUNK, in), from = off % MON_CHUNK;

	if (id == MON_NONE) {
		a->dropped++;
		return 0;
	}
	mon_copy(data_of(a, id) + from, bytes, len);
	chunk_add(a, id, from, from + len);
	chunk_show(a, id);
	stream_of(a, s)->at = id;
	return (in & IN_FIRST) != 0 ? len : 0;
}

/* Write what is not there yet, and return how much that was. */
static uint32_t fill(struct arena *a, uint32_t id, uint32_t from, const uint8_t *bytes, uint32_t len)
{
	const struct chunk *c = &a->chunk[id];
	uint32_t at = from, end = from + len, fresh = 0;

	if (!chunk_can_add(c, from, end)) {
		a->dropped++;
		return 0;
	}
	for (unsigned i = 0; i <= c->ranges && at < end; i++) {
		uint32_t hole_end = i < c->ranges && c->range[i].from < end ? c->range[i].from : end;

		if (at < hole_end) {
			mon_copy(data_of(a, id) + at, bytes + (at - from), hole_end - at);
			fresh += hole_end - at;
		}
		if (i < c->ranges && at < c->range[i].to)
			at = c->range[i].to;
	}
	stream_of(a, c->stream)->at = id;
	chunk_add(a, id, from, end);
	return fresh;
}

/* Write over whatever is there. */
static bool cover(struct arena *a, uint32_t id, uint32_t from, const uint8_t *bytes, uint32_t len)
{
	if (!chunk_can_add(&a->chunk[id], from, from + len)) {
		a->dropped++;
		return false;
	}
	mon_copy(data_of(a, id) + from, bytes, len);
	return chunk_add(a, id, from, from + len);
}

/* Version LAST gets a chunk of its own.  Where there is no room for it, it keeps what was first. */
static void part_ways(struct arena *a, uint32_t id, uint32_t from, const uint8_t *bytes, uint32_t len)
{
	uint32_t new = chunk_split(a, id);

	if (new == MON_NONE) {
		a->dropped++;
		return;
	}
	(void)cover(a, new, from, bytes, len);
	chunk_show(a, new);
}

/* Is a byte there already, and another one? */
static bool differs(struct arena *a, uint32_t id, uint32_t from, const uint8_t *bytes, uint32_t len)
{
	const struct chunk *c = &a->chunk[id];

	for (unsigned i = 0; i < c->ranges; i++) {
		uint32_t lo = c->range[i].from > from ? c->range[i].from : from;
		uint32_t hi = c->range[i].to < from + len ? c->range[i].to : from + len;

		if (lo < hi && memcmp(data_of(a, id) + lo, bytes + (lo - from), hi - lo) != 0)
			return true;
	}
	return false;
}
