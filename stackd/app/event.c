/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From connection to program: notes become events, a full ring postpones them, a sleeping program is woken once.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "stackd/app/handle.h"

enum { NEWS_BUDGET = 1024 }; /* postponed notes offered per turn */

static struct lane *lane_of(struct tcp_conn *c)
{
	return (struct lane *)c->owner;
}

/* 0, or -errno: the record was not put. */
static int event_put(struct app_env *env, struct lane *l, const struct event *e)
{
	int err = ring_put(&l->events, e, sizeof(*e));

	if (err == 0) {
		l->has_news = true;
		l->put++;
		COUNT(env->stats, APP_EVENTS);
	} else if (err == -ENOBUFS) {
		COUNT(env->stats, APP_EVENT_FULL);
	} else if (l->bad == NULL) {
		COUNT(env->stats, APP_BAD_CURSOR);
		l->bad = "it claims to have read events that were never put";
	}
	return err;
}

static int put_open(struct app_env *env, struct app_conn *a, uint16_t op, uint32_t cookie)
{
	struct tcp_conn *c = a->conn;
	struct event e = { .op = op, .handle = { a->index, a->gen } };

	e.open.peer = c->peer;
	e.open.local = c->local;
	e.open.peer_port = c->pport;
	e.open.local_port = c->lport;
	e.open.cookie = cookie;
	return event_put(env, a->lane, &e);
}

static int put_state(struct app_env *env, struct app_conn *a)
{
	struct event e = { .op = EV_STATE, .handle = { a->index, a->gen } };
	struct tcp_view v;

	tcp_view(env->tcp, a->conn, &v);
	e.flags = (v.connected ? EVF_CONNECTED : 0) | (v.fin ? EVF_FIN : 0) | (v.err != 0 ? EVF_ERROR : 0) |
		  (v.closed ? EVF_CLOSED : 0) | (v.urgent ? EVF_URGENT : 0) | (v.err == 0 && v.soft_err != 0 ? EVF_SOFT : 0);
	e.state.rx_end = v.rx_end;
	e.state.tx_acked = v.tx_acked;
	e.state.rx_chunk_no = v.rx_chunk_no;
	e.state.rx_chunk = v.rx_chunk;
	e.state.tx_limit = v.tx_limit;
	e.state.err = (uint32_t)(v.err != 0 ? v.err : v.soft_err);
	e.state.mss = v.mss;
	e.state.srtt_us = v.srtt_us;
	e.state.tx_sent = v.tx_sent;
	return event_put(env, a->lane, &e);
}

/* All parts are of one moment, unless the ring is full between them. */
static int put_info(struct app_env *env, struct app_conn *a)
{
	struct event e = { .op = EV_INFO, .handle = { a->index, a->gen } };
	struct sock_info i;
	int err = 0;

	tcp_info(env->tcp, a->conn, &i);
	while (err == 0 && a->info_left > 0) {
		e.info.token = a->info_token;
		e.info.part = SOCK_INFO_PARTS - a->info_left;
		memcpy(e.info.data, (char *)&i + e.info.part * SOCK_INFO_PART, SOCK_INFO_PART);
		err = event_put(env, a->lane, &e);
		a->info_left -= err == 0;
	}
	return err;
}

/* The first news of a passive connection: it gets its name.  NULL: it was let go. */
static struct app_conn *conn_adopt(struct app_env *env, struct tcp_conn *c)
{
	struct lane *l = lane_of(c);
	struct app_conn *a = c->listener == NULL || l->state != LANE_LIVE ? NULL : handle_give(l, c);

	if (a == NULL) {
		c->note = 0;
		tcp_release(env->tcp, c, 0);
		return NULL;
	}
	c->user = a;
	return a;
}

/* Its listener was closed before the program could hear of it, and no EV_ACCEPT may follow that. */
static void conn_unwanted(struct app_env *env, struct app_conn *a)
{
	struct tcp_conn *c = a->conn;

	c->user = NULL;
	c->note = 0;
	handle_drop(a);
	tcp_release(env->tcp, c, 0);
}

static void conn_tell(struct app_env *env, struct app_conn *a)
{
	struct tcp_conn *c = a->conn;

	if ((c->note & TCP_NOTE_ACCEPT) != 0) {
		if (c->listener == NULL) {
			conn_unwanted(env, a);
			return;
		}
		if (put_open(env, a, EV_ACCEPT, c->listener->cookie) != 0)
			goto later;
		c->note &= ~TCP_NOTE_ACCEPT;
	}
	if ((c->note & TCP_NOTE_OPEN) != 0) {
		if (put_open(env, a, EV_OPEN, 0) != 0)
			goto later;
		c->note &= ~TCP_NOTE_OPEN;
	}
	if ((c->note & TCP_NOTE_STATE) != 0) {
		if (put_state(env, a) != 0)
			goto later;
		c->note &= ~TCP_NOTE_STATE;
	}
	if (a->info_left > 0 && put_info(env, a) != 0)
		goto later;
	app_clean(a);
	return;
later:
	app_dirty(a);
}

void app_tell_failure(struct app_env *env, struct app_conn *a)
{
	struct event e = { .op = EV_STATE, .flags = EVF_ERROR, .handle = { a->index, a->gen } };

	e.state.err = (uint32_t)-a->err;
	e.state.rx_chunk = BYTES_NONE;
	if (event_put(env, a->lane, &e) == 0)
		app_clean(a);
	else
		app_dirty(a);
}

void app_tell_last(struct app_env *env, struct app_conn *a)
{
	struct event e = { .op = EV_STATE, .flags = EVF_CLOSED, .handle = { a->index, a->gen } };

	e.state.tx_acked = a->tx_end;
	e.state.rx_chunk = BYTES_NONE;
	if (event_put(env, a->lane, &e) == 0)
		handle_drop(a);
	else
		app_dirty(a);
}

void app_let_go(struct app_env *env, struct tcp_conn *c)
{
	struct app_conn *a = c->user;

	if (a == NULL)
		return;
	c->user = NULL;
	a->conn = NULL;
	if (a->lane->state == LANE_LIVE)
		app_tell_last(env, a);
}

void app_note(struct app_env *env, struct tcp_conn *c)
{
	struct app_conn *a = c->user;

	if (c->owner == NULL || lane_of(c)->state != LANE_LIVE) {
		c->note = 0;
		return;
	}
	if (a == NULL && (c->note & TCP_NOTE_ACCEPT) != 0) {
		a = conn_adopt(env, c);
		if (a == NULL)
			return; /* c is no longer ours to touch */
	}
	if (a != NULL)
		conn_tell(env, a);
	else
		c->note = 0;
}

static void client_wake(struct app_env *env, struct lane *l)
{
	uint32_t asleep = bell_look(&l->upp->client_asleep);

	if (asleep == 0 || asleep == l->woken)
		return;
	l->woken = asleep;
	l->wakes++;
	COUNT(env->stats, APP_WAKES);
	/* not an eventfd: a client can clear its O_NONBLOCK and fill it, and our write would block */
	(void)send(l->wake_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Whether the ring took it. */
static bool tell_again(struct app_env *env, struct app_conn *a)
{
	if (ring_room(&a->lane->events) <= 0)
		return false;
	if (a->conn != NULL)
		conn_tell(env, a);
	else if (a->closed)
		app_tell_last(env, a);
	else
		app_tell_failure(env, a);
	return true;
}

void app_settle(struct app_env *env, struct lane *l)
{
	for (unsigned n = 0; n < NEWS_BUDGET && app_waits(l); n++) {
		if (!tell_again(env, TAILQ_FIRST(&l->dirty)))
			break; /* full again */
	}
	if (l->has_news) {
		l->has_news = false;
		client_wake(env, l);
	}
}
