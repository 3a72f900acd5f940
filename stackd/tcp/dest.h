/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is known of destinations, from one connection to the next: the MTU of the path, as routers said and a connection of ours
 * believed (RFC 1191, 6.3; RFC 8201, 5.2).
 *
 * A table of fixed size, in sets that a keyed hash chooses: who makes us learn of many destinations pushes out some, at random, which
 * costs their next connection one segment sent twice.  What is written down is forgotten after its time.  One thread.
 */
#ifndef STACKD_TCP_DEST_H
#define STACKD_TCP_DEST_H

#include <stdint.h>

#include "stackd/tcp/secret.h"

enum { DEST_SETS = 256, DEST_WAYS = 4 };

struct dest {
	struct ipaddr peer;
	uint32_t until_s; /* of the engine's clock */
	uint16_t mtu;     /* 0: a free one */
};

struct dest_table {
	struct dest at[DEST_SETS][DEST_WAYS];
};

/* Its path carries so much, until then; in the place of one like it, of a free one, or of the one that would be forgotten first. */
void dest_note(struct dest_table *d, const struct secret *s, const struct ipaddr *peer, uint16_t mtu, uint32_t now_s,
               uint32_t until_s);

/* NULL: nothing is known, or not any more.  Valid until the next dest_note(). */
struct dest *dest_find(struct dest_table *d, const struct secret *s, const struct ipaddr *peer, uint32_t now_s);

#endif
