#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# stackd ends, in order and by SIGKILL: peers get a RST, programs an error instead of a hang, and a new stackd serves
# new programs on the same socket.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need nginx

# A connection of the kernel's that does nothing but wait; its log says how it ended.
peer_start()
{
	spawn peer ip netns exec "$NSK" bash -c "exec 3<>/dev/tcp/$STACK_IP/80; echo connected; cat <&3"
	wait_line 5 "$T/peer.log" "${PIDS[peer]}" connected
}

peer_was_reset()
{
	wait_gone 5 "${PIDS[peer]}" && ! reap peer && grep -q 'reset by peer' "$T/peer.log"
}

fetch_start()
{
	mkdir -p "$T/down"
	chown nobody "$T/down"
	app fetch "$T/bin/fetch" -n 1000 -c 4 -o "$T/down" "http://$KERNEL_IP:8080/100M"
	poll 5 fetch_runs
}

fetch_runs() { [ "$(apps_sum "${PIDS[fetch]}" sockets)" -ge 4 ]; }

# It ends by itself, not by a signal, and says why.
fetch_gave_up()
{
	local rc=0
	wait_gone 10 "${PIDS[fetch]}" || { echo "still runs"; return 1; }
	reap fetch || rc=$?
	tail -n 5 "$T/fetch.log"
	rm -rf "$T/down"
	[ "$rc" -gt 0 ] && [ "$rc" -lt 126 ] && [ -s "$T/fetch.log" ]
}

stops_within_a_second()
{
	kill -TERM "${PIDS[stackd]}"
	wait_gone 1 "${PIDS[stackd]}" && reap stackd
}

net_up
www_make 64B 1M 100M
nginx_start
stackd_start
httpd_start httpd 80

check "a connection is open" peer_start
check "a download runs" fetch_start
check "SIGTERM ends stackd within a second" stops_within_a_second
check "its peer gets a RST" peer_was_reset
check "the program is told" fetch_gave_up
stop httpd || true

stackd_start
httpd_start httpd 80
check "a new stackd serves" same_bytes 1M
check "a download runs again" fetch_start
kill -KILL "${PIDS[stackd]}"
reap stackd || true
check "the program is told of the kill" fetch_gave_up
stop httpd || true

stackd_start
httpd_start httpd 80
check "a stackd after the killed one serves" same_bytes 1M
finish
