# Guest memory, ioreq servers and xenstore (src/XenMemoryProvider) on real Xen: a PVH guest fills its memory with what only
# it can know, dom0 maps all of it, finds every page, answers in each, and the guest looks at the answers.

megabytes=256
step "paused guest"
cat /payload/guest.cpio /lab/guest-initrd.gz > /tmp/initrd
GUEST_INITRD=/tmp/initrd
# pci=lastbus=1: Linux looks for a PCI bus that ACPI does not mention; the probe answers as its host bridge.
check memory-guest create_pvh_guest target $megabytes 1 "pci=lastbus=1 lab.run=/lab/fill lab.hold" paused
id=$(guest_id target)
step "memory-probe"
if /payload/probe/memory-probe "$id" target "$(guest_console target)" $megabytes; then result memory-probe ok; else result memory-probe FAIL "exit $?"; fi

step "guest dies while it is mapped"
if /payload/probe/memory-probe "$id" target dying $megabytes; then result memory-dying ok; else result memory-dying FAIL "exit $?"; fi
check memory-guest-gone wait_for_guest_end target 60
