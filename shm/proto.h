/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The contract between stackd and a client, in one header: message records, shared layouts, numbers.
 *
 * Two channels.  The control socket (Unix SOCK_SEQPACKET, struct ctl_*) carries what is rare and wants an answer:
 * attaching, ports, listeners, memory.  The lane (struct cmd, struct event in two rings of shared memory) carries what
 * is frequent and never waits.  One context has one control socket and one lane per engine.
 *
 * Everything here has fixed width; no pointer crosses.  Fields are in host order, ports and addresses too are plain
 * numbers except where the comment says "network order".  Client-written memory is read once into a local, checked,
 * then used (ring.h and bytes.h do that).  doc/shm-layout.md draws this file.
 */
#ifndef SHM_PROTO_H
#define SHM_PROTO_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAGIC 0x53544b44u /* "STKD" */
#define SHM_ABI 7u            /* raised by every change of this header that old clients would misread */

enum {
	SHM_LINE = 64,         /* cache line; also the size of a ring slot */
	SHM_ENGINES_MAX = 64,  /* engines of one stackd */
	SHM_NAME_MAX = 32,     /* a program's name, with its NUL */
	SHM_TEXT_MAX = 256,    /* a refusal's sentence, with its NUL */
	SHM_RETA_SIZE = 128,   /* entries of the steering table */
	SHM_RSS_KEY_SIZE = 40, /* bytes of the Toeplitz key */
	SHM_ADDRS_MAX = 16,    /* local addresses told to a client */
	SHM_OPTS_MAX = 32,     /* room for enum sock_opt */
};

/* An IP address.  IPv4 is stored v4-mapped (RFC 4291, 2.5.5.2), so that one comparison serves both families.  A link-local address of
 * IPv6 has the number of its port, counted from 1 as the configuration names them, in its fourth byte: it is the scope id of a
 * struct sockaddr_in6, and zero in packets. */
struct ipaddr {
	union {
		uint8_t b[16];
		uint32_t w[4]; /* network order */
	};
};

/* --- Control socket ------------------------------------------------------------------------------------------------
 * One datagram is one message: a struct ctl_head, then the body its type names.  A client's request carries an id it
 * chose; stackd's CTL_REPLY repeats it.  SEGMENT, SEGMENT_GONE and SEGMENT_NO come unasked or late and carry id 0.
 */
enum ctl_type {
	CTL_NONE,
	/* client -> stackd */
	CTL_HELLO,       /* ctl_hello; must come first; answered by CTL_WELCOME or CTL_REFUSED */
	CTL_BIND,        /* ctl_bind -> CTL_REPLY; value = the port reserved */
	CTL_UNBIND,      /* ctl_sock -> CTL_REPLY */
	CTL_LISTEN,      /* ctl_listen -> CTL_REPLY */
	CTL_UNLISTEN,    /* ctl_sock -> CTL_REPLY; when it arrives no further EV_ACCEPT for the cookie is produced */
	CTL_SEGMENT_ASK, /* ctl_segment (class B only); answered by CTL_SEGMENT or CTL_SEGMENT_NO */
	CTL_STATS,       /* no body; operators only; CTL_REPLY with the statistics segment's fd */
	CTL_SHUT,        /* ctl_sock with cookie = app id; operators only: detach that program */
	CTL_MON_OPEN,    /* ctl_mon_open -> CTL_MON_LANE for each engine, then CTL_REPLY + 1 fd: the monitor thread's wake
	                    socket; value = enum mon_right */
	CTL_MON_SOCK,    /* ctl_mon_sock -> CTL_REPLY when every engine goes by it */
	CTL_MON_FILTER,  /* ctl_mon_filter -> CTL_REPLY */
	CTL_MON_CLOSE,   /* ctl_sock, cookie = ctl_mon_sock.sock -> CTL_REPLY; no event for it is produced any more */
	CTL_MON_FAULT,   /* ctl_mon_fault; operators only -> CTL_REPLY */
	CTL_CLIENT_MAX,
	/* stackd -> client */
	CTL_WELCOME = 64, /* ctl_welcome + 1 fd: the wake socket */
	CTL_REFUSED,      /* ctl_refused; the connection closes after it */
	CTL_LANE,         /* ctl_lane + 3 fds: class A region, class B region, the engine's doorbell (eventfd) */
	CTL_READY,        /* no body; every lane has been sent */
	CTL_REPLY,        /* ctl_reply (+ fd for CTL_STATS) */
	CTL_SEGMENT,      /* ctl_segment + 1 fd */
	CTL_SEGMENT_GONE, /* ctl_segment; class A: the engine has taken a drained segment back */
	CTL_SEGMENT_NO,   /* ctl_segment; class B: the memory quota is used up */
	CTL_DETACHED,     /* ctl_refused: why this client was detached; the connection closes after it */
	CTL_MON_LANE,     /* ctl_mon_lane + 4 fds: class A region, class B region, the engine's doorbell, the arena */
};

struct ctl_head {
	uint32_t type; /* enum ctl_type */
	uint32_t id;
};

struct ctl_hello {
	uint32_t magic, abi;
	uint32_t cmd_size, event_size, welcome_size, lane_size; /* sizeof of the structs below */
	int32_t cpu;                                            /* the home engine wished for, modulo their number */
	uint32_t flags;                                         /* enum hello_flags */
	char name[SHM_NAME_MAX];                                /* for the operator's eyes */
};

enum hello_flags {
	HELLO_OPERATOR = 1, /* stackctl: no lanes wanted */
};

struct ctl_welcome {
	uint32_t abi;
	uint32_t app;          /* this context's id in stackctl */
	uint32_t engines;      /* number of lanes that follow */
	uint32_t home;         /* index of the home engine */
	uint32_t max_sockets;  /* bound of handle indices, per lane */
	uint32_t memory_mib;   /* quota of payload memory, both classes, all lanes */
	uint32_t spin_us;      /* how long to look at the rings before sleeping */
	uint32_t sndbuf_max, rcvbuf_max; /* bytes */
	uint32_t sndbuf_initial;         /* what may be written before EV_STATE has said how much */
	uint32_t addrs;                  /* valid entries of addr[] */
	struct ipaddr addr[SHM_ADDRS_MAX];
	uint8_t rss_key[SHM_RSS_KEY_SIZE]; /* Toeplitz key; hash input is src, dst, sport, dport in network order */
	uint8_t reta[SHM_RETA_SIZE];       /* hash % SHM_RETA_SIZE -> engine */
	char version[SHM_NAME_MAX];
};

struct ctl_refused {
	int32_t err; /* errno for mtcp_create_context */
	uint32_t pad;
	char text[SHM_TEXT_MAX];
};

struct ctl_lane {
	uint32_t engine;
	uint32_t ring_slots; /* power of two; both rings */
	uint32_t down_size;  /* bytes of the class A region */
	uint32_t up_size;    /* bytes of the class B region */
};

/* Reserve a local port.  cookie is the client's name for the socket, unique among its open ones. */
struct ctl_bind {
	uint32_t cookie;
	uint16_t port; /* 0: stackd chooses */
	uint16_t flags;     /* enum bind_flags */
	struct ipaddr addr; /* ::ffff:0.0.0.0: any of IPv4; ::: any of both families, or of IPv6 */
};

enum bind_flags {
	BIND_REUSEPORT = 1,
	BIND_V6ONLY = 2, /* :: is of IPv6 alone */
};

/* May come again, when the backlog or the options change. */
struct ctl_listen {
	uint32_t cookie; /* of an earlier CTL_BIND */
	uint32_t backlog;
	uint32_t set;                /* which options, as bits 1 << enum sock_opt: connections to it have them from their SYN-ACK on */
	uint32_t opt[SHM_OPTS_MAX];  /* by enum sock_opt */
};

struct ctl_sock {
	uint32_t cookie;
};

struct ctl_reply {
	int32_t err; /* 0 or an errno */
	uint32_t value;
};

enum seg_class {
	SEG_RX, /* class A: received payload, the client reads */
	SEG_TX, /* class B: payload to send, the client writes */
};

struct ctl_segment {
	uint32_t engine; /* whose lane */
	uint32_t class;  /* enum seg_class */
	uint32_t index;  /* the chunk ids of this segment start at index * BYTES_SEG_CHUNKS */
	uint32_t size;   /* always BYTES_SEG_SIZE */
};

/* --- Monitors: mon.h has what follows from these ---------------------------------------------------------------------- */
enum mon_right { MON_RIGHT_NONE, MON_RIGHT_PASSIVE, MON_RIGHT_INLINE };

struct ctl_mon_open {
	uint32_t flags; /* enum mon_open_flags */
	uint32_t pad;
};

enum mon_open_flags {
	MON_OPEN_LOSSLESS = 1, /* a replay waits for this monitor rather than overrun its ring */
};

struct ctl_mon_lane {
	uint32_t engine;
	uint32_t ring_slots; /* of the event ring; a power of two */
	uint32_t cmd_slots;  /* of the command ring; a power of two */
	uint32_t edit_size;  /* bytes that follow the command ring */
	uint32_t down_size, up_size;
	uint64_t arena_size;
};

/* Make a monitor socket, or change what it is told. */
struct ctl_mon_sock {
	uint16_t sock; /* the client's name for it, below MON_SOCKS_MAX */
	uint16_t kind; /* enum mon_kind */
	uint16_t events[3]; /* by enum mon_hook: bits of enum mon_bit */
	uint16_t flags;     /* enum mon_sock_flags */
};

enum mon_kind { MON_STREAM = 1, MON_RAW };
enum mon_sock_flags {
	MON_SOCK_EARLY = 1,   /* tell all events of a flow until its first record has been consumed (a callback may register for them) */
	MON_SOCK_NO_BUF = 2,  /* wants no stream buffers */
	MON_SOCK_READY = 4,   /* the program has said all that it wants (mtcp_app_join): a replay that waits for it may begin */
};

/* A filter for a monitor socket, in pieces; the last one puts it in force.  `total` 0: none (all match). */
struct ctl_mon_filter {
	uint16_t sock;
	uint16_t which; /* enum mon_filter_which */
	uint16_t first, count, total; /* instructions in this piece; of all */
	uint16_t pad;
	struct mon_insn {
		uint16_t code;
		uint8_t jt, jf;
		uint32_t k;
	} insn[96]; /* classic BPF over the Ethernet frame */
};

enum mon_filter_which { MON_FILTER_SYN, MON_FILTER_ORPHAN, MON_FILTER_RAW };

/* Force a failure, for tests and drills. */
struct ctl_mon_fault {
	uint32_t app;   /* context id */
	uint32_t cause; /* enum mon_cause */
	uint32_t times; /* for the next so many packets; 0: end it */
	uint32_t pad;
};

/* Why an inline packet was decided without the monitor's verdict. */
enum mon_cause { MON_BY_RING, MON_BY_DEADLINE, MON_BY_DEATH, MON_BY_BUDGET, MON_BY_NONSENSE, MON_BY_BREAKER, MON_CAUSES };

/* --- A lane ---------------------------------------------------------------------------------------------------------
 * Down: class A, written by stackd, sealed against the client's writing.  Up: class B, written by the client.
 */
struct ring_slot {
	uint8_t body[60];
	uint32_t lap; /* stored last, with release: (position / slots) + 1 */
};
static_assert(sizeof(struct ring_slot) == SHM_LINE, "a slot is a cache line");

struct lane_down {
	/* written by the engine, read by the client */
	uint32_t cmd_done;       /* commands consumed, free running; frees room in the command ring */
	uint32_t engine_asleep;  /* 1: ring the doorbell after putting a command */
	uint32_t detached;       /* 1: this lane is dead (see CTL_DETACHED) */
	uint8_t pad[SHM_LINE - 12];
	struct ring_slot event[]; /* ctl_lane.ring_slots of them */
};
static_assert(offsetof(struct lane_down, event) == SHM_LINE, "layout");

struct lane_up {
	/* written by the client, read by the engine */
	uint32_t event_done;    /* events consumed, free running */
	uint32_t client_asleep; /* 0: awake; else a number that differs from sleep to sleep: ring me once per number */
	uint8_t pad[SHM_LINE - 8];
	struct ring_slot cmd[];
};
static_assert(offsetof(struct lane_up, cmd) == SHM_LINE, "layout");

/* --- Handles --------------------------------------------------------------------------------------------------------
 * A connection is named, in one lane, by index and generation.  Indices without HANDLE_ACTIVE are given by the engine
 * (EV_ACCEPT), those with it by the client (CMD_CONNECT); both count from 0 and stay below max_sockets.  A handle lives
 * until the answer to the client's CMD_CLOSE for it; events of an older generation are ignored by the client, commands of an older
 * generation are ignored and counted by the engine.
 *
 * Bytes that are unacknowledged at CMD_CLOSE still lie in the client's chunks.  So every CMD_CLOSE is answered, sooner or
 * later, by a last EV_STATE with EVF_CLOSED and tx_acked == tx_end: the engine reads those chunks no more (all acknowledged,
 * reset, or given up).  Until then the client keeps the chunks, and both sides keep the index.
 */
#define HANDLE_ACTIVE 0x80000000u

struct handle {
	uint32_t index, gen;
};

/* --- Commands: client -> engine ------------------------------------------------------------------------------------ */
enum cmd_op {
	CMD_NONE,
	CMD_CONNECT,  /* cmd.connect */
	CMD_SEND,     /* cmd.send: more bytes are ready; also returns read credit */
	CMD_CREDIT,   /* cmd.send.rx_done alone counts: the client has consumed received bytes */
	CMD_SHUTDOWN, /* cmd.close.how: SHUT_RD, SHUT_WR, SHUT_RDWR */
	CMD_CLOSE,    /* cmd.close: the handle is gone; linger and unread data decide between FIN and RST */
	CMD_ACCEPTED, /* cmd.accepted: one connection left the listener's backlog */
	CMD_SETOPT,   /* cmd.opt */
	CMD_INFO,     /* cmd.info: answered by SOCK_INFO_PARTS times EV_INFO */
	CMD_MAX
};

enum { CMD_SEND_CHUNKS = 7 };

struct cmd {
	uint16_t op; /* enum cmd_op */
	uint16_t flags;
	struct handle handle;
	union {
		struct {
			struct ipaddr dst, src; /* src :: = stackd chooses */
			uint16_t dport, sport;  /* sport 0 = the engine chooses; else reserved by CTL_BIND */
		} connect;
		struct {
			uint64_t rx_done; /* stream offset up to which received bytes are consumed; frees the chunks
			                     below the one of byte rx_done - 1, or all when nothing is left to read
			                     (the reader still needs that chunk's link to find the next) */
			uint64_t tx_end;  /* stream offset up to which bytes are ready to be sent */
			uint32_t chunk[CMD_SEND_CHUNKS]; /* the chunks of class B that hold [old tx_end, tx_end), the
			                                    first being that of old tx_end; unused ones BYTES_NONE */
		} __attribute__((packed)) send;
		struct {
			uint64_t rx_done;
			uint64_t tx_end;   /* must equal what CMD_SEND announced last */
			int32_t linger_s;  /* -1: default close; 0: RST; >0: seconds until RST */
			uint32_t how;
		} __attribute__((packed)) close;
		struct {
			uint32_t cookie;
		} accepted;
		struct {
			uint32_t name; /* enum sock_opt */
			uint32_t pad;
			uint64_t value;
		} __attribute__((packed)) opt;
		struct {
			uint32_t token; /* the answer repeats it */
		} info;
		uint8_t raw[48];
	};
};
static_assert(sizeof(struct cmd) == 60, "fills a slot's body");

enum sock_opt {
	OPT_NONE,
	OPT_NODELAY,
	OPT_CORK,
	OPT_KEEPALIVE,
	OPT_KEEPIDLE,     /* s */
	OPT_KEEPINTVL,    /* s */
	OPT_KEEPCNT,
	OPT_MAXSEG,       /* bytes */
	OPT_CONGESTION,   /* enum cc_name */
	OPT_RCVBUF,       /* bytes */
	OPT_SNDBUF,       /* bytes */
	OPT_USER_TIMEOUT, /* ms */
	OPT_QUICKACK,
	OPT_TOS,
	OPT_TTL,
	OPT_LINGER2,      /* s; negative: no FIN-WAIT-2 */
	OPT_SYNCNT,
	OPT_DEFER_ACCEPT, /* s; of listeners */
	OPT_WINDOW_CLAMP, /* bytes */
	OPT_MTU_DISCOVER, /* IP_PMTUDISC_* of linux/in.h */
	OPT_NOTSENT_LOWAT, /* bytes; 0: none */
	OPT_MAX
};

static_assert((int)OPT_MAX <= (int)SHM_OPTS_MAX, "options of a listener are bits of a word");

enum cc_name { CC_CUBIC, CC_RENO, CC_MAX };

/* What TCP_INFO tells, as struct tcp_info of linux/tcp.h has it: its fields, units and places.  What a stack like ours has no word
 * for is 0. */
struct sock_info {
	uint8_t state, ca_state, retransmits, probes, backoff, options;
	uint8_t wscales; /* of the peer, and << 4 ours */
	uint8_t bits;
	uint32_t rto, ato, snd_mss, rcv_mss;                         /* us, us, bytes, bytes */
	uint32_t unacked, sacked, lost, retrans, fackets;            /* segments */
	uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv; /* ms ago */
	uint32_t pmtu, rcv_ssthresh, rtt, rttvar;                    /* bytes, bytes, us, us */
	uint32_t snd_ssthresh, snd_cwnd;                             /* segments */
	uint32_t advmss, reordering, rcv_rtt, rcv_space;             /* bytes, segments, us, bytes */
	uint32_t total_retrans;
	uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	uint32_t segs_out, segs_in, notsent_bytes, min_rtt;
	uint8_t pad[8];
};
enum { SOCK_INFO_SIZE = 152, SOCK_INFO_PART = 40, SOCK_INFO_PARTS = 4 };
static_assert(offsetof(struct sock_info, pad) == SOCK_INFO_SIZE, "Linux's layout");
static_assert(sizeof(struct sock_info) == SOCK_INFO_PART * SOCK_INFO_PARTS, "layout");

/* --- Events: engine -> client --------------------------------------------------------------------------------------
 * Readiness is state: EV_STATE tells the whole of it each time, so that losing the middle of a sequence loses nothing.
 */
enum event_op {
	EV_NONE,
	EV_ACCEPT, /* event.open; a new connection for the listener `cookie`; EV_STATE follows when there is more to say */
	EV_OPEN,   /* event.open: an active open has completed; cookie is 0 */
	EV_STATE,  /* event.state */
	EV_INFO,   /* event.info */
	EV_MAX
};

enum event_flags {
	EVF_CONNECTED = 1, /* the handshake is complete */
	EVF_FIN = 2,       /* the peer sends no more after rx_end */
	EVF_ERROR = 4,     /* the connection is dead; err says why */
	EVF_CLOSED = 8,    /* both directions are closed in order; nothing more will come */
	EVF_URGENT = 16,   /* urgent data was seen (and is delivered in line) */
	EVF_SOFT = 32,     /* the connection goes on; err says what ICMP has said of it since it was heard last */
};

struct event {
	uint16_t op; /* enum event_op */
	uint16_t flags;
	struct handle handle;
	union {
		struct {
			struct ipaddr peer, local;
			uint16_t peer_port, local_port;
			uint32_t cookie;
		} open;
		struct {
			uint64_t rx_end;   /* stream offset up to which received bytes are in order and readable */
			uint64_t tx_acked; /* stream offset up to which sent bytes are acknowledged: chunks are yours again */
			uint32_t rx_chunk_no; /* number (stream offset / BYTES_CHUNK) of rx_chunk */
			uint32_t rx_chunk;    /* first chunk the engine still holds; follow the links of bytes.h from it */
			uint32_t tx_limit;    /* bytes the client may keep in flight and queued, tx_end - tx_acked */
			uint32_t err;         /* errno */
			uint32_t mss, srtt_us;
			uint64_t tx_sent;  /* stream offset up to which bytes were sent; told at once when fewer than OPT_NOTSENT_LOWAT are left */
		} __attribute__((packed)) state;
		struct {
			uint32_t token, part;
			uint8_t data[40]; /* bytes [part * 40, part * 40 + 40) of struct sock_info */
		} info;
		uint8_t raw[48];
	};
};
static_assert(sizeof(struct event) == 60, "fills a slot's body");

#endif
