# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the tests of inline monitors on a bridge share.  Sourced after lib.sh.

# inline_conf CORES ON_FAILURE [KEYS_OF_CLIENT [KEYS_OF_IN [KEYS_OF_OUT]]]
inline_conf()
{
	bridge_conf "$1" "${4:-}" "${5:-}" "{ user = \"nobody\"; monitor = \"inline\"; on_failure = \"$2\"; ${3:-deadline_ms = 1000;} }"
	echo 'monitor = { time_wait_ms = 200; };' >>"$T/stackd.conf"
}

# monitor_is PID KEY: of stackctl monitors, all contexts of the process together
monitor_is() { ctl monitors --json | jq --argjson p "$1" --arg k "$2" '[.monitors[] | select(.pid == $p) | .[$k]] | add // 0'; }

delivered() { in_client curl -s --max-time 1 -o /dev/null "http://$KERNEL_IP:9/" || [ "$(monitor_is "$1" delivered)" -gt 0 ]; }

# monitor NAME COMMAND...: returns when it sees packets
monitor()
{
	app "$@"
	poll 10 delivered "${PIDS[$1]}" && return
	not_ok "$1" "sees nothing"
	log_show "$1"
	exit 1
}

# --- Streams both ways ---------------------------------------------------------------------------------------------------------

PY=$TOP/tests/system/inline.py
PORT=9000
# shellcheck disable=SC2034 # for those who source this
FILTER="tcp port $PORT or port 9"

# duplex UP DOWN EDITS: one connection, a file each way at the same time; both arrive as edited
duplex()
{
	local rc=0
	spawn listen in_kernel timeout 100 python3 -B "$PY" duplex listen "${TO:-$KERNEL_IP}" "$PORT" "$T/www/$2" "$T/www/$1" "$3"
	wait_line 10 "$T/listen.log" "${PIDS[listen]}" '^ready' || return
	in_client timeout 100 python3 -B "$PY" duplex connect "${TO:-$KERNEL_IP}" "$PORT" "$T/www/$1" "$T/www/$2" "$3" || rc=$?
	reap listen || rc=$?
	cat "$T/listen.log"
	return "$rc"
}

# no_bad_checksums: neither kernel has got any
no_bad_checksums()
{
	local ns
	for ns in "$NSK" "$NSC"; do
		ip netns exec "$ns" nstat -asz TcpInCsumErrors IpInHdrErrors Ip6InHdrErrors
		[ "$(ip netns exec "$ns" nstat -asz TcpInCsumErrors IpInHdrErrors Ip6InHdrErrors | awk '/Errors/ { n += $2 } END { print n }')" = 0 ] || return
	done
}

# counted NAME MINIMUM: a counter of stackd's
counted()
{
	local n
	n=$(counter "$1")
	printf '%s is %s\n' "$1" "$n"
	[ "$n" -ge "$2" ]
}

# undecided: nothing was decided without the monitors
undecided()
{
	local name
	for name in ring deadline death budget nonsense breaker; do
		[ "$(counter "mon.by_$name")" = 0 ] || { printf 'mon.by_%s is %s\n' "$name" "$(counter "mon.by_$name")"; return 1; }
	done
}

# wire_bad: a configuration for one that loses, reorders and duplicates; with retransmissions of 10 ms, for holes are filled by timeouts alone: the
# monitor lets nothing beyond a hole through
wire_bad()
{
	ip -n "$NSK" route change 10.9.0.0/24 dev k0 rto_min 10ms
	ip -n "$NSC" route change 10.9.0.0/24 dev c0 rto_min 10ms
	inline_conf 0 drop 'deadline_ms = 1000;' '' 'fault = { loss = 0.01; reorder = 0.01; duplicate = 0.01; seed = 1; };'
}

wire_good()
{
	ip -n "$NSK" route change 10.9.0.0/24 dev k0
	ip -n "$NSC" route change 10.9.0.0/24 dev c0
}

six_up()
{
	in_client sysctl -qw net.ipv6.conf.c0.disable_ipv6=0
	in_kernel sysctl -qw net.ipv6.conf.k0.disable_ipv6=0
	ip -n "$NSC" address add fd00::3/64 dev c0 nodad
	ip -n "$NSK" address add fd00::2/64 dev k0 nodad
}
