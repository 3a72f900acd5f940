#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# stackd and Linux's TCP send each other files: over wires that lose, reorder, duplicate and delay, with options switched off in the
# peer, with small and large MTUs, in a VLAN, over IPv4 and IPv6.  A selection; STACKD_TEST_LONG=1: every loss with every reordering and delay.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need nginx python3

CURL_S=$((LONG ? 600 : 60))
VLAN=7
STACK6=fd00:9::1
KERNEL6=fd00:9::2
declare -i NO6=0 # 1: the MTU is too small for IPv6
SYSCTLS=(net.ipv4.tcp_sack net.ipv4.tcp_timestamps net.ipv4.tcp_window_scaling)

# wire [KEYS_OF_PORT [MTU]]: stackd anew, on such a port
wire()
{
	stackd_conf "${1:-}"
	sed -i "s/mtu = 1500/mtu = ${2:-1500}/" "$T/stackd.conf"
	((NO6)) || sed -i "s|\"$STACK_IP/24\"|&, \"$STACK6/64\"|" "$T/stackd.conf"
	printf 'net = { dad = 0; };\n' >>"$T/stackd.conf"
	stackd_start
	httpd_start httpd 80
}

# unwire: both have ended in order, and nothing of any connection is left
unwire()
{
	local name
	for name in httpd stackd; do
		stop "$name" || { log_show "$name"; return 1; }
	done
}

# k0 has IPv6, too.
kernel6_up()
{
	in_kernel sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.k0.disable_ipv6=0
	ip -n "$NSK" address replace "$KERNEL6/64" dev k0 nodad
}

# nginx of lib.sh, for both families
web_up()
{
	nginx_start
	sed -i "s|listen $KERNEL_IP:8080 backlog=8192;|& listen [$KERNEL6]:8080 backlog=8192;|" "$T/nginx.conf"
	in_kernel kill -HUP "${PIDS["nginx"]}"
	poll 10 in_kernel curl -g -sS --max-time 2 -o /dev/null "http://[$KERNEL6]:8080/"
}

# A file from httpd on stackd to curl, on Linux's TCP
down()
{
	local got
	got=$(kcurl -g "http://$2/$1" | sha256sum | cut -d' ' -f1)
	[ "$got" = "$(sha_of "$T/www/$1")" ] || { echo "curl got something else"; return 1; }
}

# A file from nginx, on Linux's TCP, to fetch
up()
{
	local got to=$T/down$3
	mkdir "$to"
	chown nobody "$to"
	(in_app timeout "$CURL_S" "$T/bin/fetch" -q -o "$to" "http://$2:8080/$1") || return
	got=$(find "$to" -type f -exec sha256sum {} + | cut -d' ' -f1)
	rm -r "$to"
	[ "$got" = "$(sha_of "$T/www/$1")" ] || { echo "stackd got something else"; return 1; }
}

# both FILE: each way, in each family, at the same time
both()
{
	local rc=0 pid pids=()
	down "$1" "$STACK_IP" & pids+=($!)
	up "$1" "$KERNEL_IP" 4 & pids+=($!)
	if ((!NO6)); then
		down "$1" "[$STACK6]" & pids+=($!)
		up "$1" "[$KERNEL6]" 6 & pids+=($!)
	fi
	for pid in "${pids[@]}"; do wait "$pid" || rc=1; done
	return "$rc"
}

# transfer NAME FILE [KEYS_OF_PORT [MTU]]: one configuration
transfer()
{
	local name=$1 file=$2
	shift 2
	wire "$@"
	check "$name" both "$file"
	unwire || not_ok "$name" "something did not end in order"
}

# peer_without SYSCTL...: what the peer's TCP does not do
peer_without()
{
	local key
	for key in "${SYSCTLS[@]}"; do in_kernel sysctl -qw "$key=1"; done
	for key in "$@"; do in_kernel sysctl -qw "$key=0"; done
}

fault() { printf 'fault = { loss = %s; reorder = %s; duplicate = 0.01; delay_ms = %s; seed = 1; };' "$@"; }

options()
{
	local bad
	bad=$(fault 0.01 0.02 5)
	for bits in 0 1 2 4 5 7; do
		local off=()
		for ((i = 0; i < 3; i++)); do ((bits >> i & 1)) && off+=("${SYSCTLS[i]}"); done
		peer_without ${off[@]+"${off[@]}"}
		transfer "the peer without: ${off[*]:-nothing}" 1M "$bad"
	done
	peer_without
}

mtus()
{
	local mtu
	for mtu in 576 1280 9000; do
		NO6=$((mtu < 1280)) # RFC 8200, section 5
		ip -n "$NSK" link set k0 mtu "$mtu"
		ip -n "$NSD" link set s0 mtu "$mtu"
		((NO6)) || kernel6_up
		transfer "MTU $mtu" 4M '' "$mtu"
		transfer "MTU $mtu, a bad wire" 1M "$(fault 0.01 0.02 5)" "$mtu"
	done
	ip -n "$NSK" link set k0 mtu 1500
	kernel6_up
	ip -n "$NSD" link set s0 mtu 1500
	ip -n "$NSK" route change 10.9.0.0/24 dev k0 mtu 1000
	transfer "the peer's route has an MTU of 1000" 4M
	ip -n "$NSK" route change 10.9.0.0/24 dev k0
}

# k0 is moved to a wire of its own; tagger.py carries its frames to stackd's, which alone has tags.
vlan()
{
	ip -n "$NSK" link delete k0
	NSC=${T##*/}-c
	ip netns add "$NSC"
	in_client sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	ip -n "$NSK" link add k0 type veth peer name plain netns "$NSC"
	ip -n "$NSD" link add s0 type veth peer name tagged netns "$NSC"
	ip netns exec "$NSK" ethtool -K k0 tx off tso off gso off gro off >/dev/null
	ip -n "$NSK" address add "$KERNEL_IP/24" dev k0
	kernel6_up
	for dev in plain tagged; do ip -n "$NSC" link set "$dev" up; done
	ip -n "$NSK" link set k0 up
	ip -n "$NSD" link set s0 up
	spawn tagger in_client python3 -B "$TOP/tests/system/tagger.py" plain tagged "$VLAN"
	wait_line 10 "$T/tagger.log" "${PIDS["tagger"]}" '^ready'
	stop nginx || true
	web_up
	transfer "VLAN $VLAN" 4M "vlan = $VLAN;"
	transfer "VLAN $VLAN, a bad wire" 1M "vlan = $VLAN; $(fault 0.01 0.02 5)"
	stop tagger || true
}

wires()
{
	local loss reorder delay
	if ((!LONG)); then
		transfer "loss 1 %" 4M "$(fault 0.01 0 0)"
		transfer "reordering 30 %" 4M "$(fault 0 0.3 0)"
		transfer "loss 3 %, reordering 5 %, 20 ms" 1M "$(fault 0.03 0.05 20)"
		transfer "loss 10 %, reordering 30 %, 20 ms" 64K "$(fault 0.1 0.3 20)"
		transfer "200 ms" 1M "$(fault 0 0 200)"
		return
	fi
	for loss in 0 0.001 0.01 0.03 0.1; do
		for reorder in 0 0.05 0.3; do
			for delay in 0 20 200; do
				transfer "loss $loss, reordering $reorder, $delay ms" 1M "$(fault "$loss" "$reorder" "$delay")"
			done
		done
	done
}

net_up
www_make 64K 1M 4M
kernel6_up
web_up
wires
options
mtus
vlan
finish
