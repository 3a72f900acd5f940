/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a program is told of its connection by TCP_INFO, and operators by stackctl flows.
 */
#include "shm/stat.h"
#include "stackd/tcp/priv.h"

enum { CA_OPEN, CA_DISORDER, CA_CWR, CA_RECOVERY, CA_LOSS };           /* Linux's tcpi_ca_state */
enum { REORDERING = 3, SSTHRESH_NONE = 0x7fffffff };

static uint8_t ca_state(const struct tcp_conn *c);
static uint8_t options(const struct tcp_conn *c);
static void in_flight(const struct flight *f, bool repairs, struct sock_info *i);
static void in_handshake(const struct tcp *tcp, const struct tcp_conn *c, struct sock_info *i);
static uint8_t backoff(const struct tcp *tcp, const struct tcp_conn *c);
static uint32_t advertised(const struct tcp_conn *c);
static uint32_t ms_since(const struct tcp *tcp, uint64_t at_us);

void tcp_info(const struct tcp *tcp, const struct tcp_conn *c, struct sock_info *i)
{
	/* RFC 9293's states by the numbers of Linux */
	static const uint8_t state[TCP_STATES] = { 7, 10, 2, 3, 1, 4, 5, 8, 11, 9, 6 };
	uint32_t mss = c->mss > 0 ? c->mss : 1;

	*i = (struct sock_info){
		.state = state[c->state],
		.ca_state = ca_state(c),
		.retransmits = (c->flags & CONN_PERSIST) != 0 ? 0 : c->rexmits,
		.probes = c->probes,
		.backoff = backoff(tcp, c),
		.options = options(c),
		.wscales = (uint8_t)((c->flags & CONN_WS) != 0 ? c->snd_shift | c->rcv_shift << 4 : 0),
		.rto = c->rto_us,
		.ato = c->text_us != 0 ? tcp->conf.delack_ms * 1000 : 0,
		.snd_mss = c->mss,
		.rcv_mss = c->rcv_mss,
		.last_data_sent = ms_since(tcp, c->sent_us),
		.last_data_recv = ms_since(tcp, c->text_us),
		.last_ack_recv = ms_since(tcp, c->heard_us),
		.pmtu = c->mtu,
		.rcv_ssthresh = c->rcvbuf,
		.rtt = c->srtt_us,
		.rttvar = c->rttvar_us,
		.snd_ssthresh = c->cc.ssthresh < SSTHRESH_NONE ? c->cc.ssthresh / mss : SSTHRESH_NONE,
		.snd_cwnd = c->cc.cwnd / mss,
		.advmss = advertised(c),
		.reordering = c->reo_segs != 0 ? c->reo_segs : REORDERING,
		.rcv_rtt = c->tune_rtt_us,
		.rcv_space = c->tune_space,
		.total_retrans = c->retrans,
		.pacing_rate = UINT64_MAX, /* none */
		.max_pacing_rate = UINT64_MAX,
		.bytes_acked = c->tx_acked,
		.bytes_received = c->rx_end,
		.segs_out = c->segs_out,
		.segs_in = c->segs_in,
		.notsent_bytes = c->state == TCP_CLOSED ? 0 : conn_unsent(c),
		.min_rtt = c->min_rtt_us,
	};
	if (c->flight != NULL)
		in_flight(c->flight, (c->flags & (CONN_RECOVERY | CONN_LOSS)) != 0, i);
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD)
		in_handshake(tcp, c, i);
}

/* What comes with the connection is not there yet. */
static void in_handshake(const struct tcp *tcp, const struct tcp_conn *c, struct sock_info *i)
{
	i->snd_cwnd = c->rexmits > 1 ? 1 : tcp->conf.initial_cwnd;
	i->snd_ssthresh = SSTHRESH_NONE;
	i->unacked = 1;
	i->lost = i->retrans = c->rexmits > 0;
	i->ca_state = c->rexmits > 0 ? CA_LOSS : CA_OPEN;
}

/* How often the timeout has doubled, and no sample has come since (Karn). */
static uint8_t backoff(const struct tcp *tcp, const struct tcp_conn *c)
{
	uint8_t n = 0;

	for (uint64_t rto_us = ack_rto_of(tcp, c); rto_us < c->rto_us && n < UINT8_MAX; rto_us *= 2)
		n++;
	return n;
}

/* The MSS of our SYN, as open_syn_options() has it, less what timestamps take. */
static uint32_t advertised(const struct tcp_conn *c)
{
	uint32_t mtu = c->mtu_max > 0 ? c->mtu_max : c->mtu, mss = mtu - net_ip_len(&c->peer) - SEG_HDR;

	mss = c->mss_max != 0 && c->mss_max < mss ? c->mss_max : mss;
	return mss - ((c->flags & CONN_TS) != 0 ? SEG_TS_LEN : 0);
}

void tcp_conn_figures(const struct tcp_conn *c, struct stat_flow *r)
{
	bool open = c->state != TCP_CLOSED && c->state != TCP_TIME_WAIT;

	r->rx_bytes = c->rx_end;
	r->tx_bytes = c->tx_acked;
	r->srtt_us = c->srtt_us;
	r->cwnd = c->cc.cwnd;
	r->retrans = c->retrans;
	r->mss = c->mss;
	r->rx_queued = (uint32_t)(c->rx_end - c->rx_done);
	r->tx_queued = (uint32_t)(c->tx_end - c->tx_acked);
	r->rto_us = c->rto_us;
	r->ssthresh = c->cc.ssthresh < SSTHRESH_NONE ? c->cc.ssthresh : 0;
	r->in_flight = flight_pipe(c->flight);
	r->snd_wnd = c->snd_wnd;
	r->rcv_wnd = open && seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
	r->timeouts = c->rexmits;
	r->pmtu = c->mtu;
	r->options = options(c); /* the same bits */
	r->cc = c->cc.name;
}

static uint8_t ca_state(const struct tcp_conn *c)
{
	if ((c->flags & CONN_LOSS) != 0)
		return CA_LOSS;
	if ((c->flags & CONN_RECOVERY) != 0)
		return CA_RECOVERY;
	if ((c->ecn & ECN_WAIT) != 0)
		return CA_CWR;
	return c->dup_acks_in > 0 || (c->flight != NULL && c->flight->sacked > 0) ? CA_DISORDER : CA_OPEN;
}

/* Numbered as tcpi_options are. */
static uint8_t options(const struct tcp_conn *c)
{
	return (uint8_t)(((c->flags & CONN_TS) != 0 ? STAT_TS : 0) | ((c->flags & CONN_SACK) != 0 ? STAT_SACK : 0) |
	                 ((c->flags & CONN_WS) != 0 ? STAT_WS : 0) | ((c->ecn & ECN_OK) != 0 ? STAT_ECN : 0));
}

static void in_flight(const struct flight *f, bool repairs, struct sock_info *i)
{
	/* as in Linux, what was sent again counts as lost until it arrives, too */
	i->unacked = f->tail - f->head;
	i->sacked = f->sacked;
	for (uint32_t no = f->head; no != f->tail; no++) {
		unsigned marks = flight_at(f, no)->marks;

		i->lost += (marks & FLIGHT_LOST) != 0 || (repairs && (marks & (FLIGHT_AGAIN | FLIGHT_SACKED)) == FLIGHT_AGAIN);
		i->retrans += (marks & (FLIGHT_AGAIN | FLIGHT_LOST | FLIGHT_SACKED)) == FLIGHT_AGAIN;
	}
}

static uint32_t ms_since(const struct tcp *tcp, uint64_t at_us)
{
	return at_us == 0 ? 0 : (uint32_t)((tcp->now_us - at_us) / 1000);
}
