/* SPDX-License-Identifier: BSD-3-Clause
 *
 * match: looks for patterns in what both ends of each connection say, also across segments, with the mOS API and Hyperscan.
 *
 *	match [-f FILTER] PATTERNS
 *
 * PATTERNS: one Perl-compatible regular expression a line, # begins a comment.  An alert is a line of JSON; its time is
 * mtcp_cb_get_ts(): microseconds, 32 bits of them.
 *
 * It also shows user-defined events: one filter under NEW_DATA scans each stream once, however many patterns there are, and
 * raises an event per pattern that was found; their callbacks run right after.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <sys/time.h>

#include <hs/hs.h>

#include "examples/mon.h"

enum { PATTERNS_MAX = 4096 };

struct flow {
	hs_stream_t *stream[2]; /* by side */
	uint64_t at[2];         /* stream offset of what is being scanned */
	char client[END_MAX], server[END_MAX];
};

struct scan {
	mctx_t mctx;
	int side;
};

static char *pattern[PATTERNS_MAX];
static event_t found[PATTERNS_MAX];
static unsigned patterns;
static hs_database_t *database;
static hs_scratch_t *scratch;
/* what the callback of a raised event tells about */
static unsigned long long found_at[PATTERNS_MAX];

static struct flow *flow_of(mctx_t mctx, int sock)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	if (f != NULL)
		return f;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	if (hs_open_stream(database, 0, &f->stream[0]) != HS_SUCCESS || hs_open_stream(database, 0, &f->stream[1]) != HS_SUCCESS) {
		hs_close_stream(f->stream[0], NULL, NULL, NULL); /* NULL is a stream that there is not */
		free(f);
		return NULL;
	}
	flow_names(mctx, sock, f->client, f->server);
	mtcp_set_uctx(mctx, sock, f);
	return f;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *arg)
{
	struct scan *s = arg;

	(void)from;
	(void)flags;
	found_at[id] = to;
	mtcp_raise_event(s->mctx, found[id]);
	return 0;
}

/* The filter of the event under NEW_DATA: it sees all bytes once.  True: its children, as raised, have their turn. */
static bool scan(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = flow_of(mctx, sock);
	struct scan s = { mctx, side };
	static char buf[65536];
	ssize_t n;

	(void)event;
	(void)arg;
	while (f != NULL && (n = mtcp_peek(mctx, sock, side, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno != ENODATA)
			break;
		if (n < 0) { /* bytes that nobody saw: nothing can match across them */
			hs_reset_stream(f->stream[side], 0, scratch, NULL, NULL);
			f->at[side] += (uint64_t)-n;
			continue;
		}
		hs_scan_stream(f->stream[side], buf, (unsigned)n, 0, scratch, on_match, &s);
		f->at[side] += (uint64_t)n;
	}
	return true;
}

static void print_quoted(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < ' ') {
			printf("\\u%04x", (unsigned)*s);
			continue;
		}
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static void on_found(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = flow_of(mctx, sock);
	unsigned id = 0;

	while (id < patterns && found[id] != event)
		id++;
	if (f == NULL || id == patterns)
		return;
	printf("{\"time\":%u,\"client\":\"%s\",\"server\":\"%s\",\"from\":\"%s\",\"end\":%llu,\"pattern\":", mtcp_cb_get_ts(mctx),
	       f->client, f->server, side == MOS_SIDE_SVR ? "client" : "server", found_at[id]);
	print_quoted(pattern[id]);
	printf("}\n");
	fflush(stdout);
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	(void)side;
	(void)event;
	if (f == NULL)
		return;
	for (int i = 0; i < 2; i++)
		hs_close_stream(f->stream[i], scratch, NULL, NULL);
	mtcp_set_uctx(mctx, sock, NULL);
	free(f);
}

static bool patterns_read(const char *file)
{
	FILE *in = fopen(file, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (in == NULL) {
		fprintf(stderr, "match: %s: %s\n", file, strerror(errno));
		return false;
	}
	while (patterns <= PATTERNS_MAX && (n = getline(&line, &size, in)) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		if (patterns < PATTERNS_MAX)
			pattern[patterns] = strdup(line);
		patterns++;
	}
	free(line);
	fclose(in);
	if (patterns == 0 || patterns > PATTERNS_MAX)
		fprintf(stderr, "match: %s: %s\n", file, patterns == 0 ? "there is no pattern in it" : "more than 4096 patterns");
	return patterns > 0 && patterns <= PATTERNS_MAX;
}

static bool patterns_compile(const char *file)
{
	static unsigned id[PATTERNS_MAX];
	hs_compile_error_t *error = NULL;

	for (unsigned i = 0; i < patterns; i++)
		id[i] = i;
	if (hs_compile_multi((const char *const *)pattern, NULL, id, patterns, HS_MODE_STREAM, NULL, &database, &error) !=
	    HS_SUCCESS) {
		fprintf(stderr, "match: %s: pattern %d: %s\n", file, error->expression + 1, error->message);
		return false;
	}
	return hs_alloc_scratch(database, &scratch) == HS_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *file = argv[argc - 1];
	char *filter = NULL;
	event_t scanned;
	mctx_t mctx;
	int o, sock;

	while ((o = getopt(argc, argv, "f:")) == 'f')
		filter = optarg;
	if (o != -1 || optind != argc - 1) {
		fprintf(stderr, "usage: match [-f FILTER] PATTERNS\n");
		return 2;
	}
	if (!patterns_read(file) || !patterns_compile(file))
		return 1;
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("match", "no context");
	sock = watch_streams(mctx, filter);
	scanned = mtcp_define_event(MOS_ON_CONN_NEW_DATA, scan, NULL);
	if (sock < 0 || scanned == MOS_NULL_EVENT || mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0)
		return complain("match", "cannot watch");
	for (unsigned i = 0; i < patterns; i++) {
		found[i] = mtcp_alloc_event(scanned);
		if (found[i] == MOS_NULL_EVENT || mtcp_register_callback(mctx, sock, found[i], MOS_NULL, on_found) != 0)
			return complain("match", "cannot watch");
	}
	return watch_to_end(mctx) ? 0 : 1;
}
