/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MTCP_SAMPLE_CPU_H
#define MTCP_SAMPLE_CPU_H
#include "../shim_cpu.h"
#endif
