/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The payload of a segment while a script changes its length, for edit.c alone: pieces of what came, and of what the script puts in.  Each step
 * counts offsets in what the one before it left.  The bytes themselves stay where they are; what the steps come to, together, is one edit for
 * each gap between the pieces that are left.
 */
#ifndef STACKD_MON_PAYLOAD_H
#define STACKD_MON_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/mon.h"

enum { PAYLOAD_PIECES = 2 * MON_EDITS_MAX + 1 };

struct payload {
	struct {
		const uint8_t *put; /* in the script; NULL: from the payload as it came */
		uint32_t off, len;  /* off: there */
	} piece[PAYLOAD_PIECES];
	unsigned count;
	uint32_t came, len; /* bytes: as it came, as it is now */
	bool moved;         /* something was put in or removed */
};

/* `put` bytes take the place of `cut` bytes at `at` of the payload as it came. */
struct payload_gap {
	uint32_t at, cut, put;
	uint32_t end;  /* of the piece behind it */
	unsigned next; /* piece after that one */
};

void payload_begin(struct payload *pl, uint32_t len);

/* Up to MON_EDITS_MAX steps.  0; -EINVAL: there is no such place, or these were too many.  `bytes` must stay where they are. */
int payload_insert(struct payload *pl, uint32_t off, const uint8_t *bytes, uint32_t len);
int payload_remove(struct payload *pl, uint32_t off, uint32_t len);
/* own: the payload as it came, for what of it is overwritten. */
int payload_overwrite(struct payload *pl, uint8_t *own, uint32_t off, const uint8_t *bytes, uint32_t len);

/* The next gap, from *g = { 0 } on; its bytes are copied to `to`, which has room for pl->len.  False: there are no more. */
bool payload_next(const struct payload *pl, struct payload_gap *g, uint8_t *to);
/* The whole, copied to `to`. */
void payload_copy(const struct payload *pl, const uint8_t *own, uint8_t *to);

#endif
