namespace XenVhostMaster.Domains;

/// <summary>How often a guest asked for what. Written by the I/O thread alone.</summary>
internal sealed class IoreqCounters
{
    public long PortReads { get; set; }

    public long PortWrites { get; set; }

    public long MemoryReads { get; set; }

    public long MemoryWrites { get; set; }

    public long PciReads { get; set; }

    public long PciWrites { get; set; }

    public long Invalidates { get; set; }

    public long Others { get; set; }

    /// <summary>Accesses that no device of ours answers.</summary>
    public long Unclaimed { get; set; }

    /// <summary>Message-signalled interrupts and rises of a line.</summary>
    public long Interrupts { get; set; }

    /// <summary>Interrupts that Xen refused: the guest programmed nonsense, or it is gone.</summary>
    public long FailedInterrupts { get; set; }

    public long Ports => PortReads + PortWrites;

    public long Memory => MemoryReads + MemoryWrites;

    public long Pci => PciReads + PciWrites;

    public long Total => Ports + Memory + Pci + Invalidates + Others;
}
