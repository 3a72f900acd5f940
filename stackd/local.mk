# SPDX-License-Identifier: BSD-3-Clause
#
# libstackd-core.la is the whole daemon but main(): stackd and the unit tests link it.

noinst_LTLIBRARIES += libstackd-core.la
libstackd_core_la_SOURCES = $(stackd_core_sources)
libstackd_core_la_CPPFLAGS = $(AM_CPPFLAGS) $(DPDK_CFLAGS) $(URCU_CFLAGS) $(LIBCONFIG_CFLAGS) $(PCAP_CFLAGS) \
	$(LIBCAP_CFLAGS) $(SECCOMP_CFLAGS) $(SYSTEMD_CFLAGS) $(SYSTEMD_DEFS)
libstackd_core_la_LIBADD = libshm.la $(DPDK_LIBS) $(URCU_LIBS) $(LIBCONFIG_LIBS) $(PCAP_LIBS) \
	$(LIBCAP_LIBS) $(SECCOMP_LIBS) $(SYSTEMD_LIBS) -lm

stackd_core_sources += \
	stackd/attach.c stackd/bind.c stackd/client.c stackd/ctl.c stackd/ctl.h stackd/replay.c stackd/replay.h stackd/shown.c \
	stackd/monitor.c stackd/monitor.h stackd/monitor_filter.c stackd/monitor_group.c stackd/monitor_order.c \
	stackd/core.c stackd/core_in.c stackd/core_mail.c stackd/core_sleep.c stackd/core.h stackd/core_priv.h stackd/idle.c stackd/idle.h stackd/mail.c stackd/flows.c stackd/flows.h \
	stackd/steer.c stackd/steer.h \
	stackd/clock.h stackd/log.h stackd/stats.h stackd/tsan.h

sbin_PROGRAMS += stackd/stackd
stackd_stackd_SOURCES = stackd/main.c
stackd_stackd_CPPFLAGS = $(libstackd_core_la_CPPFLAGS)
stackd_stackd_LDADD = libstackd-core.la
stackd_stackd_LDFLAGS = -Wl,--dynamic-list=$(srcdir)/stackd/nic/exported.list
EXTRA_stackd_stackd_DEPENDENCIES = stackd/nic/exported.list
EXTRA_DIST += stackd/nic/exported.list

# the configuration, the log, the statistics segment, privileges
stackd_core_sources += \
	stackd/conf.c stackd/conf.h stackd/conf_check.c stackd/conf_keys.c stackd/conf_keys.h stackd/conf_print.c \
	stackd/conf_text.c stackd/conf_value.c \
	stackd/log.c stackd/stat_seg.c stackd/stat_seg.h \
	stackd/priv.c stackd/priv.h stackd/priv_filter.c

stackdconfdir = $(sysconfdir)/stackd
EXTRA_DIST += conf/stackd.conf

check_PROGRAMS += tests/unit/test_conf tests/unit/test_priv tests/unit/test_stat_seg
TESTS += tests/unit/test_conf tests/unit/test_priv tests/unit/test_stat_seg

tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_CPPFLAGS = $(libstackd_core_la_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_conf_LDADD = libstackd-core.la $(CHECK_LIBS)

tests_unit_test_stat_seg_SOURCES = tests/unit/test_stat_seg.c stackctl/segment.c stackctl/segment.h
tests_unit_test_stat_seg_CPPFLAGS = $(libstackd_core_la_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_stat_seg_LDADD = libstackd-core.la $(CHECK_LIBS)

tests_unit_test_priv_SOURCES = tests/unit/test_priv.c
tests_unit_test_priv_CPPFLAGS = $(libstackd_core_la_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_priv_LDADD = libstackd-core.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_steer_ring
TESTS += tests/unit/test_steer_ring
tests_unit_test_steer_ring_SOURCES = tests/unit/test_steer_ring.c tests/unit/eal_fixture.h
tests_unit_test_steer_ring_CPPFLAGS = $(libstackd_core_la_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_steer_ring_LDADD = libstackd-core.la $(CHECK_LIBS)

dist_check_SCRIPTS += tests/unit/test_stackd.sh
TESTS += tests/unit/test_stackd.sh
