/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One TCP connection.  tcp/ alone writes it (except where a field says otherwise); app/, mon/ and statistics read.
 *
 * Sequence numbers and stream offsets: the byte at stream offset o is sent as iss + 1 + o and received as irs + 1 + o,
 * modulo 2^32.  What can be large or is said to the owner is a 64-bit offset, what travels is a 32-bit number.
 */
#ifndef STACKD_TCP_CONN_H
#define STACKD_TCP_CONN_H

#include <assert.h>
#include <sys/queue.h>

#include "stackd/chains.h"
#include "stackd/tcp/cc.h"
#include "stackd/tcp/flight.h"
#include "stackd/tcp/reasm.h"
#include "stackd/tcp/tcp.h"
#include "stackd/wheel.h"

/* What tcp_settle() must do for it. */
enum conn_todo {
	TODO_ACK = 1,     /* acknowledge, by whatever segment goes out */
	TODO_SEND = 2,    /* look whether something may be sent */
	TODO_SYN = 4,     /* SYN, or in SYN-RECEIVED SYN-ACK */
	TODO_REXMIT = 8,  /* the segment at snd_una again */
	TODO_PROBE = 16,  /* a zero window probe */
	TODO_KEEP = 32,   /* a keepalive probe */
	TODO_RST = 64,    /* the last thing it sends */
	TODO_NOTE = 128,  /* tell the owner */
	TODO_FORCE = 256, /* send a small segment although Nagle or cork would wait */
	TODO_TLP = 512,   /* a tail loss probe (RFC 8985) */
};

enum conn_flags {
	CONN_HELD = 1,           /* the owner has the pointer */
	CONN_ACTIVE = 2,         /* opened by us */
	CONN_CONNECTED = 4,      /* has been ESTABLISHED */
	CONN_TS = 8,             /* timestamps, RFC 7323 */
	CONN_WS = 0x10,          /* window scaling */
	CONN_SACK = 0x20,        /* RFC 2018 */
	CONN_NODELAY = 0x40,
	CONN_CORK = 0x80,
	CONN_KEEPALIVE = 0x100,
	CONN_QUICKACK = 0x200,
	CONN_FIN_QUEUED = 0x400, /* the owner sends no more after tx_end */
	CONN_RX_SHUT = 0x800,    /* the owner reads no more */
	CONN_FIN_SEEN = 0x1000,  /* the peer's FIN lies at rx_fin */
	CONN_RX_FIN = 0x2000,    /* ... and everything before it is there */
	CONN_PERSIST = 0x4000,   /* the retransmission timer runs for zero window probes */
	CONN_RECOVERY = 0x8000,  /* fast recovery, until `recover` is acknowledged */
	CONN_LOSS = 0x10000,     /* after a retransmission timeout, until `recover` is acknowledged */
	CONN_TIMED = 0x20000,    /* the segment ending at rtt_seq is being timed */
	CONN_URGENT = 0x40000,
	CONN_SNDBUF = 0x80000,   /* the owner set the size: no tuning */
	CONN_RCVBUF = 0x100000,
	CONN_MARKED = 0x200000,  /* on the list of tcp_settle() */
	CONN_YOUNG = 0x400000,   /* on the list of those not yet told to a listener's owner */
	CONN_COUNTED = 0x800000, /* in SYN-RECEIVED, counted in listen_lane.syns */
	CONN_RELEASED = 0x1000000, /* the owner has let go of it */
	CONN_INTERACTIVE = 0x2000000, /* what came was answered with data soon: acknowledgements ride on it */
	CONN_ORPHAN = 0x40000000,  /* ... and what it queued is on its way yet: counted in struct tcp */
	CONN_HELD_BACK = 0x20000000, /* in SYN-RECEIVED: the peer's ACK has come, the accept queue had no room */
	CONN_DEFERRED = 0x10000000,  /* in SYN-RECEIVED: the peer's ACK has come, data has not (OPT_DEFER_ACCEPT) */
};

/* RFC 3168 */
enum conn_ecn {
	ECN_OK = 1,    /* both ends do it */
	ECN_ASKED = 2, /* by our SYN */
	ECN_ECHO = 4,  /* a mark has arrived: say so until CWR comes */
	ECN_CWR = 8,   /* cwnd was reduced: say so with the next new segment */
	ECN_WAIT = 16, /* no more reductions until ecn_end is acknowledged */
};

/* One struct timer serves them all: it runs for the earliest. */
enum conn_timer {
	T_RACK,   /* reordering, tail loss probe: RFC 8985; before T_REXMIT, which a probe puts off */
	T_REXMIT, /* retransmission of SYN, data, FIN; zero window probes; SYN-ACK */
	T_DELACK,
	T_LIFE,   /* keepalive, FIN-WAIT-2, TIME-WAIT */
	T_LINGER,
	T_KINDS
};

struct tcp_conn {
	/* identity */
	struct ipaddr local, peer;
	uint16_t lport, pport;
	uint32_t hash;   /* net_tuple_hash */
	uint8_t state;   /* enum tcp_state; changed by tcp_set_state() alone */
	uint8_t note;    /* enum tcp_note */
	uint32_t slot;   /* this connection's number in the engine, dense: names its statistics record */
	uint64_t born_us;

	/* the owner's */
	struct tcp_owner *owner;   /* NULL: no more.  In SYN-RECEIVED it is the listener's, which does not know yet */
	struct listener *listener; /* passive opens, until accepted or the listener is gone */
	void *user;                /* written by the owner: its own record */
	struct tcp_conn *owner_next, **owner_prev; /* list of the owner's connections, kept by tcp/ */

	/* the engine's lists */
	struct chain_link flow; /* of the connection table; or free */
	uint32_t flags; /* enum conn_flags */
	TAILQ_ENTRY(tcp_conn) marked;
	TAILQ_ENTRY(tcp_conn) life; /* young ones; or TIME-WAIT, oldest first */
	struct timer timer;
	uint64_t due_us[T_KINDS]; /* 0: not set */
	uint16_t todo;            /* enum conn_todo */
	uint16_t dup_acks;        /* duplicate ACKs to be sent: these do not coalesce (RFC 5681, 3.2) */

	/* sending: RFC 9293, 3.3.1 */
	uint32_t iss, snd_una, snd_nxt;
	uint32_t snd_max; /* highest number sent so far: snd_nxt, but for the byte of a zero window probe */
	uint32_t snd_wnd, snd_wl1, snd_wl2;
	uint32_t snd_wnd_max; /* largest window the peer has offered */
	uint32_t snd_sml;     /* end of the last segment smaller than MSS (Minshall) */
	uint32_t recover;     /* RFC 6582 */
	uint32_t retrans;     /* segments sent again */
	uint64_t tx_end, tx_acked;
	struct bytes tx;
	struct flight *flight; /* segments in [snd_una, snd_nxt); NULL: nothing is in flight */
	uint32_t sndbuf;     /* what the owner may have queued and in flight */
	uint16_t mss;        /* bytes of payload we put into a segment, options already taken off */
	uint16_t mss_peer;   /* what the peer's SYN allowed, before options */
	uint16_t mtu;        /* of the path */
	uint16_t mss_max;    /* OPT_MAXSEG; 0: no limit */
	uint16_t mtu_max;    /* of our port: the path's at first */
	uint16_t mtu_acked;  /* largest packet that has arrived */
	uint16_t mtu_said;   /* what a router said, until a timeout confirms it; 0: nothing */
	uint16_t mtu_probe;  /* size of a larger packet that is on its way; 0: none */
	uint32_t mtu_said_seq, mtu_probe_end;
	uint32_t mtu_raise_s; /* when a larger one may be tried */
	uint8_t dup_acks_in; /* duplicate ACKs received in a row */
	uint8_t rexmits;     /* timeouts in a row */
	uint8_t snd_shift, rcv_shift;
	struct cc cc;

	/* round trip: RFC 6298 */
	uint32_t rtt_seq;
	uint32_t srtt_us, rttvar_us, rto_us;
	uint64_t rtt_us;      /* when the timed segment was sent */
	uint64_t sent_us;     /* when payload was last sent */
	uint64_t progress_us; /* when the peer last acknowledged something new, or the queue became non-empty */

	/* loss detection: RFC 8985, what outlives a flight */
	uint32_t min_rtt_us, min_rtt_s; /* and when it was measured */
	uint32_t dsack_end;   /* RACK.dsack_round */
	bool dsack_round, reordering;
	uint8_t reo_mult;     /* RACK.reo_wnd_mult - 1 */
	uint8_t reo_persist;
	uint8_t ecn;          /* enum conn_ecn */
	uint16_t reo_segs;    /* how far segments were seen to be reordered, at most, beyond DUP_THRESH; 0: not so far */
	uint32_t ecn_end;

	/* receiving */
	struct sack_dups *dups; /* received twice and not told yet (RFC 2883); NULL: nothing */
	uint32_t irs, rcv_nxt;
	uint32_t rcv_adv;       /* right edge of the advertised window: never goes back */
	uint32_t last_ack_sent; /* RFC 7323, 4.3 */
	uint32_t ts_recent, ts_offset;
	uint64_t ts_recent_us;
	uint64_t rx_end, rx_done, rx_fin;
	struct bytes rx;
	struct reasm ooo; /* stream offsets */
	uint32_t rcvbuf;
	uint16_t rcv_mss;       /* largest segment the peer has sent */
	uint8_t probes;         /* zero window or keepalive probes without an answer */
	uint8_t quick_acks;     /* so many more are not delayed */
	uint8_t challenges;     /* in this window of time, RFC 5961, section 10 */
	uint32_t unacked_bytes; /* received and not acknowledged yet */
	uint32_t challenge_ms;
	uint64_t heard_us; /* last acceptable segment */
	uint64_t text_us;  /* last one with payload */
	uint32_t segs_in, segs_out;

	/* receive window tuning: bytes the program took in the last round trip */
	uint64_t tune_us, tune_done;
	uint32_t tune_rtt_us, tune_space;

	/* options of the owner */
	uint32_t user_timeout_ms;
	uint32_t notsent_lowat; /* it wants to know when less than that is unsent; 0: no */
	uint32_t snd_told;      /* snd_nxt when it was told last */
	uint32_t keepidle_s, keepintvl_s;
	uint32_t wnd_clamp; /* bound of the window; 0: none */
	uint8_t keepcnt, syncnt; /* 0: as configured */
	uint8_t ttl, tos;
	uint8_t mtu_discover; /* IP_PMTUDISC_* of linux/in.h */
	int16_t linger2_s;   /* 0: as configured; negative: none */
	uint16_t defer_s;    /* passive opens wait so long for data */
	int16_t err;      /* errno, 0: none */
	int16_t soft_err; /* from ICMP, told to the owner; becomes err when the connection times out */
};
static_assert(sizeof(struct tcp_conn) <= 704, "a million of them must fit in 1.5 GiB");

#endif
