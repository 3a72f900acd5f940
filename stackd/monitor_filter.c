/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Filters of monitor sockets: put together from their pieces, checked (mon/filter.c), handed to the engines, and freed when all
 * of them have given them back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/log.h"
#include "stackd/monitor.h"

/* Room for one more of so many instructions; one that is being replaced counts until it has come back. */
static bool has_room(const struct monitor *m, unsigned insns)
{
	for (unsigned i = 0; i < m->filters; i++)
		insns += m->filter[i].insns;
	return m->filters < MONITOR_FILTERS_MAX && insns <= MONITOR_INSNS_MAX;
}

static unsigned steps_of(const struct client *c)
{
	const struct monitor *m = c->monitor;
	unsigned n = 0;

	for (unsigned i = 0; m != NULL && i < MON_SOCKS_MAX; i++)
		n += m->sock[i].used ? m->sock[i].steps[0] + m->sock[i].steps[1] + m->sock[i].steps[2] : 0;
	return n;
}

/* Of the contexts of one process and rule one looks at a packet (monitor_group.c): does this one take longest? */
static bool is_slowest(const struct ctl *ctl, const struct client *c)
{
	unsigned steps = steps_of(c);

	for (const struct client *o = ctl->clients; o != NULL; o = o->next) {
		unsigned n = o->cred.pid == c->cred.pid && o->rule == c->rule ? steps_of(o) : 0;

		if (n > steps || (n == steps && o->id < c->id && n > 0))
			return false;
	}
	return true;
}

static unsigned steps_of_user(const struct client *of)
{
	unsigned n = 0;

	for (const struct client *c = of->ctl->clients; c != NULL; c = c->next)
		n += c->cred.uid == of->cred.uid && is_slowest(of->ctl, c) ? steps_of(c) : 0;
	return n;
}

/* Note that a socket's filter takes so many.  0 or -E2BIG: more than its user may have. */
static int steps_take(struct client *c, uint16_t sock, uint16_t which, unsigned steps)
{
	unsigned *mine = &c->monitor->sock[sock].steps[which], before = *mine;

	*mine = steps;
	if (steps <= before || steps_of_user(c) <= c->rule->max_filter_steps)
		return 0;
	*mine = before;
	if (!c->monitor->told_steps)
		log_warn("ctl", "app %u (%s) gets no filter of %u steps: uid %u would have more than the %u that the rule for %s allows (max_filter_steps)",
			 c->id, c->name, steps, (unsigned)c->cred.uid, c->rule->max_filter_steps, c->rule->name);
	c->monitor->told_steps = true;
	return -E2BIG;
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
	int err = r == NULL ? -ENOMEM : steps_take(c, sock, which, f != NULL ? mon_filter_steps(f) : 0);

	if (err != 0) {
		mon_filter_free(f);
		if (r != NULL)
			monitor_request_free(r);
		return -err;
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
