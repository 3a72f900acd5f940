# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034
#
# What ./run demo and ./run shell show.  Sourced after lib.sh.

demo_up()
{
	TEST=demo
	need
	step "network: two namespaces and a wire between them"
	net_up
	say "   $NSD: stackd, 10.9.0.1, through DPDK on a veth end that has no address of the kernel's"
	say "   $NSK: $KERNEL_IP, Linux's own TCP, where curl and wrk run"
	www_make 1B 64B 1M 100M
	mv "$T/www/64B" "$T/www/64"
	stackd_start
	say "   stackd runs as pid ${PIDS[stackd]}"
	httpd_start httpd 80
	say "   httpd runs as pid ${PIDS[httpd]}, as nobody, in a namespace without any interface: libshim is its only network"
}

# demo_fetch FILE: one line, and a row for the table.
demo_fetch()
{
	local got want size
	got=$(kcurl -o "$T/got" -w '%{size_download} %{time_total}' "$(url "$1")") || got='0 0'
	want=$(sha_of "$T/www/$1")
	size=${got% *}
	if [ "$(sha_of "$T/got")" = "$want" ]; then
		say "   curl $(url "$1"): $size bytes in ${got#* } s, SHA-256 equal"
	else
		say "   curl $(url "$1"): WRONG BYTES"
		FAILED+=1
	fi
	CURL_REQUESTS+=1
	CURL_BYTES+=$size
	rm -f "$T/got"
}

demo_load()
{
	local out
	out=$(in_kernel wrk -t 1 -c 100 -d 3s -s "$TOP/tests/system/wrk.lua" "$(url 64)" | grep '^{') || out='{}'
	WRK_REQUESTS=$(jq '.requests // 0' <<<"$out")
	WRK_BYTES=$(jq '.bytes // 0' <<<"$out")
	say "   wrk, 100 connections for 3 s: $(jq -r '"\(.requests / .duration_us * 1e6 | floor) requests/s, median " +
		"\(.p50_us) us, 99th percentile \(.p99_us) us"' <<<"$out")"
	if [ "$(jq '.connect + .read + .write + .status + .timeout' <<<"$out")" != 0 ]; then
		say "   wrk has seen errors: $out"
		FAILED+=1
	fi
}

demo_table()
{
	local row='   %-34s %14s %16s\n'
	# shellcheck disable=SC2059
	{
		printf "$row" '' requests 'payload bytes'
		printf "$row" "the kernel's side: curl" "$CURL_REQUESTS" "$CURL_BYTES"
		printf "$row" "the kernel's side: wrk" "$WRK_REQUESTS" "$WRK_BYTES (with headers)"
		printf "$row" "stackd: sent to them" '' "$(counter tcp.tx_bytes) (with headers)"
		printf "$row" "stackd: connections accepted" "$(counter tcp.passive_opens)" ''
		printf "$row" "stackd: segments in, out" "$(counter tcp.in_segs)" "$(counter tcp.out_segs)"
		printf "$row" "stackd: segments sent again" "$(counter tcp.retrans_segs)" ''
	}
}

demo()
{
	declare -gi CURL_REQUESTS=0 CURL_BYTES=0 WRK_REQUESTS=0 WRK_BYTES=0
	local file
	demo_up
	step "fetch"
	for file in 1B 1M 100M; do demo_fetch "$file"; done
	if command -v wrk >/dev/null; then demo_load; fi
	step "what both sides counted"
	demo_table
	step "clean up"
	for file in httpd stackd; do
		stop "$file" || { say "   $file did not end in order"; log_show "$file"; FAILED+=1; }
	done
	FINISHED=yes
	if ((FAILED)); then say "FAILED"; exit 1; fi
	say "   every byte was right"
}

demo_shell()
{
	local sudo
	sudo=$(command -v sudo >/dev/null && echo 'sudo ') || true
	demo_up
	cat <<-END

		   In a second terminal:
		     ${sudo}ip netns exec $NSK curl -v $(url 64)
		     ${sudo}ip netns exec $NSK curl -o /dev/null $(url 100M)
		     ${sudo}ip netns exec $NSK wrk -t 1 -c 100 -d 3s $(url 64)
		     ${sudo}ip netns exec $NSK ping -c 3 $STACK_IP
		     ${sudo}$(real_program stackctl) --socket $T/stackd.sock apps
		     ${sudo}$(real_program stackctl) --socket $T/stackd.sock flows
		     ${sudo}$(real_program stackctl) --socket $T/stackd.sock stats --watch 1
		     ${sudo}$(real_program stackctl) --socket $T/stackd.sock --json apps | jq .
		   What httpd serves is in $T/www, the logs are $T/stackd.log and $T/httpd.log.
		   Ctrl-C ends it.
	END
	trap 'FINISHED=yes; exit 0' INT TERM
	wait_gone infinity "${PIDS[stackd]}" &
	wait -n $! "${PIDS[httpd]}" || true
	say "stackd or httpd has ended"
	exit 1
}
