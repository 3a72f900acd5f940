#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inline monitors that fail, under on_failure = "pass" and under "drop": what becomes of the traffic, what is counted, and that all is well
# again afterwards.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/inline_lib.sh
. "$(dirname "$0")/inline_lib.sh"

need nginx

SERVER=http://$KERNEL_IP:8080
declare -A BEFORE=()

# note_counters: what they are now
note_counters()
{
	local name
	for name in mon.by_{ring,deadline,death,budget,nonsense,breaker} mon.breaker_opened mon.dropped; do BEFORE[$name]=$(counter "$name"); done
}

# is NAME == | ">=" NUMBER: a counter of stackd's, since then
is()
{
	local n
	n=$(($(counter "$1") - ${BEFORE[$1]}))
	printf '%s: %s, should be %s %s\n' "$1" "$n" "$2" "$3"
	if [ "$2" = '==' ]; then [ "$n" = "$3" ]; else [ "$n" -ge "$3" ]; fi
}

get() { in_client curl -sS --fail --max-time "${2:-20}" -o "$T/got" "$SERVER/$1"; }

same()
{
	get "$1" "${2:-20}" || return
	[ "$(sha_of "$T/got")" = "$(sha_of "$T/www/$1")" ]
}

# fails NAME: nothing comes within a second
fails() { ! get "$1" 1; }

holds() { [ "$(monitor_is "${PIDS[act]}" held)" -gt 0 ]; }
gone() { ctl monitors --json && [ "$(ctl monitors --json | jq '[.monitors[] | select(.state == "live")] | length')" = 0 ]; }

# opened: the breaker, by another connection that fails
opened() { ! get 1B 1 && is mon.breaker_opened '>=' 1; }
passed_over() { ! get 1B 0.3 && is mon.by_breaker '>=' 1; }
is_free() { ! holds; }

# closed: the breaker; a transfer that the monitor decides alone
closed()
{
	local before
	before=$(counter mon.by_breaker)
	same 1M 5 && [ "$(counter mon.by_breaker)" = "$before" ]
}

# --- One cause after the other --------------------------------------------------------------------------------------------------

# forced POLICY: each cause once, by order of the operator.  What is dropped is sent again by its sender.
forced()
{
	local cause id
	inline_conf 0 "$1"
	stackd_start
	monitor act "$T/bin/act"
	id=$(ctl monitors --json | jq '.monitors[0].id')
	for cause in ring deadline death budget nonsense breaker; do
		note_counters
		ctl fault "$id" "$cause" 1
		check "$1, $cause forced: the transfer comes to its end" same 1M
		check "$1, $cause forced: counted once" is "mon.by_$cause" == 1
		check "$1, $cause forced: dropped or not" is mon.dropped == $(($([ "$1" = drop ] && echo 1 || echo 0)))
		check "$1, $cause forced: so stackctl monitors says" [ "$(monitor_is "${PIDS[act]}" "by_$cause")" = 1 ]
	done
	stop act INT || true
	stackd_stop
}

# --- A monitor that stands still -----------------------------------------------------------------------------------------------

# stopped POLICY: SIGSTOP; deadlines are missed, the breaker opens; SIGCONT, and it closes again
stopped()
{
	inline_conf 0 "$1" 'deadline_ms = 20;'
	stackd_start
	monitor act "$T/bin/act"
	check "$1: a transfer" same 1M
	note_counters
	kill -STOP "${PIDS[act]}"
	if [ "$1" = pass ]; then
		check "$1, stopped: traffic goes on" same 1M
	else
		check "$1, stopped: nothing comes through" fails 1M
		# the breaker takes as many deadlines as it does, one by one
		poll 20 opened
		check "$1, stopped: counted as dropped" is mon.dropped '>=' 8
	fi
	check "$1, stopped: deadlines were missed" is mon.by_deadline '>=' 8
	check "$1, stopped: the breaker has opened" is mon.breaker_opened '>=' 1
	if [ "$1" = pass ]; then
		check "$1, stopped: it was passed over" is mon.by_breaker '>=' 1
	else
		check "$1, stopped: it was passed over, and still nothing comes through" poll 20 passed_over
	fi
	kill -CONT "${PIDS[act]}"
	check "$1, continued: the breaker closes again" poll 20 closed
	check "$1, continued: verdicts that came too late are counted" [ "$(monitor_is "${PIDS[act]}" stale)" -ge 1 ]
	check "$1, continued: nothing is held any more" poll 5 is_free
	stop act INT || true
	stackd_stop
}

# --- A monitor that dies ------------------------------------------------------------------------------------------------------

# killed POLICY: while packets wait for it
killed()
{
	inline_conf 0 "$1" 'deadline_ms = 1000;'
	stackd_start
	monitor act "$T/bin/act"
	note_counters
	kill -STOP "${PIDS[act]}"
	spawn curl ip netns exec "$NSC" curl -sS --fail --max-time 20 -o "$T/got" "$SERVER/1M"
	check "$1, killed: packets wait for it" poll 5 holds
	kill -KILL "${PIDS[act]}"
	reap act || true
	check "$1, killed: stackd has taken everything back" poll 5 gone
	check "$1, killed: the transfer comes to its end" reap curl
	check "$1, killed: the right bytes" [ "$(sha_of "$T/got")" = "$(sha_of "$T/www/1M")" ]
	check "$1, killed: counted" is mon.by_death '>=' 1
	if [ "$1" = drop ]; then
		check "$1, killed: what it held was dropped" is mon.dropped '>=' 1
	else
		check "$1, killed: what it held has passed" is mon.dropped == 0
	fi
	stackd_stop
}

net_up
net_bridge
www_make 1B 1M
nginx_start
cp "$BUILD"/tests/monitor/.libs/* "$T/bin/" 2>/dev/null || cp "$BUILD"/tests/monitor/act "$T/bin/"

[ $# -gt 0 ] || set -- forced stopped killed
for part in "$@"; do
	for policy in pass drop; do "$part" "$policy"; done
done
finish
