# SPDX-License-Identifier: BSD-3-Clause
#
# Fuzzers of what clients and operators supply (fuzz_frames is beside net/).  Short in make check; ./run fuzz is longer.

check_PROGRAMS += tests/fuzz/fuzz_cmd tests/fuzz/fuzz_ctl tests/fuzz/fuzz_conf tests/fuzz/fuzz_filter
TESTS += tests/fuzz/fuzz_cmd tests/fuzz/fuzz_ctl tests/fuzz/fuzz_conf tests/fuzz/fuzz_filter
EXTRA_DIST += tests/fuzz/corpus/conf tests/fuzz/corpus/tcp

tests_fuzz_fuzz_cmd_SOURCES = tests/fuzz/fuzz_cmd.c tests/fuzz/drive.h tests/unit/fake_tcp.h
tests_fuzz_fuzz_cmd_CPPFLAGS = $(AM_CPPFLAGS) $(DPDK_CFLAGS) $(URCU_CFLAGS)
tests_fuzz_fuzz_cmd_LDADD = libshm.la

tests_fuzz_fuzz_ctl_SOURCES = tests/fuzz/fuzz_ctl.c tests/fuzz/drive.h tests/unit/fake_core.h
tests_fuzz_fuzz_ctl_CPPFLAGS = $(AM_CPPFLAGS) $(DPDK_CFLAGS) $(URCU_CFLAGS)
tests_fuzz_fuzz_ctl_LDADD = libstackd-core.la $(DPDK_LIBS) $(URCU_LIBS)

tests_fuzz_fuzz_filter_SOURCES = tests/fuzz/fuzz_filter.c tests/fuzz/drive.h
tests_fuzz_fuzz_filter_CPPFLAGS = $(AM_CPPFLAGS) $(DPDK_CFLAGS) $(PCAP_CFLAGS)
tests_fuzz_fuzz_filter_LDADD = $(DPDK_LIBS) $(PCAP_LIBS)

tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c tests/fuzz/drive.h
tests_fuzz_fuzz_conf_CPPFLAGS = $(AM_CPPFLAGS) $(DPDK_CFLAGS) $(LIBCONFIG_CFLAGS)
tests_fuzz_fuzz_conf_LDADD = libstackd-core.la $(DPDK_LIBS) $(LIBCONFIG_LIBS)

check_PROGRAMS += tests/fuzz/fuzz_mon
TESTS += tests/fuzz/fuzz_mon
tests_fuzz_fuzz_mon_SOURCES = tests/fuzz/fuzz_mon.c tests/fuzz/drive.h
tests_fuzz_fuzz_mon_CPPFLAGS = $(AM_CPPFLAGS) $(DPDK_CFLAGS)
tests_fuzz_fuzz_mon_LDADD = libstackd-core.la $(DPDK_LIBS)
