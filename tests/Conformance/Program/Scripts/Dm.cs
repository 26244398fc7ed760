using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Scripts;

/// <summary>Arguments of dm_op, in few words.</summary>
internal static class Dm
{
    public static DmOp.Call Create(DmOp.BufferedIoreq mode = DmOp.BufferedIoreq.Off) =>
        new() { Op = DmOp.Command.CreateIoreqServer, CreateIoreqServer = new() { HandleBufioreq = mode } };

    public static DmOp.Call Destroy(ushort id) => new() { Op = DmOp.Command.DestroyIoreqServer, DestroyIoreqServer = new() { Id = id } };

    public static DmOp.Call Info(ushort id, ushort flags = 0) =>
        new() { Op = DmOp.Command.GetIoreqServerInfo, GetIoreqServerInfo = new() { Id = id, Flags = flags } };

    public static DmOp.Call Enable(ushort id, bool enabled = true) =>
        new() { Op = DmOp.Command.SetIoreqServerState, SetIoreqServerState = new() { Id = id, Enabled = enabled ? (byte)1 : (byte)0 } };

    public static DmOp.Call Map(ushort id, DmOp.IoRangeType type, ulong start, ulong end) =>
        new() { Op = DmOp.Command.MapIoRangeToIoreqServer, MapIoRange = new() { Id = id, Type = type, Start = start, End = end } };

    public static DmOp.Call Unmap(ushort id, DmOp.IoRangeType type, ulong start, ulong end) =>
        new() { Op = DmOp.Command.UnmapIoRangeFromIoreqServer, UnmapIoRange = new() { Id = id, Type = type, Start = start, End = end } };

    public static DmOp.Call MemType(HvmOp.MemType type, ulong first, uint count = 1) =>
        new() { Op = DmOp.Command.SetMemType, SetMemType = new() { MemType = type, FirstPfn = first, Nr = count } };

    public static DmOp.Call ClaimMemType(ushort id, uint flags = DmOp.MemAccessWrite, HvmOp.MemType type = HvmOp.MemType.IoreqServer) =>
        new() { Op = DmOp.Command.MapMemTypeToIoreqServer, MapMemType = new() { Id = id, Type = type, Flags = flags } };

    public static DmOp.Call Msi(ulong address, uint data) => new() { Op = DmOp.Command.InjectMsi, InjectMsi = new() { Addr = address, Data = data } };

    public static DmOp.Call Event(uint vcpu, DmOp.EventType type, byte vector) =>
        new() { Op = DmOp.Command.InjectEvent, InjectEvent = new() { VcpuId = vcpu, Type = type, Vector = vector, ErrorCode = uint.MaxValue } };

    public static DmOp.Call Intx(byte device, byte intx, byte level, ushort domain = 0, byte bus = 0) => new()
    {
        Op = DmOp.Command.SetPciIntxLevel, SetPciIntxLevel = new() { Domain = domain, Bus = bus, Device = device, Intx = intx, Level = level },
    };

    public static DmOp.Call Isa(byte irq, byte level) => new() { Op = DmOp.Command.SetIsaIrqLevel, SetIsaIrqLevel = new() { IsaIrq = irq, Level = level } };

    public static DmOp.Call Link(byte link, byte irq) => new() { Op = DmOp.Command.SetPciLinkRoute, SetPciLinkRoute = new() { Link = link, IsaIrq = irq } };

    public static DmOp.Call Cache(ulong first, ulong last, DmOp.CacheAttribute type) =>
        new() { Op = DmOp.Command.PinMemoryCacheattr, PinMemoryCacheattr = new() { Start = first, End = last, Type = type } };

    public static DmOp.Call Relocate(ulong from, ulong to, uint size = 1) =>
        new() { Op = DmOp.Command.RelocateMemory, RelocateMemory = new() { SrcGfn = from, DstGfn = to, Size = size } };

    /// <summary>A server that the script gives back at its end.</summary>
    /// <exception cref="XenException">There is none to be had.</exception>
    public static ushort NewServer(this Run run, ushort domid, DmOp.BufferedIoreq mode = DmOp.BufferedIoreq.Off)
    {
        DmOp.Call create = Create(mode);
        XenException.Check(run.DmOp(domid, ref create), "create_ioreq_server", domid);
        ushort id = create.CreateIoreqServer.Id;
        run.Defer(() => run.DmOp(domid, Destroy(id)));
        return id;
    }

    /// <summary>The pages of a server.</summary>
    /// <exception cref="XenException">As Xen says.</exception>
    public static XenMapping MapServer(this Run run, ushort domid, ushort id, uint frame, int count = 1) =>
        run.Own(run.Privcmd.MapResource(domid, MemoryOp.ResourceType.IoreqServer, id, frame, count));
}
