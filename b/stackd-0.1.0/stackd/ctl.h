/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control thread: it attaches programs, reserves ports, hands out memory, and takes everything back.  ctl.c has the
 * loop over sockets and mail; client.c one attached context; shown.c what operators see of both.
 *
 * Everything here runs in one thread, the main one.  It may block for a grace period, never for a client.
 */
#ifndef STACKD_CTL_H
#define STACKD_CTL_H

#include <signal.h>

#include "shm/ctl.h"
#include "stackd/core.h"

struct ctl;

enum client_state {
	CLIENT_HELLO,    /* connected, has not said who it is */
	CLIENT_OPERATOR, /* stackctl */
	CLIENT_LIVE,     /* attached */
	CLIENT_LEAVING,  /* engines are taking its things back */
	CLIENT_GONE,     /* to be freed when the current batch of events is done */
};

/* A payload segment that a client has. */
struct client_segment {
	uint32_t engine, class, index;
	struct region region;
};

/* A port that a client has reserved. */
struct client_port {
	struct listener *listener;
	uint32_t waiting;   /* engines that have not yet let go of it; it is out of the table when not 0 */
	uint32_t unbind_id; /* the request to be answered then */
	bool answer;
	struct client_port *next;
	struct mail out[]; /* one letter for each engine, to let go of it */
};

/* What an epoll event points to. */
struct watch {
	void (*ready)(struct ctl *ctl, struct watch *w);
	struct client *client;
	int fd;
};

struct client {
	struct ctl *ctl;
	struct client *next, **prev;
	enum client_state state;
	uint32_t id;
	struct watch sock, pidfd;
	struct ctl_cred cred;
	const struct conf_client *rule;
	char name[SHM_NAME_MAX];
	unsigned home;
	uint64_t since_us;
	int wake_fd[2]; /* ours, the client's until it is sent */
	struct lane *lane[SHM_ENGINES_MAX];
	unsigned lanes_given; /* engines 0 .. lanes_given-1 were told of its lane */
	unsigned lanes_left;  /* and these of them still have it */
	struct mail drop[SHM_ENGINES_MAX]; /* the letters that ask for it back: leaving must not fail */
	struct client_segment *segment;
	unsigned segments, segments_max;
	uint64_t memory[2]; /* bytes by enum seg_class */
	uint32_t next_index[SHM_ENGINES_MAX][2]; /* the segment number to be tried next */
	struct client_port *port;
	unsigned ports;
	struct monitor *monitor; /* NULL: it has not asked to monitor */
	unsigned asked;          /* requests that engines have not answered */
	struct stat_app *shown;
	char reason[STAT_TEXT];
};

struct ctl {
	const struct conf *conf;
	struct core **core;
	unsigned cores;
	struct listen_table *listeners;
	struct stat_seg *stat;
	const struct net_conf *net;
	uint8_t reta[SHM_RETA_SIZE];

	struct mailbox inbox;
	int epoll_fd;
	struct watch listen, mail, signals, timer;
	struct client *clients;
	unsigned client_count, hello_count;
	uint32_t next_id;
	struct monitor_group *mon_group;
	unsigned mon_groups;
	unsigned mon_slots; /* monitor sockets of all programs, those included that engines have yet to forget */
	bool share_late;    /* an engine has still to be told who watches it, for want of memory */
	unsigned finishing; /* engines that end their flows, since the traffic is over */
	bool paused; /* accepting, for want of descriptors */
	bool stop;
};

/* Listen on conf->socket and prepare everything; engines may be created (they need ctl->inbox) but not yet run.
 * 0 or -errno with a log line. */
int ctl_open(struct ctl *ctl, const struct conf *conf, struct stat_seg *stat);

/* Run until SIGTERM or SIGINT, which the caller has blocked in all threads. */
void ctl_run(struct ctl *ctl);

/* Forget every client; engines have been destroyed. */
void ctl_close(struct ctl *ctl);

/* --- client.c --- */

/* A new connection.  Takes sock over. */
void client_accept(struct ctl *ctl, int sock);

/* Answer request `id`: err is 0 or an errno. */
void client_reply(struct client *c, uint32_t id, int err, uint32_t value);

/* Begin to take back what it has.  text is told to it (when it still listens) and shown to operators. */
void client_leave(struct client *c, const char *text);

void client_free(struct client *c);

/* After something it was waiting for: CLIENT_GONE when it leaves and nothing is left. */
void client_maybe_gone(struct client *c);

bool client_may_operate(const struct client *c);

/* Mail from engines. */
void client_lane_gone(struct client *c);
void client_wants(struct client *c, unsigned engine, unsigned segments);
void client_segment_back(struct client *c, const struct mail *m);
void client_listener_done(struct client *c, struct listener *l);

/* --- attach.c: HELLO to READY --- */
void client_hello(struct client *c, const struct ctl_msg *m);

/* Give it one more payload segment.  0 or -errno; -EDQUOT when its memory is used up. */
int client_segment_new(struct client *c, unsigned engine, enum seg_class class);

/* --- bind.c: its ports --- */
void client_bind(struct client *c, const struct ctl_msg *m);
void client_listen(struct client *c, const struct ctl_msg *m);
void client_unbind(struct client *c, const struct ctl_msg *m);
void client_unbind_all(struct client *c);

/* --- monitor.c, monitor_group.c: its monitors; what they share is in monitor.h --- */

/* The scopes of the configuration, while memory may still be made executable.  0 or -errno with a log line. */
int monitor_groups_make(struct ctl *ctl);
void monitor_groups_free(struct ctl *ctl);

/* A CTL_MON_* message of its right size. */
void monitor_message(struct client *c, const struct ctl_msg *m);

/* An order has come back from an engine. */
void monitor_done(struct mon_order *o);

/* Say again what could not be said. */
void monitor_share_late(struct ctl *ctl);

/* The client leaves: take its lanes back from the engines; c->monitor is NULL when that is done. */
void monitor_leave(struct client *c);

/* The end of stackd: free what is left of its monitor; engines have been destroyed. */
void monitor_end(struct client *c);

/* --- shown.c --- */
struct stat_app *shown_take(struct ctl *ctl, const struct client *c);
void shown_refresh(struct ctl *ctl);
void shown_client(struct client *c);
void shown_monitor_left(struct client *c); /* before its lanes are freed */
void shown_group_gone(struct ctl *ctl, unsigned id);

#endif
