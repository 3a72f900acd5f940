#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The transfers of transfer.sh and fetch.sh over a port that loses, reorders, duplicates, corrupts and delays.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need nginx

CURL_S=$((LONG ? 1200 : 180))
BIG=$((LONG ? 100 : 8))M

# The wire was as bad as it should be, or the rest shows nothing.
wire_is_bad() { [ "$(counter tcp.retrans_segs)" -gt 0 ] && [ "$(counter tcp.ooo_segs)" -gt 0 ]; }

download()
{
	mkdir "$T/down"
	chown nobody "$T/down"
	(in_app "$T/bin/fetch" -n "$2" -c "$3" -o "$T/down" "http://$KERNEL_IP:8080/$1")
	want=$(sha_of "$T/www/$1")
	count=$(find "$T/down" -type f -exec sha256sum {} + | grep -c "^$want " || true)
	rm -r "$T/down"
	echo "$count of $2 are right"
	[ "$count" = "$2" ]
}

net_up
www_make 1B 64K 1M "$BIG"
nginx_start
stackd_conf 'fault = { loss = 0.01; reorder = 0.05; duplicate = 0.01; corrupt = 0.001; delay_ms = 20; seed = 1; };'
stackd_start
httpd_start httpd 80

for file in 1B 1M "$BIG"; do
	check "$file arrives" same_bytes "$file"
done
check "100 parallel fetches of 64 KiB" same_bytes_parallel 64K 100
check "fetch of 1 MiB" download 1M 1 1
check "fetch of $BIG" download "$BIG" 1 1
check "fetch of 64 KiB, 100 at a time" download 64K 200 100
check "the wire was bad" wire_is_bad
finish
