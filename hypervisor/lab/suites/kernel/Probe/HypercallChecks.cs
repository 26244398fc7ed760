using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

/// <summary>Plain hypercalls through hypercall buffers.</summary>
internal static class HypercallChecks
{
    public static void Run(Report report, IPrivcmd privcmd, ushort guest)
    {
        report.Check("hypercall-buffer-never-faults", () =>
        {
            using HypercallBuffer buffer = privcmd.AllocateBuffer(3 * 4096);
            return (buffer.NeverFaults && buffer.Capacity == 12288, $"{buffer.Capacity} bytes");
        });
        report.Check("hvm-get-param", () =>
        {
            int result = privcmd.GetHvmParam(guest, HvmParam.StorePfn, out ulong pfn);
            return (result == 0 && pfn is >= 0xfeff8 and <= 0xfefff, $"{result}, store pfn 0x{pfn:x}");
        });
        report.Equal("hvm-get-param-bad-index", -EINVAL, () => privcmd.GetHvmParam(guest, HvmParam.Count, out _));
        report.Equal("hvm-get-param-no-domain", -ESRCH, () => privcmd.GetHvmParam(999, HvmParam.StorePfn, out _));
        report.Check("hvm-set-param-reads-back", () =>
        {
            int set = privcmd.SetHvmParam(guest, HvmParam.VmGenerationIdAddr, 0xfc00_0000);
            int get = privcmd.GetHvmParam(guest, HvmParam.VmGenerationIdAddr, out ulong value);
            return (set == 0 && get == 0 && value == 0xfc00_0000, $"{set}, {get}, 0x{value:x}");
        });
        report.Check("memory-op-maximum-gpfn", () =>
        {
            var domain = new MemoryOp.Domain { Domid = guest };
            int result = privcmd.MemoryOp(MemoryOp.Command.MaximumGpfn, ref domain);
            return (result >= 0xfefff, $"0x{result:x}");
        });
        report.Check("grant-table-op-query-size", () =>
        {
            // Xen takes this one (and setup_table) one at a time.
            GrantTableOp.QuerySize[] sizes = [new() { Dom = guest }, new() { Dom = 999 }];
            int both = privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, sizes.AsSpan());
            int first = privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, sizes.AsSpan(0, 1));
            int second = privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, sizes.AsSpan(1, 1));
            bool sized = sizes[0] is { Status: GrantStatus.Okay, MaxNrFrames: 64 } && sizes[1].Status == GrantStatus.BadDomain;
            return (both == -EINVAL && first == 0 && second == 0 && sized,
                $"{both}, {first} {sizes[0].Status} {sizes[0].NrFrames}/{sizes[0].MaxNrFrames}, {second} {sizes[1].Status}");
        });
        report.Check("grant-table-op-batch", () =>
        {
            GrantTableOp.GetVersion[] ignored = [new() { Dom = guest }];
            int version = privcmd.GrantTableOp(GrantTableOp.Command.GetVersion, ignored.AsSpan());
            GrantTableOp.Copy[] copies = [new() { Len = 1 }, new() { Len = 5000, Flags = GrantTableOp.CopySourceGref }];
            int copy = privcmd.GrantTableOp(GrantTableOp.Command.Copy, copies.AsSpan());
            return (version == 0 && ignored[0].Version == 1 && copy == 0 && copies[0].Status != GrantStatus.Okay && copies[1].Status != GrantStatus.Okay,
                $"version {ignored[0].Version}, copies {copy} {copies[0].Status} {copies[1].Status}");
        });
        report.Check("event-channel-op-status", () =>
        {
            var status = new EventChannelOp.Status { Dom = guest, Port = 1 };
            int result = privcmd.EventChannelOp(EventChannelOp.Command.Status, ref status);
            return (result == 0 && status.State is EventChannelOp.ChannelState.Unbound or EventChannelOp.ChannelState.Interdomain, $"{result}, {status.State}");
        });
        report.Check("hypercall-nested-handle", () =>
        {
            // acquire_resource's size query has no list; with one, a PV caller gets machine frames.
            using HypercallBuffer buffer = privcmd.AllocateBuffer(4096);
            ulong argument = buffer.Put(new MemoryOp.AcquireResource { Domid = guest, Type = MemoryOp.ResourceType.GrantTable });
            var call = new Privcmd.Hypercall { Op = (ulong)Hypercall.MemoryOp, Arg0 = (ulong)MemoryOp.Command.AcquireResource, Arg1 = argument };
            int size = privcmd.Hypercall(call, buffer);
            uint frames = buffer.At<MemoryOp.AcquireResource>(argument).NrFrames;

            ulong list = buffer.Put<ulong>(new ulong[1]);
            ref MemoryOp.AcquireResource resource = ref buffer.At<MemoryOp.AcquireResource>(argument);
            resource.NrFrames = 1;
            resource.FrameList = list;
            int acquired = privcmd.Hypercall(call, buffer);
            ulong frame = buffer.At<ulong>(list);
            return (size == 0 && frames == 64 && acquired == 0 && frame != 0, $"{size}, {frames} frames, {acquired}, mfn 0x{frame:x}");
        });
    }
}
