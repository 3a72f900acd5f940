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

/* Bytes that have come while others before them were missing. */
struct island {
	uint64_t from, to;
};

/* One direction; side is who receives it. */
struct stream {
	EVP_MD_CTX *sha;
	uint64_t pkts, bytes, missed, rexmit, ooo;
	bool fin;  /* its end has been sent, and is at fin_off */
	uint64_t fin_off;
	uint64_t next, from, to; /* the current packet is ahead of `next` with these bytes; to 0: it is not */
	bool fin_ahead; /* it is a FIN beyond what is expected, and not known to be believed */
	int fd;    /* -1: not written to a file */
	struct island *island; /* by offset, with holes between */
	unsigned islands;
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

static int file_make(const struct flow *f, int side)
{
	char path[512];

	for (unsigned n = 0; n < 100000; n++) {
		const char *dir = side == MOS_SIDE_SVR ? "c2s" : "s2c";
		int fd;

		if (n == 0)
			snprintf(path, sizeof(path), "%s/%s-%s.%s", folder, f->name[0], f->name[1], dir);
		else
			snprintf(path, sizeof(path), "%s/%s-%s.%u.%s", folder, f->name[0], f->name[1], n, dir);
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
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
		f->to[side].fd = -1;
		f->to[side].sha = EVP_MD_CTX_new();
		if (f->to[side].sha != NULL)
			EVP_DigestInit_ex(f->to[side].sha, EVP_sha256(), NULL);
	}
	mtcp_set_uctx(mctx, sock, f);
	return f;
}

static struct flow *flow_of(mctx_t mctx, int sock)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	return f != NULL ? f : flow_make(mctx, sock);
}

/* Note bytes [from, to).  Was some of it new? */
static bool island_add(struct stream *s, uint64_t next, uint64_t from, uint64_t to)
{
	struct island *more = realloc(s->island, (s->islands + 1) * sizeof(*more));
	unsigned i = 0, n = 0;

	if (more == NULL)
		return false;
	s->island = more;
	while (n < s->islands && more[n].to <= next)
		n++; /* these are islands no more */
	memmove(more, more + n, (s->islands - n) * sizeof(*more));
	s->islands -= n;
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
		if (n < 0 && errno == ENODATA) {
			s->missed += (uint64_t)-n;
			continue;
		}
		if (n <= 0)
			return;
		s->bytes += (uint64_t)n;
		EVP_DigestUpdate(s->sha, buf, (size_t)n);
		if (folder == NULL)
			continue;
		if (s->fd < 0)
			s->fd = file_make(f, side);
		if ((s->fd < 0 || write(s->fd, buf, (size_t)n) != n) && !failed) { /* told once */
			fprintf(stderr, "extract: %s: %s\n", folder, strerror(errno));
			failed = 1;
		}
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

	EVP_DigestFinal_ex(s->sha, sum, &len);
	fprintf(out, "\"%s\":{\"pkts\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"sha256\":\"", name, s->pkts, s->bytes);
	for (unsigned i = 0; i < len; i++)
		fprintf(out, "%02x", sum[i]);
	fprintf(out, "\",\"missed\":%" PRIu64 ",\"rexmit\":%" PRIu64 ",\"ooo\":%" PRIu64 "}", s->missed, s->rexmit, s->ooo);
}

static void flow_print(struct flow *f)
{
	flockfile(stdout);
	printf("{\"client\":\"%s\",\"server\":\"%s\",\"end\":\"%s\",", f->name[0], f->name[1], ending(f));
	stream_print(stdout, "c2s", &f->to[MOS_SIDE_SVR]);
	putchar(',');
	stream_print(stdout, "s2c", &f->to[MOS_SIDE_CLI]);
	puts("}");
	fflush(stdout);
	funlockfile(stdout);
}

/* --- Callbacks ---------------------------------------------------------------------------------------------------------------- */

/* HK_SND: the sender has sent it, the receiver has not got it. */
static void on_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = flow_of(mctx, sock);
	struct stream *s;
	struct tcp_buf_info info;
	socklen_t len = sizeof(info);
	struct pkt_info p;
	uint64_t end;
	int32_t ahead;

	(void)event;
	(void)arg;
	if (f == NULL)
		return;
	s = &f->to[1 - side];
	s->pkts++;
	s->to = 0;
	s->fin_ahead = false;
	if (mtcp_getlastpkt(mctx, sock, side, &p) != 0 || p.tcph->rst || (p.payloadlen == 0 && (!p.tcph->fin || s->fin)))
		return;
	if (mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, side == MOS_SIDE_CLI ? MOS_INFO_SVRBUF : MOS_INFO_CLIBUF, &info, &len) != 0)
		return;
	if (p.tcph->syn && p.seq != info.tcpbi_init_seq)
		return; /* of another connection, or of none */
	/* sequence numbers; the packet lies beyond what is expected, and less than half of them away */
	ahead = (int32_t)((uint32_t)p.offset - (info.tcpbi_next_byte_expected - info.tcpbi_init_seq - 1));
	if (ahead <= 0 || ahead >= 1 << 30 || (p.offset >> 62) != 0)
		return;
	end = p.offset + p.payloadlen;
	if (s->fin && end > s->fin_off)
		end = s->fin_off;
	s->next = p.offset - (uint32_t)ahead;
	s->from = p.offset;
	s->to = end > p.offset ? end : 0;
	s->fin_ahead = p.tcph->fin && !s->fin;
}

/* HK_RCV: it has arrived, unless on_error has been told that it lies outside the window. */
static void on_arrival(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);
	struct stream *s;
	bool fresh;

	(void)event;
	(void)arg;
	if (f == NULL)
		return;
	s = &f->to[side];
	fresh = s->to > 0 && island_add(s, s->next, s->from, s->to);
	s->ooo += fresh || (s->fin_ahead && s->fin);
	s->to = 0;
	s->fin_ahead = false;
}

/* It lies outside the window: its bytes do not count. */
static void on_error(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	(void)event;
	(void)arg;
	if (f != NULL)
		f->to[side].to = 0;
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
	if (json)
		flow_print(f);
	for (int i = 0; i < 2; i++) {
		EVP_MD_CTX_free(f->to[i].sha);
		free(f->to[i].island);
		if (f->to[i].fd >= 0)
			close(f->to[i].fd);
	}
	mtcp_set_uctx(mctx, sock, NULL);
	free(f);
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
	return 0;
}

static mctx_t context;

static void on_signal(int signum)
{
	(void)signum;
	mtcp_destroy_context(context);
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
	return failed;
}
