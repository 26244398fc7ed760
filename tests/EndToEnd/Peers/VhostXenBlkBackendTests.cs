using GuestKit;

namespace EndToEnd.Tests.Peers;

public sealed class VhostXenBlkBackendTests : BlockBackendTests
{
    protected override BlockDaemon Daemon { get; } = new VhostXenBlk();
}
