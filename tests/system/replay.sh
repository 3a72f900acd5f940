#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Captures replayed by a stackd without privileges: nobody, in a folder of nobody's.  What monitors see of them is what the reference model
# says, in both file formats, by one engine and by two, however slow a monitor is; and the end of a file is the end.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/replaying.sh
. "$(dirname "$0")/replaying.sh"

need nginx tcpdump editcap python3

# captured: curl's connections over a veth, as tcpdump sees them; the sender leaves checksums to its port.
captured()
{
	ip -n "$NSD" address add "$STACK_IP/24" dev s0
	spawn tcpdump ip netns exec "$NSK" tcpdump -Z root -i k0 --immediate-mode -U -B 32768 -w "$T/cap/real.pcap"
	wait_line 10 "$T/tcpdump.log" "${PIDS["tcpdump"]}" 'listening on'
	nginx_start
	for file in 1B 1B 64K 64K 1M; do
		ip netns exec "$NSD" curl -sS --fail -o /dev/null "http://$KERNEL_IP:8080/$file"
	done
	ip netns exec "$NSD" ping -q -c 1 -s 3000 "$KERNEL_IP" >/dev/null
	poll 10 echoed
	stop tcpdump INT
	stop nginx
}

# The capture has the answer to the ping, and so all that was before it.
echoed() { tcpdump -nr "$T/cap/real.pcap" 'icmp[icmptype] == icmp-echoreply' 2>/dev/null | grep -q .; }

# replayed CAPTURE [CORES [REPLAY_KEYS [CLIENT_KEYS]]]
replayed()
{
	replay_of "$@" || return
	watcher extract
	ended extract && as_model "$1" extract
}

# Checksums that were left open count as right; the model, which has them completed, says what is in the flows.
partial()
{
	replay_of real.pcap && watcher extract && ended extract || return
	grep -q 'leaves checksums to a port' "$T/stackd.log" || { cat "$T/stackd.log"; return 1; }
	python3 -B "$TOP/tests/truth/compare.py" "$T/whole.pcap.model" "$T/extract.log"
}

# two: the replay begins when the second is there, and both see the same.
two()
{
	replay_of whole.pcap 0 'at_end = "exit"; wait_for = 2;' || return
	watcher first
	wait_line 10 "$T/stackd.log" "${PIDS["stackd"]}" "extract, pid ${PIDS["first"]}, .*is attached"
	! wait_line 1 "$T/stackd.log" "${PIDS["stackd"]}" 'capture has been read' || { printf 'it did not wait\n'; return 1; }
	watcher second
	ended first second && as_model whole.pcap first && as_model whole.pcap second
}

begun() { [ "$(counter mon.packets)" -gt 0 ]; }

# A monitor that stops holds the replay up; when it dies the replay goes on.
stopped()
{
	replay_of seconds.pcap 0 'speed = "real"; at_end = "exit"; wait_for = 2;' 'monitor_ring = 64;' || return
	watcher first
	watcher second
	poll 10 begun || return
	kill -STOP "${PIDS["second"]}"
	! wait_line 3 "$T/stackd.log" "${PIDS["stackd"]}" 'capture has been read' || { printf 'it did not wait\n'; return 1; }
	kill -KILL "${PIDS["second"]}"
	reap second || true
	ended first && as_model seconds.pcap first
}

all_told() { [ "$(wc -l <"$T/extract.log")" = "$(wc -l <"$T/whole.pcap.model")" ]; }

# stays: without at_end = "exit" flows end, and stackd goes on.
stays()
{
	replay_of whole.pcap 0 'at_end = "stay"; wait_for = 1;' || return
	watcher extract
	wait_line 10 "$T/stackd.log" "${PIDS["stackd"]}" 'capture has been read' || return
	poll 10 all_told || return
	alive stackd && alive extract || return
	[ "$(counter mon.flows_ended)" = "$(counter mon.flows)" ] || return
	stop extract INT || return
	stop stackd && as_model whole.pcap extract
}

# In real time a capture of so many microseconds takes no less.
real_time()
{
	local begin=${EPOCHREALTIME/./}
	replayed seconds.pcap 0 'speed = "real"; at_end = "exit"; wait_for = 1;' || return
	[ $((${EPOCHREALTIME/./} - begin)) -ge 1500000 ]
}

cut_short() { replayed short.pcap && grep 'the capture ends here: truncated' "$T/stackd.log"; }

garbage()
{
	local rc=0
	! replay_of garbage.pcap || return
	reap stackd || rc=$?
	[ "$rc" = 1 ] && grep 'cannot be read: unknown file format' "$T/stackd.log"
}

# ./run replay: as nobody, with a program named as it is built; its output and its status.
by_run()
{
	local rc=0
	mkdir -p "$T/tmp"
	chmod 777 "$T/tmp"
	# what nobody may not look into, root must do
	if "${NOBODY[@]}" test -x "$(real_program stackd)" -a -x "$BUILD/examples/extract"; then set -- "${NOBODY[@]}"; else set --; fi
	"$@" env TMPDIR="$T/tmp" "$TOP/run" replay "$T/cap/whole.pcap" examples/extract --json >"$T/run.log" </dev/null || return
	as_model whole.pcap run || return
	"$@" env TMPDIR="$T/tmp" "$TOP/run" replay --inline "$T/cap/whole.pcap" examples/extract --json >"$T/held.log" </dev/null || return
	as_model whole.pcap held || return
	"$@" env TMPDIR="$T/tmp" "$TOP/run" replay "$T/cap/whole.pcap" sh -c 'exit 7' </dev/null || rc=$?
	[ "$rc" = 7 ] && rmdir "$T/tmp"
}

# A signal ends ./run replay, whatever its program does.
by_signal()
{
	local rc=0
	mkdir -p "$T/tmp"
	spawn run env TMPDIR="$T/tmp" "$TOP/run" replay "$T/cap/whole.pcap" sh -c 'echo "program $$"; exec tail -f /dev/null'
	wait_line 10 "$T/run.log" "${PIDS["run"]}" '^program ' || return
	stop run TERM || rc=$?
	[ "$rc" = 143 ] && rmdir "$T/tmp" && ! kill -0 "$(sed -n 's/^program //p' "$T/run.log")" 2>/dev/null
}

net_up
mkdir "$T/cap"
chmod 777 "$T" # the control socket is made by nobody
www_make 1B 64K 1M
captured
cat >"$T/make.py" <<'END'
"""Of FOLDER/real.pcap: whole.pcap (checksums completed), seconds.pcap (its times stretched to 1.5 s), short.pcap, garbage.pcap."""
import struct
import sys

folder = sys.argv[1] + '/'
data = open(folder + 'real.pcap', 'rb').read()
head, at, records = data[:24], 24, []
while at + 16 <= len(data):
    sec, usec, caplen, length = struct.unpack('<IIII', data[at:at + 16])
    records.append([sec * 1000000 + usec, length, data[at + 16:at + 16 + caplen]])
    at += 16 + caplen


def total(data):
    data += b'\0' * (len(data) % 2)
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return s


def completed(frame):
    if frame[12:14] != b'\x08\0' or frame[23] != 6:
        return frame
    tcp = frame[34:]
    pseudo = frame[26:34] + struct.pack('!HH', 6, len(tcp))
    if struct.pack('!H', total(pseudo)) != tcp[16:18]:
        return frame
    return frame[:50] + struct.pack('!H', ~total(tcp) & 0xffff) + frame[52:]


def write(name, records):
    with open(folder + name, 'wb') as f:
        f.write(head)
        for when, length, frame in records:
            f.write(struct.pack('<IIII', when // 1000000, when % 1000000, len(frame), length) + frame)


whole = [(when, length, completed(frame)) for when, length, frame in records]
assert whole != [tuple(r) for r in records], 'no checksum was left open'
write('whole.pcap', whole)
first, span = whole[0][0], whole[-1][0] - whole[0][0]
write('seconds.pcap', [(first + (when - first) * 1500000 // span, length, frame) for when, length, frame in whole])
data = open(folder + 'whole.pcap', 'rb').read()
open(folder + 'short.pcap', 'wb').write(data[:len(data) * 2 // 3])
open(folder + 'garbage.pcap', 'wb').write(bytes(range(256)) * 100)
END
python3 -B "$T/make.py" "$T/cap"
editcap -F pcapng "$T/cap/whole.pcap" "$T/cap/whole.pcapng"
chmod a+r "$T"/cap/*

check "a capture of the kernel's TCP" replayed whole.pcap
check "two engines" replayed whole.pcap '0, 1'
check "pcapng" replayed whole.pcapng
check "a monitor with a small ring" replayed whole.pcap 0 '' 'monitor_ring = 64;'
check "checksums that were left open" partial
check "two monitors" two
check "a monitor that stops and dies" stopped
check "at the end stackd stays" stays
check "in real time" real_time
check "a file that is cut short" cut_short
check "a file that is none" garbage
check "./run replay" by_run
check "./run replay ended by a signal" by_signal
finish
