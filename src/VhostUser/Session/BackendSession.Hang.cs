using System.Diagnostics;

namespace VhostUser.Session;

/// <content>
/// Waiting for rings to stop. A ring stops when the device has given every request back, and a disk may hang. The
/// front-end is not held for ever: it is told by the log, and after the time-out by the end of the connection, never by
/// an answer, which would say that nothing is written any more. What the device still holds goes on using the guest's
/// memory, so that stays mapped, and nobody else is served, until it has come back.
/// </content>
public sealed partial class BackendSession
{
    private const int FirstReportSeconds = 5;

    private readonly TaskCompletionSource _hung = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task? _unfinished;

    /// <summary>
    /// Ends once the session has given its front-end up (the connection is shut) and still waits for the device.
    /// <see cref="RunAsync"/> returns when the device has given everything back, which may be never.
    /// </summary>
    public Task Hung => _hung.Task;

    /// <summary>
    /// A message may wait for a ring, and the ring's worker for the front-end: for a page during post-copy, or in the signal
    /// of an eventfd that the front-end made block. And the ring may wait for its device.
    /// </summary>
    private async Task WhileServedAsync(Task task)
    {
        while (!task.IsCompleted && await Task.WhenAny(task, Task.Delay(HangUpInterval, CancellationToken.None)).ConfigureAwait(false) != task)
        {
            if (_socket.IsHungUp || _cancellation.IsCancellationRequested)
                FreeWorkers();

            if (IsHanging())
            {
                _unfinished = task;
                throw new DeviceHungException();
            }
        }

        await task.ConfigureAwait(false);
    }

    private void FreeWorkers()
    {
        EndPostcopy();
        foreach (SessionVring ring in _vrings)
            ring.Unblock();
    }

    /// <summary>The message that hung: what it holds is let go of when it ends, and not before.</summary>
    private async Task EndUnfinishedAsync()
    {
        if (_unfinished is not { } task)
            return;

        GiveUp();
        await WaitForDeviceAsync(task).ConfigureAwait(false);
        await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task StopForGoodAsync()
    {
        Task stopped = Task.WhenAll(_vrings.Select(static ring => ring.StopAsync()));
        await WaitForDeviceAsync(stopped).ConfigureAwait(false);
        await stopped.ConfigureAwait(false);
    }

    private async Task WaitForDeviceAsync(Task task)
    {
        while (await Task.WhenAny(task, Task.Delay(HangUpInterval, CancellationToken.None)).ConfigureAwait(false) != task)
        {
            FreeWorkers();
            if (IsHanging() && !_hung.Task.IsCompleted)
            {
                _logger.Hung(Name, _options.StopTimeout.TotalSeconds);
                GiveUp();
            }
        }
    }

    private void GiveUp()
    {
        _socket.Shutdown();
        _hung.TrySetResult();
    }

    /// <summary>Reports rings that do not stop, at intervals that double.</summary>
    /// <returns>True when one has taken longer than it may.</returns>
    private bool IsHanging()
    {
        // Pages that are on their way are the front-end's to bring, and it knows best how long that takes.
        if (_postcopy is not null)
            return false;

        bool hanging = false;
        foreach (SessionVring ring in _vrings)
        {
            if (ring.StoppingSince is not (not 0 and long since))
                continue;

            TimeSpan waited = Stopwatch.GetElapsedTime(since);
            hanging |= _options.StopTimeout >= TimeSpan.Zero && waited >= _options.StopTimeout;
            if (waited.TotalSeconds < Math.Max(ring.NextReport, FirstReportSeconds) && !(hanging && ring.NextReport == 0))
                continue;

            ring.NextReport = Math.Max(2 * (int)waited.TotalSeconds, 2 * FirstReportSeconds);
            _logger.RingDoesNotStop(Name, ring.Index, ring.Vring.InFlight, waited.TotalSeconds);
        }

        return hanging;
    }
}
