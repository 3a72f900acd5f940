/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Lanes: commands out, events in.
 *
 * What a stream owes its engine is kept in the stream (flags, tx_end beyond tx_told, dirty options), so a full command ring
 * loses nothing: the stream stands on the lane's pending list and is settled at the next pump.  The engine's side of an event
 * is checked against ours before it counts; what does not fit is passed over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libshim/shim.h"

enum {
	OWED = F_OWE_CONNECT | F_OWE_ACCEPTED | F_OWE_CREDIT | F_OWE_SHUT | F_OWE_CLOSE,
	TABLE_MIN = 64,
	QUIET = 64, /* pumps without news between two looks at the control socket */
};

static unsigned take_events(struct shim_ctx *c, struct shim_lane *l);
static void take_event(struct shim_ctx *c, struct shim_lane *l, const struct event *e);
static void take_accept(struct shim_ctx *c, struct shim_lane *l, const struct event *e);
static void take_open(struct shim_ctx *c, struct shim_lane *l, const struct event *e);
static void take_state(struct shim_ctx *c, struct shim_lane *l, const struct event *e);
static uint32_t take_flags(struct shim_stream *st, uint16_t flags);
static uint32_t take_received(struct shim_stream *st, const struct event *e);
static void take_acked(struct shim_ctx *c, struct shim_stream *st, const struct event *e);
static struct shim_stream *find(struct shim_lane *l, struct handle h);
static int settle(struct shim_ctx *c, struct shim_stream *st);
static int put_connect(struct shim_ctx *c, struct shim_lane *l, struct shim_stream *st);
static int put_options(struct shim_ctx *c, struct shim_lane *l, struct shim_stream *st);
static int put_send(struct shim_ctx *c, struct shim_lane *l, struct shim_stream *st);
static int put_close(struct shim_ctx *c, struct shim_lane *l, struct shim_stream *st, uint16_t op);
static int put(struct shim_ctx *c, struct shim_lane *l, const struct cmd *cmd);
static void settle_pending(struct shim_ctx *c, struct shim_lane *l);
static struct shim_slot *slot_at(struct shim_table *t, uint32_t index, uint32_t max);

/* --- Both directions -------------------------------------------------------------------------------------------------- */

bool lane_pump(struct shim_ctx *c)
{
	unsigned n = 0;

	if (c->down)
		return false;
	for (uint32_t i = 0; i < c->lanes && !c->down; i++) {
		struct shim_lane *l = &c->lane[i];

		n += take_events(c, l);
		if (l->pending_first != NULL)
			settle_pending(c, l);
		if (l->starved_count > 0)
			ctl_ask_segment(c, l);
		if (l->asked && l->tx.free_count == 0)
			ctl_poll(c);
	}
	if (n > 0) {
		c->quiet = 0;
		c->changed = true;
	} else if (++c->quiet >= QUIET) {
		c->quiet = 0;
		ctl_poll(c);
	}
	return n > 0;
}

void lane_ring(struct shim_ctx *c)
{
	for (uint32_t i = 0; i < c->lanes && !c->down; i++) {
		struct shim_lane *l = &c->lane[i];
		uint32_t done;

		if (!l->has_put)
			continue;
		l->has_put = false;
		if (bell_look(&l->down->engine_asleep) == 0)
			continue;
		/* rung already, and still on its way: it has taken nothing since */
		done = bell_look(&l->down->cmd_done);
		if (l->rung && l->rung_done == done)
			continue;
		l->rung = true;
		l->rung_done = done;
		(void)eventfd_write(l->bell, 1);
	}
}

bool lane_owes(const struct shim_ctx *c)
{
	for (uint32_t i = 0; i < c->lanes; i++) {
		if (c->lane[i].pending_first != NULL)
			return true;
	}
	return false;
}

bool lane_starves(const struct shim_ctx *c)
{
	for (uint32_t i = 0; i < c->lanes; i++) {
		if (c->lane[i].starved_count > 0 && !c->lane[i].asked)
			return true;
	}
	return false;
}

/* --- Events in -------------------------------------------------------------------------------------------------------- */

static unsigned take_events(struct shim_ctx *c, struct shim_lane *l)
{
	struct event e;
	unsigned n = 0;

	while (n < SHIM_BURST && ring_get(&l->events, &e)) {
		take_event(c, l, &e);
		n++;
	}
	if (n > 0)
		ring_done(&l->events);
	return n;
}

static void take_event(struct shim_ctx *c, struct shim_lane *l, const struct event *e)
{
	switch (e->op) {
	case EV_ACCEPT:
		take_accept(c, l, e);
		break;
	case EV_OPEN:
		take_open(c, l, e);
		break;
	case EV_STATE:
		take_state(c, l, e);
		break;
	case EV_INFO:
		if (find(l, e->handle) != NULL)
			info_take(c, e);
		break;
	default: /* of a later stackd that still speaks our ABI */
		break;
	}
}

static void take_accept(struct shim_ctx *c, struct shim_lane *l, const struct event *e)
{
	struct shim_stream *listener = listener_of(c, e->open.cookie), *st;
	struct shim_slot *slot;

	if ((e->handle.index & HANDLE_ACTIVE) != 0)
		return;
	slot = slot_at(&l->passive, e->handle.index, c->welcome.max_sockets);
	if (slot == NULL || (slot->st != NULL && slot->gen == e->handle.gen))
		return;
	if (slot->st != NULL) /* the engine uses the name anew, so it has forgotten the old one */
		stream_over(c, slot->st);
	st = stream_create(c);
	if (st == NULL) { /* nobody will ever hold it */
		struct cmd cmd = { .op = CMD_CLOSE, .handle = e->handle };

		(void)put(c, l, &cmd);
		return;
	}
	st->lane = (uint8_t)(l - c->lane);
	st->handle = e->handle;
	st->s.flags |= F_HANDLE | F_NONBLOCK;
	stream_move(c, st, ST_OPEN);
	st->peer = e->open.peer;
	st->peer_port = e->open.peer_port;
	st->local = e->open.local;
	st->local_port = e->open.local_port;
	st->accept_cookie = e->open.cookie;
	slot->st = st;
	slot->gen = e->handle.gen;
	if (listener == NULL || (listener->opts != NULL && opts_inherit(c, st, listener->opts) != 0)) {
		stream_close(c, st, 0);
		return;
	}
	st->s.flags |= listener->s.flags & F_INET6;
	listener_queue(listener, st);
	ep_notify(c, &listener->s, EPOLLIN | EPOLLRDNORM);
}

static void take_open(struct shim_ctx *c, struct shim_lane *l, const struct event *e)
{
	struct shim_stream *st = find(l, e->handle);

	if (st == NULL || st->s.state != ST_CONNECTING)
		return;
	stream_move(c, st, ST_OPEN);
	st->local = e->open.local;
	st->local_port = e->open.local_port;
	ep_notify(c, &st->s, EPOLLOUT | EPOLLWRNORM);
}

static void take_state(struct shim_ctx *c, struct shim_lane *l, const struct event *e)
{
	struct shim_stream *st = find(l, e->handle);
	uint32_t news = 0;

	if (st == NULL)
		return;
	take_acked(c, st, e);
	if ((st->s.flags & F_ZOMBIE) != 0) {
		if ((e->flags & EVF_CLOSED) != 0 && (st->s.flags & F_OWE_CLOSE) == 0)
			stream_over(c, st);
		return;
	}
	if (st->s.state == ST_DEAD)
		return;
	if (st->s.state == ST_CONNECTING && (e->flags & EVF_CONNECTED) != 0 && (e->flags & EVF_ERROR) == 0) {
		stream_move(c, st, ST_OPEN);
		news = EPOLLOUT | EPOLLWRNORM;
	}
	if (st->s.state == ST_OPEN)
		news |= take_received(st, e);
	st->tx_limit = e->state.tx_limit;
	st->tx_sent = (uint32_t)e->state.tx_sent;
	st->soft_err = (e->flags & EVF_SOFT) != 0 && e->state.err < 4096 ? (uint16_t)e->state.err : 0;
	if (e->state.mss != 0)
		st->mss = (uint16_t)(e->state.mss > UINT16_MAX ? UINT16_MAX : e->state.mss);
	news |= take_flags(st, e->flags) | stream_out_edge(c, st);
	if ((e->flags & EVF_ERROR) != 0)
		stream_fail(c, st, e->state.err != 0 && e->state.err < 4096 ? (int)e->state.err : ECONNRESET);
	else
		ep_notify(c, &st->s, news);
}

static uint32_t take_flags(struct shim_stream *st, uint16_t flags)
{
	uint32_t had = st->s.flags, news = 0;

	st->s.flags |= ((flags & EVF_FIN) ? F_FIN : 0) | ((flags & EVF_URGENT) ? F_URGENT : 0) |
		       ((flags & EVF_CLOSED) ? F_CLOSED : 0);
	had ^= st->s.flags;
	if ((had & F_FIN) != 0)
		news |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLHUP;
	if ((had & F_URGENT) != 0)
		news |= EPOLLPRI;
	if ((had & F_CLOSED) != 0)
		news |= EPOLLHUP | EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM;
	return news;
}

/* New bytes, and where the first of them lies.  Our own chunk may be one that the engine has taken back, since it frees all
 * when everything is consumed; an event older than that names an earlier chunk or the same one. */
static uint32_t take_received(struct shim_stream *st, const struct event *e)
{
	uint32_t no = e->state.rx_chunk_no, want = bytes_number(st->rx_done);
	uint32_t news = e->state.rx_end > st->rx_end ? EPOLLIN | EPOLLRDNORM : 0;

	if (e->state.rx_end < st->rx_end || e->state.rx_end - st->rx_done > UINT32_MAX)
		return 0;
	st->rx_end = e->state.rx_end;
	if (st->rx_end == st->rx_done || e->state.rx_chunk == BYTES_NONE || (int32_t)(no - want) > 0)
		return news;
	if (st->rx_id == BYTES_NONE || (int32_t)(no - st->rx_no) >= 0) {
		st->rx_no = no;
		st->rx_id = e->state.rx_chunk;
	}
	return news;
}

static void take_acked(struct shim_ctx *c, struct shim_stream *st, const struct event *e)
{
	struct shim_lane *l = &c->lane[st->lane];
	uint64_t acked = e->state.tx_acked;

	if (acked < st->tx_acked || acked > st->tx_told)
		return;
	st->tx_acked = acked;
	if (acked == st->tx_end)
		bytes_clear(&st->tx, &l->tx);
	else
		bytes_drop(&st->tx, &l->tx, bytes_number(acked));
	if (l->starved_count > 0)
		lane_feed(c, l);
}

static struct shim_stream *find(struct shim_lane *l, struct handle h)
{
	struct shim_table *t = (h.index & HANDLE_ACTIVE) != 0 ? &l->active : &l->passive;
	uint32_t i = h.index & ~HANDLE_ACTIVE;

	return i < t->cap && t->slot[i].gen == h.gen ? t->slot[i].st : NULL;
}

const uint8_t *lane_chunk(struct shim_ctx *c, struct shim_lane *l, uint32_t id)
{
	const uint8_t *p = bytes_at(&l->rx, id);

	if (p != NULL || id == BYTES_NONE || c->down)
		return p;
	ctl_poll(c); /* the segment was announced before the event that speaks of it */
	return bytes_at(&l->rx, id);
}

/* --- Commands out ----------------------------------------------------------------------------------------------------- */

void lane_settle(struct shim_ctx *c, struct shim_stream *st)
{
	if (settle(c, st) == -ENOBUFS)
		lane_settle_later(c, st);
}

int lane_ask_info(struct shim_ctx *c, struct shim_stream *st, uint32_t token)
{
	struct cmd cmd = { .op = CMD_INFO, .handle = st->handle };
	int err = settle(c, st); /* what it has been told counts */

	cmd.info.token = token;
	return err != 0 ? err : put(c, &c->lane[st->lane], &cmd);
}

void lane_settle_later(struct shim_ctx *c, struct shim_stream *st)
{
	struct shim_lane *l = &c->lane[st->lane];

	if ((st->s.flags & F_LISTED) != 0 || c->down)
		return;
	st->s.flags |= F_LISTED;
	st->next = NULL;
	if (l->pending_last != NULL)
		l->pending_last->next = st;
	else
		l->pending_first = st;
	l->pending_last = st;
}

static void settle_pending(struct shim_ctx *c, struct shim_lane *l)
{
	struct shim_stream *st;
	int err = 0;

	while (err == 0 && (st = l->pending_first) != NULL) {
		if ((st->s.flags & F_GONE) == 0)
			err = settle(c, st);
		if (err == -ENOBUFS)
			return;
		l->pending_first = st->next;
		if (l->pending_first == NULL)
			l->pending_last = NULL;
		st->s.flags &= ~F_LISTED;
		if ((st->s.flags & F_GONE) != 0)
			stream_free(c, st);
	}
}

/* 0, or -ENOBUFS: the ring is full. */
static int settle(struct shim_ctx *c, struct shim_stream *st)
{
	struct shim_lane *l = &c->lane[st->lane];
	int err = 0;

	if (c->down || (st->s.flags & F_HANDLE) == 0)
		return 0;
	if ((st->s.flags & F_OWE_CONNECT) != 0)
		err = put_connect(c, l, st);
	if (err == 0 && (st->s.flags & F_OWE_ACCEPTED) != 0) {
		struct cmd cmd = { .op = CMD_ACCEPTED, .handle = st->handle };

		cmd.accepted.cookie = st->accept_cookie;
		err = put(c, l, &cmd);
		if (err == 0)
			st->s.flags &= ~F_OWE_ACCEPTED;
	}
	if (err == 0 && st->opts != NULL && st->opts->dirty != 0)
		err = put_options(c, l, st);
	if ((st->s.flags & (F_OWE_SHUT | F_OWE_CLOSE)) != 0)
		st->s.flags &= ~F_OWE_CREDIT; /* they carry it */
	while (err == 0 && (st->tx_told < st->tx_end || (st->s.flags & F_OWE_CREDIT) != 0))
		err = put_send(c, l, st);
	if (err == 0 && (st->s.flags & F_OWE_SHUT) != 0) {
		err = put_close(c, l, st, CMD_SHUTDOWN);
		if (err == 0)
			st->s.flags &= ~F_OWE_SHUT;
	}
	if (err == 0 && (st->s.flags & F_OWE_CLOSE) != 0) {
		err = put_close(c, l, st, CMD_CLOSE);
		if (err == 0)
			st->s.flags &= ~F_OWE_CLOSE;
	}
	return err;
}

static int put(struct shim_ctx *c, struct shim_lane *l, const struct cmd *cmd)
{
	int err = ring_put(&l->cmds, cmd, sizeof(*cmd));

	if (err == 0)
		l->has_put = true;
	else if (err == -EPROTO)
		ctl_lost(c, "stackd claims to have read commands that were never put");
	return err;
}

static int put_connect(struct shim_ctx *c, struct shim_lane *l, struct shim_stream *st)
{
	struct cmd cmd = { .op = CMD_CONNECT, .handle = st->handle };
	int err;

	cmd.connect.dst = st->peer;
	cmd.connect.dport = st->peer_port;
	cmd.connect.src = st->local;
	cmd.connect.sport = st->local_port;
	if (addr_is_any(&st->local))
		memset(&cmd.connect.src, 0, sizeof(cmd.connect.src));
	err = put(c, l, &cmd);
	if (err == 0)
		st->s.flags &= ~F_OWE_CONNECT;
	return err;
}

static int put_options(struct shim_ctx *c, struct shim_lane *l, struct shim_stream *st)
{
	int err = 0;

	while (err == 0 && st->opts->dirty != 0) {
		unsigned o = (unsigned)__builtin_ctz(st->opts->dirty);
		struct cmd cmd = { .op = CMD_SETOPT, .handle = st->handle };

		cmd.opt.name = o;
		cmd.opt.value = st->opts->value[o];
		err = put(c, l, &cmd);
		if (err == 0)
			st->opts->dirty &= st->opts->dirty - 1;
	}
	return err;
}

/* The next bytes to send, at most as many as CMD_SEND_CHUNKS chunks hold, with the read credit; or the credit alone. */
static int put_send(struct shim_ctx *c, struct shim_lane *l, struct shim_stream *st)
{
	struct cmd cmd = { .op = st->tx_told < st->tx_end ? CMD_SEND : CMD_CREDIT, .handle = st->handle };
	uint32_t first = bytes_number(st->tx_told);
	uint64_t end = (st->tx_told / BYTES_CHUNK + CMD_SEND_CHUNKS) * BYTES_CHUNK;
	int err;

	if (end > st->tx_end)
		end = st->tx_end;
	cmd.send.rx_done = st->rx_done;
	cmd.send.tx_end = end;
	for (uint32_t i = 0; i < CMD_SEND_CHUNKS; i++) {
		uint32_t id = end > st->tx_told && i <= bytes_number(end - 1) - first ? bytes_get(&st->tx, first + i) : BYTES_NONE;

		memcpy((char *)&cmd.send.chunk + i * sizeof(id), &id, sizeof(id));
	}
	err = put(c, l, &cmd);
	if (err != 0)
		return err;
	st->tx_told = end;
	st->rx_told = st->rx_done;
	st->s.flags &= ~F_OWE_CREDIT;
	return 0;
}

static int put_close(struct shim_ctx *c, struct shim_lane *l, struct shim_stream *st, uint16_t op)
{
	struct cmd cmd = { .op = op, .handle = st->handle };

	cmd.close.rx_done = st->rx_done;
	cmd.close.tx_end = st->tx_told;
	cmd.close.linger_s = st->err; /* stream_close put it there */
	cmd.close.how = st->how;
	st->rx_told = st->rx_done;
	return put(c, l, &cmd);
}

/* --- Chunks for sending -------------------------------------------------------------------------------------------------- */

void lane_starve(struct shim_ctx *c, struct shim_stream *st)
{
	struct shim_lane *l = &c->lane[st->lane];

	ctl_ask_segment(c, l);
	if ((st->s.flags & F_STARVED) != 0)
		return;
	if (l->starved_count == l->starved_cap) {
		uint32_t cap = l->starved_cap == 0 ? 16 : l->starved_cap * 2;
		uint32_t *p = realloc(l->starved, cap * sizeof(*p));

		if (p == NULL)
			return; /* it still has F_WANT_OUT: its next acknowledgement tells it */
		l->starved = p;
		l->starved_cap = cap;
	}
	st->s.flags |= F_STARVED;
	l->starved[l->starved_count++] = (uint32_t)st->s.fd;
}

/* Tell as many as there are chunks. */
void lane_feed(struct shim_ctx *c, struct shim_lane *l)
{
	uint32_t n = l->starved_count < l->tx.free_count ? l->starved_count : l->tx.free_count;

	if (n == 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct shim_sock *s = fds_get(c, (int)l->starved[i]);

		if (s == NULL || s->kind != KIND_STREAM || (s->flags & F_STARVED) == 0)
			continue;
		s->flags &= ~F_STARVED;
		ep_notify(c, s, stream_out_edge(c, stream_of(s)));
	}
	l->starved_count -= n;
	memmove(l->starved, l->starved + n, l->starved_count * sizeof(*l->starved));
}

/* --- Names ----------------------------------------------------------------------------------------------------------------- */

static struct shim_slot *slot_at(struct shim_table *t, uint32_t index, uint32_t max)
{
	uint32_t cap = t->cap > 0 ? t->cap : TABLE_MIN;
	struct shim_slot *p;

	if (index >= max)
		return NULL;
	if (index < t->cap)
		return &t->slot[index];
	while (cap <= index)
		cap *= 2;
	p = realloc(t->slot, cap * sizeof(*p));
	if (p == NULL)
		return NULL;
	memset(p + t->cap, 0, (cap - t->cap) * sizeof(*p));
	t->slot = p;
	t->cap = cap;
	return &p[index];
}

int lane_name(struct shim_ctx *c, struct shim_stream *st, uint32_t lane)
{
	struct shim_table *t = &c->lane[lane].active;
	uint32_t i = t->free_first;
	struct shim_slot *slot;

	if (t->free_count < SHIM_NAMES_REST && t->used < c->welcome.max_sockets)
		i = UINT32_MAX;
	if (i == UINT32_MAX && t->used >= c->welcome.max_sockets)
		return -ENFILE;
	slot = slot_at(t, i != UINT32_MAX ? i : t->used, c->welcome.max_sockets);
	if (slot == NULL)
		return -ENOMEM;
	if (i != UINT32_MAX) {
		t->free_count--;
		t->free_first = slot->next;
		if (t->free_first == UINT32_MAX)
			t->free_last = UINT32_MAX;
	} else {
		i = t->used++;
	}
	slot->st = st;
	slot->gen++;
	st->lane = (uint8_t)lane;
	st->handle = (struct handle){ i | HANDLE_ACTIVE, slot->gen };
	st->s.flags |= F_HANDLE;
	return 0;
}

void lane_unname(struct shim_ctx *c, struct shim_stream *st)
{
	bool active = (st->handle.index & HANDLE_ACTIVE) != 0;
	uint32_t i = st->handle.index & ~HANDLE_ACTIVE;
	struct shim_table *t;

	if ((st->s.flags & F_HANDLE) == 0)
		return;
	st->s.flags &= ~F_HANDLE;
	t = active ? &c->lane[st->lane].active : &c->lane[st->lane].passive;
	if (i >= t->cap || t->slot[i].st != st)
		return;
	t->slot[i].st = NULL;
	if (!active)
		return;
	/* a queue, not a stack: a name rests as long as it can before it is used again */
	t->slot[i].next = UINT32_MAX;
	if (t->free_last != UINT32_MAX)
		t->slot[t->free_last].next = i;
	else
		t->free_first = i;
	t->free_last = i;
	t->free_count++;
}

/* --- Their life ------------------------------------------------------------------------------------------------------------ */

int lane_create(struct shim_ctx *c)
{
	c->lane = calloc(c->lanes, sizeof(*c->lane));
	if (c->lane == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->lanes; i++)
		c->lane[i].bell = -1;
	for (uint32_t i = 0; i < c->lanes; i++) {
		struct shim_lane *l = &c->lane[i];

		l->active.free_first = l->active.free_last = UINT32_MAX;
		if (bytes_pool_init(&l->tx) != 0)
			return -ENOMEM;
	}
	return 0;
}

static void unmap(struct bytes_map *m)
{
	for (uint32_t i = 0; i < BYTES_SEGS_MAX; i++) {
		if (m->base[i] != NULL)
			munmap(m->base[i], BYTES_SEG_SIZE);
	}
}

static void free_zombies(struct shim_table *t)
{
	for (uint32_t i = 0; i < t->cap; i++) {
		if (t->slot[i].st != NULL) {
			free(t->slot[i].st->opts);
			bytes_clear(&t->slot[i].st->tx, NULL);
			free(t->slot[i].st);
		}
	}
	free(t->slot);
}

void lane_destroy(struct shim_ctx *c)
{
	for (uint32_t i = 0; i < c->lanes && c->lane != NULL; i++) {
		struct shim_lane *l = &c->lane[i];

		for (struct shim_stream *st = l->pending_first, *next; st != NULL; st = next) {
			next = st->next;
			if ((st->s.flags & F_GONE) != 0)
				free(st); /* the others have a name */
		}
		free_zombies(&l->passive);
		free_zombies(&l->active);
		free(l->starved);
		unmap(&l->rx);
		unmap(&l->tx.map);
		bytes_pool_fini(&l->tx);
		region_destroy(&l->down_mem);
		region_destroy(&l->up_mem);
		if (l->bell >= 0)
			close(l->bell);
	}
	free(c->lane);
	c->lane = NULL;
	c->lanes = 0;
}
