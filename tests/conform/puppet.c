/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A program on strings: carries out one socket call for each line on its standard input, and answers each with one line:
 * the result, the error's name or "-", and what else there is to say.  tests/conform/peer.py pulls the strings.
 *
 * Ids are mtcp's.  All sockets are non-blocking.
 */
#define _GNU_SOURCE /* strerrorname_np */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mtcp_api.h"

enum { MAX_WORDS = 8, MAX_BYTES = 65536 };

static mctx_t mctx;
static char bytes[MAX_BYTES];

static void answer(long rc)
{
	printf("%ld %s", rc, rc < 0 ? strerrorname_np(errno) : "-");
}

static socklen_t address_of(struct sockaddr_storage *to, const char *host, const char *port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)atoi(port));
	return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? sizeof(*v6) : 0;
}

static void do_read(int sock, size_t size)
{
	ssize_t n = mtcp_read(mctx, sock, bytes, size < sizeof(bytes) ? size : sizeof(bytes));

	answer(n);
	putchar(' ');
	for (ssize_t i = 0; i < n; i++)
		printf("%02x", (unsigned char)bytes[i]);
}

/* The byte at each place of what is written tells its place in the call. */
static void do_write(int sock, size_t size)
{
	if (size > sizeof(bytes))
		size = sizeof(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)i;
	answer(mtcp_write(mctx, sock, bytes, size));
}

static void do_poll(int sock, short events, int timeout_ms)
{
	struct pollfd fd = {.fd = sock, .events = events};
	int rc = mtcp_poll(mctx, &fd, 1, timeout_ms);

	answer(rc);
	printf(" %d", rc > 0 ? fd.revents : 0);
}

static void do_getint(int sock, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	answer(mtcp_getsockopt(mctx, sock, level, name, &value, &len));
	printf(" %d", value);
}

static void do_setint(int sock, int level, int name, int value)
{
	answer(mtcp_setsockopt(mctx, sock, level, name, &value, sizeof(value)));
}

static void do_linger(int sock, int on, int seconds)
{
	struct linger linger = {.l_onoff = on, .l_linger = seconds};

	answer(mtcp_setsockopt(mctx, sock, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
}

static void do_info(int sock)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	answer(mtcp_getsockopt(mctx, sock, IPPROTO_TCP, TCP_INFO, &info, &len));
	printf(" %u %u %u %u %u %u %u %u %u", info.tcpi_state, info.tcpi_options, info.tcpi_snd_wscale, info.tcpi_rcv_wscale,
		info.tcpi_snd_mss, info.tcpi_pmtu, info.tcpi_unacked, info.tcpi_snd_cwnd, info.tcpi_retransmits);
}

static bool carry_out(int n, char **w)
{
	struct sockaddr_storage addr;
	int a = n > 1 ? atoi(w[1]) : 0, b = n > 2 ? atoi(w[2]) : 0, c = n > 3 ? atoi(w[3]) : 0, d = n > 4 ? atoi(w[4]) : 0;

	if (strcmp(w[0], "socket") == 0) {
		int sock = mtcp_socket(mctx, a == 6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

		answer(sock < 0 ? sock : mtcp_setsock_nonblock(mctx, sock) < 0 ? -1 : sock);
	} else if (strcmp(w[0], "bind") == 0 && n == 4) {
		answer(mtcp_bind(mctx, a, (struct sockaddr *)&addr, address_of(&addr, w[2], w[3])));
	} else if (strcmp(w[0], "connect") == 0 && n == 4) {
		answer(mtcp_connect(mctx, a, (struct sockaddr *)&addr, address_of(&addr, w[2], w[3])));
	} else if (strcmp(w[0], "listen") == 0) {
		answer(mtcp_listen(mctx, a, b));
	} else if (strcmp(w[0], "accept") == 0) {
		answer(mtcp_accept4(mctx, a, NULL, NULL, SOCK_NONBLOCK));
	} else if (strcmp(w[0], "read") == 0) {
		do_read(a, (size_t)b);
	} else if (strcmp(w[0], "write") == 0) {
		do_write(a, (size_t)b);
	} else if (strcmp(w[0], "shutdown") == 0) {
		answer(mtcp_shutdown(mctx, a, b));
	} else if (strcmp(w[0], "close") == 0) {
		answer(mtcp_close(mctx, a));
	} else if (strcmp(w[0], "poll") == 0) {
		do_poll(a, (short)b, c);
	} else if (strcmp(w[0], "getint") == 0) {
		do_getint(a, b, c);
	} else if (strcmp(w[0], "setint") == 0) {
		do_setint(a, b, c, d);
	} else if (strcmp(w[0], "linger") == 0) {
		do_linger(a, b, c);
	} else if (strcmp(w[0], "info") == 0) {
		do_info(a);
	} else {
		return false;
	}
	return true;
}

int main(void)
{
	char line[256];

	if (mtcp_init(NULL) != 0 || (mctx = mtcp_create_context(0)) == NULL) {
		fprintf(stderr, "puppet: %s\n", mtcp_error_text());
		return 1;
	}
	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *words[MAX_WORDS], *save = NULL;
		int n = 0;

		for (char *w = strtok_r(line, " \n", &save); w != NULL && n < MAX_WORDS; w = strtok_r(NULL, " \n", &save))
			words[n++] = w;
		if (n == 0 || !carry_out(n, words))
			printf("-1 EINVAL what is that?");
		putchar('\n');
		fflush(stdout);
	}
	mtcp_destroy_context(mctx);
	return 0;
}
