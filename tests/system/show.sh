#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What ./run demo shows is as it says.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/demo.sh
. "$TOP/tests/system/demo.sh"

say() { note "$*"; }
step() { note "$*"; }
told() { sed "s/^/# $1 | /"; }

demo
