#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inline monitors that change what goes through a bridge between two kernels: streams both ways, over a good and a bad wire, alone and in a
# chain; packets of their own, resets; and what is not TCP.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/inline_lib.sh
. "$(dirname "$0")/inline_lib.sh"

need python3 ping nstat

# --- Streams -----------------------------------------------------------------------------------------------------------------

# one_backlog NETNS INTERFACE: what comes in there goes through one processor's queue: a host that sends from two processors at once would have
# its segments overtake each other on a veth, before they come to anybody
one_backlog() { ip netns exec "$1" sh -c "echo 1 >/sys/class/net/$2/queues/rx-0/rps_cpus"; }

# look_at_order: two lookers, one at each end, for what comes out there
look_at_order()
{
	one_backlog "$NSD" s0
	one_backlog "$NSD" s1
	one_backlog "$NSK" k0
	one_backlog "$NSC" c0
	spawn order-k ip netns exec "$NSK" python3 -B "$PY" order k0 "$PORT"
	spawn order-c ip netns exec "$NSC" python3 -B "$PY" order c0 "$PORT"
	wait_line 10 "$T/order-k.log" "${PIDS[order-k]}" '^ready' && wait_line 10 "$T/order-c.log" "${PIDS[order-c]}" '^ready'
}

in_order()
{
	local rc=0 name
	for name in order-k order-c; do
		stop "$name" || rc=$?
		cat "$T/$name.log"
	done
	return "$rc"
}

streams()
{
	inline_conf 0 drop
	stackd_start
	monitor rewrite "$T/bin/rewrite" -i 4000 -c 7000 -o 1000 -f "$FILTER"
	look_at_order
	check "20 MiB each way, inserted, removed, overwritten" duplex 20M 20N insert=4000,cut=7000,over=1000
	check "no segment has overtaken another" in_order
	check "no bad checksums" no_bad_checksums
	check "segments that have outgrown the MTU were split" counted mon.split 1
	check "packets were changed" counted mon.edited 5000
	check "every packet was decided by the monitor" undecided
	stop rewrite INT || true
	stackd_stop
}

bad_wire()
{
	wire_bad
	stackd_start
	monitor rewrite "$T/bin/rewrite" -i 4000 -c 7000 -o 1000 -f "$FILTER"
	check "5 MB each way over a bad wire" duplex 5M 5N insert=4000,cut=7000,over=1000
	check "over a bad wire, no bad checksums" no_bad_checksums
	check "over a bad wire, segments came again" counted mon.retransmissions 20
	stop rewrite INT || true
	stackd_stop
	wire_good
}

# Each sees the stream as the one before has left it: for the client's bytes first, second, third, for the server's the other way round.
chain()
{
	inline_conf 0 drop
	stackd_start
	monitor first "$T/bin/rewrite" -i 4000 -f "$FILTER"
	monitor second "$T/bin/rewrite" -o 1000 -f "$FILTER"
	monitor third "$T/bin/rewrite" -c 7000 -f "$FILTER"
	look_at_order
	check "a chain of three: 5 MB each way, changed in order" duplex 5M 5N insert=4000/over=1000/cut=7000
	check "a chain of three: no segment has overtaken another" in_order
	check "a chain of three: no bad checksums" no_bad_checksums
	check "a chain of three: every packet was decided by all" undecided
	stop third INT || true
	check "a chain of two is left" duplex 5M 5N insert=4000/over=1000
	stop first INT || true
	stop second INT || true
	stackd_stop
}

# After 2 MB each way the monitor lets go of the flow: what it has moved stays moved, and nothing more costs it anything.
let_go()
{
	local before
	inline_conf 0 drop
	stackd_start
	monitor rewrite "$T/bin/rewrite" -i 4000 -c 7000 -n 2000000 -f "$FILTER"
	before=$(monitor_is "${PIDS[rewrite]}" delivered)
	check "a flow is let go after edits" duplex 20M 20N insert=4000,cut=7000,until=2000000
	check "a flow that was let go costs nothing" [ $(($(monitor_is "${PIDS[rewrite]}" delivered) - before)) -lt 12000 ]
	stop rewrite INT || true
	stackd_stop
}

# --- Packets of its own ---------------------------------------------------------------------------------------------------------

# says LISTEN CONNECT TEXT...: a connection with these texts; what either end says of it
says()
{
	local listen=$1 connect=$2 got
	shift 2
	spawn listen in_kernel timeout 30 python3 -B "$PY" say listen "$KERNEL_IP" "$PORT" 1
	wait_line 10 "$T/listen.log" "${PIDS[listen]}" '^ready' || return
	got=$(in_client timeout 30 python3 -B "$PY" say connect "$KERNEL_IP" "$PORT" "$@")
	reap listen || true
	cat "$T/listen.log"
	printf '%s\n' "$got"
	grep -qxF "listen: $listen" "$T/listen.log" && [ "$got" = "connect: $connect" ]
}

# raw_frame COMMAND...: which makes the monitor send a datagram of its own
raw_frame()
{
	spawn raw ip netns exec "$NSK" timeout 20 python3 -Bc "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('$KERNEL_IP', 9999)); print('ready', flush=True)
print(s.recv(100).decode(), flush=True)"
	wait_line 10 "$T/raw.log" "${PIDS[raw]}" '^ready' && "$@" || return
	reap raw
	grep -qx raw "$T/raw.log"
}

send_datagram() { in_client python3 -Bc "import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'$1', ('$KERNEL_IP', 9100))"; }

own_packets()
{
	inline_conf 0 drop 'deadline_ms = 1000; hold_packets = 16384;'
	stackd_start
	monitor act "$T/bin/act" -r "udp or icmp or arp or ip6"
	check "mtcp_sendpkt in the place of a segment" says 'before SED hello after closed' closed 'before ' 'SAY hello' ' after'
	check "mtcp_sendpkt_raw with a flow's socket" raw_frame says 'RAW it closed' closed 'RAW it'
	check "mtcp_sendpkt_raw with a raw socket" raw_frame send_datagram 'RAW it'
	check "a dropped segment comes again" says 'DROP it once closed' closed 'DROP it once'
	check "mtcp_reset_conn: both ends are reset" says 'before reset' reset 'before' 'RESET'
	check "what was sent and reset is counted" counted mon.injected 5
	check "resets are counted" [ "$(monitor_is "${PIDS[act]}" resets)" = 1 ]
	check "a flood of packets of its own: the flow goes on" says 'FLOOD it and more closed' closed 'FLOOD it' ' and more'
	check "a flood of packets of its own: all that was taken was sent" flooded
	check "no bad checksums" no_bad_checksums
}

# flooded: what has been taken is counted as sent, besides the five from before
flooded()
{
	local taken
	taken=$(sed -n 's/flood: \([0-9]*\) taken/\1/p' "$T/act.log")
	printf '%s taken, %s sent\n' "$taken" "$(counter mon.injected)"
	[ "$taken" -gt 0 ] && poll 5 counted mon.injected $((taken + 5))
}

# --- What is not TCP ------------------------------------------------------------------------------------------------------------

datagrams()
{
	local before rc=0
	before=$(counter mon.dropped)
	spawn udp in_kernel timeout 60 python3 -B "$PY" datagrams listen "$KERNEL_IP" 9100 5000
	wait_line 10 "$T/udp.log" "${PIDS[udp]}" '^ready' || return
	in_client python3 -B "$PY" datagrams connect "$KERNEL_IP" 9100 5000
	reap udp || rc=$?
	cat "$T/udp.log"
	printf '%s dropped\n' $(($(counter mon.dropped) - before))
	[ "$rc" = 0 ] && [ $(($(counter mon.dropped) - before)) = 500 ]
}

# grows NAME COMMAND...: the command succeeds, and the monitor has been shown packets meanwhile
grows()
{
	local before
	before=$(monitor_is "${PIDS[act]}" delivered)
	"$@" || return
	printf '%s packets shown\n' $(($(monitor_is "${PIDS[act]}" delivered) - before))
	[ "$(monitor_is "${PIDS[act]}" delivered)" -gt "$before" ]
}

arp_again()
{
	ip -n "$NSC" neighbour flush dev c0
	ip -n "$NSK" neighbour flush dev k0
	in_client ping -q -c 1 -w 5 "$KERNEL_IP"
}

others()
{
	check "datagrams: in order, those to be dropped are" datagrams
	check "ping" grows in_client ping -q -c 5 -i 0.05 -w 5 "$KERNEL_IP"
	check "ping in fragments, judged as a whole" grows in_client ping -q -c 5 -i 0.05 -w 5 -s 8000 "$KERNEL_IP"
	check "ARP" grows arp_again
	six_up
	check "IPv6: ping" grows in_client ping -6 -q -c 3 -i 0.05 -w 5 fd00::2
	check "IPv6: ping in fragments" grows in_client ping -6 -q -c 3 -i 0.05 -w 5 -s 8000 fd00::2
	check "every packet was decided by the monitor" undecided
	stop act INT || true
	stackd_stop
}

net_up
net_bridge
www_make 20M
mkdir -p "$T/www"
head -c 20000000 /dev/urandom >"$T/www/20N"
head -c 5000000 /dev/urandom >"$T/www/5M"
head -c 5000001 /dev/urandom >"$T/www/5N"
cp "$BUILD"/tests/monitor/.libs/* "$T/bin/" 2>/dev/null || cp "$BUILD"/tests/monitor/{rewrite,act} "$T/bin/"

[ $# -gt 0 ] || set -- streams bad_wire chain let_go own_packets others
for part in "$@"; do
	"$part"
done
finish
