/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TCP under test, read as a packet trace: send(A, .seq = 1, .len = 100); expect(A, .ack = 101);
 *
 * A struct host is one engine's TCP with everything around it made by hand: net.h and nic_free are played by tcp_trace.c,
 * the program by host_write() and host_read(), which do what libshim does with chunks and links.  The clock is a number.
 *
 * In traces, sequence numbers count from the initial ones: the SYN is 0, the first byte 1.
 */
#ifndef TESTS_UNIT_TCP_TRACE_H
#define TESTS_UNIT_TCP_TRACE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h> /* before send() becomes a line of a trace */

#include "stackd/net/net.h"
#include "stackd/tcp/conn.h"
#include "stackd/tcp/priv.h"
#include "stackd/tcp/seg.h"

#if defined(__clang__)
#pragma GCC diagnostic ignored "-Winitializer-overrides" /* the fields that a line does not name */
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

enum { F = SEG_FIN, S = SEG_SYN, R = SEG_RST, P = SEG_PSH, A = SEG_ACK, U = SEG_URG };
enum { SERVER_PORT = 80, PEER_PORT = 5555, HOST_CONNS = 4096, HOST_SEGS = 8 };

/* An assertion for what is passed often (Check writes to a file each time), and outside of Check. */
#define must(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

/* The part of net.h that TCP calls, for one host. */
struct net {
	struct host *host;
	struct ipaddr addr;
	uint16_t mtu;
	bool no_buffer, no_route;
	struct pkt *head, **tail; /* sent */
	unsigned queued, out;     /* out: frames that nobody has freed */
	unsigned suspects;
};

/* What a program would keep. */
struct prog {
	struct tcp_conn *conn;
	struct bytes tx; /* its own view of what it has put where */
	uint64_t tx_end, tx_acked, rx_pos;
	bool accepted, open, fin, closed, released;
	int err, soft_err;
	unsigned notes;
	uint64_t closing;
};

struct host {
	struct tcp_conf conf;
	struct tcp *tcp;
	struct net net;
	struct stats stats;
	struct listen_table *listeners;
	struct listener *listener;
	struct tcp_owner owner, *owners[1];
	struct bytes_pool tx_pool;
	uint64_t now_us;
	bool auto_accept; /* programs take what they are offered at once */
	bool deaf;        /* the program's event ring is full */
	struct prog *accepted[64];
	unsigned accepts, moves, let_go;
	enum tcp_state last_from, last_to;
	void *seg[2 * HOST_SEGS];
};

typedef void (*host_tweak)(struct tcp_conf *conf);

void host_start(struct host *h, uint8_t last_byte, host_tweak tweak);
void host_stop(struct host *h); /* also checks that everything came back */
void host_listen(struct host *h, uint16_t port, uint32_t backlog);
struct prog *host_connect(struct host *h, const struct ipaddr *dst, uint16_t dport);
struct prog *host_adopt(struct host *h, struct tcp_conn *c);
uint32_t host_write(struct host *h, struct prog *p, const void *src, uint32_t len); /* as much as tx_limit allows */
uint32_t host_read(struct host *h, struct prog *p, void *dst, uint32_t len);
void host_close(struct host *h, struct prog *p, int linger_s);
void host_settle(struct host *h);
uint64_t host_next(const struct host *h);

/* Frames: what was sent, as the other end's net_in() would hand it on. */
struct pkt *host_sent(struct host *h); /* NULL: nothing */
void host_parse(struct pkt *p);
struct pkt *pkt_copy(struct host *h, const struct pkt *p);
void host_in(struct host *h, struct pkt **p, unsigned n);
struct ipaddr ip4(uint8_t last_byte);
struct ipaddr ip6(uint8_t last_byte);

/* A frame as if from the wire, parsed; the caller fills its text. */
struct pkt *host_frame(struct host *h, const struct pkt_tcp *t, const struct ipaddr *src, const uint8_t *opt, unsigned opt_len,
                       uint16_t text_len, uint8_t **text);

/* --- Traces: one host, and a peer that the test plays ------------------------------------------------------------------ */
struct seg {
	uint8_t flags;
	int64_t seq, ack, len, wnd; /* relative; EXPECT: -1: not looked at */
	int mss, ws, sack_ok, ts;   /* ts: 1: with timestamps */
	uint32_t ts_val, ts_ecr;
	int sacks;
	struct seg_sack sack[4];    /* relative */
	const uint8_t *opt;         /* raw options instead */
	unsigned opt_len;
	uint8_t fill;               /* first byte of the pattern; 0: by position */
	uint16_t pkt_flags, sport;
	bool later;                 /* do not settle yet */
};

struct trace {
	struct host h;
	uint32_t peer_iss, iss;
	uint32_t ts_base;  /* first TSval seen */
	struct prog *c;    /* the connection */
	struct tcp_conn *conn;
	struct seg got;    /* last segment that was expected */
	struct seg_opts opts;
	uint8_t text[9000];
	uint32_t peer_wnd; /* default window of segments that the peer sends */
	uint32_t peer_ts;  /* not 0: the peer's timestamps are on; TSval = this */
	uint32_t last_ts;  /* our last TSval */
};
extern struct trace T;

void trace_begin(host_tweak tweak);
void trace_end(void);
void trace_send(struct seg s);
void trace_expect(const char *file, int line, struct seg s);
void trace_expect_none(const char *file, int line);
void tick(uint32_t ms); /* the clock goes on, timers fire when due */

#define send(fl, ...) trace_send((struct seg){ .flags = (fl), .wnd = -1, __VA_ARGS__ })
#define expect(fl, ...) \
	trace_expect(__FILE__, __LINE__, (struct seg){ .flags = (fl), .seq = -1, .ack = -1, .len = -1, .wnd = -1, __VA_ARGS__ })
#define expect_none() trace_expect_none(__FILE__, __LINE__)
#define expect_state(s) \
	ck_assert_msg(T.conn->state == (s), "%s:%d: state %s, not %s", __FILE__, __LINE__, tcp_state_name(T.conn->state), \
	              tcp_state_name(s))
#define counted(id) (T.h.stats.n[CNT_##id])

/* Fixtures: a connection in a state, nothing waiting to be sent. */
struct prog *established(void);                 /* passive; peer: MSS 1460, no options, window 65535 */
struct prog *established_with(struct seg syn);  /* the peer's SYN has these options */
struct prog *connecting(void);                  /* SYN-SENT; the SYN has been taken */
struct prog *in_state(enum tcp_state s);
struct prog *held(void);                        /* T.c */

uint32_t put(uint32_t len);         /* the program writes a pattern; settles */
uint32_t take(uint32_t len);        /* the program reads and checks the pattern; settles */
void close_(int linger_s);          /* the program lets go; settles */
void shut(int how);
void settle(void);
void icmp_too_big(uint32_t seq, uint16_t mtu); /* a router of IPv4: about the segment at seq */
struct tcp_view view(void);

int trace_main(const char *name, void (*const *add)(TCase *), unsigned n);

#endif
