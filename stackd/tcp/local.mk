# SPDX-License-Identifier: BSD-3-Clause

tcp_sources = stackd/wheel.c stackd/wheel.h \
	stackd/tcp/ack.c stackd/tcp/calls.c stackd/tcp/cc.h stackd/tcp/cc_cubic.c stackd/tcp/cc_reno.c \
	stackd/tcp/conn.c stackd/tcp/conn.h stackd/tcp/cookie.c stackd/tcp/flow.c stackd/tcp/flow.h \
	stackd/tcp/icmp.c stackd/tcp/in.c stackd/tcp/listen.c stackd/tcp/listen.h stackd/tcp/open.c \
	stackd/tcp/out.c stackd/tcp/port.c stackd/tcp/priv.h stackd/tcp/reasm.c stackd/tcp/reasm.h \
	stackd/tcp/recover.c stackd/tcp/reply.c stackd/tcp/secret.c stackd/tcp/secret.h stackd/tcp/seg.c \
	stackd/tcp/seg.h stackd/tcp/tcp.c stackd/tcp/tcp.h stackd/tcp/text.c stackd/tcp/timer.c \
	stackd/tcp/window.c
stackd_core_sources += $(tcp_sources)

# TCP alone, over a net/ that tests/unit/tcp_trace.c plays
check_LTLIBRARIES += libtcptrace.la
libtcptrace_la_SOURCES = $(tcp_sources) tests/unit/tcp_trace.c tests/unit/tcp_trace.h
libtcptrace_la_CPPFLAGS = $(AM_CPPFLAGS) $(URCU_CFLAGS) $(CHECK_CFLAGS)
libtcptrace_la_LIBADD = libshm.la $(URCU_LIBS) $(CHECK_LIBS)

tcp_tests = tests/unit/test_tcp_sim
check_PROGRAMS += $(tcp_tests)
TESTS += $(tcp_tests)

tests_unit_test_tcp_sim_SOURCES = tests/unit/test_tcp_sim.c
tests_unit_test_tcp_sim_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_tcp_sim_LDADD = libtcptrace.la
