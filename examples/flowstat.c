/* SPDX-License-Identifier: BSD-3-Clause
 *
 * flowstat: a table of the connections on the wire, with states, bytes and rates; with the mOS API.
 *
 *	flowstat [-f FILTER] [-i SECONDS] [-n ROWS] [--log]
 *
 * Prints the busiest ROWS (20) every SECONDS (1).  --log prints a line instead when a flow begins, changes its state, and ends.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <sys/queue.h>

#include "examples/mon.h"

struct flow {
	LIST_ENTRY(flow) all;
	char client[END_MAX], server[END_MAX];
	int state[2];
	uint64_t pkts, bytes[2], last_bytes; /* bytes by who sent them */
	uint64_t rexmits;
	uint64_t rate;
};

static LIST_HEAD(, flow) flows = LIST_HEAD_INITIALIZER(flows);
static unsigned living, ended, rows = 20;
static unsigned interval_s = 1;
static bool log_lines;

static const char *const state_name[] = { "CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2",
					  "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT" };

static const char *name_of(int state)
{
	return state >= 0 && state <= MOS_TCP_TIME_WAIT ? state_name[state] : "-";
}

static struct flow *flow_of(mctx_t mctx, int sock)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	if (f != NULL)
		return f;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	flow_names(mctx, sock, f->client, f->server);
	mtcp_set_uctx(mctx, sock, f);
	LIST_INSERT_HEAD(&flows, f, all);
	living++;
	if (log_lines) {
		printf("begin %s > %s\n", f->client, f->server);
		fflush(stdout);
	}
	return f;
}

static void on_packet(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = flow_of(mctx, sock);
	struct pkt_info p;

	(void)event;
	if (f == NULL || mtcp_getlastpkt(mctx, sock, side, &p) != 0)
		return;
	f->pkts++;
	f->bytes[side] += p.payloadlen;
}

static void on_rexmit(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = flow_of(mctx, sock);

	(void)side;
	(void)event;
	if (f != NULL)
		f->rexmits++;
}

static void on_state(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock); /* NULL: it has ended on the other side, and has been told */
	bool changed = false;

	(void)side;
	(void)event;
	if (f == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		int state = flow_state(mctx, sock, i);

		changed = changed || state != f->state[i];
		f->state[i] = state;
	}
	if (log_lines && changed) {
		printf("state %s > %s %s %s\n", f->client, f->server, name_of(f->state[0]), name_of(f->state[1]));
		fflush(stdout);
	}
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	(void)side;
	(void)event;
	if (f == NULL)
		return; /* the other side's turn: it has been counted */
	if (log_lines) {
		printf("end   %s > %s %" PRIu64 " packets, %" PRIu64 " + %" PRIu64 " bytes, %" PRIu64 " retransmissions\n", f->client,
		       f->server, f->pkts, f->bytes[0], f->bytes[1], f->rexmits);
		fflush(stdout);
	}
	mtcp_set_uctx(mctx, sock, NULL);
	LIST_REMOVE(f, all);
	free(f);
	living--;
	ended++;
}

/* --- The table ------------------------------------------------------------------------------------------------------------- */

static int by_rate(const void *a, const void *b)
{
	const struct flow *x = *(struct flow *const *)a, *y = *(struct flow *const *)b;

	return x->rate < y->rate ? 1 : x->rate > y->rate ? -1 : 0;
}

static void on_timer(mctx_t mctx, int id, int side, event_t event)
{
	struct timeval every = { .tv_sec = interval_s };
	struct flow **list = calloc(living + 1, sizeof(*list)), *f;
	unsigned n = 0;

	(void)side;
	(void)event;
	if (list == NULL)
		return;
	LIST_FOREACH(f, &flows, all) {
		f->rate = (f->bytes[0] + f->bytes[1] - f->last_bytes) / interval_s;
		f->last_bytes = f->bytes[0] + f->bytes[1];
		list[n++] = f;
	}
	qsort(list, n, sizeof(*list), by_rate);
	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	printf("%u flows, %u ended\n%-46s %-12s %-12s %12s %12s %10s %6s\n", living, ended, "client > server", "client", "server",
	       "c > s bytes", "s > c bytes", "bytes/s", "again");
	for (unsigned i = 0; i < n && i < rows; i++) {
		f = list[i];
		printf("%s > %-*s %-12s %-12s %12" PRIu64 " %12" PRIu64 " %10" PRIu64 " %6" PRIu64 "\n", f->client,
		       (int)(43 - strlen(f->client)), f->server, name_of(f->state[0]), name_of(f->state[1]), f->bytes[0],
		       f->bytes[1], f->rate, f->rexmits);
	}
	fflush(stdout);
	free(list);
	mtcp_settimer(mctx, id, &every, on_timer);
}

static int usage(FILE *out)
{
	fprintf(out, "usage: flowstat [-f FILTER] [-i SECONDS] [-n ROWS] [--log]\n");
	return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "log", no_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' }, { 0 } };
	struct timeval first = { .tv_sec = 1 };
	char *filter = NULL;
	mctx_t mctx;
	int o, sock;

	while ((o = getopt_long(argc, argv, "f:i:n:lh", longs, NULL)) != -1) {
		if (o == 'f')
			filter = optarg;
		else if (o == 'i' && number_is(optarg, 1, 86400, &interval_s))
			continue;
		else if (o == 'n' && number_is(optarg, 1, 100000, &rows))
			continue;
		else if (o == 'l')
			log_lines = true;
		else
			return usage(o == 'h' ? stdout : stderr);
	}
	if (optind != argc)
		return usage(stderr);
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("flowstat", "no context");
	sock = watch_streams(mctx, filter);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_REXMIT, MOS_HK_SND, on_rexmit) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, on_state) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, on_state) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0)
		return complain("flowstat", "cannot watch");
	if (!log_lines)
		mtcp_settimer(mctx, 1, &first, on_timer);
	return watch_to_end(mctx) ? 0 : 1;
}
