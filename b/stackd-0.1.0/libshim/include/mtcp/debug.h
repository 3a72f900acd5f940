/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MTCP_SAMPLE_DEBUG_H
#define MTCP_SAMPLE_DEBUG_H
#include "../shim_debug.h"
#endif
