using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;

namespace Fuzz.Targets;

/// <summary>
/// Our front-end and a back-end that answers what it likes: wrongly, too much, nothing, in pieces, with descriptors of any
/// kind, and asks on its own channel. Every call ends in time, with what was answered or with an error that says what
/// happened; answers that cannot be right are never taken; no descriptor is left.
/// </summary>
internal sealed class FrontendTarget : FuzzTarget
{
    private const int MostCalls = 16;
    private const int CountEvery = 16;
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(20);
    private readonly TestMemory _memory = new((0UL, 0x10000UL), (0x1_0000_0000UL, 0x8000UL));
    private readonly RawRing _ring;
    private readonly Complaints _complaints = new();
    private int _runs;

    public FrontendTarget()
    {
        _ring = new RawRing(DriverRing.Create(_memory, 16), 0);

        // The runtime opens a few descriptors of its own for the first socket.
        Talk(new FuzzInput(new byte[8]), new Behaviour());
    }

    public override int MaxLength => 768;

    public override void Run(FuzzInput input, Behaviour seen)
    {
        _complaints.Listen(seen);
        if (_runs++ >= CountEvery && _runs % CountEvery != 0)
        {
            Talk(input, seen);
            _complaints.ThrowIfAny();
            return;
        }

        // The runtime and other targets' threads open something now and then, but not every time.
        for (int tries = 0; Leaves(new FuzzInput(input.Bytes), seen) is { } left; tries++)
            FindingException.Require(tries < 4, left);
    }

    public override void Dispose()
    {
        _ring.Dispose();
        _memory.Dispose();
    }

    /// <summary>What is open after a session and was not before it; null for nothing.</summary>
    private string? Leaves(FuzzInput input, Behaviour seen)
    {
        int before = OpenFiles();
        Talk(input, seen);
        _complaints.ThrowIfAny();
        return OpenFiles() <= before || SpinWait.SpinUntil(() => OpenFiles() <= before, TimeSpan.FromSeconds(2))
            ? null
            : $"{OpenFiles()} descriptors are open, {before} were before: {string.Join(' ', Kinds())}";
    }

    private static int OpenFiles() => Kinds().Count();

    /// <summary>Without the runtime's: it opens assemblies as it needs them.</summary>
    private static IEnumerable<string> Kinds() => Directory.GetFileSystemEntries("/proc/self/fd")
        .Select(static path => new FileInfo(path).LinkTarget ?? "gone").Where(static kind => kind != "gone" && !kind.EndsWith(".dll", StringComparison.Ordinal));

    private void Talk(FuzzInput input, Behaviour seen)
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        using var files = new SentFiles(_memory, ours);
        using var backend = new HostileBackend(ours, input, seen, files);
        var handler = new AnyHandler(seen, input.OneIn(4));
        var options = new FrontendOptions
        {
            Timeout = Patience,
            DrainTimeout = Patience,
            Handler = input.OneIn(4) ? null : handler,
            WantedProtocol = new FrontendOptions().WantedProtocol | ProtocolFeatures.ShmemMap | ProtocolFeatures.InbandNotifications
                | (input.OneIn(6) ? ProtocolFeatures.XenMmap : 0),
        };
        var session = new FrontendSession(theirs, options, _complaints);
        var calls = new FrontendCalls(session, input, _memory, _ring, backend);
        try
        {
            if (!input.OneIn(8))
                calls.Make(call: 0, seen);

            for (int i = 0; i < MostCalls && !input.IsAtEnd; i++)
            {
                calls.Make(input.Below(FrontendCalls.Count), seen);
                backend.UseChannel();
            }
        }
        finally
        {
            Task end = session.DisposeAsync().AsTask();
            backend.Serve(end);
            end.GetAwaiter().GetResult();
            calls.Dispose();
        }

        FindingException.Require(session.Closed.Wait(Rig.Deadline), "the session does not say that it is over");
        seen.Saw($"ended: {session.Closed.Result?.Message}");
    }

    /// <summary>What an application might do with what the back-end asks.</summary>
    private sealed class AnyHandler(Behaviour seen, bool throws) : IBackendRequestHandler
    {
        public void ConfigChanged() => Note("config changed");

        public void Call(int queue) => Note("call");

        public void RingError(int queue) => Note("ring error");

        public void IotlbMiss(ulong address, bool write) => Note("miss");

        public bool MapSharedMemory(byte region, ulong fdOffset, ulong regionOffset, ulong length, bool writable, FileDescriptor fd)
        {
            fd.Dispose();
            Note("map");
            return writable;
        }

        public bool UnmapSharedMemory(byte region, ulong regionOffset, ulong length)
        {
            Note("unmap");
            return true;
        }

        private void Note(string what)
        {
            seen.Saw($"handler: {what}");
            if (throws)
                throw new InvalidOperationException("the application cannot");
        }
    }
}
