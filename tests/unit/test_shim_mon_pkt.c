/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The packet at hand: looking at it, verdicts, edit scripts, packets of one's own.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/shim_monitor.h"

static struct sm s;
static mctx_t m;
static struct sm_lane *lane;
static int mon;
static struct sm_flow f;
static void (*body)(int sock);
static void (*body_end)(int sock); /* in the second callback of a round */
static unsigned rounds;

#define FAILS(call, err) \
	do { \
		errno = 0; \
		ck_assert_int_eq((int)(call), -1); \
		ck_assert_int_eq(errno, err); \
	} while (0)

static void callback(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx;
	(void)side;
	(void)arg;
	sm_point();
	rounds++;
	if (event == MOS_ON_PKT_IN || event == MOS_ON_CONN_NEW_DATA)
		body(sock);
	else if (body_end != NULL)
		body_end(sock);
	sm_point();
}

static void start(const struct sm_conf *conf)
{
	m = sm_start(&s, conf);
	lane = &s.lane[0];
	mon = mtcp_socket(m, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);
	ck_assert_int_ge(mon, 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_PKT_IN, MOS_HK_SND, callback), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND, callback), 0);
	ck_assert_int_eq(mtcp_register_callback(m, mon, MOS_ON_CONN_NEW_DATA, MOS_NULL, callback), 0);
	sm_open(&f, lane, 0);
	body_end = NULL;
}

static void up(void)
{
	start(NULL);
}

static void down(void)
{
	sm_stop(&s, m);
}

/* The client sends `text`, held; `what` runs.  The verdict. */
static struct mon_cmd held(const char *text, void (*what)(int sock))
{
	static uint32_t claim = 70;
	struct mon_cmd c;

	body = what;
	f.claim = ++claim;
	sm_packet(&f, MON_CLI, text);
	sm_tell(&f, MON_PKT_IN | MON_STATE_CHANGE, MON_HK_SND, MON_CLI, MEVF_HELD);
	c = sm_expect(lane, MCMD_VERDICT);
	ck_assert_uint_eq(c.verdict.claim, claim);
	ck_assert_uint_eq(c.sock, 0);
	ck_assert_uint_eq(c.flow, f.rec);
	ck_assert_uint_eq(c.gen, (uint32_t)f.serial);
	return c;
}

static uint16_t sum(const uint8_t *p, size_t len, uint32_t start)
{
	for (; len > 1; len -= 2, p += 2)
		start += (uint32_t)p[0] << 8 | p[1];
	if (len > 0)
		start += (uint32_t)p[0] << 8;
	while (start >> 16 != 0)
		start = (start & 0xffff) + (start >> 16);
	return (uint16_t)start;
}

static void sums_are_right(const struct pkt_info *p)
{
	uint32_t tcp_len = (uint32_t)p->ip_len - (uint32_t)p->iph->ihl * 4;

	ck_assert_uint_eq(sum((uint8_t *)p->iph, p->iph->ihl * 4u, 0), 0xffff);
	ck_assert_uint_eq(sum((uint8_t *)p->tcph, tcp_len, sum((uint8_t *)p->iph + 12, 8, 6 + tcp_len)), 0xffff);
}

/* --- Looking ---------------------------------------------------------------------------------------------------------------- */

static void looks(int sock)
{
	struct pkt_info p;

	ck_assert_int_eq(mtcp_getlastpkt(m, sock, MOS_SIDE_CLI, &p), 0);
	ck_assert_uint_eq(p.cur_ts, 1000000);
	ck_assert_int_eq(p.in_ifidx, 1);
	ck_assert_uint_eq(p.eth_len, 66 + 5);
	ck_assert_uint_eq(p.ip_len, 52 + 5);
	ck_assert_uint_eq(p.payloadlen, 5);
	ck_assert_mem_eq(p.payload, "hello", 5);
	ck_assert_uint_eq(p.seq, 6001);
	ck_assert_uint_eq(p.ack_seq, 5001);
	ck_assert_uint_eq(p.window, 8192);
	ck_assert_uint_eq(p.offset, 0);
	ck_assert_uint_eq(ntohs(p.ethh->h_proto), 0x0800);
	ck_assert_uint_eq((uintptr_t)p.iph % 4, 0);
	ck_assert_uint_eq(p.iph->protocol, 6);
	ck_assert_uint_eq(ntohs(p.tcph->dest), 80);
	ck_assert_uint_eq(p.tcph->doff, 8);
	ck_assert_uint_eq(mtcp_cb_get_ts(m), 1000000);
	FAILS(mtcp_getlastpkt(m, sock, MOS_SIDE_CLI, NULL), EINVAL);
	FAILS(mtcp_getlastpkt(m, 99, MOS_SIDE_CLI, &p), EBADF);
	FAILS(mtcp_getlastpkt(NULL, sock, MOS_SIDE_CLI, &p), EACCES);
}

START_TEST(looking)
{
	struct pkt_info p;
	struct mon_cmd c;

	up();
	c = held("hello", looks);
	ck_assert_uint_eq(c.verdict.verdict, MON_PASS);
	ck_assert_uint_eq(c.verdict.len, 0);
	FAILS(mtcp_getlastpkt(m, mon, MOS_SIDE_CLI, &p), EPERM);
	SAYS("is for callbacks");
	ck_assert_uint_eq(mtcp_cb_get_ts(m), 0);
	down();
}
END_TEST

static void sees_none(int sock)
{
	struct pkt_info p;
	byte b = 0;

	FAILS(mtcp_getlastpkt(m, sock, MOS_SIDE_CLI, &p), ENODATA);
	FAILS(mtcp_setlastpkt(m, sock, MOS_SIDE_CLI, 0, &b, 1, MOS_DROP), ENODATA);
	FAILS(mtcp_cb_dropcurpkt(m), ENODATA);
	SAYS("about no packet");
}

static void finds_it_gone(int sock)
{
	struct pkt_info p;

	FAILS(mtcp_getlastpkt(m, sock, MOS_SIDE_CLI, &p), ENODATA);
	FAILS(mtcp_getlastpkt(m, sock, MOS_SIDE_CLI, &p), ENODATA);
	SAYS("too late");
}

START_TEST(no_packet)
{
	struct mon_event e;

	up();
	body = sees_none;
	sm_tell(&f, MON_NEW_DATA, MON_HK_NULL, MON_SVR, 0);
	/* overwritten in the log before we looked */
	sm_packet(&f, MON_CLI, "hello");
	e = sm_event(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
	for (unsigned i = 0; i < 20000; i++)
		sm_packet(&f, MON_CLI, "another one");
	body = finds_it_gone;
	sm_put(lane, &e);
	sm_settle(lane);
	ck_assert_uint_eq(rounds, 2);
	down();
}
END_TEST

/* --- Verdicts ----------------------------------------------------------------------------------------------------------------- */

static void nothing(int sock)
{
	(void)sock;
}

static void drops(int sock)
{
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, MOS_SIDE_CLI, 0, NULL, 0, MOS_DROP), 0);
}

static void drops_too(int sock)
{
	byte b = 'x';

	ck_assert_int_eq(mtcp_setlastpkt(m, sock, MOS_SIDE_CLI, 0, &b, 1, MOS_TCP_PAYLOAD | MOS_OVERWRITE), 0);
	ck_assert_int_eq(mtcp_cb_dropcurpkt(m), 0);
}

START_TEST(passing_and_dropping)
{
	up();
	ck_assert_uint_eq(held("a", nothing).verdict.verdict, MON_PASS);
	ck_assert_uint_eq(held("b", drops).verdict.verdict, MON_DROP);
	ck_assert_uint_eq(held("c", nothing).verdict.verdict, MON_PASS); /* a drop is for one packet */
	ck_assert_uint_eq(held("d", drops_too).verdict.verdict, MON_DROP);
	down();
}
END_TEST

/* Every held packet is answered, whatever becomes of its round. */
START_TEST(each_claim_is_answered)
{
	struct mon_cmd c;

	up();
	/* nobody is registered for it */
	f.claim = 1;
	sm_packet(&f, MON_CLI, "a");
	sm_tell(&f, MON_CONN_START, MON_HK_RCV, MON_SVR, MEVF_HELD);
	c = sm_expect(lane, MCMD_VERDICT);
	ck_assert_uint_eq(c.verdict.claim, 1);
	ck_assert_uint_eq(c.verdict.verdict, MON_PASS);
	/* a hook and a flow that cannot be */
	f.claim = 2;
	sm_tell(&f, MON_PKT_IN, (enum mon_hook)9, MON_CLI, MEVF_HELD);
	ck_assert_uint_eq(sm_expect(lane, MCMD_VERDICT).verdict.claim, 2);
	f.claim = 3;
	f.rec = 60000;
	sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, MEVF_HELD);
	ck_assert_uint_eq(sm_expect(lane, MCMD_VERDICT).verdict.claim, 3);
	ck_assert_uint_eq(rounds, 0);
	down();
}
END_TEST

static void may_not(int sock)
{
	byte b = 0;

	FAILS(mtcp_setlastpkt(m, sock, MOS_SIDE_CLI, 0, &b, 1, MOS_TCP_PAYLOAD | MOS_OVERWRITE), EPERM);
	SAYS("are passive");
	FAILS(mtcp_setlastpkt(m, sock, MOS_SIDE_CLI, 0, NULL, 0, MOS_DROP), EPERM);
	FAILS(mtcp_cb_dropcurpkt(m), EPERM);
	FAILS(mtcp_peek(m, sock, 9, (char *)&b, 1), EINVAL);
	ck_assert_str_eq(mtcp_error_text(), ""); /* what was said about the call before is not about this one */
	FAILS(mtcp_sendpkt_raw(m, sock, &b, 60), EPERM);
	SAYS("are passive");
	FAILS(mtcp_reset_conn(m, sock), EPERM);
	SAYS("are passive");
}

START_TEST(passive_monitors_may_not)
{
	static const struct sm_conf conf = { .right = MON_RIGHT_PASSIVE };

	start(&conf);
	body = may_not;
	sm_packet(&f, MON_CLI, "x");
	sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0);
	ck_assert_uint_eq(rounds, 1);
	ck_assert(sm_idle(lane));
	down();
}
END_TEST

/* --- Edits -------------------------------------------------------------------------------------------------------------------- */

static const struct mon_edit *edit_at(const struct mon_cmd *c, unsigned n)
{
	const uint8_t *p = sm_bytes(lane, c->verdict.off, c->verdict.len);
	const uint8_t *end = p + c->verdict.len;

	for (;;) {
		const struct mon_edit *e = (const struct mon_edit *)(const void *)p;

		ck_assert_int_ge(end - p, (int)sizeof(*e));
		if (n-- == 0)
			return e;
		p += sizeof(*e) + (e->op == MON_CHOMP ? 0 : (e->len + 7u) & ~7u);
	}
}

static void is_edit(const struct mon_cmd *c, unsigned n, unsigned op, unsigned region, unsigned csum, unsigned off, unsigned len,
		    const void *bytes)
{
	const struct mon_edit *e = edit_at(c, n);

	ck_assert_uint_eq(c->verdict.verdict, MON_EDIT);
	ck_assert_uint_lt(n, c->verdict.count);
	ck_assert_uint_eq(e->op, op);
	ck_assert_uint_eq(e->region, region);
	ck_assert_uint_eq(e->csum, csum);
	ck_assert_uint_eq(e->off, off);
	ck_assert_uint_eq(e->len, len);
	if (bytes != NULL)
		ck_assert_mem_eq(e + 1, bytes, len);
}

static void overwrites(int sock)
{
	static const byte mac[] = { 2, 9, 9, 9, 9, 9 }, ip[] = { 10, 9, 9, 9 }, port[] = { 0x1f, 0x90 };
	struct pkt_info p;

	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 0, (byte *)(uintptr_t)mac, 6, MOS_ETH_HDR | MOS_OVERWRITE), 0);
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 16, (byte *)(uintptr_t)ip, 4, MOS_IP_HDR | MOS_OVERWRITE | MOS_UPDATE_IP_CHKSUM), 0);
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 2, (byte *)(uintptr_t)port, 2, MOS_TCP_HDR | MOS_OVERWRITE), 0);
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 3, (byte *)(uintptr_t)"XY", 2, MOS_TCP_PAYLOAD | MOS_OVERWRITE), 0);
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 0, NULL, 0, MOS_UPDATE_IP_CHKSUM | MOS_UPDATE_TCP_CHKSUM), 0);
	ck_assert_int_eq(mtcp_getlastpkt(m, sock, 0, &p), 0); /* shows what has been made of it */
	ck_assert_mem_eq(p.ethh->h_dest, mac, 6);
	ck_assert_uint_eq(ntohl(p.iph->daddr), 0x0a090909);
	ck_assert_uint_eq(ntohs(p.tcph->dest), 8080);
	ck_assert_mem_eq(p.payload, "helXY", 5);
	sums_are_right(&p);
}

static void sees_the_edit(int sock)
{
	struct pkt_info p;

	ck_assert_int_eq(mtcp_getlastpkt(m, sock, 0, &p), 0);
	ck_assert_mem_eq(p.payload, "helXY", 5);
}

START_TEST(overwriting)
{
	struct mon_cmd c;

	up();
	body_end = sees_the_edit;
	c = held("hello", overwrites);
	ck_assert_uint_eq(c.verdict.count, 5);
	is_edit(&c, 0, MON_OVERWRITE, MON_ETH, 0, 0, 6, "\2\x9\x9\x9\x9\x9");
	is_edit(&c, 1, MON_OVERWRITE, MON_IP, 1, 16, 4, "\x0a\x9\x9\x9");
	is_edit(&c, 2, MON_OVERWRITE, MON_TCP, 0, 2, 2, "\x1f\x90");
	is_edit(&c, 3, MON_OVERWRITE, MON_PAYLOAD, 0, 3, 2, "XY");
	is_edit(&c, 4, 0, 0, 3, 0, 0, NULL);
	ck_assert_uint_eq(rounds, 2);
	down();
}
END_TEST

static void cuts_and_pastes(int sock)
{
	struct pkt_info p;

	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 1, NULL, 3, MOS_TCP_PAYLOAD | MOS_CHOMP), 0);
	ck_assert_int_eq(mtcp_getlastpkt(m, sock, 0, &p), 0);
	ck_assert_uint_eq(p.payloadlen, 2);
	ck_assert_mem_eq(p.payload, "ho", 2);
	ck_assert_uint_eq(p.ip_len, 54);
	ck_assert_uint_eq(p.eth_len, 68);
	sums_are_right(&p);
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 2, (byte *)(uintptr_t)"use!", 4, MOS_TCP_PAYLOAD | MOS_INSERT), 0);
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 20, NULL, 12, MOS_TCP_HDR | MOS_CHOMP), 0); /* the options */
	ck_assert_int_eq(mtcp_getlastpkt(m, sock, 0, &p), 0);
	ck_assert_uint_eq(p.tcph->doff, 5);
	ck_assert_uint_eq(p.payloadlen, 6);
	ck_assert_mem_eq(p.payload, "house!", 6);
	ck_assert_uint_eq(p.ip_len, 46);
	sums_are_right(&p);
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 20, (byte *)(uintptr_t)"\x94\4\0\0", 4, MOS_IP_HDR | MOS_INSERT), 0); /* router alert */
	ck_assert_int_eq(mtcp_getlastpkt(m, sock, 0, &p), 0);
	ck_assert_uint_eq(p.iph->ihl, 6);
	ck_assert_uint_eq(p.ip_len, 50);
	ck_assert_mem_eq(p.payload, "house!", 6);
	ck_assert_uint_eq(ntohs(p.tcph->dest), 80);
	sums_are_right(&p);
}

START_TEST(chomping_and_inserting)
{
	struct mon_cmd c;

	up();
	c = held("hello", cuts_and_pastes);
	ck_assert_uint_eq(c.verdict.count, 4);
	is_edit(&c, 0, MON_CHOMP, MON_PAYLOAD, 0, 1, 3, NULL);
	is_edit(&c, 1, MON_INSERT, MON_PAYLOAD, 0, 2, 4, "use!");
	is_edit(&c, 2, MON_CHOMP, MON_TCP, 0, 20, 12, NULL);
	is_edit(&c, 3, MON_INSERT, MON_IP, 0, 20, 4, "\x94\4\0\0");
	down();
}
END_TEST

static void mistakes(int sock)
{
	static byte big[65000];
	byte b[16] = { 0 };
	struct pkt_info p;

	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 1, 0), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 1, MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 1, MOS_TCP_PAYLOAD | MOS_UPDATE_IP_CHKSUM), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 1, MOS_OVERWRITE), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 1, MOS_OVERWRITE | MOS_CHOMP | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 1, MOS_OVERWRITE | MOS_DROP | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 1, MOS_OVERWRITE | MOS_TCP_HDR | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD | 0x4000), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, -1, b, 1, MOS_DROP), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, NULL, 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 5, b, 1, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 4, b, 2, MOS_OVERWRITE | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 6, b, 1, MOS_INSERT | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, NULL, 6, MOS_CHOMP | MOS_TCP_PAYLOAD), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, big, 65000, MOS_INSERT | MOS_TCP_PAYLOAD), EAGAIN); /* more than the area for edits */
	FAILS(mtcp_setlastpkt(m, sock, 0, 10, b, 5, MOS_OVERWRITE | MOS_ETH_HDR), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 18, b, 3, MOS_OVERWRITE | MOS_IP_HDR), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 30, b, 3, MOS_OVERWRITE | MOS_TCP_HDR), EINVAL);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, b, 4, MOS_INSERT | MOS_ETH_HDR), EACCES);
	FAILS(mtcp_setlastpkt(m, sock, 0, 0, NULL, 4, MOS_CHOMP | MOS_ETH_HDR), EACCES);
	FAILS(mtcp_setlastpkt(m, sock, 0, 16, NULL, 4, MOS_CHOMP | MOS_IP_HDR), EINVAL); /* the fixed part */
	FAILS(mtcp_setlastpkt(m, sock, 0, 20, NULL, 3, MOS_CHOMP | MOS_TCP_HDR), EINVAL); /* no whole words */
	FAILS(mtcp_setlastpkt(m, sock, 0, 32, big, 32, MOS_INSERT | MOS_TCP_HDR), EINVAL); /* above 60 bytes */
	ck_assert_int_eq(mtcp_getlastpkt(m, sock, 0, &p), 0);
	ck_assert_mem_eq(p.payload, "hello", 5); /* as it was */
	FAILS(mtcp_setlastpkt(NULL, sock, 0, 0, b, 1, MOS_DROP), EACCES);
}

START_TEST(edits_that_do_not_fit)
{
	static const struct sm_conf conf = { .edit_size = 4096 };
	byte b = 0;

	start(&conf);
	ck_assert_uint_eq(held("hello", mistakes).verdict.verdict, MON_PASS);
	FAILS(mtcp_setlastpkt(m, mon, 0, 0, &b, 1, MOS_DROP), EPERM);
	down();
}
END_TEST

static void overwrites_all(int sock)
{
	static byte b[600];

	memset(b, 'e', sizeof(b));
	b[0] = (byte)rounds;
	ck_assert_int_eq(mtcp_setlastpkt(m, sock, 0, 0, b, sizeof(b), MOS_OVERWRITE | MOS_TCP_PAYLOAD), 0);
}

/* The area for edits and the command ring go round; what finds no room waits, in order. */
START_TEST(little_room)
{
	static const struct sm_conf conf = { .edit_size = 2048, .cmd_slots = 8 };
	char text[601];
	unsigned asked = 0, answered = 0;

	memset(text, 'x', 600);
	text[600] = '\0';
	start(&conf);
	body = overwrites_all;
	ck_assert_int_eq(mtcp_unregister_callback(m, mon, MOS_ON_TCP_STATE_CHANGE, MOS_HK_SND), 0);
	for (unsigned turn = 0; turn < 40; turn++) {
		for (unsigned i = 0; i < 13; i++) { /* more than there are slots, and than the area holds */
			struct mon_event e;

			f.claim = ++asked;
			sm_packet(&f, MON_CLI, text);
			e = sm_event(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, MEVF_HELD);
			sm_put(lane, &e);
		}
		while (answered < asked) {
			struct mon_cmd c = sm_expect(lane, MCMD_VERDICT);
			char want[600];

			answered++;
			memset(want, 'e', sizeof(want));
			want[0] = (char)answered;
			ck_assert_uint_eq(c.verdict.claim, answered);
			is_edit(&c, 0, MON_OVERWRITE, MON_PAYLOAD, 0, 0, 600, want);
		}
	}
	down();
}
END_TEST

/* --- Packets of one's own ---------------------------------------------------------------------------------------------------------- */

static void sends(int sock)
{
	struct pkt_info p;
	byte text[] = "instead";
	byte frame[60] = { 1, 2, 3 };

	ck_assert_int_eq(mtcp_getlastpkt(m, sock, 0, &p), 0);
	p.payload = text;
	p.payloadlen = 7;
	p.seq += 100;
	p.ack_seq += 5;
	p.window = 77;
	ck_assert_int_eq(mtcp_sendpkt(m, sock, &p), 0);
	p.ethh = NULL; /* from the packet at hand */
	p.iph = NULL;
	p.tcph = NULL;
	p.payload = NULL;
	ck_assert_int_eq(mtcp_sendpkt(m, sock, &p), 0);
	ck_assert_int_eq(mtcp_sendpkt_raw(m, sock, frame, sizeof(frame)), 0);
	FAILS(mtcp_sendpkt_raw(m, sock, frame, 13), EINVAL);
	FAILS(mtcp_sendpkt_raw(m, sock, NULL, 60), EINVAL);
	FAILS(mtcp_sendpkt_raw(m, 99, frame, 60), EBADF);
	FAILS(mtcp_sendpkt(m, sock, NULL), EINVAL);
	FAILS(mtcp_sendpkt(m, mon, &p), EPERM);
	FAILS(mtcp_sendpkt(m, 99, &p), EBADF);
	ck_assert_int_eq(mtcp_reset_conn(m, sock), 0);
}

static struct mon_cmd sent(uint8_t *frame)
{
	struct mon_cmd c = sm_expect(lane, MCMD_SEND);

	ck_assert_uint_eq(c.flow, f.rec);
	ck_assert_uint_eq(c.gen, (uint32_t)f.serial);
	ck_assert_uint_eq(c.send.port, MON_NONE);
	memcpy(frame, sm_bytes(lane, c.send.off, c.send.len), c.send.len);
	return c;
}

START_TEST(sending)
{
	uint8_t buf[2048], *frame = buf + 2;
	struct pkt_info p = { 0 };
	struct mon_cmd c;

	up();
	body = sends;
	sm_packet(&f, MON_CLI, "hello");
	sm_tell(&f, MON_PKT_IN, MON_HK_SND, MON_CLI, 0); /* not held: still an inline monitor */
	c = sent(frame);
	ck_assert_uint_eq(c.send.len, 14 + 20 + 32 + 7);
	p.iph = (struct iphdr *)(void *)(frame + 14);
	p.tcph = (struct tcphdr *)(void *)(frame + 34);
	p.ip_len = 59;
	ck_assert_uint_eq(ntohs(p.iph->tot_len), 59);
	ck_assert_uint_eq(ntohl(p.iph->saddr), 0x0a000002);
	ck_assert_uint_eq(ntohl(p.tcph->seq), 6101);
	ck_assert_uint_eq(ntohl(p.tcph->ack_seq), 5006);
	ck_assert_uint_eq(ntohs(p.tcph->window), 77);
	ck_assert_uint_eq(p.tcph->doff, 8);
	ck_assert_mem_eq(frame + 54, "\1\1\x8\xa\0\0\0\7\0\0\0\x9", 12); /* the timestamps */
	ck_assert_uint_eq(p.tcph->ack, 1);
	ck_assert_mem_eq(frame + 66, "instead", 7);
	sums_are_right(&p);
	c = sent(frame);
	ck_assert_uint_eq(c.send.len, 66);
	p.ip_len = 52;
	sums_are_right(&p);
	c = sent(frame);
	ck_assert_uint_eq(c.send.len, 60);
	ck_assert_mem_eq(frame, "\1\2\3", 3);
	c = sm_expect(lane, MCMD_RESET);
	ck_assert_uint_eq(c.flow, f.rec);
	ck_assert_uint_eq(rounds, 1);
	down();
}
END_TEST

static int flow_sock;

static void remembers(int sock)
{
	flow_sock = sock;
}

static void sends_without(int sock)
{
	struct pkt_info p = { 0 };

	FAILS(mtcp_sendpkt(m, sock, &p), ENODATA);
}

/* Frames and resets from any thread; segments need a packet to be like. */
START_TEST(sending_from_elsewhere)
{
	uint8_t frame[64] = { 9, 9 };
	struct pkt_info p = { 0 };
	struct mon_cmd c;

	up();
	body = remembers;
	sm_tell(&f, MON_NEW_DATA, MON_HK_NULL, MON_SVR, 0);
	body = sends_without;
	sm_tell(&f, MON_NEW_DATA, MON_HK_NULL, MON_SVR, 0);
	ck_assert_int_eq(mtcp_sendpkt_raw(m, flow_sock, frame, 64), 0);
	c = sent(frame);
	ck_assert_mem_eq(frame, "\x9\x9", 2);
	ck_assert_int_eq(mtcp_sendpkt_raw(m, mon, frame, 64), 0);
	c = sm_expect(lane, MCMD_SEND);
	ck_assert_uint_eq(c.flow, MON_NONE);
	ck_assert_int_eq(mtcp_reset_conn(m, flow_sock), 0);
	c = sm_expect(lane, MCMD_RESET);
	ck_assert_uint_eq(c.flow, f.rec);
	FAILS(mtcp_sendpkt(m, flow_sock, &p), EPERM);
	FAILS(mtcp_reset_conn(m, mon), ENOTSOCK);
	down();
}
END_TEST

int main(void)
{
	Suite *su = suite_create("shim_mon_pkt");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(su);
	int failed;

	suite_add_tcase(su, t);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, looking);
	tcase_add_test(t, no_packet);
	tcase_add_test(t, passing_and_dropping);
	tcase_add_test(t, each_claim_is_answered);
	tcase_add_test(t, passive_monitors_may_not);
	tcase_add_test(t, overwriting);
	tcase_add_test(t, chomping_and_inserting);
	tcase_add_test(t, edits_that_do_not_fit);
	tcase_add_test(t, little_room);
	tcase_add_test(t, sending);
	tcase_add_test(t, sending_from_elsewhere);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
