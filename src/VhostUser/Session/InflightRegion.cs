using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Session;

/// <summary>The in-flight region of all queues, mapped. Queue follows queue, each on a 64-byte boundary, as C back-ends lay it out.</summary>
internal sealed unsafe class InflightRegion : IDisposable
{
    // The entries hold 8-byte counters; a queue starts on a cache line.
    private const ulong Alignment = 64;
    private readonly MappedMemory _memory;
    private readonly byte* _start;
    private readonly ulong _stride;

    private InflightRegion(MappedMemory memory, ulong slack, in InflightDescription description, bool packed)
    {
        _memory = memory;
        _start = memory.Pointer + slack;
        _stride = InflightLayout.Stride(packed, description.QueueSize);
        IsPacked = packed;
        QueueCount = description.QueueCount;
        QueueSize = description.QueueSize;
    }

    public bool IsPacked { get; }

    public int QueueCount { get; }

    public int QueueSize { get; }

    /// <summary>Maps a region whose numbers have been checked against each other.</summary>
    /// <exception cref="RequestRefusedException">It does not lie inside its file.</exception>
    /// <exception cref="SystemCallException">The kernel does not map it.</exception>
    public static InflightRegion Map(FileDescriptor file, in InflightDescription description, bool packed)
    {
        ulong length = InflightLayout.Sizes(packed, description.QueueCount, description.QueueSize);
        SharedFile.SealAgainstShrinking(file);
        ulong fileSize = SharedFile.Length(file);
        if (description.MmapOffset > fileSize || length > fileSize - description.MmapOffset || description.MmapOffset % Alignment != 0)
            throw new RequestRefusedException($"an in-flight region of {length} bytes at 0x{description.MmapOffset:x} does not lie inside its file of {fileSize} bytes");

        ulong slack = description.MmapOffset & SharedFile.PageMask(file);
        MappedMemory memory = MappedMemory.Map(file, description.MmapOffset - slack, (nuint)(length + slack), PROT_READ | PROT_WRITE, MAP_SHARED);
        return new InflightRegion(memory, slack, description, packed);
    }

    /// <summary>One queue's part.</summary>
    public InflightQueueRegion Queue(int index) => new((nint)(_start + (_stride * (ulong)index)), _stride);

    public void Dispose() => _memory.Dispose();
}
