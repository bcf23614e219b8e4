#!/usr/bin/env bash
# Builds and vets the library, its drop-in for spdystream and the command for other platforms;
# for linux/386 all packages are vetted, since it finds what overflows an int.
# Nothing runs there. Prints what fails and exits 1 if anything does.
#
#   ci/platforms.sh            the twelve that CI checks
#   ci/platforms.sh -all       every platform that this Go has
#   ci/platforms.sh GOOS/GOARCH...
#
# Exceptions: android and ios need a C compiler of their own and are left out of -all; plan9 is
# built and not vetted, because tests name errors of sockets that it does not have.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export GOWORK=off CGO_ENABLED=0 GOARM=7

platforms=(
  linux/amd64 linux/arm64 linux/arm linux/386 linux/riscv64 windows/amd64
  windows/arm64 darwin/arm64 freebsd/amd64 openbsd/amd64 wasip1/wasm js/wasm
)
if [[ ${1-} == -all ]]; then
  mapfile -t platforms < <(go tool dist list | grep -vE '^(android|ios)/')
elif (($#)); then
  platforms=("$@")
fi

# check builds and vets for GOOS and GOARCH. vet type-checks the tests, too. Without optimizing
# that takes half of the time, most of which goes to the standard library.
check() {
  local plainly=-gcflags='all=-N -l' vetted=(. ./cmd/...)
  [[ $GOOS/$GOARCH != linux/386 ]] || vetted=(./...)
  go build "$plainly" . ./cmd/... && go -C compat/spdystream build "$plainly" ./... || return
  [[ $GOOS == plan9 ]] && return
  go vet "$plainly" "${vetted[@]}" && go -C compat/spdystream vet "$plainly" ./...
}

failed=()
for platform in "${platforms[@]}"; do
  GOOS=${platform%/*} GOARCH=${platform#*/} check || failed+=("$platform")
done
if ((${#failed[@]})); then
  echo "platforms: FAILED: ${failed[*]}"
  exit 1
fi
echo "platforms: ok: ${#platforms[@]}"
