#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A hostile host on the wire forges, floods and misbehaves (wire.py) while curl fetches from a web server: its bytes stay
# right, stackd stays up, and of the hostile host's connections nothing is left.
#
# WIRE_ARGS chooses attacks: tests/system/wire.py --list.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

FILE=8M
GROWTH_KIB=$((48 * 1024)) # from the end of the first run to the end of the second: allocator's slack, no leak
export ASAN_OPTIONS="quarantine_size_mb=8:${ASAN_OPTIONS:-}"

attacks()
{
	# shellcheck disable=SC2086
	in_kernel python3 "$TOP/tests/system/wire.py" k0 ${WIRE_ARGS:-} --stack "$STACK_IP" --victim "$KERNEL_IP" --www "$T/www" --seed "$1" \
		--seconds "$2" >"$T/attacks.log" 2>&1 && rc=0 || rc=$?
	cat "$T/attacks.log"
	return "$rc"
}

stackd_rss() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${PIDS[stackd]}/status"; }

rss_bounded()
{
	local now
	now=$(stackd_rss)
	echo "resident: $1 KiB after the first run, $now KiB after the second"
	[ "$now" -le $(($1 + GROWTH_KIB)) ]
}

# But for what waits in TIME-WAIT, and SYNs forged in the victim's name, which it cannot take back.
no_flows()
{
	[ "$(ctl flows --json | jq --arg v "$KERNEL_IP" '[.flows[] | select(.state != "TIME-WAIT" and
		(.state != "SYN-RECEIVED" or .peer != $v))] | length')" = 0 ]
}

counted() { [ "$(counter "$1")" -gt 0 ]; }

flows_end()
{
	poll 75 no_flows && return # an answer to a SYN that nobody owns up to is repeated for 63 s
	ctl flows | grep -v TIME-WAIT
	return 1
}

net_up
www_make 1B 64K "$FILE"
in_kernel ip link set k0 mtu 9000 # stackd's own stays at 1500
ip -n "$NSD" link set s0 mtu 9000
stackd_conf
[ "$(nproc)" = 1 ] || sed -i 's|cores = \[0\]|cores = [0, 1]|' "$T/stackd.conf"
stackd_start
httpd_start httpd 80
check "the server serves" same_bytes "$FILE"

spawn customer customer
check "the first run" attacks 1 0.2
sed 's/^/#   /' "$T/attacks.log"
rss=$(stackd_rss)
check "the second run" attacks 2 0.2
check "memory is bounded" rss_bounded "$rss"
check "stackd is alive" alive stackd
check "the server is alive" alive httpd
check "the customer got the right bytes each time" customer_was_served
check "another transfer" same_bytes "$FILE"
check "no connection is left" flows_end
for name in tcp.challenge_acks tcp.bad_ack tcp.bad_header tcp.icmp_ignored icmp.bad arp.conflict arp.bad ip.bad ip.martian ip.fragment_drop \
	eth.short eth.vlan_drop; do
	check "$name was counted" counted "$name"
done
finish
