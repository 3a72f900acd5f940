/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control socket's datagrams.  Whatever the peer sends, a received descriptor is either handed to the caller or closed.
 */
#define _GNU_SOURCE 1
#include "shm/ctl.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128 };

union control {
	struct cmsghdr head; /* for its alignment */
	char room[CMSG_SPACE(CTL_FDS_MAX * sizeof(int))];
};

static ssize_t receive(int sock, struct msghdr *h, int flags);
static void take_fds(struct ctl_msg *m, struct msghdr *h, unsigned max_fds);
static bool peer_gone(int sock);
static int bind_to(int sock, const struct sockaddr_un *a, mode_t mode);
static int remove_stale(const struct sockaddr_un *a);
static int address_of(struct sockaddr_un *a, const char *path);

int ctl_send(int sock, uint32_t type, uint32_t id, const void *body, size_t size, const int *fd, unsigned n)
{
	struct ctl_head head = { .type = type, .id = id };
	struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)body, size } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = size > 0 ? 2 : 1 };
	union control c = { .room = "" };

	if (size > CTL_BODY_MAX || n > CTL_FDS_MAX)
		return -EMSGSIZE;
	if (n > 0) {
		h.msg_control = &c;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c.head.cmsg_level = SOL_SOCKET;
		c.head.cmsg_type = SCM_RIGHTS;
		c.head.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&c.head), fd, n * sizeof(int));
	}
	return sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int ctl_recv(int sock, struct ctl_msg *m, unsigned max_fds, int flags)
{
	struct iovec iov[2] = { { &m->head, sizeof(m->head) }, { m->body, sizeof(m->body) } };
	union control c;
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = &c };
	ssize_t n;

	memset(m, 0, sizeof(*m));
	memset(m->fd, -1, sizeof(m->fd));
	if (max_fds > CTL_FDS_MAX)
		max_fds = CTL_FDS_MAX;
	/* LEN, not SPACE: the kernel installs no more than fit and drops the others, which MSG_CTRUNC tells */
	h.msg_controllen = max_fds > 0 ? CMSG_LEN(max_fds * sizeof(int)) : 0;
	n = receive(sock, &h, flags);
	if (n < 0)
		return -errno;
	take_fds(m, &h, max_fds);
	if (n == 0 && m->fds == 0 && !(h.msg_flags & MSG_CTRUNC) && peer_gone(sock))
		return 0;
	if (n < (ssize_t)sizeof(m->head) || (h.msg_flags & MSG_TRUNC)) {
		ctl_close_fds(m);
		return -EPROTO;
	}
	m->cut = (h.msg_flags & MSG_CTRUNC) != 0;
	m->body_size = (size_t)n - sizeof(m->head);
	return 1;
}

void ctl_close_fds(struct ctl_msg *m)
{
	for (unsigned i = 0; i < m->fds; i++) {
		if (m->fd[i] >= 0)
			close(m->fd[i]);
		m->fd[i] = -1;
	}
	m->fds = 0;
}

int ctl_body_size(uint32_t type)
{
	switch (type) {
	case CTL_HELLO:
		return sizeof(struct ctl_hello);
	case CTL_BIND:
		return sizeof(struct ctl_bind);
	case CTL_LISTEN:
		return sizeof(struct ctl_listen);
	case CTL_UNBIND:
	case CTL_UNLISTEN:
	case CTL_SHUT:
		return sizeof(struct ctl_sock);
	case CTL_STATS:
	case CTL_READY:
		return 0;
	case CTL_WELCOME:
		return sizeof(struct ctl_welcome);
	case CTL_REFUSED:
	case CTL_DETACHED:
		return sizeof(struct ctl_refused);
	case CTL_LANE:
		return sizeof(struct ctl_lane);
	case CTL_REPLY:
		return sizeof(struct ctl_reply);
	case CTL_SEGMENT_ASK:
	case CTL_SEGMENT:
	case CTL_SEGMENT_GONE:
	case CTL_SEGMENT_NO:
		return sizeof(struct ctl_segment);
	case CTL_MON_OPEN:
		return sizeof(struct ctl_mon_open);
	case CTL_MON_SOCK:
		return sizeof(struct ctl_mon_sock);
	case CTL_MON_FILTER:
		return sizeof(struct ctl_mon_filter);
	case CTL_MON_CLOSE:
		return sizeof(struct ctl_sock);
	case CTL_MON_FAULT:
		return sizeof(struct ctl_mon_fault);
	case CTL_MON_LANE:
		return sizeof(struct ctl_mon_lane);
	default:
		return -1;
	}
}

int ctl_listen_at(const char *path, mode_t mode)
{
	struct sockaddr_un a;
	int sock, rc = address_of(&a, path);

	if (rc != 0)
		return rc;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	rc = bind_to(sock, &a, mode);
	if (rc == -EADDRINUSE) {
		rc = remove_stale(&a);
		if (rc == 0)
			rc = bind_to(sock, &a, mode);
	}
	if (rc == 0 && listen(sock, BACKLOG) != 0) {
		rc = -errno;
		unlink(a.sun_path);
	}
	if (rc != 0) {
		close(sock);
		return rc;
	}
	return sock;
}

int ctl_connect_to(const char *path)
{
	struct sockaddr_un a;
	int sock, rc = address_of(&a, path);

	if (rc != 0)
		return rc;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&a, sizeof(a)) != 0) {
		rc = -errno;
		close(sock);
		return rc;
	}
	return sock;
}

int ctl_peer(int sock, struct ctl_cred *c)
{
	struct ucred u;
	socklen_t size = sizeof(u);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &u, &size) != 0)
		return -errno;
	*c = (struct ctl_cred){ .pid = u.pid, .uid = u.uid, .gid = u.gid };
	return 0;
}

/* A peer that closes with our messages unread leaves ECONNRESET in front of what it had sent; that is told once, and what
 * it sent (say, why it refused us) is still to be had. */
static ssize_t receive(int sock, struct msghdr *h, int flags)
{
	size_t room = h->msg_controllen;
	ssize_t n = recvmsg(sock, h, flags | MSG_CMSG_CLOEXEC);

	if (n >= 0 || errno != ECONNRESET)
		return n;
	h->msg_controllen = room;
	return recvmsg(sock, h, flags | MSG_CMSG_CLOEXEC);
}

static void take_fds(struct ctl_msg *m, struct msghdr *h, unsigned max_fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (m->fds < max_fds)
				m->fd[m->fds++] = fd;
			else
				close(fd);
		}
	}
}

/* Nothing was read: has the peer closed, or did it send an empty datagram? */
static bool peer_gone(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP));
}

/* Nobody can connect before listen(), so the mode holds from the first connection on. */
static int bind_to(int sock, const struct sockaddr_un *a, mode_t mode)
{
	int rc;

	if (bind(sock, (const struct sockaddr *)a, sizeof(*a)) != 0)
		return -errno;
	if (chmod(a->sun_path, mode) == 0)
		return 0;
	rc = -errno;
	unlink(a->sun_path);
	return rc;
}

/* Unlink a socket that nobody listens on; anything else stays and is -EADDRINUSE. */
static int remove_stale(const struct sockaddr_un *a)
{
	struct stat st;
	bool stale;
	int probe;

	if (lstat(a->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return -errno;
	/* a full backlog is EAGAIN, another type of socket EPROTOTYPE: both live */
	stale = connect(probe, (const struct sockaddr *)a, sizeof(*a)) != 0 && errno == ECONNREFUSED;
	close(probe);
	if (!stale)
		return -EADDRINUSE;
	return unlink(a->sun_path) == 0 ? 0 : -errno;
}

static int address_of(struct sockaddr_un *a, const char *path)
{
	size_t n = strlen(path);

	if (n == 0)
		return -EINVAL;
	if (n >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, n + 1);
	return 0;
}
