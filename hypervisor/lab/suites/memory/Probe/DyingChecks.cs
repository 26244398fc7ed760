using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Events;
using XenMemoryProvider.Ioreq;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Memory;
using static VhostXen.Linux.LibC;

/// <summary>The guest is destroyed while its memory is mapped and an ioreq server is enabled.</summary>
internal static unsafe class DyingChecks
{
    public static void Run(Report report, LinuxXenKernel kernel, ushort guest, string name, int pages)
    {
        using FileDescriptor nothing = FileDescriptor.Open("/dev/null", O_RDWR);
        using IPrivcmd privcmd = kernel.OpenPrivcmd();
        using var events = new EventChannels(kernel.OpenEvtchn());
        var model = new DeviceModel(privcmd, guest);
        var description = new MemoryRegion(new GuestAddress(0), (ulong)pages << 12, default, 0, XenMmapFlags.Foreign, guest);
        var provider = new XenGuestMemoryProvider(kernel);

        IoreqServer server = IoreqServer.Create(model, events);
        server.MapPci(DmOp.PciSbdf(0, 0, 9, 0));
        server.Enable();
        RegionMapping mapping = provider.Map(description, nothing);
        report.Check("dying-pages-stay", () =>
        {
            ulong before = Sum(mapping, pages);
            int destroyed = Lab.Xl("destroy", name);
            ulong after = Sum(mapping, pages);
            mapping.Pointer[0x1000] ^= 0xff;
            return (destroyed == 0 && before != 0 && after != 0, $"xl destroy {destroyed}; all {pages} pages read and one written after it");
        });
        // A domain whose pages somebody maps is still one to Xen.
        report.Equal("dying-dm-op", 0, () => model.InjectMsi(0xfee00000, 0x41));
        report.Check("dying-map-again", () =>
        {
            try
            {
                provider.Map(description, nothing).Dispose();
                return (false, "mapped");
            }
            catch (GuestMemoryException e)
            {
                return (true, e.Message);
            }
        });
        report.Check("dying-dispose", () =>
        {
            server.Dispose();
            mapping.Dispose();
            return (true, "server and mapping disposed");
        });
        report.Check("dead-dm-op", () =>
        {
            int result = 0;
            for (int i = 0; i < 100 && result != -ESRCH; i++, Thread.Sleep(100)) result = model.InjectMsi(0xfee00000, 0x41);
            return (result == -ESRCH, $"{result} once nothing is mapped");
        });
    }

    private static ulong Sum(RegionMapping mapping, int pages)
    {
        ulong sum = 0;
        for (int page = 0; page < pages; page++)
        {
            if (mapping.IsAccessible((ulong)page << 12, 8)) sum += *(ulong*)(mapping.Pointer + ((nuint)page << 12));
        }
        return sum;
    }
}
