#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""check.py scenes FOLDER | kernel FOLDER: does model.py say what is known, and what tshark says?

scenes: the captures of make.py, against the answers that the scenes give and against tshark.
kernel: the captures of kernel.sh, against what the programs have sent and against tshark.

tshark is asked for each stream's octets (follow).  Where the model's rules and tshark's differ on purpose, OTHERWISE says why,
and that they do differ is checked too.  Its counts of retransmissions, out-of-order and lost segments are heuristics that use
time; they are printed beside the model's, not compared.  Lines are `ok`, `not ok` and `#`; the status is 1 after a `not ok`.
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

import compare
import model
import transfer

CHECKSUMS = ('-o', 'ip.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE', '-o', 'tcp.analyze_sequence_numbers:TRUE')

HOLE = re.compile(rb'\[\d+ bytes missing in capture file\]\.?\0?')     # tshark's words within a stream

OTHERWISE = {
    'acknowledgments': 'it takes text without ACK, which receivers drop',
    'bad_checksums': 'it takes what has bad checksums',
    'fin': 'it takes text behind the FIN',
    'holes': 'it ends a stream at a hole that was never acknowledged',
    'midstream': 'what comes from before the first text does not count',
    'noise': 'it looks into GRE and takes the SYN there for the flow\'s',
    'overlap_islands': 'text that waits behind a hole loses against what fills it',
    'overlaps': 'text that waits behind text loses against what comes before it',
    'reset_outside': 'it takes the text of RSTs',
    'reuse': 'a SYN-ACK with another ISN begins nothing',
    'syn_inside': 'every SYN with another ISN begins a new stream',
    'syn_other': 'every SYN with another ISN begins a new stream, and its text counts',
    'truncated': 'it takes text that was cut short',
    'version6': 'it takes what has a bad checksum',
    'window_huge': 'it ends a stream at a hole that was never acknowledged',
    'window_tiny': 'it takes text beyond the window',
    'mixed': 'all of these',
}

failed = 0


def result(good, name, why=''):
    global failed
    failed += not good
    print('%s check_model: %s%s' % ('ok' if good else 'not ok', name, '' if good else ': ' + why))


def sha(data):
    return hashlib.sha256(data).hexdigest()


# --- tshark ---

def tshark(path, *args):
    done = subprocess.run(('tshark', '-n', '-r', path) + CHECKSUMS + args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=False)
    return done.stdout.decode('latin-1')


def tshark_streams(path, numbers):
    """Counter of ({end: sha256 of what it sent}) of the streams with any octet, ends as (address, port)."""
    ask = [arg for number in numbers for arg in ('-z', 'follow,tcp,raw,%d' % number)]
    streams = collections.Counter()
    for part in tshark(path, '-q', *ask).split('=' * 67 + '\n')[1:]:
        lines = part.split('\n')
        if not lines[0].startswith('Follow:'):
            continue
        ends = [end_of(line.split(': ', 1)[1]) for line in lines[2:4]]
        sent = [bytearray(), bytearray()]
        for line in lines[4:]:
            octets = bytes.fromhex(line.strip())
            if not HOLE.fullmatch(octets):
                sent[line.startswith('\t')] += octets
        if any(sent):
            streams[frozenset((end, sha(octets)) for end, octets in zip(ends, sent))] += 1
    return streams


def end_of(text):
    address, _, port = text.rpartition(':')
    return str(ipaddress.ip_address(address.strip('[]'))), int(port)


def model_streams(flows):
    """The same of the model's flows."""
    streams = collections.Counter()
    for flow in flows:
        if any(stream.text for stream in flow.streams):
            streams[frozenset((end_of(model.name(end)), sha(stream.text))
                              for end, stream in zip(flow.ends, flow.streams))] += 1
    return streams


def tshark_counts(path):
    """(how many streams there are, {what: packets that the analysis calls so})"""
    names = ('retransmission', 'out_of_order', 'lost_segment', 'keep_alive', 'zero_window_probe')
    fields = ['tcp.stream'] + ['tcp.analysis.' + name for name in names]
    out = tshark(path, '-E', 'occurrence=l', '-T', 'fields', *(arg for field in fields for arg in ('-e', field)))
    rows = [line.split('\t') for line in out.split('\n') if line]
    return (max((int(row[0]) + 1 for row in rows if row[0]), default=0),
            {name: sum(row[i] != '' for row in rows) for i, name in enumerate(names, 1)})


def against_tshark(name, path, flows, otherwise=None, without=()):
    """without: ends, of which nothing is compared."""
    numbers, counts = tshark_counts(path)
    expected, actual = (
        collections.Counter({key: n for key, n in streams.items() if frozenset(end for end, _ in key) not in without})
        for streams in (model_streams(flows), tshark_streams(path, range(numbers))))
    same = sum((expected & actual).values())
    total = max(sum(expected.values()), sum(actual.values()))
    if otherwise:
        result(same < total, '%s: tshark differs in %d of %d (%s)' % (name, total - same, total, otherwise), 'but it does not')
    else:
        result(same == total, '%s: %d streams as tshark follows them' % (name, total),
               '%d of the model, %d of tshark, %d the same' % (sum(expected.values()), sum(actual.values()), same))
    ours = {field: sum(getattr(s, field) for f in flows for s in f.streams) for field in ('pkts', 'rexmit', 'ooo', 'missed')}
    print('# %s: model %s; tshark %s' % (name, ours, counts))


# --- scenes ---

def check_scenes(folder):
    for file in sorted(os.listdir(folder)):
        name, kind = os.path.splitext(file)
        if kind != '.pcap':
            continue
        path = os.path.join(folder, file)
        flows = model.flows(path)
        expected = compare.load(os.path.join(folder, name + '.jsonl'), set())
        actual = collections.Counter(compare.flat(flow.result(), set()) for flow in flows)
        result(expected == actual, '%s: %d flows as the scene says' % (name, len(flows)),
               '%d differ' % len(list(compare.pairs(expected, actual))))
        if shutil.which('tshark'):
            against_tshark(name, path, flows, OTHERWISE.get(name))


# --- kernel ---

def check_kernel(folder):
    with open(os.path.join(folder, 'known.jsonl'), encoding='ascii') as f:
        known = [json.loads(line) for line in f]
    for side in ('left', 'right', 'tap'):
        path = os.path.join(folder, side + '.pcap')
        flows = model.flows(path)
        result(len(flows) == len(known), '%s: %d flows' % (side, len(known)), 'found %d' % len(flows))
        by_ends = collections.defaultdict(list)
        for flow in flows:
            by_ends[flow.result()['client'], flow.result()['server']].append(flow)
        wrong = []
        for want in known:      # connections between the same ends are in their order
            queue = by_ends[want['client'], want['server']]
            why = 'no such flow' if not queue else difference(want, queue.pop(0), side == 'tap')
            if why:
                wrong.append('%s -> %s (%s): %s' % (want['client'], want['server'], transfer.PLANS[want['number'] % 1000][0], why))
        result(not wrong, '%s: every flow carries what was sent' % side, '; '.join(wrong[:5]))
        if shutil.which('tshark'):
            against_tshark(side, path, flows, without=incomparable(flows, side == 'tap'))


def incomparable(flows, lossy):
    """Where a reset leaves a hole open, tshark ends the stream.  Where a tap missed the SYN of a later connection between the same
    ends, tshark takes it for the first one."""
    ends = [frozenset(end_of(model.name(end)) for end in flow.ends) for flow in flows]
    without = {pair for pair, flow in zip(ends, flows) if flow.reset and any(stream.missed for stream in flow.streams)}
    return without | {pair for pair in ends if lossy and ends.count(pair) > 1}


def difference(want, flow, lossy):
    """What is wrong about the flow, if anything."""
    got = flow.result()
    if not lossy and got['end'] != want['end']:
        return 'ends with %s, not %s' % (got['end'], want['end'])
    client = flow.opener or 0
    for side, direction, sent in ((client, 'c2s', 0), (1 - client, 's2c', 1)):
        octets, found = transfer.known_octets(want['number'])[sent], flow.streams[side]
        if want[direction] is None:     # a reset cut it off
            if not is_part(found.text, octets):
                return direction + ' is not a part of what was sent'
        elif not lossy and sha(found.text) != want[direction]['sha256']:
            return '%s has %d octets, not %d, or others' % (direction, len(found.text), want[direction]['bytes'])
        elif lossy:
            holes = len(octets if want['end'] == 'FIN' else b'') - len(found.text)
            if found.fin is not None and found.syn_seen and found.missed != holes:    # text in a SYN may be lost with it
                return '%s missed %d, not %d' % (direction, found.missed, holes)
            if found.missed > max(holes, 0) or not is_part(found.text, octets):
                return direction + ' is not what was sent, less holes'
    return None


def is_part(text, octets):
    """Can text be what remains of octets after cutting pieces out?"""
    rest = iter(octets)
    return all(octet in rest for octet in text)


def main():
    checks = {'scenes': check_scenes, 'kernel': check_kernel}
    if len(sys.argv) != 3 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    if not shutil.which('tshark'):
        print('# tshark is not installed: compared with what is known alone')
    checks[sys.argv[1]](sys.argv[2])
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
