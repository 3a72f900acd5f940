/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The writer of an arena (shm/mon.h): flow records, streams in chunks, the packet log.
 *
 * All authority is private: which chunk is whose, what is free, what comes next.  The shared part is only ever
 * written. When chunks run out, those of ended flows are taken first, oldest first, then the oldest of living streams
 * (counted in `evicted`); readers find out by themselves.  One engine's thread, but for create and destroy.
 */
#ifndef STACKD_MON_ARENA_H
#define STACKD_MON_ARENA_H

#include "shm/mon.h"
#include "shm/region.h"

struct arena;

struct arena_conf {
	uint64_t size;      /* of the whole, bytes */
	uint64_t log_bytes; /* power of two, at most a quarter of size */
	uint32_t flows;     /* records: more than flows at once, so that who is told of an end has time to look */
	uint32_t span_max;  /* chunks that one stream may span, at most MON_SPAN_MAX */
};

/* Makes the region (class A, sparse) and its writer.  0 or -errno (-EINVAL: size too small for one chunk per 64
 * flows).  Control thread. */
int arena_create(const struct arena_conf *conf, struct region *mem, struct arena **out);
void arena_destroy(struct arena *a); /* not the region; accepts NULL */

/* A record for a new flow: its index, or MON_NONE.  The sides are filled in by arena_side and arena_update. */
uint32_t arena_open(struct arena *a, uint64_t serial, uint64_t born_us);
/* The flow has ended: its streams stay readable until their chunks are needed; the record until it is needed for
 * another flow (records freed longest ago are used first). */
void arena_close(struct arena *a, uint32_t rec);

/* A copy of a record, to be changed by the caller: all but serial, head, where and turn.  arena_changed() stores it
 * under the seqlock. Nothing else may be asked of the arena in between. */
struct mon_rec *arena_change(struct arena *a, uint32_t rec);
void arena_changed(struct arena *a, uint32_t rec);

/* Store len bytes at stream offset off of side's stream.  Version FIRST takes only what is not there yet, LAST all;
 * where the two come to differ, chunks are copied (and MON_SIDE_TWO is set).  What would stretch the stream beyond
 * span_max chunks pushes old chunks out from below (mon_side.head rises), unless it has fewer than that, and an index
 * chunk may still be added.  Returns the bytes of [off, off+len) that
 * are new to version FIRST.  Bytes that cannot be stored (too many pieces in a chunk) are dropped and counted.
 * Handles any off and len (len at most 65535). */
uint32_t arena_write(struct arena *a, uint32_t rec, unsigned side, uint64_t off, const uint8_t *bytes, uint32_t len);

/* Nothing below `head` is wanted any more / the buffer is off: give chunks back. */
void arena_trim(struct arena *a, uint32_t rec, unsigned side, uint64_t head);
void arena_drop(struct arena *a, uint32_t rec, unsigned side);

/* Put a frame into the log; fills in hdr->pos.  Returns the position.  Frames above MON_FRAME_MAX are cut. */
uint64_t arena_log(struct arena *a, struct mon_pkt *hdr, const uint8_t *frame);

/* Chunks handed out since the arena was made, and those it has; for back-pressure. */
uint64_t arena_stored(const struct arena *a);
uint32_t arena_chunks(const struct arena *a);
uint32_t arena_records(const struct arena *a);
uint64_t arena_logged(const struct arena *a); /* bytes put into the log since it was made */

struct arena_figures {
	uint64_t chunks_used, evicted, pieces_dropped, log_bytes, records_used;
};
void arena_figures(const struct arena *a, struct arena_figures *f);

#endif
