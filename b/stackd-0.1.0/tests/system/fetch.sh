#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# fetch, as nobody, downloads from nginx on Linux's own TCP: 1,000 connections in turn, and 100 at a time.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need nginx

# download FILE TOTAL CONCURRENT: every copy is what is on nginx's disk, and nginx has seen as many requests.
download()
{
	local want count
	rm -rf "$T/down"
	mkdir "$T/down"
	chown nobody "$T/down"
	: >"$T/nginx/access.log"
	(in_app "$T/bin/fetch" -n "$2" -c "$3" -o "$T/down" "http://$KERNEL_IP:8080/$1")
	want=$(sha_of "$T/www/$1")
	count=$(find "$T/down" -type f -exec sha256sum {} + | grep -c "^$want " || true)
	echo "$count of $2 are right, nginx counted $(wc -l <"$T/nginx/access.log")"
	[ "$count" = "$2" ] && [ "$(find "$T/down" -type f | wc -l)" = "$2" ] &&
		poll 3 nginx_counted "$2"
}

nginx_counted() { [ "$(grep -c '" 200 ' "$T/nginx/access.log")" = "$1" ]; }

# A neighbour that does not exist: not the time that all the SYNs would take.
told_unreachable()
{
	local rc=0
	reap lost || rc=$?
	cat "$T/lost.log"
	[ "$rc" != 0 ] && grep -qi 'no route to host' "$T/lost.log"
}

net_up
www_make 1B 64K 1M 100M
nginx_start
stackd_start

app lost timeout 20 "$T/bin/fetch" "http://${KERNEL_IP%.*}.77/64K"
check "1,000 of 64 KiB in turn" download 64K 1000 1
check "1,000 of 64 KiB, 100 at a time" download 64K 1000 100
check "100 of 1 MiB, 100 at a time" download 1M 100 100
check "one byte" download 1B 1 1
check "100 MiB" download 100M 1 1
check "a silent neighbour is unreachable" told_unreachable
finish
