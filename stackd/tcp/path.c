/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The MTU of a connection's path: what routers say of it (RFC 1191, believed as RFC 5927 has it), what it means when they say nothing
 * and only large segments vanish (a black hole; RFC 4821), and the way up again: one larger segment is risked, and once it has
 * arrived the others follow (RFC 4821, section 7).  Our packets say "don't fragment", unless their program says otherwise (IP_MTU_DISCOVER).
 */
#include "stackd/tcp/priv.h"

enum {
	BLACK_HOLE_TIMEOUTS = 3, /* in a row */
	BASE_MTU = 1064,         /* PATH_ALWAYS begins here: RFC 4821 7.2's 1024 bytes of payload */
	SOON = 20,               /* the first look whether a black hole is gone comes so much earlier than later ones */
};

static const uint16_t steps[] = { 4352, 1492, 1280, 1024, 576, MTU_MIN };

static struct dest *known_less(struct tcp *tcp, const struct tcp_conn *c);
static void believe(struct tcp *tcp, struct tcp_conn *c, uint16_t mtu);
static void lower(struct tcp *tcp, struct tcp_conn *c, uint16_t mtu, uint32_t wait_s);
static uint16_t at_least(const struct tcp_conn *c, uint16_t mtu);
static uint16_t plateau(uint16_t mtu);
static uint16_t step_down(uint16_t mtu);
static uint16_t step_up(const struct tcp_conn *c);
static uint32_t clock_s(const struct tcp *tcp);

void path_open(struct tcp *tcp, struct tcp_conn *c)
{
	const struct dest *known = known_less(tcp, c);

	c->mtu_max = c->mtu;
	if (known != NULL && option_takes_mtu(c)) {
		COUNT(tcp->stats, TCP_MTU_KNOWN);
		c->mtu = known->mtu;
		c->mtu_raise_s = known->until_s;
		conn_set_mss(c);
	}
	if (tcp->conf.mtu_probing != PATH_ALWAYS || c->mtu <= at_least(c, BASE_MTU))
		return;
	c->mtu = at_least(c, BASE_MTU);
	c->mtu_raise_s = clock_s(tcp);
	conn_set_mss(c);
}

/* RFC 5927, 7.2: packets of this size have come through, so the message may be forged: it counts if the segment it names is not
 * acknowledged before the next timeout. */
void path_too_big(struct tcp *tcp, struct tcp_conn *c, uint32_t seq, uint16_t mtu)
{
	if (mtu == 0)
		mtu = plateau(c->mtu);
	mtu = at_least(c, mtu);
	if (mtu >= c->mtu || !conn_synchronized(c) || !option_takes_mtu(c)) {
		COUNT(tcp->stats, TCP_ICMP_IGNORED);
		return;
	}
	if (c->mtu_acked <= mtu) {
		believe(tcp, c, mtu);
		return;
	}
	COUNT(tcp->stats, TCP_ICMP_DEFERRED);
	if (c->mtu_said != 0 && c->mtu_said < mtu)
		return;
	c->mtu_said = mtu;
	c->mtu_said_seq = seq;
}

/* snd_una has moved over segments of at most `longest` bytes. */
void path_acked(struct tcp *tcp, struct tcp_conn *c, uint32_t longest)
{
	uint32_t size = longest + conn_overhead(c);
	struct dest *known;

	if (size > c->mtu_acked)
		c->mtu_acked = (uint16_t)(size < c->mtu ? size : c->mtu);
	if (c->mtu_said != 0 && seq_gt(c->snd_una, c->mtu_said_seq)) {
		c->mtu_said = 0;
		COUNT(tcp->stats, TCP_ICMP_IGNORED);
	}
	if (c->mtu_probe == 0 || seq_lt(c->snd_una, c->mtu_probe_end))
		return;
	COUNT(tcp->stats, TCP_MTU_RAISED);
	c->mtu = c->mtu_acked = c->mtu_probe;
	c->mtu_probe = 0;
	c->mtu_raise_s = clock_s(tcp); /* and on */
	conn_set_mss(c);
	known = known_less(tcp, c);
	if (known != NULL)
		known->mtu = c->mtu;
}

/* The retransmission timer has run out. */
void path_timeout(struct tcp *tcp, struct tcp_conn *c)
{
	uint16_t next = at_least(c, step_down(c->mtu));
	const struct flight *f = c->flight;
	const struct dest *known;

	if (c->mtu_said != 0) {
		believe(tcp, c, c->mtu_said);
		return;
	}
	known = known_less(tcp, c);
	if (known != NULL && option_takes_mtu(c)) { /* a router told another connection */
		COUNT(tcp->stats, TCP_MTU_KNOWN);
		lower(tcp, c, known->mtu, known->until_s - clock_s(tcp));
		return;
	}
	if (tcp->conf.mtu_probing == PATH_OFF || c->rexmits < BLACK_HOLE_TIMEOUTS || next >= c->mtu || f == NULL ||
	    f->head == f->tail || flight_at(f, f->head)->len <= conn_mss_of(c, next))
		return;
	COUNT(tcp->stats, TCP_BLACK_HOLE);
	lower(tcp, c, next, tcp->conf.mtu_raise_s / SOON);
}

/* The length of the next new segment, which would be `len`: more, if one is to be risked.  room: what the windows allow. */
uint32_t path_probe(struct tcp *tcp, struct tcp_conn *c, uint32_t len, uint32_t room)
{
	bool quiet = (c->flags & (CONN_RECOVERY | CONN_LOSS)) == 0 && c->rexmits == 0 && c->dup_acks_in == 0;
	uint32_t more;

	if (c->mtu >= c->mtu_max || c->mtu_probe != 0 || !quiet || len != c->mss ||
	    (int32_t)(clock_s(tcp) - c->mtu_raise_s) < 0)
		return len;
	more = conn_mss_of(c, step_up(c));
	/* what follows it shows whether it was lost */
	return more > len && room >= more + len && conn_data_end(c) - c->snd_nxt > more + len ? more : len;
}

void path_probing(struct tcp *tcp, struct tcp_conn *c, uint32_t end)
{
	COUNT(tcp->stats, TCP_MTU_PROBE);
	c->mtu_probe = step_up(c);
	c->mtu_probe_end = end;
}

/* RFC 4821, 7.6.2: one that is lost while all else arrives says that it was too large, and nothing of congestion. */
bool path_probe_lost(struct tcp *tcp, struct tcp_conn *c)
{
	const struct flight *f = c->flight;
	const struct flight_seg *s = flight_at(f, f->head);

	if (c->mtu_probe == 0 || conn_tx_off(c, c->mtu_probe_end) != s->from + s->len ||
	    (s->marks & (FLIGHT_LOST | FLIGHT_AGAIN)) != FLIGHT_LOST || f->lost_bytes != s->len)
		return false;
	COUNT(tcp->stats, TCP_MTU_PROBE_LOST);
	return path_cut(tcp, c);
}

bool path_cut(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->mtu_probe == 0)
		return false;
	c->mtu_probe = 0;
	c->mtu_raise_s = clock_s(tcp) + tcp->conf.mtu_raise_s;
	return true;
}

/* What is known of the destination, where that is less than what c uses; NULL: nothing. */
static struct dest *known_less(struct tcp *tcp, const struct tcp_conn *c)
{
	struct dest *known = dest_find(&tcp->dests, &tcp->secret, &c->peer, clock_s(tcp));

	return known != NULL && known->mtu < c->mtu ? known : NULL;
}

/* What a router said.  The next connections to this destination begin with it (RFC 1191, 6.3; 10 minutes, as it recommends). */
static void believe(struct tcp *tcp, struct tcp_conn *c, uint16_t mtu)
{
	uint32_t now_s = clock_s(tcp);

	lower(tcp, c, mtu, tcp->conf.mtu_raise_s);
	dest_note(&tcp->dests, &tcp->secret, &c->peer, mtu, now_s, now_s + tcp->conf.mtu_raise_s);
}

static void lower(struct tcp *tcp, struct tcp_conn *c, uint16_t mtu, uint32_t wait_s)
{
	COUNT(tcp->stats, TCP_MTU_LOWERED);
	c->mtu = mtu;
	c->mtu_acked = c->mtu_acked < mtu ? c->mtu_acked : mtu;
	c->mtu_said = c->mtu_probe = 0;
	c->mtu_raise_s = clock_s(tcp) + wait_s;
	conn_set_mss(c);
	(void)recover_cut(tcp, c); /* without memory, when the first of them is sent again */
}

static uint16_t at_least(const struct tcp_conn *c, uint16_t mtu)
{
	uint16_t least = net_mtu_min(&c->peer); /* RFC 8201, 4 */

	least = least > MTU_MIN ? least : MTU_MIN;
	return mtu > least ? mtu : least;
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

/* At least an eighth less: a timeout each is dear. */
static uint16_t step_down(uint16_t mtu)
{
	unsigned i = 0;

	while (i + 1 < sizeof(steps) / sizeof(steps[0]) && steps[i] > mtu - mtu / 8)
		i++;
	return steps[i];
}

static uint16_t step_up(const struct tcp_conn *c)
{
	uint16_t next = c->mtu_max;

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]) && steps[i] > c->mtu; i++)
		if (steps[i] < c->mtu_max)
			next = steps[i];
	return next;
}

static uint32_t clock_s(const struct tcp *tcp)
{
	return (uint32_t)(tcp->now_us / 1000000);
}
