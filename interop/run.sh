#!/usr/bin/env bash
# Installs the peers, has the library talk to each of them, prints the results and
# compares them with docs/interop.md.
#
#   interop/run.sh                     everything
#   interop/run.sh -write              everything, and update docs/interop.md
#   interop/run.sh -only 'Netty.*push' -v
#                                      some conversations, with every frame
#
# A peer that cannot be installed fails the run, unless INTEROP_OPTIONAL=1: then it is
# left out, and the others are not compared with docs/interop.md. What is missing is
# installed from Debian (as root) and npm; the Go module comes with go.mod.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
export GOWORK=off NO_UPDATE_NOTIFIER=1

build=$PWD/build
java=/usr/share/java
jars=(netty-codec-http netty-codec netty-handler netty-transport netty-buffer netty-resolver netty-common)
mkdir -p "$build"
missing=() without=()

say() { printf 'interop: %s\n' "$*"; }

# limit SECONDS COMMAND... gives up on what hangs; its output is shown if it fails.
limit() {
  local seconds=$1 log=$build/install.log
  shift
  timeout -k 5 "$seconds" "$@" >"$log" 2>&1 </dev/null && return
  say "failed: $*"
  tail -n 20 "$log"
  return 1
}

# lacks PEER WHY... notes a peer that cannot take part.
lacks() {
  local peer=$1
  shift
  missing+=("$peer")
  without+=("$peer")
  say "NOT AVAILABLE: $peer: $*"
}

updated=
# debian PACKAGE... installs packages, if we may.
debian() {
  if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
    say "not root on a Debian system, cannot install: $*"
    return 1
  fi
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  [[ -n $updated ]] || limit 120 apt-get update -q || return 1
  updated=yes
  limit 300 apt-get install -q -y --no-install-recommends "$@"
}

have() { command -v "$1" >/dev/null; }

node_peer() {
  have node && have npm || debian nodejs npm || return 1
  if ! cmp -s package-lock.json node_modules/.installed-for; then
    say "npm ci"
    limit 180 npm ci --prefer-offline --no-audit --no-fund --ignore-scripts || return 1
    cp package-lock.json node_modules/.installed-for
  fi
  say "node $(node --version), node-spdy $(node -p "require('spdy/package.json').version")"
}

netty_peer() {
  local jar classes=$build/netty path=
  [[ -e $java/netty-codec-http.jar ]] || debian libnetty-java || return 1
  have javac && have java || debian default-jdk-headless || return 1
  for jar in "${jars[@]}"; do path+=:$java/$jar.jar; done
  rm -rf "$classes"
  limit 120 javac -Xlint:all,-options,-path,-processing,-classfile -cp "${path:1}" -d "$classes" netty/*.java || return 1
  export CLASSPATH=$classes$path
  say "java $(java -version 2>&1 | sed -n 's/.*version "\(.*\)".*/\1/p'), Netty $(basename "$java"/netty-codec-http-[0-9]*.jar .jar | sed 's/.*-//')"
}

tshark_peer() {
  have tshark && have dumpcap || debian tshark || return 1
  limit 20 dumpcap -q -i lo -a duration:1 -w /dev/null || return 1
  say "$(tshark --version 2>/dev/null | head -n 1)"
}

terminator_peers() {
  have haproxy && have hitch || debian haproxy hitch || return 1
  limit 120 go test -count=1 -tags terminators -run TestTerminators . || return 1
  say "every version passes haproxy and hitch, which terminate TLS and negotiate nothing"
}

browser_peer() {
  have chromium || debian chromium || return 1
  limit 120 go test -count=1 -short -tags browser -run TestBrowser . || return 1
  say "$(chromium --version --no-sandbox 2>/dev/null): WebSockets of a page pass through sessions"
}

terminator_peers || lacks "haproxy, hitch" "neither found nor installed, or a version does not pass them"
browser_peer || lacks Chromium "neither found nor installed, or its WebSockets do not pass"
node_peer || lacks node-spdy "neither found nor installed"
netty_peer || lacks Netty "neither found nor installed"
tshark_peer || lacks tshark "neither found nor installed, or it may not capture"

limit 180 go build -o "$build/interop" . || {
  cat "$build/install.log"
  exit 1
}
if ((${#missing[@]} > 0)) && [[ ${INTEROP_OPTIONAL:-} != 1 ]]; then
  say "FAILED: not all peers are there: ${missing[*]}. INTEROP_OPTIONAL=1 goes on without them."
  exit 1
fi

leave_out=$(IFS=,; echo "${without[*]-}")
timeout -k 10 420 "$build/interop" -dir . -build "$build" -document ../docs/interop.md -without "$leave_out" "$@" </dev/null
status=$?
((status == 124)) && say "FAILED: not finished after 7 minutes"
((${#missing[@]} == 0)) || say "LEFT OUT: ${missing[*]}"
exit $status
