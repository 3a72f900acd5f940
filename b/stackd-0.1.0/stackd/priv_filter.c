/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The seccomp filter: what stackd asks of the kernel once it runs.  No files are opened, no programs started, no sockets
 * made but Unix ones, no memory made executable.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "stackd/priv.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* glibc names its arenas */
#endif

static const int plain[] = {
	/* bytes and messages */
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(shutdown), SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(ioctl), SCMP_SYS(fcntl),
	SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(dup3), SCMP_SYS(fstat), SCMP_SYS(lseek), SCMP_SYS(pipe2),
	/* waiting */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(epoll_create), /* DPDK */
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2), SCMP_SYS(signalfd4),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(futex),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
	/* clients: their memory, their death */
	SCMP_SYS(memfd_create), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fstatfs), SCMP_SYS(pidfd_open),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(getrandom),
	/* our own memory; mmap and mprotect are below */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mincore), SCMP_SYS(mlock),
	SCMP_SYS(munlock), SCMP_SYS(mbind), SCMP_SYS(get_mempolicy), SCMP_SYS(set_mempolicy), SCMP_SYS(membarrier),
	/* threads; clone is below */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sigaltstack), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(set_tid_address), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity), SCMP_SYS(getcpu),
	SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(tgkill),
	/* who am I */
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(capget), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage),
};

#define WHOLE 0xffffffffu

/* Calls that are fine with some arguments only: argument arg, masked, must be this value. */
static const struct {
	int call;
	unsigned arg;
	uint64_t mask, value;
} some[] = {
	{ SCMP_SYS(socket), 0, WHOLE, AF_UNIX },
	{ SCMP_SYS(socketpair), 0, WHOLE, AF_UNIX },
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD },
	{ SCMP_SYS(prlimit64), 0, WHOLE, 0 }, /* our own limits */
	{ SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH, AT_EMPTY_PATH }, /* glibc's fstat */
	{ SCMP_SYS(prctl), 0, WHOLE, PR_SET_NAME },
	{ SCMP_SYS(prctl), 0, WHOLE, PR_GET_NAME },
	{ SCMP_SYS(prctl), 0, WHOLE, PR_SET_VMA },
};

static int allow_plain(scmp_filter_ctx f)
{
	int rc = 0;

	for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]) && rc == 0; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i], 0);
	return rc;
}

static int allow_some(scmp_filter_ctx f)
{
	int rc = 0;

	for (unsigned i = 0; i < sizeof(some) / sizeof(some[0]) && rc == 0; i++) {
		const struct scmp_arg_cmp when = {
			.arg = some[i].arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = some[i].mask, .datum_b = some[i].value,
		};

		rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, some[i].call, 1, &when);
	}
	/* its flags lie in memory where no filter can see them; on ENOSYS glibc takes clone */
	return rc != 0 ? rc : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

int priv_filter(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (f == NULL)
		return -ENOMEM;
	rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = allow_plain(f);
	if (rc == 0)
		rc = allow_some(f);
	if (rc == 0) {
		/* nice to have: refusals in the audit log, a tree instead of a list */
		seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1);
		seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		rc = seccomp_load(f);
	}
	seccomp_release(f);
	return rc;
}
