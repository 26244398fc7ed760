using GuestKit;
using Xunit;

namespace EndToEnd.Block;

[Trait("Category", "Qemu")]
public sealed class VhostXenBlkTests() : BlockDaemonTests(new VhostXenBlk());
