/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Making an arena; its flow records and its packet log.  Chunks are in arena_chunk.c, what is written into them in
 * arena_stream.c.
 */
#include "stackd/mon/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shm/mon_copy.h"
#include "stackd/mon/arena_priv.h"

enum {
	PAGE = 4096,
	FLOW_OFF = 256,
	CHUNKS_MIN = 8,
	FLOWS_PER_CHUNK = 64,
	REC_WORDS = sizeof(struct mon_rec) / 8,
};

static int lay_out(const struct arena_conf *conf, struct mon_arena *m);
static struct arena *writer_new(const struct mon_arena *m, uint8_t *base);
static void rec_put(struct arena *a, uint32_t rec, const struct mon_rec *new);
static void queue_push(struct arena *a, unsigned q, uint32_t rec);
static uint64_t up(uint64_t n, uint64_t to);

/* --- Making ----------------------------------------------------------------------------------------------------- */

int arena_create(const struct arena_conf *conf, struct region *mem, struct arena **out)
{
	struct mon_arena m;
	int err = lay_out(conf, &m);

	if (err != 0)
		return err;
	err = region_create_sparse(mem, m.size, "stackd-arena");
	if (err != 0)
		return err;
	memcpy(mem->base, &m, sizeof(m));
	*out = writer_new(&m, mem->base);
	if (*out == NULL) {
		region_destroy(mem);
		return -ENOMEM;
	}
	(*out)->span_max = conf->span_max;
	return 0;
}

void arena_destroy(struct arena *a)
{
	if (a == NULL)
		return;
	free(a->record);
	free(a->chunk);
	free(a->bucket);
	free(a);
}

/* Where things lie in conf->size bytes. */
static int lay_out(const struct arena_conf *conf, struct mon_arena *m)
{
	uint64_t log = conf->log_bytes, chunk_off, chunks;

	if (conf->size > REGION_SPARSE_MAX || conf->flows == 0 || conf->flows > UINT32_MAX / 4 || conf->span_max == 0 ||
	    conf->span_max > MON_SPAN_MAX || log < PAGE || (log & (log - 1)) != 0 || log > conf->size / 4)
		return -EINVAL;
	chunk_off = up(FLOW_OFF + (uint64_t)conf->flows * sizeof(struct mon_rec), SHM_LINE);
	if (chunk_off + 2 * PAGE + log > conf->size)
		return -EINVAL;
	chunks = (conf->size - chunk_off - log - 2 * PAGE) / (MON_CHUNK + sizeof(struct mon_chunk));
	if (chunks < CHUNKS_MIN || chunks < conf->flows / FLOWS_PER_CHUNK)
		return -EINVAL;
	*m = (struct mon_arena){
		.magic = MON_MAGIC,
		.abi = SHM_ABI,
		.size = up(conf->size, PAGE),
		.flows = conf->flows,
		.chunks = (uint32_t)chunks,
		.flow_off = FLOW_OFF,
		.chunk_off = chunk_off,
		.log_off = up(chunk_off + chunks * sizeof(struct mon_chunk), PAGE),
		.log_size = log,
	};
	m->data_off = m->log_off + log;
	return 0;
}

static struct arena *writer_new(const struct mon_arena *m, uint8_t *base)
{
	struct arena *a = calloc(1, sizeof(*a));
	uint64_t buckets = 1;

	if (a == NULL)
		return NULL;
	while (buckets < m->chunks)
		buckets *= 2;
	a->record = calloc(m->flows, sizeof(*a->record));
	a->chunk = calloc(m->chunks, sizeof(*a->chunk));
	a->bucket = calloc(buckets, sizeof(*a->bucket));
	if (a->record == NULL || a->chunk == NULL || a->bucket == NULL) {
		arena_destroy(a);
		return NULL;
	}
	a->shared = (struct mon_arena *)base;
	a->rec = (struct mon_rec *)(base + m->flow_off);
	a->table = (struct mon_chunk *)(base + m->chunk_off);
	a->data = base + m->data_off;
	a->log = base + m->log_off;
	a->log_size = m->log_size;
	a->flows = m->flows;
	a->chunks = m->chunks;
	a->bucket_mask = buckets - 1;
	a->free = a->age = (struct list){ MON_NONE, MON_NONE };
	a->queue[CLOSED] = a->queue[FULL] = a->free;
	(void)getrandom(&a->seed, sizeof(a->seed), GRND_NONBLOCK);
	return a;
}

/* --- Records ---------------------------------------------------------------------------------------------------- */

uint32_t arena_open(struct arena *a, uint64_t serial, uint64_t born_us)
{
	uint32_t rec = a->records_touched < a->flows ? a->records_touched++ : a->queue[CLOSED].first;
	struct mon_rec new = { .serial = serial, .born_us = born_us };
	struct record *r;

	if (rec == MON_NONE)
		return rec;
	r = &a->record[rec];
	if (rec == a->queue[CLOSED].first)
		queue_pop(a, CLOSED);
	if (rec == a->queue[FULL].first)
		queue_pop(a, FULL);
	for (unsigned i = 0; i < 2; i++) {
		if (r->side[i].count > 0)
			chunk_free_all(a, rec * 2 + i);
		r->side[i] = (struct stream){
			.data = { MON_NONE, MON_NONE },
			.index = { MON_NONE, MON_NONE },
			.gen = r->side[i].gen,
		};
		new.side[i].state = MON_STATE_NONE;
		memset(new.side[i].where, 0xff, sizeof(new.side[i].where));
	}
	r->serial = serial;
	r->open = true;
	a->open_count++;
	rec_put(a, rec, &new);
	return rec;
}

void arena_close(struct arena *a, uint32_t rec)
{
	struct record *r;

	if (rec >= a->flows || !a->record[rec].open)
		return;
	r = &a->record[rec];
	r->open = false;
	a->open_count--;
	queue_push(a, CLOSED, rec);
	if (r->side[0].count + r->side[1].count > 0)
		queue_push(a, FULL, rec);
}

struct mon_rec *arena_change(struct arena *a, uint32_t rec)
{
	memcpy(&a->scratch, &a->rec[rec], sizeof(a->scratch));
	return &a->scratch;
}

void arena_changed(struct arena *a, uint32_t rec)
{
	for (unsigned i = 0; i < 2; i++)
		a->record[rec].side[i].next = a->scratch.side[i].next;
	rec_put(a, rec, &a->scratch);
}

/* Store the words that differ, under the seqlock. */
static void rec_put(struct arena *a, uint32_t rec, const struct mon_rec *new)
{
	uint64_t *to = (uint64_t *)&a->rec[rec], word[REC_WORDS];
	bool begun = false;

	memcpy(word, new, sizeof(word));
	for (unsigned i = 1; i < REC_WORDS; i++) { /* word 0 is the version */
		if (to[i] == word[i])
			continue;
		if (!begun)
			rec_begin(a, rec);
		begun = true;
		put64(&to[i], word[i]);
	}
	if (begun)
		rec_end(a, rec);
}

void rec_begin(struct arena *a, uint32_t rec)
{
	put32(&a->rec[rec].version, ++a->record[rec].version);
	changing();
}

void rec_end(struct arena *a, uint32_t rec)
{
	/* pairs with the acquire in mon_read_rec */
	atomic_store_explicit((_Atomic uint32_t *)&a->rec[rec].version, ++a->record[rec].version, memory_order_release);
}

void queue_pop(struct arena *a, unsigned q)
{
	a->queue[q].first = a->record[a->queue[q].first].after[q];
}

static void queue_push(struct arena *a, unsigned q, uint32_t rec)
{
	struct list *l = &a->queue[q];

	*(l->first == MON_NONE ? &l->first : &a->record[l->last].after[q]) = rec;
	l->last = rec;
	a->record[rec].after[q] = MON_NONE;
}

/* --- The packet log --------------------------------------------------------------------------------------------- */

uint64_t arena_log(struct arena *a, struct mon_pkt *hdr, const uint8_t *frame)
{
	uint64_t room = a->log_size - sizeof(*hdr), word[sizeof(*hdr) / 8], need, at;

	room = room < MON_FRAME_MAX ? room : MON_FRAME_MAX;
	if (hdr->len > room)
		hdr->len = (uint32_t)room;
	need = up(sizeof(*hdr) + hdr->len, 8);
	at = a->log_head % a->log_size;
	if (at + need > a->log_size) {
		a->log_head += a->log_size - at;
		at = 0;
	}
	hdr->pos = a->log_head;
	a->log_head += need;
	if (a->log_head > a->log_size) {
		put64(&a->shared->log_tail, a->log_head - a->log_size);
		changing(); /* pairs with the acquire fence in mon_read_pkt */
	}
	memcpy(word, hdr, sizeof(word));
	for (unsigned i = 0; i < sizeof(word) / 8; i++)
		put64((uint64_t *)(a->log + at) + i, word[i]);
	mon_copy(a->log + at + sizeof(*hdr), frame, hdr->len);
	/* pairs with the acquire in mon_read_pkt */
	atomic_store_explicit((_Atomic uint64_t *)&a->shared->log_head, a->log_head, memory_order_release);
	return hdr->pos;
}

/* --- Figures ---------------------------------------------------------------------------------------------------- */

uint64_t arena_stored(const struct arena *a)
{
	return a->turn;
}

uint32_t arena_chunks(const struct arena *a)
{
	return a->chunks;
}

uint32_t arena_records(const struct arena *a)
{
	return a->flows;
}

uint64_t arena_logged(const struct arena *a)
{
	return a->log_head;
}

void arena_figures(const struct arena *a, struct arena_figures *f)
{
	*f = (struct arena_figures){
		.chunks_used = a->chunks_touched - a->free_count,
		.evicted = a->evicted,
		.pieces_dropped = a->dropped,
		.log_bytes = a->log_head,
		.records_used = a->open_count,
	};
}

static uint64_t up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}
