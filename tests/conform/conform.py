#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""conform.py INTERFACE [--only REGEX] [--group NAME] [--families 46] -- PUPPET...: is stackd's TCP what the RFCs say, from outside?

Groups are modules beside this one, each a table of cases and what they expect.  One line for each group, and one for each case
that differs.
"""
import argparse
import random
import re

import closing
import errors
import headers
import moving
import opening
import states
from peer import Puppet
from wire import Differs, Wire

GROUPS = {'states': states, 'opening': opening, 'headers': headers, 'errors': errors, 'closing': closing, 'moving': moving}


class Lab:
    def __init__(self, args):
        self.rng = random.Random(args.seed)
        self.wire = Wire(args.interface, args.stack4, args.stack6)
        self.puppet = Puppet(args.puppet)
        self.stack_text, self.own_text = {4: args.stack4, 6: args.stack6}, {4: args.stack4.rsplit('.', 1)[0] + '.103', 6: args.stack6[:-1] + '67'}
        self.families = [int(f) for f in args.families]
        self.only = re.compile(args.only)
        self.listeners = {f: self.puppet.listener(f, 80, self.stack_text[f]) for f in self.families}
        self.conns = []
        self.passed = self.failed = 0

    def case(self, name, run, *args, **more):
        if not self.only.search(name):
            return
        try:
            run(self, *args, **more)
            self.passed += 1
        except Differs as e:
            self.failed += 1
            print('%s %s: %s' % (self.group, name, e), flush=True)
        for c in self.conns:
            c.done()
        self.conns.clear()
        self.tidy()

    def tidy(self):
        """What nobody has accepted, and what is still on the way."""
        for fd in self.listeners.values():
            while True:
                rc, _, _ = self.puppet.say('accept', fd)
                if rc < 0:
                    break
                self.puppet.say('close', rc)
        self.wire.settle(self.families[0])
        self.wire.segments.clear()
        self.wire.others.clear()


def main():
    p = argparse.ArgumentParser()
    p.add_argument('interface')
    p.add_argument('--stack4', default='10.9.0.1')
    p.add_argument('--stack6', default='fd00:9::1')
    p.add_argument('--families', default='46')
    p.add_argument('--only', default='')
    p.add_argument('--group', action='append')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('puppet', nargs='+')
    args = p.parse_args()
    lab = Lab(args)
    for name in args.group or GROUPS:
        lab.group, before = name, (lab.passed + lab.failed, lab.failed)
        GROUPS[name].run(lab)
        print('%s: %d cases, %d differ' % (name, lab.passed + lab.failed - before[0], lab.failed - before[1]), flush=True)


main()
