#!/bin/sh
# In the HVM guest beside QEMU: its disk, with interrupts, verified.
fails=0
try() { name=$1; shift; if "$@" > /tmp/out 2>&1; then echo "GUEST try $name ok $(tail -n 1 /tmp/out)"; else echo "GUEST try $name FAIL $(tail -n 1 /tmp/out)"; fails=$((fails + 1)); fi; }
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 300 ]; do tries=$((tries + 1)); usleep 100000; done
echo "GUEST try pci ok $(for device in /sys/bus/pci/devices/*; do printf '%s %s:%s, ' "${device##*:}" "$(cat "$device/vendor")" "$(cat "$device/device")"; done)"
echo "GUEST try interrupts ok $(grep virtio /proc/interrupts | awk '{ print $NF "=" $2 "(" $3 ")" }' | tr '\n' ' ')"
try verify fio --name=verify --filename=/dev/vda --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=4 --size=1M \
    --verify=crc32c --verify_fatal=1 --do_verify=1
try mkfs mkfs.ext4 -q -F /dev/vda
try fsck e2fsck -fn /dev/vda
exit $fails
