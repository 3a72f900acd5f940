/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Requests of monitors on their way through the engines, one order to each, and what follows when all have come back.
 */
#include <errno.h>
#include <stdlib.h>

#include "stackd/monitor.h"

struct monitor_request *monitor_request_new(struct monitor *m, struct client *asker, uint32_t id, enum mon_order_kind kind)
{
	unsigned cores = m->client->ctl->cores;
	struct monitor_request *r = calloc(1, sizeof(*r) + cores * sizeof(r->errand[0]));

	if (r == NULL)
		return NULL;
	*r = (struct monitor_request){ .monitor = m, .asker = asker, .id = id, .kind = kind, .next = m->requests,
				       .prev = &m->requests };
	for (unsigned e = 0; e < cores; e++) {
		struct monitor_errand *errand = &r->errand[e];

		errand->request = r;
		errand->order = (struct mon_order){ .kind = kind, .letter = &errand->letter, .lane = m->lane[e], .request = id };
		errand->letter = (struct mail){ .kind = MAIL_MON_ORDER, .order = &errand->order };
	}
	if (r->next != NULL)
		r->next->prev = &r->next;
	m->requests = r;
	if (asker != NULL)
		asker->asked++;
	return r;
}

void monitor_request_free(struct monitor_request *r)
{
	*r->prev = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	if (r->asker != NULL)
		r->asker->asked--;
	free(r);
}

int monitor_errand_send(struct monitor_request *r, unsigned engine)
{
	int err = core_send(r->monitor->client->ctl->core[engine], &r->errand[engine].letter);

	if (err == 0)
		r->waiting++;
	else if (r->err == 0)
		r->err = err;
	return err;
}

void monitor_errand_post(struct monitor_request *r, unsigned engine)
{
	core_post(r->monitor->client->ctl->core[engine], &r->errand[engine].letter);
	r->waiting++;
}

void monitor_request_send(struct monitor_request *r)
{
	for (unsigned e = 0; e < r->monitor->client->ctl->cores; e++)
		(void)monitor_errand_send(r, e);
	if (r->waiting == 0)
		monitor_request_end(r);
}

void monitor_done(struct mon_order *o)
{
	struct monitor_request *r = ((struct monitor_errand *)o)->request;

	if (o->err != 0 && r->err == 0)
		r->err = o->err;
	if (--r->waiting == 0)
		monitor_request_end(r);
}

/* --- What has been answered --------------------------------------------------------------------------------------- */

/* Engines take a socket's orders in one order, so all give the same filters back. */
static void closed(struct monitor_request *r)
{
	for (unsigned i = 0; i < 3; i++)
		monitor_filter_drop(r->monitor, r->errand[0].order.old[i]);
	r->monitor->slots--;
	r->monitor->client->ctl->mon_slots--;
}

static void left(struct monitor_request *r)
{
	struct client *c = r->monitor->client;

	shown_monitor_left(c);
	monitor_free(r->monitor); /* and r with it */
	client_maybe_gone(c);
}

static void answer(struct client *asker, uint32_t id, int err)
{
	if (asker->state == CLIENT_LIVE || asker->state == CLIENT_OPERATOR)
		client_reply(asker, id, -err, 0);
	client_maybe_gone(asker);
}

void monitor_request_end(struct monitor_request *r)
{
	struct client *c = r->monitor->client, *asker = r->asker;
	enum mon_order_kind kind = r->kind;
	uint32_t id = r->id;
	int err = r->err;

	switch (kind) {
	case MON_ORDER_LANE:
		monitor_opened(r);
		break;
	case MON_ORDER_FILTER:
		if (err == 0)
			monitor_filter_drop(r->monitor, r->errand[0].order.filter);
		break;
	case MON_ORDER_CLOSE:
		if (err == 0)
			closed(r);
		break;
	case MON_ORDER_LEAVE:
		left(r);
		return;
	default:
		break;
	}
	monitor_request_free(r);
	/* the engines do not agree any more on what it has; all they were asked was checked before */
	if (err != 0 && kind != MON_ORDER_FAULT && kind != MON_ORDER_SHARE && kind != MON_ORDER_LANE)
		client_leave(c, "an engine has no room for its monitor sockets");
	if (asker != NULL && kind != MON_ORDER_LANE)
		answer(asker, id, err);
	else if (asker != NULL)
		client_maybe_gone(asker);
}
