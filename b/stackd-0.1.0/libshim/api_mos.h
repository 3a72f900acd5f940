/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public headers of mOS 0.3 as libshim's own files include them: everything else is hidden (-fvisibility=hidden).
 */
#pragma GCC visibility push(default)
#include "libshim/include/mos/mos_api.h"
#include "libshim/include/mos/mtcp_util.h"
#pragma GCC visibility pop
