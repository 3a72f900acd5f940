/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading an arena (mon.h): everything is copied, then checked, and only then believed.  Safe against any contents whatever: ids,
 * offsets and lengths are checked against the mapped size.  Any thread; nothing here waits or writes.
 */
#ifndef SHM_MON_READ_H
#define SHM_MON_READ_H

#include <stdbool.h>
#include <sys/types.h>

#include "shm/mon.h"

struct mon_reader {
	const uint8_t *base;
	uint64_t size;
	struct mon_arena head; /* copied and checked once */
};

/* 0, or -EPROTO when what lies at base is no arena that fits into size bytes. */
int mon_reader_init(struct mon_reader *r, const void *base, uint64_t size);

/* A consistent copy of a flow's record.  0, -ESTALE when index holds another flow by now (gen: low half of the serial), -ERANGE,
 * -EAGAIN when the writer kept changing it (bounded tries). */
int mon_read_rec(const struct mon_reader *r, uint32_t index, uint32_t gen, struct mon_rec *out);

/* Copy the bytes that are there from stream offset off on, without a hole, at most len, in version `policy` of the stream side of rec
 * (as mon_read_rec gave it).  Returns how many: 0 when byte off is not there. */
size_t mon_read_stream(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t off,
		       void *buf, size_t len);

/* The first offset at or after off, below end, that is there; UINT64_MAX: none. */
uint64_t mon_find(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t off,
		  uint64_t end);

/* Pieces of the stream that are there in [from, end), merged across chunks: fills at most max, returns how many there are. */
struct mon_piece {
	uint64_t from, to;
};
size_t mon_pieces(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t from,
		  uint64_t end, struct mon_piece *piece, size_t max);

/* Zero copy: the address of byte off and, in *len, how many lie there in a row (within one chunk).  NULL: not there.  Use it, then ask
 * mon_still(): false means that what was read may have been anything.  With the record that mon_at() had it tells for any
 * byte; with a newer copy for those that were in order (below mon_side.next). */
const uint8_t *mon_at(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t off,
		      size_t *len);
bool mon_still(const struct mon_reader *r, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t off);

/* Copy a packet of the log: its header and at most room bytes of its frame.  0, -ENODATA when it is gone, -EPROTO. */
int mon_read_pkt(const struct mon_reader *r, uint64_t pos, struct mon_pkt *hdr, void *frame, size_t room);

#endif
