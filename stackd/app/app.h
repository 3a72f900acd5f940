/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One client context as one engine sees it: a lane.  Rings in both directions, the handles the client may name, its
 * payload memory, its turn.
 *
 * The engine's thread alone uses a lane after lane_create() and until the engine has reported it gone; the control thread creates and
 * destroys it, and meanwhile only peeks at plain counters.  Client-written memory is read through ring.h and bytes.h only.
 *
 * Nothing here waits for a client, and nothing a client writes can do more than detach that client: lane->bad says why.
 */
#ifndef STACKD_APP_APP_H
#define STACKD_APP_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "shm/proto.h"
#include "shm/region.h"
#include "shm/ring.h"
#include "stackd/tcp/conn.h"
#include "stackd/tcp/tcp.h"

/* A connection under the name its client knows it by. */
struct app_conn {
	struct tcp_conn *conn; /* NULL: the open failed at once, err says why; or closed, and TCP has let go of it */
	int err;               /* -errno */
	bool closed;           /* by the client; the name is free once it has been told that its chunks are */
	uint64_t tx_end;       /* as CMD_CLOSE said it; the last event repeats it */
	struct lane *lane;
	uint32_t index, gen;   /* the handle */
	bool waiting;          /* in the lane's dirty list */
	uint8_t info_left;     /* parts of the answer to CMD_INFO that are still to be told */
	uint32_t info_token;
	TAILQ_ENTRY(app_conn) news;
};
TAILQ_HEAD(app_news, app_conn);

/* The handles of one lane in one direction (given by the engine, or by the client). */
struct handles {
	struct app_conn **conn; /* by index; NULL: free */
	uint32_t *gen;          /* by index: the generation given last */
	uint32_t size, max;     /* entries, and the bound that the client's rule sets */
	uint32_t *free;         /* stack of free indices below size (engine-given handles only) */
	uint32_t frees;
};

enum lane_state {
	LANE_LIVE,
	LANE_RESETTING, /* its connections are being reset, a few a turn */
	LANE_FORGETTING, /* their names are being freed, a few a turn */
	LANE_DRAINING,  /* what it had closed before may finish until drain_until_us */
	LANE_SWEEPING,  /* and now no more */
	LANE_GONE,      /* nothing refers to it any more */
};

struct client;
struct mail;

struct lane {
	struct tcp_owner owner; /* first: tcp/ hands it back */
	unsigned engine;
	uint32_t app;          /* context id */
	struct client *client; /* the control thread's own */
	struct mail *letter;   /* core_mail.c's: asked for the lane's end, and goes back as the answer */
	enum lane_state state;

	struct region down, up;
	struct ring_prod events;
	struct ring_cons cmds;
	struct lane_down *dn;
	struct lane_up *upp; /* never dereferenced: its address is handed to ring.h */
	int doorbell_fd;     /* eventfd the client writes, edge-triggered in the engine's epoll set, never read: a client may change
	                        its flags, and a read could block */
	int wake_fd;         /* our end of the context's wake socket; belongs to the control thread */
	bool may_connect;    /* its rule says endpoint = true */
	uint32_t woken;      /* the last sleep of the client that was ended */
	bool has_news;       /* events were put in this turn */

	struct handles passive, active;
	struct app_news dirty; /* notes that found the event ring full, oldest first */
	int32_t deficit; /* what is left of its share of the turn */

	const char *bad;        /* why this client must go; NULL: well behaved */
	bool bad_told;          /* the control thread knows */
	uint32_t seg_asked;     /* segments asked for and not yet come */
	uint64_t seg_retry_us;  /* refused: not to be asked for before */
	uint64_t drain_until_us;
	uint64_t commands, put, wakes, nonsense; /* for stackctl */
};

struct lane_conf {
	unsigned engine;
	uint32_t app;
	uint32_t ring_slots;
	uint32_t max_sockets;
	bool may_connect;
	int wake_fd;
};

/* Make a lane with its regions and doorbell, without payload segments.  0 or -errno. */
int lane_create(const struct lane_conf *conf, struct lane **out);

/* Free a lane that is GONE or was never given to an engine; its segments have been unmapped by the caller. Accepts NULL. */
void lane_destroy(struct lane *l);

/* What an engine lends to this room. */
struct app_env {
	struct tcp *tcp;
	struct stats *stats;
	struct listen_table *listeners;
	unsigned engine;
	uint64_t now_us;
	bool (*late_segments)(void *arg); /* look for segments whose message has not been read yet; true when one came */
	void *arg;
};

/* Take commands of one lane, as many as its share allows.  Returns how many were taken. */
unsigned app_commands(struct app_env *env, struct lane *l);

/* Whether the client has left something to take. */
bool app_ready(const struct lane *l);

/* Tell the client about c (a tcp_note_fn body).  A full ring postpones it. */
void app_note(struct app_env *env, struct tcp_conn *c);

/* A connection that its client had closed reads the client's memory no more: say so, and free its name (a let_go hook). */
void app_let_go(struct app_env *env, struct tcp_conn *c);

/* Offer postponed notes again, and wake the client if it sleeps and has news. Once a turn. */
void app_settle(struct app_env *env, struct lane *l);

/* Whether notes wait for the client to read its events: no doorbell tells of that, so look again before long. */
bool app_waits(const struct lane *l);

/* How many receive segments the lane should ask for now; 0: none. */
unsigned app_segments_wanted(const struct lane *l, uint64_t now_us);

/* The client is gone.  Then call lane_reclaim() once a turn until it returns true. */
void lane_leave(struct lane *l);

/* One bounded step of taking everything back; true when nothing refers to the lane any more. */
bool lane_reclaim(struct app_env *env, struct lane *l, uint64_t drain_us);

#endif
