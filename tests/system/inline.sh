#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inline monitors on a bridge between two kernels: they drop, reset, translate, rewrite; alone and in a chain; and what becomes of the
# traffic when they fail.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/inline_lib.sh
. "$(dirname "$0")/inline_lib.sh"

need nginx iperf3 python3 ping wrk

SERVER=http://$KERNEL_IP:8080
NAT_IP=10.9.0.100
BACK_IP=10.9.0.4 # a second server
WRK_S=$((LONG ? 10 : 1))

# --- Traffic -----------------------------------------------------------------------------------------------------------------

ccurl() { in_client curl -sS --fail --max-time 60 "$@"; }

# same FILE [URL]
same()
{
	local got want
	want=$(sha_of "$T/www/$1")
	got=$(ccurl "${2:-$SERVER}/$1" | sha256sum | cut -d' ' -f1)
	[ "$got" = "$want" ] || { printf 'SHA-256 is %s, should be %s\n' "$got" "$want"; return 1; }
}

# fails STATUS URL: curl ends so
fails()
{
	local rc=0
	in_client curl -sS --max-time 1 -o /dev/null "$2" || rc=$?
	[ "$rc" = "$1" ] || { printf 'curl returned %s, should be %s\n' "$rc" "$1"; return 1; }
}

# in_turn COUNT URL: so many connections
in_turn()
{
	local i
	for ((i = 0; i < $1; i++)); do printf 'url = "%s/1B"\noutput = "%s"\n' "$2" "$T/turn"; done >"$T/turn.conf"
	ccurl --connect-timeout 2 --fail-early -H 'Connection: close' --config "$T/turn.conf"
}

# wrk_clean CONNECTIONS [URL]: two seconds; no errors
wrk_clean()
{
	in_client timeout 30 wrk -t1 -c "$1" -d "${WRK_S}s" "${2:-$SERVER}/1B" >"$T/wrk.out" 2>&1 || return
	cat "$T/wrk.out"
	note "$(grep Requests/sec "$T/wrk.out")" >&3
	! grep -E 'Socket errors|Non-2xx' "$T/wrk.out" && ! grep -qE '^ +0 requests' "$T/wrk.out"
}

# iperf ADDRESS OPTION...: a second; prints what the receiver got
iperf()
{
	local out to=$1
	shift
	spawn iperf in_kernel iperf3 -s -1 -B "$KERNEL_IP"
	poll 5 eval 'in_kernel ss -Hltn sport = :5201 | grep -q .' || return
	out=$(in_client timeout 30 iperf3 -c "$to" -t 1 -J "$@") || { printf '%s\n' "$out"; return 1; }
	reap iperf || return
	out=$(jq -e -r '.end.sum_received | select(.bytes > 0) | "\(.bits_per_second / 1e9) Gbit/s"' <<<"$out") || return
	note "$out" >&3
}

# checksums NETNS: how many segments with a bad one have arrived there
# shellcheck disable=SC2016
checksums() { ip netns exec "$1" awk '/^Tcp:/ { if (n++) print $15; else if ($15 != "InCsumErrors") exit 1 }' /proc/net/snmp; }

# --- Firewall ----------------------------------------------------------------------------------------------------------------

rules() { printf '%s\n' "$@" >"$T/rules.new" && chmod a+r "$T/rules.new" && mv "$T/rules.new" "$T/rules"; }

# reloaded COUNT: it has read its rules so many times
reloaded() { [ "$(grep -c ' rules$' "$T/firewall.log")" -ge "$1" ]; }

# offloaded: 20 MiB of an accepted connection cost next to nothing
offloaded()
{
	local before after
	before=$(monitor_is "${PIDS[firewall]}" offered)
	same 20M || return
	after=$(monitor_is "${PIDS[firewall]}" offered)
	printf '%s packets offered\n' $((after - before))
	[ $((after - before)) -lt 20 ]
}

# reload: connections that were accepted stay, new ones are reset
reload()
{
	local want rc=0
	spawn slow in_client curl -sS --max-time 60 --limit-rate 8M -o "$T/slow" "$SERVER/20M"
	poll 5 test -s "$T/slow" || return
	rules 'RESET any any dport:8080'
	poll 5 reloaded 2 || return
	fails 7 "$SERVER/1M" || return
	reap slow || rc=$?
	want=$(sha_of "$T/www/20M")
	[ "$rc" = 0 ] || { printf 'the old connection: %s\n' "$rc"; return 1; }
	[ "$(sha_of "$T/slow")" = "$want" ] || return
	rules 'bad'
	poll 5 grep -q 'not a rule' "$T/firewall.log" || return
	fails 7 "$SERVER/1M" || return
	rules '# nothing'
	poll 5 reloaded 3 && same 1M
}

firewall()
{
	inline_conf 0 drop
	stackd_start
	rules 'DROP any 10.9.0.2/32 dport:8081' 'RESET 10.9.0.0/24 any dport:8082' 'ACCEPT any any'
	monitor firewall "$T/bin/firewall" "$T/rules"
	check "firewall: accepted" same 1M
	check "firewall: dropped" fails 28 "http://$KERNEL_IP:8081/"
	check "firewall: reset" fails 7 "http://$KERNEL_IP:8082/"
	check "firewall: an accepted connection is let go" offloaded
	check "firewall: wrk" wrk_clean 50
	check "firewall: iperf3" iperf "$KERNEL_IP" -P 4
	check "firewall: iperf3, the other way" iperf "$KERNEL_IP" -R
	check "firewall: live reload" reload
	stop firewall INT || true
	stackd_stop
}

# --- Address translation ----------------------------------------------------------------------------------------------------

mac_of() { ip -n "$1" -j link show "$2" | jq -r '.[0].address'; }

# client_is ADDRESS: what the client's connections come from
client_is() { ip -n "$NSC" route change 10.9.0.0/24 dev c0 src "$1"; }

# seen_from ADDRESS: whom the server has seen of late; and nobody else
seen_from()
{
	awk '{ print $1 }' "$T/nginx/access.log" | sort | uniq -c
	! awk '{ print $1 }' "$T/nginx/access.log" | grep -vxF "$1"
}

translated()
{
	: >"$T/nginx/access.log"
	check "$1: 20 MiB" same 20M "$2"
	check "$1: wrk" wrk_clean 50 "$2"
	check "$1: 40 connections in turn" in_turn 40 "$2"
	check "$1: the server has seen one client" seen_from "$3"
}

nat()
{
	ip -n "$NSC" address add 192.168.77.3/24 dev c0
	ip -n "$NSK" neighbour replace "$NAT_IP" lladdr "$(mac_of "$NSC" c0)" dev k0
	ip -n "$NSC" neighbour replace "$NAT_IP" lladdr "$(mac_of "$NSK" k0)" dev c0
	for cores in 0 '0, 1'; do
		inline_conf "$cores" drop
		stackd_start
		monitor nat "$T/bin/nat" -i 192.168.77.0/24 -e "$NAT_IP" -d "80=$KERNEL_IP:8080" -d "5201=$KERNEL_IP:5201"
		client_is 192.168.77.3
		translated "source nat, engines $cores" "$SERVER" "$NAT_IP"
		check "source nat, engines $cores: iperf3" iperf "$KERNEL_IP" -P 4
		check "source nat, engines $cores: iperf3, the other way" iperf "$KERNEL_IP" -R
		client_is "$CLIENT_IP"
		translated "destination nat, engines $cores" "http://$NAT_IP" "$CLIENT_IP"
		check "destination nat, engines $cores: iperf3" iperf "$NAT_IP"
		check "destination nat, engines $cores: iperf3, the other way" iperf "$NAT_IP" -R
		stop nat INT || true
		stackd_stop
	done
}

# --- Balancer ---------------------------------------------------------------------------------------------------------------

# both_served: neither server has been idle
both_served()
{
	sort "$T/nginx/both.log" | uniq -c
	[ "$(sort -u "$T/nginx/both.log" | wc -l)" = 2 ]
}

# Two servers behind one address; they are two addresses of one nginx.
balancer()
{
	ip -n "$NSK" address add "$BACK_IP/24" dev k0
	sed "s|access_log .*;|log_format to '\$server_addr'; access_log $T/nginx/both.log to;|; s|/pid;|/pid2;|
		s|listen [^;]*;|listen $KERNEL_IP:8084 backlog=8192; listen $BACK_IP:8084 backlog=8192;|" "$T/nginx.conf" >"$T/nginx2.conf"
	spawn nginx2 ip netns exec "$NSK" nginx -c "$T/nginx2.conf" -p "$T/nginx" -e "$T/nginx/error2.log"
	poll 10 in_kernel curl -sS -o /dev/null "http://$BACK_IP:8084/1B"
	ip -n "$NSC" neighbour replace "$NAT_IP" lladdr 02:00:00:00:00:01 dev c0 # nobody's: the balancer says where to
	for cores in 0 '0, 1'; do
		inline_conf "$cores" drop
		stackd_start
		monitor balancer "$T/bin/balancer" -v "$NAT_IP:80" -b "$KERNEL_IP:8084,$(mac_of "$NSK" k0)" \
			-b "$BACK_IP:8084,$(mac_of "$NSK" k0)"
		: >"$T/nginx/both.log"
		check "balancer, engines $cores: 20 MiB" same 20M "http://$NAT_IP"
		check "balancer, engines $cores: 40 connections in turn" in_turn 40 "http://$NAT_IP"
		check "balancer, engines $cores: wrk" wrk_clean 50 "http://$NAT_IP"
		check "balancer, engines $cores: both have served" both_served
		stop balancer INT || true
		stackd_stop
	done
	stop nginx2
}

net_up
exec 3>&1
net_bridge
www_make 1B 1M 20M
nginx_start
cp "$BUILD"/tests/monitor/.libs/* "$T/bin/" 2>/dev/null || cp "$BUILD"/tests/monitor/{rewrite,act} "$T/bin/"

[ $# -gt 0 ] || set -- firewall nat balancer
for part in "$@"; do
	"$part"
done
finish
