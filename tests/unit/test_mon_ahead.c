/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Inline monitors that are asked about several packets of a flow at once, and chains of them that change meanwhile.
 */
#include "tests/unit/mon_fixture.h"

/* A program that goes, and one that comes, while a packet is with another: nobody is passed over, nobody is asked twice. */
START_TEST(the_chain_changes_while_a_packet_is_held)
{
	unsigned a = watcher(PASS), b = watcher(PASS), c = watcher(PASS), d;
	struct mon_order leave = { .kind = MON_ORDER_LEAVE, .lane = lane[a] };
	struct mon_event e;

	for (unsigned i = 0; i < 3; i++)
		sock(i, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	from_client(100, 0, SEG_SYN, NULL);
	verdict(a, want(a, MON_HK_SND, MON_CLI, MON_PKT_IN).claim, MON_PASS);
	e = want(b, MON_HK_SND, MON_CLI, MON_PKT_IN);
	order(&leave);
	verdict(b, e.claim, MON_PASS);
	silence(right);
	verdict(c, want(c, MON_HK_SND, MON_CLI, MON_PKT_IN).claim, MON_PASS);
	arrives_text(right, "");
	from_server(500, 101, SEG_SYN | SEG_ACK, NULL);
	e = want(c, MON_HK_SND, MON_SVR, MON_PKT_IN);
	d = watcher(PASS);
	sock(d, 0, MON_STREAM, 0, MON_PKT_IN, 0, 0);
	verdict(c, e.claim, MON_PASS);
	nothing(c);
	nothing(d);
	verdict(b, want(b, MON_HK_SND, MON_SVR, MON_PKT_IN).claim, MON_PASS);
	arrives_text(left, "");
	conservation();
}
END_TEST

/* --- Ahead of their turn ------------------------------------------------------------------------------------------------------ */

/* A flow of which `w` is asked about every packet from here on, at HK_SND. */
static void open_flow(unsigned w, unsigned rcv)
{
	sock(w, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	handshake();
	sock(w, 0, MON_STREAM, 0, MON_PKT_IN, rcv, 0);
}

static struct mon_event asked(unsigned w, unsigned side, bool is_ahead)
{
	struct mon_event e = want(w, MON_HK_SND, side, MON_PKT_IN);

	ck_assert_uint_eq(e.flags & (MEVF_HELD | MEVF_AHEAD), MEVF_HELD | (is_ahead ? MEVF_AHEAD : 0));
	return e;
}

START_TEST(new_text_is_asked_about_ahead_of_its_turn)
{
	unsigned w = watcher(PASS), eye = watcher(PASSIVE);
	struct mon_event e[4];

	sock(eye, 0, MON_STREAM, 0, 0, MON_PKT_IN, 0);
	open_flow(w, 0);
	forget(eye);
	from_client(101, 501, SEG_ACK, "one");
	from_client(104, 501, SEG_ACK, "two");
	from_server(501, 101, SEG_ACK, "three");
	from_client(107, 501, SEG_ACK, "four");
	e[0] = asked(w, MON_CLI, false);
	e[1] = asked(w, MON_CLI, true);
	e[2] = asked(w, MON_SVR, true);
	e[3] = asked(w, MON_CLI, true);
	ck_assert_uint_eq(lane[w]->held, 4);
	verdict(w, e[1].claim, MON_PASS); /* in whatever order they are decided, they leave in theirs */
	verdict(w, e[2].claim, MON_DROP);
	nothing(eye);
	silence(right);
	verdict(w, e[0].claim, MON_PASS);
	arrives_text(right, "one");
	arrives_text(right, "two");
	silence(left);
	silence(right);
	ck_assert_uint_eq(want(eye, MON_HK_RCV, MON_SVR, MON_PKT_IN).next[MON_SVR], 3);
	ck_assert_uint_eq(want(eye, MON_HK_RCV, MON_SVR, MON_PKT_IN).next[MON_SVR], 6);
	nothing(eye);
	verdict(w, e[3].claim, MON_PASS);
	arrives_text(right, "four");
	ck_assert_uint_eq(lane[w]->held + lane[w]->held_bytes, 0);
	conservation();
}
END_TEST

/* Each of these changes what one may be told, or be told next, of the packet before. */
START_TEST(what_is_not_new_text_waits_for_its_turn)
{
	unsigned w = watcher(PASS);
	struct mon_event first;

	open_flow(w, 0);
	from_client(101, 501, SEG_ACK, "one");
	first = asked(w, MON_CLI, false);
	switch (_i) {
	case 0:
		from_client(104, 501, SEG_ACK | SEG_FIN, NULL);
		break;
	case 1:
		from_client(104, 501, SEG_ACK | SEG_RST, NULL);
		break;
	case 2:
		from_client(101, 501, SEG_ACK, "one");
		break;
	case 3:
		from_client(9000, 0, SEG_SYN, NULL);
		break;
	case 4:
		from_server(501, 104, SEG_ACK, "of what has not arrived");
		break;
	default:
		from_client(104, 501, SEG_PSH, "without ACK");
		break;
	}
	nothing(w);
	verdict(w, first.claim, MON_PASS);
	if (_i != 3) /* a SYN in a flow under way is no event of it but a packet */
		ck_assert_uint_eq(lane[w]->held, 1);
	forget(w);
}
END_TEST

START_TEST(who_is_told_more_of_a_packet_is_not_asked_about_the_next)
{
	unsigned w = watcher(PASS), other = _i == 1 ? watcher(PASS) : 0;
	struct mon_event e;

	if (_i == 1)
		sock(other, 0, MON_STREAM, 0, MON_REXMIT, 0, 0);
	if (_i == 2)
		sock(w, 1, MON_RAW, 0, 0, 0, 0);
	open_flow(w, _i == 0 ? MON_PKT_IN : 0);
	from_client(101, 501, SEG_ACK, "one");
	from_client(104, 501, SEG_ACK, "two");
	e = asked(w, MON_CLI, false);
	nothing(w);
	verdict(w, e.claim, MON_PASS);
	if (_i == 0) {
		e = want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN);
		nothing(w);
		verdict(w, e.claim, MON_PASS);
	}
	arrives_text(right, "one");
	verdict(w, asked(w, MON_CLI, false).claim, MON_PASS);
	if (_i == 0)
		verdict(w, want(w, MON_HK_RCV, MON_SVR, MON_PKT_IN).claim, MON_PASS);
	arrives_text(right, "two");
	conservation();
}
END_TEST

START_TEST(an_edit_out_of_turn_is_nonsense)
{
	unsigned w = watcher(DROP);
	struct mon_event one, two;

	open_flow(w, 0);
	from_client(101, 501, SEG_ACK, "one");
	from_client(104, 501, SEG_ACK, "two");
	one = asked(w, MON_CLI, false);
	two = asked(w, MON_CLI, true);
	edit(w, two.claim, MON_INSERT, MON_PAYLOAD, 0, "xyz", 3);
	ck_assert_uint_eq(lane[w]->decided[MON_BY_NONSENSE], 1);
	edit(w, one.claim, MON_INSERT, MON_PAYLOAD, 3, "!", 1);
	arrives_text(right, "one!");
	silence(right);
	conservation();
}
END_TEST

START_TEST(edits_of_packets_ahead_of_their_turn_move_what_follows)
{
	unsigned w = watcher(PASS);
	struct mon_event e[4];
	struct pkt *p;

	open_flow(w, 0);
	from_client(101, 501, SEG_ACK, "ab");
	from_client(103, 501, SEG_ACK, "cd");
	from_client(105, 501, SEG_ACK, "ef");
	from_server(501, 101, SEG_ACK, "x");
	e[0] = asked(w, MON_CLI, false);
	for (unsigned i = 1; i < 3; i++)
		e[i] = asked(w, MON_CLI, true);
	e[3] = asked(w, MON_SVR, true);
	edit(w, e[0].claim, MON_INSERT, MON_PAYLOAD, 1, "123", 3);
	edit(w, e[1].claim, MON_CHOMP, MON_PAYLOAD, 0, NULL, 1);
	verdict(w, e[2].claim, MON_PASS);
	verdict(w, e[3].claim, MON_PASS);
	arrives_part(101, SEG_ACK, "a123b", 5);
	arrives_part(106, SEG_ACK, "d", 1);
	arrives_part(107, SEG_ACK, "ef", 2);
	arrives_text(left, "x");
	from_server(502, 109, SEG_ACK, NULL);
	verdict(w, asked(w, MON_SVR, false).claim, MON_PASS);
	p = arrives(left);
	ck_assert_uint_eq(get32(p->data + ETH + IP + 8), 107);
	nic_free(p);
	conservation();
}
END_TEST

/* One that is decided at once, without its monitor, has to wait all the same. */
START_TEST(what_is_decided_early_leaves_in_its_turn)
{
	unsigned w = watcher(_i == 0 ? PASS : DROP);
	struct mon_order fault = { .kind = MON_ORDER_FAULT, .lane = lane[w], .cause = MON_BY_BUDGET, .times = 1 };
	struct mon_event one, three;

	open_flow(w, 0);
	from_client(101, 501, SEG_ACK, "one");
	order(&fault);
	from_client(104, 501, SEG_ACK, "two");
	from_client(107, 501, SEG_ACK, "three");
	one = asked(w, MON_CLI, false);
	silence(right);
	do /* a gap is told first */
		ck_assert(take(w, &three));
	while (three.op != MEV_DISPATCH);
	verdict(w, three.claim, MON_PASS);
	silence(right);
	verdict(w, one.claim, MON_PASS);
	arrives_text(right, "one");
	if (_i == 0)
		arrives_text(right, "two");
	arrives_text(right, "three");
	silence(right);
	ck_assert_uint_eq(lane[w]->decided[MON_BY_BUDGET], 1);
	conservation();
}
END_TEST

/* UDP; kept in order by its addresses. */
static void datagram(uint8_t number)
{
	struct pkt *p = segment(left, client, number, 0, 0, "datagram");
	const struct mon_seg ip = { .version = 4, .l3_off = ETH };

	p->data[ETH + 9] = 17;
	p->data[ETH + IP + 4] = 0;
	p->data[ETH + IP + 5] = 8 + 8;
	p->len = ETH + IP + 8 + 8;
	p->data[ETH + 3] = IP + 8 + 8;
	p->data[ETH + IP + 8] = number;
	memset(p->data + ETH + IP + 6, 0, 2);
	memset(p->data + ETH + 10, 0, 2);
	mon_edit_csum(p, &ip, true, false);
	onto_wire(left, p);
}

static void arrives_datagram(uint8_t number)
{
	struct pkt *p = arrives(right);

	ck_assert_uint_eq(p->data[ETH + IP + 8], number);
	nic_free(p);
}

START_TEST(packets_without_a_flow_are_asked_about_together_and_leave_in_order)
{
	unsigned w = watcher(PASS);
	struct mon_event e[3];

	if (_i == 0)
		sock(w, 0, MON_RAW, MON_PKT_IN, 0, 0, 0);
	else
		sock(w, 0, MON_STREAM, MON_ORPHAN, 0, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		datagram((uint8_t)i);
	for (unsigned i = 0; i < 3; i++)
		e[i] = want(w, MON_HK_NULL, MON_BOTH, _i == 0 ? MON_PKT_IN : MON_ORPHAN);
	for (unsigned i = 3; i-- > 1;)
		verdict(w, e[i].claim, i == 1 ? MON_DROP : MON_PASS);
	silence(right);
	verdict(w, e[0].claim, MON_PASS);
	arrives_datagram(0);
	arrives_datagram(2);
	silence(right);
	ck_assert_uint_eq(lane[w]->held, 0);
	conservation();
}
END_TEST

/* Nobody is asked about a segment with a wrong checksum: it may not overtake what is held between the same addresses, nor leave twice. */
START_TEST(what_nobody_is_asked_about_stays_behind_what_is_held)
{
	unsigned w = watcher(PASS);
	struct mon_event e;
	struct pkt *p;

	sock(w, 0, MON_STREAM, MON_ORPHAN, 0, 0, 0);
	datagram(0);
	p = segment(left, client, 9, 0, SEG_ACK, "bad");
	p->data[ETH + IP + 16] ^= 0xff;
	onto_wire(left, p);
	datagram(1);
	e = want(w, MON_HK_NULL, MON_BOTH, MON_ORPHAN);
	silence(right);
	verdict(w, e.claim, MON_PASS);
	arrives_datagram(0);
	arrives_text(right, "bad");
	e = want(w, MON_HK_NULL, MON_BOTH, MON_ORPHAN);
	verdict(w, e.claim, MON_PASS);
	arrives_datagram(1);
	silence(right);
	conservation();
}
END_TEST

/* Those asked about together miss their deadline together. */
START_TEST(one_stall_is_one_strike)
{
	unsigned w = watcher(PASS);

	open_flow(w, 0);
	for (unsigned i = 0; i < 8; i++)
		from_client(101 + i, 501, SEG_ACK, "x");
	now += 6000;
	mon_expire(mon, now);
	for (unsigned i = 0; i < 8; i++)
		arrives_text(right, "x");
	ck_assert_uint_eq(lane[w]->decided[MON_BY_DEADLINE], 8);
	ck_assert_uint_eq(lane[w]->breaker_opened, 0);
	for (unsigned i = 8; i < 15; i++) {
		from_client(101 + i, 501, SEG_ACK, "x");
		now += 6000;
		mon_expire(mon, now);
	}
	ck_assert_uint_eq(lane[w]->breaker_opened, 1);
	conservation();
}
END_TEST

START_TEST(what_is_ahead_of_its_turn_is_taken_back_from_the_dead)
{
	unsigned mode = _i == 0 ? PASS : DROP, w = watcher(mode);
	struct mon_order leave = { .kind = MON_ORDER_LEAVE, .lane = lane[w] };

	open_flow(w, 0);
	for (unsigned i = 0; i < 5; i++)
		from_client(101 + i, 501, SEG_ACK, "x");
	order(&leave);
	for (unsigned i = 0; i < 5 && mode == PASS; i++)
		arrives_text(right, "x");
	silence(right);
	ck_assert_uint_eq(lane[w]->decided[MON_BY_DEATH], 5);
	ck_assert_uint_eq(lane[w]->held + lane[w]->held_bytes, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mon_ahead");
	TCase *t = tcase_create("ahead");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_chain_changes_while_a_packet_is_held);
	tcase_add_test(t, new_text_is_asked_about_ahead_of_its_turn);
	tcase_add_loop_test(t, what_is_not_new_text_waits_for_its_turn, 0, 6);
	tcase_add_loop_test(t, who_is_told_more_of_a_packet_is_not_asked_about_the_next, 0, 3);
	tcase_add_test(t, an_edit_out_of_turn_is_nonsense);
	tcase_add_test(t, edits_of_packets_ahead_of_their_turn_move_what_follows);
	tcase_add_loop_test(t, what_is_decided_early_leaves_in_its_turn, 0, 2);
	tcase_add_loop_test(t, packets_without_a_flow_are_asked_about_together_and_leave_in_order, 0, 2);
	tcase_add_test(t, what_nobody_is_asked_about_stays_behind_what_is_held);
	tcase_add_test(t, one_stall_is_one_strike);
	tcase_add_loop_test(t, what_is_ahead_of_its_turn_is_taken_back_from_the_dead, 0, 2);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
