# SPDX-License-Identifier: BSD-3-Clause

stackd_core_sources += stackd/net/arp.c stackd/net/dad.c stackd/net/eth.c stackd/net/ext6.c stackd/net/frag.c stackd/net/frag.h stackd/net/frag_part.c \
	stackd/net/frag_whole.c stackd/net/icmp.c \
	stackd/net/icmp6.c stackd/net/ip4.c stackd/net/ip6.c stackd/net/ip6_addr.c stackd/net/mld.c stackd/net/nd.c \
	stackd/net/neigh.c stackd/net/neigh.h stackd/net/neigh_table.c \
	stackd/net/l4.c stackd/net/net.c stackd/net/net.h stackd/net/pass.c stackd/net/priv.h stackd/net/route.c stackd/net/steer.c

noinst_HEADERS += tests/unit/ip6_fixture.h tests/unit/net_fixture.h

check_PROGRAMS += tests/unit/test_arp tests/unit/test_frag tests/unit/test_icmp tests/unit/test_ip4 tests/unit/test_ip6 tests/unit/test_nd tests/unit/test_pass tests/unit/test_route tests/unit/test_steer tests/unit/test_tcp6
TESTS += tests/unit/test_arp tests/unit/test_frag tests/unit/test_icmp tests/unit/test_ip4 tests/unit/test_ip6 tests/unit/test_nd tests/unit/test_pass tests/unit/test_route tests/unit/test_steer tests/unit/test_tcp6

tests_unit_test_arp_SOURCES = tests/unit/test_arp.c
tests_unit_test_arp_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_arp_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_frag_SOURCES = tests/unit/test_frag.c
tests_unit_test_frag_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_frag_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_icmp_SOURCES = tests/unit/test_icmp.c
tests_unit_test_icmp_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_icmp_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_ip4_SOURCES = tests/unit/test_ip4.c
tests_unit_test_ip4_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_ip4_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_ip6_SOURCES = tests/unit/test_ip6.c
tests_unit_test_ip6_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_ip6_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_nd_SOURCES = tests/unit/test_nd.c
tests_unit_test_nd_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_nd_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_pass_SOURCES = tests/unit/test_pass.c
tests_unit_test_pass_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_pass_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_route_SOURCES = tests/unit/test_route.c
tests_unit_test_route_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_route_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

tests_unit_test_steer_SOURCES = tests/unit/test_steer.c
tests_unit_test_steer_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS)
tests_unit_test_steer_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

# TCP, but over the net of here
tests_unit_test_tcp6_SOURCES = tests/unit/test_tcp6.c
tests_unit_test_tcp6_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(DPDK_CFLAGS) $(URCU_CFLAGS)
tests_unit_test_tcp6_LDADD = libstackd-core.la $(CHECK_LIBS) $(DPDK_LIBS)

# 200,000 frames in make check; FUZZ_RUNS and FUZZ_SEED for more.  With clang's fuzzer:
#   clang -DFUZZ_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. ... tests/fuzz/fuzz_frames.c
check_PROGRAMS += tests/fuzz/fuzz_frames
TESTS += tests/fuzz/fuzz_frames
tests_fuzz_fuzz_frames_SOURCES = tests/fuzz/fuzz_frames.c tests/fuzz/frames6.h
tests_fuzz_fuzz_frames_CPPFLAGS = $(AM_CPPFLAGS) $(DPDK_CFLAGS)
tests_fuzz_fuzz_frames_LDADD = libstackd-core.la $(DPDK_LIBS)
EXTRA_DIST += tests/fuzz/corpus/frames
