#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""thin.py IN OUT SHARE SEED [LATE]: a capture without a random share of its frames, as a tap that loses some would have made it.

A share LATE of the rest comes up to eight frames late.
"""
import random
import sys

import capture


def main():
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    rng = random.Random(int(sys.argv[4]))
    frames = [(ts, frame) for ts, _, frame in capture.read(sys.argv[1]) if rng.random() >= float(sys.argv[3])]
    if len(sys.argv) == 6:
        places = [i + (rng.random() * 8 if rng.random() < float(sys.argv[5]) else 0) for i in range(len(frames))]
        times = [ts for ts, _ in frames]
        order = sorted(range(len(frames)), key=places.__getitem__)
        frames = [(ts, frames[i][1]) for ts, i in zip(times, order)]
    capture.write(sys.argv[2], frames)


if __name__ == '__main__':
    main()
