/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Socket options and ioctl.  What the stack has to know goes to the engine as CMD_SETOPT; the value is kept here, so that
 * mtcp_getsockopt answers without asking, and so that it can be set before there is a connection.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"

enum {
	SOL_MON = 0xfffe, /* SOL_MONSOCKET of mos_api.h */
	LINGER_MAX_S = 32767,
	LINGER2_MAX_S = 120,
	MAXSEG_MIN = 88,
	RTO_MAX_S = 120,
};

/* Integer options of the engine. */
static const struct int_opt {
	int level, name;
	enum sock_opt opt;
	int min, max, otherwise; /* otherwise: what it is until it is set */
} int_opts[] = {
	{ SOL_SOCKET, SO_KEEPALIVE, OPT_KEEPALIVE, 0, 1, 0 },
	{ SOL_SOCKET, SO_RCVBUF, OPT_RCVBUF, 1, INT32_MAX, 0 },
	{ SOL_SOCKET, SO_SNDBUF, OPT_SNDBUF, 1, INT32_MAX, 0 },
	{ IPPROTO_TCP, TCP_NODELAY, OPT_NODELAY, 0, 1, 0 },
	{ IPPROTO_TCP, TCP_CORK, OPT_CORK, 0, 1, 0 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, OPT_KEEPIDLE, 1, 32767, 7200 },
	{ IPPROTO_TCP, TCP_KEEPINTVL, OPT_KEEPINTVL, 1, 32767, 75 },
	{ IPPROTO_TCP, TCP_KEEPCNT, OPT_KEEPCNT, 1, 127, 9 },
	{ IPPROTO_TCP, TCP_MAXSEG, OPT_MAXSEG, 0, 32767, 536 },
	{ IPPROTO_TCP, TCP_LINGER2, OPT_LINGER2, INT32_MIN, INT32_MAX, 60 },
	{ IPPROTO_TCP, TCP_SYNCNT, OPT_SYNCNT, 1, 127, 6 },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, OPT_DEFER_ACCEPT, INT32_MIN, INT32_MAX, 0 },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, OPT_WINDOW_CLAMP, 0, INT32_MAX, 0 },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, OPT_USER_TIMEOUT, 0, INT32_MAX, 0 },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, OPT_NOTSENT_LOWAT, INT32_MIN, INT32_MAX, 0 },
	{ IPPROTO_TCP, TCP_QUICKACK, OPT_QUICKACK, 0, 1, 0 },
	{ IPPROTO_IP, IP_TOS, OPT_TOS, 0, 255, 0 },
	{ IPPROTO_IP, IP_TTL, OPT_TTL, 1, 255, 64 },
	{ IPPROTO_IP, IP_MTU_DISCOVER, OPT_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_OMIT, IP_PMTUDISC_WANT },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, OPT_MTU_DISCOVER, IPV6_PMTUDISC_DONT, IPV6_PMTUDISC_OMIT, IPV6_PMTUDISC_WANT },
	{ IPPROTO_IPV6, IPV6_TCLASS, OPT_TOS, 0, 255, 0 },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, OPT_TTL, 1, 255, 64 },
};

static const char *const cc_names[CC_MAX] = { [CC_CUBIC] = "cubic", [CC_RENO] = "reno" };

static int do_get(struct shim_ctx *c, int fd, int level, int name, void *val, socklen_t *len);
static int get_congestion(const struct shim_stream *st, void *val, socklen_t *len);
static int get_linger(const struct shim_stream *st, void *val, socklen_t *len);
static int get_mtu(struct shim_ctx *c, int fd, const struct shim_stream *st, void *val, socklen_t *len);
static int get_plain(struct shim_ctx *c, struct shim_stream *st, int level, int name, int *v);
static int do_set(struct shim_ctx *c, int fd, int level, int name, const void *val, socklen_t len);
static int set_congestion(struct shim_ctx *c, struct shim_stream *st, const char *name, socklen_t len);
static int set_linger(struct shim_stream *st, const void *val, socklen_t len);
static int set_v6only(struct shim_stream *st, const void *val, socklen_t len);
static bool allowed(const struct shim_stream *st, enum sock_opt o, int *v);
static int defer_round(int s);
static int set_opt(struct shim_ctx *c, struct shim_stream *st, enum sock_opt o, uint32_t value);
static const struct int_opt *find(int level, int name);
static struct shim_opts *opts_of(struct shim_stream *st);
static int give(void *val, socklen_t *len, const void *from, socklen_t size);
static int do_ioctl(struct shim_ctx *c, int fd, int request, void *argp);

int mtcp_getsockopt(mctx_t mctx, int sockid, int level, int optname, void *optval, socklen_t *optlen)
{
	struct shim_ctx *c;

	if (level == SOL_MON)
		return mon_getsockopt(mctx, sockid, optname, optval, optlen);
	c = shim_enter(mctx);
	return c == NULL ? -1 : (int)shim_leave(c, do_get(c, sockid, level, optname, optval, optlen));
}

int mtcp_setsockopt(mctx_t mctx, int sockid, int level, int optname, const void *optval, socklen_t optlen)
{
	struct shim_ctx *c;

	if (level == SOL_MON)
		return mon_setsockopt(mctx, sockid, optname, optval, optlen);
	c = shim_enter(mctx);
	return c == NULL ? -1 : (int)shim_leave(c, do_set(c, sockid, level, optname, optval, optlen));
}

int mtcp_ioctl(mctx_t mctx, int sockid, int request, void *argp)
{
	struct shim_ctx *c = shim_enter(mctx);

	return c == NULL ? -1 : (int)shim_leave(c, do_ioctl(c, sockid, request, argp));
}

int mtcp_socket_ioctl(mctx_t mctx, int sockid, int request, void *argp)
{
	return mtcp_ioctl(mctx, sockid, request, argp);
}

int mtcp_setsock_nonblock(mctx_t mctx, int sockid)
{
	int on = 1;

	return mtcp_ioctl(mctx, sockid, FIONBIO, &on);
}

/* --- Reading them ----------------------------------------------------------------------------------------------------------- */

static int do_get(struct shim_ctx *c, int fd, int level, int name, void *val, socklen_t *len)
{
	const struct int_opt *o = find(level, name);
	int err = 0, v = 0;
	struct shim_stream *st = fds_stream(c, fd, &err);

	if (st == NULL)
		return err;
	if (val == NULL || len == NULL)
		return -EFAULT;
	if (level == IPPROTO_IPV6 && (st->s.flags & F_INET6) == 0)
		return -ENOPROTOOPT;
	if (level == IPPROTO_TCP && name == TCP_CONGESTION)
		return get_congestion(st, val, len);
	if (level == SOL_SOCKET && name == SO_LINGER)
		return get_linger(st, val, len);
	if (level == IPPROTO_TCP && name == TCP_INFO)
		return info_get(c, fd, val, len);
	if ((level == IPPROTO_IP && name == IP_MTU) || (level == IPPROTO_IPV6 && name == IPV6_MTU))
		return get_mtu(c, fd, st, val, len);
	if (o != NULL)
		v = (int)opts_value(c, st, o->opt);
	else
		err = get_plain(c, st, level, name, &v);
	return err != 0 ? err : give(val, len, &v, sizeof(v));
}

static int get_plain(struct shim_ctx *c, struct shim_stream *st, int level, int name, int *v)
{
	if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) {
		*v = (st->s.flags & F_V6ONLY) != 0;
		return 0;
	}
	if (level != SOL_SOCKET)
		return -ENOSYS;
	switch (name) {
	case SO_ERROR:
		(void)lane_pump(c);
		*v = stream_take_error(st);
		if (*v == 0) { /* as with Linux: an error that did not end it is told here alone */
			*v = st->soft_err;
			st->soft_err = 0;
		}
		return 0;
	case SO_TYPE:
		*v = SOCK_STREAM;
		return 0;
	case SO_DOMAIN:
		*v = (st->s.flags & F_INET6) != 0 ? AF_INET6 : AF_INET;
		return 0;
	case SO_PROTOCOL:
		*v = IPPROTO_TCP;
		return 0;
	case SO_ACCEPTCONN:
		*v = st->s.state == ST_LISTENING;
		return 0;
	case SO_REUSEADDR:
		*v = (st->s.flags & F_REUSEADDR) != 0;
		return 0;
	case SO_REUSEPORT:
		*v = (st->s.flags & F_REUSEPORT) != 0;
		return 0;
	default:
		return -ENOSYS;
	}
}

static int get_congestion(const struct shim_stream *st, void *val, socklen_t *len)
{
	uint32_t cc = st->opts != NULL && (st->opts->set & 1u << OPT_CONGESTION) != 0 ? st->opts->value[OPT_CONGESTION] : CC_CUBIC;

	return give(val, len, cc_names[cc], (socklen_t)strlen(cc_names[cc]) + 1);
}

static int get_linger(const struct shim_stream *st, void *val, socklen_t *len)
{
	int32_t s = st->opts != NULL ? st->opts->linger_s : -1;
	struct linger l = { .l_onoff = s >= 0, .l_linger = s >= 0 ? s : 0 };

	return give(val, len, &l, sizeof(l));
}

/* ip(7): of the path, while it is connected. */
static int get_mtu(struct shim_ctx *c, int fd, const struct shim_stream *st, void *val, socklen_t *len)
{
	struct sock_info i = { 0 };
	socklen_t size = sizeof(i);
	int err, v;

	if (st->s.state != ST_OPEN)
		return -ENOTCONN;
	err = info_get(c, fd, &i, &size);
	v = (int)i.pmtu;
	return err != 0 ? err : v == 0 ? -ENOTCONN : give(val, len, &v, sizeof(v));
}

uint32_t opts_value(const struct shim_ctx *c, const struct shim_stream *st, enum sock_opt o)
{
	if (st->opts != NULL && (st->opts->set & 1u << o) != 0)
		return st->opts->value[o];
	if (o == OPT_RCVBUF)
		return c->rcvbuf != 0 ? c->rcvbuf : c->welcome.rcvbuf_max;
	if (o == OPT_SNDBUF)
		return c->sndbuf != 0 ? c->sndbuf : c->welcome.sndbuf_max;
	if (o == OPT_MAXSEG && st->mss != 0)
		return st->mss;
	for (size_t i = 0; i < sizeof(int_opts) / sizeof(*int_opts); i++) {
		if (int_opts[i].opt == o)
			return (uint32_t)int_opts[i].otherwise;
	}
	return 0;
}

static int give(void *val, socklen_t *len, const void *from, socklen_t size)
{
	if (*len > size)
		*len = size;
	memcpy(val, from, *len);
	return 0;
}

/* --- Setting them ----------------------------------------------------------------------------------------------------------- */

static int do_set(struct shim_ctx *c, int fd, int level, int name, const void *val, socklen_t len)
{
	const struct int_opt *o = find(level, name);
	int err = 0, v;
	struct shim_stream *st = fds_stream(c, fd, &err);
	uint32_t flag;

	if (st == NULL)
		return err;
	if (val == NULL)
		return -EFAULT;
	if (level == IPPROTO_IPV6 && (st->s.flags & F_INET6) == 0)
		return -ENOPROTOOPT;
	if (level == IPPROTO_TCP && name == TCP_CONGESTION)
		return set_congestion(c, st, val, len);
	if (level == SOL_SOCKET && name == SO_LINGER)
		return set_linger(st, val, len);
	if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY)
		return set_v6only(st, val, len);
	flag = level != SOL_SOCKET ? 0 : name == SO_REUSEPORT ? F_REUSEPORT : name == SO_REUSEADDR ? F_REUSEADDR : 0;
	if (o == NULL && flag == 0)
		return -ENOSYS;
	if (len < sizeof(v))
		return -EINVAL;
	memcpy(&v, val, sizeof(v));
	if (flag != 0) {
		st->s.flags = v != 0 ? st->s.flags | flag : st->s.flags & ~flag;
		return 0;
	}
	if (o->max == 1)
		v = v != 0;
	if (v < o->min || v > o->max || !allowed(st, o->opt, &v))
		return -EINVAL;
	return set_opt(c, st, o->opt, (uint32_t)v);
}

/* What tcp(7) says beyond a range; *v becomes what getsockopt will tell. */
static bool allowed(const struct shim_stream *st, enum sock_opt o, int *v)
{
	switch (o) {
	case OPT_MAXSEG:
		return *v == 0 || *v >= MAXSEG_MIN;
	case OPT_WINDOW_CLAMP:
		return *v != 0 || st->s.state == ST_FRESH;
	case OPT_LINGER2:
		*v = *v < 0 ? -1 : *v > LINGER2_MAX_S ? LINGER2_MAX_S : *v;
		return true;
	case OPT_DEFER_ACCEPT:
		*v = defer_round(*v);
		return true;
	default:
		return true;
	}
}

/* As Linux has it: the time that so many SYN-ACKs take, which double their distance up to two minutes. */
static int defer_round(int s)
{
	int sum = s > 0, gap = 1;

	for (int n = 1; sum < s && n < UINT8_MAX; n++) {
		gap = gap * 2 < RTO_MAX_S ? gap * 2 : RTO_MAX_S;
		sum += gap;
	}
	return sum;
}

static int set_congestion(struct shim_ctx *c, struct shim_stream *st, const char *name, socklen_t len)
{
	for (uint32_t i = 0; i < CC_MAX; i++) {
		size_t n = strlen(cc_names[i]);

		if (len >= n && memcmp(name, cc_names[i], n) == 0 && (len == n || name[n] == '\0'))
			return set_opt(c, st, OPT_CONGESTION, i);
	}
	return -ENOENT; /* as tcp(7) has it */
}

static int set_linger(struct shim_stream *st, const void *val, socklen_t len)
{
	struct shim_opts *opts;
	struct linger l;

	if (len < sizeof(l))
		return -EINVAL;
	memcpy(&l, val, sizeof(l));
	if (l.l_onoff != 0 && l.l_linger < 0)
		return -EINVAL;
	opts = opts_of(st);
	if (opts == NULL)
		return -ENOMEM;
	opts->linger_s = l.l_onoff == 0 ? -1 : l.l_linger > LINGER_MAX_S ? LINGER_MAX_S : l.l_linger;
	return 0;
}

/* ipv6(7): before it is bound */
static int set_v6only(struct shim_stream *st, const void *val, socklen_t len)
{
	int v;

	if (len < sizeof(v) || st->s.state != ST_FRESH || (st->s.flags & F_BOUND) != 0)
		return -EINVAL;
	memcpy(&v, val, sizeof(v));
	st->s.flags = v != 0 ? st->s.flags | F_V6ONLY : st->s.flags & ~(uint32_t)F_V6ONLY;
	return 0;
}

static int set_opt(struct shim_ctx *c, struct shim_stream *st, enum sock_opt o, uint32_t value)
{
	struct shim_opts *opts = opts_of(st);

	if (opts == NULL)
		return -ENOMEM;
	opts->value[o] = value;
	opts->set |= 1u << o;
	opts->dirty |= 1u << o;
	if (st->s.state == ST_OPEN || st->s.state == ST_CONNECTING)
		lane_settle(c, st);
	return st->s.state == ST_LISTENING ? sock_listen(c, st, st->backlog) : 0;
}

static struct shim_opts *opts_of(struct shim_stream *st)
{
	if (st->opts == NULL) {
		st->opts = calloc(1, sizeof(*st->opts));
		if (st->opts != NULL)
			st->opts->linger_s = -1;
	}
	return st->opts;
}

/* Take the listener's options, or (from NULL) what the configuration says about buffers and the socket does not. */
int opts_inherit(struct shim_ctx *c, struct shim_stream *st, const struct shim_opts *from)
{
	const uint32_t conf[2][2] = { { OPT_RCVBUF, c->rcvbuf }, { OPT_SNDBUF, c->sndbuf } };
	struct shim_opts *opts;

	if (from == NULL && c->rcvbuf == 0 && c->sndbuf == 0)
		return 0;
	opts = opts_of(st);
	if (opts == NULL)
		return -ENOMEM;
	if (from != NULL)
		*opts = *from;
	for (int i = 0; i < 2; i++) {
		if (conf[i][1] == 0 || (opts->set & 1u << conf[i][0]) != 0)
			continue;
		opts->value[conf[i][0]] = conf[i][1];
		opts->set |= 1u << conf[i][0];
	}
	opts->dirty = opts->set;
	return 0;
}

static const struct int_opt *find(int level, int name)
{
	for (size_t i = 0; i < sizeof(int_opts) / sizeof(*int_opts); i++) {
		if (int_opts[i].level == level && int_opts[i].name == name)
			return &int_opts[i];
	}
	return NULL;
}

/* --- ioctl ---------------------------------------------------------------------------------------------------------------- */

static int do_ioctl(struct shim_ctx *c, int fd, int request, void *argp)
{
	struct shim_sock *s = fds_get(c, fd);
	struct shim_stream *st;
	int v;

	if (s == NULL)
		return -EBADF;
	if (argp == NULL)
		return -EFAULT;
	if (s->kind != KIND_STREAM && s->kind != KIND_PIPE)
		return s->kind == KIND_EPOLL ? -EINVAL : -ENOTSOCK;
	switch ((unsigned)request) {
	case FIONBIO:
		memcpy(&v, argp, sizeof(v));
		s->flags = v != 0 ? s->flags | F_NONBLOCK : s->flags & ~F_NONBLOCK;
		return 0;
	case FIONREAD:
		if (s->kind == KIND_PIPE) {
			v = (int)pipe_unread((struct shim_pipe *)s);
		} else {
			st = stream_of(s);
			if ((s->flags & F_LISTENER) != 0)
				return -EINVAL;
			(void)lane_pump(c);
			v = st->rx_end - st->rx_done > INT32_MAX ? INT32_MAX : (int)(st->rx_end - st->rx_done);
		}
		memcpy(argp, &v, sizeof(v));
		return 0;
	default:
		return -EINVAL;
	}
}
