/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments of scripts on the wire: "<" comes from the peer, ">" is what must come back.
 */
#include "tests/trace/trace.h"

#include <string.h>

static bool record(struct run *r, struct end *e, struct pkt *p);
static bool compare(struct run *r, struct end *e, const struct wanted *w, const struct pkt *p);
static bool compare_options(struct run *r, struct end *e, const struct wanted *w, const struct pkt *p);
static bool compare_text(struct run *r, const struct end *e, const struct pkt *p);

/* later: with the next one, in one burst. */
bool wire_inject(struct run *r, struct end *e, struct cursor *c, bool later)
{
	struct wanted w;
	struct pkt *p;

	if (!segment_read(r, e, false, c, &w))
		return false;
	p = segment_make(r, e, &w);
	host_in(&r->h, &p, 1);
	if (!later)
		run_settle(r);
	return true;
}

bool wire_expect(struct run *r, struct end *e, struct cursor *c)
{
	const char *script = c->at;
	struct wanted w;
	struct pkt *p;
	uint64_t at_us;
	char got[512];
	bool good;

	if (r->any_time)
		r->to_us = r->clock_us + UINT64_C(3600) * 1000000;
	else
		r->to_us += TOLERANCE_US;
	if (!segment_read(r, e, true, c, &w))
		return false;
	run_settle(r);
	if (r->h.net.head == NULL) {
		uint64_t clock = r->clock_us;

		run_wait(r);
		r->clock_us = clock;
	}
	p = host_sent(&r->h);
	if (p == NULL)
		return wrong(r, "nothing was sent until %.6f instead of:%s", (double)run_now(r) / 1e6, script);
	at_us = p->when_us - r->start_us;
	if (wire_end(r, p) == e)
		wire_seen(r, e, p);
	segment_show(r, wire_end(r, p), p, got, sizeof(got));
	good = wire_end(r, p) == e && compare(r, e, &w, p);
	if (!good && !r->failed)
		wrong(r, "expected%s\n\tsent      %s", script, got);
	if (good && !r->any_time && (at_us + TOLERANCE_US < r->from_us || at_us > r->to_us))
		good = wrong(r, "%s was sent at %.6f, not at %.6f", got, (double)at_us / 1e6, (double)r->from_us / 1e6);
	r->clock_us = r->any_time || r->to_us > r->from_us + TOLERANCE_US ? at_us : r->from_us;
	nic_free(p);
	return good;
}

bool wire_silent(struct run *r)
{
	struct pkt *p = host_sent(&r->h);
	char got[512];
	double at;

	if (p == NULL)
		return true;
	if (wire_end(r, p) != NULL)
		wire_seen(r, wire_end(r, p), p);
	if (r->record)
		return record(r, wire_end(r, p), p);
	segment_show(r, wire_end(r, p), p, got, sizeof(got));
	at = (double)(p->when_us - r->start_us) / 1e6;
	nic_free(p);
	return wrong(r, "sent at %.6f, expected by no line:\n\t%s", at, got);
}

static bool record(struct run *r, struct end *e, struct pkt *p)
{
	char got[512];

	if (!e->ts_known && e->last_ts != 0) {
		e->ts_known = true;
		e->ts_base = e->last_ts;
	}
	segment_show(r, e, p, got, sizeof(got));
	run_tell(r, p->when_us - r->start_us, e, strchr(got, '>'));
	nic_free(p);
	return wire_silent(r);
}

struct end *wire_end(struct run *r, const struct pkt *p)
{
	for (unsigned i = 0; i < ENDS; i++)
		if (r->end[i].port == p->tcp.sport && r->end[i].peer_port == p->tcp.dport)
			return &r->end[i];
	return &r->end[0]; /* the connection of none: it will differ */
}

void wire_seen(struct run *r, struct end *e, const struct pkt *p)
{
	struct seg_opts o;

	(void)r;
	if ((p->tcp.flags & S) != 0) {
		e->iss = p->tcp.seq;
		e->syn_seen = true;
	}
	if (seg_parse(p->data + p->tcp.opt_off, p->tcp.opt_len, &o) && (o.has & SEG_HAS_TS) != 0)
		e->last_ts = o.ts_val;
}

static bool compare(struct run *r, struct end *e, const struct wanted *w, const struct pkt *p)
{
	uint8_t ecn = p->tos & 3;

	return w->flags == p->tcp.flags && e->iss + (uint32_t)w->seq == p->tcp.seq && w->end - w->seq == p->tcp.text_len &&
	       (!w->has_ack || e->peer_iss + (uint32_t)w->ack == p->tcp.ack) && (w->wnd < 0 || w->wnd == p->tcp.wnd) &&
	       (w->urg < 0 || w->urg == p->tcp.urg) && (w->ecn < 0 || w->ecn == ecn) && compare_options(r, e, w, p) &&
	       compare_text(r, e, p);
}

/* What a line does not say must not be there; but timestamps are on every segment once they were agreed on. */
static bool compare_options(struct run *r, struct end *e, const struct wanted *w, const struct pkt *p)
{
	struct seg_opts o;

	if (!seg_parse(p->data + p->tcp.opt_off, p->tcp.opt_len, &o))
		return wrong(r, "malformed options were sent");
	if (w->opts_any)
		return true;
	if (!w->opts_said)
		return (o.has & ~SEG_HAS_TS) == 0 && o.sacks == 0;
	if ((w->opts.has & SEG_HAS_TS) != 0 && !w->ts_val_any && !e->ts_known) {
		e->ts_known = true;
		e->ts_base = o.ts_val - w->opts.ts_val;
	}
	if (o.has != w->opts.has || o.sacks != w->opts.sacks || ((o.has & SEG_HAS_MSS) != 0 && o.mss != w->opts.mss) ||
	    ((o.has & SEG_HAS_WS) != 0 && o.shift != w->opts.shift))
		return false;
	if (memcmp(o.sack, w->opts.sack, o.sacks * sizeof(o.sack[0])) != 0)
		return false;
	return (o.has & SEG_HAS_TS) == 0 || ((w->ts_val_any || o.ts_val == e->ts_base + w->opts.ts_val) &&
	                                     (w->ts_ecr_any || o.ts_ecr == w->opts.ts_ecr));
}

static bool compare_text(struct run *r, const struct end *e, const struct pkt *p)
{
	int64_t first = (int32_t)(p->tcp.seq - e->iss) - 1;

	for (int64_t i = 0; i < p->tcp.text_len; i++)
		if (p->data[p->tcp.text_off + i] != pattern_at(first + i))
			return wrong(r, "byte %lld of the segment is wrong", (long long)i);
	return true;
}
