/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The trace macros of the samples; included by debug.h of both trees.  ERROR and CONFIG go to standard error and standard output,
 * INFO too when the program is compiled with -DINFO, the others with -D of DBGMSG and of their own name.
 */
#ifndef SHIM_DEBUG_H
#define SHIM_DEBUG_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHIM_TRACE(stream, ...) \
	do { \
		fprintf(stream, "%s:%d ", __func__, __LINE__); \
		fprintf(stream, __VA_ARGS__); \
	} while (0)
/* compiled, so that arguments count as used, but never run */
#define SHIM_TRACE_OFF(...) \
	do { \
		if (0) \
			fprintf(stderr, __VA_ARGS__); \
	} while (0)

#define TRACE_CONFIG(...) fprintf(stdout, __VA_ARGS__)
#define TRACE_ERROR(...) SHIM_TRACE(stderr, __VA_ARGS__)
#define TRACE_LOG(...) SHIM_TRACE(stderr, __VA_ARGS__)

#ifdef INFO
#define TRACE_INFO(...) SHIM_TRACE(stderr, __VA_ARGS__)
#else
#define TRACE_INFO(...) SHIM_TRACE_OFF(__VA_ARGS__)
#endif

#ifdef DBGMSG
#define TRACE_DBG(...) SHIM_TRACE(stderr, __VA_ARGS__)
#else
#define TRACE_DBG(...) SHIM_TRACE_OFF(__VA_ARGS__)
#endif

#if defined(DBGMSG) && defined(EPOLL)
#define TRACE_EPOLL(...) SHIM_TRACE(stderr, __VA_ARGS__)
#else
#define TRACE_EPOLL(...) SHIM_TRACE_OFF(__VA_ARGS__)
#endif

#if defined(DBGMSG) && defined(APP)
#define TRACE_APP(...) SHIM_TRACE(stderr, __VA_ARGS__)
#else
#define TRACE_APP(...) SHIM_TRACE_OFF(__VA_ARGS__)
#endif

#if defined(DBGMSG) && defined(DBGFUNC)
#define TRACE_FUNC(...) SHIM_TRACE(stderr, __VA_ARGS__)
#else
#define TRACE_FUNC(...) SHIM_TRACE_OFF(__VA_ARGS__)
#endif

#endif
