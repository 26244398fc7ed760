#!/bin/sh
# In the guest, first boot: what its PCI bus has, verified I/O and file systems on two virtio disks, rates as fio's terse
# lines, I/O while the back-end dies; then a reboot, after which the second boot looks at what the first one wrote.
# lab.short on the command line leaves the rates out.
fails=0
# Every process costs a tenth of a second here, so the shell does itself what it can.
last_line() { last=; while read -r line; do last=$line; done < /tmp/out; }
try() { name=$1; shift; if "$@" > /tmp/out 2>&1; then last_line; echo "GUEST try $name ok $last"; else last_line; echo "GUEST try $name FAIL $last"; fails=$((fails + 1)); fi; }
interrupts() { awk '/virtio[01]-/ { for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }' /proc/interrupts; }
rate() { # NAME DISK RW SIZE DEPTH
    echo "GUEST count $1 from"
    sleep 2
    before=$(interrupts)
    fio --name=rate --filename="/dev/$2" --direct=1 --ioengine=libaio --rw="$3" --bs="$4" --iodepth="$5" --runtime=4 --time_based \
        --minimal > /tmp/rate 2>&1
    after=$(interrupts)
    # A terse line has KiB moved, bandwidth and rate: fields 6, 7, 8 of reading and 47, 48, 49 of writing.
    echo "GUEST rate $1 $(awk -F ';' 'NF > 50 { print ($8 + $49) " iops " ($7 + $48) " KiB/s" }' /tmp/rate)"
    echo "GUEST count $1 to $(awk -F ';' -v size="${4%k}" 'NF > 50 { print int(($6 + $47) / size) }' /tmp/rate) $((after - before))"
    sleep 1
}
verify() { # NAME DISK SIZE OPTION...
    local name=$1 disk=$2 size=$3; shift 3
    try "$name" fio --name=verify --filename="/dev/$disk" --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=8 --size="$size" \
        --verify=crc32c --verify_fatal=1 --do_verify=1 "$@"
}
filesystem() {
    try "mkfs-$1" mkfs.ext4 -q -F "/dev/$1"
    try "mount-$1" mount -t ext4 "/dev/$1" /mnt
    try "write-$1" dd if=/dev/urandom of=/mnt/file bs=64k count=32
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
while [ ! -b /dev/vdb ] && [ $tries -lt 300 ]; do tries=$((tries + 1)); usleep 100000; done
read -r up _ < /proc/uptime
echo "GUEST try disks-found ok $up s after the kernel's start"
if mount -t ext4 -o ro /dev/vdb /mnt 2> /dev/null; then
    umount /mnt
    same_bytes vda reboot
    same_bytes vdb reboot
    try reboot-fsck-vda e2fsck -fn /dev/vda
    exit $fails
fi

for device in /sys/bus/pci/devices/*; do
    read -r vendor < "$device/vendor"
    read -r id < "$device/device"
    driver=; while IFS== read -r key value; do [ "$key" = DRIVER ] && driver=$value; done < "$device/uevent"
    echo "GUEST try pci-${device##*:} ok $vendor:$id driver $driver"
done
grep virtio /proc/interrupts > /tmp/lines
try disks test -b /dev/vda -a -b /dev/vdb
try two-queues test -d /sys/block/vda/mq/1
echo "GUEST try queues ok $(ls /sys/block/vda/mq | wc -l) of vda, $(ls /sys/block/vdb/mq | wc -l) of vdb, $(wc -l < /tmp/lines) interrupts"
try read-first dd if=/dev/vda of=/dev/null bs=4k count=16 iflag=direct
# Both processors, so both queues of the first disk.
verify verify-vda vda 2M --numjobs=2 --offset_increment=2M --cpus_allowed=0-1 --cpus_allowed_policy=split
verify verify-vdb vdb 2M
if ! grep -q lab.short /proc/cmdline; then
    # Ours and, in the same guest and minute, Xen's own PV disk (xen-blkback, xen-blkfront) on an equal file.
    for disk in vda xvda; do
        rate "$disk-randread-4k-qd1" $disk randread 4k 1
        rate "$disk-randread-4k-qd16" $disk randread 4k 16
        rate "$disk-randwrite-4k-qd16" $disk randwrite 4k 16
        rate "$disk-read-128k-qd4" $disk read 128k 4
    done
fi
echo "GUEST back-end may die now"
verify verify-while-the-back-end-dies vda 8M
filesystem vda
filesystem vdb
same_bytes vda first
[ $fails -eq 0 ] || exit $fails
echo "GUEST reboots"
sync
reboot -f
