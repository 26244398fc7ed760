#!/usr/bin/env bash
# Runs the main job, on any machine: see --help.
set -euo pipefail
cd "$(dirname "$0")"

case ${1:-} in
  -h | --help)
    cat <<'H'
usage: ./demo.sh [--qemu]

A Linux guest under QEMU (emulated: no KVM is needed) gets its disk from vhostxen-blk over vhost-user, partitions,
formats and exercises it with verification; then the host checks the image by itself. Installs what is missing.
H
    exit 0 ;;
  "" | --qemu) ;;
  *) echo "demo.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
esac

command -v dotnet > /dev/null || { echo "demo.sh: the .NET 10 SDK is needed (dotnet is not on PATH)" >&2; exit 2; }
eng/install-packages.sh qemu-system-x86 busybox-static fio e2fsprogs kmod cpio
echo "building"
dotnet build tests/Demo -c Release --nologo -v q -clp:ErrorsOnly
exec dotnet tests/Demo/bin/Release/net10.0/Demo.dll "$@"
