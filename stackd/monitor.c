/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A context that monitors, on the control thread: its requests become orders, and the engines' answers its replies.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stackd/log.h"
#include "stackd/monitor.h"

enum {
	CMD_SLOTS = 1024,        /* commands of a passive monitor: about flows */
	CMD_SLOTS_INLINE = 4096, /* and verdicts */
	EDIT_SIZE = 1 << 20,     /* scripts and frames of an inline monitor, a ring to the client */
};

/* --- What has been answered --------------------------------------------------------------------------------------- */

void monitor_free(struct monitor *m)
{
	while (m->requests != NULL)
		monitor_request_free(m->requests);
	for (unsigned e = 0; e < m->client->ctl->cores; e++)
		mon_lane_destroy(m->lane[e]);
	while (m->filters > 0)
		mon_filter_free(m->filter[--m->filters].filter);
	m->client->ctl->mon_slots -= m->slots;
	monitor_group_part(m->client->ctl, m->group);
	for (unsigned i = 0; i < 2; i++) {
		if (m->wake_fd[i] >= 0)
			close(m->wake_fd[i]);
	}
	monitor_draft_drop(&m->draft);
	m->client->monitor = NULL;
	free(m);
}

static enum mon_right right_of(const struct client *c)
{
	return c->rule->monitor;
}

static int tell_lanes(struct monitor *m, uint32_t id)
{
	struct client *c = m->client;
	struct ctl_reply reply = { .value = right_of(c) };
	int err = 0;

	for (unsigned e = 0; e < c->ctl->cores && err == 0; e++) {
		struct mon_lane *l = m->lane[e];
		int fd[4] = { l->down.fd, l->up.fd, l->doorbell_fd, l->group->mem.fd };
		struct ctl_mon_lane msg = {
			.engine = e,
			.ring_slots = m->ring_slots,
			.cmd_slots = m->cmd_slots,
			.edit_size = m->edit_size,
			.down_size = (uint32_t)l->down.size,
			.up_size = (uint32_t)l->up.size,
			.arena_size = l->group->mem.size,
		};

		err = ctl_send(c->sock.fd, CTL_MON_LANE, id, &msg, sizeof(msg), fd, 4);
		region_close_fd(&l->down);
		region_close_fd(&l->up);
	}
	if (err == 0)
		err = ctl_send(c->sock.fd, CTL_REPLY, id, &reply, sizeof(reply), &m->wake_fd[1], 1);
	close(m->wake_fd[1]);
	m->wake_fd[1] = -1;
	return err;
}

void monitor_opened(struct monitor_request *r)
{
	struct monitor *m = r->monitor;
	struct client *c = m->client;

	if (m->state != MONITOR_OPENING)
		return;
	if (r->err != 0) {
		client_leave(c, "an engine has no room for its monitor");
		return;
	}
	m->state = MONITOR_OPEN;
	monitor_share_out(c);
	if (tell_lanes(m, r->id) != 0)
		client_leave(c, "it does not read its answers");
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

/* 0 or an errno. */
static int open_check(const struct client *c, const struct ctl_mon_open *o)
{
	if (right_of(c) == MON_RIGHT_NONE) {
		log_info("ctl", "app %u (%s) may not monitor: the rule for %s in %s does not say monitor = \"passive\" or \"inline\"",
			 c->id, c->name, c->rule->name, c->ctl->conf->file);
		return EPERM;
	}
	if (c->monitor != NULL)
		return EEXIST;
	return (o->flags & ~(uint32_t)MON_OPEN_LOSSLESS) != 0 ? EINVAL : 0;
}

static int make_lanes(struct monitor *m, bool lossless)
{
	struct client *c = m->client;
	const struct conf_client *rule = c->rule;
	bool inline_ok = right_of(c) == MON_RIGHT_INLINE;
	struct mon_lane_conf lc = {
		.app = c->id,
		.ring_slots = m->ring_slots = rule->monitor_ring,
		.cmd_slots = m->cmd_slots = inline_ok ? CMD_SLOTS_INLINE : CMD_SLOTS,
		.edit_size = m->edit_size = inline_ok ? EDIT_SIZE : 0,
		.wake_fd = m->wake_fd[0],
		.lossless = lossless,
		.policy = {
			.inline_ok = inline_ok,
			.fail_drop = rule->fail_drop,
			.deadline_us = rule->deadline_ms * 1000ull,
			.hold_packets = rule->hold_packets,
			.hold_bytes = rule->hold_bytes,
		},
	};
	int err = 0;

	for (unsigned e = 0; e < c->ctl->cores && err == 0; e++) {
		lc.engine = e;
		lc.group = &m->group->engine[e];
		err = mon_lane_create(&lc, &m->lane[e]);
		if (err != 0)
			break;
		m->lane[e]->client = c;
		m->lane[e]->letter = &m->bad[e];
		m->bad[e].mon_lane = m->lane[e];
	}
	return err;
}

static int monitor_make(struct client *c, bool lossless)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int err;

	if (m == NULL)
		return -ENOMEM;
	m->client = c;
	m->wake_fd[0] = m->wake_fd[1] = -1;
	c->monitor = m;
	err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, m->wake_fd) == 0 ? 0 : -errno;
	if (err == 0)
		err = monitor_group_join(c->ctl, c->rule, &m->group);
	if (err == 0)
		err = make_lanes(m, lossless);
	if (err == 0) {
		m->leave = monitor_request_new(m, NULL, 0, MON_ORDER_LEAVE);
		err = m->leave != NULL ? 0 : -ENOMEM;
	}
	if (err != 0)
		monitor_free(m);
	return err;
}

static void monitor_open(struct client *c, const struct ctl_msg *msg)
{
	struct monitor_request *r = NULL;
	int err = open_check(c, &msg->mon_open);

	if (err == 0)
		err = -monitor_make(c, (msg->mon_open.flags & MON_OPEN_LOSSLESS) != 0);
	if (err == 0) {
		r = monitor_request_new(c->monitor, c, msg->head.id, MON_ORDER_LANE);
		if (r != NULL) {
			monitor_request_send(r);
			return;
		}
		monitor_free(c->monitor);
		err = ENOMEM;
	}
	client_reply(c, msg->head.id, err, 0);
}

/* --- Monitor sockets ---------------------------------------------------------------------------------------------- */

bool monitor_has_sock(const struct client *c, uint32_t sock)
{
	return c->monitor != NULL && c->monitor->state == MONITOR_OPEN && sock < MON_SOCKS_MAX && c->monitor->sock[sock].used;
}

/* Those that are being closed count until the engines have let go of them. */
static unsigned socks_of_user(const struct ctl *ctl, uid_t uid)
{
	unsigned n = 0;

	for (const struct client *c = ctl->clients; c != NULL; c = c->next)
		n += c->monitor != NULL && c->cred.uid == uid ? c->monitor->slots : 0;
	return n;
}

/* A place for one more: 0 or an errno.  The log has the reason, once for each context. */
static int place_check(const struct client *c)
{
	struct monitor *m = c->monitor;

	if (m->slots >= MON_SOCKS_MAX)
		return ENFILE;
	if (c->ctl->mon_slots >= MON_SLOTS_MAX) {
		if (!m->told_all)
			log_warn("ctl", "app %u (%s) gets no more monitor sockets: all %u that there are for all programs are in use",
				 c->id, c->name, MON_SLOTS_MAX);
		m->told_all = true;
		return ENFILE;
	}
	if (socks_of_user(c->ctl, c->cred.uid) >= c->rule->max_monitor_sockets) {
		if (!m->told_user)
			log_warn("ctl", "app %u (%s) gets no more monitor sockets: uid %u has all the %u that the rule for %s allows (max_monitor_sockets)",
				 c->id, c->name, (unsigned)c->cred.uid, c->rule->max_monitor_sockets, c->rule->name);
		m->told_user = true;
		return EMFILE;
	}
	return 0;
}

/* 0 or an errno. */
static int sock_check(const struct client *c, const struct ctl_mon_sock *s)
{
	const struct monitor *m = c->monitor;

	if (m == NULL || m->state != MONITOR_OPEN || s->sock >= MON_SOCKS_MAX)
		return EBADF;
	if (s->kind != MON_STREAM && s->kind != MON_RAW)
		return EINVAL;
	if (m->sock[s->sock].used)
		return m->sock[s->sock].kind == s->kind ? 0 : EINVAL;
	return place_check(c);
}

static void monitor_sock(struct client *c, const struct ctl_msg *msg)
{
	const struct ctl_mon_sock *s = &msg->mon_sock;
	struct monitor_request *r = NULL;
	struct monitor *m = c->monitor;
	int err = sock_check(c, s);

	if (err == 0 && (r = monitor_request_new(m, c, msg->head.id, MON_ORDER_SOCK)) == NULL)
		err = ENOMEM;
	if (err != 0) {
		client_reply(c, msg->head.id, err, 0);
		return;
	}
	if (!m->sock[s->sock].used) {
		m->sock[s->sock] = (struct monitor_sock){ .used = true, .kind = s->kind };
		m->slots++;
		c->ctl->mon_slots++;
	}
	for (unsigned e = 0; e < c->ctl->cores; e++) {
		r->errand[e].order.sock = s->sock;
		r->errand[e].order.conf = *s;
	}
	monitor_request_send(r);
}

static void monitor_close(struct client *c, const struct ctl_msg *msg)
{
	uint32_t sock = msg->sock.cookie;
	struct monitor_request *r = NULL;
	int err = monitor_has_sock(c, sock) ? 0 : EBADF;

	if (err == 0 && (r = monitor_request_new(c->monitor, c, msg->head.id, MON_ORDER_CLOSE)) == NULL)
		err = ENOMEM;
	if (err != 0) {
		client_reply(c, msg->head.id, err, 0);
		return;
	}
	c->monitor->sock[sock].used = false;
	if (c->monitor->draft.sock == sock)
		monitor_draft_drop(&c->monitor->draft);
	for (unsigned e = 0; e < c->ctl->cores; e++)
		r->errand[e].order.sock = (uint16_t)sock;
	monitor_request_send(r);
}

/* --- Faults ------------------------------------------------------------------------------------------------------- */

static struct monitor *monitor_of(const struct ctl *ctl, uint32_t app)
{
	for (const struct client *c = ctl->clients; c != NULL; c = c->next) {
		if (c->state == CLIENT_LIVE && c->id == app)
			return c->monitor != NULL && c->monitor->state == MONITOR_OPEN ? c->monitor : NULL;
	}
	return NULL;
}

static void monitor_fault(struct client *c, const struct ctl_msg *msg)
{
	const struct ctl_mon_fault *f = &msg->mon_fault;
	struct monitor *m = monitor_of(c->ctl, f->app);
	struct monitor_request *r = NULL;
	int err = !client_may_operate(c) ? EPERM : f->cause >= MON_CAUSES ? EINVAL : m == NULL ? ESRCH : 0;

	if (err == 0 && (r = monitor_request_new(m, c, msg->head.id, MON_ORDER_FAULT)) == NULL)
		err = ENOMEM;
	if (err != 0) {
		client_reply(c, msg->head.id, err, 0);
		return;
	}
	for (unsigned e = 0; e < c->ctl->cores; e++) {
		r->errand[e].order.cause = f->cause;
		r->errand[e].order.times = f->times;
	}
	monitor_request_send(r);
}

/* --- Messages and the end ----------------------------------------------------------------------------------------- */

void monitor_message(struct client *c, const struct ctl_msg *msg)
{
	if (c->asked >= MONITOR_REQUESTS_MAX) {
		client_leave(c, "it has too many requests under way");
		return;
	}
	switch (msg->head.type) {
	case CTL_MON_OPEN:
		monitor_open(c, msg);
		break;
	case CTL_MON_SOCK:
		monitor_sock(c, msg);
		break;
	case CTL_MON_FILTER:
		monitor_filter(c, msg);
		break;
	case CTL_MON_CLOSE:
		monitor_close(c, msg);
		break;
	case CTL_MON_FAULT:
		monitor_fault(c, msg);
		break;
	}
}

void monitor_leave(struct client *c)
{
	struct monitor *m = c->monitor;

	if (m == NULL || m->state == MONITOR_LEAVING)
		return;
	m->state = MONITOR_LEAVING;
	for (unsigned e = 0; e < c->ctl->cores; e++) {
		m->lane[e]->dn->detached = 1;
		monitor_errand_post(m->leave, e);
	}
	monitor_share_out(c);
}

void monitor_end(struct client *c)
{
	if (c->monitor != NULL)
		monitor_free(c->monitor);
}
