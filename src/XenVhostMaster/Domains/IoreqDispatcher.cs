using XenMemoryProvider.Abi;
using XenMemoryProvider.Ioreq;
using XenVhostMaster.Transports.Mmio;
using XenVhostMaster.Transports.Pci;

namespace XenVhostMaster.Domains;

/// <summary>
/// Brings a virtual CPU's request to the register it is for, repetitions and values in guest memory included. Nothing here
/// throws and nothing allocates but the mapping of guest memory for an access that has its values there.
/// </summary>
internal sealed class IoreqDispatcher(PciBus bus, GuestMemory memory, IoreqCounters counters) : IIoreqHandler
{
    public const ushort ConfigAddress = 0xcf8;
    public const ushort ConfigData = 0xcfc;

    private readonly List<(ulong Base, VirtioMmioDevice Device)> _mmio = [];
    private uint _configAddress;

    public IoreqCounters Counters { get; } = counters;

    /// <summary>Called with the virtual CPU that gave memory back; false leaves its request open.</summary>
    public Func<int, bool>? Invalidated { get; set; }

    public void Add(ulong start, VirtioMmioDevice device) => _mmio.Add((start, device));

    public void Remove(VirtioMmioDevice device) => _mmio.RemoveAll(entry => entry.Device == device);

    public bool Handle(in IoRequest request, out ulong value)
    {
        value = ulong.MaxValue;
        switch (request.Type)
        {
            case IoreqType.Invalidate:
                Counters.Invalidates++;
                return Invalidated?.Invoke(request.Vcpu) ?? true;
            case IoreqType.Pio or IoreqType.Copy or IoreqType.PciConfig:
                Count(request);
                value = Access(request);
                break;
            default:
                Counters.Others++;
                break;
        }

        return true;
    }

    private ulong Access(in IoRequest request)
    {
        ulong value = ulong.MaxValue;
        for (int i = 0; i < request.Count; i++)
        {
            ulong address = request.AddressAt(i);
            if (request.IsRead)
            {
                value = Read(request, address);
                if (request.DataIsPointer && !memory.TryWrite(request.PointerAt(i), request.Size, value))
                    break;
            }
            else
            {
                ulong written = request.Value;
                if (request.DataIsPointer && !memory.TryRead(request.PointerAt(i), request.Size, out written))
                    break;

                Write(request, address, written);
            }
        }

        return value;
    }

    private ulong Read(in IoRequest request, ulong address) => request.Type switch
    {
        IoreqType.Copy => ReadMemory(address, request.Size),
        IoreqType.PciConfig => bus.ReadConfig(request.PciSbdf, (uint)request.PciRegister, request.Size),
        _ => ReadPort(address, request.Size),
    };

    private void Write(in IoRequest request, ulong address, ulong value)
    {
        switch (request.Type)
        {
            case IoreqType.Copy:
                WriteMemory(address, request.Size, value);
                break;
            case IoreqType.PciConfig:
                bus.WriteConfig(request.PciSbdf, (uint)request.PciRegister, request.Size, (uint)value);
                break;
            case IoreqType.Pio when address == ConfigAddress && request.Size == 4:
                // Xen keeps its own copy, by which it tells configuration accesses from ports. This one is for reading back.
                _configAddress = (uint)value;
                break;
        }
    }

    private ulong ReadMemory(ulong address, int size)
    {
        if (bus.TryRead(address, size, out ulong value))
            return value;

        foreach ((ulong start, VirtioMmioDevice device) in _mmio)
        {
            if (address - start <= VirtioMmioRegister.RangeSize - (ulong)size)
                return device.Read(address - start, size);
        }

        Counters.Unclaimed++;
        return ulong.MaxValue;
    }

    private void WriteMemory(ulong address, int size, ulong value)
    {
        if (bus.TryWrite(address, size, value))
            return;

        foreach ((ulong start, VirtioMmioDevice device) in _mmio)
        {
            if (address - start <= VirtioMmioRegister.RangeSize - (ulong)size)
            {
                device.Write(address - start, size, value);
                return;
            }
        }

        Counters.Unclaimed++;
    }

    private ulong ReadPort(ulong port, int size)
    {
        if (port is >= ConfigAddress and < ConfigAddress + 4 && (port & 3) + (ulong)size <= 4)
            return _configAddress >> (int)(8 * (port & 3));

        // The data port while the address names nothing.
        return ulong.MaxValue;
    }

    private void Count(in IoRequest request)
    {
        switch (request.Type, request.IsRead)
        {
            case (IoreqType.Pio, true):
                Counters.PortReads++;
                break;
            case (IoreqType.Pio, false):
                Counters.PortWrites++;
                break;
            case (IoreqType.Copy, true):
                Counters.MemoryReads++;
                break;
            case (IoreqType.Copy, false):
                Counters.MemoryWrites++;
                break;
            case (_, true):
                Counters.PciReads++;
                break;
            default:
                Counters.PciWrites++;
                break;
        }
    }
}
