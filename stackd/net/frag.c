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
	FRAG_IP_MAX = IP6_HDR + EXT6_BYTES_MAX,
	FRAG_QUOTE = IP6_FRAG_HDR + 8,
	FRAG_HEAD_MAX = FRAG_L2_MAX + FRAG_IP_MAX + FRAG_QUOTE, /* link header, IP headers, and what an ICMP error quotes besides */
	FRAG_TCP_MIN = 20,              /* RFC 3128, RFC 1858 */
	FRAG_PROBLEM_FIELD = 0,
	FRAG_PROBLEM_CHAIN = 3,         /* RFC 7112, 5 */
	IP_ECN = 3,
	IP_ECN_CE = 3,
};

struct frag_piece {
	struct frag_piece *next;
	uint32_t off, len;
	uint8_t data[];
};

struct frag_key {
	struct ipaddr src, dst;
	uint32_t id;
	uint8_t proto, port; /* proto: of IPv4 */
};

struct frag_entry {
	TAILQ_ENTRY(frag_entry) list;
	struct frag_entry *chain;
	struct frag_key key;
	bool condemned;
	uint8_t ecn_seen;      /* bit per codepoint */
	uint8_t l2_len, next;  /* next: of IPv6, what the pieces are */
	uint16_t ip_len;       /* of the headers before them */
	uint16_t named_at;     /* where in these the field is that shall say `next` */
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
	uint16_t ip_len, named_at;
	uint8_t next;
};

static bool part_parse(const struct pkt *p, struct frag_part *f);
static bool part_parse6(const struct pkt *p, const struct ext6 *e, struct frag_part *f, struct icmp6_error *err);
static struct pkt *take(struct net *net, struct pkt *p, const struct frag_key *key, const struct frag_part *part, uint64_t now_us);
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
	struct frag_key key = {p->src, p->dst, get16(ip + 4), p->proto, p->port};
	struct frag_part part;

	COUNT(net->stats, IP_FRAG_IN);
	if (part_parse(p, &part))
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
	if (part_parse6(p, e, &part, &err))
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

/* The ping of death, fragments that move a TCP header about, and other nonsense. */
static bool part_parse(const struct pkt *p, struct frag_part *f)
{
	uint16_t word = get16(p->data + p->l3_off + 6);
	uint32_t ihl = (uint32_t)(p->l4_off - p->l3_off);

	f->data = p->data + p->l4_off;
	f->off = (word & (uint32_t)IP4_OFFSET) * 8;
	f->len = p->l3_len - ihl;
	f->more = word & IP4_MF;
	f->ip_len = (uint16_t)ihl;
	if (f->len == 0 || (f->more && f->len % 8) || ihl + f->off + f->len > UINT16_MAX)
		return false;
	if (p->proto == PROTO_TCP && (f->off == 8 || (f->off == 0 && f->len < FRAG_TCP_MIN)))
		return false;
	return true;
}

/* RFC 7112: the first fragment holds all headers, or nobody could judge it. */
static bool chain_is_whole(const struct pkt *p, const struct ext6 *e)
{
	const uint8_t *ip = p->data + p->l3_off;
	struct ext6 rest = {.next = ip[e->off], .off = (uint16_t)(e->off + IP6_FRAG_HDR), .named_at = e->off};
	uint32_t need;

	if (!ext6_walk(ip, p->l3_len, &rest))
		return false;
	need = rest.next == PROTO_TCP ? FRAG_TCP_MIN : rest.next == PROTO_ICMP6 || rest.next == PROTO_UDP ? 8 : 0;
	return p->l3_len >= rest.off + need;
}

static bool part_parse6(const struct pkt *p, const struct ext6 *e, struct frag_part *f, struct icmp6_error *err)
{
	const uint8_t *hdr = p->data + p->l3_off + e->off;
	uint16_t word = get16(hdr + 2);

	*f = (struct frag_part){
		.data = hdr + IP6_FRAG_HDR,
		.off = word & (uint32_t)IP6_OFFSET,
		.len = p->l3_len - e->off - (uint32_t)IP6_FRAG_HDR,
		.more = word & IP6_MORE,
		.ip_len = e->off,
		.named_at = e->named_at,
		.next = hdr[0],
	};
	if (f->more && f->len % 8) {
		*err = (struct icmp6_error){ICMP6_PARAMETER, FRAG_PROBLEM_FIELD, 4, false}; /* the payload's length */
		return false;
	}
	if (e->off - (uint32_t)IP6_HDR + f->off + f->len > UINT16_MAX) {
		*err = (struct icmp6_error){ICMP6_PARAMETER, FRAG_PROBLEM_FIELD, e->off + 2u, false};
		return false;
	}
	if (f->off == 0 && !chain_is_whole(p, e)) {
		*err = (struct icmp6_error){ICMP6_PARAMETER, FRAG_PROBLEM_CHAIN, 0, false};
		return false;
	}
	return f->len > 0;
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

static bool whole_head4(const struct frag_entry *e, struct pkt *p, uint8_t *ip)
{
	uint16_t sum;

	if (!ecn_joined(e, &ip[1]))
		return false;
	put16(ip + 2, p->l3_len);
	put16(ip + 6, 0);
	put16(ip + 10, 0);
	sum = csum_finish(csum_add(0, ip, e->ip_len));
	memcpy(ip + 10, &sum, 2);
	p->flags |= PKT_IP_GOOD;
	p->l4_off = (uint16_t)(e->l2_len + e->ip_len);
	p->proto = e->key.proto;
	p->ttl = ip[8];
	p->tos = ip[1];
	return true;
}

static bool whole_head6(const struct frag_entry *e, struct pkt *p, uint8_t *ip)
{
	p->tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
	if (!ecn_joined(e, &p->tos))
		return false;
	ip[1] = (uint8_t)(p->tos << 4 | (ip[1] & 15));
	put16(ip + 4, (uint16_t)(p->l3_len - IP6_HDR));
	ip[e->named_at] = e->next;
	p->ttl = ip[7];
	return true;
}

static struct pkt *whole_make(struct frag_entry *e)
{
	struct pkt *p = e->ip_len + e->total <= UINT16_MAX ? whole_new(e) : NULL;
	uint8_t *ip;

	if (!p)
		return NULL;
	memcpy(p->data, e->head, e->l2_len + (uint32_t)e->ip_len);
	ip = p->data + e->l2_len;
	for (const struct frag_piece *piece = e->first; piece; piece = piece->next)
		memcpy(ip + e->ip_len + piece->off, piece->data, piece->len);
	p->flags = e->flags;
	p->l3_off = e->l2_len;
	p->l3_len = (uint16_t)(e->ip_len + e->total);
	p->vlan = e->l2_len > ETH_HDR ? get16(p->data + ETH_HDR) & 0xfff : 0;
	p->src = e->key.src;
	p->dst = e->key.dst;
	if (is_ip4(&p->dst) ? whole_head4(e, p, ip) : whole_head6(e, p, ip))
		return p;
	nic_free(p);
	return NULL;
}
