using System.Threading.Channels;
using VhostUser.Session;
using VhostXen.Linux;

namespace TestKit;

/// <summary>
/// Keeps what a back-end said on its own channel: words ("config", "call 0", "error 0", "map 1"), or, for IOTLB
/// misses, the address and whether it is to be written.
/// </summary>
public sealed class FrontendRecorder : IBackendRequestHandler
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);
    private readonly Channel<object> _events = Channel.CreateUnbounded<object>();

    /// <summary>What to answer, or throw.</summary>
    public Func<bool> Answer { get; set; } = static () => true;

    public void ConfigChanged() => Add("config");

    public void Call(int queue) => Add($"call {queue}");

    public void RingError(int queue) => Add($"error {queue}");

    public void IotlbMiss(ulong address, bool write) => Add((address, write));

    public bool MapSharedMemory(byte region, ulong fdOffset, ulong regionOffset, ulong length, bool writable, FileDescriptor fd)
    {
        fd.Dispose();
        Add($"map {region} {fdOffset} {regionOffset} {length} {writable}");
        return Answer();
    }

    public bool UnmapSharedMemory(byte region, ulong regionOffset, ulong length)
    {
        Add($"unmap {region} {regionOffset} {length}");
        return Answer();
    }

    /// <summary>Waits for the next event of a kind that satisfies the condition; others are passed over.</summary>
    /// <exception cref="OperationCanceledException">None came before the deadline.</exception>
    public async Task<T> NextAsync<T>(Func<T, bool> condition, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Deadline);
        while (true)
        {
            if (await _events.Reader.ReadAsync(deadline.Token) is T happened && condition(happened))
                return happened;
        }
    }

    private void Add(object happened) => _events.Writer.TryWrite(happened);
}
