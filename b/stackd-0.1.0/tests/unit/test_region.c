/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Regions: what stackd makes, what a client can and cannot do with it, and what a client refuses to map.
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/region.h"
#include "shm/ring.h"

enum { SIZE = 8 * 4096 };

static bool all_are(const struct region *r, uint8_t value)
{
	const uint8_t *p = r->base;

	for (size_t i = 0; i < r->size; i++)
		if (p[i] != value)
			return false;
	return true;
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* Do the pages lie in memory?  The mapping's own view. */
static size_t pages_present(const struct region *r)
{
	unsigned char vec[SIZE / 4096];
	size_t n = 0;

	ck_assert_uint_le(r->size, SIZE);
	ck_assert_int_eq(mincore(r->base, r->size, vec), 0);
	for (size_t i = 0; i < r->size / 4096; i++)
		n += vec[i] & 1;
	return n;
}

static bool mapping_exists(const void *base)
{
	unsigned char vec;

	return mincore((void *)base, 1, &vec) == 0;
}

/* Ends with 0 when f(arg) returns true; a signal shows as failure. */
static bool in_child(bool (*f)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(f(arg) ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A memfd as a hand-played daemon might make it. */
static int odd_memfd(off_t size, int seals)
{
	int fd = memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	if (seals != 0)
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* --- Making and mapping ----------------------------------------------------------------------------------------------- */
START_TEST(created_regions_are_zeroed_present_and_sealed)
{
	struct region r;
	int seals;

	ck_assert_int_eq(region_create(&r, _i ? REGION_B : REGION_A, SIZE - 1, "test"), 0);
	ck_assert_uint_eq(r.size, SIZE);
	ck_assert_uint_eq(pages_present(&r), SIZE / 4096);
	ck_assert(all_are(&r, 0));
	seals = fcntl(r.fd, F_GET_SEALS);
	ck_assert_int_eq(!!(seals & F_SEAL_FUTURE_WRITE), _i == 0);
	ck_assert_int_eq(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	ck_assert_int_eq(fcntl(r.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	memset(r.base, 1, r.size);
	region_destroy(&r);
	ck_assert_ptr_null(r.base);
}
END_TEST

START_TEST(impossible_sizes_are_refused)
{
	struct region r;
	int before = open_fds();

	ck_assert_int_eq(region_create(&r, REGION_A, 0, "test"), -EINVAL);
	ck_assert_int_eq(region_create(&r, REGION_A, SIZE_MAX, "test"), -EINVAL);
	/* refused before a page is taken: a machine without swap would not survive the attempt */
	ck_assert_int_eq(region_create(&r, REGION_B, REGION_SIZE_MAX + 1, "test"), -EINVAL);
	ck_assert_ptr_null(r.base);
	ck_assert_int_eq(r.fd, -1);
	region_destroy(&r);
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

START_TEST(destroy_accepts_nothing)
{
	struct region zero = { 0 };
	int before = open_fds();

	region_destroy(NULL);
	region_destroy(&zero); /* its fd reads 0, and standard input stays */
	region_close_fd(&zero);
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

START_TEST(nothing_leaks)
{
	int before = open_fds();
	struct region r, c, bad;

	for (int i = 0; i < 50; i++) {
		enum region_class class = i % 2 ? REGION_A : REGION_B;

		ck_assert_int_eq(region_create(&r, class, SIZE, "test"), 0);
		ck_assert_int_eq(region_attach(&c, class, SIZE, dup(r.fd)), 0);
		ck_assert_int_ne(region_attach(&bad, class, 2 * SIZE, dup(r.fd)), 0);
		region_destroy(&bad);
		region_destroy(&c);
		region_close_fd(&r);
		ck_assert_int_eq(r.fd, -1);
		*(volatile uint8_t *)r.base = 1; /* the mapping stays */
		region_close_fd(&r);
		region_destroy(&r);
	}
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

START_TEST(client_sees_what_stackd_writes)
{
	struct region r, c;

	ck_assert_int_eq(region_create(&r, REGION_A, SIZE, "test"), 0);
	ck_assert_int_eq(region_attach(&c, REGION_A, SIZE, dup(r.fd)), 0);
	ck_assert_ptr_ne(r.base, c.base);
	memset(r.base, 0x42, SIZE);
	ck_assert_int_eq(memcmp(r.base, c.base, SIZE), 0);
	region_destroy(&c);
	region_destroy(&r);
}
END_TEST

/* The kernel writes there on our behalf, or says EFAULT. */
static bool can_write(void *p)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, p, 1);

	ck_assert(n == 1 || errno == EFAULT);
	close(fd);
	return n == 1;
}

START_TEST(client_mapping_of_class_a_cannot_be_written)
{
	struct region r, c;

	ck_assert_int_eq(region_create(&r, REGION_A, SIZE, "test"), 0);
	ck_assert_int_eq(region_attach(&c, REGION_A, SIZE, dup(r.fd)), 0);
	ck_assert(can_write(r.base));
	ck_assert(!can_write(c.base));
	ck_assert_int_ne(mprotect(c.base, c.size, PROT_READ | PROT_WRITE), 0);
	region_destroy(&c);
	ck_assert_int_eq(region_attach(&c, REGION_B, SIZE, dup(r.fd)), -EPERM); /* nor by asking for the other class */
	region_destroy(&r);
}
END_TEST

static bool is_absent(void *p)
{
	return !mapping_exists(p);
}

START_TEST(attached_mapping_is_not_inherited)
{
	struct region r, c;

	ck_assert_int_eq(region_create(&r, REGION_B, SIZE, "test"), 0);
	ck_assert_int_eq(region_attach(&c, REGION_B, SIZE, dup(r.fd)), 0);
	ck_assert(mapping_exists(c.base));
	ck_assert(in_child(is_absent, c.base));
	ck_assert(!in_child(is_absent, r.base));
	region_destroy(&c);
	region_destroy(&r);
}
END_TEST

/* --- What a client refuses -------------------------------------------------------------------------------------------- */
static void refused(int fd, enum region_class class, size_t size, int want)
{
	int before = open_fds();
	struct region c;

	ck_assert_int_eq(region_attach(&c, class, size, fd), want);
	ck_assert_ptr_null(c.base);
	ck_assert_int_eq(c.fd, -1);
	if (fd >= 0)
		ck_assert_int_eq(open_fds(), before - 1); /* taken over, and closed */
}

START_TEST(junk_is_not_attached)
{
	int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, p[2];

	refused(-1, REGION_A, SIZE, -EBADF);
	refused(odd_memfd(SIZE, 0), REGION_A, SIZE, -EPERM);
	refused(odd_memfd(SIZE, 0), REGION_B, SIZE, -EPERM);
	refused(odd_memfd(SIZE, F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), REGION_A, SIZE, -EPERM);
	refused(odd_memfd(SIZE, all), REGION_A, SIZE, -EPERM);
	refused(odd_memfd(SIZE, all | F_SEAL_FUTURE_WRITE), REGION_B, SIZE, -EPERM);
	refused(odd_memfd(SIZE - 4096, all), REGION_B, SIZE, -EINVAL);
	refused(odd_memfd(SIZE + 4096, all), REGION_B, SIZE, -EINVAL);
	refused(odd_memfd(SIZE - 1, all), REGION_B, SIZE, -EINVAL);
	refused(odd_memfd(0, all), REGION_B, 0, -EINVAL);
	refused(odd_memfd(SIZE, all), REGION_B, SIZE_MAX, -EINVAL);
	refused(open("/dev/zero", O_RDWR), REGION_B, SIZE, -EINVAL);
	refused(open("/proc/self/exe", O_RDONLY), REGION_A, SIZE, -EINVAL);
	refused(open("/proc", O_RDONLY), REGION_A, SIZE, -EINVAL);
	ck_assert_int_eq(pipe(p), 0);
	refused(p[0], REGION_A, SIZE, -EINVAL);
	close(p[1]);
}
END_TEST

/* Linux may shrink an ordinary file under a mapping, which is death by SIGBUS; so only sealed memory is mapped. */
START_TEST(shrinkable_file_on_tmpfs_is_not_attached)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);

	if (fd < 0)
		return; /* no tmpfs there: nothing to offer */
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	refused(fd, REGION_B, SIZE, -EPERM);
}
END_TEST

START_TEST(hugetlb_memory_is_not_attached_as_class_b)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

	if (fd < 0)
		return; /* a kernel without hugetlbfs cannot offer it */
	ck_assert_int_eq(ftruncate(fd, 2 << 20), 0); /* without reserving a page */
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	refused(fd, REGION_B, 2 << 20, -EINVAL);
}
END_TEST

/* --- Attacks ---------------------------------------------------------------------------------------------------------- */
START_TEST(selftest_passes)
{
	int before = open_fds();
	char why[256] = "";

	ck_assert_msg(region_selftest(why, sizeof(why)) == 0, "%s", why);
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

static bool as_nobody(void *why)
{
	if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
		return false;
	return region_selftest(why, 256) == 0;
}

START_TEST(selftest_passes_without_privileges)
{
	char why[256];

	ck_assert(in_child(as_nobody, why));
}
END_TEST

/* What a real client does: another process, another uid, only a descriptor in hand.  All must fail. */
static bool attack_a(void *arg)
{
	int fd = *(int *)arg, again;
	char path[64];
	void *p;

	if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
		return false;
	if (mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		return false;
	p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || mprotect(p, SIZE, PROT_WRITE) == 0 || madvise(p, SIZE, MADV_REMOVE) == 0)
		return false;
	if (pwrite(fd, "x", 1, 0) >= 0 || ftruncate(fd, 0) == 0 || ftruncate(fd, 2 * SIZE) == 0)
		return false;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE) == 0 || fallocate(fd, 0, SIZE, SIZE) == 0)
		return false;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR);
	if (again >= 0 && (mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED ||
			   pwrite(again, "x", 1, 0) >= 0 || ftruncate(again, 0) == 0))
		return false;
	return open(path, O_RDWR | O_TRUNC) < 0;
}

START_TEST(client_cannot_alter_class_a)
{
	struct region r;

	ck_assert_int_eq(region_create(&r, REGION_A, SIZE, "test"), 0);
	memset(r.base, 7, SIZE);
	ck_assert(in_child(attack_a, &r.fd));
	ck_assert(all_are(&r, 7));
	region_destroy(&r);
}
END_TEST

static bool attack_b(void *arg)
{
	int fd = *(int *)arg;
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
		return false;
	if (p == MAP_FAILED || ftruncate(fd, 0) == 0 || ftruncate(fd, SIZE - 4096) == 0 || ftruncate(fd, 2 * SIZE) == 0)
		return false;
	if (fallocate(fd, 0, SIZE, SIZE) == 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0)
		return false;
	/* these a client can do, to itself: */
	memset(p, 0xff, SIZE);
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE) == 0 && madvise(p, SIZE, MADV_REMOVE) == 0;
}

START_TEST(hole_in_class_b_reads_as_zeros)
{
	struct ring_cons cons;
	struct lane_up *up;
	struct region r;
	uint8_t body[60];
	uint32_t done = 0;

	ck_assert_int_eq(region_create(&r, REGION_B, SIZE, "test"), 0);
	up = r.base;
	ring_cons_init(&cons, up->cmd, &done, 64);
	ck_assert(in_child(attack_b, &r.fd));
	ck_assert_uint_eq(pages_present(&r), 0);
	ck_assert_uint_eq(up->event_done, 0); /* a read of a hole, no SIGBUS */
	ck_assert(!ring_get(&cons, body));
	ck_assert(all_are(&r, 0));
	memset(r.base, 3, SIZE); /* and a write fills it again */
	ck_assert_uint_eq(pages_present(&r), SIZE / 4096);
	region_destroy(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("region");
	TCase *t = tcase_create("region");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, created_regions_are_zeroed_present_and_sealed, 0, 2);
	tcase_add_test(t, impossible_sizes_are_refused);
	tcase_add_test(t, destroy_accepts_nothing);
	tcase_add_test(t, nothing_leaks);
	tcase_add_test(t, client_sees_what_stackd_writes);
	tcase_add_test(t, client_mapping_of_class_a_cannot_be_written);
	tcase_add_test(t, attached_mapping_is_not_inherited);
	tcase_add_test(t, junk_is_not_attached);
	tcase_add_test(t, shrinkable_file_on_tmpfs_is_not_attached);
	tcase_add_test(t, hugetlb_memory_is_not_attached_as_class_b);
	tcase_add_test(t, selftest_passes);
	tcase_add_test(t, selftest_passes_without_privileges);
	tcase_add_test(t, client_cannot_alter_class_a);
	tcase_add_test(t, hole_in_class_b_reads_as_zeros);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
