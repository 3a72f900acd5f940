# SPDX-License-Identifier: BSD-3-Clause
#
# Monitors that only tests need: tests/system/rewrite.sh, extremes.sh, failure.sh, monitors.sh.

check_PROGRAMS += tests/monitor/rewrite tests/monitor/act
tests_monitor_rewrite_SOURCES = tests/monitor/rewrite.c examples/mon.h
tests_monitor_rewrite_CPPFLAGS = $(MONITORS_CPPFLAGS)
tests_monitor_rewrite_LDADD = libshim.la
tests_monitor_act_SOURCES = tests/monitor/act.c examples/mon.h
tests_monitor_act_CPPFLAGS = $(MONITORS_CPPFLAGS)
tests_monitor_act_LDADD = libshim.la

check_PROGRAMS += tests/monitor/events tests/monitor/sick tests/monitor/spy
tests_monitor_events_SOURCES = tests/monitor/events.c examples/mon.h
tests_monitor_events_CPPFLAGS = $(MONITORS_CPPFLAGS)
tests_monitor_events_LDADD = libshim.la
tests_monitor_sick_SOURCES = tests/monitor/sick.c examples/mon.h
tests_monitor_sick_CPPFLAGS = $(MONITORS_CPPFLAGS)
tests_monitor_sick_LDADD = libshim.la -lpthread
tests_monitor_spy_SOURCES = tests/monitor/spy.c examples/mon.h
tests_monitor_spy_CPPFLAGS = $(MONITORS_CPPFLAGS)
tests_monitor_spy_LDADD = libshim.la

# tests/system/rows.sh
check_PROGRAMS += tests/monitor/rows
tests_monitor_rows_SOURCES = tests/monitor/rows.c tests/monitor/rows.h tests/monitor/rows_event.c tests/monitor/rows_order.c \
	tests/monitor/rows_stream.c tests/monitor/rows_own.c tests/monitor/rows_life.c tests/monitor/rows_packet.c tests/monitor/rows_inline.c tests/monitor/rows_edit.c
tests_monitor_rows_CPPFLAGS = $(MONITORS_CPPFLAGS)
tests_monitor_rows_LDADD = libshim.la
EXTRA_DIST += tests/monitor/rows.py
