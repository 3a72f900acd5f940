/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The statistics segment: what is written on one side is read on the other, nothing overlaps, nobody else can write, and
 * unused records cost nothing.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stackctl/segment.h"
#include "stackd/stat_seg.h"

#define SIX "2001:db8:1111:2222:3333:4444:5555:666"

static struct conf conf;
static struct stat_seg seg;
static struct segment view;

static void setup(void)
{
	char why[256];

	conf_default(&conf);
	conf.cores = 3;
	conf.core[1] = 1;
	conf.core[2] = 7;
	conf.max_flows = 1000000;
	conf.ports = 2;
	strcpy(conf.port[0].name, "p0");
	strcpy(conf.port[1].name, "p1");
	memset(conf.port[1].device, 'd', 200); /* longer than is shown */
	conf.port[1].addr[0] = (struct net_addr){ { .w = { 0, 0, htonl(0xffff), htonl(0x0a090001) } }, 24 };
	for (unsigned i = 1; i < 8; i++)
		conf.port[1].addr[i] = (struct net_addr){ { .w = { htonl(0x20010db8), htonl(0x11112222), htonl(0x33334444),
								   htonl(0x55556660 + i) } }, 64 };
	conf.port[1].addrs = 8;
	ck_assert_int_eq(stat_seg_create(&seg, &conf), 0);
	ck_assert_msg(segment_map(&view, seg.region.fd, why, sizeof(why)) == 0, "%s", why);
}

static void teardown(void)
{
	segment_unmap(&view);
	stat_seg_destroy(&seg);
	stat_seg_destroy(&seg); /* harmless */
	stat_seg_destroy(NULL);
}

static void check_head(void)
{
	ck_assert_uint_eq(view.head.engines, 3);
	ck_assert_uint_eq(view.head.counters, CNT_MAX);
	ck_assert_uint_eq(view.head.ports, 2);
	ck_assert_uint_eq(view.head.flows, 1000000);
	ck_assert_uint_eq(view.head.nic_counters, NIC_CNT_MAX);
	ck_assert_uint_eq(view.head.pid, (uint32_t)getpid());
	ck_assert_str_eq(view.head.version, STACKD_VERSION);
	ck_assert_uint_gt(view.head.started_us, 0);
	ck_assert_uint_gt(view.head.started_unix, 1600000000);
}

START_TEST(head_describes_the_segment)
{
	check_head();
}
END_TEST

START_TEST(every_counter_has_a_name_and_a_meaning)
{
	struct stat_name a, b;
	unsigned n = 0;

	for (unsigned i = 0; segment_counter_name(&view, i, &a); i++, n++) {
		ck_assert_uint_gt(strlen(a.name), 3);
		ck_assert_uint_gt(strlen(a.text), 3);
		/* the segment cuts nothing off */
		ck_assert_uint_lt(strlen(a.name), STAT_NAME - 1);
		ck_assert_uint_lt(strlen(a.text), STAT_TEXT - 1);
		for (unsigned j = 0; j < i && segment_counter_name(&view, j, &b); j++)
			ck_assert_str_ne(a.name, b.name);
	}
	ck_assert_uint_eq(n, CNT_MAX);
	for (n = 0; segment_nic_name(&view, n, &a); n++)
		ck_assert_uint_gt(strlen(a.name), 3);
	ck_assert_uint_eq(n, NIC_CNT_MAX);
}
END_TEST

static char *page(void)
{
	const char *dir = getenv("srcdir");
	char path[512], *text = calloc(1, 65536);
	FILE *f;

	snprintf(path, sizeof(path), "%s/doc/man/stackd-counters.7", dir != NULL ? dir : ".");
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_uint_gt(fread(text, 1, 65535, f), 0);
	fclose(f);
	return text;
}

/* stackd-counters(7) has each of them, in the words of the table, and no other. */
START_TEST(the_man_page_has_every_counter)
{
	char *text = page(), line[512];
	struct stat_name name;
	unsigned n = 0, told = 0;

	for (; segment_counter_name(&view, n, &name); n++) {
		snprintf(line, sizeof(line), "\n.TP\n.B %s\n%s\n", name.name, name.text);
		ck_assert_msg(strstr(text, line) != NULL, "doc/man/stackd-counters.7 lacks:%s", line);
	}
	for (unsigned i = 0; segment_nic_name(&view, i, &name); i++, n++) {
		snprintf(line, sizeof(line), "\n.TP\n.B %s\n", name.name);
		ck_assert_msg(strstr(text, line) != NULL, "doc/man/stackd-counters.7 lacks:%s", line);
	}
	for (const char *p = text; (p = strstr(p, "\n.TP\n.B ")) != NULL; p++)
		told++;
	ck_assert_uint_eq(told, n);
	free(text);
}
END_TEST

START_TEST(counters_are_read_where_they_are_counted)
{
	for (unsigned e = 0; e < 3; e++)
		for (unsigned i = 0; i < CNT_MAX; i++)
			stat_seg_stats(&seg, e)->n[i] = e * 1000 + i;
	COUNT(stat_seg_stats(&seg, 2), TCP_IN);
	COUNT_ADD(stat_seg_stats(&seg, 2), TCP_RX_BYTES, 5000000000);
	ck_assert_uint_eq(segment_counter(&view, 2, CNT_TCP_IN), 2000 + CNT_TCP_IN + 1);
	ck_assert_uint_eq(segment_counter(&view, 2, CNT_TCP_RX_BYTES), 2000 + CNT_TCP_RX_BYTES + 5000000000);
	ck_assert_uint_eq(segment_counter(&view, 0, CNT_MAX - 1), CNT_MAX - 1);
	ck_assert_uint_eq(segment_counter(&view, 1, 0), 1000);
	ck_assert_uint_eq(segment_counter(&view, 3, 0), 0);
	ck_assert_uint_eq(segment_counter(&view, 0, CNT_MAX), 0);
}
END_TEST

START_TEST(records_do_not_overlap)
{
	struct stat_engine e;
	struct stat_port p;
	struct stat_app a;
	struct stat_listener l;
	struct stat_monitor m;
	struct stat_group g;
	struct stat_flow f;

	/* fill every kind with its own byte, then look whether each is still whole */
	for (unsigned i = 0; i < 3; i++) {
		memset(stat_seg_engine(&seg, i), 0x11, sizeof(e) + sizeof(struct stats));
		memset(stat_seg_flow(&seg, i, 0), 0x66, sizeof(f));
		memset(stat_seg_flow(&seg, i, 999999), 0x66, sizeof(f));
	}
	for (unsigned i = 0; i < 2; i++)
		memset(stat_seg_port(&seg, i), 0x22, sizeof(p));
	for (unsigned i = 0; i < STAT_APPS_MAX; i++)
		memset(stat_seg_app(&seg, i), 0x44, sizeof(a));
	for (unsigned i = 0; i < STAT_APPS_MAX; i++)
		memset(stat_seg_monitor(&seg, i), 0x22, sizeof(m));
	for (unsigned i = 0; i < STAT_GROUPS_MAX; i++)
		memset(stat_seg_group(&seg, i), 0x66, sizeof(g));
	for (unsigned i = 0; i < STAT_LISTENERS_MAX; i++)
		memset(stat_seg_listener(&seg, i), 0x44, sizeof(l));
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(segment_engine(&view, i, &e));
		ck_assert_uint_eq(e.loop_us, 0x1111111111111111);
		ck_assert_uint_eq(segment_counter(&view, i, 0), 0x1111111111111111);
		ck_assert_uint_eq(segment_counter(&view, i, CNT_MAX - 1), 0x1111111111111111);
		ck_assert(segment_flow(&view, i, 0, &f) && f.tx_queued == 0x66666666);
		ck_assert(segment_flow(&view, i, 999999, &f) && f.tx_queued == 0x66666666);
		ck_assert(!segment_flow(&view, i, 1, &f) && !segment_flow(&view, i, 1000000, &f));
	}
	for (unsigned i = 0; i < 2; i++)
		ck_assert(segment_port(&view, i, &p) && p.mtu == 0x2222 && p.n[STAT_NIC_COUNTERS - 1] == 0x2222222222222222);
	for (unsigned i = 0; i < STAT_APPS_MAX; i++)
		ck_assert(segment_app(&view, i, &a) && a.id == 0x44444444 && a.since_us == 0x4444444444444444);
	for (unsigned i = 0; i < STAT_APPS_MAX; i++)
		ck_assert(segment_monitor(&view, i, &m) && m.right == 0x22222222 && m.resets == 0x2222222222222222);
	for (unsigned i = 0; i < STAT_GROUPS_MAX; i++)
		ck_assert(segment_group(&view, i, &g) && g.members == 0x66666666 && strlen(g.scope) == sizeof(g.scope) - 1);
	for (unsigned i = 0; i < STAT_LISTENERS_MAX; i++)
		ck_assert(segment_listener(&view, i, &l) && l.app == 0x44444444 && l.syns == 0x44444444);
	check_head();
}
END_TEST

START_TEST(nothing_beyond_the_tables)
{
	ck_assert_ptr_null(stat_seg_engine(&seg, 3));
	ck_assert_ptr_null(stat_seg_stats(&seg, 3));
	ck_assert_ptr_null(stat_seg_flow(&seg, 3, 0));
	ck_assert_ptr_null(stat_seg_flow(&seg, 0, 1000000));
	ck_assert_ptr_null(stat_seg_app(&seg, STAT_APPS_MAX));
	ck_assert_ptr_null(stat_seg_listener(&seg, STAT_LISTENERS_MAX));
	ck_assert_ptr_null(stat_seg_monitor(&seg, STAT_APPS_MAX));
	ck_assert_ptr_null(stat_seg_group(&seg, STAT_GROUPS_MAX));
	ck_assert_ptr_null(stat_seg_port(&seg, 2));
}
END_TEST

START_TEST(fixed_parts_are_filled_in)
{
	struct stat_engine e;
	struct stat_port p;

	ck_assert(segment_engine(&view, 2, &e) && e.core == 7);
	ck_assert(segment_port(&view, 0, &p));
	ck_assert_str_eq(p.name, "p0");
	ck_assert_uint_eq(p.mtu, conf.port[0].mtu);
	ck_assert(segment_port(&view, 1, &p));
	ck_assert_uint_eq(strlen(p.device), sizeof(p.device) - 1);
	ck_assert_str_eq(p.address, "10.9.0.1/24 " SIX "1/64 " SIX "2/64 " SIX "3/64 " SIX "4/64 " SIX "5/64"); /* what fits */
}
END_TEST

START_TEST(a_record_being_written_is_not_read)
{
	struct stat_flow *w = stat_seg_flow(&seg, 1, 42), f;

	stat_write_begin(&w->version);
	ck_assert_uint_eq(w->version, 1);
	w->state = 4;
	ck_assert(!segment_flow(&view, 1, 42, &f)); /* bounded: it gives up */
	stat_write_end(&w->version);
	ck_assert_uint_eq(w->version, 2);
	ck_assert(segment_flow(&view, 1, 42, &f) && f.state == 4);
}
END_TEST

START_TEST(only_touched_pages_exist)
{
	struct stat st;
	uint64_t before;

	ck_assert_int_eq(fstat(seg.region.fd, &st), 0);
	ck_assert_uint_ge((uint64_t)st.st_size, 3000000 * sizeof(struct stat_flow));
	ck_assert_uint_lt((uint64_t)st.st_blocks * 512, 1 << 20);
	before = (uint64_t)st.st_blocks;
	stat_seg_flow(&seg, 1, 500000)->rx_bytes = 1;
	ck_assert_int_eq(fstat(seg.region.fd, &st), 0);
	ck_assert_uint_gt((uint64_t)st.st_blocks, before);
	ck_assert_uint_le((uint64_t)st.st_blocks, before + 16);
}
END_TEST

START_TEST(operators_can_only_read)
{
	int fd = dup(seg.region.fd);

	ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	ck_assert_int_eq(mprotect((void *)view.base, 4096, PROT_READ | PROT_WRITE), -1);
	close(fd);
}
END_TEST

/* What a reader must refuse: each makes one thing of a good head wrong. */
static void wrong_magic(struct stat_head *h) { h->magic++; }
static void wrong_abi(struct stat_head *h) { h->abi++; }
static void engine_too_small(struct stat_head *h) { h->engine_size = 8; }
static void engine_not_aligned(struct stat_head *h) { h->engine_size += 4; }
static void too_many_counters(struct stat_head *h) { h->counters = UINT32_MAX; }
static void too_many_nic_counters(struct stat_head *h) { h->nic_counters = STAT_NIC_COUNTERS + 1; }
static void names_outside(struct stat_head *h) { h->counter_names_off = h->size - 64; }
static void nic_names_outside(struct stat_head *h) { h->nic_names_off = UINT64_MAX - 7; }
static void engines_outside(struct stat_head *h) { h->engines = UINT32_MAX; }
static void ports_outside(struct stat_head *h) { h->port_off = 1ull << 50; }
static void apps_outside(struct stat_head *h) { h->apps = UINT32_MAX; }
static void listeners_outside(struct stat_head *h) { h->listener_off = 1ull << 63; }
static void monitors_outside(struct stat_head *h) { h->monitor_off = h->size - 8; }
static void groups_outside(struct stat_head *h) { h->groups = UINT32_MAX; }
static void flows_outside(struct stat_head *h) { h->flows = UINT32_MAX; }
static void flows_not_aligned(struct stat_head *h) { h->flow_off += 4; }

static void (*const spoil[])(struct stat_head *h) = {
	wrong_magic, wrong_abi, engine_too_small, engine_not_aligned, too_many_counters, too_many_nic_counters, names_outside,
	nic_names_outside, engines_outside, ports_outside, apps_outside, listeners_outside, monitors_outside,
	groups_outside, flows_outside, flows_not_aligned,
};

START_TEST(unsound_segments_are_refused)
{
	struct segment bad;
	char why[256] = "";

	spoil[_i](seg.head);
	ck_assert_int_eq(segment_map(&bad, seg.region.fd, why, sizeof(why)), -1);
	ck_assert_uint_gt(strlen(why), 20);
	ck_assert_ptr_null(bad.base);
}
END_TEST

START_TEST(short_files_are_refused)
{
	struct segment bad;
	char why[256] = "";
	int fd = memfd_create("short", 0);

	ck_assert_int_eq(segment_map(&bad, fd, why, sizeof(why)), -1);
	ck_assert_int_eq(ftruncate(fd, sizeof(struct stat_head) - 1), 0);
	ck_assert_int_eq(segment_map(&bad, fd, why, sizeof(why)), -1);
	ck_assert_int_eq(segment_map(&bad, -1, why, sizeof(why)), -1);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stat_seg");
	TCase *t = tcase_create("stat_seg");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, head_describes_the_segment);
	tcase_add_test(t, every_counter_has_a_name_and_a_meaning);
	tcase_add_test(t, the_man_page_has_every_counter);
	tcase_add_test(t, counters_are_read_where_they_are_counted);
	tcase_add_test(t, records_do_not_overlap);
	tcase_add_test(t, nothing_beyond_the_tables);
	tcase_add_test(t, fixed_parts_are_filled_in);
	tcase_add_test(t, a_record_being_written_is_not_read);
	tcase_add_test(t, only_touched_pages_exist);
	tcase_add_test(t, operators_can_only_read);
	tcase_add_loop_test(t, unsound_segments_are_refused, 0, sizeof(spoil) / sizeof(spoil[0]));
	tcase_add_test(t, short_files_are_refused);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
