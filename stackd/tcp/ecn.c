/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Explicit congestion notification, RFC 3168: asked for and granted in the handshake, marks echoed until the sender has heard of
 * them, one reduction of cwnd for a window of them.
 */
#include "stackd/tcp/priv.h"

enum { CODEPOINT = 3, ECT_0 = 2, CE = 3 };

/* 6.1.1: of our SYN, the first one only (6.1.1.1: whoever throws it away may let the next one pass), or SYN-ACK. */
uint8_t ecn_syn_flags(const struct tcp *tcp, struct tcp_conn *c, bool first)
{
	if (c->state == TCP_SYN_RCVD)
		return (c->ecn & ECN_OK) != 0 ? SEG_ECE : 0;
	if (tcp->conf.ecn != ECN_MODE_ON || !first)
		return 0;
	c->ecn |= ECN_ASKED;
	return SEG_ECE | SEG_CWR;
}

void ecn_take_syn(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	bool granted = (s->flags & (SEG_ECE | SEG_CWR)) == SEG_ECE; /* both in a SYN-ACK: somebody sends back what he does not know */
	bool good = (s->flags & SEG_ACK) != 0 ? (c->ecn & ECN_ASKED) != 0 && granted : tcp->conf.ecn != ECN_MODE_OFF && ecn_asks(s);

	if (!good)
		return;
	c->ecn |= ECN_OK;
	COUNT(tcp->stats, TCP_ECN);
}

/* Of a SYN.  One that is marked as no SYN may be has crossed a network that writes there what it likes: as in Linux, no ECN over that. */
bool ecn_asks(const struct seg_in *s)
{
	return (s->flags & (SEG_ECE | SEG_CWR)) == (SEG_ECE | SEG_CWR) && (s->pkt->tos & CODEPOINT) == 0;
}

/* 6.1.3: payload has arrived. */
void ecn_take_text(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if ((c->ecn & ECN_OK) == 0)
		return;
	if ((s->flags & SEG_CWR) != 0)
		c->ecn &= (uint8_t)~ECN_ECHO;
	if ((s->pkt->tos & CODEPOINT) != CE)
		return;
	COUNT(tcp->stats, TCP_ECN_CE);
	c->ecn |= ECN_ECHO;
	conn_mark(tcp, c, TODO_ACK);
}

/* 6.1.2: the peer has seen a mark: as after a loss, once in a window. */
void ecn_take_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	if ((c->ecn & ECN_WAIT) != 0 && seq_gt(c->snd_una, c->ecn_end))
		c->ecn &= (uint8_t)~ECN_WAIT;
	if ((c->ecn & ECN_OK) == 0 || (s->flags & SEG_ECE) == 0)
		return;
	if (c->flight != NULL)
		c->flight->undo_ready = false; /* the congestion is real, whatever was lost */
	if ((c->ecn & ECN_WAIT) != 0)
		return;
	COUNT(tcp->stats, TCP_ECN_REDUCED);
	recover_reduce(tcp, c);
}

/* cwnd was reduced, for whatever reason: the peer is told so, and marks of this window change nothing more. */
void ecn_reduced(struct tcp_conn *c)
{
	if ((c->ecn & ECN_OK) == 0)
		return;
	c->ecn |= ECN_WAIT | ECN_CWR;
	c->ecn_end = c->snd_nxt;
}

/* What a segment of a connection carries.  fresh: payload that was never sent: only that may be marked on its way (6.1.4 to 6.1.6). */
void ecn_mark(struct tcp_conn *c, bool fresh, uint8_t *flags, uint8_t *tos)
{
	if ((c->ecn & ECN_OK) == 0 || (*flags & (SEG_SYN | SEG_RST)) != 0)
		return;
	if ((c->ecn & ECN_ECHO) != 0)
		*flags |= SEG_ECE;
	if (!fresh)
		return;
	*tos |= ECT_0;
	if ((c->ecn & ECN_CWR) != 0)
		*flags |= SEG_CWR;
	c->ecn &= (uint8_t)~ECN_CWR;
}
