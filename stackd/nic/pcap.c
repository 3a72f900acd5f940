/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A capture file as a port that only receives: pcap or pcapng, read by libpcap, with the capture's times in pkt->when_us.
 *
 * Its device string is that of DPDK's net_pcap, which is not used: it tells neither times nor link types nor the end, and it needs
 * EAL.  Link types other than Ethernet get an Ethernet header in front.  One engine reads; frames are freed by any.
 */
#include <errno.h>
#include <pcap/pcap.h>
#include <pcap/sll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stackd/log.h"
#include "stackd/nic/nic.h"

enum { HDR = 14, FRAME_MAX = 262144, RAW_TYPE_MAX = 4, GROWTH = 2048 }; /* GROWTH: what monitors may insert */

struct pcap_port {
	struct nic nic;
	pcap_t *pcap;
	int link;        /* DLT_* */
	bool real;       /* paced by the capture's time */
	bool ended;
	struct pkt *held; /* read, not due yet */
	uint64_t first_us, begin_us; /* of the capture; of the replay */
	atomic_uint users; /* the port's handle, and every frame that is out */
	uint64_t count[NIC_CNT_MAX];
};

static struct pcap_port *port_of(struct nic *n)
{
	return (struct pcap_port *)n;
}

static void release(struct pcap_port *p)
{
	if (atomic_fetch_sub_explicit(&p->users, 1, memory_order_acq_rel) == 1)
		free(p);
}

static void pcap_pkt_free(struct pkt *pkt)
{
	struct pcap_port *p = port_of(pkt->nic);

	free(pkt);
	release(p);
}

static struct pkt *pkt_make(struct pcap_port *p, uint32_t room)
{
	struct pkt *pkt = malloc(sizeof(*pkt) + PKT_HEADROOM + room);

	if (pkt == NULL)
		return NULL;
	memset(pkt, 0, sizeof(*pkt));
	pkt->data = (uint8_t *)(pkt + 1) + PKT_HEADROOM;
	pkt->room = room;
	pkt->nic = &p->nic;
	pkt->port = p->nic.index;
	atomic_fetch_add_explicit(&p->users, 1, memory_order_relaxed);
	return pkt;
}

/* --- Link types ------------------------------------------------------------------------------------------------------- */

static uint16_t raw_type(const uint8_t *ip, uint32_t len)
{
	return len > 0 && ip[0] >> 4 == 6 ? 0x86dd : 0x0800;
}

/* Where the IP packet begins, and its ethertype; UINT32_MAX: nothing that can be said in Ethernet. */
static uint32_t l3_of(int link, const uint8_t *data, uint32_t len, uint16_t *type)
{
	uint32_t skip = 0;

	switch (link) {
	case DLT_RAW:
#ifdef DLT_IPV4
	case DLT_IPV4:
	case DLT_IPV6:
#endif
		break;
	case DLT_NULL:
	case DLT_LOOP:
		skip = RAW_TYPE_MAX;
		break;
	case DLT_LINUX_SLL:
		if (len < SLL_HDR_LEN)
			return UINT32_MAX;
		*type = (uint16_t)(data[14] << 8 | data[15]);
		return SLL_HDR_LEN;
#ifdef DLT_LINUX_SLL2
	case DLT_LINUX_SLL2:
		if (len < SLL2_HDR_LEN)
			return UINT32_MAX;
		*type = (uint16_t)(data[0] << 8 | data[1]);
		return SLL2_HDR_LEN;
#endif
	default:
		return UINT32_MAX;
	}
	if (len < skip)
		return UINT32_MAX;
	*type = raw_type(data + skip, len - skip);
	return skip;
}

static bool link_known(int link)
{
	uint8_t zeros[32] = { 0 };
	uint16_t type;

	return link == DLT_EN10MB || l3_of(link, zeros, sizeof(zeros), &type) != UINT32_MAX;
}

static struct pkt *frame(struct pcap_port *p, const struct pcap_pkthdr *h, const uint8_t *data)
{
	uint32_t skip = 0, add = 0, len = h->caplen < FRAME_MAX ? h->caplen : FRAME_MAX;
	uint16_t type = 0;
	struct pkt *pkt;

	if (p->link != DLT_EN10MB) {
		skip = l3_of(p->link, data, len, &type);
		add = HDR;
	}
	if (skip == UINT32_MAX) {
		p->count[NIC_CNT_RX_ERRORS]++;
		return NULL;
	}
	pkt = pkt_make(p, len - skip + add + GROWTH);
	if (pkt == NULL) {
		p->count[NIC_CNT_RX_NOBUF]++;
		return NULL;
	}
	if (add > 0) {
		memset(pkt->data, 0, 12);
		pkt->data[12] = (uint8_t)(type >> 8);
		pkt->data[13] = (uint8_t)type;
	}
	memcpy(pkt->data + add, data + skip, len - skip);
	pkt->len = len - skip + add;
	pkt->cut = h->len > len ? h->len - len : 0;
	pkt->when_us = (uint64_t)h->ts.tv_sec * 1000000 + (uint64_t)h->ts.tv_usec;
	p->count[NIC_CNT_RX_FRAMES]++;
	p->count[NIC_CNT_RX_BYTES] += pkt->len;
	return pkt;
}

/* --- Reading ------------------------------------------------------------------------------------------------------------ */

static struct pkt *next_frame(struct pcap_port *p)
{
	struct pcap_pkthdr *h;
	const uint8_t *data;
	struct pkt *pkt = NULL;

	while (pkt == NULL && !p->ended) {
		int r = pcap_next_ex(p->pcap, &h, &data);

		if (r == 1) {
			pkt = frame(p, h, data);
			continue;
		}
		p->ended = true;
		if (r == PCAP_ERROR)
			log_warn("nic", "port %s: the capture ends here: %s", p->nic.name, pcap_geterr(p->pcap));
	}
	return pkt;
}

static uint64_t due_us(struct pcap_port *p, const struct pkt *pkt, uint64_t now_us)
{
	if (p->begin_us == 0) {
		p->begin_us = now_us;
		p->first_us = pkt->when_us;
	}
	return pkt->when_us > p->first_us ? p->begin_us + (pkt->when_us - p->first_us) : p->begin_us;
}

static uint16_t pcap_rx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t max, uint64_t now_us)
{
	struct pcap_port *p = port_of(n);
	uint16_t got = 0;

	if (queue != 0)
		return 0;
	while (got < max) {
		if (p->held == NULL)
			p->held = next_frame(p);
		if (p->held == NULL || (p->real && due_us(p, p->held, now_us) > now_us))
			break;
		pkts[got++] = p->held;
		p->held = NULL;
	}
	return got;
}

static uint64_t pcap_next_us(struct nic *n, unsigned queue, uint64_t now_us)
{
	struct pcap_port *p = port_of(n);

	if (queue != 0 || (p->ended && p->held == NULL))
		return UINT64_MAX;
	return p->real && p->held != NULL ? due_us(p, p->held, now_us) : now_us;
}

static uint16_t pcap_tx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t count, uint64_t now_us)
{
	(void)queue;
	(void)now_us;
	for (uint16_t i = 0; i < count; i++)
		nic_free(pkts[i]);
	port_of(n)->count[NIC_CNT_TX_ERRORS] += count;
	return 0;
}

static struct pkt *pcap_alloc(struct nic *n)
{
	return pkt_make(port_of(n), n->mtu + 64u);
}

static void pcap_counters(struct nic *n, uint64_t out[])
{
	memcpy(out, port_of(n)->count, sizeof(port_of(n)->count));
}

static void pcap_port_close(struct nic *n)
{
	struct pcap_port *p = port_of(n);

	if (p->held != NULL)
		nic_free(p->held);
	pcap_close(p->pcap);
	if (n->wait_fd[0] >= 0)
		close(n->wait_fd[0]);
	release(p);
}

static const struct nic_ops pcap_ops = {
	.rx = pcap_rx,
	.tx = pcap_tx,
	.alloc = pcap_alloc,
	.free = pcap_pkt_free,
	.next_us = pcap_next_us,
	.counters = pcap_counters,
	.close = pcap_port_close,
};

bool nic_pcap_ended(const struct nic *n)
{
	const struct pcap_port *p = (const struct pcap_port *)n;

	return n->ops == &pcap_ops && p->ended && p->held == NULL;
}

/* An engine must not wait for whoever writes into a pipe. */
static bool is_file(const char *file)
{
	struct stat st;

	return stat(file, &st) != 0 || S_ISREG(st.st_mode);
}

static int capture_open(struct pcap_port *p, const char *file, const char *name)
{
	char why[PCAP_ERRBUF_SIZE];
	int err;

	if (!is_file(file)) {
		log_err("nic", "port %s: %s is not a file; captures are read from files", name, file);
		return -EINVAL;
	}
	errno = 0;
	p->pcap = pcap_open_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_MICRO, why);
	if (p->pcap == NULL) {
		err = errno != 0 ? -errno : -EINVAL;
		log_err("nic", "port %s: the capture cannot be read: %s", name, why);
		return err;
	}
	p->link = pcap_datalink(p->pcap);
	if (link_known(p->link))
		return 0;
	log_err("nic", "port %s: %s has link type %s; Ethernet, raw IP, loopback and Linux cooked captures can be replayed", name,
		file, pcap_datalink_val_to_name(p->link) != NULL ? pcap_datalink_val_to_name(p->link) : "unknown");
	pcap_close(p->pcap);
	return -EINVAL;
}

struct nic *nic_pcap_open(const char *file, const char *name, bool real)
{
	struct pcap_port *p = calloc(1, sizeof(*p));
	int err = p != NULL ? capture_open(p, file, name) : -ENOMEM;

	if (err != 0) {
		free(p);
		errno = -err;
		return NULL;
	}
	p->nic.ops = &pcap_ops;
	snprintf(p->nic.name, sizeof(p->nic.name), "%s", name);
	p->nic.mtu = UINT16_MAX; /* hosts leave segmentation to their ports, and capture before that */
	p->nic.rx_queues = p->nic.tx_queues = 1;
	for (unsigned i = 0; i < sizeof(p->nic.wait_fd) / sizeof(p->nic.wait_fd[0]); i++)
		p->nic.wait_fd[i] = -1;
	p->nic.wait_fd[0] = eventfd(0, EFD_CLOEXEC); /* is never rung: pcap_next_us() tells when there is something */
	p->nic.wait_fds = p->nic.wait_fd[0] >= 0;
	p->real = real;
	atomic_init(&p->users, 1);
	return &p->nic;
}
