/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Keyed hashes over a connection's tuple: table position, initial sequence numbers, timestamp offsets, cookies, ports.
 *
 * One SipHash-2-4 under keys from the configuration; each purpose has its own number in the hashed text, so that what
 * one reveals tells nothing about another.
 */
#ifndef STACKD_TCP_SECRET_H
#define STACKD_TCP_SECRET_H

#include <stdint.h>

#include "shm/proto.h"

/* A connection's name, as this end sees it. */
struct tuple {
	struct ipaddr local, peer;
	uint16_t lport, pport;
};

struct secret {
	uint64_t key[4]; /* two keys: [0..1] for what stays inside, [2..3] for what the wire sees */
};

void secret_init(struct secret *s, const uint8_t bytes[32]);

/* Where the tuple lies in the connection table. */
uint32_t secret_flow(const struct secret *s, const struct tuple *t);

/* RFC 6528: ISN = M + F(tuple, key), M a clock of 4 us. */
uint32_t secret_isn(const struct secret *s, const struct tuple *t, uint64_t now_us);

/* RFC 7323 5.4: what is added to the clock to make our TSval.  The same for each incarnation of a tuple, so that it rises
 * from one to the next. */
uint32_t secret_ts_offset(const struct secret *s, const struct tuple *t);

/* RFC 6056 3.3.4: F and G; the ports in t are ignored but pport. */
uint32_t secret_port(const struct secret *s, const struct tuple *t, unsigned which);

/* RFC 4987: authenticates a SYN cookie for the peer's ISN and a 24-bit time. */
uint32_t secret_cookie(const struct secret *s, const struct tuple *t, uint32_t irs, uint32_t minute, unsigned mss);

/* A number that the wire cannot guess, the same for the same n. */
uint32_t secret_number(const struct secret *s, uint64_t n);

#endif
