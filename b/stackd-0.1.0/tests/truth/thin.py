#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""thin.py IN OUT SHARE SEED: a capture without a random share of its frames, as a tap that loses some would have made it."""
import random
import sys

import capture


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    rng = random.Random(int(sys.argv[4]))
    capture.write(sys.argv[2], [(ts, frame) for ts, _, frame in capture.read(sys.argv[1]) if rng.random() >= float(sys.argv[3])])


if __name__ == '__main__':
    main()
