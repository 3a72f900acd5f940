/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TCP of one engine: connections, their state machine, timers and segments.  Written from RFC 9293 and the RFCs it names.
 *
 * Who calls: only the engine's thread.  tcp_in(), the calls of the owner (tcp_open, tcp_sent_more, tcp_rx_done, ...) and
 * tcp_expire() only decide: they change the connection and mark what must be done.  tcp_settle() alone acts: it sends
 * segments and then tells the owner, once per connection.  Time is passed in; calls that have no now_us use that of the
 * last call that had.
 *
 * Who owns: a connection belongs to the engine until its state is CLOSED *and* its owner has let go of it
 * (tcp_release).  The owner keeps its pointer until then; after tcp_release the pointer is dead for the owner.
 */
#ifndef STACKD_TCP_TCP_H
#define STACKD_TCP_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/bytes.h"
#include "shm/proto.h"
#include "stackd/net/net.h"
#include "stackd/stats.h"
#include "stackd/tcp/listen.h"

/* RFC 9293, 3.3.2.  The numbers are those of mOS's enum tcpstate, which monitors show. */
enum tcp_state {
	TCP_CLOSED,
	TCP_LISTEN, /* never held by a connection: see listen.h */
	TCP_SYN_SENT,
	TCP_SYN_RCVD,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
	TCP_STATES
};

/* One client's side of an engine, as far as TCP may know it.  app/ embeds it in its lane.  Private memory. */
struct tcp_owner {
	struct bytes_pool rx;  /* class A: TCP takes chunks for received payload */
	struct bytes_map tx;   /* class B: where the client's chunks are mapped */
	uint32_t conns;        /* connections that count against the client, embryonic ones too */
	uint32_t conns_max;
	uint32_t app;          /* id for stackctl */
	bool dead;             /* nothing new may be given to it */
	struct tcp_conn *list[2]; /* kept by tcp/: connections it holds (embryonic ones too), and released ones */
};

/* RFC 3168, the numbers of Linux's tcp_ecn */
enum ecn_mode {
	ECN_MODE_OFF,
	ECN_MODE_ON,      /* asked for and granted */
	ECN_MODE_PASSIVE, /* granted */
};

/* Linux's net.ipv4.tcp_mtu_probing */
enum tcp_mtu_probing { PATH_OFF, PATH_BLACK_HOLE, PATH_ALWAYS };

struct tcp_conf {
	uint32_t max_conns;       /* of this engine, TIME-WAIT and SYN-RECEIVED included */
	uint32_t syn_queue;       /* half-open connections of one listener before cookies start */
	uint32_t time_wait_ms;
	uint32_t rto_min_ms, rto_max_ms, rto_initial_ms;
	uint32_t delack_ms;
	uint32_t quick_acks;      /* of a connection's beginning, and after a pause: so many ACKs at most are not delayed */
	uint32_t syn_retries, syn_ack_retries, data_retries, orphan_retries;
	uint32_t fin_wait2_ms;
	uint32_t max_orphans;     /* of this engine: connections that their programs have closed and that still send */
	uint32_t challenge_limit; /* challenge ACKs of this engine in a second, about (RFC 5961, section 7) */
	uint32_t keepidle_s, keepintvl_s, keepcnt;
	uint32_t rcvbuf_max, rcvbuf_initial, sndbuf_max, sndbuf_initial; /* bytes */
	uint32_t initial_cwnd;    /* segments, RFC 6928 */
	uint8_t congestion;       /* enum cc_name */
	uint8_t ecn;              /* enum ecn_mode */
	uint8_t mtu_probing;      /* enum tcp_mtu_probing */
	uint16_t max_mss;         /* bytes, both ways; 0: what the MTU allows */
	uint32_t mtu_raise_s;     /* a larger MTU is tried so long after a smaller one was found */
	bool timestamps, sack, window_scaling, syn_cookies;
	uint16_t port_min, port_max; /* ephemeral range, RFC 6056 */
	uint8_t secret[32];       /* keys of ISNs (RFC 6528), cookies, port choice (RFC 6056), flow hash */
};
void tcp_conf_default(struct tcp_conf *c);

/* What the owner is told; bits of tcp_conn.note, cleared by the owner's callback. */
enum tcp_note {
	TCP_NOTE_OPEN = 1,   /* an active open has completed */
	TCP_NOTE_ACCEPT = 2, /* a passive open has completed; conn->listener and ->owner say for whom */
	TCP_NOTE_STATE = 4,  /* rx_end, tx_acked, tx_limit, fin or err have changed */
};

struct tcp_conn; /* conn.h has the fields; app/ and mon/ may read them */

/* Called from tcp_settle() for each connection with notes.  Clears the bits it has dealt with; the rest are offered again when
 * the owner asks by tcp_mark(). */
typedef void (*tcp_note_fn)(void *arg, struct tcp_conn *c);

/* Called on every change of state, creation and end included (from == to == CLOSED at neither). For statistics and monitors. */
typedef void (*tcp_state_fn)(void *arg, struct tcp_conn *c, enum tcp_state from, enum tcp_state to);

struct tcp_hooks {
	void *arg;
	tcp_note_fn note;
	tcp_state_fn state; /* may be NULL */
	/* Once for each connection that its owner has released, when it refers to the owner's memory no more (everything sent is
	 * acknowledged, or it was reset or given up); c->owner and c->user are still set and forgotten afterwards.  May come
	 * from inside tcp_release().  Not for those ended by tcp_owner_gone().  May be NULL. */
	void (*let_go)(void *arg, struct tcp_conn *c);
	/* A source port, chosen so that the flow's hash belongs to this engine?  NULL: every port does. */
	bool (*tuple_is_mine)(void *arg, uint32_t hash);
	/* Is this local port reserved by some program (bind, listen)?  Then an ephemeral choice avoids it. NULL: none is. */
	bool (*port_reserved)(void *arg, const struct ipaddr *addr, uint16_t port);
};

struct tcp;

/* engine: this engine's index, used with listeners.  NULL and errno. */
struct tcp *tcp_create(const struct tcp_conf *conf, struct net *net, struct stats *stats, struct listen_table *listeners,
                       unsigned engine, const struct tcp_hooks *hooks, uint64_t now_us);
void tcp_destroy(struct tcp *tcp); /* silently frees everything */

/* pkt->conn for each of n segments from net_in(), prefetched. */
void tcp_flow_lookup(struct tcp *tcp, struct pkt **pkts, unsigned n);

/* Take n parsed segments (frees the pkts). */
void tcp_in(struct tcp *tcp, struct pkt **pkts, unsigned n, uint64_t now_us);

/* Timers. */
void tcp_expire(struct tcp *tcp, uint64_t now_us);

/* When tcp_expire() or tcp_settle() has something to do next; now_us when there are marked connections; UINT64_MAX: never. */
uint64_t tcp_next_us(const struct tcp *tcp, uint64_t now_us);

/* Act on marked connections, at most `budget` of them; the others stay marked. */
void tcp_settle(struct tcp *tcp, unsigned budget, uint64_t now_us);

/* An ICMP error about a segment of ours (a net_icmp_error_fn; arg is the struct tcp). */
void tcp_icmp_error(void *tcp, const struct net_icmp_error *e);

/* --- The owner's calls ---------------------------------------------------------------------------------------------- */

struct tcp_open {
	struct ipaddr src, dst; /* src unspecified: chosen by the route */
	uint16_t sport, dport;  /* sport 0: chosen */
	void *user;             /* stored in conn->user */
};

/* Active open.  0, or -ENETUNREACH, -EADDRNOTAVAIL (no such address, or no free port), -EADDRINUSE (4-tuple taken), -ENOBUFS
 * (table full), -EMFILE (owner's limit), -EINVAL.  Progress comes as notes. */
int tcp_open(struct tcp *tcp, struct tcp_owner *owner, const struct tcp_open *o, uint64_t now_us, struct tcp_conn **conn);

/* More bytes are ready up to stream offset tx_end (not below the old one).  chunk[0..n) hold [old tx_end, tx_end), the first
 * being the chunk of old tx_end.  0, or -EINVAL when the numbers do not fit together or an id is not mapped, -EPIPE after shutdown. */
int tcp_sent_more(struct tcp *tcp, struct tcp_conn *c, uint64_t tx_end, const uint32_t *chunk, unsigned n);

/* The program has consumed received bytes up to stream offset done.  Frees the chunks below the one of byte done - 1 (the
 * reader still needs that one's link), or all of them when nothing is left to read.  0 or -EINVAL (backwards, or beyond
 * rx_end). */
int tcp_rx_done(struct tcp *tcp, struct tcp_conn *c, uint64_t done);

/* how: SHUT_RD, SHUT_WR, SHUT_RDWR of <sys/socket.h>. */
void tcp_shutdown(struct tcp *tcp, struct tcp_conn *c, int how);

/* The owner lets go.  linger_s < 0: FIN after queued data, or RST when received data is unread (RFC 2525, 2.17); 0: RST; > 0:
 * FIN, RST when that many seconds were not enough.  The owner pointer stays until the queued bytes are acknowledged, since they lie in its
 * memory; then the connection (in FIN-WAIT-2, TIME-WAIT ...) forgets its owner.  No more notes, but one
 * hooks.let_go. */
void tcp_release(struct tcp *tcp, struct tcp_conn *c, int32_t linger_s);

/* RST and forget, at most `budget` connections of a dead owner: those it still holds, and SYN-RECEIVED ones for its listeners;
 * with `released` also those that it had closed and whose bytes still lie in its memory (else these may finish in peace).
 * Returns how many it ended: less than budget means none of that kind are left. */
unsigned tcp_owner_gone(struct tcp *tcp, struct tcp_owner *owner, bool released, unsigned budget);

/* RST all connections of this engine, for the end of stackd; at most budget, as above. */
unsigned tcp_reset_all(struct tcp *tcp, unsigned budget);

/* Drop the SYN-RECEIVED connections of a listener that was closed; bounded as above. */
unsigned tcp_listener_gone(struct tcp *tcp, struct listener *l, unsigned budget);

/* name: enum sock_opt.  0, -EINVAL, -ENOPROTOOPT. */
int tcp_setopt(struct tcp *tcp, struct tcp_conn *c, uint32_t name, uint64_t value);

/* Offer the notes again in the next tcp_settle(). */
void tcp_mark(struct tcp *tcp, struct tcp_conn *c);

/* What the owner may tell its program, at this moment. */
struct tcp_view {
	enum tcp_state state;
	uint64_t rx_end, tx_acked, tx_sent; /* stream offsets */
	uint32_t rx_chunk_no, rx_chunk; /* first chunk still held, linked up to rx_end; BYTES_NONE when none */
	uint32_t tx_limit;
	uint32_t mss, srtt_us;
	int err;        /* errno, positive; 0: none */
	int soft_err;   /* the same, of a connection that goes on */
	bool connected; /* has been ESTABLISHED */
	bool fin;       /* all the peer will send is in rx_end */
	bool closed;    /* both directions are done, in order */
	bool urgent;
};
void tcp_view(struct tcp *tcp, struct tcp_conn *c, struct tcp_view *v);

/* What TCP_INFO tells, at this moment. */
void tcp_info(const struct tcp *tcp, const struct tcp_conn *c, struct sock_info *i);

/* Fill a flow record's figures: from rx_bytes on (shm/stat.h). */
struct stat_flow;
void tcp_conn_figures(const struct tcp_conn *c, struct stat_flow *r);

/* Walk all connections (statistics, tests). */
typedef bool (*tcp_walk_fn)(void *arg, struct tcp_conn *c);
void tcp_walk(struct tcp *tcp, tcp_walk_fn fn, void *arg);
unsigned tcp_conns(const struct tcp *tcp);

const char *tcp_state_name(enum tcp_state s);

#endif
