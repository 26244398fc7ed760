using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static XenMemoryProvider.Abi.DmOp;
using BufferedIoreq = XenMemoryProvider.Abi.DmOp.BufferedIoreq;

namespace Conformance.Scripts;

/// <summary>The life of an ioreq server, its pages and ports.</summary>
internal static class IoreqServerScripts
{
    public static IReadOnlyList<Script> All { get; } =
    [
        new("ioreq.create-and-destroy", x =>
        {
            DmOp.Call create = Dm.Create();
            x.Step("create_ioreq_server(handle_bufioreq=0)", "0", () => x.DmOp(x.Pvh, ref create));
            x.Step("its id", "0", () => (uint)create.CreateIoreqServer.Id);
            x.Step("destroy_ioreq_server", "0", () => x.DmOp(x.Pvh, Dm.Destroy(0)));
            x.Step("destroy_ioreq_server again", "ENOENT", () => x.DmOp(x.Pvh, Dm.Destroy(0)));
        }),
        new("ioreq.create-unknown-mode", x =>
            x.Step("create_ioreq_server(handle_bufioreq=3)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Create((BufferedIoreq)3)))),
        new("ioreq.create-padding", x =>
            x.Step("create_ioreq_server(pad[2]=1)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Create() with { CreateIoreqServer = new() { Pad2 = 1 } }))),
        new("ioreq.create-nine", x =>
        {
            for (int i = 0; i < MaxIoreqServers; i++) x.NewServer(x.Pvh);
            x.Step("the ninth create_ioreq_server", "ENOSPC", () => x.DmOp(x.Pvh, Dm.Create()));
        }),
        new("ioreq.lowest-id-is-reused", x =>
        {
            ushort first = x.NewServer(x.Pvh), second = x.NewServer(x.Pvh);
            x.Step("ids of two servers", "0 1", () => $"{first} {second}");
            x.Step("destroy_ioreq_server(0)", "0", () => x.DmOp(x.Pvh, Dm.Destroy(first)));
            x.Step("id of the next", "0", () => (uint)x.NewServer(x.Pvh));
        }),
        new("ioreq.device-model-of-hvm-has-server-0", x => x.Step("id of a server beside QEMU's", "1", () => (uint)x.NewServer(x.Hvm))),
        new("ioreq.destroy-unknown", x =>
        {
            x.Step("destroy_ioreq_server(7)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Destroy(7)));
            x.Step("destroy_ioreq_server(8)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Destroy(8)));
            x.Step("destroy_ioreq_server(65535)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Destroy(ushort.MaxValue)));
        }),
        new("ioreq.destroy-padding", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("destroy_ioreq_server(pad=1)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Destroy(id) with { DestroyIoreqServer = new() { Id = id, Pad = 1 } }));
        }),
        new("ioreq.info-unknown", x => x.Step("get_ioreq_server_info(5)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Info(5, NoGfns)))),
        new("ioreq.info-unknown-flag", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("get_ioreq_server_info(flags=2)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Info(id, 2)));
        }),
        new("ioreq.info-buffered-port", x =>
        {
            ushort off = x.NewServer(x.Pvh), on = x.NewServer(x.Pvh, BufferedIoreq.Atomic);
            DmOp.Call without = Dm.Info(off, NoGfns), with = Dm.Info(on, NoGfns);
            x.Step("get_ioreq_server_info of a server without buffer", "0", () => x.DmOp(x.Pvh, ref without));
            x.Step("its bufioreq_port", "0", () => without.GetIoreqServerInfo.BufioreqPort);
            x.Step("get_ioreq_server_info of one with a buffer", "0", () => x.DmOp(x.Pvh, ref with));
            x.Step("has a bufioreq_port", "yes", () => with.GetIoreqServerInfo.BufioreqPort != 0);
        }),
        new("ioreq.info-no-frames-on-pvh", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("get_ioreq_server_info(flags=0) on PVH", "ENOMEM", () => x.DmOp(x.Pvh, Dm.Info(id)));
            DmOp.Call info = Dm.Info(id);
            x.Step("again", "0", () => x.DmOp(x.Pvh, ref info));
            x.Step("ioreq_gfn: the page of the one server of former times", "0xfeffd", () => info.GetIoreqServerInfo.IoreqGfn);
        }, "libxenguest sets aside the pages of former times for PVH too. Xen 4.17 takes the mark of a free one for that of a taken one: the first to ask is refused and the next gets it."),
        new("ioreq.info-frames-on-hvm", x =>
        {
            ushort id = x.NewServer(x.Hvm, BufferedIoreq.Atomic);
            DmOp.Call info = Dm.Info(id);
            x.Step("get_ioreq_server_info(flags=0) on HVM", "0", () => x.DmOp(x.Hvm, ref info));
            x.Step("both frames among 0xfeff0..0xfeff7", "yes",
                () => info.GetIoreqServerInfo.IoreqGfn >> 3 == 0xfeff0 >> 3 && info.GetIoreqServerInfo.BufioreqGfn >> 3 == 0xfeff0 >> 3);
        }),
        new("ioreq.info-frames-after-resource", x =>
        {
            ushort id = x.NewServer(x.Hvm);
            x.MapServer(x.Hvm, id, MemoryOp.IoreqServerFrameIoreq);
            x.Step("get_ioreq_server_info(flags=0) after acquire_resource", "EPERM", () => x.DmOp(x.Hvm, Dm.Info(id)));
        }),
        new("ioreq.resource-after-frames", x =>
        {
            ushort id = x.NewServer(x.Hvm);
            DmOp.Call info = Dm.Info(id);
            x.Step("get_ioreq_server_info(flags=0)", "0", () => x.DmOp(x.Hvm, ref info));
            x.Step("acquire_resource(frame 1)", "EPERM", () => x.MapServer(x.Hvm, id, MemoryOp.IoreqServerFrameIoreq).Pages);
            x.Defer(() => x.Populate(x.Hvm, info.GetIoreqServerInfo.IoreqGfn));
            x.Step("foreign mapping of its frame", "EINVAL", () => x.MapError(x.Hvm, info.GetIoreqServerInfo.IoreqGfn));
        }, "Xen 4.17 refuses, but tidies up as if the page had been its own: the guest loses the page. Never ask for both."),
        new("ioreq.frames-leave-the-guest-while-enabled", x =>
        {
            ushort id = x.NewServer(x.Hvm);
            DmOp.Call info = Dm.Info(id);
            x.Step("get_ioreq_server_info(flags=0)", "0", () => x.DmOp(x.Hvm, ref info));
            ulong gfn = info.GetIoreqServerInfo.IoreqGfn;
            x.Step("foreign mapping of its frame", "0", () => x.MapError(x.Hvm, gfn));
            x.Step("set_ioreq_server_state(1)", "0", () => x.DmOp(x.Hvm, Dm.Enable(id)));
            x.Step("foreign mapping while it is enabled", "EINVAL", () => x.MapError(x.Hvm, gfn));
            x.Step("set_ioreq_server_state(0)", "0", () => x.DmOp(x.Hvm, Dm.Enable(id, false)));
            x.Step("foreign mapping again", "0", () => x.MapError(x.Hvm, gfn));
        }),
        new("ioreq.state-unknown", x => x.Step("set_ioreq_server_state(3, 1)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Enable(3)))),
        new("ioreq.state-padding", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("set_ioreq_server_state(pad=1)", "EINVAL",
                () => x.DmOp(x.Pvh, Dm.Enable(id) with { SetIoreqServerState = new() { Id = id, Enabled = 1, Pad = 1 } }));
        }),
        new("ioreq.state-any-byte-enables", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("set_ioreq_server_state(1)", "0", () => x.DmOp(x.Pvh, Dm.Enable(id)));
            x.Step("set_ioreq_server_state(1) again", "0", () => x.DmOp(x.Pvh, Dm.Enable(id)));
            x.Step("set_ioreq_server_state(255)", "0", () => x.DmOp(x.Pvh, Dm.Enable(id) with { SetIoreqServerState = new() { Id = id, Enabled = 255 } }));
            x.Step("set_ioreq_server_state(0)", "0", () => x.DmOp(x.Pvh, Dm.Enable(id, false)));
        }),
        new("ioreq.ports-are-written-when-enabled", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            XenMapping page = x.MapServer(x.Pvh, id, MemoryOp.IoreqServerFrameIoreq);
            x.Step("vp_eport of slot 0 before", "0", () => Slot(page, 0).VpEport);
            x.Step("set_ioreq_server_state(1)", "0", () => x.DmOp(x.Pvh, Dm.Enable(id)));
            x.Step("slots 0 and 1 have different ports", "yes", () => Slot(page, 0).VpEport != 0 && Slot(page, 1).VpEport != 0 && Slot(page, 0).VpEport != Slot(page, 1).VpEport);
            x.Step("slot 2, of no virtual CPU", "0", () => Slot(page, 2).VpEport);
            x.Step("bind_interdomain to both", "yes", () => x.Evtchn.BindInterdomain(x.Pvh, Slot(page, 0).VpEport) != x.Evtchn.BindInterdomain(x.Pvh, Slot(page, 1).VpEport));
            x.Step("bind_interdomain to a bound one", "EINVAL", () => x.Evtchn.BindInterdomain(x.Pvh, Slot(page, 0).VpEport));
        }),
        new("ioreq.port-is-offered-again-after-close", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            XenMapping page = x.MapServer(x.Pvh, id, MemoryOp.IoreqServerFrameIoreq);
            x.DmOp(x.Pvh, Dm.Enable(id));
            using (IEvtchn first = x.Machine.Kernel.OpenEvtchn()) x.Step("bind_interdomain(vp_eport)", "yes", () => first.BindInterdomain(x.Pvh, Slot(page, 0).VpEport) != 0);
            x.Step("bind_interdomain by the next process", "yes", () => x.Evtchn.BindInterdomain(x.Pvh, Slot(page, 0).VpEport) != 0);
        }),
        new("ioreq.port-is-dead-with-its-server", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            XenMapping page = x.MapServer(x.Pvh, id, MemoryOp.IoreqServerFrameIoreq);
            x.DmOp(x.Pvh, Dm.Enable(id));
            uint port = Slot(page, 0).VpEport;
            x.Step("destroy_ioreq_server", "0", () => x.DmOp(x.Pvh, Dm.Destroy(id)));
            x.Step("bind_interdomain(its vp_eport)", "EINVAL", () => x.Evtchn.BindInterdomain(x.Pvh, port));
        }),
        new("ioreq.page-outlives-its-server", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            XenMapping page = x.MapServer(x.Pvh, id, MemoryOp.IoreqServerFrameIoreq);
            x.DmOp(x.Pvh, Dm.Enable(id));
            uint port = Slot(page, 0).VpEport;
            x.Step("destroy_ioreq_server", "0", () => x.DmOp(x.Pvh, Dm.Destroy(id)));
            x.Step("the mapped page is there still", "yes", () => Slot(page, 0).VpEport == port);
        }),
        new("ioreq.page-is-one-page", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            XenMapping one = x.MapServer(x.Pvh, id, MemoryOp.IoreqServerFrameIoreq), other = x.MapServer(x.Pvh, id, MemoryOp.IoreqServerFrameIoreq);
            x.Step("what one mapping writes another reads", "0x1234567", () =>
            {
                Slot(one, 100).Data = 0x1234567;
                return Slot(other, 100).Data;
            });
        }),
    ];

    private static unsafe ref Ioreq Slot(XenMapping page, int vcpu) => ref ((Ioreq*)page.Pointer)[vcpu];
}
