/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ports on DPDK's virtual devices that need neither privileges nor a network, and the device strings of those that do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stackd/nic/devargs.h"
#include "tests/unit/eal_fixture.h"

enum { PACKETS = 2048 };

static struct pkt *frame(struct nic *n, uint8_t mark, uint32_t len)
{
	struct pkt *p = nic_alloc(n);

	ck_assert_ptr_nonnull(p);
	memset(p->data, mark, len);
	p->len = len;
	return p;
}

START_TEST(needs_eal)
{
	if (nic_eal_ready()) /* all tests in one process */
		return;
	errno = 0;
	ck_assert_ptr_null(nic_dpdk_open("net_null0", "p", 1, PACKETS, 1500));
	ck_assert_int_eq(errno, ENOTSUP);
}
END_TEST

START_TEST(eal_leaves_the_affinity)
{
	cpu_set_t before, after;

	pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	eal_open(64);
	pthread_getaffinity_np(pthread_self(), sizeof(after), &after);
	ck_assert(CPU_EQUAL(&before, &after));
	ck_assert(nic_eal_ready());
	ck_assert(!nic_eal_hugepages());
	eal_open(64); /* again: nothing */
}
END_TEST

START_TEST(ring_goes_round)
{
	struct pkt *p[8], *got[8];
	struct nic *n;

	eal_open(64);
	n = nic_dpdk_open("net_ring0", "ring", 1, PACKETS, 1500);
	ck_assert_ptr_nonnull(n);
	ck_assert_str_eq(n->name, "ring");
	ck_assert_uint_eq(n->wait_fds, 0);
	for (unsigned i = 0; i < 8; i++)
		p[i] = frame(n, (uint8_t)i, 60 + i);
	ck_assert_uint_eq(nic_tx(n, 0, p, 8, 0), 8);
	ck_assert_uint_eq(nic_rx(n, 0, got, 8, 123), 8);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_uint_eq(got[i]->len, 60 + i);
		ck_assert_uint_eq(got[i]->data[59 + i], i);
		ck_assert_ptr_eq(got[i]->nic, n);
		ck_assert_uint_eq(got[i]->when_us, 123);
		ck_assert_uint_ge(got[i]->room, 1522);
		nic_free(got[i]);
	}
	ck_assert_uint_eq(nic_rx(n, 1, got, 8, 0), 0); /* there is no such queue */
	nic_close(n);
}
END_TEST

/* A frame that net/ has shortened or moved within its buffer is sent as it is now. */
START_TEST(data_may_move)
{
	struct pkt *p, *got;
	struct nic *n;

	eal_open(64);
	n = nic_dpdk_open("net_ring1", "ring", 1, PACKETS, 1500);
	p = frame(n, 1, 100);
	p->data -= PKT_HEADROOM;
	memset(p->data, 2, 70);
	p->len = 70;
	nic_tx(n, 0, &p, 1, 0);
	ck_assert_uint_eq(nic_rx(n, 0, &got, 1, 0), 1);
	ck_assert_uint_eq(got->len, 70);
	ck_assert_uint_eq(got->data[69], 2);
	nic_free(got);
	nic_close(n);
}
END_TEST

START_TEST(pool_is_bounded)
{
	static struct pkt *p[PACKETS + 1];
	struct nic *n;
	unsigned got = 0;

	eal_open(64);
	n = nic_dpdk_open("net_null0", "null", 1, PACKETS, 1500);
	while (got <= PACKETS && (p[got] = nic_alloc(n)))
		got++;
	ck_assert_uint_eq(got, PACKETS);
	nic_free(p[--got]);
	p[got] = nic_alloc(n);
	ck_assert_ptr_nonnull(p[got]);
	for (unsigned i = 0; i <= got; i++)
		nic_free(p[i]);
	nic_close(n);
}
END_TEST

START_TEST(foreign_frames_are_copied)
{
	struct nic *n, *mem[2];
	struct pkt *p, *got;

	eal_open(64);
	n = nic_dpdk_open("net_ring2", "ring", 1, PACKETS, 1500);
	nic_mem_pair(mem, 4, 9000);
	p = frame(mem[0], 9, 1000);
	ck_assert_uint_eq(nic_tx(n, 0, &p, 1, 0), 1);
	ck_assert_uint_eq(nic_mem_out(mem[0]), 0);
	ck_assert_uint_eq(nic_rx(n, 0, &got, 1, 0), 1);
	ck_assert_uint_eq(got->data[999], 9);
	nic_free(got);
	p = frame(mem[0], 9, 8000); /* too long for a buffer */
	ck_assert_uint_eq(nic_tx(n, 0, &p, 1, 0), 0);
	ck_assert_uint_eq(nic_mem_out(mem[0]), 0);
	nic_close(n);
	nic_close(mem[0]);
	nic_close(mem[1]);
}
END_TEST

START_TEST(full_queue_drops_and_counts)
{
	struct pkt *p;
	struct nic *n;
	uint64_t c[NIC_CNT_MAX];
	unsigned sent = 0;

	eal_open(64);
	n = nic_dpdk_open("net_ring3", "ring", 1, PACKETS, 1500);
	for (unsigned i = 0; i < 1100; i++) { /* the ring has 1023 places */
		p = frame(n, 1, 60);
		sent += nic_tx(n, 0, &p, 1, 0);
	}
	nic_counters(n, c);
	ck_assert_uint_eq(sent, 1023);
	ck_assert_uint_eq(c[NIC_CNT_TX_FULL], 1100 - 1023);
	while (nic_rx(n, 0, &p, 1, 0) == 1)
		nic_free(p);
	nic_close(n);
}
END_TEST

START_TEST(queues_as_the_device_has_them)
{
	struct nic *n;

	eal_open(64);
	n = nic_dpdk_open("net_ring4", "ring", 2, PACKETS, 1500);
	ck_assert_ptr_nonnull(n);
	ck_assert_uint_le(n->rx_queues, 2);
	ck_assert_uint_ge(n->rx_queues, 1);
	ck_assert(!n->rss);
	nic_close(n);
}
END_TEST

static void *worker(void *arg)
{
	struct nic *n = arg;
	struct pkt *p;

	if (nic_thread_register())
		return NULL;
	p = nic_alloc(n);
	nic_free(p);
	return p;
}

START_TEST(engine_threads_register)
{
	pthread_t t[3];
	struct nic *n;
	void *ok;

	eal_open(64);
	n = nic_dpdk_open("net_null1", "null", 1, PACKETS, 1500);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, worker, n), 0);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(t[i], &ok);
		ck_assert_ptr_nonnull(ok);
	}
	nic_close(n);
}
END_TEST

START_TEST(opens_again_after_close)
{
	struct nic *n;

	eal_open(64);
	for (unsigned i = 0; i < 3; i++) {
		n = nic_dpdk_open("net_null2", "null", 1, PACKETS, 1500);
		ck_assert_ptr_nonnull(n);
		nic_close(n);
	}
}
END_TEST

START_TEST(bad_devices)
{
	eal_open(64);
	ck_assert_ptr_null(nic_dpdk_open("net_nonsense0", "x", 1, PACKETS, 1500));
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_ptr_null(nic_dpdk_open("net_af_packet0,iface=nosuchif0", "x", 1, PACKETS, 1500));
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_ptr_null(nic_dpdk_open("", "x", 1, PACKETS, 1500));
	ck_assert_ptr_null(nic_dpdk_open("net_null3", "x", 1, 100000000, 1500)); /* no memory */
}
END_TEST

static void put32le(FILE *f, uint32_t v)
{
	fwrite((const uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)}, 1, 4, f);
}

START_TEST(capture_file_is_replayed)
{
	char file[] = "/tmp/test_nic_dpdk.XXXXXX", device[128];
	struct pkt *p;
	struct nic *n;
	FILE *f = fdopen(mkstemp(file), "w");

	put32le(f, 0xa1b2c3d4);
	put32le(f, 4 << 16 | 2);
	put32le(f, 0);
	put32le(f, 0);
	put32le(f, 65535);
	put32le(f, 1); /* Ethernet */
	for (unsigned i = 0; i < 3; i++) {
		put32le(f, i);
		put32le(f, 0);
		put32le(f, 60 + i * 1000); /* the last one is longer than a buffer */
		put32le(f, 60 + i * 1000);
		for (unsigned k = 0; k < 60 + i * 1000; k++)
			fputc((int)i, f);
	}
	fclose(f);
	eal_open(64);
	snprintf(device, sizeof(device), "net_pcap0,rx_pcap=%s,tx_pcap=/dev/null", file);
	n = nic_dpdk_open(device, "file", 1, PACKETS, 1500);
	unlink(file);
	ck_assert_ptr_nonnull(n);
	for (unsigned i = 0; i < 3; i++) {
		uint16_t got = nic_rx(n, 0, &p, 1, 0);

		if (i == 2) {
			ck_assert(got == 0 || p->len == 2060); /* dropped, or made one piece */
			if (got)
				nic_free(p);
			break;
		}
		ck_assert_uint_eq(got, 1);
		ck_assert_uint_eq(p->len, 60 + i * 1000);
		ck_assert_uint_eq(p->data[p->len - 1], i);
		nic_free(p);
	}
	nic_close(n);
}
END_TEST

START_TEST(pci_is_recognised)
{
	ck_assert(nic_is_pci("0000:03:00.0"));
	ck_assert(nic_is_pci("03:00.1"));
	ck_assert(nic_is_pci("0000:03:00.0,rxq_cqe_comp_en=0"));
	ck_assert(!nic_is_pci("net_tap0"));
	ck_assert(!nic_is_pci("net_af_packet0,iface=03:00.0"));
	ck_assert(!nic_is_pci("03:00.0x"));
	ck_assert(!nic_is_pci("03:00"));
	ck_assert(!nic_is_pci(""));
}
END_TEST

static const char *completed(const char *device, unsigned queues, uint16_t mtu)
{
	static char out[DEVARGS_SIZE];

	ck_assert_int_eq(devargs_complete(out, device, queues, mtu), 0);
	return out;
}

START_TEST(device_strings_are_completed)
{
	char name[32], longer[400], out[DEVARGS_SIZE];

	ck_assert_str_eq(completed("net_null0", 4, 1500), "net_null0");
	ck_assert_str_eq(completed("net_af_packet0,iface=lo", 1, 1500), "net_af_packet0,iface=lo,framecnt=2048");
	ck_assert_str_eq(completed("net_af_packet0,iface=lo", 2, 1500), "net_af_packet0,iface=lo,qpairs=2,framecnt=2048");
	ck_assert_str_eq(completed("net_af_packet0,iface=lo,qpairs=1", 2, 1500), "net_af_packet0,iface=lo,qpairs=1,framecnt=2048");
	ck_assert_str_eq(completed("net_af_packet0,iface=lo", 1, 9000),
	                 "net_af_packet0,iface=lo,framesz=9216,blocksz=36864,framecnt=512");
	ck_assert_str_eq(completed("net_af_packet0,iface=lo,framesz=4096,blocksz=8192", 1, 9000),
	                 "net_af_packet0,iface=lo,framesz=4096,blocksz=8192");
	ck_assert_uint_eq(devargs_frame_size("net_af_packet0,iface=lo,framesz=9216"), 9216);
	ck_assert_uint_eq(devargs_frame_size("net_null0,framesz=9216"), 0);
	devargs_name(name, sizeof(name), "net_af_packet0,iface=lo");
	ck_assert_str_eq(name, "net_af_packet0");
	memset(longer, 'x', sizeof(longer));
	longer[399] = '\0';
	ck_assert_int_eq(devargs_complete(out, longer, 1, 1500), -ENAMETOOLONG);
	ck_assert_int_eq(devargs_complete(out, "lo", 1, 1500), -ENODEV); /* what newcomers write */
}
END_TEST

START_TEST(sockets_are_told_apart)
{
	struct devargs_fds *before = malloc(sizeof(*before));
	int fd[4], other;

	ck_assert_ptr_nonnull(before);
	devargs_fds_now(before);
	ck_assert(before->open[0]);
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_uint_eq(devargs_sockets_since(before, fd, 4), 0);
	close(other);
	free(before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nic_dpdk");
	TCase *c = tcase_create("nic_dpdk");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_test(c, needs_eal);
	tcase_add_test(c, eal_leaves_the_affinity);
	tcase_add_test(c, ring_goes_round);
	tcase_add_test(c, data_may_move);
	tcase_add_test(c, pool_is_bounded);
	tcase_add_test(c, foreign_frames_are_copied);
	tcase_add_test(c, full_queue_drops_and_counts);
	tcase_add_test(c, queues_as_the_device_has_them);
	tcase_add_test(c, engine_threads_register);
	tcase_add_test(c, opens_again_after_close);
	tcase_add_test(c, bad_devices);
	tcase_add_test(c, capture_file_is_replayed);
	tcase_add_test(c, pci_is_recognised);
	tcase_add_test(c, device_strings_are_completed);
	tcase_add_test(c, sockets_are_told_apart);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
