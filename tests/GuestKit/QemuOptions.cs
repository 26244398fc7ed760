namespace GuestKit;

/// <summary>The machine that QEMU is to emulate.</summary>
public sealed record QemuOptions
{
    /// <summary>The vhost-user disks, /dev/vda first.</summary>
    public IReadOnlyList<VhostUserDisk> Disks { get; init; } = [];

    public int Processors { get; init; } = 2;

    public int MemoryMiB { get; init; } = 512;

    /// <summary>QEMU's own virtio-rng, so that a guest without randomness does not wait for it.</summary>
    public bool HasEntropyDevice { get; init; } = true;

    /// <summary>Further words for QEMU's command line, such as <c>-incoming</c>.</summary>
    public IReadOnlyList<string> ExtraArguments { get; init; } = [];

    internal IReadOnlyList<string> ToArguments(GuestImage image, string initramfs, string kernelLog, string qmpSocket) =>
    [
        // No KVM: a machine that has none must give the same result.
        "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", $"{Processors}", "-m", $"{MemoryMiB}",
        // vhost-user hands guest memory over as a file descriptor, so it must be shared memory.
        "-object", $"memory-backend-memfd,id=memory,size={MemoryMiB}M,share=on", "-machine", "q35,memory-backend=memory",
        "-nodefaults", "-display", "none", "-no-reboot",
        // The kernel's messages go to a file and the report to standard output: neither can tear the other's lines.
        "-serial", $"file:{kernelLog}", "-serial", "stdio",
        "-qmp", $"unix:{qmpSocket},server=on,wait=off",
        .. HasEntropyDevice ? ["-device", "virtio-rng-pci"] : Array.Empty<string>(),
        "-kernel", image.Kernel, "-initrd", initramfs,
        // The machine may be so busy that the kernel doubts its timers: its watchdogs have nothing to say about us.
        "-append", "console=ttyS0 loglevel=6 panic=-1 mitigations=off nokaslr no_timer_check nowatchdog "
            + "rcupdate.rcu_cpu_stall_suppress=1 vhostxen.report=ttyS1",
        .. Disks.SelectMany((disk, index) => disk.ToArguments(index)),
        .. ExtraArguments,
    ];
}
