/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The statistics segment: what stackd shows to operators.  Class A: stackd writes, stackctl maps it read-only and reads
 * whenever it likes; the engines never know.
 *
 * It describes itself (offsets, counts, names), so that stackctl of one build reads stackd of another.  Records that
 * change as a whole carry a version word: odd while being written, and a reader copies, looks again, and retries
 * (a seqlock).  Counters are single words, each written by one thread.
 */
#ifndef SHM_STAT_H
#define SHM_STAT_H

#include "shm/proto.h"

#define STAT_MAGIC 0x53544154u

enum {
	STAT_NAME = 32,
	STAT_TEXT = 104,
	STAT_PORTS_MAX = 16,
	STAT_APPS_MAX = 1024,
	STAT_LISTENERS_MAX = 1024,
	STAT_NIC_COUNTERS = 16,
	STAT_GROUPS_MAX = 16,
	STAT_CAUSES = 8, /* room for enum mon_cause */
};

struct stat_head {
	uint32_t magic, abi;
	uint64_t size;            /* of the segment */
	uint32_t pid;
	uint32_t engines, counters, ports, apps, listeners;
	uint32_t flows;           /* records per engine */
	uint32_t nic_counters;    /* used ones of stat_port.n[] */
	uint64_t started_us;      /* CLOCK_MONOTONIC */
	uint64_t started_unix;    /* s */
	/* offsets in the segment */
	uint64_t counter_names_off; /* struct stat_name [counters] */
	uint64_t nic_names_off;     /* struct stat_name [nic_counters] */
	uint64_t engine_off;        /* struct stat_engine [engines], each stat_engine_size bytes apart */
	uint64_t engine_size;
	uint64_t port_off;     /* struct stat_port [ports] */
	uint64_t app_off;      /* struct stat_app [apps] */
	uint64_t listener_off; /* struct stat_listener [listeners] */
	uint64_t flow_off;     /* struct stat_flow [engines][flows] */
	char version[STAT_NAME];
	uint64_t monitor_off;  /* struct stat_monitor [apps] */
	uint64_t group_off;    /* struct stat_group [groups] */
	uint32_t groups;
	uint32_t pad;
};

struct stat_name {
	char name[STAT_NAME];
	char text[STAT_TEXT];
};

/* Written by its engine.  n[] is the engine's struct stats itself. */
struct stat_engine {
	int32_t core;
	uint32_t conns;
	uint64_t busy_us, idle_us; /* time spent with and without work */
	uint64_t loop_us;          /* CLOCK_MONOTONIC of the last turn */
	uint64_t flows_high;       /* flow records ever used are below this */
	uint8_t pad[24];
	uint64_t n[]; /* counters */
};

/* Written by the control thread, once a second or when asked. */
struct stat_port {
	char name[STAT_NAME];
	char device[64];
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t queues, flags;
	char address[256];            /* "10.9.0.1/24 fd00::1/64 ..." */
	uint64_t n[STAT_NIC_COUNTERS]; /* the device's own counters; named by nic_names */
};

/* One context of a program.  Written by the control thread; the counts per engine by... the control thread too, which sums them. */
struct stat_app {
	uint32_t version; /* seqlock */
	uint32_t id;      /* 0: unused record */
	int32_t pid;
	uint32_t uid, gid;
	uint32_t state; /* enum stat_app_state */
	char name[STAT_NAME];
	uint32_t home;
	uint32_t sockets;        /* connections that count against it */
	uint32_t ports;          /* ports it has reserved */
	uint32_t listeners;
	uint64_t memory;         /* bytes of payload memory it holds, both classes */
	uint64_t memory_max;
	uint64_t commands, events, wakes;
	uint64_t bad;            /* nonsense counted against it */
	uint64_t since_us;
	char reason[STAT_TEXT];  /* why it is going */
};

enum stat_app_state { STAT_APP_FREE, STAT_APP_LIVE, STAT_APP_LEAVING, STAT_APP_GONE };

/* What a context that monitors has besides; its number is that of its stat_app.  Sums over its lanes; as they were when it left.
 * offered = delivered + filtered + lost, and delivered + lost is what was decided where packets were held. */
struct stat_monitor {
	uint32_t version;
	uint32_t right;    /* enum mon_right; 0: unused record */
	uint32_t group;    /* number of its stat_group */
	uint32_t sockets;
	uint32_t ring;     /* slots of an event ring */
	uint32_t lag;      /* records in the fullest of its rings */
	uint32_t held;     /* packets that wait for it */
	uint32_t fail_drop;
	uint64_t held_bytes;
	uint64_t offered, delivered, filtered, lost;
	uint64_t commands, stale, wakes;
	uint64_t verdict[4]; /* by enum mon_verdict */
	uint64_t decided[STAT_CAUSES]; /* without its verdict, by enum mon_cause */
	uint64_t breaker_opened;
	uint64_t injected, resets;
};

/* Monitors of equal scope: their arenas, all engines together. */
struct stat_group {
	uint32_t version;
	uint32_t members;  /* contexts; 0: unused record */
	uint64_t memory;   /* bytes that the arenas may have */
	uint64_t chunks, chunks_used, evicted, dropped; /* evicted from living streams; pieces that could not be stored */
	uint64_t flows, flows_max;
	uint64_t log_bytes; /* put into packet logs, ever */
	char scope[256];
};

struct stat_listener {
	uint32_t version;
	uint32_t app; /* 0: unused */
	struct ipaddr addr;
	uint16_t port;
	uint8_t reuseport, v6only;
	uint32_t backlog; /* 0: bound only */
	uint32_t waiting, syns;
};

/* What both ends agreed upon. */
enum stat_flow_option { STAT_TS = 1, STAT_SACK = 2, STAT_WS = 4, STAT_ECN = 8 };

/* One connection; written by its engine. */
struct stat_flow {
	uint32_t version;
	uint32_t app; /* 0: nobody's (yet, or any more) */
	struct ipaddr local, peer;
	uint16_t lport, pport;
	uint8_t state; /* enum tcp_state; 0: unused record */
	uint8_t pad[3];
	uint64_t born_us;
	uint64_t rx_bytes, tx_bytes;
	uint32_t srtt_us, cwnd; /* cwnd in bytes */
	uint32_t retrans;
	uint32_t mss;
	uint32_t rx_queued, tx_queued; /* bytes not yet read by the program; not yet acknowledged by the peer */
	uint32_t rto_us, ssthresh;     /* ssthresh in bytes; 0: none yet */
	uint32_t in_flight;            /* bytes sent and neither acknowledged nor known to be lost */
	uint32_t snd_wnd, rcv_wnd;     /* bytes: what the peer offers, what we have offered */
	uint32_t timeouts;             /* in a row */
	uint16_t pmtu;
	uint8_t options; /* enum stat_flow_option */
	uint8_t cc;      /* enum cc_name */
	uint32_t pad2;
};
static_assert(sizeof(struct stat_flow) % 8 == 0, "layout");

#endif
