/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What an engine receives: from its ports, and from other engines, to whom it hands on what is theirs.
 */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "stackd/core_priv.h"

/* --- Steering -------------------------------------------------------------------------------------------------------------- */

static void feed(struct core *core, struct pkt **pkts, unsigned n);

static void peer_wake(struct core *peer)
{
	uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst); /* pairs with the one in core_sleep */
	if (atomic_load_explicit(&peer->asleep, memory_order_relaxed) &&
	    write(peer->inbox.bell_fd, &one, sizeof(one)) < 0)
		return; /* rings already */
}

static void steer_one(struct core *core, unsigned to, struct pkt *p)
{
	if (steer_put(core->steer, core->index, to, &p, 1) == 1) {
		COUNT(core->stats, CORE_STEERED);
		peer_wake(core->conf.peers[to]);
	} else {
		COUNT(core->stats, CORE_STEER_DROP);
		nic_free(p);
	}
}

static void steer_copies(struct core *core, const struct pkt *p)
{
	for (unsigned e = 0; e < core->engines; e++) {
		struct pkt *copy = e == core->index ? NULL : nic_alloc(p->nic);

		if (copy == NULL || copy->room < p->len) {
			if (copy != NULL)
				nic_free(copy);
			continue;
		}
		memcpy(copy->data, p->data, p->len);
		copy->len = p->len;
		copy->port = p->port;
		steer_one(core, e, copy);
	}
}

/* A fragment of others' has no ports, or only the first has.  Where all of them come to one engine, that one joins them, and hands on
 * the whole; a fragment is looked at in its turn, so that the whole has its place among the frames of its flow. */
static bool joins_here(const struct core *core, const struct pkt *p)
{
	return core->passing[p->port] && core->nic[p->port]->rx_queues == 1 && net_is_fragment(p);
}

/* Keep what belongs here, hand on the rest. */
static unsigned steer_out(struct core *core, struct pkt **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		bool all = false, passing = core->passing[pkts[i]->port];
		struct pkt *p = pkts[i];
		uint32_t hash;
		unsigned to;

		if (joins_here(core, p)) {
			feed(core, pkts, kept);
			feed(core, &p, 1);
			kept = 0;
			continue;
		}
		hash = net_steer_hash(core->net, p, &all);
		to = all ? core->index : core->conf.reta[hash % SHM_RETA_SIZE];
		if (all && !passing)
			steer_copies(core, pkts[i]);
		if (to == core->index)
			pkts[kept++] = pkts[i];
		else
			steer_one(core, to, pkts[i]);
	}
	return kept;
}

/* A datagram put together from fragments may belong elsewhere, since fragments are steered by address alone. */
static unsigned steer_again(struct core *core, struct pkt **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned to = core->conf.reta[pkts[i]->hash % SHM_RETA_SIZE];

		if (to == core->index)
			pkts[kept++] = pkts[i];
		else
			steer_one(core, to, pkts[i]);
	}
	return kept;
}

bool core_joined(void *arg, struct pkt *whole)
{
	struct core *core = arg;
	bool all;
	unsigned to = core->conf.reta[net_steer_hash(core->net, whole, &all) % SHM_RETA_SIZE];

	if (to == core->index)
		return false;
	steer_one(core, to, whole);
	return true;
}

/* --- Frames upwards ---------------------------------------------------------------------------------------------------------- */

/* Frames that only pass go to the monitor; returns how many are left. */
static unsigned feed_passing(struct core *core, struct pkt **pkts, unsigned n)
{
	struct pkt *passing[NET_BURST];
	unsigned passes = 0, kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (core->passing[pkts[i]->port])
			passing[passes++] = pkts[i];
		else
			pkts[kept++] = pkts[i];
	}
	if (passes > 0) {
		net_pass(core->net, passing, passes);
		mon_in(core->mon, passing, passes, core->now_us);
	}
	return kept;
}

static void feed(struct core *core, struct pkt **pkts, unsigned n)
{
	n = feed_passing(core, pkts, n);
	n = net_in(core->net, pkts, n, core->now_us);
	if (core->steer != NULL)
		n = steer_again(core, pkts, n);
	for (unsigned i = 0; i < n && mon_wanted(core->mon); i++)
		mon_watch(core->mon, pkts[i], core->now_us);
	tcp_flow_lookup(core->tcp, pkts, n);
	tcp_in(core->tcp, pkts, n, core->now_us);
}

/* --- Receiving --------------------------------------------------------------------------------------------------------------- */

/* How many frames of captures this engine may take now: lossless monitors shall follow. */
static uint16_t replay_room(struct core *core)
{
	unsigned n = mon_can_take(core->mon);

	return (uint16_t)(n < NET_BURST ? n : NET_BURST);
}

/* Captures are read by the first engine.  Others leave what they cannot take yet in their rings, so these hold it up, too. */
static bool replay_may_go_on(struct core *core)
{
	const struct conf *conf = core->conf.conf;

	for (unsigned e = 1; e < core->engines; e++) {
		if (steer_room(core->steer, core->index, e) < 2 * NET_BURST)
			return false;
	}
	for (unsigned i = 0; i < conf->ports && !core->replaying; i++) {
		if (conf->port[i].mode == CONF_REPLAY && conf->port[i].replay_wait > mon_socks_ready(core->mon, core->now_us))
			return false;
	}
	core->replaying = true;
	return true;
}

void core_replay_look(struct core *core)
{
	struct mail m = { .kind = MAIL_REPLAYED, .engine = core->index };

	if (!core->replays || core->replayed)
		return;
	for (unsigned i = 0; i < core->nics; i++) {
		if (core->conf.conf->port[i].mode == CONF_REPLAY && !nic_pcap_ended(core->nic[i]))
			return;
	}
	if (core->steer != NULL && !steer_taken(core->steer, core->index))
		return;
	core->replayed = mail_send(core->conf.to_control, &m) == 0;
}

/* How many frames may come by a port now. */
static uint16_t port_room(struct core *core, unsigned port)
{
	if (core->index >= core->nic[port]->rx_queues)
		return 0;
	if (core->conf.conf->port[port].mode != CONF_REPLAY)
		return NET_BURST;
	return !core->replayed && replay_may_go_on(core) ? replay_room(core) : 0;
}

uint16_t core_steer_may(struct core *core)
{
	return core->only_replays ? replay_room(core) : NET_BURST;
}

static unsigned receive_steered(struct core *core, unsigned most)
{
	struct pkt *pkts[NET_BURST];
	unsigned n = steer_get(core->steer, core->index, pkts, most < NET_BURST ? most : NET_BURST);

	for (unsigned k = 0; k < n; k++)
		pkts[k]->flags |= PKT_STEERED;
	feed(core, pkts, n);
	return n;
}

/* What a frame answers may have been handed on to us by another engine, which sent it out after that: so what has been handed on by now
 * goes first. */
static unsigned receive_asked(struct core *core)
{
	unsigned left = steer_count(core->steer, core->index), n = 1, work = 0;

	for (; left > 0 && n > 0; left -= n, work += n)
		n = receive_steered(core, left);
	return work;
}

static unsigned receive_port(struct core *core, unsigned port)
{
	struct pkt *pkts[NET_BURST];
	uint16_t room = port_room(core, port);
	unsigned n, work;

	if (room == 0)
		return 0;
	work = n = nic_rx(core->nic[port], core->index, pkts, room, core->now_us);
	for (unsigned k = 0; k < n; k++) {
		COUNT_ADD(core->stats, NIC_RX_BYTES, pkts[k]->len);
		pkts[k]->port = (uint8_t)port;
	}
	COUNT_ADD(core->stats, NIC_RX, n);
	if (n > 0 && core->steer != NULL && !core->only_replays)
		work += receive_asked(core);
	if (core->steer != NULL)
		n = steer_out(core, pkts, n);
	feed(core, pkts, n);
	return work;
}

unsigned core_receive(struct core *core)
{
	unsigned work = 0;

	for (unsigned i = 0; i < core->nics; i++)
		work += receive_port(core, i);
	return core->steer == NULL ? work : work + receive_steered(core, core_steer_may(core));
}
