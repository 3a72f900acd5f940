/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ICMP errors about our segments: RFC 1122 4.2.3.9, RFC 1191, RFC 8201; believed only about what is in flight (RFC 5927).
 */
#include <errno.h>

#include "stackd/tcp/priv.h"

enum { UNREACHABLE = 3, FRAG_NEEDED = 4, PORT_UNREACHABLE = 3, PROTO_UNREACHABLE = 2 };

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
		path_too_big(tcp, c, e->seq, e->mtu);
		return;
	}
	/* what a connection under way is told, an attacker may have written: only a failing open believes it */
	if ((c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD) && (e->own || is_hard(e->code)))
		conn_end(tcp, c, errno_of(e->code));
	else
		c->soft_err = (int16_t)errno_of(e->code);
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
