/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What must hold between several keys of the configuration, and the values that follow from others.
 */
#include <arpa/inet.h>
#include <pcap/pcap.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "stackd/conf_keys.h"

enum { IP6_MTU_MIN = 1280 };

struct check {
	struct conf *c;
	conf_say_fn say;
	void *arg;
};

static void say(const struct check *k, const char *path, const char *sentence)
{
	k->say(k->arg, path, sentence);
}

/* Complain about element i of a list. */
#define SAY_AT(k, list, i, key, ...) \
	do { \
		char path_[64], text_[CONF_WHY]; \
		snprintf(path_, sizeof(path_), "%s.[%u]%s", list, i, key); \
		snprintf(text_, sizeof(text_), __VA_ARGS__); \
		say(k, path_, text_); \
	} while (0)

static void check_cores(const struct check *k)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	char sentence[CONF_WHY];

	for (unsigned i = 0; i < k->c->cores; i++)
		if (cpus > 0 && k->c->core[i] >= cpus) {
			snprintf(sentence, sizeof(sentence), "there is no CPU %d on this machine", k->c->core[i]);
			say(k, "engines.cores", sentence);
		}
}

static bool is_none(const struct ipaddr *a)
{
	return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0;
}

static bool is_link_local(const struct ipaddr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool conf_port_speaks_ip6(const struct conf_port *p)
{
	for (unsigned i = 0; i < p->addrs; i++)
		if (!net_is_ip4(&p->addr[i].addr))
			return true;
	return false;
}

bool conf_port_reaches(const struct conf_port *p, const struct ipaddr *a)
{
	if (p->addrs_unread)
		return true; /* who knows */
	for (unsigned i = 0; i < p->addrs; i++)
		if (net_is_ip4(&p->addr[i].addr) == net_is_ip4(a) && net_prefix_holds(&p->addr[i].addr, p->addr[i].prefix, a))
			return true;
	return is_link_local(a) && conf_port_speaks_ip6(p);
}

/* Link-local addresses may be the same on several ports. */
static const struct conf_port *owner_of(const struct conf *c, const struct ipaddr *a)
{
	for (unsigned i = 0; i < c->ports; i++)
		for (unsigned j = 0; j < c->port[i].addrs; j++)
			if (memcmp(&c->port[i].addr[j].addr, a, sizeof(*a)) == 0)
				return &c->port[i];
	return NULL;
}

static int port_named(const struct conf *c, const char *name)
{
	for (unsigned i = 0; i < c->ports; i++)
		if (strcmp(c->port[i].name, name) == 0)
			return (int)i;
	return -1;
}

static const char *written(const struct ipaddr *a)
{
	static char text[INET6_ADDRSTRLEN];

	return net_is_ip4(a) ? inet_ntop(AF_INET, &a->w[3], text, sizeof(text)) : inet_ntop(AF_INET6, a->b, text, sizeof(text));
}

static void check_bridge(const struct check *k, unsigned i)
{
	const struct conf *c = k->c;
	const struct conf_port *p = &c->port[i];
	int j = port_named(c, p->peer);

	if (p->peer[0] == '\0')
		SAY_AT(k, "ports", i, "", "mode bridge wants a peer: the name of the other port");
	else if (j < 0)
		SAY_AT(k, "ports", i, ".peer", "there is no port \"%s\"", p->peer);
	else if ((unsigned)j == i)
		SAY_AT(k, "ports", i, ".peer", "a port cannot be its own peer");
	else if (c->port[j].mode != CONF_BRIDGE || strcmp(c->port[j].peer, p->name) != 0)
		SAY_AT(k, "ports", i, ".peer", "port \"%s\" must have mode bridge and the peer \"%s\", too", p->peer, p->name);
}

static void check_mode(const struct check *k, unsigned i)
{
	const struct conf_port *p = &k->c->port[i];

	if (p->mode == CONF_BRIDGE)
		check_bridge(k, i);
	else if (p->peer[0] != '\0')
		SAY_AT(k, "ports", i, ".peer", "only ports with mode bridge have a peer");
	if (p->mode != CONF_ENDPOINT && p->addrs > 0)
		SAY_AT(k, "ports", i, ".address", "only ports with mode endpoint have addresses");
	if (p->mode == CONF_REPLAY && strstr(p->device, "rx_pcap=") == NULL)
		SAY_AT(k, "ports", i, ".device", "mode replay wants a capture: \"net_pcap0,rx_pcap=FILE\"");
	if (p->mode == CONF_REPLAY && p->fault.on)
		SAY_AT(k, "ports", i, ".fault", "a replay has no wire that could be bad");
}

static void check_gateway(const struct check *k, unsigned i, const struct ipaddr *gateway)
{
	const struct conf_port *p = &k->c->port[i];

	if (is_none(gateway))
		return;
	if (owner_of(k->c, gateway) != NULL)
		SAY_AT(k, "ports", i, ".gateway", "%s is an address of our own", written(gateway));
	else if (!conf_port_reaches(p, gateway))
		SAY_AT(k, "ports", i, ".gateway", "%s is in none of the port's networks", written(gateway));
}

static void check_addresses(const struct check *k, unsigned i)
{
	const struct conf_port *p = &k->c->port[i], *other;

	if (p->mode == CONF_ENDPOINT && p->addrs == 0 && !p->addrs_unread)
		SAY_AT(k, "ports", i, "", "an endpoint wants an address, like address = \"10.9.0.1/24\"");
	for (unsigned j = 0; j < p->addrs; j++) {
		other = owner_of(k->c, &p->addr[j].addr);
		if (other != p && !is_link_local(&p->addr[j].addr))
			SAY_AT(k, "ports", i, ".address", "%s belongs to port \"%s\" already", written(&p->addr[j].addr), other->name);
	}
	if (conf_port_speaks_ip6(p) && p->mtu < IP6_MTU_MIN)
		SAY_AT(k, "ports", i, ".mtu", "IPv6 wants at least %u", IP6_MTU_MIN);
	check_gateway(k, i, &p->gateway[0]);
	check_gateway(k, i, &p->gateway[1]);
}

/* DPDK knows a device by what stands before its options. */
static void check_device(const struct check *k, unsigned i)
{
	const struct conf_port *p = &k->c->port[i], *other = k->c->port;
	int len = (int)strcspn(p->device, ",");

	for (; len > 0 && p->mode != CONF_REPLAY && other < p; other++) {
		if (other->mode == CONF_REPLAY || (int)strcspn(other->device, ",") != len ||
		    strncmp(other->device, p->device, (size_t)len) != 0)
			continue;
		SAY_AT(k, "ports", i, ".device", "%.*s is the device of port \"%s\" already%s", len, p->device, other->name,
		       strncmp(p->device, "net_", 4) == 0 ? "; those of a kind are numbered: net_tap0, net_tap1" : "");
		return;
	}
}

static void check_ports(const struct check *k)
{
	struct conf *c = k->c;

	if (c->ports == 0)
		say(k, "ports", "there must be at least one port; see stackd.conf(5)");
	for (unsigned i = 0; i < c->ports; i++) {
		struct nic_fault *f = &c->port[i].fault;

		if (c->port[i].name[0] != '\0' && port_named(c, c->port[i].name) != (int)i)
			SAY_AT(k, "ports", i, ".name", "another port is called \"%s\", too", c->port[i].name);
		f->on = f->loss > 0 || f->reorder > 0 || f->duplicate > 0 || f->corrupt > 0 || f->delay_us > 0 ||
		        f->jitter_us > 0 || f->rate_mbit > 0;
		check_device(k, i);
		check_mode(k, i);
		check_addresses(k, i);
	}
}

static void check_route(const struct check *k, unsigned i)
{
	const struct conf *c = k->c;
	const struct conf_route *r = &c->route[i];
	int port = port_named(c, r->port);
	bool reached = false;

	if (r->port[0] != '\0' && port < 0) {
		SAY_AT(k, "routes", i, ".port", "there is no port \"%s\"", r->port);
		return;
	}
	for (unsigned j = 0; j < c->ports; j++)
		reached |= (r->port[0] == '\0' || (int)j == port) && conf_port_reaches(&c->port[j], &r->via);
	if (is_none(&r->via))
		SAY_AT(k, "routes", i, ".via", "must be the address of a router");
	else if (!is_none(&r->dst) && net_is_ip4(&r->via) != net_is_ip4(&r->dst))
		SAY_AT(k, "routes", i, ".via", "%s is not of the family of the network", written(&r->via));
	else if (is_link_local(&r->via) && r->port[0] == '\0' && c->ports > 1)
		SAY_AT(k, "routes", i, ".port", "%s may be on any port: name the one", written(&r->via));
	else if (!reached)
		SAY_AT(k, "routes", i, ".via", "%s is in no network of %s%s", written(&r->via),
		       r->port[0] == '\0' ? "any port" : "port ", r->port);
	else if (owner_of(c, &r->via) != NULL)
		SAY_AT(k, "routes", i, ".via", "%s is an address of our own", written(&r->via));
}

static void check_control(const struct check *k)
{
	const struct conf *c = k->c;
	char sentence[CONF_WHY];

	if ((c->ring_slots & (c->ring_slots - 1)) != 0)
		say(k, "control.ring_slots", "must be a power of two");
	if (c->socket[0] != '/')
		say(k, "control.socket", "must be a path that begins with /");
	if (c->user[0] != '\0' && getpwnam(c->user) == NULL) {
		snprintf(sentence, sizeof(sentence), "there is no user \"%s\" on this machine", c->user);
		say(k, "control.user", sentence);
	}
}

static void check_tcp(const struct check *k)
{
	const struct tcp_conf *t = &k->c->tcp;

	if (t->rcvbuf_initial > t->rcvbuf_max)
		say(k, "tcp.rcvbuf_initial", "must not be above rcvbuf_max");
	if (t->sndbuf_initial > t->sndbuf_max)
		say(k, "tcp.sndbuf_initial", "must not be above sndbuf_max");
	if (t->rto_min_ms > t->rto_max_ms)
		say(k, "tcp.rto_min_ms", "must not be above rto_max_ms");
	if (t->rto_initial_ms > t->rto_max_ms)
		say(k, "tcp.rto_initial_ms", "must not be above rto_max_ms");
	if (t->port_min > t->port_max)
		say(k, "tcp.port_min", "must not be above port_max");
}

static void check_monitor(const struct check *k)
{
	const struct conf_monitor *m = &k->c->monitor;

	if ((m->log_bytes & (m->log_bytes - 1)) != 0)
		say(k, "monitor.log", "must be a power of two");
	if (m->log_bytes > m->memory / 4)
		say(k, "monitor.log", "must not be above a quarter of memory");
	if (m->max_flows * 1024ull > m->memory - m->memory / 4)
		say(k, "monitor.memory", "is too little for max_flows: at least 1.4 KiB each");
}

/* With libpcap's own words. */
static void check_scope(const struct check *k, unsigned i)
{
	pcap_t *p = pcap_open_dead(DLT_EN10MB, 65535);
	struct bpf_program program;

	if (p == NULL)
		return;
	if (pcap_compile(p, &program, k->c->client[i].scope, 1, PCAP_NETMASK_UNKNOWN) != 0)
		SAY_AT(k, "clients", i, ".scope", "not a pcap expression: %s", pcap_geterr(p));
	else
		pcap_freecode(&program);
	pcap_close(p);
}

static void check_rights(const struct check *k, unsigned i)
{
	struct conf_client *r = &k->c->client[i];

	r->fail_drop = r->on_failure == CONF_FAIL_DROP;
	if (r->monitor == MON_RIGHT_INLINE && r->on_failure == CONF_FAIL_UNSAID)
		SAY_AT(k, "clients", i, "", "an inline monitor wants on_failure = \"pass\" or \"drop\"");
	if (r->monitor != MON_RIGHT_INLINE && r->on_failure != CONF_FAIL_UNSAID)
		SAY_AT(k, "clients", i, ".on_failure", "is about inline monitors, and this rule does not say monitor = \"inline\"");
	if (r->monitor == MON_RIGHT_NONE && r->scope[0] != '\0')
		SAY_AT(k, "clients", i, ".scope", "is about monitors, and this rule does not say monitor = \"passive\" or \"inline\"");
	if ((r->monitor_ring & (r->monitor_ring - 1)) != 0)
		SAY_AT(k, "clients", i, ".monitor_ring", "must be a power of two");
	if (r->scope[0] != '\0')
		check_scope(k, i);
}

/* A context begins with one segment in each direction on each engine. */
static void check_clients(const struct check *k)
{
	const struct conf *c = k->c;
	uint64_t least = (uint64_t)c->cores * 2 * BYTES_SEG_SIZE;

	for (unsigned i = 0; i < c->clients; i++) {
		if (!c->client[i].any && !c->client[i].by_user && !c->client[i].by_group)
			SAY_AT(k, "clients", i, "", "a rule wants a user, a group or both; user = \"*\" is everybody");
		if (c->client[i].endpoint && c->client[i].memory < least)
			SAY_AT(k, "clients", i, ".memory", "%u engines need at least %uM", c->cores, (unsigned)(least >> 20));
		check_rights(k, i);
	}
}

void conf_check(struct conf *c, conf_say_fn fn, void *arg)
{
	const struct check k = { c, fn, arg };

	check_cores(&k);
	check_ports(&k);
	for (unsigned i = 0; i < c->routes; i++)
		check_route(&k, i);
	check_control(&k);
	check_tcp(&k);
	check_monitor(&k);
	check_clients(&k);
	c->tcp.max_conns = c->max_flows;
}
