/* SPDX-License-Identifier: BSD-3-Clause
 *
 * User-defined events: trees with filters, events that are raised; and changes of registrations at any time.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

enum { MANY = 4000 };

static event_t first, second, third, fourth;
static unsigned filters;

static void callback(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)sock;
	(void)side;
	tell("callback %s%s%.*s", event_name(event), arg != NULL && arg->len > 0 ? " " : "",
	     arg != NULL ? (int)arg->len : 0, arg != NULL && arg->arg != NULL ? (char *)arg->arg : "");
}

static bool yes(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)sock;
	(void)side;
	filters++;
	tell("filter %s%s%.*s", event_name(event), arg != NULL && arg->len > 0 ? " " : "", arg != NULL ? (int)arg->len : 0,
	     arg != NULL && arg->arg != NULL ? (char *)arg->arg : "");
	return true;
}

static bool no(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	return !yes(m, sock, side, event, arg);
}

static filter_arg_t text(const char *t)
{
	return (filter_arg_t){ (void *)(uintptr_t)t, strlen(t) };
}

/* One occasion: the flow's first SYN. */
static void start(event_t event, callback_t cb)
{
	on(event, MOS_HK_SND, cb);
}

/* --- Trees ------------------------------------------------------------------------------------------------------------------ */

/* Registered from below; told from above. */
static void tree(void)
{
	first = mtcp_define_event(MOS_ON_CONN_START, yes, NULL);
	second = mtcp_define_event(first, yes, NULL);
	third = mtcp_define_event(MOS_ON_CONN_START, yes, NULL);
	EXPECT_IS(third, first); /* the same parent, filter and argument */
	third = mtcp_define_event(second, yes, NULL);
	start(third, callback);
	start(second, callback);
	start(first, callback);
	start(MOS_ON_CONN_START, callback);
}

static void pruned(void)
{
	first = mtcp_define_event(MOS_ON_CONN_START, no, NULL);
	second = mtcp_define_event(first, yes, NULL);
	third = mtcp_define_event(MOS_ON_CONN_START, yes, NULL);
	start(second, callback);
	start(first, callback);
	start(third, callback);
}

/* Only those below are waited for. */
static void deep(void)
{
	first = mtcp_define_event(MOS_ON_CONN_START, yes, NULL);
	second = mtcp_define_event(first, yes, NULL);
	third = mtcp_define_event(first, no, NULL);
	start(second, callback);
}

static void siblings(void)
{
	char bytes[] = "two";
	filter_arg_t arg[3] = { text("one"), { bytes, 3 }, text("three") };

	first = mtcp_define_event(MOS_ON_CONN_START, yes, &arg[0]);
	second = mtcp_define_event(MOS_ON_CONN_START, yes, &arg[1]);
	third = mtcp_define_event(MOS_ON_CONN_START, yes, &arg[2]);
	fourth = mtcp_define_event(MOS_ON_CONN_START, yes, NULL);
	EXPECT_IS(mtcp_define_event(MOS_ON_CONN_START, yes, &arg[2]), third);
	memset(bytes, 'x', 3); /* they have been copied */
	start(fourth, callback);
	start(third, callback);
	start(second, callback);
	start(first, callback);
	EXPECT(first < second && second < third && third < fourth);
}

static bool once_per_round(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)sock;
	(void)side;
	(void)event;
	(void)arg;
	filters++;
	return false;
}

/* Three callbacks below it, two sockets. */
static void count(void)
{
	int more = another();

	first = mtcp_define_event(MOS_ON_PKT_IN, once_per_round, NULL);
	second = mtcp_define_event(first, yes, NULL);
	start(first, callback);
	start(second, callback);
	EXPECT_IS(mtcp_register_callback(run.m, more, first, MOS_HK_SND, callback), 0);
	on(first, MOS_HK_RCV, callback);
}

static void count_end(void)
{
	EXPECT_IS(filters, 30); /* 10 packets: at HK_SND for both sockets, at HK_RCV for one */
}

/* A child of NEW_DATA below another may be registered at HK_RCV, where NEW_DATA does not occur. */
static void elsewhere(void)
{
	first = mtcp_define_event(MOS_ON_CONN_NEW_DATA, yes, NULL);
	second = mtcp_define_event(first, yes, NULL);
	FAILS(mtcp_register_callback(run.m, run.sock, first, MOS_HK_RCV, callback), EINVAL);
	on(second, MOS_HK_RCV, callback);
}

/* --- Raised ------------------------------------------------------------------------------------------------------------------ */

static bool raises(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)arg;
	yes(m, sock, side, event, NULL);
	EXPECT_IS(mtcp_raise_event(m, third), 0);
	EXPECT_IS(mtcp_raise_event(m, second), 0);
	EXPECT_IS(mtcp_raise_event(m, third), 0);
	FAILS(mtcp_raise_event(m, first), EINVAL); /* not of mtcp_alloc_event */
	FAILS(mtcp_raise_event(m, fourth), EINVAL); /* its parent is not being told */
	FAILS(mtcp_raise_event(m, MOS_ON_PKT_IN), EINVAL);
	FAILS(mtcp_raise_event(m, 1 << 20), EINVAL);
	return true;
}

static void raising(void)
{
	first = mtcp_define_event(MOS_ON_CONN_START, raises, NULL);
	second = mtcp_alloc_event(first);
	third = mtcp_alloc_event(first);
	fourth = mtcp_alloc_event(MOS_ON_REXMIT);
	start(third, callback);
	start(second, callback);
	start(first, callback);
	FAILS(mtcp_raise_event(run.m, second), EPERM);
}

static bool raises_in_vain(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	raises(m, sock, side, event, arg);
	return false;
}

static void raising_pruned(void)
{
	first = mtcp_define_event(MOS_ON_CONN_START, raises_in_vain, NULL);
	second = mtcp_alloc_event(first);
	third = mtcp_alloc_event(first);
	fourth = mtcp_alloc_event(MOS_ON_REXMIT);
	start(third, callback);
	start(second, callback);
}

static void raises_in_callback(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	callback(m, sock, side, event, arg);
	EXPECT_IS(mtcp_raise_event(m, second), 0);
	EXPECT_IS(mtcp_raise_event(m, fourth), 0); /* nobody waits for it */
}

/* What was raised stands in its place among the others. */
static void raising_in_callback(void)
{
	first = mtcp_define_event(MOS_ON_CONN_START, yes, NULL);
	second = mtcp_alloc_event(MOS_ON_CONN_START);
	third = mtcp_define_event(MOS_ON_CONN_START, no, NULL);
	fourth = mtcp_alloc_event(MOS_ON_CONN_START);
	start(third, callback);
	start(second, callback);
	start(first, callback);
	start(MOS_ON_CONN_START, raises_in_callback);
}

/* --- Thousands --------------------------------------------------------------------------------------------------------------- */

static event_t rule[MANY];
static unsigned outcomes;

static void outcome(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)sock;
	(void)side;
	(void)arg;
	EXPECT(event == rule[outcomes == 0 ? 7 : 3999]);
	outcomes++;
}

static bool two_of_many(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock;
	(void)side;
	(void)event;
	(void)arg;
	return mtcp_raise_event(m, rule[3999]) == 0 && mtcp_raise_event(m, rule[7]) == 0;
}

static void thousands(void)
{
	first = mtcp_define_event(MOS_ON_CONN_START, two_of_many, NULL);
	for (unsigned i = 0; i < MANY; i++) {
		rule[i] = mtcp_alloc_event(first);
		on(rule[i], MOS_HK_SND, outcome);
	}
}

static void thousands_end(void)
{
	EXPECT_IS(outcomes, 2);
}

/* --- Changing what is registered ---------------------------------------------------------------------------------------------- */

static void other(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)sock;
	(void)arg;
	tell("other %s %s", side_name(side), event_name(event));
}

static void replaced(void)
{
	start(MOS_ON_CONN_START, callback);
	start(MOS_ON_CONN_START, other);
	start(MOS_ON_TCP_STATE_CHANGE, callback);
	start(MOS_ON_TCP_STATE_CHANGE, NULL);
	EXPECT_IS(mtcp_unregister_callback(run.m, run.sock, MOS_ON_REXMIT, MOS_HK_SND), 0); /* was none */
}

static void four(mctx_t m, int sock, int side, event_t event)
{
	(void)m;
	(void)sock;
	tell("four %s %s", side_name(side), event_name(event));
}

static void parameters(void)
{
	EXPECT_IS(mtcp_register_callback(run.m, run.sock, MOS_ON_CONN_START, MOS_HK_SND, four), 0);
	EXPECT_IS(mtcp_register_callback(run.m, run.sock, MOS_ON_CONN_START, MOS_HK_RCV, other), 0);
}

/* In force when the round has ended, for this flow: CONN_START comes before STATE_CHANGE in one round. */
static void changes_itself(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)arg;
	tell("once %s", packet_flags(m, sock));
	EXPECT_IS(mtcp_register_callback(m, sock, event, MOS_HK_SND, NULL), 0);
	EXPECT_IS(mtcp_register_callback(m, sock, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, other), 0); /* later in this very round */
	EXPECT_IS(mtcp_register_callback(m, sock, MOS_ON_CONN_END, MOS_HK_SND, other), 0);
}

static void changing(void)
{
	on(MOS_ON_CONN_START, MOS_HK_SND, changes_itself);
}

static unsigned packets[2];

static void quiet(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	(void)side;
	(void)arg;
	EXPECT_IS(mtcp_getpeername(m, sock, (struct sockaddr *)&a, &len, MOS_SIDE_CLI), 0);
	if (packets[ntohs(a.sin_port) - 30000]++ == 2 && ntohs(a.sin_port) == 30001)
		EXPECT_IS(mtcp_register_callback(m, sock, event, MOS_HK_SND, NULL), 0);
}

static void one_flow(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, quiet);
}

static void one_flow_end(void)
{
	EXPECT_IS(packets[0], 10);
	EXPECT_IS(packets[1], 3);
}

/* The monitor socket's own: all its flows, also those under way. */
static void all_flows(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)arg;
	tell("%s", packet_flags(m, sock));
	EXPECT_IS(mtcp_register_callback(m, run.sock, event, MOS_HK_SND, NULL), 0);
}

static void of_all(void)
{
	on(MOS_ON_PKT_IN, MOS_HK_SND, all_flows);
}

/* --- Mistakes --------------------------------------------------------------------------------------------------------------------- */

#define NO_EVENT(call)                                                                                     \
	do {                                                                                               \
		errno = 0;                                                                                 \
		EXPECT((call) == MOS_NULL_EVENT && errno == EINVAL);                                       \
	} while (0)

static void mistakes(void)
{
	filter_arg_t bad = { NULL, 8 };
	event_t below = MOS_ON_PKT_IN;

	NO_EVENT(mtcp_define_event(MOS_NULL_EVENT, yes, NULL));
	NO_EVENT(mtcp_define_event(MOS_ON_PKT_IN | MOS_ON_REXMIT, yes, NULL));
	NO_EVENT(mtcp_define_event(4096 + 10, yes, NULL));
	NO_EVENT(mtcp_define_event(MOS_ON_PKT_IN, NULL, NULL));
	NO_EVENT(mtcp_define_event(MOS_ON_PKT_IN, yes, &bad));
	NO_EVENT(mtcp_alloc_event(MOS_NULL_EVENT));
	NO_EVENT(mtcp_alloc_event(4096 + 10));
	EXPECT_IS(mtcp_define_event(MOS_ON_PKT_IN, yes, NULL), 4096); /* the first one of this process */
	for (unsigned i = 0; i < 64; i++) {
		below = mtcp_alloc_event(below);
		EXPECT(below != MOS_NULL_EVENT);
	}
	NO_EVENT(mtcp_alloc_event(below)); /* the 65th level */
}

ROWS(own,
	{ .name = "a tree: parent before child, each filter once", .scene = "exchange", .begin = tree, .told =
		  "callback CONN_START\n"
		  "filter own0\n"
		  "callback own0\n"
		  "filter own1\n"
		  "callback own1\n"
		  "filter own2\n"
		  "callback own2\n" },
	{ .name = "a filter that is false prunes what is below it", .scene = "exchange", .begin = pruned, .told =
		  "filter own0\n"
		  "filter own2\n"
		  "callback own2\n" },
	{ .name = "filters on the way to a callback run, those that nobody waits for do not", .scene = "exchange", .begin = deep,
	  .told =
		  "filter own0\n"
		  "filter own1\n"
		  "callback own1\n" },
	{ .name = "siblings: in the order of definition, each with a copy of its argument", .scene = "exchange", .begin = siblings,
	  .told =
		  "filter own0 one\n"
		  "callback own0 one\n"
		  "filter own1 two\n"
		  "callback own1 two\n"
		  "filter own2 three\n"
		  "callback own2 three\n"
		  "filter own3\n"
		  "callback own3\n" },
	{ .name = "a filter runs once per parent event, socket and hook", .scene = "exchange", .begin = count, .socks = 1, .told = "",
	  .end = count_end },
	{ .name = "an event deeper than its root's hooks does not occur", .scene = "exchange", .begin = elsewhere, .told = "" },
	{ .name = "alloc, raise: in a filter; twice is once; in the order of definition", .scene = "exchange", .begin = raising,
	  .told =
		  "filter own0\n"
		  "callback own0\n"
		  "callback own1\n"
		  "callback own2\n" },
	{ .name = "raise: a false filter prunes what it raised", .scene = "exchange", .begin = raising_pruned, .told =
		  "filter own0\n" },
	{ .name = "raise: in a callback, among siblings with filters", .scene = "exchange", .begin = raising_in_callback, .told =
		  "callback CONN_START\n"
		  "filter own0\n"
		  "callback own0\n"
		  "callback own1\n"
		  "filter own2\n" },
	{ .name = "raise: two of thousands", .scene = "exchange", .begin = thousands, .end = thousands_end },
	{ .name = "callbacks of four parameters, and of five", .scene = "exchange", .begin = parameters, .told =
		  "four cli CONN_START\n"
		  "other svr CONN_START\n" },
	{ .name = "registering again replaces, NULL takes back", .scene = "exchange", .begin = replaced, .told =
		  "other cli CONN_START\n" },
	{ .name = "registering in a callback: in force when the round has ended", .scene = "exchange", .begin = changing, .told =
		  "once S\n"
		  "other cli STATE_CHANGE\n"
		  "other svr STATE_CHANGE\n"
		  "other cli STATE_CHANGE\n"
		  "other cli CONN_END\n"
		  "other svr CONN_END\n" },
	{ .name = "registering for a flow: for that flow alone", .scene = "two_flows", .begin = one_flow, .end = one_flow_end },
	{ .name = "registering for the monitor socket: also for its flows under way", .scene = "two_flows", .begin = of_all, .told =
		  "S\n" },
	{ .name = "define, alloc: errors, depth", .scene = "exchange", .begin = mistakes, .told = "" });
