using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

/// <summary>dm_op and the ioreq page.</summary>
internal static unsafe class IoreqChecks
{
    public static void Run(Report report, LinuxXenKernel kernel, IPrivcmd privcmd, ushort guest)
    {
        report.Check("dm-op-nr-vcpus", () =>
        {
            var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
            int result = privcmd.DmOp(guest, ref call);
            return (result == 0 && call.NrVcpus.Vcpus == 2, $"{result}, {call.NrVcpus.Vcpus} vcpus");
        });
        report.Equal("dm-op-no-domain", -ESRCH, () => Op(privcmd, 999, new() { Op = DmOp.Command.NrVcpus }));
        report.Equal("dm-op-unknown", -EOPNOTSUPP, () => Op(privcmd, guest, new() { Op = (DmOp.Command)99 }));
        report.Equal("dm-op-two-buffers", 0, () =>
        {
            var call = new DmOp.Call { Op = DmOp.Command.ModifiedMemory, ModifiedMemory = new() { NrExtents = 1 } };
            DmOp.ModifiedMemoryExtent[] extents = [new() { Nr = 1, FirstPfn = 0x1000 }];
            return privcmd.DmOp(guest, ref call, MemoryMarshal.AsBytes(extents.AsSpan()));
        });

        ushort id = 0;
        report.Check("ioreq-create", () =>
        {
            var call = new DmOp.Call { Op = DmOp.Command.CreateIoreqServer };
            int result = privcmd.DmOp(guest, ref call);
            id = call.CreateIoreqServer.Id;
            return (result == 0, $"{result}, id {id}");
        });
        report.Equal("resource-size", 2ul, () => privcmd.GetResourceSize(guest, MemoryOp.ResourceType.IoreqServer, id));
        report.Check("resource-no-buffered-ring", () =>
        {
            try
            {
                privcmd.MapResource(guest, MemoryOp.ResourceType.IoreqServer, id, MemoryOp.IoreqServerFrameBufioreq, 1).Dispose();
                return (false, "mapped");
            }
            catch (XenException e)
            {
                return (e.Errno == ENOENT, e.Message);
            }
        });
        report.Check("ioreq-life", () =>
        {
            using XenMapping page = privcmd.MapResource(guest, MemoryOp.ResourceType.IoreqServer, id, MemoryOp.IoreqServerFrameIoreq, 1);
            var range = new DmOp.IoreqServerRange { Id = id, Type = DmOp.IoRangeType.Pci, Start = DmOp.PciSbdf(0, 0, 3, 0), End = DmOp.PciSbdf(0, 0, 3, 0) };
            int map = Op(privcmd, guest, new() { Op = DmOp.Command.MapIoRangeToIoreqServer, MapIoRange = range });
            int again = Op(privcmd, guest, new() { Op = DmOp.Command.MapIoRangeToIoreqServer, MapIoRange = range });
            int enable = Op(privcmd, guest, new() { Op = DmOp.Command.SetIoreqServerState, SetIoreqServerState = new() { Id = id, Enabled = 1 } });
            uint port0 = ((Ioreq*)page.Pointer)[0].VpEport, port1 = ((Ioreq*)page.Pointer)[1].VpEport;

            using IEvtchn events = kernel.OpenEvtchn();
            uint local0 = events.BindInterdomain(guest, port0), local1 = events.BindInterdomain(guest, port1);
            Span<uint> pending = stackalloc uint[8];
            int spurious = events.ReadPorts(pending);
            bool both = pending[..spurious].Contains(local0) && pending[..spurious].Contains(local1);
            int unmask = events.Unmask(pending[..spurious]);
            int empty = events.ReadPorts(pending);
            int notify = events.Notify(local0);
            bool ok = map == 0 && again == -EEXIST && enable == 0 && port0 != 0 && port1 != 0 && spurious == 2 && both && unmask == 0 && empty == 0 && notify == 0;
            return (ok, $"map {map}, again {again}, enable {enable}, ports {port0} {port1}, pending {spurious}, unmask {unmask}, then {empty}, notify {notify}");
        });
        report.Equal("ioreq-destroy", 0, () => Op(privcmd, guest, new() { Op = DmOp.Command.DestroyIoreqServer, DestroyIoreqServer = new() { Id = id } }));
        report.Equal("ioreq-destroy-again", -ENOENT, () => Op(privcmd, guest, new() { Op = DmOp.Command.DestroyIoreqServer, DestroyIoreqServer = new() { Id = id } }));
    }

    private static int Op(IPrivcmd privcmd, ushort domid, DmOp.Call call) => privcmd.DmOp(domid, ref call);
}
