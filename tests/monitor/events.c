/* SPDX-License-Identifier: BSD-3-Clause
 *
 * events: everything that a monitor is told, a line each, for tests/system/monitors.sh.
 *
 *	events [-f FILTER]
 *
 *	FLOW HOOK SIDE EVENT, the time, states and stream ends of client and server, the packet, what has been read of the streams
 *
 * Two monitors of the same flows print the same; where several engines share the flows, the lines of each flow are the same, but for what
 * a burst was (NEW_DATA).  Fails when something is told of a flow before its beginning or after its last CONN_END, or when not all four of
 * these come.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>

#include "examples/mon.h"

enum { HASH = 0x01000193, ENDS = 4 };

struct text {
	uint64_t bytes, missed;
	uint64_t hole_at; /* bytes before the last hole */
	uint32_t hash;
};

struct flow {
	char client[END_MAX], server[END_MAX];
	unsigned starts, ends;
	struct text text[2]; /* by side, all that has been read */
};

static mctx_t context;
static unsigned long flows, open_flows, wrong;
static int raw_sock;

static const char *name_of(event_t event)
{
	switch (event) {
	case MOS_ON_PKT_IN:
		return "PKT_IN";
	case MOS_ON_CONN_START:
		return "CONN_START";
	case MOS_ON_CONN_NEW_DATA:
		return "NEW_DATA";
	case MOS_ON_ERROR:
		return "ERROR";
	case MOS_ON_TCP_STATE_CHANGE:
		return "STATE_CHANGE";
	case MOS_ON_ORPHAN:
		return "ORPHAN";
	case MOS_ON_REXMIT:
		return "REXMIT";
	case MOS_ON_CONN_END:
		return "CONN_END";
	}
	return "?";
}

static uint32_t hash(uint32_t h, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ ((const uint8_t *)bytes)[i]) * HASH;
	return h;
}

/* --- One event ---------------------------------------------------------------------------------------------------------------- */

static void is_wrong(const struct flow *f, event_t event, const char *what)
{
	wrong++;
	fprintf(stderr, "events: flow %s>%s: %s: %s\n", f->client, f->server, name_of(event), what);
}

static struct flow *flow_of(mctx_t mctx, int sock, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	if (f == NULL) {
		f = calloc(1, sizeof(*f));
		if (f == NULL)
			abort();
		flow_names(mctx, sock, f->client, f->server);
		f->text[0].hash = f->text[1].hash = HASH;
		flows++;
		open_flows++;
		mtcp_set_uctx(mctx, sock, f);
		if (event != MOS_ON_PKT_IN && event != MOS_ON_CONN_START)
			is_wrong(f, event, "it has not begun");
	}
	/* between its ends for either side and hook states may change */
	if (f->ends > 0 && event != MOS_ON_CONN_END && event != MOS_ON_TCP_STATE_CHANGE)
		is_wrong(f, event, "it has ended");
	if (f->starts == 0 && event != MOS_ON_CONN_START && event != MOS_ON_PKT_IN)
		is_wrong(f, event, "no CONN_START has come");
	f->starts += event == MOS_ON_CONN_START;
	f->ends += event == MOS_ON_CONN_END;
	return f;
}

static void print_ends(mctx_t mctx, int sock)
{
	for (int side = 0; side < 2; side++) {
		struct tcp_buf_info info = { 0 };
		socklen_t len = sizeof(info);
		int err = mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, side == MOS_SIDE_CLI ? MOS_INFO_CLIBUF : MOS_INFO_SVRBUF, &info,
					  &len);

		printf(" %d:%d", flow_state(mctx, sock, side), err);
		if (err == 0)
			printf(":%" PRIu32, info.tcpbi_next_byte_expected - info.tcpbi_init_seq);
	}
}

static void print_packet(mctx_t mctx, int sock, int side)
{
	struct pkt_info p;

	if (mtcp_getlastpkt(mctx, sock, side, &p) == 0)
		printf(" pkt %u %u+%u@%" PRIu64 " %08x", p.eth_len, p.seq, p.payloadlen, p.offset,
		       hash(HASH, p.payload, p.payloadlen));
}

/* Reads what has come since the last time; a hole counts as what is missing. */
static void print_text(mctx_t mctx, int sock, int side, struct text *t)
{
	static char buf[65536];
	ssize_t n;

	while ((n = mtcp_peek(mctx, sock, side, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno != ENODATA) {
			printf(" %s", strerror(errno));
			break;
		}
		if (n < 0) {
			if (t->missed == 0 || t->hole_at != t->bytes)
				t->hash = hash(t->hash, &t->bytes, sizeof(t->bytes)); /* told in pieces or at once, it is one */
			t->missed += (uint64_t)-n;
			t->hole_at = t->bytes;
		} else {
			t->hash = hash(t->hash, buf, (size_t)n);
			t->bytes += (uint64_t)n;
		}
	}
	printf(" text %d %" PRIu64 "-%" PRIu64 " %08x", side, t->bytes, t->missed, t->hash);
}

static void tell(mctx_t mctx, int sock, const char *hook, int side, event_t event)
{
	struct flow *f;

	if (event == MOS_ON_ORPHAN || sock == raw_sock) {
		printf("- %s %d %s %" PRIu32, hook, side, sock == raw_sock ? "RAW" : name_of(event), mtcp_cb_get_ts(mctx));
		print_packet(mctx, sock, side);
		putchar('\n');
		return;
	}
	f = flow_of(mctx, sock, event);
	printf("%s>%s %s %d %s %" PRIu32, f->client, f->server, hook, side, name_of(event), mtcp_cb_get_ts(mctx));
	print_ends(mctx, sock);
	if (event != MOS_ON_CONN_END && event != MOS_ON_CONN_NEW_DATA)
		print_packet(mctx, sock, side);
	if (event == MOS_ON_CONN_NEW_DATA)
		print_text(mctx, sock, side, &f->text[side]);
	for (int i = 0; event == MOS_ON_CONN_END && i < 2; i++)
		print_text(mctx, sock, i, &f->text[i]);
	putchar('\n');
	if (f->ends == ENDS) { /* whatever comes now begins another flow, or is wrong */
		mtcp_set_uctx(mctx, sock, NULL);
		free(f);
		open_flows--;
	}
}

static void on_null(mctx_t mctx, int sock, int side, event_t event)
{
	tell(mctx, sock, "-", side, event);
}

static void on_send(mctx_t mctx, int sock, int side, event_t event)
{
	tell(mctx, sock, "SND", side, event);
}

static void on_receive(mctx_t mctx, int sock, int side, event_t event)
{
	tell(mctx, sock, "RCV", side, event);
}

/* --- Setting up --------------------------------------------------------------------------------------------------------------- */

static int watch(mctx_t mctx, char *filter)
{
	static const event_t at_hooks[] = { MOS_ON_PKT_IN, MOS_ON_CONN_START, MOS_ON_TCP_STATE_CHANGE, MOS_ON_REXMIT,
					    MOS_ON_CONN_END };
	static const event_t at_none[] = { MOS_ON_CONN_NEW_DATA, MOS_ON_ERROR, MOS_ON_ORPHAN };
	int sock = watch_streams(mctx, filter), err = sock < 0;

	for (unsigned i = 0; i < sizeof(at_hooks) / sizeof(at_hooks[0]) && err == 0; i++) {
		err |= mtcp_register_callback(mctx, sock, at_hooks[i], MOS_HK_SND, on_send);
		err |= mtcp_register_callback(mctx, sock, at_hooks[i], MOS_HK_RCV, on_receive);
	}
	for (unsigned i = 0; i < sizeof(at_none) / sizeof(at_none[0]) && err == 0; i++)
		err |= mtcp_register_callback(mctx, sock, at_none[i], MOS_NULL, on_null);
	raw_sock = err == 0 ? mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0) : -1;
	if (raw_sock < 0)
		return -1;
	return mtcp_register_callback(mctx, raw_sock, MOS_ON_PKT_IN, MOS_NULL, on_null);
}

static int end(void)
{
	mtcp_destroy_context(context);
	if (open_flows > 0)
		fprintf(stderr, "events: %lu flows of %lu have not ended\n", open_flows, flows);
	fprintf(stderr, "events: %lu flows\n", flows);
	return fflush(stdout) != 0 || wrong > 0 || open_flows > 0;
}

static void on_signal(int signum)
{
	(void)signum;
	exit(end());
}

int main(int argc, char **argv)
{
	static char buf[1 << 20];
	char *filter = NULL;
	int o;

	while ((o = getopt(argc, argv, "f:")) != -1) {
		if (o != 'f')
			return 2;
		filter = optarg;
	}
	setvbuf(stdout, buf, _IOFBF, sizeof(buf));
	context = mtcp_create_context(0);
	if (context == NULL)
		return complain("events", "no context");
	mtcp_monitor_lossless(context); /* a replay waits for us */
	if (watch(context, filter) != 0)
		return complain("events", "cannot watch");
	mtcp_register_signal(SIGINT, on_signal);
	mtcp_app_join(context);
	return end();
}
