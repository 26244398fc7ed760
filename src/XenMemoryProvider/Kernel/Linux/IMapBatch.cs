namespace XenMemoryProvider.Kernel.Linux;

/// <summary>Maps a run of pages and writes each page's error, as MMAPBATCH_V2 does.</summary>
internal interface IMapBatch
{
    /// <returns>0, -ENOENT (pages may be paged out) or another negative errno (nothing is known about the run).</returns>
    int Map(int first, int count);
}
