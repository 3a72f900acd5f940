#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A bridge between two kernels: everything passes, unchanged and in order, whether anybody watches or not; with one engine and with two.
# And a tap on a wire between two kernels, which sees all and says nothing.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

need nginx iperf3 python3 ping

SERVER=http://$KERNEL_IP:8080

# same FILE: does the client get through the bridge what is on the disk?
same()
{
	local got want
	want=$(sha_of "$T/www/$1")
	got=$(in_client curl -sS --fail --max-time 60 "$SERVER/$1" | sha256sum | cut -d' ' -f1)
	[ "$got" = "$want" ] || { printf 'SHA-256 is %s, should be %s\n' "$got" "$want"; return 1; }
}

# sent FILE: does the server get what the client sends?
sent()
{
	spawn sink in_kernel timeout 60 python3 -c 'import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 9000))
print("ready", flush=True)
c, h = s.accept()[0], hashlib.sha256()
while data := c.recv(65536): h.update(data)
print("got", h.hexdigest(), flush=True)' "$KERNEL_IP"
	wait_line 10 "$T/sink.log" "${PIDS["sink"]}" '^ready' || return
	in_client timeout 60 python3 -c 'import socket, sys
c = socket.create_connection((sys.argv[1], 9000))
c.sendall(open(sys.argv[2], "rb").read())' "$KERNEL_IP" "$T/www/$1" || return
	reap sink || return
	grep "^got $(sha_of "$T/www/$1")$" "$T/sink.log"
}

# frames FROM_NETNS FROM_IF TO_NETNS TO_IF [strict]: two hundred of each kind
frames() { python3 -B "$TOP/tests/system/frames.py" "$1" "$2" "$3" "$4" 200 ${5:+"$5"}; }

# iperf OPTION...: a second through the bridge; prints what the receiver got in Gbit/s.
iperf()
{
	local out
	spawn iperf in_kernel iperf3 -s -1 -B "$KERNEL_IP"
	poll 5 eval 'in_kernel ss -Hltn sport = :5201 | grep -q .' || return
	out=$(in_client timeout 30 iperf3 -c "$KERNEL_IP" -t 1 -J "$@") || { printf '%s\n' "$out"; return 1; }
	reap iperf || return
	jq -e -r '.end.sum_received | select(.bytes > 0) | "\(.bits_per_second / 1e9) Gbit/s"' <<<"$out"
}

# nothing_lost: what came in by one port went out by the other.
nothing_lost()
{
	local name
	for name in mon.too_long core.steer_drop nic.nobuf mon.dropped; do
		[ "$(counter "$name")" = 0 ] || { printf '%s is %s\n' "$name" "$(counter "$name")"; return 1; }
	done
	ctl ports --json | jq -e '[.ports[] | .tx_full, .rx_nobuf, .rx_errors, .tx_errors] | (length == 8) and (add == 0)'
}

traffic()
{
	check "$1: ping" in_client ping -q -c 20 -i 0.01 -W 2 "$KERNEL_IP"
	check "$1: ping in fragments" in_client ping -q -c 5 -i 0.01 -W 2 -s 4000 "$KERNEL_IP"
	check "$1: 1 byte" same 1B
	check "$1: 1 MiB" same 1M
	check "$1: 20 MiB" same 20M
	check "$1: 20 MiB the other way" sent 20M
	check "$1: all kinds of frames" frames "$NSC" c0 "$NSK" k0 "${2:-}"
	check "$1: all kinds of frames, the other way" frames "$NSK" k0 "$NSC" c0 "${2:-}"
	check "$1: iperf3, four streams" iperf -P 4
	check "$1: iperf3, the other way" iperf -R
	check "$1: nothing was lost on the way" nothing_lost
}

# Kernels that leave checksums to a port: the bridge completes them.
partial()
{
	in_client ethtool -K c0 tx on tso off gso off >/dev/null
	in_kernel ethtool -K k0 tx on tso off gso off >/dev/null
	same 1M && sent 1M && [ "$(counter mon.partial_checksum)" -gt 500 ]
}

# promiscuous COUNT: both of stackd's interfaces are, or are not.
promiscuous()
{
	local dev
	for dev in s0 s1; do ip -d -j -n "$NSD" link show "$dev" | jq -e --argjson n "$1" '.[0].promiscuity == $n' || return; done
}

# flow_known MISSED: extract has seen the one flow that went through meanwhile, with as many bytes; of these it may have missed so many.
flow_known()
{
	stop extract INT || return
	jq -e --argjson least "$(stat -c %s "$T/www/20M")" --argjson missed "$1" \
		'.end == "FIN" and .s2c.bytes + .s2c.missed > $least and .s2c.missed <= $missed' "$T/extract.log"
}

# Frames longer than the other side's MTU are counted; the rest passes.
too_long()
{
	in_client ip link set c0 mtu 3000
	in_kernel ip link set k0 mtu 3000
	ip -n "$NSD" link set s1 mtu 3000
	! in_client ping -q -c 3 -i 0.01 -W 1 -M 'do' -s 2000 "$KERNEL_IP" || return
	[ "$(counter mon.too_long)" = 3 ] && in_client ping -q -c 3 -i 0.01 -W 2 "$KERNEL_IP"
}

# The kernel itself has address 10.9.0.1 on stackd's end of the wire now.
tapped()
{
	cat >"$T/stackd.conf" <<-END
		engines = { cores = [${1:-0}]; };
		ports = ( { name = "tap"; device = "net_af_packet0,iface=s0"; mode = "tap"; } );
		control = { socket = "$T/stackd.sock"; };
		clients = ( { user = "nobody"; monitor = "passive"; } );
	END
	stackd_start
	app extract "$T/bin/extract" --json
	wait_line 10 "$T/stackd.log" "${PIDS["stackd"]}" 'app .* is attached'
	[ "$(ip netns exec "$NSD" curl -sS --fail "$SERVER/20M" | sha256sum | cut -d' ' -f1)" = "$(sha_of "$T/www/20M")" ] || return
	poll 5 grep -q '"end":"FIN"' "$T/extract.log" || return
	flow_known $((10 << 20)) || return # a tap may come too late, nothing waits for it
	ctl ports --json | jq -e '.ports[0] | .rx_frames > 0 and .tx_frames == 0' || return
	stackd_stop
}

net_up
net_bridge
www_make 1B 1M 20M
nginx_start

bridge_conf 0
stackd_start
check "frames to others are received, too" promiscuous 1
traffic "one engine" strict
app extract "$T/bin/extract" --json
wait_line 10 "$T/stackd.log" "${PIDS[stackd]}" 'app .* is attached'
check "watched: 20 MiB" same 20M
check "watched: all kinds of frames" frames "$NSC" c0 "$NSK" k0 strict
check "watched: the flow is known" flow_known 0
check "checksums left to the port are completed" partial
stackd_stop
check "only while there is a bridge" promiscuous 0
in_client ethtool -K c0 tx off >/dev/null
in_kernel ethtool -K k0 tx off >/dev/null

bridge_conf '0, 1'
stackd_start
traffic "two engines"
stackd_stop

bridge_conf 0 'mtu = 3000;'
stackd_start
check "longer than the other side's MTU" too_long
stackd_stop

ip -n "$NSD" address add "$STACK_IP/24" dev s0
ip netns exec "$NSD" ethtool -K s0 tso off gso off gro off >/dev/null # its checksums are left open
check "tap, one engine" tapped 0
check "tap, two engines" tapped '0, 1'
finish
