#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# stackd's own connections are monitored, too: a monitor sees the very bytes that programs send and get.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need nginx

# told COUNT: extract has told of so many flows that ended in order.
told() { [ "$(grep -c '"end":"FIN"' "$T/extract.log")" -ge "$1" ]; }

# stream DIRECTION FILE: one of the extracted streams ends with what is in the file.
stream()
{
	local size want f
	size=$(stat -c %s "$2")
	want=$(sha_of "$2")
	for f in "$T"/streams/*."$1"; do
		if [ "$(tail -c "$size" "$f" | sha256sum | cut -d' ' -f1)" = "$want" ]; then return 0; fi
	done
	find "$T/streams" -type f -size +0 -exec ls -l {} +
	return 1
}

served()
{
	in_kernel curl -sS --max-time 20 -o "$T/got" "http://$STACK_IP:8080/$1" && cmp "$T/got" "$T/www/$1" &&
		poll 5 told 1 && stream s2c "$T/www/$1"
}

fetched()
{
	local before
	before=$(grep -c '"end":"FIN"' "$T/extract.log" || true)
	rm -rf "$T/down"
	mkdir "$T/down"
	chown nobody "$T/down"
	(in_app "$T/bin/fetch" -n 1 -c 1 -o "$T/down" "http://$KERNEL_IP:8080/$1") &&
		poll 5 told "$((before + 1))" && stream s2c "$T/www/$1"
}

nothing_missed()
{
	cat "$T/extract.log"
	! grep -v '"missed":0,.*"missed":0,' "$T/extract.log" | grep -q '^{'
}

net_up
www_make 1M 10M
nginx_start
stackd_conf
sed -i 's/endpoint = true;/endpoint = true; monitor = "passive"; monitor_ring = 65536;/; $a monitor = { time_wait_ms = 100; buffer_max = "16M"; };' "$T/stackd.conf"
stackd_start
mkdir "$T/streams"
chown nobody "$T/streams"
app extract "$T/bin/extract" --json -o "$T/streams"
httpd_start httpd 8080


check "what a server sends" served 10M
check "what a client gets" fetched 1M
check "nothing is missed" nothing_missed
finish
