/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Filters of monitor sockets: put together from their pieces, checked (mon/filter.c), handed to the engines, and freed when all
 * of them have given them back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/monitor.h"

/* Room for one more of so many instructions; one that is being replaced counts until it has come back. */
static bool has_room(const struct monitor *m, unsigned insns)
{
	for (unsigned i = 0; i < m->filters; i++)
		insns += m->filter[i].insns;
	return m->filters < MONITOR_FILTERS_MAX && insns <= MONITOR_INSNS_MAX;
}

void monitor_filter_drop(struct monitor *m, const struct mon_filter *f)
{
	for (unsigned i = 0; f != NULL && i < m->filters; i++) {
		if (m->filter[i].filter != f)
			continue;
		mon_filter_free(m->filter[i].filter);
		m->filter[i] = m->filter[--m->filters];
		return;
	}
}

static bool draft_fits(const struct monitor_draft *d, const struct ctl_mon_filter *p)
{
	return d->insn != NULL && d->sock == p->sock && d->which == p->which && d->total == p->total && d->have == p->first;
}

void monitor_draft_drop(struct monitor_draft *d)
{
	free(d->insn);
	*d = (struct monitor_draft){ .insn = NULL };
}

/* One more piece.  0 or -errno. */
static int draft_add(struct monitor_draft *d, const struct ctl_mon_filter *p)
{
	if (p->first == 0) {
		monitor_draft_drop(d);
		*d = (struct monitor_draft){ .sock = p->sock, .which = p->which, .total = p->total };
		d->insn = calloc(p->total, sizeof(d->insn[0]));
		if (d->insn == NULL)
			return -ENOMEM;
	}
	if (!draft_fits(d, p) || p->count == 0 || p->count > sizeof(p->insn) / sizeof(p->insn[0]) ||
	    p->count > d->total - d->have) {
		monitor_draft_drop(d);
		return -EINVAL;
	}
	memcpy(&d->insn[d->have], p->insn, p->count * sizeof(p->insn[0]));
	d->have += p->count;
	return 0;
}

/* f NULL: none.  0 or an errno. */
static int filter_set(struct client *c, uint32_t id, uint16_t sock, uint16_t which, struct mon_filter *f, unsigned insns)
{
	struct monitor_request *r = monitor_request_new(c->monitor, c, id, MON_ORDER_FILTER);

	if (r == NULL) {
		mon_filter_free(f);
		return ENOMEM;
	}
	if (f != NULL)
		c->monitor->filter[c->monitor->filters++] = (struct monitor_filter){ f, insns };
	for (unsigned e = 0; e < c->ctl->cores; e++) {
		r->errand[e].order.sock = sock;
		r->errand[e].order.which = which;
		r->errand[e].order.filter = f;
	}
	monitor_request_send(r);
	return 0;
}

/* The whole of it is here. */
static int draft_set(struct client *c, uint32_t id)
{
	struct monitor_draft *d = &c->monitor->draft;
	uint16_t sock = d->sock, which = d->which;
	unsigned insns = d->total;
	struct mon_filter *f = NULL;
	int err = has_room(c->monitor, insns) ? 0 : ENOMEM;

	if (err == 0) {
		f = mon_filter_make(d->insn, insns);
		err = f != NULL ? 0 : errno;
	}
	monitor_draft_drop(d);
	return err != 0 ? err : filter_set(c, id, sock, which, f, insns);
}

void monitor_filter(struct client *c, const struct ctl_msg *msg)
{
	const struct ctl_mon_filter *p = &msg->mon_filter;
	int err = 0;

	if (!monitor_has_sock(c, p->sock)) {
		err = EBADF;
	} else if (p->which > MON_FILTER_RAW || p->total > MON_FILTER_MAX) {
		err = EINVAL;
	} else if (p->total == 0) {
		err = filter_set(c, msg->head.id, p->sock, p->which, NULL, 0);
		if (err == 0)
			return;
	} else {
		err = -draft_add(&c->monitor->draft, p);
		if (err == 0 && c->monitor->draft.have == p->total) {
			err = draft_set(c, msg->head.id);
			if (err == 0)
				return;
		}
	}
	client_reply(c, msg->head.id, err, 0);
}
