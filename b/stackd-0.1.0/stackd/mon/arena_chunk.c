/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Whose chunks are whose (arena_priv.h), and the hints in the records that lead readers to them.
 *
 * A chunk is found by (stream, part number) in buckets.  Up to MON_FEW neighbouring parts are named in the record
 * itself; beyond that all are named in index chunks, which count what they name and go when that is nothing.  Two
 * versions of a stream share chunks and index chunks until they differ: `in` says who shares.
 */
#include <string.h>

#include "shm/mon_copy.h"
#include "stackd/mon/arena_priv.h"

static void few_clear(struct arena *a, uint32_t id);
static uint32_t spare(struct arena *a);
static void reclaim(struct arena *a);
static void evict(struct arena *a, uint32_t id);
static uint32_t *bucket_of(struct arena *a, uint32_t s, uint32_t number, unsigned kind);
static void unchain(struct arena *a, uint32_t id);
static void list_push(struct arena *a, struct list *l, unsigned k, uint32_t id);
static void list_cut(struct arena *a, struct list *l, unsigned k, uint32_t id);
static void list_join(struct arena *a, struct list *to, struct list *from);
static void put_range(struct mon_range *p, struct mon_range v);
static void put_ranges(struct mon_chunk *t, uint16_t ranges);

/* --- Data chunks ------------------------------------------------------------------------------------------------ */

uint32_t chunk_find(struct arena *a, uint32_t s, uint32_t number, unsigned policy)
{
	return chunk_at(a, s, number, CHUNK_DATA, 1u << policy);
}

uint32_t chunk_new(struct arena *a, uint32_t s, uint64_t number, unsigned in)
{
	struct stream *st = stream_of(a, s);
	bool indexed;
	uint32_t id;

	if (index_wanted(st, number))
		index_begin(a, s);
	indexed = st->index.first != MON_NONE;
	if (indexed ? !index_hold(a, s, number, in) : index_wanted(st, number))
		return MON_NONE;
	id = chunk_take(a, s, (uint32_t)number, CHUNK_DATA, in);
	if (id == MON_NONE) {
		if (indexed)
			index_let(a, s, number, in);
		return MON_NONE;
	}
	a->chunk[id].indexed = indexed;
	st->lo = st->count == 1 || number < st->lo ? number : st->lo;
	st->hi = st->count == 1 || number >= st->hi ? number + 1 : st->hi;
	if (number < st->head / MON_CHUNK) { /* making room has moved the head */
		chunk_free(a, id);
		return MON_NONE;
	}
	return id;
}

uint32_t chunk_split(struct arena *a, uint32_t id)
{
	struct chunk *c = &a->chunk[id];
	uint32_t s = c->stream, number = c->number, new;
	struct stream *st = stream_of(a, s);
	uint64_t n = part_number(st, number);
	bool indexed = c->indexed;
	uint8_t *flags = &side_of(a, s)->flags;

	list_cut(a, &a->age, LINK_AGE, id); /* as if new, so that the room is not made of it */
	list_push(a, &a->age, LINK_AGE, id);
	if (indexed && !index_hold(a, s, n, IN_LAST))
		return MON_NONE;
	new = chunk_take(a, s, number, CHUNK_DATA, IN_LAST);
	if (new == MON_NONE) {
		if (indexed)
			index_let(a, s, n, IN_LAST);
		return MON_NONE;
	}
	a->chunk[new].indexed = indexed;
	if (new == id || !chunk_is(a, id, s, number)) {
		chunk_free(a, new);
		return MON_NONE;
	}
	mon_copy(data_of(a, new), data_of(a, id), c->range[c->ranges - 1].to);
	for (unsigned i = 0; i < c->ranges; i++)
		chunk_add(a, new, c->range[i].from, c->range[i].to);
	if (indexed) /* id counted there as well */
		index_let(a, s, n, IN_LAST);
	c->in = IN_FIRST;
	rec_begin(a, s / 2);
	atomic_store_explicit((_Atomic uint8_t *)flags, *flags | MON_SIDE_TWO, memory_order_relaxed);
	rec_end(a, s / 2);
	return new;
}

void chunk_show(struct arena *a, uint32_t id)
{
	const struct chunk *c = &a->chunk[id];
	struct mon_side *side = side_of(a, c->stream);
	uint64_t owner = a->record[c->stream / 2].serial << 1 | c->stream % 2;

	/* pairs with the acquire in entry_get (mon_read.c): number, ranges and bytes are there */
	atomic_store_explicit((_Atomic uint64_t *)&a->table[id].owner, owner, memory_order_release);
	if (c->indexed)
		index_put(a, id, id);
	rec_begin(a, c->stream / 2);
	for (unsigned p = 0; p < MON_POLICIES && !c->indexed; p++)
		if ((c->in >> p & 1) != 0)
			put32(&side->where[p].few[c->number % MON_FEW], id);
	put64(&a->rec[c->stream / 2].turn, a->turn);
	rec_end(a, c->stream / 2);
}

bool chunk_can_add(const struct chunk *c, uint32_t from, uint32_t to)
{
	if (c->ranges < MON_RANGES)
		return true;
	for (unsigned i = 0; i < c->ranges; i++)
		if (c->range[i].from <= to && from <= c->range[i].to)
			return true;
	return false;
}

/* Word by word so that, whenever one looks, all that was there is in one of the entries. */
bool chunk_add(struct arena *a, uint32_t id, uint32_t from, uint32_t to)
{
	struct chunk *c = &a->chunk[id];
	struct mon_chunk *t = &a->table[id];
	struct mon_range *r = c->range;
	unsigned i = 0, j, n = c->ranges;

	while (i < n && r[i].to < from)
		i++;
	for (j = i; j < n && r[j].from <= to; j++)
		;
	if (i == j && n == MON_RANGES)
		return false;
	if (i < j) {
		from = r[i].from < from ? r[i].from : from;
		to = r[j - 1].to > to ? r[j - 1].to : to;
	}
	memmove(&r[i + 1], &r[j], (n - j) * sizeof(*r));
	r[i] = (struct mon_range){ (uint16_t)from, (uint16_t)to };
	c->ranges = (uint16_t)(n - (j - i) + 1);
	if (j == i + 1) { /* one piece has grown: one word */
		put_range(&t->range[i], r[i]);
		return true;
	}
	if (i == n) { /* behind the others */
		put_range(&t->range[i], r[i]);
		put_ranges(t, c->ranges);
		return true;
	}
	put16(&t->version, ++c->version);
	changing();
	if (i == j) {
		put_range(&t->range[n], r[n]);
		put_ranges(t, c->ranges);
		while (n-- > i)
			put_range(&t->range[n], r[n]);
	} else {
		for (; i < c->ranges; i++)
			put_range(&t->range[i], r[i]);
		put_ranges(t, c->ranges);
	}
	/* pairs with the first acquire in entry_get */
	atomic_store_explicit((_Atomic uint16_t *)&t->version, ++c->version, memory_order_release);
	return true;
}

/* --- Giving back ------------------------------------------------------------------------------------------------ */

void chunk_free(struct arena *a, uint32_t id)
{
	struct chunk *c = &a->chunk[id];
	struct stream *st = stream_of(a, c->stream);

	c->held = false;
	put64(&a->table[id].owner, 0);
	if (c->kind == CHUNK_INDEX) {
		index_name(a, id, c->in, MON_NONE);
		list_cut(a, &st->index, LINK_OWN, id);
	} else {
		list_cut(a, &st->data, LINK_OWN, id);
		st->count--;
		if (c->indexed) {
			index_put(a, id, MON_NONE);
			index_let(a, c->stream, part_number(st, c->number), c->in);
		} else {
			few_clear(a, id);
		}
	}
	list_push(a, &a->free, LINK_OWN, id);
	a->free_count++;
}

/* The record must not name it any more, lest a reader take it for another version of the same part. */
static void few_clear(struct arena *a, uint32_t id)
{
	const struct chunk *c = &a->chunk[id];
	struct mon_side *side = side_of(a, c->stream);

	rec_begin(a, c->stream / 2);
	for (unsigned p = 0; p < MON_POLICIES; p++)
		if (side->where[p].few[c->number % MON_FEW] == id)
			put32(&side->where[p].few[c->number % MON_FEW], MON_NONE);
	rec_end(a, c->stream / 2);
}

void chunk_free_all(struct arena *a, uint32_t s)
{
	struct stream *st = stream_of(a, s);

	a->free_count += st->count;
	for (uint32_t id = st->index.first; id != MON_NONE; id = a->chunk[id].link[LINK_OWN].next)
		a->free_count++;
	list_join(a, &a->free, &st->data);
	list_join(a, &a->free, &st->index);
	st->count = 0;
	st->gen++;
}

/* By numbers or by the list, whichever is shorter: a stream with holes must not cost more than it has. */
void chunk_trim(struct arena *a, uint32_t s, uint64_t head)
{
	struct stream *st = stream_of(a, s);
	uint64_t end = head / MON_CHUNK, n = st->lo;
	uint32_t next;

	if (head <= st->head)
		return;
	st->head = head;
	if (st->count > 0 && n < end && end - n <= st->count) {
		for (; n < end; n++)
			for (unsigned p = 0; p < MON_POLICIES; p++) {
				uint32_t id = chunk_find(a, s, (uint32_t)n, p);

				if (id != MON_NONE)
					chunk_free(a, id);
			}
	} else if (n < end) {
		for (uint32_t id = st->data.first; id != MON_NONE; id = next) {
			next = a->chunk[id].link[LINK_OWN].next;
			if (part_number(st, a->chunk[id].number) < end)
				chunk_free(a, id);
		}
	}
	if (st->lo < end)
		st->lo = end;
	rec_begin(a, s / 2);
	put64(&side_of(a, s)->head, head);
	rec_end(a, s / 2);
}

/* --- Taking ----------------------------------------------------------------------------------------------------- */

uint32_t chunk_take(struct arena *a, uint32_t s, uint32_t number, unsigned kind, unsigned in)
{
	uint32_t id = spare(a), *bucket;
	struct stream *st = stream_of(a, s);
	struct mon_chunk *t;

	if (id == MON_NONE)
		return id;
	t = &a->table[id];
	put64(&t->owner, 0);
	/* pairs with the first acquire in entry_get: who sees the turn sees the owner gone */
	atomic_store_explicit((_Atomic uint64_t *)&t->turn, ++a->turn, memory_order_release);
	changing();
	put16(&t->ranges, 0);
	put32(&t->number, kind == CHUNK_INDEX ? number | MON_INDEX_MARK : number);
	bucket = bucket_of(a, s, number, kind);
	a->chunk[id] = (struct chunk){
		.stream = s,
		.gen = st->gen,
		.number = number,
		.chain = *bucket,
		.version = a->chunk[id].version,
		.kind = (uint8_t)kind,
		.in = (uint8_t)in,
		.held = true,
	};
	*bucket = id + 1;
	list_push(a, kind == CHUNK_INDEX ? &st->index : &st->data, LINK_OWN, id);
	if (kind == CHUNK_DATA) {
		list_push(a, &a->age, LINK_AGE, id);
		st->count++;
	}
	return id;
}

/* A chunk that nobody has. */
static uint32_t spare(struct arena *a)
{
	uint32_t id;

	if (a->free.first == MON_NONE && a->chunks_touched < a->chunks)
		return a->chunks_touched++;
	if (a->free.first == MON_NONE)
		reclaim(a);
	id = a->free.first;
	if (id == MON_NONE)
		return id;
	list_cut(a, &a->free, LINK_OWN, id);
	a->free_count--;
	unchain(a, id);
	if (a->chunk[id].kind == CHUNK_DATA)
		list_cut(a, &a->age, LINK_AGE, id);
	return id;
}

/* Nothing is free, so all that the list of ages has is held. */
static void reclaim(struct arena *a)
{
	uint32_t rec = a->queue[FULL].first;
	struct stream *st;

	if (rec == MON_NONE) {
		if (a->age.first != MON_NONE)
			evict(a, a->age.first);
		return;
	}
	st = a->record[rec].side;
	chunk_free(a, st[0].count > 0 ? st[0].data.first : st[1].data.first);
	if (st[0].count == 0 && st[1].count == 0)
		queue_pop(a, FULL);
}

/* Take a chunk from a living stream.  A part that was in order never comes back: so the head moves beyond it, and
 * whoever looks at it in place can tell by the head. */
static void evict(struct arena *a, uint32_t id)
{
	uint32_t s = a->chunk[id].stream;
	struct stream *st = stream_of(a, s);
	uint64_t n = part_number(st, a->chunk[id].number), end = (n + 1) * MON_CHUNK;

	chunk_free(a, id);
	if (n * MON_CHUNK < st->next)
		chunk_trim(a, s, end < st->next ? end : st->next);
	put64(&a->shared->evicted, ++a->evicted);
}

/* --- Buckets and lists ------------------------------------------------------------------------------------------ */

uint32_t chunk_at(struct arena *a, uint32_t s, uint32_t number, unsigned kind, unsigned in)
{
	uint32_t gen = stream_of(a, s)->gen, at = *bucket_of(a, s, number, kind);

	for (; at != 0; at = a->chunk[at - 1].chain) {
		const struct chunk *c = &a->chunk[at - 1];

		if (c->stream == s && c->number == number && c->held && c->gen == gen && c->kind == kind && (c->in & in) != 0)
			return at - 1;
	}
	return MON_NONE;
}

/* Keyed: which parts a stream has is the peers' choice. */
static uint32_t *bucket_of(struct arena *a, uint32_t s, uint32_t number, unsigned kind)
{
	uint64_t h = ((uint64_t)(s << 1 | kind) << 32 | number) ^ a->seed;

	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
	return &a->bucket[(h ^ h >> 32) & a->bucket_mask];
}

static void unchain(struct arena *a, uint32_t id)
{
	const struct chunk *c = &a->chunk[id];
	uint32_t *at = bucket_of(a, c->stream, c->number, c->kind);

	while (*at != id + 1)
		at = &a->chunk[*at - 1].chain;
	*at = c->chain;
}

static void list_push(struct arena *a, struct list *l, unsigned k, uint32_t id)
{
	a->chunk[id].link[k].prev = l->last;
	a->chunk[id].link[k].next = MON_NONE;
	*(l->last == MON_NONE ? &l->first : &a->chunk[l->last].link[k].next) = id;
	l->last = id;
}

static void list_cut(struct arena *a, struct list *l, unsigned k, uint32_t id)
{
	uint32_t prev = a->chunk[id].link[k].prev, next = a->chunk[id].link[k].next;

	*(prev == MON_NONE ? &l->first : &a->chunk[prev].link[k].next) = next;
	*(next == MON_NONE ? &l->last : &a->chunk[next].link[k].prev) = prev;
}

static void list_join(struct arena *a, struct list *to, struct list *from)
{
	if (from->first == MON_NONE)
		return;
	a->chunk[from->first].link[LINK_OWN].prev = to->last;
	*(to->last == MON_NONE ? &to->first : &a->chunk[to->last].link[LINK_OWN].next) = from->first;
	to->last = from->last;
	*from = (struct list){ MON_NONE, MON_NONE };
}

static void put_range(struct mon_range *p, struct mon_range v)
{
	uint32_t word;

	memcpy(&word, &v, sizeof(word));
	/* pairs with the acquire in entry_get: the bytes are there */
	atomic_store_explicit((_Atomic uint32_t *)p, word, memory_order_release);
}

static void put_ranges(struct mon_chunk *t, uint16_t ranges)
{
	/* pairs with the acquire in entry_get: the entries are there */
	atomic_store_explicit((_Atomic uint16_t *)&t->ranges, ranges, memory_order_release);
}
