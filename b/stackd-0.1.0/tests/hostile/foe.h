/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A client without manners: the raw protocol, with every descriptor and every mapping kept in reach.  foe.c attaches and
 * hears; the attacks are in memory.c (what is mapped), commands.c (what is put into the ring), control.c (the socket) and
 * monitor.c (all three, of one that may monitor); hostile.c chooses among them.
 */
#ifndef TESTS_HOSTILE_FOE_H
#define TESTS_HOSTILE_FOE_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/bytes.h"
#include "shm/ctl.h"
#include "shm/mon.h"
#include "shm/region.h"
#include "shm/ring.h"

struct foe_lane {
	struct region down, up;
	int down_fd, up_fd, bell_fd; /* kept, where libshim would close them */
	int rx_fd, tx_fd;            /* of the first segments */
	uint32_t slots;
	struct lane_down *dn;
	struct lane_up *upp;
	struct ring_prod cmds;
	struct ring_cons events;
	struct bytes_map rx, tx;
};

struct foe_mon {
	struct region down, up, arena;
	int down_fd, up_fd, bell_fd, arena_fd;
	uint32_t slots, cmd_slots, edit_size;
	struct mon_down *dn;
	struct mon_up *upp;
	struct ring_prod cmds;
	struct ring_cons events;
};

struct foe {
	int sock, wake_fd;
	struct ctl_welcome welcome;
	struct foe_lane lane[SHM_ENGINES_MAX];
	unsigned lanes, tx_segments, refused_segments;
	struct foe_mon mon[SHM_ENGINES_MAX];
	unsigned mons;
	bool ready, dead;
	char why[SHM_TEXT_MAX]; /* stackd's words */
	uint32_t next_id;
	struct ctl_reply reply; /* to request next_id */
	bool replied;
};

/* What the command line said. */
extern struct foe_aim {
	const char *socket;
	struct ipaddr addr; /* somebody to connect to */
	uint16_t port;
	uint64_t seed;
} aim;

extern unsigned failures;

/* Things that must not be: counted, and said. */
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

uint64_t rnd(void);
uint32_t below(uint32_t n); /* n > 0 */
void rnd_fill(void *p, size_t size);
uint64_t now_ms(void);

/* --- Coming and going --- */
int foe_connect(void);                     /* a socket; ends the program when stackd cannot be reached for ten seconds */
void foe_greet(int sock);                  /* a correct HELLO */
struct ctl_hello foe_hello(void);
void foe_attach(struct foe *f);            /* until it is let in; ten seconds at most */
void foe_close(struct foe *f);

/* --- Hearing --- */
/* Take one message, waiting so long for it.  False: none, or it is over. */
bool foe_pump(struct foe *f, int timeout_ms);
/* One request and its answer: 0 or an errno; -1 when it is over. */
int foe_ask(struct foe *f, uint32_t type, const void *body, size_t size);
/* Until the engines have taken what was put, and the control thread has said what it thinks of it. */
void foe_settle(struct foe *f);
/* Settle, say what became of it, and go. */
void foe_end(struct foe *f, const char *mode, const char *what);

/* --- Commands --- */
/* Put it, waiting for room.  False when it is over. */
bool foe_put(struct foe *f, unsigned lane, const struct cmd *c);
void foe_ring(struct foe_lane *l);
/* An active open to the aim under index 0, generation 1; waits a while for its event.  Whether it is open. */
bool foe_open(struct foe *f, unsigned lane);
void foe_drain(struct foe_lane *l);

/* --- Memory: what must not be possible is a failure --- */
void foe_read_only(const char *name, int fd, void *base, size_t size);
void foe_ours(const char *name, int fd, void *base, size_t size); /* punches a hole */

/* --- Attacks --- */
struct attack {
	const char *name;
	void (*run)(void);
};
extern const struct attack memory_attacks[], command_attacks[], control_attacks[], monitor_attacks[]; /* end with a NULL name */

#endif
