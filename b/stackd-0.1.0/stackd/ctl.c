/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control thread's loop: the listening socket, the clients' sockets and pidfds, mail from engines, signals, a timer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "stackd/clock.h"
#include "stackd/ctl.h"
#include "stackd/log.h"
#include "stackd/replay.h"

enum {
	EVENTS = 64,
	ACCEPTS = 16,             /* new connections per event */
	HELLO_TIMEOUT_US = 5000000,
};

/* --- Mail from engines ------------------------------------------------------------------------------------------------------ */

static void client_bad(struct client *c, const char *bad)
{
	log_warn("ctl", "app %u (%s, pid %d, uid %u) is detached: %s", c->id, c->name, (int)c->cred.pid, (unsigned)c->cred.uid, bad);
	client_leave(c, bad);
}

static void mail_one(struct ctl *ctl, const struct mail *m)
{
	struct client *c = m->lane != NULL ? m->lane->client : NULL;

	(void)ctl;
	switch (m->kind) {
	case MAIL_LANE_GONE:
		client_lane_gone(c);
		break;
	case MAIL_LANE_BAD:
		client_bad(c, m->lane->bad);
		break;
	case MAIL_WANT:
		client_wants(c, m->engine, m->index);
		break;
	case MAIL_IDLE:
		client_segment_back(c, m);
		break;
	case MAIL_LISTENER_DONE:
		client_listener_done(m->listener->user, m->listener);
		break;
	case MAIL_MON_DONE:
		if (m->order->kind == MON_ORDER_FINISH)
			replay_finished(ctl, m->order);
		else
			monitor_done(m->order);
		break;
	case MAIL_REPLAYED:
		replay_ended(ctl);
		break;
	case MAIL_MON_BAD:
		client_bad(m->mon_lane->client, m->mon_lane->bad);
		break;
	default:
		break;
	}
}

static void on_mail(struct ctl *ctl, struct watch *w)
{
	struct mail m;
	uint64_t bells;

	if (read(w->fd, &bells, sizeof(bells)) < 0)
		return;
	while (mail_next(&ctl->inbox, &m))
		mail_one(ctl, &m);
}

/* --- Signals, time, connections --------------------------------------------------------------------------------------------- */

static void on_signal(struct ctl *ctl, struct watch *w)
{
	struct signalfd_siginfo info;

	if (read(w->fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_info("ctl", "%s: ending", strsignal((int)info.ssi_signo));
	ctl->stop = true;
}

/* Without descriptors the waiting connection would wake us for ever: look again at the next tick. */
static void listen_pause(struct ctl *ctl)
{
	struct epoll_event none = { .data.ptr = &ctl->listen };

	log_warn("ctl", "no descriptor for another program: %s; raise LimitNOFILE or lower control.max_clients", strerror(errno));
	ctl->paused = true;
	epoll_ctl(ctl->epoll_fd, EPOLL_CTL_MOD, ctl->listen.fd, &none);
}

static void listen_resume(struct ctl *ctl)
{
	struct epoll_event in = { .events = EPOLLIN, .data.ptr = &ctl->listen };

	if (!ctl->paused)
		return;
	ctl->paused = false;
	epoll_ctl(ctl->epoll_fd, EPOLL_CTL_MOD, ctl->listen.fd, &in);
}

static void on_timer(struct ctl *ctl, struct watch *w)
{
	uint64_t ticks, now = clock_us();
	struct client *c;

	if (read(w->fd, &ticks, sizeof(ticks)) < 0)
		return;
	for (c = ctl->clients; c != NULL; c = c->next) {
		if (c->state == CLIENT_HELLO && now - c->since_us > HELLO_TIMEOUT_US)
			client_leave(c, "it did not say who it is");
	}
	listen_resume(ctl);
	monitor_share_late(ctl);
	shown_refresh(ctl);
}

static void on_listen(struct ctl *ctl, struct watch *w)
{
	for (int i = 0; i < ACCEPTS; i++) {
		int sock = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (sock < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				listen_pause(ctl);
			return;
		}
		client_accept(ctl, sock);
	}
}

/* --- The loop ----------------------------------------------------------------------------------------------------------------- */

static void free_gone(struct ctl *ctl)
{
	struct client *c, *next;

	for (c = ctl->clients; c != NULL; c = next) {
		next = c->next;
		if (c->state == CLIENT_GONE)
			client_free(c);
	}
}

/* Returns how many descriptors were ready. */
static int ctl_turn(struct ctl *ctl, int timeout_ms)
{
	struct epoll_event e[EVENTS];
	int n = epoll_wait(ctl->epoll_fd, e, EVENTS, timeout_ms);

	for (int i = 0; i < n && !ctl->stop; i++) {
		struct watch *w = e[i].data.ptr;

		if (w->client == NULL || w->client->state != CLIENT_GONE)
			w->ready(ctl, w);
	}
	free_gone(ctl);
	return n;
}

void ctl_run(struct ctl *ctl)
{
	while (!ctl->stop)
		(void)ctl_turn(ctl, -1);
}

static int watch_fd(struct ctl *ctl, struct watch *w, int fd, void (*ready)(struct ctl *, struct watch *))
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = w };

	if (fd < 0)
		return -errno;
	*w = (struct watch){ .ready = ready, .fd = fd };
	return epoll_ctl(ctl->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

static int watch_signals(struct ctl *ctl)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return watch_fd(ctl, &ctl->signals, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal);
}

static int watch_timer(struct ctl *ctl)
{
	struct itimerspec each = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		timerfd_settime(fd, 0, &each, NULL);
	return watch_fd(ctl, &ctl->timer, fd, on_timer);
}

/* The folder that the socket shall lie in, when its own parent is there.  Everybody may look into it: the socket's mode and
 * the rules in `clients` decide. */
static bool folder_make(const char *socket)
{
	char folder[sizeof(((struct conf *)0)->socket)];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", socket);
	slash = strrchr(folder, '/');
	if (slash == NULL || slash == folder)
		return false;
	*slash = '\0';
	return mkdir(folder, 0755) == 0 && chmod(folder, 0755) == 0;
}

static int watch_listen(struct ctl *ctl)
{
	int fd = ctl_listen_at(ctl->conf->socket, ctl->conf->socket_mode);

	if (fd == -ENOENT && folder_make(ctl->conf->socket))
		fd = ctl_listen_at(ctl->conf->socket, ctl->conf->socket_mode);
	if (fd < 0) {
		log_err("ctl", "%s: %s%s", ctl->conf->socket, strerror(-fd),
			fd == -EADDRINUSE ? ": another stackd is running there"
			: fd == -ENOENT	  ? ": make its folder, or change control.socket"
					  : "");
		return fd;
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		return -errno;
	return watch_fd(ctl, &ctl->listen, fd, on_listen);
}

int ctl_open(struct ctl *ctl, const struct conf *conf, struct stat_seg *stat)
{
	int err;

	*ctl = (struct ctl){ .conf = conf, .stat = stat, .next_id = 1, .listen.fd = -1, .mail.fd = -1, .signals.fd = -1,
			     .timer.fd = -1 };
	for (unsigned i = 0; i < SHM_RETA_SIZE; i++)
		ctl->reta[i] = (uint8_t)(i % conf->cores);
	ctl->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = ctl->epoll_fd < 0 ? -errno : mailbox_init(&ctl->inbox);
	if (err != 0)
		return err;
	err = watch_listen(ctl);
	if (err == 0)
		err = watch_fd(ctl, &ctl->mail, ctl->inbox.bell_fd, on_mail);
	if (err == 0)
		err = watch_signals(ctl);
	if (err == 0)
		err = watch_timer(ctl);
	if (err == 0)
		err = monitor_groups_make(ctl);
	return err;
}

static void watch_close(struct watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

void ctl_close(struct ctl *ctl)
{
	mailbox_fini(&ctl->inbox); /* first: letters lie in clients */
	for (struct client *c = ctl->clients; c != NULL; c = c->next)
		monitor_end(c); /* before clients: requests refer to clients */
	while (ctl->clients != NULL)
		client_free(ctl->clients);
	monitor_groups_free(ctl);
	if (ctl->listen.fd >= 0)
		unlink(ctl->conf->socket);
	watch_close(&ctl->listen);
	watch_close(&ctl->signals);
	watch_close(&ctl->timer);
	close(ctl->epoll_fd);
}
