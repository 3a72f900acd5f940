/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every state with every event, with and without timestamps, over IPv4 and IPv6, against the table in matrix.txt, which says
 * how it is read.
 *
 *   tests/trace/matrix [-p] [FILE]      -p: prints the cells that differ (those with timestamps marked), to be compared with the RFC
 */
#include "tests/trace/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COLUMNS = 12, EVENTS = 128, LINES = 8, WAIT_MS = 100 };

/* How a state is reached: 100 bytes have gone both ways; where the state allows, 100 of ours are in flight. */
static const struct {
	const char *name;
	enum tcp_state state;
	const char *lines[2 * LINES];
} column[COLUMNS] = {
	{ "CD", TCP_CLOSED, { NULL } },
	{ "LI", TCP_LISTEN, { "listen" } },
	{ "SS", TCP_SYN_SENT, { "connect from 5000", "* > S 0:0(0) <...>" } },
	{ "SR", TCP_SYN_RCVD, { "listen", "< S 0:0(0) <SYN>", "> S. 0:0(0) ack 1 <...>" } },
	{ "SA", TCP_SYN_RCVD, { "connect from 5000", "> S 0:0(0) <...>", "< S 0:0(0) <SYN>", "> S. 0:0(0) ack 1 <...>" } },
	{ "ES", TCP_ESTABLISHED, { "OPEN", "send 100", "> P. 101:201(100) ack 101" } },
	{ "F1", TCP_FIN_WAIT_1, { "OPEN", "send 100", "> P. 101:201(100) ack 101", "shutdown wr", "> F. 201:201(0) ack 101" } },
	{ "F2", TCP_FIN_WAIT_2, { "OPEN", "shutdown wr", "> F. 101:101(0) ack 101", "< . 101:101(0) ack 102" } },
	{ "CW", TCP_CLOSE_WAIT, { "OPEN", "< F. 101:101(0) ack 101", "> . 101:101(0) ack 102", "send 100", "> P. 101:201(100) ack 102" } },
	{ "CL", TCP_CLOSING, { "OPEN", "send 100", "> P. 101:201(100) ack 101", "shutdown wr", "> F. 201:201(0) ack 101",
	                       "< F. 101:101(0) ack 101", "> . 202:202(0) ack 102" } },
	{ "LA", TCP_LAST_ACK, { "OPEN", "< F. 101:101(0) ack 101", "> . 101:101(0) ack 102", "send 100", "> P. 101:201(100) ack 102",
	                        "shutdown wr", "> F. 201:201(0) ack 102" } },
	{ "TW", TCP_TIME_WAIT, { "OPEN", "shutdown wr", "> F. 101:101(0) ack 101", "< F. 101:101(0) ack 102", "> . 102:102(0) ack 102" } },
};

static const char *const open_lines[] = {
	"listen", "< S 0:0(0) <SYN>", "> S. 0:0(0) ack 1 <...>", "< . 1:1(0) ack 1", "accept", "send 100", "> P. 1:101(100) ack 1",
	"< P. 1:101(100) ack 101", "recv 100 = 100", "*> . 101:101(0) ack 101 <...>",
};

static struct happening {
	char name[32], lines[LINES][128];
	unsigned count;
	enum { BOTH, PLAIN, STAMPED } when;
} event[EVENTS];
static unsigned events;
static bool print;

/* What can be seen of a connection before and after. */
struct seen {
	enum tcp_state state;
	uint64_t rx_end;
	int err;
};

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
		return seq == e->snd_una ? "text" : "text?";
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
	for (unsigned i = 0; i < COLUMNS; i++)
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
	if (word(&c, "wait")) {
		if (!take_number(&c, &ms))
			return wrong(r, "wait MILLISECONDS");
		for (uint64_t end = r->h.now_us + (uint64_t)ms * 1000, next; r->h.now_us < end;) {
			next = host_next(&r->h);
			r->h.now_us = next > end ? end : next > r->h.now_us ? next : r->h.now_us;
			run_settle(r);
			if (drain(r, cell, size) > 0)
				break;
		}
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
static bool observe(unsigned col, const struct happening *ev, bool stamps, bool six, char *cell, size_t size)
{
	static struct run r;
	struct seen before, after;
	uint64_t end;
	size_t n = 0;

	run_begin(&r, six);
	r.conf.sack = r.conf.window_scaling = false;
	r.conf.timestamps = stamps;
	cell[0] = '\0';
	memset(&came, 0, sizeof(came));
	run_start(&r);
	if ((stamps && !run_line(&r, "preparation", 0, "peer ts 1000")) || !prepare(&r, column[col].lines, 2 * LINES, stamps)) {
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
	for (end = r.h.now_us + WAIT_MS * 1000; r.h.now_us < end && strlen(cell) == n;) { /* delayed ACKs */
		uint64_t next = host_next(&r.h);

		r.h.now_us = next > end ? end : next > r.h.now_us ? next : r.h.now_us;
		run_settle(&r);
		(void)drain(&r, cell, size);
	}
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

/* --- The table -------------------------------------------------------------------------------------------------------- */

/* event NAME LINE; LINE... */
static bool read_event(const char *text)
{
	struct happening *ev = &event[events];
	struct cursor c = { text };
	char *copy, *line, *rest;

	if (events == EVENTS || !take_name(&c, ev->name, sizeof(ev->name)))
		return false;
	ev->when = word(&c, "plain") ? PLAIN : word(&c, "stamped") ? STAMPED : BOTH;
	rest = copy = strdup(c.at);
	while ((line = strsep(&rest, ";")) != NULL && ev->count < LINES)
		snprintf(ev->lines[ev->count++], sizeof(ev->lines[0]), "%s", line + strspn(line, " \t"));
	free(copy);
	events++;
	return true;
}

static const struct happening *find_event(const char *name)
{
	for (unsigned i = 0; i < events; i++)
		if (strcmp(event[i].name, name) == 0)
			return &event[i];
	return NULL;
}

/* Is one cell as it should be, with timestamps or without? */
static bool check_cell(const char *where, unsigned col, const struct happening *ev, bool stamps, const char *cell)
{
	char got[2][1100];

	if (ev->when == (stamps ? PLAIN : STAMPED))
		return true;
	for (unsigned six = 0; six < 2; six++) {
		if (observe(col, ev, stamps, six != 0, got[six], sizeof(got[0])) && strcmp(got[six], cell) == 0)
			continue;
		if (print)
			printf(" %.50s%s", got[six], stamps ? "'" : "");
		else
			printf("%s %s in %s%s, IPv%c: %s, not %s\n", where, ev->name, column[col].name,
			       stamps ? " with timestamps" : "", six != 0 ? '6' : '4', got[six], cell);
		return false;
	}
	return true;
}

/* Number of cells that differ. */
static unsigned check_row(const char *path, unsigned line, const struct happening *ev, char **cells)
{
	char where[1100];
	unsigned bad = 0;

	snprintf(where, sizeof(where), "%s:%u:", path, line);
	if (print)
		printf("%-14s", ev->name);
	for (unsigned i = 0; i < COLUMNS; i++)
		for (unsigned stamps = 0; stamps < 2; stamps++)
			bad += !check_cell(where, i, ev, stamps != 0, cells[i]);
	if (print)
		printf("\n");
	return bad;
}

static bool row(const char *path, unsigned line, char *text, unsigned *bad)
{
	char *cells[COLUMNS + 1], *name = strtok(text, " \t"), *cell;
	const struct happening *ev = find_event(name);
	unsigned n = 0;
	int status = 0;
	pid_t pid;

	while ((cell = strtok(NULL, " \t")) != NULL && n <= COLUMNS)
		cells[n++] = cell;
	if (ev == NULL || (n != COLUMNS && !print)) {
		printf("%s:%u: %s: %u cells\n", path, line, ev == NULL ? "no such event" : name, n);
		return false;
	}
	for (; n < COLUMNS; n++)
		cells[n] = "?";
	fflush(stdout);
	pid = fork(); /* what brings the engine down costs one row */
	if (pid == 0) {
		alarm(60);
		n = check_row(path, line, ev, cells);
		fflush(stdout);
		_exit(n > 100 ? 100 : (int)n); /* not exit(): it would move our place in the table */
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
		printf("%s:%u: %s: it did not come to its end\n", path, line, name);
		++*bad;
		return false;
	}
	*bad += (unsigned)WEXITSTATUS(status);
	return true;
}

int main(int argc, char **argv)
{
	const char *top = getenv("srcdir");
	unsigned bad = 0, rows = 0;
	char path[1024], text[512];
	bool good = true;
	FILE *f;

	print = argc > 1 && strcmp(argv[1], "-p") == 0;
	snprintf(path, sizeof(path), "%s/tests/trace/matrix.txt", top != NULL ? top : ".");
	if (argc > 1 + print)
		snprintf(path, sizeof(path), "%s", argv[1 + print]);
	f = fopen(path, "r");
	for (unsigned line = 1; f != NULL && fgets(text, sizeof(text), f) != NULL; line++) {
		struct cursor c = { text };

		text[strcspn(text, "\n")] = '\0';
		if (at_end(&c)) {
			if (print)
				printf("%s\n", text);
			continue;
		}
		if (word(&c, "event")) {
			good = read_event(c.at) && good;
			if (print)
				printf("%s\n", text);
			continue;
		}
		rows++;
		good = row(path, line, text, &bad) && good;
	}
	if (f != NULL)
		fclose(f);
	printf("matrix: %u rows of %u states, %u cells wrong\n", rows, (unsigned)COLUMNS, bad);
	return good && bad == 0 && rows > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
