# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The network and the processes of a system test, of ./run demo and of ./run shell.  Sourced by scripts that have set
# -euo pipefail.  Needs root.
# shellcheck disable=SC2034,SC2119,SC2120
#
#   namespace $NSD              namespace $NSK              namespace $NSA
#   stackd on s0, 10.9.0.1 ---- k0, 10.9.0.2, Linux's TCP   programs that use libshim: no interface at all
#
#   namespace $NSC                  namespace $NSD            namespace $NSK           after net_bridge
#   c0, 10.9.0.3, Linux's TCP ----- s1, stackd bridges, s0 ---- k0, 10.9.0.2
#
# Everything made here hangs on one temporary folder, $T, the namespaces and the processes in PIDS; the EXIT trap
# removes all of it and says if something is left.  Results are lines on stdout: `ok NAME`, `not ok NAME: why`,
# `skip NAME: why`; lines that start with # explain.

TOP=${TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
BUILD=${BUILD:-$TOP/build}
LONG=${STACKD_TEST_LONG:-0}     # 1: the durations and sizes of ./run check-long
WRK_S=${STACKD_TEST_WRK_S:-$((LONG ? 10 : 3))}
STACK_IP=10.9.0.1
KERNEL_IP=10.9.0.2
CLIENT_IP=10.9.0.3
TEST=$(basename "$0" .sh)

T=''
NSD='' NSK='' NSA='' NSC=''
declare -gA PIDS=()
declare -gi FAILED=0
FINISHED=no
STACKD_PIDS=()

# --- Results -----------------------------------------------------------------------------------------------------------

note() { printf '# %s\n' "$*"; }
ok() { printf 'ok %s: %s\n' "$TEST" "$1"; }
not_ok()
{
	printf 'not ok %s: %s: %s\n' "$TEST" "$1" "$2"
	FAILED+=1
}

# check NAME COMMAND...: one result; what the command printed is shown when it fails.
check()
{
	local name=$1
	shift
	if "$@" >"$T/check.out" 2>&1; then
		ok "$name"
	else
		not_ok "$name" "$* returned $?"
		sed 's/^/#   /' "$T/check.out" | tail -n 60
	fi
}

# need COMMAND...: the test cannot run without them.
need()
{
	local tool
	[ "$(id -u)" = 0 ] || { printf 'skip %s: needs root\n' "$TEST"; exit 77; }
	for tool in ip ethtool setpriv jq curl "$@"; do
		command -v "$tool" >/dev/null || { printf 'skip %s: %s is not installed\n' "$TEST" "$tool"; exit 77; }
	done
}

# --- Waiting -----------------------------------------------------------------------------------------------------------

# wait_line SECONDS FILE PID REGEX: until the file, which PID writes, has such a line.
wait_line()
{
	local rc=0 tail_pid
	exec {WAIT_FD}< <(exec timeout "$1" tail -n +1 -F -s 0.1 --pid="$3" "$2" 2>/dev/null)
	tail_pid=$!
	grep -qE -m1 -- "$4" <&"$WAIT_FD" || rc=1
	kill "$tail_pid" 2>/dev/null || true
	exec {WAIT_FD}<&-
	wait "$tail_pid" 2>/dev/null || true
	return "$rc"
}

# wait_gone SECONDS PID: until the process has ended.
wait_gone() { timeout "$1" tail -s 0.02 -f --pid="$2" /dev/null; }

# poll SECONDS COMMAND...: until the command succeeds; for what has no descriptor to wait on.
poll()
{
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/./}" -lt "$end" ] || return 1
		sleep 0.02
	done
}

# --- Processes ---------------------------------------------------------------------------------------------------------

# spawn NAME COMMAND...: in the background; its output goes to $T/NAME.log.
spawn()
{
	local name=$1
	shift
	: >"$T/$name.log" # at once: nobody shall take what an earlier one has written for this one's
	"$@" >"$T/$name.log" 2>&1 </dev/null &
	PIDS[$name]=$!
}

alive() { kill -0 "${PIDS[$1]}" 2>/dev/null; }

# reap NAME: wait for its end, return its exit status.
reap()
{
	local rc=0
	wait "${PIDS[$1]}" 2>/dev/null || rc=$?
	unset "PIDS[$1]"
	return "$rc"
}

# stop NAME [SIGNAL]: end it and wait for that; after three seconds it is killed and the status is 137.
stop()
{
	local pid=${PIDS[$1]:-}
	[ -n "$pid" ] || return 0
	kill -CONT "$pid" 2>/dev/null || true
	kill "-${2:-TERM}" "$pid" 2>/dev/null || true
	wait_gone 3 "$pid" || kill -KILL "$pid" 2>/dev/null || true
	reap "$1"
}

in_kernel() { ip netns exec "$NSK" "$@"; }
in_client() { ip netns exec "$NSC" "$@"; }

# in_app COMMAND...: without privileges, without a network but stackd's.  Runs in place, so that $! is its pid.
in_app()
{
	exec ip netns exec "$NSA" setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs \
		env LD_LIBRARY_PATH="$T/lib" STACKD_SOCKET="$T/stackd.sock" "$@"
}

# app NAME COMMAND...: spawn with in_app.
app()
{
	local name=$1
	shift
	spawn "$name" in_app "$@"
}

# --- The network -------------------------------------------------------------------------------------------------------

# What a stackd that is gone has left in the file system: DPDK names its files after the process.
stackd_files()
{
	local pid path
	for pid in "${STACKD_PIDS[@]}"; do
		for path in "/run/dpdk/stackd$pid" "/dev/hugepages/stackd$pid"* "/dev/shm/stackd$pid"*; do
			if [ -e "$path" ]; then printf '%s\n' "$path"; fi
		done
	done
}

net_up()
{
	local ns
	T=$(mktemp -d "${TMPDIR:-/tmp}/stackd-$TEST.XXXXXX")
	chmod 755 "$T"
	trap on_exit EXIT
	trap 'exit 130' INT TERM HUP PIPE
	NSD=${T##*/}-d NSK=${T##*/}-k NSA=${T##*/}-a
	for ns in "$NSD" "$NSK" "$NSA"; do
		ip netns add "$ns"
		ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	done
	ip -n "$NSD" link add s0 type veth peer name k0 netns "$NSK"
	# a veth hands over partial checksums and giant frames until its peer computes them itself
	in_kernel ethtool -K k0 tx off >/dev/null
	in_kernel sysctl -qw net.ipv4.ip_local_port_range='1024 65535' net.ipv4.tcp_max_syn_backlog=8192 \
		net.core.somaxconn=8192
	ip -n "$NSK" address add "$KERNEL_IP/24" dev k0
	ip -n "$NSK" link set lo up
	ip -n "$NSK" link set k0 up
	ip -n "$NSD" link set s0 up
	programs_copy
}

# net_bridge: a second wire with a second kernel, for a stackd that bridges the two.
net_bridge()
{
	NSC=${T##*/}-c
	ip netns add "$NSC"
	in_client sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	ip -n "$NSD" link add s1 type veth peer name c0 netns "$NSC"
	in_client ethtool -K c0 tx off >/dev/null
	ip -n "$NSC" address add "$CLIENT_IP/24" dev c0
	ip -n "$NSC" link set lo up
	ip -n "$NSC" link set c0 up
	ip -n "$NSD" link set s1 up
}

# A build folder may lie where nobody can look, so what runs without privileges runs from a copy.
programs_copy()
{
	local name real
	mkdir -p "$T/bin" "$T/lib"
	for name in httpd fetch echo flowstat extract retrans match firewall nat balancer; do
		real=$BUILD/examples/.libs/$name
		[ -e "$real" ] || real=$BUILD/examples/$name
		if [ -e "$real" ]; then cp "$real" "$T/bin/"; fi
	done
	if [ -d "$BUILD/.libs" ]; then find "$BUILD/.libs" -name 'libshim.so*' -exec cp -P {} "$T/lib/" \; ; fi
	chmod -R a+rX "$T/bin" "$T/lib"
}

# www_make SIZE_NAME...: random files below $T/www: 1B, 64K, 1M, 100M, ...
www_make()
{
	local size
	mkdir -p "$T/www"
	for size in "$@"; do
		head -c "${size%B}" /dev/urandom >"$T/www/$size"
	done
	chmod -R a+rX "$T/www"
}

sha_of() { sha256sum <"$1" | cut -d' ' -f1; }

# --- stackd ------------------------------------------------------------------------------------------------------------

# stackd_conf [PORT_KEYS]: a configuration for the wire of net_up; PORT_KEYS goes into the port's group.
stackd_conf()
{
	cat >"$T/stackd.conf" <<-END
		engines = { cores = [0]; idle = "adaptive"; };
		ports = ( { name = "p0"; device = "net_af_packet0,iface=s0"; mode = "endpoint";
		            address = [ "$STACK_IP/24" ]; gateway = "$KERNEL_IP"; mtu = 1500; ${1:-} } );
		control = { socket = "$T/stackd.sock"; };
		clients = ( { user = "nobody"; endpoint = true; ports = "1-65535"; max_sockets = 100000; memory = "512M"; } );
	END
}

# bridge_conf [CORES [KEYS_OF_IN [KEYS_OF_OUT [CLIENTS]]]]: for the wires of net_bridge; `in` is the client's side.
bridge_conf()
{
	local clients=${4:-}
	[ -n "$clients" ] || clients='{ user = "nobody"; monitor = "passive"; }'
	cat >"$T/stackd.conf" <<-END
		engines = { cores = [${1:-0}]; };
		ports = ( { name = "in"; device = "net_af_packet0,iface=s1"; mode = "bridge"; peer = "out"; ${2:-} },
		          { name = "out"; device = "net_af_packet1,iface=s0"; mode = "bridge"; peer = "in"; ${3:-} } );
		control = { socket = "$T/stackd.sock"; };
		clients = ( $clients );
	END
}

# stackd_start: with $T/stackd.conf; returns when it serves.
stackd_start()
{
	[ -e "$T/stackd.conf" ] || stackd_conf
	spawn stackd ip netns exec "$NSD" "$(real_program stackd)" -c "$T/stackd.conf"
	STACKD_PIDS+=("${PIDS[stackd]}")
	wait_line 30 "$T/stackd.log" "${PIDS[stackd]}" '\bready\b' && return
	not_ok start "stackd did not become ready"
	log_show stackd
	exit 1
}

stackd_stop() { stop stackd; }

# libtool may have put a script in the program's place; its pid would not be the program's.
real_program()
{
	local real=$BUILD/$1/.libs/$1
	if [ -e "$real" ]; then printf '%s\n' "$real"; else printf '%s\n' "$BUILD/$1/$1"; fi
}

ctl() { "$(real_program stackctl)" --socket "$T/stackd.sock" "$@"; }

# counter NAME: one of stackd's counters, all engines together.
counter() { ctl stats --json | jq --arg n "$1" '[.engines[].counters[$n]] | add'; }

# listening PORT: does a program listen there?
listening() { ctl listeners --json | jq -e --argjson p "$1" 'any(.listeners[]; .port == $p)'; }

# httpd_start NAME PORT [OPTION...]: returns when it can be connected to.
httpd_start()
{
	local name=$1 port=$2
	shift 2
	app "$name" "$T/bin/httpd" -p "$port" -r "$T/www" "$@"
	poll 10 listening "$port" && return
	not_ok "$name" "nobody listens on port $port"
	log_show "$name"
	exit 1
}

nginx_start()
{
	mkdir -p "$T/nginx"
	chown nobody "$T/nginx"
	cat >"$T/nginx.conf" <<-END
		daemon off; user nobody nogroup; worker_processes 1; pid $T/nginx/pid; error_log $T/nginx/error.log;
		events { worker_connections 8192; }
		http {
			access_log $T/nginx/access.log; keepalive_requests 100000000;
			client_body_temp_path $T/nginx/body; proxy_temp_path $T/nginx/proxy; fastcgi_temp_path $T/nginx/fastcgi;
			uwsgi_temp_path $T/nginx/uwsgi; scgi_temp_path $T/nginx/scgi;
			server { listen $KERNEL_IP:8080 backlog=8192; root $T/www; }
		}
	END
	spawn nginx ip netns exec "$NSK" nginx -c "$T/nginx.conf" -p "$T/nginx" -e "$T/nginx/error.log"
	poll 10 in_kernel curl -sS --max-time 2 -o /dev/null "http://$KERNEL_IP:8080/" && return
	not_ok nginx "does not answer"
	log_show nginx
	exit 1
}

# kcurl ARG...: curl from the kernel's side.
kcurl() { in_kernel curl -sS --fail --max-time "${CURL_S:-60}" "$@"; }

url() { printf 'http://%s:%s/%s' "$STACK_IP" "${2:-80}" "$1"; }

# same_bytes FILE [PORT]: does curl get what is on the disk?
same_bytes()
{
	local got want
	want=$(sha_of "$T/www/$1")
	got=$(kcurl "$(url "$1" "${2:-80}")" | sha256sum | cut -d' ' -f1)
	[ "$got" = "$want" ] || { printf 'SHA-256 is %s, should be %s\n' "$got" "$want"; return 1; }
}

# customer, to be spawned: gets $FILE again and again, until $T/enough is there.
customer()
{
	local want right=0 wrong=0
	want=$(sha_of "$T/www/$FILE")
	while [ ! -e "$T/enough" ]; do
		if [ "$(kcurl "$(url "$FILE")" | sha256sum | cut -d' ' -f1)" = "$want" ]; then
			right=$((right + 1))
		else
			wrong=$((wrong + 1))
		fi
	done
	echo "$right right, $wrong wrong"
	[ "$right" -gt 0 ] && [ "$wrong" = 0 ]
}

customer_was_served()
{
	local rc=0
	touch "$T/enough"
	reap customer || rc=$?
	cat "$T/customer.log"
	return "$rc"
}

# same_bytes_parallel FILE COUNT [PORT]: COUNT at once.
same_bytes_parallel()
{
	local i want wrong
	mkdir "$T/got"
	for ((i = 0; i < $2; i++)); do
		printf 'url = "%s"\noutput = "%s"\n' "$(url "$1" "${3:-80}")" "$T/got/$i"
	done >"$T/curl.conf"
	kcurl --parallel --parallel-immediate --parallel-max "$2" --config "$T/curl.conf" || printf 'curl returned %s\n' $?
	want=$(sha_of "$T/www/$1")
	wrong=$(find "$T/got" -type f -exec sha256sum {} + | grep -vc "^$want " || true)
	set -- "$1" "$2" "$(find "$T/got" -type f | wc -l)"
	rm -r "$T/got"
	printf '%s of %s arrived, %s wrong\n' "$3" "$2" "$wrong"
	[ "$3" = "$2" ] && [ "$wrong" = 0 ]
}

# apps_sum PID KEY: what stackctl says about a program, all its contexts together; 0 when it is gone.
apps_sum()
{
	ctl apps --json | jq --arg w "$1" --arg k "$2" \
		'[.apps[] | select((.pid | tostring) == $w) | .[$k]] | add // 0'
}

# app_holds_nothing PID
app_holds_nothing()
{
	local key
	for key in sockets memory ports; do
		[ "$(apps_sum "$1" "$key")" = 0 ] || return 1
	done
}

# --- The end -----------------------------------------------------------------------------------------------------------

log_show()
{
	[ -e "$T/$1.log" ] || return 0
	note "the end of $1's log:"
	tail -n 20 "$T/$1.log" | sed 's/^/#   /'
}

# finish: the last line of every test.  stackd must hold nothing any more, stop cleanly, and have seen no sanitizer error.
finish()
{
	local name rc=0
	for name in "${!PIDS[@]}"; do
		[ "$name" = stackd ] || stop "$name" || true
	done
	if [ -n "${PIDS[stackd]:-}" ]; then
		check "programs that ended hold nothing" poll 5 apps_hold_nothing
		stackd_stop || rc=$?
		if [ "$rc" = 0 ]; then ok "stackd stops cleanly"; else not_ok "stackd stops cleanly" "status $rc"; fi
	fi
	check "no sanitizer report" no_sanitizer_report
	if ((FAILED)); then log_show stackd; fi
	FINISHED=yes
	exit $((FAILED > 0))
}

apps_hold_nothing()
{
	[ "$(ctl apps --json | jq '[.apps[] | .sockets, .memory, .ports] | add // 0')" = 0 ]
}

no_sanitizer_report()
{
	! grep -E 'ERROR: [A-Za-z]*Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$T"/*.log
}

net_down()
{
	local name ns pid
	for name in "${!PIDS[@]}"; do stop "$name" || true; done
	for ns in "$NSD" "$NSK" "$NSA" ${NSC:+"$NSC"}; do
		for pid in $(ip netns pids "$ns" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
		ip netns delete "$ns" 2>/dev/null || true
	done
}

on_exit()
{
	local rc=$? left
	trap - EXIT
	trap '' INT TERM HUP PIPE
	set +e
	[ "$FINISHED" = yes ] || [ "$rc" = 77 ] || not_ok "end" "stopped early with status $rc"
	net_down
	left=$(ip netns list | grep -F "${T##*/}-"; stackd_files)
	if [ "${KEEP:-no}" = yes ] && ((FAILED)); then note "kept: $T"; else rm -rf "$T"; fi
	if [ -z "$left" ]; then ok "nothing left behind"; else not_ok "nothing left behind" "${left//$'\n'/, }"; fi
	exit $((FAILED > 0 ? 1 : rc))
}
