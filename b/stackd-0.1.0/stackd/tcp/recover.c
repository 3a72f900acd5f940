/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Losses: fast retransmit and fast recovery by NewReno (RFC 6582) or, where SACK was negotiated, by RFC 6675; what a
 * timeout does.  The names are those RFCs'.
 */
#include "stackd/tcp/priv.h"

enum { DUP_THRESH = 3 };

static void enter(struct tcp *tcp, struct tcp_conn *c);
static uint64_t lost_edge(const struct tcp_conn *c);

void recover_dup_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	bool sack = (c->flags & CONN_SACK) != 0;

	(void)s;
	conn_mark(tcp, c, TODO_SEND);
	if (c->dup_acks_in < UINT8_MAX)
		c->dup_acks_in++;
	if ((c->flags & CONN_RECOVERY) != 0) {
		if (!sack && c->cc.cwnd < tcp->conf.sndbuf_max)
			c->cc.cwnd += c->mss; /* RFC 5681 3.2 (4): one segment has left the network */
		return;
	}
	if (c->dup_acks_in < DUP_THRESH && !(sack && lost_edge(c) > c->tx_acked))
		return; /* limited transmit, RFC 3042: see out.c */
	if (seq_gt(c->snd_una, c->recover)) /* RFC 6582 3.2 (2): not for what a timeout sends again */
		enter(tcp, c);
}

static void enter(struct tcp *tcp, struct tcp_conn *c)
{
	COUNT(tcp->stats, TCP_FAST_REXMIT);
	c->recover = c->snd_max;
	c->high_rxt = c->snd_una;
	c->flags |= CONN_RECOVERY;
	c->flags &= ~(uint32_t)CONN_RESCUED;
	cc_ops(c->cc.name)->lost(&c->cc, c->snd_max - c->snd_una, c->mss);
	c->cc.cwnd = c->cc.ssthresh;
	if ((c->flags & CONN_SACK) == 0)
		c->cc.cwnd += DUP_THRESH * c->mss;
	conn_mark(tcp, c, TODO_REXMIT);
}

void recover_acked(struct tcp *tcp, struct tcp_conn *c, uint32_t acked)
{
	bool sack = (c->flags & CONN_SACK) != 0;
	uint32_t flight = c->snd_max - c->snd_una;

	if (seq_ge(c->snd_una, c->recover)) { /* RFC 6582 3.2 (3), full: no burst of what has gathered */
		c->flags &= ~(uint32_t)CONN_RECOVERY;
		if (!sack)
			flight = flight > c->mss ? flight : c->mss;
		c->cc.cwnd = sack || flight + c->mss > c->cc.ssthresh ? c->cc.ssthresh : flight + c->mss;
		return;
	}
	if (sack)
		return;
	c->cc.cwnd -= acked < c->cc.cwnd ? acked : c->cc.cwnd; /* partial */
	if (acked >= c->mss || c->cc.cwnd < c->mss)
		c->cc.cwnd += c->mss;
	conn_mark(tcp, c, TODO_REXMIT);
}

void recover_timeout(struct tcp *tcp, struct tcp_conn *c)
{
	(void)tcp;
	if (c->rexmits <= 1) /* RFC 5681 3.1, (4): once for what is in flight */
		cc_ops(c->cc.name)->timeout(&c->cc, c->snd_max - c->snd_una, c->mss);
	else
		reasm_clear(&c->sacked); /* RFC 2018, section 8: the peer may have forgotten */
	c->cc.cwnd = c->mss;
	c->snd_nxt = c->high_rxt = c->snd_una;
	c->recover = c->snd_max;
	c->dup_acks_in = 0;
	c->flags &= ~(uint32_t)(CONN_RECOVERY | CONN_TIMED);
	c->flags |= CONN_LOSS;
}

/* RFC 6675, 5 (2.1) and 5.1: blocks outside what is in flight (DSACK, old ones, lies) say nothing. */
bool recover_sack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s)
{
	uint32_t una = seq_gt(s->ack, c->snd_una) ? s->ack : c->snd_una;
	bool told = false;

	for (unsigned i = 0; i < s->opts.sacks; i++) {
		const struct seg_sack *b = &s->opts.sack[i];

		if (seq_le(b->from, una) || seq_ge(b->from, b->to) || seq_gt(b->to, c->snd_max))
			continue;
		if (reasm_has(&c->sacked, conn_tx_off(c, b->from), conn_tx_off(c, b->to)))
			continue;
		if (reasm_add(&c->sacked, conn_tx_off(c, b->from), conn_tx_off(c, b->to), SACK_RANGES) == 0)
			told = true;
	}
	if (told)
		conn_mark(tcp, c, TODO_SEND);
	return told;
}

uint32_t recover_pipe(const struct tcp_conn *c)
{
	uint64_t edge = lost_edge(c), max = conn_tx_off(c, c->snd_max), again = conn_tx_off(c, c->high_rxt);
	uint64_t pipe = max - edge - reasm_bytes(&c->sacked, edge, max);

	if (again > c->tx_acked)
		pipe += again - c->tx_acked - reasm_bytes(&c->sacked, c->tx_acked, again);
	return (uint32_t)pipe;
}

bool recover_lost(struct tcp_conn *c, uint32_t *seq, uint32_t *len)
{
	uint64_t edge = lost_edge(c), to, off = reasm_hole(&c->sacked, conn_tx_off(c, c->high_rxt), &to);

	if (off >= edge)
		return false;
	*seq = c->iss + 1 + (uint32_t)off;
	*len = to - off < c->mss ? (uint32_t)(to - off) : c->mss;
	c->high_rxt = *seq + *len;
	return true;
}

bool recover_maybe(struct tcp_conn *c, uint32_t *seq, uint32_t *len)
{
	uint64_t to, max = conn_tx_off(c, c->snd_max), off = reasm_hole(&c->sacked, conn_tx_off(c, c->high_rxt), &to);

	if (to == UINT64_MAX) { /* nothing above it was received: the rescue, once, of the highest in flight */
		if ((c->flags & CONN_RESCUED) != 0 || off >= max)
			return false;
		c->flags |= CONN_RESCUED;
		to = max;
		off = max - off > c->mss ? max - c->mss : off;
	} else {
		c->high_rxt = c->iss + 1 + (uint32_t)(to - off < c->mss ? to : off + c->mss);
	}
	*seq = c->iss + 1 + (uint32_t)off;
	*len = to - off < c->mss ? (uint32_t)(to - off) : c->mss;
	return true;
}

/* IsLost() for all at once: what is not SACKed below this offset is lost. */
static uint64_t lost_edge(const struct tcp_conn *c)
{
	uint64_t above = 0;

	for (unsigned i = c->sacked.count; i-- > 0;) {
		above += c->sacked.range[i].to - c->sacked.range[i].from;
		if (c->sacked.count - i >= DUP_THRESH || above > (DUP_THRESH - 1) * (uint64_t)c->mss)
			return c->sacked.range[i].from;
	}
	return c->tx_acked;
}
