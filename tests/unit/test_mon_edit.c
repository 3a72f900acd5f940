/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Edits by inline monitors: scripts on one packet, and the sequence numbers of the rest of the flow.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/edit.h"
#include "stackd/nic/csum.h"
#include "stackd/tcp/seg.h"

enum { ETH = 14, IP = 20, TCP = 20, TEXT = ETH + IP + TCP, ROOM = 4096 };

/* --- Packets ------------------------------------------------------------------------------------------------------------ */

struct frame {
	struct pkt p, *at;
	struct mon_seg s;
	uint8_t bytes[ROOM];
};

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static void seg_make(struct frame *f, uint32_t seq, uint32_t ack, uint8_t flags, const void *text, uint32_t len)
{
	memset(f, 0, sizeof(*f));
	f->at = &f->p;
	f->p = (struct pkt){ .data = f->bytes, .len = TEXT + len, .room = ROOM };
	f->bytes[12] = 8;
	f->bytes[ETH] = 0x45;
	f->bytes[ETH + 8] = 64;
	f->bytes[ETH + 9] = 6;
	f->bytes[ETH + 12] = 10;
	f->bytes[ETH + 16] = 11;
	f->bytes[ETH + IP + 1] = 1;
	f->bytes[ETH + IP + 3] = 2;
	put32(f->bytes + ETH + IP + 4, seq);
	put32(f->bytes + ETH + IP + 8, ack);
	f->bytes[ETH + IP + 12] = 5 << 4;
	f->bytes[ETH + IP + 13] = flags;
	if (len > 0)
		memcpy(f->bytes + TEXT, text, len);
	f->s = (struct mon_seg){
		.kind = MON_SEG_TCP, .version = 4, .proto = 6, .flags = flags, .l3_off = ETH, .l4_off = ETH + IP,
		.l3_len = (uint16_t)(IP + TCP + len), .text_off = TEXT, .text_len = (uint16_t)len, .wire_text = len,
		.sport = 1, .dport = 2, .seq = seq, .ack = ack,
	};
	f->bytes[ETH + 2] = (uint8_t)(f->s.l3_len >> 8);
	f->bytes[ETH + 3] = (uint8_t)f->s.l3_len;
	mon_edit_csum(&f->p, &f->s, true, true);
}

static void sums_right(const struct frame *f)
{
	const uint8_t *ip = f->bytes + ETH;
	uint32_t l4 = f->p.len - f->s.l4_off;

	ck_assert_uint_eq(csum_finish(csum_add(0, ip, (ip[0] & 15u) * 4)), 0);
	ck_assert_uint_eq(csum_finish(csum_add(csum_pseudo4(ip, 6, (uint16_t)l4), f->bytes + f->s.l4_off, l4)), 0);
	ck_assert_uint_eq((uint32_t)ip[2] << 8 | ip[3], f->p.len - ETH);
}

/* --- Scripts ------------------------------------------------------------------------------------------------------------ */

struct script {
	uint8_t bytes[8192];
	uint32_t len, count;
};

static void add(struct script *sc, unsigned op, unsigned region, unsigned off, const void *bytes, unsigned len, unsigned csum)
{
	struct mon_edit e = { .op = (uint8_t)op, .region = (uint8_t)region, .off = (uint16_t)off, .len = (uint16_t)len,
			      .csum = (uint8_t)csum };

	memcpy(sc->bytes + sc->len, &e, sizeof(e));
	sc->len += sizeof(e);
	sc->count++;
	if (op != MON_OVERWRITE && op != MON_INSERT)
		return;
	memcpy(sc->bytes + sc->len, bytes, len);
	sc->len += (len + 7u) & ~7u;
}

static int run_free(struct frame *f, const struct script *sc)
{
	return mon_edit_script(NULL, MON_CLI, MON_LAYER_SND, 1, &f->p, &f->s, sc->bytes, sc->len, sc->count);
}

START_TEST(overwriting_headers_keeps_the_segment_in_step)
{
	struct frame f;
	struct script sc = { .len = 0 };
	uint32_t addr = htonl(0x0a000009);
	uint16_t port = htons(4000);

	seg_make(&f, 100, 7, SEG_ACK, "hello", 5);
	add(&sc, MON_OVERWRITE, MON_IP, 12, &addr, 4, 3);
	add(&sc, MON_OVERWRITE, MON_TCP, 0, &port, 2, 3);
	add(&sc, MON_OVERWRITE, MON_ETH, 0, "\1\2\3\4\5\6", 6, 0);
	ck_assert_int_eq(run_free(&f, &sc), 0);
	ck_assert_uint_eq(f.s.sport, 4000);
	ck_assert_int_eq(memcmp(f.s.src.b + 12, &addr, 4), 0);
	ck_assert_int_eq(memcmp(f.bytes, "\1\2\3\4\5\6", 6), 0);
	sums_right(&f);
}
END_TEST

START_TEST(a_packet_without_a_flow_is_changed_alone)
{
	struct frame f;
	struct script sc = { .len = 0 };

	seg_make(&f, 100, 7, SEG_ACK, "hello world", 11);
	add(&sc, MON_CHOMP, MON_PAYLOAD, 0, NULL, 6, 0);
	add(&sc, MON_INSERT, MON_PAYLOAD, 5, "!!", 2, 0);
	ck_assert_int_eq(run_free(&f, &sc), 0);
	ck_assert_uint_eq(f.s.text_len, 7);
	ck_assert_int_eq(memcmp(f.bytes + TEXT, "world!!", 7), 0);
	sums_right(&f);
}
END_TEST

START_TEST(options_come_and_go_with_the_header_length)
{
	static const uint8_t nops[4] = { 1, 1, 1, 1 };
	struct frame f;
	struct script in = { .len = 0 }, out = { .len = 0 }, odd = { .len = 0 };

	seg_make(&f, 100, 7, SEG_ACK, "hello", 5);
	add(&in, MON_INSERT, MON_TCP, 20, nops, 4, 0);
	ck_assert_int_eq(run_free(&f, &in), 0);
	ck_assert_uint_eq(f.bytes[ETH + IP + 12] >> 4, 6);
	ck_assert_int_eq(memcmp(f.bytes + f.s.text_off, "hello", 5), 0);
	sums_right(&f);
	add(&out, MON_CHOMP, MON_TCP, 20, NULL, 4, 0);
	ck_assert_int_eq(run_free(&f, &out), 0);
	ck_assert_uint_eq(f.s.text_off, TEXT);
	sums_right(&f);
	add(&odd, MON_INSERT, MON_TCP, 20, nops, 3, 0);
	ck_assert_int_eq(run_free(&f, &odd), -EINVAL);
}
END_TEST

/* Whatever a script says: an error leaves the packet as it was, nothing is read or written outside of it. */
START_TEST(nonsense_changes_nothing)
{
	static const struct { unsigned op, region, off, len; } bad[] = {
		{ MON_OVERWRITE, MON_ETH, 10, 5 },      { MON_OVERWRITE, MON_IP, 17, 4 },   { MON_OVERWRITE, MON_TCP, 0, 21 },
		{ MON_OVERWRITE, MON_PAYLOAD, 1, 5 },   { MON_OVERWRITE, MON_PAYLOAD, 65535, 1 },
		{ MON_CHOMP, MON_PAYLOAD, 0, 6 },       { MON_CHOMP, MON_PAYLOAD, 6, 0 },   { MON_CHOMP, MON_ETH, 0, 2 },
		{ MON_INSERT, MON_ETH, 0, 2 },          { MON_INSERT, MON_PAYLOAD, 6, 1 },  { MON_INSERT, MON_PAYLOAD, 0, 4096 },
		{ MON_CHOMP, MON_IP, 0, 20 },           { MON_INSERT, MON_IP, 20, 44 },     { MON_CHOMP, MON_TCP, 0, 4 },
		{ 9, MON_IP, 0, 0 },                    { MON_OVERWRITE, 7, 0, 0 },
	};
	static uint8_t bytes[5000];
	struct frame f, was;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct script sc = { .len = 0 };

		seg_make(&f, 100, 7, SEG_ACK, "hello", 5);
		was = f;
		add(&sc, MON_OVERWRITE, MON_PAYLOAD, 0, "HELLO", 5, 3);
		add(&sc, bad[i].op, bad[i].region, bad[i].off, bytes, bad[i].len, 0);
		ck_assert_int_lt(run_free(&f, &sc), 0);
		ck_assert_int_eq(memcmp(f.bytes, was.bytes, TEXT + 5), 0);
		ck_assert_uint_eq(f.p.len, was.p.len);
		ck_assert_uint_eq(f.s.text_len, 5);
	}
	/* header lengths that contradict what was parsed */
	for (unsigned i = 0; i < 256; i++) {
		struct script sc = { .len = 0 };
		uint8_t v = (uint8_t)i;

		seg_make(&f, 100, 7, SEG_ACK, "hello", 5);
		add(&sc, MON_OVERWRITE, MON_IP, 0, &v, 1, 3);
		ck_assert_int_eq(run_free(&f, &sc), v == 0x45 ? 0 : -EINVAL);
	}
	/* a script cut short */
	for (uint32_t len = 0; len < 16; len++) {
		struct script sc = { .len = 0 };

		seg_make(&f, 100, 7, SEG_ACK, "hello", 5);
		add(&sc, MON_OVERWRITE, MON_PAYLOAD, 0, "HELLO", 5, 0);
		sc.len = len;
		ck_assert_int_eq(run_free(&f, &sc), len < 13 ? -EINVAL : 0);
	}
}
END_TEST

/* --- Flows --------------------------------------------------------------------------------------------------------------- */

/* A sender's stream, an editor who acts at fixed places in it, a receiver; segments are lost, repeated and cut anew. */
enum { STREAM = 60000, WINDOW = 8000 };

struct world {
	struct mon_flow flow;
	uint8_t text[STREAM];   /* what is sent */
	uint8_t want[STREAM * 2]; /* what must arrive */
	uint32_t want_len;
	uint8_t got[STREAM * 2];
	bool have[STREAM * 2];
	uint32_t isn, peer_isn;
	uint32_t una, nxt, high; /* sender's offsets */
	uint32_t seen;           /* what the editor has seen in order */
	uint32_t rcv;            /* receiver's in-order offset */
	unsigned place[400], places; /* where the editor acts: offsets in the sender's stream */
};

static unsigned rnd_state;

static unsigned rnd(unsigned n)
{
	rnd_state = rnd_state * 1103515245u + 12345u;
	return (rnd_state >> 8) % n;
}

/* At place i: even ones get i%7+1 bytes inserted, odd ones lose i%5+1 bytes, and every fourth gets some in their place. */
static bool is_both(unsigned k)
{
	return k % 4 == 3;
}

static void world_make(struct world *w, unsigned seed)
{
	unsigned at = 0, k = 0;

	memset(w, 0, sizeof(*w));
	rnd_state = seed;
	w->isn = seed % 3 == 0 ? 0xffffff00u : rnd(1u << 30);
	w->peer_isn = 1000;
	for (unsigned i = 0; i < STREAM; i++)
		w->text[i] = (uint8_t)rnd(200);
	for (at = rnd(500); at + 10 < STREAM && w->places < 400; at += 20 + rnd(900))
		w->place[w->places++] = at;
	for (unsigned i = 0; i < STREAM;) {
		if (k < w->places && w->place[k] == i) {
			if (k % 2 == 0 || is_both(k)) {
				memset(w->want + w->want_len, 240 + (int)(k % 7), k % 7 + 1);
				w->want_len += k % 7 + 1;
			}
			if (k % 2 == 1)
				i += k % 5 + 1;
			k++;
			continue;
		}
		w->want[w->want_len++] = w->text[i++];
	}
	for (unsigned i = 0; i < 2; i++) {
		w->flow.half[i].flow = &w->flow;
		w->flow.half[i].side = (uint8_t)i;
		w->flow.half[i].flags = HALF_SEQ | HALF_ISN;
	}
}

/* The editor sees whole places only: a removal that a segment's end cuts in two is done in two parts, as a program would. */
static void editor(struct world *w, struct frame *f, uint32_t off)
{
	uint32_t end = off + f->s.text_len, shift = 0;
	struct script sc = { .len = 0 };
	int32_t moved = 0;

	(void)shift;
	for (unsigned k = 0; k < w->places; k++) {
		uint32_t at = w->place[k];

		if (k % 2 == 0 && at >= off && at < end) {
			uint8_t bytes[8];

			memset(bytes, 240 + (int)(k % 7), sizeof(bytes));
			add(&sc, MON_INSERT, MON_PAYLOAD, (unsigned)((int32_t)(at - off) + moved), bytes, k % 7 + 1, 0);
			moved += (int32_t)(k % 7 + 1);
		} else if (k % 2 == 1 && at < end && at + k % 5 + 1 > off) {
			uint32_t lo = at > off ? at : off, hi = at + k % 5 + 1 < end ? at + k % 5 + 1 : end;

			add(&sc, MON_CHOMP, MON_PAYLOAD, (unsigned)((int32_t)(lo - off) + moved), NULL, hi - lo, 0);
			if (is_both(k) && lo == at) {
				uint8_t bytes[8];

				memset(bytes, 240 + (int)(k % 7), sizeof(bytes));
				add(&sc, MON_INSERT, MON_PAYLOAD, (unsigned)((int32_t)(lo - off) + moved), bytes, k % 7 + 1, 0);
				moved += (int32_t)(k % 7 + 1);
			}
			moved -= (int32_t)(hi - lo);
		}
	}
	if (sc.count == 0)
		return;
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f->p, &f->s, sc.bytes, sc.len, sc.count), 0);
}

static void receive(struct world *w, const struct frame *f)
{
	uint32_t off = f->s.seq - (w->isn + 1);

	sums_right(f);
	ck_assert_uint_eq(get32(f->bytes + ETH + IP + 4), f->s.seq);
	if ((int32_t)off < 0) {
		ck_assert_uint_eq(f->s.text_len, 0);
		return;
	}
	/* now and then it has been split on its way, and the rest of it is lost */
	for (uint32_t i = 0, n = rnd(6) == 0 ? rnd(f->s.text_len + 1) : f->s.text_len; i < n; i++) {
		ck_assert_uint_lt(off + i, w->want_len);
		ck_assert_msg(f->bytes[f->s.text_off + i] == w->want[off + i], "byte %u is %u, not %u", off + i,
			      f->bytes[f->s.text_off + i], w->want[off + i]);
		w->have[off + i] = true;
	}
	while (w->rcv < w->want_len && w->have[w->rcv])
		w->rcv++;
}

static void gone_is(struct world *w, uint32_t off)
{
	w->flow.half[0].gone[MON_LAYER_SND] = w->isn + 1 + off;
	w->flow.half[0].gone_known |= 1u << MON_LAYER_SND;
}

/* The sender acknowledges something, under the number of what it will send next. */
static void ack_passes(struct world *w)
{
	struct frame f;

	seg_make(&f, w->isn + 1 + w->high, w->peer_isn + 1, SEG_ACK, NULL, 0);
	if (w->flow.xlate != NULL)
		mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
}

static void segment(struct world *w, uint32_t off, uint32_t len, bool arrives)
{
	struct frame f;

	seg_make(&f, w->isn + 1 + off, w->peer_isn + 1, SEG_ACK, w->text + off, len);
	w->flow.seq_in = f.s.seq;
	w->flow.seq_now = f.s.seq;
	if (off + len > w->high)
		w->high = off + len;
	if (off > w->seen)
		return; /* the editor drops what is beyond a hole */
	if (off + len > w->seen)
		w->seen = off + len;
	editor(w, &f, off);
	if (w->flow.xlate != NULL)
		mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	gone_is(w, w->seen);
	if (arrives)
		receive(w, &f);
}

static void acknowledge(struct world *w)
{
	struct frame f;
	uint32_t ack;

	seg_make(&f, w->peer_isn + 1, w->isn + 1 + w->rcv, SEG_ACK, NULL, 0);
	if (w->flow.xlate != NULL)
		mon_edit_middle(&w->flow, MON_SVR, &f.p, &f.s);
	sums_right(&f);
	ack = f.s.ack - (w->isn + 1);
	ck_assert_msg(ack <= w->high, "acknowledges %u, sent were %u", ack, w->high);
	if (ack > w->una)
		w->una = ack;
}

START_TEST(a_long_transfer_with_loss_arrives_as_edited)
{
	struct world *w = malloc(sizeof(*w));

	world_make(w, (unsigned)_i + 1);
	for (unsigned turn = 0; w->una < STREAM && turn < 100000; turn++) {
		uint32_t len = 1 + rnd(1400);

		if (w->nxt < w->una || rnd(20) == 0)
			w->nxt = w->una; /* go back, and cut it otherwise */
		if (w->nxt - w->una >= WINDOW || w->nxt == STREAM) {
			w->nxt = w->una;
		} else {
			if (len > STREAM - w->nxt)
				len = STREAM - w->nxt;
			if (rnd(20) != 0)
				segment(w, w->nxt, len, rnd(10) != 0);
			else if (w->nxt + len > w->high) /* it is lost before it comes to the editor */
				w->high = w->nxt + len;
			w->nxt += len;
		}
		if (rnd(3) == 0)
			acknowledge(w);
		if (rnd(5) == 0)
			ack_passes(w);
	}
	ck_assert_uint_eq(w->una, STREAM);
	ck_assert_uint_eq(w->rcv, w->want_len);
	mon_edit_free(&w->flow);
	ck_assert_ptr_null(w->flow.xlate);
	free(w);
}
END_TEST

START_TEST(bytes_that_have_passed_are_not_edited_when_they_come_again)
{
	struct world *w = calloc(1, sizeof(*w));
	struct script sc = { .len = 0 };
	struct frame f;

	world_make(w, 1);
	gone_is(w, 100);
	seg_make(&f, w->isn + 1, 1, SEG_ACK, w->text, 100);
	w->flow.seq_in = w->flow.seq_now = f.s.seq;
	add(&sc, MON_INSERT, MON_PAYLOAD, 10, "xyz", 3, 0);
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, sc.bytes, sc.len, 1), 0);
	if (w->flow.xlate != NULL)
		mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	ck_assert_uint_eq(f.s.text_len, 100);
	ck_assert_int_eq(memcmp(f.bytes + TEXT, w->text, 100), 0);
	mon_edit_free(&w->flow);
	free(w);
}
END_TEST

START_TEST(a_longer_retransmission_is_cut_where_it_is_new)
{
	struct world *w = calloc(1, sizeof(*w));
	struct script sc = { .len = 0 }, again = { .len = 0 };
	struct frame f;

	world_make(w, 1);
	seg_make(&f, w->isn + 1, 1, SEG_ACK, w->text, 52);
	w->flow.seq_in = w->flow.seq_now = f.s.seq;
	add(&sc, MON_CHOMP, MON_PAYLOAD, 50, NULL, 2, 0);
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, sc.bytes, sc.len, 1), 0);
	mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	ck_assert_uint_eq(f.s.text_len, 50);
	seg_make(&f, w->isn + 1, 1, SEG_ACK, w->text, 100);
	w->flow.seq_in = w->flow.seq_now = f.s.seq;
	add(&again, MON_CHOMP, MON_PAYLOAD, 50, NULL, 5, 0);
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, again.bytes, again.len, 1), 0);
	mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	ck_assert_uint_eq(f.s.text_len, 95);
	ck_assert_int_eq(memcmp(f.bytes + TEXT + 50, w->text + 55, 45), 0);
	mon_edit_free(&w->flow);
	free(w);
}
END_TEST

START_TEST(a_segment_that_is_removed_whole_goes_on_as_an_acknowledgement)
{
	struct world *w = calloc(1, sizeof(*w));
	struct script sc = { .len = 0 };
	struct frame f, ack;

	world_make(w, 2);
	seg_make(&f, w->isn + 1, 1, SEG_ACK, "gone", 4);
	w->flow.seq_in = w->flow.seq_now = f.s.seq;
	add(&sc, MON_CHOMP, MON_PAYLOAD, 0, NULL, 4, 0);
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, sc.bytes, sc.len, 1), 0);
	ck_assert(mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s));
	ck_assert_uint_eq(f.s.text_len, 0);
	ck_assert_uint_eq(f.s.seq, w->isn + 1);
	ck_assert_uint_eq(mon_edit_acked(&w->flow, MON_SVR, w->isn + 1), w->isn + 1 + 4);
	ck_assert_uint_eq(mon_edit_acked(&w->flow, MON_SVR, w->isn), w->isn);
	seg_make(&ack, 1, w->isn + 1, SEG_ACK, NULL, 0);
	mon_edit_middle(&w->flow, MON_SVR, &ack.p, &ack.s);
	ck_assert_uint_eq(ack.s.ack, w->isn + 1 + 4);
	mon_edit_free(&w->flow);
	free(w);
}
END_TEST

/* A keep-alive, or a probe of a closed window, has the number of a byte that is no more. */
START_TEST(a_probe_still_draws_an_acknowledgement)
{
	struct world *w = calloc(1, sizeof(*w));
	struct script sc = { .len = 0 };
	struct frame f;

	world_make(w, 2);
	seg_make(&f, w->isn + 1, 1, SEG_ACK, "stays, gone", 11);
	w->flow.seq_in = w->flow.seq_now = f.s.seq;
	add(&sc, MON_CHOMP, MON_PAYLOAD, 5, NULL, 6, 0);
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, sc.bytes, sc.len, sc.count), 0);
	mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	for (uint32_t less = 0; less < 2; less++) { /* an acknowledgement as any other; a probe: RFC 9293, 3.10.7.4, answers that with an ACK */
		seg_make(&f, w->isn + 1 + 11 - less, 1, SEG_ACK, NULL, 0);
		ck_assert(!mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s));
		ck_assert_uint_eq(f.s.seq, w->isn + 1 + 5 - less);
	}
	mon_edit_free(&w->flow);
	free(w);
}
END_TEST

START_TEST(sack_blocks_are_translated)
{
	struct world *w = calloc(1, sizeof(*w));
	struct script sc = { .len = 0 };
	struct frame f, ack;

	world_make(w, 2);
	seg_make(&f, w->isn + 1, 1, SEG_ACK, "abcdefgh", 8);
	w->flow.seq_in = w->flow.seq_now = f.s.seq;
	add(&sc, MON_INSERT, MON_PAYLOAD, 2, "12345", 5, 0);
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, sc.bytes, sc.len, 1), 0);
	mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	ck_assert_int_eq(memcmp(f.bytes + TEXT, "ab12345cdefgh", 13), 0);
	seg_make(&ack, 1, w->isn + 1, SEG_ACK, NULL, 0);
	memmove(ack.bytes + TEXT, "\1\1\5\12", 4);
	put32(ack.bytes + TEXT + 4, w->isn + 1 + 20);
	put32(ack.bytes + TEXT + 8, w->isn + 1 + 30);
	ack.p.len += 12;
	ack.s.text_off += 12;
	ack.s.l3_len += 12;
	ack.bytes[ETH + IP + 12] = 8 << 4;
	ack.bytes[ETH + 3] = (uint8_t)ack.s.l3_len;
	mon_edit_csum(&ack.p, &ack.s, true, true);
	mon_edit_middle(&w->flow, MON_SVR, &ack.p, &ack.s);
	ck_assert_uint_eq(get32(ack.bytes + TEXT + 4), w->isn + 1 + 15);
	ck_assert_uint_eq(get32(ack.bytes + TEXT + 8), w->isn + 1 + 25);
	sums_right(&ack);
	mon_edit_free(&w->flow);
	free(w);
}
END_TEST

/* --- One script ---------------------------------------------------------------------------------------------------------------- */

/* What a script makes of a segment of a flow, which comes twice. */
static void becomes(const struct script *sc, const char *text, const char *want)
{
	struct world *w = calloc(1, sizeof(*w));
	struct frame f;

	world_make(w, 1);
	for (unsigned again = 0; again < 2; again++) {
		seg_make(&f, w->isn + 1, 1, SEG_ACK, text, (uint32_t)strlen(text));
		w->flow.seq_in = w->flow.seq_now = f.s.seq;
		ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, sc->bytes, sc->len, sc->count), 0);
		if (w->flow.xlate != NULL)
			mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
		ck_assert_uint_eq(f.s.text_len, strlen(want));
		ck_assert_int_eq(memcmp(f.bytes + TEXT, want, strlen(want)), 0);
		sums_right(&f);
		gone_is(w, (uint32_t)strlen(text));
	}
	mon_edit_free(&w->flow);
	free(w);
	/* without a flow it is the same */
	seg_make(&f, 1, 1, SEG_ACK, text, (uint32_t)strlen(text));
	ck_assert_int_eq(run_free(&f, sc), 0);
	ck_assert_uint_eq(f.s.text_len, strlen(want));
	ck_assert_int_eq(memcmp(f.bytes + TEXT, want, strlen(want)), 0);
	sums_right(&f);
}

START_TEST(of_two_inserted_at_one_offset_the_later_comes_first)
{
	struct script sc = { .len = 0 };

	add(&sc, MON_INSERT, MON_PAYLOAD, 2, "<1>", 3, 0);
	add(&sc, MON_INSERT, MON_PAYLOAD, 2, "<2>", 3, 0);
	becomes(&sc, "hello", "he<2><1>llo");
}
END_TEST

START_TEST(a_script_may_change_what_it_has_put_in)
{
	struct script sc = { .len = 0 };

	add(&sc, MON_INSERT, MON_PAYLOAD, 2, "<12>", 4, 0);
	add(&sc, MON_INSERT, MON_PAYLOAD, 4, "mid", 3, 0);    /* he<1mid2>llo */
	add(&sc, MON_OVERWRITE, MON_PAYLOAD, 1, "EA", 2, 0);  /* hEA1mid2>llo */
	add(&sc, MON_CHOMP, MON_PAYLOAD, 7, NULL, 3, 0);      /* hEA1midlo */
	add(&sc, MON_INSERT, MON_PAYLOAD, 9, "!", 1, 0);
	becomes(&sc, "hello", "hEA1midlo!");
}
END_TEST

START_TEST(what_was_put_in_and_taken_out_again_was_never_there)
{
	struct script sc = { .len = 0 };

	add(&sc, MON_INSERT, MON_PAYLOAD, 2, "123", 3, 0);
	add(&sc, MON_CHOMP, MON_PAYLOAD, 2, NULL, 3, 0);
	becomes(&sc, "hello", "hello");
}
END_TEST

START_TEST(a_payload_replaced_as_a_whole)
{
	struct script sc = { .len = 0 };

	add(&sc, MON_CHOMP, MON_PAYLOAD, 0, NULL, 5, 0);
	add(&sc, MON_INSERT, MON_PAYLOAD, 0, "good day", 8, 0);
	becomes(&sc, "hello", "good day");
}
END_TEST

/* One more than a script may have. */
START_TEST(too_many_edits_change_nothing)
{
	struct script sc = { .len = 0 };
	struct frame f;

	for (unsigned i = 0; i < MON_EDITS_MAX; i++)
		add(&sc, MON_INSERT, MON_PAYLOAD, 2, "x", 1, 0);
	seg_make(&f, 1, 1, SEG_ACK, "hello", 5);
	ck_assert_int_eq(run_free(&f, &sc), 0);
	ck_assert_uint_eq(f.s.text_len, 5 + MON_EDITS_MAX);
	add(&sc, MON_INSERT, MON_PAYLOAD, 2, "x", 1, 0);
	seg_make(&f, 1, 1, SEG_ACK, "hello", 5);
	ck_assert_int_eq(run_free(&f, &sc), -EINVAL);
	ck_assert_uint_eq(f.s.text_len, 5);
}
END_TEST

/* What goes behind a segment's last byte and what goes before the next one's first are two places, in that order, however both come again. */
START_TEST(behind_one_segment_and_before_the_next)
{
	struct world *w = calloc(1, sizeof(*w));
	struct script end = { .len = 0 }, begin = { .len = 0 };
	struct frame f, ack;

	world_make(w, 2);
	add(&end, MON_INSERT, MON_PAYLOAD, 4, ")", 1, 0);
	add(&begin, MON_INSERT, MON_PAYLOAD, 0, "[[", 2, 0);
	seg_make(&f, w->isn + 1, 1, SEG_ACK, "abcd", 4);
	w->flow.seq_in = w->flow.seq_now = f.s.seq;
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, end.bytes, end.len, 1), 0);
	mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	ck_assert_int_eq(memcmp(f.bytes + TEXT, "abcd)", 5), 0);
	seg_make(&f, w->isn + 5, 1, SEG_ACK, "efgh", 4);
	w->flow.seq_in = w->flow.seq_now = f.s.seq;
	ck_assert_int_eq(mon_edit_script(&w->flow, MON_CLI, MON_LAYER_SND, 1, &f.p, &f.s, begin.bytes, begin.len, 1), 0);
	mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	ck_assert_uint_eq(f.s.seq, w->isn + 6);
	ck_assert_uint_eq(f.s.text_len, 6);
	ck_assert_int_eq(memcmp(f.bytes + TEXT, "[[efgh", 6), 0);
	seg_make(&f, w->isn + 1, 1, SEG_ACK, "abcdefgh", 8);
	mon_edit_pass(&w->flow, MON_CLI, MON_LAYER_SND, 0, UINT32_MAX, &f.at, &f.s);
	ck_assert_uint_eq(f.s.text_len, 11);
	ck_assert_int_eq(memcmp(f.bytes + TEXT, "abcd)[[efgh", 11), 0);
	for (uint32_t got = 0; got <= 11; got++) { /* whatever the other end has: what it lacks comes again */
		static const uint32_t want[] = { 0, 1, 2, 3, 3, 4, 4, 4, 5, 6, 7, 8 };

		seg_make(&ack, 1, w->isn + 1 + got, SEG_ACK, NULL, 0);
		mon_edit_middle(&w->flow, MON_SVR, &ack.p, &ack.s);
		ck_assert_uint_eq(ack.s.ack - (w->isn + 1), want[got]);
	}
	mon_edit_free(&w->flow);
	free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mon/edit");
	TCase *t = tcase_create("scripts");
	SRunner *r;
	int failed;

	tcase_add_test(t, overwriting_headers_keeps_the_segment_in_step);
	tcase_add_test(t, a_packet_without_a_flow_is_changed_alone);
	tcase_add_test(t, options_come_and_go_with_the_header_length);
	tcase_add_test(t, nonsense_changes_nothing);
	tcase_add_test(t, of_two_inserted_at_one_offset_the_later_comes_first);
	tcase_add_test(t, a_script_may_change_what_it_has_put_in);
	tcase_add_test(t, what_was_put_in_and_taken_out_again_was_never_there);
	tcase_add_test(t, a_payload_replaced_as_a_whole);
	tcase_add_test(t, too_many_edits_change_nothing);
	suite_add_tcase(s, t);
	t = tcase_create("flows");
	tcase_add_loop_test(t, a_long_transfer_with_loss_arrives_as_edited, 0, 12);
	tcase_add_test(t, bytes_that_have_passed_are_not_edited_when_they_come_again);
	tcase_add_test(t, a_longer_retransmission_is_cut_where_it_is_new);
	tcase_add_test(t, a_segment_that_is_removed_whole_goes_on_as_an_acknowledgement);
	tcase_add_test(t, a_probe_still_draws_an_acknowledgement);
	tcase_add_test(t, sack_blocks_are_translated);
	tcase_add_test(t, behind_one_segment_and_before_the_next);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
