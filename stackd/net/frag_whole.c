/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A datagram whose pieces have all come, as a frame; see frag.h.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "stackd/net/frag.h"
#include "stackd/nic/csum.h"

enum {
	WHOLE_MAX = 256, /* of all engines */
	ECN_CE = 3,
};

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

	if (atomic_fetch_add(&whole_out, 1) >= WHOLE_MAX)
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
	if (!(e->ecn_seen & 1u << ECN_CE))
		return true;
	*tos |= ECN_CE;
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

struct pkt *frag_whole(const struct frag_entry *e)
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
