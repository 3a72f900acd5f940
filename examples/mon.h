/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the monitor examples share: sockets, the names of flows' ends, and an end in order.
 */
#ifndef EXAMPLES_MON_H
#define EXAMPLES_MON_H

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mos_api.h>

enum { END_MAX = INET6_ADDRSTRLEN + 8 };

static inline void end_name(const struct sockaddr_storage *sa, char *to, size_t size)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
	char ip[INET6_ADDRSTRLEN];

	if (sa->ss_family == AF_INET6)
		snprintf(to, size, "[%s]:%u", inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip)), ntohs(v6->sin6_port));
	else
		snprintf(to, size, "%s:%u", inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip)), ntohs(v4->sin_port));
}

/* The address of one end of a flow; false outside a callback of that flow. */
static inline bool flow_end(mctx_t mctx, int sock, int side, struct sockaddr_storage *sa)
{
	socklen_t len = sizeof(*sa);

	memset(sa, 0, sizeof(*sa));
	return mtcp_getpeername(mctx, sock, (struct sockaddr *)sa, &len, side) == 0;
}

static inline void flow_names(mctx_t mctx, int sock, char client[END_MAX], char server[END_MAX])
{
	struct sockaddr_storage sa;

	strcpy(client, "?");
	strcpy(server, "?");
	if (flow_end(mctx, sock, MOS_SIDE_CLI, &sa))
		end_name(&sa, client, END_MAX);
	if (flow_end(mctx, sock, MOS_SIDE_SVR, &sa))
		end_name(&sa, server, END_MAX);
}

static inline int flow_state(mctx_t mctx, int sock, int side)
{
	int state = MOS_TCP_CLOSED;
	socklen_t len = sizeof(state);

	(void)mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR, &state,
			      &len);
	return state;
}

static inline int complain(const char *name, const char *what)
{
	fprintf(stderr, "%s: %s: %s. %s\n", name, what, strerror(errno), mtcp_error_text());
	return 1;
}

/* A number of a range, and nothing else. */
static inline bool number_is(const char *word, unsigned least, unsigned most, unsigned *n)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(word, &end, 10);
	if (word[0] < '0' || word[0] > '9' || *end != '\0' || errno != 0 || value < least || value > most)
		return false;
	*n = (unsigned)value;
	return true;
}

/* What rc says about a call that only inline monitors may make.  Told once. */
static inline void must_be_inline(const char *name, int rc)
{
	static bool told;

	if (rc != 0 && !told)
		complain(name, "cannot change packets");
	told = told || rc != 0;
}

/* A stream monitor for flows whose first packet matches (NULL: all).  -1 and errno. */
static inline int watch_streams(mctx_t mctx, char *filter)
{
	union monitor_filter ft = { .stream_syn_filter = filter };
	int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	if (sock >= 0 && filter != NULL && mtcp_bind_monitor_filter(mctx, sock, &ft) != 0)
		return -1;
	return sock;
}

static inline void *until_signal(void *mctx)
{
	sigset_t set;
	int signum;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	(void)sigwait(&set, &signum);
	mtcp_destroy_context(mctx); /* waits for the callback that runs */
	return NULL;
}

/* Until stackd ends, its capture does, or a signal comes.  No callback runs any more after that.  False: stackd has gone. */
static inline bool watch_to_end(mctx_t mctx)
{
	bool gone;

	pthread_t thread;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&thread, NULL, until_signal, mctx) == 0)
		pthread_detach(thread);
	mtcp_app_join(mctx);
	gone = errno == ESHUTDOWN;
	if (gone)
		fprintf(stderr, "the end: %s\n", mtcp_error_text());
	mtcp_destroy_context(mctx);
	return !gone;
}

#endif
