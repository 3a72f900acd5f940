#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# rows.sh [GROUP [NAME]]: what the monitor calls promise, row by row (tests/monitor/rows.h), against a stackd that replays a capture.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replaying.sh
. "$(dirname "$0")/replaying.sh"

need python3

# group NAME MONITOR_KEYS CLIENT_KEYS [ROW]: the rows of a group, at once.
group()
{
	local name=$1 monitor=$2 client=$3 socks
	shift 3
	socks=$(LD_LIBRARY_PATH="$T/lib" "$T/bin/rows" --sockets "$name" "$@")
	replay_of rows.pcap "$CORES" "at_end = \"exit\"; wait_for = $socks;" "max_monitor_sockets = 64; $client" "$monitor" || return
	watcher rows "$T/bin/rows" "$name" "$T/cap/scenes" "$@"
	ended rows
}

# rows GROUP MONITOR_KEYS CLIENT_KEYS [ROW]: their lines are the test's.
rows()
{
	check "group $1 runs to the end of the capture" group "$@"
	[ -e "$T/rows.log" ] || return 0
	FAILED+=$(grep -c '^not ok ' "$T/rows.log" || true)
	cat "$T/rows.log"
}

# documented: the last table of doc/monitoring.md names every row, and nothing else.
documented()
{
	LD_LIBRARY_PATH="$T/lib" "$T/bin/rows" --list >"$T/list" || return
	python3 -B - "$TOP/doc/monitoring.md" "$T/list" <<-'END'
		import re
		import sys

		table = open(sys.argv[1], encoding='utf-8').read().split('## What holds')[1]
		names = re.findall(r'`([a-z]+: [^`]+)`', table)
		rows = open(sys.argv[2], encoding='utf-8').read().splitlines()
		wrong = [row for row in rows if not any(row.startswith(name) for name in names)]
		wrong += [name for name in names if not any(row.startswith(name) for row in rows)]
		print('\n'.join(wrong))
		sys.exit(len(wrong) > 0)
	END
}

# again CORES GROUP MONITOR_KEYS CLIENT_KEYS: the same with other engines; what is told once a burst differs, so not for all groups.
again()
{
	local rc=0
	CORES=$1
	shift
	group "$@" || rc=$?
	CORES=0
	! grep -A 20 '^not ok ' "$T/rows.log" && return "$rc"
}

CORES=0
KEYS='time_wait_ms = 1000; idle_timeout_s = 60;'

net_up
mkdir "$T/cap"
chmod 777 "$T" # the control socket is made by nobody
cp "$BUILD/tests/monitor/.libs/rows" "$T/bin/" 2>/dev/null || cp "$BUILD/tests/monitor/rows" "$T/bin/"
chmod -R a+rX "$T/bin"
python3 -B "$TOP/tests/monitor/rows.py" "$T/cap"
[ $# -gt 0 ] || check "doc/monitoring.md lists them" documented
for name in ${1:-event order stream small own life few engines packet inline edit}; do
	keys=$KEYS RIGHT=passive client=''
	[[ $name != inline && $name != edit ]] || RIGHT=inline client='on_failure = "drop"; deadline_ms = 1000;'
	[ "$name" != small ] || keys="$KEYS buffer_max = 16384;"
	[ "$name" != few ] || keys="$KEYS max_flows = 64;"
	if [ "$name" = engines ]; then CORES='0, 1'; else CORES=0; fi
	rows "$name" "$keys" "$client" ${2:+"$2"}
	[[ ! own:packet:inline:edit =~ $name ]] || check "group $name, two engines" again '0, 1' "$name" "$keys" "$client" ${2:+"$2"}
done
finish
