using System.Runtime.InteropServices;
using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux.Tests;

/// <summary>Signals reach a thread that waits in the kernel; it must go on waiting, for what is left of its time.</summary>
public sealed unsafe class InterruptionTests : IDisposable
{
    private const int SYS_tgkill = 234, SIGWINCH = 28;
    private readonly PosixSignalRegistration _handler;
    private int _handled;

    public InterruptionTests()
    {
        Assert.SkipUnless(RuntimeInformation.ProcessArchitecture == Architecture.X64, "tgkill's number is that of x86-64");
        _handler = PosixSignalRegistration.Create((PosixSignal)SIGWINCH, _ => Interlocked.Increment(ref _handled));
    }

    public void Dispose() => _handler?.Dispose();

    [Theory]
    [InlineData(-1)]
    [InlineData(10_000)]
    public void EpollWait_Interrupted_StillSeesTheEvent(int timeoutMs)
    {
        using var epoll = new Epoll();
        using EventFd kick = EventFd.Create();
        epoll.Add(kick.Handle, EPOLLIN, 1);
        Assert.Equal(1, Interrupt(() => epoll.Wait(new epoll_event[1], timeoutMs), kick));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(10_000)]
    public void Poll_Interrupted_StillSeesTheEvent(int timeoutMs)
    {
        using EventFd kick = EventFd.Create();
        pollfd[] fds = [new() { fd = kick.Handle.Value, events = POLLIN }];
        Assert.Equal(1, Interrupt(() => FileIO.Poll(fds, timeoutMs), kick));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void SubmitAndWait_Interrupted_StillSeesTheCompletion(bool timed)
    {
        Assert.SkipUnless(IoUring.IsSupported, "this kernel refuses io_uring");
        using EventFd kick = EventFd.Create();
        Assert.Equal(1, Interrupt(() => WaitForPoll(kick, timed ? TimeSpan.FromSeconds(10) : null), kick));
    }

    [Fact]
    public void Read_BlockingEventFdInterrupted_StillReads()
    {
        using EventFd kick = EventFd.Create(nonBlocking: false);
        Assert.Equal(1, Interrupt(() => kick.TryRead(out ulong count) ? (int)count : -1, kick));
    }

    private static int WaitForPoll(EventFd kick, TimeSpan? timeout)
    {
        using var ring = new IoUring(4);
        ring.TryGetSqe(out io_uring_sqe* sqe);
        IoUringSqe.PollAdd(sqe, kick.Handle.Value, POLLIN, multishot: false, userData: 1);
        ring.Submit();
        int result = ring.SubmitAndWait(1, timeout);
        return result == 0 && ring.TryPeekCqe(out _) ? 1 : result;
    }

    // Runs the wait on a thread, sends that thread signals while it sleeps, then the event.
    private int Interrupt(Func<int> wait, EventFd kick)
    {
        int tid = 0, result = int.MinValue;
        var waiter = new Thread(() =>
        {
            Volatile.Write(ref tid, gettid());
            result = wait();
        });
        waiter.Start();
        SpinUntil(() => Volatile.Read(ref tid) != 0);
        for (int i = 0; i < 5; i++)
        {
            int before = Volatile.Read(ref _handled);
            SpinUntil(() => Sleeps(tid));
            Assert.Equal(0, syscall(SYS_tgkill, getpid(), tid, SIGWINCH));
            SpinUntil(() => Volatile.Read(ref _handled) != before);
        }

        SpinUntil(() => Sleeps(tid) || !waiter.IsAlive);
        Assert.True(waiter.IsAlive, $"the wait ended with {result}");
        kick.Signal();
        Assert.True(waiter.Join(10_000));
        return result;
    }

    // In a system call of the kinds above, by its number: the runtime's own waits are futexes (202).
    private static bool Sleeps(int tid)
    {
        string call = File.ReadAllText($"/proc/self/task/{tid}/syscall").Split(' ')[0];
        return call is "0" or "7" or "232" or "426";
    }

    private static void SpinUntil(Func<bool> condition) => Assert.True(SpinWait.SpinUntil(condition, 10_000));
}
