#!/bin/sh
# First process of a guest whose root file system is the disk: proves that it is, and that it can be written.
export PATH=/bin
echo "GUEST root $(awk '$2 == "/" && $1 != "rootfs" { print $1, $3 }' /proc/mounts)"
date > /etc/written && sync && echo "GUEST try root-writable ok"
mount -o remount,ro /
echo "GUEST done"
poweroff -f
