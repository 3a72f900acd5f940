/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Registrations and user-defined events: who is called, how often, in which order, and what stackd is told.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/shim_monitor.h"

static struct sm s;
static mctx_t m;
static struct sm_lane *lane;
static int mon;
static struct sm_flow f, g;

/* What callbacks and filters did: P a built-in event, fX filter of X, cX callback of X. */
static char log_[65536];
static char name_of[64];
static event_t ids[64];
static unsigned names;
static void (*inside)(int sock, event_t event); /* run within callbacks of built-in events */
static void (*inside_filter)(char name);

#define FAILS(call, err) \
	do { \
		errno = 0; \
		ck_assert_int_eq(call, -1); \
		ck_assert_int_eq(errno, err); \
	} while (0)
#define NO_EVENT(call, err) \
	do { \
		errno = 0; \
		ck_assert_uint_eq(call, MOS_NULL_EVENT); \
		ck_assert_int_eq(errno, err); \
	} while (0)
#define TELLS(what) \
	do { \
		log_[0] = '\0'; \
		sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0); \
		ck_assert_str_eq(log_, what); \
	} while (0)

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	size_t at;
	va_list ap;

	sm_point();
	at = strlen(log_);
	va_start(ap, fmt);
	vsnprintf(log_ + at, sizeof(log_) - at, fmt, ap);
	va_end(ap);
	sm_point();
}

struct arg {
	char name;
	bool verdict;
};

static char find_name(event_t id)
{
	for (unsigned i = 0; i < names; i++) {
		if (ids[i] == id)
			return name_of[i];
	}
	return '?';
}

static bool filter(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	const struct arg *a = arg->arg;

	sm_point();
	ck_assert_ptr_eq(mctx, m);
	ck_assert_int_eq(side, MOS_SIDE_CLI);
	ck_assert_uint_eq(arg->len, sizeof(*a));
	ck_assert_int_ge(sock, 0);
	ck_assert_int_eq(find_name(event), a->name); /* it is told its own number */
	note("f%c", a->name);
	if (inside_filter != NULL)
		inside_filter(a->name);
	sm_point();
	return a->verdict;
}

static void builtin(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	ck_assert_ptr_eq(mctx, m);
	ck_assert_ptr_null(arg);
	(void)side;
	note("P");
	if (inside != NULL)
		inside(sock, event);
	sm_point();
}

static void custom(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx;
	(void)sock;
	(void)side;
	if (arg != NULL && arg->len > 0)
		ck_assert_int_eq(((const struct arg *)arg->arg)->name, find_name(event));
	note("c%c", find_name(event));
}

static void other(mctx_t mctx, int sock, int side, event_t event)
{
	(void)mctx;
	(void)sock;
	(void)side;
	note("o%c", event < 4096 ? 'P' : find_name(event));
}

static event_t named(event_t id, char name)
{
	ck_assert_uint_ge(id, 4096);
	ids[names] = id;
	name_of[names++] = name;
	return id;
}

static event_t define(event_t parent, char name, bool verdict)
{
	struct arg a;
	filter_arg_t arg = { &a, sizeof(a) };

	memset(&a, 0, sizeof(a));
	a.name = name;
	a.verdict = verdict;
	return named(mtcp_define_event(parent, filter, &arg), name);
}

static event_t alloc(event_t parent, char name)
{
	return named(mtcp_alloc_event(parent), name);
}

static void reg(event_t e)
{
	ck_assert_int_eq(mtcp_register_callback(m, mon, e, MOS_HK_SND, e < 4096 ? builtin : custom), 0);
}

static void up(void)
{
	m = sm_start(&s, NULL);
	lane = &s.lane[0];
	mon = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_msg(mon >= 0, "%s", mtcp_error_text());
	sm_open(&f, lane, 0);
	sm_open(&g, lane, 0);
	names = 0;
	inside = NULL;
	inside_filter = NULL;
}

static void down(void)
{
	sm_stop(&s, m);
}

/* --- User-defined events ---------------------------------------------------------------------------------------------------- */

START_TEST(a_filter_runs_once)
{
	event_t u1, u2;

	up();
	u1 = define(MOS_ON_PKT_IN, '1', true);
	u2 = define(u1, '2', true);
	reg(u1);
	TELLS("f1c1");
	reg(u2);
	TELLS("f1c1f2c2");
	reg(MOS_ON_PKT_IN);
	TELLS("Pf1c1f2c2");
	/* nobody waits for 1 itself: its filter still decides about 2 */
	ck_assert_int_eq(mtcp_unregister_callback(m, mon, u1, MOS_HK_SND), 0);
	TELLS("Pf1f2c2");
	down();
}
END_TEST

START_TEST(a_false_filter_prunes)
{
	event_t u1;

	up();
	u1 = define(MOS_ON_PKT_IN, '1', false);
	reg(u1);
	reg(define(u1, '2', true));
	reg(define(MOS_ON_PKT_IN, '3', true));
	TELLS("f1f3c3");
	down();
}
END_TEST

/* Parent before child, siblings as defined, whatever was registered first. */
START_TEST(order_of_definition)
{
	static const char *const histories[] = { "P123", "321P", "2P13", "31P2", "132P" };
	char want[32], c;

	up();
	for (unsigned h = 0; h < 5; h++) {
		event_t u[4] = { MOS_ON_PKT_IN };

		names = 0;
		u[1] = define(MOS_ON_PKT_IN, (char)('a' + h * 3), true);
		u[2] = define(u[1], (char)('b' + h * 3), true);
		u[3] = define(MOS_ON_PKT_IN, (char)('c' + h * 3), true);
		for (unsigned i = 0; i < 4; i++)
			reg(u[histories[h][i] == 'P' ? 0 : histories[h][i] - '0']);
		c = (char)('a' + h * 3);
		sprintf(want, "Pf%cc%cf%cc%cf%cc%c", c, c, c + 1, c + 1, c + 2, c + 2);
		TELLS(want);
		for (unsigned i = 0; i < 4; i++)
			ck_assert_int_eq(mtcp_register_callback(m, mon, u[i], MOS_HK_SND, NULL), 0);
	}
	TELLS("");
	down();
}
END_TEST

START_TEST(registering_again_replaces)
{
	event_t u1;

	up();
	u1 = define(MOS_ON_PKT_IN, '1', true);
	reg(u1);
	reg(MOS_ON_PKT_IN);
	TELLS("Pf1c1");
	ck_assert_int_eq(mtcp_register_callback(m, mon, u1, MOS_HK_SND, other), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, other), 0);
	TELLS("oPf1o1");
	down();
}
END_TEST

START_TEST(null_deregisters)
{
	event_t u1;

	up();
	u1 = define(MOS_ON_PKT_IN, '1', true);
	reg(u1);
	reg(MOS_ON_PKT_IN);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, NULL), 0);
	TELLS("f1c1");
	ck_assert_int_eq(mtcp_register_callback(m, mon, u1, MOS_HK_SND, NULL), 0);
	TELLS("");
	ck_assert_int_eq(mtcp_register_callback(m, mon, u1, MOS_HK_SND, NULL), 0); /* again: nothing to do */
	ck_assert_int_eq(mtcp_unregister_callback(m, mon, MOS_ON_CONN_START, MOS_HK_SND), 0);
	down();
}
END_TEST

START_TEST(equal_events_are_one)
{
	struct arg a, b;
	filter_arg_t arg = { &a, sizeof(a) }, same = { &b, sizeof(b) }, none = { NULL, 0 };
	event_t e, without;

	up();
	memset(&a, 0, sizeof(a));
	a.name = 'x';
	b = a;
	e = mtcp_define_event(MOS_ON_ORPHAN, filter, &arg);
	ck_assert_uint_ge(e, 4096);
	ck_assert_uint_eq(mtcp_define_event(MOS_ON_ORPHAN, filter, &same), e);
	b.name = 'y';
	ck_assert_uint_ne(mtcp_define_event(MOS_ON_ORPHAN, filter, &same), e);
	without = mtcp_define_event(MOS_ON_ORPHAN, filter, NULL); /* beside a sibling that has an argument */
	ck_assert_uint_ne(without, MOS_NULL_EVENT);
	ck_assert_uint_ne(without, e);
	ck_assert_uint_eq(mtcp_define_event(MOS_ON_ORPHAN, filter, &none), without);
	ck_assert_uint_ne(mtcp_define_event(MOS_ON_PKT_IN, filter, NULL), without);
	ck_assert_uint_ne(mtcp_alloc_event(e), mtcp_alloc_event(e));
	NO_EVENT(mtcp_define_event(MOS_NULL_EVENT, filter, NULL), EINVAL);
	NO_EVENT(mtcp_define_event(MOS_ON_PKT_IN | MOS_ON_REXMIT, filter, NULL), EINVAL);
	NO_EVENT(mtcp_define_event(1 << 20, filter, NULL), EINVAL);
	NO_EVENT(mtcp_define_event(MOS_ON_PKT_IN, NULL, NULL), EINVAL);
	NO_EVENT(mtcp_alloc_event(3), EINVAL);
	down();
}
END_TEST

START_TEST(depth_has_a_bound)
{
	event_t e = MOS_ON_ERROR;

	for (unsigned i = 0; i < 64; i++) {
		e = mtcp_define_event(e, filter, NULL);
		ck_assert_uint_ne(e, MOS_NULL_EVENT);
	}
	NO_EVENT(mtcp_define_event(e, filter, NULL), EINVAL);
}
END_TEST

static unsigned calls;
static event_t last;

static bool count(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx;
	(void)sock;
	(void)side;
	(void)arg;
	sm_point();
	calls++;
	ck_assert_uint_gt(event, last);
	last = event;
	sm_point();
	return true;
}

START_TEST(a_thousand_siblings)
{
	up();
	for (uint32_t i = 0; i < 1000; i++) {
		filter_arg_t arg = { &i, sizeof(i) };

		ck_assert_int_eq(mtcp_register_callback(m, mon, mtcp_define_event(MOS_ON_PKT_IN, count, &arg), MOS_HK_SND, other), 0);
	}
	for (unsigned i = 1; i <= 3; i++) {
		log_[0] = '\0';
		last = 0;
		sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
		ck_assert_uint_eq(calls, 1000 * i);
		ck_assert_uint_eq(strlen(log_), 2000); /* "o?" each */
	}
	down();
}
END_TEST

static void *define_many(void *out)
{
	event_t *id = out;

	for (uint32_t i = 0; i < 500; i++) {
		filter_arg_t arg = { &i, sizeof(i) };

		id[i] = mtcp_define_event(MOS_ON_CONN_END, filter, &arg);
	}
	return NULL;
}

START_TEST(threads_define)
{
	static event_t id[4][500];
	pthread_t t[4];

	for (unsigned i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, define_many, id[i]);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 1; i < 4; i++)
		ck_assert_mem_eq(id[i], id[0], sizeof(id[0]));
}
END_TEST

/* --- Raised by hand ------------------------------------------------------------------------------------------------------------ */

static event_t raised[8];
static unsigned raises;
static int want_err;

static void raise_them(void)
{
	for (unsigned i = 0; i < raises; i++) {
		errno = 0;
		ck_assert_int_eq(mtcp_raise_event(m, raised[i]), want_err == 0 ? 0 : -1);
		ck_assert_int_eq(errno, want_err);
	}
}

static void raise_in_callback(int sock, event_t event)
{
	(void)sock;
	(void)event;
	raise_them();
}

static char raiser;

static void raise_in_filter(char name)
{
	if (name == raiser)
		raise_them();
}

START_TEST(raised_by_a_filter)
{
	event_t u1, a, b, c, u2, low;

	up();
	u1 = define(MOS_ON_PKT_IN, '1', true);
	a = alloc(u1, 'a');
	b = alloc(u1, 'b');
	u2 = define(u1, '2', true);
	c = alloc(u1, 'c');
	low = alloc(c, 'd');
	for (unsigned i = 0; i < names; i++)
		reg(ids[i]);
	TELLS("f1c1f2c2"); /* nothing is raised, nothing happens */
	inside_filter = raise_in_filter;
	raiser = '1';
	raised[0] = c;
	raised[1] = a;
	raised[2] = a; /* once is enough */
	raises = 3;
	want_err = 0;
	TELLS("f1c1caf2c2cc"); /* in the order of definition */
	raised[0] = b;
	raises = 1;
	TELLS("f1c1cbf2c2");
	raised[0] = low; /* its parent does not occur */
	want_err = EINVAL;
	TELLS("f1c1f2c2");
	raiser = '2'; /* from below: 1 is still being told */
	raised[0] = a;
	want_err = 0;
	TELLS("f1c1f2c2ca");
	raised[0] = u2; /* has a filter */
	want_err = EINVAL;
	TELLS("f1c1f2c2");
	down();
}
END_TEST

START_TEST(raised_by_a_callback)
{
	event_t a, b, u1;

	up();
	a = alloc(MOS_ON_PKT_IN, 'a');
	u1 = define(a, '1', true);
	b = alloc(MOS_ON_PKT_IN, 'b');
	reg(MOS_ON_PKT_IN);
	reg(a);
	reg(u1);
	inside = raise_in_callback;
	raised[0] = b; /* nobody waits for it */
	raised[1] = a;
	raises = 2;
	want_err = 0;
	TELLS("Pcaf1c1");
	ck_assert_int_eq(mtcp_register_callback(m, mon, a, MOS_HK_SND, NULL), 0);
	reg(b);
	TELLS("Pf1c1cb");
	FAILS(mtcp_raise_event(m, a), EPERM); /* not in a callback */
	down();
}
END_TEST

START_TEST(what_a_false_filter_raised_is_lost)
{
	event_t u1;

	up();
	u1 = define(MOS_ON_PKT_IN, '1', false);
	raised[0] = alloc(u1, 'a');
	reg(u1);
	reg(raised[0]);
	inside_filter = raise_in_filter;
	raiser = '1';
	raises = 1;
	want_err = 0;
	TELLS("f1");
	down();
}
END_TEST

/* Four thousand rules under one filter cost nothing until they are raised. */
START_TEST(many_raisable)
{
	event_t u1, first = 0, e = 0;

	up();
	u1 = define(MOS_ON_PKT_IN, '1', true);
	for (unsigned i = 0; i < 4000; i++) {
		e = mtcp_alloc_event(u1);
		if (i == 7)
			first = e;
		ck_assert_int_eq(mtcp_register_callback(m, mon, e, MOS_HK_SND, custom), 0);
	}
	named(first, 'x');
	named(e, 'y');
	inside_filter = raise_in_filter;
	raiser = '1';
	raised[0] = e;
	raised[1] = first;
	raises = 2;
	want_err = 0;
	TELLS("f1cxcy");
	down();
}
END_TEST

/* --- From inside ---------------------------------------------------------------------------------------------------------------- */

static event_t inside_event;

static void register_inside(int sock, event_t event)
{
	(void)event;
	(void)sock;
	inside = NULL;
	ck_assert_int_eq(mtcp_register_callback(m, mon, inside_event, MOS_HK_SND, custom), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, other), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, NULL), 0);
}

/* In force when the dispatch at hand has ended. */
START_TEST(registering_in_a_callback)
{
	up();
	inside_event = define(MOS_ON_PKT_IN, '1', true);
	reg(MOS_ON_PKT_IN);
	inside = register_inside;
	log_[0] = '\0';
	sm_tell(&f, MON_PKT_IN | MON_STATE_CHANGE, MON_HK_SND, MON_CLI, 0);
	ck_assert_str_eq(log_, "P");
	log_[0] = '\0';
	sm_tell(&f, MON_PKT_IN | MON_STATE_CHANGE, MON_HK_SND, MON_CLI, 0);
	ck_assert_str_eq(log_, "f1c1oP");
	down();
}
END_TEST

static void register_on_flow(int sock, event_t event)
{
	(void)event;
	inside = NULL;
	ck_assert_int_ne(sock, mon);
	ck_assert_int_eq(mtcp_register_callback(m, sock, inside_event, MOS_HK_SND, custom), 0);
	ck_assert_int_eq(mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_HK_RCV, other), 0);
	ck_assert_int_eq(mtcp_register_callback(m, sock, MOS_ON_PKT_IN, MOS_HK_SND, NULL), 0);
}

/* That flow changes, no other does, and the engine knows before it hears that the record was consumed. */
START_TEST(registering_on_a_flow)
{
	struct mon_cmd c;

	up();
	inside_event = define(MOS_ON_PKT_IN, '1', true);
	reg(MOS_ON_PKT_IN);
	reg(MOS_ON_CONN_START);
	inside = register_on_flow;
	log_[0] = '\0';
	sm_tell(&f, MON_CONN_START, MON_HK_SND, MON_CLI, 0);
	c = sm_expect(lane, MCMD_MASK);
	ck_assert_uint_eq(c.flow, f.rec);
	ck_assert_uint_eq(c.gen, (uint32_t)f.serial);
	ck_assert_uint_eq(c.sock, 0);
	ck_assert_uint_eq(c.mask.events[MON_HK_SND], MON_PKT_IN | MON_CONN_START); /* for the event below it */
	ck_assert_uint_eq(c.mask.events[MON_HK_RCV], MON_PKT_IN);
	ck_assert_uint_eq(c.mask.events[MON_HK_NULL], 0);
	ck_assert_str_eq(log_, "P");
	TELLS("f1c1");
	log_[0] = '\0';
	sm_tell(&f, MON_PKT_IN, MON_HK_RCV, MON_SVR, 0);
	ck_assert_str_eq(log_, "oP");
	log_[0] = '\0';
	sm_tell(&g, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
	sm_tell(&g, MON_PKT_IN, MON_HK_RCV, MON_SVR, 0);
	ck_assert_str_eq(log_, "P");
	/* what is changed on the monitor socket now concerns the flow no more */
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, other), 0);
	TELLS("f1c1");
	log_[0] = '\0';
	sm_tell(&g, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
	ck_assert_str_eq(log_, "oP");
	ck_assert(sm_idle(lane));
	down();
}
END_TEST

static void toggle(int sock, event_t event)
{
	static unsigned n;

	(void)event;
	ck_assert_int_eq(mtcp_register_callback(m, sock, inside_event, MOS_HK_SND, n++ % 2 == 0 ? custom : NULL), 0);
}

/* On and off, ten thousand times: memory does not grow with it (the sanitizers' and valgrind's business), nothing is forgotten. */
START_TEST(toggling)
{
	up();
	inside_event = define(MOS_ON_PKT_IN, '1', true);
	reg(MOS_ON_PKT_IN);
	inside = toggle;
	for (unsigned i = 0; i < 10000; i++) {
		struct mon_event e = sm_event(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);

		sm_put(lane, &e);
		if (i % 1000 == 0) {
			sm_settle(lane);
			log_[0] = '\0';
		}
	}
	sm_settle(lane);
	TELLS("P");
	TELLS("Pf1c1");
	down();
}
END_TEST

/* --- What stackd is told ------------------------------------------------------------------------------------------------------------- */

START_TEST(masks)
{
	event_t u2;
	struct ctl_mon_sock t;

	up();
	t = sm_told(&s, 0);
	ck_assert_uint_eq(t.kind, MON_STREAM);
	ck_assert_uint_eq(t.events[0] | t.events[1] | t.events[2] | t.flags, 0);
	u2 = define(define(MOS_ON_REXMIT, '1', true), '2', true);
	ck_assert_int_eq(mtcp_register_callback(m, mon, u2, MOS_HK_RCV, custom), 0);
	ck_assert_uint_eq(sm_told(&s, 0).events[MON_HK_RCV], MON_REXMIT);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_CONN_NEW_DATA, MOS_NULL, builtin), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, builtin), 0);
	t = sm_told(&s, 0);
	ck_assert_uint_eq(t.events[MON_HK_NULL], MON_NEW_DATA);
	ck_assert_uint_eq(t.events[MON_HK_SND], MON_PKT_IN);
	ck_assert_uint_eq(t.flags, 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_CONN_START, MOS_HK_SND, builtin), 0);
	ck_assert_uint_eq(sm_told(&s, 0).flags, MON_SOCK_EARLY);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_CONN_START, MOS_HK_SND, NULL), 0);
	ck_assert_uint_eq(sm_told(&s, 0).flags, 0);
	ck_assert_uint_eq(s.told, 6); /* once per change, none for none */
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, other), 0);
	ck_assert_uint_eq(s.told, 6);
	s.sock_err = ENOMEM;
	FAILS(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_RCV, builtin), ENOMEM);
	s.sock_err = 0;
	log_[0] = '\0';
	sm_tell(&f, MON_PKT_IN, MON_HK_RCV, MON_SVR, 0);
	ck_assert_str_eq(log_, ""); /* it failed, so it is not registered */
	down();
}
END_TEST

/* Records beyond what is registered are passed over in silence. */
START_TEST(early_records)
{
	up();
	reg(MOS_ON_CONN_START);
	log_[0] = '\0';
	sm_tell(&f, MON_PKT_IN | MON_CONN_START | MON_STATE_CHANGE, MON_HK_SND, MON_CLI, MEVF_EARLY);
	sm_tell(&f, MON_PKT_IN, MON_HK_RCV, MON_SVR, MEVF_EARLY);
	ck_assert_str_eq(log_, "P");
	ck_assert(sm_idle(lane));
	down();
}
END_TEST

static event_t seen[16];
static unsigned seens;

static void see(int sock, event_t event)
{
	(void)sock;
	seen[seens++] = event;
}

START_TEST(ascending)
{
	static const event_t all[] = { MOS_ON_CONN_END, MOS_ON_REXMIT, MOS_ON_TCP_STATE_CHANGE, MOS_ON_CONN_START, MOS_ON_PKT_IN };

	up();
	for (unsigned i = 0; i < 5; i++)
		reg(all[i]);
	inside = see;
	sm_tell(&f, MON_PKT_IN | MON_CONN_START | MON_STATE_CHANGE | MON_REXMIT | MON_CONN_END, MON_HK_SND, MON_CLI, 0);
	ck_assert_uint_eq(seens, 5);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_eq(seen[i], all[4 - i]);
	down();
}
END_TEST

START_TEST(what_goes_with_which_hook)
{
	static const event_t any[] = { MOS_ON_PKT_IN, MOS_ON_PKT_OUT, MOS_ON_CONN_SETUP, MOS_ON_TIMEOUT, MOS_ON_DEBUG_MESSAGE };
	static const event_t null[] = { MOS_ON_CONN_NEW_DATA, MOS_ON_ERROR, MOS_ON_ORPHAN };
	static const event_t hook[] = { MOS_ON_CONN_START, MOS_ON_REXMIT, MOS_ON_TCP_STATE_CHANGE, MOS_ON_CONN_END };
	static const int hooks[] = { MOS_HK_SND, MOS_HK_RCV };
	event_t u1, u2;
	int end;

	up();
	for (unsigned h = 0; h < 2; h++) {
		for (unsigned i = 0; i < 5; i++)
			ck_assert_int_eq(mtcp_register_callback(m, mon, any[i], hooks[h], builtin), 0);
		for (unsigned i = 0; i < 4; i++)
			ck_assert_int_eq(mtcp_register_callback(m, mon, hook[i], hooks[h], builtin), 0);
		for (unsigned i = 0; i < 3; i++) {
			FAILS(mtcp_register_callback(m, mon, null[i], hooks[h], builtin), EINVAL);
			SAYS("occurs at MOS_NULL alone");
		}
	}
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(mtcp_register_callback(m, mon, any[i], MOS_NULL, builtin), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(mtcp_register_callback(m, mon, null[i], MOS_NULL, builtin), 0);
	for (unsigned i = 0; i < 4; i++) {
		FAILS(mtcp_register_callback(m, mon, hook[i], MOS_NULL, builtin), EINVAL);
		SAYS("not at MOS_NULL");
	}
	FAILS(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, 0, builtin), EINVAL);
	SAYS("a hook is");
	FAILS(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_RCV | MOS_HK_SND, builtin), EINVAL);
	SAYS("a hook is");
	FAILS(mtcp_register_callback(m, mon, MOS_NULL_EVENT, MOS_HK_SND, builtin), EINVAL);
	SAYS("is no event");
	FAILS(mtcp_register_callback(m, mon, MOS_ON_PKT_IN | MOS_ON_REXMIT, MOS_HK_SND, builtin), EINVAL);
	SAYS("several at once");
	FAILS(mtcp_register_callback(m, mon, 1 << 12, MOS_HK_SND, builtin), EINVAL);
	/* a user-defined event goes by its parent, where that is built in */
	u1 = define(MOS_ON_CONN_NEW_DATA, '1', true);
	u2 = define(u1, '2', true);
	FAILS(mtcp_register_callback(m, mon, u1, MOS_HK_RCV, builtin), EINVAL);
	ck_assert_int_eq(mtcp_register_callback(m, mon, u1, MOS_NULL, builtin), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, u2, MOS_HK_RCV, builtin), 0);
	end = mtcp_socket(m, AF_INET, SOCK_STREAM, 0);
	FAILS(mtcp_register_callback(m, end, MOS_ON_PKT_IN, MOS_HK_SND, builtin), EINVAL);
	FAILS(mtcp_register_callback(m, 99, MOS_ON_PKT_IN, MOS_HK_SND, builtin), EINVAL);
	SAYS("neither a monitor socket");
	FAILS(mtcp_register_callback(NULL, mon, MOS_ON_PKT_IN, MOS_HK_SND, builtin), EACCES);
	down();
}
END_TEST

static void registers_its_own(int sock, event_t event)
{
	if (event == MOS_ON_CONN_START)
		ck_assert_int_eq(mtcp_register_callback(m, sock, inside_event, MOS_HK_SND, custom), 0);
}

/* Many flows, each of which registers the same, with many events beside. */
START_TEST(many_flows_share)
{
	static struct sm_flow many[60];
	event_t u;

	up();
	for (uint32_t i = 0; i < 2000; i++) {
		filter_arg_t arg = { &i, sizeof(i) };

		ck_assert_int_eq(mtcp_register_callback(m, mon, mtcp_define_event(MOS_ON_CONN_END, count, &arg), MOS_HK_SND, custom), 0);
	}
	u = inside_event = define(MOS_ON_PKT_IN, '1', true);
	(void)u;
	reg(MOS_ON_CONN_START);
	inside = registers_its_own;
	log_[0] = '\0';
	for (unsigned i = 0; i < 60; i++) {
		sm_open(&many[i], lane, 0);
		sm_tell(&many[i], MON_CONN_START, MON_HK_SND, MON_CLI, 0);
		(void)sm_expect(lane, MCMD_MASK);
	}
	log_[0] = '\0';
	for (unsigned i = 0; i < 60; i++)
		sm_tell(&many[i], MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
	ck_assert_uint_eq(strlen(log_), 60 * 4);
	down();
}
END_TEST

int main(void)
{
	Suite *su = suite_create("shim_mon_event");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(su);
	int failed;

	suite_add_tcase(su, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_filter_runs_once);
	tcase_add_test(t, a_false_filter_prunes);
	tcase_add_test(t, order_of_definition);
	tcase_add_test(t, registering_again_replaces);
	tcase_add_test(t, null_deregisters);
	tcase_add_test(t, equal_events_are_one);
	tcase_add_test(t, depth_has_a_bound);
	tcase_add_test(t, a_thousand_siblings);
	tcase_add_test(t, threads_define);
	tcase_add_test(t, raised_by_a_filter);
	tcase_add_test(t, raised_by_a_callback);
	tcase_add_test(t, what_a_false_filter_raised_is_lost);
	tcase_add_test(t, many_raisable);
	tcase_add_test(t, registering_in_a_callback);
	tcase_add_test(t, registering_on_a_flow);
	tcase_add_test(t, toggling);
	tcase_add_test(t, masks);
	tcase_add_test(t, early_records);
	tcase_add_test(t, ascending);
	tcase_add_test(t, what_goes_with_which_hook);
	tcase_add_test(t, many_flows_share);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
