#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Two stackds joined by a memif, neither of them root, no namespace, no kernel TCP anywhere: fetch on one gets from httpd
# on the other.  Part of `make check`.
set -euo pipefail
TOP=${TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
BUILD=${BUILD:-$PWD}
T=$(mktemp -d "${TMPDIR:-/tmp}/stackd-two.XXXXXX")
declare -A PIDS=()

on_exit()
{
	local rc=$? name
	trap - EXIT
	for name in fetch httpd a b; do
		if [ -n "${PIDS[$name]:-}" ]; then kill "${PIDS[$name]}" 2>/dev/null || true; fi
	done
	wait || true
	if [ "$rc" != 0 ] && [ "$rc" != 77 ]; then tail -n 20 "$T"/*.log; fi
	rm -rf "$T"
	exit "$rc"
}
trap on_exit EXIT

program() { if [ -e "$BUILD/${1%/*}/.libs/${1##*/}" ]; then echo "$BUILD/${1%/*}/.libs/${1##*/}"; else echo "$BUILD/$1"; fi; }

# stack NAME ROLE ADDRESS
stack()
{
	cat >"$T/$1.conf" <<-END
		engines = { cores = [0]; };
		memory = { hugepages = "never"; packets = 8192; };
		ports = ( { name = "p0"; device = "net_memif0,role=$2,socket=$T/memif.sock,socket-abstract=no";
		            address = [ "$3/24" ]; } );
		control = { socket = "$T/$1.sock"; };
		clients = ( { user = "$(id -un)"; endpoint = true; operator = true; ports = "1-65535"; } );
	END
	: >"$T/$1.log"
	"$(program stackd/stackd)" -c "$T/$1.conf" >"$T/$1.log" 2>&1 </dev/null &
	PIDS[$1]=$!
	until grep -q '\bready\b' "$T/$1.log"; do
		kill -0 "${PIDS[$1]}" 2>/dev/null || { echo "stackd $1 has ended"; exit 1; }
		sleep 0.05
	done
}

export LD_LIBRARY_PATH=$BUILD/.libs:${LD_LIBRARY_PATH:-}
mkdir "$T/www" "$T/got"
head -c 3000000 /dev/urandom >"$T/www/file"
stack a server 10.8.0.1
stack b client 10.8.0.2
STACKD_SOCKET=$T/a.sock "$(program examples/httpd)" -p 8080 -r "$T/www" >"$T/httpd.log" 2>&1 </dev/null &
PIDS[httpd]=$!
until "$(program stackctl/stackctl)" --socket "$T/a.sock" --json listeners | grep -q 8080; do
	kill -0 "${PIDS[httpd]}" || exit 1
	sleep 0.05
done
STACKD_SOCKET=$T/b.sock timeout 120 "$(program examples/fetch)" -n 20 -c 4 -o "$T/got" http://10.8.0.1:8080/file >"$T/fetch.log" 2>&1
want=$(sha256sum <"$T/www/file")
count=0
for file in "$T"/got/*; do
	[ "$(sha256sum <"$file")" = "$want" ] || { echo "$file differs"; exit 1; }
	count=$((count + 1))
done
[ "$count" -gt 0 ] || { echo "nothing was fetched"; exit 1; }
for name in a b; do
	kill "${PIDS[$name]}"
	wait "${PIDS[$name]}" || { echo "stackd $name returned $?"; exit 1; }
	unset "PIDS[$name]"
done
echo "fetched $count files over two stacks"
