/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Monitored flows: a flow has two halves, one per end host, each with the addresses *it* uses (a translating monitor makes them
 * differ), each with the TCP that its host runs, as far as the packets show.  seg.c parses, flow.c finds and bounds, half.c follows
 * the TCP.  Code is written for (sender, receiver), never per direction.
 *
 * One engine's thread.
 */
#ifndef STACKD_MON_FLOW_H
#define STACKD_MON_FLOW_H

#include <sys/queue.h>

#include "stackd/chains.h"
#include "stackd/mon/mon.h"
#include "stackd/tcp/reasm.h"
#include "stackd/wheel.h"

/* --- seg.c: a frame, parsed ------------------------------------------------------------------------------------------- */

enum mon_seg_kind {
	MON_SEG_OTHER,   /* no IP, or nothing to be said about it */
	MON_SEG_IP,      /* IP, not TCP */
	MON_SEG_TCP,
	MON_SEG_FRAG,    /* a fragment of IP: mon_frag_in() may join it */
	MON_SEG_BAD_IP,  /* malformed, cut short by a capture, or a wrong IPv4 header checksum: sent on, shown to RAW sockets alone */
	MON_SEG_BAD_TCP, /* malformed TCP header or options, or a wrong checksum: the same */
};

struct mon_seg {
	enum mon_seg_kind kind;
	uint8_t version; /* 4, 6 */
	uint8_t proto;
	uint8_t flags;   /* enum seg_flags */
	uint16_t l3_off, l4_off, l3_len; /* in the frame; l3_len as the IP header says */
	uint16_t text_off, text_len;
	uint32_t wire_text; /* the same as text_len, in 32 bits */
	struct ipaddr src, dst;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint16_t wnd; /* unscaled */
	bool has_ws;
	uint8_t shift;
	bool has_ts;
	uint32_t ts_val, ts_ecr;
	uint32_t hash; /* keyed, of (src, sport, dst, dport): what the table of halves uses */
};

/* Parse any frame (VLAN tags, up to two, are skipped; IPv6 extension headers, bounded).  Checksums are verified unless p->flags says
 * that the port did, or that they are partial (our own to be sent). */
void mon_seg_parse(const struct pkt *p, uint64_t seed, struct mon_seg *s);

/* The hash of packets from own to peer. */
uint32_t mon_tuple_hash(uint64_t seed, const struct ipaddr *own, uint16_t own_port, const struct ipaddr *peer,
			uint16_t peer_port);

/* Fragments: bounded datagrams, bytes and time; overlapping pieces: first wins... condemns the datagram (RFC 5722).  Takes a copy of p's
 * piece.  When it was the last one missing, returns a frame on the heap (headers and whole payload) in *frame, *len, which stays
 * valid until the next call. */
struct mon_frags;
struct mon_frags *mon_frags_create(uint32_t entries, uint64_t timeout_us, uint64_t seed);
void mon_frags_destroy(struct mon_frags *f);
bool mon_frag_in(struct mon_frags *f, const struct pkt *p, const struct mon_seg *s, uint64_t now_us, const uint8_t **frame,
		 uint32_t *len);

/* --- Halves and flows ---------------------------------------------------------------------------------------------------- */

struct mon_flow;

enum half_flags {
	HALF_ATTACHED = 1,   /* its addresses are known and it is in the table */
	HALF_ISN = 2,        /* isn is this end's own: from its SYN, or told by an acknowledgement */
	HALF_SYN = 4,        /* its SYN has been seen */
	HALF_WS = 8,         /* which offered window scaling, shift says how much */
	HALF_STANDS = 16,    /* isn is in use: another SYN does not change it */
	HALF_OTHER = 32,     /* its SYN came again with another ISN, isn2 */
	HALF_FIN = 64,       /* it has sent FIN, at fin_seq */
	HALF_FIN_ACKED = 128, /* and that has been acknowledged */
	HALF_SEQ = 256,      /* the stream that it receives is anchored: rcv_isn */
	HALF_ACKED = 512,    /* acked is known */
	HALF_EDGE = 1024,    /* edge is known */
	HALF_PEER_FIN = 2048, /* the stream that it receives ends at fin_off */
	HALF_RCV_FIN = 4096, /* and it has come that far in order */
	HALF_DIRTY = 8192,   /* NEW_DATA is due at the end of the turn */
	HALF_OPENER = 16384, /* its SYN had no ACK */
	HALF_SENT = 32768,   /* packets of it have been seen */
};

/* One end host.  What it has sent: isn, snd_nxt, fin_seq.  The stream that it receives: all below; offsets count from rcv_isn + 1. */
struct mon_half {
	struct chain_link link; /* hash: of packets that this end sends: (own, peer) */
	struct mon_flow *flow;
	struct ipaddr own, peer; /* as this end sees them */
	uint16_t own_port, peer_port;
	uint8_t side;  /* MON_CLI, MON_SVR */
	uint8_t state; /* enum mon_state; MON_STATE_NONE until attached */
	uint8_t shift, shift2; /* shift2: of the SYN with isn2; UINT8_MAX: it had none */
	uint16_t flags; /* enum half_flags */
	bool ack_known; /* ack_in, wnd_in are */
	uint16_t wnd_in; /* of its latest packet */
	uint32_t ack_in; /* its highest acknowledgement, as it came */
	bool syn_came; /* the other end's SYN has arrived here */
	uint32_t isn, isn2; /* own initial sequence number, and another one that it has tried */
	uint32_t snd_nxt;  /* beyond the highest sequence number it has sent */
	uint32_t gone[2];  /* of its text, FIN included: beyond what has passed all monitors at HK_SND, at HK_RCV */
	uint8_t gone_known; /* bit per hook's: there was some */
	uint32_t fin_seq;  /* sequence number of its FIN */
	uint32_t ack_raw;  /* its highest acknowledgement, while the stream is not anchored */
	uint32_t rcv_isn;  /* sequence number of the received stream's offset 0, less one */
	uint64_t next, top; /* stream offsets: in-order end; beyond the highest seen */
	uint64_t fin_off;  /* where the stream ends */
	uint64_t acked;    /* its highest acknowledgement: all below has arrived there */
	uint64_t edge;     /* the right edge of its window */
	uint64_t missed;
	uint64_t told;     /* `next` when NEW_DATA was raised last */
	struct reasm seen; /* what lies beyond next */
	struct reasm unseen; /* of what lies before: skipped holes; biased, since text may come from before an unknown start */
	struct reasm beyond; /* has been sent although it was outside the window */
	struct mon_aside *aside, *aside_last; /* payload beyond the window: kept a while, since an acknowledgement may tell that it was taken */
	uint32_t asides;   /* how many */
	uint64_t pkts;     /* sent by it */
};

struct mon_over; /* per flow and socket, where it differs from the socket's own masks (emit.c) */

/* A flow's place in one group. */
struct mon_view {
	struct mon_view *next;
	struct mon_group *group;
	uint32_t rec;      /* in the group's arena */
	uint64_t slots;    /* monitor sockets of this group that watch it */
	uint8_t buf_off;   /* bit per side: nobody wants its stream */
};

struct mon_held;

struct mon_flow {
	struct mon_half half[2]; /* by side */
	struct mon_table *table;
	uint64_t serial;
	TAILQ_ENTRY(mon_flow) age; /* least recently used first */
	struct timer timer;
	uint64_t last_us;          /* of the last packet, in event time */
	uint64_t born_us;
	uint64_t slots;            /* monitor sockets that watch it, all groups */
	uint64_t inline_slots;     /* those of them that may hold its packets */
	uint64_t told;             /* those that have been sent any record of it */
	uint64_t let_go;           /* those that watched it, and want no more of it */
	struct mon_view *views;
	struct mon_over *overs;
	struct mon_queue {
		struct mon_held *first, **tail;
		struct mon_held *fresh; /* the first of those that have not begun; NULL: all have */
	} queue;                   /* packets: the first is being decided, others wait behind it, or ahead of their turn with it */
	void *xlate;               /* map.c's, NULL: no edit has changed a length */
	uint32_t seq_in, seq_now;  /* of the packet that a script changes: as it came, and as the script's monitor sees it */
	uint16_t vlan;
	uint8_t ip_version;
	uint8_t ports[2];          /* by side: the port its packets come in by */
	uint8_t l2_len[2];         /* by side: the link header of its latest packet, VLAN tags included; 0: none seen */
	uint8_t l2[2][22];
	bool midstream, ending, dirty;
	TAILQ_ENTRY(mon_flow) news; /* while dirty */
};
TAILQ_HEAD(mon_flows, mon_flow);

struct mon_table {
	struct chains halves; /* those that are attached */
	struct mon_flow *free;
	struct mon_flow **slab;
	uint32_t slabs, slabs_max, max, used;
	uint32_t ranges; /* pieces beyond holes, of all streams */
	uint32_t aside;  /* memory of what is kept aside, of all streams */
	uint64_t next_serial;
	struct mon_flows age;
};

int mon_table_init(struct mon_table *t, uint32_t max_flows);
void mon_table_fini(struct mon_table *t);

/* The half that sent this segment, or NULL. */
struct mon_half *mon_half_find(const struct mon_table *t, const struct mon_seg *s);

/* A new flow with zeroed halves and a serial; NULL when max are in use (then end the oldest of t->age first).  Not yet found by anything. */
struct mon_flow *mon_flow_new(struct mon_table *t);
/* Enter a half by the addresses of a segment: `from` true: it is the sender; else the receiver.  -EEXIST: another flow has them. */
int mon_half_attach(struct mon_table *t, struct mon_half *h, const struct mon_seg *s, bool from, uint64_t seed);
void mon_flow_free(struct mon_table *t, struct mon_flow *f); /* leaves the table; reasm lists are cleared */
void mon_flow_touch(struct mon_table *t, struct mon_flow *f); /* most recently used */
/* Walk: the flow in place `index`, or NULL in *f where that place is free.  False: there are no more places. */
bool mon_table_at(const struct mon_table *t, uint32_t index, struct mon_flow **f);

static inline struct mon_half *mon_other(struct mon_half *h)
{
	return &h->flow->half[1 - h->side];
}

/* --- half.c: TCP as seen ---------------------------------------------------------------------------------------------------- */

/* What a segment did to one half. */
struct mon_did {
	uint16_t events; /* enum mon_bit, without PKT_IN */
	bool rexmit_text; /* rcv: some of the payload had been seen before */
	bool end;        /* the flow is over: both closed, or reset */
	uint8_t anew;    /* snd: bits 1 << side: its stream begins again at offset 0, from another ISN; what was stored is void */
	bool reset;      /* a new connection begins here: end this flow and treat the SYN as a first packet */
	/* rcv: the part of the payload to be stored: text[skip, skip+len) at stream offset off */
	uint32_t skip, len;
	uint64_t off;
	uint64_t at;     /* stream offset of the segment's first payload byte; UINT64_MAX: none (what pkt_info.offset tells) */
	bool outside;    /* rcv: payload beyond the window, or absurd: ERROR, not stored */
};

/* s is sent by snd: advance the sender's state (it cannot know what of it arrives).  Raises CONN_START for a first SYN,
 * STATE_CHANGE, REXMIT (payload, SYN or FIN sent before). */
void mon_half_snd(struct mon_half *snd, const struct mon_seg *s, struct mon_did *did);

/* s arrives at rcv: take the ACK (of rcv's data), text and FIN (of the peer's).  Everything is noted as seen; the caller stores the
 * bytes.  A hole below what rcv acknowledges to its peer is skipped when that ACK is *sent* (mon_half_snd), since then the data
 * has arrived although it was never seen here. */
void mon_half_rcv(struct mon_half *rcv, const struct mon_seg *s, struct mon_did *did);

/* Will s, sent by snd, cause nothing but the arrival of new text and of its acknowledgement, whatever becomes of the packets of this flow
 * that have been sent but have not arrived?  So no state changes, nothing is sent again, no hole is skipped. */
bool mon_half_plain(const struct mon_half *snd, const struct mon_seg *s);

/* h has acknowledged payload that lay beyond its window when it came (RFC 9293 3.8.6.1: probes; or we have missed a window update).
 * did says what is to be stored; true: something. */
bool mon_half_taken(struct mon_half *h, uint64_t at, uint32_t len, bool fin, struct mon_did *did);
/* After those: holes that are acknowledged are skipped. */
void mon_half_skip(struct mon_half *h, struct mon_did *did);

/* First packet of a flow in mid-stream: which end is the client, and both halves' starting points.  Returns the sender's side. */
unsigned mon_half_pickup(struct mon_flow *f, const struct mon_seg *s);

/* Frees what it knows of which parts of its stream have been seen. */
void mon_half_forget(struct mon_half *h);

/* Idle too long, evicted, or reset: both states become CLOSED; which sides changed (bits 1 << side). */
unsigned mon_half_end(struct mon_flow *f);

const char *mon_state_name(unsigned state);

#endif
