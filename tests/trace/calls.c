/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What scripts call: the program's calls, with what libshim would return, and what happens around it.
 */
#include "tests/trace/trace.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* What a call returned: a count, or -errno. */
static bool call_listen(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_unlisten(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_connect(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_accept(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_send(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_recv(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_shutdown(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_close(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_abort(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_setsockopt(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_so_error(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_icmp(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_peer(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_buffers(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool call_route(struct run *r, struct end *e, struct cursor *c, int64_t *got);
static bool result(struct run *r, struct cursor *c, int64_t got);
static int bind_again(struct run *r);
static bool take_result(struct cursor *c, int64_t *v);

static const struct {
	const char *name;
	bool (*fn)(struct run *r, struct end *e, struct cursor *c, int64_t *got);
} calls[] = {
	{ "listen", call_listen },
	{ "unlisten", call_unlisten },
	{ "connect", call_connect },
	{ "accept", call_accept },
	{ "send", call_send },
	{ "recv", call_recv },
	{ "shutdown", call_shutdown },
	{ "close", call_close },
	{ "abort", call_abort },
	{ "setsockopt", call_setsockopt },
	{ "so_error", call_so_error },
	{ "tcp_info", look_tcp_info },
	{ "epoll", look_epoll },
	{ "icmp", call_icmp },
	{ "peer", call_peer },
	{ "buffers", call_buffers },
	{ "route", call_route },
	{ "conns", look_conns },
	{ "count", look_count },
	{ "state", look_state },
	{ "info", look_info },
};

static const struct {
	const char *name;
	int err;
} errors[] = {
	{ "EAGAIN", EAGAIN },       { "EPIPE", EPIPE },           { "ENOTCONN", ENOTCONN },         { "EINVAL", EINVAL },
	{ "EBADF", EBADF },         { "ETIMEDOUT", ETIMEDOUT },   { "ECONNRESET", ECONNRESET },     { "ECONNREFUSED", ECONNREFUSED },
	{ "EMFILE", EMFILE },       { "ENOBUFS", ENOBUFS },       { "EHOSTUNREACH", EHOSTUNREACH }, { "ENETUNREACH", ENETUNREACH },
	{ "EADDRINUSE", EADDRINUSE }, { "EADDRNOTAVAIL", EADDRNOTAVAIL }, { "ENOPROTOOPT", ENOPROTOOPT }, { "EISCONN", EISCONN },
	{ "ECONNABORTED", ECONNABORTED }, { "EPROTO", EPROTO }, { "EOPNOTSUPP", EOPNOTSUPP }, { "EHOSTDOWN", EHOSTDOWN },
	{ "EACCES", EACCES },
};

static const char *show_result(int64_t v, char *text, size_t size)
{
	snprintf(text, size, "%lld", (long long)v);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (v == -errors[i].err)
			return errors[i].name;
	return text;
}

bool call(struct run *r, struct end *e, struct cursor *c)
{
	char name[32];
	int64_t got = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (!word(c, calls[i].name))
			continue;
		if (!calls[i].fn(r, e, c, &got))
			return r->failed ? false : wrong(r, "%s: not understood: %s", calls[i].name, c->at);
		run_settle(r);
		r->called = true;
		snprintf(r->returned, sizeof(r->returned), "%s", show_result(got, name, sizeof(name)));
		return result(r, c, got);
	}
	return wrong(r, "no such call: %s", take_name(c, name, sizeof(name)) ? name : c->at);
}

/* "= 100", "= EPIPE", "> 5"; without any, the call must succeed. */
static bool result(struct run *r, struct cursor *c, int64_t got)
{
	char a[32], b[32];
	bool less = false, more = false, equal = false, good;
	int64_t want;

	if (r->record)
		c->at += strlen(c->at); /* whatever it is, it is printed */
	if (at_end(c))
		return r->record || got >= 0 ? true : wrong(r, "it returned %s", show_result(got, a, sizeof(a)));
	if (take_char(c, '<'))
		less = true;
	else if (take_char(c, '>'))
		more = true;
	if (take_char(c, '='))
		equal = true;
	if (!take_result(c, &want))
		return wrong(r, "a result is wanted: %s", c->at);
	good = (equal && got == want) || (less && got < want) || (more && got > want);
	return good ? true : wrong(r, "it is %s, not %s%s%s", show_result(got, a, sizeof(a)), less ? "<" : more ? ">" : "",
	                          equal && (less || more) ? "= " : "", show_result(want, b, sizeof(b)));
}

/* A number, with a unit of time in microseconds; an errno; a state. */
static bool take_result(struct cursor *c, int64_t *v)
{
	char name[32];

	if (take_number(c, v)) {
		if (strncmp(c->at, "us", 2) == 0)
			c->at += 2;
		else if (strncmp(c->at, "ms", 2) == 0)
			c->at += 2, *v *= 1000;
		else if (*c->at == 's')
			c->at++, *v *= 1000000;
		return true;
	}
	if (!take_name(c, name, sizeof(name)))
		return false;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (strcmp(name, errors[i].name) == 0) {
			*v = -errors[i].err;
			return true;
		}
	}
	return false;
}

/* --- Connections ------------------------------------------------------------------------------------------------------ */

struct tcp_conn *end_conn(struct run *r, struct end *e)
{
	struct tuple t = { .local = run_addr(r, 1), .peer = run_addr(r, 2), .lport = e->port, .pport = e->peer_port };

	return e->prog != NULL ? e->prog->conn : tcp_find(r->h.tcp, &t);
}

void end_note(struct run *r, struct end *e)
{
	struct tcp_conn *c = end_conn(r, e);

	if (c == NULL || c->state == TCP_CLOSED)
		return;
	e->rcv_nxt = c->state == TCP_SYN_SENT ? 0 : c->rcv_nxt - e->peer_iss;
	e->rcv_adv = c->state == TCP_SYN_SENT ? 65535 : c->rcv_adv - e->peer_iss;
	e->snd_una = c->snd_una - (e->syn_seen ? e->iss : c->iss);
	e->snd_max = c->snd_max - (e->syn_seen ? e->iss : c->iss);
}

static bool call_listen(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	int64_t backlog = 10;

	(void)e;
	if (word(c, "backlog") && !take_number(c, &backlog))
		return false;
	if (r->h.listener == NULL)
		host_listen(&r->h, SERVER_PORT, (uint32_t)backlog);
	else
		*got = -bind_again(r);
	return true;
}

/* Another program wants the port, too: what it is told. */
static int bind_again(struct run *r)
{
	struct listen_who who = { .app = 2, .cookie = 8, .pid = 2, .uid = 2, .owner = r->h.owners };
	struct ipaddr any = { .w = { 0 } };
	struct listener *l = listen_bind(r->h.listeners, &who, &any, SERVER_PORT, false, 0, 0);

	if (l == NULL)
		return errno;
	listen_remove(r->h.listeners, l);
	listen_free(l);
	return 0;
}

static bool call_unlisten(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	(void)e;
	(void)c;
	*got = r->h.listener == NULL ? -EBADF : 0;
	if (*got < 0)
		return true;
	listen_remove(r->h.listeners, r->h.listener);
	(void)tcp_listener_gone(r->h.tcp, r->h.listener, UINT32_MAX);
	listen_free(r->h.listener);
	r->h.listener = NULL;
	return true;
}

/* "connect", "connect from 5000": our port then; "connect again": the same ports once more; progress is told by so_error and state. */
static bool call_connect(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	bool again = word(c, "again");
	struct tcp_open o = { .dst = run_addr(r, 2), .dport = again ? e->peer_port : SERVER_PORT };
	struct prog *p;
	int64_t from = again ? e->port : 0;

	if (word(c, "from") && !take_number(c, &from))
		return false;
	p = calloc(1, sizeof(*p));
	bytes_init(&p->tx);
	o.user = p;
	o.sport = (uint16_t)from;
	*got = tcp_open(r->h.tcp, &r->h.owner, &o, r->h.now_us, &p->conn);
	if (*got < 0) {
		free(p);
		return true;
	}
	e->prog = p;
	e->port = p->conn->lport;
	e->peer_port = o.dport;
	e->syn_seen = false;
	return true;
}

static bool call_accept(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	struct tcp_conn *conn = e->prog == NULL ? end_conn(r, e) : NULL;

	(void)c;
	*got = -EAGAIN;
	if (conn == NULL || (conn->note & TCP_NOTE_ACCEPT) == 0 || (conn->flags & CONN_HELD) == 0)
		return true;
	e->prog = host_adopt(&r->h, conn);
	*got = 0;
	return true;
}

/* --- Data ------------------------------------------------------------------------------------------------------------- */

/* An error is told once; then the stream has just ended. */
static int64_t take_error(struct prog *p)
{
	int err = p->err;

	p->err = 0;
	p->conn->err = 0;
	return -err;
}

static int64_t may_send(const struct prog *p)
{
	const struct tcp_conn *c = p->conn;

	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD)
		return -EAGAIN;
	return (c->flags & CONN_FIN_QUEUED) != 0 || c->state == TCP_CLOSED ? -EPIPE : 0;
}

static bool call_send(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	static uint8_t buf[1 << 16];
	int64_t len, done = 0;

	if (!take_number(c, &len))
		return false;
	*got = e->prog == NULL ? -EBADF : e->prog->err != 0 ? take_error(e->prog) : may_send(e->prog);
	while (*got == 0 && done < len) {
		int64_t part = len - done < (int64_t)sizeof(buf) ? len - done : (int64_t)sizeof(buf);
		uint32_t n;

		for (int64_t i = 0; i < part; i++)
			buf[i] = pattern_at((int64_t)e->prog->tx_end + i);
		n = host_write(&r->h, e->prog, buf, (uint32_t)part);
		if (n == 0)
			break;
		done += n;
	}
	if (*got == 0)
		*got = done > 0 || len == 0 ? done : -EAGAIN;
	return true;
}

static bool check_pattern(struct run *r, const uint8_t *buf, uint64_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (buf[i] != pattern_at((int64_t)(from + i)))
			return wrong(r, "byte %llu of the stream is wrong", (unsigned long long)(from + i));
	return true;
}

static bool call_recv(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	static uint8_t buf[1 << 20];
	bool any = false;
	struct prog *p = e->prog;
	uint64_t from;
	int64_t len;

	if (!take_number(c, &len) || len > (int64_t)sizeof(buf))
		return false;
	any = word(c, "any"); /* the text is no pattern */
	*got = -EBADF;
	if (p == NULL)
		return true;
	from = p->rx_pos;
	*got = (p->conn->flags & CONN_RX_SHUT) != 0 ? 0 : host_read(&r->h, p, buf, (uint32_t)len);
	if (*got > 0)
		return any || check_pattern(r, buf, from, (uint32_t)*got);
	if (p->err != 0 && !p->fin)
		*got = take_error(p);
	else if (!p->fin && (p->conn->flags & CONN_RX_SHUT) == 0 && p->conn->state != TCP_CLOSED)
		*got = -EAGAIN;
	return true;
}

static bool call_shutdown(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	int how = word(c, "rd") ? SHUT_RD : word(c, "wr") ? SHUT_WR : word(c, "rdwr") ? SHUT_RDWR : -1;

	if (how < 0)
		return false;
	*got = e->prog == NULL ? -EBADF : e->prog->conn->state < TCP_ESTABLISHED ? -ENOTCONN : 0;
	if (*got == 0)
		tcp_shutdown(r->h.tcp, e->prog->conn, how);
	return true;
}

static void let_go(struct run *r, struct end *e, int linger_s)
{
	struct prog *p = e->prog;
	unsigned i = 0;

	while (i + 1 < LEAVING && r->leaving[i] != NULL)
		i++;
	end_note(r, e);
	e->prog = NULL;
	r->leaving[i] = p; /* until the hook frees it */
	host_close(&r->h, p, linger_s);
}

static bool call_close(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	int64_t linger = -1;

	if (word(c, "linger") && !take_number(c, &linger))
		return false;
	*got = e->prog == NULL ? -EBADF : 0;
	if (e->prog != NULL)
		let_go(r, e, (int)linger);
	return true;
}

static bool call_abort(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	(void)c;
	*got = e->prog == NULL ? -EBADF : 0;
	if (e->prog != NULL)
		let_go(r, e, 0);
	return true;
}

static bool call_setsockopt(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	static const char *const names[OPT_MAX] = {
		[OPT_NODELAY] = "TCP_NODELAY", [OPT_CORK] = "TCP_CORK", [OPT_KEEPALIVE] = "SO_KEEPALIVE",
		[OPT_KEEPIDLE] = "TCP_KEEPIDLE", [OPT_KEEPINTVL] = "TCP_KEEPINTVL", [OPT_KEEPCNT] = "TCP_KEEPCNT",
		[OPT_MAXSEG] = "TCP_MAXSEG", [OPT_CONGESTION] = "TCP_CONGESTION", [OPT_RCVBUF] = "SO_RCVBUF",
		[OPT_SNDBUF] = "SO_SNDBUF", [OPT_USER_TIMEOUT] = "TCP_USER_TIMEOUT", [OPT_QUICKACK] = "TCP_QUICKACK",
		[OPT_TOS] = "IP_TOS", [OPT_TTL] = "IP_TTL",
		[OPT_MTU_DISCOVER] = "IP_MTU_DISCOVER", [OPT_NOTSENT_LOWAT] = "TCP_NOTSENT_LOWAT",
	};
	int64_t value;

	for (uint32_t i = 0; i < OPT_MAX; i++) {
		if (names[i] == NULL || !word(c, names[i]))
			continue;
		if (!take_number(c, &value))
			return false;
		*got = e->prog == NULL ? -EBADF : tcp_setopt(r->h.tcp, e->prog->conn, i, (uint64_t)value);
		return true;
	}
	return false;
}

static bool call_so_error(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	(void)r;
	(void)c;
	*got = e->prog == NULL ? -EBADF : take_error(e->prog);
	if (*got == 0) {
		*got = -e->prog->soft_err;
		e->prog->soft_err = 0;
	}
	return true;
}

/* --- What happens around it ------------------------------------------------------------------------------------------- */

/* "icmp TYPE CODE [seq N] [mtu N] [own]": about a segment of ours, by default the oldest in flight. */
static bool call_icmp(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	struct net_icmp_error m = { .src = run_addr(r, 1), .dst = run_addr(r, 2), .sport = e->port, .dport = e->peer_port };
	int64_t type, code, seq, mtu = 0;

	(void)got;
	end_note(r, e);
	seq = (int32_t)e->snd_una;
	if (!take_number(c, &type) || !take_number(c, &code) || (word(c, "seq") && !take_number(c, &seq)) ||
	    (word(c, "mtu") && !take_number(c, &mtu)))
		return false;
	m.own = word(c, "own");
	m.type = (uint8_t)type;
	m.code = (uint8_t)code;
	m.seq = (e->syn_seen ? e->iss : end_conn(r, e) != NULL ? end_conn(r, e)->iss : 0) + (uint32_t)seq;
	m.mtu = (uint16_t)mtu;
	tcp_icmp_error(r->h.tcp, &m);
	return true;
}

/* "peer ts 100": from now on its segments carry timestamps, the first this one; "peer silent": no more. */
static bool call_peer(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	int64_t v;

	(void)got;
	e->stamps = word(c, "ts");
	if (!e->stamps)
		return word(c, "plain");
	if (!take_number(c, &v))
		return false;
	e->stamp = (uint32_t)v;
	e->stamp_us = run_now(r);
	return true;
}

static bool call_buffers(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	(void)e;
	(void)got;
	r->h.net.no_buffer = word(c, "off");
	return r->h.net.no_buffer || word(c, "on");
}

static bool call_route(struct run *r, struct end *e, struct cursor *c, int64_t *got)
{
	(void)e;
	(void)got;
	r->h.net.no_route = word(c, "off");
	return r->h.net.no_route || word(c, "on");
}
