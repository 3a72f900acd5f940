# SPDX-License-Identifier: BSD-3-Clause

bin_PROGRAMS += stackctl/stackctl
stackctl_show = stackctl/stackctl.h stackctl/apps.c stackctl/flows.c stackctl/monitors.c stackctl/ports.c stackctl/stats.c \
	stackctl/out.c stackctl/out.h stackctl/segment.c stackctl/segment.h stackctl/attach.c
stackctl_stackctl_SOURCES = stackctl/main.c $(stackctl_show)
stackctl_stackctl_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE
stackctl_stackctl_LDADD = libshm.la -lm

# the commands, and the program for its exit status; tests run in the top build folder
check_PROGRAMS += tests/unit/test_stackctl
TESTS += tests/unit/test_stackctl
tests_unit_test_stackctl_SOURCES = tests/unit/test_stackctl.c $(stackctl_show)
tests_unit_test_stackctl_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE $(CHECK_CFLAGS)
tests_unit_test_stackctl_LDADD = libshm.la $(CHECK_LIBS) -lm
