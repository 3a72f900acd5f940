/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of tcp/ share and nobody else sees.
 *
 *   tcp.c     creation, lookup, marks, settle
 *   conn.c    a connection's life: made, moved from state to state, ended, let go
 *   calls.c   the owner's calls
 *   in.c      segments to connections; ack.c what an acknowledgement changes; text.c payload and FIN
 *   option.c  options of connections and listeners
 *   open.c    LISTEN, SYN-SENT, SYN-RECEIVED; cookie.c SYN cookies; port.c source ports
 *   out.c     marked connections into segments; reply.c segments without a connection
 *   timer.c   what is due
 *   window.c  sizes of the receive and send buffers
 *   flight.c  what is in flight; sack.c what is told of it selectively, both ways
 *   ecn.c     explicit congestion notification
 *   recover.c losses; rack.c finds them, prr.c paces their repair, undo.c takes it back
 *   path.c    the path's MTU; dest.c remembers it; icmp.c errors from the path
 */
#ifndef STACKD_TCP_PRIV_H
#define STACKD_TCP_PRIV_H

#include <sys/queue.h>

#include "stackd/tcp/conn.h"
#include "stackd/tcp/dest.h"
#include "stackd/tcp/flow.h"
#include "stackd/tcp/secret.h"
#include "stackd/tcp/seg.h"

enum {
	REPLIES_MAX = 256,     /* segments without a connection that wait for tcp_settle() */
	EXPIRE_BUDGET = 4096,  /* timers a call */
	SEND_BURST = 64,       /* segments of one connection a turn */
	OOO_RANGES = 256,      /* out-of-order ranges of one connection */
	SACK_RANGES = 256,     /* of the scoreboard */
	FLIGHT_MIN = 4096,     /* segments in flight of one connection: so many, */
	FLIGHT_SHARE = 512,    /* and one for each so many bytes of sndbuf_max */
	PORT_COUNTERS = 256,   /* RFC 6056, 3.3.4 */
	EVICT_SLACK = 256,     /* slots kept for connections that replace a TIME-WAIT one */
	MTU_MIN = 296,         /* no ICMP message makes it smaller */
	MSS_MIN = 48,          /* no peer makes it smaller: a frame for each few bytes would cost us far more than the peer */
	CHALLENGES = 10,       /* challenge ACKs of one connection in CHALLENGE_MS (RFC 5961, section 10) */
	CHALLENGE_MS = 5000,
	RTO_AFTER_SYN_US = 3000000, /* RFC 6298, 5.7 */
	RCV_MSS_FIRST = 536,   /* the peer's segments until they come */
	CORK_US = 200000,      /* a corked small segment waits so long at most */
};

TAILQ_HEAD(conn_list, tcp_conn);

struct tcp {
	struct tcp_conf conf;
	struct net *net;
	struct stats *stats;
	struct listen_table *listeners;
	unsigned engine;
	struct tcp_hooks hooks;
	uint64_t now_us; /* of the last call that was told */
	struct secret secret;
	struct chains flows;
	struct conn_pool pool;
	struct dest_table dests;
	struct wheel wheel;
	struct conn_list marked; /* for tcp_settle() */
	unsigned marks;          /* connections on it */
	struct conn_list young;  /* SYN-RECEIVED, or not taken by a listener's owner yet */
	struct conn_list waits;  /* TIME-WAIT, oldest first */
	uint64_t cookie_us;      /* when a cookie was sent last; 0: never */
	uint32_t challenges;     /* challenge ACKs that may still be sent in second challenge_s */
	uint64_t challenge_s;
	uint32_t orphans;        /* connections with CONN_ORPHAN */
	uint32_t reset_slot;     /* where tcp_reset_all() goes on */
	uint32_t port_counter[PORT_COUNTERS];
	unsigned replies;
	struct seg_out reply[REPLIES_MAX];
};

/* A segment on its way through in.c, in the form in which it is judged.  Trimming moves its ends. */
struct seg_in {
	uint32_t seq, ack;
	uint32_t wnd; /* scaled */
	uint8_t flags;
	bool cut; /* some of it lay outside the window: acknowledge at once */
	uint32_t old; /* bytes cut off in front */
	const uint8_t *text;
	uint32_t len;
	struct seg_opts opts;
	const struct pkt *pkt;
};

static inline uint32_t tcp_clock_ms(const struct tcp *tcp)
{
	return (uint32_t)(tcp->now_us / 1000);
}

/* The sequence number after the last byte that the owner has queued: the FIN's, when one is queued. */
static inline uint32_t conn_data_end(const struct tcp_conn *c)
{
	return c->iss + 1 + (uint32_t)c->tx_end;
}

/* The stream offset of a sequence number in [snd_una, snd_max]. */
static inline uint64_t conn_tx_off(const struct tcp_conn *c, uint32_t seq)
{
	return c->tx_acked + (uint32_t)(seq - (c->iss + 1 + (uint32_t)c->tx_acked));
}

/* Bytes that the owner has queued and that were never sent. */
static inline uint32_t conn_unsent(const struct tcp_conn *c)
{
	uint32_t unsent = conn_data_end(c) - c->snd_nxt, queued = (uint32_t)(c->tx_end - c->tx_acked);

	return (int32_t)unsent < 0 ? 0 : unsent < queued ? unsent : queued; /* the FIN may be out, or the SYN not yet */
}

/* The stream offset of a received sequence number near rcv_nxt. */
static inline uint64_t conn_rx_off(const struct tcp_conn *c, uint32_t seq)
{
	return c->rx_end + (uint64_t)(int64_t)(int32_t)(seq - (c->irs + 1 + (uint32_t)c->rx_end));
}

/* Is it an acknowledgement of what we may have sent?  RFC 5961 5.2. */
static inline bool ack_in_range(const struct tcp_conn *c, uint32_t ack)
{
	return seq_le(ack, c->snd_max) && seq_ge(ack, c->snd_una - c->snd_wnd_max);
}

static inline bool conn_synchronized(const struct tcp_conn *c)
{
	return c->state >= TCP_ESTABLISHED;
}

/* When a passive open waits for data no longer. */
static inline uint64_t conn_defer_us(const struct tcp_conn *c)
{
	return c->born_us + c->defer_s * UINT64_C(1000000);
}

/* May new payload still be accepted?  RFC 9293 3.10.7.4, seventh. */
static inline bool conn_takes_text(const struct tcp_conn *c)
{
	return c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_1 || c->state == TCP_FIN_WAIT_2;
}

static inline bool conn_sends_text(const struct tcp_conn *c)
{
	return c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT || c->state == TCP_FIN_WAIT_1 ||
	       c->state == TCP_CLOSING || c->state == TCP_LAST_ACK;
}

/* conn.c */
struct tcp_conn *conn_new(struct tcp *tcp, const struct tuple *t, struct tcp_owner *owner); /* NULL: full (counted) */
bool conn_evict(struct tcp *tcp); /* make room: ends the oldest TIME-WAIT */
void tcp_set_state(struct tcp *tcp, struct tcp_conn *c, enum tcp_state to);
void conn_established(struct tcp *tcp, struct tcp_conn *c); /* the handshake is complete */
void conn_end(struct tcp *tcp, struct tcp_conn *c, int err);   /* to CLOSED; sends nothing */
void conn_reset(struct tcp *tcp, struct tcp_conn *c, int err); /* the same, with RST where the RFC wants one */
void conn_let_go(struct tcp *tcp, struct tcp_conn *c);         /* forget the owner */
void conn_disown(struct tcp *tcp, struct tcp_conn *c);         /* the same without telling it */
void conn_release_tx(struct tcp *tcp, struct tcp_conn *c);     /* after acknowledgements: give chunks back, perhaps the owner */
void conn_hold(struct tcp *tcp, struct tcp_conn *c, bool held); /* to one or the other list of the owner */
void conn_not_young(struct tcp *tcp, struct tcp_conn *c);
bool conn_free_if_done(struct tcp *tcp, struct tcp_conn *c);
void conn_tuple(const struct tcp_conn *c, struct tuple *t);
void conn_set_mss(struct tcp_conn *c);
uint16_t conn_mss_of(const struct tcp_conn *c, uint16_t mtu);
uint16_t conn_overhead(const struct tcp_conn *c);
void conn_soft_error(struct tcp *tcp, struct tcp_conn *c, int err);
void conn_queue_fin(struct tcp *tcp, struct tcp_conn *c);

/* tcp.c */
void conn_mark(struct tcp *tcp, struct tcp_conn *c, unsigned todo);
struct tcp_conn *tcp_find(struct tcp *tcp, const struct tuple *t);

/* timer.c */
void timer_set(struct tcp *tcp, struct tcp_conn *c, enum conn_timer kind, uint64_t at_us);
void timer_clear(struct tcp_conn *c, enum conn_timer kind);
void timer_fire(void *tcp, struct timer *t);
void timer_rexmit(struct tcp *tcp, struct tcp_conn *c); /* (re)start for what is in flight */
void timer_keepalive(struct tcp *tcp, struct tcp_conn *c);
void timer_time_wait(struct tcp *tcp, struct tcp_conn *c);
void timer_fin_wait_2(struct tcp *tcp, struct tcp_conn *c);

/* open.c */
void open_listen(struct tcp *tcp, const struct seg_in *s);
void open_syn_sent(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s);
bool open_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s); /* SYN-RECEIVED: true: now ESTABLISHED */
void open_passive(struct tcp *tcp, struct listener *l, const struct seg_in *s, const struct tuple *t, uint32_t iss_min);
void open_take_options(struct tcp *tcp, struct tcp_conn *c, const struct seg_opts *o);
void open_syn_options(struct tcp *tcp, const struct tcp_conn *c, struct seg_opts *o);
struct listener *open_listener(struct tcp *tcp, const struct tuple *t);

/* cookie.c */
void cookie_send(struct tcp *tcp, const struct seg_in *s, const struct tuple *t, const struct listener *l);
bool cookie_recent(const struct tcp *tcp);
struct tcp_conn *cookie_take(struct tcp *tcp, const struct seg_in *s, const struct tuple *t, struct listener *l);

/* port.c */
uint16_t port_choose(struct tcp *tcp, const struct tuple *t, struct tcp_conn **old); /* 0: none free */
bool port_reusable(const struct tcp *tcp, const struct tcp_conn *old);

/* in.c */
void in_segment(struct tcp *tcp, struct tcp_conn *c, struct seg_in *s); /* SYN-RECEIVED and later */
void in_challenge(struct tcp *tcp, struct tcp_conn *c);

/* ack.c */
bool ack_take(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s); /* false: drop the segment */
void ack_rtt(struct tcp *tcp, struct tcp_conn *c, uint32_t rtt_us);
void ack_rto(struct tcp *tcp, struct tcp_conn *c);
uint32_t ack_rto_of(const struct tcp *tcp, const struct tcp_conn *c); /* without back-off */

/* text.c */
void text_take(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
void text_quick_acks(struct tcp *tcp, struct tcp_conn *c); /* the next ones are not delayed */

/* recover.c */
void recover_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, const struct flight_news *n); /* c->flight is there */
void recover_idle(struct tcp *tcp, struct tcp_conn *c);
void recover_reordered(struct tcp *tcp, struct tcp_conn *c);
void recover_reduce(struct tcp *tcp, struct tcp_conn *c);
void recover_timeout(struct tcp *tcp, struct tcp_conn *c);
int recover_cut(struct tcp *tcp, struct tcp_conn *c); /* to the new c->mss; 0 or -ENOMEM */
void recover_limited(struct tcp_conn *c);

/* rack.c */
void rack_min_rtt(struct tcp *tcp, struct tcp_conn *c, uint32_t rtt_us); /* 0: no sample */
bool rack_take(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n); /* true: more is lost */
bool rack_detect(struct tcp *tcp, struct tcp_conn *c);
void rack_timeout(struct tcp *tcp, struct tcp_conn *c);
void rack_recovered(struct tcp_conn *c);
void rack_arm(struct tcp *tcp, struct tcp_conn *c);
void rack_due(struct tcp *tcp, struct tcp_conn *c);
void tlp_sent(struct tcp *tcp, struct tcp_conn *c, bool again);
void tlp_take(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, const struct flight_news *n);

/* prr.c */
void prr_begin(struct tcp_conn *c);
void prr_ack(struct tcp_conn *c, uint32_t delivered, bool careful); /* sets cwnd */

/* undo.c */
void undo_begin(struct tcp_conn *c);
void undo_sent(struct tcp *tcp, struct tcp_conn *c); /* something was sent again */
void undo_end(struct tcp *tcp, struct tcp_conn *c);
void undo_take(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n);
void undo_frto(struct tcp *tcp, struct tcp_conn *c, const struct flight_news *n);

/* ecn.c */
uint8_t ecn_syn_flags(const struct tcp *tcp, struct tcp_conn *c, bool first);
bool ecn_asks(const struct seg_in *s);
void ecn_take_syn(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s); /* SYN or SYN-ACK */
void ecn_take_text(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s);
void ecn_take_ack(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s); /* after what it acknowledges */
void ecn_reduced(struct tcp_conn *c);
void ecn_mark(struct tcp_conn *c, bool fresh, uint8_t *flags, uint8_t *tos);

/* sack.c */
void sack_take(struct tcp *tcp, struct tcp_conn *c, const struct seg_in *s, struct flight_news *n);
void sack_duplicate(struct tcp *tcp, struct tcp_conn *c, uint32_t from, uint32_t to);
unsigned sack_duplicates(const struct tcp_conn *c); /* not told yet: one by each ACK */
void sack_told(struct tcp_conn *c);                 /* the first of them */
void sack_forget(struct tcp_conn *c);
void sack_options(const struct tcp_conn *c, struct seg_opts *o, unsigned most);
unsigned sack_most(const struct tcp_conn *c, uint32_t room);

/* window.c */
uint16_t window_offer(struct tcp *tcp, struct tcp_conn *c, bool syn); /* for the next segment; notes what was promised */
bool window_update_due(const struct tcp_conn *c);
void window_tune_rx(struct tcp *tcp, struct tcp_conn *c);
void window_tune_tx(struct tcp *tcp, struct tcp_conn *c);
uint32_t window_chunks(const struct tcp *tcp); /* bound of the chunks one stream may span */

/* out.c */
void out_conn(struct tcp *tcp, struct tcp_conn *c);

/* option.c */
void option_inherit(struct tcp *tcp, struct tcp_conn *c, const struct listener *l);
void option_inherit_headers(struct tcp *tcp, const struct listener *l, uint16_t *mss_max, struct seg_out *out);

bool option_may_fragment(uint8_t mtu_discover);
bool option_takes_mtu(const struct tcp_conn *c); /* does it believe what is said of the path? */

/* path.c */
void path_open(struct tcp *tcp, struct tcp_conn *c);
void path_too_big(struct tcp *tcp, struct tcp_conn *c, uint32_t seq, uint16_t mtu); /* a router: the segment at seq was */
void path_acked(struct tcp *tcp, struct tcp_conn *c, uint32_t longest);
void path_timeout(struct tcp *tcp, struct tcp_conn *c);
uint32_t path_probe(struct tcp *tcp, struct tcp_conn *c, uint32_t len, uint32_t room);
void path_probing(struct tcp *tcp, struct tcp_conn *c, uint32_t end); /* it was sent, up to end */
bool path_probe_lost(struct tcp *tcp, struct tcp_conn *c); /* the first segment in flight, and that alone? */
bool path_cut(struct tcp *tcp, struct tcp_conn *c); /* a segment larger than the MSS was lost: one that we tried? */

/* reply.c */
void reply_rst(struct tcp *tcp, const struct seg_in *s);
struct seg_out *reply_to(struct tcp *tcp, const struct seg_in *s); /* NULL: too many wait (counted) */
void reply_flush(struct tcp *tcp);

#endif
