/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The monitor of one engine: flows of others as both their ends see them, one reassembly per authorisation group, events to any
 * number of monitor sockets, and packets held for those that may change traffic (design.md, section 6).
 *
 * Called by the engine's thread.  The control thread makes lanes, groups and filters, and hands them over by orders, which come back when
 * they have been carried out.  Nothing here waits for a client; what a client writes is copied, checked, then used, and
 * lane->bad says why a client must go.
 *
 *   mon.c    frames in, once a turn        seg.c    a frame parsed; frag.c: fragments joined
 *   pass.c   a packet, stage by stage      half.c   one end's TCP, as the packets show it; aside.c: beyond its window
 *   life.c   who watches a flow, its       flow.c   the table of flows
 *            beginning and its end         view.c   a flow in an arena; arena*.c: what monitors read
 *   emit.c   event records, masks, rings   chain.c  holds, verdicts, deadlines, the breaker
 *   order.c  the control thread's orders   edit.c   edit scripts; map.c: sequence translation
 *   out.c    what is forwarded             inject.c frames of a monitor's own
 *   filter.c BPF                           follow.c how far monitors are behind
 */
#ifndef STACKD_MON_MON_H
#define STACKD_MON_MON_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/mon.h"
#include "shm/region.h"
#include "shm/ring.h"
#include "stackd/net/net.h"
#include "stackd/nic/nic.h"
#include "stackd/stats.h"

enum { MON_GROUPS_MAX = 16 };

struct client;
struct arena;
struct mon_filter;
struct mon;

/* --- filter.c: checked by libpcap, run by rte_bpf.  A filter may be used by several engines at once. --- */

/* NULL and errno: EINVAL (a program that bpf_validate or DPDK's verifier refuses), ENOMEM. */
struct mon_filter *mon_filter_make(const struct mon_insn *insn, unsigned count);
/* The same from an expression, for scopes. why gets libpcap's words. */
struct mon_filter *mon_filter_compile(const char *expression, char *why, size_t why_size);
void mon_filter_free(struct mon_filter *f); /* accepts NULL */
/* Instructions on the longest way through it. */
unsigned mon_filter_steps(const struct mon_filter *f);
/* NULL matches all. */
bool mon_filter_match(const struct mon_filter *f, const struct pkt *p);
bool mon_filter_match_bytes(const struct mon_filter *f, const uint8_t *frame, uint32_t len);

/* --- Groups: monitors of equal scope.  Made by the control thread, one of each per engine; the engine fills in the rest. --- */
struct mon_group {
	unsigned id; /* below MON_GROUPS_MAX, the same in all engines */
	const struct mon_filter *scope; /* NULL: everything */
	struct region mem;    /* the arena */
	struct arena *arena;  /* its writer */
	unsigned lanes;       /* the engine's: lanes of this group it has */
};

/* --- A lane: one monitor context in one engine --- */
struct mon_policy_conf {
	bool inline_ok; /* may hold and change packets */
	bool fail_drop; /* what happens to a packet without a verdict */
	uint64_t deadline_us;
	uint32_t hold_packets;
	uint64_t hold_bytes;
};

struct mail;

struct mon_lane {
	unsigned engine;
	uint32_t app;
	struct client *client; /* the control thread's own */
	struct mail *letter;   /* core_mail.c's: the control thread's, to be told when it is bad */
	struct mon_group *group;
	struct mon_policy_conf policy;
	bool lossless;

	struct region down, up;
	struct ring_prod events;
	struct ring_cons cmds;
	struct mon_down *dn;
	struct mon_up *upp;      /* never dereferenced: its address is handed to ring.h */
	const uint8_t *edit;     /* the edit area; copied from, once */
	uint32_t edit_size;
	int doorbell_fd;         /* as in struct lane */
	int wake_fd;             /* our end; belongs to the control thread */

	/* the engine's */
	uint32_t woken;
	unsigned share_index, share_count; /* of the flows of this engine, which are its own; count 0: none */
	bool has_news, leaving;
	uint32_t gap;            /* records lost since the last one that was put */
	uint64_t slots;          /* bit per monitor socket of this lane */
	uint32_t held;           /* packets waiting for it */
	uint64_t held_bytes;
	const char *bad;         /* why this client must go */
	bool bad_told;
	struct {
		uint64_t stored, logged, bytes; /* the arena's chunks and log, and payload, when this lane had last taken everything */
	} mark;

	/* for stackctl, written by the engine.  offered = delivered + filtered + lost + early-dropped causes */
	uint64_t offered, delivered, filtered, lost, commands, wakes, stale;
	uint64_t verdict[3];         /* by enum mon_verdict */
	uint64_t decided[MON_CAUSES]; /* by enum mon_cause */
	uint64_t breaker_opened;
	uint64_t injected, resets;
};

struct mon_lane_conf {
	unsigned engine;
	uint32_t app;
	uint32_t ring_slots, cmd_slots, edit_size;
	int wake_fd;
	bool lossless;
	struct mon_group *group;
	struct mon_policy_conf policy;
};

/* Regions, doorbell and rings.  0 or -errno.  Control thread. */
int mon_lane_create(const struct mon_lane_conf *conf, struct mon_lane **out);
void mon_lane_destroy(struct mon_lane *l); /* accepts NULL */

/* --- Orders: control thread -> engine, and back when done (mail MAIL_MON_ORDER, MAIL_MON_DONE) --- */
enum mon_order_kind {
	MON_ORDER_LANE,   /* lane: a new one */
	MON_ORDER_LEAVE,  /* lane: take everything of it back; comes back when nothing refers to it (also not to its group's arena) */
	MON_ORDER_SOCK,   /* lane, sock, conf: a new monitor socket, or its changed masks.  err: -ENFILE when all slots are taken */
	MON_ORDER_FILTER, /* lane, sock, which, filter: exchanged for the old one, which comes back in `filter` */
	MON_ORDER_CLOSE,  /* lane, sock; its filters come back in `old` (the engines free no filter) */
	MON_ORDER_SHARE,  /* lane, share_index, share_count */
	MON_ORDER_FAULT,  /* lane, cause, times */
	MON_ORDER_FINISH, /* end all flows (the traffic is over) */
};

struct mon_order {
	enum mon_order_kind kind;
	struct mail *letter; /* core_mail.c's: the control thread's, which goes back with the answer */
	struct mon_lane *lane;
	uint16_t sock;
	struct ctl_mon_sock conf;
	uint16_t which; /* enum mon_filter_which */
	struct mon_filter *filter;
	struct mon_filter *old[3];
	/* of the contexts of one process that watch this engine, which one this is: flows are spread by hash */
	unsigned share_index, share_count;
	uint32_t cause, times; /* FINISH: times 1: there will be no more traffic, tell them */
	uint64_t until_us;     /* the engine's */
	uint32_t request; /* the sender's */
	int err;          /* the answer */
	struct mon_order *next; /* the engine's, while under way */
};

/* --- The engine's monitor --- */
enum mon_port_mode { MON_PORT_NONE, MON_PORT_BRIDGE, MON_PORT_TAP, MON_PORT_REPLAY, MON_PORT_ENDPOINT };

struct mon_conf {
	unsigned engine;
	uint32_t max_flows;   /* per engine */
	uint64_t memory;      /* of an arena, bytes */
	uint64_t buffer_max;  /* per stream, bytes */
	uint64_t log_bytes;   /* of packet log, of `memory`; power of two */
	uint64_t idle_us;     /* a flow without packets for so long has ended */
	uint64_t time_wait_us; /* a closed flow is kept so long for stragglers before CONN_END */
	bool pickup;          /* flows may begin in the middle */
	uint32_t frag_entries;
	uint64_t frag_timeout_us;
	struct {
		enum mon_port_mode mode;
		int peer; /* bridge: index of the other port; else -1 */
		struct nic *nic;
	} port[NET_PORTS_MAX];
	unsigned ports;
	uint64_t seed;
	uint64_t realtime_us; /* CLOCK_REALTIME less CLOCK_MONOTONIC */
	/* A datagram has been put together from fragments: takes it over if its flow is another engine's, to be given to that one's
	 * mon_in().  NULL: there is no other. */
	bool (*elsewhere)(void *arg, struct pkt *whole);
	void (*order_done)(void *arg, struct mon_order *o);
	void (*lane_bad)(void *arg, struct mon_lane *l); /* once: its client must go */
	void *arg;
};

struct mon *mon_create(const struct mon_conf *conf, struct stats *stats);
void mon_destroy(struct mon *m);

/* Frames of bridge, tap and replay ports (pkt->port says which), and datagrams that another engine has put together: takes all over; what
 * may be forwarded goes out with mon_flush(). */
void mon_in(struct mon *m, struct pkt **pkts, unsigned n, uint64_t now_us);

/* A TCP frame of our own endpoint that passes: watched passively, not taken over.  Call it for received ones before tcp_in(),
 * for sent ones before nic_tx(). */
void mon_watch(struct mon *m, struct pkt *p, uint64_t now_us);

/* Does anybody watch at all? (mon_watch need not be called when not) */
bool mon_wanted(const struct mon *m);

/* Commands of all lanes: verdicts release held packets.  Returns how many were taken. */
unsigned mon_commands(struct mon *m, uint64_t now_us);

/* Deadlines, idle flows, ended ones. */
void mon_expire(struct mon *m, uint64_t now_us);

/* NEW_DATA of this turn, orders under way, wake-ups. Once a turn. */
void mon_settle(struct mon *m, uint64_t now_us);

/* Send what is forwarded, all ports. */
void mon_flush(struct mon *m, uint64_t now_us);

/* When mon_expire has something to do next; now_us when orders are under way; UINT64_MAX: never. */
uint64_t mon_next_us(const struct mon *m, uint64_t now_us);

/* Something to take from a lane / tell clients that the engine sleeps (their doorbells matter now). */
bool mon_ready(const struct mon *m);
void mon_asleep(struct mon *m, uint32_t asleep);

/* How many packets of a replay may come without any lossless monitor losing something, or a packet overtaking the verdict about the one
 * before; UINT_MAX: no monitor minds. */
unsigned mon_can_take(const struct mon *m);
/* Monitor sockets that have said all they want, or said nothing for a while: a replay may wait for so many. */
unsigned mon_socks_ready(const struct mon *m, uint64_t now_us);

/* Carry out an order; it comes back through conf.order_done, perhaps at once, perhaps turns later. */
void mon_order(struct mon *m, struct mon_order *o, uint64_t now_us);

/* --- For stackctl --- */
struct mon_figures {
	uint32_t flows, groups, lanes, socks;
	uint64_t held;
};
void mon_figures(const struct mon *m, struct mon_figures *f);

#endif
