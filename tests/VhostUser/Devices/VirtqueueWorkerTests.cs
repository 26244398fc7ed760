using Microsoft.Extensions.Logging.Abstractions;
using VhostUser.Devices;
using VhostXen.Linux;
using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostUser.Tests.Devices;

public sealed class VirtqueueWorkerTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);

    // A worker that spins for its rings must not forget what handlers watch (a tap, a finished thread).
    [Fact]
    public async Task WatchAsync_WhileTheWorkerPolls_CallsBack()
    {
        using VirtqueueWorker worker = new("polls", new WorkerOptions { PollMicroseconds = 60_000_000 }, NullLogger.Instance);
        using EventFd watched = EventFd.Create();
        TaskCompletionSource called = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await worker.WatchAsync(watched.Handle, EPOLLIN, _ =>
        {
            watched.Drain();
            called.TrySetResult();
        });

        watched.Signal();
        await called.Task.WaitAsync(Deadline, TestContext.Current.CancellationToken);
        await worker.UnwatchAsync(watched.Handle);
    }

    [Fact]
    public async Task InvokeAsync_CommandThrows_TheCallerGetsItAndTheWorkerLives()
    {
        using VirtqueueWorker worker = new("throws", new WorkerOptions(), NullLogger.Instance);

        await Assert.ThrowsAsync<InvalidDataException>(() => worker.InvokeAsync(() => throw new InvalidDataException()));
        await worker.InvokeAsync(() => { }).WaitAsync(Deadline, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task TryGetSqe_WithoutIoUring_AnswersFalse()
    {
        using VirtqueueWorker worker = new("no ring", new WorkerOptions { UseIoUring = false }, NullLogger.Instance);
        bool got = true;
        await worker.InvokeAsync(() =>
        {
            unsafe
            {
                got = worker.TryGetSqe(null!, out _, out _);
            }
        });

        Assert.False(got);
        Assert.Null(worker.Ring);
    }

    [Fact]
    public async Task TryGetSqe_MoreThanTheRingHolds_EveryCompletionComesHome()
    {
        const int Operations = 5000;
        using VirtqueueWorker worker = new("storm", new WorkerOptions(), NullLogger.Instance);
        Counter counter = new(Operations);
        int refused = 0;
        await worker.InvokeAsync(() =>
        {
            unsafe
            {
                if (worker.Ring is null)
                {
                    counter.Complete(Operations);
                    return;
                }

                for (int i = 0; i < Operations; i++)
                {
                    if (worker.TryGetSqe(counter, out io_uring_sqe* sqe, out ulong userData))
                        IoUringSqe.Nop(sqe, userData);
                    else
                        refused++;
                }

                counter.Complete(refused);
            }
        });

        await counter.Done.WaitAsync(Deadline, TestContext.Current.CancellationToken);
        Assert.Equal(0, refused);
    }

    private sealed class Counter(int expected) : IRingCompletion
    {
        private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _left = expected;

        public Task Done => _done.Task;

        public void OnCompletion(int result) => Complete(1);

        public void Complete(int count)
        {
            if ((_left -= count) <= 0)
                _done.TrySetResult();
        }
    }
}
