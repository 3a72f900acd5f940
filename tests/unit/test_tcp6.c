/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TCP over IPv6, with the real net/ below: sizes, checksums, cookies, paths that carry less.  What TCP does besides knows no family, and
 * is tested over IPv4.
 */
#include "stackd/tcp/conn.h"
#include "stackd/tcp/priv.h"
#include "tests/unit/ip6_fixture.h"

enum { PEER_PORT = 4000, OUR_PORT = 80, PEER_ISS = 7000 };

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 0xa};
static struct tcp *tcp;
static struct tcp_owner owner, *owners[1] = {&owner};
static struct listen_table *listeners;
static uint8_t out[2048]; /* the last segment of ours: its IP packet */

static void on_note(void *arg, struct tcp_conn *c)
{
	(void)arg;
	c->note = 0;
}

static void open_tcp(uint32_t syn_queue)
{
	static const struct tcp_hooks hooks = {.note = on_note};
	struct listen_who who = {.app = 1, .pid = 1, .owner = owners};
	struct tcp_conf c;
	struct listener *l;

	tcp_conf_default(&c);
	c.max_conns = 1000;
	c.syn_queue = syn_queue;
	c.timestamps = false;
	memset(&owner, 0, sizeof(owner));
	owner.conns_max = 100;
	ck_assert_int_eq(bytes_pool_init(&owner.rx), 0);
	listeners = listen_table_create(1);
	tcp = tcp_create(&c, net, &stats, listeners, 0, &hooks, now);
	ck_assert_ptr_nonnull(tcp);
	net_on_icmp_error(net, tcp_icmp_error, tcp);
	l = listen_bind(listeners, &who, &(struct ipaddr){.w = {0}}, OUR_PORT, 0, 0, 0);
	ck_assert_int_eq(listen_start(listeners, l, 10), 0);
	know6(PEER6, mac_a);
}

static void setup_tcp(void)
{
	setup6();
	open_tcp(10);
}

static void teardown_tcp(void)
{
	tcp_destroy(tcp);
	listen_table_destroy(listeners);
	bytes_pool_fini(&owner.rx);
	teardown();
}

/* A segment from PEER6, and what comes of it. */
static void in_seg(uint8_t flags, uint32_t seq, uint32_t ack, uint16_t mss)
{
	unsigned len = 20 + (mss ? 4 : 0);
	uint8_t l4[64];

	tcp_put(l4, 0, 0, PEER_PORT, OUR_PORT, 0);
	put32(l4 + 4, seq);
	put32(l4 + 8, ack);
	l4[12] = (uint8_t)(len / 4 << 4);
	l4[13] = flags;
	l4[20] = 2;
	l4[21] = 4;
	put16(l4 + 22, mss);
	seal6(PEER6, OURS6, PROTO_TCP, l4, len, 16);
	in_ip6(PEER6, OURS6, PROTO_TCP, l4, len);
	ck_assert_uint_eq(tcp_count, 1);
	tcp_flow_lookup(tcp, tcp_got, 1);
	tcp_in(tcp, tcp_got, 1, now);
	tcp_count = 0;
	tcp_settle(tcp, 100, now);
	net_flush(net, now);
}

/* The next frame must be a segment with a right checksum; returns its TCP header. */
static const uint8_t *out_seg(uint8_t flags)
{
	unsigned len = out_ip6(out, sizeof(out)) - 40;

	ck_assert_uint_eq(out[6], PROTO_TCP);
	ck_assert_uint_eq(csum_finish(csum_add(csum_pseudo6(out, PROTO_TCP, len), out + 40, len)), 0);
	ck_assert_uint_eq(out[40 + 13], flags);
	return out + 40;
}

static uint16_t mss_of(const uint8_t *seg)
{
	struct seg_opts o;

	ck_assert(seg_parse(seg + 20, (unsigned)(seg[12] >> 4) * 4 - 20, &o));
	ck_assert(o.has & SEG_HAS_MSS);
	return o.mss;
}

static struct tcp_conn *the_conn(void)
{
	struct tuple t = {OURS6, PEER6, OUR_PORT, PEER_PORT};

	return tcp_find(tcp, &t);
}

/* RFC 9293, 3.7.1: 60 bytes less than the MTU, and 1220 for a peer that does not say. */
START_TEST(segment_sizes)
{
	const uint8_t *s;
	uint32_t iss;

	in_seg(2, PEER_ISS, 0, 9000);
	s = out_seg(0x12);
	ck_assert_uint_eq(mss_of(s), 1440);
	iss = get32(s + 4);
	in_seg(0x10, PEER_ISS + 1, iss + 1, 0);
	ck_assert_uint_eq(the_conn()->state, TCP_ESTABLISHED);
	ck_assert_uint_eq(the_conn()->mss, 1440);
	in_seg(4, PEER_ISS + 1, 0, 0);
	in_seg(2, PEER_ISS, 0, 0);
	s = out_seg(0x12);
	in_seg(0x10, PEER_ISS + 1, get32(s + 4) + 1, 0);
	ck_assert_uint_eq(the_conn()->mss, 1220);
}
END_TEST

START_TEST(resets)
{
	const uint8_t *s;

	in_seg(0x10, 5, 77, 0);
	s = out_seg(4);
	ck_assert_uint_eq(get32(s + 4), 77);
	ck_assert_mem_eq(out + 24, PEER6.b, 16);
}
END_TEST

START_TEST(cookies)
{
	const uint8_t *s;
	uint32_t iss;

	teardown_tcp();
	setup6();
	open_tcp(0); /* every SYN is one too many */
	in_seg(2, PEER_ISS, 0, 1440);
	s = out_seg(0x12);
	ck_assert_uint_eq(stats.n[CNT_TCP_SYN_COOKIE_OUT], 1);
	ck_assert_uint_eq(mss_of(s), 1440);
	iss = get32(s + 4);
	ck_assert_ptr_null(the_conn());
	in_seg(0x10, PEER_ISS + 1, iss + 2, 0);
	ck_assert_ptr_null(the_conn());
	(void)out_seg(4);
	in_seg(0x10, PEER_ISS + 1, iss + 1, 0);
	ck_assert_ptr_nonnull(the_conn());
	ck_assert_uint_eq(the_conn()->state, TCP_ESTABLISHED);
	ck_assert_uint_eq(the_conn()->mss, 1440);
	ck_assert_uint_eq(stats.n[CNT_TCP_SYN_COOKIE_IN], 1);
}
END_TEST

static void in_too_big(uint32_t mtu, uint32_t seq)
{
	uint8_t m[8 + 40 + 20] = {ICMP6_TOO_BIG};

	put32(m + 4, mtu);
	m[8] = 0x60;
	m[14] = PROTO_TCP;
	memcpy(m + 16, OURS6.b, 16);
	memcpy(m + 32, PEER6.b, 16);
	put16(m + 48, OUR_PORT);
	put16(m + 50, PEER_PORT);
	put32(m + 52, seq);
	in_icmp6(ROUTER6, OURS6, m, sizeof(m));
}

/* RFC 8201, and RFC 5927: only about what is on its way. */
START_TEST(paths_that_carry_less)
{
	struct tcp_conn *c;

	in_seg(2, PEER_ISS, 0, 1440);
	in_seg(0x10, PEER_ISS + 1, get32(out_seg(0x12) + 4) + 1, 0);
	c = the_conn();
	in_too_big(1400, c->snd_una); /* nothing is */
	ck_assert_uint_eq(c->mss, 1440);
	tcp_shutdown(tcp, c, 1);
	tcp_settle(tcp, 100, now);
	(void)out_seg(0x11);
	in_too_big(1400, c->snd_una - 1);
	in_too_big(1400, c->snd_max);
	ck_assert_uint_eq(c->mss, 1440);
	ck_assert_uint_eq(stats.n[CNT_TCP_ICMP_IGNORED], 3);
	in_too_big(1400, c->snd_una);
	ck_assert_uint_eq(c->mss, 1340);
	in_too_big(1279, c->snd_una);
	ck_assert_uint_eq(c->mss, 1340);
	in_too_big(1280, c->snd_una);
	ck_assert_uint_eq(c->mss, 1220);
	ck_assert_uint_eq(stats.n[CNT_TCP_MTU_LOWERED], 2);
}
END_TEST

START_TEST(opens)
{
	struct tcp_open o = {.dst = PEER6, .dport = 443};
	struct tcp_conn *c, *d;
	const uint8_t *s;

	ck_assert_int_eq(tcp_open(tcp, &owner, &o, now, &c), 0);
	tcp_settle(tcp, 100, now);
	s = out_seg(2);
	ck_assert_uint_eq(mss_of(s), 1440);
	ck_assert_mem_eq(out + 8, OURS6.b, 16);
	ck_assert_uint_ge(get16(s), 32768);
	o.src = from_ip4(OURS);
	ck_assert_int_eq(tcp_open(tcp, &owner, &o, now, &d), -99); /* EADDRNOTAVAIL: of the other family */
	tcp_release(tcp, c, 0);
}
END_TEST

/* Each tuple has its own initial sequence number (RFC 6528) and source port (RFC 6056), by all of its 128 bits. */
START_TEST(secrets_look_at_whole_addresses)
{
	struct tuple a = {OURS6, PEER6, OUR_PORT, PEER_PORT};

	for (unsigned i = 0; i < 16; i++) {
		struct tuple b = a;

		b.peer.b[i] ^= 1;
		ck_assert_uint_ne(secret_isn(&tcp->secret, &a, now), secret_isn(&tcp->secret, &b, now));
		ck_assert_uint_ne(secret_flow(&tcp->secret, &a), secret_flow(&tcp->secret, &b));
		ck_assert_uint_ne(secret_port(&tcp->secret, &a, 0), secret_port(&tcp->secret, &b, 0));
		ck_assert_uint_ne(secret_cookie(&tcp->secret, &a, 1, 1, 1), secret_cookie(&tcp->secret, &b, 1, 1, 1));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tcp6");
	TCase *c = tcase_create("tcp6");

	tcase_add_checked_fixture(c, setup_tcp, teardown_tcp);
	suite_add_tcase(s, c);
	TEST(segment_sizes)
	TEST(resets)
	TEST(cookies)
	TEST(paths_that_carry_less)
	TEST(opens)
	TEST(secrets_look_at_whole_addresses)
	return run_suite(s);
}
