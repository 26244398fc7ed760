using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

public sealed unsafe partial class IoUring
{
    // What a kernel may not know, newest first. TASKRUN_FLAG and DEFER_TASKRUN are invalid without their companions, so they go together.
    private static ReadOnlySpan<uint> Optional =>
    [
        IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_SINGLE_ISSUER,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL,
    ];

    private static FileDescriptor Setup(uint entries, uint completionEntries, uint flags, out io_uring_params parameters)
    {
        if (completionEntries != 0)
            flags |= IORING_SETUP_CQSIZE;
        foreach (uint left in Optional)
        {
            if (TrySetup(entries, completionEntries, flags, out parameters, out FileDescriptor? ring))
                return ring!;
            if (errno != EINVAL)
                throw SystemCallException.FromErrno("io_uring_setup");
            flags &= ~left;
        }

        return TrySetup(entries, completionEntries, flags, out parameters, out FileDescriptor? last)
            ? last!
            : throw SystemCallException.FromErrno("io_uring_setup");
    }

    private static bool TrySetup(uint entries, uint completionEntries, uint flags, out io_uring_params parameters, out FileDescriptor? ring)
    {
        io_uring_params asked = new() { flags = flags, cq_entries = completionEntries };
        int fd = io_uring_setup(entries, &asked);
        parameters = asked;
        ring = fd < 0 ? null : new FileDescriptor(fd);
        return fd >= 0;
    }

    private static (MappedMemory Sq, MappedMemory Cq, MappedMemory Sqes) MapRings(FileDescriptor ring, in io_uring_params parameters)
    {
        nuint sqLength = parameters.sq_off.array + ((nuint)parameters.sq_entries * sizeof(uint));
        nuint cqLength = parameters.cq_off.cqes + ((nuint)parameters.cq_entries * (nuint)sizeof(io_uring_cqe));
        bool single = (parameters.features & IORING_FEAT_SINGLE_MMAP) != 0;
        const int flags = MAP_SHARED | MAP_POPULATE;

        MappedMemory? sq = null, cq = null;
        try
        {
            sq = MappedMemory.Map(ring, IORING_OFF_SQ_RING, single ? nuint.Max(sqLength, cqLength) : sqLength, flags: flags);
            cq = single ? sq : MappedMemory.Map(ring, (ulong)IORING_OFF_CQ_RING, cqLength, flags: flags);
            MappedMemory sqes = MappedMemory.Map(
                ring, (ulong)IORING_OFF_SQES, (nuint)parameters.sq_entries * (nuint)sizeof(io_uring_sqe), flags: flags);
            return (sq, cq, sqes);
        }
        catch
        {
            sq?.Dispose();
            cq?.Dispose();
            throw;
        }
    }

    internal static bool Probe()
    {
        try
        {
            using var ring = new IoUring(1);
            return true;
        }
        catch (SystemCallException)
        {
            return false;
        }
    }
}
