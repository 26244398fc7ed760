using Fuzz.Engine;
using Fuzz.Oracles;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;

namespace Fuzz.Targets;

/// <summary>
/// A connection to xenstore whose other side answers anything: other types and ids, lengths that are not, lists without an
/// end, errors without a name, watch events for nobody, bytes in pieces, silence, the end. Every operation ends in time with
/// what was said or one of the errors that its documentation names; once the connection is over everything says so; an
/// answer that was right is what the caller gets.
/// </summary>
internal sealed class XenstoreTarget : FuzzTarget
{
    private const int MostCalls = 24;

    public override int MaxLength => 768;

    public override void Run(FuzzInput input, Behaviour seen)
    {
        var stream = new ScriptedStream();
        var options = new XenStoreOptions { RequestTimeout = TimeSpan.FromMilliseconds(20), TransactionAttempts = 3, WatchCapacity = 4 };
        var store = new XenStore(stream, options, oneAtATime: input.OneIn(4));
        var daemon = new HostileDaemon(stream, input);
        var calls = new XenstoreCalls(store, input, daemon);
        try
        {
            int timeouts = 0;
            for (int i = 0; i < MostCalls && timeouts < 2 && !(i > 0 && input.IsAtEnd); i++)
            {
                string call = calls.Make(input.Below(XenstoreCalls.Count), out Task task);
                daemon.Serve(task);
                Judge(call, task, daemon, seen);
                timeouts += task.Exception?.InnerException is TimeoutException ? 1 : 0;
            }

            calls.CheckWatches(seen);
        }
        finally
        {
            Task end = Task.Run(async () =>
            {
                await calls.DisposeAsync().ConfigureAwait(false);
                await store.DisposeAsync().ConfigureAwait(false);
            });
            daemon.Serve(end);
            end.GetAwaiter().GetResult();
        }

        FindingException.Require(stream.IsClosed && store.Completion.Wait(Rig.Deadline), "the connection is not over");
        Task<string> late = store.ReadAsync("/late");
        FindingException.Require(SpinWait.SpinUntil(() => late.IsCompleted, Rig.Deadline) && late.Exception?.InnerException is XenStoreConnectionException, "a connection that is over is used");
    }

    public override void Dispose()
    {
    }

    private static void Judge(string call, Task task, HostileDaemon daemon, Behaviour seen)
    {
        switch (task.Exception?.InnerException)
        {
            case null:
                seen.Saw($"{call} is done");
                FindingException.Require(daemon.Impossible is null, $"{call} takes {daemon.Impossible}");
                break;
            case XenException or XenStoreConnectionException or TimeoutException or OperationCanceledException:
                seen.Saw($"{call} ends with a {task.Exception.InnerException.GetType().Name}");
                seen.Saw(task.Exception.InnerException.Message.Split("The error", 2)[0]);

                // A slow machine is nobody's lie.
                FindingException.Require(!daemon.WasHonest || task.Exception.InnerException is TimeoutException, $"{call} was answered rightly and ends with {task.Exception.InnerException.Message}");
                break;
            case { } other:
                throw new FindingException($"{call} ends with {other}");
        }
    }
}
