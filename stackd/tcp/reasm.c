/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ranges of reasm.h: an array, searched from the top, where new segments usually belong.
 */
#include "stackd/tcp/reasm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 8 };

static int insert(struct reasm *r, unsigned i, uint64_t from, uint64_t to, unsigned max);
static void cut(struct reasm *r, unsigned i, unsigned n);
static unsigned first_ending_at(const struct reasm *r, uint64_t off);

int reasm_add(struct reasm *r, uint64_t from, uint64_t to, unsigned max)
{
	unsigned i, n = 0;

	if (from >= to)
		return 0;
	i = first_ending_at(r, from);
	while (i + n < r->count && r->range[i + n].from <= to)
		n++;
	if (n == 0)
		return insert(r, i, from, to, max);
	if (from < r->range[i].from)
		r->range[i].from = from;
	if (to < r->range[i + n - 1].to)
		to = r->range[i + n - 1].to;
	r->range[i].to = to;
	cut(r, i + 1, n - 1);
	r->range[i].turn = ++r->turn;
	return 0;
}

uint64_t reasm_take(struct reasm *r, uint64_t end)
{
	unsigned n = 0;

	while (n < r->count && r->range[n].from <= end) {
		if (r->range[n].to > end)
			end = r->range[n].to;
		n++;
	}
	cut(r, 0, n);
	if (r->count == 0)
		reasm_clear(r);
	return end;
}

void reasm_forget(struct reasm *r, uint64_t from, uint64_t to, unsigned max)
{
	unsigned i = first_ending_at(r, from + 1);

	while (from < to && i < r->count && r->range[i].from < to) {
		struct reasm_range *here = &r->range[i];
		uint64_t end = here->to;

		if (here->from < from) {
			here->to = from;
			i++;
			if (end > to)
				(void)insert(r, i, to, end, max);
		} else if (end > to) {
			here->from = to;
		} else {
			cut(r, i, 1);
		}
	}
	if (r->count == 0)
		reasm_clear(r);
}

bool reasm_has(const struct reasm *r, uint64_t from, uint64_t to)
{
	unsigned i = first_ending_at(r, to);

	return i < r->count && r->range[i].from <= from;
}

bool reasm_first(const struct reasm *r, uint64_t *from, uint64_t *to)
{
	unsigned i = first_ending_at(r, *from + 1);

	if (i == r->count || r->range[i].from >= *to)
		return false;
	*from = r->range[i].from > *from ? r->range[i].from : *from;
	*to = r->range[i].to < *to ? r->range[i].to : *to;
	return true;
}

uint64_t reasm_hole(const struct reasm *r, uint64_t off, uint64_t *to)
{
	unsigned i = first_ending_at(r, off);

	if (i < r->count && r->range[i].from <= off)
		off = r->range[i++].to;
	*to = i < r->count ? r->range[i].from : UINT64_MAX;
	return off;
}

const struct reasm_range *reasm_grown_before(const struct reasm *r, const struct reasm_range *than)
{
	const struct reasm_range *best = NULL;

	for (unsigned i = 0; i < r->count; i++) {
		uint16_t age = (uint16_t)(r->turn - r->range[i].turn);

		if (than != NULL && age <= (uint16_t)(r->turn - than->turn))
			continue;
		if (best == NULL || age < (uint16_t)(r->turn - best->turn))
			best = &r->range[i];
	}
	return best;
}

uint64_t reasm_bytes(const struct reasm *r, uint64_t from, uint64_t to)
{
	uint64_t sum = 0;

	for (unsigned i = first_ending_at(r, from); i < r->count && r->range[i].from < to; i++) {
		uint64_t a = r->range[i].from > from ? r->range[i].from : from;
		uint64_t b = r->range[i].to < to ? r->range[i].to : to;

		sum += b - a;
	}
	return sum;
}

void reasm_clear(struct reasm *r)
{
	free(r->range);
	memset(r, 0, sizeof(*r));
}

/* The index of the first range whose end is at or after off. */
static unsigned first_ending_at(const struct reasm *r, uint64_t off)
{
	unsigned lo = 0, hi = r->count;

	if (hi > 0 && r->range[hi - 1].to < off)
		return hi;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (r->range[mid].to < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int insert(struct reasm *r, unsigned i, uint64_t from, uint64_t to, unsigned max)
{
	if (r->count >= max || r->count == UINT16_MAX)
		return -ENOSPC;
	if (r->count == r->cap) {
		unsigned cap = r->cap == 0 ? FIRST_CAP : r->cap * 2u;
		struct reasm_range *range = realloc(r->range, cap * sizeof(*range));

		if (range == NULL)
			return -ENOMEM;
		r->range = range;
		r->cap = cap > UINT16_MAX ? UINT16_MAX : (uint16_t)cap;
	}
	memmove(r->range + i + 1, r->range + i, (r->count - i) * sizeof(*r->range));
	r->range[i] = (struct reasm_range){ .from = from, .to = to };
	r->count++;
	r->range[i].turn = ++r->turn;
	return 0;
}

static void cut(struct reasm *r, unsigned i, unsigned n)
{
	if (n == 0)
		return;
	memmove(r->range + i, r->range + i + n, (r->count - i - n) * sizeof(*r->range));
	r->count -= (uint16_t)n;
}
