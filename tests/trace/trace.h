/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scripts that read like packet traces, performed on one engine's TCP over the played net/ of tests/unit/tcp_trace.h with a
 * clock that is a number.  README says how a script is written.
 *
 *   script.c   files into lines, lines into events, time
 *   segment.c  a segment as text: read, made into a frame, shown
 *   wire.c     segments that are injected or expected
 *   calls.c    what the program does, and what happens around it
 *   look.c     what can be seen; the options of the engine
 *   traces.c   the test program: every script below tests/trace
 *   matrix.c   the test program: every state with every event, from the table matrix.txt; cell.c: one of them
 */
#ifndef TESTS_TRACE_TRACE_H
#define TESTS_TRACE_TRACE_H

#include "tests/unit/tcp_trace.h"

#undef send
#undef expect
#undef expect_none
#undef counted

enum {
	ENDS = 10,           /* c0 to c9 */
	FIRST_PORT = 5550,   /* of the peer of c0 */
	LEAVING = 32,        /* programs that have closed and whose bytes are still on their way */
	INCLUDES = 4,        /* how deep */
	TOLERANCE_US = 1000, /* timers fire at whole milliseconds */
	MTU_IP6 = 1520,      /* so that segments are as long as those over IPv4 with 1500 */
	OPT_ROOM = 48,       /* more than fits a header: scripts may lie */
};

/* One connection of a script, as its peer knows it. */
struct end {
	uint16_t port, peer_port;
	bool syn_seen;     /* iss is known */
	uint32_t iss, peer_iss;
	uint16_t wnd;      /* what the peer's segments say when a line does not */
	bool ts_known;
	uint32_t ts_base;  /* TSval 0 of the script */
	uint32_t last_ts;  /* our TSval seen last */
	bool stamps;       /* "peer ts": the peer's segments carry timestamps by themselves */
	uint32_t stamp;    /* its TSval at stamp_us */
	uint64_t stamp_us;
	struct prog *prog; /* NULL: the program has none, or has let go */
	uint32_t rcv_nxt, snd_una, snd_max, rcv_adv; /* last known, for "n", "u", "m", "w" */
};

struct run {
	struct host h;
	bool started, failed;
	bool six;          /* over IPv6 */
	bool passed_over;  /* the rest of this case is for the other family */
	struct tcp_conf conf;
	struct end end[ENDS];
	struct prog *leaving[LEAVING];
	uint64_t start_us;
	uint64_t clock_us; /* of the last event, from the start */
	uint64_t from_us, to_us; /* when the event of this line may happen */
	bool any_time, burst; /* burst: the segment before waits for this one */
	const char *file;  /* of the line that is performed */
	unsigned line;
	const char *text;
	char why[1024];    /* what differed */
	bool record;       /* print the script, with what is sent where no line expects anything */
	uint64_t told_us;  /* time of the last line that was printed */
	bool called;       /* a call has returned ... */
	char returned[32]; /* ... this */
};

/* The rest of a line. */
struct cursor {
	const char *at;
};

/* A segment as a script gives it; numbers relative to the initial ones. */
struct wanted {
	uint8_t flags;
	int ecn; /* of the IP header; -1: not said */
	int64_t seq, end, ack, wnd, urg; /* -1: not said (seq is always said) */
	bool has_ack;
	bool opts_said, opts_any;
	bool ts_val_any, ts_ecr_any;
	struct seg_opts opts;
	uint8_t raw[OPT_ROOM];
	unsigned raw_len;
	int64_t fill; /* first byte of the text instead of the pattern; -1: the pattern */
};

/* script.c */
void run_begin(struct run *r, bool six);
struct ipaddr run_addr(const struct run *r, uint8_t last_byte); /* 1: ours, 2: the peer's */
void run_end(struct run *r); /* also checks that nothing was sent unseen and that all came back */
bool run_line(struct run *r, const char *file, unsigned line, const char *text); /* false: failed; r->why */
bool run_start(struct run *r); /* the engine, with the options so far */
void run_wait(struct run *r);  /* until the time of this line, or until something is sent */
void run_tell(struct run *r, uint64_t at_us, const struct end *e, const char *what); /* prints it */
uint64_t run_now(const struct run *r);
void run_settle(struct run *r);
bool wrong(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* always false */

/* Words of a line. */
bool word(struct cursor *c, const char *w); /* takes it when it is next, and ends there */
bool take_name(struct cursor *c, char *name, size_t size);
bool take_number(struct cursor *c, int64_t *v);
bool take_char(struct cursor *c, char ch);
bool at_end(const struct cursor *c);

/* segment.c */
bool segment_read(struct run *r, struct end *e, bool ours, struct cursor *c, struct wanted *w);
struct pkt *segment_make(struct run *r, struct end *e, const struct wanted *w);
void segment_show(const struct run *r, const struct end *e, const struct pkt *p, char *text, size_t size);
uint8_t pattern_at(int64_t off);

/* wire.c */
bool wire_inject(struct run *r, struct end *e, struct cursor *c, bool later);
bool wire_expect(struct run *r, struct end *e, struct cursor *c);
bool wire_silent(struct run *r); /* false: something was sent that no line expects */
struct end *wire_end(struct run *r, const struct pkt *p); /* whose segment it is */
void wire_seen(struct run *r, struct end *e, const struct pkt *p);

/* calls.c */
bool call(struct run *r, struct end *e, struct cursor *c);
struct tcp_conn *end_conn(struct run *r, struct end *e); /* NULL: there is none */
void end_note(struct run *r, struct end *e);             /* remember its numbers */

/* look.c; *got: what is compared with the rest of the line */
bool look_conns(struct run *r, struct end *e, struct cursor *c, int64_t *got);
bool look_count(struct run *r, struct end *e, struct cursor *c, int64_t *got);
bool look_state(struct run *r, struct end *e, struct cursor *c, int64_t *got);
bool look_info(struct run *r, struct end *e, struct cursor *c, int64_t *got);
bool look_tcp_info(struct run *r, struct end *e, struct cursor *c, int64_t *got);
bool look_epoll(struct run *r, struct end *e, struct cursor *c, int64_t *got);
bool option_set(struct run *r, struct cursor *c); /* "option NAME VALUE": of struct tcp_conf */

#endif
