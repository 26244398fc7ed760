namespace Backends.Block.Stores;

/// <summary>How a file or host block device is to be opened.</summary>
internal sealed record FileStoreOptions
{
    /// <summary>A regular file or a block device.</summary>
    public required string Path { get; init; }

    public bool ReadOnly { get; init; }

    /// <summary>O_DIRECT: past the host's page cache.</summary>
    public bool Direct { get; init; }

    /// <summary>False to share the file with whoever else has it open.</summary>
    public bool Lock { get; init; } = true;
}
