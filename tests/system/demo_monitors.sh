# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154
#
# The part of ./run demo with three monitors, of three users, on one bridge.  Sourced after demo.sh.

# told NAME: what a program has said, as part of the story
told() { sed "s/^/   $1 | /"; }

# expect WHAT COMMAND...: what the demo claims has to be so
expect()
{
	local what=$1
	shift
	"$@" >/dev/null 2>&1 || not_ok "$what" "it is not so"
}

monitor_is() { ctl monitors --json | jq --argjson p "${PIDS[$1]}" --arg k "$2" '[.monitors[] | select(.pid == $p) | .[$k]] | add // 0'; }
hears() { through -o /dev/null "$(web_url 1B)" && [ "$(monitor_is "$1" delivered)" -gt 0 ]; }

# All three see connections, from the first packet to the last.
demo_monitors_up()
{
	local name
	spawn flowstat "$T/monitor" "$FLOWSTAT_UID" flowstat --log
	spawn match "$T/monitor" "$MATCH_UID" match "$T/patterns"
	spawn firewall "$T/monitor" "$FIREWALL_UID" firewall "$T/rules"
	for name in flowstat match firewall; do
		poll 10 hears "$name" && continue
		not_ok "$name" "hears nothing"
		log_show "$name"
		exit 1
	done
	wait_line 10 "$T/flowstat.log" "${PIDS[flowstat]}" '^end '
	say "   flowstat: user $FLOWSTAT_UID, pid ${PIDS[flowstat]}, passive; match: user $MATCH_UID, pid ${PIDS[match]}, passive;"
	say "   firewall: user $FIREWALL_UID, pid ${PIDS[firewall]}, inline: packets wait for it"
}

# flow_told PORT: flowstat has told of a connection from there, to its end
flow_told()
{
	wait_line 10 "$T/flowstat.log" "${PIDS[flowstat]}" "^end +$CLIENT_IP:$1 >"
	grep -F " $CLIENT_IP:$1 >" "$T/flowstat.log"
}

demo_life()
{
	local port
	port=$(through -o "$T/got" -w '%{local_port}' "$(web_url 1M)")
	say "   a flow's life: curl $(web_url 1M) through the bridge"
	flow_told "$port" >"$T/life" || true
	told flowstat <"$T/life"
	expect "the file that came through the bridge" cmp "$T/got" "$T/www/1M"
	expect "flowstat: the beginning" grep -q '^begin ' "$T/life"
	expect "flowstat: the connection" grep -q ' ESTABLISHED ESTABLISHED$' "$T/life"
	expect "flowstat: the end" grep -qE '^end .* 10[0-9]{5} bytes' "$T/life"
}

# A request in two writes; the second when the server has acknowledged the first.  Prints the client's port and the answer's first line.
split_request()
{
	# shellcheck disable=SC2016
	in_client timeout 10 bash -c '
		exec 3<>"/dev/tcp/$1/80"
		mine() { ss -Htni state established dst "$1"; }
		printf "GET /1B HTTP/1.0\r\nX-Note: attack at " >&3
		until mine "$1" | grep -q "bytes_acked:37 "; do sleep 0.02; done
		mine "$1" | sed -nE "1s/.*:([0-9]+) +[0-9.]+:80 *$/\1/p"
		printf "dawn\r\n\r\n" >&3
		head -n 1 <&3' split "$WEB_IP"
}

demo_match()
{
	local port='' answer=''
	{ read -r port && read -r answer; } < <(split_request) || true
	say "   \"attack at \" in one segment, \"dawn\" in another; match looks at the stream, not at packets:"
	wait_line 10 "$T/match.log" "${PIDS[match]}" "\"client\":\"$CLIENT_IP:${port:-0}\"" || true
	grep -F "\"$CLIENT_IP:${port:-0}\"" "$T/match.log" | told match || true
	expect "match: one alert" [ "$(grep -cF "\"client\":\"$CLIENT_IP:${port:-0}\"" "$T/match.log")" = 1 ]
	expect "match: its pattern" grep -qF '"from":"client","end":40,"pattern":"attack at dawn"' "$T/match.log"
	expect "the answer to the split request" [ "${answer:0:12}" = 'HTTP/1.1 200' ]
}

# unanswered: what the firewall drops
unanswered()
{
	local rc=0
	in_client curl -sS --max-time 1 -o /dev/null "$(web_url 1B 8080)" 2>/dev/null || rc=$?
	[ "$rc" = 28 ]
}

demo_firewall()
{
	local before
	before=$(grep -c '^DROP' "$T/firewall.log" || true)
	expect "firewall: port 8080 is closed" unanswered
	say "   curl $(web_url 1B 8080), which the firewall's rule names: no answer${1:-}"
	grep '^DROP' "$T/firewall.log" | tail -n 1 | told firewall || true
	expect "firewall: has told of it" [ "$(grep -c '^DROP' "$T/firewall.log")" = $((before + 1)) ]
}

monitor_gone() { ctl monitors --json | jq -e --argjson p "$1" 'any(.monitors[]; .pid == $p and .state == "gone")'; }

demo_death()
{
	local port rc=0 victim=${PIDS[match]}
	spawn load in_client curl -sS --fail --max-time 30 --limit-rate 50M -o "$T/got" -w '%{local_port}\n' "$(web_url 100M)"
	poll 5 test -s "$T/got"
	kill -KILL "$victim"
	reap match || true
	expect "match is gone" poll 5 monitor_gone "$victim"
	expect "the download goes on" alive load
	say "   kill -9 $victim: match is gone in the middle of a download"
	demo_firewall ", as before"
	reap load || rc=$?
	port=$(tail -n 1 "$T/load.log")
	flow_told "$port" | grep '^end' | told flowstat || true
	expect "curl during the kill" [ "$rc" = 0 ]
	expect "the bytes of that download" cmp "$T/got" "$T/www/100M"
	expect "flowstat during the kill" grep -qE "^end +$CLIENT_IP:${port:-0} >" "$T/flowstat.log"
}

# offered = delivered + filtered + lost, for each
conserved() { ctl monitors --json | jq -e '(.monitors | length == 3) and all(.monitors[]; .offered == .delivered + .filtered + .lost)'; }

demo_monitors_table()
{
	local row='   %-9s %6s %-8s %-5s %9s %9s %9s %5s %6s %6s\n'
	# shellcheck disable=SC2059
	printf "$row" '' user mode state offered delivered filtered lost passed dropped
	# shellcheck disable=SC2059
	ctl monitors --json | jq -r '.monitors[] | [.name, .user, .mode, .state, .offered, .delivered, .filtered, .lost, .pass, .drop] | @tsv' |
		while IFS=$'\t' read -r -a cell; do printf "$row" "${cell[@]}"; done
	ctl monitors --json | jq -r '.groups[] | "   one reassembly for all: \(.flows) flows now, \(.chunks_used * 4) KiB of streams; events of " +
		"a monitor: offered = delivered + filtered + lost"'
	say "   bridged: $(counter mon.forwarded) frames, $(counter mon.dropped) dropped"
	expect "offered = delivered + filtered + lost" conserved
	expect "one group" [ "$(ctl monitors --json | jq '.groups | length')" = 1 ]
}

demo_monitors()
{
	step "three monitors, three users, one bridge"
	demo_monitors_up
	demo_life
	demo_match
	demo_firewall
	demo_death
}
