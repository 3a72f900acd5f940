#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What does an inline monitor cost the flows that go through it?
#
#	bench/inline.sh [-n ROUNDS] [-d SECONDS] [-o FILE]
#
# iperf3 through a bridge between two namespaces, one stream and eight: with nobody watching, and with examples/nat, which holds
# every packet until it has been translated; by turns.  Lines: case, streams, megabytes a second, wake-ups of the monitor per 1000 packets,
# packets decided without it.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../tests/system/lib.sh"

ROUNDS=5 SECONDS_EACH=2 OUT=''
while getopts n:d:o: option; do
	case $option in
	n) ROUNDS=$OPTARG ;;
	d) SECONDS_EACH=$OPTARG ;;
	o) OUT=$OPTARG ;;
	*)
		sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
		FINISHED=yes
		exit 2
		;;
	esac
done
NAT_IP=10.9.0.100
need iperf3
[ -z "$OUT" ] || exec > >(tee "$OUT")

# sockets_are COUNT: monitor sockets that the engine has
sockets_are() { [ "$(ctl monitors --json | jq '[.monitors[].sockets] | add // 0')" = "$1" ]; }

# wakes, packets, packets decided by policy; so far
figures()
{
	ctl monitors --json | jq -r '[.monitors[]] | "\([.[].wakes] | add // 0) \([.[].delivered] | add // 0) \([.[] | .by_ring + .by_deadline +
		.by_budget + .by_breaker + .by_nonsense] | add // 0)"'
}

mac_of() { ip -n "$1" -j link show "$2" | jq -r '.[0].address'; }

listens() { in_kernel ss -Hltn sport = :5201 | grep -q .; }

# once ADDRESS STREAMS: MB/s, wake-ups per 1000 packets, decided without it
once()
{
	local out w0 p0 d0 w p d
	spawn iperf in_kernel iperf3 -s -1 -B "$KERNEL_IP"
	poll 5 listens
	read -r w0 p0 d0 < <(figures)
	out=$(in_client timeout 60 iperf3 -c "$1" -t "$SECONDS_EACH" -P "$2" -J)
	reap iperf
	read -r w p d < <(figures)
	jq -r --argjson w $((w - w0)) --argjson p $((p - p0)) --argjson d $((d - d0)) \
		'"\(.end.sum_received.bytes / .end.sum_received.seconds / 1e6 * 10 | floor / 10) \(if $p > 0 then $w * 1000 / $p | floor else 0 end) \($d)"' <<<"$out"
}

# spread FILE COLUMN
spread() { cut -d' ' -f"$2" "$1" | sort -n | awk '{ v[NR] = $1 } END { printf "%s [%s-%s]", v[int((NR + 1) / 2)], v[1], v[NR] }'; }

net_up
net_bridge
bridge_conf 0 '' '' '{ user = "nobody"; monitor = "inline"; on_failure = "pass"; deadline_ms = 1000; hold_packets = 16384; }'
stackd_start
ip -n "$NSC" neighbour replace "$NAT_IP" lladdr "$(mac_of "$NSK" k0)" dev c0

printf '# %s, %s, %s\n' "$(date -I)" "$(git -C "$TOP" rev-parse --short HEAD 2>/dev/null || echo '?')" \
	"$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
for ((round = 0; round < ROUNDS; round++)); do
	for streams in 1 8; do once "$KERNEL_IP" "$streams" >>"$T/bridge.$streams"; done
	app nat "$T/bin/nat" -i 192.168.77.0/24 -e "$NAT_IP" -d "5201=$KERNEL_IP:5201"
	poll 10 sockets_are 1
	for streams in 1 8; do once "$NAT_IP" "$streams" >>"$T/nat.$streams"; done
	stop nat INT || true
	poll 10 sockets_are 0
done
for streams in 1 8; do
	for what in bridge nat; do
		printf '%-7s %s streams: MB/s %s; wake-ups per 1000 packets %s; decided without it %s\n' "$what" "$streams" \
			"$(spread "$T/$what.$streams" 1)" "$(spread "$T/$what.$streams" 2)" "$(spread "$T/$what.$streams" 3)"
	done
done
FINISHED=yes
