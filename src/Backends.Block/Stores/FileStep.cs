namespace Backends.Block.Stores;

/// <summary>The system call that an operation on a file is at.</summary>
internal enum FileStep
{
    Read,
    Write,

    /// <summary>Zeroes from memory, where the host has no better way.</summary>
    WriteZeros,
    Sync,
    PunchHole,
    ZeroRange,

    /// <summary>BLKDISCARD. Not for io_uring.</summary>
    DiscardDevice,

    /// <summary>BLKZEROOUT. Not for io_uring.</summary>
    ZeroOutDevice,
}
