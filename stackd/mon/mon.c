/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames in, what is due once a turn, and how a monitor is made.
 */
#include "stackd/mon/mon.h"

#include <errno.h>
#include <stdlib.h>

#include "stackd/mon/priv.h"
#include "stackd/tcp/seg.h"

/* --- Frames in ------------------------------------------------------------------------------------------------------------------ */

static bool anybody(const struct mon *m)
{
	return m->slots != 0 || m->table.used != 0;
}

static void time_is(struct mon *m, const struct pkt *p)
{
	if (m->conf.port[p->port].mode == MON_PORT_REPLAY) {
		if (p->when_us > m->time_us)
			m->time_us = p->when_us;
	} else if (!m->replay) {
		m->time_us = m->now_us + m->conf.realtime_us;
	}
}

/* Where in the engine's queues a pass belongs, and on with it. */
static void pass_begin(struct mon *m, struct mon_pass *ps)
{
	struct mon_queue *q = ps->flow != NULL ? &ps->flow->queue : &m->loose[ps->seg.hash % LOOSE_QUEUES];

	if (q->first != NULL)
		mon_queue_put(m, q, ps);
	else
		(void)mon_run(m, ps, NULL);
}

static void tcp_segment(struct mon *m, struct mon_pass *ps)
{
	ps->snd = mon_flow_find(m, ps);
	if (ps->snd != NULL)
		ps->flow = ps->snd->flow;
	else
		ps->orphan = (ps->seg.flags & (SEG_SYN | SEG_ACK | SEG_RST)) != SEG_SYN;
	COUNT(m->stats, MON_PKTS);
	pass_begin(m, ps);
}

/* A datagram put together from fragments, here or by the engine that has those between its addresses. */
static void joined_in(struct mon *m, struct mon_pass *ps)
{
	bool seen = (ps->pkt->flags & PKT_LOOK) != 0 || m->conf.port[ps->pkt->port].peer < 0; /* RAW sockets have had the pieces */

	ps->passive = (ps->pkt->flags & PKT_LOOK) != 0;
	mon_seg_parse(ps->pkt, m->conf.seed, &ps->seg);
	if (ps->seg.kind != MON_SEG_TCP) {
		ps->orphan = true;
		ps->stage = seen ? STAGE_ORPHAN : STAGE_RAW;
		pass_begin(m, ps);
	} else if (!seen) {
		tcp_segment(m, ps);
	} else {
		ps->stage = STAGE_SND;
		mon_pass_tcp(m, ps);
	}
}

/* What may be changed is judged, and sent, as a whole; else fragments go on as they are, and the whole is looked at. */
static void fragment(struct mon *m, struct mon_pass *ps)
{
	bool look = ps->passive || !m->judges;
	struct mon_pass whole = { .owned = true, .ts_us = ps->ts_us };
	const uint8_t *frame;
	uint32_t len;

	COUNT(m->stats, MON_FRAGS);
	if (mon_frag_in(m->frags, ps->pkt, &ps->seg, m->now_us, &frame, &len)) {
		whole.pkt = mon_pkt_joined(ps->pkt, frame, len);
		if (whole.pkt == NULL)
			COUNT(m->stats, NIC_NOBUF);
	}
	if (whole.pkt != NULL && look)
		whole.pkt->flags |= PKT_LOOK;
	/* before the last piece leaves, and is answered */
	if (whole.pkt != NULL && m->conf.elsewhere != NULL && m->conf.elsewhere(m->conf.arg, whole.pkt))
		whole.pkt = NULL;
	ps->silent = true;
	if (look || m->conf.port[ps->pkt->port].peer < 0)
		pass_begin(m, ps);
	else
		mon_pass_free(ps);
	if (whole.pkt != NULL)
		joined_in(m, &whole);
}

static void frame_in(struct mon *m, struct mon_pass *ps)
{
	if (m->inline_slots != 0 && m->conf.port[ps->pkt->port].peer >= 0)
		mon_station_note(m, ps->pkt);
	mon_seg_parse(ps->pkt, m->conf.seed, &ps->seg);
	switch (ps->seg.kind) {
	case MON_SEG_TCP:
		tcp_segment(m, ps);
		return;
	case MON_SEG_FRAG:
		fragment(m, ps);
		return;
	case MON_SEG_BAD_IP:
	case MON_SEG_BAD_TCP:
		COUNT(m->stats, MON_BAD);
		ps->silent = true;
		break;
	case MON_SEG_IP:
		ps->orphan = true;
		COUNT(m->stats, MON_ORPHANS);
		break;
	case MON_SEG_OTHER:
		ps->silent = true;
		break;
	}
	pass_begin(m, ps);
}

void mon_pass_tcp(struct mon *m, struct mon_pass *ps)
{
	ps->snd = mon_flow_find(m, ps);
	if (ps->snd != NULL) {
		ps->flow = ps->snd->flow;
	} else {
		ps->stage = STAGE_ORPHAN;
		ps->orphan = true;
	}
	pass_begin(m, ps);
}

void mon_in(struct mon *m, struct pkt **pkts, unsigned n, uint64_t now_us)
{
	m->now_us = now_us;
	for (unsigned i = 0; i < n; i++) {
		/* who looks at a mirror holds nothing up */
		struct mon_pass ps = { .pkt = pkts[i], .owned = true, .passive = m->conf.port[pkts[i]->port].mode == MON_PORT_TAP };

		time_is(m, pkts[i]);
		ps.ts_us = m->time_us;
		if (m->replay && pkts[i]->when_us != 0)
			ps.ts_us = pkts[i]->when_us;
		if ((pkts[i]->flags & PKT_JOINED) != 0)
			joined_in(m, &ps);
		else if (anybody(m))
			frame_in(m, &ps);
		else
			mon_pass_out(m, &ps);
	}
}

void mon_watch(struct mon *m, struct pkt *p, uint64_t now_us)
{
	struct mon_pass ps = { .pkt = p, .passive = true };

	m->now_us = now_us;
	time_is(m, p);
	ps.ts_us = m->time_us;
	frame_in(m, &ps);
}

bool mon_wanted(const struct mon *m)
{
	return anybody(m);
}

/* --- Once a turn ------------------------------------------------------------------------------------------------------------------ */

unsigned mon_commands(struct mon *m, uint64_t now_us)
{
	unsigned work = 0;

	m->now_us = now_us;
	for (unsigned i = 0; i < m->rooms; i++) {
		struct mon_lane *l = m->room[i].lane;
		struct mon_cmd cmd;
		unsigned n = 0;

		while (n < COMMANDS && l->bad == NULL && !l->leaving && ring_get(&l->cmds, &cmd)) {
			mon_command(m, l, &cmd);
			n++;
		}
		if (n > 0)
			ring_done(&l->cmds);
		work += n;
	}
	return work;
}

static bool expire_from(struct mon *m, struct mon_flows *list, uint64_t after_us)
{
	for (unsigned n = 0; n < EXPIRE; n++) {
		struct mon_flow *f = TAILQ_FIRST(list);

		if (f == NULL || f->last_us + after_us > m->time_us || f->queue.first != NULL || (m->replay && mon_can_take(m) == 0))
			return false;
		mon_flow_end(m, f);
	}
	return true;
}

void mon_expire(struct mon *m, uint64_t now_us)
{
	m->now_us = now_us;
	if (!m->replay)
		m->time_us = now_us + m->conf.realtime_us;
	(void)mon_chain_expire(m);
	(void)expire_from(m, &m->closing, m->conf.time_wait_us);
	(void)expire_from(m, &m->table.age, m->conf.idle_us);
}

void mon_settle(struct mon *m, uint64_t now_us)
{
	struct mon_flow *f;

	m->now_us = now_us;
	while ((f = TAILQ_FIRST(&m->news)) != NULL) {
		TAILQ_REMOVE(&m->news, f, news);
		f->dirty = false;
		mon_emit_news(m, f);
	}
	mon_count_skipped(m);
	(void)mon_order_step(m);
	for (unsigned i = 0; i < m->rooms; i++) {
		struct mon_lane *l = m->room[i].lane;

		if (l->has_news)
			mon_wake(m, l);
		if (l->bad != NULL && !l->bad_told) {
			l->bad_told = true;
			m->conf.lane_bad(m->conf.arg, l);
		}
	}
}

uint64_t mon_next_us(const struct mon *m, uint64_t now_us)
{
	const struct mon_flow *f = TAILQ_FIRST(&m->closing), *old = TAILQ_FIRST(&m->table.age);
	uint64_t next = UINT64_MAX, t;

	if (m->orders != NULL)
		return now_us;
	for (unsigned i = 0; i < m->rooms; i++) {
		const struct mon_held *h = TAILQ_FIRST(&m->room[i].dues);

		if (h != NULL && h->deadline_us < next)
			next = h->deadline_us;
	}
	if (m->replay)
		return next;
	if (f != NULL) {
		t = f->last_us + m->conf.time_wait_us;
		t = t > m->time_us ? now_us + (t - m->time_us) : now_us;
		next = t < next ? t : next;
	}
	if (old != NULL) {
		t = old->last_us + m->conf.idle_us;
		t = t > m->time_us ? now_us + (t - m->time_us) : now_us;
		next = t < next ? t : next;
	}
	return next;
}

bool mon_ready(const struct mon *m)
{
	for (unsigned i = 0; i < m->rooms; i++) {
		if (ring_ready(&m->room[i].lane->cmds))
			return true;
	}
	return false;
}

void mon_asleep(struct mon *m, uint32_t asleep)
{
	for (unsigned i = 0; i < m->rooms; i++)
		atomic_store_explicit((_Atomic uint32_t *)&m->room[i].lane->dn->engine_asleep, asleep,
				      memory_order_relaxed);
}

struct mon_room *mon_room_of(struct mon *m, const struct mon_lane *l)
{
	for (unsigned i = 0; i < m->rooms; i++) {
		if (m->room[i].lane == l)
			return &m->room[i];
	}
	return NULL;
}

void mon_figures(const struct mon *m, struct mon_figures *f)
{
	*f = (struct mon_figures){
		.flows = m->table.used,
		.lanes = m->rooms,
		.socks = (uint32_t)__builtin_popcountll(m->slots),
		.held = m->held,
	};
}

/* --- Making one --------------------------------------------------------------------------------------------------------------------- */

struct mon *mon_create(const struct mon_conf *conf, struct stats *stats)
{
	struct mon *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->conf = *conf;
	m->stats = stats;
	TAILQ_INIT(&m->closing);
	TAILQ_INIT(&m->news);
	TAILQ_INIT(&m->all_held);
	m->orders_tail = &m->orders;
	for (unsigned i = 0; i < conf->ports; i++)
		m->replay |= conf->port[i].mode == MON_PORT_REPLAY;
	for (unsigned i = 0; i < LOOSE_QUEUES; i++)
		m->loose[i].tail = &m->loose[i].first;
	m->room = calloc(LANES_MAX, sizeof(*m->room));
	m->frags = mon_frags_create(conf->frag_entries, conf->frag_timeout_us, conf->seed);
	if (m->room == NULL || m->frags == NULL || mon_table_init(&m->table, conf->max_flows) != 0) {
		mon_destroy(m);
		errno = ENOMEM;
		return NULL;
	}
	return m;
}

static void queue_free(struct mon_queue *q)
{
	struct mon_held *h;

	while ((h = q->first) != NULL) {
		q->first = h->next;
		mon_pass_free(&h->pass);
		free(h);
	}
}

void mon_destroy(struct mon *m)
{
	struct mon_flow *f;

	if (m == NULL)
		return;
	for (unsigned i = 0; i < LOOSE_QUEUES; i++)
		queue_free(&m->loose[i]);
	while ((f = TAILQ_FIRST(&m->closing)) != NULL || (f = TAILQ_FIRST(&m->table.age)) != NULL) {
		queue_free(&f->queue);
		mon_flow_remove(m, f);
	}
	for (unsigned i = 0; i < NET_PORTS_MAX; i++) {
		while (m->outs[i] > 0)
			nic_free(m->out[i][--m->outs[i]]);
	}
	mon_table_fini(&m->table);
	mon_frags_destroy(m->frags);
	for (unsigned i = 0; i < MON_GROUPS_MAX; i++)
		free(m->rec_flow[i]);
	free(m->claim);
	free(m->claim_gen);
	free(m->claim_free);
	free(m->room);
	free(m);
}
