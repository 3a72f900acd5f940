/* SPDX-License-Identifier: BSD-3-Clause
 *
 * IPv6 (RFC 8200): what of it is believed, whom it is for, and the header of what we send.  A port without an address of IPv6
 * does not speak it.
 */
#include "stackd/net/priv.h"
#include "stackd/nic/csum.h"

enum {
	HOP_LIMIT = 64,
	PROBLEM_NEXT = 1,
	PORT_UNREACHABLE = 4,
	UDP_HDR = 8,
};

static const enum stats_counter no_drop = CNT_MAX;

static enum stats_counter header_check(struct net *net, struct pkt *p);
static enum stats_counter addresses_check(const struct net *net, const struct pkt *p);
static struct pkt *headers_in(struct net *net, struct pkt *p, uint64_t now_us);
static struct pkt *deliver(struct net *net, struct pkt *p, const struct ext6 *e, uint64_t now_us);

static struct pkt *drop(struct net *net, struct pkt *p, enum stats_counter why)
{
	net->stats->n[why]++;
	nic_free(p);
	return NULL;
}

struct pkt *ip6_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	enum stats_counter why;

	if (net->port[p->port].owns6 == 0)
		return drop(net, p, CNT_ETH_UNKNOWN);
	COUNT(net->stats, IP6_IN);
	why = header_check(net, p);
	if (why == no_drop)
		why = addresses_check(net, p);
	if (why != no_drop)
		return drop(net, p, why);
	return headers_in(net, p, now_us);
}

static enum stats_counter header_check(struct net *net, struct pkt *p)
{
	const uint8_t *ip = p->data + p->l3_off;
	uint32_t room = p->len - p->l3_off, total;

	if (room < IP6_HDR)
		return CNT_ETH_SHORT;
	total = IP6_HDR + get16(ip + 4); /* jumbograms (RFC 2675) say 0 and are none of ours */
	if (ip[0] >> 4 != 6 || total > UINT16_MAX)
		return CNT_IP6_BAD;
	if (total > room)
		return net_too_long(net, p, total, ip[6], CNT_IP6_BAD);
	p->len = p->l3_off + total; /* without Ethernet's padding */
	p->l3_len = (uint16_t)total;
	p->tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
	p->ttl = ip[7];
	p->src = net_zone(ip + 8, p->port);
	p->dst = net_zone(ip + 24, p->port);
	return no_drop;
}

/* The bytes in which we keep the port. */
static bool zone_is_zero(const uint8_t *wire)
{
	struct ipaddr a;

	memcpy(a.b, wire, 16);
	return !is_link_local(&a) || (a.b[2] == 0 && a.b[3] == 0);
}

/* RFC 4291: :: is a source only while its owner looks for duplicates (nd.c), groups never are. */
static enum stats_counter addresses_check(const struct net *net, const struct pkt *p)
{
	static const struct ipaddr none;
	const uint8_t *ip = p->data + p->l3_off;
	bool group = is_group6(&p->dst);

	if (!(ip6_is_unicast(&p->src) || (group && ipaddr_equal(&p->src, &none))) || !(group || ip6_is_unicast(&p->dst)) ||
	    !zone_is_zero(ip + 8) || !zone_is_zero(ip + 24))
		return CNT_IP6_MARTIAN;
	if (ip6_is_any_own(net, &p->src) && !group) /* else it may be a duplicate that is looked for */
		return CNT_IP6_MARTIAN;
	if (group ? ip6_is_group(net, p->port, &p->dst) : ip6_is_own(net, p->port, &p->dst))
		return no_drop;
	return CNT_IP6_NOT_OURS;
}

/* An atomic fragment is whole: its header is taken out, so that what follows reads the frame like any other (RFC 6946). */
static void splice(struct pkt *p, const struct ext6 *e)
{
	uint8_t *ip = p->data + p->l3_off;

	ip[e->named_at] = ip[e->off];
	put16(ip + 4, (uint16_t)(get16(ip + 4) - IP6_FRAG_HDR));
	memmove(p->data + IP6_FRAG_HDR, p->data, p->l3_off + (uint32_t)e->off);
	p->data += IP6_FRAG_HDR;
	p->len -= IP6_FRAG_HDR;
	p->room -= IP6_FRAG_HDR;
	p->l3_len = (uint16_t)(p->l3_len - IP6_FRAG_HDR);
}

/* Once whole, the packet is walked from its beginning; it is no fragment again. */
static struct pkt *headers_in(struct net *net, struct pkt *p, uint64_t now_us)
{
	for (unsigned fragments = 0; fragments < 2; fragments++) {
		struct ext6 e = {.next = p->data[p->l3_off + 6], .off = IP6_HDR, .named_at = 6};

		if (!ext6_walk(p->data + p->l3_off, p->l3_len, &e)) {
			struct icmp6_error err = {ICMP6_PARAMETER, e.code, e.pointer, e.even_group};

			if (e.code != EXT6_SILENT)
				icmp6_error(net, p, &err, now_us);
			return drop(net, p, e.why);
		}
		if (!e.fragment)
			return deliver(net, p, &e, now_us);
		if ((get16(p->data + p->l3_off + e.off + 2) & IP6_OFFSET_MORE) == 0) {
			COUNT(net->stats, IP6_ATOMIC);
			splice(p, &e);
		} else {
			p = frag_in6(net, p, &e, now_us);
			if (!p)
				return NULL;
		}
	}
	return drop(net, p, CNT_IP6_EXT_BAD);
}

static bool udp_good(const struct pkt *p)
{
	const uint8_t *udp = p->data + p->l4_off;
	uint32_t room = p->l3_len - (uint32_t)(p->l4_off - p->l3_off), len;

	if (room < UDP_HDR)
		return false;
	len = get16(udp + 4);
	return len >= UDP_HDR && len <= room && get16(udp + 6) != 0 &&
	       csum_finish(csum_add(csum_pseudo6(p->data + p->l3_off, PROTO_UDP, len), udp, len)) == 0;
}

/* RFC 8200, 4: the field that names what we don't speak is a problem; UDP has its own answer (RFC 4443, 3.1). */
static struct pkt *unspoken(struct net *net, struct pkt *p, const struct ext6 *e, uint64_t now_us)
{
	struct icmp6_error err = {ICMP6_PARAMETER, PROBLEM_NEXT, e->named_at, false};

	if (p->proto == PROTO_UDP)
		err = (struct icmp6_error){ICMP6_UNREACHABLE, PORT_UNREACHABLE, 0, false};
	if (p->proto != PROTO_NONE && (p->proto != PROTO_UDP || udp_good(p)))
		icmp6_error(net, p, &err, now_us);
	return drop(net, p, CNT_IP6_PROTO);
}

static struct pkt *deliver(struct net *net, struct pkt *p, const struct ext6 *e, uint64_t now_us)
{
	p->proto = e->next;
	p->l4_off = (uint16_t)(p->l3_off + e->off);
	if (p->proto == PROTO_ICMP6) {
		icmp6_in(net, p, now_us);
		return NULL;
	}
	if (p->proto != PROTO_TCP)
		return unspoken(net, p, e, now_us);
	if (is_group6(&p->dst)) /* RFC 9293, 3.9.2.3 */
		return drop(net, p, CNT_IP6_MARTIAN);
	if (l4_tcp_parse(net, p))
		return p;
	nic_free(p);
	return NULL;
}

/* --- Out ---------------------------------------------------------------------------------------------------------- */

void ip6_header_put(uint8_t *l3, const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto, uint16_t l3_len, uint8_t ttl,
                uint8_t tos)
{
	put32(l3, 6u << 28 | (uint32_t)tos << 20);
	put16(l3 + 4, (uint16_t)(l3_len - IP6_HDR));
	l3[6] = proto;
	l3[7] = ttl ? ttl : HOP_LIMIT;
	net_wire(l3 + 8, src);
	net_wire(l3 + 24, dst);
}

/* The same for all segments of a connection, and nothing that anybody could guess. */
void ip6_label(const struct net *net, uint8_t *ip)
{
	uint64_t word[4];
	uint32_t label;

	if (ip[6] != PROTO_TCP)
		return;
	memcpy(word, ip + 8, sizeof(word));
	label = (uint32_t)net_keyed_hash(net->seed, net_keyed_hash(word[0] ^ word[2], word[1], word[3]), get32(ip + IP6_HDR)) & 0xfffff;
	put32(ip, (get32(ip) & 0xfff00000) | label);
}

static void seal(const uint8_t *ip, uint8_t *icmp, uint32_t len)
{
	uint16_t sum;

	memset(icmp + 2, 0, 2);
	sum = csum_finish(csum_add(csum_pseudo6(ip, PROTO_ICMP6, len), icmp, len));
	memcpy(icmp + 2, &sum, 2);
}

/* One fragment (frag: its header) of a message, or the whole of it. */
static bool send_part(struct net *net, const uint8_t hdr[IP6_HDR], const struct ipaddr *dst, const uint8_t *data, uint32_t len,
                      const uint8_t *frag, uint64_t now_us)
{
	uint32_t extra = frag ? IP6_FRAG_HDR : 0;
	uint8_t *ip;
	struct pkt *p = net_alloc(net, dst, (uint16_t)(IP6_HDR + extra + len), &ip);

	if (!p)
		return false;
	memcpy(ip, hdr, IP6_HDR);
	put16(ip + 4, (uint16_t)(extra + len));
	if (frag) {
		ip[6] = PROTO_FRAGMENT;
		memcpy(ip + IP6_HDR, frag, IP6_FRAG_HDR);
	}
	memcpy(ip + IP6_HDR + extra, data, len);
	net_send(net, p, now_us);
	return true;
}

void ip6_send(struct net *net, const struct ipaddr *src, const struct ipaddr *dst, uint8_t *icmp, uint32_t len, uint64_t now_us)
{
	const uint32_t chunk = (IP6_MTU_MIN - IP6_HDR - IP6_FRAG_HDR) & ~7u;
	uint32_t id = (uint32_t)net_random(net);
	uint8_t hdr[IP6_HDR], frag[IP6_FRAG_HDR] = {PROTO_ICMP6};

	ip6_header_put(hdr, src, dst, PROTO_ICMP6, IP6_HDR, 0, 0);
	seal(hdr, icmp, len);
	if (len <= IP6_MTU_MIN - IP6_HDR) {
		send_part(net, hdr, dst, icmp, len, NULL, now_us);
		return;
	}
	put32(frag + 4, id); /* RFC 7739: not to be guessed */
	for (uint32_t off = 0, n; off < len; off += n) {
		n = len - off < chunk ? len - off : chunk;
		put16(frag + 2, (uint16_t)(off | (off + n < len)));
		if (!send_part(net, hdr, dst, icmp + off, n, frag, now_us))
			return;
	}
}

void ip6_send_local(struct net *net, const struct ip6_local *to, uint8_t *icmp, uint32_t len, uint64_t now_us)
{
	struct net_port *port = &net->port[to->port];
	uint8_t group[6] = {0x33, 0x33, to->dst->b[12], to->dst->b[13], to->dst->b[14], to->dst->b[15]}; /* RFC 2464, 7 */
	struct pkt *p = eth_alloc(net, port, (uint16_t)(IP6_HDR + to->ext_len + len));
	uint8_t *ip;

	if (!p)
		return;
	ip = p->data + p->l3_off;
	p->l4_off = (uint16_t)(p->l3_off + IP6_HDR + to->ext_len);
	ip6_header_put(ip, to->src, to->dst, to->ext_len ? PROTO_HOP_BY_HOP : PROTO_ICMP6, p->l3_len, to->ttl, 0);
	if (to->ext_len)
		memcpy(ip + IP6_HDR, to->ext, to->ext_len);
	seal(ip, icmp, len);
	memcpy(ip + IP6_HDR + to->ext_len, icmp, len);
	eth_out(net, p, to->mac ? to->mac : group, ETH_TYPE_IP6, now_us);
}
