using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Tests.OnModel;
using Xunit;

namespace EndToEnd.Disks;

/// <summary>
/// A guest that grants: buffers on demand, read-only where the device reads, rings in advance. It checks after every
/// request that its grants are its own again, as Linux does before it takes them back.
/// </summary>
internal sealed class GrantGuest : XenGuest
{
    private const ulong FirstGfn = 0x400;
    private const int AreaPages = 1024;
    private const int RingPages = 64;

    public GrantGuest(XenHost host)
        : base(host)
    {
        uint readable = Guest.Grant(FirstGfn, AreaPages, readOnly: true);
        uint writable = Guest.Grant(FirstGfn + AreaPages, AreaPages);
        uint rings = Guest.Grant(FirstGfn + (2 * AreaPages), RingPages);
        const XenMmapFlags onDemand = XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap;
        Memory = new TestMemory(
            NoFile,
            (Region(ModelGuest.Address(readable), AreaPages << XenPage.Shift, default, onDemand), View(FirstGfn << XenPage.Shift)),
            (Region(ModelGuest.Address(writable), AreaPages << XenPage.Shift, default, onDemand), View((FirstGfn + AreaPages) << XenPage.Shift)),
            (Region(ModelGuest.Address(rings), RingPages << XenPage.Shift, new FrontendAddress((ulong)View((FirstGfn + (2 * AreaPages)) << XenPage.Shift)), XenMmapFlags.Grant),
                View((FirstGfn + (2 * AreaPages)) << XenPage.Shift)));
    }

    public override TestMemory Memory { get; }

    public override int Writable => 1;

    public override int Rings => 2;

    public static uint ReferenceOf(GuestAddress address) => (uint)((address.Value & ~ModelGuest.GrantBit) >> XenPage.Shift);

    public override void CheckReleased(ReadOnlySpan<GuestRange> buffers)
    {
        foreach (ref readonly GuestRange buffer in buffers)
        {
            for (uint reference = ReferenceOf(buffer.Address); reference <= ReferenceOf(new GuestAddress(buffer.Address.Value + (buffer.Length - 1))); reference++)
                Assert.Equal(GrantFlags.Invalid, Guest.FlagsOf(reference) & (GrantFlags.Reading | GrantFlags.Writing));
        }
    }
}
