/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The ring of ring.h: order, room, wrap-around, neighbours that lie, and two threads with doorbells (for TSan).
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shm/ring.h"

enum { SLOTS = 8, BIG = 64, RECORDS = 200000 };

struct record {
	uint32_t word[15];
};
static_assert(sizeof(struct record) == 60, "a slot's body");

static struct ring_slot slot[BIG];
static uint32_t done;
static struct ring_prod prod;
static struct ring_cons cons;

static struct record record_of(uint32_t seq)
{
	struct record r;

	for (uint32_t i = 0; i < 15; i++)
		r.word[i] = (seq + 1) * 2654435761u ^ i * 40503u;
	return r;
}

static bool is_record(const struct record *r, uint32_t seq)
{
	struct record want = record_of(seq);

	return memcmp(r, &want, sizeof(want)) == 0;
}

static int put(uint32_t seq)
{
	struct record r = record_of(seq);

	return ring_put(&prod, &r, sizeof(r));
}

static bool get(uint32_t seq)
{
	struct record r;

	return ring_get(&cons, &r) && is_record(&r, seq);
}

/* A ring that has already passed `pos` records. */
static void start_at(uint32_t pos, uint32_t slots)
{
	memset(slot, 0, sizeof(slot));
	done = pos;
	ring_prod_init(&prod, slot, &done, slots);
	ring_cons_init(&cons, slot, &done, slots);
	prod.head = prod.seen = cons.tail = pos;
}

static void setup(void)
{
	start_at(0, SLOTS);
}

/* --- Honest ends ------------------------------------------------------------------------------------------------------ */
START_TEST(empty_gives_nothing)
{
	struct record r;

	ck_assert(!ring_ready(&cons));
	ck_assert(!ring_get(&cons, &r));
	ck_assert_int_eq(ring_room(&prod), SLOTS);
}
END_TEST

START_TEST(full_refuses_and_room_comes_with_done)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		ck_assert_int_eq(put(i), 0);
	ck_assert_int_eq(put(99), -ENOBUFS);
	ck_assert_int_eq(ring_room(&prod), 0);
	ck_assert(get(0));
	ck_assert(get(1));
	ck_assert_int_eq(put(99), -ENOBUFS); /* not published yet */
	ring_done(&cons);
	ck_assert_int_eq(ring_room(&prod), 2);
	ck_assert_int_eq(put(SLOTS), 0);
	ck_assert_int_eq(put(SLOTS + 1), 0);
	ck_assert_int_eq(put(99), -ENOBUFS);
	for (uint32_t i = 2; i < SLOTS + 2; i++)
		ck_assert(get(i));
	ck_assert(!ring_ready(&cons)); /* a slot of the lap before is not taken for new */
}
END_TEST

START_TEST(short_records_leave_the_rest)
{
	uint8_t body[60];

	ck_assert_int_eq(ring_put(&prod, "abc", 3), 0);
	ck_assert(ring_get(&cons, body));
	ck_assert_int_eq(memcmp(body, "abc\0", 4), 0);
}
END_TEST

/* Positions run freely through 2^32, and nothing is special there; all sizes down to one slot. */
START_TEST(positions_wrap)
{
	static const uint32_t from[] = { 0, UINT32_MAX - 100, 0x7fffff9c, 0xffffffff };

	for (uint32_t slots = 1; slots <= BIG; slots *= 2) {
		uint32_t in = 0, out = 0;

		start_at(from[_i], slots);
		while (out < 400) {
			while (in < 500 && put(in) == 0)
				in++;
			ck_assert_uint_eq(in - out, in < 500 ? slots : in - out);
			for (uint32_t n = 1 + out % 7; n > 0 && out < in; n--, out++)
				ck_assert(get(out));
			ring_done(&cons);
		}
	}
}
END_TEST

START_TEST(random_steps_keep_order)
{
	uint32_t in = 0, out = 0, told = 0;

	srand((unsigned)_i + 1);
	start_at(UINT32_MAX - 5000, BIG);
	for (int i = 0; i < 50000; i++) {
		switch (rand() % 5) {
		case 0: case 1:
			if (put(in) == 0)
				in++;
			else if (in - told != BIG)
				ck_abort_msg("refused with %u in it", in - told);
			break;
		case 2: case 3:
			if (out < in ? !get(out++) : ring_ready(&cons))
				ck_abort_msg("record %u of %u", out, in);
			break;
		default:
			ring_done(&cons);
			told = out;
			if (ring_room(&prod) != (int)(BIG - (in - told)))
				ck_abort_msg("room");
		}
	}
	ck_assert_uint_gt(in, 5000); /* it has wrapped */
}
END_TEST

/* --- Liars ------------------------------------------------------------------------------------------------------------ */
START_TEST(consumer_that_read_the_unwritten_is_found)
{
	ck_assert_int_eq(put(0), 0);
	done = 2;
	ck_assert_int_eq(ring_room(&prod), -EPROTO);
	done = UINT32_MAX;
	ck_assert_int_eq(ring_room(&prod), -EPROTO);
	done = 1;
	ck_assert_int_eq(ring_room(&prod), SLOTS);
	done = 0; /* what was read cannot be unread */
	ck_assert_int_eq(ring_room(&prod), -EPROTO);
}
END_TEST

START_TEST(put_tells_of_a_lying_consumer)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		ck_assert_int_eq(put(i), 0);
	done = SLOTS + 1;
	ck_assert_int_eq(put(SLOTS), -EPROTO);
	ck_assert(get(0)); /* and nothing was overwritten */
	ck_assert(get(1));
}
END_TEST

/* Whatever stands in done, room stays within the ring, and never more is unread than it holds. */
START_TEST(any_done_leaves_room_in_range)
{
	int lies = 0;

	srand((unsigned)_i + 1);
	start_at((uint32_t)rand() * 2u, BIG);
	for (int i = 0; i < 200000; i++) {
		int room;

		done = rand() % 4 == 0 ? (uint32_t)rand() * 2u + (uint32_t)rand() % 2 :
					 prod.head - BIG - 4 + (uint32_t)rand() % (BIG + 8);
		room = ring_room(&prod);
		if (room == -EPROTO)
			lies++;
		else if (room < 0 || room > BIG || prod.head - prod.seen > BIG)
			ck_abort_msg("room %d, %u unread", room, prod.head - prod.seen);
		for (int n = rand() % 4; n > 0; n--)
			put(0);
	}
	ck_assert_int_gt(lies, 1000);
}
END_TEST

START_TEST(only_the_expected_lap_is_ready)
{
	start_at(3 * SLOTS, SLOTS);
	for (uint32_t lap = 0; lap < 1000; lap++) {
		slot[0].lap = lap;
		if (ring_ready(&cons) != (lap == 4))
			ck_abort_msg("lap %u", lap);
	}
	slot[0].lap = UINT32_MAX;
	ck_assert(!ring_ready(&cons));
}
END_TEST

/* A producer that scribbles gets records of nonsense read, one per slot it forged, and nothing else is touched. */
START_TEST(scribbled_slots_stay_slots)
{
	struct {
		uint8_t before[64], body[60], after[64];
	} out;
	uint32_t taken = 0;

	memset(&out, 0xcc, sizeof(out));
	srand(1);
	for (int i = 0; i < 200000; i++) {
		uint32_t word = (uint32_t)rand() % (SLOTS * 16);

		memcpy((uint8_t *)slot + word * 4, &(uint32_t){ (uint32_t)rand() % 64 }, 4);
		if (ring_get(&cons, out.body))
			taken++;
		if (cons.tail != taken)
			ck_abort_msg("tail");
	}
	ck_assert_uint_gt(taken, 0);
	for (int i = 0; i < 64; i++)
		if (out.before[i] != 0xcc || out.after[i] != 0xcc)
			ck_abort_msg("wrote outside of body");
}
END_TEST

/* --- Two threads ------------------------------------------------------------------------------------------------------ */
static uint32_t asleep[2]; /* of the producer, of the consumer */
static int bell[2];

static void sleep_unless(int me, bool (*work)(void))
{
	uint64_t n;

	bell_sleep(&asleep[me], 1);
	if (!work() && read(bell[me], &n, sizeof(n)) != sizeof(n))
		abort();
	bell_wake(&asleep[me]);
}

static void wake(int other)
{
	if (bell_look(&asleep[other]) && eventfd_write(bell[other], 1) != 0)
		abort();
}

static bool has_room(void)
{
	return ring_room(&prod) != 0;
}

static bool has_record(void)
{
	return ring_ready(&cons);
}

static void *produce(void *arg)
{
	for (uint32_t seq = 0; seq < RECORDS;) {
		int rc = put(seq);

		if (rc == 0)
			seq++;
		else if (rc != -ENOBUFS)
			return "room lied";
		if (rc != 0 || seq % 16 == 0 || seq == RECORDS) /* a batch */
			wake(1);
		if (rc != 0)
			sleep_unless(0, has_room);
	}
	return arg;
}

static void *consume(void *arg)
{
	for (uint32_t seq = 0; seq < RECORDS;) {
		struct record r;
		uint32_t n;

		for (n = 0; n < 32 && ring_get(&cons, &r); n++, seq++)
			if (!is_record(&r, seq))
				return "wrong record";
		ring_done(&cons);
		wake(0);
		if (n == 0)
			sleep_unless(1, has_record);
	}
	return arg;
}

START_TEST(two_threads_lose_nothing)
{
	static const uint32_t slots[] = { 2, 8, 64 };
	pthread_t p, c;
	void *said;

	start_at(UINT32_MAX - RECORDS / 2, slots[_i]);
	bell[0] = eventfd(0, EFD_CLOEXEC);
	bell[1] = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(pthread_create(&p, NULL, produce, NULL), 0);
	ck_assert_int_eq(pthread_create(&c, NULL, consume, NULL), 0);
	pthread_join(c, &said);
	ck_assert_msg(said == NULL, "consumer: %s", (char *)said);
	pthread_join(p, &said);
	ck_assert_msg(said == NULL, "producer: %s", (char *)said);
	ck_assert(!ring_ready(&cons));
	ck_assert_int_eq(ring_room(&prod), (int)slots[_i]);
	close(bell[0]);
	close(bell[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ring");
	TCase *t = tcase_create("ring");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 240); /* a hang, not a slow machine */
	tcase_add_test(t, empty_gives_nothing);
	tcase_add_test(t, full_refuses_and_room_comes_with_done);
	tcase_add_test(t, short_records_leave_the_rest);
	tcase_add_loop_test(t, positions_wrap, 0, 4);
	tcase_add_loop_test(t, random_steps_keep_order, 0, 3);
	tcase_add_test(t, consumer_that_read_the_unwritten_is_found);
	tcase_add_test(t, put_tells_of_a_lying_consumer);
	tcase_add_loop_test(t, any_done_leaves_room_in_range, 0, 3);
	tcase_add_test(t, only_the_expected_lap_is_ready);
	tcase_add_test(t, scribbled_slots_stay_slots);
	tcase_add_loop_test(t, two_threads_lose_nothing, 0, 3);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
