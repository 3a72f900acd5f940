/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Contexts: made, locked, waited on, destroyed; and what fork() does to them.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "libshim/api_mtcp.h"
#include "libshim/shim.h"

enum {
	TAG_CTL = 1,
	TAG_WAKE,
	TAG_KICK,
	TAG_KERNEL,

	OWED_MS = 1,     /* how soon a full command ring is tried again */
	STARVED_MS = 20, /* how soon memory is asked for again */
	SPIN_TRIES = 4,  /* spins in vain before spinning is given up ... */
	SPIN_REST = 16,  /* ... for so many sleeps */

	FAREWELL_US = 1000000,
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static struct shim_ctx *contexts;
/* This thread is in a call of that context, and asleep in it: a signal handler may find it there. */
static _Thread_local const struct shim_ctx *volatile within, *volatile waiting;
static _Atomic unsigned fork_gen;

static struct shim_ctx *shell_take(void);
static int open_fds(struct shim_ctx *c);
static void close_fds(struct shim_ctx *c);
static void end_soon(struct shim_ctx *c);
static void end_now(struct shim_ctx *c);
static void unlock(struct shim_ctx *c);
static void farewell(struct shim_ctx *c);
static void release(struct shim_ctx *c);
static bool news(const struct shim_ctx *c);
static bool spin(struct shim_ctx *c);
static int follow(struct shim_ctx *c, uint64_t deadline_us);
static int lead(struct shim_ctx *c, uint64_t deadline_us);
static int sleep_ms(const struct shim_ctx *c, uint64_t deadline_us);
static void woken(struct shim_ctx *c, const struct epoll_event *e, int n);
static void fork_install(void);

mctx_t mtcp_create_context(int cpu)
{
	struct shim_conf *conf = malloc(sizeof(*conf));
	struct shim_ctx *c = NULL;
	const char *path;
	int err = cpu < 0 ? -EINVAL : -ENOMEM;

	shim_text("%s", "");
	pthread_once(&fork_once, fork_install);
	if (conf == NULL || cpu < 0 || (c = shell_take()) == NULL)
		goto fail;
	conf_get(conf);
	path = secure_getenv("STACKD_SOCKET");
	if (path == NULL || path[0] == '\0')
		path = conf->socket;
	c->cpu = cpu;
	c->rcvbuf = conf->rcvbuf > 0 ? (uint32_t)conf->rcvbuf : 0;
	c->sndbuf = conf->sndbuf > 0 ? (uint32_t)conf->sndbuf : 0;
	err = open_fds(c);
	if (err == 0)
		err = fds_create(c, conf->max_concurrency != 0 ? (uint32_t)conf->max_concurrency : CONF_CONCURRENCY);
	c->may_grow = conf->max_concurrency == 0;
	if (err == 0)
		err = ctl_attach(c, path, cpu);
	if (err != 0)
		goto fail;
	rss_learn(&c->welcome);
	free(conf);
	atomic_store(&c->state, CTX_LIVE);
	return (mctx_t)c;
fail:
	if (c != NULL)
		release(c);
	free(conf);
	(void)shim_ret(err);
	return NULL;
}

int mtcp_destroy_context(mctx_t mctx)
{
	const struct shim_ctx *outer = within;
	struct shim_ctx *c = (struct shim_ctx *)mctx;

	if (c != NULL && outer == c && shim_alive(c)) {
		end_soon(c);
		return 0;
	}
	c = shim_enter(mctx);
	if (c == NULL)
		return -1;
	atomic_store(&c->state, CTX_ENDING);
	end_now(c);
	pthread_mutex_unlock(&c->lock);
	within = outer;
	return 0;
}

/* In a signal handler that has interrupted a call of this context, as programs of mOS end: what a handler may not do is done when that
 * call is left. Where the call was asleep it had no lock, and callbacks can be waited for at once. */
static void end_soon(struct shim_ctx *c)
{
	atomic_store(&c->state, CTX_ENDING);
	if (waiting == c)
		mon_stop(c);
	atomic_store(&c->end_later, true);
	eventfd_write(c->kick, 1); /* it may be about to sleep, and what it sleeps on be another thread */
}

/* Lock held, state CTX_ENDING. */
static void end_now(struct shim_ctx *c)
{
	while (c->inside > 0) { /* waiters see the state and leave */
		c->changed = true;
		shim_publish(c);
		pthread_cond_wait(&c->turn, &c->lock);
	}
	if (mon_leaves(c))
		return;
	pthread_mutex_unlock(&c->lock);
	mon_stop(c);
	pthread_mutex_lock(&c->lock);
	shim_end(c);
}

void shim_end(struct shim_ctx *c)
{
	farewell(c);
	release(c);
}

int mtcp_destroy(void)
{
	struct shim_ctx *c;

	pthread_mutex_lock(&list_lock);
	c = contexts;
	pthread_mutex_unlock(&list_lock);
	for (; c != NULL; c = c->next) { /* the list only grows at its head */
		if (shim_alive(c))
			mtcp_destroy_context((mctx_t)c);
	}
	return 0;
}

int mtcp_context_fd(mctx_t mctx)
{
	struct shim_ctx *c = shim_enter(mctx);

	if (c == NULL)
		return -1;
	c->armed_always = true;
	if (!shim_arm(c))
		c->changed = true;
	if (c->changed && !c->kicked) { /* something is there already: readable at once */
		c->kicked = true;
		eventfd_write(c->kick, 1);
	}
	return (int)shim_leave(c, c->epfd);
}

uint32_t mtcp_get_connection_cnt(mctx_t mctx)
{
	struct shim_ctx *c = shim_enter(mctx);
	uint32_t n = 0;

	if (c == NULL)
		return 0;
	n = c->conns;
	shim_leave(c, 0);
	return n;
}

int mtcp_core_affinitize(int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return (int)shim_ret(-EINVAL);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

mtcp_sighandler_t mtcp_register_signal(int signum, mtcp_sighandler_t handler)
{
	struct sigaction sa = { .sa_handler = handler }, old;

	sigemptyset(&sa.sa_mask);
	return sigaction(signum, &sa, &old) == 0 ? old.sa_handler : SIG_ERR;
}

/* --- Locking ---------------------------------------------------------------------------------------------------------- */

struct shim_ctx *shim_enter(struct mtcp_context *m)
{
	struct shim_ctx *c = (struct shim_ctx *)m;

	if (c != NULL && shim_alive(c)) {
		within = c; /* before there is a lock that a signal handler could wait for, and until there is none */
		pthread_mutex_lock(&c->lock);
		if (shim_alive(c))
			return c;
		unlock(c);
	}
	(void)shim_ret(-EACCES);
	return NULL;
}

ssize_t shim_leave(struct shim_ctx *c, ssize_t r)
{
	lane_ring(c);
	shim_publish(c);
	if (r == -ESHUTDOWN && c->down)
		shim_text("%s", c->why);
	unlock(c);
	return shim_ret(r);
}

/* The end of a call. */
static void unlock(struct shim_ctx *c)
{
	int err = errno;

	pthread_mutex_unlock(&c->lock);
	within = NULL;
	if (atomic_load_explicit(&c->end_later, memory_order_relaxed) && atomic_exchange(&c->end_later, false)) {
		pthread_mutex_lock(&c->lock);
		end_now(c);
		pthread_mutex_unlock(&c->lock);
		errno = err; /* the call's own */
	}
}

bool shim_alive(const struct shim_ctx *c)
{
	return atomic_load_explicit(&c->state, memory_order_acquire) == CTX_LIVE &&
	       !shim_forked(c);
}

bool shim_forked(const struct shim_ctx *c)
{
	return c->fork_gen != atomic_load_explicit(&fork_gen, memory_order_relaxed);
}

/* Waiters in other threads shall look again. */
void shim_publish(struct shim_ctx *c)
{
	if (!c->changed)
		return;
	c->changed = false;
	if ((c->polling || c->armed_always) && !c->kicked) {
		c->kicked = true;
		eventfd_write(c->kick, 1);
	}
	if (c->followers > 0)
		pthread_cond_broadcast(&c->turn);
}

/* --- Waiting ---------------------------------------------------------------------------------------------------------- */

int shim_wait(struct shim_ctx *c, uint64_t deadline_us)
{
	return c->down ? -ESHUTDOWN : shim_wait_local(c, deadline_us);
}

int shim_wait_local(struct shim_ctx *c, uint64_t deadline_us)
{
	int r;

	if (deadline_us <= shim_now_us())
		return -ETIMEDOUT;
	c->inside++;
	r = c->polling ? follow(c, deadline_us) : lead(c, deadline_us);
	c->inside--;
	if (atomic_load(&c->state) == CTX_LIVE)
		return r;
	pthread_cond_broadcast(&c->turn); /* mtcp_destroy_context waits for the last one */
	return -EBADF;
}

static int follow(struct shim_ctx *c, uint64_t deadline_us)
{
	struct timespec t = { .tv_sec = (time_t)(deadline_us / 1000000), .tv_nsec = (long)(deadline_us % 1000000) * 1000 };

	lane_ring(c);
	shim_publish(c);
	c->followers++;
	if (deadline_us == UINT64_MAX)
		pthread_cond_wait(&c->turn, &c->lock);
	else
		pthread_cond_timedwait(&c->turn, &c->lock, &t);
	c->followers--;
	return 0;
}

static int lead(struct shim_ctx *c, uint64_t deadline_us)
{
	const struct shim_ctx *outer;
	struct epoll_event e[8];
	int n, ms, err = 0;

	lane_ring(c);
	shim_publish(c);
	if (spin(c))
		return 0;
	if (!shim_arm(c)) {
		shim_disarm(c);
		return 0;
	}
	c->polling = true;
	ms = sleep_ms(c, deadline_us);
	pthread_mutex_unlock(&c->lock);
	outer = waiting;
	waiting = c;
	n = epoll_wait(c->epfd, e, 8, ms);
	waiting = outer;
	if (n < 0)
		err = -errno;
	pthread_mutex_lock(&c->lock);
	c->polling = false;
	shim_disarm(c);
	woken(c, e, n);
	if (c->followers > 0)
		pthread_cond_broadcast(&c->turn); /* one of them leads now */
	return err;
}

static void woken(struct shim_ctx *c, const struct epoll_event *e, int n)
{
	char byte[8][8];
	struct iovec iov[8];
	struct mmsghdr m[8] = { 0 };
	uint64_t count;

	for (int i = 0; i < n; i++) {
		switch (e[i].data.u32) {
		case TAG_CTL:
			ctl_poll(c);
			break;
		case TAG_WAKE:
			for (int k = 0; k < 8; k++) {
				iov[k] = (struct iovec){ byte[k], sizeof(byte[k]) };
				m[k].msg_hdr = (struct msghdr){ .msg_iov = &iov[k], .msg_iovlen = 1 };
			}
			if (recvmmsg(c->wake, m, 8, MSG_DONTWAIT, NULL) == 0 || (e[i].events & (EPOLLHUP | EPOLLERR)))
				epoll_ctl(c->epfd, EPOLL_CTL_DEL, c->wake, NULL); /* the control socket will say why */
			break;
		case TAG_KICK:
			(void)eventfd_read(c->kick, &count);
			c->kicked = false;
			break;
		default: /* a kernel descriptor: its epoll looks for itself */
			c->changed = true;
			break;
		}
	}
}

bool shim_arm(struct shim_ctx *c)
{
	if (c->down)
		return true;
	if (++c->sleep_no == 0)
		c->sleep_no = 1;
	for (uint32_t i = 0; i < c->lanes; i++)
		bell_sleep(&c->lane[i].up->client_asleep, c->sleep_no);
	return !news(c);
}

void shim_disarm(struct shim_ctx *c)
{
	for (uint32_t i = 0; i < c->lanes; i++)
		bell_wake(&c->lane[i].up->client_asleep);
}

bool shim_rearm(struct shim_ctx *c)
{
	struct epoll_event e[8];

	shim_disarm(c);
	woken(c, e, epoll_wait(c->epfd, e, 8, 0));
	c->changed = false;
	return !lane_pump(c) && !c->changed && shim_arm(c);
}

static bool news(const struct shim_ctx *c)
{
	for (uint32_t i = 0; i < c->lanes; i++) {
		if (ring_ready(&c->lane[i].events))
			return true;
	}
	return false;
}

/* Look at the rings for spin_us before sleeping, as long as that pays. */
static bool spin(struct shim_ctx *c)
{
	uint64_t end;

	if (c->down || c->welcome.spin_us == 0 || c->followers > 0 || news(c))
		return !c->down && news(c);
	if (c->spin_misses >= SPIN_TRIES && ++c->spin_skipped < SPIN_REST)
		return false;
	c->spin_skipped = 0;
	end = shim_now_us() + c->welcome.spin_us;
	do {
		for (int i = 0; i < 32; i++) {
			if (news(c)) {
				c->spin_misses = 0;
				return true;
			}
#if defined(__x86_64__) || defined(__i386__)
			__builtin_ia32_pause();
#endif
		}
	} while (shim_now_us() < end);
	if (c->spin_misses < SPIN_TRIES)
		c->spin_misses++;
	return false;
}

static int sleep_ms(const struct shim_ctx *c, uint64_t deadline_us)
{
	uint64_t now = shim_now_us(), ms = 1 << 30;
	bool endless = deadline_us == UINT64_MAX;

	if (!endless)
		ms = deadline_us <= now ? 0 : (deadline_us - now + 999) / 1000;
	if (!c->down && ms > OWED_MS && lane_owes(c))
		return OWED_MS;
	if (!c->down && ms > STARVED_MS && lane_starves(c))
		return STARVED_MS;
	return endless ? -1 : (int)(ms > 1 << 30 ? 1 << 30 : ms);
}

uint64_t shim_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t shim_deadline(int timeout_ms)
{
	if (timeout_ms < 0)
		return UINT64_MAX;
	return timeout_ms == 0 ? 0 : shim_now_us() + (uint64_t)timeout_ms * 1000;
}

/* --- Shells ----------------------------------------------------------------------------------------------------------- */

/* A context that was destroyed, or a new one.  They are never given back to malloc, so that a stale mctx_t is an error and no
 * crash. */
static struct shim_ctx *shell_take(void)
{
	pthread_condattr_t attr;
	struct shim_ctx *c;
	int free_state;

	pthread_mutex_lock(&list_lock);
	for (c = contexts; c != NULL; c = c->next) {
		free_state = CTX_FREE;
		if (atomic_compare_exchange_strong(&c->state, &free_state, CTX_ENDING))
			break;
	}
	if (c == NULL && (c = calloc(1, sizeof(*c))) != NULL) {
		pthread_mutex_init(&c->lock, NULL);
		pthread_condattr_init(&attr);
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		pthread_cond_init(&c->turn, &attr);
		pthread_condattr_destroy(&attr);
		atomic_store(&c->state, CTX_ENDING);
		c->ctl = c->wake = c->kick = c->epfd = -1;
		c->next = contexts;
		contexts = c;
	}
	if (c != NULL) {
		c->fork_gen = atomic_load(&fork_gen);
		c->info.busy = false;
	}
	pthread_mutex_unlock(&list_lock);
	return c;
}

static int open_fds(struct shim_ctx *c)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = TAG_KICK };

	c->epfd = epoll_create1(EPOLL_CLOEXEC);
	c->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->epfd < 0 || c->kick < 0 || epoll_ctl(c->epfd, EPOLL_CTL_ADD, c->kick, &e) != 0)
		return -errno;
	return 0;
}

static void close_fds(struct shim_ctx *c)
{
	if (c->kick >= 0)
		close(c->kick);
	if (c->epfd >= 0)
		close(c->epfd);
	c->kick = c->epfd = -1;
}

/* Close everything, and wait a while until what was written has arrived: with the context goes the memory it lies in. */
static void farewell(struct shim_ctx *c)
{
	uint64_t deadline = shim_now_us() + FAREWELL_US;

	fds_close(c);
	while (c->zombies > 0 && !c->down && shim_now_us() < deadline) {
		if (!lane_pump(c))
			(void)lead(c, deadline);
	}
}

/* Give back all it holds; the shell stays, its lock is held or nobody knows it yet. */
static void release(struct shim_ctx *c)
{
	mon_free(c);
	fds_destroy(c);
	ctl_detach(c);
	rss_destroy(c);
	close_fds(c);
	c->down = c->polling = c->kicked = c->changed = c->armed_always = false;
	c->quiet = c->spin_misses = c->spin_skipped = c->conns = c->zombies = 0;
	c->lanes = c->home = 0;
	c->why[0] = '\0';
	memset(&c->welcome, 0, sizeof(c->welcome));
	atomic_store_explicit(&c->state, CTX_FREE, memory_order_release);
}

/* --- fork ------------------------------------------------------------------------------------------------------------- */

static void fork_prepare(void)
{
	pthread_mutex_lock(&list_lock);
	mon_defs_lock();
}

static void fork_parent(void)
{
	mon_defs_unlock();
	pthread_mutex_unlock(&list_lock);
}

/* The shared memory was not inherited.  The descriptors were: the child must not keep the parent's connection to stackd open.
 * The shells stay as they are, in no usable state: their locks may be held by threads that do not exist here. */
static void fork_child(void)
{
	atomic_fetch_add(&fork_gen, 1);
	for (struct shim_ctx *c = contexts; c != NULL; c = c->next) {
		for (uint32_t i = 0; i < c->lanes && c->lane != NULL; i++) {
			if (c->lane[i].bell >= 0)
				close(c->lane[i].bell);
		}
		if (c->ctl >= 0)
			close(c->ctl);
		if (c->wake >= 0)
			close(c->wake);
		close_fds(c);
		ep_close_kernel(c);
		mon_fork_child(c);
	}
	contexts = NULL;
	mon_defs_unlock();
	pthread_mutex_unlock(&list_lock);
}

static void fork_install(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}
