#!/usr/bin/env bash
# Builds everything the lab boots, from Debian 12 packages by name, and prints the directory it is in:
#
#   xen                the hypervisor (plain multiboot ELF: QEMU's -kernel wants it unpacked)
#   vmlinuz, vmlinux   the Debian kernel, packed and plain, of dom0 and of the guests
#   dom0-initrd.gz     finds the dom0 disk and switches to it
#   dom0.img           dom0's root file system (read-only base: every run writes to an overlay)
#   guest-initrd.gz    busybox, the virtio and xen front-end modules, guest/init
#   tree/              the tree dom0.img was made from; suites take guest programs out of it
#
# Nothing is installed on this machine but the tools the build itself uses. The packages are only unpacked: no
# maintainer script runs, no chroot, no loop mount. The result is kept under a name that is the hash of what decides
# it, so a second call returns at once.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mirror=${VHOSTXEN_DEBIAN_MIRROR:-http://deb.debian.org}
cache=${VHOSTXEN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vhostxen}/lab

dom0_packages=(
    base-files base-passwd bash bsdutils coreutils dash e2fsprogs fio grep gzip iproute2 kmod mawk mount procps
    python3-minimal qemu-system-xen sed tar util-linux xen-utils-4.17 xenstore-utils busybox-static
)
# Dependencies that only maintainer scripts or unused programs want.
skip='^(perl|libperl|perl-modules|perl-base|debconf|dpkg|usrmerge|udev|iso-codes|adduser|passwd|lib[a-z-]*-perl|ipxe-qemu|media-types)[0-9.-]*_'

dom0_modules=(
    virtio_blk virtio_net virtio_pci virtio_mmio ext4 crc32c_generic loop tun bridge vfat
    xenfs xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xen-blkback xen-netback xen-pciback
)
initrd_modules=(virtio_pci virtio_blk crc32c_generic ext4)
guest_modules=(virtio_pci virtio_mmio virtio_blk virtio_net crc32c_generic ext4 xen-blkfront xen-netfront xen-gntalloc xen-gntdev xen-evtchn)

say() { echo "lab image: $*" >&2; }

# An apt of its own, which knows nothing of what this machine has installed: the closure is the same everywhere.
private_apt() {
    local tool=$1; shift
    "$tool" -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)" \
        -o Debug::NoLocking=1 -o Acquire::Retries=3 "$@"
}

fetch() {
    say "fetching package lists from $mirror"
    mkdir -p "$apt"/state/lists/partial "$apt"/cache/archives/partial
    : > "$apt/status"
    local options='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    cat > "$apt/sources.list" <<-EOF
	deb $options $mirror/debian bookworm main
	deb $options $mirror/debian bookworm-updates main
	deb $options $mirror/debian-security bookworm-security main
	EOF
    private_apt apt-get update -qq >&2

    local kernel
    kernel=$(private_apt apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
    say "fetching $kernel, xen-hypervisor-4.17-amd64 and dom0's packages"
    (cd "$apt/cache/archives" && private_apt apt-get download -qq "$kernel" xen-hypervisor-4.17-amd64 >&2)
    private_apt apt-get install -y -qq --no-install-recommends --download-only "${dom0_packages[@]}" >&2
}

unpack() {
    say "unpacking"
    local directory deb
    mkdir -p "$tree"/usr/{bin,sbin,lib,lib64} "$boot"
    for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$tree/$directory"; done
    for deb in "$apt"/cache/archives/*.deb; do
        case ${deb##*/} in
            linux-image-* | xen-hypervisor-*) dpkg-deb -x "$deb" "$boot" ;;
            *) echo "${deb##*/}" | grep -Eq "$skip" ||
                dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-same-owner -C "$tree" \
                    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
                    --exclude='./usr/share/info/*' --exclude='./usr/share/icons/*' \
                    --exclude='./usr/lib/debug/*' --exclude='./usr/lib/systemd/*' --exclude='./usr/share/bash-completion/*' ;;
        esac
    done
    release=$(basename "$boot"/lib/modules/*)
    gunzip -c "$boot/boot/xen-4.17-amd64.gz" > "$out/xen"
    cp "$boot/boot/vmlinuz-$release" "$out/vmlinuz"
    # The same kernel without its xz wrapping: unpacking it costs Xen and xl ten seconds each under emulation.
    local offset
    offset=$(LC_ALL=C grep -abo -m1 -P '\xFD7zXZ\x00' "$out/vmlinuz" | head -n 1 | cut -d: -f1)
    tail -c "+$((offset + 1))" "$out/vmlinuz" | xz -dc --single-stream > "$out/vmlinux" || true
    [ "$(head -c 4 "$out/vmlinux" | tail -c 3)" = ELF ] || { say "no kernel in $out/vmlinuz"; exit 1; }
}

# Module files in the order they must be loaded: modprobe resolves it from the unpacked tree.
module_files() {
    local module
    for module in "$@"; do
        modprobe -d "$boot" -S "$release" --show-depends "$module" | awk '$1 == "insmod" && !/crc32c-intel/ { print $2 }'
    done | awk '!seen[$0]++'
}

add_modules() {
    local file target=$1/lib/modules/$release; shift
    mkdir -p "$target"
    for file in $(module_files "$@"); do
        install -D -m 644 "$file" "$target/${file#"$boot/lib/modules/$release/"}"
    done
    cp "$boot/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$target"
}

make_tree() {
    say "dom0 tree"
    mkdir -p "$tree"/{dev,proc,sys,run,tmp,root,lab,etc/xen,var/lib/xen,var/log/xen}
    cp "$tree/usr/share/base-passwd/passwd.master" "$tree/etc/passwd"
    cp "$tree/usr/share/base-passwd/group.master" "$tree/etc/group"
    echo dom0 > "$tree/etc/hostname"
    echo '127.0.0.1 localhost dom0' > "$tree/etc/hosts"
    rm -rf "$tree/var/lib/dpkg" "$tree/var/cache"/* "$tree"/usr/lib/python3/dist-packages/* 
    ln -sf mawk "$tree/usr/bin/awk"
    rm -rf "$tree/var/run" "$tree/var/lock"
    ln -s /run "$tree/var/run"; ln -s /run/lock "$tree/var/lock"
    add_modules "$tree" "${dom0_modules[@]}"
    depmod -b "$tree" "$release"
    ldconfig -r "$tree"
    cp "$out/vmlinuz" "$out/vmlinux" "$out/guest-initrd.gz" "$tree/lab/"
}

# pack_initrd FILE INIT MODULE...: busybox, INIT as /init, the modules with /modules listing them in loading order.
pack_initrd() {
    local file=$1 init=$2 root=$work/initrd name; shift 2
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,proc,sys,root,modules,mnt,tmp,run}
    cp "$tree/usr/bin/busybox" "$root/bin/busybox"
    for name in $("$root/bin/busybox" --list); do ln -s busybox "$root/bin/$name" 2>/dev/null || true; done
    for name in $(module_files "$@"); do
        cp "$name" "$root/modules/"; basename "$name" >> "$root/modules/order"
    done
    install -m 755 "$init" "$root/init"
    (cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -6) > "$file"
}

PATH=$PATH:/usr/sbin:/sbin
key=$(cat "$0" "$here/dom0/initrd-init" "$here/guest/init" | sha256sum | cut -c1-16)
final=$cache/image-$key
if [ -e "$final/complete" ]; then touch "$final"; echo "$final"; exit; fi

mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9
if [ -e "$final/complete" ]; then echo "$final"; exit; fi

started=$SECONDS
"$here/../../eng/install-packages.sh" cpio debian-archive-keyring e2fsprogs kmod xz-utils >&2
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
apt=$cache/apt out=$work/out tree=$work/out/tree boot=$work/boot
mkdir -p "$out"
rm -rf "$apt/cache/archives"
fetch
unpack
depmod -b "$boot" "$release"
pack_initrd "$out/dom0-initrd.gz" "$here/dom0/initrd-init" "${initrd_modules[@]}"
pack_initrd "$out/guest-initrd.gz" "$here/guest/init" "${guest_modules[@]}"
make_tree
size=$(($(du -sm "$tree" | cut -f1) + 160))
say "dom0.img, $size MB"
mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1,root_owner=0:0 -d "$tree" "$out/dom0.img" "${size}M" > /dev/null
date -u +%FT%TZ > "$out/complete"
rm -rf "$final"
mv "$out" "$final"
find "$cache" -maxdepth 1 -name 'image-*' -mtime +7 -exec rm -rf {} +
say "built in $((SECONDS - started)) s: $final"
echo "$final"
