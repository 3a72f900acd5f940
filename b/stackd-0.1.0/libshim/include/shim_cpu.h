/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What cpu.h of the samples gives; included by cpu.h of both trees.
 */
#ifndef SHIM_CPU_H
#define SHIM_CPU_H

#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* mtcp_core_affinitize() under the name that some samples use */
int CoreAffinitize(int cpu) __asm__("mtcp_core_affinitize");

static inline int GetNumCPUs(void)
{
	return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

#ifdef __cplusplus
}
#endif
#endif
