/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Maps of moved sequence numbers, for edit.c alone; what they are for says edit.h.
 *
 * An edit takes the place of `cut` bytes at sequence number `at` (as the packet had it before this map) by `put` others.  It belongs to the
 * segment that carries byte `at`; a `tail` edit, at the very end of a segment, to the one that carries the byte before.
 */
#ifndef STACKD_MON_MAP_H
#define STACKD_MON_MAP_H

#include "stackd/mon/edit.h"

/* Note an edit.  What has been edited already, or has passed unedited already, stays as it is: 0, too.  -ENOMEM; -ENOSPC: too much of it
 * is unacknowledged.  Between map_begin and map_commit edits can be taken back. */
int map_note(struct mon_flow *flow, unsigned side, unsigned layer, uint32_t reg, uint32_t at, uint32_t cut,
	     const uint8_t *bytes, uint32_t put, bool tail);
void map_begin(struct mon_flow *flow);
void map_commit(struct mon_flow *flow, bool keep);

/* edit.c: IP (and UDP) length fields and all checksums for p->len. */
void mon_edit_lengths(struct pkt *p, struct mon_seg *s);

#endif
