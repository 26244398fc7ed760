using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenModel.Ioreq;

/// <summary>
/// What a virtual CPU does outside its RAM: I/O ports, PCI configuration through 0xCF8 and 0xCFC, memory-mapped registers. The
/// calling thread is the CPU: it waits until the device model has answered. Sizes are 1, 2, 4 or 8 bytes (ports: up to 4).
/// </summary>
public sealed partial class VcpuIo
{
    private const ushort ConfigAddressPort = 0xcf8;
    private const ushort ConfigDataPort = 0xcfc;
    private const byte GeneralProtection = 13;

    private readonly Vcpu _vcpu;

    internal VcpuIo(Vcpu vcpu) => _vcpu = vcpu;

    private Domain Domain => _vcpu.Domain;

    /// <summary>IN. All ones where nobody answers.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone, or was crashed for this access.</exception>
    public uint PortRead(ushort port, int size) => (uint)Access(Port(port, size, 1, read: true));

    /// <summary>OUT.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone, or was crashed for this access.</exception>
    public void PortWrite(ushort port, int size, uint value) => Access(Port(port, size, 1, read: false) with { Data = value & Mask(size) });

    /// <summary>Reads a register of a PCI function by 0xCF8 and 0xCFC.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone, or was crashed for this access.</exception>
    public uint ConfigRead(int bus, int device, int function, int register, int size)
    {
        PortWrite(ConfigAddressPort, 4, ConfigAddress(bus, device, function, register));
        return PortRead((ushort)(ConfigDataPort + (register & 3)), size);
    }

    /// <summary>Writes a register of a PCI function by 0xCF8 and 0xCFC.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone, or was crashed for this access.</exception>
    public void ConfigWrite(int bus, int device, int function, int register, int size, uint value)
    {
        PortWrite(ConfigAddressPort, 4, ConfigAddress(bus, device, function, register));
        PortWrite((ushort)(ConfigDataPort + (register & 3)), size, value);
    }

    /// <summary>A load. RAM answers for RAM; elsewhere device models do, and all ones where nobody does.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    /// <exception cref="GuestFaultException">The device model's page is in a wrong state.</exception>
    public ulong MmioRead(ulong address, int size)
    {
        if (TryRam(address, size, out ulong value, write: false)) return value;
        return Access(Mmio(address, size, 1, read: true));
    }

    /// <summary>A store.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    /// <exception cref="GuestFaultException">The device model's page is in a wrong state.</exception>
    public void MmioWrite(ulong address, int size, ulong value)
    {
        value &= Mask(size);
        if (TryRam(address, size, out _, write: true, stored: value)) return;
        Access(Mmio(address, size, 1, read: false) with { Data = value });
    }

    /// <summary>REP STOS: one value to following registers.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public void MmioFill(ulong address, int size, uint count, ulong value, bool descending = false)
    {
        while (count > 0)
        {
            uint part = UpToPageEnd(address, size, count, descending);
            IoreqSlot request = Mmio(address, size, part, read: false) with { Data = value & Mask(size) };
            request.Descending = descending;
            Access(request);
            Advance(ref address, size, part, descending);
            count -= part;
        }
    }

    /// <summary>REP MOVS between registers and guest memory: cut where either leaves its page.</summary>
    /// <param name="memory">Guest address of the memory side.</param>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public void MmioCopy(ulong address, ulong memory, int size, uint count, bool read, bool descending = false)
    {
        while (count > 0)
        {
            uint part = Math.Min(UpToPageEnd(address, size, count, descending), UpToPageEnd(memory, size, count, descending));
            IoreqSlot request = Mmio(address, size, part, read) with { Data = memory };
            request.DataIsPointer = true;
            request.Descending = descending;
            Access(request);
            Advance(ref address, size, part, descending);
            Advance(ref memory, size, part, descending);
            count -= part;
        }
    }

    /// <summary>REP INS and OUTS: one port, following memory.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public void PortCopy(ushort port, ulong memory, int size, uint count, bool read, bool descending = false)
    {
        while (count > 0)
        {
            uint part = UpToPageEnd(memory, size, count, descending);
            IoreqSlot request = Port(port, size, part, read) with { Data = memory };
            request.DataIsPointer = true;
            request.Descending = descending;
            Access(request);
            Advance(ref memory, size, part, descending);
            count -= part;
        }
    }

    /// <summary>The guest set its clock: told to every device model, waiting for none that has a ring.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public void SendTimeOffset(ulong seconds)
    {
        var request = new IoreqSlot { Type = IoreqType.TimeOffset, Count = 1, AccessSize = 8, Data = seconds };
        lock (Domain.Hypervisor.Gate)
        {
            foreach (IoreqServer server in Domain.IoreqServers.Enabled) server.TrySendBuffered(request);
        }
    }

    /// <summary>A write that Xen does not wait for (video memory): buffered if the server has room, else like any other.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public void BufferedWrite(ulong address, int size, ulong value)
    {
        IoreqSlot request = Mmio(address, size, 1, read: false) with { Data = value & Mask(size) };
        lock (Domain.Hypervisor.Gate)
        {
            if (Domain.IoreqServers.Select(ref request, 0) is { } server && server.TrySendBuffered(request)) return;
        }

        Access(request);
    }

    private static IoreqSlot Port(ushort port, int size, uint count, bool read)
    {
        if (size is not (1 or 2 or 4)) throw new ArgumentOutOfRangeException(nameof(size), size, "ports are 1, 2 or 4 bytes wide");
        var request = new IoreqSlot { Type = IoreqType.Pio, Addr = port, AccessSize = (uint)size, Count = count };
        request.IsRead = read;
        return request;
    }

    private static IoreqSlot Mmio(ulong address, int size, uint count, bool read)
    {
        if (size is not (1 or 2 or 4 or 8)) throw new ArgumentOutOfRangeException(nameof(size), size, "registers are 1, 2, 4 or 8 bytes wide");
        var request = new IoreqSlot { Type = IoreqType.Copy, Addr = address, AccessSize = (uint)size, Count = count };
        request.IsRead = read;
        return request;
    }

    private static uint ConfigAddress(int bus, int device, int function, int register) =>
        0x80000000 | (uint)(bus & 0xff) << 16 | (uint)(device & 0x1f) << 11 | (uint)(function & 7) << 8 | (uint)(register & 0xfc);

    private static ulong Mask(int size) => size == 8 ? ulong.MaxValue : (1UL << (size * 8)) - 1;

    // At least one: an access that itself crosses the page is not cut.
    private static uint UpToPageEnd(ulong address, int size, uint count, bool descending)
    {
        ulong offset = address & (FramePool.PageSize - 1);
        ulong fits = descending ? offset / (uint)size + 1 : ((uint)FramePool.PageSize - offset) / (uint)size;
        return (uint)Math.Clamp(fits, 1, count);
    }

    private static void Advance(ref ulong address, int size, uint count, bool descending)
    {
        ulong bytes = (ulong)(uint)size * count;
        address = descending ? address - bytes : address + bytes;
    }

    private bool TryRam(ulong address, int size, out ulong value, bool write, ulong stored = 0)
    {
        value = stored;
        if ((address & (FramePool.PageSize - 1)) + (uint)size > FramePool.PageSize) return false;
        lock (Domain.Hypervisor.Gate)
        {
            P2mEntry entry = Domain.P2m[address >> FramePool.PageShift];
            for (int tries = 0; entry.IsPaged && tries <= Domain.P2m.PageInAfter; tries++)
            {
                Domain.P2m.RequestPageIn(address >> FramePool.PageShift);
                entry = Domain.P2m[address >> FramePool.PageShift];
            }

            if (!entry.IsPresent || (write && entry.Type == P2mType.IoreqServer && Domain.IoreqServers.MemTypeServer is not null)) return false;
            Span<byte> bytes = entry.Reference.Bytes.Slice((int)(address & (FramePool.PageSize - 1)), size);
            if (!write)
            {
                Span<byte> wide = stackalloc byte[8];
                wide.Clear();
                bytes.CopyTo(wide);
                value = BitConverter.ToUInt64(wide);
            }
            else if (entry.IsWritable)
            {
                Span<byte> wide = stackalloc byte[8];
                BitConverter.TryWriteBytes(wide, stored);
                wide[..size].CopyTo(bytes);
            }
        }

        return true;
    }
}
