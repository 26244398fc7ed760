namespace TestKit;

/// <summary>What a hostile driver can put into its ring. Each is made available and kicked like a good chain.</summary>
public enum RingLie
{
    /// <summary>A chain that comes back to its own head.</summary>
    Loop,

    /// <summary>A chain of distinct buffers longer than the ring, by way of an indirect table.</summary>
    ChainTooLong,

    /// <summary>A link past the descriptor table (split).</summary>
    LinkOutsideTable,

    /// <summary>A head past the descriptor table (split).</summary>
    HeadOutsideTable,

    /// <summary>A head that the device still has (split).</summary>
    HeadInFlight,

    /// <summary>An available index more than a ring ahead (split).</summary>
    IndexJump,

    /// <summary>More descriptors available than the ring has entries (packed).</summary>
    MoreThanTheRing,

    /// <summary>An indirect descriptor where INDIRECT_DESC was not negotiated.</summary>
    IndirectNotNegotiated,

    /// <summary>An indirect descriptor inside an indirect table (split; packed devices ignore the flag).</summary>
    IndirectInIndirect,

    /// <summary>An indirect descriptor with a next one.</summary>
    IndirectWithNext,

    /// <summary>An indirect table of no bytes.</summary>
    IndirectEmpty,

    /// <summary>An indirect table that is no multiple of 16 bytes.</summary>
    IndirectOddLength,

    /// <summary>An indirect table of almost 4 GiB.</summary>
    IndirectHuge,

    /// <summary>A link past the end of an indirect table (split).</summary>
    IndirectLinkOutside,

    /// <summary>A loop in an indirect table (split).</summary>
    IndirectLoop,

    /// <summary>An indirect table in no region.</summary>
    IndirectOutsideMemory,

    /// <summary>An indirect table that starts in a region and runs out of it.</summary>
    IndirectLeavesMemory,

    /// <summary>An indirect table at the last addresses there are, and beyond.</summary>
    IndirectWrapsAround,

    /// <summary>A buffer to read after a buffer to write.</summary>
    ReadableAfterWritable,

    /// <summary>Buffers of more than 4 GiB in one chain.</summary>
    MoreThan4GiB,
}
