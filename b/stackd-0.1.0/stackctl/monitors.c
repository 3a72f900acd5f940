/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackctl monitors: programs that monitor, and the groups whose arenas they share.
 */
#include <string.h>

#include "stackctl/out.h"
#include "stackctl/stackctl.h"

/* By enum mon_cause; keys of JSON with by_ before them. */
static const char *const causes[MON_CAUSES] = { "ring", "deadline", "death", "budget", "nonsense", "breaker" };

static const struct out_col monitor_col[] = {
	{ "id", OUT_COUNT }, { "pid", OUT_COUNT }, { "user", OUT_TEXT }, { "name", OUT_TEXT }, { "state", OUT_TEXT },
	{ "mode", OUT_TEXT }, { "group", OUT_COUNT }, { "sockets", OUT_COUNT }, { "offered", OUT_COUNT },
	{ "delivered", OUT_COUNT }, { "filtered", OUT_COUNT }, { "lost", OUT_COUNT }, { "lag", OUT_COUNT }, { "ring", OUT_COUNT },
	{ "commands", OUT_COUNT }, { "stale", OUT_COUNT }, { "wakes", OUT_COUNT },
	/* inline */
	{ "held", OUT_COUNT }, { "held_bytes", OUT_BYTES }, { "pass", OUT_COUNT }, { "drop", OUT_COUNT }, { "edit", OUT_COUNT },
	{ "on_failure", OUT_TEXT }, { "by_ring", OUT_COUNT }, { "by_deadline", OUT_COUNT }, { "by_death", OUT_COUNT },
	{ "by_budget", OUT_COUNT }, { "by_nonsense", OUT_COUNT }, { "by_breaker", OUT_COUNT }, { "breaker", OUT_COUNT },
	{ "injected", OUT_COUNT }, { "resets", OUT_COUNT },
};
enum { COLS = sizeof(monitor_col) / sizeof(monitor_col[0]), PASSIVE_COLS = 17 };

int cause_number(const char *name)
{
	for (int i = 0; i < MON_CAUSES; i++) {
		if (strcmp(causes[i], name) == 0)
			return i;
	}
	return -1;
}

static bool shown_one(const struct segment *s, const struct options *o, unsigned i, struct stat_app *a, struct stat_monitor *m)
{
	return segment_app(s, i, a) && segment_monitor(s, i, m) && (a->state != STAT_APP_GONE || o->all || o->json);
}

/* A table tells of verdicts only when somebody gives them. */
static bool any_inline(const struct segment *s, const struct options *o)
{
	struct stat_monitor m;
	struct stat_app a;

	for (unsigned i = 0; i < s->head.apps; i++) {
		if (shown_one(s, o, i, &a, &m) && m.right == MON_RIGHT_INLINE)
			return true;
	}
	return o->json || o->all;
}

static void print_inline(struct out *out, const struct stat_monitor *m)
{
	out_number(out, m->held);
	out_number(out, m->held_bytes);
	for (unsigned i = 0; i < 3; i++)
		out_number(out, m->verdict[i]);
	out_text(out, m->right != MON_RIGHT_INLINE ? "" : m->fail_drop ? "drop" : "pass");
	for (unsigned i = 0; i < MON_CAUSES; i++)
		out_number(out, m->decided[i]);
	out_number(out, m->breaker_opened);
	out_number(out, m->injected);
	out_number(out, m->resets);
}

static void print_monitor(struct out *out, const struct stat_app *a, const struct stat_monitor *m)
{
	char user[64];

	out_number(out, a->id);
	out_number(out, (uint64_t)a->pid);
	out_text(out, user_name(a->uid, user, sizeof(user)));
	out_text(out, a->name);
	out_text(out, app_state_name(a->state));
	out_text(out, m->right == MON_RIGHT_INLINE ? "inline" : "passive");
	out_number(out, m->group);
	out_number(out, m->sockets);
	out_number(out, m->offered);
	out_number(out, m->delivered);
	out_number(out, m->filtered);
	out_number(out, m->lost);
	out_number(out, m->lag);
	out_number(out, m->ring);
	out_number(out, m->commands);
	out_number(out, m->stale);
	out_number(out, m->wakes);
}

static void print_groups(struct out *out, const struct segment *s)
{
	struct stat_group g;

	for (unsigned i = 0; i < s->head.groups; i++) {
		if (!segment_group(s, i, &g))
			continue;
		out_number(out, i);
		out_number(out, g.members);
		out_number(out, g.flows);
		out_number(out, g.flows_max);
		out_number(out, g.memory);
		out_number(out, g.chunks_used);
		out_number(out, g.chunks);
		out_number(out, g.evicted);
		out_number(out, g.dropped);
		out_number(out, g.log_bytes);
		out_text(out, g.scope);
	}
}

int cmd_monitors(const struct segment *s, const struct options *o, FILE *f)
{
	static const struct out_col group_col[] = {
		{ "group", OUT_COUNT }, { "members", OUT_COUNT }, { "flows", OUT_COUNT }, { "flows_max", OUT_COUNT },
		{ "memory", OUT_BYTES }, { "chunks_used", OUT_COUNT }, { "chunks", OUT_COUNT }, { "evicted", OUT_COUNT },
		{ "dropped", OUT_COUNT }, { "log_bytes", OUT_BYTES }, { "scope", OUT_TEXT },
	};
	bool verdicts = any_inline(s, o);
	struct stat_monitor m;
	struct stat_app a;
	struct out out;

	out_open(&out, f, o->json, "monitors", monitor_col, verdicts ? COLS : PASSIVE_COLS);
	for (unsigned i = 0; i < s->head.apps; i++) {
		if (!shown_one(s, o, i, &a, &m))
			continue;
		print_monitor(&out, &a, &m);
		if (verdicts)
			print_inline(&out, &m);
	}
	out_next(&out, "groups", group_col, sizeof(group_col) / sizeof(group_col[0]));
	print_groups(&out, s);
	return out_close(&out) == 0 ? 0 : EXIT_FAILED;
}
