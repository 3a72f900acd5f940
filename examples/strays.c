/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What strays.h says: a hash table that never grows.
 */
#include "examples/strays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAINS = 16384 };

struct stray {
	struct stray *next;
	uint64_t pkts[2];
	char end[2][STRAY_NAME];
};

static struct stray *chain[CHAINS];
static unsigned strays;

/* FNV-1a. */
static uint32_t hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h;
}

void strays_add(const char *from, const char *to, strays_tell_fn tell)
{
	struct stray **head = &chain[(hash(from) + hash(to)) % CHAINS], *s = *head;
	unsigned by = 0;

	for (; s != NULL; s = s->next) {
		by = strcmp(s->end[0], from) != 0;
		if (strcmp(s->end[by], from) == 0 && strcmp(s->end[1 - by], to) == 0)
			break;
	}
	if (s == NULL) {
		if (strays == STRAYS_MAX)
			strays_tell(tell);
		s = calloc(1, sizeof(*s));
		if (s == NULL)
			return;
		snprintf(s->end[0], STRAY_NAME, "%s", from);
		snprintf(s->end[1], STRAY_NAME, "%s", to);
		s->next = *head;
		*head = s;
		strays++;
		by = 0;
	}
	s->pkts[by]++;
}

void strays_tell(strays_tell_fn tell)
{
	for (unsigned i = 0; i < CHAINS && strays > 0; i++) {
		while (chain[i] != NULL) {
			struct stray *s = chain[i];

			chain[i] = s->next;
			strays--;
			tell(s->end[0], s->end[1], s->pkts);
			free(s);
		}
	}
}
