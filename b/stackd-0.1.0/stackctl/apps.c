/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackctl apps, stackctl listeners: the programs, and the ports they wait on.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>

#include "stackctl/out.h"
#include "stackctl/stackctl.h"

const char *app_state_name(uint32_t state)
{
	static const char *const name[] = { "free", "live", "leaving", "gone" };

	return state < sizeof(name) / sizeof(name[0]) ? name[state] : "?";
}

const char *user_name(uint32_t uid, char *text, size_t size)
{
	const struct passwd *p = getpwuid(uid);

	if (p != NULL)
		snprintf(text, size, "%s", p->pw_name);
	else
		snprintf(text, size, "%" PRIu32, uid);
	return text;
}

static uint64_t age(uint64_t since_us)
{
	uint64_t now = now_us();

	return now > since_us ? now - since_us : 0;
}

int cmd_apps(const struct segment *s, const struct options *o, FILE *f)
{
	static const struct out_col col[] = {
		{ "id", OUT_COUNT }, { "pid", OUT_COUNT }, { "user", OUT_TEXT }, { "name", OUT_TEXT }, { "state", OUT_TEXT },
		{ "age_s", OUT_AGE }, { "home", OUT_COUNT }, { "sockets", OUT_COUNT }, { "ports", OUT_COUNT },
		{ "listeners", OUT_COUNT }, { "memory", OUT_BYTES }, { "memory_max", OUT_BYTES }, { "commands", OUT_COUNT },
		{ "events", OUT_COUNT }, { "wakes", OUT_COUNT }, { "bad", OUT_COUNT }, { "reason", OUT_TEXT },
	};
	struct out out;
	struct stat_app a;
	char user[64];

	out_open(&out, f, o->json, "apps", col, sizeof(col) / sizeof(col[0]));
	for (unsigned i = 0; i < s->head.apps; i++) {
		if (!segment_app(s, i, &a) || (a.state == STAT_APP_GONE && !o->all && !o->json))
			continue;
		out_number(&out, a.id);
		out_number(&out, (uint64_t)a.pid);
		out_text(&out, user_name(a.uid, user, sizeof(user)));
		out_text(&out, a.name);
		out_text(&out, app_state_name(a.state));
		out_number(&out, age(a.since_us));
		out_number(&out, a.home);
		out_number(&out, a.sockets);
		out_number(&out, a.ports);
		out_number(&out, a.listeners);
		out_number(&out, a.memory);
		out_number(&out, a.memory_max);
		out_number(&out, a.commands);
		out_number(&out, a.events);
		out_number(&out, a.wakes);
		out_number(&out, a.bad);
		out_text(&out, a.reason);
	}
	return out_close(&out) == 0 ? 0 : EXIT_FAILED;
}

const char *address_text(const struct ipaddr *a, char *text)
{
	static const struct ipaddr none;
	bool v4 = a->w[0] == 0 && a->w[1] == 0 && a->w[2] == htonl(0xffff);

	if (memcmp(a, &none, sizeof(none)) == 0 || (v4 && a->w[3] == 0))
		return strcpy(text, "*");
	if (v4)
		inet_ntop(AF_INET, &a->w[3], text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, a->b, text, INET6_ADDRSTRLEN);
	return text;
}

int cmd_listeners(const struct segment *s, const struct options *o, FILE *f)
{
	static const struct out_col col[] = {
		{ "address", OUT_TEXT }, { "port", OUT_COUNT }, { "app", OUT_COUNT }, { "backlog", OUT_COUNT },
		{ "waiting", OUT_COUNT }, { "syns", OUT_COUNT }, { "reuseport", OUT_BOOL },
	};
	struct out out;
	struct stat_listener l;
	char address[INET6_ADDRSTRLEN];

	out_open(&out, f, o->json, "listeners", col, sizeof(col) / sizeof(col[0]));
	for (unsigned i = 0; i < s->head.listeners; i++) {
		/* a port that is bound only, with --all */
		if (!segment_listener(s, i, &l) || (l.backlog == 0 && !o->all) || (o->app >= 0 && (uint32_t)o->app != l.app))
			continue;
		out_text(&out, address_text(&l.addr, address));
		out_number(&out, l.port);
		out_number(&out, l.app);
		out_number(&out, l.backlog);
		out_number(&out, l.waiting);
		out_number(&out, l.syns);
		out_number(&out, l.reuseport);
	}
	return out_close(&out) == 0 ? 0 : EXIT_FAILED;
}
