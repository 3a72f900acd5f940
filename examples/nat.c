/* SPDX-License-Identifier: BSD-3-Clause
 *
 * nat: source and destination address translation of TCP over a bridge, with the mOS API.  Needs the right to be inline.
 *
 *	nat -i INSIDE/BITS -e ADDRESS [-p FROM-TO] [-d PORT=ADDRESS:PORT]...
 *
 * Connections from INSIDE leave with the external ADDRESS and a port of the pool FROM-TO (20000-60000) whose answers come back to
 * the same engine.  -d: connections to the external ADDRESS and PORT go to an inside host instead; the client keeps its address,
 * and its port, too, where answers to that come back to the same engine.  IPv4.
 *
 * A bridge is no router: what is sent to ADDRESS must find its way back through it, so ADDRESS is an address of the inside host's or
 * router's, or one that it answers ARP for.
 *
 * Translation is done where the packet has left its sender (HK_SND): the first packet, as it is left then, names the other
 * half of the flow, so that its answers are found, and they are translated back in the same place.
 */
#define _GNU_SOURCE
#include <getopt.h>

#include <mtcp_util.h>

#include "examples/mon.h"

enum { FORWARDS_MAX = 64, ENGINES = 1024 /* or fewer */ };

/* One end of a connection, in network order. */
struct end {
	in_addr_t addr;
	in_port_t port;
};

/* The client and the server of a flow, as the one knows the other and as the other knows the one. */
struct flow {
	bool refused;
	in_port_t taken; /* of the pool */
	struct end client, server, new_client, new_server;
};

struct forward {
	in_port_t port;       /* network order, like the rest */
	in_addr_t to_addr;
	in_port_t to_port;
};

static uint32_t inside, inside_mask;
static in_addr_t outside;
static unsigned pool_from = 20000, pool_to = 60000;
static unsigned char *taken; /* by port */
static struct forward forwards[FORWARDS_MAX];
static unsigned forward_count;
static unsigned long translated, refused;

static bool is_inside(in_addr_t a)
{
	return (ntohl(a) & inside_mask) == inside;
}

static bool same_engine(const struct flow *f, in_port_t port)
{
	return GetRSSCPUCore(f->client.addr, f->server.addr, f->client.port, f->server.port, ENGINES) ==
	       GetRSSCPUCore(f->new_client.addr, f->new_server.addr, port, f->new_server.port, ENGINES);
}

/* A free port; on several engines one whose answers are steered back to ours.  0: none. */
static in_port_t port_take(const struct flow *f)
{
	static __thread unsigned next;

	if (next < pool_from)
		next = pool_from;
	for (unsigned n = 0; n <= pool_to - pool_from; n++) {
		uint16_t port = (uint16_t)next;

		next = next == pool_to ? pool_from : next + 1;
		if (same_engine(f, htons(port)) && !__atomic_test_and_set(&taken[port], __ATOMIC_ACQ_REL))
			return htons(port);
	}
	return 0;
}

static void port_give(in_port_t port)
{
	__atomic_clear(&taken[ntohs(port)], __ATOMIC_RELEASE);
}

static struct flow *flow_make(mctx_t mctx, int sock, const struct pkt_info *p)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->client = f->new_client = (struct end){ p->iph->saddr, p->tcph->source };
	f->server = f->new_server = (struct end){ p->iph->daddr, p->tcph->dest };
	if (is_inside(f->client.addr) && !is_inside(f->server.addr))
		f->new_client.addr = outside;
	for (unsigned i = 0; i < forward_count && f->server.addr == outside; i++) {
		if (forwards[i].port == f->server.port)
			f->new_server = (struct end){ forwards[i].to_addr, forwards[i].to_port };
	}
	if (f->new_client.addr != f->client.addr || !same_engine(f, f->client.port)) {
		f->taken = f->new_client.port = port_take(f);
		f->refused = f->taken == 0;
	}
	if (f->refused)
		refused++;
	else if (f->taken != 0 || f->new_server.addr != f->server.addr)
		translated++;
	mtcp_set_uctx(mctx, sock, f);
	return f;
}

/* Address and port at the place of the source or of the destination: the new ones in what the client sends, else the old ones. */
static void put(mctx_t mctx, int sock, int side, bool source, const struct end *old, const struct end *new)
{
	const struct end *e = side == MOS_SIDE_CLI ? new : old;

	if (old->addr == new->addr && old->port == new->port)
		return;
	must_be_inline("nat", mtcp_setlastpkt(mctx, sock, side, source ? 12 : 16, (byte *)(uintptr_t)&e->addr, sizeof(e->addr),
					      MOS_IP_HDR | MOS_OVERWRITE | MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM));
	mtcp_setlastpkt(mctx, sock, side, source ? 0 : 2, (byte *)(uintptr_t)&e->port, sizeof(e->port),
			MOS_TCP_HDR | MOS_OVERWRITE | MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM);
}

static void on_packet(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);
	struct pkt_info p;

	(void)event;
	if (mtcp_getlastpkt(mctx, sock, side, &p) != 0 || p.iph->version != 4)
		return;
	if (f == NULL)
		f = flow_make(mctx, sock, &p);
	if (f == NULL || f->refused) {
		/* untranslated it must not leave */
		must_be_inline("nat", mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP));
		return;
	}
	put(mctx, sock, side, side == MOS_SIDE_CLI, &f->client, &f->new_client);
	put(mctx, sock, side, side != MOS_SIDE_CLI, &f->server, &f->new_server);
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	(void)side;
	(void)event;
	if (f == NULL)
		return;
	if (f->taken != 0)
		port_give(f->taken);
	mtcp_set_uctx(mctx, sock, NULL);
	free(f);
}

/* --- Options ----------------------------------------------------------------------------------------------------------------- */

static bool inside_parse(char *word)
{
	char *slash = strchr(word, '/');
	struct in_addr in;
	unsigned bits;

	if (slash == NULL)
		return false;
	*slash = '\0';
	if (!number_is(slash + 1, 1, 32, &bits) || inet_pton(AF_INET, word, &in) != 1)
		return false;
	inside_mask = ~0u << (32 - bits);
	inside = ntohl(in.s_addr) & inside_mask;
	return true;
}

/* FROM-TO */
static bool pool_parse(char *word)
{
	char *dash = strchr(word, '-');

	if (dash == NULL)
		return false;
	*dash = '\0';
	return number_is(word, 1, 65535, &pool_from) && number_is(dash + 1, pool_from, 65535, &pool_to);
}

/* PORT=ADDRESS:PORT */
static bool forward_parse(char *word)
{
	struct forward *f = &forwards[forward_count];
	char *equal = strchr(word, '='), *colon = strrchr(word, ':');
	unsigned from, to;
	struct in_addr in;

	if (forward_count == FORWARDS_MAX || equal == NULL || colon == NULL || colon < equal)
		return false;
	*equal = *colon = '\0';
	if (!number_is(word, 1, 65535, &from) || inet_pton(AF_INET, equal + 1, &in) != 1 || !number_is(colon + 1, 1, 65535, &to))
		return false;
	*f = (struct forward){ htons((uint16_t)from), in.s_addr, htons((uint16_t)to) };
	forward_count++;
	return true;
}

static int usage(void)
{
	fprintf(stderr, "usage: nat -i INSIDE/BITS -e ADDRESS [-p FROM-TO] [-d PORT=ADDRESS:PORT]...\n");
	return 2;
}

int main(int argc, char **argv)
{
	mctx_t mctx;
	int o, sock;
	bool seen;

	while ((o = getopt(argc, argv, "i:e:p:d:")) != -1) {
		bool good = (o == 'i' && inside_parse(optarg)) || (o == 'e' && inet_pton(AF_INET, optarg, &outside) == 1) ||
			    (o == 'p' && pool_parse(optarg)) || (o == 'd' && forward_parse(optarg));

		if (!good && o != '?')
			fprintf(stderr, "nat: -%c does not take that\n", o);
		if (!good)
			return usage();
	}
	taken = calloc(65536, 1);
	if (optind != argc || outside == 0 || inside_mask == 0 || taken == NULL)
		return usage();
	mctx = mtcp_create_context(0);
	if (mctx == NULL)
		return complain("nat", "no context");
	sock = watch_streams(mctx, NULL);
	if (sock < 0 || mtcp_register_callback(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, on_packet) != 0 ||
	    mtcp_register_callback(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, on_end) != 0)
		return complain("nat", "cannot watch");
	seen = watch_to_end(mctx);
	fprintf(stderr, "nat: %lu connections translated, %lu refused for want of a port\n", translated, refused);
	return seen ? 0 : 1;
}
