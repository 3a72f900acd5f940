/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Single producer, single consumer ring of 64-byte slots between two processes that do not trust each other.
 *
 * The producer fills a slot's body and stores its lap word last; the consumer looks at the lap word, copies the body once
 * into its own memory, and works on the copy.  Positions are private to each side and run freely; the consumer publishes
 * how far it is, once a batch, in a word of *its own* memory, which the producer reads to know the room.
 *
 * Thread-safety: one thread per end.  Everything that the other side may write is read through this file only.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "shm/proto.h"

struct ring_prod {
	struct ring_slot *slot;
	const uint32_t *done; /* the consumer's progress, in the consumer's memory */
	uint32_t slots;       /* power of two */
	uint32_t head;        /* next position to fill */
	uint32_t seen;        /* last believable value of *done */
};

struct ring_cons {
	const struct ring_slot *slot;
	uint32_t *done; /* our progress, in our memory */
	uint32_t slots;
	uint32_t tail; /* next position to read */
};

static inline void ring_prod_init(struct ring_prod *r, struct ring_slot *slot, const uint32_t *done, uint32_t slots)
{
	*r = (struct ring_prod){ .slot = slot, .done = done, .slots = slots };
}

static inline void ring_cons_init(struct ring_cons *r, const struct ring_slot *slot, uint32_t *done, uint32_t slots)
{
	*r = (struct ring_cons){ .slot = slot, .done = done, .slots = slots };
}

/* Free slots, or -EPROTO when the consumer claims to have read what was never written or unread what it had read. */
static inline int ring_room(struct ring_prod *r)
{
	/* pairs with the release in ring_done: slots it frees have been copied out */
	uint32_t done = atomic_load_explicit((const _Atomic uint32_t *)r->done, memory_order_acquire);

	if (r->head - done > r->head - r->seen)
		return -EPROTO;
	r->seen = done;
	return (int)(r->slots - (r->head - done));
}

/* Records that the consumer has not read yet, as it claims; for any thread's eyes. */
static inline uint32_t ring_lag(const struct ring_prod *r)
{
	uint32_t lag = r->head - atomic_load_explicit((const _Atomic uint32_t *)r->done, memory_order_relaxed);

	return lag < r->slots ? lag : r->slots;
}

/* Put one record.  0, -ENOBUFS when the ring is full, -EPROTO as above.  len is at most 60. */
static inline int ring_put(struct ring_prod *r, const void *body, size_t len)
{
	struct ring_slot *s = &r->slot[r->head & (r->slots - 1)];

	if (r->head - r->seen >= r->slots) {
		int room = ring_room(r);

		if (room <= 0)
			return room < 0 ? room : -ENOBUFS;
	}
	memcpy(s->body, body, len);
	/* pairs with the acquire in ring_get */
	atomic_store_explicit((_Atomic uint32_t *)&s->lap, r->head / r->slots + 1, memory_order_release);
	r->head++;
	return 0;
}

/* Is there a record? */
static inline bool ring_ready(const struct ring_cons *r)
{
	const struct ring_slot *s = &r->slot[r->tail & (r->slots - 1)];

	return atomic_load_explicit((const _Atomic uint32_t *)&s->lap, memory_order_acquire) == r->tail / r->slots + 1;
}

/* Copy the next record to body (60 bytes) and step over it.  False when there is none. */
static inline bool ring_get(struct ring_cons *r, void *body)
{
	if (!ring_ready(r)) /* acquire: pairs with the release in ring_put */
		return false;
	memcpy(body, r->slot[r->tail & (r->slots - 1)].body, sizeof(r->slot->body));
	r->tail++;
	return true;
}

/* Publish what was read, once a batch. */
static inline void ring_done(struct ring_cons *r)
{
	/* pairs with the acquire in ring_room */
	atomic_store_explicit((_Atomic uint32_t *)r->done, r->tail, memory_order_release);
}

/* --- Doorbells --------------------------------------------------------------------------------------------------------
 * The consumer stores a non-zero sleeping word, fences, looks at its ring once more, and only then blocks.  The producer
 * puts, fences, and rings if the word is set.  The two fences make one of them see the other (store buffering).
 */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan" /* it does not model fences; nothing but the words themselves relies on these */
#endif
static inline void bell_sleep(uint32_t *word, uint32_t value)
{
	atomic_store_explicit((_Atomic uint32_t *)word, value, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

static inline void bell_wake(uint32_t *word)
{
	atomic_store_explicit((_Atomic uint32_t *)word, 0, memory_order_relaxed);
}

/* The sleeping word as the producer sees it, after everything it put. */
static inline uint32_t bell_look(const uint32_t *word)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit((const _Atomic uint32_t *)word, memory_order_relaxed);
}
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif
