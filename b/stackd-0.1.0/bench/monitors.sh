#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What does a packet cost the engine when 1, 2, 4 and 8 monitors watch it, and how many flows a second does one engine follow?
#
#	bench/monitors.sh [-n ROUNDS] [-f FLOWS] [-o FILE]
#
# A generated capture is replayed as fast as lossless monitors follow: the engine on core 0, all monitors on core 1, by turns.  The cost
# is the engine thread's CPU time (its system calls, reading the file and waking monitors included) by packets.
set -euo pipefail
TOP=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$TOP/build}
rounds=5 flows=100000 out=''
while getopts n:f:o: option; do
	case $option in
	n) rounds=$OPTARG ;;
	f) flows=$OPTARG ;;
	o) out=$OPTARG ;;
	*) sed -n '3,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
done
T=$(mktemp -d /tmp/stackd-bench.XXXXXX)
pids=()
end()
{
	local rc=$?
	trap - EXIT
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait || true
	rm -rf "$T"
	exit "$rc"
}
trap end EXIT
trap 'exit 1' INT TERM
[ -z "$out" ] || exec > >(tee "$out")

# cpu_ns PID NAME: of the thread of that name.
cpu_ns()
{
	local task
	for task in /proc/"$1"/task/*; do
		if [ "$(cat "$task/comm")" = "$2" ]; then cut -d' ' -f1 "$task/schedstat"; fi
	done
}

# once CAPTURE MONITORS: prints engine ns per packet, seconds, packets, chunks of the arena in use.
once()
{
	local i begin stats used
	cat >"$T/stackd.conf" <<-END
		engines = { cores = [0]; spin_us = 0; };
		ports = ( { name = "cap"; device = "net_pcap0,rx_pcap=$1"; mode = "replay";
		            replay = { speed = "max"; at_end = "stay"; wait_for = $2; }; } );
		control = { socket = "$T/stackd.sock"; };
		monitor = { time_wait_ms = 0; };
		clients = ( { user = "*"; monitor = "passive"; operator = true; memory = "16M"; } );
	END
	"$BUILD/stackd/stackd" -c "$T/stackd.conf" 2>"$T/stackd.log" &
	pids=($!)
	until [ -S "$T/stackd.sock" ]; do sleep 0.05; done
	for ((i = 0; i < $2; i++)); do
		STACKD_SOCKET=$T/stackd.sock taskset -c 1 "$BUILD/bench/watch_data" >/dev/null 2>"$T/watch.$i" &
		pids+=($!)
	done
	until grep -q 'is attached' "$T/stackd.log"; do sleep 0.01; done
	begin=${EPOCHREALTIME/./}
	until grep -q 'has been read' "$T/stackd.log"; do sleep 0.02; done
	used=$((${EPOCHREALTIME/./} - begin))
	stats=$(cpu_ns "${pids[0]}" engine-0)
	"$BUILD/stackctl/stackctl" -s "$T/stackd.sock" stats --json >"$T/stats.json"
	"$BUILD/stackctl/stackctl" -s "$T/stackd.sock" monitors --json >"$T/monitors.json"
	jq -r --argjson ns "$stats" --argjson us "$used" --slurpfile m "$T/monitors.json" \
		'.engines[0] as $e | ($e.counters // $e) | .["mon.packets"] as $p | "\($ns / $p | floor) \($us / 1000000) \($p) \($m[0].groups[0].chunks_used) \([$m[0].monitors[].lost] | add)"' "$T/stats.json"
	kill "${pids[@]}"
	wait "${pids[@]}" 2>/dev/null || true
	pids=()
	rm -f "$T/stackd.sock"
}

median() { sort -n | awk '{ v[NR] = $1 } END { printf "%s [%s-%s]", v[int((NR + 1) / 2)], v[1], v[NR] }'; }

printf '# %s, %s, %s\n' "$(date -I)" "$(git -C "$TOP" rev-parse --short HEAD 2>/dev/null || echo '?')" \
	"$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
"$BUILD/bench/flows_pcap" "$T/small.pcap" "$flows" 20000 200
"$BUILD/bench/flows_pcap" "$T/large.pcap" "$((flows / 2))" 1000 1460
for kind in small large; do
	for ((i = 0; i < rounds; i++)); do
		for n in 1 2 4 8; do once "$T/$kind.pcap" "$n" >>"$T/$kind.$n"; done
	done
	for n in 1 2 4 8; do
		printf '%-6s %s monitors: engine ns/packet %s; arena chunks %s; records lost %s\n' "$kind" "$n" \
			"$(cut -d' ' -f1 "$T/$kind.$n" | median)" "$(cut -d' ' -f4 "$T/$kind.$n" | median)" \
			"$(cut -d' ' -f5 "$T/$kind.$n" | median)"
	done
done
printf 'churn  1 monitor: flows/s %s\n' "$(awk -v f="$flows" '{ printf "%d\n", f / $2 }' "$T/small.1" | median)"
rm -f "$T"/*.pcap
"$BUILD/bench/flows_pcap" "$T/many.pcap" 200000 200000 200
once "$T/many.pcap" 1 | awk '{ printf "200,000 flows at once: %s packets, engine ns/packet %s, records lost %s\n", $3, $1, $5 }'
