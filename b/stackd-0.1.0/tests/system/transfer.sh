#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# curl and wrk, on Linux's own TCP, against httpd as nobody: every byte right, no socket error, and both sides have
# counted the same.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need wrk ping

# The payload that stackd has sent and received, against what curl says of one fetch.
counters_agree()
{
	local tx rx got
	tx=$(counter tcp.tx_bytes) rx=$(counter tcp.rx_bytes)
	got=$(kcurl -o /dev/null -w '%{size_header} %{size_download} %{size_request}' "$(url "$1")")
	read -r header body request <<<"$got"
	poll 5 counters_are $((tx + header + body)) $((rx + request)) && return
	printf 'curl: got %s + %s, sent %s; stackd: sent %s, got %s\n' "$header" "$body" "$request" \
		$(($(counter tcp.tx_bytes) - tx)) $(($(counter tcp.rx_bytes) - rx))
	return 1
}

counters_are() { [ "$(counter tcp.tx_bytes)" = "$1" ] && [ "$(counter tcp.rx_bytes)" = "$2" ]; }

# load CONNECTIONS [HEADER]: wrk for a while.  At its end up to one response per connection is still under way.
load()
{
	local tx opens
	tx=$(counter tcp.tx_bytes) opens=$(counter tcp.passive_opens)
	in_kernel wrk -t $(($1 > 1 ? 2 : 1)) -c "$1" -d "${WRK_S}s" --timeout 10s -s "$TOP/tests/system/wrk.lua" \
		${2:+-H "$2"} "$(url 64)" | tee "$T/wrk.out"
	result=$(grep '^{' "$T/wrk.out")
	requests=$(jq .requests <<<"$result")
	bytes=$(jq .bytes <<<"$result")
	[ "$requests" -gt 0 ] || { echo "no request was answered"; return 1; }
	[ "$(jq '.connect + .read + .write + .status + .timeout' <<<"$result")" = 0 ] || { echo "errors"; return 1; }
	poll 5 quiet
	tx=$(($(counter tcp.tx_bytes) - tx)) opens=$(($(counter tcp.passive_opens) - opens))
	echo "stackd: $opens connections, $tx bytes"
	between "$bytes" "$tx" $((bytes + $1 * (bytes / requests + 1))) || { echo "bytes differ"; return 1; }
	if [ -n "${2:-}" ]; then
		between "$requests" "$opens" $((requests + 2 * $1))
	else
		between "$1" "$opens" $((2 * $1))
	fi || { echo "connections differ"; return 1; }
}

between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }

# Nothing is under way any more: two looks see the same.
quiet()
{
	local before
	before=$(counter tcp.tx_bytes)
	sleep 0.1
	[ "$(counter tcp.tx_bytes)" = "$before" ]
}

net_up
www_make 1B 64B 1M 100M
mv "$T/www/64B" "$T/www/64"
stackd_start
httpd_start httpd 80

for file in 1B 1M 100M; do
	check "$file arrives" same_bytes "$file"
done
check "1 MiB is counted the same on both sides" counters_agree 1M
check "100 parallel fetches of 1 MiB" same_bytes_parallel 1M 100
for connections in 1 100 1000; do
	check "wrk, $connections keep-alive" load "$connections"
	check "wrk, $connections with Connection: close" load "$connections" 'Connection: close'
done
check "1 MiB arrives after all that" same_bytes 1M
check "ping in fragments" in_kernel ping -q -c 5 -i 0.01 -W 2 -s 4000 "$STACK_IP"
finish
