# An HVM guest with Debian's qemu-system-xen as its device model: what the master has to live beside.

step "HVM guest with qemu-system-xen"
start=$(now_cs)
check hvm-create create_hvm_guest hvm 320 1 ""
step "created after $(($(now_cs) - start)) cs"
id=$(guest_id hvm)
check hvm-device-model pgrep -f "qemu-system-i386.*-xen-domid $id"
if wait_for_console_marker hvm "GUEST up" 240; then
    result hvm-user-space ok "after $(($(now_cs) - start)) cs"
else
    result hvm-user-space FAIL "$(tail -n 3 "$(guest_console hvm)" | tr '\n' ' ')"
fi
check hvm-power-off wait_for_guest_end hvm 90
