namespace XenMemoryProvider.Kernel;

/// <summary>A device that has something to do after a mapping of its own is gone.</summary>
public interface IXenMappingOwner
{
    /// <summary>The pages are unmapped. Must not throw.</summary>
    void Unmapped(XenMapping mapping, ulong token);
}
