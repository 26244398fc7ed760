using VhostXen.Linux;

namespace VhostUser.Session;

/// <summary>
/// The in-flight region that a back-end made (GET_INFLIGHT_FD): kept by the front-end while back-ends come and go,
/// and handed to each of them.
/// </summary>
public sealed class FrontendInflight : IDisposable
{
    internal FrontendInflight(FileDescriptor file, ulong size, ulong offset, int queues, int queueSize)
    {
        File = file;
        Size = size;
        Offset = offset;
        Queues = queues;
        QueueSize = queueSize;
    }

    public FileDescriptor File { get; }

    /// <summary>Bytes.</summary>
    public ulong Size { get; }

    public ulong Offset { get; }

    public int Queues { get; }

    public int QueueSize { get; }

    public void Dispose() => File.Dispose();
}
