/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef MTCP_SAMPLE_RSS_H
#define MTCP_SAMPLE_RSS_H
#include "../shim_rss.h"
#endif
