#!/usr/bin/env bash
# Everything that is checked without running the library: formatting, vet, staticcheck,
# the module files and the house rules (house_test.go), in this module and in every
# module nested in it. Prints what is wrong and exits 1 if anything is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export GOWORK=off

# Pinned, so that a new release cannot break an old commit.
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

failed=0
check() { # check WHAT COMMAND...: the command fails, or says something
  local what=$1 out
  shift
  if ! out=$("$@" 2>&1) || [[ $what == gofmt && -n $out ]]; then
    printf 'lint: %s: %s\n%s\n' "$PWD" "$what" "$out"
    failed=1
  fi
}

# findings prints what staticcheck finds. That net/http has taken over from x/net/http2 is no finding:
# the latter is an oracle of the tests, and the only HTTP/2 that can be had over any net.Conn.
findings() {
  local found
  found=$("$bin/staticcheck" ./... 2>&1 | grep -vE 'golang\.org/x/net/http2.* deprecated.*\(SA1019\)$') || true
  printf '%s' "$found"
  [[ -z $found ]]
}

# The tool is built first: what go says while it downloads is not a finding.
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN="$bin" go install "$staticcheck"

check gofmt gofmt -s -l .
check "house rules" go test -count=1 -run '^TestHouseRules$' .
while IFS= read -r mod; do
  pushd "$(dirname "$mod")" >/dev/null
  go mod download
  check vet go vet ./...
  check staticcheck findings
  check "go.mod is not tidy" go mod tidy -diff
  popd >/dev/null
done < <(find . -name go.mod -not -path '*/testdata/*' -not -path './.git/*' | sort)

if ((failed)); then
  echo "lint: FAILED"
  exit 1
fi
echo "lint: ok"
