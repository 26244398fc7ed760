using GuestKit;

namespace EndToEnd.Tests.Peers;

public sealed class QemuStorageDaemonBackendTests : BlockBackendTests
{
    protected override BlockDaemon Daemon { get; } = new QemuStorageDaemon();
}
