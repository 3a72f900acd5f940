/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The list of flight.h: a ring in the order of the stream, threaded by a list in the order of time.
 */
#include "stackd/tcp/flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_END 0xc0000000u

static void note(struct flight *f, const struct flight_seg *s, struct flight_news *n);
static void note_sent(struct flight *f, const struct flight_seg *s, struct flight_news *n);
static void sack_one(struct flight *f, uint32_t no, struct flight_news *n);
static void trim(struct flight *f, uint64_t off, struct flight_news *n);
static uint32_t first_at(const struct flight *f, uint64_t off);
static void time_take(struct flight *f, uint32_t no);
static void time_put(struct flight *f, uint32_t no);
static uint32_t cut_run(const struct flight *f, uint32_t *no, uint32_t most, struct flight_seg *out);
static void shift(struct flight *f, uint32_t no, uint32_t by);
static uint32_t more(uint32_t no, uint32_t than, uint32_t by);
static int move(struct flight *f, uint32_t cap);
static void renumber(struct flight *f);
static uint32_t less(uint32_t no, uint32_t by);

struct flight *flight_new(uint64_t from)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->seg = f->first;
	f->cap = FLIGHT_FIRST;
	f->oldest = f->newest = FLIGHT_NONE;
	f->fack = f->undo_from = from;
	f->ranges = (struct reasm){ .range = NULL };
	return f;
}

void flight_free(struct flight *f)
{
	if (f == NULL)
		return;
	reasm_clear(&f->ranges);
	if (f->seg != f->first)
		free(f->seg);
	free(f);
}

int flight_room(struct flight *f, uint32_t most)
{
	uint32_t count = f->tail - f->head;

	if (count >= most)
		return -ENOSPC;
	return count < f->cap ? 0 : move(f, f->cap * 2);
}

void flight_push(struct flight *f, uint64_t from, uint32_t len, bool again, uint64_t now_us)
{
	uint32_t no;

	if (f->tail >= NUMBERS_END)
		renumber(f);
	no = f->tail++;
	*flight_at(f, no) = (struct flight_seg){ .from = from, .sent_us = now_us, .len = (uint16_t)len,
	                                         .marks = again ? FLIGHT_AGAIN : 0 };
	f->bytes += len;
	f->idle_us = 0;
	time_put(f, no);
}

void flight_acked(struct flight *f, uint64_t off, struct flight_news *n)
{
	for (; f->head != f->tail; f->head++) {
		struct flight_seg *s = flight_at(f, f->head);

		if (s->from + s->len > off)
			break;
		f->bytes -= s->len;
		n->longest = s->len > n->longest ? s->len : n->longest;
		if ((s->marks & FLIGHT_SACKED) != 0) {
			f->sacked--;
			f->sacked_bytes -= s->len;
			continue;
		}
		if ((s->marks & FLIGHT_LOST) != 0)
			f->lost_bytes -= s->len;
		else
			time_take(f, f->head);
		note(f, s, n);
		n->delivered += s->len;
	}
	trim(f, off, n);
	if ((int32_t)(f->lost_from - f->head) < 0)
		f->lost_from = f->head;
	if (f->fack < off)
		f->fack = off;
	(void)reasm_take(&f->ranges, off);
}

/* A part of the first segment: the peer's buffer ended there, or somebody on the way cuts segments up. */
static void trim(struct flight *f, uint64_t off, struct flight_news *n)
{
	struct flight_seg *s = flight_at(f, f->head);
	uint32_t part;

	if (f->head == f->tail || s->from >= off)
		return;
	part = (uint32_t)(off - s->from);
	s->from = off;
	s->len = (uint16_t)(s->len - part);
	f->bytes -= part;
	if ((s->marks & FLIGHT_SACKED) != 0)
		f->sacked_bytes -= part;
	else
		n->delivered += part;
	if ((s->marks & FLIGHT_LOST) != 0)
		f->lost_bytes -= part;
}

bool flight_sack(struct flight *f, uint64_t from, uint64_t to, unsigned ranges, struct flight_news *n)
{
	uint32_t was = n->newly_sacked, no;

	while (from < to) { /* hole after hole in what is known */
		uint64_t next, hole = reasm_hole(&f->ranges, from, &next), end = next < to ? next : to, begin, done;

		if (hole >= to)
			break;
		no = first_at(f, hole);
		if (no == f->tail)
			break;
		begin = done = flight_at(f, no)->from;
		while (no != f->tail && flight_at(f, no)->from + flight_at(f, no)->len <= end)
			done = flight_at(f, no)->from + flight_at(f, no)->len, no++;
		if (done > begin && reasm_add(&f->ranges, begin, done, ranges) == 0)
			for (no = first_at(f, begin); no != f->tail && flight_at(f, no)->from < done; no++)
				sack_one(f, no, n);
		from = end;
	}
	return n->newly_sacked != was;
}

static void sack_one(struct flight *f, uint32_t no, struct flight_news *n)
{
	struct flight_seg *s = flight_at(f, no);

	if ((s->marks & FLIGHT_SACKED) != 0)
		return;
	if ((s->marks & FLIGHT_LOST) != 0)
		f->lost_bytes -= s->len;
	else
		time_take(f, no);
	s->marks = (uint8_t)((s->marks | FLIGHT_SACKED) & ~FLIGHT_LOST);
	f->sacked++;
	f->sacked_bytes += s->len;
	n->newly_sacked += s->len;
	n->delivered += s->len;
	note(f, s, n);
}

/* Delivered: RFC 8985, 6.2, steps 2 and 3. */
static void note(struct flight *f, const struct flight_seg *s, struct flight_news *n)
{
	uint64_t end = s->from + s->len;
	bool again = (s->marks & FLIGHT_AGAIN) != 0;

	if (!again) {
		n->original = n->original || end <= n->recover;
		n->rtt_us = (uint32_t)(n->now_us - s->sent_us < UINT32_MAX ? n->now_us - s->sent_us : UINT32_MAX);
		n->rtt_us += n->rtt_us == 0;
		if (end < f->fack && f->fack - s->from > n->reordered)
			n->reordered = (uint32_t)(f->fack - s->from);
	}
	if (end > f->fack)
		f->fack = end;
	note_sent(f, s, n);
}

static void note_sent(struct flight *f, const struct flight_seg *s, struct flight_news *n)
{
	uint64_t end = s->from + s->len, rtt_us = n->now_us - s->sent_us;

	if ((s->marks & FLIGHT_AGAIN) != 0) { /* was it this one that arrived, or the one before it? */
		if (n->echoed && (int32_t)(n->echo_ms - (uint32_t)(s->sent_us / 1000)) < 0)
			return;
		if (rtt_us < n->min_rtt_us)
			return;
	}
	if (s->sent_us < f->rack_sent_us || (s->sent_us == f->rack_sent_us && end <= f->rack_end))
		return;
	f->rack_sent_us = s->sent_us;
	f->rack_end = end;
	f->rack_rtt_us = rtt_us < UINT32_MAX ? (uint32_t)rtt_us : UINT32_MAX;
}

uint32_t flight_lost(struct flight *f)
{
	if (f->lost_bytes == 0)
		return FLIGHT_NONE;
	while ((flight_at(f, f->lost_from)->marks & FLIGHT_LOST) == 0)
		f->lost_from++;
	return f->lost_from;
}

void flight_lose(struct flight *f, uint32_t no)
{
	struct flight_seg *s = flight_at(f, no);

	if ((s->marks & (FLIGHT_SACKED | FLIGHT_LOST)) != 0)
		return;
	time_take(f, no);
	s->marks |= FLIGHT_LOST;
	f->lost_bytes += s->len;
	if ((int32_t)(no - f->lost_from) < 0)
		f->lost_from = no;
}

void flight_lose_all(struct flight *f)
{
	while (f->oldest != FLIGHT_NONE)
		flight_lose(f, f->oldest);
}

void flight_renege(struct flight *f)
{
	for (uint32_t no = f->head; no != f->tail; no++) {
		struct flight_seg *s = flight_at(f, no);

		if ((s->marks & FLIGHT_SACKED) == 0)
			continue;
		s->marks = (uint8_t)((s->marks | FLIGHT_LOST) & ~FLIGHT_SACKED);
		f->lost_bytes += s->len;
	}
	f->sacked = f->sacked_bytes = 0;
	f->lost_from = f->head;
	reasm_clear(&f->ranges);
}

void flight_found(struct flight *f)
{
	f->oldest = f->newest = FLIGHT_NONE;
	for (uint32_t no = f->head; no != f->tail; no++) {
		struct flight_seg *s = flight_at(f, no);

		s->marks &= (uint8_t)~FLIGHT_LOST;
		if ((s->marks & FLIGHT_SACKED) == 0)
			time_put(f, no);
	}
	f->lost_bytes = 0;
}

void flight_again(struct flight *f, uint32_t no, uint64_t now_us)
{
	struct flight_seg *s = flight_at(f, no);

	if ((s->marks & FLIGHT_LOST) != 0)
		f->lost_bytes -= s->len;
	else
		time_take(f, no);
	s->marks = FLIGHT_AGAIN;
	s->sent_us = now_us;
	time_put(f, no);
}

int flight_cut(struct flight *f, uint32_t most)
{
	uint32_t count = 0, cap = FLIGHT_FIRST, n = 0, no = f->head;
	struct flight_seg *seg;

	for (uint32_t i = f->head; i != f->tail; i++)
		count += (flight_at(f, i)->len + most - 1) / most;
	while (cap < count)
		cap *= 2;
	seg = calloc(cap, sizeof(*seg));
	if (seg == NULL)
		return -ENOMEM;
	while (no != f->tail)
		n += cut_run(f, &no, most, seg + n);
	if (f->seg != f->first)
		free(f->seg);
	f->seg = seg;
	f->cap = cap;
	f->head = f->lost_from = 0;
	f->tail = n;
	f->oldest = f->newest = FLIGHT_NONE;
	f->lost_bytes = f->bytes - f->sacked_bytes;
	f->sacked = 0;
	for (uint32_t i = 0; i < n; i++)
		f->sacked += (seg[i].marks & FLIGHT_SACKED) != 0;
	return 0;
}

int flight_split(struct flight *f, uint32_t no, uint32_t most)
{
	struct flight_seg s;
	uint32_t n = (flight_at(f, no)->len + most - 1) / most, at = no - f->head, left;

	while (f->tail - f->head + n > f->cap)
		if (move(f, f->cap * 2) != 0)
			return -ENOMEM;
	if (f->tail >= NUMBERS_END)
		renumber(f);
	no = f->head + at;
	flight_lose(f, no);
	s = *flight_at(f, no);
	shift(f, no, n - 1);
	for (left = s.len; left > 0; no++, s.from += s.len, left -= s.len) {
		s.len = (uint16_t)(left < most ? left : most);
		*flight_at(f, no) = s;
	}
	return 0;
}

/* One SACKed segment, or all up to the next SACKed one, into `out`.  Returns how many they have become. */
static uint32_t cut_run(const struct flight *f, uint32_t *no, uint32_t most, struct flight_seg *out)
{
	struct flight_seg s = *flight_at(f, *no);
	bool sacked = (s.marks & FLIGHT_SACKED) != 0;
	uint32_t left = s.len, n = 0;

	while (++*no != f->tail && !sacked && (flight_at(f, *no)->marks & FLIGHT_SACKED) == 0) {
		left += flight_at(f, *no)->len;
		s.marks |= flight_at(f, *no)->marks;
	}
	if (!sacked)
		s.marks |= FLIGHT_LOST;
	for (; left > 0; s.from += s.len) {
		s.len = (uint16_t)(left < most ? left : most);
		left -= s.len;
		out[n++] = s;
	}
	return n;
}

/* Those behind number `no` have numbers higher by `by`. */
static void shift(struct flight *f, uint32_t no, uint32_t by)
{
	for (uint32_t i = f->tail; i-- != f->head;) {
		struct flight_seg *s = flight_at(f, i > no ? i + by : i);

		*s = *flight_at(f, i);
		s->older = more(s->older, no, by);
		s->newer = more(s->newer, no, by);
	}
	f->oldest = more(f->oldest, no, by);
	f->newest = more(f->newest, no, by);
	f->tail += by;
}

/* The first segment that begins at or after off. */
static uint32_t first_at(const struct flight *f, uint64_t off)
{
	uint32_t lo = 0, hi = f->tail - f->head;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (flight_at(f, f->head + mid)->from < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return f->head + lo;
}

static void time_take(struct flight *f, uint32_t no)
{
	const struct flight_seg *s = flight_at(f, no);

	if (s->older == FLIGHT_NONE)
		f->oldest = s->newer;
	else
		flight_at(f, s->older)->newer = s->newer;
	if (s->newer == FLIGHT_NONE)
		f->newest = s->older;
	else
		flight_at(f, s->newer)->older = s->older;
}

/* After those not sent later than it: nearly always at the end. */
static void time_put(struct flight *f, uint32_t no)
{
	struct flight_seg *s = flight_at(f, no);
	uint32_t after = f->newest;

	while (after != FLIGHT_NONE && flight_at(f, after)->sent_us > s->sent_us)
		after = flight_at(f, after)->older;
	s->older = after;
	s->newer = after == FLIGHT_NONE ? f->oldest : flight_at(f, after)->newer;
	if (s->older == FLIGHT_NONE)
		f->oldest = no;
	else
		flight_at(f, s->older)->newer = no;
	if (s->newer == FLIGHT_NONE)
		f->newest = no;
	else
		flight_at(f, s->newer)->older = no;
}

static int move(struct flight *f, uint32_t cap)
{
	struct flight_seg *seg = malloc(cap * sizeof(*seg));

	if (seg == NULL)
		return -ENOMEM;
	for (uint32_t no = f->head; no != f->tail; no++)
		seg[no & (cap - 1)] = *flight_at(f, no);
	if (f->seg != f->first)
		free(f->seg);
	f->seg = seg;
	f->cap = cap;
	return 0;
}

/* A flow that never pauses: its numbers begin again. */
static void renumber(struct flight *f)
{
	uint32_t by = f->head & ~(f->cap - 1);

	for (uint32_t no = f->head; no != f->tail; no++) {
		flight_at(f, no)->older = less(flight_at(f, no)->older, by);
		flight_at(f, no)->newer = less(flight_at(f, no)->newer, by);
	}
	f->oldest = less(f->oldest, by);
	f->newest = less(f->newest, by);
	f->lost_from -= by;
	f->head -= by;
	f->tail -= by;
}

static uint32_t more(uint32_t no, uint32_t than, uint32_t by)
{
	return no == FLIGHT_NONE || no <= than ? no : no + by;
}

static uint32_t less(uint32_t no, uint32_t by)
{
	return no == FLIGHT_NONE ? no : no - by;
}
