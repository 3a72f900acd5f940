/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pieces of a payload.
 */
#include "stackd/mon/payload.h"

#include <errno.h>
#include <string.h>

void payload_begin(struct payload *pl, uint32_t len)
{
	pl->came = pl->len = len;
	pl->moved = false;
	pl->count = len > 0;
	pl->piece[0].put = NULL;
	pl->piece[0].off = 0;
	pl->piece[0].len = len;
}

static void make_room(struct payload *pl, unsigned at)
{
	memmove(&pl->piece[at + 1], &pl->piece[at], (pl->count - at) * sizeof(pl->piece[0]));
	pl->count++;
}

/* The piece that begins at off, which lies within; -1: no room. */
static int cut_at(struct payload *pl, uint32_t off)
{
	unsigned i = 0;

	for (; i < pl->count && off >= pl->piece[i].len; i++)
		off -= pl->piece[i].len;
	if (off == 0)
		return (int)i;
	if (pl->count == PAYLOAD_PIECES)
		return -1;
	make_room(pl, i);
	pl->piece[i].len = off;
	pl->piece[i + 1].len -= off;
	if (pl->piece[i].put != NULL)
		pl->piece[i + 1].put += off;
	else
		pl->piece[i + 1].off += off;
	return (int)i + 1;
}

int payload_insert(struct payload *pl, uint32_t off, const uint8_t *bytes, uint32_t len)
{
	int at;

	if (off > pl->len)
		return -EINVAL;
	if (len == 0)
		return 0;
	at = cut_at(pl, off);
	if (at < 0 || pl->count == PAYLOAD_PIECES)
		return -EINVAL;
	make_room(pl, (unsigned)at);
	pl->piece[at].put = bytes;
	pl->piece[at].off = 0;
	pl->piece[at].len = len;
	pl->len += len;
	pl->moved = true;
	return 0;
}

/* The pieces that make up [off, off + len): the first; *end: beyond the last.  -1: there is no such place, or no room. */
static int pieces(struct payload *pl, uint32_t off, uint32_t len, unsigned *end)
{
	int from, to;

	if (off > pl->len || len > pl->len - off)
		return -1;
	from = cut_at(pl, off);
	to = from < 0 ? -1 : cut_at(pl, off + len);
	*end = (unsigned)to;
	return to < 0 ? -1 : from;
}

int payload_remove(struct payload *pl, uint32_t off, uint32_t len)
{
	unsigned end;
	int from = pieces(pl, off, len, &end);

	if (from < 0)
		return -EINVAL;
	if (len == 0)
		return 0;
	memmove(&pl->piece[from], &pl->piece[end], (pl->count - end) * sizeof(pl->piece[0]));
	pl->count -= end - (unsigned)from;
	pl->len -= len;
	pl->moved = true;
	return 0;
}

int payload_overwrite(struct payload *pl, uint8_t *own, uint32_t off, const uint8_t *bytes, uint32_t len)
{
	unsigned end;
	int from = pieces(pl, off, len, &end);

	if (from < 0)
		return -EINVAL;
	for (unsigned i = (unsigned)from; i < end; i++) {
		if (pl->piece[i].put != NULL)
			pl->piece[i].put = bytes;
		else
			memcpy(own + pl->piece[i].off, bytes, pl->piece[i].len);
		bytes += pl->piece[i].len;
	}
	return 0;
}

bool payload_next(const struct payload *pl, struct payload_gap *g, uint8_t *to)
{
	while (g->next <= pl->count) {
		bool last;

		g->at = g->end;
		g->put = 0;
		for (; g->next < pl->count && pl->piece[g->next].put != NULL; g->next++) {
			memcpy(to + g->put, pl->piece[g->next].put, pl->piece[g->next].len);
			g->put += pl->piece[g->next].len;
		}
		last = g->next == pl->count;
		g->cut = (last ? pl->came : pl->piece[g->next].off) - g->at;
		g->end = last ? pl->came : pl->piece[g->next].off + pl->piece[g->next].len;
		g->next++;
		if (g->cut > 0 || g->put > 0)
			return true;
	}
	return false;
}

void payload_copy(const struct payload *pl, const uint8_t *own, uint8_t *to)
{
	for (unsigned i = 0; i < pl->count; i++) {
		memcpy(to, pl->piece[i].put != NULL ? pl->piece[i].put : own + pl->piece[i].off, pl->piece[i].len);
		to += pl->piece[i].len;
	}
}
