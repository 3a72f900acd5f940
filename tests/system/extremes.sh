#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inline monitors on a bridge between two kernels that change lengths as much as may be: in each segment, by more than a frame holds, until nothing
# is left; over a good and a bad wire, over IPv6, at either hook.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/inline_lib.sh
. "$(dirname "$0")/inline_lib.sh"

need python3 nstat

MARKED=$((LONG ? 100 : 10))A

lengths()
{
	inline_conf 0 drop 'deadline_ms = 1000; hold_packets = 16384;'
	stackd_start
	monitor rewrite "$T/bin/rewrite" -m -f "$FILTER"
	check "a byte more in each segment, both ways" duplex "$MARKED" "$MARKED" marks=5000
	check "a byte more in each segment: every one was decided by the monitor" undecided
	stop rewrite INT || true
	monitor rewrite "$T/bin/rewrite" -b 60000 -f "$FILTER"
	check "60,000 bytes before the first one" duplex 5A 5A marks=60000
	stop rewrite INT || true
	monitor rewrite "$T/bin/rewrite" -x -f "$FILTER"
	check "every payload is removed" duplex 5M 5N all=1
	stop rewrite INT || true
	monitor rewrite "$T/bin/rewrite" -r -i 4000 -c 7000 -f "$FILTER"
	check "changed at MOS_HK_RCV" duplex 5M 5N insert=4000,cut=7000
	stop rewrite INT || true
	monitor rewrite "$T/bin/rewrite" -r -x -f "$FILTER"
	check "every payload is removed at MOS_HK_RCV" duplex 5M 5N all=1
	stop rewrite INT || true
	check "no bad checksums" no_bad_checksums
	stackd_stop
}

six()
{
	six_up
	inline_conf 0 drop
	stackd_start
	monitor rewrite "$T/bin/rewrite" -i 4000 -c 7000 -o 1000 -f "$FILTER"
	TO=fd00::2 check "IPv6: 5 MB each way, inserted, removed, overwritten" duplex 5M 5N insert=4000,cut=7000,over=1000
	check "IPv6: no bad checksums" no_bad_checksums
	check "IPv6: every packet was decided by the monitor" undecided
	stop rewrite INT || true
	stackd_stop
}

bad_wire()
{
	wire_bad
	stackd_start
	monitor rewrite "$T/bin/rewrite" -m -f "$FILTER"
	check "over a bad wire, a byte more in each segment" duplex 5A 5A marks=2000
	stop rewrite INT || true
	monitor rewrite "$T/bin/rewrite" -x -f "$FILTER"
	check "over a bad wire, every payload is removed" duplex 5M 5N all=1
	check "over a bad wire, stackd has acknowledged what was removed" counted mon.answered 1
	stop rewrite INT || true
	check "over a bad wire, no bad checksums" no_bad_checksums
	stackd_stop
	wire_good
}

net_up
net_bridge
mkdir -p "$T/www"
head -c 5000000 /dev/urandom >"$T/www/5M"
head -c 5000001 /dev/urandom >"$T/www/5N"
for size in 5A "$MARKED"; do head -c "${size%A}000000" <(base64 -w 0 /dev/urandom) >"$T/www/$size"; done
cp "$BUILD"/tests/monitor/.libs/* "$T/bin/" 2>/dev/null || cp "$BUILD"/tests/monitor/rewrite "$T/bin/"

[ $# -gt 0 ] || set -- lengths bad_wire six
for part in "$@"; do
	"$part"
done
finish
