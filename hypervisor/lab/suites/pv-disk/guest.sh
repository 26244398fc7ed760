#!/bin/sh
# In the guest: a file system and verified I/O on the disk, then rates, as fio's terse lines.
disk=/dev/xvda
fails=0
try() { name=$1; shift; if "$@" > /tmp/out 2>&1; then echo "GUEST try $name ok"; else echo "GUEST try $name FAIL $(tail -n 1 /tmp/out)"; fails=$((fails + 1)); fi; }
rate() {
    fio --name=rate --filename=$disk --direct=1 --ioengine=libaio --rw="$2" --bs="$3" --iodepth="$4" --runtime=4 --time_based \
        --minimal > /tmp/rate 2>&1
    echo "GUEST rate $1 $(awk -F ';' 'NF > 50 { print ($8 > 0 ? $8 : $49) " iops " ($7 > 0 ? $7 : $48) " KiB/s" }' /tmp/rate)"
}

tries=0
while [ ! -b $disk ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); usleep 100000; done
try disk test -b $disk
try verify fio --name=verify --filename=$disk --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=8 --size=8M \
    --verify=crc32c --verify_fatal=1 --do_verify=1
rate randread-4k-qd1 randread 4k 1
rate randread-4k-qd16 randread 4k 16
rate read-128k-qd4 read 128k 4
try mkfs mkfs.ext4 -q -F $disk
try mount mount -t ext4 $disk /mnt
try write dd if=/dev/urandom of=/mnt/file bs=64k count=64
before=$(md5sum < /mnt/file)
try unmount umount /mnt
try fsck e2fsck -fn $disk
try remount mount -t ext4 $disk /mnt
try same-bytes test "$before" = "$(md5sum < /mnt/file)"
try unmount-again umount /mnt
exit $fails
