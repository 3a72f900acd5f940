# SPDX-License-Identifier: BSD-3-Clause
#
# The hostile client.  tests/system/hostile.sh sets it on a stackd with a victim.

check_PROGRAMS += tests/hostile/hostile
tests_hostile_hostile_SOURCES = tests/hostile/hostile.c tests/hostile/foe.c tests/hostile/foe.h tests/hostile/memory.c \
	tests/hostile/commands.c tests/hostile/control.c tests/hostile/monitor.c
tests_hostile_hostile_LDADD = libshm.la -lpthread
dist_noinst_SCRIPTS += tests/system/hostile.sh
