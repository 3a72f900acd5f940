#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# check_model.sh [FOLDER]: is model.py right?  Makes the captures of make.py and, as root, those of kernel.sh, and holds model.py's
# answers against what is known about them and against tshark (see check.py).  FOLDER keeps the captures.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -gt 0 ]; then
	dir=$1
else
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
fi
rc=0

python3 -B "$here/make.py" "$dir/scenes"
python3 -B "$here/check.py" scenes "$dir/scenes" || rc=1

made=0
"$here/kernel.sh" "$dir/kernel" || made=$?
if [ "$made" = 0 ]; then
	python3 -B "$here/check.py" kernel "$dir/kernel" || rc=1
elif [ "$made" != 77 ]; then
	echo "not ok check_model: kernel.sh failed"
	rc=1
fi
exit "$rc"
