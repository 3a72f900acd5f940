/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What scripts look at, what the program and the operator can see; and the options of the engine.
 */
#include "tests/trace/trace.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

bool look_conns(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	(void)e;
	(void)c;
	*got = tcp_conns(r->h.tcp);
	return true;
}

bool look_count(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
#define X(id, name, help) name,
	static const char *const names[CNT_MAX] = { STATS_COUNTERS(X) };
#undef X
	char name[64];

	(void)e;
	if (!take_name(c, name, sizeof(name)))
		return false;
	for (unsigned i = 0; i < CNT_MAX; i++) {
		if (strcmp(names[i], name) == 0) {
			*got = (int64_t)r->h.stats.n[i];
			return true;
		}
	}
	return wrong(r, "no such counter: %s", name);
}

bool look_state(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	struct tcp_conn *conn = end_conn(r, e);
	const char *is = conn != NULL ? tcp_state_name(conn->state) : "CLOSED";
	char name[32];

	(void)got;
	if (!take_name(c, name, sizeof(name)))
		return false;
	return strcmp(is, name) == 0 ? true : wrong(r, "the state is %s, not %s", is, name);
}

/* What TCP_INFO and stackctl tell, and some of what is behind it. */
#define FIELD(name, what) { #name, offsetof(struct tcp_conn, what), sizeof(((struct tcp_conn *)NULL)->what) }
static const struct {
	const char *name;
	size_t off, size;
} fields[] = {
	FIELD(cwnd, cc.cwnd), FIELD(ssthresh, cc.ssthresh), FIELD(srtt, srtt_us), FIELD(rttvar, rttvar_us), FIELD(rto, rto_us),
	FIELD(retrans, retrans), FIELD(mss, mss), FIELD(mtu, mtu), FIELD(rcv_mss, rcv_mss), FIELD(snd_wnd, snd_wnd),
	FIELD(rcvbuf, rcvbuf), FIELD(sndbuf, sndbuf), FIELD(snd_wscale, snd_shift), FIELD(rcv_wscale, rcv_shift),
	FIELD(backoff, rexmits), FIELD(probes, probes), FIELD(tos, tos), FIELD(ttl, ttl),
};
#undef FIELD

static uint64_t value_at(const void *of, size_t off, size_t size)
{
	const uint8_t *p = (const uint8_t *)of + off;
	uint64_t v8;
	uint32_t v4;
	uint16_t v2;

	if (size == 1)
		return *p;
	if (size == 2)
		return memcpy(&v2, p, 2), v2;
	if (size == 4)
		return memcpy(&v4, p, 4), v4;
	return memcpy(&v8, p, 8), v8;
}

static struct sock_info told(const struct run *r, const struct tcp_conn *conn)
{
	struct sock_info i;

	tcp_info(r->h.tcp, conn, &i);
	return i;
}

bool look_info(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	const struct tcp_conn *conn = end_conn(r, e);

	if (conn == NULL)
		return wrong(r, "there is no connection");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (word(c, fields[i].name)) {
			*got = (int64_t)value_at(conn, fields[i].off, fields[i].size);
			return true;
		}
	}
	if (word(c, "flight"))
		*got = conn->snd_max - conn->snd_una;
	else if (word(c, "reordering"))
		*got = told(r, conn).reordering;
	else if (word(c, "unread"))
		*got = (int64_t)(conn->rx_end - conn->rx_done);
	else if (word(c, "unacked"))
		*got = (int64_t)(conn->tx_end - conn->tx_acked);
	else
		return false;
	return true;
}

/* What TCP_INFO tells: "tcp_info FIELD", by Linux's names without "tcpi_" and in its units; alone: the state. */
#define TOLD(name) { #name, offsetof(struct sock_info, name), sizeof(((struct sock_info *)NULL)->name) }
static const struct {
	const char *name;
	size_t off, size;
} told_fields[] = {
	TOLD(state), TOLD(ca_state), TOLD(retransmits), TOLD(probes), TOLD(backoff), TOLD(options), TOLD(wscales), TOLD(rto), TOLD(ato),
	TOLD(snd_mss), TOLD(rcv_mss), TOLD(unacked), TOLD(sacked), TOLD(lost), TOLD(retrans), TOLD(last_data_sent),
	TOLD(last_data_recv), TOLD(last_ack_recv), TOLD(pmtu), TOLD(rtt), TOLD(rttvar), TOLD(snd_ssthresh), TOLD(snd_cwnd),
	TOLD(advmss), TOLD(reordering), TOLD(total_retrans), TOLD(bytes_acked), TOLD(bytes_received), TOLD(segs_out),
	TOLD(segs_in), TOLD(notsent_bytes), TOLD(min_rtt),
};
#undef TOLD

bool look_tcp_info(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	struct sock_info i = { .state = 0 };

	if (e->prog != NULL)
		i = told(r, e->prog->conn);
	*got = i.state;
	for (size_t n = 0; n < sizeof(told_fields) / sizeof(told_fields[0]); n++)
		if (word(c, told_fields[n].name))
			*got = (int64_t)value_at(&i, told_fields[n].off, told_fields[n].size);
	if (e->prog == NULL)
		*got = -EBADF;
	return true;
}

/* What epoll_wait would tell. */
bool look_epoll(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	struct prog *p = e->prog;
	uint32_t flags = p != NULL ? p->conn->flags : 0;
	bool closed, shut_wr = (flags & CONN_FIN_QUEUED) != 0, end;
	struct tcp_view v;

	(void)c;
	*got = -EBADF;
	if (p == NULL)
		return true;
	tcp_view(r->h.tcp, p->conn, &v);
	closed = v.closed || v.state == TCP_CLOSED;
	end = v.fin || closed || (flags & CONN_RX_SHUT) != 0;
	*got = 0;
	if (!v.connected && v.state != TCP_CLOSED)
		return true;
	*got |= v.rx_end > p->rx_pos || end ? EPOLLIN : 0;
	*got |= closed || shut_wr || p->tx_end - v.tx_acked < v.tx_limit ? EPOLLOUT : 0;
	*got |= end ? EPOLLRDHUP : 0;
	*got |= closed || (end && shut_wr) ? EPOLLHUP : 0;
	*got |= p->err != 0 ? EPOLLERR : 0;
	return true;
}

/* --- Options of the engine -------------------------------------------------------------------------------------------- */

#define OPTION(name) { #name, offsetof(struct tcp_conf, name), sizeof(((struct tcp_conf *)NULL)->name) }
static const struct {
	const char *name;
	size_t off, size;
} options[] = {
	OPTION(max_conns), OPTION(syn_queue), OPTION(time_wait_ms), OPTION(rto_min_ms), OPTION(rto_max_ms), OPTION(rto_initial_ms),
	OPTION(delack_ms), OPTION(quick_acks), OPTION(syn_retries), OPTION(syn_ack_retries), OPTION(data_retries), OPTION(orphan_retries),
	OPTION(fin_wait2_ms), OPTION(keepidle_s), OPTION(keepintvl_s), OPTION(keepcnt), OPTION(rcvbuf_max),
	OPTION(rcvbuf_initial), OPTION(sndbuf_max), OPTION(sndbuf_initial), OPTION(initial_cwnd), OPTION(congestion),
	OPTION(timestamps), OPTION(sack), OPTION(window_scaling), OPTION(syn_cookies),
	OPTION(ecn), OPTION(mtu_probing), OPTION(max_orphans), OPTION(challenge_limit), OPTION(mtu_raise_s),
};
#undef OPTION

/* "option NAME VALUE": of struct tcp_conf. */
bool option_set(struct run *r, struct cursor *c)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		int64_t v;

		if (!word(c, options[i].name))
			continue;
		if (!take_number(c, &v))
			return wrong(r, "a number is wanted");
		if (options[i].size == 1)
			*((uint8_t *)&r->conf + options[i].off) = (uint8_t)v;
		else
			memcpy((uint8_t *)&r->conf + options[i].off, &(uint32_t){ (uint32_t)v }, 4);
		return at_end(c) ? true : wrong(r, "not understood: %s", c->at);
	}
	return wrong(r, "no such option: %s", c->at);
}
