/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The one place that asks what time it is.  Everything else is told.
 */
#ifndef STACKD_CLOCK_H
#define STACKD_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Microseconds of CLOCK_MONOTONIC. */
static inline uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

#endif
