/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Waiting; see idle.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "stackd/idle.h"

enum {
	BLIND_MIN_US = 50,
	BLIND_MAX_US = 2000, /* about 1 % of a core at 20 us a turn */
	EVENTS = 64,
};

int idle_init(struct idle *w)
{
	*w = (struct idle){ .blind_us = BLIND_MIN_US };
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return w->epoll_fd < 0 ? -errno : 0;
}

void idle_fini(struct idle *w)
{
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	w->epoll_fd = -1;
}

static int add(struct idle *w, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

int idle_add(struct idle *w, int fd)
{
	return add(w, fd, EPOLLIN);
}

int idle_add_doorbell(struct idle *w, int fd)
{
	return add(w, fd, EPOLLIN | EPOLLET);
}

void idle_del(struct idle *w, int fd)
{
	epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

bool idle_wait(struct idle *w, uint64_t now_us, uint64_t until_us)
{
	struct epoll_event e[EVENTS];
	struct timespec t, *timeout = &t;
	uint64_t wait_us = until_us > now_us ? until_us - now_us : 0;
	int n;

	if (w->blind && wait_us > w->blind_us) {
		wait_us = w->blind_us;
		w->blind_us = w->blind_us * 2 < BLIND_MAX_US ? w->blind_us * 2 : BLIND_MAX_US;
	}
	if (until_us == UINT64_MAX && !w->blind)
		timeout = NULL;
	t.tv_sec = (time_t)(wait_us / 1000000);
	t.tv_nsec = (long)(wait_us % 1000000) * 1000;
	n = epoll_pwait2(w->epoll_fd, e, EVENTS, timeout, NULL);
	return n > 0;
}

void idle_worked(struct idle *w)
{
	w->blind_us = BLIND_MIN_US;
}
