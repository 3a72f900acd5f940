/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The helpers that mOS 0.3 gives its programs.
 */
#ifndef MTCP_UTIL_H
#define MTCP_UTIL_H

#include <stddef.h>
#include <stdint.h>

#include "rss.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Splits str in place at blanks ("..." keeps them) into at most max_argc - 1 words and a NULL.  Returns their number, which goes to
 * *argc too. */
int StrToArgs(char *str, int *argc, char **argv, int max_argc) __asm__("mtcp_str_to_args");

/* xxHash of len bytes */
unsigned int XXH32(const void *input, size_t len, unsigned int seed) __asm__("mtcp_xxh32");
unsigned long long XXH64(const void *input, size_t len, unsigned long long seed) __asm__("mtcp_xxh64");

#ifdef __cplusplus
}
#endif
#endif
