/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames of others, which pass through a bridge, or are looked at from a tap or a capture.  They are left as they are but for one
 * thing: where the sender's kernel left the checksum to a port that there is none of (veth, a capture made on the sending host), it is
 * completed, since whoever comes next would take the packet for a broken one.
 *
 * The field then holds the pseudo-header's sum, not complemented.  A right checksum that happens to have this value is
 * computed again, to the same value.
 */
#include "stackd/log.h"
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

enum { UDP_HDR = 8, TCP_HDR = 20, LINK_MAX = ETH_HDR + 2 * VLAN_HDR };

/* A TCP segment or a UDP datagram, whole. */
struct pass_l4 {
	uint8_t *data;
	uint32_t len;
	uint8_t *field; /* its checksum */
	uint64_t pseudo;
	uint8_t proto;
};

static bool l4_place(struct pass_l4 *l4, uint8_t *data, uint32_t len, uint8_t proto)
{
	if (!(proto == PROTO_TCP && len >= TCP_HDR) && !(proto == PROTO_UDP && len >= UDP_HDR))
		return false;
	l4->data = data;
	l4->len = len;
	l4->proto = proto;
	l4->field = data + (proto == PROTO_TCP ? 16 : 6);
	return true;
}

static bool l4_of_ip4(struct pass_l4 *l4, uint8_t *ip, uint32_t len)
{
	uint32_t ihl, total;

	if (len < IP4_HDR)
		return false;
	ihl = (ip[0] & 15u) * 4;
	total = get16(ip + 2);
	if (ip[0] >> 4 != 4 || ihl < IP4_HDR || total < ihl || total > len || (get16(ip + 6) & (IP4_MF | IP4_OFFSET)) != 0 ||
	    !l4_place(l4, ip + ihl, total - ihl, ip[9]))
		return false;
	l4->pseudo = csum_pseudo4(ip, l4->proto, (uint16_t)l4->len);
	return true;
}

/* Kernels leave no checksum open behind extension headers. */
static bool l4_of_ip6(struct pass_l4 *l4, uint8_t *ip, uint32_t len)
{
	uint32_t total;

	if (len < IP6_HDR)
		return false;
	total = get16(ip + 4);
	if (ip[0] >> 4 != 6 || total > len - IP6_HDR || !l4_place(l4, ip + IP6_HDR, total, ip[6]))
		return false;
	l4->pseudo = csum_pseudo6(ip, l4->proto, l4->len);
	return true;
}

static bool l4_of(struct pass_l4 *l4, const struct pkt *p)
{
	uint16_t type;
	uint32_t off = net_l3_off(p->data, p->len, &type);

	if (off == 0 || p->cut != 0)
		return false;
	if (type == ETH_TYPE_IP4)
		return l4_of_ip4(l4, p->data + off, p->len - off);
	return type == ETH_TYPE_IP6 && l4_of_ip6(l4, p->data + off, p->len - off);
}

static bool is_partial(const struct pass_l4 *l4)
{
	uint16_t want = csum_fold(l4->pseudo), have;

	memcpy(&have, l4->field, sizeof(have));
	return have == want && have != 0;
}

/* The field is part of what is summed: so the pseudo-header is, too. */
static void complete(const struct pass_l4 *l4)
{
	uint16_t sum = csum_finish(csum_add(0, l4->data, l4->len));

	if (sum == 0 && l4->proto == PROTO_UDP)
		sum = 0xffff;
	memcpy(l4->field, &sum, sizeof(sum));
}

static void tell_partial(struct net_port *port)
{
	if (port->told_partial)
		return;
	port->told_partial = true;
	log_info("net", "%s: its sender leaves checksums to a port that there is none of; they are completed here", port->nic->name);
}

void net_pass(struct net *net, struct pkt **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct net_port *port = &net->port[pkts[i]->port];
		struct pass_l4 l4;

		if (i + 2 < n)
			__builtin_prefetch(pkts[i + 2]->data);
		if ((pkts[i]->flags & PKT_JOINED) != 0)
			continue; /* it came in pieces, which were seen */
		if (pkts[i]->len > port->mtu + (uint32_t)LINK_MAX)
			net_tell_giant(port);
		if (!l4_of(&l4, pkts[i]) || !is_partial(&l4))
			continue;
		complete(&l4);
		COUNT(net->stats, MON_PARTIAL);
		tell_partial(port);
	}
}
