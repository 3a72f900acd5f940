/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Writer's side of the statistics segment (shm/stat.h).  stat_seg.c makes it and fills the names; engines write their
 * own parts in place, the control thread the rest.
 */
#ifndef STACKD_STAT_SEG_H
#define STACKD_STAT_SEG_H

#include "shm/region.h"
#include "shm/stat.h"
#include "stackd/conf.h"
#include "stackd/stats.h"

struct stat_seg {
	struct region region; /* class A, but sparse: flow records are touched only when used */
	struct stat_head *head;
};

int stat_seg_create(struct stat_seg *s, const struct conf *conf);
void stat_seg_destroy(struct stat_seg *s);

struct stat_engine *stat_seg_engine(struct stat_seg *s, unsigned engine);
struct stats *stat_seg_stats(struct stat_seg *s, unsigned engine); /* its counters */
struct stat_flow *stat_seg_flow(struct stat_seg *s, unsigned engine, uint32_t slot); /* NULL beyond the table */
struct stat_app *stat_seg_app(struct stat_seg *s, unsigned i);
struct stat_monitor *stat_seg_monitor(struct stat_seg *s, unsigned i); /* of app i */
struct stat_group *stat_seg_group(struct stat_seg *s, unsigned i);
struct stat_listener *stat_seg_listener(struct stat_seg *s, unsigned i);
struct stat_port *stat_seg_port(struct stat_seg *s, unsigned i);

/* "10.9.0.1/24 fd00::1/64", as many as fit. */
struct net_addr;
void stat_seg_addresses(struct stat_port *p, const struct net_addr *addr, unsigned n);

/* Bracket a change of a versioned record. */
void stat_write_begin(uint32_t *version);
void stat_write_end(uint32_t *version);

#endif
