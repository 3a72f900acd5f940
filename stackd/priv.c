/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Privileges end here.  A user id belongs to the process (glibc sees to that), but capabilities and no_new_privs belong to
 * each thread, and some threads are DPDK's.  So every thread is sent a signal, and gives up its own in the handler.
 */
#define _GNU_SOURCE
#include "stackd/priv.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "stackd/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { ROUNDS = SANITIZED ? 20 : 500, ROUND_MS = 10 }; /* how long threads have to take the signal */

static int become(const char *user);
static int drop_all_threads(void);
static void warm_up(void);

int priv_drop(const char *user)
{
	int rc = user[0] != '\0' ? become(user) : 0;

	if (rc < 0)
		return rc;
	rc = drop_all_threads();
	if (rc == -ETIMEDOUT && SANITIZED) {
		log_warn("priv", "built with a sanitizer: some threads keep their capabilities");
	} else if (rc < 0) {
		log_err("priv", "capabilities cannot be given up: %s", strerror(-rc));
		return rc;
	}
	if (SANITIZED) {
		/* the sanitizers' runtimes trace, clone and read /proc when they report */
		log_warn("priv", "built with a sanitizer: no seccomp filter");
		return 0;
	}
	warm_up();
	rc = priv_filter();
	if (rc < 0)
		log_err("priv", "the seccomp filter cannot be installed: %s", strerror(-rc));
	return rc;
}

void priv_notify(const char *state)
{
#ifdef HAVE_SYSTEMD
	sd_notify(0, state);
#else
	(void)state;
#endif
}

/* --- The user ------------------------------------------------------------------------------------------------------- */

static int become(const char *user)
{
	const struct passwd *p = getpwnam(user);

	if (p == NULL) {
		log_err("priv", "there is no user \"%s\"", user);
		return -ENOENT;
	}
	if (geteuid() == p->pw_uid && getuid() == p->pw_uid)
		return 0;
	if (initgroups(user, p->pw_gid) != 0 || setresgid(p->pw_gid, p->pw_gid, p->pw_gid) != 0 ||
	    setresuid(p->pw_uid, p->pw_uid, p->pw_uid) != 0) {
		int err = errno;

		log_err("priv", "cannot become user \"%s\": %s", user, strerror(err));
		return -err;
	}
	log_info("priv", "running as user %s", user);
	return 0;
}

/* --- Capabilities --------------------------------------------------------------------------------------------------- */

/* Async-signal-safe: system calls alone. */
static void drop_mine(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

	memset(none, 0, sizeof(none));
	/* the bounding set can be lowered only while there is CAP_SETPCAP; without it nothing is lost by leaving it */
	for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	syscall(SYS_capset, &head, none);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void on_drop_signal(int sig)
{
	int saved = errno;

	(void)sig;
	drop_mine();
	errno = saved;
}

/* Nothing permitted is nothing effective, inheritable being useless without a file. */
static bool has_capabilities(pid_t tid)
{
	cap_t caps = cap_get_pid(tid), none;
	bool some;

	if (caps == NULL)
		return errno != ESRCH; /* it has ended since */
	none = cap_init();
	some = none == NULL || cap_compare(caps, none) != 0;
	cap_free(caps);
	cap_free(none);
	return some;
}

/* Signal the threads that still have some.  How many, or -errno. */
static int signal_threads(int sig)
{
	DIR *d = opendir("/proc/self/task");
	const struct dirent *e;
	int n = 0;

	if (d == NULL)
		return -errno;
	while ((e = readdir(d)) != NULL) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid <= 0 || !has_capabilities(tid))
			continue;
		n++;
		syscall(SYS_tgkill, getpid(), tid, sig);
	}
	closedir(d);
	return n;
}

/* Rounds, since a thread may be made by one that has not given up its own yet. */
static int drop_all_threads(void)
{
	const struct timespec pause = { .tv_nsec = ROUND_MS * 1000000L };
	struct sigaction now = { .sa_handler = on_drop_signal, .sa_flags = SA_RESTART }, before;
	int sig = SIGRTMAX - 3, left = 0;

	drop_mine();
	if (sigaction(sig, &now, &before) != 0)
		return -errno;
	for (int i = 0; i < ROUNDS; i++) {
		left = signal_threads(sig);
		if (left <= 0)
			break;
		nanosleep(&pause, NULL);
	}
	/* A thread may have been signalled twice before it came to itself.  Ignoring takes the second one back; by default it would
	 * end the process. */
	sigaction(sig, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigaction(sig, &before, NULL);
	return left > 0 ? -ETIMEDOUT : left;
}

/* --- Before the filter ---------------------------------------------------------------------------------------------- */

static void *end_at_once(void *arg)
{
	pthread_exit(arg);
}

/* pthread_exit(3) and pthread_cancel(3) load libgcc_s when they are first used, and abort when they cannot. */
static void warm_up(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, end_at_once, NULL) == 0)
		pthread_join(t, NULL);
}
