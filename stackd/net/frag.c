/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Putting datagrams together (RFC 791, 815; RFC 8200, 4.5), against an opponent who sends nothing but fragments.
 *
 * Pieces are copied out of their frames at once, so that no port's buffers wait here.  Overlap condemns the datagram (RFC
 * 5722 for IPv6, and the teardrop attack); an exact repetition is ignored.  Bounded are datagrams, pieces of each, bytes of all,
 * time, and whole datagrams that have left but are not freed.  A whole one is a frame again, valid from its link header on.
 *
 * rte_ip_frag is not used: DPDK 22.11 as distributed joins 8 fragments at most (RTE_LIBRTE_IP_FRAG_MAX_FRAG), 12 KiB at an
 * MTU of 1500, and its table's hash has no secret key.
 */
#include <stdlib.h>

#include "stackd/net/frag.h"

enum {
	FRAG_ENTRIES = 256,       /* when not configured */
	FRAG_TIMEOUT_MS = 30000,
	FRAG_PIECES_MAX = 128,    /* 64 KiB at an MTU of 576 need 119 */
	FRAG_BYTES_MAX = 4 << 20, /* of all pieces of an engine */
	FRAG_EXPIRE_MAX = 64,     /* at a time */
};

TAILQ_HEAD(frag_list, frag_entry);

struct frag {
	struct frag_list free, used; /* used: oldest first */
	uint32_t bytes;
	uint64_t timeout_us;
	uint32_t bucket_mask;
	struct frag_entry **bucket;
	struct frag_entry entry[];
};

static struct pkt *take(struct net *net, struct pkt *p, const struct frag_key *key, const struct frag_part *part, uint64_t now_us);
static struct frag_entry **find(const struct net *net, const struct frag_key *key);
static struct frag_entry *entry_get(struct net *net, const struct frag_key *key, uint64_t now_us);
static void entry_free(struct net *net, struct frag_entry *e);
static void entry_condemn(struct net *net, struct frag_entry *e);
static bool entry_add(struct net *net, struct frag_entry *e, const struct pkt *p, const struct frag_part *f);

struct frag *frag_create(struct net *net)
{
	uint32_t n = net->conf.frag_entries ? net->conf.frag_entries : FRAG_ENTRIES, buckets = 16;
	struct frag *t = calloc(1, sizeof(*t) + n * sizeof(t->entry[0]));

	while (buckets < n)
		buckets *= 2;
	if (t)
		t->bucket = calloc(buckets, sizeof(struct frag_entry *));
	if (!t || !t->bucket) {
		free(t);
		return NULL;
	}
	t->bucket_mask = buckets - 1;
	t->timeout_us = (net->conf.frag_timeout_ms ? net->conf.frag_timeout_ms : FRAG_TIMEOUT_MS) * 1000ull;
	TAILQ_INIT(&t->free);
	TAILQ_INIT(&t->used);
	for (uint32_t i = 0; i < n; i++)
		TAILQ_INSERT_TAIL(&t->free, &t->entry[i], list);
	return t;
}

void frag_destroy(struct net *net)
{
	struct frag *t = net->frag;

	if (!t)
		return;
	while (!TAILQ_EMPTY(&t->used))
		entry_free(net, TAILQ_FIRST(&t->used));
	free(t->bucket);
	free(t);
	net->frag = NULL;
}

struct pkt *frag_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	const uint8_t *ip = p->data + p->l3_off;
	struct frag_key key = {p->src, p->dst, get16(ip + 4), p->proto, p->port};
	struct frag_part part;

	COUNT(net->stats, IP_FRAG_IN);
	if (frag_part_parse(p, &part))
		return take(net, p, &key, &part, now_us);
	COUNT(net->stats, IP_FRAG_DROP);
	nic_free(p);
	return NULL;
}

struct pkt *frag_in6(struct net *net, struct pkt *p, const struct ext6 *e, uint64_t now_us)
{
	struct frag_key key = {p->src, p->dst, get32(p->data + p->l3_off + e->off + 4), 0, p->port};
	struct icmp6_error err = {ICMP6_PARAMETER, EXT6_SILENT, 0, false};
	struct frag_part part;

	COUNT(net->stats, IP_FRAG_IN);
	if (frag_part_parse6(p, e, &part, &err))
		return take(net, p, &key, &part, now_us);
	COUNT(net->stats, IP_FRAG_DROP);
	if (err.code != EXT6_SILENT)
		icmp6_error(net, p, &err, now_us);
	nic_free(p);
	return NULL;
}

static struct pkt *take(struct net *net, struct pkt *p, const struct frag_key *key, const struct frag_part *part, uint64_t now_us)
{
	struct frag_entry *e = entry_get(net, key, now_us);
	struct pkt *whole = NULL;

	if (e->condemned || !entry_add(net, e, p, part)) {
		COUNT(net->stats, IP_FRAG_DROP);
	} else if (e->have == e->total && e->head_len) {
		whole = frag_whole(e);
		if (whole)
			COUNT(net->stats, IP_FRAG_OK);
		else
			COUNT(net->stats, IP_FRAG_DROP);
		entry_free(net, e);
	}
	nic_free(p);
	return whole;
}

/* RFC 8200, 4.5 */
static void expire6(struct net *net, struct frag_entry *e, uint64_t now_us)
{
	const struct icmp6_error err = {ICMP6_TIME_EXCEEDED, 1, 0, false};
	const struct pkt first = {
		.data = e->head,
		.len = e->head_len,
		.flags = e->flags,
		.l3_off = e->l2_len,
		.l3_len = (uint16_t)(e->head_len - e->l2_len),
		.port = e->key.port,
		.src = e->key.src,
		.dst = e->key.dst,
	};

	icmp6_error(net, &first, &err, now_us);
}

/* RFC 1122, 3.3.2: tell the sender, if we know what it began with. */
static void expire(struct net *net, struct frag_entry *e, uint64_t now_us)
{
	COUNT(net->stats, IP_FRAG_DROP);
	if (!e->condemned && e->head_len && !(e->flags & PKT_MCAST)) {
		if (is_ip4(&e->key.dst))
			icmp_send_error(net, to_ip4(&e->key.dst), to_ip4(&e->key.src), ICMP_TIME_EXCEEDED, 1, e->head + e->l2_len,
			                e->head_len - e->l2_len, now_us);
		else
			expire6(net, e, now_us);
	}
	entry_free(net, e);
}

uint64_t frag_tick(struct net *net, uint64_t now_us)
{
	struct frag_list *l = &net->frag->used;

	for (unsigned i = 0; i < FRAG_EXPIRE_MAX && !TAILQ_EMPTY(l) && TAILQ_FIRST(l)->until_us <= now_us; i++)
		expire(net, TAILQ_FIRST(l), now_us);
	return TAILQ_EMPTY(l) ? UINT64_MAX : TAILQ_FIRST(l)->until_us;
}

static bool key_equal(const struct frag_key *a, const struct frag_key *b)
{
	return a->id == b->id && a->proto == b->proto && a->port == b->port && ipaddr_equal(&a->src, &b->src) &&
	       ipaddr_equal(&a->dst, &b->dst);
}

static struct frag_entry **find(const struct net *net, const struct frag_key *key)
{
	uint64_t word[4], hash;
	struct frag_entry **e;

	memcpy(word, &key->src, 16);
	memcpy(word + 2, &key->dst, 16);
	hash = net_keyed_hash(net->seed, word[1], word[3]);
	if (word[0] != 0 || word[2] != 0) /* not of IPv4 */
		hash = net_keyed_hash(net->seed ^ hash, word[0], word[2]);
	hash = net_keyed_hash(net->seed, hash, (uint64_t)key->id << 16 | (uint64_t)key->proto << 8 | key->port);
	e = &net->frag->bucket[hash & net->frag->bucket_mask];
	while (*e && !key_equal(&(*e)->key, key))
		e = &(*e)->chain;
	return e;
}

/* The oldest datagram makes room for a new one. */
static struct frag_entry *entry_get(struct net *net, const struct frag_key *key, uint64_t now_us)
{
	struct frag *t = net->frag;
	struct frag_entry *e = *find(net, key), **at;

	if (e)
		return e;
	if (TAILQ_EMPTY(&t->free)) {
		COUNT(net->stats, IP_FRAG_DROP);
		entry_free(net, TAILQ_FIRST(&t->used));
	}
	e = TAILQ_FIRST(&t->free);
	TAILQ_REMOVE(&t->free, e, list);
	memset(e, 0, sizeof(*e));
	e->key = *key;
	e->until_us = now_us + t->timeout_us;
	TAILQ_INSERT_TAIL(&t->used, e, list);
	at = find(net, key);
	*at = e;
	return e;
}

static void pieces_free(struct net *net, struct frag_entry *e)
{
	struct frag_piece *piece;

	while ((piece = e->first)) {
		e->first = piece->next;
		net->frag->bytes -= (uint32_t)sizeof(*piece) + piece->len;
		free(piece);
	}
	e->last = NULL;
}

static void entry_free(struct net *net, struct frag_entry *e)
{
	*find(net, &e->key) = e->chain;
	pieces_free(net, e);
	TAILQ_REMOVE(&net->frag->used, e, list);
	TAILQ_INSERT_TAIL(&net->frag->free, e, list);
}

/* It stays, without its pieces, so that what follows is dropped too. */
static void entry_condemn(struct net *net, struct frag_entry *e)
{
	pieces_free(net, e);
	e->condemned = true;
}

/* Does its end agree with the others'? */
static bool end_fits(struct frag_entry *e, const struct frag_part *f)
{
	uint32_t end = f->off + f->len;

	if (e->total)
		return f->more ? end < e->total : end == e->total;
	if (f->more)
		return true;
	if (e->last && e->last->off + e->last->len > end)
		return false;
	e->total = end;
	return true;
}

/* The piece after which off belongs, NULL: before all.  At the end in the usual order. */
static struct frag_piece *place(const struct frag_entry *e, uint32_t off)
{
	struct frag_piece *before = NULL;

	if (e->last && e->last->off <= off)
		return e->last;
	for (struct frag_piece *piece = e->first; piece && piece->off <= off; piece = piece->next)
		before = piece;
	return before;
}

static bool piece_link(struct net *net, struct frag_entry *e, struct frag_piece *before, const struct frag_part *f)
{
	uint32_t size = (uint32_t)sizeof(struct frag_piece) + f->len;
	struct frag_piece *piece;

	if (net->frag->bytes + size > FRAG_BYTES_MAX || e->pieces == FRAG_PIECES_MAX)
		return false;
	piece = malloc(size);
	if (!piece)
		return false;
	memcpy(piece->data, f->data, f->len);
	piece->off = f->off;
	piece->len = f->len;
	piece->next = before ? before->next : e->first;
	*(before ? &before->next : &e->first) = piece;
	if (!piece->next)
		e->last = piece;
	e->pieces++;
	e->have += f->len;
	net->frag->bytes += size;
	return true;
}

static void head_keep(struct frag_entry *e, const struct pkt *p, const struct frag_part *f)
{
	uint32_t quote = f->len < 8 ? f->len : 8;

	if (f->off != 0)
		return;
	e->l2_len = (uint8_t)p->l3_off;
	e->ip_len = f->ip_len;
	e->named_at = f->named_at;
	e->next = f->next;
	e->head_len = (uint32_t)(f->data - p->data) + quote;
	e->flags = p->flags & PKT_MCAST;
	memcpy(e->head, p->data, e->head_len);
}

static bool entry_add(struct net *net, struct frag_entry *e, const struct pkt *p, const struct frag_part *f)
{
	struct frag_piece *before = place(e, f->off), *after = before ? before->next : e->first;

	if (before && before->off == f->off && before->len == f->len)
		return false; /* the same again */
	if ((before && before->off + before->len > f->off) || (after && f->off + f->len > after->off) || !end_fits(e, f) ||
	    !piece_link(net, e, before, f)) {
		entry_condemn(net, e);
		return false;
	}
	e->ecn_seen |= (uint8_t)(1u << (p->tos & FRAG_ECN));
	head_keep(e, p, f);
	return true;
}
