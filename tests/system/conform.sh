#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# TCP as RFC 9293 and its companions have it, seen from outside: packets by hand (tests/conform) on the wire, a program on strings
# behind libshim.
#
# CONFORM_ARGS='--group opening --only mss' CONFORM_GROUPS=opening: some of it.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

STACK6=fd00:9::1

play()
{
	# shellcheck disable=SC2086
	in_kernel python3 -B "$TOP/tests/conform/conform.py" k0 --stack4 "$STACK_IP" --stack6 "$STACK6" ${CONFORM_ARGS:-} -- \
		ip netns exec "$NSA" setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs \
		env LD_LIBRARY_PATH="$T/lib" STACKD_SOCKET="$T/stackd.sock" "$T/bin/puppet"
}

# conforms GROUP: its line tells how many cases there were and how many differ, lines before it which.
conforms()
{
	grep -E "^$1[: ]" "$T/play.log"
	grep -qE "^$1: [1-9][0-9]* cases, 0 differ" "$T/play.log"
}

PUPPET=$BUILD/tests/conform/.libs/puppet
[ -e "$PUPPET" ] || PUPPET=$BUILD/tests/conform/puppet
[ -e "$PUPPET" ] || { echo "skip $TEST: tests/conform/puppet is not built (make check)"; exit 77; }

net_up
cp "$PUPPET" "$T/bin/puppet"
chmod a+rx "$T/bin/puppet"
stackd_conf
sed -i "s|\"$STACK_IP/24\"|\"$STACK_IP/24\", \"$STACK6/64\"|" "$T/stackd.conf"
echo 'net = { dad = 0; icmp_rate = 1000000; };' >>"$T/stackd.conf"
stackd_start
check "every case was tried" play
cp "$T/check.out" "$T/play.log"
for group in ${CONFORM_GROUPS:-states opening headers errors closing moving}; do
	check "$group" conforms "$group"
done
sed -n 's/.*: [0-9]* cases,.*/# &/p' "$T/play.log"
finish
