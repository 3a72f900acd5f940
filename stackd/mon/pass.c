/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The way of a packet through the monitor: RAW sockets first, then, where it belongs to a flow, its sender's side, the receiver's
 * side, and out.
 */
#include <string.h>

#include "stackd/mon/priv.h"
#include "stackd/tcp/seg.h"

static void stage_enter(struct mon *m, struct mon_pass *ps);
static void stage_leave(struct mon *m, struct mon_pass *ps);

bool mon_run(struct mon *m, struct mon_pass *ps, struct mon_held *held)
{
	while (ps->stage != STAGE_OUT) {
		uint64_t ask = 0;

		if (!ps->entered) {
			ps->asked = 0;
			ps->mapped = 0;
			stage_enter(m, ps);
			ps->entered = true;
		}
		if (ps->stage == STAGE_OUT)
			break;
		if (ps->events != 0 && ps->slots == 0) {
			mon_map_upto(ps, 0, false);
		} else if (ps->events != 0) {
			if (!ps->dropped && mon_chain(m, ps, &held) == 0)
				return false;
			if (held != NULL && mon_queue_stops(held))
				return false;
			if (!ps->dropped)
				mon_map_upto(ps, 0, false);
			ask = ps->passive ? 0 : m->inline_slots;
			if (ps->stage >= STAGE_SND) /* some may have let go of the flow meanwhile */
				ps->slots &= ps->flow->slots;
			mon_emit_all(m, ps, ps->flow, ps->slots & ~ask, ps->events, ps->hook, ps->side, ps->flags,
				     ps->snd != NULL && ps->snd->side == MON_SVR);
		}
		if (held != NULL && mon_queue_stops(held))
			return false;
		ps->entered = false;
		stage_leave(m, ps);
	}
	mon_pass_out(m, ps);
	return true;
}

static void round_set(struct mon_pass *ps, uint16_t events, unsigned hook, unsigned side, uint16_t flags)
{
	ps->events = events;
	ps->hook = (uint8_t)hook;
	ps->side = (uint8_t)side;
	ps->flags = (uint8_t)flags;
	ps->slots = ps->flow != NULL ? ps->flow->slots : 0;
}

static void link_note(struct mon_pass *ps)
{
	struct mon_flow *f = ps->flow;
	unsigned side = ps->snd->side;

	f->ports[side] = ps->pkt->port;
	f->l2_len[side] = ps->seg.l3_off <= L2_MAX ? (uint8_t)ps->seg.l3_off : 0;
	memcpy(f->l2[side], ps->pkt->data, f->l2_len[side]);
}

/* Another ISN was the right one. */
static void stream_void(struct mon_flow *f, unsigned side)
{
	mon_aside_free(&f->half[side]);
	mon_publish(f); /* its in-order end is 0 again: the arena keeps nothing below that */
	for (struct mon_view *v = f->views; v != NULL; v = v->next)
		arena_drop(v->group->arena, v->rec, side);
}

/* To a program that does not watch this flow its packets are of no flow, whoever else does.  They are shown, not held. */
static void show_strangers(struct mon *m, struct mon_pass *ps)
{
	const struct mon_flow *f = ps->flow;
	uint64_t left = (ps->seg.flags & (SEG_SYN | SEG_ACK | SEG_RST)) != SEG_SYN ? mon_slots_orphan(m, ps) : 0, slots = 0;

	for (; left != 0; left &= left - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(left);

		if (((f->slots | f->let_go) & m->slot[slot].lane->slots) == 0)
			slots |= (uint64_t)1 << slot;
	}
	mon_emit_all(m, ps, NULL, slots, MON_ORPHAN, MON_HK_NULL, MON_BOTH, 0, false);
}

static void ack_note(struct mon_half *h, uint32_t ack, uint16_t wnd)
{
	if (!h->ack_known || seq_gt(ack, h->ack_in))
		h->ack_in = ack;
	h->ack_known = true;
	h->wnd_in = wnd;
}

static void enter_snd(struct mon *m, struct mon_pass *ps)
{
	struct mon_did did = { 0 };
	uint32_t ack = ps->seg.ack;

	if (m->want[MON_HK_NULL][__builtin_ctz(MON_ORPHAN)] != 0)
		show_strangers(m, ps);
	if (ps->flow->xlate != NULL)
		mon_edit_in(ps->flow, ps->snd->side, ps->pkt, &ps->seg);
	ps->seq_in = ps->seg.seq;
	ps->end_in = ps->seg.seq + ps->seg.text_len + ((ps->seg.flags & SEG_SYN) != 0) + ((ps->seg.flags & SEG_FIN) != 0);
	mon_half_snd(ps->snd, &ps->seg, &did);
	if (did.reset && !ps->first) {
		mon_flow_renew(m, ps);
		if (ps->flow == NULL)
			return;
		did = (struct mon_did){ 0 };
		mon_half_snd(ps->snd, &ps->seg, &did);
	}
	for (unsigned i = 0; i < 2; i++) {
		if ((did.anew >> i & 1) != 0)
			stream_void(ps->flow, i);
	}
	if (ps->snd->aside != NULL)
		mon_aside_take(m, ps->snd, &did);
	ps->flow->last_us = ps->ts_us;
	if ((ps->seg.flags & SEG_ACK) != 0)
		ack_note(ps->snd, ack, ps->seg.wnd);
	link_note(ps);
	if (!ps->flow->ending)
		mon_flow_touch(&m->table, ps->flow);
	ps->end |= did.end;
	if (ps->first && ps->flow->midstream)
		did.events |= MON_CONN_START;
	if (ps->first)
		mon_publish(ps->flow);
	round_set(ps, (uint16_t)(MON_PKT_IN | (did.events & ~(MON_ERROR | MON_NEW_DATA))), MON_HK_SND, ps->snd->side, 0);
}

/* Monitors at one hook have let it pass: what of it they have not edited stays so. */
static void gone_note(struct mon_pass *ps, unsigned layer)
{
	struct mon_half *h = ps->snd;

	if (ps->end_in == ps->seq_in || ((h->gone_known >> layer & 1) != 0 && seq_le(ps->end_in, h->gone[layer])))
		return;
	h->gone[layer] = ps->end_in;
	h->gone_known |= (uint8_t)(1u << layer);
}

/* The sender's monitors are through with it: what is left of it arrives. */
static void arrive(struct mon *m, struct mon_pass *ps)
{
	struct mon_half *rcv = mon_other(ps->snd);

	gone_note(ps, MON_LAYER_SND);
	if (ps->flow->xlate != NULL)
		mon_edit_middle(ps->flow, ps->snd->side, ps->pkt, &ps->seg);
	if ((rcv->flags & HALF_ATTACHED) == 0)
		(void)mon_half_attach(&m->table, rcv, &ps->seg, false, m->conf.seed);
	ps->rcv = (struct mon_did){ .at = UINT64_MAX };
	ps->next_was = rcv->next;
	mon_half_rcv(rcv, &ps->seg, &ps->rcv);
	ps->end |= ps->rcv.end;
	ps->left = ps->rcv.events;
	if (ps->first && ps->flow->midstream)
		ps->left |= MON_CONN_START;
	if (ps->rcv.rexmit_text)
		COUNT(m->stats, MON_REXMITS);
	if (ps->rcv.outside) {
		COUNT(m->stats, MON_OUTSIDE);
		mon_aside_put(ps, rcv);
	}
}

/* Both versions of a stream are written from the same call, so bytes seen before go along where there are any. */
static void store(struct mon *m, struct mon_pass *ps, const struct mon_half *rcv)
{
	const struct mon_did *d = &ps->rcv;
	const uint8_t *text = ps->pkt->data + ps->seg.text_off;
	uint64_t off = d->off;
	uint32_t skip = d->skip, len = d->len;

	if (d->rexmit_text && !d->outside && d->at != UINT64_MAX && ps->seg.text_len > 0 && rcv->missed == 0) {
		uint64_t before = (int64_t)d->at < 0 ? -d->at : 0;

		skip = before < ps->seg.text_len ? (uint32_t)before : ps->seg.text_len;
		off = d->at + skip;
		len = ps->seg.text_len - skip;
		if (off + len > rcv->top)
			len = off < rcv->top ? (uint32_t)(rcv->top - off) : 0; /* behind the FIN */
	}
	if (len == 0)
		return;
	COUNT_ADD(m->stats, MON_BYTES, d->len);
	for (struct mon_view *v = ps->flow->views; v != NULL; v = v->next) {
		if ((v->buf_off >> rcv->side & 1) == 0)
			(void)arena_write(v->group->arena, v->rec, rcv->side, off, text + skip, len);
	}
}

static void enter_rcv(struct mon *m, struct mon_pass *ps)
{
	struct mon_half *rcv = mon_other(ps->snd);
	struct mon_flow *f = ps->flow;

	store(m, ps, rcv);
	mon_publish(f);
	for (unsigned i = 0; i < 2; i++) {
		if (f->half[i].next != f->half[i].told)
			f->half[i].flags |= HALF_DIRTY;
	}
	if ((ps->left & MON_NEW_DATA) != 0)
		rcv->flags |= HALF_DIRTY;
	if (((f->half[0].flags | f->half[1].flags) & HALF_DIRTY) != 0 && !f->dirty) {
		f->dirty = true;
		TAILQ_INSERT_TAIL(&m->news, f, news);
	}
	round_set(ps, (uint16_t)(MON_PKT_IN | (ps->left & ~(MON_ERROR | MON_NEW_DATA))), MON_HK_RCV, rcv->side, 0);
}

static void stage_enter(struct mon *m, struct mon_pass *ps)
{
	ps->events = 0;
	switch (ps->stage) {
	case STAGE_RAW:
		if (m->raw_slots == 0)
			break;
		round_set(ps, MON_PKT_IN | (ps->orphan ? MON_ORPHAN : 0), MON_HK_NULL, MON_BOTH, 0);
		ps->slots = mon_slots_raw(m, ps);
		break;
	case STAGE_ORPHAN:
		round_set(ps, MON_ORPHAN, MON_HK_NULL, MON_BOTH, 0);
		ps->slots = mon_slots_orphan(m, ps);
		break;
	case STAGE_SND:
		enter_snd(m, ps);
		break;
	case STAGE_REXMIT:
		round_set(ps, MON_REXMIT, MON_HK_RCV, mon_other(ps->snd)->side, MEVF_REXMIT);
		break;
	case STAGE_ERROR:
		round_set(ps, MON_ERROR, MON_HK_NULL, mon_other(ps->snd)->side, 0);
		break;
	case STAGE_RCV:
		enter_rcv(m, ps);
		break;
	case STAGE_OUT:
		break;
	}
}

static enum mon_stage after_arrival(const struct mon_pass *ps)
{
	if (ps->stage < STAGE_REXMIT && ps->rcv.rexmit_text)
		return STAGE_REXMIT;
	if (ps->stage < STAGE_ERROR && (ps->left & MON_ERROR) != 0)
		return STAGE_ERROR;
	return STAGE_RCV;
}

static void stage_leave(struct mon *m, struct mon_pass *ps)
{
	if (ps->stage == STAGE_OUT)
		return;
	if (ps->stage == STAGE_RCV || (ps->dropped && ps->stage <= STAGE_SND)) {
		ps->stage = STAGE_OUT;
		return;
	}
	switch (ps->stage) {
	case STAGE_RAW:
		ps->stage = ps->flow != NULL ? STAGE_SND : ps->orphan && !ps->silent ? STAGE_ORPHAN : STAGE_OUT;
		break;
	case STAGE_SND:
		arrive(m, ps);
		ps->stage = after_arrival(ps);
		break;
	case STAGE_REXMIT:
	case STAGE_ERROR:
		ps->stage = after_arrival(ps);
		break;
	default:
		ps->stage = STAGE_OUT;
		break;
	}
}

void mon_pass_free(struct mon_pass *ps)
{
	if (ps->owned)
		nic_free(ps->pkt);
}

void mon_pass_out(struct mon *m, struct mon_pass *ps)
{
	struct mon_flow *f = ps->flow;

	if (ps->dropped)
		COUNT(m->stats, MON_DROPPED);
	else if (f != NULL && ps->snd != NULL)
		gone_note(ps, MON_LAYER_RCV);
	if (ps->emptied && !ps->dropped && !ps->passive)
		mon_answer(m, ps);
	if (ps->owned && (ps->dropped || ps->passive || m->conf.port[ps->pkt->port].peer < 0))
		mon_pass_free(ps);
	else if (ps->owned)
		mon_send(m, ps);
	if (f != NULL) {
		if (ps->dropped)
			mon_publish(f);
		if (ps->end)
			mon_flow_over(m, f);
	}
}
