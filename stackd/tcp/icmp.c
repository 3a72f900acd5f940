/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ICMP errors about our segments: RFC 1122 4.2.3.9, RFC 1191, RFC 8201; believed only about what is in flight (RFC 5927).
 */
#include <errno.h>

#include "stackd/tcp/priv.h"

enum { UNREACHABLE = 3, FRAG_NEEDED = 4, PORT_UNREACHABLE = 3, PROTO_UNREACHABLE = 2 };

static void frag_needed(struct tcp *tcp, struct tcp_conn *c, uint16_t mtu);
static uint16_t plateau(uint16_t mtu);
static int errno_of(uint8_t code);
static bool is_hard(uint8_t code);

void tcp_icmp_error(void *arg, const struct net_icmp_error *e)
{
	struct tcp *tcp = arg;
	struct tuple t = { e->src, e->dst, e->sport, e->dport };
	struct tcp_conn *c = tcp_find(tcp, &t);

	if (c == NULL || seq_lt(e->seq, c->snd_una) || seq_ge(e->seq, c->snd_max) || e->type != UNREACHABLE) {
		COUNT(tcp->stats, TCP_ICMP_IGNORED);
		return;
	}
	if (e->code == FRAG_NEEDED) {
		frag_needed(tcp, c, e->mtu);
		return;
	}
	/* what a connection under way is told, an attacker may have written: only a failing open believes it */
	if ((c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD) && (e->own || is_hard(e->code)))
		conn_end(tcp, c, errno_of(e->code));
	else
		c->soft_err = (int16_t)errno_of(e->code);
}

/* RFC 1191, section 6: smaller segments from now on, and what was too large again. */
static void frag_needed(struct tcp *tcp, struct tcp_conn *c, uint16_t mtu)
{
	if (mtu == 0)
		mtu = plateau(c->mtu);
	if (mtu < MTU_MIN)
		mtu = MTU_MIN;
	if (mtu < net_mtu_min(&c->peer)) /* RFC 8201, 4 */
		mtu = net_mtu_min(&c->peer);
	if (mtu >= c->mtu || !conn_synchronized(c)) {
		COUNT(tcp->stats, TCP_ICMP_IGNORED);
		return;
	}
	COUNT(tcp->stats, TCP_MTU_LOWERED);
	c->mtu = mtu;
	conn_set_mss(c);
	(void)recover_cut(tcp, c); /* without memory, when the first of them is sent again */
}

/* RFC 1191, section 7 */
static uint16_t plateau(uint16_t mtu)
{
	static const uint16_t table[] = { 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, MTU_MIN };
	unsigned i = 0;

	while (i + 1 < sizeof(table) / sizeof(table[0]) && table[i] >= mtu)
		i++;
	return table[i];
}

static int errno_of(uint8_t code)
{
	switch (code) {
	case PROTO_UNREACHABLE:
	case PORT_UNREACHABLE:
		return ECONNREFUSED;
	case 0:
	case 6:
	case 9:
	case 11:
		return ENETUNREACH;
	default:
		return EHOSTUNREACH;
	}
}

/* Protocol, port, and what an administrator forbids; the others may pass (RFC 1122 4.2.3.9). */
static bool is_hard(uint8_t code)
{
	return code == PROTO_UNREACHABLE || code == PORT_UNREACHABLE || code == 9 || code == 10 || code == 13;
}
