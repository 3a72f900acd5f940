/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A network port: bursts of frames in and out.  One interface, three kinds: dpdk.c (any DPDK device), mem.c (tests: two
 * ends of a wire in memory), fault.c (wraps another one and loses, delays, reorders, duplicates and corrupts by a seeded
 * generator).
 *
 * Thread-safety: a (nic, queue) pair belongs to one engine.  Where a device has fewer transmit queues than there are
 * engines, dpdk.c shares them under a lock.  nic_open, nic_close and nic_wait_fds are for the control thread.
 */
#ifndef STACKD_NIC_NIC_H
#define STACKD_NIC_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stackd/nic/pkt.h"
#include "stackd/stats.h"

struct nic_fault { /* probabilities 0..1 */
	double loss, reorder, duplicate, corrupt;
	uint32_t delay_us, jitter_us;
	uint32_t rate_mbit; /* 0: unlimited; else a queue of limit_bytes drains at this rate */
	uint32_t limit_bytes;
	uint64_t seed;
	bool on;
};

/* What a port counts by itself, whatever its kind; see nic_counters(). */
enum nic_counter {
	NIC_CNT_RX_FRAMES,
	NIC_CNT_RX_BYTES,
	NIC_CNT_TX_FRAMES,
	NIC_CNT_TX_BYTES,
	NIC_CNT_RX_MISSED,  /* lost by the device before stackd took them */
	NIC_CNT_RX_NOBUF,   /* lost because the pool was empty */
	NIC_CNT_RX_ERRORS,
	NIC_CNT_RX_SCATTER, /* in more pieces than a buffer holds: dropped */
	NIC_CNT_TX_ERRORS,
	NIC_CNT_TX_FULL,    /* not taken by the device's queue */
	NIC_CNT_FAULT_LOST,
	NIC_CNT_FAULT_DUPLICATED,
	NIC_CNT_FAULT_CORRUPTED,
	NIC_CNT_FAULT_REORDERED,
	NIC_CNT_FAULT_OVERFLOW, /* the rate limit's queue, or all that may be held back, was full */
	NIC_CNT_MAX,
};

struct nic_ops {
	uint16_t (*rx)(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t max, uint64_t now_us);
	uint16_t (*tx)(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t count, uint64_t now_us);
	struct pkt *(*alloc)(struct nic *n);
	void (*free)(struct pkt *p);
	uint64_t (*next_us)(struct nic *n, unsigned queue, uint64_t now_us); /* may be NULL */
	void (*counters)(struct nic *n, uint64_t out[]);                     /* may be NULL */
	void (*drop)(struct nic *n);                                         /* may be NULL */
	void (*close)(struct nic *n);
};

struct nic {
	const struct nic_ops *ops;
	char name[32];
	uint8_t index;       /* of the port, as in the configuration */
	uint8_t mac[6];
	uint16_t mtu;        /* bytes of IP packet */
	uint16_t rx_queues, tx_queues;
	bool tx_l4_csum, tx_ip_csum; /* the port completes PKT_TX_*_CSUM itself; else nic_tx() does it in software */
	bool rx_l4_csum, rx_ip_csum;
	bool rss;            /* the port steers by the hash of shm/rss.h, its default key and queue = (hash % SHM_RETA_SIZE) % rx_queues */
	int wait_fd[8];      /* [i]: readable when frames have arrived on queue i; -1: none (then the engine wakes up by a bounded sleep) */
	unsigned wait_fds;   /* valid entries of wait_fd; 0: none */
};

/* EAL, for the ports that need it.  Chooses hugepages or not by itself ("auto", "always", "never"), and tells in the log.
 * Unprivileged use works with devices that need no rights.  0 or -errno. */
struct nic_eal_conf {
	const char *hugepages;
	unsigned memory_mib;   /* 0: some */
	unsigned ordinary_mib; /* without hugepages, where more is needed: no packet lies across two pages; 0: as much */
	const char *lcores; /* NULL: all engine threads register themselves */
	bool pci;           /* some port is a PCI device (nic_is_pci) */
};
int nic_eal_init(const struct nic_eal_conf *c);
bool nic_eal_ready(void);     /* nic_eal_init() has succeeded: other DPDK libraries may be used */
bool nic_eal_hugepages(void); /* what was chosen */

/* Whether a device string names a PCI device ("0000:03:00.0", "03:00.1,arg=1"). */
bool nic_is_pci(const char *device);

/* Engine threads call it once, before their first burst. */
int nic_thread_register(void);

/* Open a DPDK device by its device string ("net_af_packet0,iface=veth0"), probing it if it is not there yet.  queues: as
 * many as engines; fewer when the device has fewer.  packets: buffers of its pool.  NULL and errno with a log line. */
struct nic *nic_dpdk_open(const char *device, const char *name, unsigned queues, unsigned packets, uint16_t mtu);

/* It shall receive what is sent to any address, not to its own alone: bridges and taps want that.  0 or -errno with a log line. */
int nic_dpdk_promiscuous(struct nic *n);

/* It shall receive what is sent to groups: a port that speaks IPv6 wants that. */
void nic_dpdk_multicast(struct nic *n);

/* Wrap inner, which then belongs to the wrapper. Both directions suffer. */
struct nic *nic_fault_open(struct nic *inner, const struct nic_fault *f);

/* A capture file, pcap or pcapng, as a port that only receives; needs neither EAL nor rights.  real: paced by the capture's time. NULL and
 * errno with a log line. */
struct nic *nic_pcap_open(const char *file, const char *name, bool real);
bool nic_pcap_ended(const struct nic *n); /* false for other kinds of ports */

/* A wire in memory: two ports, each receiving what the other sends, at once.  For tests; needs no EAL.  Buffers are plain
 * heap; alloc fails when `packets` are out.  nic_mem_out counts those out. */
int nic_mem_pair(struct nic *end[2], unsigned packets, uint16_t mtu);
unsigned nic_mem_out(struct nic *n);

/* Frames that have arrived, at most max.  The pkts belong to the caller. */
uint16_t nic_rx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t max, uint64_t now_us);

/* Send count frames; takes all of them over, those that do not fit are freed and counted.  Completes checksums that the
 * port does not. Returns how many were sent. */
uint16_t nic_tx(struct nic *n, unsigned queue, struct pkt **pkts, uint16_t count, uint64_t now_us);

/* An empty frame with PKT_HEADROOM bytes before data, or NULL. */
struct pkt *nic_alloc(struct nic *n);
void nic_free(struct pkt *p);

/* When the port will have something to do without a frame's arrival (a delaying port); UINT64_MAX: never. */
uint64_t nic_next_us(struct nic *n, unsigned queue, uint64_t now_us);

/* The port's own counters, by enum nic_counter; what it does not count is 0.  Any thread; a moment's view. */
void nic_counters(struct nic *n, uint64_t out[NIC_CNT_MAX]);
const char *nic_counter_name(unsigned id);

/* Frees the frames that wait inside it.  They may be those of other ports: to be called for all ports before the first is closed. */
void nic_drop(struct nic *n);
void nic_close(struct nic *n);

#endif
