/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options of connections, and what a listener hands down: tcp(7), from the SYN-ACK on.
 */
#include <errno.h>
#include <netinet/in.h>

#include "shm/stat.h"
#include "tests/unit/tcp_trace.h"

static void drain(void)
{
	while (T.h.net.queued > 0)
		nic_free(host_sent(&T.h));
}

static void opt(uint32_t name, uint64_t value)
{
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, name, value), 0);
}

static void listening_with(uint32_t name, uint32_t value, host_tweak tweak)
{
	uint32_t v[OPT_MAX] = { 0 };

	trace_begin(tweak);
	host_listen(&T.h, SERVER_PORT, 10);
	v[name] = value;
	listen_options(T.h.listener, 1u << name, v);
}

/* --- What a listener hands down */
START_TEST(test_listener_maxseg)
{
	listening_with(OPT_MAXSEG, 900, NULL);
	send(S, .mss = 1460);
	expect(S | A, .mss = 900);
	send(A, .seq = 1, .ack = 1);
	put(2000);
	expect(A, .len = 900);
	drain();
	trace_end();
}
END_TEST

static void no_queue(struct tcp_conf *c)
{
	c->syn_queue = 0;
}

/* A cookie says what a connection would have said. */
START_TEST(test_listener_maxseg_cookie)
{
	listening_with(OPT_MAXSEG, 900, no_queue);
	send(S, .mss = 1460);
	expect(S | A, .mss = 900);
	ck_assert_uint_eq(counted(TCP_SYN_COOKIE_OUT), 1);
	send(A, .seq = 1, .ack = 1);
	ck_assert_ptr_nonnull(T.c);
	ck_assert_uint_eq(view().mss, 900);
	trace_end();
}
END_TEST

static void ip_of_syn_ack(uint8_t ttl, uint8_t tos)
{
	struct pkt *p = host_sent(&T.h);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p->tcp.flags, S | A);
	ck_assert_uint_eq(p->data[p->l3_off + 8], ttl);
	ck_assert_uint_eq(p->data[p->l3_off + 1], tos);
	nic_free(p);
}

START_TEST(test_listener_ip)
{
	uint32_t v[OPT_MAX] = { [OPT_TTL] = 7, [OPT_TOS] = 0x10 };

	trace_begin(_i == 0 ? NULL : no_queue);
	host_listen(&T.h, SERVER_PORT, 10);
	listen_options(T.h.listener, 1u << OPT_TTL | 1u << OPT_TOS, v);
	send(S, .mss = 1460);
	ip_of_syn_ack(7, 0x10);
	trace_end();
}
END_TEST

START_TEST(test_listener_rcvbuf)
{
	listening_with(OPT_RCVBUF, 8000, NULL);
	send(S, .mss = 1460);
	expect(S | A, .wnd = 8000);
	send(A, .seq = 1, .ack = 1);
	trace_end();
}
END_TEST

START_TEST(test_listener_congestion)
{
	listening_with(OPT_CONGESTION, CC_RENO, NULL);
	send(S, .mss = 1460);
	expect(S | A);
	send(A, .seq = 1, .ack = 1);
	ck_assert_uint_eq(T.conn->cc.name, CC_RENO);
	trace_end();
}
END_TEST

/* Nonsense in a listener's options is passed over, one by one; the handshake goes on. */
START_TEST(test_listener_nonsense)
{
	uint32_t v[OPT_MAX];

	trace_begin(_i == 0 ? NULL : no_queue);
	host_listen(&T.h, SERVER_PORT, 10);
	for (unsigned i = 0; i < OPT_MAX; i++)
		v[i] = UINT32_MAX;
	v[OPT_DEFER_ACCEPT] = 0;
	listen_options(T.h.listener, UINT32_MAX, v);
	send(S, .mss = 1460);
	expect(S | A, .mss = 1460);
	send(A, .seq = 1, .ack = 1);
	ck_assert_ptr_nonnull(T.c);
	expect_state(TCP_ESTABLISHED);
	trace_end();
}
END_TEST

/* --- TCP_DEFER_ACCEPT */
START_TEST(test_defer_accept)
{
	listening_with(OPT_DEFER_ACCEPT, 7, NULL);
	send(S, .mss = 1460);
	expect(S | A);
	send(A, .seq = 1, .ack = 1);
	ck_assert_uint_eq(T.h.accepts, 0);
	ck_assert_uint_eq(counted(TCP_DEFERRED), 1);
	tick(6000);
	expect_none(); /* its ACK has come: the SYN-ACK is not repeated */
	send(A, .seq = 1, .ack = 1, .len = 10);
	ck_assert_uint_eq(T.h.accepts, 1);
	ck_assert_uint_eq(view().rx_end, 10);
	trace_end();
}
END_TEST

/* Silence does not keep it for ever: when the time is over the SYN-ACK brings the ACK again, and that one counts. */
START_TEST(test_defer_accept_in_vain)
{
	listening_with(OPT_DEFER_ACCEPT, 7, NULL);
	send(S, .mss = 1460);
	expect(S | A);
	send(A, .seq = 1, .ack = 1);
	tick(7100);
	expect(S | A, .seq = 0, .ack = 1);
	send(A, .seq = 1, .ack = 1);
	ck_assert_uint_eq(T.h.accepts, 1);
	expect_state(TCP_ESTABLISHED);
	trace_end();
}
END_TEST

/* Gone without a word: the half-open connection ends, and the peer is told. */
START_TEST(test_defer_accept_ends)
{
	listening_with(OPT_DEFER_ACCEPT, 1, NULL);
	send(S, .mss = 1460);
	expect(S | A);
	send(A, .seq = 1, .ack = 1);
	tick(3600 * 1000);
	for (unsigned i = 0; i < T.h.conf.syn_ack_retries; i++)
		expect(S | A);
	expect(R | A);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	trace_end();
}
END_TEST

/* --- TCP_SYNCNT */
START_TEST(test_syncnt)
{
	connecting();
	opt(OPT_SYNCNT, 2);
	tick(1000);
	expect(S);
	tick(2000);
	expect(S);
	expect_state(TCP_SYN_SENT);
	tick(4100);
	expect_none();
	expect_state(TCP_CLOSED);
	ck_assert_int_eq(T.c->err, ETIMEDOUT);
	trace_end();
}
END_TEST

/* --- TCP_LINGER2 */
static void into_fin_wait_2(uint64_t linger2)
{
	established();
	opt(OPT_LINGER2, linger2);
	close_(-1);
	expect(F | A, .seq = 1, .ack = 1);
	send(A, .seq = 1, .ack = 2);
}

START_TEST(test_linger2)
{
	into_fin_wait_2(5);
	expect_state(TCP_FIN_WAIT_2);
	tick(4900);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 1);
	tick(200);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	T.conn = NULL;
	trace_end();
}
END_TEST

START_TEST(test_linger2_none)
{
	into_fin_wait_2((uint32_t)-1);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	send(A, .sport = PEER_PORT, .seq = 1, .ack = 2, .len = 10); /* too late */
	expect(R);
	T.conn = NULL;
	trace_end();
}
END_TEST

/* ... also when the FIN was acknowledged before the program let go. */
START_TEST(test_linger2_none_late)
{
	in_state(TCP_FIN_WAIT_2);
	opt(OPT_LINGER2, (uint32_t)-1);
	close_(-1);
	ck_assert_uint_eq(tcp_conns(T.h.tcp), 0);
	ck_assert_uint_eq(T.h.tcp->orphans, 0);
	T.conn = NULL;
	trace_end();
}
END_TEST

/* --- TCP_WINDOW_CLAMP: no more is offered, and what was offered is not taken back. */
START_TEST(test_window_clamp)
{
	established();
	opt(OPT_WINDOW_CLAMP, 5000);
	for (unsigned i = 0; i < 50; i++) {
		send(A, .seq = 1 + i * 1460, .ack = 1, .len = 1460);
		take(1460);
	}
	drain();
	ck_assert_uint_le(T.conn->rcv_adv - T.conn->rcv_nxt, 5000);
	trace_end();
}
END_TEST

/* What was offered before the clamp holds: the right edge does not move back (RFC 9293, 3.8.6). */
START_TEST(test_window_clamp_keeps_its_word)
{
	uint32_t edge;

	established();
	edge = T.conn->rcv_adv;
	opt(OPT_WINDOW_CLAMP, 2000);
	send(A, .seq = 1, .ack = 1, .len = 1460);
	send(A, .seq = 1461, .ack = 1, .len = 1460);
	expect(A, .ack = 2921);
	ck_assert_uint_eq(T.conn->rcv_adv, edge);
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_WINDOW_CLAMP, 0), -EINVAL);
	trace_end();
}
END_TEST

/* --- What is unsent */

/* Its program is told when less than it wants to keep in the queue is left unsent, though nothing is acknowledged. */
START_TEST(test_notsent_lowat)
{
	unsigned notes;

	established();
	opt(OPT_NOTSENT_LOWAT, 15000);
	settle();
	send(A, .seq = 1, .ack = 1, .wnd = 5 * 1460);
	put(20 * 1460);
	drain();
	ck_assert_uint_eq(view().tx_sent, 5 * 1460);
	notes = T.c->notes;
	send(A, .seq = 1, .ack = 1, .wnd = 8 * 1460);
	drain();
	ck_assert_uint_eq(T.c->notes, notes); /* 17520 are left */
	send(A, .seq = 1, .ack = 1, .wnd = 65535);
	drain();
	ck_assert_uint_eq(T.c->notes, notes + 1);
	ck_assert_uint_eq(view().tx_sent, 10 * 1460); /* the initial window */
	trace_end();
}
END_TEST

/* --- Don't fragment */

static uint8_t df_of_next(void)
{
	struct pkt *p = host_sent(&T.h);
	uint8_t frag;

	ck_assert_ptr_nonnull(p);
	frag = p->data[p->l3_off + 6];
	nic_free(p);
	return frag;
}

/* ip(7), IP_MTU_DISCOVER: who has DF, and who believes what routers say. */
START_TEST(test_mtu_discover)
{
	static const struct {
		bool df, believes;
	} is[] = { [IP_PMTUDISC_DONT] = { false, false }, [IP_PMTUDISC_WANT] = { true, true }, [IP_PMTUDISC_DO] = { true, true },
		   [IP_PMTUDISC_PROBE] = { true, false }, [IP_PMTUDISC_INTERFACE] = { false, false },
		   [IP_PMTUDISC_OMIT] = { false, false } };

	established();
	opt(OPT_MTU_DISCOVER, (uint64_t)_i);
	put(1460);
	ck_assert_uint_eq(df_of_next(), is[_i].df ? 0x40 : 0);
	icmp_too_big(1, 1000);
	ck_assert_uint_eq(view().mss, is[_i].believes ? 960 : 1460);
	drain();
	ck_assert_int_eq(tcp_setopt(T.h.tcp, T.conn, OPT_MTU_DISCOVER, IP_PMTUDISC_OMIT + 1), -EINVAL);
	trace_end();
}
END_TEST

/* A listener's counts from the SYN-ACK on, cookies included. */
START_TEST(test_listener_mtu_discover)
{
	listening_with(OPT_MTU_DISCOVER, IP_PMTUDISC_DONT, _i == 0 ? NULL : no_queue);
	send(S, .mss = 1460);
	ck_assert_uint_eq(df_of_next(), 0);
	send(A, .seq = 1, .ack = 1);
	trace_end();
}
END_TEST

START_TEST(test_df_is_the_default)
{
	trace_begin(_i == 0 ? NULL : no_queue);
	host_listen(&T.h, SERVER_PORT, 10);
	send(S, .mss = 1460);
	ck_assert_uint_eq(df_of_next(), 0x40);
	trace_end();
}
END_TEST

/* --- TCP_INFO */
START_TEST(test_info)
{
	struct sock_info i;

	established();
	put(10);
	expect(A | P, .len = 10);
	tick(20);
	send(A, .seq = 1, .ack = 11, .len = 100);
	put(5000);
	drain();
	tick(5);
	tcp_info(T.h.tcp, T.conn, &i);
	ck_assert_uint_eq(i.state, 1);
	ck_assert_uint_eq(i.ca_state, 0);
	ck_assert_uint_eq(i.options, 0);
	ck_assert_uint_eq(i.snd_mss, 1460);
	ck_assert_uint_eq(i.advmss, 1460);
	ck_assert_uint_eq(i.pmtu, 1500);
	ck_assert_uint_eq(i.snd_cwnd, 10);
	ck_assert_uint_eq(i.snd_ssthresh, 0x7fffffff);
	ck_assert_uint_eq(i.rtt, T.conn->srtt_us);
	ck_assert_uint_eq(i.min_rtt, T.conn->min_rtt_us);
	ck_assert_uint_eq(i.rto, T.conn->rto_us);
	ck_assert_uint_eq(i.unacked, 4); /* the tail too: nothing small was in flight */
	ck_assert_uint_eq(i.notsent_bytes, 0);
	ck_assert_uint_eq(i.bytes_acked, 10);
	ck_assert_uint_eq(i.bytes_received, 100);
	ck_assert_uint_eq(i.segs_in, 3);
	ck_assert_uint_eq(i.segs_out, 6);
	ck_assert_uint_eq(i.last_data_sent, 5);
	ck_assert_uint_eq(i.last_data_recv, 5);
	put(100000);
	tcp_info(T.h.tcp, T.conn, &i);
	ck_assert_uint_eq(i.notsent_bytes, T.c->tx_end - (T.conn->snd_nxt - T.conn->iss - 1));
	ck_assert_uint_gt(i.notsent_bytes, 0);
	drain();
	tick(2000);
	drain();
	tcp_info(T.h.tcp, T.conn, &i);
	ck_assert_uint_eq(i.ca_state, 4);
	ck_assert_uint_gt(i.retransmits, 0);
	ck_assert_uint_gt(i.total_retrans, 0);
	ck_assert_uint_gt(i.lost, 0);
	ck_assert_uint_ge(i.retrans, 1);
	trace_end();
}
END_TEST

/* What stackctl flows shows. */
START_TEST(test_figures)
{
	struct stat_flow r;

	established();
	put(3000);
	drain();
	tcp_conn_figures(T.conn, &r);
	ck_assert_uint_eq(r.in_flight, 3000);
	ck_assert_uint_eq(r.tx_queued, 3000);
	ck_assert_uint_eq(r.snd_wnd, 65535);
	ck_assert_uint_eq(r.rcv_wnd, T.conn->rcv_adv - T.conn->rcv_nxt);
	ck_assert_uint_gt(r.rcv_wnd, 0);
	ck_assert_uint_eq(r.ssthresh, 0);
	ck_assert_uint_eq(r.pmtu, 1500);
	ck_assert_uint_eq(r.options, 0);
	ck_assert_uint_eq(r.cc, CC_CUBIC);
	ck_assert_uint_eq(r.timeouts, 0);
	tick(1000);
	drain();
	tcp_conn_figures(T.conn, &r);
	ck_assert_uint_gt(r.timeouts, 0);
	ck_assert_uint_gt(r.ssthresh, 0);
	ck_assert_uint_eq(r.rto_us, T.conn->rto_us);
	T.conn->flags |= CONN_TS | CONN_SACK;
	tcp_conn_figures(T.conn, &r);
	ck_assert_uint_eq(r.options, STAT_TS | STAT_SACK);
	T.conn->flags &= ~(uint32_t)(CONN_TS | CONN_SACK);
	trace_end();
}
END_TEST

/* Linux's numbers for the states. */
START_TEST(test_info_states)
{
	static const struct {
		enum tcp_state state;
		uint8_t linux_;
	} t[] = {
		{ TCP_SYN_SENT, 2 },   { TCP_ESTABLISHED, 1 }, { TCP_FIN_WAIT_1, 4 }, { TCP_FIN_WAIT_2, 5 },
		{ TCP_CLOSE_WAIT, 8 }, { TCP_CLOSING, 11 },    { TCP_LAST_ACK, 9 },   { TCP_TIME_WAIT, 6 },
	};
	struct sock_info i;

	in_state(t[_i].state);
	tcp_info(T.h.tcp, T.conn, &i);
	ck_assert_uint_eq(i.state, t[_i].linux_);
	ck_assert_uint_eq(i.notsent_bytes, 0);
	drain();
	trace_end();
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_listener_maxseg);
	tcase_add_test(tc, test_listener_maxseg_cookie);
	tcase_add_loop_test(tc, test_listener_ip, 0, 2);
	tcase_add_test(tc, test_listener_rcvbuf);
	tcase_add_test(tc, test_listener_congestion);
	tcase_add_loop_test(tc, test_listener_nonsense, 0, 2);
	tcase_add_test(tc, test_defer_accept);
	tcase_add_test(tc, test_defer_accept_in_vain);
	tcase_add_test(tc, test_defer_accept_ends);
	tcase_add_test(tc, test_syncnt);
	tcase_add_test(tc, test_linger2);
	tcase_add_test(tc, test_linger2_none);
	tcase_add_test(tc, test_linger2_none_late);
	tcase_add_test(tc, test_window_clamp);
	tcase_add_test(tc, test_window_clamp_keeps_its_word);
	tcase_add_test(tc, test_notsent_lowat);
	tcase_add_loop_test(tc, test_mtu_discover, IP_PMTUDISC_DONT, IP_PMTUDISC_OMIT + 1);
	tcase_add_loop_test(tc, test_listener_mtu_discover, 0, 2);
	tcase_add_loop_test(tc, test_df_is_the_default, 0, 2);
	tcase_add_test(tc, test_info);
	tcase_add_test(tc, test_figures);
	tcase_add_loop_test(tc, test_info_states, 0, 8);
}

int main(void)
{
	return trace_main("tcp_option", (void (*const[])(TCase *)){ add }, 1);
}
