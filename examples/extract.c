/* SPDX-License-Identifier: BSD-3-Clause
 *
 * extract: what the flows on a wire, or in a capture, have said, with the mOS API.
 *
 *	extract [-f FILTER] [-o FOLDER] [--json]
 *
 * -o writes each flow's two streams to FOLDER/CLIENT-SERVER.c2s and .s2c (a second flow between the same ends gets .1 and so on).
 * --json prints an object per flow, when it ends: how many packets, distinct payload bytes and their SHA-256, bytes that
 * nobody saw, packets seen before and packets out of order, for either direction.  Ends with the capture, or on SIGINT.
 *
 * A monitor's streams go on behind a hole once the receiver has acknowledged beyond it.  What was in it may come all the same, sent
 * again; here it is put into its place (octets.h).  Nor does a RST begin a flow; here those of which no flow is known are told, too,
 * unless there is a FILTER: then the flow may only be another one's.
 *
 *	./run replay FILE examples/extract --json
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include <mos_api.h>

#include "examples/octets.h"
#include "examples/strays.h"

enum { FAR = 1 << 30 }; /* what is so far away is of another connection */

/* Bytes that have come while others before them were missing. */
struct island {
	uint64_t from, to;
};

/* One direction; side is who receives it. */
struct stream {
	EVP_MD_CTX *sha;
	struct octets octets;
	uint64_t pkts, rexmit, ooo;
	bool syn;  /* its beginning was seen */
	bool fin;  /* its end has been sent, and is at fin_off */
	uint64_t fin_off;
	bool fin_was;  /* it had been before the current packet */
	bool outside;  /* which lies outside the window */
	int fd;    /* -1: not written to a file */
	uint32_t isn;
	uint64_t reached; /* bytes before this have come, or are not waited for any more */
	struct island *island; /* beyond that, by offset, with holes between */
	unsigned islands;
	char (*name)[64]; /* of the flow's ends */
	const char *suffix;
};

struct flow {
	struct stream to[2]; /* by side: MOS_SIDE_SVR is what the client says */
	char name[2][64];    /* by side */
	bool reset;
};

static bool json;
static const char *folder;
static int failed;

/* --- One flow ----------------------------------------------------------------------------------------------------------------- */

static void name_of(const struct sockaddr *sa, char *to, size_t size)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
	char ip[INET6_ADDRSTRLEN];

	if (sa->sa_family == AF_INET6)
		snprintf(to, size, "[%s]:%u", inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip)), ntohs(v6->sin6_port));
	else
		snprintf(to, size, "%s:%u", inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip)), ntohs(v4->sin_port));
}

static int file_make(const struct stream *s)
{
	char path[512];

	for (unsigned n = 0; n < 100000; n++) {
		int fd;

		if (n == 0)
			snprintf(path, sizeof(path), "%s/%s-%s.%s", folder, s->name[0], s->name[1], s->suffix);
		else
			snprintf(path, sizeof(path), "%s/%s-%s.%u.%s", folder, s->name[0], s->name[1], n, s->suffix);
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

/* Octets of the stream, in order. */
static void stream_put(void *arg, const void *buf, size_t len)
{
	struct stream *s = arg;

	EVP_DigestUpdate(s->sha, buf, len);
	if (folder == NULL)
		return;
	if (s->fd < 0)
		s->fd = file_make(s);
	if ((s->fd < 0 || write(s->fd, buf, len) != (ssize_t)len) && !failed) { /* told once */
		fprintf(stderr, "extract: %s: %s\n", folder, strerror(errno));
		failed = 1;
	}
}

static void flow_init(struct flow *f)
{
	for (int side = 0; side < 2; side++) {
		f->to[side].fd = -1;
		f->to[side].octets.put = stream_put;
		f->to[side].octets.arg = &f->to[side];
		f->to[side].name = f->name;
		f->to[side].suffix = side == MOS_SIDE_SVR ? "c2s" : "s2c";
		f->to[side].sha = EVP_MD_CTX_new();
		if (f->to[side].sha != NULL)
			EVP_DigestInit_ex(f->to[side].sha, EVP_sha256(), NULL);
	}
}

static struct flow *flow_make(mctx_t mctx, int sock)
{
	struct sockaddr_storage end[2];
	struct flow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	for (int side = 0; side < 2; side++) {
		socklen_t len = sizeof(end[side]);

		if (mtcp_getpeername(mctx, sock, (struct sockaddr *)&end[side], &len, side) != 0)
			snprintf(f->name[side], sizeof(f->name[side]), "?");
		else
			name_of((struct sockaddr *)&end[side], f->name[side], sizeof(f->name[side]));
	}
	flow_init(f);
	mtcp_set_uctx(mctx, sock, f);
	return f;
}

static struct flow *flow_of(mctx_t mctx, int sock)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	return f != NULL ? f : flow_make(mctx, sock);
}

/* What is in one piece with what has been reached. */
static void reach(struct stream *s, uint64_t to)
{
	unsigned n = 0;

	s->reached = to > s->reached ? to : s->reached;
	while (n < s->islands && s->island[n].from <= s->reached) {
		s->reached = s->island[n].to > s->reached ? s->island[n].to : s->reached;
		n++;
	}
	s->islands -= n;
	if (n > 0)
		memmove(s->island, s->island + n, s->islands * sizeof(*s->island));
}

/* Bytes [from, to) have come, beyond what has been reached.  Is some of it new? */
static bool island_add(struct stream *s, uint64_t from, uint64_t to)
{
	struct island *more = realloc(s->island, (s->islands + 1) * sizeof(*more));
	unsigned i = 0, n;

	if (more == NULL)
		return false;
	s->island = more;
	while (i < s->islands && more[i].to < from)
		i++;
	if (i < s->islands && more[i].from <= from && more[i].to >= to)
		return false;
	for (n = i; n < s->islands && more[n].from <= to; n++) {
		from = more[n].from < from ? more[n].from : from;
		to = more[n].to > to ? more[n].to : to;
	}
	memmove(more + i + 1, more + n, (s->islands - n) * sizeof(*more));
	s->islands = s->islands - (n - i) + 1;
	more[i] = (struct island){ from, to };
	return true;
}

/* Everything that is new in one stream. */
static void drain(mctx_t mctx, int sock, int side, struct flow *f)
{
	struct stream *s = &f->to[side];
	static __thread char buf[65536];
	ssize_t n;

	for (;;) {
		n = mtcp_peek(mctx, sock, side, buf, sizeof(buf));
		if (n == 0 || (n < 0 && errno != ENODATA))
			return;
		if (!s->syn && s->octets.end == 0)
			octets_open(&s->octets);
		if (n < 0)
			octets_skip(&s->octets, (uint64_t)-n);
		else
			octets_next(&s->octets, buf, (size_t)n);
	}
}

static const char *ending(const struct flow *f)
{
	if (f->reset)
		return "RST";
	if (f->to[0].fin && f->to[1].fin)
		return "FIN";
	return f->to[0].fin || f->to[1].fin ? "HALF" : "none";
}

static void stream_print(FILE *out, const char *name, struct stream *s)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	octets_close(&s->octets);
	EVP_DigestFinal_ex(s->sha, sum, &len);
	fprintf(out, "\"%s\":{\"pkts\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"sha256\":\"", name, s->pkts, s->octets.bytes);
	for (unsigned i = 0; i < len; i++)
		fprintf(out, "%02x", sum[i]);
	fprintf(out, "\",\"missed\":%" PRIu64 ",\"rexmit\":%" PRIu64 ",\"ooo\":%" PRIu64 "}", octets_missed(&s->octets), s->rexmit,
		s->ooo);
}

static void flow_print(struct flow *f)
{
	if (!json) {
		for (int i = 0; i < 2; i++)
			octets_close(&f->to[i].octets);
		return;
	}
	flockfile(stdout);
	printf("{\"client\":\"%s\",\"server\":\"%s\",\"end\":\"%s\",", f->name[0], f->name[1], ending(f));
	stream_print(stdout, "c2s", &f->to[MOS_SIDE_SVR]);
	putchar(',');
	stream_print(stdout, "s2c", &f->to[MOS_SIDE_CLI]);
	puts("}");
	fflush(stdout);
	funlockfile(stdout);
}

static void flow_fini(struct flow *f)
{
	for (int i = 0; i < 2; i++) {
		EVP_MD_CTX_free(f->to[i].sha);
		free(f->to[i].island);
		if (f->to[i].fd >= 0)
			close(f->to[i].fd);
	}
}

static void stray_print(const char *a, const char *b, const uint64_t pkts[2])
{
	struct flow f = { .reset = true };

	snprintf(f.name[0], sizeof(f.name[0]), "%s", a);
	snprintf(f.name[1], sizeof(f.name[1]), "%s", b);
	flow_init(&f);
	f.to[MOS_SIDE_SVR].pkts = pkts[0];
	f.to[MOS_SIDE_CLI].pkts = pkts[1];
	flow_print(&f);
	flow_fini(&f);
}

static void ends_of(const struct pkt_info *p, struct sockaddr_storage *from, struct sockaddr_storage *to)
{
	const uint8_t *ip = (const uint8_t *)p->iph;
	struct sockaddr_storage *end[2] = { from, to };

	for (unsigned i = 0; i < 2; i++) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)end[i];
		struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)end[i];
		uint16_t port = i == 0 ? p->tcph->source : p->tcph->dest;

		memset(end[i], 0, sizeof(*end[i]));
		if (ip[0] >> 4 == 6) {
			v6->sin6_family = AF_INET6;
			v6->sin6_port = port;
			memcpy(&v6->sin6_addr, ip + 8 + 16 * i, 16);
		} else {
			v4->sin_family = AF_INET;
			v4->sin_port = port;
			memcpy(&v4->sin_addr, ip + 12 + 4 * i, 4);
		}
	}
}

/* --- Callbacks ---------------------------------------------------------------------------------------------------------------- */

/* What the receiver has in one piece: it may have got more than we have seen. */
static bool stream_look(mctx_t mctx, int sock, int side, struct stream *s)
{
	struct tcp_buf_info info;
	socklen_t len = sizeof(info);
	int32_t more;

	if (mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, side == MOS_SIDE_CLI ? MOS_INFO_CLIBUF : MOS_INFO_SVRBUF, &info, &len) != 0)
		return false;
	if (info.tcpbi_init_seq != s->isn) {
		s->isn = info.tcpbi_init_seq;
		s->reached = 0;
		s->islands = 0;
	}
	more = (int32_t)(info.tcpbi_next_byte_expected - s->isn - 1 - (uint32_t)s->reached);
	if (more > 0)
		reach(s, s->reached + (uint32_t)more);
	return true;
}

/* HK_SND: the sender has sent it, the receiver has not got it. */
static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = flow_of(mctx, sock);
	struct stream *s;

	(void)event;
	(void)arg;
	if (f == NULL)
		return;
	s = &f->to[1 - side];
	s->pkts++;
	s->outside = false;
	s->fin_was = s->fin;
	(void)stream_look(mctx, sock, 1 - side, s);
}

/* Bytes [at, end) have come, and perhaps the FIN behind them. */
static void arrived(struct stream *s, int64_t at, int64_t end, bool fin)
{
	bool ahead = at > (int64_t)s->reached, fresh;

	if (!ahead) {
		reach(s, end > 0 ? (uint64_t)end : 0);
		return;
	}
	fresh = end > at && island_add(s, (uint64_t)at, (uint64_t)end);
	s->ooo += fresh || (fin && s->fin && !s->fin_was);
}

/* HK_RCV: it has arrived. */
static void on_arrival(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);
	struct stream *s;
	struct pkt_info p;
	int64_t at, end;

	(void)event;
	(void)arg;
	if (f == NULL || mtcp_getlastpkt(mctx, sock, side, &p) != 0 || p.tcph->rst)
		return;
	s = &f->to[side];
	s->syn |= p.tcph->syn;
	if ((!p.tcph->ack && !p.tcph->syn) || (p.payloadlen == 0 && !p.tcph->fin) ||
	    (p.tcph->syn && p.seq != s->isn))
		return; /* nothing, or nothing of this stream */
	at = (int64_t)p.offset;
	if (at - (int64_t)s->reached >= FAR || at - (int64_t)s->reached <= -FAR || p.seq + p.tcph->syn - s->isn - 1 != (uint32_t)at)
		return;
	end = at + p.payloadlen;
	if (s->fin && end > (int64_t)s->fin_off)
		end = (int64_t)s->fin_off;
	if (s->outside && p.payloadlen == 1)
		return; /* a window probe */
	if (at < (int64_t)s->reached && (at >= 0 || p.payloadlen > 1)) {
		drain(mctx, sock, side, f);
		octets_late(&s->octets, at, p.payload, end > at ? (size_t)(end - at) : 0);
	}
	arrived(s, at, end, p.tcph->fin);
}

/* It lies outside the window. */
static void on_error(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	(void)event;
	(void)arg;
	if (f != NULL)
		f->to[side].outside = true;
}

static void on_rexmit(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = flow_of(mctx, sock);

	(void)event;
	(void)arg;
	if (f != NULL)
		f->to[1 - side].rexmit++;
}

static void on_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = flow_of(mctx, sock);

	(void)event;
	(void)arg;
	if (f != NULL)
		drain(mctx, sock, side, f);
}

static void fin_is_at(struct stream *s, uint64_t off)
{
	if (!s->fin)
		s->fin_off = off;
	s->fin = true;
}

static bool has_sent_fin(int state)
{
	return state == MOS_TCP_FIN_WAIT_1 || state == MOS_TCP_FIN_WAIT_2 || state == MOS_TCP_CLOSING ||
	       state == MOS_TCP_LAST_ACK || state == MOS_TCP_TIME_WAIT;
}

static bool has_got_fin(int state)
{
	return state == MOS_TCP_CLOSE_WAIT || state == MOS_TCP_CLOSING || state == MOS_TCP_LAST_ACK || state == MOS_TCP_TIME_WAIT;
}

/* A side is in another state because of a packet that it has sent, or got.  One packet may carry it over several states.  Comes before
 * on_packet has seen the flow, or after its end, with nothing to be noted. */
static void state_changed(mctx_t mctx, int sock, int side, bool sent)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);
	struct pkt_info p;
	int state = -1;
	socklen_t len = sizeof(state);
	uint64_t here = UINT64_MAX;

	if (f == NULL || mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR,
					 &state, &len) != 0 ||
	    mtcp_getlastpkt(mctx, sock, side, &p) != 0)
		return;
	if (p.tcph->fin && !p.tcph->rst)
		here = p.offset + p.payloadlen;
	if (has_sent_fin(state) || (state == MOS_TCP_CLOSED && sent && here != UINT64_MAX))
		fin_is_at(&f->to[1 - side], sent ? here : UINT64_MAX);
	if (has_got_fin(state))
		fin_is_at(&f->to[side], sent ? UINT64_MAX : here);
	if (state == MOS_TCP_CLOSED && !(f->to[0].fin && f->to[1].fin) && p.tcph->rst)
		f->reset = true;
}

static void on_sender_state(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	state_changed(mctx, sock, side, true);
}

static void on_receiver_state(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)event;
	(void)arg;
	state_changed(mctx, sock, side, false);
}

/* Comes for either side and hook: the first one is the end. */
static void on_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	(void)side;
	(void)event;
	(void)arg;
	if (f == NULL)
		return;
	for (int i = 0; i < 2; i++)
		drain(mctx, sock, i, f);
	flow_print(f);
	flow_fini(f);
	mtcp_set_uctx(mctx, sock, NULL);
	free(f);
}

/* A reset of which no flow is known is one by itself. */
static void on_orphan(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_storage from, to;
	char name[2][STRAY_NAME];
	struct pkt_info p;

	(void)event;
	(void)arg;
	if (mtcp_getlastpkt(mctx, sock, side, &p) != 0 || p.iph == NULL || p.tcph == NULL || !p.tcph->rst)
		return;
	ends_of(&p, &from, &to);
	name_of((struct sockaddr *)&from, name[0], sizeof(name[0]));
	name_of((struct sockaddr *)&to, name[1], sizeof(name[1]));
	strays_add(name[0], name[1], stray_print);
}

/* --- Setting up --------------------------------------------------------------------------------------------------------------- */

static int watch(mctx_t mctx, char *filter)
{
	union monitor_filter ft = { .stream_syn_filter = filter };
	int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	if (sock < 0 || (filter != NULL && mtcp_bind_monitor_filter(mctx, sock, &ft) != 0))
		return -1;
	if (mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_RCV, on_arrival) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_REXMIT, MOS_HK_SND, on_rexmit) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, on_data) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_ERROR, MOS_NULL, on_error) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, on_sender_state) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_RCV, on_receiver_state) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0)
		return -1;
	return filter != NULL ? 0 : mtcp_register_callback(mctx, sock, MOS_ON_ORPHAN, MOS_NULL, on_orphan);
}

static mctx_t context;

static void on_signal(int signum)
{
	(void)signum;
	mtcp_destroy_context(context);
	strays_tell(stray_print);
	exit(failed);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
	char *filter = NULL;
	int o;

	while ((o = getopt_long(argc, argv, "f:o:jh", longs, NULL)) != -1) {
		if (o == 'f')
			filter = optarg;
		else if (o == 'o')
			folder = optarg;
		else if (o == 'j')
			json = true;
		else {
			fprintf(o == 'h' ? stdout : stderr, "usage: extract [-f FILTER] [-o FOLDER] [--json]\n"
				"FILTER is for the first packet of a flow, as in \"tcp port 80\".\n");
			return o == 'h' ? 0 : 2;
		}
	}
	if (folder == NULL)
		json = true;
	else if (access(folder, W_OK | X_OK) != 0) {
		fprintf(stderr, "extract: %s: %s\n", folder, strerror(errno));
		return 1;
	}
	context = mtcp_create_context(0);
	if (context == NULL) {
		fprintf(stderr, "extract: no context: %s. %s\n", strerror(errno), mtcp_error_text());
		return 1;
	}
	mtcp_monitor_lossless(context); /* a replay waits for us */
	if (watch(context, filter) != 0) {
		fprintf(stderr, "extract: cannot watch: %s. %s\n", strerror(errno), mtcp_error_text());
		return 1;
	}
	mtcp_register_signal(SIGINT, on_signal);
	mtcp_app_join(context);
	if (errno == ESHUTDOWN) {
		fprintf(stderr, "extract: %s\n", mtcp_error_text());
		failed = 1;
	}
	mtcp_destroy_context(context);
	strays_tell(stray_print);
	return failed;
}
