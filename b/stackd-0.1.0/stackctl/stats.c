/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackctl stats: the engines' counters, once or as differences.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stackctl/out.h"
#include "stackctl/stackctl.h"

int counters_take(struct counters *c, const struct segment *s)
{
	*c = (struct counters){ s->head.engines, s->head.counters, NULL, now_us() };
	c->n = calloc((size_t)c->engines * c->counters + 1, sizeof(*c->n));
	if (c->n == NULL) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	for (unsigned e = 0; e < c->engines; e++)
		for (unsigned i = 0; i < c->counters; i++)
			c->n[(size_t)e * c->counters + i] = segment_counter(s, e, i);
	return 0;
}

void counters_free(struct counters *c)
{
	free(c->n);
	c->n = NULL;
}

static uint64_t one(const struct counters *c, const struct counters *since, unsigned engine, unsigned i)
{
	size_t at = (size_t)engine * c->counters + i;

	return since != NULL ? c->n[at] - since->n[at] : c->n[at];
}

static bool shown(const struct options *o, unsigned engine)
{
	return o->engine < 0 || engine == (unsigned)o->engine;
}

/* Of the engines asked for. */
static uint64_t total(const struct options *o, const struct counters *c, const struct counters *since, unsigned i)
{
	uint64_t sum = 0;

	for (unsigned e = 0; e < c->engines; e++)
		if (shown(o, e))
			sum += one(c, since, e, i);
	return sum;
}

/* --- JSON: one object per engine, its counters by name -------------------------------------------------------------- */

static void json_engine(const struct segment *s, unsigned e, const struct counters *c, const struct counters *since, FILE *f)
{
	struct stat_engine g = { 0 };
	struct stat_name n;

	segment_engine(s, e, &g);
	fprintf(f, "{\"engine\":%u,\"core\":%d,\"connections\":%" PRIu32 ",\"busy_us\":%" PRIu64 ",\"idle_us\":%" PRIu64, e, g.core,
	        g.conns, g.busy_us, g.idle_us);
	fprintf(f, ",\"counters\":{");
	for (unsigned i = 0; i < c->counters && segment_counter_name(s, i, &n); i++) {
		fputs(i > 0 ? "," : "", f);
		out_json_string(f, n.name);
		fprintf(f, ":%" PRIu64, one(c, since, e, i));
	}
	fputs("}}", f);
}

static int print_json(const struct segment *s, const struct options *o, const struct counters *c,
                      const struct counters *since, FILE *f)
{
	const char *sep = "";

	fputs("{\"version\":", f);
	out_json_string(f, s->head.version);
	fprintf(f, ",\"pid\":%" PRIu32 ",\"started_unix\":%" PRIu64, s->head.pid, s->head.started_unix);
	if (since != NULL)
		fprintf(f, ",\"interval_s\":%.6f", (double)(c->when_us - since->when_us) / 1e6);
	fputs(",\"engines\":[", f);
	for (unsigned e = 0; e < c->engines; e++) {
		if (!shown(o, e))
			continue;
		fputs(sep, f);
		json_engine(s, e, c, since, f);
		sep = ",";
	}
	fputs("]}\n", f);
	return fflush(f) == 0 && !ferror(f) ? 0 : EXIT_FAILED;
}

/* --- Tables --------------------------------------------------------------------------------------------------------- */

static void print_rows(struct out *out, const struct segment *s, const struct options *o, const struct counters *c,
                       const struct counters *since)
{
	double interval_s = since != NULL ? (double)(c->when_us - since->when_us) / 1e6 : 0;
	struct stat_name n;

	for (unsigned i = 0; i < c->counters && segment_counter_name(s, i, &n); i++) {
		uint64_t v = total(o, c, since, i);

		if (v == 0 && !o->all)
			continue;
		out_text(out, n.name);
		out_number(out, v);
		if (since != NULL)
			out_number(out, interval_s > 0 ? (uint64_t)llround((double)v / interval_s) : 0);
		out_text(out, n.text);
	}
}

static void print_engines(const struct segment *s, const struct options *o, FILE *f)
{
	struct stat_engine e;
	char age[32];

	out_age(now_us() - s->head.started_us, age, sizeof(age));
	fprintf(f, "stackd %s, process %" PRIu32 ", up %s\n", s->head.version, s->head.pid, age);
	for (unsigned i = 0; segment_engine(s, i, &e); i++) {
		uint64_t all = e.busy_us + e.idle_us;

		if (shown(o, i))
			fprintf(f, "engine %u on CPU %d: %" PRIu32 " connections, %.1f%% busy\n", i, e.core, e.conns,
			        all > 0 ? 100.0 * (double)e.busy_us / (double)all : 0.0);
	}
}

int counters_print(const struct segment *s, const struct options *o, const struct counters *c, const struct counters *since,
                   FILE *f)
{
	static const struct out_col once[] = { { "counter", OUT_TEXT }, { "value", OUT_COUNT }, { "meaning", OUT_TEXT } };
	static const struct out_col difference[] = {
		{ "counter", OUT_TEXT }, { "difference", OUT_COUNT }, { "per_second", OUT_COUNT }, { "meaning", OUT_TEXT },
	};
	struct out out;

	if (o->json)
		return print_json(s, o, c, since, f);
	if (since == NULL)
		print_engines(s, o, f);
	out_open(&out, f, false, "", since == NULL ? once : difference, since == NULL ? 3 : 4);
	print_rows(&out, s, o, c, since);
	return out_close(&out) == 0 ? 0 : EXIT_FAILED;
}

static void sleep_until(uint64_t us)
{
	struct timespec t = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* Print differences until stackd goes, or --count of them were printed. */
static int watch(struct attached *a, const struct options *o, struct counters *last, FILE *f)
{
	uint64_t at = last->when_us;
	int rc;

	for (unsigned long i = 0; o->count == 0 || i < o->count; i++) {
		struct counters now;

		at += (uint64_t)(o->watch_s * 1e6);
		sleep_until(at);
		rc = attach_refresh(a);
		if (rc != 0)
			return rc;
		rc = counters_take(&now, &a->seg);
		if (rc == 0)
			rc = counters_print(&a->seg, o, &now, last, f);
		if (rc != 0)
			return rc;
		if (!o->json)
			fputc('\n', f);
		counters_free(last);
		*last = now;
	}
	return 0;
}

int cmd_stats(struct attached *a, const struct options *o, FILE *f)
{
	struct counters c;
	int rc;

	if (o->engine >= 0 && (unsigned)o->engine >= a->seg.head.engines) {
		complain("there is no engine %d; stackd has %" PRIu32, o->engine, a->seg.head.engines);
		return EXIT_FAILED;
	}
	rc = counters_take(&c, &a->seg);
	if (rc != 0)
		return rc;
	rc = o->watch_s > 0 ? watch(a, o, &c, f) : counters_print(&a->seg, o, &c, NULL, f);
	counters_free(&c);
	return rc;
}
