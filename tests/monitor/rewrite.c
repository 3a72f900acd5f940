/* SPDX-License-Identifier: BSD-3-Clause
 *
 * rewrite: changes the payload of flows at fixed positions of their streams, both ways, for tests/system/rewrite.sh and extremes.sh.
 *
 *	rewrite [-i EVERY] [-c EVERY] [-o EVERY] [-n UNTIL] [-m] [-b BYTES] [-x] [-r] [-f FILTER]
 *
 * -i: "<i>" goes before every byte at a multiple of EVERY; -c: five bytes are removed there; -o: one becomes '#'.  Edits that
 * move what follows have to be made in order, so a segment beyond a hole is dropped: its sender repeats it.  -n: nothing is changed
 * from UNTIL on, and a flow of which both ways have come so far is let go.  -m: "#" goes before each segment's payload, as it comes; -b: so many
 * of them before the first byte of each stream; -x: every payload is removed.  -r: at MOS_HK_RCV.
 */
#define _GNU_SOURCE
#include <getopt.h>

#include "examples/mon.h"

enum { CUT = 5 };

struct flow {
	bool known[2];
	uint32_t begin[2], next[2]; /* sequence numbers, by sender: of stream offset 0, of what has not been seen yet */
};

static uint32_t insert_every, cut_every, over_every, until = UINT32_MAX, big;
static bool mark, swallow, at_rcv;
static unsigned long dropped, again, edited;

static int change(mctx_t mctx, int sock, int side, uint32_t off, const char *bytes, uint32_t len, int op)
{
	if (mtcp_setlastpkt(mctx, sock, side, off, (byte *)(uintptr_t)bytes, (uint16_t)len,
			    MOS_TCP_PAYLOAD | op | MOS_UPDATE_TCP_CHKSUM) == 0)
		return 0;
	fprintf(stderr, "rewrite: setlastpkt: %s\n", strerror(errno));
	return -1;
}

/* The byte at this position of the stream, which is at `off` of the payload. */
static void edit_at(mctx_t mctx, int sock, int side, uint32_t pos, uint32_t off, uint32_t left)
{
	uint32_t in_cut = cut_every != 0 && pos >= cut_every ? pos % cut_every : CUT;

	if (pos >= until)
		return;
	if (over_every != 0 && pos % over_every == 0)
		change(mctx, sock, side, off, "#", 1, MOS_OVERWRITE);
	/* the rest of what is to go, at its first byte in this segment */
	if (in_cut < CUT && (in_cut == 0 || off == 0))
		change(mctx, sock, side, off, NULL, CUT - in_cut < left ? CUT - in_cut : left, MOS_CHOMP);
	if (insert_every != 0 && pos >= insert_every && pos % insert_every == 0)
		change(mctx, sock, side, off, "<i>", 3, MOS_INSERT);
}

/* To put something in needs no order: where it was done before, or something behind has passed, this changes nothing. */
static void edit_whole(mctx_t mctx, int sock, int side, const struct pkt_info *p, bool first)
{
	static char marks[UINT16_MAX];

	memset(marks, '#', sizeof(marks));
	if (swallow)
		change(mctx, sock, side, 0, NULL, p->payloadlen, MOS_CHOMP);
	else if (big == 0)
		change(mctx, sock, side, 0, marks, 1, MOS_INSERT);
	else if (first)
		change(mctx, sock, side, 0, marks, big, MOS_INSERT);
	edited++;
}

static void on_packet(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);
	struct pkt_info p;
	uint32_t end, pos;

	(void)event;
	if (mtcp_getlastpkt(mctx, sock, side, &p) != 0)
		return;
	if (f == NULL) {
		f = calloc(1, sizeof(*f));
		if (f == NULL)
			return;
		mtcp_set_uctx(mctx, sock, f);
	}
	if (p.tcph->syn) {
		f->begin[side] = f->next[side] = p.seq + 1;
		f->known[side] = true;
	}
	if (p.payloadlen == 0 || !f->known[side])
		return;
	if (mark || big != 0) {
		edit_whole(mctx, sock, side, &p, p.seq == f->begin[side]);
		return;
	}
	if ((int32_t)(p.seq - f->next[side]) > 0) {
		dropped++;
		mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP);
		return;
	}
	end = p.seq + p.payloadlen;
	if (p.seq != f->next[side])
		again++;
	if ((int32_t)(end - f->next[side]) > 0)
		f->next[side] = end;
	pos = p.seq - f->begin[side];
	if ((int32_t)pos < 0)
		return; /* a keep-alive's byte before the first */
	if (swallow) {
		edit_whole(mctx, sock, side, &p, false);
		return;
	}
	edited++;
	for (uint32_t n = p.payloadlen; n-- > 0;) /* from behind: what is in front stays where it is */
		edit_at(mctx, sock, side, pos + n, n, p.payloadlen - n);
	if (until != UINT32_MAX && f->next[0] - f->begin[0] >= until && f->next[1] - f->begin[1] >= until)
		mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_STOP_MON, &(int){ MOS_SIDE_BOTH }, sizeof(int));
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	(void)side;
	(void)event;
	free(mtcp_get_uctx(mctx, sock));
	mtcp_set_uctx(mctx, sock, NULL);
}

int main(int argc, char **argv)
{
	char *filter = NULL;
	mctx_t mctx;
	int o, sock;

	while ((o = getopt(argc, argv, "i:c:o:n:f:b:mrx")) != -1) {
		if (o == 'i')
			insert_every = (uint32_t)atoi(optarg);
		else if (o == 'c')
			cut_every = (uint32_t)atoi(optarg);
		else if (o == 'o')
			over_every = (uint32_t)atoi(optarg);
		else if (o == 'n')
			until = (uint32_t)strtoul(optarg, NULL, 10);
		else if (o == 'b')
			big = (uint32_t)atoi(optarg) % UINT16_MAX;
		else if (o == 'm')
			mark = true;
		else if (o == 'r')
			at_rcv = true;
		else if (o == 'x')
			swallow = true;
		else if (o == 'f')
			filter = optarg;
		else
			return 2;
	}
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("rewrite", "no context");
	sock = watch_streams(mctx, filter);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, at_rcv ? MOS_HK_RCV : MOS_HK_SND, on_packet) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0)
		return complain("rewrite", "cannot watch");
	mtcp_app_join(mctx);
	fprintf(stderr, "rewrite: %lu segments looked at, %lu of them again, %lu beyond a hole\n", edited, again, dropped);
	mtcp_destroy_context(mctx);
	return 0;
}
