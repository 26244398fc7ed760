using TestKit;
using VhostUser.Session;
using VhostUser.Protocol;

namespace EndToEnd.Disks;

/// <summary>As under KVM: one memfd, three regions.</summary>
internal sealed class MemfdGuest : DiskGuest
{
    public override string Xen => "off";

    public override TestMemory Memory { get; } = new((0UL, 8UL << 20), (0x1_0000_0000UL, 8UL << 20), (0x2_0000_0000UL, 1UL << 20));

    public override int Writable => 1;

    public override int Rings => 2;

    public override ProtocolFeatures Protocol => new FrontendOptions().WantedProtocol;
}
