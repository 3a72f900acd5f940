/* SPDX-License-Identifier: BSD-3-Clause
 *
 * rows: what the monitor calls promise, row by row, held against a real stackd that replays a capture.  tests/system/rows.sh drives it.
 *
 * A row is one promise: of the table of events, of the order within a packet, of a call.  It runs in a process of its own, with a context
 * and a stream socket for the flows of its scene (a passage of the capture that tests/monitor/rows.py makes; its server's port tells it
 * from the others).  Callbacks check on the spot, with EXPECT() and its like, or tell() what they see; what was told, line by line, must
 * be row.told.  doc/monitoring.md lists which row is held by which name.
 *
 * Thread-safety: begin() and end() run on the main thread, callbacks on the context's; begin() is over before the capture begins, and
 * the capture before end().
 */
#ifndef TESTS_MONITOR_ROWS_H
#define TESTS_MONITOR_ROWS_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mos_api.h>

struct row {
	const char *name;
	const char *scene;
	void (*begin)(void); /* registers what it waits for */
	const char *told;    /* what tell() must have said by the end */
	void (*end)(void);   /* may be NULL: looks once more when the capture is over */
	unsigned socks;      /* monitor sockets that begin() leaves open, beyond the first */
};

struct row_group {
	const char *name;
	const struct row *row;
	unsigned rows;
};

extern const struct row_group rows_event, rows_order, rows_stream, rows_small, rows_own, rows_own, rows_life, rows_few, rows_engines, rows_packet, rows_inline, rows_edit;

/* The row of this process. */
struct row_run {
	mctx_t m;
	int sock;      /* a stream socket that watches the scene's flows */
	int port;      /* the scene's server's */
	char only[32]; /* a filter: its flows */
};
extern struct row_run run;

/* --- Registering ---------------------------------------------------------------------------------------------------------- */

/* run.sock; must succeed. */
void on(event_t event, int hook, callback_t cb);
/* Another stream socket for the scene. */
int another(void);
/* A raw socket with this filter, or with none. */
int raw(const char *filter);

/* Callbacks that tell a line "HOOK SIDE EVENT FLAGS CLIENT/SERVER": the packet's flags ("-": there is none), both sides' states. */
void note_null(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg);
void note_snd(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg);
void note_rcv(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg);
/* Every event of a stream socket at every hook where it may be, noted so. */
void note_all(void);

/* --- Telling and checking -------------------------------------------------------------------------------------------------- */

void tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What went wrong, for the report; the row has failed. */
void wrong(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define EXPECT(what) ((what) ? (void)0 : wrong(__FILE__, __LINE__, "%s", #what))
#define EXPECT_IS(what, value)                                                                            \
	do {                                                                                              \
		long long got_ = (long long)(what), want_ = (long long)(value);                           \
		if (got_ != want_)                                                                        \
			wrong(__FILE__, __LINE__, "%s is %lld, not %lld", #what, got_, want_);            \
	} while (0)
/* The call returns -1 with this errno. */
#define FAILS(call, err)                                                                                  \
	do {                                                                                              \
		errno = 0;                                                                                \
		long long got_ = (long long)(call);                                                       \
		if (got_ != -1 || errno != (err))                                                         \
			wrong(__FILE__, __LINE__, "%s is %lld, %s; not -1, %s", #call, got_,              \
			      strerrorname_np(errno), strerrorname_np(err));                              \
	} while (0)

/* --- Words ------------------------------------------------------------------------------------------------------------------- */

const char *event_name(event_t event);
const char *side_name(int side);
/* "SA", "R", ...; "-": no packet; "IP": no TCP.  Good until the next call. */
const char *packet_flags(mctx_t m, int sock);
/* "ESTABLISHED/-": client, server; "-": there is no such side. */
const char *states(mctx_t m, int sock);
int state_of(mctx_t m, int sock, int side);

/* --- Packets and streams ------------------------------------------------------------------------------------------------------ */

/* Does the packet's payload begin with this text? */
bool carries(mctx_t m, int sock, const char *text);
/* Tells its payload, if it has any; checks that its lengths agree. */
void tell_packet(mctx_t m, int sock, const char *who);
/* Tells what is new in the stream that this side receives. */
void tell_stream(mctx_t m, int sock, int side, const char *who);
/* A callback for PKT_IN at HK_RCV: tells packet and stream of those with payload. */
void arrives(mctx_t m, int sock, int side, event_t event, filter_arg_t *arg);
/* mtcp_setlastpkt */
int change(mctx_t m, int sock, off_t off, const char *text, uint16_t len, int option);
/* MOS_FRAGINFO_SVRBUF with this optlen, as "[0,100) [200,300)"; *count: how many it says. */
const char *pieces(mctx_t m, int sock, socklen_t len, socklen_t *count);

#define ROWS(group, ...)                                                                                  \
	static const struct row all_rows[] = { __VA_ARGS__ };                                             \
	const struct row_group rows_##group = { #group, all_rows, sizeof(all_rows) / sizeof(all_rows[0]) }

#endif
