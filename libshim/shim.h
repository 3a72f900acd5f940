/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Inside libshim: handles, rings and cursors of one program's contexts.  No TCP is here; it is stackd's.
 *
 * A context (struct shim_ctx, the public mctx_t) has one control socket, one lane per engine, and a table of ids: sockets,
 * epolls and pipe ends share one number space.  Public calls are wrappers: shim_enter() checks and locks, a function that
 * returns 0 or -errno does the work, shim_leave() rings the engines' doorbells, unlocks and sets errno (error.c).
 *
 *   attach.c   handshake, control messages, the end of stackd     context.c  create, destroy, fork, waiting
 *   socket.c   ids, addresses, bind, listen, accept, connect      option.c   socket options, ioctl
 *   stream.c   bytes in and out, shutdown, close                  lane.c     commands out, events in
 *   epoll.c    readiness, epoll, poll                             pipe.c     pipes
 *   conf.c     mtcp.conf, mos.conf, getconf, setconf              rss.c      steering, source address pools
 *   mos.c      what mOS names or numbers otherwise                mon*.c     the monitor half: see mon.h
 *   error.c    errno, sentences, notices                          util.c     hashes and words for mOS programs
 *
 * Thread-safety: everything in a context is under its lock, which is given up only while a call waits; after a wait nothing
 * found before may be trusted, ids are looked up again.  One waiting thread, the leader, sleeps on the context's kernel epoll, the
 * others on a condition that it signals.  Different contexts share nothing but conf.c's settings and the list of contexts.
 */
#ifndef LIBSHIM_SHIM_H
#define LIBSHIM_SHIM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "shm/bytes.h"
#include "shm/ctl.h"
#include "shm/proto.h"
#include "shm/region.h"
#include "shm/ring.h"

enum {
	SHIM_FDS_MAX = 1 << 20,      /* ids of one context; the rest of a cookie is its generation */
	SHIM_CREDIT_MIN = 16 * 1024, /* bytes consumed before the engine is told though more are unread */
	SHIM_LOW_CHUNKS = 128,       /* free chunks below which another segment is asked for */
	SHIM_NAMES_REST = 16,        /* names that rest before one is used again */
	SHIM_BURST = 256,            /* events taken from a lane before the others have their turn */
};

struct shim_ctx;
struct shim_epoll;
struct shim_sock;

/* One registration of a socket with an epoll. */
struct shim_item {
	struct shim_sock *sock;
	struct shim_epoll *ep;
	struct shim_item *next_of_sock;
	struct shim_item *prev, *next; /* the epoll's ready list, while queued */
	uint64_t data;
	uint32_t events; /* bits of Linux, EPOLLET and EPOLLONESHOT included */
	bool queued;
	bool off; /* ONESHOT has fired */
};

enum shim_kind {
	KIND_STREAM,
	KIND_EPOLL,
	KIND_PIPE,
	KIND_WATCH, /* monitor sockets: of the program ... */
	KIND_ACT,   /* ... and of one flow */
};

/* What every id names. */
struct shim_sock {
	uint8_t kind; /* enum shim_kind */
	uint8_t state; /* enum stream_state */
	uint16_t pad;
	uint32_t flags; /* enum shim_flags */
	int32_t fd;      /* -1: none (not accepted yet, or closed) */
	uint32_t cookie; /* fd and a generation: unique among all that live in the context */
	struct shim_item *items;
};

enum shim_flags {
	F_NONBLOCK = 1 << 0,
	F_INET6 = 1 << 1,    /* addresses are told as sockaddr_in6 */
	F_BOUND = 1 << 2,    /* local address (and perhaps port) set by the program */
	F_RESERVED = 1 << 3, /* stackd has reserved the port under our cookie */
	F_FIN = 1 << 4,      /* the peer sends no more */
	F_CLOSED = 1 << 5,   /* both directions are done */
	F_URGENT = 1 << 6,
	F_SHUT_RD = 1 << 7,
	F_SHUT_WR = 1 << 8,
	F_WANT_OUT = 1 << 9,  /* a write found no room: tell when there is */
	F_STARVED = 1 << 10,  /* a write found no chunk; it stands on the lane's list */
	F_LISTED = 1 << 11,   /* stands on the lane's pending list */
	F_HANDLE = 1 << 12,   /* has a handle in its lane */
	F_ZOMBIE = 1 << 13,   /* closed by the program; waits for the engine's last word */
	F_GONE = 1 << 14,     /* to be freed when taken from the pending list */
	F_ACCEPTABLE = 1 << 15, /* stands in its listener's queue */
	/* owed to the engine, in this order */
	F_OWE_CONNECT = 1 << 16,
	F_OWE_ACCEPTED = 1 << 17,
	F_OWE_CREDIT = 1 << 18,
	F_OWE_SHUT = 1 << 19,
	F_OWE_CLOSE = 1 << 20,
	F_REUSEPORT = 1 << 21,
	F_REUSEADDR = 1 << 22,
	F_LISTENER = 1 << 23, /* which half of struct shim_stream's union counts */
	F_GATHER = 1 << 24,   /* parts of one write: the engine is told at its end */
	F_V6ONLY = 1 << 25,   /* IPV6_V6ONLY */
};

enum stream_state {
	ST_FRESH,      /* neither connected nor listening */
	ST_LISTENING,
	ST_CONNECTING,
	ST_OPEN,
	ST_DEAD,       /* err said why, until somebody asked */
};

/* Options the program has set; made when the first one is. */
struct shim_opts {
	uint32_t set, dirty; /* bits 1 << enum sock_opt; dirty ones are owed to the engine */
	uint32_t value[OPT_MAX];
	int32_t linger_s; /* -1: default close */
};

struct shim_stream {
	struct shim_sock s;
	struct shim_opts *opts;
	struct shim_stream *next; /* the lane's pending list, or the listener's queue: never both */
	struct handle handle;
	uint8_t lane;
	uint8_t how; /* of the shutdown that is owed */
	uint16_t local_port, peer_port;
	uint16_t mss;
	uint16_t soft_err; /* what ICMP has said, positive; 0: nothing */
	int32_t err; /* pending error, positive; of a zombie: linger_s for CMD_CLOSE */
	struct ipaddr local, peer;
	union {
		struct { /* a connection */
			uint64_t rx_done, rx_end; /* stream offsets: consumed, readable up to */
			uint64_t rx_told;         /* what the engine knows of rx_done */
			uint64_t tx_end, tx_told, tx_acked;
			uint32_t rx_no, rx_id; /* the chunk at (or just before) rx_done: number and id, BYTES_NONE: unknown */
			uint32_t tx_limit;
			uint32_t tx_sent;         /* what the engine has sent, as it said last: modulo 2^32 */
			uint32_t accept_cookie; /* of the listener it came to */
			struct bytes tx;
		};
		struct { /* a listener */
			struct shim_stream *first, *last;
			uint32_t waiting, backlog;
		};
	};
};
static_assert(sizeof(struct shim_stream) <= 192, "10,000 idle connections cost 2 MB");

static inline struct shim_stream *stream_of(struct shim_sock *s)
{
	return (struct shim_stream *)s;
}

struct shim_pipe {
	struct shim_sock s;
	struct pipe_buf *buf;
};

struct shim_epoll {
	struct shim_sock s;
	struct shim_item *first, *last; /* ready list */
	uint32_t ready;
	int kernel_fd; /* epoll of the kernel descriptors among its members, or -1 */
	bool kernel_turn;
};

/* Handles of one kind in one lane. */
struct shim_slot {
	struct shim_stream *st;
	uint32_t gen;
	uint32_t next; /* free active indices form a queue */
};

struct shim_table {
	struct shim_slot *slot;
	uint32_t cap, used;          /* used: first index never given (active) */
	uint32_t free_first, free_last; /* UINT32_MAX: empty */
	uint32_t free_count;
};

struct shim_lane {
	struct region down_mem, up_mem;
	const struct lane_down *down;
	struct lane_up *up;
	struct ring_prod cmds;
	struct ring_cons events;
	int bell;           /* eventfd, -1: not attached */
	bool has_put;       /* commands since the doorbell was looked at */
	bool rung;          /* rung when the engine had consumed rung_done commands */
	uint32_t rung_done;
	struct bytes_map rx; /* class A */
	struct bytes_pool tx; /* class B */
	bool asked;          /* a CTL_SEGMENT_ASK is under way */
	uint64_t denied_us;  /* when the last one was refused; 0: it was not */
	struct shim_table passive, active;
	struct shim_stream *pending_first, *pending_last; /* streams that owe something */
	uint32_t *starved; /* fds of streams that wait for chunks; may be stale */
	uint32_t starved_count, starved_cap;
};

enum ctx_state {
	CTX_FREE,
	CTX_LIVE,
	CTX_ENDING, /* being destroyed; waiters leave */
};

struct rss_pool;
struct shim_mon;

struct shim_ctx {
	int cpu; /* all that a program sees; must be first */
	_Atomic int state;
	unsigned fork_gen;
	struct shim_ctx *next; /* of all contexts ever made; they are used again, never freed */
	pthread_mutex_t lock;
	pthread_cond_t turn; /* followers wait here */

	int ctl, wake, kick, epfd; /* control socket, wake socket, eventfd from other threads, epoll over all of them */
	bool down;        /* stackd is gone or has detached us */
	bool polling;     /* a leader sleeps on epfd */
	bool kicked;
	bool changed;     /* something became ready: tell the other waiters */
	bool armed_always; /* mtcp_context_fd was called */
	_Atomic bool end_later; /* destroyed by a signal handler: who leaves next does it */
	unsigned followers, inside;
	uint32_t sleep_no, quiet, spin_misses, spin_skipped;
	uint32_t rpc_id;
	char why[SHM_TEXT_MAX]; /* why it was detached */

	struct ctl_welcome welcome;
	struct shim_lane *lane;
	uint32_t lanes, home;

	struct shim_sock **fds;
	uint64_t *fd_used; /* bitmap */
	uint32_t max_fds, fd_gen, conns;
	bool may_grow; /* nobody has said how many ids there shall be */
	uint32_t fd_low; /* no word of the bitmap before this one has a free bit */
	uint32_t zombies; /* closed connections whose last word has not come */
	uint32_t rcvbuf, sndbuf; /* from the configuration; 0: stackd's */
	struct { /* info.c: the question that is under way */
		bool busy;
		uint32_t token, parts;
		struct sock_info got;
	} info;
	struct rss_pool *pools;
	struct shim_mon *mon; /* NULL until there is a monitor socket or a timer */
};

/* --- error.c ------------------------------------------------------------------------------------------------------------ */
/* errno and -1 for -errno, else r. */
ssize_t shim_ret(ssize_t r);
/* The sentence for mtcp_error_text(), of this thread: about the failure that is to come.  A failure without one leaves none. */
void shim_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and err. */
int shim_why(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void shim_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- context.c ---------------------------------------------------------------------------------------------------------- */
struct mtcp_context;
/* Lock a context.  NULL and errno EACCES when it is not valid. */
struct shim_ctx *shim_enter(struct mtcp_context *m);
/* Ring, tell other waiters, unlock.  Returns shim_ret(r). */
ssize_t shim_leave(struct shim_ctx *c, ssize_t r);
bool shim_alive(const struct shim_ctx *c);
/* Does this process have the context from its parent only? */
bool shim_forked(const struct shim_ctx *c);
/* Tell other waiters, lock held. */
void shim_publish(struct shim_ctx *c);
/* The end of a context whose state is CTX_ENDING; lock held. */
void shim_end(struct shim_ctx *c);
/* Give up the lock until something may have changed.  0, -ETIMEDOUT, -EINTR, -ESHUTDOWN (stackd is gone), -EBADF (the context is
 * being destroyed).  deadline_us: shim_now_us() time, UINT64_MAX: never. */
int shim_wait(struct shim_ctx *c, uint64_t deadline_us);
/* The same, for a context that no longer has a stackd: pipes go on. */
int shim_wait_local(struct shim_ctx *c, uint64_t deadline_us);
uint64_t shim_now_us(void);
uint64_t shim_deadline(int timeout_ms);
/* Set the sleeping words; true when nothing came meanwhile.  shim_disarm takes them back. */
bool shim_arm(struct shim_ctx *c);
void shim_disarm(struct shim_ctx *c);
/* For programs that wait on mtcp_context_fd: make it readable by what comes from now on.  False when something is there already. */
bool shim_rearm(struct shim_ctx *c);

/* --- attach.c ----------------------------------------------------------------------------------------------------------- */
int ctl_attach(struct shim_ctx *c, const char *path, int cpu);
/* Everything of stackd's that the context holds. */
void ctl_detach(struct shim_ctx *c);
/* Take what has come on the control socket; never waits. */
void ctl_poll(struct shim_ctx *c);
/* Ask and wait for the answer: 0 or -errno. */
int ctl_call(struct shim_ctx *c, uint32_t type, const void *body, size_t size, uint32_t *value);
/* The same; a descriptor that comes with the answer goes to *fd. */
int ctl_call_fd(struct shim_ctx *c, uint32_t type, const void *body, size_t size, uint32_t *value, int *fd);
/* Tell; nobody waits for the answer. */
void ctl_tell(struct shim_ctx *c, uint32_t type, const void *body, size_t size);
/* Ask for another segment of class B unless one is under way or was refused just now. */
void ctl_ask_segment(struct shim_ctx *c, struct shim_lane *l);
/* stackd is gone: every connection dies, every waiter returns. */
void ctl_lost(struct shim_ctx *c, const char *why);

/* --- lane.c ------------------------------------------------------------------------------------------------------------- */
/* Take events, settle debts.  True when something came. */
bool lane_pump(struct shim_ctx *c);
void lane_ring(struct shim_ctx *c);
bool lane_owes(const struct shim_ctx *c);
bool lane_starves(const struct shim_ctx *c);
/* Put what the stream owes.  What the ring has no room for stays owed. */
void lane_settle(struct shim_ctx *c, struct shim_stream *st);
/* Settle at the next pump: for what may wait. */
void lane_settle_later(struct shim_ctx *c, struct shim_stream *st);
/* CMD_INFO.  0 or -ENOBUFS: the ring is full. */
int lane_ask_info(struct shim_ctx *c, struct shim_stream *st, uint32_t token);
/* A name for a new connection of ours.  0, -ENFILE, -ENOMEM. */
int lane_name(struct shim_ctx *c, struct shim_stream *st, uint32_t lane);
/* It gives its name back. */
void lane_unname(struct shim_ctx *c, struct shim_stream *st);
/* Put st on the list of those who wait for chunks. */
void lane_starve(struct shim_ctx *c, struct shim_stream *st);
void lane_feed(struct shim_ctx *c, struct shim_lane *l);
/* The address of a chunk of class A, or NULL.  Looks on the control socket for a segment that is unknown. */
const uint8_t *lane_chunk(struct shim_ctx *c, struct shim_lane *l, uint32_t id);
int lane_create(struct shim_ctx *c);
void lane_destroy(struct shim_ctx *c);

/* --- socket.c ----------------------------------------------------------------------------------------------------------- */
int fds_create(struct shim_ctx *c, uint32_t max);
void fds_destroy(struct shim_ctx *c);
/* From now on there are SHIM_FDS_MAX of them, if the program has not said how many. 0 or -ENOMEM. */
int fds_grow(struct shim_ctx *c);
/* mtcp_close() for all of them. */
void fds_close(struct shim_ctx *c);
/* Give s the lowest free id.  The id or -ENFILE. */
int fds_add(struct shim_ctx *c, struct shim_sock *s);
void fds_remove(struct shim_ctx *c, struct shim_sock *s);
/* What an id names; NULL: nothing. */
struct shim_sock *fds_get(const struct shim_ctx *c, int fd);
/* Tell stackd of a listener, or of its options and backlog when they have changed.  0 or -errno. */
int sock_listen(struct shim_ctx *c, struct shim_stream *st, uint32_t backlog);
/* The stream, or NULL and -EBADF or -ENOTSOCK in *err. */
struct shim_stream *fds_stream(const struct shim_ctx *c, int fd, int *err);
/* Is fd still what it was? */
bool fds_same(const struct shim_ctx *c, int fd, uint32_t cookie);
int sock_create(struct shim_ctx *c, int domain, int flags);
struct shim_stream *stream_create(struct shim_ctx *c);
void stream_free(struct shim_ctx *c, struct shim_stream *st);
/* Give any id back. */
void sock_close(struct shim_ctx *c, struct shim_sock *s, bool abort);
struct shim_stream *listener_of(const struct shim_ctx *c, uint32_t cookie);
void listener_queue(struct shim_stream *l, struct shim_stream *st);
int sock_reserve(struct shim_ctx *c, struct shim_stream *st);
int addr_in(const struct sockaddr *sa, socklen_t len, struct ipaddr *ip, uint16_t *port);
void addr_out(const struct shim_stream *st, const struct ipaddr *ip, uint16_t port, struct sockaddr *sa, socklen_t *len);
bool addr_is_any(const struct ipaddr *ip);
bool addr_is_v4(const struct ipaddr *ip);
bool addr_is_link_local(const struct ipaddr *ip);
int addr_for(const struct shim_stream *st, const struct sockaddr *sa, socklen_t len, struct ipaddr *ip, uint16_t *port);
struct ipaddr addr_v4(uint32_t net_order);

/* --- stream.c ----------------------------------------------------------------------------------------------------------- */
ssize_t stream_read(struct shim_ctx *c, int fd, void *buf, size_t len, int flags);
ssize_t stream_write(struct shim_ctx *c, int fd, const void *buf, size_t len, int flags);
/* An error that the program has not been told; taken away.  0: none. */
int stream_take_error(struct shim_stream *st);
void stream_fail(struct shim_ctx *c, struct shim_stream *st, int err);
bool stream_writable(const struct shim_ctx *c, const struct shim_stream *st);
/* Somebody waits until st is writable: see that it is told. */
void stream_want_out(struct shim_ctx *c, struct shim_stream *st);
/* EPOLLOUT when st has become writable for somebody who waits for it, else 0. */
uint32_t stream_out_edge(struct shim_ctx *c, struct shim_stream *st);
void stream_move(struct shim_ctx *c, struct shim_stream *st, enum stream_state state);
uint32_t stream_ready(const struct shim_ctx *c, const struct shim_stream *st);
/* The program lets go of it (its id is gone already).  linger_s as in CMD_CLOSE. */
void stream_close(struct shim_ctx *c, struct shim_stream *st, int32_t linger_s);
/* The engine has nothing more to say about st. */
void stream_over(struct shim_ctx *c, struct shim_stream *st);
/* Close the connection under a socket that stays.  0 or -ENOMEM. */
int stream_split(struct shim_ctx *c, struct shim_stream *st, int32_t linger_s);

/* --- option.c ----------------------------------------------------------------------------------------------------------- */
int opts_inherit(struct shim_ctx *c, struct shim_stream *st, const struct shim_opts *from);
uint32_t opts_value(const struct shim_ctx *c, const struct shim_stream *st, enum sock_opt o);

/* --- info.c ------------------------------------------------------------------------------------------------------------- */
int info_get(struct shim_ctx *c, int fd, void *val, socklen_t *len);
void info_take(struct shim_ctx *c, const struct event *e);

/* --- epoll.c ------------------------------------------------------------------------------------------------------------ */
struct shim_event {
	uint64_t bits; /* of Linux */
	uint64_t data;
};
/* These bits of s may have become true. */
void ep_notify(struct shim_ctx *c, struct shim_sock *s, uint32_t bits);
/* s is going: leave all epolls. */
void ep_forget(struct shim_ctx *c, struct shim_sock *s);
uint32_t ep_ready(const struct shim_ctx *c, const struct shim_sock *s);
int ep_ctl(struct shim_ctx *c, int epid, int op, int fd, const struct shim_event *e);
int ep_wait(struct shim_ctx *c, int epid, struct shim_event *e, int max, int timeout_ms);
void ep_close(struct shim_ctx *c, struct shim_epoll *ep);
/* In a forked child: close what was inherited. */
void ep_close_kernel(const struct shim_ctx *c);
/* "IN|OUT" in a buffer of this thread. */
char *ep_names(uint32_t bits);

/* --- pipe.c ------------------------------------------------------------------------------------------------------------- */
ssize_t pipe_read(struct shim_ctx *c, int fd, void *buf, size_t len, int flags);
ssize_t pipe_write(struct shim_ctx *c, int fd, const void *buf, size_t len, int flags);
uint32_t pipe_ready(const struct shim_pipe *p);
size_t pipe_unread(const struct shim_pipe *p);
void pipe_close(struct shim_ctx *c, struct shim_pipe *p);

/* --- mon*.c: what the rest of the library calls; c->mon may be NULL.  Under the lock unless said otherwise. ----------------- */
int mon_socket(struct shim_ctx *c, int domain, bool raw);
/* A monitor socket's id was given back. */
void mon_close(struct shim_ctx *c, struct shim_sock *s);
/* RST to both ends of a flow. */
int mon_reset(struct shim_ctx *c, struct shim_sock *s);
void mon_take_lane(struct shim_ctx *c, struct ctl_msg *m);
/* stackd is gone: the callback thread empties its rings and ends. */
void mon_lost(struct shim_ctx *c);
/* The context is being destroyed.  True: from within a callback; the callback thread does the rest when the callback has returned. */
bool mon_leaves(struct shim_ctx *c);
int mon_core(uint32_t engine); /* in a callback of a context with that home: its cpu; else -1.  Without the lock */
/* End the callback thread and wait for it.  Without the lock. */
void mon_stop(struct shim_ctx *c);
void mon_free(struct shim_ctx *c);
void mon_fork_child(struct shim_ctx *c); /* no lock: one thread is left */
void mon_defs_lock(void);                /* fork() must not find the events half made */
void mon_defs_unlock(void);
/* SOL_MONSOCKET; they lock by themselves. */
int mon_getsockopt(struct mtcp_context *m, int sock, int name, void *val, socklen_t *len);
int mon_setsockopt(struct mtcp_context *m, int sock, int name, const void *val, socklen_t len);

/* --- conf.c ------------------------------------------------------------------------------------------------------------- */
enum {
	CONF_APPS = 20,
	CONF_ARGS = 20,
	CONF_CONCURRENCY = 10000, /* ids of a context, when nobody has said how many */
};

struct shim_conf {
	int max_concurrency; /* 0: nobody has said */
	int num_cores, max_num_buffers, rcvbuf, sndbuf, timewait_ms, timeout_ms;
	int no_buffers; /* monitors want no streams */
	uint64_t cpu_mask;
	char socket[108];
	int apps;
	struct conf_app {
		char type[20], run[201];
		uint64_t cpu_mask;
		int argc;
		char *argv[CONF_ARGS]; /* into words */
		char words[201];
	} app[CONF_APPS];
};
void conf_get(struct shim_conf *out);
/* NULL, or what is wrong with it. */
const char *conf_check(const struct shim_conf *in);
void conf_set(const struct shim_conf *in);
int conf_load(const char *path);
/* The settings that stay: argv strings of mtcp_getconf point into it. */
const struct shim_conf *conf_shared(void);
int words_split(char *str, char **argv, int max);

/* --- rss.c -------------------------------------------------------------------------------------------------------------- */
void rss_learn(const struct ctl_welcome *w);
/* The source address for the next connection to dst:port; unspecified when stackd shall choose. */
struct ipaddr rss_source(struct shim_ctx *c, const struct ipaddr *dst, uint16_t port);
/* The engine that packets of dst:dport to src:sport come to. */
uint32_t rss_engine(const struct shim_ctx *c, const struct ipaddr *src, uint16_t sport, const struct ipaddr *dst,
                    uint16_t dport);
void rss_destroy(struct shim_ctx *c);

#endif
