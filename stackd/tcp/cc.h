/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Congestion control: how large cwnd is.  When to send what again is not decided here (out.c, recover.c).
 *
 * An algorithm is a table of four functions over a struct cc, private to the connection.  cc_cubic.c is RFC 9438 with
 * HyStart++ (RFC 9406), cc_reno.c RFC 5681.  Windows are in bytes.  Pure functions: no clock, no connection.
 */
#ifndef STACKD_TCP_CC_H
#define STACKD_TCP_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/proto.h"

struct cc {
	uint32_t cwnd, ssthresh;
	uint32_t acked; /* bytes acknowledged since cwnd last grew in congestion avoidance */
	uint8_t name;   /* enum cc_name */
	uint8_t css_rounds;    /* HyStart++: rounds spent in conservative slow start; 0: not in it */
	uint8_t samples;       /* HyStart++: RTTs seen this round */
	uint8_t pad;
	uint32_t round_end;    /* HyStart++: the round ends when this sequence number is acknowledged */
	uint32_t round_rtt_us, last_rtt_us; /* HyStart++: smallest RTT of this round and of the last one */
	uint32_t css_base_us;  /* HyStart++: RTT that sent us to conservative slow start */
	uint32_t w_max;        /* CUBIC: bytes */
	uint32_t w_est;        /* CUBIC: what Reno would have, bytes */
	uint64_t w_est_rest;   /* CUBIC: what its last division left */
	uint32_t k_ms;         /* CUBIC: time from the epoch until w_max is reached again */
	uint32_t epoch_cwnd;   /* CUBIC: cwnd at the start of the epoch */
	uint64_t epoch_us;     /* CUBIC: start of the epoch; 0: none */
};

struct cc_ack {
	uint64_t now_us;
	uint32_t bytes;  /* newly acknowledged */
	uint32_t most;   /* of which so many count in slow start (RFC 3465) */
	uint32_t rtt_us; /* this acknowledgement's sample, 0: none */
	uint32_t srtt_us;
	uint32_t mss;
	uint32_t una, nxt; /* SND.UNA after it, SND.NXT */
	bool limited;      /* cwnd was what held the sender back (RFC 7661, 4.1): only then may it grow */
};

struct cc_ops {
	const char *name;
	void (*init)(struct cc *cc);                                      /* own fields; cwnd and ssthresh are set */
	void (*acked)(struct cc *cc, const struct cc_ack *a);             /* in-order progress, outside recovery */
	void (*lost)(struct cc *cc, uint32_t flight, uint32_t mss);       /* one congestion event: sets ssthresh */
	void (*timeout)(struct cc *cc, uint32_t flight, uint32_t mss);    /* RTO: sets ssthresh; the caller sets cwnd */
};

extern const struct cc_ops cc_cubic, cc_reno;

const struct cc_ops *cc_ops(uint8_t name); /* any number; unknown ones are CUBIC */

void cc_init(struct cc *cc, uint8_t name, uint32_t cwnd);
void cc_select(struct cc *cc, uint8_t name); /* keeps cwnd and ssthresh */

static inline bool cc_slow_start(const struct cc *cc)
{
	return cc->cwnd < cc->ssthresh;
}

/* RFC 5681 3.1: slow start ends at ssthresh, also in the midst of what one ACK covers. */
static inline void cc_grow(struct cc *cc, uint32_t bytes)
{
	cc->cwnd = bytes < cc->ssthresh - cc->cwnd ? cc->cwnd + bytes : cc->ssthresh;
}

#endif
