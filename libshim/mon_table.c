/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who is registered for what.
 *
 * A table is a sorted list of registrations, and, once frozen, the nodes that a dispatch walks: every event that somebody waits for, it
 * or one below it.  A watch has a table of its own; a flow uses its watch's until a callback registers on the flow's own socket.  From
 * then on it has another one, which is found by its contents, so that thousands of flows that do the same share it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libshim/mon.h"

/* what programs write is what records say */
static_assert((int)MOS_ON_PKT_IN == MON_PKT_IN && (int)MOS_ON_CONN_START == MON_CONN_START &&
	      (int)MOS_ON_CONN_NEW_DATA == MON_NEW_DATA && (int)MOS_ON_ERROR == MON_ERROR &&
	      (int)MOS_ON_TCP_STATE_CHANGE == MON_STATE_CHANGE && (int)MOS_ON_ORPHAN == MON_ORPHAN &&
	      (int)MOS_ON_REXMIT == MON_REXMIT && (int)MOS_ON_CONN_END == MON_CONN_END, "events");
static_assert((int)MOS_SIDE_CLI == MON_CLI && (int)MOS_SIDE_SVR == MON_SVR && (int)MOS_SIDE_BOTH == MON_BOTH, "sides");
static_assert((int)MOS_TCP_CLOSED == MON_CLOSED && (int)MOS_TCP_TIME_WAIT == MON_TIME_WAIT, "states");
static_assert((int)MOS_OVERLAP_POLICY_FIRST == MON_FIRST && (int)MOS_OVERLAP_POLICY_LAST == MON_LAST, "overlap policies");

enum { KEPT_REGS = 1 << 19 }; /* registrations in tables that nobody uses just now */

static unsigned bit_of(event_t event)
{
	return (unsigned)__builtin_ctz(mon_root(event));
}

static int compare(const struct mon_reg *a, unsigned hook, event_t event)
{
	if (a->hook != hook)
		return a->hook < hook ? -1 : 1;
	return a->event < event ? -1 : a->event > event;
}

/* Where (hook, event) is, or would be. */
static uint32_t place(const struct mon_table *t, unsigned hook, event_t event)
{
	uint32_t lo = 0, hi = t->regs;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (compare(&t->reg[mid], hook, event) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct mon_reg *find(const struct mon_table *t, unsigned hook, event_t event)
{
	uint32_t i = place(t, hook, event);

	return i < t->regs && compare(&t->reg[i], hook, event) == 0 ? &t->reg[i] : NULL;
}

/* A set's hash is the sum of its members', so a change needs no second look at the others. */
static void hash_change(uint64_t hash[2], const struct mon_reg *reg, bool in)
{
	uint64_t key[4] = { reg->event, reg->hook, reg->is_four, 0 };

	memcpy(&key[3], &reg->cb, sizeof(reg->cb));
	for (unsigned i = 0; i < 2; i++) {
		uint64_t h = XXH64(key, sizeof(key), i + 1);

		hash[i] = in ? hash[i] + h : hash[i] - h;
	}
}

/* --- Tables ------------------------------------------------------------------------------------------------------------ */

struct mon_table *table_new(void)
{
	struct mon_table *t = calloc(1, sizeof(*t));

	if (t != NULL)
		t->refs = 1;
	return t;
}

struct mon_table *table_copy(const struct mon_table *t)
{
	struct mon_table *n = table_new();

	if (n == NULL)
		return NULL;
	n->cap = t->regs + 4;
	n->reg = malloc(n->cap * sizeof(*n->reg));
	if (n->reg == NULL) {
		free(n);
		return NULL;
	}
	if (t->regs > 0)
		memcpy(n->reg, t->reg, t->regs * sizeof(*n->reg));
	n->regs = t->regs;
	memcpy(n->hash, t->hash, sizeof(n->hash));
	memcpy(n->uses, t->uses, sizeof(n->uses));
	return n;
}

struct mon_table *table_get(struct mon_table *t)
{
	t->refs++;
	return t;
}

void table_put(struct mon_tables *all, struct mon_table *t)
{
	struct mon_table **at;

	if (t == NULL || --t->refs > 0)
		return;
	for (at = &all->chain[t->hash[0] % MON_TABLES]; t->known && *at != NULL; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			break;
		}
	}
	free(t->reg);
	free(t->node);
	free(t);
}

int table_set(struct mon_table *t, const struct mon_reg *reg)
{
	uint32_t i = place(t, reg->hook, reg->event);
	bool there = i < t->regs && compare(&t->reg[i], reg->hook, reg->event) == 0;
	uint32_t *uses = &t->uses[reg->hook][bit_of(reg->event)];

	if (!there && reg->cb.five == NULL)
		return 0;
	if (!there && t->regs == t->cap) {
		uint32_t cap = t->cap == 0 ? 8 : t->cap * 2;
		struct mon_reg *p = realloc(t->reg, cap * sizeof(*p));

		if (p == NULL)
			return -ENOMEM;
		t->reg = p;
		t->cap = cap;
	}
	if (there)
		hash_change(t->hash, &t->reg[i], false);
	if (reg->cb.five == NULL) {
		memmove(&t->reg[i], &t->reg[i + 1], (t->regs - i - 1) * sizeof(*t->reg));
		t->regs--;
		--*uses;
		return 0;
	}
	if (!there) {
		memmove(&t->reg[i + 1], &t->reg[i], (t->regs - i) * sizeof(*t->reg));
		t->regs++;
		++*uses;
	}
	t->reg[i] = *reg;
	hash_change(t->hash, reg, true);
	return 0;
}

void table_mask(const struct mon_table *t, uint16_t mask[MON_HOOKS])
{
	for (unsigned h = 0; h < MON_HOOKS; h++) {
		mask[h] = 0;
		for (unsigned b = 0; b < MON_BITS; b++)
			mask[h] |= (uint16_t)((t->uses[h][b] > 0) << b);
	}
}

/* --- Shared ones --------------------------------------------------------------------------------------------------------- */

/* The hash of t after the changes. */
static void hash_with(const struct mon_table *t, const struct mon_reg *edit, uint32_t n, uint64_t hash[2])
{
	memcpy(hash, t->hash, sizeof(t->hash));
	for (uint32_t i = 0; i < n; i++) {
		const struct mon_reg *old = find(t, edit[i].hook, edit[i].event);

		if (old != NULL)
			hash_change(hash, old, false);
		if (edit[i].cb.five != NULL)
			hash_change(hash, &edit[i], true);
	}
}

/* Keep it a while though no flow may use it: the next flow will do as this one did. */
static void keep(struct mon_tables *all, struct mon_table *t)
{
	struct mon_table **at;

	if (t->regs > KEPT_REGS / 2)
		return;
	do {
		at = &all->kept[all->turn++ % MON_TABLES];
		if (*at != NULL) {
			all->kept_regs -= (*at)->regs;
			table_put(all, *at);
			*at = NULL;
		}
	} while (all->kept_regs + t->regs > KEPT_REGS);
	*at = table_get(t);
	all->kept_regs += t->regs;
}

struct mon_table *table_with(struct mon_tables *all, struct mon_table *t, const struct mon_reg *edit, uint32_t n)
{
	struct mon_table *found;
	uint64_t hash[2];

	hash_with(t, edit, n, hash);
	for (found = all->chain[hash[0] % MON_TABLES]; found != NULL; found = found->next) {
		if (found->hash[0] == hash[0] && found->hash[1] == hash[1])
			return table_get(found);
	}
	found = table_copy(t);
	if (found == NULL)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		if (table_set(found, &edit[i]) != 0) {
			table_put(all, found);
			return NULL;
		}
	}
	if (table_freeze(found) != 0) {
		table_put(all, found);
		return NULL;
	}
	found->known = true;
	found->next = all->chain[hash[0] % MON_TABLES];
	all->chain[hash[0] % MON_TABLES] = found;
	keep(all, found);
	return found;
}

void tables_free(struct mon_tables *all)
{
	for (unsigned i = 0; i < MON_TABLES; i++)
		table_put(all, all->kept[i]);
	memset(all, 0, sizeof(*all));
}

/* --- Nodes ---------------------------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	const struct mon_node *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

uint32_t table_node(const struct mon_table *t, unsigned hook, event_t id)
{
	uint32_t lo = t->from[hook], hi = t->from[hook + 1];

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->node[mid].id == id)
			return mid;
		if (t->node[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return MON_NONE;
}

/* Everything above an event that is waited for. */
static uint32_t gather(const struct mon_table *t, unsigned hook, struct mon_node *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->regs; i++) {
		if (t->reg[i].hook != hook)
			continue;
		for (event_t id = t->reg[i].event; id != 0;) {
			const struct mon_def *def = mon_def_of(id);

			if (out != NULL)
				out[n] = (struct mon_node){ .id = id, .def = def, .first = MON_NONE, .next = MON_NONE };
			n++;
			id = def != NULL ? def->parent : 0;
		}
	}
	return n;
}

/* A parent's number is below its children's, so going backwards a child is linked before its elder siblings. */
static void link_up(struct mon_table *t, unsigned hook)
{
	for (uint32_t i = t->from[hook + 1]; i-- > t->from[hook];) {
		struct mon_node *n = &t->node[i];
		uint32_t up;

		n->reg = find(t, hook, n->id);
		if (n->def == NULL || n->def->filter == NULL)
			continue;
		up = table_node(t, hook, n->def->parent);
		n->next = t->node[up].first;
		t->node[up].first = i;
	}
}

int table_freeze(struct mon_table *t)
{
	uint32_t most = 0, at = 0;

	if (t->frozen)
		return 0;
	for (unsigned h = 0; h < MON_HOOKS; h++)
		most += gather(t, h, NULL);
	t->node = calloc(most + 1, sizeof(*t->node));
	if (t->node == NULL)
		return -ENOMEM;
	for (unsigned h = 0; h < MON_HOOKS; h++) {
		struct mon_node *first = &t->node[at];
		uint32_t n = gather(t, h, first), kept = 0;

		qsort(first, n, sizeof(*first), by_id);
		for (uint32_t i = 0; i < n; i++) {
			if (kept == 0 || first[kept - 1].id != first[i].id)
				first[kept++] = first[i];
		}
		t->from[h] = at;
		at += kept;
		t->from[h + 1] = at;
		link_up(t, h);
	}
	t->frozen = true;
	return 0;
}

/* --- Registering -------------------------------------------------------------------------------------------------------------- */

enum {
	NOT_WITHOUT_HOOK = MOS_ON_CONN_START | MOS_ON_REXMIT | MOS_ON_TCP_STATE_CHANGE | MOS_ON_CONN_END,
	NOT_AT_HOOK = MOS_ON_CONN_NEW_DATA | MOS_ON_ORPHAN | MOS_ON_ERROR,
};

/* -1: no such pair.  A user-defined event is judged by its parent, as far as that is built in. */
static int hook_of(event_t event, int hook)
{
	const struct mon_def *def = mon_def_of(event);
	event_t judged = def != NULL ? def->parent : event;
	bool null = hook == MOS_NULL;

	if (mon_root(event) == 0 || (!null && hook != MOS_HK_SND && hook != MOS_HK_RCV))
		return -1;
	if (judged < MON_UDE_FIRST && (judged & (null ? NOT_WITHOUT_HOOK : NOT_AT_HOOK)) != 0)
		return -1;
	return null ? MON_HK_NULL : hook == MOS_HK_SND ? MON_HK_SND : MON_HK_RCV;
}

/* Why hook_of() does not like them. */
static int hook_wrong(event_t event, int hook)
{
	if (mon_root(event) == 0)
		return shim_why(-EINVAL, "0x%llx is no event, or several at once", (unsigned long long)event);
	if (hook != MOS_NULL && hook != MOS_HK_SND && hook != MOS_HK_RCV)
		return shim_why(-EINVAL, "a hook is MOS_NULL, MOS_HK_SND or MOS_HK_RCV");
	return shim_why(-EINVAL, hook == MOS_NULL ? "this event occurs at MOS_HK_SND and MOS_HK_RCV, not at MOS_NULL" :
						    "this event occurs at MOS_NULL alone");
}

int watch_tell(struct mon_watch *w, uint32_t uses[MON_HOOKS][MON_BITS])
{
	struct shim_mon *mon = w->b.mon;
	struct ctl_mon_sock m = { .sock = w->no, .kind = w->raw ? MON_RAW : MON_STREAM };
	int err;

	for (unsigned h = 0; h < MON_HOOKS; h++) {
		for (unsigned b = 0; uses != NULL && b < MON_BITS; b++)
			m.events[h] |= (uint16_t)((uses[h][b] > 0) << b);
	}
	if (((m.events[MON_HK_SND] | m.events[MON_HK_RCV]) & MON_CONN_START) != 0)
		m.flags |= MON_SOCK_EARLY;
	if (mon->no_buf || (w->b.buf[0] == 0 && w->b.buf[1] == 0))
		m.flags |= MON_SOCK_NO_BUF;
	if (mon->ready)
		m.flags |= MON_SOCK_READY;
	if (uses != NULL && memcmp(m.events, w->told, sizeof(w->told)) == 0 && m.flags == w->told_flags)
		return 0;
	err = ctl_call(mon->c, CTL_MON_SOCK, &m, sizeof(m), NULL);
	if (err != 0)
		return err;
	memcpy(w->told, m.events, sizeof(w->told));
	w->told_flags = m.flags;
	return 0;
}

/* stackd first: when the table says so, events already come. */
static int register_watch(struct mon_watch *w, const struct mon_reg *reg)
{
	const struct mon_table *now = w->next != NULL ? w->next : w->b.live;
	bool had = find(now, reg->hook, reg->event) != NULL;
	uint32_t uses[MON_HOOKS][MON_BITS];
	int err;

	if (w->next == NULL)
		w->next = table_copy(w->b.live);
	if (w->next == NULL)
		return -ENOMEM;
	memcpy(uses, w->next->uses, sizeof(uses));
	uses[reg->hook][bit_of(reg->event)] += (uint32_t)((reg->cb.five != NULL) - had);
	err = watch_tell(w, uses);
	if (err == 0)
		err = table_set(w->next, reg);
	if (err == 0)
		mon_changed(&w->b);
	return err;
}

static int register_act(struct mon_act *a, const struct mon_reg *reg)
{
	uint32_t i = 0;

	while (i < a->edit_count && compare(&a->edits[i], reg->hook, reg->event) != 0)
		i++;
	if (i == a->edit_cap) {
		uint32_t cap = a->edit_cap == 0 ? 4 : a->edit_cap * 2;
		struct mon_reg *p = realloc(a->edits, cap * sizeof(*p));

		if (p == NULL)
			return -ENOMEM;
		a->edits = p;
		a->edit_cap = cap;
	}
	a->edits[i] = *reg;
	a->edit_count += i == a->edit_count;
	mon_changed(&a->b);
	return 0;
}

int mon_register(struct shim_ctx *c, int sock, event_t event, int hook, union mon_cb cb, bool is_four)
{
	struct mon_reg reg = { .event = event, .is_four = is_four, .cb = cb };
	int err = 0, h = hook_of(event, hook);
	struct mon_base *b = mon_get(c, sock, &err);

	if (b == NULL)
		return shim_why(-EINVAL, "%d is neither a monitor socket nor the socket of a flow", sock);
	if (h < 0)
		return hook_wrong(event, hook);
	if (c->down)
		return -ESHUTDOWN;
	reg.hook = (uint8_t)h;
	return b->s.kind == KIND_WATCH ? register_watch(watch_of(b), &reg) : register_act(act_of(b), &reg);
}
