/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Packets of no flow, counted by the ends they went between.  One thread.
 */
#ifndef EXAMPLES_STRAYS_H
#define EXAMPLES_STRAYS_H

#include <stdint.h>

enum { STRAY_NAME = 64, STRAYS_MAX = 65536 };

/* a sent the first one; pkts: a's, b's */
typedef void (*strays_tell_fn)(const char *a, const char *b, const uint64_t pkts[2]);

/* When there are too many pairs of ends, all are told and begin anew. */
void strays_add(const char *from, const char *to, strays_tell_fn tell);

/* All, in no order; then there are none. */
void strays_tell(strays_tell_fn tell);

#endif
