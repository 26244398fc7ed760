using Fuzz.Engine;
using VhostUser.Protocol;

namespace Fuzz.Targets;

/// <summary>
/// Ring memory that another thread changes while the device works on it, table and indices and all. Whatever the device
/// reads it never leaves the regions (they end at inaccessible pages), it comes to an end when it is stopped, and the other
/// queue of the same worker is served meanwhile. What exactly happens is a matter of timing: inputs that lead somewhere need
/// not lead there again.
/// </summary>
internal sealed class ScribbleTarget : FuzzTarget
{
    private static readonly ulong[] Kinds =
    [
        0,
        VirtioFeatures.RingPacked,
        VirtioFeatures.EventIdx | VirtioFeatures.InOrder,
        VirtioFeatures.EventIdx | VirtioFeatures.RingPacked,
        VirtioFeatures.InOrder | VirtioFeatures.RingPacked,
        VirtioFeatures.EventIdx,
    ];

    private readonly ScribbleRig _rig = new();

    public override void Run(FuzzInput input, Behaviour seen)
        => _rig.Run(input, seen, input.Pick<ulong>(Kinds) | VirtioFeatures.IndirectDesc | VirtioFeatures.Version1);

    public override void Dispose() => _rig.Dispose();
}
