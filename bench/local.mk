# SPDX-License-Identifier: BSD-3-Clause

dist_noinst_SCRIPTS += bench/run.sh
EXTRA_DIST += bench/README.md
