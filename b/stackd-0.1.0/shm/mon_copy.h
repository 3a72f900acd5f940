/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Copying bytes that the other process may be writing, or reading, at the same time.  What came of it is decided by
 * words that are atomic, before and after (mon.h); so an ordinary copy will do, except where a sanitizer would take
 * it for the mistake that it looks like.
 */
#ifndef SHM_MON_COPY_H
#define SHM_MON_COPY_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MON_COPY_BYTES 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define MON_COPY_BYTES 1
#endif

static inline void mon_copy(uint8_t *to, const uint8_t *from, size_t len)
{
#ifdef MON_COPY_BYTES
	for (size_t i = 0; i < len; i++) {
		uint8_t b = atomic_load_explicit((const _Atomic uint8_t *)&from[i], memory_order_relaxed);

		atomic_store_explicit((_Atomic uint8_t *)&to[i], b, memory_order_relaxed);
	}
#else
	if (len > 0)
		memcpy(to, from, len);
#endif
}

#endif
