/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The test port: two ends of a wire in memory.  What one end sends the other receives at its next nic_rx().  Buffers are
 * plain heap, each end has its own bounded number, and a frame goes back to the end that made it.
 *
 * Both ends belong to one thread; only the count of buffers that are out is atomic, since a steered frame is freed by
 * another engine.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/nic/nic.h"

struct mem_port {
	struct nic nic;
	struct mem_port *peer; /* NULL when the other end is closed */
	struct pkt *head, **tail;
	unsigned packets;
	atomic_uint out;
	atomic_uint users; /* this end's handle, and every buffer that is out */
	uint32_t room;
	uint64_t count[NIC_CNT_MAX];
};

static const struct nic_ops mem_ops;

static struct mem_port *mem_create(unsigned packets, uint16_t mtu)
{
	struct mem_port *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->nic.ops = &mem_ops;
	strcpy(m->nic.name, "mem");
	m->nic.mtu = mtu;
	m->nic.rx_queues = m->nic.tx_queues = 1;
	for (unsigned i = 0; i < sizeof(m->nic.wait_fd) / sizeof(m->nic.wait_fd[0]); i++)
		m->nic.wait_fd[i] = -1;
	m->tail = &m->head;
	m->packets = packets;
	m->room = mtu + 64u;
	atomic_init(&m->users, 1);
	return m;
}

int nic_mem_pair(struct nic *end[2], unsigned packets, uint16_t mtu)
{
	struct mem_port *a = mem_create(packets, mtu), *b = mem_create(packets, mtu);

	if (!a || !b) {
		free(a);
		free(b);
		return -ENOMEM;
	}
	memcpy(a->nic.mac, "\x02\0\0\0\0\x01", 6);
	memcpy(b->nic.mac, "\x02\0\0\0\0\x02", 6);
	a->peer = b;
	b->peer = a;
	end[0] = &a->nic;
	end[1] = &b->nic;
	return 0;
}

unsigned nic_mem_out(struct nic *n)
{
	return atomic_load(&((struct mem_port *)n)->out);
}

static void mem_put(struct mem_port *m)
{
	if (atomic_fetch_sub(&m->users, 1) == 1)
		free(m);
}

static struct pkt *mem_alloc(struct nic *n)
{
	struct mem_port *m = (struct mem_port *)n;
	struct pkt *p;

	if (atomic_load(&m->out) >= m->packets)
		return NULL;
	p = malloc(sizeof(*p) + PKT_HEADROOM + m->room);
	if (!p)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->data = (uint8_t *)(p + 1) + PKT_HEADROOM;
	p->room = m->room;
	p->nic = n;
	p->buf = m;
	atomic_fetch_add(&m->out, 1);
	atomic_fetch_add(&m->users, 1);
	return p;
}

static void mem_free(struct pkt *p)
{
	struct mem_port *owner = p->buf;

	free(p);
	atomic_fetch_sub(&owner->out, 1);
	mem_put(owner);
}

/* A frame from another kind of port is copied, so that a wire carries only its own buffers. */
static struct pkt *mem_own(struct mem_port *m, struct pkt *p)
{
	struct pkt *q;

	if (p->nic->ops == &mem_ops)
		return p;
	q = p->len <= m->room ? mem_alloc(&m->nic) : NULL;
	if (q) {
		memcpy(q->data, p->data, p->len);
		q->len = p->len;
	}
	nic_free(p);
	return q;
}

static uint16_t mem_tx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t count, uint64_t now_us)
{
	struct mem_port *m = (struct mem_port *)n, *peer = m->peer;
	uint16_t sent = 0;

	(void)queue;
	for (uint16_t i = 0; i < count; i++) {
		struct pkt *p = mem_own(m, pkts[i]);

		if (!p || !peer || p->len > peer->room) {
			m->count[NIC_CNT_TX_FULL]++;
			nic_free(p);
			continue;
		}
		m->count[NIC_CNT_TX_FRAMES]++;
		m->count[NIC_CNT_TX_BYTES] += p->len;
		p->nic = &peer->nic;
		p->flags = 0;
		p->conn = NULL;
		p->when_us = now_us;
		p->next = NULL;
		*peer->tail = p;
		peer->tail = &p->next;
		sent++;
	}
	return sent;
}

static uint16_t mem_rx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t max, uint64_t now_us)
{
	struct mem_port *m = (struct mem_port *)n;
	uint16_t got = 0;

	(void)now_us;
	while (queue == 0 && got < max && m->head) {
		struct pkt *p = m->head;

		m->head = p->next;
		if (!m->head)
			m->tail = &m->head;
		p->next = NULL;
		m->count[NIC_CNT_RX_FRAMES]++;
		m->count[NIC_CNT_RX_BYTES] += p->len;
		pkts[got++] = p;
	}
	return got;
}

static void mem_counters(struct nic *n, uint64_t out[])
{
	memcpy(out, ((struct mem_port *)n)->count, sizeof(((struct mem_port *)n)->count));
}

static void mem_close(struct nic *n)
{
	struct mem_port *m = (struct mem_port *)n;

	while (m->head) {
		struct pkt *p = m->head;

		m->head = p->next;
		mem_free(p);
	}
	m->tail = &m->head;
	if (m->peer)
		m->peer->peer = NULL;
	m->peer = NULL;
	mem_put(m);
}

static const struct nic_ops mem_ops = {
	.rx = mem_rx,
	.tx = mem_tx,
	.alloc = mem_alloc,
	.free = mem_free,
	.counters = mem_counters,
	.close = mem_close,
};
