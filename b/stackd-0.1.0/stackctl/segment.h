/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The reader's side of the statistics segment (shm/stat.h): mapped read-only, its offsets checked once, every record copied
 * before it is looked at.
 */
#ifndef STACKCTL_SEGMENT_H
#define STACKCTL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "shm/stat.h"

struct segment {
	const void *base;
	size_t size;
	struct stat_head head; /* a copy: checked, and it does not change */
};

/* Map fd, which the caller keeps.  0, or -1 with a sentence in why. */
int segment_map(struct segment *s, int fd, char *why, size_t why_size);
void segment_unmap(struct segment *s);

/* Copies.  False when there is no such record, when it is unused, or when it changes faster than it can be read.  Strings
 * in what they give end with NUL. */
bool segment_app(const struct segment *s, unsigned i, struct stat_app *a);
bool segment_monitor(const struct segment *s, unsigned i, struct stat_monitor *m); /* of app i */
bool segment_group(const struct segment *s, unsigned i, struct stat_group *g);
bool segment_listener(const struct segment *s, unsigned i, struct stat_listener *l);
bool segment_flow(const struct segment *s, unsigned engine, unsigned slot, struct stat_flow *f);
bool segment_port(const struct segment *s, unsigned i, struct stat_port *p);
bool segment_engine(const struct segment *s, unsigned i, struct stat_engine *e); /* without n[] */
uint64_t segment_counter(const struct segment *s, unsigned engine, unsigned counter);
bool segment_counter_name(const struct segment *s, unsigned counter, struct stat_name *n);
bool segment_nic_name(const struct segment *s, unsigned counter, struct stat_name *n);

#endif
