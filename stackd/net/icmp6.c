/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ICMPv6 (RFC 4443): echo is answered, errors about our segments are handed to TCP, errors of ours are sent, neighbours and
 * multicast queries go to nd.c and mld.c.  Echo replies and errors pass the token bucket that icmp.c uses.
 */
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

enum {
	UNREACH_CODES = 7,
	HOPS_LOCAL = 255, /* what has passed no router (RFC 4861, 11.2) */
	ERROR_MAX = IP6_MTU_MIN - IP6_HDR,
};

static bool is_error(uint8_t type)
{
	return type < ICMP6_ECHO_REQUEST;
}

static bool may_send(struct net *net, uint64_t now_us)
{
	if (net_bucket_take(&net->icmp_bucket, now_us))
		return true;
	COUNT(net->stats, ICMP_LIMITED);
	return false;
}

/* From the address that was asked, or, if that is a group, from the one that fits (4.2). */
static void echo(struct net *net, struct pkt *p, uint8_t *icmp, uint32_t len, uint64_t now_us)
{
	struct ipaddr src = p->dst;

	if (!ip6_is_unicast(&p->src) || (is_group6(&p->dst) && !ip6_source(net, p->port, &p->src, &src)) || !may_send(net, now_us))
		return;
	icmp[0] = ICMP6_ECHO_REPLY;
	COUNT(net->stats, ICMP_ECHO);
	ip6_send(net, &src, &p->src, icmp, len, now_us);
}

/* --- Errors that arrive ------------------------------------------------------------------------------------------- */

/* The packet quoted in an error: is it a TCP segment that we could have sent?  Ours have no extension headers. */
static bool quoted_parse(const struct net *net, const uint8_t *ip, uint32_t len, unsigned port, struct net_icmp_error *e)
{
	const uint8_t *tcp = ip + IP6_HDR;

	if (len < IP6_HDR + 8 || ip[0] >> 4 != 6 || ip[6] != PROTO_TCP)
		return false;
	e->src = net_zone(ip + 8, port);
	e->dst = net_zone(ip + 24, port);
	e->sport = get16(tcp);
	e->dport = get16(tcp + 2);
	e->seq = get32(tcp + 4);
	return ip6_is_any_own(net, &e->src);
}

/* In ICMP's numbers, which TCP knows (RFC 1122, 4.2.3.9): false when it says nothing to TCP. */
static bool translate(const uint8_t *icmp, struct net_icmp_error *e)
{
	/* no route, prohibited, beyond scope, address, port, source address policy, rejected */
	static const uint8_t code[UNREACH_CODES] = {0, 13, 1, 1, 3, 13, 13};

	e->type = ICMP_UNREACHABLE;
	switch (icmp[0]) {
	case ICMP6_UNREACHABLE:
		e->code = icmp[1] < UNREACH_CODES ? code[icmp[1]] : 1;
		return true;
	case ICMP6_TOO_BIG:
		e->code = ICMP_FRAG_NEEDED_CODE;
		e->mtu = get32(icmp + 4) > UINT16_MAX ? UINT16_MAX : (uint16_t)get32(icmp + 4);
		return true;
	case ICMP6_TIME_EXCEEDED:
		e->type = ICMP_TIME_EXCEEDED;
		e->code = icmp[1];
		return true;
	case ICMP6_PARAMETER:
		e->type = ICMP_PARAMETER;
		e->code = icmp[1];
		return true;
	default:
		return false;
	}
}

/* RFC 8201, 4: no path has a smaller MTU than 1280, and who says so means harm. */
static void error_in(struct net *net, const struct pkt *p, const uint8_t *icmp, uint32_t len)
{
	struct net_icmp_error e = {.own = false};

	if (icmp[0] == ICMP6_UNREACHABLE)
		COUNT(net->stats, ICMP_UNREACH_IN);
	if (!quoted_parse(net, icmp + ICMP_HDR, len - ICMP_HDR, p->port, &e)) {
		COUNT(net->stats, ICMP_BAD);
		return;
	}
	if (icmp[0] == ICMP6_TOO_BIG && get32(icmp + 4) < IP6_MTU_MIN) {
		COUNT(net->stats, ICMP6_PTB_SMALL);
		return;
	}
	if (icmp[0] == ICMP6_TOO_BIG)
		COUNT(net->stats, ICMP_FRAG_NEEDED);
	if (translate(icmp, &e) && net->icmp_error)
		net->icmp_error(net->icmp_error_arg, &e);
}

/* --- In ------------------------------------------------------------------------------------------------------------ */

/* Only neighbours may say these, and only in messages that are whole. */
static void local_in(struct net *net, const struct pkt *p, const uint8_t *icmp, uint32_t len, uint64_t now_us)
{
	bool mld = icmp[0] <= ICMP6_MLD_DONE || icmp[0] == ICMP6_MLD2_REPORT;

	if (mld ? !is_link_local(&p->src) : p->ttl != HOPS_LOCAL || icmp[1] != 0)
		COUNT(net->stats, ND_BAD);
	else if (mld)
		mld_in(net, p, icmp, len, now_us);
	else
		nd_in(net, p, icmp, len, now_us);
}

void icmp6_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	uint8_t *icmp = p->data + p->l4_off;
	uint32_t len = p->l3_len - (uint32_t)(p->l4_off - p->l3_off);

	COUNT(net->stats, ICMP_IN);
	if (len < ICMP_HDR || csum_finish(csum_add(csum_pseudo6(p->data + p->l3_off, PROTO_ICMP6, len), icmp, len)) != 0)
		COUNT(net->stats, ICMP_BAD);
	else if (icmp[0] == ICMP6_ECHO_REQUEST && icmp[1] == 0)
		echo(net, p, icmp, len, now_us);
	else if (is_error(icmp[0]))
		error_in(net, p, icmp, len);
	else if ((icmp[0] >= ICMP6_MLD_QUERY && icmp[0] <= ICMP6_REDIRECT) || icmp[0] == ICMP6_MLD2_REPORT)
		local_in(net, p, icmp, len, now_us);
	nic_free(p);
}

/* --- Errors of ours ------------------------------------------------------------------------------------------------ */

/* An error or a redirect is never answered, nor what may be a piece of one (2.4 e). */
static bool may_answer(const struct pkt *p, bool even_group)
{
	const uint8_t *icmp = p->data + p->l3_off;
	uint32_t off;

	if (!ip6_is_unicast(&p->src) || (!even_group && (is_group6(&p->dst) || (p->flags & PKT_MCAST))))
		return false;
	if (ext6_skip(icmp, p->l3_len, &off) != PROTO_ICMP6)
		return true;
	icmp += off;
	return off < p->l3_len && !is_error(icmp[0]) && icmp[0] != ICMP6_REDIRECT;
}

void icmp6_error(struct net *net, const struct pkt *p, const struct icmp6_error *e, uint64_t now_us)
{
	uint8_t msg[ERROR_MAX] = {e->type, e->code};
	uint32_t quote = p->l3_len < ERROR_MAX - ICMP_HDR ? p->l3_len : ERROR_MAX - ICMP_HDR;
	struct ipaddr src = p->dst;

	if (!may_answer(p, e->even_group) || (is_group6(&p->dst) && !ip6_source(net, p->port, &p->src, &src)) ||
	    !may_send(net, now_us))
		return;
	put32(msg + 4, e->value);
	memcpy(msg + ICMP_HDR, p->data + p->l3_off, quote);
	if (e->type == ICMP6_UNREACHABLE)
		COUNT(net->stats, ICMP_UNREACH_OUT);
	else
		COUNT(net->stats, ICMP6_PROBLEM_OUT);
	ip6_send(net, &src, &p->src, msg, ICMP_HDR + quote, now_us);
}
