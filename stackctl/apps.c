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

const char *address_text(const struct ipaddr *a, bool json, char *text)
{
	static const struct ipaddr none;
	struct ipaddr wire = *a;
	char plain[INET6_ADDRSTRLEN], zone[8] = "";

	if (memcmp(a, &none, sizeof(none)) == 0)
		return strcpy(text, "*");
	if (a->w[0] == 0 && a->w[1] == 0 && a->w[2] == htonl(0xffff)) {
		inet_ntop(AF_INET, &a->w[3], text, INET6_ADDRSTRLEN);
		return text;
	}
	if (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80) { /* of one port: proto.h */
		wire.b[3] = 0;
		snprintf(zone, sizeof(zone), "%%%u", a->b[3]);
	}
	inet_ntop(AF_INET6, wire.b, plain, sizeof(plain));
	snprintf(text, ADDRESS_TEXT, json ? "%s%s" : "[%s%s]", plain, zone);
	return text;
}

/* :: alone is of both families; what is of one alone says so. */
static const char *listener_text(const struct stat_listener *l, bool json, char *text)
{
	if (l->v6only && l->addr.w[0] == 0 && l->addr.w[1] == 0 && l->addr.w[2] == 0 && l->addr.w[3] == 0)
		return json ? "::" : "[::]";
	return address_text(&l->addr, json, text);
}

int cmd_listeners(const struct segment *s, const struct options *o, FILE *f)
{
	static const struct out_col col[] = {
		{ "address", OUT_TEXT }, { "port", OUT_COUNT }, { "app", OUT_COUNT }, { "backlog", OUT_COUNT },
		{ "waiting", OUT_COUNT }, { "syns", OUT_COUNT }, { "reuseport", OUT_BOOL },
	};
	struct out out;
	struct stat_listener l;
	char address[ADDRESS_TEXT];

	out_open(&out, f, o->json, "listeners", col, sizeof(col) / sizeof(col[0]));
	for (unsigned i = 0; i < s->head.listeners; i++) {
		/* a port that is bound only, with --all */
		if (!segment_listener(s, i, &l) || (l.backlog == 0 && !o->all) || (o->app >= 0 && (uint32_t)o->app != l.app))
			continue;
		out_text(&out, listener_text(&l, out.json, address));
		out_number(&out, l.port);
		out_number(&out, l.app);
		out_number(&out, l.backlog);
		out_number(&out, l.waiting);
		out_number(&out, l.syns);
		out_number(&out, l.reuseport);
	}
	return out_close(&out) == 0 ? 0 : EXIT_FAILED;
}
