#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""compare.py [--ignore FIELD,...] [--show N] EXPECTED ACTUAL: are the flows of two JSON-lines files the same?

The files are compared as multisets: order does not matter, number does.  Addresses may be written in any way.  Flows that differ are
paired by their addresses, the most similar first, and shown field by field.  FIELD is end, or pkts, bytes, sha256, missed, rexmit,
ooo of both directions, or c2s.ooo of one.  - is standard input.  Status 0: the same; 1: not; 2: a file cannot be read.
"""
import argparse
import collections
import ipaddress
import json
import sys

FIELDS = ('pkts', 'bytes', 'sha256', 'missed', 'rexmit', 'ooo')
DIRECTIONS = ('c2s', 's2c')


def endpoint(text):
    address, _, port = text.rpartition(':')
    return '%s#%d' % (ipaddress.ip_address(address.strip('[]')), int(port))


def flat(flow, ignored):
    """A flow as a tuple of (field, value), addresses first."""
    fields = [('client', endpoint(flow['client'])), ('server', endpoint(flow['server']))]
    if 'end' not in ignored:
        fields.append(('end', flow['end']))
    for direction in DIRECTIONS:
        for field in FIELDS:
            if field not in ignored and direction + '.' + field not in ignored:
                fields.append((direction + '.' + field, flow[direction][field]))
    return tuple(fields)


def load(path, ignored):
    """The flows of a file, counted."""
    flows = collections.Counter()
    with sys.stdin if path == '-' else open(path, encoding='utf-8') as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                flows[flat(json.loads(line), ignored)] += 1
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError('%s:%d: not a flow: %s: %s' % (path, number, type(error).__name__, error)) from error
    return flows


def ends(flow):
    return frozenset((flow[0][1], flow[1][1]))


def likeness(one, other):
    return sum(a == b for a, b in zip(one, other))


def pairs(expected, actual):
    """Differing flows side by side: (expected or None, actual or None)."""
    by_ends = collections.defaultdict(lambda: ([], []))
    for side, flows in enumerate((expected - actual, actual - expected)):
        for flow in flows.elements():
            by_ends[ends(flow)][side].append(flow)
    for want, got in by_ends.values():
        while want and got:
            best = max(((w, g) for w in want for g in got), key=lambda pair: likeness(*pair))
            want.remove(best[0])
            got.remove(best[1])
            yield best
        yield from ((flow, None) for flow in want)
        yield from ((None, flow) for flow in got)


def title(flow):
    return '%s -> %s' % (flow[0][1], flow[1][1])


def show(want, got):
    if got is None:
        print('missing: %s: %s' % (title(want), ' '.join('%s=%s' % f for f in want[2:])))
    elif want is None:
        print('not expected: %s: %s' % (title(got), ' '.join('%s=%s' % f for f in got[2:])))
    else:
        print('differs: %s' % title(want))
        for (field, expected), (_, actual) in zip(want, got):
            if expected != actual:
                print('    %-12s expected %s, actual %s' % (field, expected, actual))


def main():
    parser = argparse.ArgumentParser(description='Are the flows of two JSON-lines files the same?')
    parser.add_argument('--ignore', default='', metavar='FIELD,...')
    parser.add_argument('--show', type=int, default=10, metavar='N', help='differences shown (default 10)')
    parser.add_argument('expected')
    parser.add_argument('actual')
    args = parser.parse_args()
    ignored = set(filter(None, args.ignore.split(',')))
    unknown = {name.split('.')[-1] for name in ignored} - set(FIELDS) - {'end'}
    if unknown:
        parser.error('unknown field: ' + ', '.join(sorted(unknown)))
    try:
        expected, actual = load(args.expected, ignored), load(args.actual, ignored)
    except (OSError, ValueError) as error:
        print('compare.py: %s' % error, file=sys.stderr)
        return 2
    differing = list(pairs(expected, actual))
    for want, got in differing[:args.show]:
        show(want, got)
    if len(differing) > args.show:
        print('... and %d more' % (len(differing) - args.show))
    print('%d flows expected, %d actual, %d differ' % (sum(expected.values()), sum(actual.values()), len(differing)))
    return 1 if differing else 0


if __name__ == '__main__':
    sys.exit(main())
