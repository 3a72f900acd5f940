/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The octets of one stream, put in order, whenever they come.
 *
 * While nothing is missing they go straight on.  From the first hole on, or from the beginning where that is not known, they wait in
 * a temporary file, since what is missing may still come: a retransmission of what was lost on the way to us only.  One thread.
 */
#ifndef EXAMPLES_OCTETS_H
#define EXAMPLES_OCTETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct octets_piece {
	int64_t off; /* in the stream */
	int64_t len;
	off_t at;    /* in the temporary file */
};

/* All zero but for `put` and `arg` is an empty one. */
struct octets {
	void (*put)(void *arg, const void *buf, size_t len); /* is given all of them, in order */
	void *arg;
	struct octets_piece *piece; /* what waits, by offset */
	size_t pieces, room;
	int64_t waiting; /* octets that wait */
	int64_t known;   /* all before is there, or not of the stream */
	int64_t low, end; /* the stream is [low, end), with holes */
	uint64_t bytes;  /* octets that are there */
	bool waits, settled;
};

/* The beginning is not known: octets may come that belong before those to come first. */
void octets_open(struct octets *o);

/* What comes next: octets, or a hole. */
void octets_next(struct octets *o, const void *buf, size_t len);
void octets_skip(struct octets *o, uint64_t len);

/* Octets from before the end; what is not there yet of them counts. */
void octets_late(struct octets *o, int64_t off, const void *buf, size_t len);

/* Nothing more comes: `put` is given what waits. */
void octets_close(struct octets *o);

uint64_t octets_missed(const struct octets *o);

#endif
