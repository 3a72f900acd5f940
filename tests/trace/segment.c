/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments as text: "P. 1:101(100) ack 1 win 65535 <nop,nop,TS val 5 ecr 0>".
 */
#include "tests/trace/trace.h"

#include <ctype.h>
#include <string.h>

enum { ECE = 0x40, CWR = 0x80 };
enum { KIND_EOL, KIND_NOP, KIND_MSS, KIND_WS, KIND_SACK_OK, KIND_SACK, KIND_TS = 8 };

static const char flag_names[] = "FSRP.UEW";
static const char *const ecn_names[] = { "noecn", "ect1", "ect0", "ce" };

static bool read_flags(struct cursor *c, uint8_t *flags);
static bool read_ecn(struct cursor *c, int *ecn);
static bool read_place(struct run *r, struct end *e, struct cursor *c, int64_t *v);
static bool read_options(struct end *e, bool ours, struct cursor *c, struct wanted *w);
static bool read_option(struct end *e, bool ours, struct cursor *c, struct wanted *w);
static void add_stamps(struct run *r, const struct end *e, struct wanted *w);

uint8_t pattern_at(int64_t off)
{
	uint64_t o = (uint64_t)off;

	return (uint8_t)(o * 31 + (o >> 8) * 7 + 1);
}

/* ours: the segment is one of stackd's. */
bool segment_read(struct run *r, struct end *e, bool ours, struct cursor *c, struct wanted *w)
{
	int64_t len;

	*w = (struct wanted){ .ecn = -1, .ack = -1, .wnd = -1, .urg = -1, .fill = -1 };
	if (!read_ecn(c, &w->ecn) || !read_flags(c, &w->flags))
		return wrong(r, "no such flags");
	if (!read_place(r, e, c, &w->seq) || !take_char(c, ':') || !read_place(r, e, c, &w->end) || !take_char(c, '(') ||
	    !take_number(c, &len) || !take_char(c, ')') || w->end != w->seq + len || len < 0 || len > 1600)
		return wrong(r, "SEQ:END(LENGTH) is wanted, END = SEQ + LENGTH");
	if (word(c, "ack")) {
		w->has_ack = true;
		if (!read_place(r, e, c, &w->ack))
			return wrong(r, "ack without a number");
	}
	if (w->has_ack != ((w->flags & A) != 0))
		return wrong(r, "'.' and \"ack\" go together");
	if (word(c, "win") && !take_number(c, &w->wnd))
		return wrong(r, "win without a number");
	if (word(c, "urg") && !take_number(c, &w->urg))
		return wrong(r, "urg without a number");
	if (word(c, "fill") && !take_number(c, &w->fill))
		return wrong(r, "fill without a number");
	if (take_char(c, '<'))
		return read_options(e, ours, c, w) ? true : wrong(r, "no such options: %s", c->at);
	if (!ours && e->stamps)
		add_stamps(r, e, w);
	return true;
}

static bool read_ecn(struct cursor *c, int *ecn)
{
	if (!take_char(c, '['))
		return true;
	for (int i = 0; i < 4; i++)
		if (word(c, ecn_names[i]))
			*ecn = i;
	return *ecn >= 0 && take_char(c, ']');
}

/* "S.", "P.", "FP.", "R"; "-" for none. */
static bool read_flags(struct cursor *c, uint8_t *flags)
{
	const char *f;

	if (take_char(c, '-'))
		return true;
	(void)at_end(c);
	while (isspace((unsigned char)*c->at))
		c->at++;
	for (; *c->at != '\0' && (f = strchr(flag_names, *c->at)) != NULL; c->at++)
		*flags |= (uint8_t)(1u << (f - flag_names));
	return *flags != 0 && isspace((unsigned char)*c->at);
}

/* A number, or one of the connection's own: n RCV.NXT, w the right edge of its window, u SND.UNA, m SND.MAX; with + or -. */
static bool read_place(struct run *r, struct end *e, struct cursor *c, int64_t *v)
{
	static const char names[] = "nwum";
	const char *f;
	int64_t more = 0;

	if (take_number(c, v))
		return true;
	f = *c->at != '\0' ? strchr(names, *c->at) : NULL;
	if (f == NULL)
		return false;
	c->at++;
	end_note(r, e);
	*v = *f == 'n' ? (int32_t)e->rcv_nxt : *f == 'w' ? (int32_t)e->rcv_adv : *f == 'u' ? (int32_t)e->snd_una : (int32_t)e->snd_max;
	if (*c->at == '+') {
		c->at++;
		if (!take_number(c, &more))
			return false;
	} else if (*c->at == '-' && !take_number(c, &more)) {
		return false;
	}
	*v += more;
	return true;
}

/* --- Options ---------------------------------------------------------------------------------------------------------- */

static bool read_options(struct end *e, bool ours, struct cursor *c, struct wanted *w)
{
	w->opts_said = true;
	if (take_char(c, '>'))
		return true;
	if (strncmp(c->at, "...>", 4) == 0) {
		c->at += 4;
		w->opts_any = true;
		return true;
	}
	do {
		if (!read_option(e, ours, c, w))
			return false;
	} while (take_char(c, ','));
	return take_char(c, '>');
}

static void put_bytes(struct wanted *w, unsigned n, uint32_t v)
{
	while (n-- > 0 && w->raw_len < OPT_ROOM)
		w->raw[w->raw_len++] = (uint8_t)(v >> (8 * n));
}

static bool read_sack(struct end *e, bool ours, struct cursor *c, struct wanted *w)
{
	uint32_t base = ours ? e->peer_iss : e->iss;
	unsigned at = w->raw_len;
	int64_t from, to;

	put_bytes(w, 2, KIND_SACK << 8);
	for (w->opts.sacks = 0; take_number(c, &from);) {
		if (!take_char(c, ':') || !take_number(c, &to) || w->opts.sacks == SEG_SACKS)
			return false;
		w->opts.sack[w->opts.sacks++] = (struct seg_sack){ base + (uint32_t)from, base + (uint32_t)to };
		put_bytes(w, 4, base + (uint32_t)from);
		put_bytes(w, 4, base + (uint32_t)to);
	}
	w->raw[at + 1] = (uint8_t)(w->raw_len - at);
	return true;
}

static bool read_stamp(struct cursor *c, const char *name, int64_t *v, bool *any)
{
	if (!word(c, name))
		return false;
	*any = take_char(c, '*');
	*v = 0;
	return *any || take_number(c, v);
}

/* Our TSvals count from the first one that a script names; 0 as an echo means none. */
static bool read_ts(struct end *e, bool ours, struct cursor *c, struct wanted *w)
{
	int64_t val, ecr;

	if (!read_stamp(c, "val", &val, &w->ts_val_any) || !read_stamp(c, "ecr", &ecr, &w->ts_ecr_any))
		return false;
	w->opts.has |= SEG_HAS_TS;
	w->opts.ts_val = (uint32_t)val;
	w->opts.ts_ecr = (uint32_t)ecr;
	if (!ours && w->ts_ecr_any)
		w->opts.ts_ecr = e->last_ts;
	else if (!ours && ecr != 0)
		w->opts.ts_ecr += e->ts_base;
	put_bytes(w, 2, KIND_TS << 8 | 10);
	put_bytes(w, 4, w->opts.ts_val);
	put_bytes(w, 4, w->opts.ts_ecr);
	return true;
}

static bool read_hex(struct cursor *c, struct wanted *w)
{
	while (isxdigit((unsigned char)c->at[0]) && isxdigit((unsigned char)c->at[1])) {
		char two[3] = { c->at[0], c->at[1], '\0' };

		put_bytes(w, 1, (uint32_t)strtoul(two, NULL, 16));
		c->at += 2;
	}
	return true;
}

static bool read_option(struct end *e, bool ours, struct cursor *c, struct wanted *w)
{
	int64_t v;

	if (word(c, "nop")) {
		put_bytes(w, 1, KIND_NOP);
	} else if (word(c, "eol")) {
		put_bytes(w, 1, KIND_EOL);
	} else if (word(c, "sackOK")) {
		w->opts.has |= SEG_HAS_SACK_OK;
		put_bytes(w, 2, KIND_SACK_OK << 8 | 2);
	} else if (word(c, "mss")) {
		if (!take_number(c, &v))
			return false;
		w->opts.has |= SEG_HAS_MSS;
		w->opts.mss = (uint16_t)v;
		put_bytes(w, 2, KIND_MSS << 8 | 4);
		put_bytes(w, 2, (uint32_t)v);
	} else if (word(c, "wscale")) {
		if (!take_number(c, &v))
			return false;
		w->opts.has |= SEG_HAS_WS;
		w->opts.shift = (uint8_t)v;
		put_bytes(w, 3, KIND_WS << 16 | 3 << 8 | (uint32_t)v);
	} else if (word(c, "sack")) {
		return read_sack(e, ours, c, w);
	} else if (word(c, "TS")) {
		return read_ts(e, ours, c, w);
	} else if (word(c, "hex")) {
		return take_char(c, ':') && read_hex(c, w);
	} else {
		return false;
	}
	return true;
}

/* "peer ts": its clock is in milliseconds. */
static void add_stamps(struct run *r, const struct end *e, struct wanted *w)
{
	if (w->raw_len > 0)
		return;
	w->opts.has |= SEG_HAS_TS;
	put_bytes(w, 4, KIND_NOP << 24 | KIND_NOP << 16 | KIND_TS << 8 | 10);
	put_bytes(w, 4, e->stamp + (uint32_t)((run_now(r) - e->stamp_us) / 1000));
	put_bytes(w, 4, (w->flags & A) != 0 ? e->last_ts : 0);
}

/* --- Frames ----------------------------------------------------------------------------------------------------------- */

struct pkt *segment_make(struct run *r, struct end *e, const struct wanted *w)
{
	struct ipaddr peer = run_addr(r, 2);
	struct pkt_tcp t = { .sport = e->peer_port, .dport = e->port, .flags = w->flags };
	int64_t first = w->seq - 1 + ((w->flags & S) != 0);
	uint8_t *text;
	struct pkt *p;

	if (w->wnd >= 0)
		e->wnd = (uint16_t)w->wnd;
	t.seq = e->peer_iss + (uint32_t)w->seq;
	t.ack = w->has_ack ? e->iss + (uint32_t)w->ack : 0;
	t.wnd = e->wnd;
	t.urg = w->urg >= 0 ? (uint16_t)w->urg : 0;
	p = host_frame(&r->h, &t, &peer, w->raw, w->raw_len, (uint16_t)(w->end - w->seq), &text);
	for (int64_t i = 0; i < w->end - w->seq; i++)
		text[i] = w->fill >= 0 ? (uint8_t)(w->fill + i) : pattern_at(first + i);
	p->tos = w->ecn >= 0 ? (uint8_t)w->ecn : 0;
	return p;
}

static void show_options(const struct run *r, const struct end *e, const struct pkt *p, char *text, size_t size)
{
	struct seg_opts o;
	size_t n = 0;

	(void)r;
	text[0] = '\0';
	if (p->tcp.opt_len == 0)
		return;
	if (!seg_parse(p->data + p->tcp.opt_off, p->tcp.opt_len, &o)) {
		snprintf(text, size, " <malformed>");
		return;
	}
	n += (size_t)snprintf(text + n, size - n, " <");
	if ((o.has & SEG_HAS_MSS) != 0)
		n += (size_t)snprintf(text + n, size - n, "mss %u,", o.mss);
	if ((o.has & SEG_HAS_SACK_OK) != 0)
		n += (size_t)snprintf(text + n, size - n, "sackOK,");
	if ((o.has & SEG_HAS_TS) != 0)
		n += (size_t)snprintf(text + n, size - n, "TS val %d ecr %u,", (int32_t)(o.ts_val - e->ts_base), o.ts_ecr);
	if ((o.has & SEG_HAS_WS) != 0)
		n += (size_t)snprintf(text + n, size - n, "wscale %u,", o.shift);
	for (unsigned i = 0; i < o.sacks; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%d:%d%s", i == 0 ? "sack " : " ", (int32_t)(o.sack[i].from - e->peer_iss),
		                      (int32_t)(o.sack[i].to - e->peer_iss), i + 1 == o.sacks ? "," : "");
	text[n > 2 ? n - 1 : n] = '>';
	text[n > 2 ? n : n + 1] = '\0';
}

/* As a script would expect it. */
void segment_show(const struct run *r, const struct end *e, const struct pkt *p, char *text, size_t size)
{
	int32_t seq = (int32_t)(p->tcp.seq - e->iss);
	char flags[16], ack[32] = "", ecn[16] = "", opts[256];
	unsigned n = 0;

	for (unsigned i = 0; i < 8; i++)
		if ((p->tcp.flags >> i & 1) != 0)
			flags[n++] = flag_names[i];
	flags[n] = '\0';
	if ((p->tcp.flags & A) != 0)
		snprintf(ack, sizeof(ack), " ack %d", (int32_t)(p->tcp.ack - e->peer_iss));
	if ((p->tos & 3) != 0)
		snprintf(ecn, sizeof(ecn), "[%s] ", ecn_names[p->tos & 3]);
	show_options(r, e, p, opts, sizeof(opts));
	snprintf(text, size, "c%u > %s%s %d:%d(%u)%s win %u%s", (unsigned)(e - r->end), ecn, n > 0 ? flags : "-", seq,
	         seq + (int)p->tcp.text_len, p->tcp.text_len, ack, p->tcp.wnd, opts);
}
