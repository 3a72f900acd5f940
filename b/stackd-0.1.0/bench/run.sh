#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What ./run bench prints.  Each question is asked of both sides in turn, several times, on two wires of the same kind;
# the answers are medians with their range.  bench/README.md says what is compared and what is not.
#
#   bench/run.sh [-n ROUNDS] [-d SECONDS] [-c "CONNECTIONS..."] [-o FILE]
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../tests/system/lib.sh"

ROUNDS=5 SECONDS_EACH=2 CONNECTIONS='1 100' OUT=''
while getopts n:d:c:o: option; do
	case $option in
	n) ROUNDS=$OPTARG ;;
	d) SECONDS_EACH=$OPTARG ;;
	c) CONNECTIONS=$OPTARG ;;
	o) OUT=$OPTARG ;;
	*)
		echo 'usage: ./run bench [-n ROUNDS] [-d SECONDS] [-c "CONNECTIONS..."] [-o FILE]' >&2
		FINISHED=yes
		exit 2
		;;
	esac
done
SERVER_CPU=0 CLIENT_CPU=1
PLAIN_IP=10.9.1.1

# The second wire, whose server end has an address of the kernel's.
plain_wire_up()
{
	ip -n "$NSD" link add s1 type veth peer name k1 netns "$NSK"
	in_kernel ethtool -K k1 tx off >/dev/null
	ip -n "$NSD" address add "$PLAIN_IP/24" dev s1
	ip -n "$NSK" address add 10.9.1.2/24 dev k1
	ip -n "$NSD" link set s1 up
	ip -n "$NSK" link set k1 up
}

servers_up()
{
	stackd_conf
	spawn stackd ip netns exec "$NSD" taskset -c "$SERVER_CPU" "$(real_program stackd)" -c "$T/stackd.conf"
	wait_line 30 "$T/stackd.log" "${PIDS[stackd]}" '\bready\b' || { log_show stackd; exit 1; }
	app httpd taskset -c "$SERVER_CPU" "$T/bin/httpd" -p 80 -r "$T/www"
	poll 10 listening 80 || { log_show httpd; exit 1; }
	cp "$BUILD/examples/httpd-kernel" "$T/bin/"
	spawn httpd-kernel ip netns exec "$NSD" setpriv --reuid=nobody --regid=nogroup --clear-groups \
		taskset -c "$SERVER_CPU" "$T/bin/httpd-kernel" -a "$PLAIN_IP" -p 8080 -r "$T/www"
	poll 10 in_kernel curl -sS --max-time 2 -o /dev/null "http://$PLAIN_IP:8080/64" || { log_show httpd-kernel; exit 1; }
}

where() { if [ "$1" = stackd ]; then url 64; else printf 'http://%s:8080/64' "$PLAIN_IP"; fi; }

# Jiffies that a core has not been idle.
core_busy() { awk -v c="cpu$1" '$1 == c { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }

# one SIDE CONNECTIONS [HEADER]: requests/s, p50 us, p99 us, server core %, client core %, errors
one()
{
	local out server client
	server=$(core_busy $SERVER_CPU) client=$(core_busy $CLIENT_CPU)
	out=$(in_kernel taskset -c $CLIENT_CPU wrk -t 1 -c "$2" -d "${SECONDS_EACH}s" --timeout 10s \
		-s "$TOP/tests/system/wrk.lua" ${3:+-H "$3"} "$(where "$1")" | grep '^{')
	server=$(($(core_busy $SERVER_CPU) - server)) client=$(($(core_busy $CLIENT_CPU) - client))
	jq -r --argjson s "$server" --argjson c "$client" --argjson hz "$(getconf CLK_TCK)" \
		'(.duration_us / 1e6) as $t | [(.requests / $t | floor), .p50_us, .p99_us, ($s / $hz / $t * 100 | floor),
		($c / $hz / $t * 100 | floor), .connect + .read + .write + .status + .timeout] | @tsv' <<<"$out"
}

# The median and range of column $1 of file $2.
spread() { cut -f"$1" "$2" | sort -n | awk '{ v[NR] = $1 } END { printf "%d [%d-%d]", v[int((NR + 1) / 2)], v[1], v[NR] }'; }

# compare NAME CONNECTIONS [HEADER]
compare()
{
	local side round
	for side in stackd kernel; do : >"$T/$side.tsv"; done
	for ((round = 1; round <= ROUNDS; round++)); do
		for side in stackd kernel; do
			[ ! -t 2 ] || printf '\r   %s: round %s of %s, %-6s' "$1" "$round" "$ROUNDS" "$side" >&2
			one "$side" "$2" "${3:-}" >>"$T/$side.tsv"
		done
	done
	[ ! -t 2 ] || printf '\r%70s\r' '' >&2
	for side in stackd kernel; do
		printf '%-34s %-7s %28s %20s %20s %12s %12s %6s\n' "$1" "$side" "$(spread 1 "$T/$side.tsv")" \
			"$(spread 2 "$T/$side.tsv")" "$(spread 3 "$T/$side.tsv")" "$(spread 4 "$T/$side.tsv" | cut -d' ' -f1) %" \
			"$(spread 5 "$T/$side.tsv" | cut -d' ' -f1) %" "$(awk '{ s += $6 } END { print s }' "$T/$side.tsv")"
	done
}

report()
{
	local connections
	printf '%s, %s cores, Linux %s, %s\n' "$(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo | head -n 1)" "$(nproc)" \
		"$(uname -r)" "$(date -u +%F)"
	printf 'examples/httpd.c, %s s a round, %s rounds; server on core %s, wrk on core %s; median [lowest-highest]\n\n' \
		"$SECONDS_EACH" "$ROUNDS" "$SERVER_CPU" "$CLIENT_CPU"
	printf '%-34s %-7s %28s %20s %20s %12s %12s %6s\n' '' '' 'requests/s' 'p50 us' 'p99 us' 'server core' 'client core' errors
	for connections in $CONNECTIONS; do
		compare "keep-alive, $connections connections" "$connections"
		compare "new connection each, $connections at once" "$connections" 'Connection: close'
	done
}

need wrk taskset
net_up
plain_wire_up
mkdir -p "$T/www"
chmod a+rX "$T/www"
servers_up
report | tee ${OUT:+"$OUT"}
stop httpd || true
stop httpd-kernel || true
stackd_stop || true
FINISHED=yes
