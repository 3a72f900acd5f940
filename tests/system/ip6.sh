#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# IPv6 with Linux at the other end: neighbours, echo, servers and clients both ways, a listener for both families.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need ping wrk nginx

STACK6=fd00:9::1
KERNEL6=fd00:9::2

kernel6_up()
{
	in_kernel sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.k0.disable_ipv6=0
	ip -n "$NSK" address add "$KERNEL6/64" dev k0 nodad
}

conf6()
{
	stackd_conf
	sed -i "s|endpoint = true;|endpoint = true; monitor = \"passive\";|; s|\"$STACK_IP/24\"|\"$STACK_IP/24\", \"$STACK6/64\"|; s|gateway = [^;]*;|gateway = [ \"$KERNEL_IP\", \"$KERNEL6\" ]; ${1:-}|" \
		"$T/stackd.conf"
}

ping6() { in_kernel ping -6 -n -i 0.05 -W 2 "$@"; }

# nginx6: nginx of lib.sh, that listens on both families.
nginx6_start()
{
	nginx_start
	sed -i "s|listen $KERNEL_IP:8080 backlog=8192;|& listen [$KERNEL6]:8080 backlog=8192;|" "$T/nginx.conf"
	stop nginx || true
	spawn nginx ip netns exec "$NSK" nginx -c "$T/nginx.conf" -p "$T/nginx" -e "$T/nginx/error.log"
	poll 10 in_kernel curl -g -sS --max-time 2 -o /dev/null "http://[$KERNEL6]:8080/"
}

# same6 FILE ADDRESS [PORT]: does curl get what is on the disk?
same6()
{
	local want got
	want=$(sha_of "$T/www/$1")
	got=$(kcurl -g "http://[$2]:${3:-80}/$1" | sha256sum | cut -d' ' -f1)
	[ "$got" = "$want" ] || { printf 'SHA-256 is %s, should be %s\n' "$got" "$want"; return 1; }
}

# fetched URL FILE [COUNT]: does a program get it?
fetched()
{
	local want count
	rm -rf "$T/down"
	mkdir "$T/down"
	chown nobody "$T/down"
	(in_app "$T/bin/fetch" -q -n "${3:-1}" -c 10 -o "$T/down" "$1")
	want=$(sha_of "$T/www/$2")
	count=$(find "$T/down" -type f -exec sha256sum {} + | grep -c "^$want ")
	[ "$count" = "${3:-1}" ]
}

wrk6()
{
	in_kernel wrk -t 1 -c 50 -d "${WRK_S}s" "http://[$STACK6]:80/1B" >"$T/wrk.out"
	cat "$T/wrk.out"
	! grep -q 'Socket errors\|Non-2xx' "$T/wrk.out" && grep -qE 'Requests/sec: +[1-9]' "$T/wrk.out"
}

counted() { [ "$(counter "$1")" -ge "${2:-1}" ]; }
told() { wait_line 10 "$T/stackd.log" "${PIDS[stackd]}" "$1"; }

# router6_up: the kernel's namespace routes to a third one, over a link that carries less than its host believes.
router6_up()
{
	NSC=${T##*/}-c
	ip netns add "$NSC"
	ip -n "$NSK" link add r0 mtu "$1" type veth peer name c0 mtu 1500 netns "$NSC"
	in_client ethtool -K c0 tx off >/dev/null
	in_kernel sysctl -qw net.ipv6.conf.r0.disable_ipv6=0 net.ipv6.conf.all.forwarding=1
	ip -n "$NSK" address add fd00:a::1/64 dev r0 nodad
	ip -n "$NSC" address add fd00:a::2/64 dev c0 nodad
	ip -n "$NSK" link set r0 up
	ip -n "$NSC" link set c0 up
	ip -n "$NSC" route add default via fd00:a::1
	poll 5 in_client ping -6 -c 1 -W 1 fd00:a::1
}

far_bytes()
{
	[ "$(in_client curl -g -sS --fail --max-time 60 "http://[$STACK6]/$1" | sha256sum | cut -d' ' -f1)" = "$(sha_of "$T/www/$1")" ]
}

# A neighbour that does not exist: not the time that all the SYNs would take.
told_unreachable()
{
	local rc=0
	reap lost || rc=$?
	cat "$T/lost.log"
	[ "$rc" != 0 ] && grep -qi 'no route to host' "$T/lost.log"
}

# The other end gets another link address: it is believed when the old one is silent.
neighbour_moves()
{
	ip -n "$NSK" link set k0 address 02:00:00:00:77:01
	poll 15 same6 1B "$STACK6"
}

flow_is_shown()
{
	ctl flows >"$T/flows"
	cat "$T/flows"
	grep -qE "\[$STACK6\] +80 +\[$KERNEL6\]" "$T/flows" &&
		ctl flows --json | jq -e --arg a "$KERNEL6" 'any(.flows[]; .peer == $a)'
}

# A monitor of the connections that end here.
watcher_start()
{
	app watcher "$T/bin/extract" --json
	poll 10 watcher_is_there
}

watcher_is_there() { ctl monitors --json | jq -e '.monitors | length > 0'; }

watched()
{
	cat "$T/watcher.log"
	jq -e --slurp --arg a "$STACK6" 'any(.[]; (.server | contains($a)) and .end == "FIN" and .c2s.missed == 0 and .s2c.missed == 0 and
		.s2c.bytes > 1048576)' "$T/watcher.log"
}

# k0 on a wire of its own; tagger.py carries its frames to stackd's, which alone has tags.
vlan_up()
{
	stop web || true
	stackd_stop
	ip -n "$NSK" link delete k0
	ip -n "$NSK" link add k0 type veth peer name plain netns "$NSC"
	ip -n "$NSD" link add s0 type veth peer name tagged netns "$NSC"
	in_kernel ethtool -K k0 tx off tso off gso off gro off >/dev/null
	in_kernel sysctl -qw net.ipv6.conf.k0.disable_ipv6=0
	ip -n "$NSK" address add "$KERNEL_IP/24" dev k0
	ip -n "$NSK" address add "$KERNEL6/64" dev k0 nodad
	in_client ip link set plain up
	in_client ip link set tagged up
	ip -n "$NSK" link set k0 up
	ip -n "$NSD" link set s0 up
	spawn tagger ip netns exec "$NSC" python3 -B "$TOP/tests/system/tagger.py" plain tagged 7
	wait_line 10 "$T/tagger.log" "${PIDS[tagger]}" '^ready'
}

echoes() { [ "$(in_kernel timeout 5 bash -c "exec 3<>/dev/tcp/$STACK6/7; echo hi >&3; read -r line <&3; echo \"\$line\"")" = hi ]; }

again() # PORT_KEYS: stackd anew, with its web server
{
	stop web || true
	[ -z "${PIDS[stackd]:-}" ] || stackd_stop
	conf6 "${1:-}"
	stackd_start
	httpd_start web 80
}

net_up
kernel6_up
www_make 1B 64K 1M 30M
nginx6_start
conf6
stackd_start
httpd_start web 80
link_local=$(ctl ports --json | jq -r '.ports[0].address' | tr ' ' '\n' | sed -n 's|^\(fe80.*\)/64$|\1|p')

check "ping6" poll 5 ping6 -c 1 "$STACK6"
app lost timeout 20 "$T/bin/fetch" "http://[${KERNEL6}77]:8080/64K"
check "ping6 of the link-local address" ping6 -c 3 "$link_local%k0"
check "ping6 of all nodes" ping6 -c 3 "ff02::1%k0"
check "ping6 with fragments" ping6 -c 3 -s 20000 "$STACK6"
check "curl, 30 MiB" same6 30M "$STACK6"
check "curl to the link-local address" same6 1M "$link_local%k0"
check "the same listener serves IPv4" same_bytes 1M
check "wrk" wrk6
check "fetch" fetched "http://[$KERNEL6]:8080/1M" 1M 100
check "fetch over IPv4" fetched "http://$KERNEL_IP:8080/1M" 1M
check "a silent neighbour is unreachable" told_unreachable
spawn held ip netns exec "$NSK" bash -c "exec 3<>/dev/tcp/$STACK6/80; read -r -u 3"
check "stackctl shows the flow" poll 5 flow_is_shown
stop held || true
check "a neighbour that moves is found again" neighbour_moves
nginx6_address=$(ip -n "$NSK" -6 -o address show dev k0 | grep -c "$KERNEL6" || true)
[ "$nginx6_address" = 1 ] || ip -n "$NSK" address add "$KERNEL6/64" dev k0 nodad

app echoer "$T/bin/echo" -l -a "$STACK6" 7
poll 10 listening 7
check "echo on an address of IPv6" poll 5 echoes
stop echoer || true

router6_up 1400
check "through a router whose link carries 1400" far_bytes 1M
check "it has told so" counted tcp.mtu_lowered
ip -n "$NSK" link set r0 mtu 1280
check "and then 1280" far_bytes 30M
check "it has told that, too" counted icmp.frag_needed 2

ip -n "$NSK" address add "$STACK6/128" dev k0 nodad
again
check "a duplicate of its address is told" told "has our address.*$STACK6"
check "IPv4 goes on" same_bytes 1M
check "so does the link-local address" poll 5 same6 1M "$link_local%k0"
check "it is not used" [ "$(counter nd.conflict)" -ge 1 ]
ip -n "$NSK" address delete "$STACK6/128" dev k0

again
check "a monitor attaches" watcher_start
check "curl while it watches" same6 1M "$STACK6"
check "it has seen both streams whole" poll 10 watched
stop watcher || true

stop web || true
stackd_stop
sed -i "s/cores = \[0\]/cores = [0, 1]/; s|\"$STACK_IP/24\", ||; s|\"$KERNEL_IP\", ||" "$T/stackd.conf" # and no IPv4
stackd_start
httpd_start web 80 -c 0,1
check "two engines: ping6" poll 5 ping6 -c 1 "$STACK6"
check "two engines: curl" same6 30M "$STACK6"
check "two engines: fetch" fetched "http://[$KERNEL6]:8080/64K" 64K 100
check "frames went to the engine of their flow" counted core.steered

again "fault = { loss = 0.02; reorder = 0.05; duplicate = 0.02; corrupt = 0.01; delay_ms = 2; seed = 6; };"
check "ping6 over a bad wire" poll 20 ping6 -c 1 "$STACK6"
check "curl over a bad wire" same6 1M "$STACK6"
check "fetch over a bad wire" fetched "http://[$KERNEL6]:8080/1M" 1M 4

vlan_up
again "vlan = 7;"
check "ping6 in a VLAN" poll 5 ping6 -c 1 "$STACK6"
check "curl in a VLAN" same6 1M "$STACK6"
finish
