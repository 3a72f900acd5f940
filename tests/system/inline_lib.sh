# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the tests of inline monitors on a bridge share.  Sourced after lib.sh.

# inline_conf CORES ON_FAILURE [KEYS_OF_CLIENT [KEYS_OF_IN [KEYS_OF_OUT]]]
inline_conf()
{
	bridge_conf "$1" "${4:-}" "${5:-}" "{ user = \"nobody\"; monitor = \"inline\"; on_failure = \"$2\"; ${3:-deadline_ms = 1000;} }"
	echo 'monitor = { time_wait_ms = 200; };' >>"$T/stackd.conf"
}

# monitor_is PID KEY: of stackctl monitors, all contexts of the process together
monitor_is() { ctl monitors --json | jq --argjson p "$1" --arg k "$2" '[.monitors[] | select(.pid == $p) | .[$k]] | add // 0'; }

delivered() { in_client curl -s --max-time 1 -o /dev/null "http://$KERNEL_IP:9/" || [ "$(monitor_is "$1" delivered)" -gt 0 ]; }

# monitor NAME COMMAND...: returns when it sees packets
monitor()
{
	app "$@"
	poll 10 delivered "${PIDS[$1]}" && return
	not_ok "$1" "sees nothing"
	log_show "$1"
	exit 1
}
