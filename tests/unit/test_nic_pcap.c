/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Captures as ports: both file formats, their times, link types, files that are cut off or no captures at all.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stackd/log.h"
#include "stackd/nic/nic.h"

enum {
	MICRO = 0xa1b2c3d4,
	NANO = 0xa1b23c4d,
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_RAW = 101,
	LINK_WLAN = 105,
	LINK_SLL = 113,
	LINK_SLL2 = 276,
	BURST = 64,
};

static char path[64];
static FILE *out;
static struct nic *nic;

static void setup(void)
{
	int fd;

	log_open(LOG_LEVEL_ERR);
	strcpy(path, "/tmp/test_nic_pcap.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	out = fdopen(fd, "w");
	ck_assert_ptr_nonnull(out);
}

static void teardown(void)
{
	nic_close(nic);
	nic = NULL;
	if (out != NULL)
		fclose(out);
	unlink(path);
}

/* --- Writing ------------------------------------------------------------------------------------------------------------ */

static void put(const void *data, size_t len)
{
	ck_assert_uint_eq(fwrite(data, 1, len, out), len);
}

static void put32(uint32_t v)
{
	put(&v, sizeof(v));
}

static void head(uint32_t magic, uint32_t link)
{
	put32(magic);
	put("\2\0\4\0", 4); /* version 2.4, of a little-endian machine, as put32() is there */
	put32(0);
	put32(0);
	put32(262144);
	put32(link);
}

static void record(uint32_t sec, uint32_t frac, const void *data, uint32_t caplen, uint32_t len)
{
	put32(sec);
	put32(frac);
	put32(caplen);
	put32(len);
	put(data, caplen);
}

/* pcapng: blocks, each with its length before and after. */
static void block(uint32_t type, const void *body, uint32_t len)
{
	uint32_t padded = (len + 3) & ~3u;

	put32(type);
	put32(padded + 12);
	put(body, len);
	put("\0\0\0", padded - len);
	put32(padded + 12);
}

static void ng_head(uint16_t link)
{
	uint32_t section[4] = { 0x1a2b3c4d, 1, UINT32_MAX, UINT32_MAX };
	uint16_t interface[10] = { link, 0, 0, 0, 9, 1, 9, 0, 0, 0 }; /* if_tsresol = 9: nanoseconds */

	block(0x0a0d0d0a, section, sizeof(section));
	block(1, interface, sizeof(interface));
}

static void ng_record(uint64_t ns, const void *data, uint32_t caplen, uint32_t len)
{
	uint32_t body[5 + 64] = { 0, (uint32_t)(ns >> 32), (uint32_t)ns, caplen, len };

	memcpy(body + 5, data, caplen);
	block(6, body, 20 + caplen);
}

/* --- Reading ------------------------------------------------------------------------------------------------------------ */

static void written(void)
{
	ck_assert_int_eq(fclose(out), 0);
	out = NULL;
}

static void open_it(bool real)
{
	written();
	nic = nic_pcap_open(path, "cap", real);
	ck_assert_ptr_nonnull(nic);
	ck_assert_uint_eq(nic->rx_queues, 1);
}

static struct pkt *one(uint64_t now_us)
{
	struct pkt *p = NULL;
	uint16_t n = nic_rx(nic, 0, &p, 1, now_us);

	ck_assert_uint_le(n, 1);
	return n == 1 ? p : NULL;
}

static void expect_end(uint64_t now_us)
{
	ck_assert_ptr_null(one(now_us));
	ck_assert(nic_pcap_ended(nic));
	ck_assert_uint_eq(nic_next_us(nic, 0, now_us), UINT64_MAX);
}

static uint64_t counted(enum nic_counter id)
{
	uint64_t count[NIC_CNT_MAX];

	nic_counters(nic, count);
	return count[id];
}

static void expect_refused(void)
{
	written();
	errno = 0;
	ck_assert_ptr_null(nic_pcap_open(path, "cap", false));
	ck_assert_int_eq(errno, EINVAL);
}

static uint8_t frame[60];

/* --- Tests -------------------------------------------------------------------------------------------------------------- */

START_TEST(frames_with_their_times)
{
	struct pkt *p;

	head(MICRO, LINK_ETHERNET);
	for (unsigned i = 0; i < 3; i++) {
		memset(frame, (int)i, sizeof(frame));
		record(1700000000 + i, 999999 - i, frame, 60 - i, 60 - i);
	}
	open_it(false);
	for (unsigned i = 0; i < 3; i++) {
		p = one(5);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(p->len, 60 - i);
		ck_assert_uint_ge(p->room, p->len + 2048); /* a monitor may insert */
		ck_assert_uint_eq(p->data[59 - i], i);
		ck_assert_uint_eq(p->cut, 0);
		ck_assert_uint_eq(p->when_us, (1700000000ull + i) * 1000000 + 999999 - i);
		ck_assert_ptr_eq(p->nic, nic);
		nic_free(p);
	}
	expect_end(5);
	ck_assert_uint_eq(counted(NIC_CNT_RX_FRAMES), 3);
	ck_assert_uint_eq(counted(NIC_CNT_RX_BYTES), 60 + 59 + 58);
}
END_TEST

START_TEST(nanoseconds_become_microseconds)
{
	struct pkt *p;

	head(NANO, LINK_ETHERNET);
	record(7, 123456789, frame, 60, 60);
	open_it(false);
	p = one(5);
	ck_assert_uint_eq(nic->mtu, UINT16_MAX); /* no frame of a capture is longer than its port may be */
	ck_assert_uint_eq(p->when_us, 7123456);
	nic_free(p);
}
END_TEST

START_TEST(pcapng)
{
	struct pkt *p;

	ng_head(LINK_ETHERNET);
	memset(frame, 9, sizeof(frame));
	ng_record(1700000000123456789ull, frame, 60, 60);
	block(5, "\0\0\0\0\0\0\0\0\0\0\0\0", 12); /* interface statistics: no frame */
	ng_record(1700000001000000999ull, frame, 33, 1514);
	open_it(false);
	p = one(5);
	ck_assert_uint_eq(p->when_us, 1700000000123456ull);
	ck_assert_uint_eq(p->data[59], 9);
	nic_free(p);
	p = one(5);
	ck_assert_uint_eq(p->when_us, 1700000001000000ull);
	ck_assert_uint_eq(p->len, 33);
	ck_assert_uint_eq(p->cut, 1514 - 33);
	nic_free(p);
	expect_end(5);
}
END_TEST

START_TEST(bursts)
{
	struct pkt *p[BURST];
	unsigned got = 0, n;

	head(MICRO, LINK_ETHERNET);
	for (unsigned i = 0; i < 2 * BURST + 2; i++) {
		memcpy(frame, &i, sizeof(i));
		record(1, i, frame, 60, 60);
	}
	open_it(false);
	ck_assert_uint_eq(nic_rx(nic, 1, p, BURST, 5), 0); /* there is one queue */
	while ((n = nic_rx(nic, 0, p, BURST, 5)) > 0) {
		for (unsigned k = 0; k < n; k++, got++) {
			ck_assert_int_eq(memcmp(p[k]->data, &got, sizeof(got)), 0);
			nic_free(p[k]);
		}
	}
	ck_assert_uint_eq(got, 2 * BURST + 2);
	expect_end(5);
}
END_TEST

/* Less was kept of a frame than was on the wire. */
START_TEST(cut_frames)
{
	struct pkt *p;

	head(MICRO, LINK_ETHERNET);
	record(1, 0, frame, 54, 1514);
	record(1, 1, frame, 0, 60);
	record(1, 2, frame, 60, 10); /* absurd, but harmless */
	open_it(false);
	p = one(5);
	ck_assert_uint_eq(p->len, 54);
	ck_assert_uint_eq(p->cut, 1460);
	nic_free(p);
	p = one(5);
	ck_assert_uint_eq(p->len, 0);
	ck_assert_uint_eq(p->cut, 60);
	nic_free(p);
	p = one(5);
	ck_assert_uint_eq(p->len, 60);
	ck_assert_uint_eq(p->cut, 0);
	nic_free(p);
	expect_end(5);
}
END_TEST

static const uint8_t ip4[20] = { 0x45 }, ip6[40] = { 0x60 };

static void expect_ip(const uint8_t *ip, uint32_t len, uint16_t type)
{
	static const uint8_t none[12];
	struct pkt *p = one(5);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p->len, 14 + len);
	ck_assert_int_eq(memcmp(p->data, none, sizeof(none)), 0);
	ck_assert_uint_eq((unsigned)(p->data[12] << 8 | p->data[13]), type);
	ck_assert_int_eq(memcmp(p->data + 14, ip, len), 0);
	nic_free(p);
}

/* A link header of that many bytes, then an IP packet of each version. */
static void both_versions(uint32_t link, uint8_t *header, uint32_t len, unsigned type_at)
{
	uint8_t data[64];

	head(MICRO, link);
	if (len > 0)
		memcpy(data, header, len);
	memcpy(data + len, ip4, sizeof(ip4));
	if (type_at < len)
		memcpy(data + type_at, "\x08\x00", 2);
	record(1, 0, data, len + sizeof(ip4), len + sizeof(ip4));
	memcpy(data + len, ip6, sizeof(ip6));
	if (type_at < len)
		memcpy(data + type_at, "\x86\xdd", 2);
	record(1, 0, data, len + sizeof(ip6), len + sizeof(ip6));
	if (len > 0)
		record(1, 0, data, len - 1, 60);
	open_it(false);
	expect_ip(ip4, sizeof(ip4), 0x0800);
	expect_ip(ip6, sizeof(ip6), 0x86dd);
	expect_end(5);
	ck_assert_uint_eq(counted(NIC_CNT_RX_ERRORS), len > 0); /* too short for its link header */
}

START_TEST(raw_ip)
{
	both_versions(LINK_RAW, NULL, 0, 0);
}
END_TEST

START_TEST(loopback)
{
	uint8_t family[4] = { 2 };

	both_versions(LINK_NULL, family, sizeof(family), 99);
}
END_TEST

START_TEST(cooked)
{
	uint8_t sll[16] = { 0, 4, 3, 4, 0, 6, 1, 2, 3, 4, 5, 6 };

	both_versions(LINK_SLL, sll, sizeof(sll), 14);
}
END_TEST

START_TEST(cooked_2)
{
	uint8_t sll2[20] = { 0 };

	both_versions(LINK_SLL2, sll2, sizeof(sll2), 0);
}
END_TEST

START_TEST(other_links_are_refused)
{
	head(MICRO, LINK_WLAN);
	record(1, 0, frame, 60, 60);
	expect_refused();
}
END_TEST

START_TEST(empty_file)
{
	expect_refused();
}
END_TEST

START_TEST(garbage)
{
	for (unsigned i = 0; i < 1000; i++)
		put32(i * 2654435761u);
	expect_refused();
}
END_TEST

START_TEST(no_file)
{
	written();
	unlink(path);
	ck_assert_ptr_null(nic_pcap_open(path, "cap", false));
}
END_TEST

/* An engine would wait for its writer, and everybody for the engine. */
START_TEST(pipe_is_refused)
{
	fclose(out);
	out = NULL;
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_ptr_null(nic_pcap_open(path, "cap", false));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(capture_without_frames)
{
	head(MICRO, LINK_ETHERNET);
	open_it(false);
	ck_assert(!nic_pcap_ended(nic)); /* nobody has looked yet */
	expect_end(5);
}
END_TEST

/* What was being written when the machine went down. */
START_TEST(truncated_file)
{
	head(MICRO, LINK_ETHERNET);
	record(1, 0, frame, 60, 60);
	put32(1);
	put32(2);
	put32(60);
	put32(60);
	put(frame, 17);
	open_it(false);
	nic_free(one(5));
	expect_end(5);
	ck_assert_uint_eq(counted(NIC_CNT_RX_FRAMES), 1);
}
END_TEST

START_TEST(absurd_length)
{
	head(MICRO, LINK_ETHERNET);
	record(1, 0, frame, 60, 60);
	put32(1);
	put32(2);
	put32(0xfffffff0);
	put32(0xfffffff0);
	put(frame, sizeof(frame));
	open_it(false);
	nic_free(one(5));
	expect_end(5);
}
END_TEST

START_TEST(pcapng_truncated_and_absurd)
{
	ng_head(LINK_ETHERNET);
	ng_record(1000, frame, 60, 60);
	put32(6);
	put32(0x7ffffff0);
	put(frame, sizeof(frame));
	open_it(false);
	nic_free(one(5));
	expect_end(5);
}
END_TEST

START_TEST(real_time)
{
	head(MICRO, LINK_ETHERNET);
	record(100, 0, frame, 60, 60);
	record(100, 700, frame, 60, 60);
	record(99, 0, frame, 60, 60); /* a clock that was set back: at once */
	record(102, 0, frame, 60, 60);
	open_it(true);
	nic_free(one(5000));
	ck_assert_ptr_null(one(5699));
	ck_assert_uint_eq(nic_next_us(nic, 0, 5699), 5700);
	ck_assert(!nic_pcap_ended(nic));
	nic_free(one(5700));
	nic_free(one(5700));
	ck_assert_ptr_null(one(5700));
	ck_assert_uint_eq(nic_next_us(nic, 0, 5700), 2005000);
	nic_free(one(2005001));
	expect_end(2005001);
}
END_TEST

START_TEST(as_fast_as_possible)
{
	head(MICRO, LINK_ETHERNET);
	record(100, 0, frame, 60, 60);
	record(9999, 0, frame, 60, 60);
	open_it(false);
	ck_assert_uint_eq(nic_next_us(nic, 0, 5), 5);
	nic_free(one(5));
	ck_assert_uint_eq(nic_next_us(nic, 0, 5), 5);
	nic_free(one(5));
	expect_end(5);
}
END_TEST

START_TEST(nothing_can_be_sent)
{
	struct pkt *p;

	head(MICRO, LINK_ETHERNET);
	record(1, 0, frame, 60, 60);
	open_it(false);
	p = nic_alloc(nic);
	ck_assert_ptr_nonnull(p);
	p->len = 60;
	ck_assert_uint_eq(nic_tx(nic, 0, &p, 1, 5), 0);
	ck_assert_uint_eq(counted(NIC_CNT_TX_ERRORS), 1);
}
END_TEST

/* Frames may be with other engines when the port goes. */
START_TEST(frames_outlive_the_port)
{
	struct pkt *p[2];

	head(MICRO, LINK_ETHERNET);
	for (unsigned i = 0; i < 3; i++)
		record(1 + 1000 * (i / 2), 0, frame, 60, 60);
	open_it(true);
	ck_assert_uint_eq(nic_rx(nic, 0, p, 2, 5), 2);
	ck_assert_ptr_null(one(5)); /* the port holds one back */
	nic_close(nic);
	nic = NULL;
	nic_free(p[0]);
	nic_free(p[1]);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		frames_with_their_times, nanoseconds_become_microseconds, pcapng, bursts, cut_frames, raw_ip, loopback, cooked,
		cooked_2, other_links_are_refused, empty_file, garbage, no_file, pipe_is_refused, capture_without_frames,
		truncated_file, absurd_length, pcapng_truncated_and_absurd, real_time, as_fast_as_possible, nothing_can_be_sent,
		frames_outlive_the_port,
	};
	Suite *s = suite_create("nic_pcap");
	TCase *c = tcase_create("nic_pcap");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(c, tests[i]);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
