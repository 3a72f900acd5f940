/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A port that misbehaves on purpose.  It wraps another one; every frame, in both directions, may be lost, delayed,
 * reordered, duplicated or corrupted.  All chance comes from one seed: the same frames at the same times suffer the same.
 *
 *   frame -> lost? -> copied? -> bit flipped? -> held back for some frames? -> rate limit -> delay -> heap by departure
 *
 * Each (queue, direction) has its own generator and heap, so that engines share nothing.  Delay without jitter keeps the
 * order; jitter does not.  Time is what the caller says it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/nic/nic.h"
#include "shm/proto.h"

enum {
	FAULT_QUEUES = SHM_ENGINES_MAX,
	FAULT_HEAP_MAX = 16384,   /* frames on their way, per direction */
	FAULT_HELD_MAX = 16,      /* frames held back to be overtaken */
	FAULT_HELD_FRAMES = 6,    /* overtaken by 1 to so many */
	FAULT_HELD_US = 10000,    /* but not kept longer than this */
	FAULT_BURST = 64,
	FAULT_LIMIT_BYTES = 256 * 1024, /* of the rate limit's queue, when not given */
};

struct fault_entry {
	uint64_t when_us;
	uint64_t seq; /* ties leave in the order of arrival */
	struct pkt *pkt;
};

struct fault_held {
	struct pkt *pkt;
	unsigned frames; /* still to overtake it */
	uint64_t until_us;
};

/* One direction of one queue. */
struct fault_dir {
	uint64_t rng;
	uint64_t seq;
	uint64_t busy_until_ns; /* when the rate limit's queue has drained */
	struct fault_entry *heap; /* [1..heap_count], least first; allocated when first needed */
	unsigned heap_count, heap_size;
	struct fault_held held[FAULT_HELD_MAX];
	unsigned held_count;
	uint64_t count[NIC_CNT_MAX];
};

struct fault {
	struct nic nic;
	struct nic *inner;
	struct nic_fault conf;
	struct fault_dir dir[FAULT_QUEUES][2]; /* rx, tx */
};

enum { FAULT_RX, FAULT_TX };

static const struct nic_ops fault_ops;

struct nic *nic_fault_open(struct nic *inner, const struct nic_fault *f)
{
	struct fault *t = calloc(1, sizeof(*t));

	if (!t) {
		errno = ENOMEM;
		return NULL;
	}
	t->nic = *inner;
	t->nic.ops = &fault_ops;
	t->nic.tx_l4_csum = t->nic.tx_ip_csum = false; /* a corrupted frame must not get a fresh checksum */
	t->nic.rx_l4_csum = t->nic.rx_ip_csum = false;
	t->inner = inner;
	t->conf = *f;
	if (t->conf.limit_bytes == 0)
		t->conf.limit_bytes = FAULT_LIMIT_BYTES;
	for (unsigned q = 0; q < FAULT_QUEUES; q++)
		for (unsigned d = 0; d < 2; d++)
			t->dir[q][d].rng = f->seed ^ (uint64_t)(q * 2 + d + 1) << 32;
	return &t->nic;
}

/* splitmix64, by Sebastiano Vigna: one word of state, every seed good. */
static uint64_t rng_next(struct fault_dir *d)
{
	uint64_t z = d->rng += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool rng_chance(struct fault_dir *d, double p)
{
	return p > 0 && (double)(rng_next(d) >> 11) * 0x1p-53 < p;
}

static bool entry_before(const struct fault_entry *a, const struct fault_entry *b)
{
	return a->when_us < b->when_us || (a->when_us == b->when_us && a->seq < b->seq);
}

static bool heap_room(struct fault_dir *d)
{
	unsigned size = d->heap_size ? d->heap_size * 2 : 64;
	struct fault_entry *heap;

	if (d->heap_count < d->heap_size)
		return true;
	if (size > FAULT_HEAP_MAX)
		return false;
	heap = realloc(d->heap, (size + 1) * sizeof(*heap));
	if (!heap)
		return false;
	d->heap = heap;
	d->heap_size = size;
	return true;
}

static bool heap_push(struct fault_dir *d, struct pkt *p, uint64_t when_us)
{
	struct fault_entry e = {.when_us = when_us, .seq = d->seq++, .pkt = p};
	unsigned i;

	if (!heap_room(d))
		return false;
	p->when_us = when_us;
	for (i = ++d->heap_count; i > 1 && entry_before(&e, &d->heap[i / 2]); i /= 2)
		d->heap[i] = d->heap[i / 2];
	d->heap[i] = e;
	return true;
}

static struct pkt *heap_pop(struct fault_dir *d)
{
	struct pkt *p = d->heap[1].pkt;
	struct fault_entry last = d->heap[d->heap_count--];
	unsigned i = 1, child;

	for (; (child = i * 2) <= d->heap_count; i = child) {
		if (child < d->heap_count && entry_before(&d->heap[child + 1], &d->heap[child]))
			child++;
		if (!entry_before(&d->heap[child], &last))
			break;
		d->heap[i] = d->heap[child];
	}
	d->heap[i] = last;
	return p;
}

static void drop(struct fault_dir *d, struct pkt *p, enum nic_counter why)
{
	d->count[why]++;
	nic_free(p);
}

/* The departure of len bytes through the rate limit; false when its queue is full. */
static bool rate_pass(const struct nic_fault *f, struct fault_dir *d, uint32_t len, uint64_t now_us, uint64_t *when_us)
{
	uint64_t now_ns = now_us * 1000, start_ns = now_ns;

	*when_us = now_us;
	if (f->rate_mbit == 0)
		return true;
	if (d->busy_until_ns > now_ns) {
		uint64_t queued = (d->busy_until_ns - now_ns) * f->rate_mbit / 8000;

		if (queued + len > f->limit_bytes)
			return false;
		start_ns = d->busy_until_ns;
	}
	d->busy_until_ns = start_ns + (uint64_t)len * 8000 / f->rate_mbit;
	*when_us = (d->busy_until_ns + 999) / 1000;
	return true;
}

static void depart(struct fault *t, struct fault_dir *d, struct pkt *p, uint64_t now_us)
{
	uint64_t when_us;

	if (!rate_pass(&t->conf, d, p->len, now_us, &when_us)) {
		drop(d, p, NIC_CNT_FAULT_OVERFLOW);
		return;
	}
	when_us += t->conf.delay_us;
	if (t->conf.jitter_us)
		when_us += rng_next(d) % (t->conf.jitter_us + 1ull);
	if (!heap_push(d, p, when_us))
		drop(d, p, NIC_CNT_FAULT_OVERFLOW);
}

/* Frames that enough others have overtaken, or that have waited long enough, go on their way. */
static void held_release(struct fault *t, struct fault_dir *d, bool passed, uint64_t now_us)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < d->held_count; i++) {
		struct fault_held h = d->held[i];

		if (passed && h.frames > 0)
			h.frames--;
		if (h.frames == 0 || h.until_us <= now_us)
			depart(t, d, h.pkt, now_us);
		else
			d->held[kept++] = h;
	}
	d->held_count = kept;
}

static bool hold_back(struct fault *t, struct fault_dir *d, struct pkt *p, uint64_t now_us)
{
	if (!rng_chance(d, t->conf.reorder) || d->held_count == FAULT_HELD_MAX)
		return false;
	d->held[d->held_count++] = (struct fault_held){
		.pkt = p,
		.frames = 1 + (unsigned)(rng_next(d) % FAULT_HELD_FRAMES),
		.until_us = now_us + FAULT_HELD_US,
	};
	d->count[NIC_CNT_FAULT_REORDERED]++;
	return true;
}

static void maybe_corrupt(struct fault *t, struct fault_dir *d, struct pkt *p)
{
	if (!rng_chance(d, t->conf.corrupt) || p->len == 0)
		return;
	p->data[rng_next(d) % p->len] ^= (uint8_t)(1u << rng_next(d) % 8);
	p->flags &= (uint16_t)~(PKT_L4_GOOD | PKT_IP_GOOD);
	d->count[NIC_CNT_FAULT_CORRUPTED]++;
}

static struct pkt *fault_alloc(struct nic *n)
{
	struct pkt *p = nic_alloc(((struct fault *)n)->inner);

	if (p)
		p->nic = n;
	return p;
}

static struct pkt *maybe_copy(struct fault *t, struct fault_dir *d, const struct pkt *p)
{
	struct pkt *copy;

	if (!rng_chance(d, t->conf.duplicate))
		return NULL;
	copy = fault_alloc(&t->nic);
	if (!copy || copy->room < p->len) {
		nic_free(copy);
		return NULL;
	}
	memcpy(copy->data, p->data, p->len);
	copy->len = p->len;
	copy->flags = p->flags;
	d->count[NIC_CNT_FAULT_DUPLICATED]++;
	return copy;
}

static void pass_one(struct fault *t, struct fault_dir *d, struct pkt *p, uint64_t now_us)
{
	maybe_corrupt(t, d, p);
	if (hold_back(t, d, p, now_us))
		return;
	depart(t, d, p, now_us);
	held_release(t, d, true, now_us);
}

static void suffer(struct fault *t, struct fault_dir *d, struct pkt *p, uint64_t now_us)
{
	struct pkt *copy;

	if (rng_chance(d, t->conf.loss)) {
		drop(d, p, NIC_CNT_FAULT_LOST);
		return;
	}
	copy = maybe_copy(t, d, p);
	pass_one(t, d, p, now_us);
	if (copy)
		pass_one(t, d, copy, now_us);
}

/* What is due, at most max. */
static uint16_t due(struct fault *t, struct fault_dir *d, struct pkt **pkts, uint16_t max, uint64_t now_us)
{
	uint16_t n = 0;

	held_release(t, d, false, now_us);
	while (n < max && d->heap_count && d->heap[1].when_us <= now_us)
		pkts[n++] = heap_pop(d);
	return n;
}

static void tx_due(struct fault *t, unsigned queue, uint64_t now_us)
{
	struct pkt *pkts[FAULT_BURST];
	uint16_t n;

	while ((n = due(t, &t->dir[queue][FAULT_TX], pkts, FAULT_BURST, now_us)) > 0) {
		for (uint16_t i = 0; i < n; i++)
			if (pkts[i]->nic == &t->nic)
				pkts[i]->nic = t->inner;
		t->inner->ops->tx(t->inner, queue, pkts, n, now_us);
	}
}

static uint16_t fault_tx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t count, uint64_t now_us)
{
	struct fault *t = (struct fault *)n;

	queue %= FAULT_QUEUES;
	for (uint16_t i = 0; i < count; i++)
		suffer(t, &t->dir[queue][FAULT_TX], pkts[i], now_us);
	tx_due(t, queue, now_us);
	return count;
}

/* The engine calls it every turn, so it also sends what has become due. */
static uint16_t fault_rx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t max, uint64_t now_us)
{
	struct fault *t = (struct fault *)n;
	struct pkt *in[FAULT_BURST];
	uint16_t got;

	queue %= FAULT_QUEUES;
	tx_due(t, queue, now_us);
	got = nic_rx(t->inner, queue, in, max < FAULT_BURST ? max : FAULT_BURST, now_us);
	for (uint16_t i = 0; i < got; i++) {
		in[i]->nic = n;
		suffer(t, &t->dir[queue][FAULT_RX], in[i], now_us);
	}
	return due(t, &t->dir[queue][FAULT_RX], pkts, max, now_us);
}

static void fault_free(struct pkt *p)
{
	p->nic = ((struct fault *)p->nic)->inner;
	nic_free(p);
}

static uint64_t dir_next_us(const struct fault_dir *d)
{
	uint64_t next = d->heap_count ? d->heap[1].when_us : UINT64_MAX;

	for (unsigned i = 0; i < d->held_count; i++)
		if (d->held[i].until_us < next)
			next = d->held[i].until_us;
	return next;
}

static uint64_t fault_next_us(struct nic *n, unsigned queue, uint64_t now_us)
{
	struct fault *t = (struct fault *)n;
	uint64_t next = nic_next_us(t->inner, queue, now_us);

	for (unsigned d = 0; d < 2; d++) {
		uint64_t mine = dir_next_us(&t->dir[queue % FAULT_QUEUES][d]);

		if (mine < next)
			next = mine;
	}
	return next;
}

static void fault_counters(struct nic *n, uint64_t out[])
{
	struct fault *t = (struct fault *)n;

	nic_counters(t->inner, out);
	for (unsigned q = 0; q < FAULT_QUEUES; q++)
		for (unsigned d = 0; d < 2; d++)
			for (unsigned c = NIC_CNT_FAULT_LOST; c < NIC_CNT_MAX; c++)
				out[c] += t->dir[q][d].count[c];
}

static void dir_clear(struct fault_dir *d)
{
	for (unsigned i = 1; i <= d->heap_count; i++)
		nic_free(d->heap[i].pkt);
	for (unsigned i = 0; i < d->held_count; i++)
		nic_free(d->held[i].pkt);
	free(d->heap);
	d->heap = NULL;
	d->heap_count = d->heap_size = d->held_count = 0;
}

static void fault_drop(struct nic *n)
{
	struct fault *t = (struct fault *)n;

	for (unsigned q = 0; q < FAULT_QUEUES; q++)
		for (unsigned d = 0; d < 2; d++)
			dir_clear(&t->dir[q][d]);
}

static void fault_close(struct nic *n)
{
	struct fault *t = (struct fault *)n;

	fault_drop(n);
	nic_close(t->inner);
	free(t);
}

static const struct nic_ops fault_ops = {
	.rx = fault_rx,
	.tx = fault_tx,
	.alloc = fault_alloc,
	.free = fault_free,
	.next_us = fault_next_us,
	.counters = fault_counters,
	.drop = fault_drop,
	.close = fault_close,
};
