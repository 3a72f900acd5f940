#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# follow.sh [FOLDER]: the streams of captures as monitors see them, and as tshark does: of the kernel's own TCP over a bad wire, and of the same as a tap would have
# it that loses, reorders or cuts frames.  FOLDER has what kernel.sh has made; else it is made.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replaying.sh
. "$(dirname "$0")/replaying.sh"

need python3 tcpdump tshark editcap

KEYS='idle_timeout_s = 31536000; time_wait_ms = 86400000; max_flows = 65536;'

# followed CAPTURE [CORES [SOME]]: SOME streams may differ
followed()
{
	local folder="$T/streams-$1-${2:-0}"
	mkdir -m 777 "$folder"
	replay_of "$1" "${2:-0}" '' '' "$KEYS" || return
	watcher extract "$T/bin/extract" --json -o "$folder"
	ended extract || return
	python3 -B "$TOP/tests/truth/follow.py" "$T/cap/$1" "$T/extract.log" "$folder" "${3:-0}" >"$T/follow.out" || { cat "$T/follow.out"; return 1; }
	note "$1: $(tail -n 1 "$T/follow.out")" >&3
}

# cut SIZE: left.pcap with frames of at most so many bytes; those that were longer are none, to us
cut()
{
	editcap -F pcap -s "$1" "$T/cap/left.pcap" "$T/cap/cut.pcap" || return
	tshark -r "$T/cap/cut.pcap" -Y 'frame.cap_len == frame.len' -F pcap -w "$T/cap/whole$1.pcap" || return
	chmod a+r "$T"/cap/*.pcap
}

# made: on a busy machine tcpdump may lose frames; then once more
made() { "$TOP/tests/truth/kernel.sh" "$T/cap/kernel" || "$TOP/tests/truth/kernel.sh" "$T/cap/kernel"; }

net_up
mkdir "$T/cap"
chmod 777 "$T" # the control socket is made by nobody
exec 3>&1
if [ $# -gt 0 ]; then
	cp "$1"/{left,right,tap}.pcap "$T/cap/"
else
	check "a capture of the kernel's TCP is made" made
	mv "$T"/cap/kernel/{left,right,tap}.pcap "$T/cap/"
fi
thin() { python3 -B "$TOP/tests/truth/thin.py" "$T/cap/left.pcap" "$T/cap/$1.pcap" "${@:2}"; }
thin sparse 0.2 7
thin late 0 3 0.1
thin both 0.05 5 0.1
chmod a+r "$T"/cap/*.pcap
for capture in left right; do
	check "$capture" followed "$capture.pcap"
done
# where a tap loses or delivers late, streams that were joined in the middle begin elsewhere, and ports that are used again divide
# otherwise; the reference model says what is right there (truth.sh)
for capture in tap late sparse both; do
	check "$capture" followed "$capture.pcap" 0 6
done
check "right, two engines" followed right.pcap '0, 1'
check "frames are cut" cut 200
check "cut to 200 bytes" followed whole200.pcap 0 6
finish
