/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The monitor half of a context: what stackd sees of others' flows, told to callbacks on a thread of the context's own.
 *
 * It comes into being with the first monitor socket (or timer); a context without has neither thread nor memory for it.  Per engine
 * there is a lane: events in, commands out, and the arena of flows and streams, which is read in place.
 *
 *   mon_attach.c  opening, lanes, commands, the end     mon_pump.c    the callback thread: records, rounds, gaps, sleep
 *   mon_sock.c    monitor sockets, flows' sockets       mon_option.c  SOL_MONSOCKET
 *   mon_event.c   user-defined events, a dispatch       mon_table.c   who is registered for what
 *   mon_stream.c  peeking                               mon_pkt.c     the packet at hand: looking, changing, dropping
 *   mon_filter.c  filters                               mon_send.c    packets of one's own
 *   mon_timer.c   timers
 *
 * A *watch* is a monitor socket of the program (stream or raw), an *act* is the socket of one flow as one watch sees it, made when the
 * flow's first record comes, gone after its last.  A record leads to a *round* of callbacks.
 *
 * Thread-safety: three owners.  What says "callback thread" belongs to that thread and is used without a lock: lanes, rounds,
 * cursors, live tables; only it frees watches and acts.  What says "lock" is under the context's lock, which the thread does not hold
 * while callbacks run.  Changes that other threads (or callbacks) ask for are noted under the lock, the socket goes on the list of
 * changed ones, and the callback thread carries them out after the round at hand (mon_sync).
 */
#ifndef LIBSHIM_MON_H
#define LIBSHIM_MON_H

#include "libshim/api_mos.h"
#include "libshim/shim.h"
#include "shm/mon.h"
#include "shm/mon_read.h"

/* the library defines the five-parameter forms */
#undef mtcp_register_callback
#undef mtcp_settimer

enum {
	MON_BURST = 64,       /* records of a lane before the next one's turn */
	MON_BITS = 12,        /* built-in events */
	MON_DEPTH_MAX = 64,   /* user-defined events below one another */
	MON_UDE_FIRST = 4096, /* their first number */
	MON_SCRIPT_MAX = 64 * 1024,
};

/* --- Events and tables ----------------------------------------------------------------------------------------------- */

/* A user-defined event.  Of the process; never freed. */
struct mon_def {
	event_t id, parent;
	uint32_t root;  /* the built-in event on top */
	uint32_t depth;
	filter_t filter; /* NULL: raised by mtcp_raise_event */
	filter_arg_t arg;
	struct mon_def *next; /* of equal hash */
};

union mon_cb {
	callback_t five;
	shim_callback4_t four;
};

struct mon_reg {
	event_t event;
	uint8_t hook; /* enum mon_hook */
	bool is_four;
	union mon_cb cb; /* five == NULL: none, in a change */
};

/* An event somebody waits for, it or one below it, at one hook. */
struct mon_node {
	event_t id;
	const struct mon_def *def; /* NULL: built in */
	const struct mon_reg *reg; /* NULL: only those below are waited for */
	uint32_t first, next;      /* children with filters, in the order they were defined; MON_NONE: no more */
	uint32_t stamp;            /* callback thread: the round in which it was raised */
};

/* Who is registered.  Frozen once anybody looks; equal ones are shared by flows. Lock, but for the nodes of a frozen one. */
struct mon_table {
	struct mon_table *next; /* of equal hash */
	uint32_t refs;
	bool frozen, known; /* known: found by its hash */
	uint64_t hash[2];
	struct mon_reg *reg; /* by hook, then event */
	uint32_t regs, cap;
	uint32_t uses[MON_HOOKS][MON_BITS]; /* registrations by built-in event on top */
	struct mon_node *node;              /* by hook, then event */
	uint32_t from[MON_HOOKS + 1];       /* nodes of a hook */
};

enum { MON_TABLES = 256 };

struct mon_tables {
	struct mon_table *chain[MON_TABLES];
	struct mon_table *kept[MON_TABLES]; /* used last; so that the next flow finds them */
	uint32_t turn;
	size_t kept_regs;
};

/* --- Sockets --------------------------------------------------------------------------------------------------------- */

struct mon_base {
	struct shim_sock s;
	struct shim_mon *mon;
	struct mon_base *changed_next; /* lock */
	bool changed;                  /* lock */
	bool closing;                  /* lock: the program has closed it */
	_Atomic uint8_t policy[2];     /* enum mon_policy, by side */
	struct mon_table *live;        /* callback thread (changes under the lock); an act's may be NULL: its watch's */
	void *uctx;                    /* callback thread */
	int64_t buf[2];                /* lock: bytes wanted; -1: no matter */
};

struct mon_watch {
	struct mon_base b;
	uint16_t no; /* its name to stackd */
	bool raw;
	bool dead;              /* callback thread: closed; records are passed over until no lane can hold one */
	uint64_t lanes_empty;   /* seen so since then */
	int fd;                 /* for callbacks; outlives closing */
	struct mon_table *next; /* lock: what is to become live; NULL: nothing new */
	uint16_t told[MON_HOOKS], told_flags; /* lock: what stackd knows */
	struct mon_act *acts;   /* callback thread */
};

enum mon_act_flags {
	ACT_NAMED = 1,    /* addr and port are known */
	ACT_TOLD_MASK = 2,
};

struct mon_act {
	struct mon_base b;
	struct mon_watch *watch;
	struct shim_mlane *lane;
	uint32_t flow, gen;
	struct mon_act *flow_next;           /* others of the flow */
	struct mon_act *next, **at;          /* of its watch */
	struct mon_act *tuple_next;          /* lock */
	struct mon_reg *edits;               /* lock: asked for, not yet live */
	uint32_t edit_count, edit_cap;
	uint8_t stop;                        /* lock: sides to be stopped, bits; 4: both */
	uint8_t stopped;                     /* callback thread */
	uint8_t flags;                       /* enum mon_act_flags */
	uint8_t state[2];                    /* as the last record told */
	uint16_t mask[MON_HOOKS];            /* told to stackd */
	int fd;
	uint64_t next_off[2], cursor[2];     /* in-order ends as of the last record; what has been peeked */
	uint64_t from[2];                    /* below, the buffer was switched off; UINT64_MAX: it is, whoever else keeps one */
	struct ipaddr addr[2];
	uint16_t port[2];
};

static inline struct mon_watch *watch_of(struct mon_base *b)
{
	return (struct mon_watch *)b;
}

static inline struct mon_act *act_of(struct mon_base *b)
{
	return (struct mon_act *)b;
}

/* --- Lanes ----------------------------------------------------------------------------------------------------------- */

struct mon_flow_ref {
	uint32_t gen;
	uint16_t stopped; /* bit per watch: its records are passed over */
	uint16_t pad;
	struct mon_act *acts;
};

struct mon_owed { /* a command that found no room */
	struct mon_owed *next;
	struct mon_cmd cmd;
	uint32_t len;
	uint8_t data[];
};

/* All of it the callback thread's, once it is open. */
struct shim_mlane {
	struct region down_mem, up_mem, arena_mem;
	const struct mon_down *down;
	struct mon_up *up;
	struct ring_cons events;
	struct ring_prod cmds;
	int bell; /* -1: not attached */
	bool has_put, done;
	struct mon_reader reader;
	struct mon_flow_ref *flow; /* by index of the flow record */
	uint32_t flows;
	uint8_t *edit;
	uint32_t edit_size;
	uint64_t edit_head, edit_tail; /* free running */
	struct {
		uint32_t pos; /* of the command whose bytes end at `end` */
		uint64_t end;
	} *piece;
	uint32_t piece_first, piece_last, piece_mask;
	struct mon_owed *owed, **owed_tail;
	uint64_t lost;
};

/* --- A round --------------------------------------------------------------------------------------------------------- */

struct mon_frame {
	uint32_t node;
	uint32_t *raised, count, cap, at; /* nodes raised below this one, those before `at` have run */
};

enum pkt_here { PKT_UNREAD, PKT_HERE, PKT_GONE };

struct mon_round {
	struct shim_mlane *lane;
	struct mon_watch *watch; /* NULL: a timer */
	struct mon_act *act;     /* NULL: concerns no flow */
	struct mon_table *table;
	struct mon_event ev;
	int fd, side;
	uint32_t depth;
	struct mon_frame frame[MON_DEPTH_MAX + 2];
	/* the packet at hand */
	enum pkt_here have;
	struct mon_pkt pkt; /* offsets follow local edits */
	bool drop;
	uint32_t script_len, script_count;
};

struct mon_timer {
	uint64_t due_us, no;
	int id;
	bool is_four;
	union mon_cb cb;
};

struct mon_post { /* a command from another thread */
	struct mon_post *next;
	struct shim_mlane *lane;
	struct mon_cmd cmd;
	uint32_t len;
	uint8_t data[];
};

struct shim_mon {
	struct shim_ctx *c;
	pthread_t thread;
	int kick, wake; /* eventfd; stackd's wake socket, -1: none */
	_Atomic bool stop;   /* the thread shall end */
	bool joined;         /* it has been waited for */
	_Atomic bool lost;   /* stackd is gone */
	_Atomic bool dirty;  /* something is on `changed` or `posts` */
	_Atomic uint32_t lanes; /* open ones; 0: not open yet */
	struct shim_mlane *lane;
	uint32_t right; /* enum mon_right */

	/* lock */
	bool opening, lossless, no_buf;
	bool ready;     /* mtcp_app_join was called */
	bool ended;     /* the thread */
	bool finished;  /* every lane's traffic source has ended */
	_Atomic(struct mon_watch *) watch[MON_SOCKS_MAX]; /* by number; the callback thread reads them */
	uint32_t watch_turn;
	struct mon_base *changed;
	struct mon_post *posts, **posts_tail;
	struct mon_tables tables;
	struct mon_act **tuple; /* hash table */
	uint32_t tuples, tuple_mask;
	struct mon_timer *timer; /* heap */
	uint32_t timers, timer_cap;
	uint64_t timer_no;
	_Atomic uint64_t timer_due; /* of the first; UINT64_MAX: none */

	/* callback thread */
	bool in_round, destroy;
	uint32_t round_no, deads;
	uint64_t gap_us; /* when to sweep again; 0: no gap yet */
	uint32_t sleep_no, spin_misses, spin_skipped;
	uint64_t time_us; /* of the last record */
	uint64_t refused; /* flows there was no id or no memory for */
	uint64_t unsaid;  /* commands lost for want of memory */
	struct mon_round r;
	uint8_t *pkt_buf, *script;
};

/* --- mon_attach.c ---------------------------------------------------------------------------------------------------- */
/* The half, made with its thread if need be; lock.  NULL: *err. */
struct shim_mon *mon_start(struct shim_ctx *c, int *err);
/* ... and its lanes. */
struct shim_mon *mon_open(struct shim_ctx *c, int *err);
void mon_kick(struct shim_mon *mon);
/* Put a command with the bytes that it points at; what finds no room waits. */
void mon_put(struct shim_mon *mon, struct shim_mlane *l, const struct mon_cmd *cmd, const void *data, uint32_t len);
/* The same from any thread; lock. 0, -ENOMEM, -EMSGSIZE. */
int mon_post(struct shim_mon *mon, struct shim_mlane *l, const struct mon_cmd *cmd, const void *data, uint32_t len);
void mon_owed_put(struct shim_mon *mon, struct shim_mlane *l);
void mon_ring(struct shim_mlane *l);

/* --- mon_pump.c ------------------------------------------------------------------------------------------------------ */
void *mon_thread(void *arg);
/* Calls that only callbacks may make: the half whose callback this is.  NULL and errno (EACCES, EPERM). */
struct shim_mon *mon_enter(mctx_t mctx);
/* -EPERM, and why: not in a callback. */
int mon_outside(void);
/* The same, NULL elsewhere and no errno. */
struct shim_mon *mon_inside(mctx_t mctx);
bool mon_is_here(const struct shim_mon *mon);
/* A round of no record, for timers. */
void mon_round_begin(struct shim_mon *mon, struct mon_round *r);
void mon_round_over(struct shim_mon *mon);

/* --- mon_sock.c ------------------------------------------------------------------------------------------------------ */
/* What id names, for callbacks.  NULL: *err is -EBADF or -ENOTSOCK. */
struct mon_base *mon_named(struct shim_mon *mon, int sock, int *err);
/* A flow's socket: -ENOTCONN for the program's own stream monitor, -ESOCKTNOSUPPORT for a raw one. */
struct mon_act *mon_named_act(struct shim_mon *mon, int sock, int *err);
/* What id names, for any thread under the lock. */
struct mon_base *mon_get(struct shim_ctx *c, int sock, int *err);
struct mon_act *act_create(struct shim_mon *mon, struct mon_watch *w, struct shim_mlane *l, const struct mon_event *ev);
void act_free(struct shim_mon *mon, struct mon_act *a); /* lock */
void watch_free(struct shim_mon *mon, struct mon_watch *w); /* lock */
/* Note that b has changed; lock. */
void mon_changed(struct mon_base *b);
/* Carry out what was asked for. */
void mon_sync(struct shim_mon *mon);
/* The program has said what it wants, as far as one can know; lock. */
void mon_ready(struct shim_mon *mon);
int mon_stop_side(struct mon_base *b, int side); /* lock */

/* --- mon_table.c ----------------------------------------------------------------------------------------------------- */
struct mon_table *table_new(void);
struct mon_table *table_copy(const struct mon_table *t);
struct mon_table *table_get(struct mon_table *t);
void table_put(struct mon_tables *all, struct mon_table *t);
/* Change an unfrozen one. 0 or -ENOMEM. */
int table_set(struct mon_table *t, const struct mon_reg *reg);
/* The table that t becomes by these changes: shared if there is one already.  NULL: no memory. */
struct mon_table *table_with(struct mon_tables *all, struct mon_table *t, const struct mon_reg *edit, uint32_t n);
/* Make it ready for dispatching. 0 or -ENOMEM. */
int table_freeze(struct mon_table *t);
void tables_free(struct mon_tables *all);
void table_mask(const struct mon_table *t, uint16_t mask[MON_HOOKS]);
uint32_t table_node(const struct mon_table *t, unsigned hook, event_t id);
/* register, re-register, deregister; 0 or -errno; lock. */
int mon_register(struct shim_ctx *c, int sock, event_t event, int hook, union mon_cb cb, bool is_four);
/* Tell stackd what the watch wants, if it does not know; `uses` as in struct mon_table. */
int watch_tell(struct mon_watch *w, uint32_t uses[MON_HOOKS][MON_BITS]);

/* --- mon_event.c ----------------------------------------------------------------------------------------------------- */
const struct mon_def *mon_def_of(event_t id);
/* The built-in event on top of id's tree; 0: there is no such event. */
uint32_t mon_root(event_t id);
/* Run one built-in event of the round at hand. */
void mon_dispatch(struct shim_mon *mon, unsigned hook, uint32_t event);
void mon_call(struct shim_mon *mon, const union mon_cb *cb, bool is_four, event_t event, const filter_arg_t *arg);

/* --- mon_stream.c ---------------------------------------------------------------------------------------------------- */
/* The flow's record as it is now.  0 or -errno (-ESTALE: it is another flow's). */
int act_rec(const struct mon_act *a, struct mon_rec *rec);
/* The same as the round at hand is to see it: what this monitor has decided before has happened. */
int act_now(struct shim_mon *mon, struct mon_act *a, struct mon_rec *rec);

/* --- mon_pkt.c ------------------------------------------------------------------------------------------------------- */
/* Read the packet at hand into pkt_buf.  0 or -ENODATA. */
int pkt_load(struct shim_mon *mon);
/* -EPERM, and why: passive monitors change nothing. */
int mon_passive(void);
uint8_t *pkt_frame(struct shim_mon *mon);
/* The sum of RFC 1071 over len bytes, added to sum; and its end. */
uint32_t sum_add(uint32_t sum, const uint8_t *p, size_t len);
uint16_t sum_end(uint32_t sum);
/* Set the checksum of the IP header at l3, of the TCP segment at l4. */
void pkt_sum_ip(uint8_t *l3);
void pkt_sum_tcp(uint8_t *l3, uint8_t *l4, uint32_t l4_len);

/* --- mon_timer.c ----------------------------------------------------------------------------------------------------- */
void timers_run(struct shim_mon *mon);

#endif
