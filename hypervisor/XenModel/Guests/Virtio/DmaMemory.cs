using XenMemoryProvider.Kernel;
using XenModel.Domains;

namespace XenModel.Guests.Virtio;

/// <summary>
/// Where a driver takes memory for its rings and buffers from. Either any RAM of the guest, which the device may map whole,
/// or pages granted to it, and then nothing else (Linux with xen-grant-dma-ops).
/// </summary>
internal sealed unsafe class DmaMemory : IDisposable
{
    /// <summary>Addresses of granted memory have this bit: above it is the reference (Linux, drivers/xen/grant-dma-ops.c).</summary>
    public const ulong GrantBit = 1UL << 63;

    private readonly IDisposable _owner;
    private readonly byte* _pointer;
    private readonly ulong _address;
    private readonly int _size;
    private int _used;

    private DmaMemory(IDisposable owner, byte* pointer, ulong address, int size, bool granted)
    {
        _owner = owner;
        _pointer = pointer;
        _address = address;
        _size = size;
        IsGranted = granted;
    }

    /// <summary>The device needs the driver's word that addresses are not physical (VIRTIO_F_ACCESS_PLATFORM).</summary>
    public bool IsGranted { get; }

    /// <summary>RAM from a guest address on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not RAM.</exception>
    public static DmaMemory OfRam(Domain guest, ulong start, int pages)
    {
        byte* first = guest.Memory.Pointer(start);
        for (int page = 1; page < pages; page++)
        {
            // The builder's frames follow each other, so that one pointer reaches them all.
            if (guest.Memory.Pointer(start + (ulong)page * XenPage.Size) != first + (nuint)page * XenPage.Size)
                throw new InvalidOperationException("the guest's RAM is not in one piece");
        }

        return new DmaMemory(guest.Memory.Hold(), first, start, pages * XenPage.Size, granted: false);
    }

    /// <summary>RAM from a guest address on, granted to the domain that has the back-ends.</summary>
    /// <exception cref="InvalidOperationException">The grant table is full.</exception>
    public static DmaMemory OfGrants(Domain guest, ushort backend, ulong start, int pages)
    {
        DmaMemory ram = OfRam(guest, start, pages);
        var grants = new Grants(guest, ram._owner);
        try
        {
            for (int page = 0; page < pages; page++) grants.Add(backend, start / XenPage.Size + (uint)page);
        }
        catch
        {
            grants.Dispose();
            throw;
        }

        return new DmaMemory(grants, ram._pointer, GrantBit | (ulong)grants.First * XenPage.Size, ram._size, granted: true);
    }

    /// <summary>A piece that is nobody else's, filled with zeroes.</summary>
    /// <param name="alignment">A power of two.</param>
    public DmaBuffer Allocate(int length, int alignment = 16)
    {
        int start = (_used + alignment - 1) & -alignment;
        if (start > _size || length > _size - start) throw new InvalidOperationException("the guest's driver is out of memory");
        _used = start + length;
        var buffer = new DmaBuffer(_pointer + start, _address + (uint)start, length);
        buffer.Bytes.Clear();
        return buffer;
    }

    /// <summary>Takes everything back at once: the device must have let go of it.</summary>
    public void Clear() => _used = 0;

    public void Dispose() => _owner.Dispose();

    /// <summary>References in a row, and the RAM behind them.</summary>
    private sealed class Grants(Domain guest, IDisposable ram) : IDisposable
    {
        private readonly List<uint> _references = [];

        public uint First => _references[0];

        public void Add(ushort backend, ulong gfn)
        {
            lock (guest.Hypervisor.Gate)
            {
                if (!guest.GrantAllocator.TryGrant(backend, gfn, readOnly: false, out uint reference)) throw new InvalidOperationException("the grant table is full");
                _references.Add(reference);
                if (reference != First + (uint)(_references.Count - 1)) throw new InvalidOperationException("the references do not follow each other");
            }
        }

        public void Dispose()
        {
            lock (guest.Hypervisor.Gate)
            {
                if (!guest.IsDying) _references.ForEach(reference => guest.GrantAllocator.Revoke(reference, static () => { }));
            }

            ram.Dispose();
        }
    }
}
