# SPDX-License-Identifier: BSD-3-Clause
#
# Monitors.

stackd_core_sources += \
	stackd/mon/arena.c stackd/mon/arena_chunk.c stackd/mon/arena_index.c stackd/mon/arena_priv.h stackd/mon/arena_stream.c

stackd_core_sources += \
	stackd/mon/arena.h stackd/mon/edit.h stackd/mon/flow.h stackd/mon/map.h stackd/mon/mon.h \
	stackd/mon/payload.h stackd/mon/priv.h \
	stackd/mon/aside.c stackd/mon/chain.c stackd/mon/edit.c stackd/mon/emit.c stackd/mon/filter.c stackd/mon/flow.c \
	stackd/mon/follow.c stackd/mon/frag.c stackd/mon/half.c stackd/mon/inject.c stackd/mon/lane.c stackd/mon/life.c \
	stackd/mon/map.c stackd/mon/mon.c stackd/mon/order.c stackd/mon/out.c stackd/mon/pass.c stackd/mon/payload.c \
	stackd/mon/seg.c stackd/mon/view.c

check_PROGRAMS += tests/unit/test_mon_edit
TESTS += tests/unit/test_mon_edit
tests_unit_test_mon_edit_SOURCES = tests/unit/test_mon_edit.c
tests_unit_test_mon_edit_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_mon_edit_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

check_PROGRAMS += tests/unit/test_mon_payload
TESTS += tests/unit/test_mon_payload
tests_unit_test_mon_payload_SOURCES = tests/unit/test_mon_payload.c stackd/mon/payload.c
tests_unit_test_mon_payload_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_mon_payload_LDADD = $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_mon_filter
TESTS += tests/unit/test_mon_filter
tests_unit_test_mon_filter_SOURCES = tests/unit/test_mon_filter.c tests/unit/eal_fixture.h
tests_unit_test_mon_filter_CPPFLAGS = $(libstackd_core_la_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_mon_filter_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS) $(PCAP_LIBS)

mon_flow_tests = tests/unit/test_mon_seg tests/unit/test_mon_flow tests/unit/test_mon_half
check_PROGRAMS += $(mon_flow_tests)
TESTS += $(mon_flow_tests)
tests_unit_test_mon_seg_SOURCES = tests/unit/test_mon_seg.c
tests_unit_test_mon_seg_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_mon_seg_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)
tests_unit_test_mon_flow_SOURCES = tests/unit/test_mon_flow.c
tests_unit_test_mon_flow_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_mon_flow_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)
tests_unit_test_mon_half_SOURCES = tests/unit/test_mon_half.c
tests_unit_test_mon_half_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_mon_half_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

check_PROGRAMS += tests/unit/test_monitor_ctl
TESTS += tests/unit/test_monitor_ctl
tests_unit_test_monitor_ctl_SOURCES = tests/unit/test_monitor_ctl.c tests/unit/fake_core.h
tests_unit_test_monitor_ctl_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS) $(URCU_CFLAGS) $(PCAP_CFLAGS)
tests_unit_test_monitor_ctl_LDADD = libstackd-core.la libshm.la $(CHECK_LIBS) $(DPDK_LIBS) $(URCU_LIBS)

check_PROGRAMS += tests/unit/test_mon
TESTS += tests/unit/test_mon
tests_unit_test_mon_SOURCES = tests/unit/test_mon.c tests/unit/mon_fixture.h
tests_unit_test_mon_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_mon_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

check_PROGRAMS += tests/unit/test_mon_ahead
TESTS += tests/unit/test_mon_ahead
tests_unit_test_mon_ahead_SOURCES = tests/unit/test_mon_ahead.c tests/unit/mon_fixture.h
tests_unit_test_mon_ahead_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_mon_ahead_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

check_PROGRAMS += tests/unit/test_bridge
TESTS += tests/unit/test_bridge
tests_unit_test_bridge_SOURCES = tests/unit/test_bridge.c
tests_unit_test_bridge_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_bridge_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

arena_sources = stackd/mon/arena.c stackd/mon/arena_chunk.c stackd/mon/arena_index.c stackd/mon/arena_stream.c

check_PROGRAMS += tests/unit/test_arena tests/unit/test_arena_steps tests/unit/test_mon_read
TESTS += tests/unit/test_arena tests/unit/test_arena_steps tests/unit/test_mon_read
tests_unit_test_arena_SOURCES = tests/unit/test_arena.c tests/unit/arena_fixture.h $(arena_sources)
tests_unit_test_arena_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_arena_LDADD = libshm.la $(CHECK_LIBS)

# it includes the writer and the reader themselves
tests_unit_test_arena_steps_SOURCES = tests/unit/test_arena_steps.c tests/unit/arena_fixture.h
tests_unit_test_arena_steps_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_arena_steps_LDADD = libshm.la $(CHECK_LIBS)

# two threads, as test_ring
tests_unit_test_mon_read_SOURCES = tests/unit/test_mon_read.c tests/unit/arena_fixture.h $(arena_sources)
tests_unit_test_mon_read_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_unit_test_mon_read_LDADD = libshm.la $(CHECK_LIBS) -lpthread
