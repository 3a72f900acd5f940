# SPDX-License-Identifier: BSD-3-Clause

tcp_sources = stackd/chains.c stackd/chains.h stackd/wheel.c stackd/wheel.h \
	stackd/tcp/ack.c stackd/tcp/calls.c stackd/tcp/cc.h stackd/tcp/cc_cubic.c stackd/tcp/cc_reno.c \
	stackd/tcp/conn.c stackd/tcp/conn.h stackd/tcp/cookie.c stackd/tcp/dest.c stackd/tcp/dest.h stackd/tcp/ecn.c stackd/tcp/flight.c stackd/tcp/flight.h \
	stackd/tcp/flow.c stackd/tcp/flow.h \
	stackd/tcp/icmp.c stackd/tcp/in.c stackd/tcp/info.c stackd/tcp/listen.c stackd/tcp/listen.h stackd/tcp/open.c stackd/tcp/option.c \
	stackd/tcp/out.c stackd/tcp/path.c stackd/tcp/port.c stackd/tcp/priv.h stackd/tcp/prr.c stackd/tcp/rack.c stackd/tcp/reasm.c stackd/tcp/reasm.h \
	stackd/tcp/recover.c stackd/tcp/reply.c stackd/tcp/sack.c \
	stackd/tcp/secret.c stackd/tcp/secret.h stackd/tcp/seg.c \
	stackd/tcp/seg.h stackd/tcp/tcp.c stackd/tcp/tcp.h stackd/tcp/text.c stackd/tcp/timer.c \
	stackd/tcp/undo.c stackd/tcp/window.c
stackd_core_sources += $(tcp_sources)

dist_doc_DATA += doc/tcp.md

# TCP alone, over a net/ that tests/unit/tcp_trace.c plays
check_LTLIBRARIES += libtcptrace.la
libtcptrace_la_SOURCES = $(tcp_sources) tests/unit/tcp_trace.c tests/unit/tcp_trace.h
libtcptrace_la_CPPFLAGS = $(AM_CPPFLAGS) $(URCU_CFLAGS) $(CHECK_CFLAGS)
libtcptrace_la_LIBADD = libshm.la $(URCU_LIBS) $(CHECK_LIBS)

tcp_tests = tests/unit/test_wheel tests/unit/test_flow tests/unit/test_listen tests/unit/test_reasm \
	tests/unit/test_seg tests/unit/test_cc tests/unit/test_tcp_open tests/unit/test_tcp_data \
	tests/unit/test_tcp_close tests/unit/test_tcp_loss tests/unit/test_tcp_attack tests/unit/test_tcp_timer \
	tests/unit/test_tcp_sim tests/unit/test_flight tests/unit/test_tcp_rack tests/unit/test_tcp_undo tests/unit/test_tcp_ecn tests/tcp/goodput \
	tests/fuzz/fuzz_tcp
check_PROGRAMS += $(tcp_tests)
TESTS += $(tcp_tests)

tests_unit_test_wheel_SOURCES = tests/unit/test_wheel.c
tests_unit_test_wheel_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_wheel_LDADD = libtcptrace.la
tests_unit_test_flow_SOURCES = tests/unit/test_flow.c
tests_unit_test_flow_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_flow_LDADD = libtcptrace.la
tests_unit_test_listen_SOURCES = tests/unit/test_listen.c
tests_unit_test_listen_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_listen_LDADD = libtcptrace.la
tests_unit_test_reasm_SOURCES = tests/unit/test_reasm.c
tests_unit_test_reasm_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_reasm_LDADD = libtcptrace.la
tests_unit_test_seg_SOURCES = tests/unit/test_seg.c
tests_unit_test_seg_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_seg_LDADD = libtcptrace.la
tests_unit_test_cc_SOURCES = tests/unit/test_cc.c
tests_unit_test_cc_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_cc_LDADD = libtcptrace.la
tests_unit_test_tcp_open_SOURCES = tests/unit/test_tcp_open.c
tests_unit_test_tcp_open_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_open_LDADD = libtcptrace.la
tests_unit_test_tcp_data_SOURCES = tests/unit/test_tcp_data.c
tests_unit_test_tcp_data_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_data_LDADD = libtcptrace.la
tests_unit_test_tcp_close_SOURCES = tests/unit/test_tcp_close.c
tests_unit_test_tcp_close_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_close_LDADD = libtcptrace.la
tests_unit_test_tcp_loss_SOURCES = tests/unit/test_tcp_loss.c tests/unit/tcp_loss.h
tests_unit_test_tcp_loss_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_loss_LDADD = libtcptrace.la
tests_unit_test_tcp_attack_SOURCES = tests/unit/test_tcp_attack.c
tests_unit_test_tcp_attack_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_attack_LDADD = libtcptrace.la
tests_unit_test_tcp_timer_SOURCES = tests/unit/test_tcp_timer.c
tests_unit_test_tcp_timer_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_timer_LDADD = libtcptrace.la
tests_unit_test_tcp_sim_SOURCES = tests/unit/test_tcp_sim.c tests/unit/tcp_sim.c tests/unit/tcp_sim.h
tests_unit_test_tcp_sim_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_sim_LDADD = libtcptrace.la
tests_unit_test_flight_SOURCES = tests/unit/test_flight.c
tests_unit_test_flight_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_flight_LDADD = libtcptrace.la
tests_unit_test_tcp_rack_SOURCES = tests/unit/test_tcp_rack.c tests/unit/tcp_loss.h
tests_unit_test_tcp_rack_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_rack_LDADD = libtcptrace.la
tests_unit_test_tcp_undo_SOURCES = tests/unit/test_tcp_undo.c tests/unit/tcp_loss.h
tests_unit_test_tcp_undo_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_undo_LDADD = libtcptrace.la
tests_unit_test_tcp_ecn_SOURCES = tests/unit/test_tcp_ecn.c tests/unit/tcp_loss.h
tests_unit_test_tcp_ecn_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_ecn_LDADD = libtcptrace.la

tcp_tests += tests/unit/test_tcp_limits tests/unit/test_tcp_option tests/unit/test_tcp_path
tests_unit_test_tcp_limits_SOURCES = tests/unit/test_tcp_limits.c
tests_unit_test_tcp_limits_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_limits_LDADD = libtcptrace.la
tests_unit_test_tcp_option_SOURCES = tests/unit/test_tcp_option.c
tests_unit_test_tcp_option_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_option_LDADD = libtcptrace.la
tests_unit_test_tcp_path_SOURCES = tests/unit/test_tcp_path.c
tests_unit_test_tcp_path_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp_path_LDADD = libtcptrace.la

# what one stream carries, against a stored table; tests/tcp/goodput -w writes a new one
tests_tcp_goodput_SOURCES = tests/tcp/goodput.c tests/unit/tcp_sim.c tests/unit/tcp_sim.h
tests_tcp_goodput_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_tcp_goodput_LDADD = libtcptrace.la
EXTRA_DIST += tests/tcp/goodput.table

# SIM_SEEDS for more of test_tcp_sim; for the fuzzer see tests/fuzz/drive.h
tests_fuzz_fuzz_tcp_SOURCES = tests/fuzz/fuzz_tcp.c tests/fuzz/tcp_holds.c tests/fuzz/tcp_holds.h \
	tests/fuzz/tcp_peer.c tests/fuzz/tcp_peer.h tests/fuzz/drive.h
tests_fuzz_fuzz_tcp_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_fuzz_fuzz_tcp_LDADD = libtcptrace.la
