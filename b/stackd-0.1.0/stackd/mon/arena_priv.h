/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of the arena's writer share: arena.c (records, the log), arena_chunk.c (whose chunks are whose),
 * arena_index.c (how readers are led to them), arena_stream.c (bytes).
 *
 * A chunk belongs to a stream (record * 2 + side) in the turn `gen` of that stream: a stream that gives up all its
 * chunks at once takes the next gen and hangs its lists on the free list, in constant time.  A chunk on the free list
 * stays in its bucket, and in the list of ages, until somebody takes it.
 */
#ifndef STACKD_MON_ARENA_PRIV_H
#define STACKD_MON_ARENA_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>

#include "stackd/mon/arena.h"

enum { CHUNK_DATA, CHUNK_INDEX };
enum { IN_FIRST = 1 << MON_FIRST, IN_LAST = 1 << MON_LAST, IN_BOTH = IN_FIRST | IN_LAST };
enum { LINK_OWN, LINK_AGE, LINKS }; /* OWN: the stream's list, or the free list */

enum { CLOSED, FULL, QUEUES }; /* of closed records, oldest first; FULL: those that have chunks */

struct list {
	uint32_t first, last; /* MON_NONE: none */
};

struct chunk {
	uint32_t stream, gen;
	uint32_t number; /* of its part of the stream, or of what it indexes: part number / MON_INDEX_IDS */
	uint32_t chain;  /* the bucket's next, plus one */
	struct {
		uint32_t prev, next;
	} link[LINKS];
	uint16_t used;   /* index: parts that it names, or soon will */
	uint16_t ranges, version; /* as in struct mon_chunk */
	uint8_t kind;
	uint8_t in;      /* which versions of the stream it is a part of: IN_FIRST, IN_LAST */
	bool held;
	bool indexed;    /* it counts in an index chunk's `used` */
	uint8_t place;   /* index: in mon_where.index[], the same in both versions */
	struct mon_range range[MON_RANGES];
};

struct stream {
	uint64_t head, next; /* as in struct mon_side; next is the one published last */
	uint64_t lo, hi;     /* numbers of its parts are in [lo, hi), while there are any */
	struct list data, index;
	uint32_t count;      /* of the data list */
	uint32_t gen;
	uint32_t at;         /* chunk written last; may be anybody's by now */
};

struct record {
	uint64_t serial;
	uint32_t version; /* of the seqlock */
	uint32_t after[QUEUES]; /* the next one */
	bool open;
	struct stream side[2];
};


struct arena {
	struct mon_arena *shared;
	struct mon_rec *rec;
	struct mon_chunk *table;
	uint8_t *data, *log;
	uint64_t log_size, log_head;
	uint32_t flows, chunks, span_max;
	struct record *record;
	struct chunk *chunk;
	uint32_t *bucket;    /* first chunk, plus one */
	uint64_t bucket_mask, seed;
	struct list free, age; /* age: data chunks, oldest first */
	uint32_t chunks_touched, records_touched; /* the rest has never been used */
	struct list queue[QUEUES];
	uint32_t open_count, free_count;
	uint64_t turn, evicted, dropped;
	struct mon_rec scratch; /* between arena_change and arena_changed */
};

/* --- Words that readers look at meanwhile ----------------------------------------------------------------------- */

static inline void put16(uint16_t *p, uint16_t v)
{
	atomic_store_explicit((_Atomic uint16_t *)p, v, memory_order_relaxed);
}

static inline void put32(uint32_t *p, uint32_t v)
{
	atomic_store_explicit((_Atomic uint32_t *)p, v, memory_order_relaxed);
}

static inline void put64(uint64_t *p, uint64_t v)
{
	atomic_store_explicit((_Atomic uint64_t *)p, v, memory_order_relaxed);
}

/* Between a word that says "changing" and the changes; pairs with the acquire fence after a reader's copy. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan" /* it does not model fences; all words concerned are atomic */
#endif
static inline void changing(void)
{
	atomic_thread_fence(memory_order_release);
}
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

static inline struct stream *stream_of(struct arena *a, uint32_t s)
{
	return &a->record[s / 2].side[s % 2];
}

static inline struct mon_side *side_of(struct arena *a, uint32_t s)
{
	return &a->rec[s / 2].side[s % 2];
}

static inline uint8_t *data_of(struct arena *a, uint32_t id)
{
	return a->data + (uint64_t)id * MON_CHUNK;
}

/* Is chunk id part `number` of stream s, of any version? */
static inline bool chunk_is(struct arena *a, uint32_t id, uint32_t s, uint32_t number)
{
	const struct chunk *c = &a->chunk[id];

	return c->held && c->stream == s && c->number == number && c->kind == CHUNK_DATA && c->gen == stream_of(a, s)->gen;
}

/* The whole number of a part: all are near lo. */
static inline uint64_t part_number(const struct stream *st, uint32_t number)
{
	return st->lo + (uint64_t)(int32_t)(number - (uint32_t)st->lo);
}

/* arena.c: around changes of a record's shared words */
void rec_begin(struct arena *a, uint32_t rec);
void rec_end(struct arena *a, uint32_t rec);

/* --- arena_chunk.c ---------------------------------------------------------------------------------------------- */

/* The chunk that is part `number` in version `policy`; MON_NONE: none. */
uint32_t chunk_find(struct arena *a, uint32_t s, uint32_t number, unsigned policy);

/* A chunk for part `number` of the versions `in` (which have none there), found by nobody until chunk_show. 
 * MON_NONE: no room.  May take chunks from any stream, s too, and then raise its head. */
uint32_t chunk_new(struct arena *a, uint32_t s, uint64_t number, unsigned in);

/* A chunk for version LAST of what `id` is for both, with a copy of its bytes and ranges.  MON_NONE as above; then id
 * itself may be gone. chunk_show(new) makes it so. */
uint32_t chunk_split(struct arena *a, uint32_t id);

/* Its bytes and ranges are complete: let readers find it. */
void chunk_show(struct arena *a, uint32_t id);

/* [from, to) of a data chunk is there; false, and nothing changed, when that would be too many pieces. */
bool chunk_add(struct arena *a, uint32_t id, uint32_t from, uint32_t to);
bool chunk_can_add(const struct chunk *c, uint32_t from, uint32_t to);

/* Give chunks back: one, all of a stream, those of a stream wholly below byte `head` (which also becomes its head). */
void chunk_free(struct arena *a, uint32_t id);
void chunk_free_all(struct arena *a, uint32_t s);
void chunk_trim(struct arena *a, uint32_t s, uint64_t head);

/* What the above is made of: a chunk of any kind, shown to nobody yet; the chunk of that kind, number and any of the
 * versions `in`. */
uint32_t chunk_take(struct arena *a, uint32_t s, uint32_t number, unsigned kind, unsigned in);
uint32_t chunk_at(struct arena *a, uint32_t s, uint32_t number, unsigned kind, unsigned in);

/* --- arena_index.c ---------------------------------------------------------------------------------------------- */

/* With part `number` there would be more than the record can name.  From then on index chunks name all parts.  Making
 * room for them may take some of what they would name. */
bool index_wanted(const struct stream *st, uint64_t number);
void index_begin(struct arena *a, uint32_t s);

/* Would there be a place for an index chunk that names part `number`? */
bool index_room(struct arena *a, uint32_t s, uint64_t number);

/* See to it that part `number` can be named for the versions `in` and no others, and count it; the opposite. */
bool index_hold(struct arena *a, uint32_t s, uint64_t number, unsigned in);
void index_let(struct arena *a, uint32_t s, uint64_t number, unsigned in);

/* Name a data chunk, or nothing, where the index chunks of its versions name its part; an index chunk, or nothing, in
 * the record. */
void index_put(struct arena *a, uint32_t id, uint32_t value);
void index_name(struct arena *a, uint32_t id, unsigned in, uint32_t value);

/* arena.c: forget the first of a queue */
void queue_pop(struct arena *a, unsigned q);

#endif
