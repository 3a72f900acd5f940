/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Attacks by the control socket: greetings, sizes, floods, descriptors, coming and going, and processes that do not end as
 * they should.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hostile/foe.h"

enum { HALF_OPEN = 300, STORM = 60, FDS = 253 /* SCM_MAX_FD */, PATIENCE_MS = 10000 };

/* Whether stackd closes this socket within its patience. */
static bool is_closed(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	struct ctl_msg m;
	uint64_t end = now_ms() + PATIENCE_MS;

	while (now_ms() < end) {
		int n;

		(void)poll(&p, 1, 100);
		while ((n = ctl_recv(sock, &m, CTL_FDS_MAX, MSG_DONTWAIT)) == 1)
			ctl_close_fds(&m);
		if (n != -EAGAIN)
			return true;
	}
	return false;
}

static void send_raw(int sock, const void *bytes, size_t size)
{
	(void)send(sock, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* --- Greetings ---------------------------------------------------------------------------------------------------------------- */

static void greet_wrongly(const char *what, const struct ctl_hello *h, bool refused)
{
	int sock = foe_connect();
	struct ctl_msg m;

	(void)ctl_send(sock, CTL_HELLO, 1, h, sizeof(*h), NULL, 0);
	if (ctl_recv(sock, &m, CTL_FDS_MAX, 0) != 1) {
		fail("greeting with %s: no answer", what);
	} else if (m.head.type == CTL_REFUSED) {
		m.refused.text[SHM_TEXT_MAX - 1] = '\0';
		printf("greeting: %s: refused: %s\n", what, m.refused.text);
		if (refused && m.refused.err != EPROTO)
			fail("greeting with %s: error %d", what, m.refused.err);
	} else if (refused) {
		fail("greeting with %s: answered by %u", what, m.head.type);
	} else {
		printf("greeting: %s: survived\n", what);
	}
	ctl_close_fds(&m);
	close(sock);
}

static void greeting(void)
{
	static const char *const what[] = { "wrong magic", "an older ABI", "a newer ABI", "another command size",
					    "another event size", "another welcome", "another lane" };
	struct ctl_hello h;

	for (unsigned i = 0; i < 7; i++) {
		h = foe_hello();
		*(i == 0   ? &h.magic :
		  i < 3    ? &h.abi :
		  i == 3   ? &h.cmd_size :
		  i == 4   ? &h.event_size :
		  i == 5   ? &h.welcome_size :
			     &h.lane_size) += i == 1 ? UINT32_MAX : 1;
		greet_wrongly(what[i], &h, true);
	}
	h = foe_hello();
	memset(h.name, 0xff, sizeof(h.name));
	h.cpu = INT32_MIN;
	greet_wrongly("a name without end on no cpu", &h, false);
	h = foe_hello();
	h.flags = UINT32_MAX;
	greet_wrongly("every flag", &h, false);
}

static void twice(void)
{
	struct foe f;

	foe_attach(&f);
	foe_greet(f.sock);
	foe_end(&f, "twice", "HELLO after READY");
}

static void early(void)
{
	static const uint8_t zero[CTL_BODY_MAX];

	for (uint32_t type = CTL_BIND; type < CTL_CLIENT_MAX; type++) {
		int sock = foe_connect();

		(void)ctl_send(sock, type, 1, zero, (size_t)ctl_body_size(type), NULL, 0);
		if (!is_closed(sock))
			fail("request %u before HELLO was let pass", type);
		close(sock);
	}
	printf("early: every request before HELLO: closed\n");
}

/* --- Datagrams ------------------------------------------------------------------------------------------------------------------ */

static void datagrams(void)
{
	static const size_t size[] = { 0, 1, 7, 8, 11, 13, 31, 1031, 1032, 1033, 65536 };
	static const uint32_t type[] = { CTL_NONE, CTL_BIND, CTL_CLIENT_MAX, 63, CTL_WELCOME, CTL_SEGMENT, UINT32_MAX };
	static uint8_t bytes[65536];

	for (unsigned attached = 0; attached < 2; attached++) {
		for (unsigned i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
			uint32_t t = type[below(7)];
			struct foe f = { .sock = -1, .wake_fd = -1 };

			if (attached != 0)
				foe_attach(&f);
			else
				f.sock = foe_connect();
			rnd_fill(bytes, size[i]);
			memcpy(bytes, &t, sizeof(t));
			send_raw(f.sock, bytes, size[i]);
			if (!is_closed(f.sock))
				fail("a datagram of %zu bytes, type %u, was let pass", size[i], t);
			foe_close(&f);
		}
	}
	printf("datagrams: empty, short, long, unknown: detached\n");
}

static int send_fds(int sock, const struct iovec *iov, unsigned iovs, unsigned n)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(FDS * sizeof(int))];
	} c = { .room = "" };
	struct msghdr h = { .msg_iov = (struct iovec *)iov, .msg_iovlen = iovs, .msg_control = &c,
			    .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

	c.head.cmsg_level = SOL_SOCKET;
	c.head.cmsg_type = SCM_RIGHTS;
	c.head.cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned i = 0; i < n; i++)
		memcpy(CMSG_DATA(&c.head) + i * sizeof(int), &sock, sizeof(int)); /* a socket that carries itself */
	return sendmsg(sock, &h, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void descriptors(void)
{
	struct ctl_head head = { CTL_UNBIND, 0 };
	struct ctl_sock body = { .cookie = 99 };
	struct iovec iov[2] = { { &head, sizeof(head) }, { &body, sizeof(body) } };
	struct foe f;
	int err = 0;

	foe_attach(&f);
	for (unsigned i = 0; i < 200 && err == 0 && !f.dead; i++) {
		err = send_fds(f.sock, iov, 2, 1 + below(FDS));
		while (foe_pump(&f, 5))
			;
	}
	foe_end(&f, "descriptors", err == 0 ? "hundreds with every request" : strerror(-err));
}

static void unread(void)
{
	const struct {
		struct ctl_head head;
		struct ctl_sock body;
	} ask = { { CTL_UNBIND, 7 }, { 99 } };
	struct foe f;
	unsigned n = 0;

	foe_attach(&f);
	while (n < 100000 && send(f.sock, &ask, sizeof(ask), MSG_NOSIGNAL) > 0)
		n++;
	foe_end(&f, "unread", "requests without reading an answer");
}

/* --- Coming and going ------------------------------------------------------------------------------------------------------------- */

static void half_open(void)
{
	int sock[HALF_OPEN];
	struct foe f;

	for (unsigned i = 0; i < HALF_OPEN; i++)
		sock[i] = foe_connect();
	foe_attach(&f); /* others are served meanwhile */
	foe_end(&f, "half-open", "attached beside hundreds of silent ones");
	for (unsigned i = 0; i < HALF_OPEN; i++)
		close(sock[i]);
}

static void midway(void)
{
	for (unsigned i = 0; i < 40; i++) {
		int sock = foe_connect();
		struct ctl_msg m;

		foe_greet(sock);
		for (unsigned k = 0; k < i % 10 && ctl_recv(sock, &m, CTL_FDS_MAX, 0) == 1; k++) {
			ctl_close_fds(&m);
			if (m.head.type == CTL_READY || m.head.type == CTL_REFUSED)
				break;
		}
		if (i % 20 >= 10)
			shutdown(sock, i % 2 == 0 ? SHUT_RD : SHUT_RDWR);
		close(sock);
	}
	printf("midway: closed in the middle of attaching: gone\n");
}

/* Nothing but the greeting, and the socket is gone before the first answer. */
static void storm(void)
{
	struct foe f;

	for (unsigned i = 0; i < STORM; i++) {
		int sock = foe_connect();

		foe_greet(sock);
		close(sock);
	}
	for (unsigned i = 0; i < STORM; i++) {
		foe_attach(&f);
		if (i % 2 != 0) {
			struct cmd c = { .op = CMD_CONNECT, .handle = { HANDLE_ACTIVE, 1 } };

			c.connect.dst = aim.addr;
			c.connect.dport = aim.port;
			(void)foe_put(&f, 0, &c);
		}
		foe_close(&f);
	}
	foe_attach(&f);
	foe_end(&f, "storm", "attached and gone again and again");
}

/* --- Ports and memory ---------------------------------------------------------------------------------------------------------------- */

static bool any_request(struct foe *f)
{
	struct ctl_bind b = { .cookie = below(5), .port = (uint16_t)(below(3) != 0 ? 7000 + below(4) : below(65536)),
			      .flags = (uint16_t)below(8) };
	struct ctl_listen l = { .cookie = below(5), .backlog = below(2) != 0 ? (uint32_t)rnd() : below(3) };
	struct ctl_sock s = { .cookie = below(5) };

	if (below(8) == 0)
		rnd_fill(&b.addr, sizeof(b.addr));
	switch (below(4)) {
	case 0:
		return foe_ask(f, CTL_BIND, &b, sizeof(b)) >= 0;
	case 1:
		return foe_ask(f, CTL_LISTEN, &l, sizeof(l)) >= 0;
	case 2:
		return foe_ask(f, CTL_UNBIND, &s, sizeof(s)) >= 0;
	default:
		return foe_ask(f, CTL_UNLISTEN, &s, sizeof(s)) >= 0;
	}
}

static void binds(void)
{
	struct foe a, b;

	foe_attach(&a);
	foe_attach(&b);
	for (unsigned i = 0; i < 1000; i++) {
		if (!any_request(below(2) != 0 ? &a : &b))
			break;
	}
	foe_settle(&a);
	if (a.dead || b.dead)
		fail("a port that could not be had detached a client: %s%s", a.why, b.why);
	foe_end(&a, "binds", "two contexts, few ports, few cookies");
	foe_end(&b, "binds", "the other");
}

/* Many requests under way at once, for the same cookie. */
static void cookies(void)
{
	struct foe f;

	foe_attach(&f);
	for (unsigned i = 0; i < 500 && !f.dead; i++) {
		struct ctl_bind b = { .cookie = 1 };
		struct ctl_listen l = { .cookie = 1, .backlog = 1 };
		struct ctl_sock s = { .cookie = 1 };

		(void)ctl_send(f.sock, CTL_BIND, 1, &b, sizeof(b), NULL, 0);
		(void)ctl_send(f.sock, CTL_LISTEN, 1, &l, sizeof(l), NULL, 0);
		(void)ctl_send(f.sock, CTL_UNBIND, 1, &s, sizeof(s), NULL, 0);
		(void)ctl_send(f.sock, CTL_UNBIND, 1, &s, sizeof(s), NULL, 0);
		while (foe_pump(&f, 0))
			;
	}
	foe_end(&f, "cookies", "bound, listening and gone before the answer");
}

static void ports(void)
{
	struct foe f;
	unsigned got = 0;

	foe_attach(&f);
	for (uint32_t i = 0; i < 5000; i++) {
		struct ctl_bind b = { .cookie = i };
		int err = foe_ask(&f, CTL_BIND, &b, sizeof(b));

		if (err != 0)
			break;
		got++;
	}
	printf("ports: %u reserved\n", got);
	if (got >= 5000)
		fail("there is no bound of reserved ports");
	foe_end(&f, "ports", "as many as there are");
}

static void quota(void)
{
	struct foe f;
	unsigned max, asked;

	foe_attach(&f);
	max = f.welcome.memory_mib / 2; /* segments of 2 MiB */
	for (asked = 0; asked < max + 50 && !f.dead; asked++) {
		struct ctl_segment s = { .class = SEG_TX, .size = BYTES_SEG_SIZE, .index = (uint32_t)rnd() };

		s.engine = below(f.lanes);
		(void)ctl_send(f.sock, CTL_SEGMENT_ASK, 1, &s, sizeof(s), NULL, 0);
		while (foe_pump(&f, f.refused_segments > 0 ? 0 : 20))
			;
	}
	foe_settle(&f);
	printf("quota: %u segments of %u, %u refused\n", f.tx_segments, max, f.refused_segments);
	if (f.tx_segments > max)
		fail("more memory than the quota");
	foe_end(&f, "quota", "memory, and then more");
	for (unsigned i = 0; i < 2; i++) {
		struct ctl_segment s = { .class = i == 0 ? SEG_RX : 7, .engine = i == 0 ? 0 : UINT32_MAX };

		foe_attach(&f);
		(void)ctl_send(f.sock, CTL_SEGMENT_ASK, 1, &s, sizeof(s), NULL, 0);
		foe_end(&f, "quota", i == 0 ? "memory that only stackd may write" : "memory of no engine");
	}
}

static void operates(void)
{
	struct ctl_sock all = { .cookie = 1 };
	struct foe f;

	foe_attach(&f);
	for (all.cookie = 0; all.cookie < 50; all.cookie++) {
		if (foe_ask(&f, CTL_SHUT, &all, sizeof(all)) == 0)
			fail("program %u was detached by one that is no operator", all.cookie);
	}
	if (foe_ask(&f, CTL_STATS, NULL, 0) == 0)
		fail("statistics for one that is no operator");
	foe_end(&f, "operates", "an operator's requests");
}

/* --- Processes ---------------------------------------------------------------------------------------------------------------------- */

/* The one that attached dies; its child keeps socket, memory and bells.  Detached it must be all the same. */
static void heir(int tell)
{
	struct foe f;
	char out;

	foe_attach(&f);
	(void)foe_open(&f, 0);
	switch (fork()) {
	case -1:
		_exit(2);
	case 0:
		out = is_closed(f.sock);
		for (unsigned i = 0; i < 1000; i++) /* what is left to it is a dead lane, which it may use as it likes */
			foe_ring(&f.lane[0]);
		_exit(write(tell, &out, 1) == 1 ? 0 : 1);
	default:
		_exit(0);
	}
}

static void forked(void)
{
	int status = 0, pipe_fd[2];
	char out = 0;
	pid_t child;

	if (pipe(pipe_fd) != 0)
		return;
	child = fork();
	if (child == 0) {
		close(pipe_fd[0]);
		heir(pipe_fd[1]);
	}
	close(pipe_fd[1]);
	(void)waitpid(child, &status, 0);
	if (read(pipe_fd[0], &out, 1) != 1 || out == 0)
		fail("a process died, and its child could go on in its place");
	else
		printf("forked: the socket outlived its process: detached\n");
	close(pipe_fd[0]);
}

static void stopped(void)
{
	struct foe f;
	int status, ready[2];
	char b = 0;
	pid_t child;

	if (pipe(ready) != 0)
		return;
	child = fork();
	if (child == 0) {
		foe_attach(&f);
		(void)foe_open(&f, 0);
		f.lane[0].upp->client_asleep = 1;
		for (uint32_t i = 1; i < 2 * f.lane[0].slots; i++) { /* a full event ring, commands not taken */
			struct cmd c = { .op = CMD_CONNECT, .handle = { HANDLE_ACTIVE | i, 1 } };

			(void)ring_put(&f.lane[0].cmds, &c, sizeof(c));
			foe_ring(&f.lane[0]);
		}
		if (write(ready[1], &b, 1) == 1)
			raise(SIGSTOP);
		_exit(0);
	}
	if (read(ready[0], &b, 1) == 1)
		(void)waitpid(child, &status, WUNTRACED);
	foe_attach(&f);
	foe_end(&f, "stopped", "beside one that does not run");
	kill(child, SIGKILL);
	(void)waitpid(child, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

const struct attack control_attacks[] = {
	{ "greeting", greeting },   { "twice", twice },       { "early", early },   { "datagrams", datagrams },
	{ "descriptors", descriptors }, { "unread", unread }, { "half-open", half_open }, { "midway", midway },
	{ "storm", storm },         { "binds", binds },       { "cookies", cookies }, { "ports", ports },
	{ "quota", quota },         { "operates", operates }, { "forked", forked }, { "stopped", stopped },
	{ NULL, NULL },
};
