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
	sed -i "s|\"$STACK_IP/24\"|\"$STACK_IP/24\", \"$STACK6/64\"|; s|gateway = [^;]*;|gateway = [ \"$KERNEL_IP\", \"$KERNEL6\" ]; ${1:-}|" \
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

net_up
kernel6_up
www_make 1B 64K 1M 30M
nginx6_start
conf6
stackd_start
httpd_start web 80
link_local=$(ctl ports --json | jq -r '.ports[0].address' | tr ' ' '\n' | sed -n 's|^\(fe80.*\)/64$|\1|p')

check "ping6" poll 5 ping6 -c 1 "$STACK6"
check "ping6 of the link-local address" ping6 -c 3 "$link_local%k0"
check "ping6 of all nodes" ping6 -c 3 "ff02::1%k0"
check "ping6 with fragments" ping6 -c 3 -s 20000 "$STACK6"
check "curl, 30 MiB" same6 30M "$STACK6"
check "curl to the link-local address" same6 1M "$link_local%k0"
check "the same listener serves IPv4" same_bytes 1M
check "wrk" wrk6
check "fetch" fetched "http://[$KERNEL6]:8080/1M" 1M 100
check "fetch over IPv4" fetched "http://$KERNEL_IP:8080/1M" 1M
finish
