/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackctl ports: network ports and what they count by themselves.
 */
#include <string.h>

#include "stackctl/out.h"
#include "stackctl/stackctl.h"

enum { FIXED = 6 };

/* A table leaves out what is zero on every port. */
static bool worth_a_column(const struct segment *s, unsigned counter)
{
	struct stat_port p;

	for (unsigned i = 0; segment_port(s, i, &p); i++)
		if (p.n[counter] != 0)
			return true;
	return false;
}

static enum out_kind kind_of(const char *name)
{
	size_t n = strlen(name);

	return n > 6 && strcmp(name + n - 6, "_bytes") == 0 ? OUT_BYTES : OUT_COUNT;
}

static void print_port(struct out *out, const struct stat_port *p, const unsigned *counter, unsigned counters)
{
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1], p->mac[2], p->mac[3], p->mac[4],
	         p->mac[5]);
	out_text(out, p->name);
	out_text(out, p->device);
	out_text(out, mac);
	out_text(out, p->address);
	out_number(out, p->mtu);
	out_number(out, p->queues);
	for (unsigned i = 0; i < counters; i++)
		out_number(out, p->n[counter[i]]);
}

int cmd_ports(const struct segment *s, const struct options *o, FILE *f)
{
	struct out_col col[FIXED + STAT_NIC_COUNTERS] = {
		{ "name", OUT_TEXT }, { "device", OUT_TEXT }, { "mac", OUT_TEXT }, { "address", OUT_TEXT }, { "mtu", OUT_COUNT },
		{ "queues", OUT_COUNT },
	};
	struct stat_name name[STAT_NIC_COUNTERS];
	unsigned counter[STAT_NIC_COUNTERS], counters = 0;
	struct stat_port p;
	struct out out;

	for (unsigned i = 0; i < STAT_NIC_COUNTERS && segment_nic_name(s, i, &name[i]); i++) {
		if (!o->json && !o->all && !worth_a_column(s, i))
			continue;
		col[FIXED + counters] = (struct out_col){ name[i].name, kind_of(name[i].name) };
		counter[counters++] = i;
	}
	out_open(&out, f, o->json, "ports", col, FIXED + counters);
	for (unsigned i = 0; segment_port(s, i, &p); i++)
		print_port(&out, &p, counter, counters);
	return out_close(&out) == 0 ? 0 : EXIT_FAILED;
}
