namespace Backends.Block.Stores;

/// <summary>What a store can do and in which units. All sizes in bytes.</summary>
/// <param name="ReadOnly">It cannot be written.</param>
/// <param name="CanDiscard">Discarding gives space back.</param>
/// <param name="LogicalBlockSize">Smallest unit without a detour; a power of two from 512.</param>
/// <param name="PhysicalBlockSize">Smallest unit that is not read, changed and written back; at least the logical one.</param>
/// <param name="MinimumIoSize">Preferred smallest transfer; 0 unknown.</param>
/// <param name="OptimalIoSize">Preferred transfer for streams; 0 unknown.</param>
/// <param name="DiscardGranularity">Unit in which discarding gives space back.</param>
internal sealed record StoreProperties(
    bool ReadOnly,
    bool CanDiscard,
    uint LogicalBlockSize = 512,
    uint PhysicalBlockSize = 512,
    uint MinimumIoSize = 0,
    uint OptimalIoSize = 0,
    uint DiscardGranularity = 512);
