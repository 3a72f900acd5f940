/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Payload beyond the receiver's window, as far as the monitor knows it: kept aside, bounded, until it is acknowledged, which shows
 * that the receiver has taken it.
 */
#include <stdlib.h>
#include <string.h>

#include "stackd/mon/priv.h"
#include "stackd/tcp/seg.h"

enum { ASIDE_MAX = 1024, ASIDE_SAME = 64, ASIDE_ALL = 16 << 20 };

struct mon_aside {
	struct mon_aside *next;
	uint64_t at;
	uint32_t size; /* of all this */
	uint32_t len;
	bool fin;
	uint8_t bytes[];
};

void mon_aside_free(struct mon_half *h)
{
	struct mon_aside *a;

	while ((a = h->aside) != NULL) {
		h->aside = a->next;
		h->flow->table->aside -= a->size;
		free(a);
	}
	h->aside_last = NULL;
	h->asides = 0;
}

void mon_aside_put(struct mon_pass *ps, struct mon_half *rcv)
{
	int64_t at = (int64_t)ps->rcv.at, edge = (int64_t)rcv->edge > at ? (int64_t)rcv->edge : at; /* at: perhaps before the start */
	uint32_t skip = edge - at < ps->seg.text_len ? (uint32_t)(edge - at) : ps->seg.text_len, len = ps->seg.text_len - skip;
	struct mon_aside *a = rcv->aside;
	uint32_t size = sizeof(*a) + len;
	bool fin = (ps->seg.flags & SEG_FIN) != 0;

	if ((len == 0 && !fin) || rcv->asides >= ASIDE_MAX || rcv->flow->table->aside + size > ASIDE_ALL)
		return;
	for (unsigned n = 0; a != NULL && n < ASIDE_SAME; a = a->next, n++) { /* a window probe comes again and again */
		if (a->at == (uint64_t)edge && a->len == len && a->fin == fin)
			return;
	}
	a = malloc(size);
	if (a == NULL)
		return;
	*a = (struct mon_aside){ .at = (uint64_t)edge, .size = size, .len = len, .fin = fin };
	memcpy(a->bytes, ps->pkt->data + ps->seg.text_off + skip, len);
	rcv->flow->table->aside += size;
	rcv->asides++;
	if (rcv->aside == NULL)
		rcv->aside = a;
	else
		rcv->aside_last->next = a;
	rcv->aside_last = a;
}

void mon_aside_take(struct mon *m, struct mon_half *h, struct mon_did *out)
{
	struct mon_aside **at = &h->aside, *a, *last = NULL;
	struct mon_did did = { 0 };

	while ((a = *at) != NULL) {
		uint32_t len = h->acked <= a->at ? 0 : h->acked - a->at < a->len ? (uint32_t)(h->acked - a->at) : a->len;
		bool fin = a->fin && h->acked > a->at + a->len;

		if (len == 0 && !fin) {
			last = a;
			at = &a->next;
			continue;
		}
		did = (struct mon_did){ .events = did.events };
		if (mon_half_taken(h, a->at, len, fin, &did)) {
			for (struct mon_view *v = h->flow->views; v != NULL; v = v->next) {
				if ((v->buf_off >> h->side & 1) == 0)
					(void)arena_write(v->group->arena, v->rec, h->side, did.off, a->bytes + did.skip, did.len);
			}
			COUNT_ADD(m->stats, MON_BYTES, did.len);
		}
		if (len < a->len || fin != a->fin) {
			a->at += len;
			a->len -= len;
			memmove(a->bytes, a->bytes + len, a->len);
			last = a;
			at = &a->next;
			continue;
		}
		*at = a->next;
		h->flow->table->aside -= a->size;
		h->asides--;
		free(a);
	}
	h->aside_last = last;
	mon_half_skip(h, &did);
	out->events |= did.events;
}
