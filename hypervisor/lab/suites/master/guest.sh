#!/bin/sh
# In the guest: what its PCI bus has, then file systems and verified I/O on two virtio disks, then rates as fio's terse lines.
fails=0
try() { name=$1; shift; if "$@" > /tmp/out 2>&1; then echo "GUEST try $name ok $(tail -n 1 /tmp/out)"; else echo "GUEST try $name FAIL $(tail -n 1 /tmp/out)"; fails=$((fails + 1)); fi; }
rate() {
    fio --name=rate --filename=/dev/vda --direct=1 --ioengine=libaio --rw="$2" --bs="$3" --iodepth="$4" --runtime=4 --time_based \
        --minimal > /tmp/rate 2>&1
    echo "GUEST rate $1 $(awk -F ';' 'NF > 50 { print ($8 > 0 ? $8 : $49) " iops " ($7 > 0 ? $7 : $48) " KiB/s" }' /tmp/rate)"
}
verify() {
    try "verify-$1" fio --name=verify --filename="/dev/$1" --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=8 --size=8M \
        --verify=crc32c --verify_fatal=1 --do_verify=1
}
filesystem() {
    try "mkfs-$1" mkfs.ext4 -q -F "/dev/$1"
    try "mount-$1" mount -t ext4 "/dev/$1" /mnt
    try "write-$1" dd if=/dev/urandom of=/mnt/file bs=64k count=64
    before=$(md5sum < /mnt/file)
    try "unmount-$1" umount /mnt
    try "fsck-$1" e2fsck -fn "/dev/$1"
    try "remount-$1" mount -t ext4 "/dev/$1" /mnt
    try "same-bytes-$1" test "$before" = "$(md5sum < /mnt/file)"
    try "unmount-again-$1" umount /mnt
}

tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); usleep 100000; done
for device in /sys/bus/pci/devices/*; do
    echo "GUEST try pci-${device##*:} ok $(cat "$device/vendor"):$(cat "$device/device") driver $(basename "$(readlink "$device/driver")" 2>/dev/null)"
done
[ -b /dev/vda ] || { lsmod; dmesg | grep -iE 'pci|virtio|BAR' | tail -n 40; }
try disks test -b /dev/vda -a -b /dev/vdb
try read-first dd if=/dev/vda of=/dev/null bs=4k count=16 iflag=direct
echo "GUEST try queues ok $(ls /sys/block/vda/mq | wc -l) of vda, $(ls /sys/block/vdb/mq | wc -l) of vdb"
verify vda
verify vdb
rate randread-4k-qd1 randread 4k 1
rate randread-4k-qd16 randread 4k 16
rate read-128k-qd4 read 128k 4
filesystem vda
filesystem vdb
exit $fails
