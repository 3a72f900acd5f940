/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Chunks and streams of bytes.h.  The pool keeps one private free list per segment, so that an alloc takes from the lowest
 * segment and a whole segment leaves without a walk over its chunks; two bitmaps find the segment.  Nothing here depends
 * on what is written in shared memory: free lists and streams are private, the shared headers are only written.
 */
#define _GNU_SOURCE 1
#include "shm/bytes.h"

#include <sys/mman.h>

#define LINK_USED (UINT32_MAX - 1) /* in pool.link: the chunk is handed out */

enum {
	IDS_MAX = BYTES_SEGS_MAX * BYTES_SEG_CHUNKS,
	RING_MIN = 8, /* first size of a stream's heap ring */
};

static void set_bit(uint64_t *set, uint32_t i);
static void clear_bit(uint64_t *set, uint32_t i);
static uint32_t lowest(const uint64_t *set);
static uint32_t highest(const uint64_t *set);
static uint32_t *place(struct bytes *b, uint32_t n);
static int grow(struct bytes *b, uint32_t span);
static void drop_first(struct bytes *b, struct bytes_pool *p);
static void drained(struct bytes *b);
static uint8_t *hold(struct bytes *b, struct bytes_pool *p, uint32_t n, uint32_t max);
static void link_to(struct bytes_pool *p, uint32_t id, uint32_t next);
static size_t part_of(uint64_t off, size_t len);

/* --- Pool ------------------------------------------------------------------------------------------------------------- */
int bytes_pool_init(struct bytes_pool *p)
{
	void *link = mmap(NULL, IDS_MAX * sizeof(*p->link), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	memset(p, 0, sizeof(*p));
	if (link == MAP_FAILED)
		return -ENOMEM;
	p->link = link;
	for (uint32_t i = 0; i < BYTES_SEGS_MAX; i++)
		p->seg_free[i] = BYTES_NONE;
	return 0;
}

void bytes_pool_fini(struct bytes_pool *p)
{
	if (p == NULL)
		return;
	if (p->link != NULL)
		munmap(p->link, IDS_MAX * sizeof(*p->link));
	memset(p, 0, sizeof(*p));
}

int bytes_pool_add(struct bytes_pool *p, uint32_t seg, void *base)
{
	uint32_t id = seg * BYTES_SEG_CHUNKS, end = id + BYTES_SEG_CHUNKS;

	if (seg >= BYTES_SEGS_MAX)
		return -ERANGE;
	if (base == NULL)
		return -EINVAL;
	if (p->map.base[seg] != NULL)
		return -EEXIST;
	p->map.base[seg] = base;
	p->seg_free[seg] = ++id; /* not the header */
	for (; id < end; id++)
		p->link[id] = id + 1 < end ? id + 1 : BYTES_NONE;
	set_bit(p->open, seg);
	set_bit(p->idle, seg);
	p->free_count += BYTES_SEG_CHUNKS - 1;
	if (p->segs <= seg)
		p->segs = seg + 1;
	return 0;
}

int bytes_pool_take_idle(struct bytes_pool *p, uint32_t keep, void **base)
{
	uint32_t seg = highest(p->idle);

	if (seg == BYTES_NONE || seg <= keep)
		return -ENOENT;
	*base = p->map.base[seg];
	p->map.base[seg] = NULL;
	p->seg_free[seg] = BYTES_NONE;
	clear_bit(p->open, seg);
	clear_bit(p->idle, seg);
	p->free_count -= BYTES_SEG_CHUNKS - 1;
	while (p->segs > 0 && p->map.base[p->segs - 1] == NULL)
		p->segs--;
	return (int)seg;
}

uint32_t bytes_alloc(struct bytes_pool *p)
{
	uint32_t seg = lowest(p->open), id;

	if (seg == BYTES_NONE)
		return BYTES_NONE;
	id = p->seg_free[seg];
	p->seg_free[seg] = p->link[id];
	p->link[id] = LINK_USED;
	if (p->seg_free[seg] == BYTES_NONE)
		clear_bit(p->open, seg);
	if (p->seg_used[seg]++ == 0)
		clear_bit(p->idle, seg);
	p->free_count--;
	p->used_count++;
	return id;
}

void bytes_free(struct bytes_pool *p, uint32_t id)
{
	uint32_t seg = id / BYTES_SEG_CHUNKS;

	if (bytes_at(&p->map, id) == NULL || p->link[id] != LINK_USED)
		return;
	p->link[id] = p->seg_free[seg];
	p->seg_free[seg] = id;
	set_bit(p->open, seg);
	if (--p->seg_used[seg] == 0)
		set_bit(p->idle, seg);
	p->free_count++;
	p->used_count--;
}

/* --- Stream ----------------------------------------------------------------------------------------------------------- */
void bytes_init(struct bytes *b)
{
	*b = (struct bytes){ .one = BYTES_NONE, .cap = 1 };
}

uint32_t bytes_get(const struct bytes *b, uint32_t n)
{
	if (n - b->first >= b->count)
		return BYTES_NONE;
	return b->ring == NULL ? b->one : b->ring[n & (b->cap - 1)];
}

int bytes_set(struct bytes *b, uint32_t n, uint32_t id, uint32_t max)
{
	uint32_t first = b->count == 0 || (int32_t)(n - b->first) < 0 ? n : b->first;
	uint32_t end = b->count == 0 || n - first >= b->first - first + b->count ? n + 1 : b->first + b->count;
	uint32_t span = end - first;

	if (id == BYTES_NONE)
		return -EINVAL;
	if (span > max || span > IDS_MAX)
		return -ERANGE;
	if (grow(b, span) != 0)
		return -ENOMEM;
	if (b->count == 0)
		b->first = n;
	for (uint32_t i = first; i != b->first; i++)
		*place(b, i) = BYTES_NONE;
	for (uint32_t i = b->first + b->count; i != end; i++)
		*place(b, i) = BYTES_NONE;
	b->first = first;
	b->count = span;
	*place(b, n) = id;
	return 0;
}

void bytes_drop(struct bytes *b, struct bytes_pool *p, uint32_t n)
{
	while (b->count > 0 && ((int32_t)(n - b->first) > 0 || bytes_get(b, b->first) == BYTES_NONE))
		drop_first(b, p);
	if (b->count == 0)
		drained(b);
}

void bytes_clear(struct bytes *b, struct bytes_pool *p)
{
	while (b->count > 0)
		drop_first(b, p);
	drained(b);
}

size_t bytes_write(struct bytes *b, struct bytes_pool *p, uint64_t off, const void *src, size_t len, uint32_t max)
{
	size_t done, part;

	for (done = 0; done < len; done += part) {
		uint8_t *chunk = hold(b, p, bytes_number(off + done), max);

		if (chunk == NULL)
			break;
		part = part_of(off + done, len - done);
		memcpy(chunk + (off + done) % BYTES_CHUNK, (const uint8_t *)src + done, part);
	}
	return done;
}

void bytes_link(const struct bytes *b, struct bytes_pool *p, uint64_t from, uint64_t to)
{
	uint32_t n = bytes_number(from) - 1, last = bytes_number(to - 1);

	if (from >= to || b->count == 0)
		return;
	if ((int32_t)(n - b->first) < 0)
		n = b->first;
	for (; n - b->first < b->count && (int32_t)(last - n) >= 0; n++)
		link_to(p, bytes_get(b, n), bytes_get(b, n + 1));
}

int bytes_read(const struct bytes *b, const struct bytes_map *m, uint64_t off, void *dst, size_t len)
{
	size_t done, part;
	int rc = 0;

	for (done = 0; done < len; done += part) {
		const uint8_t *chunk = bytes_at(m, bytes_get(b, bytes_number(off + done)));

		part = part_of(off + done, len - done);
		if (chunk != NULL) {
			memcpy((uint8_t *)dst + done, chunk + (off + done) % BYTES_CHUNK, part);
		} else {
			memset((uint8_t *)dst + done, 0, part);
			rc = -EFAULT;
		}
	}
	return rc;
}

/* --- Stream, inside --------------------------------------------------------------------------------------------------- */

/* The chunk number n as memory, taking one from the pool when none is held; NULL when that cannot be. */
static uint8_t *hold(struct bytes *b, struct bytes_pool *p, uint32_t n, uint32_t max)
{
	uint32_t id = bytes_get(b, n);

	if (id != BYTES_NONE)
		return bytes_at(&p->map, id);
	id = bytes_alloc(p);
	if (id == BYTES_NONE)
		return NULL;
	if (bytes_set(b, n, id, max) != 0) {
		bytes_free(p, id);
		return NULL;
	}
	return bytes_at(&p->map, id);
}

/* Make room for `span` chunks. */
static int grow(struct bytes *b, uint32_t span)
{
	uint32_t cap = b->cap, *ring;

	if (span <= cap)
		return 0;
	if (cap < RING_MIN)
		cap = RING_MIN;
	while (cap < span)
		cap *= 2;
	ring = malloc(cap * sizeof(*ring));
	if (ring == NULL)
		return -ENOMEM;
	for (uint32_t i = b->first; i != b->first + b->count; i++)
		ring[i & (cap - 1)] = bytes_get(b, i);
	free(b->ring);
	b->ring = ring;
	b->cap = cap;
	return 0;
}

static void drop_first(struct bytes *b, struct bytes_pool *p)
{
	uint32_t id = bytes_get(b, b->first);

	if (p != NULL && id != BYTES_NONE)
		bytes_free(p, id);
	b->first++;
	b->count--;
}

static void drained(struct bytes *b)
{
	free(b->ring);
	bytes_init(b);
}

static uint32_t *place(struct bytes *b, uint32_t n)
{
	return b->ring == NULL ? &b->one : &b->ring[n & (b->cap - 1)];
}

static void link_to(struct bytes_pool *p, uint32_t id, uint32_t next)
{
	struct bytes_seg *s;

	if (bytes_at(&p->map, id) == NULL)
		return;
	s = (struct bytes_seg *)p->map.base[id / BYTES_SEG_CHUNKS];
	/* relaxed: the ring's release store publishes it; pairs with the load in bytes_next */
	atomic_store_explicit((_Atomic uint32_t *)&s->next[id % BYTES_SEG_CHUNKS], next, memory_order_relaxed);
}

/* How many of len bytes at off lie in off's chunk. */
static size_t part_of(uint64_t off, size_t len)
{
	size_t room = BYTES_CHUNK - off % BYTES_CHUNK;

	return len < room ? len : room;
}

/* --- Bitmaps of segments ---------------------------------------------------------------------------------------------- */
static void set_bit(uint64_t *set, uint32_t i)
{
	set[i / 64] |= UINT64_C(1) << i % 64;
}

static void clear_bit(uint64_t *set, uint32_t i)
{
	set[i / 64] &= ~(UINT64_C(1) << i % 64);
}

static uint32_t lowest(const uint64_t *set)
{
	for (uint32_t w = 0; w < BYTES_SEGS_MAX / 64; w++)
		if (set[w] != 0)
			return w * 64 + (uint32_t)__builtin_ctzll(set[w]);
	return BYTES_NONE;
}

static uint32_t highest(const uint64_t *set)
{
	for (uint32_t w = BYTES_SEGS_MAX / 64; w-- > 0;)
		if (set[w] != 0)
			return w * 64 + 63 - (uint32_t)__builtin_clzll(set[w]);
	return BYTES_NONE;
}
