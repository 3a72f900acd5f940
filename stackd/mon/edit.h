/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Changing packets: the edit scripts of inline monitors, and what follows from them.  A script that removes or inserts payload moves
 * all later sequence numbers of that direction; a map remembers the moves, so that both ends stay in agreement for the rest
 * of the flow, and remembers the inserted bytes until they are acknowledged, so that a retransmission gets the same edit.
 *
 * Each inline monitor has a map of its own per hook and direction, kept in the order of registration, so that a packet passes them
 * as it passes the monitors, also after a monitor has gone.  A packet from `snd`:
 *   arrives:            its ACK goes back through all HK_RCV maps of the other direction        (mon_edit_in)
 *   at HK_SND, HK_RCV:  after each monitor, its edits and its map                               (mon_edit_pass)
 *   between the hooks:  its ACK goes back through all HK_SND maps of the other direction        (mon_edit_middle)
 * So each half sees the numbers that its host uses, less what HK_RCV changes, which only the host sees.
 *
 * One engine's thread.
 */
#ifndef STACKD_MON_EDIT_H
#define STACKD_MON_EDIT_H

#include "stackd/mon/flow.h"

enum { MON_LAYER_SND, MON_LAYER_RCV, MON_LAYERS };

/* Apply a script (shm/mon.h) of the monitor registered as number `reg` to a frame of `flow` sent by `side` (flow NULL: a packet
 * without one; then CHOMP and INSERT of payload change this packet alone).  script has been copied out of the client's memory.
 * Changes p, keeps s in step with it.  Lengths and checksums are made right where a CHOMP or INSERT, or the csum bits, ask for it.
 * Payload edits of a flow are noted in the monitor's map, which mon_edit_pass() carries out.  0; -EINVAL: it does not fit the packet
 * (nothing has been changed); -EMSGSIZE: the frame would exceed its buffer or 65,535 bytes of IP; -ENOMEM. */
int mon_edit_script(struct mon_flow *flow, unsigned side, unsigned layer, uint32_t reg, struct pkt *p, struct mon_seg *s,
		    const uint8_t *script, uint32_t len, uint32_t count);

/* The maps of this layer and direction with numbers in (from, to] (for MON_SVR as sender: in [to, from), downwards) are applied to a
 * packet: remembered edits to its payload, its sequence number moved.  It may become another, larger one (mon_pkt_grow).  True: it had
 * text, and all of that has been removed; it goes on as an acknowledgement, which draws none.  Call these only where flow->xlate is not NULL. */
bool mon_edit_pass(struct mon_flow *flow, unsigned side, unsigned layer, uint32_t from, uint32_t to, struct pkt **p,
		   struct mon_seg *s);
void mon_edit_in(struct mon_flow *flow, unsigned side, struct pkt *p, struct mon_seg *s);
void mon_edit_middle(struct mon_flow *flow, unsigned side, struct pkt *p, struct mon_seg *s);

/* What an acknowledgement that `side` has sent, as it came, is now for the other end: what has been removed is acknowledged with what was
 * before it. */
uint32_t mon_edit_acked(struct mon_flow *flow, unsigned side, uint32_t ack);

/* Are there maps of HK_RCV?  (Then a packet's ACK is not yet, before mon_edit_in(), what its half will see.) */
bool mon_edit_at_rcv(const struct mon_flow *flow);

void mon_edit_free(struct mon_flow *flow);

/* In its place one of our own, in plain memory, with room for so many bytes; false: there is none.  Such a one can leave only as copies
 * (mon_send). */
bool mon_pkt_grow(struct pkt **p, uint32_t room);

/* Set checksums of an IPv4 or IPv6 frame that carries TCP or UDP (0 in UDP stays 0 over IPv4). */
void mon_edit_csum(struct pkt *p, const struct mon_seg *s, bool ip, bool l4);
/* IP (and UDP) length fields and all checksums for p->len. */
void mon_edit_lengths(struct pkt *p, struct mon_seg *s);

#endif
