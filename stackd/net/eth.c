/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ethernet and its 802.1Q tag: which frames are ours and who gets them; and the header of those we send.
 */
#include "stackd/net/priv.h"

static bool header_parse(struct net *net, const struct net_port *port, struct pkt *p, uint16_t *type);

static struct pkt *drop(struct net *net, struct pkt *p, enum stats_counter why)
{
	net->stats->n[why]++;
	nic_free(p);
	return NULL;
}

struct pkt *eth_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	uint16_t type;

	p->port = p->nic->index;
	if (p->port >= net->ports)
		return drop(net, p, CNT_ETH_NOT_OURS);
	if (!header_parse(net, &net->port[p->port], p, &type)) {
		nic_free(p);
		return NULL;
	}
	if (type == ETH_TYPE_IP4)
		return ip4_in(net, p, now_us);
	if (type == ETH_TYPE_IP6)
		return ip6_in(net, p, now_us);
	if (type != ETH_TYPE_ARP)
		return drop(net, p, CNT_ETH_UNKNOWN);
	arp_in(net, p, now_us);
	return NULL;
}

/* Is it for us, and for our VLAN?  A tag with id 0 carries only a priority. */
static bool header_parse(struct net *net, const struct net_port *port, struct pkt *p, uint16_t *type)
{
	p->l3_off = ETH_HDR;
	p->vlan = 0;
	p->flags &= (uint16_t)~PKT_MCAST;
	if (p->len < ETH_HDR) {
		COUNT(net->stats, ETH_SHORT);
		return false;
	}
	if (p->data[0] & 1) {
		p->flags |= PKT_MCAST;
	} else if (memcmp(p->data, port->nic->mac, 6) != 0) {
		COUNT(net->stats, ETH_NOT_OURS);
		return false;
	}
	*type = get16(p->data + 12);
	if (*type == ETH_TYPE_VLAN) {
		p->l3_off = ETH_HDR + VLAN_HDR;
		if (p->len < p->l3_off) {
			COUNT(net->stats, ETH_SHORT);
			return false;
		}
		p->vlan = get16(p->data + ETH_HDR) & 0xfff;
		*type = get16(p->data + ETH_HDR + 2);
	}
	if (p->vlan != port->vlan) {
		COUNT(net->stats, VLAN_DROP);
		return false;
	}
	return true;
}

/* An empty frame for l3_len bytes; the link header is filled by eth_out(). */
struct pkt *eth_alloc(struct net *net, struct net_port *port, uint16_t l3_len)
{
	struct pkt *p = nic_alloc(port->nic);

	if (!p || p->room < port->l2_len + (uint32_t)l3_len) {
		COUNT(net->stats, NIC_NOBUF);
		nic_free(p);
		return NULL;
	}
	p->port = (uint8_t)(port - net->port);
	p->flags = 0;
	p->l3_off = port->l2_len;
	p->l3_len = l3_len;
	p->len = port->l2_len + (uint32_t)l3_len;
	return p;
}

void eth_out(struct net *net, struct pkt *p, const uint8_t dst[6], uint16_t type, uint64_t now_us)
{
	struct net_port *port = &net->port[p->port];

	memcpy(p->data, dst, 6);
	memcpy(p->data + 6, port->nic->mac, 6);
	if (port->vlan) {
		put16(p->data + 12, ETH_TYPE_VLAN);
		put16(p->data + 14, port->vlan);
	}
	put16(p->data + p->l3_off - 2, type);
	if (port->outs == NET_BURST)
		net_flush(net, now_us);
	port->out[port->outs++] = p;
}
