using Fuzz.Engine;

namespace Fuzz.Targets;

/// <summary>
/// Block requests of any shape on rings that are in order: headers and data cut anywhere, any type, sector and flags, disks
/// that fail. Status, length in the used entry, every byte of guest memory, every operation on the store and what is on the
/// disk afterwards are what a naive device does.
/// </summary>
internal sealed class BlockTarget : FuzzTarget
{
    private readonly BlockRig?[] _rigs = new BlockRig?[BlockKind.All.Count];

    public override int MaxLength => 768;

    public override void Run(FuzzInput input, Behaviour seen)
    {
        int kind = input.Below(_rigs.Length);
        seen.Saw($"disk {(char)('a' + kind)}");
        BlockRig rig = _rigs[kind] ??= new BlockRig(BlockKind.All[kind]);
        rig.Begin(input, seen);
        for (int batch = 0; batch < 6 && !(batch > 0 && input.IsAtEnd); batch++)
            rig.Batch();

        rig.End();
    }

    public override void Dispose()
    {
        foreach (BlockRig? rig in _rigs)
            rig?.Dispose();
    }
}
