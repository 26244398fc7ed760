using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Scripts;

/// <summary>Grants of a guest that never runs: domain 0 maps its table and writes the entries, as the guest would.</summary>
internal static unsafe class Grants
{
    /// <summary>The first reference that no toolstack uses.</summary>
    public const uint First = GrantTableOp.ReservedEntries;

    /// <summary>The first page of a guest's grant table. Its entries from <see cref="First"/> on are cleared at the end of the script.</summary>
    public static GrantEntryV1* Table(this Run run, ushort domid)
    {
        XenMapping mapping = run.Own(run.Privcmd.MapResource(domid, MemoryOp.ResourceType.GrantTable, MemoryOp.GrantTableIdShared, 0, 1));
        var table = (GrantEntryV1*)mapping.Pointer;
        run.Defer(() => new Span<GrantEntryV1>(table + First, GrantTableOp.EntriesPerPageV1 - (int)First).Clear());
        return table;
    }

    /// <summary>Writes an entry in the order that a granter must keep.</summary>
    public static void Grant(GrantEntryV1* table, uint reference, ushort grantee, ulong gfn, GrantFlags flags = GrantFlags.PermitAccess)
    {
        table[reference].Domid = grantee;
        table[reference].Frame = (uint)gfn;
        Volatile.Write(ref *(ushort*)(table + reference), (ushort)flags);
    }

    /// <summary>Use of an entry as Xen marks it.</summary>
    public static Outcome Marks(GrantEntryV1* table, uint reference)
    {
        var flags = (GrantFlags)Volatile.Read(ref *(ushort*)(table + reference));
        return (flags & (GrantFlags.Reading | GrantFlags.Writing)) switch
        {
            0 => "none",
            GrantFlags.Reading => "reading",
            GrantFlags.Writing => "writing",
            _ => "reading and writing",
        };
    }

    /// <summary>map_grant_ref as a device mapping, which needs no address. Give it back by <see cref="Unmap"/>.</summary>
    public static GrantTableOp.MapGrantRef MapDevice(this Run run, ushort domid, uint reference, uint flags = GrantTableOp.MapDevice)
    {
        GrantTableOp.MapGrantRef[] map = [new() { Dom = domid, Ref = reference, Flags = flags }];
        XenException.Check(run.Privcmd.GrantTableOp(GrantTableOp.Command.MapGrantRef, map.AsSpan()), "map_grant_ref", domid);
        return map[0];
    }

    public static Outcome Unmap(this Run run, uint handle, ulong deviceAddress)
    {
        GrantTableOp.UnmapGrantRef[] unmap = [new() { Handle = handle, DevBusAddr = deviceAddress }];
        int result = run.Privcmd.GrantTableOp(GrantTableOp.Command.UnmapGrantRef, unmap.AsSpan());
        return result < 0 ? result : unmap[0].Status;
    }

    /// <summary>One copy.</summary>
    public static Outcome Copy(this Run run, GrantTableOp.Copy copy)
    {
        GrantTableOp.Copy[] copies = [copy];
        int result = run.Privcmd.GrantTableOp(GrantTableOp.Command.Copy, copies.AsSpan());
        return result < 0 ? result : copies[0].Status;
    }

    /// <summary>A copy from one grant to another.</summary>
    public static GrantTableOp.Copy Between(ushort domid, uint from, uint to, int length = 16, int source = 0, int dest = 0) => new()
    {
        Source = new() { Ref = from, Domid = domid, Offset = (ushort)source },
        Dest = new() { Ref = to, Domid = domid, Offset = (ushort)dest },
        Len = (ushort)length,
        Flags = GrantTableOp.CopySourceGref | GrantTableOp.CopyDestGref,
    };
}
