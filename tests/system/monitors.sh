#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Several passive monitors: how many there are changes nothing of what each sees, nor the memory that it takes; one that dies, stops,
# spins, crashes or scribbles harms neither the others nor the traffic; and nobody gets at what he may not see.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replaying.sh
. "$(dirname "$0")/replaying.sh"

need python3
for program in events sick spy; do
	[ -e "$BUILD/tests/monitor/$program" ] || { echo "skip $TEST: tests/monitor/$program is not built (make check)"; exit 77; }
done
ulimit -c 0

ENDPOINT_IP=10.9.1.1
STREAMS=12
RESETS_ALONE=1 # flows of the capture that are none to the engine: nothing but resets, which extract tells all the same
PORT=9000

# --- Sharing -----------------------------------------------------------------------------------------------------------------

# The model has no timeouts.
KEYS='idle_timeout_s = 31536000; time_wait_ms = 86400000; memory = "128M"; log = "16M"; max_flows = 16384;'

flows_of_capture() { echo $(($(wc -l <"$T/cap/mixed.jsonl") - RESETS_ALONE)); }
flows_ended() { [ "$(counter mon.flows)" -ge "$1" ] && [ "$(counter mon.flows_ended)" = "$(counter mon.flows)" ]; }
lag_gone() { ctl monitors --json | jq -e '[.monitors[] | select(.state != "gone") | .lag] | add == 0'; }

# group_is MEMBERS: there is one arena, and so many use it; prints how full it is
group_is()
{
	ctl monitors --json | jq -e -r --argjson n "$1" \
		'.groups | select(length == 1 and .[0].members == $n) | .[0] | "\(.memory) \(.chunks_used) \(.log_bytes) \(.evicted)"'
}

# with its standard output, and nothing else, in a file: INTO FILE PROGRAM...
# shellcheck disable=SC2016
INTO=(sh -c 'out=$1; shift; exec "$@" >"$out"' -)

# shared COUNT NAME SOCKETS CORES PROGRAM...: so many at once on one capture; their output is $T/NAME.COUNT, the arena's use
# $T/NAME.COUNT.use
shared()
{
	local count=$1 name=$2 socks=$3 cores=$4 i want
	shift 4
	want=$(flows_of_capture)
	replay_of mixed.pcap "$cores" "at_end = \"stay\"; wait_for = $((count * socks));" '' "$KEYS" || return
	for ((i = 0; i < count; i++)); do
		watcher "m$i" "${INTO[@]}" "$T/out/$i" "$@"
	done
	if ! poll 20 flows_ended "$want" || ! poll 20 lag_gone; then ctl monitors; return 1; fi
	group_is "$count" >"$T/$name.$count.use" || { ctl monitors; return 1; }
	conserved || return
	for ((i = 0; i < count; i++)); do
		stop "m$i" INT || { cat "$T/m$i.log"; return 1; }
		by_flow "$T/out/$i" >"$T/out/$i.flows"
		if ((${#cores} == 1)); then cmp "$T/out/$i" "$T/out/0" || return; fi
		cmp "$T/out/$i.flows" "$T/out/0.flows" || return
	done
	cp "$T/out/0" "$T/$name.$count"
	cp "$T/out/0.flows" "$T/$name.$count.flows"
	stop stackd
}

# by_flow FILE: what is the same however many engines share the flows: the lines of each flow in their order, but for whole bursts, and for
# the time of what no packet caused, which is that of the engine's last packet.
by_flow()
{
	grep -v '^- ' "$1" | grep -v ' NEW_DATA ' | sed '/ pkt /! s/^\(\([^ ]* \)\{4\}\)[0-9]*/\1-/' | sort -s -k1,1
	grep '^- ' "$1" | sort
}

# alike NAME COUNT: as with a single monitor
alike() { cmp "$T/$1.1" "$T/$1.$2" && cmp "$T/$1.1.use" "$T/$1.$2.use"; }

sharing()
{
	local n
	python3 -B "$TOP/tests/truth/make.py" "$T/cap" mixed
	for n in 1 2 4 8; do
		check "$n that log events: all see the same, in one arena" shared "$n" events 2 0 "$T/bin/events"
		((n == 1)) || check "$n that log events: as one" alike events "$n"
	done
	check "no event of a flow before its beginning, none after its end" grep -qx "events: $(flows_of_capture) flows" "$T/m0.log"
	for n in 1 2 4 8; do
		check "$n that log events, two engines: all see the same" shared "$n" two 2 '0, 1' "$T/bin/events"
		check "$n that log events, two engines: as with one engine" cmp "$T/events.1.flows" "$T/two.$n.flows"
		((n == 1)) || check "$n that log events, two engines: in the same memory" cmp "$T/two.1.use" "$T/two.$n.use"
	done
	for n in 1 8; do
		check "$n that extract: all see the same, in one arena" shared "$n" extract 1 0 "$T/bin/extract" --json
	done
	check "8 that extract: as one" alike extract 8
	check "8 that extract: what is true" python3 -B "$TOP/tests/truth/compare.py" "$T/cap/mixed.jsonl" "$T/extract.8"
}

# --- Fragments, live ---------------------------------------------------------------------------------------------------------

# A client behind a router whose wire is too narrow for it: what it sends comes in pieces, and its acknowledgements, the SYN and the
# FIN do not.
fragments_up()
{
	ip -n "$NSD" link add x0 mtu 9000 type veth peer name x1 mtu 9000 netns "$NSC"
	ip netns exec "$NSD" ethtool -K x0 tx off >/dev/null
	ip -n "$NSD" address add 10.8.0.1/24 dev x0
	ip -n "$NSC" address add 10.8.0.2/24 dev x1
	ip -n "$NSD" link set x0 up
	ip -n "$NSC" link set x1 up
	ip -n "$NSD" route add 10.9.0.0/24 via 10.8.0.2
	ip -n "$NSK" route add 10.8.0.0/24 via "$CLIENT_IP" mtu lock 1500 advmss 2900
	ip netns exec "$NSD" sysctl -qw net.ipv4.ip_no_pmtu_disc=1
	in_client sysctl -qw net.ipv4.ip_forward=1
	bridge_conf '0, 1'
	stackd_start
	spawn serve ip netns exec "$NSK" python3 -B "$TOP/tests/system/streams.py" serve "$KERNEL_IP" "$PORT"
	wait_line 10 "$T/serve.log" "${PIDS["serve"]}" '^ready'
}

fragments_down()
{
	stop serve || true
	stackd_stop
	ip -n "$NSD" link delete x0
	ip -n "$NSK" route delete 10.8.0.0/24
}

# Both streams of every flow, although the pieces come to one engine and the flow's other packets to another.
fragments()
{
	app good "$T/bin/extract" --json
	poll 10 sees good || return
	spawn send ip netns exec "$NSD" python3 -B "$TOP/tests/system/streams.py" send "$KERNEL_IP" "$PORT" "$STREAMS" 65536 fragments "$T/go"
	traffic_goes_on || return
	poll 10 as_sent good || { grep ":$PORT" "$T/good.log" | cut -c 1-400; return 1; }
	lost_none good && conserved || return
	[ "$(counter mon.fragments)" -gt $((STREAMS * 20)) ] || { echo "there were few fragments"; return 1; }
	stop good INT
}

# --- A bridge, and an endpoint -----------------------------------------------------------------------------------------------

bridge_up()
{
	ip -n "$NSD" link add s2 type veth peer name k2 netns "$NSK"
	in_kernel ethtool -K k2 tx off >/dev/null
	ip -n "$NSK" address add 10.9.1.2/24 dev k2
	ip -n "$NSK" link set k2 up
	ip -n "$NSD" link set s2 up
	cat >"$T/stackd.conf" <<-END
		ports = ( { name = "in"; device = "net_af_packet0,iface=s1"; mode = "bridge"; peer = "out"; },
		          { name = "out"; device = "net_af_packet1,iface=s0"; mode = "bridge"; peer = "in"; },
		          { name = "end"; device = "net_af_packet2,iface=s2"; mode = "endpoint";
		            address = [ "$ENDPOINT_IP/24" ]; gateway = "10.9.1.2"; } );
		control = { socket = "$T/stackd.sock"; };
		monitor = { memory = "128M"; log = "16M"; max_flows = 16384; time_wait_ms = 100; };
		clients = ( { user = "nobody"; endpoint = true; ports = "1-65535"; monitor = "passive"; monitor_ring = 65536; },
		            { user = "daemon"; monitor = "passive"; monitor_ring = 64; },
		            { user = "bin"; monitor = "passive"; scope = "tcp port 80"; max_monitor_sockets = 1; },
		            { user = "sys"; endpoint = true; } );
	END
	stackd_start
	spawn serve ip netns exec "$NSK" python3 -B "$TOP/tests/system/streams.py" serve "$KERNEL_IP" "$PORT" 80 81
	wait_line 10 "$T/serve.log" "${PIDS["serve"]}" '^ready'
	httpd_start httpd 8000
}

# as USER NAME COMMAND...: an app of another user
as()
{
	local user=$1 name=$2
	shift 2
	spawn "$name" ip netns exec "$NSA" setpriv --reuid="$user" --regid=nogroup --clear-groups --no-new-privs \
		env LD_LIBRARY_PATH="$T/lib" STACKD_SOCKET="$T/stackd.sock" "$@"
}

# The port of nobody: its flow is over at once.
probe() { in_client curl -s --max-time 1 -o /dev/null "http://$KERNEL_IP:9/" || grep -q "$KERNEL_IP:9\"" "$T/$1.log"; }

# What was offered to each monitor, also to those that have gone, is accounted for.
conserved()
{
	poll 5 accounted && return
	ctl monitors --all
	return 1
}

accounted() { ctl monitors --json | jq -e '.monitors | length > 0 and all(.[]; .offered == .delivered + .filtered + .lost)'; }

monitor_of() { ctl monitors --json | jq -e --argjson p "${PIDS[$1]}" --arg k "$2" '[.monitors[] | select(.pid == $p) | .[$k]] | add'; }
lost_some() { [ "$(monitor_of "$1" lost)" -gt 0 ]; }
lost_none() { [ "$(monitor_of "$1" lost)" = 0 ]; }
sockets_are() { [ "$(monitor_of "$1" sockets)" = "$2" ]; }
sees() { probe "$1" && [ -s "$T/$1.log" ]; }
caught_up() { [ "$(monitor_of "$1" lag)" = 0 ]; }

# What the streams carried, from those that sent them, and as a monitor saw it.
as_sent()
{
	local sent seen
	sent=$(grep -E '^[0-9a-f]{64} ' "$T/send.log" | sort)
	seen=$(jq -r --arg s "$KERNEL_IP:$PORT" 'select(.server == $s and .end == "FIN" and .c2s.missed == 0 and .s2c.missed == 0 and
		.s2c.bytes == 64) | "\(.c2s.sha256) \(.c2s.bytes)"' "$T/$1.log" | sort)
	[ "$(wc -l <<<"$sent")" = "$STREAMS" ] && [ "$sent" = "$seen" ]
}

# begin KIND: good ones watch, a sick one, too; half of every stream is sent
begin()
{
	app good "$T/bin/extract" --json
	app logger "${INTO[@]}" "$T/logger.out" "$T/bin/events" -f "tcp port $PORT"
	poll 10 sockets_are logger 2 || return # the second comes when the first has its filter and callbacks
	poll 10 sees good || { echo "the good one sees nothing"; return 1; }
	as daemon sick "$T/bin/sick" "$1"
	wait_line 10 "$T/sick.log" "${PIDS["sick"]}" '^watching' || return
	spawn send ip netns exec "$NSC" python3 -B "$TOP/tests/system/streams.py" send "$KERNEL_IP" "$PORT" "$STREAMS" 262144 "$1" "$T/go"
	wait_line 20 "$T/send.log" "${PIDS["send"]}" '^half' || return
	[ "$1" = crash ] || wait_line 10 "$T/sick.log" "${PIDS["sick"]}" '^data' || return
}

# traffic_goes_on: the rest of every stream is sent, and all of it has arrived
traffic_goes_on()
{
	timeout 10 tee "$T/go" <<<go || { echo "nobody waits for it"; cat "$T/send.log"; return 1; }
	reap send || { cat "$T/send.log"; return 1; }
}

# traffic_ends: the same, and the endpoint answers
traffic_ends()
{
	same_bytes_of_endpoint && traffic_goes_on && same_bytes_of_endpoint
}

same_bytes_of_endpoint()
{
	local got
	got=$(in_kernel curl -sS --fail --max-time 30 "http://$ENDPOINT_IP:8000/1M" | sha256sum | cut -d' ' -f1)
	[ "$got" = "$(sha_of "$T/www/1M")" ] || { echo "the endpoint sends something else"; return 1; }
}

# good_ones: saw everything, and leave
good_ones()
{
	poll 10 as_sent good || { echo "not as sent:"; grep ":$PORT" "$T/good.log" | cut -c 1-400; ctl monitors; return 1; }
	if ! lost_none good || ! lost_none logger; then ctl monitors; return 1; fi
	conserved || return
	stop logger INT || { echo "the logger returned $?"; cat "$T/logger.log"; return 1; }
	grep -x "events: $STREAMS flows" "$T/logger.log" || { cat "$T/logger.log"; return 1; }
	[ "$(wc -l <"$T/logger.out")" -gt 1000 ] || { echo "the logger wrote little"; return 1; }
	stop good INT || { echo "extract returned $?"; cat "$T/good.log"; return 1; }
}

# memory_is: descriptors of stackd, and how much it has mapped of memory that it shares with somebody
memory_is()
{
	local of=/proc/${PIDS["stackd"]}
	printf '%s descriptors, ' "$(find "$of/fd" -mindepth 1 | wc -l)"
	awk '/^[0-9a-f]+-/ { shared = /memfd:/ } shared && $1 == "Size:" { sum += $2; n++ } END { print n, "mappings of", sum, "KiB" }' "$of/smaps"
}

no_groups() { [ "$(ctl monitors --json | jq '.groups | length')" = 0 ]; }
memory_as() { [ "$(memory_is)" = "$1" ]; }

# gone BEFORE: nothing of any monitor is left
gone()
{
	poll 5 no_groups || { ctl monitors; return 1; }
	poll 5 memory_as "$1" || { echo "before: $1"; echo "now: $(memory_is)"; return 1; }
	grep VmRSS "/proc/${PIDS["stackd"]}/status"; ctl monitors --json
}

killed()
{
	begin fine || return
	kill -KILL "${PIDS["sick"]}"
	reap sick || true
	traffic_ends && good_ones
}

stopped()
{
	begin fine || return
	kill -STOP "${PIDS["sick"]}"
	traffic_ends && lost_some sick || return
	good_ones || return
	kill -CONT "${PIDS["sick"]}"
	if ! poll 10 caught_up sick; then ctl monitors; return 1; fi
	conserved || return
	alive sick && ! stop sick
}

spins()
{
	begin spin || return
	traffic_ends && lost_some sick && good_ones && alive sick && ! stop sick KILL
}

crashes()
{
	local rc=0
	begin crash || return
	reap sick || rc=$?
	[ "$rc" = 139 ] || { echo "it returned $rc"; return 1; }
	traffic_ends && good_ones
}

scribbles()
{
	begin scribble || return
	wait_line 10 "$T/sick.log" "${PIDS["sick"]}" '^wrote .* to [1-9]' || { cat "$T/sick.log"; return 1; }
	traffic_ends && alive sick && ! stop sick KILL && good_ones
}

# without descriptors: refused with the right reason, and with them not
poor()
{
	as daemon poor "$T/bin/sick" poor
	wait_gone 10 "${PIDS["poor"]}" || return
	reap poor || { cat "$T/poor.log"; return 1; }
	grep -E '^poor: [5-9] failures|^poor: [1-9][0-9] failures' "$T/poor.log"
}

isolation()
{
	local how before
	before=$(memory_is)
	for how in killed stopped spins crashes scribbles; do
		check "a sick one ($how): the others, the traffic, the endpoint" "$how"
		for name in sick good logger send; do stop "$name" KILL || true; done
		check "a sick one ($how): offered = delivered + filtered + lost" conserved
		check "a sick one ($how): nothing is left of it" gone "$before"
	done
}

# --- Authorisation -----------------------------------------------------------------------------------------------------------

mark_of() { printf '%s%s' "$1" "$T" | sha256sum | cut -c 1-40; }
say() { in_client timeout 20 python3 -B "$TOP/tests/system/streams.py" say "$KERNEL_IP" "$1" "$2"; }

# spied NAME: what it has found
spied()
{
	kill -USR1 "${PIDS[$1]}"
	reap "$1" || { cat "$T/$1.log"; return 1; }
	cat "$T/$1.log"
}

# refused USER PROGRAM ERROR REASON: it may not, and stackd's log says why
refused()
{
	local rc=0
	as "$1" refused "$T/bin/$2"
	wait_gone 10 "${PIDS["refused"]}" || return
	reap refused || rc=$?
	cat "$T/refused.log"
	[ "$rc" = 1 ] && grep -q "$3" "$T/refused.log" && grep -E "$4" "$T/stackd.log"
}

authorisation()
{
	local open secret
	check "one that may have no more descriptors is told so" poor
	open=$(mark_of 80) secret=$(mark_of 81)
	as bin narrow "$T/bin/spy" "$open" "$secret"
	app wide "$T/bin/spy" "$open" "$secret"
	wait_line 10 "$T/narrow.log" "${PIDS["narrow"]}" '^watching'
	wait_line 10 "$T/wide.log" "${PIDS["wide"]}" '^watching'
	check "a word is said on port 80" say 80 "$open"
	check "a secret is said on port 81" say 81 "$secret"
	check "one who may see all looks for both" spied wide
	check "it finds the word" grep -qx "found [1-9][0-9]* $open" "$T/wide.log"
	check "it finds the secret" grep -qx "found [1-9][0-9]* $secret" "$T/wide.log"
	check "it cannot write what it may read" grep -qx 'writable 0 of [1-9][0-9]*' "$T/wide.log"
	check "one who may see port 80 looks for both" spied narrow
	check "it finds the word" grep -qx "found [1-9][0-9]* $open" "$T/narrow.log"
	check "it does not find the secret" grep -qx "found 0 $secret" "$T/narrow.log"
	check "it cannot write what it may read" grep -qx 'writable 0 of [1-9][0-9]*' "$T/narrow.log"
	check "a user whose rule does not say so may not monitor" refused sys extract 'not permitted' \
		'extract\) may not monitor: the rule for .*sys'
	check "a user without a rule may not even attach" refused games extract 'Permission denied' 'uid 5 is refused: no rule'
	check "a user gets no more places than its rule allows" refused bin events 'Too many open files' \
		'events\) gets no more monitor sockets: uid 2 has all the 1 .*max_monitor_sockets'
}

net_up
mkdir "$T/cap" "$T/out"
chmod 777 "$T" "$T/out" # the control socket of a replay is made by nobody
for program in events sick spy; do
	real=$BUILD/tests/monitor/.libs/$program
	[ -e "$real" ] || real=$BUILD/tests/monitor/$program
	cp "$real" "$T/bin/"
done
chmod -R a+rX "$T/bin"
www_make 1M
mkfifo "$T/go"
sharing
net_bridge
fragments_up
check "fragments on a bridge of two engines: nothing is missed" fragments
fragments_down
bridge_up
isolation
authorisation
finish
