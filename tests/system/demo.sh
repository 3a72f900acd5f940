# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034
#
# What ./run demo and ./run shell show.  Sourced after lib.sh.  demo_monitors.sh has the part with the monitors.

# shellcheck source=tests/system/demo_monitors.sh
. "$TOP/tests/system/demo_monitors.sh"

WEB_IP=10.9.1.2 # the kernel's web server behind the bridge
FLOWSTAT_UID=65531 MATCH_UID=65532 FIREWALL_UID=65533

# The second pair of wires, with a bridge between them, and the rules for those who watch it.
demo_net()
{
	CLIENT_IP=10.9.1.3
	net_up
	net_bridge
	ip -n "$NSD" link add s2 type veth peer name k1 netns "$NSK"
	in_kernel ethtool -K k1 tx off >/dev/null
	in_kernel sysctl -qw net.ipv4.ip_unprivileged_port_start=80
	ip -n "$NSK" address add "$WEB_IP/24" dev k1
	ip -n "$NSK" link set k1 up
	ip -n "$NSD" link set s2 up
}

demo_conf()
{
	cat >"$T/stackd.conf" <<-END
		engines = { cores = [0]; idle = "adaptive"; };
		ports = ( { name = "p0"; device = "net_af_packet0,iface=s0"; mode = "endpoint";
		            address = "$STACK_IP/24"; gateway = "$KERNEL_IP"; },
		          { name = "in"; device = "net_af_packet1,iface=s1"; mode = "bridge"; peer = "out"; },
		          { name = "out"; device = "net_af_packet2,iface=s2"; mode = "bridge"; peer = "in"; } );
		control = { socket = "$T/stackd.sock"; };
		monitor = { time_wait_ms = 200; };
		clients = ( { user = "nobody"; endpoint = true; ports = "1-65535"; max_sockets = 100000; memory = "512M"; },
		            { user = "$FLOWSTAT_UID"; monitor = "passive"; },
		            { user = "$MATCH_UID"; monitor = "passive"; },
		            { user = "$FIREWALL_UID"; monitor = "inline"; on_failure = "pass"; deadline_ms = 100; } );
	END
}

# $T/monitor UID PROGRAM...: a monitor, as that user and without privileges: one of the examples, or a file of one's own.
demo_monitor_script()
{
	cat >"$T/monitor" <<-END
		#!/bin/sh
		[ \$# -ge 2 ] || { echo "usage: \$0 UID PROGRAM [ARGUMENT...]" >&2; exit 2; }
		uid=\$1 program=\$2
		shift 2
		case \$program in
		*/*)
			[ -f "\$program" ] && [ -x "\$program" ] || { echo "\$0: \$program is no program" >&2; exit 2; }
			install -m 755 -- "\$program" $T/bin/ || exit ;; # that user may not look where it lies
		esac
		program=\${program##*/}
		[ -x "$T/bin/\$program" ] || { echo "\$0: there is no example \$program; your own is ./\$program" >&2; exit 2; }
		exec ip netns exec $NSA setpriv --reuid="\$uid" --regid="\$uid" --clear-groups --no-new-privs env \\
			LD_LIBRARY_PATH=$T/lib STACKD_SOCKET=$T/stackd.sock "$T/bin/\$program" "\$@"
	END
	chmod 755 "$T/monitor"
	printf 'attack at dawn\n' >"$T/patterns"
	printf 'DROP any %s dport:8080\n' "$WEB_IP" >"$T/rules"
	chmod a+r "$T/patterns" "$T/rules"
}

# web NAME PORT: a web server on the kernel's own sockets.
web()
{
	spawn "$1" in_kernel setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$T/bin/httpd-kernel" -a "$WEB_IP" -p "$2" -r "$T/www"
	poll 10 through -o "$T/got" "$(web_url 1B "$2")" && return
	not_ok "$1" "does not answer through the bridge"
	log_show "$1"
	exit 1
}

web_url() { printf 'http://%s:%s/%s' "$WEB_IP" "${2:-80}" "$1"; }

# through ARG...: curl through the bridge
through() { in_client curl -sS --fail --max-time 30 "$@"; }

demo_up()
{
	TEST=demo
	need
	step "network: three namespaces, three wires to stackd; it ends one of them and bridges the others"
	demo_net
	say "   $NSD: stackd, 10.9.0.1, through DPDK on a veth end that has no address of the kernel's"
	say "   $NSK: $KERNEL_IP, Linux's own TCP, where curl and wrk run; and $WEB_IP, a web server on it"
	say "   $NSC: $CLIENT_IP, Linux's own TCP; between it and $WEB_IP stackd is a bump in the wire"
	www_make 1B 64B 1M 100M
	mv "$T/www/64B" "$T/www/64"
	cp "$BUILD/examples/httpd-kernel" "$T/bin/"
	demo_conf
	demo_monitor_script
	stackd_start
	say "   stackd runs as pid ${PIDS[stackd]}"
	httpd_start httpd 80
	say "   httpd runs as pid ${PIDS[httpd]}, as nobody, in a namespace without any interface: libshim is its only network"
	web web 80
	web web8080 8080
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
		not_ok "curl $(url "$1")" "wrong bytes"
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
	[ "$(jq '.connect + .read + .write + .status + .timeout' <<<"$out")" = 0 ] || not_ok wrk "has seen errors: $out"
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

# Programs that have to end in order do.
demo_down()
{
	local name
	for name in web web8080; do stop "$name" || true; done
	for name in flowstat:INT firewall:INT httpd:TERM stackd:TERM; do
		stop "${name%:*}" "${name#*:}" && continue
		not_ok "${name%:*}" "did not end in order"
		log_show "${name%:*}"
	done
}

demo()
{
	declare -gi CURL_REQUESTS=0 CURL_BYTES=0 WRK_REQUESTS=0 WRK_BYTES=0
	local file
	demo_up
	step "fetch"
	for file in 1B 1M 100M; do demo_fetch "$file"; done
	if command -v wrk >/dev/null; then demo_load; fi
	demo_monitors
	step "what everybody counted"
	demo_table
	say ""
	demo_monitors_table
	step "clean up"
	demo_down
	FINISHED=yes
	if ((FAILED)); then say "not ok demo: not everything was as it should be"; exit 1; fi
	ok "every byte was right, and the monitors saw what there was"
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
		   Monitors, each in a terminal of its own, as three users without privileges:
		     ${sudo}$T/monitor $FLOWSTAT_UID flowstat
		     ${sudo}$T/monitor $MATCH_UID match $T/patterns
		     ${sudo}$T/monitor $FIREWALL_UID firewall $T/rules       (port 8080 is dropped; it reads the file again when you change it)
		     ${sudo}$T/monitor $FLOWSTAT_UID ./my-own                   (any program of yours; as $FIREWALL_UID it is inline)
		   and what they watch: a bridge, and the connections of httpd:
		     ${sudo}ip netns exec $NSC curl -o /dev/null $(web_url 100M)
		     ${sudo}ip netns exec $NSC curl -H 'X-Note: attack at dawn' -o /dev/null $(web_url 1M)
		     ${sudo}ip netns exec $NSC curl --max-time 3 $(web_url 1B 8080)
		     ${sudo}$(real_program stackctl) --socket $T/stackd.sock monitors
		   What httpd serves is in $T/www, the logs are $T/stackd.log and $T/httpd.log.
		   Ctrl-C ends it.
	END
	trap 'FINISHED=yes; exit 0' INT TERM
	wait_gone infinity "${PIDS[stackd]}" &
	wait -n $! "${PIDS[httpd]}" || true
	say "stackd or httpd has ended"
	exit 1
}
