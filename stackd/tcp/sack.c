/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Selective acknowledgements: RFC 2018, and RFC 2883 for what arrived twice.  Both ways.
 */
#include <stdlib.h>

#include "stackd/tcp/priv.h"

enum { DUPS_MAX = 32 };

/* Segments received twice in one turn, oldest first.  There is none but then. */
struct sack_dups {
	unsigned head, count;
	struct seg_sack at[DUPS_MAX];
};

static bool is_dsack(const struct seg_in *s);
static bool fin_waits(const struct tcp_conn *c);
static void put_range(const struct tcp_conn *c, struct seg_opts *o, const struct reasm_range *r);
static const struct reasm_range *range_of(const struct tcp_conn *c, uint32_t seq);

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

/* Received twice: each is told by an acknowledgement of its own, once.  Of too many in one turn the last is told. */
void sack_duplicate(struct tcp *tcp, struct tcp_conn *c, uint32_t from, uint32_t to)
{
	if ((c->flags & CONN_SACK) == 0 || from == to)
		return;
	if (c->dups == NULL)
		c->dups = calloc(1, sizeof(*c->dups));
	if (c->dups == NULL)
		return;
	COUNT(tcp->stats, TCP_DSACK_OUT);
	if (c->dups->head + c->dups->count == DUPS_MAX)
		c->dups->count--;
	c->dups->at[c->dups->head + c->dups->count++] = (struct seg_sack){ from, to };
}

unsigned sack_duplicates(const struct tcp_conn *c)
{
	return c->dups != NULL ? c->dups->count : 0;
}

void sack_told(struct tcp_conn *c)
{
	if (c->dups == NULL)
		return;
	c->dups->head++;
	if (--c->dups->count == 0)
		sack_forget(c);
}

void sack_forget(struct tcp_conn *c)
{
	free(c->dups);
	c->dups = NULL;
}

/* RFC 2018, section 4: first the block that grew last, then those that were told before it; before them what was received twice,
 * followed by the block that holds it (RFC 2883, 4). */
void sack_options(const struct tcp_conn *c, struct seg_opts *o, unsigned most)
{
	const struct reasm_range *holder = NULL, *r = NULL;

	if (c->dups != NULL && most > 0) {
		o->sack[o->sacks++] = c->dups->at[c->dups->head];
		holder = range_of(c, c->dups->at[c->dups->head].from);
		if (holder != NULL && o->sacks < most)
			put_range(c, o, holder);
	}
	while (o->sacks < most && (r = reasm_grown_before(&c->ooo, r)) != NULL)
		if (r != holder)
			put_range(c, o, r);
	if (o->sacks < most && fin_waits(c) && (c->ooo.count == 0 || c->ooo.range[c->ooo.count - 1].to < c->rx_fin))
		o->sack[o->sacks++] = (struct seg_sack){ c->irs + 1 + (uint32_t)c->rx_fin, c->irs + 2 + (uint32_t)c->rx_fin };
}

/* The peer's FIN is here before its turn: its number, too, need not be sent again. */
static bool fin_waits(const struct tcp_conn *c)
{
	return (c->flags & (CONN_FIN_SEEN | CONN_RX_FIN)) == CONN_FIN_SEEN;
}

/* Blocks that fit beside `room` bytes of payload less than a full segment. */
unsigned sack_most(const struct tcp_conn *c, uint32_t room)
{
	unsigned most = (c->flags & CONN_TS) != 0 ? SEG_SACKS - 1 : SEG_SACKS;

	if ((c->flags & CONN_SACK) == 0 || room < 12)
		return 0;
	return (room - 4) / 8 < most ? (room - 4) / 8 : most;
}

static void put_range(const struct tcp_conn *c, struct seg_opts *o, const struct reasm_range *r)
{
	bool fin = fin_waits(c) && r->to == c->rx_fin;

	o->sack[o->sacks++] = (struct seg_sack){ c->irs + 1 + (uint32_t)r->from, c->irs + 1 + (uint32_t)r->to + fin };
}

static const struct reasm_range *range_of(const struct tcp_conn *c, uint32_t seq)
{
	uint64_t from = conn_rx_off(c, seq);

	for (unsigned i = 0; i < c->ooo.count; i++)
		if (from >= c->ooo.range[i].from && from < c->ooo.range[i].to)
			return &c->ooo.range[i];
	return NULL;
}
