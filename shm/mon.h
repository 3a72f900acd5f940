/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The contract between stackd and a monitor: arenas, event records, commands.
 *
 * A context that wants monitor sockets sends CTL_MON_OPEN (proto.h) and gets one monitor lane per engine: a ring of events
 * down, a ring of commands up, and the arena of its authorisation group, which all monitors of equal scope share.
 *
 * An arena is class A: the engine writes, clients read whenever they like, nobody waits.  What is read may be overwritten
 * meanwhile; so a reader copies, then checks that the copy was of what it wanted, and never believes anything before.  Three kinds
 * of things lie in it:
 *
 *   flow records   one per flow, found by index; `version` is a seqlock, `serial` tells this flow from the next one here
 *   chunks         4 KiB of a stream each; a table entry says whose, which part, and which bytes of it are there
 *   packet log     copies of frames at ever growing positions of a byte ring; those below log_tail are gone
 *
 * Streams: side s of a flow (MON_CLI, MON_SVR) has the stream that s *receives*.  Offset 0 is the byte after the SYN, or the first byte
 * seen where no SYN was.  Byte o lies in chunk number o / MON_CHUNK at o % MON_CHUNK.  There are two versions of a stream, by overlap
 * policy; they share their chunks until two copies of a byte differ.
 *
 * Thread-safety: one engine writes an arena.  doc/shm-layout.md draws this file; mon_read.h reads it.
 */
#ifndef SHM_MON_H
#define SHM_MON_H

#include "shm/proto.h"

#define MON_MAGIC 0x4d4f4e41u

enum {
	MON_CLI, /* the numbers of enum mos_side */
	MON_SVR,
	MON_BOTH,
};

enum {
	MON_CHUNK = 4096,
	MON_RANGES = 10,      /* pieces of one chunk that may be there with holes between */
	MON_FEW = 4,          /* chunks named in the flow record itself */
	MON_INDEX = 8,        /* index chunks of one version of a stream */
	MON_INDEX_IDS = MON_CHUNK / 4,
	MON_SPAN_MAX = (MON_INDEX - 1) * MON_INDEX_IDS, /* chunks that one stream may span: 28 MiB */
	MON_APART_MAX = 1 << 20, /* and where most of them are missing: 4 GiB */
	MON_FRAME_MAX = 65535 + 32, /* bytes of a frame in the log */
	MON_EDITS_MAX = 256,    /* in one script */
	MON_FILTER_MAX = 4096, /* instructions of one filter */
	MON_SLOTS_MAX = 64,    /* monitor sockets of all programs, per engine */
	MON_SOCKS_MAX = 16,    /* of one context */
};
#define MON_NONE UINT32_MAX
#define MON_INDEX_MARK 0x80000000u

enum mon_policy { MON_FIRST, MON_LAST, MON_POLICIES };

/* Base events (api.md 1.4), as bits of a mask. */
enum mon_bit {
	MON_PKT_IN = 0x001,
	MON_CONN_START = 0x004,
	MON_NEW_DATA = 0x010,
	MON_ERROR = 0x020,
	MON_STATE_CHANGE = 0x080,
	MON_ORPHAN = 0x100,
	MON_REXMIT = 0x200,
	MON_CONN_END = 0x400,
};

enum mon_hook { MON_HK_NULL, MON_HK_SND, MON_HK_RCV, MON_HOOKS };

/* --- The arena -------------------------------------------------------------------------------------------------------- */

struct mon_arena {
	uint32_t magic, abi;
	uint64_t size;
	uint32_t flows, chunks;
	uint64_t flow_off;  /* struct mon_rec [flows] */
	uint64_t chunk_off; /* struct mon_chunk [chunks] */
	uint64_t data_off;  /* MON_CHUNK bytes each */
	uint64_t log_off, log_size; /* log_size: a power of two */
	uint8_t pad[64 * 2 - 64];
	/* written while running */
	uint64_t log_tail; /* positions below are being, or have been, overwritten */
	uint64_t log_head;
	uint64_t evicted;  /* chunks taken from living streams for want of others */
	uint8_t pad2[40];
};
static_assert(sizeof(struct mon_arena) == 192, "layout");

struct mon_range {
	uint16_t from, to; /* bytes of the chunk, [from, to) */
};

/* Table entry of a chunk. */
struct mon_chunk {
	uint64_t owner;  /* serial << 1 | side; 0: nobody's, or changing */
	uint32_t number; /* low half of stream offset / MON_CHUNK; an index chunk: of that / MON_INDEX_IDS, with MON_INDEX_MARK */
	uint16_t ranges; /* entries of range[], sorted, with holes between them */
	uint16_t version; /* seqlock of the ranges: odd while they change otherwise than by growth of the last */
	struct mon_range range[MON_RANGES];
	uint64_t turn; /* no two owners of any chunk have the same; read it before and after the copy */
};
static_assert(sizeof(struct mon_chunk) == SHM_LINE, "an entry is a cache line");

/* Where the chunks of one version of a stream are.  Number n is few[n % MON_FEW] while no index chunk is there; else the
 * uint32_t at n % MON_INDEX_IDS of the index chunk, any of index[], whose table entry has the number n / MON_INDEX_IDS.  An id found so is
 * a hint: the chunk's table entry decides. */
struct mon_where {
	uint32_t few[MON_FEW];
	uint32_t index[MON_INDEX];
};

/* One side of a flow, and the stream it receives. */
struct mon_side {
	struct ipaddr addr; /* as the client's first packet had it; translation by a monitor does not change it */
	uint16_t port;
	uint8_t state; /* enum mon_state, now; what an event tells is its moment's */
	uint8_t flags; /* enum mon_side_flags */
	uint32_t isn;  /* sequence number of offset 0, less one */
	uint64_t head; /* nothing below is kept any more */
	uint64_t next; /* the in-order end: all below has been seen, or skipped */
	uint64_t top;  /* beyond the highest byte seen */
	uint64_t missed; /* bytes skipped, never seen */
	struct mon_where where[MON_POLICIES]; /* equal until versions differ */
};

enum mon_side_flags {
	MON_SIDE_ISN = 1,  /* isn is from a SYN; else a guess from the first segment */
	MON_SIDE_FIN = 2,  /* the stream has ended at `next` */
	MON_SIDE_OFF = 4,  /* its buffer is switched off */
	MON_SIDE_TWO = 8,  /* the two versions differ somewhere */
};

struct mon_rec {
	uint32_t version; /* seqlock: odd while being changed */
	uint32_t pad;
	uint64_t serial;  /* of the flow; 0: unused; the low 32 bits are never 0 */
	uint64_t born_us; /* CLOCK_REALTIME, or the capture's */
	uint64_t pkts;
	struct mon_side side[2];
	uint64_t turn; /* of the chunk that its streams got last */
	uint64_t pad2[5];
};
static_assert(sizeof(struct mon_rec) % SHM_LINE == 0, "layout");

/* TCP states as mOS numbers them. */
enum mon_state {
	MON_CLOSED,
	MON_LISTEN,
	MON_SYN_SENT,
	MON_SYN_RCVD,
	MON_ESTABLISHED,
	MON_FIN_WAIT_1,
	MON_FIN_WAIT_2,
	MON_CLOSE_WAIT,
	MON_CLOSING,
	MON_LAST_ACK,
	MON_TIME_WAIT,
	MON_STATES,
	MON_STATE_NONE = 255, /* that side does not exist yet */
};

/* A packet in the log: this header, then `len` bytes of frame; never wraps (a record that would not fit before the ring's end starts at the
 * beginning).  Positions are multiples of 8. */
struct mon_pkt {
	uint64_t pos;    /* its own position: what was asked for is here */
	uint64_t ts_us;
	uint64_t offset; /* of its payload in the receiver's stream; UINT64_MAX: none */
	uint32_t len;    /* bytes of frame that follow */
	uint32_t wire_len; /* what it had on the wire (a capture may hold less) */
	uint16_t l3_off, l4_off, text_off, text_len; /* l4_off 0: no TCP header */
	uint8_t in_port, ip_version, pad[6];
};

/* --- Events: engine -> monitor ------------------------------------------------------------------------------------------ */

enum mon_op {
	MEV_NONE,
	MEV_DISPATCH, /* one round of callbacks for monitor socket `sock` */
	MEV_GAP,      /* mon_event.gap: records were lost here because the ring was full */
	MEV_DONE,     /* the traffic source has ended: nothing more will come (replay with at_end = "exit") */
	MEV_MAX
};

enum mon_event_flags {
	MEVF_PKT = 1,   /* pkt is the position of the packet in the log */
	MEVF_HELD = 2,  /* the packet waits for MCMD_VERDICT with `claim` */
	MEVF_LAST = 4,  /* no further event of this flow comes to this socket: flow and gen are void after it */
	MEVF_EARLY = 8, /* beyond the socket's mask: the program may be about to register for it */
	MEVF_OFF = 16,  /* the flow was in mid-stream when first seen */
	MEVF_REXMIT = 32, /* the REXMIT round that precedes the writing of overlapping payload */
	MEVF_AHEAD = 64, /* packets of the flow before this one still wait for verdicts of this lane: the streams are as before those; once they
			  * are taken (cmd_done), and until the verdict on this packet, the flow's record tells them as they should be */
};

struct mon_event {
	uint16_t op;
	uint16_t events; /* enum mon_bit; the round runs them in ascending order */
	uint8_t hook;    /* enum mon_hook */
	uint8_t side;    /* whose event it is; MON_BOTH: neither's */
	uint8_t state[2]; /* by side, at this moment */
	uint32_t flow;   /* record's index, MON_NONE: no flow */
	uint32_t gen;    /* low half of its serial */
	uint16_t sock;   /* the client's name for the monitor socket */
	uint16_t flags;  /* enum mon_event_flags */
	uint32_t claim;
	uint64_t ts_us;
	uint64_t next[2]; /* by side, in-order ends of the streams at this moment */
	uint64_t pkt;
	uint32_t lost;   /* MEV_GAP: how many records */
} __attribute__((packed));
static_assert(sizeof(struct mon_event) == 60, "fills a slot's body");

struct mon_down { /* class A */
	uint32_t cmd_done;      /* commands consumed, free running */
	uint32_t engine_asleep; /* 1: ring the doorbell after a command */
	uint32_t detached;
	uint32_t pad;
	uint64_t lost;          /* event records that found the ring full, ever */
	uint64_t pad2[5];
	struct ring_slot event[];
};
static_assert(offsetof(struct mon_down, event) == SHM_LINE, "layout");

/* --- Commands: monitor -> engine ---------------------------------------------------------------------------------------- */

enum mon_cmd_op {
	MCMD_NONE,
	MCMD_VERDICT, /* verdict */
	MCMD_MASK,    /* mask: what this flow shall tell this socket, instead of the socket's own mask */
	MCMD_STOP,    /* one.value = side: no more events, no buffer; MON_BOTH: the flow costs this socket nothing from now on */
	MCMD_BUF,     /* one.value = side, one.size = bytes of buffer; 0: off.  The largest any socket of the group wants counts */
	MCMD_RESET,   /* RST to both ends (inline only) */
	MCMD_SEND,    /* send: a frame of the monitor's own (inline only, within its scope) */
	MCMD_MAX
};

enum mon_verdict { MON_PASS, MON_DROP, MON_EDIT };

/* Edits: MCMD_VERDICT names a piece of the edit area that holds `count` of these, each followed by `len` bytes (CHOMP: none) and
 * padding to 8.  They apply in order, each to what the one before left: of two INSERTs at one offset the later one's bytes come first. */
enum mon_edit_op { MON_OVERWRITE = 1, MON_CHOMP, MON_INSERT };
enum mon_region { MON_ETH = 1, MON_IP, MON_TCP, MON_PAYLOAD };

struct mon_edit {
	uint8_t op;     /* enum mon_edit_op; 0: checksums alone */
	uint8_t region; /* enum mon_region */
	uint8_t csum;   /* 1: update IP, 2: update TCP */
	uint8_t pad;
	uint16_t off;   /* in the region */
	uint16_t len;   /* bytes overwritten, removed, inserted */
};

struct mon_cmd {
	uint16_t op;
	uint16_t sock;
	uint32_t flow, gen;
	union {
		struct {
			uint32_t claim;
			uint32_t verdict;  /* enum mon_verdict */
			uint32_t off, len; /* of the edit script, in the edit area */
			uint32_t count;
		} verdict;
		struct {
			uint16_t events[MON_HOOKS];
		} mask;
		struct {
			uint32_t value, size;
		} one;
		struct {
			uint32_t off, len; /* the frame, in the edit area */
			uint32_t port;     /* where it leaves; MON_NONE: by the flow and the frame's addresses */
		} send;
		uint8_t raw[48];
	};
};
static_assert(sizeof(struct mon_cmd) == 60, "fills a slot's body");

struct mon_up { /* class B */
	uint32_t event_done;
	uint32_t client_asleep; /* as in struct lane_up */
	uint8_t pad[SHM_LINE - 8];
	struct ring_slot cmd[]; /* cmd_slots; then edit_size bytes that commands point into */
};
static_assert(offsetof(struct mon_up, cmd) == SHM_LINE, "layout");

#endif
