/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How an engine waits when there is nothing to do: an epoll set of the ports' fds, the clients' doorbells and the mail's
 * bell, with the next timer as its timeout.
 */
#ifndef STACKD_IDLE_H
#define STACKD_IDLE_H

#include <stdbool.h>
#include <stdint.h>

struct idle {
	int epoll_fd;
	bool blind;         /* some port has no fd: it must be looked at now and then */
	uint32_t blind_us;  /* how long to sleep blindly; grows while nothing comes */
};

int idle_init(struct idle *w);
void idle_fini(struct idle *w);

/* A descriptor of our own or of a driver: wakes while readable. */
int idle_add(struct idle *w, int fd);

/* A client's doorbell: wakes on each ring, and is never read. */
int idle_add_doorbell(struct idle *w, int fd);
void idle_del(struct idle *w, int fd);

/* Block until something wakes, or until_us comes (UINT64_MAX: for ever).  Returns whether a descriptor woke it. */
bool idle_wait(struct idle *w, uint64_t now_us, uint64_t until_us);

/* Work was found: the next blind sleep is short again. */
void idle_worked(struct idle *w);

#endif
