#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two programs of one user share a port by SO_REUSEPORT, each connection goes to one of them; another user's cannot join.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need

OTHER_UID=65533

# What a program had to do for its connections.
commands_of() { apps_sum "${PIDS[$1]}" commands; }

has_port() { [ "$(apps_sum "${PIDS[$1]}" ports)" = 1 ]; }

fetch_many()
{
	local i
	for ((i = 0; i < $1; i++)); do same_bytes 1B || return; done
}

both_serve()
{
	local a b
	a=$(commands_of first) b=$(commands_of second)
	fetch_many 64 || return
	a=$(($(commands_of first) - a)) b=$(($(commands_of second) - b))
	echo "first took $a commands, second $b"
	[ "$a" -gt 0 ] && [ "$b" -gt 0 ]
}

other_is_refused()
{
	local rc=0
	timeout 10 ip netns exec "$NSA" setpriv --reuid="$OTHER_UID" --regid=nogroup --clear-groups --no-new-privs \
		env LD_LIBRARY_PATH="$T/lib" STACKD_SOCKET="$T/stackd.sock" "$T/bin/httpd" -p 80 -r "$T/www" >"$T/other.log" 2>&1 || rc=$?
	cat "$T/other.log"
	[ "$rc" != 0 ] && [ "$rc" != 124 ]
}

net_up
www_make 1B 1M
stackd_conf
sed -i "s|clients = (|clients = ( { user = \"$OTHER_UID\"; endpoint = true; ports = \"1-65535\"; },|" "$T/stackd.conf"
stackd_start
httpd_start first 80
app second "$T/bin/httpd" -p 80 -r "$T/www"
check "a second program of the same user listens" poll 10 has_port second
check "both serve" both_serve
check "another user's is refused" other_is_refused
check "and told why" grep -q 'in use' "$T/other.log"
check "20 parallel fetches of 1 MiB" same_bytes_parallel 1M 20
stop second KILL || true
check "the one that is left serves everybody" fetch_many 64
finish
