/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which engine a packet goes to; included by rss.h of both trees.
 *
 * The answers are those of the stackd that this process attached to last: its key, its table.  Before the first
 * mtcp_create_context there is none: -1 with ENOTCONN (GetRSSHash: 0).
 */
#ifndef SHIM_RSS_H
#define SHIM_RSS_H

#include <netinet/in.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Addresses and ports in network order.  num_queues: 0 for the engine's number, else modulo this. */
int GetRSSCPUCore(in_addr_t sip, in_addr_t dip, in_port_t sp, in_port_t dp, int num_queues);
/* Some programs give a sixth argument, about the byte order of a card: it says nothing here. */
#define GetRSSCPUCore(sip, dip, sp, dp, queues, ...) GetRSSCPUCore(sip, dip, sp, dp, queues)
uint32_t GetRSSHash(in_addr_t sip, in_addr_t dip, in_port_t sp, in_port_t dp);

#ifdef __cplusplus
}
#endif
#endif
