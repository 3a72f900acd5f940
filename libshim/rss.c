/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Steering as stackd does it, told in the welcome; and the pools of source addresses that mtcp_init_rss makes.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"
#include "shm/rss.h"

/* Source addresses for one destination, used in turn. */
struct rss_pool {
	struct rss_pool *next;
	uint32_t dst;   /* network order; 0: any */
	uint16_t dport; /* host order; 0: any */
	uint32_t base, count, turn; /* base in host order; 0: stackd chooses */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ctl_welcome known; /* engines == 0: nothing yet */

static int add_pool(struct shim_ctx *c, in_addr_t base, int count, in_addr_t dst, uint16_t dport);
static struct rss_pool *find_pool(struct shim_ctx *c, uint32_t dst, uint16_t dport);

int mtcp_init_rss(mctx_t mctx, in_addr_t saddr_base, int num_addr, in_addr_t daddr, in_addr_t dport)
{
	struct shim_ctx *c = shim_enter(mctx);

	if (c == NULL)
		return -1;
	if (num_addr < 1 || num_addr > 1 << 24 || dport > UINT16_MAX)
		return (int)shim_leave(c, -EINVAL);
	return (int)shim_leave(c, add_pool(c, saddr_base, num_addr, daddr, ntohs((uint16_t)dport)));
}

uint32_t GetRSSHash(in_addr_t sip, in_addr_t dip, in_port_t sp, in_port_t dp)
{
	struct ipaddr src = addr_v4(sip), dst = addr_v4(dip);
	uint32_t hash = 0;

	pthread_mutex_lock(&lock);
	if (known.engines > 0)
		hash = rss_hash_tcp4(known.rss_key, &src, &dst, ntohs(sp), ntohs(dp));
	pthread_mutex_unlock(&lock);
	return hash;
}

int GetRSSCPUCore(in_addr_t sip, in_addr_t dip, in_port_t sp, in_port_t dp, int num_queues)
{
	uint32_t hash = GetRSSHash(sip, dip, sp, dp);
	int engine = -1, engines, core;

	pthread_mutex_lock(&lock);
	engines = (int)known.engines;
	if (engines > 0)
		engine = known.reta[hash % SHM_RETA_SIZE];
	pthread_mutex_unlock(&lock);
	if (engine < 0)
		errno = ENOTCONN;
	if (engine < 0 || num_queues <= 0)
		return engine;
	core = num_queues > engines ? mon_core((uint32_t)engine) : -1; /* more cores than engines: several are right */
	return core >= 0 && core < num_queues ? core : engine % num_queues;
}

void rss_learn(const struct ctl_welcome *w)
{
	pthread_mutex_lock(&lock);
	known = *w;
	pthread_mutex_unlock(&lock);
}

uint32_t rss_engine(const struct shim_ctx *c, const struct ipaddr *src, uint16_t sport, const struct ipaddr *dst,
                    uint16_t dport)
{
	uint32_t hash = addr_is_v4(dst) ? rss_hash_tcp4(c->welcome.rss_key, dst, src, dport, sport)
	                                : rss_hash_tcp6(c->welcome.rss_key, dst, src, dport, sport);
	uint32_t engine = c->welcome.reta[hash % SHM_RETA_SIZE];

	return engine < c->lanes ? engine : c->home;
}

struct ipaddr rss_source(struct shim_ctx *c, const struct ipaddr *dst, uint16_t port)
{
	struct ipaddr any = addr_v4(0);
	struct rss_pool *p = NULL;

	if (!addr_is_v4(dst))
		return (struct ipaddr){ .w = { 0 } }; /* pools are of IPv4 */
	p = find_pool(c, dst->w[3], port);
	if (p == NULL || p->base == 0)
		return any;
	return addr_v4(htonl(p->base + p->turn++ % p->count));
}

void rss_destroy(struct shim_ctx *c)
{
	while (c->pools != NULL) {
		struct rss_pool *p = c->pools;

		c->pools = p->next;
		free(p);
	}
}

/* A second call for the same destination replaces the first. */
static int add_pool(struct shim_ctx *c, in_addr_t base, int count, in_addr_t dst, uint16_t dport)
{
	struct rss_pool *p = c->pools;

	while (p != NULL && (p->dst != dst || p->dport != dport))
		p = p->next;
	if (p == NULL) {
		p = calloc(1, sizeof(*p));
		if (p == NULL)
			return -ENOMEM;
		p->next = c->pools;
		c->pools = p;
	}
	p->dst = dst;
	p->dport = dport;
	p->base = ntohl(base);
	p->count = (uint32_t)count;
	return 0;
}

/* The closest: address and port, then address alone, then port alone, then the one for everything. */
static struct rss_pool *find_pool(struct shim_ctx *c, uint32_t dst, uint16_t dport)
{
	struct rss_pool *best = NULL;
	int best_fit = -1;

	for (struct rss_pool *p = c->pools; p != NULL; p = p->next) {
		int fit = (p->dst != 0) * 2 + (p->dport != 0);

		if ((p->dst == 0 || p->dst == dst) && (p->dport == 0 || p->dport == dport) && fit > best_fit) {
			best = p;
			best_fit = fit;
		}
	}
	return best;
}
