/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control thread's part of the statistics segment: programs, listeners, ports.
 */
#include <stdio.h>
#include <string.h>

#include "stackd/clock.h"
#include "stackd/mon/arena.h"
#include "stackd/monitor.h"

static struct stat_monitor *monitor_of(struct ctl *ctl, const struct stat_app *a)
{
	return stat_seg_monitor(ctl->stat, (unsigned)(a - stat_seg_app(ctl->stat, 0)));
}

static void monitor_clear(struct stat_monitor *m)
{
	uint32_t version;

	stat_write_begin(&m->version);
	version = m->version;
	*m = (struct stat_monitor){ .version = version };
	stat_write_end(&m->version);
}

/* An unused record, else the one whose program has been gone longest. */
struct stat_app *shown_take(struct ctl *ctl, const struct client *c)
{
	struct stat_app *best = NULL;

	for (unsigned i = 0; i < STAT_APPS_MAX; i++) {
		struct stat_app *a = stat_seg_app(ctl->stat, i);

		if (a->state == STAT_APP_FREE)
			best = a;
		else if (a->state == STAT_APP_GONE && (best == NULL || a->since_us < best->since_us))
			best = a;
		if (a->state == STAT_APP_FREE)
			break;
	}
	if (best == NULL)
		return NULL;
	stat_write_begin(&best->version);
	best->id = c->id;
	best->pid = c->cred.pid;
	best->uid = c->cred.uid;
	best->gid = c->cred.gid;
	best->home = c->home;
	best->memory_max = c->rule->memory;
	best->since_us = c->since_us;
	best->state = STAT_APP_LIVE;
	memcpy(best->name, c->name, sizeof(best->name));
	memset(best->reason, 0, sizeof(best->reason));
	stat_write_end(&best->version);
	if (monitor_of(ctl, best)->right != MON_RIGHT_NONE)
		monitor_clear(monitor_of(ctl, best));
	return best;
}

static uint32_t state_of(const struct client *c)
{
	return c->state == CLIENT_LIVE ? STAT_APP_LIVE : c->state == CLIENT_GONE ? STAT_APP_GONE : STAT_APP_LEAVING;
}

/* What its lanes count; kept as it was once they are gone. */
static void shown_lanes(struct stat_app *a, const struct client *c)
{
	if (c->lane[0] == NULL)
		return;
	a->commands = a->events = a->wakes = a->bad = 0;
	for (unsigned e = 0; e < c->ctl->cores && c->lane[e] != NULL; e++) {
		const struct lane *l = c->lane[e];

		a->sockets += l->owner.conns;
		a->commands += l->commands;
		a->events += l->put;
		a->wakes += l->wakes;
		a->bad += l->nonsense;
	}
}

static void add_lane(struct stat_monitor *s, const struct mon_lane *l)
{
	uint32_t lag = ring_lag(&l->events);

	static_assert((int)MON_CAUSES <= STAT_CAUSES, "a monitor's record has room for its causes");
	s->lag = lag > s->lag ? lag : s->lag;
	s->held += l->held;
	s->held_bytes += l->held_bytes;
	s->offered += l->offered;
	s->delivered += l->delivered;
	s->filtered += l->filtered;
	s->lost += l->lost;
	s->commands += l->commands;
	s->stale += l->stale;
	s->wakes += l->wakes;
	for (unsigned i = 0; i < 3; i++)
		s->verdict[i] += l->verdict[i];
	for (unsigned i = 0; i < MON_CAUSES; i++)
		s->decided[i] += l->decided[i];
	s->breaker_opened += l->breaker_opened;
	s->injected += l->injected;
	s->resets += l->resets;
}

static void shown_monitor(struct client *c)
{
	const struct monitor *m = c->monitor;
	struct stat_monitor new, *s;

	if (c->shown == NULL || m->state == MONITOR_OPENING)
		return;
	new = (struct stat_monitor){ .right = c->rule->monitor, .group = m->group->engine[0].id, .ring = m->ring_slots,
				     .fail_drop = c->rule->fail_drop };
	for (unsigned i = 0; i < MON_SOCKS_MAX; i++)
		new.sockets += m->sock[i].used;
	for (unsigned e = 0; e < c->ctl->cores; e++)
		add_lane(&new, m->lane[e]);
	s = monitor_of(c->ctl, c->shown);
	stat_write_begin(&s->version);
	new.version = s->version;
	*s = new;
	stat_write_end(&s->version);
}

/* It has left: nothing of it is anywhere. */
void shown_monitor_left(struct client *c)
{
	struct stat_monitor *s;

	shown_monitor(c);
	if (c->shown == NULL)
		return;
	s = monitor_of(c->ctl, c->shown);
	stat_write_begin(&s->version);
	s->sockets = s->lag = 0;
	stat_write_end(&s->version);
}

void shown_client(struct client *c)
{
	struct stat_app *a = c->shown;

	if (a == NULL)
		return;
	if (c->monitor != NULL)
		shown_monitor(c);
	stat_write_begin(&a->version);
	if (a->state != state_of(c))
		a->since_us = clock_us();
	a->state = state_of(c);
	a->sockets = a->listeners = 0;
	a->ports = c->ports;
	a->memory = c->memory[SEG_RX] + c->memory[SEG_TX];
	shown_lanes(a, c);
	for (const struct client_port *p = c->port; p != NULL; p = p->next)
		a->listeners += p->waiting == 0 && p->listener->backlog > 0;
	memcpy(a->reason, c->reason, sizeof(a->reason));
	stat_write_end(&a->version);
}

static unsigned shown_listeners(struct ctl *ctl, const struct client *c, unsigned i)
{
	for (const struct client_port *p = c->port; p != NULL && i < STAT_LISTENERS_MAX; p = p->next) {
		const struct listener *l = p->listener;
		struct stat_listener *s;

		if (p->waiting != 0)
			continue;
		s = stat_seg_listener(ctl->stat, i++);
		stat_write_begin(&s->version);
		s->app = c->id;
		s->addr = l->addr;
		s->port = l->port;
		s->reuseport = (l->flags & BIND_REUSEPORT) != 0;
		s->v6only = (l->flags & BIND_V6ONLY) != 0;
		s->backlog = l->backlog;
		s->waiting = s->syns = 0;
		for (unsigned e = 0; e < ctl->cores; e++) {
			s->waiting += l->lane[e].waiting;
			s->syns += l->lane[e].syns;
		}
		stat_write_end(&s->version);
	}
	return i;
}

static void add_arena(struct stat_group *s, const struct mon_group *g)
{
	struct arena_figures f;

	arena_figures(g->arena, &f);
	s->memory += g->mem.size;
	s->chunks += arena_chunks(g->arena);
	s->chunks_used += f.chunks_used;
	s->evicted += f.evicted;
	s->dropped += f.pieces_dropped;
	s->flows += f.records_used;
	s->log_bytes += f.log_bytes;
}

static void shown_group(struct ctl *ctl, const struct monitor_group *g, struct stat_group *s)
{
	struct stat_group new = { .members = g->members, .flows_max = (uint64_t)ctl->conf->monitor.max_flows * ctl->cores };

	snprintf(new.scope, sizeof(new.scope), "%s", g->scope);
	for (unsigned e = 0; e < ctl->cores; e++)
		add_arena(&new, &g->engine[e]);
	stat_write_begin(&s->version);
	new.version = s->version;
	*s = new;
	stat_write_end(&s->version);
}

static void shown_groups(struct ctl *ctl)
{
	static_assert((int)MON_GROUPS_MAX <= STAT_GROUPS_MAX, "every group has a record");

	for (unsigned i = 0; i < ctl->mon_groups; i++) {
		const struct monitor_group *g = &ctl->mon_group[i];

		if (g->engine != NULL)
			shown_group(ctl, g, stat_seg_group(ctl->stat, g->engine[0].id));
	}
}

void shown_group_gone(struct ctl *ctl, unsigned id)
{
	struct stat_group *s = stat_seg_group(ctl->stat, id);

	stat_write_begin(&s->version);
	s->members = 0;
	stat_write_end(&s->version);
}

static void shown_ports(struct ctl *ctl)
{
	static_assert((int)NIC_CNT_MAX <= STAT_NIC_COUNTERS, "a port's counters fit its record");

	for (unsigned i = 0; i < ctl->net->ports && i < STAT_PORTS_MAX; i++)
		nic_counters(ctl->net->port[i].nic, stat_seg_port(ctl->stat, i)->n);
}

void shown_refresh(struct ctl *ctl)
{
	unsigned listeners = 0;

	for (struct client *c = ctl->clients; c != NULL; c = c->next) {
		shown_client(c);
		listeners = shown_listeners(ctl, c, listeners);
	}
	for (; listeners < STAT_LISTENERS_MAX; listeners++) {
		struct stat_listener *s = stat_seg_listener(ctl->stat, listeners);

		if (s->app == 0)
			break;
		stat_write_begin(&s->version);
		s->app = 0;
		stat_write_end(&s->version);
	}
	shown_groups(ctl);
	shown_ports(ctl);
}
