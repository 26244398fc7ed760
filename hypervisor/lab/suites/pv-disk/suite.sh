# Xen's own disk path (xen-blkback in dom0, xen-blkfront in the guest) under the guest script of our disks' suites:
# the figures to compare ours with, taken on the same machine.

step "guest with a PV disk"
modprobe -a loop xen-blkback
truncate -s 64M /dev/shm/disk.img
disk=$(losetup --show -f /dev/shm/disk.img)
cat /payload/guest.cpio "$GUEST_INITRD" > /tmp/initrd
GUEST_INITRD=/tmp/initrd GUEST_EXTRA="disk = [ 'phy:$disk,xvda,w' ]"
start=$(now_cs)
check pv-create create_pvh_guest pv 512 1 "lab.run=/lab/guest.sh"
wait_for_console_marker pv "GUEST up" 120 && step "user space after $(($(now_cs) - start)) cs"
check pv-run wait_for_console_marker pv "GUEST run-exit 0" 240
check pv-end wait_for_guest_end pv 60
guest_results pv pv

step "guest whose root file system is the disk"
root=$(losetup --show -f /payload/root.img)
GUEST_INITRD=/lab/guest-initrd.gz GUEST_EXTRA="disk = [ 'phy:$root,xvda,w' ]"
check root-create create_pvh_guest root 256 1 "lab.root=/dev/xvda"
check root-boot wait_for_console_marker root "GUEST root /dev/xvda ext4" 240
check root-end wait_for_guest_end root 90
guest_results root root
check root-fsck e2fsck -fn "$root"
