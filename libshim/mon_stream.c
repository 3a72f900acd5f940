/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Peeking.  A cursor per flow's socket and side; the bytes are in the arena, and may go while they are read: mon_read.h says what
 * was really there.  A round sees the in-order stream up to where it ended at that moment; ppeek may look at pieces behind a hole.
 */
#include <errno.h>
#include <sched.h>
#include <time.h>

#include "libshim/mon.h"

enum { TRIES = 64, NAPS = 2000, NAP_US = 500, SHORT_NAP_US = 20, SHORT_NAPS = 10000 };

/* A record takes the engine a moment, unless somebody else has its core just then.  Should it be dead: a second. */
int act_rec(const struct mon_act *a, struct mon_rec *rec)
{
	const struct timespec nap = { 0, NAP_US * 1000 };
	int err = -EAGAIN;

	for (int i = 0; i < TRIES + NAPS && err == -EAGAIN; i++) {
		if (i >= TRIES)
			nanosleep(&nap, NULL);
		else if (i > 0)
			sched_yield();
		err = mon_read_rec(&a->lane->reader, a->flow, a->gen, rec);
	}
	return err;
}

/* stackd takes what it has been told, however busy it is.  Should it be dead: about a second. */
static void wait_taken(struct shim_mon *mon, struct shim_mlane *l)
{
	const struct timespec nap = { 0, SHORT_NAP_US * 1000 };

	for (int i = 0; i < TRIES + SHORT_NAPS && !atomic_load(&mon->lost); i++) {
		int room;

		if (l->owed != NULL)
			mon_owed_put(mon, l);
		mon_ring(l);
		room = ring_room(&l->cmds);
		if (l->owed == NULL && (room < 0 || (uint32_t)room == l->cmds.slots))
			return;
		if (i >= TRIES)
			nanosleep(&nap, NULL);
		else
			sched_yield();
	}
}

/* A record about a packet that is asked about ahead of its turn was written before the verdicts on those before it came there.  They are
 * on their way by now; once they are taken, and until the one on this packet, the flow's record is as it is to be seen here. */
int act_now(struct shim_mon *mon, struct mon_act *a, struct mon_rec *rec)
{
	bool ahead = a == mon->r.act && (mon->r.ev.flags & MEVF_AHEAD) != 0;
	int err;

	if (ahead)
		wait_taken(mon, a->lane);
	err = act_rec(a, rec);
	if (!ahead || err != 0)
		return err;
	mon->r.ev.flags &= (uint16_t)~MEVF_AHEAD;
	for (unsigned i = 0; i < 2; i++)
		a->next_off[i] = rec->side[i].next;
	return 0;
}

/* While the round is of a retransmission, the bytes are those that were first. */
static unsigned policy_of(const struct shim_mon *mon, const struct mon_act *a, int side)
{
	return (mon->r.ev.flags & MEVF_REXMIT) != 0 && a == mon->r.act ? MON_FIRST : a->b.policy[side];
}

/* The flow's socket and record.  0, or -errno; *gone: the record is another flow's by now. */
static int begin(struct shim_mon *mon, int sock, int side, struct mon_act **a, struct mon_rec *rec, bool *gone)
{
	int err;

	*a = mon_named_act(mon, sock, &err);
	if (*a == NULL)
		return err;
	if (side != MOS_SIDE_CLI && side != MOS_SIDE_SVR)
		return -EINVAL;
	err = act_now(mon, *a, rec);
	*gone = err == -ESTALE || err == -ERANGE;
	return *gone ? 0 : err;
}

static bool is_off(const struct mon_act *a, const struct mon_rec *rec, unsigned side)
{
	return a->from[side] == UINT64_MAX || (rec->side[side].flags & MON_SIDE_OFF) != 0;
}

/* Nothing is at the cursor: go on where something is.  Returns -(bytes passed over). */
static ssize_t skip(const struct mon_act *a, const struct mon_rec *rec, unsigned side, unsigned policy, uint64_t *cursor)
{
	uint64_t from = *cursor, end = a->next_off[side], to = UINT64_MAX, at = from > a->from[side] ? from : a->from[side];

	if (rec != NULL && at < end)
		to = mon_find(&a->lane->reader, rec, side, policy, at, end);
	*cursor = to < end ? to : end;
	(void)shim_ret(-ENODATA);
	return -(ssize_t)(*cursor - from);
}

ssize_t mtcp_peek(mctx_t mctx, int sock, int side, char *buf, size_t len)
{
	struct shim_mon *mon = mon_enter(mctx);
	struct mon_rec rec;
	struct mon_act *a;
	bool gone = false;
	unsigned policy;
	uint64_t left;
	int err;

	if (mon == NULL)
		return -1;
	err = begin(mon, sock, side, &a, &rec, &gone);
	if (err != 0 || (buf == NULL && len > 0))
		return shim_ret(err == -ESOCKTNOSUPPORT ? -ENOTSOCK : err != 0 ? err : -EINVAL);
	if (a->cursor[side] >= a->next_off[side] || len == 0)
		return 0;
	if (gone)
		return skip(a, NULL, (unsigned)side, 0, &a->cursor[side]);
	if (is_off(a, &rec, (unsigned)side))
		return 0;
	left = a->next_off[side] - a->cursor[side];
	policy = policy_of(mon, a, side);
	if (a->cursor[side] < a->from[side])
		len = 0;
	else
		len = mon_read_stream(&a->lane->reader, &rec, (unsigned)side, policy, a->cursor[side], buf, left < len ? left : len);
	if (len == 0)
		return skip(a, &rec, (unsigned)side, policy, &a->cursor[side]);
	a->cursor[side] += len;
	return (ssize_t)len;
}

ssize_t mtcp_ppeek(mctx_t mctx, int sock, int side, char *buf, size_t count, uint64_t off)
{
	struct shim_mon *mon = mon_enter(mctx);
	struct mon_rec rec;
	struct mon_act *a;
	bool gone = false;
	size_t n = 0;
	int err;

	if (mon == NULL)
		return -1;
	err = begin(mon, sock, side, &a, &rec, &gone);
	if (err != 0 || (buf == NULL && count > 0))
		return shim_ret(err != 0 ? err : -EINVAL);
	if (count == 0)
		return 0;
	if (off <= a->next_off[side] && count > a->next_off[side] - off)
		count = a->next_off[side] - off; /* the byte there came later than this round's event */
	if (!gone && count > 0 && off >= a->from[side])
		n = mon_read_stream(&a->lane->reader, &rec, (unsigned)side, policy_of(mon, a, side), off, buf, count);
	return n > 0 ? (ssize_t)n : shim_ret(-ENODATA);
}

ssize_t mtcp_peek_ptr(mctx_t mctx, int sock, int side, const char **ptr)
{
	struct shim_mon *mon = mon_enter(mctx);
	struct mon_rec rec;
	struct mon_act *a;
	bool gone = false;
	unsigned policy;
	uint64_t left;
	size_t len = 0;
	int err;

	if (mon == NULL)
		return -1;
	err = begin(mon, sock, side, &a, &rec, &gone);
	if (err != 0 || ptr == NULL)
		return shim_ret(err == -ESOCKTNOSUPPORT ? -ENOTSOCK : err != 0 ? err : -EINVAL);
	*ptr = NULL;
	if (a->cursor[side] >= a->next_off[side])
		return 0;
	if (gone)
		return skip(a, NULL, (unsigned)side, 0, &a->cursor[side]);
	if (is_off(a, &rec, (unsigned)side))
		return 0;
	left = a->next_off[side] - a->cursor[side];
	policy = policy_of(mon, a, side);
	if (a->cursor[side] >= a->from[side])
		*ptr = (const char *)mon_at(&a->lane->reader, &rec, (unsigned)side, policy, a->cursor[side], &len);
	if (*ptr == NULL)
		return skip(a, &rec, (unsigned)side, policy, &a->cursor[side]);
	return (ssize_t)(left < len ? left : len);
}

ssize_t mtcp_peek_advance(mctx_t mctx, int sock, int side, size_t len)
{
	struct shim_mon *mon = mon_enter(mctx);
	struct mon_rec rec;
	struct mon_act *a;
	bool gone = false;
	int err;

	if (mon == NULL)
		return -1;
	err = begin(mon, sock, side, &a, &rec, &gone);
	/* what mtcp_peek_ptr shows lies in one chunk */
	if (err == 0 && len > 0 && (a->cursor[side] < a->from[side] || len > a->next_off[side] - a->cursor[side] || len > MON_CHUNK - a->cursor[side] % MON_CHUNK))
		err = -EINVAL;
	if (err != 0)
		return shim_ret(err == -ESOCKTNOSUPPORT ? -ENOTSOCK : err);
	if (len == 0)
		return 0;
	if (gone || !mon_still(&a->lane->reader, &rec, (unsigned)side, policy_of(mon, a, side), a->cursor[side]))
		return shim_ret(-ENODATA);
	a->cursor[side] += len;
	return (ssize_t)len;
}
