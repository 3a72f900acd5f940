/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The control thread without engines: its own code (ctl.c is included for its loop), a table of ports, a statistics
 * segment, and engines that are only mailboxes, emptied by hand.  An engine that is told to give back a lane that it never
 * got, or anything of a lane that it gave back, fails the test (fake_wrong).
 */
#ifndef TESTS_FAKE_CORE_H
#define TESTS_FAKE_CORE_H

#include <sys/socket.h>
#include <sys/syscall.h>

#include "stackd/ctl.c"
#include "stackd/tcp/listen.h"

enum { FAKE_CORES = 2, FAKE_LANES = 64, FAKE_SLOTS = 64 };

static void fake_wrong(const char *what); /* the including file's: it fails the test */

struct core {
	unsigned index;
	struct mailbox inbox;
	struct lane *lane[FAKE_LANES];
	unsigned lanes;
	struct mon_lane *mon_lane[FAKE_LANES];
	unsigned mon_lanes;
	struct fake_sock {
		struct mon_lane *lane; /* NULL: free */
		uint16_t sock;
		struct ctl_mon_sock conf;
		struct mon_filter *filter[3];
	} sock[MON_SLOTS_MAX];
	unsigned faults; /* MON_ORDER_FAULT has come so often */
	enum mon_order_kind refuse; /* answer orders of this kind with refuse_err */
	int refuse_err;  /* 0: with none */
	bool mute; /* it answers nothing */
};

static struct {
	struct conf conf;
	struct net_conf net;
	struct stat_seg stat;
	struct ctl ctl;
	struct core core[FAKE_CORES], *cores[FAKE_CORES];
	unsigned fail_after, fails; /* core_send fails, after so many calls, so many times */
} w;

int core_send(struct core *core, const struct mail *m)
{
	if (w.fails > 0 && w.fail_after == 0) {
		w.fails--;
		return -ENOMEM;
	}
	if (w.fails > 0)
		w.fail_after--;
	return mail_send(&core->inbox, m);
}

void core_post(struct core *core, struct mail *m)
{
	mail_post(&core->inbox, m);
}

/* --- An engine ---------------------------------------------------------------------------------------------------- */

static unsigned engine_slot(const struct core *core, const struct lane *l)
{
	for (unsigned i = 0; i < core->lanes; i++) {
		if (core->lane[i] == l)
			return i;
	}
	fake_wrong("mail about a lane that this engine does not have");
	return 0;
}

static void engine_tell(struct core *core, struct mail m)
{
	m.engine = core->index;
	if (mail_send(&w.ctl.inbox, &m) != 0)
		fake_wrong("test: no memory");
}

static void engine_drop(struct core *core, struct lane *l)
{
	core->lane[engine_slot(core, l)] = core->lane[core->lanes - 1];
	core->lanes--;
	if (bell_look(&l->dn->detached) != 1)
		fake_wrong("a lane was dropped, and its client does not know");
	engine_tell(core, (struct mail){ .kind = MAIL_LANE_GONE, .lane = l });
}

static int engine_mon_lane(const struct core *core, const struct mon_lane *l)
{
	for (unsigned i = 0; i < core->mon_lanes; i++) {
		if (core->mon_lane[i] == l)
			return (int)i;
	}
	return -1;
}

/* sock < 0: a free place. */
static struct fake_sock *engine_sock(struct core *core, const struct mon_lane *l, int sock)
{
	for (unsigned i = 0; i < MON_SLOTS_MAX; i++) {
		struct fake_sock *s = &core->sock[i];

		if (sock < 0 ? s->lane == NULL : s->lane == l && s->sock == sock)
			return s;
	}
	return NULL;
}

static int engine_order_sock(struct core *core, struct mon_order *o)
{
	struct fake_sock *s = engine_sock(core, o->lane, o->conf.sock);

	if (s == NULL)
		s = engine_sock(core, NULL, -1);
	if (s == NULL)
		return -ENFILE;
	s->lane = o->lane;
	s->sock = o->conf.sock;
	s->conf = o->conf;
	return 0;
}

static int engine_order_filter(struct core *core, struct mon_order *o)
{
	struct fake_sock *s = engine_sock(core, o->lane, o->sock);
	struct mon_filter *old;

	if (s == NULL || o->which > 2)
		return -EBADF;
	old = s->filter[o->which];
	s->filter[o->which] = o->filter;
	(void)mon_filter_match_bytes(o->filter, (const uint8_t *)"0123456789abcdef", 16); /* it is there */
	o->filter = old;
	return 0;
}

static int engine_order_close(struct core *core, struct mon_order *o)
{
	struct fake_sock *s = engine_sock(core, o->lane, o->sock);

	if (s == NULL)
		return -EBADF;
	memcpy(o->old, s->filter, sizeof(o->old));
	memset(s, 0, sizeof(*s));
	return 0;
}

static void engine_order_leave(struct core *core, struct mon_lane *l)
{
	int i = engine_mon_lane(core, l);

	if (bell_look(&l->dn->detached) != 1)
		fake_wrong("a monitor lane was dropped, and its client does not know");
	for (unsigned k = 0; k < MON_SLOTS_MAX; k++) {
		if (core->sock[k].lane == l)
			memset(&core->sock[k], 0, sizeof(core->sock[k]));
	}
	if (i >= 0)
		core->mon_lane[i] = core->mon_lane[--core->mon_lanes];
}

static int engine_order(struct core *core, struct mon_order *o)
{
	if (core->refuse_err != 0 && core->refuse == o->kind)
		return core->refuse_err;
	if (o->kind != MON_ORDER_LANE && o->kind != MON_ORDER_LEAVE && engine_mon_lane(core, o->lane) < 0)
		fake_wrong("an order about a monitor lane that this engine does not have");
	switch (o->kind) {
	case MON_ORDER_LANE:
		if (core->mon_lanes == FAKE_LANES)
			fake_wrong("too many monitor lanes");
		if (o->lane->group->arena == NULL || o->lane->engine != core->index)
			fake_wrong("a monitor lane that is another engine's, or without an arena");
		core->mon_lane[core->mon_lanes++] = o->lane;
		return 0;
	case MON_ORDER_LEAVE:
		engine_order_leave(core, o->lane);
		return 0;
	case MON_ORDER_SOCK:
		return engine_order_sock(core, o);
	case MON_ORDER_FILTER:
		return engine_order_filter(core, o);
	case MON_ORDER_CLOSE:
		return engine_order_close(core, o);
	case MON_ORDER_SHARE:
		o->lane->share_index = o->share_index;
		o->lane->share_count = o->share_count;
		return 0;
	case MON_ORDER_FAULT:
		core->faults++;
		return 0;
	default:
		fake_wrong("an order that is not for engines");
	}
	return 0;
}

static void engine_mail(struct core *core, const struct mail *m)
{
	switch (m->kind) {
	case MAIL_LANE_ADD:
		if (core->lanes == FAKE_LANES)
			fake_wrong("too many lanes");
		core->lane[core->lanes++] = m->lane;
		break;
	case MAIL_LANE_DROP:
		engine_drop(core, m->lane);
		break;
	case MAIL_SEGMENT:
		(void)engine_slot(core, m->lane);
		if (m->class == SEG_TX)
			m->lane->owner.tx.base[m->index] = m->base;
		else if (bytes_pool_add(&m->lane->owner.rx, m->index, m->base) != 0)
			fake_wrong("a segment that is there already");
		memset(m->base, 1, BYTES_SEG_SIZE / 512); /* it is memory */
		break;
	case MAIL_NO_SEGMENT:
		(void)engine_slot(core, m->lane);
		break;
	case MAIL_LISTENER_OUT:
		m->listener->lane[core->index].waiting = 0; /* it is there */
		engine_tell(core, (struct mail){ .kind = MAIL_LISTENER_DONE, .listener = m->listener });
		break;
	case MAIL_MON_ORDER:
		m->order->err = engine_order(core, m->order);
		engine_tell(core, (struct mail){ .kind = MAIL_MON_DONE, .order = m->order });
		break;
	default:
		fake_wrong("mail that is not for engines");
	}
}

/* One letter; false when there is none. */
static bool engine_step(struct core *core)
{
	struct mail m;

	if (core->mute || !mail_next(&core->inbox, &m))
		return false;
	engine_mail(core, &m);
	return true;
}

/* --- The world ---------------------------------------------------------------------------------------------------- */

/* The scopes that conf has now. */
static void world_scopes(void)
{
	monitor_groups_free(&w.ctl);
	if (monitor_groups_make(&w.ctl) != 0)
		fake_wrong("test: no scopes");
}

static void world_open(void)
{
	struct conf *conf = &w.conf;

	memset(&w, 0, sizeof(w));
	conf_default(conf);
	conf->cores = FAKE_CORES;
	conf->ring_slots = FAKE_SLOTS;
	conf->max_clients = 16;
	conf->max_flows = 64;
	conf->clients = 1;
	conf->client[0] = (struct conf_client){ .any = true, .endpoint = true, .max_sockets = 100, .max_contexts = 16, .user_contexts = 1024,
						.memory = 24u << 20, .port = { { 1, 65535 } }, .ports = 1, .name = "*",
						.monitor = MON_RIGHT_INLINE, .monitor_ring = FAKE_SLOTS,
						.max_monitor_sockets = MON_SLOTS_MAX, .max_filter_steps = 262144 };
	conf->monitor = (struct conf_monitor){ .max_flows = 64, .memory = 1u << 20, .log_bytes = 1u << 16, .buffer_max = 1u << 16 };
	w.ctl = (struct ctl){ .conf = conf, .stat = &w.stat, .next_id = 1, .net = &w.net, .core = w.cores,
			      .cores = FAKE_CORES, .listen.fd = -1, .signals.fd = -1, .timer.fd = -1 };
	if (stat_seg_create(&w.stat, conf) != 0 || mailbox_init(&w.ctl.inbox) != 0)
		fake_wrong("test: no world");
	w.ctl.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	watch_fd(&w.ctl, &w.ctl.mail, w.ctl.inbox.bell_fd, on_mail);
	w.ctl.listeners = listen_table_create(FAKE_CORES);
	world_scopes();
	for (unsigned i = 0; i < FAKE_CORES; i++) {
		w.core[i].index = i;
		w.cores[i] = &w.core[i];
		mailbox_init(&w.core[i].inbox);
	}
}

/* Until nothing moves any more. */
static void world_turn(void)
{
	bool work = true;

	while (work) {
		work = ctl_turn(&w.ctl, 0) > 0;
		for (unsigned i = 0; i < FAKE_CORES; i++) {
			while (engine_step(&w.core[i]))
				work = true;
		}
	}
}

static void world_close(void)
{
	w.fails = 0;
	for (unsigned i = 0; i < FAKE_CORES; i++)
		mailbox_fini(&w.core[i].inbox);
	ctl_close(&w.ctl);
	if (w.ctl.client_count != 0)
		fake_wrong("contexts were counted wrongly");
	listen_table_destroy(w.ctl.listeners);
	stat_seg_destroy(&w.stat);
}

/* A new client's end of its socket. */
static int world_connect(void)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s) != 0)
		return -1;
	client_accept(&w.ctl, s[0]);
	return s[1];
}

static inline struct ctl_hello world_hello(void)
{
	return (struct ctl_hello){ .magic = SHM_MAGIC, .abi = SHM_ABI, .cmd_size = sizeof(struct cmd),
				   .event_size = sizeof(struct event), .welcome_size = sizeof(struct ctl_welcome),
				   .lane_size = sizeof(struct ctl_lane), .name = "test" };
}

#endif
