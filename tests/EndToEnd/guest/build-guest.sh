#!/usr/bin/env bash
# Builds the test guest out of Debian packages: a stock kernel and an initramfs with busybox, fio and e2fsprogs.
#   tests/EndToEnd/guest/build-guest.sh [cloud|generic]
# cloud (default) suits QEMU; generic is the full kernel, which a Xen guest needs. The result is cached outside the
# repository; the last line printed is the directory with vmlinuz and initrd.img.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)

fail() { echo "build-guest: $*" >&2; exit 1; }
progress() { echo "build-guest: $*" >&2; }

flavour=${1:-cloud}
case $flavour in
  cloud) kernel_package=linux-image-cloud-amd64 ;;
  generic) kernel_package=linux-image-amd64 ;;
  *) fail "unknown kernel flavour '$flavour': say cloud or generic" ;;
esac

# What the init loads, in this order; modprobe brings the dependencies. The others lie ready for jobs that want them.
modules_loaded="virtio_pci virtio_blk virtio-rng crc32c_generic ext4"
modules_ready="virtio_mmio virtio_net virtio_console crc32c_intel vfat nls_ascii nls_cp437"
programs="fio mkfs.ext4 e2fsck resize2fs sfdisk blkdiscard blockdev lsblk"

cache=${VHOSTXEN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vhostxen}
hash=$(cat "$here/build-guest.sh" "$here/init" | sha256sum | cut -c1-16)
result=$cache/guest-$flavour-$hash
if [ -f "$result/initrd.img" ]; then
  echo "$result"
  exit 0
fi

mkdir -p "$cache"
exec 8>"$cache/guest-$flavour.lock"
flock 8
if [ -f "$result/initrd.img" ]; then
  echo "$result"
  exit 0
fi
"$root/eng/install-packages.sh" busybox-static fio e2fsprogs fdisk util-linux kmod cpio

work=$(mktemp -d "$cache/building-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/packages" "$work/kernel" "$work/root" "$work/result"

# The meta-package depends on exactly one real kernel image.
real_kernel() {
  apt-cache depends "$kernel_package" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}
refresh_lists() {
  progress "refreshing the package lists"
  if [ "$(id -u)" = 0 ]; then apt-get -q update; else sudo apt-get -q update; fi >&2 || fail "apt-get update failed"
}
download() { (cd "$work/packages" && apt-get -q -o APT::Sandbox::User=root download "$1") >&2; }

package=$(real_kernel)
[ -n "$package" ] || { refresh_lists; package=$(real_kernel); }
[ -n "$package" ] || fail "apt knows no $kernel_package"
progress "downloading $package"
download "$package" || { refresh_lists; package=$(real_kernel); download "$package"; } || fail "cannot download $package"

progress "unpacking the kernel"
dpkg-deb -x "$work"/packages/linux-image-*.deb "$work/kernel"
version=$(ls "$work/kernel/lib/modules")
cp "$work/kernel/boot/vmlinuz-$version" "$work/result/vmlinuz"

progress "collecting modules of $version"
depmod -b "$work/kernel" "$version"
# shellcheck disable=SC2086
modprobe -d "$work/kernel" -S "$version" --show-depends -a $modules_loaded $modules_ready |
  sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u >"$work/modules"
while read -r module; do
  target=$work/root/${module#"$work"/kernel/}
  mkdir -p "$(dirname "$target")"
  cp "$module" "$target"
done <"$work/modules"
cp "$work/kernel/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$work/root/lib/modules/$version/"
depmod -b "$work/root" "$version"
echo "$modules_loaded" >"$work/root/modules.load"

progress "collecting programs"
mkdir -p "$work/root"/{bin,sbin,usr/bin,usr/sbin,dev,lib64}
cp "$(command -v busybox)" "$work/root/bin/busybox"
PATH=$PATH:/usr/sbin:/sbin
# The shell is dash and not busybox's, which would run its own applets in place of the programs of the same name.
for program in dash $programs; do
  path=$(command -v "$program") || fail "$program is not installed"
  cp "$path" "$work/root/usr/sbin/$program"
  ldd "$path" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*\) .*/\1/p'
done | sort -u >"$work/libraries"
# One flat directory, which the loader searches by default: some libraries live in private ones on the host.
libraries=$work/root/lib/$(uname -m)-linux-gnu
mkdir -p "$libraries"
xargs cp -L -t "$libraries" <"$work/libraries"
install -D -m 755 "$(readlink -f /lib64/ld-linux-x86-64.so.2)" "$work/root/lib64/ld-linux-x86-64.so.2"
ln -s /usr/sbin/dash "$work/root/bin/sh"
install -m 755 "$here/init" "$work/root/init"

progress "packing the initramfs"
# Not compressed: unpacking gzip costs an emulated processor seconds.
(cd "$work/root" && find . -print0 | LC_ALL=C sort -z | cpio --quiet -0 -o -H newc -R 0:0) >"$work/result/initrd.img"
echo "$version" >"$work/result/version"
mv "$work/result" "$result"
progress "done: kernel $version, initramfs $(du -h "$result/initrd.img" | cut -f1)"
echo "$result"
