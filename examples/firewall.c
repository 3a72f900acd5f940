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
 * SOURCE and DESTINATION are addresses of IPv4 or IPv6, or "any", which is all of both.  The file is read again when it changes;
 * connections that were accepted stay.  They cost nothing more: the firewall lets go of them.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <sys/stat.h>

#include "examples/mon.h"

enum action { ACCEPT, DROP, RESET, ACTIONS };

struct net {
	int family; /* AF_UNSPEC: any address */
	unsigned bits;
	uint8_t addr[16];
};

struct rule {
	enum action action;
	struct net src, dst;
	unsigned sport, dport; /* 0: any */
};

static const char *const action_name[] = { "ACCEPT", "DROP", "RESET" };
static struct rule *rules;
static unsigned rule_count;
static unsigned long counts[ACTIONS];
static const char *file;
static struct timespec read_at;
static bool quiet;

/* --- Rules ----------------------------------------------------------------------------------------------------------------- */

static const char not_an_address[] = "an address is one of IPv4 or IPv6, with /BITS or without, or any";
static const char not_a_port[] = "a port is sport:N or dport:N, N from 1 to 65535";

static bool net_parse(char *word, struct net *n)
{
	char *slash = strchr(word, '/');
	unsigned most;

	if (strcmp(word, "any") == 0)
		return true;
	if (slash != NULL)
		*slash = '\0';
	n->family = strchr(word, ':') != NULL ? AF_INET6 : AF_INET;
	n->bits = most = n->family == AF_INET6 ? 128 : 32;
	return inet_pton(n->family, word, n->addr) == 1 && (slash == NULL || number_is(slash + 1, 0, most, &n->bits));
}

/* NULL, or what is wrong. */
static const char *rule_parse(char *line, struct rule *r)
{
	char *save, *word = strtok_r(line, " \t\r\n", &save);
	unsigned action = 0;

	memset(r, 0, sizeof(*r));
	while (action < ACTIONS && strcasecmp(word, action_name[action]) != 0)
		action++;
	if (action == ACTIONS)
		return "it begins with none of ACCEPT, DROP, RESET";
	r->action = (enum action)action;
	word = strtok_r(NULL, " \t\r\n", &save);
	if (word == NULL || !net_parse(word, &r->src))
		return not_an_address;
	word = strtok_r(NULL, " \t\r\n", &save);
	if (word == NULL || !net_parse(word, &r->dst))
		return not_an_address;
	while ((word = strtok_r(NULL, " \t\r\n", &save)) != NULL) {
		if (strncmp(word, "sport:", 6) != 0 && strncmp(word, "dport:", 6) != 0)
			return not_a_port;
		if (!number_is(word + 6, 1, 65535, word[0] == 's' ? &r->sport : &r->dport))
			return not_a_port;
	}
	return NULL;
}

/* A file with an error changes nothing. */
static bool rules_read(void)
{
	FILE *in = fopen(file, "re");
	struct rule *made = NULL;
	unsigned n = 0, number = 0;
	char line[512];
	const char *wrong;
	bool good = in != NULL;

	if (in == NULL) {
		fprintf(stderr, "firewall: %s: %s\n", file, strerror(errno));
		return false;
	}
	while (good && fgets(line, sizeof(line), in) != NULL) {
		struct rule *more = realloc(made, (n + 1) * sizeof(*made));

		number++;
		wrong = strchr(line, '\n') == NULL && !feof(in) ? "the line is too long" : NULL;
		line[strcspn(line, "#")] = '\0';
		if (more != NULL)
			made = more;
		if (wrong == NULL && line[strspn(line, " \t\r\n")] == '\0')
			continue;
		if (wrong == NULL)
			wrong = more != NULL ? rule_parse(line, &made[n]) : strerror(ENOMEM);
		good = wrong == NULL;
		n += good;
		if (!good)
			fprintf(stderr, "firewall: %s:%u: not a rule: %s; write ACCEPT|DROP|RESET SRC[/BITS] DST[/BITS] [sport:N] "
					"[dport:N]\n", file, number, wrong);
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

static bool net_has(const struct net *n, const struct sockaddr_storage *sa)
{
	const uint8_t *a = sa->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_addr.s6_addr
						     : (const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr;
	unsigned whole = n->bits / 8, rest = n->bits % 8;

	if (n->family == AF_UNSPEC)
		return true;
	return n->family == sa->ss_family && memcmp(n->addr, a, whole) == 0 &&
	       (rest == 0 || (n->addr[whole] ^ a[whole]) >> (8 - rest) == 0);
}

/* Both families have it in the same place. */
static unsigned port_of(const struct sockaddr_storage *sa)
{
	return ntohs(((const struct sockaddr_in *)sa)->sin_port);
}

static enum action judge(const struct sockaddr_storage *client, const struct sockaddr_storage *server)
{
	for (unsigned i = 0; i < rule_count; i++) {
		const struct rule *r = &rules[i];

		if (net_has(&r->src, client) && net_has(&r->dst, server) && (r->sport == 0 || r->sport == port_of(client)) &&
		    (r->dport == 0 || r->dport == port_of(server)))
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
