using XenMemoryProvider.Abi;
using XenModel.Domains;

namespace XenModel.Memory;

internal static partial class MemoryOps
{
    // What 4.17 answers when asked for the size of a resource it does not know: an error number cast to a count.
    private const uint UnknownResourceSize = unchecked((uint)-(int)XenErrno.EOPNOTSUPP);

    /// <summary>How many frames a resource has, quirks included.</summary>
    /// <returns>0, or a negative errno.</returns>
    public static int ResourceSize(HypercallContext context, ushort domid, MemoryOp.ResourceType type, uint id, out uint count)
    {
        count = 0;
        int result = CheckResource(context, domid, type, out Domain? domain);
        if (result != 0) return result;
        count = SizeOf(domain!, type, id);
        return count == 0 ? -(int)XenErrno.EINVAL : 0;
    }

    /// <summary>The frames of a resource, each with a reference that becomes the caller's.</summary>
    /// <returns>0, or a negative errno and no references.</returns>
    public static int ResourceFrames(
        HypercallContext context, ushort domid, MemoryOp.ResourceType type, uint id, ulong first, Span<FrameReference> frames)
    {
        int result = CheckResource(context, domid, type, out Domain? domain);
        if (result != 0) return result;
        if (SizeOf(domain!, type, id) == 0) return -(int)XenErrno.EINVAL;
        for (int i = 0; i < frames.Length; i++)
        {
            result = ResourceFrame(context, domain!, type, id, first + (uint)i, out frames[i]);
            if (result != 0)
            {
                foreach (FrameReference taken in frames[..i]) taken.Release();
                return result;
            }

            frames[i].AddReference();
        }

        return 0;
    }

    private static int AcquireResource(HypercallContext context, ulong argument, CallerMemory memory)
    {
        const int maxFrames = 1 << 12;
        if (!memory.TryRead(argument, out MemoryOp.AcquireResource resource)) return -(int)XenErrno.EFAULT;
        if (resource.Pad != 0) return -(int)XenErrno.EINVAL;
        int result;
        if (resource.FrameList == 0)
        {
            if (resource.NrFrames != 0 || resource.Frame != 0) return -(int)XenErrno.EINVAL;
            result = ResourceSize(context, resource.Domid, resource.Type, resource.Id, out uint count);
            if (result != 0) return result;
            resource.NrFrames = count;
            return memory.TryWrite(argument, resource) ? 0 : -(int)XenErrno.EFAULT;
        }

        if (resource.NrFrames == 0 || resource.Frame + resource.NrFrames < resource.Frame) return -(int)XenErrno.EINVAL;
        if (resource.NrFrames > maxFrames) return -(int)XenErrno.E2BIG;
        var frames = new FrameReference[resource.NrFrames];
        result = ResourceFrames(context, resource.Domid, resource.Type, resource.Id, resource.Frame, frames);
        if (result != 0) return result;
        for (int i = 0; i < frames.Length; i++)
        {
            // A PV caller learns machine frame numbers; what it maps by them holds its own references.
            if (!memory.TryWrite(resource.FrameList, (ulong)i, frames[i].Mfn)) result = -(int)XenErrno.EFAULT;
            frames[i].Release();
        }

        return result;
    }

    private static int CheckResource(HypercallContext context, ushort domid, MemoryOp.ResourceType type, out Domain? domain)
    {
        domain = null;
        if (context.Caller.IsTranslated && !context.Caller.IsHardwareDomain) return -(int)XenErrno.EACCES;
        domain = context.Find(domid);
        if (domain is null) return -(int)XenErrno.ESRCH;
        if (domain == context.Caller || !context.MayModel(domain)) return -(int)XenErrno.EPERM;
        if (type == MemoryOp.ResourceType.IoreqServer && !domain.IsTranslated) return -(int)XenErrno.EINVAL;
        return 0;
    }

    private static uint SizeOf(Domain domain, MemoryOp.ResourceType type, uint id) => type switch
    {
        MemoryOp.ResourceType.IoreqServer => 1 + (uint)(domain.Vcpus.Count + XenMemoryProvider.Abi.Ioreq.SlotsPerPage - 1) / XenMemoryProvider.Abi.Ioreq.SlotsPerPage,
        MemoryOp.ResourceType.GrantTable => domain.Grants.ResourceSize(id),
        MemoryOp.ResourceType.VmtraceBuf => 0,
        _ => UnknownResourceSize,
    };

    private static int ResourceFrame(HypercallContext context, Domain domain, MemoryOp.ResourceType type, uint id, ulong index, out FrameReference frame)
    {
        frame = default;
        switch (type)
        {
            case MemoryOp.ResourceType.IoreqServer:
                if (domain.IoreqServers.Find(id) is not { } server) return -(int)XenErrno.ENOENT;
                return server.Emulator == context.Caller ? server.GetFrame(index, out frame) : -(int)XenErrno.EPERM;
            case MemoryOp.ResourceType.GrantTable:
                return domain.Grants.TryGetResourceFrame(id, index, out frame);
            default:
                return -(int)XenErrno.EOPNOTSUPP;
        }
    }
}
