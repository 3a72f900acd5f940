/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A stackd played by hand, for libshim's tests.
 *
 * A thread of its own answers the control socket: the handshake, ports, memory.  The engines are played by the test: it puts
 * events and takes commands, so that it decides what happens when.  The memory is the real thing: sealed regions, rings, chunk
 * pools.  One lane may be played by one thread at a time.
 */
#ifndef TESTS_SHIM_DAEMON_H
#define TESTS_SHIM_DAEMON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/bytes.h"
#include "shm/ctl.h"
#include "shm/proto.h"
#include "shm/region.h"
#include "shm/ring.h"

enum {
	SD_CLIENTS = 8,
	SD_ENGINES = 4,
	SD_SEGS = 8,
};

struct sd_client;

struct sd_conf {
	/* CTL_MON_*; true: it was for it.  Under the daemon's lock (shim_monitor.h) */
	bool (*monitor)(struct sd_client *c, const struct ctl_msg *m, void *arg);
	void *monitor_arg;
	unsigned engines;  /* 0: 1 */
	unsigned slots;    /* 0: 256 */
	unsigned spin_us;
	unsigned max_sockets; /* 0: 1000 */
	unsigned tx_segs;  /* segments of class B a lane may get; 0: SD_SEGS */
	bool late_segs;    /* none before CTL_READY */
	int refuse;        /* errno; 0: welcome */
	const char *text;
	unsigned abi;      /* 0: the real one */
	bool no_lanes;     /* READY straight after WELCOME */
	bool bad_slots;    /* a ring size that is no power of two */
};

struct sd_lane {
	struct sd_client *client;
	struct region down_mem, up_mem;
	struct lane_down *down;
	struct lane_up *up;
	struct ring_prod events;
	struct ring_cons cmds;
	int bell;
	uint32_t woken;
	struct bytes_pool rx;
	struct bytes_map tx;
	struct region rx_seg, tx_seg[SD_SEGS];
	_Atomic unsigned tx_segs, tx_asked;
};

struct sd_client {
	struct sd_daemon *d;
	int sock, wake;
	struct sd_lane lane[SD_ENGINES];
};

struct sd_daemon {
	struct sd_conf conf;
	char path[96];
	int listen_fd, stop_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	struct sd_client client[SD_CLIENTS];
	unsigned clients; /* attached ones; under lock, as is what follows */
	struct ctl_hello hello;
	struct ctl_bind bind;
	struct ctl_listen listen;
	unsigned binds, listens, unbinds, unlistens;
	int bind_err, listen_err;
	uint16_t next_port;
	unsigned asks, noes;
};

/* Starts; STACKD_SOCKET of the environment names it. */
void sd_start(struct sd_daemon *d, const struct sd_conf *conf);
/* Goes away as a killed stackd would. */
void sd_stop(struct sd_daemon *d);
/* The i-th client that has attached. */
struct sd_client *sd_client(struct sd_daemon *d, unsigned i);
/* Wait until *n reaches at least `least` (a counter of d). */
void sd_until(struct sd_daemon *d, const unsigned *n, unsigned least);
/* Detach a client with a sentence. */
void sd_detach(struct sd_client *c, int err, const char *text);

/* Put an event; wakes the client if it sleeps.  False when the ring is full. */
bool sd_put(struct sd_lane *l, const struct event *e);
/* The next command: waits up to 5 s, then the test fails. */
struct cmd sd_take(struct sd_lane *l);
/* The next command, which must be `op`. */
struct cmd sd_expect(struct sd_lane *l, unsigned op);
/* There is no command now. */
bool sd_idle(struct sd_lane *l);

/* One connection as its engine sees it. */
struct sd_conn {
	struct sd_lane *lane;
	struct handle handle;
	struct bytes rx, tx;
	uint64_t rx_end, rx_done, tx_end, tx_acked;
	uint64_t tx_sent;
	uint32_t tx_limit, err;
	uint16_t flags;
};
void sd_conn_init(struct sd_conn *c, struct sd_lane *l, uint32_t index, uint32_t gen);
void sd_conn_fini(struct sd_conn *c);
/* EV_ACCEPT from 10.0.0.2:port to 10.0.0.1:80, and the first EV_STATE. */
void sd_accept(struct sd_conn *c, uint32_t cookie, uint16_t port);
/* EV_OPEN, and the first EV_STATE, for a connection that `cmd` asked for. */
void sd_open(struct sd_conn *c, struct sd_lane *l, const struct cmd *cmd);
/* Make the state as it is known. */
struct event sd_state(struct sd_conn *c);
void sd_tell(struct sd_conn *c);
/* Receive bytes without telling; sd_tell does. */
void sd_receive(struct sd_conn *c, const void *buf, size_t len);
/* Do what a command for this connection says: credit frees chunks, sent bytes are noted. */
void sd_apply(struct sd_conn *c, const struct cmd *cmd);
/* Read what the program has sent at off. */
void sd_sent(struct sd_conn *c, uint64_t off, void *buf, size_t len);
/* All sent bytes are acknowledged. */
void sd_ack(struct sd_conn *c);
/* The last word after CMD_CLOSE. */
void sd_last(struct sd_conn *c);

#endif
