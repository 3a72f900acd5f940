/* SPDX-License-Identifier: BSD-3-Clause
 *
 * firewall: lets TCP connections pass, drops or resets them by a file of rules; with the mOS API.  Needs the right to be inline.
 *
 *	firewall [-q] RULES
 *
 * One rule a line, the first that matches a connection's first packet decides; none: ACCEPT.  # begins a comment.
 *
 *	ACCEPT|DROP|RESET  SOURCE[/BITS]  DESTINATION[/BITS]  [sport:PORT]  [dport:PORT]
 *
 * The file is read again when it changes; connections that were accepted stay.  They cost nothing more: the firewall lets
 * go of them.  IPv4.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <sys/stat.h>

#include "examples/mon.h"

enum action { ACCEPT, DROP, RESET, ACTIONS };

struct rule {
	enum action action;
	uint32_t src, src_mask, dst, dst_mask; /* host order */
	uint16_t sport, dport;                 /* 0: any */
};

static const char *const action_name[] = { "ACCEPT", "DROP", "RESET" };
static struct rule *rules;
static unsigned rule_count;
static unsigned long counts[ACTIONS];
static const char *file;
static struct timespec read_at;
static bool quiet;

/* --- Rules ----------------------------------------------------------------------------------------------------------------- */

static bool net_parse(char *word, uint32_t *addr, uint32_t *mask)
{
	char *slash = strchr(word, '/');
	struct in_addr in;
	int bits = 32;

	if (slash != NULL) {
		*slash = '\0';
		bits = atoi(slash + 1);
	}
	if (strcmp(word, "any") == 0) {
		*addr = *mask = 0;
		return true;
	}
	if (inet_pton(AF_INET, word, &in) != 1 || bits < 0 || bits > 32)
		return false;
	*mask = bits == 0 ? 0 : ~0u << (32 - bits);
	*addr = ntohl(in.s_addr) & *mask;
	return true;
}

static bool rule_parse(char *line, struct rule *r)
{
	char *save, *word = strtok_r(line, " \t\r\n", &save);
	unsigned action = 0;

	memset(r, 0, sizeof(*r));
	while (action < ACTIONS && strcasecmp(word, action_name[action]) != 0)
		action++;
	r->action = (enum action)action;
	word = strtok_r(NULL, " \t\r\n", &save);
	if (action == ACTIONS || word == NULL || !net_parse(word, &r->src, &r->src_mask))
		return false;
	word = strtok_r(NULL, " \t\r\n", &save);
	if (word == NULL || !net_parse(word, &r->dst, &r->dst_mask))
		return false;
	while ((word = strtok_r(NULL, " \t\r\n", &save)) != NULL) {
		if (strncmp(word, "sport:", 6) == 0)
			r->sport = (uint16_t)atoi(word + 6);
		else if (strncmp(word, "dport:", 6) == 0)
			r->dport = (uint16_t)atoi(word + 6);
		else
			return false;
	}
	return true;
}

/* A file with an error changes nothing. */
static bool rules_read(void)
{
	FILE *in = fopen(file, "re");
	struct rule *made = NULL;
	unsigned n = 0, number = 0;
	char line[512];
	bool good = in != NULL;

	if (in == NULL) {
		fprintf(stderr, "firewall: %s: %s\n", file, strerror(errno));
		return false;
	}
	while (good && fgets(line, sizeof(line), in) != NULL) {
		struct rule *more = realloc(made, (n + 1) * sizeof(*made));

		number++;
		line[strcspn(line, "#")] = '\0';
		if (more != NULL)
			made = more;
		if (line[strspn(line, " \t\r\n")] == '\0')
			continue;
		good = more != NULL && rule_parse(line, &made[n]);
		n += good;
		if (!good)
			fprintf(stderr, "firewall: %s:%u: not a rule; write ACCEPT|DROP|RESET SRC[/BITS] DST[/BITS] [sport:N] "
					"[dport:N]\n", file, number);
	}
	fclose(in);
	if (!good) {
		free(made);
		return false;
	}
	free(rules);
	rules = made;
	rule_count = n;
	if (!quiet)
		printf("%u rules\n", n);
	fflush(stdout);
	return true;
}

static enum action judge(const struct sockaddr_storage *client, const struct sockaddr_storage *server)
{
	const struct sockaddr_in *c = (const struct sockaddr_in *)client, *s = (const struct sockaddr_in *)server;
	uint32_t src = ntohl(c->sin_addr.s_addr), dst = ntohl(s->sin_addr.s_addr);

	for (unsigned i = 0; i < rule_count && client->ss_family == AF_INET; i++) {
		const struct rule *r = &rules[i];

		if ((src & r->src_mask) == r->src && (dst & r->dst_mask) == r->dst &&
		    (r->sport == 0 || r->sport == ntohs(c->sin_port)) && (r->dport == 0 || r->dport == ntohs(s->sin_port)))
			return r->action;
	}
	return ACCEPT;
}

/* --- Connections -------------------------------------------------------------------------------------------------------------- */

static enum action decide(mctx_t mctx, int sock)
{
	struct sockaddr_storage end[2];
	char client[END_MAX], server[END_MAX];
	enum action action = ACCEPT;

	if (flow_end(mctx, sock, MOS_SIDE_CLI, &end[0]) && flow_end(mctx, sock, MOS_SIDE_SVR, &end[1]))
		action = judge(&end[0], &end[1]);
	counts[action]++;
	if (action != ACCEPT && !quiet) {
		flow_names(mctx, sock, client, server);
		printf("%s %s > %s\n", action_name[action], client, server);
		fflush(stdout);
	}
	return action;
}

/* The first packet of a connection decides; later ones come here only where it is not accepted. */
static void on_packet(mctx_t mctx, int sock, int side, event_t event)
{
	bool first = mtcp_get_uctx(mctx, sock) == NULL;
	enum action action;
	int both = MOS_SIDE_BOTH;

	(void)event;
	if (first) {
		action = decide(mctx, sock);
		mtcp_set_uctx(mctx, sock, (void *)&action_name[action]);
		if (action == RESET)
			must_be_inline("firewall", mtcp_reset_conn(mctx, sock));
		if (action == ACCEPT) {
			mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, MOS_STOP_MON, &both, sizeof(both));
			return;
		}
	}
	must_be_inline("firewall", mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP));
}

static void on_timer(mctx_t mctx, int id, int side, event_t event)
{
	struct timeval every = { .tv_usec = 500000 };
	struct stat st;

	(void)side;
	(void)event;
	if (stat(file, &st) == 0 && memcmp(&st.st_mtim, &read_at, sizeof(read_at)) != 0) {
		read_at = st.st_mtim;
		(void)rules_read();
	}
	mtcp_settimer(mctx, id, &every, on_timer);
}

int main(int argc, char **argv)
{
	struct timeval first = { .tv_usec = 500000 };
	struct stat st;
	mctx_t mctx;
	int o, sock;
	bool seen;

	while ((o = getopt(argc, argv, "q")) == 'q')
		quiet = true;
	if (o != -1 || optind != argc - 1) {
		fprintf(stderr, "usage: firewall [-q] RULES\n");
		return 2;
	}
	file = argv[optind];
	if (!rules_read())
		return 1;
	if (stat(file, &st) == 0)
		read_at = st.st_mtim;
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("firewall", "no context");
	sock = watch_streams(mctx, NULL);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) != 0)
		return complain("firewall", "cannot watch");
	mtcp_settimer(mctx, 1, &first, on_timer);
	seen = watch_to_end(mctx);
	fprintf(stderr, "firewall: accepted %lu, dropped %lu, reset %lu connections\n", counts[ACCEPT], counts[DROP], counts[RESET]);
	return seen ? 0 : 1;
}
