#!/usr/bin/env bash
# Runs the main job, on any machine: see --help.
set -euo pipefail
cd "$(dirname "$0")"

case ${1:-} in
  -h | --help)
    cat <<'H'
usage: ./demo.sh [--qemu | --xen]

  (nothing)  On any machine, with nothing but the .NET SDK: a user-space Xen, xen-vhost-master and vhostxen-blk as
             processes, and guests that probe PCI (and virtio-mmio, as on Arm), run a virtio driver and verify every
             byte, while a back-end is killed and a guest reboots. Under half a minute.
  --qemu     A Linux guest under QEMU (emulated: no KVM is needed) gets its disk from vhostxen-blk over vhost-user,
             partitions, formats and exercises it with verification; then the host checks the image by itself.
             Installs Debian packages that are missing.
  --xen      A Linux guest under real Xen in the lab.

Exit code 0 only when everything was verified.
H
    exit 0 ;;
  "") ;;
  --qemu) eng/install-packages.sh qemu-system-x86 busybox-static fio e2fsprogs kmod cpio ;;
  --xen)
    [ -x hypervisor/lab/demo ] || { echo "demo.sh: hypervisor/lab/demo is not there" >&2; exit 2; }
    exec hypervisor/lab/demo "${@:2}" ;;
  *) echo "demo.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
esac

command -v dotnet > /dev/null || { echo "demo.sh: the .NET 10 SDK is needed (dotnet is not on PATH)" >&2; exit 2; }
echo "building"
dotnet build tests/Demo -c Release --nologo -v q -clp:ErrorsOnly
exec dotnet tests/Demo/bin/Release/net10.0/Demo.dll "$@"
