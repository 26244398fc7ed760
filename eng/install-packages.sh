#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing, and says so in one line.
#   eng/install-packages.sh fio qemu-utils
# Safe to call from several processes at once. Exit code 0: every package is installed.
set -euo pipefail

fail() { echo "install-packages: $*" >&2; exit 1; }
[ $# -gt 0 ] || fail "name at least one package"

missing() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  fail "this needs a Debian system (apt-get, dpkg-query); install these by hand: $*"
[ -n "$(missing "$@")" ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || fail "packages are missing and there is neither root nor sudo: $(missing "$@" | xargs)"
  as_root=(sudo)
fi

# One installer at a time; whoever waited looks again. Apt's own lock (another program's run) is waited for too.
exec 9>"${TMPDIR:-/tmp}/vhostxen-install-packages.$(id -u).lock"
flock 9
packages=$(missing "$@" | xargs)
[ -n "$packages" ] || exit 0
echo "installing: $packages" >&2

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1; }
# shellcheck disable=SC2086
install() { apt install -y --no-install-recommends $packages; }

# Package lists may be absent or stale on a fresh machine: refresh them once, and only when they are to blame.
install || { apt update && install; } || {
  tail -n 20 "$log" >&2
  fail "apt-get could not install: $(missing "$@" | xargs)"
}
[ -z "$(missing "$@")" ] || fail "still missing after apt-get succeeded: $(missing "$@" | xargs)"
