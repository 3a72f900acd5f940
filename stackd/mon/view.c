/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A flow's record in the arena of each group that watches it.
 */
#include <stdlib.h>

#include "stackd/mon/priv.h"

static void side_publish(struct mon_side *out, const struct mon_half *h, bool off)
{
	out->state = h->state;
	out->isn = h->rcv_isn;
	out->next = h->next;
	out->top = h->top;
	out->missed = h->missed;
	out->flags = (uint8_t)((out->flags & MON_SIDE_TWO) | (off ? MON_SIDE_OFF : 0) |
			       ((h->flags & HALF_RCV_FIN) != 0 ? MON_SIDE_FIN : 0) |
			       ((mon_other((struct mon_half *)h)->flags & HALF_ISN) != 0 ? MON_SIDE_ISN : 0));
}

void mon_publish(struct mon_flow *f)
{
	for (struct mon_view *v = f->views; v != NULL; v = v->next) {
		struct mon_rec *r = arena_change(v->group->arena, v->rec);

		r->pkts = f->half[0].pkts + f->half[1].pkts;
		for (unsigned i = 0; i < 2; i++)
			side_publish(&r->side[i], &f->half[i], (v->buf_off >> i & 1) != 0);
		arena_changed(v->group->arena, v->rec);
	}
}

void mon_view_free(struct mon *m, struct mon_flow *f, struct mon_view *v)
{
	struct mon_view **at = &f->views;

	m->rec_flow[v->group->id][v->rec] = NULL;
	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	arena_close(v->group->arena, v->rec);
	free(v);
}

/* The addresses that a record tells are those of the flow's first packet. */
static void view_name(const struct mon_flow *f, const struct mon_view *v)
{
	struct mon_rec *r = arena_change(v->group->arena, v->rec);
	const struct mon_half *h = &f->half[(f->half[MON_CLI].flags & HALF_ATTACHED) != 0 ? MON_CLI : MON_SVR];
	unsigned other = 1 - h->side;

	r->side[h->side].addr = h->own;
	r->side[h->side].port = h->own_port;
	r->side[other].addr = h->peer;
	r->side[other].port = h->peer_port;
	arena_changed(v->group->arena, v->rec);
}

/* Which flow a record is of, for commands that name it. */
static bool rec_note(struct mon *m, const struct mon_group *g, uint32_t rec, struct mon_flow *f)
{
	if (m->rec_flow[g->id] == NULL)
		m->rec_flow[g->id] = calloc(arena_records(g->arena), sizeof(struct mon_flow *));
	if (m->rec_flow[g->id] == NULL)
		return false;
	m->rec_flow[g->id][rec] = f;
	return true;
}

void mon_view_add(struct mon *m, struct mon_flow *f, unsigned slot)
{
	struct mon_group *g = m->slot[slot].lane->group;
	struct mon_view *v = f->views;

	while (v != NULL && v->group != g)
		v = v->next;
	if (v == NULL) {
		v = calloc(1, sizeof(*v));
		if (v == NULL)
			return;
		v->group = g;
		v->rec = arena_open(g->arena, f->serial, f->born_us);
		if (v->rec == MON_NONE || !rec_note(m, g, v->rec, f)) {
			if (v->rec != MON_NONE)
				arena_close(g->arena, v->rec);
			free(v);
			return;
		}
		v->buf_off = 3;
		v->next = f->views;
		f->views = v;
		view_name(f, v);
	}
	if ((m->slot[slot].flags & MON_SOCK_NO_BUF) == 0)
		v->buf_off = 0;
	v->slots |= (uint64_t)1 << slot;
	f->slots |= (uint64_t)1 << slot;
	if (m->slot[slot].inline_)
		f->inline_slots |= (uint64_t)1 << slot;
}

struct mon_flow *mon_flow_named(struct mon *m, struct mon_lane *l, uint32_t rec, uint32_t gen)
{
	struct mon_flow **of = m->rec_flow[l->group->id];

	return of != NULL && rec < arena_records(l->group->arena) && of[rec] != NULL && (uint32_t)of[rec]->serial == gen ? of[rec] : NULL;
}
