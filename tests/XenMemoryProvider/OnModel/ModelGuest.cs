using System.Runtime.CompilerServices;
using VhostUser.Protocol;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel;
using XenModel.Domains;
using XenModel.Drivers;

namespace XenMemoryProvider.Tests.OnModel;

/// <summary>A guest of the model with a grant table, as its own kernel would use it; and the way in for domain 0.</summary>
internal sealed class ModelGuest : IDisposable
{
    /// <summary>What marks an address as a grant reference.</summary>
    public const ulong GrantBit = 1UL << 63;

    private const ulong TableGfn = 0x90000; // No RAM there.
    private const int TableFrames = 8;
    private const uint FirstReference = 8;

    private uint _nextReference = FirstReference;

    public ModelGuest(int memoryMiB = 4, int vcpus = 1, Hypervisor? xen = null, string name = "guest")
    {
        Owned = xen is null;
        Xen = xen ?? new Hypervisor();
        Domain = Xen.CreateDomain(new DomainOptions { Name = name, MemoryMiB = memoryMiB, Vcpus = vcpus, Paused = false });
        Kernel = new ModelXenKernel(Xen);
        for (int i = 0; i < TableFrames; i++)
        {
            var add = new MemoryOp.AddToPhysmap { Domid = Domid.Self, Space = MemoryOp.MapSpace.GrantTable, Idx = (ulong)i, Gpfn = TableGfn + (ulong)i };
            int result = Vcpu.Hypercall(Hypercall.MemoryOp, (uint)MemoryOp.Command.AddToPhysmap, ref add);
            if (result != 0) throw new InvalidOperationException($"the guest cannot map its grant table: {result}");
        }
    }

    public Hypervisor Xen { get; }

    public Domain Domain { get; }

    public IXenKernel Kernel { get; }

    public ushort Id => Domain.Id;

    public Vcpu Vcpu => Domain.Vcpus[0];

    private bool Owned { get; }

    /// <summary>Grants neighbouring frames to domain 0.</summary>
    /// <returns>The first of as many neighbouring references.</returns>
    public uint Grant(ulong firstGfn, int pages = 1, bool readOnly = false)
    {
        uint first = _nextReference;
        _nextReference += (uint)pages;
        for (uint i = 0; i < pages; i++)
        {
            var entry = new GrantEntryV1 { Domid = 0, Frame = (uint)firstGfn + i };
            Domain.Memory.Write(EntryAddress(first + i), entry);
            entry.Flags = readOnly ? GrantFlags.PermitAccess | GrantFlags.ReadOnly : GrantFlags.PermitAccess;
            Domain.Memory.Write(EntryAddress(first + i), entry.Flags);
        }
        return first;
    }

    /// <summary>Takes a grant back as Linux does: not while it is in use.</summary>
    public bool TryRevoke(uint reference)
    {
        if ((FlagsOf(reference) & (GrantFlags.Reading | GrantFlags.Writing)) != 0) return false;
        Domain.Memory.Write(EntryAddress(reference), GrantFlags.Invalid);
        return true;
    }

    public GrantFlags FlagsOf(uint reference) => Domain.Memory.Read<GrantFlags>(EntryAddress(reference));

    /// <summary>The address that a guest with grants puts into a descriptor.</summary>
    public static GuestAddress Address(uint reference, uint offset = 0) => new(GrantBit | (ulong)reference << XenPage.Shift | offset);

    /// <summary>The guest gives frames back to Xen.</summary>
    public int Balloon(params ulong[] gfns) => Reservation(MemoryOp.Command.DecreaseReservation, gfns);

    /// <summary>The guest takes new frames.</summary>
    public int Populate(params ulong[] gfns) => Reservation(MemoryOp.Command.PopulatePhysmap, gfns);

    public void Dispose()
    {
        if (Owned) Xen.Dispose();
        else Xen.DestroyDomain(Id);
    }

    private static ulong EntryAddress(uint reference) => (TableGfn << XenPage.Shift) + (reference * 8UL);

    private unsafe int Reservation(MemoryOp.Command command, ulong[] gfns)
    {
        const ulong address = 0x1000;
        int header = sizeof(MemoryOp.Reservation);
        var bytes = new byte[header + (gfns.Length * sizeof(ulong))];
        var reservation = new MemoryOp.Reservation { ExtentStart = address + (ulong)header, NrExtents = (ulong)gfns.Length, Domid = Domid.Self };
        Unsafe.WriteUnaligned(ref bytes[0], reservation);
        Buffer.BlockCopy(gfns, 0, bytes, header, gfns.Length * sizeof(ulong));
        return Vcpu.Hypercall(Hypercall.MemoryOp, (ulong)command, address, 0, new CallerMemory(bytes, address));
    }
}
