/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The port table: who may share, who is found.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <urcu/urcu-qsbr.h>

#include "tests/unit/tcp_trace.h"

static struct listen_table *table;
static struct tcp_owner owner[4];
static struct tcp_owner *lanes[4][2] = { { &owner[0], &owner[0] }, { &owner[1], &owner[1] }, { &owner[2], &owner[2] },
	                                 { &owner[3], &owner[3] } };
static const struct ipaddr any;

static struct listener *bind_as(unsigned app, pid_t pid, uid_t uid, const struct ipaddr *addr, uint16_t port, bool reuse)
{
	struct listen_who who = { .app = app, .cookie = app * 10, .pid = pid, .uid = uid, .home = app % 2, .owner = lanes[app] };

	return listen_bind(table, &who, addr, port, reuse, 40000, 40009);
}

static void setup(void)
{
	memset(owner, 0, sizeof(owner));
	table = listen_table_create(2);
}

static void teardown(void)
{
	listen_table_destroy(table);
}

START_TEST(test_sharing_rule)
{
	struct ipaddr one = ip4(1), two = ip4(2);

	ck_assert_ptr_nonnull(bind_as(0, 100, 1, &any, 80, false));
	ck_assert_ptr_nonnull(bind_as(1, 100, 1, &any, 80, false)); /* another context of the same process */
	errno = 0;
	ck_assert_ptr_null(bind_as(2, 200, 1, &any, 80, false));
	ck_assert_int_eq(errno, EADDRINUSE);
	ck_assert_ptr_null(bind_as(2, 200, 1, &any, 80, true)); /* the others did not ask for it */
	ck_assert_ptr_null(bind_as(2, 200, 1, &one, 80, false)); /* the unspecified address is everywhere */

	ck_assert_ptr_nonnull(bind_as(0, 100, 1, &any, 81, true));
	ck_assert_ptr_nonnull(bind_as(2, 200, 1, &any, 81, true));
	ck_assert_ptr_null(bind_as(3, 300, 2, &any, 81, true)); /* another user */

	ck_assert_ptr_nonnull(bind_as(0, 100, 1, &one, 82, false));
	ck_assert_ptr_nonnull(bind_as(2, 200, 1, &two, 82, false));
}
END_TEST

START_TEST(test_find)
{
	struct ipaddr one = ip4(1), two = ip4(2);
	struct listener *l = bind_as(0, 100, 1, &any, 80, false), *m = bind_as(0, 100, 1, &one, 80, false);

	ck_assert_ptr_null(listen_find(table, &one, 80, 0, 5)); /* bound is not listening */
	ck_assert_int_eq(listen_start(table, l, 0), 0);
	ck_assert_uint_eq(l->backlog, 1);
	ck_assert_ptr_eq(listen_find(table, &one, 80, 0, 5), l);
	ck_assert_int_eq(listen_start(table, m, 5), -EADDRINUSE);
	l->backlog = 0;
	ck_assert_int_eq(listen_start(table, m, 5), 0);
	l->backlog = 5;
	ck_assert_ptr_eq(listen_find(table, &one, 80, 0, 5), m); /* the exact address wins */
	ck_assert_ptr_eq(listen_find(table, &two, 80, 0, 5), l);
	ck_assert_ptr_null(listen_find(table, &two, 81, 0, 5));
	owner[0].dead = true;
	ck_assert_ptr_null(listen_find(table, &one, 80, 0, 5));
}
END_TEST

START_TEST(test_home_first_then_by_hash)
{
	struct listener *a = bind_as(0, 100, 1, &any, 80, true), *b = bind_as(1, 100, 1, &any, 80, true),
			*c = bind_as(2, 200, 1, &any, 80, true);
	unsigned hits[2] = { 0, 0 };

	ck_assert_int_eq(listen_start(table, a, 5) | listen_start(table, b, 5) | listen_start(table, c, 5), 0);
	for (uint32_t h = 0; h < 100; h++) {
		struct listener *l = listen_find(table, &any, 80, 0, h);

		must(l == a || l == c); /* b is at home on engine 1 */
		hits[l == c]++;
		must(listen_find(table, &any, 80, 1, h) == b);
	}
	ck_assert_uint_eq(hits[0], 50);
	listen_remove(table, b);
	listen_free(b);
	ck_assert_ptr_nonnull(listen_find(table, &any, 80, 1, 0)); /* nobody at home: anybody */
}
END_TEST

START_TEST(test_ephemeral_ports_run_out)
{
	bool seen[10] = { false };
	struct listener *l = NULL;

	for (unsigned i = 0; i < 10; i++) {
		l = bind_as(0, 100, 1, &any, 0, false);
		ck_assert_ptr_nonnull(l);
		ck_assert(l->port >= 40000 && l->port <= 40009 && !seen[l->port - 40000]);
		seen[l->port - 40000] = true;
		ck_assert(listen_reserved(table, &any, l->port));
		ck_assert(listen_owns(table, 0, &any, l->port));
		ck_assert(!listen_owns(table, 1, &any, l->port));
	}
	ck_assert_ptr_null(bind_as(0, 100, 1, &any, 0, false));
	ck_assert_int_eq(errno, EADDRINUSE);
	listen_remove(table, l);
	ck_assert(!listen_reserved(table, &any, l->port));
	listen_free(l);
	ck_assert_ptr_nonnull(bind_as(2, 200, 1, &any, 0, false));
}
END_TEST

/* An engine that looks things up all the time while the control thread changes them. */
static bool stop;

static void *reader(void *arg)
{
	unsigned long found = 0;

	(void)arg;
	urcu_qsbr_register_thread();
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < 50; i++) {
			struct listener *l = listen_find(table, &any, 80, 0, i);

			found += l != NULL && l->port == 80 && l->lane[0].owner != NULL;
			found += listen_reserved(table, &any, 80);
		}
		urcu_qsbr_quiescent_state();
	}
	urcu_qsbr_unregister_thread();
	return (void *)found;
}

START_TEST(test_readers_go_on)
{
	pthread_t thread;

	stop = false;
	ck_assert_int_eq(pthread_create(&thread, NULL, reader, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		struct listener *a = bind_as(0, 100, 1, &any, 80, true), *b = bind_as(1, 100, 1, &any, 80, true);

		must(a != NULL && b != NULL);
		must(listen_start(table, a, 5) == 0 && listen_start(table, b, 5) == 0);
		listen_remove(table, a);
		listen_remove(table, b);
		urcu_qsbr_synchronize_rcu();
		listen_free(a);
		listen_free(b);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}
END_TEST

static struct listener *bind6(unsigned app, pid_t pid, const struct ipaddr *addr, unsigned flags)
{
	struct listen_who who = { .app = app, .cookie = app * 10, .pid = pid, .uid = 1, .owner = lanes[app] };
	struct listener *l = listen_bind(table, &who, addr, 80, flags, 40000, 40009);

	if (l != NULL)
		ck_assert_int_eq(listen_start(table, l, 5), 0);
	return l;
}

static const struct listener *found(const struct ipaddr *addr)
{
	return listen_find(table, addr, 80, 0, 1);
}

/* :: is of both families, unless it is of IPv6 alone. */
START_TEST(test_families)
{
	struct ipaddr any4 = ip4(0), four = ip4(1), six = { .b = { 0xfd, [15] = 1 } }, *none = NULL;
	struct listener *dual, *l4, *l6, *exact;

	memset(any4.b + 12, 0, 4);
	dual = bind6(0, 0, &any, 0);
	ck_assert_ptr_eq(found(&four), dual);
	ck_assert_ptr_eq(found(&six), dual);
	ck_assert_ptr_null(bind6(1, 1, &any4, 0));
	ck_assert_ptr_null(bind6(1, 1, &any, BIND_V6ONLY));
	ck_assert_ptr_null(bind6(1, 1, &six, 0));
	listen_remove(table, dual);
	listen_free(dual);

	l4 = bind6(0, 0, &any4, 0);
	ck_assert_ptr_eq(found(&four), l4);
	ck_assert_ptr_eq(found(&six), none);
	ck_assert_ptr_null(bind6(1, 1, &any, 0));
	ck_assert_int_eq(errno, EADDRINUSE);
	l6 = bind6(1, 1, &any, BIND_V6ONLY);
	ck_assert_ptr_nonnull(l6);
	ck_assert_ptr_eq(found(&four), l4);
	ck_assert_ptr_eq(found(&six), l6);
	ck_assert_ptr_null(bind6(2, 2, &six, 0));
	exact = bind6(2, 1, &six, 0); /* of the same process */
	ck_assert_ptr_eq(found(&six), exact);
	ck_assert(listen_reserved(table, &any, 80) && listen_reserved(table, &four, 80));
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_sharing_rule);
	tcase_add_test(tc, test_find);
	tcase_add_test(tc, test_families);
	tcase_add_test(tc, test_home_first_then_by_hash);
	tcase_add_test(tc, test_ephemeral_ports_run_out);
	tcase_add_test(tc, test_readers_go_on);
}

int main(void)
{
	return trace_main("listen", (void (*const[])(TCase *)){ add }, 1);
}
