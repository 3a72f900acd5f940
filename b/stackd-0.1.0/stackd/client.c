/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One program's context on the control thread: its socket's messages, its payload segments, and its end.  Attaching is in
 * attach.c, ports are in bind.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stackd/clock.h"
#include "stackd/ctl.h"
#include "stackd/log.h"

enum {
	MESSAGES = 16,     /* of one client per event */
	HELLO_MAX = 64,    /* clients that have not said who they are */
};

/* --- Messages ---------------------------------------------------------------------------------------------------------------- */

void client_reply(struct client *c, uint32_t id, int err, uint32_t value)
{
	struct ctl_reply r = { .err = err, .value = value };

	if (ctl_send(c->sock.fd, CTL_REPLY, id, &r, sizeof(r), NULL, 0) != 0)
		client_leave(c, "it does not read its answers");
}

bool client_may_operate(const struct client *c)
{
	return c->cred.uid == 0 || (c->rule != NULL && c->rule->operator_);
}

static void client_stats(struct client *c, const struct ctl_msg *m)
{
	struct ctl_reply r = { 0 };
	int fd = c->ctl->stat->region.fd;

	if (!client_may_operate(c)) {
		client_reply(c, m->head.id, EPERM, 0);
		return;
	}
	shown_refresh(c->ctl);
	if (ctl_send(c->sock.fd, CTL_REPLY, m->head.id, &r, sizeof(r), &fd, 1) != 0)
		client_leave(c, "it does not read its answers");
}

static void client_shut(struct client *c, const struct ctl_msg *m)
{
	struct client *other;

	if (!client_may_operate(c)) {
		client_reply(c, m->head.id, EPERM, 0);
		return;
	}
	for (other = c->ctl->clients; other != NULL; other = other->next) {
		if (other->state == CLIENT_LIVE && other->id == m->sock.cookie)
			break;
	}
	client_reply(c, m->head.id, other != NULL ? 0 : ESRCH, 0);
	if (other != NULL)
		client_leave(other, "an operator detached it");
}

static void client_segment_ask(struct client *c, const struct ctl_msg *m)
{
	struct ctl_segment no = m->segment;

	if (m->segment.engine >= c->ctl->cores || m->segment.class != SEG_TX) {
		client_leave(c, "it asked for memory that does not exist");
		return;
	}
	if (client_segment_new(c, m->segment.engine, SEG_TX) == 0)
		return;
	if (ctl_send(c->sock.fd, CTL_SEGMENT_NO, 0, &no, sizeof(no), NULL, 0) != 0)
		client_leave(c, "it does not read its answers");
}

static void message_live(struct client *c, const struct ctl_msg *m)
{
	switch (m->head.type) {
	case CTL_BIND:
		client_bind(c, m);
		break;
	case CTL_LISTEN:
		client_listen(c, m);
		break;
	case CTL_UNBIND:
	case CTL_UNLISTEN:
		client_unbind(c, m);
		break;
	case CTL_SEGMENT_ASK:
		client_segment_ask(c, m);
		break;
	case CTL_MON_OPEN:
	case CTL_MON_SOCK:
	case CTL_MON_FILTER:
	case CTL_MON_CLOSE:
		monitor_message(c, m);
		break;
	default:
		client_leave(c, "it sent a message that is not for stackd");
		break;
	}
}

static void message(struct client *c, const struct ctl_msg *m)
{
	/* a greeting of another version may have another size: client_hello tells it which it is */
	if (m->head.type != CTL_HELLO && ctl_body_size(m->head.type) != (int)m->body_size) {
		client_leave(c, "it sent a message of the wrong size");
		return;
	}
	if (c->state == CLIENT_HELLO) {
		if (m->head.type == CTL_HELLO)
			client_hello(c, m);
		else
			client_leave(c, "it did not say who it is first");
		return;
	}
	if (m->head.type == CTL_STATS)
		client_stats(c, m);
	else if (m->head.type == CTL_SHUT)
		client_shut(c, m);
	else if (m->head.type == CTL_MON_FAULT)
		monitor_message(c, m);
	else if (c->state == CLIENT_LIVE)
		message_live(c, m);
	else
		client_leave(c, "it sent a message that is not for stackd");
}

static void on_sock(struct ctl *ctl, struct watch *w)
{
	struct client *c = w->client;
	struct ctl_msg m;

	(void)ctl;
	for (int i = 0; i < MESSAGES && c->sock.fd >= 0; i++) {
		int n = ctl_recv(c->sock.fd, &m, 0, MSG_DONTWAIT);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			client_leave(c, n == 0 ? "it has gone" : "its socket failed");
			return;
		}
		message(c, &m);
	}
}

static void on_pidfd(struct ctl *ctl, struct watch *w)
{
	(void)ctl;
	client_leave(w->client, "its process has died");
}

/* --- Coming ------------------------------------------------------------------------------------------------------------------ */

static void watch_add(struct client *c, struct watch *w, int fd, void (*ready)(struct ctl *, struct watch *))
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = w };

	*w = (struct watch){ .ready = ready, .client = c, .fd = fd };
	if (fd >= 0 && epoll_ctl(c->ctl->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0)
		log_warn("ctl", "a client cannot be watched: %s", strerror(errno));
}

static void watch_end(struct client *c, struct watch *w)
{
	if (w->fd < 0)
		return;
	epoll_ctl(c->ctl->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	close(w->fd);
	w->fd = -1;
}

/* Whoever has been silent longest makes place. */
static void hello_evict(struct ctl *ctl)
{
	struct client *c, *oldest = NULL;

	for (c = ctl->clients; c != NULL; c = c->next) {
		if (c->state == CLIENT_HELLO && (oldest == NULL || c->since_us <= oldest->since_us))
			oldest = c;
	}
	if (oldest != NULL)
		client_leave(oldest, "too many others wait to say who they are");
}

void client_accept(struct ctl *ctl, int sock)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL || ctl_peer(sock, &c->cred) != 0) {
		close(sock);
		free(c);
		return;
	}
	if (ctl->hello_count >= HELLO_MAX)
		hello_evict(ctl);
	c->ctl = ctl;
	c->state = CLIENT_HELLO;
	ctl->hello_count++;
	c->since_us = clock_us();
	c->wake_fd[0] = c->wake_fd[1] = -1;
	c->next = ctl->clients;
	if (c->next != NULL)
		c->next->prev = &c->next;
	c->prev = &ctl->clients;
	ctl->clients = c;
	watch_add(c, &c->sock, sock, on_sock);
	watch_add(c, &c->pidfd, (int)syscall(SYS_pidfd_open, c->cred.pid, 0), on_pidfd);
}

/* --- Payload memory ---------------------------------------------------------------------------------------------------------- */

static bool index_taken(const struct client *c, unsigned engine, unsigned class, uint32_t index)
{
	for (unsigned i = 0; i < c->segments; i++) {
		const struct client_segment *s = &c->segment[i];

		if (s->engine == engine && s->class == class && s->index == index)
			return true;
	}
	return false;
}

static struct client_segment *segment_record(struct client *c, unsigned engine, unsigned class)
{
	struct client_segment *s;
	uint32_t index;

	if (c->segments == c->segments_max) {
		unsigned max = c->segments_max == 0 ? 8 : c->segments_max * 2;

		s = realloc(c->segment, max * sizeof(*s));
		if (s == NULL)
			return NULL;
		c->segment = s;
		c->segments_max = max;
	}
	/* A number rests before it is used again: the client may not have read yet that the old segment is gone.  Its socket
	 * holds far fewer messages than there are other numbers. */
	if (c->memory[class] / BYTES_SEG_SIZE >= BYTES_SEGS_MAX / 2)
		return NULL;
	index = c->next_index[engine][class];
	while (index_taken(c, engine, class, index))
		index = (index + 1) % BYTES_SEGS_MAX;
	c->next_index[engine][class] = (index + 1) % BYTES_SEGS_MAX;
	s = &c->segment[c->segments];
	*s = (struct client_segment){ .engine = engine, .class = class, .index = index };
	return s;
}

/* Neither class may starve the other: three quarters are the most that one gets. */
static bool within_quota(const struct client *c, enum seg_class class)
{
	uint64_t quota = c->rule->memory;

	return c->memory[SEG_RX] + c->memory[SEG_TX] + BYTES_SEG_SIZE <= quota &&
	       c->memory[class] + BYTES_SEG_SIZE <= quota - quota / 4;
}

int client_segment_new(struct client *c, unsigned engine, enum seg_class class)
{
	struct ctl_segment msg = { .engine = engine, .class = class, .size = BYTES_SEG_SIZE };
	struct mail mail = { .kind = MAIL_SEGMENT, .lane = c->lane[engine], .class = class };
	struct client_segment *s;
	int err;

	if (!within_quota(c, class))
		return -EDQUOT;
	s = segment_record(c, engine, class);
	if (s == NULL)
		return -ENOMEM;
	err = region_create(&s->region, class == SEG_RX ? REGION_A : REGION_B, BYTES_SEG_SIZE,
			    class == SEG_RX ? "stackd-rx" : "stackd-tx");
	if (err != 0)
		return err;
	msg.index = mail.index = s->index;
	mail.base = s->region.base;
	if (class == SEG_TX)
		err = core_send(c->ctl->core[engine], &mail); /* known to the engine before the client can use it */
	if (err != 0) {
		region_destroy(&s->region);
		return err;
	}
	c->segments++;
	c->memory[class] += BYTES_SEG_SIZE;
	err = ctl_send(c->sock.fd, CTL_SEGMENT, 0, &msg, sizeof(msg), &s->region.fd, 1);
	if (err == 0 && class == SEG_RX)
		err = core_send(c->ctl->core[engine], &mail); /* and the reverse */
	region_close_fd(&s->region);
	if (err != 0 && class == SEG_RX) {
		region_destroy(&s->region);
		c->segments--;
		c->memory[class] -= BYTES_SEG_SIZE;
	} else if (err != 0) {
		client_leave(c, "it does not read its answers");
	}
	return err;
}

void client_wants(struct client *c, unsigned engine, unsigned segments)
{
	struct mail no = { .kind = MAIL_NO_SEGMENT, .lane = c->lane[engine] };

	if (c->state != CLIENT_LIVE)
		return;
	while (segments-- > 0) {
		if (client_segment_new(c, engine, SEG_RX) != 0) {
			(void)core_send(c->ctl->core[engine], &no);
			return;
		}
	}
}

void client_segment_back(struct client *c, const struct mail *m)
{
	struct ctl_segment gone = { .engine = m->engine, .class = m->class, .index = m->index, .size = BYTES_SEG_SIZE };

	for (unsigned i = 0; i < c->segments; i++) {
		struct client_segment *s = &c->segment[i];

		if (s->engine != m->engine || s->class != m->class || s->index != m->index)
			continue;
		if (c->state == CLIENT_LIVE &&
		    ctl_send(c->sock.fd, CTL_SEGMENT_GONE, 0, &gone, sizeof(gone), NULL, 0) != 0)
			client_leave(c, "it does not read its messages");
		region_destroy(&s->region);
		c->memory[m->class] -= BYTES_SEG_SIZE;
		*s = c->segment[--c->segments];
		return;
	}
}

/* --- Going ------------------------------------------------------------------------------------------------------------------- */

void client_maybe_gone(struct client *c)
{
	if (c->state == CLIENT_LEAVING && c->lanes_left == 0 && c->port == NULL && c->monitor == NULL && c->asked == 0)
		c->state = CLIENT_GONE;
}

void client_leave(struct client *c, const char *text)
{
	struct ctl_refused why = { .err = ECONNABORTED };

	if (c->state == CLIENT_LEAVING || c->state == CLIENT_GONE)
		return;
	if (c->state == CLIENT_HELLO)
		c->ctl->hello_count--;
	snprintf(why.text, sizeof(why.text), "%s", text);
	snprintf(c->reason, sizeof(c->reason), "%s", text);
	if (c->sock.fd >= 0)
		(void)ctl_send(c->sock.fd, CTL_DETACHED, 0, &why, sizeof(why), NULL, 0);
	watch_end(c, &c->sock);
	watch_end(c, &c->pidfd);
	if (c->state == CLIENT_LIVE)
		log_info("ctl", "app %u (%s, pid %d) leaves: %s", c->id, c->name, (int)c->cred.pid, text);
	c->state = CLIENT_LEAVING;
	client_unbind_all(c);
	monitor_leave(c);
	for (unsigned e = 0; e < c->lanes_given; e++) { /* the others are free as soon as we are */
		c->lane[e]->dn->detached = 1;
		c->drop[e] = (struct mail){ .kind = MAIL_LANE_DROP, .lane = c->lane[e] };
		core_post(c->ctl->core[e], &c->drop[e]);
	}
	shown_client(c);
	client_maybe_gone(c);
}

void client_lane_gone(struct client *c)
{
	c->lanes_left--;
	client_maybe_gone(c);
}

void client_listener_done(struct client *c, struct listener *l)
{
	struct client_port **p = &c->port, *gone;

	while (*p != NULL && (*p)->listener != l)
		p = &(*p)->next;
	gone = *p;
	if (gone == NULL || --gone->waiting > 0)
		return;
	*p = gone->next;
	c->ports--;
	if (gone->answer && c->state == CLIENT_LIVE)
		client_reply(c, gone->unbind_id, 0, 0);
	listen_free(l);
	free(gone);
	client_maybe_gone(c);
}

/* What the end of stackd finds: no engine is left to be asked. */
static void ports_free(struct client *c)
{
	struct client_port *p;

	while ((p = c->port) != NULL) {
		c->port = p->next;
		if (p->waiting == 0)
			listen_remove(c->ctl->listeners, p->listener);
		listen_free(p->listener);
		free(p);
	}
}

void client_free(struct client *c)
{
	ports_free(c);
	if (c->shown != NULL) {
		c->state = CLIENT_GONE;
		for (unsigned i = 0; i < 2; i++)
			c->memory[i] = 0;
	}
	for (unsigned e = 0; e < c->ctl->cores; e++) {
		lane_destroy(c->lane[e]);
		c->lane[e] = NULL;
	}
	while (c->segments > 0)
		region_destroy(&c->segment[--c->segments].region);
	shown_client(c);
	watch_end(c, &c->sock);
	watch_end(c, &c->pidfd);
	for (unsigned i = 0; i < 2; i++) {
		if (c->wake_fd[i] >= 0)
			close(c->wake_fd[i]);
	}
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	if (c->id != 0)
		c->ctl->client_count--;
	free(c->segment);
	free(c);
}
