/* SPDX-License-Identifier: BSD-3-Clause
 *
 * balancer: spreads TCP connections to one address over several servers, over a bridge, with the mOS API.  Needs the right to be
 * inline.
 *
 *	balancer -v ADDRESS:PORT -b ADDRESS:PORT,MAC [-b ...]
 *
 * -v is the address that clients use, -b a server behind the bridge with its link address.  Connections go to the server that has
 * fewest.  A client keeps its address, and its port where the server's answers to that come back to the same engine; else
 * it gets another (61000 and up).  IPv4.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <netinet/ether.h>

#include <mtcp_util.h>

#include "examples/mon.h"

enum { SERVERS_MAX = 64, ENGINES = 1024 /* or fewer */, PORT_FIRST = 61000, PORT_LAST = 65535, PORT_TRIES = 256 };

struct server {
	in_addr_t addr;
	in_port_t port;
	struct ether_addr mac;
	unsigned long living, total;
	char name[32];
};

struct flow {
	struct server *server;
	in_port_t port, new_port; /* of the client */
};

static struct server servers[SERVERS_MAX];
static unsigned server_count;
static in_addr_t virtual_addr;
static in_port_t virtual_port;

static struct server *pick(void)
{
	struct server *best = &servers[0];

	for (unsigned i = 1; i < server_count; i++) {
		if (servers[i].living < best->living || (servers[i].living == best->living && servers[i].total < best->total))
			best = &servers[i];
	}
	best->living++;
	best->total++;
	return best;
}

static void overwrite(mctx_t mctx, int sock, int side, int region, off_t off, const void *data, uint16_t len)
{
	must_be_inline("balancer", mtcp_setlastpkt(mctx, sock, side, off, (byte *)(uintptr_t)data, len,
						   region | MOS_OVERWRITE | MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM));
}

/* A port of the client's for which the server's answers are steered to the engine of this flow. */
static in_port_t port_for(const struct pkt_info *p, const struct server *s)
{
	static __thread unsigned next;
	in_port_t port = p->tcph->source;
	int engine = GetRSSCPUCore(p->iph->saddr, p->iph->daddr, port, p->tcph->dest, ENGINES);

	for (unsigned i = 0; i < PORT_TRIES && GetRSSCPUCore(p->iph->saddr, s->addr, port, s->port, ENGINES) != engine; i++)
		port = htons((uint16_t)(PORT_FIRST + next++ % (PORT_LAST - PORT_FIRST + 1)));
	return port;
}

static struct flow *flow_make(mctx_t mctx, int sock, const struct pkt_info *p)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->server = pick();
	f->port = p->tcph->source;
	f->new_port = port_for(p, f->server);
	mtcp_set_uctx(mctx, sock, f);
	return f;
}

static void on_packet(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);
	struct pkt_info p;

	(void)event;
	if (mtcp_getlastpkt(mctx, sock, side, &p) != 0 || p.iph->version != 4)
		return;
	if (f == NULL && (side != MOS_SIDE_CLI || p.iph->daddr != virtual_addr || p.tcph->dest != virtual_port))
		return;
	if (f == NULL)
		f = flow_make(mctx, sock, &p);
	if (f == NULL) {
		must_be_inline("balancer", mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP));
	} else if (side == MOS_SIDE_CLI) {
		overwrite(mctx, sock, side, MOS_ETH_HDR, 0, &f->server->mac, sizeof(f->server->mac));
		overwrite(mctx, sock, side, MOS_IP_HDR, 16, &f->server->addr, sizeof(f->server->addr));
		overwrite(mctx, sock, side, MOS_TCP_HDR, 0, &f->new_port, sizeof(f->new_port));
		overwrite(mctx, sock, side, MOS_TCP_HDR, 2, &f->server->port, sizeof(f->server->port));
	} else {
		overwrite(mctx, sock, side, MOS_IP_HDR, 12, &virtual_addr, sizeof(virtual_addr));
		overwrite(mctx, sock, side, MOS_TCP_HDR, 0, &virtual_port, sizeof(virtual_port));
		overwrite(mctx, sock, side, MOS_TCP_HDR, 2, &f->port, sizeof(f->port));
	}
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	(void)side;
	(void)event;
	if (f == NULL)
		return;
	f->server->living--;
	mtcp_set_uctx(mctx, sock, NULL);
	free(f);
}

/* ADDRESS:PORT */
static bool end_parse(char *word, in_addr_t *addr, in_port_t *port)
{
	char *colon = strchr(word, ':');
	struct in_addr in;
	unsigned n;

	if (colon == NULL || !number_is(colon + 1, 1, 65535, &n))
		return false;
	*colon = '\0';
	if (inet_pton(AF_INET, word, &in) != 1)
		return false;
	*colon = ':';
	*addr = in.s_addr;
	*port = htons((uint16_t)n);
	return true;
}

/* ADDRESS:PORT,MAC */
static bool server_parse(char *word)
{
	struct server *s = &servers[server_count];
	char *comma = strchr(word, ',');

	if (server_count == SERVERS_MAX || comma == NULL || ether_aton_r(comma + 1, &s->mac) == NULL)
		return false;
	*comma = '\0';
	if (!end_parse(word, &s->addr, &s->port))
		return false;
	snprintf(s->name, sizeof(s->name), "%s", word);
	server_count++;
	return true;
}

int main(int argc, char **argv)
{
	mctx_t mctx;
	int o, sock;
	bool good = true, seen;

	while (good && (o = getopt(argc, argv, "v:b:")) != -1) {
		good = (o == 'v' && end_parse(optarg, &virtual_addr, &virtual_port)) || (o == 'b' && server_parse(optarg));
		if (!good && o != '?')
			fprintf(stderr, "balancer: -%c does not take that\n", o);
	}
	if (!good || optind != argc || virtual_addr == 0 || server_count == 0) {
		fprintf(stderr, "usage: balancer -v ADDRESS:PORT -b ADDRESS:PORT,MAC [-b ...]\n");
		return 2;
	}
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("balancer", "no context");
	sock = watch_streams(mctx, NULL);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0)
		return complain("balancer", "cannot watch");
	seen = watch_to_end(mctx);
	for (unsigned i = 0; i < server_count; i++)
		fprintf(stderr, "balancer: %s: %lu connections\n", servers[i].name, servers[i].total);
	return seen ? 0 : 1;
}
