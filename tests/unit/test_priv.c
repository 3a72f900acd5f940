/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Giving up privileges: in a process of its own, with threads that exist already, as engines do.  Each thing that must not
 * work any more is tried by the main thread and by an older one; each thing that stackd goes on doing is done.
 */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stackd/log.h"
#include "stackd/priv.h"

/* In the child: says what failed, and ends it. */
static void must(bool ok, const char *what, int line)
{
	if (ok)
		return;
	fprintf(stderr, "line %d: %s (errno %d)\n", line, what, errno);
	_exit(1);
}
#define MUST(x) must(x, #x, __LINE__)

#ifndef __has_feature
#define __has_feature(x) 0 /* clang's way to say what gcc says by macros */
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
static const bool tsan = true; /* its runtime delivers signals when it likes */
#else
static const bool tsan = false;
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
static const bool sanitized = true;
#else
#define sanitized tsan
#endif

/* --- What a thread may --------------------------------------------------------------------------------------------- */

static void no_capabilities(void)
{
	cap_t mine = cap_get_proc(), none = cap_init();

	MUST(mine != NULL && none != NULL && cap_compare(mine, none) == 0);
	cap_free(mine);
	cap_free(none);
}

static void no_new_powers(void)
{
	char *argv[] = { (char *)"/bin/true", NULL }, *env[] = { NULL };

	errno = 0;
	MUST(execve("/bin/true", argv, env) == -1 && errno == EPERM);
	MUST(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, env, 0) == -1 && errno == EPERM);
	MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 && errno == EPERM);
	MUST(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EPERM);
	MUST(socket(AF_INET6, SOCK_DGRAM, 0) == -1 && errno == EPERM);
	MUST(socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == EPERM);
	MUST(socket(AF_NETLINK, SOCK_RAW, 0) == -1 && errno == EPERM);
	MUST(open("/etc/passwd", O_RDONLY) == -1 && errno == EPERM);
	MUST(syscall(SYS_open, "/etc/passwd", O_RDONLY) == -1 && errno == EPERM);
	MUST(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0) == -1 && errno == EPERM);
	MUST(kill(getppid(), 0) == -1 && errno == EPERM);
	MUST(fork() == -1 && errno == EPERM);
	MUST(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
	MUST(setuid(getuid()) == -1 && errno == EPERM);
	MUST(chmod("/nonexistent", 0777) == -1 && errno == EPERM);
	MUST(syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EPERM);
	MUST(syscall(SYS_unshare, 0x10000000 /* a user namespace */) == -1 && errno == EPERM);
	MUST(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EPERM);
}

static void *answer(void *arg)
{
	return arg;
}

/* What clients make stackd do. */
static void goes_on(void)
{
	int fd, pair[2], ep = -1;
	struct epoll_event e = { .events = EPOLLIN };
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/notify" };
	uint64_t one = 1;
	pthread_t t;
	void *p;

	MUST((fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING)) >= 0 && ftruncate(fd, 8192) == 0);
	MUST(fallocate(fd, 0, 0, 8192) == 0);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	MUST(p != MAP_FAILED && madvise(p, 8192, MADV_DONTFORK) == 0 && munmap(p, 8192) == 0);
	MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && close(fd) == 0);
	MUST((fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) >= 0 && (ep = epoll_create1(0)) >= 0);
	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && write(fd, &one, 8) == 8 && epoll_wait(ep, &e, 1, 0) == 1);
	MUST(close(fd) == 0 && close(ep) == 0);
	MUST((fd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0 && close(fd) == 0);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0 && send(pair[0], "x", 1, MSG_NOSIGNAL) == 1);
	MUST(poll(&(struct pollfd){ pair[1], POLLIN, 0 }, 1, 0) == 1 && close(pair[0]) == 0 && close(pair[1]) == 0);
	MUST((fd = (int)syscall(SYS_pidfd_open, getpid(), 0)) >= 0 && close(fd) == 0);
	/* sd_notify(3) */
	MUST((fd = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1);
	MUST(errno == ENOENT && close(fd) == 0);
	MUST(pthread_create(&t, NULL, answer, &one) == 0 && pthread_join(t, &p) == 0 && p == &one);
	MUST(unlink("/nonexistent/stackd.sock") == -1 && errno == ENOENT);
	p = malloc(64 << 20);
	MUST(p != NULL);
	memset(p, 1, 64 << 20);
	free(p);
	log_info("test", "a line");
}

static void all_of_it(void)
{
	if (!tsan)
		no_capabilities();
	MUST(prctl(PR_SET_NAME, "test") == 0);
	if (!sanitized) {
		no_new_powers();
		goes_on();
	}
}

/* --- An older thread ------------------------------------------------------------------------------------------------ */

struct older {
	pthread_t thread;
	pthread_barrier_t *gate;
	int go; /* eventfd: privileges are gone */
	bool blocks; /* a thread of DPDK's may sit in a system call */
	bool late;   /* signals reach it when all is over */
};

/* A signal waits for it, but what that would take it has given up already. */
static void be_late(void)
{
	cap_t none = cap_init();
	sigset_t pending;

	do {
		MUST(sigpending(&pending) == 0);
		sched_yield();
	} while (sigismember(&pending, SIGRTMAX - 3) != 1);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && none != NULL && cap_set_proc(none) == 0);
	cap_free(none);
}

static void *older_main(void *arg)
{
	struct older *o = arg;
	uint64_t n;
	sigset_t all;

	sigfillset(&all);
	if (o->late)
		MUST(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
	pthread_barrier_wait(o->gate);
	if (o->late)
		be_late();
	if (o->blocks) {
		MUST(read(o->go, &n, sizeof(n)) == sizeof(n)); /* goes on after the signal: SA_RESTART */
	} else {
		while (poll(&(struct pollfd){ o->go, POLLIN, 0 }, 1, 0) != 1)
			;
	}
	if (o->late)
		MUST(pthread_sigmask(SIG_UNBLOCK, &all, NULL) == 0);
	all_of_it();
	return NULL;
}

/* The child's life. */
static void drop_in_child(const char *user)
{
	enum { OLDER = 4 };
	struct older o[OLDER];
	pthread_barrier_t gate;
	uint64_t one = 1;

	alarm(60);
	pthread_barrier_init(&gate, NULL, OLDER + 1);
	for (int i = 0; i < OLDER; i++) {
		o[i] = (struct older){ .gate = &gate, .go = eventfd(0, 0), .blocks = i > 0,
			.late = i == 3 && geteuid() == 0 && user[0] == '\0' && !tsan };
		MUST(pthread_create(&o[i].thread, NULL, older_main, &o[i]) == 0);
	}
	pthread_barrier_wait(&gate);
	MUST(priv_drop(user) == 0);
	if (user[0] != '\0' && getuid() != 0) {
		const uid_t uid = getuid();
		uid_t r, e, s;

		MUST(uid == 65534);
		if (sanitized)
			MUST(getresuid(&r, &e, &s) == 0 && r == uid && e == uid && s == uid);
	}
	all_of_it();
	for (int i = 0; i < OLDER; i++) {
		MUST(write(o[i].go, &one, sizeof(one)) == sizeof(one));
		MUST(pthread_join(o[i].thread, NULL) == 0);
	}
	_exit(0);
}

static int child(const char *user)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		drop_in_child(user);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(nothing_is_left_of_privileges)
{
	ck_assert_int_eq(child(""), 0);
}
END_TEST

START_TEST(nothing_is_left_after_becoming_another_user)
{
	if (geteuid() != 0) {
		printf("not root: becoming another user is not tried\n");
		return;
	}
	ck_assert_int_eq(child("nobody"), 0);
}
END_TEST

START_TEST(unknown_user_is_refused)
{
	ck_assert_int_eq(priv_drop("no-such-user"), -ENOENT);
}
END_TEST

/* One who is somebody else already cannot become nobody, and says so. */
START_TEST(without_root_another_user_cannot_be_had)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (geteuid() == 0 && (setgid(65533) != 0 || setuid(65533) != 0))
			_exit(2);
		_exit(priv_drop(geteuid() == 65534 ? "daemon" : "nobody") == -EPERM ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(notify_without_systemd_does_nothing)
{
	unsetenv("NOTIFY_SOCKET");
	priv_notify("READY=1");
}
END_TEST

#ifdef HAVE_SYSTEMD
START_TEST(notify_reaches_systemd)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char text[64];
	ssize_t n;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/test_priv.%d", getpid());
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	priv_notify("READY=1");
	n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	unlink(at.sun_path);
	ck_assert_int_eq(n, 7);
	ck_assert_mem_eq(text, "READY=1", 7);
	close(fd);
}
END_TEST
#endif

int main(void)
{
	Suite *s = suite_create("priv");
	TCase *t = tcase_create("priv");
	SRunner *r = srunner_create(s);
	int failed;

	if (sanitized)
		printf("built with a sanitizer: the seccomp filter is not tried\n");
	suite_add_tcase(s, t);
	tcase_set_timeout(t, 90);
	tcase_add_test(t, nothing_is_left_of_privileges);
	tcase_add_test(t, nothing_is_left_after_becoming_another_user);
	tcase_add_test(t, unknown_user_is_refused);
	tcase_add_test(t, without_root_another_user_cannot_be_had);
	tcase_add_test(t, notify_without_systemd_does_nothing);
#ifdef HAVE_SYSTEMD
	tcase_add_test(t, notify_reaches_systemd);
#endif
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
