#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The unit tests of the reference model, for make check.
command -v python3 >/dev/null || exit 77
exec python3 -B "${srcdir:-.}/tests/truth/test_model.py"
