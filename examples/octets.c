/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What octets.h says.  All streams share one temporary file, which is emptied when nothing waits in it.
 */
#define _GNU_SOURCE
#include "examples/octets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of one stream.  When more waits than that it goes on, holes or not, and what comes late for those is missed. */
#define WAITING_MAX ((int64_t)256 << 20)
/* Of all, what has gone on included: the file is emptied when nothing waits, which it soon does when it takes nothing more. */
#define SPOOL_MAX ((off_t)4 << 30)

/* Text that belongs so far before what came first is not believed. */
#define EARLY_MAX ((int64_t)16 << 20)

static FILE *spool;
static off_t spool_end;
static unsigned spool_users;

static void settle(struct octets *o);

static bool spool_write(const void *buf, size_t len)
{
	if (spool == NULL)
		spool = tmpfile();
	if (spool == NULL || spool_end >= SPOOL_MAX || pwrite(fileno(spool), buf, len, spool_end) != (ssize_t)len)
		return false;
	spool_end += (off_t)len;
	return true;
}

static void spool_leave(void)
{
	if (--spool_users > 0 || spool == NULL)
		return;
	spool_end = 0;
	if (ftruncate(fileno(spool), 0) != 0) {
		fclose(spool);
		spool = NULL;
	}
}

static void wait_from(struct octets *o, int64_t off)
{
	if (o->waits || o->settled)
		return;
	o->waits = true;
	o->known = off;
	spool_users++;
}

void octets_open(struct octets *o)
{
	wait_from(o, -EARLY_MAX);
}

/* The octets become piece i, or a part of the one before.  False: there is no room for them. */
static bool piece_put(struct octets *o, size_t i, int64_t off, const void *buf, size_t len)
{
	off_t at = spool_end;
	struct octets_piece *before = i > 0 ? &o->piece[i - 1] : NULL, *more;

	if (o->pieces == o->room) {
		more = realloc(o->piece, (o->room * 2 + 16) * sizeof(*more));
		if (more == NULL)
			return false;
		o->piece = more;
		o->room = o->room * 2 + 16;
		before = i > 0 ? &o->piece[i - 1] : NULL;
	}
	if (!spool_write(buf, len))
		return false;
	o->waiting += (int64_t)len;
	o->bytes += len;
	if (before != NULL && before->off + before->len == off && before->at + before->len == at) {
		before->len += (int64_t)len;
		return true;
	}
	memmove(o->piece + i + 1, o->piece + i, (o->pieces - i) * sizeof(*o->piece));
	o->piece[i] = (struct octets_piece){ .off = off, .len = (int64_t)len, .at = at };
	o->pieces++;
	return true;
}

void octets_next(struct octets *o, const void *buf, size_t len)
{
	if (o->waits && (o->waiting >= WAITING_MAX || !piece_put(o, o->pieces, o->end, buf, len)))
		settle(o);
	if (!o->waits) {
		o->put(o->arg, buf, len);
		o->bytes += len;
	}
	o->end += (int64_t)len;
}

void octets_skip(struct octets *o, uint64_t len)
{
	wait_from(o, o->end);
	o->end += (int64_t)len;
}

void octets_late(struct octets *o, int64_t off, const void *buf, size_t len)
{
	const unsigned char *from = buf;
	int64_t stop = off + (int64_t)len, at = off > o->known ? off : o->known;
	size_t i = o->pieces;

	stop = stop < o->end ? stop : o->end;
	if (!o->waits || at >= stop)
		return;
	while (i > 0 && o->piece[i - 1].off + o->piece[i - 1].len > at)
		i--;
	for (; at < stop; i++) {
		int64_t gap = i < o->pieces && o->piece[i].off < stop ? o->piece[i].off : stop;

		if (at < gap) {
			size_t before = o->pieces;

			if (!piece_put(o, i, at, from + (at - off), (size_t)(gap - at)))
				return;
			o->low = at < o->low ? at : o->low;
			i += o->pieces - before;
		}
		at = i < o->pieces ? o->piece[i].off + o->piece[i].len : stop;
	}
}

/* What waits goes on. */
static void settle(struct octets *o)
{
	static char buf[65536];

	for (size_t i = 0; i < o->pieces; i++) {
		const struct octets_piece *p = &o->piece[i];

		for (int64_t done = 0; done < p->len;) {
			size_t want = p->len - done < (int64_t)sizeof(buf) ? (size_t)(p->len - done) : sizeof(buf);
			ssize_t n = pread(fileno(spool), buf, want, p->at + done);

			if (n <= 0) {
				perror("temporary file");
				break;
			}
			o->put(o->arg, buf, (size_t)n);
			done += n;
		}
	}
	free(o->piece);
	o->piece = NULL;
	o->pieces = o->room = 0;
	o->waiting = 0;
	if (o->waits)
		spool_leave();
	o->waits = false;
	o->settled = true;
}

void octets_close(struct octets *o)
{
	settle(o);
}

uint64_t octets_missed(const struct octets *o)
{
	return (uint64_t)(o->end - o->low) - o->bytes;
}
