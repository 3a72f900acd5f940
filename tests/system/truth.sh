#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a monitor sees of a capture is what the reference model says, to the last byte and count: of captures made by hand, evasions
# among them, and of the kernel's own TCP over a wire that loses, reorders and duplicates, seen from either side and by a tap that
# loses on its own.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replaying.sh
. "$(dirname "$0")/replaying.sh"

need python3 tcpdump

# The model has no timeouts.
KEYS='idle_timeout_s = 31536000; time_wait_ms = 86400000; max_flows = 65536;'

# true_of CAPTURE [CORES [MODEL_OPTION...]]
true_of()
{
	local capture=$1 cores=${2:-0}
	shift $(($# < 2 ? $# : 2))
	replay_of "$capture" "$cores" '' '' "$KEYS" || return
	watcher extract
	ended extract && as_model "$capture" extract "$@"
}

# The answers are the model's, and those that the scenes themselves give.
scenes() { true_of mixed.pcap "$1" && python3 -B "$TOP/tests/truth/compare.py" "$T/cap/mixed.jsonl" "$T/extract.log"; }

kernel()
{
	for side in left right tap; do
		mv "$T/cap/kernel/$side.pcap" "$T/cap/" && chmod a+r "$T/cap/$side.pcap" || return
	done
}

# On a busy machine tcpdump may lose frames: the capture is not what happened then, and is made anew.
made()
{
	for _ in 1 2 3; do
		"$TOP/tests/truth/kernel.sh" "$T/cap/kernel" && return
	done
	return 1
}

# left.pcap with a pause of ten minutes after every 100 packets: in ./run replay silence ends no flow.
paused()
{
	PYTHONPATH="$TOP/tests/truth" python3 -B - "$T/cap/left.pcap" "$T/cap/paused.pcap" <<-'END' || return
		import sys
		import capture
		pause = 600 * 10**9
		frames = list(capture.read(sys.argv[1]))
		capture.write(sys.argv[2], [(ts + pause * (i // 100), frame) for i, (ts, _, frame) in enumerate(frames)])
	END
	"$TOP/run" replay "$T/cap/paused.pcap" examples/extract --json >"$T/paused.log" </dev/null && as_model left.pcap paused
}

net_up
mkdir "$T/cap"
chmod 777 "$T" # the control socket is made by nobody
python3 -B "$TOP/tests/truth/make.py" "$T/cap"
check "all scenes at once" scenes 0
check "all scenes at once, two engines" scenes '0, 1'
check "fragments that overlap" true_of fragments_overlap.pcap 0 --frag-overlap drop
if ((LONG)); then
	for capture in "$T"/cap/*.pcap; do
		capture=${capture##*/}
		case $capture in mixed.pcap|fragments_overlap.pcap) continue ;; esac
		check "scene ${capture%.pcap}" true_of "$capture"
	done
fi
check "a capture of the kernel's TCP is made" made
check "it has three sides" kernel
for side in left right tap; do
	check "the kernel's TCP, $side" true_of "$side.pcap"
done
check "the kernel's TCP, left, two engines" true_of left.pcap '0, 1'
check "./run replay of it, with pauses" paused
finish
