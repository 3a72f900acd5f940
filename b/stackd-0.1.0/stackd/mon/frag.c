/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fragments of IPv4 and IPv6 put together for those who watch.  Bounded are datagrams, bytes and time; pieces that overlap, but for
 * exact repetitions, condemn their datagram (RFC 5722, 3; the same for IPv4).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "stackd/mon/flow.h"
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

enum {
	BYTES_MAX = 4 << 20,
	PIECES_MAX = 256,
	HEAD_MAX = 256,   /* link header, IP header, extensions before the fragment header */
	WHOLE_MAX = 65535,
	CHAINS = 256,
	IP6_AUTH = 51,
};

struct piece {
	struct piece *next;
	uint32_t off, len;
	uint8_t bytes[];
};

struct datagram {
	TAILQ_ENTRY(datagram) age;
	struct datagram *chain;
	struct ipaddr src, dst;
	uint32_t id;
	uint8_t proto, version;
	bool condemned;
	uint32_t head_len, l3_off; /* 0: the first piece has not come */
	uint8_t head[HEAD_MAX];
	uint8_t next_proto;        /* IPv6: what follows the fragment header */
	uint32_t total, have;      /* payload; total UINT32_MAX: unknown */
	unsigned pieces;
	struct piece *first;       /* by offset */
	uint64_t until_us;
};

struct mon_frags {
	TAILQ_HEAD(, datagram) age;
	struct datagram *chain[CHAINS];
	uint32_t entries, max, bytes;
	uint64_t timeout_us, seed;
	uint8_t whole[HEAD_MAX + WHOLE_MAX];
};

struct part {
	uint32_t id, off, len;
	bool more;
	uint8_t proto; /* of what is fragmented */
	const uint8_t *bytes;
};

struct mon_frags *mon_frags_create(uint32_t entries, uint64_t timeout_us, uint64_t seed)
{
	struct mon_frags *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	TAILQ_INIT(&f->age);
	f->max = entries;
	f->timeout_us = timeout_us;
	f->seed = seed;
	return f;
}

static void pieces_free(struct mon_frags *f, struct datagram *d)
{
	struct piece *p;

	while ((p = d->first) != NULL) {
		d->first = p->next;
		f->bytes -= p->len;
		free(p);
	}
}

static struct datagram **chain_of(struct mon_frags *f, const struct mon_seg *s, uint32_t id)
{
	return &f->chain[net_keyed_hash(f->seed, s->hash, id) % CHAINS];
}

static void datagram_free(struct mon_frags *f, struct datagram *d)
{
	for (unsigned i = 0; i < CHAINS; i++) { /* rare enough */
		struct datagram **at = &f->chain[i];

		while (*at != NULL && *at != d)
			at = &(*at)->chain;
		if (*at == d) {
			*at = d->chain;
			break;
		}
	}
	TAILQ_REMOVE(&f->age, d, age);
	pieces_free(f, d);
	f->entries--;
	free(d);
}

void mon_frags_destroy(struct mon_frags *f)
{
	if (f == NULL)
		return;
	while (!TAILQ_EMPTY(&f->age))
		datagram_free(f, TAILQ_FIRST(&f->age));
	free(f);
}

/* RFC 791 3.1; RFC 8200 4.5. */
static bool part_read(const struct pkt *p, const struct mon_seg *s, struct part *part)
{
	const uint8_t *ip = p->data + s->l3_off, *h = p->data + s->l4_off;
	uint32_t end = s->l3_off + s->l3_len;

	if (end > p->len)
		return false;
	if (s->version == 4) {
		part->id = get16(ip + 4);
		part->off = (get16(ip + 6) & IP4_OFFSET) * 8u;
		part->more = (get16(ip + 6) & IP4_MF) != 0;
		part->proto = s->proto;
	} else {
		part->id = get32(h + 4);
		part->off = get16(h + 2) & 0xfff8;
		part->more = (h[3] & 1) != 0;
		part->proto = h[0];
		h += 8;
	}
	part->bytes = h;
	part->len = (uint32_t)(p->data + end - h);
	return part->len > 0 && part->off + part->len <= WHOLE_MAX && (!part->more || part->len % 8 == 0);
}

static struct datagram *datagram_get(struct mon_frags *f, const struct mon_seg *s, const struct part *part, uint64_t now_us)
{
	struct datagram **at = chain_of(f, s, part->id), *d = *at;

	while (d != NULL && (d->id != part->id || d->version != s->version || (s->version == 4 && d->proto != s->proto) ||
			     memcmp(&d->src, &s->src, sizeof(d->src)) != 0 || memcmp(&d->dst, &s->dst, sizeof(d->dst)) != 0))
		d = d->chain;
	if (d != NULL)
		return d;
	if (f->entries >= f->max)
		datagram_free(f, TAILQ_FIRST(&f->age));
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	at = chain_of(f, s, part->id);
	*d = (struct datagram){ .chain = *at, .src = s->src, .dst = s->dst, .id = part->id, .proto = s->proto,
				.version = s->version, .total = UINT32_MAX, .until_us = now_us + f->timeout_us };
	*at = d;
	TAILQ_INSERT_TAIL(&f->age, d, age);
	f->entries++;
	return d;
}

static void condemn(struct mon_frags *f, struct datagram *d)
{
	d->condemned = true;
	pieces_free(f, d);
}

/* A piece finds its place; an exact repetition is ignored. */
static void piece_add(struct mon_frags *f, struct datagram *d, const struct part *part)
{
	struct piece **at = &d->first, *p;

	while (*at != NULL && (*at)->off + (*at)->len <= part->off)
		at = &(*at)->next;
	p = *at;
	if (p != NULL && p->off < part->off + part->len) {
		if (p->off != part->off || p->len != part->len || memcmp(p->bytes, part->bytes, part->len) != 0)
			condemn(f, d);
		return;
	}
	if (d->pieces == PIECES_MAX || f->bytes + part->len > BYTES_MAX) {
		condemn(f, d);
		return;
	}
	p = malloc(sizeof(*p) + part->len);
	if (p == NULL)
		return;
	*p = (struct piece){ .next = *at, .off = part->off, .len = part->len };
	memcpy(p->bytes, part->bytes, part->len);
	*at = p;
	d->pieces++;
	d->have += part->len;
	f->bytes += part->len;
}

static void head_keep(struct datagram *d, const struct pkt *p, const struct mon_seg *s, const struct part *part)
{
	if (part->off != 0 || s->l4_off > HEAD_MAX)
		return;
	d->head_len = s->l4_off;
	d->l3_off = s->l3_off;
	d->next_proto = part->proto;
	memcpy(d->head, p->data, s->l4_off);
}

/* In IPv6 the header before the fragment header names what follows it. */
static void next_header_set(uint8_t *ip, const uint8_t *end, uint8_t proto)
{
	uint8_t *field = ip + 6, *at = ip + IP6_HDR;

	while (at + 8 <= end) {
		uint32_t len = *field == IP6_AUTH ? (at[1] + 2u) * 4 : (at[1] + 1u) * 8;

		field = at;
		at += len;
	}
	*field = proto;
}

static uint32_t join(struct mon_frags *f, const struct datagram *d)
{
	uint8_t *ip = f->whole + d->l3_off;
	uint16_t sum;

	memcpy(f->whole, d->head, d->head_len);
	for (const struct piece *p = d->first; p != NULL; p = p->next)
		memcpy(f->whole + d->head_len + p->off, p->bytes, p->len);
	if (d->version == 4) {
		put16(ip + 2, (uint16_t)(d->head_len - d->l3_off + d->total));
		put16(ip + 6, 0);
		put16(ip + 10, 0);
		sum = csum_finish(csum_add(0, ip, (ip[0] & 15u) * 4));
		memcpy(ip + 10, &sum, 2);
	} else {
		put16(ip + 4, (uint16_t)(d->head_len - d->l3_off - IP6_HDR + d->total));
		next_header_set(ip, f->whole + d->head_len, d->next_proto);
	}
	return d->head_len + d->total;
}

bool mon_frag_in(struct mon_frags *f, const struct pkt *p, const struct mon_seg *s, uint64_t now_us, const uint8_t **frame,
		 uint32_t *len)
{
	struct part part;
	struct datagram *d;

	while ((d = TAILQ_FIRST(&f->age)) != NULL && d->until_us <= now_us)
		datagram_free(f, d);
	if (!part_read(p, s, &part))
		return false;
	d = datagram_get(f, s, &part, now_us);
	if (d == NULL || d->condemned)
		return false;
	if (!part.more && d->total == UINT32_MAX)
		d->total = part.off + part.len;
	if (part.off + part.len > d->total || (!part.more && d->total != part.off + part.len)) {
		condemn(f, d);
		return false;
	}
	head_keep(d, p, s, &part);
	piece_add(f, d, &part);
	if (d->condemned || d->head_len == 0 || d->have != d->total || d->head_len - d->l3_off + d->total > WHOLE_MAX)
		return false;
	*len = join(f, d);
	*frame = f->whole;
	datagram_free(f, d);
	return true;
}
