# A stock Debian guest on real Xen whose disks are vhostxen-blk's, with xen-vhost-master for a device model.

start_backend() { # NAME OPTION...: vhostxen-blk on /run/NAME.sock
    local name=$1; shift
    /payload/blk/vhostxen-blk --socket-path="/run/$name.sock" --xen=devices "$@" >> "/results/blk-$name.log" 2>&1 < /dev/null &
    echo $! > "/run/$name.pid"
}
master_says() { file_matches /results/master.log "$1"; }

step "back-ends and master"
truncate -s 64M /dev/shm/one.img /dev/shm/two.img
started=$(now_cs)
start_backend one --blk-file=/dev/shm/one.img --num-queues=2
start_backend two --blk-file=/dev/shm/two.img
check backends wait_until 120 test -S /run/one.sock -a -S /run/two.sock
step "back-ends after $(($(now_cs) - started)) cs"

cat /payload/guest.cpio "$GUEST_INITRD" > /tmp/initrd
GUEST_INITRD=/tmp/initrd
check create create_pvh_guest disks 512 2 "pci=lastbus=1 lab.run=/lab/guest.sh" paused
started=$(now_cs)
/payload/master/xen-vhost-master --domain=disks --log-level=Debug --control=/run/master.control \
    --device=block,socket=/run/one.sock --device=block,socket=/run/two.sock >> /results/master.log 2>&1 < /dev/null &
master=$!
check attach wait_until 120 master_says ": attached," || tail -n 5 /results/master.log
step "attached after $(($(now_cs) - started)) cs"

step "the guest runs"
started=$(now_cs)
unpause_guest disks
wait_for_console_marker disks "GUEST up" 120 && step "user space after $(($(now_cs) - started)) cs"
check run wait_for_console_marker disks "GUEST run-exit 0" 300
/payload/master/xen-vhost-master ctl --control=/run/master.control list > /results/ctl-list.txt 2>&1
while read -r line; do result list ok "$line"; done < /results/ctl-list.txt
check end wait_for_guest_end disks 60
guest_results disks guest
kill "$master"
check master-stops wait_until 30 master_says ": detached after"
kill "$(< /run/one.pid)" "$(< /run/two.pid)"
wait
