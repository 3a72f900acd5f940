/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is in flight: each segment that was sent and is not acknowledged, when it was sent last, and what the peer has said of
 * it; and the state of the recovery that these are under.
 *
 * A connection has one while something is in flight, and none otherwise.  The list is bounded by the segments in flight.  Places
 * in the stream are 64-bit offsets, and a FIN takes the one after the last byte.  One thread.
 *
 * A segment is in one of three states: out (in the order of time: list from `oldest` to `newest`), SACKed, or lost and waiting to
 * be sent again.  What is out is RFC 6675's pipe.
 */
#ifndef STACKD_TCP_FLIGHT_H
#define STACKD_TCP_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "stackd/tcp/cc.h"
#include "stackd/tcp/reasm.h"

enum flight_marks {
	FLIGHT_SACKED = 1,
	FLIGHT_LOST = 2,
	FLIGHT_AGAIN = 4, /* sent more than once */
};

#define FLIGHT_NONE UINT32_MAX
enum { FLIGHT_FIRST = 8 };

struct flight_seg {
	uint64_t from, sent_us;
	uint32_t older, newer; /* neighbours in time, while it is out */
	uint16_t len;          /* of the stream: a FIN counts */
	uint8_t marks;         /* enum flight_marks */
};

/* RFC 5682: which acknowledgement is waited for after a timeout */
enum flight_frto { FRTO_OFF, FRTO_FIRST, FRTO_SECOND };

struct flight {
	struct flight_seg *seg;  /* ring: number n lies at n % cap */
	uint32_t cap, head, tail; /* numbers: [head, tail) are there, in the order of the stream */
	uint32_t oldest, newest;
	uint32_t lost_from;      /* no lost one has a smaller number */
	uint32_t sacked;         /* segments SACKed */
	uint32_t bytes, sacked_bytes, lost_bytes;
	struct reasm ranges;     /* what is SACKed, once more, so that a block told again costs nothing */

	/* RACK, RFC 8985 section 5.2: of the segment sent last among those delivered */
	uint64_t rack_sent_us, rack_end;
	uint32_t rack_rtt_us;
	uint64_t fack;           /* highest end delivered */

	uint64_t idle_us;        /* empty, it is kept until then; 0: it is not empty */

	/* TLP, RFC 8985 section 7.1 */
	uint64_t tlp_end;        /* 0: no probe is out */
	bool tlp_again;          /* it was a retransmission */
	bool tlp_wait;           /* no round trip was measured since the last probe */
	uint64_t reo_us;         /* when what may only be reordered is lost; 0: nothing is */

	/* PRR, RFC 6937 */
	uint32_t prr_delivered, prr_out, recover_fs;

	/* NewReno, RFC 6582 */
	bool partial;            /* a partial acknowledgement has come in this recovery */

	/* was it spurious? */
	bool undo_ready;
	uint8_t frto;            /* enum flight_frto */
	uint16_t undo_again;     /* retransmissions that no DSACK has named */
	uint64_t undo_from;      /* snd_una when it began */
	uint64_t undo_sent_us;   /* its first retransmission; 0: none yet */
	uint64_t undo_end_us;    /* the recovery is over: what comes later says nothing of it; 0: it is not */
	struct cc undo;

	/* is cwnd what holds the sender back?  in the last window */
	bool limited;
	uint32_t out_max;
	uint64_t limited_end;

	struct flight_seg first[FLIGHT_FIRST];
};

/* What one acknowledgement told. */
struct flight_news {
	uint64_t now_us;
	uint32_t echo_ms;     /* our clock when the segment that brought it about was sent, where echoed */
	uint32_t min_rtt_us;
	bool echoed;
	uint64_t recover;     /* what was sent before the recovery ends here */
	/* found */
	bool acked;           /* snd_una has moved */
	bool original;        /* something below `recover` has arrived that was sent once */
	bool dsack;
	bool marked;          /* with ECE: cwnd does not grow (RFC 3168, 6.1.2) */
	bool dup;             /* a duplicate ACK, RFC 5681; with SACK: one that told of something new */
	uint32_t delivered;   /* bytes */
	uint32_t bytes;       /* below snd_una */
	uint32_t longest;     /* of the segments there */
	uint32_t newly_sacked; /* bytes */
	uint32_t rtt_us;      /* 0: none */
	uint32_t reordered;   /* something sent once arrived after what lies, at most, so many bytes further; 0: nothing did */
	uint32_t dsack_from, dsack_to;
};

struct flight *flight_new(uint64_t from); /* NULL: no memory */
void flight_free(struct flight *f);       /* NULL is fine */

/* Sent at its end.  0; -ENOSPC: it would be segment number most + 1; -ENOMEM.  Call flight_room() first. */
int flight_room(struct flight *f, uint32_t most);
void flight_push(struct flight *f, uint64_t from, uint32_t len, bool again, uint64_t now_us);

/* All below `off` is acknowledged. */
void flight_acked(struct flight *f, uint64_t off, struct flight_news *n);

/* [from, to) is SACKed: what of it is whole segments.  false: nothing new. */
bool flight_sack(struct flight *f, uint64_t from, uint64_t to, unsigned ranges, struct flight_news *n);

/* The first lost segment: its number, or FLIGHT_NONE. */
uint32_t flight_lost(struct flight *f);

void flight_lose(struct flight *f, uint32_t no);
void flight_lose_all(struct flight *f);  /* but what is SACKed */
void flight_renege(struct flight *f);    /* what was SACKed is lost too */
void flight_found(struct flight *f);     /* nothing was lost: out again, as of when it was sent */
void flight_again(struct flight *f, uint32_t no, uint64_t now_us); /* sent again */

/* Segments above `most` bytes become several, and what is not SACKed is lost.  0 or -ENOMEM. */
int flight_cut(struct flight *f, uint32_t most);

/* This one becomes several of at most `most` bytes, all lost.  0 or -ENOMEM. */
int flight_split(struct flight *f, uint32_t no, uint32_t most);

static inline struct flight_seg *flight_at(const struct flight *f, uint32_t no)
{
	return &f->seg[no & (f->cap - 1)];
}

static inline uint32_t flight_pipe(const struct flight *f)
{
	return f == NULL ? 0 : f->bytes - f->sacked_bytes - f->lost_bytes;
}

#endif
