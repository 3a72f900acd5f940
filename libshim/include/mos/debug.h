/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MTCP_SAMPLE_DEBUG_H
#define MTCP_SAMPLE_DEBUG_H
#include <assert.h> /* programs count on it */

#include "../shim_debug.h"
#endif
