/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ICMP errors about our segments: RFC 1122 4.2.3.9, RFC 1191, RFC 8201; believed only about what is in flight (RFC 5927).
 */
#include <errno.h>

#include "stackd/tcp/priv.h"

enum { UNREACHABLE = 3, TIME_EXCEEDED = 11, PARAMETER = 12, FRAG_NEEDED = 4, PROHIBITED = 13 };

static int errno_of(const struct net_icmp_error *e);
static bool is_hard(const struct net_icmp_error *e);

void tcp_icmp_error(void *arg, const struct net_icmp_error *e)
{
	struct tcp *tcp = arg;
	struct tuple t = { e->src, e->dst, e->sport, e->dport };
	struct tcp_conn *c = tcp_find(tcp, &t);

	if (c == NULL || seq_lt(e->seq, c->snd_una) || seq_ge(e->seq, c->snd_max) ||
	    (e->type != UNREACHABLE && e->type != TIME_EXCEEDED && e->type != PARAMETER)) {
		COUNT(tcp->stats, TCP_ICMP_IGNORED);
		return;
	}
	if (e->type == UNREACHABLE && e->code == FRAG_NEEDED) {
		path_too_big(tcp, c, e->seq, e->mtu);
		return;
	}
	/* what a connection under way is told, an attacker may have written: only a failing open believes it */
	if ((c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD) && (e->own || is_hard(e)))
		conn_end(tcp, c, errno_of(e));
	else
		conn_soft_error(tcp, c, errno_of(e));
}

/* As Linux has it, by the codes of "unreachable"; RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1. */
static int errno_of(const struct net_icmp_error *e)
{
	static const int16_t unreachable[] = {
		ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, ECONNREFUSED, EMSGSIZE,     EOPNOTSUPP,   ENETUNREACH,  EHOSTDOWN,
		ENONET,      ENETUNREACH,  EHOSTUNREACH, ENETUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH,
	};

	if (e->type == PARAMETER)
		return EPROTO;
	if (e->type == TIME_EXCEEDED || e->code >= sizeof(unreachable) / sizeof(unreachable[0]))
		return EHOSTUNREACH;
	return e->code == PROHIBITED && !net_is_ip4(&e->src) ? EACCES : unreachable[e->code];
}

/* No way to a network, a host, or by a source route, now: that may pass, and so may what is said of a segment's way (RFC 9293 3.9.2.2,
 * MUST-56).  No such protocol, port, network or host, and what an administrator forbids, will not (SHLD-26). */
static bool is_hard(const struct net_icmp_error *e)
{
	static const uint16_t soft = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 11 | 1 << 12;

	return e->type == UNREACHABLE && e->code < 16 && (soft >> e->code & 1) == 0;
}
