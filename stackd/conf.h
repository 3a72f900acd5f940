/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The configuration: one struct, filled from one table of keys (conf.c), which also drives --check, the man page and the
 * sample file.  Read once at start; nothing changes it afterwards.
 */
#ifndef STACKD_CONF_H
#define STACKD_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "shm/proto.h"
#include "stackd/net/net.h"
#include "stackd/nic/nic.h"
#include "stackd/tcp/tcp.h"

enum {
	CONF_CORES_MAX = SHM_ENGINES_MAX,
	CONF_CLIENTS_MAX = 64,
	CONF_RANGES_MAX = 32,
};

enum conf_mode { CONF_ENDPOINT, CONF_BRIDGE, CONF_TAP, CONF_REPLAY };
enum conf_speed { CONF_SPEED_MAX, CONF_SPEED_REAL };
enum conf_end { CONF_END_STAY, CONF_END_EXIT };
enum conf_failure { CONF_FAIL_UNSAID, CONF_FAIL_PASS, CONF_FAIL_DROP };
enum conf_idle { CONF_IDLE_ADAPTIVE, CONF_IDLE_POLL };

struct conf_port {
	char name[32];
	char device[256]; /* DPDK device string */
	enum conf_mode mode;
	char peer[32]; /* bridge: the other port */
	uint16_t mtu, vlan;
	struct net_addr addr[NET_ADDRS_MAX];
	unsigned addrs;
	bool addrs_unread; /* it has some that could not be read */
	struct ipaddr gateway[2]; /* of IPv4, of IPv6; unspecified: none */
	struct nic_fault fault;
	enum conf_speed replay_speed;
	enum conf_end replay_end;
	uint32_t replay_wait; /* monitor sockets that must be there before it begins */
};

struct conf_route {
	struct ipaddr dst, via;
	uint8_t prefix;
	char port[32]; /* empty: found from via */
};

struct conf_range {
	uint16_t from, to;
};

/* One rule of `clients`; the first that matches the peer's credentials decides. */
struct conf_client {
	bool any;                /* user = "*" */
	bool by_user, by_group;
	uid_t uid;
	gid_t gid;
	char name[64];           /* as written */
	bool endpoint;
	bool operator_;          /* may use stackctl */
	struct conf_range port[CONF_RANGES_MAX]; /* may be bound */
	unsigned ports;
	uint32_t max_sockets;    /* per context */
	uint32_t max_contexts;   /* per process */
	uint32_t user_contexts;  /* per user, so that one with many processes leaves room for the others */
	uint64_t memory;         /* bytes of payload memory per context, both classes */
	enum mon_right monitor;
	char scope[256];         /* pcap expression; empty: everything */
	enum conf_failure on_failure;
	bool fail_drop;
	uint32_t deadline_ms, hold_packets;
	uint64_t hold_bytes;
	uint32_t monitor_ring;   /* slots */
	uint32_t max_monitor_sockets; /* per user, so that one cannot take all there are */
	uint32_t max_filter_steps; /* per user, so that nobody's filters slow down every packet */
};

/* Of each engine; arenas of each group of monitors, too. */
struct conf_monitor {
	uint32_t max_flows;
	uint64_t memory, log_bytes, buffer_max; /* bytes */
	uint32_t idle_timeout_s, time_wait_ms;
	bool pickup;
};

struct conf {
	char file[256];
	/* engines */
	unsigned cores;
	int core[CONF_CORES_MAX];
	enum conf_idle idle;
	uint32_t max_flows;  /* per engine */
	uint32_t spin_us;    /* before an engine, or a client, sleeps */
	/* memory */
	char hugepages[16];  /* "auto", "always", "never" */
	uint32_t packets;    /* buffers per port */
	/* ports, routes */
	struct conf_port port[NET_PORTS_MAX];
	unsigned ports;
	struct conf_route route[NET_ROUTES_MAX];
	unsigned routes;
	/* net */
	uint32_t arp_entries, arp_age_s, nd_age_s, dad, frag_entries, frag_timeout_ms, icmp_rate;
	/* control */
	char socket[108];
	uint32_t socket_mode;
	uint32_t max_clients;      /* contexts at once */
	uint32_t ring_slots;       /* of each lane's rings; power of two */
	char user[32];             /* drop to this user after start; empty: stay, without capabilities */
	/* tcp */
	struct tcp_conf tcp;
	/* monitor */
	struct conf_monitor monitor;
	/* clients */
	struct conf_client client[CONF_CLIENTS_MAX];
	unsigned clients;
};

/* Read a file.  0, or -1 after printing every error to err, each as "FILE:LINE: key.path: what is wrong; what to do". */
int conf_read(struct conf *c, const char *file, FILE *err);

/* The defaults alone. */
void conf_default(struct conf *c);

/* The rule for a peer, or NULL. gids are the peer's groups (the primary first). */
const struct conf_client *conf_client_for(const struct conf *c, uid_t uid, const gid_t *gid, unsigned gids);

bool conf_client_may_bind(const struct conf_client *rule, uint16_t port);

/* Is it in one of the port's networks? */
bool conf_port_reaches(const struct conf_port *p, const struct ipaddr *a);

/* Has it an address of IPv6? */
bool conf_port_speaks_ip6(const struct conf_port *p);

/* Print all keys: type, default, range, unit, meaning; one line each (for --keys, the man page and the sample file's test). */
void conf_print_keys(FILE *out);

/* Print the configuration in effect, as --check does. */
void conf_print(const struct conf *c, FILE *out);

#endif
