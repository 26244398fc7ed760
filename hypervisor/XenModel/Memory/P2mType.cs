namespace XenModel.Memory;

/// <summary>What a guest frame is.</summary>
internal enum P2mType : byte
{
    /// <summary>Nothing there: an access of a translated guest goes to the ioreq servers.</summary>
    MmioDm,

    /// <summary>RAM, also when Xen owns the frame (shared info, grant table).</summary>
    Ram,

    /// <summary>RAM whose writes go nowhere.</summary>
    RamReadOnly,

    /// <summary>RAM whose writes go to the ioreq server that claimed the type.</summary>
    IoreqServer,

    /// <summary>The pager has the contents and nobody asked for them yet.</summary>
    PagedOut,

    /// <summary>The pager was asked.</summary>
    PagingIn,

    /// <summary>A grant that the guest mapped there.</summary>
    GrantWritable,

    /// <summary>A grant that the guest mapped there for reading.</summary>
    GrantReadOnly,

    /// <summary>A page of another domain.</summary>
    Foreign,
}
