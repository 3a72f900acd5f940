/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Putting IPv4 datagrams together (RFC 791, 815), against an opponent who sends nothing but fragments.
 *
 * Pieces are copied out of their frames at once, so that no port's buffers wait here.  Overlap condemns the datagram (RFC
 * 5722 for IPv6, and the teardrop attack); an exact repetition is ignored.  Bounded are datagrams, pieces of each, bytes of all,
 * time, and whole datagrams that have left but are not freed.  A whole one is a frame again, valid from its link header on.
 *
 * rte_ip_frag is not used: DPDK 22.11 as distributed joins 8 fragments at most (RTE_LIBRTE_IP_FRAG_MAX_FRAG), 12 KiB at an
 * MTU of 1500, and its table's hash has no secret key.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

enum {
	FRAG_ENTRIES = 256,             /* when not configured */
	FRAG_TIMEOUT_MS = 30000,
	FRAG_PIECES_MAX = 128,          /* 64 KiB at an MTU of 576 need 119 */
	FRAG_BYTES_MAX = 4 << 20,       /* of all pieces of an engine */
	FRAG_WHOLE_MAX = 256,           /* of all engines */
	FRAG_EXPIRE_MAX = 64,           /* at a time */
	FRAG_L2_MAX = ETH_HDR + VLAN_HDR,
	FRAG_HEAD_MAX = FRAG_L2_MAX + 60 + 8, /* link header, IP header, and what an ICMP error quotes besides */
	FRAG_TCP_MIN = 20,              /* RFC 3128, RFC 1858 */
	IP_ECN = 3,
	IP_ECN_CE = 3,
};

struct frag_piece {
	struct frag_piece *next;
	uint32_t off, len;
	uint8_t data[];
};

struct frag_key {
	uint32_t src, dst;
	uint16_t id;
	uint8_t proto, port;
};

struct frag_entry {
	TAILQ_ENTRY(frag_entry) list;
	struct frag_entry *chain;
	struct frag_key key;
	bool condemned;
	uint8_t ecn_seen;      /* bit per codepoint */
	uint8_t l2_len, ip_len;
	uint8_t head[FRAG_HEAD_MAX];
	uint32_t head_len;     /* 0: the first fragment has not come */
	uint16_t flags;        /* of the first fragment's frame */
	uint32_t total;        /* bytes of payload; 0: not known */
	uint32_t have;
	unsigned pieces;
	struct frag_piece *first, *last; /* by offset */
	uint64_t until_us;
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

/* One fragment, checked. */
struct frag_part {
	const uint8_t *data;
	uint32_t off, len;
	bool more;
};

static bool part_parse(const struct pkt *p, struct frag_part *f);
static struct frag_entry **find(const struct net *net, const struct frag_key *key);
static struct frag_entry *entry_get(struct net *net, const struct frag_key *key, uint64_t now_us);
static void entry_free(struct net *net, struct frag_entry *e);
static void entry_condemn(struct net *net, struct frag_entry *e);
static bool entry_add(struct net *net, struct frag_entry *e, const struct pkt *p, const struct frag_part *f);
static struct pkt *whole_make(struct frag_entry *e);

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
	struct frag_key key = {get32(ip + 12), get32(ip + 16), get16(ip + 4), p->proto, p->port};
	struct pkt *whole = NULL;
	struct frag_entry *e = NULL;
	struct frag_part part;

	COUNT(net->stats, IP_FRAG_IN);
	if (part_parse(p, &part))
		e = entry_get(net, &key, now_us);
	if (!e || e->condemned || !entry_add(net, e, p, &part)) {
		COUNT(net->stats, IP_FRAG_DROP);
	} else if (e->have == e->total && e->head_len) {
		whole = whole_make(e);
		if (whole)
			COUNT(net->stats, IP_FRAG_OK);
		else
			COUNT(net->stats, IP_FRAG_DROP);
		entry_free(net, e);
	}
	nic_free(p);
	return whole;
}

/* RFC 1122, 3.3.2: tell the sender, if we know what it began with. */
static void expire(struct net *net, struct frag_entry *e, uint64_t now_us)
{
	COUNT(net->stats, IP_FRAG_DROP);
	if (!e->condemned && e->head_len && !(e->flags & PKT_MCAST))
		icmp_send_error(net, e->key.dst, e->key.src, ICMP_TIME_EXCEEDED, 1, e->head + e->l2_len, e->head_len - e->l2_len, now_us);
	entry_free(net, e);
}

uint64_t frag_tick(struct net *net, uint64_t now_us)
{
	struct frag_list *l = &net->frag->used;

	for (unsigned i = 0; i < FRAG_EXPIRE_MAX && !TAILQ_EMPTY(l) && TAILQ_FIRST(l)->until_us <= now_us; i++)
		expire(net, TAILQ_FIRST(l), now_us);
	return TAILQ_EMPTY(l) ? UINT64_MAX : TAILQ_FIRST(l)->until_us;
}

/* The ping of death, fragments that move a TCP header about, and other nonsense. */
static bool part_parse(const struct pkt *p, struct frag_part *f)
{
	uint16_t word = get16(p->data + p->l3_off + 6);
	uint32_t ihl = (uint32_t)(p->l4_off - p->l3_off);

	f->data = p->data + p->l4_off;
	f->off = (word & (uint32_t)IP4_OFFSET) * 8;
	f->len = p->l3_len - ihl;
	f->more = word & IP4_MF;
	if (f->len == 0 || (f->more && f->len % 8) || ihl + f->off + f->len > UINT16_MAX)
		return false;
	if (p->proto == PROTO_TCP && (f->off == 8 || (f->off == 0 && f->len < FRAG_TCP_MIN)))
		return false;
	return true;
}

static bool key_equal(const struct frag_key *a, const struct frag_key *b)
{
	return a->src == b->src && a->dst == b->dst && a->id == b->id && a->proto == b->proto && a->port == b->port;
}

static struct frag_entry **find(const struct net *net, const struct frag_key *key)
{
	uint64_t hash = net_keyed_hash(net->seed, (uint64_t)key->src << 32 | key->dst,
	                               (uint64_t)key->id << 16 | (uint64_t)key->proto << 8 | key->port);
	struct frag_entry **e = &net->frag->bucket[hash & net->frag->bucket_mask];

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
	e->ip_len = (uint8_t)(p->l4_off - p->l3_off);
	e->head_len = p->l4_off + quote;
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
	e->ecn_seen |= (uint8_t)(1u << (p->tos & IP_ECN));
	head_keep(e, p, f);
	return true;
}

/* --- The whole datagram ------------------------------------------------------------------------------------------- */

static atomic_uint whole_out;

static void whole_free(struct pkt *p)
{
	free(p);
	atomic_fetch_sub(&whole_out, 1);
}

static uint16_t whole_rx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t max, uint64_t now_us)
{
	(void)n, (void)queue, (void)pkts, (void)max, (void)now_us;
	return 0;
}

static uint16_t whole_tx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t count, uint64_t now_us)
{
	(void)n, (void)queue, (void)now_us;
	for (uint16_t i = 0; i < count; i++)
		nic_free(pkts[i]);
	return 0;
}

static struct pkt *whole_alloc(struct nic *n)
{
	(void)n;
	return NULL;
}

static void whole_close(struct nic *n)
{
	(void)n;
}

static const struct nic_ops whole_ops = {
	.rx = whole_rx,
	.tx = whole_tx,
	.alloc = whole_alloc,
	.free = whole_free,
	.close = whole_close,
};

/* Where a whole datagram comes from: no port, but with a port's index.  They outlive every engine. */
#define WHOLE(i) {.ops = &whole_ops, .name = "frag", .index = (i)}
static struct nic whole_nic[NET_PORTS_MAX] = {
	WHOLE(0), WHOLE(1), WHOLE(2),  WHOLE(3),  WHOLE(4),  WHOLE(5),  WHOLE(6),  WHOLE(7),
	WHOLE(8), WHOLE(9), WHOLE(10), WHOLE(11), WHOLE(12), WHOLE(13), WHOLE(14), WHOLE(15),
};

static struct pkt *whole_new(const struct frag_entry *e)
{
	uint32_t room = e->l2_len + (uint32_t)e->ip_len + e->total;
	struct pkt *p;

	if (atomic_fetch_add(&whole_out, 1) >= FRAG_WHOLE_MAX)
		goto full;
	p = malloc(sizeof(*p) + PKT_HEADROOM + room);
	if (!p)
		goto full;
	memset(p, 0, sizeof(*p));
	p->data = (uint8_t *)(p + 1) + PKT_HEADROOM;
	p->room = p->len = room;
	p->nic = &whole_nic[e->key.port];
	p->port = e->key.port;
	return p;
full:
	atomic_fetch_sub(&whole_out, 1);
	return NULL;
}

/* RFC 3168, 5.3: congestion seen by one fragment was seen by the datagram. */
static bool ecn_joined(const struct frag_entry *e, uint8_t *tos)
{
	if (!(e->ecn_seen & 1u << IP_ECN_CE))
		return true;
	*tos |= IP_ECN_CE;
	return !(e->ecn_seen & 1);
}

static void whole_fields(const struct frag_entry *e, struct pkt *p, uint8_t *ip)
{
	p->flags = e->flags | PKT_IP_GOOD;
	p->l3_off = e->l2_len;
	p->l4_off = (uint16_t)(e->l2_len + e->ip_len);
	p->l3_len = (uint16_t)(e->ip_len + e->total);
	p->vlan = e->l2_len > ETH_HDR ? get16(p->data + ETH_HDR) & 0xfff : 0;
	p->proto = e->key.proto;
	p->ttl = ip[8];
	p->tos = ip[1];
	p->src = from_ip4(e->key.src);
	p->dst = from_ip4(e->key.dst);
}

static struct pkt *whole_make(struct frag_entry *e)
{
	struct pkt *p = e->ip_len + e->total <= UINT16_MAX ? whole_new(e) : NULL;
	uint8_t *ip, *l4;
	uint16_t sum;

	if (!p)
		return NULL;
	memcpy(p->data, e->head, e->l2_len + (uint32_t)e->ip_len);
	ip = p->data + e->l2_len;
	l4 = ip + e->ip_len;
	for (const struct frag_piece *piece = e->first; piece; piece = piece->next)
		memcpy(l4 + piece->off, piece->data, piece->len);
	if (!ecn_joined(e, &ip[1])) {
		nic_free(p);
		return NULL;
	}
	put16(ip + 2, (uint16_t)(e->ip_len + e->total));
	put16(ip + 6, 0);
	put16(ip + 10, 0);
	sum = csum_finish(csum_add(0, ip, e->ip_len));
	memcpy(ip + 10, &sum, 2);
	whole_fields(e, p, ip);
	return p;
}
