#!/bin/sh
# In the guest, first boot: what its PCI bus has, verified I/O and file systems on two virtio disks, rates as fio's terse
# lines, I/O while the back-end dies; then a reboot, after which the second boot looks at what the first one wrote.
fails=0
try() { name=$1; shift; if "$@" > /tmp/out 2>&1; then echo "GUEST try $name ok $(tail -n 1 /tmp/out)"; else echo "GUEST try $name FAIL $(tail -n 1 /tmp/out)"; fails=$((fails + 1)); fi; }
rate() { # NAME DISK RW SIZE DEPTH
    fio --name=rate --filename="/dev/$2" --direct=1 --ioengine=libaio --rw="$3" --bs="$4" --iodepth="$5" --runtime=4 --time_based \
        --minimal > /tmp/rate 2>&1
    echo "GUEST rate $1 $(awk -F ';' 'NF > 50 { print ($8 > 0 ? $8 : $49) " iops " ($7 > 0 ? $7 : $48) " KiB/s" }' /tmp/rate)"
}
verify() { # NAME DISK SIZE OPTION...
    local name=$1 disk=$2 size=$3; shift 3
    try "$name" fio --name=verify --filename="/dev/$disk" --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=8 --size="$size" \
        --verify=crc32c --verify_fatal=1 --do_verify=1 "$@"
}
filesystem() {
    try "mkfs-$1" mkfs.ext4 -q -F "/dev/$1"
    try "mount-$1" mount -t ext4 "/dev/$1" /mnt
    try "write-$1" dd if=/dev/urandom of=/mnt/file bs=64k count=64
    md5sum < /mnt/file > /mnt/sum
    try "unmount-$1" umount /mnt
    try "fsck-$1" e2fsck -fn "/dev/$1"
}
same_bytes() {
    try "$2-mount-$1" mount -t ext4 "/dev/$1" /mnt
    try "$2-same-bytes-$1" test "$(cat /mnt/sum)" = "$(md5sum < /mnt/file)"
    try "$2-unmount-$1" umount /mnt
}

tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); usleep 100000; done
if e2fsck -fn /dev/vdb > /dev/null 2>&1; then
    same_bytes vda reboot
    same_bytes vdb reboot
    try reboot-fsck-vda e2fsck -fn /dev/vda
    exit $fails
fi

for device in /sys/bus/pci/devices/*; do
    echo "GUEST try pci-${device##*:} ok $(cat "$device/vendor"):$(cat "$device/device") driver $(basename "$(readlink "$device/driver")" 2>/dev/null)"
done
grep -c virtio /proc/interrupts > /tmp/lines
try disks test -b /dev/vda -a -b /dev/vdb
try read-first dd if=/dev/vda of=/dev/null bs=4k count=16 iflag=direct
echo "GUEST try queues ok $(ls /sys/block/vda/mq | wc -l) of vda, $(ls /sys/block/vdb/mq | wc -l) of vdb, $(cat /tmp/lines) interrupts"
verify verify-vda vda 8M
verify verify-vdb vdb 4M
# Ours and, in the same guest and minute, Xen's own PV disk (xen-blkback, xen-blkfront) on an equal file.
for disk in vda xvda vda xvda; do
    rate "$disk-randread-4k-qd1" $disk randread 4k 1
    rate "$disk-randread-4k-qd16" $disk randread 4k 16
    rate "$disk-randwrite-4k-qd16" $disk randwrite 4k 16
    rate "$disk-read-128k-qd4" $disk read 128k 4
done
echo "GUEST back-end may die now"
verify verify-while-the-back-end-dies vda 12M
filesystem vda
filesystem vdb
same_bytes vda first
[ $fails -eq 0 ] || exit $fails
echo "GUEST reboots"
sync
reboot -f
