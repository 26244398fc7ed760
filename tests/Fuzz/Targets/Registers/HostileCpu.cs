using Fuzz.Engine;
using XenModel.Domains;
using XenModel.Ioreq;
using XenVhostMaster.Transports.Mmio;
using XenVhostMaster.Transports.Pci;
using static Fuzz.Targets.Registers.AttackedHost;

namespace Fuzz.Targets.Registers;

/// <summary>A virtual CPU with the accesses it makes: counted, and with the short words for what a driver does.</summary>
internal sealed class HostileCpu(Domain guest, int cpu)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    public VcpuIo Io => guest.Vcpus[cpu].Io;

    /// <summary>Where a function's BAR is while nobody has moved it.</summary>
    public static uint Home(int slot) => 0xfc00_0000 + (uint)slot * VirtioPciLayout.BarSize;

    /// <summary>Where the story keeps its rings: a ring takes 64 KiB.</summary>
    public static ulong Ring(int slot, int queue) => 0x10_0000 + (ulong)(slot * 2 + queue) * 0x1_0000;

    public static (int Slot, int Queues)[] Functions { get; } = [(DiskSlot, 2), (EchoSlot, 2), (GrantSlot, 1)];

    public void Common(int slot, int register, int size, ulong value) => Io.MmioWrite(Home(slot) + (uint)register, size, value);

    public ulong Common(int slot, int register, int size) => Io.MmioRead(Home(slot) + (uint)register, size);

    /// <summary>Every function at its place, decoding, reset; the MMIO device reset.</summary>
    /// <exception cref="FindingException">A reset does not end, or a function is not itself any more.</exception>
    public void Settle()
    {
        foreach ((int slot, int _) in Functions)
        {
            Io.ConfigWrite(0, slot, 0, PciConfig.Bar0, 4, Home(slot));
            Io.ConfigWrite(0, slot, 0, PciConfig.Bar0 + 4, 4, 0);
        }

        foreach ((int slot, int _) in Functions)
        {
            Io.ConfigWrite(0, slot, 0, PciConfig.Command, 2, PciConfig.CommandMemory | PciConfig.CommandMaster);
            uint identity = Io.ConfigRead(0, slot, 0, PciConfig.VendorId, 4);
            FindingException.Require(identity == (slot == DiskSlot ? 0x1042_1af4u : 0x106a_1af4u), $"slot {slot} is 0x{identity:x} now");
            Common(slot, VirtioPciLayout.DeviceStatus, 1, 0);
            Until(() => Common(slot, VirtioPciLayout.DeviceStatus, 1), $"slot {slot}: a reset does not end");
        }

        Io.MmioWrite(MmioBase + 0x70, 4, 0);
        Until(() => Io.MmioRead(MmioBase + 0x70, 4), "MMIO: a reset does not end");
    }

    /// <summary>All that a good driver does before the first request.</summary>
    public void BringUp(int slot, int queues)
    {
        Common(slot, VirtioPciLayout.DeviceStatus, 1, 3);
        Common(slot, VirtioPciLayout.DriverFeatureSelect, 4, 1);
        Common(slot, VirtioPciLayout.DriverFeature, 4, slot == GrantSlot ? 3u : 1u);
        Common(slot, VirtioPciLayout.DeviceStatus, 1, 0xb);
        Io.ConfigWrite(0, slot, 0, 0x98 + 2, 2, 0x8000);
        for (int queue = 0; queue < queues; queue++)
        {
            ulong entry = Home(slot) + VirtioPciLayout.Table + 16 * (uint)(queue + 1);
            Io.MmioWrite(entry, 4, 0xfee0_0000);
            Io.MmioWrite(entry + 8, 4, 0x60 + (uint)queue);
            Io.MmioWrite(entry + 12, 4, 0);
            Queue(slot, queue, 16, Ring(slot, queue), Ring(slot, queue) + 0x1000, Ring(slot, queue) + 0x2000);
        }

        Common(slot, VirtioPciLayout.DeviceStatus, 1, 0xf);
    }

    /// <summary>The same for the MMIO device.</summary>
    public void BringUpMmio()
    {
        foreach (uint status in (ReadOnlySpan<uint>)[0, 3, 0xb])
            Io.MmioWrite(MmioBase + VirtioMmioRegister.Status, 4, status);

        for (int queue = 0; queue < 2; queue++)
        {
            ulong ring = Ring(4, queue);
            Io.MmioWrite(MmioBase + VirtioMmioRegister.QueueSel, 4, (uint)queue);
            Io.MmioWrite(MmioBase + VirtioMmioRegister.QueueSize, 4, 16);
            Io.MmioWrite(MmioBase + VirtioMmioRegister.QueueDescLow, 4, ring);
            Io.MmioWrite(MmioBase + VirtioMmioRegister.QueueDriverLow, 4, ring + 0x1000);
            Io.MmioWrite(MmioBase + VirtioMmioRegister.QueueDeviceLow, 4, ring + 0x2000);
            Io.MmioWrite(MmioBase + VirtioMmioRegister.QueueReady, 4, 1);
        }

        Io.MmioWrite(MmioBase + VirtioMmioRegister.Status, 4, 0xf);
    }

    /// <summary>Sets a queue up and enables it.</summary>
    public void Queue(int slot, int queue, uint size, ulong descriptors, ulong driver, ulong device)
    {
        Common(slot, VirtioPciLayout.QueueSelect, 2, (uint)queue);
        Common(slot, VirtioPciLayout.QueueSize, 2, size);
        Common(slot, VirtioPciLayout.QueueMsixVector, 2, (uint)queue + 1);
        Common(slot, VirtioPciLayout.QueueDesc, 8, descriptors);
        Common(slot, VirtioPciLayout.QueueDriver, 8, driver);
        Common(slot, VirtioPciLayout.QueueDevice, 8, device);
        Common(slot, VirtioPciLayout.QueueEnable, 2, 1);
    }

    /// <summary>Reads the status until the device is reset.</summary>
    private static void Until(Func<ulong> status, string otherwise)
    {
        long end = Environment.TickCount64 + (long)Deadline.TotalMilliseconds;
        for (ulong value = status(); value != 0; value = status())
        {
            FindingException.Require(Environment.TickCount64 < end, $"{otherwise}: status 0x{value:x}");
            Thread.Yield();
        }
    }
}
