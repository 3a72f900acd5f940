/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One cell of the table in matrix.txt: how a state is reached, what happens then, and what is seen of it.
 */
#include "tests/trace/matrix.h"

#include <errno.h>
#include <string.h>

enum { WAIT_MS = 100, STEPS = 16 };

/* How a state is reached: 100 bytes have gone both ways; in the RFC's states, where they allow it, 100 of ours are in flight. */
static const struct {
	const char *name;
	enum tcp_state state;
	uint32_t rcvbuf; /* 0: the usual one */
	const char *lines[STEPS];
} column[] = {
	{ "CD", TCP_CLOSED, 0, { NULL } },
	{ "LI", TCP_LISTEN, 0, { "listen" } },
	{ "SS", TCP_SYN_SENT, 0, { "connect from 5000", "* > S 0:0(0) <...>" } },
	{ "SR", TCP_SYN_RCVD, 0, { "listen", "< S 0:0(0) <SYN>", "> S. 0:0(0) ack 1 <...>" } },
	{ "SA", TCP_SYN_RCVD, 0, { "connect from 5000", "> S 0:0(0) <...>", "< S 0:0(0) <SYN>", "> S. 0:0(0) ack 1 <...>" } },
	{ "ES", TCP_ESTABLISHED, 0, { "OPEN", "send 100", "> P. 101:201(100) ack 101" } },
	{ "F1", TCP_FIN_WAIT_1, 0, { "OPEN", "send 100", "> P. 101:201(100) ack 101", "shutdown wr", "> F. 201:201(0) ack 101" } },
	{ "F2", TCP_FIN_WAIT_2, 0, { "OPEN", "shutdown wr", "> F. 101:101(0) ack 101", "< . 101:101(0) ack 102" } },
	{ "CW", TCP_CLOSE_WAIT, 0, { "OPEN", "< F. 101:101(0) ack 101", "> . 101:101(0) ack 102", "send 100", "> P. 101:201(100) ack 102" } },
	{ "CL", TCP_CLOSING, 0, { "OPEN", "send 100", "> P. 101:201(100) ack 101", "shutdown wr", "> F. 201:201(0) ack 101",
	                       "< F. 101:101(0) ack 101", "> . 202:202(0) ack 102" } },
	{ "LA", TCP_LAST_ACK, 0, { "OPEN", "< F. 101:101(0) ack 101", "> . 101:101(0) ack 102", "send 100", "> P. 101:201(100) ack 102",
	                        "shutdown wr", "> F. 201:201(0) ack 102" } },
	{ "TW", TCP_TIME_WAIT, 0, { "OPEN", "shutdown wr", "> F. 101:101(0) ack 101", "< F. 101:101(0) ack 102", "> . 102:102(0) ack 102" } },
	{ "EI", TCP_ESTABLISHED, 0, { "OPEN" } },
	{ "EU", TCP_ESTABLISHED, 0, { "listen", "< S 0:0(0) <SYN>", "> S. 0:0(0) ack 1 <...>", "< . 1:1(0) ack 1" } },
	{ "EZ", TCP_ESTABLISHED, 4096, { "OPEN", "FILL" } },
	{ "1Z", TCP_FIN_WAIT_1, 4096, { "OPEN", "FILL", "shutdown wr", "*> F. 101:101(0) ack n" } },
	{ "2Z", TCP_FIN_WAIT_2, 4096, { "OPEN", "FILL", "shutdown wr", "*> F. 101:101(0) ack n", "< . n:n(0) ack 102" } },
	{ "PZ", TCP_ESTABLISHED, 0, { "OPEN", "< . 101:101(0) ack 101 win 0", "send 100" } },
};

enum { COLUMNS = sizeof(column) / sizeof(column[0]) };

static const char *const open_lines[] = {
	"listen", "< S 0:0(0) <SYN>", "> S. 0:0(0) ack 1 <...>", "< . 1:1(0) ack 1", "accept", "send 100", "> P. 1:101(100) ack 1",
	"< P. 1:101(100) ack 101", "recv 100 = 100", "*> . 101:101(0) ack 101 <...>",
};

static unsigned drain(struct run *r, char *cell, size_t size);
static void pass(struct run *r, uint64_t ms, char *cell, size_t size, bool until_sent);

/* What can be seen of a connection before and after. */
struct seen {
	enum tcp_state state;
	uint64_t rx_end;
	int err;
};

/* The peer sends until our window is shut; the program reads nothing. */
static bool fill(struct run *r)
{
	struct end *e = &r->end[1];
	char text[64], sent[256] = "";
	uint32_t n;

	for (unsigned i = 0; i < 64 && (n = e->rcv_adv - e->rcv_nxt) > 0; i++) {
		n = n < 1000 ? n : 1000;
		snprintf(text, sizeof(text), "< P. n:n+%u(%u) ack u", n, n);
		if (!run_line(r, "preparation", i, text))
			return false;
		(void)drain(r, sent, sizeof(sent));
		sent[0] = '\0';
	}
	pass(r, WAIT_MS, sent, sizeof(sent), false);
	return e->rcv_adv == e->rcv_nxt;
}

static bool prepare(struct run *r, const char *const *lines, unsigned n, bool stamps)
{
	char text[160];

	for (unsigned i = 0; i < n && lines[i] != NULL; i++) {
		const char *syn = strstr(lines[i], "<SYN>");

		if (strcmp(lines[i], "OPEN") == 0) {
			if (!prepare(r, open_lines, sizeof(open_lines) / sizeof(open_lines[0]), stamps))
				return false;
			continue;
		}
		if (strcmp(lines[i], "FILL") == 0) {
			if (!fill(r))
				return wrong(r, "the window is not shut");
			continue;
		}
		snprintf(text, sizeof(text), "%.*s%s", syn != NULL ? (int)(syn - lines[i]) : (int)strlen(lines[i]), lines[i],
		         syn == NULL ? "" : stamps ? "<mss 1460,nop,nop,TS val 1000 ecr 0>" : "<mss 1460>");
		if (!run_line(r, "preparation", i, text))
			return false;
	}
	return true;
}

static struct seen look(struct run *r)
{
	struct end *e = &r->end[1];
	struct tcp_conn *c = end_conn(r, e);
	struct tuple t = { .local = run_addr(r, 1), .peer = run_addr(r, 2), .lport = e->port, .pport = e->peer_port };
	struct seen s = { .state = TCP_CLOSED };

	if (c != NULL)
		s = (struct seen){ .state = c->state, .rx_end = c->rx_end, .err = c->err };
	if (s.state == TCP_CLOSED && tcp_find(r->h.tcp, &t) != NULL)
		s.state = tcp_find(r->h.tcp, &t)->state; /* another has taken its place */
	return s;
}

/* The segment that came, for the rules of RSTs. */
static struct pkt_tcp came;

static const char *kind_of(const struct end *e, const struct pkt *p)
{
	uint8_t f = p->tcp.flags;
	uint32_t seq = p->tcp.seq - e->iss, ack = p->tcp.ack - e->peer_iss;
	uint32_t end = came.seq + came.text_len + ((came.flags & S) != 0) + ((came.flags & F) != 0);
	bool text = p->tcp.text_len > 0;

	if (f == S && !text)
		return "syn";
	if (f == (S | A) && seq == 0 && !text)
		return ack == came.seq - e->peer_iss + 1 || ack == 1 ? "synack" : "synack?";
	if (f == A && !text)
		return seq == e->snd_max && ack == e->rcv_nxt ? "ack" : "ack?";
	if ((f & ~P) == A)
		return seq == e->snd_una ? "text" : seq + p->tcp.text_len == e->snd_max ? "more" : "text?";
	if ((f & ~P) == (F | A))
		return text ? "text-fin" : "fin";
	if (f == R && (came.flags & A) != 0 && p->tcp.seq == came.ack)
		return "rst";
	if (f == (R | A) && p->tcp.seq == 0 && p->tcp.ack == end && (came.flags & A) == 0)
		return "rst";
	if (f == (R | A) && seq == e->snd_max && ack == e->rcv_nxt)
		return "abort";
	return "what?";
}

/* What was sent, as the table names it; returns the number of segments. */
static unsigned drain(struct run *r, char *cell, size_t size)
{
	struct end *e = &r->end[1];
	unsigned count = 0;
	struct pkt *p;

	while ((p = host_sent(&r->h)) != NULL) {
		size_t n = strlen(cell);

		wire_seen(r, e, p);
		end_note(r, e);
		snprintf(cell + n, size - n, "%s%s", n > 0 && cell[n - 1] != ',' ? "+" : "", kind_of(e, p));
		nic_free(p);
		count++;
	}
	return count;
}

static const char *abbreviation(enum tcp_state s)
{
	for (unsigned i = 0; i < COLUMNS; i++) /* the first of that state */
		if (column[i].state == s)
			return column[i].name;
	return "?";
}

static const char *error_name(int err)
{
	switch (err) {
	case ECONNRESET:
		return "RESET";
	case ECONNREFUSED:
		return "REFUSED";
	case ETIMEDOUT:
		return "TIMEDOUT";
	case EPIPE:
		return "PIPE";
	default:
		return "OTHER";
	}
}

/* The clock goes on: until something is sent, or to the end, whatever is sent. */
static void pass(struct run *r, uint64_t ms, char *cell, size_t size, bool until_sent)
{
	uint64_t end = r->h.now_us + ms * 1000;

	while (r->h.now_us < end) {
		uint64_t next = host_next(&r->h);
		char unseen[4096] = "";

		r->h.now_us = next > end ? end : next > r->h.now_us ? next : r->h.now_us;
		run_settle(r);
		if (drain(r, until_sent ? cell : unseen, until_sent ? size : sizeof(unseen)) > 0 && until_sent)
			return;
	}
}

/* A line of an event: a segment, a call whose result is the beginning of the cell, or a wait. */
static bool happen(struct run *r, const char *text, char *cell, size_t size)
{
	struct cursor c = { text };
	int64_t ms;

	if (take_char(&c, '<')) {
		struct cursor again = c;
		struct wanted w;

		if (!segment_read(r, &r->end[1], false, &again, &w))
			return false;
		came = (struct pkt_tcp){ .seq = r->end[1].peer_iss + (uint32_t)w.seq, .ack = r->end[1].iss + (uint32_t)w.ack,
			                 .flags = w.flags, .text_len = (uint16_t)(w.end - w.seq) };
		return wire_inject(r, &r->end[1], &c, false);
	}
	if (word(&c, "wait") || word(&c, "elapse")) {
		if (!take_number(&c, &ms))
			return wrong(r, "wait MILLISECONDS");
		pass(r, (uint64_t)ms, cell, size, text[0] == 'w');
		return true;
	}
	r->called = false;
	if (!run_line(r, "event", 0, text) && !r->called)
		return false;
	r->failed = false; /* an errno is a result, too */
	if (strncmp(text, "peer", 4) != 0 && strncmp(text, "icmp", 4) != 0)
		snprintf(cell + strlen(cell), size - strlen(cell), "%s%s,", cell[0] != '\0' ? "+" : "", r->returned);
	return true;
}

/* The cell of one state and one event, as it is. */
bool cell_observe(unsigned col, const struct happening *ev, bool stamps, bool six, char *cell, size_t size)
{
	static struct run r;
	struct seen before, after;
	size_t n = 0;

	run_begin(&r, six);
	r.conf.sack = r.conf.window_scaling = false;
	r.conf.quick_acks = 0; /* an ACK is delayed as the table says */
	r.conf.timestamps = stamps;
	if (column[col].rcvbuf != 0)
		r.conf.rcvbuf_initial = r.conf.rcvbuf_max = column[col].rcvbuf;
	cell[0] = '\0';
	memset(&came, 0, sizeof(came));
	run_start(&r);
	if ((stamps && !run_line(&r, "preparation", 0, "peer ts 1000")) || !prepare(&r, column[col].lines, STEPS, stamps)) {
		snprintf(cell, size, "%.400s", r.why);
		return false;
	}
	before = look(&r);
	for (unsigned i = 0; i < ev->count; i++) {
		if (!happen(&r, ev->lines[i], cell, size)) {
			snprintf(cell, size, "%.400s", r.why);
			return false;
		}
		n = strlen(cell);
		(void)drain(&r, cell, size);
	}
	if (strlen(cell) == n)
		pass(&r, WAIT_MS, cell, size, true); /* delayed ACKs */
	if (cell[0] == '\0')
		snprintf(cell, size, "-");
	after = look(&r);
	n = strlen(cell);
	if (after.rx_end > before.rx_end)
		n += (size_t)snprintf(cell + n, size - n, "(%u)", (unsigned)(after.rx_end - before.rx_end));
	if (after.state != before.state)
		n += (size_t)snprintf(cell + n, size - n, ">%s", abbreviation(after.state));
	if (after.err != before.err)
		snprintf(cell + n, size - n, "!%s", error_name(after.err));
	r.failed = true; /* what else is sent does not matter */
	run_end(&r);
	return true;
}

bool cell_column(const char *name, unsigned *col)
{
	for (*col = 0; *col < COLUMNS; ++*col)
		if (strcmp(column[*col].name, name) == 0)
			return true;
	return false;
}

const char *cell_column_name(unsigned col)
{
	return column[col].name;
}
