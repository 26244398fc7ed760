namespace Backends.Block.Stores;

/// <summary>What is to be done with a range of a store.</summary>
internal enum StoreOperation
{
    Read,
    Write,

    /// <summary>What completed before this was submitted is stable once it completes. The range is void.</summary>
    Flush,

    /// <summary>The bytes are not needed any more; they may read as anything afterwards.</summary>
    Discard,

    /// <summary>The bytes read as zero afterwards.</summary>
    WriteZeroes,
}
