# SPDX-License-Identifier: BSD-3-Clause
#
# Scripts that read like packet traces, and every state with every event.  README says how a script is written.

check_PROGRAMS += tests/trace/traces
TESTS += tests/trace/traces
trace_harness = tests/trace/trace.h tests/trace/script.c tests/trace/segment.c tests/trace/wire.c tests/trace/calls.c \
	tests/trace/look.c

tests_trace_traces_SOURCES = tests/trace/traces.c $(trace_harness)
tests_trace_traces_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_trace_traces_LDADD = libtcptrace.la

# one folder a topic
EXTRA_DIST += tests/trace/README tests/trace/include tests/trace/handshake tests/trace/options tests/trace/timestamps tests/trace/data tests/trace/rto \
	tests/trace/send tests/trace/window tests/trace/close tests/trace/reset tests/trace/loss tests/trace/timers \
	tests/trace/icmp tests/trace/info tests/trace/errors tests/trace/ecn

check_PROGRAMS += tests/trace/matrix
TESTS += tests/trace/matrix
EXTRA_DIST += tests/trace/matrix.txt
tests_trace_matrix_SOURCES = tests/trace/matrix.h tests/trace/matrix.c tests/trace/cell.c $(trace_harness)
tests_trace_matrix_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(URCU_CFLAGS)
tests_trace_matrix_LDADD = libtcptrace.la
