/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control thread's part of the statistics segment: programs, listeners, ports.
 */
#include <stdio.h>
#include <string.h>

#include "stackd/clock.h"
#include "stackd/ctl.h"

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

void shown_client(struct client *c)
{
	struct stat_app *a = c->shown;

	if (a == NULL)
		return;
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
		s->reuseport = l->reuseport;
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
	shown_ports(ctl);
}
