#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# With programs attached and connections open, but nothing to do, stackd sleeps; traffic wakes it.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need

cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f12,13 | tr ' ' +; }

# The share of one core, in percent, over three seconds: that is what is measured, so there is no event to wait for.
sleeps()
{
	local before after
	before=$(($(cpu_ticks "$1")))
	sleep 3
	after=$(($(cpu_ticks "$1")))
	echo "$((after - before)) ticks of $((3 * $(getconf CLK_TCK)))"
	[ $(((after - before) * 100)) -lt $((2 * 3 * $(getconf CLK_TCK))) ]
}

net_up
www_make 1M
stackd_start
check "stackd alone sleeps" sleeps "${PIDS[stackd]}"
httpd_start httpd 80
spawn peer ip netns exec "$NSK" bash -c "exec 3<>/dev/tcp/$STACK_IP/80; echo connected; cat <&3"
check "a connection opens" wait_line 5 "$T/peer.log" "${PIDS[peer]}" connected
check "stackd sleeps with a program and an idle connection" sleeps "${PIDS[stackd]}"
check "httpd sleeps, too" sleeps "${PIDS[httpd]}"
check "traffic wakes it" same_bytes 1M
finish
