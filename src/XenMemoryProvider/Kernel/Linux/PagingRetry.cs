using System.Diagnostics;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>
/// Maps a batch, then again those of its pages that were paged out: Xen has asked for them by then. What each page's error
/// says counts, never the result of the call: in a PVH dom0 that is 0 whatever happened, and in a PV one it forgets.
/// </summary>
internal static unsafe class PagingRetry
{
    private const long FirstPauseNanoseconds = 100_000;
    private const long LongestPauseNanoseconds = 5_000_000;

    /// <param name="errors">Written by the batch; -ENOENT is left for pages that did not come back in time.</param>
    /// <returns>0, or the negative errno with which the whole batch failed.</returns>
    internal static int Run<TBatch>(ref TBatch batch, Span<int> errors, TimeSpan timeout)
        where TBatch : IMapBatch
    {
        int result = batch.Map(0, errors.Length);
        if (result < 0 && result != -ENOENT) return result;

        long start = Stopwatch.GetTimestamp();
        for (long pause = FirstPauseNanoseconds; errors.Contains(-ENOENT) && Stopwatch.GetElapsedTime(start) < timeout;
            pause = Math.Min(pause * 2, LongestPauseNanoseconds))
        {
            var time = new timespec { tv_nsec = pause };
            nanosleep(&time, null);
            if (!MapPagedOut(ref batch, errors)) break;
        }
        return 0;
    }

    // One call per run of paged-out pages: the driver takes a page again only while nothing was put there.
    private static bool MapPagedOut<TBatch>(ref TBatch batch, Span<int> errors)
        where TBatch : IMapBatch
    {
        for (int first = 0; first < errors.Length;)
        {
            int skipped = errors[first..].IndexOf(-ENOENT);
            if (skipped < 0) break;
            first += skipped;
            int count = errors[first..].IndexOfAnyExcept(-ENOENT);
            if (count < 0) count = errors.Length - first;

            int result = batch.Map(first, count);
            if (result < 0 && result != -ENOENT)
            {
                // The driver zeroes a run's errors before it refuses the run.
                errors.Slice(first, count).Fill(-ENOENT);
                return false;
            }
            first += count;
        }
        return true;
    }
}
