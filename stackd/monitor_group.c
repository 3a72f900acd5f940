/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Monitors of equal scope share their arenas, one per engine; contexts of one process share the flows of an engine among
 * themselves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/log.h"
#include "stackd/mon/arena.h"
#include "stackd/monitor.h"

enum { CONTEXTS_MAX = 1024 }; /* control.max_clients is no more */

/* --- Groups ------------------------------------------------------------------------------------------------------- */

static struct monitor_group *group_find(const struct ctl *ctl, const char *scope)
{
	for (unsigned i = 0; i < ctl->mon_groups; i++) {
		if (strcmp(ctl->mon_group[i].scope, scope) == 0)
			return &ctl->mon_group[i];
	}
	return NULL;
}

int monitor_groups_make(struct ctl *ctl)
{
	const struct conf *conf = ctl->conf;
	char why[256];

	ctl->mon_group = calloc(conf->clients + 1, sizeof(ctl->mon_group[0]));
	if (ctl->mon_group == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < conf->clients; i++) {
		const struct conf_client *rule = &conf->client[i];
		struct monitor_group *g = &ctl->mon_group[ctl->mon_groups];

		if (rule->monitor == MON_RIGHT_NONE || group_find(ctl, rule->scope) != NULL)
			continue;
		g->scope = rule->scope;
		if (rule->scope[0] != '\0') {
			g->filter = mon_filter_compile(rule->scope, why, sizeof(why));
			if (g->filter == NULL) {
				log_err("ctl", "the scope \"%s\" of the rule for %s cannot be used: %s", rule->scope, rule->name, why);
				return -EINVAL;
			}
		}
		ctl->mon_groups++;
	}
	return 0;
}

static void group_unmake(struct ctl *ctl, struct monitor_group *g)
{
	for (unsigned e = 0; g->engine != NULL && e < ctl->cores; e++) {
		arena_destroy(g->engine[e].arena);
		region_destroy(&g->engine[e].mem);
	}
	free(g->engine);
	g->engine = NULL;
}

void monitor_groups_free(struct ctl *ctl)
{
	for (unsigned i = 0; i < ctl->mon_groups; i++) {
		group_unmake(ctl, &ctl->mon_group[i]);
		mon_filter_free(ctl->mon_group[i].filter);
	}
	free(ctl->mon_group);
	ctl->mon_group = NULL;
	ctl->mon_groups = 0;
}

/* The lowest number that no group has; MON_GROUPS_MAX: all are taken. */
static unsigned group_number(const struct ctl *ctl)
{
	bool taken[MON_GROUPS_MAX + 1] = { false };
	unsigned n = 0;

	for (unsigned i = 0; i < ctl->mon_groups; i++) {
		if (ctl->mon_group[i].engine != NULL)
			taken[ctl->mon_group[i].engine[0].id] = true;
	}
	while (n < MON_GROUPS_MAX && taken[n])
		n++;
	return n;
}

/* The record of a flow that makes room for another is not the next one's at once: its end has just been told. */
static uint32_t records(uint32_t flows)
{
	return flows + flows / 16 + 64;
}

static struct arena_conf arena_conf_of(const struct conf *conf)
{
	uint64_t span = (conf->monitor.buffer_max + MON_CHUNK - 1) / MON_CHUNK + 1;

	return (struct arena_conf){
		.size = conf->monitor.memory,
		.log_bytes = conf->monitor.log_bytes,
		.flows = records((uint32_t)conf->monitor.max_flows),
		.span_max = span < MON_SPAN_MAX ? (uint32_t)span : MON_SPAN_MAX,
	};
}

static int group_make(struct ctl *ctl, struct monitor_group *g)
{
	const struct arena_conf ac = arena_conf_of(ctl->conf);
	unsigned id = group_number(ctl);
	int err = 0;

	if (id == MON_GROUPS_MAX)
		return -ENOSPC;
	g->engine = calloc(ctl->cores, sizeof(g->engine[0]));
	if (g->engine == NULL)
		return -ENOMEM;
	for (unsigned e = 0; e < ctl->cores && err == 0; e++) {
		struct mon_group *of = &g->engine[e];

		*of = (struct mon_group){ .id = id, .scope = g->filter, .mem.fd = -1 };
		err = arena_create(&ac, &of->mem, &of->arena);
	}
	if (err != 0)
		group_unmake(ctl, g);
	return err;
}

int monitor_group_join(struct ctl *ctl, const struct conf_client *rule, struct monitor_group **out)
{
	struct monitor_group *g = group_find(ctl, rule->scope);
	int err;

	if (g == NULL)
		return -EPERM;
	err = g->members == 0 ? group_make(ctl, g) : 0;
	if (err != 0) {
		log_warn("ctl", "no arena for monitors of scope \"%s\": %s", g->scope,
			 err == -ENOSPC ? "too many scopes are in use at once" : strerror(-err));
		return err;
	}
	g->members++;
	*out = g;
	return 0;
}

void monitor_group_part(struct ctl *ctl, struct monitor_group *g)
{
	if (g == NULL || --g->members > 0)
		return;
	shown_group_gone(ctl, g->engine[0].id);
	group_unmake(ctl, g);
}

/* --- Sharing ------------------------------------------------------------------------------------------------------ */

/* The contexts of a process that monitor by the same rule, oldest first. */
static unsigned share_collect(const struct ctl *ctl, const struct client *of, struct monitor **m, unsigned max)
{
	unsigned n = 0, at;

	for (struct client *c = ctl->clients; c != NULL && n < max; c = c->next) {
		if (c->monitor == NULL || c->monitor->state != MONITOR_OPEN || c->cred.pid != of->cred.pid || c->rule != of->rule)
			continue;
		for (at = n++; at > 0 && m[at - 1]->client->id > c->id; at--)
			m[at] = m[at - 1];
		m[at] = c->monitor;
	}
	return n;
}

/* What context number i of k has of engine e, of which `at_home` of them have home e, `before` of these older than it. */
static struct monitor_share share_of(const struct monitor *m, unsigned i, unsigned k, unsigned e, unsigned at_home,
				     unsigned before)
{
	if (at_home == 0)
		return (struct monitor_share){ 0, i == e % k };
	return m->client->home == e ? (struct monitor_share){ before, at_home } : (struct monitor_share){ 0, 0 };
}

/* Tell the engines for which it is no longer what they know. */
static void share_tell(struct monitor *m, const struct monitor_share *want)
{
	struct ctl *ctl = m->client->ctl;
	struct monitor_request *r;

	if (memcmp(want, m->share, ctl->cores * sizeof(*want)) == 0)
		return;
	r = monitor_request_new(m, NULL, 0, MON_ORDER_SHARE);
	if (r == NULL) {
		ctl->share_late = true;
		return;
	}
	for (unsigned e = 0; e < ctl->cores; e++) {
		if (memcmp(&want[e], &m->share[e], sizeof(want[e])) == 0)
			continue;
		r->errand[e].order.share_index = want[e].index;
		r->errand[e].order.share_count = want[e].count;
		if (monitor_errand_send(r, e) == 0)
			m->share[e] = want[e];
		else
			ctl->share_late = true;
	}
	if (r->waiting == 0)
		monitor_request_end(r);
}

void monitor_share_out(const struct client *of)
{
	struct monitor *m[CONTEXTS_MAX];
	unsigned at_home[SHM_ENGINES_MAX] = { 0 }, before[SHM_ENGINES_MAX] = { 0 };
	unsigned cores = of->ctl->cores, n = share_collect(of->ctl, of, m, CONTEXTS_MAX);

	for (unsigned i = 0; i < n; i++)
		at_home[m[i]->client->home]++;
	for (unsigned i = 0; i < n; i++) {
		struct monitor_share want[SHM_ENGINES_MAX];

		for (unsigned e = 0; e < cores; e++)
			want[e] = share_of(m[i], i, n, e, at_home[e], before[e]);
		before[m[i]->client->home]++;
		share_tell(m[i], want);
	}
}

void monitor_share_late(struct ctl *ctl)
{
	if (!ctl->share_late)
		return;
	ctl->share_late = false;
	for (const struct client *c = ctl->clients; c != NULL; c = c->next) {
		if (c->monitor != NULL)
			monitor_share_out(c);
	}
}
