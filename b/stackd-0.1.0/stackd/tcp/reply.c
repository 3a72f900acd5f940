/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments that belong to no connection: resets, and SYN-ACKs with a cookie.  They wait in a small list for tcp_settle().
 */
#include <string.h>

#include "stackd/tcp/priv.h"

/* RFC 9293 3.10.7.1 */
void reply_rst(struct tcp *tcp, const struct seg_in *s)
{
	struct seg_out *out;

	if ((s->flags & SEG_RST) != 0)
		return;
	out = reply_to(tcp, s);
	if (out == NULL)
		return;
	COUNT(tcp->stats, TCP_RST_OUT);
	if ((s->flags & SEG_ACK) != 0) {
		out->seq = s->ack;
		out->flags = SEG_RST;
		return;
	}
	out->ack = s->seq + s->len + ((s->flags & SEG_SYN) != 0) + ((s->flags & SEG_FIN) != 0);
	out->flags = SEG_RST | SEG_ACK;
}

struct seg_out *reply_to(struct tcp *tcp, const struct seg_in *s)
{
	struct seg_out *out;

	if (tcp->replies == REPLIES_MAX) {
		COUNT(tcp->stats, TCP_REPLY_DROP);
		return NULL;
	}
	out = &tcp->reply[tcp->replies++];
	memset(out, 0, sizeof(*out));
	out->src = s->pkt->dst;
	out->dst = s->pkt->src;
	out->sport = s->pkt->tcp.dport;
	out->dport = s->pkt->tcp.sport;
	return out;
}

void reply_flush(struct tcp *tcp)
{
	for (unsigned i = 0; i < tcp->replies; i++) {
		uint8_t *text;
		struct pkt *p = seg_build(tcp->net, &tcp->reply[i], 0, &text);

		if (p == NULL)
			continue;
		COUNT(tcp->stats, TCP_OUT);
		net_send(tcp->net, p, tcp->now_us);
	}
	tcp->replies = 0;
}
