using static XenVhostMaster.Transports.Pci.VirtioPciLayout;

namespace XenVhostMaster.Transports.Pci;

/// <summary>
/// Bus 0 of segment 0: finds the function of a configuration access and of a memory access, and keeps what is claimed of
/// guest memory in step with BARs and command registers.
/// </summary>
/// <param name="sink">Claims ranges.</param>
/// <param name="windowStart">First address that a BAR may have.</param>
/// <param name="windowEnd">Last one. A guest that puts a BAR elsewhere (over RAM, over interrupt controllers) gets no answers there.</param>
internal sealed class PciBus(IPciSink sink, ulong windowStart, ulong windowEnd)
{
    public const int Slots = 32;

    private readonly PciFunction?[] _functions = new PciFunction?[Slots];
    private readonly List<VirtioPciFunction> _virtio = new(Slots);

    /// <summary>The function in a slot, or null.</summary>
    public PciFunction? this[int device] => (uint)device < Slots ? _functions[device] : null;

    /// <summary>Puts a function into a free slot.</summary>
    public void Add(int device, PciFunction function)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)device, (uint)Slots);
        if (_functions[device] is not null)
            throw new InvalidOperationException($"slot {device} is taken");

        function.Device = device;
        _functions[device] = function;
        if (function is VirtioPciFunction virtio)
        {
            _virtio.Add(virtio);
            Place(virtio);
        }
    }

    /// <summary>Takes a function out: its slot reads as empty from now on.</summary>
    public void Remove(int device)
    {
        if (_functions[device] is VirtioPciFunction virtio)
        {
            Release(virtio);
            virtio.Remove();
            _virtio.Remove(virtio);
        }

        _functions[device] = null;
        PlaceWaiting();
    }

    /// <param name="bdf">Bus, device and function: bus in bits 15:8, device in 7:3, function in 2:0.</param>
    public uint ReadConfig(uint bdf, uint register, int size)
        => Find(bdf)?.ReadConfig(register, size) ?? (size >= 4 ? uint.MaxValue : (1u << (8 * size)) - 1);

    public void WriteConfig(uint bdf, uint register, int size, uint value)
    {
        if (Find(bdf) is not { } function)
            return;

        function.WriteConfig(register, size, value);
        if (function is VirtioPciFunction virtio && virtio.MappedAt != virtio.WantedAt)
            Move(virtio);
    }

    /// <summary>A guest's memory read; false when no BAR is there.</summary>
    public bool TryRead(ulong address, int size, out ulong value)
    {
        if (FindBar(address, size, out ulong offset) is { } function)
        {
            value = function.ReadBar(offset, size);
            return true;
        }

        value = ulong.MaxValue;
        return false;
    }

    /// <summary>A guest's memory write; false when no BAR is there.</summary>
    public bool TryWrite(ulong address, int size, ulong value)
    {
        if (FindBar(address, size, out ulong offset) is not { } function)
            return false;

        function.WriteBar(offset, size, value);
        return true;
    }

    private PciFunction? Find(uint bdf) => bdf < Slots << 3 && (bdf & 7) == 0 ? _functions[bdf >> 3] : null;

    private VirtioPciFunction? FindBar(ulong address, int size, out ulong offset)
    {
        foreach (VirtioPciFunction function in _virtio)
        {
            offset = address - function.MappedAt.GetValueOrDefault(ulong.MaxValue);
            if (function.MappedAt is not null && offset <= BarSize - (ulong)size)
                return function;
        }

        offset = 0;
        return null;
    }

    private void Move(VirtioPciFunction function)
    {
        Release(function);
        Place(function);
        PlaceWaiting();
    }

    /// <summary>A function whose place was taken gets it when it is free again.</summary>
    private void PlaceWaiting()
    {
        foreach (VirtioPciFunction function in _virtio)
        {
            if (function.MappedAt is null)
                Place(function);
        }
    }

    private void Release(VirtioPciFunction function)
    {
        if (function.MappedAt is { } start)
        {
            function.MappedAt = null;
            sink.ReleaseMemory(start, start + BarSize - 1);
        }
    }

    private void Place(VirtioPciFunction function)
    {
        if (function.WantedAt is { } start && start >= windowStart && start <= windowEnd - (BarSize - 1) && IsFree(start)
            && sink.ClaimMemory(start, start + BarSize - 1))
            function.MappedAt = start;
    }

    private bool IsFree(ulong start)
    {
        foreach (VirtioPciFunction other in _virtio)
        {
            if (other.MappedAt == start)
                return false;
        }

        return true;
    }
}
