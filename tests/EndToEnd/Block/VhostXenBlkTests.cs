using GuestKit;
using Xunit;

namespace EndToEnd.Block;

[Trait("Category", "Qemu")]
public sealed class VhostXenBlkTests() : BlockDaemonTests(new VhostXenBlk());

[Trait("Category", "Qemu")]
public sealed class VhostXenBlkMigrationTests() : MigrationTests(new VhostXenBlk());
