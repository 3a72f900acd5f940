/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames from one engine to another, for ports whose hardware does not steer: rte_ring, one per pair of engines.
 *
 * Thread-safety: steer_put by engine `from` only, steer_get by engine `to` only.
 */
#ifndef STACKD_STEER_H
#define STACKD_STEER_H

#include "stackd/nic/pkt.h"

struct steer;

/* Rings between n engines.  NULL and errno; NULL with errno 0 when n is 1. */
struct steer *steer_create(unsigned n);
/* Frees what still waits: before the ports are closed. */
void steer_destroy(struct steer *s);

/* How many of the n were taken. */
unsigned steer_put(struct steer *s, unsigned from, unsigned to, struct pkt **pkts, unsigned n);
bool steer_waiting(const struct steer *s, unsigned to);
unsigned steer_count(const struct steer *s, unsigned to); /* how many wait for it */
unsigned steer_room(const struct steer *s, unsigned from, unsigned to); /* how many steer_put would take */
bool steer_taken(const struct steer *s, unsigned from); /* nothing that it has put still waits */
unsigned steer_get(struct steer *s, unsigned to, struct pkt **pkts, unsigned max);

#endif
