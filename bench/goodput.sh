#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What one stream carries over a bad wire: sent by stackd, and by Linux's CUBIC, to Linux, by turns.
#
#	bench/goodput.sh [-n ROUNDS] [-d SECONDS] [-o FILE] ["LOSS RTT_MS"...]
#
# Between sender and receiver stands a stackd that bridges, with the same faults for both.  The same examples/httpd.c sends.
#
#	namespace $NSC: stackd, c0, 10.9.0.3 --- s1 stackd bridges s0 --- k0, 10.9.0.2, Linux, curl: namespace $NSK
#	namespace $NSA: Linux,  p0, 10.9.1.1 --- s2 stackd bridges s3 --- k1, 10.9.1.2
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../tests/system/lib.sh"

ROUNDS=5 SECONDS_EACH=15 OUT='' PLAIN_IP=10.9.1.1
while getopts n:d:o: option; do
	case $option in
	n) ROUNDS=$OPTARG ;;
	d) SECONDS_EACH=$OPTARG ;;
	o) OUT=$OPTARG ;;
	*)
		sed -n '4,8s/^# \{0,1\}//p' "$0" >&2
		FINISHED=yes
		exit 2
		;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- '0.01 20' '0.001 100'

wires_up()
{
	net_up
	net_bridge
	ip -n "$NSC" address flush dev c0
	ip -n "$NSD" link add s2 type veth peer name p0 netns "$NSA"
	ip -n "$NSD" link add s3 type veth peer name k1 netns "$NSK"
	ip netns exec "$NSA" ethtool -K p0 tx off >/dev/null
	in_kernel ethtool -K k1 tx off >/dev/null
	ip -n "$NSA" address add "$PLAIN_IP/24" dev p0
	ip -n "$NSK" address add 10.9.1.2/24 dev k1
	local at
	for at in "$NSD s2" "$NSD s3" "$NSA p0" "$NSA lo" "$NSK k1"; do ip -n "${at% *}" link set "${at#* }" up; done
	# what a connection has learnt must not help the next one
	in_kernel sysctl -qw net.ipv4.tcp_no_metrics_save=1
	ip netns exec "$NSA" sysctl -qw net.ipv4.tcp_no_metrics_save=1
	# whatever the machine's default is
	ip -n "$NSA" route replace 10.9.1.0/24 dev p0 src "$PLAIN_IP" congctl cubic
}

# bridge_up LOSS RTT_MS SEED
bridge_up()
{
	local fault="fault = { loss = $1; delay_ms = $(($2 / 2)); seed = $3; };"
	cat >"$T/bridge.conf" <<-END
		engines = { cores = [1]; };
		ports = ( { name = "s1"; device = "net_af_packet0,iface=s1"; mode = "bridge"; peer = "s0"; },
		          { name = "s0"; device = "net_af_packet1,iface=s0"; mode = "bridge"; peer = "s1"; $fault },
		          { name = "s2"; device = "net_af_packet2,iface=s2"; mode = "bridge"; peer = "s3"; },
		          { name = "s3"; device = "net_af_packet3,iface=s3"; mode = "bridge"; peer = "s2"; $fault } );
		control = { socket = "$T/bridge.sock"; };
		clients = ( { user = "nobody"; monitor = "passive"; } );
	END
	spawn bridge ip netns exec "$NSD" "$(real_program stackd)" -c "$T/bridge.conf"
	STACKD_PIDS+=("${PIDS[bridge]}")
	wait_line 30 "$T/bridge.log" "${PIDS[bridge]}" '\bready\b' || { log_show bridge; exit 1; }
}

kernel_listens() { ip netns exec "$NSA" ss -Hltn sport = :8080 | grep -q .; }

senders_up()
{
	stackd_conf
	sed -i "s/iface=s0/iface=c0/; s|$STACK_IP/24|$CLIENT_IP/24|" "$T/stackd.conf"
	spawn stackd ip netns exec "$NSC" "$(real_program stackd)" -c "$T/stackd.conf"
	STACKD_PIDS+=("${PIDS[stackd]}")
	wait_line 30 "$T/stackd.log" "${PIDS[stackd]}" '\bready\b' || { log_show stackd; exit 1; }
	app httpd "$T/bin/httpd" -p 80 -r "$T/www"
	poll 10 listening 80 || { log_show httpd; exit 1; }
	cp "$BUILD/examples/httpd-kernel" "$T/bin/"
	spawn httpd-kernel ip netns exec "$NSA" setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$T/bin/httpd-kernel" -a "$PLAIN_IP" -p 8080 -r "$T/www"
	poll 10 kernel_listens || { log_show httpd-kernel; exit 1; }
}

where() { if [ "$1" = stackd ]; then echo "http://$CLIENT_IP/large"; else echo "http://$PLAIN_IP:8080/large"; fi; }

# one SIDE: kB/s of payload in so many seconds
one()
{
	local out
	out=$(in_kernel curl -sS -o /dev/null --max-time "$SECONDS_EACH" -w '%{size_download} %{time_total} %{time_starttransfer}\n' \
		"$(where "$1")" 2>/dev/null) || [ $? = 28 ]
	awk '{ printf "%d\n", $1 / ($2 - $3) / 1000 }' <<<"$out"
}

spread() { sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%d [%d-%d]", v[int((NR + 1) / 2)], v[1], v[NR] }'; }

# compare LOSS RTT_MS: each round with faults of its own, the same for both
compare()
{
	local side round
	for side in stackd linux; do : >"$T/$side.kBps"; done
	for ((round = 1; round <= ROUNDS; round++)); do
		bridge_up "$1" "$2" "$round"
		for side in stackd linux; do one "$side" >>"$T/$side.kBps"; done
		stop bridge
	done
	for side in stackd linux; do
		printf '%-8s %-10s %-7s %28s   %s\n' "$(awk -v l="$1" 'BEGIN { print 100 * l " %" }')" "$2 ms" "$side" \
			"$(spread "$T/$side.kBps")" "$(paste -sd' ' "$T/$side.kBps")"
	done
}

report()
{
	local case_
	printf '%s, %s cores, Linux %s, %s\n' "$(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo | head -n 1)" "$(nproc)" \
		"$(uname -r)" "$(date -u +%F)"
	printf 'one stream, %s s a round, %s rounds; kB/s, median [lowest-highest]\n\n' "$SECONDS_EACH" "$ROUNDS"
	printf '%-8s %-10s %-7s %28s   %s\n' loss 'round trip' sender kB/s 'each round'
	for case_; do
		# shellcheck disable=SC2086
		compare $case_
	done
}

need curl
wires_up
mkdir -p "$T/www"
truncate -s 4G "$T/www/large"
chmod -R a+rX "$T/www"
senders_up
report "$@" | tee ${OUT:+"$OUT"}
stop httpd || true
stop httpd-kernel || true
stackd_stop || true
FINISHED=yes
