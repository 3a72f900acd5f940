# SPDX-License-Identifier: BSD-3-Clause
#
# libshm.la is what the processes share: stackd, libshim and stackctl link it.

noinst_LTLIBRARIES += libshm.la
libshm_la_SOURCES = \
	shm/bytes.c shm/bytes.h \
	shm/ctl.c shm/ctl.h \
	shm/region.c shm/region.h shm/region_selftest.c \
	shm/mon.h shm/mon_copy.h shm/mon_read.c shm/mon_read.h shm/proto.h shm/ring.h shm/rss.h shm/stat.h

dist_doc_DATA += doc/shm-layout.md

check_PROGRAMS += tests/unit/test_bytes tests/unit/test_ctl tests/unit/test_region tests/unit/test_ring \
	tests/unit/ring_stress
TESTS += tests/unit/test_bytes tests/unit/test_ctl tests/unit/test_region tests/unit/test_ring tests/unit/ring_stress

tests_unit_test_bytes_SOURCES = tests/unit/test_bytes.c
tests_unit_test_bytes_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_bytes_LDADD = libshm.la $(CHECK_LIBS)

tests_unit_test_ctl_SOURCES = tests/unit/test_ctl.c
tests_unit_test_ctl_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_ctl_LDADD = libshm.la $(CHECK_LIBS)

tests_unit_test_region_SOURCES = tests/unit/test_region.c
tests_unit_test_region_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_region_LDADD = libshm.la $(CHECK_LIBS)

# two threads: this is the one to build with --enable-sanitize=thread
tests_unit_test_ring_SOURCES = tests/unit/test_ring.c
tests_unit_test_ring_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_ring_LDADD = libshm.la $(CHECK_LIBS) -lpthread

# two processes, and what they share is what stackd and a client share
tests_unit_ring_stress_SOURCES = tests/unit/ring_stress.c
tests_unit_ring_stress_LDADD = libshm.la
