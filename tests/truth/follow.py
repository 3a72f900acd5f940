#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""follow.py CAPTURE FLOWS FOLDER [SOME]: has tshark seen the same streams?

FLOWS is what extract --json says of CAPTURE, FOLDER what extract -o writes.  tshark's "follow stream" is another reassembly, by other
people.  Each stream with payload is compared by its ends, its octets and how many are missing.  Status 0: the same; 1: not; 77: there is
no tshark.

What tshark does otherwise, so that its stream is only a part of ours, or parts, in order:

  - a hole that is not acknowledged when the capture ends, and what is behind it, it leaves out; so it does with octets that are
    acknowledged and missing at the end;
  - a hole that is acknowledged it leaves for good: what comes into it later is left out;
  - without a SYN it begins with the number of the first segment it sees, be that empty (what is missing from there is told), or ahead of
    others (which are left out);
  - two connections between the same ends are one to it if the second SYN was missed.  It then misses millions of octets.

Where very much is missing the two may also disagree about what a reset ends, and where a stream begins: SOME streams may differ.

And tshark follows packets that a capture has only a part of: CAPTURE should have none.
"""
import collections
import hashlib
import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys

TWO_IN_ONE = 1 << 16
MISSING = re.compile(rb'\[(\d+) bytes missing in capture file\]\.?\0?')


def run(*args):
    return subprocess.run(('tshark', *args), check=True, capture_output=True, text=True).stdout


def streams(path):
    """Numbers of the streams that have payload."""
    lines = run('-r', path, '-Y', 'tcp.len > 0', '-T', 'fields', '-e', 'tcp.stream')
    return sorted({int(line) for line in lines.split()})


def endpoint(text):
    address, _, port = text.strip().rpartition(':')
    return '%s#%d' % (ipaddress.ip_address(address.strip('[]')), int(port))


def octets(hexes):
    """(octets, missing, missing before the first, the octets between what is missing)."""
    data = bytes.fromhex(''.join(hexes))
    first = MISSING.match(data)
    return MISSING.sub(b'', data), sum(int(n) for n in MISSING.findall(data)), int(first[1]) if first else 0, MISSING.split(data)[::2]


def follow(path):
    """Directions with payload: ((from, to), octets, missing), and of those how many octets are missing at the
    beginning, and what is between the holes."""
    found, leading = collections.Counter(), {}
    numbers = streams(path)
    for at in range(0, len(numbers), 50):
        taps = [arg for n in numbers[at:at + 50] for arg in ('-z', 'follow,tcp,raw,%d' % n)]
        text = run('-q', '-r', path, *taps)
        for part in text.split('Follow: tcp,raw')[1:]:
            lines = part.split('\n')
            nodes = [endpoint(line.split(':', 1)[1]) for line in lines if line.startswith('Node ')]
            body = [line for line in lines[4:] if line and not line.startswith('=')]
            for side, hexes in enumerate(([h for h in body if h[0] != '\t'], [h[1:] for h in body if h[0] == '\t'])):
                data, missing, first, parts = octets(hexes)
                if data or missing:
                    stream = ((nodes[side], nodes[1 - side]), data, missing)
                    found[stream] += 1
                    leading[stream] = first, parts
    return found, leading


def files(folder):
    """What extract has written, by SHA-256."""
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), 'rb') as f:
            data = f.read()
        yield hashlib.sha256(data).hexdigest(), data


def told(path, folder):
    """The same of FLOWS."""
    written = dict(files(folder))
    written[hashlib.sha256(b'').hexdigest()] = b''
    with open(path, encoding='utf-8') as lines:
        for line in lines:
            if not line.startswith('{'):
                continue
            flow = json.loads(line)
            ends = endpoint(flow['client']), endpoint(flow['server'])
            for key, way in (('c2s', ends), ('s2c', ends[::-1])):
                if flow[key]['bytes'] or flow[key]['missed']:
                    yield way, written[flow[key]['sha256']], flow[key]['missed']


def is_part(theirs, ours, first, parts):
    if theirs[0] != ours[0] or len(theirs[1]) + theirs[2] - first > len(ours[1]) + ours[2]:
        return False
    at = 0
    for part in parts:
        at = ours[1].find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def show(who, stream):
    way, data, missing = stream
    print('only %s: %s -> %s: %d octets, %s..., %d missing' % (who, *way, len(data), hashlib.sha256(data).hexdigest()[:12], missing))


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    if shutil.which('tshark') is None:
        print('tshark is not installed')
        return 77
    ours = collections.Counter(told(*sys.argv[2:4]))
    theirs, leading = follow(sys.argv[1])
    same = ours & theirs
    ours, theirs = list((ours - same).elements()), list((theirs - same).elements())
    before = len(theirs)
    for stream in sorted(theirs, key=lambda one: -len(one[1])):
        match = next((one for one in ours if is_part(stream, one, *leading[stream])), None)
        if match is not None:
            ours.remove(match)
            theirs.remove(stream)
    parts = before - len(theirs)
    merged = {stream[0] for stream in theirs if stream[2] >= TWO_IN_ONE}
    theirs = [stream for stream in theirs if stream[0] not in merged]
    known = {stream[0] for stream in theirs}
    ours = [one for one in ours if one[0] not in merged and (one[2] == 0 or one[0] in known)] # else of nothing but a hole and what is behind it
    for stream in ours:
        show('ours', stream)
    for stream in theirs:
        show('tshark', stream)
    print('%d streams are the same, %d of tshark are a part of ours, %d are two in one' % (sum(same.values()), parts, len(merged)))
    some = int(sys.argv[4]) if len(sys.argv) == 5 else 0
    return 1 if max(len(ours), len(theirs)) > some or not same else 0


if __name__ == '__main__':
    sys.exit(main())
