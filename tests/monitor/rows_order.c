/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What may be registered where; and the order of everything that one packet leads to.
 */
#define _GNU_SOURCE
#include "tests/monitor/rows.h"

/* What note_all() tells of a handshake, of the second FIN and its answer, of a reset, of the end. */
#define OPENED \
	"snd cli PKT_IN S SYN_SENT/-\n" \
	"snd cli CONN_START S SYN_SENT/-\n" \
	"snd cli STATE_CHANGE S SYN_SENT/-\n" \
	"rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n" \
	"rcv svr CONN_START S SYN_SENT/SYN_RCVD\n" \
	"rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n" \
	"snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n" \
	"rcv cli PKT_IN SA ESTABLISHED/SYN_RCVD\n" \
	"rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n" \
	"snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n" \
	"rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n" \
	"rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
#define CLOSED \
	"snd svr PKT_IN FA FIN_WAIT_1/LAST_ACK\n" \
	"snd svr STATE_CHANGE FA FIN_WAIT_1/LAST_ACK\n" \
	"rcv cli PKT_IN FA TIME_WAIT/LAST_ACK\n" \
	"rcv cli STATE_CHANGE FA TIME_WAIT/LAST_ACK\n" \
	"snd cli PKT_IN A TIME_WAIT/LAST_ACK\n" \
	"rcv svr PKT_IN A TIME_WAIT/CLOSED\n" \
	"rcv svr STATE_CHANGE A TIME_WAIT/CLOSED\n"
#define FORGOTTEN \
	"rcv cli STATE_CHANGE - CLOSED/CLOSED\n" \
	"rcv cli CONN_END - CLOSED/CLOSED\n" \
	"snd cli STATE_CHANGE - CLOSED/CLOSED\n" \
	"snd cli CONN_END - CLOSED/CLOSED\n" \
	"rcv svr CONN_END - CLOSED/CLOSED\n" \
	"snd svr CONN_END - CLOSED/CLOSED\n"
#define ENDED \
	"rcv cli CONN_END - CLOSED/CLOSED\n" \
	"snd cli CONN_END - CLOSED/CLOSED\n" \
	"rcv svr CONN_END - CLOSED/CLOSED\n" \
	"snd svr CONN_END - CLOSED/CLOSED\n"
#define RESET \
	"snd cli PKT_IN RA CLOSED/ESTABLISHED\n" \
	"snd cli STATE_CHANGE RA CLOSED/ESTABLISHED\n" \
	"rcv svr PKT_IN RA CLOSED/CLOSED\n" \
	"rcv svr STATE_CHANGE RA CLOSED/CLOSED\n"

/* --- Registering ----------------------------------------------------------------------------------------------------------- */

static const event_t built_in[] = { MOS_ON_PKT_IN, MOS_ON_PKT_OUT, MOS_ON_CONN_START, MOS_ON_CONN_SETUP, MOS_ON_CONN_NEW_DATA,
				    MOS_ON_ERROR, MOS_ON_TIMEOUT, MOS_ON_TCP_STATE_CHANGE, MOS_ON_ORPHAN, MOS_ON_REXMIT,
				    MOS_ON_CONN_END, MOS_ON_DEBUG_MESSAGE };

static bool valid(event_t event, int hook)
{
	bool without = event == MOS_ON_CONN_NEW_DATA || event == MOS_ON_ORPHAN || event == MOS_ON_ERROR;
	bool with = event == MOS_ON_CONN_START || event == MOS_ON_REXMIT || event == MOS_ON_TCP_STATE_CHANGE || event == MOS_ON_CONN_END;

	return hook == MOS_NULL ? !with : !without;
}

static void nothing(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)sock;
	(void)side;
	(void)event;
	(void)arg;
}

/* Every event at every hook; and what is no event, no hook, no monitor socket. */
static void matrix(int sock)
{
	static const int hooks[] = { MOS_NULL, MOS_HK_SND, MOS_HK_RCV };

	for (unsigned e = 0; e < sizeof(built_in) / sizeof(built_in[0]); e++) {
		for (unsigned h = 0; h < 3; h++) {
			int r = mtcp_register_callback(run.m, sock, built_in[e], hooks[h], nothing), err = errno;
			bool good = valid(built_in[e], hooks[h]);

			if (r != (good ? 0 : -1) || (!good && err != EINVAL))
				wrong(__FILE__, __LINE__, "%s at hook %u: %d", event_name(built_in[e]), h, r);
			if (r == 0)
				EXPECT_IS(mtcp_unregister_callback(run.m, sock, built_in[e], hooks[h]), 0);
		}
		FAILS(mtcp_register_callback(run.m, sock, built_in[e], 0, nothing), EINVAL);
		FAILS(mtcp_register_callback(run.m, sock, built_in[e], MOS_HK_SND | MOS_HK_RCV, nothing), EINVAL);
	}
	FAILS(mtcp_register_callback(run.m, sock, MOS_NULL_EVENT, MOS_HK_SND, nothing), EINVAL);
	FAILS(mtcp_register_callback(run.m, sock, MOS_ON_PKT_IN | MOS_ON_REXMIT, MOS_HK_SND, nothing), EINVAL);
	FAILS(mtcp_register_callback(run.m, sock, 0x1000, MOS_HK_SND, nothing), EINVAL);
	FAILS(mtcp_register_callback(run.m, sock, (event_t)1 << 40, MOS_HK_SND, nothing), EINVAL);
}

static void in_flow(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)side;
	(void)event;
	(void)arg;
	EXPECT(sock != run.sock);
	matrix(sock);
	tell("once");
}

static void registering(void)
{
	matrix(run.sock);
	matrix(raw(run.only));
	FAILS(mtcp_register_callback(run.m, -1, MOS_ON_PKT_IN, MOS_HK_SND, nothing), EINVAL);
	FAILS(mtcp_register_callback(run.m, 9999, MOS_ON_PKT_IN, MOS_HK_SND, nothing), EINVAL);
	FAILS(mtcp_register_callback(run.m, mtcp_epoll_create(run.m, 8), MOS_ON_PKT_IN, MOS_HK_SND, nothing), EINVAL);
	FAILS(mtcp_register_callback(NULL, run.sock, MOS_ON_PKT_IN, MOS_HK_SND, nothing), EACCES);
	on(MOS_ON_CONN_START, MOS_HK_SND, in_flow);
}

static bool always(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)m;
	(void)sock;
	(void)side;
	(void)event;
	(void)arg;
	return true;
}

/* By the parent; deeper ones are accepted at any hook. */
static void registering_own(void)
{
	static const int hooks[] = { MOS_NULL, MOS_HK_SND, MOS_HK_RCV };

	for (unsigned e = 0; e < sizeof(built_in) / sizeof(built_in[0]); e++) {
		event_t child = mtcp_define_event(built_in[e], always, NULL), deeper = mtcp_define_event(child, always, NULL);

		EXPECT(child >= 4096 && deeper > child);
		for (unsigned h = 0; h < 3; h++) {
			if (valid(built_in[e], hooks[h]))
				EXPECT_IS(mtcp_register_callback(run.m, run.sock, child, hooks[h], nothing), 0);
			else
				FAILS(mtcp_register_callback(run.m, run.sock, child, hooks[h], nothing), EINVAL);
			EXPECT_IS(mtcp_register_callback(run.m, run.sock, deeper, hooks[h], nothing), 0);
		}
	}
	FAILS(mtcp_register_callback(run.m, run.sock, 4096 + 1000, MOS_HK_SND, nothing), EINVAL);
}

/* --- One packet ------------------------------------------------------------------------------------------------------------- */

/* note_all registers in descending order. */
static void all_and_raw(void)
{
	int stream = run.sock;

	run.sock = raw(run.only);
	on(MOS_ON_PKT_IN, MOS_NULL, note_null);
	run.sock = stream;
	note_all();
}

/* --- Several sockets -------------------------------------------------------------------------------------------------------- */

static int socks[3];

static void which(mctx_t m, int sock, const char *hook)
{
	static char line[64];
	static int told;
	char *number = mtcp_get_uctx(m, sock);

	EXPECT(number != NULL);
	told = told % 3 == 0 ? snprintf(line, sizeof(line), "%s %s:", hook, packet_flags(m, sock)), 1 : told + 1;
	snprintf(line + strlen(line), sizeof(line) - strlen(line), " %s", number != NULL ? number : "?");
	if (told == 3)
		tell("%s", line);
}

/* The flow's socket gets its watcher's number. */
static void number(mctx_t m, int sock, const char *number)
{
	if (mtcp_get_uctx(m, sock) == NULL)
		mtcp_set_uctx(m, sock, (void *)(uintptr_t)number);
}

#define WATCHER(n)                                                                                         \
	static void snd##n(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)                 \
	{                                                                                                  \
		(void)side;                                                                                \
		(void)event;                                                                               \
		(void)arg;                                                                                 \
		number(m, sock, #n);                                                                       \
		which(m, sock, "snd");                                                                     \
	}                                                                                                  \
	static void rcv##n(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)                 \
	{                                                                                                  \
		(void)side;                                                                                \
		(void)event;                                                                               \
		(void)arg;                                                                                 \
		which(m, sock, "rcv");                                                                     \
	}
WATCHER(1)
WATCHER(2)
WATCHER(3)

static void three(void)
{
	static const callback_t snd[] = { snd1, snd2, snd3 }, rcv[] = { rcv1, rcv2, rcv3 };

	for (unsigned i = 0; i < 3; i++) {
		socks[i] = i == 0 ? run.sock : another();
		EXPECT_IS(mtcp_register_callback(run.m, socks[i], MOS_ON_PKT_IN, MOS_HK_RCV, rcv[i]), 0);
		EXPECT_IS(mtcp_register_callback(run.m, socks[i], MOS_ON_PKT_IN, MOS_HK_SND, snd[i]), 0);
	}
}

static unsigned seen[2];

static void of_flow(mctx_t m, int sock, event_t event, unsigned i)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	(void)event;
	EXPECT_IS(mtcp_getpeername(m, sock, (struct sockaddr *)&a, &len, MOS_SIDE_CLI), 0);
	EXPECT_IS(ntohs(a.sin_port), 30000 + i);
	seen[i]++;
}

static void of_first(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)arg;
	of_flow(m, sock, event, 0);
}

static void of_second(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)side;
	(void)arg;
	of_flow(m, sock, event, 1);
}

/* Packets of the server do not match: the filter is for the first one. */
static void filters(void)
{
	char text[2][64];
	union monitor_filter ft[2] = { { .stream_syn_filter = text[0] }, { .stream_syn_filter = text[1] } };
	int second = another();

	for (int i = 0; i < 2; i++)
		snprintf(text[i], sizeof(text[i]), "src port %d and dst port %d", 30000 + i, run.port);
	EXPECT_IS(mtcp_bind_monitor_filter(run.m, run.sock, &ft[0]), 0);
	EXPECT_IS(mtcp_bind_monitor_filter(run.m, second, &ft[1]), 0);
	on(MOS_ON_PKT_IN, MOS_HK_SND, of_first);
	EXPECT_IS(mtcp_register_callback(run.m, second, MOS_ON_PKT_IN, MOS_HK_SND, of_second), 0);
}

static void filters_end(void)
{
	EXPECT_IS(seen[0], 10);
	EXPECT_IS(seen[1], 10);
}

ROWS(order,
	{ .name = "registration: every event at every hook, on each kind of socket", .scene = "exchange", .begin = registering, .socks = 1,
	  .told =
		  "once\n" },
	{ .name = "registration: a user-defined event goes by its parent", .scene = "exchange", .begin = registering_own, .told = "" },
	{ .name = "order: raw, HK_SND, HK_RCV, NEW_DATA, CONN_END; ascending in a round", .scene = "exchange", .begin = all_and_raw,
	  .socks = 1, .told =
		  "null null PKT_IN S -/-\n"
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "rcv svr CONN_START S SYN_SENT/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "null null PKT_IN SA -/-\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "rcv cli PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n"
		  "null null PKT_IN A -/-\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN PA -/-\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN A -/-\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN PA -/-\n"
		  "snd svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN A -/-\n"
		  "snd cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN FA -/-\n"
		  "snd cli PKT_IN FA FIN_WAIT_1/ESTABLISHED\n"
		  "snd cli STATE_CHANGE FA FIN_WAIT_1/ESTABLISHED\n"
		  "rcv svr PKT_IN FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv svr STATE_CHANGE FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "null null PKT_IN FA -/-\n"
		  "snd svr PKT_IN FA FIN_WAIT_1/LAST_ACK\n"
		  "snd svr STATE_CHANGE FA FIN_WAIT_1/LAST_ACK\n"
		  "rcv cli PKT_IN FA TIME_WAIT/LAST_ACK\n"
		  "rcv cli STATE_CHANGE FA TIME_WAIT/LAST_ACK\n"
		  "null null PKT_IN A -/-\n"
		  "snd cli PKT_IN A TIME_WAIT/LAST_ACK\n"
		  "rcv svr PKT_IN A TIME_WAIT/CLOSED\n"
		  "rcv svr STATE_CHANGE A TIME_WAIT/CLOSED\n"
		  "null cli NEW_DATA - TIME_WAIT/CLOSED\n"
		  "null svr NEW_DATA - TIME_WAIT/CLOSED\n"
		  FORGOTTEN },
	{ .name = "order: bursts", .scene = "bursts", .begin = note_all, .told =
		  OPENED
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "null svr NEW_DATA - ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "null cli NEW_DATA - ESTABLISHED/ESTABLISHED\n"
		  "null svr NEW_DATA - ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN FA FIN_WAIT_1/ESTABLISHED\n"
		  "snd cli STATE_CHANGE FA FIN_WAIT_1/ESTABLISHED\n"
		  "rcv svr PKT_IN FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv svr STATE_CHANGE FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "snd svr PKT_IN A FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv cli PKT_IN A FIN_WAIT_2/CLOSE_WAIT\n"
		  "rcv cli STATE_CHANGE A FIN_WAIT_2/CLOSE_WAIT\n"
		  "null svr NEW_DATA - FIN_WAIT_2/CLOSE_WAIT\n"
		  "snd svr PKT_IN PA FIN_WAIT_2/CLOSE_WAIT\n"
		  "rcv cli PKT_IN PA FIN_WAIT_2/CLOSE_WAIT\n"
		  "snd cli PKT_IN A FIN_WAIT_2/CLOSE_WAIT\n"
		  "rcv svr PKT_IN A FIN_WAIT_2/CLOSE_WAIT\n"
		  "null cli NEW_DATA - FIN_WAIT_2/CLOSE_WAIT\n"
		  "snd svr PKT_IN FA FIN_WAIT_2/LAST_ACK\n"
		  "snd svr STATE_CHANGE FA FIN_WAIT_2/LAST_ACK\n"
		  "rcv cli PKT_IN FA TIME_WAIT/LAST_ACK\n"
		  "rcv cli STATE_CHANGE FA TIME_WAIT/LAST_ACK\n"
		  "snd cli PKT_IN A TIME_WAIT/LAST_ACK\n"
		  "rcv svr PKT_IN A TIME_WAIT/CLOSED\n"
		  "rcv svr STATE_CHANGE A TIME_WAIT/CLOSED\n"
		  "null cli NEW_DATA - TIME_WAIT/CLOSED\n"
		  FORGOTTEN },
	{ .name = "order: REXMIT", .scene = "again", .begin = note_all, .told =
		  OPENED
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd cli REXMIT PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr REXMIT PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN FA FIN_WAIT_1/ESTABLISHED\n"
		  "snd cli STATE_CHANGE FA FIN_WAIT_1/ESTABLISHED\n"
		  "rcv svr PKT_IN FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv svr STATE_CHANGE FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "snd cli PKT_IN FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "snd cli REXMIT FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv svr PKT_IN FA FIN_WAIT_1/CLOSE_WAIT\n"
		  "rcv svr REXMIT FA FIN_WAIT_1/CLOSE_WAIT\n"
		  CLOSED
		  "null cli NEW_DATA - TIME_WAIT/CLOSED\n"
		  "null svr NEW_DATA - TIME_WAIT/CLOSED\n"
		  FORGOTTEN },
	{ .name = "order: REXMIT of SYN, SYN-ACK", .scene = "opening", .begin = note_all, .told =
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "rcv svr CONN_START S SYN_SENT/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "snd cli PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "snd cli REXMIT S SYN_SENT/SYN_RCVD\n"
		  "rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "rcv svr REXMIT S SYN_SENT/SYN_RCVD\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "rcv cli PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n"
		  "snd svr PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "snd svr REXMIT SA ESTABLISHED/SYN_RCVD\n"
		  "rcv cli PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "rcv cli REXMIT SA ESTABLISHED/SYN_RCVD\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  RESET
		  ENDED },
	{ .name = "order: ERROR", .scene = "beyond", .begin = note_all, .told =
		  OPENED
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "null svr ERROR PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd cli REXMIT PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr REXMIT PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  RESET
		  "null svr NEW_DATA - CLOSED/CLOSED\n"
		  ENDED },
	{ .name = "order: bad checksums: raw sockets alone see them", .scene = "bad", .begin = all_and_raw, .socks = 1, .told =
		  "null null PKT_IN S -/-\n"
		  "snd cli PKT_IN S SYN_SENT/-\n"
		  "snd cli CONN_START S SYN_SENT/-\n"
		  "snd cli STATE_CHANGE S SYN_SENT/-\n"
		  "rcv svr PKT_IN S SYN_SENT/SYN_RCVD\n"
		  "rcv svr CONN_START S SYN_SENT/SYN_RCVD\n"
		  "rcv svr STATE_CHANGE S SYN_SENT/SYN_RCVD\n"
		  "null null PKT_IN SA -/-\n"
		  "snd svr PKT_IN SA SYN_SENT/SYN_RCVD\n"
		  "rcv cli PKT_IN SA ESTABLISHED/SYN_RCVD\n"
		  "rcv cli STATE_CHANGE SA ESTABLISHED/SYN_RCVD\n"
		  "null null PKT_IN A -/-\n"
		  "snd cli PKT_IN A ESTABLISHED/SYN_RCVD\n"
		  "rcv svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv svr STATE_CHANGE A ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN IP -/-\n"
		  "null null PKT_IN frame -/-\n"
		  "null null PKT_IN PA -/-\n"
		  "snd cli PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "rcv svr PKT_IN PA ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN A -/-\n"
		  "snd svr PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "rcv cli PKT_IN A ESTABLISHED/ESTABLISHED\n"
		  "null null PKT_IN RA -/-\n"
		  RESET
		  "null svr NEW_DATA - CLOSED/CLOSED\n"
		  ENDED },
	{ .name = "several sockets: client's packets in the order of registration, server's in reverse", .scene = "exchange",
	  .begin = three, .socks = 2, .told =
		  "snd S: 1 2 3\n"
		  "rcv S: 1 2 3\n"
		  "snd SA: 3 2 1\n"
		  "rcv SA: 3 2 1\n"
		  "snd A: 1 2 3\n"
		  "rcv A: 1 2 3\n"
		  "snd PA: 1 2 3\n"
		  "rcv PA: 1 2 3\n"
		  "snd A: 3 2 1\n"
		  "rcv A: 3 2 1\n"
		  "snd PA: 3 2 1\n"
		  "rcv PA: 3 2 1\n"
		  "snd A: 1 2 3\n"
		  "rcv A: 1 2 3\n"
		  "snd FA: 1 2 3\n"
		  "rcv FA: 1 2 3\n"
		  "snd FA: 3 2 1\n"
		  "rcv FA: 3 2 1\n"
		  "snd A: 1 2 3\n"
		  "rcv A: 1 2 3\n" },
	{ .name = "filters: each socket has its own, for the first packet of a flow", .scene = "two_flows", .begin = filters, .socks = 1,
	  .end = filters_end });
