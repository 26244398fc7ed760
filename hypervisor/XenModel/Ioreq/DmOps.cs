using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using Architecture = XenModel.Domains.Architecture;
using Command = XenMemoryProvider.Abi.DmOp.Command;

namespace XenModel.Ioreq;

/// <summary>dm_op: what a device model may do to its guest, with Xen's checks in Xen's order.</summary>
internal static partial class DmOps
{
    private const int CommandCount = 21;
    private const uint MaxDirtyPages = 1u << 18;

    /// <summary>The hypercall itself: buffers named by handles.</summary>
    public static int Call(HypercallContext context, ushort domid, ulong count, ulong list, CallerMemory memory)
    {
        if (count == 0) return -(int)XenErrno.ENODATA;
        if (count > DmOp.MaxBuffers) return -(int)XenErrno.E2BIG;
        Span<byte> first = default, second = default;
        for (ulong i = 0; i < count; i++)
        {
            if (!memory.TryRead(list, i, out DmOp.Buffer buffer)) return -(int)XenErrno.EFAULT;
            if (!memory.TrySlice(buffer.Handle, buffer.Size, out Span<byte> bytes)) bytes = default;
            if (i == 0) first = bytes;
            else second = bytes;
        }

        return Call(context, domid, (int)count, first, second);
    }

    /// <summary>The operation on its buffers. The first is written to only on success.</summary>
    public static int Call(HypercallContext context, ushort domid, int count, Span<byte> first, Span<byte> second)
    {
        if (count == 0) return -(int)XenErrno.ENODATA;
        if (count > DmOp.MaxBuffers) return -(int)XenErrno.E2BIG;
        if (context.Find(domid) is not { } domain) return -(int)XenErrno.ESRCH;
        if (domain == context.Caller) return -(int)XenErrno.EPERM;
        if (!domain.IsTranslated) return -(int)XenErrno.EINVAL;
        if (!context.MayModel(domain)) return -(int)XenErrno.EPERM;
        if (first.Length < DmOp.HeaderSize) return -(int)XenErrno.EFAULT;

        DmOp.Call call = default;
        Span<byte> copy = MemoryMarshal.AsBytes(new Span<DmOp.Call>(ref call));
        int length = Math.Min(first.Length, copy.Length);
        first[..length].CopyTo(copy);
        if ((uint)call.Op >= CommandCount) return -(int)XenErrno.EOPNOTSUPP;
        if (length < DmOp.HeaderSize + ArgumentSize(call.Op)) return -(int)XenErrno.EFAULT;
        if (call.Pad != 0) return -(int)XenErrno.EINVAL;
        int result = context.Hypervisor.Options.Architecture == Architecture.Arm
            ? CallArm(context, domain, ref call)
            : CallX86(context, domain, ref call, count, second);
        if (result == 0) copy[..length].CopyTo(first);
        return result;
    }

    private static int CallX86(HypercallContext context, Domain domain, ref DmOp.Call call, int buffers, Span<byte> second) => call.Op switch
    {
        Command.CreateIoreqServer => Create(context, domain, ref call.CreateIoreqServer, (byte)DmOp.BufferedIoreq.Atomic),
        Command.GetIoreqServerInfo => GetInfo(context, domain, ref call.GetIoreqServerInfo),
        Command.MapIoRangeToIoreqServer => MapRange(context, domain, call.MapIoRange),
        Command.UnmapIoRangeFromIoreqServer => UnmapRange(context, domain, call.UnmapIoRange),
        Command.SetIoreqServerState => SetState(context, domain, call.SetIoreqServerState),
        Command.DestroyIoreqServer => Destroy(context, domain, call.DestroyIoreqServer),
        Command.TrackDirtyVram => TrackDirtyVram(domain, call.TrackDirtyVram, buffers, second),
        Command.SetPciIntxLevel => SetPciIntxLevel(domain, call.SetPciIntxLevel),
        Command.SetIsaIrqLevel => SetIsaIrqLevel(domain, call.SetIsaIrqLevel),
        Command.SetPciLinkRoute => SetPciLinkRoute(domain, call.SetPciLinkRoute),
        Command.ModifiedMemory => ModifiedMemory(buffers),
        Command.SetMemType => SetMemType(domain, call.SetMemType),
        Command.InjectEvent => InjectEvent(domain, call.InjectEvent),
        Command.InjectMsi => InjectMsi(domain, call.InjectMsi),
        Command.MapMemTypeToIoreqServer => MapMemType(context, domain, call.MapMemType),
        Command.RemoteShutdown => RemoteShutdown(domain, call.RemoteShutdown),
        Command.RelocateMemory => RelocateMemory(domain, call.RelocateMemory),
        Command.PinMemoryCacheattr => PinMemoryCacheattr(domain, call.PinMemoryCacheattr),
        Command.NrVcpus => NrVcpus(domain, ref call.NrVcpus),
        _ => -(int)XenErrno.EOPNOTSUPP,
    };

    private static int CallArm(HypercallContext context, Domain domain, ref DmOp.Call call) => call.Op switch
    {
        Command.CreateIoreqServer => Create(context, domain, ref call.CreateIoreqServer, (byte)DmOp.BufferedIoreq.Off),
        Command.GetIoreqServerInfo => GetInfo(context, domain, ref call.GetIoreqServerInfo),
        Command.MapIoRangeToIoreqServer => MapRange(context, domain, call.MapIoRange),
        Command.UnmapIoRangeFromIoreqServer => UnmapRange(context, domain, call.UnmapIoRange),
        Command.SetIoreqServerState => SetState(context, domain, call.SetIoreqServerState),
        Command.DestroyIoreqServer => Destroy(context, domain, call.DestroyIoreqServer),
        Command.SetIrqLevel => SetIrqLevel(domain, call.SetIrqLevel),
        Command.NrVcpus => NrVcpus(domain, ref call.NrVcpus),
        _ => -(int)XenErrno.EOPNOTSUPP,
    };

    private static unsafe int ArgumentSize(Command op) => op switch
    {
        Command.CreateIoreqServer => sizeof(DmOp.CreateIoreqServer),
        Command.GetIoreqServerInfo => sizeof(DmOp.GetIoreqServerInfo),
        Command.MapIoRangeToIoreqServer or Command.UnmapIoRangeFromIoreqServer => sizeof(DmOp.IoreqServerRange),
        Command.SetIoreqServerState => sizeof(DmOp.SetIoreqServerState),
        Command.DestroyIoreqServer => sizeof(DmOp.DestroyIoreqServer),
        Command.TrackDirtyVram => sizeof(DmOp.TrackDirtyVram),
        Command.SetPciIntxLevel => sizeof(DmOp.SetPciIntxLevel),
        Command.SetIsaIrqLevel => sizeof(DmOp.SetIsaIrqLevel),
        Command.SetPciLinkRoute => sizeof(DmOp.SetPciLinkRoute),
        Command.ModifiedMemory => sizeof(DmOp.ModifiedMemory),
        Command.SetMemType => sizeof(DmOp.SetMemType),
        Command.InjectEvent => sizeof(DmOp.InjectEvent),
        Command.InjectMsi => sizeof(DmOp.InjectMsi),
        Command.MapMemTypeToIoreqServer => sizeof(DmOp.MapMemType),
        Command.RemoteShutdown => sizeof(DmOp.RemoteShutdown),
        Command.RelocateMemory => sizeof(DmOp.RelocateMemory),
        Command.PinMemoryCacheattr => sizeof(DmOp.PinMemoryCacheattr),
        Command.SetIrqLevel => sizeof(DmOp.SetIrqLevel),
        Command.NrVcpus => sizeof(DmOp.NrVcpus),
        _ => 0,
    };
}
