/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ICMP (RFC 792, 1122 3.2.2): echo is answered, errors about our segments are handed to TCP, errors of ours are sent.
 * Whatever we send here passes one token bucket, and nothing answers a broadcast, an error or a later fragment.
 */
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

enum {
	ICMP_ERROR_MAX = 576, /* bytes of an error of ours with its IP header (RFC 1812, 4.3.2.3) */
	UDP_HDR = 8,
	PORT_UNREACHABLE = 3,
};

static bool error_type(uint8_t type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER;
}

static uint32_t l4_len(const struct pkt *p)
{
	return (uint32_t)p->l3_len - (uint32_t)(p->l4_off - p->l3_off);
}

static bool may_send(struct net *net, uint64_t now_us)
{
	if (net_bucket_take(&net->icmp_bucket, now_us))
		return true;
	COUNT(net->stats, ICMP_LIMITED);
	return false;
}

static void seal(uint8_t *icmp, uint32_t len)
{
	uint16_t sum;

	memset(icmp + 2, 0, 2);
	sum = csum_finish(csum_add(0, icmp, len));
	memcpy(icmp + 2, &sum, 2);
}

static void echo(struct net *net, struct pkt *p, uint8_t *icmp, uint32_t len, uint64_t now_us)
{
	if (p->flags & PKT_MCAST || !may_send(net, now_us))
		return;
	icmp[0] = ICMP_ECHO_REPLY;
	seal(icmp, len);
	COUNT(net->stats, ICMP_ECHO);
	ip4_send(net, to_ip4(&p->dst), to_ip4(&p->src), PROTO_ICMP, icmp, len, now_us);
}

/* The packet quoted in an error: is it a TCP segment that we could have sent? */
static bool quoted_parse(const struct net *net, const uint8_t *ip, uint32_t len, struct net_icmp_error *e)
{
	uint32_t ihl = (ip[0] & 15u) * 4;

	if (ip[0] >> 4 != 4 || ihl < IP4_HDR || len < ihl + 8 || ip[9] != PROTO_TCP || get16(ip + 6) & IP4_OFFSET ||
	    !ip4_is_any_own(net, get32(ip + 12)))
		return false;
	e->src = from_ip4(get32(ip + 12));
	e->dst = from_ip4(get32(ip + 16));
	e->sport = get16(ip + ihl);
	e->dport = get16(ip + ihl + 2);
	e->seq = get32(ip + ihl + 4);
	return true;
}

static void error_in(struct net *net, const uint8_t *icmp, uint32_t len)
{
	struct net_icmp_error e = {.type = icmp[0], .code = icmp[1]};

	if (icmp[0] == ICMP_UNREACHABLE)
		COUNT(net->stats, ICMP_UNREACH_IN);
	if (len < ICMP_HDR + IP4_HDR || !quoted_parse(net, icmp + ICMP_HDR, len - ICMP_HDR, &e)) {
		COUNT(net->stats, ICMP_BAD);
		return;
	}
	if (icmp[0] == ICMP_UNREACHABLE && icmp[1] == ICMP_FRAG_NEEDED_CODE) {
		e.mtu = get16(icmp + 6);
		if (e.mtu != 0 && e.mtu < IP4_MTU_MIN) {
			COUNT(net->stats, ICMP_BAD);
			return;
		}
		COUNT(net->stats, ICMP_FRAG_NEEDED);
	}
	if (net->icmp_error)
		net->icmp_error(net->icmp_error_arg, &e);
}

void icmp_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	uint8_t *icmp = p->data + p->l4_off;
	uint32_t len = l4_len(p);

	COUNT(net->stats, ICMP_IN);
	if (len < ICMP_HDR || csum_finish(csum_add(0, icmp, len)) != 0)
		COUNT(net->stats, ICMP_BAD);
	else if (icmp[0] == ICMP_ECHO_REQUEST && icmp[1] == 0)
		echo(net, p, icmp, len, now_us);
	else if (error_type(icmp[0]))
		error_in(net, icmp, len);
	nic_free(p);
}

void icmp_send_error(struct net *net, uint32_t from, uint32_t to, uint8_t type, uint8_t code, const uint8_t *quoted,
                     uint32_t quoted_len, uint64_t now_us)
{
	uint8_t msg[ICMP_ERROR_MAX - IP4_HDR] = {type, code};
	uint32_t room = sizeof(msg) - ICMP_HDR;

	if (quoted_len > room)
		quoted_len = room;
	if (!may_send(net, now_us))
		return;
	memcpy(msg + ICMP_HDR, quoted, quoted_len);
	seal(msg, ICMP_HDR + quoted_len);
	if (type == ICMP_UNREACHABLE)
		COUNT(net->stats, ICMP_UNREACH_OUT);
	ip4_send(net, from, to, PROTO_ICMP, msg, ICMP_HDR + quoted_len, now_us);
}

/* RFC 1122, 3.2.2: when not to. Both addresses have passed ip4_in(): they are single hosts'. */
static bool may_answer(const struct pkt *p)
{
	const uint8_t *ip = p->data + p->l3_off;

	if (p->flags & PKT_MCAST || get16(ip + 6) & IP4_OFFSET)
		return false;
	return p->proto != PROTO_ICMP || (l4_len(p) >= ICMP_HDR && p->data[p->l4_off] == ICMP_ECHO_REQUEST);
}

void net_unreachable(struct net *net, const struct pkt *p, uint8_t code, uint64_t now_us)
{
	if (may_answer(p))
		icmp_send_error(net, to_ip4(&p->dst), to_ip4(&p->src), ICMP_UNREACHABLE, code, p->data + p->l3_off, p->l3_len, now_us);
}

static bool udp_good(const struct pkt *p)
{
	const uint8_t *udp = p->data + p->l4_off;
	uint32_t room = l4_len(p), len;

	if (room < UDP_HDR)
		return false;
	len = get16(udp + 4);
	if (len < UDP_HDR || len > room)
		return false;
	return get16(udp + 6) == 0 ||
	       csum_finish(csum_add(csum_pseudo4(p->data + p->l3_off, PROTO_UDP, (uint16_t)len), udp, len)) == 0;
}

void icmp_udp_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	COUNT(net->stats, IP_PROTO);
	if (udp_good(p))
		net_unreachable(net, p, PORT_UNREACHABLE, now_us);
	nic_free(p);
}
