/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public headers of mTCP 3.0 as libshim's own files include them: everything else is hidden (-fvisibility=hidden).
 */
#pragma GCC visibility push(default)
#include "libshim/include/mtcp/mtcp_epoll.h"
#include "libshim/include/mtcp/rss.h"
#pragma GCC visibility pop
