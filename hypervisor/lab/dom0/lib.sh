# What a suite in dom0 is written with. Sourced before suite.sh; every function returns 0 or 1, none exits.
#
#   RESULT lines are the protocol: "RESULT name ok|FAIL detail"; result and check print them.
#   Guests take their kernel and initramfs from GUEST_KERNEL (HVM: /lab/vmlinuz) and GUEST_INITRD, further xl lines from GUEST_EXTRA.

GUEST_KERNEL=${GUEST_KERNEL:-/lab/vmlinux}
GUEST_INITRD=${GUEST_INITRD:-/lab/guest-initrd.gz}
GUEST_EXTRA=${GUEST_EXTRA:-}
# The guest's kernel log stays quiet on its console: every line is a trip to xenconsoled. Without noearly Linux looks
# for AGP bridges on 256 buses, 8,000 exits, on a processor as old as the emulated one.
GUEST_CMDLINE="console=hvc0 quiet pci=lastbus=0,noearly mitigations=off nokaslr panic=-1 random.trust_cpu=on no_timer_check"

step() { echo "STEP $*"; }

# result NAME ok|FAIL [DETAIL...]
result() { echo "RESULT $*"; [ "$2" = ok ]; }

# check NAME COMMAND...: ok when the command succeeds; its last line of output is the detail. The log has all of a failure.
check() {
    local name=$1 output status; shift
    output=$("$@" 2>&1) && { result "$name" ok "${output##*$'\n'}"; return; }
    status=$?
    [ -z "$output" ] || echo "$output"
    result "$name" FAIL "exit $status: ${output##*$'\n'}"
}

# Seconds since dom0's kernel started, in hundredths, for differences.
now_cs() { local up; read -r up _ < /proc/uptime; echo $((10#${up/./})); }

# nap SECONDS: sleeps without starting a process, which costs 50 ms here.
exec {nap_fd}<> <(:)
nap() { read -rt "$1" -u "$nap_fd" _; return 0; }

# wait_until SECONDS COMMAND...: until the command succeeds.
wait_until() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do [ "$SECONDS" -lt "$end" ] || return 1; nap 0.3; done
}

# wait_for_marker FILE REGEX SECONDS: until the file has a line that matches.
wait_for_marker() { wait_until "$3" file_matches "$1" "$2"; }
file_matches() { [ -e "$1" ] && [[ $(< "$1") =~ $2 ]] 2>/dev/null; }

# guest_console NAME: the file xenconsoled writes the guest's console to (it is one of the run's results).
guest_console() { echo "/results/console/guest-$1.log"; }

# wait_for_console_marker NAME REGEX SECONDS: until the guest has printed it; gives up early when the guest is gone.
wait_for_console_marker() {
    local file end=$((SECONDS + $3)) polls=0
    file=$(guest_console "$1")
    until file_matches "$file" "$2"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        if ((++polls % 10 == 0)) && guest_gone "$1"; then file_matches "$file" "$2"; return; fi
        nap 0.3
    done
}

# write_guest_config NAME pvh|hvm MEMORY-MB VCPUS CMDLINE: prints the configuration file's name.
write_guest_config() {
    local file=/run/xen/$1.cfg
    local kernel=$GUEST_KERNEL
    # QEMU boots bzImages only; it unpacks the same kernel that PVH guests get plain.
    [ "$2" = hvm ] && [ "$kernel" = /lab/vmlinux ] && kernel=/lab/vmlinuz
    {
        echo "name = \"$1\""
        echo "type = \"$2\""
        echo "memory = $3"
        echo "vcpus = $4"
        echo "kernel = \"$kernel\""
        echo "ramdisk = \"$GUEST_INITRD\""
        echo "cmdline = \"$GUEST_CMDLINE $5\""
        echo 'on_poweroff = "destroy"'
        echo 'on_crash = "destroy"'
        [ "$2" = hvm ] && printf '%s\n' 'vga = "none"' 'nographic = 1' 'vnc = 0' 'sdl = 0' 'usb = 0'
        echo "$GUEST_EXTRA"
    } > "$file"
    echo "$file"
}

# create_pvh_guest NAME MEMORY-MB VCPUS CMDLINE [paused] and the same for HVM (with Debian's qemu-system-xen beside it).
create_pvh_guest() { create_guest pvh "$@"; }
create_hvm_guest() { create_guest hvm "$@"; }
create_guest() {
    local type=$1 name=$2 config options=(-q); shift
    config=$(write_guest_config "$name" "$type" "$2" "$3" "$4")
    [ "${5:-}" = paused ] && options+=(-p)
    : > "$(guest_console "$name")"
    xl create "${options[@]}" "$config"
}

unpause_guest() { xl unpause "$1"; }
guest_id() { xl domid "$1" 2>/dev/null; }
guest_gone() { ! xl domid "$1" > /dev/null 2>&1; }
wait_for_guest_end() { wait_until "$2" guest_gone "$1"; }
destroy_guest() { xl destroy "$1" && wait_for_guest_end "$1" 30; }

# follow_guest NAME PREFIX REGEX SECONDS: prints the guest's results as they come, until it prints a line that matches. What a
# guest prints as "GUEST try WHAT ok|FAIL DETAIL" or "GUEST rate WHAT FIGURES" is a result; "GUEST count WHAT ..." calls the
# suite's on_count WHAT... at once. Gives up early on a guest that failed, or that has been gone for half a minute (a reboot
# leaves a moment without a guest). Nothing polls here: what dom0 does while guests measure is in their figures.
declare -A guest_followed=()
follow_guest() {
    local end=$((SECONDS + $4)) gone_since='' fd line word kind what rest status
    if [ -z "${guest_followed[$1]:-}" ]; then
        exec {fd}< <(exec tail -n +1 -F "/results/console/guest-$1.log" 2> /dev/null)
        guest_followed[$1]=$fd
    fi
    fd=${guest_followed[$1]}
    while ((SECONDS < end)); do
        if ! read -rt 10 -u "$fd" line; then
            if guest_gone "$1"; then : "${gone_since:=$SECONDS}"; else gone_since=; fi
            if [ -n "$gone_since" ] && ((SECONDS >= gone_since + 30)); then return 1; fi
            continue
        fi
        line=${line%$'\r'}
        read -r word kind what rest <<< "$line"
        case "$word $kind" in
            "GUEST try") result "$2-$what" $rest ;;
            "GUEST rate") result "$2-$what" ok "$rest" ;;
            "GUEST count") on_count "$what" $rest ;;
        esac
        if [[ $line =~ $3 ]]; then return 0; fi
        if [[ $line =~ "Kernel panic"|"GUEST no-root"|"GUEST run-exit "[1-9] ]]; then return 1; fi
    done
    return 1
}

# guest_results NAME PREFIX: all of a guest's results at once, for a suite that did not follow it.
guest_results() {
    local word kind what rest
    while read -r word kind what rest; do
        case "$word $kind" in
            "GUEST try") result "$2-$what" ${rest%$'\r'} ;;
            "GUEST rate") result "$2-$what" ok "${rest%$'\r'}" ;;
        esac
    done < "$(guest_console "$1")"
}
