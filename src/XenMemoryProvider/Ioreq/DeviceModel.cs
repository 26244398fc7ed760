using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Ioreq;

/// <summary>
/// The operations of a device model on its guest (dm_op), all of them by their names. Any thread may call. What is done
/// per interrupt or per request returns 0 or a negative errno and allocates nothing; the rest throws. Every one of them
/// answers ESRCH once the domain is gone, which it is not to Xen while somebody maps a page of it.
/// </summary>
public sealed partial class DeviceModel
{
    /// <param name="privcmd">The caller's; it outlives this object. It may be restricted to <paramref name="domid"/>.</param>
    /// <param name="domid">The guest: HVM or PVH.</param>
    public DeviceModel(IPrivcmd privcmd, ushort domid)
    {
        Privcmd = privcmd;
        Domid = domid;
    }

    /// <summary>The device this object calls through.</summary>
    public IPrivcmd Privcmd { get; }

    /// <summary>The guest.</summary>
    public ushort Domid { get; }

    /// <summary>How many virtual CPUs the guest has at most; that never changes.</summary>
    /// <exception cref="XenException">ESRCH; EINVAL: neither HVM nor PVH; EPERM.</exception>
    public int NrVcpus()
    {
        var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
        Check(ref call);
        return checked((int)call.NrVcpus.Vcpus);
    }

    /// <summary>A new ioreq server, disabled. It belongs to this domain and outlives this process: see <see cref="IoreqServer"/>.</summary>
    /// <returns>Its id, 0..7.</returns>
    /// <exception cref="XenException">ENOSPC: eight exist.</exception>
    public ushort CreateIoreqServer(DmOp.BufferedIoreq buffered)
    {
        var call = new DmOp.Call { Op = DmOp.Command.CreateIoreqServer, CreateIoreqServer = new() { HandleBufioreq = buffered } };
        Check(ref call);
        return call.CreateIoreqServer.Id;
    }

    /// <summary>What Xen knows of a server.</summary>
    /// <param name="withFrames">Also put its pages into the guest's memory and say where: the old way, which excludes mapping them as a resource.</param>
    /// <exception cref="XenException">ENOENT: no such server; EPERM: another domain's.</exception>
    public DmOp.GetIoreqServerInfo GetIoreqServerInfo(ushort id, bool withFrames = false)
    {
        XenException.Check(TryGetIoreqServerInfo(id, withFrames, out DmOp.GetIoreqServerInfo info), nameof(DmOp.Command.GetIoreqServerInfo), Domid);
        return info;
    }

    /// <inheritdoc cref="GetIoreqServerInfo"/>
    /// <returns>0 or a negative errno.</returns>
    public int TryGetIoreqServerInfo(ushort id, bool withFrames, out DmOp.GetIoreqServerInfo info)
    {
        var call = new DmOp.Call
        {
            Op = DmOp.Command.GetIoreqServerInfo,
            GetIoreqServerInfo = new() { Id = id, Flags = withFrames ? (ushort)0 : DmOp.NoGfns },
        };
        int result = Run(ref call);
        info = call.GetIoreqServerInfo;
        return result;
    }

    /// <summary>Claims a range for a server; both ends are within it. Ranges of one server and type do not overlap.</summary>
    /// <exception cref="XenException">EEXIST: overlap; EINVAL: start after end; ENOMEM: 256 ranges; ENOENT.</exception>
    public void MapIoRangeToIoreqServer(ushort id, DmOp.IoRangeType type, ulong start, ulong end)
    {
        var call = new DmOp.Call { Op = DmOp.Command.MapIoRangeToIoreqServer, MapIoRange = new() { Id = id, Type = type, Start = start, End = end } };
        Check(ref call);
    }

    /// <summary>Gives a range back: the whole of it must be claimed.</summary>
    /// <exception cref="XenException">ENOENT: not claimed, or no such server.</exception>
    public void UnmapIoRangeFromIoreqServer(ushort id, DmOp.IoRangeType type, ulong start, ulong end)
    {
        var call = new DmOp.Call { Op = DmOp.Command.UnmapIoRangeFromIoreqServer, UnmapIoRange = new() { Id = id, Type = type, Start = start, End = end } };
        Check(ref call);
    }

    /// <summary>Enables or disables a server: a claim counts only while it is enabled. The domain is paused meanwhile.</summary>
    /// <exception cref="XenException">ENOENT.</exception>
    public void SetIoreqServerState(ushort id, bool enabled)
    {
        var call = new DmOp.Call { Op = DmOp.Command.SetIoreqServerState, SetIoreqServerState = new() { Id = id, Enabled = enabled ? (byte)1 : (byte)0 } };
        Check(ref call);
    }

    /// <summary>Ends a server and its claims.</summary>
    /// <exception cref="XenException">ENOENT; EPERM: another domain's.</exception>
    public void DestroyIoreqServer(ushort id)
    {
        var call = new DmOp.Call { Op = DmOp.Command.DestroyIoreqServer, DestroyIoreqServer = new() { Id = id } };
        Check(ref call);
    }

    /// <summary>Claims the writes to frames of type <see cref="HvmOp.MemType.IoreqServer"/>, or gives them back.</summary>
    /// <exception cref="XenException">EINVAL: not this type, or another server has it; EOPNOTSUPP: no hardware-assisted paging.</exception>
    public void MapMemTypeToIoreqServer(ushort id, bool claim)
    {
        var call = new DmOp.Call
        {
            Op = DmOp.Command.MapMemTypeToIoreqServer,
            MapMemType = new() { Id = id, Type = HvmOp.MemType.IoreqServer, Flags = claim ? DmOp.MemAccessWrite : 0 },
        };
        Check(ref call);
    }

    /// <summary>Stops the guest for a reason, as if it had asked itself.</summary>
    /// <exception cref="XenException">ESRCH.</exception>
    public void RemoteShutdown(ShutdownReason reason)
    {
        var call = new DmOp.Call { Op = DmOp.Command.RemoteShutdown, RemoteShutdown = new() { Reason = reason } };
        Check(ref call);
    }

    /// <summary>Reads a parameter of the guest. Not on a restricted handle.</summary>
    /// <exception cref="XenException">EINVAL: no such parameter; EPERM: restricted.</exception>
    public ulong GetHvmParam(HvmParam index)
    {
        XenException.Check(Privcmd.GetHvmParam(Domid, index, out ulong value), $"HVMOP_get_param {index}", Domid);
        return value;
    }

    /// <summary>Writes a parameter of the guest. Not on a restricted handle.</summary>
    /// <exception cref="XenException">EEXIST: write-once; EINVAL; EPERM.</exception>
    public void SetHvmParam(HvmParam index, ulong value) =>
        XenException.Check(Privcmd.SetHvmParam(Domid, index, value), $"HVMOP_set_param {index}", Domid);

    private int Run(ref DmOp.Call call, Span<byte> extra = default) => Privcmd.DmOp(Domid, ref call, extra);

    private void Check(ref DmOp.Call call, Span<byte> extra = default)
    {
        int result = Run(ref call, extra);
        if (result < 0) throw new XenException($"dm_op {call.Op}", Domid, -result);
    }
}
