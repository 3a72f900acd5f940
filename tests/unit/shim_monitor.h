/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The monitor half of a stackd played by hand (shim_daemon.h): the control messages are answered, arenas are real ones, and the test says
 * what the engine tells.
 *
 * A test puts a record and waits, in sm_settle(), until the client has consumed it: then all its callbacks have run, and what they
 * wrote may be read.
 */
#ifndef TESTS_SHIM_MONITOR_H
#define TESTS_SHIM_MONITOR_H

#include "libshim/include/mos/mos_api.h"
#include "shm/mon.h"
#include "stackd/mon/arena.h"
#include "tests/unit/shim_daemon.h"

struct sm_conf {
	unsigned engines;     /* 0: 1 */
	unsigned slots;       /* of the event rings; 0: 256 */
	unsigned cmd_slots;   /* 0: 256 */
	uint32_t edit_size;   /* 0: 64 KiB */
	uint64_t arena_size;  /* 0: 8 MiB */
	uint32_t flows;       /* 0: 64 */
	enum mon_right right; /* 0: inline */
	int open_err;
	unsigned spin_us;
};

struct sm_lane {
	struct sd_client *client;
	struct region down_mem, up_mem, arena_mem;
	struct mon_down *down;
	struct mon_up *up;
	struct ring_prod events;
	struct ring_cons cmds;
	struct arena *arena;
	int bell;
	uint32_t woken;
};

struct sm {
	struct sd_daemon d;
	struct sm_conf conf;
	int wake;
	struct sm_lane lane[SD_ENGINES];
	/* under d.lock */
	uint32_t open_flags;
	unsigned opens, told, closes, filters;
	struct ctl_mon_sock sock[MON_SOCKS_MAX]; /* the last word of each */
	uint32_t closed;                         /* the socket closed last */
	struct ctl_mon_filter piece;             /* the last one */
	struct mon_insn insn[MON_FILTER_MAX];
	unsigned total[3];                       /* by which */
	int sock_err, filter_err;
};

/* Starts, and makes a context. */
mctx_t sm_start(struct sm *s, const struct sm_conf *conf);
/* The context first, if it is not gone (NULL), then stackd. */
void sm_stop(struct sm *s, mctx_t m);
/* What stackd has been told last about socket `no`. */
struct ctl_mon_sock sm_told(struct sm *s, unsigned no);

/* A flow from 10.0.0.2:1000 (client) to 10.0.0.1:80, as one monitor socket is told of it. */
struct sm_flow {
	struct sm_lane *lane;
	uint64_t serial;
	uint32_t rec;
	uint16_t sock;
	uint8_t state[2];
	uint64_t next[2], top[2];
	uint64_t pkt; /* position + 1 of the last one; 0: none */
	uint32_t claim;
	uint64_t ts_us;
};
void sm_open(struct sm_flow *f, struct sm_lane *l, unsigned sock);
void sm_name(struct sm_flow *f, const char *cli, uint16_t cli_port, const char *svr, uint16_t svr_port);
/* Payload at a stream offset; `next` grows where it closes up. */
void sm_text(struct sm_flow *f, unsigned side, uint64_t off, const void *bytes, uint32_t len);
/* The record in the arena says what f says. */
void sm_publish(struct sm_flow *f);
/* The flow's record is given to another one. */
void sm_reuse(struct sm_flow *f);
/* A TCP segment with `text` from `side` into the packet log; it is the packet of what is told next. */
void sm_packet(struct sm_flow *f, unsigned side, const char *text);

/* Tell, and settle. */
void sm_tell(struct sm_flow *f, uint16_t events, enum mon_hook hook, unsigned side, uint16_t flags);
struct mon_event sm_event(const struct sm_flow *f, uint16_t events, enum mon_hook hook, unsigned side, uint16_t flags);
void sm_put(struct sm_lane *l, const struct mon_event *e); /* waits for room */
void sm_settle(struct sm_lane *l);

/* What synchronises threads here is in memory that either side has mapped for itself, where the thread sanitizer cannot see it.  Callbacks
 * say when they begin and end; putting and settling do. */
void sm_point(void);

/* The next command: waits up to 5 s, then the test fails. */
struct mon_cmd sm_take(struct sm_lane *l);
struct mon_cmd sm_expect(struct sm_lane *l, unsigned op);
bool sm_idle(struct sm_lane *l);
/* What the command taken last points at. */
const uint8_t *sm_bytes(struct sm_lane *l, uint32_t off, uint32_t len);

/* What mtcp_error_text() says about the last failure. */
#define SAYS(what) ck_assert_msg(strstr(mtcp_error_text(), what) != NULL, "%s", mtcp_error_text())

#endif
