/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One frame on its way through an engine.  nic/ makes and frees it, net/ fills in what it parsed, tcp/ and mon/ read that.
 *
 * A pkt belongs to the engine that received or allocated it.  Who holds the pointer must pass it on or nic_free() it.
 */
#ifndef STACKD_NIC_PKT_H
#define STACKD_NIC_PKT_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/proto.h"

struct nic;

enum pkt_flags {
	PKT_L4_GOOD = 1,   /* the port checked the TCP checksum and found it right */
	PKT_IP_GOOD = 2,   /* the same for the IPv4 header */
	PKT_STEERED = 4,   /* came from another engine, which has already answered ARP and ICMP for it */
	PKT_TX_L4_CSUM = 8, /* to be sent: the TCP checksum field holds the pseudo-header sum, the port (or nic/) completes it */
	PKT_TX_IP_CSUM = 16,
	PKT_JOINED = 64,   /* put together by mon/ from fragments: no port can send it as it is */
	PKT_LOOK = 128,    /* only looked at: what it was made of has been, or will be, sent */
	PKT_MCAST = 32,    /* sent to a broadcast or multicast link address (RFC 9293, 3.9.2.3: never answered with RST) */
};

/* A parsed TCP segment, all in host order.  Filled by net_in(); every field is within the frame's bounds. */
struct pkt_tcp {
	uint32_t seq, ack;
	uint16_t sport, dport;
	uint16_t wnd; /* as in the header, unscaled */
	uint16_t urg;
	uint8_t flags; /* FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128 */
	uint8_t opt_len;
	uint16_t opt_off;  /* options, from data */
	uint16_t text_off; /* payload, from data */
	uint16_t text_len; /* bytes of payload */
};

struct pkt {
	uint8_t *data; /* first byte of the Ethernet frame */
	uint32_t len;  /* bytes of the frame */
	uint32_t room; /* bytes from data to the end of the buffer */
	uint32_t cut;  /* bytes that were on the wire behind these, and a capture does not hold */
	struct nic *nic;
	void *buf; /* the backend's own */

	/* filled by net_in() */
	uint16_t flags; /* enum pkt_flags */
	uint16_t vlan;  /* VLAN id, 0: untagged */
	uint16_t l3_off, l4_off;
	uint16_t l3_len; /* bytes of the IP packet */
	uint8_t proto;   /* IP protocol */
	uint8_t ttl, tos;
	uint8_t port;     /* index of the port it came in by or goes out by */
	struct ipaddr src, dst; /* of a frame to be sent, dst is the next hop (net_alloc) */
	uint32_t hash; /* symmetric Toeplitz over the tuple, as steering uses it */
	struct pkt_tcp tcp;

	void *conn;       /* what flow_lookup() found */
	uint64_t when_us; /* arrival (of a replay: the capture's time); for a delaying port: departure */
	struct pkt *next; /* for whoever queues it */
};

enum {
	PKT_HEADROOM = 128, /* kept free before a frame that nic_alloc() gives */
};

#endif
