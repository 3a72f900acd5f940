/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Makes the statistics segment and says where its parts lie.  Flow records come last: they are most of it, and only the pages
 * of those in use exist.
 */
#include "stackd/stat_seg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stackd/clock.h"

static void lay_out(struct stat_head *h, const struct conf *conf);
static void fill_names(struct stat_seg *s);
static void fill_fixed(struct stat_seg *s, const struct conf *conf);

int stat_seg_create(struct stat_seg *s, const struct conf *conf)
{
	struct stat_head h;
	int rc;

	lay_out(&h, conf);
	rc = region_create_sparse(&s->region, h.size, "stackd-stat");
	if (rc < 0)
		return rc;
	s->head = s->region.base;
	*s->head = h;
	fill_names(s);
	fill_fixed(s, conf);
	return 0;
}

void stat_seg_destroy(struct stat_seg *s)
{
	if (s == NULL)
		return;
	region_destroy(&s->region);
	s->head = NULL;
}

/* Take `count` records of `size` bytes, on a cache line of their own. */
static uint64_t take(uint64_t *end, uint64_t count, uint64_t size)
{
	uint64_t at = (*end + SHM_LINE - 1) / SHM_LINE * SHM_LINE;

	*end = at + count * size;
	return at;
}

static void lay_out(struct stat_head *h, const struct conf *conf)
{
	uint64_t end = sizeof(*h);

	*h = (struct stat_head){
		.magic = STAT_MAGIC,
		.abi = SHM_ABI,
		.pid = (uint32_t)getpid(),
		.engines = conf->cores,
		.counters = CNT_MAX,
		.ports = conf->ports < STAT_PORTS_MAX ? conf->ports : STAT_PORTS_MAX,
		.apps = STAT_APPS_MAX,
		.listeners = STAT_LISTENERS_MAX,
		.flows = conf->max_flows,
		.nic_counters = NIC_CNT_MAX,
		.groups = STAT_GROUPS_MAX,
		.started_us = clock_us(),
		.started_unix = (uint64_t)time(NULL),
	};
	static_assert(NIC_CNT_MAX <= (int)STAT_NIC_COUNTERS, "a port's record has room for its counters");
	/* an engine's block begins and ends with a line of its own */
	h->engine_size = (sizeof(struct stat_engine) + sizeof(struct stats) + SHM_LINE - 1) / SHM_LINE * SHM_LINE;
	h->counter_names_off = take(&end, CNT_MAX, sizeof(struct stat_name));
	h->nic_names_off = take(&end, NIC_CNT_MAX, sizeof(struct stat_name));
	h->engine_off = take(&end, h->engines, h->engine_size);
	h->port_off = take(&end, h->ports, sizeof(struct stat_port));
	h->app_off = take(&end, h->apps, sizeof(struct stat_app));
	h->listener_off = take(&end, h->listeners, sizeof(struct stat_listener));
	h->monitor_off = take(&end, h->apps, sizeof(struct stat_monitor));
	h->group_off = take(&end, h->groups, sizeof(struct stat_group));
	h->flow_off = take(&end, (uint64_t)h->engines * h->flows, sizeof(struct stat_flow));
	h->size = end;
	snprintf(h->version, sizeof(h->version), "%s", STACKD_VERSION);
}

static void *at(struct stat_seg *s, uint64_t off)
{
	return (char *)s->region.base + off;
}

static void fill_names(struct stat_seg *s)
{
	static const struct stat_name name[] = {
#define X(id, n, t) { n, t },
		STATS_COUNTERS(X)
#undef X
	};
	struct stat_name *nic = at(s, s->head->nic_names_off);

	memcpy(at(s, s->head->counter_names_off), name, sizeof(name));
	for (unsigned i = 0; i < NIC_CNT_MAX; i++)
		snprintf(nic[i].name, sizeof(nic[i].name), "%s", nic_counter_name(i));
}

void stat_seg_addresses(struct stat_port *p, const struct net_addr *addr, unsigned n)
{
	char item[INET6_ADDRSTRLEN + 8], text[INET6_ADDRSTRLEN];
	uint8_t wire[16];
	size_t used = 0;

	memset(p->address, 0, sizeof(p->address));
	for (unsigned i = 0; i < n; i++) {
		net_wire(wire, &addr[i].addr);
		if (net_is_ip4(&addr[i].addr))
			inet_ntop(AF_INET, wire + 12, text, sizeof(text));
		else
			inet_ntop(AF_INET6, wire, text, sizeof(text));
		snprintf(item, sizeof(item), "%s%s/%u", i > 0 ? " " : "", text, addr[i].prefix);
		if (used + strlen(item) >= sizeof(p->address))
			break;
		memcpy(p->address + used, item, strlen(item) + 1);
		used += strlen(item);
	}
}

static void fill_fixed(struct stat_seg *s, const struct conf *conf)
{
	for (unsigned i = 0; i < s->head->engines; i++)
		stat_seg_engine(s, i)->core = conf->core[i];
	for (unsigned i = 0; i < s->head->ports; i++) {
		struct stat_port *p = stat_seg_port(s, i);

		snprintf(p->name, sizeof(p->name), "%s", conf->port[i].name);
		snprintf(p->device, sizeof(p->device), "%.63s", conf->port[i].device);
		p->mtu = conf->port[i].mtu;
		stat_seg_addresses(p, conf->port[i].addr, conf->port[i].addrs);
	}
}

struct stat_engine *stat_seg_engine(struct stat_seg *s, unsigned engine)
{
	return engine < s->head->engines ? at(s, s->head->engine_off + engine * s->head->engine_size) : NULL;
}

struct stats *stat_seg_stats(struct stat_seg *s, unsigned engine)
{
	struct stat_engine *e = stat_seg_engine(s, engine);

	return e != NULL ? (struct stats *)e->n : NULL;
}

struct stat_flow *stat_seg_flow(struct stat_seg *s, unsigned engine, uint32_t slot)
{
	const struct stat_head *h = s->head;

	if (engine >= h->engines || slot >= h->flows)
		return NULL;
	return at(s, h->flow_off + ((uint64_t)engine * h->flows + slot) * sizeof(struct stat_flow));
}

struct stat_app *stat_seg_app(struct stat_seg *s, unsigned i)
{
	return i < s->head->apps ? at(s, s->head->app_off + i * sizeof(struct stat_app)) : NULL;
}

struct stat_monitor *stat_seg_monitor(struct stat_seg *s, unsigned i)
{
	return i < s->head->apps ? at(s, s->head->monitor_off + i * sizeof(struct stat_monitor)) : NULL;
}

struct stat_group *stat_seg_group(struct stat_seg *s, unsigned i)
{
	return i < s->head->groups ? at(s, s->head->group_off + i * sizeof(struct stat_group)) : NULL;
}

struct stat_listener *stat_seg_listener(struct stat_seg *s, unsigned i)
{
	return i < s->head->listeners ? at(s, s->head->listener_off + i * sizeof(struct stat_listener)) : NULL;
}

struct stat_port *stat_seg_port(struct stat_seg *s, unsigned i)
{
	return i < s->head->ports ? at(s, s->head->port_off + i * sizeof(struct stat_port)) : NULL;
}

/* The record's own words are plain; the fences keep them between the two stores of the version.  They pair with those of
 * the reader, stackctl/segment.c. */
void stat_write_begin(uint32_t *version)
{
	atomic_store_explicit((_Atomic uint32_t *)version, *version + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

void stat_write_end(uint32_t *version)
{
	atomic_store_explicit((_Atomic uint32_t *)version, *version + 1, memory_order_release);
}
