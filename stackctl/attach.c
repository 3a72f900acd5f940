/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control socket, as an operator uses it: hello, statistics, detach.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "shm/ctl.h"
#include "stackctl/stackctl.h"

enum { ANSWER_S = 5 }; /* a healthy stackd answers in a millisecond */

static int lost(const char *socket_path, int rc)
{
	if (rc == -EAGAIN || rc == -EWOULDBLOCK)
		complain("stackd does not answer");
	else if (rc == 0 || rc == -ECONNRESET || rc == -EPIPE)
		complain("stackd has gone");
	else if (rc == -ENOENT || rc == -ECONNREFUSED)
		complain("stackd is not running: nobody listens at %s", socket_path);
	else if (rc == -EACCES || rc == -EPERM)
		complain("%s: you may not connect to it; control.mode and the folder's permissions decide", socket_path);
	else
		complain("%s: %s", socket_path, strerror(-rc));
	return rc == -EACCES || rc == -EPERM ? EXIT_REFUSED : EXIT_NOT_RUNNING;
}

/* Receive until `type`, with at most one descriptor.  0 or an exit status; a refusal is shown. */
static int await(int sock, uint32_t type, struct ctl_msg *m)
{
	for (;;) {
		int rc = ctl_recv(sock, m, 1, 0);

		if (rc <= 0)
			return lost("the control socket", rc);
		if (m->head.type == type)
			break;
		ctl_close_fds(m);
		if (m->head.type != CTL_REFUSED && m->head.type != CTL_DETACHED)
			continue;
		m->refused.text[SHM_TEXT_MAX - 1] = '\0';
		complain("stackd refuses: %s", m->refused.text);
		return EXIT_REFUSED;
	}
	if ((int)m->body_size == ctl_body_size(type))
		return 0;
	ctl_close_fds(m);
	complain("stackd's answer is of another version than this stackctl %s", STACKD_VERSION);
	return EXIT_FAILED;
}

static int ask(struct attached *a, uint32_t type, const void *body, size_t size, uint32_t answer, struct ctl_msg *m)
{
	int rc = ctl_send(a->sock, type, 1, body, size, NULL, 0);

	return rc < 0 ? lost("the control socket", rc) : await(a->sock, answer, m);
}

int attach_open(struct attached *a, const char *path)
{
	static const struct timeval patience = { .tv_sec = ANSWER_S };
	const struct ctl_hello hello = {
		.magic = SHM_MAGIC,
		.abi = SHM_ABI,
		.cmd_size = sizeof(struct cmd),
		.event_size = sizeof(struct event),
		.welcome_size = sizeof(struct ctl_welcome),
		.lane_size = sizeof(struct ctl_lane),
		.flags = HELLO_OPERATOR,
		.name = "stackctl",
	};
	struct ctl_msg m;
	int rc;

	memset(a, 0, sizeof(*a));
	a->sock = ctl_connect_to(path);
	if (a->sock < 0)
		return lost(path, a->sock);
	setsockopt(a->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	rc = ask(a, CTL_HELLO, &hello, sizeof(hello), CTL_WELCOME, &m);
	if (rc != 0) {
		attach_close(a);
		return rc;
	}
	ctl_close_fds(&m);
	return 0;
}

static int refused(int err, const char *what)
{
	complain("stackd refuses to %s: %s", what, strerror(err));
	return err == EPERM || err == EACCES ? EXIT_REFUSED : EXIT_FAILED;
}

int attach_refresh(struct attached *a)
{
	struct ctl_msg m;
	char why[256];
	int rc = ask(a, CTL_STATS, NULL, 0, CTL_REPLY, &m);

	if (rc != 0)
		return rc;
	if (m.reply.err != 0)
		rc = refused(m.reply.err, "show its statistics");
	else if (a->seg.base == NULL && (m.fds != 1 || segment_map(&a->seg, m.fd[0], why, sizeof(why)) < 0)) {
		complain("%s", m.fds == 1 ? why : "stackd sent no statistics");
		rc = EXIT_FAILED;
	}
	ctl_close_fds(&m);
	return rc;
}

int attach_detach(struct attached *a, unsigned app)
{
	const struct ctl_sock body = { .cookie = app };
	struct ctl_msg m;
	int rc = ask(a, CTL_SHUT, &body, sizeof(body), CTL_REPLY, &m);

	if (rc != 0)
		return rc;
	ctl_close_fds(&m);
	if (m.reply.err == ENOENT || m.reply.err == ESRCH) {
		complain("there is no program %u; \"stackctl apps\" lists them", app);
		return EXIT_FAILED;
	}
	return m.reply.err != 0 ? refused(m.reply.err, "detach it") : 0;
}

int attach_fault(struct attached *a, unsigned app, unsigned cause, unsigned times)
{
	const struct ctl_mon_fault body = { .app = app, .cause = cause, .times = times };
	struct ctl_msg m;
	int rc = ask(a, CTL_MON_FAULT, &body, sizeof(body), CTL_REPLY, &m);

	if (rc != 0)
		return rc;
	ctl_close_fds(&m);
	if (m.reply.err == ESRCH) {
		complain("there is no program %u that monitors; \"stackctl monitors\" lists them", app);
		return EXIT_FAILED;
	}
	return m.reply.err != 0 ? refused(m.reply.err, "do that") : 0;
}

void attach_close(struct attached *a)
{
	segment_unmap(&a->seg);
	if (a->sock >= 0)
		close(a->sock);
	a->sock = -1;
}
