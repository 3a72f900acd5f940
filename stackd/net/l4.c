/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The TCP header, read once (RFC 9293, 3.1): every later stage finds it in struct pkt_tcp, within the frame's bounds.
 */
#include "stackd/log.h"
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

enum { TCP_HDR = 20 };

/* On a wire inside a machine the sender's kernel may leave the checksum to a port that there is none of: the field then
 * holds the pseudo-header's sum, not complemented. */
static bool is_partial(struct net *net, const struct pkt *p, uint64_t pseudo, const uint8_t *l4)
{
	struct net_port *port = &net->port[p->port];
	uint16_t want = csum_fold(pseudo), have;

	memcpy(&have, l4 + 16, sizeof(have));
	if (have != want)
		return false;
	if (!port->told_partial) {
		port->told_partial = true;
		log_warn("net", "%s: the other end sends segments without a checksum, dropped; turn its checksum offload off: "
		         "ethtool -K INTERFACE tx off (there, not here)", port->nic->name);
	}
	return true;
}

static bool checksum_good(struct net *net, const struct pkt *p, const uint8_t *l4, uint16_t len)
{
	const uint8_t *ip = p->data + p->l3_off;
	uint64_t pseudo;

	if (p->flags & PKT_L4_GOOD)
		return true;
	pseudo = is_ip4(&p->dst) ? csum_pseudo4(ip, PROTO_TCP, len) : csum_pseudo6(ip, PROTO_TCP, len);
	if (csum_finish(csum_add(pseudo, l4, len)) == 0)
		return true;
	if (is_partial(net, p, pseudo, l4))
		COUNT(net->stats, TCP_PARTIAL);
	else
		COUNT(net->stats, TCP_CSUM);
	return false;
}

bool l4_tcp_parse(struct net *net, struct pkt *p)
{
	const uint8_t *l4 = p->data + p->l4_off;
	uint16_t len = (uint16_t)(p->l3_len - (p->l4_off - p->l3_off)), hdr;

	if (len < TCP_HDR)
		goto bad;
	hdr = (uint16_t)((l4[12] >> 4) * 4);
	if (hdr < TCP_HDR || hdr > len || get16(l4) == 0 || get16(l4 + 2) == 0)
		goto bad;
	if (!checksum_good(net, p, l4, len))
		return false;
	p->tcp = (struct pkt_tcp){
		.sport = get16(l4),
		.dport = get16(l4 + 2),
		.seq = get32(l4 + 4),
		.ack = get32(l4 + 8),
		.flags = l4[13],
		.wnd = get16(l4 + 14),
		.urg = get16(l4 + 18),
		.opt_off = (uint16_t)(p->l4_off + TCP_HDR),
		.opt_len = (uint8_t)(hdr - TCP_HDR),
		.text_off = (uint16_t)(p->l4_off + hdr),
		.text_len = (uint16_t)(len - hdr),
	};
	p->hash = net_tuple_hash(net, &p->src, &p->dst, p->tcp.sport, p->tcp.dport);
	return true;
bad:
	COUNT(net->stats, TCP_BAD);
	return false;
}
