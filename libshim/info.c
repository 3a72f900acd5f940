/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TCP_INFO: the one option whose value the engine alone knows.  It is asked, and its answer waited for; one question of a context
 * is under way at a time.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "libshim/shim.h"

enum {
	ALL_PARTS = (1 << SOCK_INFO_PARTS) - 1,
	RING_FULL_US = 1000, /* nothing tells that the command ring has room again */
};

/* sock_info is struct tcp_info of linux/tcp.h, whose beginning netinet/tcp.h has too */
#define SAME(ours, theirs) static_assert(offsetof(struct sock_info, ours) == offsetof(struct tcp_info, theirs), "layout")
SAME(state, tcpi_state);
SAME(rto, tcpi_rto);
SAME(last_data_recv, tcpi_last_data_recv);
SAME(pmtu, tcpi_pmtu);
SAME(total_retrans, tcpi_total_retrans);

static int ask(struct shim_ctx *c, int fd, struct sock_info *i);
static int question(struct shim_ctx *c, int fd, uint32_t cookie, struct shim_stream **st);
static bool engine_knows(const struct shim_stream *st);

int info_get(struct shim_ctx *c, int fd, void *val, socklen_t *len)
{
	struct sock_info i = { .state = TCP_CLOSE };
	int err = ask(c, fd, &i);

	if (err != 0)
		return err;
	if (*len > SOCK_INFO_SIZE)
		*len = SOCK_INFO_SIZE;
	memcpy(val, &i, *len);
	return 0;
}

static int ask(struct shim_ctx *c, int fd, struct sock_info *i)
{
	int err = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);
	uint32_t cookie = st != NULL ? st->s.cookie : 0;

	while (err == 0 && c->info.busy) {
		err = shim_wait(c, UINT64_MAX);
		if (err == 0)
			err = question(c, fd, cookie, &st);
	}
	if (err == 0 && st->s.state == ST_LISTENING)
		i->state = TCP_LISTEN;
	if (err != 0 || !engine_knows(st))
		return err;
	c->info.busy = true;
	c->info.token++;
	c->info.parts = 0;
	while ((err = lane_ask_info(c, st, c->info.token)) == -ENOBUFS) {
		err = shim_wait(c, shim_now_us() + RING_FULL_US);
		(void)lane_pump(c);
		if (err != -ETIMEDOUT && err != 0)
			break;
		err = question(c, fd, cookie, &st);
		if (err != 0 || !engine_knows(st))
			break;
	}
	while (err == 0 && c->info.parts != ALL_PARTS && engine_knows(st)) {
		err = lane_pump(c) ? 0 : shim_wait(c, UINT64_MAX);
		if (err == 0)
			err = question(c, fd, cookie, &st);
	}
	if (err == 0 && c->info.parts == ALL_PARTS)
		memcpy(i, &c->info.got, sizeof(*i));
	c->info.busy = false;
	return err;
}

/* While we waited another thread may have closed it. */
static int question(struct shim_ctx *c, int fd, uint32_t cookie, struct shim_stream **st)
{
	int err = 0;

	*st = fds_stream(c, fd, &err);
	return *st != NULL && (*st)->s.cookie != cookie ? -EBADF : err;
}

static bool engine_knows(const struct shim_stream *st)
{
	return (st->s.state == ST_OPEN || st->s.state == ST_CONNECTING) && (st->s.flags & F_HANDLE) != 0;
}

void info_take(struct shim_ctx *c, const struct event *e)
{
	uint32_t part = e->info.part;

	if (!c->info.busy || e->info.token != c->info.token || part >= SOCK_INFO_PARTS)
		return;
	memcpy((char *)&c->info.got + part * SOCK_INFO_PART, e->info.data, SOCK_INFO_PART);
	c->info.parts |= 1u << part;
}
