# Stock Debian guests on real Xen whose disks are vhostxen-blk's, with xen-vhost-master for a device model: a PVH guest
# without any QEMU, one that boots from its disk, and an HVM guest beside qemu-system-xen. "master quick" skips the latter two.

start_backend() { # NAME OPTION...: vhostxen-blk on /run/NAME.sock
    local name=$1; shift
    /payload/blk/vhostxen-blk --socket-path="/run/$name.sock" --xen=devices "$@" >> "/results/blk-$name.log" 2>&1 < /dev/null &
    echo $! > "/run/$name.pid"
}
start_master() { # LOG OPTION...
    local log=$1; shift
    /payload/master/xen-vhost-master --log-level=Debug "$@" >> "/results/$log.log" 2>&1 < /dev/null &
    master=$!
}
master_says() { file_matches "/results/$1.log" "$2"; }
master_ends() { # NAME: with exit code 0
    wait "$master" && result "$1-master-ends" ok || result "$1-master-ends" FAIL "exit $?"
}
stop_master() { # NAME LOG
    kill "$master" 2> /dev/null
    master_ends "$1"
    check "$1-master-detached" master_says "$2" ": detached after"
    [[ $(< "/results/$2.log") =~ :\ detached\ after\ [^$'\n']* ]] && result "$1-requests" ok "${BASH_REMATCH[0]#: }"
}

# pci=lastbus=1: Linux looks for a PCI bus that ACPI does not mention.
pvh_words="pci=lastbus=1"
cat /payload/guest.cpio "$GUEST_INITRD" > /tmp/initrd

step "back-ends and master"
truncate -s 64M /dev/shm/one.img /dev/shm/two.img /dev/shm/pv.img
modprobe -a loop xen-blkback
pv=$(losetup --show -f /dev/shm/pv.img)
started=$(now_cs)
start_backend one --blk-file=/dev/shm/one.img --num-queues=2
start_backend two --blk-file=/dev/shm/two.img --num-queues=1
GUEST_INITRD=/tmp/initrd GUEST_EXTRA="disk = [ 'phy:$pv,xvda,w' ]"
check create create_pvh_guest disks 512 2 "$pvh_words lab.run=/lab/guest.sh" paused
start_master master --domain=disks --control=/run/master.control --device=block,socket=/run/one.sock --device=block,socket=/run/two.sock
check attach wait_until 180 master_says master ": attached," || tail -n 5 /results/master.log
step "attached after $(($(now_cs) - started)) cs"
check no-qemu test -z "$(pgrep qemu)"

step "the guest runs"
started=$(now_cs)
unpause_guest disks
wait_for_console_marker disks "GUEST up" 180 && step "user space after $(($(now_cs) - started)) cs"
if check io wait_for_console_marker disks "GUEST back-end may die now" 400; then
    step "kill -9 of the back-end"
    nap 2
    kill -9 "$(< /run/one.pid)"
    wait_until 20 master_says master "the back-end has gone"
    start_backend one --blk-file=/dev/shm/one.img --num-queues=2
    check back-end-comes-back wait_until 120 master_says master "the back-end is back"
    /payload/master/xen-vhost-master ctl --control=/run/master.control list > /results/ctl-list.txt 2>&1
    while read -r line; do result list ok "$line"; done < /results/ctl-list.txt
fi
check reboots wait_for_console_marker disks "GUEST (reboots|run-exit)" 400
step "the guest reboots"
# Between its lives there is no guest of that name, which must not end the wait.
check second-life wait_for_marker "$(guest_console disks)" "GUEST run-exit 0" 300
check end wait_for_guest_end disks 60
guest_results disks guest
stop_master pvh master
kill "$(< /run/one.pid)" "$(< /run/two.pid)"

GUEST_EXTRA=
if [ "${1:-}" != quick ]; then
    step "a guest whose root file system is the disk"
    start_backend root --blk-file=/payload/root.img --num-queues=1
    GUEST_INITRD=/lab/guest-initrd.gz
    config=$(write_guest_config root pvh 256 1 "$pvh_words lab.root=/dev/vda")
    : > "$(guest_console root)"
    start_master root run --device=block,socket=/run/root.sock -- xl create "$config"
    check root-boot wait_for_marker "$(guest_console root)" "GUEST root /dev/vda ext4" 300
    check root-end wait_for_guest_end root 90
    master_ends root
    guest_results root root
    kill "$(< /run/root.pid)"; wait "$(< /run/root.pid)" 2> /dev/null
    check root-fsck e2fsck -fn /payload/root.img

    step "an HVM guest beside QEMU"
    truncate -s 32M /dev/shm/hvm.img
    start_backend hvm --blk-file=/dev/shm/hvm.img --num-queues=1
    GUEST_INITRD=/tmp/initrd
    check hvm-create create_hvm_guest hvm 384 1 "lab.run=/lab/hvm.sh" paused
    start_master hvm --domain=hvm --device=block,socket=/run/hvm.sock
    check hvm-attach wait_until 180 master_says hvm ": attached,"
    unpause_guest hvm
    check hvm-run wait_for_console_marker hvm "GUEST run-exit 0" 500
    check hvm-end wait_for_guest_end hvm 90
    guest_results hvm hvm
    stop_master hvm hvm
    kill "$(< /run/hvm.pid)"
fi
wait
