# SPDX-License-Identifier: BSD-3-Clause

stackd_core_sources += stackd/nic/csum.h stackd/nic/devargs.c stackd/nic/devargs.h stackd/nic/dpdk.c stackd/nic/eal.c \
	stackd/nic/fault.c stackd/nic/mem.c stackd/nic/nic.c stackd/nic/nic.h stackd/nic/pcap.c stackd/nic/pkt.h

noinst_HEADERS += tests/unit/eal_fixture.h

check_PROGRAMS += tests/unit/test_nic_mem tests/unit/test_nic_fault tests/unit/test_nic_dpdk tests/unit/test_nic_pcap
TESTS += tests/unit/test_nic_mem tests/unit/test_nic_fault tests/unit/test_nic_dpdk tests/unit/test_nic_pcap

tests_unit_test_nic_mem_SOURCES = tests/unit/test_nic_mem.c
tests_unit_test_nic_mem_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_nic_mem_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_nic_fault_SOURCES = tests/unit/test_nic_fault.c
tests_unit_test_nic_fault_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_nic_fault_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_nic_dpdk_SOURCES = tests/unit/test_nic_dpdk.c
tests_unit_test_nic_dpdk_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_nic_dpdk_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_nic_pcap_SOURCES = tests/unit/test_nic_pcap.c
tests_unit_test_nic_pcap_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_nic_pcap_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)
