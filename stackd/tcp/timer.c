/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is due.  A connection has one struct timer in the wheel and a time for each kind; moving a time later costs a store,
 * since the timer finds out when it fires early.
 */
#include <errno.h>

#include <urcu/compiler.h>

#include "stackd/tcp/priv.h"

enum { R1 = 3 }; /* SHLD-10 */

static void rearm(struct tcp *tcp, struct tcp_conn *c);
static void due(struct tcp *tcp, struct tcp_conn *c, enum conn_timer kind);
static void due_rexmit(struct tcp *tcp, struct tcp_conn *c);
static void due_syn(struct tcp *tcp, struct tcp_conn *c);
static void due_persist(struct tcp *tcp, struct tcp_conn *c);
static void due_life(struct tcp *tcp, struct tcp_conn *c);
static void due_keepalive(struct tcp *tcp, struct tcp_conn *c);
static void advise(struct tcp *tcp, const struct tcp_conn *c);
static void back_off(struct tcp *tcp, struct tcp_conn *c);
static bool out_of_time(const struct tcp *tcp, const struct tcp_conn *c);
static uint64_t user_limit(const struct tcp *tcp, const struct tcp_conn *c, uint64_t at_us);
static void give_up(struct tcp *tcp, struct tcp_conn *c);

void timer_set(struct tcp *tcp, struct tcp_conn *c, enum conn_timer kind, uint64_t at_us)
{
	uint32_t at_ms = (uint32_t)((at_us + 999) / 1000);

	c->due_us[kind] = at_us;
	if (!wheel_runs(&c->timer) || (int32_t)(at_ms - c->timer.at_ms) < 0)
		wheel_start(&tcp->wheel, &c->timer, at_us);
}

void timer_clear(struct tcp_conn *c, enum conn_timer kind)
{
	c->due_us[kind] = 0;
}

void timer_fire(void *arg, struct timer *t)
{
	struct tcp *tcp = arg;
	struct tcp_conn *c = caa_container_of(t, struct tcp_conn, timer);

	for (unsigned kind = 0; kind < T_KINDS && c->state != TCP_CLOSED; kind++) {
		if (c->due_us[kind] == 0 || c->due_us[kind] > tcp->now_us)
			continue;
		c->due_us[kind] = 0;
		due(tcp, c, kind);
	}
	rearm(tcp, c);
}

static void rearm(struct tcp *tcp, struct tcp_conn *c)
{
	uint64_t at_us = UINT64_MAX;

	for (unsigned i = 0; i < T_KINDS; i++)
		if (c->due_us[i] != 0 && c->due_us[i] < at_us)
			at_us = c->due_us[i];
	if (at_us != UINT64_MAX)
		wheel_start(&tcp->wheel, &c->timer, at_us);
}

static void due(struct tcp *tcp, struct tcp_conn *c, enum conn_timer kind)
{
	switch (kind) {
	case T_RACK:
		rack_due(tcp, c);
		break;
	case T_REXMIT:
		due_rexmit(tcp, c);
		break;
	case T_DELACK:
		c->flags &= ~(uint32_t)CONN_INTERACTIVE; /* no answer took it along */
		conn_mark(tcp, c, TODO_ACK);
		break;
	case T_LIFE:
		due_life(tcp, c);
		break;
	case T_LINGER:
		if (c->state != TCP_FIN_WAIT_2 && c->state != TCP_TIME_WAIT) /* there the FIN is acknowledged */
			conn_reset(tcp, c, 0);
		break;
	case T_KINDS:
		break;
	}
}

/* RFC 6298, section 5: (5.1), (5.2), (5.3).  User timeout (RFC 5482): the timer never sleeps past it. */
void timer_rexmit(struct tcp *tcp, struct tcp_conn *c)
{
	uint64_t at_us = tcp->now_us + c->rto_us;

	if ((c->flags & CONN_PERSIST) != 0)
		return;
	if (c->snd_una == c->snd_max) {
		timer_clear(c, T_REXMIT);
		return;
	}
	timer_set(tcp, c, T_REXMIT, user_limit(tcp, c, at_us));
}

static uint64_t user_limit(const struct tcp *tcp, const struct tcp_conn *c, uint64_t at_us)
{
	uint64_t last_us = c->progress_us + c->user_timeout_ms * UINT64_C(1000);

	if (c->user_timeout_ms != 0 && at_us > last_us)
		at_us = last_us;
	return at_us > tcp->now_us ? at_us : tcp->now_us + 1;
}

static void due_rexmit(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD) {
		due_syn(tcp, c);
		return;
	}
	if ((c->flags & CONN_PERSIST) != 0) {
		due_persist(tcp, c);
		return;
	}
	if (c->snd_una == c->snd_max) { /* a frame could not be had before; nothing was lost */
		conn_mark(tcp, c, TODO_SEND);
		return;
	}
	if (out_of_time(tcp, c)) {
		give_up(tcp, c);
		return;
	}
	COUNT(tcp->stats, TCP_RTO);
	if (c->rexmits < UINT8_MAX)
		c->rexmits++;
	advise(tcp, c);
	path_timeout(tcp, c);
	recover_timeout(tcp, c);
	back_off(tcp, c);
	if (c->snd_wnd == 0) { /* the peer took its window back: that is no loss, so ask (RFC 9293, 3.8.6.1) */
		c->flags |= CONN_PERSIST;
		timer_set(tcp, c, T_REXMIT, tcp->now_us + c->rto_us);
		conn_mark(tcp, c, TODO_PROBE);
		return;
	}
	timer_rexmit(tcp, c);
	conn_mark(tcp, c, TODO_SEND);
}

static void due_syn(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t conf = c->state == TCP_SYN_SENT ? tcp->conf.syn_retries : tcp->conf.syn_ack_retries;
	uint32_t limit = c->syncnt != 0 ? c->syncnt : conf;
	uint64_t user_us = c->user_timeout_ms * UINT64_C(1000);

	if (c->rexmits >= limit || (user_us != 0 && tcp->now_us - c->progress_us >= user_us)) {
		COUNT(tcp->stats, TCP_TIMEOUTS);
		if ((c->flags & (CONN_HELD_BACK | CONN_DEFERRED)) != 0) /* its peer believes that the connection is there */
			conn_reset(tcp, c, 0);
		else
			conn_end(tcp, c, c->soft_err != 0 ? c->soft_err : ETIMEDOUT);
		return;
	}
	c->rexmits++;
	advise(tcp, c);
	c->flags &= ~(uint32_t)CONN_TIMED;
	back_off(tcp, c);
	timer_set(tcp, c, T_REXMIT, user_limit(tcp, c, tcp->now_us + c->rto_us));
	conn_mark(tcp, c, TODO_SYN);
}

/* RFC 9293 3.8.6.1: ask a closed window, for ever while the peer answers (RFC 1122 4.2.2.17), unless the owner is gone or has said how
 * long (RFC 5482): then answers that leave it closed do not count. */
static void due_persist(struct tcp *tcp, struct tcp_conn *c)
{
	uint32_t limit = (c->flags & CONN_RELEASED) != 0 ? tcp->conf.orphan_retries : tcp->conf.data_retries;
	uint32_t tried = (c->flags & CONN_RELEASED) != 0 ? c->rexmits : c->probes;

	if (tried >= limit || (c->snd_wnd == 0 && c->user_timeout_ms != 0 && out_of_time(tcp, c))) {
		give_up(tcp, c);
		return;
	}
	if (c->snd_wnd > 0) {
		conn_mark(tcp, c, TODO_FORCE | TODO_SEND);
		c->flags &= ~(uint32_t)CONN_PERSIST;
		return;
	}
	c->probes++;
	if (c->rexmits < UINT8_MAX)
		c->rexmits++;
	back_off(tcp, c);
	timer_set(tcp, c, T_REXMIT, user_limit(tcp, c, tcp->now_us + c->rto_us));
	conn_mark(tcp, c, TODO_PROBE);
}

static void due_life(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->state == TCP_TIME_WAIT || (c->state == TCP_FIN_WAIT_2 && (c->flags & CONN_RELEASED) != 0))
		conn_end(tcp, c, 0);
	else if ((c->flags & CONN_KEEPALIVE) != 0)
		due_keepalive(tcp, c);
}

/* RFC 1122 4.2.3.6 */
static void due_keepalive(struct tcp *tcp, struct tcp_conn *c)
{
	uint64_t idle_us = c->keepidle_s * UINT64_C(1000000), intvl_us = c->keepintvl_s * UINT64_C(1000000);
	uint64_t quiet_us = tcp->now_us - c->heard_us;

	if (quiet_us < idle_us || c->snd_una != c->snd_max) { /* the retransmission timer watches over data */
		c->probes = (c->flags & CONN_PERSIST) != 0 ? c->probes : 0;
		timer_set(tcp, c, T_LIFE, quiet_us < idle_us ? c->heard_us + idle_us : tcp->now_us + intvl_us);
		return;
	}
	if (c->probes >= c->keepcnt ||
	    (c->user_timeout_ms != 0 && c->probes > 0 && quiet_us >= c->user_timeout_ms * UINT64_C(1000))) {
		give_up(tcp, c);
		return;
	}
	c->probes++;
	timer_set(tcp, c, T_LIFE, tcp->now_us + intvl_us);
	conn_mark(tcp, c, TODO_KEEP);
}

void timer_keepalive(struct tcp *tcp, struct tcp_conn *c)
{
	if (c->state == TCP_TIME_WAIT || !conn_synchronized(c))
		return;
	timer_set(tcp, c, T_LIFE, c->heard_us + c->keepidle_s * UINT64_C(1000000));
}

void timer_time_wait(struct tcp *tcp, struct tcp_conn *c)
{
	timer_clear(c, T_REXMIT);
	timer_set(tcp, c, T_LIFE, tcp->now_us + tcp->conf.time_wait_ms * UINT64_C(1000) + 1);
}

void timer_fin_wait_2(struct tcp *tcp, struct tcp_conn *c)
{
	uint64_t wait_us = c->linger2_s > 0 ? (uint64_t)c->linger2_s * 1000000 : tcp->conf.fin_wait2_ms * UINT64_C(1000);

	if (c->linger2_s < 0)
		conn_end(tcp, c, 0);
	else
		timer_set(tcp, c, T_LIFE, tcp->now_us + wait_us + 1);
}

/* RFC 9293 3.8.3, MUST-20 and MUST-22: from R1 retransmissions on the next hop is doubted too. */
static void advise(struct tcp *tcp, const struct tcp_conn *c)
{
	if (c->rexmits >= R1)
		net_suspect(tcp->net, &c->peer, tcp->now_us);
}

/* RFC 6298, 5.5 */
static void back_off(struct tcp *tcp, struct tcp_conn *c)
{
	uint64_t rto_us = (uint64_t)c->rto_us * 2, max_us = tcp->conf.rto_max_ms * UINT64_C(1000);

	c->rto_us = (uint32_t)(rto_us < max_us ? rto_us : max_us);
}

static bool out_of_time(const struct tcp *tcp, const struct tcp_conn *c)
{
	uint32_t limit = (c->flags & CONN_RELEASED) != 0 ? tcp->conf.orphan_retries : tcp->conf.data_retries;

	if (c->user_timeout_ms != 0)
		return tcp->now_us - c->progress_us >= c->user_timeout_ms * UINT64_C(1000);
	return c->rexmits >= limit;
}

static void give_up(struct tcp *tcp, struct tcp_conn *c)
{
	COUNT(tcp->stats, TCP_TIMEOUTS);
	conn_reset(tcp, c, c->soft_err != 0 ? c->soft_err : ETIMEDOUT);
}
