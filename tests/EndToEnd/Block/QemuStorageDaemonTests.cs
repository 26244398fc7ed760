using GuestKit;
using Xunit;

namespace EndToEnd.Block;

/// <summary>The control: the same runs on a daemon that others wrote. What fails here is wrong in the test.</summary>
[Trait("Category", "Peer")]
public sealed class QemuStorageDaemonTests() : BlockDaemonTests(new QemuStorageDaemon());

[Trait("Category", "Peer")]
public sealed class QemuStorageDaemonMigrationTests() : MigrationTests(new QemuStorageDaemon());
