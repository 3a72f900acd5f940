/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Changing packets: the edit scripts of inline monitors, and what follows from them.  A script that removes or inserts payload moves
 * all later sequence numbers of that direction; a map remembers the moves, so that both ends stay in agreement for the rest
 * of the flow, and remembers the inserted bytes until they are acknowledged, so that a retransmission gets the same edit.
 *
 * A flow has two layers of maps: one for edits made at HK_SND, one for those at HK_RCV.  A packet from `snd` goes
 *   in:      its ACK is taken back through the outer map of the other direction       (mon_edit_in)
 *   middle:  after HK_SND: edits of the inner map, ACK back through the inner one     (mon_edit_middle)
 *   out:     after HK_RCV: edits of the outer map                                     (mon_edit_out)
 * So each half sees the numbers that its host uses, less what HK_RCV changes, which only the host sees.
 *
 * One engine's thread.
 */
#ifndef STACKD_MON_EDIT_H
#define STACKD_MON_EDIT_H

#include "stackd/mon/flow.h"

enum { MON_LAYER_SND, MON_LAYER_RCV, MON_LAYERS };

/* Apply a script (shm/mon.h) to a frame of `flow` sent by `side` (flow NULL: a packet without one; then CHOMP and INSERT of payload
 * change this packet alone).  script has been copied out of the client's memory.  Changes p, keeps s in step with it.  Lengths and
 * checksums are made right where a CHOMP or INSERT, or the csum bits, ask for it.  0; -EINVAL: it does not fit the packet (nothing has
 * been changed); -EMSGSIZE: the frame would exceed its buffer or 65,535 bytes of IP; -ENOMEM. */
int mon_edit_script(struct mon_flow *flow, unsigned side, unsigned layer, struct pkt *p, struct mon_seg *s,
		    const uint8_t *script, uint32_t len, uint32_t count);

/* Translation on the way; quick when flow->xlate is NULL. */
void mon_edit_in(struct mon_flow *flow, unsigned side, struct pkt *p, struct mon_seg *s);
void mon_edit_middle(struct mon_flow *flow, unsigned side, struct pkt *p, struct mon_seg *s);
void mon_edit_out(struct mon_flow *flow, unsigned side, struct pkt *p, struct mon_seg *s);

void mon_edit_free(struct mon_flow *flow);

/* Set checksums of an IPv4 or IPv6 frame that carries TCP or UDP (0 in UDP stays 0 over IPv4). */
void mon_edit_csum(struct pkt *p, const struct mon_seg *s, bool ip, bool l4);

#endif
