/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of dest.h.  Its times are seconds of a clock that wraps.
 */
#include "stackd/tcp/dest.h"

#include <stdbool.h>
#include <string.h>

static struct dest *set_of(struct dest_table *d, const struct secret *s, const struct ipaddr *peer);
static bool is_known(const struct dest *e, uint32_t now_s);
static struct dest *first_to_go(struct dest *set);

void dest_note(struct dest_table *d, const struct secret *s, const struct ipaddr *peer, uint16_t mtu, uint32_t now_s,
               uint32_t until_s)
{
	struct dest *set = set_of(d, s, peer), *e = dest_find(d, s, peer, now_s);

	for (unsigned i = 0; e == NULL && i < DEST_WAYS; i++)
		if (!is_known(&set[i], now_s))
			e = &set[i];
	if (e == NULL)
		e = first_to_go(set);
	*e = (struct dest){ .peer = *peer, .until_s = until_s, .mtu = mtu };
}

struct dest *dest_find(struct dest_table *d, const struct secret *s, const struct ipaddr *peer, uint32_t now_s)
{
	struct dest *set = set_of(d, s, peer);

	for (unsigned i = 0; i < DEST_WAYS; i++)
		if (is_known(&set[i], now_s) && memcmp(&set[i].peer, peer, sizeof(*peer)) == 0)
			return &set[i];
	return NULL;
}

static struct dest *set_of(struct dest_table *d, const struct secret *s, const struct ipaddr *peer)
{
	struct tuple t = { .peer = *peer };

	return d->at[secret_flow(s, &t) % DEST_SETS];
}

static bool is_known(const struct dest *e, uint32_t now_s)
{
	return e->mtu != 0 && (int32_t)(e->until_s - now_s) > 0;
}

static struct dest *first_to_go(struct dest *set)
{
	struct dest *first = &set[0];

	for (unsigned i = 1; i < DEST_WAYS; i++)
		if ((int32_t)(set[i].until_s - first->until_s) < 0)
			first = &set[i];
	return first;
}
