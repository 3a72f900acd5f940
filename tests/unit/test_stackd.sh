#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What stackd says when it cannot begin: about its options, its configuration, its ports.
set -u
stackd=./stackd/stackd
t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT
failed=0

# says STATUS TEXT ARGUMENT...: it ends so, and has said this
says()
{
	local status=$1 text=$2 rc=0
	shift 2
	"$stackd" "$@" >"$t/out" 2>&1 </dev/null || rc=$?
	if [ "$rc" != "$status" ] || ! grep -qF -- "$text" "$t/out"; then
		printf 'FAIL: stackd %s: status %s, not %s with "%s"\n' "$*" "$rc" "$status" "$text"
		cat "$t/out"
		failed=1
	fi
}

replay() { printf 'ports = ( { name = "cap"; device = "net_pcap0,rx_pcap=%s"; mode = "replay"; } );\ncontrol = { socket = "%s/sock"; };\n' "$1" "$t"; }

replay "$t/missing.pcap" >"$t/missing.conf"
echo 'this is no capture, though it is long enough to be one' >"$t/text.pcap"
replay "$t/text.pcap" >"$t/text.conf"

says 0 'usage: stackd -c FILE' --help
says 2 'no configuration is named: stackd -c FILE'
says 2 "stackd -c $t/missing.conf" "$t/missing.conf"
says 2 '"more" belongs to no option' -c "$t/missing.conf" more
says 2 'usage: stackd -c FILE' --no-such-option
says 1 "$t/none.conf: cannot be read: No such file or directory" -c "$t/none.conf"
says 1 "stackd cannot start: port cap (net_pcap0,rx_pcap=$t/missing.pcap) cannot be opened: No such file or directory" -c "$t/missing.conf"
says 1 "stackd cannot start: port cap (net_pcap0,rx_pcap=$t/text.pcap) cannot be opened: Invalid argument" -c "$t/text.conf"
exit "$failed"
