/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From program to connection: commands are copied once out of the client's ring, checked, and become calls of tcp/.
 *
 * Three kinds of wrong: what the client could not know in time (a connection that has just died, a handle it has just
 * closed) is ignored and counted; what a program may do but TCP refuses becomes an event with an error; what libshim
 * never does (an unknown opcode, cursors and lengths that do not fit) is nonsense and detaches the client.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "stackd/app/handle.h"

enum {
	QUANTUM = 64,       /* a lane's share of one turn */
	COST_MUCH = 8,      /* of the commands that make more work; the others cost 1 */
};

static void nonsense(struct app_env *env, struct lane *l, const char *why)
{
	COUNT(env->stats, APP_BAD_CMD);
	l->nonsense++;
	if (l->bad == NULL)
		l->bad = why;
}

static void cmd_connect(struct app_env *env, struct lane *l, const struct cmd *c)
{
	struct tcp_open open = {
		.src = c->connect.src,
		.dst = c->connect.dst,
		.sport = c->connect.sport,
		.dport = c->connect.dport,
	};
	struct app_conn *a;

	switch (handle_take(l, c->handle, &a)) {
	case 0:
		break;
	case -ENOMEM:
		nonsense(env, l, "there is no memory for another connection's name");
		return;
	default:
		nonsense(env, l, "it opened a connection under a name that it may not use");
		return;
	}
	open.user = a;
	a->err = -EADDRINUSE;
	if (!l->may_connect)
		a->err = -EACCES;
	else if (open.sport == 0 || listen_owns(env->listeners, l->app, &open.src, open.sport))
		a->err = tcp_open(env->tcp, &l->owner, &open, env->now_us, &a->conn);
	if (a->err != 0)
		app_tell_failure(env, a);
}

static unsigned cmd_chunks(const struct cmd *c, uint32_t chunk[CMD_SEND_CHUNKS])
{
	unsigned n = 0;

	memcpy(chunk, c->send.chunk, sizeof(c->send.chunk));
	while (n < CMD_SEND_CHUNKS && chunk[n] != BYTES_NONE)
		n++;
	return n;
}

static void cmd_credit(struct app_env *env, struct lane *l, struct app_conn *a, uint64_t rx_done)
{
	if (tcp_rx_done(env->tcp, a->conn, rx_done) != 0)
		nonsense(env, l, "it consumed bytes that it never got");
}

static void cmd_send(struct app_env *env, struct lane *l, struct app_conn *a, const struct cmd *c)
{
	uint32_t chunk[CMD_SEND_CHUNKS];
	unsigned n = cmd_chunks(c, chunk);
	int err;

	cmd_credit(env, l, a, c->send.rx_done);
	err = tcp_sent_more(env->tcp, a->conn, c->send.tx_end, chunk, n);
	if (err == -EINVAL && env->late_segments(env->arg))
		err = tcp_sent_more(env->tcp, a->conn, c->send.tx_end, chunk, n);
	if (err == -EINVAL)
		nonsense(env, l, "it sent bytes that lie nowhere");
}

static void cmd_accepted(struct app_env *env, struct app_conn *a)
{
	struct listener *listener = a->conn->listener;

	if (listener == NULL)
		return;
	a->conn->listener = NULL;
	if (listener->lane[env->engine].waiting > 0)
		listener->lane[env->engine].waiting--;
}

static void cmd_close(struct app_env *env, struct lane *l, struct app_conn *a, const struct cmd *c)
{
	struct tcp_conn *conn = a->conn;

	app_clean(a);
	a->closed = true;
	a->tx_end = c->close.tx_end;
	if (conn == NULL) { /* its open had failed */
		app_tell_last(env, a);
		return;
	}
	cmd_credit(env, l, a, c->close.rx_done);
	cmd_accepted(env, a); /* it will not be */
	conn->note = 0;
	tcp_release(env->tcp, conn, c->close.linger_s < 0 ? -1 : c->close.linger_s);
}

static void cmd_shutdown(struct app_env *env, struct lane *l, struct app_conn *a, const struct cmd *c)
{
	if (c->close.how > SHUT_RDWR) {
		nonsense(env, l, "it shut down a direction that does not exist");
		return;
	}
	cmd_credit(env, l, a, c->close.rx_done);
	tcp_shutdown(env->tcp, a->conn, (int)c->close.how);
}

static void cmd_one(struct app_env *env, struct lane *l, const struct cmd *c)
{
	struct app_conn *a;

	if (c->op == CMD_NONE || c->op >= CMD_MAX) {
		nonsense(env, l, "it put an unknown command");
		return;
	}
	if (c->op == CMD_CONNECT) {
		cmd_connect(env, l, c);
		return;
	}
	a = handle_find(l, c->handle);
	if (a != NULL && !a->closed && c->op == CMD_CLOSE) {
		cmd_close(env, l, a, c);
		return;
	}
	if (a == NULL || a->closed || a->conn == NULL) {
		COUNT(env->stats, APP_STALE);
		return;
	}
	switch (c->op) {
	case CMD_SEND:
		cmd_send(env, l, a, c);
		break;
	case CMD_CREDIT:
		cmd_credit(env, l, a, c->send.rx_done);
		break;
	case CMD_SHUTDOWN:
		cmd_shutdown(env, l, a, c);
		break;
	case CMD_ACCEPTED:
		cmd_accepted(env, a);
		break;
	case CMD_INFO:
		a->info_token = c->info.token;
		a->info_left = SOCK_INFO_PARTS;
		app_dirty(a);
		break;
	case CMD_SETOPT:
		(void)tcp_setopt(env->tcp, a->conn, c->opt.name, c->opt.value); /* a bad value changes nothing */
		break;
	}
}

bool app_ready(const struct lane *l)
{
	return l->state == LANE_LIVE && l->bad == NULL && ring_ready(&l->cmds);
}

unsigned app_commands(struct app_env *env, struct lane *l)
{
	unsigned n = 0;
	struct cmd c;

	if (!app_ready(l)) {
		l->deficit = 0;
		return 0;
	}
	l->deficit += QUANTUM;
	/* a command may look for mail, and mail may end the lane */
	while (l->deficit > 0 && app_ready(l) && ring_get(&l->cmds, &c)) {
		l->deficit -= c.op == CMD_CONNECT || c.op == CMD_INFO ? COST_MUCH : 1;
		cmd_one(env, l, &c);
		n++;
	}
	if (l->deficit > 0)
		l->deficit = 0; /* a share not used is not saved up */
	ring_done(&l->cmds);
	l->commands += n;
	COUNT_ADD(env->stats, APP_CMDS, n);
	return n;
}
