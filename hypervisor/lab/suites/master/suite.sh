# Stock Debian guests on real Xen whose disks are vhostxen-blk's, with xen-vhost-master for a device model. Arguments are the
# parts to run, all without any: pvh (two disks, no QEMU; "short" in its place leaves the rates out), root (a guest that
# boots from its disk), hvm (beside qemu-system-xen).

start_backend() { # NAME OPTION...: vhostxen-blk on /run/NAME.sock
    local name=$1; shift
    /payload/blk/vhostxen-blk --socket-path="/run/$name.sock" --xen=devices "$@" >> "/results/blk-$name.log" 2>&1 < /dev/null &
    echo $! > "/run/$name.pid"
}
stop_backend() { # NAME: with exit code 0
    kill "$(< "/run/$1.pid")"
    if wait "$(< "/run/$1.pid")"; then result "back-end-$1-ends" ok; else result "back-end-$1-ends" FAIL "exit $?"; fi
}
start_master() { # LOG OPTION...
    local log=$1; shift
    /payload/master/xen-vhost-master --log-level=Debug "$@" >> "/results/$log.log" 2>&1 < /dev/null &
    master=$!
}
master_says() { file_matches "/results/$1.log" "$2"; }
master_ends() { # NAME: with exit code 0
    if wait "$master"; then result "$1-master-ends" ok; else result "$1-master-ends" FAIL "exit $?"; fi
}

# requests NAME LOG: what each life of a guest cost, as the master saw it. The aim is one exit per kick and none per completion:
# what is left over is the set-up of devices, which no amount of I/O changes.
requests() {
    local line life=0
    while read -r line; do
        [[ $line =~ detached\ after\ ([0-9]+)\ requests\ \(([0-9]+)\ ports,\ ([0-9]+)\ memory,.*\),\ ([0-9]+)\ kicks ]] || continue
        life=$((life + 1))
        result "$1-life-$life" ok "${line##*: }"
        local rest=$((BASH_REMATCH[3] - BASH_REMATCH[4]))
        if ((rest < 1000)); then
            result "$1-life-$life-exits-are-kicks" ok "$rest memory accesses of ${BASH_REMATCH[3]} were no kicks"
        else
            result "$1-life-$life-exits-are-kicks" FAIL "$rest memory accesses of ${BASH_REMATCH[3]} were no kicks"
        fi
    done < "/results/$2.log"
    check "$1-detached" test "$life" -gt 0
}

# count: asks the running master, into exits and kicks (of the first disk).
count() {
    local reply word
    reply=$(python3 -S -E -c 'import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect("/run/master.control")
s.sendall(b"list\n")
print(s.makefile().read())')
    exits=0 kicks=0
    for word in $reply; do
        case $word in
            port-*=* | memory-*=* | pci-*=*) exits=$((exits + ${word#*=})) ;;
            kicks=*) kicks=${word#*=}; break ;;
        esac
    done
}
hundredths() { printf '%d.%02d' $(($1 / $2)) $(($1 % $2 * 100 / $2)); }
# on_count NAME from | to REQUESTS INTERRUPTS: what a measurement cost per request.
on_count() {
    local name=$1 what=$2 exits kicks requests=${3:-0} interrupts=${4:-0}
    [[ $name == vda-* ]] || return 0
    count
    if [ "$what" = from ]; then exits_from=$exits kicks_from=$kicks; return 0; fi
    ((requests > 0)) || { result "guest-$name-costs" FAIL "no requests"; return; }
    result "guest-$name-costs" ok "$requests requests: per request $(hundredths $((exits - exits_from)) "$requests") exits," \
        "$(hundredths $((kicks - kicks_from)) "$requests") kicks, $(hundredths "$interrupts" "$requests") interrupts"
}

# pci=lastbus=1: Linux looks for a PCI bus that ACPI does not mention.
pvh_words="pci=lastbus=1"
cat /payload/guest.cpio "$GUEST_INITRD" > /tmp/initrd

pvh() { # KERNEL-WORD...
    step "a PVH guest, its two disks, no QEMU"
    truncate -s 64M /dev/shm/one.img /dev/shm/two.img
    local pv='' started
    if [ "${1:-}" != lab.short ]; then
        truncate -s 64M /dev/shm/pv.img
        modprobe -a loop xen-blkback
        pv=$(losetup --show -f /dev/shm/pv.img)
    fi
    started=$(now_cs)
    # First of all, on its own: libxl gives its script for the PV disk forty seconds, which a busy machine makes short.
    GUEST_INITRD=/tmp/initrd GUEST_EXTRA=${pv:+"disk = [ 'phy:$pv,xvda,w' ]"}
    check create create_pvh_guest disks 512 2 "$pvh_words lab.run=/lab/guest.sh $*" paused || return
    start_backend one --blk-file=/dev/shm/one.img --num-queues=2
    start_backend two --blk-file=/dev/shm/two.img --num-queues=1
    start_master master --domain=disks --control=/run/master.control --device=block,socket=/run/one.sock --device=block,socket=/run/two.sock
    check attach wait_until 180 master_says master ": attached," || tail -n 5 /results/master.log
    step "attached after $(($(now_cs) - started)) cs"
    check no-qemu test -z "$(pgrep qemu)"

    started=$(now_cs)
    unpause_guest disks
    follow_guest disks guest "GUEST up" 180 && step "user space after $(($(now_cs) - started)) cs"
    if follow_guest disks guest "GUEST back-end may die now" 600; then
        result io ok
        nap 2
        step "kill -9 of the back-end"
        kill -9 "$(< /run/one.pid)"
        wait_until 20 master_says master "the back-end has gone"
        start_backend one --blk-file=/dev/shm/one.img --num-queues=2
        check back-end-comes-back wait_until 180 master_says master "the back-end is back"
        # All of it is for nothing if the guest was done with its work before.
        if file_matches "$(guest_console disks)" "GUEST try verify-while"; then result killed-in-the-middle FAIL; else result killed-in-the-middle ok; fi
        /payload/master/xen-vhost-master ctl --control=/run/master.control list > /results/ctl-list.txt 2>&1
        while read -r line; do result list ok "$line"; done < /results/ctl-list.txt
    else
        result io FAIL
    fi
    if follow_guest disks guest "GUEST (reboots|run-exit)" 600; then result reboots ok; else result reboots FAIL; fi
    step "the guest reboots"
    if follow_guest disks guest "GUEST run-exit 0" 400; then result second-life ok; else result second-life FAIL; fi
    check end wait_for_guest_end disks 90
    kill "$master" 2> /dev/null
    master_ends pvh
    requests pvh master
    stop_backend one
    stop_backend two
    check pvh-fsck e2fsck -fn /dev/shm/one.img
    [ -z "$pv" ] || losetup -d "$pv"
    GUEST_EXTRA=
}

root() {
    step "a guest whose root file system is the disk"
    start_backend root --blk-file=/payload/root.img --num-queues=1
    GUEST_INITRD=/lab/guest-initrd.gz
    local config
    config=$(write_guest_config root pvh 256 1 "$pvh_words lab.root=/dev/vda")
    : > "$(guest_console root)"
    start_master root run --device=block,socket=/run/root.sock -- xl create "$config"
    if follow_guest root root "GUEST root /dev/vda ext4" 400; then result root-boot ok "root file system on /dev/vda"; else result root-boot FAIL; fi
    follow_guest root root "GUEST done" 200
    check root-end wait_for_guest_end root 90
    master_ends root
    requests root root
    stop_backend root
    check root-fsck e2fsck -fn /payload/root.img
}

hvm() {
    step "an HVM guest beside QEMU"
    truncate -s 32M /dev/shm/hvm.img
    start_backend hvm --blk-file=/dev/shm/hvm.img --num-queues=1
    GUEST_INITRD=/tmp/initrd
    check hvm-create create_hvm_guest hvm 256 1 "lab.run=/lab/hvm.sh" paused || return
    start_master hvm --domain=hvm --device=block,socket=/run/hvm.sock
    check hvm-attach wait_until 180 master_says hvm ": attached,"
    check hvm-qemu pgrep -f qemu-system
    unpause_guest hvm
    if follow_guest hvm hvm "GUEST run-exit 0" 900; then result hvm-run ok; else result hvm-run FAIL; fi
    check hvm-end wait_for_guest_end hvm 90
    kill "$master" 2> /dev/null
    master_ends hvm
    requests hvm hvm
    stop_backend hvm
    check hvm-host-fsck e2fsck -fn /dev/shm/hvm.img
}

[ $# -ne 0 ] || set -- pvh root hvm
for part in "$@"; do
    part_started=$SECONDS
    if [ "$part" = short ]; then pvh lab.short; else "$part"; fi
    step "$part took $((SECONDS - part_started)) s"
done
