/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The monitor half of mOS 0.3: flows of others, seen from the middle.
 *
 * Callbacks, filters and timers run on a thread of the context's own, one at a time.  Calls marked [cb] may be made from there
 * alone: EPERM elsewhere.  mos_api(3) begins the manual.
 *
 * May be included beside <netinet/tcp.h>, before or after it.  The names of the states (TCP_ESTABLISHED ...) are those of mOS, whose
 * values differ from the system's.
 */
#ifndef MOS_API_H
#define MOS_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include <netinet/in.h>
#include <netinet/ip.h>
#include <linux/if_ether.h>
/* struct tcphdr comes from one of two headers that exclude each other; the second one is kept out */
#ifndef _LINUX_TCP_H
#include <netinet/tcp.h>
#define _LINUX_TCP_H
#endif

#include "mtcp_epoll.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- Hooks and events ------------------------------------------------------------------------------------------------ */

enum {
	MOS_NULL = 1 << 29,    /* no hook: events that concern no packet in flight */
	MOS_HK_RCV = 1 << 30,  /* right after the receiver's side was updated */
	MOS_HK_SND = (int)(1u << 31) /* right after the sender's side was updated */
};

typedef uint64_t event_t;

enum {
	MOS_NULL_EVENT = 0,
	MOS_ON_PKT_IN = 0x001,
	MOS_ON_PKT_OUT = 0x002, /* never raised */
	MOS_ON_CONN_START = 0x004,
	MOS_ON_CONN_SETUP = 0x008, /* never raised */
	MOS_ON_CONN_NEW_DATA = 0x010,
	MOS_ON_ERROR = 0x020,
	MOS_ON_TIMEOUT = 0x040, /* never raised */
	MOS_ON_TCP_STATE_CHANGE = 0x080,
	MOS_ON_ORPHAN = 0x100,
	MOS_ON_REXMIT = 0x200,
	MOS_ON_CONN_END = 0x400,
	MOS_ON_DEBUG_MESSAGE = 0x800 /* never raised */
};

enum { MOS_SIDE_CLI, MOS_SIDE_SVR, MOS_SIDE_BOTH };

typedef struct filter_arg {
	void *arg;
	size_t len;
} filter_arg_t;

typedef void (*callback_t)(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);
typedef void (*shim_callback4_t)(mctx_t mctx, int sock, int side, event_t event);
typedef bool (*filter_t)(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

union monitor_filter {
	char *raw_pkt_filter;
	struct {
		char *stream_syn_filter;
		char *stream_orphan_filter;
	};
};
typedef union monitor_filter *monitor_filter_t;

int mtcp_bind_monitor_filter(mctx_t mctx, int sock, monitor_filter_t ft);

/* Callbacks may have four parameters (as the manual shows them) or five (as the header of mOS had them). */
int mtcp_register_callback(mctx_t mctx, int sock, event_t event, int hook, callback_t callback);
int mtcp_settimer(mctx_t mctx, int id, struct timeval *timeout, callback_t callback);
int shim_register_callback4(mctx_t mctx, int sock, event_t event, int hook,
                            shim_callback4_t callback) __asm__("mtcp_register_callback4");
int shim_settimer4(mctx_t mctx, int id, struct timeval *timeout, shim_callback4_t callback) __asm__("mtcp_settimer4");

int mtcp_unregister_callback(mctx_t mctx, int sock, event_t event, int hook);

event_t mtcp_define_event(event_t parent, filter_t filter, filter_arg_t *arg);
event_t mtcp_alloc_event(event_t parent);
/* [cb] The event must be one of mtcp_alloc_event(), below the event that is being told. */
int mtcp_raise_event(mctx_t mctx, event_t event);

/* [cb] */
void mtcp_set_uctx(mctx_t mctx, int sock, void *uctx);
void *mtcp_get_uctx(mctx_t mctx, int sock);

/* Waits until there is nothing more to come: the context is destroyed, stackd has gone, or its traffic (a capture file) has ended. */
void mtcp_app_join(mctx_t mctx);

/* [cb] Microseconds at the packet, or the event, that is being looked at. */
uint32_t mtcp_cb_get_ts(mctx_t mctx);

/* --- Streams ----------------------------------------------------------------------------------------------------------- */

/* [cb] The next bytes: how many; 0: nothing new; -(bytes that were lost) and ENODATA, after which it goes on behind them. */
ssize_t mtcp_peek(mctx_t mctx, int sock, int side, char *buf, size_t len);
/* [cb] Bytes at a stream offset, whether in order or not; the next mtcp_peek() is not affected. */
ssize_t mtcp_ppeek(mctx_t mctx, int sock, int side, char *buf, size_t count, uint64_t off);
/* [cb] As mtcp_peek(), without a copy: *ptr has as many bytes as it returns.  mtcp_peek_advance() consumes them, and says by -1 and ENODATA
 * that they have been overwritten meanwhile, so that what was read may have been anything. */
ssize_t mtcp_peek_ptr(mctx_t mctx, int sock, int side, const char **ptr);
ssize_t mtcp_peek_advance(mctx_t mctx, int sock, int side, size_t len);

/* [cb] side MOS_SIDE_CLI or MOS_SIDE_SVR: *addrlen 16; MOS_SIDE_BOTH: 32, client first.  IPv6: 28 or more for each, twice that for both.
 * Not for end sockets: EPERM. */
int mtcp_getpeername(mctx_t mctx, int sock, struct sockaddr *addr, socklen_t *addrlen, int side) __asm__("mtcp_getpeername__mos");

/* The socket of a flow that `sock' watches, by its two ends in either order; ENOENT. */
int mtcp_getsockid_bytuple(mctx_t mctx, int sock, const struct sockaddr *one, const struct sockaddr *other, socklen_t addrlen);

/* Before the first monitor socket: a capture file waits for this program rather than run ahead of it. */
int mtcp_monitor_lossless(mctx_t mctx);

/* --- Packets ----------------------------------------------------------------------------------------------------------- */

struct pkt_info {
	uint32_t cur_ts; /* us */
	int8_t in_ifidx;
	uint16_t eth_len; /* bytes of the frame */
	uint16_t ip_len;
	uint64_t offset; /* of the payload in its stream; what mtcp_ppeek takes */
	uint16_t payloadlen;
	uint32_t seq;
	uint32_t ack_seq;
	uint16_t window;
	struct ethhdr *ethh;
	struct iphdr *iph;
	struct tcphdr *tcph;
	uint8_t *payload;
};
#define PKT_INFO_LEN (offsetof(struct pkt_info, ethh))

struct pkt_ctx {
	struct pkt_info p;
	int8_t direction;
	uint8_t forward;
	int8_t out_ifidx;
	int8_t batch_index;
};

enum {
	MOS_ETH_HDR = 0x001,
	MOS_IP_HDR = 0x002,
	MOS_TCP_HDR = 0x004,
	MOS_TCP_PAYLOAD = 0x008,
	MOS_UPDATE_IP_CHKSUM = 0x010,
	MOS_UPDATE_TCP_CHKSUM = 0x020,
	MOS_DROP = 0x040,
	MOS_OVERWRITE = 0x080,
	MOS_CHOMP = 0x100,
	MOS_INSERT = 0x200
};

/* [cb] ENODATA: what is being told has no packet.  What pkt points at is good until the callback returns. */
int mtcp_getlastpkt(mctx_t mctx, int sock, int side, struct pkt_info *pkt);
/* [cb] Inline monitors.  One of MOS_DROP, MOS_OVERWRITE, MOS_CHOMP, MOS_INSERT with one region, or checksums alone. */
int mtcp_setlastpkt(mctx_t mctx, int sock, int side, off_t offset, byte *data, uint16_t datalen, int option);
/* [cb] Inline monitors: a segment like pkt; headers that pkt lacks are those of the packet at hand. */
int mtcp_sendpkt(mctx_t mctx, int sock, const struct pkt_info *pkt);
/* Inline monitors, any thread: a whole frame. */
int mtcp_sendpkt_raw(mctx_t mctx, int sock, const uint8_t *frame, int len);
int mtcp_cb_stop(mctx_t mctx, int sock, int side);
int mtcp_cb_dropcurpkt(mctx_t mctx);

/* --- Options of monitor sockets, for mtcp_getsockopt and mtcp_setsockopt ------------------------------------------------- */

#define SOL_MONSOCKET 0xfffe

enum {
	MOS_FRAGINFO_CLIBUF = 0x01,
	MOS_FRAGINFO_SVRBUF = 0x02,
	MOS_INFO_CLIBUF = 0x03,
	MOS_INFO_SVRBUF = 0x04,
	MOS_TCP_STATE_CLI = 0x05,
	MOS_TCP_STATE_SVR = 0x06,
	MOS_TIMESTAMP = 0x07,
	MOS_CLIBUF = 0x09,
	MOS_SVRBUF = 0x0a,
	MOS_SEQ_REMAP = 0x0b,
	MOS_STOP_MON = 0x0c,
	MOS_FRAG_CLIBUF = 0x0d,
	MOS_FRAG_SVRBUF = 0x0e,
	MOS_CLIOVERLAP = 0x0f,
	MOS_SVROVERLAP = 0x10
};

enum { MOS_OVERLAP_POLICY_FIRST, MOS_OVERLAP_POLICY_LAST, MOS_OVERLAP_CNT };

struct tcp_ring_fragment {
	uint64_t offset;
	uint32_t len;
};

struct tcp_buf_info {
	uint32_t tcpbi_init_seq;
	uint32_t tcpbi_last_byte_read;
	uint32_t tcpbi_next_byte_expected;
	uint32_t tcpbi_last_byte_received;
};

typedef struct {
	int64_t seq_off;
	int side;
	uint32_t base_seq;
} seq_remap_info;

enum tcpstate {
	MOS_TCP_CLOSED,
	MOS_TCP_LISTEN,
	MOS_TCP_SYN_SENT,
	MOS_TCP_SYN_RCVD,
	MOS_TCP_ESTABLISHED,
	MOS_TCP_FIN_WAIT_1,
	MOS_TCP_FIN_WAIT_2,
	MOS_TCP_CLOSE_WAIT,
	MOS_TCP_CLOSING,
	MOS_TCP_LAST_ACK,
	MOS_TCP_TIME_WAIT
};
#define TCP_CLOSED MOS_TCP_CLOSED
#define TCP_LISTEN MOS_TCP_LISTEN
#define TCP_SYN_SENT MOS_TCP_SYN_SENT
#define TCP_SYN_RCVD MOS_TCP_SYN_RCVD
#define TCP_ESTABLISHED MOS_TCP_ESTABLISHED
#define TCP_FIN_WAIT_1 MOS_TCP_FIN_WAIT_1
#define TCP_FIN_WAIT_2 MOS_TCP_FIN_WAIT_2
#define TCP_CLOSE_WAIT MOS_TCP_CLOSE_WAIT
#define TCP_CLOSING MOS_TCP_CLOSING
#define TCP_LAST_ACK MOS_TCP_LAST_ACK
#define TCP_TIME_WAIT MOS_TCP_TIME_WAIT

/* What a flow may still do after an event; named by mOS, used by no call. */
enum mtcp_action {
	MOS_ACT_SEND_DATA = 2,
	MOS_ACT_SEND_ACK_NOW = 4,
	MOS_ACT_SEND_ACK_AGG = 8,
	MOS_ACT_SEND_CONTROL = 16,
	MOS_ACT_SEND_RST = 32,
	MOS_ACT_DESTROY = 64,
	MOS_ACT_READ_DATA = 128,
	MOS_ACT_CNT
};

#ifdef __cplusplus
}

/* templates, so that NULL has one meaning; extern "C++", so that the inclusion may stand inside extern "C" */
extern "C++" {
template <class E>
static inline int mtcp_register_callback(mctx_t mctx, int sock, event_t event, int hook, void (*callback)(mctx_t, int, int, E))
{
	return shim_register_callback4(mctx, sock, event, hook, callback);
}

template <class E>
static inline int mtcp_settimer(mctx_t mctx, int id, struct timeval *timeout, void (*callback)(mctx_t, int, int, E))
{
	return shim_settimer4(mctx, id, timeout, callback);
}
}

#else

#define mtcp_register_callback(mctx, sock, event, hook, cb) \
	_Generic((cb), shim_callback4_t: shim_register_callback4, default: mtcp_register_callback)(mctx, sock, event, hook, cb)
#define mtcp_settimer(mctx, id, timeout, cb) \
	_Generic((cb), shim_callback4_t: shim_settimer4, default: mtcp_settimer)(mctx, id, timeout, cb)

#endif
#endif
