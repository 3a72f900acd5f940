/* SPDX-License-Identifier: BSD-3-Clause
 *
 * An arena, its reader, and bytes that say where they belong.
 */
#ifndef ARENA_FIXTURE_H
#define ARENA_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shm/mon_read.h"
#include "stackd/mon/arena.h"

static struct region mem;
static struct arena *arena;
static struct mon_reader reader;

/* An arena of at least so many chunks. */
static inline void make_log(uint32_t flows, uint32_t chunks, uint32_t span_max, uint64_t log_bytes)
{
	struct arena_conf conf = { .log_bytes = log_bytes, .flows = flows, .span_max = span_max };

	conf.size = 4 * log_bytes + (uint64_t)flows * sizeof(struct mon_rec) + (uint64_t)chunks * (MON_CHUNK + SHM_LINE);
	ck_assert_int_eq(arena_create(&conf, &mem, &arena), 0);
	ck_assert_uint_ge(arena_chunks(arena), chunks);
	ck_assert_int_eq(mon_reader_init(&reader, mem.base, mem.size), 0);
}

static inline void make(uint32_t flows, uint32_t chunks, uint32_t span_max)
{
	make_log(flows, chunks, span_max, 4096);
}

static inline void unmake(void)
{
	arena_destroy(arena);
	region_destroy(&mem);
	arena = NULL;
}

/* xorshift: tests repeat exactly */
static inline uint32_t rnd(uint64_t *state, uint32_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 20) % below;
}

/* The byte at an offset of a stream; its low two bits are free for variants that arrive later. */
static inline uint8_t byte_at(uint64_t serial, unsigned side, uint64_t off)
{
	return (uint8_t)(((off + serial * 0x10001 + side * 77) * 0x9e3779b97f4a7c15u) >> 56) & 0xfc;
}

static inline uint32_t put_variant(uint32_t rec, uint64_t serial, unsigned side, uint64_t off, uint32_t len, unsigned variant)
{
	static _Thread_local uint8_t buf[65536];

	for (uint32_t i = 0; i < len; i++)
		buf[i] = byte_at(serial, side, off + i) | variant;
	return arena_write(arena, rec, side, off, buf, len);
}

static inline uint32_t put(uint32_t rec, uint64_t serial, unsigned side, uint64_t off, uint32_t len)
{
	return put_variant(rec, serial, side, off, len, 0);
}

static inline struct mon_rec rec_of(uint32_t rec, uint64_t serial)
{
	struct mon_rec r;

	ck_assert_int_eq(mon_read_rec(&reader, rec, (uint32_t)serial, &r), 0);
	return r;
}

/* Publish how far side's stream is in order. */
static inline void in_order(uint32_t rec, unsigned side, uint64_t next)
{
	arena_change(arena, rec)->side[side].next = next;
	arena_changed(arena, rec);
}

#endif
