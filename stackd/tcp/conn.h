/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One TCP connection.  tcp/ alone writes it (except where a field says otherwise); app/, mon/ and statistics read.
 */
#ifndef STACKD_TCP_CONN_H
#define STACKD_TCP_CONN_H

#include "stackd/tcp/tcp.h"

struct tcp_conn {
	/* identity */
	struct ipaddr local, peer;
	uint16_t lport, pport;
	uint32_t hash;   /* net_tuple_hash */
	uint8_t state;   /* enum tcp_state; changed by tcp_set_state() alone */
	uint8_t note;    /* enum tcp_note */
	uint32_t slot;   /* this connection's number in the engine, dense: names its statistics record */
	uint64_t born_us;

	/* the owner's */
	struct tcp_owner *owner;   /* NULL: none yet (SYN-RECEIVED) or no more */
	struct listener *listener; /* passive opens, until accepted or the listener is gone */
	void *user;                /* written by the owner: its own record */
	struct tcp_conn *owner_next, **owner_prev; /* list of the owner's connections, kept by tcp/ */
};

#endif
