# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Captures in $T/cap, replayed by a stackd without privileges to monitors without any, and what they see held against the reference
# model.  Sourced by tests behind lib.sh; net_up makes $T.
# shellcheck disable=SC2034

NOBODY=(setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs)

# replay_of CAPTURE [CORES [REPLAY_KEYS [CLIENT_KEYS [MONITOR_KEYS]]]]: a stackd that reads it, for passive monitors or as RIGHT says.
replay_of()
{
	local keys=${3:-}
	[ -n "$keys" ] || keys='at_end = "exit"; wait_for = 1;'
	cat >"$T/stackd.conf" <<-END
		engines = { cores = [${2:-0}]; };
		ports = ( { name = "cap"; device = "net_pcap0,rx_pcap=$T/cap/$1"; mode = "replay";
		            replay = { $keys }; } );
		control = { socket = "$T/stackd.sock"; };
		monitor = { ${5:-} };
		clients = ( { user = "nobody"; operator = true; monitor = "${RIGHT:-passive}"; ${4:-} } );
	END
	stop stackd || true # one that a test before has left
	spawn stackd "${NOBODY[@]}" "$(real_program stackd)" -c "$T/stackd.conf"
	wait_line 20 "$T/stackd.log" "${PIDS["stackd"]}" '\bready\b'
}

# watcher NAME [PROGRAM...]: extract, or another; a replay waits for it.
watcher()
{
	local name=$1
	shift
	[ $# -gt 0 ] || set -- "$T/bin/extract" --json
	spawn "$name" "${NOBODY[@]}" env LD_LIBRARY_PATH="$T/lib" STACKD_SOCKET="$T/stackd.sock" STACKD_LOSSLESS=1 "$@"
}

# ended NAME...: these and then stackd end by themselves, in order.
ended()
{
	local name
	for name in "$@" stackd; do
		wait_gone 20 "${PIDS[$name]}" || { printf '%s goes on\n' "$name"; cat "$T/stackd.log"; return 1; }
		reap "$name" || { printf '%s returned %s\n' "$name" $?; cat "$T/$name.log" "$T/stackd.log"; return 1; }
	done
}

# as_model CAPTURE NAME [MODEL_OPTION...]: it has seen what the reference model says.
as_model()
{
	local capture=$1 name=$2
	shift 2
	[ -e "$T/$capture.model" ] || python3 -B "$TOP/tests/truth/model.py" "$@" "$T/cap/$capture" >"$T/$capture.model" || return
	grep -q '"end"' "$T/$capture.model" || { printf 'the model knows no flow\n'; return 1; }
	python3 -B "$TOP/tests/truth/compare.py" "$T/$capture.model" "$T/$name.log"
}
