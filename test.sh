#!/usr/bin/env bash
# Runs every test of the project and installs what they need. See --help.
set -uo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'H'
usage: ./test.sh [--fast] [--no-lab] [PROJECT...]

  (nothing)   install what is missing, then run every test: unit tests, layouts against C headers,
              other vendors' daemons, Linux guests under QEMU, and real Xen in the lab
  --fast      only what needs no packages (unit, model and property tests): under three minutes
  --no-lab    everything but the lab (real Xen)
  PROJECT     only these test projects, by folder name under tests/ (for example: VhostUser EndToEnd)

Exit code 0 when nothing failed. The last line is "N passed, N failed".
H
}

fast=0 lab=1 only=()
for argument in "$@"; do
  case $argument in
    --fast) fast=1 lab=0 ;;
    --no-lab) lab=0 ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "test.sh: unknown option $argument (see --help)" >&2; exit 2 ;;
    *) only+=("$argument") lab=0 ;;
  esac
done

command -v dotnet > /dev/null || { echo "test.sh: the .NET 10 SDK is needed (dotnet is not on PATH)" >&2; exit 2; }
configuration=Release
passed=0 failed=0
started=$SECONDS

say() { printf '[%4ds] %s\n' $((SECONDS - started)) "$*"; }

finish() {
  say "done"
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}

# add PASSED FAILED: counts a suite in.
add() { passed=$((passed + $1)) failed=$((failed + $2)); }

# run_project NAME FILTER...: runs one test program with xunit filters and counts its summary in.
run_project() {
  local name=$1 program log total errors not_passed
  shift
  program=$(find "tests/$name/bin/$configuration" -maxdepth 2 -name '*.Tests.dll' 2> /dev/null | head -n 1)
  [ -n "$program" ] || { say "$name: not built"; add 0 1; return; }
  log=$(mktemp)
  timeout 1800 dotnet "$program" -noLogo "$@" > "$log" 2>&1
  local code=$?
  local summary
  summary=$(grep -E 'Total: [0-9]+, Errors: [0-9]+, Failed: [0-9]+' "$log" | tail -n 1)
  if [ -z "$summary" ]; then
    if [ $code -eq 0 ] || grep -q 'No tests' "$log"; then rm -f "$log"; return; fi
    tail -n 40 "$log"; say "$name: did not finish (exit code $code)"; add 0 1; rm -f "$log"; return
  fi
  total=$(sed -E 's/.*Total: ([0-9]+).*/\1/' <<< "$summary")
  errors=$(sed -E 's/.*Errors: ([0-9]+).*/\1/' <<< "$summary")
  not_passed=$(sed -E 's/.*Failed: ([0-9]+).*/\1/' <<< "$summary")
  local skipped
  skipped=$(sed -E 's/.*Skipped: ([0-9]+).*/\1/' <<< "$summary")
  not_passed=$((not_passed + errors))
  if [ $code -ne 0 ] && [ "$not_passed" -eq 0 ]; then not_passed=1; fi
  if [ "$not_passed" -gt 0 ]; then cat "$log"; fi
  if [ "$total" -gt 0 ]; then say "$name: $((total - not_passed - skipped)) passed, $not_passed failed$([ "$skipped" -gt 0 ] && echo ", $skipped skipped")"; fi
  add $((total - not_passed - skipped)) "$not_passed"
  rm -f "$log"
}

projects() {
  if [ ${#only[@]} -gt 0 ]; then printf '%s\n' "${only[@]}"; return; fi
  for project in tests/*/*.Tests.csproj; do basename "$(dirname "$project")"; done
}

if [ $fast -eq 0 ]; then
  eng/install-packages.sh gcc libc6-dev linux-libc-dev libxen-dev qemu-system-x86 qemu-utils qemu-system-common \
    busybox-static fio e2fsprogs kmod cpio dpdk-dev || { echo "0 passed, 1 failed"; exit 1; }
fi

say "building"
build_log=$(mktemp)
if ! dotnet build VhostXen.sln -c $configuration --nologo -v q > "$build_log" 2>&1; then
  grep -E 'error|warning' "$build_log" | sort -u | head -n 40
  echo "0 passed, 1 failed"
  exit 1
fi
rm -f "$build_log"

say "unit, model and property tests"
for name in $(projects); do
  run_project "$name" -trait- Category=Gcc -trait- Category=Peer -trait- Category=Qemu -trait- Category=Xen
done
[ $fast -eq 1 ] && finish

say "layouts against the C headers, other daemons, Linux guests under QEMU"
for name in $(projects); do
  run_project "$name" -trait Category=Gcc -trait Category=Peer -trait Category=Qemu
done

if [ ${#only[@]} -eq 0 ] || [[ " ${only[*]} " == *" Fuzz "* ]]; then
  say "fuzz: 60 s of new inputs"
  seed=$(date +%s)
  if nice dotnet "tests/Fuzz/bin/$configuration/net10.0/Fuzz.Tests.dll" --target all --seconds 60 --seed "$seed"; then
    add 1 0
  else
    say "fuzz: something broke with seed $seed; the inputs are in ./findings"
    add 0 1
  fi
fi

# By hand (hypervisor/lab/run NAME): what only compares or measures (pv-disk, dotnet-hello).
lab_suites=(smoke kernel memory hvm-smoke conformance master)

if [ $lab -eq 1 ]; then
  for suite in "${lab_suites[@]}"; do
    [ -d "hypervisor/lab/suites/$suite" ] || continue
    say "real Xen: $suite"
    log=$(mktemp)
    hypervisor/lab/run "$suite" 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    counts=$(grep -oE '[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    lab_passed=0 lab_failed=1
    if [ -n "$counts" ]; then
      read -r lab_passed _ lab_failed _ <<< "$counts"
      if [ "$code" -ne 0 ] && [ "$lab_failed" -eq 0 ]; then lab_failed=1; fi
    fi
    add "$lab_passed" "$lab_failed"
    rm -f "$log"
  done
fi
finish
