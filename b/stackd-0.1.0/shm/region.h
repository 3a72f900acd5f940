/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pieces of shared memory: memfds with the seals of design.md section 2, made by stackd, mapped by clients.
 */
#ifndef SHM_REGION_H
#define SHM_REGION_H

#include <stdbool.h>
#include <stddef.h>

enum region_class {
	REGION_A, /* stackd writes, clients can only read: sealed FUTURE_WRITE|SHRINK|GROW|SEAL after stackd mapped it */
	REGION_B, /* clients write: sealed SHRINK|GROW|SEAL, 4 KiB pages, prefaulted */
};

#define REGION_SIZE_MAX ((size_t)1 << 31) /* bytes; sizes cross the control socket in 32 bits */
#define REGION_SPARSE_MAX ((size_t)1 << 40)

struct region {
	void *base;  /* page aligned; NULL: none */
	size_t size; /* bytes */
	int fd;      /* -1 once region_close_fd has run */
};

/* Make a zeroed region of `size` bytes (rounded up to pages), mapped read-write here, with every page present.
 * `name` is for /proc.  0 or -errno; -EINVAL when size is 0 or above REGION_SIZE_MAX. */
int region_create(struct region *r, enum region_class class, size_t size, const char *name);

/* The same for REGION_A alone, at most REGION_SPARSE_MAX bytes, whose pages come when they are first touched: for what is large and
 * mostly unused, and must never be made of memory that a client pays for. */
int region_create_sparse(struct region *r, size_t size, const char *name);

/* Map one that came from stackd.  Takes fd over also on failure.  Checks that the memory really has `size` bytes and, for
 * REGION_A, maps read-only.  The mapping is not inherited by a forked child (MADV_DONTFORK).  0 or -errno: -EINVAL for what is
 * no memfd of that size, -EPERM when its seals do not keep it in place (so that touching it could be SIGBUS). */
int region_attach(struct region *r, enum region_class class, size_t size, int fd);

/* Close the descriptor, keep the mapping. */
void region_close_fd(struct region *r);

/* Unmap and close.  Accepts a zeroed one, and NULL. */
void region_destroy(struct region *r);

/* Try every way a client could get write access to a REGION_A memfd, or resize one of either class.  0 when all of them
 * fail as they must; else -EPERM with a sentence in why.  stackd runs it at start-up and refuses to start on failure. */
int region_selftest(char *why, size_t why_size);

#endif
