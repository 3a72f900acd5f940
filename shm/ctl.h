/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Datagrams of the control socket: one message with its file descriptors, sent and received whole.
 */
#ifndef SHM_CTL_H
#define SHM_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/proto.h"

enum {
	CTL_BODY_MAX = 1024, /* bytes of the largest body */
	CTL_FDS_MAX = 4,
};

struct ctl_msg {
	struct ctl_head head;
	union {
		uint8_t body[CTL_BODY_MAX];
		struct ctl_hello hello;
		struct ctl_welcome welcome;
		struct ctl_refused refused;
		struct ctl_lane lane;
		struct ctl_bind bind;
		struct ctl_listen listen;
		struct ctl_sock sock;
		struct ctl_reply reply;
		struct ctl_segment segment;
		struct ctl_mon_open mon_open;
		struct ctl_mon_lane mon_lane;
		struct ctl_mon_sock mon_sock;
		struct ctl_mon_filter mon_filter;
		struct ctl_mon_fault mon_fault;
	};
	/* not on the wire */
	size_t body_size; /* bytes of body that were received */
	int fd[CTL_FDS_MAX];
	unsigned fds;
	bool cut; /* more descriptors were sent: more than were asked for, or than this process may have */
};

/* Send head and `size` bytes of body with n descriptors; never blocks.  0 or -errno (-EAGAIN: the peer does not read). */
int ctl_send(int sock, uint32_t type, uint32_t id, const void *body, size_t size, const int *fd, unsigned n);

/* Receive one message.  flags: 0 waits, MSG_DONTWAIT does not.  At most max_fds descriptors are kept, all others are
 * closed; received ones are close-on-exec and belong to the caller.  1 for a message, 0 when the peer has closed,
 * -errno; -EPROTO for a datagram that is no message (too short, too long). */
int ctl_recv(int sock, struct ctl_msg *m, unsigned max_fds, int flags);

/* Close the descriptors of m that the caller has not taken (taken ones are set to -1). */
void ctl_close_fds(struct ctl_msg *m);

/* The size a body of this type must have, or -1 for an unknown type. */
int ctl_body_size(uint32_t type);

/* Listen on path (removing a stale socket there, but not a live one: -EADDRINUSE), with mode bits.  fd or -errno. */
int ctl_listen_at(const char *path, mode_t mode);

/* Connect to path.  fd or -errno. */
int ctl_connect_to(const char *path);

/* Who is at the other end (SO_PEERCRED).  0 or -errno. */
struct ctl_cred {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};
int ctl_peer(int sock, struct ctl_cred *c);

#endif
