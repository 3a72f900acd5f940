/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of the monitor share.
 *
 * A packet on its way is a struct mon_pass.  It goes through stages; each has a round of events, for the inline chain first, then for
 * the passive monitors.  While an inline monitor decides, the pass lies on the heap, first in its queue, and later packets of
 * that flow queue behind it; a verdict, a deadline or a death runs it on.
 */
#ifndef STACKD_MON_PRIV_H
#define STACKD_MON_PRIV_H

#include "stackd/mon/arena.h"
#include "stackd/mon/edit.h"
#include "stackd/mon/flow.h"

enum {
	LANES_MAX = 1024,
	LOOSE_QUEUES = 256,  /* packets without a flow are kept in order by address */
	BREAKER_OPENS = 8,   /* deadlines in a row */
	BREAKER_US = 1000000,
	COMMANDS = 256,      /* of a lane, per turn */
	PKT_RECORDS = 20,    /* that one packet may cause, for one socket: four rounds, news, the end of a flow before and of one evicted */
	EXPIRE = 4096,       /* flows ended by time, per turn */
	QUIET_US = 300000,   /* a socket whose masks have not changed for so long is ready */
	DRAIN_US = 2000000,  /* for monitors that are not lossless, at the end of the traffic */
	CLEAR = 8192,        /* flows looked at for an order, per turn */
	SCRIPT_MAX = 65536 + 4096,
	STATIONS = 256,      /* a power of two */
	L2_MAX = 22,         /* link header with two VLAN tags */
};

/* A monitor socket in this engine. */
struct mon_slot {
	struct mon_lane *lane; /* NULL: free */
	uint16_t sock;         /* the client's name */
	uint16_t kind;         /* enum mon_kind */
	uint16_t mask[MON_HOOKS];
	uint16_t flags;        /* enum mon_sock_flags */
	struct mon_filter *filter[3];
	bool inline_;
	uint64_t changed_us;
	uint32_t reg; /* its number in the order of registration, from 1 */
	unsigned share_index, share_count; /* count 0: no flows of this engine */
	unsigned strikes;      /* deadlines in a row; packets that were asked about together count once */
	uint64_t struck_us;    /* the latest */
	uint64_t open_until_us; /* the breaker is open; 0: closed */
	uint32_t fault[MON_CAUSES]; /* forced, so many times more */
};

/* What a flow tells a socket instead of the socket's own masks, or since when it tells it anything. */
struct mon_over {
	struct mon_over *next;
	uint8_t slot;
	bool masked;
	uint16_t mask[MON_HOOKS];
	uint32_t first; /* ring position after the flow's first record: until it is consumed, all events are told (MON_SOCK_EARLY) */
	bool early;
	uint8_t stopped; /* bit per side: no events of it */
	uint8_t no_buf;  /* bit per side: its stream is not wanted */
};

enum mon_stage { STAGE_RAW, STAGE_ORPHAN, STAGE_SND, STAGE_REXMIT, STAGE_ERROR, STAGE_RCV, STAGE_OUT };

struct mon_pass {
	struct pkt *pkt;
	struct mon_seg seg;
	struct mon_flow *flow;  /* NULL: none */
	struct mon_half *snd;   /* NULL: none */
	uint64_t ts_us;
	uint32_t seq_in, end_in; /* the sequence numbers that it takes, as it came */
	uint16_t left;          /* events for the rounds still to come, receiver's */
	struct mon_did rcv;
	uint64_t next_was;      /* of the receiver's stream, before it arrived: what REXMIT and ERROR tell, which precede the writing */
	enum mon_stage stage;
	uint64_t asked;         /* those of the chain that have been, or are being, asked in this stage */
	uint32_t mapped;        /* number of the last map applied in this stage */
	uint16_t events;        /* of this stage's round */
	uint8_t hook, side, flags;
	bool owned;             /* pkt is ours to send or free; else somebody lets us look */
	bool silent;            /* RAW sockets alone: the packet is malformed, or a fragment that others get joined */
	bool orphan, entered, dropped, passive;
	bool emptied;           /* edits have left nothing of its text */
	bool end, first;        /* the flow is over after it; it began the flow */
	uint64_t slots;         /* who is told in this stage */
	uint64_t log_at[MON_GROUPS_MAX]; /* position + 1 of the packet as it is now */
};

/* A pass that waits. */
struct mon_held {
	struct mon_held *next;  /* its queue */
	struct mon_queue *queue;
	struct mon_pass pass;
	bool waiting;           /* for the verdict of `slot`; else behind another, or decided and behind another */
	unsigned slot;
	uint32_t claim;
	uint64_t deadline_us;
	struct mon_lane *charged;
	uint64_t asked_us;
	uint32_t bytes;
	TAILQ_ENTRY(mon_held) due; /* of its lane, while waiting */
	TAILQ_ENTRY(mon_held) all;
};
TAILQ_HEAD(mon_dues, mon_held);

/* What the engine keeps of a lane besides the lane itself. */
struct mon_room {
	struct mon_lane *lane;
	struct mon_dues dues; /* what it has to decide, in the order of deadlines */
};

/* Behind which port of a bridge a hardware address was seen last. */
struct mon_station {
	uint8_t mac[6];
	uint8_t port;
	bool known;
};

struct mon {
	struct mon_conf conf;
	struct stats *stats;
	uint64_t now_us;  /* CLOCK_MONOTONIC */
	uint64_t time_us; /* of events */
	bool replay;      /* time comes with the packets */
	struct mon_table table;
	struct mon_flows closing; /* over, kept for stragglers; oldest first */
	uint32_t closings;
	struct mon_flows news;    /* NEW_DATA due */
	struct mon_frags *frags;
	struct mon_slot slot[MON_SLOTS_MAX];
	uint64_t slots, stream_slots, raw_slots, inline_slots;
	bool judges; /* there is, or has been, an inline socket: fragments pass as what they make together */
	uint8_t chain[MON_SLOTS_MAX]; /* slots in the order of registration */
	uint64_t want[MON_HOOKS][16];    /* slots whose mask has this event, by its bit */
	uint64_t skipped[MON_SLOTS_MAX]; /* rounds offered and not wanted since the lanes were told */
	unsigned chained;
	uint32_t regs; /* numbers given */
	struct mon_room *room;    /* LANES_MAX */
	unsigned rooms;
	struct mon_flow **rec_flow[MON_GROUPS_MAX]; /* by group and record */
	struct mon_order *orders, **orders_tail; /* under way: the first needs every flow looked at */
	uint32_t order_at;        /* index of the flow that is next */
	struct mon_held **claim;  /* by index */
	uint32_t *claim_gen;
	uint32_t claims, *claim_free, claim_frees;
	uint64_t held;
	TAILQ_HEAD(, mon_held) all_held;
	struct mon_queue loose[LOOSE_QUEUES];
	struct mon_queue last;    /* of a flow that has gone: it runs to its end at once */
	struct pkt *out[NET_PORTS_MAX][NET_BURST];
	unsigned outs[NET_PORTS_MAX];
	struct mon_station station[STATIONS]; /* noted while there are inline sockets: for frames of their own */
	uint8_t script[SCRIPT_MAX];
};

/* --- mon.c --- */
struct mon_room *mon_room_of(struct mon *m, const struct mon_lane *l);
/* On with a parsed TCP packet: to its flow, or to those who look at orphans. */
void mon_pass_tcp(struct mon *m, struct mon_pass *ps);

/* --- pass.c --- */
/* Run a pass on, as far as it goes.  False: it waits for a verdict (and has been copied, if it was not held already). */
bool mon_run(struct mon *m, struct mon_pass *ps, struct mon_held *held);
/* All that there is to say has been said: its packet is sent on or freed. */
void mon_pass_out(struct mon *m, struct mon_pass *ps);
void mon_pass_free(struct mon_pass *ps);

/* --- life.c --- */
/* Sockets that look at a flow beginning with this packet, at packets as such, at packets of no flow. */
uint64_t mon_slots_stream(struct mon *m, const struct pkt *p, const struct mon_seg *s);
uint64_t mon_slots_raw(struct mon *m, const struct mon_pass *ps);
uint64_t mon_slots_orphan(struct mon *m, const struct mon_pass *ps);
/* The flow of a packet: the sender's half, or NULL: nobody watches it.  It begins with this one if it is not known, or if all who watched
 * it have gone: then for those who have come, as a flow that is under way. */
struct mon_half *mon_flow_find(struct mon *m, struct mon_pass *ps);
/* The packet begins another connection between the same ends: what waited behind it goes there, too. */
void mon_flow_renew(struct mon *m, struct mon_pass *ps);
void mon_flow_over(struct mon *m, struct mon_flow *f);   /* into `closing` */
void mon_flow_end(struct mon *m, struct mon_flow *f);    /* CONN_END, and it is gone */
void mon_flow_remove(struct mon *m, struct mon_flow *f); /* without a word */

/* --- view.c --- */
void mon_publish(struct mon_flow *f);
void mon_view_add(struct mon *m, struct mon_flow *f, unsigned slot);
void mon_view_free(struct mon *m, struct mon_flow *f, struct mon_view *v);
/* The flow a client names, if it watches it. */
struct mon_flow *mon_flow_named(struct mon *m, struct mon_lane *l, uint32_t rec, uint32_t gen);

/* --- aside.c --- */
void mon_aside_put(struct mon_pass *ps, struct mon_half *rcv);
/* What h acknowledges it has taken. */
void mon_aside_take(struct mon *m, struct mon_half *h, struct mon_did *out);
void mon_aside_free(struct mon_half *h);

/* --- follow.c --- */
void mon_lane_mark(const struct mon *m, struct mon_lane *l); /* it has taken everything */

/* --- emit.c --- */
/* Would this slot be told of the round, and by which events? */
uint16_t mon_would_want(struct mon *m, const struct mon_flow *f, unsigned slot, unsigned hook, unsigned side, uint16_t events,
			uint16_t *flags);
/* Does this slot want the round, and by which events?  Counts offered and filtered. */
uint16_t mon_wants(struct mon *m, const struct mon_flow *f, unsigned slot, unsigned hook, unsigned side, uint16_t events,
		   uint16_t *flags);
/* Put the record.  0 or -ENOBUFS (the ring was full: counted). */
int mon_emit(struct mon *m, struct mon_pass *ps, struct mon_flow *f, unsigned slot, uint16_t events, uint8_t hook, uint8_t side,
	     uint16_t flags, uint32_t claim);
/* The round for all of `slots` that want it, in the chain's order for `side` as sender. */
void mon_emit_all(struct mon *m, struct mon_pass *ps, struct mon_flow *f, uint64_t slots, uint16_t events, uint8_t hook,
		  uint8_t side, uint16_t flags, bool reverse);
/* The masks have changed. */
void mon_want_again(struct mon *m);
/* Lanes' counters of rounds that they did not want. */
void mon_count_skipped(struct mon *m);
void mon_emit_news(struct mon *m, struct mon_flow *f);
/* changed: bit per side whose state the end has changed */
void mon_emit_end(struct mon *m, struct mon_flow *f, unsigned changed);
void mon_emit_done(struct mon *m, struct mon_lane *l);
void mon_wake(struct mon *m, struct mon_lane *l);
struct mon_over *mon_over_get(struct mon_flow *f, unsigned slot, bool make);
void mon_over_free(struct mon_flow *f, uint64_t slots);

/* --- chain.c --- */
/* Ask the chain's monitors about this stage, one after the other.  1: all have been asked; 0: one decides now; -1: dropped. */
int mon_chain(struct mon *m, struct mon_pass *ps, struct mon_held **held);
/* Apply the edits of all monitors up to this number (0: of all that are left) to the packet. */
void mon_map_upto(struct mon_pass *ps, uint32_t reg, bool before);
void mon_queue_put(struct mon *m, struct mon_queue *q, struct mon_pass *ps);
void mon_queue_run(struct mon *m, struct mon_queue *q);
/* Must this one stop before its stage is over, since those before it in the queue are not through? */
bool mon_queue_stops(const struct mon_held *h);
void mon_verdict(struct mon *m, struct mon_lane *l, const struct mon_cmd *cmd);
/* Decide what waits for a slot without asking it any more. */
void mon_release(struct mon *m, struct mon_room *r, uint64_t slots, enum mon_cause cause);
/* Packets that wait behind others are no longer counted against a lane that leaves. */
void mon_uncharge(struct mon *m, const struct mon_lane *l);
uint64_t mon_chain_expire(struct mon *m); /* when it wants to be called next */

/* --- out.c --- */
/* Send a pass's packet to the other side of its bridge; takes it over. */
void mon_send(struct mon *m, struct mon_pass *ps);
void mon_send_to(struct mon *m, struct pkt *p, unsigned port);
/* A packet of our own, in plain memory, that holds a frame put together from fragments; `like` says where it came from. */
struct pkt *mon_pkt_joined(const struct pkt *like, const uint8_t *frame, uint32_t len);

/* --- inject.c --- */
bool mon_reset(struct mon *m, struct mon_lane *l, struct mon_flow *f);
/* Acknowledge what a packet brought and edits have removed: who would receive it cannot.  Unless that lacks something before, and so will. */
void mon_answer(struct mon *m, const struct mon_pass *ps);
bool mon_inject(struct mon *m, struct mon_lane *l, const struct mon_cmd *c);
/* Who has sent this is behind the port that it came in by. */
void mon_station_note(struct mon *m, const struct pkt *p);

/* --- order.c --- */
/* Some steps of orders that take many turns.  True: there is more to do. */
bool mon_order_step(struct mon *m);
void mon_slots_forget(struct mon *m, struct mon_flow *f, uint64_t slots);
void mon_command(struct mon *m, struct mon_lane *l, const struct mon_cmd *cmd);

#endif
