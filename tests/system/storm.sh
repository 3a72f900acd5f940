#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Programs come and go, many a second, half of them killed wherever they are (tests/hostile/storm.c), while a web server
# serves: its bytes stay right, and afterwards stackd holds no descriptor, port, connection or memory more than before.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need nginx
[ -e "$BUILD/tests/hostile/storm" ] || { echo "skip $TEST: tests/hostile/storm is not built (make check)"; exit 77; }

FILE=1M
STORM_S=${STACKD_TEST_STORM_S:-$((LONG ? 60 : 2))}
GROWTH_KIB=$((48 * 1024)) # from the end of the first storm to the end of the second: allocator's slack, no leak
export ASAN_OPTIONS="quarantine_size_mb=8:${ASAN_OPTIONS:-}"

# storm SEED
storm()
{
	local rc=0
	spawn storm in_app "$T/bin/storm" "$KERNEL_IP:8080" /64K "$STORM_S" 24 "$1"
	reap storm || rc=$?
	sort "$T/storm.log" | uniq -c | sort -n | tail -n 5
	return "$rc"
}

stackd_files_open() { find "/proc/${PIDS[stackd]}/fd" -mindepth 1 | wc -l; }
stackd_maps() { grep -c 'memfd:stackd-\(rx\|tx\|up\|down\)' "/proc/${PIDS[stackd]}/maps"; }
stackd_rss() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${PIDS[stackd]}/status"; }
files_as_before() { [ "$(stackd_files_open)" = "$1" ]; }
maps_as_before() { [ "$(stackd_maps)" -le "$1" ]; }
only_the_server() { [ "$(ctl listeners --json | jq '[.listeners[] | .port] | unique == [80]')" = true ]; }

no_flows()
{
	[ "$(ctl flows --json | jq '[.flows[] | select(.state != "TIME-WAIT")] | length')" = 0 ]
}

rss_bounded()
{
	local now
	now=$(stackd_rss)
	echo "resident: $1 KiB after the first storm, $now KiB after the second"
	[ "$now" -le $(($1 + GROWTH_KIB)) ]
}

flows_end()
{
	poll 10 no_flows && return
	ctl flows | grep -v TIME-WAIT
	return 1
}

net_up
cp "$(real_program tests/hostile/storm)" "$T/bin/storm" 2>/dev/null || cp "$BUILD/tests/hostile/.libs/storm" "$T/bin/storm"
chmod a+rx "$T/bin/storm"
www_make "$FILE" 64K
nginx_start
stackd_conf
[ "$(nproc)" = 1 ] || sed -i 's|cores = \[0\]|cores = [0, 1]|' "$T/stackd.conf"
stackd_start
httpd_start httpd 80
check "the server serves" same_bytes "$FILE"
files=$(stackd_files_open)

spawn customer customer
check "the first storm" storm 1
sed 's/^/#   /' "$T/check.out"
check "no descriptor is left" poll 5 files_as_before "$files"
rss=$(stackd_rss) maps=$(stackd_maps)
check "the second storm" storm 2
check "no descriptor is left again" poll 5 files_as_before "$files"
check "no segment is left" poll 5 maps_as_before "$maps"
check "no port is left" poll 5 only_the_server
check "memory is bounded" rss_bounded "$rss"
check "stackd is alive" alive stackd
check "the server is alive" alive httpd
check "the customer got the right bytes each time" customer_was_served
check "another transfer" same_bytes "$FILE"
check "no connection is left" flows_end
finish
