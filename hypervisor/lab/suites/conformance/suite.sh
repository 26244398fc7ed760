# The scripts of tests/Conformance on this Xen and on the model, side by side. Arguments: those of the program (--only PREFIX).

# guest NAME TYPE: its configuration file.
guest() {
    printf '%s\n' "name = \"$1\"" "type = \"$2\"" 'memory = 32' 'vcpus = 2' 'on_poweroff = "destroy"' 'on_reboot = "destroy"' \
        'on_crash = "destroy"' > "/run/xen/$1.cfg"
    case $2 in
        pvh) echo 'kernel = "/payload/agent"' >> "/run/xen/$1.cfg" ;;
        hvm) printf '%s\n' 'vga = "none"' 'nographic = 1' 'vnc = 0' 'sdl = 0' 'usb = 0' >> "/run/xen/$1.cfg" ;;
    esac
    : > "$(guest_console "$1")"
    echo "/run/xen/$1.cfg"
}

step "guests"
check conformance-pvh xl create -q -p "$(guest pvh pvh)"
check conformance-hvm xl create -q -p "$(guest hvm hvm)"
step "scripts"
if /payload/conformance/conformance --xen "$(guest_id pvh)" "$(guest_id hvm)" "$(guest victim pvh)" --table /results/conformance.md "$@"; then
    result conformance ok
else
    result conformance FAIL "exit $?"
fi
xl dmesg > /results/xl-dmesg.log
