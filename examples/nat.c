/* SPDX-License-Identifier: BSD-3-Clause
 *
 * nat: source and destination address translation of TCP over a bridge, with the mOS API.  Needs the right to be inline.
 *
 *	nat -i INSIDE/BITS -e ADDRESS [-p FROM-TO] [-d PORT=ADDRESS:PORT]...
 *
 * Connections from INSIDE leave with the external ADDRESS and a port of the pool FROM-TO (20000-60000) whose answers come back to
 * the same engine.  -d: connections to the external ADDRESS and PORT go to an inside host instead.  IPv4.
 *
 * Translation is done where the packet has left its sender (HK_SND): the first packet, as it is left then, names the other
 * half of the flow, so that its answers are found, and they are translated back in the same place.
 */
#define _GNU_SOURCE
#include <getopt.h>

#include <mtcp_util.h>

#include "examples/mon.h"

enum { FORWARDS_MAX = 64 };

/* What a flow's packets get: the client's ends, as seen by the server, or the reverse. */
struct flow {
	bool snat, dnat;
	in_addr_t old_addr, new_addr; /* network order */
	in_port_t old_port, new_port;
};

struct forward {
	in_port_t port;       /* network order, like the rest */
	in_addr_t to_addr;
	in_port_t to_port;
};

static uint32_t inside, inside_mask;
static in_addr_t outside;
static uint16_t pool_from = 20000, pool_to = 60000;
static unsigned char *taken; /* by port */
static struct forward forwards[FORWARDS_MAX];
static unsigned forward_count;
static unsigned long translated, refused;

static bool is_inside(in_addr_t a)
{
	return (ntohl(a) & inside_mask) == inside;
}

/* A free port; on several engines one whose answers are steered back to ours. */
static in_port_t port_take(mctx_t mctx, in_addr_t server, in_port_t sport)
{
	static __thread uint16_t next;
	struct mtcp_conf conf;
	int engines = mtcp_getconf(&conf) == 0 && conf.num_cores > 0 ? conf.num_cores : 1;

	if (next < pool_from)
		next = pool_from;
	for (unsigned n = 0; n <= (unsigned)(pool_to - pool_from); n++) {
		uint16_t port = next;

		next = next == pool_to ? pool_from : (uint16_t)(next + 1);
		if (engines > 1 && GetRSSCPUCore(server, outside, sport, htons(port), engines) != mctx->cpu % engines)
			continue;
		if (!__atomic_test_and_set(&taken[port], __ATOMIC_ACQ_REL))
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
	if (is_inside(p->iph->saddr) && !is_inside(p->iph->daddr)) {
		f->snat = true;
		f->old_addr = p->iph->saddr;
		f->old_port = p->tcph->source;
		f->new_addr = outside;
		f->new_port = port_take(mctx, p->iph->daddr, p->tcph->dest);
	}
	for (unsigned i = 0; i < forward_count && p->iph->daddr == outside && !f->snat; i++) {
		if (forwards[i].port != p->tcph->dest)
			continue;
		f->dnat = true;
		f->old_addr = outside;
		f->old_port = p->tcph->dest;
		f->new_addr = forwards[i].to_addr;
		f->new_port = forwards[i].to_port;
	}
	if (f->snat && f->new_port == 0)
		refused++;
	else if (f->snat || f->dnat)
		translated++;
	mtcp_set_uctx(mctx, sock, f);
	return f;
}

/* Address and port at the place of the source or of the destination. */
static void put(mctx_t mctx, int sock, int side, bool source, in_addr_t addr, in_port_t port)
{
	mtcp_setlastpkt(mctx, sock, side, source ? 12 : 16, (byte *)&addr, sizeof(addr),
			MOS_IP_HDR | MOS_OVERWRITE | MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM);
	mtcp_setlastpkt(mctx, sock, side, source ? 0 : 2, (byte *)&port, sizeof(port),
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
	if (f == NULL || (f->snat && f->new_port == 0)) {
		mtcp_setlastpkt(mctx, sock, side, 0, NULL, 0, MOS_DROP); /* untranslated it must not leave */
		return;
	}
	if (f->snat && side == MOS_SIDE_CLI)
		put(mctx, sock, side, true, f->new_addr, f->new_port);
	else if (f->snat)
		put(mctx, sock, side, false, f->old_addr, f->old_port);
	else if (f->dnat && side == MOS_SIDE_CLI)
		put(mctx, sock, side, false, f->new_addr, f->new_port);
	else if (f->dnat)
		put(mctx, sock, side, true, f->old_addr, f->old_port);
}

static void on_end(mctx_t mctx, int sock, int side, event_t event)
{
	struct flow *f = mtcp_get_uctx(mctx, sock);

	(void)side;
	(void)event;
	if (f == NULL)
		return;
	if (f->snat && f->new_port != 0)
		port_give(f->new_port);
	mtcp_set_uctx(mctx, sock, NULL);
	free(f);
}

/* --- Options ----------------------------------------------------------------------------------------------------------------- */

static bool inside_parse(char *word)
{
	char *slash = strchr(word, '/');
	struct in_addr in;
	int bits;

	if (slash == NULL)
		return false;
	*slash = '\0';
	bits = atoi(slash + 1);
	if (bits < 1 || bits > 32 || inet_pton(AF_INET, word, &in) != 1)
		return false;
	inside_mask = ~0u << (32 - bits);
	inside = ntohl(in.s_addr) & inside_mask;
	return true;
}

static bool forward_parse(const char *word)
{
	struct forward *f = &forwards[forward_count];
	unsigned from, to;
	char addr[16];
	struct in_addr in;

	if (forward_count == FORWARDS_MAX || sscanf(word, "%u=%15[0-9.]:%u", &from, addr, &to) != 3 || from > 65535 || to > 65535 ||
	    inet_pton(AF_INET, addr, &in) != 1)
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

	while ((o = getopt(argc, argv, "i:e:p:d:")) != -1) {
		struct in_addr in;

		if (o == 'i' && inside_parse(optarg))
			continue;
		if (o == 'e' && inet_pton(AF_INET, optarg, &in) == 1)
			outside = in.s_addr;
		else if (o == 'p' && sscanf(optarg, "%hu-%hu", &pool_from, &pool_to) == 2 && pool_from > 0 && pool_from <= pool_to)
			continue;
		else if (o != 'd' || !forward_parse(optarg))
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
	mtcp_app_join(mctx);
	fprintf(stderr, "nat: %lu connections translated, %lu refused for want of a port\n", translated, refused);
	mtcp_destroy_context(mctx);
	return 0;
}
