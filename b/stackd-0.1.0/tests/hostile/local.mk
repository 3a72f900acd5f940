# SPDX-License-Identifier: BSD-3-Clause
#
# The hostile client.  tests/system/hostile.sh sets it on a stackd with a victim.

check_PROGRAMS += tests/hostile/hostile
tests_hostile_hostile_SOURCES = tests/hostile/hostile.c tests/hostile/foe.c tests/hostile/foe.h tests/hostile/memory.c \
	tests/hostile/commands.c tests/hostile/control.c tests/hostile/monitor.c
tests_hostile_hostile_LDADD = libshm.la -lpthread
dist_noinst_SCRIPTS += tests/system/hostile.sh

# programs that come and go: tests/system/storm.sh
check_PROGRAMS += tests/hostile/storm
tests_hostile_storm_SOURCES = tests/hostile/storm.c
tests_hostile_storm_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libshim/include/mtcp
tests_hostile_storm_LDADD = libshim.la
dist_noinst_SCRIPTS += tests/system/storm.sh
