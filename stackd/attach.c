/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Attaching a program: who it is, whether it may, and what it gets: one lane per engine, one wake socket, first memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stackd/ctl.h"
#include "stackd/log.h"

enum { GROUPS_MAX = 256 };

static void refuse(struct client *c, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void refuse(struct client *c, int err, const char *fmt, ...)
{
	struct ctl_refused r = { .err = err };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r.text, sizeof(r.text), fmt, ap);
	va_end(ap);
	log_info("ctl", "pid %d, uid %u is refused: %s", (int)c->cred.pid, (unsigned)c->cred.uid, r.text);
	(void)ctl_send(c->sock.fd, CTL_REFUSED, 0, &r, sizeof(r), NULL, 0);
	client_leave(c, r.text);
}

/* The rule for the peer's uid and all its groups. */
static const struct conf_client *rule_for(const struct client *c)
{
	gid_t gid[GROUPS_MAX + 1] = { c->cred.gid };
	socklen_t size = GROUPS_MAX * sizeof(gid[0]);
	unsigned n = 1;

	if (getsockopt(c->sock.fd, SOL_SOCKET, SO_PEERGROUPS, &gid[1], &size) == 0)
		n += size / sizeof(gid[0]);
	return conf_client_for(c->ctl->conf, c->cred.uid, gid, n);
}

static unsigned contexts_of_process(const struct ctl *ctl, pid_t pid)
{
	unsigned n = 0;

	for (const struct client *c = ctl->clients; c != NULL; c = c->next)
		n += c->state == CLIENT_LIVE && c->cred.pid == pid;
	return n;
}

/* Those that are leaving count until their memory is back. */
static unsigned contexts_of_user(const struct ctl *ctl, uid_t uid)
{
	unsigned n = 0;

	for (const struct client *c = ctl->clients; c != NULL; c = c->next)
		n += c->id != 0 && c->cred.uid == uid;
	return n;
}

static bool versions_fit(struct client *c, const struct ctl_hello *h, size_t size)
{
	if (size < offsetof(struct ctl_hello, cmd_size)) {
		refuse(c, EPROTO, "this is no libshim: its greeting has %zu bytes", size);
		return false;
	}
	if (h->magic != SHM_MAGIC) {
		refuse(c, EPROTO, "this is no libshim: its greeting starts with 0x%08x", h->magic);
		return false;
	}
	if (h->abi != SHM_ABI) {
		refuse(c, EPROTO, "libshim speaks ABI %u, this stackd (%s) speaks ABI %u: install matching versions", h->abi,
		       STACKD_VERSION, SHM_ABI);
		return false;
	}
	if (size != sizeof(*h) || h->cmd_size != sizeof(struct cmd) || h->event_size != sizeof(struct event) ||
	    h->welcome_size != sizeof(struct ctl_welcome) || h->lane_size != sizeof(struct ctl_lane)) {
		refuse(c, EPROTO, "libshim and stackd both claim ABI %u but differ in their records' sizes: one of them was "
		       "built from changed headers", SHM_ABI);
		return false;
	}
	return true;
}

static bool may_attach(struct client *c)
{
	const struct conf *conf = c->ctl->conf;

	if (c->rule == NULL) {
		refuse(c, EACCES, "no rule of `clients` in %s is for uid %u", conf->file, (unsigned)c->cred.uid);
	} else if (!c->rule->endpoint && c->rule->monitor == MON_RIGHT_NONE) {
		refuse(c, EACCES, "the rule for %s in %s allows neither endpoint = true nor a monitor", c->rule->name, conf->file);
	} else if (c->ctl->client_count >= conf->max_clients) {
		refuse(c, EAGAIN, "all %u contexts of control.max_clients are in use", conf->max_clients);
	} else if (contexts_of_process(c->ctl, c->cred.pid) >= c->rule->max_contexts) {
		refuse(c, EMFILE, "this process has all the %u contexts that the rule for %s allows (max_contexts)",
		       c->rule->max_contexts, c->rule->name);
	} else if (contexts_of_user(c->ctl, c->cred.uid) >= c->rule->user_contexts) {
		refuse(c, EAGAIN, "uid %u has all the %u contexts that the rule for %s allows (user_contexts)",
		       (unsigned)c->cred.uid, c->rule->user_contexts, c->rule->name);
	} else {
		return true;
	}
	return false;
}

/* --- What it gets ------------------------------------------------------------------------------------------------------- */

static int make_lanes(struct client *c)
{
	const struct conf *conf = c->ctl->conf;
	struct lane_conf lc = {
		.app = c->id,
		.ring_slots = conf->ring_slots,
		.max_sockets = c->rule->max_sockets,
		.may_connect = c->rule->endpoint,
		.wake_fd = c->wake_fd[0],
	};

	for (unsigned e = 0; e < c->ctl->cores; e++) {
		int err;

		lc.engine = e;
		err = lane_create(&lc, &c->lane[e]);
		if (err != 0)
			return err;
		c->lane[e]->client = c;
	}
	return 0;
}

static void fill_welcome(const struct client *c, struct ctl_welcome *w)
{
	const struct conf *conf = c->ctl->conf;

	*w = (struct ctl_welcome){
		.abi = SHM_ABI,
		.app = c->id,
		.engines = c->ctl->cores,
		.home = c->home,
		.spin_us = conf->spin_us,
		.sndbuf_max = conf->tcp.sndbuf_max,
		.rcvbuf_max = conf->tcp.rcvbuf_max,
		.sndbuf_initial = conf->tcp.sndbuf_initial,
	};
	if (c->rule != NULL) {
		w->max_sockets = c->rule->max_sockets;
		w->memory_mib = (uint32_t)(c->rule->memory >> 20);
	}
	for (unsigned p = 0; p < c->ctl->net->ports; p++) {
		const struct net_port_conf *port = &c->ctl->net->port[p];

		for (unsigned a = 0; a < port->addrs && w->addrs < SHM_ADDRS_MAX; a++)
			w->addr[w->addrs++] = port->addr[a].addr;
	}
	memcpy(w->rss_key, c->ctl->net->rss_key, sizeof(w->rss_key));
	memcpy(w->reta, c->ctl->reta, sizeof(w->reta));
	snprintf(w->version, sizeof(w->version), "%s", STACKD_VERSION);
}

static int send_lanes(struct client *c, uint32_t id)
{
	struct ctl_welcome w;
	int err;

	fill_welcome(c, &w);
	err = ctl_send(c->sock.fd, CTL_WELCOME, id, &w, sizeof(w), &c->wake_fd[1], 1);
	for (unsigned e = 0; e < c->ctl->cores && err == 0; e++) {
		struct lane *l = c->lane[e];
		int fd[3] = { l->down.fd, l->up.fd, l->doorbell_fd };
		struct ctl_lane msg = {
			.engine = e,
			.ring_slots = c->ctl->conf->ring_slots,
			.down_size = (uint32_t)l->down.size,
			.up_size = (uint32_t)l->up.size,
		};

		err = ctl_send(c->sock.fd, CTL_LANE, id, &msg, sizeof(msg), fd, 3);
		region_close_fd(&l->down);
		region_close_fd(&l->up);
	}
	close(c->wake_fd[1]);
	c->wake_fd[1] = -1;
	return err;
}

static int give_lanes(struct client *c)
{
	for (unsigned e = 0; e < c->ctl->cores; e++) {
		struct mail add = { .kind = MAIL_LANE_ADD, .lane = c->lane[e] };
		int err = core_send(c->ctl->core[e], &add);

		if (err != 0)
			return err;
		c->lanes_given++;
		c->lanes_left++;
		err = client_segment_new(c, e, SEG_RX);
		if (err == 0)
			err = client_segment_new(c, e, SEG_TX);
		if (err != 0)
			return err;
	}
	return 0;
}

static void attach(struct client *c, uint32_t id)
{
	int err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, c->wake_fd) == 0 ? 0 : -errno;

	if (err == 0)
		err = make_lanes(c);
	if (err != 0) {
		for (unsigned e = 0; e < c->ctl->cores; e++) {
			lane_destroy(c->lane[e]);
			c->lane[e] = NULL;
		}
		refuse(c, ENOMEM, "there is no memory for another context: %s", strerror(-err));
		return;
	}
	c->ctl->hello_count--;
	c->state = CLIENT_LIVE;
	c->shown = shown_take(c->ctl, c);
	err = send_lanes(c, id);
	if (err == 0)
		err = give_lanes(c);
	if (err == 0)
		err = ctl_send(c->sock.fd, CTL_READY, id, NULL, 0, NULL, 0);
	if (err != 0) {
		client_leave(c, strerror(-err));
		return;
	}
	log_info("ctl", "app %u (%s, pid %d, uid %u) is attached, home engine %u", c->id, c->name, (int)c->cred.pid,
		 (unsigned)c->cred.uid, c->home);
	shown_client(c);
}

static void attach_operator(struct client *c, uint32_t id)
{
	struct ctl_welcome w;

	if (c->cred.uid != 0 && (c->rule == NULL || !c->rule->operator_)) {
		refuse(c, EACCES, "uid %u is no operator: %s needs a rule of `clients` with operator = true",
		       (unsigned)c->cred.uid, c->ctl->conf->file);
		return;
	}
	c->ctl->hello_count--;
	c->state = CLIENT_OPERATOR;
	fill_welcome(c, &w);
	if (ctl_send(c->sock.fd, CTL_WELCOME, id, &w, sizeof(w), NULL, 0) != 0)
		client_leave(c, "it does not read its answers");
}

void client_hello(struct client *c, const struct ctl_msg *m)
{
	const struct ctl_hello *h = &m->hello;

	if (!versions_fit(c, h, m->body_size))
		return;
	snprintf(c->name, sizeof(c->name), "%.*s", (int)sizeof(h->name) - 1, h->name);
	for (char *p = c->name; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
	c->rule = rule_for(c);
	c->home = (unsigned)h->cpu % c->ctl->cores;
	if ((h->flags & HELLO_OPERATOR) != 0) {
		attach_operator(c, m->head.id);
		return;
	}
	if (!may_attach(c))
		return;
	c->id = c->ctl->next_id++;
	c->ctl->client_count++;
	attach(c, m->head.id);
}
