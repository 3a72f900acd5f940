/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stackctl: what it prints of a segment made by hand, and how it gets on with a stackd played by hand.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/ctl.h"
#include "stackctl/out.h"
#include "stackctl/stackctl.h"

#define NEVER UINT64_MAX /* a time to come: ages are 0 */

static char complaint[512]; /* the last one */

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(complaint, sizeof(complaint), fmt, ap);
	va_end(ap);
}

/* --- A segment made by hand: 2 engines, 3 counters, 1 port, 4 programs, 3 listeners, 4 flows an engine ---------------- */

static struct made {
	struct stat_head head;
	struct stat_name counter[3];
	struct stat_name nic[2];
	uint64_t engine[2][sizeof(struct stat_engine) / 8 + 3]; /* with its counters */
	struct stat_port port[1];
	struct stat_app app[4];
	struct stat_listener listener[3];
	struct stat_monitor monitor[4];
	struct stat_group group[2];
	struct stat_flow flow[2][4];
} *made;

static int made_fd;
static struct segment seg;
static const struct options plain = { .app = -1, .engine = -1, .state = -1 };

static struct stat_engine *engine(unsigned e)
{
	return (struct stat_engine *)made->engine[e];
}

static struct ipaddr ip(const char *text)
{
	struct ipaddr a = { .w = { 0 } };

	a.b[10] = a.b[11] = 0xff;
	ck_assert_int_eq(inet_pton(AF_INET, text, &a.w[3]), 1);
	return a;
}

static void make_segment(void)
{
	made_fd = memfd_create("made", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(made_fd, sizeof(*made)), 0);
	made = mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED, made_fd, 0);
	ck_assert_ptr_ne(made, MAP_FAILED);
	made->head = (struct stat_head){
		.magic = STAT_MAGIC, .abi = SHM_ABI, .size = sizeof(*made), .pid = 4711,
		.engines = 2, .counters = 3, .ports = 1, .apps = 4, .listeners = 3, .flows = 4, .nic_counters = 2,
		.started_us = 1, .started_unix = 1700000000,
		.counter_names_off = offsetof(struct made, counter), .nic_names_off = offsetof(struct made, nic),
		.engine_off = offsetof(struct made, engine), .engine_size = sizeof(made->engine[0]),
		.port_off = offsetof(struct made, port), .app_off = offsetof(struct made, app),
		.listener_off = offsetof(struct made, listener), .flow_off = offsetof(struct made, flow),
		.monitor_off = offsetof(struct made, monitor), .group_off = offsetof(struct made, group), .groups = 2,
		.version = "9.8.7",
	};
	made->counter[0] = (struct stat_name){ "tcp.in", "segments received" };
	made->counter[1] = (struct stat_name){ "tcp.never", "what never happens" };
	made->counter[2] = (struct stat_name){ "ip.in", "packets received" };
	made->nic[0] = (struct stat_name){ "rx_bytes", "" };
	made->nic[1] = (struct stat_name){ "rx_missed", "" };
	for (unsigned e = 0; e < 2; e++) {
		*engine(e) = (struct stat_engine){ .core = (int)e * 2, .conns = 1, .busy_us = 250, .idle_us = 750, .flows_high = 4 };
		engine(e)->n[0] = 100 + e;
		engine(e)->n[2] = 7;
	}
}

static void make_records(void)
{
	made->port[0] = (struct stat_port){
		.name = "p0", .device = "net_af_packet0,iface=v", .mac = { 2, 0, 0, 0, 0, 0xaf }, .mtu = 1500, .queues = 2,
		.address = "10.9.0.1/24", .n = { 3 << 20, 0 },
	};
	made->app[0] = (struct stat_app){
		.id = 5, .pid = 321, .uid = 0, .state = STAT_APP_LIVE, .name = "httpd", .home = 1, .sockets = 2, .ports = 1,
		.listeners = 1, .memory = 2 << 20, .memory_max = 256 << 20, .commands = 10, .events = 20, .wakes = 3,
		.since_us = NEVER,
	};
	made->app[2] = (struct stat_app){
		.id = 6, .pid = 322, .uid = 4123456, .state = STAT_APP_GONE, .name = "x\x1b[2J\"", .bad = 1, .since_us = NEVER,
		.reason = "its ring lied",
	};
	made->monitor[0] = (struct stat_monitor){
		.right = MON_RIGHT_PASSIVE, .group = 1, .sockets = 2, .ring = 4096, .lag = 7, .offered = 100, .delivered = 60,
		.filtered = 30, .lost = 10, .commands = 5, .stale = 1, .wakes = 4,
	};
	made->group[1] = (struct stat_group){
		.members = 1, .memory = 64 << 20, .chunks = 1000, .chunks_used = 10, .evicted = 3, .dropped = 2, .flows = 5,
		.flows_max = 1000, .log_bytes = 2048, .scope = "tcp port 80",
	};
	made->listener[0] = (struct stat_listener){ .app = 5, .port = 80, .backlog = 128, .waiting = 1, .syns = 2 };
	made->listener[1] = (struct stat_listener){ .app = 5, .addr = ip("10.9.0.1"), .port = 81, .reuseport = 1 };
	made->flow[0][1] = (struct stat_flow){
		.app = 5, .local = ip("10.9.0.1"), .peer = ip("10.9.0.2"), .lport = 80, .pport = 40000, .state = 4, .born_us = NEVER,
		.rx_bytes = 100, .tx_bytes = 1536, .srtt_us = 250, .cwnd = 14480, .mss = 1448, .retrans = 1, .tx_queued = 99,
		.rto_us = 200000, .ssthresh = 7240, .in_flight = 2896, .snd_wnd = 65535, .rcv_wnd = 32768, .timeouts = 2, .pmtu = 1500,
		.options = STAT_TS | STAT_WS | STAT_ECN, .cc = CC_RENO,
	};
	made->flow[1][0] = (struct stat_flow){
		.local = ip("10.9.0.1"), .peer = ip("10.9.0.3"), .lport = 80, .pport = 40001, .state = 10, .born_us = NEVER,
	};
}

static void setup(void)
{
	char why[256];

	make_segment();
	make_records();
	ck_assert_msg(segment_map(&seg, made_fd, why, sizeof(why)) == 0, "%s", why);
}

static void teardown(void)
{
	segment_unmap(&seg);
	munmap(made, sizeof(*made));
	close(made_fd);
}

typedef int (*cmd_fn)(const struct segment *s, const struct options *o, FILE *f);

static void prints(cmd_fn cmd, const struct options *o, const char *want)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_int_eq(cmd(&seg, o, f), 0);
	fclose(f);
	ck_assert_str_eq(text, want);
	free(text);
}

/* --- Tables and JSON ------------------------------------------------------------------------------------------------- */

static const struct {
	const char *text, *json;
} string[] = {
	{ "", "\"\"" },
	{ "plain", "\"plain\"" },
	{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\\u007f\"" },
	{ "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"" },
	{ "\xff\x80", "\"\\ufffd\\ufffd\"" },
	{ "\xc0\xaf", "\"\\ufffd\\ufffd\"" },             /* overlong */
	{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },   /* a surrogate */
	{ "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
	{ "cut\xe2\x82", "\"cut\\ufffd\\ufffd\"" },
};

START_TEST(json_strings)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	out_json_string(f, string[_i].text);
	fclose(f);
	ck_assert_str_eq(text, string[_i].json);
	free(text);
}
END_TEST

START_TEST(ages)
{
	static const struct {
		uint64_t us;
		const char *want;
	} age[] = {
		{ 0, "0ms" }, { 999999, "999ms" }, { 1000000, "1.0s" }, { 59990000, "59.9s" }, { 60000000, "1m00s" },
		{ 3599000000, "59m59s" }, { 3600000000, "1h00m" }, { 86400000000, "1d00h" }, { 8640000000000, "100d00h" },
	};
	char text[32];

	for (unsigned i = 0; i < sizeof(age) / sizeof(age[0]); i++) {
		out_age(age[i].us, text, sizeof(text));
		ck_assert_str_eq(text, age[i].want);
	}
}
END_TEST

START_TEST(tables_are_aligned)
{
	static const struct out_col col[] = {
		{ "name", OUT_TEXT }, { "n_bytes", OUT_BYTES }, { "count", OUT_COUNT }, { "up", OUT_BOOL }, { "last", OUT_TEXT },
	};
	static const uint64_t bytes[] = { 0, 1023, 1024, 10240, 5 << 20, UINT64_MAX };
	struct out out;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	out_open(&out, f, false, "rows", col, 5);
	for (unsigned i = 0; i < 6; i++) {
		out_text(&out, i == 2 ? "a long name" : "x");
		out_number(&out, bytes[i]);
		out_number(&out, i * 1000000);
		out_number(&out, i % 2);
		out_text(&out, i == 3 ? "end" : "");
	}
	ck_assert_int_eq(out_close(&out), 0);
	fclose(f);
	ck_assert_str_eq(text, "NAME         N BYTES    COUNT  UP   LAST\n"
	                       "x                  0        0       \n"
	                       "x               1023  1000000  yes  \n"
	                       "a long name     1.0K  2000000       \n"
	                       "x                10K  3000000  yes  end\n"
	                       "x               5.0M  4000000       \n"
	                       "x                16E  5000000  yes  \n");
	free(text);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
	static const struct out_col col[] = { { "x", OUT_COUNT } };
	struct out out;
	FILE *f = fopen("/dev/full", "w");

	ck_assert_ptr_nonnull(f);
	out_open(&out, f, false, "x", col, 1);
	out_number(&out, 1);
	ck_assert_int_eq(out_close(&out), -1);
	fclose(f);
}
END_TEST

/* --- Commands -------------------------------------------------------------------------------------------------------- */

START_TEST(apps)
{
	struct options o = plain;

	prints(cmd_apps, &o,
	       "ID  PID  USER  NAME   STATE  AGE  HOME  SOCKETS  PORTS  LISTENERS  MEMORY  MEMORY MAX  COMMANDS  EVENTS  WAKES"
	       "  BAD  REASON\n"
	       " 5  321  root  httpd  live   0ms     1        2      1          1    2.0M        256M        10      20      3"
	       "    0  \n");
	o.all = true;
	prints(cmd_apps, &o,
	       "ID  PID  USER     NAME    STATE  AGE  HOME  SOCKETS  PORTS  LISTENERS  MEMORY  MEMORY MAX  COMMANDS  EVENTS  WAKES"
	       "  BAD  REASON\n"
	       " 5  321  root     httpd   live   0ms     1        2      1          1    2.0M        256M        10      20      3"
	       "    0  \n"
	       " 6  322  4123456  x?[2J\"  gone   0ms     0        0      0          0       0           0         0       0      0"
	       "    1  its ring lied\n");
}
END_TEST

START_TEST(apps_json)
{
	struct options o = plain;

	o.json = true;
	prints(cmd_apps, &o,
	       "{\"apps\":[\n"
	       "{\"id\":5,\"pid\":321,\"user\":\"root\",\"name\":\"httpd\",\"state\":\"live\",\"age_s\":0.000000,\"home\":1,\"sockets\":2,"
	       "\"ports\":1,\"listeners\":1,\"memory\":2097152,\"memory_max\":268435456,\"commands\":10,\"events\":20,\"wakes\":3,"
	       "\"bad\":0,\"reason\":\"\"},\n"
	       "{\"id\":6,\"pid\":322,\"user\":\"4123456\",\"name\":\"x\\u001b[2J\\\"\",\"state\":\"gone\",\"age_s\":0.000000,\"home\":0,"
	       "\"sockets\":0,\"ports\":0,\"listeners\":0,\"memory\":0,\"memory_max\":0,\"commands\":0,\"events\":0,\"wakes\":0,"
	       "\"bad\":1,\"reason\":\"its ring lied\"}\n"
	       "]}\n");
	memset(made->app, 0, sizeof(made->app));
	prints(cmd_apps, &o, "{\"apps\":[]}\n");
}
END_TEST

START_TEST(listeners)
{
	struct options o = plain;

	prints(cmd_listeners, &o, "ADDRESS  PORT  APP  BACKLOG  WAITING  SYNS  REUSEPORT\n"
	                          "*          80    5      128        1     2  \n");
	o.all = true;
	prints(cmd_listeners, &o, "ADDRESS   PORT  APP  BACKLOG  WAITING  SYNS  REUSEPORT\n"
	                          "*           80    5      128        1     2  \n"
	                          "10.9.0.1    81    5        0        0     0  yes\n");
	o.all = false;
	o.json = true;
	prints(cmd_listeners, &o, "{\"listeners\":[\n{\"address\":\"*\",\"port\":80,\"app\":5,\"backlog\":128,\"waiting\":1,\"syns\":2,"
	                          "\"reuseport\":false}\n]}\n");
	o.app = 6;
	prints(cmd_listeners, &o, "{\"listeners\":[]}\n");
}
END_TEST

#define FLOW_JSON_1 \
	"{\"engine\":0,\"app\":5,\"state\":\"ESTABLISHED\",\"local\":\"10.9.0.1\",\"local_port\":80,\"peer\":\"10.9.0.2\"," \
	"\"peer_port\":40000,\"age_s\":0.000000,\"rx_bytes\":100,\"tx_bytes\":1536,\"rx_queued\":0,\"tx_queued\":99,\"srtt_us\":250," \
	"\"cwnd\":14480,\"mss\":1448,\"retrans\":1,\"timeouts\":2,\"rto_us\":200000,\"ssthresh\":7240,\"in_flight\":2896," \
	"\"snd_wnd\":65535,\"rcv_wnd\":32768,\"pmtu\":1500,\"options\":\"ts,ws,ecn\",\"cc\":\"reno\"}"
#define FLOW_JSON_2 \
	"{\"engine\":1,\"app\":0,\"state\":\"TIME-WAIT\",\"local\":\"10.9.0.1\",\"local_port\":80,\"peer\":\"10.9.0.3\"," \
	"\"peer_port\":40001,\"age_s\":0.000000,\"rx_bytes\":0,\"tx_bytes\":0,\"rx_queued\":0,\"tx_queued\":0,\"srtt_us\":0," \
	"\"cwnd\":0,\"mss\":0,\"retrans\":0,\"timeouts\":0,\"rto_us\":0,\"ssthresh\":0,\"in_flight\":0," \
	"\"snd_wnd\":0,\"rcv_wnd\":0,\"pmtu\":0,\"options\":\"\",\"cc\":\"cubic\"}"
#define FLOWS(x) "{\"flows\":[\n" x "\n]}\n"

static struct ipaddr ip6(const char *text, uint8_t port)
{
	struct ipaddr a;

	ck_assert_int_eq(inet_pton(AF_INET6, text, a.b), 1);
	a.b[3] |= port;
	return a;
}

START_TEST(addresses)
{
	struct options o = plain;
	char text[ADDRESS_TEXT];
	struct ipaddr a = ip6("fd00::1", 0), local = ip6("fe80::1", 3), any = ip6("::", 0), any4 = ip("0.0.0.0");

	ck_assert_str_eq(address_text(&a, false, text), "[fd00::1]");
	ck_assert_str_eq(address_text(&a, true, text), "fd00::1");
	ck_assert_str_eq(address_text(&local, false, text), "[fe80::1%3]");
	ck_assert_str_eq(address_text(&local, true, text), "fe80::1%3");
	ck_assert_str_eq(address_text(&any, false, text), "*");
	ck_assert_str_eq(address_text(&any4, false, text), "0.0.0.0");
	made->listener[0].v6only = 1; /* :: of one family alone */
	prints(cmd_listeners, &o, "ADDRESS  PORT  APP  BACKLOG  WAITING  SYNS  REUSEPORT\n"
	                          "[::]       80    5      128        1     2  \n");
	made->listener[0].v6only = 0;
}
END_TEST

START_TEST(flows)
{
	struct options o = plain;

	prints(cmd_flows, &o,
	       "ENGINE  APP  STATE        LOCAL     LOCAL PORT  PEER      PEER PORT  AGE  RX BYTES  TX BYTES  RX QUEUED  TX QUEUED"
	       "  SRTT US  CWND   MSS  RETRANS  TIMEOUTS  RTO US  SSTHRESH  IN FLIGHT  SND WND  RCV WND  PMTU  OPTIONS    CC\n"
	       "     0    5  ESTABLISHED  10.9.0.1          80  10.9.0.2      40000  0ms       100      1.5K          0         99"
	       "      250   14K  1448        1         2  200000      7.1K       2.8K      64K      32K  1500  ts,ws,ecn  reno\n"
	       "     1    0  TIME-WAIT    10.9.0.1          80  10.9.0.3      40001  0ms         0         0          0          0"
	       "        0     0     0        0         0       0         0          0        0        0     0             cubic\n");
	o.json = true;
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_1 ",\n" FLOW_JSON_2));
}
END_TEST

START_TEST(flows_filters)
{
	struct options o = plain;

	o.json = true;
	o.app = 5;
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_1));
	o.app = -1;
	o.state = state_number("time_wait");
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_2));
	o.state = state_number("closing");
	prints(cmd_flows, &o, "{\"flows\":[]}\n");
	o.state = -1;
	o.engine = 1;
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_2));
	o.engine = -1;
	o.limit = 1;
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_1));
	o.limit = 2;
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_1 ",\n" FLOW_JSON_2));
	o.limit = 0;
	engine(0)->flows_high = 1; /* nobody looks beyond it */
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_2));
	engine(0)->flows_high = UINT64_MAX; /* nor beyond the table */
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_1 ",\n" FLOW_JSON_2));
	made->flow[0][1].version = 1; /* being written, forever */
	prints(cmd_flows, &o, FLOWS(FLOW_JSON_2));
}
END_TEST

#define MONITORS(x, y) "{\"monitors\":[" x "],\n\"groups\":[" y "]}\n"
#define GROUP_TEXT \
	"GROUP  MEMBERS  FLOWS  FLOWS MAX  MEMORY  CHUNKS USED  CHUNKS  EVICTED  DROPPED  LOG BYTES  SCOPE\n" \
	"    1        1      5       1000     64M           10    1000        3        2       2.0K  tcp port 80\n"
#define GROUP_JSON \
	"\n{\"group\":1,\"members\":1,\"flows\":5,\"flows_max\":1000,\"memory\":67108864,\"chunks_used\":10,\"chunks\":1000," \
	"\"evicted\":3,\"dropped\":2,\"log_bytes\":2048,\"scope\":\"tcp port 80\"}\n"

START_TEST(monitors)
{
	struct options o = plain;

	prints(cmd_monitors, &o,
	       "ID  PID  USER  NAME   STATE  MODE     GROUP  SOCKETS  OFFERED  DELIVERED  FILTERED  LOST  LAG  RING  COMMANDS  STALE"
	       "  WAKES\n"
	       " 5  321  root  httpd  live   passive      1        2      100         60        30    10    7  4096         5      1"
	       "      4\n"
	       "\n" GROUP_TEXT);
	made->app[0].state = STAT_APP_GONE;
	prints(cmd_monitors, &o,
	       "ID  PID  USER  NAME  STATE  MODE  GROUP  SOCKETS  OFFERED  DELIVERED  FILTERED  LOST  LAG  RING  COMMANDS  STALE"
	       "  WAKES\n\n" GROUP_TEXT);
	made->monitor[0].right = MON_RIGHT_NONE;
	made->group[1].members = 0;
	o.json = true;
	prints(cmd_monitors, &o, MONITORS("", ""));
}
END_TEST

START_TEST(monitors_inline)
{
	struct options o = plain;
	struct stat_monitor *m = &made->monitor[0];

	m->right = MON_RIGHT_INLINE;
	m->fail_drop = 1;
	m->held = 2;
	m->held_bytes = 3000;
	for (unsigned i = 0; i < 3; i++)
		m->verdict[i] = 20 - i;
	for (unsigned i = 0; i < MON_CAUSES; i++)
		m->decided[i] = i + 1;
	m->breaker_opened = 9;
	m->injected = 11;
	m->resets = 12;
	prints(cmd_monitors, &o,
	       "ID  PID  USER  NAME   STATE  MODE    GROUP  SOCKETS  OFFERED  DELIVERED  FILTERED  LOST  LAG  RING  COMMANDS  STALE"
	       "  WAKES  HELD  HELD BYTES  PASS  DROP  EDIT  ON FAILURE  BY RING  BY DEADLINE  BY DEATH  BY BUDGET  BY NONSENSE"
	       "  BY BREAKER  BREAKER  INJECTED  RESETS\n"
	       " 5  321  root  httpd  live   inline      1        2      100         60        30    10    7  4096         5      1"
	       "      4     2        2.9K    20    19    18  drop              1            2         3          4            5"
	       "           6        9        11      12\n"
	       "\n" GROUP_TEXT);
	o.json = true;
	prints(cmd_monitors, &o,
	       MONITORS("\n{\"id\":5,\"pid\":321,\"user\":\"root\",\"name\":\"httpd\",\"state\":\"live\",\"mode\":\"inline\","
			"\"group\":1,\"sockets\":2,\"offered\":100,\"delivered\":60,\"filtered\":30,\"lost\":10,\"lag\":7,\"ring\":4096,"
			"\"commands\":5,\"stale\":1,\"wakes\":4,\"held\":2,\"held_bytes\":3000,\"pass\":20,\"drop\":19,\"edit\":18,"
			"\"on_failure\":\"drop\",\"by_ring\":1,\"by_deadline\":2,\"by_death\":3,\"by_budget\":4,\"by_nonsense\":5,"
			"\"by_breaker\":6,\"breaker\":9,\"injected\":11,\"resets\":12}\n",
			GROUP_JSON));
}
END_TEST

START_TEST(causes)
{
	ck_assert_int_eq(cause_number("ring"), MON_BY_RING);
	ck_assert_int_eq(cause_number("deadline"), MON_BY_DEADLINE);
	ck_assert_int_eq(cause_number("death"), MON_BY_DEATH);
	ck_assert_int_eq(cause_number("budget"), MON_BY_BUDGET);
	ck_assert_int_eq(cause_number("nonsense"), MON_BY_NONSENSE);
	ck_assert_int_eq(cause_number("breaker"), MON_BY_BREAKER);
	ck_assert_int_eq(cause_number("none"), -1);
}
END_TEST

START_TEST(states)
{
	ck_assert_int_eq(state_number("ESTABLISHED"), 4);
	ck_assert_int_eq(state_number("syn-sent"), 2);
	ck_assert_int_eq(state_number("SYN_RCVD"), 3);
	ck_assert_int_eq(state_number("Time-Wait"), 10);
	ck_assert_int_eq(state_number("time"), -1);
	ck_assert_int_eq(state_number(""), -1);
}
END_TEST

START_TEST(ports)
{
	struct options o = plain;

	prints(cmd_ports, &o, "NAME  DEVICE                  MAC                ADDRESS       MTU  QUEUES  RX BYTES\n"
	                      "p0    net_af_packet0,iface=v  02:00:00:00:00:af  10.9.0.1/24  1500       2      3.0M\n");
	o.all = true;
	prints(cmd_ports, &o, "NAME  DEVICE                  MAC                ADDRESS       MTU  QUEUES  RX BYTES  RX MISSED\n"
	                      "p0    net_af_packet0,iface=v  02:00:00:00:00:af  10.9.0.1/24  1500       2      3.0M          0\n");
	o.json = true;
	prints(cmd_ports, &o,
	       "{\"ports\":[\n{\"name\":\"p0\",\"device\":\"net_af_packet0,iface=v\",\"mac\":\"02:00:00:00:00:af\",\"address\":\"10.9.0.1/24\","
	       "\"mtu\":1500,\"queues\":2,\"rx_bytes\":3145728,\"rx_missed\":0}\n]}\n");
}
END_TEST

/* stats of one view, or of the difference of two. */
static char *stats_text(const struct options *o, const struct counters *since)
{
	struct counters now;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_int_eq(counters_take(&now, &seg), 0);
	if (since != NULL)
		now.when_us = since->when_us + 2000000;
	ck_assert_int_eq(counters_print(&seg, o, &now, since, f), 0);
	fclose(f);
	counters_free(&now);
	return text;
}

START_TEST(stats)
{
	struct options o = plain;
	char *text = stats_text(&o, NULL), *table = strstr(text, "engine 0");

	ck_assert_int_eq(strncmp(text, "stackd 9.8.7, process 4711, up ", 31), 0);
	ck_assert_ptr_nonnull(table);
	ck_assert_str_eq(table, "engine 0 on CPU 0: 1 connections, 25.0% busy\n"
	                        "engine 1 on CPU 2: 1 connections, 25.0% busy\n"
	                        "COUNTER  VALUE  MEANING\n"
	                        "tcp.in     201  segments received\n"
	                        "ip.in       14  packets received\n");
	free(text);
	o.all = true;
	o.engine = 1;
	text = stats_text(&o, NULL);
	ck_assert_str_eq(strstr(text, "engine 1"), "engine 1 on CPU 2: 1 connections, 25.0% busy\n"
	                                           "COUNTER    VALUE  MEANING\n"
	                                           "tcp.in       101  segments received\n"
	                                           "tcp.never      0  what never happens\n"
	                                           "ip.in          7  packets received\n");
	free(text);
}
END_TEST

START_TEST(stats_json)
{
	struct options o = plain;
	char *text;

	o.json = true;
	text = stats_text(&o, NULL);
	ck_assert_str_eq(text, "{\"version\":\"9.8.7\",\"pid\":4711,\"started_unix\":1700000000,\"engines\":["
	                       "{\"engine\":0,\"core\":0,\"connections\":1,\"busy_us\":250,\"idle_us\":750,"
	                       "\"counters\":{\"tcp.in\":100,\"tcp.never\":0,\"ip.in\":7}},"
	                       "{\"engine\":1,\"core\":2,\"connections\":1,\"busy_us\":250,\"idle_us\":750,"
	                       "\"counters\":{\"tcp.in\":101,\"tcp.never\":0,\"ip.in\":7}}]}\n");
	free(text);
}
END_TEST

START_TEST(stats_differences)
{
	struct options o = plain;
	struct counters before;
	char *text;

	ck_assert_int_eq(counters_take(&before, &seg), 0);
	engine(0)->n[0] += 10;
	engine(1)->n[0] += 5;
	text = stats_text(&o, &before);
	ck_assert_str_eq(text, "COUNTER  DIFFERENCE  PER SECOND  MEANING\n"
	                       "tcp.in           15           8  segments received\n");
	free(text);
	o.json = true;
	o.engine = 1;
	text = stats_text(&o, &before);
	ck_assert_str_eq(text, "{\"version\":\"9.8.7\",\"pid\":4711,\"started_unix\":1700000000,\"interval_s\":2.000000,\"engines\":["
	                       "{\"engine\":1,\"core\":2,\"connections\":1,\"busy_us\":250,\"idle_us\":750,"
	                       "\"counters\":{\"tcp.in\":5,\"tcp.never\":0,\"ip.in\":0}}]}\n");
	free(text);
	counters_free(&before);
}
END_TEST

START_TEST(stats_of_no_engine)
{
	struct options o = plain;
	struct attached a = { .sock = -1, .seg = seg };

	o.engine = 2;
	ck_assert_int_eq(cmd_stats(&a, &o, stdout), EXIT_FAILED);
	ck_assert_str_eq(complaint, "there is no engine 2; stackd has 2");
}
END_TEST

/* --- A stackd played by hand ------------------------------------------------------------------------------------------ */

static char path[64];
static pid_t daemon_pid;

/* Receive a message that must have this type. */
static void expect(int sock, uint32_t type, struct ctl_msg *m)
{
	if (ctl_recv(sock, m, 0, 0) != 1 || m->head.type != type || (int)m->body_size != ctl_body_size(type))
		_exit(1);
}

static int accept_hello(int listener, struct ctl_msg *m)
{
	int sock = accept(listener, NULL, NULL);

	expect(sock, CTL_HELLO, m);
	if (m->hello.magic != SHM_MAGIC || m->hello.abi != SHM_ABI || m->hello.flags != HELLO_OPERATOR ||
	    m->hello.lane_size != sizeof(struct ctl_lane) || strcmp(m->hello.name, "stackctl") != 0)
		_exit(2);
	return sock;
}

static int welcome(int listener)
{
	const struct ctl_welcome w = { .abi = SHM_ABI, .engines = 2 };
	struct ctl_msg m;
	int sock = accept_hello(listener, &m);

	ctl_send(sock, CTL_WELCOME, m.head.id, &w, sizeof(w), NULL, 0);
	return sock;
}

static void reply(int sock, const struct ctl_msg *m, int err, int fd)
{
	const struct ctl_reply r = { .err = err };

	ctl_send(sock, CTL_REPLY, m->head.id, &r, sizeof(r), fd >= 0 ? &fd : NULL, fd >= 0);
}

static void play_good(int listener)
{
	int sock = welcome(listener);
	struct ctl_msg m;

	expect(sock, CTL_STATS, &m);
	ctl_send(sock, CTL_READY, 0, NULL, 0, NULL, 0); /* not what was asked for: passed over */
	reply(sock, &m, 0, made_fd);
	expect(sock, CTL_STATS, &m);
	engine(0)->n[0] += 50;
	reply(sock, &m, 0, made_fd);
	expect(sock, CTL_SHUT, &m);
	reply(sock, &m, m.sock.cookie == 5 ? 0 : EINVAL, -1);
	expect(sock, CTL_SHUT, &m);
	reply(sock, &m, ENOENT, -1);
	expect(sock, CTL_MON_FAULT, &m);
	reply(sock, &m, m.mon_fault.app == 5 && m.mon_fault.cause == MON_BY_DEATH && m.mon_fault.times == 3 ? 0 : EINVAL, -1);
	expect(sock, CTL_MON_FAULT, &m);
	reply(sock, &m, ESRCH, -1);
}

static void play_refusing(int listener)
{
	struct ctl_refused r = { .err = EPROTO, .text = "stackd 1 speaks ABI 1, you speak 2" };
	struct ctl_msg m;
	int sock = accept_hello(listener, &m);

	ctl_send(sock, CTL_REFUSED, m.head.id, &r, sizeof(r), NULL, 0);
}

static void play_forbidding(int listener)
{
	int sock = welcome(listener);
	struct ctl_msg m;

	expect(sock, CTL_STATS, &m);
	reply(sock, &m, EPERM, -1);
	expect(sock, CTL_SHUT, &m);
	reply(sock, &m, EPERM, -1);
}

static void play_dying(int listener)
{
	struct ctl_msg m;

	close(accept_hello(listener, &m));
}

static void play_without_fd(int listener)
{
	int sock = welcome(listener);
	struct ctl_msg m;

	expect(sock, CTL_STATS, &m);
	reply(sock, &m, 0, -1);
}

static void play_junk_segment(int listener)
{
	int sock = welcome(listener);
	struct ctl_msg m;

	expect(sock, CTL_STATS, &m);
	made->head.abi = 99;
	reply(sock, &m, 0, made_fd);
}

static void play_short_answer(int listener)
{
	struct ctl_msg m;
	int sock = accept_hello(listener, &m);

	ctl_send(sock, CTL_WELCOME, m.head.id, "x", 1, NULL, 0);
}

static void play(void (*part)(int listener))
{
	int listener;

	snprintf(path, sizeof(path), "/tmp/test_stackctl.%d", getpid());
	listener = ctl_listen_at(path, 0600);
	ck_assert_int_ge(listener, 0);
	daemon_pid = fork();
	ck_assert_int_ge(daemon_pid, 0);
	if (daemon_pid == 0) {
		alarm(30);
		part(listener);
		_exit(0);
	}
	close(listener);
}

static void played(void)
{
	int status;

	unlink(path);
	ck_assert_int_eq(waitpid(daemon_pid, &status, 0), daemon_pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(operator_session)
{
	struct attached a;

	play(play_good);
	ck_assert_int_eq(attach_open(&a, path), 0);
	ck_assert_int_eq(attach_refresh(&a), 0);
	ck_assert_uint_eq(segment_counter(&a.seg, 0, 0), 100);
	ck_assert_int_eq(attach_refresh(&a), 0);
	ck_assert_uint_eq(segment_counter(&a.seg, 0, 0), 150);
	ck_assert_int_eq(attach_detach(&a, 5), 0);
	ck_assert_int_eq(attach_detach(&a, 77), EXIT_FAILED);
	ck_assert_str_eq(complaint, "there is no program 77; \"stackctl apps\" lists them");
	ck_assert_int_eq(attach_fault(&a, 5, MON_BY_DEATH, 3), 0);
	ck_assert_int_eq(attach_fault(&a, 6, MON_BY_DEATH, 3), EXIT_FAILED);
	ck_assert_str_eq(complaint, "there is no program 6 that monitors; \"stackctl monitors\" lists them");
	attach_close(&a);
	played();
}
END_TEST

START_TEST(not_running)
{
	struct attached a;
	int fd;

	ck_assert_int_eq(attach_open(&a, "/nonexistent/stackd.sock"), EXIT_NOT_RUNNING);
	ck_assert_str_eq(complaint, "stackd is not running: nobody listens at /nonexistent/stackd.sock");
	/* a stale socket */
	snprintf(path, sizeof(path), "/tmp/test_stackctl.%d", getpid());
	fd = ctl_listen_at(path, 0600);
	close(fd);
	ck_assert_int_eq(attach_open(&a, path), EXIT_NOT_RUNNING);
	ck_assert_ptr_nonnull(strstr(complaint, "stackd is not running"));
	unlink(path);
}
END_TEST

START_TEST(refused)
{
	struct attached a;

	play(play_refusing);
	ck_assert_int_eq(attach_open(&a, path), EXIT_REFUSED);
	ck_assert_str_eq(complaint, "stackd refuses: stackd 1 speaks ABI 1, you speak 2");
	played();
}
END_TEST

START_TEST(forbidden)
{
	struct attached a;

	play(play_forbidding);
	ck_assert_int_eq(attach_open(&a, path), 0);
	ck_assert_int_eq(attach_refresh(&a), EXIT_REFUSED);
	ck_assert_str_eq(complaint, "stackd refuses to show its statistics: Operation not permitted");
	ck_assert_int_eq(attach_detach(&a, 5), EXIT_REFUSED);
	attach_close(&a);
	played();
}
END_TEST

START_TEST(stackd_dies)
{
	struct attached a;

	play(play_dying);
	ck_assert_int_eq(attach_open(&a, path), EXIT_NOT_RUNNING);
	ck_assert_str_eq(complaint, "stackd has gone");
	played();
}
END_TEST

START_TEST(answers_that_make_no_sense)
{
	static const struct {
		void (*part)(int listener);
		const char *want;
	} bad[] = {
		{ play_without_fd, "stackd sent no statistics" },
		{ play_junk_segment, "stackd 9.8.7 shows its statistics in another form than this stackctl " STACKD_VERSION " reads" },
		{ play_short_answer, "stackd's answer is of another version than this stackctl " STACKD_VERSION },
	};
	struct attached a;
	int rc;

	play(bad[_i].part);
	rc = attach_open(&a, path);
	if (rc == 0) {
		rc = attach_refresh(&a);
		attach_close(&a);
	}
	ck_assert_int_eq(rc, EXIT_FAILED);
	ck_assert_str_eq(complaint, bad[_i].want);
	played();
}
END_TEST

/* --- The program ------------------------------------------------------------------------------------------------------ */

static int run_program(char *const argv[])
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
			_exit(99);
		execv("stackctl/stackctl", argv);
		_exit(98);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define RUN(...) run_program((char *const[]){ (char *)"stackctl", __VA_ARGS__, NULL })
#define A(x) (char *)(x)

START_TEST(exit_status)
{
	ck_assert_int_eq(RUN(A("--help")), 0);
	ck_assert_int_eq(RUN(A("--version")), 0);
	ck_assert_int_eq(RUN(A("--no-such-option")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("no-such-command")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("--json")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("apps"), A("more")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("detach")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("fault"), A("1"), A("death")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("fault"), A("1"), A("life"), A("1")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("flows"), A("--limit"), A("-1")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("flows"), A("--app"), A("1x")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("flows"), A("--state"), A("asleep")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("stats"), A("--engine"), A("64")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("stats"), A("--watch"), A("0")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("apps"), A("--watch"), A("1")), EXIT_USAGE); /* an option of another command */
	ck_assert_int_eq(RUN(A("listeners"), A("--limit"), A("1")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("stats"), A("--app"), A("1")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("stats"), A("--count"), A("1")), EXIT_USAGE);
	ck_assert_int_eq(RUN(A("stats"), A("-s"), A("/nonexistent/sock"), A("--watch"), A("1"), A("--count"), A("1")), EXIT_NOT_RUNNING);
	ck_assert_int_eq(RUN(A("flows"), A("-s"), A("/nonexistent/sock"), A("--app"), A("1"), A("--all")), EXIT_NOT_RUNNING);
	ck_assert_int_eq(RUN(A("-s"), A("/nonexistent/stackd.sock"), A("apps")), EXIT_NOT_RUNNING);
	ck_assert_int_eq(RUN(A("apps"), A("--socket"), A("/nonexistent/stackd.sock")), EXIT_NOT_RUNNING);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stackctl");
	TCase *t = tcase_create("stackctl");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, json_strings, 0, sizeof(string) / sizeof(string[0]));
	tcase_add_test(t, ages);
	tcase_add_test(t, tables_are_aligned);
	tcase_add_test(t, a_full_disk_is_told);
	tcase_add_test(t, apps);
	tcase_add_test(t, apps_json);
	tcase_add_test(t, listeners);
	tcase_add_test(t, addresses);
	tcase_add_test(t, flows);
	tcase_add_test(t, flows_filters);
	tcase_add_test(t, monitors);
	tcase_add_test(t, monitors_inline);
	tcase_add_test(t, causes);
	tcase_add_test(t, states);
	tcase_add_test(t, ports);
	tcase_add_test(t, stats);
	tcase_add_test(t, stats_json);
	tcase_add_test(t, stats_differences);
	tcase_add_test(t, stats_of_no_engine);
	tcase_add_test(t, operator_session);
	tcase_add_test(t, not_running);
	tcase_add_test(t, refused);
	tcase_add_test(t, forbidden);
	tcase_add_test(t, stackd_dies);
	tcase_add_loop_test(t, answers_that_make_no_sense, 0, 3);
	tcase_add_test(t, exit_status);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
