/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The configuration: values, errors and their wording, rules, and that table and sample file say the same.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <check.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stackd/conf.h"
#include "stackd/conf_keys.h"

#define PORT "ports = ( { name = \"p0\"; device = \"net_null0\"; address = \"10.9.0.1/24\"; } );\n"

static struct conf c;
static char *errors; /* what conf_read() printed last */

/* Read a file with this text; the errors name it as "FILE". */
static int read_text(const char *text)
{
	char path[] = "/tmp/test_conf.XXXXXX", *raw = NULL, *at;
	size_t size;
	int rc, fd = mkstemp(path);
	FILE *err = open_memstream(&raw, &size);

	ck_assert(fd >= 0 && err != NULL);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	rc = conf_read(&c, path, err);
	fclose(err);
	unlink(path);
	while ((at = strstr(raw, path)) != NULL) {
		memcpy(at, "FILE", 4);
		memmove(at + 4, at + strlen(path), strlen(at + strlen(path)) + 1);
	}
	free(errors);
	errors = raw;
	return rc;
}

static void good(const char *text)
{
	ck_assert_msg(read_text(text) == 0, "%s", errors);
	ck_assert_str_eq(errors, "");
}

/* text, after a good port, is refused with exactly these errors. */
static void bad(const char *text, const char *want)
{
	char whole[2048];

	snprintf(whole, sizeof(whole), "%s%s", PORT, text);
	ck_assert_int_eq(read_text(whole), -1);
	ck_assert_str_eq(errors, want);
}

static char *printed(const struct conf *conf)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	conf_print(conf, f);
	fclose(f);
	return text;
}

START_TEST(test_defaults)
{
	good(PORT);
	ck_assert_uint_eq(c.cores, 1);
	ck_assert_int_eq(c.core[0], 0);
	ck_assert_int_eq(c.idle, CONF_IDLE_ADAPTIVE);
	ck_assert_uint_eq(c.max_flows, 1000000);
	ck_assert_uint_eq(c.tcp.max_conns, 1000000);
	ck_assert_uint_eq(c.tcp.time_wait_ms, 60000);
	ck_assert_uint_eq(c.tcp.rcvbuf_max, 4194304);
	ck_assert_int_eq(c.tcp.congestion, CC_CUBIC);
	ck_assert(c.tcp.timestamps && c.tcp.sack && c.tcp.window_scaling && c.tcp.syn_cookies);
	ck_assert_uint_eq(c.socket_mode, 0666);
	ck_assert_str_eq(c.socket, "/run/stackd/stackd.sock");
	ck_assert_str_eq(c.hugepages, "auto");
	ck_assert_uint_eq(c.port[0].mtu, 1500);
	ck_assert(!c.port[0].fault.on);
	ck_assert_uint_eq(c.port[0].fault.seed, 1);
}
END_TEST

/* The table is the truth; tests of tcp/ use the other. */
START_TEST(test_tcp_has_the_same_defaults)
{
	static struct conf tcp;
	char ours[CONF_TEXT], theirs[CONF_TEXT];

	conf_default(&c);
	tcp_conf_default(&tcp.tcp);
	for (unsigned i = 0; i < conf_keys; i++) {
		if (strncmp(conf_key[i].path, "tcp.", 4) != 0)
			continue;
		conf_value_get(&conf_key[i], &c, ours, sizeof(ours));
		conf_value_get(&conf_key[i], &tcp, theirs, sizeof(theirs));
		ck_assert_msg(strcmp(ours, theirs) == 0, "%s: table %s, tcp_conf_default %s", conf_key[i].path, ours, theirs);
	}
}
END_TEST

START_TEST(test_every_secret_differs)
{
	uint8_t first[32], zero[32] = { 0 };

	conf_default(&c);
	memcpy(first, c.tcp.secret, sizeof(first));
	ck_assert_mem_ne(first, zero, sizeof(zero));
	conf_default(&c);
	ck_assert_mem_ne(first, c.tcp.secret, sizeof(first));
}
END_TEST

START_TEST(test_values)
{
	good("engines = { cores = 0; idle = \"poll\"; max_flows = 5000; };\n"
	     "memory = { hugepages = \"never\"; packets = 0x1000; };\n"
	     "tcp = { congestion = \"reno\"; time_wait_s = 0.5; rcvbuf_max = \"8M\"; sndbuf_max = 1048576; sack = false; };\n"
	     "control = { mode = \"0660\"; };\n" PORT);
	ck_assert_int_eq(c.idle, CONF_IDLE_POLL);
	ck_assert_uint_eq(c.tcp.max_conns, 5000);
	ck_assert_str_eq(c.hugepages, "never");
	ck_assert_uint_eq(c.packets, 4096);
	ck_assert_int_eq(c.tcp.congestion, CC_RENO);
	ck_assert_uint_eq(c.tcp.time_wait_ms, 500);
	ck_assert_uint_eq(c.tcp.rcvbuf_max, 8 << 20);
	ck_assert_uint_eq(c.tcp.sndbuf_max, 1 << 20);
	ck_assert(!c.tcp.sack && c.tcp.timestamps);
	ck_assert_uint_eq(c.socket_mode, 0660);
}
END_TEST

START_TEST(test_ports_and_routes)
{
	good("ports = ( { name = \"a\"; device = \"net_null0\"; address = [ \"10.9.0.1/24\", \"10.8.0.1/16\" ];\n"
	     "            gateway = \"10.9.0.254\"; mtu = 9000; vlan = 7;\n"
	     "            fault = { loss = 0.01; delay_ms = 20; jitter_ms = 0.5; rate_mbit = 100; limit = \"64K\"; seed = 3; }; },\n"
	     "          { name = \"b\"; device = \"net_null1\"; address = \"192.0.2.1/31\"; } );\n"
	     "routes = ( { to = \"172.16.0.0/12\"; via = \"10.8.0.2\"; }, { to = \"0.0.0.0/0\"; via = \"192.0.2.0\"; port = \"b\"; } );\n");
	ck_assert_uint_eq(c.ports, 2);
	ck_assert_uint_eq(c.port[0].addrs, 2);
	ck_assert_uint_eq(c.port[0].addr[1].prefix, 16);
	ck_assert_uint_eq(ntohl(c.port[0].addr[1].addr.w[3]), 0x0a080001);
	ck_assert_uint_eq(ntohl(c.port[0].addr[1].addr.w[2]), 0xffff); /* v4-mapped */
	ck_assert_uint_eq(ntohl(c.port[0].gateway[0].w[3]), 0x0a0900fe);
	ck_assert_uint_eq(c.port[1].gateway[0].w[2], 0); /* unspecified */
	ck_assert_uint_eq(c.port[0].gateway[1].w[0], 0);
	ck_assert_uint_eq(c.port[0].vlan, 7);
	ck_assert(c.port[0].fault.on && !c.port[1].fault.on);
	ck_assert_double_eq(c.port[0].fault.loss, 0.01);
	ck_assert_uint_eq(c.port[0].fault.delay_us, 20000);
	ck_assert_uint_eq(c.port[0].fault.jitter_us, 500);
	ck_assert_uint_eq(c.port[0].fault.limit_bytes, 65536);
	ck_assert_uint_eq(c.port[0].fault.seed, 3);
	ck_assert_uint_eq(c.routes, 2);
	ck_assert_uint_eq(c.route[0].prefix, 12);
	ck_assert_uint_eq(c.route[1].prefix, 0);
	ck_assert_str_eq(c.route[1].port, "b");
}
END_TEST

START_TEST(test_all_errors_are_told)
{
	bad("engine = { cores = 0; };\n"
	    "tcp = { time_wait = 3; keepcnt = 1000; sack = 1; };\n"
	    "net = { arp_age_s = \"soon\"; };\n",
	    "FILE:2: engine: unknown section; did you mean \"engines\"?\n"
	    "FILE:3: tcp.time_wait: unknown key; did you mean \"time_wait_s\"?\n"
	    "FILE:3: tcp.keepcnt: 1000 is out of range (1..255)\n"
	    "FILE:3: tcp.sack: \"1\" is neither true nor false\n"
	    "FILE:4: net.arp_age_s: \"soon\" is not a number\n");
	ck_assert_int_eq(read_text("ports = (\n { name = \"x\";\n mtu = 70000;\n } );\n"), -1);
	ck_assert_str_eq(errors, "FILE:3: ports.[0].mtu: 70000 is out of range (576..9000)\n"
	                         "FILE:2: ports.[0]: device is missing: DPDK device string\n"
	                         "FILE:2: ports.[0]: an endpoint wants an address, like address = \"10.9.0.1/24\"\n");
}
END_TEST

static const struct {
	const char *text, *want;
} wrong[] = {
	{ "zzz = 1;", "FILE:2: zzz: unknown section; stackd --keys lists all\n" },
	{ "tcp = ( );", "FILE:2: tcp: a group { ... } is wanted here\n" },
	{ "routes = { };", "FILE:2: routes: a list of groups ( { ... }, { ... } ) is wanted here\n" },
	{ "routes = ( 1 );", "FILE:2: routes.[0]: a group { ... } is wanted here\n" },
	{ "routes = ( { to = \"10.0.0.0/8\"; } );", "FILE:2: routes.[0]: via is missing: the router\n" },
	{ "routes = ( { to = \"10.0.0.0/8\"; via = \"10.9.0.300\"; } );",
	  "FILE:2: routes.[0].via: \"10.9.0.300\" is not an IPv4 or IPv6 address\n" },
	{ "tcp = { congestion = \"vegas\"; }; clients = ( { endpoint = true; } );",
	  "FILE:2: tcp.congestion: \"vegas\" is none of cubic|reno\n"
	  "FILE:2: clients.[0]: a rule wants a user, a group or both; user = \"*\" is everybody\n" },
	{ "tcp = { sack = { }; };", "FILE:2: tcp.sack: one value is wanted here\n" },
	{ "tcp = { keepcnt = [ 1, 2 ]; };", "FILE:2: tcp.keepcnt: one value is wanted here\n" },
	{ "tcp = { keepcnt = 1.5; };", "FILE:2: tcp.keepcnt: 1.5 is not a whole number\n" },
	{ "tcp = { keepcnt = -1; };", "FILE:2: tcp.keepcnt: -1 is out of range (1..255)\n" },
	{ "tcp = { keepcnt = 99999999999L; };", "FILE:2: tcp.keepcnt: 99999999999 is out of range (1..255)\n" },
	{ "tcp = { rcvbuf_max = \"4X\"; };",
	  "FILE:2: tcp.rcvbuf_max: \"4X\" is not a size; write bytes, or 64K, 256M, 4G\n" },
	{ "tcp = { rcvbuf_max = \"4MB\"; };",
	  "FILE:2: tcp.rcvbuf_max: \"4MB\" is not a size; write bytes, or 64K, 256M, 4G\n" },
	{ "tcp = { rcvbuf_max = \"4G\"; };", "FILE:2: tcp.rcvbuf_max: 4G is out of range (4096..1073741824)\n" },
	{ "tcp = { rcvbuf_max = 8192; };", "FILE:2: tcp.rcvbuf_initial: must not be above rcvbuf_max\n" },
	{ "tcp = { port_min = 61000; };", "FILE:2: tcp.port_min: must not be above port_max\n" },
	{ "tcp = { congestion = \"vegas\"; };", "FILE:2: tcp.congestion: \"vegas\" is none of cubic|reno\n" },
	{ "engines = { cores = [ 0, 0 ]; };", "FILE:2: engines.cores: 0 is named twice\n" },
	{ "engines = { cores = [ ]; };", "FILE:2: engines.cores: must name at least one\n" },
	{ "engines = { cores = 1000; };", "FILE:2: engines.cores: there is no CPU 1000 on this machine\n" },
	{ "control = { mode = 0660; };", "FILE:2: control.mode: write it as a string, like \"0660\"\n" },
	{ "control = { mode = \"rw\"; };", "FILE:2: control.mode: \"rw\" is not octal; write \"0660\"\n" },
	{ "control = { mode = \"4755\"; };", "FILE:2: control.mode: 4755 is out of range (0000..0777)\n" },
	{ "control = { ring_slots = 100; };", "FILE:2: control.ring_slots: must be a power of two\n" },
	{ "control = { socket = \"x.sock\"; };", "FILE:2: control.socket: must be a path that begins with /\n" },
	{ "control = { user = \"no-such-user\"; };", "FILE:2: control.user: there is no user \"no-such-user\" on this machine\n" },
	{ "clients = ( { user = \"no-such-user\"; } );",
	  "FILE:2: clients.[0].user: there is no user \"no-such-user\" on this machine\n" },
	{ "clients = ( { group = \"no-such-group\"; } );",
	  "FILE:2: clients.[0].group: there is no group \"no-such-group\" on this machine\n" },
	{ "clients = ( { endpoint = true; } );",
	  "FILE:2: clients.[0]: a rule wants a user, a group or both; user = \"*\" is everybody\n" },
	{ "clients = ( { user = \"*\"; ports = \"80-\"; } );", "FILE:2: clients.[0].ports: \"\" is not a number\n" },
	{ "clients = ( { user = \"*\"; ports = \"80-70\"; } );",
	  "FILE:2: clients.[0].ports: \"80-70\": a range goes from the lower port to the higher\n" },
	{ "clients = ( { user = \"*\"; ports = \"0\"; } );", "FILE:2: clients.[0].ports: 0 is out of range (1..65535)\n" },
	{ "clients = ( { user = \"*\"; monitor = \"pasive\"; } );",
	  "FILE:2: clients.[0].monitor: \"pasive\" is none of none|passive|inline\n" },
	{ "clients = ( { user = \"*\"; monitor = \"inline\"; } );",
	  "FILE:2: clients.[0]: an inline monitor wants on_failure = \"pass\" or \"drop\"\n" },
	{ "clients = ( { user = \"*\"; monitor = \"passive\"; on_failure = \"drop\"; } );",
	  "FILE:2: clients.[0].on_failure: is about inline monitors, and this rule does not say monitor = \"inline\"\n" },
	{ "clients = ( { user = \"*\"; scope = \"tcp port 80\"; } );",
	  "FILE:2: clients.[0].scope: is about monitors, and this rule does not say monitor = \"passive\" or \"inline\"\n" },
	/* what could not be read is complained about once */
	{ "clients = ( { user = \"*\"; monitor = \"pasive\"; scope = \"tcp port 80\"; } );",
	  "FILE:2: clients.[0].monitor: \"pasive\" is none of none|passive|inline\n" },
	{ "clients = ( { user = \"*\"; monitor = \"passive\"; scope = \"tcp prt 80\"; } );",
	  "FILE:2: clients.[0].scope: not a pcap expression: can't parse filter expression: syntax error\n" },
	{ "clients = ( { user = \"*\"; monitor_ring = 1000; } );", "FILE:2: clients.[0].monitor_ring: must be a power of two\n" },
	{ "monitor = { log = \"3M\"; };", "FILE:2: monitor.log: must be a power of two\n" },
	{ "monitor = { log = \"256M\"; };", "FILE:2: monitor.log: must not be above a quarter of memory\n" },
	{ "monitor = { memory = \"128M\"; };",
	  "FILE:2: monitor.memory: is too little for max_flows: at least 1.4 KiB each\n" },
	{ "routes = ( { to = \"10.1.0.0/8\"; via = \"10.9.0.2\"; } );",
	  "FILE:2: routes.[0].to: 10.1.0.0/8 has bits beyond its prefix; did you mean 10.0.0.0/8?\n" },
	{ "routes = ( { to = \"10.0.0.0\"; via = \"10.9.0.2\"; } );",
	  "FILE:2: routes.[0].to: \"10.0.0.0\" is not an address with its prefix length, like 10.9.0.1/24 or fd00::1/64\n" },
	{ "routes = ( { to = \"10.0.0.0/33\"; via = \"10.9.0.2\"; } );",
	  "FILE:2: routes.[0].to: \"10.0.0.0/33\" is not an address with its prefix length, like 10.9.0.1/24 or fd00::1/64\n" },
	{ "routes = ( { to = \"2001:db8::1/32\"; via = \"fd00::2\"; } );",
	  "FILE:2: routes.[0].to: 2001:db8::1/32 has bits beyond its prefix; did you mean 2001:db8::/32?\n"
	  "FILE:2: routes.[0].via: fd00::2 is in no network of any port\n" },
	{ "routes = ( { to = \"2001:db8::/32\"; via = \"10.9.0.2\"; } );",
	  "FILE:2: routes.[0].via: 10.9.0.2 is not of the family of the network\n" },
	{ "routes = ( { to = \"10.0.0.0/8\"; via = \"10.7.0.2\"; } );",
	  "FILE:2: routes.[0].via: 10.7.0.2 is in no network of any port\n" },
	{ "routes = ( { to = \"10.0.0.0/8\"; via = \"10.9.0.1\"; } );",
	  "FILE:2: routes.[0].via: 10.9.0.1 is an address of our own\n" },
	{ "routes = ( { to = \"10.0.0.0/8\"; via = \"10.9.0.2\"; port = \"q\"; } );",
	  "FILE:2: routes.[0].port: there is no port \"q\"\n" },
	{ "tcp = { keepcnt = 1; keepcnt = 2; };", "FILE:2: duplicate setting name\n" },
	{ "tcp = { keepcnt = ; };", "FILE:2: syntax error\n" },
};

START_TEST(test_wrong)
{
	bad(wrong[_i].text, wrong[_i].want);
}
END_TEST

static const struct {
	const char *port, *want; /* what is wrong with the first of two ports */
} wrong_port[] = {
	{ "address = \"10.8.0.1/24\"; adress = 1;", "FILE:1: ports.[0].adress: unknown key; did you mean \"address\"?\n" },
	{ "adress = \"10.8.0.1/24\"; gateway = \"10.8.0.2\";", "FILE:1: ports.[0].adress: unknown key; did you mean \"address\"?\n" },
	{ "address = \"10.8.0.1/33\"; gateway = \"10.8.0.2\";",
	  "FILE:1: ports.[0].address: \"10.8.0.1/33\" is not an address with its prefix length, like 10.9.0.1/24 or fd00::1/64\n" },
	{ "address = { };", "FILE:1: ports.[0].address: one value is wanted here\n" },
	{ "mod = \"tap\";", "FILE:1: ports.[0].mod: unknown key; did you mean \"mode\"?\n" },
	{ "address = \"10.8.0.1/24\"; fault = { los = 1; };", "FILE:1: ports.[0].fault.los: unknown key; did you mean \"loss\"?\n" },
	{ "address = \"10.8.0.1/24\"; fault = 1;", "FILE:1: ports.[0].fault: a group { ... } is wanted here\n" },
	{ "address = \"10.8.0.1/24\"; fault = { loss = 1.1; };", "FILE:1: ports.[0].fault.loss: 1.1 is out of range (0..1)\n" },
	{ "address = \"fe80::1/64\"; mode = \"tap\";",
	  "FILE:1: ports.[0].address: only ports with mode endpoint have addresses\n" },
	{ "address = \"fd00::1/129\"; mode = \"tap\";",
	  "FILE:1: ports.[0].address: \"fd00::1/129\" is not an address with its prefix length, like 10.9.0.1/24 or fd00::1/64\n" },
	{ "address = \"ff02::1/64\"; mode = \"tap\";",
	  "FILE:1: ports.[0].address: ff02::1/64 cannot be the address of a host\n" },
	{ "address = \"fe80:1::1/64\"; mode = \"tap\";",
	  "FILE:1: ports.[0].address: fe80:1::1/64: a link-local address begins with fe80::\n" },
	{ "address = [ \"fd00::1/64\", \"fd00:0::1/48\" ]; mode = \"tap\";",
	  "FILE:1: ports.[0].address: fd00:0::1/48 is named twice\n" },
	{ "address = \"fd00::1/64\"; mtu = 1279;", "FILE:1: ports.[0].mtu: IPv6 wants at least 1280\n" },
	{ "address = \"fd00::1/64\"; gateway = \"fd01::1\";",
	  "FILE:1: ports.[0].gateway: fd01::1 is in none of the port's networks\n" },
	{ "address = \"10.8.0.1/24\"; gateway = \"fe80::1\";",
	  "FILE:1: ports.[0].gateway: fe80::1 is in none of the port's networks\n" },
	{ "address = \"10.8.0.1/24\"; gateway = [ \"10.8.0.2\", \"10.8.0.3\" ];",
	  "FILE:1: ports.[0].gateway: 10.8.0.3 is the second router of its family\n" },
	{ "address = \"10.8.0.0/24\"; mode = \"replay\";",
	  "FILE:1: ports.[0].address: 10.8.0.0/24 is the address of a network or its broadcast, not of a host\n"
	  "FILE:1: ports.[0].device: mode replay wants a capture: \"net_pcap0,rx_pcap=FILE\"\n" },
	{ "address = \"224.0.0.1/24\"; mode = \"tap\";",
	  "FILE:1: ports.[0].address: 224.0.0.1/24 cannot be the address of a host\n" },
	{ "address = [ \"10.8.0.1/24\", \"10.8.0.1/16\" ]; mode = \"tap\";",
	  "FILE:1: ports.[0].address: 10.8.0.1/16 is named twice\n" },
	{ "address = \"10.8.0.1/24\"; gateway = \"10.7.0.1\";",
	  "FILE:1: ports.[0].gateway: 10.7.0.1 is in none of the port's networks\n" },
	{ "address = \"10.8.0.1/24\"; gateway = \"10.8.0.1\";",
	  "FILE:1: ports.[0].gateway: 10.8.0.1 is an address of our own\n" },
	{ "address = \"10.8.0.1/24\"; peer = \"p1\";", "FILE:1: ports.[0].peer: only ports with mode bridge have a peer\n" },
	{ "mode = \"bridge\";",
	  "FILE:1: ports.[0]: mode bridge wants a peer: the name of the other port\n" },
	{ "mode = \"bridge\"; peer = \"p7\";",
	  "FILE:1: ports.[0].peer: there is no port \"p7\"\n" },
	{ "mode = \"bridge\"; peer = \"p0\";",
	  "FILE:1: ports.[0].peer: a port cannot be its own peer\n" },
	{ "mode = \"bridge\"; peer = \"p1\";",
	  "FILE:1: ports.[0].peer: port \"p1\" must have mode bridge and the peer \"p0\", too\n" },
	{ "mode = \"tap\"; address = \"10.8.0.1/24\";",
	  "FILE:1: ports.[0].address: only ports with mode endpoint have addresses\n" },
	{ "mode = \"replay\"; fault = { loss = 0.5; };",
	  "FILE:1: ports.[0].device: mode replay wants a capture: \"net_pcap0,rx_pcap=FILE\"\n"
	  "FILE:1: ports.[0].fault: a replay has no wire that could be bad\n" },
	{ "address = \"10.9.0.1/24\";", "FILE:1: ports.[1].address: 10.9.0.1 belongs to port \"p0\" already\n" },
};

START_TEST(test_wrong_port)
{
	char text[1024];

	snprintf(text, sizeof(text),
	         "ports = ( { name = \"p0\"; device = \"net_null0\"; %s },"
	         "{ name = \"p1\"; device = \"net_null1\"; address = \"10.9.0.1/24\"; } );\n",
	         wrong_port[_i].port);
	ck_assert_int_eq(read_text(text), -1);
	ck_assert_str_eq(errors, wrong_port[_i].want);
}
END_TEST

START_TEST(test_a_bad_address_is_told_once)
{
	ck_assert_int_eq(read_text("ports = ( { name = \"p0\"; device = \"net_null0\"; address = [ \"10.9.0.1/24\", \"10.8.0.1\" ]; } );\n"
				   "routes = ( { to = \"10.0.0.0/8\"; via = \"10.8.0.2\"; } );\n"), -1);
	ck_assert_str_eq(errors, "FILE:1: ports.[0].address: \"10.8.0.1\" is not an address with its prefix length, like 10.9.0.1/24 or fd00::1/64\n");
}
END_TEST

/* libconfig 1.5 cuts such numbers to 32 bits and says nothing */
START_TEST(test_long_numbers_are_not_cut)
{
	bad("# 5000000000\n// 5000000000\n/* 5000000000\n */ control = { socket = \"/a\\\"5000000000\"; };\n"
	    "clients = ( { user = \"*\"; memory = 5000000000; },\n{ user = 1; memory = 0x100000000; } );\n",
	    "FILE:6: 5000000000: is too long a number; write 5000000000L, or a size as a string\n"
	    "FILE:7: 0x100000000: is too long a number; write 0x100000000L, or a size as a string\n");
	good(PORT "clients = ( { user = \"*\"; memory = 5000000000L; } );\n");
	ck_assert_uint_eq(c.client[0].memory, 5000000000);
	good(PORT "clients = ( { user = \"*\"; memory = 2147483647; max_sockets = 0xFFFFFF; } );\n");
	ck_assert_uint_eq(c.client[0].memory, 2147483647);
	good(PORT "tcp = { time_wait_s = 2.00000000000000; };\n");
}
END_TEST

START_TEST(test_memory_reaches_for_every_engine)
{
	if (sysconf(_SC_NPROCESSORS_CONF) < 2)
		return; /* there cannot be two engines */
	bad("engines = { cores = [0, 1]; }; clients = ( { user = \"*\"; endpoint = true; memory = \"4M\"; } );",
	    "FILE:2: clients.[0].memory: 2 engines need at least 8M\n");
}
END_TEST

START_TEST(test_same_name_twice)
{
	ck_assert_int_eq(read_text("ports = ( { name = \"p\"; device = \"a\"; address = \"10.8.0.1/24\"; },\n"
	                           "{ name = \"p\"; device = \"b\"; address = \"10.9.0.1/24\"; } );\n"),
	                 -1);
	ck_assert_str_eq(errors, "FILE:2: ports.[1].name: another port is called \"p\", too\n");
	ck_assert_int_eq(read_text("ports = ( { name = \"a\"; device = \"net_tap0,iface=x\"; mode = \"tap\"; },\n"
	                           "{ name = \"b\"; device = \"net_tap0,iface=y\"; mode = \"tap\"; } );\n"),
	                 -1);
	ck_assert_str_eq(errors, "FILE:2: ports.[1].device: net_tap0 is the device of port \"a\" already; those of a kind are numbered: "
	                         "net_tap0, net_tap1\n");
}
END_TEST

START_TEST(test_too_many_ports)
{
	char text[4096] = "ports = (";

	for (int i = 0; i <= NET_PORTS_MAX; i++)
		sprintf(text + strlen(text), "%s{ name = \"p%d\"; device = \"d%d\"; address = \"10.%d.0.1/24\"; }", i > 0 ? "," : "", i, i, i);
	strcat(text, ");\n");
	ck_assert_int_eq(read_text(text), -1);
	ck_assert_str_eq(errors, "FILE:1: ports: more than 16 of them\n");
}
END_TEST

START_TEST(test_no_file)
{
	char *text = NULL;
	size_t size;
	FILE *err = open_memstream(&text, &size);

	ck_assert_int_eq(conf_read(&c, "/nonexistent/stackd.conf", err), -1);
	fclose(err);
	ck_assert_str_eq(text, "/nonexistent/stackd.conf: cannot be read: No such file or directory\n");
	free(text);
}
END_TEST

START_TEST(test_nothing_configured)
{
	ck_assert_int_eq(read_text(""), -1);
	ck_assert_str_eq(errors, "FILE: ports: there must be at least one port; see stackd.conf(5)\n");
}
END_TEST

/* --- Rules ---------------------------------------------------------------------------------------------------------- */

START_TEST(test_only_root_without_rules)
{
	const gid_t none[] = { 0 };
	const struct conf_client *r;

	good(PORT);
	ck_assert_ptr_null(conf_client_for(&c, 1000, none, 1));
	r = conf_client_for(&c, 0, none, 1);
	ck_assert_ptr_nonnull(r);
	ck_assert(r->endpoint && r->operator_ && conf_client_may_bind(r, 1) && conf_client_may_bind(r, 65535));
	ck_assert_uint_eq(r->memory, 256u << 20);
	conf_default(&c);
	ck_assert_ptr_nonnull(conf_client_for(&c, 0, none, 1));
}
END_TEST

START_TEST(test_first_rule_decides)
{
	const gid_t ids[] = { 77, 33 }, other[] = { 5 };
	const struct conf_client *r;

	good(PORT "clients = ( { user = \"root\"; group = \"77\"; max_sockets = 1; },\n"
	          "{ user = \"1000\"; endpoint = true; ports = \"80, 443,1024-2000\"; memory = \"1G\"; max_sockets = 2; },\n"
	          "{ group = 33; operator = true; ports = \"\"; max_sockets = 3; },\n"
	          "{ user = \"*\"; max_sockets = 4; } );\n");
	ck_assert_uint_eq(conf_client_for(&c, 0, ids, 2)->max_sockets, 1);
	ck_assert_uint_eq(conf_client_for(&c, 0, other, 1)->max_sockets, 4); /* a rule for everybody is for root, too */
	ck_assert_uint_eq(conf_client_for(&c, 1000, ids, 2)->max_sockets, 2);
	ck_assert_uint_eq(conf_client_for(&c, 1001, ids, 2)->max_sockets, 3);
	ck_assert_uint_eq(conf_client_for(&c, 1001, other, 1)->max_sockets, 4);
	r = conf_client_for(&c, 1000, other, 1);
	ck_assert(r->endpoint && !r->operator_);
	ck_assert_uint_eq(r->memory, 1u << 30);
	ck_assert(conf_client_may_bind(r, 80) && conf_client_may_bind(r, 443));
	ck_assert(conf_client_may_bind(r, 1024) && conf_client_may_bind(r, 2000));
	ck_assert(!conf_client_may_bind(r, 81) && !conf_client_may_bind(r, 1023) && !conf_client_may_bind(r, 2001));
	ck_assert(!conf_client_may_bind(r, 0));
	ck_assert(!conf_client_may_bind(conf_client_for(&c, 1001, ids, 2), 8080));
}
END_TEST

/* --- Table, sample, printing ---------------------------------------------------------------------------------------- */

START_TEST(test_addresses_of_both_families)
{
	good("ports = ( { name = \"a\"; device = \"net_null0\"; address = [ \"10.9.0.1/24\", \"fd00::1/64\", \"10.8.0.1/24\" ];\n"
	     "            gateway = [ \"fe80::1\", \"10.9.0.254\" ]; } );\n"
	     "routes = ( { to = \"2001:db8::/32\"; via = \"fd00::2\"; }, { to = \"::/0\"; via = \"fe80::2\"; port = \"a\"; } );\n");
	ck_assert_uint_eq(c.port[0].addrs, 3);
	ck_assert_uint_eq(c.port[0].addr[1].prefix, 64);
	ck_assert_uint_eq(c.port[0].addr[1].addr.b[0], 0xfd);
	ck_assert_uint_eq(ntohl(c.port[0].addr[2].addr.w[3]), 0x0a080001);
	ck_assert_uint_eq(ntohl(c.port[0].gateway[0].w[3]), 0x0a0900fe);
	ck_assert_uint_eq(c.port[0].gateway[1].b[0], 0xfe);
	ck_assert_uint_eq(c.route[0].prefix, 32);
	ck_assert_uint_eq(c.route[1].prefix, 0);
	ck_assert_uint_eq(c.nd_age_s, 30);
	ck_assert_uint_eq(c.dad, 1);
	ck_assert(conf_port_speaks_ip6(&c.port[0]));
}
END_TEST

START_TEST(test_print_can_be_read_again)
{
	char *first, *second;

	good("ports = ( { name = \"a\"; device = \"d,x=\\\"y\\\\\"; address = [ \"10.9.0.1/24\", \"10.8.0.1/16\" ]; gateway = \"10.9.0.2\";\n"
	     "fault = { loss = 0.015; delay_ms = 0.25; limit = 3000; }; }, { name = \"b\"; device = \"e\"; address = [ \"10.1.0.1/8\", \"fd00::1/64\" ];\n"
	     "gateway = [ \"fd00::2\", \"10.1.0.2\" ]; } );\n"
	     "routes = ( { to = \"172.16.0.0/12\"; via = \"10.9.0.3\"; }, { to = \"::/0\"; via = \"fd00::3\"; } );\n"
	     "clients = ( { user = \"root\"; ports = \"80,90-99\"; memory = \"5M\"; }, { group = 1; }, { user = \"*\"; } );\n"
	     "tcp = { time_wait_s = 1.25; };\n");
	first = printed(&c);
	good(first);
	second = printed(&c);
	ck_assert_str_eq(first, second);
	ck_assert_ptr_nonnull(strstr(first, "device = \"d,x=\\\"y\\\\\";"));
	ck_assert_ptr_nonnull(strstr(first, "time_wait_s = 1.25;"));
	free(first);
	free(second);
}
END_TEST

START_TEST(test_keys_are_all_printed)
{
	char *text = NULL, want[64];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	conf_print_keys(f);
	fclose(f);
	for (unsigned i = 0; i < conf_keys; i++) {
		snprintf(want, sizeof(want), "\n%s ", conf_key[i].path);
		ck_assert_ptr_nonnull(strstr(text, want));
		ck_assert_uint_ge(strlen(conf_key[i].help), 8);
	}
	free(text);
}
END_TEST

static char *file_text(const char *name)
{
	char path[512], *text = calloc(1, 65536);
	const char *dir = getenv("srcdir");
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir != NULL ? dir : ".", name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_uint_gt(fread(text, 1, 65535, f), 0);
	fclose(f);
	return text;
}

/* The line of the man page that the table makes. */
static void man_line(const struct conf_key *k, char *line, size_t size)
{
	char range[96];
	const char *unit = k->type == CONF_WORD ? "" : k->unit, *def = k->def;

	conf_key_range(k, range, sizeof(range));
	snprintf(line, size, ".TP\n.B %s\n(%s; %s%s%s%s%s%s) %s\n", k->path, conf_type_name(k),
	         def != NULL ? "default " : k->need ? "must be given" : "no default", def == NULL ? "" : def[0] == '\0' ? "\"\"" : def,
	         range[0] != '\0' || unit[0] != '\0' ? "; " : "", range, range[0] != '\0' && unit[0] != '\0' ? " " : "", unit, k->help);
}

START_TEST(test_man_page_says_what_the_table_says)
{
	char *text = file_text("doc/man/stackd.conf.5"), line[512];
	unsigned n = 0;

	for (unsigned i = 0; i < conf_keys; i++) {
		man_line(&conf_key[i], line, sizeof(line));
		ck_assert_msg(strstr(text, line) != NULL, "doc/man/stackd.conf.5 lacks:\n%s", line);
	}
	for (const char *p = strstr(text, ".SH KEYS"); (p = strstr(p + 1, "\n.TP\n.B ")) != NULL && p < strstr(text, ".SH CLIENTS");)
		n++;
	ck_assert_uint_eq(n, conf_keys); /* and no others */
	free(text);
}
END_TEST

/* "# word" stays, "#\tkey" and "#ports" are switched on. */
static void switch_on(char *text)
{
	char *to = text;
	bool start = true;

	for (const char *p = text; *p != '\0'; p++) {
		if (!(start && *p == '#' && p[1] != ' '))
			*to++ = *p;
		start = *p == '\n';
	}
	*to = '\0';
}

/* Lines "\tkey = VALUE;" of the text; the last one's value. */
static unsigned lines_of(const char *text, const char *key, char *value)
{
	unsigned n = 0;
	size_t len = strlen(key);

	for (const char *p = text; p != NULL; p = strchr(p, '\n')) {
		p += strspn(p, "\n\t");
		if (strncmp(p, key, len) == 0 && strncmp(p + len, " = ", 3) == 0) {
			sscanf(p + len + 3, "%255[^;\n]", value);
			n++;
		}
	}
	return n;
}

/* The part of the sample that belongs to a section, up to the line "}" or ")" that closes it. */
static char *section_text(char *text, const char *name)
{
	char open[64], *at, *end;

	snprintf(open, sizeof(open), "%s = ", name);
	at = strstr(text, open);
	while (at != NULL && at != text && at[-1] != '\n') /* max_clients is not clients */
		at = strstr(at + 1, open);
	ck_assert_msg(at != NULL, "%s is missing in the sample", name);
	end = strstr(at, at[strlen(open)] == '(' ? "\n);" : "\n};");
	ck_assert_ptr_nonnull(end);
	return strndup(at, (size_t)(end - at));
}

START_TEST(test_sample_has_every_key_once_with_its_default)
{
	char *text = file_text("conf/stackd.conf"), value[256], want[256];
	union {
		struct conf conf;
		struct conf_port port;
		struct conf_route route;
		struct conf_client client;
	} *base = calloc(1, sizeof(*base));

	switch_on(text);
	for (unsigned i = 0; i < conf_keys; i++) {
		const struct conf_key *k = &conf_key[i];
		char name[32], why[CONF_WHY], *part;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(k->path, "."), k->path);
		part = section_text(text, name);
		ck_assert_msg(lines_of(part, strrchr(k->path, '.') + 1, value) == 1, "%s", k->path);
		free(part);
		/* an example where the table has no default; a rule for somebody; a list as a list */
		if (k->def == NULL || k->type == CONF_USER)
			continue;
		ck_assert_int_eq(conf_value_set(k, base, k->def, why), 0);
		conf_value_get(k, base, want, sizeof(want));
		if (k->type == CONF_NUMBERS)
			snprintf(want, sizeof(want), "[ %s ]", k->def);
		ck_assert_msg(strcmp(value, want) == 0, "%s: sample %s, table %s", k->path, value, want);
	}
	free(base);
	free(text);
}
END_TEST

static void same_section(char *a, char *b, const char *name)
{
	char *x = section_text(a, name), *y = section_text(b, name);

	ck_assert_str_eq(x, y);
	free(x);
	free(y);
}

START_TEST(test_sample_can_be_used)
{
	char *text = file_text("conf/stackd.conf"), *all, *again;

	ck_assert_int_eq(read_text(text), -1);
	ck_assert_str_eq(errors, "FILE: ports: there must be at least one port; see stackd.conf(5)\n");
	switch_on(text);
	good(text);
	all = printed(&c);
	good(PORT);
	again = printed(&c);
	/* every group is at its defaults; the lists hold examples */
	for (unsigned i = 0; i < conf_sections; i++)
		if (!conf_section[i].list)
			same_section(all, again, conf_section[i].name);
	free(all);
	free(again);
	free(text);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("conf");

	suite_add_tcase(s, t);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_tcp_has_the_same_defaults);
	tcase_add_test(t, test_every_secret_differs);
	tcase_add_test(t, test_values);
	tcase_add_test(t, test_ports_and_routes);
	tcase_add_test(t, test_addresses_of_both_families);
	tcase_add_test(t, test_all_errors_are_told);
	tcase_add_loop_test(t, test_wrong, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_loop_test(t, test_wrong_port, 0, sizeof(wrong_port) / sizeof(wrong_port[0]));
	tcase_add_test(t, test_a_bad_address_is_told_once);
	tcase_add_test(t, test_long_numbers_are_not_cut);
	tcase_add_test(t, test_memory_reaches_for_every_engine);
	tcase_add_test(t, test_same_name_twice);
	tcase_add_test(t, test_too_many_ports);
	tcase_add_test(t, test_no_file);
	tcase_add_test(t, test_nothing_configured);
	tcase_add_test(t, test_only_root_without_rules);
	tcase_add_test(t, test_first_rule_decides);
	tcase_add_test(t, test_print_can_be_read_again);
	tcase_add_test(t, test_keys_are_all_printed);
	tcase_add_test(t, test_man_page_says_what_the_table_says);
	tcase_add_test(t, test_sample_has_every_key_once_with_its_default);
	tcase_add_test(t, test_sample_can_be_used);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	free(errors);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
