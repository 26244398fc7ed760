using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.Ioreq;

internal static partial class DmOps
{
    private static int Create(HypercallContext context, Domain domain, ref DmOp.CreateIoreqServer argument, byte maxBuffering)
    {
        if ((argument.Pad0 | argument.Pad1 | argument.Pad2) != 0) return -(int)XenErrno.EINVAL;
        if ((byte)argument.HandleBufioreq > maxBuffering) return -(int)XenErrno.EINVAL;
        return domain.IoreqServers.Create(context.Caller, argument.HandleBufioreq, out argument.Id);
    }

    private static int GetInfo(HypercallContext context, Domain domain, ref DmOp.GetIoreqServerInfo argument)
    {
        if ((argument.Flags & ~DmOp.NoGfns) != 0) return -(int)XenErrno.EINVAL;
        int result = Find(context, domain, argument.Id, out IoreqServer? server);
        if (result != 0) return result;
        if ((argument.Flags & DmOp.NoGfns) == 0)
        {
            if (context.Hypervisor.Options.Architecture == Architecture.Arm) return -(int)XenErrno.EOPNOTSUPP;
            result = server!.MapGuestFrames(out ulong gfn, out ulong buffered);
            if (result != 0) return result;
            argument.IoreqGfn = gfn;
            if (server.HasBuffer) argument.BufioreqGfn = buffered;
        }

        if (server!.HasBuffer) argument.BufioreqPort = server.BufferedPort;
        return 0;
    }

    private static int MapRange(HypercallContext context, Domain domain, DmOp.IoreqServerRange argument)
    {
        if (argument.Pad != 0 || argument.Start > argument.End) return -(int)XenErrno.EINVAL;
        int result = Find(context, domain, argument.Id, out IoreqServer? server);
        if (result != 0) return result;
        if (server!.Ranges(argument.Type) is not { } ranges) return -(int)XenErrno.EINVAL;
        if (ranges.Overlaps(argument.Start, argument.End)) return -(int)XenErrno.EEXIST;
        return ranges.TryAdd(argument.Start, argument.End) ? 0 : -(int)XenErrno.ENOMEM;
    }

    private static int UnmapRange(HypercallContext context, Domain domain, DmOp.IoreqServerRange argument)
    {
        if (argument.Pad != 0 || argument.Start > argument.End) return -(int)XenErrno.EINVAL;
        int result = Find(context, domain, argument.Id, out IoreqServer? server);
        if (result != 0) return result;
        if (server!.Ranges(argument.Type) is not { } ranges) return -(int)XenErrno.EINVAL;
        if (!ranges.Contains(argument.Start, argument.End)) return -(int)XenErrno.ENOENT;
        return ranges.TryRemove(argument.Start, argument.End) ? 0 : -(int)XenErrno.ENOMEM;
    }

    private static int SetState(HypercallContext context, Domain domain, DmOp.SetIoreqServerState argument)
    {
        if (argument.Pad != 0) return -(int)XenErrno.EINVAL;
        int result = Find(context, domain, argument.Id, out IoreqServer? server);
        if (result != 0) return result;
        server!.SetEnabled(argument.Enabled != 0);
        return 0;
    }

    private static int Destroy(HypercallContext context, Domain domain, DmOp.DestroyIoreqServer argument)
    {
        if (argument.Pad != 0) return -(int)XenErrno.EINVAL;
        int result = Find(context, domain, argument.Id, out IoreqServer? server);
        if (result != 0) return result;
        domain.IoreqServers.Destroy(server!);
        return 0;
    }

    private static int MapMemType(HypercallContext context, Domain domain, DmOp.MapMemType argument)
    {
        if (argument.Opaque != 0 || argument.Type != HvmOp.MemType.IoreqServer || (argument.Flags & ~DmOp.MemAccessWrite) != 0)
            return -(int)XenErrno.EINVAL;
        int result = Find(context, domain, argument.Id, out IoreqServer? server);
        if (result != 0) return result;
        IoreqServer? owner = domain.IoreqServers.MemTypeServer;
        if (argument.Flags == 0)
        {
            if (owner != server) return -(int)XenErrno.EINVAL;
            domain.IoreqServers.MemTypeServer = null;
            domain.P2m.ChangeTypes(P2mType.IoreqServer, P2mType.Ram);
            return 0;
        }

        if (owner is not null) return -(int)XenErrno.EBUSY;
        domain.IoreqServers.MemTypeServer = server;
        return 0;
    }

    private static int NrVcpus(Domain domain, ref DmOp.NrVcpus argument)
    {
        argument.Vcpus = (uint)domain.Vcpus.Count;
        return 0;
    }

    private static int Find(HypercallContext context, Domain domain, ushort id, out IoreqServer? server)
    {
        server = domain.IoreqServers.Find(id);
        if (server is null) return -(int)XenErrno.ENOENT;
        return server.Emulator == context.Caller ? 0 : -(int)XenErrno.EPERM;
    }
}
