/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How far monitors are behind: what lossless ones must have taken before more of a capture is read, and when all are ready for it
 * to begin.
 */
#include <limits.h>

#include "stackd/mon/priv.h"

void mon_lane_mark(const struct mon *m, struct mon_lane *l)
{
	l->mark.stored = arena_stored(l->group->arena);
	l->mark.logged = arena_logged(l->group->arena);
	l->mark.bytes = m->stats->n[CNT_MON_BYTES];
}

/* Is what it has not looked at yet in danger of being pushed out of the arena, of a stream, of the log? */
static bool lane_is_behind(const struct mon *m, const struct mon_lane *l)
{
	const struct arena *a = l->group->arena;

	return arena_stored(a) - l->mark.stored >= arena_chunks(a) / 4 ||
	       arena_logged(a) - l->mark.logged >= m->conf.log_bytes / 2 ||
	       m->stats->n[CNT_MON_BYTES] - l->mark.bytes >= m->conf.buffer_max / 2;
}

/* A packet needs room for all the records that it may cause. */
static unsigned lane_has_room(const struct mon *m, struct mon_lane *l)
{
	unsigned socks = (unsigned)__builtin_popcountll(l->slots), each = PKT_RECORDS * (socks > 0 ? socks : 1);
	unsigned enough = l->events.slots / 2 < NET_BURST * each ? l->events.slots / 2 : NET_BURST * each;
	int room = ring_room(&l->events);

	if (room < 0)
		return UINT_MAX;
	if ((unsigned)room == l->events.slots) {
		mon_lane_mark(m, l);
		return (unsigned)room > each ? (unsigned)room / each : 1;
	}
	return (unsigned)room < enough || lane_is_behind(m, l) ? 0 : (unsigned)room / each;
}

/* On a wire nobody answers a packet that is held; so the next of a capture may come when this one has been decided. */
static unsigned lane_can_take(const struct mon *m, struct mon_lane *l)
{
	unsigned room;

	if (l->bad != NULL || l->leaving)
		return UINT_MAX;
	if (l->policy.inline_ok && l->held > 0)
		return 0;
	room = l->lossless ? lane_has_room(m, l) : UINT_MAX;
	return l->policy.inline_ok && room > 1 ? 1 : room;
}

unsigned mon_can_take(const struct mon *m)
{
	unsigned least = UINT_MAX;

	for (unsigned i = 0; i < m->rooms && least > 0; i++) {
		unsigned n = lane_can_take(m, m->room[i].lane);

		least = n < least ? n : least;
	}
	return least;
}

unsigned mon_socks_ready(const struct mon *m, uint64_t now_us)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->chained; i++) {
		const struct mon_slot *s = &m->slot[m->chain[i]];

		n += (s->flags & MON_SOCK_READY) != 0 || now_us - s->changed_us >= QUIET_US;
	}
	return n;
}
