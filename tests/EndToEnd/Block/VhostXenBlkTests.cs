using GuestKit;
using Xunit;

namespace EndToEnd.Block;

[Trait("Category", "Qemu")]
public sealed class VhostXenBlkTests() : BlockDaemonTests(new VhostXenBlk());

[Trait("Category", "Qemu")]
public sealed class VhostXenBlkMigrationTests() : MigrationTests(new VhostXenBlk())
{
    /// <summary>
    /// Most requests at the destination meet memory that is not there yet: the daemon's own faults fetch it. (Debian's
    /// qemu-storage-daemon panics at the message that ends the list of regions.)
    /// </summary>
    [Fact]
    public Task Guest_MigratedPostcopyUnderLoad_KeepsMemoryAndDisk() => MigrateAsync("postcopy", postcopy: true);
}
