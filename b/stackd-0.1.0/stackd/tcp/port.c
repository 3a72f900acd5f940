/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Source ports for active opens: RFC 6056 3.3.4, double-hash port selection, over the ports whose flow belongs to this
 * engine and that no program has reserved.
 */
#include "stackd/tcp/priv.h"

enum { REUSE_AFTER_US = 1000000 };

uint16_t port_choose(struct tcp *tcp, const struct tuple *to, struct tcp_conn **old)
{
	uint32_t range = (uint32_t)tcp->conf.port_max - tcp->conf.port_min + 1;
	uint32_t offset = secret_port(&tcp->secret, to, 0);
	uint32_t *counter = &tcp->port_counter[secret_port(&tcp->secret, to, 1) % PORT_COUNTERS];
	const struct tcp_hooks *h = &tcp->hooks;
	struct tuple t = *to;

	for (uint32_t i = 0; i < range; i++) {
		t.lport = (uint16_t)(tcp->conf.port_min + (uint32_t)((uint64_t)offset + (*counter)++) % range);
		if (h->tuple_is_mine != NULL &&
		    !h->tuple_is_mine(h->arg, net_tuple_hash(tcp->net, &t.local, &t.peer, t.lport, t.pport)))
			continue;
		if (h->port_reserved != NULL && h->port_reserved(h->arg, &t.local, t.lport))
			continue;
		*old = tcp_find(tcp, &t);
		if (*old == NULL || port_reusable(tcp, *old))
			return t.lport;
	}
	return 0;
}

/* RFC 6191, seen from the side that opens again: our numbers and our timestamps rise from one incarnation to the next. */
bool port_reusable(const struct tcp *tcp, const struct tcp_conn *old)
{
	return old->state == TCP_TIME_WAIT && (old->flags & CONN_TS) != 0 && (old->flags & CONN_HELD) == 0 &&
	       tcp->now_us - old->heard_us > REUSE_AFTER_US;
}
