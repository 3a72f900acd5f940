/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Memfds of the two shared classes: made and sealed by stackd, checked and mapped by clients.  What the seals promise is
 * tried out in region_selftest.c.
 */
#define _GNU_SOURCE 1
#include "shm/region.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; not in glibc 2.36 */
#endif

static int open_memfd(const char *name);
static int create(struct region *r, enum region_class class, size_t size, const char *name, bool sparse);
static int fill(struct region *r, size_t size, bool sparse);
static int check(enum region_class class, size_t size, int fd);
static int seals_of(enum region_class class);
static size_t round_up(size_t size, size_t max);

int region_create(struct region *r, enum region_class class, size_t size, const char *name)
{
	return create(r, class, round_up(size, REGION_SIZE_MAX), name, false);
}

int region_create_sparse(struct region *r, size_t size, const char *name)
{
	return create(r, REGION_A, round_up(size, REGION_SPARSE_MAX), name, true);
}

int region_attach(struct region *r, enum region_class class, size_t size, int fd)
{
	int prot = class == REGION_A ? PROT_READ : PROT_READ | PROT_WRITE;
	void *base;
	int rc;

	*r = (struct region){ .fd = -1 };
	size = round_up(size, class == REGION_A ? REGION_SPARSE_MAX : REGION_SIZE_MAX);
	rc = check(class, size, fd);
	if (rc != 0)
		goto close;
	base = mmap(NULL, size, prot, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		rc = -errno;
		goto close;
	}
	if (madvise(base, size, MADV_DONTFORK) != 0) {
		rc = -errno;
		goto unmap;
	}
	*r = (struct region){ .base = base, .size = size, .fd = fd };
	return 0;
unmap:
	munmap(base, size);
close:
	if (fd >= 0)
		close(fd);
	return rc;
}

void region_close_fd(struct region *r)
{
	if (r->base == NULL || r->fd < 0)
		return;
	close(r->fd);
	r->fd = -1;
}

void region_destroy(struct region *r)
{
	if (r == NULL || r->base == NULL)
		return;
	region_close_fd(r);
	munmap(r->base, r->size);
	*r = (struct region){ .fd = -1 };
}

/* size is that of whole pages; 0 is refused. */
static int create(struct region *r, enum region_class class, size_t size, const char *name, bool sparse)
{
	int rc;

	*r = (struct region){ .fd = -1 };
	if (size == 0)
		return -EINVAL;
	r->fd = open_memfd(name);
	if (r->fd < 0)
		return -errno;
	rc = fill(r, size, sparse);
	/* FUTURE_WRITE spares the mapping that exists, ours */
	if (rc == 0 && fcntl(r->fd, F_ADD_SEALS, seals_of(class)) != 0)
		rc = -errno;
	if (rc != 0) {
		if (r->base != NULL)
			munmap(r->base, r->size);
		close(r->fd);
		*r = (struct region){ .fd = -1 };
	}
	return rc;
}

/* Not executable where the kernel knows how to say so. */
static int open_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

/* Allocate all pages now, unless sparse: fallocate tells of missing memory, a page fault would kill, and MAP_POPULATE keeps
 * silent. */
static int fill(struct region *r, size_t size, bool sparse)
{
	void *base;

	if (ftruncate(r->fd, (off_t)size) != 0 || (!sparse && fallocate(r->fd, 0, 0, (off_t)size) != 0))
		return -errno;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | (sparse ? 0 : MAP_POPULATE), r->fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	r->base = base;
	r->size = size;
	return 0;
}

/* Is fd what stackd makes?  Only such memory can be touched without fear of SIGBUS: it cannot shrink, and outside
 * hugetlbfs a hole in it reads as zeros. */
static int check(enum region_class class, size_t size, int fd)
{
	struct statfs fs;
	struct stat st;
	int seals;

	if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
		return -errno;
	if (size == 0 || !S_ISREG(st.st_mode) || st.st_size < 0 || (uintmax_t)st.st_size != size)
		return -EINVAL;
	if (fs.f_type != TMPFS_MAGIC && (class == REGION_B || fs.f_type != HUGETLBFS_MAGIC))
		return -EINVAL;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -errno;
	return (seals & seals_of(class)) == seals_of(class) ? 0 : -EPERM;
}

static int seals_of(enum region_class class)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	return class == REGION_A ? seals | F_SEAL_FUTURE_WRITE : seals;
}

/* 0 for sizes that cannot be. */
static size_t round_up(size_t size, size_t max)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return size > max ? 0 : (size + page - 1) / page * page;
}
