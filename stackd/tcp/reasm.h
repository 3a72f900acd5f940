/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which parts of a stream beyond its in-order end are there: a sorted, bounded list of disjoint ranges.
 *
 * It keeps no payload: that lies at its place in the stream already.  The list is on the heap while there are ranges
 * and nowhere else.  tcp/ uses one for received data and one as the scoreboard of RFC 6675, mon/ one per side of a
 * flow.  One thread.
 */
#ifndef STACKD_TCP_REASM_H
#define STACKD_TCP_REASM_H

#include <stdbool.h>
#include <stdint.h>

struct reasm_range {
	uint64_t from, to; /* stream offsets, [from, to) */
	uint16_t turn;     /* of reasm.turn, when it grew */
};

struct reasm {
	struct reasm_range *range; /* NULL while there are none */
	uint16_t count, cap;
	uint16_t turn; /* counts what was added, modulo 2^16 */
};

/* All zero is an empty one. */

/* Note that [from, to) is there.  0; -ENOSPC when it would be range number max+1, -ENOMEM. */
int reasm_add(struct reasm *r, uint64_t from, uint64_t to, unsigned max);

/* The in-order end has reached `end`: forget what lies below, and what touches it; returns the new in-order end. */
uint64_t reasm_take(struct reasm *r, uint64_t end);

/* Forget [from, to).  What that would split is forgotten above `to`, too, when there is no room for one range more. */
void reasm_forget(struct reasm *r, uint64_t from, uint64_t to, unsigned max);

/* Is all of [from, to) there? */
bool reasm_has(const struct reasm *r, uint64_t from, uint64_t to);

/* Is something of [*from, *to) there?  Then the first piece that is. */
bool reasm_first(const struct reasm *r, uint64_t *from, uint64_t *to);

/* The first offset at or after `off` that is not there; *to: where the next range begins, UINT64_MAX: never. */
uint64_t reasm_hole(const struct reasm *r, uint64_t off, uint64_t *to);

/* The range that grew last before `than` did, of all where that is NULL: the order of SACK blocks (RFC 2018, section 4).  NULL: none. */
const struct reasm_range *reasm_grown_before(const struct reasm *r, const struct reasm_range *than);

/* Bytes noted in [from, to). */
uint64_t reasm_bytes(const struct reasm *r, uint64_t from, uint64_t to);

void reasm_clear(struct reasm *r);

#endif
