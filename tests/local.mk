# SPDX-License-Identifier: BSD-3-Clause
#
# Unit tests are described beside what they test.  The system tests need root and a network of their own: ./run check.

# libcheck's own limit of 4 s for a test is too short on a machine with much else to do
AM_TESTS_ENVIRONMENT = CK_DEFAULT_TIMEOUT=60; export CK_DEFAULT_TIMEOUT;

dist_noinst_SCRIPTS += tests/system/run-all tests/system/bridge.sh tests/system/conform.sh tests/system/fault.sh tests/system/fetch.sh tests/system/follow.sh tests/system/interop.sh tests/system/ip6.sh tests/system/idle.sh tests/system/inline.sh tests/system/rewrite.sh tests/system/extremes.sh tests/system/failure.sh tests/system/inline_lib.sh tests/system/monitors.sh \
	tests/system/neighbours.sh tests/system/replay.sh tests/system/reuseport.sh tests/system/restart.sh tests/system/rows.sh tests/system/scan.sh tests/system/show.sh tests/system/transfer.sh tests/system/truth.sh \
	tests/system/watch.sh tests/system/wire.sh tests/system/wire.py
dist_noinst_SCRIPTS += tests/system/demo.sh tests/system/demo_monitors.sh tests/system/lib.sh tests/system/replaying.sh
EXTRA_DIST += tests/system/inline.py tests/system/frames.py tests/system/tagger.py tests/system/streams.py tests/system/wrk.lua tests/tsan.supp

# needs neither root nor namespaces
dist_check_SCRIPTS += tests/system/two_stacks.sh
TESTS += tests/system/two_stacks.sh

include tests/hostile/local.mk
include tests/fuzz/local.mk
include tests/monitor/local.mk
include tests/conform/local.mk
include tests/trace/local.mk
include tests/truth/local.mk
