/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Flow records; see flows.h.  Called by core.c, written in place in the segment.
 */
#include <string.h>

#include "stackd/flows.h"

void flows_init(struct flows *f, struct stat_seg *seg, unsigned engine)
{
	*f = (struct flows){ .seg = seg, .shown = stat_seg_engine(seg, engine), .engine = engine };
}

static void flow_fill(struct stat_flow *r, const struct tcp_conn *c)
{
	r->app = c->owner != NULL ? c->owner->app : 0;
	tcp_conn_figures(c, r);
}

void flows_state(struct flows *f, struct tcp_conn *c, enum tcp_state from, enum tcp_state to)
{
	struct stat_flow *r = stat_seg_flow(f->seg, f->engine, c->slot);

	if (r == NULL)
		return;
	stat_write_begin(&r->version);
	if (from == TCP_CLOSED) {
		r->local = c->local;
		r->peer = c->peer;
		r->lport = c->lport;
		r->pport = c->pport;
		r->born_us = c->born_us;
		if (c->slot >= f->shown->flows_high)
			f->shown->flows_high = c->slot + 1;
	}
	r->state = (uint8_t)to;
	if (to == TCP_CLOSED)
		r->app = 0;
	else
		flow_fill(r, c);
	stat_write_end(&r->version);
}

void flows_note(struct flows *f, struct tcp_conn *c)
{
	struct stat_flow *r = stat_seg_flow(f->seg, f->engine, c->slot);

	if (r == NULL)
		return;
	stat_write_begin(&r->version);
	flow_fill(r, c);
	stat_write_end(&r->version);
}
