/* SPDX-License-Identifier: BSD-3-Clause
 *
 * retrans: who retransmits, and does the second copy say what the first one said?  With the mOS API.
 *
 *	retrans [-f FILTER]
 *
 * A line for each retransmission that carries other bytes than before ("fake"), and one per flow at its end.  Retransmissions are
 * looked at before the receiver's stream is written, so the old bytes are still there to be compared.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>

#include "examples/mon.h"

struct flow {
	uint64_t same[2], fake[2], unknown[2]; /* by side: who received them again */
};

static struct flow *flow_of(mctx_t mctx, int sock)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	if (f != NULL)
		return f;
	f = calloc(1, sizeof(*f));
	mtcp_set_uctx(mctx, sock, f);
	return f;
}

static void on_rexmit(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = flow_of(mctx, sock);
	static __thread char old[65536];
	char client[END_MAX], server[END_MAX];
	struct pkt_info p;
	ssize_t n;

	(void)event;
	if (f == NULL || mtcp_getlastpkt(mctx, sock, side, &p) != 0 || p.payloadlen == 0)
		return;
	n = mtcp_ppeek(mctx, sock, side, old, p.payloadlen, p.offset);
	if (n <= 0) {
		f->unknown[side]++;
		return;
	}
	if (memcmp(old, p.payload, (size_t)n) == 0) {
		f->same[side]++;
		return;
	}
	f->fake[side]++;
	flow_names(mctx, sock, client, server);
	printf("fake  %s %s %s at %" PRIu64 ", %u bytes\n", client, side == MOS_SIDE_SVR ? ">" : "<", server, p.offset, p.payloadlen);
	fflush(stdout);
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);
	char client[END_MAX], server[END_MAX];

	(void)side;
	(void)event;
	if (f == NULL)
		return;
	flow_names(mctx, sock, client, server);
	printf("end   %s > %s client sent again: %" PRIu64 " same, %" PRIu64 " fake, %" PRIu64 " too old to tell; server: %" PRIu64
	       " same, %" PRIu64 " fake, %" PRIu64 " too old to tell\n", client, server, f->same[MOS_SIDE_SVR],
	       f->fake[MOS_SIDE_SVR], f->unknown[MOS_SIDE_SVR], f->same[MOS_SIDE_CLI], f->fake[MOS_SIDE_CLI],
	       f->unknown[MOS_SIDE_CLI]);
	fflush(stdout);
	mtcp_set_uctx(mctx, sock, NULL);
	free(f);
}

int main(int argc, char **argv)
{
	char *filter = NULL;
	mctx_t mctx;
	int o, sock;

	while ((o = getopt(argc, argv, "f:")) == 'f')
		filter = optarg;
	if (o != -1 || optind != argc) {
		fprintf(stderr, "usage: retrans [-f FILTER]\n");
		return 2;
	}
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("retrans", "no context");
	sock = watch_streams(mctx, filter);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_REXMIT, MOS_HK_RCV, on_rexmit) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0)
		return complain("retrans", "cannot watch");
	return watch_to_end(mctx) ? 0 : 1;
}
