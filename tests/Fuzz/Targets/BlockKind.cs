using Backends.Block.Device;
using VhostUser.Protocol;

namespace Fuzz.Targets;

/// <summary>A disk, and what its driver agreed to.</summary>
/// <param name="Length">Bytes of the store.</param>
/// <param name="Ring">Ring features.</param>
/// <param name="Features">Features of the device.</param>
internal sealed record BlockKind(ulong Length, ulong Ring, ulong Features)
{
    public bool ReadOnly { get; init; }

    public bool CanDiscard { get; init; } = true;

    public bool Writeback { get; init; } = true;

    public uint BlockSize { get; init; } = 512;

    public int RingSize { get; init; } = 64;

    /// <summary>Whole logical blocks, in units of 512 bytes.</summary>
    public ulong Sectors => Length / BlockSize * (BlockSize / 512);

    public static IReadOnlyList<BlockKind> All { get; } =
    [
        new(96 << 10, VirtioFeatures.IndirectDesc, BlockFeatures.Flush | BlockFeatures.ConfigWce),
        new(96 << 10, VirtioFeatures.IndirectDesc | VirtioFeatures.RingPacked, BlockFeatures.Flush | BlockFeatures.ConfigWce) { RingSize = 50 },
        new(96 << 10, VirtioFeatures.IndirectDesc, BlockFeatures.Flush) { ReadOnly = true },
        new((96 << 10) + 700, VirtioFeatures.RingPacked, BlockFeatures.Flush) { CanDiscard = false, Writeback = false },
        new(5UL << 30, VirtioFeatures.EventIdx | VirtioFeatures.InOrder, BlockFeatures.Flush | BlockFeatures.ConfigWce),
        new((96 << 10) + 2048, VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx, 0) { BlockSize = 4096 },
        new(512, VirtioFeatures.RingPacked | VirtioFeatures.InOrder, BlockFeatures.Flush),
        new(96 << 10, VirtioFeatures.IndirectDesc, BlockFeatures.ConfigWce) { Writeback = false },
    ];
}
