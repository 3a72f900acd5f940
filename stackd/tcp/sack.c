/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Selective acknowledgements: RFC 2018, and RFC 2883 for what arrived twice.  Both ways.
 */
#include "stackd/tcp/priv.h"

static bool is_dsack(const struct seg_in *s);
static void put(struct seg_opts *o, uint32_t from, uint32_t to);
static void put_range(const struct tcp_conn *c, struct seg_opts *o, const struct reasm_range *r);
static const struct reasm_range *range_of(const struct tcp_conn *c);

void sack_take(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, struct flight_news *n)
{
	unsigned i = 0;

	if (is_dsack(s)) {
		COUNT(tcp->stats, TCP_DSACK_IN);
		n->dsack = true;
		n->dsack_from = s->opts.sack[0].from;
		n->dsack_to = s->opts.sack[0].to;
		i = 1;
	}
	for (; i < s->opts.sacks && c->flight != NULL; i++) {
		const struct seg_sack *b = &s->opts.sack[i];

		if (seq_ge(b->from, b->to) || seq_gt(b->to, c->snd_nxt)) {
			COUNT(tcp->stats, TCP_SACK_BAD);
			continue;
		}
		if (seq_gt(b->from, c->snd_una))
			(void)flight_sack(c->flight, conn_tx_off(c, b->from), conn_tx_off(c, b->to), SACK_RANGES, n);
	}
}

/* RFC 2883, 4: the first block lies below the acknowledgement, or within the second one. */
static bool is_dsack(const struct seg_in *s)
{
	const struct seg_sack *b = s->opts.sack;

	if (s->opts.sacks == 0 || seq_ge(b[0].from, b[0].to))
		return false;
	if (seq_le(b[0].to, s->ack))
		return true;
	return s->opts.sacks > 1 && seq_ge(b[0].from, b[1].from) && seq_le(b[0].to, b[1].to);
}

/* Received twice: told by the next acknowledgement, once.  What touches is one block. */
void sack_duplicate(struct tcp *tcp, struct tcp_conn *c, uint32_t from, uint32_t to)
{
	if ((c->flags & CONN_SACK) == 0 || from == to)
		return;
	COUNT(tcp->stats, TCP_DSACK_OUT);
	if (c->dsack_from != c->dsack_to && from == c->dsack_to) {
		c->dsack_to = to;
		return;
	}
	c->dsack_from = from;
	c->dsack_to = to;
}

/* RFC 2018, section 4: first the block that grew last, then those that were told before it; before them what was received twice,
 * followed by the block that holds it (RFC 2883, 4). */
void sack_options(const struct tcp_conn *c, struct seg_opts *o, unsigned most)
{
	const struct reasm_range *holder = NULL, *r = NULL;

	if (c->dsack_from != c->dsack_to && most > 0) {
		put(o, c->dsack_from, c->dsack_to);
		holder = range_of(c);
		if (holder != NULL && o->sacks < most)
			put_range(c, o, holder);
	}
	while (o->sacks < most && (r = reasm_grown_before(&c->ooo, r)) != NULL)
		if (r != holder)
			put_range(c, o, r);
}

/* Blocks that fit beside `room` bytes of payload less than a full segment. */
unsigned sack_most(const struct tcp_conn *c, uint32_t room)
{
	unsigned most = (c->flags & CONN_TS) != 0 ? SEG_SACKS - 1 : SEG_SACKS;

	if ((c->flags & CONN_SACK) == 0 || room < 12)
		return 0;
	return (room - 4) / 8 < most ? (room - 4) / 8 : most;
}

static void put(struct seg_opts *o, uint32_t from, uint32_t to)
{
	o->sack[o->sacks++] = (struct seg_sack){ from, to };
}

static void put_range(const struct tcp_conn *c, struct seg_opts *o, const struct reasm_range *r)
{
	put(o, c->irs + 1 + (uint32_t)r->from, c->irs + 1 + (uint32_t)r->to);
}

static const struct reasm_range *range_of(const struct tcp_conn *c)
{
	uint64_t from = conn_rx_off(c, c->dsack_from);

	for (unsigned i = 0; i < c->ooo.count; i++)
		if (from >= c->ooo.range[i].from && from < c->ooo.range[i].to)
			return &c->ooo.range[i];
	return NULL;
}
