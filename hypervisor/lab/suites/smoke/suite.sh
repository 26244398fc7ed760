# Is this a Xen that xl can drive, and does a stock Debian kernel run in a PVH guest?

step "xl"
check xl-info-version test "$(xl info xen_version)" != ""
capabilities=$(xl info virt_caps)
result xl-info-hvm "$([[ $capabilities == *hvm*hap* ]] && echo ok || echo FAIL)" "$capabilities"
for device in evtchn gntalloc gntdev hypercall privcmd xenbus; do
    check "dev-xen-$device" test -c "/dev/xen/$device"
done
check xenstore-read test "$(xenstore-read domid)" = 0

step "PVH guest"
start=$(now_cs)
check pvh-create create_pvh_guest pvh 256 1 ""
step "created after $(($(now_cs) - start)) cs"
if wait_for_console_marker pvh "GUEST up" 120; then
    result pvh-user-space ok "after $(($(now_cs) - start)) cs"
else
    result pvh-user-space FAIL "$(tail -n 3 "$(guest_console pvh)" | tr '\n' ' ')"
fi
check pvh-power-off wait_for_guest_end pvh 60

step "destroying a paused guest"
check pvh-create-paused create_pvh_guest idle 128 1 "" paused
check pvh-listed guest_id idle
check pvh-destroy destroy_guest idle
check pvh-gone guest_gone idle
