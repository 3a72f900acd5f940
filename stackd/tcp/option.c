/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options of connections, and what listeners hand down to theirs.  Names, ranges and meanings are those of tcp(7), ip(7), socket(7).
 */
#include <errno.h>
#include <netinet/in.h>

#include "stackd/tcp/priv.h"

enum {
	LINGER2_MAX_S = 120,
	CLAMP_MIN = 1152,   /* no window is made smaller: Linux's bound */
	BUF_MIN = 2048,
};

static void set_quick(struct tcp *tcp, struct tcp_conn *c, bool on);
static int set_time(struct tcp *tcp, struct tcp_conn *c, uint32_t name, uint64_t value);
static int set_size(struct tcp *tcp, struct tcp_conn *c, uint32_t name, uint64_t value);
static int set_header(struct tcp_conn *c, uint32_t name, uint64_t value);
static uint32_t clamp(uint64_t v, uint32_t lo, uint32_t hi);

int tcp_setopt(struct tcp *tcp, struct tcp_conn *c, uint32_t name, uint64_t value)
{
	static const uint32_t flag[OPT_MAX] = {
		[OPT_NODELAY] = CONN_NODELAY,
		[OPT_CORK] = CONN_CORK,
		[OPT_KEEPALIVE] = CONN_KEEPALIVE,
		[OPT_QUICKACK] = CONN_QUICKACK,
	};

	if (name == OPT_NONE || name >= OPT_MAX)
		return -ENOPROTOOPT;
	if (flag[name] != 0) {
		c->flags = value != 0 ? c->flags | flag[name] : c->flags & ~flag[name];
		if (name == OPT_NODELAY || name == OPT_CORK)
			conn_mark(tcp, c, TODO_SEND);
		if (name == OPT_QUICKACK)
			set_quick(tcp, c, value != 0);
		if (name == OPT_KEEPALIVE && value != 0)
			timer_keepalive(tcp, c);
		return 0;
	}
	switch (name) {
	case OPT_KEEPIDLE:
	case OPT_KEEPINTVL:
	case OPT_KEEPCNT:
	case OPT_SYNCNT:
	case OPT_USER_TIMEOUT:
	case OPT_LINGER2:
	case OPT_DEFER_ACCEPT:
		return set_time(tcp, c, name, value);
	case OPT_TOS:
	case OPT_TTL:
	case OPT_MTU_DISCOVER:
		return set_header(c, name, value);
	case OPT_NOTSENT_LOWAT:
		c->notsent_lowat = clamp(value, 0, UINT32_MAX);
		c->note |= TCP_NOTE_STATE; /* from which its program counts */
		conn_mark(tcp, c, TODO_NOTE);
		return 0;
	case OPT_CONGESTION:
		if (value >= CC_MAX)
			return -EINVAL;
		cc_select(&c->cc, (uint8_t)value);
		return 0;
	default:
		return set_size(tcp, c, name, value);
	}
}

/* What its program asked for of all that come to this listener, from the SYN-ACK on. */
void option_inherit(struct tcp *tcp, struct tcp_conn *c, const struct listener *l)
{
	uint32_t set = __atomic_load_n(&l->opt_set, __ATOMIC_ACQUIRE); /* pairs with listen_options() */

	for (; set != 0; set &= set - 1) {
		unsigned name = (unsigned)__builtin_ctz(set);

		(void)tcp_setopt(tcp, c, name, __atomic_load_n(&l->opt[name], __ATOMIC_RELAXED)); /* a bad value changes nothing */
	}
}

/* What of these a SYN-ACK says that no connection stands behind. */
void option_inherit_headers(struct tcp *tcp, const struct listener *l, uint16_t *mss_max, struct seg_out *out)
{
	static const uint8_t header[] = { OPT_TOS, OPT_TTL, OPT_MTU_DISCOVER };
	struct tcp_conn c = { .mss_max = tcp->conf.max_mss, .mtu_discover = IP_PMTUDISC_WANT };
	uint32_t set = __atomic_load_n(&l->opt_set, __ATOMIC_ACQUIRE);

	if ((set >> OPT_MAXSEG & 1) != 0)
		(void)set_size(tcp, &c, OPT_MAXSEG, __atomic_load_n(&l->opt[OPT_MAXSEG], __ATOMIC_RELAXED));
	for (unsigned i = 0; i < sizeof(header); i++)
		if ((set >> header[i] & 1) != 0)
			(void)set_header(&c, header[i], __atomic_load_n(&l->opt[header[i]], __ATOMIC_RELAXED));
	*mss_max = c.mss_max;
	out->ttl = c.ttl;
	out->tos = c.tos;
	out->may_fragment = option_may_fragment(c.mtu_discover);
}

/* ip(7): routers may fragment unless it says that they may not, or that the path's MTU is to be found. */
bool option_may_fragment(uint8_t mtu_discover)
{
	return mtu_discover == IP_PMTUDISC_DONT || mtu_discover >= IP_PMTUDISC_INTERFACE;
}

/* IPv6 knows no fragments of routers: DONT is WANT there, as with Linux. */
bool option_takes_mtu(const struct tcp_conn *c)
{
	return c->mtu_discover == IP_PMTUDISC_WANT || c->mtu_discover == IP_PMTUDISC_DO ||
	       (c->mtu_discover == IP_PMTUDISC_DONT && !net_is_ip4(&c->peer));
}

/* Off: delayed as if our answers took them along.  On: what waits goes at once. */
static void set_quick(struct tcp *tcp, struct tcp_conn *c, bool on)
{
	if (!on)
		c->flags |= CONN_INTERACTIVE;
	else if (c->due_us[T_DELACK] != 0)
		conn_mark(tcp, c, TODO_ACK);
}

/* How long, or how often. */
static int set_time(struct tcp *tcp, struct tcp_conn *c, uint32_t name, uint64_t value)
{
	bool counts = name == OPT_KEEPCNT || name == OPT_SYNCNT;
	int32_t s = (int32_t)(uint32_t)value;

	if (name == OPT_LINGER2) {
		c->linger2_s = (int16_t)(s < 0 ? -1 : s > LINGER2_MAX_S ? LINGER2_MAX_S : s);
		return 0;
	}
	if (name == OPT_USER_TIMEOUT) {
		if (value > INT32_MAX)
			return -EINVAL;
		c->user_timeout_ms = (uint32_t)value;
		return 0;
	}
	if (name == OPT_DEFER_ACCEPT) {
		c->defer_s = (uint16_t)clamp(value, 0, UINT16_MAX);
		return 0;
	}
	if (value < 1 || value > (counts ? 127 : 32767))
		return -EINVAL;
	if (counts) {
		*(name == OPT_KEEPCNT ? &c->keepcnt : &c->syncnt) = (uint8_t)value;
		return 0;
	}
	*(name == OPT_KEEPIDLE ? &c->keepidle_s : &c->keepintvl_s) = (uint32_t)value;
	if ((c->flags & CONN_KEEPALIVE) != 0)
		timer_keepalive(tcp, c);
	return 0;
}

static int set_size(struct tcp *tcp, struct tcp_conn *c, uint32_t name, uint64_t value)
{
	switch (name) {
	case OPT_MAXSEG:
		if (value != 0 && (value < 88 || value > 32767))
			return -EINVAL;
		c->mss_max = (uint16_t)value;
		if (tcp->conf.max_mss != 0 && (value == 0 || value > tcp->conf.max_mss))
			c->mss_max = tcp->conf.max_mss;
		conn_set_mss(c);
		return 0;
	case OPT_RCVBUF:
		c->rcvbuf = clamp(value, BUF_MIN, tcp->conf.rcvbuf_max);
		c->flags |= CONN_RCVBUF;
		return 0;
	case OPT_SNDBUF:
		c->sndbuf = clamp(value, BUF_MIN, tcp->conf.sndbuf_max);
		c->flags |= CONN_SNDBUF;
		c->note |= TCP_NOTE_STATE;
		conn_mark(tcp, c, TODO_NOTE);
		return 0;
	case OPT_WINDOW_CLAMP:
		if (value == 0)
			return -EINVAL;
		c->wnd_clamp = clamp(value, CLAMP_MIN, UINT32_MAX);
		return 0;
	}
	return -ENOPROTOOPT;
}

static int set_header(struct tcp_conn *c, uint32_t name, uint64_t value)
{
	if (value > (name == OPT_MTU_DISCOVER ? IP_PMTUDISC_OMIT : UINT8_MAX) || (name == OPT_TTL && value < 1))
		return -EINVAL;
	if (name == OPT_MTU_DISCOVER)
		c->mtu_discover = (uint8_t)value;
	else if (name == OPT_TTL)
		c->ttl = (uint8_t)value;
	else
		c->tos = (uint8_t)value & 0xfc; /* the ECN bits are TCP's */
	return 0;
}

static uint32_t clamp(uint64_t v, uint32_t lo, uint32_t hi)
{
	return v < lo ? lo : v > hi ? hi : (uint32_t)v;
}
