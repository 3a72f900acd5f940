/* SPDX-License-Identifier: BSD-3-Clause
 *
 * For builds with ThreadSanitizer: the order between threads that it cannot see, because liburcu and DPDK, which make it, are
 * not built with it.  What one thread releases is in order for another that acquires it.  Nothing at all in other builds.
 */
#ifndef STACKD_TSAN_H
#define STACKD_TSAN_H

#ifdef __has_feature
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#else
#define __tsan_acquire(addr) ((void)(addr))
#define __tsan_release(addr) ((void)(addr))
#endif

static inline void tsan_acquire(void *addr)
{
	__tsan_acquire(addr);
}

static inline void tsan_release(void *addr)
{
	__tsan_release(addr);
}

#endif
