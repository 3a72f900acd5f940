/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The configuration's keys.  conf.c reads files by this table, conf_value.c stores by it; --keys, the man page and the sample
 * file's test print it.
 */
#include "stackd/conf_keys.h"

#include <stdlib.h>
#include <string.h>

#define LIST(field, count, n) \
	.list = true, .off = offsetof(struct conf, field), .stride = sizeof(((struct conf *)0)->field[0]), \
	.count_off = offsetof(struct conf, count), .max = (n)

const struct conf_section conf_section[] = {
	{ "engines", .help = "the threads that run TCP" },
	{ "memory", .help = "packet buffers" },
	{ "ports", LIST(port, ports, NET_PORTS_MAX), .help = "network ports, one group each" },
	{ "routes", LIST(route, routes, NET_ROUTES_MAX), .help = "static routes, one group each" },
	{ "net", .help = "ARP, IP, ICMP and neighbour discovery" },
	{ "control", .help = "the socket that programs and stackctl attach to" },
	{ "tcp", .help = "TCP" },
	{ "monitor", .help = "flows that monitors watch" },
	/* one place is kept for the rule that lets root in */
	{ "clients", LIST(client, clients, CONF_CLIENTS_MAX - 1),
	  .help = "who may attach, one rule each; the first that matches decides" },
};
const unsigned conf_sections = sizeof(conf_section) / sizeof(conf_section[0]);

#define AT(type, field) .off = offsetof(struct type, field), .size = sizeof(((struct type *)0)->field)
#define C(field) AT(conf, field)
#define P(field) AT(conf_port, field)
#define R(field) AT(conf_route, field)
#define L(field) AT(conf_client, field)
#define U32 4294967295.0

/* path, type, default, min, max, unit or words, meaning, where */
const struct conf_key conf_key[] = {
	{ "engines.cores", CONF_NUMBERS, "0", 0, 1023, "CPU numbers", "one engine runs on each of these CPUs", C(core),
	  .off2 = offsetof(struct conf, cores) },
	{ "engines.idle", CONF_WORD, "adaptive", 0, 0, "adaptive|poll",
	  "adaptive: sleep when there is nothing to do; poll: burn the CPU, for the lowest latency", C(idle) },
	{ "engines.max_flows", CONF_NUMBER, "1000000", 64, 16777216, "connections", "bound of each engine's connection table",
	  C(max_flows) },
	{ "engines.spin_us", CONF_NUMBER, "20", 0, 1000000, "us",
	  "how long engines and programs look for work before they sleep", C(spin_us) },

	{ "memory.hugepages", CONF_WORD, "auto", 0, 0, "auto|always|never",
	  "auto: use hugepages when there are enough; always: refuse to start without", C(hugepages), .words_kept = true },
	{ "memory.packets", CONF_NUMBER, "65536", 1024, 8388608, "buffers", "packet buffers of each port", C(packets) },

	{ "ports.name", CONF_STRING, NULL, 1, 0, "", "the port's name, as routes and stackctl use it", P(name), .need = true },
	{ "ports.device", CONF_STRING, NULL, 1, 0, "", "DPDK device string", P(device), .need = true },
	{ "ports.mode", CONF_WORD, "endpoint", 0, 0, "endpoint|bridge|tap|replay",
	  "endpoint: programs have connections there; bridge: frames go on to the peer; tap: only looked at; replay: a capture file", P(mode) },
	{ "ports.peer", CONF_STRING, "", 0, 0, "", "mode bridge: the name of the other port", P(peer) },
	{ "ports.address", CONF_ADDRS, NULL, 0, 0, "address/prefix", "IPv4 and IPv6 addresses, one or a list; without one of IPv6 the port does not speak it", P(addr),
	  .off2 = offsetof(struct conf_port, addrs) },
	{ "ports.gateway", CONF_ROUTERS, "", 0, 0, "address", "default router, in one of the port's networks; one of each family in a list",
	  P(gateway) },
	{ "ports.mtu", CONF_NUMBER, "1500", 576, 9000, "bytes", "largest IP packet", P(mtu) },
	{ "ports.vlan", CONF_NUMBER, "0", 0, 4094, "", "802.1Q VLAN of all traffic; 0: untagged", P(vlan) },
	{ "ports.replay.speed", CONF_WORD, "max", 0, 0, "max|real",
	  "max: as fast as it is read (and lossless monitors follow); real: by the capture's time", P(replay_speed) },
	{ "ports.replay.at_end", CONF_WORD, "stay", 0, 0, "stay|exit", "what stackd does when the capture has ended", P(replay_end) },
	{ "ports.replay.wait_for", CONF_NUMBER, "0", 0, 64, "monitors", "begin when so many monitor sockets are there",
	  P(replay_wait) },
	{ "ports.fault.loss", CONF_REAL, "0", 0, 1, "probability", "frames lost, for tests; both directions", P(fault.loss) },
	{ "ports.fault.reorder", CONF_REAL, "0", 0, 1, "probability", "frames overtaken by later ones", P(fault.reorder) },
	{ "ports.fault.duplicate", CONF_REAL, "0", 0, 1, "probability", "frames sent twice", P(fault.duplicate) },
	{ "ports.fault.corrupt", CONF_REAL, "0", 0, 1, "probability", "frames with a flipped bit", P(fault.corrupt) },
	{ "ports.fault.delay_ms", CONF_NUMBER, "0", 0, 10000, "ms", "delay of every frame, each way", P(fault.delay_us),
	  .scale = 1000 },
	{ "ports.fault.jitter_ms", CONF_NUMBER, "0", 0, 10000, "ms", "random part added to the delay", P(fault.jitter_us),
	  .scale = 1000 },
	{ "ports.fault.rate_mbit", CONF_NUMBER, "0", 0, 400000, "Mbit/s", "bottleneck, each way; 0: none", P(fault.rate_mbit) },
	{ "ports.fault.limit", CONF_SIZE, "1M", 2048, 1073741824, "bytes", "queue before the bottleneck", P(fault.limit_bytes) },
	{ "ports.fault.seed", CONF_NUMBER, "1", 0, 2147483647, "", "of the generator: the same seed, the same faults",
	  P(fault.seed) },

	{ "routes.to", CONF_PREFIX, NULL, 0, 0, "address/prefix", "the network", R(dst),
	  .off2 = offsetof(struct conf_route, prefix), .need = true },
	{ "routes.via", CONF_ADDR, NULL, 0, 0, "address", "the router", R(via), .need = true },
	{ "routes.port", CONF_STRING, "", 0, 0, "", "the port's name; found from via when empty", R(port) },

	{ "net.arp_entries", CONF_NUMBER, "1024", 16, 1048576, "neighbours", "bound of the neighbour cache, of each family", C(arp_entries) },
	{ "net.arp_age_s", CONF_NUMBER, "300", 1, 86400, "s", "a neighbour of IPv4 is asked again after this time", C(arp_age_s) },
	{ "net.nd_age_s", CONF_NUMBER, "30", 1, 86400, "s", "a neighbour of IPv6 is asked again after this time", C(nd_age_s) },
	{ "net.dad", CONF_NUMBER, "1", 0, 10, "messages", "that ask for duplicates, a second each, before an IPv6 address is used; 0: none",
	  C(dad) },
	{ "net.frag_entries", CONF_NUMBER, "256", 1, 65536, "datagrams", "bound of datagrams being put together",
	  C(frag_entries) },
	{ "net.frag_timeout_ms", CONF_NUMBER, "30000", 100, 120000, "ms", "how long fragments wait for the rest",
	  C(frag_timeout_ms) },
	{ "net.icmp_rate", CONF_NUMBER, "1000", 0, 1000000, "messages/s", "bound of ICMP messages sent, per engine", C(icmp_rate) },

	{ "control.socket", CONF_STRING, "/run/stackd/stackd.sock", 1, 0, "path", "the Unix socket", C(socket) },
	{ "control.mode", CONF_OCTAL, "0666", 0, 0777, "", "its permissions; the rules in clients decide who may attach",
	  C(socket_mode) },
	{ "control.max_clients", CONF_NUMBER, "256", 1, 1024, "contexts", "attached at once", C(max_clients) },
	{ "control.ring_slots", CONF_NUMBER, "1024", 64, 65536, "slots", "of each ring; a power of two", C(ring_slots) },
	{ "control.user", CONF_STRING, "", 0, 0, "", "become this user when the ports are open; empty: stay who you are", C(user) },

	{ "tcp.congestion", CONF_WORD, "cubic", 0, 0, "cubic|reno", "congestion control (RFC 9438, RFC 6582)", C(tcp.congestion) },
	{ "tcp.ecn", CONF_WORD, "passive", 0, 0, "off|on|passive",
	  "explicit congestion notification (RFC 3168): asked for and granted (on), or granted only", C(tcp.ecn) },
	{ "tcp.time_wait_s", CONF_NUMBER, "60", 0, 240, "s", "how long TIME-WAIT lasts: 2 MSL", C(tcp.time_wait_ms),
	  .scale = 1000 },
	{ "tcp.fin_wait2_s", CONF_NUMBER, "60", 1, 7200, "s", "FIN-WAIT-2 of a closed connection ends after this time",
	  C(tcp.fin_wait2_ms), .scale = 1000 },
	{ "tcp.rcvbuf_initial", CONF_SIZE, "64K", 4096, 1073741824, "bytes", "receive window of a new connection",
	  C(tcp.rcvbuf_initial) },
	{ "tcp.rcvbuf_max", CONF_SIZE, "4M", 4096, 1073741824, "bytes", "bound it grows to", C(tcp.rcvbuf_max) },
	{ "tcp.sndbuf_initial", CONF_SIZE, "64K", 4096, 1073741824, "bytes", "what a program may queue on a new connection",
	  C(tcp.sndbuf_initial) },
	{ "tcp.sndbuf_max", CONF_SIZE, "4M", 4096, 1073741824, "bytes", "bound it grows to", C(tcp.sndbuf_max) },
	{ "tcp.initial_cwnd", CONF_NUMBER, "10", 1, 100, "segments", "initial congestion window (RFC 6928)", C(tcp.initial_cwnd) },
	{ "tcp.rto_initial_ms", CONF_NUMBER, "1000", 100, 60000, "ms", "retransmission timeout before a round trip is measured",
	  C(tcp.rto_initial_ms) },
	{ "tcp.rto_min_ms", CONF_NUMBER, "200", 1, 60000, "ms", "the least that it is above the round trip", C(tcp.rto_min_ms) },
	{ "tcp.rto_max_ms", CONF_NUMBER, "120000", 1000, 600000, "ms", "its upper bound", C(tcp.rto_max_ms) },
	{ "tcp.delack_ms", CONF_NUMBER, "40", 0, 500, "ms", "an acknowledgement is delayed this long at most", C(tcp.delack_ms) },
	{ "tcp.quick_acks", CONF_NUMBER, "16", 0, 16, "", "so many acknowledgements at most are not delayed at first and after a pause, as in Linux",
	  C(tcp.quick_acks) },
	{ "tcp.syn_queue", CONF_NUMBER, "1024", 1, 1048576, "connections",
	  "half-open connections of one listener before SYN cookies are sent", C(tcp.syn_queue) },
	{ "tcp.syn_cookies", CONF_BOOL, "true", 0, 0, "", "answer with SYN cookies then, instead of dropping (RFC 4987)",
	  C(tcp.syn_cookies) },
	{ "tcp.syn_retries", CONF_NUMBER, "7", 0, 32, "", "a SYN is repeated this often", C(tcp.syn_retries) },
	{ "tcp.syn_ack_retries", CONF_NUMBER, "5", 0, 32, "", "a SYN-ACK is repeated this often", C(tcp.syn_ack_retries) },
	{ "tcp.data_retries", CONF_NUMBER, "15", 1, 64, "", "data is repeated this often before the connection is given up",
	  C(tcp.data_retries) },
	{ "tcp.orphan_retries", CONF_NUMBER, "8", 0, 64, "", "the same for a connection its program has closed",
	  C(tcp.orphan_retries) },
	{ "tcp.mtu_probing", CONF_NUMBER, "1", 0, 2, "",
	  "0: only routers tell a path's MTU; 1: also when large segments vanish (RFC 4821); 2: begin small and try larger ones",
	  C(tcp.mtu_probing) },
	{ "tcp.mtu_raise_s", CONF_NUMBER, "600", 20, 86400, "s", "a larger MTU is tried again after this time; so long a destination's is remembered", C(tcp.mtu_raise_s) },
	{ "tcp.max_mss", CONF_NUMBER, "0", 0, 8960, "bytes", "largest segment, both ways; 0: what the port's MTU allows",
	  C(tcp.max_mss) },
	{ "tcp.max_orphans", CONF_NUMBER, "16384", 0, 16777216, "connections",
	  "closed by their programs and still sending, per engine; beyond that, closing resets", C(tcp.max_orphans) },
	{ "tcp.challenge_limit", CONF_NUMBER, "1000", 1, 1000000, "",
	  "challenge ACKs (RFC 5961) of an engine in a second: this number on average, a different one each second",
	  C(tcp.challenge_limit) },
	{ "tcp.keepidle_s", CONF_NUMBER, "7200", 1, 1000000, "s", "SO_KEEPALIVE: silence before the first probe",
	  C(tcp.keepidle_s) },
	{ "tcp.keepintvl_s", CONF_NUMBER, "75", 1, 100000, "s", "time between probes", C(tcp.keepintvl_s) },
	{ "tcp.keepcnt", CONF_NUMBER, "9", 1, 255, "", "probes before the connection is given up", C(tcp.keepcnt) },
	{ "tcp.timestamps", CONF_BOOL, "true", 0, 0, "", "offer and accept timestamps (RFC 7323)", C(tcp.timestamps) },
	{ "tcp.sack", CONF_BOOL, "true", 0, 0, "", "offer and accept selective acknowledgement (RFC 2018)", C(tcp.sack) },
	{ "tcp.window_scaling", CONF_BOOL, "true", 0, 0, "", "offer and accept window scaling (RFC 7323)", C(tcp.window_scaling) },
	{ "tcp.port_min", CONF_NUMBER, "32768", 1, 65535, "", "first port of those chosen by stackd", C(tcp.port_min) },
	{ "tcp.port_max", CONF_NUMBER, "60999", 1, 65535, "", "last one", C(tcp.port_max) },

	{ "monitor.max_flows", CONF_NUMBER, "262144", 64, 16777216, "flows", "watched at once, per engine", C(monitor.max_flows) },
	{ "monitor.memory", CONF_SIZE, "512M", 4194304, 1099511627776.0, "bytes",
	  "of streams, flow records and packet log, per group of monitors and engine; touched as it is needed", C(monitor.memory) },
	{ "monitor.log", CONF_SIZE, "32M", 1048576, 4294967296.0, "bytes", "of that, for the packet log; a power of two",
	  C(monitor.log_bytes) },
	{ "monitor.buffer_max", CONF_SIZE, "4M", 16384, 29360128, "bytes", "of one stream; older bytes make room for newer ones",
	  C(monitor.buffer_max) },
	{ "monitor.idle_timeout_s", CONF_NUMBER, "300", 1, 31536000, "s", "a flow without packets for so long has ended",
	  C(monitor.idle_timeout_s) },
	{ "monitor.time_wait_ms", CONF_NUMBER, "2000", 0, 86400000, "ms", "a closed flow is kept for stragglers", C(monitor.time_wait_ms) },
	{ "monitor.pickup", CONF_BOOL, "true", 0, 0, "", "flows may begin in the middle; else their packets are orphans",
	  C(monitor.pickup) },

	{ "clients.user", CONF_USER, "", 0, 0, "", "the rule is for this user (name or number); \"*\": for everybody", L(uid) },
	{ "clients.group", CONF_GROUP, "", 0, 0, "", "the rule is for members of this group; with user: both must be true", L(gid) },
	{ "clients.endpoint", CONF_BOOL, "false", 0, 0, "", "may open and accept connections", L(endpoint) },
	{ "clients.operator", CONF_BOOL, "false", 0, 0, "", "may use stackctl", L(operator_) },
	{ "clients.ports", CONF_PORTS, "1024-65535", 1, 65535, "ports", "may be bound: \"80,443,1024-65535\"; \"\": none", L(port),
	  .off2 = offsetof(struct conf_client, ports) },
	{ "clients.max_sockets", CONF_NUMBER, "10000", 1, 16777216, "connections", "of one context, on each engine",
	  L(max_sockets) },
	{ "clients.max_contexts", CONF_NUMBER, "16", 1, 1024, "contexts", "of one process", L(max_contexts) },
	{ "clients.user_contexts", CONF_NUMBER, "128", 1, 1024, "contexts", "of all processes of one user", L(user_contexts) },
	{ "clients.monitor", CONF_WORD, "none", 0, 0, "none|passive|inline",
	  "passive: may watch the flows of scope; inline: may hold, change and drop their packets, too", L(monitor) },
	{ "clients.scope", CONF_STRING, "", 0, 0, "pcap expression", "what it may watch, by a flow's first packet; empty: everything",
	  L(scope) },
	{ "clients.on_failure", CONF_WORD, "none", 0, 0, "none|pass|drop",
	  "inline: what becomes of a packet without a verdict; must be said", L(on_failure) },
	{ "clients.deadline_ms", CONF_NUMBER, "5", 1, 1000, "ms", "inline: time for a verdict", L(deadline_ms) },
	{ "clients.hold_packets", CONF_NUMBER, "4096", 1, 262144, "packets", "inline: bound of packets that wait, per engine",
	  L(hold_packets) },
	{ "clients.hold_bytes", CONF_SIZE, "8M", 65536, 4294967295.0, "bytes", "inline: bound of their bytes", L(hold_bytes) },
	{ "clients.monitor_ring", CONF_NUMBER, "16384", 64, 1048576, "slots",
	  "event records of one monitor context and engine that may be unread; a power of two", L(monitor_ring) },
	{ "clients.max_monitor_sockets", CONF_NUMBER, "16", 1, 64, "sockets", "monitor sockets of all processes of one user; there are 64",
	  L(max_monitor_sockets) },
	{ "clients.max_filter_steps", CONF_NUMBER, "1024", 64, 262144, "instructions",
	  "what the filters of all monitors of one user may take of one packet", L(max_filter_steps) },
	{ "clients.memory", CONF_SIZE, "256M", 4194304, 1099511627776.0, "bytes", "payload memory of one context, both directions",
	  L(memory) },
};
const unsigned conf_keys = sizeof(conf_key) / sizeof(conf_key[0]);

/* Whether the key's path starts with the section's name; then what follows its dot. */
static const char *below(const struct conf_key *k, const struct conf_section *s)
{
	size_t n = strlen(s->name);

	return strncmp(k->path, s->name, n) == 0 && k->path[n] == '.' ? k->path + n + 1 : NULL;
}

const struct conf_section *conf_section_find(const char *name)
{
	for (unsigned i = 0; i < conf_sections; i++)
		if (strcmp(conf_section[i].name, name) == 0)
			return &conf_section[i];
	return NULL;
}

const struct conf_key *conf_key_find(const struct conf_section *s, const char *name)
{
	for (unsigned i = 0; i < conf_keys; i++) {
		const char *p = below(&conf_key[i], s);

		if (p != NULL && strcmp(p, name) == 0)
			return &conf_key[i];
	}
	return NULL;
}

bool conf_key_is_group(const struct conf_section *s, const char *name)
{
	size_t n = strlen(name);

	for (unsigned i = 0; i < conf_keys; i++) {
		const char *p = below(&conf_key[i], s);

		if (p != NULL && strncmp(p, name, n) == 0 && p[n] == '.')
			return true;
	}
	return false;
}

void conf_section_default(const struct conf_section *s, void *base)
{
	char why[CONF_WHY];

	for (unsigned i = 0; i < conf_keys; i++)
		if (below(&conf_key[i], s) != NULL && conf_key[i].def != NULL &&
		    conf_value_set(&conf_key[i], base, conf_key[i].def, why) < 0)
			abort(); /* the table contradicts itself: test_conf finds that */
}

/* Levenshtein's distance, of names up to 31 bytes. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[32], n = (unsigned)strlen(b);

	if (n > 31 || strlen(a) > 31)
		return 99;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 0; a[i] != '\0'; i++) {
		unsigned corner = row[0];

		row[0] = i + 1;
		for (unsigned j = 1; j <= n; j++) {
			unsigned best = corner + (a[i] != b[j - 1]);

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

struct near {
	const char *want, *name;
	unsigned best;
};

static void nearer(struct near *n, const char *name)
{
	unsigned d = distance(n->want, name);

	/* an unfinished word is near, too: "gate" is gateway */
	if (strlen(n->want) >= 3 && strncmp(n->want, name, strlen(n->want)) == 0)
		d = 1;
	if (d < n->best) {
		n->best = d;
		n->name = name;
	}
}

const char *conf_key_near(const struct conf_section *s, const char *group, const char *name)
{
	struct near n = { name, NULL, (unsigned)strlen(name) / 3 + 2 };
	size_t skip = strlen(group);

	if (s == NULL) {
		for (unsigned i = 0; i < conf_sections; i++)
			nearer(&n, conf_section[i].name);
		return n.name;
	}
	for (unsigned i = 0; i < conf_keys; i++) {
		const char *p = below(&conf_key[i], s);

		if (p != NULL && strncmp(p, group, skip) == 0)
			nearer(&n, p + skip);
	}
	return n.name;
}
