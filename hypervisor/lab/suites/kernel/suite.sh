# LinuxXenKernel (src/XenMemoryProvider/Kernel) against this Xen and this kernel, with a paused PVH guest to work on.

step "paused guest"
check kernel-guest create_pvh_guest target 256 2 "" paused
step "kernel-probe"
# Its own RESULT lines count; the exit code says that it came to its end.
if /payload/probe/kernel-probe "$(guest_id target)"; then result kernel-probe ok; else result kernel-probe FAIL "exit $?"; fi
check kernel-guest-destroy destroy_guest target
