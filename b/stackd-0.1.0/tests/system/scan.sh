#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nmap's scans see what RFC 9293 says they must, and a SYN flood from random addresses does not keep out a client.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need nmap hping3

# scan TYPE STATE: port 80 is in STATE and the 99 others are closed.
scan()
{
	in_kernel nmap -n -Pn "-s$1" -p 1-100 --max-retries 3 -oG - "$STACK_IP" | tee "$T/nmap.out"
	grep -q "80/$2/tcp" "$T/nmap.out" && grep -q 'Ignored State: closed (99)' "$T/nmap.out"
}

# The fetch must be over while the flood still runs.
fetch_in_flood()
{
	same_bytes 1M && alive flood && [ "$(counter tcp.cookies_sent)" -gt 0 ]
}

still_flooding() { [ "$(counter tcp.in_segs)" -gt "$1" ]; }

net_up
www_make 1M
stackd_start
httpd_start httpd 80

check "SYN scan" scan S open
check "FIN scan" scan F 'open|filtered'
check "Xmas scan" scan X 'open|filtered'
check "NULL scan" scan N 'open|filtered'
check "1 MiB arrives after the scans" same_bytes 1M

in_segs=$(counter tcp.in_segs)
spawn flood ip netns exec "$NSK" hping3 -q -S -p 80 --flood --rand-source "$STACK_IP"
check "the flood arrives" poll 5 still_flooding $((in_segs + 10000))
for ((i = 0; i < (LONG ? 20 : 3); i++)); do
	check "1 MiB arrives during the flood ($i)" fetch_in_flood
done
stop flood INT || true
check "1 MiB arrives after the flood" same_bytes 1M
finish
