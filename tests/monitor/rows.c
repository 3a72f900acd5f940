/* SPDX-License-Identifier: BSD-3-Clause
 *
 * rows: the runner.
 *
 *	rows --list                     the rows, as "GROUP: NAME"
 *	rows --sockets GROUP [NAME]     how many monitor sockets the rows will make: a replay waits for so many
 *	rows GROUP SCENES [NAME]        runs the rows of a group, all at once, those whose names contain NAME
 *
 * SCENES has a line "NAME PORT" for each scene.  Prints `ok rows: NAME` or `not ok rows: NAME: why` for each row.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOURNAL_MAX = 65536, LIMIT_S = 25 };

struct row_run run;

static const struct row_group *const groups[] = { &rows_event, &rows_order, &rows_stream, &rows_small, &rows_own, &rows_life, &rows_few, &rows_engines, &rows_packet, &rows_inline, &rows_edit };

static char journal[JOURNAL_MAX];
static size_t journal_len;
static char why[8192];
static size_t why_len;

/* --- Telling and checking -------------------------------------------------------------------------------------------------- */

void tell(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(journal + journal_len, sizeof(journal) - journal_len, fmt, ap);
	va_end(ap);
	if (n < 0 || journal_len + (size_t)n + 2 > sizeof(journal)) {
		wrong(__FILE__, __LINE__, "more is told than the journal holds");
		return;
	}
	journal_len += (size_t)n;
	journal[journal_len++] = '\n';
	journal[journal_len] = '\0';
}

void wrong(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	va_list ap;
	int n;

	if (why_len + 512 > sizeof(why))
		return;
	n = snprintf(why + why_len, 256, "%s:%d: ", base != NULL ? base + 1 : file, line);
	va_start(ap, fmt);
	n += vsnprintf(why + why_len + n, 255, fmt, ap);
	va_end(ap);
	why_len += n < 510 ? (size_t)n : 510;
	why[why_len++] = '\n';
	why[why_len] = '\0';
}

static unsigned line_len(const char *p)
{
	return (unsigned)strcspn(p, "\n");
}

/* Line by line; what is shown begins where the two part. */
static void journal_check(const char *want)
{
	const char *got = journal, *at = want;

	if (strcmp(journal, want) == 0)
		return;
	for (unsigned line = 1; *got != '\0' || *at != '\0'; line++) {
		unsigned g = line_len(got), w = line_len(at);

		if (g != w || memcmp(got, at, g) != 0) {
			wrong("journal", (int)line, "it says \"%.*s\", and not \"%.*s\"", (int)g, got, (int)w, at);
			return;
		}
		got += g + (got[g] != '\0');
		at += w + (at[w] != '\0');
	}
}

/* --- Registering ------------------------------------------------------------------------------------------------------------ */

int another(void)
{
	union monitor_filter ft = { .stream_syn_filter = run.only, .stream_orphan_filter = run.only };
	int sock = mtcp_socket(run.m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	if (sock < 0)
		wrong(__FILE__, __LINE__, "no socket: %s. %s", strerror(errno), mtcp_error_text());
	else
		EXPECT_IS(mtcp_bind_monitor_filter(run.m, sock, &ft), 0);
	return sock;
}

int raw(const char *filter)
{
	union monitor_filter ft = { .raw_pkt_filter = (char *)(uintptr_t)filter };
	int sock = mtcp_socket(run.m, AF_INET, MOS_SOCK_MONITOR_RAW, 0);

	if (sock < 0)
		wrong(__FILE__, __LINE__, "no raw socket: %s. %s", strerror(errno), mtcp_error_text());
	else if (filter != NULL)
		EXPECT_IS(mtcp_bind_monitor_filter(run.m, sock, &ft), 0);
	return sock;
}

void on(event_t event, int hook, callback_t cb)
{
	if (mtcp_register_callback(run.m, run.sock, event, hook, cb) != 0)
		wrong(__FILE__, __LINE__, "%s cannot be registered: %s", event_name(event), strerror(errno));
}

static void note(const char *hook, mctx_t m, int sock, int side, event_t event)
{
	tell("%s %s %s %s %s", hook, side_name(side), event_name(event), packet_flags(m, sock), states(m, sock));
}

void note_null(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	EXPECT(arg == NULL || event >= 4096);
	note("null", m, sock, side, event);
}

void note_snd(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	EXPECT(arg == NULL || event >= 4096);
	note("snd", m, sock, side, event);
}

void note_rcv(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	EXPECT(arg == NULL || event >= 4096);
	note("rcv", m, sock, side, event);
}

void note_all(void)
{
	static const event_t at_hook[] = { MOS_ON_CONN_END, MOS_ON_REXMIT, MOS_ON_TCP_STATE_CHANGE, MOS_ON_CONN_START, MOS_ON_PKT_IN };
	static const event_t at_none[] = { MOS_ON_ORPHAN, MOS_ON_ERROR, MOS_ON_CONN_NEW_DATA };

	for (unsigned i = 0; i < sizeof(at_hook) / sizeof(at_hook[0]); i++) {
		on(at_hook[i], MOS_HK_RCV, note_rcv);
		on(at_hook[i], MOS_HK_SND, note_snd);
	}
	for (unsigned i = 0; i < sizeof(at_none) / sizeof(at_none[0]); i++)
		on(at_none[i], MOS_NULL, note_null);
}

/* --- Words -------------------------------------------------------------------------------------------------------------------- */

const char *event_name(event_t event)
{
	static char own[24];

	switch (event) {
	case MOS_ON_PKT_IN: return "PKT_IN";
	case MOS_ON_PKT_OUT: return "PKT_OUT";
	case MOS_ON_CONN_START: return "CONN_START";
	case MOS_ON_CONN_SETUP: return "CONN_SETUP";
	case MOS_ON_CONN_NEW_DATA: return "NEW_DATA";
	case MOS_ON_ERROR: return "ERROR";
	case MOS_ON_TIMEOUT: return "TIMEOUT";
	case MOS_ON_TCP_STATE_CHANGE: return "STATE_CHANGE";
	case MOS_ON_ORPHAN: return "ORPHAN";
	case MOS_ON_REXMIT: return "REXMIT";
	case MOS_ON_CONN_END: return "CONN_END";
	case MOS_ON_DEBUG_MESSAGE: return "DEBUG_MESSAGE";
	default:
		snprintf(own, sizeof(own), "own%lld", (long long)event - 4096);
		return own;
	}
}

const char *side_name(int side)
{
	return side == MOS_SIDE_CLI ? "cli" : side == MOS_SIDE_SVR ? "svr" : side == MOS_SIDE_BOTH ? "both" : side == MOS_NULL ? "null" : "?";
}

const char *packet_flags(mctx_t m, int sock)
{
	static char text[8];
	struct pkt_info p;
	unsigned n = 0;

	if (mtcp_getlastpkt(m, sock, 0, &p) != 0) {
		EXPECT_IS(errno, ENODATA);
		return "-";
	}
	if (p.tcph == NULL)
		return p.iph != NULL ? "IP" : "frame";
	for (unsigned bit = 0; bit < 6; bit++) {
		static const uint8_t order[] = { 2, 4, 8, 1, 32, 16 };

		if ((((const uint8_t *)p.tcph)[13] & order[bit]) != 0)
			text[n++] = "SRPFUA"[bit];
	}
	text[n] = '\0';
	return n > 0 ? text : "none";
}

int state_of(mctx_t m, int sock, int side)
{
	socklen_t len = sizeof(int);
	int state = -1;

	if (mtcp_getsockopt(m, sock, SOL_MONSOCKET, side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR, &state, &len) != 0)
		return -1;
	return state;
}

static const char *state_name(int state)
{
	static const char *const names[] = { "CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2",
					     "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT" };

	return state < 0 || state > MOS_TCP_TIME_WAIT ? "-" : names[state];
}

const char *states(mctx_t m, int sock)
{
	static char text[40];

	snprintf(text, sizeof(text), "%s/%s", state_name(state_of(m, sock, MOS_SIDE_CLI)), state_name(state_of(m, sock, MOS_SIDE_SVR)));
	return text;
}

/* --- Packets and streams ------------------------------------------------------------------------------------------------ */

bool carries(mctx_t m, int sock, const char *text)
{
	struct pkt_info p;

	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, &p), 0);
	return p.payloadlen >= strlen(text) && memcmp(p.payload, text, strlen(text)) == 0;
}

void tell_packet(mctx_t m, int sock, const char *who)
{
	struct pkt_info p;

	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, &p), 0);
	if (p.payloadlen == 0)
		return;
	EXPECT_IS(p.ip_len, p.iph->ihl * 4 + p.tcph->doff * 4 + p.payloadlen);
	EXPECT(p.eth_len >= p.ip_len + 14);
	EXPECT_IS(ntohs(p.iph->tot_len), p.ip_len);
	tell("%s packet \"%.*s\" at %llu", who, p.payloadlen, (char *)p.payload, (unsigned long long)p.offset);
}

void tell_stream(mctx_t m, int sock, int side, const char *who)
{
	char buf[1024];
	ssize_t n = mtcp_peek(m, sock, side, buf, sizeof(buf));

	tell("%s stream \"%.*s\"", who, n > 0 ? (int)n : 0, buf);
}

int change(mctx_t m, int sock, off_t off, const char *text, uint16_t len, int option)
{
	return mtcp_setlastpkt(m, sock, 0, off, (byte *)(uintptr_t)text, len, option);
}

const char *pieces(mctx_t m, int sock, socklen_t len, socklen_t *count)
{
	static char text[256];
	struct tcp_ring_fragment f[32];

	text[0] = '\0';
	EXPECT_IS(mtcp_getsockopt(m, sock, SOL_MONSOCKET, MOS_FRAGINFO_SVRBUF, f, &len), 0);
	for (unsigned i = 0; i < len && i < 32; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s[%llu,%llu)", i > 0 ? " " : "", (unsigned long long)f[i].offset,
			 (unsigned long long)f[i].offset + f[i].len);
	*count = len;
	return text;
}

void arrives(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event;
	(void)arg;
	EXPECT_IS(mtcp_getlastpkt(m, sock, 0, &p), 0);
	if (p.payloadlen == 0)
		return;
	tell_packet(m, sock, "arriving");
	tell_stream(m, sock, side, side_name(side));
}

/* --- One row -------------------------------------------------------------------------------------------------------------------- */

static bool scene_find(const char *path, const char *scene)
{
	char name[64];
	FILE *f = fopen(path, "re");
	bool found = false;

	while (f != NULL && !found && fscanf(f, "%63s %d", name, &run.port) == 2)
		found = strcmp(name, scene) == 0;
	if (f != NULL)
		fclose(f);
	snprintf(run.only, sizeof(run.only), "port %d", run.port);
	return found;
}

static void row_play(const struct row *r, const char *scenes)
{
	if (!scene_find(scenes, r->scene)) {
		wrong(__FILE__, __LINE__, "no scene \"%s\"", r->scene);
		return;
	}
	run.m = mtcp_create_context(0);
	if (run.m == NULL) {
		wrong(__FILE__, __LINE__, "no context: %s. %s", strerror(errno), mtcp_error_text());
		return;
	}
	EXPECT_IS(mtcp_monitor_lossless(run.m), 0);
	run.sock = another();
	r->begin();
	mtcp_app_join(run.m);
	mtcp_destroy_context(run.m);
	if (r->told != NULL)
		journal_check(r->told);
	if (r->end != NULL)
		r->end();
}

static void row_report(const struct row *r, FILE *out)
{
	const char *text;

	fprintf(out, "%sok rows: %s%s%.*s\n", why_len > 0 ? "not " : "", r->name, why_len > 0 ? ": " : "", (int)line_len(why), why);
	if (why_len == 0)
		return;
	for (text = why + line_len(why) + 1; text < why + why_len; text += line_len(text) + 1)
		fprintf(out, "#   %.*s\n", (int)line_len(text), text);
	for (text = journal; *text != '\0'; text += line_len(text) + 1)
		fprintf(out, "#   | %.*s\n", (int)line_len(text), text);
}

static pid_t row_start(const struct row *r, const char *scenes, FILE *out)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	alarm(LIMIT_S);
	row_play(r, scenes);
	row_report(r, out);
	fflush(out);
	_exit(why_len > 0);
}

static void row_end(const struct row *r, pid_t pid, FILE *out)
{
	int status = 0, c;

	waitpid(pid, &status, 0);
	rewind(out);
	while ((c = getc(out)) != EOF)
		putchar(c);
	if (WIFSIGNALED(status))
		printf("not ok rows: %s: %s\n", r->name, WTERMSIG(status) == SIGALRM ? "it does not end" : strsignal(WTERMSIG(status)));
	fclose(out);
}

/* --- All ------------------------------------------------------------------------------------------------------------------------- */

static const struct row_group *group_find(const char *name)
{
	for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (strcmp(groups[i]->name, name) == 0)
			return groups[i];
	}
	return NULL;
}

static bool chosen(const struct row *r, const char *name)
{
	return name == NULL || strstr(r->name, name) != NULL;
}

static unsigned sockets(const struct row_group *g, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->rows; i++)
		n += chosen(&g->row[i], name) ? 1 + g->row[i].socks : 0;
	return n;
}

static int play(const struct row_group *g, const char *scenes, const char *name)
{
	FILE *out[64];
	pid_t pid[64];

	for (unsigned i = 0; i < g->rows; i++) {
		out[i] = chosen(&g->row[i], name) ? tmpfile() : NULL;
		pid[i] = out[i] != NULL ? row_start(&g->row[i], scenes, out[i]) : -1;
	}
	for (unsigned i = 0; i < g->rows; i++) {
		if (pid[i] > 0)
			row_end(&g->row[i], pid[i], out[i]);
		else if (chosen(&g->row[i], name))
			printf("not ok rows: %s: no process\n", g->row[i].name);
	}
	return 0;
}

static int list(void)
{
	for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		for (unsigned k = 0; k < groups[i]->rows; k++)
			printf("%s: %s\n", groups[i]->name, groups[i]->row[k].name);
	}
	return 0;
}

int main(int argc, char **argv)
{
	bool count = argc > 1 && strcmp(argv[1], "--sockets") == 0;
	const struct row_group *g = argc > 2 ? group_find(argv[count ? 2 : 1]) : NULL;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return list();
	if (g == NULL || g->rows > 64) {
		fprintf(stderr, "usage: rows GROUP SCENES [NAME], or rows --sockets GROUP [NAME]\n");
		return 2;
	}
	if (count)
		printf("%u\n", sockets(g, argv[3]));
	return count ? 0 : play(g, argv[2], argv[3]);
}
