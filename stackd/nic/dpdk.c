/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ports that are DPDK devices; the only file with calls to ethdev.  A struct pkt lives in its mbuf's private area, so
 * that no allocation and no copy stands between the device and the stack.
 *
 * Offloads are used where a device has them in hardware.  A frame in several pieces is made one piece or dropped, since
 * everything above expects contiguous bytes.  VLAN tags stay in the frames.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_spinlock.h>

#include "shm/rss.h"
#include "stackd/log.h"
#include "stackd/nic/devargs.h"
#include "stackd/nic/nic.h"
#include "stackd/tsan.h"

enum {
	DPDK_DESC = 1024,
	DPDK_DATA_ROOM = 2048,
	DPDK_POOL_CACHE = 256,
	DPDK_BURST = 64,
	DPDK_TX_TRIES = 4,
	DPDK_LINK_HEADERS = 22, /* Ethernet with two tags */
	DPDK_RSS_KEY_MAX = 64,
};

struct dpdk {
	struct nic nic;
	uint16_t port;
	bool probed; /* by us; so we remove it */
	bool tx_shared;
	rte_spinlock_t *tx_lock; /* one per tx queue */
	struct rte_mempool *pool;
	_Atomic uint64_t rx_scatter, tx_full, tx_errors;
	uint32_t frame_size; /* that the driver insists on; 0: the MTU decides */
	uint8_t rss_key[DPDK_RSS_KEY_MAX];
};

static const struct nic_ops dpdk_ops;

static int find_or_probe(struct dpdk *d, const char *device, unsigned queues, uint16_t mtu);
static int configure(struct dpdk *d, unsigned queues);
static int make_pool(struct dpdk *d, unsigned packets);
static int setup_queues(struct dpdk *d);
static void steer(struct dpdk *d);
static void find_wait_fds(struct dpdk *d, const struct devargs_fds *before);
static void set_mac(struct dpdk *d);

static struct dpdk *dpdk_new(const char *name, uint16_t mtu)
{
	struct dpdk *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->nic.ops = &dpdk_ops;
	d->nic.mtu = mtu;
	d->port = RTE_MAX_ETHPORTS;
	snprintf(d->nic.name, sizeof(d->nic.name), "%s", name);
	for (unsigned i = 0; i < RTE_DIM(d->nic.wait_fd); i++)
		d->nic.wait_fd[i] = -1;
	return d;
}

/* Some drivers refuse what they can do: net_af_packet carries any frame that its ring has room for. */
static int set_mtu(struct dpdk *d)
{
	struct rte_eth_dev_info info;
	uint16_t now = 0;

	if (rte_eth_dev_get_mtu(d->port, &now) == 0 && now == d->nic.mtu)
		return 0;
	if (rte_eth_dev_info_get(d->port, &info) == 0 && info.max_rx_pktlen < d->nic.mtu + (uint32_t)RTE_ETHER_HDR_LEN)
		return 0;
	if (rte_eth_dev_set_mtu(d->port, d->nic.mtu))
		log_debug("nic", "%s: the device keeps its own MTU", d->nic.name);
	return 0;
}

static int dpdk_start(struct dpdk *d, const char *device, unsigned queues, unsigned packets)
{
	struct devargs_fds *before = malloc(sizeof(*before));
	const char *step = "finding the device";
	int ret = -ENOMEM;

	if (!before)
		return ret;
	devargs_fds_now(before);
	ret = find_or_probe(d, device, queues, d->nic.mtu);
	if (!ret && (step = "configuring it", ret = configure(d, queues)) == 0)
		if ((step = "making its buffers", ret = make_pool(d, packets)) == 0)
			if ((step = "making its queues", ret = setup_queues(d)) == 0)
				if ((step = "setting its MTU", ret = set_mtu(d)) == 0)
					step = "starting it", ret = rte_eth_dev_start(d->port);
	if (ret) {
		log_err("nic", "%s (%s): %s failed: %s%s", d->nic.name, device, step, strerror(-ret),
			ret == -EPERM ? "; be root, or have CAP_NET_RAW and CAP_NET_ADMIN" : "");
	} else {
		set_mac(d);
		steer(d);
		find_wait_fds(d, before);
	}
	free(before);
	return ret;
}

struct nic *nic_dpdk_open(const char *device, const char *name, unsigned queues, unsigned packets, uint16_t mtu)
{
	struct dpdk *d = dpdk_new(name, mtu);
	int ret;

	if (!d) {
		errno = ENOMEM;
		return NULL;
	}
	ret = dpdk_start(d, device, queues ? queues : 1, packets);
	if (ret) {
		nic_close(&d->nic);
		errno = -ret;
		return NULL;
	}
	log_info("nic", "%s: %s, %u receive and %u transmit queues, checksums %s, %s", name, device, d->nic.rx_queues,
	         d->nic.tx_queues, d->nic.tx_l4_csum ? "by the device" : "in software",
	         d->nic.wait_fds ? "wakes the engine" : "cannot wake the engine");
	return &d->nic;
}

/* net_af_packet would set the interface's flag, which stays; its sockets can ask for the same, which does not. */
int nic_dpdk_promiscuous(struct nic *n)
{
	struct dpdk *d = (struct dpdk *)n;
	int ret = d->nic.wait_fds > 0 ? devargs_receive(d->nic.wait_fd[0], false) : -EINVAL;

	if (ret != 0)
		ret = rte_eth_promiscuous_enable(d->port);
	if (ret == 0)
		return 0;
	if (ret == -ENOTSUP) {
		log_debug("nic", "%s: the driver has no promiscuous mode", n->name);
		return 0;
	}
	log_err("nic", "%s: it cannot receive what is sent to others: %s", n->name, strerror(-ret));
	return ret;
}

/* IPv6's neighbours are asked by multicast (RFC 4861): net/ knows which groups are ours. */
void nic_dpdk_multicast(struct nic *n)
{
	struct dpdk *d = (struct dpdk *)n;
	int ret = d->nic.wait_fds > 0 ? devargs_receive(d->nic.wait_fd[0], true) : -EINVAL;

	if (ret != 0)
		ret = rte_eth_allmulticast_enable(d->port);
	if (ret != 0)
		log_debug("nic", "%s: the driver does not ask for multicast frames: %s", n->name, strerror(-ret));
}

static int find_or_probe(struct dpdk *d, const char *device, unsigned queues, uint16_t mtu)
{
	char full[DEVARGS_SIZE], name[RTE_ETH_NAME_MAX_LEN];
	int ret;

	if (!nic_eal_ready())
		return -ENOTSUP;
	devargs_name(name, sizeof(name), device);
	if (rte_eth_dev_get_port_by_name(name, &d->port) == 0)
		return 0;
	d->port = RTE_MAX_ETHPORTS;
	ret = devargs_complete(full, device, queues, mtu);
	if (ret)
		return ret;
	d->frame_size = devargs_frame_size(full);
	ret = rte_dev_probe(full);
	if (ret)
		return ret == -EFAULT ? -ENODEV : ret; /* it knows no such driver */
	d->probed = true;
	return rte_eth_dev_get_port_by_name(name, &d->port);
}

static uint64_t rx_offloads(const struct rte_eth_dev_info *info, bool software)
{
	const uint64_t wanted = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;

	return software ? 0 : info->rx_offload_capa & wanted;
}

static uint64_t tx_offloads(const struct rte_eth_dev_info *info, bool software)
{
	const uint64_t wanted = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;

	return software ? 0 : info->tx_offload_capa & wanted;
}

/* Only a port with a redirection table really steers; some drivers announce hash types that they do not have. */
static void want_rss(struct dpdk *d, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t wanted = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP |
	                        RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
	uint8_t size = info->hash_key_size ? info->hash_key_size : SHM_RSS_KEY_SIZE;

	if (info->reta_size == 0 || d->nic.rx_queues < 2 || size > DPDK_RSS_KEY_MAX)
		return;
	for (unsigned i = 0; i < DPDK_RSS_KEY_MAX; i++)
		d->rss_key[i] = i % 2 ? 0x5a : 0x6d;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_key = d->rss_key;
	conf->rx_adv_conf.rss_conf.rss_key_len = size;
	conf->rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & wanted;
}

static int configure(struct dpdk *d, unsigned queues)
{
	struct rte_eth_conf conf = {.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE};
	struct rte_eth_dev_info info;
	bool tap;
	int ret = rte_eth_dev_info_get(d->port, &info);

	if (ret)
		return ret;
	tap = strcmp(info.driver_name, "net_tap") == 0; /* its checksum offloads are software too */
	d->nic.rx_queues = (uint16_t)RTE_MIN(queues, info.max_rx_queues);
	d->nic.tx_queues = (uint16_t)RTE_MIN(queues, info.max_tx_queues);
	d->tx_shared = d->nic.tx_queues < queues;
	conf.rxmode.offloads = rx_offloads(&info, tap);
	conf.txmode.offloads = tx_offloads(&info, tap);
	conf.intr_conf.rxq = tap;
	want_rss(d, &info, &conf);
	d->nic.rx_ip_csum = conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
	d->nic.rx_l4_csum = conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	d->nic.tx_ip_csum = conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	d->nic.tx_l4_csum = conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	return rte_eth_dev_configure(d->port, d->nic.rx_queues, d->nic.tx_queues, &conf);
}

static int make_pool(struct dpdk *d, unsigned packets)
{
	unsigned frame = RTE_MAX(d->nic.mtu + (unsigned)DPDK_LINK_HEADERS, (unsigned)d->frame_size);
	unsigned room = RTE_MAX((unsigned)DPDK_DATA_ROOM, frame) + PKT_HEADROOM;
	unsigned cache = packets >= 4 * DPDK_POOL_CACHE ? DPDK_POOL_CACHE : 0;
	char name[RTE_MEMPOOL_NAMESIZE];

	_Static_assert(PKT_HEADROOM == RTE_PKTMBUF_HEADROOM, "drivers leave RTE_PKTMBUF_HEADROOM free");
	snprintf(name, sizeof(name), "pkts%u", d->port);
	d->pool = rte_pktmbuf_pool_create(name, packets, cache, RTE_ALIGN(sizeof(struct pkt), RTE_MBUF_PRIV_ALIGN),
	                                  (uint16_t)RTE_MIN(room, (unsigned)UINT16_MAX), rte_eth_dev_socket_id(d->port));
	if (d->pool)
		return 0;
	log_err("nic", "%s: no memory for %u packets of %u bytes", d->nic.name, packets, room);
	return -rte_errno;
}

static int setup_queues(struct dpdk *d)
{
	uint16_t rx = DPDK_DESC, tx = DPDK_DESC;
	int ret = rte_eth_dev_adjust_nb_rx_tx_desc(d->port, &rx, &tx);

	/* drivers that keep buffers in their rings must leave most of the pool to the stack */
	while (!ret && rx > 64 && (unsigned)rx * d->nic.rx_queues > d->pool->size / 4)
		rx /= 2;
	for (uint16_t q = 0; !ret && q < d->nic.rx_queues; q++)
		ret = rte_eth_rx_queue_setup(d->port, q, rx, rte_eth_dev_socket_id(d->port), NULL, d->pool);
	for (uint16_t q = 0; !ret && q < d->nic.tx_queues; q++)
		ret = rte_eth_tx_queue_setup(d->port, q, tx, rte_eth_dev_socket_id(d->port), NULL);
	if (ret)
		return ret;
	d->tx_lock = calloc(d->nic.tx_queues, sizeof(*d->tx_lock));
	return d->tx_lock ? 0 : -ENOMEM;
}

/* Make the port's table what software steering computes: queue = (hash % SHM_RETA_SIZE) % queues. */
static void steer(struct dpdk *d)
{
	struct rte_eth_rss_reta_entry64 reta[8];
	struct rte_eth_dev_info info;

	if (d->nic.rx_queues < 2 || rte_eth_dev_info_get(d->port, &info) || info.reta_size == 0 ||
	    info.reta_size % SHM_RETA_SIZE || info.reta_size > RTE_DIM(reta) * RTE_ETH_RETA_GROUP_SIZE)
		return;
	memset(reta, 0, sizeof(reta));
	for (unsigned i = 0; i < info.reta_size; i++) {
		struct rte_eth_rss_reta_entry64 *group = &reta[i / RTE_ETH_RETA_GROUP_SIZE];

		group->mask = UINT64_MAX;
		group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)(i % SHM_RETA_SIZE % d->nic.rx_queues);
	}
	d->nic.rss = rte_eth_dev_rss_reta_update(d->port, reta, info.reta_size) == 0;
}

/* Drivers without receive interrupts still have a socket per queue, made in the order of the queues. */
static void find_wait_fds(struct dpdk *d, const struct devargs_fds *before)
{
	struct rte_eth_dev_info info;
	unsigned n, queues = RTE_MIN((unsigned)d->nic.rx_queues, (unsigned)RTE_DIM(d->nic.wait_fd));

	if (rte_eth_dev_info_get(d->port, &info))
		return;
	if (strcmp(info.driver_name, "net_tap")) {
		n = devargs_sockets_since(before, d->nic.wait_fd, RTE_DIM(d->nic.wait_fd));
	} else {
		for (n = 0; n < queues; n++)
			if ((d->nic.wait_fd[n] = rte_eth_dev_rx_intr_ctl_q_get_fd(d->port, (uint16_t)n)) < 0)
				break;
	}
	d->nic.wait_fds = n < queues ? 0 : queues;
}

/* Some virtual devices have no address: make a local one of the name. */
static void set_mac(struct dpdk *d)
{
	struct rte_ether_addr mac;
	uint32_t h = 2166136261u;

	if (rte_eth_macaddr_get(d->port, &mac) == 0 && !rte_is_zero_ether_addr(&mac)) {
		memcpy(d->nic.mac, &mac, sizeof(d->nic.mac));
		return;
	}
	for (const char *c = d->nic.name; *c; c++)
		h = (h ^ (uint8_t)*c) * 16777619u;
	d->nic.mac[0] = 0x02;
	d->nic.mac[1] = (uint8_t)d->port;
	memcpy(d->nic.mac + 2, &h, sizeof(h));
}

static struct pkt *from_mbuf(struct dpdk *d, struct rte_mbuf *m)
{
	struct pkt *p = rte_mbuf_to_priv(m);

	tsan_acquire(p);
	p->data = rte_pktmbuf_mtod(m, uint8_t *);
	p->len = m->data_len;
	p->room = (uint32_t)(m->buf_len - m->data_off);
	p->nic = &d->nic;
	p->buf = m;
	p->flags = 0;
	p->vlan = 0;
	p->conn = NULL;
	p->next = NULL;
	return p;
}

/* NULL: dropped and counted. */
static struct rte_mbuf *mbuf_whole(struct dpdk *d, struct rte_mbuf *m)
{
	if (unlikely(m->nb_segs > 1 && rte_pktmbuf_linearize(m)))
		goto drop;
	if (unlikely(m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED && rte_vlan_insert(&m)))
		goto drop;
	return m;
drop:
	rte_pktmbuf_free(m);
	atomic_fetch_add_explicit(&d->rx_scatter, 1, memory_order_relaxed);
	return NULL;
}

static uint16_t rx_flags(const struct dpdk *d, uint64_t ol)
{
	uint64_t l4 = ol & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	uint16_t flags = 0;

	/* NONE: a virtual device vouches for bytes that never met a wire */
	if (d->nic.rx_l4_csum && (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE))
		flags |= PKT_L4_GOOD;
	if (d->nic.rx_ip_csum && (ol & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		flags |= PKT_IP_GOOD;
	return flags;
}

static uint16_t dpdk_rx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t max, uint64_t now_us)
{
	struct dpdk *d = (struct dpdk *)n;
	struct rte_mbuf *m[DPDK_BURST];
	uint16_t got, kept = 0;

	if (queue >= d->nic.rx_queues)
		return 0;
	got = rte_eth_rx_burst(d->port, (uint16_t)queue, m, RTE_MIN(max, (uint16_t)DPDK_BURST));
	for (uint16_t i = 0; i < got; i++)
		rte_prefetch0(rte_mbuf_to_priv(m[i]));
	for (uint16_t i = 0; i < got; i++) {
		struct rte_mbuf *whole = mbuf_whole(d, m[i]);

		if (!whole)
			continue;
		pkts[kept] = from_mbuf(d, whole);
		pkts[kept]->flags = rx_flags(d, whole->ol_flags);
		pkts[kept++]->when_us = now_us;
	}
	return kept;
}

static struct pkt *dpdk_alloc(struct nic *n)
{
	struct dpdk *d = (struct dpdk *)n;
	struct rte_mbuf *m = rte_pktmbuf_alloc(d->pool);
	struct pkt *p;

	if (!m)
		return NULL;
	p = from_mbuf(d, m);
	p->len = 0;
	return p;
}

static void dpdk_free(struct pkt *p)
{
	tsan_release(p);
	rte_pktmbuf_free(p->buf);
}

/* A frame from another kind of port is copied. NULL: no buffer, or too long for one. */
static struct pkt *dpdk_own(struct dpdk *d, struct pkt *p)
{
	struct pkt *q;

	if (likely(p->nic->ops == &dpdk_ops))
		return p;
	q = dpdk_alloc(&d->nic);
	if (q && q->room >= p->len) {
		memcpy(q->data, p->data, p->len);
		q->len = p->len;
		q->flags = p->flags;
		q->l3_off = p->l3_off;
		q->l4_off = p->l4_off;
	} else if (q) {
		dpdk_free(q);
		q = NULL;
	}
	nic_free(p);
	return q;
}

static struct rte_mbuf *to_mbuf(struct dpdk *d, struct pkt *p)
{
	struct rte_mbuf *m;

	p = dpdk_own(d, p);
	if (!p)
		return NULL;
	m = p->buf;
	m->data_off = (uint16_t)(p->data - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)p->len;
	m->pkt_len = p->len;
	m->ol_flags = 0;
	if (!(p->flags & (PKT_TX_IP_CSUM | PKT_TX_L4_CSUM)))
		return m;
	m->l2_len = p->l3_off;
	m->l3_len = (uint16_t)(p->l4_off - p->l3_off);
	m->ol_flags = p->data[p->l3_off] >> 4 == 6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
	if (p->flags & PKT_TX_IP_CSUM)
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (p->flags & PKT_TX_L4_CSUM)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	return m;
}

/* How many the device took; a full queue is tried again a few times, never waited for. */
static uint16_t send_some(struct dpdk *d, uint16_t queue, struct rte_mbuf **m, uint16_t n)
{
	uint16_t sent = 0;

	for (unsigned i = 0; i < n; i++)
		tsan_release(rte_mbuf_to_priv(m[i]));
	if (d->tx_shared)
		rte_spinlock_lock(&d->tx_lock[queue]);
	for (unsigned tries = 0; sent < n && tries < DPDK_TX_TRIES; tries++)
		sent = (uint16_t)(sent + rte_eth_tx_burst(d->port, queue, m + sent, (uint16_t)(n - sent)));
	if (d->tx_shared)
		rte_spinlock_unlock(&d->tx_lock[queue]);
	return sent;
}

static uint16_t send_burst(struct dpdk *d, uint16_t queue, struct pkt **pkts, uint16_t count)
{
	struct rte_mbuf *m[DPDK_BURST];
	uint16_t n = 0, sent;

	for (uint16_t i = 0; i < count; i++) {
		m[n] = to_mbuf(d, pkts[i]);
		if (m[n])
			n++;
		else
			atomic_fetch_add_explicit(&d->tx_errors, 1, memory_order_relaxed);
	}
	sent = send_some(d, queue, m, n);
	if (unlikely(sent < n)) {
		atomic_fetch_add_explicit(&d->tx_full, n - sent, memory_order_relaxed);
		rte_pktmbuf_free_bulk(m + sent, n - sent);
	}
	return sent;
}

static uint16_t dpdk_tx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t count, uint64_t now_us)
{
	struct dpdk *d = (struct dpdk *)n;
	uint16_t sent = 0;

	(void)now_us;
	for (uint16_t i = 0; i < count; i = (uint16_t)(i + DPDK_BURST))
		sent = (uint16_t)(sent + send_burst(d, (uint16_t)(queue % d->nic.tx_queues), pkts + i,
		                                    RTE_MIN((uint16_t)(count - i), (uint16_t)DPDK_BURST)));
	return sent;
}

static void dpdk_counters(struct nic *n, uint64_t out[])
{
	struct dpdk *d = (struct dpdk *)n;
	struct rte_eth_stats s;

	out[NIC_CNT_RX_SCATTER] = atomic_load_explicit(&d->rx_scatter, memory_order_relaxed);
	out[NIC_CNT_TX_FULL] = atomic_load_explicit(&d->tx_full, memory_order_relaxed);
	out[NIC_CNT_TX_ERRORS] = atomic_load_explicit(&d->tx_errors, memory_order_relaxed);
	if (rte_eth_stats_get(d->port, &s))
		return;
	out[NIC_CNT_RX_FRAMES] = s.ipackets;
	out[NIC_CNT_RX_BYTES] = s.ibytes;
	out[NIC_CNT_TX_FRAMES] = s.opackets;
	out[NIC_CNT_TX_BYTES] = s.obytes;
	out[NIC_CNT_RX_MISSED] = s.imissed;
	out[NIC_CNT_RX_NOBUF] = s.rx_nombuf;
	out[NIC_CNT_RX_ERRORS] = s.ierrors;
	out[NIC_CNT_TX_ERRORS] += s.oerrors;
}

static void release_device(struct dpdk *d)
{
	struct rte_eth_dev_info info;

	if (d->port == RTE_MAX_ETHPORTS)
		return;
	if (rte_eth_dev_info_get(d->port, &info))
		info.device = NULL;
	rte_eth_dev_stop(d->port);
	rte_eth_dev_close(d->port);
	if (d->probed && info.device)
		rte_dev_remove(info.device);
}

/* Buffers that somebody still holds keep the pool alive. */
static void dpdk_close(struct nic *n)
{
	struct dpdk *d = (struct dpdk *)n;

	release_device(d);
	if (d->pool && rte_mempool_full(d->pool))
		rte_mempool_free(d->pool);
	else if (d->pool)
		log_debug("nic", "%s: %u buffers are still out", d->nic.name, rte_mempool_in_use_count(d->pool));
	free(d->tx_lock);
	free(d);
}

static const struct nic_ops dpdk_ops = {
	.rx = dpdk_rx,
	.tx = dpdk_tx,
	.alloc = dpdk_alloc,
	.free = dpdk_free,
	.counters = dpdk_counters,
	.close = dpdk_close,
};
