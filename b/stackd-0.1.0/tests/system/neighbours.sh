#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two web servers and one downloader on one stackd.  One is killed, then stopped, under load: the others' bytes stay
# right, and of the dead one nothing is left within a second.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need wrk nginx

load_start()
{
	spawn wrk ip netns exec "$NSK" wrk -t 1 -c 100 -d 60s "$(url 64 80)"
	poll 5 has_sockets "$1" 100
}

has_sockets() { [ "$(apps_sum "$1" sockets)" -ge "$2" ]; }

fetch_start()
{
	rm -rf "$T/down"
	mkdir "$T/down"
	chown nobody "$T/down"
	app fetch "$T/bin/fetch" -n 4 -c 2 -o "$T/down" "http://$KERNEL_IP:8080/100M"
	poll 5 has_sockets "${PIDS[fetch]}" 2
}

fetch_was_right()
{
	local rc=0 count
	reap fetch || rc=$?
	tail -n 5 "$T/fetch.log"
	count=$(find "$T/down" -type f -exec sha256sum {} + | grep -c "^$(sha_of "$T/www/100M") " || true)
	rm -r "$T/down"
	echo "status $rc, $count of 4 right"
	[ "$rc" = 0 ] && [ "$count" = 4 ]
}

# 100 more MiB from the neighbour, while the rest goes on.
neighbour_transfer()
{
	spawn curl ip netns exec "$NSK" curl -sS --fail --max-time 60 -o "$T/neighbour" "$(url 100M 81)"
}

neighbour_was_right()
{
	local rc=0
	reap curl || rc=$?
	cat "$T/curl.log"
	[ "$rc" = 0 ] && [ "$(sha_of "$T/neighbour")" = "$(sha_of "$T/www/100M")" ]
}

net_up
www_make 64B 1M 100M
mv "$T/www/64B" "$T/www/64"
nginx_start
stackd_start
httpd_start victim 80
httpd_start other 81
victim=${PIDS[victim]}

check "three programs serve and fetch at once" load_start "$victim"
check "fetch runs" fetch_start
neighbour_transfer
kill -KILL "$victim"
check "nothing of the killed program is left after a second" poll 1 app_holds_nothing "$victim"
reap victim || true
check "the neighbour's 100 MiB arrive" neighbour_was_right
check "the downloads arrive" fetch_was_right
stop wrk || true
check "nobody answers for the dead one" [ "$(kcurl "$(url 64 80)" >/dev/null 2>&1; echo $?)" = 7 ]

httpd_start victim 80
victim=${PIDS[victim]}
check "its port can be used again" same_bytes 1M 80

check "load on the new one" load_start "$victim"
kill -STOP "$victim"
check "fetch runs beside a stopped program" fetch_start
neighbour_transfer
check "the neighbour's 100 MiB arrive beside it" neighbour_was_right
check "the downloads arrive beside it" fetch_was_right
check "a stopped program is not dead" has_sockets "$victim" 100
kill -CONT "$victim"
stop wrk || true
check "it serves again when it goes on" same_bytes 1M 80
finish
