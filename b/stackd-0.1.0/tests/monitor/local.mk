# SPDX-License-Identifier: BSD-3-Clause
#
# Monitors that only tests need: tests/system/inline.sh.

check_PROGRAMS += tests/monitor/rewrite tests/monitor/act
tests_monitor_rewrite_SOURCES = tests/monitor/rewrite.c examples/mon.h
tests_monitor_rewrite_CPPFLAGS = $(MONITORS_CPPFLAGS)
tests_monitor_rewrite_LDADD = libshim.la
tests_monitor_act_SOURCES = tests/monitor/act.c examples/mon.h
tests_monitor_act_CPPFLAGS = $(MONITORS_CPPFLAGS)
tests_monitor_act_LDADD = libshim.la
