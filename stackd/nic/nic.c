/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What all kinds of ports have in common: the calls of nic.h, and checksums for the ports that do not complete them.
 */
#include "stackd/nic/nic.h"

#include <string.h>

#include "stackd/nic/csum.h"

static void complete_ip(struct pkt *p);
static void complete_l4(struct pkt *p);

uint16_t nic_rx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t max, uint64_t now_us)
{
	return n->ops->rx(n, queue, pkts, max, now_us);
}

uint16_t nic_tx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t count, uint64_t now_us)
{
	for (uint16_t i = 0; i < count; i++) {
		struct pkt *p = pkts[i];

		if (p->flags & PKT_TX_L4_CSUM && !n->tx_l4_csum)
			complete_l4(p);
		if (p->flags & PKT_TX_IP_CSUM && !n->tx_ip_csum)
			complete_ip(p);
	}
	return n->ops->tx(n, queue, pkts, count, now_us);
}

struct pkt *nic_alloc(struct nic *n)
{
	return n->ops->alloc(n);
}

void nic_free(struct pkt *p)
{
	if (p)
		p->nic->ops->free(p);
}

uint64_t nic_next_us(struct nic *n, unsigned queue, uint64_t now_us)
{
	return n->ops->next_us ? n->ops->next_us(n, queue, now_us) : UINT64_MAX;
}

void nic_counters(struct nic *n, uint64_t out[NIC_CNT_MAX])
{
	memset(out, 0, NIC_CNT_MAX * sizeof(out[0]));
	if (n->ops->counters)
		n->ops->counters(n, out);
}

const char *nic_counter_name(unsigned id)
{
	static const char *const name[NIC_CNT_MAX] = {
		[NIC_CNT_RX_FRAMES] = "rx_frames",
		[NIC_CNT_RX_BYTES] = "rx_bytes",
		[NIC_CNT_TX_FRAMES] = "tx_frames",
		[NIC_CNT_TX_BYTES] = "tx_bytes",
		[NIC_CNT_RX_MISSED] = "rx_missed",
		[NIC_CNT_RX_NOBUF] = "rx_nobuf",
		[NIC_CNT_RX_ERRORS] = "rx_errors",
		[NIC_CNT_RX_SCATTER] = "rx_scatter",
		[NIC_CNT_TX_ERRORS] = "tx_errors",
		[NIC_CNT_TX_FULL] = "tx_full",
		[NIC_CNT_FAULT_LOST] = "fault_lost",
		[NIC_CNT_FAULT_DUPLICATED] = "fault_duplicated",
		[NIC_CNT_FAULT_CORRUPTED] = "fault_corrupted",
		[NIC_CNT_FAULT_REORDERED] = "fault_reordered",
		[NIC_CNT_FAULT_OVERFLOW] = "fault_overflow",
	};

	return id < NIC_CNT_MAX ? name[id] : "?";
}

void nic_drop(struct nic *n)
{
	if (n && n->ops->drop)
		n->ops->drop(n);
}

void nic_close(struct nic *n)
{
	if (n)
		n->ops->close(n);
}

static void complete_ip(struct pkt *p)
{
	uint8_t *ip = p->data + p->l3_off;
	unsigned ihl = (ip[0] & 15u) * 4;
	uint16_t sum;

	p->flags &= (uint16_t)~PKT_TX_IP_CSUM;
	if (p->l3_off + ihl > p->len)
		return;
	memset(ip + 10, 0, 2);
	sum = csum_finish(csum_add(0, ip, ihl));
	memcpy(ip + 10, &sum, 2);
}

/* The field already holds the pseudo-header's sum, so that summing the whole segment includes it. */
static void complete_l4(struct pkt *p)
{
	const uint8_t *ip = p->data + p->l3_off;
	uint8_t *l4 = p->data + p->l4_off;
	bool six = ip[0] >> 4 == 6;
	uint32_t total = six ? 40u + (uint32_t)(ip[4] << 8 | ip[5]) : (uint32_t)(ip[2] << 8 | ip[3]);
	uint32_t len = total - (uint32_t)(p->l4_off - p->l3_off);
	uint16_t sum;

	p->flags &= (uint16_t)~PKT_TX_L4_CSUM;
	if (len < 18 || p->l4_off + len > p->len)
		return;
	sum = csum_finish(csum_add(0, l4, len));
	memcpy(l4 + 16, &sum, 2);
}
