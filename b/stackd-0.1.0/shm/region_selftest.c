/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Does this kernel keep what the seals promise?  Each function below is one thing that a client could try with the
 * descriptor it was given; it returns true when the attempt had success, which none may have.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/region.h"

enum { SIZE = 4 * 4096, FILL = 0x5a };

struct attempt {
	const char *what;
	bool (*works)(int fd);
};

static int try_all(enum region_class class, const struct attempt *list, size_t n, char *why, size_t why_size);
static bool intact(const struct region *r);

/* --- What a client of class A must not be able to do ------------------------------------------------------------------ */
static bool map_writable(int fd)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, SIZE);
	return true;
}

static bool make_writable(int fd)
{
	void *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	bool works = p != MAP_FAILED && mprotect(p, SIZE, PROT_READ | PROT_WRITE) == 0;

	if (p != MAP_FAILED)
		munmap(p, SIZE);
	return works;
}

static bool remove_pages(int fd)
{
	void *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	bool works = p != MAP_FAILED && madvise(p, SIZE, MADV_REMOVE) == 0;

	if (p != MAP_FAILED)
		munmap(p, SIZE);
	return works;
}

/* As a debugger writes: it may break page protection, but not into shared pages. */
static bool write_as_debugger(int fd)
{
	void *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	bool works = p != MAP_FAILED && mem >= 0 && pwrite(mem, "x", 1, (off_t)(uintptr_t)p) > 0;

	if (mem >= 0)
		close(mem);
	if (p != MAP_FAILED)
		munmap(p, SIZE);
	return works;
}

static bool write_call(int fd)
{
	return pwrite(fd, "x", 1, 0) > 0;
}

static bool send_into(int fd)
{
	off_t from = 0;
	int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool works = in >= 0 && sendfile(fd, in, &from, 1) > 0;

	if (in >= 0)
		close(in);
	return works;
}

static bool punch_hole(int fd)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE) == 0;
}

static bool zero_range(int fd)
{
	return fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, SIZE) == 0;
}

/* The memfd's inode lets everybody open it, so a second, writable description is to be had: it must be of no use. */
static bool through_proc(int fd, bool (*works)(int fd))
{
	char path[64];
	bool yes;
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again < 0)
		return false;
	yes = works(again);
	close(again);
	return yes;
}

static bool reopen_and_map(int fd)
{
	return through_proc(fd, map_writable);
}

static bool reopen_and_write(int fd)
{
	return through_proc(fd, write_call);
}

static bool reopen_and_punch(int fd)
{
	return through_proc(fd, punch_hole);
}

/* --- What no client may do -------------------------------------------------------------------------------------------- */
static bool shrink(int fd)
{
	return ftruncate(fd, 0) == 0 || ftruncate(fd, SIZE - 1) == 0;
}

static bool extend(int fd)
{
	return ftruncate(fd, 2 * SIZE) == 0;
}

static bool allocate_beyond(int fd)
{
	return fallocate(fd, 0, SIZE, 4096) == 0;
}

static bool write_beyond(int fd)
{
	return pwrite(fd, "x", 1, SIZE) > 0;
}

static bool reopen_and_shrink(int fd)
{
	return through_proc(fd, shrink);
}

static bool reopen_and_truncate(int fd)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
	if (again < 0)
		return false;
	close(again);
	return true;
}

static bool add_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0;
}

static bool no_seals(int fd)
{
	int must = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	return (fcntl(fd, F_GET_SEALS) & must) != must;
}

/* "Removing" seals: none of the ways above nor a new description may show fewer. */
static bool reopen_without_seals(int fd)
{
	return fcntl(fd, F_ADD_SEALS, 0) == 0 || no_seals(fd) || through_proc(fd, no_seals);
}

/* Order: first what leaves the memory usable should it work. */
static const struct attempt resize[] = {
	{ "adding a seal", add_seal },
	{ "getting rid of the seals", reopen_without_seals },
	{ "allocating beyond the end", allocate_beyond },
	{ "writing beyond the end", write_beyond },
	{ "growing with ftruncate", extend },
	{ "shrinking with ftruncate", shrink },
	{ "reopening and ftruncate", reopen_and_shrink },
	{ "reopening with O_TRUNC", reopen_and_truncate },
};

static const struct attempt alter[] = {
	{ "a writable mapping", map_writable },
	{ "mprotect to writable", make_writable },
	{ "writing through /proc/self/mem", write_as_debugger },
	{ "pwrite", write_call },
	{ "sendfile", send_into },
	{ "reopening and a writable mapping", reopen_and_map },
	{ "reopening and pwrite", reopen_and_write },
	{ "punching a hole", punch_hole },
	{ "reopening and punching a hole", reopen_and_punch },
	{ "zeroing a range", zero_range },
	{ "madvise(MADV_REMOVE)", remove_pages },
};

int region_selftest(char *why, size_t why_size)
{
	int rc = try_all(REGION_A, alter, sizeof(alter) / sizeof(*alter), why, why_size);

	if (rc == 0)
		rc = try_all(REGION_A, resize, sizeof(resize) / sizeof(*resize), why, why_size);
	if (rc == 0)
		rc = try_all(REGION_B, resize, sizeof(resize) / sizeof(*resize), why, why_size);
	return rc;
}

static int try_all(enum region_class class, const struct attempt *list, size_t n, char *why, size_t why_size)
{
	const char *kind = class == REGION_A ? "read-only" : "writable";
	struct region r;
	int rc = region_create(&r, class, SIZE, "stackd-selftest");

	if (rc != 0) {
		snprintf(why, why_size, "cannot make sealed shared memory: %s", strerror(-rc));
		return -EPERM;
	}
	memset(r.base, FILL, r.size);
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (!list[i].works(r.fd))
			continue;
		snprintf(why, why_size, "this kernel does not keep %s shared memory safe: %s works", kind, list[i].what);
		rc = -EPERM;
	}
	if (rc == 0 && !intact(&r)) {
		snprintf(why, why_size, "this kernel let %s shared memory be altered", kind);
		rc = -EPERM;
	}
	region_destroy(&r);
	return rc;
}

static bool intact(const struct region *r)
{
	const uint8_t *p = r->base;

	for (size_t i = 0; i < r->size; i++)
		if (p[i] != FILL)
			return false;
	return true;
}
