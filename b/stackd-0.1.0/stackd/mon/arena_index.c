/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Index chunks: how a record names more parts of a stream than fit into it.  An index chunk counts what it names and
 * goes when that is nothing; so a stream that has one also has data.
 */
#include "stackd/mon/arena_priv.h"

static uint32_t index_new(struct arena *a, uint32_t s, uint32_t number, unsigned in, const uint32_t *from);
static bool index_split(struct arena *a, uint32_t id);
static uint32_t index_find(struct arena *a, uint32_t s, uint32_t number, unsigned policy);
static unsigned index_place(const struct arena *a, const struct stream *st, uint32_t number);

bool index_wanted(const struct stream *st, uint64_t number)
{
	uint64_t lo = number < st->lo ? number : st->lo, hi = number >= st->hi ? number + 1 : st->hi;

	return st->index.first == MON_NONE && st->count > 0 && hi - lo > MON_FEW;
}

void index_begin(struct arena *a, uint32_t s)
{
	struct stream *st = stream_of(a, s);
	struct mon_side *side = side_of(a, s);
	uint32_t ids[MON_FEW * MON_POLICIES], number[MON_FEW * MON_POLICIES], n = 0;

	for (uint32_t id = st->data.first; id != MON_NONE && n < MON_FEW * MON_POLICIES; n++) {
		ids[n] = id;
		number[n] = a->chunk[id].number;
		id = a->chunk[id].link[LINK_OWN].next;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct chunk *c = &a->chunk[ids[i]];
		bool ok = chunk_is(a, ids[i], s, number[i]);
		uint64_t at = part_number(st, number[i]);
		unsigned in = c->in;

		if (!ok)
			continue;
		ok = index_hold(a, s, at, in);
		if (!chunk_is(a, ids[i], s, number[i])) {
			if (ok)
				index_let(a, s, at, in);
			continue;
		}
		c->indexed = ok;
		if (ok)
			index_put(a, ids[i], ids[i]);
		else
			chunk_free(a, ids[i]);
	}
	rec_begin(a, s / 2);
	for (uint32_t i = 0; i < MON_FEW * MON_POLICIES; i++)
		put32(&side->where[i / MON_FEW].few[i % MON_FEW], MON_NONE);
	rec_end(a, s / 2);
}

bool index_room(struct arena *a, uint32_t s, uint64_t number)
{
	return index_place(a, stream_of(a, s), (uint32_t)(number / MON_INDEX_IDS)) < MON_INDEX;
}

bool index_hold(struct arena *a, uint32_t s, uint64_t number, unsigned in)
{
	uint32_t n = (uint32_t)(number / MON_INDEX_IDS), id, other;
	unsigned held = 0;

	for (unsigned p = 0; p < MON_POLICIES; p++) {
		if ((in >> p & 1) == 0)
			continue;
		id = index_find(a, s, n, p);
		if (id != MON_NONE && (a->chunk[id].in & held) != 0) /* counted a moment ago */
			continue;
		if (id != MON_NONE && (a->chunk[id].in & ~in) != 0) {
			if (!index_split(a, id))
				goto fail;
			id = index_find(a, s, n, p);
		}
		other = index_find(a, s, n, 1 - p);
		if (id == MON_NONE)
			id = index_new(a, s, n, other == MON_NONE ? in : 1u << p, NULL);
		if (id == MON_NONE)
			goto fail;
		a->chunk[id].used++;
		held |= 1u << p;
	}
	return true;
fail:
	index_let(a, s, number, held);
	return false;
}

void index_let(struct arena *a, uint32_t s, uint64_t number, unsigned in)
{
	uint32_t n = (uint32_t)(number / MON_INDEX_IDS), done = MON_NONE, id;

	for (unsigned p = 0; p < MON_POLICIES; p++) {
		id = (in >> p & 1) != 0 ? index_find(a, s, n, p) : MON_NONE;
		if (id == MON_NONE || id == done)
			continue;
		done = id;
		if (--a->chunk[id].used == 0)
			chunk_free(a, id);
	}
}

/* With the names in `from`, or none. */
static uint32_t index_new(struct arena *a, uint32_t s, uint32_t number, unsigned in, const uint32_t *from)
{
	unsigned place = index_place(a, stream_of(a, s), number);
	uint32_t id = place < MON_INDEX ? chunk_take(a, s, number, CHUNK_INDEX, in) : MON_NONE;

	if (id == MON_NONE)
		return id;
	a->chunk[id].place = (uint8_t)place;
	for (unsigned i = 0; i < MON_INDEX_IDS; i++)
		put32((uint32_t *)data_of(a, id) + i, from == NULL ? MON_NONE : from[i]);
	/* as in chunk_show */
	atomic_store_explicit((_Atomic uint64_t *)&a->table[id].owner, a->record[s / 2].serial << 1 | s % 2,
			      memory_order_release);
	index_name(a, id, in, id);
	return id;
}

/* What both versions share becomes FIRST's, and LAST gets a copy. */
static bool index_split(struct arena *a, uint32_t id)
{
	struct chunk *c = &a->chunk[id];
	uint32_t s = c->stream, new;

	c->used++; /* not to go while room is made */
	c->in = IN_FIRST;
	new = index_new(a, s, c->number, IN_LAST, (const uint32_t *)data_of(a, id));
	c->used--;
	if (new == MON_NONE)
		c->in = IN_BOTH;
	else
		a->chunk[new].used = c->used;
	if (c->used > 0)
		return new != MON_NONE;
	if (new != MON_NONE)
		chunk_free(a, new);
	chunk_free(a, id);
	return new != MON_NONE;
}

static uint32_t index_find(struct arena *a, uint32_t s, uint32_t number, unsigned policy)
{
	return chunk_at(a, s, number, CHUNK_INDEX, 1u << policy);
}

/* Where the record names index chunk `number`, now or if it were made; MON_INDEX: nowhere. */
static unsigned index_place(const struct arena *a, const struct stream *st, uint32_t number)
{
	unsigned taken = 0, place = number % MON_INDEX;

	for (uint32_t id = st->index.first; id != MON_NONE; id = a->chunk[id].link[LINK_OWN].next) {
		if (a->chunk[id].number == number)
			return a->chunk[id].place;
		taken |= 1u << a->chunk[id].place;
	}
	for (unsigned i = 0; i < MON_INDEX; i++, place = (place + 1) % MON_INDEX)
		if ((taken >> place & 1) == 0)
			return place;
	return MON_INDEX;
}

void index_put(struct arena *a, uint32_t id, uint32_t value)
{
	const struct chunk *c = &a->chunk[id];
	uint64_t n = part_number(stream_of(a, c->stream), c->number);

	for (unsigned p = 0; p < MON_POLICIES; p++) {
		uint32_t index = (c->in >> p & 1) != 0 ?
				 index_find(a, c->stream, (uint32_t)(n / MON_INDEX_IDS), p) : MON_NONE;

		if (index != MON_NONE)
			put32((uint32_t *)data_of(a, index) + n % MON_INDEX_IDS, value);
	}
}

void index_name(struct arena *a, uint32_t id, unsigned in, uint32_t value)
{
	uint32_t s = a->chunk[id].stream, place = a->chunk[id].place;
	struct mon_side *side = side_of(a, s);

	rec_begin(a, s / 2);
	for (unsigned p = 0; p < MON_POLICIES; p++)
		if ((in >> p & 1) != 0)
			put32(&side->where[p].index[place], value);
	rec_end(a, s / 2);
}
