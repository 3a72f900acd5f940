#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# kernel.sh FOLDER [WIRE_OPTION...]: captures of the kernel's own TCP over a bad wire, with what is known about them.
#
#   namespace A: transfer.py client -- a0 === l0 -- wire.py -- r0 === b0 -- transfer.py server: namespace B
#                                          left.pcap     right.pcap
#
#   FOLDER/left.pcap    what the client sends before the losses, what it gets after them
#   FOLDER/right.pcap   the other way round
#   FOLDER/tap.pcap     left.pcap without 3 frames of 100: loss between the wire and the tap alone
#   FOLDER/known.jsonl  what transfer.py knows about each connection
#   FOLDER/wire.txt     what the wire did
#
# Without options the wire loses 2 %, reorders 5 % and duplicates 1 %.  Needs root; exits 77 where it cannot run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '3,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1
shift
[ $# -gt 0 ] || set -- --loss 0.02 --reorder 0.05 --duplicate 0.01
[ "$(id -u)" = 0 ] || { echo "skip kernel: needs root"; exit 77; }
for tool in ip ethtool tcpdump python3; do
	command -v "$tool" >/dev/null || { echo "skip kernel: $tool is not installed"; exit 77; }
done

A=truth-$$-a M=truth-$$-m B=truth-$$-b
pids=()

end()
{
	local rc=$? pid ns
	trap - EXIT
	for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
	wait || true
	for ns in "$A" "$M" "$B"; do ip netns delete "$ns" 2>/dev/null || true; done
	exit "$rc"
}
trap end EXIT
trap 'exit 1' INT TERM

# wait_for FILE PATTERN PID: until the file that PID writes has such a line
wait_for()
{
	local end_s=$((SECONDS + 20))
	until grep -q -- "$2" "$1"; do
		if ! kill -0 "$3" 2>/dev/null || [ "$SECONDS" -ge "$end_s" ]; then
			cat "$1" >&2
			exit 1
		fi
		sleep 0.05
	done
}

# background FILE COMMAND...: its process id is in $last
background()
{
	local log=$1
	shift
	"$@" >"$log" 2>&1 </dev/null &
	last=$!
	pids+=("$last")
}

mkdir -p "$out"
rm -f "$out"/{left,right,tap}.pcap "$out"/*.txt
for ns in "$A" "$M" "$B"; do
	ip netns add "$ns"
	ip netns exec "$ns" sysctl -qw net.ipv6.conf.default.dad_transmits=0 net.ipv6.conf.default.router_solicitations=0
done
ip -n "$A" link add a0 type veth peer name l0 netns "$M"
ip -n "$B" link add b0 type veth peer name r0 netns "$M"
# no checksums left to a card, no frames longer than the wire's
ip netns exec "$A" ethtool -K a0 tx off tso off gso off gro off >/dev/null
ip netns exec "$B" ethtool -K b0 tx off tso off gso off gro off >/dev/null
# the wire itself does not talk
ip netns exec "$M" sysctl -qw net.ipv6.conf.l0.disable_ipv6=1 net.ipv6.conf.r0.disable_ipv6=1
ip netns exec "$A" sysctl -qw net.ipv4.tcp_fastopen=1
ip netns exec "$B" sysctl -qw net.ipv4.tcp_fastopen=2
for ns in "$A a0 1" "$B b0 2"; do
	read -r name dev host <<<"$ns"
	ip -n "$name" address add "10.99.0.$host/24" dev "$dev"
	ip -n "$name" address add "fd99::$host/64" dev "$dev" nodad
	ip -n "$name" link set "$dev" up
done
ip -n "$M" link set l0 up
ip -n "$M" link set r0 up

background "$out/wire.txt" ip netns exec "$M" python3 -B "$here/wire.py" l0 r0 "$@"
wire=$last
background "$out/left.txt" ip netns exec "$M" tcpdump -i l0 --immediate-mode -U -B 32768 -Z root -w "$out/left.pcap"
left=$last
background "$out/right.txt" ip netns exec "$M" tcpdump -i r0 --immediate-mode -U -B 32768 -Z root -w "$out/right.pcap"
right=$last
background "$out/server.txt" ip netns exec "$B" python3 -B "$here/transfer.py" server 10.99.0.2 fd99::2
server=$last
wait_for "$out/wire.txt" ready "$wire"
wait_for "$out/left.txt" 'listening on' "$left"
wait_for "$out/right.txt" 'listening on' "$right"
wait_for "$out/server.txt" ready "$server"

ip netns exec "$A" timeout 120 python3 -B "$here/transfer.py" client 10.99.0.1 10.99.0.2 fd99::1 fd99::2 >"$out/known.jsonl"

# the last FINs may still be on their way: until no socket of either side is closing, but for TIME-WAIT
closing() { for ns in "$A" "$B"; do ip netns exec "$ns" ss -Htn state connected exclude time-wait; done; }
end_s=$((SECONDS + 30))
while [ -n "$(closing)" ] && [ "$SECONDS" -lt "$end_s" ]; do sleep 0.1; done
[ -z "$(closing)" ] || { echo "kernel.sh: connections did not end:" >&2; closing >&2; exit 1; }

# a last datagram, until both captures have it: whatever went before it has been written
marker="the end of capture $$"
until grep -qa "$marker" "$out/left.pcap" && grep -qa "$marker" "$out/right.pcap"; do
	[ "$SECONDS" -lt "$end_s" ] || { echo "kernel.sh: the captures do not end" >&2; exit 1; }
	ip netns exec "$A" bash -c "echo '$marker' >/dev/udp/10.99.0.2/9" 2>/dev/null || true
	sleep 0.05
done
kill -INT "$left" "$right"
wait "$left" "$right" || true
kill "$server" "$wire"
wait "$server" "$wire" || true
if grep -q Traceback "$out/server.txt"; then cat "$out/server.txt" >&2; exit 1; fi
for side in left right; do
	grep -q '^0 packets dropped by kernel' "$out/$side.txt" || { echo "kernel.sh: $side: tcpdump lost frames" >&2; exit 1; }
done
python3 -B "$here/thin.py" "$out/left.pcap" "$out/tap.pcap" 0.03 1
echo "$(wc -l <"$out/known.jsonl") connections; $(tail -n 1 "$out/wire.txt")"
