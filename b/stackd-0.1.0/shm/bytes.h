/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Payload of one lane: pools of 4 KiB chunks, and byte streams laid over them.
 *
 * Memory comes in segments of 2 MiB (one memfd each).  A pool hands out chunks of its segments; the side that writes
 * the bytes owns the pool: stackd for class A (received payload), the client for class B (payload to send).  The other
 * side has only the mapped segments, a bytes_map.
 *
 * A stream's byte at offset o lies in the chunk with number o / BYTES_CHUNK, at o % BYTES_CHUNK: always, also when the
 * chunk was given back in between because everything in it was done with.  So an idle stream holds no memory, and where a byte
 * lies never has to be said twice.  A chunk is named by id: segment index * BYTES_SEG_CHUNKS + index in it.  Index 0 of
 * each segment is its header (struct bytes_seg) and never a chunk.
 *
 * In class A the reader walks from chunk to chunk by the links in the header.  In class B each CMD_SEND names the chunks;
 * stackd checks every id with bytes_at() when it takes it and again whenever it reads, because a segment may go.
 *
 * Thread-safety: a pool and its streams belong to one thread.  Links are written before the event that makes them
 * reachable is published by the ring's release store, which orders them.
 */
#ifndef SHM_BYTES_H
#define SHM_BYTES_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shm/proto.h"

enum {
	BYTES_CHUNK = 4096,
	BYTES_SEG_CHUNKS = 512,
	BYTES_SEG_SIZE = BYTES_CHUNK * BYTES_SEG_CHUNKS,
	BYTES_SEGS_MAX = 2048, /* 4 GiB a lane and class */
};
#define BYTES_NONE UINT32_MAX

/* Chunk 0 of a segment.  next[i] is the id of the chunk that follows chunk i in its stream. */
struct bytes_seg {
	uint32_t next[BYTES_SEG_CHUNKS];
};

/* Segments as one process has them mapped.  base[i] is NULL where segment i is not mapped. */
struct bytes_map {
	uint8_t *base[BYTES_SEGS_MAX];
};

/* The address of chunk `id`, or NULL when no such chunk is mapped.  Safe for any id whatever. */
static inline uint8_t *bytes_at(const struct bytes_map *m, uint32_t id)
{
	uint32_t seg = id / BYTES_SEG_CHUNKS, i = id % BYTES_SEG_CHUNKS;

	if (seg >= BYTES_SEGS_MAX || i == 0 || m->base[seg] == NULL)
		return NULL;
	return m->base[seg] + (size_t)i * BYTES_CHUNK;
}

/* The id that follows `id` in its stream (class A), or BYTES_NONE. */
static inline uint32_t bytes_next(const struct bytes_map *m, uint32_t id)
{
	const struct bytes_seg *s;

	if (bytes_at(m, id) == NULL)
		return BYTES_NONE;
	s = (const struct bytes_seg *)m->base[id / BYTES_SEG_CHUNKS];
	/* relaxed: the event that made the link reachable was taken with acquire (ring_ready); this only forbids tearing */
	return atomic_load_explicit((const _Atomic uint32_t *)&s->next[id % BYTES_SEG_CHUNKS], memory_order_relaxed);
}

/* --- The owner's pool ----------------------------------------------------------------------------------------------- */
struct bytes_pool {
	struct bytes_map map;
	uint32_t *link;      /* private free lists, link[id]; all of it is reserved, only what is used is touched */
	uint16_t seg_used[BYTES_SEGS_MAX]; /* chunks handed out of each segment */
	uint32_t seg_free[BYTES_SEGS_MAX]; /* head of each segment's free list */
	uint32_t segs;       /* one past the highest mapped segment */
	uint64_t open[BYTES_SEGS_MAX / 64]; /* bit per segment: it has a free chunk */
	uint64_t idle[BYTES_SEGS_MAX / 64]; /* bit per segment: it is mapped and no chunk of it is in use */
	uint32_t free_count; /* chunks that bytes_alloc can still give */
	uint32_t used_count; /* chunks handed out */
};

/* Prepare an empty pool.  0 or -ENOMEM. */
int bytes_pool_init(struct bytes_pool *p);
void bytes_pool_fini(struct bytes_pool *p); /* forgets segments, does not unmap them */

/* Add the segment mapped at base as number seg.  0, -EEXIST, -ERANGE, or -EINVAL for a base of NULL. */
int bytes_pool_add(struct bytes_pool *p, uint32_t seg, void *base);

/* Take back a segment with no chunk in use, the highest numbered one but never segment `keep` or below.
 * Returns its number after removing it from the pool (the caller unmaps map.base[], which it finds in *base), or -ENOENT. */
int bytes_pool_take_idle(struct bytes_pool *p, uint32_t keep, void **base);

/* A chunk, from the lowest segment that has one, so that high segments drain.  BYTES_NONE when there is none. */
uint32_t bytes_alloc(struct bytes_pool *p);

/* Give a chunk back.  An id that is not handed out (any number, a second time) is ignored. */
void bytes_free(struct bytes_pool *p, uint32_t id);

/* --- One direction of one connection, private to its holder ------------------------------------------------------------
 * Remembers which chunk holds which part of the stream.  One chunk is kept in place; more go to a ring on the heap that
 * is given back when the stream drains.  Chunk numbers are taken modulo 2^32 (offsets wrap there after 16 TiB), which is
 * exact because a stream spans far less than 2^31 chunks.
 */
struct bytes {
	uint32_t *ring;  /* chunk ids; chunk number n at ring[n & (cap - 1)]; NULL while cap is 1 */
	uint32_t one;    /* the id while cap is 1 */
	uint32_t cap;    /* power of two */
	uint32_t count;  /* chunk numbers first .. first+count-1 may be set (holes hold BYTES_NONE) */
	uint32_t first;  /* lowest chunk number held, meaningful while count > 0 */
};

/* The number of the chunk that holds stream offset off. */
static inline uint32_t bytes_number(uint64_t off)
{
	return (uint32_t)(off / BYTES_CHUNK);
}

void bytes_init(struct bytes *b);

/* Which chunk holds chunk number n; BYTES_NONE when none is held. */
uint32_t bytes_get(const struct bytes *b, uint32_t n);

/* Say that chunk number n is `id` (what was there before is forgotten, not freed).  0, -ENOMEM, -EINVAL for BYTES_NONE, or
 * -ERANGE when the stream would span more than `max` chunks. */
int bytes_set(struct bytes *b, uint32_t n, uint32_t id, uint32_t max);

/* Forget all chunks with numbers below n; each goes to pool p, or nowhere when p is NULL. */
void bytes_drop(struct bytes *b, struct bytes_pool *p, uint32_t n);

/* Forget everything. */
void bytes_clear(struct bytes *b, struct bytes_pool *p);

/* Owner's side: copy len bytes to stream offset off, taking chunks as needed.  Returns how many of the leading bytes are
 * stored: less than len when the pool is empty or the stream spans more than `max` chunks. */
size_t bytes_write(struct bytes *b, struct bytes_pool *p, uint64_t off, const void *src, size_t len, uint32_t max);

/* Link the chunks that hold [from, to) one after the other in the shared headers, for the reader to follow: the one before
 * `from`, where it is held, to the first; each to the next; the last to its successor, or BYTES_NONE where none is held
 * yet.  So calls for adjoining ranges make one chain. */
void bytes_link(const struct bytes *b, struct bytes_pool *p, uint64_t from, uint64_t to);

/* Reader's side: copy len bytes at off, through map m.  Returns 0, or -EFAULT when a chunk is not held or not mapped
 * (then dst has been filled with zeros where nothing was found). */
int bytes_read(const struct bytes *b, const struct bytes_map *m, uint64_t off, void *dst, size_t len);

#endif
