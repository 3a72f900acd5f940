#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A web server serves, and a hostile program of another user does all it can to prevent that (tests/hostile/).  The server's
# bytes stay right, stackd stays up, the hostile one is detached, counted, and leaves nothing.  Made for a build with
# --enable-sanitize=address,undefined, and true of any.
#
# HOSTILE_ARGS chooses attacks: tests/hostile/hostile --list.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need nginx
[ -e "$BUILD/tests/hostile/hostile" ] || { echo "skip $TEST: tests/hostile/hostile is not built (make check)"; exit 77; }

FILE=8M
GROWTH_KIB=$((48 * 1024)) # from the end of the first run to the end of the second: allocator's slack, no leak
HOSTILE_UID=65533
WATCHER_UID=65532 # may monitor, and have no ports
export ASAN_OPTIONS="quarantine_size_mb=8:${ASAN_OPTIONS:-}"

# Two engines where there are two cores: attaching can then fail between them.
conf_make()
{
	stackd_conf
	sed -i "s|\"$STACK_IP/24\"|\"$STACK_IP/24\", \"fd00:9::1/64\"|; s|gateway = \"$KERNEL_IP\"|gateway = [ \"$KERNEL_IP\", \"fd00:9::2\" ]|" "$T/stackd.conf"
	[ "$(nproc)" = 1 ] || sed -i 's|cores = \[0\]|cores = [0, 1]|' "$T/stackd.conf"
	sed -i "s|clients = (|clients = ( { user = \"$HOSTILE_UID\"; endpoint = true; ports = \"7000-7999,32768-60999\"; max_sockets = 4096; max_contexts = 8; memory = \"32M\"; monitor = \"inline\"; on_failure = \"pass\"; },\n{ user = \"$WATCHER_UID\"; endpoint = false; monitor = \"passive\"; scope = \"tcp port 80\"; },\n|" \
		"$T/stackd.conf"
}

# in_hostile UID COMMAND...
in_hostile()
{
	local uid=$1
	shift
	exec ip netns exec "$NSA" setpriv --reuid="$uid" --regid="$uid" --clear-groups --no-new-privs \
		env STACKD_SOCKET="$T/stackd.sock" "$@"
}

# hostile_run SEED [UID ARGUMENT...]: one line for each attack.
hostile_run()
{
	local rc=0 seed=$1 uid=${2:-$HOSTILE_UID}
	shift $(($# > 1 ? 2 : 1))
	# shellcheck disable=SC2086
	spawn hostile in_hostile "$uid" "$T/bin/hostile" --seed "$seed" --target "$KERNEL_IP:8080" ${HOSTILE_ARGS:-} "$@"
	reap hostile || rc=$?
	sed 's/^/#   /' "$T/hostile.log"
	return "$rc"
}

counted() { [ "$(counter "$1")" -gt 0 ]; }

stackd_files_open() { find "/proc/${PIDS[stackd]}/fd" -mindepth 1 | wc -l; }
stackd_rss() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${PIDS[stackd]}/status"; }
files_as_before() { [ "$(stackd_files_open)" = "$1" ]; }

rss_bounded()
{
	local now
	now=$(stackd_rss)
	echo "resident: $1 KiB after the first run, $now KiB after the second"
	[ "$now" -le $(($1 + GROWTH_KIB)) ]
}

net_up
cp "$(real_program tests/hostile/hostile)" "$T/bin/hostile" 2>/dev/null || cp "$BUILD/tests/hostile/hostile" "$T/bin/hostile"
www_make 1 "$FILE"
nginx_start
conf_make
stackd_start
httpd_start victim 80
check "the victim serves" same_bytes "$FILE"
files=$(stackd_files_open)

spawn customer customer
check "the first run" hostile_run 1
check "it left no descriptor" poll 5 files_as_before "$files"
rss=$(stackd_rss)
check "the second run" hostile_run 2
check "it left no descriptor again" poll 5 files_as_before "$files"
check "one that may only monitor" hostile_run 3 "$WATCHER_UID" --mode no-endpoint
check "memory is bounded" rss_bounded "$rss"
check "it left no socket, memory or port" poll 5 app_holds_nothing hostile

check "stackd is alive" alive stackd
check "the victim is alive" alive victim
check "the victim's customer got the right bytes each time" customer_was_served
check "another transfer" same_bytes "$FILE"
for name in app.detached app.bad_commands app.bad_cursors app.stale_handles; do
	check "$name was counted" counted "$name"
done
finish
