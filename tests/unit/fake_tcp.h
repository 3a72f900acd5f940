/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The part of tcp/ that app/ calls, played by a list.  It keeps tcp.h's promises towards app/ and holds app/ to its own: a
 * call with a connection that is not held, or with arguments that tcp.h does not allow, fails the test (fake_wrong).
 * Included by the one file that needs it.
 */
#ifndef TESTS_FAKE_TCP_H
#define TESTS_FAKE_TCP_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "stackd/app/app.h"
#include "stackd/tcp/conn.h"

/* A connection and what app/ did to it. */
struct fake_conn {
	struct tcp_conn c; /* first */
	bool held;         /* by its owner; else released */
	unsigned sends, credits, shutdowns, setopts;
	int how;
	int32_t linger_s;
	uint32_t opt_name;
	uint64_t opt_value;
	TAILQ_ENTRY(fake_conn) all;
};

struct tcp {
	TAILQ_HEAD(fake_conns, fake_conn) conns;
	unsigned opens, releases;
	struct tcp_open last_open;
	int open_err;       /* what tcp_open returns next */
	bool lets_go;       /* tcp_release lets go at once */
	bool owns;          /* what listen_owns says */
	struct app_env *env;
};

static void fake_wrong(const char *what); /* the including file's: it fails the test */

static struct fake_conn *fake_find(struct tcp *t, const struct tcp_conn *c)
{
	struct fake_conn *f;

	TAILQ_FOREACH(f, &t->conns, all) {
		if (&f->c == c)
			return f;
	}
	fake_wrong("a connection that is gone");
	return NULL;
}

static struct fake_conn *fake_held(struct tcp *t, const struct tcp_conn *c)
{
	struct fake_conn *f = fake_find(t, c);

	if (f != NULL && !f->held)
		fake_wrong("a connection that was released");
	return f;
}

static struct tcp_conn *fake_conn_new(struct tcp *t, struct tcp_owner *owner, void *user)
{
	struct fake_conn *f = calloc(1, sizeof(*f));

	f->c.owner = owner;
	f->c.user = user;
	f->c.state = TCP_ESTABLISHED;
	f->held = true;
	owner->conns++;
	bytes_init(&f->c.tx);
	TAILQ_INSERT_TAIL(&t->conns, f, all);
	return &f->c;
}

static void fake_forget(struct tcp *t, struct fake_conn *f)
{
	TAILQ_REMOVE(&t->conns, f, all);
	f->c.owner->conns--;
	free(f);
}

void tcp_info(const struct tcp *t, const struct tcp_conn *c, struct sock_info *i)
{
	if (fake_held((struct tcp *)t, c) == NULL)
		fake_wrong("tcp_info");
	memset(i, 0x11, sizeof(*i));
	i->snd_mss = 1234;
	i->min_rtt = 4321;
}

/* Everything it sent is acknowledged. */
static inline void fake_let_go(struct tcp *t, struct tcp_conn *c)
{
	struct fake_conn *f = fake_find(t, c);

	if (f->held)
		fake_wrong("test: it is held");
	app_let_go(t->env, c);
	fake_forget(t, f);
}

int tcp_open(struct tcp *t, struct tcp_owner *owner, const struct tcp_open *o, uint64_t now_us, struct tcp_conn **conn)
{
	(void)now_us;
	t->opens++;
	t->last_open = *o;
	if (o->user == NULL || owner->dead)
		fake_wrong("tcp_open");
	if (t->open_err != 0)
		return t->open_err;
	if (owner->conns >= owner->conns_max)
		return -EMFILE;
	*conn = fake_conn_new(t, owner, o->user);
	(*conn)->state = TCP_SYN_SENT;
	return 0;
}

int tcp_sent_more(struct tcp *t, struct tcp_conn *c, uint64_t tx_end, const uint32_t *chunk, unsigned n)
{
	struct fake_conn *f = fake_held(t, c);

	if (n > CMD_SEND_CHUNKS)
		fake_wrong("tcp_sent_more");
	for (unsigned i = 0; i < n; i++) {
		if (bytes_at(&c->owner->tx, chunk[i]) == NULL)
			return -EINVAL;
	}
	if (tx_end < c->tx_end || tx_end - c->tx_end > (uint64_t)n * BYTES_CHUNK)
		return -EINVAL;
	c->tx_end = tx_end;
	f->sends++;
	return 0;
}

int tcp_rx_done(struct tcp *t, struct tcp_conn *c, uint64_t done)
{
	fake_held(t, c)->credits++;
	if (done < c->rx_done || done > c->rx_end)
		return -EINVAL;
	c->rx_done = done;
	return 0;
}

void tcp_shutdown(struct tcp *t, struct tcp_conn *c, int how)
{
	struct fake_conn *f = fake_held(t, c);

	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		fake_wrong("tcp_shutdown");
	f->shutdowns++;
	f->how = how;
}

void tcp_release(struct tcp *t, struct tcp_conn *c, int32_t linger_s)
{
	struct fake_conn *f = fake_held(t, c);

	if (linger_s < -1 || c->note != 0)
		fake_wrong("tcp_release");
	t->releases++;
	f->linger_s = linger_s;
	f->held = false;
	if (t->lets_go || linger_s == 0)
		fake_let_go(t, c);
}

unsigned tcp_owner_gone(struct tcp *t, struct tcp_owner *owner, bool released, unsigned budget)
{
	struct fake_conn *f, *next;
	unsigned n = 0;

	for (f = TAILQ_FIRST(&t->conns); f != NULL && n < budget; f = next) {
		next = TAILQ_NEXT(f, all);
		if (f->c.owner != owner || !(released || f->held))
			continue;
		fake_forget(t, f);
		n++;
	}
	return n;
}

int tcp_setopt(struct tcp *t, struct tcp_conn *c, uint32_t name, uint64_t value)
{
	struct fake_conn *f = fake_held(t, c);

	f->setopts++;
	f->opt_name = name;
	f->opt_value = value;
	return name < OPT_MAX ? 0 : -ENOPROTOOPT;
}

void tcp_view(struct tcp *t, struct tcp_conn *c, struct tcp_view *v)
{
	fake_held(t, c);
	*v = (struct tcp_view){ .state = c->state, .rx_end = c->rx_end, .tx_acked = c->tx_acked, .rx_chunk = BYTES_NONE,
				.connected = c->state == TCP_ESTABLISHED, .err = c->err, .soft_err = c->soft_err, .tx_sent = c->tx_end };
}

bool listen_owns(struct listen_table *t, uint32_t app, const struct ipaddr *addr, uint16_t port)
{
	(void)app;
	(void)addr;
	(void)port;
	return ((const struct tcp *)(void *)t)->owns; /* the fake is both */
}

#endif
